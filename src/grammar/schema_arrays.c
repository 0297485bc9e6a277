/* schema_arrays.c: arrays: items, prefixItems, additionalItems, minItems, maxItems, contains,
 * uniqueItems.
 *
 * What an item must be depends on its place, up to the first place from which on all are alike.
 * Where items are counted (contains) the array is an automaton over (place, counts); where they
 * must differ and are few values, one over the values used so far. Both become rules, one per
 * state. */
#include "grammar/schema_emit.h"

#include <string.h>

#define MAX_STATES   5000
#define MAX_CONTAINS 3
#define MAX_UNIQUE   24
#define MAX_PLACES   64 /* compared by pn_arrays_disjoint */

/* So many items from a place on fulfil `elements`. */
typedef struct contained {
    int32_t schema; /* for messages */
    pn_elements elements;
    int64_t min, max, from;
} contained;

typedef struct array_facts {
    const pn_shape *shape;
    int64_t min, max;
    int32_t n_places; /* from here on all items are alike */
    int32_t n_listed; /* items of the longest list of schemas */
    bool has_rest;    /* something is said of those behind a list */
    int32_t unique;   /* the schema that demands it, -1: none */
    contained list[MAX_CONTAINS];
    int32_t n;
} array_facts;

/* ---- what is demanded ------------------------------------------------------------------------ */

static void note_place(array_facts *f, int32_t n) {
    if (n > f->n_places) f->n_places = n;
}

static bool add_contained(pn_build *b, array_facts *f, int32_t schema, int32_t item, bool negated,
                          contained c) {
    if (c.min == 0 && c.max == PN_NO_MAX) return true;
    if (f->n == MAX_CONTAINS)
        return pn_build_fail(b, schema, PN_KW_CONTAINS, PUNA_E_LIMIT,
                             "more than %d things that an array contains", MAX_CONTAINS);
    c.schema = schema;
    f->list[f->n] = c;
    return pn_elements_add(b, &f->list[f->n++].elements, item, negated);
}

static bool contains_bounds(pn_build *b, int32_t schema, int64_t *min, int64_t *max) {
    return pn_schema_count(b, schema, PN_KW_MIN_CONTAINS, 1, min) &&
           pn_schema_count(b, schema, PN_KW_MAX_CONTAINS, PN_NO_MAX, max);
}

static bool add_holds(pn_build *b, array_facts *f, int32_t schema) {
    int64_t min, max;
    pn_kw kw;
    if (!pn_schema_count(b, schema, PN_KW_MIN_ITEMS, 0, &min) ||
        !pn_schema_count(b, schema, PN_KW_MAX_ITEMS, PN_NO_MAX, &max))
        return false;
    if (min > f->min) f->min = min;
    if (max < f->max) f->max = max;
    const pn_json *prefix = pn_schema_prefix(b, schema, &kw);
    if (prefix) note_place(f, prefix->n);
    if (prefix && prefix->n > f->n_listed) f->n_listed = prefix->n;
    if (pn_schema_rest(b, schema, &kw) >= 0) f->has_rest = true;
    const pn_json *unique = pn_schema_get(b, schema, PN_KW_UNIQUE_ITEMS);
    if (unique && unique->kind == PN_JSON_TRUE) f->unique = schema;
    const int32_t item = pn_schema_child(b, schema, PN_KW_CONTAINS);
    if (item < 0) return true;
    return contains_bounds(b, schema, &min, &max) &&
           add_contained(b, f, schema, item, false, (contained){.min = min, .max = max});
}

static bool cannot_negate(pn_build *b, const pn_literal *l) {
    return pn_build_fail(b, l->schema, (pn_kw)l->kw, PUNA_E_UNSUPPORTED, "cannot be negated here");
}

/* An item at a place, or some item behind a list, is none that the keyword allows. */
static bool add_item_fails(pn_build *b, array_facts *f, const pn_literal *l) {
    pn_kw kw;
    const pn_json *prefix = pn_schema_prefix(b, l->schema, &kw);
    if (l->arg < 0)
        return add_contained(
            b, f, l->schema, pn_schema_rest(b, l->schema, &kw), true,
            (contained){.min = 1, .max = PN_NO_MAX, .from = prefix ? prefix->n : 0});
    note_place(f, l->arg + 1);
    if (l->arg + 1 > f->min) f->min = l->arg + 1;
    return true;
}

