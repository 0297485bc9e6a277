/* walk.c: a plan on the card: one or a few kernels for each operation, in one stream. The host hands them over
 * without waiting; it waits where values come back, and at every layer when someone wants to see progress.
 *
 * Each output element has one formula and order (the kernels say which), so how the work is cut into blocks,
 * and which rows share a batch, never changes a bit. */
#include "cuda/cuda_device.h"

#include "plan/rotation.h"

#include <string.h>

typedef struct walk {
    pn_device *dev;
    const pn_batch *batch;
    int32_t n_rows;   /* of the values now */
    int32_t n_chunks; /* of the longest context when attention is split, else 0 */
    int32_t n_groups[PN_CUDA_N_GROUP_SIZES];
} walk;

/* ---- lists ---- */

static int32_t *list_at(const pn_device *dev, size_t offset) {
    return (int32_t *)(void *)(dev->host_lists + offset);
}

/* Rows of one sequence in groups of at most `size`; [group][2]: first row, number of rows. */
static int32_t find_groups(const pn_batch *batch, int32_t size, int32_t *groups) {
    int32_t n = 0;
    for (int32_t row = 0; row < batch->n_rows;) {
        int32_t end = row + 1;
        while (end < batch->n_rows && end - row < size && batch->seqs[end] == batch->seqs[row])
            end++;
        if (groups) {
            groups[2 * n] = row;
            groups[2 * n + 1] = end - row;
        }
        n++;
        row = end;
    }
    return n;
}

/* Numbers the sequences of the batch and copies the part of their page tables that is read. */
static size_t fill_tables(pn_device *dev, const pn_batch *batch) {
    int32_t *seqs = list_at(dev, dev->sizes.lists.seqs);
    int32_t *tables = list_at(dev, dev->sizes.lists.tables);
    const size_t width = (size_t)dev->sizes.table_width;
    int32_t n = 0;
    for (int32_t row = 0; row < batch->n_rows; row++) {
        if (row > 0 && batch->seqs[row] == batch->seqs[row - 1]) {
            seqs[row] = n - 1;
            continue;
        }
        int32_t last = row;
        while (last + 1 < batch->n_rows && batch->seqs[last + 1] == batch->seqs[row]) last++;
        const size_t n_pages = (size_t)(batch->positions[last] / PN_PAGE_POSITIONS) + 1;
        memcpy(tables + (size_t)n * width, batch->pages[batch->seqs[row]],
               n_pages * sizeof(int32_t));
        seqs[row] = n++;
    }
    return (size_t)n * width * sizeof(int32_t);
}

void pn_cuda_fill_lists(pn_device *dev, const pn_batch *batch, size_t *bytes) {
    const pn_cuda_lists *l = &dev->sizes.lists;
    const pn_plan *plan = dev->plan;
    const size_t n = (size_t)batch->n_rows * sizeof(int32_t);
    memcpy(list_at(dev, l->tokens), batch->tokens, n);
    memcpy(list_at(dev, l->positions), batch->positions, n);
    if (batch->n_outputs > 0)
        memcpy(list_at(dev, l->outputs), batch->output_rows,
               (size_t)batch->n_outputs * sizeof(int32_t));
    if (batch->n_logits > 0)
        memcpy(list_at(dev, l->logits), batch->logit_outputs,
               (size_t)batch->n_logits * sizeof(int32_t));
    for (int32_t i = 0; i < PN_CUDA_N_GROUP_SIZES; i++)
        (void)find_groups(batch, PN_CUDA_QUERIES >> i, list_at(dev, l->groups[i]));
    const size_t max_rot = (size_t)dev->sizes.max_rot;
    for (int32_t r = 0; r < plan->n_ropes; r++) {
        /* rows of n_rot floats, one table per rope */
        float *table = (float *)(void *)(dev->host_lists + l->ropes) +
                       (size_t)r * (size_t)dev->config.n_batch * max_rot;
        for (int32_t row = 0; row < batch->n_rows; row++)
            pn_rotation_row(&plan->ropes[r], dev->rope_freqs + (size_t)r * (max_rot / 2),
                            dev->rope_magnitudes[r], batch->positions[row],
                            table + (size_t)row * (size_t)plan->ropes[r].n_rot);
    }
    *bytes = l->tables + fill_tables(dev, batch);
}

/* ---- launching ---- */

