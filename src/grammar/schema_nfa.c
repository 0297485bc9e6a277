/* schema_nfa.c: Thompson's construction and the subset construction (Aho, Sethi, Ullman, section
 * 3.7), with assertions.
 *
 * A state is the vector (what stood before, nodes...): the nodes reached by the last character,
 * sorted. Which assertions let pass depends on the characters before and behind, so empty moves are
 * followed only when the next character is known. A match may begin anywhere: the start is a loop
 * over all characters. */
#include "grammar/schema_nfa.h"

#include <string.h>

typedef enum beside { BESIDE_NOTHING, BESIDE_OTHER, BESIDE_WORD } beside;

typedef enum node_op { NODE_SET, NODE_SPLIT, NODE_ASSERT, NODE_ACCEPT } node_op;

typedef struct node {
    uint8_t op, assertion; /* assertion: pn_re_op */
    int32_t a, b;          /* next; b: of NODE_SPLIT */
    const pn_set *set;
} node;

struct pn_nfa {
    node *nodes;
    int32_t n, cap, start;
    bool has_boundary;
    pn_intern states;
    /* of one search for what is reachable without a character */
    int32_t *marks, mark, *todo, *found, n_found, *kernel;
    bool accepted;
};

/* ---- construction ---------------------------------------------------------------------------- */

static int64_t size_of(const pn_re *re) {
    int64_t size = 0, kids = 0;
    for (int32_t i = 0; i < re->n; i++) {
        kids += size_of(re->kids[i]) + 1;
        if (kids > PN_NFA_MAX_NODES) return PN_NFA_MAX_NODES + 1;
    }
    size = 1 + kids;
    if (re->op == PN_RE_REPEAT)
        size = 1 + kids * (re->max == PN_RE_NO_MAX ? (int64_t)re->min + 1 : re->max);
    return size > PN_NFA_MAX_NODES ? PN_NFA_MAX_NODES + 1 : size;
}

int32_t pn_nfa_size(const pn_re *re) {
    return (int32_t)size_of(re);
}

static int32_t add_node(pn_job *job, pn_nfa *nfa, node value) {
    if (!pn_job_charge(job, 1) ||
        !pn_job_grow(job, &nfa->nodes, nfa->n, &nfa->cap, sizeof *nfa->nodes))
        return 0;
    nfa->nodes[nfa->n] = value;
    return nfa->n++;
}

static int32_t build(pn_job *job, pn_nfa *nfa, const pn_re *re, int32_t next);

static int32_t build_repeat(pn_job *job, pn_nfa *nfa, const pn_re *re, int32_t next) {
    const pn_re *kid = re->kids[0];
    int32_t at = next;
    if (re->max == PN_RE_NO_MAX) {
        const int32_t loop = add_node(job, nfa, (node){.op = NODE_SPLIT, .b = next});
        const int32_t body = build(job, nfa, kid, loop);
        if (job->status) return 0;
        nfa->nodes[loop].a = body;
        at = re->min ? body : loop;
    } else {
        for (int32_t i = re->min; i < re->max && !job->status; i++)
            at = add_node(job, nfa,
                          (node){.op = NODE_SPLIT, .a = build(job, nfa, kid, at), .b = next});
    }
    const int32_t made = re->max == PN_RE_NO_MAX && re->min ? 1 : 0;
    for (int32_t i = made; i < re->min && !job->status; i++) at = build(job, nfa, kid, at);
    return at;
}

/* Adds what matches re and then goes on at `next`; where it begins. */
static int32_t build(pn_job *job, pn_nfa *nfa, const pn_re *re, int32_t next) {
    if (job->status) return 0;
    switch (re->op) {
    case PN_RE_EMPTY: return next;
    case PN_RE_SET: return add_node(job, nfa, (node){.op = NODE_SET, .a = next, .set = re->set});
    case PN_RE_SEQ:
        for (int32_t i = re->n; i-- > 0;) next = build(job, nfa, re->kids[i], next);
        return next;
    case PN_RE_ALT: {
        int32_t at = build(job, nfa, re->kids[re->n - 1], next);
        for (int32_t i = re->n - 1; i-- > 0;)
            at = add_node(
                job, nfa,
                (node){.op = NODE_SPLIT, .a = build(job, nfa, re->kids[i], next), .b = at});
        return at;
    }
    case PN_RE_REPEAT: return build_repeat(job, nfa, re, next);
    default:
        return add_node(job, nfa,
                        (node){.op = NODE_ASSERT, .assertion = (uint8_t)re->op, .a = next});
    }
}

