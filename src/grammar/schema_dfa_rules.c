/* schema_dfa_rules.c: an automaton as expressions.
 *
 * A state becomes: its letters that lead back to it, any number of times, then one of its other
 * moves, or the end. A state that two or more lead to is a rule; any other is written in place. */
#include "grammar/schema_chars.h"

#include <string.h>

#define MAX_DEPTH 24
#define MAX_RULES 20000

typedef struct dfa_writer {
    pn_build *b;
    const pn_dfa *dfa;
    const char *name;
    bool in_text;
    int32_t *entries; /* states that have moves into a state, itself not counted */
    int32_t *rules;   /* of a state; -1: none, it is written in place */
    int32_t *queue, n_queue;
    int32_t *seen; /* by state */
    bool *wanted;  /* letters */
} dfa_writer;

static const pn_expr *state_expr(dfa_writer *w, int32_t state, int depth);

static const int32_t *row(const dfa_writer *w, int32_t state) {
    return w->dfa->next + (size_t)state * (size_t)w->dfa->alphabet.n;
}

/* The states that moves lead to from a state, each once. list: room for as many as there are
 * letters. */
static bool find_targets(dfa_writer *w, int32_t state, int32_t *list, int32_t *n) {
    const int32_t n_letters = w->dfa->alphabet.n, *to = row(w, state);
    *n = 0;
    if (!list || !pn_job_charge(&w->b->job, (size_t)n_letters)) return false;
    for (int32_t i = 0; i < n_letters; i++) w->seen[to[i] < 0 ? state : to[i]] = -1;
    for (int32_t i = 0; i < n_letters; i++)
        if (to[i] >= 0 && w->seen[to[i]] < 0) {
            w->seen[to[i]] = state;
            list[(*n)++] = to[i];
        }
    return true;
}

static bool count_entries(dfa_writer *w) {
    int32_t *targets = pn_job_alloc(&w->b->job, (size_t)w->dfa->alphabet.n, sizeof *targets), n;
    for (int32_t s = 0; s < w->dfa->n; s++) {
        if (!find_targets(w, s, targets, &n)) return false;
        for (int32_t i = 0; i < n; i++) w->entries[targets[i]] += targets[i] != s;
    }
    return true;
}

/* Nothing leads on from here. */
static bool is_last(const dfa_writer *w, int32_t state) {
    const int32_t *to = row(w, state);
    for (int32_t i = 0; i < w->dfa->alphabet.n; i++)
        if (to[i] >= 0) return false;
    return true;
}

static int32_t new_rule(dfa_writer *w, int32_t state) {
    if (w->n_queue == MAX_RULES) {
        pn_job_fail(&w->b->job, PUNA_E_LIMIT, "needs more than %d rules", MAX_RULES);
        return -1;
    }
    w->rules[state] = pn_rules_new(&w->b->rules, w->name, strlen(w->name));
    w->queue[w->n_queue++] = state;
    return w->rules[state];
}

static const pn_expr *target_expr(dfa_writer *w, int32_t state, int depth) {
    pn_rules *r = &w->b->rules;
    if (w->rules[state] >= 0) return pn_expr_rule(r, w->rules[state]);
    if (is_last(w, state)) return pn_expr_empty(r);
    if (depth < MAX_DEPTH && w->entries[state] < 2) return state_expr(w, state, depth + 1);
    return pn_expr_rule(r, new_rule(w, state));
}

static const pn_expr *letters_expr(dfa_writer *w, const int32_t *to, int32_t target) {
    for (int32_t i = 0; i < w->dfa->alphabet.n; i++) w->wanted[i] = to[i] == target;
    const pn_set *set = pn_alphabet_set(&w->b->job, &w->dfa->alphabet, w->wanted);
    return w->in_text ? pn_expr_character(w->b, set) : pn_expr_set(&w->b->rules, set);
}

/* The state behind this one, if there is but one and it is not the same. */
static int32_t only_target(const dfa_writer *w, int32_t state) {
    const int32_t *to = row(w, state);
    int32_t target = -1;
    for (int32_t i = 0; i < w->dfa->alphabet.n; i++) {
        if (to[i] < 0) continue;
        if (target >= 0 && to[i] != target) return -1;
        target = to[i];
    }
    return target == state ? -1 : target;
}

