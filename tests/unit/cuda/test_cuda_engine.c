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
    ONLY_STAND_IN();
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
    ONLY_STAND_IN();
    puna_engine_options o = engine_options(1, 40, 1);
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
    o.n_gpu_layers = -3;
    puna_error err;
    assert_int_equal(puna_engine_open(model, &o, &e, &err), PUNA_E_ARG);
}

/* ---- some layers on the card ---- */

static puna_engine *open_split(int32_t n_gpu_layers, puna_kv_type kv) {
    puna_engine_options o = engine_options(3, 40, 1);
    o.n_gpu_layers = n_gpu_layers;
    o.gpu_required = n_gpu_layers != 0;
    o.kv_type = kv;
    o.prefix_cache = true;
    return open_engine_with(&o);
}

/* Every position's logits and hidden states. */
typedef struct record {
    float logits[200][TINY_VOCAB], hidden[200][TINY_EMBD];
    int32_t n_logits, n_hidden;
} record;

static void keep_logits(void *user, int32_t position, const float *logits, int32_t n_vocab) {
    record *r = user;
    assert_int_equal(n_vocab, TINY_VOCAB);
    memcpy(r->logits[position], logits, sizeof r->logits[0]);
    r->n_logits++;
}

static void keep_hidden(void *user, int32_t position, const float *hidden, int32_t n_embd) {
    record *r = user;
    assert_int_equal(n_embd, TINY_EMBD);
    memcpy(r->hidden[position], hidden, sizeof r->hidden[0]);
    r->n_hidden++;
}

/* Three sequences at once: one that samples, one whose beginning the cache knows, one that shows everything. */
static void run_three(puna_engine *e, outcome *a, outcome *b, record *r) {
    int32_t prompt[150];
    make_prompt(prompt, 150, 21);
    memset(r, 0, sizeof *r);
    *a = complete(e, open_seq(e, 9), prompt, 130);
    puna_seq_options all = greedy(0);
    all.on_logits = keep_logits;
    all.on_logits_user = r;
    all.on_hidden = keep_hidden;
    all.on_hidden_user = r;
    puna_seq *watched = open_seq_with(e, &all), *reuses = open_seq(e, 9);
    feed(watched, prompt, 150);
    memset(b, 0, sizeof *b);
    feed(reuses, prompt, 110);
    run_watching(e, reuses, b);
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_get_stats(reuses, &stats);
    assert_true(stats.n_reused >= 64);
    assert_int_equal(r->n_logits, 150);
    assert_int_equal(r->n_hidden, 150);
}

static void test_every_split_gives_the_bits_of_the_cpu(void **state) {
    (void)state;
    static outcome want[2], seen[2];
    static record wanted, shown;
    for (int kv = PUNA_KV_F16; kv <= PUNA_KV_Q8_0; kv += PUNA_KV_Q8_0 - PUNA_KV_F16)
        for (int32_t n = 0; n <= TINY_LAYERS + 1; n++) {
            puna_engine *e = open_split(n, (puna_kv_type)kv);
            run_three(e, n ? &seen[0] : &want[0], n ? &seen[1] : &want[1], n ? &shown : &wanted);
            puna_engine_free(e);
            if (n == 0) continue;
            assert_same_outcome(&want[0], &seen[0]);
            assert_same_outcome(&want[1], &seen[1]);
            assert_memory_equal(wanted.logits, shown.logits, sizeof wanted.logits);
            assert_memory_equal(wanted.hidden, shown.hidden, sizeof wanted.hidden);
        }
    assert_int_equal(driver->bytes + driver->host_bytes + (size_t)driver->n_contexts, 0);
}

/* Saved sequences are the same bytes wherever their layers were computed, and go on anywhere. */
static void test_saved_between_splits(void **state) {
    (void)state;
    enum { N = TINY_LAYERS + 2 };
    static outcome first, seen;
    static unsigned char saved[N][1 << 20];
    int32_t prompt[70];
    puna_error err;
    size_t n[N];
    for (int kv = PUNA_KV_F16; kv <= PUNA_KV_Q8_0; kv += PUNA_KV_Q8_0 - PUNA_KV_F16) {
        make_prompt(prompt, 70, 9);
        for (int i = 0; i < N; i++) {
            puna_engine *e = open_split(i, (puna_kv_type)kv);
            puna_seq *s = open_seq(e, 6);
            complete(e, s, prompt, 70);
            if (puna_seq_save(s, saved[i], sizeof saved[i], &n[i], &err) != PUNA_OK)
                fail_msg("%s", err.msg);
            assert_int_equal(n[i], n[0]);
            assert_memory_equal(saved[i], saved[0], n[0]);
            puna_engine_free(e);
        }
        for (int i = 0; i < N; i++) {
            puna_engine *e = open_split(i, (puna_kv_type)kv);
            puna_seq *s = open_seq(e, 6);
            if (puna_seq_load(s, saved[0], n[0], &err) != PUNA_OK) fail_msg("%s", err.msg);
            prompt[69] = 17;
            seen = complete(e, s, prompt, 70);
            if (i == 0) first = seen;
            assert_same_outcome(&first, &seen);
            puna_engine_free(e);
        }
    }
}

