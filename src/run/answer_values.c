/* answer_values.c: values that models write in other forms than JSON, as JSON text.
 *
 * Python literals, the argument lists of Gemma 4, and plain text between tags. A reader moves the
 * text behind the value it took; depth is bounded, and work is linear. */
#include "run/answer.h"

#include "base/utf8.h"

#include <string.h>

#define MAX_DEPTH 64

/* ---- Python ---------------------------------------------------------------------------------- */

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static pn_slice take_name(pn_slice *text) {
    pn_slice name = {text->s, 0};
    while (name.n < text->n && is_name_char(text->s[name.n])) name.n++;
    *text = pn_slice_from(*text, name.n);
    return name;
}

static void skip_spaces(pn_slice *text) {
    *text = pn_slice_trim_left(*text);
}

static bool take_char(pn_slice *text, char c) {
    skip_spaces(text);
    if (text->n == 0 || text->s[0] != c) return false;
    *text = pn_slice_from(*text, 1);
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* \xNN, \uNNNN, \UNNNNNNNN: the character, text behind it. */
static bool take_hex(pn_slice *text, int n_digits, pn_buf *out) {
    uint32_t c = 0;
    if (text->n < (size_t)n_digits) return false;
    for (int i = 0; i < n_digits; i++) {
        const int digit = hex_digit(text->s[i]);
        if (digit < 0 || c > 0xfffffff) return false;
        c = c << 4 | (uint32_t)digit;
    }
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) c = 0xfffd;
    char utf8[4];
    *text = pn_slice_from(*text, (size_t)n_digits);
    return pn_buf_append(out, utf8, pn_utf8_encode(c, utf8));
}

static bool take_python_escape(pn_slice *text, pn_buf *out) {
    static const char from[] = "ntrbfav0", to[] = "\n\t\r\b\f\a\v";
    if (text->n == 0) return false;
    const char c = text->s[0];
    *text = pn_slice_from(*text, 1);
    if (c == 'x') return take_hex(text, 2, out);
    if (c == 'u') return take_hex(text, 4, out);
    if (c == 'U') return take_hex(text, 8, out);
    const char *found = c ? strchr(from, c) : NULL;
    if (c == '\n') return true;
    if (found) return pn_buf_append(out, &to[found - from], 1);
    return (strchr("'\"\\", c) || pn_buf_append(out, "\\", 1)) && pn_buf_append(out, &c, 1);
}

static bool take_python_string(pn_slice *text, pn_buf *out) {
    const char quote = text->s[0];
    pn_buf said = {0};
    bool ok = true, ended = false;
    *text = pn_slice_from(*text, 1);
    while (ok && text->n > 0 && !ended) {
        size_t run = 0;
        while (run < text->n && text->s[run] != quote && text->s[run] != '\\') run++;
        ok = pn_buf_append(&said, text->s, run);
        *text = pn_slice_from(*text, run);
        if (!ok || text->n == 0) break;
        ended = text->s[0] == quote;
        *text = pn_slice_from(*text, 1);
        if (!ended) ok = take_python_escape(text, &said);
    }
    ok = ok && ended && pn_json_put(out, said.data ? said.data : "", said.n);
    pn_buf_free(&said);
    return ok;
}

