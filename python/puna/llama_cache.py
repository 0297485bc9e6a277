"""Caches of computed prompts: what ``Llama.set_cache`` takes.

A cache maps lists of tokens to saved states (``Llama.save_state``). Looking a prompt up gives the state that shares the
longest beginning with it, and the model goes on from there. Entries leave when the cache is over its capacity, the
longest unused first. All caches may be shared by several ``Llama`` objects and threads.

Within one ``Llama`` no cache is needed for a conversation that grows: what agrees with an earlier prompt is reused
anyway.
"""

from __future__ import annotations

import abc
import array
import contextlib
import hashlib
import os
import struct
import tempfile
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, BinaryIO, Dict, Iterator, List, Optional, Sequence, Tuple

if TYPE_CHECKING:
    from ._logits import LlamaState

TokenKey = Tuple[int, ...]


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens a and b agree in from the start."""
    low, high = 0, min(len(a), len(b))
    while low < high:  # a and b agree in the first `low`; slices are compared at the speed of C
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class BaseLlamaCache(abc.ABC):
    """What a cache must do. Keys are lists of token ids, values are ``LlamaState`` objects."""

    def __init__(self, capacity_bytes: int = 2 << 30) -> None:
        self.capacity_bytes = capacity_bytes

    @property
    @abc.abstractmethod
    def cache_size(self) -> int:
        """The bytes that the entries take."""
        raise NotImplementedError

    def _keys(self) -> List[TokenKey]:
        return []

    def _find_longest_prefix_key(self, key: TokenKey) -> Optional[TokenKey]:
        """The entry's key that shares the longest beginning with `key`, or None when none shares its first token."""
        best, best_length = None, 0
        for candidate in self._keys():
            length = common_prefix(candidate, key)
            if length > best_length:
                best, best_length = candidate, length
        return best

    @abc.abstractmethod
    def __getitem__(self, key: Sequence[int]) -> LlamaState:
        """The state that shares the longest beginning with `key`; KeyError when there is none."""
        raise NotImplementedError

    @abc.abstractmethod
    def __contains__(self, key: Sequence[int]) -> bool:
        """Whether some entry shares a beginning with `key`."""
        raise NotImplementedError

    @abc.abstractmethod
    def __setitem__(self, key: Sequence[int], value: LlamaState) -> None:
        raise NotImplementedError


class LlamaRAMCache(BaseLlamaCache):
    """Keeps states in memory, at most capacity_bytes of them."""

    def __init__(self, capacity_bytes: int = 2 << 30) -> None:
        super().__init__(capacity_bytes)
        self.cache_state: OrderedDict[TokenKey, LlamaState] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def cache_size(self) -> int:
        with self._lock:
            return sum(_state_bytes(state) for state in self.cache_state.values())

    def _keys(self) -> List[TokenKey]:
        return list(self.cache_state)

    def __getitem__(self, key: Sequence[int]) -> LlamaState:
        with self._lock:
            found = self._find_longest_prefix_key(tuple(key))
            if found is None:
                raise KeyError("no entry begins like these tokens")
            self.cache_state.move_to_end(found)
            return self.cache_state[found]

    def __contains__(self, key: Sequence[int]) -> bool:
        with self._lock:
            return self._find_longest_prefix_key(tuple(key)) is not None

    def __setitem__(self, key: Sequence[int], value: LlamaState) -> None:
        with self._lock:
            self.cache_state.pop(tuple(key), None)
            self.cache_state[tuple(key)] = value
            size = self.cache_size
            while size > self.capacity_bytes and self.cache_state:
                size -= _state_bytes(self.cache_state.popitem(last=False)[1])

    def __len__(self) -> int:
        return len(self.cache_state)

    def __getstate__(self) -> Dict[str, Any]:
        return {"capacity_bytes": self.capacity_bytes, "cache_state": self.cache_state}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()


LlamaCache = LlamaRAMCache


