"""OpenAI's endpoints: every response and every chunk is read strictly by the models of OpenAI's own Python package, values
are compared with what `puna run` and `puna tokenize` say, and bad requests are refused by the name of their field."""

import base64
import json
import math
import os
import struct
import subprocess
import sys
import threading

import pytest

import serving

openai = pytest.importorskip("openai")

from openai.types import Completion, CreateEmbeddingResponse, Model  # noqa: E402
from openai.types.chat import ChatCompletion, ChatCompletionChunk  # noqa: E402

USER = [{"role": "user", "content": "the end and then"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 9}, "unit": {"enum": ["C", "F"]}},
            "required": ["days", "unit"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {},
                                                                          "additionalProperties": False}}}

# what we add to OpenAI's objects, and is known to clients of llama.cpp
EXTRAS = {"timings", "meta", "reasoning_content", "stop_reason", "goes_on"}


def strictly(model, value):
    """value as an object of OpenAI's package: nothing missing, no wrong type, nothing but EXTRAS beside it."""
    found = model.model_validate(value, strict=True)
    unknown(found)
    return found


def unknown(found):
    if isinstance(found, list):
        for item in found:
            unknown(item)
    if isinstance(found, dict):
        unknown(list(found.values()))
    if hasattr(found, "model_fields_set"):
        assert set(found.model_extra or {}) <= EXTRAS, found.model_extra
        unknown([getattr(found, name) for name in type(found).model_fields])


def known_first(logprobs):
    """Nothing is known of a text's first token, for which the package has no type either."""
    if logprobs["tokens"] and logprobs["token_logprobs"][0] is None:
        assert logprobs["top_logprobs"][0] is None
        logprobs["token_logprobs"][0], logprobs["top_logprobs"][0] = 1.0, {}
    return logprobs


