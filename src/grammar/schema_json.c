/* schema_json.c: the JSON reader (RFC 8259), strict.
 *
 * Values of a container are collected on a stack of their own and copied to the arena when it ends,
 * so every array is of one piece. Objects of more than INDEX_FROM members get a hash map. */
#include "grammar/schema_json.h"

#include "base/strmap.h"
#include "base/utf8.h"

#include <string.h>

#define INDEX_FROM 8

struct pn_json_index {
    pn_strmap map;
    pn_json_index *next;
};

typedef struct reader {
    const char *s;
    size_t n, at, n_values;
    int32_t depth;
    pn_json_doc *doc;
    pn_json_member *stack;
    size_t n_stack, cap_stack;
    puna_error *err;
} reader;

static puna_status read_value(reader *r, pn_json *out);

static puna_status fail_at(reader *r, size_t at, const char *what) {
    int line = 1, column = 1;
    for (size_t i = 0; i < at; i += pn_utf8_step(r->s + i, r->n - i)) {
        column++;
        if (r->s[i] == '\n') line++, column = 1;
    }
    return pn_fail(r->err, PUNA_E_FORMAT, "schema: not JSON: line %d, column %d: %s", line, column,
                   what);
}

static puna_status no_memory(reader *r, size_t bytes) {
    return pn_fail_nomem(r->err, bytes, "a JSON schema");
}

static void skip_blanks(reader *r) {
    while (r->at < r->n && r->s[r->at] && strchr(" \t\r\n", r->s[r->at])) r->at++;
}

static bool next_is(const reader *r, char c) {
    return r->at < r->n && r->s[r->at] == c;
}

/* ---- texts ----------------------------------------------------------------------------------- */

static bool read_unit(reader *r, uint32_t *unit) {
    *unit = 0;
    if (r->n - r->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        const char c = r->s[r->at++];
        const char *hex = "0123456789abcdef";
        const char *found = c ? strchr(hex, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
        if (!found) return false;
        *unit = *unit << 4 | (uint32_t)(found - hex);
    }
    return true;
}

/* What stands after "\u", both halves of a pair. */
static bool read_code_point(reader *r, uint32_t *c) {
    if (!read_unit(r, c)) return false;
    if (*c < 0xd800 || *c > 0xdfff) return true;
    uint32_t low;
    if (*c > 0xdbff || r->n - r->at < 6 || r->s[r->at] != '\\' || r->s[r->at + 1] != 'u')
        return false;
    r->at += 2;
    if (!read_unit(r, &low) || low < 0xdc00 || low > 0xdfff) return false;
    *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static bool read_escape(reader *r, uint32_t *c) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->n) return false;
    const char e = r->s[r->at++];
    if (e == 'u') return read_code_point(r, c);
    const char *found = e ? strchr(from, e) : NULL;
    if (found) *c = (unsigned char)to[found - from];
    return found != NULL;
}

/* Behind the opening quote: where the closing one is, or n. */
static size_t text_end(const reader *r) {
    size_t end = r->at;
    while (end < r->n && r->s[end] != '"') end += r->s[end] == '\\' && end + 1 < r->n ? 2 : 1;
    return end;
}

static puna_status read_text(reader *r, pn_json_text *out) {
    const size_t begin = r->at++, end = text_end(r);
    if (end >= r->n) return fail_at(r, begin, "a text without an end");
    /* no character is longer than its escape */
    char *data = pn_arena_alloc(&r->doc->arena, end - r->at);
    if (!data) return no_memory(r, end - r->at);
    size_t n = 0;
    while (r->at < end) {
        const size_t at = r->at;
        uint32_t c;
        if (r->s[at] == '\\') {
            r->at++;
            if (!read_escape(r, &c)) return fail_at(r, at, "no such escape, or half a character");
        } else {
            const size_t len = pn_utf8_decode(r->s + at, end - at, &c);
            if (!len) return fail_at(r, at, "not UTF-8");
            if (c < 0x20) return fail_at(r, at, "a control character in a text");
            r->at += len;
        }
        n += pn_utf8_encode(c, data + n);
    }
    r->at = end + 1;
    *out = (pn_json_text){data, n};
    return PUNA_OK;
}

/* ---- numbers and words ----------------------------------------------------------------------- */

static size_t skip_digits(reader *r) {
    const size_t begin = r->at;
    while (r->at < r->n && r->s[r->at] >= '0' && r->s[r->at] <= '9') r->at++;
    return r->at - begin;
}

