"""LlamaIndex's LlamaCPP (llama-index-llms-llama-cpp)."""

import pytest

pytestmark = pytest.mark.needs("llama_index.llms.llama_cpp")


def to_prompt(messages):
    turns = "".join("<|im_start|>%s\n%s<|im_end|>\n" % (m.role.value, m.content) for m in messages)
    return turns + "<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def model(model_path):
    from llama_index.llms.llama_cpp import LlamaCPP

    return LlamaCPP(
        model_path=model_path,
        temperature=0.0,
        max_new_tokens=24,
        context_window=1024,
        model_kwargs={"n_gpu_layers": -1},
        messages_to_prompt=to_prompt,
        completion_to_prompt=lambda text: text,
        verbose=False,
    )


def test_the_model_is_puna(model):
    import puna

    assert isinstance(model._model, puna.Llama)
    assert model.metadata.context_window == 1024 and model.context_window == 1024


def test_complete_and_stream_agree(model):
    text = model.complete("The capital of France is").text
    parts = list(model.stream_complete("The capital of France is"))
    assert "Paris" in text and parts[-1].text == text and len(parts) > 1


def test_chat(model):
    from llama_index.core.llms import ChatMessage

    answer = model.chat([ChatMessage(role="user", content="What is 2+2?")])
    assert "4" in answer.message.content
