"""/v1/responses: every response and every event is read strictly by the models of OpenAI's own Python package, and says the
same as /v1/chat/completions does."""

import json

import pytest

import serving  # noqa: F401

pytest.importorskip("openai")

from openai.types.responses import Response, ResponseStreamEvent  # noqa: E402
from pydantic import TypeAdapter  # noqa: E402

EVENT = TypeAdapter(ResponseStreamEvent)
PARAMETERS = {
    "type": "object",
    "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 9}, "unit": {"enum": ["C", "F"]}},
    "required": ["days", "unit"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}
SHORT = {"temperature": 0, "max_output_tokens": 12}


def known(found):
    """Nothing is there that the package does not know."""
    if isinstance(found, (list, tuple)):
        for item in found:
            known(item)
    if hasattr(found, "model_fields_set"):
        extra = set(found.model_extra or {})
        assert extra <= {"background", "bytes", "store", "top_logprobs", "name"}, (type(found), extra)
        for name in type(found).model_fields:
            known(getattr(found, name))


def response(server, **body):
    answer = server.post("/v1/responses", {**SHORT, **body})
    assert answer.status == 200, answer
    found = Response.model_validate(answer.json(), strict=True)
    known(found)
    assert found.id.startswith("resp_") and found.error is None
    return found


def events(server, **body):
    answer = server.post("/v1/responses", {**SHORT, **body, "stream": True})
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.body.decode().split("\n\n")
    assert blocks.pop() == ""
    found = []
    for number, block in enumerate(block for block in blocks if not block.startswith(":")):
        name, data = block.split("\n")
        event = EVENT.validate_json(data[len("data: "):], strict=True)
        known(event)
        assert name == "event: " + event.type and event.sequence_number == number
        found.append(event)
    return found


def replay(found):
    """The output as the events build it up; each of them must agree with the ones before."""
    items, texts, final = [], {}, None
    assert [e.type for e in found[:2]] == ["response.created", "response.in_progress"]
    for event in found[2:]:
        kind = event.type.removeprefix("response.")
        if kind == "output_item.added":
            assert event.output_index == len(items) and event.item.status == "in_progress"
            items.append(event.item)
            texts[event.item.id] = ""
        elif kind.endswith(".delta"):
            assert event.item_id == items[event.output_index].id
            texts[event.item_id] += event.delta
        elif kind in ("output_text.done", "reasoning_text.done"):
            assert event.text == texts[event.item_id]
        elif kind == "function_call_arguments.done":
            assert event.arguments == texts[event.item_id]
        elif kind == "content_part.done":
            assert event.part.text == texts[event.item_id]
        elif kind == "output_item.done":
            assert items[event.output_index].id == event.item.id
            items[event.output_index] = event.item
        elif kind in ("completed", "incomplete"):
            assert final is None and event.response.status == kind
            final = event.response
        else:
            assert kind == "content_part.added"
    assert found[-1].response is final and final.output == items
    return final


def plain(output):
    """Items without their random ids."""
    return [{k: v for k, v in item.model_dump().items() if k not in ("id", "call_id")} for item in output]


def test_text_is_that_of_the_chat(server):
    body = {"instructions": "be brief", "input": "the end and then"}
    chat = server.post("/v1/chat/completions", {
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the end and then"}],
        "temperature": 0, "max_tokens": 12}).json()
    found = response(server, **body)
    assert found.output_text == chat["choices"][0]["message"]["content"]
    assert found.instructions == "be brief" and found.max_output_tokens == 12
    assert found.usage.input_tokens == chat["usage"]["prompt_tokens"]
    assert found.usage.output_tokens == chat["usage"]["completion_tokens"]
    assert (found.status == "incomplete") == (chat["choices"][0]["finish_reason"] == "length")
    as_items = response(server, input=[{"role": "system", "content": "be brief"},
                                       {"type": "message", "role": "user",
                                        "content": [{"type": "input_text", "text": "the end and then"}]}])
    assert as_items.output_text == found.output_text
    streamed = replay(events(server, **body))
    assert plain(streamed.output) == plain(found.output) and streamed.usage.total_tokens == found.usage.total_tokens


def test_logprobs(server):
    body = {"input": "the end", "include": ["message.output_text.logprobs"], "top_logprobs": 2, "max_output_tokens": 4}
    found = response(server, **body)
    (part,) = found.output[0].content
    assert "".join(p.token for p in part.logprobs).startswith(part.text)
    assert all(len(p.top_logprobs) == 2 for p in part.logprobs)
    assert plain(replay(events(server, **body)).output) == plain(found.output)


def test_calls_are_held_to_their_schema(server):
    body = {"input": "weather", "tools": [WEATHER], "tool_choice": "required", "max_output_tokens": 200, "temperature": 1,
            "seed": 3}
    found = response(server, **body)
    (call,) = [item for item in found.output if item.type == "function_call"]
    arguments = json.loads(call.arguments)
    assert call.name == "get_weather" and 1 <= arguments["days"] <= 9 and arguments["unit"] in ("C", "F")
    streamed = replay(events(server, **body))
    assert plain(streamed.output) == plain(found.output)
    named = {"type": "function", "name": "get_weather"}
    assert response(server, **{**body, "tool_choice": named}).output[0].arguments == call.arguments
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [named]}
    other = {"type": "function", "name": "clock"}
    assert response(server, **{**body, "tool_choice": allowed, "tools": [other, WEATHER]}).output[0].name == "get_weather"


