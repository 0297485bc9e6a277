/* gbnf_parse.c: GBNF text to a tree (gbnf.h), without recursion: open groups are a stack.
 *
 * While a rule is read, the members of the sequences that are not finished lie on one stack and the
 * alternatives that are not finished on another; a group knows where its own begin. */
#include "grammar/gbnf.h"

#include "base/utf8.h"

#include <string.h>

typedef struct open_group {
    const char *at; /* its parenthesis; NULL: the rule itself */
    size_t items, alternatives;
    bool has_empty; /* one alternative is empty */
} open_group;

typedef struct parser {
    pn_gbnf *gbnf;
    const char *at, *end;
    puna_error *err;
    /* lists of the grammar, of the types in pn_gbnf */
    pn_buf nodes, children, bytes, ranges, tokens, rules;
    /* stacks of node numbers, and of open_group */
    pn_buf items, alternatives, groups;
    pn_buf class_ranges; /* scratch: first << 32 | last */
} parser;

#define COUNT(buf, type)      ((buf).n / sizeof(type))
#define ELEMENT(buf, type)    ((type *)(void *)(buf).data)
#define LAST(buf, type)       (&ELEMENT(buf, type)[COUNT(buf, type) - 1])
#define DROP_TO(buf, type, k) ((buf).n = (k) * sizeof(type))

/* ---- errors ---------------------------------------------------------------------------------- */

void pn_gbnf_place(const pn_gbnf *gbnf, const char *at, int32_t *line, int32_t *column) {
    *line = *column = 1;
    for (const char *c = gbnf->source; c < at; c += pn_utf8_step(c, (size_t)(at - c))) {
        const bool ends = *c == '\n' || (*c == '\r' && c + 1 < at && c[1] != '\n');
        *line += ends;
        *column = ends ? 1 : *column + 1;
    }
}

static puna_status refuse(parser *p, const char *at, puna_status code, const char *what) {
    int32_t line, column;
    pn_gbnf_place(p->gbnf, at, &line, &column);
    return pn_fail(p->err, code, "grammar: line %d, column %d: %s", line, column, what);
}

static puna_status expected(parser *p, const char *what) {
    int32_t line, column;
    pn_gbnf_place(p->gbnf, p->at, &line, &column);
    if (p->at == p->end)
        return pn_fail(p->err, PUNA_E_FORMAT,
                       "grammar: line %d, column %d: expected %s, found the end of the grammar",
                       line, column, what);
    if (*p->at == '\n' || *p->at == '\r')
        return pn_fail(p->err, PUNA_E_FORMAT,
                       "grammar: line %d, column %d: expected %s, found the end of the line", line,
                       column, what);
    char found[PN_ESCAPED_BYTES];
    (void)pn_escape(found, p->at, pn_utf8_step(p->at, (size_t)(p->end - p->at)));
    return pn_fail(p->err, PUNA_E_FORMAT, "grammar: line %d, column %d: expected %s, found '%s'",
                   line, column, what, found);
}

static puna_status no_memory(parser *p) {
    return pn_fail_nomem(p->err, p->gbnf->source_bytes, "the grammar");
}

/* ---- characters ------------------------------------------------------------------------------ */

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool next_is(const parser *p, char c) {
    return p->at < p->end && *p->at == c;
}

