/* jinja_access.c: value.name, value[key], value[a:b:c].
 *
 * As in the sandbox: a name is first a method of the type, then a key; a key is first a key, then a method. What
 * begins with two underscores does not exist, methods that change a list or dict are hidden, and reading what is not
 * there gives an undefined value rather than a failure. */
#include "tmpl/jinja_render.h"
#include "tmpl/jinja_unicode.h"

#include <string.h>

static const pn_builtin *find_method(const pn_value *v, const pn_text *name) {
    const pn_builtin *found = NULL;
    switch ((pn_kind)v->kind) {
    case PN_V_STRING:
        found = pn_find_builtin(pn_text_methods, name->data, name->n);
        return found ? found : pn_find_builtin(pn_text_search_methods, name->data, name->n);
    case PN_V_LIST:
    case PN_V_TUPLE:
    case PN_V_RANGE: return pn_find_builtin(pn_list_methods, name->data, name->n);
    case PN_V_DICT: return pn_find_builtin(pn_dict_methods, name->data, name->n);
    case PN_V_BOOL:
    case PN_V_INT:
    case PN_V_FLOAT: return pn_find_builtin(pn_number_methods, name->data, name->n);
    case PN_V_CYCLER: return pn_find_builtin(pn_cycler_methods, name->data, name->n);
    default: return NULL;
    }
}

/* Methods of lists and dicts that change them. */
static bool changes_value(const pn_value *v, const pn_text *name) {
    static const char *const of_lists[] = {"append", "clear", "pop",    "reverse",
                                           "insert", "sort",  "extend", "remove"};
    static const char *const of_dicts[] = {"clear", "pop", "popitem", "setdefault", "update"};
    for (size_t i = 0; v->kind == PN_V_LIST && i < sizeof of_lists / sizeof *of_lists; i++)
        if (pn_text_is(name, of_lists[i])) return true;
    for (size_t i = 0; v->kind == PN_V_DICT && i < sizeof of_dicts / sizeof *of_dicts; i++)
        if (pn_text_is(name, of_dicts[i])) return true;
    return false;
}

static bool hidden_attr(pn_render *r, const pn_value *v, const pn_value *name, pn_value *out) {
    if (!pn_undefined_attr(r, v, *name, out)) return false;
    ((pn_undefined *)(uintptr_t)out->undefined)->secret = true;
    return true;
}

/* Data attributes: of loops, cyclers, namespaces, macros. */
static bool get_member(pn_render *r, const pn_value *v, const pn_text *name, pn_value *out,
                       bool *found) {
    *found = false;
    if (v->kind == PN_V_LOOP) return pn_loop_attr(r, v->loop, name, out, found);
    if (v->kind == PN_V_NAMESPACE) {
        const pn_value key = {.kind = PN_V_STRING, .text = name};
        pn_value *member;
        if (!pn_dict_get(r, v->dict, &key, &member)) return false;
        *found = member != NULL;
        if (member) *out = *member;
    } else if (v->kind == PN_V_CYCLER && pn_text_is(name, "current")) {
        *found = true;
        *out = v->list->items[v->list->pos];
    } else if (v->kind == PN_V_TUPLE && v->list->type) { /* what groupby gives */
        *found = pn_text_is(name, "grouper") || pn_text_is(name, "list");
        if (*found) *out = v->list->items[pn_text_is(name, "list")];
    } else if (v->kind == PN_V_MACRO && pn_text_is(name, "name")) {
        const char *text = pn_macro_name(v->macro);
        *found = true;
        return pn_text_value(r, text, strlen(text), 0, out);
    }
    return true;
}

/* A method or member; *found false: neither. */
static bool get_attribute(pn_render *r, const pn_value *v, const pn_value *name, pn_value *out,
                          bool *found) {
    const pn_text *text = name->text;
    *found = true;
    if (text->n >= 2 && memcmp(text->data, "__", 2) == 0) return hidden_attr(r, v, name, out);
    if (changes_value(v, text)) return hidden_attr(r, v, name, out);
    const pn_builtin *method = find_method(v, text);
    if (!method) return get_member(r, v, text, out, found);
    pn_method *bound = pn_r_alloc(r, sizeof *bound);
    if (!bound) return false;
    *bound = (pn_method){*v, method};
    *out = (pn_value){.kind = PN_V_METHOD, .method = bound};
    return true;
}

