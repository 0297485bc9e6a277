"""Guessing tokens ahead: a draft model says what probably comes next, and the model checks all guesses in one step.

Guesses change the speed and nothing else: a wrong one is thrown away, and the text is the same bit for bit as without.
``Llama(..., draft_model=LlamaPromptLookupDecoding())`` is the cheapest kind: it looks for the last tokens in what came
before, which pays where an answer repeats its prompt (summaries, edits of code, extraction).
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class LlamaDraftModel(abc.ABC):
    """What ``Llama``'s ``draft_model`` takes: a callable from the tokens so far to a guess of the next ones."""

    @abc.abstractmethod
    def __call__(self, input_ids: npt.NDArray[np.intc], /, **kwargs: Any) -> npt.NDArray[np.intc]:
        """The tokens (ids, shape [k], k >= 0) that may follow input_ids (ids, shape [n])."""
        raise NotImplementedError


class LlamaPromptLookupDecoding(LlamaDraftModel):
    """Guesses that what followed the last tokens earlier in the text follows them again.

    max_ngram_size: how many of the last tokens to look for, at most; fewer are tried until some are found.
    num_pred_tokens: how many tokens to guess, at most.
    """

    def __init__(self, max_ngram_size: int = 2, num_pred_tokens: int = 10) -> None:
        self.max_ngram_size = max_ngram_size
        self.num_pred_tokens = num_pred_tokens

    @staticmethod
    def find_candidate_pred_tokens(
        input_ids: npt.NDArray[np.intc], max_ngram_size: int, num_pred_tokens: int
    ) -> npt.NDArray[np.intc]:
        """What followed the first earlier occurrence of the longest known suffix of input_ids; empty if none did."""
        import numpy as np

        length = len(input_ids)
        for size in range(min(max_ngram_size, length - 1), 0, -1):
            # starts[i]: the suffix occurs at i. The suffix itself, at length - size, has nothing after it.
            starts = np.ones(length - size, dtype=bool)
            for offset in range(size):
                starts &= input_ids[offset : length - size + offset] == input_ids[length - size + offset]
            if starts.any():
                follows = int(starts.argmax()) + size
                if num_pred_tokens > 0:
                    return input_ids[follows : follows + num_pred_tokens]
        return np.array([], dtype=np.intc)

    def __call__(self, input_ids: npt.NDArray[np.intc], /, **kwargs: Any) -> npt.NDArray[np.intc]:
        return self.find_candidate_pred_tokens(input_ids, self.max_ngram_size, self.num_pred_tokens)
