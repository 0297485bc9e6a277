/* llama.c: Llama (Touvron et al. 2023) and what is built like it: Llama 2 and 3, Mistral,
 * TinyLlama, SmolLM2, and Mixtral's sparse mixture of experts (Jiang et al. 2024).
 *
 * Each layer: x += attention(norm(x)); x += feed_forward(norm(x)). RMS norms, SiLU-gated
 * feed-forward, grouped key/value heads, and rotation of adjacent pairs (0,1), (2,3), ...: the
 * converter has reordered the rows of q and k to that. Llama 3.1's stretched context is a divisor
 * for each frequency, in rope_freqs.weight. */
#include "arch/builders.h"

#include <math.h>

puna_status pn_arch_hparams_llama(const pn_gguf *gguf, pn_hparams *hparams, puna_error *err) {
    if (hparams->n_expert > 0 && pn_gguf_find_tensor(gguf, "blk.0.ffn_gate.0.weight"))
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "%s: every expert has its own tensors (blk.0.ffn_gate.0.weight), an old "
                       "layout: convert the "
                       "model again, to blk.0.ffn_gate_exps.weight",
                       pn_gguf_path(gguf));
    return PUNA_OK;
}

static puna_status read_divisors(pn_build *b, puna_error *err) {
    const int32_t n = b->hp->layers[0].rope.n_rot / 2;
    const float *divisors;
    PN_TRY(pn_build_vector(b, "rope_freqs", "weight", true, n, &divisors, err));
    for (int32_t i = 0; i < n && divisors; i++)
        if (!isfinite(divisors[i]) || divisors[i] <= 0)
            return pn_fail(err, PUNA_E_FORMAT,
                           "%s: tensor rope_freqs.weight: element %d is %g, expected more than 0",
                           pn_gguf_path(b->plan->gguf), i, (double)divisors[i]);
    for (int32_t i = 0; i < b->hp->n_layer; i++) b->hp->layers[i].rope.divisors = divisors;
    return PUNA_OK;
}

static puna_status build_layer(pn_build *b, pn_value *x, puna_error *err) {
    pn_value h, qkv[3], y;
    PN_TRY(pn_block_norm(b, "attn_norm", *x, &h, err));
    PN_TRY(pn_block_qkv(b, h, false, qkv, err));
    PN_TRY(pn_block_rope(b, qkv[0], qkv[1], err));
    PN_TRY(pn_block_attention(b, qkv, &y, err));
    PN_TRY(pn_block_attention_residual(b, y, x, err));
    PN_TRY(pn_block_norm(b, "ffn_norm", *x, &h, err));
    if (b->hp->n_expert > 0)
        PN_TRY(pn_block_experts(b, h, PN_ACT_SILU, &y, err));
    else
        PN_TRY(pn_block_ffn(b, h, PN_ACT_SILU, &y, err));
    return pn_plan_add(b->plan, *x, y, "residual", x, err);
}

puna_status pn_arch_build_llama(pn_build *b, puna_error *err) {
    pn_value x;
    PN_TRY(read_divisors(b, err));
    PN_TRY(pn_block_embed(b, &x, err));
    for (b->plan->layer = 0; b->plan->layer < b->hp->n_layer; b->plan->layer++)
        PN_TRY(build_layer(b, &x, err));
    b->plan->layer = -1;
    return pn_block_head(b, x, err);
}