static int64_t length_of(const pn_value *v) {
    if (v->kind == PN_V_STRING) return (int64_t)pn_text_chars(v->text);
    return v->kind == PN_V_RANGE ? v->range->n : (int64_t)v->list->n;
}

/* Item i (0 <= i < length) of a text, list, tuple or range. */
static bool item_at(pn_render *r, const pn_value *v, int64_t i, pn_value *out) {
    if (v->kind == PN_V_RANGE) {
        *out = pn_int(v->range->start + i * v->range->step);
        return true;
    }
    if (v->kind != PN_V_STRING) {
        *out = v->list->items[i];
        return true;
    }
    const size_t at = pn_text_offset(v->text, (size_t)i);
    uint32_t code;
    const size_t len = pn_uni_decode(v->text->data + at, v->text->n - at, &code);
    return pn_text_slice(r, v->text, at, at + len, out);
}

static bool is_sequence(const pn_value *v) {
    return v->kind == PN_V_STRING || v->kind == PN_V_LIST || v->kind == PN_V_TUPLE ||
           v->kind == PN_V_RANGE;
}

/* v[key] as Python has it; *found false: LookupError, TypeError or AttributeError. */
static bool get_key(pn_render *r, const pn_value *v, const pn_value *key, pn_value *out,
                    bool *found) {
    *found = false;
    if (v->kind == PN_V_DICT) {
        pn_value *value = NULL;
        const bool hashable = key->kind != PN_V_LIST && key->kind != PN_V_DICT;
        if (hashable && !pn_dict_get(r, v->dict, key, &value)) return false;
        *found = value != NULL;
        if (value) *out = *value;
        return true;
    }
    if (!is_sequence(v) || (key->kind != PN_V_INT && key->kind != PN_V_BOOL)) return true;
    if (v->kind == PN_V_STRING && !pn_r_charge(r, v->text->n / 64)) return false;
    const int64_t n = length_of(v);
    int64_t i = key->kind == PN_V_BOOL ? key->b : key->i;
    if (i < 0) i += n;
    if (i < 0 || i >= n) return true;
    *found = true;
    return item_at(r, v, i, out);
}

bool pn_get_attr(pn_render *r, const pn_value *v, const pn_value *name, pn_value *out) {
    bool found;
    if (v->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, v);
    if (!get_attribute(r, v, name, out, &found)) return false;
    if (!found && !get_key(r, v, name, out, &found)) return false;
    return found || pn_undefined_attr(r, v, *name, out);
}

bool pn_get_item(pn_render *r, const pn_value *v, const pn_value *key, pn_value *out) {
    bool found;
    if (v->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, v);
    if (!get_key(r, v, key, out, &found)) return false;
    if (!found && key->kind == PN_V_STRING && !get_attribute(r, v, key, out, &found)) return false;
    return found || pn_undefined_attr(r, v, *key, out);
}

static bool slice_part(pn_render *r, const pn_value *v, int64_t missing, int64_t *out) {
    *out = missing;
    if (v->kind == PN_V_NONE || v->kind == PN_V_UNSET) return true;
    if (v->kind == PN_V_INT || v->kind == PN_V_BOOL) {
        *out = v->kind == PN_V_BOOL ? v->b : v->i;
        return true;
    }
    if (v->kind == PN_V_BIG) {
        *out = pn_big_is_negative(v->big) ? INT64_MIN : INT64_MAX;
        return true;
    }
    return pn_r_fail(r, "slice indices must be integers or None or have an __index__ method");
}

static int64_t clamp(int64_t i, int64_t n, int64_t low, int64_t high) {
    if (i < 0) i = i < -n ? -1 : i + n;
    return i < low ? low : i > high ? high : i;
}

