/* schema_minimise.c: makes an automaton as small as can be.
 *
 * First states that are not reached, or from which nothing is accepted, go; what is left is
 * minimised by refining a partition of the states and one of the transitions in turn (A. Valmari,
 * "Fast brief practical DFA minimization", Information Processing Letters 112, 2012): time in n log
 * n of the transitions that exist. */
#include "grammar/schema_automaton.h"

#include <string.h>

typedef struct partition {
    int32_t n;                       /* sets */
    int32_t *elements, *place, *set; /* elements sorted by set; where an element is; its set */
    int32_t *first, *past;           /* of a set */
    int32_t *marked;                 /* elements of a set that are marked, at its front */
    int32_t *touched, n_touched;     /* sets with marked elements */
} partition;

typedef struct minimiser {
    pn_job *job;
    pn_dfa *dfa;
    int32_t n_states, n_moves;
    int32_t *tails, *letters, *heads; /* of the moves */
    int32_t *into, *into_begin;       /* moves by head */
    partition blocks, cords;
} minimiser;

static bool partition_new(pn_job *job, partition *p, int32_t n) {
    int32_t *room = pn_job_alloc(job, 7 * ((size_t)n + 1), sizeof *room);
    if (!room) return false;
    int32_t **parts[] = {&p->elements, &p->place,  &p->set,    &p->first,
                         &p->past,     &p->marked, &p->touched};
    for (int32_t i = 0; i < 7; i++) *parts[i] = room + (size_t)i * ((size_t)n + 1);
    for (int32_t i = 0; i < n; i++) p->elements[i] = p->place[i] = i;
    p->n = n > 0;
    p->past[0] = n;
    return true;
}

static void mark(partition *p, int32_t element) {
    const int32_t s = p->set[element], at = p->place[element], to = p->first[s] + p->marked[s];
    if (at < to) return; /* marked already */
    p->elements[at] = p->elements[to];
    p->place[p->elements[at]] = at;
    p->elements[to] = element;
    p->place[element] = to;
    if (!p->marked[s]++) p->touched[p->n_touched++] = s;
}

/* Each set with marked elements becomes two; the smaller part gets the new number. */
static void split(partition *p) {
    while (p->n_touched) {
        const int32_t s = p->touched[--p->n_touched], mid = p->first[s] + p->marked[s];
        const bool front = p->marked[s] <= p->past[s] - mid;
        p->marked[s] = 0;
        if (mid == p->past[s]) continue;
        const int32_t fresh = p->n++;
        p->first[fresh] = front ? p->first[s] : mid;
        p->past[fresh] = front ? mid : p->past[s];
        if (front)
            p->first[s] = mid;
        else
            p->past[s] = mid;
        for (int32_t i = p->first[fresh]; i < p->past[fresh]; i++) p->set[p->elements[i]] = fresh;
    }
}

static void index_moves(minimiser *m) {
    for (int32_t i = 0; i < m->n_moves; i++) m->into_begin[m->heads[i] + 1]++;
    for (int32_t i = 0; i < m->n_states; i++) m->into_begin[i + 1] += m->into_begin[i];
    for (int32_t i = m->n_moves; i-- > 0;) {
        int32_t *end = &m->into_begin[m->heads[i] + 1];
        m->into[--*end] = i;
    }
    /* every begin has moved to that of the state before: shift them back */
    memmove(m->into_begin, m->into_begin + 1, (size_t)m->n_states * sizeof *m->into_begin);
    m->into_begin[m->n_states] = m->n_moves;
}

/* Lists the moves between states that `keep`. */
static bool list_moves(minimiser *m, const bool *keep) {
    const int32_t n_letters = m->dfa->alphabet.n;
    const size_t cells = (size_t)m->n_states * (size_t)n_letters;
    size_t n = 0;
    if (!pn_job_charge(m->job, cells)) return false;
    for (size_t i = 0; i < cells; i++) n += m->dfa->next[i] >= 0;
    int32_t *room = pn_job_alloc(m->job, 4 * n + (size_t)m->n_states + 2, sizeof *room);
    if (!room) return false;
    m->tails = room, m->letters = room + n, m->heads = room + 2 * n, m->into = room + 3 * n;
    m->into_begin = room + 4 * n;
    m->n_moves = 0;
    for (size_t i = 0; i < cells; i++) {
        const int32_t tail = (int32_t)(i / (size_t)n_letters), head = m->dfa->next[i];
        if (head < 0 || (keep && (!keep[tail] || !keep[head]))) continue;
        m->tails[m->n_moves] = tail;
        m->letters[m->n_moves] = (int32_t)(i % (size_t)n_letters);
        m->heads[m->n_moves++] = head;
    }
    index_moves(m);
    return true;
}

