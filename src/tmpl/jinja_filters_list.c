/* jinja_filters_list.c: filters whose subject is a list, a dict or anything. Those that Python makes lazy give an
 * iterator that can be walked once. */
#include "tmpl/jinja_render.h"
#include "tmpl/jinja_textops.h"

#include <string.h>

static bool new_iter(pn_render *r, pn_value *out) {
    return pn_list_new(r, PN_V_ITER, "generator", out);
}

static bool filter_default(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    bool falsy = false;
    (void)args;
    if (!pn_arg_bool(r, &slots[2], &falsy)) return false;
    *out = slots[0];
    if (slots[0].kind != PN_V_UNDEFINED && !(falsy && !pn_truth(&slots[0]))) return true;
    *out = slots[1];
    return slots[1].kind || pn_text_value(r, "", 0, 0, out);
}

static bool filter_length(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    int64_t n;
    (void)args;
    if (!pn_length(r, &slots[0], &n)) return false;
    *out = pn_int(n);
    return true;
}

static bool copy_items(pn_render *r, const pn_value *v, pn_kind kind, pn_value *out) {
    pn_iter it;
    pn_value item;
    bool more;
    if (!pn_list_new(r, kind, NULL, out) || !pn_iter_open(r, v, &it)) return false;
    while (pn_iter_next(r, &it, &item, &more) && more)
        if (!pn_list_add(r, out->list, item)) return false;
    if (pn_is_list_like(v)) out->origin = v->origin;
    return !r->status;
}

static bool filter_list(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    (void)args;
    return copy_items(r, &slots[0], PN_V_LIST, out);
}

static bool filter_first(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    pn_iter it;
    bool more;
    (void)args;
    if (!pn_iter_open(r, &slots[0], &it) || !pn_iter_next(r, &it, out, &more)) return false;
    return more || pn_undefined_hint(r, "No first item, sequence was empty.", out);
}

static bool filter_last(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_value at = pn_int(-1);
    pn_list *items;
    (void)args;
    if (slots[0].kind == PN_V_STRING && slots[0].text->n)
        return pn_get_item(r, &slots[0], &at, out);
    if (!pn_items_of(r, &slots[0], &items)) return false;
    if (!items->n) return pn_undefined_hint(r, "No last item, sequence was empty.", out);
    *out = items->items[items->n - 1];
    return true;
}

static bool filter_reverse(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_value parts[3] = {pn_none(), pn_none(), pn_int(-1)};
    pn_list *items;
    (void)args;
    if (slots[0].kind == PN_V_STRING) return pn_get_slice(r, &slots[0], parts, out);
    if (!pn_items_of(r, &slots[0], &items) || !new_iter(r, out)) return false;
    out->list->type = "list_reverseiterator";
    for (size_t i = items->n; i > 0; i--)
        if (!pn_list_add(r, out->list, items->items[i - 1])) return false;
    return pn_r_charge(r, items->n / 8);
}

static bool filter_items(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    (void)args;
    if (!new_iter(r, out)) return false;
    if (slots[0].kind == PN_V_UNDEFINED) return true;
    if (slots[0].kind != PN_V_DICT) return pn_r_fail(r, "Can only get item pairs from a mapping.");
    for (size_t i = 0; i < slots[0].dict->n; i++) {
        pn_value pair;
        const pn_entry *e = &slots[0].dict->entries[i];
        if (!pn_list_new(r, PN_V_TUPLE, NULL, &pair) || !pn_list_add(r, pair.list, e->key) ||
            !pn_list_add(r, pair.list, e->value))
            return false;
        if (!pn_list_add(r, out->list, pair)) return false;
    }
    return pn_r_charge(r, slots[0].dict->n);
}

/* value or value.path */
static bool member(pn_render *r, const pn_value *v, const pn_value *path, pn_value *out) {
    *out = *v;
    return path->kind == PN_V_UNSET || path->kind == PN_V_NONE || pn_get_path(r, v, path, out);
}

static bool filter_join(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *between = NULL;
    pn_builder b = pn_builder_new(r);
    pn_iter it;
    pn_value item, v;
    bool more;
    (void)args;
    if (slots[1].kind && !pn_to_text(r, &slots[1], &between)) return false;
    if (!pn_iter_open(r, &slots[0], &it)) return false;
    for (bool first = true; pn_iter_next(r, &it, &item, &more) && more; first = false) {
        if (!first && between && !pn_put_text(&b, between)) return false;
        if (!member(r, &item, &slots[2], &v) || !pn_print(&b, &v)) return false;
    }
    return pn_builder_text(&b, out);
}

