/* test_engine.c: the engine's promises, on tiny random models: the same bits for any threads,
 * chunks, neighbours and reuse; forks, cancellation, limits, exact memory, and survival of failing
 * allocations. */
#include "tiny_engine.h"

#include <math.h>

static pn_format format_of_group;

enum { N_PROMPT = 200 };

/* Logits after the prompt and 8 greedy tokens, one sequence alone: the yardstick. */
static void reference(float *logits, int32_t *tokens, puna_kv_type kv) {
    int32_t prompt[N_PROMPT], n;
    make_prompt(prompt, N_PROMPT, 7);
    puna_engine *e = open_engine(1, 512, 1, kv);
    puna_seq *s = open_seq(e, 8);
    feed(s, prompt, N_PROMPT);
    run_until_idle(e);
    memcpy(tokens, puna_seq_tokens(s, &n), (N_PROMPT + 8) * sizeof *tokens);
    assert_int_equal(n, N_PROMPT + 8);
    puna_seq_set_max_tokens(s, 0);
    feed(s, tokens, n);
    run_until_idle(e);
    assert_non_null(puna_seq_logits(s));
    memcpy(logits, puna_seq_logits(s), TINY_VOCAB * sizeof *logits);
    for (int i = 0; i < TINY_VOCAB; i++) assert_true(isfinite(logits[i]));
    puna_engine_free(e);
}

static void assert_same_run(puna_engine *e, puna_seq *s, const float *logits,
                            const int32_t *tokens) {
    int32_t n;
    run_until_idle(e);
    assert_memory_equal(puna_seq_tokens(s, &n), tokens, (N_PROMPT + 8) * sizeof *tokens);
    puna_seq_set_max_tokens(s, 0);
    feed(s, tokens, N_PROMPT + 8);
    run_until_idle(e);
    assert_memory_equal(puna_seq_logits(s), logits, TINY_VOCAB * sizeof *logits);
}

static void same_bits(puna_kv_type kv) {
    float logits[TINY_VOCAB];
    int32_t tokens[N_PROMPT + 8];
    reference(logits, tokens, kv);
    static const int32_t batches[] = {1, 7, 64, 512};
    for (int32_t threads = 1; threads <= 3; threads++)
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            puna_engine *e = open_engine(1, batches[b], threads, kv);
            puna_seq *s = open_seq(e, 8);
            feed(s, tokens, N_PROMPT);
            assert_same_run(e, s, logits, tokens);
            puna_engine_free(e);
        }
}

static void test_same_bits_for_threads_and_chunks(void **state) {
    (void)state;
    same_bits(PUNA_KV_F16);
    if (format_of_group != PN_FMT_Q5_K) return; /* the cache knows nothing of the weights' format */
    same_bits(PUNA_KV_F32);
    same_bits(PUNA_KV_Q8_0);
}

static void test_same_bits_beside_others(void **state) {
    (void)state;
    float logits[TINY_VOCAB];
    int32_t tokens[N_PROMPT + 8], other[N_PROMPT];
    reference(logits, tokens, PUNA_KV_F16);
    puna_engine *e = open_engine(4, 48, 2, PUNA_KV_F16);
    puna_seq *seqs[4];
    for (int32_t i = 0; i < 4; i++) seqs[i] = open_seq(e, i == 2 ? 8 : 20 + i);
    for (int32_t i = 0; i < 4; i++) {
        make_prompt(other, 50 + 31 * i, 100u + (uint32_t)i);
        if (i == 2)
            feed(seqs[i], tokens, N_PROMPT);
        else
            feed(seqs[i], other, 50 + 31 * i);
    }
    assert_same_run(e, seqs[2], logits, tokens);
    puna_engine_free(e);
}

static void test_same_bits_with_reuse(void **state) {
    (void)state;
    float logits[TINY_VOCAB];
    int32_t tokens[N_PROMPT + 8], other[N_PROMPT];
    reference(logits, tokens, PUNA_KV_F16);
    puna_engine *e = open_engine(1, 512, 2, PUNA_KV_F16);
    puna_seq *s = open_seq(e, 8);
    memcpy(other, tokens, sizeof other);
    other[131] = (other[131] + 1) % TINY_VOCAB; /* diverges in the middle of a page */
    feed(s, other, N_PROMPT);
    run_until_idle(e);
    feed(s, tokens, N_PROMPT);
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_get_stats(s, &stats);
    assert_int_equal(stats.n_reused, 131);
    assert_same_run(e, s, logits, tokens);
    puna_engine_free(e);
}

