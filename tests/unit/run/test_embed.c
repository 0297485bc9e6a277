/* test_embed.c: hidden states and the vectors pooled from them: the same bits however they are
 * computed, no logits paid for, and nothing lost when a step is cancelled. Their values are checked
 * against NumPy in tests/golden/test_embeddings.py. */
#include "tiny_engine.h"

#include "run/engine.h"

enum { N_PROMPT = 150 };

static int32_t prompt[N_PROMPT];

typedef struct seen {
    int32_t n_hidden, n_logits;
    float hidden[N_PROMPT][TINY_EMBD];
    float logits[N_PROMPT][TINY_VOCAB];
} seen;

static void see_hidden(void *user, int32_t position, const float *hidden, int32_t n_embd) {
    seen *all = user;
    assert_int_equal(n_embd, TINY_EMBD);
    assert_int_equal(position, all->n_hidden++);
    memcpy(all->hidden[position], hidden, sizeof all->hidden[0]);
}

static void see_logits(void *user, int32_t position, const float *logits, int32_t n_vocab) {
    seen *all = user;
    assert_int_equal(n_vocab, TINY_VOCAB);
    assert_int_equal(position, all->n_logits++);
    memcpy(all->logits[position], logits, sizeof all->logits[0]);
}

static puna_seq *open_embedding(puna_engine *e, puna_pooling pooling, seen *all, bool logits) {
    puna_seq_options o = greedy(-1);
    o.pooling = pooling;
    if (all) *all = (seen){0};
    o.on_hidden = all ? see_hidden : NULL;
    o.on_hidden_user = all;
    o.on_logits = logits ? see_logits : NULL;
    o.on_logits_user = all;
    return open_seq_with(e, &o);
}

/* Feeds the prompt and expects a finish without any token. */
static void compute(puna_engine *e, puna_seq *s) {
    const outcome end = complete(e, s, prompt, N_PROMPT);
    assert_int_equal(end.n_tokens, 0);
    assert_int_equal(end.finish, PUNA_FINISH_LENGTH);
    assert_false(end.failed);
}

static seen yardstick;

static void test_hidden_states_belong_to_the_logits(void **state) {
    (void)state;
    puna_engine *e = open_engine(2, 512, 1, PUNA_KV_F16);
    puna_seq *s = open_embedding(e, PUNA_POOLING_OFF, &yardstick, true), *plain = open_seq(e, 0);
    compute(e, s);
    assert_int_equal(yardstick.n_hidden, N_PROMPT);
    assert_int_equal(yardstick.n_logits, N_PROMPT);
    assert_null(puna_seq_embedding(s));
    /* with on_logits the last logits are at hand, as always */
    feed(plain, prompt, N_PROMPT);
    run_until_idle(e);
    assert_memory_equal(puna_seq_logits(plain), yardstick.logits[N_PROMPT - 1], 4 * TINY_VOCAB);
    assert_memory_equal(puna_seq_logits(s), yardstick.logits[N_PROMPT - 1], 4 * TINY_VOCAB);
    puna_engine_free(e);
}

static void test_same_bits_for_threads_and_chunks(void **state) {
    (void)state;
    static seen all;
    static const int32_t batches[] = {1, 7, 64, 512};
    for (int32_t threads = 1; threads <= 3; threads++)
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            puna_engine *e = open_engine(1, batches[b], threads, PUNA_KV_F16);
            puna_seq *s = open_embedding(e, PUNA_POOLING_OFF, &all, false);
            compute(e, s);
            assert_int_equal(all.n_logits, 0);
            assert_memory_equal(all.hidden, yardstick.hidden, sizeof all.hidden);
            assert_null(puna_seq_logits(s));
            puna_engine_free(e);
        }
}

static void expect_vector(const puna_seq *s, puna_pooling pooling) {
    const float *vector = puna_seq_embedding(s);
    assert_non_null(vector);
    for (int32_t i = 0; i < TINY_EMBD; i++) {
        double sum = 0;
        for (int32_t p = 0; p < N_PROMPT; p++) sum += (double)yardstick.hidden[p][i];
        const float wanted = pooling == PUNA_POOLING_MEAN  ? (float)(sum / N_PROMPT)
                             : pooling == PUNA_POOLING_CLS ? yardstick.hidden[0][i]
                                                           : yardstick.hidden[N_PROMPT - 1][i];
        assert_memory_equal(&vector[i], &wanted, sizeof wanted);
    }
}

static void test_pooled_vectors(void **state) {
    (void)state;
    puna_engine *e = open_engine(4, 48, 2, PUNA_KV_F16);
    puna_seq *seqs[4];
    for (int32_t i = 0; i < 3; i++)
        seqs[i] = open_embedding(e, (puna_pooling)(PUNA_POOLING_MEAN + i), NULL, false);
    seqs[3] = open_seq(e, 30); /* a completion beside them, whatever it says */
    for (int round = 0; round < 2; round++) {
        for (int32_t i = 3; i >= 0; i--) feed(seqs[i], prompt, i == 3 ? 20 : N_PROMPT);
        for (int32_t i = 0; i < 3; i++) assert_null(puna_seq_embedding(seqs[i]));
        run_until_idle(e);
        for (int32_t i = 0; i < 3; i++)
            expect_vector(seqs[i], (puna_pooling)(PUNA_POOLING_MEAN + i));
    }
    /* the whole text is computed again each time */
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_get_stats(seqs[0], &stats);
    assert_int_equal(stats.n_reused, 0);
    assert_int_equal(stats.n_fed, N_PROMPT);
    puna_engine_free(e);
}