/* ---- map, select, reject --------------------------------------------------------------------------------------- */

/* The arguments behind the first n. */
static pn_args rest_of(const pn_args *args, size_t n) {
    pn_args rest = *args;
    rest.pos += n;
    rest.n_pos -= n;
    return rest;
}

static const pn_value *keyword(const pn_args *args, const char *name) {
    for (size_t i = 0; i < args->n_kw; i++)
        if (pn_text_is(args->kw[2 * i].text, name)) return &args->kw[2 * i + 1];
    return NULL;
}

static bool map_attribute(pn_render *r, const pn_value *v, const pn_value *path,
                          const pn_value *missing, pn_value *out) {
    if (!pn_get_path(r, v, path, out)) return false;
    if (missing && out->kind == PN_V_UNDEFINED) *out = *missing;
    return true;
}

static bool filter_map(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_value *path = args->n_pos ? NULL : keyword(args, "attribute"),
                   *missing = keyword(args, "default");
    const pn_text *name = NULL;
    pn_iter it;
    pn_value item, v;
    bool more;
    if (!pn_truth(&slots[0])) return new_iter(r, out); /* none has no items either */
    if (!path && !args->n_pos) return pn_r_fail(r, "map requires a filter argument");
    if (!path && !pn_arg_text(r, &args->pos[0], "map(): filter", &name)) return false;
    const pn_args rest = path ? *args : rest_of(args, 1);
    if (!new_iter(r, out) || !pn_iter_open(r, &slots[0], &it)) return false;
    while (pn_iter_next(r, &it, &item, &more) && more) {
        if (!(path ? map_attribute(r, &item, path, missing, &v)
                   : pn_call_filter(r, name, &item, &rest, &v)))
            return false;
        if (!pn_list_add(r, out->list, v)) return false;
    }
    return !r->status;
}

/* with_attr: the first argument is the attribute to test. */
static bool choose(pn_render *r, const pn_value *v, const pn_args *args, bool with_attr,
                   bool wanted, pn_value *out) {
    const size_t first = with_attr;
    const pn_text *name = NULL;
    pn_iter it;
    pn_value item, tested;
    bool more;
    if (!pn_truth(v)) return new_iter(r, out); /* none has no items either */
    if (args->n_pos < first) return pn_r_fail(r, "Missing parameter for attribute name");
    if (args->n_pos > first && !pn_arg_text(r, &args->pos[first], "the name of a test", &name))
        return false;
    const pn_args rest = name ? rest_of(args, first + 1) : (pn_args){0};
    if (!new_iter(r, out) || !pn_iter_open(r, v, &it)) return false;
    while (pn_iter_next(r, &it, &item, &more) && more) {
        tested = item;
        if (with_attr && !pn_get_path(r, &item, &args->pos[0], &tested)) return false;
        bool yes = pn_truth(&tested);
        if (name && !pn_call_test(r, name, &tested, &rest, &yes)) return false;
        if (yes == wanted && !pn_list_add(r, out->list, item)) return false;
    }
    return !r->status;
}

static bool filter_select(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    return choose(r, &slots[0], args, false, true, out);
}

static bool filter_reject(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    return choose(r, &slots[0], args, false, false, out);
}

static bool filter_selectattr(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    return choose(r, &slots[0], args, true, true, out);
}

static bool filter_rejectattr(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    return choose(r, &slots[0], args, true, false, out);
}

/* ---- sorting and grouping ----------------------------------------------------------------------------------------- */

/* Lower case for text unless case counts. */
static bool sort_key(pn_render *r, const pn_value *v, bool case_sensitive, pn_value *out) {
    *out = *v;
    return case_sensitive || v->kind != PN_V_STRING || pn_text_map(r, v->text, PN_MAP_LOWER, out);
}

static bool one_key(pn_render *r, const pn_value *item, const pn_value *attr, bool case_sensitive,
                    pn_value *out) {
    pn_value v;
    return member(r, item, attr, &v) && sort_key(r, &v, case_sensitive, out);
}

/* What sort() compares, for "a,b.c" as for one attribute and none: a tuple. So values are first compared for
 * equality, and undefined ones are equal. */
