"""create_chat_completion: who answers a conversation, the prompt it becomes, and the calls in the answer.

The model's own template and the named formats are rendered by libpuna, which also says which token came from a message:
messages cannot contain special tokens. Handlers that users bring get everything as llama-cpp-python gives it to them.
"""

from __future__ import annotations

import json
import threading
import weakref
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

from . import _completion, llama_chat_format
from ._binding import PUNA_E_UNSUPPORTED, PunaError, as_bytes
from ._completion import CompletionCall, sampling_of, stop_list
from ._log import logger
from ._template import Template
from ._text import cut_at_stops, held_bytes
from .llama_chat_format import (
    LlamaChatCompletionHandlerRegistry,
    NamedHandler,
    _arguments_grammar,
    _call_id,
    _calls_message,
    _chat_chunk,
    _chat_response,
    _forced_tool,
    _grammar_for_response_format,
    _tools_of,
)
from .llama_grammar import LlamaGrammar

if TYPE_CHECKING:
    from .llama import Llama

OWN_TEMPLATE = "chat_template.default"
FALLBACK = "llama-2"  # of a model that says nothing about conversations, as in llama-cpp-python


class Chats:
    """The ways of a Llama to answer conversations."""

    def __init__(self, llama: Llama) -> None:
        self._llama = weakref.ref(llama)
        self._templates: Dict[str, Template] = {}
        self._lock = threading.Lock()
        self.default_format = OWN_TEMPLATE if llama._model.chat_template else self._family_format(llama)

    def _family_format(self, llama: Llama) -> str:
        """The format that the model's family is known to want, or the fallback."""
        try:
            template = Template(llama._model)
        except PunaError as error:
            if error.code != PUNA_E_UNSUPPORTED:
                raise
            return FALLBACK
        self._templates[template.source] = template
        return template.source

    def _template(self, llama: Llama, format: str) -> Template:
        with self._lock:
            if format not in self._templates:
                if format == OWN_TEMPLATE:
                    template = Template(llama._model)
                elif format.startswith("chat_template."):
                    template = Template(llama._model, template_name=format[len("chat_template.") :])
                else:
                    template = Template(llama._model, format=format)
                if format == FALLBACK and self.default_format == FALLBACK and not llama._model.chat_template:
                    logger.warning(
                        "%s says nothing about conversations: the format %s is a guess", llama.model_path, FALLBACK
                    )
                self._templates[format] = template
            return self._templates[format]

    def _handler(self, llama: Llama) -> Any:
        """A handler that the user brought, or None."""
        if llama.chat_handler is not None:
            return llama.chat_handler
        format = llama.chat_format
        if format in llama._chat_handlers:
            return llama._chat_handlers[format]
        if format is None or format.startswith("chat_template."):
            return None
        handler = LlamaChatCompletionHandlerRegistry._chat_handlers.get(format)
        if handler is None and format == self.default_format:
            return None
        if isinstance(handler, NamedHandler):
            return None
        return handler or llama_chat_format.get_chat_completion_handler(format)

    def handler(self) -> Any:
        llama = self._llama()
        assert llama is not None
        return self._handler(llama)

    def complete(self, arguments: Dict[str, Any]) -> Any:
        """Answers create_chat_completion, called with its arguments by name."""
        llama = self._llama()
        assert llama is not None
        handler = self._handler(llama)
        if handler is not None:
            return handler(llama=llama, **arguments)
        return self.complete_as(llama.chat_format or self.default_format, arguments)

    def complete_as(self, format: str, arguments: Dict[str, Any]) -> Any:
        """The same with a named format, whatever the Llama's own is."""
        llama = self._llama()
        assert llama is not None
        chat = ChatCall(llama, self._template(llama, format), arguments)
        if arguments["stream"]:
            return _stream(chat)
        return chat.response(_completion.run(chat.completion))

    def prepare(self, arguments: Dict[str, Any]) -> ChatCall:
        llama = self._llama()
        assert llama is not None
        return ChatCall(llama, self._template(llama, llama.chat_format or self.default_format), arguments)


def _stream(chat: ChatCall) -> Iterator[Any]:
    chunks = _completion.stream(chat.completion)
    try:
        for chunk in chunks:
            yield from chat.chunks(chunk)
    finally:
        chunks.close()  # type: ignore[attr-defined]


