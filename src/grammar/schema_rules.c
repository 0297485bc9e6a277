/* schema_rules.c: expressions, simplified as they are made. */
#include "grammar/schema_rules.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEPTH    40
#define MAX_NAME     56
#define LONGEST_JOIN 200

bool pn_expr_add(pn_rules *rules, pn_expr_list *list, const pn_expr *expr) {
    if (!expr || !pn_job_grow(rules->job, &list->list, list->n, &list->cap, sizeof *list->list))
        return false;
    list->list[list->n++] = expr;
    return true;
}

static pn_expr *new_expr(pn_rules *rules, pn_expr_op op) {
    pn_expr *e = pn_job_alloc(rules->job, 1, sizeof *e);
    if (e) e->op = (uint8_t)op;
    return e;
}

const pn_expr *pn_expr_never(pn_rules *rules) {
    return new_expr(rules, PN_EXPR_NEVER);
}

const pn_expr *pn_expr_empty(pn_rules *rules) {
    return new_expr(rules, PN_EXPR_EMPTY);
}

const pn_expr *pn_expr_text(pn_rules *rules, const char *text, size_t n) {
    pn_expr *e = new_expr(rules, n ? PN_EXPR_TEXT : PN_EXPR_EMPTY);
    if (e) e->text = (pn_json_text){text, n};
    return e;
}

const pn_expr *pn_expr_word(pn_rules *rules, const char *text) {
    return pn_expr_text(rules, text, strlen(text));
}

/* A set of one character is a text, of none nothing. */
const pn_expr *pn_expr_set(pn_rules *rules, const pn_set *set) {
    if (!set) return NULL;
    if (set->n == 1 && set->list[0].lo == set->list[0].hi) {
        char *text = pn_job_alloc(rules->job, 4, 1);
        return text ? pn_expr_text(rules, text, pn_utf8_encode(set->list[0].lo, text)) : NULL;
    }
    pn_expr *e = new_expr(rules, set->n ? PN_EXPR_SET : PN_EXPR_NEVER);
    if (e) e->set = set;
    return e;
}

const pn_expr *pn_expr_rule(pn_rules *rules, int32_t rule) {
    pn_expr *e = rule < 0 ? NULL : new_expr(rules, PN_EXPR_RULE);
    if (e) e->n = rule;
    return e;
}

/* ---- sequences ------------------------------------------------------------------------------- */

static const pn_expr *with_kids(pn_rules *rules, pn_expr_op op, const pn_expr_list *l) {
    pn_expr *e = new_expr(rules, op);
    if (!e || !pn_job_charge(rules->job, (size_t)l->n)) return NULL;
    e->n = l->n;
    e->kids = l->list;
    for (int32_t i = 0; i < l->n; i++)
        if (l->list[i]->depth >= e->depth) e->depth = l->list[i]->depth + 1;
    return e;
}

/* The list of the result has no more than `room` elements. */
static bool new_list(pn_rules *rules, pn_expr_list *list, int32_t room) {
    *list = (pn_expr_list){.cap = room};
    list->list = pn_job_alloc(rules->job, (size_t)room, sizeof *list->list);
    return list->list != NULL;
}

static const pn_expr *join_texts(pn_rules *rules, const pn_expr *a, const pn_expr *b) {
    const size_t n = a->text.n + b->text.n;
    char *text = pn_job_alloc(rules->job, n, 1);
    if (!text) return NULL;
    memcpy(text, a->text.data, a->text.n);
    memcpy(text + a->text.n, b->text.data, b->text.n);
    return pn_expr_text(rules, text, n);
}

/* Adds to a list that has room for it; texts beside each other become one. */
static bool add_to_seq(pn_rules *rules, pn_expr_list *out, const pn_expr *e) {
    const pn_expr **last = out->n ? &out->list[out->n - 1] : NULL;
    if (e->op == PN_EXPR_EMPTY) return true;
    if (e->op == PN_EXPR_TEXT && last && (*last)->op == PN_EXPR_TEXT &&
        e->text.n + (*last)->text.n < LONGEST_JOIN) {
        *last = join_texts(rules, *last, e);
        return *last != NULL;
    }
    out->list[out->n++] = e;
    return true;
}

