"""Ways of writing a conversation for a model, and handlers of chat completions, under llama-cpp-python's names.

Most programs need none of this: ``Llama.create_chat_completion`` uses the template in the model file, or the format
that ``chat_format`` names. This module is for programs that bring a template of their own (``Jinja2ChatFormatter``),
make one from a Hugging Face tokenizer (``hf_tokenizer_config_to_chat_formatter``), or register a format or a handler
under a name for ``chat_format``.

A **formatter** turns messages into a ``ChatFormatterResponse``: the prompt's text and the texts that end an answer. A
**handler** answers a whole request: ``chat_formatter_to_chat_completion_handler`` makes one from a formatter.

Templates are rendered by puna's own bounded interpreter: a hostile one ends with ValueError within a second, and
nothing in it can reach Python.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

from . import llama_grammar, llama_types
from ._binding import lib
from ._template import Template

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .llama import Llama, StoppingCriteriaList

Messages = List[llama_types.ChatCompletionRequestMessage]
ChatResult = Union[
    llama_types.CreateChatCompletionResponse, Iterator[llama_types.CreateChatCompletionStreamResponse]
]

# ---- handlers and their names


class LlamaChatCompletionHandler(Protocol):
    """Answers a chat request: called with `llama`, `messages` and the further arguments of create_chat_completion by
    keyword; returns a response, or with stream=True an iterator of its parts."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


class LlamaChatCompletionHandlerNotFoundException(Exception):
    """No handler has that name."""


class LlamaChatCompletionHandlerRegistry:
    """The handlers by the name that ``chat_format`` takes. There is one registry for the process."""

    _chat_handlers: Dict[str, LlamaChatCompletionHandler] = {}

    def register_chat_completion_handler(
        self, name: str, chat_handler: LlamaChatCompletionHandler, overwrite: bool = False
    ) -> None:
        """ValueError when the name is taken, unless `overwrite`."""
        if name in self._chat_handlers and not overwrite:
            raise ValueError("a handler named '%s' is registered already: overwrite=True replaces it" % name)
        self._chat_handlers[name] = chat_handler

    def unregister_chat_handler(self, name: str) -> None:
        """ValueError when there is none."""
        if self._chat_handlers.pop(name, None) is None:
            raise ValueError("no handler is registered under the name '%s'" % name)

    def get_chat_completion_handler_by_name(self, name: str) -> LlamaChatCompletionHandler:
        """LlamaChatCompletionHandlerNotFoundException, with all names, when there is none."""
        try:
            return self._chat_handlers[name]
        except KeyError:
            names = ", ".join(sorted(self._chat_handlers))
            raise LlamaChatCompletionHandlerNotFoundException(
                "no chat format is named '%s'; there are: %s" % (name, names)
            ) from None


def get_chat_completion_handler(name: str) -> LlamaChatCompletionHandler:
    """The handler registered under a name."""
    return LlamaChatCompletionHandlerRegistry().get_chat_completion_handler_by_name(name)


Handler = TypeVar("Handler", bound=Callable[..., Any])


def register_chat_completion_handler(name: str) -> Callable[[Handler], Handler]:
    """A decorator that registers a handler under a name."""

    def register(handler: Handler) -> Handler:
        LlamaChatCompletionHandlerRegistry().register_chat_completion_handler(name, handler)
        return handler

    return register


def register_chat_format(name: str) -> Callable[[Handler], Handler]:
    """A decorator that registers a formatter, as a handler, under a name."""

    def register(formatter: Handler) -> Handler:
        handler = chat_formatter_to_chat_completion_handler(formatter)
        LlamaChatCompletionHandlerRegistry().register_chat_completion_handler(name, handler)
        return formatter

    return register


# ---- formatters


@dataclasses.dataclass
class ChatFormatterResponse:
    """What a formatter made of a conversation."""

    prompt: str
    stop: Optional[Union[str, List[str]]] = None
    stopping_criteria: Optional[StoppingCriteriaList] = None
    added_special: bool = False  # the prompt begins with the text of BOS: the tokenizer is to add none


class ChatFormatter(Protocol):
    """Turns messages into a prompt: called with `messages` and further template variables by keyword."""

    def __call__(self, *args: Any, **kwargs: Any) -> ChatFormatterResponse: ...