static bool tuple_of_keys(pn_render *r, const pn_value *item, const pn_value *attr,
                          bool case_sensitive, pn_value *out) {
    pn_value v, part, key;
    if (!pn_list_new(r, PN_V_TUPLE, NULL, out)) return false;
    if (attr->kind != PN_V_STRING)
        return one_key(r, item, attr, case_sensitive, &key) && pn_list_add(r, out->list, key);
    for (size_t at = 0; at <= attr->text->n;) {
        const char *comma = memchr(attr->text->data + at, ',', attr->text->n - at);
        const size_t end = comma ? (size_t)(comma - attr->text->data) : attr->text->n;
        if (!pn_text_slice(r, attr->text, at, end, &part) || !pn_get_path(r, item, &part, &v))
            return false;
        if (!sort_key(r, &v, case_sensitive, &key) || !pn_list_add(r, out->list, key)) return false;
        at = end + 1;
    }
    return true;
}

/* rows: key, item, key, item ... in the order of the keys. */
static bool sorted_rows(pn_render *r, const pn_value *v, const pn_value *attr, bool multi,
                        bool case_sensitive, bool reverse, pn_list **out) {
    pn_value rows, key;
    pn_list *items;
    if (!pn_items_of(r, v, &items) || !pn_list_new(r, PN_V_LIST, NULL, &rows)) return false;
    for (size_t i = 0; i < items->n; i++) {
        if (!(multi ? tuple_of_keys : one_key)(r, &items->items[i], attr, case_sensitive, &key))
            return false;
        if (!pn_list_add(r, rows.list, key) || !pn_list_add(r, rows.list, items->items[i]))
            return false;
    }
    *out = rows.list;
    return pn_sort_rows(r, rows.list->items, items->n, 2, reverse);
}

static bool filter_sort(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    bool reverse = false, sensitive = false;
    pn_list *rows;
    (void)args;
    if (!pn_arg_bool(r, &slots[1], &reverse) || !pn_arg_bool(r, &slots[2], &sensitive))
        return false;
    if (!sorted_rows(r, &slots[0], &slots[3], true, sensitive, reverse, &rows) ||
        !pn_list_new(r, PN_V_LIST, NULL, out))
        return false;
    for (size_t i = 1; i < rows->n; i += 2)
        if (!pn_list_add(r, out->list, rows->items[i])) return false;
    return true;
}

static bool filter_dictsort(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    bool sensitive = false, reverse = false;
    const pn_text *by = NULL;
    pn_value pairs, at = pn_int(0);
    pn_list *rows;
    (void)args;
    if (slots[0].kind == PN_V_UNDEFINED) return pn_undefined_fail(r, &slots[0]);
    if (slots[0].kind != PN_V_DICT)
        return pn_r_fail(r, "dictsort needs a dict, not %s", pn_type_name(&slots[0]));
    if (!pn_arg_bool(r, &slots[1], &sensitive) ||
        !pn_arg_text(r, &slots[2], "dictsort(): by", &by) || !pn_arg_bool(r, &slots[3], &reverse))
        return false;
    if (by && pn_text_is(by, "value"))
        at = pn_int(1);
    else if (by && !pn_text_is(by, "key"))
        return pn_r_fail(r, "You can only sort by either \"key\" or \"value\"");
    if (!filter_items(r, slots, args, &pairs) ||
        !sorted_rows(r, &pairs, &at, false, sensitive, reverse, &rows))
        return false;
    if (!pn_list_new(r, PN_V_LIST, NULL, out)) return false;
    for (size_t i = 1; i < rows->n; i += 2)
        if (!pn_list_add(r, out->list, rows->items[i])) return false;
    return true;
}

static bool filter_unique(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    bool sensitive = false, more;
    pn_value seen, item, key, *found;
    pn_iter it;
    (void)args;
    if (!pn_arg_bool(r, &slots[1], &sensitive) || !new_iter(r, out) || !pn_dict_new(r, &seen))
        return false;
    if (!pn_iter_open(r, &slots[0], &it)) return false;
    while (pn_iter_next(r, &it, &item, &more) && more) {
        if (!one_key(r, &item, &slots[2], sensitive, &key) ||
            !pn_dict_get(r, seen.dict, &key, &found))
            return false;
        if (found) continue;
        if (!pn_dict_set(r, seen.dict, key, pn_none()) || !pn_list_add(r, out->list, item))
            return false;
    }
    return !r->status;
}

