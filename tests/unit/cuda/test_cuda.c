/* The CUDA backend on a driver that stands in for the real one and runs the kernels on the CPU
 * (tests/cuda): every format and operation gives the bits of the CPU backend, for few and many rows, in
 * whatever order threads run; and whatever fails is said, and given back. */
#include "mini_plan.h"

#include "cuda/card.h"
#include "cuda/cuda_device.h"

#include "card_under_test.h"
#include "unit/failing_allocator.h"

#include <math.h>

static const mini_options base = {
    .format = PN_FMT_Q4_0,
    .table_format = PN_FMT_F16,
    .n_embd = 96,
    .n_ff = 160,
    .n_vocab = 77,
    .n_layer = 1,
    .attn = {.n_head = 4, .n_head_kv = 2, .head_dim = 24},
    .logit_scale = 1.0f,
    .n_batch = 90,
    .n_ctx = 512,
    .n_pages = MINI_SEQ_PAGES * MINI_SEQS,
};

static void assert_same(const char *what, const float *a, const float *b, size_t n,
                        const mini_options *o) {
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof(float)) == 0) {
            assert_true(isfinite(a[i]));
            continue;
        }
        fail_msg("%s, format %s: value %zu is %a on the CPU and %a on the card (seed %llu)", what,
                 pn_format_get((uint32_t)o->format)->name, i, (double)a[i], (double)b[i],
                 (unsigned long long)driver->seed);
    }
}

/* Runs the same batch on both and compares everything that comes back. */
static void run_both(mini_run *cpu, mini_run *card, int32_t n_seqs, const int32_t *first,
                     const int32_t *n) {
    MINI_TRY(mini_batch(cpu, n_seqs, first, n, err));
    MINI_TRY(mini_batch(card, n_seqs, first, n, err));
    const mini_options *o = &cpu->m->o;
    assert_int_equal(cpu->n_logits, card->n_logits);
    assert_int_equal(cpu->n_hidden, card->n_hidden);
    assert_true(cpu->n_logits > 0);
    assert_same("hidden", cpu->hidden, card->hidden, (size_t)cpu->n_hidden * (size_t)o->n_embd, o);
    assert_same("logits", cpu->logits, card->logits, (size_t)cpu->n_logits * (size_t)o->n_vocab, o);
}

/* A prompt of many rows beside others, then few rows, then single ones. */
/* Fills what lies between the values of the card's workspace, or looks whether it is as it was. */
static void guard_values(pn_device *dev, bool fill) {
    const pn_cuda_driver *d = &dev->driver;
    const size_t n_batch = (size_t)dev->config.n_batch;
    const int32_t n_values = dev->plan->n_values;
    for (int32_t v = 0; v < n_values; v++) {
        const pn_value_info *info = &dev->plan->values[v];
        const size_t begin = ((size_t)info->offset + (size_t)info->width) * n_batch,
                     end = (size_t)(v + 1 < n_values ? info[1].offset : dev->plan->floats_per_row) *
                           n_batch,
                     bytes = (end - begin) * sizeof(float);
        void *pinned;
        assert_int_equal(d->context_set(dev->context), 0);
        assert_int_equal(d->host_alloc(&pinned, bytes, 0), 0);
        const uint64_t address = dev->work + begin * sizeof(float);
        memset(pinned, 0xc3, bytes);
        if (fill)
            assert_int_equal(d->copy_in(address, pinned, bytes, dev->stream), 0);
        else
            assert_int_equal(d->copy_out(pinned, address, bytes, dev->stream), 0);
        assert_int_equal(d->stream_wait(dev->stream), 0);
        for (size_t i = 0; i < bytes; i++)
            if (((unsigned char *)pinned)[i] != 0xc3)
                fail_msg("a kernel wrote %zu bytes behind the value \"%s\" of the workspace", i,
                         info->name);
        assert_int_equal(d->host_free(pinned), 0);
    }
}

static void check(const mini_options *o, int32_t n_prompt) {
    mini m;
    mini_run cpu, card;
    mini_build(&m, o, 42);
    mini_spread(&m);
    mini_open(&cpu, &m, &pn_backend_cpu);
    mini_open(&card, &m, &pn_backend_cuda);
    guard_values(card.device, true);
    run_both(&cpu, &card, 2, (int32_t[]){0, 0}, (int32_t[]){n_prompt, 5});
    run_both(&cpu, &card, 3, (int32_t[]){n_prompt, 5, 0}, (int32_t[]){1, 1, 4});
    run_both(&cpu, &card, 1, (int32_t[]){n_prompt + 1}, (int32_t[]){1});
    guard_values(card.device, false);
    mini_close(&card);
    mini_close(&cpu);
    mini_free(&m);
    assert_int_equal(driver->bytes, 0);
    assert_int_equal(driver->host_bytes, 0);
    assert_int_equal(driver->n_contexts + driver->n_streams + driver->n_events + driver->n_modules,
                     0);
}