class Jinja2ChatFormatter(ChatFormatter):
    """A formatter from the text of a chat template, in the Jinja that models carry.

    bos_token, eos_token: the texts of these tokens, for the template; eos_token also ends an answer.
    add_generation_prompt: the prompt ends where the answer begins.
    stop_token_ids: tokens that end an answer, too.
    """

    def __init__(
        self,
        template: str,
        eos_token: str,
        bos_token: str,
        add_generation_prompt: bool = True,
        stop_token_ids: Optional[List[int]] = None,
    ) -> None:
        self.template = template
        self.eos_token = eos_token
        self.bos_token = bos_token
        self.add_generation_prompt = add_generation_prompt
        self.stop_token_ids = set(stop_token_ids) if stop_token_ids is not None else None
        self._template = Template(text=template, bos=bos_token, eos=eos_token)

    def __call__(
        self,
        *,
        messages: Messages,
        functions: Optional[List[llama_types.ChatCompletionFunction]] = None,
        function_call: Optional[llama_types.ChatCompletionRequestFunctionCall] = None,
        tools: Optional[List[llama_types.ChatCompletionTool]] = None,
        tool_choice: Optional[llama_types.ChatCompletionToolChoiceOption] = None,
        **kwargs: Any,
    ) -> ChatFormatterResponse:
        variables = {"functions": functions, "function_call": function_call, "tool_choice": tool_choice, **kwargs}
        prompt = self._template.render(messages, tools, variables, self.add_generation_prompt).text
        stopping_criteria = None
        if self.stop_token_ids is not None:
            from .llama import StoppingCriteriaList

            stopping_criteria = StoppingCriteriaList([self._ends])
        stop = [self.eos_token] if self.eos_token else None
        return ChatFormatterResponse(prompt, stop=stop, stopping_criteria=stopping_criteria, added_special=True)

    def _ends(self, tokens: npt.NDArray[np.intc], logits: npt.NDArray[np.single]) -> bool:
        return self.stop_token_ids is not None and int(tokens[-1]) in self.stop_token_ids

    def to_chat_handler(self) -> LlamaChatCompletionHandler:
        return chat_formatter_to_chat_completion_handler(self)

    def __reduce__(self) -> Any:
        ids = sorted(self.stop_token_ids) if self.stop_token_ids is not None else None
        return type(self), (self.template, self.eos_token, self.bos_token, self.add_generation_prompt, ids)


def hf_tokenizer_config_to_chat_formatter(
    tokenizer_config: Dict[str, Any], add_generation_prompt: bool = True
) -> ChatFormatter:
    """A formatter from the content of a tokenizer_config.json: its chat_template, bos_token and eos_token.

    With add_generation_prompt an empty message of the assistant is put after the others, as llama-cpp-python does.
    """
    texts = {}
    for name in ("chat_template", "bos_token", "eos_token"):
        value = tokenizer_config.get(name)
        if name != "chat_template" and isinstance(value, dict):  # an AddedToken, written out
            value = value.get("content")
        if not isinstance(value, str):
            raise ValueError("tokenizer_config: %s must be a string" % name)
        texts[name] = value
    bos, eos = texts["bos_token"], texts["eos_token"]
    template = Template(text=texts["chat_template"], bos=bos, eos=eos)

    def format_tokenizer_config(messages: Messages, **kwargs: Any) -> ChatFormatterResponse:
        last = [llama_types.ChatCompletionRequestAssistantMessage(role="assistant", content="")]
        tools = kwargs.pop("tools", None)
        prompt = template.render([*messages, *(last if add_generation_prompt else [])], tools, kwargs, False).text
        return ChatFormatterResponse(prompt, stop=[text for text in (eos, bos) if text], added_special=True)

    return format_tokenizer_config


def hf_tokenizer_config_to_chat_completion_handler(
    tokenizer_config: Dict[str, Any], add_generation_prompt: bool = True
) -> LlamaChatCompletionHandler:
    formatter = hf_tokenizer_config_to_chat_formatter(tokenizer_config, add_generation_prompt)
    return chat_formatter_to_chat_completion_handler(formatter)


