/* cut.c: a part of a plan, for one of several devices: some operations that follow one another, with values,
 * weights, caches and rotations of their own.
 *
 * What a part reads without having written it is handed in, what it writes and later operations read is handed
 * out: found from the operations, so a part may begin and end anywhere but inside a cache's layer. Values that
 * were written before SELECT and are read behind it cannot be handed over, because rows have other meanings
 * there; no model has any. */
#include "plan/plan.h"

#include "base/mem.h"

#include <string.h>

/* Where a value is used, seen from a part. */
typedef struct use {
    int32_t written;       /* the last operation before the part's end that writes it; -1: none */
    bool is_read, is_made; /* in the part: read before it is written there, written there */
    bool is_read_later;
    pn_value in_part;
} use;

typedef struct cut {
    const pn_plan *whole;
    pn_plan *part;
    int32_t first, end;
    use *uses;      /* [whole->n_values] */
    int32_t *ropes; /* [whole->n_ropes] index in the part; -1: unused */
    int32_t first_attn, end_attn;
    int32_t select; /* the first SELECT, or n_ops */
} cut;

int32_t pn_plan_layer_begins(const pn_plan *whole, int32_t layer) {
    int32_t at = 0;
    if (layer <= 0) return 0;
    if (layer < whole->n_layer) {
        while (at < whole->n_ops && whole->ops[at].layer < layer) at++;
        return at;
    }
    at = whole->n_ops;
    while (at > 0 && whole->ops[at - 1].layer < 0) at--;
    return at;
}

static bool uses_cache(const pn_op *op) {
    return op->kind == PN_OP_KV_STORE || op->kind == PN_OP_ATTENTION;
}

/* ---- what is used ---- */

static void find_uses(cut *c) {
    const pn_plan *whole = c->whole;
    for (int32_t v = 0; v < whole->n_values; v++) c->uses[v] = (use){.written = -1, .in_part = -1};
    c->select = whole->n_ops;
    for (int32_t i = 0; i < whole->n_ops; i++) {
        const pn_op *op = &whole->ops[i];
        const bool within = i >= c->first && i < c->end;
        if (op->kind == PN_OP_SELECT && c->select > i) c->select = i;
        for (int32_t k = 0; k < 2; k++) {
            if (op->in[k] < 0) continue;
            use *u = &c->uses[op->in[k]];
            u->is_read = u->is_read || (within && !u->is_made);
            u->is_read_later = u->is_read_later || i >= c->end;
        }
        for (int32_t k = 0; k < 3; k++) {
            if (op->out[k] < 0 || i >= c->end) continue;
            use *u = &c->uses[op->out[k]];
            u->is_made = u->is_made || within;
            u->written = i;
        }
    }
}

static puna_status find_caches(cut *c, puna_error *err) {
    const pn_op *ops = c->whole->ops;
    c->first_attn = c->end_attn = 0;
    for (int32_t i = c->first; i < c->end; i++) {
        if (!uses_cache(&ops[i])) continue;
        if (c->end_attn == 0) c->first_attn = ops[i].kv_layer;
        if (ops[i].kv_layer >= c->end_attn) c->end_attn = ops[i].kv_layer + 1;
    }
    for (int32_t i = 0; i < c->whole->n_ops; i++) {
        const bool ours = ops[i].kv_layer >= c->first_attn && ops[i].kv_layer < c->end_attn;
        if (uses_cache(&ops[i]) && ours != (i >= c->first && i < c->end))
            return pn_fail(err, PUNA_E_UNSUPPORTED,
                           "plan: layer %d cannot be computed apart from layer %d: they share a "
                           "KV cache",
                           ops[i].layer, ops[c->first].layer);
    }
    return PUNA_OK;
}

/* ---- building the part ---- */

static puna_status check_handed(const cut *c, int32_t v, bool is_selected, puna_error *err) {
    if (!is_selected || c->uses[v].written >= c->select) return PUNA_OK;
    return pn_fail(err, PUNA_E_UNSUPPORTED, "plan: value %s cannot be handed from device to device",
                   c->whole->values[v].name);
}

static puna_status take_values(cut *c, puna_error *err) {
    const pn_plan *whole = c->whole;
    pn_plan *part = c->part;
    const size_t n = (size_t)whole->n_values;
    part->values = pn_calloc(n, sizeof *part->values);
    part->entering = pn_calloc(n, sizeof *part->entering);
    part->leaving = pn_calloc(n, sizeof *part->leaving);
    if (!part->values || !part->entering || !part->leaving)
        return pn_fail_nomem(err, n * sizeof *part->values, "a part of the compute plan");
    part->begins_selected = c->select < c->first;
    part->ends_selected = c->select < c->end;
    for (int32_t v = 0; v < whole->n_values; v++) {
        use *u = &c->uses[v];
        if (!u->is_read && !u->is_made) continue;
        u->in_part = part->n_values++;
        part->values[u->in_part] = (pn_value_info){
            .name = whole->values[v].name, .width = whole->values[v].width, .first = -1};
        if (u->is_read) {
            PN_TRY(check_handed(c, v, part->begins_selected, err));
            part->entering[part->n_entering++] = (pn_handed){u->in_part, v};
        }
        if (u->is_made && u->is_read_later) {
            PN_TRY(check_handed(c, v, part->ends_selected, err));
            part->leaving[part->n_leaving++] = (pn_handed){u->in_part, v};
        }
    }
    return PUNA_OK;
}