/* Every step-th of n items: indices *start, *start + step ...; returns how many. */
static bool slice_indices(pn_render *r, const pn_value part[3], int64_t n, int64_t *start,
                          int64_t *step, int64_t *count) {
    int64_t stop;
    if (!slice_part(r, &part[2], 1, step)) return false;
    if (*step == 0) return pn_r_fail(r, "slice step cannot be zero");
    if (*step == INT64_MIN) *step = -INT64_MAX;
    const bool back = *step < 0;
    if (!slice_part(r, &part[0], back ? INT64_MAX : 0, start) ||
        !slice_part(r, &part[1], INT64_MAX, &stop))
        return false;
    const bool open = part[1].kind == PN_V_NONE || part[1].kind == PN_V_UNSET;
    *start = clamp(*start, n, back ? -1 : 0, back ? n - 1 : n);
    stop = open ? (back ? -1 : n) : clamp(stop, n, back ? -1 : 0, back ? n - 1 : n);
    const int64_t distance = back ? *start - stop : stop - *start, size = back ? -*step : *step;
    *count = distance > 0 ? (distance - 1) / size + 1 : 0;
    return true;
}

static bool slice_text(pn_render *r, const pn_text *text, int64_t start, int64_t step,
                       int64_t count, pn_value *out) {
    if (!pn_r_charge(r, text->n / 32)) return false;
    if (step == 1) {
        const size_t from = count ? pn_text_offset(text, (size_t)start) : 0;
        const size_t to = count ? pn_text_offset(text, (size_t)(start + count)) : 0;
        return pn_text_slice(r, text, from, to, out);
    }
    size_t *offsets =
        pn_r_array(r, pn_text_chars(text) + 1, sizeof *offsets); /* where each character begins */
    if (!offsets) return false;
    size_t n = 0;
    for (size_t i = 0; i < text->n; i++)
        if (((unsigned char)text->data[i] & 0xc0) != 0x80) offsets[n++] = i;
    offsets[n] = text->n;
    pn_builder b = pn_builder_new(r);
    b.markup = text->markup;
    for (int64_t i = 0; i < count; i++) {
        const size_t at = (size_t)(start + i * step);
        if (!pn_put_range(&b, text, offsets[at], offsets[at + 1])) return false;
    }
    return pn_builder_text(&b, out);
}

bool pn_get_slice(pn_render *r, const pn_value *v, const pn_value part[3], pn_value *out) {
    int64_t start = 0, step = 1, count = 0;
    if (v->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, v);
    if (!is_sequence(v)) return pn_undefined_attr(r, v, pn_none(), out);
    if (!slice_indices(r, part, length_of(v), &start, &step, &count)) return false;
    if (v->kind == PN_V_STRING) return slice_text(r, v->text, start, step, count, out);
    if (v->kind == PN_V_RANGE) {
        pn_range *range = pn_r_alloc(r, sizeof *range);
        if (!range) return false;
        const int64_t first = v->range->start + start * v->range->step;
        const int64_t by = count > 1 ? v->range->step * step : v->range->step;
        *range = (pn_range){first, first + count * by, by, count};
        *out = (pn_value){.kind = PN_V_RANGE, .range = range};
        return true;
    }
    if (!pn_list_new(r, (pn_kind)v->kind, NULL, out) || !pn_r_charge(r, (size_t)count / 8))
        return false;
    for (int64_t i = 0; i < count; i++)
        if (!pn_list_add(r, out->list, v->list->items[start + i * step])) return false;
    out->origin = v->origin;
    return true;
}

bool pn_get_path(pn_render *r, const pn_value *v, const pn_value *path, pn_value *out) {
    if (path->kind != PN_V_STRING) return pn_get_item(r, v, path, out);
    const pn_text *text = path->text;
    *out = *v;
    for (size_t at = 0; at <= text->n;) {
        const char *dot = memchr(text->data + at, '.', text->n - at);
        const size_t end = dot ? (size_t)(dot - text->data) : text->n;
        const pn_value object = *out;
        pn_value part;
        bool number = end > at;
        for (size_t i = at; i < end; i++)
            number = number && text->data[i] >= '0' && text->data[i] <= '9';
        if (number) {
            bool ok;
            if (!pn_parse_int(r, text->data + at, end - at, 10, &part, &ok)) return false;
        } else if (!pn_text_slice(r, text, at, end, &part)) {
            return false;
        }
        if (!pn_get_item(r, &object, &part, out)) return false;
        at = end + 1;
    }
    return true;
}