def events(answer):
    """The data of a stream."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.body.decode("utf-8").split("\n\n")
    assert blocks.pop() == ""
    data = [block[len("data: "):] for block in blocks if not block.startswith(":")]
    assert all("\n" not in text for text in data)
    return data


def chunks(answer, model=ChatCompletionChunk):
    data = events(answer)
    assert data.pop() == "[DONE]"
    found = [json.loads(text) for text in data]
    for choice in (choice for chunk in found for choice in chunk["choices"]):
        assert "finish_reason" in choice
        if model is Completion and choice["finish_reason"] is None:  # the package has no type for these chunks
            choice["finish_reason"] = "stop"
            choice["goes_on"] = True
        if model is Completion and choice["logprobs"]:
            known_first(choice["logprobs"])
    return [strictly(model, chunk) for chunk in found]


def chat(server, **fields):
    answer = server.post("/v1/chat/completions", {"messages": USER, "max_tokens": 12, "seed": 1, **fields})
    assert answer.status == 200, answer
    return answer


def error_of(answer):
    """The error object, whose four fields are there whatever happens."""
    assert answer.headers["content-type"].startswith("application/json"), answer
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and isinstance(error["message"], str), error
    assert "\n" not in error["message"]
    return error


def run(model, *options):
    return json.loads(subprocess.run([serving.PUNA, "run", "-m", str(model), "--json", "-q", *map(str, options)],
                                     check=True, capture_output=True).stdout)


# ---- chat -------------------------------------------------------------------------------------------------


def test_chat(server):
    found = strictly(ChatCompletion, chat(server).json())
    choice = found.choices[0]
    assert choice.message.role == "assistant" and choice.message.refusal is None and choice.logprobs is None
    assert choice.finish_reason in ("stop", "length")
    usage = found.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens and usage.completion_tokens <= 12
    assert usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens
    timings = found.model_extra["timings"]
    assert timings["predicted_n"] == usage.completion_tokens
    assert timings["cache_n"] + timings["prompt_n"] == usage.prompt_tokens


@pytest.mark.parametrize("usage", [False, True])
def test_a_stream_says_what_the_whole_answer_says(server, usage):
    whole = chat(server, n=3).json()
    parts = chunks(chat(server, n=3, stream=True, stream_options={"include_usage": usage}))
    assert len({part.id for part in parts}) == 1
    if usage:
        last = parts.pop()
        assert last.choices == [] and last.usage.total_tokens == whole["usage"]["total_tokens"]
        assert all(part.usage is None and "usage" in part.model_fields_set for part in parts)
    texts, begun, reasons = {}, set(), {}
    for part in parts:
        [choice] = part.choices
        assert choice.index not in reasons
        if choice.index not in begun:
            assert choice.delta.role == "assistant"
            begun.add(choice.index)
        texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
        if choice.finish_reason:
            reasons[choice.index] = choice.finish_reason
    assert texts == {c["index"]: c["message"]["content"] for c in whole["choices"]}
    assert reasons == {c["index"]: c["finish_reason"] for c in whole["choices"]}


def test_choices_have_the_seeds_that_follow(server):
    several = chat(server, n=3, seed=5, temperature=2).json()["choices"]
    for i, choice in enumerate(several):
        assert choice["message"] == chat(server, seed=5 + i, temperature=2).json()["choices"][0]["message"]
    assert len({choice["message"]["content"] for choice in several}) > 1


def test_chat_logprobs(server):
    choice = strictly(ChatCompletion, chat(server, logprobs=True, top_logprobs=3).json()).choices[0]
    text = b"".join(bytes(token.bytes) for token in choice.logprobs.content if token.token not in ("<s>", "<unk>"))
    assert text.decode("utf-8", "ignore") == choice.message.content.replace("\ufffd", "")
    for token in choice.logprobs.content:
        top = [entry.logprob for entry in token.top_logprobs]
        assert len(top) == 3 and top == sorted(top, reverse=True) and token.logprob <= max(top) <= 0
    streamed = chunks(chat(server, logprobs=True, top_logprobs=3, stream=True))
    tokens = [token for part in streamed for c in part.choices if c.logprobs for token in c.logprobs.content]
    assert tokens == choice.logprobs.content
    assert strictly(ChatCompletion, chat(server, logprobs=True).json()).choices[0].logprobs.content[0].top_logprobs == []


def test_stop_texts(server):
    text = chat(server, max_tokens=20).json()["choices"][0]["message"]["content"]
    stop = text[4:6]
    begin = text[:text.index(stop)]
    answer = chat(server, max_tokens=20, stop=[stop, "", "never"], logprobs=True).json()["choices"][0]
    assert answer["message"]["content"] == begin and answer["finish_reason"] == "stop"
    parts = chunks(chat(server, max_tokens=20, stop=stop, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == begin


def test_the_last_message_of_the_assistant_goes_on(server):
    messages = [*USER, {"role": "assistant", "content": "the and"}]
    prompts = [server.post("/apply-template", {"messages": messages, **more}).json()["prompt"] for more in
               ({}, {"continue_final_message": True}, {"add_generation_prompt": False}, {"add_generation_prompt": True})]
    assert prompts[0] == prompts[1] and prompts[0].endswith("assistant\nthe and")
    assert prompts[2].rstrip().endswith("the and<|im_end|>")
    assert prompts[3].endswith("assistant\n") and prompts[3].startswith(prompts[2])
    answer = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 4, "temperature": 0}).json()
    same = server.post("/v1/completions", {"prompt": prompts[0], "max_tokens": 4, "temperature": 0}).json()
    assert answer["choices"][0]["message"]["content"] == same["choices"][0]["text"]


def test_template_variables_reach_the_template(tiny_model, tmp_path):
    template = tmp_path / "template.jinja"
    template.write_text("{{ reasoning_effort }}/{{ mood }}/{{ messages[0].content }}")
    fields = {"messages": USER, "reasoning_effort": "low", "chat_template_kwargs": {"mood": "calm"}}
    with serving.Server("-m", tiny_model, "--template", template, "-t", 1) as server:
        assert server.post("/apply-template", fields).json()["prompt"].endswith("low/calm/" + USER[0]["content"])


# ---- tools and schemas -------------------------------------------------------------------------------------


def calls_of(parts):
    """The tool calls that a stream's chunks make: ids and names come once, arguments in pieces."""
    calls = {}
    for part in parts:
        for piece in (part.choices[0].delta.tool_calls or []) if part.choices else []:
            if piece.index not in calls:
                assert piece.id and piece.type == "function" and piece.function.name
                calls[piece.index] = [piece.id, piece.function.name, piece.function.arguments]
            else:
                assert piece.id is None and piece.function.name is None
                calls[piece.index][2] += piece.function.arguments
    return [calls[index] for index in sorted(calls)]


