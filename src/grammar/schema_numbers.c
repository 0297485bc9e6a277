/* schema_numbers.c: numbers: integer, minimum, maximum, multipleOf, formats with a range, and what
 * must not be.
 *
 * All of it is decimal: an automaton reads the digits. Where a number is only held to one side of
 * 0, an exponent may follow the digits, since it does not change the side. */
#include "grammar/schema_emit.h"

#include <stdio.h>

#define FEW_STATES 5000

typedef struct number_facts {
    pn_demand *demands;
    int32_t n, cap;
    bool integer, whole_only; /* whole_only: integer is the only demand */
    bool side_only;           /* all demands are about the order to 0 */
    pn_decimal low, high;     /* where bounded */
    bool has_low, has_high, open_low, open_high;
    int32_t whole, fraction; /* digits that the demands' numbers have */
} number_facts;

static bool add_demand(pn_build *b, number_facts *f, pn_demand demand) {
    if (!pn_job_grow(&b->job, &f->demands, f->n, &f->cap, sizeof *f->demands)) return false;
    f->demands[f->n++] = demand;
    return true;
}

static void note_digits(number_facts *f, int32_t whole, int32_t fraction) {
    if (whole > f->whole) f->whole = whole;
    if (fraction > f->fraction) f->fraction = fraction;
}

/* Of the bounds only the tightest matters for pn_numbers_disjoint; all are demanded. */
static void note_bound(number_facts *f, const pn_decimal *number, int wanted) {
    const bool open = !(wanted & PN_EQUAL);
    if (wanted & PN_GREATER) {
        const int order = f->has_low ? pn_decimal_compare(number, &f->low) : 1;
        if (order > 0 || (order == 0 && open)) f->low = *number, f->open_low = open;
        f->has_low = true;
    } else {
        const int order = f->has_high ? pn_decimal_compare(number, &f->high) : -1;
        if (order < 0 || (order == 0 && open)) f->high = *number, f->open_high = open;
        f->has_high = true;
    }
}

static bool add_order(pn_build *b, number_facts *f, pn_decimal number, int wanted) {
    if (wanted != (PN_LESS | PN_GREATER)) note_bound(f, &number, wanted);
    if (number.n || wanted == (PN_LESS | PN_GREATER)) f->side_only = false;
    note_digits(f, pn_decimal_whole(&number), pn_decimal_fraction(&number));
    return add_demand(b, f,
                      (pn_demand){.kind = PN_DEMAND_COMPARE, .number = number, .wanted = wanted});
}

static bool add_integer(pn_build *b, number_facts *f, bool positive) {
    if (positive && f->integer) return true;
    f->integer |= positive;
    f->side_only = false;
    return add_demand(b, f, (pn_demand){.kind = PN_DEMAND_INTEGER, .negative = !positive});
}

static bool add_multiple(pn_build *b, number_facts *f, const pn_json *value, bool positive) {
    pn_decimal of;
    pn_demand d = {.kind = PN_DEMAND_MULTIPLE, .negative = !positive};
    if (!pn_decimal_read(&b->job, value->text, &of) ||
        !pn_decimal_factor(&b->job, &of, &d.factor, &d.shift))
        return false;
    f->side_only = false;
    note_digits(f, pn_decimal_whole(&of), d.shift < 0 ? -d.shift : 0);
    return add_demand(b, f, d);
}

/* A bound that is a keyword's value: minimum and maximum, or the exclusive ones as numbers. */
static bool add_bound(pn_build *b, number_facts *f, int32_t schema, pn_kw kw, int wanted) {
    const pn_json *value = pn_schema_get(b, schema, kw);
    pn_decimal number;
    if (!value || value->kind != PN_JSON_NUMBER) return true;
    pn_build_at(b, schema, kw);
    return pn_decimal_read(&b->job, value->text, &number) && add_order(b, f, number, wanted);
}

/* In draft 4, exclusiveMinimum: true makes minimum one. */
static int wanted_by(const pn_build *b, int32_t schema, pn_kw kw) {
    const bool low = kw == PN_KW_MINIMUM || kw == PN_KW_EXCLUSIVE_MINIMUM;
    const pn_json *exclusive =
        pn_schema_get(b, schema, low ? PN_KW_EXCLUSIVE_MINIMUM : PN_KW_EXCLUSIVE_MAXIMUM);
    const bool plain = kw == PN_KW_MINIMUM || kw == PN_KW_MAXIMUM;
    const bool equal = plain && !(exclusive && exclusive->kind == PN_JSON_TRUE);
    return (low ? PN_GREATER : PN_LESS) | (equal ? PN_EQUAL : 0);
}

