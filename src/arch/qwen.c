/* qwen.c: Qwen 2 and 2.5 (Yang et al. 2024) and the dense Qwen 3 (Yang et al. 2025).
 *
 * Llama's layer with rotation of the two halves of a head, (i, i + n/2). Qwen 2 has biases on q, k
 * and v; Qwen 3 has none and instead norms every head of q and k before the rotation, with one
 * weight [head_dim] for all heads. */
#include "arch/builders.h"

static puna_status refuse_experts(const pn_gguf *gguf, const pn_hparams *hparams, puna_error *err) {
    if (hparams->n_expert == 0) return PUNA_OK;
    return pn_fail(err, PUNA_E_UNSUPPORTED,
                   "%s: expert_count is %d: architecture %s has no experts", pn_gguf_path(gguf),
                   hparams->n_expert, hparams->arch);
}

static puna_status set_qwen(const pn_gguf *gguf, pn_hparams *hparams, puna_error *err) {
    for (int32_t i = 0; i < hparams->n_layer; i++) hparams->layers[i].rope.neox = true;
    return refuse_experts(gguf, hparams, err);
}

puna_status pn_arch_hparams_qwen2(const pn_gguf *gguf, pn_hparams *hparams, puna_error *err) {
    return set_qwen(gguf, hparams, err);
}

puna_status pn_arch_hparams_qwen3(const pn_gguf *gguf, pn_hparams *hparams, puna_error *err) {
    return set_qwen(gguf, hparams, err);
}

static puna_status build_layer(pn_build *b, bool qkv_bias, bool head_norms, pn_value *x,
                               puna_error *err) {
    pn_value h, qkv[3], y;
    PN_TRY(pn_block_norm(b, "attn_norm", *x, &h, err));
    PN_TRY(pn_block_qkv(b, h, qkv_bias, qkv, err));
    if (head_norms) {
        PN_TRY(pn_block_head_norm(b, "attn_q_norm", &qkv[0], err));
        PN_TRY(pn_block_head_norm(b, "attn_k_norm", &qkv[1], err));
    }
    PN_TRY(pn_block_rope(b, qkv[0], qkv[1], err));
    PN_TRY(pn_block_attention(b, qkv, &y, err));
    PN_TRY(pn_block_attention_residual(b, y, x, err));
    PN_TRY(pn_block_norm(b, "ffn_norm", *x, &h, err));
    PN_TRY(pn_block_ffn(b, h, PN_ACT_SILU, &y, err));
    return pn_plan_add(b->plan, *x, y, "residual", x, err);
}

static puna_status build(pn_build *b, bool qkv_bias, bool head_norms, puna_error *err) {
    pn_value x;
    PN_TRY(pn_block_embed(b, &x, err));
    for (b->plan->layer = 0; b->plan->layer < b->hp->n_layer; b->plan->layer++)
        PN_TRY(build_layer(b, qkv_bias, head_norms, &x, err));
    b->plan->layer = -1;
    return pn_block_head(b, x, err);
}

puna_status pn_arch_build_qwen2(pn_build *b, puna_error *err) {
    return build(b, true, false, err);
}

puna_status pn_arch_build_qwen3(pn_build *b, puna_error *err) {
    return build(b, false, true, err);
}
