"""examples/*.c: built against libpuna and its header alone; each does what its first lines say.

PUNA_BIN names the program beside which the examples are built, PUNA_TEST_MODEL the SmolLM2-135M-Instruct GGUF.
"""

import os
import pathlib
import subprocess

import pytest

PUNA = pathlib.Path(os.environ.get("PUNA_BIN", "build/release/puna"))
MODEL = os.environ.get("PUNA_TEST_MODEL", "")
BUILT = PUNA.parent / "tests"

pytestmark = pytest.mark.skipif(not (BUILT / "example_chat").exists(), reason=f"no examples in {BUILT}")
needs_model = pytest.mark.skipif(not os.path.exists(MODEL), reason="PUNA_TEST_MODEL names no file")


def run(name, *arguments):
    return subprocess.run([BUILT / f"example_{name}", *arguments], capture_output=True, text=True, timeout=300)


@needs_model
def test_complete():
    done = run("complete", MODEL, "The capital of France is")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(" Paris") and len(done.stdout.split()) > 10


@needs_model
def test_chat():
    done = run("chat", MODEL, '[{"role": "user", "content": "Say hello in one word."}]')
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) > 1 and "<|im_end|>" not in done.stdout


def test_mistakes():
    for name in ("chat", "complete"):
        assert run(name).returncode == 2
        done = run(name, "no-such-file.gguf", "x")
        assert done.returncode == 1 and "no-such-file.gguf" in done.stderr and len(done.stderr.splitlines()) == 1
