/* hparams.h: the hyper-parameters of a model, read from the keys of its file and checked.
 *
 * What may differ from layer to layer (heads, feed-forward width, window, rope) is kept per layer,
 * also where most models use one value. After pn_hparams_read every number is inside its range and
 * consistent with the others: heads divide, rotations fit into a head, experts used do not exceed
 * experts. Whether the tensors have the shapes that follow from them is checked when the plan is
 * built. */
#ifndef PN_ARCH_HPARAMS_H
#define PN_ARCH_HPARAMS_H

#include "plan/plan.h"

typedef struct pn_layer_hparams {
    int32_t n_head, n_head_kv; /* n_head is a multiple of n_head_kv */
    int32_t n_ff;
    int32_t window; /* keys at this distance and further are not seen; 0: no limit */
    pn_rope rope;   /* neox and divisors are the architecture's to set */
} pn_layer_hparams;

typedef struct pn_hparams {
    const char *arch; /* a row of archs.def */
    int32_t n_ctx_train, n_vocab, n_embd, n_layer;
    int32_t n_head, n_head_kv, n_ff; /* of the first layer */
    int32_t head_dim;                /* of queries, keys and values */
    int32_t n_expert, n_expert_used; /* 0: dense */
    int32_t n_ff_expert;             /* width of one expert */
    float expert_weight_scale;
    float eps;                              /* of every RMS norm */
    float attention_scale;                  /* on q k */
    float attention_softcap, logit_softcap; /* 0: none */
    float embedding_scale;
    pn_layer_hparams *layers; /* [n_layer]; belongs to the arena given to pn_hparams_read */
} pn_hparams;

/* Reads what all architectures share. arch: the prefix of the keys, which must outlive *hparams. */
puna_status pn_hparams_read(const pn_gguf *gguf, const char *arch, pn_arena *arena,
                            pn_hparams *hparams, puna_error *err);

/* ---- keys below the architecture's prefix, for what only some architectures have:
 * "attention.sliding_window". A missing key keeps *value; *found (may be NULL) says whether it was
 * there ---- */

#define PN_KEY_BYTES 128
/* "ARCH.SUFFIX" in buf; returns buf. */
const char *pn_hparams_key(char buf[PN_KEY_BYTES], const char *arch, const char *suffix);
puna_status pn_hparams_int(const pn_gguf *gguf, const char *arch, const char *suffix, int64_t min,
                           int64_t max, int32_t *value, bool *found, puna_error *err);
puna_status pn_hparams_float(const pn_gguf *gguf, const char *arch, const char *suffix, double min,
                             double max, float *value, bool *found, puna_error *err);

#endif
