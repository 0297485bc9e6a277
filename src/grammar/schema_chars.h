/* schema_chars.h: the rules that every grammar may use, characters of JSON texts, and automata as
 * expressions. */
#ifndef PN_GRAMMAR_SCHEMA_CHARS_H
#define PN_GRAMMAR_SCHEMA_CHARS_H

#include "grammar/schema_impl.h"

/* Digits that are generated before and behind the point where the schema sets no other bound. */
#define PN_MAX_WHOLE    20
#define PN_MAX_FRACTION 20

typedef struct pn_builtins {
    const pn_expr *blank; /* what may stand behind { [ , and before } ] */
    const pn_expr *space; /* that may follow a colon */
    const pn_expr *comma; /* with the blank that may follow */
    const pn_expr *quote;
    const pn_expr *character; /* any character of a text, escaped or not */
    const pn_expr *text, *integer, *number, *exponent, *boolean, *null, *array, *object, *value;
} pn_builtins;

/* Makes b->builtins. */
bool pn_builtins_make(pn_build *b);
/* A character of the set as it stands in a JSON text: escaped where it must be; U+0080 and above
 * also as \u where the set has many of them. */
const pn_expr *pn_expr_character(pn_build *b, const pn_set *set);
/* A JSON text with its quotes, all escapes as short as can be, and `behind` after it. */
const pn_expr *pn_expr_quoted(pn_build *b, pn_json_text text, const char *behind);
/* Without the quotes. */
bool pn_text_escape(pn_build *b, pn_json_text text, pn_json_text *out);

/* What an automaton accepts; in_text: its letters are characters of a JSON text. name is a hint for
 * rules. */
const pn_expr *pn_expr_of_dfa(pn_build *b, const pn_dfa *dfa, bool in_text, const char *name);

#endif
