"""The session of a Llama: the timeline that eval, sample and generate work on, and save_state takes along.

It is nothing but a list of tokens. What is computed of it lies in whichever of the engine's slots has it, and is
computed again, to the same bits, where other requests have taken that slot. So a session is never wrong, whatever else
runs; its methods may be called by any thread, one at a time.
"""

from __future__ import annotations

import ctypes
import random
import threading
from array import array
from typing import TYPE_CHECKING, Any, Generator, Iterator, List, Optional, Sequence

from . import _binding
from ._binding import PunaError, lib
from ._engine import Outcome, Request, Token
from ._logits import LlamaState
from ._sampling import DEFAULT_SEED, Sampling, Verdict, draft_callback, edit_logits_callback, seq_options
from ._slots import TOKEN_BYTES, common_prefix

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .llama import Llama

_seed_lock = threading.Lock()


class Session:
    """n_tokens ids in a list of n_ctx, and the logits that were asked for."""

    def __init__(self, n_ctx: int, n_vocab: int, n_rows: int, logits_all: bool) -> None:
        self.lock = threading.RLock()
        self.ids = array("i", bytes(TOKEN_BYTES * n_ctx))
        self.n_ctx = n_ctx
        self.n_vocab = n_vocab
        self.n_rows = n_rows
        self.logits_all = logits_all
        self.n_tokens = 0
        self.requires_eval = True
        self.rows: Optional[npt.NDArray[np.single]] = None
        self.scored = b""  # logits_all: the tokens of the rows that are right; else those before the one right row

    def timeline(self) -> array[int]:
        return self.ids[: self.n_tokens]

    def set_timeline(self, tokens: array[int]) -> None:
        """At most n_ctx tokens."""
        self.ids[: len(tokens)] = tokens
        self.n_tokens = len(tokens)

    def input_ids(self) -> npt.NDArray[np.intc]:
        """A view: what is written to it is written to the session."""
        import numpy as np

        return np.frombuffer(self.ids, dtype=np.intc)

    def set_input_ids(self, values: Any) -> None:
        ids = array("i", values.tolist() if hasattr(values, "tolist") else values)[: self.n_ctx]
        self.ids[: len(ids)] = ids

    def all_rows(self) -> npt.NDArray[np.single]:
        """The logits as they are, without computing any."""
        import numpy as np

        if self.rows is None:
            self.rows = np.zeros((self.n_rows, self.n_vocab), dtype=np.single)
        return self.rows


def _row_writer(session: Session, verdict: Verdict) -> Any:
    """A puna_logits_fn that writes each position's logits to its row."""
    rows, n_vocab = session.all_rows(), session.n_vocab
    base: int = rows.ctypes.data

    def write(_user: Any, position: int, logits: Any, count: int) -> None:
        try:
            if position < session.n_rows and count == n_vocab:
                ctypes.memmove(base + position * n_vocab * 4, logits, n_vocab * 4)
        except BaseException as error:
            verdict.error = error

    return _binding.puna_logits_fn(write)


def _compute(llama: Llama, tokens: array[int], recompute: bool = False, read: Any = None) -> Outcome:
    """Computes a timeline; with logits_all the logits of what was not computed before go to their rows."""
    session, verdict, keep = llama._session, Verdict(), list[Any]()
    options = seq_options(Sampling(), keep, max_tokens=0)
    if session.logits_all:
        options.on_logits = _row_writer(session, verdict)
        keep.append(options.on_logits)
    request = Request(tokens, options, keep, recompute=recompute, read=read, verdict=verdict)
    return llama._running_engine().run(request)


def evaluate(llama: Llama, tokens: Sequence[int]) -> None:
    session = llama._session
    with session.lock:
        before = session.n_tokens
        if not len(tokens):
            return
        if before + len(tokens) > session.n_ctx:
            raise RuntimeError(
                "llama_decode returned 1: %d tokens and %d more exceed the context of %d"
                % (before, len(tokens), session.n_ctx)
            )
        timeline = session.timeline() + array("i", tokens)
        outcome = _compute(llama, timeline)
        session.set_timeline(timeline)
        session.requires_eval = False
        if session.logits_all and common_prefix(session.scored, timeline.tobytes()) >= outcome.n_reused:
            session.scored = timeline.tobytes()


