"""The container as puna shows it, key by key and tensor by tensor, against the reader of the independent package gguf.

    PUNA_BIN=build/puna PUNA_TEST_MODEL=model.gguf pytest tests/golden/test_gguf_reader.py

PUNA_TEST_GEMMA names a second file. Needs gguf and numpy; skips without.
"""

import functools
import json
import os
import subprocess

import pytest

np = pytest.importorskip("numpy")
gguf = pytest.importorskip("gguf")

PUNA = os.environ.get("PUNA_BIN")
FILES = [os.environ[name] for name in ("PUNA_TEST_MODEL", "PUNA_TEST_GEMMA") if os.environ.get(name)]
pytestmark = [pytest.mark.skipif(not PUNA, reason="PUNA_BIN does not name the puna program"),
              pytest.mark.skipif(not FILES, reason="PUNA_TEST_MODEL does not name a model file")]


@functools.lru_cache(maxsize=None)
def read(path):
    """The package's reader; it takes a while over a large vocabulary."""
    return gguf.GGUFReader(path)


@functools.lru_cache(maxsize=None)
def shown(path):
    out = subprocess.run([PUNA, "show", "--json", "--meta", "--tensors", path], capture_output=True, text=True,
                         check=True)
    return json.loads(out.stdout)


def value_text(field):
    """A value of the package's reader as puna prints it."""
    types = field.types
    if types[0] == gguf.GGUFValueType.ARRAY:
        kind = {"UINT": "u", "INT": "i", "FLOAT": "f"}
        name = types[1].name
        for long, short in kind.items():
            if name.startswith(long):
                name = short + name[len(long):]
        return f"[{len(field.data)} x {name.lower()}]"
    if types[0] == gguf.GGUFValueType.STRING:
        return bytes(field.parts[-1]).decode("utf-8", "replace")
    value = field.parts[-1][0]
    if types[0] == gguf.GGUFValueType.BOOL:
        return "true" if value else "false"
    return value


def same(text, value):
    if isinstance(value, str):
        return text == value
    if isinstance(value, np.floating):
        return type(value)(text) == value
    return int(text) == int(value)


@pytest.mark.parametrize("path", FILES)
def test_keys(path):
    reader = read(path)
    meta = shown(path)["meta"]
    theirs = {name: value_text(f) for name, f in reader.fields.items() if not name.startswith("GGUF.")}
    assert list(meta) == list(theirs)
    different = [name for name in theirs if not same(meta[name], theirs[name])]
    assert not different, [(name, meta[name], theirs[name]) for name in different]


@pytest.mark.parametrize("path", FILES)
def test_tensors(path):
    reader = read(path)
    ours = [(t["name"], t["type"], t["dims"], t["bytes"]) for t in shown(path)["tensors"]]
    theirs = [(t.name, t.tensor_type.name, [int(d) for d in t.shape], int(t.n_bytes)) for t in reader.tensors]
    assert ours == theirs
