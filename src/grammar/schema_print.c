/* schema_print.c: rules as text in GBNF.
 *
 * What cannot match is left out, rules that are no more than a word or another rule are written in
 * place, and only rules that are used are written, each after the first that uses it. Characters
 * that GBNF gives a meaning, and all beyond ASCII in classes, are written as escapes that llama.cpp
 * knows too. */
#include "grammar/schema_rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_BYTES    ((size_t)32 << 20)
#define SHORT_TEXT   60
#define LONGEST_CALL 64

typedef struct printer {
    pn_rules *rules;
    pn_buf *out;
    size_t start;
    int32_t *queue, n_queue; /* rules to be written */
} printer;

static bool put(printer *p, const char *text, size_t n) {
    if (p->out->n - p->start > MAX_BYTES)
        return pn_job_fail(p->rules->job, PUNA_E_LIMIT, "a grammar of more than %zu MiB",
                           MAX_BYTES >> 20);
    if (!pn_job_charge(p->rules->job, 1)) return false;
    if (pn_buf_append(p->out, text, n)) return true;
    p->rules->job->status = pn_fail_nomem(p->rules->job->err, n, "the text of a grammar");
    return false;
}

static bool put_word(printer *p, const char *text) {
    return put(p, text, strlen(text));
}

static bool put_hex(printer *p, char letter, uint32_t value, int digits) {
    char text[12] = {'\\', letter};
    for (int i = 0; i < digits; i++)
        text[2 + i] = "0123456789ABCDEF"[value >> 4 * (digits - 1 - i) & 15];
    return put(p, text, 2 + (size_t)digits);
}

/* ---- terminals ------------------------------------------------------------------------------- */

static bool put_text(printer *p, pn_json_text text) {
    if (!put(p, "\"", 1)) return false;
    for (size_t i = 0; i < text.n; i++) {
        const unsigned char c = (unsigned char)text.data[i];
        const bool plain = c >= 0x20 && c != 0x7f && c != '"' && c != '\\';
        size_t run = i;
        while (plain && run < text.n && (unsigned char)text.data[run] >= 0x20 &&
               text.data[run] != 0x7f && text.data[run] != '"' && text.data[run] != '\\')
            run++;
        bool done;
        if (plain)
            done = put(p, text.data + i, run - i);
        else if (c == '"' || c == '\\')
            done = put(p, c == '"' ? "\\\"" : "\\\\", 2);
        else if (c == '\n')
            done = put(p, "\\n", 2);
        else
            done = put_hex(p, 'x', c, 2);
        if (!done) return false;
        if (plain) i = run - 1;
    }
    return put(p, "\"", 1);
}

static bool put_in_class(printer *p, uint32_t c) {
    const char plain = (char)c;
    if (c > 0xffff) return put_hex(p, 'U', c, 8);
    if (c > 0x7e) return put_hex(p, c > 0xff ? 'u' : 'x', c, c > 0xff ? 4 : 2);
    if (c < 0x20 || strchr("\"\\[]^-", plain)) return put_hex(p, 'x', c, 2);
    return put(p, &plain, 1);
}

static bool put_range(printer *p, uint32_t lo, uint32_t hi) {
    if (!put_in_class(p, lo)) return false;
    if (lo == hi) return true;
    return (hi == lo + 1 || put(p, "-", 1)) && put_in_class(p, hi);
}

/* Whatever reaches the last code point is shorter as what it leaves out. */
static bool put_set(printer *p, const pn_set *set) {
    const bool negative = set->list[set->n - 1].hi == PN_CODE_MAX;
    if (negative && set->n == 1 && set->list[0].lo == 0) return put_word(p, ".");
    if (!put_word(p, negative ? "[^" : "[")) return false;
    uint32_t next = 0;
    for (int32_t i = 0; i < set->n; i++) {
        const pn_range r = set->list[i];
        if (!negative && !put_range(p, r.lo, r.hi)) return false;
        if (negative && r.lo > next && !put_range(p, next, r.lo - 1)) return false;
        next = r.hi + 1;
    }
    return put(p, "]", 1);
}

/* ---- expressions ----------------------------------------------------------------------------- */

static bool is_never(const printer *p, const pn_expr *e) {
    switch ((pn_expr_op)e->op) {
    case PN_EXPR_NEVER: return true;
    case PN_EXPR_RULE: return !p->rules->list[e->n].productive;
    case PN_EXPR_REPEAT: return e->min && is_never(p, e->kid);
    case PN_EXPR_ALT:
        for (int32_t i = 0; i < e->n; i++)
            if (!is_never(p, e->kids[i])) return false;
        return true;
    case PN_EXPR_SEQ:
        for (int32_t i = 0; i < e->n; i++)
            if (is_never(p, e->kids[i])) return true;
        return false;
    default: return false;
    }
}

