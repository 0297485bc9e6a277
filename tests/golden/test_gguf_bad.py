"""Malformed model files: each must load or be refused as its maker says, with a message that names the problem.

    PUNA_BIN=build/puna PUNA_SHARED=../shared pytest tests/golden/test_gguf_bad.py

The files and the expected outcomes come from $PUNA_SHARED/data/gguf_bad. Meant for a build with sanitizers as well as
for a release build; a report of a sanitizer counts as a crash. PUNA_FUZZ_SEED moves the random mutations elsewhere.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAKER = pathlib.Path(os.environ.get("PUNA_SHARED", ROOT.parent / "shared")) / "data" / "gguf_bad"
PUNA = os.environ.get("PUNA_BIN")
MODEL = os.environ.get("PUNA_TEST_MODEL")
pytestmark = [pytest.mark.skipif(not PUNA, reason="PUNA_BIN does not name the puna program"),
              pytest.mark.skipif(not MAKER.is_dir(), reason="PUNA_SHARED has no data/gguf_bad")]
GROUPS = ("header", "kv", "hparams", "vocab", "tensor", "data", "split", "template", "fs")


def is_sanitized():
    return b"__asan_init" in pathlib.Path(PUNA).read_bytes()


def run_all(folder, *options):
    """run_bad.py over a folder of files: the list of its results."""
    result = folder / "results.json"
    # address space: the shadow memory of a sanitizer takes terabytes of it
    limit = "0" if is_sanitized() else "8192"
    environment = dict(os.environ, ASAN_OPTIONS="exitcode=126", UBSAN_OPTIONS="exitcode=126")
    subprocess.run([sys.executable, MAKER / "run_bad.py", folder, "--as", limit, "--timeout", "20", "--json", result,
                    *options, "--", os.path.abspath(PUNA), "run", "-m", "{}", "-p", "text", "-n", "4"],
                   env=environment, stdout=subprocess.DEVNULL, check=False)
    return json.loads(result.read_text())


def check(results):
    failed = [f"{r['id']}: expected {r['expect']}, got {r['outcome']}: {r['tail']}" for r in results if not r["pass"]]
    assert results and not failed, f"{len(failed)} of {len(results)}:\n" + "\n".join(failed)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf_bad")
    subprocess.run([sys.executable, MAKER / "gguf_bad.py", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.mark.parametrize("group", GROUPS)
def test_group(cases, group):
    check(run_all(cases, "--group", group))


def test_every_group_is_listed(cases):
    assert {case["group"] for case in json.loads((cases / "manifest.json").read_text())} == set(GROUPS)


def test_mutations(tmp_path):
    seed = os.environ.get("PUNA_FUZZ_SEED", "0")
    subprocess.run([sys.executable, MAKER / "gguf_bad.py", tmp_path, "--fuzz", "300", "--seed", seed], check=True,
                   stdout=subprocess.DEVNULL)
    check(run_all(tmp_path))


@pytest.mark.skipif(not MODEL, reason="PUNA_TEST_MODEL does not name a model file")
@pytest.mark.parametrize("how", [(), ("--replace",)])
@pytest.mark.parametrize("flags", [(), ("--no-mmap",)])
def test_file_changes_while_in_use(how, flags):
    """The file is cut, or overwritten with zeros, under a program that is generating: no signal may end it."""
    done = subprocess.run([sys.executable, MAKER / "shrink.py", MODEL, "--after", "2", "--timeout", "6", *how, "--",
                           os.path.abspath(PUNA), "run", "-m", "{}", "-p", "Once upon a time", "-n", "100000", "-c",
                           "8192", "--ignore-eos", *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