static puna_status launch(const walk *w, void *kernel, const uint32_t grid[3], size_t shared_bytes,
                          const void *args, const pn_op *op, puna_error *err) {
    const pn_device *dev = w->dev;
    void *parameters[] = {(void *)(uintptr_t)args};
    const int result = dev->driver.launch(kernel, grid[0], grid[1], grid[2], PN_CUDA_BLOCK, 1, 1,
                                          (unsigned)shared_bytes, dev->stream, parameters, NULL);
    return result == 0 ? PUNA_OK : pn_cuda_check(&dev->driver, result, pn_op_name(op->kind), err);
}

static uint32_t blocks_of(size_t n, size_t per_block) {
    return (uint32_t)((n + per_block - 1) / per_block);
}

static uint64_t value_at(const walk *w, pn_value v) {
    return w->dev->work + (uint64_t)w->dev->plan->values[v].offset *
                              (uint64_t)w->dev->config.n_batch * sizeof(float);
}

static int32_t width_of(const walk *w, pn_value v) {
    return w->dev->plan->values[v].width;
}

static const int32_t *list_on_card(const walk *w, size_t offset) {
    return pn_cuda_pointer(w->dev->lists + offset);
}

/* ---- matrix products ---- */

/* Rows of x as int8 for those of the n weights that want it. */
static puna_status quantize(const walk *w, const pn_op *op, uint64_t x, int32_t n_rows,
                            const pn_cuda_weight *const *weights, int32_t n, puna_error *err) {
    for (int32_t k = 0; k < 2; k++) {
        bool wanted = false;
        for (int32_t i = 0; i < n; i++)
            wanted = wanted || (weights[i]->format->is_codes && weights[i]->format->is_256 == k);
        if (!wanted) continue;
        const int32_t n_in = (int32_t)weights[0]->w->n_in;
        const pn_cuda_quantize_args args = {.x = pn_cuda_pointer(x),
                                            .acts = pn_cuda_acts_of(w->dev, k == 1),
                                            .n_in = n_in,
                                            .n_rows = n_rows,
                                            .is_256 = k};
        const size_t units = (size_t)n_rows * (size_t)pn_cuda_groups(n_in);
        const uint32_t grid[3] = {blocks_of(units, PN_CUDA_BLOCK / 32), 1, 1};
        PN_TRY(launch(w, w->dev->kernels.quantize, grid, 0, &args, op, err));
    }
    return PUNA_OK;
}

/* One product. args has rows, first, bias, out, n_rows and x; with experts n_rows is the most that one
 * can have. Which kernel computes it changes the speed and nothing else. */
static puna_status product(const walk *w, const pn_op *op, const pn_cuda_weight *weight,
                           pn_cuda_linear_args *args, int32_t n_matrices, puna_error *err) {
    const bool is_codes = weight->format->is_codes;
    const size_t n_rows = (size_t)args->n_rows, n_out = (size_t)weight->w->n_out;
    args->weights = pn_cuda_pointer(weight->address);
    args->expert_bytes = weight->expert_bytes;
    args->acts = pn_cuda_acts_of(w->dev, weight->format->is_256);
    args->n_in = (int32_t)weight->w->n_in;
    args->n_out = args->ld_out = (int32_t)n_out;
    const size_t per_block = is_codes ? PN_CUDA_FEW_WARPS : PN_CUDA_FLOAT_ROWS;
    uint32_t grid[3] = {blocks_of(n_out, per_block), 1, (uint32_t)n_matrices};
    if (n_rows == 1)
        return launch(w, weight->few_1, grid, is_codes ? PN_CUDA_FEW_BYTES(1) : 0, args, op, err);
    if (n_rows <= PN_CUDA_FEW || !is_codes) {
        grid[1] = blocks_of(n_rows, PN_CUDA_FEW);
        return launch(w, weight->few_8, grid, is_codes ? PN_CUDA_FEW_BYTES(PN_CUDA_FEW) : 0, args,
                      op, err);
    }
    grid[0] = blocks_of(n_out, PN_CUDA_MANY_ROWS);
    grid[1] = blocks_of(n_rows, PN_CUDA_MANY_COLUMNS);
    return launch(w, weight->many, grid, PN_CUDA_MANY_BYTES, args, op, err);
}

