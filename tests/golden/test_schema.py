"""JSON schemas through the program: the shared cases, schemas that ask too much, and random schemas judged by PyPI's
jsonschema: whatever their grammars derive must be valid, and what is valid must be derived.

    PUNA_BIN=build/puna PUNA_SHARED=../shared pytest tests/golden/test_schema.py -rP

Cases come from $PUNA_SHARED/data/grammar: documents to derive and not to derive, and schemas to refuse (five seconds,
256 MB). Random schemas need nothing but jsonschema; they are the same in every run.
"""

import decimal
import json
import os
import random
import resource
import subprocess

import pytest

import gbnf_sampler
import grammar_data
import random_schema

jsonschema = pytest.importorskip("jsonschema")

PUNA = os.environ.get("PUNA_BIN")
SANITIZED = os.environ.get("PUNA_SANITIZED") == "1"  # reserves more address space than any limit allows

pytestmark = pytest.mark.skipif(not PUNA, reason="PUNA_BIN does not name the puna program")


def test_data_is_there():
    grammar_data.require("schema")


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))


class Schema:
    """puna grammar with one schema."""

    def __init__(self, folder, text):
        self.path = folder / "schema.json"
        self.path.write_text(text, encoding="utf-8", newline="")

    def run(self, *options, stdin=b""):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([PUNA, "grammar", "--schema", str(self.path), *options], input=stdin, capture_output=True,
                              timeout=60, preexec_fn=None if SANITIZED else limit_memory)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # of the processor: other programs on the machine do not count
        done.seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        done.out = done.stdout.decode()
        done.err = done.stderr.decode()
        return done

    def derives(self, texts):
        """For each text whether the grammar derives it; None when the schema is refused."""
        done = self.run("--jsonl", stdin="".join(json.dumps(text) + "\n" for text in texts).encode())
        if done.returncode == 2:
            return None
        assert done.returncode == 0, done.err
        lines = done.out.splitlines()
        assert len(lines) == len(texts)
        return [line == "accepted" for line in lines]


@pytest.fixture
def schema(tmp_path):
    return lambda text: Schema(tmp_path, text)


# ---- the shared cases


@pytest.mark.parametrize("case", grammar_data.cases("schema"), ids=lambda c: c["name"])
def test_documents(schema, case):
    texts = case["accept"] + case["reject"]
    want = [True] * len(case["accept"]) + [False] * len(case["reject"])
    got = schema(json.dumps(case["schema"])).derives(texts)
    assert got is not None
    assert not [(text, w) for text, w, g in zip(texts, want, got) if g != w]


@pytest.mark.parametrize("case", grammar_data.cases("schema_bad"), ids=lambda c: c["name"])
def test_bad_schemas(schema, case):
    done = schema(grammar_data.text_of(case)).run(stdin=b"{}")
    assert done.returncode in ([2] if case["want"] == "error" else [0, 1, 2]), done.err
    if done.returncode == 2:
        assert done.out == "" and len(done.err.splitlines()) == 1 and done.err.startswith("puna: schema")
    assert done.seconds < 5


# ---- schemas that ask too much


def nested(times, wrap, inside):
    for _ in range(times):
        inside = wrap(inside)
    return inside


def numbered(times, make):
    return {f"p{i}": make(i) for i in range(times)}


GREEDY = {
    "a product of alternatives": {"allOf": [{"anyOf": [{"minLength": i}, {"minimum": i}]} for i in range(40)]},
    "oneOf of many closed objects": {"oneOf": [
        {"type": "object", "properties": {"k": {"const": i}, "x": {}}, "required": ["k"], "additionalProperties": False}
        for i in range(1500)]},
    "oneOf of overlapping numbers": {"oneOf": [{"type": "integer", "multipleOf": k} for k in range(2, 20)]},
    "two large enums": {"allOf": [{"enum": [f"v{i}" for i in range(k, k + 30000)]} for k in (0, 20000)]},
    "a pattern with a large automaton": {"type": "string", "pattern": "x.{40}y", "maxLength": 300},
    "many patterns at once": {"allOf": [{"pattern": f"{chr(97 + i)}.*{chr(98 + i)}"} for i in range(20)]},
    "counts in counts": {"pattern": nested(8, lambda p: f"({p}){{1,99}}", "a"), "minLength": 50},
    "contains beside large counts": {"items": {"type": "integer"}, "contains": {"const": 1}, "minContains": 99,
                                     "maxContains": 999, "maxItems": 9999},
    "counted properties": {"properties": numbered(3000, lambda i: {}), "minProperties": 1000},
    "many dependencies": {"properties": numbered(60, lambda i: {}),
                          "dependentRequired": {f"p{i}": [f"p{i + 30}"] for i in range(30)}},
    "many names beside others": {"properties": numbered(30000, lambda i: {}), "additionalProperties": {"type": "null"}},
    "sets of many values": {"items": {"enum": list(range(24))}, "uniqueItems": True},
    "many bounds": {"prefixItems": [{"type": "integer", "minimum": i} for i in range(9000)]},
    "a large factor": {"type": "integer", "multipleOf": 999983},
    "a long chain of references": {"$ref": "#/$defs/p0", "$defs": numbered(3000, lambda i: {"$ref": f"#/$defs/p{i + 1}"})},
    "references that branch": {"$ref": "#/$defs/p0", "$defs": {
        **numbered(90, lambda i: {"anyOf": [{"properties": {f"a{i}": {"minimum": i}}}, {"$ref": f"#/$defs/p{i + 1}"}],
                                  "allOf": [{"$ref": f"#/$defs/p{i + 1}"}]}), "p90": {}}},
    "many negated texts": {"type": "string", "not": {"enum": [f"v{i}" for i in range(60000)]}},
    "not of not": nested(380, lambda s: {"not": s}, {"minimum": 1}),
    "a long text": {"const": "x" * 3000000},
}