static bool skip_number(reader *r) {
    if (next_is(r, '-')) r->at++;
    const bool zero = next_is(r, '0');
    const size_t n = skip_digits(r);
    if (n == 0 || (zero && n > 1)) return false;
    if (next_is(r, '.')) {
        r->at++;
        if (!skip_digits(r)) return false;
    }
    if (next_is(r, 'e') || next_is(r, 'E')) {
        r->at++;
        if (next_is(r, '+') || next_is(r, '-')) r->at++;
        if (!skip_digits(r)) return false;
    }
    return true;
}

static puna_status read_number(reader *r, pn_json *out) {
    const size_t begin = r->at;
    if (!skip_number(r)) return fail_at(r, begin, "expected a value");
    const char *copy = pn_arena_copy(&r->doc->arena, r->s + begin, r->at - begin);
    if (!copy) return no_memory(r, r->at - begin);
    out->kind = PN_JSON_NUMBER;
    out->text = (pn_json_text){copy, r->at - begin};
    return PUNA_OK;
}

static bool take_word(reader *r, const char *word) {
    const size_t n = strlen(word);
    if (r->n - r->at < n || memcmp(r->s + r->at, word, n) != 0) return false;
    r->at += n;
    return true;
}

/* ---- containers ------------------------------------------------------------------------------ */

static puna_status push(reader *r, const pn_json_member *member) {
    if (r->n_stack == r->cap_stack) {
        const size_t cap = r->cap_stack ? 2 * r->cap_stack : 64;
        pn_json_member *stack = pn_realloc(r->stack, cap, sizeof *stack);
        if (!stack) return no_memory(r, cap * sizeof *stack);
        r->stack = stack;
        r->cap_stack = cap;
    }
    r->stack[r->n_stack++] = *member;
    return PUNA_OK;
}

static puna_status read_member(reader *r, pn_json_kind kind) {
    pn_json_member member = {0};
    skip_blanks(r);
    if (kind == PN_JSON_OBJECT) {
        if (!next_is(r, '"')) return fail_at(r, r->at, "expected a name in quotes");
        const puna_status status = read_text(r, &member.name);
        if (status) return status;
        skip_blanks(r);
        if (!next_is(r, ':')) return fail_at(r, r->at, "expected ':'");
        r->at++;
    }
    const puna_status status = read_value(r, &member.value);
    return status ? status : push(r, &member);
}

