#!/usr/bin/env python3
"""Writes src/tmpl/unicode.def, classes and case mappings of characters, from Python's own tables:

    python3 tests/golden/make_unicode.py src/tmpl/unicode.def
"""

import sys
import unicodedata

N = 0x110000


def classes(c):
    """Bits as the header of the file names them."""
    if 0xd800 <= c < 0xe000:
        return 0
    s = chr(c)
    bits = [s.isprintable(), s.isalpha(), s.isdecimal(), s.isdigit(), s.isnumeric(), s.isupper(), s.islower(),
            unicodedata.category(s) == "Lt"]
    return sum(bit << i for i, bit in enumerate(bits))


fs = [classes(c) for c in range(N)]
rows, c = [], 0
while c < N:  # the longer of a run of equal classes and one of two that alternate
    e = a = c + 1
    while e < N and fs[e] == fs[c]:
        e += 1
    while a + 1 < N and fs[a + 1] == fs[a - 1]:
        a += 1
    if a + 1 > e and a - c >= 3:
        rows.append((c, a, fs[c], fs[c + 1]))
        c = a + 1
    else:
        rows.append((c, e - 1, fs[c], fs[c]))
        c = e
rows = [r for r in rows if r[2] or r[3]]
out = []


def emit(items):
    """Rows, as many as fit on a line."""
    line = ""
    for item in items:
        if len(line) + len(item) + 1 > 98:
            out.append(line.rstrip())
            line = ""
        line += item + " "
    if line:
        out.append(line.rstrip())


out.append(f"""/* unicode.def: what Python's str methods say about every character (Unicode {unicodedata.unidata_version}). Generated from Python's own tables
 * by tests/golden/make_unicode.py; tests/golden/test_templates.py compares them again.
 * CLASS(first, last, even, odd): class bits of first, first + 2 ... and of first + 1, first + 3 ...: 1 printable,
 *   2 alphabetic, 4 decimal, 8 digit, 16 numeric, 32 upper case, 64 lower case, 128 title case.
 * CASE(map, first, last, step, delta): characters first, first + step ... that map to themselves + delta.
 * FULL(map, code, a, b, c): a character that maps to two or three. Maps: 0 upper, 1 lower, 2 title, 3 fold. */""")
emit([f"CLASS({a:#x},{b:#x},{e},{o})" for a, b, e, o in rows])
for k, f in enumerate([str.upper, str.lower, str.title, str.casefold]):
    m, full = {}, []
    for c in (*range(0xd800), *range(0xe000, N)):
        v = f(chr(c))
        if len(v) > 1:
            full.append((c, [ord(x) for x in v]))
        elif v != chr(c):
            m[c] = ord(v) - c
    items, done = [], set()
    for c in sorted(m):
        if c in done:
            continue
        best = (1, c)
        for step in (1, 2):
            e = c
            while m.get(e + step) == m[c] and e + step not in done:
                e += step
            n = (e - c) // step + 1
            if n > (best[1] - c) // best[0] + 1:
                best = (step, e)
        done.update(range(c, best[1] + 1, best[0]))
        items.append(f"CASE({k},{c:#x},{best[1]:#x},{best[0]},{m[c]})")
    emit(items)
    emit([f"FULL({k},{c:#x}," + ",".join(f"{x:#x}" for x in (v + [0])[:3]) + ")" for c, v in full])
with open(sys.argv[1], "w", encoding="ascii") as file:
    file.write("\n".join(out) + "\n")