def fill_scores(llama: Llama) -> npt.NDArray[np.single]:
    """All rows, with those right that llama-cpp-python fills: each token's with logits_all, else the last."""
    session = llama._session
    with session.lock:
        rows, tokens = session.all_rows(), session.timeline()
        data = tokens.tobytes()
        if not tokens or llama._engine is None or session.scored == data:
            return rows
        if session.logits_all and session.scored.startswith(data):
            return rows
        if session.logits_all:
            _compute(llama, tokens, recompute=True)
        else:
            row = rows[min(len(tokens), session.n_rows) - 1]

            def read(seq: int) -> None:
                ctypes.memmove(row.ctypes.data, lib.puna_seq_logits(seq), session.n_vocab * 4)

            _compute(llama, tokens, read=read)
        session.scored = data
        return rows


def next_seed(llama: Llama) -> int:
    """The seed of a request that was given none: from the system, or from the object's seed, which moves on."""
    with _seed_lock:
        if llama._seed == DEFAULT_SEED:
            return DEFAULT_SEED
        llama._seed = random.Random(llama._seed).randint(0, 2**32)
        return llama._seed


def sample(llama: Llama, sampling: Sampling, logits_processor: Any, idx: Optional[int]) -> int:
    session = llama._session
    with session.lock:
        count = session.n_tokens if idx is None or idx < 0 else idx + 1
        if not 0 < count <= session.n_tokens:
            raise ValueError("no token %d: %d tokens have been evaluated" % (count - 1, session.n_tokens))
        tokens = session.ids[:count]
        if sampling.seed != DEFAULT_SEED:  # each position its own number, the same in every run
            sampling.seed = (sampling.seed * 0x9E3779B97F4A7C15 + count) & 0x7FFFFFFFFFFFFFFF
    verdict, keep = Verdict(), list[Any]()
    edit = edit_logits_callback(logits_processor, None, verdict)
    options = seq_options(sampling, keep, max_tokens=0, edit_logits=edit)

    def read(seq: int) -> int:
        token = ctypes.c_int32()
        try:
            _binding.call(lib.puna_seq_sample, seq, ctypes.byref(token))
        except PunaError:
            if verdict.error is not None:
                raise verdict.error from None
            raise
        return token.value

    outcome = llama._running_engine().run(Request(tokens, options, keep, read=read, verdict=verdict))
    token: int = outcome.result
    return token


# ---- generate


def _reuse(llama: Llama, tokens: List[int], reset: bool) -> array[int]:
    """Resets or cuts the session as llama-cpp-python's generate does, and returns the timeline to compute."""
    session = llama._session
    if reset and session.n_tokens > 0:
        prefix = common_prefix(session.timeline().tobytes(), array("i", tokens).tobytes())
        whole = prefix == len(tokens)
        if whole and session.n_tokens == len(tokens) and not session.requires_eval:
            return session.timeline()
        keep = prefix - 1 if whole else prefix
        if keep > 0:
            session.n_tokens = keep
            session.requires_eval = True
            tokens, reset = tokens[keep:], False
    if reset:
        llama.reset()
    return session.timeline() + array("i", tokens)


def _turn(request: Request) -> Iterator[Any]:
    """The tokens of one turn, then its Outcome."""
    for event in request.events():
        if isinstance(event, Token):
            yield event.id
        else:
            if event.error is not None:
                raise event.error
            if event.finish == _binding.PUNA_FINISH_END:  # the end token too is generated
                yield array("i", event.timeline)[-1]
            yield event


