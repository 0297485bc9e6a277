"""anthropic, the Python package."""

import json

import pytest

anthropic = pytest.importorskip("anthropic")

ASK = [{"role": "user", "content": "the end and then"}]
# the newest client has no argument for the temperature any more
SHORT = {"model": "any", "max_tokens": 12, "extra_body": {"temperature": 0}, "messages": ASK}
SCHEMA = {"type": "object", "properties": {"days": {"enum": [1, 2, 3]}}, "required": ["days"], "additionalProperties": False}
TOOL = {"name": "weather", "input_schema": SCHEMA}


@pytest.fixture(scope="module")
def client(server):
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as one:
        yield one


def strictly(found):
    type(found).model_validate(found.model_dump(), strict=True)
    return found


def test_message(client, greedy):
    found = strictly(client.messages.create(system="be brief", **SHORT))
    assert found.content[0].text == greedy("the end and then", 12, system="be brief")
    with client.messages.stream(system="be brief", **SHORT) as stream:
        text = "".join(stream.text_stream)
        final = strictly(stream.get_final_message())
    assert text == final.content[0].text == found.content[0].text
    assert final.stop_reason == found.stop_reason and final.usage.output_tokens == found.usage.output_tokens
    for event in client.messages.create(stream=True, **SHORT):
        strictly(event)


def test_tokens_are_counted(client):
    n = client.messages.count_tokens(model="any", messages=ASK, system="be brief").input_tokens
    usage = client.messages.create(system="be brief", **SHORT).usage
    assert n == usage.input_tokens + usage.cache_read_input_tokens


def test_tools(client):
    how = {**SHORT, "max_tokens": 200, "tools": [TOOL], "tool_choice": {"type": "any"}}
    found = strictly(client.messages.create(**how))
    assert found.stop_reason == "tool_use" and found.content[-1].input["days"] in (1, 2, 3)
    with client.messages.stream(**how) as stream:
        assert stream.get_final_message().content[-1].input == found.content[-1].input
    turns = [*ASK, {"role": "assistant", "content": found.content},
             {"role": "user", "content": [{"type": "tool_result", "tool_use_id": found.content[-1].id,
                                           "content": json.dumps("rain")}]}]
    strictly(client.messages.create(**{**SHORT, "messages": turns, "tools": [TOOL], "tool_choice": {"type": "none"}}))


def test_errors(client, start_server):
    with pytest.raises(anthropic.BadRequestError) as error:
        client.messages.create(**{**SHORT, "messages": []})
    assert error.value.body["error"]["type"] == "invalid_request_error"
    server = start_server("--api-key", "secret")
    with anthropic.Anthropic(base_url=server.url, api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError):
            stranger.messages.create(**SHORT)
    for how in ({"api_key": "secret"}, {"auth_token": "secret"}):
        with anthropic.Anthropic(base_url=server.url, max_retries=0, **how) as friend:
            assert friend.messages.create(**SHORT).role == "assistant"
