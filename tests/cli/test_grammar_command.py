"""puna grammar, and puna run under a grammar: output and exit status.

PUNA_BIN names the program (default build/release/puna), PUNA_TEST_MODEL the SmolLM2-135M-Instruct GGUF.
"""

import json
import os
import re

import pytest

from test_cli import MODEL, PUNA, needs_model, ok, puna, refused

pytestmark = pytest.mark.skipif(not os.path.exists(PUNA), reason="no program at %s (PUNA_BIN)" % PUNA)

DATE = 'root ::= [0-9]{4} "-" [0-9]{2} ("-" [0-9]{2})?\n'
TOOL = 'root ::= <think> !</think>* </think> ("yes" | <[7]> "no")\n'


@pytest.fixture
def file(tmp_path):
    def write(text, name="g.gbnf"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path
    return write


def test_one_text(file):
    gbnf = file(DATE)
    for text, status, line in [(b"2024-07", 0, "accepted"), (b"2024-07-04", 0, "accepted"),
                               (b"2024-7", 1, "refused at the end: more must follow"), (b"24-07", 1, "refused at byte 2"),
                               (b"2024-07\n", 1, "refused at byte 7"), (b"", 1, "refused at the end: more must follow"),
                               (b"2024-07-04\xff", 1, "refused at byte 10")]:
        done = puna("grammar", "--gbnf", gbnf, stdin=text)
        assert (done.returncode, done.out, done.err) == (status, line + "\n", "")


def test_lines(file):
    texts = ["2024-07", "x", "", ["2024", "-", "07"], ["2024", 7], []]
    done = ok("grammar", "--gbnf", file(DATE), "--jsonl", stdin="".join(json.dumps(t) + "\n" for t in texts).encode())
    assert done.out.splitlines() == ["accepted", "refused at byte 0", "refused at the end: more must follow", "accepted",
                                     "refused at byte 0 of part 2", "refused at the end: more must follow"]


def test_tokens(file):
    texts = [["<think>", "hm", "</think>", "yes"], ["<think>", 12, "x", "</think>", 7, "no"], "<think>", [7],
             ["<think>", "</think>", 8]]
    done = ok("grammar", "--gbnf", file(TOOL), "--jsonl", stdin="".join(json.dumps(t) + "\n" for t in texts).encode())
    assert done.out.splitlines() == ["accepted", "accepted", "refused at the end: more must follow",
                                     "refused at byte 0", "refused at byte 0 of part 3"]


def test_lines_that_are_no_texts(file):
    gbnf = file(DATE)
    for line, words in [(b"{", ["line 2", "not JSON"]), (b"{}", ["line 2", "neither"]), (b"12", ["line 2", "neither"]),
                        (b"[true]", ["line 2", "neither"]), (b"[-1]", ["line 2", "neither"])]:
        done = puna("grammar", "--gbnf", gbnf, "--jsonl", stdin=b'"2024-07"\n' + line + b'\n"x"\n')
        assert done.returncode == 1 and done.out == "accepted\n"
        assert all(word in done.err for word in words) and len(done.err.splitlines()) == 1


def test_refused_grammars(file):
    refused(puna("grammar", "--gbnf", file("root ::= a"), stdin=b""), 2, "line 1", "'a'")
    refused(puna("grammar", "--gbnf", file('root ::= root "a"'), "--jsonl", stdin=b""), 2, "left recursion")
    refused(puna("grammar", "--gbnf", file("root ::= [z-a]\x1b[31m"), stdin=b""), 2, "range")


def test_print(file):
    assert ok("grammar", "--gbnf", file(DATE), "--print").out == DATE
    assert ok("grammar", "--gbnf", file(DATE), "--report").out == ""
    assert ok("grammar", "--gbnf", "-", "--print", stdin=DATE.encode()).out == DATE


def test_usage(file):
    refused(puna("grammar"), 2, "--gbnf", "--schema")
    refused(puna("grammar", "--gbnf", file(DATE), "--schema", file("{}", "s.json")), 2, "--gbnf", "--schema")
    refused(puna("grammar", "--gbnf", file(DATE), "text"), 2, "too many")
    refused(puna("grammar", "--gbnf", "/none/such"), 1, "/none/such")
    text = ok("help", "grammar").out
    assert text == ok("grammar", "--help").out and "usage: puna grammar" in text and "--gbnf FILE" in text


@needs_model
def test_run_under_a_grammar(file):
    out = ok("run", "-m", MODEL, "-p", "The date is", "--temp", "0", "--grammar", DATE).out
    assert re.fullmatch(r"\d{4}-\d\d(-\d\d)?", out)
    done = ok("run", "-m", MODEL, "-p", "The date is", "--temp", "0", "--grammar-file", file(DATE), "--json")
    assert json.loads(done.out)["text"] == out and json.loads(done.out)["finish"] == "end"
    for seed in range(3):  # also when unlikely tokens are drawn
        out = ok("run", "-m", MODEL, "-p", "The date is", "--temp", "5", "--top-k", "0", "--top-p", "1", "--min-p", "0",
                 "--seed", seed, "--grammar", DATE).out
        assert re.fullmatch(r"\d{4}-\d\d(-\d\d)?", out)


@needs_model
def test_run_with_a_grammar_that_cannot_be_used(file):
    for options, words in [(["--grammar-file", "/none/such"], ["/none/such"]),
                           (["--grammar", "root ::= a"], ["'a'"]),
                           (["--grammar", DATE, "--grammar-file", file(DATE)], ["one grammar"])]:
        done = puna("run", "-m", MODEL, "-p", "x", "-n", "1", *options)
        refused(done, 1 if "/none/such" in options else 2, *words)
    refused(puna("run", "-m", MODEL, "-p", "x", "-n", "1", "--grammar", "root ::= <nosuch>"), 1, "<nosuch>")
