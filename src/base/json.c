/* json.c: see json.h. The parser keeps its own stack, so depth costs no C stack. */
#include "base/json.h"

#include "base/error.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

typedef struct parser {
    pn_json *json;
    const char *what;
    size_t at;
    int32_t stack[PN_JSON_MAX_DEPTH]; /* open lists and objects */
    int32_t depth;
    puna_error *err;
} parser;

/* ---- messages -------------------------------------------------------------------------------- */

/* "messages[2].content": the first three levels that are open. */
static void write_path(const parser *p, char *out, size_t cap) {
    const pn_json *json = p->json;
    int n = snprintf(out, cap, "%s", p->what);
    for (int32_t i = 0; i < p->depth && i < 3 && n > 0 && (size_t)n < cap; i++) {
        const pn_json_node *open = &json->nodes[p->stack[i]];
        const int32_t inner = i + 1 < p->depth ? p->stack[i + 1] : -1;
        if (open->kind == PN_JSON_LIST) {
            n += snprintf(out + n, cap - (size_t)n, "[%d]", open->n);
            continue;
        }
        int32_t name = -1;
        for (int32_t k = p->stack[i] + 1; k < json->n_nodes; k = json->nodes[k].next) {
            name = k;
            if (++k >= json->n_nodes || k == inner || json->nodes[k].next < 0) break;
        }
        if (name < 0) return;
        char shown[PN_ESCAPED_BYTES];
        const pn_json_node *node = &json->nodes[name];
        n += snprintf(
            out + n, cap - (size_t)n, ".%.32s",
            pn_escape(shown, json->text + node->begin + 1, (size_t)node->end - node->begin - 2));
    }
}

static puna_status fail(const parser *p, puna_status code, const char *text) {
    char path[120];
    write_path(p, path, sizeof path);
    return pn_fail(p->err, code, "%s: byte %zu: %s", path, p->at, text);
}

const char *pn_json_kind_name(pn_json_kind kind) {
    static const char *const names[] = {"null",     "false",  "true",     "a number",
                                        "a string", "a list", "an object"};
    return names[kind];
}

/* ---- parsing --------------------------------------------------------------------------------- */

static puna_status add_node(parser *p, pn_json_kind kind, size_t begin, size_t end) {
    pn_json *json = p->json;
    if (json->n_nodes == PN_JSON_MAX_NODES)
        return fail(p, PUNA_E_LIMIT, "more than 4194304 values in one text");
    if (json->n_nodes == json->cap) {
        const int32_t cap = json->cap ? json->cap * 2 : 64;
        pn_json_node *nodes = pn_realloc(json->nodes, (size_t)cap, sizeof *nodes);
        if (!nodes) return pn_fail_nomem(p->err, (size_t)cap * sizeof *nodes, "reading JSON");
        json->nodes = nodes;
        json->cap = cap;
    }
    const int32_t at = json->n_nodes++;
    const bool is_open = kind >= PN_JSON_LIST;
    json->nodes[at] =
        (pn_json_node){kind, (uint32_t)begin, (uint32_t)end, is_open ? -1 : at + 1, 0};
    return PUNA_OK;
}

static void skip_blanks(parser *p) {
    const char *text = p->json->text;
    while (p->at < p->json->n_bytes && (text[p->at] == ' ' || text[p->at] == '\n' ||
                                        text[p->at] == '\r' || text[p->at] == '\t'))
        p->at++;
}

static char peek(const parser *p) {
    return p->at < p->json->n_bytes ? p->json->text[p->at] : 0;
}

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static puna_status parse_string(parser *p) {
    const char *text = p->json->text;
    const size_t n = p->json->n_bytes, begin = p->at++;
    for (; p->at < n && text[p->at] != '"'; p->at++) {
        if ((unsigned char)text[p->at] < 0x20)
            return fail(p, PUNA_E_FORMAT, "a control character in a string: write it as \\uXXXX");
        if (text[p->at] != '\\') continue;
        p->at++;
        if (p->at < n && text[p->at] == 'u') {
            for (int i = 0; i < 4; i++)
                if (++p->at >= n || !is_hex(text[p->at]))
                    return fail(p, PUNA_E_FORMAT, "expected four hexadecimal digits after \\u");
        } else if (p->at < n && (!text[p->at] || !strchr("\"\\/bfnrt", text[p->at]))) {
            return fail(p, PUNA_E_FORMAT, "an unknown escape in a string");
        }
    }
    if (p->at >= n) return fail(p, PUNA_E_FORMAT, "a string that does not end");
    p->at++;
    return add_node(p, PN_JSON_STRING, begin, p->at);
}

static size_t skip_digits(parser *p) {
    const size_t begin = p->at;
    while (peek(p) >= '0' && peek(p) <= '9') p->at++;
    return p->at - begin;
}

