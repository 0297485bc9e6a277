/* device.c: the CPU as a backend: memory, and running a batch on the thread team.
 *
 * All memory is taken at open, one aligned block per purpose, with sizes that pn_cpu_layout
 * computes from the plan alone: what `memory` promises is what `open` takes. */
#include "cpu/device.h"

#include "base/mem.h"

#include <string.h>

#define ALIGNMENT ((size_t)64)

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Raises the layout's shared buffers to what weight w needs. */
static void layout_weight(const pn_kernels *k, const pn_weight *w, int32_t n_rows,
                          pn_cpu_layout *out) {
    const int32_t n_in = (int32_t)w->n_in;
    out->acts_bytes = max_size(out->acts_bytes, k->acts_bytes(n_in, n_rows));
    out->thread_bytes =
        max_size(out->thread_bytes, pn_round_up(k->matmul_scratch_bytes(n_in, n_rows), ALIGNMENT));
}

static int32_t largest_rotation(const pn_plan *plan) {
    int32_t n = 2;
    for (int32_t r = 0; r < plan->n_ropes; r++)
        if (plan->ropes[r].n_rot > n) n = plan->ropes[r].n_rot;
    return n;
}

static pn_cpu_layout compute_layout(const pn_plan *plan, const pn_device_config *c,
                                    const pn_kernels *k) {
    pn_cpu_layout out = {0};
    for (int32_t i = 0; i < plan->n_attns; i++) {
        out.page_bytes += k->kv_page_bytes(&plan->attns[i], c->kv_type);
        out.attn_bytes =
            max_size(out.attn_bytes, k->attn_scratch_bytes(&plan->attns[i], c->n_batch, c->n_ctx));
    }
    out.kv_bytes = out.page_bytes * (size_t)c->n_pages;
    out.work_bytes = (size_t)plan->floats_per_row * (size_t)c->n_batch * sizeof(float);
    out.logits_bytes = (size_t)plan->n_vocab * (size_t)c->n_logits * sizeof(float);
    for (int32_t i = 0; i < plan->n_ops; i++) {
        const pn_op *op = &plan->ops[i];
        if (op->kind == PN_OP_EMBED) continue;
        for (int32_t w = 0; w < op->n_weights; w++) layout_weight(k, op->w[w], c->n_batch, &out);
        if (op->router) layout_weight(k, op->router, c->n_batch, &out);
    }
    const size_t max_rot = (size_t)largest_rotation(plan), n_ropes = (size_t)plan->n_ropes;
    out.rope_bytes =
        pn_round_up(n_ropes * (size_t)c->n_batch * max_rot * sizeof(float), ALIGNMENT) +
        pn_round_up(n_ropes * max_rot / 2 * sizeof(double), ALIGNMENT) + n_ropes * sizeof(float);
    out.moe_bytes = pn_cpu_moe_bytes(plan, c->n_batch);
    return out;
}

static void cpu_memory(const pn_plan *plan, const pn_device_config *config,
                       pn_device_memory *memory) {
    const pn_cpu_layout l = compute_layout(plan, config, pn_kernels_best());
    *memory = (pn_device_memory){
        .kv_bytes = l.kv_bytes,
        .kv_bytes_per_page = l.page_bytes,
        .activations_bytes = l.work_bytes + l.acts_bytes + l.rope_bytes + l.moe_bytes,
        .logits_bytes = l.logits_bytes,
        .scratch_bytes = l.attn_bytes + l.thread_bytes * (size_t)config->n_threads,
    };
}

static void cpu_close(pn_device *dev) {
    if (!dev) return;
    pn_team_close(dev->team);
    void *blocks[] = {dev->kv,      dev->work,         dev->logits, dev->acts,
                      dev->scratch, dev->attn_scratch, dev->rope,   dev->moe};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) pn_free_aligned(blocks[i]);
    pn_free(dev->kv_offsets);
    pn_free(dev->kv_page_bytes);
    pn_free(dev);
}

static puna_status take(void *block, size_t bytes, const char *what, puna_error *err) {
    void *p = pn_alloc_aligned(bytes ? bytes : 1, ALIGNMENT);
    if (!p) return pn_fail_nomem(err, bytes, what);
    memcpy(block, &p, sizeof p);
    return PUNA_OK;
}

static puna_status take_all(pn_device *dev, puna_error *err) {
    const pn_cpu_layout *l = &dev->layout;
    PN_TRY(take(&dev->kv, l->kv_bytes, "the KV cache", err));
    PN_TRY(take(&dev->work, l->work_bytes, "the workspace", err));
    PN_TRY(take(&dev->logits, l->logits_bytes, "the logits", err));
    PN_TRY(take(&dev->acts, l->acts_bytes, "packed activations", err));
    PN_TRY(take(&dev->scratch, l->thread_bytes * (size_t)dev->config.n_threads, "thread scratch",
                err));
    PN_TRY(take(&dev->attn_scratch, l->attn_bytes, "attention scratch", err));
    PN_TRY(take(&dev->rope, l->rope_bytes, "rotation tables", err));
    return take(&dev->moe, l->moe_bytes, "expert routing", err);
}

