/* schema_cases.c: from a conjunction's alternatives to what is written.
 *
 * Where an alternative has an enum or const, its values are checked one by one, and all else is
 * forgotten. Of the rest, each kind of values stands for itself, and a schema that must not hold is
 * dealt with last: mostly nothing that will be written could fulfil it (objects get no properties
 * but those named), else its opposite is worked in. */
#include "grammar/schema_emit.h"

#include <string.h>

#define MAX_CASES   2000
#define MAX_PENDING 1000
#define MAX_DEPTH   60

static const pn_json word_values[] = {
    {.kind = PN_JSON_NULL, .schema = -1},
    {.kind = PN_JSON_FALSE, .schema = -1},
    {.kind = PN_JSON_TRUE, .schema = -1},
};

/* The kinds of values that an alternative is meant to be about: where it names no type, those that
 * its keywords look into. */
static int kinds_meant(const pn_build *b, const pn_shape *shape) {
    int about = 0;
    if (shape->typed || shape->kinds != PN_VALUES) return shape->kinds;
    for (int32_t i = 0; i < shape->n; i++) {
        const pn_literal *l = &shape->literals[i];
        if (l->op != PN_FAILS_ALL && l->op != PN_FAILS_REST) about |= pn_literal_about(b, l);
    }
    return about ? about : shape->kinds;
}

/* ---- disjointness ---------------------------------------------------------------------------- */

/* The values that an alternative's enum or const lists; NULL: it has none. */
static const pn_json *listed_values(const pn_build *b, const pn_shape *shape, int32_t *n) {
    for (int32_t i = 0; i < shape->n; i++) {
        const pn_literal *l = &shape->literals[i];
        if (l->op != PN_HOLDS || !b->schemas[l->schema].finite) continue;
        const pn_json *value = pn_schema_get(b, l->schema, PN_KW_CONST);
        *n = 1;
        if (value) return value;
        value = pn_schema_get(b, l->schema, PN_KW_ENUM);
        *n = value->n;
        return value->items;
    }
    return NULL;
}

static bool values_disjoint(pn_build *b, const pn_json *values, int32_t n, const pn_shape *a,
                            const pn_shape *c) {
    for (int32_t i = 0; i < n; i++)
        if (pn_check_shape(b, &values[i], a) != PN_NO && pn_check_shape(b, &values[i], c) != PN_NO)
            return false;
    return true;
}

static bool kind_disjoint(pn_build *b, const pn_shape *a, const pn_shape *c, int kind) {
    int32_t n = 0;
    const pn_json *values = listed_values(b, a, &n);
    if (!values) values = listed_values(b, c, &n);
    if (values) return values_disjoint(b, values, n, a, c);
    switch (kind) {
    case PN_NULLS: return values_disjoint(b, word_values, 1, a, c);
    case PN_BOOLEANS: return values_disjoint(b, word_values + 1, 2, a, c);
    case PN_NUMBERS: return pn_numbers_disjoint(b, a, c);
    case PN_TEXTS: return pn_texts_disjoint(b, a, c);
    case PN_ARRAYS: return pn_arrays_disjoint(b, a, c);
    default: return pn_objects_disjoint(b, a, c);
    }
}

/* kinds: those of a that are looked at. */
static bool shapes_disjoint(pn_build *b, const pn_shape *a, int kinds, const pn_shapes *others) {
    if (b->depth >= MAX_DEPTH) return false;
    bool disjoint = true;
    b->depth++;
    for (int32_t i = 0; i < others->n && disjoint; i++)
        for (int kind = 1; kind < PN_VALUES && disjoint; kind *= 2)
            if (kinds & others->list[i]->kinds & kind)
                disjoint = pn_job_charge(&b->job, 60) && kind_disjoint(b, a, others->list[i], kind);
    b->depth--;
    return disjoint;
}

enum { DISJOINT_OPEN, DISJOINT_NO, DISJOINT_YES };

bool pn_conjs_disjoint(pn_build *b, const pn_conj *a, const pn_conj *c) {
    if (!a || !c) return false;
    const int32_t key[2] = {a->id, c->id};
    bool fresh;
    const int32_t id = pn_intern_add(&b->job, &b->disjoint_index, key, 2, &fresh);
    if (id < 0 || !pn_job_grow(&b->job, &b->disjoint, id, &b->cap_disjoint, sizeof *b->disjoint))
        return false;
    if (!fresh) return b->disjoint[id] == DISJOINT_YES;
    b->disjoint[id] = DISJOINT_OPEN;
    const pn_shapes *mine = pn_conj_shapes(b, a), *others = pn_conj_shapes(b, c);
    bool disjoint = mine && others;
    for (int32_t i = 0; disjoint && i < mine->n; i++)
        disjoint = shapes_disjoint(b, mine->list[i], kinds_meant(b, mine->list[i]), others);
    b->disjoint[id] = disjoint ? DISJOINT_YES : DISJOINT_NO;
    return disjoint;
}

/* ---- negated schemas ------------------------------------------------------------------------- */

typedef struct pending {
    int32_t *schemas; /* that must not hold */
    int32_t n, cap;
} pending;

static bool add_pending(pn_build *b, pending *p, int32_t schema) {
    for (int32_t i = 0; i < p->n; i++)
        if (p->schemas[i] == schema) return true;
    if (p->n == MAX_PENDING)
        return pn_job_fail(&b->job, PUNA_E_LIMIT, "more than %d schemas must not hold",
                           MAX_PENDING);
    if (!pn_job_grow(&b->job, &p->schemas, p->n, &p->cap, sizeof *p->schemas)) return false;
    p->schemas[p->n++] = schema;
    return true;
}