static puna_status linear(const walk *w, const pn_op *op, const pn_cuda_op *own, puna_error *err) {
    const uint64_t x = value_at(w, op->in[0]);
    PN_TRY(quantize(w, op, x, w->n_rows, own->w, op->n_weights, err));
    for (int32_t k = 0; k < op->n_weights; k++) {
        pn_cuda_linear_args args = {.x = pn_cuda_pointer(x),
                                    .bias = pn_cuda_pointer(own->bias[k]),
                                    .out = pn_cuda_pointer(value_at(w, op->out[k])),
                                    .n_rows = w->n_rows};
        PN_TRY(product(w, op, own->w[k], &args, 1, err));
    }
    return PUNA_OK;
}

/* ---- rows ---- */

static puna_status embed(const walk *w, const pn_op *op, const pn_cuda_op *own, puna_error *err) {
    const pn_cuda_embed_args args = {
        .table = pn_cuda_pointer(own->w[0]->address),
        .tokens = list_on_card(w, w->dev->sizes.lists.tokens),
        .out = pn_cuda_pointer(value_at(w, op->out[0])),
        .n_in = (int32_t)op->w[0]->n_in,
        .scale = op->scale,
    };
    const uint32_t grid[3] = {blocks_of((size_t)args.n_in, PN_CUDA_BLOCK), (uint32_t)w->n_rows, 1};
    return launch(w, own->w[0]->embed, grid, 0, &args, op, err);
}

static puna_status norm(const walk *w, const pn_op *op, const pn_cuda_op *own, puna_error *err) {
    const pn_cuda_norm_args args = {
        .x = pn_cuda_pointer(value_at(w, op->in[0])),
        .weight = pn_cuda_pointer(own->norm),
        .out = pn_cuda_pointer(value_at(w, op->out[0])),
        .n = op->head_dim,
        .eps = op->eps,
    };
    const int32_t n_groups = width_of(w, op->in[0]) / op->head_dim;
    const uint32_t grid[3] = {(uint32_t)w->n_rows * (uint32_t)n_groups, 1, 1};
    return launch(w, w->dev->kernels.norm, grid, sizeof(float), &args, op, err);
}

static puna_status rotate(const walk *w, const pn_op *op, puna_error *err) {
    const pn_device *dev = w->dev;
    const pn_rope *rope = &dev->plan->ropes[op->rope];
    const size_t table =
        (size_t)op->rope * (size_t)dev->config.n_batch * (size_t)dev->sizes.max_rot * sizeof(float);
    const pn_cuda_rope_args args = {
        .x = pn_cuda_pointer(value_at(w, op->in[0])),
        .cos_sin = pn_cuda_pointer(dev->lists + dev->sizes.lists.ropes + table),
        .n_rows = w->n_rows,
        .n_head = width_of(w, op->in[0]) / op->head_dim,
        .head_dim = op->head_dim,
        .n_rot = rope->n_rot,
        .is_neox = rope->neox,
    };
    const size_t n = (size_t)args.n_rows * (size_t)args.n_head * (size_t)(rope->n_rot / 2);
    const uint32_t grid[3] = {blocks_of(n, PN_CUDA_BLOCK), 1, 1};
    return launch(w, dev->kernels.rope, grid, 0, &args, op, err);
}

/* Over n floats: out = a with b. */
static puna_status map(const walk *w, const pn_op *op, void *kernel, uint64_t a, uint64_t b,
                       uint64_t out, size_t n, puna_error *err) {
    const pn_cuda_map_args args = {.a = pn_cuda_pointer(a),
                                   .b = pn_cuda_pointer(b),
                                   .out = pn_cuda_pointer(out),
                                   .n = n,
                                   .act = (int32_t)(op->kind == PN_OP_MOE ? op->moe.act : op->act),
                                   .scale = op->scale,
                                   .softcap = op->softcap};
    const uint32_t grid[3] = {blocks_of(n, PN_CUDA_BLOCK), 1, 1};
    return launch(w, kernel, grid, 0, &args, op, err);
}

static puna_status map_values(const walk *w, const pn_op *op, void *kernel, puna_error *err) {
    const size_t n = (size_t)w->n_rows * (size_t)width_of(w, op->in[0]);
    return map(w, op, kernel, value_at(w, op->in[0]), value_at(w, op->in[1]),
               value_at(w, op->out[0]), n, err);
}

static puna_status select_rows(walk *w, const pn_op *op, puna_error *err) {
    const pn_cuda_select_args args = {
        .x = pn_cuda_pointer(value_at(w, op->in[0])),
        .rows = list_on_card(w, w->dev->sizes.lists.outputs),
        .out = pn_cuda_pointer(value_at(w, op->out[0])),
        .width = width_of(w, op->in[0]),
    };
    w->n_rows = w->batch->n_outputs;
    const uint32_t grid[3] = {(uint32_t)w->n_rows, 1, 1};
    return launch(w, w->dev->kernels.select, grid, 0, &args, op, err);
}

