/* schema_check.c: whether a value in a schema (of an enum or const, or a property's name) is valid
 * against a schema.
 *
 * Three answers, since of some formats only a part is known: what must hold needs PN_YES, what must
 * not hold needs PN_NO. Every step is charged, so that schemas that double at every turn end. */
#include "grammar/schema_emit.h"

#define MAX_DEPTH 3000

static pn_truth both(pn_truth a, pn_truth b) {
    return a < b ? a : b;
}

static pn_truth either(pn_truth a, pn_truth b) {
    return a > b ? a : b;
}

static pn_truth opposite(pn_truth a) {
    return (pn_truth)(PN_YES - a);
}

static pn_truth truth(bool a) {
    return a ? PN_YES : PN_NO;
}

int pn_json_kinds(const pn_json *value) {
    switch ((pn_json_kind)value->kind) {
    case PN_JSON_NULL: return PN_NULLS;
    case PN_JSON_FALSE:
    case PN_JSON_TRUE: return PN_BOOLEANS;
    case PN_JSON_NUMBER: return PN_NUMBERS;
    case PN_JSON_STRING: return PN_TEXTS;
    case PN_JSON_ARRAY: return PN_ARRAYS;
    case PN_JSON_OBJECT: return PN_OBJECTS;
    }
    return 0;
}

/* ---- equality -------------------------------------------------------------------------------- */

static bool numbers_equal(pn_build *b, const pn_json *x, const pn_json *y) {
    pn_decimal p, q;
    return pn_decimal_read(&b->job, x->text, &p) && pn_decimal_read(&b->job, y->text, &q) &&
           pn_decimal_compare(&p, &q) == 0;
}

bool pn_json_equal(pn_build *b, const pn_json *x, const pn_json *y) {
    if (x->kind != y->kind || !pn_job_charge(&b->job, 1)) return false;
    if (x->kind == PN_JSON_NUMBER) return numbers_equal(b, x, y);
    if (x->kind == PN_JSON_STRING) return pn_json_text_equal(x->text, y->text);
    if (x->kind < PN_JSON_ARRAY) return true;
    if (x->n != y->n) return false;
    for (int32_t i = 0; i < x->n; i++) {
        const pn_json *a = x->kind == PN_JSON_ARRAY ? &x->items[i] : &x->members[i].value;
        const pn_json *c =
            x->kind == PN_JSON_ARRAY ? &y->items[i] : pn_json_get(y, x->members[i].name);
        if (!c || !pn_json_equal(b, a, c)) return false;
    }
    return true;
}

/* ---- one keyword ----------------------------------------------------------------------------- */

static pn_truth check_number(pn_build *b, const pn_json *value, int32_t schema, pn_kw kw,
                             const pn_json *bound) {
    pn_decimal x, y;
    if (bound->kind != PN_JSON_NUMBER) return PN_YES;
    if (!pn_decimal_read(&b->job, value->text, &x) || !pn_decimal_read(&b->job, bound->text, &y))
        return PN_MAYBE;
    const int order = pn_decimal_compare(&x, &y);
    const bool low = kw == PN_KW_MINIMUM || kw == PN_KW_EXCLUSIVE_MINIMUM;
    const pn_json *exclusive =
        pn_schema_get(b, schema, low ? PN_KW_EXCLUSIVE_MINIMUM : PN_KW_EXCLUSIVE_MAXIMUM);
    const bool open = kw == PN_KW_EXCLUSIVE_MINIMUM || kw == PN_KW_EXCLUSIVE_MAXIMUM ||
                      (exclusive && exclusive->kind == PN_JSON_TRUE);
    if (order == 0) return truth(!open);
    return truth(low ? order > 0 : order < 0);
}

static pn_truth check_multiple(pn_build *b, const pn_json *value, const pn_json *factor) {
    pn_decimal x, of;
    int32_t k, shift;
    if (!pn_decimal_read(&b->job, value->text, &x) ||
        !pn_decimal_read(&b->job, factor->text, &of) ||
        !pn_decimal_factor(&b->job, &of, &k, &shift))
        return PN_MAYBE;
    return truth(pn_decimal_is_multiple(&x, k, shift));
}