@pytest.mark.parametrize("choice, names", [
    ("required", {"get_weather", "clock"}),
    ({"type": "function", "function": {"name": "get_weather"}}, {"get_weather"}),
    ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
        {"type": "function", "function": {"name": "clock"}}]}}, {"clock"}),
])
def test_a_call_that_is_required(server, choice, names):
    fields = dict(tools=[WEATHER, CLOCK], tool_choice=choice, max_tokens=200, temperature=1.5)
    for seed in range(3):
        found = strictly(ChatCompletion, chat(server, seed=seed, **fields).json()).choices[0]
        assert found.finish_reason == "tool_calls" and found.message.content is None
        [call] = found.message.tool_calls
        assert call.function.name in names and call.id.startswith("call_")
        arguments = json.loads(call.function.arguments)
        if call.function.name == "get_weather":
            assert 1 <= arguments["days"] <= 9 and arguments["unit"] in "CF"
        parts = chunks(chat(server, seed=seed, stream=True, **fields))
        [[_, name, text]] = calls_of(parts)
        assert (name, text) == (call.function.name, call.function.arguments)
        assert parts[-1].choices[0].finish_reason == "tool_calls"


def test_no_tools_for_none(server):
    prompt = server.post("/apply-template", {"messages": USER, "tools": [CLOCK], "tool_choice": "none"}).json()
    assert prompt == server.post("/apply-template", {"messages": USER}).json()


def test_response_formats(server):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99, "minimum": 0}},
              "required": ["n"], "additionalProperties": False}
    for fields in ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
                   {"response_format": {"type": "json_object", "schema": schema}}, {"json_schema": schema}):
        found = chat(server, max_tokens=100, **fields).json()["choices"][0]
        assert found["finish_reason"] == "stop"
        assert 0 <= json.loads(found["message"]["content"])["n"] <= 99
    gbnf = chat(server, grammar='root ::= "the" | "an"', max_tokens=9).json()["choices"][0]["message"]["content"]
    assert gbnf in ("the", "an")
    free = chat(server, response_format={"type": "json_object"}, max_tokens=4).json()["choices"][0]
    assert free["message"]["content"].lstrip()[:1] == "{"
    assert chat(server, response_format={"type": "text"}).status == 200


# ---- completions -------------------------------------------------------------------------------------------


def test_completions_equal_the_command_line(server, tiny_model):
    for seed in (1, 2):
        text = run(tiny_model, "-p", "the end", "-n", 20, "-s", seed, "-t", 1)["text"]
        found = strictly(Completion, server.post("/v1/completions", {
            "prompt": "the end", "max_tokens": 20, "seed": seed}).json())
        assert found.choices[0].text == text


def test_prompts_of_every_form(server):
    ids = server.post("/tokenize", {"content": "the end", "add_special": True}).json()["tokens"]
    fields = {"max_tokens": 5, "temperature": 0}
    [text] = [c["text"] for c in server.post("/v1/completions", {"prompt": "the end", **fields}).json()["choices"]]
    for prompt, texts in ((ids, [text]), ([ids, ids], [text, text]), (["the end", "the end"], [text, text]),
                          (["the end", ids], [text, text])):
        found = strictly(Completion, server.post("/v1/completions", {"prompt": prompt, **fields}).json())
        assert [choice.text for choice in found.choices] == texts
        assert [choice.index for choice in found.choices] == list(range(len(texts)))
    many = server.post("/v1/completions", {"prompt": ["the end"] * 40, "n": 2, **fields}).json()
    assert [choice["text"] for choice in many["choices"]] == [text] * 80


def test_completion_streams(server):
    fields = {"prompt": ["the end", "an"], "max_tokens": 9, "seed": 3, "logprobs": 2}
    whole = server.post("/v1/completions", fields).json()["choices"]
    parts = chunks(server.post("/v1/completions", {**fields, "stream": True}), Completion)
    for choice in whole:
        mine = [c for part in parts for c in part.choices if c.index == choice["index"]]
        assert "".join(c.text for c in mine) == choice["text"]
        assert mine[-1].finish_reason == choice["finish_reason"]
        logs = [c.logprobs for c in mine if c.logprobs]
        for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            assert sum((getattr(log, name) for log in logs), []) == choice["logprobs"][name], name
    echoed = chunks(server.post("/v1/completions", {**fields, "stream": True, "echo": True}), Completion)
    assert "".join(c.text for p in echoed for c in p.choices if c.index == 0) == "the end" + whole[0]["text"]


