"""Llama: results and their shapes, the session, callbacks, errors, life and death."""

import gc
import itertools
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest


def Llama(path, **arguments):
    """One thread: on a busy machine two threads wait for each other most of the time."""
    import puna

    return puna.Llama(path, **{"n_threads": 1, **arguments})


PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def llm(model_path):
    with Llama(model_path, n_ctx=512) as llm:
        yield llm


def text_of(result):
    return result["choices"][0]["text"]


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


# ---- completions


def test_a_completion_has_the_shape_of_the_contract(llm, model_path):
    result = llm(PROMPT, max_tokens=6, temperature=0)
    assert sorted(result) == ["choices", "created", "id", "model", "object", "usage"]
    assert result["id"].startswith("cmpl-") and result["object"] == "text_completion"
    assert result["model"] == model_path and abs(result["created"] - time.time()) < 60
    assert result["choices"] == [
        {"text": " Paris.\n\nThe United", "index": 0, "logprobs": None, "finish_reason": "length"}
    ]
    assert result["usage"] == {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
    assert llm(PROMPT, max_tokens=1, model="other")["model"] == "other"


def test_a_stream_adds_up_to_the_whole(llm):
    whole = llm(PROMPT, max_tokens=12, temperature=0)
    chunks = list(llm(PROMPT, max_tokens=12, temperature=0, stream=True))
    assert "".join(map(text_of, chunks)) == text_of(whole)
    assert all("usage" not in chunk and chunk["id"] == chunks[0]["id"] for chunk in chunks)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]
    assert text_of(chunks[-1]) == ""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stop", ["United", ["States", "ted S"], ["\n\nThe U"]])
def test_stop_texts_are_no_part_of_the_text(llm, stop, stream):
    full = " Paris.\n\nThe United States has a population of"
    assert text_of(llm(PROMPT, max_tokens=11, temperature=0)) == full
    stops = [stop] if isinstance(stop, str) else stop
    wanted = full[: min(full.index(text) for text in stops)]
    result = llm(PROMPT, max_tokens=11, temperature=0, stop=stop, stream=stream)
    if stream:
        chunks = list(result)
        assert "".join(map(text_of, chunks)) == wanted
        result = chunks[-1]
    else:
        assert text_of(result) == wanted
    assert result["choices"][0]["finish_reason"] == "stop"


def test_echo_and_token_prompts(llm):
    tokens = llm.tokenize(PROMPT.encode())
    assert text_of(llm(PROMPT, max_tokens=2, temperature=0, echo=True)) == PROMPT + " Paris."
    assert text_of(llm(tokens, max_tokens=2, temperature=0)) == " Paris."
    assert text_of(llm(tokens, max_tokens=2, temperature=0, echo=True)) == PROMPT + " Paris."


def test_a_suffix_without_infill_tokens_is_appended(llm):
    assert text_of(llm(PROMPT, suffix=" END", max_tokens=2, temperature=0)) == " Paris. END"


@pytest.mark.parametrize("max_tokens", [None, 0, -1])
def test_no_limit_means_the_context(model_path, max_tokens):
    with Llama(model_path, n_ctx=64, n_parallel=1) as small:
        result = small(PROMPT, max_tokens=max_tokens, temperature=0, logit_bias={small.token_eos(): -1000})
        assert result["usage"]["total_tokens"] == 64
        assert result["choices"][0]["finish_reason"] == "length"
        with pytest.raises(ValueError, match=r"Requested tokens \(64\) exceed context window of 64"):
            small([5] * 64)


def test_logprobs_are_those_of_the_logits(llm, model_path):
    result = llm(PROMPT, max_tokens=3, temperature=0, logprobs=3)["choices"][0]["logprobs"]
    assert result["tokens"] == [" Paris", ".", "\n"]
    assert result["text_offset"] == [len(PROMPT), len(PROMPT) + 6, len(PROMPT) + 7]
    with Llama(model_path, n_ctx=64, logits_all=True, n_parallel=1) as plain:
        plain.eval(plain.tokenize((PROMPT + " Paris.\n").encode()))
        rows = plain.logits_to_logprobs(plain.scores[4:7])
        for row, token, top, value in zip(rows, result["tokens"], result["top_logprobs"], result["token_logprobs"]):
            best = np.argsort(-row)[:3]
            assert [plain.detokenize([int(i)]).decode() for i in best] == list(top)[:3]
            assert np.allclose([row[i] for i in best], list(top.values())[:3], atol=1e-4)
            assert value == pytest.approx(float(row[plain.tokenize(token.encode(), add_bos=False)[0]]), abs=1e-4)


