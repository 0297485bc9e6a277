/* jinja_methods.c: methods of text that search, split and ask; methods of lists, dicts and numbers. Offsets seen by
 * templates count characters, those in here count bytes. */
#include "tmpl/jinja_render.h"
#include "tmpl/jinja_textops.h"
#include "tmpl/jinja_unicode.h"

#include <math.h>
#include <string.h>

/* ---- searching --------------------------------------------------------------------------------------------- */

/* [start, end) in characters, as slices count, to bytes. False (with no failure): an empty range behind the end. */
static bool byte_range(pn_render *r, const pn_value *slots, const pn_text *text, size_t *from,
                       size_t *to) {
    int64_t start = 0, end = INT64_MAX;
    const int64_t n = (int64_t)pn_text_chars(text);
    if (slots[0].kind != PN_V_NONE && !pn_arg_int(r, &slots[0], "start", &start)) return false;
    if (slots[1].kind != PN_V_NONE && !pn_arg_int(r, &slots[1], "end", &end)) return false;
    if (start < 0) start = start < -n ? 0 : start + n;
    if (end < 0) end = end < -n ? 0 : end + n;
    if (end > n) end = n;
    if (start > end || start > n) return false;
    *from = pn_text_offset(text, (size_t)start);
    *to = pn_text_offset(text, (size_t)end);
    return pn_r_charge(r, text->n / 32);
}

static int64_t chars_before(const pn_text *text, size_t at) {
    const pn_text head = {.data = text->data, .n = at, .n_chars = SIZE_MAX};
    return (int64_t)pn_text_chars(&head);
}

static size_t find_last(pn_render *r, const pn_text *text, const pn_text *needle, size_t from,
                        size_t to) {
    if (to - from < needle->n) return SIZE_MAX;
    for (size_t at = to - needle->n + 1; at > from; at--) {
        if (!needle->n || memcmp(text->data + at - 1, needle->data, needle->n) == 0) return at - 1;
        if ((at & 63) == 0 && !pn_r_charge(r, 1 + needle->n / 16)) break;
    }
    return SIZE_MAX;
}

static bool find(pn_render *r, pn_value *slots, bool last, bool must, pn_value *out) {
    const pn_text *text = slots[0].text, *needle = NULL;
    size_t from = 0, to = 0, at = SIZE_MAX;
    if (!pn_arg_text(r, &slots[1], "find(): sub", &needle)) return false;
    if (byte_range(r, slots + 2, text, &from, &to))
        at = last ? find_last(r, text, needle, from, to) : pn_text_find(r, text, needle, from, to);
    if (r->status) return false;
    if (at == SIZE_MAX && must) return pn_r_fail(r, "substring not found");
    *out = pn_int(at == SIZE_MAX ? -1 : chars_before(text, at));
    return true;
}

static bool text_find(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return find(r, s, false, false, out);
}

static bool text_rfind(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return find(r, s, true, false, out);
}

static bool text_index(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return find(r, s, false, true, out);
}

static bool text_rindex(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return find(r, s, true, true, out);
}

static bool text_count(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const pn_text *text = s[0].text, *needle = NULL;
    size_t from, to;
    int64_t n = 0;
    (void)args;
    if (!pn_arg_text(r, &s[1], "count(): sub", &needle)) return false;
    if (byte_range(r, s + 2, text, &from, &to)) {
        if (!needle->n) {
            n = chars_before(text, to) - chars_before(text, from) + 1;
        } else {
            for (size_t at; (at = pn_text_find(r, text, needle, from, to)) != SIZE_MAX;
                 from = at + needle->n)
                n++;
        }
    }
    *out = pn_int(n);
    return !r->status;
}

static bool begins_or_ends(const pn_text *text, const pn_text *part, size_t from, size_t to,
                           bool end) {
    if (to - from < part->n) return false;
    return !part->n || memcmp(text->data + (end ? to - part->n : from), part->data, part->n) == 0;
}

