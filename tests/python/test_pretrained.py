"""Llama.from_pretrained against a local hub, with the package huggingface_hub and with `puna pull`."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "hub"))
from hub_place import REPO, Entry, hub, needs_program, place  # noqa: E402, F401

pytestmark = needs_program

FILES = ["one.Q4_0.gguf", "one.Q8_0.gguf", "sub/two-00001-of-00002.gguf", "sub/two-00002-of-00002.gguf"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    subprocess.run([sys.executable, ROOT / "tools" / "tiny_model.py", "llama", path], check=True)
    return path.read_bytes()


@pytest.fixture(params=["huggingface_hub", "puna pull"])
def get(request, hub, place, tiny):  # noqa: F811
    if request.param == "huggingface_hub":
        pytest.importorskip("huggingface_hub")
    hub.repo(REPO).commit({name: Entry(tiny) for name in FILES})

    def run(arguments, model=True):
        code = """
import json, sys
if sys.argv[1] != "huggingface_hub":
    sys.modules["huggingface_hub"] = None
import puna
repo, arguments = sys.argv[2], json.loads(sys.argv[3])
if sys.argv[4] == "1":
    llm = puna.Llama.from_pretrained(repo, n_threads=1, **arguments)
    print(json.dumps([llm.model_path, llm("a", max_tokens=2)["usage"]["completion_tokens"]]))
else:
    from puna import _pretrained
    given = dict(additional_files=None, local_dir=None, local_dir_use_symlinks="auto", cache_dir=None, **arguments)
    print(json.dumps([_pretrained.download(repo, **given)]))
"""
        environment = {**place.env, "PYTHONPATH": str(ROOT / "python")}
        environment.update({name: os.environ[name] for name in ("PUNA_LIBRARY", "PUNA_BIN")})
        command = [sys.executable, "-c", code, request.param, REPO, json.dumps(arguments), str(int(model))]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        return json.loads(result.stdout) if result.returncode == 0 else result.stderr

    return run


def test_one_file_by_pattern(get, place):  # noqa: F811
    path, n_tokens = get({"filename": "*q8_0*".replace("q", "Q")})
    assert path.endswith("/one.Q8_0.gguf") and path.startswith(str(place.cache)) and n_tokens == 2


def test_it_goes_where_it_is_told(get, place):  # noqa: F811
    path, _ = get({"filename": "one.Q4_0.gguf", "local_dir": str(place.folder / "here")})
    assert path == str(place.folder / "here" / "one.Q4_0.gguf")
    path, _ = get({"filename": "one.Q4_0.gguf", "cache_dir": str(place.folder / "other")})
    assert path.startswith(str(place.folder / "other"))


def test_additional_files(get, place):  # noqa: F811
    get({"filename": "one.Q4_0.gguf", "additional_files": ["one.Q8*"]})
    assert len(list(place.cache.glob("**/snapshots/*/*.gguf"))) == 2


def test_all_parts_of_a_split_model(get):
    (path,) = get({"filename": "sub/two-*"}, model=False)
    assert path.endswith("/sub/two-00001-of-00002.gguf")
    assert pathlib.Path(path.replace("00001-of", "00002-of")).exists()


@pytest.mark.parametrize("pattern", ["*.gguf", "three*"])
def test_exactly_one_file_must_match(get, pattern):
    error = get({"filename": pattern})
    assert "ValueError: " in error and "one.Q4_0.gguf" in error
