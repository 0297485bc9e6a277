/* jinja_json.c: values to JSON text (Python's json.dumps), JSON values and JSON text to values.
 *
 * What is read gets the origin of the variable it is read for; each element of `messages` has one of its own. Text
 * that is no UTF-8, and half surrogate pairs, become U+FFFD. */
#include "tmpl/jinja_render.h"
#include "tmpl/tmpl.h"
#include "tmpl/jinja_unicode.h"

#include <math.h>
#include <string.h>

/* ---- writing -------------------------------------------------------------------------------------------- */

typedef struct writer {
    pn_builder *b;
    const pn_text *indent, *item, *key; /* indent NULL: on one line */
    bool ensure_ascii, sort_keys;
} writer;

static bool write_at(const writer *w, const pn_value *v, int depth);

static bool put_u(pn_builder *b, uint32_t unit, int32_t origin) {
    static const char hex[] = "0123456789abcdef";
    const char text[6] = {
        '\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};
    return pn_put(b, text, 6, origin);
}

static bool put_json_char(const writer *w, const pn_text *text, size_t at, size_t len, uint32_t c) {
    static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
    const int32_t origin = pn_text_origin(text, at);
    const char *found = c && c < 0x80 ? strchr(from, (int)c) : NULL;
    if (found) {
        const char escape[2] = {'\\', to[found - from]};
        return pn_put(w->b, escape, 2, origin);
    }
    if (c < 0x20 || (w->ensure_ascii && c > 0x7e && c < 0x10000 && c != 0x7f))
        return put_u(w->b, c, origin);
    if (w->ensure_ascii && c >= 0x10000)
        return put_u(w->b, 0xd7c0 + (c >> 10), origin) && put_u(w->b, 0xdc00 | (c & 0x3ff), origin);
    return pn_put(w->b, text->data + at, len, origin);
}

static bool plain_json_byte(char c) {
    return (unsigned char)c >= 0x20 && c != '"' && c != '\\' && (unsigned char)c < 0x7f;
}

static bool write_text(const writer *w, const pn_text *text) {
    const int32_t first = text->n ? pn_text_origin(text, 0) : text->origin;
    const int32_t last = text->n ? pn_text_origin(text, text->n - 1) : first;
    if (!pn_put(w->b, "\"", 1, first) || !pn_r_charge(w->b->r, text->n / 32)) return false;
    for (size_t i = 0; i < text->n;) {
        size_t run = i;
        while (run < text->n && plain_json_byte(text->data[run])) run++;
        if (!pn_put_range(w->b, text, i, run)) return false;
        i = run;
        if (i == text->n) break;
        uint32_t c;
        const size_t len = pn_uni_decode(text->data + i, text->n - i, &c);
        if (!put_json_char(w, text, i, len, c)) return false;
        i += len;
    }
    return pn_put(w->b, "\"", 1, last);
}

static bool write_number(const writer *w, const pn_value *v) {
    char text[40];
    if (v->kind != PN_V_FLOAT) return pn_put_int(w->b, v);
    if (isnan(v->f)) return pn_put_c(w->b, "NaN", v->origin);
    if (isinf(v->f)) return pn_put_c(w->b, v->f < 0 ? "-Infinity" : "Infinity", v->origin);
    const size_t n = pn_format_double(v->f, text);
    return pn_put(w->b, text, n, v->origin);
}

/* Separators and line ends inside of a container have its origin. */
static bool write_mark(const writer *w, const pn_text *mark, int32_t origin) {
    return origin ? pn_put(w->b, mark->data, mark->n, origin) : pn_put_text(w->b, mark);
}

static bool write_line(const writer *w, int depth, int32_t origin) {
    if (!w->indent) return true;
    if (!pn_put(w->b, "\n", 1, origin)) return false;
    for (int i = 0; i < depth; i++)
        if (!write_mark(w, w->indent, origin)) return false;
    return true;
}

static bool write_separator(const writer *w, size_t i, int depth, int32_t origin) {
    return (i == 0 || write_mark(w, w->item, origin)) && write_line(w, depth, origin);
}

static bool write_list(const writer *w, const pn_value *v, int depth) {
    if (!v->list->n) return pn_put_c(w->b, "[]", v->origin);
    if (!pn_put_c(w->b, "[", v->origin)) return false;
    for (size_t i = 0; i < v->list->n; i++)
        if (!write_separator(w, i, depth + 1, v->origin) ||
            !write_at(w, &v->list->items[i], depth + 1))
            return false;
    return write_line(w, depth, v->origin) && pn_put_c(w->b, "]", v->origin);
}

static bool write_key(const writer *w, const pn_value *key) {
    if (key->kind == PN_V_STRING) return write_text(w, key->text);
    if (key->kind != PN_V_NONE && !pn_is_number(key))
        return pn_r_fail(w->b->r, "keys must be str, int, float, bool or None, not %s",
                         pn_type_name(key));
    return pn_put_c(w->b, "\"", key->origin) && write_at(w, key, 0) &&
           pn_put_c(w->b, "\"", key->origin);
}

static bool write_dict(const writer *w, const pn_value *v, int depth) {
    pn_render *r = w->b->r;
    const size_t n = v->dict->n;
    if (!n) return pn_put_c(w->b, "{}", v->origin);
    pn_value *rows = pn_r_array(r, 2 * n, sizeof *rows);
    if (!rows) return false;
    for (size_t i = 0; i < n; i++) {
        rows[2 * i] = v->dict->entries[i].key;
        rows[2 * i + 1] = v->dict->entries[i].value;
    }
    if (w->sort_keys && !pn_sort_rows(r, rows, n, 2, false)) return false;
    if (!pn_put_c(w->b, "{", v->origin)) return false;
    for (size_t i = 0; i < n; i++)
        if (!write_separator(w, i, depth + 1, v->origin) || !write_key(w, &rows[2 * i]) ||
            !write_mark(w, w->key, v->origin) || !write_at(w, &rows[2 * i + 1], depth + 1))
            return false;
    return write_line(w, depth, v->origin) && pn_put_c(w->b, "}", v->origin);
}

static bool write_at(const writer *w, const pn_value *v, int depth) {
    pn_render *r = w->b->r;
    if (!pn_r_charge(r, 1)) return false;
    if (depth > PN_TMPL_MAX_VALUE_DEPTH)
        return pn_r_limit(r, "a value nested deeper than %d", PN_TMPL_MAX_VALUE_DEPTH);
    switch ((pn_kind)v->kind) {
    case PN_V_NONE: return pn_put_c(w->b, "null", v->origin);
    case PN_V_BOOL: return pn_put_c(w->b, v->b ? "true" : "false", v->origin);
    case PN_V_INT:
    case PN_V_BIG:
    case PN_V_FLOAT: return write_number(w, v);
    case PN_V_STRING: return write_text(w, v->text);
    case PN_V_LIST:
    case PN_V_TUPLE: return write_list(w, v, depth);
    case PN_V_DICT: return write_dict(w, v, depth);
    default: return pn_r_fail(r, "Object of type %s is not JSON serializable", pn_type_name(v));
    }
}

bool pn_to_json(pn_builder *b, const pn_value *v, const pn_text *indent, const pn_text *item,
                const pn_text *key, bool ensure_ascii, bool sort_keys) {
    const writer w = {b, indent, item, key, ensure_ascii, sort_keys};
    return write_at(&w, v, 0);
}

/* ---- reading a value of the JSON library ------------------------------------------------------------------ */

/* Text of a variable: not copied where it is valid, for the variables outlive the rendering. */
static bool read_text(pn_render *r, const char *s, size_t n, pn_value *out) {
    size_t i = 0, n_chars = 0;
    uint32_t c;
    for (size_t len; i < n && (len = pn_utf8_decode(s + i, n - i, &c)); i += len) n_chars++;
    if (!pn_r_charge(r, n / 64)) return false;
    if (i == n) {
        pn_text *text = pn_r_alloc(r, sizeof *text);
        if (!text) return false;
        *text = (pn_text){.data = s, .n = n, .n_chars = n_chars, .origin = r->data_origin};
        *out = (pn_value){.kind = PN_V_STRING, .text = text};
        return true;
    }
    pn_builder b = pn_builder_new(r);
    for (i = 0; i < n;) {
        const size_t len = pn_uni_decode(s + i, n - i, &c); /* U+FFFD for what is invalid */
        if (!pn_put_code(&b, c, r->data_origin)) return false;
        i += len;
    }
    return pn_builder_text(&b, out);
}

static void begin_element(pn_render *r, size_t i, int depth) {
    if (depth == 0 && r->in_messages && i < INT32_MAX / 2)
        r->data_origin = PN_FROM_MESSAGES + (int32_t)i;
}

/* A role that is one of the options' is no text of the message's author: templates spell special
 * tokens with it ("<|" + role + "|>"). */
static bool mark_role(pn_render *r, const pn_value *key, pn_value *value) {
    const char *const *known = r->options->roles;
    const pn_text *name = key->text;
    if (!known || value->kind != PN_V_STRING || name->n != 4 || memcmp(name->data, "role", 4) != 0)
        return true;
    while (*known && (strlen(*known) != value->text->n ||
                      memcmp(*known, value->text->data, value->text->n) != 0))
        known++;
    if (!*known) return true;
    pn_text *text = pn_r_alloc(r, sizeof *text);
    if (!text) return false;
    *text = (pn_text){.data = value->text->data,
                      .n = value->text->n,
                      .n_chars = SIZE_MAX,
                      .origin = PN_FROM_TEMPLATE};
    value->text = text;
    return true;
}

static bool read_array(pn_render *r, const json_t *json, int depth, pn_value *out) {
    const size_t n = json_array_size(json);
    const int32_t origin = r->data_origin;
    if (!pn_list_new(r, PN_V_LIST, NULL, out)) return false;
    for (size_t i = 0; i < n; i++) {
        pn_value item;
        begin_element(r, i, depth);
        if (!pn_read_json(r, json_array_get(json, i), depth + 1, &item) ||
            !pn_list_add(r, out->list, item))
            return false;
    }
    r->data_origin = origin;
    return true;
}

static bool read_object(pn_render *r, const json_t *json, int depth, pn_value *out) {
    const char *name;
    size_t name_bytes;
    json_t *member;
    if (!pn_dict_new(r, out)) return false;
    json_object_keylen_foreach((json_t *)(uintptr_t)json, name, name_bytes, member) {
        pn_value key, value;
        if (!read_text(r, name, name_bytes, &key) || !pn_read_json(r, member, depth + 1, &value))
            return false;
        if (depth == 1 && r->in_messages && !mark_role(r, &key, &value)) return false;
        if (!pn_dict_set(r, out->dict, key, value)) return false;
    }
    return true;
}

bool pn_read_json(pn_render *r, const json_t *json, int depth, pn_value *out) {
    if (depth > PN_TMPL_MAX_VALUE_DEPTH)
        return pn_r_limit(r, "a variable nested deeper than %d", PN_TMPL_MAX_VALUE_DEPTH);
    bool ok = pn_r_charge(r, 1);
    switch (json_typeof(json)) {
    case JSON_OBJECT: ok = ok && read_object(r, json, depth, out); break;
    case JSON_ARRAY: ok = ok && read_array(r, json, depth, out); break;
    case JSON_STRING:
        ok = ok && read_text(r, json_string_value(json), json_string_length(json), out);
        break;
    case JSON_INTEGER: *out = pn_int(json_integer_value(json)); break;
    case JSON_REAL: *out = pn_float(json_real_value(json)); break;
    case JSON_TRUE: *out = pn_bool(true); break;
    case JSON_FALSE: *out = pn_bool(false); break;
    default: *out = pn_none();
    }
    out->origin = r->data_origin;
    return ok;
}

/* ---- reading JSON text -------------------------------------------------------------------------------------- */

typedef struct reader {
    pn_render *r;
    const char *s;
    size_t n, at;
} reader;

static bool fail_json(const reader *x) {
    return pn_r_fail(x->r, "malformed JSON at byte %zu", x->at);
}

static void skip_space(reader *x) {
    while (x->at < x->n && (x->s[x->at] == ' ' || x->s[x->at] == '\t' || x->s[x->at] == '\n' ||
                            x->s[x->at] == '\r'))
        x->at++;
}

static bool take(reader *x, const char *word) {
    const size_t n = strlen(word);
    if (x->n - x->at < n || memcmp(x->s + x->at, word, n) != 0) return false;
    x->at += n;
    return true;
}

static bool take_hex(reader *x, uint32_t *unit) {
    *unit = 0;
    if (x->n - x->at < 4) return false;
    for (int i = 0; i < 4; i++, x->at++) {
        const char c = x->s[x->at];
        const int d = c >= '0' && c <= '9'                 ? c - '0'
                      : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                           : -1;
        if (d < 0) return false;
        *unit = *unit << 4 | (uint32_t)d;
    }
    return true;
}

static bool read_escape(reader *x, pn_builder *b) {
    static const char from[] = "\"\\/nrtfb", to[] = "\"\\/\n\r\t\f\b";
    if (x->at >= x->n) return fail_json(x);
    const char c = x->s[x->at++];
    const char *found = c ? strchr(from, c) : NULL;
    uint32_t code, low;
    if (found) return pn_put(b, &to[found - from], 1, x->r->data_origin);
    if (c != 'u' || !take_hex(x, &code)) return fail_json(x);
    if (code >= 0xd800 && code < 0xdc00) {
        const size_t before = x->at;
        if (take(x, "\\u") && take_hex(x, &low) && low >= 0xdc00 && low < 0xe000)
            return pn_put_code(b, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00),
                               x->r->data_origin);
        x->at = before;
    }
    return pn_put_code(b, code >= 0xd800 && code < 0xe000 ? 0xfffd : code, x->r->data_origin);
}