static bool add_contains_fails(pn_build *b, array_facts *f, const pn_literal *l) {
    int64_t min, max;
    if (!contains_bounds(b, l->schema, &min, &max)) return false;
    contained c = {.min = 0, .max = min - 1};
    if (l->arg) c = (contained){.min = max == PN_NO_MAX ? max : max + 1, .max = PN_NO_MAX};
    if (c.max < 0) f->max = -1; /* none can be too few */
    return add_contained(b, f, l->schema, pn_schema_child(b, l->schema, PN_KW_CONTAINS), false, c);
}

static bool add_fails(pn_build *b, array_facts *f, const pn_literal *l) {
    int64_t count;
    switch ((pn_kw)l->kw) {
    case PN_KW_MIN_ITEMS:
        if (!pn_schema_count(b, l->schema, PN_KW_MIN_ITEMS, 0, &count)) return false;
        if (count - 1 < f->max) f->max = count - 1;
        return true;
    case PN_KW_MAX_ITEMS:
        if (!pn_schema_count(b, l->schema, PN_KW_MAX_ITEMS, PN_NO_MAX, &count)) return false;
        if (count + 1 > f->min) f->min = count + 1;
        return true;
    case PN_KW_CONTAINS: return add_contains_fails(b, f, l);
    case PN_KW_ITEMS:
    case PN_KW_PREFIX_ITEMS:
    case PN_KW_ADDITIONAL_ITEMS: return add_item_fails(b, f, l);
    default: return cannot_negate(b, l);
    }
}

/* Places whose items the literals beside unevaluatedItems speak of; -1: all. */
static int32_t n_evaluated(const pn_build *b, const pn_shape *beside) {
    int32_t n = 0;
    for (int32_t i = 0; i < beside->n; i++) {
        const pn_literal *l = &beside->literals[i];
        pn_kw kw;
        if (l->op == PN_UNEVALUATED && l->kw == PN_KW_UNEVALUATED_ITEMS) return -1;
        if (l->op != PN_HOLDS) continue;
        const pn_json *prefix = pn_schema_prefix(b, l->schema, &kw);
        if (prefix && prefix->n > n) n = prefix->n;
        if (pn_schema_rest(b, l->schema, &kw) >= 0) return -1;
    }
    return n;
}

static bool gather(pn_build *b, array_facts *f, const pn_shape *shape) {
    *f = (array_facts){.shape = shape, .max = PN_NO_MAX, .unique = -1};
    for (int32_t i = 0; i < shape->n; i++) {
        const pn_literal *l = &shape->literals[i];
        if (!(pn_literal_about(b, l) & PN_ARRAYS)) continue;
        if (l->op == PN_HOLDS && !add_holds(b, f, l->schema)) return false;
        if (l->op == PN_FAILS && !add_fails(b, f, l)) return false;
        if (l->op == PN_UNEVALUATED) {
            const int32_t n = n_evaluated(b, l->beside);
            if (n > 0) note_place(f, n);
            f->has_rest = true;
        }
    }
    return true;
}

/* An array whose schemas list items and say nothing about others gets no others: a choice, as with
 * properties. */
static void close_list(array_facts *f) {
    if (f->n_listed && !f->has_rest && f->n == 0 && f->min <= f->n_listed && f->max > f->n_listed)
        f->max = f->n_listed;
}