static bool affix(pn_render *r, pn_value *s, bool end, pn_value *out) {
    size_t from, to;
    *out = pn_bool(false);
    const pn_text *part = NULL;
    if (s[1].kind != PN_V_TUPLE &&
        !pn_arg_text(r, &s[1], end ? "endswith first arg" : "startswith first arg", &part))
        return false;
    if (!byte_range(r, s + 2, s[0].text, &from, &to)) return !r->status;
    if (part) *out = pn_bool(begins_or_ends(s[0].text, part, from, to, end));
    for (size_t i = 0; !part && i < s[1].list->n && !out->b; i++) {
        const pn_text *option = NULL;
        if (!pn_arg_text(r, &s[1].list->items[i], "tuple for startswith", &option)) return false;
        *out = pn_bool(begins_or_ends(s[0].text, option, from, to, end));
    }
    return true;
}

static bool text_startswith(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return affix(r, s, false, out);
}

static bool text_endswith(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return affix(r, s, true, out);
}

static bool text_removeprefix(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const pn_text *part = NULL;
    (void)args;
    if (!pn_arg_text(r, &s[1], "removeprefix()", &part)) return false;
    const bool there = begins_or_ends(s[0].text, part, 0, s[0].text->n, false);
    return pn_text_slice(r, s[0].text, there ? part->n : 0, s[0].text->n, out);
}

static bool text_removesuffix(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const pn_text *part = NULL;
    (void)args;
    if (!pn_arg_text(r, &s[1], "removesuffix()", &part)) return false;
    const bool there = begins_or_ends(s[0].text, part, 0, s[0].text->n, true);
    return pn_text_slice(r, s[0].text, 0, s[0].text->n - (there ? part->n : 0), out);
}

/* ---- splitting ----------------------------------------------------------------------------------------------- */

static bool add_part(pn_render *r, pn_list *list, const pn_text *text, size_t from, size_t to) {
    pn_value part;
    return pn_r_charge(r, 1) && pn_text_slice(r, text, from, to, &part) &&
           pn_list_add(r, list, part);
}

static size_t space_end(const pn_text *text, size_t at, bool space) {
    while (at < text->n) {
        uint32_t c;
        const size_t len = pn_uni_decode(text->data + at, text->n - at, &c);
        if (pn_uni_is_space(c) != space) break;
        at += len;
    }
    return at;
}

/* From the left, at runs of white space. */
static bool split_spaces(pn_render *r, const pn_text *text, int64_t max, pn_list *list) {
    size_t at = space_end(text, 0, true);
    while (at < text->n) {
        if (max-- == 0) {
            pn_value rest, stripped;
            return pn_text_slice(r, text, at, text->n, &rest) &&
                   pn_text_strip(r, rest.text, NULL, PN_STRIP_RIGHT, &stripped) &&
                   pn_list_add(r, list, stripped);
        }
        const size_t end = space_end(text, at, false);
        if (!add_part(r, list, text, at, end)) return false;
        at = space_end(text, end, true);
    }
    return pn_r_charge(r, text->n / 16);
}

static bool split_at(pn_render *r, const pn_text *text, const pn_text *sep, int64_t max,
                     pn_list *list) {
    size_t at = 0;
    for (; max != 0; max--) {
        const size_t found = pn_text_find(r, text, sep, at, text->n);
        if (found == SIZE_MAX) break;
        if (!add_part(r, list, text, at, found)) return false;
        at = found + sep->n;
    }
    return !r->status && add_part(r, list, text, at, text->n);
}

/* The parts of a split from the right are those of one from the left, the first ones joined again. */
static bool rsplit(pn_render *r, const pn_text *text, const pn_text *sep, int64_t max,
                   pn_list *list) {
    pn_value all;
    if (!pn_list_new(r, PN_V_LIST, NULL, &all)) return false;
    if (!sep) {
        if (!split_spaces(r, text, -1, all.list)) return false;
    } else { /* from the right, then turned round: "aaa" at "aa" is ["a", ""] */
        size_t end = text->n, n = 0;
        for (; max < 0 || n < (size_t)max; n++) {
            const size_t found = find_last(r, text, sep, 0, end);
            if (found == SIZE_MAX) break;
            if (!add_part(r, all.list, text, found + sep->n, end)) return false;
            end = found;
        }
        if (r->status || !add_part(r, all.list, text, 0, end)) return false;
        for (size_t i = all.list->n; i > 0; i--)
            if (!pn_list_add(r, list, all.list->items[i - 1])) return false;
        return true;
    }
    const size_t n = all.list->n, joined = max >= 0 && n > (size_t)max ? n - (size_t)max : 0;
    if (joined) { /* from the first part to the end of the last joined one */
        const pn_text *last = all.list->items[joined - 1].text;
        if (!add_part(r, list, text, space_end(text, 0, true),
                      (size_t)(last->data - text->data) + last->n))
            return false;
        pn_value stripped;
        if (!pn_text_strip(r, list->items[0].text, NULL, PN_STRIP_RIGHT, &stripped)) return false;
        list->items[0] = stripped;
    }
    for (size_t i = joined; i < n; i++)
        if (!pn_list_add(r, list, all.list->items[i])) return false;
    return true;
}

