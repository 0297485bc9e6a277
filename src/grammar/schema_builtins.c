/* schema_builtins.c: any JSON value, and its parts. */
#include "grammar/schema_chars.h"

#include <string.h>

#define MAX_INDENT 40 /* blanks that may begin a line */

static const pn_expr *class_of(pn_build *b, const pn_range *ranges, int32_t n) {
    return pn_expr_set(&b->rules, pn_set_of(&b->job, ranges, n));
}

static const pn_expr *repeat_class(pn_build *b, const pn_range *ranges, int32_t n, int64_t min,
                                   int64_t max) {
    return pn_expr_repeat(&b->rules, class_of(b, ranges, n), min, max);
}

/* Nothing, one space, or a line break with the next line's indent. */
static const pn_expr *make_blank(pn_build *b) {
    static const pn_range indent[] = {{'\t', '\t'}, {' ', ' '}};
    pn_rules *r = &b->rules;
    const pn_expr *line =
        pn_expr_then(r, pn_expr_word(r, "\n"), repeat_class(b, indent, 2, 0, MAX_INDENT));
    const pn_expr *blank = pn_expr_or(r, pn_expr_word(r, " "), line);
    return pn_rules_add(r, "blank", pn_expr_optional(r, blank));
}

static const pn_expr *hex_unit(pn_build *b, const pn_range *first, int32_t n_first,
                               const pn_range *second, int32_t n_second) {
    static const pn_range hex[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
    const bool two = second != NULL;
    const pn_expr *rest = repeat_class(b, hex, 3, two ? 2 : 3, two ? 2 : 3);
    if (two) rest = pn_expr_then(&b->rules, class_of(b, second, n_second), rest);
    return pn_expr_three(&b->rules, pn_expr_word(&b->rules, "\\u"), class_of(b, first, n_first),
                         rest);
}

/* An escape of any character, the two halves of a pair together. */
static const pn_expr *make_escape(pn_build *b) {
    static const pn_range letters[] = {{'"', '"'}, {'/', '/'}, {'\\', '\\'}, {'b', 'b'},
                                       {'f', 'f'}, {'n', 'n'}, {'r', 'r'},   {'t', 't'}};
    static const pn_range others[] = {{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}};
    static const pn_range d[] = {{'D', 'D'}, {'d', 'd'}};
    static const pn_range below[] = {{'0', '7'}}, high[] = {{'8', '9'}, {'A', 'B'}, {'a', 'b'}};
    static const pn_range low[] = {{'C', 'F'}, {'c', 'f'}};
    pn_rules *r = &b->rules;
    pn_expr_list list = {0};
    const pn_expr *pair = pn_expr_then(r, hex_unit(b, d, 2, high, 3), hex_unit(b, d, 2, low, 2));
    if (!pn_expr_add(r, &list, pn_expr_then(r, pn_expr_word(r, "\\"), class_of(b, letters, 8))) ||
        !pn_expr_add(r, &list, hex_unit(b, others, 5, NULL, 0)) ||
        !pn_expr_add(r, &list, hex_unit(b, d, 2, below, 1)) || !pn_expr_add(r, &list, pair))
        return NULL;
    return pn_rules_add(r, "escape", pn_expr_alt(r, &list));
}

static const pn_expr *make_character(pn_build *b) {
    static const pn_range plain[] = {{' ', '!'}, {'#', '['}, {']', PN_CODE_MAX}};
    pn_rules *r = &b->rules;
    return pn_rules_add(r, "character", pn_expr_or(r, class_of(b, plain, 3), make_escape(b)));
}

static const pn_expr *make_whole(pn_build *b) {
    static const pn_range first[] = {{'1', '9'}}, digit[] = {{'0', '9'}};
    pn_rules *r = &b->rules;
    const pn_expr *many =
        pn_expr_then(r, class_of(b, first, 1), repeat_class(b, digit, 1, 0, PN_MAX_WHOLE - 1));
    return pn_rules_add(r, "whole", pn_expr_or(r, pn_expr_word(r, "0"), many));
}

/* Up to 279, so that no number is beyond the range of a double. */
static const pn_expr *make_exponent(pn_build *b) {
    static const pn_range e[] = {{'E', 'E'}, {'e', 'e'}}, sign[] = {{'+', '+'}, {'-', '-'}};
    static const pn_range digit[] = {{'0', '9'}}, below[] = {{'0', '7'}};
    pn_rules *r = &b->rules;
    pn_expr_list sizes = {0};
    if (!pn_expr_add(r, &sizes, repeat_class(b, digit, 1, 1, 2)) ||
        !pn_expr_add(r, &sizes,
                     pn_expr_then(r, pn_expr_word(r, "1"), repeat_class(b, digit, 1, 2, 2))) ||
        !pn_expr_add(
            r, &sizes,
            pn_expr_three(r, pn_expr_word(r, "2"), class_of(b, below, 1), class_of(b, digit, 1))))
        return NULL;
    return pn_rules_add(r, "exponent",
                        pn_expr_three(r, class_of(b, e, 2),
                                      pn_expr_optional(r, class_of(b, sign, 2)),
                                      pn_expr_alt(r, &sizes)));
}

static bool make_numbers(pn_build *b, pn_builtins *out) {
    static const pn_range digit[] = {{'0', '9'}};
    pn_rules *r = &b->rules;
    const pn_expr *minus = pn_expr_optional(r, pn_expr_word(r, "-"));
    out->integer = pn_rules_add(r, "integer", pn_expr_then(r, minus, make_whole(b)));
    out->exponent = make_exponent(b);
    const pn_expr *fraction =
        pn_expr_then(r, pn_expr_word(r, "."), repeat_class(b, digit, 1, 1, PN_MAX_FRACTION));
    out->number =
        pn_rules_add(r, "number",
                     pn_expr_three(r, out->integer, pn_expr_optional(r, fraction),
                                   out->exponent ? pn_expr_optional(r, out->exponent) : NULL));
    return out->number != NULL;
}

/* open ( item ("," item)* )? close */
static const pn_expr *make_list(pn_build *b, const char *name, const char *open,
                                const pn_expr *item, const char *close) {
    pn_rules *r = &b->rules;
    const pn_builtins *x = b->builtins;
    const pn_expr *more = pn_expr_repeat(r, pn_expr_then(r, x->comma, item), 0, PN_EXPR_NO_MAX);
    const pn_expr *items = pn_expr_three(r, item, more, x->blank);
    return pn_rules_add(r, name,
                        pn_expr_three(r, pn_expr_then(r, pn_expr_word(r, open), x->blank),
                                      pn_expr_optional(r, items), pn_expr_word(r, close)));
}

static bool make_value(pn_build *b, pn_builtins *out) {
    pn_rules *r = &b->rules;
    const int32_t rule = pn_rules_new(r, "value", 5);
    out->value = pn_expr_rule(r, rule);
    const pn_expr *value_part = pn_expr_three(r, pn_expr_word(r, ":"), out->space, out->value);
    const pn_expr *member = pn_rules_add(r, "member", pn_expr_then(r, out->text, value_part));
    out->object = make_list(b, "object", "{", member, "}");
    out->array = make_list(b, "array", "[", out->value, "]");
    const pn_expr *list[] = {out->object, out->array,   out->text,
                             out->number, out->boolean, out->null};
    const pn_expr *body = pn_expr_alt(r, &(pn_expr_list){list, 6, 6});
    if (!body) return false;
    r->list[rule].body = body;
    return true;
}

bool pn_builtins_make(pn_build *b) {
    pn_rules *r = &b->rules;
    pn_builtins *x = pn_job_alloc(&b->job, 1, sizeof *x);
    if (!x) return false;
    b->builtins = x;
    x->blank = make_blank(b);
    x->space = pn_expr_optional(r, pn_expr_word(r, " "));
    x->comma = pn_expr_then(r, pn_expr_word(r, ","), x->blank);
    x->quote = pn_expr_word(r, "\"");
    x->character = make_character(b);
    const pn_expr *characters = pn_expr_repeat(r, x->character, 0, PN_EXPR_NO_MAX);
    x->text = pn_rules_add(r, "string", pn_expr_three(r, x->quote, characters, x->quote));
    x->null = pn_expr_word(r, "null");
    x->boolean = pn_rules_add(r, "boolean",
                              pn_expr_or(r, pn_expr_word(r, "true"), pn_expr_word(r, "false")));
    return make_numbers(b, x) && make_value(b, x);
}
