/* schema_shapes.c: what schemas say, as alternatives of literals.
 *
 * The logic is evaluated from the inside: each schema's alternatives are computed once, products
 * leave out what is contradictory by kind and what is there already. A negated schema is one
 * literal, PN_FAILS_ALL, until a rule is written from it: mostly it then turns out to be fulfilled
 * anyway (schema_cases.c). */
#include "grammar/schema_impl.h"

#include <string.h>

#define MAX_SHAPES    3000
#define MAX_HEIGHT    200
#define FEW_BRANCHES  3
#define MANY_BRANCHES 8

typedef struct shape_list {
    const pn_shape **list;
    int32_t n, cap;
} shape_list;

/* ---- shapes ---------------------------------------------------------------------------------- */

static pn_shape *new_shape(pn_build *b, int kinds, bool typed, int32_t room) {
    pn_shape *s = pn_job_alloc(&b->job, 1, sizeof *s);
    pn_literal *literals = pn_job_alloc(&b->job, (size_t)room, sizeof *literals);
    struct pn_object_facts **object = pn_job_alloc(&b->job, 1, sizeof *object);
    if (!s || !literals || !object) return NULL;
    *s =
        (pn_shape){.kinds = (uint8_t)kinds, .typed = typed, .literals = literals, .object = object};
    return s;
}

static bool same_literal(const pn_literal *x, const pn_literal *y) {
    return x->op == y->op && x->kw == y->kw && x->schema == y->schema && x->arg == y->arg &&
           x->name == y->name && x->beside == y->beside;
}

static bool has_literal(const pn_shape *s, const pn_literal *l) {
    for (int32_t i = 0; i < s->n; i++)
        if (same_literal(&s->literals[i], l)) return true;
    return false;
}

/* s was made by new_shape with room for it. */
static void put_literal(pn_shape *s, const pn_literal *l) {
    if (!has_literal(s, l)) s->literals[s->n++] = *l;
}

static const pn_shape *shape_of(pn_build *b, int kinds, bool typed, pn_literal l) {
    pn_shape *s = new_shape(b, kinds, typed, 1);
    if (s) put_literal(s, &l);
    return s;
}

static bool same_shape(const pn_shape *a, const pn_shape *c) {
    if (a->kinds != c->kinds || a->typed != c->typed || a->n != c->n) return false;
    for (int32_t i = 0; i < a->n; i++)
        if (!has_literal(c, &a->literals[i])) return false;
    return true;
}

static bool add_shape(pn_build *b, shape_list *l, const pn_shape *s) {
    if (!s || !pn_job_charge(&b->job, (size_t)l->n + 1)) return false;
    for (int32_t i = 0; i < l->n; i++)
        if (same_shape(l->list[i], s)) return true;
    if (l->n == MAX_SHAPES)
        return pn_job_fail(&b->job, PUNA_E_LIMIT, "more than %d alternatives", MAX_SHAPES);
    if (!pn_job_grow(&b->job, &l->list, l->n, &l->cap, sizeof *l->list)) return false;
    l->list[l->n++] = s;
    return true;
}

static bool add_shapes(pn_build *b, shape_list *l, const pn_shapes *shapes) {
    for (int32_t i = 0; shapes && i < shapes->n; i++)
        if (!add_shape(b, l, shapes->list[i])) return false;
    return shapes != NULL;
}

static const pn_shapes *close_list(pn_build *b, const shape_list *l) {
    pn_shapes *shapes = b->job.status ? NULL : pn_job_alloc(&b->job, 1, sizeof *shapes);
    if (shapes) *shapes = (pn_shapes){l->n, l->list};
    return shapes;
}

static const pn_shapes *one_shape(pn_build *b, const pn_shape *s) {
    shape_list l = {0};
    return add_shape(b, &l, s) ? close_list(b, &l) : NULL;
}

static const pn_shapes *one_literal(pn_build *b, int kinds, bool typed, pn_literal l) {
    return one_shape(b, shape_of(b, kinds, typed, l));
}

static const pn_shapes *no_shapes(pn_build *b) {
    return close_list(b, &(shape_list){0});
}

static const pn_shapes *any_shape(pn_build *b) {
    return one_shape(b, new_shape(b, PN_VALUES, false, 0));
}

