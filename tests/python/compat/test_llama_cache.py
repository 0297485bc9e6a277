"""LlamaRAMCache and LlamaDiskCache: the longest prefix, least recently used out first, nothing lost by a hit."""

import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from puna.llama import LlamaState
from puna.llama_cache import BaseLlamaCache, LlamaCache, LlamaDiskCache, LlamaRAMCache, common_prefix


def state(tokens, n_bytes=100, seed=3):
    scores = np.arange(2 * len(tokens), dtype=np.single).reshape(len(tokens), 2)
    data = bytes(range(256)) * (n_bytes // 256 + 1)
    return LlamaState(
        input_ids=np.array(tokens, dtype=np.intc),
        scores=scores,
        n_tokens=len(tokens),
        llama_state=data[:n_bytes],
        llama_state_size=n_bytes,
        seed=seed,
    )


def same(a, b):
    return (
        a.input_ids.tolist() == b.input_ids.tolist()
        and a.scores.dtype == b.scores.dtype
        and np.array_equal(a.scores, b.scores)
        and (a.n_tokens, a.llama_state, a.llama_state_size, a.seed)
        == (b.n_tokens, b.llama_state, b.llama_state_size, b.seed)
    )


@pytest.fixture(params=["ram", "disk"])
def make(request, tmp_path):
    def make_cache(capacity_bytes=2 << 30):
        if request.param == "ram":
            return LlamaRAMCache(capacity_bytes)
        return LlamaDiskCache(str(tmp_path / "cache"), capacity_bytes)

    return make_cache


def test_common_prefix():
    assert common_prefix((), (1,)) == 0
    assert common_prefix((1, 2, 3), (1, 2, 3)) == 3
    assert common_prefix([1, 2, 3, 4], [1, 2, 9, 4]) == 2
    assert common_prefix((5,), (6,)) == 0


def test_an_entry_comes_back_whole_and_stays(make):
    cache = make()
    wanted = state([1, 2, 3], seed=0xFFFFFFFF)
    cache[[1, 2, 3]] = wanted
    for _ in range(2):
        assert [1, 2, 3] in cache and same(cache[[1, 2, 3]], wanted)
    assert isinstance(cache, BaseLlamaCache) and len(cache) == 1


def test_the_longest_beginning_wins(make):
    cache = make()
    for tokens in ([1, 2], [1, 2, 3, 4], [1, 2, 3], [7]):
        cache[tokens] = state(tokens)
    assert cache[[1, 2, 3, 4, 5]].n_tokens == 4
    assert cache[[1, 2, 3, 9]].input_ids.tolist()[:3] == [1, 2, 3]
    assert cache[(7, 8)].input_ids.tolist() == [7]
    assert [9, 1] not in cache and [] not in cache
    with pytest.raises(KeyError):
        cache[[9, 1]]


def test_a_key_is_written_over(make):
    cache = make()
    cache[[1, 2]] = state([1, 2])
    cache[[1, 2]] = state([1, 2], n_bytes=50, seed=9)
    assert len(cache) == 1 and cache[[1, 2]].seed == 9


def test_the_longest_unused_leaves_first(make):
    cache = make()
    cache[[1]] = state([1], 10000)
    room = cache.cache_size
    assert 10000 <= room < 11000
    cache.capacity_bytes = int(2.5 * room)
    cache[[2]] = state([2], 10000)
    if isinstance(cache, LlamaDiskCache):  # the files' times decide: make them differ on any file system
        os.utime(cache._path((1,)), ns=(1, 1))
        os.utime(cache._path((2,)), ns=(2, 2))
    assert cache[[1]].n_tokens == 1
    cache[[3]] = state([3], 10000)
    assert [1] in cache and [3] in cache and [2] not in cache
    assert cache.cache_size <= cache.capacity_bytes


def test_what_is_larger_than_the_cache_is_not_kept(make):
    cache = make(capacity_bytes=1000)
    cache[[1]] = state([1], 5000)
    assert len(cache) == 0 and cache.cache_size == 0


def test_many_threads(make):
    cache = make(capacity_bytes=20000)
    errors = []

    def work(i):
        try:
            for j in range(20):
                tokens = [i % 3, j % 5, i]
                cache[tokens] = state(tokens, 1000)
                try:
                    assert cache[tokens].n_tokens == 3
                except KeyError:
                    pass  # another thread's entry pushed it out
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_the_names():
    assert LlamaCache is LlamaRAMCache and LlamaRAMCache().capacity_bytes == 2 << 30
    with pytest.raises(TypeError):
        BaseLlamaCache()


def test_ram_can_be_pickled():
    cache = LlamaRAMCache()
    cache[[1, 2]] = state([1, 2])
    assert same(pickle.loads(pickle.dumps(cache))[[1, 2]], state([1, 2]))


def test_disk_outlives_the_process(tmp_path):
    code = (
        "import test_llama_cache as test_cache; from puna.llama_cache import LlamaDiskCache\n"
        "LlamaDiskCache(%r)[[4, 5, 6]] = test_cache.state([4, 5, 6])" % str(tmp_path / "kept")
    )
    paths = os.pathsep.join([os.path.dirname(__file__)] + sys.path)
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, check=True)
    assert same(LlamaDiskCache(str(tmp_path / "kept"))[[4, 5, 6, 7]], state([4, 5, 6]))


@pytest.mark.parametrize("at", [0, 5, 14, 20, 30, 60, -40, -1])
def test_a_damaged_file_counts_as_absent(tmp_path, at):
    cache = LlamaDiskCache(str(tmp_path))
    cache[[1, 2, 3]] = state([1, 2, 3])
    path = cache._path((1, 2, 3))
    content = bytearray(open(path, "rb").read())
    content[at] ^= 0x55
    open(path, "wb").write(bytes(content))
    with pytest.raises(KeyError):
        cache[[1, 2, 3]]
    cache[[1, 2, 3]] = state([1, 2, 3])
    assert same(cache[[1, 2, 3]], state([1, 2, 3]))


@pytest.mark.parametrize("content", [b"", b"puna state 1\n", b"puna state 1\n" + b"\xff" * 8, os.urandom(500)])
def test_a_foreign_file_counts_as_absent(tmp_path, content):
    cache = LlamaDiskCache(str(tmp_path))
    (tmp_path / "x.state").write_bytes(content)
    (tmp_path / "readme.txt").write_text("not an entry")
    assert [1] not in cache
    cache[[1]] = state([1])
    assert same(cache[[1]], state([1])) and (tmp_path / "readme.txt").exists()


def test_a_cut_file_counts_as_absent(tmp_path):
    cache = LlamaDiskCache(str(tmp_path))
    cache[[1, 2, 3]] = state([1, 2, 3])
    path = cache._path((1, 2, 3))
    whole = open(path, "rb").read()
    for n in range(0, len(whole), 7):
        open(path, "wb").write(whole[:n])
        with pytest.raises(KeyError):
            cache[[1, 2, 3]]
