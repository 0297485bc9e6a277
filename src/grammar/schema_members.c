/* schema_members.c: objects as expressions.
 *
 * Listed properties come in their order, each at most once; then come the others, any number of
 * them. Where properties are counted (minProperties, maxProperties), a rule stands for "so many
 * written, this one next". */
#include "grammar/schema_objects.h"

#include <string.h>

#define MAX_STATES 20000

typedef struct member {
    const pn_expr *expr;
    bool required;
} member;

typedef struct members {
    pn_build *b;
    member *list;
    int32_t n, n_required;
    const pn_expr *other; /* NULL: none */
    int64_t min, max;
} members;

/* ---- one property ---------------------------------------------------------------------------- */

/* name: with its colon */
static const pn_expr *member_expr(pn_build *b, const pn_expr *name, const pn_elements *value) {
    return pn_expr_three(&b->rules, name, b->builtins->space,
                         pn_emit_conj(b, pn_elements_conj(b, value)));
}

static bool add_listed(pn_build *b, const pn_object_facts *f, members *m) {
    m->list = pn_job_alloc(&b->job, (size_t)f->n, sizeof *m->list);
    if (!m->list) return false;
    for (int32_t i = 0; i < f->n; i++) {
        const pn_property *p = &f->list[i];
        pn_elements value;
        if (p->lacking || !pn_object_allows(b, f, p->name)) {
            if (p->required) m->max = -1;
            continue;
        }
        if (!pn_elements_copy(b, &p->extra, &value) ||
            !pn_object_elements(b, f, p->name, NULL, &value))
            return false;
        const pn_expr *e = member_expr(b, pn_expr_quoted(b, p->name, ":"), &value);
        if (!e) return false;
        m->list[m->n++] = (member){e, p->required};
        m->n_required += p->required;
    }
    return !b->job.status;
}

/* ---- the others ------------------------------------------------------------------------------ */

/* Schemas for the names of properties, all of which must hold. */
static const pn_conj *names_conj(pn_build *b, const pn_object_facts *f) {
    pn_elements names = {0};
    for (int32_t i = 0; i < f->shape->n; i++) {
        const pn_literal *l = &f->shape->literals[i];
        if (l->op == PN_HOLDS && (pn_literal_about(b, l) & PN_OBJECTS) &&
            !pn_elements_add(b, &names, pn_schema_child(b, l->schema, PN_KW_PROPERTY_NAMES), false))
            return NULL;
    }
    return pn_elements_conj(b, &names);
}

/* A name that matches just these patterns and is none of those listed. */
static const pn_expr *name_expr(pn_build *b, const pn_object_facts *f, const bool *known) {
    const pn_conj *conj = names_conj(b, f);
    const pn_cases *cases = conj ? pn_conj_cases(b, conj) : NULL;
    pn_json_text *listed = pn_job_alloc(&b->job, (size_t)f->n, sizeof *listed);
    pn_expr_list list = {0};
    if (!cases || !listed) return NULL;
    for (int32_t i = 0; i < f->n; i++) listed[i] = f->list[i].name;
    const pn_name_demands d = {f->patterns, known, f->n_patterns, listed, f->n};
    for (int32_t i = 0; i < cases->n; i++)
        if (cases->list[i]->kinds == PN_TEXTS &&
            !pn_expr_add(&b->rules, &list, pn_emit_name(b, cases->list[i], &d)))
            return NULL;
    for (int32_t i = 0; i < cases->n_values; i++)
        if (cases->values[i]->kind == PN_JSON_STRING &&
            !pn_expr_add(&b->rules, &list, pn_emit_listed_name(b, cases->values[i]->text, &d)))
            return NULL;
    return pn_expr_alt(&b->rules, &list);
}

/* Properties that are not listed: an alternative for each set of patterns that a name can match. */
static const pn_expr *other_expr(pn_build *b, const pn_object_facts *f) {
    pn_expr_list list = {0};
    for (uint32_t mask = 0; mask < 1u << f->n_patterns; mask++) {
        bool known[PN_MAX_NAME_PATTERNS + 1] = {false};
        pn_elements value = {0};
        if (mask == 0 && f->closed) continue;
        for (int32_t i = 0; i < f->n_patterns; i++) known[i] = (mask >> i & 1) != 0;
        if (!pn_object_elements(b, f, (pn_json_text){"", 0}, known, &value)) return NULL;
        const pn_conj *conj = pn_elements_conj(b, &value);
        if (pn_conjs_disjoint(b, conj, b->any_conj)) continue;
        const pn_expr *name =
            pn_expr_then(&b->rules, name_expr(b, f, known), pn_expr_word(&b->rules, ":"));
        if (!pn_expr_add(&b->rules, &list, member_expr(b, name, &value))) return NULL;
    }
    if (b->job.status) return NULL;
    const pn_expr *other = pn_expr_alt(&b->rules, &list);
    /* it is used several times */
    return !other || other->op == PN_EXPR_NEVER ? other
                                                : pn_rules_add(&b->rules, b->rule_name, other);
}