typedef struct watch {
    puna_engine *engine;
    double last;
    int32_t n_calls, stop_after;
} watch;

static bool watch_progress(void *user, double fraction) {
    watch *w = user;
    assert_true(fraction >= w->last && fraction <= 1.0);
    w->last = fraction;
    return ++w->n_calls != w->stop_after;
}

/* Progress never goes back, wherever layers are; a prompt may be stopped at each of its calls, and goes on. */
static void test_progress_and_cancel(void **state) {
    (void)state;
    static outcome want, seen;
    int32_t prompt[30], n_events;
    puna_event events[8];
    puna_error err;
    make_prompt(prompt, 30, 3);
    puna_engine *cpu = open_engine(1, 40, 1, PUNA_KV_F16);
    want = complete(cpu, open_seq(cpu, 4), prompt, 30);
    puna_engine_free(cpu);
    watch w = {0};
    for (int32_t n = 1; n <= TINY_LAYERS + 1; n++) {
        puna_engine_options o = engine_options(1, 40, 1);
        o.n_gpu_layers = n;
        o.gpu_required = true;
        o.progress = watch_progress;
        o.progress_user = &w;
        puna_engine *e = open_engine_with(&o);
        for (int32_t stop = 1;; stop++) {
            w = (watch){.stop_after = stop};
            puna_seq *s = open_seq(e, 4);
            feed(s, prompt, 30);
            const puna_status status = puna_engine_step(e, events, 8, &n_events, &err);
            if (status == PUNA_OK) {
                assert_true(w.last == 1.0 && w.n_calls >= TINY_LAYERS);
                puna_seq_free(s);
                break;
            }
            assert_int_equal(status, PUNA_E_CANCELLED);
            w = (watch){0};
            memset(&seen, 0, sizeof seen);
            run_watching(e, s, &seen);
            assert_same_outcome(&want, &seen);
            puna_seq_free(s);
        }
        puna_engine_free(e);
    }
}

/* What the plan says of each device is what it takes. */
static void test_plan_of_a_split(void **state) {
    (void)state;
    ONLY_STAND_IN();
    uint64_t kv_bytes = 0, layer_bytes = 0;
    for (int32_t n = 1; n <= TINY_LAYERS + 1; n++) {
        puna_engine *e = open_split(n, PUNA_KV_Q8_0);
        puna_memory_plan plan = {.size = sizeof plan};
        puna_engine_get_plan(e, &plan);
        const bool all = n == TINY_LAYERS + 1;
        const puna_device_plan *card = &plan.devices[all ? 0 : 1];
        assert_int_equal(plan.n_devices, all ? 1 : 2);
        assert_int_equal(plan.n_gpu_layers, n);
        assert_int_equal(card->gpu, 0);
        assert_int_equal(card->n_layers, n);
        assert_int_equal(card->first_layer, TINY_LAYERS + 1 - n);
        assert_int_equal(card->total_bytes, driver->bytes);
        assert_int_equal(plan.gpu_bytes, driver->bytes);
        assert_int_equal(card->kv_bytes,
                         n == 1 ? 0 : plan.kv_bytes * (uint64_t)(n - 1) / TINY_LAYERS);
        if (n > 1) assert_true(plan.kv_bytes == kv_bytes && plan.gpu_bytes > layer_bytes);
        kv_bytes = plan.kv_bytes;
        layer_bytes = plan.gpu_bytes;
        if (n == 1)
            assert_string_equal(plan.where,
                                "1/3 layers on Emulated Card, 0.0 GiB of 2.0; the others on "
                                "the CPU");
        puna_engine_free(e);
    }
}