def test_echoed_logprobs_cover_the_prompt(llm):
    result = llm(PROMPT, max_tokens=2, temperature=0, logprobs=1, echo=True)["choices"][0]
    logprobs = result["logprobs"]
    assert logprobs["tokens"] == ["The", " capital", " of", " France", " is", " Paris", "."]
    assert "".join(logprobs["tokens"]) == result["text"]
    assert logprobs["token_logprobs"][0] is None and logprobs["top_logprobs"][0] is None
    assert all(value < 0 for value in logprobs["token_logprobs"][1:])
    # the same when the prompt is known already, and when the request is for many
    assert llm(PROMPT, max_tokens=2, temperature=0, logprobs=1, echo=True)["choices"][0] == result
    many = llm(PROMPT, max_tokens=2, temperature=0, logprobs=100, echo=True)["choices"][0]["logprobs"]
    assert np.allclose(many["token_logprobs"][1:], logprobs["token_logprobs"][1:], atol=1e-4)
    assert len(many["top_logprobs"][-1]) == 100


def test_streamed_logprobs_are_those_of_the_whole(llm):
    arguments = dict(max_tokens=8, temperature=0, logprobs=2, stop=[" United States"])
    whole = llm(PROMPT, **arguments)["choices"][0]["logprobs"]
    joined = {name: [] for name in whole}
    for chunk in llm(PROMPT, stream=True, **arguments):
        for name, values in (chunk["choices"][0]["logprobs"] or {}).items():
            joined[name] += values
    assert joined == whole and whole["tokens"][-1] == "The"


def test_text_is_whole_characters(gemma_path):
    with Llama(gemma_path, n_ctx=256, n_parallel=1) as gemma:
        wanted = "漢字🙂é"
        tokens = gemma.tokenize(wanted.encode(), add_bos=False)
        spells = {gemma.detokenize([token]): token for token in range(1000)}
        byte_tokens = [spells[bytes([byte])] for byte in "🙃".encode()]
        script = iter(tokens + byte_tokens + [gemma.token_eos()])

        def say(ids, scores):
            scores[:] = -np.inf
            scores[next(script)] = 0
            return scores

        chunks = list(gemma("x", max_tokens=20, stream=True, logits_processor=[say]))
        assert "".join(map(text_of, chunks)) == wanted + "🙃"
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_seeds(llm, model_path):
    def run(seed):
        return text_of(llm(PROMPT, max_tokens=12, temperature=1.5, seed=seed))

    assert run(7) == run(7) != run(8)
    assert len({run(None) for _ in range(4)}) > 1
    with Llama(model_path, n_ctx=64, n_parallel=1, seed=3) as one, Llama(model_path, n_ctx=64, n_parallel=1) as two:
        two.set_seed(3)
        texts = [text_of(one(PROMPT, max_tokens=8, temperature=1.5)) for _ in range(3)]
        assert texts == [text_of(two(PROMPT, max_tokens=8, temperature=1.5)) for _ in range(3)]
        assert len(set(texts)) == 3


def test_arguments_out_of_range(llm):
    with pytest.raises(ValueError, match="repeat_penalty"):
        llm("x", repeat_penalty=0)
    with pytest.raises(ValueError, match="token 99999999"):
        llm("x", logit_bias={99999999: 1})
    with pytest.raises(ValueError, match="token 49152"):
        llm([49152])
    with pytest.raises(ValueError, match="outside the vocabulary"):
        llm([2**40])
    assert text_of(llm(PROMPT, max_tokens=1, temperature=0, top_p=7, min_p=-1, typical_p=2, top_k=-5)) == " Paris"


# ---- callbacks


def test_logits_processors_and_bias_work_together(llm):
    a, b = llm.tokenize(b" apple")[0], llm.tokenize(b" banana")[0]
    seen = []

    def raise_a(ids, scores):
        seen.append((ids.tolist(), scores.dtype, scores.shape))
        scores[a] += 100
        return scores

    assert text_of(llm(PROMPT, max_tokens=2, logits_processor=[raise_a], temperature=0)) == " apple apple"
    tokens = llm.tokenize(PROMPT.encode())
    assert seen == [(ids, np.single, (llm.n_vocab(),)) for ids in (tokens, tokens + [a])]
    biased = llm(PROMPT, max_tokens=1, logits_processor=[raise_a], logit_bias={str(b): 300}, temperature=0)
    assert text_of(biased) == " banana"


