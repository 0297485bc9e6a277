"""Anthropic's /v1/messages and count_tokens: the shapes of its reference, the same texts as /v1/chat/completions, and
errors in its form. The official client is tested in clients/."""

import json

import pytest

import serving  # noqa: F401

PARAMETERS = {
    "type": "object",
    "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 9}, "unit": {"enum": ["C", "F"]}},
    "required": ["days", "unit"],
    "additionalProperties": False,
}
WEATHER = {"name": "get_weather", "description": "what it is like outside", "input_schema": PARAMETERS}
USER = [{"role": "user", "content": "the end and then"}]
SHORT = {"temperature": 0, "max_tokens": 12, "model": "any"}


def message(server, **body):
    answer = server.post("/v1/messages", {**SHORT, "messages": USER, **body})
    assert answer.status == 200, answer
    found = answer.json()
    assert set(found) == {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
    assert found["id"].startswith("msg_") and found["type"] == "message" and found["role"] == "assistant"
    return found


def streamed(server, **body):
    """The message that the events of a stream make, by the rules of their order."""
    answer = server.post("/v1/messages", {**SHORT, "messages": USER, **body, "stream": True})
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.body.decode().split("\n\n")
    assert blocks.pop() == ""
    events = []
    for block in blocks:
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        events.append(json.loads(data[len("data: "):]))
        assert name == "event: " + events[-1]["type"]
    assert [e["type"] for e in events[:2]] == ["message_start", "ping"] and events[-1] == {"type": "message_stop"}
    found, is_open = events[0]["message"], False
    assert found["content"] == [] and found["stop_reason"] is None
    for event in events[2:-2]:
        if event["type"] == "content_block_start":
            assert not is_open and event["index"] == len(found["content"])
            found["content"].append(event["content_block"])
            is_open, pieces = True, ""
            continue
        assert is_open and event["index"] == len(found["content"]) - 1
        block = found["content"][-1]
        if event["type"] == "content_block_stop":
            is_open = False
            if block["type"] == "tool_use":
                block["input"] = json.loads(pieces)
        elif event["delta"]["type"] == "input_json_delta":
            pieces += event["delta"]["partial_json"]
        elif event["delta"]["type"] == "text_delta":
            block["text"] += event["delta"]["text"]
        elif event["delta"]["type"] == "thinking_delta":
            block["thinking"] += event["delta"]["thinking"]
        else:
            assert event["delta"]["type"] == "signature_delta"
    assert not is_open and events[-2]["type"] == "message_delta"
    found.update(events[-2]["delta"], usage=events[-2]["usage"])
    return found


def same(a, b):
    """Without random ids, and whatever was cached."""
    def plain(found):
        content = [{k: v for k, v in block.items() if k != "id"} for block in found["content"]]
        return content, found["stop_reason"], found["stop_sequence"], found["usage"]["output_tokens"]

    assert plain(a) == plain(b)


def test_text_is_that_of_the_chat(server):
    chat = server.post("/v1/chat/completions", {"messages": [{"role": "system", "content": "be brief"}, *USER],
                                                "temperature": 0, "max_tokens": 12}).json()
    found = message(server, system="be brief")
    assert found["content"] == [{"type": "text", "text": chat["choices"][0]["message"]["content"]}]
    assert found["usage"]["output_tokens"] == chat["usage"]["completion_tokens"]
    assert (found["stop_reason"] == "max_tokens") == (chat["choices"][0]["finish_reason"] == "length")
    blocks = {"system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
              "messages": [{"role": "user", "content": [{"type": "text", "text": "the end and then"}]}]}
    same(message(server, **blocks), found)
    same(streamed(server, system="be brief"), found)


def test_tokens_are_counted(server):
    found = message(server, system="be brief")["usage"]
    n = server.post("/v1/messages/count_tokens", {"system": "be brief", "messages": USER, "model": "x"}).json()
    assert n == {"input_tokens": found["input_tokens"] + found["cache_read_input_tokens"]}
    assert found["cache_creation_input_tokens"] == 0


def test_stop_sequences(server):
    text = message(server)["content"][0]["text"]
    stop = text[len(text) // 2:][:2]
    found = message(server, stop_sequences=["never said by anybody", stop])
    assert found["stop_reason"] == "stop_sequence" and found["stop_sequence"] == stop
    assert found["content"][0]["text"] == text[:text.index(stop)]
    same(streamed(server, stop_sequences=["never said by anybody", stop]), found)


def test_an_answer_is_continued(server):
    text = message(server)["content"][0]["text"]
    begun = [*USER, {"role": "assistant", "content": text[:6]}]
    assert message(server, messages=begun)["content"][0]["text"] != ""


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}], ids=["any", "tool"])
def test_calls_are_held_to_their_schema(server, choice):
    body = {"tools": [WEATHER], "tool_choice": choice, "max_tokens": 200, "temperature": 1, "seed": 3}
    found = message(server, **body)
    (call,) = [block for block in found["content"] if block["type"] == "tool_use"]
    assert found["stop_reason"] == "tool_use" and call["id"].startswith("toolu_") and call["name"] == "get_weather"
    assert 1 <= call["input"]["days"] <= 9 and call["input"]["unit"] in ("C", "F")
    same(streamed(server, **body), found)


