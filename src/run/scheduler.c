/* scheduler.c: many requests on one engine: the public face, and the step.
 *
 * A step: those that were cancelled or are late end; others begin while there is room
 * (admission.c); the engine computes one batch; what came of it is reported. Requests join and leave
 * between steps only, so the stepping thread needs no lock around the engine, which is its own. */
#include "run/request.h"

#include "base/mem.h"
#include "base/os.h"
#include "run/options.h"

#include <string.h>

/* Counts the pages for the statistics. */
static void count_pages(puna_scheduler *s) {
    const pn_pages *pages = &s->engine->pages;
    s->stats.n_slots = s->engine->n_seq;
    s->stats.n_kv = (int64_t)pages->n_pages * PN_PAGE_POSITIONS;
    s->stats.n_kv_cached = (int64_t)pages->n_idle * PN_PAGE_POSITIONS;
    s->stats.n_kv_used = (int64_t)(pages->n_pages - pn_pages_available(pages)) * PN_PAGE_POSITIONS;
    if (s->engine->prefixes)
        s->stats.n_evicted_pages = pn_prefix_cache_n_evicted(s->engine->prefixes);
}

/* ---- open and free --------------------------------------------------------------------------- */

void puna_scheduler_options_init(puna_scheduler_options *options) {
    *options = (puna_scheduler_options){.size = sizeof *options, .max_waiting = 64, .step_s = 0.1};
    puna_engine_options_init(&options->engine);
    options->engine.prefix_cache = true;
}

static puna_status check(const puna_scheduler_options *o, puna_error *err) {
    if (o->max_waiting < 0)
        return pn_fail(err, PUNA_E_ARG, "max_waiting is %d, at least 0", o->max_waiting);
    if (!(o->step_s >= 0))
        return pn_fail(err, PUNA_E_ARG, "step_s is %g, at least 0 seconds", o->step_s);
    return PUNA_OK;
}

static puna_status open_engine(puna_model *model, const puna_scheduler_options *o,
                               puna_engine **engine, puna_error *err) {
    puna_engine_options options = o->engine;
    pn_cuda_cards cards = {0};
    options.progress = NULL;
    puna_status status = pn_engine_fit_pool(model, &options, &cards, err);
    if (status == PUNA_OK) status = pn_engine_open_on(model, &options, &cards, engine, err);
    pn_cuda_cards_close(&cards);
    return status;
}

static puna_status open_parts(puna_model *model, const puna_scheduler_options *o, puna_scheduler *s,
                              puna_error *err) {
    PN_TRY(open_engine(model, o, &s->engine, err));
    const int32_t n_seq = s->engine->n_seq;
    s->max_events = n_seq * (2 + s->engine->options.max_draft);
    s->max_requests = o->max_waiting > INT32_MAX - n_seq ? INT32_MAX : n_seq + o->max_waiting;
    s->events = pn_calloc((size_t)s->max_events, sizeof *s->events);
    s->running = pn_calloc((size_t)n_seq, sizeof(pn_request *));
    s->order = pn_calloc((size_t)n_seq, sizeof(pn_request *));
    s->step_s = o->step_s;
    if (!s->events || !s->running || !s->order)
        return pn_fail_nomem(err, (size_t)s->max_events * sizeof *s->events, "the scheduler");
    PN_TRY(pn_mutex_open(&s->lock, err));
    return pn_bell_open(&s->bell, err);
}

puna_status puna_scheduler_open(puna_model *model, const puna_scheduler_options *options,
                                puna_scheduler **scheduler, puna_error *err) {
    puna_scheduler_options o;
    puna_scheduler_options_init(&o);
    pn_options_copy(&o, sizeof o, options);
    PN_TRY(check(&o, err));
    puna_scheduler *s = pn_calloc(1, sizeof *s);
    if (!s) return pn_fail_nomem(err, sizeof *s, "the scheduler");
    s->round = 1;
    const puna_status status = open_parts(model, &o, s, err);
    if (status == PUNA_OK) count_pages(s);
    if (status != PUNA_OK) {
        puna_scheduler_free(s);
        return status;
    }
    *scheduler = s;
    return PUNA_OK;
}

void puna_scheduler_get_plan(const puna_scheduler *scheduler, puna_memory_plan *plan) {
    puna_engine_get_plan(scheduler->engine, plan);
}

/* ---- the end of a request -------------------------------------------------------------------- */

