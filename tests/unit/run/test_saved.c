/* test_saved.c: a sequence saved and loaded goes on with the same bits as one that never was; and
 * bytes that are not a saved sequence of this model are refused and change nothing. */
#include "tiny_engine.h"

#include "base/checksum.h"

enum { N_PROMPT = 150, N_MORE = 9 };

static int32_t prompt[N_PROMPT];

typedef struct blob {
    unsigned char *bytes;
    size_t n;
} blob;

static blob save(const puna_seq *s) {
    blob b = {0};
    size_t n;
    puna_error err;
    assert_int_equal(puna_seq_save(s, NULL, 0, &b.n, &err), PUNA_E_LIMIT);
    b.bytes = malloc(b.n); /* exactly, for the sanitizer */
    assert_non_null(b.bytes);
    assert_int_equal(puna_seq_save(s, b.bytes, b.n - 1, &n, &err), PUNA_E_LIMIT);
    assert_int_equal(puna_seq_save(s, b.bytes, b.n, &n, &err), PUNA_OK);
    assert_int_equal(n, b.n);
    return b;
}

static void load(puna_seq *s, const blob *b) {
    puna_error err;
    if (puna_seq_load(s, b->bytes, b->n, &err) != PUNA_OK) fail_msg("%s", err.msg);
}

static void assert_same_blob(const puna_seq *s, const blob *wanted) {
    const blob b = save(s);
    assert_int_equal(b.n, wanted->n);
    assert_memory_equal(b.bytes, wanted->bytes, b.n);
    free(b.bytes);
}

static int32_t reused(const puna_seq *s) {
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_get_stats(s, &stats);
    return stats.n_reused;
}

/* ---- the same bits --------------------------------------------------------------------------- */

static void goes_on_the_same(puna_kv_type kv) {
    int32_t tokens[N_PROMPT + 2 * N_MORE], n;
    puna_engine *e = open_engine(1, 64, 1, kv), *other = open_engine(2, 512, 2, kv);
    puna_seq *s = open_seq(e, N_MORE), *t = open_seq(other, N_MORE);
    (void)complete(e, s, prompt, N_PROMPT);
    const int32_t *all = puna_seq_tokens(s, &n);
    memcpy(tokens, all, (size_t)n * sizeof *tokens);
    const blob b = save(s); /* the last sampled token is not computed yet */
    const outcome wanted = complete(e, s, tokens, n);

    load(t, &b);
    assert_true(puna_engine_is_idle(other));
    assert_memory_equal(puna_seq_tokens(t, &n), tokens, (N_PROMPT + N_MORE) * sizeof *tokens);
    assert_int_equal(n, N_PROMPT + N_MORE);
    assert_same_blob(t, &b);
    const outcome found = complete(other, t, tokens, n);
    assert_int_equal(reused(t), n - 1);
    assert_memory_equal(&found, &wanted, sizeof found);
    const blob x = save(s);
    assert_same_blob(t, &x);
    free(x.bytes);
    free(b.bytes);
    puna_engine_free(e);
    puna_engine_free(other);
}

static void test_goes_on_with_the_same_bits(void **state) {
    (void)state;
    goes_on_the_same(PUNA_KV_F16);
    goes_on_the_same(PUNA_KV_F32);
    goes_on_the_same(PUNA_KV_Q8_0);
}

static void test_logits_are_saved(void **state) {
    (void)state;
    puna_engine *e = open_engine(2, 64, 1, PUNA_KV_F16);
    puna_seq *s = open_seq(e, 0), *t = open_seq(e, 0);
    feed(s, prompt, N_PROMPT);
    run_until_idle(e);
    const blob b = save(s);
    load(t, &b);
    assert_memory_equal(puna_seq_logits(t), puna_seq_logits(s), TINY_VOCAB * sizeof(float));
    feed(t, prompt, N_PROMPT);
    assert_int_equal(reused(t), N_PROMPT);
    puna_seq_truncate(s, 0);
    feed(s, prompt, 70);
    free(b.bytes);
    puna_engine_free(e);
}

