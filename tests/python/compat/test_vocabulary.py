"""llama.cpp's functions on models and vocabularies, beside what the package gguf reads in the same file."""

import ctypes

import gguf
import pytest

import puna
import puna.llama_cpp as llama_cpp


@pytest.fixture(scope="module")
def llm(model_path):
    with puna.Llama(model_path, vocab_only=True, verbose=False) as llm:
        yield llm


@pytest.fixture(scope="module")
def fields(model_path):
    return gguf.GGUFReader(model_path).fields


def byte_level():
    """The character that stands for each byte in GPT-2's vocabulary, backwards."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in plain}
    table.update({chr(256 + i): byte for i, byte in enumerate(b for b in range(256) if b not in plain)})
    return table


def piece(vocab, token, lstrip=0, special=False):
    buffer = (ctypes.c_char * 8)()
    n = llama_cpp.llama_token_to_piece(vocab, token, buffer, len(buffer), lstrip, special)
    if n < 0:
        buffer = (ctypes.c_char * -n)()
        n = llama_cpp.llama_token_to_piece(vocab, token, buffer, len(buffer), lstrip, special)
    return bytes(buffer[:n])


def test_every_piece_is_what_the_file_says(llm, fields):
    vocab = llama_cpp.llama_model_get_vocab(llm.model)
    texts = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    assert llama_cpp.llama_vocab_n_tokens(vocab) == len(texts)
    assert llama_cpp.llama_vocab_type(vocab) == llama_cpp.LLAMA_VOCAB_TYPE_BPE
    table = byte_level()
    for token, (text, kind) in enumerate(zip(texts, kinds)):
        if kind == 3:  # control
            assert (piece(vocab, token), piece(vocab, token, special=True)) == (b"", text.encode())
            assert llama_cpp.llama_vocab_is_control(vocab, token)
        else:
            assert piece(vocab, token) == bytes(table[character] for character in text)
    assert piece(vocab, len(texts)) == b"" and piece(vocab, -1) == b""
    world = llm.tokenize(b" world", add_bos=False)[0]
    assert piece(vocab, world) == b" world" and piece(vocab, world, lstrip=1) == b"world"


def test_special_tokens(llm, fields):
    vocab = llama_cpp.llama_model_get_vocab(llm.model)
    bos, eos = (fields["tokenizer.ggml.%s_token_id" % name].contents() for name in ("bos", "eos"))
    assert (llama_cpp.llama_vocab_bos(vocab), llama_cpp.llama_token_eos(vocab)) == (bos, eos)
    assert llama_cpp.llama_vocab_is_eog(vocab, eos) and not llama_cpp.llama_vocab_is_eog(vocab, 100)
    assert llama_cpp.llama_vocab_get_add_bos(vocab) is False


def test_tokens_of_a_text_and_back(llm):
    vocab = llama_cpp.llama_model_get_vocab(llm.model)
    text = "Hello <|im_end|> größer".encode()
    for special in (False, True):
        wanted = llm.tokenize(text, add_bos=False, special=special)
        ids = (llama_cpp.llama_token * 4)()
        assert llama_cpp.llama_tokenize(vocab, text, len(text), ids, 4, False, special) == -len(wanted)
        ids = (llama_cpp.llama_token * 64)()
        n = llama_cpp.llama_tokenize(vocab, text, len(text), ids, 64, False, special)
        assert list(ids[:n]) == wanted
        buffer = (ctypes.c_char * 64)()
        assert llama_cpp.llama_detokenize(vocab, ids, n, buffer, 4, False, True) == -len(text)
        assert bytes(buffer[: llama_cpp.llama_detokenize(vocab, ids, n, buffer, 64, False, True)]) == text


def test_facts_about_a_model(llm, fields):
    model = llm.model
    assert llama_cpp.llama_get_model(llm.ctx) == model
    buffer = ctypes.create_string_buffer(64)
    n = llama_cpp.llama_model_meta_val_str(model, b"general.architecture", buffer, len(buffer))
    assert (n, buffer.value) == (5, b"llama")
    assert llama_cpp.llama_model_meta_val_str(model, b"general.architecture", buffer, 3) == 5
    assert buffer.value == b"ll"
    assert llama_cpp.llama_model_meta_val_str(model, b"no.such.key", buffer, len(buffer)) == -1
    keys = set()
    for i in range(llama_cpp.llama_model_meta_count(model)):
        llama_cpp.llama_model_meta_key_by_index(model, i, buffer, len(buffer))
        keys.add(buffer.value.decode())
    assert keys == {name for name in fields if not name.startswith("GGUF.")}
    assert llama_cpp.llama_model_meta_key_by_index(model, len(keys), buffer, len(buffer)) == -1
    template = fields["tokenizer.chat_template"].contents().encode()
    assert llama_cpp.llama_model_chat_template(model) == template
    assert llama_cpp.llama_model_chat_template(model, b"none") is None


def test_the_shape_of_a_model(model_path, fields):
    with puna.Llama(model_path, n_ctx=64, n_parallel=1, n_threads=1, verbose=False) as llm:
        model = llm.model
        assert llama_cpp.llama_model_n_ctx_train(model) == fields["llama.context_length"].contents()
        assert llama_cpp.llama_model_n_embd(model) == fields["llama.embedding_length"].contents() == llm.n_embd()
        assert llama_cpp.llama_model_n_layer(model) == fields["llama.block_count"].contents()
        assert llama_cpp.llama_model_n_head(model) == fields["llama.attention.head_count"].contents()
        assert llama_cpp.llama_model_n_head_kv(model) == fields["llama.attention.head_count_kv"].contents()
        assert 134_000_000 < llama_cpp.llama_model_n_params(model) < 135_000_000
        buffer = ctypes.create_string_buffer(64)
        assert llama_cpp.llama_model_desc(model, buffer, 64) == len(buffer.value) and b"llama" in buffer.value