/* Takes it out of its slot and out of the counts; its sequence gives its pages up. */
static void retire(puna_scheduler *s, pn_request *r, bool finished) {
    pn_mutex_lock(s->lock);
    if (r->seq) {
        s->running[r->seq->slot] = NULL;
        s->stats.n_running--;
        puna_seq_free(r->seq);
        count_pages(s);
    }
    s->stats.n_finished += finished;
    s->stats.n_failed += !finished;
    pn_mutex_unlock(s->lock);
    pn_request_close(r);
}

static void fail(puna_scheduler *s, pn_request *r, const puna_error *error) {
    pn_request_report(r, PUNA_REQUEST_FAILED, NULL, error);
    retire(s, r, false);
}

static bool is_over(const pn_request *r, double now, puna_error *error) {
    if (r->cancelled)
        pn_fail(error, PUNA_E_CANCELLED, "cancelled");
    else if (r->deadline != 0 && now >= r->deadline)
        pn_fail(error, PUNA_E_TIMEOUT, "not done after the %.3g seconds it was given",
                r->deadline - r->submitted);
    else if (r->failure.code != PUNA_OK)
        *error = r->failure;
    else
        return false;
    return true;
}

/* Takes the next one that is over out of the line of those that wait. */
static pn_request *take_over(puna_scheduler *s, double now, puna_error *error) {
    pn_request *found = NULL;
    pn_mutex_lock(s->lock);
    for (pn_request **at = &s->waiting; *at && !found; at = found ? at : &(*at)->next) {
        if (!is_over(*at, now, error)) continue;
        found = *at;
        *at = found->next;
        s->stats.n_waiting--;
    }
    pn_mutex_unlock(s->lock);
    return found;
}

static void end_those_over(puna_scheduler *s) {
    puna_error error;
    const double now = pn_os_seconds();
    for (int32_t i = 0; i < s->engine->n_seq; i++) {
        pn_request *r = s->running[i];
        if (!r) continue;
        pn_mutex_lock(s->lock);
        const bool over = is_over(r, now, &error);
        pn_mutex_unlock(s->lock);
        if (over) fail(s, r, &error);
    }
    pn_request *r;
    while ((r = take_over(s, now, &error))) fail(s, r, &error);
}

static void end_all(puna_scheduler *s, const puna_error *error) {
    for (int32_t i = 0; s->running && i < s->engine->n_seq; i++)
        if (s->running[i]) fail(s, s->running[i], error);
}

void puna_scheduler_free(puna_scheduler *s) {
    if (!s) return;
    if (s->lock) {
        puna_error error;
        pn_request *r;
        pn_fail(&error, PUNA_E_CANCELLED, "the scheduler was closed");
        end_all(s, &error);
        for (;;) {
            pn_mutex_lock(s->lock);
            r = pn_turns_next(s);
            pn_mutex_unlock(s->lock);
            if (!r) break;
            fail(s, r, &error);
        }
    }
    puna_engine_free(s->engine);
    pn_bell_close(&s->bell);
    pn_mutex_close(s->lock);
    pn_free(s->running);
    pn_free(s->order);
    pn_free(s->events);
    pn_free(s);
}

/* ---- requests come and go -------------------------------------------------------------------- */

static bool is_full(const puna_scheduler *s) {
    return s->stats.n_waiting >= s->max_requests - s->stats.n_running;
}

static puna_status refuse(puna_scheduler *s, puna_error *err) {
    return pn_fail(err, PUNA_E_STATE, "%d requests are running and %d wait: try again later",
                   s->stats.n_running, s->stats.n_waiting);
}

/* Refuses, or with a request accepts it. */
static puna_status enter(puna_scheduler *s, pn_request *r, uint64_t *number, puna_error *err) {
    puna_status status = PUNA_OK;
    pn_mutex_lock(s->lock);
    if (is_full(s)) {
        s->stats.n_refused++;
        status = refuse(s, err);
    } else if (r) {
        *number = r->number = ++s->n_numbers;
        pn_turns_add(s, r);
        s->stats.n_accepted++;
    }
    pn_mutex_unlock(s->lock);
    return status;
}

puna_status puna_scheduler_submit(puna_scheduler *scheduler, const puna_request_options *options,
                                  uint64_t *request, puna_error *err) {
    pn_request *r;
    PN_TRY(enter(scheduler, NULL, NULL, err)); /* a full queue costs nothing */
    PN_TRY(pn_request_open(scheduler->engine, options, &r, err));
    const puna_status status = enter(scheduler, r, request, err);
    if (status != PUNA_OK)
        pn_request_close(r);
    else
        pn_bell_ring(&scheduler->bell);
    return status;
}