static void test_rows_without_logits_cost_none(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 512, 1, PUNA_KV_F16);
    puna_event events[2];
    puna_error err;
    int32_t n;
    for (puna_pooling pooling = PUNA_POOLING_MEAN; pooling <= PUNA_POOLING_LAST; pooling++) {
        puna_seq *s = open_embedding(e, pooling, NULL, false);
        feed(s, prompt, N_PROMPT);
        assert_int_equal(puna_engine_step(e, events, 2, &n, &err), PUNA_OK);
        assert_int_equal(e->batch.n_rows, N_PROMPT);
        assert_int_equal(e->batch.n_outputs, pooling == PUNA_POOLING_MEAN ? N_PROMPT : 1);
        assert_int_equal(e->batch.n_logits, 0);
        puna_seq_free(s);
    }
    puna_seq *s = open_seq(e, 0);
    feed(s, prompt, N_PROMPT);
    assert_int_equal(puna_engine_step(e, events, 2, &n, &err), PUNA_OK);
    assert_int_equal(e->batch.n_logits, 1);
    assert_int_equal(e->batch.n_hidden, 0);
    puna_engine_free(e);
}

static void test_between_completions(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 64, 1, PUNA_KV_F16);
    puna_seq_options text = greedy(20), vector = greedy(20);
    vector.pooling = PUNA_POOLING_MEAN;
    puna_seq *s = open_seq_with(e, &text);
    puna_error err;
    const outcome before = complete(e, s, prompt, N_PROMPT);
    assert_int_equal(puna_seq_configure(s, &vector, &err), PUNA_OK);
    compute(e, s);
    expect_vector(s, PUNA_POOLING_MEAN);
    assert_int_equal(puna_seq_configure(s, &text, &err), PUNA_OK);
    assert_null(puna_seq_embedding(s));
    const outcome after = complete(e, s, prompt, N_PROMPT);
    assert_memory_equal(&after, &before, sizeof after);
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_get_stats(s, &stats);
    assert_int_equal(stats.n_reused, N_PROMPT - 1);
    vector.pooling = (puna_pooling)4;
    assert_int_equal(puna_seq_configure(s, &vector, &err), PUNA_E_ARG);
    assert_string_equal(err.msg, "pooling is 4, allowed: 0 to 3");
    puna_engine_free(e);
}

static int cancel_in;
static bool cancel_progress(void *user, double fraction) {
    (void)user;
    (void)fraction;
    return cancel_in-- != 0;
}

/* Wherever a step is cancelled, the mean counts every position once. */
static void test_cancelled_steps(void **state) {
    (void)state;
    for (int at = 0; at < 12; at++) { /* 4 steps of 3 looks */
        puna_engine_options o = engine_options(2, 40, 2);
        o.progress = cancel_progress;
        puna_engine *e = open_engine_with(&o);
        puna_seq *s = open_embedding(e, PUNA_POOLING_MEAN, NULL, false);
        puna_event events[4];
        puna_error err;
        int32_t n, n_cancelled = 0;
        cancel_in = at;
        feed(s, prompt, N_PROMPT);
        while (!puna_engine_is_idle(e)) {
            const puna_status status = puna_engine_step(e, events, 4, &n, &err);
            if (status == PUNA_E_CANCELLED)
                n_cancelled++;
            else
                assert_int_equal(status, PUNA_OK);
        }
        assert_int_equal(n_cancelled, 1);
        expect_vector(s, PUNA_POOLING_MEAN);
        puna_engine_free(e);
    }
}

static void test_pool_counts_each_position_once(void **state) {
    (void)state;
    pn_pool pool;
    puna_error err;
    assert_int_equal(pn_pool_open(&pool, PUNA_POOLING_MEAN, 2, &err), PUNA_OK);
    static const float hidden[4][2] = {{1, 10}, {2, 20}, {4, 40}, {9, 90}};
    static const int32_t order[] = {0, 1, 0, 1, 2, 1, 2, 3, 3};
    for (int round = 0; round < 2; round++) {
        pn_pool_restart(&pool);
        for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
            assert_int_equal(pool.is_ready, i == 8);
            pn_pool_take(&pool, order[i], 4, hidden[order[i]]);
        }
        assert_true(pool.vector[0] == 4.0f && pool.vector[1] == 40.0f);
    }
    pn_pool_close(&pool);
}

static int setup(void **state) {
    (void)state;
    make_prompt(prompt, N_PROMPT, 5);
    open_model(PN_FMT_Q5_K);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hidden_states_belong_to_the_logits),
        cmocka_unit_test(test_same_bits_for_threads_and_chunks),
        cmocka_unit_test(test_pooled_vectors),
        cmocka_unit_test(test_rows_without_logits_cost_none),
        cmocka_unit_test(test_between_completions),
        cmocka_unit_test(test_cancelled_steps),
        cmocka_unit_test(test_pool_counts_each_position_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