/* Blanks and comments; with `lines` the ends of lines too. */
static void skip_blanks(parser *p, bool lines) {
    for (; p->at < p->end; p->at++) {
        const char c = *p->at;
        if (c == '#') {
            while (p->at < p->end && *p->at != '\n' && *p->at != '\r') p->at++;
            if (p->at == p->end) return;
            p->at--;
        } else if (!(c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r')))) {
            return;
        }
    }
}

static int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* n hexadecimal digits behind a backslash and a letter. */
static puna_status read_hex(parser *p, int n, uint32_t *value) {
    static const char *const what[9] = {[2] = "two hexadecimal digits after \\x",
                                        [4] = "four hexadecimal digits after \\u",
                                        [8] = "eight hexadecimal digits after \\U"};
    const char *start = p->at;
    *value = 0;
    for (p->at += 2; n > 0 && p->at < p->end && hex_value(*p->at) >= 0; p->at++, n--)
        *value = *value << 4 | (uint32_t)hex_value(*p->at);
    if (n > 0) return expected(p, what[n + (int)(p->at - start) - 2]);
    if (*value > 0x10ffff)
        return refuse(p, start, PUNA_E_FORMAT, "the escape is beyond the last character, U+10FFFF");
    return PUNA_OK;
}

static puna_status read_escape(parser *p, uint32_t *code) {
    const char c = p->end - p->at > 1 ? p->at[1] : 0;
    switch (c) {
    case 'x': return read_hex(p, 2, code);
    case 'u': return read_hex(p, 4, code);
    case 'U': return read_hex(p, 8, code);
    case 't': *code = '\t'; break;
    case 'r': *code = '\r'; break;
    case 'n': *code = '\n'; break;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-': *code = (uint32_t)c; break;
    default: p->at++; return expected(p, "one of t r n x u U \\ \" [ ] - after the backslash");
    }
    p->at += 2;
    return PUNA_OK;
}

/* One character of a text or a class; `what` ends it and is missing at the end. */
static puna_status read_char(parser *p, const char *what, uint32_t *code) {
    if (p->at == p->end) return expected(p, what);
    if (*p->at == '\\') return read_escape(p, code);
    const size_t n = pn_utf8_decode(p->at, (size_t)(p->end - p->at), code);
    if (n == 0) return refuse(p, p->at, PUNA_E_FORMAT, "the grammar is not valid UTF-8");
    p->at += n;
    return PUNA_OK;
}

static bool is_surrogate(uint32_t code) {
    return code >= 0xd800 && code < 0xe000;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static puna_status add_node(parser *p, pn_gbnf_node node, int32_t *index) {
    *index = (int32_t)COUNT(p->nodes, pn_gbnf_node);
    if ((size_t)*index >= PN_GBNF_MAX_NODES)
        return refuse(p, p->at, PUNA_E_LIMIT, "the grammar has too many parts");
    return pn_buf_append(&p->nodes, &node, sizeof node) ? PUNA_OK : no_memory(p);
}

static puna_status push_item(parser *p, pn_gbnf_node node) {
    int32_t index = 0;
    if (node.kind != PN_GBNF_EMPTY) {
        puna_status status = add_node(p, node, &index);
        if (status) return status;
    }
    return pn_buf_append(&p->items, &index, sizeof index) ? PUNA_OK : no_memory(p);
}

/* Makes one node of the nodes list[base ..): a sequence or alternatives. */
static puna_status join(parser *p, pn_buf *list, size_t base, pn_gbnf_kind kind, int32_t *index) {
    const int32_t n = (int32_t)(COUNT(*list, int32_t) - base);
    const int32_t *members = ELEMENT(*list, int32_t) + base;
    *index = n == 0 ? 0 : members[0];
    if (n > 1) {
        const int32_t first = (int32_t)COUNT(p->children, int32_t);
        if ((size_t)first + (size_t)n > PN_GBNF_MAX_NODES)
            return refuse(p, p->at, PUNA_E_LIMIT, "the grammar has too many parts");
        if (!pn_buf_append(&p->children, members, (size_t)n * sizeof *members)) return no_memory(p);
        puna_status status =
            add_node(p, (pn_gbnf_node){.kind = (uint8_t)kind, .a = first, .b = n}, index);
        if (status) return status;
    }
    DROP_TO(*list, int32_t, base);
    return PUNA_OK;
}

/* The sequence at hand becomes an alternative of the innermost group. */
static puna_status end_sequence(parser *p) {
    open_group *g = LAST(p->groups, open_group);
    int32_t *items = ELEMENT(p->items, int32_t), sequence;
    size_t n = g->items;
    for (size_t i = g->items; i < COUNT(p->items, int32_t); i++) /* the empty ones say nothing */
        if (items[i]) items[n++] = items[i];
    DROP_TO(p->items, int32_t, n);
    puna_status status = join(p, &p->items, g->items, PN_GBNF_SEQ, &sequence);
    if (status || (sequence == 0 && g->has_empty)) return status;
    if (sequence == 0) g->has_empty = true;
    return pn_buf_append(&p->alternatives, &sequence, sizeof sequence) ? PUNA_OK : no_memory(p);
}

/* Ends the innermost group; *index is what it consists of. */
static puna_status end_group(parser *p, int32_t *index) {
    puna_status status = end_sequence(p);
    if (status) return status;
    const open_group *g = LAST(p->groups, open_group);
    status = join(p, &p->alternatives, g->alternatives, PN_GBNF_ALT, index);
    p->groups.n -= sizeof *g;
    return status;
}

static puna_status begin_group(parser *p, const char *at) {
    const open_group g = {.at = at,
                          .items = COUNT(p->items, int32_t),
                          .alternatives = COUNT(p->alternatives, int32_t)};
    return pn_buf_append(&p->groups, &g, sizeof g) ? PUNA_OK : no_memory(p);
}

/* ---- terminals ------------------------------------------------------------------------------- */

static puna_status append_code(parser *p, uint32_t code) {
    char utf8[4];
    return pn_buf_append(&p->bytes, utf8, pn_utf8_encode(code, utf8)) ? PUNA_OK : no_memory(p);
}

/* "..." */
static puna_status read_text(parser *p) {
    const size_t start = p->bytes.n;
    p->at++;
    while (!next_is(p, '"')) {
        const char *first = p->at;
        uint32_t code, low;
        puna_status status = read_char(p, "a closing \"", &code);
        if (status) return status;
        if (is_surrogate(code)) { /* as JSON writes characters beyond U+FFFF */
            if (code < 0xdc00 && next_is(p, '\\') && p->end - p->at > 1 && p->at[1] == 'u') {
                status = read_escape(p, &low);
                if (status) return status;
                code = low >= 0xdc00 && low < 0xe000
                           ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
                           : code;
            }
            if (is_surrogate(code))
                return refuse(p, first, PUNA_E_FORMAT,
                              "half of a surrogate pair is no character: write \\U and 8 digits");
        }
        status = append_code(p, code);
        if (status) return status;
    }
    p->at++;
    const size_t n = p->bytes.n - start;
    if (n == 0) return push_item(p, (pn_gbnf_node){.kind = PN_GBNF_EMPTY});
    return push_item(p, (pn_gbnf_node){.kind = PN_GBNF_TEXT, .a = (int32_t)start, .b = (int32_t)n});
}

static puna_status add_class_range(parser *p, uint32_t first, uint32_t last) {
    const uint64_t key = (uint64_t)first << 32 | last;
    if (p->class_ranges.n > 0 && *LAST(p->class_ranges, uint64_t) == key) return PUNA_OK;
    return pn_buf_append(&p->class_ranges, &key, sizeof key) ? PUNA_OK : no_memory(p);
}

/* Adds first .. last without the surrogates to the grammar's list of ranges. */
static bool put_range(parser *p, uint32_t first, uint32_t last) {
    const pn_gbnf_range parts[2] = {{first, last < 0xd800 ? last : 0xd7ff},
                                    {first > 0xdfff ? first : 0xe000, last}};
    for (int i = 0; i < 2; i++)
        if (parts[i].first <= parts[i].last &&
            !pn_buf_append(&p->ranges, &parts[i], sizeof parts[i]))
            return false;
    return true;
}

/* The ranges collected, in order, joined where they touch, or what they leave out. */
static puna_status put_class(parser *p, const char *at, bool negated) {
    uint64_t *keys = ELEMENT(p->class_ranges, uint64_t);
    const size_t n = COUNT(p->class_ranges, uint64_t), first = COUNT(p->ranges, pn_gbnf_range);
    pn_sort_u64(keys, n);
    bool ok = true;
    uint32_t gap = 0; /* the first character after the ranges so far */
    for (size_t i = 0; i < n && ok;) {
        const uint32_t low = (uint32_t)(keys[i] >> 32);
        uint32_t high = (uint32_t)keys[i];
        for (i++; i < n && (uint32_t)(keys[i] >> 32) <= high + 1; i++)
            if ((uint32_t)keys[i] > high) high = (uint32_t)keys[i];
        if (!negated) ok = put_range(p, low, high);
        if (negated && low > gap) ok = put_range(p, gap, low - 1);
        gap = high + 1;
    }
    if (negated && ok && gap <= 0x10ffff) ok = put_range(p, gap, 0x10ffff);
    p->class_ranges.n = 0;
    if (!ok) return no_memory(p);
    const size_t n_ranges = COUNT(p->ranges, pn_gbnf_range) - first;
    if (n_ranges == 0) return refuse(p, at, PUNA_E_FORMAT, "the class holds no character");
    return push_item(
        p, (pn_gbnf_node){.kind = PN_GBNF_CLASS, .a = (int32_t)first, .b = (int32_t)n_ranges});
}

/* [...] */
static puna_status read_class(parser *p) {
    const char *start = p->at++;
    const bool negated = next_is(p, '^');
    p->at += negated;
    if (next_is(p, ']'))
        return refuse(p, start, PUNA_E_FORMAT,
                      "the class is empty: a ] to be matched is written \\]");
    while (!next_is(p, ']')) {
        const char *first = p->at;
        uint32_t low, high;
        puna_status status = read_char(p, "a closing ]", &low);
        if (status) return status;
        high = low;
        if (next_is(p, '-') && !(p->end - p->at > 1 && p->at[1] == ']')) {
            p->at++;
            status = read_char(p, "a closing ]", &high);
            if (status) return status;
            if (high < low)
                return refuse(p, first, PUNA_E_FORMAT, "the range ends before it begins");
        }
        status = add_class_range(p, low, high);
        if (status) return status;
    }
    p->at++;
    return put_class(p, start, negated);
}

/* Decimal digits as a number; more than an uint64_t holds become the largest. */
static puna_status read_number(parser *p, const char *what, uint64_t *value) {
    if (p->at == p->end || !is_digit(*p->at)) return expected(p, what);
    *value = 0;
    for (; p->at < p->end && is_digit(*p->at); p->at++) {
        const uint64_t digit = (uint64_t)(*p->at - '0');
        *value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *value * 10 + digit;
    }
    return PUNA_OK;
}

/* <[id]> behind its < */
static puna_status read_token_id(parser *p, pn_gbnf_token *token) {
    const char *start = p->at;
    uint64_t id = 0;
    p->at++;
    puna_status status = read_number(p, "a token id", &id);
    if (status) return status;
    if (id > INT32_MAX) return refuse(p, start, PUNA_E_FORMAT, "the token id is too large");
    if (!next_is(p, ']')) return expected(p, "] after the token id");
    p->at++;
    if (!next_is(p, '>')) return expected(p, "> after the token id");
    p->at++;
    token->id = (int32_t)id;
    return PUNA_OK;
}

/* <...>, with or without ! before it */
static puna_status read_token(parser *p) {
    pn_gbnf_token token = {.id = -1};
    const bool negated = *p->at == '!';
    p->at += negated;
    if (!next_is(p, '<')) return expected(p, "a token, such as <think> or <[10]>, after !");
    const char *start = p->at++;
    if (next_is(p, '[')) {
        puna_status status = read_token_id(p, &token);
        if (status) return status;
    } else {
        while (p->at < p->end && *p->at != '>' && *p->at != '\n' && *p->at != '\r') p->at++;
        if (!next_is(p, '>')) return expected(p, "a closing > of the token");
        if (p->at == start + 1) return refuse(p, start, PUNA_E_FORMAT, "the token has no name");
        p->at++;
        token.name = start;
        token.name_bytes = (size_t)(p->at - start);
        if (pn_utf8_valid(start, token.name_bytes) != token.name_bytes)
            return refuse(p, start, PUNA_E_FORMAT, "the grammar is not valid UTF-8");
    }
    const int32_t index = (int32_t)COUNT(p->tokens, pn_gbnf_token);
    if (!pn_buf_append(&p->tokens, &token, sizeof token)) return no_memory(p);
    return push_item(p, (pn_gbnf_node){.kind = PN_GBNF_TOKEN, .a = index, .b = negated});
}

/* ---- rules and repetitions ------------------------------------------------------------------- */

/* The name at hand, and the number of the rule with it, which is made when it is new. */
static puna_status read_name(parser *p, int32_t *index) {
    pn_gbnf_rule rule = {.name = p->at, .at = p->at, .body = -1};
    while (p->at < p->end && is_word(*p->at)) p->at++;
    rule.name_bytes = (size_t)(p->at - rule.name);
    *index = pn_strmap_get(&p->gbnf->names, rule.name, rule.name_bytes);
    if (*index >= 0) return PUNA_OK;
    int32_t old;
    *index = (int32_t)COUNT(p->rules, pn_gbnf_rule);
    if (!pn_strmap_add(&p->gbnf->names, rule.name, rule.name_bytes, *index, &old) ||
        !pn_buf_append(&p->rules, &rule, sizeof rule))
        return no_memory(p);
    return PUNA_OK;
}

/* k times something that may come a to b times. */
static uint32_t times(uint32_t k, uint32_t b) {
    if (k == 0 || b == 0) return 0;
    const uint64_t product = (uint64_t)k * b;
    return k == PN_GBNF_NO_MAX || b == PN_GBNF_NO_MAX || product > PN_GBNF_MOST ? PN_GBNF_NO_MAX
                                                                                : (uint32_t)product;
}

/* Repeats the last item. A repetition of a repetition becomes one wherever the counts that are
 * possible leave no gap: (x{a,b}){m,n} is x{a*m, b*n} then. */
static puna_status repeat(parser *p, const char *at, uint32_t min, uint32_t max) {
    const open_group *g = LAST(p->groups, open_group);
    if (COUNT(p->items, int32_t) == g->items)
        return refuse(p, at, PUNA_E_FORMAT, "there is nothing before this to repeat");
    int32_t *item = LAST(p->items, int32_t);
    if (*item == 0 || (min == 1 && max == 1)) return PUNA_OK;
    if (max == 0) {
        *item = 0;
        return PUNA_OK;
    }
    pn_gbnf_node *node = &ELEMENT(p->nodes, pn_gbnf_node)[*item];
    if (node->kind == PN_GBNF_REPEAT) {
        const uint32_t a = node->min, b = node->max;
        const uint64_t k = min ? min : 1; /* gaps, if any, are widest between few repetitions */
        const bool no_gap = min == max || b == PN_GBNF_NO_MAX || k * (b - a) + 1 >= a;
        if (no_gap && (min > 0 || a <= 1)) {
            const uint32_t least = times(min, a);
            if (least == PN_GBNF_NO_MAX)
                return refuse(p, at, PUNA_E_LIMIT,
                              "the repetition asks for 2147483647 times or more");
            node->min = least;
            node->max = times(max, b);
            return PUNA_OK;
        }
    }
    int32_t index;
    const pn_gbnf_node outer = {.kind = PN_GBNF_REPEAT, .a = *item, .min = min, .max = max};
    puna_status status = add_node(p, outer, &index);
    if (!status) *LAST(p->items, int32_t) = index;
    return status;
}

/* {m} {m,} {m,n} */
static puna_status read_counts(parser *p, bool lines) {
    const char *start = p->at++;
    uint64_t min = 0, max;
    skip_blanks(p, lines);
    puna_status status = read_number(p, "a number after {", &min);
    if (status) return status;
    max = min;
    skip_blanks(p, lines);
    if (!next_is(p, '}')) {
        if (!next_is(p, ',')) return expected(p, "a comma or } after the number");
        p->at++;
        skip_blanks(p, lines);
        max = PN_GBNF_NO_MAX;
        if (!next_is(p, '}')) {
            status = read_number(p, "a number or }", &max);
            if (status) return status;
            skip_blanks(p, lines);
            if (!next_is(p, '}')) return expected(p, "} after the repetition's numbers");
        }
    }
    p->at++;
    if (min > max)
        return refuse(p, start, PUNA_E_FORMAT, "the repetition's maximum is below its minimum");
    if (min > PN_GBNF_MOST)
        return refuse(p, start, PUNA_E_LIMIT, "the repetition asks for 2147483647 times or more");
    return repeat(p, start, (uint32_t)min, max > PN_GBNF_MOST ? PN_GBNF_NO_MAX : (uint32_t)max);
}

static puna_status read_any(parser *p) {
    p->at++;
    puna_status status = add_class_range(p, 0, 0x10ffff);
    return status ? status : put_class(p, p->at - 1, false);
}

static puna_status read_reference(parser *p) {
    int32_t rule;
    puna_status status = read_name(p, &rule);
    if (status) return status;
    return push_item(p, (pn_gbnf_node){.kind = PN_GBNF_RULE, .a = rule});
}

/* The symbol or operator at hand; *ended when there is none. */
static puna_status read_part(parser *p, bool lines, bool *ended) {
    const char *at = p->at;
    switch (at < p->end ? *at : 0) {
    case '"': return read_text(p);
    case '[': return read_class(p);
    case '.': return read_any(p);
    case '<':
    case '!': return read_token(p);
    case '(': p->at++; return begin_group(p, at);
    case '*': p->at++; return repeat(p, at, 0, PN_GBNF_NO_MAX);
    case '+': p->at++; return repeat(p, at, 1, PN_GBNF_NO_MAX);
    case '?': p->at++; return repeat(p, at, 0, 1);
    case '{': return read_counts(p, lines);
    case '|': p->at++; return end_sequence(p);
    default: break;
    }
    if (at < p->end && is_word(*at)) return read_reference(p);
    *ended = true;
    return PUNA_OK;
}

/* What stands behind ::= up to the end of the rule; *body is its node. */
static puna_status read_body(parser *p, int32_t *body) {
    puna_status status = begin_group(p, NULL);
    while (!status) {
        const size_t depth = COUNT(p->groups, open_group);
        const char opener = p->at < p->end ? *p->at : 0;
        bool ended = false;
        status = read_part(p, depth > 1, &ended);
        if (status) return status;
        if (ended && depth == 1) return end_group(p, body);
        if (ended) { /* of a group */
            if (!next_is(p, ')')) {
                p->at = p->at == p->end ? LAST(p->groups, open_group)->at : p->at;
                return p->at < p->end && *p->at == '('
                           ? refuse(p, p->at, PUNA_E_FORMAT, "expected a closing ) of this group")
                           : expected(p, "a closing )");
            }
            p->at++;
            int32_t group;
            status = end_group(p, &group);
            if (!status && !pn_buf_append(&p->items, &group, sizeof group)) status = no_memory(p);
        }
        skip_blanks(p, opener == '|' || COUNT(p->groups, open_group) > 1);
    }
    return status;
}

static puna_status read_rule(parser *p) {
    if (!is_word(*p->at))
        return expected(p, "a rule's name (a rule goes on in the next line only inside ( ) or "
                           "after |)");
    int32_t index, body = 0;
    puna_status status = read_name(p, &index);
    if (status) return status;
    skip_blanks(p, false);
    if (p->end - p->at < 3 || memcmp(p->at, "::=", 3) != 0)
        return expected(p, "::= after the rule's name");
    p->at += 3;
    skip_blanks(p, true);
    const int32_t first = (int32_t)COUNT(p->nodes, pn_gbnf_node);
    status = read_body(p, &body);
    if (status) return status;
    if (p->at < p->end && *p->at != '\n' && *p->at != '\r')
        return expected(p, *p->at == ')' ? "the end of the line: no group is open here"
                                         : "a symbol or the end of the line");
    pn_gbnf_rule *rule = &ELEMENT(p->rules, pn_gbnf_rule)[index];
    rule->first = first;
    rule->body = body;
    skip_blanks(p, true);
    return PUNA_OK;
}

static puna_status read_rules(parser *p) {
    static const char mark[] = "\xef\xbb\xbf"; /* as some editors begin a file */
    const pn_gbnf_node empty = {.kind = PN_GBNF_EMPTY, .nullable = true};
    int32_t index;
    if ((size_t)(p->end - p->at) >= 3 && memcmp(p->at, mark, 3) == 0) p->at += 3;
    puna_status status = add_node(p, empty, &index);
    skip_blanks(p, true);
    while (!status && p->at < p->end) status = read_rule(p);
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void hand_over(parser *p) {
    pn_gbnf *g = p->gbnf;
    g->nodes = (void *)p->nodes.data;
    g->children = (void *)p->children.data;
    g->bytes = p->bytes.data;
    g->ranges = (void *)p->ranges.data;
    g->tokens = (void *)p->tokens.data;
    g->rules = (void *)p->rules.data;
    g->n_nodes = (int32_t)COUNT(p->nodes, pn_gbnf_node);
    g->n_children = (int32_t)COUNT(p->children, int32_t);
    g->n_tokens = (int32_t)COUNT(p->tokens, pn_gbnf_token);
    g->n_rules = (int32_t)COUNT(p->rules, pn_gbnf_rule);
    pn_buf_free(&p->items);
    pn_buf_free(&p->alternatives);
    pn_buf_free(&p->groups);
    pn_buf_free(&p->class_ranges);
}

static puna_status find_root(parser *p, const char *root) {
    pn_gbnf *g = p->gbnf;
    for (int32_t i = 0; i < g->n_rules; i++) {
        const pn_gbnf_rule *rule = &g->rules[i];
        if (rule->body >= 0) continue;
        int32_t line, column;
        pn_gbnf_place(g, rule->at, &line, &column);
        return pn_fail(p->err, PUNA_E_FORMAT,
                       "grammar: line %d, column %d: rule '%.*s' is used but not defined", line,
                       column, rule->name_bytes > 60 ? 60 : (int)rule->name_bytes, rule->name);
    }
    g->root = pn_strmap_get(&g->names, root, strlen(root));
    if (g->root >= 0) return PUNA_OK;
    return pn_fail(p->err, PUNA_E_FORMAT, "grammar: there is no rule '%.60s', with which it begins",
                   root);
}

puna_status pn_gbnf_parse(const char *source, size_t n, const char *root, pn_gbnf *gbnf,
                          puna_error *err) {
    gbnf->source = source;
    gbnf->source_bytes = n;
    if (n > PN_GBNF_MAX_BYTES)
        return pn_fail(err, PUNA_E_LIMIT, "grammar: %zu bytes, at most %zu", n, PN_GBNF_MAX_BYTES);
    parser p = {.gbnf = gbnf, .at = source, .end = source + n, .err = err};
    puna_status status = read_rules(&p);
    hand_over(&p);
    return status ? status : find_root(&p, root);
}

void pn_gbnf_free(pn_gbnf *gbnf) {
    pn_free(gbnf->nodes);
    pn_free(gbnf->children);
    pn_free(gbnf->bytes);
    pn_free(gbnf->ranges);
    pn_free(gbnf->tokens);
    pn_free(gbnf->rules);
    pn_free(gbnf->order);
    pn_strmap_free(&gbnf->names);
    *gbnf = (pn_gbnf){0};
}

/* ---- sorting --------------------------------------------------------------------------------- */

static void sift_down(uint64_t *keys, size_t i, size_t n) {
    const uint64_t key = keys[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && keys[child + 1] > keys[child]) child++;
        if (keys[child] <= key) break;
        keys[i] = keys[child];
    }
    keys[i] = key;
}

static void reverse(uint64_t *keys, size_t n) {
    for (size_t i = 0; i < n / 2; i++) {
        const uint64_t key = keys[i];
        keys[i] = keys[n - 1 - i];
        keys[n - 1 - i] = key;
    }
}

/* A falling list is turned round; insertion while that is cheap, else heapsort. */
void pn_sort_u64(uint64_t *keys, size_t n) {
    const size_t limit = 4 * n + 64;
    size_t moves = 0, n_falling = 1;
    while (n_falling < n && keys[n_falling] < keys[n_falling - 1]) n_falling++;
    reverse(keys, n_falling < n ? n_falling : n);
    for (size_t i = 1; i < n && moves <= limit; i++) {
        const uint64_t key = keys[i];
        size_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--, moves++) keys[at] = keys[at - 1];
        keys[at] = key;
    }
    if (moves <= limit) return;
    for (size_t i = n / 2; i-- > 0;) sift_down(keys, i, n);
    for (size_t end = n; end-- > 1;) {
        const uint64_t last = keys[end];
        keys[end] = keys[0];
        keys[0] = last;
        sift_down(keys, 0, end);
    }
}
