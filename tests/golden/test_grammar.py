"""Grammars in GBNF through the program: the shared cases, random grammars against a recogniser written from the
definition, and bounds on what abusive grammars may take.

    PUNA_BIN=build/puna PUNA_SHARED=../shared pytest tests/golden/test_grammar.py -rP

Cases come from $PUNA_SHARED/data/grammar: texts to accept and to refuse, grammars to refuse, very large grammars (five
seconds, 256 MB), and grammars that are hard to match (a second each).
"""

import itertools
import json
import os
import random
import resource
import subprocess

import pytest

import grammar_data

PUNA = os.environ.get("PUNA_BIN")
SANITIZED = os.environ.get("PUNA_SANITIZED") == "1"  # reserves more address space than any limit allows

pytestmark = pytest.mark.skipif(not PUNA, reason="PUNA_BIN does not name the puna program")


def test_data_is_there():
    grammar_data.require("gbnf")


def limit_memory(mb):
    def apply():
        resource.setrlimit(resource.RLIMIT_AS, (mb << 20, mb << 20))
    return None if SANITIZED else apply


def cpu_seconds():
    """Of all children so far: the same on a busy machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Grammar:
    """puna grammar with one grammar."""

    def __init__(self, folder, gbnf):
        self.path = folder / "g.gbnf"
        self.path.write_text(gbnf, encoding="utf-8", newline="")

    def run(self, *options, stdin=b"", mb=256):
        start = cpu_seconds()
        done = subprocess.run([PUNA, "grammar", "--gbnf", str(self.path), *options], input=stdin, capture_output=True,
                              timeout=60, preexec_fn=limit_memory(mb))
        done.seconds = cpu_seconds() - start
        done.out = done.stdout.decode()
        done.err = done.stderr.decode()
        return done

    def run_lines(self, texts):
        return self.run("--jsonl", stdin="".join(json.dumps(t) + "\n" for t in texts).encode())

    def match(self, texts):
        """What is printed for each text (a string, or a list of strings and token ids)."""
        done = self.run_lines(texts)
        assert done.returncode == 0, done.err
        lines = done.out.splitlines()
        assert len(lines) == len(texts)
        self.seconds = done.seconds
        return lines


@pytest.fixture
def grammar(tmp_path):
    return lambda gbnf: Grammar(tmp_path, gbnf)


# ---- the shared cases


@pytest.mark.parametrize("case", grammar_data.cases("gbnf"), ids=lambda c: c["name"])
def test_texts(grammar, case):
    g = grammar(case["grammar"])
    texts = case["accept"] + case["reject"]
    want = ["accepted"] * len(case["accept"]) + ["refused"] * len(case["reject"])
    got = g.match(texts)
    wrong = [(t, w, line) for t, w, line in zip(texts, want, got) if line.split()[0] != w]
    assert not wrong
    for t, w in zip(texts, want):  # one text alone: the exit status says it
        if isinstance(t, str):
            done = g.run(stdin=t.encode())
            assert (done.returncode, done.out.split()[0]) == (0 if w == "accepted" else 1, w)


@pytest.mark.parametrize("case", grammar_data.cases("gbnf_bad"), ids=lambda c: c["name"])
def test_bad_grammars(grammar, case):
    done = grammar(grammar_data.text_of(case)).run(stdin=b"a")
    assert done.returncode in ([2] if case["want"] == "error" else [0, 1, 2])
    if done.returncode == 2:
        assert done.out == "" and len(done.err.splitlines()) == 1 and done.err.startswith("puna: grammar")
    assert done.seconds < 5


@pytest.mark.parametrize("case", grammar_data.cases("gbnf_abuse"), ids=lambda c: c["name"])
def test_abusive_grammars(grammar, case):
    done = grammar(grammar_data.text_of(case)).run(stdin=b"a")
    assert done.returncode in (0, 1, 2), done.err
    assert done.seconds < 5


@pytest.mark.parametrize("case", grammar_data.cases("gbnf_hard"), ids=lambda c: c["name"])
def test_hard_grammars(grammar, case):
    g = grammar(case["grammar"])
    assert g.match([case["prefix"]]) in (["refused at the end: more must follow"], ["accepted"])
    assert g.seconds < 1
    if case["accept"]:
        assert g.match([case["accept"]]) == ["accepted"]
        assert g.seconds < 1


# ---- other grammars that are hard to match, with texts whose place in them is plain


HARD = {
    "palindromes": ('root ::= "a" root "a" | "b" root "b" | ""', "ab" * 600 + "ba" * 600, True),
    "two ends for each beginning": ('root ::= "a" root "b" | "a" root "c" | "."', "a" * 900 + "." + "bc" * 450, True),
    "two ends, one missing": ('root ::= "a" root "b" | "a" root "c" | "."', "a" * 900 + "." + "bc" * 449 + "b", False),
    "sums of sums": ('root ::= s\ns ::= t | t "+" s | t "+" s "+" s\nt ::= "1"', "1" + "+1" * 150, True),
    "every way to cut": ('root ::= x "."\nx ::= "a" | "a" x | "aa" x | "aaa" x', "a" * 3000 + ".", True),
    "blanks everywhere": ('root ::= w "a" w ("," w "a" w)*\nw ::= [ ]*', "a ,  a" + " ,a" * 500, True),
    "counts of counts": ('root ::= (("a" | "aa"){1,50} "b"?){0,40} "."', "a" * 60 + "b" + "a" * 70 + ".", True),
    "trees": ('root ::= e "!"\ne ::= "a" e e | "a"', "a" * 2001 + "!", True),
    "trees, one too few": ('root ::= e "!"\ne ::= "a" e e | "a"', "a" * 2000 + "!", False),
    "trees of three": ('root ::= e "!"\ne ::= "a" e e e | "a"', "a" * 1000 + "!", True),
    "whose else": ('root ::= "i" root | "i" root "e" root | "x"', "i" * 1000 + "x" + "ex" * 600, True),
    "whose else, one too many": ('root ::= "i" root | "i" root "e" root | "x"', "i" * 999 + "x" + "ex" * 1000, False),
    "ends that may be left out": ('root ::= "a" root "b"? | "!"', "a" * 2000 + "!" + "b" * 2000, True),
    "runs that may be cut": ('root ::= "a" root x | ""\nx ::= "b" | "b" x', "a" * 1500 + "b" * 1500, True),
    "a large count": ('root ::= [ab]{1000,100000} "."', "ab" * 500 + ".", True),
    "a large count, one too few": ('root ::= [ab]{1000,100000} "."', "ab" * 499 + "a.", False),
    "a large count, one too many": ('root ::= ("a" | "bb"){0,1000} "."', "bba" * 501 + ".", False),
    "optional rests": ('root ::= ("a" ("a" ("a" ("a" ("a")?)?)?)?)* "."', "a" * 2000 + ".", True),
    "nullable on the left": ('root ::= n n n n n n "x" root | "."\nn ::= "a"?', "aaax" * 300 + ".", True),
    "x? many times": ("root ::= " + '"a"? ' * 200 + '"."', "a" * 200 + ".", True),
    "x? many times, one too many": ("root ::= " + '"a"? ' * 200 + '"."', "a" * 201 + ".", False),
}


@pytest.mark.parametrize("name", HARD)
def test_more_hard_grammars(grammar, name):
    gbnf, text, is_accepted = HARD[name]
    g = grammar(gbnf)
    got = g.match([text])[0]
    assert got.split()[0] == ("accepted" if is_accepted else "refused")
    assert g.seconds < 1


@pytest.mark.parametrize("gbnf", [
    "root ::= " + "(" * 50000 + '"a"' + "?)" * 50000,
    "root ::= " + "(" * 20000 + '"a" ' + '"b"? )' * 20000,
    "".join(f"r{i} ::= r{i + 1} r{i + 1}\n" for i in range(60)) + 'r60 ::= "a"\nroot ::= r0',
    "".join(f"r{i} ::= r{i + 1}? r{i + 1}? \n" for i in range(60)) + 'r60 ::= "a"\nroot ::= r0',
    "".join(f"r{i} ::= (r{i + 1} | r{i + 1})*\n" for i in range(300)) + 'r300 ::= "a"\nroot ::= r0',
    'root ::= ' + '('  * 30 + '"a"' + '{0,99} "b"?)' * 30 + '{0,99}',
    "root ::= (" + " | ".join(f'"{i:06d}"' for i in range(100000)) + ")",
    "root ::= (" + " | ".join(f'"{i:06d}"' for i in range(50000)) + "){0,1000}",
    "root ::= [" + "".join(chr(c) for c in range(0x4e00, 0x9fff, 2)) + "]{0,1000}",
    "root ::= " + "|".join(f"[{chr(c)}-{chr(c + 9)}]" for c in range(0x4e00, 0x9fff, 10)),
    "root ::= " + " ".join(f"r{i}?" for i in range(5000)) + "\n" + "".join(f'r{i} ::= "{i}"\n' for i in range(5000)),
    'root ::= ' + '"a"{1,2}' + '{2,3}' * 100000,
    'root ::= "a"{99999}{0,3}{7}',
    "root ::= " + '"a" | ' * 300000 + '"b"',
    '\u0000', 'root ::= "\u0000"\u0000', "root ::= \r\r\n\n", "root" * 100000, "<" * 100000, "root ::= <" * 10000,
], ids=range(20))
def test_more_abusive_grammars(grammar, gbnf):
    for text in (b"a", b"a" * 300, b"000001" * 5, b"\xe4\xb8\x80", b"\xff", b""):
        done = grammar(gbnf).run(stdin=text)
        assert done.returncode in (0, 1, 2), done.err
        assert done.seconds < 5


# ---- random grammars against a recogniser written from the definition


ALPHABET = "a\u00e9"


class Rules:
    """Random rules as trees, their GBNF, and which texts they derive."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.n = self.random.randint(1, 4)
        self.rules = [self.alternatives(3) for _ in range(self.n)]

    def alternatives(self, depth):
        return ("alt", [self.sequence(depth) for _ in range(self.random.choice([1, 1, 2, 3]))])

    def sequence(self, depth):
        return ("seq", [self.part(depth) for _ in range(self.random.choice([0, 1, 1, 2, 2, 3]))])

    def part(self, depth):
        kind = self.random.choice(["text", "text", "class", "rule", "group", "repeat", "repeat"])
        if kind == "group" and depth:
            return self.alternatives(depth - 1)
        if kind == "repeat" and depth:
            least, most = self.random.choice([(0, None), (1, None), (0, 1), (2, 2), (1, 3), (2, None), (0, 2), (0, 70)])
            return ("repeat", self.part(depth - 1), least, most)
        if kind == "rule":
            return ("rule", self.random.randrange(self.n))
        if kind == "class":
            return ("class", self.random.sample(ALPHABET, self.random.choice([1, 1, 2])), self.random.random() < 0.3)
        return ("text", "".join(self.random.choice(ALPHABET) for _ in range(self.random.choice([1, 1, 1, 2]))))

    def gbnf(self):
        names = ["root"] + [f"r{i}" for i in range(1, self.n)]

        def write(node, top=False):
            kind = node[0]
            if kind == "alt":
                text = " | ".join(write(x) for x in node[1])
                return text if top else "(" + text + ")"
            if kind == "seq":
                return " ".join(write(x) for x in node[1]) or '""'
            if kind == "repeat":
                mark = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get(node[2:])
                inner = write(node[1])
                return inner + (mark or "{%d,%s}" % (node[2], "" if node[3] is None else node[3]))
            if kind == "rule":
                return names[node[1]]
            if kind == "class":
                return "[" + "^" * node[2] + "".join(node[1]) + "]"
            return '"' + node[1] + '"'
        return "".join(f"{name} ::= {write(rule, True)}\n" for name, rule in zip(names, self.rules))

    def derives(self, text):
        """Whether the first rule derives the text; only for grammars without left recursion."""
        known = {}

        def ends(node, at):
            if (id(node), at) not in known:
                known[id(node), at] = find_ends(node, at)
            return known[id(node), at]

        def find_ends(node, at):
            kind = node[0]
            if kind == "text":
                return {at + len(node[1])} if text.startswith(node[1], at) else set()
            if kind == "class":
                return {at + 1} if at < len(text) and (text[at] in node[1]) != node[2] else set()
            if kind == "rule":
                return ends(self.rules[node[1]], at)
            if kind == "alt":
                return set().union(*(ends(x, at) for x in node[1]))
            if kind == "seq":
                places = {at}
                for x in node[1]:
                    places = set().union(*(ends(x, p) for p in places))
                return places
            places, found, times = {at}, set(), 0
            seen = set()
            while places:
                if times >= node[2]:
                    found |= places
                if times == node[3] or (times > node[2] and frozenset(places) in seen):
                    break
                if times >= node[2]:
                    seen.add(frozenset(places))
                places = set().union(*(ends(node[1], p) for p in places))
                times += 1
            return found
        return len(text) in ends(self.rules[0], 0)


TEXTS = ["".join(t) for n in range(7) for t in itertools.product(ALPHABET, repeat=n)]


def test_random_grammars(grammar):
    n_grammars = n_refused = n_accepted = 0
    for seed in range(300):
        rules = Rules(seed)
        g = grammar(rules.gbnf())
        done = g.run_lines(TEXTS)
        if done.returncode == 2:
            assert "left recursion" in done.err, rules.gbnf()
            n_refused += 1
            continue
        n_grammars += 1
        got = dict(zip(TEXTS, done.out.splitlines(), strict=True))
        for text in TEXTS:
            is_accepted = rules.derives(text)
            assert (got[text] == "accepted") == is_accepted, (rules.gbnf(), text, got[text])
            if is_accepted:
                n_accepted += 1
                for n in range(len(text)):
                    assert "at byte" not in got[text[:n]], (rules.gbnf(), text, n, got[text[:n]])
    assert n_grammars > 150 and n_accepted > 1500
    print(f"{n_grammars} grammars, {len(TEXTS)} texts each, {n_accepted} accepted; {n_refused} left-recursive")