/* What the item at a place must be. */
static bool item_elements(pn_build *b, const array_facts *f, int64_t place, pn_elements *out) {
    *out = (pn_elements){0};
    for (int32_t i = 0; i < f->shape->n; i++) {
        const pn_literal *l = &f->shape->literals[i];
        pn_kw kw;
        if (!(pn_literal_about(b, l) & PN_ARRAYS)) continue;
        int32_t item = -1;
        bool negated = false;
        if (l->op == PN_HOLDS || (l->op == PN_FAILS && l->arg >= 0 && l->arg == place)) {
            const pn_json *prefix = pn_schema_prefix(b, l->schema, &kw);
            negated = l->op == PN_FAILS;
            if (prefix && place < prefix->n)
                item = prefix->items[place].schema;
            else
                item = pn_schema_rest(b, l->schema, &kw);
            if (negated && l->kw != PN_KW_ITEMS && l->kw != PN_KW_PREFIX_ITEMS) item = -1;
        } else if (l->op == PN_UNEVALUATED) {
            const int32_t n = n_evaluated(b, l->beside);
            if (n >= 0 && place >= n) item = pn_schema_child(b, l->schema, PN_KW_UNEVALUATED_ITEMS);
        }
        if (!pn_elements_add(b, out, item, negated)) return false;
    }
    return true;
}

static const pn_conj *item_conj(pn_build *b, const array_facts *f, int64_t place) {
    pn_elements elements;
    return item_elements(b, f, place, &elements) ? pn_elements_conj(b, &elements) : NULL;
}

/* ---- disjointness ---------------------------------------------------------------------------- */

/* No item of f can be what c must contain. */
static bool contains_none(pn_build *b, const array_facts *f, const contained *c) {
    const pn_conj *wanted = pn_elements_conj(b, &c->elements);
    if (c->min == 0 || f->n_places > MAX_PLACES) return false;
    for (int64_t i = 0; i <= f->n_places; i++)
        if (!pn_conjs_disjoint(b, item_conj(b, f, i), wanted)) return false;
    return true;
}

bool pn_arrays_disjoint(pn_build *b, const pn_shape *a, const pn_shape *c) {
    array_facts f, g;
    if (!gather(b, &f, a) || !gather(b, &g, c)) return false;
    close_list(&f);
    const int64_t min = f.min > g.min ? f.min : g.min, max = f.max < g.max ? f.max : g.max;
    if (max < min) return true;
    for (int64_t i = 0; i < min && i < MAX_PLACES; i++)
        if (pn_conjs_disjoint(b, item_conj(b, &f, i), item_conj(b, &g, i))) return true;
    for (int32_t i = 0; i < f.n; i++)
        if (contains_none(b, &f, &f.list[i]) || contains_none(b, &g, &f.list[i])) return true;
    for (int32_t i = 0; i < g.n; i++)
        if (contains_none(b, &f, &g.list[i]) || contains_none(b, &g, &g.list[i])) return true;
    return false;
}

/* ---- plain arrays ---------------------------------------------------------------------------- */

static const pn_expr *in_brackets(pn_build *b, const pn_expr *items) {
    pn_rules *r = &b->rules;
    const pn_builtins *x = b->builtins;
    const pn_expr *open = pn_expr_then(r, pn_expr_word(r, "["), x->blank);
    return pn_expr_three(r, open, items, pn_expr_word(r, "]"));
}

static const pn_expr *next_item(pn_build *b, const array_facts *f, int64_t place) {
    return pn_expr_then(&b->rules, b->builtins->comma, pn_emit_conj(b, item_conj(b, f, place)));
}

/* Items from a place up to n_places on, each with its comma: those with places of their own one by
 * one, the next within the one before where it is optional, then the others. */
static const pn_expr *items_from(pn_build *b, const array_facts *f, int64_t from) {
    pn_rules *r = &b->rules;
    const int64_t last = f->max < f->n_places ? f->max : f->n_places;
    const pn_expr *out = pn_expr_empty(r);
    if (f->max > last)
        out = pn_expr_repeat(r, next_item(b, f, last), f->min > last ? f->min - last : 0,
                             f->max == PN_NO_MAX ? PN_EXPR_NO_MAX : f->max - last);
    for (int64_t i = last; i-- > from;) {
        out = pn_expr_then(r, next_item(b, f, i), out);
        if (i >= f->min) out = pn_expr_optional(r, out);
        out = pn_expr_shallow(r, out, b->rule_name);
    }
    return out;
}

