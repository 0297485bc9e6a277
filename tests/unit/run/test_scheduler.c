/* test_scheduler.c: many requests at once answer as each would alone, whatever comes and goes beside
 * them; turns, priorities, deadlines, cancellation, limits, and who is told what. */
#define _POSIX_C_SOURCE 200809L
#include "tiny_engine.h"

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
    const int32_t n = 1 + (i * 67 + 30) % 250;
    make_prompt(prompt, n, 40u + (uint32_t)i);
    puna_request_options o = request_of(prompt, n, 5 + i * 3, c);
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
                puna_scheduler_options o = options_of(seqs[i], batches[j], 1 + (i == 2 && j == 1));
                o.engine.n_kv = pools[k];
                o.engine.prefix_cache = (i + j + k) % 3 != 0;
                run_mix(&o, (i + j + k) % 3);
            }
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
        cmocka_unit_test(test_answers_as_alone),
        cmocka_unit_test(test_cancel_and_free),
        cmocka_unit_test(test_queue_and_errors),
        cmocka_unit_test(test_deadlines),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