static bool read_string(reader *x, pn_value *out) {
    pn_builder b = pn_builder_new(x->r);
    x->at++;
    for (;;) {
        uint32_t c;
        size_t len, run = x->at;
        while (run < x->n && x->s[run] != '"' && x->s[run] != '\\' &&
               (len = pn_utf8_decode(x->s + run, x->n - run, &c)))
            run += len;
        if (!pn_put(&b, x->s + x->at, run - x->at, x->r->data_origin)) return false;
        x->at = run;
        if (x->at >= x->n) return fail_json(x);
        const char mark = x->s[x->at++];
        if (mark == '"') break;
        if (mark == '\\' ? !read_escape(x, &b) : !pn_put_code(&b, 0xfffd, x->r->data_origin))
            return false;
    }
    if (!pn_builder_text(&b, out)) return false;
    if (!out->text->n) ((pn_text *)(uintptr_t)out->text)->origin = x->r->data_origin;
    return true;
}

static bool read_number(reader *x, pn_value *out) {
    const size_t begin = x->at;
    bool is_float = false, ok = false;
    while (x->at < x->n && strchr("+-.eE0123456789", x->s[x->at]) && x->s[x->at]) {
        is_float = is_float || strchr(".eE", x->s[x->at]);
        x->at++;
    }
    const char *const text = x->s + begin;
    const size_t n = x->at - begin;
    double f;
    if (!is_float) {
        if (!pn_parse_int(x->r, text, n, 10, out, &ok)) return false;
        return ok || fail_json(x);
    }
    if (!pn_parse_float(text, n, &f)) return fail_json(x);
    *out = pn_float(f);
    return true;
}