static const pn_expr *plain_array(pn_build *b, const array_facts *f) {
    pn_rules *r = &b->rules;
    if (f->max == 0) return in_brackets(b, pn_expr_empty(r));
    const pn_expr *first = pn_emit_conj(b, item_conj(b, f, 0));
    array_facts alike = *f;
    if (alike.n_places == 0) alike.n_places = 1; /* so that the first is a place of its own */
    const pn_expr *items = pn_expr_three(r, first, items_from(b, &alike, 1), b->builtins->blank);
    return in_brackets(b, f->min == 0 ? pn_expr_optional(r, items) : items);
}

/* ---- counted items --------------------------------------------------------------------------- */

typedef struct counter {
    pn_build *b;
    const array_facts *f;
    pn_intern states; /* place, counts... */
    int32_t *rules;
    int32_t cap_rules;
    int64_t last; /* no place beyond is told apart */
} counter;

static const pn_expr *state_rule(counter *c, const int32_t *state) {
    pn_build *b = c->b;
    bool fresh;
    const int32_t id = pn_intern_add(&b->job, &c->states, state, 1 + c->f->n, &fresh);
    if (id < 0 || !pn_job_grow(&b->job, &c->rules, id, &c->cap_rules, sizeof *c->rules))
        return NULL;
    if (id == MAX_STATES) {
        pn_build_fail(b, c->f->list[0].schema, PN_KW_CONTAINS, PUNA_E_LIMIT,
                      "too large beside the numbers of items");
        return NULL;
    }
    if (fresh) c->rules[id] = pn_rules_new(&b->rules, b->rule_name, strlen(b->rule_name));
    return pn_expr_rule(&b->rules, c->rules[id]);
}

static bool may_end(const counter *c, const int32_t *state) {
    bool end = state[0] >= c->f->min;
    for (int32_t k = 0; k < c->f->n; k++) end = end && state[1 + k] >= c->f->list[k].min;
    return end;
}

/* Chooses for each thing from number k on whether the next item is one, and adds an alternative for
 * each choice. */
static bool add_choices(counter *c, const int32_t *state, int32_t k, const pn_elements *elements,
                        int32_t *next, bool first, pn_expr_list *out) {
    pn_build *b = c->b;
    pn_rules *r = &b->rules;
    if (k == c->f->n) {
        const pn_expr *item = pn_emit_conj(b, pn_elements_conj(b, elements));
        if (!first) item = pn_expr_then(r, b->builtins->comma, item);
        return item && pn_expr_add(r, out, pn_expr_then(r, item, state_rule(c, next)));
    }
    const contained *x = &c->f->list[k];
    const int32_t count = state[1 + k];
    const bool counts = x->max != PN_NO_MAX, active = state[0] >= x->from;
    pn_elements more;
    next[1 + k] = count;
    if (active && (counts ? count < x->max : count < x->min)) {
        next[1 + k] = count + 1;
        if (!pn_elements_copy(b, elements, &more)) return false;
        for (int32_t i = 0; i < x->elements.n; i++)
            if (!pn_elements_add(b, &more, x->elements.list[i] / 2, x->elements.list[i] % 2 != 0))
                return false;
        if (!add_choices(c, state, k + 1, &more, next, first, out)) return false;
        next[1 + k] = count;
    }
    if (!active || !counts) return add_choices(c, state, k + 1, elements, next, first, out);
    /* what is counted up to a maximum must not be one otherwise; contains is one schema, so this is
     * its opposite */
    if (x->elements.n == 0) return true;
    if (!pn_elements_copy(b, elements, &more)) return false;
    const int32_t e = x->elements.list[0];
    return pn_elements_add(b, &more, e / 2, e % 2 == 0) &&
           add_choices(c, state, k + 1, &more, next, first, out);
}

/* An item and what may come then. */
static const pn_expr *state_items(counter *c, const int32_t *state, bool first) {
    pn_build *b = c->b;
    pn_expr_list list = {0};
    pn_elements elements;
    int32_t next[1 + MAX_CONTAINS] = {0};
    next[0] = state[0] < c->last ? state[0] + 1 : state[0];
    const bool room = c->f->max == PN_NO_MAX || state[0] < c->f->max;
    if (room && (!item_elements(b, c->f, state[0], &elements) ||
                 !add_choices(c, state, 0, &elements, next, first, &list)))
        return NULL;
    return pn_expr_alt(&b->rules, &list);
}

