/* What a card picks of rows of logits (src/cuda/pick.cu, through the emulator) is what sorting them gives, and a
 * draw from it is the draw from the whole row: same token, same random state, for every kind of chain and rows
 * made to be difficult. */
#include "card_under_test.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "cuda/cuda_device.h"
#include "run/sampler_impl.h"
#include "unit/run/plain_vocab.h"

enum { N_KINDS = 13, N_AT_ONCE = 5, N_DRAWS = 2, N_HISTORY = 80 };

/* ---- a card with logits on it, and nothing else ---- */

typedef struct bench {
    pn_plan plan;
    pn_device dev;
    int32_t rows[N_KINDS]; /* 0, 1, 2, ... */
    pn_pick picks[N_KINDS];
    int32_t ids[N_KINDS][PN_PICK_MAX_IDS];
    float *logits; /* [N_KINDS][n_vocab] */
    pn_sampler *whole[N_KINDS], *few[N_KINDS];
    int32_t history[N_KINDS][N_HISTORY + N_DRAWS];
    int32_t n_history;
    bool from_few[N_KINDS], seen[N_KINDS];
    int32_t tokens[N_KINDS];
    int32_t n_whole_wanted, n_few; /* draws of this bench */
} bench;

static void *find(const bench *b, const char *name) {
    void *kernel = NULL;
    assert_int_equal(b->dev.driver.module_function(&kernel, b->dev.module, name), 0);
    return kernel;
}

static unsigned char *take_host(bench *b, size_t bytes) {
    void *p = NULL;
    assert_int_equal(b->dev.driver.host_alloc(&p, bytes, 0), 0);
    return p;
}

static bench *open_bench(int32_t n_vocab) {
    bench *b = calloc(1, sizeof *b);
    puna_error err;
    pn_device *dev = &b->dev;
    const size_t row_bytes = (size_t)n_vocab * sizeof(float);
    b->plan.n_vocab = n_vocab;
    b->logits = malloc(N_KINDS * row_bytes);
    for (int32_t i = 0; i < N_KINDS; i++) b->rows[i] = i;
    dev->plan = &b->plan;
    dev->config = (pn_device_config){.n_batch = N_KINDS, .n_logits = N_AT_ONCE, .n_picks = N_KINDS};
    dev->sizes.picks = pn_cuda_measure_picks(&b->plan, &dev->config);
    if (pn_cuda_driver_open(&dev->driver, &err) != PUNA_OK) fail_msg("%s", err.msg);
    const pn_cuda_driver *d = &dev->driver;
    assert_int_equal(d->device_get(&dev->ordinal_device, 0), 0);
    assert_int_equal(d->context_retain(&dev->context, dev->ordinal_device), 0);
    assert_int_equal(d->context_set(dev->context), 0);
    assert_int_equal(d->stream_create(&dev->stream, 1), 0);
    if (pn_cuda_look(d, 0, false, &dev->card, &err) != PUNA_OK ||
        pn_cuda_load_kernels(d, &dev->card, &dev->module, &err) != PUNA_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(d->alloc(&dev->logits, N_AT_ONCE * row_bytes), 0);
    assert_int_equal(d->alloc(&dev->picks, dev->sizes.picks.bytes), 0);
    dev->host_out = take_host(b, N_AT_ONCE * row_bytes);
    dev->host_picks = take_host(b, dev->sizes.picks.host_bytes);
    dev->kernels.pick_blocks = find(b, "pn_pick_blocks");
    dev->kernels.pick = find(b, "pn_pick");
    return b;
}

static void close_bench(bench *b) {
    pn_device *dev = &b->dev;
    const pn_cuda_driver *d = &dev->driver;
    assert_int_equal(d->free(dev->logits), 0);
    assert_int_equal(d->free(dev->picks), 0);
    assert_int_equal(d->host_free(dev->host_out), 0);
    assert_int_equal(d->host_free(dev->host_picks), 0);
    d->stream_destroy(dev->stream);
    d->module_unload(dev->module);
    d->context_set(NULL);
    d->context_release(dev->ordinal_device);
    pn_cuda_driver_close(&dev->driver);
    free(b->logits);
    free(b);
    assert_int_equal(driver->bytes + driver->host_bytes, 0);
}

/* ---- rows ---- */

static uint32_t random_state;
static double uniform(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) / 16777216.0;
}
static double normal(void) {
    double sum = -6;
    for (int k = 0; k < 12; k++) sum += uniform();
    return sum;
}

