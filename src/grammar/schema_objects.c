/* schema_objects.c: what is demanded of an object: which names there are, which are required, what
 * their values are.
 *
 * A name's value must fulfil, of each schema: what its `properties` says of the name, and each of
 * its patternProperties that match, or else its additionalProperties. An object whose schemas name
 * properties and say nothing about others gets no others (its closing): that is a choice, all other
 * properties are valid too. */
#include "grammar/schema_objects.h"

#include <string.h>

/* ---- names ----------------------------------------------------------------------------------- */

/* A name as a vector for pn_intern. */
static int32_t *name_key(pn_build *b, pn_json_text name) {
    int32_t *key = pn_job_alloc(&b->job, name.n, sizeof *key);
    for (size_t i = 0; key && i < name.n; i++) key[i] = (unsigned char)name.data[i];
    return key;
}

/* The number of a listed property, -1: none. */
static int32_t find_listed(pn_build *b, const pn_object_facts *f, pn_json_text name) {
    if (f->n <= 8) {
        for (int32_t i = 0; i < f->n; i++)
            if (pn_json_text_equal(f->list[i].name, name)) return i;
        return -1;
    }
    const int32_t *key = name_key(b, name);
    return key ? pn_intern_find(&f->index, key, (int32_t)name.n) : -1;
}

/* The property of this name, added at the end if it is new; NULL when the job failed. */
static pn_property *add_name(pn_build *b, pn_object_facts *f, pn_json_text name) {
    bool fresh;
    const int32_t *key = name_key(b, name);
    const int32_t i = key ? pn_intern_add(&b->job, &f->index, key, (int32_t)name.n, &fresh) : -1;
    if (i < 0 || !pn_job_grow(&b->job, &f->list, i, &f->cap, sizeof *f->list)) return NULL;
    if (fresh) {
        f->list[i] = (pn_property){.name = name};
        f->n = i + 1;
    }
    return &f->list[i];
}

static bool add_names_of(pn_build *b, pn_object_facts *f, int32_t schema) {
    const pn_json *map = pn_schema_get(b, schema, PN_KW_PROPERTIES);
    for (int32_t i = 0; map && i < map->n; i++) {
        pn_property *p = add_name(b, f, map->members[i].name);
        if (!p) return false;
        p->named = true;
    }
    return true;
}

static bool require(pn_build *b, pn_object_facts *f, pn_json_text name) {
    pn_property *p = add_name(b, f, name);
    if (p) p->required = true;
    return p != NULL;
}

static bool require_all(pn_build *b, pn_object_facts *f, int32_t schema) {
    const pn_json *names = pn_schema_get(b, schema, PN_KW_REQUIRED);
    for (int32_t i = 0; names && i < names->n; i++)
        if (!require(b, f, names->items[i].text)) return false;
    return true;
}

/* ---- patterns of names ----------------------------------------------------------------------- */

static bool add_patterns_of(pn_build *b, pn_object_facts *f, int32_t schema) {
    const pn_json *map = pn_schema_get(b, schema, PN_KW_PATTERN_PROPERTIES);
    for (int32_t i = 0; map && i < map->n; i++) {
        const pn_json_text text = map->members[i].name;
        const pn_pattern *p = pn_pattern_get(b, text.data, text.n);
        bool there = false;
        if (!p) return false;
        for (int32_t j = 0; j < f->n_patterns; j++) there |= f->patterns[j] == p;
        if (there) continue;
        if (f->n_patterns == PN_MAX_NAME_PATTERNS)
            return pn_build_fail(b, schema, PN_KW_PATTERN_PROPERTIES, PUNA_E_LIMIT,
                                 "more than %d patterns for one object", PN_MAX_NAME_PATTERNS);
        f->patterns[f->n_patterns++] = p;
    }
    return true;
}

static bool pattern_matches(pn_build *b, const pn_object_facts *f, const bool *known,
                            pn_json_text pattern, pn_json_text name) {
    const pn_pattern *p = pn_pattern_get(b, pattern.data, pattern.n);
    if (!p) return false;
    for (int32_t i = 0; known && i < f->n_patterns; i++)
        if (f->patterns[i] == p) return known[i];
    return pn_pattern_matches(b, p, name);
}

/* ---- gathering ------------------------------------------------------------------------------- */

static bool add_holds(pn_build *b, pn_object_facts *f, int32_t schema) {
    int64_t min, max;
    if (!pn_schema_count(b, schema, PN_KW_MIN_PROPERTIES, 0, &min) ||
        !pn_schema_count(b, schema, PN_KW_MAX_PROPERTIES, PN_NO_MAX, &max))
        return false;
    if (min > f->min) f->min = min;
    if (max < f->max) f->max = max;
    return add_names_of(b, f, schema) && add_patterns_of(b, f, schema);
}

static bool add_breach(pn_build *b, pn_object_facts *f, const pn_literal *l) {
    if (f->n_breaches == 4)
        return pn_build_fail(b, l->schema, (pn_kw)l->kw, PUNA_E_LIMIT,
                             "too many negations about one object");
    f->breaches[f->n_breaches++] = (pn_breach){l->schema, (pn_kw)l->kw};
    return true;
}

