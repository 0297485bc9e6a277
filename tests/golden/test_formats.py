"""Decoding of every tensor type, bit for bit, against the independent package `gguf`.

    pytest tests/golden/test_formats.py        (needs numpy, gguf and a C compiler; skips without)

src/fmt/fmt.c depends on nothing but headers, so the test compiles it into a shared library of its own.
"""

import ctypes
import os
import pathlib
import shutil
import subprocess

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("gguf")

import formats  # noqa: E402  (after the skips)

ROOT = pathlib.Path(__file__).resolve().parents[2]


class FormatInfo(ctypes.Structure):
    """pn_format_info of src/fmt/fmt.h."""

    _fields_ = [("name", ctypes.c_char_p), ("id", ctypes.c_int), ("block_weights", ctypes.c_int32),
                ("block_bytes", ctypes.c_int32), ("has_kernels", ctypes.c_bool),
                ("decode", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64))]


@pytest.fixture(scope="session")
def fmt(tmp_path_factory):
    cc = os.environ.get("CC") or shutil.which("cc")
    if not cc:
        pytest.skip("no C compiler")
    path = tmp_path_factory.mktemp("fmt") / "fmt.so"
    subprocess.run([*cc.split(), "-std=c11", "-O2", "-ffp-contract=off", "-shared", "-fPIC", f"-I{ROOT}/src",
                    f"{ROOT}/src/fmt/fmt.c", "-o", str(path)], check=True)
    lib = ctypes.CDLL(str(path))
    lib.pn_format_get.restype = ctypes.POINTER(FormatInfo)
    lib.pn_format_get.argtypes = [ctypes.c_uint32]
    lib.pn_format_all.restype = ctypes.POINTER(FormatInfo)
    lib.pn_half_to_float.restype = ctypes.c_float
    lib.pn_float_to_half.restype = ctypes.c_uint16
    lib.pn_float_to_half.argtypes = [ctypes.c_float]
    return lib


def decode(fmt, name, blocks, offset=0):
    """Decodes through the library, from memory that starts offset bytes off alignment."""
    info = fmt.pn_format_get(formats.type_of(name)).contents
    data = np.zeros(blocks.size + 64, np.uint8)
    start = -data.ctypes.data % 64 + offset
    data[start:start + blocks.size] = blocks.reshape(-1)
    out = np.empty(len(blocks) * info.block_weights, np.float32)
    info.decode(data.ctypes.data + start, out.ctypes.data, out.size)
    return out


def assert_same(got, want, name):
    """Equal bit patterns; a NaN equals a NaN (which one an operation gives is left open by IEEE 754)."""
    same = (got.view(np.uint32) == want.view(np.uint32)) | (np.isnan(got) & np.isnan(want))
    wrong = np.flatnonzero(~same)
    assert wrong.size == 0, f"{name}: weight {wrong[0]}: {got[wrong[0]]!r}, expected {want[wrong[0]]!r}"


def test_table(fmt):
    n = ctypes.c_int32()
    infos = fmt.pn_format_all(ctypes.byref(n))
    assert n.value > len(formats.NAMES)
    for info in infos[:n.value]:
        name = info.name.decode()
        assert info.id == formats.type_of(name).value
        assert info.block_weights == formats.block_weights(name)
        # Q8_1 never stands in a file; the package gives its size from before the scales became binary16
        assert info.block_bytes == formats.block_bytes(name) or name == "Q8_1"
        assert info.has_kernels == (name in formats.NAMES) == bool(info.decode)


@pytest.mark.parametrize("name", formats.NAMES)
def test_typical(fmt, name):
    rng = np.random.default_rng(1)
    for offset in (0, 1, 2, 7):
        blocks = formats.typical_blocks(name, 2000, rng)
        assert_same(decode(fmt, name, blocks, offset), formats.expected(name, blocks), name)


@pytest.mark.parametrize("name", formats.NAMES)
def test_edges(fmt, name):
    blocks = formats.edge_blocks(name, np.random.default_rng(2))
    assert_same(decode(fmt, name, blocks), formats.expected(name, blocks), name)


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_encoded(fmt, name):
    """Real encodings lie close to what was encoded: catches an error that gguf's decoder would share."""
    x = np.random.default_rng(3).standard_normal(32 * 500).astype(np.float32)
    blocks = formats.gguf.quants.quantize(x, formats.type_of(name)).reshape(-1, formats.block_bytes(name))
    got = decode(fmt, name, blocks)
    assert np.mean((got - x) ** 2) < 0.01


def test_halves(fmt):
    """All 65,536 values, and the float on and beside every point where rounding changes direction."""
    h = np.arange(65536, dtype=np.uint16)
    want = h.view(np.float16).astype(np.float32)
    got = np.array([fmt.pn_half_to_float(int(v)) for v in h], np.float32)
    assert_same(got, want, "half_to_float")
    finite = np.unique(np.abs(want[np.isfinite(want)]))
    middle = np.append((finite[1:] + finite[:-1]) / 2, 65520).astype(np.float32)  # exact in float32
    points = np.concatenate([finite, middle, np.nextafter(middle, np.float32(np.inf)),
                             np.nextafter(middle, np.float32(0)), np.float32([1e-45, 1e38, np.inf])])
    points = np.concatenate([points, -points]).astype(np.float32)
    with np.errstate(over="ignore"):
        expected = points.astype(np.float16).view(np.uint16)
    got = np.array([fmt.pn_float_to_half(float(v)) for v in points], np.uint16)
    wrong = np.flatnonzero(got != expected)
    assert wrong.size == 0, f"{points[wrong[0]]!r}: {got[wrong[0]]:#x}, expected {expected[wrong[0]]:#x}"
