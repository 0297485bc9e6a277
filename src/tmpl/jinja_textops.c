/* jinja_textops.c: case, stripping, replacing, padding, wrapping: what filters and methods of text share. */
#include "tmpl/jinja_textops.h"
#include "tmpl/jinja_unicode.h"

#include <string.h>

/* A capital sigma that ends a word has a form of its own in lower case. */
static bool is_final_sigma(const pn_text *text, size_t at, size_t after) {
    uint32_t c;
    bool before = false;
    for (size_t i = at; i > 0;) {
        do i--;
        while (i > 0 && ((unsigned char)text->data[i] & 0xc0) == 0x80);
        pn_uni_decode(text->data + i, text->n - i, &c);
        if (pn_uni_is_case_ignorable(c)) continue;
        before = pn_uni_is_cased(c);
        break;
    }
    if (!before) return false;
    for (size_t i = after; i < text->n;) {
        i += pn_uni_decode(text->data + i, text->n - i, &c);
        if (!pn_uni_is_case_ignorable(c)) return !pn_uni_is_cased(c);
    }
    return true;
}

static pn_case case_of(pn_map map, bool first, bool after_cased, uint32_t c) {
    switch (map) {
    case PN_MAP_UPPER: return PN_CASE_UPPER;
    case PN_MAP_LOWER: return PN_CASE_LOWER;
    case PN_MAP_FOLD: return PN_CASE_FOLD;
    case PN_MAP_CAPITALIZE: return first ? PN_CASE_TITLE : PN_CASE_LOWER;
    case PN_MAP_TITLE: return after_cased ? PN_CASE_LOWER : PN_CASE_TITLE;
    default:
        return pn_uni_is_upper(c) ? PN_CASE_LOWER
                                  : PN_CASE_UPPER; /* swap; title case stays, see below */
    }
}

bool pn_text_map(pn_render *r, const pn_text *text, pn_map map, pn_value *out) {
    pn_builder b = pn_builder_new(r);
    bool after_cased = false;
    b.markup = text->markup;
    if (!pn_r_charge(r, text->n / 8)) return false;
    for (size_t i = 0; i < text->n;) {
        uint32_t c, to[3];
        const size_t len = pn_uni_decode(text->data + i, text->n - i, &c);
        const int32_t origin = pn_text_origin(text, i);
        const pn_case which = case_of(map, i == 0, after_cased, c);
        size_t n = pn_uni_map(which, c, to);
        if (map == PN_MAP_SWAP && pn_uni_is_title(c)) {
            to[0] = c;
            n = 1;
        }
        if (c == 0x3a3 && which == PN_CASE_LOWER && is_final_sigma(text, i, i + len)) to[0] = 0x3c2;
        if (c >= 0x80 && !pn_r_charge(r, 8)) return false;
        for (size_t k = 0; k < n; k++)
            if (!pn_put_code(&b, to[k], origin)) return false;
        after_cased = pn_uni_is_cased(c);
        i += len;
    }
    return pn_builder_text(&b, out);
}

/* Is the character at s one of chars (NULL: white space)? */
static bool is_stripped(const char *s, size_t len, uint32_t code, const pn_text *chars) {
    if (!chars) return pn_uni_is_space(code);
    for (size_t i = 0; i + len <= chars->n;) {
        if (memcmp(chars->data + i, s, len) == 0) return true;
        uint32_t c;
        i += pn_uni_decode(chars->data + i, chars->n - i, &c);
    }
    return false;
}

bool pn_text_strip(pn_render *r, const pn_text *text, const pn_text *chars, int sides,
                   pn_value *out) {
    size_t from = 0, to = text->n;
    uint32_t c;
    const size_t cost = chars ? chars->n / 16 : 0;
    while (sides & PN_STRIP_LEFT && from < to) {
        const size_t len = pn_uni_decode(text->data + from, to - from, &c);
        if (!is_stripped(text->data + from, len, c, chars) || (cost && !pn_r_charge(r, cost)))
            break;
        from += len;
    }
    while (sides & PN_STRIP_RIGHT && to > from) {
        size_t at = to - 1;
        while (at > from && ((unsigned char)text->data[at] & 0xc0) == 0x80) at--;
        const size_t len = pn_uni_decode(text->data + at, to - at, &c);
        if (!is_stripped(text->data + at, len, c, chars) || (cost && !pn_r_charge(r, cost))) break;
        to = at;
    }
    return pn_r_charge(r, (from + text->n - to) / 16) && pn_text_slice(r, text, from, to, out);
}

/* An empty pattern stands between all characters. */
static bool replace_empty(pn_builder *b, const pn_text *text, const pn_text *with, int64_t count) {
    for (size_t i = 0; i <= text->n; count--) {
        uint32_t c;
        if (count != 0 && !pn_put_text(b, with)) return false;
        if (i == text->n) break;
        const size_t len = pn_uni_decode(text->data + i, text->n - i, &c);
        if (!pn_put_range(b, text, i, i + len) || !pn_r_charge(b->r, 1)) return false;
        i += len;
    }
    return true;
}

