"""create_completion: from a prompt to a request, and from the request's events to results.

A `CompletionCall` is one call. It does not wait: `start` submits the request, `chunks` makes stream chunks of an event,
and `result` the whole response, so that Llama and AsyncLlama share it. `run` and `stream` are what Llama does with it.
"""

from __future__ import annotations

import time
import uuid
import warnings
from array import array
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Literal, Optional, Sequence, Union

from . import _binding, _state
from ._binding import as_bytes
from ._engine import Event, Outcome, Request, Token
from ._log import logger
from ._logprobs import PromptLogprobs, RowLogprobs, TokenLogprobs
from ._sampling import Sampling, Verdict, as_list, draft_callback, edit_logits_callback, seq_options
from ._text import EngineText, TokenizerText
from .llama_tokenizer import LlamaTokenizer

if TYPE_CHECKING:
    from .llama import Llama
    from .llama_types import CompletionUsage, CreateCompletionResponse, CreateCompletionStreamResponse

FinishReason = Literal["stop", "length"]
STOP: FinishReason = "stop"
LENGTH: FinishReason = "length"
_FINISH: Dict[int, FinishReason] = {
    _binding.PUNA_FINISH_END: STOP,
    _binding.PUNA_FINISH_STOP: STOP,
    _binding.PUNA_FINISH_LENGTH: LENGTH,
    _binding.PUNA_FINISH_CONTEXT: LENGTH,
}


def stop_list(stop: Union[str, Sequence[str], None]) -> List[str]:
    """Stop texts as a list; empty ones stop nothing."""
    return [text for text in ([stop] if isinstance(stop, str) else stop or []) if text]


