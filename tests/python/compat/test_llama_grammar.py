"""LlamaGrammar and the ready-made grammars: what they accept."""

import copy
import json
import pickle

import pytest

from puna import llama_grammar
from puna.llama_grammar import LlamaGrammar, json_schema_to_gbnf


def test_from_string_and_from_file(tmp_path):
    text = 'root ::= "yes" | "no"\n'
    (tmp_path / "answer.gbnf").write_text(text)
    for grammar in (LlamaGrammar.from_string(text, verbose=False), LlamaGrammar.from_file(tmp_path / "answer.gbnf")):
        assert grammar._grammar == text and grammar._root == "root"
        assert grammar.accepts("yes") and grammar.accepts(b"no") and not grammar.accepts("maybe")
    with pytest.raises(FileNotFoundError):
        LlamaGrammar.from_file(tmp_path / "missing.gbnf")


@pytest.mark.parametrize("text", ["", "root ::=  (", 'other ::= "a"', "root ::= missing", "root ::= [z-a]"])
def test_what_is_no_grammar_is_refused_when_it_is_made(text):
    with pytest.raises(ValueError):
        LlamaGrammar.from_string(text)


def test_copies_and_pickles():
    grammar = LlamaGrammar.from_string("root ::= [0-9]+")
    for other in (copy.copy(grammar), copy.deepcopy(grammar), pickle.loads(pickle.dumps(grammar))):
        assert other._grammar == grammar._grammar and other.accepts("42") and not other.accepts("x")


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_from_json_schema():
    grammar = LlamaGrammar.from_json_schema(json.dumps(PERSON))
    assert grammar.accepts('{"name": "Ada", "age": 36}')
    for wrong in ('{"name": "Ada"}', '{"name": 1, "age": 36}', '{"name": "Ada", "age": -1}', "Ada"):
        assert not grammar.accepts(wrong), wrong


def test_references_and_alternatives():
    schema = {
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
        "anyOf": [{"$ref": "#/$defs/point"}, {"type": "null"}],
    }
    grammar = LlamaGrammar.from_json_schema(json.dumps(schema))
    assert grammar.accepts('{"x": 1}') and grammar.accepts("null") and not grammar.accepts('{"x": "1"}')


def test_the_order_of_properties():
    text = json.dumps(PERSON)
    first = LlamaGrammar.from_string(json_schema_to_gbnf(text))
    second = LlamaGrammar.from_string(json_schema_to_gbnf(text, prop_order=["age"]))
    assert first.accepts('{"name": "Ada", "age": 36}') and not first.accepts('{"age": 36, "name": "Ada"}')
    assert second.accepts('{"age": 36, "name": "Ada"}') and not second.accepts('{"name": "Ada", "age": 36}')


@pytest.mark.parametrize("schema", ['{"type": "wrong"}', "{", '{"$ref": "#/$defs/none"}'])
def test_what_cannot_be_enforced_is_refused(schema):
    with pytest.raises(ValueError):
        LlamaGrammar.from_json_schema(schema)


CASES = {
    "JSON_GBNF": (
        ["{}", '{"a": [1, -2.5e3, "x\\n\\u00e9", null, true], "b": {"c": false}}', '{"a":1}\n'],
        ["[]", "{", '{"a": 01}', "{'a': 1}", '{"a": "\n"}'],
    ),
    "JSON_ARR_GBNF": (["[]", '[1, {"a": []}]'], ["{}", "[1,]", "1"]),
    "LIST_GBNF": (["- one\n", "- one\n- two\n"], ["one\n", "- one", "-one\n"]),
    "ARITHMETIC_GBNF": (["1 + 2 = 3\n", "a * (b - 4) = c\nx = 1\n"], ["1 +\n", "1 + 2\n", "(1 = 2\n"]),
    "CHESS_GBNF": (["1. e4 e5\n", "1. e4 e5\n2. Nf3 Nc6\n3. O-O Qxd8+\n"], ["e4 e5\n", "1. z9 e5\n", "1. e4 e5"]),
    "JAPANESE_GBNF": (["こんにちは", "東京 タワー。"], ["hello", "", "こんにちは "]),
    "C_GBNF": (
        ["int add(int a, int b) { return a + b; }", "int f() { if (a < 1) { g(2); } else { a = -1; } }"],
        ["int add(", "int f() { return }", "hello"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_ready_made_grammars(name):
    grammar = LlamaGrammar.from_string(getattr(llama_grammar, name))
    accepted, refused = CASES[name]
    for text in accepted:
        assert grammar.accepts(text), text
    for text in refused:
        assert not grammar.accepts(text), text
