/* jinja_text.c: text with the origin of every byte, and the builder that makes it.
 *
 * A builder collects bytes and spans (end, origin). Text made by a builder keeps the builder's room behind it; the
 * newest text of a room may be resumed, so that s = s ~ x in a loop costs what it adds. Older texts of the room see
 * only their own part: their last span may end later than they do. */
#include "tmpl/jinja_render.h"
#include "tmpl/jinja_unicode.h"

#include <string.h>

pn_builder pn_builder_new(pn_render *r) {
    return (pn_builder){.r = r, .max = SIZE_MAX};
}

static bool grow_bytes(pn_builder *b, size_t more) {
    size_t need;
    if (!pn_add_size(b->n, more, &need) || need > b->max)
        return pn_r_limit(b->r, "the output exceeds %zu bytes", b->max);
    if (need <= b->cap) return true;
    const size_t cap = b->cap ? (b->cap > need / 2 ? b->cap * 2 : need) : (need < 32 ? 32 : need);
    char *data = pn_r_alloc(b->r, cap);
    if (!data) return false;
    if (b->n) memcpy(data, b->data, b->n);
    b->data = data;
    b->cap = cap;
    return true;
}

static bool add_span(pn_builder *b, size_t end, int32_t origin) {
    if (b->n_spans && b->spans[b->n_spans - 1].origin == origin) {
        b->spans[b->n_spans - 1].end = end;
        return true;
    }
    if (b->n_spans == b->cap_spans) {
        const size_t cap = b->cap_spans ? b->cap_spans * 2 : 2;
        pn_text_span *spans = pn_r_array(b->r, cap, sizeof *spans);
        if (!spans) return false;
        if (b->n_spans) memcpy(spans, b->spans, b->n_spans * sizeof *spans);
        b->spans = spans;
        b->cap_spans = cap;
    }
    b->spans[b->n_spans++] = (pn_text_span){end, origin};
    return true;
}

bool pn_put(pn_builder *b, const char *data, size_t n, int32_t origin) {
    if (!n) return true;
    if (!pn_r_charge(b->r, n / 64) || !grow_bytes(b, n) || !add_span(b, b->n + n, origin))
        return false;
    memcpy(b->data + b->n, data, n);
    b->n += n;
    return true;
}

bool pn_put_c(pn_builder *b, const char *text, int32_t origin) {
    return pn_put(b, text, strlen(text), origin);
}

bool pn_put_code(pn_builder *b, uint32_t code, int32_t origin) {
    char bytes[4];
    return pn_put(b, bytes, pn_utf8_encode(code, bytes), origin);
}

/* Index of the span that holds byte `at`. */
static size_t span_at(const pn_text *text, size_t at) {
    size_t lo = 0, hi = text->n_spans;
    while (hi - lo > 1) {
        const size_t mid = (lo + hi) / 2;
        if (text->spans[mid - 1].end > at)
            hi = mid;
        else
            lo = mid;
    }
    return lo;
}

int32_t pn_text_origin(const pn_text *text, size_t at) {
    return text->n_spans ? text->spans[span_at(text, at)].origin : text->origin;
}

bool pn_put_range(pn_builder *b, const pn_text *text, size_t from, size_t to) {
    if (from >= to) return true;
    if (!text->n_spans) return pn_put(b, text->data + from, to - from, text->origin);
    for (size_t i = span_at(text, from); from < to; i++) {
        const bool last = i + 1 == text->n_spans;
        const size_t end = last || text->spans[i].end > to ? to : text->spans[i].end;
        if (!pn_put(b, text->data + from, end - from, text->spans[i].origin)) return false;
        from = end;
    }
    return true;
}

bool pn_put_text(pn_builder *b, const pn_text *text) {
    return pn_put_range(b, text, 0, text->n);
}

bool pn_put_fill(pn_builder *b, const pn_text *fill, size_t n) {
    size_t bytes;
    if (!pn_mul_size(n, fill->n, &bytes) || bytes > b->r->max_bytes)
        return pn_r_limit(b->r, "a text exceeds %zu bytes", b->r->max_bytes);
    if (!grow_bytes(b, bytes)) return false;
    for (size_t i = 0; i < n; i++)
        if (!pn_put_text(b, fill)) return false;
    return true;
}

bool pn_builder_text(pn_builder *b, pn_value *out) {
    pn_text *text = pn_r_alloc(b->r, sizeof *text);
    if (!text) return false;
    *text = (pn_text){
        .data = b->data ? b->data : "", .n = b->n, .n_chars = SIZE_MAX, .markup = b->markup};
    if (b->n_spans) text->origin = b->spans[0].origin;
    if (b->n_spans > 1) {
        text->spans = b->spans;
        text->n_spans = b->n_spans;
    }
    if (b->n >= 32) { /* worth resuming */
        text->room = pn_r_alloc(b->r, sizeof *text->room);
        if (!text->room) return false;
        *text->room = (pn_text_room){b->n, b->cap, b->n_spans, b->cap_spans};
    }
    *out = (pn_value){.kind = PN_V_STRING, .text = text};
    return true;
}

