"""puna.llama_cpp: what a program that says `import llama_cpp` finds. Each case in a process of its own."""

import os
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[3] / "python"


def python(code, *arguments, **keywords):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    command = [sys.executable, *arguments] + (["-c", code] if code else [])
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, **keywords)


def check(code, *arguments, **keywords):
    result = python(code, *arguments, **keywords)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_nothing_happens_unasked():
    check("import sys, puna; assert 'llama_cpp' not in sys.modules")
    check("import sys, puna.llama_cpp; assert 'llama_cpp' not in sys.modules")


def test_every_module_after_install():
    check(
        """
import puna, puna.llama_cpp
puna.llama_cpp.install()
puna.llama_cpp.install()
import llama_cpp
import llama_cpp.llama_chat_format as formats
from llama_cpp import Llama, LlamaGrammar, LogitsProcessorList, StoppingCriteriaList, LlamaRAMCache, LlamaCache
from llama_cpp import LlamaState, LlamaDiskCache, LlamaTokenizer, BaseLlamaTokenizer, MinTokensLogitsProcessor
from llama_cpp import LogitsProcessor, StoppingCriteria, LlamaDraftModel, BaseLlamaCache
from llama_cpp import ChatCompletionRequestUserMessage, CreateChatCompletionResponse
from llama_cpp import llama_types, llama_grammar
from llama_cpp.llama import Llama as again
from llama_cpp.llama_cpp import llama_backend_init, GGML_TYPE_Q8_0
from llama_cpp.llama_speculative import LlamaPromptLookupDecoding
from llama_cpp.llama_tokenizer import LlamaHFTokenizer
from llama_cpp.llama_cache import LlamaDiskCache
from llama_cpp._logger import logger
import llama_cpp._internals
assert Llama is again is puna.Llama and llama_cpp.llama_types is llama_types is puna.llama_types
assert formats is puna.llama_chat_format and llama_cpp.llama_chat_format is formats
assert llama_cpp.__version__.startswith("0.3.")
assert puna.llama_cpp.is_installed()
"""
    )


def test_the_layout_is_under_puna_too():
    check(
        """
import puna.llama_cpp as llama_cpp
from puna.llama_cpp import Llama, llama_types
from puna.llama_cpp.llama_chat_format import Jinja2ChatFormatter
import puna.llama_cpp.llama_grammar
assert llama_cpp.LLAMA_SPLIT_MODE_ROW == 2 and llama_cpp.GGML_TYPE_F16 == 1
"""
    )


def test_finders_see_it():
    check(
        """
import importlib.util, puna.llama_cpp
puna.llama_cpp.install()
assert importlib.util.find_spec("llama_cpp").name == "llama_cpp"
import llama_cpp, types
assert isinstance(llama_cpp, types.ModuleType) and llama_cpp.__name__ == "llama_cpp"
from llama_cpp import *
assert Llama and LLAMA_DEFAULT_SEED == 0xFFFFFFFF and llama_supports_mmap()
"""
    )


def test_uninstall():
    check(
        """
import sys, puna.llama_cpp
puna.llama_cpp.install()
puna.llama_cpp.uninstall()
assert not [name for name in sys.modules if name.split(".")[0] == "llama_cpp"]
"""
    )


def test_another_llama_cpp_is_left_alone(tmp_path):
    (tmp_path / "llama_cpp.py").write_text("Llama = 1")
    result = python("import llama_cpp, puna.llama_cpp; puna.llama_cpp.install()", cwd=tmp_path)
    assert result.returncode == 1 and "llama_cpp has been imported from" in result.stderr


def test_the_low_level_functions():
    check(
        """
import puna.llama_cpp as llama_cpp
llama_cpp.llama_backend_init()
llama_cpp.llama_numa_init(0)
llama_cpp.llama_backend_free()
assert llama_cpp.llama_print_system_info().startswith(b"puna ")
assert llama_cpp.llama_supports_mmap() is True and llama_cpp.llama_supports_gpu_offload() is False
assert llama_cpp.llama_max_devices() == llama_cpp.LLAMA_MAX_DEVICES
assert llama_cpp.llama_time_us() <= llama_cpp.llama_time_us()
params = llama_cpp.llama_model_default_params()
params.use_mmap = False
"""
    )


def test_functions_that_are_not_there_say_so():
    code = "import puna.llama_cpp as l; assert not hasattr(l, 'llama_decode'); l.llama_decode"
    result = python(code)
    assert result.returncode == 1 and "llama_decode is a function of llama.cpp that puna does not have" in result.stderr
    result = python("import puna.llama_cpp; puna.llama_cpp.install(); import llama_cpp.server")
    assert result.returncode == 1 and "No module named 'llama_cpp.server'" in result.stderr


def test_log_callbacks():
    """Whoever takes the messages gets llama.cpp's levels and line ends; None gives them back to logging."""
    check(
        """
import logging, puna._binding, puna._log, puna.llama_cpp as llama_cpp
got = []

def send(text):  # as the library calls what puna_set_log was given
    llama_cpp.llama_cpp._log_receiver(None, puna._binding.PUNA_LOG_WARN, text)

@llama_cpp.llama_log_callback
def receive(level, text, user_data):
    got.append((level, text))

llama_cpp.llama_log_set(receive)
send(b"one")
llama_cpp.llama_log_set(lambda level, text, user_data: got.append((level, text, user_data)), "mine")
send(b"two")
warn = llama_cpp.GGML_LOG_LEVEL_WARN
assert got == [(warn, b"one\\n"), (warn, b"two\\n", "mine")], got
llama_cpp.llama_log_set(None)
assert llama_cpp.llama_cpp._log_receiver is puna._log._from_c
"""
    )


def test_a_program_runs_unchanged(tmp_path):
    (tmp_path / "helper.py").write_text("VALUE = 7")
    (tmp_path / "program.py").write_text(
        "import sys, helper\nfrom llama_cpp import Llama\n"
        "if __name__ == '__main__':\n    print(Llama.__module__, sys.argv[1:], helper.VALUE)\n"
    )
    wanted = "puna.llama ['-x', 'y'] 7\n"
    program = ["-m", "puna.llama_cpp", str(tmp_path / "program.py"), "-x", "y"]
    assert check(None, *program) == wanted
    assert check(None, "-m", "puna.llama_cpp", "-m", "program", "-x", "y", cwd=tmp_path) == wanted
    result = python(None, "-m", "puna.llama_cpp")
    assert result.returncode == 1 and "python -m puna.llama_cpp" in result.stderr


@pytest.mark.parametrize("name", ["LLAMA_POOLING_TYPE_MEAN", "GGML_TYPE_Q5_K", "LLAMA_ROPE_SCALING_TYPE_YARN"])
def test_constants_are_integers(name):
    assert int(check("import puna.llama_cpp as l; print(l.%s)" % name)) >= 0