bool pn_text_replace(pn_render *r, const pn_text *text, const pn_text *old, const pn_text *with,
                     int64_t count, pn_value *out) {
    pn_builder b = pn_builder_new(r);
    if (!old->n) return replace_empty(&b, text, with, count) && pn_builder_text(&b, out);
    size_t at = 0;
    for (; count != 0; count--) {
        const size_t found = pn_text_find(r, text, old, at, text->n);
        if (found == SIZE_MAX) break;
        if (!pn_put_range(&b, text, at, found) || !pn_put_text(&b, with) || !pn_r_charge(r, 1))
            return false;
        at = found + old->n;
    }
    if (r->status) return false;
    if (!at) return pn_text_slice(r, text, 0, text->n, out);
    return pn_put_range(&b, text, at, text->n) && pn_builder_text(&b, out);
}

bool pn_text_pad(pn_render *r, const pn_text *text, int64_t width, const pn_text *fill,
                 pn_pad where, pn_value *out) {
    const int64_t n = (int64_t)pn_text_chars(text);
    static const pn_text space = {.data = " ", .n = 1, .n_chars = 1};
    if (!fill) fill = &space;
    if (pn_text_chars(fill) != 1)
        return pn_r_fail(r, "The fill character must be exactly one character long");
    if (width <= n) return pn_text_slice(r, text, 0, text->n, out);
    const int64_t missing = width - n;
    const int64_t left = where == PN_PAD_LEFT    ? 0
                         : where == PN_PAD_RIGHT ? missing
                                                 : missing / 2 + (missing & width & 1);
    pn_builder b = pn_builder_new(r);
    b.markup = text->markup;
    return pn_put_fill(&b, fill, (size_t)left) && pn_put_text(&b, text) &&
           pn_put_fill(&b, fill, (size_t)(missing - left)) && pn_builder_text(&b, out);
}

typedef struct wrapper {
    pn_builder *b;
    const pn_text *text, *by;
    size_t width, n_lines;
    bool break_long;
} wrapper;

static size_t count_chars(const pn_text *text, size_t from, size_t to) {
    const pn_text part = {.data = text->data + from, .n = to - from, .n_chars = SIZE_MAX};
    return pn_text_chars(&part);
}

/* End of the run of spaces, or of other characters, at `at`. */
static size_t chunk_end(const pn_text *text, size_t at, size_t to, bool space) {
    while (at < to && ((text->data[at] && strchr("\t\v\f\r ", text->data[at])) != 0) == space) at++;
    return at;
}

/* Prints the next line of [*at, to) and moves *at behind it. White space begins only the first line and ends none. */
static bool wrap_once(wrapper *w, size_t *at, size_t to) {
    size_t used = 0, end = *at, kept = *at, next;
    bool space = chunk_end(w->text, *at, to, true) > *at;
    if (space && w->n_lines) {
        *at = end = kept = chunk_end(w->text, *at, to, true);
        space = false;
    }
    for (; end < to; end = next, space = !space) {
        next = chunk_end(w->text, end, to, space);
        const size_t n = count_chars(w->text, end, next);
        if (!pn_r_charge(w->b->r, 1 + n / 32)) return false;
        if (used + n <= w->width) {
            used += n;
            if (!space) kept = next;
            continue;
        }
        if (n > w->width && w->break_long) {
            const pn_text rest = {
                .data = w->text->data + end, .n = next - end, .n_chars = SIZE_MAX};
            end += pn_text_offset(&rest, w->width - used);
            if (!space && w->width > used) kept = end;
        } else if (n > w->width && end == *at) {
            end = kept = next;
        }
        break;
    }
    if (kept > *at) {
        if (w->n_lines++ && !pn_put_text(w->b, w->by)) return false;
        if (!pn_put_range(w->b, w->text, *at, kept)) return false;
    }
    *at = end;
    return true;
}

bool pn_text_wrap(pn_render *r, const pn_text *text, size_t width, bool break_long,
                  const pn_text *by, pn_value *out) {
    static const pn_text newline = {.data = "\n", .n = 1, .n_chars = 1};
    pn_builder b = pn_builder_new(r);
    wrapper w = {&b, text, by ? by : &newline, width, 0, break_long};
    for (size_t at = 0, to; at < text->n; at = to + 1) {
        const char *end = memchr(text->data + at, '\n', text->n - at);
        to = end ? (size_t)(end - text->data) : text->n;
        if (at && !pn_put_text(&b, w.by)) return false;
        w.n_lines = 0;
        while (at < to)
            if (!wrap_once(&w, &at, to)) return false;
    }
    return pn_builder_text(&b, out);
}

bool pn_text_join(pn_render *r, const pn_text *between, const pn_value *items, pn_value *out) {
    pn_list *list;
    pn_builder b = pn_builder_new(r);
    if (!pn_items_of(r, items, &list)) return false;
    for (size_t i = 0; i < list->n; i++) {
        const pn_value *v = &list->items[i];
        if (v->kind != PN_V_STRING)
            return pn_r_fail(r, "sequence item %zu: expected str instance, %s found", i,
                             pn_type_name(v));
        if ((i && !pn_put_text(&b, between)) || !pn_put_text(&b, v->text)) return false;
    }
    return pn_r_charge(r, list->n) && pn_builder_text(&b, out);
}
