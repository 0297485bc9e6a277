#!/usr/bin/env python3
"""Writes tiny random models as GGUF, one preset per architecture and feature, for tests.

    tiny_model.py --list
    tiny_model.py PRESET OUT.gguf [--type F32|F16|BF16|Q8_0|...|Q4_K|Q5_K|Q6_K] [--layers N] [--width W] [--seed S]

Every tensor is drawn from its own generator, seeded by seed and name: a model with fewer layers is the beginning of
the same model with more, so comparing depths 1, 2, ... finds the layer where two programs part. Weights are scaled so
that attention is far from uniform and logits differ by a few units.

Needs the PyPI packages numpy and gguf. K-quants are encoded here (gguf can only decode them): scales by minimum and
maximum of each sub-block, good enough for tests.
"""

import argparse
import zlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

PIECES = ["\u2581"] + list("etaonisrhldcumfpgwybvk") + [
    "\u2581t", "\u2581a", "th", "he", "in", "er", "an", "on", "\u2581the", "\u2581an", "and", "\u2581and", "ing", "re",
    "or", "en", "ed", "ll"]

# name -> changes to DEFAULT. ff: times the width. head_dim: at width 64, None: width / heads. keys are written below
# the architecture's prefix.
DEFAULT = dict(arch="llama", layers=3, heads=4, heads_kv=2, head_dim=None, ff=2, bias=False, tied=False, experts=0,
               used=0, rope_freqs=False, keys={})
