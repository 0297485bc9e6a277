/* attention_kv.h: how the keys and values of a page (backend/kv_layout.h) become float32. */
#ifndef PN_CPU_ISA_ATTENTION_KV_H
#define PN_CPU_ISA_ATTENTION_KV_H

#include "cpu/isa/isa_fns.h"
#include "backend/kv_layout.h"
#include "simd/simd.h"

enum { BLOCK = 64 };
_Static_assert(PN_PAGE_POSITIONS == BLOCK, "a page is one block of positions");

static inline pn_kv_view kv_view_of(const pn_attn_job *job, int32_t page, int32_t head_kv) {
    return pn_kv_view_of(job->attn, job->kv_type, job->kv + (size_t)page * job->page_bytes,
                         head_kv);
}

/* 16 elements as float32, from element `at`. */
PN_INLINE pn_vf load_16(pn_kv_type type, const unsigned char *data, size_t at) {
    const unsigned char *p = data + at * pn_kv_elem_bytes(type);
    if (type == PN_KV_F32) return pn_vf_load((const float *)(const void *)p);
    if (type == PN_KV_F16) return pn_vf_load_f16((const uint16_t *)(const void *)p);
    return pn_vf_load_s8((const int8_t *)p);
}

/* The same of n < 16 elements; the other lanes are 0. */
PN_INLINE pn_vf load_tail(pn_kv_type type, const unsigned char *data, size_t at, int32_t n) {
    _Alignas(64) unsigned char lanes[PN_LANES * sizeof(float)] = {0};
    memcpy(lanes, data + at * pn_kv_elem_bytes(type), (size_t)n * pn_kv_elem_bytes(type));
    return load_16(type, lanes, 0);
}

/* Keys of dimensions [d0, d0 + n), n <= 64, as block[dimension][position]. type is a constant. */
PN_INLINE void load_keys_of(pn_kv_type type, const pn_kv_view *kv, int32_t d0, int32_t n,
                            float *block) {
    for (int32_t i = 0; i < n; i++) {
        const float *scales = kv->key_scales + (d0 + i) / PN_KV_Q8_GROUP * BLOCK;
        for (int32_t j = 0; j < BLOCK; j += PN_LANES) {
            pn_vf v = load_16(type, kv->keys, (size_t)(d0 + i) * BLOCK + (size_t)j);
            if (type == PN_KV_Q8_0) v = pn_vf_mul(v, pn_vf_load(scales + j));
            pn_vf_store(block + i * BLOCK + j, v);
        }
    }
}

/* Values of dimensions [d0, d0 + n), n <= 64, of positions [lo, hi) as block[position][64]; columns
 * up to the next multiple of 16 are 0. */
PN_INLINE void load_values_of(pn_kv_type type, const pn_kv_view *kv, int32_t d0, int32_t n,
                              int32_t lo, int32_t hi, float *block) {
    for (int32_t j = lo; j < hi; j++) {
        const float *scales = kv->value_scales + j * kv->n_groups;
        for (int32_t i = 0; i < n; i += PN_LANES) {
            const size_t at = (size_t)j * (size_t)kv->head_dim + (size_t)(d0 + i);
            pn_vf v = n - i >= PN_LANES ? load_16(type, kv->values, at)
                                        : load_tail(type, kv->values, at, n - i);
            if (type == PN_KV_Q8_0)
                v = pn_vf_mul(v, pn_vf_set1(scales[(d0 + i) / PN_KV_Q8_GROUP]));
            pn_vf_store(block + j * BLOCK + i, v);
        }
    }
}

static inline void load_keys(const pn_kv_view *kv, int32_t d0, int32_t n, float *block) {
    switch (kv->type) {
    case PN_KV_F32: load_keys_of(PN_KV_F32, kv, d0, n, block); break;
    case PN_KV_F16: load_keys_of(PN_KV_F16, kv, d0, n, block); break;
    case PN_KV_Q8_0: load_keys_of(PN_KV_Q8_0, kv, d0, n, block); break;
    }
}

static inline void load_values(const pn_kv_view *kv, int32_t d0, int32_t n, int32_t lo, int32_t hi,
                               float *block) {
    switch (kv->type) {
    case PN_KV_F32: load_values_of(PN_KV_F32, kv, d0, n, lo, hi, block); break;
    case PN_KV_F16: load_values_of(PN_KV_F16, kv, d0, n, lo, hi, block); break;
    case PN_KV_Q8_0: load_values_of(PN_KV_Q8_0, kv, d0, n, lo, hi, block); break;
    }
}

#endif