/* An integer within the format's bounds. */
static bool is_in_range(pn_build *b, const pn_json *value, const pn_format *format) {
    pn_decimal x, low, high;
    if (!pn_decimal_read(&b->job, value->text, &x) || !pn_decimal_is_integer(&x)) return false;
    if (format->pattern[0] && (!pn_decimal_read(&b->job, pn_json_text_of(format->pattern), &low) ||
                               pn_decimal_compare(&x, &low) < 0))
        return false;
    return !format->outer[0] || (pn_decimal_read(&b->job, pn_json_text_of(format->outer), &high) &&
                                 pn_decimal_compare(&x, &high) <= 0);
}

static pn_truth check_format(pn_build *b, const pn_json *value, const pn_json *name) {
    const pn_format *format = pn_format_find(name->text);
    if (!format || !format->pattern || !(format->about & pn_json_kinds(value))) return PN_YES;
    if (value->kind == PN_JSON_NUMBER) return truth(is_in_range(b, value, format));
    const pn_pattern *inner = pn_pattern_of_format(b, format, false);
    if (!inner || pn_pattern_matches(b, inner, value->text)) return PN_YES;
    const pn_pattern *outer = format->outer ? pn_pattern_of_format(b, format, true) : NULL;
    return outer && !pn_pattern_matches(b, outer, value->text) ? PN_NO : PN_MAYBE;
}

static pn_truth check_count(pn_build *b, int64_t n, const pn_json *bound, bool least) {
    int64_t count;
    if (!pn_json_count(&b->job, bound, &count)) return PN_MAYBE;
    return truth(least ? n >= count : n <= count);
}

static pn_truth check_items(pn_build *b, const pn_json *value, int32_t schema) {
    pn_kw kw;
    const pn_json *prefix = pn_schema_prefix(b, schema, &kw);
    const int32_t rest = pn_schema_rest(b, schema, &kw), n_prefix = prefix ? prefix->n : 0;
    pn_truth out = PN_YES;
    for (int32_t i = 0; i < value->n && out != PN_NO; i++) {
        const int32_t item = i < n_prefix ? prefix->items[i].schema : rest;
        if (item >= 0) out = both(out, pn_check(b, &value->items[i], item));
    }
    return out;
}

static pn_truth check_unique(pn_build *b, const pn_json *value) {
    for (int32_t i = 1; i < value->n; i++)
        for (int32_t j = 0; j < i; j++)
            if (pn_json_equal(b, &value->items[i], &value->items[j])) return PN_NO;
    return PN_YES;
}

static pn_truth check_contains(pn_build *b, const pn_json *value, int32_t schema) {
    const int32_t item = pn_schema_child(b, schema, PN_KW_CONTAINS);
    int64_t min, max, sure = 0, possible = 0;
    if (!pn_schema_count(b, schema, PN_KW_MIN_CONTAINS, 1, &min) ||
        !pn_schema_count(b, schema, PN_KW_MAX_CONTAINS, PN_NO_MAX, &max))
        return PN_MAYBE;
    for (int32_t i = 0; i < value->n; i++) {
        const pn_truth holds = pn_check(b, &value->items[i], item);
        sure += holds == PN_YES;
        possible += holds != PN_NO;
    }
    if (sure >= min && possible <= max) return PN_YES;
    return possible < min || sure > max ? PN_NO : PN_MAYBE;
}

static pn_truth check_properties(pn_build *b, const pn_json *value, const pn_json *map) {
    pn_truth out = PN_YES;
    for (int32_t i = 0; i < value->n && out != PN_NO; i++) {
        const pn_json *child = pn_json_get(map, value->members[i].name);
        if (child) out = both(out, pn_check(b, &value->members[i].value, child->schema));
    }
    return out;
}

static pn_truth check_pattern_properties(pn_build *b, const pn_json *value, const pn_json *map) {
    pn_truth out = PN_YES;
    for (int32_t i = 0; i < value->n; i++)
        for (int32_t j = 0; j < map->n && out != PN_NO; j++) {
            const pn_pattern *p =
                pn_pattern_get(b, map->members[j].name.data, map->members[j].name.n);
            if (!p) return PN_MAYBE;
            if (pn_pattern_matches(b, p, value->members[i].name))
                out =
                    both(out, pn_check(b, &value->members[i].value, map->members[j].value.schema));
        }
    return out;
}