/* ---- attention ---- */

static pn_cuda_kv kv_of(const walk *w, const pn_op *op) {
    const pn_device *dev = w->dev;
    const pn_attention *attn = &dev->plan->attns[op->kv_layer];
    return (pn_cuda_kv){
        .pages = pn_cuda_pointer(dev->kv[op->kv_layer]),
        .page_bytes = pn_kv_page_bytes_of(attn, dev->config.kv_type),
        .tables = list_on_card(w, dev->sizes.lists.tables),
        .seqs = list_on_card(w, dev->sizes.lists.seqs),
        .positions = list_on_card(w, dev->sizes.lists.positions),
        .table_width = dev->sizes.table_width,
        .n_head = attn->n_head,
        .n_head_kv = attn->n_head_kv,
        .head_dim = attn->head_dim,
    };
}

static puna_status store(const walk *w, const pn_op *op, puna_error *err) {
    const pn_cuda_kv_store_args args = {
        .kv = kv_of(w, op),
        .k = pn_cuda_pointer(value_at(w, op->in[0])),
        .v = pn_cuda_pointer(value_at(w, op->in[1])),
    };
    const uint32_t grid[3] = {(uint32_t)w->n_rows, (uint32_t)args.kv.n_head_kv, 1};
    return launch(w, w->dev->kernels.kv_store, grid, 0, &args, op, err);
}

static puna_status attend(const walk *w, const pn_op *op, puna_error *err) {
    const pn_device *dev = w->dev;
    const pn_attention *attn = &dev->plan->attns[op->kv_layer];
    const int32_t heads_per_kv = attn->n_head / attn->n_head_kv;
    const int32_t per_block = heads_per_kv < PN_CUDA_QUERIES ? heads_per_kv : PN_CUDA_QUERIES;
    int32_t size = 0; /* rows of a group: 8 >> size of them times per_block heads are 8 queries */
    while ((PN_CUDA_QUERIES >> size) * per_block > PN_CUDA_QUERIES) size++;
    const pn_cuda_attention_args args = {
        .kv = kv_of(w, op),
        .q = pn_cuda_pointer(value_at(w, op->in[0])),
        .out = pn_cuda_pointer(value_at(w, op->out[0])),
        .partials = pn_cuda_pointer(dev->partials),
        .groups = list_on_card(w, dev->sizes.lists.groups[size]),
        .heads_per_block = per_block,
        .blocks_per_kv = (heads_per_kv + per_block - 1) / per_block,
        .n_chunks = w->n_chunks,
        .window = attn->window,
        .scale = attn->scale,
        .softcap = attn->softcap,
    };
    const uint32_t grid[3] = {(uint32_t)w->n_groups[size],
                              (uint32_t)(attn->n_head_kv * args.blocks_per_kv),
                              w->n_chunks > 0 ? (uint32_t)w->n_chunks : 1};
    void *kernel = attn->head_dim <= 128   ? dev->kernels.attention_128
                   : attn->head_dim <= 256 ? dev->kernels.attention_256
                                           : dev->kernels.attention_512;
    PN_TRY(launch(w, kernel, grid, PN_CUDA_ATTENTION_BYTES, &args, op, err));
    if (w->n_chunks == 0) return PUNA_OK;
    const pn_cuda_merge_args merge = {.partials = args.partials,
                                      .out = args.out,
                                      .positions = args.kv.positions,
                                      .n_head = attn->n_head,
                                      .head_dim = attn->head_dim,
                                      .n_chunks = w->n_chunks,
                                      .window = attn->window};
    const uint32_t merge_grid[3] = {(uint32_t)w->n_rows, (uint32_t)attn->n_head, 1};
    return launch(w, dev->kernels.attention_merge, merge_grid, 0, &merge, op, err);
}

/* ---- experts ---- */

