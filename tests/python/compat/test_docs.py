"""The code in the documentation runs as it stands, one example after another, with the default model as model.gguf."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]


def examples(path, language):
    """The code of the page, each line where it is in the page, so that a message names the right one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    inside, code = False, []
    for line in lines:
        if line.startswith("```"):
            inside = line == "```" + language and not inside
            code.append("")
        else:
            code.append(line if inside else "")
    return "\n".join(code) + "\n"


@pytest.mark.parametrize("page", ["docs/PYTHON.md", "README.md"])
def test_python(page, model_path, tmp_path):
    code = examples(ROOT / page, "python")
    if not code.strip():
        pytest.skip("%s has no Python" % page)
    (tmp_path / "model.gguf").symlink_to(model_path)
    script = tmp_path / re.sub(r"\W", "_", page)
    script.write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    command = [sys.executable, "-W", "error", str(script)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def test_c(model_path, tmp_path):
    (tmp_path / "hello.c").write_text(examples(ROOT / "README.md", "c"), encoding="utf-8")
    build = pathlib.Path(os.environ["PUNA_LIBRARY"]).resolve().parent
    libraries = ["-I", ROOT / "include", "-L", build, "-lpuna", "-Wl,-rpath,%s" % build]
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "hello.c", *libraries, "-o", "hello"]
    subprocess.run(command, cwd=tmp_path, check=True)
    hello = [tmp_path / "hello"]
    result = subprocess.run([*hello, model_path], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and result.stdout.startswith(" Paris")
    result = subprocess.run([*hello, tmp_path / "missing.gguf"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "missing.gguf" in result.stdout
