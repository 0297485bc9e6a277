/* walk.c: a plan on the card: kernels in one stream, one for several operations where that can be (row_stages.c;
 * a kernel that computes a row quantises it for the product that follows; products of one input and format are
 * one launch), so that a layer of a decode step takes about ten. The host hands them over without waiting; it
 * waits where values come back, and at every layer when someone wants to see progress.
 *
 * Each output element has one formula and order (the kernels say which), so how the work is cut into blocks,
 * and which rows share a batch, never changes a bit. */
#include "cuda/walk.h"

#include "plan/rotation.h"

#include <string.h>

typedef pn_cuda_pass walk;

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
    int32_t *seqs = list_at(dev, dev->batch_lists.seqs);
    int32_t *tables = list_at(dev, dev->batch_lists.tables);
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
    const pn_plan *plan = dev->plan;
    dev->batch_lists = pn_cuda_lists_of(plan, dev->sizes.max_rot, batch->n_rows);
    const pn_cuda_lists *l = &dev->batch_lists;
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
        float *table = (float *)(void *)(dev->host_lists + l->ropes + (size_t)r * l->rope_bytes);
        for (int32_t row = 0; row < batch->n_rows; row++)
            pn_rotation_row(&plan->ropes[r], dev->rope_freqs + (size_t)r * (max_rot / 2),
                            dev->rope_magnitudes[r], batch->positions[row],
                            table + (size_t)row * (size_t)plan->ropes[r].n_rot);
    }
    *bytes = l->tables + fill_tables(dev, batch);
}

/* ---- launching ---- */

puna_status pn_cuda_launch(const walk *w, void *kernel, const uint32_t grid[3], uint32_t n_threads,
                           size_t shared_bytes, const void *args, const pn_op *op,
                           puna_error *err) {
    const pn_device *dev = w->dev;
    void *parameters[] = {(void *)(uintptr_t)args};
    const int result = dev->driver.launch(kernel, grid[0], grid[1], grid[2], n_threads, 1, 1,
                                          (unsigned)shared_bytes, dev->stream, parameters, NULL);
    return result == 0 ? PUNA_OK : pn_cuda_check(&dev->driver, result, pn_op_name(op->kind), err);
}

static puna_status launch(const walk *w, void *kernel, const uint32_t grid[3], size_t shared_bytes,
                          const void *args, const pn_op *op, puna_error *err) {
    return pn_cuda_launch(w, kernel, grid, PN_CUDA_BLOCK, shared_bytes, args, op, err);
}

static uint32_t blocks_of(size_t n, size_t per_block) {
    return (uint32_t)((n + per_block - 1) / per_block);
}

