"""langchain-openai."""

from typing import Literal

import pytest

langchain_openai = pytest.importorskip("langchain_openai")
pydantic = pytest.importorskip("pydantic")


class Weather(pydantic.BaseModel):
    """What it is like outside."""

    days: Literal[1, 2, 3]
    unit: Literal["C", "F"]


@pytest.fixture(scope="module")
def chat(v1):
    return langchain_openai.ChatOpenAI(base_url=v1, api_key="none", model="gpt-4o-mini", temperature=0, max_tokens=12,
                                       max_retries=0)


def test_invoke_and_stream(chat, greedy):
    said = greedy("the end and then", 12)
    assert chat.invoke("the end and then").content == said
    assert "".join(piece.content for piece in chat.stream("the end and then")) == said
    assert [one.content for one in chat.batch(["the end", "and then"])] == [greedy("the end", 12), greedy("and then", 12)]


def test_tools(v1):
    chat = langchain_openai.ChatOpenAI(base_url=v1, api_key="none", model="any", temperature=0, max_tokens=200)
    bound = chat.bind_tools([Weather], tool_choice="required")
    (call,) = bound.invoke("weather").tool_calls
    assert call["name"] == "Weather" and Weather(**call["args"])
    pieces = None
    for piece in bound.stream("weather"):
        pieces = piece if pieces is None else pieces + piece
    assert pieces.tool_calls[0]["args"] == call["args"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(v1, method):
    chat = langchain_openai.ChatOpenAI(base_url=v1, api_key="none", model="any", temperature=0, max_tokens=200)
    assert isinstance(chat.with_structured_output(Weather, method=method).invoke("weather"), Weather)


def test_responses(v1, greedy):
    chat = langchain_openai.ChatOpenAI(base_url=v1, api_key="none", model="any", temperature=0, max_tokens=12,
                                       use_responses_api=True)
    assert chat.invoke("the end").text == greedy("the end", 12)
    assert "".join(piece.text for piece in chat.stream("the end")) == greedy("the end", 12)


def test_embeddings(v1, server):
    """check_embedding_ctx_length=False: else it cuts texts to tokens by a list of OpenAI's that it would download."""
    embed = langchain_openai.OpenAIEmbeddings(base_url=v1, api_key="none", model="any", check_embedding_ctx_length=False)
    vectors = embed.embed_documents(["the end", "and then"])
    plain = server.post("/v1/embeddings", {"input": "the end"}).json()["data"][0]["embedding"]
    assert len(vectors) == 2 and vectors[0] == pytest.approx(plain, rel=1e-5, abs=1e-6)
