"""Loads libpuna and declares its functions: `lib.puna_x(...)`, the structs and constants of puna.h.

The declarations are in puna/_header.py, which the build generates from puna.h (tools/make_binding.py) and whose
layouts the C compiler has checked. PUNA_LIBRARY names another libpuna than the one inside the package, such as
build/release/libpuna.so: the package then runs from its source tree with that build's declarations.

`lib` releases the GIL during every call. Functions that return puna_status go through `check`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Callable, Union

import puna

_override = os.environ.get("PUNA_LIBRARY")
if _override:
    puna.__path__.insert(0, os.path.join(os.path.dirname(os.path.abspath(_override)), "python"))

try:
    from . import _header
    from ._header import *
except ImportError as error:
    raise ImportError(
        "puna is not built: install it with pip, or set PUNA_LIBRARY to the libpuna of a build directory"
    ) from error


class PunaError(RuntimeError):
    """What libpuna refused or could not do. `code` is the puna_status, such as PUNA_E_LIMIT."""

    def __init__(self, message: str, code: int = 0):
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.code)


class PunaValueError(PunaError, ValueError):
    """An argument, a text or a file that is not what it must be."""


_VALUE_ERRORS = (PUNA_E_ARG, PUNA_E_FORMAT, PUNA_E_UNSUPPORTED)


def library_path() -> str:
    """The shared library in use."""
    if _override:
        return os.path.abspath(_override)
    name = {"darwin": "libpuna.dylib", "win32": "puna.dll"}.get(sys.platform, "libpuna.so")
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", name)


def _missing(name: str) -> Callable[..., Any]:
    def raise_missing(*_: Any) -> Any:
        raise PunaError("%s has no function %s" % (library_path(), name))

    return raise_missing


def _load() -> Any:
    path = library_path()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError("puna: cannot load %s: %s" % (path, error)) from error
    for name, (restype, argtypes) in _header.PROTOTYPES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            setattr(library, name, _missing(name))
            continue
        function.restype, function.argtypes = restype, argtypes
    return library


# option structs, each with the function that writes its default values and the size the library knows it by
_INITS = {
    "puna_model_options_init": _header.puna_model_options,
    "puna_engine_options_init": _header.puna_engine_options,
    "puna_seq_options_init": _header.puna_seq_options,
}


def _check_library(library: Any) -> None:
    found = library.puna_version().decode()
    if found != _header.PUNA_VERSION:
        raise ImportError("puna: %s is version %s, this package is %s" % (library_path(), found, _header.PUNA_VERSION))
    for name, struct in _INITS.items():
        room = ctypes.create_string_buffer(4096)
        function = getattr(library, name)
        function(ctypes.cast(room, function.argtypes[0]))
        size = ctypes.c_size_t.from_buffer(room).value
        if size != ctypes.sizeof(struct):
            raise ImportError(
                "puna: %s does not belong to this package: %s has %d bytes there and %d here"
                % (library_path(), struct.__name__, size, ctypes.sizeof(struct))
            )


lib: Any = _load()
_check_library(lib)


def check(status: int, error: puna_error) -> None:
    """Raises what a function that returned `status` says in `error`: MemoryError or PunaError."""
    if status != PUNA_OK:
        raise failure(status, error)


def failure(status: int, error: puna_error) -> Exception:
    """The exception for a status that is not PUNA_OK."""
    message = error.msg.decode("utf-8", "replace")
    if status == PUNA_E_NOMEM:
        return MemoryError(message)
    return (PunaValueError if status in _VALUE_ERRORS else PunaError)(message, status)


def call(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function that takes a puna_error * last, and raises its failure."""
    error = puna_error()
    check(function(*arguments, ctypes.byref(error)), error)


def as_bytes(text: Union[str, bytes]) -> bytes:
    """UTF-8; a lone surrogate, which has no UTF-8, becomes a question mark."""
    return text.encode("utf-8", "replace") if isinstance(text, str) else text
