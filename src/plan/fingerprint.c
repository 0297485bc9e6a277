/* fingerprint.c: a number for what a plan computes: every operation with its parameters, the small
 * vectors whole, and of each matrix its name, type, shape and 32 pieces of its data. Two models that
 * compute different things have different fingerprints, but for a difference so small that no piece
 * holds it. What a file only says about itself (its name, its chat template) does not count. */
#include "plan/plan.h"

#include "base/checksum.h"

#include <string.h>

enum { N_PIECES = 32, PIECE_BYTES = 64 };

static uint64_t add_ints(uint64_t sum, const int64_t *values, size_t n) {
    return pn_checksum(values, n * sizeof *values, sum);
}

static uint64_t add_floats(uint64_t sum, const float *values, size_t n) {
    return values ? pn_checksum(values, n * sizeof *values, sum) : sum + 1;
}

static uint64_t add_weight(uint64_t sum, const pn_weight *w) {
    const size_t bytes = w->row_bytes * (size_t)w->n_out * (size_t)w->n_expert;
    const size_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
    const unsigned char *data = w->data;
    sum = pn_checksum(w->name, strlen(w->name), sum);
    sum = add_ints(sum, (const int64_t[]){w->format->id, w->n_in, w->n_out, w->n_expert}, 4);
    for (size_t i = 0; i < N_PIECES; i++)
        sum = pn_checksum(data + (bytes - piece) / (N_PIECES - 1) * i, piece, sum);
    return sum;
}

static uint64_t add_rope(uint64_t sum, const pn_rope *r) {
    const float values[] = {r->base,        r->scale,     r->ext_factor,
                            r->attn_factor, r->beta_fast, r->beta_slow};
    sum = add_ints(sum, (const int64_t[]){r->n_rot, r->neox, r->n_ctx_orig}, 3);
    sum = add_floats(sum, values, sizeof values / sizeof *values);
    return add_floats(sum, r->divisors, (size_t)r->n_rot / 2);
}

static uint64_t add_attention(uint64_t sum, const pn_attention *a) {
    const int64_t shape[] = {a->n_head, a->n_head_kv, a->head_dim, a->window};
    sum = add_ints(sum, shape, sizeof shape / sizeof *shape);
    return add_floats(sum, (const float[]){a->scale, a->softcap}, 2);
}

static uint64_t add_op(uint64_t sum, const pn_op *op) {
    const pn_moe *m = &op->moe;
    const int64_t shape[] = {op->kind,   op->layer,    op->in[0],  op->in[1],
                             op->out[0], op->out[1],   op->out[2], op->head_dim,
                             op->rope,   op->kv_layer, op->act,    m->n_expert,
                             m->n_used,  m->n_ff,      m->act,     m->norm_weights};
    sum = add_ints(sum, shape, sizeof shape / sizeof *shape);
    sum = add_floats(sum, (const float[]){op->eps, op->scale, op->softcap, m->weight_scale}, 4);
    if (op->kind == PN_OP_NORM) sum = add_floats(sum, op->norm, (size_t)op->head_dim);
    if (op->router) sum = add_weight(sum, op->router);
    for (int32_t i = 0; i < op->n_weights; i++) {
        sum = add_weight(sum, op->w[i]);
        sum = add_floats(sum, op->bias[i], (size_t)op->w[i]->n_out);
    }
    return sum;
}

uint64_t pn_plan_fingerprint(const pn_plan *plan) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < plan->n_ropes; i++) sum = add_rope(sum, &plan->ropes[i]);
    for (int32_t i = 0; i < plan->n_attns; i++) sum = add_attention(sum, &plan->attns[i]);
    for (int32_t i = 0; i < plan->n_ops; i++) sum = add_op(sum, &plan->ops[i]);
    return sum;
}