def test_log_probabilities_of_a_prompt(server, tiny_model):
    """echo with max_tokens 0: what evaluation harnesses ask for. `puna eval`'s mean is the other witness."""
    text = "the end and the other thing"
    fields = {"prompt": text, "max_tokens": 0, "echo": True, "logprobs": 1}
    value = server.post("/v1/completions", fields).json()
    known_first(value["choices"][0]["logprobs"])
    first = strictly(Completion, value).choices[0]
    assert first.text == text and first.finish_reason == "length"
    assert "".join(first.logprobs.tokens).strip() == text
    assert first.logprobs.token_logprobs[0] == 1 and all(x < 0 for x in first.logprobs.token_logprobs[1:])
    # computed again although the prompt is known by now, and the same
    again = server.post("/v1/completions", fields).json()["choices"][0]
    assert known_first(again["logprobs"]) == first.logprobs.model_dump(exclude_unset=True)
    # the last token's is what it has when it is sampled
    ids = server.post("/tokenize", {"content": text, "add_special": True}).json()["tokens"]
    sampled = server.post("/v1/completions", {"prompt": ids[:-1], "max_tokens": 1, "logprobs": 1, "temperature": 0,
                                              "logit_bias": {str(ids[-1]): 100}}).json()["choices"][0]
    assert math.isclose(sampled["logprobs"]["token_logprobs"][0], first.logprobs.token_logprobs[-1], abs_tol=1e-5)


def test_best_of(server):
    fields = {"prompt": "the end", "max_tokens": 6, "seed": 1, "temperature": 2, "logprobs": 0}
    six = server.post("/v1/completions", {**fields, "n": 6}).json()["choices"]
    mean = {c["text"]: sum(c["logprobs"]["token_logprobs"]) / max(1, len(c["logprobs"]["tokens"])) for c in six}
    best = sorted(mean, key=mean.get, reverse=True)[:2]
    found = server.post("/v1/completions", {**fields, "n": 2, "best_of": 6}).json()
    assert [c["text"] for c in found["choices"]] == best
    assert found["usage"]["completion_tokens"] > sum(len(c["logprobs"]["tokens"]) for c in found["choices"])
    assert error_of(server.post("/v1/completions", {**fields, "n": 1, "best_of": 2, "stream": True}))["param"] == "best_of"


def test_a_gap_needs_tokens_for_it(server):
    assert error_of(server.post("/v1/completions", {"prompt": "a", "suffix": "b"}))["param"] == "suffix"
    assert server.post("/v1/completions", {"prompt": "a", "suffix": "", "max_tokens": 1}).status == 200


def test_a_gap_is_filled(tiny_model, tmp_path):
    path = tmp_path / "fim.gguf"
    marks = {"fim_pre": 260, "fim_suf": 261, "fim_mid": 262}
    options = [word for name, token in marks.items() for word in ("--special-token-by-id", name, str(token))]
    subprocess.run([sys.executable, "-m", "gguf.scripts.gguf_new_metadata", str(tiny_model), str(path), *options],
                   check=True, capture_output=True)
    with serving.Server("-m", path, "-t", 1) as server:
        fields = {"max_tokens": 8, "temperature": 0}
        found = server.post("/v1/completions", {"prompt": "the", "suffix": "and", **fields}).json()
        begin, end = (server.post("/tokenize", {"content": text}).json()["tokens"] for text in ("the", "xand"))
        mark = server.post("/tokenize", {"content": "x"}).json()["tokens"]  # without the space before a text
        assert end[:len(mark)] == mark
        prompt = [1, 260, *begin, 261, *end[len(mark):], 262]
        same = server.post("/v1/completions", {"prompt": prompt, **fields}).json()
        assert found["choices"][0]["text"] == same["choices"][0]["text"]
        assert found["usage"]["prompt_tokens"] == len(prompt)


