/* Weights on their way to the card: the bytes that arrive are those of pn_cuda_repack_row, whoever repacks and
 * through whatever memory; progress, stopping, and no more pinned memory than planned. */
#include "mini_plan.h"

#include "card_under_test.h"
#include "cuda/cuda_device.h"

static const mini_options base = {
    .format = PN_FMT_Q5_K,
    .table_format = PN_FMT_F16,
    .n_embd = 256,
    .n_ff = 512,
    .n_vocab = 20011, /* more than a buffer */
    .n_layer = 1,
    .attn = {.n_head = 4, .n_head_kv = 2, .head_dim = 64},
    .bias = true,
    .qk_norm = true,
    .logit_scale = 1.0f,
    .n_batch = 4,
    .n_ctx = 128,
    .n_pages = 4,
};

typedef struct seen {
    int n_calls, stop_at; /* 0: never */
    double last;
} seen;

static bool on_upload(void *user, double fraction) {
    seen *s = user;
    assert_true(fraction > s->last || (s->n_calls > 0 && fraction == 1.0));
    assert_true(fraction <= 1.0);
    s->last = fraction;
    return ++s->n_calls != s->stop_at;
}

static puna_status open_card(const mini *m, int32_t n_threads, seen *s, pn_device **device,
                             puna_error *err) {
    pn_device_config config = mini_config(&m->o);
    config.n_threads = n_threads;
    config.progress = s ? on_upload : NULL;
    config.progress_user = s;
    return pn_backend_cuda.open(&m->plan, &config, device, err);
}

/* Reads `bytes` from the card. */
static void read_back(const pn_device *dev, uint64_t from, size_t bytes, unsigned char *out) {
    const pn_cuda_driver *d = &dev->driver;
    void *pinned;
    assert_int_equal(d->context_set(dev->context), 0);
    assert_int_equal(d->host_alloc(&pinned, bytes, 0), 0);
    assert_int_equal(d->copy_out(pinned, from, bytes, dev->stream), 0);
    assert_int_equal(d->stream_wait(dev->stream), 0);
    memcpy(out, pinned, bytes);
    assert_int_equal(d->host_free(pinned), 0);
}

static void check_weight(const pn_device *dev, const pn_cuda_weight *weight) {
    const pn_weight *w = weight->w;
    const size_t n_rows = (size_t)w->n_out * (size_t)(w->n_expert > 0 ? w->n_expert : 1);
    unsigned char *there = malloc(n_rows * weight->row_bytes), *row = malloc(weight->row_bytes);
    assert_true(there && row);
    read_back(dev, weight->address, n_rows * weight->row_bytes, there);
    for (size_t i = 0; i < n_rows; i++) {
        pn_cuda_repack_row(weight->format, (const unsigned char *)w->data + i * w->row_bytes,
                           (int32_t)w->n_in, row);
        if (memcmp(row, there + i * weight->row_bytes, weight->row_bytes) != 0)
            fail_msg("%s: row %zu is not what it should be", w->name, i);
    }
    free(there);
    free(row);
}

static void check_vectors(const pn_device *dev) {
    unsigned char there[4096];
    int n = 0;
    for (int32_t i = 0; i < dev->plan->n_ops; i++) {
        const pn_op *op = &dev->plan->ops[i];
        for (int32_t k = 0; k < op->n_weights; k++) {
            const size_t bytes = (size_t)op->w[k]->n_out * sizeof(float);
            if (!op->bias[k]) continue;
            assert_true(bytes <= sizeof there);
            read_back(dev, dev->ops[i].bias[k], bytes, there);
            assert_memory_equal(there, op->bias[k], bytes);
            n++;
        }
    }
    assert_true(n > 0);
}

static void check_upload(const mini *m, int32_t n_threads) {
    seen s = {0};
    pn_device *device;
    puna_error err;
    if (open_card(m, n_threads, &s, &device, &err) != PUNA_OK) fail_msg("%s", err.msg);
    for (int32_t i = 0; i < m->plan.n_weights; i++) check_weight(device, &device->weights[i]);
    check_vectors(device);
    assert_true(s.n_calls > 8 && s.last == 1.0);
    pn_backend_cuda.close(device);
}

static void test_threads(void **state) {
    (void)state;
    mini m;
    mini_build(&m, &base, 11);
    check_upload(&m, 1);
    check_upload(&m, 3);
    mini_free(&m);
}

static void test_experts(void **state) {
    (void)state;
    mini m;
    mini_options o = base;
    o.n_vocab = 33;
    o.n_expert = 3;
    o.n_used = 2;
    o.format = PN_FMT_Q8_0;
    mini_build(&m, &o, 12);
    check_upload(&m, 2);
    mini_free(&m);
}

/* The buffers cannot be pinned: the first, the second, the third. */
static void test_pageable(void **state) {
    (void)state;
    ONLY_STAND_IN();
    mini m;
    mini_build(&m, &base, 13);
    for (long n = 1; n <= PN_CUDA_RING_BUFFERS; n++) {
        driver->n_pageable = 0;
        driver->fail_host_alloc = 2 + n; /* after the lists and what comes back */
        check_upload(&m, 2);
        assert_int_equal(driver->fail_host_alloc, 0);
        assert_true(driver->n_pageable > 8);
        assert_int_equal(driver->host_bytes, 0);
    }
    mini_free(&m);
}

static void test_stopping(void **state) {
    (void)state;
    mini m;
    puna_error err;
    mini_build(&m, &base, 14);
    for (int at = 1;; at++) {
        seen s = {.stop_at = at};
        pn_device *device;
        const puna_status status = open_card(&m, 2, &s, &device, &err);
        if (status == PUNA_OK) {
            pn_backend_cuda.close(device);
            assert_true(at > 8);
            break;
        }
        assert_int_equal(status, PUNA_E_CANCELLED);
        assert_int_equal(s.n_calls, at);
        assert_int_equal(driver->bytes + driver->host_bytes, 0);
        assert_int_equal(driver->n_contexts + driver->n_streams + driver->n_events, 0);
    }
    mini_free(&m);
}

static void test_planned(void **state) {
    (void)state;
    ONLY_STAND_IN();
    mini m;
    puna_error err;
    pn_device *device;
    pn_device_memory memory;
    mini_build(&m, &base, 15);
    const pn_device_config config = mini_config(&base);
    pn_backend_cuda.memory(&m.plan, &config, &memory);
    driver->host_peak = 0;
    assert_int_equal(open_card(&m, 2, NULL, &device, &err), PUNA_OK);
    assert_int_equal(driver->host_peak, memory.host_bytes);
    assert_true(device->sizes.ring <= (size_t)8 << 20);
    pn_backend_cuda.close(device);
    mini_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_experts),
        cmocka_unit_test(test_pageable), cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_planned),
    };
    return cmocka_run_group_tests(tests, find_driver, NULL);
}
