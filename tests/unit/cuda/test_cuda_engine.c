/* Engines whose layers are on a card, through the driver that stands in for one: the text of the CPU token for
 * token, the memory plan, saved sequences from one to the other, and what is said when it cannot be. */
#include "unit/run/tiny_engine.h"

#include "cuda/cuda_device.h"

#include "card_under_test.h"

static puna_engine *open_on_card(puna_kv_type kv) {
    puna_engine_options o = engine_options(3, 40, 1);
    o.n_gpu_layers = -1;
    o.kv_type = kv;
    return open_engine_with(&o);
}

static void assert_same_outcome(const outcome *a, const outcome *b) {
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_memory_equal(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof *a->tokens);
    assert_memory_equal(a->logprobs, b->logprobs, (size_t)a->n_tokens * sizeof *a->logprobs);
}

static void test_same_text(void **state) {
    (void)state;
    static outcome on_cpu, on_card;
    int32_t prompt[90];
    make_prompt(prompt, 90, 5);
    for (int kv = PUNA_KV_F16; kv <= PUNA_KV_Q8_0; kv++) {
        puna_engine *cpu = open_engine(3, 40, 1, (puna_kv_type)kv);
        puna_engine *card = open_on_card((puna_kv_type)kv);
        on_cpu = complete(cpu, open_seq(cpu, 12), prompt, 90);
        on_card = complete(card, open_seq(card, 12), prompt, 90);
        assert_int_equal(on_cpu.n_tokens, 12);
        assert_same_outcome(&on_cpu, &on_card);
        puna_engine_free(cpu);
        puna_engine_free(card);
    }
    assert_int_equal(driver->bytes + driver->host_bytes, 0);
}

/* Computed on one, saved, and gone on with on the other. */
static void test_saved_between_devices(void **state) {
    (void)state;
    static outcome a, b;
    static unsigned char saved[1 << 20];
    int32_t prompt[70];
    puna_error err;
    size_t n;
    make_prompt(prompt, 70, 9);
    puna_engine *engines[2] = {open_engine(3, 40, 1, PUNA_KV_F16), open_on_card(PUNA_KV_F16)};
    for (int from = 0; from < 2; from++) {
        puna_seq *first = open_seq(engines[from], 6), *second = open_seq(engines[1 - from], 6);
        complete(engines[from], first, prompt, 70);
        if (puna_seq_save(first, saved, sizeof saved, &n, &err) != PUNA_OK) fail_msg("%s", err.msg);
        if (puna_seq_load(second, saved, n, &err) != PUNA_OK) fail_msg("%s", err.msg);
        prompt[69] = 17;
        a = complete(engines[from], first, prompt, 70);
        b = complete(engines[1 - from], second, prompt, 70);
        assert_same_outcome(&a, &b);
        puna_seq_free(first);
        puna_seq_free(second);
    }
    puna_engine_free(engines[0]);
    puna_engine_free(engines[1]);
}

static void test_plan_of_card(void **state) {
    (void)state;
    puna_engine *card = open_on_card(PUNA_KV_F16);
    puna_memory_plan plan = {.size = sizeof plan};
    puna_engine_get_plan(card, &plan);
    assert_int_equal(plan.n_layers, TINY_LAYERS + 1);
    assert_int_equal(plan.n_gpu_layers, TINY_LAYERS + 1);
    assert_int_equal(plan.gpu_bytes, driver->bytes);
    assert_string_equal(plan.where, "3/3 layers on Emulated Card, 0.0 GiB of 2.0");
    assert_true(plan.total_bytes < plan.kv_bytes + plan.activations_bytes + plan.total_bytes);
    puna_engine_free(card);
    puna_gpu gpu = {.size = sizeof gpu};
    int32_t n;
    puna_error err;
    assert_int_equal(puna_gpu_get(0, &gpu, &n, &err), PUNA_OK);
    assert_string_equal(gpu.name, "Emulated Card");
    assert_true(gpu.is_used && n == 1);
    assert_int_equal(puna_gpu_get(1, &gpu, &n, &err), PUNA_E_ARG);
}

/* Opens with all layers wanted on a card: on the CPU with this reason, and an error where it is required. */
static void assert_on_cpu(const puna_engine_options *options, puna_status status, const char *why) {
    puna_engine_options o = *options;
    puna_memory_plan plan = {.size = sizeof plan};
    puna_engine *e = open_engine_with(&o);
    puna_engine_get_plan(e, &plan);
    assert_int_equal(plan.n_gpu_layers, 0);
    assert_int_equal(plan.gpu_bytes, 0);
    if (!strstr(plan.where, why)) fail_msg("\"%s\", expected \"%s\"", plan.where, why);
    puna_engine_free(e);
    o.gpu_required = true;
    puna_error err;
    assert_int_equal(puna_engine_open(model, &o, &e, &err), status);
    if (!strstr(err.msg, why)) fail_msg("\"%s\", expected \"%s\"", err.msg, why);
    assert_int_equal(driver->bytes + driver->host_bytes, 0);
}

