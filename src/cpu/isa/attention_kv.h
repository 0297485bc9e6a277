/* attention_kv.h: where keys and values lie in a KV page of one layer, and how they become float32.
 *
 * keys    [n_head_kv][head_dim][64 positions]   so that the 64 scores of a query are 64 independent
 * lanes values  [n_head_kv][64 positions][head_dim]   so that a weighted sum of values runs in
 * lanes of dimensions q8_0 only, float32 scales of groups of 32 dimensions (the last group of a
 * head may be shorter): [n_head_kv][n_groups][64 positions]   of the keys, then [n_head_kv][64
 * positions][n_groups]   of the values
 *
 * Elements are float32, float16 or int8 (x = scale * q, scale = max |x| / 127). Slots that were
 * never written hold anything, NaN included: whoever reads a page must not let them count. */
#ifndef PN_CPU_ISA_ATTENTION_KV_H
#define PN_CPU_ISA_ATTENTION_KV_H

#include "cpu/isa/isa_fns.h"
#include "simd/simd.h"

enum { BLOCK = 64, Q8_GROUP = 32 };
_Static_assert(PN_PAGE_POSITIONS == BLOCK, "a page is one block of positions");

/* One KV head of one page. */
typedef struct kv_view {
    puna_kv_type type;
    int32_t head_dim, n_groups;
    unsigned char *keys, *values;
    float *key_scales, *value_scales; /* q8_0 */
} kv_view;

PN_INLINE size_t kv_elem_bytes(puna_kv_type type) {
    return type == PUNA_KV_F32 ? 4 : type == PUNA_KV_F16 ? 2 : 1;
}

static inline int32_t kv_n_groups(int32_t head_dim) {
    return (head_dim + Q8_GROUP - 1) / Q8_GROUP;
}

static inline kv_view kv_view_of(const pn_attn_job *job, int32_t page, int32_t head_kv) {
    const pn_attention *attn = job->attn;
    const size_t side_bytes = (size_t)attn->head_dim * BLOCK * kv_elem_bytes(job->kv_type);
    const size_t n_heads = (size_t)attn->n_head_kv, head = (size_t)head_kv;
    const int32_t n_groups = kv_n_groups(attn->head_dim);
    const size_t side_scales = (size_t)n_groups * BLOCK;
    unsigned char *base = job->kv + (size_t)page * job->page_bytes;
    float *scales = (float *)(void *)(base + 2 * n_heads * side_bytes);
    return (kv_view){
        .type = job->kv_type,
        .head_dim = attn->head_dim,
        .n_groups = n_groups,
        .keys = base + head * side_bytes,
        .values = base + (n_heads + head) * side_bytes,
        .key_scales = scales + head * side_scales,
        .value_scales = scales + (n_heads + head) * side_scales,
    };
}

/* 16 elements as float32, from element `at`. */
PN_INLINE pn_vf load_16(puna_kv_type type, const unsigned char *data, size_t at) {
    const unsigned char *p = data + at * kv_elem_bytes(type);
    if (type == PUNA_KV_F32) return pn_vf_load((const float *)(const void *)p);
    if (type == PUNA_KV_F16) return pn_vf_load_f16((const uint16_t *)(const void *)p);
    return pn_vf_load_s8((const int8_t *)p);
}

/* The same of n < 16 elements; the other lanes are 0. */
PN_INLINE pn_vf load_tail(puna_kv_type type, const unsigned char *data, size_t at, int32_t n) {
    _Alignas(64) unsigned char lanes[PN_LANES * sizeof(float)] = {0};
    memcpy(lanes, data + at * kv_elem_bytes(type), (size_t)n * kv_elem_bytes(type));
    return load_16(type, lanes, 0);
}

/* Keys of dimensions [d0, d0 + n), n <= 64, as block[dimension][position]. type is a constant. */
PN_INLINE void load_keys_of(puna_kv_type type, const kv_view *kv, int32_t d0, int32_t n,
                            float *block) {
    for (int32_t i = 0; i < n; i++) {
        const float *scales = kv->key_scales + (d0 + i) / Q8_GROUP * BLOCK;
        for (int32_t j = 0; j < BLOCK; j += PN_LANES) {
            pn_vf v = load_16(type, kv->keys, (size_t)(d0 + i) * BLOCK + (size_t)j);
            if (type == PUNA_KV_Q8_0) v = pn_vf_mul(v, pn_vf_load(scales + j));
            pn_vf_store(block + i * BLOCK + j, v);
        }
    }
}

/* Values of dimensions [d0, d0 + n), n <= 64, of positions [lo, hi) as block[position][64]; columns
 * up to the next multiple of 16 are 0. */
PN_INLINE void load_values_of(puna_kv_type type, const kv_view *kv, int32_t d0, int32_t n,
                              int32_t lo, int32_t hi, float *block) {
    for (int32_t j = lo; j < hi; j++) {
        const float *scales = kv->value_scales + j * kv->n_groups;
        for (int32_t i = 0; i < n; i += PN_LANES) {
            const size_t at = (size_t)j * (size_t)kv->head_dim + (size_t)(d0 + i);
            pn_vf v = n - i >= PN_LANES ? load_16(type, kv->values, at)
                                        : load_tail(type, kv->values, at, n - i);
            if (type == PUNA_KV_Q8_0) v = pn_vf_mul(v, pn_vf_set1(scales[(d0 + i) / Q8_GROUP]));
            pn_vf_store(block + j * BLOCK + i, v);
        }
    }
}

static inline void load_keys(const kv_view *kv, int32_t d0, int32_t n, float *block) {
    switch (kv->type) {
    case PUNA_KV_F32: load_keys_of(PUNA_KV_F32, kv, d0, n, block); break;
    case PUNA_KV_F16: load_keys_of(PUNA_KV_F16, kv, d0, n, block); break;
    case PUNA_KV_Q8_0: load_keys_of(PUNA_KV_Q8_0, kv, d0, n, block); break;
    }
}

static inline void load_values(const kv_view *kv, int32_t d0, int32_t n, int32_t lo, int32_t hi,
                               float *block) {
    switch (kv->type) {
    case PUNA_KV_F32: load_values_of(PUNA_KV_F32, kv, d0, n, lo, hi, block); break;
    case PUNA_KV_F16: load_values_of(PUNA_KV_F16, kv, d0, n, lo, hi, block); break;
    case PUNA_KV_Q8_0: load_values_of(PUNA_KV_Q8_0, kv, d0, n, lo, hi, block); break;
    }
}

#endif
