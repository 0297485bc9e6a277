/* cuda_device.c: one NVIDIA card as a backend: what it needs in bytes, opening and closing, pages.
 *
 * Every block is taken at open, with sizes that measure() computes from the plan alone. Blocks are
 * taken one by one, so that an access beyond one of them is seen by tools that look for it. */
#include "cuda/cuda_device.h"

#include "backend/kv_rows.h"
#include "base/mem.h"
#include "cuda/card.h"
#include "plan/rotation.h"

#include <stdio.h>
#include <string.h>

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t n_matrices(const pn_weight *w) {
    return w->n_expert > 0 ? (size_t)w->n_expert : 1;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Raises the buffers for activations to what n_rows rows for weight w take. */
static void measure_acts(const pn_weight *w, size_t n_rows, pn_cuda_sizes *s) {
    const pn_cuda_format *f = pn_cuda_format_get(w->format->id);
    if (!f || !f->is_codes) return;
    const size_t n = n_rows * (size_t)pn_cuda_groups((int32_t)w->n_in);
    s->acts_q[f->is_256] = max_size(s->acts_q[f->is_256], n * PN_CUDA_GROUP);
    s->acts_sums[f->is_256] = max_size(s->acts_sums[f->is_256], n * 16 * sizeof(int16_t));
    s->acts_d[f->is_256] = max_size(s->acts_d[f->is_256], n * (f->is_256 ? 1 : 8) * sizeof(float));
}

static size_t vector_bytes(const float *vector, size_t n) {
    return vector ? pn_round_up(n * sizeof(float), 16) : 0;
}

static void measure_moe(const pn_op *op, size_t n_batch, pn_cuda_sizes *s) {
    const size_t n_used = (size_t)op->moe.n_used, n_expert = (size_t)op->moe.n_expert;
    const size_t pairs = n_batch * n_used;
    measure_acts(op->router, n_batch, s);
    measure_acts(op->w[0], n_batch, s);
    measure_acts(op->w[1], n_batch, s);
    measure_acts(op->w[2], pairs, s);
    s->moe_scores = max_size(s->moe_scores, n_batch * n_expert * sizeof(float));
    s->moe_pairs = max_size(s->moe_pairs, pairs * sizeof(int32_t));
    s->moe_first = max_size(s->moe_first, (n_expert + 1) * sizeof(int32_t));
    s->moe_ff = max_size(s->moe_ff, pairs * (size_t)op->moe.n_ff * sizeof(float));
    s->moe_down = max_size(s->moe_down, pairs * (size_t)op->w[2]->n_out * sizeof(float));
}

static void measure_ops(const pn_plan *plan, size_t n_batch, pn_cuda_sizes *s) {
    for (int32_t i = 0; i < plan->n_ops; i++) {
        const pn_op *op = &plan->ops[i];
        s->vectors += vector_bytes(op->norm, (size_t)op->head_dim);
        for (int32_t k = 0; k < op->n_weights; k++)
            s->vectors += vector_bytes(op->bias[k], (size_t)op->w[k]->n_out);
        if (op->kind == PN_OP_MOE)
            measure_moe(op, n_batch, s);
        else if (op->kind == PN_OP_LINEAR || op->kind == PN_OP_LOGITS)
            for (int32_t k = 0; k < op->n_weights; k++) measure_acts(op->w[k], n_batch, s);
    }
}

pn_cuda_lists pn_cuda_lists_of(const pn_plan *plan, int32_t max_rot, int32_t n_rows) {
    const size_t rows = pn_round_up((size_t)n_rows * sizeof(int32_t), 16);
    pn_cuda_lists l = {
        .positions = rows, .seqs = 2 * rows, .outputs = 3 * rows, .logits = 4 * rows};
    size_t at = 5 * rows;
    for (int32_t i = 0; i < PN_CUDA_N_GROUP_SIZES; i++, at += 2 * rows) l.groups[i] = at;
    l.ropes = at;
    l.rope_bytes = pn_round_up((size_t)n_rows * (size_t)max_rot * sizeof(float), 16);
    l.tables = at + (size_t)plan->n_ropes * l.rope_bytes;
    return l;
}

static void measure_lists(const pn_plan *plan, const pn_device_config *c, pn_cuda_sizes *s) {
    s->max_rot = 2;
    for (int32_t r = 0; r < plan->n_ropes; r++)
        if (plan->ropes[r].n_rot > s->max_rot) s->max_rot = plan->ropes[r].n_rot;
    /* every sequence of a batch has a page of its own, to write to */
    s->n_tables = c->n_batch < c->n_pages ? c->n_batch : c->n_pages;
    s->table_width = (c->n_ctx + PN_PAGE_POSITIONS - 1) / PN_PAGE_POSITIONS;
    s->lists = pn_cuda_lists_of(plan, s->max_rot, c->n_batch).tables +
               (size_t)s->n_tables * (size_t)s->table_width * sizeof(int32_t);
}

static pn_cuda_sizes measure(const pn_plan *plan, const pn_device_config *c) {
    pn_cuda_sizes s = {0};
    for (int32_t i = 0; i < plan->n_weights; i++) {
        const pn_weight *w = plan->weights[i];
        const pn_cuda_format *f = pn_cuda_format_get(w->format->id);
        if (!f) continue;
        const size_t row = pn_cuda_row_bytes(f, (int32_t)w->n_in);
        const size_t bytes = n_matrices(w) * (size_t)w->n_out * row;
        s.weights += bytes;
        s.ring = max_size(s.ring, pn_cuda_ring_bytes(bytes, row));
    }
    const size_t n_batch = (size_t)c->n_batch;
    const size_t n_chunks = (size_t)pn_cuda_max_chunks(c->n_ctx);
    const size_t split = n_batch < PN_CUDA_SPLIT_ROWS ? n_batch : PN_CUDA_SPLIT_ROWS;
    for (int32_t i = 0; i < plan->n_attns; i++) {
        const pn_attention *a = &plan->attns[i];
        s.page += pn_kv_page_bytes_of(a, c->kv_type);
        s.partials = max_size(s.partials, split * (size_t)a->n_head * n_chunks *
                                              (size_t)(a->head_dim + 2) * sizeof(float));
    }
    s.kv = s.page * (size_t)c->n_pages;
    s.work = (size_t)plan->floats_per_row * n_batch * sizeof(float);
    s.logits = (size_t)plan->n_vocab * (size_t)c->n_logits * sizeof(float);
    measure_ops(plan, n_batch, &s);
    measure_lists(plan, c, &s);
    s.picks = pn_cuda_measure_picks(plan, c);
    return s;
}

static size_t handed_bytes(const pn_plan *plan, const pn_handed *handed, int32_t n,
                           int32_t n_batch) {
    size_t bytes = 0;
    for (int32_t i = 0; i < n; i++)
        bytes += (size_t)plan->values[handed[i].value].width * (size_t)n_batch * sizeof(float);
    return bytes;
}

/* What goes through: logits, a hidden state, one layer of a page, or the values that enter or leave. */
static size_t host_out_bytes(const pn_plan *plan, const pn_device_config *c,
                             const pn_cuda_sizes *s) {
    size_t most = max_size(s->logits, (size_t)plan->n_embd * sizeof(float));
    for (int32_t i = 0; i < plan->n_attns; i++)
        most = max_size(most, pn_kv_page_bytes_of(&plan->attns[i], c->kv_type));
    most = max_size(most, handed_bytes(plan, plan->entering, plan->n_entering, c->n_batch));
    most = max_size(most, handed_bytes(plan, plan->leaving, plan->n_leaving, c->n_batch));
    return most;
}

static void cuda_memory(const pn_plan *plan, const pn_device_config *config,
                        pn_device_memory *memory) {
    const pn_cuda_sizes s = measure(plan, config);
    *memory = (pn_device_memory){
        .weights_bytes = s.weights + s.vectors,
        .kv_bytes = s.kv,
        .kv_bytes_per_page = s.page,
        .activations_bytes = s.work + s.moe_scores + 4 * s.moe_pairs + s.moe_first + 2 * s.moe_ff +
                             s.moe_down + s.lists,
        .logits_bytes = s.logits + s.picks.bytes,
        .scratch_bytes = s.partials,
        .host_bytes = s.lists + s.picks.host_bytes + host_out_bytes(plan, config, &s) +
                      PN_CUDA_RING_BUFFERS * s.ring,
    };
    for (int32_t k = 0; k < 2; k++)
        memory->activations_bytes += s.acts_q[k] + s.acts_sums[k] + s.acts_d[k];
}

/* ---- open and close -------------------------------------------------------------------------- */

/* Addresses of the blocks that are not one per weight or layer, with their sizes. */
typedef struct block {
    uint64_t *address;
    size_t bytes;
} block;
enum { N_BLOCKS = 20 };

static void list_blocks(pn_device *dev, block blocks[N_BLOCKS]) {
    const pn_cuda_sizes *s = &dev->sizes;
    const block all[N_BLOCKS] = {
        {&dev->vectors, s->vectors},
        {&dev->work, s->work},
        {&dev->logits, s->logits},
        {&dev->partials, s->partials},
        {&dev->lists, s->lists},
        {&dev->picks, s->picks.bytes},
        {&dev->acts_q[0], s->acts_q[0]},
        {&dev->acts_q[1], s->acts_q[1]},
        {&dev->acts_sums[0], s->acts_sums[0]},
        {&dev->acts_sums[1], s->acts_sums[1]},
        {&dev->acts_d[0], s->acts_d[0]},
        {&dev->acts_d[1], s->acts_d[1]},
        {&dev->moe_scores, s->moe_scores},
        {&dev->moe_chosen, s->moe_pairs},
        {&dev->moe_weights, s->moe_pairs},
        {&dev->moe_places, s->moe_pairs},
        {&dev->moe_rows, s->moe_pairs},
        {&dev->moe_first, s->moe_first},
        {&dev->moe_gate, s->moe_ff},
        {&dev->moe_up, s->moe_ff},
    };
    memcpy(blocks, all, sizeof all);
}

static void give_back_memory(pn_device *dev) {
    const pn_cuda_driver *d = &dev->driver;
    block blocks[N_BLOCKS];
    list_blocks(dev, blocks);
    for (int32_t i = 0; i < N_BLOCKS; i++)
        if (*blocks[i].address) (void)d->free(*blocks[i].address);
    if (dev->moe_down) (void)d->free(dev->moe_down);
    for (int32_t i = 0; dev->weights && i < dev->plan->n_weights; i++)
        if (dev->weights[i].address) (void)d->free(dev->weights[i].address);
    for (int32_t i = 0; dev->kv && i < dev->plan->n_attns; i++)
        if (dev->kv[i]) (void)d->free(dev->kv[i]);
    if (dev->host_lists) (void)d->host_free(dev->host_lists);
    if (dev->host_picks) (void)d->host_free(dev->host_picks);
    if (dev->host_out) (void)d->host_free(dev->host_out);
}

static void cuda_close(pn_device *dev) {
    if (!dev) return;
    const pn_cuda_driver *d = &dev->driver;
    if (dev->has_context) {
        (void)d->context_set(dev->context);
        if (dev->stream) (void)d->stream_wait(dev->stream);
        pn_cuda_forget_graphs(dev);
        give_back_memory(dev);
        if (dev->stream) (void)d->stream_destroy(dev->stream);
        if (dev->module) (void)d->module_unload(dev->module);
        (void)d->context_set(NULL);
        (void)d->context_release(dev->ordinal_device);
    }
    pn_cuda_driver_close(&dev->driver);
    pn_free(dev->weights);
    pn_free(dev->ops);
    pn_free(dev->kv);
    pn_free(dev->rope_freqs);
    pn_free(dev->rope_magnitudes);
    pn_free(dev);
}

static puna_status take(pn_device *dev, uint64_t *address, size_t bytes, const char *what,
                        puna_error *err) {
    if (bytes == 0) return PUNA_OK;
    const int result = dev->driver.alloc(address, bytes);
    if (result == 0) return PUNA_OK;
    *address = 0;
    char doing[160];
    (void)snprintf(doing, sizeof doing, "%s: %.1f MiB for %s", dev->card.name,
                   (double)bytes / (1 << 20), what);
    return pn_cuda_check(&dev->driver, result, doing, err);
}

static puna_status take_host(pn_device *dev, unsigned char **memory, size_t bytes,
                             puna_error *err) {
    void *p = NULL;
    if (dev->driver.host_alloc(&p, bytes, 0) != 0)
        return pn_fail_nomem(err, bytes, "a buffer that the card copies from");
    *memory = p;
    return PUNA_OK;
}

static puna_status take_memory(pn_device *dev, puna_error *err) {
    const pn_plan *plan = dev->plan;
    block blocks[N_BLOCKS];
    list_blocks(dev, blocks);
    for (int32_t i = 0; i < plan->n_weights; i++) {
        pn_cuda_weight *w = &dev->weights[i];
        w->expert_bytes = (uint64_t)w->w->n_out * w->row_bytes;
        PN_TRY(
            take(dev, &w->address, (size_t)w->expert_bytes * n_matrices(w->w), "the weights", err));
    }
    for (int32_t i = 0; i < plan->n_attns; i++) {
        const size_t page = pn_kv_page_bytes_of(&plan->attns[i], dev->config.kv_type);
        PN_TRY(take(dev, &dev->kv[i], page * (size_t)dev->config.n_pages, "the KV cache", err));
    }
    for (int32_t i = 0; i < N_BLOCKS; i++)
        PN_TRY(take(dev, blocks[i].address, blocks[i].bytes, "the batch", err));
    PN_TRY(take(dev, &dev->moe_down, dev->sizes.moe_down, "the batch", err));
    PN_TRY(take_host(dev, &dev->host_lists, dev->sizes.lists, err));
    if (dev->sizes.picks.host_bytes > 0)
        PN_TRY(take_host(dev, &dev->host_picks, dev->sizes.picks.host_bytes, err));
    dev->host_out_bytes = host_out_bytes(plan, &dev->config, &dev->sizes);
    return take_host(dev, &dev->host_out, dev->host_out_bytes, err);
}

static puna_status find_kernel(pn_device *dev, void **kernel, const char *prefix, const char *name,
                               puna_error *err) {
    char symbol[64];
    (void)snprintf(symbol, sizeof symbol, "%s%s", prefix, name);
    const int result = dev->driver.module_function(kernel, dev->module, symbol);
    if (result == 0) return PUNA_OK;
    return pn_fail(err, PUNA_E_UNSUPPORTED, "puna was built without the kernel %s for the card",
                   symbol);
}

static puna_status find_kernels(pn_device *dev, puna_error *err) {
    static const char *const kv_names[] = {"F16", "F32", "Q8_0"}; /* ORDER pn_kv_type */
    const char *kv = kv_names[dev->config.kv_type];
    pn_cuda_kernels *k = &dev->kernels;
    PN_TRY(find_kernel(dev, &k->quantize, "pn_", "quantize", err));
    PN_TRY(find_kernel(dev, &k->glu, "pn_", "glu", err));
    PN_TRY(find_kernel(dev, &k->cap, "pn_", "cap", err));
    PN_TRY(find_kernel(dev, &k->select, "pn_", "select", err));
    PN_TRY(find_kernel(dev, &k->route, "pn_", "route", err));
    PN_TRY(find_kernel(dev, &k->group, "pn_", "group", err));
    PN_TRY(find_kernel(dev, &k->combine, "pn_", "combine", err));
    PN_TRY(find_kernel(dev, &k->attention_merge, "pn_", "attention_merge", err));
    PN_TRY(find_kernel(dev, &k->pick_blocks, "pn_", "pick_blocks", err));
    PN_TRY(find_kernel(dev, &k->pick, "pn_", "pick", err));
    PN_TRY(find_kernel(dev, &k->rows, "pn_rows_", kv, err));
    PN_TRY(find_kernel(dev, &k->attention_128, "pn_attention_128_", kv, err));
    PN_TRY(find_kernel(dev, &k->attention_256, "pn_attention_256_", kv, err));
    PN_TRY(find_kernel(dev, &k->attention_512, "pn_attention_512_", kv, err));
    for (int32_t i = 0; i < dev->plan->n_weights; i++) {
        pn_cuda_weight *w = &dev->weights[i];
        PN_TRY(find_kernel(dev, &w->few_1, "pn_few_1_", w->format->name, err));
        PN_TRY(find_kernel(dev, &w->few_8, "pn_few_8_", w->format->name, err));
        PN_TRY(find_kernel(dev, &w->embed, "pn_embed_", w->format->name, err));
        if (w->format->is_codes)
            PN_TRY(find_kernel(dev, &w->many, "pn_many_", w->format->name, err));
    }
    return PUNA_OK;
}

/* What the kernels cannot do makes opening fail, by name. */
static puna_status check_plan(const pn_plan *plan, puna_error *err) {
    for (int32_t i = 0; i < plan->n_weights; i++)
        if (!pn_cuda_format_get(plan->weights[i]->format->id))
            return pn_fail(err, PUNA_E_UNSUPPORTED, "%s is %s: there are no kernels for the card",
                           plan->weights[i]->name, plan->weights[i]->format->name);
    for (int32_t i = 0; i < plan->n_attns; i++)
        if (plan->attns[i].head_dim > PN_CUDA_MAX_HEAD)
            return pn_fail(err, PUNA_E_UNSUPPORTED,
                           "heads of %d dimensions: the kernels for the card go to %d",
                           plan->attns[i].head_dim, PN_CUDA_MAX_HEAD);
    for (int32_t i = 0; i < plan->n_ops; i++)
        if (plan->ops[i].kind == PN_OP_MOE && plan->ops[i].moe.n_used > PN_CUDA_MAX_USED)
            return pn_fail(err, PUNA_E_UNSUPPORTED,
                           "%d experts for every token: the kernels for the card go to %d",
                           plan->ops[i].moe.n_used, PN_CUDA_MAX_USED);
    return PUNA_OK;
}

static const pn_cuda_weight *find_weight(const pn_device *dev, const pn_weight *w) {
    for (int32_t i = 0; i < dev->plan->n_weights; i++)
        if (dev->plan->weights[i] == w) return &dev->weights[i];
    return NULL;
}

static uint64_t next_vector(uint64_t *at, const float *vector, size_t n) {
    const uint64_t address = vector ? *at : 0;
    *at += vector_bytes(vector, n);
    return address;
}

static void resolve_ops(pn_device *dev) {
    uint64_t at = dev->vectors;
    for (int32_t i = 0; i < dev->plan->n_ops; i++) {
        const pn_op *op = &dev->plan->ops[i];
        pn_cuda_op *own = &dev->ops[i];
        own->norm = next_vector(&at, op->norm, (size_t)op->head_dim);
        for (int32_t k = 0; k < op->n_weights; k++) {
            own->w[k] = find_weight(dev, op->w[k]);
            own->bias[k] = next_vector(&at, op->bias[k], (size_t)op->w[k]->n_out);
        }
        if (op->router) own->router = find_weight(dev, op->router);
    }
}

static puna_status take_lists(pn_device *dev, puna_error *err) {
    const pn_plan *plan = dev->plan;
    const size_t n_ropes = (size_t)plan->n_ropes + 1, pairs = (size_t)(dev->sizes.max_rot / 2);
    dev->weights = pn_calloc((size_t)plan->n_weights + 1, sizeof *dev->weights);
    dev->ops = pn_calloc((size_t)plan->n_ops, sizeof *dev->ops);
    dev->kv = pn_calloc((size_t)plan->n_attns + 1, sizeof *dev->kv);
    dev->rope_freqs = pn_calloc(n_ropes * pairs, sizeof *dev->rope_freqs);
    dev->rope_magnitudes = pn_calloc(n_ropes, sizeof *dev->rope_magnitudes);
    if (!dev->weights || !dev->ops || !dev->kv || !dev->rope_freqs || !dev->rope_magnitudes)
        return pn_fail_nomem(err, (size_t)plan->n_weights * sizeof *dev->weights, "the device");
    for (int32_t i = 0; i < plan->n_weights; i++) {
        pn_cuda_weight *w = &dev->weights[i];
        w->w = plan->weights[i];
        w->format = pn_cuda_format_get(w->w->format->id);
        w->row_bytes = pn_cuda_row_bytes(w->format, (int32_t)w->w->n_in);
    }
    for (int32_t r = 0; r < plan->n_ropes; r++)
        pn_rotation_init(&plan->ropes[r], dev->rope_freqs + (size_t)r * pairs,
                         &dev->rope_magnitudes[r]);
    return PUNA_OK;
}

static puna_status open_card(pn_device *dev, puna_error *err) {
    const pn_cuda_driver *d = &dev->driver;
    PN_TRY(pn_cuda_driver_open(&dev->driver, err));
    int32_t n_cards;
    PN_TRY(pn_cuda_count(d, &n_cards, err));
    PN_TRY(pn_cuda_look(d, dev->config.card, false, &dev->card, err));
    PN_TRY(pn_cuda_check(d, d->device_get(&dev->ordinal_device, dev->config.card),
                         "opening the card", err));
    PN_TRY(pn_cuda_check(d, d->context_retain(&dev->context, dev->ordinal_device),
                         "opening the card", err));
    dev->has_context = true;
    int result = d->context_set(dev->context);
    if (result == 0) result = d->stream_create(&dev->stream, 1 /* apart from the default one */);
    if (result != 0) return pn_cuda_check(d, result, "opening the card", err);
    return pn_cuda_load_kernels(d, &dev->card, &dev->module, err);
}

static puna_status init_device(pn_device *dev, puna_error *err) {
    PN_TRY(check_plan(dev->plan, err));
    dev->sizes = measure(dev->plan, &dev->config);
    PN_TRY(take_lists(dev, err));
    PN_TRY(open_card(dev, err));
    PN_TRY(find_kernels(dev, err));
    PN_TRY(take_memory(dev, err));
    resolve_ops(dev);
    return pn_cuda_upload(dev, err);
}

static puna_status cuda_open(const pn_plan *plan, const pn_device_config *config,
                             pn_device **device, puna_error *err) {
    pn_device *dev = pn_calloc(1, sizeof *dev);
    if (!dev) return pn_fail_nomem(err, sizeof *dev, "the device");
    dev->plan = plan;
    dev->config = *config;
    const puna_status status = init_device(dev, err);
    if (status != PUNA_OK) {
        cuda_close(dev);
        return status;
    }
    *device = dev;
    return PUNA_OK;
}

/* ---- batches and pages ----------------------------------------------------------------------- */

static puna_status enter(const pn_device *dev, puna_error *err) {
    return pn_cuda_check(&dev->driver, dev->driver.context_set(dev->context), "using the card",
                         err);
}

static puna_status wait(const pn_device *dev, const char *doing, puna_error *err) {
    return pn_cuda_check(&dev->driver, dev->driver.stream_wait(dev->stream), doing, err);
}

static uint64_t address_of(const pn_device *dev, pn_value v) {
    return dev->work +
           (uint64_t)dev->plan->values[v].offset * (uint64_t)dev->config.n_batch * sizeof(float);
}

/* Values that enter, one behind another through the buffer for what comes back: nothing else uses it
 * before they are there. */
static puna_status copy_entering(pn_device *dev, const pn_batch *batch, puna_error *err) {
    const pn_plan *plan = dev->plan;
    const size_t n_rows = (size_t)pn_rows_entering(plan, batch);
    size_t at = 0;
    for (int32_t i = 0; i < plan->n_entering; i++) {
        const pn_value v = plan->entering[i].value;
        const size_t bytes = n_rows * (size_t)plan->values[v].width * sizeof(float);
        memcpy(dev->host_out + at, batch->entering[i], bytes);
        PN_TRY(pn_cuda_check(
            &dev->driver,
            dev->driver.copy_in(address_of(dev, v), dev->host_out + at, bytes, dev->stream),
            "copying values to the card", err));
        at += bytes;
    }
    return PUNA_OK;
}

static puna_status copy_leaving(pn_device *dev, const pn_batch *batch, puna_error *err) {
    const pn_plan *plan = dev->plan;
    const size_t n_rows = (size_t)pn_rows_leaving(plan, batch);
    if (n_rows == 0) return PUNA_OK;
    for (int32_t i = 0; i < plan->n_leaving; i++) {
        const pn_value v = plan->leaving[i].value;
        const size_t bytes = n_rows * (size_t)plan->values[v].width * sizeof(float);
        PN_TRY(pn_cuda_check(
            &dev->driver,
            dev->driver.copy_out(dev->host_out, address_of(dev, v), bytes, dev->stream),
            "reading results from the card", err));
        PN_TRY(wait(dev, "computing a batch", err));
        memcpy(batch->leaving[i], dev->host_out, bytes);
    }
    return PUNA_OK;
}

static puna_status compute(pn_device *dev, const pn_batch *batch, puna_error *err) {
    PN_TRY(copy_entering(dev, batch, err));
    PN_TRY(pn_cuda_walk(dev, batch, err));
    PN_TRY(copy_leaving(dev, batch, err));
    return wait(dev, "computing a batch", err);
}

static puna_status cuda_run(pn_device *dev, const pn_batch *batch, puna_error *err) {
    if (batch->n_rows < 1 || batch->n_rows > dev->config.n_batch)
        return pn_fail(err, PUNA_E_ARG, "a batch of %d rows does not fit %d", batch->n_rows,
                       dev->config.n_batch);
    PN_TRY(enter(dev, err));
    size_t bytes;
    pn_cuda_fill_lists(dev, batch, &bytes);
    PN_TRY(pn_cuda_check(&dev->driver,
                         dev->driver.copy_in(dev->lists, dev->host_lists, bytes, dev->stream),
                         "copying a batch to the card", err));
    puna_status status = pn_cuda_send_picks(dev, batch, err);
    if (status == PUNA_OK) status = compute(dev, batch, err);
    if (status == PUNA_OK) return PUNA_OK;
    (void)dev->driver.stream_wait(dev->stream); /* nothing may run on when we return */
    return status;
}

static puna_status cuda_copy_page(pn_device *dev, int32_t from, int32_t to, puna_error *err) {
    PN_TRY(enter(dev, err));
    for (int32_t i = 0; i < dev->plan->n_attns; i++) {
        const size_t bytes = pn_kv_page_bytes_of(&dev->plan->attns[i], dev->config.kv_type);
        PN_TRY(
            pn_cuda_check(&dev->driver,
                          dev->driver.copy(dev->kv[i] + (uint64_t)to * bytes,
                                           dev->kv[i] + (uint64_t)from * bytes, bytes, dev->stream),
                          "copying a KV page", err));
    }
    return wait(dev, "copying a KV page", err);
}

/* Layer by layer through the buffer for what comes back. A page that is written keeps its other
 * positions. */
static puna_status move_page(pn_device *dev, int32_t page, int32_t n_positions, unsigned char *rows,
                             bool to_page, puna_error *err) {
    const pn_cuda_driver *d = &dev->driver;
    const char *doing = to_page ? "writing a KV page" : "reading a KV page";
    const size_t row_bytes = dev->sizes.page / PN_PAGE_POSITIONS;
    size_t at = 0;
    PN_TRY(enter(dev, err));
    for (int32_t i = 0; i < dev->plan->n_attns; i++) {
        const pn_attention *attn = &dev->plan->attns[i];
        const size_t bytes = pn_kv_page_bytes_of(attn, dev->config.kv_type);
        const uint64_t address = dev->kv[i] + (uint64_t)page * bytes;
        PN_TRY(
            pn_cuda_check(d, d->copy_out(dev->host_out, address, bytes, dev->stream), doing, err));
        PN_TRY(wait(dev, doing, err));
        for (size_t p = 0; p < (size_t)n_positions; p++)
            pn_kv_move_position(attn, dev->config.kv_type, dev->host_out, p,
                                rows + p * row_bytes + at, to_page);
        if (to_page) {
            PN_TRY(pn_cuda_check(d, d->copy_in(address, dev->host_out, bytes, dev->stream), doing,
                                 err));
            PN_TRY(wait(dev, doing, err));
        }
        at += bytes / PN_PAGE_POSITIONS;
    }
    return PUNA_OK;
}

static puna_status cuda_read_page(pn_device *dev, int32_t page, int32_t n_positions, void *rows,
                                  puna_error *err) {
    return move_page(dev, page, n_positions, rows, false, err);
}

static puna_status cuda_write_page(pn_device *dev, int32_t page, int32_t n_positions,
                                   const void *rows, puna_error *err) {
    return move_page(dev, page, n_positions, (unsigned char *)(uintptr_t)rows, true, err);
}

const pn_backend pn_backend_cuda = {
    .name = "cuda",
    .memory = cuda_memory,
    .open = cuda_open,
    .close = cuda_close,
    .run = cuda_run,
    .copy_page = cuda_copy_page,
    .read_page = cuda_read_page,
    .write_page = cuda_write_page,
};