static bool split_either(pn_render *r, pn_value *s, bool right, pn_value *out) {
    const pn_text *sep = NULL;
    int64_t max = -1;
    if (s[1].kind != PN_V_NONE && !pn_arg_text(r, &s[1], "split(): sep", &sep)) return false;
    if (!pn_arg_int(r, &s[2], "split(): maxsplit", &max) || !pn_list_new(r, PN_V_LIST, NULL, out))
        return false;
    if (sep && !sep->n) return pn_r_fail(r, "empty separator");
    if (max < 0) max = -1;
    if (right) return rsplit(r, s[0].text, sep, max, out->list);
    return sep ? split_at(r, s[0].text, sep, max, out->list)
               : split_spaces(r, s[0].text, max, out->list);
}

static bool text_split(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return split_either(r, s, false, out);
}

static bool text_rsplit(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return split_either(r, s, true, out);
}

static bool is_line_end(uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
}

static bool text_splitlines(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const pn_text *text = s[0].text;
    bool keep = false;
    size_t begin = 0;
    (void)args;
    if (!pn_arg_bool(r, &s[1], &keep) || !pn_list_new(r, PN_V_LIST, NULL, out)) return false;
    for (size_t i = 0; i < text->n;) {
        uint32_t c;
        const size_t at = i;
        i += pn_uni_decode(text->data + i, text->n - i, &c);
        if (!is_line_end(c)) continue;
        if (c == '\r' && i < text->n && text->data[i] == '\n') i++;
        if (!add_part(r, out->list, text, begin, keep ? i : at)) return false;
        begin = i;
    }
    if (begin < text->n && !add_part(r, out->list, text, begin, text->n)) return false;
    return pn_r_charge(r, text->n / 16);
}

static bool partition(pn_render *r, pn_value *s, bool last, pn_value *out) {
    const pn_text *text = s[0].text, *sep = NULL;
    if (!pn_arg_text(r, &s[1], "partition(): sep", &sep)) return false;
    if (!sep->n) return pn_r_fail(r, "empty separator");
    size_t at = last ? find_last(r, text, sep, 0, text->n) : pn_text_find(r, text, sep, 0, text->n);
    if (r->status || !pn_list_new(r, PN_V_TUPLE, NULL, out)) return false;
    const bool found = at != SIZE_MAX;
    if (!found) at = last ? 0 : text->n;
    const size_t behind = found ? at + sep->n : at;
    return add_part(r, out->list, text, 0, at) && add_part(r, out->list, text, at, behind) &&
           add_part(r, out->list, text, behind, text->n);
}

static bool text_partition(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return partition(r, s, false, out);
}

static bool text_rpartition(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return partition(r, s, true, out);
}

const pn_builtin pn_text_search_methods[] = {
    {"find", "sub,start,end", 1, text_find},
    {"rfind", "sub,start,end", 1, text_rfind},
    {"index", "sub,start,end", 1, text_index},
    {"rindex", "sub,start,end", 1, text_rindex},
    {"count", "sub,start,end", 1, text_count},
    {"startswith", "prefix,start,end", 1, text_startswith},
    {"endswith", "suffix,start,end", 1, text_endswith},
    {"removeprefix", "prefix", 1, text_removeprefix},
    {"removesuffix", "suffix", 1, text_removesuffix},
    {"split", "sep,maxsplit", 0, text_split},
    {"rsplit", "sep,maxsplit", 0, text_rsplit},
    {"splitlines", "keepends", 0, text_splitlines},
    {"partition", "sep", 1, text_partition},
    {"rpartition", "sep", 1, text_rpartition},
    {NULL, NULL, 0, NULL},
};

