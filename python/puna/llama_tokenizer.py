"""Text to tokens and back, as objects that ``Llama``'s ``tokenizer`` takes.

By default ``Llama`` uses the vocabulary of the model file. ``LlamaHFTokenizer`` puts the tokenizer of a Hugging Face
repository in its place, for files whose own vocabulary is incomplete; it needs the package ``transformers``.
"""

from __future__ import annotations

import abc
import importlib
from typing import TYPE_CHECKING, Any, List, Optional

if TYPE_CHECKING:
    from .llama import Llama


class BaseLlamaTokenizer(abc.ABC):
    """What ``Llama``'s ``tokenizer`` must do."""

    @abc.abstractmethod
    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> List[int]:
        """The ids of a text (UTF-8). add_bos: begin with BOS; special: the text of special tokens becomes those."""
        raise NotImplementedError

    @abc.abstractmethod
    def detokenize(self, tokens: List[int], prev_tokens: Optional[List[int]] = None, special: bool = False) -> bytes:
        """The text of ids, as it reads after those of prev_tokens. special: write the text of special tokens too."""
        raise NotImplementedError


class LlamaTokenizer(BaseLlamaTokenizer):
    """The tokenizer of a model file."""

    def __init__(self, llama: Llama) -> None:
        self._model: Any = llama._model

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> List[int]:
        tokens: List[int] = self._model.tokenize(text, add_bos=add_bos, special=special)
        return tokens

    def detokenize(self, tokens: List[int], prev_tokens: Optional[List[int]] = None, special: bool = False) -> bytes:
        text: bytes = self._model.detokenize(tokens, special=special)
        return text

    def encode(self, text: str, add_bos: bool = True, special: bool = True) -> List[int]:
        return self.tokenize(text.encode("utf-8", "ignore"), add_bos=add_bos, special=special)

    def decode(self, tokens: List[int]) -> str:
        return self.detokenize(tokens).decode("utf-8", "ignore")

    @classmethod
    def from_ggml_file(cls, path: str) -> LlamaTokenizer:
        """The tokenizer of a GGUF file; a file with a vocabulary only will do."""
        from .llama import Llama

        return cls(Llama(model_path=path, vocab_only=True, verbose=False))


class LlamaHFTokenizer(BaseLlamaTokenizer):
    """A tokenizer of the package ``transformers``."""

    def __init__(self, hf_tokenizer: Any) -> None:
        self.hf_tokenizer = hf_tokenizer

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = True) -> List[int]:
        tokens: List[int] = self.hf_tokenizer.encode(text.decode("utf-8", "ignore"), add_special_tokens=special)
        return tokens

    def detokenize(self, tokens: List[int], prev_tokens: Optional[List[int]] = None, special: bool = False) -> bytes:
        before = self._decode(prev_tokens, special) if prev_tokens else b""
        return self._decode([*(prev_tokens or []), *tokens], special)[len(before) :]

    def _decode(self, tokens: List[int], special: bool) -> bytes:
        text: str = self.hf_tokenizer.decode(tokens, skip_special_tokens=not special)
        return text.encode("utf-8", "ignore")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str) -> LlamaHFTokenizer:
        """The tokenizer of a Hugging Face repository or of a folder. Needs the package ``transformers``."""
        try:
            transformers: Any = importlib.import_module("transformers")
        except ImportError:
            raise ImportError("LlamaHFTokenizer needs the package transformers: pip install transformers") from None
        return cls(transformers.AutoTokenizer.from_pretrained(pretrained_model_name_or_path))
