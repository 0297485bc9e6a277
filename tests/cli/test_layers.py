"""The layer check: this tree is in order, and each kind of breach is found."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import check_layers  # noqa: E402


def test_this_tree():
    assert check_layers.breaches() == []


@pytest.mark.parametrize("path, line, words", [
    ("src/fmt/a.c", '#include "gguf/gguf.h"', "fmt may not include gguf"),
    ("src/arch/a.c", '#include "cpu/cpu.h"', "arch may not include cpu"),
    ("src/cpu/isa/a.c", '#include "text/text.h"', "cpu may not include text"),
    ("src/text/a.c", '#include "simd/simd.h"', "text may not include simd"),
    ("src/base/a.c", '#include "nowhere.h"', "no such header"),
    ("cli/a.c", '#include "base/base.h"', "only puna.h"),
    ("cli/a.c", '#include "hub/digest.h"', "only puna.h"),
    ("hub/a.c", '#include "gguf/gguf.h"', "only puna.h"),
    ("src/cpu/a.c", "#include <immintrin.h>", "belongs into src/simd"),
    ("src/text/a.c", "#include <pcre2.h>", "one file"),
    ("src/other/a.c", "", "no place"),
    ("cli/run.h", "", "is taken by"),
])
def test_breach(tmp_path, path, line, words):
    for layer in ["base", "simd", "fmt", "gguf", "plan", "arch", "backend", "cpu", "text", "tmpl", "grammar", "run"]:
        folder = tmp_path / "src" / layer
        folder.mkdir(parents=True)
        (folder / (layer + ".h")).write_text("")
    for folder in ["include", "cli", "server", "hub", "tests", "tools"]:
        (tmp_path / folder).mkdir()
    (tmp_path / "src/run/user.c").write_text('#include "text/text.h"\n#include <pcre2.h>\n#include <jansson.h>\n')
    assert check_layers.breaches(tmp_path) == []
    target = tmp_path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(line + "\n")
    found = check_layers.breaches(tmp_path)
    assert len(found) == 1 and words in found[0]
