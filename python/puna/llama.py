"""`Llama`: a GGUF model with the interface of llama-cpp-python's class of that name.

The class holds what belongs together; the work is in _completion.py (text), _chat.py (conversations), _embedding.py,
_state.py (eval, sample, generate, saved states) and _engine.py (the thread that computes, shared by all callers).
"""

from __future__ import annotations

import importlib
import os
from collections import deque
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Dict,
    Generator,
    Iterator,
    List,
    Literal,
    Mapping,
    Optional,
    Sequence,
    Union,
)

from . import _chat, _completion, _embedding, _log, _pretrained, _setup, _state
from ._binding import PunaError, lib
from ._engine import Engine
from ._logits import (
    LlamaState,
    LogitsProcessor,
    LogitsProcessorList,
    MinTokensLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
)
from ._model import count_text
from ._sampling import DEFAULT_SEED, Sampling
from ._shims import Context, Namespace
from .llama_cache import BaseLlamaCache, LlamaCache, LlamaDiskCache, LlamaRAMCache
from .llama_grammar import LlamaGrammar
from .llama_speculative import LlamaDraftModel
from .llama_tokenizer import BaseLlamaTokenizer, LlamaTokenizer
from .llama_types import *

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "Llama",
    "LlamaState",
    "LogitsProcessor",
    "LogitsProcessorList",
    "MinTokensLogitsProcessor",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "LlamaGrammar",
    "BaseLlamaCache",
    "LlamaCache",
    "LlamaRAMCache",
    "LlamaDiskCache",
    "BaseLlamaTokenizer",
    "LlamaTokenizer",
    "LlamaDraftModel",
]

Logprobs = Optional[int]
Stop = Optional[Union[str, List[str]]]


