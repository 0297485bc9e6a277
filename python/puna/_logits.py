"""Lists of callables that Llama takes, and the state of a session that it hands out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, Optional

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ids = npt.NDArray[np.intc]
    Scores = npt.NDArray[np.single]
else:
    Ids = Scores = Any

# (input_ids, shape [n], scores, shape [n_vocab]) -> scores; may change them in place
LogitsProcessor = Callable[[Ids, Scores], Scores]
# (input_ids, shape [n], logits of the next token, shape [n_vocab]) -> whether to stop before that token
StoppingCriteria = Callable[[Ids, Scores], bool]


class LogitsProcessorList(List[LogitsProcessor]):
    """Applied in order, each to the result of the one before."""

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        for processor in self:
            scores = processor(input_ids, scores)
        return scores


class StoppingCriteriaList(List[StoppingCriteria]):
    """Stops when one of them says so; all are asked."""

    def __call__(self, input_ids: Ids, logits: Scores) -> bool:
        return any([criterion(input_ids, logits) for criterion in self])


class MinTokensLogitsProcessor:
    """Forbids the end token until min_tokens tokens have been generated."""

    def __init__(self, min_tokens: int, token_eos: int) -> None:
        self.min_tokens = min_tokens
        self.token_eos = token_eos
        self.prompt_tokens: Optional[int] = None

    def __call__(self, input_ids: Ids, scores: Scores) -> Scores:
        if self.prompt_tokens is None:
            self.prompt_tokens = len(input_ids)
        if len(input_ids) - self.prompt_tokens < self.min_tokens:
            scores[self.token_eos] = float("-inf")
        return scores


class LlamaState:
    """A session at one moment, from Llama.save_state: can be pickled, and loaded by another Llama of the same model.

    input_ids: ids, shape [n_ctx], of which n_tokens count. scores: logits, shape [rows, n_vocab], rows > 0 only with
    logits_all. llama_state: tokens, KV cache and logits, llama_state_size bytes.
    """

    def __init__(
        self, input_ids: Any, scores: Any, n_tokens: int, llama_state: bytes, llama_state_size: int, seed: int
    ) -> None:
        self.input_ids = input_ids
        self.scores = scores
        self.n_tokens = n_tokens
        self.llama_state = llama_state
        self.llama_state_size = llama_state_size
        self.seed = seed
