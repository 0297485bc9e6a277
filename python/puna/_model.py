"""The model file: tokens, special tokens, metadata. Immutable and usable from any thread, in a forked child too.

The methods have the names that llama-cpp-python's LlamaModel has, since tokenizers and integrations call them on
`Llama._model`.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any, Mapping, Optional, Sequence, Union

from . import _binding
from ._binding import PunaError, lib

Override = Union[bool, int, float, str]


def _overrides(values: Mapping[str, Override]) -> Any:
    array = (_binding.puna_override * len(values))()
    for row, (key, value) in zip(array, values.items()):
        row.key = _binding.as_bytes(key)
        if isinstance(value, bool):
            row.kind, row.integer = _binding.PUNA_OVERRIDE_BOOL, int(value)
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise ValueError("Value for %s is too large: %d" % (key, value))
            row.kind, row.integer = _binding.PUNA_OVERRIDE_INT, value
        elif isinstance(value, float):
            row.kind, row.real = _binding.PUNA_OVERRIDE_FLOAT, value
        elif isinstance(value, str):
            text = _binding.as_bytes(value)
            if b"\0" in text:
                raise ValueError("Value for %s contains a NUL" % key)
            row.kind, row.text = _binding.PUNA_OVERRIDE_TEXT, text
        else:
            raise ValueError("Unknown value type for %s: %r" % (key, value))
    return array


class Model:
    """One reference to a puna_model."""

    def __init__(
        self,
        path: str,
        level: int = _binding.PUNA_OPEN_FULL,
        use_mmap: bool = True,
        use_mlock: bool = False,
        overrides: Optional[Mapping[str, Override]] = None,
    ) -> None:
        options = _binding.puna_model_options()
        lib.puna_model_options_init(ctypes.byref(options))
        options.level, options.use_mmap, options.use_mlock = level, use_mmap, use_mlock
        if overrides:
            options.overrides = _overrides(overrides)
            options.n_overrides = len(overrides)
        handle = ctypes.c_void_p()
        _binding.call(lib.puna_model_open, os.fsencode(path), ctypes.byref(options), ctypes.byref(handle))
        self.path = path
        self.level = level
        self._handle: Optional[int] = handle.value
        self._finalizer = weakref.finalize(self, lib.puna_model_free, handle.value)
        self.info = _binding.puna_model_info()
        self.info.size = ctypes.sizeof(self.info)
        lib.puna_model_get_info(handle, ctypes.byref(self.info))
        # the struct's strings live as long as the model; these outlive it
        self.architecture = self.text("architecture")
        self.name = self.text("name")
        self.quantization = self.text("quantization")
        self.chat_template = self.text("chat_template")

    def text(self, field: str) -> str:
        return (getattr(self.info, field) or b"").decode("utf-8", "replace")

    @property
    def handle(self) -> int:
        """The puna_model *."""
        if self._handle is None:
            raise PunaError("the model is closed: %s" % self.path)
        return self._handle

    @property
    def model(self) -> Optional[int]:
        """The puna_model *, None once closed."""
        return self._handle

    def close(self) -> None:
        """Drops the reference; an engine that is open keeps its own."""
        self._handle = None
        self._finalizer()

    # ---- facts

    def n_vocab(self) -> int:
        return self.info.n_vocab

    def n_ctx_train(self) -> int:
        return self.info.n_ctx_train

    def n_embd(self) -> int:
        return self.info.n_embd

    def n_params(self) -> int:
        return self.info.n_params

    def size(self) -> int:
        """Bytes of all files of the model."""
        return self.info.file_bytes

    def desc(self) -> str:
        return "%s %s %s" % (self.architecture, count_text(self.n_params()), self.quantization)

    def metadata(self) -> dict[str, str]:
        """The keys of the file with their values as text; arrays are left out."""
        found = {}
        for index in range(lib.puna_model_n_meta(self.handle)):
            needed, room = ctypes.c_size_t(), ctypes.create_string_buffer(256)
            key = lib.puna_model_meta(self.handle, index, room, len(room), ctypes.byref(needed))
            if needed.value >= len(room):
                room = ctypes.create_string_buffer(needed.value + 1)
                lib.puna_model_meta(self.handle, index, room, len(room), None)
            value = room.raw[: needed.value].decode("utf-8", "replace")
            if not _is_array(value):
                found[key.decode("utf-8", "replace")] = value
        return found

    # ---- tokens

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        """The ids of a text. add_bos: begin and end with the special tokens that the vocabulary asks for."""
        flags = _binding.PUNA_TOKENIZE_ADD_SPECIAL if add_bos else 0
        flags |= _binding.PUNA_TOKENIZE_PARSE_SPECIAL if special else 0
        error, needed, room = _binding.puna_error(), ctypes.c_int32(), len(text) // 3 + 16
        while True:
            ids = (ctypes.c_int32 * room)()
            status = lib.puna_tokenize(
                self.handle, text, len(text), flags, ids, room, ctypes.byref(needed), ctypes.byref(error)
            )
            if status == _binding.PUNA_E_LIMIT and needed.value > room:
                room = needed.value
                continue
            _binding.check(status, error)
            return ids[: needed.value]

    def detokenize(self, tokens: Sequence[int], special: bool = False) -> bytes:
        """The texts of the tokens one after another, without the space that follows a BOS at the beginning."""
        if not tokens:
            return b""
        output = self.pieces(tokens, special)
        return output[1:] if tokens[0] == self.token_bos() and output[:1] == b" " else output

    def pieces(self, tokens: Sequence[int], special: bool = False) -> bytes:
        """The texts of the tokens one after another; a token may hold a part of a character."""
        flags = _binding.PUNA_DETOKENIZE_KEEP_SPACE | (_binding.PUNA_DETOKENIZE_SPECIAL if special else 0)
        count = len(tokens)
        ids = (ctypes.c_int32 * count)(*tokens)
        error, needed, room = _binding.puna_error(), ctypes.c_size_t(), 16 * count + 64
        while True:
            text = ctypes.create_string_buffer(room)
            status = lib.puna_detokenize(
                self.handle, ids, count, flags, text, room, ctypes.byref(needed), ctypes.byref(error)
            )
            if status == _binding.PUNA_E_LIMIT and needed.value > room:
                room = needed.value
                continue
            _binding.check(status, error)
            return text.raw[: needed.value]

    def token_get_text(self, token: int) -> str:
        return self.pieces([token], special=True).decode("utf-8", "replace")

    def _special(self, which: int) -> int:
        token: int = lib.puna_token_special(self.handle, which)
        return token

    def token_bos(self) -> int:
        return self._special(_binding.PUNA_SPECIAL_BOS)

    def token_eos(self) -> int:
        return self._special(_binding.PUNA_SPECIAL_EOS)

    def token_eot(self) -> int:
        return self._special(_binding.PUNA_SPECIAL_EOT)

    def token_cls(self) -> int:
        return self._special(_binding.PUNA_SPECIAL_CLS)

    def token_sep(self) -> int:
        return self._special(_binding.PUNA_SPECIAL_SEP)

    def token_nl(self) -> int:
        return self._special(_binding.PUNA_SPECIAL_NL)

    def token_prefix(self) -> int:
        return self._infill("fim_pre", "prefix", ("<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", "<PRE>", "▁<PRE>"))

    def token_suffix(self) -> int:
        return self._infill("fim_suf", "suffix", ("<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>", "<SUF>", "▁<SUF>"))

    def token_middle(self) -> int:
        return self._infill("fim_mid", "middle", ("<|fim_middle|>", "<fim_middle>", "<fim-middle>", "<MID>", "▁<MID>"))

    def _infill(self, key: str, old_key: str, texts: Sequence[str]) -> int:
        """The token of a fill-in-the-middle prompt that the file names, or that has one of the usual texts; or -1."""
        for name in (key, old_key):
            value = self.key("tokenizer.ggml.%s_token_id" % name)
            if value is not None and value.isdigit() and int(value) < self.n_vocab():
                return int(value)
        for text in texts:
            tokens = self.tokenize(text.encode("utf-8"), add_bos=False, special=True)
            if len(tokens) == 1 and self.is_control(tokens[0]):
                return tokens[0]
        return -1

    def key(self, name: str) -> Optional[str]:
        """One metadata value as text; None when the file has no such key."""
        if not hasattr(self, "_metadata"):
            self._metadata = self.metadata()
        return self._metadata.get(name)

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation."""
        return bool(lib.puna_token_is_end(self.handle, token))

    def is_control(self, token: int) -> bool:
        return bool(lib.puna_token_is_control(self.handle, token))

    def add_bos_token(self) -> bool:
        return bool(lib.puna_model_adds_bos(self.handle))

    def add_eos_token(self) -> bool:
        return bool(lib.puna_model_adds_eos(self.handle))


def _is_array(value: str) -> bool:
    """Whether a metadata value is an array: "[5 x str]"."""
    head, _, tail = value.partition(" x ")
    return value.startswith("[") and head[1:].isdigit() and tail.endswith("]") and " " not in tail


def count_text(count: int) -> str:
    """ "134.5M", "7.2B"."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if count >= size:
            return "%.1f%s" % (count / size, unit)
    return str(count)
