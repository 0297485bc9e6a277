"""Random texts of a grammar in GBNF, for tests: read and walked without any of puna's code.

Of the notation only what puna writes itself is understood: literals, classes, ".", groups, rules, and repetitions.
"""

import re
import string

NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
COUNTS = re.compile(r"\{(\d+)(,(\d*))?\}")
# what a class is drawn from, beside its own ranges
COMMON = string.ascii_letters + string.digits + " \"\\/_-.,:;!?(){}[]+*#@~\n\t\x00\x7f\u00e9\u65e5\u2028\U0001f600"
DEEP = 40  # rules within rules: from here on the shortest way out


class Reader:
    """Rules as trees: ("text", s), ("class", negative, ranges), ("seq", list), ("alt", list), ("rule", name),
    ("repeat", tree, min, max or None)."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def rules(self):
        found = {}
        for line in self.text.splitlines():
            name, body = line.split(" ::= ", 1)
            assert NAME.fullmatch(name) and name not in found, line
            self.text, self.at = body, 0
            found[name] = self.alternatives()
            assert self.at == len(body), body[self.at:]
        return found

    def peek(self):
        return self.text[self.at:self.at + 1]

    def alternatives(self):
        branches = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            branches.append(self.sequence())
        return branches[0] if len(branches) == 1 else ("alt", branches)

    def sequence(self):
        parts = []
        while True:
            while self.peek() == " ":
                self.at += 1
            if self.peek() in ("", "|", ")"):
                return parts[0] if len(parts) == 1 else ("seq", parts)
            parts.append(self.repeated(self.single()))

    def single(self):
        first = self.peek()
        self.at += 1
        if first == '"':
            return ("text", "".join(iter(lambda: self.character('"'), None)))
        if first == ".":
            return ("class", True, [])
        if first == "[":
            return self.class_()
        if first == "(":
            inside = self.alternatives()
            assert self.peek() == ")"
            self.at += 1
            return inside
        found = NAME.match(self.text, self.at - 1)
        self.at = found.end()
        return ("rule", found.group())

    def class_(self):
        negative = self.peek() == "^"
        self.at += negative
        ranges = []
        while (low := self.character("]")) is not None:
            if self.peek() == "-":
                self.at += 1
                ranges.append((low, self.character("]")))
            else:
                ranges.append((low, low))
        return ("class", negative, ranges)

    def character(self, end):
        """The next character of a literal or class, None at its end."""
        c = self.text[self.at]
        self.at += 1
        if c == end:
            return None
        if c != "\\":
            return c
        c = self.text[self.at]
        self.at += 1
        digits = {"x": 2, "u": 4, "U": 8}.get(c)
        if digits:
            self.at += digits
            return chr(int(self.text[self.at - digits:self.at], 16))
        return {"n": "\n", "t": "\t", "r": "\r"}.get(c, c)

    def repeated(self, tree):
        while self.peek() and self.peek() in "*+?{":
            simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self.peek())
            if simple:
                self.at += 1
                tree = ("repeat", tree, *simple)
            else:
                found = COUNTS.match(self.text, self.at)
                self.at = found.end()
                low = int(found.group(1))
                high = low if found.group(2) is None else int(found.group(3)) if found.group(3) else None
                tree = ("repeat", tree, low, high)
        return tree


def in_class(tree, c):
    return any(low <= c <= high for low, high in tree[2]) != tree[1]


class Sampler:
    def __init__(self, gbnf, rng):
        self.rules, self.rng = Reader(gbnf).rules(), rng
        self.costs = dict.fromkeys(self.rules, float("inf"))
        changed = True
        while changed:
            changed = False
            for name, tree in self.rules.items():
                cost = self.cost(tree)
                changed |= cost < self.costs[name]
                self.costs[name] = min(cost, self.costs[name])
        assert self.costs["root"] < float("inf"), "the grammar has no text"

    def cost(self, tree):
        """Rules that the shortest way through a tree takes."""
        kind = tree[0]
        if kind == "rule":
            return 1 + self.costs[tree[1]]
        if kind == "seq":
            return sum(map(self.cost, tree[1]))
        if kind == "alt":
            return min(map(self.cost, tree[1]))
        if kind == "repeat":
            return tree[2] * self.cost(tree[1]) if tree[2] else 0
        return 0

    def text(self):
        return self.walk(self.rules["root"], 0)

    def walk(self, tree, depth):
        kind = tree[0]
        if kind == "text":
            return tree[1]
        if kind == "class":
            return self.draw(tree)
        if kind == "rule":
            return self.walk(self.rules[tree[1]], depth + 1)
        if kind == "seq":
            return "".join(self.walk(part, depth) for part in tree[1])
        if kind == "alt":
            choice = self.rng.choice(tree[1]) if depth < DEEP else min(tree[1], key=self.cost)
            return self.walk(choice, depth)
        low = tree[2]
        high = low + (self.rng.choice((0, 0, 1, 1, 2, 3, 7)) if depth < DEEP else 0)
        if tree[3] is not None:
            high = min(high, tree[3])
        return "".join(self.walk(tree[1], depth) for _ in range(self.rng.randint(low, high)))

    def draw(self, tree):
        while True:
            if not tree[1] and self.rng.random() < 0.7:
                low, high = self.rng.choice(tree[2])
                c = chr(self.rng.randint(ord(low), ord(high)))
            else:
                c = self.rng.choice(COMMON) if self.rng.random() < 0.9 else chr(self.rng.randrange(0x110000))
            if in_class(tree, c) and not 0xd800 <= ord(c) < 0xe000:
                return c
