/* schema_automaton.c: the product of machines. A state is the vector of theirs; only what is
 * reached is made. */
#include "grammar/schema_automaton.h"

#include "base/utf8.h"
#include "grammar/schema_nfa.h"

#include <string.h>

#define MAX_CELLS  ((size_t)1000 * 1000)
#define MAX_VECTOR 1500000 /* numbers in the vectors of all states */
#define MAX_TEXTS  20000

/* ---- the alphabet ---------------------------------------------------------------------------- */

typedef struct set_list {
    const pn_set **list;
    int32_t n, cap;
} set_list;

static bool add_set(pn_job *job, set_list *l, const pn_set *set) {
    if (!set || !pn_job_grow(job, &l->list, l->n, &l->cap, sizeof *l->list)) return false;
    l->list[l->n++] = set;
    return true;
}

static bool add_sets_of_re(pn_job *job, set_list *l, const pn_re *re) {
    if (re->op == PN_RE_SET && !add_set(job, l, re->set)) return false;
    for (int32_t i = 0; i < re->n; i++)
        if (!add_sets_of_re(job, l, re->kids[i])) return false;
    return true;
}

static bool add_chars(pn_job *job, set_list *l, pn_json_text text) {
    for (size_t i = 0; i < text.n;) {
        uint32_t c = 0;
        const size_t len = pn_utf8_decode(text.data + i, text.n - i, &c);
        if (!add_set(job, l, pn_set_one(job, c, c))) return false;
        i += len ? len : 1;
    }
    return true;
}

static bool add_word(pn_job *job, set_list *l) {
    static const pn_range word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    return add_set(job, l, pn_set_of(job, word, 4));
}

static bool add_sets(pn_job *job, set_list *l, const pn_demand *d) {
    switch (d->kind) {
    case PN_DEMAND_RE:
        return add_sets_of_re(job, l, d->re) && (!d->has_boundary || add_word(job, l));
    case PN_DEMAND_TEXTS:
        for (int32_t i = 0; i < d->n_texts; i++)
            if (!add_chars(job, l, d->texts[i])) return false;
        return true;
    case PN_DEMAND_SYNTAX: return add_chars(job, l, pn_json_text_of("0123456789-."));
    default: return true;
    }
}

/* ---- the product ----------------------------------------------------------------------------- */

typedef struct product {
    pn_job *job;
    pn_demand *demands;
    int32_t n_demands, max_states;
    pn_intern states;
    int32_t *from, *to; /* vectors */
    int32_t cap_next, cap_accepts;
    pn_dfa *dfa;
} product;

static bool is_too_big(const pn_demand *demands, int32_t n, int32_t max_states) {
    for (int32_t i = 0; i < n; i++) {
        if (demands[i].kind == PN_DEMAND_RE && pn_nfa_size(demands[i].re) > PN_NFA_MAX_NODES)
            return true;
        const int64_t longest = demands[i].max != PN_NO_MAX ? demands[i].max : demands[i].min;
        if (demands[i].kind == PN_DEMAND_LENGTH && longest > max_states) return true;
        if (demands[i].kind == PN_DEMAND_TEXTS && demands[i].n_texts > MAX_TEXTS) return true;
    }
    return false;
}

static bool start_product(product *p) {
    set_list sets = {0};
    for (int32_t i = 0; i < p->n_demands; i++)
        if (!add_sets(p->job, &sets, &p->demands[i])) return false;
    if (!pn_alphabet_make(p->job, sets.list, sets.n, &p->dfa->alphabet)) return false;
    p->from = pn_job_alloc(p->job, 2 * (size_t)p->n_demands + 1, sizeof *p->from);
    if (!p->from) return false;
    p->to = p->from + p->n_demands;
    for (int32_t i = 0; i < p->n_demands; i++)
        if (!pn_machine_start(p->job, &p->demands[i], &p->dfa->alphabet, &p->to[i])) return false;
    return pn_intern_add(p->job, &p->states, p->to, p->n_demands, NULL) >= 0;
}

/* The product's state behind p->from and a letter; -1 none, -2 failed. */
static int32_t step_product(product *p, int32_t letter) {
    const uint32_t c = p->dfa->alphabet.samples[letter];
    for (int32_t i = 0; i < p->n_demands; i++) {
        p->to[i] = pn_machine_step(p->job, &p->demands[i], p->from[i], c, letter);
        if (p->to[i] == -2 || !pn_job_charge(p->job, 2)) return -2;
        if (p->to[i] < 0 && !p->demands[i].negative) return -1;
    }
    const int32_t next = pn_intern_add(p->job, &p->states, p->to, p->n_demands, NULL);
    return next < 0 ? -2 : next;
}

static bool accepts_product(product *p) {
    for (int32_t i = 0; i < p->n_demands; i++)
        if (!pn_machine_accepts(p->job, &p->demands[i], p->from[i])) return false;
    return true;
}