def generate(
    llama: Llama,
    tokens: Sequence[int],
    sampling: Sampling,
    reset: bool,
    logits_processor: Any,
    stopping_criteria: Any,
) -> Generator[int, Optional[Sequence[int]], None]:
    session, engine = llama._session, llama._running_engine()
    with session.lock:
        timeline = _reuse(llama, [int(token) for token in tokens], reset)
    if not timeline:
        raise ValueError("generate: no tokens")
    if len(timeline) > session.n_ctx:
        raise RuntimeError(
            "llama_decode returned 1: %d tokens exceed the context of %d" % (len(timeline), session.n_ctx)
        )
    # one token a turn: nothing is computed that was not asked for. A draft model pays only over several.
    n_turn = 1 + llama._max_draft
    verdict, keep = Verdict(), list[Any]()
    options = seq_options(
        sampling,
        keep,
        max_tokens=n_turn,
        edit_logits=edit_logits_callback(logits_processor, stopping_criteria, verdict),
        draft=draft_callback(llama.draft_model, verdict) if llama.draft_model is not None else None,
    )
    request = Request(timeline, options, keep, hold=True, verdict=verdict)
    try:
        engine.submit(request)
        while True:
            for item in _turn(request):
                if isinstance(item, Outcome):
                    finish = item.finish
                    sent = None
                    break
                with session.lock:
                    session.set_timeline(timeline)
                    session.requires_eval = False
                sent = yield item
                timeline.append(item)
                if sent is not None:
                    timeline.extend(sent)
                    finish = 0
                    break
            if sent is None and not finish:  # a stopping criterion
                return
            if finish == _binding.PUNA_FINISH_CONTEXT or len(timeline) > session.n_ctx:
                raise RuntimeError("llama_decode returned 1: the context of %d tokens is full" % session.n_ctx)
            go_on = sent is None and finish == _binding.PUNA_FINISH_LENGTH
            engine.resume(request, n_turn, None if go_on else timeline)
    finally:
        engine.cancel(request)


# ---- saving


def read_state(seq: int) -> bytes:
    """puna_seq_save, in the engine thread."""
    needed = ctypes.c_size_t()
    error = _binding.puna_error()
    status = lib.puna_seq_save(seq, None, 0, ctypes.byref(needed), ctypes.byref(error))
    if status not in (_binding.PUNA_OK, _binding.PUNA_E_LIMIT):
        raise _binding.failure(status, error)
    room = ctypes.create_string_buffer(needed.value)
    _binding.call(lib.puna_seq_save, seq, room, needed.value, ctypes.byref(needed))
    return room.raw[: needed.value]


def make_state(llama: Llama, tokens: array[int], data: bytes) -> LlamaState:
    session = llama._session
    input_ids: Any = array("i", bytes(TOKEN_BYTES * session.n_ctx))
    input_ids[: len(tokens)] = tokens
    scores: Any = None
    try:
        import numpy as np
    except ImportError:
        pass
    else:
        input_ids = np.array(input_ids, dtype=np.intc)
        right = session.logits_all and session.rows is not None and session.scored == tokens.tobytes()
        scores = session.all_rows()[: len(tokens)].copy() if right else np.zeros((0, session.n_vocab), dtype=np.single)
    return LlamaState(input_ids, scores, len(tokens), data, len(data), llama._seed)


def save(llama: Llama) -> LlamaState:
    session = llama._session
    with session.lock:
        tokens = session.timeline()
        data = b""
        if tokens:
            request = Request(tokens, seq_options(Sampling(), [], max_tokens=0), read=read_state)
            data = llama._running_engine().run(request).result
        return make_state(llama, tokens, data)


def load(llama: Llama, state: LlamaState) -> None:
    session = llama._session
    data = bytes(state.llama_state[: state.llama_state_size])
    ids = state.input_ids[: state.n_tokens]
    tokens = array("i", ids.tolist() if hasattr(ids, "tolist") else list(ids))
    if len(tokens) > session.n_ctx:
        raise RuntimeError(
            "Failed to set llama state data: %d tokens exceed the context of %d" % (len(tokens), session.n_ctx)
        )

    def prepare(seq: int) -> None:
        _binding.call(lib.puna_seq_load, seq, data, len(data))

    with session.lock:
        if data:
            request = Request(tokens, seq_options(Sampling(), [], max_tokens=0), prepare=prepare)
            try:
                llama._running_engine().run(request)
            except PunaError as error:
                raise RuntimeError("Failed to set llama state data: %s" % error) from error
        session.set_timeline(tokens)
        session.requires_eval = True
        scores = state.scores
        if session.logits_all and scores is not None and len(scores) == len(tokens) and len(tokens):
            session.all_rows()[: len(tokens)] = scores
            session.scored = tokens.tobytes()
        llama._seed = state.seed


def adopt(llama: Llama, timeline: bytes, n_sampled: int) -> None:
    """A completion has ended: its timeline is the session's, as far as it is computed; not while another thread works
    on the session."""
    tokens = array("i", timeline)
    if n_sampled:
        tokens = tokens[:-1]
    session = llama._session
    if session.lock.acquire(blocking=False):
        try:
            session.set_timeline(tokens[: session.n_ctx])
            session.requires_eval = False
        finally:
            session.lock.release()