class CompletionCall:
    """One call of create_completion."""

    def __init__(
        self,
        llama: Llama,
        prompt: Union[str, Sequence[int]],
        sampling: Sampling,
        suffix: Optional[str] = None,
        max_tokens: Optional[int] = 16,
        logprobs: Optional[int] = None,
        echo: bool = False,
        stop: Union[str, Sequence[str], None] = None,
        stream: bool = False,
        model: Optional[str] = None,
        stopping_criteria: Any = None,
        logits_processor: Any = None,
    ) -> None:
        if suffix is not None and not isinstance(suffix, str):
            raise TypeError("suffix: expected a str, got %s" % type(suffix).__name__)
        self.llama = llama
        self.prompt = prompt
        self.id = "cmpl-" + str(uuid.uuid4())
        self.created = int(time.time())
        self.model = model if model is not None else llama.model_path
        self.stream = stream
        self.n_logprobs = logprobs
        self.echo = echo and not stream
        self.infill = suffix is not None and llama._infill_tokens is not None
        self.suffix = suffix if suffix is not None and not self.infill else ""
        self.prompt_tokens = prompt_tokens(llama, prompt, suffix if self.infill else None)
        if self.prompt_tokens[:2] == [llama.token_bos()] * 2:
            warnings.warn(
                'The prompt begins with "%s" twice: the vocabulary adds it, so the prompt should not'
                % llama._model.token_get_text(llama.token_bos()),
                RuntimeWarning,
                stacklevel=4,
            )
        n_ctx = llama.n_ctx()
        if len(self.prompt_tokens) >= n_ctx:
            raise ValueError("Requested tokens (%d) exceed context window of %d" % (len(self.prompt_tokens), n_ctx))
        room = n_ctx - len(self.prompt_tokens)
        self.max_tokens = room if max_tokens is None or max_tokens <= 0 else min(max_tokens, room)
        self.tokens: List[int] = []  # what was sampled, the end token excepted
        self.logprobs: List[TokenLogprobs] = []
        self.finish_reason: Optional[FinishReason] = None
        self.n_sent = 0  # tokens whose logprobs have been in a chunk
        self.sent_text = ""
        self._make_request(sampling, stop_list(stop), stopping_criteria, logits_processor)

    def _make_request(
        self, sampling: Sampling, stops: List[str], stopping_criteria: Any, logits_processor: Any
    ) -> None:
        llama, keep, verdict = self.llama, list[Any](), Verdict()
        self.rows: Optional[RowLogprobs] = None
        self.prompt_logprobs: Optional[PromptLogprobs] = None
        if self.n_logprobs is not None:
            sampling.n_logprobs = max(self.n_logprobs, 1)
            if self.n_logprobs > _binding.PUNA_MAX_LOGPROBS:
                self.rows = RowLogprobs(self.n_logprobs)
                stopping_criteria = [self.rows.take, *as_list(stopping_criteria)]
        native = type(llama.tokenizer_) is LlamaTokenizer
        self.text: Union[EngineText, TokenizerText] = (
            EngineText() if native else TokenizerText(llama.tokenizer_, self.prompt_tokens, stops)
        )
        options = seq_options(
            sampling,
            keep,
            max_tokens=self.max_tokens,
            stops=[as_bytes(text) for text in stops] if native else [],
            edit_logits=edit_logits_callback(logits_processor, stopping_criteria, verdict),
            draft=draft_callback(llama.draft_model, verdict) if llama.draft_model is not None else None,
        )
        recompute = False
        if self.n_logprobs is not None and self.echo:
            self.prompt_logprobs = PromptLogprobs(self.prompt_tokens, self.n_logprobs, verdict)
            options.on_logits = self.prompt_logprobs.callback
            keep.append(self.prompt_logprobs.callback)
            recompute = True
        self.request = Request(
            self.prompt_tokens,
            options,
            keep,
            stream=self.stream or not native,
            recompute=recompute,
            read=_state.read_state if llama.cache is not None else None,
            verdict=verdict,
        )

    def start(self) -> None:
        """Submits the request."""
        self._look_into_cache()
        self.llama._running_engine().submit(self.request)

    def cancel(self) -> None:
        engine = self.llama._engine
        if engine is not None:
            engine.cancel(self.request)

    # ---- the cache

    def _look_into_cache(self) -> None:
        llama = self.llama
        if llama.cache is None:
            return
        try:
            state = llama.cache[self.prompt_tokens]
        except KeyError:
            return
        ids = state.input_ids[: state.n_tokens]
        cached = llama.longest_token_prefix(ids.tolist() if hasattr(ids, "tolist") else ids, self.prompt_tokens)
        if cached > llama._running_engine().best_prefix(self.prompt_tokens):
            llama.load_state(state)

    def _save_to_cache(self, outcome: Outcome) -> None:
        llama = self.llama
        if llama.cache is None or outcome.result is None:
            return
        tokens = array("i", outcome.timeline)
        computed = tokens[:-1] if len(tokens) > len(self.prompt_tokens) else tokens
        llama.cache[self.prompt_tokens + self.tokens] = _state.make_state(llama, computed, outcome.result)

    # ---- events

    def take(self, event: Event) -> bool:
        """Notes one event; True at the end of the generation."""
        if isinstance(event, Token):
            if self.finish_reason is not None:  # sampled before the engine heard of the end
                return False
            self.tokens.append(event.id)
            if self.n_logprobs is not None:
                if self.rows is not None:
                    self.logprobs.append(self.rows.of(event.id))
                else:
                    self.logprobs.append(TokenLogprobs(event.id, event.logprob, event.top[: self.n_logprobs]))
            if self.text.token(event):  # a stop text of a tokenizer that is not the engine's
                self.cancel()
                self.finish_reason = STOP
            return False
        if event.error is not None:
            raise event.error
        if self.finish_reason is None:
            self.finish_reason = _FINISH.get(event.finish, STOP)
        stopped = event.finish == 0
        self.text.end(event, self.llama._model.pieces(self.tokens) if stopped else None)
        n_timeline = len(self.prompt_tokens) + len(self.tokens) + (event.finish == _binding.PUNA_FINISH_END)
        _state.adopt(self.llama, event.timeline[: n_timeline * 4], n_timeline - len(self.prompt_tokens))
        self._save_to_cache(event)
        if logger.isEnabledFor(10):
            logger.debug(
                "%s: %d prompt tokens, %d of them known, %d sampled",
                self.id,
                len(self.prompt_tokens),
                event.n_reused,
                len(self.tokens),
            )
        return True

    def usage(self) -> CompletionUsage:
        n_prompt, n_completion = len(self.prompt_tokens), len(self.tokens)
        return {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_completion,
            "total_tokens": n_prompt + n_completion,
        }

    def result(self) -> CreateCompletionResponse:
        """The response, after the last event."""
        text = self.text.whole()
        logprobs = None
        if self.n_logprobs is not None:
            logprobs = self._whole_logprobs(text)
        if self.echo:
            text = self.prompt_text() + text
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": [
                {
                    "text": text + self.suffix,
                    "index": 0,
                    "logprobs": logprobs,
                    "finish_reason": self.finish_reason,
                }
            ],
            "usage": self.usage(),
        }

    def chunks(self, event: Event) -> Iterator[CreateCompletionStreamResponse]:
        """The stream chunks that an event makes possible."""
        last = self.take(event)
        if self.finish_reason is not None and not last:
            return
        text = self.text.new()
        logprobs = None
        if self.n_logprobs is not None and (text or last):
            logprobs = self._new_logprobs(text, last)
        if text or (logprobs is not None and logprobs["tokens"]):
            yield self._chunk(text, logprobs, None)
        if last:
            yield self._chunk("", None, self.finish_reason)

    def _chunk(self, text: str, logprobs: Any, finish_reason: Optional[FinishReason]) -> CreateCompletionStreamResponse:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": [{"text": text, "index": 0, "logprobs": logprobs, "finish_reason": finish_reason}],
        }

    # ---- log-probabilities

    def prompt_text(self) -> str:
        if isinstance(self.prompt, str):
            return self.prompt
        return self.llama.detokenize(list(self.prompt)).decode("utf-8", "ignore")

    def token_text(self, token: int) -> str:
        return self.llama.detokenize([token]).decode("utf-8", "ignore")

    def _rows(self, found: Sequence[Optional[TokenLogprobs]], tokens: Sequence[int], offset: int) -> Any:
        """Entries of a `logprobs` object, the first token's text beginning at character `offset`."""
        texts, offsets, values, tops = [], [], [], []
        for entry, token in zip(found, tokens):
            text = self.token_text(token)
            texts.append(text)
            offsets.append(offset)
            offset += len(text)
            values.append(None if entry is None else entry.logprob)
            top: Optional[Dict[str, float]] = None
            if entry is not None:
                top = {self.token_text(other): logprob for other, logprob in entry.top}
                top[text] = entry.logprob
            tops.append(top)
        return {"tokens": texts, "text_offset": offsets, "token_logprobs": values, "top_logprobs": tops}

    def _whole_logprobs(self, text: str) -> Any:
        n_kept = self._kept_tokens(text)
        found: List[Optional[TokenLogprobs]] = list(self.logprobs[:n_kept])
        tokens = self.tokens[:n_kept]
        if not self.echo:
            return self._rows(found, tokens, len(self.prompt_text()))
        assert self.prompt_logprobs is not None
        first = 1 if self.prompt_tokens[0] == self.llama.token_bos() else 0
        prompt = self.prompt_logprobs.entries()[first:]
        if prompt:
            prompt[0] = None
        return self._rows([*prompt, *found], self.prompt_tokens[first:] + tokens, 0)

    def _new_logprobs(self, text: str, last: bool) -> Any:
        """Those of the tokens since the last chunk; at the end only of those whose text is part of the answer."""
        offset = len(self.prompt_text()) + len(self.sent_text)
        self.sent_text += text
        end = self._kept_tokens(self.sent_text) if last else len(self.tokens)
        begin, self.n_sent = self.n_sent, max(self.n_sent, end)
        return self._rows(self.logprobs[begin:end], self.tokens[begin:end], offset)

    def _kept_tokens(self, text: str) -> int:
        """How many tokens begin before the end of the text: a stop text's own tokens do not count."""
        if self.finish_reason != STOP:
            return len(self.tokens)
        n_bytes, limit = 0, len(as_bytes(text))
        for index, token in enumerate(self.tokens):
            if n_bytes >= limit:
                return index
            n_bytes += len(self.llama.detokenize([token]))
        return len(self.tokens)