static void test_fork_shares_until_written(void **state) {
    (void)state;
    float logits[TINY_VOCAB];
    int32_t tokens[N_PROMPT + 8], longer[N_PROMPT + 40];
    reference(logits, tokens, PUNA_KV_F16);
    puna_engine *e = open_engine(2, 64, 2, PUNA_KV_F16);
    puna_seq *a = open_seq(e, 0), *b = NULL;
    feed(a, tokens, N_PROMPT);
    run_until_idle(e);
    puna_error err;
    assert_int_equal(puna_seq_fork(a, NULL, &b, &err), PUNA_OK);
    assert_memory_equal(puna_seq_logits(a), puna_seq_logits(b), sizeof logits);
    /* the fork writes other tokens into the shared page; the original must not notice */
    memcpy(longer, tokens, N_PROMPT * sizeof *tokens);
    make_prompt(longer + N_PROMPT, 40, 99);
    feed(b, longer, N_PROMPT + 40);
    run_until_idle(e);
    puna_seq_set_max_tokens(a, 8);
    feed(a, tokens, N_PROMPT);
    assert_same_run(e, a, logits, tokens);
    puna_seq *c = NULL;
    assert_int_equal(puna_seq_fork(a, NULL, &c, &err), PUNA_E_LIMIT);
    puna_engine_free(e);
}

static int cancel_after;
static bool cancel_progress(void *user, double fraction) {
    (void)user;
    assert_true(fraction >= 0 && fraction <= 1);
    return cancel_after-- > 0;
}

static void test_cancelled_step_loses_nothing(void **state) {
    (void)state;
    float logits[TINY_VOCAB];
    int32_t tokens[N_PROMPT + 8];
    reference(logits, tokens, PUNA_KV_F16);
    puna_engine_options o;
    puna_engine_options_init(&o);
    o.n_ctx = 320;
    o.n_batch = 64;
    o.n_threads = 2;
    o.progress = cancel_progress;
    puna_engine *e = NULL;
    puna_error err;
    assert_int_equal(puna_engine_open(model, &o, &e, &err), PUNA_OK);
    puna_seq *s = open_seq(e, 8);
    feed(s, tokens, N_PROMPT);
    puna_event events[4];
    int32_t n, n_cancelled = 0;
    cancel_after = 4;
    while (!puna_engine_is_idle(e)) {
        const puna_status status = puna_engine_step(e, events, 4, &n, &err);
        if (status == PUNA_E_CANCELLED) {
            n_cancelled++;
            cancel_after = 1000;
        } else {
            assert_int_equal(status, PUNA_OK);
        }
    }
    assert_int_equal(n_cancelled, 1);
    puna_engine_cancel(e);
    assert_int_equal(puna_engine_step(e, events, 4, &n, &err), PUNA_E_CANCELLED);
    assert_int_equal(puna_engine_step(e, events, 4, &n, &err), PUNA_OK);
    cancel_after = 1000;
    assert_same_run(e, s, logits, tokens);
    puna_engine_free(e);
}

static void test_finishes_and_limits(void **state) {
    (void)state;
    int32_t prompt[400], n;
    make_prompt(prompt, 400, 3);
    puna_engine *e = open_engine(1, 512, 1, PUNA_KV_F16);
    puna_seq *s = open_seq(e, -1);
    puna_error err;
    assert_int_equal(puna_seq_feed(s, prompt, 0, &err), PUNA_E_ARG);
    assert_int_equal(puna_seq_feed(s, prompt, 400, &err), PUNA_E_LIMIT);
    assert_non_null(strstr(err.msg, "320"));
    prompt[5] = TINY_VOCAB;
    assert_int_equal(puna_seq_feed(s, prompt, 20, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "300"));
    prompt[5] = 5;
    assert_null(puna_seq_logits(s));
    assert_int_equal(puna_seq_sample(s, &n, &err), PUNA_E_STATE);
    feed(s, prompt, 310);
    puna_event events[2];
    int32_t n_tokens = 0;
    puna_finish finish = PUNA_FINISH_NONE;
    while (!puna_engine_is_idle(e)) {
        assert_int_equal(puna_engine_step(e, events, 2, &n, &err), PUNA_OK);
        for (int32_t i = 0; i < n; i++) {
            if (events[i].kind == PUNA_EVENT_TOKEN)
                n_tokens++;
            else
                finish = events[i].finish;
        }
    }
    assert_int_equal(n_tokens, 10);
    assert_int_equal(finish, PUNA_FINISH_CONTEXT);
    assert_int_equal(puna_engine_step(e, events, 1, &n, &err), PUNA_E_ARG);
    puna_seq_set_max_tokens(s, 0);
    feed(s, prompt, 10);
    run_until_idle(e);
    assert_int_equal(puna_seq_sample(s, &n, &err), PUNA_OK);
    puna_engine_free(e);
}

