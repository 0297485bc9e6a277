#!/usr/bin/env python3
"""The forward pass of the supported architectures in plain NumPy: slow, readable, and independent of puna's C code.

Written from the papers and the published model definitions; reads weights from a GGUF file with the PyPI package
`gguf`, dequantised. Everything is computed in one precision (float64 unless asked otherwise), the whole sequence at
once, without a cache. It is what tests compare logits with.

    reference.py MODEL.gguf --ids 1,2,3                  the ten largest logits of the last position
    reference.py MODEL.gguf --ids 1,2,3 --all OUT.f32    float32 logits of every position, [n_ids, n_vocab]
    reference.py MODEL.gguf --ids 1,2,3 --layers OUT.npz the residual stream after each block: x0 (embedding), x1, ...

Shapes: n positions, e = n_embd, h heads, g key/value heads, d head size. A weight is [n_out, n_in].
"""

import argparse
import math

import gguf
import numpy as np
from gguf.quants import dequantize


class File:
    """Keys and dequantised tensors of a GGUF file."""

    def __init__(self, path, dtype):
        reader = gguf.GGUFReader(path)
        self.keys = {name: field.contents() for name, field in reader.fields.items()}
        self.tensors = {t.name: t for t in reader.tensors}
        self.arch = self.keys["general.architecture"]
        self.dtype = dtype

    def key(self, suffix, default=None):
        value = self.keys.get(f"{self.arch}.{suffix}", default)
        if value is None:
            raise KeyError(f"{self.arch}.{suffix}")
        return value

    def has(self, name):
        return name in self.tensors

    def tensor(self, name):
        t = self.tensors[name]
        return dequantize(t.data, t.tensor_type).astype(self.dtype)

    def rows(self, name, ids):
        """Some rows of a matrix: the embedding of a token is one row."""
        t = self.tensors[name]
        return dequantize(np.ascontiguousarray(t.data[ids]), t.tensor_type).astype(self.dtype)


def per_layer(value, n_layer):
    return list(value) if isinstance(value, (list, tuple)) else [value] * n_layer


