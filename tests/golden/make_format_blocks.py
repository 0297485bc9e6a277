"""Writes tests/unit/fmt/format_blocks.h: a few blocks of every type and their weights by the package `gguf`.

    python tests/golden/make_format_blocks.py > tests/unit/fmt/format_blocks.h
"""

import numpy as np

import formats

HEAD = """\
/* format_blocks.h: blocks of every tensor type with kernels and the weights they hold by the independent package
 * `gguf` {version}, as binary32 patterns. Made by
 *
 *     python tests/golden/make_format_blocks.py > tests/unit/fmt/format_blocks.h
 *
 * Hexadecimal bytes in file order; weights little-endian too. One string per line, an empty one ends a list. */
/* clang-format off */
typedef struct golden_blocks {{
    const char *format;
    const char *const *bytes;
    const char *const *weights;
}} golden_blocks;
"""


def lines(data):
    text = data.tobytes().hex()
    return "".join(f'    "{text[i:i + 96]}",\n' for i in range(0, len(text), 96))


def main():
    rng = np.random.default_rng(20)
    print(HEAD.format(version=__import__("importlib.metadata").metadata.version("gguf")))
    for name in formats.NAMES:
        weights = formats.block_weights(name)
        blocks = formats.typical_blocks(name, 2 if weights == 256 else 4 if weights == 32 else 24, rng)
        print(f"static const char *const {name}_bytes[] = {{\n{lines(blocks)}    \"\"}};")
        print(f"static const char *const {name}_weights[] = {{\n{lines(formats.expected(name, blocks))}    \"\"}};")
    print("static const golden_blocks golden[] = {")
    for name in formats.NAMES:
        print(f'    {{"{name}", {name}_bytes, {name}_weights}},')
    print("};\n/* clang-format on */")


main()
