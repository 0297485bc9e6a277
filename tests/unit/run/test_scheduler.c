/* test_scheduler.c: many requests at once answer as each would alone, whatever comes and goes beside
 * them; turns, priorities, deadlines, cancellation, limits, and who is told what. */
#define _POSIX_C_SOURCE 200809L
#include "tiny_engine.h"

#include "unit/failing_allocator.h"
#include "run/request.h"

#include <pthread.h>
#include <time.h>

enum { MAX_LOG = 4096, N_REQUESTS = 12 };

/* What happened, in order. */
typedef struct happening {
    uint64_t request;
    puna_request_event_kind kind;
} happening;

static happening happenings[MAX_LOG];
static int32_t n_happenings;

/* What one request's caller saw. */
typedef struct caller {
    uint64_t request;
    outcome seen;
    int32_t n_prefill, n_computed, n_prompt, n_reused;
    bool ended, failed;
    puna_error error;
    puna_scheduler *cancels; /* itself, at its first token */
} caller;

static void see(void *user, const puna_request_event *e) {
    caller *c = user;
    assert_false(c->ended);
    assert_true(c->request == 0 || c->request == e->request);
    if (n_happenings < MAX_LOG) happenings[n_happenings++] = (happening){e->request, e->kind};
    switch (e->kind) {
    case PUNA_REQUEST_PREFILL:
        assert_true(e->n_computed > c->n_computed);
        assert_int_equal(c->seen.n_tokens, 0);
        c->n_prefill++;
        break;
    case PUNA_REQUEST_TOKEN:
    case PUNA_REQUEST_FINISHED: see_event(&c->seen, e->event); break;
    case PUNA_REQUEST_FAILED:
        c->failed = true;
        c->error = *e->error;
        break;
    }
    c->n_computed = e->n_computed;
    c->n_prompt = e->n_prompt;
    c->n_reused = e->n_reused;
    c->ended = e->kind == PUNA_REQUEST_FINISHED || e->kind == PUNA_REQUEST_FAILED;
    if (c->cancels && e->kind == PUNA_REQUEST_TOKEN) puna_scheduler_cancel(c->cancels, e->request);
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static puna_scheduler_options options_of(int32_t n_seq, int32_t n_batch, int32_t n_threads) {
    puna_scheduler_options o;
    puna_scheduler_options_init(&o);
    o.engine.n_ctx = 320;
    o.engine.n_seq = n_seq;
    o.engine.n_batch = n_batch;
    o.engine.n_threads = n_threads;
    return o;
}

static puna_scheduler *open_with(const puna_scheduler_options *o) {
    puna_scheduler *s = NULL;
    puna_error err;
    n_happenings = 0;
    if (puna_scheduler_open(model, o, &s, &err) != PUNA_OK) fail_msg("%s", err.msg);
    return s;
}

static puna_request_options request_of(const int32_t *tokens, int32_t n, int32_t max_tokens,
                                       caller *c) {
    puna_request_options o;
    puna_request_options_init(&o);
    o.tokens = tokens;
    o.n_tokens = n;
    o.seq = greedy(max_tokens);
    o.on_event = see;
    o.user = c;
    return o;
}

static void submit(puna_scheduler *s, const puna_request_options *o) {
    puna_error err;
    caller *c = o->user;
    uint64_t number = 0;
    if (puna_scheduler_submit(s, o, &number, &err) != PUNA_OK) fail_msg("%s", err.msg);
    assert_true(number != 0);
    c->request = number;
}

static bool step(puna_scheduler *s) {
    bool busy;
    puna_error err;
    if (puna_scheduler_step(s, 0, &busy, &err) != PUNA_OK) fail_msg("%s", err.msg);
    return busy;
}

static void run_all(puna_scheduler *s) {
    for (int32_t i = 0; step(s); i++) assert_true(i < 100000);
}

/* The i-th of a set of different requests. */
static puna_request_options varied(int32_t i, int32_t *prompt, caller *c) {
    const int32_t n = 1 + (i * 67 + 30) % 150;
    make_prompt(prompt, n, 40u + (uint32_t)i);
    puna_request_options o = request_of(prompt, n, 3 + i * 2, c);
    o.client = (uint64_t)(i % 3);
    o.priority = i % 5 == 0;
    if (i % 2) {
        o.seq.sampler.temperature = 1.5f;
        o.seq.sampler.seed = 9000u + (uint64_t)i;
        o.seq.sampler.n_logprobs = 3;
    }
    return o;
}

static void answer_alone(int32_t i, outcome *out) {
    int32_t prompt[320];
    const puna_request_options o = varied(i, prompt, NULL);
    puna_engine *e = open_engine(1, 512, 1, PUNA_KV_F16);
    puna_seq *s = open_seq_with(e, &o.seq);
    *out = complete(e, s, prompt, o.n_tokens);
    puna_engine_free(e);
}

static void assert_same(const outcome *got, const outcome *wanted) {
    assert_int_equal(got->n_tokens, wanted->n_tokens);
    assert_memory_equal(got->tokens, wanted->tokens, (size_t)wanted->n_tokens * sizeof(int32_t));
    assert_memory_equal(got->logprobs, wanted->logprobs, (size_t)wanted->n_tokens * sizeof(float));
    assert_string_equal(got->text, wanted->text);
    assert_int_equal(got->finish, wanted->finish);
}

static outcome alone[N_REQUESTS];
static caller callers[N_REQUESTS];

/* All of them, the i-th submitted after i * gap steps. */
static void run_mix(const puna_scheduler_options *o, int32_t gap) {
    int32_t prompt[320];
    puna_scheduler *s = open_with(o);
    memset(callers, 0, sizeof callers);
    for (int32_t i = 0; i < N_REQUESTS; i++) {
        const puna_request_options r = varied(i, prompt, &callers[i]);
        submit(s, &r);
        memset(prompt, 0xff, sizeof prompt); /* it was copied */
        for (int32_t j = 0; j < gap; j++) step(s);
    }
    run_all(s);
    for (int32_t i = 0; i < N_REQUESTS; i++) {
        assert_true(callers[i].ended);
        assert_false(callers[i].failed);
        assert_same(&callers[i].seen, &alone[i]);
        assert_int_equal(callers[i].n_computed, callers[i].n_prompt);
    }
    puna_scheduler_stats stats = {.size = sizeof stats};
    puna_scheduler_get_stats(s, &stats);
    assert_int_equal(stats.n_running + stats.n_waiting, 0);
    assert_int_equal(stats.n_accepted, N_REQUESTS);
    assert_int_equal(stats.n_finished, N_REQUESTS);
    puna_scheduler_free(s);
}

static void test_answers_as_alone(void **state) {
    (void)state;
    for (int32_t i = 0; i < N_REQUESTS; i++) answer_alone(i, &alone[i]);
    static const int32_t seqs[] = {1, 3, 16}, batches[] = {5, 512}, pools[] = {0, 320, 500};
    for (int32_t i = 0; i < 3; i++)
        for (int32_t j = 0; j < 2; j++)
            for (int32_t k = 0; k < 3; k++) {
                if ((i + j + k) % 3) continue; /* enough, and the sanitizer takes its time */
                puna_scheduler_options o = options_of(seqs[i], batches[j], 1 + (i == 2 && j == 1));
                o.engine.n_kv = pools[k];
                o.engine.prefix_cache = (i + j) % 2 == 0;
                run_mix(&o, (i + j + k) % 3);
            }
}

/* Pages of a pool that are neither free nor for the taking. */
static void assert_all_returned(const puna_scheduler *s) {
    const pn_pages *pages = &s->engine->pages;
    assert_int_equal(pn_pages_available(pages), pages->n_pages);
    for (int32_t i = 0; i < pages->n_pages; i++) assert_int_equal(pages->refs[i], pages->kept[i]);
}

/* Long answers in a pool for little more than one: some give up their pages, nobody notices. */
static void test_preemption(void **state) {
    (void)state;
    enum { N = 5 };
    int32_t prompt[320];
    outcome wanted[N];
    caller c[N];
    for (int32_t i = 0; i < N; i++) {
        puna_engine *e = open_engine(1, 512, 1, PUNA_KV_F16);
        make_prompt(prompt, 40, 70u + (uint32_t)i);
        wanted[i] = complete(e, open_seq(e, 110), prompt, 40);
        puna_engine_free(e);
    }
    for (int32_t cache = 0; cache < 2; cache++) {
        puna_scheduler_options o = options_of(N, 64, 1);
        o.engine.n_ctx = 192;
        o.engine.n_kv = 256;
        o.engine.prefix_cache = cache;
        puna_scheduler *s = open_with(&o);
        memset(c, 0, sizeof c);
        for (int32_t i = 0; i < N; i++) {
            make_prompt(prompt, 40, 70u + (uint32_t)i);
            puna_request_options r = request_of(prompt, 40, 110, &c[i]);
            r.priority = i == 3;
            submit(s, &r);
        }
        run_all(s);
        for (int32_t i = 0; i < N; i++) {
            assert_false(c[i].failed);
            assert_same(&c[i].seen, &wanted[i]);
        }
        puna_scheduler_stats stats = {.size = sizeof stats};
        puna_scheduler_get_stats(s, &stats);
        assert_true(stats.n_preempted > 0);
        assert_int_equal(stats.n_kv, 256);
        assert_int_equal(stats.n_kv_used, 0);
        assert_true(cache ? stats.n_kv_cached > 0 : stats.n_kv_cached == 0);
        assert_all_returned(s);
        puna_scheduler_free(s);
    }
}

/* A preempted request tells nothing twice, whatever it tells. */
static int32_t n_logits_seen, n_hidden_seen;

static void see_logits(void *user, int32_t position, const float *logits, int32_t n) {
    (void)user, (void)logits, (void)n;
    assert_int_equal(position, n_logits_seen++);
}

static void see_hidden(void *user, int32_t position, const float *hidden, int32_t n) {
    (void)user, (void)hidden, (void)n;
    assert_int_equal(position, n_hidden_seen++);
}

static void test_nothing_twice(void **state) {
    (void)state;
    int32_t prompt[320];
    caller c[3];
    memset(c, 0, sizeof c);
    puna_scheduler_options o = options_of(3, 16, 1);
    o.engine.n_ctx = o.engine.n_kv = 192;
    puna_scheduler *s = open_with(&o);
    n_logits_seen = n_hidden_seen = 0;
    make_prompt(prompt, 300, 5);
    puna_request_options first = request_of(prompt, 10, 150, &c[0]);
    first.priority = 1;
    puna_request_options second = request_of(prompt, 100, 20, &c[1]);
    second.seq.on_logits = see_logits;
    puna_request_options third = request_of(prompt, 100, 0, &c[2]);
    third.seq.on_hidden = see_hidden;
    submit(s, &first);
    submit(s, &second);
    submit(s, &third);
    run_all(s);
    assert_int_equal(n_logits_seen, 119);
    assert_int_equal(n_hidden_seen, 100);
    assert_int_equal(c[0].seen.n_tokens, 150);
    assert_int_equal(c[1].seen.n_tokens, 20);
    puna_scheduler_free(s);
}

/* Guesses the answer that `user` holds, every fifth token of it wrong. */
static int32_t guess(void *user, const int32_t *tokens, int32_t n_tokens, int32_t *draft,
                     int32_t max_draft) {
    const outcome *wanted = user;
    (void)tokens;
    int32_t n = 0;
    for (int32_t at = n_tokens - 40; n < max_draft && at < wanted->n_tokens; at++, n++)
        draft[n] = at % 5 ? wanted->tokens[at] : 7;
    return n;
}

/* Guesses take rows and pages, which others may need; answers are the same. */
static void test_drafts(void **state) {
    (void)state;
    enum { N = 3 };
    int32_t prompt[320];
    outcome wanted[N];
    caller c[N];
    memset(c, 0, sizeof c);
    for (int32_t i = 0; i < N; i++) {
        puna_engine *e = open_engine(1, 512, 1, PUNA_KV_F16);
        make_prompt(prompt, 40, 90u + (uint32_t)i);
        wanted[i] = complete(e, open_seq(e, 100), prompt, 40);
        puna_engine_free(e);
    }
    puna_scheduler_options o = options_of(N, 16, 1);
    o.engine.n_ctx = o.engine.n_kv = 192;
    o.engine.max_draft = 4;
    puna_scheduler *s = open_with(&o);
    for (int32_t i = 0; i < N; i++) {
        make_prompt(prompt, 40, 90u + (uint32_t)i);
        puna_request_options r = request_of(prompt, 40, 100, &c[i]);
        r.seq.draft = guess;
        r.seq.draft_user = &wanted[i];
        submit(s, &r);
    }
    run_all(s);
    for (int32_t i = 0; i < N; i++) assert_same(&c[i].seen, &wanted[i]);
    puna_scheduler_stats stats = {.size = sizeof stats};
    puna_scheduler_get_stats(s, &stats);
    assert_true(stats.n_steps < 250); /* of 300 tokens, on a pool for little more than one */
    assert_all_returned(s);
    puna_scheduler_free(s);
}

/* A callback submits the next request, cancels, and asks. */
typedef struct chain {
    puna_scheduler *scheduler;
    int32_t n_submitted, n_finished;
    uint64_t other;
} chain;

static void go_on(void *user, const puna_request_event *e) {
    chain *c = user;
    puna_request_info info = {.size = sizeof info};
    puna_scheduler_stats stats = {.size = sizeof stats};
    puna_scheduler_requests(c->scheduler, &info, 1);
    puna_scheduler_get_stats(c->scheduler, &stats);
    assert_true(stats.n_running > 0);
    if (e->kind != PUNA_REQUEST_FINISHED) return;
    c->n_finished++;
    puna_scheduler_cancel(c->scheduler, c->other);
    if (c->n_submitted == 5) return;
    int32_t prompt[30];
    uint64_t number;
    make_prompt(prompt, 30, (uint32_t)c->n_submitted);
    puna_request_options o = request_of(prompt, 30, 3, NULL);
    o.on_event = go_on;
    o.user = c;
    assert_int_equal(puna_scheduler_submit(c->scheduler, &o, &number, NULL), PUNA_OK);
    c->n_submitted++;
}

static void test_callbacks_may_call(void **state) {
    (void)state;
    int32_t prompt[30];
    uint64_t number;
    caller other = {0};
    const puna_scheduler_options options = options_of(2, 64, 1);
    chain c = {.scheduler = open_with(&options), .n_submitted = 1};
    make_prompt(prompt, 30, 99);
    puna_request_options o = request_of(prompt, 30, 3, NULL);
    o.on_event = go_on;
    o.user = &c;
    assert_int_equal(puna_scheduler_submit(c.scheduler, &o, &number, NULL), PUNA_OK);
    o = request_of(prompt, 30, 200, &other);
    submit(c.scheduler, &o);
    c.other = other.request;
    run_all(c.scheduler);
    assert_int_equal(c.n_finished, 5);
    assert_int_equal(other.error.code, PUNA_E_CANCELLED);
    assert_true(other.seen.n_tokens < 10);
    puna_scheduler_free(c.scheduler);
}

/* The same system prompt: computed once, whether it was there before or is under way. */
static void test_shared_beginnings(void **state) {
    (void)state;
    enum { N = 6, SHARED = 200 };
    int32_t prompt[320];
    caller c[N + 1];
    memset(c, 0, sizeof c);
    const puna_scheduler_options o = options_of(8, 32, 1);
    puna_scheduler *s = open_with(&o);
    for (int32_t i = 0; i <= N; i++) {
        make_prompt(prompt, 320, 5);
        make_prompt(prompt + SHARED, 40, 200u + (uint32_t)i);
        const puna_request_options r = request_of(prompt, SHARED + 40, 5, &c[i]);
        if (i == N) run_all(s);
        submit(s, &r);
    }
    run_all(s);
    const int32_t whole_pages = SHARED / PN_PAGE_POSITIONS * PN_PAGE_POSITIONS;
    for (int32_t i = 1; i < N; i++) assert_true(c[i].n_reused >= whole_pages);
    assert_int_equal(c[0].n_reused, 0);
    assert_int_equal(c[N].n_reused, SHARED);
    puna_scheduler_stats stats = {.size = sizeof stats};
    puna_scheduler_get_stats(s, &stats);
    assert_int_equal(stats.n_prompt_tokens, (N + 1) * (SHARED + 40));
    uint64_t n_reused = 0;
    for (int32_t i = 0; i <= N; i++) n_reused += (uint64_t)c[i].n_reused;
    assert_int_equal(stats.n_reused_tokens, n_reused);
    assert_all_returned(s);
    puna_scheduler_free(s);
}

/* A short prompt that comes while a long one is computed has its first token long before that one,
 * though the long one goes on; and answers under way get a token in every step. */
static void test_newcomer(void **state) {
    (void)state;
    int32_t prompt[320];
    caller c[3];
    memset(c, 0, sizeof c);
    puna_scheduler_options o = options_of(3, 8, 1);
    puna_scheduler *s = open_with(&o);
    make_prompt(prompt, 320, 5);
    puna_request_options r = request_of(prompt, 5, 300, &c[0]);
    submit(s, &r);
    step(s);
    r = request_of(prompt + 5, 300, 3, &c[1]);
    submit(s, &r);
    step(s);
    r = request_of(prompt + 10, 8, 3, &c[2]);
    submit(s, &r);
    for (int32_t i = 0; c[2].seen.n_tokens == 0; i++) {
        const int32_t before = c[0].seen.n_tokens;
        assert_true(i < 4);
        step(s);
        assert_int_equal(c[0].seen.n_tokens, before + 1);
    }
    assert_true(c[1].n_computed > 10 && c[1].seen.n_tokens == 0);
    run_all(s);
    puna_scheduler_free(s);
}

static void test_turns(void **state) {
    (void)state;
    enum { N = 9 };
    /* client and priority of each, and the order in which they begin on one slot */
    static const int32_t clients[N] = {1, 1, 1, 1, 2, 2, 3, 1, 3};
    static const int32_t priorities[N] = {0, 0, 0, 0, 0, 0, 0, 5, 5};
    static const int32_t order[N] = {0, 7, 8, 1, 4, 6, 2, 5, 3};
    int32_t prompt[20];
    caller c[N];
    memset(c, 0, sizeof c);
    make_prompt(prompt, 20, 5);
    const puna_scheduler_options o = options_of(1, 64, 1);
    puna_scheduler *s = open_with(&o);
    for (int32_t i = 0; i < N; i++) {
        puna_request_options r = request_of(prompt, 10, 2, &c[i]);
        r.client = (uint64_t)clients[i];
        r.priority = priorities[i];
        submit(s, &r);
        if (i == 0) step(s); /* it runs already */
    }
    puna_request_info infos[N];
    for (int32_t i = 0; i < N; i++) infos[i].size = sizeof infos[i];
    assert_int_equal(puna_scheduler_requests(s, infos, N), N);
    assert_int_equal(puna_scheduler_requests(s, infos, 2), N);
    for (int32_t i = 0; i < N; i++) {
        assert_int_equal(infos[i].request, c[order[i]].request);
        assert_int_equal(infos[i].slot, i == 0 ? 0 : -1);
    }
    run_all(s);
    int32_t n = 0;
    for (int32_t i = 0; i < n_happenings; i++)
        if (happenings[i].kind == PUNA_REQUEST_FINISHED)
            assert_int_equal(happenings[i].request, c[order[n++]].request);
    assert_int_equal(n, N);
    puna_scheduler_free(s);
}

static void test_cancel_and_free(void **state) {
    (void)state;
    int32_t prompt[320];
    make_prompt(prompt, 200, 1);
    const puna_scheduler_options o = options_of(2, 32, 1);
    puna_scheduler *s = open_with(&o);
    caller c[5];
    memset(c, 0, sizeof c);
    for (int32_t i = 0; i < 5; i++) {
        const puna_request_options r = request_of(prompt, 100 + i, 50, &c[i]);
        submit(s, &r);
    }
    c[0].cancels = s;
    step(s);
    puna_scheduler_cancel(s, c[1].request); /* runs */
    puna_scheduler_cancel(s, c[3].request); /* waits */
    puna_scheduler_cancel(s, 777);
    step(s);
    assert_true(c[1].ended && c[1].failed && c[3].ended && c[3].failed);
    assert_int_equal(c[1].error.code, PUNA_E_CANCELLED);
    assert_int_equal(c[3].seen.n_tokens, 0);
    while (!c[0].ended) step(s);
    assert_int_equal(c[0].seen.n_tokens, 1);
    assert_false(c[2].ended || c[4].ended);
    puna_scheduler_free(s);
    assert_int_equal(c[2].error.code, PUNA_E_CANCELLED);
    assert_int_equal(c[4].error.code, PUNA_E_CANCELLED);
}

static void test_queue_and_errors(void **state) {
    (void)state;
    int32_t prompt[400];
    puna_error err;
    uint64_t number = 5;
    make_prompt(prompt, 400, 1);
    puna_scheduler_options o = options_of(2, 32, 1);
    o.max_waiting = 1;
    puna_scheduler *s = open_with(&o);
    caller c[4];
    memset(c, 0, sizeof c);
    puna_request_options r;
    for (int32_t i = 0; i < 3; i++) {
        r = request_of(prompt, 20, 3, &c[i]);
        submit(s, &r);
    }
    assert_int_equal(puna_scheduler_submit(s, &r, &number, &err), PUNA_E_STATE);
    assert_int_equal(number, 5);
    run_all(s);
    r.n_tokens = 321;
    assert_int_equal(puna_scheduler_submit(s, &r, &number, &err), PUNA_E_LIMIT);
    assert_non_null(strstr(err.msg, "321"));
    r.n_tokens = 0;
    assert_int_equal(puna_scheduler_submit(s, &r, &number, &err), PUNA_E_ARG);
    r.n_tokens = 20;
    r.seq.sampler.top_p = 3;
    assert_int_equal(puna_scheduler_submit(s, &r, &number, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "top_p"));
    assert_false(step(s));
    puna_scheduler_free(s);
    o.max_waiting = -1;
    assert_int_equal(puna_scheduler_open(model, &o, &s, &err), PUNA_E_ARG);
    o = options_of(2, 32, 1);
    o.engine.n_kv = 319;
    assert_int_equal(puna_scheduler_open(model, &o, &s, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "n_kv"));
}

/* Without n_kv the pool is what memory allows, from one context to one for each. */
static void test_pool_fits_memory(void **state) {
    (void)state;
    puna_error err;
    puna_memory_plan whole = {.size = sizeof whole}, plan = {.size = sizeof plan};
    puna_scheduler_stats stats = {.size = sizeof stats};
    for (int32_t n_ctx = 0; n_ctx <= 320; n_ctx += 320) {
        puna_scheduler_options o = options_of(16, 32, 1);
        o.engine.n_ctx = n_ctx;
        assert_int_equal(puna_engine_plan(model, &o.engine, &whole, &err), PUNA_OK);
        const int64_t all = (int64_t)(whole.n_ctx + 63) / 64 * 64 * 16;
        for (int32_t part = 0; part < 3; part++) {
            const uint64_t bytes = whole.total_bytes - whole.kv_bytes * (uint64_t)part / 3;
            o.engine.max_bytes = bytes + 4096;
            puna_scheduler *s = open_with(&o);
            puna_scheduler_get_plan(s, &plan);
            puna_scheduler_get_stats(s, &stats);
            assert_true(plan.fits && plan.total_bytes <= bytes + 4096);
            assert_int_equal(plan.n_ctx, whole.n_ctx);
            assert_true(part == 0 ? stats.n_kv > all * 3 / 4 : stats.n_kv < all);
            assert_true(stats.n_kv >= plan.n_ctx && stats.n_kv <= all);
            puna_scheduler_free(s);
        }
        puna_scheduler *none = NULL;
        o.engine.max_bytes = 1000;
        assert_int_equal(puna_scheduler_open(model, &o, &none, &err), PUNA_E_LIMIT);
    }
}

static void test_deadlines(void **state) {
    (void)state;
    int32_t prompt[100];
    make_prompt(prompt, 100, 1);
    const puna_scheduler_options o = options_of(1, 32, 1);
    puna_scheduler *s = open_with(&o);
    caller c[3];
    memset(c, 0, sizeof c);
    for (int32_t i = 0; i < 3; i++) {
        puna_request_options r = request_of(prompt, 90, 5, &c[i]);
        r.deadline_s = i == 0 ? 0.02 : i == 1 ? 0.001 : 0;
        submit(s, &r);
    }
    sleep_ms(2);
    step(s);
    assert_true(c[1].failed); /* while it waited */
    assert_int_equal(c[1].error.code, PUNA_E_TIMEOUT);
    sleep_ms(20);
    run_all(s);
    assert_int_equal(c[0].error.code, PUNA_E_TIMEOUT);
    assert_int_equal(c[2].seen.n_tokens, 5);
    puna_scheduler_free(s);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { N_CLIENTS = 4, PER_CLIENT = 12 };

typedef struct client {
    pthread_t thread;
    puna_scheduler *scheduler;
    int32_t index;
    caller callers[PER_CLIENT];
    bool cancelled[PER_CLIENT];
} client;

/* Submits the requests of the mix, cancels some of them, and looks at what all do. */
static void *be_client(void *arg) {
    client *c = arg;
    puna_request_info infos[20];
    puna_scheduler_stats stats = {.size = sizeof stats};
    for (int32_t i = 0; i < 20; i++) infos[i].size = sizeof infos[i];
    for (int32_t i = 0; i < PER_CLIENT; i++) {
        int32_t prompt[320];
        uint64_t number;
        const int32_t which = (i + c->index) % N_REQUESTS;
        puna_request_options o = varied(which, prompt, &c->callers[i]);
        o.client = (uint64_t)c->index;
        puna_status status;
        while ((status = puna_scheduler_submit(c->scheduler, &o, &number, NULL)) == PUNA_E_STATE)
            sleep_ms(1);
        if (status != PUNA_OK) return "submit failed";
        c->cancelled[i] = (i + c->index) % 4 == 3;
        if (c->cancelled[i]) puna_scheduler_cancel(c->scheduler, number);
        puna_scheduler_requests(c->scheduler, infos, 20);
        puna_scheduler_get_stats(c->scheduler, &stats);
        puna_scheduler_wake(c->scheduler);
    }
    return NULL;
}

static bool is_all_over(puna_scheduler *s) {
    puna_scheduler_stats stats = {.size = sizeof stats};
    puna_scheduler_get_stats(s, &stats);
    return stats.n_finished + stats.n_failed == N_CLIENTS * PER_CLIENT;
}

static void test_threads(void **state) {
    (void)state;
    static client clients[N_CLIENTS];
    puna_scheduler_options o = options_of(4, 64, 1);
    o.max_waiting = 5;
    o.engine.n_kv = 640;
    puna_scheduler *s = open_with(&o);
    for (int32_t i = 0; i < N_REQUESTS; i++) answer_alone(i, &alone[i]);
    memset(clients, 0, sizeof clients);
    for (int32_t i = 0; i < N_CLIENTS; i++) {
        clients[i].scheduler = s;
        clients[i].index = i;
        assert_int_equal(pthread_create(&clients[i].thread, NULL, be_client, &clients[i]), 0);
    }
    while (!is_all_over(s)) {
        bool busy;
        assert_int_equal(puna_scheduler_step(s, 0.05, &busy, NULL), PUNA_OK);
    }
    for (int32_t i = 0; i < N_CLIENTS; i++) {
        void *failure;
        pthread_join(clients[i].thread, &failure);
        assert_null(failure);
        for (int32_t j = 0; j < PER_CLIENT; j++) {
            const caller *c = &clients[i].callers[j];
            assert_true(c->ended);
            assert_true(clients[i].cancelled[j] || !c->failed);
            if (!c->failed) assert_same(&c->seen, &alone[(i + j) % N_REQUESTS]);
        }
    }
    assert_all_returned(s);
    puna_scheduler_free(s);
}

static void *wake_soon(void *arg) {
    sleep_ms(20);
    puna_scheduler_wake(arg);
    return NULL;
}

/* A step with nothing to do waits until somebody wakes it. */
static void test_waiting(void **state) {
    (void)state;
    pthread_t thread;
    bool busy = true;
    struct timespec from, to;
    const puna_scheduler_options o = options_of(1, 64, 1);
    puna_scheduler *s = open_with(&o);
    assert_int_equal(pthread_create(&thread, NULL, wake_soon, s), 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(puna_scheduler_step(s, 10, &busy, NULL), PUNA_OK);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_false(busy);
    assert_true(to.tv_sec - from.tv_sec < 5);
    pthread_join(thread, NULL);
    puna_scheduler_free(s);
}

/* ---- failing allocations --------------------------------------------------------------------- */

/* Opens, submits, steps, cancels; false when something was refused for want of memory. */
static bool live(void) {
    puna_scheduler_options o = options_of(2, 32, 1);
    o.engine.n_kv = 320;
    puna_scheduler *s = NULL;
    caller c[3];
    int32_t prompt[100], n_refused = 0;
    puna_error err;
    memset(c, 0, sizeof c);
    make_prompt(prompt, 100, 8);
    if (puna_scheduler_open(model, &o, &s, &err) != PUNA_OK) {
        assert_int_equal(err.code, PUNA_E_NOMEM);
        return false;
    }
    for (int32_t i = 0; i < 3; i++) {
        uint64_t number;
        puna_request_options r = request_of(prompt, 60 + i, 6, &c[i]);
        r.seq.stops = (const char *const[]){"never there"};
        r.seq.n_stops = 1;
        if (puna_scheduler_submit(s, &r, &number, &err) == PUNA_OK) continue;
        assert_int_equal(err.code, PUNA_E_NOMEM);
        n_refused++;
        c[i].ended = true;
    }
    run_all(s);
    for (int32_t i = 0; i < 3; i++) assert_true(c[i].ended && !c[i].failed);
    assert_all_returned(s);
    puna_scheduler_free(s);
    return n_refused == 0;
}

static void test_failing_allocations(void **state) {
    (void)state;
    assert_true(live());
    puna_set_allocator(&failing_allocator);
    long n = 0;
    for (bool done = false; !done; n++) {
        allocations_left = n;
        done = live();
    }
    puna_set_allocator(NULL);
    assert_true(n > 30);
}

static int open_group(void **state) {
    (void)state;
    open_model(PN_FMT_Q8_0);
    return 0;
}

static int close_group(void **state) {
    (void)state;
    return close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_fits_memory),
        cmocka_unit_test(test_drafts),
        cmocka_unit_test(test_callbacks_may_call),
        cmocka_unit_test(test_answers_as_alone),
        cmocka_unit_test(test_preemption),
        cmocka_unit_test(test_nothing_twice),
        cmocka_unit_test(test_shared_beginnings),
        cmocka_unit_test(test_newcomer),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_cancel_and_free),
        cmocka_unit_test(test_queue_and_errors),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
