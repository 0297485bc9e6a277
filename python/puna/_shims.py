"""Stand-ins for objects of llama-cpp-python that programs look at: `Llama._ctx`, `context_params`, `model_params`."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from .llama import Llama


class Namespace(types.SimpleNamespace):
    """Parameters as they were given; changing them has no effect."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class Context:
    """What programs ask of `Llama._ctx`. Holds no reference to the Llama."""

    def __init__(self, llama: Llama) -> None:
        self._model = llama._model
        self._n_ctx = llama._n_ctx
        self._pooling = llama._pooling

    @property
    def ctx(self) -> Optional[int]:
        """Not None while the model is open. There is nothing to be done with it."""
        return self._model.model

    def n_ctx(self) -> int:
        return self._n_ctx

    def pooling_type(self) -> int:
        return self._pooling
