"""embed and create_embedding: vectors for texts, from the hidden states of their tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Union

from . import _binding
from ._binding import lib
from ._engine import Outcome, Request
from ._model import Model
from ._sampling import Sampling, Verdict, seq_options

if TYPE_CHECKING:
    from .llama import Llama
    from .llama_types import CreateEmbeddingResponse

NONE, MEAN, CLS, LAST, RANK = range(5)  # LLAMA_POOLING_TYPE_...
_POOLING = {MEAN: _binding.PUNA_POOLING_MEAN, CLS: _binding.PUNA_POOLING_CLS, LAST: _binding.PUNA_POOLING_LAST}

Vector = List[float]
Texts = Union[str, List[str]]


def pooling_type(model: Model, asked: int) -> int:
    """What was asked for; -1: what the file says, else none."""
    if asked >= 0:
        return asked
    value = model.key(model.architecture + ".pooling_type")
    return int(value) if value is not None and value.isdigit() else NONE


def embed(llama: Llama, texts: Texts, normalize: bool, truncate: bool, return_count: bool) -> Any:
    engine, all_requests = llama._running_engine(), requests(llama, texts, truncate)
    try:
        for request in all_requests:
            engine.submit(request)
        outcomes = [engine.wait(request) for request in all_requests]
    except BaseException:
        for request in all_requests:
            engine.cancel(request)
        raise
    return output(texts, all_requests, outcomes, normalize, return_count)


def create_embedding(llama: Llama, texts: Texts, model: Optional[str]) -> CreateEmbeddingResponse:
    vectors, n_tokens = embed(llama, [texts] if isinstance(texts, str) else texts, False, True, True)
    return response(llama, vectors, n_tokens, model)


def requests(llama: Llama, texts: Texts, truncate: bool) -> List[Request]:
    if not llama.context_params.embeddings:
        raise RuntimeError("Llama model must be created with embedding=True to call this method")
    return [_request(llama, text, truncate) for text in ([texts] if isinstance(texts, str) else texts)]


def output(
    texts: Texts, all_requests: Sequence[Request], outcomes: Sequence[Outcome], normalize: bool, return_count: bool
) -> Any:
    """What embed returns."""
    found = [_normalized(outcome.result) if normalize else outcome.result for outcome in outcomes]
    result = found[0] if isinstance(texts, str) else found
    return (result, sum(len(request.tokens) for request in all_requests)) if return_count else result


def response(llama: Llama, vectors: Sequence[Any], n_tokens: int, model: Optional[str]) -> CreateEmbeddingResponse:
    """What create_embedding returns."""
    return {
        "object": "list",
        "data": [{"object": "embedding", "embedding": vector, "index": i} for i, vector in enumerate(vectors)],
        "model": model if model is not None else llama.model_path,
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
    }


def _request(llama: Llama, text: str, truncate: bool) -> Request:
    tokens = llama.tokenize(text.encode("utf-8", "replace"))
    if truncate:
        tokens = tokens[: llama.n_batch]
    if len(tokens) > llama.n_batch:
        raise ValueError("Requested tokens (%d) exceed batch size of %d" % (len(tokens), llama.n_batch))
    if not tokens:  # an empty text, and a vocabulary that puts nothing around a text
        tokens = [token for token in (llama.token_bos(), llama.token_eos()) if token >= 0][:1]
    keep: List[Any] = []
    options = seq_options(Sampling(), keep, max_tokens=0)
    n_embd, verdict = llama.n_embd(), Verdict()
    pooling = llama.pooling_type()
    if pooling in _POOLING:
        options.pooling = _POOLING[pooling]

        def read(seq: int) -> Any:
            return lib.puna_seq_embedding(seq)[:n_embd]

    elif pooling == NONE:
        rows: List[Vector] = []

        def take(_user: Any, _position: int, hidden: Any, count: int) -> None:
            try:
                rows.append(hidden[:count])
            except BaseException as error:
                verdict.error = error

        options.on_hidden = _binding.puna_hidden_fn(take)
        keep.append(options.on_hidden)

        def read(seq: int) -> Any:
            return rows

    else:
        raise ValueError("pooling_type %d is not supported: 0 none, 1 mean, 2 first, 3 last token" % pooling)
    return Request(tokens, options, keep, read=read, verdict=verdict)


def _normalized(vector: Any) -> Any:
    """To Euclidean length 1; without pooling each token's vector."""
    if vector and isinstance(vector[0], list):
        return [_normalized(row) for row in vector]
    length = math.sqrt(math.fsum(value * value for value in vector))
    return [value / length for value in vector] if length > 0 else vector