static bool uses_weight(const pn_op *op, const pn_weight *w) {
    for (int32_t k = 0; k < op->n_weights; k++)
        if (op->w[k] == w) return true;
    return op->router == w;
}

static puna_status take_weights(cut *c, puna_error *err) {
    const pn_plan *whole = c->whole;
    pn_plan *part = c->part;
    part->weights = pn_calloc((size_t)whole->n_weights + 1, sizeof *part->weights);
    if (!part->weights)
        return pn_fail_nomem(err, (size_t)whole->n_weights * sizeof *part->weights,
                             "a part of the compute plan");
    for (int32_t w = 0; w < whole->n_weights; w++)
        for (int32_t i = c->first; i < c->end; i++)
            if (uses_weight(&whole->ops[i], whole->weights[w])) {
                part->weights[part->n_weights++] = whole->weights[w];
                break;
            }
    return PUNA_OK;
}

static puna_status take_tables(cut *c, puna_error *err) {
    const pn_plan *whole = c->whole;
    pn_plan *part = c->part;
    part->n_attns = c->end_attn - c->first_attn;
    part->attns = pn_calloc((size_t)part->n_attns + 1, sizeof *part->attns);
    part->ropes = pn_calloc((size_t)whole->n_ropes + 1, sizeof *part->ropes);
    if (!part->attns || !part->ropes)
        return pn_fail_nomem(err, (size_t)part->n_attns * sizeof *part->attns,
                             "a part of the compute plan");
    for (int32_t i = 0; i < part->n_attns; i++) part->attns[i] = whole->attns[c->first_attn + i];
    for (int32_t r = 0; r < whole->n_ropes; r++) {
        c->ropes[r] = -1;
        for (int32_t i = c->first; i < c->end && c->ropes[r] < 0; i++)
            if (whole->ops[i].kind == PN_OP_ROPE && whole->ops[i].rope == r)
                c->ropes[r] = part->n_ropes;
        if (c->ropes[r] >= 0) part->ropes[part->n_ropes++] = whole->ropes[r];
    }
    return PUNA_OK;
}

static void use_value(pn_plan *part, pn_value v, int32_t op) {
    pn_value_info *info = &part->values[v];
    if (info->first < 0) info->first = op;
    info->last = op;
}

static puna_status take_ops(cut *c, puna_error *err) {
    pn_plan *part = c->part;
    part->n_ops = c->end - c->first;
    part->ops = pn_calloc((size_t)part->n_ops, sizeof *part->ops);
    if (!part->ops)
        return pn_fail_nomem(err, (size_t)part->n_ops * sizeof *part->ops,
                             "a part of the compute plan");
    for (int32_t i = 0; i < part->n_ops; i++) {
        pn_op *op = &part->ops[i];
        *op = c->whole->ops[c->first + i];
        if (uses_cache(op)) op->kv_layer -= c->first_attn;
        if (op->kind == PN_OP_ROPE) op->rope = c->ropes[op->rope];
        if (op->kind == PN_OP_LOGITS) part->n_vocab = c->whole->n_vocab;
        for (int32_t k = 0; k < 2; k++) {
            if (op->in[k] < 0) continue;
            op->in[k] = c->uses[op->in[k]].in_part;
            use_value(part, op->in[k], i);
        }
        for (int32_t k = 0; k < 3; k++) {
            if (op->out[k] < 0) continue;
            op->out[k] = c->uses[op->out[k]].in_part;
            use_value(part, op->out[k], i);
        }
    }
    for (int32_t i = 0; i < part->n_entering; i++) part->values[part->entering[i].value].first = 0;
    for (int32_t i = 0; i < part->n_leaving; i++)
        part->values[part->leaving[i].value].last = part->n_ops - 1;
    return PUNA_OK;
}

static puna_status build(cut *c, puna_error *err) {
    find_uses(c);
    PN_TRY(find_caches(c, err));
    PN_TRY(take_values(c, err));
    PN_TRY(take_weights(c, err));
    PN_TRY(take_tables(c, err));
    PN_TRY(take_ops(c, err));
    pn_plan_place(c->part);
    return PUNA_OK;
}

puna_status pn_plan_cut(const pn_plan *whole, int32_t first, int32_t end, pn_plan *part,
                        puna_error *err) {
    *part = (pn_plan){.gguf = whole->gguf,
                      .layer = -1,
                      .n_layer = whole->n_layer,
                      .n_embd = whole->n_embd,
                      .n_ctx_train = whole->n_ctx_train,
                      .first_op = first,
                      .n_ops_whole = whole->n_ops};
    if (first < 0 || end > whole->n_ops || first >= end)
        return pn_fail(err, PUNA_E_ARG, "plan: no operations %d to %d of %d", first, end,
                       whole->n_ops);
    cut c = {.whole = whole, .part = part, .first = first, .end = end};
    c.uses = pn_calloc((size_t)whole->n_values + 1, sizeof *c.uses);
    c.ropes = pn_calloc((size_t)whole->n_ropes + 1, sizeof *c.ropes);
    puna_status status = PUNA_OK;
    if (!c.uses || !c.ropes)
        status = pn_fail_nomem(err, (size_t)whole->n_values * sizeof *c.uses,
                               "a part of the compute plan");
    if (status == PUNA_OK) status = build(&c, err);
    pn_free(c.uses);
    pn_free(c.ropes);
    if (status != PUNA_OK) pn_plan_free(part);
    return status;
}
