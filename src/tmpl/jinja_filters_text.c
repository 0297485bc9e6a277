/* jinja_filters_text.c: filters whose subject is a text or a number. */
#include "tmpl/jinja_render.h"
#include "tmpl/jinja_textops.h"
#include "tmpl/jinja_unicode.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool subject(pn_render *r, pn_value *slots, const pn_text **text) {
    return pn_to_text(r, &slots[0], text);
}

/* For filters that take nothing but text. */
static bool text_subject(pn_render *r, pn_value *slots, const pn_text **text) {
    return pn_arg_text(r, &slots[0], "the value of this filter", text);
}

static bool filter_upper(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text;
    (void)args;
    return subject(r, slots, &text) && pn_text_map(r, text, PN_MAP_UPPER, out);
}

static bool filter_lower(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text;
    (void)args;
    return subject(r, slots, &text) && pn_text_map(r, text, PN_MAP_LOWER, out);
}

static bool filter_capitalize(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text;
    (void)args;
    return subject(r, slots, &text) && pn_text_map(r, text, PN_MAP_CAPITALIZE, out);
}

static bool divides_words(uint32_t c) {
    return pn_uni_is_space(c) || (c && c < 0x80 && strchr("-({[<", (int)c));
}

/* Words begin after white space, "-" and opening brackets; not str.title(). */
static bool filter_title(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text;
    pn_builder b = pn_builder_new(r);
    (void)args;
    if (!subject(r, slots, &text)) return false;
    for (size_t i = 0; i < text->n;) {
        uint32_t c = 0;
        pn_value first, rest;
        const size_t begin = i, first_end = i + pn_uni_decode(text->data + i, text->n - i, &c);
        i = first_end;
        while (!divides_words(c) && i < text->n) {
            const size_t len = pn_uni_decode(text->data + i, text->n - i, &c);
            if (divides_words(c)) break;
            i += len;
        }
        if (!pn_text_slice(r, text, begin, first_end, &first) ||
            !pn_text_slice(r, text, first_end, i, &rest))
            return false;
        if (!pn_text_map(r, first.text, PN_MAP_UPPER, &first) ||
            !pn_text_map(r, rest.text, PN_MAP_LOWER, &rest))
            return false;
        if (!pn_put_text(&b, first.text) || !pn_put_text(&b, rest.text) || !pn_r_charge(r, 1))
            return false;
    }
    b.markup = text->markup;
    return pn_builder_text(&b, out);
}

static bool filter_trim(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text, *chars = NULL;
    (void)args;
    if (!subject(r, slots, &text)) return false;
    if (slots[1].kind != PN_V_NONE && !pn_arg_text(r, &slots[1], "trim(): chars", &chars))
        return false;
    return pn_text_strip(r, text, chars, PN_STRIP_BOTH, out);
}

static bool filter_replace(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text, *old, *new;
    int64_t count = -1;
    (void)args;
    if (!subject(r, slots, &text) || !pn_to_text(r, &slots[1], &old) ||
        !pn_to_text(r, &slots[2], &new))
        return false;
    if (slots[3].kind != PN_V_NONE && !pn_arg_int(r, &slots[3], "replace(): count", &count))
        return false;
    return pn_text_replace(r, text, old, new, count, out);
}

static bool filter_string(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text;
    (void)args;
    if (!subject(r, slots, &text)) return false;
    *out = (pn_value){.kind = PN_V_STRING, .text = text};
    return true;
}

static bool filter_safe(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text;
    (void)args;
    pn_text *copy = pn_r_alloc(r, sizeof *copy);
    if (!copy || !subject(r, slots, &text)) return false;
    *copy = *text;
    copy->markup = true;
    *out = (pn_value){.kind = PN_V_STRING, .text = copy};
    return true;
}

static bool force_escape(pn_render *r, const pn_value *v, pn_value *out) {
    const pn_text *text;
    pn_builder b = pn_builder_new(r);
    b.markup = true;
    return pn_to_text(r, v, &text) && pn_put_escaped(&b, text) && pn_builder_text(&b, out);
}