/* No allocation may fail without everything being given back: of the card, pinned, and of the machine. */
static void test_out_of_memory(void **state) {
    (void)state;
    ONLY_STAND_IN();
    puna_engine_options o = engine_options(1, 40, 1);
    o.n_gpu_layers = 2;
    o.gpu_required = true;
    long *const countdowns[] = {&driver->fail_alloc, &driver->fail_host_alloc};
    for (int kind = 0; kind < 2; kind++) {
        puna_status status = PUNA_E_NOMEM;
        for (long n = 1; status != PUNA_OK; n++) {
            puna_engine *e;
            puna_error err;
            *countdowns[kind] = n;
            status = puna_engine_open(model, &o, &e, &err);
            if (status == PUNA_OK)
                puna_engine_free(e);
            else
                assert_int_equal(status, PUNA_E_NOMEM);
            assert_int_equal(driver->bytes + driver->host_bytes, 0);
            assert_int_equal(driver->n_contexts + driver->n_streams + driver->n_modules, 0);
            assert_true(n < 500);
        }
        *countdowns[kind] = 0;
    }
}

/* As many layers as fit, and what happens when less is free at the end than was seen. */
static void test_auto(void **state) {
    (void)state;
    ONLY_STAND_IN();
    puna_engine_options o = engine_options(1, 40, 1);
    puna_memory_plan plans[TINY_LAYERS + 2] = {{.size = sizeof plans[0]}};
    puna_memory_plan plan = {.size = sizeof plan};
    puna_error err;
    const size_t total = driver->total_bytes, margin = (size_t)512 << 20;
    for (int32_t n = 0; n <= TINY_LAYERS + 1; n++) {
        plans[n].size = sizeof plans[n];
        o.n_gpu_layers = n;
        assert_int_equal(puna_engine_plan(model, &o, &plans[n], &err), PUNA_OK);
    }
    o.n_gpu_layers = PUNA_GPU_LAYERS_AUTO;
    for (int32_t n = 0; n <= TINY_LAYERS + 1; n++)
        for (int less = 0; less < 2; less++) {
            driver->total_bytes = margin + (size_t)plans[n].gpu_bytes - (size_t)less;
            assert_int_equal(puna_engine_plan(model, &o, &plan, &err), PUNA_OK);
            assert_int_equal(plan.n_gpu_layers, n == 0 ? 0 : n - less);
            if (plan.n_gpu_layers == 0)
                assert_non_null(strstr(plan.where, "not one layer fits into the"));
        }
    driver->total_bytes = total;
    driver->fail_alloc = 12;
    puna_engine *e = open_engine_with(&o);
    puna_engine_get_plan(e, &plan);
    assert_int_equal(plan.n_gpu_layers, TINY_LAYERS);
    puna_engine_free(e);
}

/* ---- several cards ---- */

static puna_engine_options several(int32_t n_gpu_layers, float a, float b, float c) {
    puna_engine_options o = engine_options(3, 40, 1);
    o.n_gpu_layers = n_gpu_layers;
    o.gpu_required = true;
    o.prefix_cache = true;
    o.tensor_split[0] = a;
    o.tensor_split[1] = b;
    o.tensor_split[2] = c;
    return o;
}

/* Layers that each of three cards has, in the plan, and in bytes on it. */
static void assert_layers(const puna_memory_plan *plan, int32_t a, int32_t b, int32_t c) {
    const int32_t want[3] = {a, b, c};
    int32_t seen[3] = {0};
    uint64_t bytes[3] = {0};
    for (int32_t i = 0; i < plan->n_devices; i++) {
        const puna_device_plan *d = &plan->devices[i];
        if (d->gpu < 0) continue;
        assert_in_range(d->gpu, 0, 2);
        seen[d->gpu] += d->n_layers;
        bytes[d->gpu] += d->total_bytes;
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen[i], want[i]);
        assert_int_equal(driver->bytes_of[i], bytes[i]);
    }
}

