"""LlamaPromptLookupDecoding beside a definition of what it looks for."""

import random

import numpy as np
import pytest

from puna.llama_speculative import LlamaDraftModel, LlamaPromptLookupDecoding


def by_definition(tokens, max_ngram_size, num_pred_tokens):
    for size in range(min(max_ngram_size, len(tokens) - 1), 0, -1):
        suffix = tokens[-size:]
        for start in range(len(tokens) - size):
            if tokens[start : start + size] == suffix and num_pred_tokens > 0:
                return tokens[start + size : start + size + num_pred_tokens]
    return []


def test_it_finds_what_followed_the_longest_known_suffix_first():
    rng = random.Random(5)
    for _ in range(3000):
        tokens = [rng.randrange(rng.choice((2, 3, 6))) for _ in range(rng.randrange(14))]
        sizes = rng.randrange(5), rng.randrange(5)
        found = LlamaPromptLookupDecoding.find_candidate_pred_tokens(np.array(tokens, dtype=np.intc), *sizes)
        assert found.tolist() == by_definition(tokens, *sizes), (tokens, sizes)


def test_it_is_a_draft_model():
    draft = LlamaPromptLookupDecoding(max_ngram_size=2, num_pred_tokens=3)
    guess = draft(np.array([1, 2, 3, 4, 9, 1, 2], dtype=np.intc))
    assert isinstance(draft, LlamaDraftModel) and guess.tolist() == [3, 4, 9] and guess.dtype == np.intc
    with pytest.raises(TypeError):
        LlamaDraftModel()
