/* blocks.c: transformer layers, piece by piece. Shapes in comments are [width] of one row. */
#include "arch/blocks.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAME 128 /* more than a file may hold: such a name is simply not found */

/* ---- tensors ---- */

static void full_name(const pn_build *b, char out[MAX_NAME], const char *name, const char *kind) {
    if (b->plan->layer >= 0)
        (void)snprintf(out, MAX_NAME, "blk.%d.%s.%s", b->plan->layer, name, kind);
    else
        (void)snprintf(out, MAX_NAME, "%s.%s", name, kind);
}

static puna_status mark_used(pn_build *b, const char *full, puna_error *err) {
    const pn_gguf_tensor *t = pn_gguf_find_tensor(b->plan->gguf, full);
    int32_t old;
    if (t && !pn_strmap_add(&b->used, t->name, strlen(t->name), 0, &old))
        return pn_fail_nomem(err, strlen(full), "the compute plan");
    return PUNA_OK;
}

puna_status pn_build_weight(pn_build *b, const char *name, bool optional, int64_t n_in,
                            int64_t n_out, int64_t n_expert, const pn_weight **w, puna_error *err) {
    char full[MAX_NAME];
    full_name(b, full, name, "weight");
    PN_TRY(mark_used(b, full, err));
    return pn_plan_weight(b->plan, w, optional, n_in, n_out, n_expert, err, "%s", full);
}

puna_status pn_build_vector(pn_build *b, const char *name, const char *kind, bool optional,
                            int64_t n, const float **v, puna_error *err) {
    char full[MAX_NAME];
    full_name(b, full, name, kind);
    PN_TRY(mark_used(b, full, err));
    return pn_plan_vector(b->plan, v, optional, n, err, "%s", full);
}

/* Tensors that old converters wrote and no runtime reads: tables of rotation frequencies per layer.
 */
static bool is_harmless(const char *name) {
    return strstr(name, "rot_embd") || strstr(name, "rotary_emb");
}

static bool changes_results(const char *name) {
    return strncmp(name, "blk.", 4) == 0 || strncmp(name, "rope_", 5) == 0;
}

puna_status pn_build_check_unused(const pn_build *b, puna_error *err) {
    const pn_gguf *gguf = b->plan->gguf;
    int32_t n_unused = 0;
    const char *first = NULL;
    for (int32_t i = 0; i < pn_gguf_n_tensors(gguf); i++) {
        const char *name = pn_gguf_tensor_at(gguf, i)->name;
        if (pn_strmap_get(&b->used, name, strlen(name)) >= 0 || is_harmless(name)) continue;
        if (changes_results(name))
            return pn_fail(err, PUNA_E_UNSUPPORTED,
                           "%s: tensor %s has no place in architecture %s with block_count %d",
                           pn_gguf_path(gguf), name, b->hp->arch, b->hp->n_layer);
        if (n_unused++ == 0) first = name;
    }
    if (n_unused > 0)
        pn_log(PUNA_LOG_WARN, "%s: %d tensors are not used, the first is %s", pn_gguf_path(gguf),
               n_unused, first);
    return PUNA_OK;
}

/* out_i = NAME_i.weight x (+ NAME_i.bias), for n matrices of n_out[i] rows that share x. */
static puna_status project(pn_build *b, pn_value x, int32_t n, const char *const *names,
                           const int64_t *n_out, bool need_bias, pn_value *out, puna_error *err) {
    const pn_weight *w[3];
    const float *bias[3];
    for (int32_t i = 0; i < n; i++) {
        const int64_t n_in = b->plan->values[x].width;
        PN_TRY(pn_build_weight(b, names[i], false, n_in, n_out[i], 1, &w[i], err));
        PN_TRY(pn_build_vector(b, names[i], "bias", !need_bias, n_out[i], &bias[i], err));
    }
    return pn_plan_linear(b->plan, x, n, w, bias, names, out, err);
}

/* ---- blocks ---- */

puna_status pn_block_embed(pn_build *b, pn_value *out, puna_error *err) {
    const pn_weight *table;
    PN_TRY(pn_build_weight(b, "token_embd", false, b->hp->n_embd, b->hp->n_vocab, 1, &table, err));
    return pn_plan_embed(b->plan, table, b->hp->embedding_scale, out, err);
}

puna_status pn_block_norm(pn_build *b, const char *name, pn_value x, pn_value *out,
                          puna_error *err) {
    const float *weight;
    PN_TRY(pn_build_vector(b, name, "weight", false, b->hp->n_embd, &weight, err));
    return pn_plan_norm(b->plan, x, weight, 0, b->hp->eps, name, out, err);
}

puna_status pn_block_head_norm(pn_build *b, const char *name, pn_value *x, puna_error *err) {
    const float *weight;
    PN_TRY(pn_build_vector(b, name, "weight", false, b->hp->head_dim, &weight, err));
    return pn_plan_norm(b->plan, *x, weight, b->hp->head_dim, b->hp->eps, name, x, err);
}

