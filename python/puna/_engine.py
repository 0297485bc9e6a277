"""The engine thread: one thread per Llama owns the puna_engine and runs the requests of all others.

A `Request` is a list of tokens, how to sample after it, and who gets the events. `Engine.submit` puts it into a queue;
the thread gives each, first come first served, one of the engine's sequences (a `Slot`: the free one that has the
most of the request's tokens computed already), and steps all that run together, so that requests of any number of
threads share batches. What shares a batch, and what was computed before, changes the speed and never a result.

Only the engine thread touches the puna_engine. Others reach it through the inbox, a queue, and through
puna_engine_cancel. Callbacks (logits processors, stopping criteria, drafts) run in the engine thread; what they raise
is raised in the thread that made the request.

The thread holds the `_Core` alone, never the `Engine`: when the last reference to an Engine goes, its finalizer asks
the thread to free everything. It is a daemon; an exit handler stops it while Python still works. In a forked child
there is no such thread, and every use is an error.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import weakref
from array import array
from collections import deque
from queue import SimpleQueue
from typing import Any, Callable, Iterator, NamedTuple, Optional, Sequence, Union

from . import _binding
from ._binding import PunaError, PunaValueError, lib
from ._log import logger
from ._sampling import Verdict
from ._slots import DONE, HELD, RUNNING, WAITING, Slot, Slots


class Token(NamedTuple):
    """One sampled token."""

    id: int
    text: bytes  # complete characters, may be empty
    logprob: float
    top: Sequence[tuple[int, float]]  # the most likely tokens with their log-probabilities, descending


class Outcome(NamedTuple):
    """The end of a request, or of one of its turns."""

    finish: int  # PUNA_FINISH_...; 0 when a stopping criterion, a cancellation or an error ended it
    text: bytes  # what had been held back
    error: Optional[BaseException] = None
    result: Any = None  # what `read` returned
    timeline: bytes = b""  # all tokens, int32
    n_reused: int = 0  # fed tokens that were computed before


Event = Union[Token, Outcome]


class Request:
    """Tokens to compute, and how to go on from there.

    options: a puna_seq_options; what its pointers refer to must be in `keep`.
    stream: deliver each token, not all at the end. hold: keep the slot afterwards, for Engine.resume.
    recompute: compute all positions again, so that on_logits sees them.
    read: called with the slot's puna_seq * when a turn has finished, in the engine thread.
    prepare: called with the slot's puna_seq * in place of feeding: the request ends with what it returns.
    verdict: what the callbacks of the options write to.
    """

    def __init__(
        self,
        tokens: Sequence[int],
        options: Any,
        keep: Any = None,
        stream: bool = False,
        hold: bool = False,
        recompute: bool = False,
        read: Optional[Callable[[int], Any]] = None,
        prepare: Optional[Callable[[int], Any]] = None,
        verdict: Optional[Verdict] = None,
    ) -> None:
        try:
            self.tokens = array("i", tokens)
        except OverflowError:
            raise PunaValueError("a token is outside the vocabulary") from None
        self.options = options
        self.keep = keep
        self.stream = stream
        self.hold = hold
        self.recompute = recompute
        self.read = read
        self.prepare = prepare
        self.state = WAITING
        self.slot: Optional[Slot] = None
        self.verdict = verdict
        self.n_sampled = 0
        # of a held request: what was fed, tokens to sample
        self.turns: list[tuple[Optional[array[int]], int]] = [(self.tokens, options.max_tokens)] if hold else []
        self.replay: deque[tuple[Optional[array[int]], int]] = deque()
        self.pending: list[Event] = []
        self._queue: SimpleQueue[list[Event]] = SimpleQueue()
        self.deliver: Callable[[list[Event]], None] = self._queue.put

    def events(self) -> Iterator[Event]:
        """The events as they come, up to and with the Outcome. Only for requests with the default `deliver`."""
        while True:
            for event in self._queue.get():
                yield event
                if isinstance(event, Outcome):
                    return

    # ---- in the engine thread

    def token(self, event: Token) -> None:
        self.n_sampled += 1
        self.pending.append(event)
        if self.stream:
            self.flush()

    def flush(self) -> None:
        pending, self.pending = self.pending, []
        self.deliver(pending)

    def finish(self, outcome: Outcome) -> None:
        self.pending.append(outcome)
        self.flush()


class Engine:
    """A puna_engine and its thread. Any thread may call; `close` or the last reference frees it."""

    def __init__(self, model: int, options: Any) -> None:
        handle = ctypes.c_void_p()
        _binding.call(lib.puna_engine_open, model, ctypes.byref(options), ctypes.byref(handle))
        self.plan = _binding.puna_memory_plan()
        self.plan.size = ctypes.sizeof(self.plan)
        lib.puna_engine_get_plan(handle, ctypes.byref(self.plan))
        assert handle.value is not None
        self._core = _Core(handle.value, self.plan.n_seq, options.max_draft)
        self._finalizer = weakref.finalize(self, _Core.close, self._core)
        self._finalizer.atexit = False  # _close_all does it

    def submit(self, request: Request) -> Request:
        self._core.post(_Core.add, request)
        return request

    def resume(self, request: Request, max_tokens: int, tokens: Optional[Sequence[int]] = None) -> None:
        """Samples max_tokens more in a held request, after feeding `tokens` (the whole timeline) where given."""
        request.turns.append((None if tokens is None else array("i", tokens), max_tokens))
        self._core.post(_Core.go_on, request)

    def cancel(self, request: Request) -> None:
        """Ends a request within a token; ends the hold of a held one. Nothing happens when it has ended already."""
        self._core.cancel(request)

    def run(self, request: Request) -> Outcome:
        """Submits a request and waits for its end. Ctrl-C and other exceptions end it."""
        return self.wait(request, submit=True)

    def wait(self, request: Request, submit: bool = False) -> Outcome:
        """The outcome of the turn under way. Raises what failed."""
        try:
            if submit:
                self.submit(request)
            for event in request.events():
                if isinstance(event, Outcome):
                    if event.error is not None:
                        raise event.error
                    return event
        except BaseException:
            self.cancel(request)
            raise
        raise AssertionError("a request without an outcome")

    def best_prefix(self, tokens: Sequence[int]) -> int:
        """How many of the tokens a slot had computed when it last ended: a guess that may be outdated at once."""
        return self._core.slots.best_prefix(array("i", tokens).tobytes())

    @property
    def n_running(self) -> int:
        return self._core.slots.n_running

    def close(self) -> None:
        """Ends all requests with an error, frees everything and waits until that is done."""
        self._core.close()
        self._core.join()

    def check_usable(self) -> None:
        """Raises PunaError when it is closed, has failed, or belongs to a parent process."""
        self._core.check_usable()


class _Core:
    """What the thread owns. Methods below the line run in the thread alone."""

    def __init__(self, engine: int, n_seq: int, max_draft: int) -> None:
        self.engine: Optional[int] = engine
        self.slots = Slots(engine, n_seq)
        self.inbox: SimpleQueue[tuple[Optional[Callable[[_Core, Request], None]], Any]] = SimpleQueue()
        self.waiting: deque[Request] = deque()
        self.lock = threading.RLock()  # reentrant: a finalizer may run in the thread that holds it
        self.thread: Optional[threading.Thread] = None
        self.closing = False
        self.forked = False
        self.fault: Optional[BaseException] = None  # what ended the thread
        max_events = n_seq * (2 + max_draft)
        self.max_events = max(2, max_events)
        self.events = (_binding.puna_event * self.max_events)()
        self.event_list = list(self.events)  # views into it
        self.n_events = ctypes.c_int32()
        self.step_error = _binding.puna_error()
        _cores.add(self)

    def check_usable(self) -> None:
        if self.forked:
            raise PunaError("this Llama was made before the process forked: make one in the child process")
        if self.closing:
            if self.fault is not None:
                raise PunaError("the engine thread has failed: %s" % self.fault) from self.fault
            raise PunaError("this Llama is closed")

    def post(self, method: Callable[[_Core, Request], None], request: Request) -> None:
        self.check_usable()
        if self.thread is not None and self.thread.ident == threading.get_ident():
            raise PunaError("a callback of a request cannot use the Llama that runs it")
        with self.lock:
            self.check_usable()
            self.inbox.put((method, request))
            if self.thread is None:
                self.thread = threading.Thread(target=_Core.main, args=(self,), name="puna-engine", daemon=True)
                self.thread.start()

    def cancel(self, request: Request) -> None:
        if request.state == DONE or self.forked:
            return
        with self.lock:
            if self.closing or self.thread is None:
                return
            self.inbox.put((_Core.drop, request))
            # a step of a prompt can take seconds: it is stopped and the other sequences of it compute it again
            if request.state == RUNNING and request.n_sampled == 0 and self.engine is not None:
                lib.puna_engine_cancel(self.engine)

    def close(self) -> None:
        """Asks the thread to free everything; frees it here where no thread was started."""
        if self.forked:
            return
        with self.lock:
            if self.closing:
                return
            self.closing = True
            if self.thread is None:
                self.free()
            else:
                self.inbox.put((None, None))
                if self.engine is not None:
                    lib.puna_engine_cancel(self.engine)

    def join(self) -> None:
        thread = self.thread
        if thread is not None and not self.forked and thread.ident != threading.get_ident():
            thread.join()

    # ---- in the engine thread ----------------------------------------------------------------------------------

    def main(self) -> None:
        try:
            self.loop()
        except BaseException as error:  # a defect of puna: the requests end with it instead of waiting for ever
            self.fault = error
            logger.exception("the engine thread has failed")
        finally:
            with self.lock:
                self.closing = True
                self.free()
            if not _exiting:
                self.fail_all()

    def free(self) -> None:
        if self.engine is not None:
            lib.puna_engine_free(self.engine)
            self.engine = None

    def fail_all(self) -> None:
        error = PunaError("this Llama was closed" if self.fault is None else "the engine failed: %s" % self.fault)
        requests = [slot.request for slot in self.slots.all if slot.request is not None] + list(self.waiting)
        while not self.inbox.empty():
            method, request = self.inbox.get()
            if method in (_Core.add, _Core.go_on):
                requests.append(request)
        for request in requests:
            if request.state != DONE:
                request.state = DONE
                request.finish(Outcome(0, b"", error))

    def loop(self) -> None:
        inbox, slots = self.inbox, self.slots
        while not self.closing:
            if slots.n_running == 0 and not self.waiting:
                self.handle(*inbox.get())
            while not inbox.empty():
                self.handle(*inbox.get())
            if self.waiting:
                self.admit()
            if slots.n_running and not self.closing:
                self.step()

    def handle(self, method: Optional[Callable[[_Core, Request], None]], request: Request) -> None:
        if method is not None:
            method(self, request)

    def add(self, request: Request) -> None:
        self.waiting.append(request)

    def go_on(self, request: Request) -> None:
        """The next turn of a held request; from the beginning when its slot was given to another."""
        if request.state == HELD and request.slot is not None:
            request.replay.append(request.turns[-1])
            self.slots.unhold(request.slot)
            self.next_turn(request, request.slot)
        elif request.state == WAITING:  # its slot was taken
            request.replay.extend(request.turns)
            self.waiting.append(request)
        else:
            request.finish(Outcome(0, b"", PunaError("the request has ended")))

    def drop(self, request: Request) -> None:
        if request.state == DONE:
            return
        if request.state == WAITING:
            if request in self.waiting:
                self.waiting.remove(request)
            request.state = DONE
            request.finish(Outcome(0, b""))
        elif request.slot is not None:
            if request.state == HELD:
                self.slots.unhold(request.slot)
            request.hold = False
            lib.puna_seq_stop(request.slot.seq)
            self.end_turn(request, request.slot, 0, b"", None)

    def admit(self) -> None:
        while self.waiting:
            request = self.waiting[0]
            slot = self.slots.choose(request.tokens.tobytes())
            if slot is None:
                return
            self.waiting.popleft()
            self.start(request, slot)

    def start(self, request: Request, slot: Slot) -> None:
        self.slots.take(slot, request)
        request.slot, request.state, request.n_sampled = slot, RUNNING, 0
        try:
            slot.configure(request.options)
            if request.prepare is not None:
                result = request.prepare(slot.seq)
                self.end_turn(request, slot, 0, b"", None, result)
                return
            if request.recompute:
                lib.puna_seq_truncate(slot.seq, 0)
            if request.replay:  # a held request that lost its slot
                self.next_turn(request, slot)
            else:
                slot.feed(request.tokens)
        except BaseException as error:
            self.end_turn(request, slot, 0, b"", error)

    def next_turn(self, request: Request, slot: Slot) -> None:
        tokens, max_tokens = request.replay[0]
        request.state = RUNNING
        try:
            if tokens is None:
                _binding.call(lib.puna_seq_resume, slot.seq, max_tokens)
            else:
                lib.puna_seq_set_max_tokens(slot.seq, max_tokens)
                slot.feed(tokens)
        except BaseException as error:
            self.end_turn(request, slot, 0, b"", error)

    def step(self) -> None:
        n_events, error = self.n_events, self.step_error
        status = lib.puna_engine_step(
            self.engine, self.events, self.max_events, ctypes.byref(n_events), ctypes.byref(error)
        )
        if status == _binding.PUNA_OK:
            for event in self.event_list[: n_events.value]:
                self.take_event(event)
        elif status != _binding.PUNA_E_CANCELLED:  # a cancelled step is taken again, without those who asked for it
            for slot in self.slots.all:
                if slot.request is not None and slot.request.state == RUNNING:
                    lib.puna_seq_stop(slot.seq)
                    self.end_turn(slot.request, slot, 0, b"", _binding.failure(status, error))

    def take_event(self, event: Any) -> None:
        slot = self.slots.all[event.user - 1]
        request = slot.request
        if request is None:
            return
        kind, verdict = event.kind, request.verdict
        if verdict is not None and (verdict.error is not None or verdict.stopped):
            if kind == _binding.PUNA_EVENT_TOKEN:
                lib.puna_seq_stop(slot.seq)
            self.end_turn(request, slot, 0, b"", verdict.error)
        elif kind == _binding.PUNA_EVENT_TOKEN:
            text = ctypes.string_at(event.text, event.text_bytes) if event.text_bytes else b""
            top = [(row.token, row.logprob) for row in event.top[: event.n_top]] if event.n_top else ()
            if len(request.replay) > 1:  # of an earlier turn: known already
                request.n_sampled += 1
            else:
                request.token(Token(event.token, text, event.logprob, top))
        elif kind == _binding.PUNA_EVENT_FINISHED:
            text = ctypes.string_at(event.text, event.text_bytes) if event.text_bytes else b""
            self.end_turn(request, slot, event.finish, text, None)
        else:
            self.end_turn(request, slot, 0, b"", _binding.failure(event.error.code, event.error))

    def end_turn(
        self, request: Request, slot: Slot, finish: int, text: bytes, error: Optional[BaseException], result: Any = None
    ) -> None:
        if request.replay:
            request.replay.popleft()
            if request.replay and error is None and finish:
                self.next_turn(request, slot)
                return
        timeline, n_reused = slot.read_timeline()
        if request.read is not None and error is None and finish:
            try:
                result = request.read(slot.seq)
            except BaseException as raised:
                error = raised
        if request.hold and error is None and finish:
            request.state = HELD
            self.slots.hold(slot)
        else:
            request.state = DONE
            request.slot = None
            self.slots.release(slot)
        request.finish(Outcome(finish, text, error, result, timeline, n_reused))


_cores: weakref.WeakSet[_Core] = weakref.WeakSet()
_exiting = False


def _close_all() -> None:
    """At exit, while threads can still run: an engine thread must not outlive the interpreter. Who still waits is a
    daemon thread, and ends with the interpreter without a traceback."""
    global _exiting
    _exiting = True
    cores = list(_cores)
    for core in cores:
        core.close()
    for core in cores:
        core.join()


def _after_fork_in_child() -> None:
    for core in list(_cores):
        core.forked = True
        core.lock = threading.RLock()  # the parent's may have been held by a thread that is not here


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
