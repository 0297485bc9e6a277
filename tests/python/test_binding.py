"""The generated declarations: every function of puna.h is there, layouts are checked, wrong libraries are refused."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = ROOT / "include" / "puna.h"
TOOL = ROOT / "tools" / "make_binding.py"


def test_every_function_of_the_header_is_declared():
    from puna import _header

    names = re.findall(r"\b(puna_\w+)\(", re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S))
    assert names and set(names) == set(_header.PROTOTYPES)


def test_the_compiler_refuses_a_wrong_layout(tmp_path):
    changed = tmp_path / "other.h"
    changed.write_text(HEADER.read_text().replace("    int32_t n_layer;\n", "    int64_t n_layer;\n"))
    check = tmp_path / "check.c"
    subprocess.run([sys.executable, TOOL, changed, "--python", tmp_path / "_header.py", "--check", check], check=True)
    compile_it = ["cc", "-std=c11", "-I", HEADER.parent, "-c", check, "-o", tmp_path / "check.o"]
    result = subprocess.run(compile_it, capture_output=True, text=True)
    assert result.returncode != 0 and "sizeof(puna_model_info)" in result.stderr


@pytest.mark.parametrize(
    "line", ["typedef union puna_u { int a; } puna_u;", "PUNA_API puna_x *puna_y(void);", "int stray(void);"]
)
def test_what_the_generator_cannot_read_is_an_error(tmp_path, line):
    changed = tmp_path / "puna.h"
    changed.write_text(HEADER.read_text().replace("typedef struct puna_model puna_model;", line))
    result = subprocess.run(
        [sys.executable, TOOL, changed, "--python", tmp_path / "_header.py"], capture_output=True, text=True
    )
    assert result.returncode == 1 and result.stderr.startswith("make_binding: ")


def import_with(library):
    environment = {**os.environ, "PUNA_LIBRARY": str(library), "PYTHONPATH": str(ROOT / "python")}
    return subprocess.run([sys.executable, "-c", "import puna"], env=environment, capture_output=True, text=True)


def test_a_library_of_another_version_is_refused(tmp_path):
    source = tmp_path / "other.c"
    source.write_text('const char *puna_version(void) { return "9.9.9"; }\n')
    library = tmp_path / "libpuna.so"
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)
    (tmp_path / "python").mkdir()
    subprocess.run([sys.executable, TOOL, HEADER, "--python", tmp_path / "python" / "_header.py"], check=True)
    result = import_with(library)
    assert result.returncode == 1 and "is version 9.9.9, this package is" in result.stderr


def test_without_a_build_the_message_says_what_to_do(tmp_path):
    result = import_with(tmp_path / "libpuna.so")
    assert result.returncode == 1 and "PUNA_LIBRARY" in result.stderr