/* What may come behind an item: the end, or more. */
static const pn_expr *state_body(counter *c, const int32_t *state) {
    const pn_expr *items = state_items(c, state, false);
    return may_end(c, state) ? pn_expr_optional(&c->b->rules, items) : items;
}

static int64_t last_place(const array_facts *f) {
    int64_t last = f->n_places > f->min ? f->n_places : f->min;
    for (int32_t k = 0; k < f->n; k++)
        if (f->list[k].from > last) last = f->list[k].from;
    return f->max != PN_NO_MAX && f->max > last ? f->max : last;
}

static const pn_expr *counted_array(pn_build *b, const array_facts *f) {
    pn_rules *r = &b->rules;
    counter c = {.b = b, .f = f, .last = last_place(f)};
    const int32_t start[1 + MAX_CONTAINS] = {0};
    if (c.last > MAX_STATES) {
        pn_build_fail(b, f->list[0].schema, PN_KW_CONTAINS, PUNA_E_LIMIT,
                      "too large beside the numbers of items");
        return NULL;
    }
    const pn_expr *items = pn_expr_then(r, state_items(&c, start, true), b->builtins->blank);
    for (int32_t id = 0; id < c.states.n && !b->job.status; id++) {
        int32_t n, state[1 + MAX_CONTAINS];
        memcpy(state, pn_intern_get(&c.states, id, &n), (1 + (size_t)f->n) * sizeof *state);
        const pn_expr *body = state_body(&c, state);
        b->rules.list[c.rules[id]].body = body;
    }
    return in_brackets(b, may_end(&c, start) ? pn_expr_optional(r, items) : items);
}

/* ---- items that differ ----------------------------------------------------------------------- */

/* Whether items at any two places that there can be differ anyway. */
static bool differ_anyway(pn_build *b, const array_facts *f) {
    if (f->max <= 1) return true;
    if (f->n_places > MAX_PLACES) return false;
    const bool closed =
        f->max <= f->n_places || pn_conjs_disjoint(b, item_conj(b, f, f->n_places), b->any_conj);
    for (int64_t i = 1; closed && i < f->n_places; i++)
        for (int64_t j = 0; j < i; j++)
            if (!pn_conjs_disjoint(b, item_conj(b, f, i), item_conj(b, f, j))) return false;
    return closed;
}

typedef struct chooser {
    pn_build *b;
    const array_facts *f;
    const pn_json *values[MAX_UNIQUE];
    int32_t n;
    pn_intern masks; /* of values used so far */
    int32_t *rules;
    int32_t cap_rules;
} chooser;

static bool choose_value(chooser *c, const pn_json *value) {
    for (int32_t j = 0; j < c->n; j++)
        if (pn_json_equal(c->b, c->values[j], value)) return true;
    if (c->n == MAX_UNIQUE) return false;
    c->values[c->n++] = value;
    return true;
}

/* Adds the values that a conjunction leaves; false when they are too many. */
static bool collect_values(chooser *c, const pn_conj *conj) {
    pn_build *b = c->b;
    const pn_cases *cases = conj ? pn_conj_cases(b, conj) : NULL;
    if (!cases) return false;
    for (int32_t i = 0; i < cases->n_values; i++)
        if (!choose_value(c, cases->values[i])) return false;
    for (int32_t i = 0; i < cases->n; i++) {
        int32_t n = 0;
        const pn_json *list = cases->list[i]->kinds == PN_NUMBERS
                                  ? pn_number_values(b, cases->list[i], MAX_UNIQUE, &n)
                                  : NULL;
        if (!list) return false;
        for (int32_t j = 0; j < n; j++)
            if (!choose_value(c, &list[j])) return false;
    }
    return true;
}

static int32_t count_bits(uint32_t mask) {
    int32_t n = 0;
    for (; mask; mask &= mask - 1) n++;
    return n;
}

