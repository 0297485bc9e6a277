"""Many callers of one Llama: threads and tasks. Each gets what it would get alone."""

import asyncio
import random
import threading
import time

import pytest

import puna


@pytest.fixture(scope="module")
def llm(model_path):
    with puna.Llama(model_path, n_ctx=512, n_threads=1) as llm:
        yield llm


def text_of(result):
    return result["choices"][0]["text"]


def request(llm, i):
    """One of many kinds of requests, the same for the same i."""
    prompt = "Number %d in a long list of numbers is" % (i % 16)
    kind = i % 8
    if kind == 0:
        return text_of(llm(prompt, max_tokens=8, temperature=0))
    if kind == 1:
        return text_of(llm(prompt, max_tokens=8, temperature=1.2, seed=i))
    if kind == 2:
        return [text_of(chunk) for chunk in llm(prompt, max_tokens=8, temperature=1.2, seed=i, stream=True)]
    if kind == 3:
        return llm(prompt, max_tokens=4, temperature=0, logprobs=2, echo=True)["choices"]
    if kind == 4:
        messages = [{"role": "user", "content": prompt}]
        return llm.create_chat_completion(messages, max_tokens=6, temperature=0)["choices"]
    if kind == 5:
        return text_of(llm(prompt, max_tokens=8, temperature=0, stop=["\n", "1"]))
    if kind == 6:
        return text_of(llm(prompt, max_tokens=6, seed=i, logits_processor=[lambda ids, scores: scores * 0.5]))
    generator = llm.generate(llm.tokenize(prompt.encode()), temp=0)
    return [next(generator) for _ in range(4)]


def test_64_threads(llm):
    alone = [request(llm, i) for i in range(64)]
    found, errors = [None] * 64, []
    start = threading.Barrier(64)

    def work(i):
        try:
            start.wait()
            for _ in range(2):
                found[i] = request(llm, i)
                assert found[i] == alone[i]
        except BaseException as error:
            errors.append((i, error))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and found == alone


def test_requests_share_batches(llm):
    """Eight generations at once are stepped together: the events of all come interleaved."""
    order = []

    def work(i):
        stream = llm("Letter %d:" % i, max_tokens=40, stream=True, logit_bias={llm.token_eos(): -1000}, temperature=0)
        for _ in stream:
            order.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first_end = min(len(order) - 1 - order[::-1].index(i) for i in range(8))
    assert len(set(order[:first_end])) == 8


def test_first_come_first_served(model_path):
    done = []
    with puna.Llama(model_path, n_ctx=128, n_parallel=1, n_threads=1) as one:
        blocker = one("x", max_tokens=100, stream=True, logit_bias={one.token_eos(): -1000})
        next(blocker)
        threads = []
        for i in range(6):
            thread = threading.Thread(target=lambda i=i: (one("y%d" % i, max_tokens=2), done.append(i)))
            thread.start()
            threads.append(thread)
            time.sleep(0.02)
        for thread in threads:
            thread.join()
    assert done == sorted(done)


def test_a_common_prefix_is_computed_once(llm):
    """A second request with the same long beginning shares the memory of the first, also while that runs."""
    shared = llm.tokenize(b"Once upon a time there was a little dragon. " * 20)
    first = llm(shared + llm.tokenize(b"It"), max_tokens=60, stream=True, temperature=0)
    next(first)
    from puna import _completion

    arguments = dict(temperature=0.0, seed=None)
    call = _completion.CompletionCall(llm, shared + llm.tokenize(b"She"), llm._sampling(), max_tokens=1)
    call.start()
    outcome = [event for event in call.request.events()][-1]
    assert outcome.n_reused == len(shared) and arguments
    assert len(list(first)) > 1


def test_cancelling_at_random(llm):
    """Streams that are closed at any moment disturb nobody."""
    wanted = text_of(llm("The quick brown fox", max_tokens=20, temperature=0))
    stop, errors = threading.Event(), []

    def disturb(seed):
        chance = random.Random(seed)
        try:
            while not stop.is_set():
                stream = llm("Story %d" % chance.randrange(5), max_tokens=50, stream=True)
                for _ in range(chance.randrange(4)):
                    next(stream, None)
                stream.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=disturb, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        assert text_of(llm("The quick brown fox", max_tokens=20, temperature=0)) == wanted
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []


