r"""Grammars: what a model may answer.

    digits = LlamaGrammar.from_string('root ::= [0-9]+')
    person = LlamaGrammar.from_json_schema('{"type": "object", "properties": {"name": {"type": "string"}}}')
    llm("How many? ", grammar=digits)

A ``LlamaGrammar`` is checked when it is made: one that cannot be read, or a schema with a keyword that cannot be
enforced, raises ``ValueError`` that names the line or the keyword. It may be used by any number of requests and
threads.
"""

from __future__ import annotations

import ctypes
import json
import os
import weakref
from typing import Any, Dict, List, Optional, Union

from . import _binding
from ._binding import PUNA_E_LIMIT, PunaError, PunaValueError, lib

LLAMA_GRAMMAR_DEFAULT_ROOT = "root"


class LlamaGrammar:
    """A grammar in GBNF, the notation of llama.cpp. ``_grammar`` is its text, ``_root`` the rule it starts with."""

    def __init__(self, *args: Any, _grammar: str, _root: str = LLAMA_GRAMMAR_DEFAULT_ROOT, **kwargs: Any) -> None:
        self._grammar = _grammar
        self._root = _root
        text = _binding.as_bytes(_grammar)
        self._handle = _open(lib.puna_grammar_open, text, len(text), _binding.as_bytes(_root))

    @classmethod
    def from_string(cls, grammar: str, verbose: bool = True) -> LlamaGrammar:
        """From GBNF. ValueError when it cannot be read. `verbose` has no effect."""
        return cls(_grammar=grammar)

    @classmethod
    def from_file(cls, file: Union[str, "os.PathLike[str]"], verbose: bool = True) -> LlamaGrammar:
        """From a file of GBNF (UTF-8)."""
        with open(file, encoding="utf-8") as opened:
            return cls.from_string(opened.read(), verbose=verbose)

    @classmethod
    def from_json_schema(cls, json_schema: str, verbose: bool = True) -> LlamaGrammar:
        """From the text of a JSON schema: the JSON texts that it allows."""
        return cls.from_string(json_schema_to_gbnf(json_schema), verbose=verbose)

    def accepts(self, text: Union[str, bytes]) -> bool:
        """Whether the whole text derives from the grammar."""
        data, accepted = _binding.as_bytes(text), ctypes.c_bool()
        _binding.call(lib.puna_grammar_accepts, self._handle.pointer, data, len(data), ctypes.byref(accepted))
        return accepted.value

    def __reduce__(self) -> Any:
        return _reopen, (type(self), self._grammar, self._root)


def _reopen(cls: Any, grammar: str, root: str) -> Any:
    return cls(_grammar=grammar, _root=root)


class _Handle:
    """Owns one reference to a puna_grammar."""

    def __init__(self, pointer: ctypes.c_void_p) -> None:
        self.pointer = pointer
        self._finalizer = weakref.finalize(self, lib.puna_grammar_free, pointer.value)


def _open(function: Any, *arguments: Any) -> _Handle:
    """The grammar that the function opens; ValueError for one that cannot be."""
    pointer = ctypes.c_void_p()
    try:
        _binding.call(function, *arguments, ctypes.byref(pointer))
    except PunaError as error:
        if error.code == PUNA_E_LIMIT:
            raise PunaValueError(str(error), error.code) from None
        raise
    return _Handle(pointer)