def hf_autotokenizer_to_chat_formatter(
    pretrained_model_name_or_path: Union[str, "os.PathLike[str]"],
) -> ChatFormatter:
    """A formatter from the tokenizer of a Hugging Face repository or a folder. Needs the package transformers, whose
    Jinja renders the template: give it only what you trust."""
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError:
        raise ImportError("this formatter needs the package transformers: pip install transformers") from None
    tokenizer = transformers.AutoTokenizer.from_pretrained(pretrained_model_name_or_path)

    def format_autotokenizer(messages: Messages, **kwargs: Any) -> ChatFormatterResponse:
        kwargs.setdefault("add_generation_prompt", True)
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, **kwargs)
        return ChatFormatterResponse(prompt, stop=tokenizer.eos_token, added_special=True)

    return format_autotokenizer


def hf_autotokenizer_to_chat_completion_handler(
    pretrained_model_name_or_path: Union[str, "os.PathLike[str]"],
) -> LlamaChatCompletionHandler:
    return chat_formatter_to_chat_completion_handler(hf_autotokenizer_to_chat_formatter(pretrained_model_name_or_path))


# ---- from a completion to a chat completion


def _convert_text_completion_logprobs_to_chat(
    logprobs: Optional[llama_types.CompletionLogprobs],
) -> Optional[llama_types.ChatCompletionLogprobs]:
    if logprobs is None:
        return None
    content: List[llama_types.ChatCompletionLogprobToken] = []
    for token, value, top in zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"]):
        content.append(
            {
                "token": token,
                "bytes": list(token.encode("utf-8")),
                "logprob": value if value is not None else 0.0,
                "top_logprobs": [
                    {"token": other, "logprob": logprob, "bytes": list(other.encode("utf-8"))}
                    for other, logprob in (top or {}).items()
                ],
            }
        )
    return {"content": content, "refusal": None}


def _chat_response(
    completion: llama_types.CreateCompletionResponse,
    message: llama_types.ChatCompletionResponseMessage,
    finish_reason: Optional[str],
) -> llama_types.CreateChatCompletionResponse:
    choice = completion["choices"][0]
    return {
        "id": "chat" + completion["id"],
        "object": "chat.completion",
        "created": completion["created"],
        "model": completion["model"],
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": _convert_text_completion_logprobs_to_chat(choice["logprobs"]),
                "finish_reason": finish_reason,
            }
        ],
        "usage": completion["usage"],
    }


def _chat_chunk(
    chunk: llama_types.CreateCompletionStreamResponse,
    delta: llama_types.ChatCompletionStreamResponseDelta,
    finish_reason: Any = None,
    logprobs: Optional[llama_types.CompletionLogprobs] = None,
) -> llama_types.CreateChatCompletionStreamResponse:
    return {
        "id": "chat" + chunk["id"],
        "object": "chat.completion.chunk",
        "created": chunk["created"],
        "model": chunk["model"],
        "choices": [
            {
                "index": 0,
                "delta": delta,
                "logprobs": _convert_text_completion_logprobs_to_chat(logprobs),
                "finish_reason": finish_reason,
            }
        ],
    }


def _chat_stream(
    chunks: Iterator[llama_types.CreateCompletionStreamResponse],
) -> Iterator[llama_types.CreateChatCompletionStreamResponse]:
    first = True
    for chunk in chunks:
        choice = chunk["choices"][0]
        if first:
            yield _chat_chunk(chunk, {"role": "assistant"})
            first = False
        if choice["finish_reason"] is None:
            yield _chat_chunk(chunk, {"content": choice["text"]}, logprobs=choice["logprobs"])
            continue
        if choice["text"]:  # what was held back until the end
            yield _chat_chunk(chunk, {"content": choice["text"]}, logprobs=choice["logprobs"])
        yield _chat_chunk(chunk, {}, choice["finish_reason"])


def _convert_completion_to_chat(completion_or_chunks: Any, stream: bool = False) -> ChatResult:
    """A completion, or the parts of one, as a chat completion."""
    if stream:
        return _chat_stream(completion_or_chunks)
    choice = completion_or_chunks["choices"][0]
    message: llama_types.ChatCompletionResponseMessage = {"role": "assistant", "content": choice["text"]}
    return _chat_response(completion_or_chunks, message, choice["finish_reason"])


