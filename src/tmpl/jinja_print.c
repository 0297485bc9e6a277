/* jinja_print.c: values as text: Python's str() and repr(). Brackets and quotes have the origin of what they
 * enclose, so a list that came from a message is data from bracket to bracket. */
#include "tmpl/jinja_render.h"
#include "tmpl/jinja_unicode.h"

#include <stdio.h>
#include <string.h>

static bool put_escape(pn_builder *b, uint32_t c, int32_t origin) {
    char text[12];
    const char *const format = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
    const int n = snprintf(text, sizeof text, format, (unsigned)c);
    return pn_put(b, text, (size_t)n, origin);
}

static bool put_repr_char(pn_builder *b, const pn_text *text, size_t at, size_t len, uint32_t c,
                          char quote) {
    const int32_t origin = pn_text_origin(text, at);
    static const char from[] = "\\\n\r\t", to[] = "\\nrt";
    const char *found = c && c < 0x80 ? strchr(from, (int)c) : NULL;
    char escape[2] = {'\\', (char)c};
    if (found) escape[1] = to[found - from];
    if (found || c == (uint32_t)quote) return pn_put(b, escape, 2, origin);
    if (pn_uni_is_printable(c)) return pn_put(b, text->data + at, len, origin);
    return put_escape(b, c, origin);
}

static bool put_repr_text(pn_builder *b, const pn_text *text) {
    const bool single = text->n && memchr(text->data, '\'', text->n),
               twin = text->n && memchr(text->data, '"', text->n);
    const char quote = single && !twin ? '"' : '\'';
    const int32_t first = text->n ? pn_text_origin(text, 0) : text->origin;
    const int32_t last = text->n ? pn_text_origin(text, text->n - 1) : first;
    if (text->markup && !pn_put_c(b, "Markup(", first)) return false;
    if (!pn_put(b, &quote, 1, first) || !pn_r_charge(b->r, text->n / 8)) return false;
    for (size_t i = 0; i < text->n;) {
        uint32_t c;
        const size_t len = pn_uni_decode(text->data + i, text->n - i, &c);
        if (!put_repr_char(b, text, i, len, c, quote)) return false;
        i += len;
    }
    return pn_put(b, &quote, 1, last) && (!text->markup || pn_put_c(b, ")", last));
}

static bool repr_at(pn_builder *b, const pn_value *v, int depth);

static bool put_list(pn_builder *b, const pn_value *v, const char *open, const char *close,
                     int depth) {
    const pn_list *list = v->list;
    if (!pn_put_c(b, open, v->origin)) return false;
    for (size_t i = 0; i < list->n; i++) {
        if (i && !pn_put_c(b, ", ", v->origin)) return false;
        if (!repr_at(b, &list->items[i], depth + 1)) return false;
    }
    return pn_put_c(b, close, v->origin);
}

static bool put_dict(pn_builder *b, const pn_value *v, int depth) {
    if (!pn_put_c(b, "{", v->origin)) return false;
    for (size_t i = 0; i < v->dict->n; i++) {
        if (i && !pn_put_c(b, ", ", v->origin)) return false;
        if (!repr_at(b, &v->dict->entries[i].key, depth + 1) || !pn_put_c(b, ": ", v->origin))
            return false;
        if (!repr_at(b, &v->dict->entries[i].value, depth + 1)) return false;
    }
    return pn_put_c(b, "}", v->origin);
}

static bool put_view(pn_builder *b, const pn_value *v, int depth) {
    return pn_put_c(b, v->list->type, v->origin) && put_list(b, v, "([", "])", depth);
}

static bool put_range(pn_builder *b, const pn_range *range) {
    char text[96];
    int n = snprintf(text, sizeof text, "range(%lld, %lld", (long long)range->start,
                     (long long)range->stop);
    if (range->step != 1)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %lld", (long long)range->step);
    return pn_put(b, text, (size_t)n, 0) && pn_put_c(b, ")", 0);
}

static bool put_object(pn_builder *b, const pn_value *v) {
    const char *const name = v->kind == PN_V_MACRO      ? pn_macro_name(v->macro)
                             : v->kind == PN_V_METHOD   ? v->method->builtin->name
                             : v->kind == PN_V_FUNCTION ? v->builtin->name
                                                        : "";
    const char *const type = pn_type_name(v);
    return pn_put_c(b, "<", 0) && pn_put_c(b, type, 0) && pn_put_c(b, *name ? " '" : "", 0) &&
           pn_put_c(b, name, 0) && pn_put_c(b, *name ? "'>" : ">", 0);
}

static bool put_float(pn_builder *b, const pn_value *v) {
    char text[40];
    size_t n = pn_format_double(v->f, text);
    return pn_put(b, text, n, v->origin);
}

static bool repr_at(pn_builder *b, const pn_value *v, int depth) {
    if (!pn_r_charge(b->r, 1)) return false;
    if (depth > PN_TMPL_MAX_VALUE_DEPTH)
        return pn_r_limit(b->r, "a value nested deeper than %d", PN_TMPL_MAX_VALUE_DEPTH);
    switch ((pn_kind)v->kind) {
    case PN_V_UNDEFINED: return pn_put_c(b, "Undefined", 0);
    case PN_V_NONE: return pn_put_c(b, "None", v->origin);
    case PN_V_BOOL: return pn_put_c(b, v->b ? "True" : "False", v->origin);
    case PN_V_INT:
    case PN_V_BIG: return pn_put_int(b, v);
    case PN_V_FLOAT: return put_float(b, v);
    case PN_V_STRING: return put_repr_text(b, v->text);
    case PN_V_LIST: return put_list(b, v, "[", "]", depth);
    case PN_V_TUPLE: return put_list(b, v, "(", v->list->n == 1 ? ",)" : ")", depth);
    case PN_V_VIEW: return put_view(b, v, depth);
    case PN_V_DICT: return put_dict(b, v, depth);
    case PN_V_NAMESPACE:
        return pn_put_c(b, "<Namespace ", 0) && put_dict(b, v, depth) && pn_put_c(b, ">", 0);
    case PN_V_RANGE: return put_range(b, v->range);
    default: return put_object(b, v);
    }
}

bool pn_print_repr(pn_builder *b, const pn_value *v) {
    return repr_at(b, v, 0);
}

bool pn_print(pn_builder *b, const pn_value *v) {
    if (v->kind == PN_V_STRING) return pn_put_text(b, v->text);
    if (v->kind == PN_V_UNDEFINED) return true;
    return repr_at(b, v, 0);
}

bool pn_to_text(pn_render *r, const pn_value *v, const pn_text **out) {
    if (v->kind == PN_V_STRING) {
        *out = v->text;
        return true;
    }
    pn_builder b = pn_builder_new(r);
    pn_value text;
    if (!pn_print(&b, v) || !pn_builder_text(&b, &text)) return false;
    *out = text.text;
    return true;
}