static bool filter_escape(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    (void)args;
    *out = slots[0];
    return (slots[0].kind == PN_V_STRING && slots[0].text->markup) ||
           force_escape(r, &slots[0], out);
}

static bool filter_forceescape(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    (void)args;
    return force_escape(r, &slots[0], out);
}

static bool filter_center(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text;
    int64_t width = 80;
    (void)args;
    return subject(r, slots, &text) && pn_arg_int(r, &slots[1], "center(): width", &width) &&
           pn_text_pad(r, text, width, NULL, PN_PAD_CENTER, out);
}

static bool filter_format(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text;
    if (!subject(r, slots, &text)) return false;
    if (args->n_pos && args->n_kw)
        return pn_r_fail(r, "can't handle positional and keyword arguments at the same time");
    if (!args->n_kw) return pn_percent_format(r, text, args, NULL, out);
    pn_value dict;
    if (!pn_dict_new(r, &dict)) return false;
    for (size_t i = 0; i < args->n_kw; i++)
        if (!pn_dict_set(r, dict.dict, args->kw[2 * i], args->kw[2 * i + 1])) return false;
    return pn_percent_format(r, text, NULL, &dict, out);
}

/* width: a number of spaces or the text to put before each line. */
static bool filter_indent(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text = NULL, *by;
    int64_t width = 4;
    bool first = false, blank = false;
    pn_value space;
    (void)args;
    if (!text_subject(r, slots, &text) || !pn_text_value(r, " ", 1, 0, &space)) return false;
    if (slots[1].kind == PN_V_STRING) {
        by = slots[1].text;
        width = 1;
    } else {
        by = space.text;
        if (!pn_arg_int(r, &slots[1], "indent(): width", &width)) return false;
    }
    if (!pn_arg_bool(r, &slots[2], &first) || !pn_arg_bool(r, &slots[3], &blank)) return false;
    const size_t n = width > 0 ? (size_t)width : 0;
    pn_builder b = pn_builder_new(r);
    for (size_t at = 0, line = 0; at <= text->n; line++) {
        const char *newline = at < text->n ? memchr(text->data + at, '\n', text->n - at) : NULL;
        const size_t end = newline ? (size_t)(newline - text->data) : text->n;
        const bool wanted = line == 0 ? first : end > at || blank;
        if (line && at == text->n && !newline && !blank) break;
        if (wanted && !pn_put_fill(&b, by, n)) return false;
        if (!pn_put_range(&b, text, at, newline ? end + 1 : end)) return false;
        if (!newline) break;
        at = end + 1;
    }
    return pn_builder_text(&b, out);
}

static bool filter_wordcount(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text;
    int64_t n = 0;
    bool inside = false;
    (void)args;
    if (!subject(r, slots, &text) || !pn_r_charge(r, text->n / 16)) return false;
    for (size_t i = 0; i < text->n;) {
        uint32_t c;
        i += pn_uni_decode(text->data + i, text->n - i, &c);
        const bool word = pn_uni_is_word(c);
        n += word && !inside;
        inside = word;
    }
    *out = pn_int(n);
    return true;
}

/* length, killwords, end, leeway */
static bool filter_truncate(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text, *end = NULL;
    int64_t length = 255, leeway = 5;
    bool kill = false;
    pn_value dots;
    (void)args;
    if (!subject(r, slots, &text) || !pn_text_value(r, "...", 3, 0, &dots)) return false;
    end = dots.text;
    if (!pn_arg_int(r, &slots[1], "truncate(): length", &length) ||
        !pn_arg_bool(r, &slots[2], &kill))
        return false;
    if (!pn_arg_text(r, &slots[3], "truncate(): end", &end)) return false;
    if (slots[4].kind != PN_V_NONE && !pn_arg_int(r, &slots[4], "truncate(): leeway", &leeway))
        return false;
    int64_t n;
    const int64_t n_end = (int64_t)pn_text_chars(end);
    if (!pn_length(r, &slots[0], &n)) return false;
    if (length < n_end)
        return pn_r_fail(r, "expected length >= %lld, got %lld", (long long)n_end,
                         (long long)length);
    if (leeway < 0) return pn_r_fail(r, "expected leeway >= 0, got %lld", (long long)leeway);
    *out = slots[0];
    if (n <= length || n - length <= leeway) return true;
    if (slots[0].kind != PN_V_STRING)
        return pn_r_fail(r, "truncate() needs str, not %s", pn_type_name(&slots[0]));
    size_t cut = pn_text_offset(text, (size_t)(length - n_end));
    if (!kill) /* back to the last space, if there is one */
        for (size_t i = cut; i > 0; i--)
            if (text->data[i - 1] == ' ') {
                cut = i - 1;
                break;
            }
    pn_builder b = pn_builder_new(r);
    return pn_put_range(&b, text, 0, cut) && pn_put_text(&b, end) && pn_builder_text(&b, out);
}

