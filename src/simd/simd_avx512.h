/* simd_avx512.h: the vocabulary for AVX-512 (F, BW, DQ, VL, VNNI, VBMI): a 64-byte vector is one
 * register. */
#ifndef PN_SIMD_AVX512_H
#define PN_SIMD_AVX512_H

#include <immintrin.h>

#define PN_VF_REGS 32 /* vectors that the register file holds */

typedef __m512 pn_vf;

/* ---- floats ---- */

PN_INLINE pn_vf pn_vf_set1(float x) {
    return _mm512_set1_ps(x);
}
PN_INLINE pn_vf pn_vf_zero(void) {
    return _mm512_setzero_ps();
}
PN_INLINE pn_vf pn_vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
PN_INLINE void pn_vf_store(float *p, pn_vf v) {
    _mm512_storeu_ps(p, v);
}
PN_INLINE __mmask16 pn_avx512_mask(int32_t n) {
    return (__mmask16)((1u << n) - 1u);
}
PN_INLINE pn_vf pn_vf_load_n(const float *p, int32_t n) {
    return _mm512_maskz_loadu_ps(pn_avx512_mask(n), p);
}
PN_INLINE void pn_vf_store_n(float *p, pn_vf v, int32_t n) {
    _mm512_mask_storeu_ps(p, pn_avx512_mask(n), v);
}
PN_INLINE pn_vf pn_vf_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
PN_INLINE void pn_vf_store_f16(uint16_t *p, pn_vf v) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
PN_INLINE pn_vf pn_vf_load_bf16(const uint16_t *p) {
    const __m512i v = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
}
PN_INLINE pn_vf pn_vf_load_s8(const int8_t *p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
PN_INLINE void pn_vf_store_s8(int8_t *p, pn_vf v) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
}
PN_INLINE pn_vf pn_vf_add(pn_vf a, pn_vf b) {
    return _mm512_add_ps(a, b);
}
PN_INLINE pn_vf pn_vf_sub(pn_vf a, pn_vf b) {
    return _mm512_sub_ps(a, b);
}
PN_INLINE pn_vf pn_vf_mul(pn_vf a, pn_vf b) {
    return _mm512_mul_ps(a, b);
}
PN_INLINE pn_vf pn_vf_div(pn_vf a, pn_vf b) {
    return _mm512_div_ps(a, b);
}
PN_INLINE pn_vf pn_vf_min(pn_vf a, pn_vf b) {
    return _mm512_min_ps(a, b);
}
PN_INLINE pn_vf pn_vf_max(pn_vf a, pn_vf b) {
    return _mm512_max_ps(a, b);
}
PN_INLINE pn_vf pn_vf_fma(pn_vf a, pn_vf b, pn_vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
PN_INLINE pn_vf pn_vf_abs(pn_vf a) {
    return _mm512_abs_ps(a);
}
PN_INLINE pn_vf pn_vf_neg(pn_vf a) {
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
PN_INLINE pn_vf pn_vf_round(pn_vf a) {
    const pn_vf big = pn_vf_set1(0x1.8p23f);
    return _mm512_sub_ps(_mm512_add_ps(a, big), big);
}
PN_INLINE pn_vf pn_vf_scale2(pn_vf a, pn_vf n) {
    const pn_vf shifted = _mm512_add_ps(n, pn_vf_set1(0x1.8p23f + 127.0f));
    return _mm512_mul_ps(a,
                         _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23)));
}
PN_INLINE pn_vf pn_vf_first_n(pn_vf a, pn_vf b, int32_t n) {
    return _mm512_mask_blend_ps(pn_avx512_mask(n), b, a);
}
PN_INLINE float pn_vf_sum(pn_vf a) {
    const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
PN_INLINE float pn_vf_max_lanes(pn_vf a) {
    return _mm512_reduce_max_ps(a);
}

/* ---- integers ---- */

typedef __m512i pn_vi;
typedef __m128i pn_vq;

PN_INLINE pn_vq pn_vq_load(const void *p) {
    return _mm_loadu_si128((const __m128i *)p);
}
PN_INLINE pn_vq pn_vq_set(uint64_t low, uint64_t high) {
    return _mm_set_epi64x((long long)high, (long long)low);
}
PN_INLINE void pn_vq_store(void *p, pn_vq q) {
    _mm_storeu_si128((__m128i *)p, q);
}
PN_INLINE void pn_vq_store_low(void *p, pn_vq q) {
    _mm_storel_epi64((__m128i *)p, q);
}
PN_INLINE pn_vi pn_vi_zero(void) {
    return _mm512_setzero_si512();
}
PN_INLINE pn_vi pn_vi_set1_8(int x) {
    return _mm512_set1_epi8((char)x);
}
PN_INLINE pn_vi pn_vi_set1_32(int32_t x) {
    return _mm512_set1_epi32(x);
}
PN_INLINE pn_vi pn_vi_load(const void *p) {
    return _mm512_loadu_si512(p);
}
PN_INLINE void pn_vi_store(void *p, pn_vi v) {
    _mm512_storeu_si512(p, v);
}
PN_INLINE pn_vi pn_vi_load_4(const void *p) {
    int32_t x;
    memcpy(&x, p, sizeof x);
    return _mm512_set1_epi32(x);
}
PN_INLINE pn_vi pn_vi_dup16(pn_vq q) {
    return _mm512_broadcast_i32x4(q);
}
PN_INLINE pn_vi pn_vi_dup32(const void *p) {
    return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)p));
}
PN_INLINE pn_vi pn_vi_dup_2x16(const void *p0, const void *p1) {
    /* Masked broadcasts from memory: no shuffle. */
    const __m512i low = _mm512_broadcast_i32x4(pn_vq_load(p0));
    return _mm512_mask_broadcast_i32x4(low, 0xff00, pn_vq_load(p1));
}
PN_INLINE pn_vi pn_vi_load_2x32(const void *p0, const void *p1) {
    const __m512i low = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)p0));
    return _mm512_inserti64x4(low, _mm256_loadu_si256((const __m256i *)p1), 1);
}
PN_INLINE pn_vi pn_vi_and(pn_vi a, pn_vi b) {
    return _mm512_and_si512(a, b);
}
PN_INLINE pn_vi pn_vi_or(pn_vi a, pn_vi b) {
    return _mm512_or_si512(a, b);
}
PN_INLINE pn_vi pn_vi_xor(pn_vi a, pn_vi b) {
    return _mm512_xor_si512(a, b);
}
PN_INLINE pn_vi pn_vi_add8(pn_vi a, pn_vi b) {
    return _mm512_add_epi8(a, b);
}
PN_INLINE pn_vi pn_vi_sub8(pn_vi a, pn_vi b) {
    return _mm512_sub_epi8(a, b);
}
PN_INLINE pn_vi pn_vi_add32(pn_vi a, pn_vi b) {
    return _mm512_add_epi32(a, b);
}
PN_INLINE pn_vi pn_vi_sub32(pn_vi a, pn_vi b) {
    return _mm512_sub_epi32(a, b);
}
PN_INLINE pn_vi pn_vi_mul32(pn_vi a, pn_vi b) {
    return _mm512_mullo_epi32(a, b);
}
PN_INLINE __m512i pn_avx512_quarters(int a, int b, int c, int d) {
    return _mm512_setr_epi64(a, a, b, b, c, c, d, d);
}
PN_INLINE pn_vi pn_vi_shr(pn_vi v, int a, int b, int c, int d) {
    return _mm512_srlv_epi64(v, pn_avx512_quarters(a, b, c, d));
}
PN_INLINE pn_vi pn_vi_shl(pn_vi v, int a, int b, int c, int d) {
    return _mm512_sllv_epi64(v, pn_avx512_quarters(a, b, c, d));
}
PN_INLINE pn_vi pn_vi_lookup(pn_vq table, pn_vi index) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), index);
}
PN_INLINE pn_vi pn_vi_bits(uint64_t bits, int value) {
    return _mm512_maskz_set1_epi8(bits, (char)value);
}
PN_INLINE pn_vi pn_vi_sign_byte(pn_vi v, int byte) {
    return _mm512_srai_epi32(_mm512_sll_epi32(v, _mm_cvtsi32_si128(24 - 8 * byte)), 24);
}
PN_INLINE pn_vi pn_vi_byte_pair(pn_vi v, int first) {
    /* Each byte goes to the upper half of an int16; the shift brings its sign along. */
    const __m512i index = _mm512_broadcast_i32x4(
        _mm_setr_epi8(-128, 0, -128, 1, -128, 4, -128, 5, -128, 8, -128, 9, -128, 12, -128, 13));
    const __m512i from = _mm512_add_epi32(index, _mm512_set1_epi32(first * 0x01000100));
    return _mm512_srai_epi16(_mm512_shuffle_epi8(v, from), 8);
}
PN_INLINE pn_vi pn_vi_madd16(pn_vi acc, pn_vi a, pn_vi b) {
    return _mm512_dpwssd_epi32(acc, a, b);
}
PN_INLINE pn_vf pn_vf_from_i32(pn_vi v) {
    return _mm512_cvtepi32_ps(v);
}
PN_INLINE pn_vf pn_vf_half_low(pn_vi v) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
}
PN_INLINE pn_vf pn_vf_half_high(pn_vi v) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16)));
}

