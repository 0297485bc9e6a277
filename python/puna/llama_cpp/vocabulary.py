"""llama.cpp's functions that ask a model or its vocabulary for facts, on what ``Llama.model`` gives.

Libraries that build a table of all tokens (Outlines, for one) use them. A "vocab" is the model again; ``Llama.ctx`` is,
too. Buffers are arrays of ctypes; as in llama.cpp, a function that fills one returns the bytes it needs, and those that
say so a negative number when the buffer is too small.
"""

from __future__ import annotations

import ctypes
from typing import Any, Optional

from .. import _binding
from .._binding import lib
from .constants import (
    LLAMA_TOKEN_ATTR_CONTROL,
    LLAMA_TOKEN_ATTR_NORMAL,
    LLAMA_VOCAB_TYPE_BPE,
    LLAMA_VOCAB_TYPE_NONE,
    LLAMA_VOCAB_TYPE_SPM,
    LLAMA_VOCAB_TYPE_UGM,
    LLAMA_VOCAB_TYPE_WPM,
)

_KEEP_SPACE = _binding.PUNA_DETOKENIZE_KEEP_SPACE
_VOCAB_TYPES = {
    "llama": LLAMA_VOCAB_TYPE_SPM,
    "gemma4": LLAMA_VOCAB_TYPE_SPM,
    "gpt2": LLAMA_VOCAB_TYPE_BPE,
    "bert": LLAMA_VOCAB_TYPE_WPM,
    "t5": LLAMA_VOCAB_TYPE_UGM,
}


def _info(model: int) -> Any:
    info = _binding.puna_model_info()
    info.size = ctypes.sizeof(info)
    lib.puna_model_get_info(model, ctypes.byref(info))
    return info


def _fill(data: bytes, buf: Any, buf_size: int) -> int:
    """As snprintf: writes what fits, with a NUL, and returns the whole length."""
    if buf is not None and buf_size > 0:
        cut = data[: buf_size - 1] + b"\0"
        ctypes.memmove(buf, cut, len(cut))
    return len(data)


# ---- models


def llama_get_model(ctx: int) -> int:
    return ctx


def llama_model_get_vocab(model: int) -> int:
    return model


def llama_model_n_ctx_train(model: int) -> int:
    n: int = _info(model).n_ctx_train
    return n


def llama_model_n_embd(model: int) -> int:
    n: int = _info(model).n_embd
    return n


def llama_model_n_layer(model: int) -> int:
    n: int = _info(model).n_layer
    return n


def llama_model_n_head(model: int) -> int:
    n: int = _info(model).n_head
    return n


def llama_model_n_head_kv(model: int) -> int:
    n: int = _info(model).n_head_kv
    return n


def llama_model_n_params(model: int) -> int:
    n: int = _info(model).n_params
    return n


def llama_model_size(model: int) -> int:
    """Bytes of all files."""
    n: int = _info(model).file_bytes
    return n


def llama_model_desc(model: int, buf: Any, buf_size: int) -> int:
    info = _info(model)
    return _fill(b"%s %.2f B %s" % (info.architecture, info.n_params / 1e9, info.quantization), buf, buf_size)


def llama_model_chat_template(model: int, name: Optional[bytes] = None) -> Optional[bytes]:
    """The model's template, or the further one with that name; None when there is none."""
    if name is None:
        template: bytes = _info(model).chat_template
    else:
        template = _meta(model, b"tokenizer.chat_template." + name) or b""
    return template or None


def llama_model_meta_count(model: int) -> int:
    n: int = lib.puna_model_n_meta(model)
    return n


def _meta_at(model: int, i: int) -> tuple[bytes, bytes]:
    """The key and the value, as text, of one piece of metadata. ("", "") outside the range."""
    needed, room = ctypes.c_size_t(), ctypes.create_string_buffer(256)
    if not 0 <= i < lib.puna_model_n_meta(model):
        return b"", b""
    key: bytes = lib.puna_model_meta(model, i, room, len(room), ctypes.byref(needed))
    if needed.value >= len(room):
        room = ctypes.create_string_buffer(needed.value + 1)
        lib.puna_model_meta(model, i, room, len(room), None)
    return key, room.raw[: needed.value]


