/* row_stages.c: groups of operations that touch one row at a time (pn_plan_row_group: the same groups that the
 * CPU runs row by row) as one kernel: sums, norms, rotations, keys and values stored, and at the end the row
 * quantised for the product that follows.
 *
 * A group that stores keys and values is cut into slices, one per KV head, when no operation of it needs
 * more than its slice: so a decode step has as many blocks as there are KV heads. Within a group no two
 * values share memory, so a row can be at the end of it while another is at its beginning. */
#include "cuda/walk.h"

static bool has_store(const pn_op *ops, int32_t first, int32_t end) {
    for (int32_t i = first; i < end; i++)
        if (ops[i].kind == PN_OP_KV_STORE) return true;
    return false;
}

/* The operations from `first` on that one kernel takes. */
static int32_t find_end(const pn_cuda_pass *pass, int32_t first) {
    const pn_op *ops = pass->dev->plan->ops;
    const int32_t group_end = pn_plan_row_group(pass->dev->plan, first, pass->end);
    int32_t end = first + 1;
    while (end < group_end && end - first < PN_CUDA_ROW_OPS - 1 &&
           !(ops[end].kind == PN_OP_KV_STORE && has_store(ops, first, end)))
        end++;
    return end;
}

/* How many slices, each of which needs nothing of the others. */
static int32_t count_slices(const pn_cuda_pass *pass, int32_t first, int32_t end) {
    const pn_plan *plan = pass->dev->plan;
    if (!has_store(plan->ops, first, end)) return 1;
    int32_t n = 1;
    for (int32_t i = first; i < end; i++)
        if (plan->ops[i].kind == PN_OP_KV_STORE) n = plan->attns[plan->ops[i].kv_layer].n_head_kv;
    for (int32_t i = first; i < end; i++) {
        const pn_op *op = &plan->ops[i];
        const int32_t width = plan->values[op->in[0]].width;
        if (width % n != 0) return 1;
        if (op->kind != PN_OP_ADD && op->kind != PN_OP_KV_STORE && width / n % op->head_dim != 0)
            return 1;
    }
    return n;
}

static pn_cuda_row_op lower(const pn_cuda_pass *pass, int32_t i, int32_t n_slices,
                            pn_cuda_rows_args *args) {
    const pn_device *dev = pass->dev;
    const pn_op *op = &dev->plan->ops[i];
    pn_cuda_row_op row_op = {
        .a = pn_cuda_pointer(pn_cuda_value(pass, op->in[0])),
        .b = op->in[1] >= 0 ? pn_cuda_pointer(pn_cuda_value(pass, op->in[1])) : NULL,
        .out = op->out[0] >= 0 ? pn_cuda_pointer(pn_cuda_value(pass, op->out[0])) : NULL,
        .width = dev->plan->values[op->in[0]].width / n_slices,
        .head_dim = op->head_dim,
        .eps = op->eps,
    };
    switch (op->kind) {
    case PN_OP_NORM:
        row_op.kind = PN_CUDA_ROW_NORM;
        row_op.weight = pn_cuda_pointer(dev->ops[i].norm);
        break;
    case PN_OP_ROPE: {
        const pn_rope *rope = &dev->plan->ropes[op->rope];
        row_op.kind = PN_CUDA_ROW_ROPE;
        row_op.weight = pn_cuda_pointer(pn_cuda_rope_table(dev, op->rope));
        row_op.n_rot = rope->n_rot;
        row_op.is_neox = rope->neox;
        break;
    }
    case PN_OP_KV_STORE:
        row_op.kind = PN_CUDA_ROW_STORE;
        args->kv = pn_cuda_kv_of(pass, op);
        break;
    default: row_op.kind = PN_CUDA_ROW_ADD; break;
    }
    return row_op;
}

/* The last value that is written, for the operation after the stage. */
static void add_quantize(pn_cuda_pass *pass, int32_t end, pn_cuda_rows_args *args) {
    const pn_value value = pass->dev->plan->ops[end - 1].out[0];
    if (value < 0) return;
    pn_cuda_wanted_acts(pass, end, value, args->acts);
    if (!args->acts[0].q && !args->acts[1].q) return;
    args->ops[args->n_ops++] = (pn_cuda_row_op){.kind = PN_CUDA_ROW_QUANTIZE,
                                                .a = pn_cuda_pointer(pn_cuda_value(pass, value)),
                                                .width = pass->dev->plan->values[value].width};
}

puna_status pn_cuda_row_stage(pn_cuda_pass *pass, int32_t first, int32_t *next, puna_error *err) {
    const pn_plan *plan = pass->dev->plan;
    const int32_t end = find_end(pass, first), n_slices = count_slices(pass, first, end);
    pn_cuda_rows_args args = {.n_ops = 0};
    int32_t widest = 0;
    for (int32_t i = first; i < end; i++) {
        const pn_cuda_row_op op = lower(pass, i, n_slices, &args);
        if (op.width > widest) widest = op.width;
        args.ops[args.n_ops++] = op;
        for (int32_t k = 0; k < 2; k++) /* a rotation changes its value */
            if (plan->ops[i].out[0] == pass->quantized[k]) pass->quantized[k] = -1;
    }
    if (n_slices == 1) add_quantize(pass, end, &args);
    args.n_cached = widest <= PN_CUDA_ROW_FLOATS ? widest : 0;
    const uint32_t grid[3] = {(uint32_t)pass->n_rows, (uint32_t)n_slices, 1};
    *next = end;
    return pn_cuda_launch(pass, pass->dev->kernels.rows, grid, PN_CUDA_ROW_BLOCK,
                          PN_CUDA_ROWS_BYTES((size_t)args.n_cached), &args, &plan->ops[first], err);
}