def _call_id(index: int, name: str, completion: llama_types.CreateCompletionResponse) -> str:
    return "call__%d_%s_%s" % (index, name, completion["id"])


def _calls_message(
    calls: Sequence[Tuple[str, str]], completion: llama_types.CreateCompletionResponse
) -> llama_types.ChatCompletionResponseMessage:
    """The message that calls functions: (name, arguments as JSON) each."""
    message: llama_types.ChatCompletionResponseMessage = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": _call_id(index, name, completion),
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for index, (name, arguments) in enumerate(calls)
        ],
    }
    if len(calls) == 1:
        message["function_call"] = {"name": calls[0][0], "arguments": calls[0][1]}
    return message


def _call_stream(
    name: str, chunks: Iterator[llama_types.CreateCompletionStreamResponse]
) -> Iterator[llama_types.CreateChatCompletionStreamResponse]:
    first = None
    for chunk in chunks:
        choice = chunk["choices"][0]
        if first is None:
            first = chunk
            yield _chat_chunk(
                chunk, {"role": "assistant", "content": None, "function_call": None, "tool_calls": None}
            )
        if choice["text"]:
            call: llama_types.ChatCompletionMessageToolCallChunk = {
                "index": 0,
                "id": _call_id(0, name, first),
                "type": "function",
                "function": {"name": name, "arguments": choice["text"]},
            }
            yield _chat_chunk(
                chunk,
                {
                    "role": None,
                    "content": None,
                    "function_call": {"name": name, "arguments": choice["text"]},
                    "tool_calls": [call],
                },
                logprobs=choice["logprobs"],
            )
    if first is not None:
        yield _chat_chunk(
            first, {"role": None, "content": None, "function_call": None, "tool_calls": None}, "tool_calls"
        )


def _convert_completion_to_chat_function(tool_name: str, completion_or_chunks: Any, stream: bool) -> ChatResult:
    """A completion, or the parts of one, whose text is the arguments of a call, as a chat completion that calls."""
    if stream:
        return _call_stream(tool_name, completion_or_chunks)
    arguments = completion_or_chunks["choices"][0]["text"]
    message = _calls_message([(tool_name, arguments)], completion_or_chunks)
    return _chat_response(completion_or_chunks, message, "tool_calls")


# ---- from a formatter to a handler


def _grammar_for_response_format(
    response_format: Optional[llama_types.ChatCompletionRequestResponseFormat], verbose: bool = False
) -> Optional[llama_grammar.LlamaGrammar]:
    """The grammar of {"type": "json_object", "schema"?} or {"type": "json_schema", "json_schema"}; None for text.
    ValueError for a schema that cannot be enforced."""
    kind = response_format["type"] if response_format is not None else "text"
    if response_format is None or kind == "text":
        return None
    if kind == "json_schema":
        schema: Any = response_format.get("json_schema", {}).get("schema")
        if schema is None:
            raise ValueError('response_format: "json_schema" needs {"json_schema": {"schema": ...}}')
    elif kind == "json_object":
        schema = response_format.get("schema")
    else:
        raise ValueError("response_format: unknown type %r" % (kind,))
    if schema is None:
        return llama_grammar.LlamaGrammar.from_string(llama_grammar.JSON_GBNF)
    return llama_grammar.LlamaGrammar.from_json_schema(json.dumps(schema))


def _tools_of(
    functions: Any, function_call: Any, tools: Any, tool_choice: Any
) -> Tuple[Optional[List[Any]], Union[None, str, Dict[str, Any]]]:
    """The tools and the choice, where the request may use the form that OpenAI's API had before tools."""
    if functions is not None:
        tools = [{"type": "function", "function": function} for function in functions]
    if isinstance(function_call, str):
        tool_choice = function_call
    elif isinstance(function_call, dict):
        tool_choice = {"type": "function", "function": {"name": function_call["name"]}}
    return tools, tool_choice