def _meta(model: int, key: bytes) -> Optional[bytes]:
    for i in range(lib.puna_model_n_meta(model)):
        if lib.puna_model_meta(model, i, None, 0, None) == key:
            return _meta_at(model, i)[1]
    return None


def llama_model_meta_key_by_index(model: int, i: int, buf: Any, buf_size: int) -> int:
    """-1 when there is no such key."""
    key, _ = _meta_at(model, i)
    return _fill(key, buf, buf_size) if key else -1


def llama_model_meta_val_str_by_index(model: int, i: int, buf: Any, buf_size: int) -> int:
    key, value = _meta_at(model, i)
    return _fill(value, buf, buf_size) if key else -1


def llama_model_meta_val_str(model: int, key: bytes, buf: Any, buf_size: int) -> int:
    value = _meta(model, key)
    return _fill(value, buf, buf_size) if value is not None else -1


# ---- vocabularies


def llama_vocab_n_tokens(vocab: int) -> int:
    n: int = _info(vocab).n_vocab
    return n


def llama_vocab_type(vocab: int) -> int:
    tokenizer: bytes = _info(vocab).tokenizer or b""
    return _VOCAB_TYPES.get(tokenizer.decode("utf-8", "replace").split("/")[0], LLAMA_VOCAB_TYPE_NONE)


def _special(vocab: int, which: int) -> int:
    token: int = lib.puna_token_special(vocab, which)
    return token


def llama_vocab_bos(vocab: int) -> int:
    return _special(vocab, _binding.PUNA_SPECIAL_BOS)


def llama_vocab_eos(vocab: int) -> int:
    return _special(vocab, _binding.PUNA_SPECIAL_EOS)


def llama_vocab_eot(vocab: int) -> int:
    return _special(vocab, _binding.PUNA_SPECIAL_EOT)


def llama_vocab_sep(vocab: int) -> int:
    return _special(vocab, _binding.PUNA_SPECIAL_SEP)


def llama_vocab_nl(vocab: int) -> int:
    return _special(vocab, _binding.PUNA_SPECIAL_NL)


def llama_vocab_pad(vocab: int) -> int:
    return _special(vocab, _binding.PUNA_SPECIAL_PAD)


def llama_vocab_mask(vocab: int) -> int:
    return _special(vocab, _binding.PUNA_SPECIAL_MASK)


def llama_vocab_cls(vocab: int) -> int:
    return _special(vocab, _binding.PUNA_SPECIAL_CLS)


def llama_vocab_get_add_bos(vocab: int) -> bool:
    return bool(lib.puna_model_adds_bos(vocab))


def llama_vocab_get_add_eos(vocab: int) -> bool:
    return bool(lib.puna_model_adds_eos(vocab))


def llama_vocab_is_eog(vocab: int, token: int) -> bool:
    """Whether the token ends a generation."""
    return bool(lib.puna_token_is_end(vocab, token))


def llama_vocab_is_control(vocab: int, token: int) -> bool:
    return bool(lib.puna_token_is_control(vocab, token))


def llama_vocab_get_attr(vocab: int, token: int) -> int:
    """Control tokens and all others; puna does not tell the further kinds apart."""
    return LLAMA_TOKEN_ATTR_CONTROL if lib.puna_token_is_control(vocab, token) else LLAMA_TOKEN_ATTR_NORMAL


def _text(vocab: int, tokens: Any, n_tokens: int, flags: int) -> bytes:
    needed, room = ctypes.c_size_t(), 16 * n_tokens + 64
    while True:
        text, error = ctypes.create_string_buffer(room), _binding.puna_error()
        status = lib.puna_detokenize(
            vocab, tokens, n_tokens, flags, text, room, ctypes.byref(needed), ctypes.byref(error)
        )
        if status != _binding.PUNA_E_LIMIT or needed.value <= room:
            _binding.check(status, error)
            return text.raw[: needed.value]
        room = needed.value