# ---- embeddings ---------------------------------------------------------------------------------------------


def test_embeddings(server):
    ids = server.post("/tokenize", {"content": "the end", "add_special": True}).json()["tokens"]
    found = strictly(CreateEmbeddingResponse, server.post("/v1/embeddings", {"input": ["the end", "an other"]}).json())
    one = found.data[0].embedding
    assert math.isclose(sum(x * x for x in one), 1, abs_tol=1e-5) and [item.index for item in found.data] == [0, 1]
    for same in (ids, [ids], "the end"):
        assert server.post("/v1/embeddings", {"input": same}).json()["data"][0]["embedding"] == one
    packed = server.post("/v1/embeddings", {"input": "the end", "encoding_format": "base64"}).json()["data"][0]
    values = struct.unpack("<%df" % len(one), base64.b64decode(packed["embedding"], validate=True))
    assert all(math.isclose(a, b, abs_tol=1e-7) for a, b in zip(values, one))
    short = server.post("/v1/embeddings", {"input": "the end", "dimensions": 4}).json()["data"][0]["embedding"]
    length = math.sqrt(sum(x * x for x in one[:4]))
    assert all(math.isclose(a, b / length, abs_tol=1e-5) for a, b in zip(short, one))


# ---- models, tokens ------------------------------------------------------------------------------------------


def test_models(server):
    answer = server.get("/v1/models").json()
    [model] = [strictly(Model, item) for item in answer["data"]]
    assert answer["object"] == "list" and model.id == "tiny.gguf"
    strictly(Model, server.get("/v1/models/" + model.id).json())
    missing = server.get("/v1/models/gpt-4")
    assert missing.status == 404 and error_of(missing)["code"] == "model_not_found"
    for name in ("gpt-4o-mini", "", None, model.id):  # whoever is asked for, the answer says who answered
        assert chat(server, model=name, max_tokens=1).json()["model"] == model.id


def test_tokens(server):
    text = "the  end \u20ac"
    ids = server.post("/tokenize", {"content": text}).json()["tokens"]
    assert server.post("/detokenize", {"tokens": ids}).json()["content"].strip() == text
    pieces = server.post("/tokenize", {"content": text, "with_pieces": True}).json()["tokens"]
    assert [piece["id"] for piece in pieces] == ids
    raw = b"".join(bytes(p["piece"]) if isinstance(p["piece"], list) else p["piece"].encode() for p in pieces)
    assert raw.decode().strip() == text
    special = server.post("/tokenize", {"content": text, "add_special": True}).json()["tokens"]
    assert special == server.post("/extras/tokenize", {"input": text}).json()["tokens"]
    assert server.post("/extras/tokenize/count", {"input": text}).json() == {"count": len(special)}
    assert server.post("/extras/detokenize", {"tokens": ids}).json()["text"].strip() == text


def test_paths_without_v1(server):
    assert server.get("/models").json() == server.get("/v1/models").json()
    assert server.post("/chat/completions", {"messages": USER, "max_tokens": 1}).status == 200
    assert server.post("/completions", {"prompt": "a", "max_tokens": 1}).status == 200
    assert server.post("/embeddings", {"input": "a"}).status == 200


# ---- what is refused -----------------------------------------------------------------------------------------

BAD_NUMBERS = [-5, 10**18, 1e300, "x", [], {}, True, 1.5]
NUMBERS = ["temperature", "top_p", "top_k", "min_p", "typical_p", "frequency_penalty", "presence_penalty",
           "repeat_penalty", "repeat_last_n", "mirostat", "mirostat_tau", "mirostat_eta", "dry_multiplier", "dry_base",
           "dry_allowed_length", "dry_penalty_last_n", "xtc_probability", "xtc_threshold", "top_n_sigma", "n", "seed",
           "max_tokens", "max_completion_tokens", "top_logprobs"]


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(server, name):
    for value in BAD_NUMBERS:
        answer = server.post("/v1/chat/completions", {"messages": USER, "max_tokens": 1, "logprobs": True, name: value})
        if answer.status != 200:
            assert answer.status == 400 and error_of(answer)["param"] == name, (value, answer)
        elif isinstance(value, (str, list, dict, bool)):
            raise AssertionError("%s: %r is taken" % (name, value))
    assert server.post("/v1/chat/completions", {"messages": USER, "max_tokens": 1, name: None}).status == 200


