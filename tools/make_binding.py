#!/usr/bin/env python3
"""Writes the ctypes declarations of include/puna.h, and C code that checks them.

  make_binding.py include/puna.h --python _header.py [--check header_check.c]

puna.h is written in a small part of C: enums with values, structs of scalars, pointers and arrays, opaque structs,
function pointers, and prototypes marked PUNA_API. All of that is understood and anything else is an error, so that
nothing can be left out silently. The C file holds one _Static_assert per struct, field and enumerator: where ctypes
and the compiler disagree about a layout, the package does not build.
"""

import argparse
import ctypes
import re
import sys

SCALARS = {
    "void": "None",
    "bool": "ctypes.c_bool",
    "char": "ctypes.c_char",
    "float": "ctypes.c_float",
    "double": "ctypes.c_double",
    "size_t": "ctypes.c_size_t",
    "int32_t": "ctypes.c_int32",
    "int64_t": "ctypes.c_int64",
    "uint32_t": "ctypes.c_uint32",
    "uint64_t": "ctypes.c_uint64",
    "int": "ctypes.c_int",
}
VALUES = {"c_bool": "bool", "c_float": "float", "c_double": "float", "c_char_p": "Optional[Text]"}

# Text that is not NUL-terminated: an address, to be read with its length.
ADDRESSES = {("puna_event", "text"), ("puna_prompt_text", "return")}


def fail(what):
    sys.exit("make_binding: " + " ".join(what.split()))


def strip(source):
    """Without comments, preprocessor lines (continued ones too) and extern "C"; and its #define constants."""
    source = re.sub(r"/\*.*?\*/", " ", source, flags=re.S).replace("\\\n", " ")
    constants, lines, depth = {}, [], 0
    for line in source.splitlines():
        words = line.strip()
        if re.match(r"#\s*(if|ifdef|ifndef)\b", words):
            depth += 1 if "__cplusplus" in words or depth else 0
        elif re.match(r"#\s*endif\b", words):
            depth -= 1 if depth else 0
        elif words.startswith("#"):
            found = re.match(r"#\s*define\s+(PUNA_\w+)\s+(.+)", words)
            if found and found.group(1) != "PUNA_API" and not found.group(2).startswith("__attribute__"):
                constants[found.group(1)] = found.group(2).strip()
        elif not depth:
            lines.append(line)
    return "\n".join(lines), constants


def constant(text):
    """The Python value of a #define: an integer or a string."""
    if text.startswith('"'):
        return text.strip('"')
    if text == "UINT64_MAX":
        return 2**64 - 1
    try:
        return int(text.strip("()").rstrip("uUlL"), 0)
    except ValueError:
        fail("cannot read the constant %s" % text)


class Header:
    def __init__(self, source):
        text, raw = strip(source)
        self.constants = {name: constant(value) for name, value in raw.items()}
        self.enums = {}  # name -> {enumerator: value}
        self.structs = {}  # name -> [(field, C type, ctypes type)], in the order of the header
        self.opaque = []
        self.callbacks = {}  # name -> (ctypes restype, [ctypes argtypes])
        self.functions = {}
        self.order = []  # ("struct" | "callback", name)
        self.read(text)

    def read(self, text):
        position = 0
        statement = re.compile(r"\s*((?:[^;{]|\{[^{}]*\})*);")
        while text[position:].strip():
            found = statement.match(text, position)
            if not found:
                fail("cannot read: " + text[position : position + 80])
            self.statement(found.group(1).strip())
            position = found.end()

    def statement(self, text):
        for pattern, method in (
            (r"typedef enum (\w+) \{(.*)\} \1$", self.enum),
            (r"typedef struct (\w+) \1$", self.opaque.append),
            (r"typedef struct (\w+) \{(.*)\} \1$", self.struct),
            (r"typedef (.+?)\(\*(\w+)\)\((.*)\)$", self.callback),
            (r"PUNA_API (.+?)(\w+)\(([^()]*)\)$", self.function),
        ):
            found = re.match(pattern, " ".join(text.split()))
            if found:
                method(*found.groups())
                return
        fail("cannot read: " + text)

    def enum(self, name, body):
        values, following = {}, 0
        for item in filter(None, (item.strip() for item in body.split(","))):
            enumerator, _, value = (part.strip() for part in item.partition("="))
            following = int(value, 0) if value else following
            values[enumerator] = following
            following += 1
        self.enums[name] = values

    def struct(self, name, body):
        fields = []
        for declaration in filter(None, (item.strip() for item in body.split(";"))):
            found = re.match(r"(.+?)\(\*(\w+)\)\((.*)\)$", declaration)
            if found:
                fields.append((found.group(2), self.prototype(found.group(1), found.group(3))))
                continue
            found = re.match(r"((?:const )?\w+ )(.+)$", declaration)
            for declarator in found.group(2).split(","):
                part = re.match(r"((?:\*|const|\s)*)(\w+)(?:\[(\w+)\])?$", declarator.strip())
                if not part:
                    fail("cannot read the field: " + declaration)
                stars, field, count = part.groups()
                kind = self.type(found.group(1) + stars, (name, field))
                if count:
                    kind = "%s * %d" % (kind, self.constants.get(count) or int(count))
                fields.append((field, kind))
        self.structs[name] = fields
        self.order.append(("struct", name))

    def callback(self, returned, name, parameters):
        self.callbacks[name] = self.prototype(returned, parameters)
        self.order.append(("callback", name))

    def function(self, returned, name, parameters):
        self.functions[name] = (self.type(returned, (name, "return")), self.parameters(parameters))

    def prototype(self, returned, parameters):
        return "ctypes.CFUNCTYPE(%s)" % ", ".join([self.type(returned), *self.parameters(parameters)])

    def parameters(self, text):
        if text.strip() in ("", "void"):
            return []
        kinds = []
        for parameter in text.split(","):
            found = re.match(r"(.*?)\b\w+(\[\d*\])?$", parameter.strip())
            kinds.append(self.type(found.group(1) + ("*" if found.group(2) else "")))
        return kinds

    def type(self, text, where=None):
        """The ctypes name of a C type; an opaque struct is known by its address."""
        stars = text.count("*")
        base = re.sub(r"\bconst\b|\*", " ", text).strip()
        if base == "char" and stars:
            kind, stars = ("ctypes.c_void_p" if where in ADDRESSES else "ctypes.c_char_p"), stars - 1
        elif (base == "void" or base in self.opaque) and stars:
            kind, stars = "ctypes.c_void_p", stars - 1
        elif base in self.enums:
            kind = "ctypes.c_int"
        elif base in SCALARS:
            kind = SCALARS[base]
        elif base in self.structs or base in self.callbacks:
            kind = base
        else:
            fail("unknown type " + text)
        for _ in range(stars):
            kind = "ctypes.POINTER(%s)" % kind
        return kind