puna_status pn_block_qkv(pn_build *b, pn_value x, bool need_bias, pn_value qkv[3],
                         puna_error *err) {
    static const char *const names[3] = {"attn_q", "attn_k", "attn_v"};
    const pn_layer_hparams *layer = pn_build_layer(b);
    const int64_t n_q = (int64_t)layer->n_head * b->hp->head_dim;
    const int64_t n_kv = (int64_t)layer->n_head_kv * b->hp->head_dim;
    return project(b, x, 3, names, (const int64_t[3]){n_q, n_kv, n_kv}, need_bias, qkv, err);
}

puna_status pn_block_rope(pn_build *b, pn_value q, pn_value k, puna_error *err) {
    int32_t rope;
    PN_TRY(pn_plan_rope(b->plan, &pn_build_layer(b)->rope, &rope, err));
    PN_TRY(pn_plan_op_rope(b->plan, q, b->hp->head_dim, rope, err));
    return pn_plan_op_rope(b->plan, k, b->hp->head_dim, rope, err);
}

puna_status pn_block_attention(pn_build *b, const pn_value qkv[3], pn_value *out, puna_error *err) {
    static const char *const names[1] = {"attn_output"};
    const pn_layer_hparams *layer = pn_build_layer(b);
    const pn_attention attention = {.n_head = layer->n_head,
                                    .n_head_kv = layer->n_head_kv,
                                    .head_dim = b->hp->head_dim,
                                    .window = layer->window,
                                    .scale = b->hp->attention_scale,
                                    .softcap = b->hp->attention_softcap};
    pn_value heads; /* [n_head * head_dim] */
    PN_TRY(pn_plan_attention(b->plan, qkv[0], qkv[1], qkv[2], &attention, &heads, err));
    return project(b, heads, 1, names, (const int64_t[1]){b->hp->n_embd}, false, out, err);
}

puna_status pn_block_attention_residual(pn_build *b, pn_value y, pn_value *x, puna_error *err) {
    PN_TRY(pn_plan_add(b->plan, *x, y, "residual", x, err));
    if (b->plan->layer < b->hp->n_layer - 1) return PUNA_OK;
    return pn_plan_select(b->plan, *x, x, err);
}

puna_status pn_block_ffn(pn_build *b, pn_value x, pn_activation act, pn_value *out,
                         puna_error *err) {
    static const char *const names[3] = {"ffn_gate", "ffn_up", "ffn_down"};
    const int64_t n_ff = pn_build_layer(b)->n_ff;
    pn_value gate_up[2], h; /* [n_ff] */
    PN_TRY(project(b, x, 2, names, (const int64_t[2]){n_ff, n_ff}, false, gate_up, err));
    PN_TRY(pn_plan_glu(b->plan, gate_up[0], gate_up[1], act, &h, err));
    return project(b, h, 1, names + 2, (const int64_t[1]){b->hp->n_embd}, false, out, err);
}

puna_status pn_block_experts(pn_build *b, pn_value x, pn_activation act, pn_value *out,
                             puna_error *err) {
    const pn_hparams *hp = b->hp;
    const int64_t n_embd = hp->n_embd, n_ff = hp->n_ff_expert, n_expert = hp->n_expert;
    const pn_weight *router, *gate, *up, *down;
    PN_TRY(pn_build_weight(b, "ffn_gate_inp", false, n_embd, n_expert, 1, &router, err));
    PN_TRY(pn_build_weight(b, "ffn_gate_exps", false, n_embd, n_ff, n_expert, &gate, err));
    PN_TRY(pn_build_weight(b, "ffn_up_exps", false, n_embd, n_ff, n_expert, &up, err));
    PN_TRY(pn_build_weight(b, "ffn_down_exps", false, n_ff, n_embd, n_expert, &down, err));
    const pn_moe moe = {.n_expert = hp->n_expert,
                        .n_used = hp->n_expert_used,
                        .n_ff = hp->n_ff_expert,
                        .act = act,
                        .norm_weights = true,
                        .weight_scale = hp->expert_weight_scale};
    return pn_plan_moe(b->plan, x, router, gate, up, down, &moe, out, err);
}

puna_status pn_block_head(pn_build *b, pn_value x, puna_error *err) {
    const pn_weight *w;
    pn_value h;
    PN_TRY(pn_block_norm(b, "output_norm", x, &h, err));
    PN_TRY(pn_build_weight(b, "output", true, b->hp->n_embd, b->hp->n_vocab, 1, &w, err));
    if (!w)
        PN_TRY(pn_build_weight(b, "token_embd", false, b->hp->n_embd, b->hp->n_vocab, 1, &w, err));
    return pn_plan_logits(b->plan, h, w, 1.0f, b->hp->logit_softcap, err);
}