class Llama:
    """A model, ready to answer. Any number of threads may use one at the same time: their requests share batches, and
    each gets what it would get alone.

        llm = Llama("model.gguf")
        llm("The capital of France is", max_tokens=8)["choices"][0]["text"]
        llm.create_chat_completion([{"role": "user", "content": "Hello"}])["choices"][0]["message"]["content"]

    Use it as a context manager, or call `close`, to free the memory at once; the last reference does it too. After a
    fork the child process must make its own.

    Args:
        model_path: A GGUF file (of a split model its first part).
        n_gpu_layers: The last layers of the model that NVIDIA cards compute, -1 for all, "auto" for as many as fit. What
            cannot be is computed on the CPU, and said once.
        split_mode, main_gpu, tensor_split: Several cards: 0 takes main_gpu alone; else main_gpu alone where all fits
            there, or all cards by their free memory, or by the shares of tensor_split.
        vocab_only: Open the vocabulary only, to tokenize.
        use_mmap, use_mlock: Map the file (default) or read it; keep it in RAM.
        kv_overrides: Metadata keys that count as if the file said so.
        seed: Of requests that give none. The default draws one from the system for each request.
        n_ctx: Tokens of prompt and answer together. Default: what the model was trained for, at most 4096. 0: what it
            was trained for.
        n_batch: Tokens computed at once.
        n_threads: CPU threads, default all that this process may use; n_threads_batch is not needed and ignored.
        rope_*, yarn_*: As in llama.cpp; the defaults are the file's.
        logits_all: Keep the logits of all tokens in `scores`. Not needed for logprobs.
        embedding: Allow embed and create_embedding.
        pooling_type: -1 the model's own, 0 none (a vector per token), 1 mean, 2 first, 3 last token.
        last_n_tokens_size: Generated tokens that repeat_penalty and its like look back on.
        chat_format: A named format in place of the model's own template.
        chat_handler: A callable that answers create_chat_completion.
        draft_model: Guesses tokens ahead, such as LlamaPromptLookupDecoding(). Answers stay the same bit for bit.
        tokenizer: Used in place of the model's own.
        type_k, type_v: ggml type of the KV cache: 1 F16 (default), 0 F32, 8 Q8_0.
        spm_infill: With `suffix`: the order suffix, prefix, middle.
        verbose: Show warnings on stderr; logging.getLogger("puna").setLevel(...) decides how much.
        n_parallel: Requests computed together, default up to 8 as memory allows; more wait. Only what is used of
            their memory is taken.
        Other keyword arguments are accepted and have no effect.

    Raises:
        ValueError: The file is missing, is no model that puna can run, or does not fit the memory.
    """

    def __init__(
        self,
        model_path: str,
        *,
        n_gpu_layers: Union[int, str] = 0,
        split_mode: int = 1,
        main_gpu: int = 0,
        tensor_split: Optional[List[float]] = None,
        vocab_only: bool = False,
        use_mmap: bool = True,
        use_mlock: bool = False,
        kv_overrides: Optional[Dict[str, Union[bool, int, float, str]]] = None,
        seed: int = DEFAULT_SEED,
        n_ctx: Optional[int] = None,
        n_batch: int = 512,
        n_ubatch: int = 512,
        n_threads: Optional[int] = None,
        n_threads_batch: Optional[int] = None,
        rope_scaling_type: Optional[int] = -1,
        pooling_type: int = -1,
        attention_type: int = -1,
        rope_freq_base: float = 0.0,
        rope_freq_scale: float = 0.0,
        yarn_ext_factor: float = -1.0,
        yarn_attn_factor: float = 1.0,
        yarn_beta_fast: float = 32.0,
        yarn_beta_slow: float = 1.0,
        yarn_orig_ctx: int = 0,
        logits_all: bool = False,
        embedding: bool = False,
        offload_kqv: bool = True,
        flash_attn: bool = False,
        op_offload: Optional[bool] = None,
        swa_full: Optional[bool] = None,
        no_perf: bool = False,
        last_n_tokens_size: int = 64,
        lora_base: Optional[str] = None,
        lora_scale: float = 1.0,
        lora_path: Optional[str] = None,
        numa: Union[bool, int] = False,
        chat_format: Optional[str] = None,
        chat_handler: Optional[Callable[..., Any]] = None,
        draft_model: Optional[LlamaDraftModel] = None,
        tokenizer: Optional[BaseLlamaTokenizer] = None,
        type_k: Optional[int] = None,
        type_v: Optional[int] = None,
        spm_infill: bool = False,
        verbose: bool = True,
        n_parallel: Optional[int] = None,
        **kwargs: Any,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "kwargs", "__class__")}
        self._arguments: Dict[str, Any] = arguments
        self._engine: Optional[Engine] = None
        self.verbose = verbose
        _log.set_verbose(verbose)
        self.model_path = os.fspath(model_path)
        self._seed = seed
        self._logits_all = logits_all or draft_model is not None
        self.last_n_tokens_size = last_n_tokens_size
        self.cache: Optional[BaseLlamaCache] = None
        self.lora_base, self.lora_scale, self.lora_path = lora_base, lora_scale, lora_path
        self.numa, self.tensor_split, self.kv_overrides, self.spm_infill = numa, tensor_split, kv_overrides, spm_infill
        self.draft_model = draft_model
        self._max_draft = _draft_length(draft_model)
        if lora_path is not None:
            raise RuntimeError(
                "Failed to initialize LoRA adapter from lora path: %s (adapters are not supported yet)" % lora_path
            )
        self._model = _setup.open_model(
            self.model_path,
            vocab_only,
            use_mmap,
            use_mlock,
            kv_overrides,
            {
                "scaling_type": -1 if rope_scaling_type is None else rope_scaling_type,
                "freq_base": rope_freq_base,
                "freq_scale": rope_freq_scale,
                "ext_factor": yarn_ext_factor,
                "attn_factor": yarn_attn_factor,
                "beta_fast": yarn_beta_fast,
                "beta_slow": yarn_beta_slow,
                "orig_ctx": yarn_orig_ctx,
            },
        )
        self.metadata: Dict[str, str] = self._model.metadata()
        self.tokenizer_: BaseLlamaTokenizer = tokenizer or LlamaTokenizer(self)
        if not vocab_only:
            kv = _setup.kv_type(type_k, type_v)
            self._engine = _setup.open_engine(
                self._model, n_ctx, n_batch, n_threads, n_parallel, kv, self._max_draft, n_gpu_layers, split_mode,
                main_gpu, tensor_split,
            )  # fmt: skip
        plan = self._engine.plan if self._engine is not None else None
        self._n_ctx: int = plan.n_ctx if plan is not None else n_ctx or 512
        self._n_vocab = self._model.n_vocab()
        self.n_batch = min(self._n_ctx, n_batch)
        self.n_threads: int = plan.n_threads if plan is not None else n_threads or 1
        self.n_threads_batch = n_threads_batch or self.n_threads
        self._session = _state.Session(
            self._n_ctx, self._n_vocab, self._n_ctx if self._logits_all else self.n_batch, self._logits_all
        )
        self._pooling = _embedding.pooling_type(self._model, pooling_type)
        self._ctx = Context(self)
        self._batch = Namespace()
        self.context_params = Namespace(
            n_ctx=self._n_ctx, n_batch=self.n_batch, n_ubatch=min(self.n_batch, n_ubatch),
            n_seq_max=plan.n_seq if plan is not None else 1, n_threads=self.n_threads,
            n_threads_batch=self.n_threads_batch, embeddings=embedding, pooling_type=pooling_type,
            attention_type=attention_type, rope_scaling_type=rope_scaling_type, rope_freq_base=rope_freq_base,
            rope_freq_scale=rope_freq_scale, yarn_ext_factor=yarn_ext_factor, yarn_attn_factor=yarn_attn_factor,
            yarn_beta_fast=yarn_beta_fast, yarn_beta_slow=yarn_beta_slow, yarn_orig_ctx=yarn_orig_ctx,
            offload_kqv=offload_kqv, flash_attn=flash_attn, op_offload=op_offload, swa_full=swa_full, no_perf=no_perf,
            type_k=type_k, type_v=type_v,
        )  # fmt: skip
        self.model_params = Namespace(
            n_gpu_layers=0x7FFFFFFF if n_gpu_layers == -1 else n_gpu_layers, split_mode=split_mode, main_gpu=main_gpu,
            vocab_only=vocab_only, use_mmap=use_mmap, use_mlock=use_mlock,
        )  # fmt: skip
        self._is_recurrent = self._is_hybrid = False
        infill = (self._model.token_prefix(), self._model.token_suffix(), self._model.token_middle())
        self._infill_tokens = infill if min(infill) >= 0 else None
        self._token_nl, self._token_eos = self.token_nl(), self.token_eos()
        self.chat_handler = chat_handler
        self._chat_handlers: Dict[str, Callable[..., Any]] = {}
        self._chat = _chat.Chats(self)
        self.chat_format = chat_format or (None if chat_handler is not None else self._chat.default_format)
        if n_gpu_layers != 0 and plan is not None and plan.n_gpu_layers == 0:
            _setup.tell_once(plan.where.decode())

    # ---- what the engine needs

    def _running_engine(self) -> Engine:
        if self._engine is None:
            self._model.handle  # raises when the object is closed
            raise PunaError("%s was opened with vocab_only=True: it can only tokenize" % self.model_path)
        self._engine.check_usable()
        return self._engine

    def _sampling(self, seed: Optional[int] = None, **values: Any) -> Sampling:
        if seed is None:
            seed = _state.next_seed(self)
        return Sampling(seed=seed, last_n_tokens_size=self.last_n_tokens_size, **values)

    # ---- facts

    @property
    def ctx(self) -> Optional[int]:
        return self._ctx.ctx

    @property
    def model(self) -> Optional[int]:
        return self._model.model

    def n_ctx(self) -> int:
        """Tokens of prompt and answer together."""
        return self._n_ctx

    def n_embd(self) -> int:
        """Numbers in an embedding."""
        return self._model.n_embd()

    def n_vocab(self) -> int:
        """Tokens of the vocabulary."""
        return self._model.n_vocab()

    def tokenizer(self) -> LlamaTokenizer:
        return LlamaTokenizer(self)

    def token_eos(self) -> int:
        """The token that ends a text, or -1."""
        return self._model.token_eos()

    def token_bos(self) -> int:
        """The token that begins a text, or -1."""
        return self._model.token_bos()

    def token_nl(self) -> int:
        """The token of a line end, or -1."""
        return self._model.token_nl()

    def pooling_type(self) -> int:
        """How embed makes one vector of many: 0 not at all, 1 mean, 2 first, 3 last token."""
        return self._pooling

    def device_report(self) -> Dict[str, Any]:
        """What is computed where. Its str() is a text for people."""
        info, engine = self._model.info, self._engine
        asked = self.model_params.n_gpu_layers
        plan = engine.plan if engine is not None else None
        return _setup.Device(
            backend="cuda" if plan is not None and plan.n_gpu_layers else "cpu",
            isa=lib.puna_cpu_isa().decode(),
            threads=self.n_threads,
            layers=info.n_layer,
            gpu_layers_asked=info.n_layer + 1 if asked in (0x7FFFFFFF, "auto") else asked,
            gpu_layers=plan.n_gpu_layers if plan is not None else 0,
            where=plan.where.decode() if plan is not None else None,
            gpu_bytes=plan.gpu_bytes if plan is not None else 0,
            devices=_setup.devices(plan) if plan is not None else [],
            weights_bytes=info.file_bytes,
            memory_bytes=engine.plan.total_bytes if engine is not None else 0,
            kv_bytes=engine.plan.kv_bytes if engine is not None else 0,
            n_ctx=self._n_ctx,
            n_parallel=engine.plan.n_seq if engine is not None else 0,
        )

    def __repr__(self) -> str:
        name = os.path.basename(self.model_path)
        if self._model.model is None:
            return "<Llama %s: closed>" % name
        info, engine = self._model.info, self._engine
        if engine is None:
            return "<Llama %s: vocabulary of %d tokens only>" % (name, info.n_vocab)
        return (
            "<Llama %s: %s, %s parameters, %s, context %d of %d trained, %d in parallel, chat %s, %s %s, %d threads>"
            % (
                name,
                self._model.architecture,
                count_text(info.n_params),
                self._model.quantization,
                self._n_ctx,
                info.n_ctx_train,
                engine.plan.n_seq,
                self.chat_format if self.chat_handler is None else "handler",
                "cpu",
                lib.puna_cpu_isa().decode(),
                self.n_threads,
            )
        )

    # ---- text and tokens

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> List[int]:
        """The ids of a text (UTF-8). add_bos: with the tokens that the vocabulary puts around a text; special: the text
        of special tokens becomes those tokens. RuntimeError when it fails."""
        return self.tokenizer_.tokenize(text, add_bos, special)

    def detokenize(self, tokens: List[int], prev_tokens: Optional[List[int]] = None, special: bool = False) -> bytes:
        """The text of ids, as it reads after those of prev_tokens; a token may be part of a character."""
        return self.tokenizer_.detokenize(tokens, prev_tokens=prev_tokens, special=special)

    def set_cache(self, cache: Optional[BaseLlamaCache]) -> None:
        """Keeps the states of completions in a cache, for later ones that begin alike, also in other processes."""
        self.cache = cache

    def set_seed(self, seed: int) -> None:
        """The seed of requests that give none: each gets the next of the numbers that follow from it."""
        self._seed = seed

    # ---- the session: one timeline that the following methods work on

    @property
    def n_tokens(self) -> int:
        return self._session.n_tokens

    @n_tokens.setter
    def n_tokens(self, value: int) -> None:
        if not 0 <= value <= self._n_ctx:
            raise ValueError("n_tokens: %d is outside 0..%d" % (value, self._n_ctx))
        self._session.n_tokens = value

    @property
    def input_ids(self) -> npt.NDArray[np.intc]:
        """Ids, shape [n_ctx], of which n_tokens count. Needs numpy."""
        return self._session.input_ids()

    @input_ids.setter
    def input_ids(self, values: Any) -> None:
        self._session.set_input_ids(values)

    @property
    def scores(self) -> npt.NDArray[np.single]:
        """Logits, shape [n_ctx, n_vocab] with logits_all: those after each token; else [n_batch, n_vocab], where the
        row of the last token is filled. Needs numpy."""
        return _state.fill_scores(self)

    @property
    def _input_ids(self) -> npt.NDArray[np.intc]:
        return self.input_ids[: self.n_tokens]

    @property
    def _scores(self) -> npt.NDArray[np.single]:
        return self.scores[: self.n_tokens, :]

    @property
    def eval_tokens(self) -> Deque[int]:
        return deque(self._session.timeline().tolist(), maxlen=self._n_ctx)

    @property
    def eval_logits(self) -> Deque[List[float]]:
        return deque(self._scores.tolist(), maxlen=self._n_ctx if self._logits_all else 1)

    @property
    def _requires_eval(self) -> bool:
        return self._session.requires_eval

    def reset(self) -> None:
        """Forgets the session."""
        self._session.n_tokens = 0
        self._session.requires_eval = True

    def eval(self, tokens: Sequence[int]) -> None:
        """Appends tokens to the session and computes them."""
        _state.evaluate(self, tokens)

    def sample(
        self,
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_eta: float = 0.1,
        mirostat_tau: float = 5.0,
        penalize_nl: bool = True,
        logits_processor: Optional[LogitsProcessorList] = None,
        grammar: Optional[LlamaGrammar] = None,
        idx: Optional[int] = None,
    ) -> int:
        """Draws what may follow the session, or its first idx + 1 tokens, and does not append it. tfs_z and penalize_nl
        have no effect."""
        sampling = self._sampling(
            self._seed, top_k=top_k, top_p=top_p, min_p=min_p, typical_p=typical_p, temp=temp,
            repeat_penalty=repeat_penalty, frequency_penalty=frequency_penalty, presence_penalty=presence_penalty,
            mirostat_mode=mirostat_mode, mirostat_tau=mirostat_tau, mirostat_eta=mirostat_eta, grammar=grammar,
        )  # fmt: skip
        return _state.sample(self, sampling, logits_processor, idx)

    def generate(
        self,
        tokens: Sequence[int],
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        reset: bool = True,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        penalize_nl: bool = True,
        logits_processor: Optional[LogitsProcessorList] = None,
        stopping_criteria: Optional[StoppingCriteriaList] = None,
        grammar: Optional[LlamaGrammar] = None,
    ) -> Generator[int, Optional[Sequence[int]], None]:
        """Yields token after token, past end tokens too, until it is closed. What is sent to it comes after the token
        that it yielded last. reset: tokens are the whole timeline (what of it is known is not computed again), else
        they go on where the session ends. tfs_z and penalize_nl have no effect."""
        sampling = self._sampling(
            self._seed, top_k=top_k, top_p=top_p, min_p=min_p, typical_p=typical_p, temp=temp,
            repeat_penalty=repeat_penalty, frequency_penalty=frequency_penalty, presence_penalty=presence_penalty,
            mirostat_mode=mirostat_mode, mirostat_tau=mirostat_tau, mirostat_eta=mirostat_eta, grammar=grammar,
        )  # fmt: skip
        return _state.generate(self, tokens, sampling, reset, logits_processor, stopping_criteria)

    def save_state(self) -> LlamaState:
        """The session as an object that can be pickled; load_state of another Llama of the same model takes it."""
        return _state.save(self)

    def load_state(self, state: LlamaState) -> None:
        """Replaces the session. RuntimeError when the state is damaged or another model's."""
        _state.load(self, state)

    # ---- embeddings

    def create_embedding(self, input: Union[str, List[str]], model: Optional[str] = None) -> CreateEmbeddingResponse:
        """The embeddings of one or more texts, in the form of OpenAI's API. Needs embedding=True."""
        return _embedding.create_embedding(self, input, model)

    def embed(
        self, input: Union[str, List[str]], normalize: bool = False, truncate: bool = True, return_count: bool = False
    ) -> Any:
        """The embedding of a text, or a list of them for a list; without pooling each is a list of vectors, one per
        token. normalize: to length 1. truncate: use the first n_batch tokens of a longer text, else that is a
        ValueError. return_count: a pair with the number of tokens. Needs embedding=True."""
        return _embedding.embed(self, input, normalize, truncate, return_count)

    # ---- completions

    def create_completion(
        self,
        prompt: Union[str, List[int]],
        suffix: Optional[str] = None,
        max_tokens: Optional[int] = 16,
        temperature: float = 0.8,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        logprobs: Logprobs = None,
        echo: bool = False,
        stop: Stop = [],
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        top_k: int = 40,
        stream: bool = False,
        seed: Optional[int] = None,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: Optional[str] = None,
        stopping_criteria: Optional[StoppingCriteriaList] = None,
        logits_processor: Optional[LogitsProcessorList] = None,
        grammar: Optional[LlamaGrammar] = None,
        logit_bias: Optional[Mapping[Any, float]] = None,
    ) -> Union[CreateCompletionResponse, Iterator[CreateCompletionStreamResponse]]:
        """Continues a text, or a list of tokens.

        Args:
            prompt: The text. The vocabulary's tokens around a text are added; a list of tokens is taken as it is.
            suffix: What comes after the gap to fill, for models trained for that; others get it appended.
            max_tokens: Tokens to generate at most; None or 0 and below: until the model ends or the context is full.
            temperature: 0 always takes the most likely token; below 0 draws from the model's own distribution.
            top_k, top_p, min_p, typical_p: What may be drawn, cut in the order top_k, typical_p, top_p, min_p.
            logprobs: Report this many of the most likely tokens for each token.
            echo: Let the result begin with the prompt.
            stop: Texts that end the answer and are not part of it.
            frequency_penalty, presence_penalty, repeat_penalty: Against repetition of generated tokens.
            stream: Return an iterator of parts; closing it stops the work within a token.
            seed: The same seed gives the same text, whatever else runs. Default: the object's next one.
            tfs_z: Without effect.
            mirostat_mode, mirostat_tau, mirostat_eta: 1 or 2: mirostat in place of the cuts above.
            model: The name in the result, default model_path.
            stopping_criteria: Callables (ids, logits) -> bool, before each token: whether to stop.
            logits_processor: Callables (ids, logits) -> logits, before each draw.
            grammar: What the answer must be.
            logit_bias: token: number to add to its logit.

        Raises:
            ValueError: The prompt does not fit the context, or an argument is not what it must be.
            RuntimeError: The model could not be evaluated, or is closed.
            Whatever a callback raised.
        """
        arguments = {name: value for name, value in locals().items() if name != "self"}
        call = _completion.prepare(self, arguments)
        return _completion.stream(call) if stream else _completion.run(call)

    def __call__(
        self,
        prompt: str,
        suffix: Optional[str] = None,
        max_tokens: Optional[int] = 16,
        temperature: float = 0.8,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        logprobs: Logprobs = None,
        echo: bool = False,
        stop: Stop = [],
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        top_k: int = 40,
        stream: bool = False,
        seed: Optional[int] = None,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: Optional[str] = None,
        stopping_criteria: Optional[StoppingCriteriaList] = None,
        logits_processor: Optional[LogitsProcessorList] = None,
        grammar: Optional[LlamaGrammar] = None,
        logit_bias: Optional[Mapping[Any, float]] = None,
    ) -> Union[CreateCompletionResponse, Iterator[CreateCompletionStreamResponse]]:
        """create_completion."""
        return self.create_completion(
            prompt, suffix=suffix, max_tokens=max_tokens, temperature=temperature, top_p=top_p, min_p=min_p,
            typical_p=typical_p, logprobs=logprobs, echo=echo, stop=stop, frequency_penalty=frequency_penalty,
            presence_penalty=presence_penalty, repeat_penalty=repeat_penalty, top_k=top_k, stream=stream, seed=seed,
            tfs_z=tfs_z, mirostat_mode=mirostat_mode, mirostat_tau=mirostat_tau, mirostat_eta=mirostat_eta,
            model=model, stopping_criteria=stopping_criteria, logits_processor=logits_processor, grammar=grammar,
            logit_bias=logit_bias,
        )  # fmt: skip

    # ---- chat

    def create_chat_completion(
        self,
        messages: List[ChatCompletionRequestMessage],
        functions: Optional[List[ChatCompletionFunction]] = None,
        function_call: Optional[ChatCompletionRequestFunctionCall] = None,
        tools: Optional[List[ChatCompletionTool]] = None,
        tool_choice: Optional[ChatCompletionToolChoiceOption] = None,
        temperature: float = 0.2,
        top_p: float = 0.95,
        top_k: int = 40,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        stream: bool = False,
        stop: Stop = [],
        seed: Optional[int] = None,
        response_format: Optional[ChatCompletionRequestResponseFormat] = None,
        max_tokens: Optional[int] = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: Optional[str] = None,
        logits_processor: Optional[LogitsProcessorList] = None,
        grammar: Optional[LlamaGrammar] = None,
        logit_bias: Optional[Mapping[Any, float]] = None,
        logprobs: Optional[bool] = None,
        top_logprobs: Optional[int] = None,
    ) -> Union[CreateChatCompletionResponse, Iterator[CreateChatCompletionStreamResponse]]:
        """Answers a conversation.

        Who answers: chat_handler, else a handler registered for chat_format, else the model's own template or the
        format that chat_format names. In these a message is never more than text: it cannot contain special tokens.

        Args:
            messages: [{"role": "system" | "user" | "assistant" | "tool", "content": ...}, ...]
            tools: What the model may call. The calls in its answer come as tool_calls.
            tool_choice: "auto" (default), "none", "required", or {"type": "function", "function": {"name": ...}}.
            functions, function_call: The form that tools had before.
            response_format: {"type": "json_object"}, with "schema" or without, {"type": "json_schema", "json_schema":
                {"schema": ...}} or {"type": "text"}. ValueError for a schema that cannot be enforced.
            max_tokens: Default: until the model ends or the context is full.
            logprobs, top_logprobs: Report log-probabilities, and this many of the most likely tokens.
            The others are those of create_completion.
        """
        arguments = {name: value for name, value in locals().items() if name != "self"}
        answer: Union[CreateChatCompletionResponse, Iterator[CreateChatCompletionStreamResponse]]
        answer = self._chat.complete(arguments)
        return answer

    def create_chat_completion_openai_v1(self, *args: Any, **kwargs: Any) -> Any:
        """create_chat_completion with results of the classes of the package openai."""
        try:
            openai: Any = importlib.import_module("openai.types.chat")
        except ImportError:
            raise ImportError("create_chat_completion_openai_v1 needs the package openai: pip install openai") from None
        if kwargs.get("stream", False):
            chunks: Any = self.create_chat_completion(*args, **kwargs)
            return (openai.ChatCompletionChunk(**chunk) for chunk in chunks)
        response: Any = self.create_chat_completion(*args, **kwargs)
        return openai.ChatCompletion(**response)

    # ---- life

    def close(self) -> None:
        """Frees the memory. Requests under way end with an error; later ones raise."""
        engine = self.__dict__.get("_engine")
        if engine is not None:
            engine.close()
        model = self.__dict__.get("_model")
        if model is not None:
            model.close()

    def __enter__(self) -> Llama:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __getstate__(self) -> Dict[str, Any]:
        arguments = dict(self._arguments)
        arguments.update(chat_format=self.chat_format, chat_handler=self.chat_handler, seed=self._seed)
        if self.chat_format == self._chat.default_format:
            arguments["chat_format"] = None
        return arguments

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # ---- helpers that llama-cpp-python's users call

    @staticmethod
    def logits_to_logprobs(logits: Any, axis: int = -1) -> npt.NDArray[np.single]:
        """The logarithms of softmax along an axis. Needs numpy."""
        import numpy as np

        values = np.asarray(logits, dtype=np.single)
        top = np.max(values, axis=axis, keepdims=True)
        shifted = values - np.where(np.isfinite(top), top, np.single(0))
        with np.errstate(divide="ignore"):
            result: npt.NDArray[np.single] = shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
        return result

    @staticmethod
    def longest_token_prefix(a: Sequence[int], b: Sequence[int]) -> int:
        """How many tokens two lists have in common from the beginning."""
        count = 0
        for left, right in zip(a, b):
            if left != right:
                break
            count += 1
        return count

    @classmethod
    def from_pretrained(
        cls,
        repo_id: str,
        filename: Optional[str],
        additional_files: Optional[List[str]] = None,
        local_dir: Optional[Union[str, "os.PathLike[str]"]] = None,
        local_dir_use_symlinks: Union[bool, Literal["auto"]] = "auto",
        cache_dir: Optional[Union[str, "os.PathLike[str]"]] = None,
        **kwargs: Any,
    ) -> Llama:
        """Gets a model from the Hugging Face hub, where it is not in the cache, and opens it.

        filename: The file's name in the repository, or a pattern that exactly one file matches (ValueError otherwise;
        of a split model the first part). additional_files: Further names or patterns to get. kwargs: For Llama.
        """
        path = _pretrained.download(repo_id, filename, additional_files, local_dir, local_dir_use_symlinks, cache_dir)
        return cls(model_path=path, **kwargs)


def _draft_length(draft_model: Optional[LlamaDraftModel]) -> int:
    """Tokens that a draft model may guess at once."""
    if draft_model is None:
        return 0
    return max(1, min(int(getattr(draft_model, "num_pred_tokens", 10)), 64))
