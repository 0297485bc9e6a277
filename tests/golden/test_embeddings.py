"""Pooled vectors against the NumPy reference (tools/reference.py) on tiny random models of every architecture.

    PUNA_BIN=build/puna pytest tests/golden/test_embeddings.py

The reference computes the hidden states of the whole text at once, in float64; puna computes them in chunks, with a cache.
Needs numpy and gguf.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import reference  # noqa: E402
import tiny_model  # noqa: E402

PUNA = os.environ.get("PUNA_BIN")
pytestmark = pytest.mark.skipif(not PUNA, reason="PUNA_BIN does not name the puna program")

IDS = [1] + np.random.default_rng(11).integers(3, 300, 140).tolist()
POOL = {"mean": lambda h: h.mean(axis=0), "cls": lambda h: h[0], "last": lambda h: h[-1]}
TOLERANCE = 1e-4  # of the spread of the hidden states: float32 sums in another order


def embed(model, n_ids, *options):
    command = [PUNA, "embed", "-m", str(model), "--ids", ",".join(map(str, IDS[:n_ids])), "-ctk", "f32", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout))


@pytest.mark.parametrize("preset", ["llama", "mixtral", "qwen2", "qwen3", "gemma3"])
def test_pooled_vectors(preset, tmp_path):
    path = tmp_path / "model.gguf"
    tiny_model.write_model(path, preset)
    for n in (1, 65, len(IDS)):
        hidden = reference.Model(path).hidden(IDS[:n])
        for name, pool in POOL.items():
            error = np.abs(embed(path, n, "--pooling", name, "-b", "50") - pool(hidden)).max() / hidden.std()
            assert error < TOLERANCE, f"{preset}, {n} tokens, {name}: off by {error:.1e}"


def test_normalized(tmp_path):
    path = tmp_path / "model.gguf"
    tiny_model.write_model(path, "llama")
    plain, unit = embed(path, 20), embed(path, 20, "--normalize")
    assert abs(np.linalg.norm(unit) - 1) < 1e-6
    assert np.abs(plain / np.linalg.norm(plain) - unit).max() < 1e-7


def test_pooling_that_the_model_names(tmp_path, monkeypatch):
    path, options = tmp_path / "model.gguf", tiny_model.options

    def with_key(*args):
        o = options(*args)
        return {**o, "keys": {**o["keys"], "pooling_type": 3}}

    monkeypatch.setattr(tiny_model, "options", with_key)
    tiny_model.write_model(path, "llama")
    assert (embed(path, 20) == embed(path, 20, "--pooling", "last")).all()
    assert (embed(path, 20) != embed(path, 20, "--pooling", "mean")).any()
