/* kv_layout.h: where keys and values lie in a KV page of one layer.
 *
 *   keys    [n_head_kv][head_dim][64 positions]  so that the 64 scores of a query are independent
 *                                                lanes
 *   values  [n_head_kv][64 positions][head_dim]  so that a weighted sum of values runs in lanes of
 *                                                dimensions
 * and for q8_0 float32 scales of groups of 32 dimensions (the last group of a head may be shorter):
 *   [n_head_kv][n_groups][64 positions] of the keys, [n_head_kv][64 positions][n_groups] of the
 *   values
 *
 * Elements are float32, float16 or int8 (x = scale * q, scale = max |x| / 127). Slots that were
 * never written hold anything, NaN included: whoever reads a page must not let them count. */
#ifndef PN_BACKEND_KV_LAYOUT_H
#define PN_BACKEND_KV_LAYOUT_H

#include "backend/batch.h"
#include "plan/operands.h"

enum { PN_KV_Q8_GROUP = 32 };

/* One KV head of one page. */
typedef struct pn_kv_view {
    pn_kv_type type;
    int32_t head_dim, n_groups;
    unsigned char *keys, *values;
    float *key_scales, *value_scales; /* q8_0 */
} pn_kv_view;

static inline size_t pn_kv_elem_bytes(pn_kv_type type) {
    return type == PN_KV_F32 ? 4 : type == PN_KV_F16 ? 2 : 1;
}

static inline int32_t pn_kv_n_groups(int32_t head_dim) {
    return (head_dim + PN_KV_Q8_GROUP - 1) / PN_KV_Q8_GROUP;
}

/* page: the page of one layer. */
static inline pn_kv_view pn_kv_view_of(const pn_attention *attn, pn_kv_type type,
                                       unsigned char *page, int32_t head_kv) {
    const size_t side_bytes = (size_t)attn->head_dim * PN_PAGE_POSITIONS * pn_kv_elem_bytes(type);
    const size_t n_heads = (size_t)attn->n_head_kv, head = (size_t)head_kv;
    const int32_t n_groups = pn_kv_n_groups(attn->head_dim);
    const size_t side_scales = (size_t)n_groups * PN_PAGE_POSITIONS;
    float *scales = (float *)(void *)(page + 2 * n_heads * side_bytes);
    return (pn_kv_view){
        .type = type,
        .head_dim = attn->head_dim,
        .n_groups = n_groups,
        .keys = page + head * side_bytes,
        .values = page + (n_heads + head) * side_bytes,
        .key_scales = scales + head * side_scales,
        .value_scales = scales + (n_heads + head) * side_scales,
    };
}

#endif