static const pn_shapes *fails_all(pn_build *b, int32_t schema) {
    return one_literal(b, PN_VALUES, false,
                       (pn_literal){.op = PN_FAILS_ALL, .schema = b->schemas[schema].same});
}

const pn_shape *pn_shape_both(pn_build *b, const pn_shape *a, const pn_shape *c) {
    pn_shape *s = new_shape(b, a->kinds & c->kinds, a->typed || c->typed, a->n + c->n);
    if (!s || !pn_job_charge(&b->job, 1 + ((size_t)a->n + (size_t)c->n) * (size_t)c->n / 4))
        return NULL;
    if (a->n) memcpy(s->literals, a->literals, (size_t)a->n * sizeof *a->literals);
    s->n = a->n;
    for (int32_t i = 0; i < c->n; i++) put_literal(s, &c->literals[i]);
    return s;
}

static const pn_shapes *shapes_both(pn_build *b, const pn_shapes *a, const pn_shapes *c) {
    shape_list l = {0};
    if (!a || !c) return NULL;
    for (int32_t i = 0; i < a->n; i++)
        for (int32_t j = 0; j < c->n; j++)
            if ((a->list[i]->kinds & c->list[j]->kinds) &&
                !add_shape(b, &l, pn_shape_both(b, a->list[i], c->list[j])))
                return NULL;
    return close_list(b, &l);
}

static const pn_shapes *shapes_either(pn_build *b, const pn_shapes *a, const pn_shapes *c) {
    shape_list l = {0};
    return add_shapes(b, &l, a) && add_shapes(b, &l, c) ? close_list(b, &l) : NULL;
}

const pn_shape *pn_shape_of_kinds(pn_build *b, const pn_shape *shape, int kinds) {
    pn_shape *s = new_shape(b, shape->kinds & kinds, shape->typed, shape->n);
    for (int32_t i = 0; s && i < shape->n; i++) {
        const pn_literal *l = &shape->literals[i];
        const bool negated = l->op == PN_FAILS_ALL || l->op == PN_FAILS_REST;
        if (!negated && (pn_literal_about(b, l) & kinds)) put_literal(s, l);
    }
    return s;
}

int pn_literal_about(const pn_build *b, const pn_literal *l) {
    switch ((pn_literal_op)l->op) {
    case PN_HOLDS: return b->schemas[l->schema].about;
    case PN_FAILS:
        if (l->kw == PN_KW_TYPE) return PN_NUMBERS;
        if (l->kw == PN_KW_ENUM) return b->schemas[l->schema].enum_kinds;
        if (l->kw == PN_KW_CONST) return pn_json_kinds(pn_schema_get(b, l->schema, PN_KW_CONST));
        if (l->kw == PN_KW_FORMAT) return b->schemas[l->schema].about;
        if (l->kw == PN_KW_UNEVALUATED_ITEMS) return PN_ARRAYS;
        if (l->kw == PN_KW_UNEVALUATED_PROPERTIES) return PN_OBJECTS;
        return pn_kw_about((pn_kw)l->kw);
    case PN_FAILS_ALL:
    case PN_FAILS_REST: return PN_VALUES;
    case PN_HAS:
    case PN_LACKS: return PN_OBJECTS;
    case PN_UNEVALUATED: return l->kw == PN_KW_UNEVALUATED_ITEMS ? PN_ARRAYS : PN_OBJECTS;
    }
    return 0;
}

/* ---- what a schema refers to in place -------------------------------------------------------- */

static bool measure(pn_build *b, int32_t schema);

static bool measure_child(pn_build *b, int32_t schema, pn_kw kw, int32_t child, int32_t *height) {
    if (child < 0) return true;
    if (b->schemas[child].height < 0)
        return pn_build_fail(
            b, schema, kw, PUNA_E_FORMAT,
            "leads back to a schema that is being defined: nothing could satisfy it");
    if (!measure(b, child)) return false;
    if (b->schemas[child].height + 1 > *height) *height = b->schemas[child].height + 1;
    return true;
}

typedef struct measuring {
    pn_build *b;
    int32_t schema, *height;
    pn_kw kw;
} measuring;

static bool measure_visit(void *user, pn_json *json, int32_t index, const pn_json_text *name) {
    const measuring *m = user;
    (void)index;
    (void)name;
    return measure_child(m->b, m->schema, m->kw, json->schema, m->height);
}