typedef struct seen {
    int32_t next;
    float logits[40][TINY_VOCAB];
} seen;

static void see(void *user, int32_t position, const float *logits, int32_t n_vocab) {
    seen *all = user;
    assert_int_equal(n_vocab, TINY_VOCAB);
    assert_int_equal(position, all->next++);
    memcpy(all->logits[position], logits, sizeof all->logits[position]);
}

static void test_logits_of_every_position(void **state) {
    (void)state;
    static seen all;
    all.next = 0;
    int32_t prompt[40];
    make_prompt(prompt, 40, 11);
    puna_engine *e = open_engine(2, 512, 2, PUNA_KV_F16);
    puna_seq_options o;
    puna_seq_options_init(&o);
    o.max_tokens = 0;
    o.on_logits = see;
    o.on_logits_user = &all;
    puna_seq *s = NULL;
    puna_error err;
    assert_int_equal(puna_seq_open(e, &o, &s, &err), PUNA_OK);
    feed(s, prompt, 40);
    run_until_idle(e);
    assert_int_equal(all.next, 40);
    puna_seq *t = open_seq(e, 0);
    for (int32_t i = 1; i <= 40; i += 13) {
        feed(t, prompt, i);
        run_until_idle(e);
        assert_memory_equal(puna_seq_logits(t), all.logits[i - 1], sizeof all.logits[0]);
    }
    puna_engine_free(e);
}

/* ---- memory ---- */

static size_t live_bytes, fail_at, n_allocs;

static void *count_alloc(void *user, size_t bytes) {
    (void)user;
    if (fail_at && ++n_allocs >= fail_at) return NULL;
    size_t *p = malloc(bytes + 16);
    if (!p) return NULL;
    *p = bytes;
    live_bytes += bytes;
    return (char *)p + 16;
}

static void count_free(void *user, void *ptr) {
    (void)user;
    size_t *p = (size_t *)(void *)((char *)ptr - 16);
    live_bytes -= *p;
    free(p);
}

static void *count_realloc(void *user, void *ptr, size_t bytes) {
    void *fresh = count_alloc(user, bytes);
    if (!fresh || !ptr) return fresh;
    const size_t old = *(size_t *)(void *)((char *)ptr - 16);
    memcpy(fresh, ptr, old < bytes ? old : bytes);
    count_free(user, ptr);
    return fresh;
}

static const puna_allocator counting = {count_alloc, count_realloc, count_free, NULL};

static void test_memory_is_what_was_planned(void **state) {
    (void)state;
    puna_set_allocator(&counting);
    puna_error err;
    puna_model *m = NULL;
    assert_int_equal(puna_model_open(model_path, NULL, &m, &err), PUNA_OK);
    for (int32_t n_seq = 1; n_seq <= 8; n_seq *= 2) {
        puna_engine_options o;
        puna_engine_options_init(&o);
        o.n_seq = n_seq;
        o.n_ctx = 512 * n_seq;
        o.max_draft = n_seq - 1;
        o.prefix_cache = n_seq == 4;
        o.n_kv = n_seq == 4 ? o.n_ctx + 1000 : 0;
        puna_memory_plan plan = {.size = sizeof plan};
        assert_int_equal(puna_engine_plan(m, &o, &plan, &err), PUNA_OK);
        const size_t before = live_bytes;
        puna_engine *e = NULL;
        assert_int_equal(puna_engine_open(m, &o, &e, &err), PUNA_OK);
        for (int32_t i = 0; i < n_seq; i++) {
            puna_seq *s = NULL;
            assert_int_equal(puna_seq_open(e, NULL, &s, &err), PUNA_OK);
        }
        const size_t taken = live_bytes - before;
        /* the team's own structs and alignment are the rest */
        assert_true(taken <= plan.total_bytes + 16384);
        assert_true(taken + 16384 >= plan.total_bytes);
        puna_engine_free(e);
        assert_int_equal(live_bytes, before);
        o.max_bytes = plan.total_bytes / 2;
        assert_int_equal(puna_engine_open(m, &o, &e, &err), PUNA_E_LIMIT);
        assert_non_null(strstr(err.msg, "MiB"));
    }
    puna_model_free(m);
    assert_int_equal(live_bytes, 0);
    puna_set_allocator(NULL);
}