static bool add_format(pn_build *b, number_facts *f, int32_t schema) {
    const pn_json *name = pn_schema_get(b, schema, PN_KW_FORMAT);
    const pn_format *format = name ? pn_format_find(name->text) : NULL;
    if (!format || format->about != PN_NUMBERS || !format->pattern) return true;
    pn_decimal low, high;
    pn_build_at(b, schema, PN_KW_FORMAT);
    return add_integer(b, f, true) &&
           (!format->pattern[0] ||
            (pn_decimal_read(&b->job, pn_json_text_of(format->pattern), &low) &&
             add_order(b, f, low, PN_GREATER | PN_EQUAL))) &&
           (!format->outer[0] || (pn_decimal_read(&b->job, pn_json_text_of(format->outer), &high) &&
                                  add_order(b, f, high, PN_LESS | PN_EQUAL)));
}

static bool add_holds(pn_build *b, number_facts *f, int32_t schema) {
    static const pn_kw bounds[] = {PN_KW_MINIMUM, PN_KW_MAXIMUM, PN_KW_EXCLUSIVE_MINIMUM,
                                   PN_KW_EXCLUSIVE_MAXIMUM};
    if (b->schemas[schema].integer && !add_integer(b, f, true)) return false;
    for (int i = 0; i < 4; i++)
        if (!add_bound(b, f, schema, bounds[i], wanted_by(b, schema, bounds[i]))) return false;
    const pn_json *of = pn_schema_get(b, schema, PN_KW_MULTIPLE_OF);
    if (of) pn_build_at(b, schema, PN_KW_MULTIPLE_OF);
    return (!of || add_multiple(b, f, of, true)) && add_format(b, f, schema);
}

/* The number is none of an enum or const. */
static bool add_others(pn_build *b, number_facts *f, int32_t schema, pn_kw kw) {
    const pn_json *value = pn_schema_get(b, schema, kw);
    const int32_t n = kw == PN_KW_CONST ? 1 : value->n;
    const pn_json *items = kw == PN_KW_CONST ? value : value->items;
    for (int32_t i = 0; i < n; i++) {
        pn_decimal number;
        if (items[i].kind == PN_JSON_NUMBER && (!pn_decimal_read(&b->job, items[i].text, &number) ||
                                                !add_order(b, f, number, PN_LESS | PN_GREATER)))
            return false;
    }
    return true;
}

static bool add_fails(pn_build *b, number_facts *f, const pn_literal *l) {
    const pn_kw kw = (pn_kw)l->kw;
    const int all = PN_LESS | PN_EQUAL | PN_GREATER;
    switch (kw) {
    case PN_KW_TYPE: return add_integer(b, f, false);
    case PN_KW_MINIMUM:
    case PN_KW_MAXIMUM:
    case PN_KW_EXCLUSIVE_MINIMUM:
    case PN_KW_EXCLUSIVE_MAXIMUM:
        return add_bound(b, f, l->schema, kw, all & ~wanted_by(b, l->schema, kw));
    case PN_KW_MULTIPLE_OF: return add_multiple(b, f, pn_schema_get(b, l->schema, kw), false);
    case PN_KW_ENUM:
    case PN_KW_CONST: return add_others(b, f, l->schema, kw);
    case PN_KW_FORMAT:
        return pn_build_fail(b, l->schema, kw, PUNA_E_UNSUPPORTED,
                             "a number's format cannot be negated");
    default: return true;
    }
}

static bool gather(pn_build *b, number_facts *f, const pn_shape *shape) {
    for (int32_t i = 0; i < shape->n; i++) {
        const pn_literal *l = &shape->literals[i];
        if (!(pn_literal_about(b, l) & PN_NUMBERS)) continue;
        if (l->op == PN_HOLDS && !add_holds(b, f, l->schema)) return false;
        if (l->op == PN_FAILS && !add_fails(b, f, l)) return false;
    }
    return true;
}

