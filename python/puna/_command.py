"""The `puna` command of the wheel: becomes the program that lies inside the package."""

from __future__ import annotations

import os
import sys


def program() -> str:
    """The path of the puna program: inside the package, or $PUNA_BIN."""
    return os.environ.get("PUNA_BIN") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "puna")


def main() -> None:
    path = program()
    try:
        os.execv(path, ["puna", *sys.argv[1:]])
    except OSError as error:
        sys.exit("puna: cannot run %s: %s" % (path, error.strerror))
