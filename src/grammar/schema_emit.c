/* schema_emit.c: conjunctions as rules, and values as they stand.
 *
 * A rule is made when it is first asked for and written when its turn comes, so nothing here
 * recurses into the depth of the schema. */
#include "grammar/schema_emit.h"

#include <string.h>

/* ---- what a value must fulfil ---------------------------------------------------------------- */

/* No keyword of the schema does anything. */
static bool says_nothing(const pn_build *b, int32_t schema) {
    const pn_schema *s = &b->schemas[schema];
    if (s->json->kind != PN_JSON_OBJECT) return s->json->kind == PN_JSON_TRUE;
    for (int32_t i = 0; i < s->n_words; i++)
        if (pn_kw_about(s->words[i].kw) < PN_FRAME) return false;
    return true;
}

bool pn_elements_add(pn_build *b, pn_elements *e, int32_t schema, bool negated) {
    if (schema < 0 || (!negated && says_nothing(b, schema))) return true;
    const int32_t element = 2 * b->schemas[schema].same + negated;
    int32_t at = 0;
    while (at < e->n && e->list[at] < element) at++;
    if (at < e->n && e->list[at] == element) return true;
    if (!pn_job_charge(&b->job, 1) ||
        !pn_job_grow(&b->job, &e->list, e->n, &e->cap, sizeof *e->list))
        return false;
    memmove(e->list + at + 1, e->list + at, (size_t)(e->n - at) * sizeof *e->list);
    e->list[at] = element;
    e->n++;
    return true;
}

bool pn_elements_copy(pn_build *b, const pn_elements *from, pn_elements *to) {
    *to = (pn_elements){.n = from->n, .cap = from->n};
    to->list = pn_job_alloc(&b->job, (size_t)from->n, sizeof *to->list);
    if (to->list && from->n) memcpy(to->list, from->list, (size_t)from->n * sizeof *to->list);
    return to->list != NULL;
}

const pn_conj *pn_elements_conj(pn_build *b, const pn_elements *elements) {
    return pn_conj_of(b, elements->list, elements->n);
}

/* ---- values as they stand -------------------------------------------------------------------- */

static char *put_digits(const pn_decimal *x, char *out) {
    if (x->negative) *out++ = '-';
    const int32_t whole = pn_decimal_whole(x), fraction = pn_decimal_fraction(x);
    if (whole == 0) *out++ = '0';
    for (int32_t place = whole; place > 0; place--) *out++ = pn_decimal_digit(x, place);
    if (fraction) *out++ = '.';
    for (int32_t i = 0; i < fraction; i++) *out++ = pn_decimal_digit(x, -i);
    return out;
}

/* A number as it is written, without an exponent, and where it is an integer written otherwise also
 * with ".0". */
static const pn_expr *number_literal(pn_build *b, const pn_json *value) {
    pn_rules *r = &b->rules;
    pn_decimal x;
    const pn_expr *written = pn_expr_text(r, value->text.data, value->text.n);
    char *plain = pn_job_alloc(&b->job, 2 * PN_DECIMAL_MAX + 8, 1);
    if (!plain || !pn_decimal_read(&b->job, value->text, &x)) return NULL;
    const size_t n = (size_t)(put_digits(&x, plain) - plain);
    const pn_json_text digits = {plain, n};
    if (pn_json_text_equal(digits, value->text)) return written;
    const pn_expr *both = pn_expr_or(r, written, pn_expr_text(r, plain, n));
    if (!pn_decimal_is_integer(&x)) return both;
    return pn_expr_or(r, both, pn_expr_then(r, pn_expr_text(r, plain, n), pn_expr_word(r, ".0")));
}

static const pn_expr *container_literal(pn_build *b, const pn_json *value) {
    pn_rules *r = &b->rules;
    const pn_builtins *x = b->builtins;
    const bool object = value->kind == PN_JSON_OBJECT;
    pn_expr_list list = {0};
    if (!pn_expr_add(r, &list, pn_expr_word(r, object ? "{" : "[")) ||
        !pn_expr_add(r, &list, x->blank))
        return NULL;
    for (int32_t i = 0; i < value->n; i++) {
        const pn_expr *item =
            pn_emit_literal(b, object ? &value->members[i].value : &value->items[i]);
        if (object)
            item = pn_expr_three(r, pn_expr_quoted(b, value->members[i].name, ":"), x->space, item);
        if (!pn_expr_add(r, &list, i ? pn_expr_then(r, x->comma, item) : item)) return NULL;
    }
    if ((value->n && !pn_expr_add(r, &list, x->blank)) ||
        !pn_expr_add(r, &list, pn_expr_word(r, object ? "}" : "]")))
        return NULL;
    return pn_expr_seq(r, &list);
}

