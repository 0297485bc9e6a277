"""puna: GGUF language models on this machine, with the interface of llama-cpp-python.

from puna import Llama

llm = Llama("model.gguf")
print(llm("The capital of France is", max_tokens=8)["choices"][0]["text"])
"""

from __future__ import annotations

from . import _binding
from ._binding import PunaError as PunaError, PunaValueError as PunaValueError
from .async_llama import AsyncLlama as AsyncLlama
from .llama import *
from .llama_types import *

__version__: str = _binding.PUNA_VERSION