/* Finds circles of schemas that apply to the same value, and bounds how deep these are nested. */
static bool measure(pn_build *b, int32_t schema) {
    pn_schema *s = &b->schemas[schema];
    if (s->height > 0) return true;
    if (b->depth >= MAX_HEIGHT)
        return pn_build_fail(b, schema, PN_KW_NONE, PUNA_E_LIMIT,
                             "more than %d schemas within one another apply to one value",
                             MAX_HEIGHT);
    int32_t height = 1;
    s->height = -1;
    b->depth++;
    for (int32_t i = 0; i < s->n_words; i++) {
        const pn_word *w = &s->words[i];
        measuring m = {b, schema, &height, w->kw};
        if (pn_kw_about(w->kw) != PN_LOGIC) continue;
        const int32_t target = w->kw == PN_KW_REF ? s->ref : s->dynamic_ref;
        const bool ref = pn_kw_form(w->kw) == PN_FORM_TEXT;
        const bool inside =
            w->kw == PN_KW_UNEVALUATED_ITEMS || w->kw == PN_KW_UNEVALUATED_PROPERTIES;
        if (ref ? !measure_child(b, schema, w->kw, target, &height)
                : !inside && !pn_kw_visit(w->kw, w->value, measure_visit, &m))
            return false;
    }
    b->depth--;
    s->height = height;
    return true;
}

/* ---- what a schema says ---------------------------------------------------------------------- */

/* Objects of which `properties` says which names they have (schema_objects.c: closed), if it does. */
static const pn_shapes *closed_objects(pn_build *b, const pn_shapes *shapes) {
    shape_list l = {0};
    for (int32_t i = 0; shapes && i < shapes->n; i++) {
        const pn_shape *s = shapes->list[i];
        bool names = false, others = !(s->kinds & PN_OBJECTS);
        for (int32_t j = 0; j < s->n; j++) {
            const pn_literal *x = &s->literals[j];
            if (x->op == PN_UNEVALUATED) others = true;
            if (x->op != PN_HOLDS) continue;
            names |= pn_schema_get(b, x->schema, PN_KW_PROPERTIES) != NULL;
            others |= pn_schema_get(b, x->schema, PN_KW_ADDITIONAL_PROPERTIES) != NULL;
        }
        if (names && !others && !add_shape(b, &l, s)) return NULL;
    }
    return shapes ? close_list(b, &l) : NULL;
}

/* Objects that fulfil several of an anyOf. They are in each of these branches, but there they would
 * get no other properties than that branch names. Of few branches any two or more, else all. */
static bool add_overlaps(pn_build *b, const pn_json *list, shape_list *l) {
    const pn_shapes *objects = one_shape(b, new_shape(b, PN_OBJECTS, false, 0));
    const uint32_t all = (1u << list->n) - 1;
    for (uint32_t mask = list->n <= FEW_BRANCHES ? 3 : all; mask <= all; mask++) {
        const pn_shapes *both = objects;
        if ((mask & (mask - 1)) == 0) continue;
        for (int32_t i = 0; both && both->n && i < list->n; i++)
            if (mask >> i & 1)
                both =
                    shapes_both(b, both, closed_objects(b, pn_shapes_of(b, list->items[i].schema)));
        if (!add_shapes(b, l, both)) return false;
    }
    return true;
}

/* Any of the list; of oneOf also none of the others. */
static const pn_shapes *shapes_of_any(pn_build *b, int32_t schema, const pn_json *list, bool one) {
    shape_list l = {0};
    for (int32_t i = 0; i < list->n; i++) {
        const pn_shapes *branch = pn_shapes_of(b, list->items[i].schema);
        const pn_literal rest = {.op = PN_FAILS_REST, .schema = schema, .arg = i};
        if (one && list->n > 1)
            branch = shapes_both(b, branch, one_literal(b, PN_VALUES, false, rest));
        if (!add_shapes(b, &l, branch)) return NULL;
    }
    if (!one && list->n > 1 && list->n <= MANY_BRANCHES && !add_overlaps(b, list, &l)) return NULL;
    return close_list(b, &l);
}

static const pn_shapes *shapes_of_all(pn_build *b, const pn_json *list) {
    const pn_shapes *all = any_shape(b);
    for (int32_t i = 0; i < list->n; i++)
        all = shapes_both(b, all, pn_shapes_of(b, list->items[i].schema));
    return all;
}