/* ---- products ---- */

/* Biased: signed codes are made unsigned by adding 128. */
#define PN_WIDE_BIAS 128

PN_INLINE pn_vi pn_vi_dot4(pn_vi codes, pn_vi acts, bool wide) {
    if (wide) codes = _mm512_xor_si512(codes, _mm512_set1_epi8(-128));
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), codes, acts);
}

/* narrow: the int16 scales of two code vectors, as packs_epi32 mixes them; wide: int32 of one. */
typedef struct pn_vscale {
    __m512i s[4];
} pn_vscale;

/* Scale of 32-bit lane group q (of four lanes) of code vector v. */
#define PN_SCALE_AT(v, q, group) ((group) == 16 ? 4 * (v) + (q) : 2 * (v) + (q) / 2)

PN_INLINE __m512i pn_avx512_scale_pair(__m512i bytes, int v, int group) {
    /* The scale goes to the upper byte of each int16, an arithmetic shift extends its sign. */
#define PN_S(u, q)                                                                                 \
    ((long long)((uint64_t)(0x0080u | (unsigned)PN_SCALE_AT(u, q, group) << 8) *                   \
                 0x0001000100010001u))
    const __m512i index = _mm512_setr_epi64(PN_S(v, 0), PN_S(v + 1, 0), PN_S(v, 1), PN_S(v + 1, 1),
                                            PN_S(v, 2), PN_S(v + 1, 2), PN_S(v, 3), PN_S(v + 1, 3));
#undef PN_S
    return _mm512_srai_epi16(_mm512_shuffle_epi8(bytes, index), 8);
}
PN_INLINE __m512i pn_avx512_scale_wide(__m512i bytes, int v, int group) {
#define PN_S(q) ((int)(0x00808080u | (unsigned)PN_SCALE_AT(v, q, group) << 24))
    const __m512i index =
        _mm512_setr_epi32(PN_S(0), PN_S(0), PN_S(0), PN_S(0), PN_S(1), PN_S(1), PN_S(1), PN_S(1),
                          PN_S(2), PN_S(2), PN_S(2), PN_S(2), PN_S(3), PN_S(3), PN_S(3), PN_S(3));
#undef PN_S
    return _mm512_srai_epi32(_mm512_shuffle_epi8(bytes, index), 24);
}
PN_INLINE pn_vscale pn_vscale_expand(pn_vq scales, int group, bool wide) {
    const __m512i bytes = _mm512_broadcast_i32x4(scales);
    pn_vscale out;
    if (wide) {
        for (int v = 0; v < 4; v++) out.s[v] = pn_avx512_scale_wide(bytes, v, group);
    } else {
        for (int p = 0; p < 2; p++) out.s[p] = pn_avx512_scale_pair(bytes, 2 * p, group);
        out.s[2] = out.s[3] = _mm512_setzero_si512();
    }
    return out;
}
PN_INLINE pn_vi pn_vi_dot_scaled(const pn_vi codes[4], const int8_t *acts, const pn_vscale *scale,
                                 bool wide) {
    __m512i c[4];
    for (int v = 0; v < 4; v++) c[v] = pn_vi_dot4(codes[v], pn_vi_load(acts + 64 * v), wide);
    if (wide) {
        for (int v = 0; v < 4; v++) c[v] = _mm512_mullo_epi32(c[v], scale->s[v]);
        return _mm512_add_epi32(_mm512_add_epi32(c[0], c[1]), _mm512_add_epi32(c[2], c[3]));
    }
    const __m512i first = _mm512_madd_epi16(_mm512_packs_epi32(c[0], c[1]), scale->s[0]);
    return _mm512_dpwssd_epi32(first, _mm512_packs_epi32(c[2], c[3]), scale->s[1]);
}

