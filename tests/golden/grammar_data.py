"""The shared cases of grammars and schemas: $PUNA_SHARED/data/grammar."""

import json
import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("PUNA_SHARED", ROOT.parent / "shared")) / "data" / "grammar"


def cases(name):
    path = DATA / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else []


def require(name):
    """Elsewhere absent data means skipping; in CI it is an error."""
    if cases(name):
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"no cases in {DATA}")
    pytest.skip(f"no cases in {DATA}")


def text_of(entry):
    """The text of an entry that may be given in parts or by name (expand.py beside the data)."""
    sys.path.insert(0, str(DATA))
    try:
        import expand
    finally:
        sys.path.remove(str(DATA))
    return expand.text(entry)
