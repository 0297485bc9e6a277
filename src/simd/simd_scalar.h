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

/* ---- integers ---- */

typedef union pn_vi {
    uint8_t u8[64];
    int8_t s8[64];
    int16_t s16[32];
    int32_t s32[16];
    uint64_t u64[8];
} pn_vi;
typedef union pn_vq {
    int8_t s8[16];
    uint8_t u8[16];
    uint64_t u64[2];
} pn_vq;

PN_INLINE pn_vq pn_vq_load(const void *p) {
    pn_vq q;
    memcpy(&q, p, sizeof q);
    return q;
}
PN_INLINE pn_vq pn_vq_set(uint64_t low, uint64_t high) {
    return (pn_vq){.u64 = {low, high}};
}
PN_INLINE void pn_vq_store(void *p, pn_vq q) {
    memcpy(p, &q, sizeof q);
}
PN_INLINE void pn_vq_store_low(void *p, pn_vq q) {
    memcpy(p, &q, 8);
}
PN_INLINE pn_vi pn_vi_zero(void) {
    return (pn_vi){.u64 = {0}};
}
PN_INLINE pn_vi pn_vi_set1_8(int x) {
    pn_vi v;
    memset(&v, x, sizeof v);
    return v;
}
PN_INLINE pn_vi pn_vi_set1_32(int32_t x) {
    pn_vi v;
    for (int i = 0; i < 16; i++) v.s32[i] = x;
    return v;
}
PN_INLINE pn_vi pn_vi_load(const void *p) {
    pn_vi v;
    memcpy(&v, p, sizeof v);
    return v;
}
PN_INLINE void pn_vi_store(void *p, pn_vi v) {
    memcpy(p, &v, sizeof v);
}
PN_INLINE pn_vi pn_vi_load_4(const void *p) {
    int32_t x;
    memcpy(&x, p, sizeof x);
    return pn_vi_set1_32(x);
}
PN_INLINE pn_vi pn_vi_dup16(pn_vq q) {
    pn_vi v;
    for (int i = 0; i < 4; i++) memcpy(v.u8 + 16 * i, &q, 16);
    return v;
}
PN_INLINE pn_vi pn_vi_load_2x32(const void *p0, const void *p1) {
    pn_vi v;
    memcpy(v.u8, p0, 32);
    memcpy(v.u8 + 32, p1, 32);
    return v;
}
PN_INLINE pn_vi pn_vi_dup32(const void *p) {
    return pn_vi_load_2x32(p, p);
}
PN_INLINE pn_vi pn_vi_dup_2x16(const void *p0, const void *p1) {
    pn_vi v;
    for (int i = 0; i < 4; i++) memcpy(v.u8 + 16 * i, i < 2 ? p0 : p1, 16);
    return v;
}
PN_INLINE pn_vi pn_vi_and(pn_vi a, pn_vi b) {
    for (int i = 0; i < 8; i++) a.u64[i] &= b.u64[i];
    return a;
}
PN_INLINE pn_vi pn_vi_or(pn_vi a, pn_vi b) {
    for (int i = 0; i < 8; i++) a.u64[i] |= b.u64[i];
    return a;
}
PN_INLINE pn_vi pn_vi_xor(pn_vi a, pn_vi b) {
    for (int i = 0; i < 8; i++) a.u64[i] ^= b.u64[i];
    return a;
}
PN_INLINE pn_vi pn_vi_add8(pn_vi a, pn_vi b) {
    for (int i = 0; i < 64; i++) a.u8[i] = (uint8_t)(a.u8[i] + b.u8[i]);
    return a;
}
PN_INLINE pn_vi pn_vi_sub8(pn_vi a, pn_vi b) {
    for (int i = 0; i < 64; i++) a.u8[i] = (uint8_t)(a.u8[i] - b.u8[i]);
    return a;
}
PN_INLINE pn_vi pn_vi_add32(pn_vi a, pn_vi b) {
    for (int i = 0; i < 16; i++) a.s32[i] += b.s32[i];
    return a;
}
PN_INLINE pn_vi pn_vi_sub32(pn_vi a, pn_vi b) {
    for (int i = 0; i < 16; i++) a.s32[i] -= b.s32[i];
    return a;
}
PN_INLINE pn_vi pn_vi_mul32(pn_vi a, pn_vi b) {
    for (int i = 0; i < 16; i++) a.s32[i] *= b.s32[i];
    return a;
}
PN_INLINE pn_vi pn_vi_shr(pn_vi v, int a, int b, int c, int d) {
    const int by[4] = {a, b, c, d};
    for (int i = 0; i < 8; i++) v.u64[i] >>= by[i / 2];
    return v;
}
PN_INLINE pn_vi pn_vi_shl(pn_vi v, int a, int b, int c, int d) {
    const int by[4] = {a, b, c, d};
    for (int i = 0; i < 8; i++) v.u64[i] <<= by[i / 2];
    return v;
}
PN_INLINE pn_vi pn_vi_lookup(pn_vq table, pn_vi index) {
    for (int i = 0; i < 64; i++) index.u8[i] = index.u8[i] & 0x80 ? 0 : table.u8[index.u8[i] & 15];
    return index;
}
PN_INLINE pn_vi pn_vi_bits(uint64_t bits, int value) {
    pn_vi v;
    for (int i = 0; i < 64; i++) v.u8[i] = bits >> i & 1 ? (uint8_t)value : 0;
    return v;
}
PN_INLINE pn_vi pn_vi_sign_byte(pn_vi v, int byte) {
    pn_vi out;
    for (int i = 0; i < 16; i++) out.s32[i] = v.s8[4 * i + byte];
    return out;
}
PN_INLINE pn_vi pn_vi_byte_pair(pn_vi v, int first) {
    pn_vi out;
    for (int i = 0; i < 32; i++) out.s16[i] = v.s8[i / 2 * 4 + i % 2 + first];
    return out;
}
PN_INLINE pn_vi pn_vi_madd16(pn_vi acc, pn_vi a, pn_vi b) {
    for (int i = 0; i < 16; i++)
        acc.s32[i] += a.s16[2 * i] * b.s16[2 * i] + a.s16[2 * i + 1] * b.s16[2 * i + 1];
    return acc;
}
PN_INLINE pn_vf pn_vf_from_i32(pn_vi v) {
    pn_vf out;
    for (int i = 0; i < 16; i++) out.f[i] = (float)v.s32[i];
    return out;
}
PN_INLINE pn_vf pn_vf_half_low(pn_vi v) {
    pn_vf out;
    for (int i = 0; i < 16; i++) out.f[i] = pn_simd_half_to_float((uint16_t)v.s32[i]);
    return out;
}
PN_INLINE pn_vf pn_vf_half_high(pn_vi v) {
    pn_vf out;
    for (int i = 0; i < 16; i++)
        out.f[i] = pn_simd_half_to_float((uint16_t)((uint32_t)v.s32[i] >> 16));
    return out;
}