static float logit_of(int kind, int32_t i, int32_t n) {
    const double x = normal(), u = uniform();
    switch (kind) {
    case 0: return (float)(6 * x);
    case 1: return 1.5f;                /* all equal */
    case 2: return (float)floor(4 * x); /* few values */
    case 3: return u < 0.2 ? NAN : u < 0.4 ? -INFINITY : (float)(3 * x);
    case 4: return i % 97 == 5 ? (float)x : -INFINITY;                  /* few possible */
    case 5: return i % 2 ? NAN : -INFINITY;                             /* none */
    case 6: return (float)(x * 1e-44) * (u < 0.5 ? 1.0f : 0.0f);        /* denormals, 0, -0 */
    case 7: return i % 50 == 7 ? 9.0f + (float)(i / 50 % 5) : (float)x; /* ties at the k-th place */
    case 8: return i == n / 2 ? 60.0f : (float)x;                       /* one towers */
    case 9: return u < 0.01 ? INFINITY : u < 0.02 ? FLT_MAX : (float)x;
    case 10: return (float)(x * 5e37);
    case 11: return (float)(n - i) * 0.25f; /* the best come first */
    default: return (float)(0.3 * x);       /* flat */
    }
}

static void fill(bench *b, uint32_t seed) {
    const int32_t n = b->plan.n_vocab;
    random_state = seed;
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int32_t i = 0; i < n; i++)
            b->logits[(size_t)kind * (size_t)n + (size_t)i] = logit_of(kind, i, n);
}

static const float *row_of(const bench *b, int32_t row) {
    return b->logits + (size_t)row * (size_t)b->plan.n_vocab;
}

/* ---- what sorting gives ---- */