static bool collect_pending(pn_build *b, const pn_shape *shape, pending *p) {
    for (int32_t i = 0; i < shape->n; i++) {
        const pn_literal *l = &shape->literals[i];
        if (l->op == PN_FAILS_ALL && !add_pending(b, p, l->schema)) return false;
        if (l->op != PN_FAILS_REST) continue;
        const pn_json *list = pn_schema_get(b, l->schema, PN_KW_ONE_OF);
        for (int32_t j = 0; j < list->n; j++)
            if (j != l->arg && !add_pending(b, p, list->items[j].schema)) return false;
    }
    return true;
}

static bool copy_pending_but(pn_build *b, const pending *from, int32_t but, pending *to) {
    *to = (pending){.cap = from->n};
    to->schemas = pn_job_alloc(&b->job, (size_t)from->n, sizeof *to->schemas);
    for (int32_t i = 0; to->schemas && i < from->n; i++)
        if (i != but) to->schemas[to->n++] = from->schemas[i];
    return to->schemas != NULL;
}

static bool add_case(pn_build *b, pn_cases *cases, const pn_shape *shape) {
    if (cases->n == MAX_CASES)
        return pn_job_fail(&b->job, PUNA_E_LIMIT, "more than %d alternatives", MAX_CASES);
    if (!shape || !pn_job_grow(&b->job, &cases->list, cases->n, &cases->cap, sizeof *cases->list))
        return false;
    cases->list[cases->n++] = shape;
    return true;
}

/* Adds the alternative over one kind, in which the pending schemas must not hold. What is worked in
 * may list properties that could not be there before, so all that is still pending is looked at
 * again. */
static bool resolve(pn_build *b, pn_cases *cases, const pn_shape *shape, const pending *p) {
    int32_t at = 0;
    for (; at < p->n; at++) {
        const pn_shapes *holds = pn_shapes_of(b, p->schemas[at]);
        if (!holds) return false;
        if (!shapes_disjoint(b, shape, shape->kinds, holds)) break;
    }
    if (b->job.status) return false;
    if (at == p->n) return add_case(b, cases, shape);
    const pn_shapes *without = pn_shapes_without(b, p->schemas[at]);
    for (int32_t i = 0; without && i < without->n; i++) {
        if (!(without->list[i]->kinds & shape->kinds)) continue;
        const pn_shape *more = pn_shape_of_kinds(b, without->list[i], shape->kinds);
        const pn_shape *both = more ? pn_shape_both(b, shape, more) : NULL;
        pending rest;
        if (!both || !copy_pending_but(b, p, at, &rest) ||
            !collect_pending(b, without->list[i], &rest) || !pn_job_charge(&b->job, 16))
            return false;
        if (!shapes_disjoint(b, both, both->kinds, b->any) && !resolve(b, cases, both, &rest))
            return false;
    }
    return without && !b->job.status;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static bool add_value(pn_build *b, pn_cases *cases, pn_intern *seen, const pn_conj *conj,
                      const pn_json *value) {
    int32_t key[2];
    bool fresh;
    _Static_assert(sizeof value <= sizeof key, "an address is two words");
    memset(key, 0, sizeof key);
    memcpy(key, &value, sizeof value);
    if (pn_intern_add(&b->job, seen, key, 2, &fresh) < 0) return false;
    if (!fresh || pn_check_conj(b, value, conj) != PN_YES) return !b->job.status;
    if (!pn_job_grow(&b->job, &cases->values, cases->n_values, &cases->cap_values,
                     sizeof *cases->values))
        return false;
    cases->values[cases->n_values++] = value;
    return true;
}

static bool add_values(pn_build *b, pn_cases *cases, pn_intern *seen, const pn_conj *conj,
                       const pn_json *values, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        if (!add_value(b, cases, seen, conj, &values[i])) return false;
    return true;
}

static bool add_shape(pn_build *b, pn_cases *cases, pn_intern *seen, const pn_conj *conj,
                      const pn_shape *shape) {
    int32_t n;
    const pn_json *values = listed_values(b, shape, &n);
    if (values) return add_values(b, cases, seen, conj, values, n);
    const int kinds = kinds_meant(b, shape);
    if ((kinds & PN_NULLS) && !add_values(b, cases, seen, conj, word_values, 1)) return false;
    if ((kinds & PN_BOOLEANS) && !add_values(b, cases, seen, conj, word_values + 1, 2))
        return false;
    for (int kind = PN_NUMBERS; kind <= PN_OBJECTS; kind *= 2) {
        pending p = {0};
        if (!(kinds & kind)) continue;
        const pn_shape *one = pn_shape_of_kinds(b, shape, kind);
        if (!one || !collect_pending(b, shape, &p) || !resolve(b, cases, one, &p)) return false;
    }
    return true;
}

const pn_cases *pn_conj_cases(pn_build *b, const pn_conj *conj) {
    pn_conj *c = b->conjs[conj->id];
    if (c->cases) return c->cases;
    pn_intern seen = {0};
    const pn_shapes *shapes = pn_conj_shapes(b, conj);
    pn_cases *cases = pn_job_alloc(&b->job, 1, sizeof *cases);
    if (!shapes || !cases) return NULL;
    for (int32_t i = 0; i < shapes->n; i++)
        if (!add_shape(b, cases, &seen, conj, shapes->list[i])) return NULL;
    c->cases = cases;
    return cases;
}
