#!/usr/bin/env python3
"""Logits of puna against llama.cpp's over a text: top-1 agreement and Kullback-Leibler divergence.

Both compute every position of the same tokens (llama.cpp's tokenization). KL is of puna's distribution from
llama.cpp's, sum p log(p / q) over the whole vocabulary, in nats. As a measure of what rounding alone does, --self
compares llama.cpp with itself, once without and once with flash attention; --exact measures both against
tools/reference.py, which computes with the dequantized weights and rounds nothing.

    python tools/compare_logits.py --puna build/release/puna model.gguf [text.txt]

Needs llama-cpp-python and numpy (PyPI).
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np

from peer_golden import TEXT, Peer, log_softmax


HERE = os.path.dirname(os.path.abspath(__file__))


class Tally:
    def __init__(self):
        self.kl, self.same, self.gaps = [], [], []

    def add(self, peer, other):
        p, q = log_softmax(peer), log_softmax(other)
        weight = np.exp(p)
        self.kl.append(float(np.sum(np.where(weight > 0, weight * (p - q), 0))))
        best = int(peer.argmax())
        self.same.append(best == int(other.argmax()))
        if not self.same[-1]:
            self.gaps.append(float(peer[best] - peer[int(other.argmax())]))

    def report(self, title):
        kl = np.array(self.kl)
        print(f"{title}: {len(kl)} positions, top-1 agreement {100 * np.mean(self.same):.2f} %, KL mean {kl.mean():.3g}, "
              f"median {np.median(kl):.3g}, 99 % {np.quantile(kl, .99):.3g}, max {kl.max():.3g}")
        if self.gaps:
            print(f"  where the best differ, the peer's gap between the two: median {np.median(self.gaps):.3g}, "
                  f"max {max(self.gaps):.3g} logits")


def logits_of(command, ids, n_vocab, path):
    """Runs a program that writes float32 [n_ids, n_vocab] to path."""
    done = subprocess.run([*command, "--ids", ",".join(map(str, ids)), "--all", path], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: {done.stderr.strip()[-500:]}")
    return np.memmap(path, np.float32, "r", shape=(len(ids), n_vocab))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("text", nargs="?", default=TEXT, help="a text file (tests/golden/text.txt)")
    parser.add_argument("--puna", default="build/release/puna")
    parser.add_argument("-n", type=int, default=1024, help="positions at most (1024)")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--self", action="store_true", help="also llama.cpp against itself")
    parser.add_argument("--exact", action="store_true", help="also both against exact arithmetic (slow)")
    o = parser.parse_args()
    with open(o.text, encoding="utf-8") as f:
        text = f.read()
    peer = Peer(o.model, o.n + 64, o.threads, flash_attention=0)
    ids = peer.tokenize(text)[:o.n]
    print(f"{os.path.basename(o.model)}: {len(ids)} positions of {os.path.basename(o.text)}")
    with tempfile.TemporaryDirectory() as folder:
        puna = [o.puna, "logits", "-m", o.model, "-c", str(len(ids)), "-t", str(o.threads)]
        exact = [sys.executable, os.path.join(HERE, "reference.py"), o.model, "--dtype", "float32"]
        rows = logits_of(puna, ids, peer.n_vocab, os.path.join(folder, "puna.f32"))
        true = logits_of(exact, ids, peer.n_vocab, os.path.join(folder, "exact.f32")) if o.exact else rows
        both, mine, other = Tally(), Tally(), Tally()
        for x, y, theirs in zip(rows, true, peer.logits(ids)):
            both.add(theirs, x)
            if o.exact:
                mine.add(y, x)
                other.add(y, theirs)
        both.report("puna - llama.cpp")
        if o.exact:
            mine.report("puna - exact")
            other.report("llama.cpp - exact")
    if o.self:
        again = Peer(o.model, o.n + 64, o.threads, flash_attention=1)
        peer.clear()
        tally = Tally()
        for flash, plain in zip(again.logits(ids), peer.logits(ids)):
            tally.add(plain, flash)
        tally.report("llama.cpp - itself with flash attention")
        again.close()
    peer.close()


if __name__ == "__main__":
    main()