static bool extreme(pn_render *r, pn_value *slots, bool max, pn_value *out) {
    bool sensitive = false, more;
    pn_value item, key, best = {0};
    pn_iter it;
    int order = 0;
    if (!pn_arg_bool(r, &slots[1], &sensitive) || !pn_iter_open(r, &slots[0], &it)) return false;
    while (pn_iter_next(r, &it, &item, &more) && more) {
        if (!one_key(r, &item, &slots[2], sensitive, &key)) return false;
        if (best.kind && !pn_compare(r, &key, &best, max ? ">" : "<", &order)) return false;
        if (best.kind && (max ? order <= 0 || order == 2 : order >= 0)) continue;
        best = key;
        *out = item;
    }
    if (r->status) return false;
    return best.kind || pn_undefined_hint(r, "No aggregated item, sequence was empty.", out);
}

static bool filter_min(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    (void)args;
    return extreme(r, slots, false, out);
}

static bool filter_max(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    (void)args;
    return extreme(r, slots, true, out);
}

static bool filter_sum(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    pn_value item, v;
    pn_iter it;
    bool more;
    (void)args;
    pn_value total = slots[2].kind ? slots[2] : pn_int(0);
    if (!pn_iter_open(r, &slots[0], &it)) return false;
    while (pn_iter_next(r, &it, &item, &more) && more)
        if (!member(r, &item, &slots[1], &v) || !pn_binary(r, PN_T_ADD, &total, &v, out)) {
            return false;
        } else {
            total = *out;
        }
    *out = total;
    return !r->status;
}

/* (grouper, list) tuples in the order of the groupers. */
static bool filter_groupby(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    bool sensitive = false;
    pn_value rows, key, v, group = {0}, list = {0};
    pn_list *items;
    (void)args;
    if (!pn_arg_bool(r, &slots[3], &sensitive) || !pn_items_of(r, &slots[0], &items)) return false;
    if (!pn_list_new(r, PN_V_LIST, NULL, &rows) || !pn_list_new(r, PN_V_LIST, NULL, out))
        return false;
    for (size_t i = 0; i < items->n; i++) { /* rows of key, grouper, item */
        if (!pn_get_path(r, &items->items[i], &slots[1], &v)) return false;
        if (v.kind == PN_V_UNDEFINED && slots[2].kind) v = slots[2];
        if (!sort_key(r, &v, sensitive, &key) || !pn_list_add(r, rows.list, key) ||
            !pn_list_add(r, rows.list, v) || !pn_list_add(r, rows.list, items->items[i]))
            return false;
    }
    if (!pn_sort_rows(r, rows.list->items, items->n, 3, false)) return false;
    for (size_t i = 0; i < rows.list->n; i += 3) {
        bool same = false;
        const pn_value *row = &rows.list->items[i];
        if (i && !pn_equal(r, &row[-3], &row[0], &same)) return false;
        if (!same) {
            if (!pn_list_new(r, PN_V_TUPLE, "group", &group) ||
                !pn_list_new(r, PN_V_LIST, NULL, &list))
                return false;
            if (!pn_list_add(r, group.list, row[1]) || !pn_list_add(r, group.list, list) ||
                !pn_list_add(r, out->list, group))
                return false;
        }
        if (!pn_list_add(r, list.list, row[2])) return false;
    }
    return true;
}

/* ---- portions ------------------------------------------------------------------------------------------------------ */

static bool filter_batch(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    int64_t size = 0;
    pn_value row = {0}, item;
    pn_iter it;
    bool more;
    (void)args;
    if (!pn_arg_int(r, &slots[1], "batch(): linecount", &size) || !new_iter(r, out) ||
        !pn_iter_open(r, &slots[0], &it))
        return false;
    if (!pn_list_new(r, PN_V_LIST, NULL, &row)) return false;
    while (pn_iter_next(r, &it, &item, &more) && more) {
        if ((int64_t)row.list->n == size) {
            if (!pn_list_add(r, out->list, row) || !pn_list_new(r, PN_V_LIST, NULL, &row))
                return false;
        }
        if (!pn_list_add(r, row.list, item)) return false;
    }
    if (r->status) return false;
    const bool fill = slots[2].kind && slots[2].kind != PN_V_NONE;
    while (fill && row.list->n && (int64_t)row.list->n < size)
        if (!pn_list_add(r, row.list, slots[2]) || !pn_r_charge(r, 1)) return false;
    return !row.list->n || pn_list_add(r, out->list, row);
}