def annotation(kind):
    if " * " in kind or "POINTER" in kind or "CFUNCTYPE" in kind or kind.startswith("puna_"):
        return "Any"
    if kind == "ctypes.c_void_p":
        return "Optional[int]"
    return VALUES.get(kind.replace("ctypes.", ""), "int")


def python_source(header):
    lines = [
        '"""Declarations of puna.h for ctypes. Generated by tools/make_binding.py: do not edit."""',
        "",
        "import ctypes",
        "from typing import Any, Optional",
        "",
        "Text = bytes  # a field may be called bytes",
        "",
    ]
    lines += ["%s = %r" % item for item in header.constants.items()]
    for values in header.enums.values():
        lines += [""] + ["%s = %d" % item for item in values.items()]
    for kind, name in header.order:
        if kind == "callback":
            lines += ["", "%s = %s" % (name, header.callbacks[name])]
            continue
        lines += ["", "", "class %s(ctypes.Structure):" % name]
        lines += ["    %s: %s" % (field, annotation(kind)) for field, kind in header.structs[name]]
        lines += ["    _fields_ = ["]
        lines += ["        (%r, %s)," % field for field in header.structs[name]]
        lines += ["    ]"]
    lines += [
        "",
        "",
        "# function -> (what it returns, what it takes)",
        "PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {",
    ]
    lines += [
        "    %r: (%s, [%s])," % (name, returned, ", ".join(kinds))
        for name, (returned, kinds) in header.functions.items()
    ]
    lines += ["}", "", "STRUCTS: list[Any] = [%s]" % ", ".join(header.structs), ""]
    return "\n".join(lines)


def check_source(header, python):
    space = {}
    exec(compile(python, "_header.py", "exec"), space)
    lines = ["/* Generated by tools/make_binding.py: the layouts that the Python package takes for granted. */"]
    lines += ['#include "puna.h"', ""]

    def check(what, value):
        lines.append('_Static_assert(%s == %d, "%s");' % (what, value, what))

    for name, fields in header.structs.items():
        struct = space[name]
        check("sizeof(%s)" % name, ctypes.sizeof(struct))
        for field, _ in fields:
            check("offsetof(%s, %s)" % (name, field), getattr(struct, field).offset)
            check("sizeof(((%s *)0)->%s)" % (name, field), getattr(struct, field).size)
    for values in header.enums.values():
        for enumerator, value in values.items():
            check(enumerator, value)
    for name in header.enums:
        check("sizeof(%s)" % name, ctypes.sizeof(ctypes.c_int))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("header")
    parser.add_argument("--python", required=True)
    parser.add_argument("--check")
    options = parser.parse_args()
    with open(options.header, encoding="utf-8") as file:
        header = Header(file.read())
    python = python_source(header)
    with open(options.python, "w", encoding="utf-8") as file:
        file.write(python)
    if options.check:
        with open(options.check, "w", encoding="utf-8") as file:
            file.write(check_source(header, python))


if __name__ == "__main__":
    main()