static bool add_fails(pn_build *b, pn_object_facts *f, const pn_literal *l) {
    int64_t count;
    switch ((pn_kw)l->kw) {
    case PN_KW_MIN_PROPERTIES:
        if (!pn_schema_count(b, l->schema, PN_KW_MIN_PROPERTIES, 0, &count)) return false;
        if (count - 1 < f->max) f->max = count - 1;
        return true;
    case PN_KW_MAX_PROPERTIES:
        if (!pn_schema_count(b, l->schema, PN_KW_MAX_PROPERTIES, PN_NO_MAX, &count)) return false;
        if (count + 1 > f->min) f->min = count + 1;
        return true;
    case PN_KW_PROPERTIES: {
        const pn_json_member *m = &pn_schema_get(b, l->schema, PN_KW_PROPERTIES)->members[l->arg];
        pn_property *p = add_name(b, f, m->name);
        if (!p) return false;
        p->required = true;
        return pn_elements_add(b, &p->extra, m->value.schema, true);
    }
    case PN_KW_ADDITIONAL_PROPERTIES:
    case PN_KW_PATTERN_PROPERTIES:
    case PN_KW_PROPERTY_NAMES: return add_breach(b, f, l);
    default:
        return pn_build_fail(b, l->schema, (pn_kw)l->kw, PUNA_E_UNSUPPORTED,
                             "cannot be negated here");
    }
}

static bool add_literal(pn_build *b, pn_object_facts *f, const pn_literal *l) {
    switch ((pn_literal_op)l->op) {
    case PN_HOLDS: return add_holds(b, f, l->schema);
    case PN_FAILS: return add_fails(b, f, l);
    case PN_HAS: return require(b, f, *l->name);
    case PN_LACKS: {
        pn_property *p = add_name(b, f, *l->name);
        if (p) p->lacking = true;
        return p != NULL;
    }
    case PN_UNEVALUATED:
        for (int32_t i = 0; i < l->beside->n; i++)
            if (l->beside->literals[i].op == PN_HOLDS &&
                !add_patterns_of(b, f, l->beside->literals[i].schema))
                return false;
        return true;
    default: return true;
    }
}

static bool is_about_objects(const pn_build *b, const pn_literal *l) {
    return (pn_literal_about(b, l) & PN_OBJECTS) != 0;
}

/* Names are listed, others are not spoken of, and the listed ones are enough. */
static bool is_closed(const pn_build *b, const pn_object_facts *f) {
    bool names = false;
    for (int32_t i = 0; i < f->shape->n; i++) {
        const pn_literal *l = &f->shape->literals[i];
        if (!is_about_objects(b, l)) continue;
        if (l->op == PN_UNEVALUATED) return false;
        if (l->op != PN_HOLDS) continue;
        names |= pn_schema_get(b, l->schema, PN_KW_PROPERTIES) != NULL;
        if (pn_schema_get(b, l->schema, PN_KW_ADDITIONAL_PROPERTIES)) return false;
    }
    int64_t possible = 0;
    for (int32_t i = 0; i < f->n; i++) possible += !f->list[i].lacking;
    return names && possible >= f->min;
}

pn_object_facts *pn_object_facts_of(pn_build *b, const pn_shape *shape) {
    if (*shape->object) return *shape->object;
    pn_object_facts *f = pn_job_alloc(&b->job, 1, sizeof *f);
    if (!f) return NULL;
    *f = (pn_object_facts){.shape = shape, .max = PN_NO_MAX};
    for (int32_t i = 0; i < shape->n; i++)
        if (is_about_objects(b, &shape->literals[i]) && !add_literal(b, f, &shape->literals[i]))
            return NULL;
    for (int32_t i = 0; i < shape->n; i++)
        if (shape->literals[i].op == PN_HOLDS && is_about_objects(b, &shape->literals[i]) &&
            !require_all(b, f, shape->literals[i].schema))
            return NULL;
    f->closed = is_closed(b, f);
    *shape->object = f;
    return f;
}

/* ---- values ---------------------------------------------------------------------------------- */

typedef struct value_query {
    pn_build *b;
    const pn_object_facts *f;
    pn_json_text name;
    const bool *known;
    bool listed; /* the name is listed: of a name that is not, `properties` says nothing */
} value_query;

/* What one schema says about the property by its name; *spoken: it says something. */
static bool add_spoken(const value_query *q, int32_t schema, pn_elements *out, bool *spoken) {
    pn_build *b = q->b;
    const pn_json *map = pn_schema_get(b, schema, PN_KW_PROPERTIES);
    const pn_json *child = map && q->listed ? pn_json_get(map, q->name) : NULL;
    *spoken = child != NULL;
    if (child && !pn_elements_add(b, out, child->schema, false)) return false;
    map = pn_schema_get(b, schema, PN_KW_PATTERN_PROPERTIES);
    for (int32_t i = 0; map && i < map->n; i++) {
        if (!pattern_matches(b, q->f, q->known, map->members[i].name, q->name)) continue;
        *spoken = true;
        if (!pn_elements_add(b, out, map->members[i].value.schema, false)) return false;
    }
    return !b->job.status;
}

