"""From the arguments of the public methods to a puna_seq_options: sampling, stop texts and Python's callbacks."""

from __future__ import annotations

import ctypes
import dataclasses
import math
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Optional, Sequence

from . import _binding
from ._binding import lib

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DEFAULT_SEED = 0xFFFFFFFF  # LLAMA_DEFAULT_SEED: a random one


@dataclasses.dataclass
class Sampling:
    """How the next token is drawn; the names and defaults are those of Llama.generate."""

    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    temp: float = 0.80
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    mirostat_mode: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    seed: int = DEFAULT_SEED
    last_n_tokens_size: int = 64
    logit_bias: Optional[Mapping[Any, float]] = None
    n_logprobs: int = 0
    grammar: Any = None

    def fill(self, params: Any, keep: list[Any]) -> None:
        """Sets a puna_sampler_params; what it points to goes into `keep`."""
        lib.puna_sampler_params_init(ctypes.byref(params), _binding.PUNA_CHAIN_LLAMA_CPP_PYTHON)
        seed = self.seed & 0xFFFFFFFFFFFFFFFF if self.seed >= 0 else DEFAULT_SEED
        params.seed = _binding.PUNA_SEED_RANDOM if seed == DEFAULT_SEED else seed
        params.temperature = max(self.temp, 0.0)
        params.top_k = max(min(int(self.top_k), 2**31 - 1), 0)
        params.top_p = _unit(self.top_p)
        params.min_p = _unit(self.min_p)
        params.typical_p = _unit(self.typical_p)
        if self.temp < 0:  # llama-cpp-python: drawn from the model's own distribution
            params.temperature = params.top_p = params.typical_p = 1.0
            params.top_k, params.min_p = 0, 0.0
        elif self.mirostat_mode in (1, 2):
            params.mirostat = self.mirostat_mode
            params.mirostat_tau, params.mirostat_eta = self.mirostat_tau, self.mirostat_eta
        params.repeat_penalty = self.repeat_penalty
        params.frequency_penalty = self.frequency_penalty
        params.presence_penalty = self.presence_penalty
        params.penalty_last_n = max(self.last_n_tokens_size, -1)
        params.n_logprobs = min(self.n_logprobs, _binding.PUNA_MAX_LOGPROBS)
        if self.logit_bias:
            rows = (_binding.puna_logit_bias * len(self.logit_bias))()
            for row, (token, bias) in zip(rows, self.logit_bias.items()):
                row.token, row.bias = int(token), float(bias)
            params.logit_bias, params.n_logit_bias = rows, len(rows)
            keep.append(rows)
        if self.grammar is not None:
            params.grammar = grammar_pointer(self.grammar, keep)


def _unit(value: float) -> float:
    """A probability; beyond 0 and 1 it has the effect of the bound, as in other implementations."""
    return min(max(value, 0.0), 1.0) if not math.isnan(value) else value


def grammar_pointer(grammar: Any, keep: list[Any]) -> Any:
    """The puna_grammar * of a LlamaGrammar, or of another object that has GBNF in `_grammar`."""
    from .llama_grammar import LlamaGrammar

    if isinstance(grammar, str):
        grammar = LlamaGrammar.from_string(grammar)
    elif not isinstance(grammar, LlamaGrammar):
        text = getattr(grammar, "_grammar", None)
        if not isinstance(text, str):
            raise TypeError("grammar: expected a LlamaGrammar, got %s" % type(grammar).__name__)
        grammar = LlamaGrammar(_grammar=text, _root=getattr(grammar, "_root", "root"))
    keep.append(grammar)
    return grammar._handle.pointer.value


class Verdict:
    """What a request's callbacks decided: an exception to raise, or the end of the generation."""

    def __init__(self) -> None:
        self.error: Optional[BaseException] = None
        self.stopped = False


def seq_options(
    sampling: Sampling,
    keep: list[Any],
    max_tokens: int = -1,
    stops: Sequence[bytes] = (),
    edit_logits: Any = None,
    draft: Any = None,
) -> Any:
    """A puna_seq_options; what it points to goes into `keep`."""
    options = _binding.puna_seq_options()
    lib.puna_seq_options_init(ctypes.byref(options))
    sampling.fill(options.sampler, keep)
    options.max_tokens = max_tokens
    if stops:
        texts = (ctypes.c_char_p * len(stops))(*stops)
        options.stops, options.n_stops = texts, len(stops)
        keep.append(texts)
    if edit_logits is not None:
        options.edit_logits = edit_logits
        keep.append(edit_logits)
    if draft is not None:
        options.draft = draft
        keep.append(draft)
    return options


# ---- callbacks, which run in the engine thread


def as_list(functions: Any) -> list[Callable[..., Any]]:
    if functions is None:
        return []
    return list(functions) if isinstance(functions, Iterable) else [functions]


def edit_logits_callback(logits_processor: Any, stopping_criteria: Any, verdict: Verdict) -> Any:
    """Before each draw: the stopping criteria, which see the tokens so far and the logits of the next, then the logits
    processors. None when there are none of both."""
    processors, criteria = as_list(logits_processor), as_list(stopping_criteria)
    if not processors and not criteria:
        return None
    import numpy as np

    def edit(_user: Any, tokens: Any, n_tokens: int, logits: Any, n_vocab: int) -> bool:
        try:
            ids = copy_ids(tokens, n_tokens)
            scores = copy_floats(logits, n_vocab)
            # every criterion is asked: they may count
            if any([bool(criterion(ids, scores)) for criterion in criteria]):
                verdict.stopped = True
                return False
            if processors:
                for processor in processors:
                    scores = processor(ids, scores)
                result = np.ascontiguousarray(scores, dtype=np.single)
                if result.shape != (n_vocab,):
                    raise ValueError(
                        "a logits processor returned an array of shape %s, expected (%d,)" % (result.shape, n_vocab)
                    )
                ctypes.memmove(logits, result.ctypes.data, n_vocab * 4)
            return True
        except BaseException as error:
            verdict.error = error
            return False

    return _binding.puna_edit_logits_fn(edit)


def draft_callback(draft_model: Any, verdict: Verdict) -> Any:
    """Guesses of a LlamaDraftModel."""

    def guess(_user: Any, tokens: Any, n_tokens: int, draft: Any, max_draft: int) -> int:
        try:
            guesses = draft_model(copy_ids(tokens, n_tokens))
            count = min(len(guesses), max_draft)
            for index in range(count):
                draft[index] = int(guesses[index])
            return count
        except BaseException as error:
            verdict.error = error
            return 0

    return _binding.puna_draft_fn(guess)


def copy_ids(tokens: Any, n_tokens: int) -> npt.NDArray[np.intc]:
    import numpy as np

    ids = np.empty(n_tokens, dtype=np.intc)
    ctypes.memmove(ids.ctypes.data, tokens, n_tokens * 4)
    return ids


def copy_floats(values: Any, count: int) -> npt.NDArray[np.single]:
    import numpy as np

    floats = np.empty(count, dtype=np.single)
    ctypes.memmove(floats.ctypes.data, values, count * 4)
    return floats
