"""pip install of the source tree into a fresh virtual environment. It builds everything, so it runs in CI, and elsewhere
with PUNA_TEST_INSTALL=1."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    "PUNA_TEST_INSTALL" not in os.environ and os.environ.get("CI") != "true", reason="PUNA_TEST_INSTALL is not set"
)

USE = """
import sys
from puna import Llama
with Llama(sys.argv[1], n_threads=1) as llm:
    print(llm("The capital of France is", max_tokens=1, temperature=0)["choices"][0]["text"])
    print(llm.create_chat_completion([{"role": "user", "content": "Hi"}], max_tokens=1)["usage"]["completion_tokens"])
assert "numpy" not in sys.modules
import puna
print(puna._binding.library_path())
"""


def test_pip_install(model_path):
    folder = ROOT / "build" / "test-install"
    shutil.rmtree(folder, ignore_errors=True)
    source, venv = folder / "source", folder / "venv"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, files.split("\0")):  # what is committed is enough
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PUNA_") and name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }

    # one kind of card instead of all: half a minute each
    environment["SKBUILD_CMAKE_DEFINE"] = "PUNA_CUDA_ARCHITECTURES=75"

    def run(*command, **options):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", venv)
    python = venv / "bin" / "python"
    run(python, "-m", "pip", "install", "--disable-pip-version-check", source)
    words = run(python, "-c", USE, model_path).split()
    assert words[:2] == ["Paris", "1"] and words[2].startswith(str(venv))
    kernels = pathlib.Path(words[2]).read_bytes()  # that nvcc made, where it is, and their source
    assert shutil.which("nvcc") is None or kernels.count(b"compute_75") > 0 or b"sm_75" in kernels
    assert b"kernels.cu: every kernel" in kernels
    installed = run(python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check").split()
    assert {line.partition("==")[0] for line in installed} <= {"pip", "setuptools", "puna"}
    assert run(venv / "bin" / "puna", "--version").startswith("puna ")
    answer = run(
        venv / "bin" / "puna", "run", "-m", model_path, "-p", "The capital of France is", "-n", "1", "--temp", "0"
    )
    assert answer.strip() == "Paris"
    (info,) = venv.glob("lib/python*/site-packages/puna-*.dist-info")
    assert "Tag: py3-none-" in (info / "WHEEL").read_text()
    assert not (info.parent / "bin").exists() and not (info.parent / "include").exists()
    shutil.rmtree(folder)
