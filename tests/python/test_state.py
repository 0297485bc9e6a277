"""Saved states and caches; draft models; embeddings."""

import copy
import math
import pickle

import numpy as np
import pytest

import puna
from puna.llama_speculative import LlamaDraftModel, LlamaPromptLookupDecoding

PROMPT = "The quick brown fox jumps over the lazy dog. The quick brown"


def open_llama(path, **arguments):
    return puna.Llama(path, **{"n_ctx": 256, "n_threads": 1, "n_parallel": 2, **arguments})


@pytest.fixture(scope="module")
def llm(model_path):
    with open_llama(model_path) as llm:
        yield llm


def text_of(result):
    return result["choices"][0]["text"]


def test_a_state_goes_to_another_object(llm, model_path):
    tokens = llm.tokenize(PROMPT.encode())
    llm.reset()
    llm.eval(tokens)
    llm.set_seed(77)
    state = pickle.loads(pickle.dumps(llm.save_state()))
    llm.set_seed(0xFFFFFFFF)
    assert state.n_tokens == len(tokens) and state.llama_state_size == len(state.llama_state) > 0
    with open_llama(model_path) as other:
        other.load_state(state)
        assert other.n_tokens == len(tokens) and other.input_ids[: len(tokens)].tolist() == tokens
        assert other._seed == 77
        assert other.sample(temp=0) == llm.sample(temp=0)
        # nothing was computed again
        call = puna._completion.CompletionCall(other, tokens, other._sampling(), max_tokens=1)
        call.start()
        assert [event for event in call.request.events()][-1].n_reused == len(tokens)


def test_an_empty_state(llm):
    llm.reset()
    state = llm.save_state()
    assert state.n_tokens == 0
    llm.eval([5, 6])
    llm.load_state(state)
    assert llm.n_tokens == 0


def test_damaged_states_are_refused(llm, gemma_path):
    llm.reset()
    llm.eval(llm.tokenize(PROMPT.encode()))
    good = llm.save_state()
    before = llm.n_tokens
    for damage in (b"", good.llama_state[:100], good.llama_state[:-1], b"\xff" * 1000, good.llama_state[::-1]):
        bad = copy.copy(good)
        bad.llama_state, bad.llama_state_size = damage, len(damage)
        if damage:
            with pytest.raises(RuntimeError, match="Failed to set llama state data"):
                llm.load_state(bad)
    assert llm.n_tokens == before
    with open_llama(gemma_path) as other, pytest.raises(RuntimeError, match="Failed to set llama state data"):
        other.load_state(good)
    with open_llama(llm.model_path, n_ctx=8) as small, pytest.raises(RuntimeError, match="context of 8"):
        small.load_state(good)


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_caches(llm, model_path, kind, tmp_path):
    cache = puna.LlamaRAMCache() if kind == "ram" else puna.LlamaDiskCache(str(tmp_path))
    wanted = llm(PROMPT, max_tokens=4, temperature=0)
    with open_llama(model_path) as writer:
        writer.set_cache(cache)
        assert text_of(writer(PROMPT, max_tokens=4, temperature=0)) == text_of(wanted)
        list(writer(PROMPT + " bear", max_tokens=2, temperature=0, stream=True))
    with open_llama(model_path) as reader:
        reader.set_cache(cache)
        loads = []
        load_state = reader.load_state
        reader.load_state = lambda state: (loads.append(state.n_tokens), load_state(state))
        assert text_of(reader(PROMPT, max_tokens=4, temperature=0)) == text_of(wanted)
        assert len(loads) == 1 and loads[0] >= wanted["usage"]["prompt_tokens"]
        assert text_of(reader(PROMPT, max_tokens=4, temperature=0)) == text_of(wanted)
        assert len(loads) == 1  # by now its own memory has it
        assert text_of(reader("Nothing like it", max_tokens=1))
        assert len(loads) == 1


def test_a_cache_of_the_users_own(llm):
    class Counting(puna.BaseLlamaCache):
        def __init__(self):
            self.asked, self.stored = [], []

        cache_size = 0

        def __getitem__(self, key):
            self.asked.append(list(key))
            raise KeyError

        def __contains__(self, key):
            return False

        def __setitem__(self, key, value):
            self.stored.append((list(key), value.n_tokens))

        def __len__(self):
            return 0

    cache = Counting()
    llm.set_cache(cache)
    try:
        result = llm(PROMPT, max_tokens=2, temperature=0)
    finally:
        llm.set_cache(None)
    tokens = llm.tokenize(PROMPT.encode())
    assert cache.asked == [tokens]
    assert cache.stored == [(tokens + llm.tokenize(text_of(result).encode()), len(tokens) + 1)]


# ---- draft models


class Wrong(LlamaDraftModel):
    def __call__(self, input_ids, /, **kwargs):
        return np.full(3, 7, dtype=np.intc)


@pytest.mark.parametrize("draft", [LlamaPromptLookupDecoding(num_pred_tokens=6), Wrong()])
def test_drafts_change_nothing_but_the_speed(llm, model_path, draft):
    tokens = llm.tokenize(PROMPT.encode())
    with open_llama(model_path, draft_model=draft) as drafted:
        for arguments in (dict(temperature=0), dict(temperature=1.2, seed=5), dict(temperature=0, stop=["lazy"])):
            assert text_of(drafted(PROMPT, max_tokens=24, **arguments)) == text_of(
                llm(PROMPT, max_tokens=24, **arguments)
            )
        one, two = (model.generate(tokens, temp=0) for model in (drafted, llm))
        assert [next(one) for _ in range(12)] == [next(two) for _ in range(12)]
        assert drafted._logits_all


# ---- embeddings


def test_embeddings(model_path):
    with open_llama(model_path, embedding=True, pooling_type=1) as mean:
        one, other = mean.embed(["Hello world", "Good morning to you"])
        assert len(one) == 576 and mean.embed("Hello world") == one
        unit = mean.embed("Hello world", normalize=True)
        assert math.isclose(math.fsum(value * value for value in unit), 1, rel_tol=1e-6)
        assert mean.embed(["a b"], return_count=True)[1] == 2
        response = mean.create_embedding(["Hello world", "Good morning to you"], model="name")
        assert response == {
            "object": "list",
            "data": [
                {"object": "embedding", "embedding": one, "index": 0},
                {"object": "embedding", "embedding": other, "index": 1},
            ],
            "model": "name",
            "usage": {"prompt_tokens": 6, "total_tokens": 6},
        }
        long = "word " * 400
        assert len(mean.embed(long)) == 576
        with pytest.raises(ValueError, match=r"Requested tokens \(\d+\) exceed batch size of 256"):
            mean.embed(long, truncate=False)
        assert len(mean.embed("")) == 576
    with open_llama(model_path, embedding=True) as none:
        rows = none.embed("Hello world")
        assert [len(row) for row in rows] == [576, 576] and none.pooling_type() == 0
        assert np.allclose(np.mean(rows, axis=0), one, atol=1e-5)
        for pooling, row in ((2, 0), (3, -1)):
            with open_llama(model_path, embedding=True, pooling_type=pooling) as pooled:
                assert pooled.embed("Hello world") == rows[row]
    with (
        open_llama(model_path, embedding=True, pooling_type=4) as rank,
        pytest.raises(ValueError, match="pooling_type"),
    ):
        rank.embed("x")
    with open_llama(model_path) as plain, pytest.raises(RuntimeError, match="embedding=True"):
        plain.create_embedding("x")
