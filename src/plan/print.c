/* print.c: the compute plan as a table for people (puna explain). */
#include "plan/plan.h"

#include <stdio.h>

static bool print_value(const pn_plan *plan, pn_value v, pn_buf *out) {
    if (v < 0) return true;
    const pn_value_info *info = &plan->values[v];
    return pn_buf_printf(out, " %s:%d", info->name, info->width);
}

static bool print_details(const pn_plan *plan, const pn_op *op, pn_buf *out) {
    bool ok = true;
    switch (op->kind) {
    case PN_OP_NORM:
        ok = pn_buf_printf(out, "  rms of %d, eps %g", op->head_dim, (double)op->eps);
        break;
    case PN_OP_ROPE: {
        const pn_rope *r = &plan->ropes[op->rope];
        ok = pn_buf_printf(out, "  %d of %d dims, %s, base %g, scale %g%s", r->n_rot, op->head_dim,
                           r->neox ? "halves" : "pairs", (double)r->base, (double)r->scale,
                           r->divisors ? ", per-frequency divisors" : "");
        break;
    }
    case PN_OP_ATTENTION: {
        const pn_attention *a = &plan->attns[op->kv_layer];
        ok = pn_buf_printf(out, "  %d heads over %d kv heads of %d, scale %g", a->n_head,
                           a->n_head_kv, a->head_dim, (double)a->scale);
        if (ok && a->window > 0) ok = pn_buf_printf(out, ", window %d", a->window);
        if (ok && a->softcap > 0) ok = pn_buf_printf(out, ", softcap %g", (double)a->softcap);
        break;
    }
    case PN_OP_GLU:
        ok = pn_buf_printf(out, "  %s", op->act == PN_ACT_SILU ? "silu" : "gelu (tanh)");
        break;
    case PN_OP_MOE:
        ok = pn_buf_printf(out, "  %d of %d experts, ff %d", op->moe.n_used, op->moe.n_expert,
                           op->moe.n_ff);
        break;
    case PN_OP_EMBED:
    case PN_OP_LOGITS:
        if (op->scale != 1.0f) ok = pn_buf_printf(out, "  scale %g", (double)op->scale);
        if (ok && op->softcap > 0) ok = pn_buf_printf(out, "  softcap %g", (double)op->softcap);
        break;
    default:
        break;
    }
    for (int32_t i = 0; ok && i < op->n_weights; i++)
        ok = pn_buf_printf(out, "  %s %s%s", op->w[i]->name, op->w[i]->format->name,
                           op->bias[i] ? "+bias" : "");
    return ok;
}

static bool print_op(const pn_plan *plan, int32_t i, pn_buf *out) {
    const pn_op *op = &plan->ops[i];
    bool ok = pn_buf_printf(out, "%4d  ", i);
    ok = ok &&
         (op->layer >= 0 ? pn_buf_printf(out, "%5d  ", op->layer) : pn_buf_printf(out, "    -  "));
    ok = ok && pn_buf_printf(out, "%-9s ", pn_op_name(op->kind));
    for (int k = 0; ok && k < 2; k++) ok = print_value(plan, op->in[k], out);
    if (ok && op->out[0] >= 0) ok = pn_buf_printf(out, " ->");
    for (int k = 0; ok && k < 3; k++) ok = print_value(plan, op->out[k], out);
    return ok && print_details(plan, op, out) && pn_buf_append(out, "\n", 1);
}

puna_status pn_plan_print(const pn_plan *plan, pn_buf *out, puna_error *err) {
    bool ok = pn_buf_printf(out,
                            "%d operations, %d layers, embedding %d, vocabulary %d\n"
                            "workspace: %lld floats per row of the batch\n\n"
                            "  op  layer  operation  inputs -> outputs, as name:width\n",
                            plan->n_ops, plan->n_layer, plan->n_embd, plan->n_vocab,
                            (long long)plan->floats_per_row);
    for (int32_t i = 0; ok && i < plan->n_ops; i++) ok = print_op(plan, i, out);
    return ok ? PUNA_OK : pn_fail_nomem(err, out->n, "the printed plan");
}