pn_nfa *pn_nfa_make(pn_job *job, const pn_re *re, bool has_boundary) {
    pn_nfa *nfa = pn_job_alloc(job, 1, sizeof *nfa);
    const pn_set *all = pn_set_one(job, 0, PN_CODE_MAX);
    if (!nfa || !all) return NULL;
    nfa->has_boundary = has_boundary;
    const int32_t body = build(job, nfa, re, add_node(job, nfa, (node){.op = NODE_ACCEPT}));
    const int32_t loop = add_node(job, nfa, (node){.op = NODE_SET, .set = all});
    nfa->start = add_node(job, nfa, (node){.op = NODE_SPLIT, .a = loop, .b = body});
    if (job->status) return NULL;
    nfa->nodes[loop].a = nfa->start;
    nfa->marks = pn_job_alloc(job, (size_t)nfa->n, sizeof *nfa->marks);
    nfa->todo = pn_job_alloc(job, 3 * (size_t)nfa->n, sizeof *nfa->todo);
    nfa->found = pn_job_alloc(job, (size_t)nfa->n, sizeof *nfa->found);
    nfa->kernel = pn_job_alloc(job, (size_t)nfa->n + 1, sizeof *nfa->kernel);
    const int32_t matched = -1, first[2] = {BESIDE_NOTHING, nfa->start};
    if (!nfa->kernel || pn_intern_add(job, &nfa->states, &matched, 1, NULL) < 0 ||
        pn_intern_add(job, &nfa->states, first, 2, NULL) < 0)
        return NULL;
    return nfa;
}

int32_t pn_nfa_vector_size(const pn_nfa *nfa) {
    return nfa->states.n_pool;
}

int32_t pn_nfa_start(const pn_nfa *nfa) {
    (void)nfa;
    return 1;
}

/* ---- running --------------------------------------------------------------------------------- */

static bool holds(uint8_t assertion, beside before, beside behind) {
    const bool boundary = (before == BESIDE_WORD) != (behind == BESIDE_WORD);
    switch (assertion) {
    case PN_RE_BEGIN: return before == BESIDE_NOTHING;
    case PN_RE_END: return behind == BESIDE_NOTHING;
    case PN_RE_BOUNDARY: return boundary;
    default: return !boundary;
    }
}

/* Follows empty moves from the nodes of a state; nfa->found: NODE_SETs that are reached. */
static bool follow(pn_job *job, pn_nfa *nfa, const int32_t *v, int32_t n, beside behind) {
    int32_t n_todo = 0, steps = 0;
    nfa->mark++;
    nfa->n_found = 0;
    nfa->accepted = false;
    for (int32_t i = n; i-- > 1;) nfa->todo[n_todo++] = v[i];
    for (; n_todo; steps++) {
        const int32_t at = nfa->todo[--n_todo];
        if (nfa->marks[at] == nfa->mark) continue;
        nfa->marks[at] = nfa->mark;
        const node *x = &nfa->nodes[at];
        switch ((node_op)x->op) {
        case NODE_SET: nfa->found[nfa->n_found++] = at; break;
        case NODE_SPLIT:
            nfa->todo[n_todo++] = x->b;
            nfa->todo[n_todo++] = x->a;
            break;
        case NODE_ASSERT:
            if (holds(x->assertion, (beside)v[0], behind)) nfa->todo[n_todo++] = x->a;
            break;
        case NODE_ACCEPT: nfa->accepted = true; break;
        }
    }
    return pn_job_charge(job, (size_t)steps + 2);
}

static void sort_ascending(int32_t *v, int32_t n) {
    for (int32_t i = 1; i < n; i++) {
        const int32_t x = v[i];
        int32_t j = i;
        for (; j > 0 && v[j - 1] > x; j--) v[j] = v[j - 1];
        v[j] = x;
    }
}

/* nfa->kernel: the vector of the state after c. */
static int32_t collect_kernel(pn_nfa *nfa, uint32_t c, beside kind) {
    int32_t n = 1;
    nfa->kernel[0] = kind;
    nfa->mark++;
    for (int32_t i = 0; i < nfa->n_found; i++) {
        const node *x = &nfa->nodes[nfa->found[i]];
        if (!pn_set_has(x->set, c) || nfa->marks[x->a] == nfa->mark) continue;
        nfa->marks[x->a] = nfa->mark;
        nfa->kernel[n++] = x->a;
    }
    return n;
}

int32_t pn_nfa_step(pn_job *job, pn_nfa *nfa, int32_t state, uint32_t c) {
    if (state <= 0) return state;
    int32_t n;
    const int32_t *v = pn_intern_get(&nfa->states, state, &n);
    const beside kind = nfa->has_boundary && pn_re_is_word(c) ? BESIDE_WORD : BESIDE_OTHER;
    if (!follow(job, nfa, v, n, kind)) return -2;
    if (nfa->accepted) return 0;
    n = collect_kernel(nfa, c, kind);
    if (n == 1) return -1;
    if (n > 1000 && !pn_job_charge(job, (size_t)n * (size_t)n / 64)) return -2;
    sort_ascending(nfa->kernel + 1, n - 1);
    const int32_t next = pn_intern_add(job, &nfa->states, nfa->kernel, n, NULL);
    return next < 0 ? -2 : next;
}

bool pn_nfa_accepts(pn_job *job, pn_nfa *nfa, int32_t state) {
    if (state <= 0) return state == 0;
    int32_t n;
    const int32_t *v = pn_intern_get(&nfa->states, state, &n);
    return follow(job, nfa, v, n, BESIDE_NOTHING) && nfa->accepted;
}
