/* turns.c: the order in which requests begin: by priority, then clients in turn, then by age.
 *
 * Turns are rounds: a request belongs to the round after the one that is under way, and after that
 * of the last request of its client and priority that has not ended. So a client with a hundred
 * requests and one with a single one wait equally long for their next; and a round ends, since nobody
 * joins it, so that newcomers never keep anybody waiting for ever. */
#include "run/request.h"

static void see_round(uint64_t *last, const pn_request *r, const pn_request *request) {
    if (r->client == request->client && r->priority == request->priority && r->round > *last)
        *last = r->round;
}

static uint64_t last_round(const puna_scheduler *s, const pn_request *request) {
    uint64_t last = s->round;
    for (const pn_request *r = s->waiting; r; r = r->next) see_round(&last, r, request);
    for (int32_t i = 0; i < s->engine->n_seq; i++)
        if (s->running[i]) see_round(&last, s->running[i], request);
    return last;
}

static bool is_before(const pn_request *a, const pn_request *b) {
    if (a->priority != b->priority) return a->priority > b->priority;
    if (a->round != b->round) return a->round < b->round;
    return a->number < b->number;
}

void pn_turns_add(puna_scheduler *s, pn_request *request) {
    request->round = last_round(s, request) + 1;
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