/* Stopped in the middle of a prompt, or before any token was fed. */
static void test_unfinished_timelines(void **state) {
    (void)state;
    puna_engine *e = open_engine(2, 64, 1, PUNA_KV_F16);
    puna_seq *s = open_seq(e, N_MORE), *t = open_seq(e, N_MORE);
    puna_event events[4];
    puna_error err;
    int32_t n;
    const blob empty = save(s);
    const outcome wanted = complete(e, s, prompt, N_PROMPT);
    puna_seq_truncate(s, 0);
    assert_same_blob(s, &empty);
    feed(s, prompt, N_PROMPT);
    assert_int_equal(puna_engine_step(e, events, 4, &n, &err), PUNA_OK);
    const blob half = save(s);
    puna_seq_stop(s);
    load(t, &half);
    assert_memory_equal(puna_seq_tokens(t, &n), prompt, sizeof prompt);
    assert_int_equal(n, N_PROMPT);
    const outcome found = complete(e, t, prompt, N_PROMPT);
    assert_int_equal(reused(t), 64);
    assert_memory_equal(&found, &wanted, sizeof found);
    load(t, &empty);
    puna_seq_tokens(t, &n);
    assert_int_equal(n, 0);
    assert_null(puna_seq_logits(t));
    const outcome again = complete(e, t, prompt, N_PROMPT);
    assert_int_equal(reused(t), 0);
    assert_memory_equal(&again, &wanted, sizeof again);
    free(half.bytes);
    free(empty.bytes);
    puna_engine_free(e);
}