/* Whether the literals beside unevaluatedProperties speak of the property. */
static bool is_evaluated(const value_query *q, const pn_shape *beside) {
    for (int32_t i = 0; i < beside->n; i++) {
        const pn_literal *l = &beside->literals[i];
        pn_elements ignored = {0};
        bool spoken = false;
        if (l->op == PN_UNEVALUATED && l->kw == PN_KW_UNEVALUATED_PROPERTIES) return true;
        if (l->op != PN_HOLDS) continue;
        if (pn_schema_get(q->b, l->schema, PN_KW_ADDITIONAL_PROPERTIES)) return true;
        if (add_spoken(q, l->schema, &ignored, &spoken) && spoken) return true;
    }
    return false;
}

bool pn_object_elements(pn_build *b, const pn_object_facts *f, pn_json_text name, const bool *known,
                        pn_elements *out) {
    const value_query q = {b, f, name, known, known == NULL};
    for (int32_t i = 0; i < f->shape->n; i++) {
        const pn_literal *l = &f->shape->literals[i];
        bool spoken;
        if (l->op == PN_HOLDS && is_about_objects(b, l)) {
            if (!add_spoken(&q, l->schema, out, &spoken)) return false;
            const int32_t others =
                spoken ? -1 : pn_schema_child(b, l->schema, PN_KW_ADDITIONAL_PROPERTIES);
            if (!pn_elements_add(b, out, others, false)) return false;
        } else if (l->op == PN_UNEVALUATED && is_about_objects(b, l) &&
                   !is_evaluated(&q, l->beside)) {
            const int32_t child = pn_schema_child(b, l->schema, PN_KW_UNEVALUATED_PROPERTIES);
            if (!pn_elements_add(b, out, child, false)) return false;
        }
    }
    return true;
}

bool pn_object_allows(pn_build *b, const pn_object_facts *f, pn_json_text name) {
    const pn_json value = {.kind = PN_JSON_STRING, .schema = -1, .text = name};
    for (int32_t i = 0; i < f->shape->n; i++) {
        const pn_literal *l = &f->shape->literals[i];
        if (l->op != PN_HOLDS || !is_about_objects(b, l)) continue;
        const int32_t names = pn_schema_child(b, l->schema, PN_KW_PROPERTY_NAMES);
        if (names >= 0 && pn_check(b, &value, names) != PN_YES) return false;
    }
    return true;
}

/* ---- disjointness ---------------------------------------------------------------------------- */

/* What an object's property must be, listed or not. */
static const pn_conj *value_conj(pn_build *b, pn_object_facts *f, pn_json_text name) {
    pn_elements elements = {0};
    const int32_t i = find_listed(b, f, name);
    if (i >= 0 && f->list[i].value) return f->list[i].value;
    if (i >= 0 && !pn_elements_copy(b, &f->list[i].extra, &elements)) return NULL;
    if (!pn_object_elements(b, f, name, NULL, &elements)) return NULL;
    const pn_conj *value = pn_elements_conj(b, &elements);
    if (i >= 0) f->list[i].value = value;
    return value;
}

/* An object cannot have the property. generated: it is one that is written, and has no names but
 * those listed. */
static bool cannot_have(pn_build *b, const pn_object_facts *f, bool generated, pn_json_text name) {
    const int32_t i = find_listed(b, f, name);
    return i >= 0 ? f->list[i].lacking : generated && f->closed && f->n_patterns == 0;
}

/* A property that objects of f must have cannot be there, or cannot be both what f and what g
 * says. */
static bool clashes(pn_build *b, pn_object_facts *f, pn_object_facts *g, bool f_generated) {
    for (int32_t i = 0; i < f->n; i++) {
        const pn_json_text name = f->list[i].name;
        if (!f->list[i].required) continue;
        if (!pn_job_charge(&b->job, 4)) return false;
        if (cannot_have(b, f, f_generated, name) || cannot_have(b, g, !f_generated, name))
            return true;
        const pn_conj *x = value_conj(b, f, name), *y = value_conj(b, g, name);
        if (f_generated ? pn_conjs_disjoint(b, x, y) : pn_conjs_disjoint(b, y, x)) return true;
    }
    return false;
}

bool pn_objects_disjoint(pn_build *b, const pn_shape *a, const pn_shape *c) {
    pn_object_facts *f = pn_object_facts_of(b, a), *g = f ? pn_object_facts_of(b, c) : NULL;
    if (!g) return false;
    int64_t possible = 0;
    for (int32_t i = 0; i < f->n; i++) possible += !f->list[i].lacking;
    if (f->closed && f->n_patterns == 0 && possible < g->min) return true;
    if (f->max < f->min || f->max < g->min || g->max < f->min) return true;
    return clashes(b, f, g, true) || clashes(b, g, f, false);
}