static puna_status experts(const walk *w, const pn_op *op, const pn_cuda_op *own, puna_error *err) {
    const pn_device *dev = w->dev;
    const pn_cuda_kernels *k = &dev->kernels;
    const uint64_t x = value_at(w, op->in[0]);
    const int32_t n_pairs = w->n_rows * op->moe.n_used, n_embd = width_of(w, op->in[0]);
    const pn_cuda_weight *const readers[3] = {own->router, own->w[0], own->w[1]};
    PN_TRY(quantize(w, op, x, w->n_rows, readers, 3, err));
    pn_cuda_linear_args args = {
        .x = pn_cuda_pointer(x), .out = pn_cuda_pointer(dev->moe_scores), .n_rows = w->n_rows};
    PN_TRY(product(w, op, own->router, &args, 1, err));

    const pn_cuda_route_args route = {
        .scores = pn_cuda_pointer(dev->moe_scores),
        .chosen = pn_cuda_pointer(dev->moe_chosen),
        .weights = pn_cuda_pointer(dev->moe_weights),
        .places = pn_cuda_pointer(dev->moe_places),
        .rows = pn_cuda_pointer(dev->moe_rows),
        .first = pn_cuda_pointer(dev->moe_first),
        .n_rows = w->n_rows,
        .n_expert = op->moe.n_expert,
        .n_used = op->moe.n_used,
        .norm_weights = op->moe.norm_weights,
        .weight_scale = op->moe.weight_scale,
    };
    const uint32_t route_grid[3] = {blocks_of((size_t)w->n_rows, PN_CUDA_BLOCK / 32), 1, 1};
    const uint32_t one[3] = {1, 1, 1};
    PN_TRY(launch(w, k->route, route_grid, PN_CUDA_ROUTE_BYTES, &route, op, err));
    PN_TRY(launch(w, k->group, one, 0, &route, op, err));

    const uint64_t hidden[2] = {dev->moe_gate, dev->moe_up};
    for (int32_t i = 0; i < 2; i++) {
        args = (pn_cuda_linear_args){.x = pn_cuda_pointer(x),
                                     .rows = route.rows,
                                     .first = route.first,
                                     .out = pn_cuda_pointer(hidden[i]),
                                     .n_rows = w->n_rows};
        PN_TRY(product(w, op, own->w[i], &args, op->moe.n_expert, err));
    }
    PN_TRY(map(w, op, k->glu, dev->moe_gate, dev->moe_up, dev->moe_gate,
               (size_t)n_pairs * (size_t)op->moe.n_ff, err));
    PN_TRY(quantize(w, op, dev->moe_gate, n_pairs, &own->w[2], 1, err));
    args = (pn_cuda_linear_args){.x = pn_cuda_pointer(dev->moe_gate),
                                 .first = route.first,
                                 .out = pn_cuda_pointer(dev->moe_down),
                                 .n_rows = w->n_rows};
    PN_TRY(product(w, op, own->w[2], &args, op->moe.n_expert, err));
    const pn_cuda_combine_args combine = {.parts = pn_cuda_pointer(dev->moe_down),
                                          .places = route.places,
                                          .weights = route.weights,
                                          .out = pn_cuda_pointer(value_at(w, op->out[0])),
                                          .n_used = op->moe.n_used,
                                          .width = n_embd};
    const uint32_t grid[3] = {blocks_of((size_t)n_embd, PN_CUDA_BLOCK), (uint32_t)w->n_rows, 1};
    return launch(w, k->combine, grid, 0, &combine, op, err);
}

/* ---- what comes back ---- */

static puna_status read_back(const walk *w, uint64_t from, size_t bytes, puna_error *err) {
    const pn_device *dev = w->dev;
    int result = dev->driver.copy_out(dev->host_out, from, bytes, dev->stream);
    if (result == 0) result = dev->driver.stream_wait(dev->stream);
    return pn_cuda_check(&dev->driver, result, "reading results from the card", err);
}

static puna_status hand_out_hidden(const walk *w, const pn_op *op, puna_error *err) {
    const pn_batch *b = w->batch;
    const size_t row_bytes = (size_t)width_of(w, op->in[0]) * sizeof(float);
    for (int32_t i = 0; i < b->n_hidden; i++) {
        const uint64_t from = value_at(w, op->in[0]) + (uint64_t)b->hidden_outputs[i] * row_bytes;
        PN_TRY(read_back(w, from, row_bytes, err));
        b->on_hidden(b->user, b->output_rows[b->hidden_outputs[i]],
                     (const float *)(const void *)w->dev->host_out);
    }
    return PUNA_OK;
}