static void test_several_cards_give_the_bits_of_the_cpu(void **state) {
    (void)state;
    static outcome want[2], seen[2];
    static record wanted, shown;
    static const struct {
        int32_t n_layers;
        float shares[3];
        int32_t layers[3];
    } cases[] = {
        {-1, {1, 1, 1}, {1, 1, 1}}, {-1, {3, 0, 1}, {3, 0, 0}}, {-1, {2, 0, 1}, {2, 0, 1}},
        {2, {0, 5, 5}, {0, 1, 1}},  {1, {1, 1, 1}, {1, 0, 0}},  {99, {0, 0, 0.5f}, {0, 0, 3}},
    };
    puna_engine *cpu = open_split(0, PUNA_KV_F16);
    run_three(cpu, &want[0], &want[1], &wanted);
    puna_engine_free(cpu);
    driver->n_devices = 3;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const float *shares = cases[i].shares;
        const int32_t *layers = cases[i].layers;
        const puna_engine_options o = several(cases[i].n_layers, shares[0], shares[1], shares[2]);
        puna_memory_plan plan = {.size = sizeof plan};
        puna_engine *e = open_engine_with(&o);
        puna_engine_get_plan(e, &plan);
        assert_layers(&plan, layers[0], layers[1], layers[2]);
        run_three(e, &seen[0], &seen[1], &shown);
        puna_engine_free(e);
        assert_same_outcome(&want[0], &seen[0]);
        assert_same_outcome(&want[1], &seen[1]);
        assert_memory_equal(&wanted, &shown, sizeof wanted);
        assert_int_equal(driver->bytes + driver->host_bytes + (size_t)driver->n_contexts, 0);
    }
    driver->n_devices = 1;
}

static void open_and_see(const puna_engine_options *o, puna_memory_plan *plan) {
    puna_engine *e = open_engine_with(o);
    *plan = (puna_memory_plan){.size = sizeof *plan};
    puna_engine_get_plan(e, plan);
    puna_engine_free(e);
}

/* Without shares: one card when it has room, else all by their memory; nobody looks at a card in vain. */
static void test_which_cards(void **state) {
    (void)state;
    puna_engine_options o = several(-1, 0, 0, 0);
    puna_memory_plan plan;
    puna_error err;
    puna_engine *e;
    driver->n_devices = 3;
    driver->n_contexts_made = 0;
    o.main_gpu = 1;
    open_and_see(&o, &plan);
    assert_string_equal(plan.where, "3/3 layers on Emulated Card, 0.0 GiB of 2.0");
    assert_int_equal(plan.devices[0].gpu, 1);
    assert_int_equal(driver->n_contexts_made, 1);
    const size_t all = (size_t)plan.gpu_bytes, reserve = (size_t)128 << 20;

    for (int i = 0; i < 3; i++) driver->total_of[i] = reserve + all - 1;
    open_and_see(&o, &plan);
    assert_int_equal(plan.n_gpu_layers, 3);
    assert_true(plan.n_devices > 1 && plan.devices[0].gpu == 0);
    assert_non_null(strstr(plan.where, "on Emulated Card (0), 0.0 GiB of 0.1; "));
    assert_int_equal(driver->n_contexts_made, 1 + 3);
    driver->total_of[0] = reserve; /* full */
    open_and_see(&o, &plan);
    assert_int_equal(plan.n_gpu_layers, 3);
    assert_int_equal(plan.devices[0].gpu, 1);
    assert_int_equal(plan.devices[1].gpu, 2);

    o.split_mode = PUNA_SPLIT_NONE;
    assert_int_equal(puna_engine_open(model, &o, &e, &err), PUNA_E_LIMIT);
    assert_non_null(strstr(err.msg, "MiB are needed on Emulated Card"));
    for (int i = 0; i < 3; i++) driver->total_of[i] = 0;
    o.main_gpu = 5;
    assert_int_equal(puna_engine_open(model, &o, &e, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "there are 3 cards, and none with the number 5"));
    o.main_gpu = -1;
    assert_int_equal(puna_engine_open(model, &o, &e, &err), PUNA_E_ARG);
    o.main_gpu = 0;
    o.tensor_split[1] = -1;
    assert_int_equal(puna_engine_open(model, &o, &e, &err), PUNA_E_ARG);
    assert_int_equal(driver->n_contexts, 0);
    driver->n_devices = 1;
}

