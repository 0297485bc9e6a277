#!/usr/bin/env python3
"""Writes tests/golden/peer/samplers.json: what llama.cpp's own samplers leave of random logits.

Runs the samplers of the llama.cpp inside llama-cpp-python (PyPI: llama-cpp-python, gguf, numpy) one by one and
in whole chains, through its C interface, and records which tokens stay possible with which probability.
tests/unit/run/test_sampler.c holds puna's samplers to these numbers.

    python tools/sampler_golden.py > tests/golden/peer/samplers.json
"""
import ctypes
import json
import os
import sys
import tempfile

import gguf
import llama_cpp as L
import numpy as np

WORDS = ["a", "b", "c", "d", "e", "the", " cat", " sat", " on", " mat", ".", "\n", ":", "\"", "*", "#", "##", " #",
         "x\n", " ::", "end", "nd", "-", "--", "d-", ">", "->", "<end", " e", "nd>", "z", "y", "w", "v", "u", "t"]
N_CTX = 256

# the alphabet in which byte-level BPE stores text: printable Latin-1 as itself, other bytes from U+0100 on
PLAIN = [*range(33, 127), *range(161, 173), *range(174, 256)]
ALPHABET = {b: chr(b) for b in PLAIN}
ALPHABET.update({b: chr(256 + i) for i, b in enumerate(sorted(set(range(256)) - set(PLAIN)))})


def stored(word):
    return "".join(ALPHABET[b] for b in word.encode())


def vocabulary(n):
    """Words first, then every byte, then fillers."""
    texts = [stored(w) for w in WORDS]
    texts += [c for c in (ALPHABET[b] for b in range(256)) if c not in texts]
    return (texts + [f"filler{i}" for i in range(n)])[:n]


def write_vocabulary(path, tokens):
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types([1] * len(tokens))
    w.add_token_merges(["- >", "# #"])
    w.add_bos_token_id(len(tokens) - 1)
    w.add_eos_token_id(len(tokens) - 1)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


class Candidates:
    def __init__(self, logits):
        n = len(logits)
        self.data = (L.llama_token_data * n)(*[L.llama_token_data(i, float(x), 0.0) for i, x in enumerate(logits)])
        self.array = L.llama_token_data_array(
            ctypes.cast(self.data, ctypes.POINTER(L.llama_token_data)), n, -1, False)

    def apply(self, sampler):
        L.llama_sampler_apply(sampler, ctypes.byref(self.array))

    def drop_impossible(self):
        """top-n-sigma leaves what it forbids in the list at -infinity, and typical then computes 0 * log 0: the
        entropy is NaN and the choice arbitrary. What is impossible is taken out before the next sampler."""
        left = [(self.array.data[i].id, self.array.data[i].logit) for i in range(self.array.size)]
        left = [row for row in left if row[1] > -np.inf]
        for i, (token, logit) in enumerate(left):
            self.array.data[i].id, self.array.data[i].logit = token, logit
        self.array.size = len(left)

    def possible(self):
        """[[id, probability]] of what is left, softmax of the logits in double, most likely first."""
        rows = [(self.array.data[i].id, self.array.data[i].logit) for i in range(self.array.size)]
        rows = [(t, x) for t, x in rows if np.isfinite(x)]
        x = np.array([r[1] for r in rows], dtype=np.float64)
        p = np.exp(x - x.max())
        p /= p.sum()
        out = [[t, float(q)] for (t, _), q in zip(rows, p)]
        return sorted(out, key=lambda r: (-r[1], r[0]))


def samplers(vocab, p):
    """llama.cpp's default chain, as far as the parameters ask for it. Neutral ones are left out."""
    s = []
    if p.get("logit_bias"):
        rows = (L.llama_logit_bias * len(p["logit_bias"]))(*[L.llama_logit_bias(t, b) for t, b in p["logit_bias"]])
        s.append(L.llama_sampler_init_logit_bias(p["n_vocab"], len(rows), rows))
    if "penalty_last_n" in p:
        s.append(L.llama_sampler_init_penalties(p["n_vocab"], p["penalty_last_n"], p.get("repeat_penalty", 1.0),
                                                p.get("frequency_penalty", 0.0), p.get("presence_penalty", 0.0)))
    if p.get("dry_multiplier"):
        texts = [b.encode() for b in p["dry_sequence_breakers"]]
        s.append(L.llama_sampler_init_dry(vocab, p["dry_multiplier"], p["dry_base"], p["dry_allowed_length"],
                                          p["dry_penalty_last_n"], (ctypes.c_char_p * len(texts))(*texts),
                                          len(texts)))
    if "top_n_sigma" in p:
        s.append(L.llama_sampler_init_top_n_sigma(p["top_n_sigma"]))
    if "mirostat" in p:
        s.append(L.llama_sampler_init_temp(p["temperature"]))
        tau, eta = p["mirostat_tau"], p["mirostat_eta"]
        s.append(L.llama_sampler_init_mirostat(p["n_vocab"], 1, tau, eta, 100) if p["mirostat"] == 1
                 else L.llama_sampler_init_mirostat_v2(1, tau, eta))
        return s
    if "top_k" in p:
        s.append(L.llama_sampler_init_top_k(p["top_k"]))
    if "typical_p" in p:
        s.append(L.llama_sampler_init_typical(p["typical_p"], 0))
    if "top_p" in p:
        s.append(L.llama_sampler_init_top_p(p["top_p"], 0))
    if "min_p" in p:
        s.append(L.llama_sampler_init_min_p(p["min_p"], 0))
    if "xtc_probability" in p:
        s.append(L.llama_sampler_init_xtc(p["xtc_probability"], p["xtc_threshold"], 0, 1))
    if "temperature" in p:
        s.append(L.llama_sampler_init_temp(p["temperature"]))
    return s


