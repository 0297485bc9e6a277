"""llama_chat_format: formatters beside Jinja2, the registry, and handlers on a Llama that only records."""

import json
import pickle

import jinja2
import pytest

from puna import llama_chat_format as formats
from puna.llama_chat_format import ChatFormatterResponse, Jinja2ChatFormatter

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HISTORY = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Größe? <|im_end|> 你好"},
]


class RecordingLlama:
    """What a handler may use of a Llama."""

    verbose = False

    def __init__(self, text="answer"):
        self.text, self.asked = text, None

    def token_bos(self):
        return 1

    def tokenize(self, text, add_bos=True, special=False):
        self.tokenized = text.decode(), add_bos, special
        return [1] * add_bos + list(text)

    def create_completion(self, **arguments):
        self.asked = arguments
        choice = {"index": 0, "logprobs": None, "text": self.text, "finish_reason": "stop"}
        result = {"id": "cmpl-7", "object": "text_completion", "created": 5, "model": "m", "choices": [choice]}
        if not arguments["stream"]:
            return {**result, "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
        pieces = [{**choice, "text": piece, "finish_reason": None} for piece in self.text]
        return iter([{**result, "choices": [c]} for c in pieces + [{**choice, "text": ""}]])


# ---- formatters


@pytest.mark.parametrize("generation", [True, False])
def test_a_template_gives_what_jinja2_gives(generation):
    formatter = Jinja2ChatFormatter(CHATML, eos_token="<|im_end|>", bos_token="<s>", add_generation_prompt=generation)
    made = formatter(messages=HISTORY)
    wanted = jinja2.Template(CHATML).render(messages=HISTORY, add_generation_prompt=generation)
    assert made.prompt == wanted
    assert made.stop == ["<|im_end|>"] and made.added_special and made.stopping_criteria is None


def test_a_template_sees_tools_and_further_variables():
    template = "{{ bos_token }}{{ tools | tojson }}|{{ colour }}|{{ functions }}|{{ tool_choice }}"
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    made = Jinja2ChatFormatter(template, eos_token="</s>", bos_token="<s>")(
        messages=HISTORY, tools=[tool], tool_choice="auto", colour="blue"
    )
    assert made.prompt == "<s>" + json.dumps([tool]) + "|blue|None|auto"


def test_tokens_that_end_an_answer():
    criteria = Jinja2ChatFormatter(CHATML, "", "", stop_token_ids=[7, 9])(messages=HISTORY).stopping_criteria
    assert criteria([1, 7], None) and not criteria([7, 1], None)


def test_what_a_template_refuses_is_a_value_error():
    with pytest.raises(ValueError, match="only users"):
        Jinja2ChatFormatter("{{ raise_exception('only users') }}", "", "")(messages=HISTORY)
    with pytest.raises(ValueError):
        Jinja2ChatFormatter("{% for x in y %}", "", "")
    with pytest.raises(ValueError):
        Jinja2ChatFormatter("{% for x in range(10 ** 9) %}{{ x }}{% endfor %}", "", "")(messages=HISTORY)


def test_a_formatter_can_be_pickled():
    formatter = pickle.loads(pickle.dumps(Jinja2ChatFormatter(CHATML, "<|im_end|>", "<s>", stop_token_ids=[3])))
    assert formatter.stop_token_ids == {3} and formatter(messages=HISTORY).prompt.endswith("assistant\n")


def test_from_a_tokenizer_config():
    config = {"chat_template": CHATML, "bos_token": {"content": "<s>", "lstrip": False}, "eos_token": "</s>"}
    made = formats.hf_tokenizer_config_to_chat_formatter(config, add_generation_prompt=False)(messages=HISTORY)
    assert made.prompt == jinja2.Template(CHATML).render(messages=HISTORY) and made.stop == ["</s>", "<s>"]
    made = formats.hf_tokenizer_config_to_chat_formatter(config)(messages=HISTORY)
    assert made.prompt.endswith("<|im_start|>assistant\n<|im_end|>\n")
    with pytest.raises(ValueError, match="chat_template"):
        formats.hf_tokenizer_config_to_chat_formatter({**config, "chat_template": None})


def test_the_named_formats():
    made = formats.format_llama2(messages=HISTORY[:2])
    assert made.prompt == "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]" and made.added_special
    assert formats.format_chatml(messages=HISTORY).prompt == jinja2.Template(CHATML).render(
        messages=HISTORY, add_generation_prompt=True
    )
    assert not formats.format_chatml(messages=HISTORY).added_special  # the tokenizer adds what the vocabulary asks for
    formatters = [value for value in vars(formats).values() if isinstance(value, formats._NamedFormatter)]
    for formatter in formatters:
        assert "Hello!" in formatter(messages=HISTORY[1:]).prompt, formatter
        assert pickle.loads(pickle.dumps(formatter)).name == formatter.name
    assert {formatter.name for formatter in formatters} <= set(formats.format_names())


# ---- the registry


def test_a_registered_format_is_found_and_removed():
    @formats.register_chat_format("test-shout")
    def shout(messages, **kwargs):
        return ChatFormatterResponse(prompt=messages[-1]["content"].upper(), stop="!")

    registry = formats.LlamaChatCompletionHandlerRegistry()
    try:
        llama = RecordingLlama()
        answer = formats.get_chat_completion_handler("test-shout")(llama=llama, messages=HISTORY[:2], stop="?")
        assert llama.tokenized == ("HI", True, True) and llama.asked["stop"] == ["?", "!"]
        assert answer["choices"][0]["message"] == {"role": "assistant", "content": "answer"}
        with pytest.raises(ValueError):
            formats.register_chat_completion_handler("test-shout")(shout)
        registry.register_chat_completion_handler("test-shout", shout, overwrite=True)
        assert formats.get_chat_completion_handler("test-shout") is shout
    finally:
        registry.unregister_chat_handler("test-shout")
    with pytest.raises(ValueError):
        registry.unregister_chat_handler("test-shout")
    with pytest.raises(formats.LlamaChatCompletionHandlerNotFoundException, match="chatml"):
        formats.get_chat_completion_handler("test-shout")


def test_every_named_format_is_registered():
    for name in formats.format_names():
        assert callable(formats.get_chat_completion_handler(name))


# ---- handlers


def handler(text="hello"):
    return formats.chat_formatter_to_chat_completion_handler(
        lambda messages, **kwargs: ChatFormatterResponse(prompt=text, added_special=True)
    )


def test_sampling_goes_to_the_completion_and_the_rest_to_the_formatter():
    seen = {}

    def formatter(messages, **kwargs):
        seen.update(kwargs)
        return ChatFormatterResponse(prompt="x")

    llama = RecordingLlama()
    formats.chat_formatter_to_chat_completion_handler(formatter)(
        llama=llama, messages=HISTORY, top_k=3, seed=4, logprobs=True, top_logprobs=2, enable_thinking=False
    )
    assert (llama.asked["top_k"], llama.asked["seed"], llama.asked["logprobs"]) == (3, 4, 2)
    assert llama.asked["temperature"] == 0.2 and "enable_thinking" not in llama.asked
    assert seen["enable_thinking"] is False and "top_k" not in seen


def test_a_stream():
    parts = list(handler()(llama=RecordingLlama("ab"), messages=HISTORY, stream=True))
    assert {part["object"] for part in parts} == {"chat.completion.chunk"} and parts[0]["id"] == "chatcmpl-7"
    deltas = [part["choices"][0]["delta"] for part in parts]
    assert deltas == [{"role": "assistant"}, {"content": "a"}, {"content": "b"}, {}]
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None, None, None, "stop"]


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    "response_format, accepted, refused",
    [
        ({"type": "json_object"}, '{"x": []}', "[]"),
        ({"type": "json_object", "schema": SCHEMA}, '{"a": 1}', '{"a": "1"}'),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, '{"a": 1}', "{}"),
    ],
)
def test_response_formats(response_format, accepted, refused):
    llama = RecordingLlama()
    handler()(llama=llama, messages=HISTORY, response_format=response_format)
    grammar = llama.asked["grammar"]
    assert grammar.accepts(accepted) and not grammar.accepts(refused)


