"""Answers held to JSON schemas: calls that are asked for, response formats."""

import json

import puna
import pytest
from weather_tools import ASK, TOOLS


@pytest.fixture(scope="module")
def llm(model_path):
    with puna.Llama(model_path, n_ctx=1024, n_threads=1) as llm:
        yield llm


def message_of(result):
    return result["choices"][0]["message"]


def deltas_of(chunks):
    return [chunk["choices"][0]["delta"] for chunk in chunks]


@pytest.mark.parametrize("old", [False, True])
def test_a_forced_call(llm, old):
    arguments = dict(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_time"}})
    if old:
        arguments = dict(functions=[tool["function"] for tool in TOOLS], function_call={"name": "get_time"})
    result = llm.create_chat_completion(ASK, max_tokens=40, **arguments)
    message = message_of(result)
    assert result["choices"][0]["finish_reason"] == "tool_calls" and message["content"] is None
    (call,) = message["tool_calls"]
    assert call["id"] == "call__0_get_time_" + result["id"][4:] and call["type"] == "function"
    assert call["function"] == message["function_call"] and call["function"]["name"] == "get_time"
    assert json.loads(call["function"]["arguments"])["zone"] in ("CET", "UTC")
    chunks = list(llm.create_chat_completion(ASK, max_tokens=40, stream=True, **arguments))
    deltas = deltas_of(chunks)
    assert deltas[0] == {"role": "assistant", "content": None, "function_call": None, "tool_calls": None}
    text = "".join(delta["tool_calls"][0]["function"]["arguments"] for delta in deltas[1:-1])
    assert json.loads(text)["zone"] in ("CET", "UTC")
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    with pytest.raises(ValueError, match="nothing"):
        llm.create_chat_completion(ASK, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "nothing"}})


def test_some_call_is_required(llm):
    for stream in (False, True):
        result = llm.create_chat_completion(ASK, tools=TOOLS, tool_choice="required", max_tokens=60, stream=stream)
        if stream:
            chunks = list(result)
            (call,) = [call for delta in deltas_of(chunks) for call in delta.get("tool_calls") or []]
            assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        else:
            (call,) = message_of(result)["tool_calls"]
            assert result["choices"][0]["finish_reason"] == "tool_calls"
        given = json.loads(call["function"]["arguments"])
        key = {"get_weather": "city", "get_time": "zone"}[call["function"]["name"]]
        assert list(given) == [key]


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "maximum": 200}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "json_object"},
        {"type": "json_object", "schema": SCHEMA},
        {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}},
    ],
)
def test_response_formats(llm, response_format):
    messages = [{"role": "user", "content": "Describe a person as JSON."}]
    result = llm.create_chat_completion(messages, response_format=response_format, max_tokens=200, temperature=0)
    if response_format == {"type": "json_object"}:
        assert message_of(result)["content"].startswith("{")  # how long it gets is the model's affair
    else:
        assert result["choices"][0]["finish_reason"] == "stop"
        found = json.loads(message_of(result)["content"])
        assert list(found) == ["name", "age"] and isinstance(found["age"], int) and found["age"] <= 200


def test_response_formats_that_cannot_be(llm):
    with pytest.raises(ValueError):
        llm.create_chat_completion(ASK, response_format={"type": "no such"})
    with pytest.raises(ValueError):
        llm.create_chat_completion(ASK, response_format={"type": "json_object", "schema": {"type": "nothing"}})
    plain = llm.create_chat_completion(ASK, response_format={"type": "text"}, max_tokens=2, temperature=0)
    assert plain["choices"] == llm.create_chat_completion(ASK, max_tokens=2, temperature=0)["choices"]
