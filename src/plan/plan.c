/* plan.c: building a compute plan: weights with checked shapes, operations with checked widths, and
 * the workspace layout.
 *
 * Layout: every value is a [rows, width] float32 block. Two values may share memory when their
 * lifetimes (first op that writes to last op that reads) do not meet; offsets are in floats per row
 * and every block is a multiple of 16 floats, so that rows stay 64-byte aligned whatever the batch.
 */
#include "plan/plan.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* No tensor name in a file is longer than 63 bytes. */
#define MAX_NAME 64
/* Widths and heights of weights; keeps every product of two below 2^62. */
#define MAX_DIM (INT64_C(1) << 30)

const char *pn_op_name(pn_op_kind kind) {
    static const char *const names[] = {
#define OP(name, by_row, meaning) #name,
#include "plan/ops.def"
#undef OP
    };
    return (unsigned)kind < PN_N_OPS ? names[kind] : "?";
}

bool pn_op_is_by_row(pn_op_kind kind) {
    enum { BY_ROW = true, WHOLE = false };
    static const bool by_row[] = {
#define OP(name, by_row, meaning) by_row,
#include "plan/ops.def"
#undef OP
    };
    return (unsigned)kind < PN_N_OPS && by_row[kind];
}

int32_t pn_plan_row_group(const pn_plan *plan, int32_t first, int32_t end) {
    int32_t i = first + 1;
    while (i < end && pn_op_is_by_row(plan->ops[i].kind)) i++;
    return i;
}

puna_status pn_plan_init(pn_plan *plan, const pn_gguf *gguf, puna_error *err) {
    (void)err;
    *plan = (pn_plan){.gguf = gguf, .layer = -1};
    return PUNA_OK;
}

void pn_plan_free(pn_plan *plan) {
    pn_free(plan->ops);
    pn_free(plan->values);
    pn_free(plan->weights);
    pn_free(plan->ropes);
    pn_free(plan->attns);
    pn_free(plan->entering);
    pn_free(plan->leaving);
    pn_arena_free(&plan->arena);
    *plan = (pn_plan){0};
}

/* Makes room for one more element in a growing array. */
static puna_status grow(void **array, int32_t n, int32_t *cap, size_t size, puna_error *err) {
    if (n < *cap) return PUNA_OK;
    const int32_t bigger = *cap ? *cap * 2 : 64;
    void *p = pn_realloc(*array, (size_t)bigger, size);
    if (!p) return pn_fail_nomem(err, (size_t)bigger * size, "the compute plan");
    *array = p;
    *cap = bigger;
    return PUNA_OK;
}

/* ---- weights ---- */

/* "[64, 300]" for messages; n_dims up to 4. */
static const char *shape_text(char out[96], const int64_t *dims, int32_t n_dims) {
    size_t at = 0;
    out[at++] = '[';
    for (int32_t i = 0; i < n_dims; i++)
        at += (size_t)snprintf(out + at, 96 - at, "%s%lld", i ? ", " : "", (long long)dims[i]);
    out[at++] = ']';
    out[at] = 0;
    return out;
}

static puna_status check_shape(const pn_plan *plan, const pn_gguf_tensor *t, const int64_t *want,
                               int32_t n_want, puna_error *err) {
    bool same = true;
    for (int32_t i = 0; i < 4; i++) same = same && t->dims[i] == (i < n_want ? want[i] : 1);
    if (same) return PUNA_OK;
    char found[96], expected[96];
    return pn_fail(err, PUNA_E_FORMAT, "%s: tensor %s has shape %s, expected %s",
                   pn_gguf_path(plan->gguf), t->name, shape_text(found, t->dims, t->n_dims),
                   shape_text(expected, want, n_want));
}

static puna_status find_tensor(const pn_plan *plan, const char *name, bool optional,
                               const pn_gguf_tensor **t, puna_error *err) {
    *t = pn_gguf_find_tensor(plan->gguf, name);
    if (*t || optional) return PUNA_OK;
    return pn_fail(err, PUNA_E_FORMAT, "%s: tensor %s is missing", pn_gguf_path(plan->gguf), name);
}

static puna_status check_kernels(const pn_plan *plan, const pn_gguf_tensor *t, puna_error *err) {
    if (t->format->has_kernels) return PUNA_OK;
    return pn_fail(err, PUNA_E_UNSUPPORTED, "%s: type %s is not supported yet: tensor %s",
                   pn_gguf_path(plan->gguf), t->format->name, t->name);
}