static int compare(const void *a, const void *b) {
    const pn_scored *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int compare_ids(const void *a, const void *b) {
    const pn_scored *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The possible tokens in order. */
static int32_t sort_row(const float *logits, int32_t n, pn_scored *sorted) {
    int32_t m = 0;
    for (int32_t i = 0; i < n; i++)
        if (pn_logit_clean(logits[i]) > -INFINITY)
            sorted[m++] = (pn_scored){i, pn_logit_clean(logits[i])};
    qsort(sorted, (size_t)m, sizeof *sorted, compare);
    return m;
}

static bool is_near(double a, double b, double error) {
    return fabs(a - b) <= error;
}

static void check_sums(const float *logits, int32_t n, float best, const pn_pick *pick,
                       const pn_picked *picked) {
    long double sum = 0, before = 0;
    int32_t block = -1;
    const double error = pn_pick_error(n);
    for (int32_t i = 0; i < n; i++) {
        if (i % PN_PICK_BLOCK == 0 && i / PN_PICK_BLOCK == picked->block) before = sum;
        const float logit = pn_logit_clean(logits[i]);
        if (logit > -INFINITY)
            sum += expl(((long double)logit - (long double)best) * (long double)pick->scale);
    }
    assert_true(is_near((double)sum, picked->total, error * picked->total));
    if (pick->random < 0) return;
    block = picked->block;
    assert_in_range(block, 0, (n - 1) / PN_PICK_BLOCK);
    assert_true(is_near((double)before, picked->before, error * picked->total));
    assert_true(picked->before <= pick->random * picked->total * (1 + error));
    for (int32_t i = 0; i < PN_PICK_BLOCK && block * PN_PICK_BLOCK + i < n; i++)
        assert_memory_equal(&picked->of_block[i], &logits[block * PN_PICK_BLOCK + i], 4);
}

static void check_picked(const float *logits, int32_t n, const pn_pick *pick,
                         const pn_picked *picked) {
    pn_scored *sorted = malloc((size_t)n * sizeof *sorted);
    pn_scored *got = malloc((size_t)pick->n_best * sizeof *got);
    const int32_t m = sort_row(logits, n, sorted), wanted = m < pick->n_best ? m : pick->n_best;
    assert_int_equal(picked->n_best, wanted);
    memcpy(got, picked->best, (size_t)wanted * sizeof *got);
    qsort(sorted, (size_t)wanted, sizeof *sorted, compare_ids);
    qsort(got, (size_t)wanted, sizeof *got, compare_ids);
    float best = -INFINITY;
    for (int32_t i = 0; i < wanted; i++) {
        assert_int_equal(got[i].id, sorted[i].id);
        assert_memory_equal(&got[i].logit, &logits[got[i].id], sizeof(float)); /* as it is */
        best = sorted[i].logit > best ? sorted[i].logit : best;
    }
    for (int32_t i = 0; i < pick->n_ids; i++)
        assert_memory_equal(&picked->of_ids[i], &logits[pick->ids[i]], sizeof(float));
    if (pick->scale > 0 && wanted > 0) check_sums(logits, n, best, pick, picked);
    free(sorted);
    free(got);
}

/* ---- draws ---- */

static bool take_picked(void *user, int32_t row, const pn_picked *picked) {
    bench *b = user;
    puna_error err;
    const int32_t *h = b->history[row];
    const pn_pick *pick = &b->picks[row];
    check_picked(row_of(b, row), b->plan.n_vocab, pick, picked);
    if (!pn_sampler_can_draw(b->few[row], pick, picked, h, b->n_history)) return false;
    if (pn_sampler_draw_picked(b->few[row], pick, picked, h, b->n_history, &b->tokens[row], &err) !=
        PUNA_OK)
        fail_msg("row %d: %s", row, err.msg);
    b->from_few[row] = b->seen[row] = true;
    return true;
}

static void take_logits(void *user, int32_t row, const float *logits) {
    bench *b = user;
    puna_error err;
    b->seen[row] = true;
    assert_memory_equal(logits, row_of(b, row), (size_t)b->plan.n_vocab * sizeof(float));
    if (pn_sampler_draw(b->few[row], logits, b->history[row], b->n_history, &b->tokens[row],
                        &err) != PUNA_OK)
        b->tokens[row] = -1;
}

static void put_on_card(bench *b, int32_t at, int32_t n) {
    const size_t bytes = (size_t)n * (size_t)b->plan.n_vocab * sizeof(float);
    memcpy(b->dev.host_out, row_of(b, at), bytes);
    assert_int_equal(b->dev.driver.copy_in(b->dev.logits, b->dev.host_out, bytes, b->dev.stream),
                     0);
    assert_int_equal(b->dev.driver.stream_wait(b->dev.stream), 0);
}

/* One draw for every row on the card; each must be that of its twin. */
static void draw_all(bench *b, const char *what) {
    puna_error err;
    const pn_batch batch = {.n_rows = N_KINDS,
                            .n_outputs = N_KINDS,
                            .output_rows = b->rows,
                            .n_logits = N_KINDS,
                            .logit_outputs = b->rows,
                            .on_logits = take_logits,
                            .picks = b->picks,
                            .on_picked = take_picked,
                            .user = b};
    for (int32_t i = 0; i < N_KINDS; i++) {
        b->seen[i] = b->from_few[i] = false;
        if (!pn_sampler_pick(b->few[i], b->history[i], b->n_history, 0, b->ids[i], &b->picks[i]))
            b->picks[i].n_best = 0;
    }
    if (pn_cuda_send_picks(&b->dev, &batch, &err) != PUNA_OK) fail_msg("%s", err.msg);
    for (int32_t at = 0; at < N_KINDS; at += N_AT_ONCE) {
        const int32_t n = N_KINDS - at < N_AT_ONCE ? N_KINDS - at : N_AT_ONCE;
        put_on_card(b, at, n);
        if (pn_cuda_pick_rows(&b->dev, &batch, at, n, &err) != PUNA_OK) fail_msg("%s", err.msg);
        if (pn_cuda_hand_out_logits(&b->dev, &batch, at, n, &err) != PUNA_OK)
            fail_msg("%s", err.msg);
    }
    for (int32_t i = 0; i < N_KINDS; i++) {
        int32_t token = -1;
        if (pn_sampler_draw(b->whole[i], row_of(b, i), b->history[i], b->n_history, &token, &err) !=
            PUNA_OK)
            token = -1;
        assert_true(b->seen[i]);
        if (token != b->tokens[i] || b->whole[i]->n_random != b->few[i]->n_random)
            fail_msg("%s, vocabulary %d, row of kind %d: %d, from what was picked (%d) %d", what,
                     b->plan.n_vocab, i, token, b->from_few[i], b->tokens[i]);
        b->history[i][b->n_history] = token;
        if (b->from_few[i])
            b->n_few++;
        else
            b->n_whole_wanted++;
    }
    b->n_history++;
}

/* ---- chains ---- */

static pn_vocab *open_vocab(int32_t n) {
    pn_vocab_text *tokens = calloc((size_t)n, sizeof *tokens);
    char(*names)[16] = calloc((size_t)n, sizeof *names);
    for (int32_t i = 0; i < n; i++)
        tokens[i] = (pn_vocab_text){
            names[i], (size_t)snprintf(names[i], sizeof names[i], i % 40 ? "q%d" : "q:%d", i)};
    pn_vocab *vocab = open_plain_vocab(tokens, n);
    free(names);
    free(tokens);
    return vocab;
}

typedef struct chain {
    const char *name;
    float temperature;
    int32_t top_k;
    float top_p, min_p, typical_p;
    int32_t last_n;
    float repeat, presence, dry, xtc, sigma;
    int32_t n_bias;
    bool ignore_end;
    bool is_whole; /* all logits are wanted in any case */
} chain;

static const puna_logit_bias biases[] = {{0, 3.0f}, {1, -INFINITY}, {2, 100.0f}, {3, -2.5f}};

/* 0: off; top_p -1: 0. */
static const chain chains[] = {
    {.name = "greedy"},
    {.name = "greedy with penalties", .top_k = 40, .top_p = 0.5f, .last_n = 64, .repeat = 1.3f},
    {.name = "k = 1", .temperature = 0.8f, .top_k = 1},
    {.name = "defaults",
     .temperature = 0.8f,
     .top_k = 40,
     .top_p = 0.95f,
     .min_p = 0.05f,
     .last_n = 64},
    {.name = "llama-cpp-python before",
     .temperature = 0.8f,
     .top_k = 40,
     .top_p = 0.95f,
     .min_p = 0.05f,
     .last_n = 64,
     .repeat = 1.1f},
    {.name = "penalties",
     .temperature = 0.7f,
     .top_k = 20,
     .top_p = 0.9f,
     .last_n = 64,
     .repeat = 1.2f,
     .presence = 0.5f},
    {.name = "dry", .temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .dry = 0.8f},
    {.name = "bias", .temperature = 1, .top_k = 40, .n_bias = 4, .ignore_end = true},
    {.name = "typical after k", .temperature = 1, .top_k = 100, .top_p = 0.95f, .typical_p = 0.5f},
    {.name = "xtc after k", .temperature = 1, .top_k = 50, .xtc = 0.5f},
    {.name = "tiny temperature",
     .temperature = 1e-30f,
     .top_k = 40,
     .top_p = 0.95f,
     .min_p = 0.05f},
    {.name = "k = 960", .temperature = 2, .top_k = 960},
    {.name = "k beyond", .temperature = 2, .top_k = 2000000, .top_p = 0.9f},
    {.name = "top-p", .temperature = 0.9f, .top_p = 0.9f},
    {.name = "top-p 0", .temperature = 0.9f, .top_p = -1},
    {.name = "top-p and penalties",
     .temperature = 0.9f,
     .top_p = 0.8f,
     .min_p = 0.01f,
     .last_n = 64,
     .repeat = 1.1f,
     .presence = 0.2f},
    {.name = "top-p and bias", .temperature = 1, .top_p = 0.7f, .n_bias = 4},
    {.name = "min-p", .temperature = 1, .min_p = 0.1f},
    {.name = "min-p 1", .temperature = 1, .min_p = 1},
    {.name = "min-p and penalties",
     .temperature = 1.5f,
     .min_p = 0.2f,
     .last_n = 64,
     .repeat = 1.1f,
     .presence = 0.5f,
     .n_bias = 3},
    {.name = "plain", .temperature = 1},
    {.name = "plain and hot", .temperature = 3},
    {.name = "plain and cold", .temperature = 1e-20f},
    {.name = "plain and penalties",
     .temperature = 1,
     .last_n = 64,
     .repeat = 1.1f,
     .is_whole = true},
    {.name = "typical", .temperature = 1, .typical_p = 0.7f, .is_whole = true},
    {.name = "xtc", .temperature = 1, .xtc = 0.5f, .is_whole = true},
    {.name = "sigma", .temperature = 1, .top_k = 40, .sigma = 1, .is_whole = true},
};

static puna_sampler_params params_of(const chain *c, int32_t n_vocab) {
    puna_sampler_params p;
    puna_sampler_params_init(&p, PUNA_CHAIN_LLAMA_CPP);
    p.seed = 77;
    p.temperature = c->temperature;
    p.top_k = c->top_k;
    p.top_p = c->top_p > 0 ? c->top_p : c->top_p < 0 ? 0 : 1;
    p.min_p = c->min_p;
    p.typical_p = c->typical_p > 0 ? c->typical_p : 1;
    p.penalty_last_n = c->last_n;
    p.repeat_penalty = c->repeat > 0 ? c->repeat : 1;
    p.presence_penalty = c->presence;
    p.dry_multiplier = c->dry;
    p.xtc_probability = c->xtc;
    p.top_n_sigma = c->sigma;
    p.ignore_end = c->ignore_end;
    p.logit_bias = biases;
    p.n_logit_bias = n_vocab < 4 ? 0 : c->n_bias;
    return p;
}

static void run_chain(bench *b, const chain *c, const pn_vocab *vocab) {
    puna_error err;
    puna_sampler_params p = params_of(c, b->plan.n_vocab);
    for (int32_t i = 0; i < N_KINDS; i++) {
        p.seed = (uint64_t)(77 + i);
        if (pn_sampler_open(&p, vocab, 256, &b->whole[i], &err) != PUNA_OK) fail_msg("%s", err.msg);
        if (pn_sampler_copy(b->whole[i], &b->few[i], &err) != PUNA_OK) fail_msg("%s", err.msg);
        for (int32_t j = 0; j < N_HISTORY; j++) /* repeats, and the best tokens */
            b->history[i][j] = (j % 20 * 37 + i) % b->plan.n_vocab;
    }
    b->n_history = N_HISTORY;
    b->n_few = b->n_whole_wanted = 0;
    for (int32_t i = 0; i < N_DRAWS; i++) draw_all(b, c->name);
    if (c->is_whole) assert_int_equal(b->n_few, 0);
    if (!c->is_whole && b->plan.n_vocab > PN_PICK_MAX_BEST) /* else top-k may be off */
        assert_true(b->n_few >= 5 * N_DRAWS);
    for (int32_t i = 0; i < N_KINDS; i++) {
        pn_sampler_free(b->whole[i]);
        pn_sampler_free(b->few[i]);
    }
    if (getenv("PICK_VERBOSE"))
        print_message("%-26s vocabulary %6d: %d from a few, %d from all\n", c->name,
                      b->plan.n_vocab, b->n_few, b->n_whole_wanted);
}

static void run_vocab(int32_t n_vocab, size_t first, size_t step) {
    pn_vocab *vocab = open_vocab(n_vocab);
    bench *b = open_bench(n_vocab);
    fill(b, (uint32_t)n_vocab);
    for (size_t i = first; i < sizeof chains / sizeof *chains; i += step)
        run_chain(b, &chains[i], vocab);
    close_bench(b);
    pn_vocab_free(vocab);
}

static void test_draws(void **state) {
    (void)state;
    run_vocab(2500, 0, 1);
    run_vocab(32000, 1, 6);
}

static void test_odd_sizes(void **state) {
    (void)state;
    static const int32_t sizes[] = {1, 2, 63, 64, 65, 1025};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) run_vocab(sizes[i], 0, 1);
}

static void test_large_vocabulary(void **state) {
    (void)state;
    run_vocab(151936 + 127, 3, 17);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws),
        cmocka_unit_test(test_odd_sizes),
        cmocka_unit_test(test_large_vocabulary),
    };
    return cmocka_run_group_tests(tests, find_driver, NULL);
}