/* ---- the list of members --------------------------------------------------------------------- */

static const pn_expr *behind_comma(members *m, const pn_expr *e) {
    return pn_expr_then(&m->b->rules, m->b->builtins->comma, e);
}

/* Member i and all behind it, each with its comma, as one rule per member. */
static const pn_expr **rests_of(members *m) {
    pn_rules *r = &m->b->rules;
    const pn_expr **rests = pn_job_alloc(&m->b->job, (size_t)m->n + 1, sizeof *rests);
    if (!rests) return NULL;
    rests[m->n] = m->other ? pn_expr_repeat(r, behind_comma(m, m->other), 0, PN_EXPR_NO_MAX)
                           : pn_expr_empty(r);
    for (int32_t i = m->n; i-- > 0;) {
        const pn_expr *e = behind_comma(m, m->list[i].expr);
        if (!m->list[i].required) e = pn_expr_optional(r, e);
        rests[i] = pn_rules_add(r, m->b->rule_name, pn_expr_then(r, e, rests[i + 1]));
        if (!rests[i]) return NULL;
    }
    return rests;
}

/* All members in a row, the first of which is required. */
static const pn_expr *row_of_members(members *m) {
    pn_rules *r = &m->b->rules;
    pn_expr_list list = {0};
    for (int32_t i = 0; i < m->n; i++) {
        const pn_expr *e = i ? behind_comma(m, m->list[i].expr) : m->list[i].expr;
        if (!m->list[i].required) e = pn_expr_optional(r, e);
        if (!pn_expr_add(r, &list, e)) return NULL;
    }
    if (m->other &&
        !pn_expr_add(r, &list, pn_expr_repeat(r, behind_comma(m, m->other), 0, PN_EXPR_NO_MAX)))
        return NULL;
    return pn_expr_seq(r, &list);
}

/* The members, begun by each of those that can be first. *empty: there need be none. */
static const pn_expr *plain_members(members *m, bool *empty) {
    pn_rules *r = &m->b->rules;
    pn_expr_list list = {0};
    *empty = m->n_required == 0;
    if (m->n && m->list[0].required) return row_of_members(m);
    const pn_expr **rests = rests_of(m);
    for (int32_t i = 0; rests && i < m->n; i++) {
        if (!pn_expr_add(r, &list, pn_expr_then(r, m->list[i].expr, rests[i + 1]))) return NULL;
        if (m->list[i].required) return pn_expr_alt(r, &list);
    }
    if (!rests || (m->other && !pn_expr_add(r, &list, pn_expr_then(r, m->other, rests[m->n]))))
        return NULL;
    return pn_expr_alt(r, &list);
}

/* Behind the listed members, `count` of which were written: the others. Of count 0 at least one. */
static const pn_expr *counted_others(members *m, int64_t count) {
    pn_rules *r = &m->b->rules;
    const int64_t min = m->min > count ? m->min - count : 0;
    const int64_t max = m->max == PN_NO_MAX ? PN_EXPR_NO_MAX : m->max - count;
    if (!m->other) return min || !count ? pn_expr_never(r) : pn_expr_empty(r);
    if (count) return pn_expr_repeat(r, behind_comma(m, m->other), min, max);
    if (max == 0) return pn_expr_never(r);
    return pn_expr_then(r, m->other,
                        pn_expr_repeat(r, behind_comma(m, m->other), min > 1 ? min - 1 : 0,
                                       max == PN_EXPR_NO_MAX ? max : max - 1));
}

/* One rule for (i, count): members from i on, when `count` were written; counts beyond cap are not
 * told apart. */
static const pn_expr *counted_members(members *m, int64_t cap) {
    pn_rules *r = &m->b->rules;
    const size_t width = (size_t)cap + 1;
    const pn_expr **next = pn_job_alloc(&m->b->job, 2 * width, sizeof *next);
    if (!next) return NULL;
    const pn_expr **here = next + width;
    for (int64_t count = 0; count <= cap; count++) next[count] = counted_others(m, count);
    for (int32_t i = m->n; i-- > 0;) {
        /* before member i no more than i can have been written */
        for (int64_t count = 0; count <= i && count <= cap; count++) {
            const int64_t more = count < cap ? count + 1 : cap;
            const pn_expr *take = count ? behind_comma(m, m->list[i].expr) : m->list[i].expr;
            take = m->max != PN_NO_MAX && count >= m->max ? pn_expr_never(r)
                                                          : pn_expr_then(r, take, next[more]);
            const pn_expr *skip = m->list[i].required ? pn_expr_never(r) : next[count];
            here[count] = pn_rules_add(r, m->b->rule_name, pn_expr_or(r, take, skip));
            if (!here[count]) return NULL;
        }
        memcpy(next, here, width * sizeof *next);
    }
    return next[0];
}

/* ---- objects --------------------------------------------------------------------------------- */

