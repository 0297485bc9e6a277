/* exec.c: walking a plan on the CPU.
 *
 * Every thread of the team runs pn_cpu_walk with the same batch. An operation is one or more
 * phases; within a phase threads claim units, phases are separated by barriers. Operations that
 * touch one row at a time (norms, rotations, stores, sums) and follow one another are run as one
 * phase over rows. Every output element is computed by one fixed formula, so results do not depend
 * on who computes what. */
#include "cpu/device.h"

#include <string.h>

/* Floats of one unit of an elementwise operation. */
#define ELEMENTS_PER_UNIT ((size_t)4096)

static void barrier(const pn_walk *walk) {
    pn_team_barrier(walk->dev->team);
}

static int32_t claim(const pn_walk *walk, int32_t n_units) {
    return pn_team_claim(walk->dev->team, n_units);
}

/* ---- matrix products ---- */

void pn_cpu_matmul(const pn_walk *walk, const float *x, size_t ld_x, const int32_t *row_index,
                   int32_t n_rows, int32_t n_in, const pn_matmul *mm, int32_t n_mm) {
    const pn_device *dev = walk->dev;
    const pn_kernels *k = dev->kernels;
    const pn_acts acts = {n_in, n_rows, dev->acts};
    const int32_t n_packs = k->pack_units(&acts);
    for (int32_t u; (u = claim(walk, n_packs)) >= 0;)
        k->pack(&acts, x, ld_x, row_index, mm, n_mm, u);
    barrier(walk);

    int32_t first[4] = {0};
    for (int32_t i = 0; i < n_mm; i++) first[i + 1] = first[i] + k->matmul_units(&mm[i], n_rows);
    void *scratch = dev->scratch + (size_t)walk->thread * dev->layout.thread_bytes;
    for (int32_t u; (u = claim(walk, first[n_mm])) >= 0;) {
        int32_t i = 0;
        while (u >= first[i + 1]) i++;
        k->matmul(&mm[i], &acts, u - first[i], scratch);
    }
    barrier(walk);
}

static void linear(const pn_walk *walk, const pn_op *op) {
    const pn_device *dev = walk->dev;
    pn_matmul mm[3];
    for (int32_t i = 0; i < op->n_weights; i++)
        mm[i] = (pn_matmul){op->w[i], 0, op->bias[i], pn_cpu_value(dev, op->out[i]),
                            (size_t)pn_cpu_width(dev, op->out[i])};
    const int32_t n_in = pn_cpu_width(dev, op->in[0]);
    pn_cpu_matmul(walk, pn_cpu_value(dev, op->in[0]), (size_t)n_in, NULL, walk->n_rows, n_in, mm,
                  op->n_weights);
}

static void hand_out_hidden(const pn_walk *walk, const pn_op *op) {
    const pn_batch *b = walk->dev->batch;
    const size_t n = (size_t)pn_cpu_width(walk->dev, op->in[0]);
    for (int32_t i = 0; i < b->n_hidden; i++)
        b->on_hidden(b->user, b->output_rows[b->hidden_outputs[i]],
                     pn_cpu_value(walk->dev, op->in[0]) + (size_t)b->hidden_outputs[i] * n);
}

/* Logits leave the device block by block, so that memory does not grow with the number of rows
 * wanted. */
static void logits(const pn_walk *walk, const pn_op *op) {
    const pn_device *dev = walk->dev;
    const pn_batch *b = dev->batch;
    const int32_t n_vocab = dev->plan->n_vocab, n_in = pn_cpu_width(dev, op->in[0]);
    if (walk->thread == 0) hand_out_hidden(walk, op);
    for (int32_t at = 0; at < b->n_logits; at += dev->config.n_logits) {
        const int32_t left = b->n_logits - at,
                      n = left < dev->config.n_logits ? left : dev->config.n_logits;
        const int32_t *outputs = b->logit_outputs + at;
        const pn_matmul mm = {op->w[0], 0, NULL, dev->logits, (size_t)n_vocab};
        pn_cpu_matmul(walk, pn_cpu_value(dev, op->in[0]), (size_t)n_in, outputs, n, n_in, &mm, 1);
        if (op->scale != 1.0f || op->softcap > 0.0f) {
            for (int32_t u; (u = claim(walk, n)) >= 0;)
                dev->kernels->scale_softcap(dev->logits + (size_t)u * (size_t)n_vocab, n_vocab,
                                            op->scale, op->softcap);
            barrier(walk);
        }
        if (walk->thread == 0)
            for (int32_t i = 0; i < n; i++)
                b->on_logits(b->user, b->output_rows[outputs[i]],
                             dev->logits + (size_t)i * (size_t)n_vocab);
        barrier(walk);
    }
}

