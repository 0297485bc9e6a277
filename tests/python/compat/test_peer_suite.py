"""llama-cpp-python's own tests, unmodified, with puna in the place of llama_cpp.

The tests come out of its source distribution (peer_suite.py) and run in a process of their own, beside a conftest.py
that installs the alias. Those that need no model must all pass as they are. Those about cached prompts download small
models; here the download is replaced: it gives SmolLM2 in place of the small llama they name, and skips the tests of
architectures that puna does not have. These are reported apart: same tests, another model.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import peer_suite
import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[3] / "python"

WITHOUT_A_MODEL = [
    "test_llama.py::test_llama_cpp_version",
    "test_llama.py::test_llama_cpp_tokenization",
    "test_llama_chat_format.py::test_mistral_instruct",
    "test_llama_chat_format.py::test_hf_tokenizer_config_str_to_chat_formatter",
    "test_llama_grammar.py::test_grammar_from_string",
    "test_llama_grammar.py::test_composed_pydantic_grammar",
    "test_llama_grammar.py::test_grammar_anyof",
    "test_llama_speculative.py::test_find_candidate_pred_tokens",
]
ON_ANOTHER_MODEL = [
    "test_llama.py::test_exact_cached_prompt_reuse_matches_fresh[llama_cpp_transformer_model_path-False-False]",
    "test_llama.py::test_loaded_exact_cached_prompt_reuse_matches_fresh[llama_cpp_transformer_model_path-False-False]",
    "test_llama.py::test_ram_cache_exact_prompt_hit_matches_fresh[llama_cpp_transformer_model_path-False-False]",
    "test_llama.py::test_shorter_prompt_prefix_reuse_matches_fresh[llama_cpp_transformer_model_path-False-False]",
]

# Two of its imports are not needed by any test that runs here: scipy's log_softmax, and the downloads.
CONFTEST = '''
import os
import sys
import types

import pytest

import puna.llama_cpp

puna.llama_cpp.install()


def hf_hub_download(repo_id, filename):
    if filename == "tinyllamas/stories15M-q4_0.gguf":
        return os.environ["PUNA_TEST_MODEL"]
    pytest.skip("%s/%s is not downloaded" % (repo_id, filename))


for name, member in (("scipy.special", "log_softmax"), ("huggingface_hub", "hf_hub_download")):
    module = types.ModuleType(name)
    setattr(module, member, globals().get(member))
    sys.modules[name] = module
'''


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, model_path):
    """The outcome of each of its tests, by name: passed, failed or skipped; and the output."""
    try:
        source = peer_suite.folder()
    except LookupError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("llama-cpp-python's tests cannot be fetched: %s" % error)
    work = tmp_path_factory.mktemp("llama-cpp-python") / "suite"
    shutil.copytree(source, work)
    (work / "conftest.py").write_text(CONFTEST)
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "PUNA_TEST_MODEL": model_path}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml=report.xml", "tests"]
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=300)
    found = {}
    for case in xml.etree.ElementTree.parse(work / "report.xml").iter("testcase"):
        name = "%s.py::%s" % (case.get("classname").rpartition(".")[2], case.get("name"))
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[name] = kinds[0] if kinds else "passed"
    for name in peer_suite.FILES:  # they ran as they were fetched
        assert (work / name).read_bytes() == pathlib.Path(source, name).read_bytes()
    return found, result.stdout + result.stderr


@pytest.mark.parametrize("name", WITHOUT_A_MODEL)
def test_unmodified(outcomes, name):
    assert outcomes[0].get(name) == "passed", outcomes[1]


@pytest.mark.parametrize("name", ON_ANOTHER_MODEL)
def test_on_another_model(outcomes, name):
    assert outcomes[0].get(name) == "passed", outcomes[1]


def test_the_others_are_skipped_for_want_of_their_models(outcomes):
    others = {name: kind for name, kind in outcomes[0].items() if name not in WITHOUT_A_MODEL + ON_ANOTHER_MODEL}
    assert others and set(others.values()) == {"skipped"}, outcomes[1]