# arguments of create_completion and create_chat_completion, and what Sampling calls them
SAMPLING = {
    "temperature": "temp", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "typical_p": "typical_p",
    "frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty",
    "repeat_penalty": "repeat_penalty", "mirostat_mode": "mirostat_mode", "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta", "logit_bias": "logit_bias",
}  # fmt: skip


def sampling_of(llama: Llama, arguments: Dict[str, Any], grammar: Any) -> Sampling:
    return llama._sampling(
        arguments["seed"], grammar=grammar, **{ours: arguments[name] for name, ours in SAMPLING.items()}
    )


def prepare(llama: Llama, arguments: Dict[str, Any]) -> CompletionCall:
    """The call of create_completion with these arguments, by name."""
    names = (
        "prompt", "suffix", "max_tokens", "logprobs", "echo", "stop", "stream", "model", "stopping_criteria",
        "logits_processor",
    )  # fmt: skip
    sampling = sampling_of(llama, arguments, arguments["grammar"])
    return CompletionCall(llama, sampling=sampling, **{name: arguments[name] for name in names})


def prompt_tokens(llama: Llama, prompt: Union[str, Sequence[int]], suffix: Optional[str]) -> List[int]:
    """The tokens of a prompt. suffix: the text after a gap that is to be filled; None: there is no gap."""
    if isinstance(prompt, (str, bytes)):
        text = as_bytes(prompt)
        tokens = llama.tokenize(text, add_bos=False, special=suffix is None) if text else []
        begin, end = _surrounding(llama)
    else:
        tokens = [int(token) for token in prompt]
        begin, end = _surrounding(llama) if suffix is not None else ([], [])
    if suffix is not None:
        assert llama._infill_tokens is not None
        prefix_token, suffix_token, middle_token = llama._infill_tokens
        before, after = [prefix_token, *tokens], [suffix_token, *_suffix_tokens(llama, suffix)]
        tokens = [*after, *before, middle_token] if llama.spm_infill else [*before, *after, middle_token]
    tokens = begin + tokens + end
    if tokens:
        return tokens
    for token in (llama.token_bos(), llama.token_eos()):
        if token >= 0:
            return [token]
    raise ValueError("the prompt is empty, and the vocabulary has no token to begin with")