/* The whole life of a completion; returns the first failure. */
static puna_status whole_life(puna_error *err) {
    puna_model *m = NULL;
    puna_engine *e = NULL;
    puna_seq *s = NULL, *f = NULL;
    int32_t tokens[64], n = 0;
    puna_event events[4];
    puna_engine_options o;
    puna_engine_options_init(&o);
    o.n_ctx = 128;
    o.n_seq = 2;
    o.n_threads = 2;
    puna_status status = puna_model_open(model_path, NULL, &m, err);
    if (status == PUNA_OK)
        status = puna_tokenize(m, "hello", 5, PUNA_TOKENIZE_ADD_SPECIAL, tokens, 64, &n, err);
    if (status == PUNA_OK) status = puna_engine_open(m, &o, &e, err);
    if (status == PUNA_OK) status = puna_seq_open(e, NULL, &s, err);
    if (status == PUNA_OK) puna_seq_set_max_tokens(s, 3);
    if (status == PUNA_OK) status = puna_seq_feed(s, tokens, n, err);
    while (status == PUNA_OK && !puna_engine_is_idle(e)) {
        int32_t n_events;
        status = puna_engine_step(e, events, 4, &n_events, err);
    }
    if (status == PUNA_OK) status = puna_seq_fork(s, NULL, &f, err);
    if (status == PUNA_OK) puna_seq_free(f);
    puna_engine_free(e);
    puna_model_free(m);
    return status;
}

static void test_every_failing_allocation_is_an_error(void **state) {
    (void)state;
    puna_set_allocator(&counting);
    puna_status status = PUNA_E_NOMEM;
    for (size_t n = 1; status != PUNA_OK; n++) {
        assert_true(n < 20000);
        fail_at = n;
        n_allocs = 0;
        puna_error err = {0};
        status = whole_life(&err);
        if (status != PUNA_OK) assert_int_equal(status, PUNA_E_NOMEM);
        if (live_bytes != 0) fail_msg("allocation %zu failing leaks %zu bytes", n, live_bytes);
    }
    fail_at = 0;
    puna_set_allocator(NULL);
}

static int setup(void **state) {
    (void)state;
    open_model(format_of_group);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return close_model();
}

int main(void) {
    const struct CMUnitTest bits[] = {
        cmocka_unit_test(test_same_bits_for_threads_and_chunks),
        cmocka_unit_test(test_same_bits_beside_others),
        cmocka_unit_test(test_same_bits_with_reuse),
        cmocka_unit_test(test_fork_shares_until_written),
        cmocka_unit_test(test_cancelled_step_loses_nothing),
        cmocka_unit_test(test_logits_of_every_position),
    };
    const struct CMUnitTest rest[] = {
        cmocka_unit_test(test_finishes_and_limits),
        cmocka_unit_test(test_memory_is_what_was_planned),
        cmocka_unit_test(test_every_failing_allocation_is_an_error),
    };
    static const pn_format formats[] = {PN_FMT_Q5_K, PN_FMT_Q6_K, PN_FMT_Q4_1,
                                        PN_FMT_Q8_0, PN_FMT_F16,  PN_FMT_F32};
    int failed = 0;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        format_of_group = formats[i];
        failed +=
            cmocka_run_group_tests_name(pn_format_get(formats[i])->name, bits, setup, teardown);
    }
    format_of_group = PN_FMT_Q5_K;
    return failed + cmocka_run_group_tests(rest, setup, teardown);
}
