/* admission.c: who is computed. */
#include "run/request.h"

#include "base/os.h"

static int32_t pages_of(int32_t n_positions) {
    return (n_positions + PN_PAGE_POSITIONS - 1) / PN_PAGE_POSITIONS;
}

/* Pages that a request may come to hold. */
static int32_t most_pages(const puna_engine *e, const pn_request *r) {
    const puna_seq_options *o = r->seq ? &r->seq->setup.options : &r->setup.options;
    const int32_t left = e->n_ctx - r->n_prompt;
    const int32_t n = o->max_tokens < 0 || o->max_tokens > left ? left : o->max_tokens;
    return pages_of(r->n_prompt + n);
}

static bool has_room(const puna_scheduler *s, const pn_request *request) {
    const puna_engine *e = s->engine;
    int32_t taken = most_pages(e, request);
    for (int32_t i = 0; i < e->n_seq; i++)
        if (s->running[i]) taken += most_pages(e, s->running[i]);
    return s->stats.n_running < e->n_seq && taken <= e->pages.n_pages;
}

static void begin(puna_scheduler *s, pn_request *r) {
    puna_error err;
    (void)pn_seq_open_with(s->engine, &r->setup, &r->seq, &err); /* a slot is free */
    (void)puna_seq_feed(r->seq, r->tokens, r->n_prompt, &err);   /* checked when it came */
    r->n_reused = r->n_computed = r->seq->stats.n_reused;
    r->state = PUNA_REQUEST_PROMPT;
    r->begun = pn_os_seconds();
    s->running[r->seq->slot] = r;
    s->stats.n_running++;
    s->stats.n_prompt_tokens += (uint64_t)r->n_prompt;
    s->stats.n_reused_tokens += (uint64_t)r->n_reused;
}

void pn_admit(puna_scheduler *s) {
    pn_mutex_lock(s->lock);
    while (s->waiting && has_room(s, s->waiting)) begin(s, pn_turns_next(s));
    pn_mutex_unlock(s->lock);
}