static bool read_value(reader *x, int depth, pn_value *out);

static bool read_list(reader *x, int depth, pn_value *out) {
    const int32_t origin = x->r->data_origin;
    x->at++;
    if (!pn_list_new(x->r, PN_V_LIST, NULL, out)) return false;
    skip_space(x);
    if (take(x, "]")) return true;
    for (;;) {
        pn_value item;
        begin_element(x->r, out->list->n, depth - 1); /* the variables themselves are depth 0 */
        if (!read_value(x, depth + 1, &item) || !pn_list_add(x->r, out->list, item)) return false;
        skip_space(x);
        if (take(x, "]")) break;
        if (!take(x, ",")) return fail_json(x);
    }
    x->r->data_origin = origin;
    return true;
}

static bool read_dict(reader *x, int depth, pn_value *out) {
    x->at++;
    if (!pn_dict_new(x->r, out)) return false;
    skip_space(x);
    if (take(x, "}")) return true;
    for (;;) {
        pn_value key, value;
        skip_space(x);
        if (x->at >= x->n || x->s[x->at] != '"') return fail_json(x);
        if (!read_string(x, &key)) return false;
        skip_space(x);
        if (!take(x, ":")) return fail_json(x);
        if (depth == 0) pn_r_begin_variable(x->r, key.text->data, key.text->n);
        if (!read_value(x, depth + 1, &value) ||
            (depth == 2 && x->r->in_messages && !mark_role(x->r, &key, &value)) ||
            !pn_dict_set(x->r, out->dict, key, value))
            return false;
        skip_space(x);
        if (take(x, "}")) return true;
        if (!take(x, ",")) return fail_json(x);
    }
}

