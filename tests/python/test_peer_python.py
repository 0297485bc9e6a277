"""Llama beside llama-cpp-python: tests/golden/peer/python.json, made by tools/python_golden.py.

Signatures, facts, tokens, prompts of chats and shapes must be equal. Texts at temperature 0 must be equal up to a token
where llama-cpp-python's best two logits are nearer than NEAR_TIE (both programs quantize activations to 8 bits and
round differently, which moves single logits by tenths: tests/golden/test_peer.py has the figures); from there on
llama-cpp-python's tokens are continued, and the same holds again.
"""

import hashlib
import inspect
import json
import os
import pathlib

import numpy as np
import puna
import pytest

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden/peer/python.json").read_text(encoding="utf-8"))
MODELS = {"smollm2": "PUNA_TEST_MODEL", "gemma3-270m": "PUNA_TEST_GEMMA"}
NEAR_TIE = 0.35

# what this package has besides, and where a default differs
EXTRA = {"__init__": ["n_parallel"]}
DEFAULTS = {("__init__", "n_ctx"): ("512", "None")}


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@pytest.fixture(scope="module", params=list(MODELS))
def peer(request):
    """(a Llama, what llama-cpp-python said of its file)"""
    path, golden = os.environ.get(MODELS[request.param], ""), GOLDEN["models"][request.param]
    if not os.path.isfile(path):
        if os.environ.get("CI") == "true":
            pytest.fail("%s names no file" % MODELS[request.param])
        pytest.skip("%s names no file" % MODELS[request.param])
    if sha256_of(path) != golden["sha256"]:
        pytest.skip("%s is another file than the golden's" % path)
    with puna.Llama(path, n_ctx=512, n_threads=1, chat_format=golden["chat_format"]) as llm:
        yield llm, golden


@pytest.mark.parametrize("method", list(GOLDEN["signatures"]))
def test_signatures(method):
    found = [
        [p.name, p.kind.name, None if p.default is inspect.Parameter.empty else repr(p.default)]
        for p in inspect.signature(getattr(puna.Llama, method)).parameters.values()
    ]
    found = [entry for entry in found if entry[0] not in EXTRA.get(method, [])]
    wanted = [list(entry) for entry in GOLDEN["signatures"][method]]
    for entry in wanted:
        theirs, ours = DEFAULTS.get((method, entry[0]), (None, None))
        if theirs is not None:
            assert entry[2] == theirs
            entry[2] = ours
    assert found == wanted


def test_facts_and_metadata(peer):
    llm, golden = peer
    assert {name: getattr(llm, name)() for name in golden["facts"]} == golden["facts"]
    assert {key for key, value in llm.metadata.items() if len(value) < 80} == set(golden["metadata"])
    for key, value in golden["metadata"].items():
        try:
            number = float(value)
        except ValueError:
            assert llm.metadata[key] == value
        else:
            assert float(llm.metadata[key]) == pytest.approx(number, rel=1e-4, abs=1e-6)


def test_tokens(peer):
    llm, golden = peer
    for text, add_bos, special, tokens, back in golden["tokenize"]:
        assert llm.tokenize(text.encode(), add_bos=add_bos, special=special) == tokens, (text, add_bos, special)
        for flag in (False, True):
            assert llm.detokenize(tokens, special=flag).decode("latin-1") == back[flag], (text, tokens, flag)


def compare(llm, result, entry, given):
    """Compares a result. True when it is equal as a whole; else it differs at near ties alone."""
    n_prompt = entry["usage"]["prompt_tokens"]
    assert llm._input_ids[:n_prompt].tolist() == entry["prompt"] and result["usage"]["prompt_tokens"] == n_prompt
    wanted, known = entry["tokens"], 0
    found = llm._input_ids[n_prompt:].tolist()
    while True:
        agree = llm.longest_token_prefix(found, wanted[known:])
        if agree == len(found) or known + agree == len(wanted):
            break
        assert entry["gaps"][known + agree] < NEAR_TIE, (given, known + agree)
        known += agree + 1
        if "repeat_penalty" in given or "presence_penalty" in given:
            break  # tokens that are given are not penalised as sampled ones are
        llm(entry["prompt"] + wanted[:known], max_tokens=len(wanted) - known, temperature=0)
        found = llm._input_ids[n_prompt + known :].tolist()
    if known > 0:
        return False
    assert result["choices"] == [entry["choice"]] and result["usage"] == entry["usage"]
    return True


def test_completions(peer):
    llm, golden = peer
    n_whole = 0
    for entry in golden["completions"]:
        prompt, given = entry["given"]
        whole = compare(llm, llm(prompt, **given), entry, given)
        n_whole += whole
        if whole:
            chunks = [chunk["choices"][0] for chunk in llm(prompt, stream=True, **given)]
            assert "".join(chunk["text"] for chunk in chunks) == "".join(chunk["text"] for chunk in entry["stream"])
            assert chunks[-1] == entry["stream"][-1]
    assert n_whole >= 3


def test_chats(peer):
    llm, golden = peer
    n_whole = 0
    for entry in golden["chats"]:
        answer = llm.create_chat_completion(entry["messages"], **entry["given"])
        n_whole += compare(llm, answer, entry, entry["given"])
    assert n_whole >= 1


def shape(value):
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_shapes(peer):
    llm, golden = peer
    messages, small = golden["chats"][0]["messages"], {"max_tokens": 2, "temperature": 0}
    wanted = golden["shapes"]
    assert shape(llm("x", **small)) == wanted["completion"]
    logprobs = shape(llm("x", logprobs=1, **small))
    tops = [each["choices"][0]["logprobs"].pop("top_logprobs") for each in (logprobs, wanted["completion_logprobs"])]
    assert logprobs == wanted["completion_logprobs"]
    assert {value for top in tops for value in top[0].values()} == {"float"}
    assert [shape(chunk) for chunk in llm("x", stream=True, **small)] == wanted["completion_chunks"]
    assert shape(llm.create_chat_completion(messages, **small)) == wanted["chat"]
    chunks = llm.create_chat_completion(messages, stream=True, **small)
    assert [shape(chunk) for chunk in chunks] == wanted["chat_chunks"]


def test_embeddings(peer, monkeypatch):
    llm, golden = peer
    for pooling, entry in golden["embeddings"].items():
        with puna.Llama(
            llm.model_path, n_ctx=64, n_threads=1, n_parallel=1, embedding=True, pooling_type=int(pooling)
        ) as own:
            vectors = np.array(own.embed("The quick brown fox"))
            assert list(vectors.shape) == entry["shape"]
            first, wanted = vectors.reshape(-1)[:64], np.array(entry["first"])
            cosine = first @ wanted / np.linalg.norm(first) / np.linalg.norm(wanted)
            assert cosine > 0.98 and np.linalg.norm(vectors) == pytest.approx(entry["norm"], rel=0.05)
            if entry["response"] is not None:
                assert shape(own.create_embedding("x")) == entry["response"]