static puna_status read_members(reader *r, pn_json_kind kind) {
    const char end = kind == PN_JSON_OBJECT ? '}' : ']';
    r->at++;
    skip_blanks(r);
    if (next_is(r, end)) {
        r->at++;
        return PUNA_OK;
    }
    for (;;) {
        const puna_status status = read_member(r, kind);
        if (status) return status;
        skip_blanks(r);
        if (next_is(r, end)) break;
        if (!next_is(r, ','))
            return fail_at(r, r->at, end == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
        r->at++;
    }
    r->at++;
    return PUNA_OK;
}

static puna_status fail_twice(reader *r, const pn_json_member *member) {
    char name[PN_ESCAPED_BYTES];
    return pn_fail(r->err, PUNA_E_FORMAT, "schema: the name \"%s\" occurs twice in an object",
                   pn_escape(name, member->name.data, member->name.n));
}

static puna_status index_members(reader *r, pn_json *object) {
    pn_json_index *index = pn_arena_calloc(&r->doc->arena, 1, sizeof *index);
    if (!index) return no_memory(r, sizeof *index);
    index->next = r->doc->indexes;
    r->doc->indexes = index;
    object->index = index;
    if (!pn_strmap_reserve(&index->map, (size_t)object->n))
        return no_memory(r, (size_t)object->n * 32);
    for (int32_t i = 0; i < object->n; i++) {
        const pn_json_text name = object->members[i].name;
        int32_t old;
        if (!pn_strmap_add(&index->map, name.data, name.n, i, &old))
            return no_memory(r, (size_t)object->n * 32);
        if (old >= 0) return fail_twice(r, &object->members[i]);
    }
    return PUNA_OK;
}

/* What lies on the stack from `base` on becomes the object's members. */
static puna_status keep_members(reader *r, size_t base, pn_json *out) {
    const size_t n = r->n_stack - base;
    out->n = (int32_t)n;
    out->members = pn_arena_alloc(&r->doc->arena, n * sizeof *out->members);
    if (!out->members) return no_memory(r, n * sizeof *out->members);
    if (n) memcpy(out->members, r->stack + base, n * sizeof *out->members);
    r->n_stack = base;
    if (n > INDEX_FROM) return index_members(r, out);
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (pn_json_text_equal(out->members[i].name, out->members[j].name))
                return fail_twice(r, &out->members[i]);
    return PUNA_OK;
}

static puna_status keep_items(reader *r, size_t base, pn_json *out) {
    const size_t n = r->n_stack - base;
    out->n = (int32_t)n;
    out->items = pn_arena_alloc(&r->doc->arena, n * sizeof *out->items);
    if (!out->items) return no_memory(r, n * sizeof *out->items);
    for (size_t i = 0; i < n; i++) out->items[i] = r->stack[base + i].value;
    r->n_stack = base;
    return PUNA_OK;
}

static puna_status read_container(reader *r, pn_json_kind kind, pn_json *out) {
    if (r->depth == PN_JSON_MAX_DEPTH)
        return pn_fail(r->err, PUNA_E_LIMIT, "schema: nested deeper than %d values",
                       PN_JSON_MAX_DEPTH);
    const size_t base = r->n_stack;
    out->kind = (uint8_t)kind;
    r->depth++;
    puna_status status = read_members(r, kind);
    r->depth--;
    if (!status)
        status = kind == PN_JSON_OBJECT ? keep_members(r, base, out) : keep_items(r, base, out);
    return status;
}

static puna_status read_value(reader *r, pn_json *out) {
    *out = (pn_json){.kind = PN_JSON_NULL, .schema = -1};
    if (r->n_values++ == PN_JSON_MAX_VALUES)
        return pn_fail(r->err, PUNA_E_LIMIT, "schema: more than %zu values", PN_JSON_MAX_VALUES);
    skip_blanks(r);
    if (next_is(r, '{')) return read_container(r, PN_JSON_OBJECT, out);
    if (next_is(r, '[')) return read_container(r, PN_JSON_ARRAY, out);
    if (next_is(r, '"')) {
        out->kind = PN_JSON_STRING;
        return read_text(r, &out->text);
    }
    if (take_word(r, "null")) return PUNA_OK;
    if (take_word(r, "true"))
        out->kind = PN_JSON_TRUE;
    else if (take_word(r, "false"))
        out->kind = PN_JSON_FALSE;
    else
        return read_number(r, out);
    return PUNA_OK;
}

puna_status pn_json_open(pn_json_doc *doc, const char *text, size_t n, puna_error *err) {
    if (n > PN_JSON_MAX_BYTES)
        return pn_fail(err, PUNA_E_LIMIT, "schema: %zu bytes; at most %zu are read", n,
                       PN_JSON_MAX_BYTES);
    reader r = {.s = text, .n = n, .doc = doc, .err = err};
    puna_status status = read_value(&r, &doc->root);
    if (!status) {
        skip_blanks(&r);
        if (r.at < n) status = fail_at(&r, r.at, "text behind the value");
    }
    pn_free(r.stack);
    return status;
}

void pn_json_close(pn_json_doc *doc) {
    for (pn_json_index *i = doc->indexes; i; i = i->next) pn_strmap_free(&i->map);
    pn_arena_free(&doc->arena);
    *doc = (pn_json_doc){0};
}

/* ---- looking things up ----------------------------------------------------------------------- */

bool pn_json_text_equal(pn_json_text a, pn_json_text b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.data, b.data, a.n) == 0);
}

pn_json_text pn_json_text_of(const char *text) {
    return (pn_json_text){text, strlen(text)};
}

int64_t pn_json_text_length(pn_json_text text) {
    int64_t length = 0;
    for (size_t i = 0; i < text.n; i++) length += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return length;
}

int32_t pn_json_find(const pn_json *object, pn_json_text name) {
    if (object->index) return pn_strmap_get(&object->index->map, name.data, name.n);
    for (int32_t i = 0; i < object->n; i++)
        if (pn_json_text_equal(object->members[i].name, name)) return i;
    return -1;
}

pn_json *pn_json_get(const pn_json *object, pn_json_text name) {
    const int32_t i = pn_json_find(object, name);
    return i < 0 ? NULL : &object->members[i].value;
}