/* Whether the array may end when exactly these values were used. */
static bool may_end_with(chooser *c, uint32_t mask) {
    if (count_bits(mask) < c->f->min) return false;
    for (int32_t k = 0; k < c->f->n; k++) {
        const contained *x = &c->f->list[k];
        int64_t n = 0;
        for (int32_t i = 0; i < c->n; i++) {
            if (!(mask >> i & 1)) continue;
            const pn_truth is =
                pn_check_conj(c->b, c->values[i], pn_elements_conj(c->b, &x->elements));
            if (is == PN_MAYBE) return false;
            n += is == PN_YES;
        }
        if (n < x->min || n > x->max) return false;
    }
    return true;
}

static const pn_expr *mask_rule(chooser *c, uint32_t mask) {
    pn_build *b = c->b;
    bool fresh;
    const int32_t key = (int32_t)mask, id = pn_intern_add(&b->job, &c->masks, &key, 1, &fresh);
    if (id < 0 || !pn_job_grow(&b->job, &c->rules, id, &c->cap_rules, sizeof *c->rules))
        return NULL;
    if (id == MAX_STATES) {
        pn_build_fail(b, c->f->unique, PN_KW_UNIQUE_ITEMS, PUNA_E_LIMIT,
                      "more than %d sets of different items", MAX_STATES);
        return NULL;
    }
    if (fresh) c->rules[id] = pn_rules_new(&b->rules, b->rule_name, strlen(b->rule_name));
    return pn_expr_rule(&b->rules, c->rules[id]);
}

/* A value that was not used yet and what may come then. */
static const pn_expr *unused_items(chooser *c, uint32_t mask) {
    pn_build *b = c->b;
    pn_rules *r = &b->rules;
    pn_expr_list list = {0};
    const int32_t place = count_bits(mask);
    const pn_conj *conj = item_conj(b, c->f, place < c->f->n_places ? place : c->f->n_places);
    if (!conj) return NULL;
    for (int32_t i = 0; i < c->n && place < c->f->max; i++) {
        if ((mask >> i & 1) || pn_check_conj(b, c->values[i], conj) != PN_YES) continue;
        const pn_expr *item = pn_emit_literal(b, c->values[i]);
        if (mask) item = pn_expr_then(r, b->builtins->comma, item);
        if (!pn_expr_add(r, &list, pn_expr_then(r, item, mask_rule(c, mask | 1u << i))))
            return NULL;
    }
    return pn_expr_alt(r, &list);
}

static const pn_expr *unique_array(pn_build *b, const array_facts *f) {
    pn_rules *r = &b->rules;
    chooser c = {.b = b, .f = f};
    bool few = f->n_places <= MAX_UNIQUE;
    for (int64_t i = 0; i <= f->n_places && few; i++) few = collect_values(&c, item_conj(b, f, i));
    for (int32_t k = 0; k < f->n; k++) few = few && f->list[k].from == 0;
    if (!few) {
        pn_build_fail(b, f->unique, PN_KW_UNIQUE_ITEMS, PUNA_E_UNSUPPORTED,
                      "only items that are among at most %d values can be told apart", MAX_UNIQUE);
        return NULL;
    }
    const pn_expr *items = pn_expr_then(r, unused_items(&c, 0), b->builtins->blank);
    for (int32_t id = 0; id < c.masks.n && !b->job.status; id++) {
        int32_t n;
        const uint32_t mask = (uint32_t)*pn_intern_get(&c.masks, id, &n);
        const pn_expr *more = unused_items(&c, mask);
        r->list[c.rules[id]].body = may_end_with(&c, mask) ? pn_expr_optional(r, more) : more;
    }
    return in_brackets(b, may_end_with(&c, 0) ? pn_expr_optional(r, items) : items);
}

const pn_expr *pn_emit_array(pn_build *b, const pn_shape *shape) {
    array_facts f;
    if (shape->n == 0) return b->builtins->array;
    if (!gather(b, &f, shape)) return NULL;
    close_list(&f);
    if (f.max < f.min) return pn_expr_never(&b->rules);
    if (f.unique >= 0 && !differ_anyway(b, &f)) return unique_array(b, &f);
    return f.n ? counted_array(b, &f) : plain_array(b, &f);
}