def test_a_call_and_its_result_go_back(server):
    first = message(server, tools=[WEATHER], tool_choice={"type": "any"}, max_tokens=200)
    use = first["content"][-1]
    result = {"type": "tool_result", "tool_use_id": use["id"], "content": [{"type": "text", "text": "rain"}]}
    turns = [*USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""},
                                                      {"type": "text", "text": "let me see"}, *first["content"]]},
             {"role": "user", "content": [result, {"type": "text", "text": "and then"}]}]
    found = message(server, messages=turns, tools=[WEATHER], tool_choice={"type": "none"})
    assert found["stop_reason"] in ("max_tokens", "end_turn")
    shown = [{"role": "user", "content": "the end and then"},
             {"role": "assistant", "content": "let me see", "reasoning_content": "hm", "tool_calls": [
                 {"id": use["id"], "type": "function",
                  "function": {"name": "get_weather", "arguments": json.dumps(use["input"])}}]},
             {"role": "tool", "tool_call_id": use["id"], "content": "rain"}, {"role": "user", "content": "and then"}]
    chat = server.post("/v1/chat/completions", {"messages": shown, "temperature": 0, "max_tokens": 12}).json()
    assert chat["choices"][0]["message"]["content"] == found["content"][0]["text"]


def test_json_schema(server):
    for body in ({"output_config": {"format": {"type": "json_schema", "schema": PARAMETERS}}},
                 {"output_format": {"type": "json_schema", "schema": PARAMETERS}}):
        assert set(json.loads(message(server, max_tokens=100, **body)["content"][0]["text"])) == {"days", "unit"}


REFUSED = [
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": ["x"]}, "messages[0]"),
    ({"messages": [{"role": "system", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_use"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].tool_use_id"),
    ({"messages": [*USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "y"}]}]},
     "messages[1].content[0].input"),
    ({"system": 1}, "system"),
    ({"system": [{"type": "image"}]}, "system[0].type"),
    ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
    ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
    ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"thinking": {"type": "hard"}}, "thinking.type"),
    ({"stop_sequences": 3}, "stop_sequences"),
    ({"temperature": "hot"}, "temperature"),
]


@pytest.mark.parametrize("body, name", REFUSED, ids=[name + "-" + str(i) for i, (_, name) in enumerate(REFUSED)])
def test_refused_by_name(server, body, name):
    for stream in (False, True):
        answer = server.post("/v1/messages", {**SHORT, "messages": USER, **body, "stream": stream})
        assert answer.status == 400, answer
        found = answer.json()
        assert set(found) == {"type", "error"} and found["type"] == "error" and set(found["error"]) == {"type", "message"}
        assert found["error"]["type"] == "invalid_request_error" and name in found["error"]["message"]


def test_keys(start_server):
    server = start_server("--api-key", "secret")
    body = {**SHORT, "max_tokens": 1, "messages": USER}
    for headers, status in (({}, 401), ({"x-api-key": "wrong"}, 401), ({"x-api-key": "secret"}, 200),
                            ({"Authorization": "Bearer secret"}, 200)):
        answer = server.post("/v1/messages", body, headers)
        assert answer.status == status, (headers, answer)
        if status == 401:
            assert answer.json()["error"]["type"] == "authentication_error"