PN_INLINE pn_vi pn_avx512_sum_4(pn_vi a, pn_vi b, pn_vi c, pn_vi d) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}
PN_INLINE void pn_vi_sum_halves(const pn_vi v[8], int32_t out[16]) {
    const __m512i a = pn_avx512_sum_4(v[0], v[1], v[2], v[3]);
    const __m512i b = pn_avx512_sum_4(v[4], v[5], v[6], v[7]);
    const __m512i sums =
        _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
    /* quarters: lower halves of v[0..3], upper, lower of v[4..7], upper */
    const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi32(order, sums));
}

PN_INLINE void pn_vi_sum_lanes(const pn_vi v[16], int32_t out[16]) {
    __m512i s[4];
    for (int i = 0; i < 4; i++)
        s[i] = pn_avx512_sum_4(v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]);
    /* quarters still to be added: first 0 + 1 and 2 + 3 of two vectors, then those */
    const __m512i a = _mm512_add_epi32(_mm512_shuffle_i64x2(s[0], s[1], 0x88),
                                       _mm512_shuffle_i64x2(s[0], s[1], 0xdd));
    const __m512i b = _mm512_add_epi32(_mm512_shuffle_i64x2(s[2], s[3], 0x88),
                                       _mm512_shuffle_i64x2(s[2], s[3], 0xdd));
    _mm512_storeu_si512(
        out, _mm512_add_epi32(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd)));
}

