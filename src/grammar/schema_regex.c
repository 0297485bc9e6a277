/* schema_regex.c: the parser of regular expressions.
 *
 * Groups leave no trace in the tree. As in browsers, a { that begins no count and a lone ] stand
 * for themselves, and \ before a character that is no letter or digit makes it plain. */
#include "grammar/schema_regex.h"

#include "base/utf8.h"

#include <string.h>

typedef struct parser {
    pn_job *job;
    const char *s;
    size_t n, at;
    int32_t depth;
    bool has_boundary;
} parser;

static const pn_re *parse_alternatives(parser *p);

static const pn_re *fail(parser *p, puna_status status, const char *what) {
    pn_job_fail(p->job, status, "%s at byte %zu", what, p->at);
    return NULL;
}

static bool next_is(const parser *p, const char *text) {
    const size_t n = strlen(text);
    return p->n - p->at >= n && memcmp(p->s + p->at, text, n) == 0;
}

static bool take(parser *p, const char *text) {
    if (!next_is(p, text)) return false;
    p->at += strlen(text);
    return true;
}

static uint32_t take_char(parser *p) {
    uint32_t c = 0;
    const size_t len = pn_utf8_decode(p->s + p->at, p->n - p->at, &c);
    p->at += len ? len : 1;
    return c;
}

/* ---- trees ----------------------------------------------------------------------------------- */

static pn_re *new_re(parser *p, pn_re_op op) {
    pn_re *re = pn_job_alloc(p->job, 1, sizeof *re);
    if (re) re->op = op;
    return re;
}

static const pn_re *new_set(parser *p, const pn_set *set) {
    pn_re *re = set ? new_re(p, PN_RE_SET) : NULL;
    if (re) re->set = set;
    return re;
}

typedef struct re_list {
    const pn_re **list;
    int32_t n, cap;
} re_list;

static bool add(parser *p, re_list *l, const pn_re *re) {
    if (!re || !pn_job_grow(p->job, &l->list, l->n, &l->cap, sizeof *l->list)) return false;
    l->list[l->n++] = re;
    return true;
}

static const pn_re *combine(parser *p, pn_re_op op, const re_list *l) {
    if (l->n == 1) return l->list[0];
    pn_re *re = new_re(p, l->n ? op : PN_RE_EMPTY);
    if (!re) return NULL;
    re->n = l->n;
    re->kids = l->list;
    return re;
}

/* ---- classes and escapes --------------------------------------------------------------------- */

bool pn_re_is_word(uint32_t c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z');
}