/* ---- elementwise and attention ---- */

void pn_cpu_glu(const pn_walk *walk, pn_activation act, const float *gate, const float *up,
                float *out, size_t n) {
    const int32_t n_units = (int32_t)((n + ELEMENTS_PER_UNIT - 1) / ELEMENTS_PER_UNIT);
    for (int32_t u; (u = claim(walk, n_units)) >= 0;) {
        const size_t at = (size_t)u * ELEMENTS_PER_UNIT, left = n - at;
        walk->dev->kernels->glu(act, gate + at, up + at, out + at,
                                (int32_t)(left < ELEMENTS_PER_UNIT ? left : ELEMENTS_PER_UNIT));
    }
    barrier(walk);
}

static void attention(const pn_walk *walk, const pn_op *op) {
    const pn_device *dev = walk->dev;
    const pn_kernels *k = dev->kernels;
    const pn_attn_job job = {
        .attn = &dev->plan->attns[op->kv_layer],
        .kv_type = dev->config.kv_type,
        .kv = dev->kv + dev->kv_offsets[op->kv_layer],
        .page_bytes = dev->kv_page_bytes[op->kv_layer],
        .batch = dev->batch,
        .q = pn_cpu_value(dev, op->in[0]),
        .out = pn_cpu_value(dev, op->out[0]),
        .scratch = dev->attn_scratch,
    };
    const int32_t n_units = k->attn_units(&job, walk->n_threads);
    for (int32_t u; (u = claim(walk, n_units)) >= 0;) k->attn(&job, walk->n_threads, u);
    barrier(walk);
    const int32_t n_merges = k->attn_merge_units(&job, walk->n_threads);
    if (n_merges == 0) return;
    for (int32_t u; (u = claim(walk, n_merges)) >= 0;) k->attn_merge(&job, walk->n_threads, u);
    barrier(walk);
}

/* ---- operations on one row ---- */

static void embed_row(const pn_device *dev, const pn_op *op, int32_t row) {
    const pn_weight *w = op->w[0];
    float *out = pn_cpu_value(dev, op->out[0]) + (size_t)row * (size_t)w->n_in;
    const unsigned char *table = w->data;
    w->format->decode(table + (size_t)dev->batch->tokens[row] * w->row_bytes, out, w->n_in);
    if (op->scale != 1.0f)
        for (int64_t i = 0; i < w->n_in; i++) out[i] *= op->scale;
}

static void store_row(const pn_device *dev, const pn_op *op, int32_t row) {
    const pn_batch *b = dev->batch;
    const pn_attn_job job = {
        .attn = &dev->plan->attns[op->kv_layer],
        .kv_type = dev->config.kv_type,
        .kv = dev->kv + dev->kv_offsets[op->kv_layer],
        .page_bytes = dev->kv_page_bytes[op->kv_layer],
        .batch = b,
    };
    const size_t width = (size_t)pn_cpu_width(dev, op->in[0]);
    const int32_t position = b->positions[row];
    dev->kernels->kv_store(&job, b->pages[b->seqs[row]][position / PN_PAGE_POSITIONS],
                           position % PN_PAGE_POSITIONS,
                           pn_cpu_value(dev, op->in[0]) + (size_t)row * width,
                           pn_cpu_value(dev, op->in[1]) + (size_t)row * width);
}

static void row_op(const pn_device *dev, const pn_op *op, int32_t row) {
    const pn_kernels *k = dev->kernels;
    if (op->kind == PN_OP_EMBED) {
        embed_row(dev, op, row);
        return;
    }
    const int32_t n = pn_cpu_width(dev, op->in[0]);
    const size_t at = (size_t)row * (size_t)n;
    switch (op->kind) {
    case PN_OP_NORM:
        for (int32_t i = 0; i < n; i += op->head_dim)
            k->rms_norm(pn_cpu_value(dev, op->in[0]) + at + i, op->norm,
                        pn_cpu_value(dev, op->out[0]) + at + i, op->head_dim, op->eps);
        break;
    case PN_OP_ROPE:
        k->rope(pn_cpu_value(dev, op->in[0]) + at, n / op->head_dim, op->head_dim,
                &dev->plan->ropes[op->rope], pn_cpu_rope_at(dev, op->rope, row));
        break;
    case PN_OP_ADD:
        k->add(pn_cpu_value(dev, op->in[0]) + at, pn_cpu_value(dev, op->in[1]) + at,
               pn_cpu_value(dev, op->out[0]) + at, n);
        break;
    default: store_row(dev, op, row); break;
    }
}