def test_stopping_criteria(llm):
    from puna import StoppingCriteriaList

    n_prompt = len(llm.tokenize(PROMPT.encode()))
    criteria = StoppingCriteriaList([lambda ids, logits: len(ids) >= n_prompt + 3])
    result = llm(PROMPT, max_tokens=20, temperature=0, stopping_criteria=criteria)
    assert text_of(result) == " Paris.\n" and result["choices"][0]["finish_reason"] == "stop"
    assert result["usage"]["completion_tokens"] == 3
    chunks = list(llm(PROMPT, max_tokens=20, temperature=0, stopping_criteria=criteria, stream=True))
    assert "".join(map(text_of, chunks)) == " Paris.\n"


class Whatever(BaseException):
    pass


@pytest.mark.parametrize("kind", [KeyError, Whatever])
@pytest.mark.parametrize("argument", ["logits_processor", "stopping_criteria"])
def test_what_a_callback_raises_is_raised_here(llm, argument, kind):
    def fail(ids, scores):
        raise kind("from the callback")

    with pytest.raises(kind, match="from the callback"):
        llm(PROMPT, **{argument: [fail]})
    with pytest.raises(kind):
        list(llm(PROMPT, stream=True, **{argument: [fail]}))
    with pytest.raises(kind):
        list(llm.generate([1, 2], **{argument: [fail]}))
    assert text_of(llm(PROMPT, max_tokens=1, temperature=0)) == " Paris"


def test_a_processor_with_a_wrong_result(llm):
    with pytest.raises(ValueError, match="shape"):
        llm(PROMPT, logits_processor=[lambda ids, scores: scores[:5]])
    with pytest.raises((TypeError, ValueError)):
        llm(PROMPT, logits_processor=[lambda ids, scores: "text"])


def test_a_callback_cannot_use_its_own_llama(llm):
    def nested(ids, scores):
        llm("x")

    with pytest.raises(RuntimeError, match="callback"):
        llm(PROMPT, logits_processor=[nested])


# ---- the session


def test_eval_and_sample(llm):
    tokens = llm.tokenize(PROMPT.encode())
    llm.reset()
    llm.eval(tokens[:2])
    llm.eval(tokens[2:])
    assert llm.n_tokens == 5 and llm.input_ids[:5].tolist() == tokens == list(llm.eval_tokens)
    assert llm.detokenize([llm.sample(temp=0)]) == b" Paris"
    assert int(np.argmax(llm._scores[-1])) == llm.sample(temp=0)
    assert llm.sample(temp=0, idx=1) != llm.sample(temp=0)
    llm.n_tokens = 2
    assert llm.sample(temp=0) == int(np.argmax(llm._scores[-1]))
    with pytest.raises(RuntimeError, match="llama_decode returned 1"):
        llm.eval([5] * 512)
    llm.reset()
    with pytest.raises(ValueError):
        llm.sample()


def test_logits_all_keeps_a_row_for_each_token(model_path):
    with Llama(model_path, n_ctx=64, logits_all=True, n_parallel=2) as one:
        tokens = one.tokenize((PROMPT + " Paris.").encode())
        one.eval(tokens[:4])
        first = one.scores[:4].copy()
        one.eval(tokens[4:])
        rows = one._scores.copy()
        assert rows.shape == (7, one.n_vocab()) and np.array_equal(rows[:4], first)
        one(PROMPT, max_tokens=2, temperature=0)  # after a completion they are there, too
        assert one.n_tokens == 6 and np.array_equal(one._scores, rows[:6])
        with Llama(model_path, n_ctx=64, logits_all=True, n_parallel=1) as two:
            two.eval(tokens)
            assert np.array_equal(two._scores, rows)
            assert len(two.eval_logits) == 7


def test_generate_is_the_completion(llm):
    tokens = llm.tokenize(PROMPT.encode())
    wanted = llm.tokenize(text_of(llm(PROMPT, max_tokens=6, temperature=0)).encode())
    assert list(itertools.islice(llm.generate(tokens, temp=0), 6)) == wanted
    assert llm.n_tokens == len(tokens) + 5
    llm.set_seed(11)
    one = list(itertools.islice(llm.generate(tokens, temp=1.5), 10))
    two = list(itertools.islice(llm.generate(tokens, temp=1.5), 10))
    llm.set_seed(0xFFFFFFFF)
    assert one == two == llm.tokenize(text_of(llm(PROMPT, max_tokens=10, temperature=1.5, seed=11)).encode())