static const pn_shapes *shapes_of_if(pn_build *b, int32_t schema) {
    const int32_t test = pn_schema_child(b, schema, PN_KW_IF);
    const int32_t yes = pn_schema_child(b, schema, PN_KW_THEN);
    const int32_t no = pn_schema_child(b, schema, PN_KW_ELSE);
    if (yes < 0 && no < 0) return any_shape(b);
    const pn_shapes *then = pn_shapes_of(b, test), *otherwise = fails_all(b, test);
    if (yes >= 0) then = shapes_both(b, then, pn_shapes_of(b, yes));
    if (no >= 0) otherwise = shapes_both(b, otherwise, pn_shapes_of(b, no));
    return shapes_either(b, then, otherwise);
}

static const pn_shapes *has(pn_build *b, const pn_json_text *name) {
    return one_literal(b, PN_OBJECTS, false,
                       (pn_literal){.op = PN_HAS, .schema = -1, .name = name});
}

static const pn_shapes *lacks(pn_build *b, int kinds, const pn_json_text *name) {
    return one_literal(b, kinds, false, (pn_literal){.op = PN_LACKS, .schema = -1, .name = name});
}

/* Where a property is there: others too, or a schema holds. */
static const pn_shapes *shapes_of_dependency(pn_build *b, const pn_json_member *m) {
    const pn_shapes *then = has(b, &m->name);
    if (m->value.kind == PN_JSON_ARRAY)
        for (int32_t i = 0; i < m->value.n; i++)
            then = shapes_both(b, then, has(b, &m->value.items[i].text));
    else
        then = shapes_both(b, then, pn_shapes_of(b, m->value.schema));
    return shapes_either(b, lacks(b, PN_VALUES, &m->name), then);
}

static const pn_shapes *shapes_of_dependencies(pn_build *b, const pn_json *map) {
    const pn_shapes *all = any_shape(b);
    for (int32_t i = 0; i < map->n; i++)
        all = shapes_both(b, all, shapes_of_dependency(b, &map->members[i]));
    return all;
}

static const pn_shapes *shapes_of_logic(pn_build *b, int32_t schema, const pn_word *w) {
    const pn_schema *s = &b->schemas[schema];
    switch (w->kw) {
    case PN_KW_REF: return pn_shapes_of(b, s->ref);
    case PN_KW_DYNAMIC_REF:
    case PN_KW_RECURSIVE_REF: return pn_shapes_of(b, s->dynamic_ref);
    case PN_KW_ALL_OF: return shapes_of_all(b, w->value);
    case PN_KW_ANY_OF: return shapes_of_any(b, schema, w->value, false);
    case PN_KW_ONE_OF: return shapes_of_any(b, schema, w->value, true);
    case PN_KW_NOT: return fails_all(b, w->value->schema);
    case PN_KW_IF: return shapes_of_if(b, schema);
    case PN_KW_DEPENDENT_REQUIRED:
    case PN_KW_DEPENDENT_SCHEMAS:
    case PN_KW_DEPENDENCIES: return shapes_of_dependencies(b, w->value);
    default: return any_shape(b);
    }
}

/* The schema's own keywords, apart from its logic. */
static const pn_shapes *own_shape(pn_build *b, int32_t schema) {
    const pn_schema *s = &b->schemas[schema];
    if (!s->kinds) return no_shapes(b);
    if (!(s->about & s->kinds)) return one_shape(b, new_shape(b, s->kinds, s->typed, 0));
    return one_literal(b, s->kinds, s->typed, (pn_literal){.op = PN_HOLDS, .schema = schema});
}

/* unevaluatedItems or unevaluatedProperties: about what the literals beside it do not speak of. */
static const pn_shapes *add_unevaluated(pn_build *b, const pn_shapes *shapes, int32_t schema,
                                        pn_kw kw) {
    shape_list l = {0};
    for (int32_t i = 0; shapes && i < shapes->n; i++) {
        const pn_shape *beside = shapes->list[i];
        const pn_literal literal = {
            .op = PN_UNEVALUATED, .kw = (uint8_t)kw, .schema = schema, .beside = beside};
        const pn_shape *one = shape_of(b, PN_VALUES, false, literal);
        if (!one || !add_shape(b, &l, pn_shape_both(b, beside, one))) return NULL;
    }
    return shapes ? close_list(b, &l) : NULL;
}