static bool is_additional(pn_build *b, int32_t schema, pn_json_text name) {
    const pn_json *map = pn_schema_get(b, schema, PN_KW_PROPERTIES);
    if (map && pn_json_find(map, name) >= 0) return false;
    map = pn_schema_get(b, schema, PN_KW_PATTERN_PROPERTIES);
    for (int32_t i = 0; map && i < map->n; i++) {
        const pn_pattern *p = pn_pattern_get(b, map->members[i].name.data, map->members[i].name.n);
        if (p && pn_pattern_matches(b, p, name)) return false;
    }
    return true;
}

static pn_truth check_additional(pn_build *b, const pn_json *value, int32_t schema) {
    const int32_t child = pn_schema_child(b, schema, PN_KW_ADDITIONAL_PROPERTIES);
    pn_truth out = PN_YES;
    for (int32_t i = 0; i < value->n && out != PN_NO; i++)
        if (is_additional(b, schema, value->members[i].name))
            out = both(out, pn_check(b, &value->members[i].value, child));
    return out;
}

static pn_truth check_names(pn_build *b, const pn_json *value, int32_t schema) {
    const int32_t child = pn_schema_child(b, schema, PN_KW_PROPERTY_NAMES);
    pn_truth out = PN_YES;
    for (int32_t i = 0; i < value->n && out != PN_NO; i++) {
        const pn_json name = {.kind = PN_JSON_STRING, .schema = -1, .text = value->members[i].name};
        out = both(out, pn_check(b, &name, child));
    }
    return out;
}

static pn_truth check_required(const pn_json *value, const pn_json *names) {
    for (int32_t i = 0; i < names->n; i++)
        if (pn_json_find(value, names->items[i].text) < 0) return PN_NO;
    return PN_YES;
}

static pn_truth check_enum(pn_build *b, const pn_json *value, const pn_json *list) {
    if (value >= list->items && value < list->items + list->n) return PN_YES;
    for (int32_t i = 0; i < list->n; i++)
        if (pn_json_equal(b, value, &list->items[i])) return PN_YES;
    return PN_NO;
}

static pn_truth check_type(pn_build *b, const pn_json *value, int32_t schema) {
    const pn_schema *s = &b->schemas[schema];
    pn_decimal number;
    if (!(s->type_kinds & pn_json_kinds(value))) return PN_NO;
    if (value->kind != PN_JSON_NUMBER || !s->integer) return PN_YES;
    return pn_decimal_read(&b->job, value->text, &number) ? truth(pn_decimal_is_integer(&number))
                                                          : PN_MAYBE;
}