@pytest.mark.parametrize("fields, param", [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [*USER, {"role": "user", "content": 5}]}, "messages[1].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]},
     "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content[0].text"),
    ({"messages": [*USER, {"role": "assistant", "tool_calls": [{"id": "x"}]}]}, "messages[1].tool_calls[0].function"),
    ({"tools": "x"}, "tools"),
    ({"tools": [{}]}, "tools[0].type"),
    ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
    ({"tools": [CLOCK], "tool_choice": "maybe"}, "tool_choice"),
    ({"tools": [CLOCK], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "object", "properties": {
        "x": {"$ref": "http://10.0.0.1/x"}}}}}], "tool_choice": "required"}, "tools[0].function.parameters"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}},
     "response_format.json_schema.schema"),
    ({"grammar": "root ::= ("}, "grammar"),
    ({"grammar": 'root ::= "a"', "response_format": {"type": "json_object"}}, "grammar"),
    ({"stop": ["x"] * 20000}, "stop"),
    ({"stop": "x" * 100000}, "stop"),
    ({"stop": [1]}, "stop"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"logit_bias": {"-1": 1}}, "logit_bias"),
    ({"logit_bias": {"99999999": 1}}, "logit_bias"),
    ({"logit_bias": {"1": "x"}}, "logit_bias"),
    ({"n": 10**6}, "n"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"audio": {"voice": "x"}}, "audio"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"chat_template_kwargs": []}, "chat_template_kwargs"),
    ({"model": 5}, "model"),
])
def test_chat_refuses(server, fields, param):
    answer = server.post("/v1/chat/completions", {"messages": USER, "max_tokens": 1, **fields})
    assert answer.status == 400, answer
    error = error_of(answer)
    assert error["type"] == "invalid_request_error" and error["param"] == param, error


@pytest.mark.parametrize("prompt", [None, [], {}, 5, [[]], [None], [1.5], [-1], [10**6], [2**63], ["a", 1], [1, "a"], True])
def test_bad_prompts(server, prompt):
    answer = server.post("/v1/completions", {"prompt": prompt, "max_tokens": 1})
    if prompt == [[]]:  # begins with BOS, as the empty text does
        assert answer.status == 200
    else:
        assert answer.status == 400 and error_of(answer)["message"], answer


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"5", b'{"prompt": "a"', b'{"prompt": NaN}', b'{"temperature": 1e999}', b'{"prompt": "\\u0000"}',
    b'{"prompt": "a\x00"}', b'{"prompt": "\xff"}', b'{"prompt": "\\ud800"}', b'{"a": 1, "a": 2}', b"[" * 10**6,
    b'{"a":' * 200 + b"1" + b"}" * 200, b'{"seed": 9223372036854775808}', b'{"a": ' + b"1" * 10**6 + b"}", b"{'a': 1}",
    b'{"a": 1,}', b'\xef\xbb\xbf{"a" 1}',
])
def test_bad_bodies(server, body):
    answer = server.post("/v1/completions", body, {"Content-Type": "application/json"})
    assert answer.status == 400 and error_of(answer)["type"] == "invalid_request_error", answer


def test_memory_of_bodies(server):
    before = server.memory_bytes()
    body = b'{"prompt": [' + b"1," * (7 * 10**6) + b"1]}"
    answer = server.post("/v1/completions", body, {"Content-Type": "application/json"})
    assert answer.status == 400 and "values" in error_of(answer)["message"]
    answer = server.post("/v1/completions", b'{"prompt": [' + b"1," * 10**6 + b"1]}", {"Content-Type": "application/json"})
    assert error_of(answer)["code"] == "context_length_exceeded"
    assert server.memory_bytes() - before < 256 * 2**20