def test_a_call_and_its_output_go_back(server):
    """The items of an answer are input of the next request as they are."""
    items = [{"role": "user", "content": "weather"}]
    first = response(server, input=items, tools=[WEATHER], tool_choice="required", max_output_tokens=200)
    items += [item.model_dump(exclude_none=True) for item in first.output]
    items.append({"type": "function_call_output", "call_id": first.output[-1].call_id, "output": "rain"})
    then = response(server, input=items, tools=[WEATHER], tool_choice="none")
    assert then.usage.input_tokens > first.usage.input_tokens
    parts = [*items[:-1], {**items[-1], "output": [{"type": "input_text", "text": "rain"}]}]
    assert response(server, input=parts, tools=[WEATHER], tool_choice="none").output_text == then.output_text


def test_json_schema(server):
    text = {"format": {"type": "json_schema", "name": "weather", "schema": PARAMETERS, "strict": True}}
    found = response(server, input="x", text=text, max_output_tokens=100)
    assert set(json.loads(found.output_text)) == {"days", "unit"}
    assert found.text.format.name == "weather"


REFUSED = [
    ({}, "input"),
    ({"input": 1}, "input"),
    ({"input": []}, "input"),
    ({"input": [1]}, "input[0]"),
    ({"input": [{"role": "nobody", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
    ({"input": [{"type": "function_call", "call_id": "x", "name": "f"}]}, "input[0].arguments"),
    ({"input": [{"type": "function_call_output", "output": "f"}]}, "input[0].call_id"),
    ({"input": "x", "instructions": 1}, "instructions"),
    ({"input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
    ({"input": "x", "tools": [WEATHER], "tool_choice": {"type": "web_search"}}, "tool_choice.type"),
    ({"input": "x", "tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
    ({"input": "x", "text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"input": "x", "text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
    ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
    ({"input": "x", "conversation": "c"}, "conversation"),
    ({"input": "x", "background": True}, "background"),
    ({"input": "x", "truncation": "some"}, "truncation"),
    ({"input": "x", "metadata": 3}, "metadata"),
    ({"input": "x", "include": 3}, "include"),
    ({"input": "x", "reasoning": "high"}, "reasoning"),
    ({"input": "x", "max_output_tokens": "many"}, "max_output_tokens"),
    ({"input": "x", "temperature": "hot"}, "temperature"),
]


@pytest.mark.parametrize("body, param", REFUSED, ids=[param + "-" + str(i) for i, (_, param) in enumerate(REFUSED)])
def test_refused_by_name(server, body, param):
    for stream in (False, True):
        answer = server.post("/v1/responses", {**body, "stream": stream})
        assert answer.status == 400, answer
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["param"] == param, error


def test_nothing_is_stored(server):
    assert server.post("/v1/responses", {**SHORT, "input": "x", "store": True}).json()["store"] is False
    too_long = server.post("/v1/responses", {"input": "and then " * 600})
    assert too_long.status == 400 and too_long.json()["error"]["code"] == "context_length_exceeded"