/* Pages that a fork shares are not written to. */
static void test_load_leaves_forks_alone(void **state) {
    (void)state;
    puna_engine *e = open_engine(3, 512, 1, PUNA_KV_F16);
    puna_seq *a = open_seq(e, 0), *b = open_seq(e, 0), *fork = NULL;
    puna_error err;
    int32_t other[N_PROMPT];
    make_prompt(other, N_PROMPT, 99);
    feed(a, prompt, N_PROMPT);
    feed(b, other, N_PROMPT);
    run_until_idle(e);
    const blob of_a = save(a), of_b = save(b);
    assert_int_equal(puna_seq_fork(a, NULL, &fork, &err), PUNA_OK);
    load(a, &of_b);
    assert_same_blob(a, &of_b);
    assert_same_blob(fork, &of_a);
    load(fork, &of_b);
    load(a, &of_a);
    assert_same_blob(fork, &of_b);
    assert_same_blob(a, &of_a);
    free(of_a.bytes);
    free(of_b.bytes);
    puna_engine_free(e);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void refused(puna_seq *s, const void *bytes, size_t n, puna_status status,
                    const char *words) {
    const blob before = save(s);
    puna_error err = {0};
    if (puna_seq_load(s, bytes, n, &err) != status || !strstr(err.msg, words))
        fail_msg("status %d: %s, expected status %d: %s", err.code, err.msg, status, words);
    assert_same_blob(s, &before);
    free(before.bytes);
}

static void test_damage_is_refused(void **state) {
    (void)state;
    puna_engine *e = open_engine(2, 512, 1, PUNA_KV_Q8_0);
    puna_seq *s = open_seq(e, 0), *t = open_seq(e, 0);
    puna_error err;
    feed(s, prompt, 3);
    feed(t, prompt, 20);
    run_until_idle(e);
    const blob b = save(s);
    const blob kept = save(t);
    for (size_t i = 0; i < b.n; i++) {
        b.bytes[i] ^= (unsigned char)(1u << i % 8);
        const puna_status status = puna_seq_load(t, b.bytes, b.n, &err);
        assert_true(status == PUNA_E_FORMAT || status == PUNA_E_UNSUPPORTED);
        b.bytes[i] ^= (unsigned char)(1u << i % 8);
    }
    for (size_t n = 0; n < b.n; n += n < 100 ? 1 : 37) {
        unsigned char *exact = malloc(n ? n : 1);
        memcpy(exact, b.bytes, n);
        assert_int_equal(puna_seq_load(t, exact, n, &err), PUNA_E_FORMAT);
        free(exact);
    }
    assert_same_blob(t, &kept);
    refused(t, NULL, 0, PUNA_E_ARG, "no saved sequence");
    refused(t, "PUNA", 4, PUNA_E_FORMAT, "not a saved sequence (4 bytes)");
    load(t, &b);
    assert_same_blob(t, &b);
    free(kept.bytes);
    free(b.bytes);
    puna_engine_free(e);
}

/* A header with a field changed and the checksum made good again. */
static blob forged(const blob *b, size_t at, int32_t value) {
    blob f = {malloc(b->n), b->n};
    memcpy(f.bytes, b->bytes, b->n);
    memcpy(f.bytes + at, &value, sizeof value);
    const uint64_t sum = pn_checksum(f.bytes + 24, f.n - 24, 0);
    memcpy(f.bytes + 16, &sum, sizeof sum);
    return f;
}

static void test_forged_headers_are_refused(void **state) {
    (void)state;
    /* offsets as saved.c describes them */
    static const struct {
        size_t at;
        int32_t value;
        puna_status status;
        const char *words;
    } rows[] = {
        {8, 2, PUNA_E_UNSUPPORTED, "format 2, this library reads 1"},
        {12, 0x04030201, PUNA_E_UNSUPPORTED, "byte order"},
        {24, 5, PUNA_E_ARG, "another model"},
        {32, 7, PUNA_E_ARG, "KV type f16, the engine has f16"},
        {40, 2, PUNA_E_ARG, "KV type q8_0, the engine has f16 (kv_type)"},
        {40, 77, PUNA_E_ARG, "KV type unknown"},
        {44, TINY_VOCAB + 1, PUNA_E_ARG, "another model"},
        {48, -1, PUNA_E_FORMAT, "contradicts itself"},
        {48, 19, PUNA_E_FORMAT, "contradicts itself"},
        {48, 21, PUNA_E_FORMAT, "contradicts itself"},
        {48, INT32_MAX, PUNA_E_FORMAT, "contradicts itself"},
        {52, -1, PUNA_E_FORMAT, "contradicts itself"},
        {52, INT32_MAX, PUNA_E_FORMAT, "contradicts itself"},
        {56, 0, PUNA_E_FORMAT, "bytes, expected"},
        {56, 2, PUNA_E_FORMAT, "contradicts itself"},
        {64, -1, PUNA_E_FORMAT, "token -1 at position 0"},
        {64 + 4 * 19, TINY_VOCAB, PUNA_E_FORMAT, "token 300 at position 19"},
    };
    puna_engine *e = open_engine(2, 512, 1, PUNA_KV_F16);
    puna_seq *s = open_seq(e, 0), *t = open_seq(e, 0);
    feed(s, prompt, 20);
    feed(t, prompt, 30);
    run_until_idle(e);
    const blob b = save(s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const blob f = forged(&b, rows[i].at, rows[i].value);
        refused(t, f.bytes, f.n, rows[i].status, rows[i].words);
        free(f.bytes);
    }
    free(b.bytes);
    puna_engine_free(e);
}

static void test_other_models_and_contexts(void **state) {
    (void)state;
    puna_engine_options o = engine_options(1, 64, 1);
    o.n_ctx = 100;
    puna_engine *e = open_engine(1, 64, 1, PUNA_KV_F16), *small = open_engine_with(&o);
    puna_seq *s = open_seq(e, 0), *t = open_seq(small, 0);
    feed(s, prompt, 101);
    run_until_idle(e);
    blob b = save(s);
    refused(t, b.bytes, b.n, PUNA_E_LIMIT, "101 tokens, which do not fit the context of 100");
    free(b.bytes);
    feed(s, prompt, 100);
    run_until_idle(e);
    b = save(s);
    load(t, &b);
    assert_same_blob(t, &b);
    puna_engine_free(small);

    puna_model *const first = model;
    open_model(PN_FMT_Q8_0); /* writes another file over the path of the first: it is not mapped */
    puna_engine *other = open_engine(1, 64, 1, PUNA_KV_F16);
    t = open_seq(other, 0);
    refused(t, b.bytes, b.n, PUNA_E_ARG, "another model");
    puna_engine_free(other);
    puna_model_free(model);
    model = first;
    free(b.bytes);
    puna_engine_free(e);
}

static int setup(void **state) {
    (void)state;
    puna_model_options o;
    puna_model_options_init(&o);
    o.use_mmap = false;
    puna_error err;
    make_prompt(prompt, N_PROMPT, 5);
    open_model(PN_FMT_Q5_K);
    puna_model_free(model);
    return puna_model_open(model_path, &o, &model, &err);
}

static int teardown(void **state) {
    (void)state;
    return close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_with_the_same_bits),
        cmocka_unit_test(test_logits_are_saved),
        cmocka_unit_test(test_unfinished_timelines),
        cmocka_unit_test(test_load_leaves_forks_alone),
        cmocka_unit_test(test_damage_is_refused),
        cmocka_unit_test(test_forged_headers_are_refused),
        cmocka_unit_test(test_other_models_and_contexts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
