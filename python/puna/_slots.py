"""The sequences of an engine: which request has which, and which free one suits a new request best.

A slot remembers the tokens of its last timeline. A request goes to the free slot with the longest common prefix, unless
most of what that slot has computed would be thrown away for it: then to an unused one, or to the one that was unused
for longest. A prefix that another slot has is taken over by a fork, which shares its memory.
"""

from __future__ import annotations

import ctypes
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Optional

from . import _binding
from ._binding import lib

if TYPE_CHECKING:
    from ._engine import Request

WAITING, RUNNING, HELD, DONE = range(4)  # states of a request

TOKEN_BYTES = 4
FORK_TOKENS = 64  # a KV page: a shorter prefix is computed as fast as it is shared


def common_prefix(a: bytes, b: bytes) -> int:
    """Tokens that two lists of int32 have in common from the beginning."""
    low, high = 0, min(len(a), len(b)) // TOKEN_BYTES
    if a[: high * TOKEN_BYTES] == b[: high * TOKEN_BYTES]:
        return high
    while low < high:  # low tokens agree, high do not
        middle = (low + high + 1) // 2
        if a[low * TOKEN_BYTES : middle * TOKEN_BYTES] == b[low * TOKEN_BYTES : middle * TOKEN_BYTES]:
            low = middle
        else:
            high = middle - 1
    return low


class Slot:
    """One sequence."""

    def __init__(self, engine: int, index: int) -> None:
        self.engine = engine
        self.index = index
        self.seq: Any = None  # puna_seq *, opened when first needed
        self.tokens = b""  # of the timeline, int32
        self.request: Optional[Request] = None
        self.last_used = 0

    def configure(self, options: Any) -> None:
        options.user = self.index + 1
        if self.seq is None:
            seq = ctypes.c_void_p()
            _binding.call(lib.puna_seq_open, self.engine, ctypes.byref(options), ctypes.byref(seq))
            self.seq = seq.value
        else:
            _binding.call(lib.puna_seq_configure, self.seq, ctypes.byref(options))

    def feed(self, tokens: array[int]) -> None:
        ids = (ctypes.c_int32 * len(tokens)).from_buffer(tokens) if tokens else None
        _binding.call(lib.puna_seq_feed, self.seq, ids, len(tokens))
        self.tokens = tokens.tobytes()

    def read_timeline(self) -> tuple[bytes, int]:
        """All tokens, and how many of those that were fed last had been computed before."""
        if self.seq is None:
            return b"", 0
        n_tokens, stats = ctypes.c_int32(), _binding.puna_seq_stats()
        ids = lib.puna_seq_tokens(self.seq, ctypes.byref(n_tokens))
        stats.size = ctypes.sizeof(stats)
        lib.puna_seq_get_stats(self.seq, ctypes.byref(stats))
        self.tokens = ctypes.string_at(ids, n_tokens.value * TOKEN_BYTES) if n_tokens.value else b""
        return self.tokens, stats.n_reused

    def become_fork_of(self, other: Slot) -> None:
        if self.seq is not None:
            lib.puna_seq_free(self.seq)
            self.seq, self.tokens = None, b""
        fork = ctypes.c_void_p()
        _binding.call(lib.puna_seq_fork, other.seq, self.index + 1, ctypes.byref(fork))
        self.seq, self.tokens = fork.value, other.tokens


class Slots:
    """All sequences of an engine. Changed by the engine thread alone."""

    def __init__(self, engine: int, n_seq: int) -> None:
        self.all = [Slot(engine, index) for index in range(n_seq)]
        self.n_running = 0
        self.held: OrderedDict[Slot, None] = OrderedDict()  # idle, but kept for their requests; oldest first
        self.clock = 0

    def best_prefix(self, tokens: bytes) -> int:
        return max(common_prefix(slot.tokens, tokens) for slot in self.all)

    def choose(self, tokens: bytes) -> Optional[Slot]:
        """A slot for a request, or None when all run."""
        free = [slot for slot in self.all if slot.request is None]
        if not free:
            return self.take_back()
        prefix = {slot: common_prefix(slot.tokens, tokens) for slot in self.all}
        best = max(free, key=lambda slot: (prefix[slot], -len(slot.tokens), -slot.index))
        if prefix[best] * 2 * TOKEN_BYTES >= len(best.tokens):
            target = best
        else:
            target = min(free, key=lambda slot: (len(slot.tokens) > 0, slot.last_used))
        source = max(self.all, key=lambda slot: prefix[slot])
        if prefix[source] >= prefix[target] + FORK_TOKENS and source.seq is not None:
            target.become_fork_of(source)
        return target

    def take_back(self) -> Optional[Slot]:
        """The slot that was held for longest without being used; its request starts anew when it goes on."""
        if not self.held:
            return None
        slot = next(iter(self.held))
        assert slot.request is not None
        slot.request.slot = None
        slot.request.state = WAITING
        del self.held[slot]
        slot.request = None
        return slot

    def take(self, slot: Slot, request: Request) -> None:
        slot.request = request
        self.n_running += 1

    def hold(self, slot: Slot) -> None:
        self.held[slot] = None
        self.n_running -= 1

    def unhold(self, slot: Slot) -> None:
        del self.held[slot]
        self.n_running += 1

    def release(self, slot: Slot) -> None:
        slot.request = None
        self.n_running -= 1
        self.clock += 1
        slot.last_used = self.clock