def _forced_tool(tools: Optional[List[Any]], tool_choice: Any) -> Optional[Dict[str, Any]]:
    """The function that the request says must be called, or None."""
    if not tools:
        return None
    if isinstance(tool_choice, dict):
        name = tool_choice["function"]["name"]
        for tool in tools:
            if tool["function"]["name"] == name:
                return dict(tool["function"])
        raise ValueError("tool_choice names '%s', which is not among the tools" % name)
    if tool_choice == "required" and len(tools) == 1:
        return dict(tools[0]["function"])
    return None


def _arguments_grammar(function: Dict[str, Any]) -> llama_grammar.LlamaGrammar:
    parameters = function.get("parameters") or {"type": "object", "properties": {}, "additionalProperties": False}
    return llama_grammar.LlamaGrammar.from_json_schema(json.dumps(parameters))


# what goes on to create_completion as it is; all else is for the formatter
_SAMPLING = (
    "temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "max_tokens", "presence_penalty",
    "frequency_penalty", "repeat_penalty", "tfs_z", "mirostat_mode", "mirostat_tau", "mirostat_eta", "model",
    "logits_processor", "logit_bias",
)  # fmt: skip


def chat_formatter_to_chat_completion_handler(chat_formatter: ChatFormatter) -> LlamaChatCompletionHandler:
    """The handler that formats with chat_formatter and completes.

    It answers with text, or with a call where tool_choice names a function (or is "required" and there is one): then
    the answer is held to the function's parameters. Other tools are shown to the formatter, no more.
    """

    def chat_completion_handler(
        *,
        llama: Llama,
        messages: Messages,
        functions: Optional[List[llama_types.ChatCompletionFunction]] = None,
        function_call: Optional[llama_types.ChatCompletionRequestFunctionCall] = None,
        tools: Optional[List[llama_types.ChatCompletionTool]] = None,
        tool_choice: Optional[llama_types.ChatCompletionToolChoiceOption] = None,
        stream: bool = False,
        stop: Optional[Union[str, List[str]]] = None,
        response_format: Optional[llama_types.ChatCompletionRequestResponseFormat] = None,
        grammar: Optional[llama_grammar.LlamaGrammar] = None,
        logprobs: Optional[bool] = None,
        top_logprobs: Optional[int] = None,
        **kwargs: Any,
    ) -> ChatResult:
        sampling = {name: kwargs.pop(name) for name in _SAMPLING if name in kwargs}
        sampling.setdefault("temperature", 0.2)
        made = chat_formatter(
            messages=messages,
            functions=functions,
            function_call=function_call,
            tools=tools,
            tool_choice=tool_choice,
            **kwargs,
        )
        prompt = llama.tokenize(made.prompt.encode("utf-8", "replace"), add_bos=not made.added_special, special=True)
        bos = llama.token_bos()
        if len(prompt) > 1 and prompt[0] == prompt[1] == bos:  # a format that writes BOS without saying so
            del prompt[0]
        stops = [stop] if isinstance(stop, str) else list(stop or [])
        stops += [made.stop] if isinstance(made.stop, str) else made.stop or []
        all_tools, choice = _tools_of(functions, function_call, tools, tool_choice)
        tool = _forced_tool(all_tools, choice)
        if tool is not None:
            grammar = _arguments_grammar(tool)
        else:
            grammar = _grammar_for_response_format(response_format) or grammar
        completion = llama.create_completion(
            prompt=prompt,
            stream=stream,
            stop=stops,
            grammar=grammar,
            logprobs=(top_logprobs or 0) if logprobs else None,
            stopping_criteria=made.stopping_criteria,
            **sampling,
        )
        if tool is not None:
            return _convert_completion_to_chat_function(tool["name"], completion, stream)
        return _convert_completion_to_chat(completion, stream)

    return chat_completion_handler


# ---- the named formats


def format_names() -> List[str]:
    """The names of the formats that puna knows; ``chat_format`` takes each of them."""
    names: List[str] = []
    while (name := lib.puna_chat_format(len(names))) is not None:
        names.append(name.decode("utf-8"))
    return names


_BOS_TEXTS = ("<s>", "<|begin_of_text|>", "<bos>")  # with which some formats begin themselves