static void test_formats(void **state) {
    (void)state;
    int32_t n;
    const pn_format_info *all = pn_format_all(&n);
    for (int32_t i = 0; i < n; i++) {
        if (!all[i].has_kernels) continue;
        mini_options o = base;
        o.format = o.table_format = all[i].id;
        if (all[i].block_weights == 256) { /* five and three groups: more and fewer than four */
            o.n_embd = 1280;
            o.n_ff = 768;
            o.n_batch = 30;
        } else if (all[i].block_weights == 32) { /* a last group that is not whole, an odd block */
            o.n_embd = 288;
            o.n_ff = 1056;
        }
        check(&o, all[i].block_weights == 256 ? 20 : 70);
    }
}

static void test_many_columns(void **state) { /* more than one block of 64 rows */
    (void)state;
    mini_options o = base;
    o.format = PN_FMT_Q5_K;
    o.n_embd = o.n_ff = 256;
    o.attn.head_dim = 64;
    check(&o, 80);
}

static void test_attention(void **state) {
    (void)state;
    const struct {
        int32_t n_head, n_head_kv, head_dim, window;
        float softcap;
        pn_kv_type type;
        bool neox, qk_norm;
    } cases[] = {
        {1, 1, 16, 0, 0, PN_KV_F32, false, false},
        {9, 3, 40, 0, 0, PN_KV_F16, true, false},
        {4, 4, 64, 7, 0, PN_KV_F16, false, true},
        {12, 1, 20, 0, 30.0f, PN_KV_Q8_0, true, true},
        {2, 1, 160, 70, 0, PN_KV_F16, true, false},
        {2, 2, 300, 0, 0, PN_KV_F32, false, false},
        {6, 2, 72, 65, 5.0f, PN_KV_Q8_0, false, false},
        {16, 2, 32, 0, 0, PN_KV_F16, true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mini_options o = base;
        o.attn = (pn_attention){.n_head = cases[i].n_head,
                                .n_head_kv = cases[i].n_head_kv,
                                .head_dim = cases[i].head_dim,
                                .window = cases[i].window,
                                .softcap = cases[i].softcap,
                                .scale = 0.3f};
        o.kv_type = cases[i].type;
        o.neox = cases[i].neox;
        o.qk_norm = cases[i].qk_norm;
        o.format = PN_FMT_F32;
        o.n_layer = 2;
        o.bias = true;
        check(&o, 75);
    }
}

/* Contexts of several chunks: whole in a prompt, split for few rows. */
static void test_long_context(void **state) {
    (void)state;
    for (int32_t window = 0; window <= 300; window += 300) {
        mini_options o = base;
        o.format = PN_FMT_F32;
        o.n_embd = 32;
        o.n_ff = 32;
        o.attn = (pn_attention){.n_head = 4, .n_head_kv = 2, .head_dim = 8, .window = window};
        o.n_batch = 300;
        o.n_ctx = 700;
        mini m;
        mini_run cpu, card;
        mini_build(&m, &o, 7);
        mini_open(&cpu, &m, &pn_backend_cpu);
        mini_open(&card, &m, &pn_backend_cuda);
        run_both(&cpu, &card, 1, (int32_t[]){0}, (int32_t[]){300});
        run_both(&cpu, &card, 1, (int32_t[]){300}, (int32_t[]){300});
        run_both(&cpu, &card, 2, (int32_t[]){600, 0}, (int32_t[]){4, 3});
        run_both(&cpu, &card, 1, (int32_t[]){604}, (int32_t[]){1});
        mini_close(&card);
        mini_close(&cpu);
        mini_free(&m);
    }
}

static void test_experts(void **state) {
    (void)state;
    mini_options o = base;
    o.n_expert = 7;
    o.n_used = 3;
    o.norm_weights = true;
    check(&o, 30);
    o.format = PN_FMT_Q6_K;
    o.n_embd = o.n_ff = 256;
    o.norm_weights = false;
    o.n_used = 1;
    check(&o, 30);
    o.format = PN_FMT_BF16;
    o.n_expert = o.n_used = 2;
    check(&o, 12);
}

static void test_activations_and_logits(void **state) {
    (void)state;
    mini_options o = base;
    o.act = PN_ACT_GELU_TANH;
    o.logit_scale = 0.7f;
    check(&o, 10);
    o.logit_softcap = 12.0f;
    o.tied = true;
    o.table_format = PN_FMT_Q8_0;
    check(&o, 10);
}

/* One row at a time, in chunks and at once: the same bits, though other kernels compute them. */
static void test_batches_do_not_matter(void **state) {
    (void)state;
    enum { N = 23 };
    mini_options o = base;
    o.format = PN_FMT_Q4_K;
    o.n_embd = o.n_ff = 256;
    mini m;
    mini_build(&m, &o, 3);
    static float last[3][77];
    const int32_t chunks[3] = {1, 4, N};
    for (int32_t c = 0; c < 3; c++) {
        mini_run card;
        mini_open(&card, &m, &pn_backend_cuda);
        for (int32_t at = 0; at < N; at += chunks[c]) {
            const int32_t n = N - at < chunks[c] ? N - at : chunks[c];
            MINI_TRY(mini_batch(&card, 1, &at, &n, err));
        }
        memcpy(last[c], card.logits + (size_t)(card.n_logits - 1) * 77, sizeof last[c]);
        mini_close(&card);
        assert_memory_equal(last[c], last[0], sizeof last[0]);
    }
    mini_free(&m);
}

/* Pages go from one device to the other and back, and both go on alike. */
static void test_pages(void **state) {
    (void)state;
    for (int32_t type = 0; type < 3; type++) {
        mini_options o = base;
        o.kv_type = (pn_kv_type)type;
        o.n_layer = 2;
        mini m;
        mini_run cpu, card;
        mini_build(&m, &o, 11);
        mini_open(&cpu, &m, &pn_backend_cpu);
        mini_open(&card, &m, &pn_backend_cuda);
        const pn_device_config config = mini_config(&o);
        pn_device_memory on_cpu, on_card;
        pn_backend_cpu.memory(&m.plan, &config, &on_cpu);
        pn_backend_cuda.memory(&m.plan, &config, &on_card);
        assert_int_equal(on_cpu.kv_bytes_per_page, on_card.kv_bytes_per_page);
        const size_t row = (size_t)on_cpu.kv_bytes_per_page / PN_PAGE_POSITIONS;
        unsigned char *a = malloc(row * 50), *b = malloc(row * 50);
        MINI_TRY(mini_batch(&cpu, 1, (int32_t[]){0}, (int32_t[]){50}, err));
        MINI_TRY(pn_backend_cpu.read_page(cpu.device, 0, 50, a, err));
        MINI_TRY(pn_backend_cuda.write_page(card.device, 5, 50, a, err));
        MINI_TRY(pn_backend_cuda.copy_page(card.device, 5, 0, err));
        MINI_TRY(pn_backend_cuda.read_page(card.device, 0, 50, b, err));
        assert_memory_equal(a, b, row * 50);
        run_both(&cpu, &card, 1, (int32_t[]){50}, (int32_t[]){2});
        free(a);
        free(b);
        mini_close(&card);
        mini_close(&cpu);
        mini_free(&m);
    }
}

/* ---- graphs ---- */

static mini_options two_layers(void) {
    mini_options o = base;
    o.format = PN_FMT_Q4_1;
    o.n_embd = o.n_ff = 64;
    o.attn = (pn_attention){.n_head = 4, .n_head_kv = 2, .head_dim = 16};
    o.n_layer = 2;
    o.n_batch = 280;
    o.n_ctx = 700;
    return o;
}

/* A step that comes again is replayed, whatever its tokens, positions and pages are; the bits are those of the
 * CPU. */
static void test_graphs(void **state) {
    (void)state;
    ONLY_STAND_IN();
    const mini_options o = two_layers();
    mini m;
    mini_run cpu, card;
    mini_build(&m, &o, 5);
    mini_open(&cpu, &m, &pn_backend_cpu);
    mini_open(&card, &m, &pn_backend_cuda);
    driver->n_captures = driver->n_graph_launches = 0;
    run_both(&cpu, &card, 1, (int32_t[]){0}, (int32_t[]){250});
    for (int32_t at = 250; at < 262; at++) /* one chunk, then two */
        run_both(&cpu, &card, 1, &at, (int32_t[]){1});
    assert_int_equal(driver->n_captures, 2);
    assert_int_equal(driver->n_graph_launches, 12 - 2);
    /* the second sequence alone: other pages, the first graph */
    run_both(&cpu, &card, 2, (int32_t[]){0, 0}, (int32_t[]){0, 20});
    for (int32_t i = 0; i < 3; i++)
        run_both(&cpu, &card, 2, (int32_t[]){0, 20 + i}, (int32_t[]){0, 1});
    assert_int_equal(driver->n_captures, 2);
    assert_int_equal(driver->n_graph_launches, 10 + 3);
    /* both at once, and many rows */
    for (int32_t i = 0; i < 3; i++)
        run_both(&cpu, &card, 2, (int32_t[]){262 + i, 23 + i}, (int32_t[]){1, 1});
    assert_int_equal(driver->n_captures, 3);
    for (int32_t i = 0; i < 3; i++)
        run_both(&cpu, &card, 2, (int32_t[]){265, 26}, (int32_t[]){1, 70});
    assert_int_equal(driver->n_captures, 3);
    mini_close(&card);
    mini_close(&cpu);
    mini_free(&m);
    assert_int_equal(driver->n_graphs, 0);
}

/* More shapes than are kept. */
static void test_graphs_are_bounded(void **state) {
    (void)state;
    ONLY_STAND_IN();
    const mini_options o = two_layers();
    mini m;
    mini_run cpu, card;
    mini_build(&m, &o, 6);
    mini_open(&cpu, &m, &pn_backend_cpu);
    mini_open(&card, &m, &pn_backend_cuda);
    for (int32_t n = 1; n <= PN_CUDA_N_GRAPHS + 4; n++)
        for (int32_t i = 0; i < 2; i++) run_both(&cpu, &card, 1, (int32_t[]){0}, &n);
    assert_int_equal(driver->n_graphs, PN_CUDA_N_GRAPHS);
    driver->n_captures = 0;
    run_both(&cpu, &card, 1, (int32_t[]){0}, (int32_t[]){PN_CUDA_N_GRAPHS + 4}); /* kept */
    for (int32_t i = 0; i < 2; i++) run_both(&cpu, &card, 1, (int32_t[]){0}, (int32_t[]){1});
    assert_int_equal(driver->n_captures, 1);
    mini_close(&card);
    mini_close(&cpu);
    mini_free(&m);
    assert_int_equal(driver->n_graphs, 0);
}

/* A graph that cannot be made or launched: the same bits without. */
static void test_no_graphs(void **state) {
    (void)state;
    ONLY_STAND_IN();
    const mini_options o = two_layers();
    mini m;
    mini_build(&m, &o, 7);
    long *const countdowns[] = {&driver->fail_capture_begin, &driver->fail_capture_end,
                                &driver->fail_instantiate, &driver->fail_graph_launch};
    for (size_t c = 0; c < 4; c++) {
        mini_run cpu, card;
        mini_open(&cpu, &m, &pn_backend_cpu);
        mini_open(&card, &m, &pn_backend_cuda);
        for (int32_t n = 1; n <= 4; n++) { /* rows of a step: another shape each time */
            driver->n_graph_launches = 0;
            run_both(&cpu, &card, 1, (int32_t[]){0}, &n);
            *countdowns[c] = 1;
            run_both(&cpu, &card, 1, (int32_t[]){0}, &n);
            assert_int_equal(*countdowns[c], n < 4 ? 0 : 1); /* three failures are enough */
            assert_int_equal(driver->n_graph_launches, 0);
            *countdowns[c] = 0;
            for (int32_t i = 0; i < 2; i++) run_both(&cpu, &card, 1, (int32_t[]){0}, &n);
            assert_int_equal(driver->n_graph_launches, n < 3 ? 1 : 0);
        }
        mini_close(&card);
        mini_close(&cpu);
    }
    mini_free(&m);
}

/* ---- what goes wrong ---- */

static void assert_nothing_is_left(void) {
    assert_int_equal(driver->bytes, 0);
    assert_int_equal(driver->host_bytes, 0);
    assert_int_equal(driver->n_contexts, 0);
    assert_int_equal(driver->n_streams, 0);
    assert_int_equal(driver->n_events, 0);
    assert_int_equal(driver->n_modules, 0);
    assert_int_equal(driver->n_graphs, 0);
}

static puna_status try_open(mini *m, puna_error *err) {
    const pn_device_config config = mini_config(&m->o);
    pn_device *device = NULL;
    const puna_status status = pn_backend_cuda.open(&m->plan, &config, &device, err);
    if (status == PUNA_OK) pn_backend_cuda.close(device);
    assert_nothing_is_left();
    return status;
}

static mini_options small_with_everything(void) {
    mini_options o = base;
    o.n_embd = o.n_ff = 64;
    o.n_vocab = 20;
    o.attn = (pn_attention){.n_head = 2, .n_head_kv = 1, .head_dim = 16};
    o.n_expert = 3;
    o.n_used = 2;
    o.n_pages = 4;
    o.n_batch = 8;
    return o;
}

static void test_out_of_memory(void **state) {
    (void)state;
    ONLY_STAND_IN();
    const mini_options o = small_with_everything();
    mini m;
    puna_error err;
    mini_build(&m, &o, 1);
    long *const countdowns[] = {&driver->fail_alloc, &driver->fail_host_alloc};
    for (size_t c = 0; c < 2; c++) {
        long n = 1;
        for (;; n++) {
            *countdowns[c] = n;
            const puna_status status = try_open(&m, &err);
            if (status == PUNA_OK) break;
            assert_int_equal(status, PUNA_E_NOMEM);
            if (c == 0) assert_non_null(strstr(err.msg, "Emulated Card"));
        }
        *countdowns[c] = 0;
        if (c == 0) assert_true(n > 20);
        if (c == 1) assert_int_equal(n, 3); /* staging does without pinned memory */
    }
    puna_set_allocator(&failing_allocator);
    long n = 0;
    for (;; n++) {
        allocations_left = n;
        const puna_status status = try_open(&m, &err);
        if (status == PUNA_OK) break;
        assert_int_equal(status, PUNA_E_NOMEM);
    }
    puna_set_allocator(NULL);
    assert_true(n >= 6);
    /* a card too small */
    const size_t total = driver->total_bytes;
    driver->total_bytes = 10000;
    assert_int_equal(try_open(&m, &err), PUNA_E_NOMEM);
    driver->total_bytes = total;
    mini_free(&m);
}

/* What `memory` promises is what `open` takes. */
static void test_exact_plan(void **state) {
    (void)state;
    ONLY_STAND_IN();
    const mini_options o = small_with_everything();
    mini m;
    mini_run card;
    mini_build(&m, &o, 1);
    mini_open(&card, &m, &pn_backend_cuda);
    const pn_device_config config = mini_config(&o);
    pn_device_memory memory;
    pn_backend_cuda.memory(&m.plan, &config, &memory);
    assert_int_equal(driver->bytes, memory.weights_bytes + memory.kv_bytes +
                                        memory.activations_bytes + memory.logits_bytes +
                                        memory.scratch_bytes);
    mini_close(&card);
    mini_free(&m);
}

static void test_lost_card(void **state) {
    (void)state;
    ONLY_STAND_IN();
    const mini_options o = small_with_everything();
    mini m;
    mini_build(&m, &o, 1);
    long n = 1;
    for (;; n++) {
        mini_run card;
        puna_error err = {0};
        mini_open(&card, &m, &pn_backend_cuda);
        driver->fail_launch = n;
        const puna_status status = mini_batch(&card, 1, (int32_t[]){0}, (int32_t[]){3}, &err);
        const bool is_lost = driver->fail_launch == 0;
        driver->fail_launch = 0;
        if (is_lost) {
            assert_int_equal(status, PUNA_E_STATE);
            assert_non_null(strstr(err.msg, "CUDA_ERROR_LAUNCH_FAILED"));
            unsigned char rows[4096];
            assert_int_equal(pn_backend_cuda.read_page(card.device, 0, 1, rows, &err),
                             PUNA_E_STATE);
            assert_int_equal(pn_backend_cuda.copy_page(card.device, 0, 1, &err), PUNA_E_STATE);
        }
        mini_close(&card);
        assert_nothing_is_left();
        if (!is_lost) {
            assert_int_equal(status, PUNA_OK);
            break;
        }
    }
    assert_true(n > 15);
    mini_free(&m);
}

/* The card is lost while a graph is captured, or in one. */
static void test_lost_in_a_graph(void **state) {
    (void)state;
    ONLY_STAND_IN();
    const mini_options o = two_layers();
    mini m;
    mini_build(&m, &o, 1);
    for (int32_t n = 1; n < 40; n += 6) {
        mini_run card;
        puna_error lost = {0};
        mini_open(&card, &m, &pn_backend_cuda);
        MINI_TRY(mini_batch(&card, 1, (int32_t[]){0}, (int32_t[]){1}, err));
        driver->fail_launch = n;
        const puna_status status = mini_batch(&card, 1, (int32_t[]){1}, (int32_t[]){1}, &lost);
        const bool is_lost = driver->fail_launch == 0;
        driver->fail_launch = 0;
        assert_int_equal(status, is_lost ? PUNA_E_STATE : PUNA_OK);
        mini_close(&card);
        assert_nothing_is_left();
    }
    mini_free(&m);
}

static void test_no_card(void **state) {
    (void)state;
    ONLY_STAND_IN();
    const mini_options o = small_with_everything();
    mini m;
    puna_error err;
    pn_cuda_cards cards = {0};
    const pn_cuda_card *card;
    mini_build(&m, &o, 1);
    driver->n_devices = 0;
    assert_int_equal(try_open(&m, &err), PUNA_E_UNSUPPORTED);
    assert_string_equal(err.msg, "an NVIDIA driver is installed, but it finds no card");
    assert_int_equal(pn_cuda_cards_open(&cards, &err), PUNA_E_UNSUPPORTED);
    driver->n_devices = 1;
    driver->version = 10020;
    assert_int_equal(try_open(&m, &err), PUNA_E_UNSUPPORTED);
    assert_string_equal(err.msg,
                        "the NVIDIA driver is too old: it speaks CUDA 10.2, 11.0 is needed");
    driver->version = 13000;
    driver->init_result = 803;
    assert_int_equal(try_open(&m, &err), PUNA_E_UNSUPPORTED);
    driver->init_result = 999;
    assert_int_equal(try_open(&m, &err), PUNA_E_STATE);
    driver->init_result = 0;
    driver->fail_function = 5;
    assert_int_equal(try_open(&m, &err), PUNA_E_UNSUPPORTED);
    assert_int_equal(pn_cuda_cards_open(&cards, &err), PUNA_OK);
    assert_int_equal(cards.n, 1);
    for (int i = 0; i < 2; i++) { /* looked at once, held until the end */
        assert_int_equal(pn_cuda_cards_look(&cards, 0, &card, &err), PUNA_OK);
        assert_int_equal(driver->n_contexts, 1);
    }
    assert_string_equal(card->name, "Emulated Card");
    assert_int_equal(card->compute, 90);
    assert_int_equal(card->free_bytes, driver->total_bytes);
    assert_int_equal(pn_cuda_cards_look(&cards, 1, &card, &err), PUNA_E_ARG);
    pn_cuda_cards_close(&cards);
    assert_int_equal(driver->n_contexts, 0);
    mini_free(&m);
}

static bool stop_at_once(void *user, double fraction) {
    (void)user;
    (void)fraction;
    return false;
}

static void test_cancel(void **state) {
    (void)state;
    const mini_options o = small_with_everything();
    mini m;
    mini_run card;
    puna_error err;
    mini_build(&m, &o, 1);
    mini_open(&card, &m, &pn_backend_cuda);
    const int32_t zero = 0, *pages = &zero;
    atomic_bool cancel;
    atomic_init(&cancel, true);
    pn_batch b = {.n_rows = 1, .tokens = &zero, .positions = &zero, .seqs = &zero, .pages = &pages};
    b.cancel = &cancel;
    assert_int_equal(pn_backend_cuda.run(card.device, &b, &err), PUNA_E_CANCELLED);
    atomic_store(&cancel, false);
    assert_int_equal(pn_backend_cuda.run(card.device, &b, &err), PUNA_OK);
    b.progress = stop_at_once;
    assert_int_equal(pn_backend_cuda.run(card.device, &b, &err), PUNA_E_CANCELLED);
    b.n_rows = o.n_batch + 1;
    assert_int_equal(pn_backend_cuda.run(card.device, &b, &err), PUNA_E_ARG);
    mini_close(&card);
    mini_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_many_columns),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_long_context),
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_activations_and_logits),
        cmocka_unit_test(test_batches_do_not_matter),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_graphs),
        cmocka_unit_test(test_graphs_are_bounded),
        cmocka_unit_test(test_no_graphs),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_exact_plan),
        cmocka_unit_test(test_lost_card),
        cmocka_unit_test(test_lost_in_a_graph),
        cmocka_unit_test(test_no_card),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, find_driver, NULL);
}