def test_generate_takes_what_is_sent(llm):
    tokens = llm.tokenize(PROMPT.encode())
    extra = llm.tokenize(b" And the capital of Italy is")
    generator = llm.generate(tokens, temp=0)
    first = next(generator)
    after = generator.send(extra)
    assert llm.n_tokens == len(tokens) + 1 + len(extra)
    llm.reset()
    llm.eval(tokens + [first] + extra)
    assert llm.sample(temp=0) == after
    generator.close()


def test_generate_goes_on_after_the_end_token(llm):
    end = llm.token_eos()

    def always_end(ids, scores):
        scores[end] += 1000
        return scores

    assert list(itertools.islice(llm.generate([1, 5], logits_processor=[always_end]), 3)) == [end] * 3


def test_more_suspended_generators_than_slots(model_path):
    """They never block others, and each yields what it would yield alone."""
    with Llama(model_path, n_ctx=64, n_parallel=2, seed=5) as one:
        alone = {}
        for i in range(5):
            prompt = one.tokenize(b"%d little ducks" % i)
            alone[i] = list(itertools.islice(one.generate(prompt, temp=1.2, repeat_penalty=1.2), 6))
        generators = {
            i: one.generate(one.tokenize(b"%d little ducks" % i), temp=1.2, repeat_penalty=1.2) for i in range(5)
        }
        found = {i: [] for i in range(5)}
        for _ in range(6):
            for i, generator in generators.items():
                found[i].append(next(generator))
        assert found == alone
        assert text_of(one(PROMPT, max_tokens=1, temperature=0)) == " Paris"
        for generator in generators.values():
            generator.close()
        wait_until(lambda: one._engine.n_running == 0)


def test_a_full_context_ends_generate(model_path):
    with Llama(model_path, n_ctx=16, n_parallel=1) as one:
        found = []
        with pytest.raises(RuntimeError, match="context"):
            for token in one.generate([5, 6, 7]):
                found.append(token)
        assert len(found) == 13


# ---- cancelling


def test_closing_a_stream_stops_the_work(llm):
    stream = llm("Once upon a time", max_tokens=400, stream=True, logit_bias={llm.token_eos(): -1000})
    for _ in range(3):
        next(stream)
    stream.close()
    wait_until(lambda: llm._engine.n_running == 0, seconds=5)
    assert llm("x", max_tokens=1)["usage"]["completion_tokens"] == 1


def test_a_stream_that_was_never_begun_costs_nothing(llm):
    stream = llm("Once upon a time", max_tokens=400, stream=True)
    time.sleep(0.05)
    assert llm._engine.n_running == 0
    del stream


def test_interrupting_a_thread_that_waits(model_path):
    """Ctrl-C: KeyboardInterrupt, at once, in a long prompt and in a generation; the object can be used on."""
    code = """
import os, signal, sys, threading, time
from puna import Llama
llm = Llama(sys.argv[1], n_threads=1, n_ctx=4096, n_parallel=2)
for prompt in ("Once upon a time", [5 + i % 40000 for i in range(4000)]):
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    begin = time.monotonic()
    try:
        while time.monotonic() - begin < 60:
            llm(prompt, max_tokens=None, logit_bias={llm.token_eos(): -1000}, repeat_penalty=1 + len(prompt) * 1e-9)
            prompt = prompt[1:] + prompt[:1]
        print("not interrupted")
    except KeyboardInterrupt:
        print("interrupted %d" % (time.monotonic() - begin < 20))
    begin = time.monotonic()
    while llm._engine.n_running and time.monotonic() - begin < 20:
        time.sleep(0.01)
    print("running %d" % llm._engine.n_running)
print(llm("The capital of France is", max_tokens=1, temperature=0)["choices"][0]["text"])
"""
    result = run_python(code, model_path)
    assert result.stdout == "interrupted 1\nrunning 0\n" * 2 + " Paris\n", result.stderr


def run_python(code, *arguments):
    root = os.path.join(os.path.dirname(__file__), "..", "..")
    environment = {**os.environ, "PYTHONPATH": os.path.join(root, "python")}
    return subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


# ---- life and death


