/* turns.c: the order in which requests begin: by priority, then clients in turn, then by age.
 *
 * Turns are rounds: each request of a client belongs to a later round than the one before it, and
 * the first of a client that has none to the round that is under way. So a client with a hundred
 * requests and one with a single one wait equally long for their next. */
#include "run/request.h"

/* The round of the client's last request that has not ended; 0 without any. */
static uint64_t last_round(const puna_scheduler *s, const pn_request *request) {
    uint64_t last = 0;
    for (const pn_request *r = s->waiting; r; r = r->next)
        if (r->client == request->client && r->round > last) last = r->round;
    for (int32_t i = 0; i < s->engine->n_seq; i++) {
        const pn_request *r = s->running[i];
        if (r && r->client == request->client && r->round > last) last = r->round;
    }
    return last;
}

static bool is_before(const pn_request *a, const pn_request *b) {
    if (a->priority != b->priority) return a->priority > b->priority;
    if (a->round != b->round) return a->round < b->round;
    return a->number < b->number;
}

void pn_turns_add(puna_scheduler *s, pn_request *request) {
    const uint64_t after = last_round(s, request) + 1;
    request->round = after > s->round ? after : s->round;
    pn_request **at = &s->waiting;
    while (*at && is_before(*at, request)) at = &(*at)->next;
    request->next = *at;
    *at = request;
    s->stats.n_waiting++;
}

pn_request *pn_turns_next(puna_scheduler *s) {
    pn_request *r = s->waiting;
    if (!r) return NULL;
    s->waiting = r->next;
    r->next = NULL;
    s->stats.n_waiting--;
    if (r->round > s->round) s->round = r->round;
    return r;
}