/* Tags and comments out, white space to single spaces, entities of the five usual characters undone. */
static bool filter_striptags(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    static const struct {
        const char *name;
        char c;
    } entities[] = {{"&amp;", '&'},  {"&lt;", '<'},  {"&gt;", '>'},
                    {"&#39;", '\''}, {"&#34;", '"'}, {"&quot;", '"'}};
    const pn_text *text;
    pn_builder b = pn_builder_new(r);
    bool space = false, closing = true;
    (void)args;
    if (!subject(r, slots, &text) || !pn_r_charge(r, text->n / 4)) return false;
    for (size_t i = 0; i < text->n;) {
        const char *const s = text->data + i, *end = NULL;
        const int32_t origin = pn_text_origin(text, i);
        uint32_t c;
        if (*s == '<' && closing) end = memchr(s, '>', text->n - i);
        closing = closing && (*s != '<' || end); /* one search that finds nothing is enough */
        if (end) {
            i = (size_t)(end - text->data) + 1;
            continue;
        }
        size_t len = pn_uni_decode(s, text->n - i, &c);
        if (pn_uni_is_space(c)) {
            space = b.n > 0;
            i += len;
            continue;
        }
        if (space && !pn_put(&b, " ", 1, origin)) return false;
        space = false;
        char plain = 0;
        for (size_t k = 0; *s == '&' && k < sizeof entities / sizeof entities[0]; k++) {
            const size_t n = strlen(entities[k].name);
            if (text->n - i < n || memcmp(s, entities[k].name, n) != 0) continue;
            plain = entities[k].c;
            len = n;
            break;
        }
        if (!(plain ? pn_put(&b, &plain, 1, origin) : pn_put(&b, s, len, origin))) return false;
        i += len;
    }
    return pn_builder_text(&b, out);
}

static bool put_quoted(pn_builder *b, const pn_text *text, bool plus) {
    static const char hex[] = "0123456789ABCDEF";
    if (!pn_r_charge(b->r, text->n / 4)) return false;
    for (size_t i = 0; i < text->n; i++) {
        const unsigned char c = (unsigned char)text->data[i];
        const int32_t origin = pn_text_origin(text, i);
        const char code[3] = {'%', hex[c >> 4], hex[c & 15]}, plain = (char)c;
        const bool keep =
            c < 0x80 && (pn_uni_is_word(c) || (c && strchr("-.~", c)) || (c == '/' && !plus));
        if (plus && c == ' ' ? !pn_put(b, "+", 1, origin)
            : keep           ? !pn_put(b, &plain, 1, origin)
                             : !pn_put(b, code, 3, origin))
            return false;
    }
    return true;
}

static bool put_query_part(pn_builder *b, const pn_value *v) {
    const pn_text *text;
    return pn_to_text(b->r, v, &text) && put_quoted(b, text, true);
}

