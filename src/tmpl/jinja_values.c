/* jinja_values.c: lists, dicts, undefined values; truth, equality, order, length, walking. As Python has them. */
#include "tmpl/jinja_render.h"
#include "tmpl/jinja_unicode.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

pn_value pn_none(void) {
    return (pn_value){.kind = PN_V_NONE};
}

pn_value pn_bool(bool b) {
    return (pn_value){.kind = PN_V_BOOL, .b = b};
}

pn_value pn_int(int64_t i) {
    return (pn_value){.kind = PN_V_INT, .i = i};
}

pn_value pn_float(double f) {
    return (pn_value){.kind = PN_V_FLOAT, .f = f};
}

bool pn_is_list_like(const pn_value *v) {
    return v->kind >= PN_V_LIST && v->kind <= PN_V_ITER;
}

bool pn_is_number(const pn_value *v) {
    return v->kind >= PN_V_BOOL && v->kind <= PN_V_FLOAT;
}

const char *pn_type_name(const pn_value *v) {
    static const char *const type_names[] = {
        "unset",       "Undefined", "NoneType",  "bool",  "int",      "int",
        "float",       "str",       "list",      "tuple", "view",     "generator",
        "dict",        "range",     "Namespace", "Macro", "function", "builtin_function_or_method",
        "LoopContext", "Cycler",    "Joiner"};
    if (v->kind == PN_V_VIEW || v->kind == PN_V_ITER) return v->list->type;
    if (v->kind == PN_V_STRING && v->text->markup) return "Markup";
    return type_names[v->kind];
}

bool pn_truth(const pn_value *v) {
    switch ((pn_kind)v->kind) {
    case PN_V_UNSET:
    case PN_V_UNDEFINED:
    case PN_V_NONE: return false;
    case PN_V_BOOL: return v->b;
    case PN_V_INT: return v->i != 0;
    case PN_V_FLOAT: return v->f != 0;
    case PN_V_STRING: return v->text->n != 0;
    case PN_V_LIST:
    case PN_V_TUPLE:
    case PN_V_VIEW: return v->list->n != 0;
    case PN_V_DICT: return v->dict->n != 0;
    case PN_V_RANGE: return v->range->n != 0;
    default: return true;
    }
}

/* ---- lists and dicts ----------------------------------------------------------------------------------- */

bool pn_list_new(pn_render *r, pn_kind kind, const char *type, pn_value *out) {
    pn_list *list = pn_r_alloc(r, sizeof *list);
    if (!list) return false;
    *list = (pn_list){.type = type};
    *out = (pn_value){.kind = (uint8_t)kind, .list = list};
    return true;
}

