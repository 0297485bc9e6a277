"""Blocks of every tensor type with kernels: plain ones and the edges (zeros, all bits set, NaN and infinite scales).

Shared by test_formats.py and make_format_blocks.py. The expected weights come from the package `gguf`, which knows
nothing of puna.
"""

import gguf
import numpy as np

NAMES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
         "IQ4_NL", "IQ4_XS"]

# Offsets of the binary16 scales inside a block.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}

# binary16 patterns that encoders never or seldom write: zeros, subnormals, largest, infinities, NaNs
EDGE_HALVES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFE01]


def type_of(name):
    return gguf.GGMLQuantizationType[name]


def block_bytes(name):
    return gguf.GGML_QUANT_SIZES[type_of(name)][1]


def block_weights(name):
    return gguf.GGML_QUANT_SIZES[type_of(name)][0]


def typical_blocks(name, n, rng):
    """n blocks of random codes whose scales are ordinary numbers: uint8 [n, block_bytes]."""
    if name == "F32":
        return rng.standard_normal(n, dtype=np.float32).view(np.uint8).reshape(n, 4)
    if name == "F16":
        return rng.standard_normal(n).astype(np.float16).view(np.uint8).reshape(n, 2)
    if name == "BF16":
        upper = rng.standard_normal(n, dtype=np.float32).view(np.uint32) >> np.uint32(16)
        return upper.astype(np.uint16).view(np.uint8).reshape(n, 2)
    blocks = rng.integers(0, 256, (n, block_bytes(name)), dtype=np.uint8)
    for at in SCALES[name]:
        scale = (rng.standard_normal(n) * 0.01).astype(np.float16)
        blocks[:, at:at + 2] = scale.view(np.uint8).reshape(n, 2)
    return blocks


def edge_blocks(name, rng):
    """All zero, all ones, arbitrary bits, and every edge pattern in each scale."""
    size = block_bytes(name)
    rows = [np.zeros(size, np.uint8), np.full(size, 255, np.uint8)]
    rows += list(rng.integers(0, 256, (64, size), dtype=np.uint8))
    for at in SCALES.get(name, []):
        for half in EDGE_HALVES:
            for codes in (np.zeros(size, np.uint8), rng.integers(0, 256, size, dtype=np.uint8)):
                for other in SCALES[name]:
                    codes[other:other + 2] = (0x00, 0x3C)  # 1.0
                codes[at:at + 2] = (half & 255, half >> 8)
                rows.append(codes)
    return np.stack(rows)


def expected(name, blocks):
    """The weights of the blocks by the package gguf: float32 [n * block_weights]."""
    with np.errstate(all="ignore"):
        return gguf.quants.dequantize(blocks.reshape(-1), type_of(name)).astype(np.float32).reshape(-1)