PRESETS = {
    "llama": {},
    "llama-mha-tied": dict(heads_kv=4, tied=True),
    "llama-bias": dict(bias=True),
    "llama-rope-freqs": dict(rope_freqs=True),
    "llama-linear": dict(keys={"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}),
    "llama-yarn": dict(keys={"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
                             "rope.scaling.original_context_length": 64}),
    "llama-head-dim": dict(head_dim=24),
    "llama-kv-per-layer": dict(heads_kv=[4, 1, 2]),
    "mixtral": dict(experts=8, used=2),
    "mixtral-all": dict(experts=4, used=4),  # no choice that rounding could turn
    "qwen2": dict(arch="qwen2", bias=True, keys={"rope.freq_base": 1000000.0}),
    "qwen3": dict(arch="qwen3", head_dim=32, tied=True, keys={"rope.freq_base": 1000000.0}),
    "gemma3": dict(arch="gemma3", layers=7, heads_kv=1, head_dim=32, tied=True,
                   keys={"attention.sliding_window": 16, "rope.freq_base": 1000000.0}),
    "gemma3-scaled": dict(arch="gemma3", layers=7, head_dim=32, tied=True,
                          keys={"attention.sliding_window": 70, "rope.freq_base": 1000000.0,
                                "rope.scaling.type": "linear", "rope.scaling.factor": 8.0,
                                "final_logit_softcapping": 4.0}),
}
K_QUANTS = (T.Q4_K, T.Q5_K, T.Q6_K)


def options(preset, layers=None, width=None):
    """The full option table of a preset; width is n_embd, by default 64."""
    o = {**DEFAULT, **PRESETS[preset]}
    o["layers"] = layers or o["layers"]
    o["width"] = width or 64
    o["keys"] = dict(o["keys"])
    o["ff"] = o["ff"] * o["width"]
    o["head_dim"] = o["head_dim"] * o["width"] // 64 if o["head_dim"] else o["width"] // o["heads"]
    kv = o["heads_kv"]
    o["heads_kv"] = ([kv[i % len(kv)] for i in range(o["layers"])] if isinstance(kv, list) else [kv] * o["layers"])
    return o


# ---- quantising ----


def half(x):
    return x.astype(np.float16).astype(np.float32)


def ratio(a, b):
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def pack_scales(scale, minimum):
    """Eight 6-bit scales and eight 6-bit minimums into 12 bytes."""
    out = np.zeros((len(scale), 12), np.uint8)
    out[:, 0:4] = scale[:, :4] | (scale[:, 4:] >> 4) << 6
    out[:, 4:8] = minimum[:, :4] | (minimum[:, 4:] >> 4) << 6
    out[:, 8:12] = (scale[:, 4:] & 15) | (minimum[:, 4:] & 15) << 4
    return out


def encode_q45_k(x, bits):
    """Q4_K and Q5_K: w = d * scale * q - dmin * minimum in sub-blocks of 32."""
    x = x.reshape(-1, 8, 32)
    low = np.minimum(x.min(axis=2), 0)
    step = (x.max(axis=2).clip(0) - low) / (2**bits - 1)
    d, dmin = half(step.max(axis=1) / 63)[:, None], half((-low).max(axis=1) / 63)[:, None]
    scale = np.rint(ratio(step, np.broadcast_to(d, step.shape))).clip(0, 63).astype(np.uint8)
    minimum = np.rint(ratio(-low, np.broadcast_to(dmin, low.shape))).clip(0, 63).astype(np.uint8)
    width = np.broadcast_to((d * scale)[:, :, None], x.shape)
    q = np.rint(ratio(x + (dmin * minimum)[:, :, None], width)).clip(0, 2**bits - 1).astype(np.uint8)
    low4 = q & 15
    nibbles = (low4[:, 0::2] | low4[:, 1::2] << 4).reshape(-1, 128)
    high = sum(((q[:, g] >> 4) & 1) << g for g in range(8)).astype(np.uint8)
    head = [a.astype(np.float16).view(np.uint8).reshape(-1, 2) for a in (d, dmin)]
    return np.concatenate(head + [pack_scales(scale, minimum)] + ([high] if bits == 5 else []) + [nibbles], axis=1)


def encode_q6_k(x):
    """Q6_K: w = d * scale * (q - 32) in sub-blocks of 16."""
    x = x.reshape(-1, 16, 16)
    step = np.abs(x).max(axis=2) / 31
    d = half(step.max(axis=1) / 127)[:, None]
    scale = np.rint(ratio(step, np.broadcast_to(d, step.shape))).clip(0, 127).astype(np.int8)
    width = np.broadcast_to((d * scale)[:, :, None], x.shape)
    q = (np.rint(ratio(x, width)).clip(-32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)  # half, quarter, weight
    low = np.stack([q[:, :, 0] & 15 | (q[:, :, 2] & 15) << 4, q[:, :, 1] & 15 | (q[:, :, 3] & 15) << 4], axis=2)
    high = sum((q[:, :, j] >> 4) << 2 * j for j in range(4)).astype(np.uint8)
    return np.concatenate([low.reshape(-1, 128), high.reshape(-1, 64), scale.view(np.uint8),
                           d.astype(np.float16).view(np.uint8).reshape(-1, 2)], axis=1)


def encode(x, kind):
    """The bytes of matrix x [..., n_in] in a tensor type."""
    if kind not in K_QUANTS:
        return quantize(x, kind)
    raw = encode_q6_k(x) if kind == T.Q6_K else encode_q45_k(x, 4 if kind == T.Q4_K else 5)
    out = raw.reshape(*x.shape[:-1], -1)
    error = dequantize(out, kind) - x
    assert np.abs(error).max() < np.abs(x).max() * (0.2 if kind == T.Q4_K else 0.1), "the encoder and gguf disagree"
    return out


# ---- writing ----


class Writer:
    def __init__(self, path, arch, kind, seed):
        self.w = gguf.GGUFWriter(path, arch)
        self.kind, self.seed = kind, seed

    def normal(self, name, shape):
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        return rng.standard_normal(shape).astype(np.float32)

    def matrix(self, name, shape, gain=1.0, kind=None):
        """Random [n_out, n_in] (or [n_expert, n_out, n_in]) that keeps the size of its input, times gain."""
        x = self.normal(name, shape) * np.float32(gain / np.sqrt(shape[-1]))
        kind = self.kind if kind is None else kind
        if kind == T.F32:
            self.w.add_tensor(name, x)
        else:
            self.w.add_tensor(name, encode(x, kind), raw_dtype=kind)

    def vector(self, name, n, mean, spread):
        self.w.add_tensor(name, mean + np.float32(spread) * self.normal(name, (n,)))

    def close(self):
        self.w.write_header_to_file()
        self.w.write_kv_data_to_file()
        self.w.write_tensors_to_file()
        self.w.close()


def write_keys(w, o):
    arch, g = o["arch"], w.w
    kv = o["heads_kv"]
    g.add_uint32(f"{arch}.context_length", 512)
    g.add_uint32(f"{arch}.embedding_length", o["width"])
    g.add_uint32(f"{arch}.block_count", o["layers"])
    g.add_uint32(f"{arch}.feed_forward_length", o["ff"])
    g.add_uint32(f"{arch}.attention.head_count", o["heads"])
    if len(set(kv)) == 1:
        g.add_uint32(f"{arch}.attention.head_count_kv", kv[0])
    else:
        g.add_array(f"{arch}.attention.head_count_kv", kv)
    g.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", 1e-5)
    if o["head_dim"] * o["heads"] != o["width"]:
        for k in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
            g.add_uint32(f"{arch}.{k}", o["head_dim"])
    if o["experts"]:
        g.add_uint32(f"{arch}.expert_count", o["experts"])
        g.add_uint32(f"{arch}.expert_used_count", o["used"])
    for k, v in o["keys"].items():
        add = g.add_string if isinstance(v, str) else g.add_float32 if isinstance(v, float) else g.add_uint32
        add(f"{arch}.{k}", v)


def write_vocabulary(w):
    """SentencePiece-style: three control tokens, all bytes, a few pieces. Returns the number of tokens."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + PIECES
    types = [2, 3, 3] + [6] * 256 + [1] * len(PIECES)
    scores = [0.0] * 259 + [-float(i + 1) for i in range(len(PIECES))]
    w.w.add_tokenizer_model("llama")
    w.w.add_token_list(tokens)
    w.w.add_token_scores(scores)
    w.w.add_token_types(types)
    w.w.add_bos_token_id(1)
    w.w.add_eos_token_id(2)
    w.w.add_unk_token_id(0)
    return len(tokens)


def write_layer(w, o, i):
    p, e, d, gemma = f"blk.{i}.", o["width"], o["head_dim"], o["arch"] == "gemma3"
    n_q, n_kv, n_ff = o["heads"] * d, o["heads_kv"][i] * d, o["ff"]
    w.vector(p + "attn_norm.weight", e, 1, 0.2)
    for name, n_out, gain in (("attn_q", n_q, 1.5), ("attn_k", n_kv, 1.5), ("attn_v", n_kv, 1)):
        w.matrix(p + name + ".weight", (n_out, e), gain)
        if o["bias"]:
            w.vector(p + name + ".bias", n_out, 0, 0.5)
    w.matrix(p + "attn_output.weight", (e, n_q))
    if o["bias"] and o["arch"] == "llama":
        w.vector(p + "attn_output.bias", e, 0, 0.2)
    if o["arch"] in ("qwen3", "gemma3"):
        w.vector(p + "attn_q_norm.weight", d, 1.5, 0.3)
        w.vector(p + "attn_k_norm.weight", d, 1.5, 0.3)
    if gemma:
        w.vector(p + "post_attention_norm.weight", e, 0.5, 0.1)
        w.vector(p + "post_ffw_norm.weight", e, 0.5, 0.1)
    w.vector(p + "ffn_norm.weight", e, 1, 0.2)
    if o["experts"]:
        w.matrix(p + "ffn_gate_inp.weight", (o["experts"], e), 2, T.F32)
    suffix, lead = ("_exps", (o["experts"],)) if o["experts"] else ("", ())
    w.matrix(p + f"ffn_gate{suffix}.weight", (*lead, n_ff, e))
    w.matrix(p + f"ffn_up{suffix}.weight", (*lead, n_ff, e))
    w.matrix(p + f"ffn_down{suffix}.weight", (*lead, e, n_ff), 1.5)


def rope_freqs(n):
    """Llama 3.1's divisors: fast frequencies are kept, slow ones divided by 8, a smooth step between; the limits
    suit a head as small as these."""
    turns = 64 * 10000.0 ** (-np.arange(n) / n) / (2 * np.pi)
    smooth = np.clip((turns - 1) / (4 - 1), 0, 1)
    return (1 / ((1 - smooth) / 8 + smooth)).astype(np.float32)


def write_model(path, preset, kind="F32", layers=None, width=None, seed=1):
    """Writes the model; kind is the type of its matrices (vectors and routers stay F32)."""
    o = options(preset, layers, width)
    w = Writer(path, o["arch"], T[kind], seed)
    write_keys(w, o)
    n_vocab = write_vocabulary(w)
    w.matrix("token_embd.weight", (n_vocab, o["width"]), 1 if o["arch"] == "gemma3" else np.sqrt(o["width"]))
    if o["rope_freqs"]:
        w.w.add_tensor("rope_freqs.weight", rope_freqs(o["head_dim"] // 2))
    for i in range(o["layers"]):
        write_layer(w, o, i)
    w.vector("output_norm.weight", o["width"], 1, 0.2)
    if not o["tied"]:
        w.matrix("output.weight", (n_vocab, o["width"]), 2)
    w.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("preset", nargs="?", choices=PRESETS)
    ap.add_argument("out", nargs="?")
    ap.add_argument("--list", action="store_true", help="names of the presets")
    ap.add_argument("--type", default="F32")
    ap.add_argument("--layers", type=int)
    ap.add_argument("--width", type=int, help="n_embd; a multiple of 256 for K-quants (default 64)")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    if a.list:
        print("\n".join(PRESETS))
        return
    if not a.out:
        ap.error("PRESET and OUT.gguf are needed")
    write_model(a.out, a.preset, a.type, a.layers, a.width, a.seed)


if __name__ == "__main__":
    main()