/* As many layers as several cards hold. */
static void test_auto_on_several_cards(void **state) {
    (void)state;
    puna_engine_options o = several(PUNA_GPU_LAYERS_AUTO, 0, 0, 0);
    puna_memory_plan plan, alone;
    driver->n_devices = 2;
    o.n_gpu_layers = 2;
    open_and_see(&o, &alone);
    o.n_gpu_layers = PUNA_GPU_LAYERS_AUTO;
    driver->total_of[0] = ((size_t)512 << 20) + (size_t)alone.gpu_bytes;
    driver->total_of[1] = (size_t)512 << 20;
    open_and_see(&o, &plan);
    assert_int_equal(plan.n_gpu_layers, 2);
    for (int i = 0; i < 2; i++) driver->total_of[i] += i ? driver->total_of[0] : 200000;
    driver->total_of[1] -= (size_t)512 << 20; /* the first layer has the embedding beside it */
    open_and_see(&o, &plan);
    assert_int_equal(plan.n_gpu_layers, 3);
    assert_int_equal(plan.n_devices, 2);
    for (int i = 0; i < 2; i++) driver->total_of[i] = 0;
    driver->n_devices = 1;
}

/* Whatever fails on whichever card: a status with words, and nothing is kept. */
static void test_failures_of_several_cards(void **state) {
    (void)state;
    const puna_engine_options o = several(-1, 1, 1, 1);
    puna_status status = PUNA_E_NOMEM;
    puna_engine *e;
    puna_error err;
    driver->n_devices = 3;
    for (long n = 1; status != PUNA_OK; n++) {
        driver->fail_alloc = n;
        status = puna_engine_open(model, &o, &e, &err);
        if (status == PUNA_OK) break;
        assert_int_equal(status, PUNA_E_NOMEM);
        assert_int_equal(driver->bytes + driver->host_bytes, 0);
        assert_int_equal(driver->n_contexts + driver->n_streams + driver->n_modules, 0);
    }
    driver->fail_alloc = 0;
    puna_engine_free(e);
    int32_t prompt[5], n_events;
    puna_event events[8];
    make_prompt(prompt, 5, 1);
    for (long n = 1;; n++) {
        e = open_engine_with(&o);
        puna_seq *s = open_seq(e, 2);
        feed(s, prompt, 5);
        driver->fail_launch = n;
        status = puna_engine_step(e, events, 8, &n_events, &err);
        if (status != PUNA_OK) {
            assert_int_equal(status, PUNA_E_STATE);
            assert_non_null(strstr(err.msg, "CUDA_ERROR_LAUNCH_FAILED"));
        }
        puna_engine_free(e);
        assert_int_equal(driver->bytes + driver->host_bytes, 0);
        if (status == PUNA_OK) break;
    }
    driver->fail_launch = 0;
    driver->n_devices = 1;
}

/* A context that was not asked for is cut to what the card holds. */
static void test_context_that_fits(void **state) {
    (void)state;
    ONLY_STAND_IN();
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
    ONLY_STAND_IN();
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
    ONLY_STAND_IN();
    puna_event events[8];
    int32_t prompt[5], n = 0;
    puna_error err;
    make_prompt(prompt, 5, 1);
    puna_engine *card = open_on_card(PUNA_KV_F16);
    puna_seq *s = open_seq(card, 4);
    feed(s, prompt, 5);
    driver->n_graph_launches = 0;
    for (int step = 0; step < 4; step++) {
        const long before = driver->n_kernels;
        assert_int_equal(puna_engine_step(card, events, 8, &n, &err), PUNA_OK);
        /* the table; for each layer a norm, the products with q, k and v, rope and the cache, attention, its merge,
         * the product that leads back, sum and norm, gate and up, GLU, down; the last sum, rows, norm, logits, and the two
         * that pick from them */
        if (step > 0) assert_int_equal(driver->n_kernels - before, 1 + 10 * TINY_LAYERS + 6);
    }
    assert_int_equal(driver->n_graph_launches, 2); /* the second such step is captured */
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
#if defined(__SANITIZE_ADDRESS__) /* takes long, and the tiny model goes the same ways */
    skip();
#endif
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
        cmocka_unit_test(test_same_text),
        cmocka_unit_test(test_saved_between_devices),
        cmocka_unit_test(test_plan_of_card),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_context_that_fits),
        cmocka_unit_test(test_card_lost_in_a_step),
        cmocka_unit_test(test_every_split_gives_the_bits_of_the_cpu),
        cmocka_unit_test(test_saved_between_splits),
        cmocka_unit_test(test_progress_and_cancel),
        cmocka_unit_test(test_plan_of_a_split),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_several_cards_give_the_bits_of_the_cpu),
        cmocka_unit_test(test_which_cards),
        cmocka_unit_test(test_auto_on_several_cards),
        cmocka_unit_test(test_failures_of_several_cards),
        cmocka_unit_test(test_kernels_of_a_step),
        cmocka_unit_test(test_real_model),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