def test_use_after_close(model_path):
    llm = Llama(model_path, n_ctx=2048, n_parallel=2)
    stream = llm("x", max_tokens=2000, stream=True, logit_bias={llm.token_eos(): -1000})
    next(stream)
    generator = llm.generate([5, 6])
    next(generator)
    llm.close()
    llm.close()
    for use in (
        lambda: llm("x"),
        lambda: llm.tokenize(b"x"),
        lambda: llm.eval([5]),
        lambda: next(llm.generate([5])),
        lambda: next(generator),
        lambda: list(stream),
        lambda: llm.save_state(),
        lambda: llm.create_chat_completion([{"role": "user", "content": "x"}]),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            use()
    assert "closed" in repr(llm)


def test_closing_ends_the_requests_of_other_threads(model_path):
    llm = Llama(model_path, n_ctx=2048, n_parallel=2)
    errors = []

    def work():
        try:
            llm("Once upon a time", max_tokens=None, logit_bias={llm.token_eos(): -1000})
        except RuntimeError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: llm._engine is not None and llm._engine.n_running == 2)
    llm.close()
    for thread in threads:
        thread.join(20)
    assert errors == ["this Llama was closed"] * 4


def test_the_last_reference_frees_everything(model_path):
    before = threading.active_count()
    llm = Llama(model_path, n_ctx=64, n_parallel=1)
    llm("x", max_tokens=1)
    assert threading.active_count() == before + 1
    stream = llm("Once upon a time", max_tokens=60, stream=True)
    next(stream)
    gone = weakref.ref(llm)
    del llm
    assert next(stream)["choices"]  # the stream keeps it alive
    del stream
    gc.collect()
    assert gone() is None
    wait_until(lambda: threading.active_count() == before)


def test_garbage_collection_while_it_runs(model_path):
    def collect(ids, scores):
        gc.collect()
        return scores

    for _ in range(3):
        assert text_of(Llama(model_path, n_ctx=64, n_parallel=1)(PROMPT, max_tokens=3, logits_processor=[collect]))
    loop = [Llama(model_path, n_ctx=64, n_parallel=1)]
    loop.append(loop)
    stream = loop[0]("x", stream=True, max_tokens=50)
    loop.append(stream)
    next(stream)
    del loop, stream
    gc.collect()