/* ---- lists, dicts, numbers ------------------------------------------------------------------------------------- */

static bool list_index(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    pn_list *items;
    bool same = false;
    (void)args;
    if (!pn_items_of(r, &s[0], &items)) return false;
    for (size_t i = 0; i < items->n; i++) {
        if (!pn_equal(r, &items->items[i], &s[1], &same)) return false;
        *out = pn_int((int64_t)i);
        if (same) return true;
    }
    return pn_r_fail(r, "the value is not in the %s", pn_type_name(&s[0]));
}

static bool list_count(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    pn_list *items;
    int64_t n = 0;
    (void)args;
    if (!pn_items_of(r, &s[0], &items)) return false;
    for (size_t i = 0; i < items->n; i++) {
        bool same;
        if (!pn_equal(r, &items->items[i], &s[1], &same)) return false;
        n += same;
    }
    *out = pn_int(n);
    return true;
}

static bool list_copy(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const pn_value parts[3] = {pn_none(), pn_none(), pn_none()};
    (void)args;
    return pn_get_slice(r, &s[0], parts, out);
}

const pn_builtin pn_list_methods[] = {
    {"index", "value", 1, list_index},
    {"count", "value", 1, list_count},
    {"copy", "", 0, list_copy},
    {NULL, NULL, 0, NULL},
};

static bool dict_get(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    pn_value *found;
    (void)args;
    if (!pn_dict_get(r, s[0].dict, &s[1], &found)) return false;
    *out = found ? *found : s[2].kind ? s[2] : pn_none();
    return true;
}

enum { KEYS = 1, VALUES = 2 };

static bool view(pn_render *r, pn_value *s, int what, const char *type, pn_value *out) {
    const pn_dict *d = s[0].dict;
    if (!pn_list_new(r, PN_V_VIEW, type, out) || !pn_r_charge(r, d->n)) return false;
    for (size_t i = 0; i < d->n; i++) {
        pn_value item = what == KEYS ? d->entries[i].key : d->entries[i].value;
        if (what == (KEYS | VALUES)) {
            if (!pn_list_new(r, PN_V_TUPLE, NULL, &item) ||
                !pn_list_add(r, item.list, d->entries[i].key) ||
                !pn_list_add(r, item.list, d->entries[i].value))
                return false;
        }
        if (!pn_list_add(r, out->list, item)) return false;
    }
    out->origin = s[0].origin;
    return true;
}

static bool dict_keys(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return view(r, s, KEYS, "dict_keys", out);
}

static bool dict_values(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return view(r, s, VALUES, "dict_values", out);
}

static bool dict_items(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return view(r, s, KEYS | VALUES, "dict_items", out);
}

static bool dict_copy(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    if (!pn_dict_new(r, out)) return false;
    for (size_t i = 0; i < s[0].dict->n; i++)
        if (!pn_dict_set(r, out->dict, s[0].dict->entries[i].key, s[0].dict->entries[i].value))
            return false;
    out->origin = s[0].origin;
    return true;
}

const pn_builtin pn_dict_methods[] = {
    {"get", "key,default", 1, dict_get}, {"keys", "", 0, dict_keys}, {"values", "", 0, dict_values},
    {"items", "", 0, dict_items},        {"copy", "", 0, dict_copy}, {NULL, NULL, 0, NULL},
};

static bool number_bit_length(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    if (s[0].kind == PN_V_FLOAT)
        return pn_r_fail(r, "'float' object has no attribute 'bit_length'");
    const int64_t i = s[0].kind == PN_V_BOOL ? s[0].b : s[0].i;
    int64_t n = 0;
    for (uint64_t m = i < 0 ? 0 - (uint64_t)i : (uint64_t)i; m; m >>= 1) n++;
    *out = pn_int(n);
    return true;
}

static bool number_is_integer(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    *out = pn_bool(s[0].kind != PN_V_FLOAT || (isfinite(s[0].f) && s[0].f == floor(s[0].f)));
    return !r->status;
}

const pn_builtin pn_number_methods[] = {
    {"bit_length", "", 0, number_bit_length},
    {"is_integer", "", 0, number_is_integer},
    {NULL, NULL, 0, NULL},
};