static puna_status logits(const walk *w, const pn_op *op, const pn_cuda_op *own, puna_error *err) {
    const pn_device *dev = w->dev;
    const pn_batch *b = w->batch;
    const size_t n_vocab = (size_t)dev->plan->n_vocab;
    const uint64_t x = value_at(w, op->in[0]);
    PN_TRY(hand_out_hidden(w, op, err));
    if (b->n_logits > 0) PN_TRY(quantize(w, op, x, w->n_rows, own->w, 1, err));
    for (int32_t at = 0; at < b->n_logits; at += dev->config.n_logits) {
        const int32_t left = b->n_logits - at,
                      n = left < dev->config.n_logits ? left : dev->config.n_logits;
        pn_cuda_linear_args args = {.x = pn_cuda_pointer(x),
                                    .rows = list_on_card(w, dev->sizes.lists.logits) + at,
                                    .out = pn_cuda_pointer(dev->logits),
                                    .n_rows = n};
        PN_TRY(product(w, op, own->w[0], &args, 1, err));
        if (op->scale != 1.0f || op->softcap > 0.0f)
            PN_TRY(map(w, op, dev->kernels.cap, dev->logits, 0, dev->logits, (size_t)n * n_vocab,
                       err));
        PN_TRY(read_back(w, dev->logits, (size_t)n * n_vocab * sizeof(float), err));
        for (int32_t i = 0; i < n; i++)
            b->on_logits(b->user, b->output_rows[b->logit_outputs[at + i]],
                         (const float *)(const void *)dev->host_out + (size_t)i * n_vocab);
    }
    return PUNA_OK;
}

/* ---- the walk ---- */

static puna_status step(walk *w, int32_t i, puna_error *err) {
    const pn_op *op = &w->dev->plan->ops[i];
    const pn_cuda_op *own = &w->dev->ops[i];
    switch (op->kind) {
    case PN_OP_EMBED: return embed(w, op, own, err);
    case PN_OP_NORM: return norm(w, op, own, err);
    case PN_OP_LINEAR: return linear(w, op, own, err);
    case PN_OP_ROPE: return rotate(w, op, err);
    case PN_OP_KV_STORE: return store(w, op, err);
    case PN_OP_ATTENTION: return attend(w, op, err);
    case PN_OP_GLU: return map_values(w, op, w->dev->kernels.glu, err);
    case PN_OP_ADD: return map_values(w, op, w->dev->kernels.add, err);
    case PN_OP_MOE: return experts(w, op, own, err);
    case PN_OP_SELECT: return select_rows(w, op, err);
    case PN_OP_LOGITS: return logits(w, op, own, err);
    default:
        return pn_fail(err, PUNA_E_UNSUPPORTED, "%s: no kernel for the card", pn_op_name(op->kind));
    }
}

/* Between layers: cancelled? */
static puna_status look_up(const walk *w, int32_t op, puna_error *err) {
    const pn_batch *b = w->batch;
    const pn_device *dev = w->dev;
    if (b->cancel && atomic_load_explicit(b->cancel, memory_order_relaxed))
        return pn_fail(err, PUNA_E_CANCELLED, "cancelled");
    if (!b->progress) return PUNA_OK;
    PN_TRY(pn_cuda_check(&dev->driver, dev->driver.stream_wait(dev->stream), "computing a batch",
                         err));
    if (!b->progress(b->user, (double)op / dev->plan->n_ops))
        return pn_fail(err, PUNA_E_CANCELLED, "cancelled");
    return PUNA_OK;
}

puna_status pn_cuda_walk(pn_device *dev, const pn_batch *batch, puna_error *err) {
    const pn_plan *plan = dev->plan;
    walk w = {.dev = dev, .batch = batch, .n_rows = batch->n_rows};
    for (int32_t i = 0; i < PN_CUDA_N_GROUP_SIZES; i++)
        w.n_groups[i] = find_groups(batch, PN_CUDA_QUERIES >> i, NULL);
    if (batch->n_rows <= PN_CUDA_SPLIT_ROWS)
        for (int32_t r = 0; r < batch->n_rows; r++)
            if (batch->positions[r] / PN_CUDA_CHUNK >= w.n_chunks)
                w.n_chunks = batch->positions[r] / PN_CUDA_CHUNK + 1;
    if (w.n_chunks == 1) w.n_chunks = 0;
    int32_t layer = -1;
    for (int32_t i = 0; i < plan->n_ops; i++) {
        if (plan->ops[i].kind == PN_OP_SELECT && batch->n_outputs == 0) break;
        if (plan->ops[i].layer != layer) {
            layer = plan->ops[i].layer;
            PN_TRY(look_up(&w, i, err));
        }
        PN_TRY(step(&w, i, err));
    }
    return PUNA_OK;
}