def test_a_forked_child_says_so(llm, model_path):
    llm("x", max_tokens=1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            message = ""
            try:
                llm("x")
            except RuntimeError as error:
                message = str(error)
            assert llm.tokenize(b"Hello") and "child" in message
            llm.close()
            with Llama(model_path, n_ctx=64, n_parallel=1) as own:
                assert text_of(own(PROMPT, max_tokens=1, temperature=0)) == " Paris"
            os.write(writer, b"fine")
        finally:
            os._exit(0)
    os.close(writer)
    assert os.read(reader, 100) == b"fine"
    os.waitpid(child, 0)
    assert text_of(llm(PROMPT, max_tokens=1, temperature=0)) == " Paris"


def test_the_interpreter_ends_while_requests_run(model_path):
    code = """
import sys, threading
from puna import Llama
llm = Llama(sys.argv[1], n_threads=1, n_ctx=512)
stream = llm("x", max_tokens=400, stream=True)
next(stream)
threading.Thread(target=lambda: llm("y", max_tokens=400), daemon=True).start()
generator = llm.generate([5]); next(generator)
print("end")
"""
    result = run_python(code, model_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "end\n", "")


def test_pickle_opens_it_again(model_path):
    with Llama(model_path, n_ctx=96, n_parallel=1, seed=4, verbose=False) as llm:
        with pickle.loads(pickle.dumps(llm)) as copy:
            assert copy.n_ctx() == 96 and copy._seed == 4 and copy.chat_format == llm.chat_format
            assert text_of(copy(PROMPT, max_tokens=1, temperature=0)) == " Paris"


# ---- opening


def test_what_cannot_be_opened(tmp_path, model_path):
    with pytest.raises(ValueError, match="Model path does not exist: nowhere.gguf"):
        Llama("nowhere.gguf")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(ValueError, match="Failed to load model from file: .*broken.gguf"):
        Llama(str(broken))
    with pytest.raises(ValueError, match="Failed to create llama_context: .*MiB"):
        Llama(model_path, n_ctx=100_000_000)
    with pytest.raises(RuntimeError, match="LoRA"):
        Llama(model_path, lora_path="adapter.gguf")


def test_vocab_only(model_path):
    with Llama(model_path, vocab_only=True) as llm:
        assert llm._ctx.ctx is not None and llm.detokenize(llm.tokenize(b"Hello World")) == b"Hello World"
        with pytest.raises(RuntimeError, match="vocab_only"):
            llm("x")
        assert "vocabulary" in repr(llm)


def test_facts(llm, model_path):
    assert (llm.n_ctx(), llm.n_embd(), llm.n_vocab()) == (512, 576, 49152)
    assert (llm.token_bos(), llm.token_eos(), llm.token_nl()) == (1, 2, 198)
    assert llm.metadata["general.architecture"] == "llama" and llm.metadata["llama.block_count"] == "30"
    assert not any(key in llm.metadata for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges"))
    for fact in ("134.5M", "Q4_1", "512 of 8192", "cpu"):
        assert fact in repr(llm)
    assert llm.n_batch == 512 and llm._input_ids.shape == (llm.n_tokens,)


def test_default_and_trained_context(model_path):
    with Llama(model_path) as llm:
        assert llm.n_ctx() == 4096
    with Llama(model_path, n_ctx=0, n_parallel=1) as llm:
        assert llm.n_ctx() == 8192


def test_overrides_and_rope_reach_the_model(model_path):
    with Llama(model_path, n_ctx=64, n_parallel=1, kv_overrides={"general.name": "renamed", "my.key": 7}) as llm:
        assert llm.metadata["general.name"] == "renamed" and llm.metadata["my.key"] == "7"
        plain = text_of(llm(PROMPT, max_tokens=16, temperature=0))
    with Llama(model_path, n_ctx=64, n_parallel=1, rope_freq_base=500.0) as llm:
        assert text_of(llm(PROMPT, max_tokens=16, temperature=0)) != plain
    with Llama(model_path, n_ctx=64, n_parallel=1, rope_freq_scale=0.25) as llm:
        assert text_of(llm(PROMPT, max_tokens=16, temperature=0)) != plain


def test_gpu_layers_are_reported(model_path):
    code = """
import sys, logging
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
from puna import Llama
for _ in range(2):
    with Llama(sys.argv[1], n_threads=1, n_gpu_layers=-1, n_ctx=64, verbose=False) as llm:
        report = llm.device_report()
print(report["backend"], report["gpu_layers_asked"], report["gpu_layers"], report["layers"])
print(report)
"""
    result = run_python(code, model_path)
    assert result.stderr.startswith("WARNING puna the CPU computes all layers: ") and result.stderr.count("\n") == 1
    assert result.stdout.startswith("cpu 31 0 30\nbackend: cpu\n")


def test_settings_of_several_cards(model_path):
    with Llama(model_path, n_ctx=64, n_parallel=1, n_gpu_layers="auto", split_mode=1, main_gpu=0, tensor_split=[3, 1]) as llm:
        (device,) = llm.device_report()["devices"]
        assert (device["name"], device["gpu"], device["first_layer"], device["layers"]) == ("CPU", None, 0, 31)
        assert device["kv_bytes"] == llm.device_report()["kv_bytes"]
    with pytest.raises(ValueError, match='n_gpu_layers is a number of layers, -1 for all or "auto"'):
        Llama(model_path, n_gpu_layers="most")
    with pytest.raises(ValueError, match="tensor_split has 17 shares, there are at most 16 cards"):
        Llama(model_path, tensor_split=[1] * 17)


def test_it_is_silent(model_path):
    code = """
import sys
from puna import Llama
for verbose in (False, True):
    with Llama(sys.argv[1], n_threads=1, verbose=verbose) as llm:
        llm("x", max_tokens=2)
        llm.create_chat_completion([{"role": "user", "content": "x"}], max_tokens=2)
"""
    result = run_python(code, model_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_it_works_without_numpy(model_path):
    code = """
import sys
sys.modules["numpy"] = None
from puna import Llama, LlamaRAMCache
with Llama(sys.argv[1], n_threads=1, n_ctx=128, embedding=True, pooling_type=1) as llm:
    assert llm("The capital of France is", max_tokens=1, temperature=0)["choices"][0]["text"] == " Paris"
    assert llm("x", max_tokens=2, echo=True, logprobs=3, stream=False)
    assert list(llm.create_chat_completion([{"role": "user", "content": "x"}], max_tokens=2, stream=True))
    llm.eval([5, 6]); llm.sample(); next(llm.generate([7])); assert llm.n_tokens == 1
    try:
        llm.scores
    except ImportError:
        print("fine")
"""
    result = run_python(code, model_path)
    assert (result.stdout, result.stderr) == ("fine\n", "")