def _in_order(schema: Any, rank: Dict[str, int]) -> Any:
    """The schema with the properties of all its objects sorted: those in `rank` first, the others as they were."""
    if isinstance(schema, list):
        return [_in_order(item, rank) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _in_order(value, rank) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        found["properties"] = dict(sorted(found["properties"].items(), key=lambda item: rank.get(item[0], len(rank))))
    return found


def json_schema_to_gbnf(schema: str, prop_order: Optional[List[str]] = None) -> str:
    """The text of a grammar for the JSON texts that a JSON schema allows; its root rule is "root".

    Properties come in the order of the schema, or those that prop_order names first and in its order. A keyword that
    cannot be enforced raises ValueError by name; it is never dropped.
    """
    if prop_order:
        schema = json.dumps(_in_order(json.loads(schema), {name: i for i, name in enumerate(prop_order)}))
    text = _binding.as_bytes(schema)
    handle = _open(lib.puna_grammar_open_schema, text, len(text))
    grammar: bytes = lib.puna_grammar_text(handle.pointer)
    return grammar.decode("utf-8")


# ---- grammars for common tasks

# sums of numbers, names and brackets, each with its result: "a + 2 * (b - 1) = c" and a line end
ARITHMETIC_GBNF = r"""
root   ::= line+
line   ::= sum "=" space term "\n"
sum    ::= term ([-+*/] space term)*
term   ::= (name | number | "(" space sum ")") space
name   ::= [a-z] [a-z0-9_]*
number ::= [0-9]+
space  ::= [ \t]*
"""

# a small language in the manner of C: functions of int, float and char with assignments, calls, loops and comments
C_GBNF = r"""
root      ::= space (function space)*
function  ::= type gap name space "(" space (parameter (space "," space parameter)*)? space ")" space block
parameter ::= type gap name
type      ::= "int" | "float" | "char"
block     ::= "{" space (statement space)* "}"
statement ::= declare | assign ";" | call space ";" | return | while | for | if | comment
declare   ::= type gap assign ";"
assign    ::= name space "=" space sum space
return    ::= "return" gap sum space ";"
while     ::= "while" space "(" space compare space ")" space block
for       ::= "for" space "(" space (type gap)? assign ";" space compare space ";" space assign ")" space block
if        ::= "if" space "(" space compare space ")" space block (space "else" space block)?
compare   ::= sum space ("<=" | ">=" | "==" | "!=" | "<" | ">") space sum
sum       ::= product (space [-+] space product)*
product   ::= factor (space [*/] space factor)*
factor    ::= "-"? (number | call | name | "(" space sum space ")")
call      ::= name space "(" space (sum (space "," space sum)*)? space ")"
name      ::= [a-zA-Z_] [a-zA-Z0-9_]*
number    ::= [0-9]+ ("." [0-9]+)?
comment   ::= "//" [^\n]* "\n" | "/*" ([^*] | "*"+ [^*/])* "*"+ "/"
gap       ::= [ \t\n]+
space     ::= [ \t\n]*
"""

# the moves of a chess game: "1. e4 e5", "2. Nf3 Nc6", one line each
CHESS_GBNF = r"""
root   ::= line+
line   ::= [1-9] [0-9]? [0-9]? ". " move (" " move)? "\n"
move   ::= (piece | pawn | castle) [+#]?
piece  ::= [KQRBN] [a-h]? [1-8]? "x"? square
pawn   ::= ([a-h] "x")? square ("=" [QRBN])?
castle ::= "O-O" "-O"?
square ::= [a-h] [1-8]
"""

# Japanese text: hiragana, katakana, kanji, full-width forms and punctuation, with spaces and line ends
JAPANESE_GBNF = r"""
root      ::= character+ ([ \t\n] character+)*
character ::= hiragana | katakana | kanji | wide | mark
hiragana  ::= [ぁ-ゟ]
katakana  ::= [ァ-ヿ]
kanji     ::= [一-龯]
wide      ::= [！-￠]
mark      ::= [、-〾]
"""

_JSON_VALUES = r"""
value  ::= (object | array | string | number | "true" | "false" | "null") space
object ::= "{" space (pair ("," space pair)*)? "}"
pair   ::= string space ":" space value
array  ::= "[" space (value ("," space value)*)? "]"
string ::= "\"" ([^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\""
number ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
space  ::= [ \t\n\r]{0,20}
"""

# any JSON object; any JSON array
JSON_GBNF = "\nroot   ::= object space" + _JSON_VALUES
JSON_ARR_GBNF = "\nroot   ::= array space" + _JSON_VALUES

# lines that begin with "- "
LIST_GBNF = r"""
root ::= item+
item ::= "- " [^\n\r\x0B\x0C\x85\u2028\u2029]+ "\n"
"""