static const pn_shapes *compute_shapes(pn_build *b, int32_t schema) {
    const pn_schema *s = &b->schemas[schema];
    if (s->json->kind == PN_JSON_TRUE) return any_shape(b);
    if (s->json->kind == PN_JSON_FALSE) return no_shapes(b);
    const pn_shapes *all = one_shape(b, new_shape(b, s->kinds ? s->kinds : PN_VALUES, s->typed, 0));
    bool own = false;
    /* properties come in the order of the text: those of an allOf before `properties` come first */
    for (int32_t i = 0; i < s->n_words && all; i++) {
        const pn_word *w = &s->words[i];
        if (w->kw == PN_KW_PROPERTIES) {
            all = shapes_both(b, all, own_shape(b, schema));
            own = true;
        }
        if (pn_kw_about(w->kw) != PN_LOGIC) continue;
        pn_build_at(b, schema, w->kw);
        all = shapes_both(b, all, shapes_of_logic(b, schema, w));
    }
    pn_build_at(b, schema, PN_KW_NONE);
    if (!own) all = shapes_both(b, all, own_shape(b, schema));
    if (pn_schema_get(b, schema, PN_KW_UNEVALUATED_ITEMS))
        all = add_unevaluated(b, all, schema, PN_KW_UNEVALUATED_ITEMS);
    if (pn_schema_get(b, schema, PN_KW_UNEVALUATED_PROPERTIES))
        all = add_unevaluated(b, all, schema, PN_KW_UNEVALUATED_PROPERTIES);
    return all;
}

const pn_shapes *pn_shapes_of(pn_build *b, int32_t schema) {
    if (b->job.status) return NULL;
    schema = b->schemas[schema].same;
    if (b->schemas[schema].shapes) return b->schemas[schema].shapes;
    const int32_t at_schema = b->at_schema;
    const pn_kw at_kw = b->at_kw;
    const pn_shapes *shapes = measure(b, schema) ? compute_shapes(b, schema) : NULL;
    if (shapes) pn_build_at(b, at_schema, at_kw);
    b->schemas[schema].shapes = shapes;
    return shapes;
}

/* ---- what a negated schema says -------------------------------------------------------------- */

static bool add_fails(pn_build *b, shape_list *l, int32_t schema, pn_kw kw, int kinds,
                      int32_t arg) {
    return add_shape(
        b, l,
        shape_of(b, kinds, true,
                 (pn_literal){.op = PN_FAILS, .kw = (uint8_t)kw, .schema = schema, .arg = arg}));
}

/* The kinds of values that can differ from all in an enum or const. */
static int kinds_of_others(const pn_json *list, int32_t n) {
    int kinds = PN_VALUES, booleans = 0;
    for (int32_t i = 0; i < n; i++) {
        if (list[i].kind == PN_JSON_NULL) kinds &= ~PN_NULLS;
        if (list[i].kind == PN_JSON_FALSE) booleans |= 1;
        if (list[i].kind == PN_JSON_TRUE) booleans |= 2;
    }
    return booleans == 3 ? kinds & ~PN_BOOLEANS : kinds;
}

static bool negate_type(pn_build *b, shape_list *l, int32_t schema) {
    const pn_schema *s = &b->schemas[schema];
    const int others = PN_VALUES & ~s->type_kinds;
    if (others && !add_shape(b, l, new_shape(b, others, true, 0))) return false;
    return !s->integer || add_fails(b, l, schema, PN_KW_TYPE, PN_NUMBERS, 0);
}

static bool negate_items(pn_build *b, shape_list *l, int32_t schema) {
    pn_kw kw;
    const pn_json *prefix = pn_schema_prefix(b, schema, &kw);
    for (int32_t i = 0; prefix && i < prefix->n; i++)
        if (!add_fails(b, l, schema, kw, PN_ARRAYS, i)) return false;
    return pn_schema_rest(b, schema, &kw) < 0 || add_fails(b, l, schema, kw, PN_ARRAYS, -1);
}

static bool negate_required(pn_build *b, shape_list *l, const pn_json *names) {
    for (int32_t i = 0; i < names->n; i++)
        if (!add_shapes(b, l, lacks(b, PN_OBJECTS, &names->items[i].text))) return false;
    return true;
}