bool pn_list_add(pn_render *r, pn_list *list, pn_value item) {
    if (list->n == list->cap) {
        const size_t cap = list->cap ? list->cap * 2 : 4;
        pn_value *items = pn_r_array(r, cap, sizeof *items);
        if (!items || !pn_r_charge(r, cap / 16)) return false;
        if (list->n) memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = item;
    return true;
}

bool pn_dict_new(pn_render *r, pn_value *out) {
    pn_dict *d = pn_r_alloc(r, sizeof *d);
    if (!d) return false;
    *d = (pn_dict){0};
    *out = (pn_value){.kind = PN_V_DICT, .dict = d};
    return true;
}

static uint64_t mix(uint64_t a, uint64_t b) {
    const uint64_t both[2] = {a, b};
    return pn_hash(both, sizeof both);
}

/* Equal keys have equal hashes: 1, 1.0 and True are one key. */
static bool hash_value(pn_render *r, const pn_value *v, int depth, uint64_t *hash) {
    *hash = v->kind;
    if (depth > PN_TMPL_MAX_VALUE_DEPTH)
        return pn_r_limit(r, "a value nested deeper than %d", PN_TMPL_MAX_VALUE_DEPTH);
    switch ((pn_kind)v->kind) {
    case PN_V_STRING:
        *hash = pn_hash(v->text->data, v->text->n);
        return pn_r_charge(r, v->text->n / 64);
    case PN_V_BOOL: *hash = mix(1, (uint64_t)v->b); return true;
    case PN_V_INT: *hash = mix(1, (uint64_t)v->i); return true;
    case PN_V_FLOAT:
        if (v->f >= -9e18 && v->f <= 9e18 && v->f == floor(v->f))
            *hash = mix(1, (uint64_t)(int64_t)v->f);
        else
            memcpy(hash, &v->f, sizeof *hash);
        return true;
    case PN_V_TUPLE:
        for (size_t i = 0; i < v->list->n; i++) {
            uint64_t h;
            if (!hash_value(r, &v->list->items[i], depth + 1, &h)) return false;
            *hash = mix(*hash, h);
        }
        return pn_r_charge(r, v->list->n);
    case PN_V_LIST:
    case PN_V_DICT: return pn_r_fail(r, "unhashable type: '%s'", pn_type_name(v));
    default: return true;
    }
}

#define SMALL_DICT 8

/* The entry of key, or NULL; *slot: where its index would go. */
static pn_entry *find_entry(pn_render *r, const pn_dict *d, const pn_value *key, uint64_t hash,
                            size_t *slot) {
    bool equal = false;
    if (!d->index) {
        for (size_t i = 0; i < d->n; i++)
            if (d->entries[i].hash == hash && pn_equal(r, &d->entries[i].key, key, &equal) && equal)
                return &d->entries[i];
        return NULL;
    }
    for (size_t i = hash & (d->index_cap - 1);; i = (i + 1) & (d->index_cap - 1)) {
        if (!d->index[i]) {
            *slot = i;
            return NULL;
        }
        pn_entry *e = &d->entries[d->index[i] - 1];
        if (e->hash == hash && pn_equal(r, &e->key, key, &equal) && equal) return e;
    }
}

static bool grow_dict(pn_render *r, pn_dict *d) {
    const size_t cap = d->cap ? d->cap * 2 : 4;
    pn_entry *entries = pn_r_array(r, cap, sizeof *entries);
    if (!entries || !pn_r_charge(r, cap / 4)) return false;
    if (d->n) memcpy(entries, d->entries, d->n * sizeof *entries);
    d->entries = entries;
    d->cap = cap;
    if (cap <= SMALL_DICT) return true;
    const size_t index_cap = cap * 2;
    uint32_t *index = pn_r_array(r, index_cap, sizeof *index);
    if (!index) return false;
    memset(index, 0, index_cap * sizeof *index);
    for (size_t i = 0; i < d->n; i++) {
        size_t at = entries[i].hash & (index_cap - 1);
        while (index[at]) at = (at + 1) & (index_cap - 1);
        index[at] = (uint32_t)i + 1;
    }
    d->index = index;
    d->index_cap = index_cap;
    return true;
}

bool pn_dict_set(pn_render *r, pn_dict *d, pn_value key, pn_value value) {
    uint64_t hash;
    size_t slot = 0;
    if (d->n == d->cap && !grow_dict(r, d)) return false;
    if (!hash_value(r, &key, 0, &hash)) return false;
    pn_entry *e = find_entry(r, d, &key, hash, &slot);
    if (r->status) return false;
    if (e) {
        e->value = value;
        return true;
    }
    d->entries[d->n++] = (pn_entry){key, value, hash};
    if (d->index) d->index[slot] = (uint32_t)d->n;
    return true;
}

bool pn_dict_get(pn_render *r, const pn_dict *d, const pn_value *key, pn_value **found) {
    uint64_t hash;
    size_t slot;
    *found = NULL;
    if (!hash_value(r, key, 0, &hash)) return false;
    pn_entry *e = find_entry(r, d, key, hash, &slot);
    if (e) *found = &e->value;
    return !r->status;
}

/* ---- undefined ------------------------------------------------------------------------------------------ */

static bool new_undefined(pn_render *r, pn_undefined u, pn_value *out) {
    pn_undefined *copy = pn_r_alloc(r, sizeof *copy);
    if (!copy) return false;
    *copy = u;
    *out = (pn_value){.kind = PN_V_UNDEFINED, .undefined = copy};
    return true;
}

bool pn_undefined_name(pn_render *r, const char *name, size_t n, pn_value *out) {
    pn_undefined u = {0};
    return pn_text_value(r, name, n, 0, &u.name) && new_undefined(r, u, out);
}

bool pn_undefined_attr(pn_render *r, const pn_value *object, pn_value name, pn_value *out) {
    return new_undefined(r, (pn_undefined){.type = pn_type_name(object), .name = name}, out);
}

bool pn_undefined_hint(pn_render *r, const char *hint, pn_value *out) {
    return new_undefined(r, (pn_undefined){.hint = hint}, out);
}

bool pn_undefined_fail(pn_render *r, const pn_value *v) {
    const pn_undefined *u = v->undefined;
    char name[PN_ESCAPED_BYTES] = "";
    if (u->hint) return pn_r_fail(r, "%s", u->hint);
    if (u->name.kind == PN_V_STRING) pn_escape(name, u->name.text->data, u->name.text->n);
    if (u->secret)
        return pn_r_fail(r, "access to attribute '%s' of '%s' object is unsafe.", name, u->type);
    if (!u->type) return pn_r_fail(r, "'%s' is undefined", name);
    const bool none = strcmp(u->type, "NoneType") == 0;
    if (u->name.kind != PN_V_STRING) {
        pn_builder b = pn_builder_new(r);
        pn_value text;
        if (!pn_print_repr(&b, &u->name) || !pn_builder_text(&b, &text)) return false;
        pn_escape(name, text.text->data, text.text->n);
        return pn_r_fail(r, "%s has no element %s", none ? "None" : u->type, name);
    }
    return pn_r_fail(r, "'%s%s' has no attribute '%s'", none ? "None" : u->type,
                     none ? "" : " object", name);
}

/* ---- equality and order --------------------------------------------------------------------------------- */

static bool equal_at(pn_render *r, const pn_value *a, const pn_value *b, int depth, bool *equal);

static bool equal_lists(pn_render *r, const pn_list *a, const pn_list *b, int depth, bool *equal) {
    *equal = a->n == b->n;
    for (size_t i = 0; *equal && i < a->n; i++)
        if (!equal_at(r, &a->items[i], &b->items[i], depth + 1, equal)) return false;
    return true;
}

static bool equal_dicts(pn_render *r, const pn_dict *a, const pn_dict *b, int depth, bool *equal) {
    *equal = a->n == b->n;
    for (size_t i = 0; *equal && i < a->n; i++) {
        pn_value *other;
        if (!pn_dict_get(r, b, &a->entries[i].key, &other)) return false;
        *equal = other != NULL;
        if (other && !equal_at(r, &a->entries[i].value, other, depth + 1, equal)) return false;
    }
    return true;
}

static int compare_numbers(pn_render *r, const pn_value *a, const pn_value *b) {
    if (a->kind == PN_V_FLOAT || b->kind == PN_V_FLOAT) {
        const double x = pn_as_double(a), y = pn_as_double(b);
        return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2; /* 2: NaN */
    }
    if (a->kind == PN_V_BIG || b->kind == PN_V_BIG) return pn_big_compare(r, a, b);
    const int64_t x = a->kind == PN_V_BOOL ? a->b : a->i, y = b->kind == PN_V_BOOL ? b->b : b->i;
    return x < y ? -1 : x > y;
}

static bool equal_at(pn_render *r, const pn_value *a, const pn_value *b, int depth, bool *equal) {
    if (!pn_r_charge(r, 1)) return false;
    if (depth > PN_TMPL_MAX_VALUE_DEPTH)
        return pn_r_limit(r, "a value nested deeper than %d", PN_TMPL_MAX_VALUE_DEPTH);
    *equal = false;
    if (pn_is_number(a) && pn_is_number(b)) {
        *equal = compare_numbers(r, a, b) == 0;
        return !r->status;
    }
    if (a->kind != b->kind) return true;
    switch ((pn_kind)a->kind) {
    case PN_V_NONE: *equal = true; return true;
    case PN_V_UNDEFINED: *equal = true; return true;
    case PN_V_STRING:
        *equal = a->text->n == b->text->n && memcmp(a->text->data, b->text->data, a->text->n) == 0;
        return pn_r_charge(r, *equal ? a->text->n / 64 : 0);
    case PN_V_LIST:
    case PN_V_TUPLE: return equal_lists(r, a->list, b->list, depth, equal);
    case PN_V_DICT: return equal_dicts(r, a->dict, b->dict, depth, equal);
    case PN_V_RANGE:
        *equal = a->range->n == b->range->n &&
                 (!a->range->n || (a->range->start == b->range->start &&
                                   (a->range->n == 1 || a->range->step == b->range->step)));
        return true;
    default: *equal = a->list == b->list; return true; /* the same object */
    }
}

bool pn_equal(pn_render *r, const pn_value *a, const pn_value *b, bool *equal) {
    return equal_at(r, a, b, 0, equal);
}

static bool compare_at(pn_render *r, const pn_value *a, const pn_value *b, const char *op,
                       int depth, int *order) {
    if (!pn_r_charge(r, 1)) return false;
    if (depth > PN_TMPL_MAX_VALUE_DEPTH)
        return pn_r_limit(r, "a value nested deeper than %d", PN_TMPL_MAX_VALUE_DEPTH);
    if (a->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, a);
    if (b->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, b);
    if (pn_is_number(a) && pn_is_number(b)) {
        *order = compare_numbers(r, a, b);
        return !r->status;
    }
    if (a->kind == PN_V_STRING && b->kind == PN_V_STRING) {
        const size_t n = a->text->n < b->text->n ? a->text->n : b->text->n;
        const int c = n ? memcmp(a->text->data, b->text->data, n)
                        : 0; /* UTF-8 keeps the order of code points */
        *order = c ? c : (a->text->n > b->text->n) - (a->text->n < b->text->n);
        return pn_r_charge(r, n / 64);
    }
    if (a->kind != b->kind || (a->kind != PN_V_LIST && a->kind != PN_V_TUPLE))
        return pn_r_fail(r, "'%s' not supported between instances of '%s' and '%s'", op,
                         pn_type_name(a), pn_type_name(b));
    for (size_t i = 0; i < a->list->n && i < b->list->n; i++) {
        bool equal;
        if (!pn_equal(r, &a->list->items[i], &b->list->items[i], &equal)) return false;
        if (!equal)
            return compare_at(r, &a->list->items[i], &b->list->items[i], op, depth + 1, order);
    }
    *order = (a->list->n > b->list->n) - (a->list->n < b->list->n);
    return true;
}

bool pn_compare(pn_render *r, const pn_value *a, const pn_value *b, const char *op, int *order) {
    return compare_at(r, a, b, op, 0, order);
}

bool pn_contains(pn_render *r, const pn_value *container, const pn_value *item, bool *found) {
    *found = false;
    if (container->kind == PN_V_STRING) {
        if (item->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, item);
        if (item->kind != PN_V_STRING)
            return pn_r_fail(r, "'in <string>' requires string as left operand, not %s",
                             pn_type_name(item));
        *found = pn_text_find(r, container->text, item->text, 0, container->text->n) != SIZE_MAX;
        return !r->status;
    }
    if (container->kind == PN_V_DICT) {
        pn_value *value;
        if (!pn_dict_get(r, container->dict, item, &value)) return false;
        *found = value != NULL;
        return true;
    }
    pn_iter it;
    if (container->kind != PN_V_UNDEFINED && !pn_is_list_like(container) &&
        container->kind != PN_V_RANGE)
        return pn_r_fail(r, "argument of type '%s' is not iterable", pn_type_name(container));
    if (!pn_iter_open(r, container, &it)) return false;
    for (bool more = true; !*found;) {
        pn_value v;
        if (!pn_iter_next(r, &it, &v, &more)) return false;
        if (!more) break;
        if (!pn_equal(r, &v, item, found)) return false;
    }
    return true;
}

bool pn_length(pn_render *r, const pn_value *v, int64_t *n) {
    switch ((pn_kind)v->kind) {
    case PN_V_UNDEFINED: *n = 0; return true;
    case PN_V_STRING: *n = (int64_t)pn_text_chars(v->text); return pn_r_charge(r, v->text->n / 64);
    case PN_V_LIST:
    case PN_V_TUPLE:
    case PN_V_VIEW: *n = (int64_t)v->list->n; return true;
    case PN_V_DICT: *n = (int64_t)v->dict->n; return true;
    case PN_V_RANGE: *n = v->range->n; return true;
    default: return pn_r_fail(r, "object of type '%s' has no len()", pn_type_name(v));
    }
}

/* ---- walking -------------------------------------------------------------------------------------------- */

bool pn_iter_open(pn_render *r, const pn_value *v, pn_iter *it) {
    *it = (pn_iter){.source = *v};
    if (pn_is_list_like(v) || v->kind == PN_V_STRING || v->kind == PN_V_DICT ||
        v->kind == PN_V_RANGE || v->kind == PN_V_UNDEFINED)
        return true;
    return pn_r_fail(r, "'%s' object is not iterable", pn_type_name(v));
}

static bool next_character(pn_render *r, pn_iter *it, pn_value *item) {
    const pn_text *text = it->source.text;
    uint32_t code;
    const size_t len = pn_uni_decode(text->data + it->at, text->n - it->at, &code);
    it->at += len;
    return pn_text_slice(r, text, it->at - len, it->at, item);
}

bool pn_iter_next(pn_render *r, pn_iter *it, pn_value *item, bool *more) {
    const pn_value *v = &it->source;
    *more = false;
    if (!pn_r_charge(r, 1)) return false;
    switch ((pn_kind)v->kind) {
    case PN_V_ITER:
        if (v->list->pos >= v->list->n) return true;
        *item = v->list->items[v->list->pos++];
        break;
    case PN_V_LIST:
    case PN_V_TUPLE:
    case PN_V_VIEW:
        if (it->at >= v->list->n) return true;
        *item = v->list->items[it->at++];
        break;
    case PN_V_DICT:
        if (it->at >= v->dict->n) return true;
        *item = v->dict->entries[it->at++].key;
        break;
    case PN_V_STRING:
        if (it->at >= v->text->n) return true;
        if (!next_character(r, it, item)) return false;
        break;
    case PN_V_RANGE:
        if (it->index >= v->range->n) return true;
        *item = pn_int(v->range->start + it->index++ * v->range->step);
        break;
    default: return true;
    }
    *more = true;
    return true;
}

bool pn_items_of(pn_render *r, const pn_value *v, pn_list **out) {
    if (v->kind == PN_V_LIST || v->kind == PN_V_TUPLE || v->kind == PN_V_VIEW) {
        *out = v->list;
        return true;
    }
    pn_iter it;
    pn_value list, item;
    bool more;
    if (!pn_list_new(r, PN_V_LIST, NULL, &list) || !pn_iter_open(r, v, &it)) return false;
    while (pn_iter_next(r, &it, &item, &more) && more)
        if (!pn_list_add(r, list.list, item)) return false;
    *out = list.list;
    return !r->status;
}

/* ---- sorting: a stable merge sort of row numbers, so that failing comparisons leave nothing half done ----- */

typedef struct sorter {
    pn_render *r;
    const pn_value *rows;
    size_t width;
    bool reverse;
} sorter;

static bool merge(const sorter *s, size_t *a, size_t *tmp, size_t lo, size_t mid, size_t hi) {
    size_t i = lo, k = mid;
    for (size_t o = lo; o < hi; o++) {
        bool left = k >= hi;
        if (i < mid && k < hi) {
            int order;
            if (!pn_compare(s->r, &s->rows[a[k] * s->width], &s->rows[a[i] * s->width], "<",
                            &order))
                return false;
            left = s->reverse ? order <= 0 : order >= 0;
        }
        tmp[o] = left ? a[i++] : a[k++];
    }
    memcpy(a + lo, tmp + lo, (hi - lo) * sizeof *a);
    return true;
}

bool pn_sort_rows(pn_render *r, pn_value *rows, size_t n, size_t width, bool reverse) {
    const sorter s = {r, rows, width, reverse};
    size_t *order = pn_r_array(r, n, sizeof *order), *tmp = pn_r_array(r, n, sizeof *tmp);
    pn_value *copy = pn_r_array(r, n * width, sizeof *copy);
    if (!order || !tmp || !copy) return false;
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t step = 1; step < n; step *= 2)
        for (size_t lo = 0; lo + step < n; lo += 2 * step)
            if (!merge(&s, order, tmp, lo, lo + step, lo + 2 * step < n ? lo + 2 * step : n))
                return false;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < width; k++) copy[i * width + k] = rows[order[i] * width + k];
    if (n) memcpy(rows, copy, n * width * sizeof *rows);
    return true;
}
