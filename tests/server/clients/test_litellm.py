"""litellm, as a proxy in front of this server would use it."""

import os

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would download one
litellm = pytest.importorskip("litellm")


def test_openai_routes(v1, greedy):
    how = {"model": "openai/any", "api_base": v1, "api_key": "none", "temperature": 0, "max_tokens": 12,
           "messages": [{"role": "user", "content": "the end"}]}
    said = greedy("the end", 12)
    assert litellm.completion(**how).choices[0].message.content == said
    assert "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(stream=True, **how)) == said
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(**{**how, "messages": [{"role": "user", "content": "and then " * 600}]})
    found = litellm.embedding(model="openai/any", input=["the end"], api_base=v1, api_key="none", encoding_format="float")
    assert len(found.data[0]["embedding"]) > 1


def test_anthropic_routes(server, greedy):
    found = litellm.completion(model="anthropic/any", api_base=server.url, api_key="none", temperature=0, max_tokens=12,
                               messages=[{"role": "user", "content": "the end"}])
    assert found.choices[0].message.content == greedy("the end", 12)