static puna_status init_device(pn_device *dev, puna_error *err) {
    const pn_plan *plan = dev->plan;
    const size_t n = (size_t)plan->n_attns + 1;
    dev->kv_offsets = pn_calloc(n, sizeof(size_t));
    dev->kv_page_bytes = pn_calloc(n, sizeof(size_t));
    if (!dev->kv_offsets || !dev->kv_page_bytes)
        return pn_fail_nomem(err, n * sizeof(size_t), "the KV cache");
    size_t at = 0;
    for (int32_t i = 0; i < plan->n_attns; i++) {
        dev->kv_page_bytes[i] = dev->kernels->kv_page_bytes(&plan->attns[i], dev->config.kv_type);
        dev->kv_offsets[i] = at;
        at += dev->kv_page_bytes[i] * (size_t)dev->config.n_pages;
    }
    PN_TRY(take_all(dev, err));
    dev->max_rot = largest_rotation(plan);
    const size_t tables =
        (size_t)plan->n_ropes * (size_t)dev->config.n_batch * (size_t)dev->max_rot * sizeof(float);
    unsigned char *freqs = (unsigned char *)dev->rope + pn_round_up(tables, ALIGNMENT);
    const size_t freqs_bytes = (size_t)plan->n_ropes * (size_t)dev->max_rot / 2 * sizeof(double);
    dev->rope_freqs = (double *)(void *)freqs;
    dev->rope_magnitudes = (float *)(void *)(freqs + pn_round_up(freqs_bytes, ALIGNMENT));
    pn_cpu_rope_init(dev);
    return pn_team_open(dev->config.n_threads, &dev->team, err);
}

static puna_status cpu_open(const pn_plan *plan, const pn_device_config *config, pn_device **device,
                            puna_error *err) {
    pn_device *dev = pn_calloc(1, sizeof *dev);
    if (!dev) return pn_fail_nomem(err, sizeof *dev, "the device");
    dev->plan = plan;
    dev->config = *config;
    dev->kernels = pn_kernels_best();
    dev->layout = compute_layout(plan, config, dev->kernels);
    const puna_status status = init_device(dev, err);
    if (status != PUNA_OK) {
        cpu_close(dev);
        return status;
    }
    *device = dev;
    return PUNA_OK;
}

static void copy_entering(pn_device *dev, const pn_batch *batch) {
    const size_t n_rows = (size_t)pn_rows_entering(dev->plan, batch);
    for (int32_t i = 0; i < dev->plan->n_entering; i++) {
        const pn_value v = dev->plan->entering[i].value;
        memcpy(pn_cpu_value(dev, v), batch->entering[i],
               n_rows * (size_t)pn_cpu_width(dev, v) * sizeof(float));
    }
}

static void copy_leaving(const pn_device *dev, const pn_batch *batch) {
    const size_t n_rows = (size_t)pn_rows_leaving(dev->plan, batch);
    for (int32_t i = 0; i < dev->plan->n_leaving; i++) {
        const pn_value v = dev->plan->leaving[i].value;
        memcpy(batch->leaving[i], pn_cpu_value(dev, v),
               n_rows * (size_t)pn_cpu_width(dev, v) * sizeof(float));
    }
}

static puna_status cpu_run(pn_device *dev, const pn_batch *batch, puna_error *err) {
    if (batch->n_rows < 1 || batch->n_rows > dev->config.n_batch)
        return pn_fail(err, PUNA_E_ARG, "a batch of %d rows does not fit %d", batch->n_rows,
                       dev->config.n_batch);
    copy_entering(dev, batch);
    dev->batch = batch;
    dev->stop[0] = dev->stop[1] = false;
    pn_team_run(dev->team, pn_cpu_walk, dev);
    dev->batch = NULL;
    if (dev->stop[0] || dev->stop[1]) return pn_fail(err, PUNA_E_CANCELLED, "cancelled");
    copy_leaving(dev, batch);
    return PUNA_OK;
}

static puna_status cpu_copy_page(pn_device *dev, int32_t from, int32_t to, puna_error *err) {
    (void)err;
    for (int32_t i = 0; i < dev->plan->n_attns; i++) {
        unsigned char *pages = dev->kv + dev->kv_offsets[i];
        const size_t bytes = dev->kv_page_bytes[i];
        memcpy(pages + (size_t)to * bytes, pages + (size_t)from * bytes, bytes);
    }
    return PUNA_OK;
}

const pn_backend pn_backend_cpu = {
    .name = "cpu",
    .memory = cpu_memory,
    .open = cpu_open,
    .close = cpu_close,
    .run = cpu_run,
    .copy_page = cpu_copy_page,
    .read_page = pn_cpu_read_page,
    .write_page = pn_cpu_write_page,
};