static bool same_letters(const dfa_writer *w, int32_t a, int32_t b) {
    const int32_t *x = row(w, a), *y = row(w, b);
    for (int32_t i = 0; i < w->dfa->alphabet.n; i++)
        if ((x[i] < 0) != (y[i] < 0)) return false;
    return true;
}

/* A row of states with the same letters, all of them or none an end: as a repetition. NULL: there
 * is no such row. */
static const pn_expr *run_expr(dfa_writer *w, int32_t state, int depth) {
    pn_rules *r = &w->b->rules;
    const bool accepts = w->dfa->accepts[state];
    int32_t at = only_target(w, state), n = 1;
    if (at < 0) return NULL;
    while (w->entries[at] < 2 && w->rules[at] < 0 && w->dfa->accepts[at] == accepts &&
           only_target(w, at) >= 0 && same_letters(w, state, at)) {
        if (!pn_job_charge(&w->b->job, (size_t)w->dfa->alphabet.n)) return NULL;
        at = only_target(w, at);
        n++;
    }
    if (n == 1 || (accepts && !is_last(w, at))) return NULL;
    const pn_expr *letters = letters_expr(w, row(w, state), only_target(w, state));
    return pn_expr_then(r, pn_expr_repeat(r, letters, accepts ? 0 : n, n),
                        target_expr(w, at, depth));
}

static const pn_expr *state_expr(dfa_writer *w, int32_t state, int depth) {
    pn_rules *r = &w->b->rules;
    const pn_expr *run = run_expr(w, state, depth);
    if (run || w->b->job.status) return run;
    const int32_t *to = row(w, state);
    const pn_expr *loop = pn_expr_empty(r);
    pn_expr_list exits = {0};
    int32_t *targets = pn_job_alloc(&w->b->job, (size_t)w->dfa->alphabet.n, sizeof *targets), n;
    if (!find_targets(w, state, targets, &n) ||
        !pn_job_charge(&w->b->job, (size_t)n * (size_t)w->dfa->alphabet.n))
        return NULL;
    for (int32_t i = 0; i < n; i++) {
        const pn_expr *letters = letters_expr(w, to, targets[i]);
        if (targets[i] == state)
            loop = pn_expr_repeat(r, letters, 0, PN_EXPR_NO_MAX);
        else if (!pn_expr_add(r, &exits,
                              pn_expr_then(r, letters, target_expr(w, targets[i], depth))))
            return NULL;
    }
    if (w->dfa->accepts[state] && !pn_expr_add(r, &exits, pn_expr_empty(r))) return NULL;
    return pn_expr_then(r, loop, pn_expr_alt(r, &exits));
}

const pn_expr *pn_expr_of_dfa(pn_build *b, const pn_dfa *dfa, bool in_text, const char *name) {
    if (dfa->n == 0) return pn_expr_never(&b->rules);
    dfa_writer w = {.b = b, .dfa = dfa, .name = name, .in_text = in_text};
    const size_t n = (size_t)dfa->n;
    w.entries = pn_job_alloc(&b->job, 4 * n, sizeof *w.entries);
    w.wanted = pn_job_alloc(&b->job, (size_t)dfa->alphabet.n, sizeof *w.wanted);
    if (!w.entries || !w.wanted) return NULL;
    w.rules = w.entries + n;
    w.queue = w.entries + 2 * n;
    w.seen = w.entries + 3 * n;
    for (size_t i = 0; i < n; i++) w.rules[i] = -1;
    if (!count_entries(&w)) return NULL;
    const int32_t start = w.entries[0] ? new_rule(&w, 0) : -1;
    const pn_expr *out = w.entries[0] ? pn_expr_rule(&b->rules, start) : state_expr(&w, 0, 0);
    for (int32_t i = 0; i < w.n_queue && !b->job.status; i++) {
        const pn_expr *body = state_expr(&w, w.queue[i], 0);
        b->rules.list[w.rules[w.queue[i]]].body = body;
    }
    return b->job.status ? NULL : out;
}
