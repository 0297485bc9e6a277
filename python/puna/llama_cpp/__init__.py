"""llama-cpp-python's module layout, served by puna.

    import puna.llama_cpp as llama_cpp           one program that is changed in its import alone

    import puna.llama_cpp                        everything in this process, unchanged: packages that say
    puna.llama_cpp.install()                     `import llama_cpp` get puna from here on

    python -m puna.llama_cpp program.py ...      the same for a program that is not to be changed at all
    python -m puna.llama_cpp -m module ...

``install`` is never called by itself: puna and llama-cpp-python may be installed side by side.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from typing import Any

from .. import llama, llama_cache, llama_chat_format, llama_grammar, llama_speculative, llama_tokenizer, llama_types
from ..llama import *
from ..llama_cache import BaseLlamaCache, LlamaCache, LlamaDiskCache, LlamaRAMCache
from ..llama_grammar import LlamaGrammar
from ..llama_speculative import LlamaDraftModel
from ..llama_tokenizer import BaseLlamaTokenizer, LlamaTokenizer
from ..llama_types import *
from . import _internals, _logger
from . import llama_cpp
from .llama_cpp import *

# The version of llama-cpp-python whose interface this is.
__version__ = "0.3.36"

_SUBMODULES = {
    "llama": llama,
    "llama_cache": llama_cache,
    "llama_chat_format": llama_chat_format,
    "llama_cpp": llama_cpp,
    "llama_grammar": llama_grammar,
    "llama_speculative": llama_speculative,
    "llama_tokenizer": llama_tokenizer,
    "llama_types": llama_types,
    "_internals": _internals,
    "_logger": _logger,
}

# puna.llama_cpp.llama_types and the others can be imported as they could from llama_cpp
for _name, _module in _SUBMODULES.items():
    sys.modules[__name__ + "." + _name] = _module


def _alias() -> types.ModuleType:
    """A module named llama_cpp with all that is here. It has no folder: it has exactly the submodules above."""
    alias = types.ModuleType("llama_cpp", __doc__)
    alias.__spec__ = importlib.machinery.ModuleSpec("llama_cpp", None, is_package=True)
    alias.__path__ = []
    kept = ("__name__", "__doc__", "__spec__", "__path__", "__loader__", "__package__", "__file__", "__cached__")
    alias.__dict__.update({name: value for name, value in globals().items() if name not in kept})
    alias.__dict__["__package__"] = "llama_cpp"
    alias.__file__ = __file__
    return alias


def is_installed() -> bool:
    """Whether `import llama_cpp` gives puna in this process."""
    return getattr(sys.modules.get("llama_cpp"), "install", None) is install


def install() -> None:
    """Makes `import llama_cpp` give puna in this process. A second call does nothing.

    ImportError when llama-cpp-python has been imported already: whoever did that holds the other package's classes.
    """
    if is_installed():
        return
    other = sys.modules.get("llama_cpp")
    if other is not None:
        raise ImportError(
            "puna.llama_cpp.install() comes too late: llama_cpp has been imported from %s"
            % getattr(other, "__file__", "elsewhere")
        )
    sys.modules["llama_cpp"] = _alias()
    for name, module in _SUBMODULES.items():
        sys.modules["llama_cpp." + name] = module


def uninstall() -> None:
    """Takes `install` back; what was imported meanwhile stays puna's."""
    if is_installed():
        for name in ["llama_cpp", *("llama_cpp." + name for name in _SUBMODULES)]:
            del sys.modules[name]


def __getattr__(name: str) -> Any:
    if name.startswith("_"):  # such as __all__: what is not there is not there
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    return getattr(llama_cpp, name)  # raises: names a function of llama.cpp that is not there