static bool read_value(reader *x, int depth, pn_value *out) {
    if (depth > PN_TMPL_MAX_VALUE_DEPTH)
        return pn_r_limit(x->r, "a variable nested deeper than %d", PN_TMPL_MAX_VALUE_DEPTH);
    if (!pn_r_charge(x->r, 1)) return false;
    skip_space(x);
    const char c = x->at < x->n ? x->s[x->at] : 0;
    bool ok = true;
    if (c == '"')
        ok = read_string(x, out);
    else if (c == '{')
        ok = read_dict(x, depth, out);
    else if (c == '[')
        ok = read_list(x, depth, out);
    else if (take(x, "null"))
        *out = pn_none();
    else if (take(x, "true"))
        *out = pn_bool(true);
    else if (take(x, "false"))
        *out = pn_bool(false);
    else if (take(x, "NaN"))
        *out = pn_float(NAN);
    else if (take(x, "Infinity"))
        *out = pn_float(INFINITY);
    else if (take(x, "-Infinity"))
        *out = pn_float(-INFINITY);
    else if (c == '-' || (c >= '0' && c <= '9'))
        ok = read_number(x, out);
    else
        ok = fail_json(x);
    if (ok) out->origin = x->r->data_origin;
    return ok;
}

bool pn_read_json_text(pn_render *r, const char *text, size_t n, pn_value *out) {
    reader x = {r, text, n, 0};
    if (!read_value(&x, 0, out)) return false;
    skip_space(&x);
    return x.at == n || fail_json(&x);
}
