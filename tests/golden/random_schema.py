"""Random JSON schemas and documents, for tests; and the same schemas in the dialect of Python's jsonschema, whose
patterns are Python's."""

import itertools
import random

NAMES = ["a", "b", "c", "ab", ""]
TYPES = ["string", "integer", "number", "array", "object", "boolean", "null"]
NUMBERS = [0, 1, 2, 3, 5, 7, 10, 12, -1, -3, -10, 100, 0.5, 1.5, -2.5, 0.25, 99, 1000, 3.14, 12345]
TEXTS = ["a", "b", "ab", "x y", "", "\u00e9", 'a"b', "\n", "foo", "12", "2024-02-29", "a@b.c"]
FORMATS = ["date", "time", "date-time", "uuid", "ipv4", "ipv6", "email", "json-pointer", "duration", "uri", "hostname",
           "relative-json-pointer", "uri-reference", "uri-template"]


class Maker:
    """closed: each schema names its types, and says what it thinks of other properties and items. What it then allows
    is all that puna allows; without, puna leaves some of it out (docs/STRUCTURED-OUTPUT.md)."""

    def __init__(self, seed, closed=False):
        self.rng, self.closed = random.Random(seed), closed

    def chance(self, p):
        return self.rng.random() < p

    # ---- values

    def value(self, depth=1):
        kind = self.rng.randrange(8 if depth else 6)
        if kind == 0:
            return None
        if kind == 1:
            return self.chance(0.5)
        if kind in (2, 3):
            return self.rng.choice(NUMBERS)
        if kind in (4, 5):
            return self.rng.choice(TEXTS)
        if kind == 6:
            return [self.value(depth - 1) for _ in range(self.rng.randrange(4))]
        return {name: self.value(depth - 1) for name in self.rng.sample(NAMES + ["z"], self.rng.randrange(4))}

    # ---- patterns

    def pattern(self, depth=2):
        inside = self.alternatives(depth)
        kind = self.rng.randrange(9)
        if kind < 4:
            return f"^(?:{inside})$" if self.chance(0.7) else f"^{inside}$"
        if kind == 4:
            return "^" + inside
        if kind == 5:
            return inside + "$"
        if kind == 6:
            return f"^(?{self.rng.choice('=!')}{self.sequence(1)}){self.sequence(1)}"
        if kind == 7:
            return f"\\b{inside}\\b"
        return inside

    def alternatives(self, depth):
        return "|".join(self.sequence(depth) for _ in range(self.rng.choice((1, 1, 1, 2, 3))))

    def sequence(self, depth):
        return "".join(self.term(depth) for _ in range(self.rng.randint(1, 3)))

    def term(self, depth):
        return self.atom(depth) + self.rng.choice([""] * 5 + ["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"])

    def atom(self, depth):
        kind = self.rng.randrange(8)
        if kind < 3:
            return self.rng.choice("abc01")
        if kind == 3:
            return self.rng.choice(["[a-c]", "[^a]", "[0-9]", "[a-z0-9_]", '[^"\\\\]'])
        if kind == 4:
            return "."
        if kind == 5:
            return self.rng.choice(["\\d", "\\.", "\\-", "\\/"])
        if depth:
            return "(" + self.rng.choice(["", "?:"]) + self.alternatives(depth - 1) + ")"
        return "a"

    # ---- keywords

    def put(self, schema, chance, keyword, make):
        if self.chance(chance):
            schema[keyword] = make()

    def texts(self, s):
        self.put(s, 0.4, "minLength", lambda: self.rng.randrange(4))
        self.put(s, 0.4, "maxLength", lambda: self.rng.randrange(6))
        self.put(s, 0.4, "pattern", self.pattern)
        if not self.closed:  # of formats only a part is generated
            self.put(s, 0.15, "format", lambda: self.rng.choice(FORMATS))

    def numbers(self, s):
        for keyword, chance in (("minimum", 0.4), ("maximum", 0.4), ("exclusiveMinimum", 0.2), ("exclusiveMaximum", 0.2)):
            self.put(s, chance, keyword, lambda: self.rng.choice(NUMBERS))
        self.put(s, 0.25, "multipleOf", lambda: self.rng.choice([1, 2, 3, 5, 0.5, 0.25, 0.1, 10, 7, 12, 100, 1.5]))

    def arrays(self, s, depth):
        self.put(s, 1 if self.closed else 0.6, "items", lambda: self.schema(depth - 1))
        self.put(s, 0.3, "prefixItems", lambda: [self.schema(depth - 1) for _ in range(self.rng.randint(1, 3))])
        self.put(s, 0.3, "minItems", lambda: self.rng.randrange(4))
        self.put(s, 0.3, "maxItems", lambda: self.rng.randrange(5))
        if self.chance(0.2):
            s["contains"] = self.schema(depth - 1)
            self.put(s, 0.4, "minContains", lambda: self.rng.randrange(3))
            self.put(s, 0.4, "maxContains", lambda: self.rng.randrange(3))
        self.put(s, 0.12, "uniqueItems", lambda: self.chance(0.9))
        self.put(s, 0.08, "unevaluatedItems", lambda: self.schema(depth - 1))

    def objects(self, s, depth):
        some = self.rng.sample
        self.put(s, 0.8, "properties", lambda: {n: self.schema(depth - 1) for n in some(NAMES, self.rng.randrange(4))})
        self.put(s, 0.5, "required", lambda: some(NAMES, self.rng.randrange(3)))
        self.put(s, 1 if self.closed else 0.4, "additionalProperties",
                 lambda: self.rng.choice((True, False)) if self.chance(0.6) else self.schema(depth - 1))
        self.put(s, 0.15, "patternProperties",
                 lambda: {self.pattern(1): self.schema(depth - 1) for _ in range(self.rng.randint(1, 2))})
        self.put(s, 0.12, "propertyNames", lambda: self.schema(0, "string"))
        self.put(s, 0.15, "minProperties", lambda: self.rng.randrange(4))
        self.put(s, 0.15, "maxProperties", lambda: self.rng.randrange(4))
        self.put(s, 0.1, "dependentRequired", lambda: {self.rng.choice(NAMES): some(NAMES, self.rng.randint(1, 2))})
        self.put(s, 0.08, "dependentSchemas", lambda: {self.rng.choice(NAMES): self.schema(depth - 1)})
        self.put(s, 0.08, "unevaluatedProperties", lambda: self.rng.choice((False, self.schema(depth - 1))))

    def typed(self, s, depth, wanted):
        one = wanted or self.rng.choice(TYPES + ["object"])
        types = [one]
        if self.closed or self.chance(0.9):
            s["type"] = one
        if self.chance(0.15):
            s["type"] = types = self.rng.sample(TYPES, self.rng.randint(1, 3))
        if "string" in types:
            self.texts(s)
        if "integer" in types or "number" in types:
            self.numbers(s)
        if depth and "array" in types:
            self.arrays(s, depth)
        if depth and "object" in types:
            self.objects(s, depth)

    def logic(self, s, depth):
        several = lambda most: [self.schema(depth - 1) for _ in range(self.rng.randint(1, most))]
        self.put(s, 0.1, "anyOf", lambda: several(3))
        self.put(s, 0.1, "oneOf", lambda: several(3))
        self.put(s, 0.08, "allOf", lambda: several(2))
        self.put(s, 0.08, "not", lambda: self.schema(depth - 1))
        if self.chance(0.05):
            s["if"] = self.schema(depth - 1)
            self.put(s, 0.8, "then", lambda: self.schema(depth - 1))
            self.put(s, 0.8, "else", lambda: self.schema(depth - 1))
        self.put(s, 0.06, "$ref", lambda: self.rng.choice(("#/$defs/x", "#/$defs/y")))

    def schema(self, depth, wanted=None):
        if self.chance(0.04):
            return self.rng.choice((True, True, False))
        s = {}
        kind = self.rng.random()
        if kind < 0.1:
            s["enum"] = [self.value() for _ in range(self.rng.randint(1, 4))]
        elif kind < 0.15:
            s["const"] = self.value()
        else:
            self.typed(s, depth, wanted)
        if depth:
            self.logic(s, depth)
        keywords = list(s.items())
        if self.chance(0.3):
            self.rng.shuffle(keywords)
        return dict(keywords)

    def root(self):
        schema = self.schema(3)
        if not isinstance(schema, dict):
            schema = {"allOf": [schema]}
        return {**schema, "$defs": {"x": self.schema(1), "y": self.schema(2)}}


