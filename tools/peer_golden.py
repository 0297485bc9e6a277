#!/usr/bin/env python3
"""Records what llama.cpp computes for a model file, as a golden for tests/golden/test_peer.py.

Runs the llama.cpp inside llama-cpp-python (PyPI: llama-cpp-python, numpy) on the CPU with float16 KV cache:

  greedy   for several prompts, 200 tokens of which each is the most likely one (tokens that end a text are passed
           over), with the second best and the gap between the two logits at every step
  text     for every position of tests/golden/text.txt, up to 1024: the 20 best tokens with their
           log-probabilities

Writes NAME.json (what was run on what, prompts, greedy tokens) and NAME.npz (the numbers of the text).

    python tools/peer_golden.py smollm2-135m-instruct-q4_1.gguf tests/golden/peer/smollm2
"""
import argparse
import ctypes
import hashlib
import json
import os
import sys

import llama_cpp as L
import numpy as np

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n    ",
    "1, 2, 4, 8, 16,",
    "Water boils at a lower temperature on a mountain because",
]
TEXT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "text.txt")
N_TOP = 20


class Peer:
    """llama.cpp with one context."""

    def __init__(self, path, n_ctx, n_threads=2, n_batch=512, flash_attention=-1):
        @L.llama_log_callback
        def quiet(level, text, user):
            pass

        self.quiet = quiet
        L.llama_backend_init()
        L.llama_log_set(quiet, ctypes.c_void_p(0))
        params = L.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = L.llama_model_load_from_file(os.fsencode(path), params)
        if not self.model:
            sys.exit(f"{path}: llama.cpp cannot load it")
        self.vocab = L.llama_model_get_vocab(self.model)
        self.n_vocab = L.llama_vocab_n_tokens(self.vocab)
        params = L.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = n_batch
        params.n_threads = params.n_threads_batch = n_threads
        params.flash_attn_type = flash_attention
        self.context = L.llama_init_from_model(self.model, params)
        self.n_batch = n_batch

    def tokenize(self, text):
        data = text.encode()
        ids = (L.llama_token * (len(data) + 8))()
        n = L.llama_tokenize(self.vocab, data, len(data), ids, len(ids), True, False)
        return list(ids[:n])

    def ends(self):
        return [t for t in range(self.n_vocab) if L.llama_vocab_is_eog(self.vocab, t)]

    def clear(self):
        L.llama_memory_clear(L.llama_get_memory(self.context), True)

    def logits(self, ids, first=0):
        """Yields the logits [n_vocab] of every id, which stand at positions first, first + 1, ..."""
        for start in range(0, len(ids), self.n_batch):
            part = ids[start:start + self.n_batch]
            batch = L.llama_batch_init(len(part), 0, 1)
            batch.n_tokens = len(part)
            for i, token in enumerate(part):
                batch.token[i] = token
                batch.pos[i] = first + start + i
                batch.n_seq_id[i] = 1
                batch.seq_id[i][0] = 0
                batch.logits[i] = True
            status = L.llama_decode(self.context, batch)
            L.llama_batch_free(batch)
            if status != 0:
                sys.exit(f"llama_decode: {status}")
            for i in range(len(part)):
                row = L.llama_get_logits_ith(self.context, i)
                yield np.ctypeslib.as_array(row, (self.n_vocab,))

    def close(self):
        L.llama_free(self.context)
        L.llama_model_free(self.model)


def log_softmax(logits):
    x = logits.astype(np.float64)
    x -= x.max()
    return x - np.log(np.exp(x).sum())


def greedy(peer, prompt, n, ends):
    ids = peer.tokenize(prompt)
    peer.clear()
    row = list(peer.logits(ids))[-1]
    tokens, seconds, gaps = [], [], []
    for step in range(n):
        row = row.copy()
        row[ends] = -np.inf
        best = int(row.argmax())
        top = float(row[best])
        row[best] = -np.inf
        second = int(row.argmax())
        tokens.append(best)
        seconds.append(second)
        gaps.append(round(top - float(row[second]), 4))
        row = next(peer.logits([best], len(ids) + step))
    return {"prompt": prompt, "ids": ids, "tokens": tokens, "second": seconds, "gap": gaps}


def text_top(peer, ids):
    top = np.zeros((len(ids), N_TOP), np.int32)
    logprobs = np.zeros((len(ids), N_TOP), np.float32)
    peer.clear()
    for i, row in enumerate(peer.logits(ids)):
        p = log_softmax(row)
        best = np.argpartition(-p, N_TOP)[:N_TOP]
        best = best[np.lexsort((best, -p[best]))]
        top[i], logprobs[i] = best, p[best]
    return top, logprobs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", help="path without ending")
    parser.add_argument("-n", type=int, default=200, help="greedy tokens (200)")
    parser.add_argument("--positions", type=int, default=1024, help="positions of the text (1024)")
    parser.add_argument("-t", type=int, default=1, help="threads; more than there are idle cores are slow (1)")
    o = parser.parse_args()
    with open(o.model, "rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    with open(TEXT, encoding="utf-8") as f:
        text = f.read()
    peer = Peer(o.model, o.positions + 64, o.t)
    ends = peer.ends()
    runs = [greedy(peer, p, o.n, ends) for p in PROMPTS]
    ids = peer.tokenize(text)[:o.positions]
    top, logprobs = text_top(peer, ids)
    document = {
        "made_by": f"python tools/peer_golden.py {os.path.basename(o.model)} {os.path.basename(o.out)}",
        "llama_cpp_python": L.__version__,
        "model_sha256": digest,
        "n_vocab": peer.n_vocab,
        "ends": ends,
        "greedy": runs,
    }
    with open(o.out + ".json", "w", encoding="utf-8") as f:
        head = {k: v for k, v in document.items() if k != "greedy"}
        rows = ",\n".join(json.dumps(r, separators=(",", ":")) for r in runs)
        f.write(json.dumps(head, separators=(",", ":"))[:-1] + ',"greedy":[\n' + rows + "\n]}\n")
    np.savez_compressed(o.out + ".npz", ids=np.array(ids, np.int32), top=top, logprobs=logprobs)
    peer.close()


if __name__ == "__main__":
    main()
