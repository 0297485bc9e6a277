/* simd_scalar.h: the vocabulary in plain C: the definition the other two are tested against, and
 * what runs on a CPU without AVX2. */
#ifndef PN_SIMD_SCALAR_H
#define PN_SIMD_SCALAR_H

#include <math.h>

#define PN_VF_REGS 4 /* vectors that the register file holds */

typedef struct pn_vf {
    float f[16];
} pn_vf;

/* ---- half precision, by integer arithmetic ---- */

PN_INLINE float pn_simd_half_to_float(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t rest = h & 0x7fffu;
    union {
        uint32_t u;
        float f;
    } v;
    if (rest >= 0x7c00u) { /* infinity; NaN comes out quiet */
        v.u = 0x7f800000u | rest << 13 | (rest > 0x7c00u ? 0x00400000u : 0u);
    } else if (rest >= 0x0400u) {
        v.u = (rest << 13) + ((127u - 15u) << 23);
    } else { /* subnormal: rest * 2^-24, exact */
        v.f = (float)rest * 0x1p-24f;
    }
    v.u |= sign;
    return v.f;
}

/* Round to nearest even. */
PN_INLINE uint16_t pn_simd_float_to_half(float f) {
    union {
        float f;
        uint32_t u;
    } v = {.f = f};
    const uint32_t sign = v.u >> 16 & 0x8000u;
    uint32_t rest = v.u & 0x7fffffffu;
    if (rest > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (rest >> 13 & 0x3ffu));
    if (rest >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and more */
    if (rest <
        0x38800000u) { /* below 2^-14: adding 0.5 leaves a multiple of 2^-24 in the last bits */
        v.u = rest;
        v.f += 0.5f;
        return (uint16_t)(sign | (v.u - 0x3f000000u));
    }
    rest += 0xfffu + (rest >> 13 & 1u) - ((127u - 15u) << 23);
    return (uint16_t)(sign | rest >> 13);
}

/* ---- floats ---- */

PN_INLINE pn_vf pn_vf_set1(float x) {
    pn_vf v;
    for (int i = 0; i < 16; i++) v.f[i] = x;
    return v;
}
PN_INLINE pn_vf pn_vf_zero(void) {
    return pn_vf_set1(0.0f);
}
PN_INLINE pn_vf pn_vf_load(const float *p) {
    pn_vf v;
    memcpy(v.f, p, sizeof v.f);
    return v;
}
PN_INLINE void pn_vf_store(float *p, pn_vf v) {
    memcpy(p, v.f, sizeof v.f);
}
PN_INLINE pn_vf pn_vf_load_n(const float *p, int32_t n) {
    pn_vf v;
    for (int i = 0; i < 16; i++) v.f[i] = i < n ? p[i] : 0.0f;
    return v;
}
PN_INLINE void pn_vf_store_n(float *p, pn_vf v, int32_t n) {
    for (int i = 0; i < n; i++) p[i] = v.f[i];
}
PN_INLINE pn_vf pn_vf_load_f16(const uint16_t *p) {
    pn_vf v;
    for (int i = 0; i < 16; i++) v.f[i] = pn_simd_half_to_float(p[i]);
    return v;
}
PN_INLINE void pn_vf_store_f16(uint16_t *p, pn_vf v) {
    for (int i = 0; i < 16; i++) p[i] = pn_simd_float_to_half(v.f[i]);
}
PN_INLINE pn_vf pn_vf_load_bf16(const uint16_t *p) {
    pn_vf v;
    for (int i = 0; i < 16; i++) {
        const uint32_t u = (uint32_t)p[i] << 16;
        memcpy(&v.f[i], &u, sizeof u);
    }
    return v;
}
PN_INLINE pn_vf pn_vf_load_s8(const int8_t *p) {
    pn_vf v;
    for (int i = 0; i < 16; i++) v.f[i] = (float)p[i];
    return v;
}
PN_INLINE pn_vf pn_vf_add(pn_vf a, pn_vf b) {
    for (int i = 0; i < 16; i++) a.f[i] += b.f[i];
    return a;
}
PN_INLINE pn_vf pn_vf_sub(pn_vf a, pn_vf b) {
    for (int i = 0; i < 16; i++) a.f[i] -= b.f[i];
    return a;
}
PN_INLINE pn_vf pn_vf_mul(pn_vf a, pn_vf b) {
    for (int i = 0; i < 16; i++) a.f[i] *= b.f[i];
    return a;
}
PN_INLINE pn_vf pn_vf_div(pn_vf a, pn_vf b) {
    for (int i = 0; i < 16; i++) a.f[i] /= b.f[i];
    return a;
}
PN_INLINE pn_vf pn_vf_min(pn_vf a, pn_vf b) {
    for (int i = 0; i < 16; i++) a.f[i] = a.f[i] < b.f[i] ? a.f[i] : b.f[i];
    return a;
}
PN_INLINE pn_vf pn_vf_max(pn_vf a, pn_vf b) {
    for (int i = 0; i < 16; i++) a.f[i] = a.f[i] > b.f[i] ? a.f[i] : b.f[i];
    return a;
}
PN_INLINE pn_vf pn_vf_fma(pn_vf a, pn_vf b, pn_vf c) {
    for (int i = 0; i < 16; i++) a.f[i] = fmaf(a.f[i], b.f[i], c.f[i]);
    return a;
}
PN_INLINE pn_vf pn_vf_abs(pn_vf a) {
    for (int i = 0; i < 16; i++) a.f[i] = fabsf(a.f[i]);
    return a;
}
PN_INLINE pn_vf pn_vf_neg(pn_vf a) {
    for (int i = 0; i < 16; i++) a.f[i] = -a.f[i];
    return a;
}
/* Adding 1.5 * 2^23 leaves the integer, rounded to nearest even, in the low bits. */
PN_INLINE pn_vf pn_vf_round(pn_vf a) {
    for (int i = 0; i < 16; i++) {
        const float shifted = a.f[i] + 0x1.8p23f;
        a.f[i] = shifted - 0x1.8p23f;
    }
    return a;
}
PN_INLINE void pn_vf_store_s8(int8_t *p, pn_vf v) {
    for (int i = 0; i < 16; i++) {
        const float shifted = v.f[i] + 0x1.8p23f;
        uint32_t u;
        memcpy(&u, &shifted, sizeof u);
        p[i] = (int8_t)(uint8_t)u;
    }
}
PN_INLINE pn_vf pn_vf_scale2(pn_vf a, pn_vf n) {
    for (int i = 0; i < 16; i++) {
        /* n + 127 in the low bits, moved to the exponent. */
        const float shifted = n.f[i] + (0x1.8p23f + 127.0f);
        uint32_t u;
        float power;
        memcpy(&u, &shifted, sizeof u);
        u <<= 23;
        memcpy(&power, &u, sizeof power);
        a.f[i] *= power;
    }
    return a;
}
PN_INLINE pn_vf pn_vf_first_n(pn_vf a, pn_vf b, int32_t n) {
    for (int i = 0; i < 16; i++) a.f[i] = i < n ? a.f[i] : b.f[i];
    return a;
}
PN_INLINE float pn_vf_sum(pn_vf a) {
    for (int n = 8; n > 0; n /= 2) {
        for (int i = 0; i < n; i++) a.f[i] += a.f[i + n];
    }
    return a.f[0];
}
PN_INLINE float pn_vf_max_lanes(pn_vf a) {
    for (int i = 1; i < 16; i++) a.f[0] = a.f[i] > a.f[0] ? a.f[i] : a.f[0];
    return a.f[0];
}

#endif