# ---- asyncio


def test_async_results_are_the_same(llm):
    messages = [{"role": "user", "content": "Say hello"}]
    completion = text_of(llm("The quick", max_tokens=6, temperature=0))
    chat = llm.create_chat_completion(messages, max_tokens=5, temperature=0)["choices"]

    async def run():
        shared = puna.AsyncLlama(llm)
        assert shared.n_ctx() == 512 and "AsyncLlama" in repr(shared)
        results = await asyncio.gather(
            *(shared.create_completion("The quick", max_tokens=6, temperature=0) for _ in range(20))
        )
        assert {text_of(result) for result in results} == {completion}
        assert text_of(await shared("The quick", max_tokens=6, temperature=0)) == completion
        stream = await shared.create_completion("The quick", max_tokens=6, temperature=0, stream=True)
        assert "".join([text_of(chunk) async for chunk in stream]) == completion
        assert (await shared.create_chat_completion(messages, max_tokens=5, temperature=0))["choices"] == chat
        parts = await shared.create_chat_completion(messages, max_tokens=5, temperature=0, stream=True)
        deltas = [chunk["choices"][0]["delta"] async for chunk in parts]
        assert deltas[0] == {"role": "assistant"} and deltas[-1] == {}
        assert "".join(delta.get("content", "") for delta in deltas) == chat[0]["message"]["content"]

    asyncio.run(run())


def test_cancelling_a_task(llm):
    endless = dict(max_tokens=400, logit_bias={llm.token_eos(): -1000})

    async def run():
        shared = puna.AsyncLlama(llm)
        task = asyncio.create_task(shared.create_completion("x", **endless))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stream = await shared.create_completion("x", stream=True, **endless)
        async for _ in stream:
            break
        await stream.aclose()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(shared("x", **endless), 0.1)
        for _ in range(500):
            if llm._engine.n_running == 0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it still runs")

    asyncio.run(run())


def test_a_loop_that_was_closed(llm):
    """What was not awaited to its end leaves nothing behind."""

    async def begin():
        stream = await puna.AsyncLlama(llm)("x", max_tokens=400, stream=True, logit_bias={llm.token_eos(): -1000})
        await stream.__anext__()
        return stream

    loop = asyncio.new_event_loop()
    stream = loop.run_until_complete(begin())
    loop.close()
    end = time.monotonic() + 20
    while llm._engine.n_running and time.monotonic() < end:
        time.sleep(0.01)
    assert llm._engine.n_running == 0
    del stream


def test_errors_reach_the_task(llm):
    def fail(ids, scores):
        raise KeyError("from the callback")

    async def run():
        shared = puna.AsyncLlama(llm)
        with pytest.raises(KeyError, match="from the callback"):
            await shared("x", logits_processor=[fail])
        with pytest.raises(ValueError, match="exceed context window"):
            await shared([5] * 600)
        with pytest.raises(TypeError):
            await shared("x", no_such_argument=1)
        with pytest.raises(RuntimeError, match="embedding=True"):
            await shared.embed("x")

    asyncio.run(run())


def test_async_handlers_and_embeddings(model_path):
    def handler(llama, messages, stream=False, **kwargs):
        if stream:
            return iter([{"n": 1}, {"n": 2}])
        return {"messages": len(messages)}

    async def run():
        async with puna.AsyncLlama(model_path, n_ctx=64, n_threads=1, embedding=True, pooling_type=1) as own:
            vectors = await own.embed(["Hello", "World"])
            assert vectors == own.llama.embed(["Hello", "World"]) and len(vectors[0]) == 576
            assert (await own.create_embedding("Hello"))["data"][0]["embedding"] == vectors[0]
            own.llama.chat_handler = handler
            assert await own.create_chat_completion([{}, {}]) == {"messages": 2}
            assert [part async for part in await own.create_chat_completion([], stream=True)] == [{"n": 1}, {"n": 2}]
        with pytest.raises(RuntimeError, match="closed"):
            await own("x")

    asyncio.run(run())
