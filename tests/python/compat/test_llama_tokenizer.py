"""LlamaTokenizer on a model's own vocabulary, LlamaHFTokenizer on an object with transformers' interface."""

import sys
import types

import pytest

from puna.llama_tokenizer import BaseLlamaTokenizer, LlamaHFTokenizer, LlamaTokenizer


def test_a_file_s_tokenizer(model_path):
    tokenizer = LlamaTokenizer.from_ggml_file(model_path)
    text = "Hello world, größer 你好"
    tokens = tokenizer.encode(text, add_bos=False)
    assert isinstance(tokenizer, BaseLlamaTokenizer) and tokenizer.decode(tokens) == text
    assert tokenizer.tokenize(text.encode(), add_bos=False, special=False) == tokens
    assert tokenizer.detokenize(tokens) == text.encode()
    end = tokenizer.encode("<|im_end|>", add_bos=False, special=True)
    assert len(end) == 1 and len(tokenizer.encode("<|im_end|>", add_bos=False, special=False)) > 1
    assert tokenizer.detokenize(end) == b"" and tokenizer.detokenize(end, special=True) == b"<|im_end|>"


class Words:
    """A tokenizer as transformers has them: words, with "<s>" before, joined by spaces."""

    names = ["<s>", "hello", "big", "world"]

    def encode(self, text, add_special_tokens=True):
        return [0] * add_special_tokens + [self.names.index(word) for word in text.split()]

    def decode(self, tokens, skip_special_tokens=True):
        return " ".join(self.names[token] for token in tokens if token or not skip_special_tokens)


def test_transformers_tokenizer():
    tokenizer = LlamaHFTokenizer(Words())
    assert tokenizer.tokenize(b"hello world") == [0, 1, 3]
    assert tokenizer.tokenize(b"hello world", special=False) == [1, 3]
    assert tokenizer.detokenize([0, 1, 3]) == b"hello world"
    assert tokenizer.detokenize([0, 1, 3], special=True) == b"<s> hello world"
    assert tokenizer.detokenize([2, 3], prev_tokens=[1]) == b" big world"
    assert tokenizer.detokenize([1], prev_tokens=[]) == b"hello"


def test_from_pretrained_asks_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="pip install transformers"):
        LlamaHFTokenizer.from_pretrained("any")
    module = types.ModuleType("transformers")
    module.AutoTokenizer = types.SimpleNamespace(from_pretrained=lambda name: Words() if name == "words" else None)
    monkeypatch.setitem(sys.modules, "transformers", module)
    assert LlamaHFTokenizer.from_pretrained("words").tokenize(b"big") == [0, 2]


def test_a_llama_takes_another_tokenizer(model_path):
    from puna import Llama

    with Llama(model_path, vocab_only=True, tokenizer=LlamaHFTokenizer(Words()), verbose=False) as llm:
        assert llm.tokenize(b"hello world", special=True) == [0, 1, 3]
        assert llm.detokenize([1, 3]) == b"hello world"