static bool filter_urlencode(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    pn_builder b = pn_builder_new(r);
    const pn_text *text;
    (void)args;
    if (slots[0].kind == PN_V_DICT) {
        for (size_t i = 0; i < slots[0].dict->n; i++) {
            const pn_entry *e = &slots[0].dict->entries[i];
            if ((i && !pn_put_c(&b, "&", 0)) || !put_query_part(&b, &e->key) ||
                !pn_put_c(&b, "=", 0) || !put_query_part(&b, &e->value))
                return false;
        }
    } else if (pn_is_list_like(&slots[0])) {
        for (size_t i = 0; i < slots[0].list->n; i++) {
            pn_list *pair;
            if (!pn_items_of(r, &slots[0].list->items[i], &pair)) return false;
            if (pair->n != 2) return pn_r_fail(r, "urlencode: a pair expected");
            if ((i && !pn_put_c(&b, "&", 0)) || !put_query_part(&b, &pair->items[0]) ||
                !pn_put_c(&b, "=", 0) || !put_query_part(&b, &pair->items[1]))
                return false;
        }
    } else if (!subject(r, slots, &text) || !put_quoted(&b, text, false)) {
        return false;
    }
    return pn_builder_text(&b, out);
}

static bool filter_filesizeformat(pn_render *r, pn_value *slots, const pn_args *args,
                                  pn_value *out) {
    static const char prefixes[] = "kMGTPEZY", binary_prefixes[] = "KMGTPEZY";
    bool binary = false;
    char text[64];
    (void)args;
    if (!pn_arg_bool(r, &slots[1], &binary)) return false;
    if (!pn_is_number(&slots[0]))
        return pn_r_fail(r, "filesizeformat needs a number, not %s", pn_type_name(&slots[0]));
    const double bytes = pn_as_double(&slots[0]), base = binary ? 1024 : 1000;
    if (bytes == 1) return pn_text_value(r, "1 Byte", 6, slots[0].origin, out);
    if (bytes < base) {
        (void)snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes));
        return pn_text_copy(r, text, strlen(text), slots[0].origin, out);
    }
    int i = 0;
    double unit = base * base;
    while (bytes >= unit && i < 7) {
        unit *= base;
        i++;
    }
    (void)snprintf(text, sizeof text, "%.1f %c%sB", base * bytes / unit,
                   binary ? binary_prefixes[i] : prefixes[i], binary ? "i" : "");
    return pn_text_copy(r, text, strlen(text), slots[0].origin, out);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

static const pn_text *strip_spaces(pn_render *r, const pn_text *text) {
    pn_value stripped;
    return pn_text_strip(r, text, NULL, PN_STRIP_BOTH, &stripped) ? stripped.text : NULL;
}

/* A number as Python's float() reads it. */
static bool text_to_double(pn_render *r, const pn_text *text, double *f) {
    const pn_text *s = strip_spaces(r, text);
    if (!s || !s->n || s->n > 400) return false;
    bool digit = false;
    for (size_t i = 0; i < s->n; i++) {
        if (s->data[i] == 0 || (s->data[i] | 32) == 'x' || (s->data[i] | 32) == 'p' ||
            s->data[i] == '(')
            return false;
        digit = digit || (s->data[i] >= '0' && s->data[i] <= '9');
    }
    if (s->data[0] == ' ') return false;
    return pn_parse_float(s->data, s->n, f) && (digit || isnan(*f) || isinf(*f));
}

static bool filter_int(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    int64_t base = 10;
    const pn_value *v = &slots[0];
    const pn_value missing = slots[1].kind ? slots[1] : pn_int(0);
    (void)args;
    *out = missing;
    if (v->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, v);
    if (v->kind == PN_V_STRING) {
        const pn_text *text = strip_spaces(r, v->text);
        bool ok = false;
        double f;
        if (slots[2].kind != PN_V_INT && slots[2].kind) return true;
        if (!text || !pn_arg_int(r, &slots[2], "int(): base", &base)) return false;
        if (base == 0 || (base >= 2 && base <= 36))
            if (!pn_parse_int(r, text->data, text->n, (int)base, out, &ok)) return false;
        if (!ok) *out = missing;
        if (!ok && text_to_double(r, v->text, &f) && !isnan(f) && !isinf(f))
            return pn_float_to_int(r, f, out);
        out->origin = pn_text_origin(v->text, 0);
        return !r->status;
    }
    if (v->kind == PN_V_FLOAT && (isnan(v->f) || isinf(v->f)))
        return v->f == v->f ? pn_float_to_int(r, v->f, out) : true;
    bool ok = true;
    if (v->kind == PN_V_FLOAT)
        ok = pn_float_to_int(r, v->f, out);
    else if (v->kind == PN_V_BOOL)
        *out = pn_int(v->b);
    else if (pn_is_number(v))
        *out = *v;
    if (ok) out->origin = v->origin;
    return ok;
}

