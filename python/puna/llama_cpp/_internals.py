"""``llama_cpp._internals``: the classes behind ``Llama._model``. The others of that module are bound to llama.cpp's own
structures and do not exist here; asking for one raises AttributeError that says so."""

from __future__ import annotations

from typing import Any

from .._model import Model as LlamaModel

__all__ = ["LlamaModel"]


def __getattr__(name: str) -> Any:
    if name.startswith(("Llama", "Custom")):
        raise AttributeError("%s belongs to the inside of llama-cpp-python and is not in puna: use puna.Llama" % name)
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