@pytest.mark.parametrize("name", GREEDY)
def test_greedy_schemas(schema, name):
    done = schema(json.dumps(GREEDY[name])).run(stdin=b"{}")
    assert done.returncode in (0, 1, 2), done.err
    if done.returncode == 2:
        assert len(done.err.splitlines()) == 1 and done.err.startswith(("puna: schema: #", "puna: grammar"))
    assert SANITIZED or done.seconds < 5


# ---- the validator


class Repeated(Exception):
    pass


def read(text):
    """A document as the validator gets it: decimals exactly, and no name twice."""
    def members(pairs):
        if len(dict(pairs)) != len(pairs):
            raise Repeated
        return dict(pairs)
    return json.loads(text, parse_float=decimal.Decimal, object_pairs_hook=members)


def validator(schema):
    exact = json.loads(json.dumps(random_schema.python_schema(schema)), parse_float=decimal.Decimal)
    return jsonschema.Draft202012Validator(exact, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def is_valid(judge, text):
    """None where the validator cannot tell: a schema that refers to itself without an end, huge quotients."""
    try:
        return judge.is_valid(read(text))
    except (RecursionError, decimal.InvalidOperation, Repeated):
        return None


# ---- formats


@pytest.mark.parametrize("name", random_schema.FORMATS)
def test_formats(schema, name):
    """What is generated for a format is one to others, alone and within lengths."""
    possible = 0
    for lengths in ({}, {"maxLength": 40}, {"minLength": 12, "maxLength": 2083}):
        made = {"type": "string", "format": name, **lengths}
        done = schema(json.dumps(made)).run("--print")
        if done.returncode == 2:
            assert "no value satisfies" in done.err
            continue
        possible += 1
        sampler, judge = gbnf_sampler.Sampler(done.out, random.Random(name)), validator(made)
        for _ in range(40):
            text = sampler.text()
            assert judge.is_valid(json.loads(text)), f"{text} of {json.dumps(made)}"
    assert possible >= 2 or name in ("date", "ipv4", "relative-json-pointer")


# ---- random schemas


PARTS = 8
PER_PART = 40


@pytest.mark.parametrize("part", range(PARTS))
def test_what_is_derived_is_valid(schema, part):
    """Texts drawn from the grammars of random schemas."""
    drawn = 0
    for seed in range(part * PER_PART, (part + 1) * PER_PART):
        made = random_schema.Maker(seed).root()
        done = schema(json.dumps(made)).run("--print")
        if done.returncode == 2:
            continue
        assert done.returncode == 0, done.err
        sampler, judge = gbnf_sampler.Sampler(done.out, random.Random(seed)), validator(made)
        for _ in range(15):
            text = sampler.text()
            drawn += 1
            assert is_valid(judge, text) in (True, None), f"{text} of {json.dumps(made)}"
    assert drawn > 15 * PER_PART // 4


@pytest.mark.parametrize("part", range(PARTS))
def test_what_is_valid_is_derived(schema, part):
    """Random documents, their members in any one order. Of closed schemas, which leave puna no choice."""
    n_valid = n_refused = 0
    for seed in range(10000 + part * PER_PART, 10000 + (part + 1) * PER_PART):
        made = random_schema.Maker(seed, closed=True).root()
        judge, documents = validator(made), random_schema.Maker(seed + 1)
        texts, owners = [], []
        for number in range(30):
            document = documents.value(2)
            if is_valid(judge, json.dumps(document)):
                for order in list(random_schema.orders(document))[:50]:
                    texts.append(json.dumps(order, ensure_ascii=False))
                    owners.append(number)
        done = schema(json.dumps(made))
        got = done.derives(texts)
        if got is None:
            error = done.run().err
            n_refused += 1
            assert "no value satisfies" not in error or not texts, f"{texts[0]} of {json.dumps(made)}"
            continue
        n_valid += len(set(owners))
        missed = set(owners) - {owner for owner, yes in zip(owners, got) if yes}
        assert not missed, f"{[texts[owners.index(m)] for m in missed]} of {json.dumps(made)}"
    assert n_valid > PER_PART and n_refused < PER_PART * 3 // 4