static bool negate_pattern(pn_build *b, shape_list *l, int32_t schema, const pn_json *value) {
    const pn_pattern *p = pn_pattern_get(b, value->text.data, value->text.n);
    for (int32_t i = 0; p && i <= p->regex->n_aheads; i++)
        if (!add_fails(b, l, schema, PN_KW_PATTERN, PN_TEXTS, i)) return false;
    return p != NULL;
}

/* A keyword does not hold. arg: of enum and const none; of items the index, -1 for those behind a
 * list; of properties the index; of contains 0 for too few and 1 for too many; of pattern 0 for it
 * and then what it looks ahead for. */
static bool negate_own(pn_build *b, shape_list *l, int32_t schema, const pn_word *w) {
    const pn_json *v = w->value;
    const bool list = w->kw == PN_KW_ENUM;
    switch (w->kw) {
    case PN_KW_TYPE: return negate_type(b, l, schema);
    case PN_KW_ENUM:
    case PN_KW_CONST:
        return add_fails(b, l, schema, w->kw, kinds_of_others(list ? v->items : v, list ? v->n : 1),
                         0);
    case PN_KW_EXCLUSIVE_MINIMUM:
    case PN_KW_EXCLUSIVE_MAXIMUM:
        return v->kind != PN_JSON_NUMBER || add_fails(b, l, schema, w->kw, PN_NUMBERS, 0);
    case PN_KW_PATTERN: return negate_pattern(b, l, schema, v);
    case PN_KW_FORMAT: {
        const pn_format *f = pn_format_find(v->text);
        return !f->pattern || add_fails(b, l, schema, w->kw, f->about, 0);
    }
    case PN_KW_PREFIX_ITEMS:
    case PN_KW_ADDITIONAL_ITEMS:
        return pn_schema_get(b, schema, PN_KW_ITEMS) || negate_items(b, l, schema);
    case PN_KW_ITEMS: return negate_items(b, l, schema);
    case PN_KW_UNIQUE_ITEMS:
        return v->kind == PN_JSON_FALSE || add_fails(b, l, schema, w->kw, PN_ARRAYS, 0);
    case PN_KW_CONTAINS:
        return add_fails(b, l, schema, w->kw, PN_ARRAYS, 0) &&
               (!pn_schema_get(b, schema, PN_KW_MAX_CONTAINS) ||
                add_fails(b, l, schema, w->kw, PN_ARRAYS, 1));
    case PN_KW_MIN_CONTAINS:
    case PN_KW_MAX_CONTAINS:
    case PN_KW_NULLABLE: return true;
    case PN_KW_PROPERTIES:
        for (int32_t i = 0; i < v->n; i++)
            if (!add_fails(b, l, schema, w->kw, PN_OBJECTS, i)) return false;
        return true;
    case PN_KW_REQUIRED: return negate_required(b, l, v);
    default: return add_fails(b, l, schema, w->kw, pn_kw_about(w->kw), 0);
    }
}

static const pn_shapes *none_of(pn_build *b, const pn_json *list) {
    const pn_shapes *none = any_shape(b);
    for (int32_t i = 0; i < list->n; i++)
        none = shapes_both(b, none, fails_all(b, list->items[i].schema));
    return none;
}

/* Not exactly one: none, or two of them. */
static bool negate_one_of(pn_build *b, shape_list *l, const pn_json *list) {
    if (!add_shapes(b, l, none_of(b, list))) return false;
    for (int32_t i = 0; i < list->n; i++)
        for (int32_t j = i + 1; j < list->n; j++)
            if (!add_shapes(b, l,
                            shapes_both(b, pn_shapes_of(b, list->items[i].schema),
                                        pn_shapes_of(b, list->items[j].schema))))
                return false;
    return true;
}

static bool negate_if(pn_build *b, shape_list *l, int32_t schema) {
    const int32_t test = pn_schema_child(b, schema, PN_KW_IF);
    const int32_t yes = pn_schema_child(b, schema, PN_KW_THEN);
    const int32_t no = pn_schema_child(b, schema, PN_KW_ELSE);
    if (yes >= 0 && !add_shapes(b, l, shapes_both(b, pn_shapes_of(b, test), fails_all(b, yes))))
        return false;
    return no < 0 || add_shapes(b, l, shapes_both(b, fails_all(b, test), fails_all(b, no)));
}