const pn_expr *pn_expr_seq(pn_rules *rules, const pn_expr_list *list) {
    pn_expr_list out;
    if (!new_list(rules, &out, list->n)) return NULL;
    for (int32_t i = 0; i < list->n; i++) {
        const pn_expr *e = list->list[i];
        if (!e || e->op == PN_EXPR_NEVER) return e;
        if (!add_to_seq(rules, &out, e)) return NULL;
    }
    if (out.n == 0) return pn_expr_empty(rules);
    return out.n == 1 ? out.list[0] : with_kids(rules, PN_EXPR_SEQ, &out);
}

const pn_expr *pn_expr_then(pn_rules *rules, const pn_expr *a, const pn_expr *b) {
    const pn_expr *list[2] = {a, b};
    return pn_expr_seq(rules, &(pn_expr_list){list, 2, 2});
}

const pn_expr *pn_expr_three(pn_rules *rules, const pn_expr *a, const pn_expr *b,
                             const pn_expr *c) {
    const pn_expr *list[3] = {a, b, c};
    return pn_expr_seq(rules, &(pn_expr_list){list, 3, 3});
}

/* ---- alternatives ---------------------------------------------------------------------------- */

static bool same_terminal(const pn_expr *a, const pn_expr *b) {
    if (a->op != b->op) return false;
    if (a->op == PN_EXPR_RULE) return a->n == b->n;
    return a->op == PN_EXPR_TEXT && pn_json_text_equal(a->text, b->text);
}

/* Among few alternatives, one that is there already is left out. */
static bool is_there(const pn_expr_list *list, const pn_expr *e) {
    const int32_t n = list->n < 32 ? list->n : 32;
    for (int32_t i = 0; i < n; i++)
        if (list->list[i] == e || same_terminal(list->list[i], e)) return true;
    return false;
}

static bool add_to_alt(pn_rules *rules, pn_expr_list *out, const pn_expr *e) {
    if (!e) return false;
    if (e->op == PN_EXPR_ALT) {
        for (int32_t i = 0; i < e->n; i++)
            if (!add_to_alt(rules, out, e->kids[i])) return false;
        return true;
    }
    return e->op == PN_EXPR_NEVER || is_there(out, e) || pn_expr_add(rules, out, e);
}

const pn_expr *pn_expr_alt(pn_rules *rules, const pn_expr_list *list) {
    pn_expr_list out = {0};
    bool empty = false;
    for (int32_t i = 0; i < list->n; i++) {
        const pn_expr *e = list->list[i];
        if (e && e->op == PN_EXPR_EMPTY)
            empty = true;
        else if (!add_to_alt(rules, &out, e))
            return NULL;
    }
    if (out.n == 0) return empty ? pn_expr_empty(rules) : pn_expr_never(rules);
    const pn_expr *alt = out.n == 1 ? out.list[0] : with_kids(rules, PN_EXPR_ALT, &out);
    return empty ? pn_expr_optional(rules, alt) : alt;
}

const pn_expr *pn_expr_or(pn_rules *rules, const pn_expr *a, const pn_expr *b) {
    const pn_expr *list[2] = {a, b};
    return pn_expr_alt(rules, &(pn_expr_list){list, 2, 2});
}

/* ---- repetitions ----------------------------------------------------------------------------- */

const pn_expr *pn_expr_repeat(pn_rules *rules, const pn_expr *expr, int64_t min, int64_t max) {
    if (!expr) return NULL;
    if (max < min) return pn_expr_never(rules);
    if (max == 0 || expr->op == PN_EXPR_EMPTY) return pn_expr_empty(rules);
    if (expr->op == PN_EXPR_NEVER) return min ? expr : pn_expr_empty(rules);
    if (min == 1 && max == 1) return expr;
    if (min > PN_EXPR_MOST) {
        pn_job_fail(rules->job, PUNA_E_LIMIT, "at least %lld of something", (long long)min);
        return NULL;
    }
    pn_expr *e = new_expr(rules, PN_EXPR_REPEAT);
    if (!e) return NULL;
    e->kid = expr;
    e->min = min;
    e->max = max > PN_EXPR_MOST ? PN_EXPR_NO_MAX : max;
    e->depth = expr->depth + 1;
    return e;
}