def _surrounding(llama: Llama) -> tuple[List[int], List[int]]:
    """What the vocabulary puts before and after a text."""
    model = llama._model
    begin = model.token_cls() if model.token_cls() >= 0 else model.token_bos()
    end = model.token_sep() if model.token_sep() >= 0 else model.token_eos()
    return (
        [begin] if model.add_bos_token() and begin >= 0 else [],
        [end] if (model.add_eos_token() or model.token_sep() >= 0) and end >= 0 else [],
    )


def _suffix_tokens(llama: Llama, suffix: str) -> List[int]:
    """The tokens of a text that goes on, without the space that some vocabularies put before a text."""
    mark = llama.tokenize("☺".encode("utf-8"), add_bos=False)
    tokens = llama.tokenize(("☺" + suffix).encode("utf-8", "replace"), add_bos=False)
    if tokens[: len(mark)] == mark:
        return tokens[len(mark) :]
    return llama.tokenize(as_bytes(suffix), add_bos=False)


# ---- what Llama does with a CompletionCall


def run(call: CompletionCall) -> CreateCompletionResponse:
    try:
        call.start()
        for event in call.request.events():
            call.take(event)
    except BaseException:
        call.cancel()
        raise
    return call.result()


def stream(call: CompletionCall) -> Iterator[CreateCompletionStreamResponse]:
    try:
        call.start()
        for event in call.request.events():
            yield from call.chunks(event)
    finally:
        call.cancel()