/* Makes the row of state s. */
static bool add_row(product *p, int32_t s) {
    pn_dfa *dfa = p->dfa;
    int32_t n;
    const int32_t *v = pn_intern_get(&p->states, s, &n);
    if (n) memcpy(p->from, v, (size_t)n * sizeof *v);
    if (!pn_job_grow(p->job, &dfa->accepts, s, &p->cap_accepts, sizeof *dfa->accepts) ||
        !pn_job_grow(p->job, &dfa->next, s, &p->cap_next,
                     sizeof *dfa->next * (size_t)dfa->alphabet.n))
        return false;
    dfa->accepts[s] = accepts_product(p);
    for (int32_t letter = 0; letter < dfa->alphabet.n; letter++) {
        const int32_t next = step_product(p, letter);
        if (next == -2) return false;
        dfa->next[(size_t)s * (size_t)dfa->alphabet.n + (size_t)letter] = next;
    }
    return !p->job->status;
}

/* Numbers in the vectors that the states of the product and of its machines are. */
static int64_t vector_size(const product *p) {
    int64_t size = p->states.n_pool;
    for (int32_t i = 0; i < p->n_demands; i++)
        if (p->demands[i].nfa) size += pn_nfa_vector_size(p->demands[i].nfa);
    return size;
}

static pn_built build_product(product *p) {
    pn_dfa *dfa = p->dfa;
    if (!start_product(p)) return PN_BUILD_FAILED;
    for (int32_t s = 0; s < p->states.n; s++, dfa->n++) {
        if (s == p->max_states || (size_t)s * (size_t)dfa->alphabet.n > MAX_CELLS ||
            vector_size(p) > MAX_VECTOR)
            return PN_BUILD_TOO_BIG;
        if (!add_row(p, s)) return PN_BUILD_FAILED;
    }
    return pn_automaton_minimise(p->job, dfa) ? PN_BUILT : PN_BUILD_FAILED;
}

static void *copy_array(pn_job *job, const void *data, size_t n, size_t size) {
    void *copy = pn_job_alloc(job, n, size);
    if (copy && n) memcpy(copy, data, n * size);
    return copy;
}

static pn_built copy_dfa(pn_job *job, const pn_dfa *dfa, pn_dfa *out) {
    const pn_alphabet *a = &dfa->alphabet;
    const size_t n = (size_t)dfa->n, n_letters = (size_t)a->n, n_bounds = (size_t)a->n_bounds;
    *out = *dfa;
    if (!n) return PN_BUILT;
    out->next = copy_array(job, dfa->next, n * n_letters, sizeof *dfa->next);
    out->accepts = copy_array(job, dfa->accepts, n, sizeof *dfa->accepts);
    out->alphabet.bounds = copy_array(job, a->bounds, n_bounds, sizeof *a->bounds);
    out->alphabet.classes = copy_array(job, a->classes, n_bounds, sizeof *a->classes);
    out->alphabet.samples = copy_array(job, a->samples, n_letters, sizeof *a->samples);
    return job->status ? PN_BUILD_FAILED : PN_BUILT;
}

/* All but the result lies in an arena of its own. */
pn_built pn_automaton_build(pn_job *job, pn_demand *demands, int32_t n, int32_t max_states,
                            pn_dfa *out) {
    *out = (pn_dfa){0};
    if (is_too_big(demands, n, max_states)) return PN_BUILD_TOO_BIG;
    const pn_arena kept = job->arena;
    const size_t used = job->used_bytes;
    pn_dfa dfa = {0};
    product p = {
        .job = job, .demands = demands, .n_demands = n, .max_states = max_states, .dfa = &dfa};
    job->arena = (pn_arena){0};
    pn_built built = build_product(&p);
    pn_arena scratch = job->arena;
    job->arena = kept;
    job->used_bytes = used;
    if (built == PN_BUILT) built = copy_dfa(job, &dfa, out);
    pn_arena_free(&scratch);
    for (int32_t i = 0; i < n; i++) {
        demands[i].nfa = NULL;
        demands[i].edges = (pn_intern){0};
        demands[i].is_text = NULL;
    }
    return built;
}

bool pn_demand_matches(pn_job *job, pn_demand *d, pn_json_text text) {
    if (!d->nfa) d->nfa = pn_nfa_make(job, d->re, d->has_boundary);
    int32_t state = d->nfa ? pn_nfa_start(d->nfa) : -1;
    for (size_t i = 0; i < text.n && state > 0;) {
        uint32_t c = 0;
        const size_t len = pn_utf8_decode(text.data + i, text.n - i, &c);
        state = pn_nfa_step(job, d->nfa, state, c);
        i += len ? len : 1;
    }
    return state >= 0 && pn_nfa_accepts(job, d->nfa, state) != d->negative;
}