static void test_reasons(void **state) {
    (void)state;
    puna_engine_options o = engine_options(1, 40, 1);
    o.n_gpu_layers = 1;
    assert_on_cpu(&o, PUNA_E_UNSUPPORTED, "1 of 3 layers");
    o.n_gpu_layers = 1000;
    puna_engine *card = open_engine_with(&o);
    puna_memory_plan plan = {.size = sizeof plan};
    puna_engine_get_plan(card, &plan);
    assert_int_equal(plan.n_gpu_layers, 3);
    puna_engine_free(card);
    o.n_gpu_layers = -1;
    has_kernels = false;
    assert_on_cpu(&o, PUNA_E_UNSUPPORTED, "built without kernels for NVIDIA cards");
    has_kernels = true;
    driver->n_devices = 0;
    assert_on_cpu(&o, PUNA_E_UNSUPPORTED, "finds no card");
    driver->n_devices = 1;
    driver->version = 10000;
    assert_on_cpu(&o, PUNA_E_UNSUPPORTED, "too old");
    driver->version = 13000;
    const size_t total = driver->total_bytes;
    driver->total_bytes = 128 << 20;
    assert_on_cpu(&o, PUNA_E_LIMIT, "MiB are needed on Emulated Card");
    driver->total_bytes = total;
    driver->fail_alloc = 3; /* free when it was planned, and not when it is opened */
    puna_engine *e = open_engine_with(&o);
    puna_engine_get_plan(e, &plan);
    assert_int_equal(plan.n_gpu_layers, 0);
    assert_non_null(strstr(plan.where, "the card has no memory left"));
    puna_engine_free(e);
    o.n_gpu_layers = -2;
    puna_error err;
    assert_int_equal(puna_engine_open(model, &o, &e, &err), PUNA_E_ARG);
}

/* A context that was not asked for is cut to what the card holds. */
static void test_context_that_fits(void **state) {
    (void)state;
    puna_engine_options o = engine_options(1, 40, 1);
    puna_memory_plan plan = {.size = sizeof plan};
    puna_error err;
    o.n_ctx = 0;
    o.n_gpu_layers = -1;
    const size_t total = driver->total_bytes;
    assert_int_equal(puna_engine_plan(model, &o, &plan, &err), PUNA_OK);
    assert_int_equal(plan.n_ctx, TINY_CTX);
    driver->total_bytes = (128 << 20) + (size_t)plan.gpu_bytes - 100000;
    assert_int_equal(puna_engine_plan(model, &o, &plan, &err), PUNA_OK);
    assert_int_equal(plan.n_gpu_layers, 3);
    assert_true(plan.n_ctx < TINY_CTX && plan.n_ctx > TINY_CTX / 2);
    assert_true(plan.gpu_bytes <= plan.gpu_available_bytes);
    driver->total_bytes = total;
}

/* A step that the card fails in says so, and the process lives. */
static void test_card_lost_in_a_step(void **state) {
    (void)state;
    puna_event events[8];
    int32_t prompt[5], n;
    puna_error err;
    make_prompt(prompt, 5, 1);
    puna_engine *card = open_on_card(PUNA_KV_F16);
    puna_seq *s = open_seq(card, 4);
    feed(s, prompt, 5);
    driver->fail_launch = 7;
    assert_int_equal(puna_engine_step(card, events, 8, &n, &err), PUNA_E_STATE);
    assert_non_null(strstr(err.msg, "CUDA_ERROR_LAUNCH_FAILED"));
    puna_engine_free(card);
    static outcome seen;
    card = open_on_card(PUNA_KV_F16);
    seen = complete(card, open_seq(card, 2), prompt, 5);
    assert_int_equal(seen.n_tokens, 2);
    puna_engine_free(card);
}

/* Kernels of a decode step: fused, so about ten a layer. */
static void test_kernels_of_a_step(void **state) {
    (void)state;
    puna_event events[8];
    int32_t prompt[5], n = 0;
    puna_error err;
    make_prompt(prompt, 5, 1);
    puna_engine *card = open_on_card(PUNA_KV_F16);
    puna_seq *s = open_seq(card, 4);
    feed(s, prompt, 5);
    for (int step = 0; step < 4; step++) {
        const long before = driver->n_kernels;
        assert_int_equal(puna_engine_step(card, events, 8, &n, &err), PUNA_OK);
        /* the table; for each layer a norm, the products with q, k and v, rope and the cache, attention, its merge,
         * the product that leads back, sum and norm, gate and up, GLU, down; the last sum, rows, norm, logits */
        if (step > 0) assert_int_equal(driver->n_kernels - before, 1 + 10 * TINY_LAYERS + 4);
    }
    puna_seq_free(s);
    puna_engine_free(card);
}

/* A real model, where there is one: all layers on the card, greedy. */
static void test_real_model(void **state) {
    (void)state;
    const char *path = getenv("PUNA_TEST_MODEL");
    if (!path || access(path, R_OK) != 0) {
        print_message("PUNA_TEST_MODEL is not set: left out\n");
        skip();
    }
    puna_model *real, *const tiny = model;
    puna_error err;
    static outcome seen[2];
    if (puna_model_open(path, NULL, &real, &err) != PUNA_OK) fail_msg("%s", err.msg);
    const int32_t prompt[] = {504, 2985, 314};
    model = real;
    for (int i = 0; i < 2; i++) {
        puna_engine_options o = engine_options(1, 8, 2);
        o.n_ctx = 64;
        o.n_gpu_layers = -i;
        puna_engine *e = open_engine_with(&o);
        seen[i] = complete(e, open_seq(e, 3), prompt, 3);
        puna_engine_free(e);
    }
    model = tiny;
    puna_model_free(real);
    assert_int_equal(seen[0].n_tokens, 3);
    assert_same_outcome(&seen[0], &seen[1]);
}

static int set_up(void **state) {
    if (find_driver(state) != 0) return 1;
    open_model(PN_FMT_Q5_K);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_text),         cmocka_unit_test(test_saved_between_devices),
        cmocka_unit_test(test_plan_of_card),      cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_context_that_fits), cmocka_unit_test(test_card_lost_in_a_step),
        cmocka_unit_test(test_kernels_of_a_step), cmocka_unit_test(test_real_model),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