static const pn_expr *in_braces(pn_build *b, const pn_expr *items, bool empty) {
    pn_rules *r = &b->rules;
    const pn_expr *inner = pn_expr_then(r, items, b->builtins->blank);
    if (empty) inner = pn_expr_optional(r, inner);
    return pn_expr_three(r, pn_expr_then(r, pn_expr_word(r, "{"), b->builtins->blank), inner,
                         pn_expr_word(r, "}"));
}

static const pn_expr *too_many_states(pn_build *b, const pn_object_facts *f) {
    const int32_t schema = f->shape->n ? f->shape->literals[0].schema : -1;
    pn_build_fail(b, schema, f->max == PN_NO_MAX ? PN_KW_MIN_PROPERTIES : PN_KW_MAX_PROPERTIES,
                  PUNA_E_LIMIT, "too large beside %d properties", f->n);
    return NULL;
}

static const pn_expr *write_object(pn_build *b, const pn_object_facts *f) {
    members m = {.b = b, .min = f->min, .max = f->max};
    if (!add_listed(b, f, &m)) return NULL;
    m.other = other_expr(b, f);
    if (!m.other) return NULL;
    if (m.other->op == PN_EXPR_NEVER) m.other = NULL;
    if (m.max < m.min || m.max < m.n_required) return pn_expr_never(&b->rules);
    const bool bounded = m.max != PN_NO_MAX && (m.other || m.max < m.n);
    bool empty = false;
    if (!bounded && m.min <= m.n_required) {
        const pn_expr *plain = plain_members(&m, &empty);
        return in_braces(b, plain, empty);
    }
    empty = m.min == 0 && m.n_required == 0;
    const int64_t bound = bounded ? m.max : m.min, cap = bound < m.n ? bound : m.n;
    if ((cap + 1) * m.n > MAX_STATES) return too_many_states(b, f);
    return in_braces(b, counted_members(&m, cap), empty);
}

/* ---- breaches -------------------------------------------------------------------------------- */

/* Objects whose property number i breaks the keyword, the breaches behind it being dealt with
 * likewise. */
static const pn_expr *with_breaches(pn_build *b, pn_object_facts *f, int32_t k);

static bool breaks_with(pn_build *b, pn_object_facts *f, int32_t k, int32_t i, int32_t child,
                        pn_expr_list *out) {
    pn_property *p = &f->list[i];
    const pn_property before = *p;
    pn_elements extra;
    if (!pn_elements_copy(b, &before.extra, &extra) || !pn_elements_add(b, &extra, child, true))
        return false;
    p->required = true;
    p->extra = extra;
    const pn_expr *e = with_breaches(b, f, k + 1);
    f->list[i] = before;
    return pn_expr_add(&b->rules, out, e);
}

static bool break_with(pn_build *b, pn_object_facts *f, int32_t k, int32_t i, pn_expr_list *out) {
    const pn_breach x = f->breaches[k];
    const pn_json_text name = f->list[i].name;
    const pn_json *named = pn_schema_get(b, x.schema, PN_KW_PROPERTIES);
    const pn_json *map = pn_schema_get(b, x.schema, PN_KW_PATTERN_PROPERTIES);
    bool spoken = named && pn_json_find(named, name) >= 0;
    for (int32_t j = 0; map && j < map->n; j++) {
        const pn_json_member *m = &map->members[j];
        const pn_pattern *p = pn_pattern_get(b, m->name.data, m->name.n);
        if (!p) return false;
        if (!pn_pattern_matches(b, p, name)) continue;
        spoken = true;
        if (x.kw == PN_KW_PATTERN_PROPERTIES && !breaks_with(b, f, k, i, m->value.schema, out))
            return false;
    }
    if (x.kw == PN_KW_ADDITIONAL_PROPERTIES && !spoken)
        return breaks_with(b, f, k, i, pn_schema_child(b, x.schema, x.kw), out);
    if (x.kw != PN_KW_PROPERTY_NAMES) return !b->job.status;
    const pn_json value = {.kind = PN_JSON_STRING, .schema = -1, .text = name};
    return pn_check(b, &value, pn_schema_child(b, x.schema, x.kw)) != PN_NO ||
           breaks_with(b, f, k, i, -1, out);
}

static const pn_expr *with_breaches(pn_build *b, pn_object_facts *f, int32_t k) {
    if (k == f->n_breaches) return write_object(b, f);
    pn_expr_list list = {0};
    if (!f->closed || f->n_patterns) {
        pn_build_fail(b, f->breaches[k].schema, f->breaches[k].kw, PUNA_E_UNSUPPORTED,
                      "cannot be negated where names are open");
        return NULL;
    }
    for (int32_t i = 0; i < f->n; i++)
        if (!pn_job_charge(&b->job, 16) || (!f->list[i].lacking && !break_with(b, f, k, i, &list)))
            return NULL;
    return pn_expr_alt(&b->rules, &list);
}

const pn_expr *pn_emit_object(pn_build *b, const pn_shape *shape) {
    if (shape->n == 0) return b->builtins->object;
    pn_object_facts *f = pn_object_facts_of(b, shape);
    return f ? with_breaches(b, f, 0) : NULL;
}
