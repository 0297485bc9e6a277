/* pool.c: mean, first or last hidden state. The mean is summed in double in position order, so it
 * does not depend on the steps that brought the positions. */
#include "run/pool.h"

#include "base/mem.h"

#include <string.h>

puna_status pn_pool_open(pn_pool *pool, puna_pooling kind, int32_t n_embd, puna_error *err) {
    *pool = (pn_pool){.kind = kind, .n_embd = n_embd};
    if ((unsigned)kind > PUNA_POOLING_LAST)
        return pn_fail(err, PUNA_E_ARG, "pooling is %d, allowed: %d to %d", (int)kind,
                       PUNA_POOLING_OFF, PUNA_POOLING_LAST);
    if (kind == PUNA_POOLING_OFF) return PUNA_OK;
    const size_t n = (size_t)n_embd;
    pool->vector = pn_calloc(n, sizeof *pool->vector);
    if (kind == PUNA_POOLING_MEAN) pool->sum = pn_calloc(n, sizeof *pool->sum);
    if (!pool->vector || (kind == PUNA_POOLING_MEAN && !pool->sum))
        return pn_fail_nomem(err, n * (sizeof(float) + sizeof(double)), "an embedding");
    return PUNA_OK;
}

void pn_pool_close(pn_pool *pool) {
    pn_free(pool->sum);
    pn_free(pool->vector);
    *pool = (pn_pool){0};
}

void pn_pool_restart(pn_pool *pool) {
    pool->n_seen = 0;
    pool->is_ready = false;
    if (pool->sum) memset(pool->sum, 0, (size_t)pool->n_embd * sizeof *pool->sum);
}

bool pn_pool_wants(const pn_pool *pool, int32_t position, int32_t n_tokens) {
    switch (pool->kind) {
    case PUNA_POOLING_OFF: break;
    case PUNA_POOLING_MEAN: return true;
    case PUNA_POOLING_CLS: return position == 0;
    case PUNA_POOLING_LAST: return position == n_tokens - 1;
    }
    return false;
}

static void add(pn_pool *pool, const float *hidden, int32_t n_tokens) {
    for (int32_t i = 0; i < pool->n_embd; i++) pool->sum[i] += (double)hidden[i];
    if (++pool->n_seen < n_tokens) return;
    for (int32_t i = 0; i < pool->n_embd; i++) pool->vector[i] = (float)(pool->sum[i] / n_tokens);
    pool->is_ready = true;
}

void pn_pool_take(pn_pool *pool, int32_t position, int32_t n_tokens, const float *hidden) {
    if (!pn_pool_wants(pool, position, n_tokens)) return;
    if (pool->kind == PUNA_POOLING_MEAN) {
        if (position == pool->n_seen) add(pool, hidden, n_tokens);
        return;
    }
    memcpy(pool->vector, hidden, (size_t)pool->n_embd * sizeof *hidden);
    pool->is_ready = true;
}