def orders(value):
    """The value with the members of its objects in every order (some, of large ones)."""
    def few(x):
        return itertools.islice(orders(x), 4)
    if isinstance(value, list):
        for items in itertools.product(*map(few, value)):
            yield list(items)
    elif isinstance(value, dict):
        for names in itertools.permutations(value):
            for values in itertools.product(*(few(value[name]) for name in names)):
                yield dict(zip(names, values))
    else:
        yield value


# ---- Python's dialect

WORD = "[0-9A-Za-z_]"
BOUNDARY = f"(?:(?<!{WORD})(?={WORD})|(?<={WORD})(?!{WORD}))"


def python_pattern(pattern):
    """A pattern of Maker.pattern as Python reads it: \\d, \\b, $ and . mean other things there."""
    out, i, inside = "", 0, False
    while i < len(pattern):
        c = pattern[i:i + 2] if pattern[i] == "\\" else pattern[i]
        i += len(c)
        inside = (inside or c == "[") and c != "]"
        if not inside:
            c = {"\\d": "[0-9]", "\\b": BOUNDARY, "$": "\\Z", ".": "[^\\n\\r\\u2028\\u2029]"}.get(c, c)
        out += c
    return out


def python_schema(schema):
    """A schema with its patterns in Python's dialect."""
    if isinstance(schema, list):
        return [python_schema(x) for x in schema]
    if not isinstance(schema, dict):
        return schema
    out = {}
    for keyword, value in schema.items():
        if keyword in ("enum", "const"):
            out[keyword] = value
        elif keyword == "pattern":
            out[keyword] = python_pattern(value)
        elif keyword == "patternProperties":
            out[keyword] = {python_pattern(p): python_schema(x) for p, x in value.items()}
        elif keyword in ("properties", "$defs", "dependentSchemas"):
            out[keyword] = {name: python_schema(x) for name, x in value.items()}
        else:
            out[keyword] = python_schema(value)
    return out