/* A number or a word; Python's are written as JSON's. */
static bool take_scalar(pn_slice *text, pn_buf *out) {
    static const char *const words[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"},
                                           {"true", "true"}, {"false", "false"}, {"null", "null"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t n = strlen(words[i][0]);
        if (!pn_slice_begins(*text, words[i][0]) || (text->n > n && is_name_char(text->s[n])))
            continue;
        *text = pn_slice_from(*text, n);
        return pn_buf_put(out, words[i][1]);
    }
    pn_json number;
    size_t used = 0;
    pn_slice head = {text->s, 0};
    while (head.n < text->n && head.n < 400 && strchr("+-.eE0123456789", text->s[head.n]) &&
           text->s[head.n])
        head.n++;
    const bool ok = head.n > 0 &&
                    pn_json_parse_prefix(head.s, head.n, "", &number, &used, NULL) == PUNA_OK &&
                    used == head.n && pn_buf_append(out, head.s, head.n);
    if (head.n > 0) pn_json_free(&number);
    if (ok) *text = pn_slice_from(*text, head.n);
    return ok;
}

static bool take_python(pn_slice *text, pn_buf *out, int depth);

static bool take_python_list(pn_slice *text, pn_buf *out, char end, int depth) {
    bool ok = pn_buf_put(out, "["), first = true;
    *text = pn_slice_from(*text, 1);
    while (ok && !take_char(text, end)) {
        ok = (first || take_char(text, ',')) && !(!first && take_char(text, end) && text->n == 0);
        if (ok && !first && text->n > 0 && text->s[0] == end) continue;
        ok = ok && (first || pn_buf_put(out, ", ")) && take_python(text, out, depth + 1);
        first = false;
    }
    return ok && pn_buf_put(out, "]");
}

static bool take_python_dict(pn_slice *text, pn_buf *out, int depth) {
    bool ok = pn_buf_put(out, "{"), first = true;
    *text = pn_slice_from(*text, 1);
    while (ok && !take_char(text, '}')) {
        ok = first || (take_char(text, ',') && pn_buf_put(out, ", "));
        skip_spaces(text);
        ok = ok && text->n > 0 && (text->s[0] == '"' || text->s[0] == '\'') &&
             take_python_string(text, out) && take_char(text, ':') && pn_buf_put(out, ": ") &&
             take_python(text, out, depth + 1);
        first = false;
    }
    return ok && pn_buf_put(out, "}");
}

static bool take_python(pn_slice *text, pn_buf *out, int depth) {
    skip_spaces(text);
    if (text->n == 0 || depth > MAX_DEPTH) return false;
    switch (text->s[0]) {
    case '"':
    case '\'': return take_python_string(text, out);
    case '[': return take_python_list(text, out, ']', depth);
    case '(': return take_python_list(text, out, ')', depth);
    case '{': return take_python_dict(text, out, depth);
    default: return take_scalar(text, out);
    }
}

bool pn_value_python(pn_slice *text, pn_buf *out) {
    return take_python(text, out, 0);
}

bool pn_value_python_call(pn_slice *text, pn_slice *name, pn_buf *out) {
    skip_spaces(text);
    *name = take_name(text);
    bool ok = name->n > 0 && take_char(text, '(') && pn_buf_put(out, "{"), first = true;
    while (ok && !take_char(text, ')')) {
        ok = first || (take_char(text, ',') && pn_buf_put(out, ", "));
        skip_spaces(text);
        const pn_slice key = ok ? take_name(text) : (pn_slice){"", 0};
        ok = ok && key.n > 0 && take_char(text, '=') && pn_json_put(out, key.s, key.n) &&
             pn_buf_put(out, ": ") && take_python(text, out, 1);
        first = false;
    }
    return ok && pn_buf_put(out, "}");
}

/* ---- Gemma 4 --------------------------------------------------------------------------------- */

#define GEMMA_QUOTE "<|\"|>"

static bool take_gemma(pn_slice *text, pn_buf *out, int depth);

static bool take_gemma_string(pn_slice *text, pn_buf *out) {
    const size_t n = strlen(GEMMA_QUOTE), end = pn_slice_find(*text, GEMMA_QUOTE, n);
    if (end == SIZE_MAX || !pn_json_put(out, text->s + n, end - n)) return false;
    *text = pn_slice_from(*text, end + n);
    return true;
}

static bool take_gemma_object(pn_slice *text, pn_buf *out, int depth) {
    bool ok = pn_buf_put(out, "{"), first = true;
    *text = pn_slice_from(*text, 1);
    while (ok && !take_char(text, '}')) {
        ok = first || (take_char(text, ',') && pn_buf_put(out, ", "));
        skip_spaces(text);
        if (ok && pn_slice_begins(*text, GEMMA_QUOTE)) {
            ok = take_gemma_string(text, out);
        } else {
            const pn_slice key = ok ? take_name(text) : (pn_slice){"", 0};
            ok = ok && key.n > 0 && pn_json_put(out, key.s, key.n);
        }
        ok =
            ok && take_char(text, ':') && pn_buf_put(out, ": ") && take_gemma(text, out, depth + 1);
        first = false;
    }
    return ok && pn_buf_put(out, "}");
}

static bool take_gemma_list(pn_slice *text, pn_buf *out, int depth) {
    bool ok = pn_buf_put(out, "["), first = true;
    *text = pn_slice_from(*text, 1);
    while (ok && !take_char(text, ']')) {
        ok = (first || (take_char(text, ',') && pn_buf_put(out, ", "))) &&
             take_gemma(text, out, depth + 1);
        first = false;
    }
    return ok && pn_buf_put(out, "]");
}

static bool take_gemma(pn_slice *text, pn_buf *out, int depth) {
    skip_spaces(text);
    if (text->n == 0 || depth > MAX_DEPTH) return false;
    if (pn_slice_begins(*text, GEMMA_QUOTE)) return take_gemma_string(text, out);
    if (text->s[0] == '{') return take_gemma_object(text, out, depth);
    if (text->s[0] == '[') return take_gemma_list(text, out, depth);
    if (text->s[0] == '"') return take_python_string(text, out);
    return take_scalar(text, out);
}

bool pn_value_gemma(pn_slice *text, pn_buf *out) {
    return take_gemma(text, out, 0);
}

/* ---- text between tags ----------------------------------------------------------------------- */

static bool is_name(const pn_json *json, int32_t node, pn_slice name) {
    pn_buf text = {0};
    const bool same = node >= 0 && pn_json_kind_of(json, node) == PN_JSON_STRING &&
                      pn_json_append_text(json, node, &text) && text.n == name.n &&
                      memcmp(text.data, name.s, name.n) == 0;
    pn_buf_free(&text);
    return same;
}

/* The schema of a parameter of one of the tools, or -1. */
static int32_t schema_of(const pn_json *tools, pn_slice function, pn_slice parameter) {
    if (tools->n_nodes == 0) return -1;
    for (int32_t tool = 1; tool < tools->nodes[0].next; tool = tools->nodes[tool].next) {
        const int32_t inner = pn_json_member(tools, tool, "function");
        const int32_t f = inner >= 0 ? inner : tool;
        if (!is_name(tools, pn_json_member(tools, f, "name"), function)) continue;
        const int32_t schema = pn_json_member(tools, f, "parameters");
        const int32_t all = pn_json_member(tools, schema, "properties");
        if (all < 0 || pn_json_kind_of(tools, all) != PN_JSON_OBJECT) return -1;
        for (int32_t i = all + 1; i < tools->nodes[all].next; i = tools->nodes[i + 1].next)
            if (is_name(tools, i, parameter)) return i + 1;
        return -1;
    }
    return -1;
}

static bool is_json(pn_slice text) {
    pn_json json;
    const bool ok = text.n > 0 && pn_json_parse(text.s, text.n, "", &json, NULL) == PUNA_OK;
    if (text.n > 0) pn_json_free(&json);
    return ok;
}

bool pn_value_of_text(const pn_answer *a, pn_slice function, pn_slice parameter, pn_slice text,
                      pn_buf *out) {
    const int32_t schema = schema_of(&a->tools, function, parameter);
    const int32_t type = pn_json_member(&a->tools, schema, "type");
    const pn_slice value = pn_slice_trim(text);
    if (pn_json_equals(&a->tools, type, "string") &&
        !(value.n && value.s[0] == '"' && is_json(value)))
        return pn_json_put(out, text.s, text.n);
    if (is_json(value)) return pn_buf_append(out, value.s, value.n);
    const size_t before = out->n;
    pn_slice rest = value;
    if (value.n > 0 &&
        (strchr("[{(", value.s[0]) || pn_slice_begins(value, "True") ||
         pn_slice_begins(value, "False") || pn_slice_begins(value, "None")) &&
        value.s[0] && pn_value_python(&rest, out) && rest.n == 0)
        return true;
    out->n = before;
    return pn_json_put(out, text.s, text.n);
}