class ChatCall:
    """One call of create_chat_completion that libpuna's chat answers."""

    def __init__(self, llama: Llama, template: Template, arguments: Dict[str, Any]) -> None:
        self.template = template
        tools, choice = _tools_of(
            arguments["functions"], arguments["function_call"], arguments["tools"], arguments["tool_choice"]
        )
        self.forced: Optional[str] = None  # the function whose arguments the answer is
        self.any_forced = False  # the answer is {"name", "arguments"} of one of the functions
        grammar = self._grammar(arguments, tools, choice)
        self.parses = bool(tools) and choice != "none" and grammar is None
        names = ("functions", "function_call", "tool_choice")
        variables = {name: arguments[name] for name in names if arguments[name] is not None}
        self.prompt = template.render(arguments["messages"], tools if choice != "none" else None, variables)
        stops = [*stop_list(arguments["stop"]), *self.prompt.stops]
        self.stops = [as_bytes(stop) for stop in stops]
        self.completion = CompletionCall(
            llama,
            self.prompt.tokens,
            sampling_of(llama, arguments, grammar),
            max_tokens=arguments["max_tokens"],
            logprobs=(arguments["top_logprobs"] or 0) if arguments["logprobs"] else None,
            stop=stops,
            stream=arguments["stream"],
            model=arguments["model"],
            logits_processor=arguments["logits_processor"],
        )
        self.answer = ""  # of a stream with any_forced, so far
        self.n_content = 0  # characters of its content that were sent
        self.n_reasoning = 0
        self.n_calls = 0
        self.first = True

    def _grammar(self, arguments: Dict[str, Any], tools: Optional[List[Any]], choice: Any) -> Any:
        forced = _forced_tool(tools, choice)
        if forced is not None:
            self.forced = forced["name"]
            return _arguments_grammar(forced)
        if choice == "required" and tools:
            self.any_forced = True
            return _any_call_grammar([tool["function"] for tool in tools])
        return _grammar_for_response_format(arguments["response_format"]) or arguments["grammar"]

    def _calls(self, text: str) -> Tuple[List[Tuple[str, str]], Dict[str, Any]]:
        """The calls in a whole answer, and the rest of its message."""
        if self.forced is not None:
            return [(self.forced, text)], {}
        if self.any_forced:
            try:
                call = json.loads(text)
                return [(call["name"], json.dumps(call["arguments"], ensure_ascii=False))], {}
            except (ValueError, LookupError):  # cut by max_tokens
                return [], {"content": text}
        return self._parsed(False)

    def _parsed(self, is_partial: bool) -> Tuple[List[Tuple[str, str]], Dict[str, Any]]:
        """What the tokens so far say. Read with their special tokens, which mark calls in many formats."""
        text = self.completion.llama._model.pieces(self.completion.tokens, special=True)
        text = cut_at_stops(text, self.stops)
        if is_partial:
            text = text[: len(text) - held_bytes(text, self.stops)]
        message = self.template.parse(self.prompt, text.decode("utf-8", "ignore"), is_partial)
        calls = message.pop("tool_calls", None) or []
        return [(call["function"]["name"], call["function"]["arguments"]) for call in calls], message

    def response(self, completion: Any) -> Any:
        """The response, from that of the completion."""
        choice = completion["choices"][0]
        if self.forced is None and not self.any_forced and not self.parses:
            return _chat_response(completion, {"role": "assistant", "content": choice["text"]}, choice["finish_reason"])
        calls, rest = self._calls(choice["text"])
        if not calls:
            return _chat_response(completion, {"role": "assistant", **rest}, choice["finish_reason"])  # type: ignore[typeddict-item]
        message: Any = _calls_message(calls, completion)
        message["content"] = rest.get("content") or None
        if rest.get("reasoning_content"):
            message["reasoning_content"] = rest["reasoning_content"]
        return _chat_response(completion, message, "tool_calls")

    # ---- streams

    def chunks(self, chunk: Any) -> Iterator[Any]:
        """The chunks of the chat that a chunk of the completion makes."""
        choice = chunk["choices"][0]
        text, finish_reason, logprobs = choice["text"], choice["finish_reason"], choice["logprobs"]
        if self.forced is not None:
            yield from self._forced_chunks(chunk, text, finish_reason, logprobs)
            return
        if self.first:
            self.first = False
            yield _chat_chunk(chunk, {"role": "assistant"})
        if not self.parses and not self.any_forced:
            if finish_reason is None:
                yield _chat_chunk(chunk, {"content": text}, logprobs=logprobs)
            else:
                yield _chat_chunk(chunk, {}, finish_reason)
            return
        self.answer += text
        deltas = self._deltas(chunk, finish_reason is not None)
        for index, delta in enumerate(deltas):
            yield _chat_chunk(chunk, delta, logprobs=logprobs if index == 0 else None)  # type: ignore[arg-type]
        if finish_reason is not None:
            yield _chat_chunk(chunk, {}, "tool_calls" if self.n_calls else finish_reason)

    def _deltas(self, chunk: Any, is_last: bool) -> List[Dict[str, Any]]:
        """What of the message has come since the last time: text as it comes, calls when they are whole."""
        if self.any_forced:
            calls, message = self._calls(self.answer) if is_last else ([], {})
        else:
            calls, message = self._parsed(not is_last)
        deltas: List[Dict[str, Any]] = []
        reasoning, content = message.get("reasoning_content") or "", message.get("content") or ""
        if len(reasoning) > self.n_reasoning:
            deltas.append({"reasoning_content": reasoning[self.n_reasoning :]})
            self.n_reasoning = len(reasoning)
        if len(content) > self.n_content:
            deltas.append({"content": content[self.n_content :]})
            self.n_content = len(content)
        for index in range(self.n_calls, len(calls)):
            name, arguments = calls[index]
            call = {
                "index": index,
                "id": _call_id(index, name, chunk),
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            deltas.append({"tool_calls": [call]})
        self.n_calls = max(self.n_calls, len(calls))
        return deltas

    def _forced_chunks(self, chunk: Any, text: str, finish_reason: Any, logprobs: Any) -> Iterator[Any]:
        assert self.forced is not None
        if self.first:
            self.first = False
            yield _chat_chunk(chunk, {"role": "assistant", "content": None, "function_call": None, "tool_calls": None})
        if text:
            function: Any = {"name": self.forced, "arguments": text}
            call: Any = {"index": 0, "id": _call_id(0, self.forced, chunk), "type": "function", "function": function}
            delta: Any = {"role": None, "content": None, "function_call": function, "tool_calls": [call]}
            yield _chat_chunk(chunk, delta, logprobs=logprobs)
        if finish_reason is not None:
            delta = {"role": None, "content": None, "function_call": None, "tool_calls": None}
            yield _chat_chunk(chunk, delta, "tool_calls")


def _any_call_grammar(functions: Sequence[Dict[str, Any]]) -> LlamaGrammar:
    """{"name": one of the functions, "arguments": what it takes}."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": function["name"]},
                "arguments": function.get("parameters") or {"type": "object", "properties": {}},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for function in functions
    ]
    return LlamaGrammar.from_json_schema(json.dumps({"anyOf": calls}))