/* Nothing lies between the bounds, or no integer where one is demanded. */
static bool is_empty(const number_facts *f) {
    if (!f->has_low || !f->has_high) return false;
    const int order = pn_decimal_compare(&f->low, &f->high);
    if (order > 0 || (order == 0 && (f->open_low || f->open_high))) return true;
    if (order == 0) return f->integer && !pn_decimal_is_integer(&f->low);
    /* the open interval between two neighbouring integers holds none */
    int64_t low, high;
    return f->integer && f->open_low && f->open_high && pn_decimal_to_int(&f->low, &low) &&
           pn_decimal_to_int(&f->high, &high) && high - low == 1;
}

bool pn_numbers_disjoint(pn_build *b, const pn_shape *a, const pn_shape *c) {
    number_facts f = {0};
    return gather(b, &f, a) && gather(b, &f, c) && is_empty(&f);
}

/* The product with the syntax of decimals of so many digits; max_whole -1: of any. */
static pn_built build(pn_build *b, number_facts *f, int32_t max_whole, int32_t max_states,
                      pn_dfa *dfa) {
    pn_demand *all = pn_job_alloc(&b->job, (size_t)f->n + 1, sizeof *all);
    if (!all) return PN_BUILD_FAILED;
    const int32_t fraction = f->fraction + 2 > PN_MAX_FRACTION ? f->fraction + 2 : PN_MAX_FRACTION;
    all[0] = (pn_demand){.kind = PN_DEMAND_SYNTAX,
                         .max_whole = max_whole,
                         .max_fraction = f->integer ? 0 : fraction};
    for (int32_t i = 0; i < f->n; i++) {
        all[i + 1] = f->demands[i];
        if (f->demands[i].kind == PN_DEMAND_MULTIPLE && !f->integer && !f->demands[i].negative)
            all[0].max_fraction = f->fraction ? f->fraction : 1;
    }
    return pn_automaton_build(&b->job, all, f->n + 1, max_states, dfa);
}

const pn_expr *pn_emit_number(pn_build *b, const pn_shape *shape) {
    number_facts f = {.side_only = true};
    if (!gather(b, &f, shape)) return NULL;
    if (f.n == 0) return b->builtins->number;
    if (f.n == 1 && f.integer) return b->builtins->integer;
    pn_dfa dfa;
    const int32_t whole = f.whole + 1 > PN_MAX_WHOLE ? f.whole + 1 : PN_MAX_WHOLE;
    pn_built built = build(b, &f, whole, 4 * FEW_STATES, &dfa);
    /* a factor of many remainders, times every number of digits: leave that number open */
    if (built == PN_BUILD_TOO_BIG || (built == PN_BUILT && dfa.n > FEW_STATES))
        built = build(b, &f, -1, PN_DFA_MAX_STATES, &dfa);
    if (built == PN_BUILD_TOO_BIG)
        pn_job_fail(&b->job, PUNA_E_LIMIT,
                    "too large an automaton for this and the other keywords");
    if (built != PN_BUILT) return NULL;
    const pn_expr *digits = pn_expr_of_dfa(b, &dfa, false, b->rule_name);
    if (!f.side_only) return digits;
    return pn_expr_then(&b->rules, digits, pn_expr_optional(&b->rules, b->builtins->exponent));
}

const pn_json *pn_number_values(pn_build *b, const pn_shape *shape, int32_t max, int32_t *n) {
    number_facts f = {0};
    int64_t low, high;
    if (!gather(b, &f, shape) || !f.integer || !f.has_low || !f.has_high) return NULL;
    if (!pn_decimal_to_int(&f.low, &low) || !pn_decimal_to_int(&f.high, &high) ||
        high - low >= 1000)
        return NULL;
    pn_json *list = pn_job_alloc(&b->job, (size_t)max, sizeof *list);
    *n = 0;
    for (int64_t i = low; list && i <= high; i++) {
        char *text = pn_job_alloc(&b->job, 16, 1);
        if (!text) return NULL;
        const int length = snprintf(text, 16, "%lld", (long long)i);
        const pn_json value = {
            .kind = PN_JSON_NUMBER, .schema = -1, .text = {text, (size_t)length}};
        const pn_truth holds = pn_check_shape(b, &value, shape);
        if (holds == PN_MAYBE || (holds == PN_YES && *n == max)) return NULL;
        if (holds == PN_YES) list[(*n)++] = value;
    }
    return list;
}