const pn_expr *pn_emit_literal(pn_build *b, const pn_json *value) {
    pn_rules *r = &b->rules;
    switch ((pn_json_kind)value->kind) {
    case PN_JSON_NULL: return b->builtins->null;
    case PN_JSON_FALSE: return pn_expr_word(r, "false");
    case PN_JSON_TRUE: return pn_expr_word(r, "true");
    case PN_JSON_NUMBER: return number_literal(b, value);
    case PN_JSON_STRING: return pn_expr_quoted(b, value->text, "");
    default: return container_literal(b, value);
    }
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* A name for the rule of a conjunction: where its first schema stands. */
static pn_json_text name_hint(const pn_build *b, const pn_conj *conj) {
    const pn_schema *s = &b->schemas[conj->elements[0] / 2];
    const pn_schema *parent = s->parent >= 0 ? &b->schemas[s->parent] : NULL;
    if (s->name) return *s->name;
    if (parent) return pn_json_text_of(pn_kw_name(s->via));
    size_t at = s->pointer.n;
    while (at && s->pointer.data[at - 1] != '/') at--;
    return (pn_json_text){s->pointer.data + at, s->pointer.n - at};
}

bool pn_emit_as(pn_build *b, const pn_conj *conj, int32_t rule) {
    if (rule < 0 || !pn_job_grow(&b->job, &b->queue, b->n_queue, &b->cap_queue, sizeof *b->queue))
        return false;
    b->conjs[conj->id]->rule = rule;
    b->queue[b->n_queue++] = conj->id;
    return true;
}

const pn_expr *pn_emit_conj(pn_build *b, const pn_conj *conj) {
    if (!conj) return NULL;
    if (conj->n == 0) return b->builtins->value;
    const pn_json_text hint = name_hint(b, conj);
    if (b->conjs[conj->id]->rule < 0 &&
        !pn_emit_as(b, conj, pn_rules_new(&b->rules, hint.data, hint.n)))
        return NULL;
    return pn_expr_rule(&b->rules, b->conjs[conj->id]->rule);
}

static int by_kind(int kind) {
    int i = 0;
    while (kind > 1) kind /= 2, i++;
    return i;
}

static const pn_expr *case_expr(pn_build *b, const pn_shape *shape) {
    switch (shape->kinds) {
    case PN_NUMBERS: return pn_emit_number(b, shape);
    case PN_TEXTS: return pn_emit_text(b, shape);
    case PN_ARRAYS: return pn_emit_array(b, shape);
    default: return pn_emit_object(b, shape);
    }
}

/* The values of enums and consts. Many texts become a tree, in which no two branches begin
 * alike. */
static bool add_values(pn_build *b, const pn_cases *cases, pn_expr_list *out) {
    const int32_t many = 16;
    int32_t n_texts = 0;
    pn_json_text *texts = pn_job_alloc(&b->job, (size_t)cases->n_values, sizeof *texts);
    if (!texts) return false;
    for (int32_t i = 0; i < cases->n_values; i++)
        if (cases->values[i]->kind == PN_JSON_STRING) texts[n_texts++] = cases->values[i]->text;
    if (n_texts > many && !pn_expr_add(&b->rules, out, pn_emit_texts(b, texts, n_texts)))
        return false;
    for (int32_t i = 0; i < cases->n_values; i++)
        if ((cases->values[i]->kind != PN_JSON_STRING || n_texts <= many) &&
            !pn_expr_add(&b->rules, out, pn_emit_literal(b, cases->values[i])))
            return false;
    return true;
}

static const pn_expr *conj_body(pn_build *b, const pn_conj *conj) {
    const pn_cases *cases = pn_conj_cases(b, conj);
    pn_expr_list list = {0};
    bool any[PN_N_KINDS] = {false}, all = true;
    if (!cases) return NULL;
    for (int32_t i = 0; i < cases->n; i++)
        if (cases->list[i]->n == 0) any[by_kind(cases->list[i]->kinds)] = true;
    bool words = cases->n_values == 3;
    for (int32_t i = 0; i < cases->n_values; i++) words &= cases->values[i]->kind <= PN_JSON_TRUE;
    for (int kind = 2; kind < PN_N_KINDS; kind++) all &= any[kind];
    if (all && words) return b->builtins->value;
    for (int32_t i = 0; i < cases->n; i++) {
        const pn_shape *s = cases->list[i];
        if (s->n && any[by_kind(s->kinds)]) continue;
        if (!pn_expr_add(&b->rules, &list, case_expr(b, s))) return NULL;
    }
    return add_values(b, cases, &list) ? pn_expr_alt(&b->rules, &list) : NULL;
}

bool pn_emit_all(pn_build *b) {
    for (; b->n_written < b->n_queue; b->n_written++) {
        const pn_conj *conj = b->conjs[b->queue[b->n_written]];
        b->rule_name = b->rules.list[conj->rule].name;
        pn_build_at(b, conj->elements[0] / 2, PN_KW_NONE);
        const pn_expr *body = conj_body(b, conj);
        if (!body) return false;
        b->rules.list[conj->rule].body = body;
    }
    return true;
}