/* Adds a weight over tensor t, or finds the one added before (tied embeddings). */
static puna_status add_weight(pn_plan *plan, const pn_gguf_tensor *t, int64_t n_in, int64_t n_out,
                              int64_t n_expert, const pn_weight **w, puna_error *err) {
    for (int32_t i = 0; i < plan->n_weights; i++)
        if (plan->weights[i]->data == t->data && plan->weights[i]->name == t->name) {
            *w = plan->weights[i];
            return PUNA_OK;
        }
    PN_TRY(grow((void **)&plan->weights, plan->n_weights, &plan->cap_weights, sizeof *plan->weights,
                err));
    pn_weight *fresh = pn_arena_alloc(&plan->arena, sizeof *fresh);
    if (!fresh) return pn_fail_nomem(err, sizeof *fresh, "the compute plan");
    *fresh = (pn_weight){t->name, t->format, n_in, n_out, n_expert, (size_t)t->row_bytes, t->data};
    plan->weights[plan->n_weights++] = fresh;
    *w = fresh;
    return PUNA_OK;
}

puna_status pn_plan_weight(pn_plan *plan, const pn_weight **w, bool optional, int64_t n_in,
                           int64_t n_out, int64_t n_expert, puna_error *err, const char *name,
                           ...) {
    char full[MAX_NAME];
    va_list ap;
    va_start(ap, name);
    (void)vsnprintf(full, sizeof full, name, ap);
    va_end(ap);
    *w = NULL;
    const pn_gguf_tensor *t;
    PN_TRY(find_tensor(plan, full, optional, &t, err));
    if (!t) return PUNA_OK;
    const int64_t want[3] = {n_in, n_out, n_expert};
    PN_TRY(check_shape(plan, t, want, n_out == 0 ? 1 : n_expert > 1 ? 3 : 2, err));
    PN_TRY(check_kernels(plan, t, err));
    if (n_in > MAX_DIM || n_out > MAX_DIM || n_expert > MAX_DIM)
        return pn_fail(err, PUNA_E_LIMIT, "%s: tensor %s is too large", pn_gguf_path(plan->gguf),
                       t->name);
    return add_weight(plan, t, n_in, n_out ? n_out : 1, n_expert, w, err);
}

puna_status pn_plan_vector(pn_plan *plan, const float **v, bool optional, int64_t n,
                           puna_error *err, const char *name, ...) {
    char full[MAX_NAME];
    va_list ap;
    va_start(ap, name);
    (void)vsnprintf(full, sizeof full, name, ap);
    va_end(ap);
    *v = NULL;
    const pn_gguf_tensor *t;
    PN_TRY(find_tensor(plan, full, optional, &t, err));
    if (!t) return PUNA_OK;
    PN_TRY(check_shape(plan, t, &n, 1, err));
    PN_TRY(check_kernels(plan, t, err));
    if (t->format->block_weights != 1)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "%s: type %s is not supported for a vector: tensor %s",
                       pn_gguf_path(plan->gguf), t->format->name, t->name);
    float *data = pn_arena_calloc(&plan->arena, (size_t)n, sizeof *data);
    if (!data) return pn_fail_nomem(err, (size_t)n * sizeof *data, t->name);
    t->format->decode(t->data, data, n);
    *v = data;
    return PUNA_OK;
}

/* ---- values and operations ---- */

static puna_status add_value(pn_plan *plan, const char *name, int64_t width, pn_value *value,
                             puna_error *err) {
    if (width < 1 || width > MAX_DIM)
        return pn_fail(err, PUNA_E_LIMIT, "value %s cannot be %lld wide", name, (long long)width);
    PN_TRY(
        grow((void **)&plan->values, plan->n_values, &plan->cap_values, sizeof *plan->values, err));
    *value = plan->n_values++;
    plan->values[*value] = (pn_value_info){name, (int32_t)width, plan->n_ops, plan->n_ops, 0};
    return PUNA_OK;
}