def run(vocab, logits, params, history):
    made = samplers(vocab, {**params, "n_vocab": len(logits)})
    for s in made:
        for token in history:
            L.llama_sampler_accept(s, token)
    c = Candidates(logits)
    for s in made:
        c.apply(s)
        if "mirostat" not in params:
            c.drop_impossible()
    out = {"left": c.possible()}
    if "mirostat" in params:
        # the token it drew moves the bound; what it leaves next time shows where to
        out["drawn"] = int(c.array.data[c.array.selected].id)
        out["drawn_p"] = float(f"{c.array.data[c.array.selected].p:.7g}")
        c = Candidates(logits)
        for s in made:
            c.apply(s)
        out["left_next"] = c.possible()
    for s in made:
        L.llama_sampler_free(s)
    return out


def logit_sets():
    rng = np.random.default_rng(20)
    sets = {
        "small": rng.normal(0, 2, 40),
        "peaked": np.concatenate([[9.0, 7.5, 7.25, 5.0], rng.normal(-1, 2, 316)]),
        "flat": rng.normal(0, 0.6, 320),
        "wide": rng.normal(0, 2.5, 1200),
    }
    # four digits, all different, so that no order depends on how ties are broken
    out = {}
    for name, x in sets.items():
        x = np.round(x, 4)
        while len(np.unique(x)) < len(x):
            _, first = np.unique(x, return_index=True)
            again = np.setdiff1d(np.arange(len(x)), first)
            x[again] = np.round(x[again] + rng.normal(0, 0.01, len(again)), 4)
        out[name] = [float(v) for v in x]
    return out


def penalty_cases():
    rng = np.random.default_rng(21)
    history = [int(t) for t in rng.integers(0, 30, 90)]
    for last_n in (1, 8, 64, 200):
        for more in ({"repeat_penalty": 1.3}, {"repeat_penalty": 0.8}, {"frequency_penalty": 0.4},
                     {"presence_penalty": 0.7},
                     {"repeat_penalty": 1.1, "frequency_penalty": -0.2, "presence_penalty": 0.5}):
            yield {"penalty_last_n": last_n, **more}, history
    yield {"logit_bias": [[3, 2.5], [5, -1.0], [3, 0.5]]}, []
    yield {"logit_bias": [[0, 4.0]], "penalty_last_n": 64, "repeat_penalty": 1.5}, [0, 0, 1]


def dry_cases():
    at = {w: i for i, w in enumerate(WORDS)}
    sentence = [at[w] for w in ("the", " cat", " sat", " on", "the", " mat", ".")]
    rng = np.random.default_rng(22)
    histories = [
        sentence + sentence[:3],
        sentence * 4,
        sentence + [at["\n"]] + sentence[:4],
        sentence + [at["x\n"]] + sentence[:2] + [at["x\n"]] + sentence[:2],
        [at["a"]] * 12,
        [at["a"], at["b"]] * 9 + [at["a"]],
        sentence + [at["<end"], at[">"]] + sentence[:4],
        sentence + [at["-"], at["->"]] + sentence[:4] + [at["-"], at["->"]] + sentence[:3],
        [int(t) for t in rng.integers(0, 4, 60)],
        [int(t) for t in rng.integers(0, 3, 200)],
        [at["a"]],
    ]
    settings = [
        (0.8, 1.75, 2, N_CTX, ["\n", ":", "\"", "*"]),
        (1.2, 1.3, 1, 20, ["\n"]),
        (0.5, 2.0, 3, 64, ["<end>", "-->", "\n"]),
        (0.8, 1.75, 2, N_CTX, []),
    ]
    for m, base, allowed, last_n, breakers in settings:
        for history in histories:
            yield {"dry_multiplier": m, "dry_base": base, "dry_allowed_length": allowed,
                   "dry_penalty_last_n": last_n, "dry_sequence_breakers": breakers}, history


