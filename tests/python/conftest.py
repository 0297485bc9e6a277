"""The Python package from the source tree, on the release build: PUNA_LIBRARY names another libpuna."""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("PUNA_LIBRARY", str(ROOT / "build" / "release" / "libpuna.so"))
os.environ.setdefault("PUNA_BIN", str(ROOT / "build" / "release" / "puna"))
sys.path.insert(0, str(ROOT / "python"))


def _model(variable):
    path = os.environ.get(variable, "")
    if not os.path.isfile(path):
        if os.environ.get("CI") == "true":
            pytest.fail("%s names no file" % variable)
        pytest.skip("%s names no file" % variable)
    return path


@pytest.fixture(scope="session")
def model_path():
    """SmolLM2-135M-Instruct: byte-level BPE, ChatML."""
    return _model("PUNA_TEST_MODEL")


@pytest.fixture(scope="session")
def gemma_path():
    """Gemma 3 270M: a SentencePiece vocabulary."""
    return _model("PUNA_TEST_GEMMA")