static pn_truth check_kw(pn_build *b, const pn_json *value, int32_t schema, pn_kw kw) {
    const pn_json *x = pn_schema_get(b, schema, kw);
    if (!pn_job_charge(&b->job, 1)) return PN_MAYBE;
    if (!x) return PN_YES;
    if (pn_kw_about(kw) <= PN_VALUES && !(pn_kw_about(kw) & pn_json_kinds(value)) &&
        kw != PN_KW_FORMAT)
        return PN_YES;
    switch (kw) {
    case PN_KW_TYPE: return check_type(b, value, schema);
    case PN_KW_ENUM: return check_enum(b, value, x);
    case PN_KW_CONST: return truth(pn_json_equal(b, value, x));
    case PN_KW_MINIMUM:
    case PN_KW_MAXIMUM:
    case PN_KW_EXCLUSIVE_MINIMUM:
    case PN_KW_EXCLUSIVE_MAXIMUM: return check_number(b, value, schema, kw, x);
    case PN_KW_MULTIPLE_OF: return check_multiple(b, value, x);
    case PN_KW_MIN_LENGTH: return check_count(b, pn_json_text_length(value->text), x, true);
    case PN_KW_MAX_LENGTH: return check_count(b, pn_json_text_length(value->text), x, false);
    case PN_KW_PATTERN: {
        const pn_pattern *p = pn_pattern_get(b, x->text.data, x->text.n);
        return p ? truth(pn_pattern_matches(b, p, value->text)) : PN_MAYBE;
    }
    case PN_KW_FORMAT: return check_format(b, value, x);
    case PN_KW_ITEMS: return check_items(b, value, schema);
    case PN_KW_PREFIX_ITEMS:
    case PN_KW_ADDITIONAL_ITEMS:
        return pn_schema_get(b, schema, PN_KW_ITEMS) ? PN_YES : check_items(b, value, schema);
    case PN_KW_MIN_ITEMS:
    case PN_KW_MIN_PROPERTIES: return check_count(b, value->n, x, true);
    case PN_KW_MAX_ITEMS:
    case PN_KW_MAX_PROPERTIES: return check_count(b, value->n, x, false);
    case PN_KW_UNIQUE_ITEMS: return x->kind == PN_JSON_TRUE ? check_unique(b, value) : PN_YES;
    case PN_KW_CONTAINS: return check_contains(b, value, schema);
    case PN_KW_PROPERTIES: return check_properties(b, value, x);
    case PN_KW_PATTERN_PROPERTIES: return check_pattern_properties(b, value, x);
    case PN_KW_ADDITIONAL_PROPERTIES: return check_additional(b, value, schema);
    case PN_KW_PROPERTY_NAMES: return check_names(b, value, schema);
    case PN_KW_REQUIRED: return check_required(value, x);
    default: return PN_YES;
    }
}

/* ---- logic ----------------------------------------------------------------------------------- */

static pn_truth check_one_of(pn_build *b, const pn_json *value, const pn_json *list) {
    int32_t sure = 0, possible = 0;
    for (int32_t i = 0; i < list->n; i++) {
        const pn_truth holds = pn_check(b, value, list->items[i].schema);
        sure += holds == PN_YES;
        possible += holds != PN_NO;
    }
    if (sure > 1 || possible == 0) return PN_NO;
    return sure == 1 && possible == 1 ? PN_YES : PN_MAYBE;
}

static pn_truth check_list(pn_build *b, const pn_json *value, pn_kw kw, const pn_json *list) {
    if (kw == PN_KW_ONE_OF) return check_one_of(b, value, list);
    pn_truth out = kw == PN_KW_ALL_OF ? PN_YES : PN_NO;
    for (int32_t i = 0; i < list->n; i++) {
        const pn_truth holds = pn_check(b, value, list->items[i].schema);
        out = kw == PN_KW_ALL_OF ? both(out, holds) : either(out, holds);
    }
    return out;
}

static pn_truth check_if(pn_build *b, const pn_json *value, int32_t schema) {
    const int32_t yes = pn_schema_child(b, schema, PN_KW_THEN);
    const int32_t no = pn_schema_child(b, schema, PN_KW_ELSE);
    const pn_truth holds = pn_check(b, value, pn_schema_child(b, schema, PN_KW_IF));
    const pn_truth then = yes < 0 ? PN_YES : pn_check(b, value, yes);
    const pn_truth other = no < 0 ? PN_YES : pn_check(b, value, no);
    return both(either(opposite(holds), then), either(holds, other));
}

static pn_truth check_dependencies(pn_build *b, const pn_json *value, const pn_json *map) {
    pn_truth out = PN_YES;
    if (value->kind != PN_JSON_OBJECT) return out;
    for (int32_t i = 0; i < map->n; i++) {
        const pn_json *then = &map->members[i].value;
        if (pn_json_find(value, map->members[i].name) < 0) continue;
        out = both(out, then->kind == PN_JSON_ARRAY ? check_required(value, then)
                                                    : pn_check(b, value, then->schema));
    }
    return out;
}