/* Adds an empty op; the pointer is valid until the next one is added. */
static puna_status add_op(pn_plan *plan, pn_op_kind kind, pn_op **op, puna_error *err) {
    PN_TRY(grow((void **)&plan->ops, plan->n_ops, &plan->cap_ops, sizeof *plan->ops, err));
    *op = &plan->ops[plan->n_ops++];
    **op = (pn_op){
        .kind = kind, .layer = plan->layer, .in = {-1, -1}, .out = {-1, -1, -1}, .scale = 1.0f};
    return PUNA_OK;
}

static puna_status width_error(pn_op_kind kind, const char *what, int64_t found, int64_t want,
                               puna_error *err) {
    return pn_fail(err, PUNA_E_FORMAT, "plan: %s: %s is %lld wide, expected %lld", pn_op_name(kind),
                   what, (long long)found, (long long)want);
}

static int32_t width(const pn_plan *plan, pn_value v) {
    return plan->values[v].width;
}

puna_status pn_plan_rope(pn_plan *plan, const pn_rope *rope, int32_t *index, puna_error *err) {
    for (int32_t i = 0; i < plan->n_ropes; i++) {
        const pn_rope *r = &plan->ropes[i];
        if (r->n_rot == rope->n_rot && r->neox == rope->neox && r->base == rope->base &&
            r->scale == rope->scale && r->ext_factor == rope->ext_factor &&
            r->attn_factor == rope->attn_factor && r->beta_fast == rope->beta_fast &&
            r->beta_slow == rope->beta_slow && r->n_ctx_orig == rope->n_ctx_orig &&
            r->divisors == rope->divisors) {
            *index = i;
            return PUNA_OK;
        }
    }
    pn_rope *ropes = pn_realloc(plan->ropes, (size_t)plan->n_ropes + 1, sizeof *ropes);
    if (!ropes) return pn_fail_nomem(err, sizeof *ropes, "the compute plan");
    plan->ropes = ropes;
    plan->ropes[plan->n_ropes] = *rope;
    *index = plan->n_ropes++;
    return PUNA_OK;
}

puna_status pn_plan_embed(pn_plan *plan, const pn_weight *table, float scale, pn_value *out,
                          puna_error *err) {
    PN_TRY(add_value(plan, "embedding", table->n_in, out, err));
    pn_op *op;
    PN_TRY(add_op(plan, PN_OP_EMBED, &op, err));
    op->out[0] = *out;
    op->n_weights = 1;
    op->w[0] = table;
    op->scale = scale;
    return PUNA_OK;
}

puna_status pn_plan_norm(pn_plan *plan, pn_value in, const float *norm, int32_t head_dim, float eps,
                         const char *name, pn_value *out, puna_error *err) {
    const int32_t n = width(plan, in);
    if (head_dim > 0 && n % head_dim != 0) return width_error(PN_OP_NORM, name, n, head_dim, err);
    PN_TRY(add_value(plan, name, n, out, err));
    pn_op *op;
    PN_TRY(add_op(plan, PN_OP_NORM, &op, err));
    op->in[0] = in;
    op->out[0] = *out;
    op->norm = norm;
    op->head_dim = head_dim > 0 ? head_dim : n;
    op->eps = eps;
    return PUNA_OK;
}

puna_status pn_plan_linear(pn_plan *plan, pn_value in, int32_t n, const pn_weight *const *w,
                           const float *const *bias, const char *const *names, pn_value *out,
                           puna_error *err) {
    if (n < 1 || n > 3)
        return pn_fail(err, PUNA_E_ARG, "plan: LINEAR takes 1 to 3 weights, not %d", n);
    for (int32_t i = 0; i < n; i++) {
        if (w[i]->n_in != width(plan, in))
            return width_error(PN_OP_LINEAR, w[i]->name, w[i]->n_in, width(plan, in), err);
        PN_TRY(add_value(plan, names[i], w[i]->n_out, &out[i], err));
    }
    pn_op *op;
    PN_TRY(add_op(plan, PN_OP_LINEAR, &op, err));
    op->in[0] = in;
    op->n_weights = n;
    for (int32_t i = 0; i < n; i++) {
        op->w[i] = w[i];
        op->bias[i] = bias ? bias[i] : NULL;
        op->out[i] = out[i];
    }
    return PUNA_OK;
}

