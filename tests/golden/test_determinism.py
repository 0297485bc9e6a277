"""The same bits, whatever the instruction set, the number of threads and the batch: whole models through the program.

    PUNA_BIN=build/puna PUNA_TEST_MODEL=model.gguf pytest tests/golden/test_determinism.py

Tiny random models of every architecture and of mixed formats, and the real model where PUNA_TEST_MODEL names one. What
one process cannot vary (the instruction set is chosen once) is compared between processes; threads, chunks, neighbours and
reuse inside one process are in tests/unit/run/test_engine.c.
"""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("gguf")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import tiny_model  # noqa: E402

PUNA = os.environ.get("PUNA_BIN")
REAL = os.environ.get("PUNA_TEST_MODEL")
pytestmark = pytest.mark.skipif(not PUNA, reason="PUNA_BIN does not name the puna program")

TINY = [(arch, "F32") for arch in ("llama", "qwen2", "qwen3", "gemma3", "mixtral-all")]
TINY += [("llama", kind) for kind in ("F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")]


def digest(model, out, ids, isa, *options):
    """Hash of the logits of every position, computed by a fresh process under PUNA_ISA=isa."""
    command = [PUNA, "logits", "-m", str(model), "--ids", ",".join(map(str, ids)), "--all", str(out), "-q", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, "PUNA_ISA": isa})
    assert done.returncode == 0, done.stderr
    return hashlib.sha256(out.read_bytes()).hexdigest()


def assert_same_everywhere(model, out, ids):
    wanted = digest(model, out, ids, "scalar", "-t", "1")
    for isa, options in (
        ("avx2", ("-t", "1")),
        ("avx2", ("-t", "2", "-b", "7")),
        ("avx512", ("-t", "1")),
        ("avx512", ("-t", "2")),
        ("avx512", ("-t", "2", "-b", "1")),
        ("avx512", ("-t", "3", "-b", "64")),
    ):
        assert digest(model, out, ids, isa, *options) == wanted, f"{isa} {' '.join(options)} differs from scalar"


@pytest.mark.parametrize("arch,kind", TINY)
def test_tiny(arch, kind, tmp_path):
    model = tmp_path / "model.gguf"
    tiny_model.write_model(model, arch, kind, None, 256 if kind.endswith("_K") else None)
    numbers = random.Random(1)
    assert_same_everywhere(model, tmp_path / "out.f32", [1] + [numbers.randrange(3, 300) for _ in range(140)])


@pytest.mark.skipif(not REAL, reason="PUNA_TEST_MODEL names no model")
def test_real(tmp_path):
    numbers = random.Random(2)
    assert_same_everywhere(Path(REAL), tmp_path / "out.f32", [numbers.randrange(3, 30000) for _ in range(40)])