/* Runs ops[first..end) of consecutive row operations. */
static void row_ops(const pn_walk *walk, int32_t first, int32_t end) {
    const pn_op *ops = walk->dev->plan->ops;
    for (int32_t row; (row = claim(walk, walk->n_rows)) >= 0;)
        for (int32_t i = first; i < end; i++) row_op(walk->dev, &ops[i], row);
    barrier(walk);
}

static void select_rows(pn_walk *walk, const pn_op *op) {
    const pn_device *dev = walk->dev;
    const pn_batch *b = dev->batch;
    const size_t n = (size_t)pn_cpu_width(dev, op->in[0]);
    for (int32_t i; (i = claim(walk, b->n_outputs)) >= 0;)
        memcpy(pn_cpu_value(dev, op->out[0]) + (size_t)i * n,
               pn_cpu_value(dev, op->in[0]) + (size_t)b->output_rows[i] * n, n * sizeof(float));
    walk->n_rows = b->n_outputs;
    barrier(walk);
}

/* ---- the walk ---- */

/* Thread 0 looks at the cancel flag and reports progress; everyone reads its decision after the
 * next barrier. Two slots in turn: a slow thread still reads one while thread 0 may already write
 * the other. */
static bool stopped(const pn_walk *walk, int32_t op, int32_t turn) {
    pn_device *dev = walk->dev;
    const pn_batch *b = dev->batch;
    if (walk->thread == 0) {
        bool stop = b->cancel && atomic_load_explicit(b->cancel, memory_order_relaxed);
        if (!stop && b->progress) stop = !b->progress(b->user, pn_plan_share(dev->plan, op));
        dev->stop[turn & 1] = stop;
    }
    barrier(walk);
    return dev->stop[turn & 1];
}

/* Runs the operation at index i, or several row operations; returns the next index. */
static int32_t step(pn_walk *walk, int32_t i) {
    const pn_plan *plan = walk->dev->plan;
    const pn_op *op = &plan->ops[i];
    if (pn_op_is_by_row(op->kind)) {
        const int32_t end = pn_plan_row_group(plan, i, plan->n_ops);
        row_ops(walk, i, end);
        return end;
    }
    switch (op->kind) {
    case PN_OP_LINEAR: linear(walk, op); break;
    case PN_OP_ATTENTION: attention(walk, op); break;
    case PN_OP_GLU: {
        const size_t n = (size_t)walk->n_rows * (size_t)pn_cpu_width(walk->dev, op->in[0]);
        pn_cpu_glu(walk, op->act, pn_cpu_value(walk->dev, op->in[0]),
                   pn_cpu_value(walk->dev, op->in[1]), pn_cpu_value(walk->dev, op->out[0]), n);
        break;
    }
    case PN_OP_MOE: pn_cpu_moe(walk, op); break;
    case PN_OP_SELECT: select_rows(walk, op); break;
    case PN_OP_LOGITS: logits(walk, op); break;
    default: break;
    }
    return i + 1;
}

void pn_cpu_walk(void *device, int32_t thread, int32_t n_threads) {
    pn_device *dev = device;
    const pn_plan *plan = dev->plan;
    pn_walk walk = {dev, thread, n_threads, pn_rows_entering(plan, dev->batch)};
    for (int32_t row; (row = claim(&walk, dev->batch->n_rows)) >= 0;)
        pn_cpu_rope_row(walk.dev, row);
    barrier(&walk);
    int32_t layer = -1, turn = 0;
    for (int32_t i = 0; i < plan->n_ops;) {
        if (plan->ops[i].kind == PN_OP_SELECT && walk.dev->batch->n_outputs == 0) break;
        if (plan->ops[i].layer != layer) {
            layer = plan->ops[i].layer;
            if (stopped(&walk, i, turn++)) break;
        }
        i = step(&walk, i);
    }
}