def truncation_cases():
    for k in (1, 2, 5, 40, 150, 5000):
        yield {"top_k": k}, []
    for p in (0.05, 0.5, 0.9, 0.95, 0.999):
        yield {"top_p": p}, []
        if p < 0.99:  # llama.cpp adds up in single precision: too coarse to say which token is the last of 0.999
            yield {"typical_p": p}, []
            yield {"top_k": 30, "typical_p": p}, []
    for p in (0.01, 0.05, 0.3, 0.9):
        yield {"min_p": p}, []
    for n in (0.3, 1.0, 2.0, 3.5):
        yield {"top_n_sigma": n}, []
        yield {"top_n_sigma": n, "top_k": 10}, []
    for threshold in (0.02, 0.1, 0.3, 0.5, 0.6):
        yield {"xtc_probability": 1.0, "xtc_threshold": threshold}, []
    for t in (0.1, 0.8, 1.0, 2.5):
        yield {"temperature": t}, []


def chain_cases():
    rng = np.random.default_rng(23)
    default = {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8}
    yield default, []
    yield {"top_p": 0.9, "min_p": 0.02, "temperature": 1.3}, []
    yield {"top_k": 25, "typical_p": 0.7, "top_p": 0.9, "min_p": 0.1, "temperature": 0.6}, []
    yield {"top_n_sigma": 1.5, "top_p": 0.8, "xtc_probability": 1.0, "xtc_threshold": 0.05, "temperature": 1.1}, []
    yield {"min_p": 0.03, "xtc_probability": 1.0, "xtc_threshold": 0.08, "temperature": 0.9}, []
    for _ in range(12):
        history = [int(t) for t in rng.integers(0, 36, 80)]
        yield {"logit_bias": [[int(rng.integers(0, 36)), round(float(rng.normal(0, 3)), 3)]],
               "penalty_last_n": 64, "repeat_penalty": 1.2, "frequency_penalty": 0.1, "presence_penalty": 0.2,
               "dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 1, "dry_penalty_last_n": N_CTX,
               "dry_sequence_breakers": ["\n", ":"],
               "top_n_sigma": round(float(rng.uniform(0.8, 3)), 3), "top_k": int(rng.integers(5, 60)),
               "typical_p": round(float(rng.uniform(0.5, 1)), 3), "top_p": round(float(rng.uniform(0.5, 1)), 3),
               "min_p": round(float(rng.uniform(0, 0.2)), 3), "xtc_probability": 1.0,
               "xtc_threshold": round(float(rng.uniform(0.02, 0.3)), 3),
               "temperature": round(float(rng.uniform(0.3, 2)), 3)}, history


def mirostat_cases():
    for version in (1, 2):
        for tau in (0.5, 1.5, 3.0, 5.0):
            for temperature in (0.7, 1.0):
                yield {"mirostat": version, "mirostat_tau": tau, "mirostat_eta": 0.3, "temperature": temperature}, []


def main():
    @L.llama_log_callback
    def quiet(level, text, user):
        pass

    L.llama_backend_init()
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    sets = logit_sets()
    tokens = vocabulary(max(len(x) for x in sets.values()))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vocab.gguf")
        write_vocabulary(path, tokens)
        params = L.llama_model_default_params()
        params.vocab_only = True
        model = L.llama_model_load_from_file(path.encode(), params)
        if not model:
            sys.exit("llama.cpp did not open the vocabulary")
        vocab = L.llama_model_get_vocab(model)
        cases = []
        for name, logits in sets.items():
            kinds = [penalty_cases, dry_cases, truncation_cases, chain_cases, mirostat_cases]
            if name in ("small", "wide"):
                kinds = [truncation_cases, chain_cases, mirostat_cases] if name == "wide" else kinds
            elif name == "flat":
                kinds = [truncation_cases, mirostat_cases]
            for kind in kinds:
                for params, history in kind():
                    case = {"kind": kind.__name__, "logits": name, "params": params, "history": history,
                            **run(vocab, logits, params, history)}
                    cases.append(shorten(case))
    print(render({"made_by": "python tools/sampler_golden.py", "llama_cpp_python": L.__version__, "n_ctx": N_CTX,
                  "words": tokens[:len(WORDS)], "logits": sets, "cases": cases}))


def shorten(case):
    """Long lists are recorded as their length and their first rows: enough to tell them apart."""
    for key in ("left", "left_next"):
        if key in case:
            case["n_" + key] = len(case[key])
            case[key] = [[t, float(f"{p:.7g}")] for t, p in case[key][:16]]
    return case


def render(document):
    cases = document.pop("cases")
    head = json.dumps(document, separators=(",", ":"))
    rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    return head[:-1] + ',"cases":[\n' + rows + "\n]}"


main()