/* ---- products ---- */

#define PN_WIDE_BIAS 0

PN_INLINE pn_vi pn_vi_dot4(pn_vi codes, pn_vi acts, bool wide) {
    pn_vi out;
    for (int i = 0; i < 16; i++) {
        int32_t sum = 0;
        for (int j = 4 * i; j < 4 * i + 4; j++)
            sum += (wide ? codes.s8[j] : codes.u8[j]) * acts.s8[j];
        out.s32[i] = sum;
    }
    return out;
}

typedef struct pn_vscale {
    int32_t s[4][4]; /* of 16 codes */
} pn_vscale;
PN_INLINE pn_vscale pn_vscale_expand(pn_vq scales, int group, bool wide) {
    (void)wide;
    pn_vscale out;
    for (int i = 0; i < 16; i++) out.s[i / 4][i % 4] = scales.s8[group == 16 ? i : i / 2];
    return out;
}
PN_INLINE pn_vi pn_vi_dot_scaled(const pn_vi codes[4], const int8_t *acts, const pn_vscale *scale,
                                 bool wide) {
    pn_vi acc = pn_vi_zero();
    for (int v = 0; v < 4; v++) {
        const pn_vi dots = pn_vi_dot4(codes[v], pn_vi_load(acts + 64 * v), wide);
        for (int i = 0; i < 16; i++) acc.s32[i] += dots.s32[i] * scale->s[v][i / 4];
    }
    return acc;
}

PN_INLINE void pn_vi_sum_halves(const pn_vi v[8], int32_t out[16]) {
    for (int i = 0; i < 16; i++) {
        int32_t sum = 0;
        for (int j = 0; j < 8; j++) sum += v[i / 2].s32[i % 2 * 8 + j];
        out[i] = sum;
    }
}
PN_INLINE void pn_vi_sum_lanes(const pn_vi v[16], int32_t out[16]) {
    for (int i = 0; i < 16; i++) {
        out[i] = 0;
        for (int j = 0; j < 16; j++) out[i] += v[i].s32[j];
    }
}
PN_INLINE void pn_vi_transpose(pn_vi v[16]) {
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < i; j++) {
            const int32_t t = v[i].s32[j];
            v[i].s32[j] = v[j].s32[i];
            v[j].s32[i] = t;
        }
    }
}

/* ---- tiles: lane = row of weights, four inputs a step ---- */

#define PN_PANEL_BIAS     0
#define PN_TILE_RAW_CODES 0
#define PN_TILE_COLUMNS   4

PN_INLINE void pn_vi_tile_run(pn_vi *sums, const int n, const pn_tile_steps s) {
    for (int k = 0; k < s.n_steps; k++) {
        const pn_vi codes = pn_vi_load((const char *)s.codes + 64 * k);
        const char *acts = (const char *)s.acts + s.act_bytes * k;
        for (int c = 0; c < n; c++)
            sums[c] =
                pn_vi_add32(sums[c], pn_vi_dot4(codes, pn_vi_load_4(acts + 4 * c), s.is_signed));
    }
}
PN_INLINE void pn_vi_tile_run_scaled(pn_vi *sums, const int n, const pn_tile_steps s, pn_vi bias,
                                     pn_vi scale) {
    pn_vi dots[PN_TILE_COLUMNS];
    for (int c = 0; c < n; c++) dots[c] = bias;
    pn_vi_tile_run(dots, n, s);
    for (int c = 0; c < n; c++) sums[c] = pn_vi_add32(sums[c], pn_vi_mul32(dots[c], scale));
}
PN_INLINE pn_vi pn_vi_tile_scale(pn_vi scale) {
    return scale;
}
PN_INLINE pn_vi pn_vi_tile_bias(pn_vi acc, pn_vi codes) {
    (void)codes;
    return acc;
}

PN_INLINE pn_vi pn_vi_max_abs_bits(pn_vi acc, pn_vf a) {
    for (int i = 0; i < 16; i++) {
        int32_t bits;
        memcpy(&bits, &a.f[i], sizeof bits);
        bits &= 0x7fffffff;
        acc.s32[i] = bits > acc.s32[i] ? bits : acc.s32[i];
    }
    return acc;
}
PN_INLINE int32_t pn_vi_max_lanes(pn_vi v) {
    for (int i = 1; i < 16; i++) v.s32[0] = v.s32[i] > v.s32[0] ? v.s32[i] : v.s32[0];
    return v.s32[0];
}

#endif