def test_the_prompt_is_too_long(server):
    for path, fields in (("/v1/completions", {"prompt": "the " * 2000}),
                         ("/v1/chat/completions", {"messages": [{"role": "user", "content": "the " * 2000}]}),
                         ("/v1/embeddings", {"input": "the " * 2000})):
        answer = server.post(path, fields)
        error = error_of(answer)
        assert answer.status == 400 and error["code"] == "context_length_exceeded", error
        assert "512" in error["message"] or "511" in error["message"]
    whole = server.post("/v1/completions", {"prompt": "the end", "max_tokens": 10**18, "ignore_eos": True}).json()
    assert whole["choices"][0]["finish_reason"] == "length" and whole["usage"]["total_tokens"] == 512


def test_nothing_can_be_said(server):
    """A grammar that no token can go on with is an error, also when the stream has begun."""
    n_vocab = server.get("/v1/models").json()["data"][0]["meta"]["n_vocab"]
    fields = {"messages": USER, "max_tokens": 3, "logit_bias": [[i, False] for i in range(n_vocab)]}
    answer = server.post("/v1/chat/completions", fields)
    assert answer.status in (400, 500) and error_of(answer)["message"]
    data = events(server.post("/v1/chat/completions", {**fields, "stream": True}))
    assert set(json.loads(data[-1])["error"]) == {"message", "type", "param", "code"}
    assert server.wait_idle(5) is not None


def test_answers_that_would_be_too_large(server):
    answer = server.post("/v1/completions", {"prompt": ["a"] * 200, "n": 16, "max_tokens": 1})
    assert answer.status == 400 and error_of(answer)["param"] == "n"
    answer = server.post("/v1/completions", {"prompt": ["a"] * 2000, "logprobs": 20, "max_tokens": 500})
    assert answer.status == 400 and error_of(answer)["param"] == "logprobs"
    answer = server.post("/v1/completions", {"prompt": ["a"] * 2049})
    assert answer.status == 400 and error_of(answer)["param"] == "prompt"
    assert server.post("/v1/completions", {"prompt": ["a"] * 2000, "max_tokens": 1}).status == 200


def test_queue_full(start_server):
    server = start_server("--max-waiting", 1)
    answers = []

    def ask():
        answers.append(server.post("/v1/completions", {"prompt": "the end", "max_tokens": 300, "ignore_eos": True}))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {200, 429}
    for answer in answers:
        if answer.status == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert error_of(answer)["type"] == "rate_limit_error" and error_of(answer)["code"] == "queue_full"


# ---- together ---------------------------------------------------------------------------------------------------


def test_answers_do_not_depend_on_neighbours(server):
    requests = [{"prompt": "the end " * (i % 5 + 1) + "and" * i, "max_tokens": 12, "seed": i, "temperature": 1.2}
                for i in range(24)]
    alone = [server.post("/v1/completions", request).json()["choices"] for request in requests]
    together = [None] * len(requests)

    def ask(i):
        stream = i % 2 == 0
        answer = server.post("/v1/completions", {**requests[i], "stream": stream})
        together[i] = "".join(c.text for p in chunks(answer, Completion) for c in p.choices) if stream else \
            answer.json()["choices"][0]["text"]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [choices[0]["text"] for choices in alone]


def test_a_client_that_leaves(server):
    with server.connect() as raw:
        body = json.dumps({"prompt": "the end", "max_tokens": 100000, "ignore_eos": True, "n": 4, "stream": True})
        raw.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                 "Content-Length: %d\r\n\r\n%s" % (len(body), body))
        raw.until(b"data: ")
    assert server.wait_idle(5) is not None


# ---- a model that can chat ---------------------------------------------------------------------------------------


def test_smollm(smol_server):
    client = openai.OpenAI(base_url=smol_server.url + "/v1", api_key="none", max_retries=0)
    fields = dict(model="smollm2", messages=[{"role": "user", "content": "What is the capital of France?"}],
                  max_tokens=6, temperature=0)
    whole = client.chat.completions.create(**fields)
    stream = client.chat.completions.create(stream=True, **fields)
    assert "".join(c.choices[0].delta.content or "" for c in stream) == whole.choices[0].message.content
    again = client.chat.completions.create(**fields)
    assert again.usage.prompt_tokens_details.cached_tokens >= again.usage.prompt_tokens - 1
    assert again.choices[0].message.content == whole.choices[0].message.content
    vectors = client.embeddings.create(model="smollm2", input=["a", "b"])
    assert len(vectors.data) == 2 and len(vectors.data[0].embedding) == 576
