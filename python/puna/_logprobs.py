"""Log-probabilities: of a prompt's own tokens, and more of the most likely ones than the engine reports."""

from __future__ import annotations

import ctypes
from collections import deque
from typing import Any, Deque, List, NamedTuple, Optional, Sequence, Tuple

from . import _binding
from ._binding import PUNA_MAX_LOGPROBS, lib
from ._sampling import Verdict


class TokenLogprobs(NamedTuple):
    token: int
    logprob: float
    top: Sequence[Tuple[int, float]]  # descending


def of_logits(logits: Any, n_vocab: int, token: int, n_top: int) -> TokenLogprobs:
    """For n_top up to PUNA_MAX_LOGPROBS. logits: a pointer to float[n_vocab]."""
    own, rows = ctypes.c_float(), (_binding.puna_token_logprob * max(n_top, 1))()
    count = lib.puna_logprobs(logits, n_vocab, token, ctypes.byref(own), rows, n_top)
    return TokenLogprobs(token, own.value, [(row.token, row.logprob) for row in rows[:count]])


def of_row(row: Any, token: int, n_top: int) -> TokenLogprobs:
    """For any n_top. row: a numpy array."""
    import numpy as np

    values = row.astype(np.float64)
    values -= values.max()
    values -= np.log(np.exp(values).sum())
    order = np.lexsort((np.arange(len(values)), -values))[:n_top]
    return TokenLogprobs(token, float(values[token]), [(int(index), float(values[index])) for index in order])


class PromptLogprobs:
    """What the model gave each token of a prompt, gathered while the prompt is computed."""

    def __init__(self, tokens: Sequence[int], n_top: int, verdict: Verdict) -> None:
        self.tokens = tokens
        self.n_top = n_top
        self.found: List[Optional[TokenLogprobs]] = [None] * len(tokens)
        self.verdict = verdict
        self.callback = _binding.puna_logits_fn(self._take)

    def _take(self, _user: Any, position: int, logits: Any, n_vocab: int) -> None:
        try:
            if position + 1 >= len(self.tokens):
                return
            token = self.tokens[position + 1]
            if self.n_top <= PUNA_MAX_LOGPROBS:
                self.found[position + 1] = of_logits(logits, n_vocab, token, self.n_top)
            else:
                from ._sampling import copy_floats

                self.found[position + 1] = of_row(copy_floats(logits, n_vocab), token, self.n_top)
        except BaseException as error:
            self.verdict.error = error

    def entries(self) -> List[Optional[TokenLogprobs]]:
        """One for each token; the first has none."""
        return list(self.found)


class RowLogprobs:
    """More than PUNA_MAX_LOGPROBS for each sampled token: its logits are kept until it is known which it is. `take` has
    the form of a stopping criterion, which sees them."""

    def __init__(self, n_top: int) -> None:
        self.n_top = n_top
        self.rows: Deque[Any] = deque()

    def take(self, _ids: Any, logits: Any) -> bool:
        self.rows.append(logits.copy())
        return False

    def of(self, token: int) -> TokenLogprobs:
        return of_row(self.rows.popleft(), token, self.n_top)