PN_INLINE void pn_vi_transpose(pn_vi v[16]) {
    __m512i t[16], u[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    /* u[4i + c]: in quarter q the column 4q + c of rows 4i .. 4i + 3 */
    for (int i = 0; i < 16; i += 4) {
        u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int c = 0; c < 4; c++) {
        const __m512i a02 = _mm512_shuffle_i32x4(u[c], u[4 + c], 0x88);
        const __m512i a13 = _mm512_shuffle_i32x4(u[c], u[4 + c], 0xdd);
        const __m512i b02 = _mm512_shuffle_i32x4(u[8 + c], u[12 + c], 0x88);
        const __m512i b13 = _mm512_shuffle_i32x4(u[8 + c], u[12 + c], 0xdd);
        v[c] = _mm512_shuffle_i32x4(a02, b02, 0x88);
        v[8 + c] = _mm512_shuffle_i32x4(a02, b02, 0xdd);
        v[4 + c] = _mm512_shuffle_i32x4(a13, b13, 0x88);
        v[12 + c] = _mm512_shuffle_i32x4(a13, b13, 0xdd);
    }
}

/* ---- tiles: lane = row of weights, four inputs a step ---- */

/* dpbusd wants unsigned times signed: panels of activations carry + 128, and a tile the constant
 * that undoes it. */
#define PN_PANEL_BIAS     128
#define PN_TILE_RAW_CODES 0
#define PN_TILE_COLUMNS   12 /* columns in flight: 12 dots, 12 sums, of 32 registers */

PN_INLINE void pn_vi_tile_run(pn_vi *sums, const int n, const pn_tile_steps s) {
    for (int k = 0; k < s.n_steps; k++) {
        const pn_vi codes = pn_vi_load((const char *)s.codes + 64 * k);
        const char *acts = (const char *)s.acts + s.act_bytes * k;
        PN_UNROLL
        for (int c = 0; c < n; c++)
            sums[c] = _mm512_dpbusd_epi32(sums[c], pn_vi_load_4(acts + 4 * c), codes);
    }
}
PN_INLINE void pn_vi_tile_run_scaled(pn_vi *sums, const int n, const pn_tile_steps s, pn_vi bias,
                                     pn_vi scale) {
    pn_vi dots[PN_TILE_COLUMNS];
    PN_UNROLL
    for (int c = 0; c < n; c++) dots[c] = bias;
    pn_vi_tile_run(dots, n, s);
    PN_UNROLL
    for (int c = 0; c < n; c++) sums[c] = pn_vi_add32(sums[c], pn_vi_mul32(dots[c], scale));
}
PN_INLINE pn_vi pn_vi_tile_scale(pn_vi scale) {
    return scale;
}
PN_INLINE pn_vi pn_vi_tile_bias(pn_vi acc, pn_vi codes) {
    return _mm512_dpbusd_epi32(acc, _mm512_set1_epi8(-128), codes); /* + 128 times the codes */
}

/* |a| as integers of their bits: NaN and infinity come out largest. */
PN_INLINE pn_vi pn_vi_max_abs_bits(pn_vi acc, pn_vf a) {
    return _mm512_max_epi32(acc, _mm512_castps_si512(_mm512_abs_ps(a)));
}
PN_INLINE int32_t pn_vi_max_lanes(pn_vi v) {
    return _mm512_reduce_max_epi32(v);
}

#endif
