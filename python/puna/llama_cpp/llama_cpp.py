"""What programs take from ``llama_cpp.llama_cpp``: its constants, and the functions about the process as a whole and
about models and vocabularies.

The functions that work on llama.cpp's contexts, batches and samplers do not exist here; asking for one raises
AttributeError that says so. puna has its own C interface (puna.h), and ``Llama`` covers what they are used for.
"""

from __future__ import annotations

import ctypes
import time
from typing import Any, Callable, Optional

from .. import _binding
from .constants import *
from .constants import (
    GGML_LOG_LEVEL_DEBUG,
    GGML_LOG_LEVEL_INFO,
    GGML_LOG_LEVEL_WARN,
    LLAMA_FLASH_ATTN_TYPE_AUTO,
    LLAMA_LOAD_MODE_AUTO,
    LLAMA_MAX_DEVICES,
    __all__ as _constants,
)
from .vocabulary import *

llama_token = ctypes.c_int32
llama_pos = ctypes.c_int32
llama_seq_id = ctypes.c_int32


def llama_backend_init() -> None:
    """Does nothing: puna needs no preparation."""


def llama_backend_free() -> None:
    """Does nothing: what a ``Llama`` took it gives back itself."""


def llama_numa_init(numa: int) -> None:
    """Does nothing: memory stays where the system puts it."""


def llama_print_system_info() -> bytes:
    """What computes: the library's version and the instruction set that its kernels use on this CPU."""
    version, isa = _binding.lib.puna_version(), _binding.lib.puna_cpu_isa()
    return b"puna %s | CPU : %s = 1 | " % (version, isa.upper())


def llama_supports_mmap() -> bool:
    return True


def llama_supports_mlock() -> bool:
    return True


def llama_supports_gpu_offload() -> bool:
    """Whether ``n_gpu_layers`` can put layers on a card here."""
    gpu = _binding.puna_gpu()
    gpu.size = ctypes.sizeof(gpu)
    return bool(_binding.lib.puna_gpu_get(0, ctypes.byref(gpu), None, None) == _binding.PUNA_OK)


def llama_supports_rpc() -> bool:
    return False


def llama_max_devices() -> int:
    return LLAMA_MAX_DEVICES


def llama_time_us() -> int:
    """Microseconds of a clock that only goes forward."""
    return time.monotonic_ns() // 1000


# The type of a log callback: (level, message as bytes with its line end, user data).
llama_log_callback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

_LEVELS = {
    _binding.PUNA_LOG_DEBUG: GGML_LOG_LEVEL_DEBUG,
    _binding.PUNA_LOG_INFO: GGML_LOG_LEVEL_INFO,
    _binding.PUNA_LOG_WARN: GGML_LOG_LEVEL_WARN,
}
_log_receiver: Any = None  # kept alive as long as the library may call it


def llama_log_set(log_callback: Optional[Callable[[int, bytes, Any], None]], user_data: Any = None) -> None:
    """Sends the library's messages to a callback, made with ``@llama_log_callback`` or a plain function; None restores
    puna's own way (logging.getLogger("puna"))."""
    from .. import _log

    global _log_receiver
    if log_callback is None:
        receiver = _log._from_c
    else:
        callback = log_callback

        @_binding.puna_log_fn  # type: ignore[untyped-decorator, unused-ignore]
        def receiver(_user: Any, level: int, message: bytes) -> None:
            callback(_LEVELS.get(level, GGML_LOG_LEVEL_INFO), message + b"\n", user_data)

    _binding.lib.puna_set_log(receiver, None)
    _log_receiver = receiver


class llama_model_params:
    """How a model is opened: what ``llama_model_default_params`` gives, to be changed at will."""

    def __init__(self) -> None:
        self.n_gpu_layers = 0
        self.load_mode = LLAMA_LOAD_MODE_AUTO
        self.vocab_only = False
        self.use_mmap = True
        self.use_mlock = False
        self.check_tensors = False


class llama_context_params:
    """How a model is put to work: what ``llama_context_default_params`` gives, to be changed at will."""

    def __init__(self) -> None:
        self.n_ctx = 512
        self.n_batch = 2048
        self.n_ubatch = 512
        self.n_seq_max = 1
        self.n_threads = 0  # 0: the cores that this process may use
        self.n_threads_batch = 0
        self.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO
        self.embeddings = False
        self.logits_all = False


def llama_model_default_params() -> llama_model_params:
    return llama_model_params()


def llama_context_default_params() -> llama_context_params:
    return llama_context_params()


def __getattr__(name: str) -> Any:
    if name.startswith(("llama_", "ggml_")):
        raise AttributeError(
            "%s is a function of llama.cpp that puna does not have: use puna.Llama, or puna.h from C" % name
        )
    raise AttributeError("module %r has no attribute %r" % (__name__, name))


__all__ = [*_constants, *(name for name in dir() if name.startswith("llama_"))]