class _NamedFormatter:
    """The formatter of one named format. It is compiled when it is first used."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._template: Optional[Template] = None

    def __call__(self, messages: Messages, **kwargs: Any) -> ChatFormatterResponse:
        if self._template is None:
            self._template = Template(format=self.name)
        tools = kwargs.pop("tools", None)
        prompt = self._template.render(messages, tools, kwargs)
        return ChatFormatterResponse(
            prompt.text, stop=prompt.stops or None, added_special=prompt.text.startswith(_BOS_TEXTS)
        )

    def __repr__(self) -> str:
        return "<formatter %s>" % self.name

    def __reduce__(self) -> Any:
        return _NamedFormatter, (self.name,)


format_llama2 = _NamedFormatter("llama-2")
format_llama3 = _NamedFormatter("llama-3")
format_alpaca = _NamedFormatter("alpaca")
format_qwen = _NamedFormatter("qwen")
format_vicuna = _NamedFormatter("vicuna")
format = format_vicuna  # as llama-cpp-python names it
format_oasst_llama = _NamedFormatter("oasst_llama")
format_baichuan2 = _NamedFormatter("baichuan-2")
format_baichuan = _NamedFormatter("baichuan")
format_openbuddy = _NamedFormatter("openbuddy")
format_redpajama_incite = _NamedFormatter("redpajama-incite")
format_snoozy = _NamedFormatter("snoozy")
format_phind = _NamedFormatter("phind")
format_intel = _NamedFormatter("intel")
format_open_orca = _NamedFormatter("open-orca")
format_mistrallite = _NamedFormatter("mistrallite")
format_zephyr = _NamedFormatter("zephyr")
format_pygmalion = _NamedFormatter("pygmalion")
format_chatml = _NamedFormatter("chatml")
format_mistral_instruct = _NamedFormatter("mistral-instruct")
format_chatglm3 = _NamedFormatter("chatglm3")
format_openchat = _NamedFormatter("openchat")
format_saiga = _NamedFormatter("saiga")
format_gemma = _NamedFormatter("gemma")


class NamedHandler:
    """The handler of one named format: create_chat_completion as a Llama with that chat_format answers it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *, llama: Llama, **arguments: Any) -> ChatResult:
        parameters = inspect.signature(type(llama).create_chat_completion).parameters
        unknown = sorted(set(arguments) - set(parameters))
        if unknown:
            raise TypeError("the handler of %s has no argument %s" % (self.name, unknown[0]))
        given = {name: parameter.default for name, parameter in parameters.items() if name != "self"}
        given.update(arguments)
        answer: ChatResult = llama._chat.complete_as(self.name, given)
        return answer

    def __repr__(self) -> str:
        return "<handler %s>" % self.name

    def __reduce__(self) -> Any:
        return NamedHandler, (self.name,)


for _name in format_names():
    LlamaChatCompletionHandlerRegistry._chat_handlers[_name] = NamedHandler(_name)


# ---- images


class Llava15ChatHandler:
    """Handlers of models that see images. puna reads text only: making one raises NotImplementedError."""

    def __init__(self, clip_model_path: str = "", verbose: bool = True, **kwargs: Any) -> None:
        raise NotImplementedError(
            "%s: puna does not support images yet; without a chat_handler the model answers text" % type(self).__name__
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("puna does not support images yet")

    @classmethod
    def from_pretrained(cls, repo_id: str, filename: Optional[str] = None, **kwargs: Any) -> Any:
        return cls(verbose=False)


class Llava16ChatHandler(Llava15ChatHandler):
    pass


class MoondreamChatHandler(Llava15ChatHandler):
    pass


class NanoLlavaChatHandler(Llava15ChatHandler):
    pass


class Llama3VisionAlphaChatHandler(Llava15ChatHandler):
    pass


Llama3VisionAlpha = Llama3VisionAlphaChatHandler


class MiniCPMv26ChatHandler(Llava15ChatHandler):
    pass


class ObsidianChatHandler(Llava15ChatHandler):
    pass


class Qwen25VLChatHandler(Llava15ChatHandler):
    pass


class MTMDChatHandler(Llava15ChatHandler):
    pass


class Gemma4ChatHandler(MTMDChatHandler):
    pass
