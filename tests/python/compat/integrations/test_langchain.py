"""LangChain's LlamaCpp, ChatLlamaCpp and LlamaCppEmbeddings."""

import pytest

pytestmark = pytest.mark.needs("langchain_community")

# LangChain passes a rope frequency base of 10000 unless told otherwise; 0 takes the model's own
COMMON = {"n_ctx": 1024, "n_batch": 512, "seed": 7, "rope_freq_base": 0.0, "rope_freq_scale": 0.0, "verbose": False}


@pytest.fixture(scope="module")
def complete(model_path):
    from langchain_community.llms import LlamaCpp

    return LlamaCpp(model_path=model_path, temperature=0.0, max_tokens=12, repeat_penalty=1.0, **COMMON)


@pytest.fixture(scope="module")
def chat(model_path):
    from langchain_community.chat_models import ChatLlamaCpp

    return ChatLlamaCpp(model_path=model_path, temperature=0.0, max_tokens=48, repeat_penalty=1.0, **COMMON)


def test_the_model_is_puna(complete):
    import puna

    assert isinstance(complete.client, puna.Llama)


def test_invoke_and_stream_agree(complete):
    prompt = "The capital of France is"
    text = complete.invoke(prompt)
    parts = list(complete.stream(prompt))
    assert "Paris" in text and "".join(parts) == text and len(parts) > 1
    assert complete.get_num_tokens("Hello world") == len(complete.client.tokenize(b"Hello world"))


def test_stop_and_grammar(complete, model_path):
    assert "\n" not in complete.invoke("Q: Name a colour.\nA:", stop=["\n"])
    from langchain_community.llms import LlamaCpp

    strict = LlamaCpp(model_path=model_path, grammar='root ::= "yes" | "no"', max_tokens=4, **COMMON)
    assert strict.invoke("Is water wet?") in ("yes", "no")


def test_chat(chat):
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    answer = chat.invoke([HumanMessage("What is 2+2?")])
    assert isinstance(answer, AIMessage) and "4" in answer.content
    messages = [HumanMessage("What is 2+2?"), answer, SystemMessage("Be brief."), HumanMessage("Thank you.")]
    streamed = "".join(part.content for part in chat.stream(messages))
    assert streamed and streamed == chat.invoke(messages).content


def test_a_forced_tool(chat):
    from pydantic import BaseModel, Field

    class Person(BaseModel):
        """A person."""

        name: str = Field(max_length=20)
        age: int = Field(ge=0, le=120)

    structured = chat.with_structured_output(Person)
    found = structured.invoke("Extract the person: Jason is 25 years old.")
    assert isinstance(found, Person)


def test_embeddings(model_path):
    from langchain_community.embeddings import LlamaCppEmbeddings

    embed = LlamaCppEmbeddings(model_path=model_path, n_ctx=256, n_batch=256, verbose=False)
    vectors = embed.embed_documents(["Hello world", "Goodbye world"])
    vectors.append(embed.embed_query("Hello world"))  # without pooling, LangChain lists the vectors of all tokens
    assert len(vectors) >= 3
    for vector in vectors:
        assert len(vector) == embed.client.n_embd() and all(isinstance(value, float) for value in vector)
