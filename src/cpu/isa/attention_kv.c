/* attention_kv.c: the size of a KV page and the storing of one position (layout in backend/kv_layout.h).
 */
#include "cpu/isa/attention_kv.h"

#include <math.h>

enum { MAX_HEAD_DIM = 512 };

size_t PN_ISA_FN(pn_kv_page_bytes)(const pn_attention *attn, pn_kv_type type) {
    const size_t per_head = (size_t)attn->head_dim * BLOCK * pn_kv_elem_bytes(type);
    const size_t n_scales =
        type == PN_KV_Q8_0 ? (size_t)pn_kv_n_groups(attn->head_dim) * BLOCK : 0;
    return 2 * (size_t)attn->n_head_kv * (per_head + n_scales * sizeof(float));
}

static void to_f16(const float *x, int32_t n, uint16_t *out) {
    for (int32_t i = 0; i < n; i += PN_LANES)
        pn_vf_store_f16(out + i, pn_vf_load_n(x + i, n - i < PN_LANES ? n - i : PN_LANES));
}

/* One group of at most 32. A value that is not finite makes the scale NaN or infinite, so that it
 * is not hidden. Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even. */
static float to_q8(const float *x, int32_t n, int8_t *q) {
    float max = 0.0f, sum = 0.0f;
    for (int32_t i = 0; i < n; i++) {
        const float a = fabsf(x[i]);
        max = a > max ? a : max;
        sum += a * 0.0f; /* NaN where a is not finite */
    }
    const float scale = max / 127.0f + sum;
    const float inv = scale > 0.0f && scale < INFINITY ? 1.0f / scale : 0.0f;
    for (int32_t i = 0; i < n; i++) {
        const float magic = 12582912.0f;
        const float scaled = inv > 0.0f && inv < INFINITY ? x[i] * inv : 0.0f;
        const float rounded = (scaled + magic) - magic;
        q[i] = (int8_t)(rounded > 127.0f ? 127.0f : rounded < -127.0f ? -127.0f : rounded);
    }
    return scale;
}

static void store_q8(const pn_kv_view *kv, size_t slot, const float *k, const float *v) {
    int8_t q[PN_KV_Q8_GROUP];
    for (int32_t g = 0; g < kv->n_groups; g++) {
        const int32_t d0 = g * PN_KV_Q8_GROUP;
        const int32_t n = kv->head_dim - d0 < PN_KV_Q8_GROUP ? kv->head_dim - d0 : PN_KV_Q8_GROUP;
        kv->key_scales[(size_t)g * BLOCK + slot] = to_q8(k + d0, n, q);
        for (int32_t i = 0; i < n; i++)
            ((int8_t *)kv->keys)[(size_t)(d0 + i) * BLOCK + slot] = q[i];
        int8_t *values = (int8_t *)kv->values + slot * (size_t)kv->head_dim + (size_t)d0;
        kv->value_scales[slot * (size_t)kv->n_groups + (size_t)g] = to_q8(v + d0, n, values);
    }
}

static void store_f16(const pn_kv_view *kv, size_t slot, const float *k, const float *v) {
    uint16_t half[MAX_HEAD_DIM];
    to_f16(k, kv->head_dim, half);
    uint16_t *keys = (uint16_t *)(void *)kv->keys;
    for (int32_t d = 0; d < kv->head_dim; d++) keys[(size_t)d * BLOCK + slot] = half[d];
    to_f16(v, kv->head_dim, half);
    uint16_t *values = (uint16_t *)(void *)kv->values + slot * (size_t)kv->head_dim;
    for (int32_t d = 0; d < kv->head_dim; d++) values[d] = half[d];
}

static void store_f32(const pn_kv_view *kv, size_t slot, const float *k, const float *v) {
    float *keys = (float *)(void *)kv->keys;
    for (int32_t d = 0; d < kv->head_dim; d++) keys[(size_t)d * BLOCK + slot] = k[d];
    float *values = (float *)(void *)kv->values + slot * (size_t)kv->head_dim;
    for (int32_t d = 0; d < kv->head_dim; d++) values[d] = v[d];
}

void PN_ISA_FN(pn_kv_store)(const pn_attn_job *job, int32_t page, int32_t slot, const float *k,
                            const float *v) {
    for (int32_t head = 0; head < job->attn->n_head_kv; head++) {
        const pn_kv_view kv = kv_view_of(job, page, head);
        const size_t at = (size_t)head * (size_t)job->attn->head_dim;
        switch (job->kv_type) {
        case PN_KV_F32: store_f32(&kv, (size_t)slot, k + at, v + at); break;
        case PN_KV_F16: store_f16(&kv, (size_t)slot, k + at, v + at); break;
        case PN_KV_Q8_0: store_q8(&kv, (size_t)slot, k + at, v + at); break;
        }
    }
}
