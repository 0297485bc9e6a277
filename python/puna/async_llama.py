"""`AsyncLlama`: the same for asyncio. Requests of all tasks share batches, and no thread is needed for each.

    async with AsyncLlama("model.gguf") as llm:
        result = await llm.create_completion("The capital of France is")
        async for chunk in await llm.create_completion("Once upon a time", stream=True):
            print(chunk["choices"][0]["text"], end="")

Cancelling a task, or closing a stream, stops its work within a token.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, AsyncGenerator, Callable, Dict, Iterator, List, Union

from . import _completion, _embedding
from ._chat import ChatCall
from ._completion import CompletionCall
from ._engine import Engine, Event, Outcome, Request
from .llama import Llama
from .llama_types import (
    CreateChatCompletionResponse,
    CreateChatCompletionStreamResponse,
    CreateCompletionResponse,
    CreateCompletionStreamResponse,
    CreateEmbeddingResponse,
)

CompletionResult = Union[CreateCompletionResponse, AsyncGenerator[CreateCompletionStreamResponse, None]]
ChatResult = Union[CreateChatCompletionResponse, AsyncGenerator[CreateChatCompletionStreamResponse, None]]


class AsyncLlama:
    """A Llama for asyncio: takes what Llama takes, or a Llama to share. What is not defined here, such as tokenize and
    n_ctx, is that of the Llama, which is the attribute `llama`."""

    def __init__(self, model_path: Union[str, Llama], **kwargs: Any) -> None:
        self.llama = model_path if isinstance(model_path, Llama) else Llama(model_path, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "llama":  # not made yet
            raise AttributeError(name)
        return getattr(self.llama, name)

    def __repr__(self) -> str:
        return "<Async" + repr(self.llama)[1:]

    async def __aenter__(self) -> AsyncLlama:
        return self

    async def __aexit__(self, *exception: Any) -> None:
        await self.close()

    async def close(self) -> None:
        """Frees the memory; requests under way end with an error."""
        await asyncio.to_thread(self.llama.close)

    async def create_completion(self, *args: Any, **kwargs: Any) -> CompletionResult:
        """Llama.create_completion. With stream=True an asynchronous generator."""
        arguments = _bind(Llama.create_completion, self.llama, args, kwargs)
        call = _completion.prepare(self.llama, arguments)
        return _stream(call) if arguments["stream"] else await _run(call)

    async def __call__(self, *args: Any, **kwargs: Any) -> CompletionResult:
        """create_completion."""
        return await self.create_completion(*args, **kwargs)

    async def create_chat_completion(self, *args: Any, **kwargs: Any) -> ChatResult:
        """Llama.create_chat_completion. With stream=True an asynchronous generator. Handlers that the program brought
        run in a thread."""
        llama = self.llama
        arguments = _bind(Llama.create_chat_completion, llama, args, kwargs)
        if llama._chat.handler() is not None:
            answer: Any = await asyncio.to_thread(llama._chat.complete, arguments)
            return _in_threads(answer) if arguments["stream"] else answer
        chat = llama._chat.prepare(arguments)
        if arguments["stream"]:
            return _stream_chat(chat)
        response: CreateChatCompletionResponse = chat.response(await _run(chat.completion))
        return response

    async def embed(
        self, input: Union[str, List[str]], normalize: bool = False, truncate: bool = True, return_count: bool = False
    ) -> Any:
        """Llama.embed."""
        engine, requests = self.llama._running_engine(), _embedding.requests(self.llama, input, truncate)
        outcomes = await asyncio.gather(*(_outcome(engine, request) for request in requests))
        return _embedding.output(input, requests, outcomes, normalize, return_count)

    async def create_embedding(self, input: Union[str, List[str]], model: Any = None) -> CreateEmbeddingResponse:
        """Llama.create_embedding."""
        texts = [input] if isinstance(input, str) else input
        vectors, n_tokens = await self.embed(texts, return_count=True)
        return _embedding.response(self.llama, vectors, n_tokens, model)


def _bind(method: Callable[..., Any], llama: Llama, args: Any, kwargs: Dict[str, Any]) -> Dict[str, Any]:
    """All arguments of a call by name, with the method's defaults."""
    bound = inspect.signature(method).bind(llama, *args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    del arguments["self"]
    return arguments


class _Events:
    """The events of a request, in the running loop. To be made before the request is submitted."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self.engine = engine
        self.request = request
        self.loop = asyncio.get_running_loop()
        self.queue: asyncio.Queue[List[Event]] = asyncio.Queue()
        request.deliver = self._deliver

    def _deliver(self, events: List[Event]) -> None:
        """In the engine thread."""
        try:
            self.loop.call_soon_threadsafe(self.queue.put_nowait, events)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self.engine.cancel(self.request)

    async def __aiter__(self) -> AsyncGenerator[Event, None]:
        while True:
            for event in await self.queue.get():
                yield event
                if isinstance(event, Outcome):
                    return


async def _outcome(engine: Engine, request: Request) -> Outcome:
    events = _Events(engine, request)
    engine.submit(request)
    try:
        async for event in events:
            if isinstance(event, Outcome):
                if event.error is not None:
                    raise event.error
                return event
    finally:
        engine.cancel(request)
    raise AssertionError("a request without an outcome")


async def _start(call: CompletionCall) -> _Events:
    events = _Events(call.llama._running_engine(), call.request)
    if call.llama.cache is None:
        call.start()
    else:  # waits for the engine, and perhaps for a disk
        await asyncio.to_thread(call.start)
    return events


async def _run(call: CompletionCall) -> CreateCompletionResponse:
    try:
        async for event in await _start(call):
            if isinstance(event, Outcome) and call.llama.cache is not None:
                await asyncio.to_thread(call.take, event)
            else:
                call.take(event)
    except BaseException:
        call.cancel()
        raise
    return call.result()


async def _stream(call: CompletionCall) -> AsyncGenerator[CreateCompletionStreamResponse, None]:
    try:
        async for event in await _start(call):
            if isinstance(event, Outcome) and call.llama.cache is not None:
                for chunk in await asyncio.to_thread(lambda last: list(call.chunks(last)), event):
                    yield chunk
            else:
                for chunk in call.chunks(event):
                    yield chunk
    finally:
        call.cancel()


async def _stream_chat(chat: ChatCall) -> AsyncGenerator[CreateChatCompletionStreamResponse, None]:
    chunks = _stream(chat.completion)
    try:
        async for chunk in chunks:
            for part in chat.chunks(chunk):
                yield part
    finally:
        await chunks.aclose()


async def _in_threads(parts: Iterator[Any]) -> AsyncGenerator[Any, None]:
    """An iterator that waits, one step at a time in a thread."""
    end = object()
    try:
        while (part := await asyncio.to_thread(next, parts, end)) is not end:
            yield part
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            await asyncio.to_thread(close)
