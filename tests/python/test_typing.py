"""mypy --strict finds nothing in the package, as a user has it: with the generated declarations inside."""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_package_is_typed(tmp_path):
    from puna import _header

    shutil.copytree(ROOT / "python" / "puna", tmp_path / "puna", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_header.__file__, tmp_path / "puna")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "puna"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
