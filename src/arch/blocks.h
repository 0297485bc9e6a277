/* blocks.h: what transformer layers are made of, in the words of the papers: norms, q k v,
 * rotation, attention, feed-forward. Each function adds its operations to the plan, finds its
 * tensors by the name they have in the layer being built (plan->layer) and checks their shapes. A
 * bias that the file holds is used.
 *
 * Every tensor is fetched through pn_build, which remembers it: pn_build_check_unused then knows
 * what the file holds beyond what the architecture computes with. */
#ifndef PN_ARCH_BLOCKS_H
#define PN_ARCH_BLOCKS_H

#include "arch/hparams.h"
#include "base/strmap.h"

typedef struct pn_build {
    pn_plan *plan;
    pn_hparams *hp; /* an architecture sets what is its own before it builds */
    pn_strmap used; /* names of the tensors fetched so far */
} pn_build;

/* The hyper-parameters of the layer being built. */
static inline const pn_layer_hparams *pn_build_layer(const pn_build *b) {
    return &b->hp->layers[b->plan->layer];
}

/* Tensor "blk.N.NAME.weight", or "NAME.weight" outside the layers (plan->layer -1). Shapes as in
 * pn_plan_weight; optional: NULL when absent. */
puna_status pn_build_weight(pn_build *b, const char *name, bool optional, int64_t n_in,
                            int64_t n_out, int64_t n_expert, const pn_weight **w, puna_error *err);
/* The same for a vector of floats; kind is "weight" or "bias". */
puna_status pn_build_vector(pn_build *b, const char *name, const char *kind, bool optional,
                            int64_t n, const float **v, puna_error *err);

/* Fails for tensors of layers that were not fetched: the model computes something else than the
 * plan does. Logs those outside the layers. */
puna_status pn_build_check_unused(const pn_build *b, puna_error *err);

/* out = embedding rows [n_embd] of the tokens, times hp->embedding_scale. */
puna_status pn_block_embed(pn_build *b, pn_value *out, puna_error *err);
/* out = RMS norm of x [n_embd] with weight "NAME.weight". */
puna_status pn_block_norm(pn_build *b, const char *name, pn_value x, pn_value *out,
                          puna_error *err);
/* *x = RMS norm of each head of *x, one weight [head_dim] for all of them. */
puna_status pn_block_head_norm(pn_build *b, const char *name, pn_value *x, puna_error *err);
/* qkv[0..3) = queries [n_head * head_dim], keys and values [n_head_kv * head_dim] of x. */
puna_status pn_block_qkv(pn_build *b, pn_value x, bool need_bias, pn_value qkv[3], puna_error *err);
/* Rotates queries and keys by the layer's rope. */
puna_status pn_block_rope(pn_build *b, pn_value q, pn_value k, puna_error *err);
/* out = attn_output (softmax(q k) v) [n_embd], through the cache of this layer. */
puna_status pn_block_attention(pn_build *b, const pn_value qkv[3], pn_value *out, puna_error *err);
/* *x = *x + y. In the last layer, attention is the last to look at other rows: from here on only
 * those whose logits are wanted are computed. */
puna_status pn_block_attention_residual(pn_build *b, pn_value y, pn_value *x, puna_error *err);
/* out = ffn_down (act(ffn_gate x) * ffn_up x) [n_embd]. */
puna_status pn_block_ffn(pn_build *b, pn_value x, pn_activation act, pn_value *out,
                         puna_error *err);
/* out = the same with the n_expert_used best of n_expert such networks, mixed by their router
 * weights. */
puna_status pn_block_experts(pn_build *b, pn_value x, pn_activation act, pn_value *out,
                             puna_error *err);
/* Final norm and logits; without output.weight the embedding table is used (tied). */
puna_status pn_block_head(pn_build *b, pn_value x, puna_error *err);

#endif
