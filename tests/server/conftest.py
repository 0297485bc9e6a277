"""Servers for the tests of the server: see serving.py.

    server         one for all tests of a session, with a tiny random model (512 positions, 4 slots) and no options
    start_server   start_server(*options) starts another one with that model; ended after the test
    tiny_model     the path of the model
    smol_server    one with SmolLM2 (PUNA_TEST_MODEL), which can chat; skips without it
"""

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import serving  # noqa: E402


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    if not os.path.exists(serving.PUNA):
        pytest.skip("no program at %s (PUNA_BIN)" % serving.PUNA)
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    subprocess.run([sys.executable, str(serving.ROOT / "tools/tiny_model.py"), "llama", str(path)], check=True,
                   capture_output=True)
    return path


TINY_OPTIONS = ("-np", 4, "-t", 1, "--chat-template", "chatml")


@pytest.fixture(scope="session")
def server(tiny_model):
    with serving.Server("-m", tiny_model, *TINY_OPTIONS) as one:
        yield one


@pytest.fixture
def start_server(tiny_model):
    running = []

    def start(*options, model=tiny_model, **how):
        running.append(serving.Server("-m", model, *TINY_OPTIONS, *options, **how))
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.folder.cleanup()


@pytest.fixture(scope="session")
def smol_server():
    model = os.environ.get("PUNA_TEST_MODEL", "")
    if not pathlib.Path(model).is_file():
        pytest.skip("PUNA_TEST_MODEL names no file")
    with serving.Server("-m", model, "-np", 4, "-c", 2048, "-b", 64, "-t", 1, "--alias", "smollm2") as one:
        yield one