class LlamaDiskCache(BaseLlamaCache):
    """Keeps states in the files of a folder, at most capacity_bytes of them. They outlive the process.

    Several processes may use one folder. A file that is damaged or was not written by this class counts as absent;
    nothing in it is executed. Which model a state belongs to is checked when it is loaded (``Llama.load_state``), so
    give each model its own folder.
    """

    def __init__(self, cache_dir: str = ".cache/llama_cache", capacity_bytes: int = 2 << 30) -> None:
        super().__init__(capacity_bytes)
        self.cache_dir = os.fspath(cache_dir)
        os.makedirs(self.cache_dir, exist_ok=True)

    @property
    def cache_size(self) -> int:
        return sum(size for _, _, size in self._files())

    def _path(self, key: TokenKey) -> str:
        name = hashlib.sha256(_pack_tokens(key)).hexdigest()
        return os.path.join(self.cache_dir, name + ".state")

    def _files(self) -> List[Tuple[int, str, int]]:
        """(time of last use in ns, path, bytes) of each entry, oldest first."""
        found = []
        with os.scandir(self.cache_dir) as entries:
            for entry in entries:
                if entry.name.endswith(".state"):
                    with contextlib.suppress(FileNotFoundError):  # another process may have removed it
                        status = entry.stat()
                        found.append((status.st_mtime_ns, entry.path, status.st_size))
        return sorted(found)

    def _keys(self) -> List[TokenKey]:
        keys = []
        for _, path, _ in self._files():
            with contextlib.suppress(*_UNREADABLE), open(path, "rb") as file:
                keys.append(_read_key(file))
        return keys

    def __getitem__(self, key: Sequence[int]) -> LlamaState:
        found = self._find_longest_prefix_key(tuple(key))
        if found is not None:
            path = self._path(found)
            with contextlib.suppress(*_UNREADABLE), open(path, "rb") as file:
                if _read_key(file) == found:
                    state = _read_state(file)
                    with contextlib.suppress(OSError):  # a folder that may only be read
                        os.utime(path)
                    return state
        raise KeyError("no entry begins like these tokens")

    def __contains__(self, key: Sequence[int]) -> bool:
        return self._find_longest_prefix_key(tuple(key)) is not None

    def __setitem__(self, key: Sequence[int], value: LlamaState) -> None:
        handle, temporary = tempfile.mkstemp(dir=self.cache_dir, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                for part in _state_parts(tuple(key), value):
                    file.write(part)
            os.replace(temporary, self._path(tuple(key)))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        self._trim()

    def _trim(self) -> None:
        files = self._files()
        size = sum(size for _, _, size in files)
        for _, path, bytes_freed in files:
            if size <= self.capacity_bytes:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            size -= bytes_freed

    def __len__(self) -> int:
        return len(self._files())


# ---- the file of one state: magic, then parts, each with its length (8 bytes, little-endian) before it:
#   key (tokens, 4 bytes each), input_ids (the same), scores (the shape as two 8-byte numbers, then f32), n_tokens and
#   seed (8 bytes each), the state; last the SHA-256 of all before it

_MAGIC = b"puna state 1\n"
_UNREADABLE = (OSError, ValueError, struct.error)  # gone meanwhile, damaged, or another program's


def _pack_tokens(tokens: Sequence[int]) -> bytes:
    return struct.pack("<%di" % len(tokens), *tokens)


def _unpack_tokens(data: bytes) -> TokenKey:
    return struct.unpack("<%di" % (len(data) // 4), data)  # struct.error when a part of a token is left over


def _state_bytes(state: LlamaState) -> int:
    """What a state takes in memory: the scores are often larger than the state itself."""
    total: int = state.llama_state_size
    for array in (state.input_ids, state.scores):
        total += getattr(array, "nbytes", 0)
    return total


def _state_parts(key: TokenKey, state: LlamaState) -> Iterator[bytes]:
    rows, columns, scores = 0, 0, b""
    if state.scores is not None and state.scores.ndim == 2:
        rows, columns = state.scores.shape
        scores = state.scores.astype("<f4").tobytes()
    digest = hashlib.sha256()
    parts = [
        _pack_tokens(key),
        _pack_tokens([int(token) for token in state.input_ids]),
        struct.pack("<QQ", rows, columns) + scores,
        struct.pack("<QQ", state.n_tokens, state.seed & 0xFFFFFFFFFFFFFFFF),
        bytes(state.llama_state[: state.llama_state_size]),
    ]
    for part in [_MAGIC] + [struct.pack("<Q", len(part)) + part for part in parts]:
        digest.update(part)
        yield part
    yield digest.digest()


def _read_part(file: BinaryIO) -> bytes:
    """The next part; ValueError when the file ends before it."""
    head = file.read(8)
    left = os.fstat(file.fileno()).st_size - file.tell()
    if len(head) != 8 or struct.unpack("<Q", head)[0] > left:
        raise ValueError("damaged state file: %s" % file.name)
    return file.read(struct.unpack("<Q", head)[0])


def _read_key(file: BinaryIO) -> TokenKey:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("not a state file: %s" % file.name)
    return _unpack_tokens(_read_part(file))


def _read_state(file: BinaryIO) -> LlamaState:
    """The state of a file whose key was read already; ValueError when it is damaged."""
    from ._logits import LlamaState

    file.seek(0)
    content = file.read()
    if hashlib.sha256(content[:-32]).digest() != content[-32:]:
        raise ValueError("damaged state file: %s" % file.name)
    file.seek(len(_MAGIC))
    _, input_ids, scores, numbers, state = (_read_part(file) for _ in range(5))
    rows, columns = struct.unpack("<QQ", scores[:16])
    n_tokens, seed = struct.unpack("<QQ", numbers)
    tokens: Any = array.array("i", _unpack_tokens(input_ids))
    rows_of_logits: Any = None
    try:
        import numpy as np
    except ImportError:
        pass  # then nothing wants the arrays of numpy either
    else:
        tokens = np.array(tokens, dtype=np.intc)
        rows_of_logits = np.frombuffer(scores, dtype="<f4", offset=16).reshape(rows, columns).astype(np.single)
    return LlamaState(tokens, rows_of_logits, n_tokens, state, len(state), seed)