class Config:
    """Hyper-parameters, one entry per layer where layers may differ."""

    def __init__(self, f):
        self.arch = f.arch
        self.n_layer = f.key("block_count")
        self.n_embd = f.key("embedding_length")
        self.n_head = per_layer(f.key("attention.head_count"), self.n_layer)
        self.n_head_kv = per_layer(f.key("attention.head_count_kv", f.key("attention.head_count")), self.n_layer)
        self.head_dim = f.key("attention.key_length", self.n_embd // self.n_head[0])
        self.eps = f.key("attention.layer_norm_rms_epsilon")
        self.n_expert_used = f.key("expert_used_count", 0)
        self.gelu = self.arch == "gemma3"
        # llama files hold q and k with rows reordered so that adjacent elements are a rotated pair
        self.adjacent_pairs = self.arch == "llama"
        self.attention_scale = 1 / math.sqrt(self.head_dim)
        if self.arch == "gemma3" and self.n_layer == 62:
            self.attention_scale = 1 / math.sqrt(self.n_embd / self.n_head[0])  # query_pre_attn_scalar of 27B
        self.attention_softcap = f.key("attn_logit_softcapping", 0.0) if self.arch == "gemma3" else 0.0
        self.logit_softcap = f.key("final_logit_softcapping", 0.0) if self.arch == "gemma3" else 0.0
        self.embedding_scale = math.sqrt(self.n_embd) if self.arch == "gemma3" else 1.0
        self.window = [self.layer_window(f, i) for i in range(self.n_layer)]
        self.rope = [self.layer_rope(f, self.window[i] > 0) for i in range(self.n_layer)]

    def layer_window(self, f, i):
        """Positions that layer i sees, 0: all. Gemma 3: five local layers, then a global one."""
        if self.arch != "gemma3":
            return 0
        pattern = f.key("attention.sliding_window_pattern", 6)
        local = bool(pattern[i]) if isinstance(pattern, (list, tuple)) else (i + 1) % pattern != 0
        return f.key("attention.sliding_window", 0) if local else 0

    def layer_rope(self, f, local):
        """(angle per position [n_rot / 2], magnitude of cos and sin) of a layer."""
        n_rot = f.key("rope.dimension_count", self.head_dim)
        base = f.key("rope.freq_base", 10000.0)
        scaling, factor = f.key("rope.scaling.type", "linear"), f.key("rope.scaling.factor", f.key("rope.scale_linear", 1.0))
        magnitude = f.key("rope.scaling.attn_factor", 1.0)
        if local:
            base, scaling, magnitude = f.key("rope.freq_base_swa", 10000.0), "none", 1.0
        i = np.arange(n_rot // 2, dtype=np.float64)
        angle = base ** (-2 * i / n_rot)
        if f.has("rope_freqs.weight") and self.arch == "llama":
            angle /= f.tensor("rope_freqs.weight").astype(np.float64)
        if scaling == "linear":
            angle /= factor
        elif scaling == "yarn":
            angle, magnitude = self.yarn(f, angle, n_rot, base, factor, magnitude)
        return angle, magnitude

    @staticmethod
    def yarn(f, angle, n_rot, base, factor, magnitude):
        """YaRN (Peng et al. 2023): dimensions that turn often keep their frequency, those that turn less than once
        in the original context are interpolated, with a linear ramp between."""
        n_orig = f.key("rope.scaling.original_context_length", f.key("context_length"))

        def dimension(turns):
            return n_rot * math.log(n_orig / (turns * 2 * math.pi)) / (2 * math.log(base))

        low = max(math.floor(dimension(f.key("rope.scaling.yarn_beta_fast", 32.0))), 0)
        high = min(math.ceil(dimension(f.key("rope.scaling.yarn_beta_slow", 1.0))), n_rot - 1)
        ramp = np.clip((np.arange(n_rot // 2) - low) / max(high - low, 0.001), 0, 1)
        keep = (1 - ramp) * f.key("rope.scaling.yarn_ext_factor", 1.0)
        return angle / factor * (1 - keep) + angle * keep, magnitude * (1 + 0.1 * math.log(factor))


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def rotate(x, angle, magnitude, adjacent_pairs):
    """x [n, heads, d]: pair i of position p turns by p * angle[i]; dimensions beyond the pairs stay."""
    n, n_rot = x.shape[0], 2 * len(angle)
    theta = np.arange(n)[:, None, None] * angle
    cos, sin = np.cos(theta) * magnitude, np.sin(theta) * magnitude
    first, second = (slice(0, n_rot, 2), slice(1, n_rot, 2)) if adjacent_pairs else (slice(0, n_rot // 2), slice(n_rot // 2, n_rot))
    a, b, out = x[..., first], x[..., second], x.copy()
    out[..., first] = a * cos - b * sin
    out[..., second] = a * sin + b * cos
    return out


class Model:
    def __init__(self, path, dtype=np.float64, kv_f16=False):
        self.f = File(path, dtype)
        self.c = Config(self.f)
        self.kv_f16 = kv_f16  # round keys and values as a 16-bit cache does

    def linear(self, x, name):
        y = x @ self.f.tensor(name + ".weight").T
        return y + self.f.tensor(name + ".bias") if self.f.has(name + ".bias") else y

    def norm(self, x, name):
        return rms_norm(x, self.f.tensor(name + ".weight"), self.c.eps)

    def attention(self, x, i):
        c, p, n = self.c, f"blk.{i}.", len(x)
        q = self.linear(x, p + "attn_q").reshape(n, c.n_head[i], c.head_dim)
        k = self.linear(x, p + "attn_k").reshape(n, c.n_head_kv[i], c.head_dim)
        v = self.linear(x, p + "attn_v").reshape(n, c.n_head_kv[i], c.head_dim)
        if self.f.has(p + "attn_q_norm.weight"):
            q, k = self.norm(q, p + "attn_q_norm"), self.norm(k, p + "attn_k_norm")
        q, k = (rotate(t, *c.rope[i], c.adjacent_pairs) for t in (q, k))
        if self.kv_f16:
            k, v = (t.astype(np.float16).astype(x.dtype) for t in (k, v))
        k, v = (np.repeat(t, c.n_head[i] // c.n_head_kv[i], axis=1) for t in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) * c.attention_scale
        if c.attention_softcap > 0:
            scores = c.attention_softcap * np.tanh(scores / c.attention_softcap)
        distance = np.arange(n)[:, None] - np.arange(n)[None, :]
        seen = (distance >= 0) & ((distance < c.window[i]) if c.window[i] > 0 else True)
        out = np.einsum("hqk,khd->qhd", softmax(np.where(seen, scores, -np.inf)), v)
        return self.linear(out.reshape(n, -1), p + "attn_output")

    def feed_forward(self, x, p):
        act = gelu_tanh if self.c.gelu else silu
        return self.linear(act(self.linear(x, p + "ffn_gate")) * self.linear(x, p + "ffn_up"), p + "ffn_down")

    def experts(self, x, p):
        """Mixtral: softmax over all experts, the best few, their weights divided by their sum."""
        weights = softmax(self.linear(x, p + "ffn_gate_inp"))
        gate, up, down = (self.f.tensor(p + f"ffn_{s}_exps.weight") for s in ("gate", "up", "down"))
        out = np.zeros_like(x)
        for t in range(len(x)):
            best = np.argsort(-weights[t], kind="stable")[: self.c.n_expert_used]
            share = weights[t, best] / weights[t, best].sum() * self.f.key("expert_weights_scale", 1.0)
            for w, e in zip(share, best):
                out[t] += w * (down[e] @ (silu(gate[e] @ x[t]) * (up[e] @ x[t])))
        return out

    def block(self, x, i):
        p, gemma = f"blk.{i}.", self.c.arch == "gemma3"
        y = self.attention(self.norm(x, p + "attn_norm"), i)
        x = x + (self.norm(y, p + "post_attention_norm") if gemma else y)
        h = self.norm(x, p + "ffn_norm")
        y = self.experts(h, p) if self.f.has(p + "ffn_gate_inp.weight") else self.feed_forward(h, p)
        return x + (self.norm(y, p + "post_ffw_norm") if gemma else y)

    def residuals(self, ids):
        """[x0, x1, ...]: the embedding and the residual stream after each block, each [n, e]."""
        xs = [self.f.rows("token_embd.weight", ids) * self.f.dtype(self.c.embedding_scale)]
        for i in range(self.c.n_layer):
            xs.append(self.block(xs[-1], i))
        return xs

    def hidden(self, ids):
        """[n, e]: what the product with the vocabulary reads."""
        return self.norm(self.residuals(ids)[-1], "output_norm")

    def head(self, x):
        name = "output" if self.f.has("output.weight") else "token_embd"
        y = self.linear(self.norm(x, "output_norm"), name)
        cap = self.c.logit_softcap
        return cap * np.tanh(y / cap) if cap > 0 else y

    def logits(self, ids):
        """[n, n_vocab]"""
        return self.head(self.residuals(ids)[-1])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model")
    ap.add_argument("--ids", required=True, help="token ids, comma separated")
    ap.add_argument("--all", metavar="OUT.f32")
    ap.add_argument("--layers", metavar="OUT.npz")
    ap.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    ap.add_argument("--kv-f16", action="store_true", help="round keys and values to 16 bits")
    a = ap.parse_args()
    model = Model(a.model, getattr(np, a.dtype), a.kv_f16)
    xs = model.residuals([int(i) for i in a.ids.split(",")])
    if a.layers:
        np.savez(a.layers, **{f"x{i}": x for i, x in enumerate(xs)})
    logits = model.head(xs[-1])
    if a.all:
        logits.astype(np.float32).tofile(a.all)
    else:
        for i in np.argsort(-logits[-1])[:10]:
            print(f"{i}\t{logits[-1, i]:.6f}")


if __name__ == "__main__":
    main()
