/* operands.h: what operations work with, as plain facts: weights, rotations, attention, experts.
 *
 * Kernels need nothing else of a plan, and nothing of the public interface: they are compiled once
 * per instruction set, which takes long, and so only when something that concerns them changes. */
#ifndef PN_PLAN_OPERANDS_H
#define PN_PLAN_OPERANDS_H

#include "fmt/fmt.h"

typedef enum pn_activation { PN_ACT_SILU = 0, PN_ACT_GELU_TANH = 1 } pn_activation;

/* A matrix [n_out, n_in] (rows are stored one after another), or a vector (n_out = 1). With
 * experts: n_expert matrices one after another. data points into the model file. */
typedef struct pn_weight {
    const char *name;
    const pn_format_info *format;
    int64_t n_in, n_out, n_expert;
    size_t row_bytes;
    const void *data;
} pn_weight;

/* How positions rotate: RoPE (Su et al. 2021) with linear or YaRN (Peng et al. 2023) scaling and
 * optional per-frequency divisors (Llama 3.1's rope_freqs). */
typedef struct pn_rope {
    int32_t n_rot; /* rotated dimensions of each head, even */
    bool neox;     /* pairs (i, i + n_rot/2) instead of (2i, 2i+1) */
    float base;
    float scale;       /* positions are multiplied by this: 1/factor for linear and YaRN */
    float ext_factor;  /* YaRN: 1 blends, 0 is plain scaling */
    float attn_factor; /* magnitude multiplier on cos and sin, before YaRN's own */
    float beta_fast, beta_slow;
    int32_t n_ctx_orig;
    const float *divisors; /* [n_rot/2] or NULL; arena-owned */
} pn_rope;

typedef struct pn_attention {
    int32_t n_head, n_head_kv, head_dim; /* keys and values have one head_dim */
    int32_t window;                      /* keys at distance >= window are not seen; 0: no limit */
    float scale;                         /* on q k */
    float softcap;                       /* cap * tanh(x / cap) on scores; 0: none */
} pn_attention;

typedef struct pn_moe {
    int32_t n_expert, n_used, n_ff;
    pn_activation act;
    bool norm_weights;  /* the chosen weights are divided by their sum */
    float weight_scale; /* and multiplied by this */
} pn_moe;

#endif