def llama_vocab_get_text(vocab: int, token: int) -> bytes:
    return _text(vocab, (ctypes.c_int32 * 1)(token), 1, _binding.PUNA_DETOKENIZE_SPECIAL | _KEEP_SPACE)


def llama_token_to_piece(vocab: int, token: int, buf: Any, length: int, lstrip: int, special: bool) -> int:
    """The text of one token, without a NUL and without its first lstrip spaces. Negative: the bytes needed."""
    if not 0 <= token < llama_vocab_n_tokens(vocab):
        return 0
    flags = _KEEP_SPACE | (_binding.PUNA_DETOKENIZE_SPECIAL if special else 0)
    piece = _text(vocab, (ctypes.c_int32 * 1)(token), 1, flags)
    spaces = len(piece) - len(piece.lstrip(b" "))
    return _give(piece[min(max(lstrip, 0), spaces) :], buf, length)


def _give(data: bytes, buf: Any, length: int) -> int:
    if len(data) > length:
        return -len(data)
    ctypes.memmove(buf, data, len(data))
    return len(data)


def llama_tokenize(
    vocab: int, text: bytes, text_len: int, tokens: Any, n_tokens_max: int, add_special: bool, parse_special: bool
) -> int:
    """Writes ids (an array of llama_token) and returns how many. Negative: the number needed."""
    flags = _binding.PUNA_TOKENIZE_ADD_SPECIAL if add_special else 0
    flags |= _binding.PUNA_TOKENIZE_PARSE_SPECIAL if parse_special else 0
    needed, error = ctypes.c_int32(), _binding.puna_error()
    status = lib.puna_tokenize(
        vocab, text, text_len, flags, tokens, n_tokens_max, ctypes.byref(needed), ctypes.byref(error)
    )
    if status == _binding.PUNA_E_LIMIT and needed.value > n_tokens_max:
        return -needed.value
    _binding.check(status, error)
    return needed.value


def llama_detokenize(
    vocab: int,
    tokens: Any,
    n_tokens: int,
    text: Any,
    text_len_max: int,
    remove_special: bool,
    unparse_special: bool,
) -> int:
    """Writes the text of ids, without a NUL, and returns its bytes. Negative: the bytes needed."""
    ids = list(tokens[:n_tokens])
    flags = _binding.PUNA_DETOKENIZE_CLEAN_UP | (_binding.PUNA_DETOKENIZE_SPECIAL if unparse_special else 0)
    if ids and ids[0] == llama_vocab_bos(vocab):
        flags |= _KEEP_SPACE  # as llama.cpp: only a text that begins without BOS loses its first space
        if remove_special and lib.puna_model_adds_bos(vocab):
            del ids[0]
    if remove_special and ids and lib.puna_model_adds_eos(vocab) and ids[-1] == llama_vocab_eos(vocab):
        del ids[-1]
    return _give(_text(vocab, (ctypes.c_int32 * len(ids))(*ids), len(ids), flags), text, text_len_max)


# ---- their older names

llama_n_vocab = llama_vocab_n_tokens
llama_n_ctx_train = llama_model_n_ctx_train
llama_n_embd = llama_model_n_embd
llama_n_layer = llama_model_n_layer
llama_n_head = llama_model_n_head
llama_token_get_text = llama_vocab_get_text
llama_token_get_attr = llama_vocab_get_attr
llama_token_is_eog = llama_vocab_is_eog
llama_token_is_control = llama_vocab_is_control
llama_token_bos = llama_vocab_bos
llama_token_eos = llama_vocab_eos
llama_token_eot = llama_vocab_eot
llama_token_cls = llama_vocab_cls
llama_token_sep = llama_vocab_sep
llama_token_nl = llama_vocab_nl
llama_token_pad = llama_vocab_pad
llama_add_bos_token = llama_vocab_get_add_bos
llama_add_eos_token = llama_vocab_get_add_eos

__all__ = [name for name in dir() if name.startswith("llama_")]