static bool negate_dependencies(pn_build *b, shape_list *l, const pn_json *map) {
    for (int32_t i = 0; i < map->n; i++) {
        const pn_json_member *m = &map->members[i];
        const bool names = m->value.kind == PN_JSON_ARRAY;
        for (int32_t j = 0; j < (names ? m->value.n : 1); j++) {
            const pn_shapes *fails = names ? lacks(b, PN_OBJECTS, &m->value.items[j].text)
                                           : fails_all(b, m->value.schema);
            if (!add_shapes(b, l, shapes_both(b, has(b, &m->name), fails))) return false;
        }
    }
    return true;
}

static bool negate_logic(pn_build *b, shape_list *l, int32_t schema, const pn_word *w) {
    const pn_schema *s = &b->schemas[schema];
    const pn_json *v = w->value;
    switch (w->kw) {
    case PN_KW_REF: return add_shapes(b, l, fails_all(b, s->ref));
    case PN_KW_DYNAMIC_REF:
    case PN_KW_RECURSIVE_REF: return add_shapes(b, l, fails_all(b, s->dynamic_ref));
    case PN_KW_ALL_OF:
        for (int32_t i = 0; i < v->n; i++)
            if (!add_shapes(b, l, fails_all(b, v->items[i].schema))) return false;
        return true;
    case PN_KW_ANY_OF: return add_shapes(b, l, none_of(b, v));
    case PN_KW_ONE_OF: return negate_one_of(b, l, v);
    case PN_KW_NOT: return add_shapes(b, l, pn_shapes_of(b, v->schema));
    case PN_KW_IF: return negate_if(b, l, schema);
    case PN_KW_DEPENDENT_REQUIRED:
    case PN_KW_DEPENDENT_SCHEMAS:
    case PN_KW_DEPENDENCIES: return negate_dependencies(b, l, v);
    case PN_KW_UNEVALUATED_ITEMS: return add_fails(b, l, schema, w->kw, PN_ARRAYS, 0);
    case PN_KW_UNEVALUATED_PROPERTIES: return add_fails(b, l, schema, w->kw, PN_OBJECTS, 0);
    default: return true;
    }
}

const pn_shapes *pn_shapes_without(pn_build *b, int32_t schema) {
    const pn_schema *s = &b->schemas[schema];
    shape_list l = {0};
    if (s->json->kind == PN_JSON_TRUE) return no_shapes(b);
    if (s->json->kind == PN_JSON_FALSE) return any_shape(b);
    /* to drafts before 2019-09 what stands beside $ref is not there */
    const bool ref_only = b->legacy_ref && s->ref >= 0;
    for (int32_t i = 0; i < s->n_words; i++) {
        const pn_word *w = &s->words[i];
        const int about = pn_kw_about(w->kw);
        if (about >= PN_FRAME || (ref_only && w->kw != PN_KW_REF)) continue;
        if (about == PN_LOGIC ? !negate_logic(b, &l, schema, w) : !negate_own(b, &l, schema, w))
            return NULL;
    }
    return close_list(b, &l);
}

/* ---- conjunctions ---------------------------------------------------------------------------- */

const pn_conj *pn_conj_of(pn_build *b, const int32_t *elements, int32_t n) {
    bool fresh;
    const int32_t id = pn_intern_add(&b->job, &b->conj_index, elements, n, &fresh);
    if (id < 0 || !pn_job_grow(&b->job, &b->conjs, id, &b->cap_conjs, sizeof *b->conjs))
        return NULL;
    if (!fresh) return b->conjs[id];
    pn_conj *conj = pn_job_alloc(&b->job, 1, sizeof *conj);
    int32_t *copy = pn_job_alloc(&b->job, (size_t)n, sizeof *copy);
    b->conjs[id] = conj;
    if (!conj || !copy) return NULL;
    if (n) memcpy(copy, elements, (size_t)n * sizeof *copy);
    *conj = (pn_conj){.id = id, .n = n, .elements = copy, .rule = -1};
    return conj;
}

const pn_shapes *pn_conj_shapes(pn_build *b, const pn_conj *conj) {
    pn_conj *c = b->conjs[conj->id];
    if (c->shapes) return c->shapes;
    const pn_shapes *all = any_shape(b);
    for (int32_t i = 0; i < c->n && all; i++) {
        const int32_t schema = c->elements[i] / 2;
        all = shapes_both(b, all,
                          c->elements[i] % 2 ? fails_all(b, schema) : pn_shapes_of(b, schema));
    }
    c->shapes = all;
    return all;
}