bool pn_builder_resume(pn_render *r, const pn_text *text, pn_builder *b) {
    *b = pn_builder_new(r);
    pn_text_room *room = text->room;
    if (!room || room->used != text->n) return pn_put_text(b, text);
    b->data = (char *)(uintptr_t)text->data; /* the room's own bytes, which a builder made */
    b->n = text->n;
    b->cap = room->cap;
    if (text->n_spans && text->n_spans == room->n_spans) {
        b->spans = (pn_text_span *)(uintptr_t)text->spans;
        b->n_spans = room->n_spans;
        b->cap_spans = room->cap_spans;
    } else if (!add_span(b, text->n, text->origin)) {
        return false;
    }
    b->spans[b->n_spans - 1].end = text->n;
    room->used = SIZE_MAX; /* from now on the room belongs to the new text */
    return true;
}

bool pn_text_value(pn_render *r, const char *data, size_t n, int32_t origin, pn_value *out) {
    pn_text *text = pn_r_alloc(r, sizeof *text);
    if (!text) return false;
    *text = (pn_text){.data = data, .n = n, .n_chars = SIZE_MAX, .origin = origin};
    *out = (pn_value){.kind = PN_V_STRING, .text = text};
    return true;
}

bool pn_text_copy(pn_render *r, const char *data, size_t n, int32_t origin, pn_value *out) {
    char *copy = pn_r_alloc(r, n);
    if (!copy) return false;
    if (n) memcpy(copy, data, n);
    return pn_text_value(r, copy, n, origin, out);
}

bool pn_text_slice(pn_render *r, const pn_text *text, size_t from, size_t to, pn_value *out) {
    if (from > to) from = to;
    if (from == 0 && to == text->n) {
        *out = (pn_value){.kind = PN_V_STRING, .text = text};
        return true;
    }
    pn_text *part = pn_r_alloc(r, sizeof *part);
    if (!part) return false;
    *part = (pn_text){
        .data = text->data + from, .n = to - from, .n_chars = SIZE_MAX, .origin = text->origin};
    part->markup = text->markup;
    if (text->n_chars == text->n) part->n_chars = part->n;
    *out = (pn_value){.kind = PN_V_STRING, .text = part};
    if (!text->n_spans || from == to) return true;
    const size_t first = span_at(text, from), last = span_at(text, to - 1);
    part->origin = text->spans[first].origin;
    if (first == last) return true;
    pn_text_span *spans = pn_r_array(r, last - first + 1, sizeof *spans);
    if (!spans || !pn_r_charge(r, (last - first) / 8)) return false;
    for (size_t i = first; i <= last; i++)
        spans[i - first] = (pn_text_span){text->spans[i].end - from, text->spans[i].origin};
    part->spans = spans;
    part->n_spans = last - first + 1;
    return true;
}

static bool is_start(char c) {
    return ((unsigned char)c & 0xc0) != 0x80;
}

size_t pn_text_chars(const pn_text *text) {
    if (text->n_chars != SIZE_MAX) return text->n_chars;
    size_t n = 0;
    for (size_t i = 0; i < text->n; i++) n += is_start(text->data[i]);
    /* texts of the syntax tree are shared between threads: theirs is counted anew each time */
    return n;
}

size_t pn_text_offset(const pn_text *text, size_t i) {
    if (text->n_chars == text->n) return i;
    size_t at = 0;
    while (at < text->n) {
        if (is_start(text->data[at]) && i-- == 0) return at;
        at++;
    }
    return at;
}

bool pn_text_is(const pn_text *text, const char *s) {
    return text->n == strlen(s) && memcmp(text->data, s, text->n) == 0;
}

size_t pn_text_find(pn_render *r, const pn_text *text, const pn_text *needle, size_t from,
                    size_t to) {
    if (from > to || needle->n > to - from) return SIZE_MAX;
    if (!needle->n) return from;
    const char *at = text->data + from, *const end = text->data + to - needle->n + 1;
    const size_t cost = 1 + needle->n / 16; /* of 8 places where only the first byte fits */
    for (size_t tries = 1; at < end; tries++) {
        const char *const next = memchr(at, needle->data[0], (size_t)(end - at));
        if (!pn_r_charge(r, (size_t)((next ? next : end) - at) / 64)) return SIZE_MAX;
        if (!next) return SIZE_MAX;
        if (memcmp(next, needle->data, needle->n) == 0) return (size_t)(next - text->data);
        if (tries % 8 == 0 && !pn_r_charge(r, cost)) return SIZE_MAX;
        at = next + 1;
    }
    return SIZE_MAX;
}

bool pn_put_escaped(pn_builder *b, const pn_text *text) {
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    size_t done = 0;
    for (size_t i = 0; i < text->n; i++) {
        const char *found = text->data[i] ? strchr(from, text->data[i]) : NULL;
        if (!found) continue;
        if (!pn_put_range(b, text, done, i)) return false;
        if (!pn_put_c(b, to[found - from], pn_text_origin(text, i))) return false;
        done = i + 1;
    }
    return pn_put_range(b, text, done, text->n);
}

const char *pn_text_c(pn_render *r, const pn_text *text) {
    char *copy = pn_r_alloc(r, text->n + 1);
    if (!copy) return NULL;
    if (text->n) memcpy(copy, text->data, text->n);
    copy[text->n] = 0;
    return copy;
}