/* \d \w \s and their opposites; NULL (without a failure) for other letters. */
static const pn_set *class_of(parser *p, char letter) {
    static const pn_range digits[] = {{'0', '9'}};
    static const pn_range word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const pn_range space[] = {
        {9, 13},          {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
        {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
    const pn_set *set = NULL;
    if (letter == 'd' || letter == 'D') set = pn_set_of(p->job, digits, 1);
    if (letter == 'w' || letter == 'W') set = pn_set_of(p->job, word, 4);
    if (letter == 's' || letter == 'S') set = pn_set_of(p->job, space, 10);
    return set && letter < 'a' ? pn_set_not(p->job, set) : set;
}

static bool take_hex(parser *p, int digits, uint32_t *value) {
    *value = 0;
    for (int i = 0; i < digits; i++) {
        const char c = p->at < p->n ? p->s[p->at] : 0;
        const char *hex = "0123456789abcdef";
        const char *found = c ? strchr(hex, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
        if (!found) return false;
        *value = *value << 4 | (uint32_t)(found - hex);
        p->at++;
    }
    return true;
}

/* Behind "\u": HHHH, a surrogate pair, or {H...}. */
static bool take_unicode(parser *p, uint32_t *c) {
    uint32_t low;
    if (take(p, "{")) {
        int32_t n = 0;
        for (*c = 0; take_hex(p, 1, &low); n++) *c = *c < PN_CODE_MAX ? *c << 4 | low : *c;
        return n && *c <= PN_CODE_MAX && (*c < 0xd800 || *c > 0xdfff) && take(p, "}");
    }
    if (!take_hex(p, 4, c)) return false;
    if (*c < 0xd800 || *c > 0xdfff) return true;
    if (*c > 0xdbff || !take(p, "\\u") || !take_hex(p, 4, &low) || low < 0xdc00 || low > 0xdfff)
        return false;
    *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* Behind "\" where the escape stands for one character. */
static bool parse_char_escape(parser *p, uint32_t *c) {
    static const char from[] = "tnvfr", to[] = "\t\n\v\f\r";
    const char e = p->s[p->at];
    const char *found = strchr(from, e);
    const bool letter = (e >= 'a' && e <= 'z') || (e >= 'A' && e <= 'Z');
    if (found) {
        p->at++;
        *c = (unsigned char)to[found - from];
        return true;
    }
    if (e == 'p' || e == 'P') return fail(p, PUNA_E_UNSUPPORTED, "Unicode properties (\\p)");
    if (e == 'k' || (e >= '1' && e <= '9')) return fail(p, PUNA_E_UNSUPPORTED, "a back reference");
    *c = take_char(p);
    if (e == 'x' || e == 'u') {
        if (e == 'x' ? take_hex(p, 2, c) : take_unicode(p, c)) return true;
        return fail(p, PUNA_E_FORMAT, "a bad escape: expected hexadecimal digits");
    }
    if (e == 'c' && p->at < p->n && ((p->s[p->at] | 32) >= 'a' && (p->s[p->at] | 32) <= 'z')) {
        *c = (uint32_t)p->s[p->at++] & 31;
        return true;
    }
    if (e == '0') {
        *c = 0;
        return p->at == p->n || p->s[p->at] < '0' || p->s[p->at] > '9' ||
               fail(p, PUNA_E_FORMAT, "an octal escape");
    }
    if (letter) return fail(p, PUNA_E_FORMAT, "an unknown escape");
    return true;
}

static bool at_end_of_escape(parser *p) {
    if (p->at < p->n && p->s[p->at]) return false;
    fail(p, PUNA_E_FORMAT, "a \\ with nothing behind it");
    return true;
}

/* An element of a class: a character, or a set (*set not NULL) that can be no end of a range. */
static bool parse_class_atom(parser *p, uint32_t *c, const pn_set **set) {
    *set = NULL;
    if (!take(p, "\\")) {
        *c = take_char(p);
        return true;
    }
    if (at_end_of_escape(p)) return false;
    if (take(p, "b")) {
        *c = '\b';
        return true;
    }
    *set = class_of(p, p->s[p->at]);
    if (*set) p->at++;
    return *set || (!p->job->status && parse_char_escape(p, c));
}

typedef struct class_ranges {
    pn_range *list;
    int32_t n, cap;
} class_ranges;

static bool add_range(parser *p, class_ranges *l, uint32_t lo, uint32_t hi) {
    if (!pn_job_grow(p->job, &l->list, l->n, &l->cap, sizeof *l->list)) return false;
    l->list[l->n++] = (pn_range){lo, hi};
    return true;
}

static bool add_set(parser *p, class_ranges *l, const pn_set *set) {
    for (int32_t i = 0; i < set->n; i++)
        if (!add_range(p, l, set->list[i].lo, set->list[i].hi)) return false;
    return true;
}

/* One element or range of a class; a - beside a set stands for itself. */
static bool parse_class_item(parser *p, class_ranges *l) {
    uint32_t lo, hi;
    const pn_set *set, *set_hi;
    if (!parse_class_atom(p, &lo, &set)) return false;
    const bool range = next_is(p, "-") && p->n - p->at > 1 && p->s[p->at + 1] != ']';
    if (!range) return set ? add_set(p, l, set) : add_range(p, l, lo, lo);
    p->at++;
    if (!parse_class_atom(p, &hi, &set_hi)) return false;
    if (!set && !set_hi) {
        if (hi < lo) return fail(p, PUNA_E_FORMAT, "a class with a range in reverse");
        return add_range(p, l, lo, hi);
    }
    return (set ? add_set(p, l, set) : add_range(p, l, lo, lo)) && add_range(p, l, '-', '-') &&
           (set_hi ? add_set(p, l, set_hi) : add_range(p, l, hi, hi));
}

/* Behind "[". */
static const pn_re *parse_class(parser *p) {
    class_ranges ranges = {0};
    const bool negative = take(p, "^");
    while (!next_is(p, "]")) {
        if (p->at == p->n) return fail(p, PUNA_E_FORMAT, "a class without ]");
        if (!pn_job_charge(p->job, 1) || !parse_class_item(p, &ranges)) return NULL;
    }
    p->at++;
    const pn_set *set = pn_set_of(p->job, ranges.list, ranges.n);
    return new_set(p, set && negative ? pn_set_not(p->job, set) : set);
}

/* ---- atoms ----------------------------------------------------------------------------------- */

static const pn_re *parse_escape(parser *p) {
    if (at_end_of_escape(p)) return NULL;
    if (next_is(p, "b") || next_is(p, "B")) {
        p->has_boundary = true;
        return new_re(p, p->s[p->at++] == 'b' ? PN_RE_BOUNDARY : PN_RE_INSIDE);
    }
    const pn_set *set = class_of(p, p->s[p->at]);
    if (p->job->status) return NULL;
    if (set) {
        p->at++;
        return new_set(p, set);
    }
    uint32_t c;
    return parse_char_escape(p, &c) ? new_set(p, pn_set_one(p->job, c, c)) : NULL;
}

static const pn_re *parse_dot(parser *p) {
    static const pn_range ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
    const pn_set *set = pn_set_of(p->job, ends, 3);
    return new_set(p, set ? pn_set_not(p->job, set) : NULL);
}

/* Behind "(?": true when a group follows whose kind leaves no trace. */
static bool parse_group_kind(parser *p) {
    if (take(p, ":")) return true;
    const char *what = "an unknown kind of group (?";
    if (next_is(p, "=") || next_is(p, "!")) {
        what = "look-ahead (allowed only right behind a leading ^)";
    } else if (next_is(p, "<=") || next_is(p, "<!")) {
        what = "look-behind";
    } else if (take(p, "<")) {
        const size_t begin = p->at;
        while (p->at < p->n && p->s[p->at] != '>' && p->s[p->at] != ')') p->at++;
        if (p->at > begin && take(p, ">")) return true;
        what = "a bad name of a group";
    }
    fail(p, what[0] == 'l' ? PUNA_E_UNSUPPORTED : PUNA_E_FORMAT, what);
    return false;
}

/* The alternatives of a group up to and with its ")". */
static const pn_re *parse_group_body(parser *p) {
    if (p->depth == PN_RE_MAX_DEPTH)
        return fail(p, PUNA_E_LIMIT, "a pattern whose groups are nested too deep");
    p->depth++;
    const pn_re *re = parse_alternatives(p);
    p->depth--;
    if (re && !take(p, ")")) return fail(p, PUNA_E_FORMAT, "a group without )");
    return re;
}

static const pn_re *parse_group(parser *p) {
    return !take(p, "?") || parse_group_kind(p) ? parse_group_body(p) : NULL;
}

static const pn_re *parse_atom(parser *p) {
    if (take(p, "(")) return parse_group(p);
    if (take(p, "[")) return parse_class(p);
    if (take(p, "\\")) return parse_escape(p);
    if (take(p, ".")) return parse_dot(p);
    if (take(p, "^")) return new_re(p, PN_RE_BEGIN);
    if (take(p, "$")) return new_re(p, PN_RE_END);
    if (next_is(p, "*") || next_is(p, "+") || next_is(p, "?"))
        return fail(p, PUNA_E_FORMAT, "a repetition of nothing");
    const uint32_t c = take_char(p);
    return new_set(p, pn_set_one(p->job, c, c));
}

/* ---- repetition, sequence, alternatives ------------------------------------------------------ */

/* A number of at most PN_RE_MAX_COUNT; false when there is none. */
static bool take_count(parser *p, int32_t *count) {
    const size_t begin = p->at;
    int64_t value = 0;
    for (; p->at < p->n && p->s[p->at] >= '0' && p->s[p->at] <= '9'; p->at++)
        if (value <= PN_RE_MAX_COUNT) value = 10 * value + (p->s[p->at] - '0');
    if (value > PN_RE_MAX_COUNT) fail(p, PUNA_E_LIMIT, "a repetition of more than 10^9");
    *count = (int32_t)value;
    return p->at > begin;
}

/* {m} {m,} {m,n}; false, and nothing taken, when the text is none of these. */
static bool take_braces(parser *p, int32_t *min, int32_t *max) {
    const size_t begin = p->at;
    if (!take(p, "{")) return false;
    if (take_count(p, min)) {
        *max = *min;
        if (take(p, ",") && !take_count(p, max)) *max = PN_RE_NO_MAX;
        if (take(p, "}")) return true;
    }
    p->at = begin;
    return false;
}

static bool take_quantifier(parser *p, int32_t *min, int32_t *max) {
    *min = 0;
    *max = PN_RE_NO_MAX;
    if (take(p, "*")) return true;
    if (take(p, "+")) return *min = 1, true;
    if (take(p, "?")) return *max = 1, true;
    return take_braces(p, min, max);
}

static bool is_assertion(const pn_re *re) {
    return re->op == PN_RE_BEGIN || re->op == PN_RE_END || re->op == PN_RE_BOUNDARY ||
           re->op == PN_RE_INSIDE;
}

/* re{min,max}; of repetitions of repetitions only one is kept where that means the same. */
static const pn_re *repeat(parser *p, const pn_re *re, int32_t min, int32_t max) {
    if (min == 1 && max == 1) return re;
    if (max == 0 || re->op == PN_RE_EMPTY) return new_re(p, PN_RE_EMPTY);
    const bool inner = re->op == PN_RE_REPEAT && re->max == PN_RE_NO_MAX && re->min <= 1;
    pn_re *out = new_re(p, PN_RE_REPEAT);
    if (!out) return NULL;
    out->min = inner && re->min == 0 ? 0 : min;
    out->max = inner ? PN_RE_NO_MAX : max;
    out->n = 1;
    out->kids = pn_job_alloc(p->job, 1, sizeof *out->kids);
    if (!out->kids) return NULL;
    out->kids[0] = inner ? re->kids[0] : re;
    return out;
}

static const pn_re *parse_term(parser *p) {
    const pn_re *re = parse_atom(p);
    int32_t min, max;
    if (!re) return NULL;
    if (next_is(p, "{,")) return fail(p, PUNA_E_FORMAT, "{,n}: write {0,n}");
    if (!take_quantifier(p, &min, &max)) return p->job->status ? NULL : re;
    if (p->job->status) return NULL;
    if (max != PN_RE_NO_MAX && max < min)
        return fail(p, PUNA_E_FORMAT, "a repetition whose counts are in reverse");
    if (is_assertion(re)) return fail(p, PUNA_E_FORMAT, "a repetition of an assertion");
    (void)take(p, "?"); /* lazy or not, the texts are the same */
    int32_t again_min, again_max;
    if (take_quantifier(p, &again_min, &again_max))
        return fail(p, PUNA_E_FORMAT, "a repetition of a repetition");
    return repeat(p, re, min, max);
}

static const pn_re *parse_sequence(parser *p) {
    re_list terms = {0};
    while (p->at < p->n && !next_is(p, "|") && !next_is(p, ")"))
        if (!pn_job_charge(p->job, 1) || !add(p, &terms, parse_term(p))) return NULL;
    return combine(p, PN_RE_SEQ, &terms);
}

static const pn_re *parse_alternatives(parser *p) {
    re_list branches = {0};
    do {
        if (!add(p, &branches, parse_sequence(p))) return NULL;
    } while (take(p, "|"));
    return combine(p, PN_RE_ALT, &branches);
}

/* ---- the whole pattern ----------------------------------------------------------------------- */

static const pn_re *with_begin(parser *p, const pn_re *re) {
    re_list both = {0};
    if (!re || !add(p, &both, new_re(p, PN_RE_BEGIN)) || !add(p, &both, re)) return NULL;
    return combine(p, PN_RE_SEQ, &both);
}

/* Looks ahead behind a leading ^; what is left of the pattern begins with that ^. */
static bool parse_aheads(parser *p, pn_regex *out) {
    if (!next_is(p, "^(?=") && !next_is(p, "^(?!")) return true;
    p->at++;
    while (next_is(p, "(?=") || next_is(p, "(?!")) {
        if (out->n_aheads == PN_RE_MAX_AHEADS) return fail(p, PUNA_E_LIMIT, "too many look-aheads");
        out->aheads[out->n_aheads].positive = p->s[p->at + 2] == '=';
        p->at += 3;
        const pn_re *root = with_begin(p, parse_group_body(p));
        if (!root) return false;
        out->aheads[out->n_aheads++].root = root;
    }
    return true;
}

const pn_regex *pn_regex_parse(pn_job *job, pn_json_text pattern) {
    parser p = {.job = job, .s = pattern.data, .n = pattern.n};
    pn_regex *out = pn_job_alloc(job, 1, sizeof *out);
    if (!out || !parse_aheads(&p, out)) return NULL;
    out->root = out->n_aheads ? with_begin(&p, parse_sequence(&p)) : parse_alternatives(&p);
    if (!out->root) return NULL;
    if (next_is(&p, "|"))
        fail(&p, PUNA_E_UNSUPPORTED, "look-ahead in one alternative of several");
    else if (p.at < p.n)
        fail(&p, PUNA_E_FORMAT, "a ) that closes nothing");
    out->has_boundary = p.has_boundary;
    return job->status ? NULL : out;
}

static int64_t cap_length(int64_t n) {
    return n > ((int64_t)1 << 40) ? (int64_t)1 << 40 : n;
}

static void add_lengths(const pn_re *re, int64_t *min, int64_t *max) {
    for (int32_t i = 0; i < re->n; i++) {
        int64_t lo, hi;
        pn_re_lengths(re->kids[i], &lo, &hi);
        if (re->op == PN_RE_SEQ) {
            *min = cap_length(*min + lo);
            *max = *max < 0 || hi < 0 ? PN_RE_NO_MAX : cap_length(*max + hi);
        } else {
            *min = i == 0 || lo < *min ? lo : *min;
            *max = i == 0 ? hi : *max < 0 || hi < 0 ? PN_RE_NO_MAX : hi > *max ? hi : *max;
        }
    }
}

void pn_re_lengths(const pn_re *re, int64_t *min, int64_t *max) {
    *min = *max = re->op == PN_RE_SET;
    if (re->op == PN_RE_SEQ || re->op == PN_RE_ALT) add_lengths(re, min, max);
    if (re->op != PN_RE_REPEAT) return;
    pn_re_lengths(re->kids[0], min, max);
    *min = cap_length(*min * re->min);
    if (*max > 0 || *max < 0)
        *max = re->max < 0 || *max < 0 ? PN_RE_NO_MAX : cap_length(*max * re->max);
}