const pn_expr *pn_expr_optional(pn_rules *rules, const pn_expr *expr) {
    return pn_expr_repeat(rules, expr, 0, 1);
}

/* ---- rules ----------------------------------------------------------------------------------- */

const pn_expr *pn_expr_shallow(pn_rules *rules, const pn_expr *expr, const char *name) {
    return !expr || expr->depth < MAX_DEPTH ? expr : pn_rules_add(rules, name, expr);
}

/* The letters and digits of a hint; what cannot begin a name becomes "value". */
static int32_t clean_name(const char *hint, size_t n, char name[MAX_NAME]) {
    int32_t length = 0;
    for (size_t i = 0; i < n && length < MAX_NAME - 16; i++) {
        const char c = hint[i];
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (plain)
            name[length++] = c;
        else if (length && name[length - 1] != '-')
            name[length++] = '-';
    }
    while (length && name[length - 1] == '-') length--;
    if (length && (name[0] < '0' || name[0] > '9')) return length;
    memcpy(name, "value", 5);
    return 5;
}

/* A name that no other rule has, with a number at its end if need be. */
static const char *new_name(pn_rules *rules, const char *hint, size_t n) {
    char *name = pn_job_alloc(rules->job, MAX_NAME, 1);
    if (!name) return NULL;
    const int32_t base = clean_name(hint, n, name);
    int32_t length = base, number = rules->n;
    for (;;) {
        int32_t key[MAX_NAME];
        bool fresh;
        for (int32_t i = 0; i < length; i++) key[i] = name[i];
        if (pn_intern_add(rules->job, &rules->names, key, length, &fresh) < 0) return NULL;
        if (fresh) return name;
        length = base + snprintf(name + base, (size_t)(MAX_NAME - base), "-%d", number++);
    }
}

int32_t pn_rules_new(pn_rules *rules, const char *hint, size_t n) {
    const char *name = new_name(rules, hint, n);
    if (!name || !pn_job_grow(rules->job, &rules->list, rules->n, &rules->cap, sizeof *rules->list))
        return -1;
    rules->list[rules->n] = (pn_rule){.name = name};
    return rules->n++;
}

const pn_expr *pn_rules_add(pn_rules *rules, const char *name, const pn_expr *body) {
    if (!body) return NULL;
    const int32_t rule = pn_rules_new(rules, name, strlen(name));
    if (rule < 0) return NULL;
    rules->list[rule].body = body;
    return pn_expr_rule(rules, rule);
}

static bool is_productive(const pn_rules *rules, const pn_expr *e) {
    switch ((pn_expr_op)e->op) {
    case PN_EXPR_NEVER: return false;
    case PN_EXPR_SEQ:
        for (int32_t i = 0; i < e->n; i++)
            if (!is_productive(rules, e->kids[i])) return false;
        return true;
    case PN_EXPR_ALT:
        for (int32_t i = 0; i < e->n; i++)
            if (is_productive(rules, e->kids[i])) return true;
        return false;
    case PN_EXPR_REPEAT: return e->min == 0 || is_productive(rules, e->kid);
    case PN_EXPR_RULE: return rules->list[e->n].productive;
    default: return true;
    }
}

/* Rules are mostly made before those they use, so going backwards finds nearly all at once. */
bool pn_rules_check(pn_rules *rules) {
    for (bool changed = true; changed;) {
        changed = false;
        for (int32_t i = rules->n; i-- > 0;) {
            pn_rule *rule = &rules->list[i];
            if (rule->productive) continue;
            if (!pn_job_charge(rules->job, (size_t)rule->body->n + 1)) return false;
            rule->productive = is_productive(rules, rule->body);
            changed |= rule->productive;
        }
    }
    return true;
}