puna_status pn_plan_op_rope(pn_plan *plan, pn_value x, int32_t head_dim, int32_t rope,
                            puna_error *err) {
    const int32_t n_rot = plan->ropes[rope].n_rot;
    if (head_dim < 1 || width(plan, x) % head_dim != 0 || n_rot > head_dim || n_rot % 2 != 0)
        return width_error(PN_OP_ROPE, "n_rot", n_rot, head_dim, err);
    if (n_rot == 0) return PUNA_OK;
    pn_op *op;
    PN_TRY(add_op(plan, PN_OP_ROPE, &op, err));
    op->in[0] = op->out[0] = x;
    op->head_dim = head_dim;
    op->rope = rope;
    return PUNA_OK;
}

puna_status pn_plan_attention(pn_plan *plan, pn_value q, pn_value k, pn_value v,
                              const pn_attention *attn, pn_value *out, puna_error *err) {
    const int64_t n_q = (int64_t)attn->n_head * attn->head_dim,
                  n_kv = (int64_t)attn->n_head_kv * attn->head_dim;
    if (attn->n_head_kv < 1 || attn->n_head % attn->n_head_kv != 0)
        return pn_fail(err, PUNA_E_FORMAT,
                       "plan: ATTENTION: %d heads cannot share %d key/value heads", attn->n_head,
                       attn->n_head_kv);
    if (width(plan, q) != n_q) return width_error(PN_OP_ATTENTION, "q", width(plan, q), n_q, err);
    if (width(plan, k) != n_kv) return width_error(PN_OP_ATTENTION, "k", width(plan, k), n_kv, err);
    if (width(plan, v) != n_kv) return width_error(PN_OP_ATTENTION, "v", width(plan, v), n_kv, err);
    pn_attention *attns = pn_realloc(plan->attns, (size_t)plan->n_attns + 1, sizeof *attns);
    if (!attns) return pn_fail_nomem(err, sizeof *attns, "the compute plan");
    plan->attns = attns;
    plan->attns[plan->n_attns] = *attn;

    pn_op *op;
    PN_TRY(add_op(plan, PN_OP_KV_STORE, &op, err));
    op->in[0] = k;
    op->in[1] = v;
    op->kv_layer = plan->n_attns;
    PN_TRY(add_value(plan, "attention", n_q, out, err));
    PN_TRY(add_op(plan, PN_OP_ATTENTION, &op, err));
    op->in[0] = q;
    op->out[0] = *out;
    op->kv_layer = plan->n_attns++;
    return PUNA_OK;
}

puna_status pn_plan_glu(pn_plan *plan, pn_value gate, pn_value up, pn_activation act, pn_value *out,
                        puna_error *err) {
    if (width(plan, gate) != width(plan, up))
        return width_error(PN_OP_GLU, "up", width(plan, up), width(plan, gate), err);
    PN_TRY(add_value(plan, "ffn_act", width(plan, gate), out, err));
    pn_op *op;
    PN_TRY(add_op(plan, PN_OP_GLU, &op, err));
    op->in[0] = gate;
    op->in[1] = up;
    op->out[0] = *out;
    op->act = act;
    return PUNA_OK;
}

puna_status pn_plan_add(pn_plan *plan, pn_value a, pn_value b, const char *name, pn_value *out,
                        puna_error *err) {
    if (width(plan, a) != width(plan, b))
        return width_error(PN_OP_ADD, name, width(plan, b), width(plan, a), err);
    PN_TRY(add_value(plan, name, width(plan, a), out, err));
    pn_op *op;
    PN_TRY(add_op(plan, PN_OP_ADD, &op, err));
    op->in[0] = a;
    op->in[1] = b;
    op->out[0] = *out;
    return PUNA_OK;
}

