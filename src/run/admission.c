/* admission.c: who is computed, and with which pages.
 *
 * Seniority: a request of higher priority is senior to one of lower, an older one to a younger. A
 * request begins when all pages of its prompt are there for it beside those that the running ones
 * still need for what they have; what they will sample nobody knows. So when a page is needed and
 * none is left, the most junior request that holds some gives them up: it rests. It keeps its slot,
 * its tokens and its sampler, and is computed again as soon as there is room, before anybody new
 * begins. The most senior request never rests, and the pool holds a whole context: so everything is
 * done in the end. */
#include "run/request.h"

#include "base/os.h"

static int32_t pages_of(int32_t n_positions) {
    return (n_positions + PN_PAGE_POSITIONS - 1) / PN_PAGE_POSITIONS;
}

bool pn_request_is_senior(const pn_request *a, const pn_request *b) {
    return a->priority != b->priority ? a->priority > b->priority : a->number < b->number;
}

/* ---- room ------------------------------------------------------------------------------------ */

/* Pages that these tokens and one more take, beyond those that others use anyway. */
static int32_t pages_to_begin(const puna_scheduler *s, const int32_t *tokens, int32_t n) {
    const puna_engine *e = s->engine;
    int32_t need = pages_of(n < e->n_ctx ? n + 1 : n);
    if (!e->prefixes) return need;
    const int32_t found = pn_prefix_cache_find(e->prefixes, PN_NO_PAGE, tokens, n - 1, e->found);
    for (int32_t i = 0; i < found / PN_PAGE_POSITIONS; i++) need -= e->pages.refs[e->found[i]] > 1;
    return need;
}

/* Pages that a running request still needs for what it has. */
static int32_t pages_to_go_on(const puna_scheduler *s, const pn_request *r) {
    const puna_seq *seq = r->seq;
    if (r->is_resting) return pages_to_begin(s, seq->tokens, seq->n_tokens);
    const int32_t n = seq->n_tokens < s->engine->n_ctx ? seq->n_tokens + 1 : seq->n_tokens;
    const int32_t need = pages_of(n) - seq->n_pages;
    return need > 0 ? need : 0;
}

/* Whether `need` pages are there for a request beside what its seniors and equals that run need, and
 * a page for each of them, so that it does not have to rest at once; if those of lower priority give
 * up theirs. */
static bool is_room(const puna_scheduler *s, const pn_request *request, int32_t need) {
    int32_t room = pn_pages_available(&s->engine->pages);
    for (int32_t i = 0; i < s->engine->n_seq; i++) {
        const pn_request *r = s->running[i];
        if (!r || r == request) continue;
        if (r->priority < request->priority)
            room += r->seq->n_pages;
        else if (!r->is_resting || pn_request_is_senior(r, request))
            room -= pages_to_go_on(s, r) + !r->is_resting;
    }
    return need <= room;
}

static bool is_anybody_awake(const puna_scheduler *s) {
    for (int32_t i = 0; i < s->engine->n_seq; i++)
        if (s->running[i] && !s->running[i]->is_resting) return true;
    return false;
}

static pn_request *senior_resting(const puna_scheduler *s) {
    pn_request *senior = NULL;
    for (int32_t i = 0; i < s->engine->n_seq; i++) {
        pn_request *r = s->running[i];
        if (r && r->is_resting && (!senior || pn_request_is_senior(r, senior))) senior = r;
    }
    return senior;
}

/* ---- beginning and resting ------------------------------------------------------------------- */

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

static bool may_begin(const puna_scheduler *s, const pn_request *next) {
    const pn_request *resting = senior_resting(s);
    if (!next || s->stats.n_running == s->engine->n_seq) return false;
    if (!is_anybody_awake(s)) return !resting;
    return !(resting && resting->priority >= next->priority) &&
           is_room(s, next, pages_to_begin(s, next->tokens, next->n_prompt));
}

void pn_admit(puna_scheduler *s) {
    pn_request *r;
    while ((r = senior_resting(s)) && (!is_anybody_awake(s) || is_room(s, r, pages_to_go_on(s, r))))
        r->is_resting = false;
    pn_mutex_lock(s->lock);
    while (may_begin(s, s->waiting)) begin(s, pn_turns_next(s));
    pn_mutex_unlock(s->lock);
}

/* The most junior request that is junior to r and holds pages. */
static pn_request *find_junior(const puna_scheduler *s, const pn_request *r) {
    pn_request *junior = NULL;
    for (int32_t i = 0; i < s->engine->n_seq; i++) {
        pn_request *other = s->running[i];
        if (!other || other->seq->n_pages == 0 || !pn_request_is_senior(r, other)) continue;
        if (!junior || pn_request_is_senior(junior, other)) junior = other;
    }
    return junior;
}

static void put_to_rest(puna_scheduler *s, pn_request *r) {
    pn_seq_forget(r->seq, 0);
    r->seq->quota = 0;
    r->is_resting = true;
    pn_mutex_lock(s->lock);
    s->stats.n_preempted++;
    pn_mutex_unlock(s->lock);
}

bool pn_reserve(puna_scheduler *s, pn_request *r, int32_t n_rows) {
    for (;;) {
        const puna_status status = pn_seq_reserve(r->seq, n_rows, &r->failure);
        if (status != PUNA_OK && status != PUNA_E_LIMIT) return false;
        r->failure.code = PUNA_OK;
        if (status == PUNA_OK) return true;
        pn_request *junior = find_junior(s, r);
        if (!junior) return false;
        put_to_rest(s, junior);
    }
}
