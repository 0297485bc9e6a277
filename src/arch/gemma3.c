/* gemma3.c: the text model of Gemma 3 (Gemma Team 2025).
 *
 * Each layer: x += norm(attention(norm(x))); x += norm(feed_forward(norm(x))), with norms on the
 * heads of q and k before the rotation (halves), a GELU-gated feed-forward, and embeddings scaled
 * by sqrt(n_embd). Five layers of six see only a window of recent positions and rotate with base
 * 10,000; the sixth sees everything and rotates with the base, and the scaling, that the file
 * names. Norm weights are stored with their 1 added. Output and embedding share one table. */
#include "arch/builders.h"

#include <math.h>

#define LOCAL_BASE    10000.0f
#define PERIOD        6 /* every sixth layer is global */
#define LAYERS_OF_27B 62

/* Whether each layer has a window: an array of bool, a period, or by default the period of the
 * paper. */
static puna_status read_pattern(const pn_gguf *gguf, pn_hparams *hp, int32_t window,
                                puna_error *err) {
    char key[PN_KEY_BYTES];
    const char *suffix = "attention.sliding_window_pattern";
    const pn_gguf_kv *kv = pn_gguf_find(gguf, pn_hparams_key(key, hp->arch, suffix));
    if (kv && kv->type == PN_GGUF_ARRAY) {
        pn_gguf_array array;
        PN_TRY(pn_gguf_get_array(gguf, key, PN_GGUF_BOOL, &array, NULL, err));
        if (array.n != (uint64_t)hp->n_layer)
            return pn_fail(err, PUNA_E_FORMAT,
                           "%s: key %s is an array of length %llu, expected %d layers",
                           pn_gguf_path(gguf), key, (unsigned long long)array.n, hp->n_layer);
        for (int32_t i = 0; i < hp->n_layer; i++)
            if (pn_gguf_array_int(&array, (uint64_t)i)) hp->layers[i].window = window;
        return PUNA_OK;
    }
    int32_t period = PERIOD;
    PN_TRY(pn_hparams_int(gguf, hp->arch, suffix, 1, 1024, &period, NULL, err));
    for (int32_t i = 0; i < hp->n_layer; i++)
        if ((i + 1) % period != 0) hp->layers[i].window = window;
    return PUNA_OK;
}

static puna_status read_local_layers(const pn_gguf *gguf, pn_hparams *hp, puna_error *err) {
    int32_t window = 0;
    float base = LOCAL_BASE;
    PN_TRY(pn_hparams_int(gguf, hp->arch, "attention.sliding_window", 0, INT32_MAX, &window, NULL,
                          err));
    PN_TRY(pn_hparams_float(gguf, hp->arch, "rope.freq_base_swa", 2, 1e15, &base, NULL, err));
    PN_TRY(read_pattern(gguf, hp, window, err));
    for (int32_t i = 0; i < hp->n_layer; i++) {
        pn_rope *rope = &hp->layers[i].rope;
        rope->neox = true;
        if (hp->layers[i].window == 0) continue;
        rope->base = base;
        rope->scale = 1.0f;
        rope->ext_factor = 0.0f;
        rope->attn_factor = 1.0f;
    }
    return PUNA_OK;
}

puna_status pn_arch_hparams_gemma3(const pn_gguf *gguf, pn_hparams *hp, puna_error *err) {
    if (hp->n_expert > 0)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "%s: expert_count is %d: architecture gemma3 has no experts",
                       pn_gguf_path(gguf), hp->n_expert);
    hp->embedding_scale = sqrtf((float)hp->n_embd);
    /* The largest model divides by sqrt(n_embd / n_head) instead of sqrt(head_dim); no key says so.
     */
    if (hp->n_layer == LAYERS_OF_27B)
        hp->attention_scale = 1.0f / sqrtf((float)hp->n_embd / (float)hp->n_head);
    PN_TRY(pn_hparams_float(gguf, hp->arch, "attn_logit_softcapping", 0, 1e6,
                            &hp->attention_softcap, NULL, err));
    PN_TRY(pn_hparams_float(gguf, hp->arch, "final_logit_softcapping", 0, 1e6, &hp->logit_softcap,
                            NULL, err));
    return read_local_layers(gguf, hp, err);
}

static puna_status build_layer(pn_build *b, pn_value *x, puna_error *err) {
    pn_value h, qkv[3], y;
    PN_TRY(pn_block_norm(b, "attn_norm", *x, &h, err));
    PN_TRY(pn_block_qkv(b, h, false, qkv, err));
    PN_TRY(pn_block_head_norm(b, "attn_q_norm", &qkv[0], err));
    PN_TRY(pn_block_head_norm(b, "attn_k_norm", &qkv[1], err));
    PN_TRY(pn_block_rope(b, qkv[0], qkv[1], err));
    PN_TRY(pn_block_attention(b, qkv, &y, err));
    PN_TRY(pn_block_norm(b, "post_attention_norm", y, &y, err));
    PN_TRY(pn_block_attention_residual(b, y, x, err));
    PN_TRY(pn_block_norm(b, "ffn_norm", *x, &h, err));
    PN_TRY(pn_block_ffn(b, h, PN_ACT_GELU_TANH, &y, err));
    PN_TRY(pn_block_norm(b, "post_ffw_norm", y, &y, err));
    return pn_plan_add(b->plan, *x, y, "residual", x, err);
}

puna_status pn_arch_build_gemma3(pn_build *b, puna_error *err) {
    pn_value x;
    PN_TRY(pn_block_embed(b, &x, err));
    for (b->plan->layer = 0; b->plan->layer < b->hp->n_layer; b->plan->layer++)
        PN_TRY(build_layer(b, &x, err));
    b->plan->layer = -1;
    return pn_block_head(b, x, err);
}