def test_response_formats_that_cannot_be_enforced():
    for wrong in ({"type": "xml"}, {"type": "json_schema"}, {"type": "json_object", "schema": {"type": "wrong"}}):
        with pytest.raises(ValueError):
            handler()(llama=RecordingLlama(), messages=HISTORY, response_format=wrong)
    llama = RecordingLlama()
    handler()(llama=llama, messages=HISTORY, response_format={"type": "text"})
    assert llama.asked["grammar"] is None


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]


@pytest.mark.parametrize(
    "how",
    [
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": TOOLS, "tool_choice": "required"},
        {"functions": [TOOLS[0]["function"]], "function_call": {"name": "f"}},
    ],
)
def test_a_forced_call(how):
    llama = RecordingLlama('{"a": 1}')
    answer = handler()(llama=llama, messages=HISTORY, **how)
    assert llama.asked["grammar"].accepts('{"a": 1}') and not llama.asked["grammar"].accepts("hello")
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    message = answer["choices"][0]["message"]
    assert message["content"] is None and message["function_call"] == {"name": "f", "arguments": '{"a": 1}'}
    assert message["tool_calls"] == [
        {"id": "call__0_f_cmpl-7", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    ]
    parts = list(handler()(llama=llama, messages=HISTORY, stream=True, **how))
    assert parts[0]["choices"][0]["delta"]["role"] == "assistant"
    calls = [part["choices"][0]["delta"]["tool_calls"] for part in parts]
    assert "".join(call[0]["function"]["arguments"] for call in calls if call) == '{"a": 1}'
    assert parts[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_of_a_tool_that_is_not_there():
    choice = {"type": "function", "function": {"name": "g"}}
    with pytest.raises(ValueError, match="'g'"):
        handler()(llama=RecordingLlama(), messages=HISTORY, tools=TOOLS, tool_choice=choice)


def test_one_bos():
    llama = RecordingLlama()
    formats.chat_formatter_to_chat_completion_handler(
        lambda messages, **kwargs: ChatFormatterResponse(prompt="\x01hi", added_special=False)
    )(llama=llama, messages=HISTORY)
    assert llama.asked["prompt"] == [1, ord("h"), ord("i")]


# ---- images


@pytest.mark.parametrize("name", ["Llava15ChatHandler", "Qwen25VLChatHandler", "MTMDChatHandler", "Gemma4ChatHandler"])
def test_images_are_refused_by_name(name):
    with pytest.raises(NotImplementedError, match=name):
        getattr(formats, name)(clip_model_path="mmproj.gguf", verbose=False)
    with pytest.raises(NotImplementedError, match=name):
        getattr(formats, name).from_pretrained(repo_id="a/b", filename="*mmproj*")


# ---- the named formats as handlers, on a model


def test_a_named_handler_answers_as_a_llama_of_that_format(model_path):
    from puna import Llama

    request = {"messages": HISTORY[:2], "max_tokens": 6, "temperature": 0}
    with Llama(model_path, n_ctx=256, n_threads=1, verbose=False) as llm:
        by_handler = formats.get_chat_completion_handler("llama-2")(llama=llm, **request)
        assert llm.chat_format == "chat_template.default"
        with pytest.raises(TypeError, match="colour"):
            formats.get_chat_completion_handler("llama-2")(llama=llm, colour="blue", **request)
        parts = list(formats.get_chat_completion_handler("chatml")(llama=llm, stream=True, **request))
        assert parts[0]["choices"][0]["delta"] == {"role": "assistant"}
    with Llama(model_path, chat_format="llama-2", n_ctx=256, n_threads=1, verbose=False) as llm:
        assert llm.create_chat_completion(**request)["choices"] == by_handler["choices"]


def test_a_handler_of_one_s_own_answers(model_path):
    from puna import Llama

    handler = Jinja2ChatFormatter(CHATML, eos_token="<|im_end|>", bos_token="").to_chat_handler()
    request = {"messages": HISTORY, "max_tokens": 6, "temperature": 0}
    with Llama(model_path, chat_handler=handler, n_ctx=256, n_threads=1, verbose=False) as llm:
        own = llm.create_chat_completion(**request)
    with Llama(model_path, chat_format="chatml", n_ctx=256, n_threads=1, verbose=False) as llm:
        named = llm.create_chat_completion(**request)
    assert own["choices"][0]["message"]["role"] == "assistant"
    # the message contains "<|im_end|>": a special token to the one, text to the other
    assert own["usage"]["prompt_tokens"] < named["usage"]["prompt_tokens"]