puna_status pn_plan_moe(pn_plan *plan, pn_value in, const pn_weight *router, const pn_weight *gate,
                        const pn_weight *up, const pn_weight *down, const pn_moe *moe,
                        pn_value *out, puna_error *err) {
    const int32_t n = width(plan, in);
    if (router->n_in != n || router->n_out != moe->n_expert)
        return width_error(PN_OP_MOE, router->name, router->n_out, moe->n_expert, err);
    if (gate->n_in != n || up->n_in != n || down->n_out != n)
        return width_error(PN_OP_MOE, down->name, down->n_out, n, err);
    if (gate->n_out != moe->n_ff || up->n_out != moe->n_ff || down->n_in != moe->n_ff)
        return width_error(PN_OP_MOE, gate->name, gate->n_out, moe->n_ff, err);
    if (moe->n_used < 1 || moe->n_used > moe->n_expert)
        return pn_fail(err, PUNA_E_FORMAT, "plan: MOE: %d of %d experts cannot be used",
                       moe->n_used, moe->n_expert);
    PN_TRY(add_value(plan, "moe", n, out, err));
    pn_op *op;
    PN_TRY(add_op(plan, PN_OP_MOE, &op, err));
    op->in[0] = in;
    op->out[0] = *out;
    op->n_weights = 3;
    op->w[0] = gate;
    op->w[1] = up;
    op->w[2] = down;
    op->router = router;
    op->moe = *moe;
    return PUNA_OK;
}

puna_status pn_plan_select(pn_plan *plan, pn_value in, pn_value *out, puna_error *err) {
    PN_TRY(add_value(plan, "selected", width(plan, in), out, err));
    pn_op *op;
    PN_TRY(add_op(plan, PN_OP_SELECT, &op, err));
    op->in[0] = in;
    op->out[0] = *out;
    return PUNA_OK;
}

puna_status pn_plan_logits(pn_plan *plan, pn_value in, const pn_weight *w, float scale,
                           float softcap, puna_error *err) {
    if (w->n_in != width(plan, in))
        return width_error(PN_OP_LOGITS, w->name, w->n_in, width(plan, in), err);
    pn_op *op;
    PN_TRY(add_op(plan, PN_OP_LOGITS, &op, err));
    op->in[0] = in;
    op->n_weights = 1;
    op->w[0] = w;
    op->scale = scale;
    op->softcap = softcap;
    plan->n_vocab = (int32_t)w->n_out;
    return PUNA_OK;
}

/* ---- layout ---- */

static bool overlap(const pn_value_info *a, const pn_value_info *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* Stretches a value's life to whole groups of operations that may run row by row: one row may be at
 * the end of the group while another is at its beginning. */
static void live_in_groups(const pn_plan *plan, pn_value_info *value) {
    const pn_op *ops = plan->ops;
    while (value->first > 0 && pn_op_is_by_row(ops[value->first].kind) &&
           pn_op_is_by_row(ops[value->first - 1].kind))
        value->first--;
    while (value->last + 1 < plan->n_ops && pn_op_is_by_row(ops[value->last].kind) &&
           pn_op_is_by_row(ops[value->last + 1].kind))
        value->last++;
}

/* The lowest offset where value v fits beside every placed value that is alive at the same time. */
static int64_t place(const pn_plan *plan, int32_t v) {
    const pn_value_info *mine = &plan->values[v];
    const int64_t size = (int64_t)pn_round_up((size_t)mine->width, 16);
    int64_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int32_t i = 0; i < v; i++) {
            const pn_value_info *other = &plan->values[i];
            const int64_t other_size = (int64_t)pn_round_up((size_t)other->width, 16);
            if (overlap(mine, other) && at < other->offset + other_size &&
                other->offset < at + size) {
                at = other->offset + other_size;
                moved = true;
            }
        }
    }
    return at;
}

puna_status pn_plan_finish(pn_plan *plan, puna_error *err) {
    if (plan->n_ops == 0 || plan->ops[plan->n_ops - 1].kind != PN_OP_LOGITS)
        return pn_fail(err, PUNA_E_STATE, "plan: does not end with logits");
    for (int32_t i = 0; i < plan->n_ops; i++) {
        const pn_op *op = &plan->ops[i];
        for (int32_t k = 0; k < 2; k++)
            if (op->in[k] >= 0) plan->values[op->in[k]].last = i;
    }
    plan->n_ops_whole = plan->n_ops;
    pn_plan_place(plan);
    return PUNA_OK;
}

void pn_plan_place(pn_plan *plan) {
    for (int32_t v = 0; v < plan->n_values; v++) live_in_groups(plan, &plan->values[v]);
    plan->floats_per_row = 0;
    for (int32_t v = 0; v < plan->n_values; v++) {
        pn_value_info *info = &plan->values[v];
        info->offset = place(plan, v);
        const int64_t end = info->offset + (int64_t)pn_round_up((size_t)info->width, 16);
        if (end > plan->floats_per_row) plan->floats_per_row = end;
    }
}