static bool filter_float(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_value *v = &slots[0];
    double f;
    (void)args;
    *out = slots[1].kind ? slots[1] : pn_float(0.0);
    if (v->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, v);
    if (pn_is_number(v))
        *out = pn_float(pn_as_double(v));
    else if (v->kind == PN_V_STRING && text_to_double(r, v->text, &f))
        *out = pn_float(f);
    return !r->status;
}

static bool filter_abs(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_value zero = pn_int(0);
    int order;
    (void)args;
    if (slots[0].kind == PN_V_UNDEFINED) return pn_undefined_fail(r, &slots[0]);
    if (!pn_is_number(&slots[0]))
        return pn_r_fail(r, "bad operand type for abs(): '%s'", pn_type_name(&slots[0]));
    if (slots[0].kind == PN_V_FLOAT) {
        *out = pn_float(fabs(slots[0].f));
        return true;
    }
    if (!pn_compare(r, &slots[0], &zero, "<", &order)) return false;
    *out = slots[0];
    if (slots[0].kind == PN_V_BOOL) *out = pn_int(slots[0].b);
    return order >= 0 || pn_negate(r, &slots[0], out);
}

/* Rounds to n decimals; ties as the decimal digits of the number say. */
static double round_decimals(double f, int64_t n) {
    char text[400];
    double result;
    if (!isfinite(f) || n > 300) return f;
    if (n >= 0) {
        const int len = snprintf(text, sizeof text, "%.*f", (int)n, f);
        return len > 0 && (size_t)len < sizeof text && pn_parse_float(text, (size_t)len, &result)
                   ? result
                   : f;
    }
    if (n < -308) return copysign(0.0, f);
    const double p = pow(10, (double)-n);
    return rint(f / p) * p;
}

