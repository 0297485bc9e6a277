"""openai, the Python package: with its own objects, all of them read strictly by its types."""

import asyncio
import json
import math
from typing import Literal

import pytest

openai = pytest.importorskip("openai")
pydantic = pytest.importorskip("pydantic")

ASK = [{"role": "user", "content": "the end and then"}]
SHORT = {"model": "any", "temperature": 0, "max_completion_tokens": 12}


class Weather(pydantic.BaseModel):
    days: Literal[1, 2, 3]
    unit: Literal["C", "F"]
    rain: bool


@pytest.fixture(scope="module")
def client(v1):
    with openai.OpenAI(base_url=v1, api_key="none", max_retries=0) as one:
        yield one


def strictly(found):
    """The client takes what comes without a look at its types: this looks."""
    type(found).model_validate(found.model_dump(), strict=True)
    return found


def test_models(client):
    (model,) = client.models.list()
    assert client.models.retrieve(model.id).id == model.id
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")


def test_chat(client, greedy):
    found = strictly(client.chat.completions.create(messages=ASK, **SHORT))
    assert found.choices[0].message.content == greedy("the end and then", 12)
    pieces, usage = [], None
    for chunk in client.chat.completions.create(messages=ASK, stream=True, stream_options={"include_usage": True}, **SHORT):
        strictly(chunk)
        usage = chunk.usage
        pieces += [choice.delta.content or "" for choice in chunk.choices]
    assert "".join(pieces) == found.choices[0].message.content
    assert usage.total_tokens == found.usage.total_tokens


def test_many_at_once(v1, greedy):
    """An answer does not depend on what runs beside it."""
    texts = ["the end", "and then", "a", "of the river", "to be", "so"]
    alone = [greedy(text, 20) for text in texts]

    async def ask_all():
        async with openai.AsyncOpenAI(base_url=v1, api_key="none", max_retries=0) as client:
            async def ask(text):
                stream = await client.chat.completions.create(
                    model="any", messages=[{"role": "user", "content": text}], temperature=0, max_tokens=20, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

            return await asyncio.gather(*map(ask, texts))

    assert asyncio.run(ask_all()) == alone


def test_parse(client):
    found = client.chat.completions.parse(model="any", messages=ASK, response_format=Weather, max_tokens=100, temperature=0)
    assert isinstance(found.choices[0].message.parsed, Weather)
    response = client.responses.parse(model="any", input="weather", text_format=Weather, max_output_tokens=100,
                                      temperature=0)
    assert isinstance(response.output_parsed, Weather)


def test_tools(client):
    tool = openai.pydantic_function_tool(Weather, name="weather")
    how = {"messages": ASK, "tools": [tool], "tool_choice": "required", "model": "any", "temperature": 0, "max_tokens": 200}
    found = strictly(client.chat.completions.create(**how))
    (call,) = found.choices[0].message.tool_calls
    assert Weather.model_validate_json(call.function.arguments) and found.choices[0].finish_reason == "tool_calls"
    with client.chat.completions.stream(**how) as stream:
        for event in stream:
            if event.type == "chunk":
                strictly(event.chunk)
        (other,) = stream.get_final_completion().choices[0].message.tool_calls
    assert other.function.arguments == call.function.arguments
    assert isinstance(other.function.parsed_arguments, Weather)
    turns = [*ASK, found.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    strictly(client.chat.completions.create(messages=turns, tools=[tool], **SHORT))


def test_completions(client):
    found = strictly(client.completions.create(model="any", prompt="the end", max_tokens=8, temperature=0))
    stream = client.completions.create(model="any", prompt="the end", max_tokens=8, temperature=0, stream=True)
    # its type has no word for a choice that goes on, though the API sends null
    assert "".join(chunk.choices[0].text for chunk in stream) == found.choices[0].text


def test_embeddings(client):
    """The client asks for base64 where nothing is said."""
    packed = strictly(client.embeddings.create(model="any", input=["the end", "and then"])).data
    plain = client.embeddings.create(model="any", input=["the end", "and then"], encoding_format="float").data
    for a, b in zip(packed, plain):
        assert len(a.embedding) == len(b.embedding) > 1
        assert all(math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-7) for x, y in zip(a.embedding, b.embedding))


def test_responses(client, greedy):
    how = {"model": "any", "instructions": "be brief", "input": "the end", "max_output_tokens": 12, "temperature": 0}
    found = strictly(client.responses.create(**how))
    assert found.output_text == greedy("the end", 12, system="be brief")
    with client.responses.stream(**how) as stream:
        text = "".join(strictly(event).delta for event in stream if event.type == "response.output_text.delta")
    assert text == found.output_text
    tool = {"type": "function", "name": "weather", "strict": True, "parameters": openai.pydantic_function_tool(Weather)[
        "function"]["parameters"]}
    called = client.responses.create(model="any", input=ASK, tools=[tool], tool_choice="required", temperature=0)
    assert Weather.model_validate_json(called.output[-1].arguments)
    turns = [*ASK, *called.output, {"type": "function_call_output", "call_id": called.output[-1].call_id, "output": "rain"}]
    strictly(client.responses.create(model="any", input=turns, tools=[tool], tool_choice="none", max_output_tokens=8))


def test_errors(client, start_server):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(messages=ASK, model="any", temperature="hot")
    assert error.value.param == "temperature" and error.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(messages=[{"role": "user", "content": "and then " * 600}], model="any")
    assert error.value.code == "context_length_exceeded"
    server = start_server("--api-key", "secret")
    with openai.OpenAI(base_url=server.url + "/v1", api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()
    with openai.OpenAI(base_url=server.url + "/v1", api_key="secret", max_retries=0) as friend:
        assert len(list(friend.models.list())) == 1


def test_leaving_a_stream_frees_its_slot(client, server):
    assert server.wait_idle(20) is not None
    stream = client.chat.completions.create(messages=ASK, model="any", stream=True, max_tokens=400, temperature=0,
                                            extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()
    assert server.wait_idle(2) is not None


def test_raw_events_are_json(client):
    """No line of a stream is anything but data, a comment or empty."""
    with client.chat.completions.with_streaming_response.create(messages=ASK, stream=True, **SHORT) as response:
        lines = [line for line in response.iter_lines() if line and not line.startswith(":")]
    assert lines.pop() == "data: [DONE]"
    assert all(json.loads(line.removeprefix("data: "))["object"] == "chat.completion.chunk" for line in lines)