void puna_scheduler_cancel(puna_scheduler *scheduler, uint64_t request) {
    pn_mutex_lock(scheduler->lock);
    for (pn_request *r = scheduler->waiting; r; r = r->next) r->cancelled |= r->number == request;
    for (int32_t i = 0; i < scheduler->engine->n_seq; i++) {
        pn_request *r = scheduler->running[i];
        if (r) r->cancelled |= r->number == request;
    }
    pn_mutex_unlock(scheduler->lock);
    pn_bell_ring(&scheduler->bell);
}

void puna_scheduler_wake(puna_scheduler *scheduler) {
    pn_bell_ring(&scheduler->bell);
}

int32_t puna_scheduler_requests(puna_scheduler *scheduler, puna_request_info *infos, int32_t max) {
    int32_t n = 0;
    pn_mutex_lock(scheduler->lock);
    for (int32_t i = 0; i < scheduler->engine->n_seq; i++) {
        const pn_request *r = scheduler->running[i];
        if (!r) continue;
        if (n < max) pn_request_describe(r, &infos[n]);
        n++;
    }
    for (const pn_request *r = scheduler->waiting; r; r = r->next, n++)
        if (n < max) pn_request_describe(r, &infos[n]);
    pn_mutex_unlock(scheduler->lock);
    return n;
}

void puna_scheduler_get_stats(puna_scheduler *scheduler, puna_scheduler_stats *stats) {
    pn_mutex_lock(scheduler->lock);
    scheduler->stats.size = sizeof scheduler->stats;
    pn_options_fill(stats, &scheduler->stats, sizeof scheduler->stats);
    pn_mutex_unlock(scheduler->lock);
}

/* ---- the step -------------------------------------------------------------------------------- */

/* Chunks of prompts that were computed. */
static void report_prefill(puna_scheduler *s) {
    for (int32_t i = 0; i < s->engine->n_seq; i++) {
        pn_request *r = s->running[i];
        if (!r || r->state != PUNA_REQUEST_PROMPT) continue;
        const int32_t n = r->seq->n_computed < r->n_prompt ? r->seq->n_computed : r->n_prompt;
        if (n <= r->n_computed) continue; /* computed again */
        pn_mutex_lock(s->lock);
        r->n_computed = n;
        pn_mutex_unlock(s->lock);
        pn_request_report(r, PUNA_REQUEST_PREFILL, NULL, NULL);
    }
}

static void note_token(puna_scheduler *s, pn_request *r) {
    if (r->answered == 0) r->answered = pn_os_seconds();
    pn_mutex_lock(s->lock);
    r->state = PUNA_REQUEST_ANSWER;
    r->n_sampled++;
    s->stats.n_sampled_tokens++;
    pn_mutex_unlock(s->lock);
}

static void report_event(puna_scheduler *s, const puna_event *event) {
    pn_request *r = s->running[event->seq->slot];
    switch (event->kind) {
    case PUNA_EVENT_TOKEN:
        note_token(s, r);
        pn_request_report(r, PUNA_REQUEST_TOKEN, event, NULL);
        break;
    case PUNA_EVENT_FINISHED:
        pn_request_report(r, PUNA_REQUEST_FINISHED, event, NULL);
        retire(s, r, true);
        break;
    case PUNA_EVENT_FAILED: fail(s, r, &event->error); break;
    }
}

static puna_status compute(puna_scheduler *s, puna_error *err) {
    int32_t n = 0;
    puna_error error;
    const double start = pn_os_seconds();
    pn_chunks_plan(s);
    const puna_status status = puna_engine_step(s->engine, s->events, s->max_events, &n, &error);
    const double seconds = pn_os_seconds() - start;
    pn_chunks_learn(s, seconds);
    pn_mutex_lock(s->lock);
    s->stats.n_steps++;
    s->stats.busy_s += seconds;
    count_pages(s);
    pn_mutex_unlock(s->lock);
    if (status != PUNA_OK) {
        end_all(s, &error);
        if (err) *err = error;
        return status;
    }
    report_prefill(s);
    for (int32_t i = 0; i < n; i++) report_event(s, &s->events[i]);
    return PUNA_OK;
}

static bool has_work(puna_scheduler *s) {
    pn_mutex_lock(s->lock);
    const bool work = s->stats.n_running > 0 || s->stats.n_waiting > 0;
    pn_mutex_unlock(s->lock);
    return work;
}

puna_status puna_scheduler_step(puna_scheduler *scheduler, double wait_s, bool *is_busy,
                                puna_error *err) {
    puna_status status = PUNA_OK;
    if (!has_work(scheduler)) pn_bell_wait(&scheduler->bell, wait_s);
    end_those_over(scheduler);
    pn_admit(scheduler);
    if (scheduler->stats.n_running > 0) status = compute(scheduler, err);
    *is_busy = has_work(scheduler);
    return status;
}
