/* pool.h: one vector for a whole text, from the hidden states of its positions. */
#ifndef PN_RUN_POOL_H
#define PN_RUN_POOL_H

#include "base/error.h"

typedef struct pn_pool {
    puna_pooling kind;
    int32_t n_embd;
    double *sum;    /* [n_embd] of the positions seen; MEAN only */
    float *vector;  /* [n_embd] the result when is_ready */
    int32_t n_seen; /* MEAN: positions summed */
    bool is_ready;
} pn_pool;

/* OFF takes no memory. A half-built pool may be closed. */
puna_status pn_pool_open(pn_pool *pool, puna_pooling kind, int32_t n_embd, puna_error *err);
void pn_pool_close(pn_pool *pool);

/* A new text begins. */
void pn_pool_restart(pn_pool *pool);
/* Whether the hidden state of a position of a text of n_tokens is needed. */
bool pn_pool_wants(const pn_pool *pool, int32_t position, int32_t n_tokens);
/* Takes the hidden state [n_embd] of a position. Positions come in order; one that has been taken
 * (its step was cancelled afterwards) may come again. */
void pn_pool_take(pn_pool *pool, int32_t position, int32_t n_tokens, const float *hidden);

#endif