static bool filter_round(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *method = NULL;
    int64_t precision = 0;
    (void)args;
    if (slots[0].kind == PN_V_UNDEFINED) return pn_undefined_fail(r, &slots[0]);
    if (!pn_is_number(&slots[0]))
        return pn_r_fail(r, "type %s doesn't define __round__ method", pn_type_name(&slots[0]));
    if (!pn_arg_int(r, &slots[1], "round(): precision", &precision) ||
        !pn_arg_text(r, &slots[2], "round(): method", &method))
        return false;
    const double f = pn_as_double(&slots[0]);
    if (!method || pn_text_is(method, "common")) {
        *out = slots[0].kind == PN_V_FLOAT ? pn_float(round_decimals(f, precision)) : slots[0];
        if (slots[0].kind != PN_V_FLOAT && precision < 0) {
            const double rounded = round_decimals(f, precision);
            if (!pn_float_to_int(r, rounded, out)) return false;
        }
        if (slots[0].kind == PN_V_BOOL) *out = pn_int(slots[0].b);
        return true;
    }
    const bool up = pn_text_is(method, "ceil");
    if (!up && !pn_text_is(method, "floor"))
        return pn_r_fail(r, "method must be common, ceil or floor");
    const double p = pow(10, (double)precision);
    if (!isfinite(f) || !isfinite(p) || p == 0)
        return pn_r_fail(r, "round(): cannot convert float infinity to integer");
    *out = pn_float((up ? ceil(f * p) : floor(f * p)) / p);
    return true;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------- */

static bool separators_of(pn_render *r, const pn_value *v, pn_value *item, pn_value *key) {
    pn_list *pair;
    if (v->kind == PN_V_UNSET || v->kind == PN_V_NONE) return true;
    if (!pn_items_of(r, v, &pair)) return false;
    if (pair->n != 2 || pair->items[0].kind != PN_V_STRING || pair->items[1].kind != PN_V_STRING)
        return pn_r_fail(r, "separators: two strings expected");
    *item = pair->items[0];
    *key = pair->items[1];
    return true;
}

/* json.dumps(value, ensure_ascii, indent, separators, sort_keys) */
static bool filter_tojson(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    bool ascii = false, sort = false;
    pn_value space, indent, item, key;
    int64_t width = 0;
    (void)args;
    const bool indented = slots[2].kind != PN_V_UNSET && slots[2].kind != PN_V_NONE;
    if (!pn_arg_bool(r, &slots[1], &ascii) || !pn_arg_bool(r, &slots[4], &sort)) return false;
    if (!pn_text_value(r, " ", 1, 0, &space) ||
        !pn_text_value(r, indented ? "," : ", ", indented ? 1 : 2, 0, &item) ||
        !pn_text_value(r, ": ", 2, 0, &key) || !separators_of(r, &slots[3], &item, &key))
        return false;
    if (slots[2].kind == PN_V_STRING) {
        indent = slots[2];
    } else if (indented) {
        pn_builder b = pn_builder_new(r);
        if (!pn_arg_int(r, &slots[2], "tojson(): indent", &width)) return false;
        if (!pn_put_fill(&b, space.text, width > 0 ? (size_t)width : 0) ||
            !pn_builder_text(&b, &indent))
            return false;
    }
    pn_builder b = pn_builder_new(r);
    return pn_to_json(&b, &slots[0], indented ? indent.text : NULL, item.text, key.text, ascii,
                      sort) &&
           pn_builder_text(&b, out);
}

/* repr(): no line is broken, the keys of dicts keep their order. */
static bool filter_pprint(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    pn_builder b = pn_builder_new(r);
    (void)args;
    return pn_print_repr(&b, &slots[0]) && pn_builder_text(&b, out);
}

/* At most width characters a line, broken at spaces and inside of longer words, not at hyphens; lines stay apart. */
static bool filter_wordwrap(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text = NULL, *by = NULL;
    int64_t width = 79;
    bool break_long = true;
    (void)args;
    if (!text_subject(r, slots, &text) || !pn_arg_int(r, &slots[1], "wordwrap(): width", &width) ||
        !pn_arg_bool(r, &slots[2], &break_long))
        return false;
    if (slots[3].kind != PN_V_NONE && !pn_arg_text(r, &slots[3], "wordwrap(): wrapstring", &by))
        return false;
    if (width <= 0) return pn_r_fail(r, "invalid width %lld (must be > 0)", (long long)width);
    return pn_text_wrap(r, text, (size_t)width, break_long, by, out);
}

const pn_builtin pn_filters_text[] = {
    {"upper", "", 0, filter_upper},
    {"lower", "", 0, filter_lower},
    {"capitalize", "", 0, filter_capitalize},
    {"title", "", 0, filter_title},
    {"trim", "chars", 0, filter_trim},
    {"replace", "old,new,count", 2, filter_replace},
    {"string", "", 0, filter_string},
    {"safe", "", 0, filter_safe},
    {"escape", "", 0, filter_escape},
    {"e", "", 0, filter_escape},
    {"forceescape", "", 0, filter_forceescape},
    {"center", "width", 0, filter_center},
    {"format", NULL, 0, filter_format},
    {"indent", "width,first,blank", 0, filter_indent},
    {"wordcount", "", 0, filter_wordcount},
    {"wordwrap", "width,break_long_words,wrapstring,break_on_hyphens", 0, filter_wordwrap},
    {"truncate", "length,killwords,end,leeway", 0, filter_truncate},
    {"striptags", "", 0, filter_striptags},
    {"urlencode", "", 0, filter_urlencode},
    {"filesizeformat", "binary", 0, filter_filesizeformat},
    {"int", "default,base", 0, filter_int},
    {"float", "default", 0, filter_float},
    {"abs", "", 0, filter_abs},
    {"round", "precision,method", 0, filter_round},
    {"tojson", "ensure_ascii,indent,separators,sort_keys", 0, filter_tojson},
    {"pprint", "", 0, filter_pprint},
    {NULL, NULL, 0, NULL},
};