static bool filter_slice(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    int64_t slices = 0;
    pn_list *items;
    (void)args;
    if (!pn_arg_int(r, &slots[1], "slice(): slices", &slices) || !pn_items_of(r, &slots[0], &items))
        return false;
    if (slices == 0) return pn_r_fail(r, "integer division or modulo by zero");
    if (!new_iter(r, out)) return false;
    if (slices < 0) return true;
    if ((uint64_t)slices > r->max_steps)
        return pn_r_limit(r, "the template exceeds %llu steps", (unsigned long long)r->max_steps);
    const size_t each = items->n / (size_t)slices, longer = items->n % (size_t)slices;
    size_t at = 0;
    for (size_t k = 0; k < (size_t)slices; k++) {
        pn_value row;
        const size_t n = each + (k < longer);
        if (!pn_r_charge(r, 1 + n / 8) || !pn_list_new(r, PN_V_LIST, NULL, &row)) return false;
        for (size_t i = 0; i < n; i++)
            if (!pn_list_add(r, row.list, items->items[at++])) return false;
        if (slots[2].kind && slots[2].kind != PN_V_NONE && k >= longer &&
            !pn_list_add(r, row.list, slots[2]))
            return false;
        if (!pn_list_add(r, out->list, row)) return false;
    }
    return true;
}

/* An attribute, never a key. */
static bool filter_attr(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *name = NULL;
    (void)args;
    if (slots[0].kind == PN_V_UNDEFINED) return pn_undefined_fail(r, &slots[0]);
    if (!pn_arg_text(r, &slots[1], "attr(): name", &name)) return false;
    pn_value *key = NULL;
    if (slots[0].kind == PN_V_DICT && !pn_dict_get(r, slots[0].dict, &slots[1], &key)) return false;
    if (!key || pn_find_builtin(pn_dict_methods, name->data, name->n))
        return pn_get_attr(r, &slots[0], &slots[1], out);
    return pn_undefined_attr(r, &slots[0], slots[1], out);
}

static bool filter_xmlattr(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    bool space = true, any = false;
    pn_builder b = pn_builder_new(r);
    (void)args;
    if (slots[0].kind != PN_V_DICT)
        return pn_r_fail(r, "xmlattr needs a dict, not %s", pn_type_name(&slots[0]));
    if (!pn_arg_bool(r, &slots[1], &space)) return false;
    for (size_t i = 0; i < slots[0].dict->n; i++) {
        const pn_entry *e = &slots[0].dict->entries[i];
        const pn_text *key, *value;
        if (e->value.kind == PN_V_NONE || e->value.kind == PN_V_UNDEFINED) continue;
        if (!pn_to_text(r, &e->key, &key) || !pn_to_text(r, &e->value, &value)) return false;
        for (size_t k = 0; k < key->n; k++)
            if (key->data[k] && strchr(" \t\n\r\f\v/>=", key->data[k]))
                return pn_r_fail(r, "Invalid character in attribute name");
        if (any || space)
            if (!pn_put_c(&b, " ", 0)) return false;
        any = true;
        if (!pn_put_escaped(&b, key) || !pn_put_c(&b, "=\"", 0) || !pn_put_escaped(&b, value) ||
            !pn_put_c(&b, "\"", 0))
            return false;
    }
    return pn_builder_text(&b, out);
}

const pn_builtin pn_filters_list[] = {
    {"default", "default_value,boolean", 0, filter_default},
    {"d", "default_value,boolean", 0, filter_default},
    {"length", "", 0, filter_length},
    {"count", "", 0, filter_length},
    {"list", "", 0, filter_list},
    {"first", "", 0, filter_first},
    {"last", "", 0, filter_last},
    {"reverse", "", 0, filter_reverse},
    {"items", "", 0, filter_items},
    {"join", "d,attribute", 0, filter_join},
    {"map", NULL, 0, filter_map},
    {"select", NULL, 0, filter_select},
    {"reject", NULL, 0, filter_reject},
    {"selectattr", NULL, 0, filter_selectattr},
    {"rejectattr", NULL, 0, filter_rejectattr},
    {"sort", "reverse,case_sensitive,attribute", 0, filter_sort},
    {"dictsort", "case_sensitive,by,reverse", 0, filter_dictsort},
    {"unique", "case_sensitive,attribute", 0, filter_unique},
    {"min", "case_sensitive,attribute", 0, filter_min},
    {"max", "case_sensitive,attribute", 0, filter_max},
    {"sum", "attribute,start", 0, filter_sum},
    {"groupby", "attribute,default,case_sensitive", 1, filter_groupby},
    {"batch", "linecount,fill_with", 1, filter_batch},
    {"slice", "slices,fill_with", 1, filter_slice},
    {"attr", "name", 1, filter_attr},
    {"xmlattr", "autospace", 0, filter_xmlattr},
    {NULL, NULL, 0, NULL},
};