static puna_status parse_number(parser *p) {
    const size_t begin = p->at;
    if (peek(p) == '-') p->at++;
    const bool zero = peek(p) == '0';
    const size_t digits = skip_digits(p);
    bool ok = digits > 0 && !(zero && digits > 1);
    if (ok && peek(p) == '.') {
        p->at++;
        ok = skip_digits(p) > 0;
    }
    if (ok && (peek(p) == 'e' || peek(p) == 'E')) {
        p->at++;
        if (peek(p) == '+' || peek(p) == '-') p->at++;
        ok = skip_digits(p) > 0;
    }
    if (!ok) return fail(p, PUNA_E_FORMAT, "a number that is none");
    return add_node(p, PN_JSON_NUMBER, begin, p->at);
}

static puna_status parse_word(parser *p) {
    static const struct {
        const char *text;
        pn_json_kind kind;
    } words[] = {{"null", PN_JSON_NULL}, {"false", PN_JSON_FALSE}, {"true", PN_JSON_TRUE}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t n = strlen(words[i].text);
        if (p->json->n_bytes - p->at < n || memcmp(p->json->text + p->at, words[i].text, n) != 0)
            continue;
        p->at += n;
        return add_node(p, words[i].kind, p->at - n, p->at);
    }
    return fail(p, PUNA_E_FORMAT,
                p->at < p->json->n_bytes ? "expected a value" : "the text ends where a value is");
}

static puna_status open_container(parser *p, pn_json_kind kind) {
    if (p->depth == PN_JSON_MAX_DEPTH)
        return fail(p, PUNA_E_LIMIT, "nested deeper than 128 lists and objects");
    const puna_status status = add_node(p, kind, p->at, 0);
    if (status) return status;
    p->stack[p->depth++] = p->json->n_nodes - 1;
    p->at++;
    return PUNA_OK;
}

static pn_json_node *innermost(const parser *p) {
    return &p->json->nodes[p->stack[p->depth - 1]];
}

static void close_container(parser *p) {
    pn_json_node *node = innermost(p);
    p->at++;
    node->end = (uint32_t)p->at;
    node->next = p->json->n_nodes;
    p->depth--;
}

/* "name": of the next member, which must be there. */
static puna_status parse_name(parser *p) {
    skip_blanks(p);
    if (peek(p) != '"') return fail(p, PUNA_E_FORMAT, "expected a name in double quotes");
    const puna_status status = parse_string(p);
    if (status) return status;
    skip_blanks(p);
    if (peek(p) != ':') return fail(p, PUNA_E_FORMAT, "expected ':' after a name");
    p->at++;
    return PUNA_OK;
}

static puna_status begin_value(parser *p, bool *opened) {
    skip_blanks(p);
    const char c = peek(p);
    *opened = c == '[' || c == '{';
    if (*opened) return open_container(p, c == '[' ? PN_JSON_LIST : PN_JSON_OBJECT);
    if (c == '"') return parse_string(p);
    if (c == '-' || (c >= '0' && c <= '9')) return parse_number(p);
    return parse_word(p);
}

/* After a value, or right after an opening bracket (first): closes what ends here. Then either the
 * text is done (depth 0) or a value follows. */
static puna_status go_on(parser *p, bool first) {
    while (p->depth > 0) {
        const bool list = innermost(p)->kind == PN_JSON_LIST;
        if (!first) innermost(p)->n++;
        skip_blanks(p);
        const char c = peek(p);
        if (c == (list ? ']' : '}')) {
            close_container(p);
            first = false;
            continue;
        }
        if (!first && c != ',')
            return fail(p, PUNA_E_FORMAT, list ? "expected ',' or ']'" : "expected ',' or '}'");
        if (!first) p->at++;
        return list ? PUNA_OK : parse_name(p);
    }
    return PUNA_OK;
}

puna_status pn_json_parse_prefix(const char *text, size_t n, const char *what, pn_json *json,
                                 size_t *used, puna_error *err) {
    *json = (pn_json){.text = text, .n_bytes = n};
    parser p = {.json = json, .what = what, .err = err};
    if (n > PN_JSON_MAX_BYTES)
        return pn_fail(err, PUNA_E_LIMIT, "%s: %zu bytes: at most %zu are read", what, n,
                       PN_JSON_MAX_BYTES);
    puna_status status = PUNA_OK;
    do {
        bool opened = false;
        status = begin_value(&p, &opened);
        if (!status) status = go_on(&p, opened);
    } while (!status && p.depth > 0);
    *used = p.at;
    return status;
}

puna_status pn_json_parse(const char *text, size_t n, const char *what, pn_json *json,
                          puna_error *err) {
    size_t used = 0;
    const puna_status status = pn_json_parse_prefix(text, n, what, json, &used, err);
    if (status) return status;
    parser p = {.json = json, .what = what, .at = used, .err = err};
    skip_blanks(&p);
    return p.at == n ? PUNA_OK : fail(&p, PUNA_E_FORMAT, "something stands after the value");
}

