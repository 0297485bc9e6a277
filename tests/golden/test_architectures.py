"""puna's logits against the NumPy reference (tools/reference.py) on tiny random models of every architecture.

    PUNA_BIN=build/puna pytest tests/golden/test_architectures.py

Lengths cross the pages of the KV cache (64 positions) and the windows of the models. The depth test runs the first
1, 2, ... layers of one model, so a failure names the layer where the two part. Needs numpy and gguf.
"""

import functools
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

LENGTHS = (1, 2, 17, 63, 64, 65, 130)
IDS = [1] + np.random.default_rng(7).integers(3, 300, max(LENGTHS) - 1).tolist()
F32_CACHE = ("--cache-type-k", "f32", "--cache-type-v", "f32")
# Of the spread of the logits: float32 sums in another order; what a 16-bit cache adds.
TOLERANCE, TOLERANCE_F16_CACHE = 1e-4, 2e-2


@pytest.fixture(scope="session")
def make(tmp_path_factory):
    """make(preset, kind, layers, width): (path, reference logits [n_ids, n_vocab]), each made once."""
    folder = tmp_path_factory.mktemp("models")

    @functools.lru_cache(maxsize=None)
    def make_one(preset, kind="F32", layers=None, width=None):
        path = folder / f"{preset}-{kind}-{layers}-{width}.gguf"
        tiny_model.write_model(path, preset, kind, layers, width)
        return path, reference.Model(path).logits(IDS)

    return make_one


def puna_logits(model, n_ids, *options):
    """[n_ids, n_vocab] from puna for the first n_ids tokens."""
    out = model.with_suffix(".f32")
    command = [PUNA, "logits", "-m", str(model), "--ids", ",".join(map(str, IDS[:n_ids])), "--all", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return np.fromfile(out, np.float32).reshape(n_ids, -1).astype(np.float64)


def worst(found, expected, scale):
    """Largest difference in units of scale, and its position."""
    error = np.abs(found - expected[: len(found)])
    return error.max() / scale, int(np.unravel_index(error.argmax(), error.shape)[0])


@pytest.mark.parametrize("preset", tiny_model.PRESETS)
def test_lengths(make, preset):
    path, expected = make(preset)
    for n in LENGTHS:
        error, position = worst(puna_logits(path, n, *F32_CACHE), expected, expected.std())
        assert error < TOLERANCE, f"{preset}, {n} tokens: off by {error:.1e} at position {position}"


@pytest.mark.parametrize("preset", ["llama", "llama-bias", "mixtral", "qwen2", "qwen3", "gemma3", "gemma3-scaled"])
def test_layer_by_layer(make, preset):
    for layers in range(1, tiny_model.options(preset)["layers"] + 1):
        path, expected = make(preset, "F32", layers)
        error, position = worst(puna_logits(path, 100, *F32_CACHE), expected, expected.std())
        assert error < TOLERANCE, f"{preset}: layer {layers - 1} is off by {error:.1e} at position {position}"


@pytest.mark.parametrize("preset", ["llama", "qwen3", "gemma3"])
def test_default_cache(make, preset):
    path, expected = make(preset)
    error, position = worst(puna_logits(path, 130), expected, expected.std())
    assert error < TOLERANCE_F16_CACHE, f"{preset}: off by {error:.1e} at position {position}"


@pytest.mark.parametrize("kind", ["F16", "BF16"])
@pytest.mark.parametrize("preset", ["llama", "mixtral-all", "qwen2", "qwen3", "gemma3"])
def test_16_bit_weights(make, preset, kind):
    path, expected = make(preset, kind)
    error, position = worst(puna_logits(path, 130, *F32_CACHE), expected, expected.std())
    assert error < TOLERANCE, f"{preset} {kind}: off by {error:.1e} at position {position}"


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"])
@pytest.mark.parametrize("preset", ["llama", "mixtral-all", "qwen2", "qwen3", "gemma3"])
def test_quantised_weights(make, preset, kind):
    """The reference multiplies the dequantised weights exactly; puna rounds activations to 8 bits."""
    path, expected = make(preset, kind, 2, 256)
    found = puna_logits(path, 100, *F32_CACHE)
    nmse = np.mean((found - expected[:100]) ** 2) / expected.var()
    assert nmse < 5e-3, f"{preset} {kind}: normalised mean square error {nmse:.1e}"