/* live[s]: something is accepted from s on. Every state is reached already. */
static bool find_live(minimiser *m, bool *live) {
    int32_t *todo = pn_job_alloc(m->job, (size_t)m->n_states + 1, sizeof *todo), n = 0;
    if (!todo) return false;
    for (int32_t s = 0; s < m->n_states; s++)
        if (m->dfa->accepts[s]) {
            live[s] = true;
            todo[n++] = s;
        }
    while (n) {
        const int32_t s = todo[--n];
        for (int32_t i = m->into_begin[s]; i < m->into_begin[s + 1]; i++) {
            const int32_t tail = m->tails[m->into[i]];
            if (live[tail]) continue;
            live[tail] = true;
            todo[n++] = tail;
        }
    }
    return true;
}

/* The first partition of the moves: one set per letter that occurs. */
static bool split_by_letter(minimiser *m) {
    partition *c = &m->cords;
    const int32_t n_letters = m->dfa->alphabet.n;
    int32_t *end = pn_job_alloc(m->job, (size_t)n_letters + 1, sizeof *end);
    if (!end) return false;
    for (int32_t i = 0; i < m->n_moves; i++) end[m->letters[i] + 1]++;
    for (int32_t i = 0; i < n_letters; i++) end[i + 1] += end[i];
    /* end[letter] counts up from where the letter begins to where it ends */
    for (int32_t i = 0; i < m->n_moves; i++) {
        c->place[i] = end[m->letters[i]]++;
        c->elements[c->place[i]] = i;
    }
    c->n = 0;
    for (int32_t i = 0; i < m->n_moves; i++) {
        const int32_t move = c->elements[i];
        if (i == 0 || m->letters[move] != m->letters[c->elements[i - 1]]) c->first[c->n++] = i;
        c->past[c->n - 1] = i + 1;
        c->set[move] = c->n - 1;
    }
    return true;
}

static bool refine(minimiser *m, const bool *live) {
    partition *b = &m->blocks, *c = &m->cords;
    if (!partition_new(m->job, b, m->n_states) || !partition_new(m->job, c, m->n_moves) ||
        !split_by_letter(m))
        return false;
    for (int32_t s = 0; s < m->n_states; s++)
        if (m->dfa->accepts[s]) mark(b, s);
    split(b);
    for (int32_t s = 0; s < m->n_states; s++)
        if (!live[s]) mark(b, s);
    split(b);
    for (int32_t next_c = 0, next_b = 1; next_c < c->n; next_c++) {
        if (!pn_job_charge(m->job, (size_t)(c->past[next_c] - c->first[next_c]))) return false;
        for (int32_t i = c->first[next_c]; i < c->past[next_c]; i++)
            mark(b, m->tails[c->elements[i]]);
        split(b);
        for (; next_b < b->n; next_b++) {
            for (int32_t i = b->first[next_b]; i < b->past[next_b]; i++) {
                const int32_t s = b->elements[i];
                for (int32_t j = m->into_begin[s]; j < m->into_begin[s + 1]; j++)
                    mark(c, m->into[j]);
            }
            split(c);
        }
    }
    return true;
}

/* The automaton of the blocks, numbered in the order in which they are reached. */
static bool rebuild(minimiser *m, const bool *live) {
    const int32_t n_letters = m->dfa->alphabet.n;
    const partition *b = &m->blocks;
    int32_t *number = pn_job_alloc(m->job, 2 * (size_t)b->n, sizeof *number);
    int32_t *next = pn_job_alloc(m->job, (size_t)b->n * (size_t)n_letters, sizeof *next);
    bool *accepts = pn_job_alloc(m->job, (size_t)b->n, sizeof *accepts);
    if (!number || !next || !accepts) return false;
    int32_t *order = number + b->n, n = 1; /* a state of each block that was reached */
    for (int32_t i = 0; i < b->n; i++) number[i] = -1;
    number[b->set[0]] = 0;
    order[0] = 0;
    for (int32_t i = 0; i < n; i++) {
        accepts[i] = m->dfa->accepts[order[i]];
        for (int32_t letter = 0; letter < n_letters; letter++) {
            const int32_t to = m->dfa->next[(size_t)order[i] * (size_t)n_letters + (size_t)letter];
            int32_t *cell = &next[(size_t)i * (size_t)n_letters + (size_t)letter];
            *cell = -1;
            if (to < 0 || !live[to]) continue;
            if (number[b->set[to]] < 0) {
                number[b->set[to]] = n;
                order[n++] = to;
            }
            *cell = number[b->set[to]];
        }
    }
    m->dfa->n = n;
    m->dfa->next = next;
    m->dfa->accepts = accepts;
    return true;
}

bool pn_automaton_minimise(pn_job *job, pn_dfa *dfa) {
    minimiser m = {.job = job, .dfa = dfa, .n_states = dfa->n};
    bool *live = pn_job_alloc(job, (size_t)dfa->n + 1, sizeof *live);
    if (!live || !list_moves(&m, NULL) || !find_live(&m, live)) return false;
    if (dfa->n == 0 || !live[0]) {
        dfa->n = 0;
        return true;
    }
    return list_moves(&m, live) && refine(&m, live) && rebuild(&m, live);
}