uint64_t pn_cuda_value(const walk *w, pn_value v) {
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

/* The matrices that read the input of an operation: those of a product, or a router and what it leads to. */
static int32_t readers_of(const walk *w, int32_t i, const pn_cuda_weight *readers[4]) {
    const pn_op *op = &w->dev->plan->ops[i];
    const pn_cuda_op *own = &w->dev->ops[i];
    int32_t n = 0;
    if (op->kind == PN_OP_LINEAR || op->kind == PN_OP_LOGITS)
        while (n < op->n_weights) readers[n] = own->w[n], n++;
    if (op->kind == PN_OP_LOGITS && w->batch->n_logits == 0) n = 0;
    if (op->kind != PN_OP_MOE) return n;
    readers[n++] = own->router;
    readers[n++] = own->w[0];
    readers[n++] = own->w[1];
    return n;
}

/* What of acts weights want that is not there yet. value: whose rows they will be, -1: none of the plan's. */
static void want_acts(walk *w, const pn_cuda_weight *const *weights, int32_t n, pn_value value,
                      pn_cuda_acts acts[2]) {
    for (int32_t k = 0; k < 2; k++) {
        bool wanted = false;
        for (int32_t i = 0; i < n; i++)
            wanted = wanted || (weights[i]->format->is_codes && weights[i]->format->is_256 == k);
        acts[k] = (pn_cuda_acts){NULL, NULL, NULL};
        if (!wanted || (value >= 0 && w->quantized[k] == value)) continue;
        acts[k] = pn_cuda_acts_of(w->dev, k == 1);
        w->quantized[k] = value;
    }
}

void pn_cuda_wanted_acts(walk *w, int32_t i, pn_value value, pn_cuda_acts acts[2]) {
    const pn_cuda_weight *readers[4];
    const bool is_read = i < w->end && w->dev->plan->ops[i].in[0] == value;
    want_acts(w, readers, is_read ? readers_of(w, i, readers) : 0, value, acts);
}

/* A warp takes 256 values of a row. */
static uint32_t unit_blocks(size_t n_rows, int32_t width) {
    return blocks_of(n_rows * (size_t)pn_cuda_groups(width), PN_CUDA_BLOCK / 32);
}

/* The rows that operation i reads, if nobody has quantised them yet. */
static puna_status quantize(walk *w, int32_t i, puna_error *err) {
    const pn_op *op = &w->dev->plan->ops[i];
    pn_cuda_quantize_args args = {.x = pn_cuda_pointer(pn_cuda_value(w, op->in[0])),
                                  .n_in = width_of(w, op->in[0]),
                                  .n_rows = w->n_rows};
    pn_cuda_wanted_acts(w, i, op->in[0], args.acts);
    if (!args.acts[0].q && !args.acts[1].q) return PUNA_OK;
    const uint32_t grid[3] = {unit_blocks((size_t)w->n_rows, args.n_in), 1, 1};
    return launch(w, w->dev->kernels.quantize, grid, 0, &args, op, err);
}

/* Where one matrix of a product writes, and its bias. */
typedef struct target {
    uint64_t out, bias;
} target;

/* Products of n weights of one format. args has rows, first, n_rows and x; with experts n_rows is the most
 * that one can have. Which kernel computes it changes the speed and nothing else. */
static puna_status product(const walk *w, const pn_op *op, const pn_cuda_weight *const *weights,
                           const target *targets, int32_t n, pn_cuda_linear_args *args,
                           int32_t n_matrices, puna_error *err) {
    const pn_cuda_weight *one = weights[0];
    const bool is_codes = one->format->is_codes;
    const size_t n_rows = (size_t)args->n_rows;
    const bool is_few = n_rows <= PN_CUDA_FEW || !is_codes;
    const size_t per_block = !is_codes ? PN_CUDA_FLOAT_ROWS
                             : is_few  ? PN_CUDA_FEW_WARPS
                                       : PN_CUDA_MANY_ROWS;
    uint32_t grid[3] = {0, 1, (uint32_t)n_matrices};
    args->acts = pn_cuda_acts_of(w->dev, one->format->is_256);
    args->n_in = (int32_t)one->w->n_in;
    args->n_parts = n;
    for (int32_t i = 0; i < n; i++) {
        args->parts[i] = (pn_cuda_linear_part){.weights = pn_cuda_pointer(weights[i]->address),
                                               .bias = pn_cuda_pointer(targets[i].bias),
                                               .out = pn_cuda_pointer(targets[i].out),
                                               .n_out = (int32_t)weights[i]->w->n_out,
                                               .first_block = (int32_t)grid[0]};
        grid[0] += blocks_of((size_t)weights[i]->w->n_out, per_block);
    }
    if (n_rows == 1)
        return launch(w, one->few_1, grid, is_codes ? PN_CUDA_ONE_BYTES(one->format->is_256) : 0,
                      args, op, err);
    grid[1] = blocks_of(n_rows, is_few ? PN_CUDA_FEW : PN_CUDA_MANY_COLUMNS);
    if (is_few) return launch(w, one->few_8, grid, is_codes ? PN_CUDA_FEW_BYTES : 0, args, op, err);
    return launch(w, one->many, grid, PN_CUDA_MANY_BYTES, args, op, err);
}

/* Products of up to three weights: a launch for each format among them. */
static puna_status products(const walk *w, const pn_op *op, const pn_cuda_weight *const *weights,
                            const target *targets, int32_t n, pn_cuda_linear_args *args,
                            int32_t n_matrices, puna_error *err) {
    const pn_cuda_weight *group[PN_CUDA_PARTS];
    target group_targets[PN_CUDA_PARTS];
    bool is_done[PN_CUDA_PARTS] = {false};
    for (int32_t first = 0; first < n; first++) {
        int32_t n_group = 0;
        for (int32_t i = first; i < n; i++) {
            if (is_done[i] || weights[i]->format != weights[first]->format) continue;
            group[n_group] = weights[i];
            group_targets[n_group++] = targets[i];
            is_done[i] = true;
        }
        if (n_group > 0)
            PN_TRY(product(w, op, group, group_targets, n_group, args, n_matrices, err));
    }
    return PUNA_OK;
}

static puna_status linear(walk *w, int32_t i, puna_error *err) {
    const pn_op *op = &w->dev->plan->ops[i];
    const pn_cuda_op *own = &w->dev->ops[i];
    target targets[PN_CUDA_PARTS];
    for (int32_t k = 0; k < op->n_weights; k++)
        targets[k] = (target){pn_cuda_value(w, op->out[k]), own->bias[k]};
    pn_cuda_linear_args args = {.x = pn_cuda_pointer(pn_cuda_value(w, op->in[0])),
                                .n_rows = w->n_rows};
    PN_TRY(quantize(w, i, err));
    return products(w, op, own->w, targets, op->n_weights, &args, 1, err);
}

/* ---- rows ---- */

static puna_status embed(const walk *w, const pn_op *op, const pn_cuda_op *own, puna_error *err) {
    const pn_cuda_embed_args args = {
        .table = pn_cuda_pointer(own->w[0]->address),
        .tokens = list_on_card(w, w->dev->batch_lists.tokens),
        .out = pn_cuda_pointer(pn_cuda_value(w, op->out[0])),
        .n_in = (int32_t)op->w[0]->n_in,
        .scale = op->scale,
    };
    const uint32_t grid[3] = {blocks_of((size_t)args.n_in, PN_CUDA_BLOCK), (uint32_t)w->n_rows, 1};
    return launch(w, own->w[0]->embed, grid, 0, &args, op, err);
}

static puna_status glu(walk *w, const pn_op *op, pn_cuda_glu_args *args, puna_error *err) {
    const uint32_t grid[3] = {unit_blocks((size_t)args->n_rows, args->width), 1, 1};
    return launch(w, w->dev->kernels.glu, grid, 0, args, op, err);
}

static puna_status glu_of_values(walk *w, int32_t i, puna_error *err) {
    const pn_op *op = &w->dev->plan->ops[i];
    pn_cuda_glu_args args = {.gate = pn_cuda_pointer(pn_cuda_value(w, op->in[0])),
                             .up = pn_cuda_pointer(pn_cuda_value(w, op->in[1])),
                             .out = pn_cuda_pointer(pn_cuda_value(w, op->out[0])),
                             .width = width_of(w, op->in[0]),
                             .n_rows = w->n_rows,
                             .act = (int32_t)op->act};
    pn_cuda_wanted_acts(w, i + 1, op->out[0], args.acts);
    return glu(w, op, &args, err);
}

static puna_status select_rows(walk *w, const pn_op *op, puna_error *err) {
    const pn_cuda_select_args args = {
        .x = pn_cuda_pointer(pn_cuda_value(w, op->in[0])),
        .rows = list_on_card(w, w->dev->batch_lists.outputs),
        .out = pn_cuda_pointer(pn_cuda_value(w, op->out[0])),
        .width = width_of(w, op->in[0]),
    };
    w->n_rows = w->batch->n_outputs;
    const uint32_t grid[3] = {(uint32_t)w->n_rows, 1, 1};
    return launch(w, w->dev->kernels.select, grid, 0, &args, op, err);
}

/* ---- attention ---- */

pn_cuda_kv pn_cuda_kv_of(const walk *w, const pn_op *op) {
    const pn_device *dev = w->dev;
    const pn_attention *attn = &dev->plan->attns[op->kv_layer];
    return (pn_cuda_kv){
        .pages = pn_cuda_pointer(dev->kv[op->kv_layer]),
        .page_bytes = pn_kv_page_bytes_of(attn, dev->config.kv_type),
        .tables = list_on_card(w, dev->batch_lists.tables),
        .seqs = list_on_card(w, dev->batch_lists.seqs),
        .positions = list_on_card(w, dev->batch_lists.positions),
        .table_width = dev->sizes.table_width,
        .n_head = attn->n_head,
        .n_head_kv = attn->n_head_kv,
        .head_dim = attn->head_dim,
    };
}

static puna_status attend(walk *w, int32_t i, puna_error *err) {
    const pn_device *dev = w->dev;
    const pn_op *op = &dev->plan->ops[i];
    const pn_attention *attn = &dev->plan->attns[op->kv_layer];
    const int32_t heads_per_kv = attn->n_head / attn->n_head_kv;
    const int32_t per_block = heads_per_kv < PN_CUDA_QUERIES ? heads_per_kv : PN_CUDA_QUERIES;
    int32_t size = 0; /* rows of a group: 8 >> size of them times per_block heads are 8 queries */
    while ((PN_CUDA_QUERIES >> size) * per_block > PN_CUDA_QUERIES) size++;
    const pn_cuda_attention_args args = {
        .kv = pn_cuda_kv_of(w, op),
        .q = pn_cuda_pointer(pn_cuda_value(w, op->in[0])),
        .out = pn_cuda_pointer(pn_cuda_value(w, op->out[0])),
        .partials = pn_cuda_pointer(dev->partials),
        .groups = list_on_card(w, dev->batch_lists.groups[size]),
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
    pn_cuda_merge_args merge = {.partials = args.partials,
                                .out = args.out,
                                .positions = args.kv.positions,
                                .n_rows = w->n_rows,
                                .n_head = attn->n_head,
                                .head_dim = attn->head_dim,
                                .n_chunks = w->n_chunks,
                                .window = attn->window};
    pn_cuda_wanted_acts(w, i + 1, op->out[0], merge.acts);
    const uint32_t merge_grid[3] = {unit_blocks((size_t)w->n_rows, attn->n_head * attn->head_dim),
                                    1, 1};
    return launch(w, dev->kernels.attention_merge, merge_grid, 0, &merge, op, err);
}

/* ---- experts ---- */

static puna_status experts(walk *w, int32_t i, puna_error *err) {
    const pn_device *dev = w->dev;
    const pn_op *op = &dev->plan->ops[i];
    const pn_cuda_op *own = &dev->ops[i];
    const pn_cuda_kernels *k = &dev->kernels;
    const uint64_t x = pn_cuda_value(w, op->in[0]);
    const int32_t n_pairs = w->n_rows * op->moe.n_used, n_embd = width_of(w, op->in[0]);
    PN_TRY(quantize(w, i, err));
    pn_cuda_linear_args args = {.x = pn_cuda_pointer(x), .n_rows = w->n_rows};
    const target scores = {dev->moe_scores, 0};
    PN_TRY(product(w, op, &own->router, &scores, 1, &args, 1, err));

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

    const target hidden[2] = {{dev->moe_gate, 0}, {dev->moe_up, 0}}, down = {dev->moe_down, 0};
    args = (pn_cuda_linear_args){
        .x = pn_cuda_pointer(x), .rows = route.rows, .first = route.first, .n_rows = w->n_rows};
    PN_TRY(products(w, op, own->w, hidden, 2, &args, op->moe.n_expert, err));
    pn_cuda_glu_args gated = {.gate = pn_cuda_pointer(dev->moe_gate),
                              .up = pn_cuda_pointer(dev->moe_up),
                              .out = pn_cuda_pointer(dev->moe_gate),
                              .width = op->moe.n_ff,
                              .n_rows = n_pairs,
                              .act = (int32_t)op->moe.act};
    want_acts(w, &own->w[2], 1, -1, gated.acts);
    PN_TRY(glu(w, op, &gated, err));
    args = (pn_cuda_linear_args){
        .x = pn_cuda_pointer(dev->moe_gate), .first = route.first, .n_rows = w->n_rows};
    PN_TRY(product(w, op, &own->w[2], &down, 1, &args, op->moe.n_expert, err));
    const pn_cuda_combine_args combine = {.parts = pn_cuda_pointer(dev->moe_down),
                                          .places = route.places,
                                          .weights = route.weights,
                                          .out = pn_cuda_pointer(pn_cuda_value(w, op->out[0])),
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
        const uint64_t from =
            pn_cuda_value(w, op->in[0]) + (uint64_t)b->hidden_outputs[i] * row_bytes;
        PN_TRY(read_back(w, from, row_bytes, err));
        b->on_hidden(b->user, b->output_rows[b->hidden_outputs[i]],
                     (const float *)(const void *)w->dev->host_out);
    }
    return PUNA_OK;
}

/* Over n floats. */
static puna_status cap(const walk *w, const pn_op *op, uint64_t x, size_t n, puna_error *err) {
    const pn_cuda_cap_args args = {
        .x = pn_cuda_pointer(x), .n = n, .scale = op->scale, .softcap = op->softcap};
    const uint32_t grid[3] = {blocks_of(n, PN_CUDA_BLOCK), 1, 1};
    return launch(w, w->dev->kernels.cap, grid, 0, &args, op, err);
}

static puna_status logits(walk *w, int32_t i, puna_error *err) {
    const pn_device *dev = w->dev;
    const pn_op *op = &dev->plan->ops[i];
    const pn_cuda_op *own = &dev->ops[i];
    const target out = {dev->logits, 0};
    const pn_batch *b = w->batch;
    const size_t n_vocab = (size_t)dev->plan->n_vocab;
    const uint64_t x = pn_cuda_value(w, op->in[0]);
    PN_TRY(hand_out_hidden(w, op, err));
    PN_TRY(quantize(w, i, err));
    for (int32_t at = 0; at < b->n_logits; at += dev->config.n_logits) {
        const int32_t left = b->n_logits - at,
                      n = left < dev->config.n_logits ? left : dev->config.n_logits;
        pn_cuda_linear_args args = {.x = pn_cuda_pointer(x),
                                    .rows = list_on_card(w, dev->batch_lists.logits) + at,
                                    .n_rows = n};
        PN_TRY(product(w, op, own->w, &out, 1, &args, 1, err));
        if (op->scale != 1.0f || op->softcap > 0.0f)
            PN_TRY(cap(w, op, dev->logits, (size_t)n * n_vocab, err));
        PN_TRY(pn_cuda_pick_rows(w->dev, b, at, n, err));
        PN_TRY(pn_cuda_hand_out_logits(w->dev, b, at, n, err));
    }
    return PUNA_OK;
}

/* ---- the walk ---- */

puna_status pn_cuda_step(walk *w, int32_t i, int32_t *next, puna_error *err) {
    const pn_op *op = &w->dev->plan->ops[i];
    *next = i + 1;
    switch (op->kind) {
    case PN_OP_EMBED: return embed(w, op, &w->dev->ops[i], err);
    case PN_OP_NORM:
    case PN_OP_ROPE:
    case PN_OP_ADD:
    case PN_OP_KV_STORE: return pn_cuda_row_stage(w, i, next, err);
    case PN_OP_LINEAR: return linear(w, i, err);
    case PN_OP_ATTENTION: return attend(w, i, err);
    case PN_OP_GLU: return glu_of_values(w, i, err);
    case PN_OP_MOE: return experts(w, i, err);
    case PN_OP_SELECT: return select_rows(w, op, err);
    case PN_OP_LOGITS: return logits(w, i, err);
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
    if (!b->progress(b->user, pn_plan_share(dev->plan, op)))
        return pn_fail(err, PUNA_E_CANCELLED, "cancelled");
    return PUNA_OK;
}

/* Partial sums of attention for few rows: room for as many chunks as the longest context has, rounded up to a
 * power of two, so that a walk looks alike for many tokens. */
static int32_t count_chunks(const walk *w) {
    const int32_t most = pn_cuda_max_chunks(w->dev->config.n_ctx);
    int32_t n = 1;
    if (w->n_rows > PN_CUDA_SPLIT_ROWS) return 0;
    for (int32_t r = 0; r < w->n_rows; r++)
        while (n <= w->batch->positions[r] / PN_CUDA_CHUNK) n *= 2;
    return n < most ? n : most;
}

puna_status pn_cuda_walk(pn_device *dev, const pn_batch *batch, puna_error *err) {
    const pn_plan *plan = dev->plan;
    walk w = {.dev = dev,
              .batch = batch,
              .end = plan->n_ops,
              .n_rows = pn_rows_entering(plan, batch),
              .quantized = {-1, -1}};
    for (int32_t i = 0; i < PN_CUDA_N_GROUP_SIZES; i++)
        w.n_groups[i] = find_groups(batch, PN_CUDA_QUERIES >> i, NULL);
    w.n_chunks = count_chunks(&w);
    int32_t layer = -1, i = 0;
    if (!batch->progress) PN_TRY(look_up(&w, 0, err));
    (void)pn_cuda_replay(&w, &i);
    while (i < w.end) {
        if (plan->ops[i].kind == PN_OP_SELECT && batch->n_outputs == 0) break;
        if (plan->ops[i].layer != layer) {
            layer = plan->ops[i].layer;
            PN_TRY(look_up(&w, i, err));
        }
        PN_TRY(pn_cuda_step(&w, i, &i, err));
    }
    return PUNA_OK;
}