static pn_truth check_logic(pn_build *b, const pn_json *value, int32_t schema, const pn_word *w) {
    const pn_schema *s = &b->schemas[schema];
    switch (w->kw) {
    case PN_KW_REF: return pn_check(b, value, s->ref);
    case PN_KW_DYNAMIC_REF:
    case PN_KW_RECURSIVE_REF: return pn_check(b, value, s->dynamic_ref);
    case PN_KW_ALL_OF:
    case PN_KW_ANY_OF:
    case PN_KW_ONE_OF: return check_list(b, value, w->kw, w->value);
    case PN_KW_NOT: return opposite(pn_check(b, value, w->value->schema));
    case PN_KW_IF: return check_if(b, value, schema);
    case PN_KW_DEPENDENT_REQUIRED:
    case PN_KW_DEPENDENT_SCHEMAS:
    case PN_KW_DEPENDENCIES: return check_dependencies(b, value, w->value);
    case PN_KW_UNEVALUATED_ITEMS:
        return value->kind == PN_JSON_ARRAY && value->n ? PN_MAYBE : PN_YES;
    case PN_KW_UNEVALUATED_PROPERTIES:
        return value->kind == PN_JSON_OBJECT && value->n ? PN_MAYBE : PN_YES;
    default: return PN_YES;
    }
}

pn_truth pn_check(pn_build *b, const pn_json *value, int32_t schema) {
    const pn_schema *s = &b->schemas[schema];
    if (s->json->kind != PN_JSON_OBJECT) return truth(s->json->kind == PN_JSON_TRUE);
    if (b->depth == MAX_DEPTH) return PN_MAYBE;
    pn_truth out = PN_YES;
    b->depth++;
    for (int32_t i = 0; i < s->n_words && out != PN_NO; i++) {
        const pn_word *w = &s->words[i];
        out = both(out, pn_kw_about(w->kw) == PN_LOGIC ? check_logic(b, value, schema, w)
                                                       : check_kw(b, value, schema, w->kw));
    }
    /* to drafts before 2019-09 what stands beside $ref is not there; it is enforced all the same */
    if (out == PN_NO && b->legacy_ref && s->ref >= 0)
        out = opposite(either(PN_MAYBE, opposite(pn_check(b, value, s->ref))));
    b->depth--;
    return out;
}

pn_truth pn_check_conj(pn_build *b, const pn_json *value, const pn_conj *conj) {
    pn_truth out = PN_YES;
    for (int32_t i = 0; i < conj->n && out != PN_NO; i++) {
        const pn_truth holds = pn_check(b, value, conj->elements[i] / 2);
        out = both(out, conj->elements[i] % 2 ? opposite(holds) : holds);
    }
    return out;
}

/* ---- literals -------------------------------------------------------------------------------- */

static pn_truth check_holds(pn_build *b, const pn_json *value, int32_t schema) {
    const pn_schema *s = &b->schemas[schema];
    pn_truth out = PN_YES;
    for (int32_t i = 0; i < s->n_words && out != PN_NO; i++)
        if (pn_kw_about(s->words[i].kw) <= PN_VALUES)
            out = both(out, check_kw(b, value, schema, s->words[i].kw));
    return out;
}

static pn_truth check_literal(pn_build *b, const pn_json *value, const pn_literal *l) {
    const bool object = value->kind == PN_JSON_OBJECT;
    switch ((pn_literal_op)l->op) {
    case PN_HOLDS: return check_holds(b, value, l->schema);
    case PN_FAILS:
        /* a part of the keyword fails: surely not when all of it holds */
        return pn_kw_about((pn_kw)l->kw) <= PN_VALUES &&
                       check_kw(b, value, l->schema, (pn_kw)l->kw) == PN_YES
                   ? PN_NO
                   : PN_MAYBE;
    case PN_FAILS_ALL: return opposite(pn_check(b, value, l->schema));
    case PN_HAS: return truth(!object || pn_json_find(value, *l->name) >= 0);
    case PN_LACKS: return truth(!object || pn_json_find(value, *l->name) < 0);
    default: return PN_MAYBE;
    }
}

pn_truth pn_check_shape(pn_build *b, const pn_json *value, const pn_shape *shape) {
    pn_truth out = truth(shape->kinds & pn_json_kinds(value));
    for (int32_t i = 0; i < shape->n && out != PN_NO; i++)
        out = both(out, check_literal(b, value, &shape->literals[i]));
    return out;
}