void pn_json_free(pn_json *json) {
    pn_free(json->nodes);
    *json = (pn_json){0};
}

/* ---- strings --------------------------------------------------------------------------------- */

static uint32_t hex_value(const char *s) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        const char c = s[i];
        const uint32_t digit = c <= '9' ? (uint32_t)(c - '0') : (uint32_t)((c | 32) - 'a' + 10);
        value = value << 4 | digit;
    }
    return value;
}

/* The character of an escape, s pointing behind the backslash; *used gets its bytes. */
static uint32_t read_escape(const char *s, const char *end, size_t *used) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    *used = 1;
    if (*s != 'u') {
        const char *found = strchr(from, *s);
        return (unsigned char)(found ? to[found - from] : *s);
    }
    *used = 5;
    const uint32_t unit = hex_value(s + 1);
    if (unit < 0xd800 || unit > 0xdfff) return unit;
    if (unit > 0xdbff || end - s < 11 || s[5] != '\\' || s[6] != 'u') return 0xfffd;
    const uint32_t low = hex_value(s + 7);
    if (low < 0xdc00 || low > 0xdfff) return 0xfffd;
    *used = 11;
    return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

/* The next character of a string's inside as UTF-8; returns its bytes. */
static size_t next_char(const char **at, const char *end, char out[4]) {
    uint32_t c = 0xfffd;
    size_t used = 0;
    if (**at == '\\') {
        c = read_escape(*at + 1, end, &used);
        used++;
    } else {
        used = pn_utf8_decode(*at, (size_t)(end - *at), &c);
        if (!used) {
            c = 0xfffd;
            used = 1;
        }
    }
    *at += used;
    return pn_utf8_encode(c, out);
}

static const char *inside(const pn_json *json, int32_t node, const char **end) {
    *end = json->text + json->nodes[node].end - 1;
    return json->text + json->nodes[node].begin + 1;
}

bool pn_json_equals(const pn_json *json, int32_t node, const char *text) {
    if (node < 0 || json->nodes[node].kind != PN_JSON_STRING) return false;
    const char *end, *at = inside(json, node, &end);
    char c[4];
    while (at < end) {
        const size_t n = next_char(&at, end, c);
        if (strncmp(text, c, n) != 0 || (n == 1 && !c[0])) return false;
        text += n;
    }
    return !*text;
}

int32_t pn_json_member(const pn_json *json, int32_t object, const char *name) {
    int32_t found = -1;
    if (object < 0 || json->nodes[object].kind != PN_JSON_OBJECT) return -1;
    for (int32_t i = object + 1; i < json->nodes[object].next; i = json->nodes[i + 1].next)
        if (pn_json_equals(json, i, name)) found = i + 1;
    return found;
}

bool pn_json_append_text(const pn_json *json, int32_t node, pn_buf *buf) {
    const char *end, *at = inside(json, node, &end);
    char c[4];
    while (at < end) {
        const char *run = at;
        while (run < end && *run != '\\' && (unsigned char)*run < 0x80) run++;
        if (!pn_buf_append(buf, at, (size_t)(run - at))) return false;
        at = run;
        if (at == end) break;
        const size_t n = next_char(&at, end, c);
        if (!pn_buf_append(buf, c, n)) return false;
    }
    return pn_buf_append(buf, "", 0);
}

bool pn_json_append_raw(const pn_json *json, int32_t node, pn_buf *buf) {
    const pn_json_node *at = &json->nodes[node];
    return pn_buf_append(buf, json->text + at->begin, at->end - at->begin);
}

bool pn_json_put(pn_buf *buf, const char *text, size_t n) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    bool ok = pn_buf_append(buf, "\"", 1);
    for (size_t i = 0; i < n && ok;) {
        size_t run = i;
        while (run < n && (unsigned char)text[run] >= 0x20 && (unsigned char)text[run] < 0x7f &&
               text[run] != '"' && text[run] != '\\')
            run++;
        ok = pn_buf_append(buf, text + i, run - i);
        i = run;
        if (i == n || !ok) break;
        uint32_t c = 0xfffd;
        const size_t used = pn_utf8_decode(text + i, n - i, &c);
        const char *found = c && c < 0x80 ? strchr(from, (int)c) : NULL;
        if (!used)
            ok = pn_buf_append(buf, "\xef\xbf\xbd", 3);
        else if (found)
            ok = pn_buf_printf(buf, "\\%c", to[found - from]);
        else if (c < 0x20)
            ok = pn_buf_printf(buf, "\\u%04x", (unsigned)c);
        else
            ok = pn_buf_append(buf, text + i, used);
        i += used ? used : 1;
    }
    return ok && pn_buf_append(buf, "\"", 1);
}