static const pn_expr empty = {.op = PN_EXPR_EMPTY};

/* Worth no rule of its own. */
static bool is_small(const pn_expr *e) {
    return e->op == PN_EXPR_RULE || e->op == PN_EXPR_EMPTY ||
           (e->op == PN_EXPR_TEXT && e->text.n <= SHORT_TEXT) ||
           (e->op == PN_EXPR_SET && e->set->n <= 3);
}

/* What is written for e: without what cannot match, and with small rules in place. */
static const pn_expr *simple(const printer *p, const pn_expr *e) {
    for (int i = 0; i < LONGEST_CALL; i++) {
        const pn_expr *one = NULL;
        int32_t n = 0;
        if (e->op == PN_EXPR_RULE && is_small(p->rules->list[e->n].body)) {
            e = p->rules->list[e->n].body;
            continue;
        }
        if (e->op == PN_EXPR_REPEAT && is_never(p, e->kid)) return &empty;
        if (e->op != PN_EXPR_ALT) return e;
        for (int32_t j = 0; j < e->n && n < 2; j++)
            if (!is_never(p, e->kids[j])) one = e->kids[j], n++;
        if (n > 1) return e;
        e = one ? one : &empty;
    }
    return e;
}

static bool put_expr(printer *p, const pn_expr *e, pn_expr_op within);

static bool put_counts(printer *p, int64_t min, int64_t max) {
    char text[64];
    if (max == 1) return put_word(p, "?");
    if (max == PN_EXPR_NO_MAX && min <= 1) return put_word(p, min ? "+" : "*");
    if (min == max)
        (void)snprintf(text, sizeof text, "{%" PRId64 "}", min);
    else if (max == PN_EXPR_NO_MAX)
        (void)snprintf(text, sizeof text, "{%" PRId64 ",}", min);
    else
        (void)snprintf(text, sizeof text, "{%" PRId64 ",%" PRId64 "}", min, max);
    return put_word(p, text);
}

static bool put_list(printer *p, const pn_expr *e) {
    const bool alt = e->op == PN_EXPR_ALT;
    bool first = true;
    for (int32_t i = 0; i < e->n; i++) {
        const pn_expr *kid = simple(p, e->kids[i]);
        if (alt ? is_never(p, e->kids[i]) : kid->op == PN_EXPR_EMPTY) continue;
        if (!first && !put_word(p, alt ? " | " : " ")) return false;
        if (!put_expr(p, kid, (pn_expr_op)e->op)) return false;
        first = false;
    }
    return !first || put_word(p, "\"\"");
}

static bool put_rule(printer *p, int32_t rule) {
    pn_rule *r = &p->rules->list[rule];
    if (!r->written) {
        r->written = true;
        p->queue[p->n_queue++] = rule;
    }
    return put_word(p, r->name);
}

/* within: what e is part of. A repetition takes one thing, a sequence no alternatives. */
static bool put_expr(printer *p, const pn_expr *e, pn_expr_op within) {
    const bool repeated = within == PN_EXPR_REPEAT;
    bool brackets = false;
    e = simple(p, e);
    if (e->op == PN_EXPR_SEQ || e->op == PN_EXPR_REPEAT) brackets = repeated;
    if (e->op == PN_EXPR_ALT) brackets = repeated || within == PN_EXPR_SEQ;
    if (brackets && !put_word(p, "(")) return false;
    bool done = false;
    switch ((pn_expr_op)e->op) {
    case PN_EXPR_NEVER:
    case PN_EXPR_EMPTY: done = put_word(p, "\"\""); break;
    case PN_EXPR_TEXT: done = put_text(p, e->text); break;
    case PN_EXPR_SET: done = put_set(p, e->set); break;
    case PN_EXPR_RULE: done = put_rule(p, e->n); break;
    case PN_EXPR_REPEAT:
        done = put_expr(p, e->kid, PN_EXPR_REPEAT) && put_counts(p, e->min, e->max);
        break;
    case PN_EXPR_SEQ:
    case PN_EXPR_ALT: done = put_list(p, e); break;
    }
    return done && (!brackets || put_word(p, ")"));
}

bool pn_rules_write(pn_rules *rules, int32_t root, pn_buf *out) {
    printer p = {.rules = rules, .out = out, .start = out->n};
    p.queue = pn_job_alloc(rules->job, (size_t)rules->n, sizeof *p.queue);
    if (!p.queue) return false;
    p.queue[p.n_queue++] = root;
    rules->list[root].written = true;
    for (int32_t i = 0; i < p.n_queue; i++) {
        const pn_rule *rule = &rules->list[p.queue[i]];
        if (!put_word(&p, rule->name) || !put_word(&p, " ::= ") ||
            !put_expr(&p, rule->body, PN_EXPR_ALT) || !put_word(&p, "\n"))
            return false;
    }
    return true;
}
