"""From the arguments of Llama's constructor to an open model and engine."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from . import _binding
from ._binding import PunaError, lib
from ._engine import Engine
from ._log import logger
from ._model import Model, Override

MAX_DEFAULT_CTX = 4096  # n_ctx when it is not given: what the model was trained for, up to this
N_PARALLEL = (8, 4, 2, 1)  # n_parallel when it is not given: the first that fits the memory

_GGML_TYPE_F32, _GGML_TYPE_F16, _GGML_TYPE_Q8_0 = 0, 1, 8
_KV_TYPES = {
    _GGML_TYPE_F32: _binding.PUNA_KV_F32,
    _GGML_TYPE_F16: _binding.PUNA_KV_F16,
    _GGML_TYPE_Q8_0: _binding.PUNA_KV_Q8_0,
}
_KV_PRECISION = (_binding.PUNA_KV_Q8_0, _binding.PUNA_KV_F16, _binding.PUNA_KV_F32)
_ROPE_SCALING = {0: "none", 1: "linear", 2: "yarn"}


def open_model(
    path: str,
    vocab_only: bool,
    use_mmap: bool,
    use_mlock: bool,
    kv_overrides: Optional[Mapping[str, Override]],
    rope: Mapping[str, float],
) -> Model:
    """ValueError when the file is missing or cannot be used."""
    if not os.path.exists(path):
        raise ValueError("Model path does not exist: %s" % path)
    level = _binding.PUNA_OPEN_VOCAB if vocab_only else _binding.PUNA_OPEN_FULL
    try:
        overrides = {**_rope_overrides(path, rope), **(kv_overrides or {})}
        return Model(path, level, use_mmap, use_mlock, overrides)
    except PunaError as error:
        raise ValueError("Failed to load model from file: %s (%s)" % (path, error)) from error


def _rope_overrides(path: str, rope: Mapping[str, float]) -> dict[str, Override]:
    """The rope and yarn parameters of llama_context_params as metadata keys. Those at their default change nothing."""
    values: dict[str, Override] = {}
    if rope["scaling_type"] in _ROPE_SCALING:
        values["rope.scaling.type"] = _ROPE_SCALING[int(rope["scaling_type"])]
    elif rope["scaling_type"] != -1:
        raise PunaError("rope_scaling_type %d is not known" % rope["scaling_type"])
    if rope["freq_base"] > 0:
        values["rope.freq_base"] = float(rope["freq_base"])
    if rope["freq_scale"] > 0:
        values["rope.scaling.factor"] = 1.0 / rope["freq_scale"]
    if rope["ext_factor"] >= 0:
        values["rope.scaling.yarn_ext_factor"] = float(rope["ext_factor"])
    for name, default, key in (
        ("attn_factor", 1.0, "rope.scaling.attn_factor"),
        ("beta_fast", 32.0, "rope.scaling.yarn_beta_fast"),
        ("beta_slow", 1.0, "rope.scaling.yarn_beta_slow"),
    ):
        if rope[name] != default:
            values[key] = float(rope[name])
    if rope["orig_ctx"] > 0:
        values["rope.scaling.original_context_length"] = int(rope["orig_ctx"])
    if not values:
        return {}
    file = Model(path, _binding.PUNA_OPEN_FILE)
    try:
        architecture = file.architecture
        if "rope.scaling.factor" in values and "rope.scaling.type" not in values:
            if file.key(architecture + ".rope.scaling.type") in (None, "none"):
                values["rope.scaling.type"] = "linear"
    finally:
        file.close()
    return {"%s.%s" % (architecture, key): value for key, value in values.items()}


def kv_type(type_k: Optional[int], type_v: Optional[int]) -> int:
    """The KV type for two ggml types: keys and values share one, the more precise of the two; a type without an
    equal gets the next more precise one."""
    found = []
    for ggml_type in (type_k, type_v):
        if ggml_type is None:
            ggml_type = _GGML_TYPE_F16
        if ggml_type not in _KV_TYPES:
            logger.warning("the KV cache has no ggml type %d: Q8_0 takes its place", ggml_type)
        found.append(_KV_TYPES.get(ggml_type, _binding.PUNA_KV_Q8_0))
    return max(found, key=_KV_PRECISION.index)


def gpu_layers(n_gpu_layers: Union[int, str]) -> int:
    """What the library calls it. Any negative number stands for all layers, as with llama-cpp-python."""
    if n_gpu_layers == "auto":
        return _binding.PUNA_GPU_LAYERS_AUTO
    if not isinstance(n_gpu_layers, int):
        raise ValueError('n_gpu_layers is a number of layers, -1 for all or "auto", not %r' % (n_gpu_layers,))
    return max(_binding.PUNA_GPU_LAYERS_ALL, n_gpu_layers)


def open_engine(
    model: Model,
    n_ctx: Optional[int],
    n_batch: int,
    n_threads: Optional[int],
    n_parallel: Optional[int],
    kv: int,
    max_draft: int,
    n_gpu_layers: Union[int, str] = 0,
    split_mode: int = _binding.PUNA_SPLIT_LAYER,
    main_gpu: int = 0,
    tensor_split: Optional[Sequence[float]] = None,
) -> Engine:
    """ValueError when no engine of these sizes can be opened.

    n_ctx None: what the model was trained for, up to MAX_DEFAULT_CTX; 0: what it was trained for, cut to what fits.
    n_parallel None: as many as N_PARALLEL and the memory allow.
    """
    options = _binding.puna_engine_options()
    lib.puna_engine_options_init(ctypes.byref(options))
    trained = model.n_ctx_train() or MAX_DEFAULT_CTX
    asked = min(trained, MAX_DEFAULT_CTX) if n_ctx is None else n_ctx
    options.n_batch = max(1, n_batch)
    options.n_threads = n_threads or 0
    options.kv_type = kv
    options.max_draft = max_draft
    options.n_gpu_layers = gpu_layers(n_gpu_layers)
    options.split_mode = split_mode
    options.main_gpu = main_gpu
    shares = list(tensor_split or ())
    if len(shares) > _binding.PUNA_MAX_GPUS:
        raise ValueError("tensor_split has %d shares, there are at most %d cards" % (len(shares), _binding.PUNA_MAX_GPUS))
    for i, share in enumerate(shares):
        options.tensor_split[i] = share
    try:
        for n_seq in (n_parallel,) if n_parallel else N_PARALLEL:
            options.n_seq = n_seq
            options.n_ctx = asked or trained
            if _fits(model, options):
                return Engine(model.handle, options)
        if not n_ctx:  # a context that was not asked for is cut to what fits
            options.n_ctx = 0
        return Engine(model.handle, options)
    except PunaError as error:
        raise ValueError("Failed to create llama_context: %s" % error) from error


def _fits(model: Model, options: Any) -> bool:
    plan = _binding.puna_memory_plan()
    plan.size = ctypes.sizeof(plan)
    _binding.call(lib.puna_engine_plan, model.handle, ctypes.byref(options), ctypes.byref(plan))
    return plan.fits


class Device(dict[str, Any]):
    """What Llama.device_report returns: a dict, with a text for people as its str()."""

    def __str__(self) -> str:
        lines = ["%s: %s" % (key.replace("_", " "), value) for key, value in self.items() if value not in (None, "")]
        return "\n".join(lines)


def devices(plan: Any) -> List[Dict[str, Any]]:
    """Which layers each device computes, in their order, and the bytes it takes. The last layer is the output."""
    found = []
    for device in plan.devices[: plan.n_devices]:
        found.append(
            {
                "name": device.name.decode(),
                "gpu": device.gpu if device.gpu >= 0 else None,
                "first_layer": device.first_layer,
                "layers": device.n_layers,
                "weights_bytes": device.weights_bytes,
                "kv_bytes": device.kv_bytes,
                "total_bytes": device.total_bytes,
                "memory_bytes": device.memory_bytes or None,
            }
        )
    return found


_told: set[str] = set()


def tell_once(message: str) -> None:
    """A warning, once per process."""
    if message not in _told:
        _told.add(message)
        logger.warning("%s", message)
