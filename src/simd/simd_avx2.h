/* simd_avx2.h: the vocabulary for AVX2 + FMA + F16C: a 64-byte vector is a pair of registers. */
#ifndef PN_SIMD_AVX2_H
#define PN_SIMD_AVX2_H

#include <immintrin.h>

#define PN_VF_REGS 8 /* vectors that the register file holds */

typedef struct pn_vf {
    __m256 l, h; /* lanes 0..7, 8..15 */
} pn_vf;

/* ---- floats ---- */

PN_INLINE pn_vf pn_vf_set1(float x) {
    const __m256 v = _mm256_set1_ps(x);
    return (pn_vf){v, v};
}
PN_INLINE pn_vf pn_vf_zero(void) {
    return (pn_vf){_mm256_setzero_ps(), _mm256_setzero_ps()};
}
PN_INLINE pn_vf pn_vf_load(const float *p) {
    return (pn_vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
PN_INLINE void pn_vf_store(float *p, pn_vf v) {
    _mm256_storeu_ps(p, v.l);
    _mm256_storeu_ps(p + 8, v.h);
}
/* All ones in the lanes i < n - first of eight. */
PN_INLINE __m256i pn_avx2_mask(int32_t n, int32_t first) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n - first),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
PN_INLINE pn_vf pn_vf_load_n(const float *p, int32_t n) {
    return (pn_vf){_mm256_maskload_ps(p, pn_avx2_mask(n, 0)),
                   _mm256_maskload_ps(p + 8, pn_avx2_mask(n, 8))};
}
PN_INLINE void pn_vf_store_n(float *p, pn_vf v, int32_t n) {
    _mm256_maskstore_ps(p, pn_avx2_mask(n, 0), v.l);
    _mm256_maskstore_ps(p + 8, pn_avx2_mask(n, 8), v.h);
}
PN_INLINE pn_vf pn_vf_load_f16(const uint16_t *p) {
    return (pn_vf){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p)),
                   _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p + 8)))};
}
PN_INLINE void pn_vf_store_f16(uint16_t *p, pn_vf v) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(v.l, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(void *)(p + 8), _mm256_cvtps_ph(v.h, _MM_FROUND_TO_NEAREST_INT));
}
PN_INLINE pn_vf pn_vf_load_bf16(const uint16_t *p) {
    const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
    const __m256i l = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(v));
    const __m256i h = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1));
    return (pn_vf){_mm256_castsi256_ps(_mm256_slli_epi32(l, 16)),
                   _mm256_castsi256_ps(_mm256_slli_epi32(h, 16))};
}
PN_INLINE pn_vf pn_vf_load_s8(const int8_t *p) {
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (pn_vf){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)),
                   _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)))};
}
PN_INLINE void pn_vf_store_s8(int8_t *p, pn_vf v) {
    const __m256i l = _mm256_cvtps_epi32(v.l), h = _mm256_cvtps_epi32(v.h);
    const __m128i l16 = _mm_packs_epi32(_mm256_castsi256_si128(l), _mm256_extracti128_si256(l, 1));
    const __m128i h16 = _mm_packs_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    _mm_storeu_si128((__m128i *)(void *)p, _mm_packs_epi16(l16, h16));
}
PN_INLINE pn_vf pn_vf_add(pn_vf a, pn_vf b) {
    return (pn_vf){_mm256_add_ps(a.l, b.l), _mm256_add_ps(a.h, b.h)};
}
PN_INLINE pn_vf pn_vf_sub(pn_vf a, pn_vf b) {
    return (pn_vf){_mm256_sub_ps(a.l, b.l), _mm256_sub_ps(a.h, b.h)};
}
PN_INLINE pn_vf pn_vf_mul(pn_vf a, pn_vf b) {
    return (pn_vf){_mm256_mul_ps(a.l, b.l), _mm256_mul_ps(a.h, b.h)};
}
PN_INLINE pn_vf pn_vf_div(pn_vf a, pn_vf b) {
    return (pn_vf){_mm256_div_ps(a.l, b.l), _mm256_div_ps(a.h, b.h)};
}
PN_INLINE pn_vf pn_vf_min(pn_vf a, pn_vf b) {
    return (pn_vf){_mm256_min_ps(a.l, b.l), _mm256_min_ps(a.h, b.h)};
}
PN_INLINE pn_vf pn_vf_max(pn_vf a, pn_vf b) {
    return (pn_vf){_mm256_max_ps(a.l, b.l), _mm256_max_ps(a.h, b.h)};
}
PN_INLINE pn_vf pn_vf_fma(pn_vf a, pn_vf b, pn_vf c) {
    return (pn_vf){_mm256_fmadd_ps(a.l, b.l, c.l), _mm256_fmadd_ps(a.h, b.h, c.h)};
}
PN_INLINE pn_vf pn_vf_abs(pn_vf a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (pn_vf){_mm256_andnot_ps(sign, a.l), _mm256_andnot_ps(sign, a.h)};
}
PN_INLINE pn_vf pn_vf_neg(pn_vf a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (pn_vf){_mm256_xor_ps(sign, a.l), _mm256_xor_ps(sign, a.h)};
}
PN_INLINE pn_vf pn_vf_round(pn_vf a) {
    const pn_vf big = pn_vf_set1(0x1.8p23f);
    return pn_vf_sub(pn_vf_add(a, big), big);
}
PN_INLINE pn_vf pn_vf_scale2(pn_vf a, pn_vf n) {
    const pn_vf shifted = pn_vf_add(n, pn_vf_set1(0x1.8p23f + 127.0f));
    const pn_vf power = {
        _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(shifted.l), 23)),
        _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(shifted.h), 23))};
    return pn_vf_mul(a, power);
}
PN_INLINE pn_vf pn_vf_first_n(pn_vf a, pn_vf b, int32_t n) {
    return (pn_vf){_mm256_blendv_ps(b.l, a.l, _mm256_castsi256_ps(pn_avx2_mask(n, 0))),
                   _mm256_blendv_ps(b.h, a.h, _mm256_castsi256_ps(pn_avx2_mask(n, 8)))};
}
PN_INLINE float pn_vf_sum(pn_vf a) {
    const __m256 s8 = _mm256_add_ps(a.l, a.h);
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
PN_INLINE float pn_vf_max_lanes(pn_vf a) {
    const __m256 m8 = _mm256_max_ps(a.l, a.h);
    const __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
    const __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
    return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}

/* ---- integers ---- */

typedef struct pn_vi {
    __m256i l, h; /* bytes 0..31, 32..63 */
} pn_vi;
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
    return (pn_vi){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
PN_INLINE pn_vi pn_vi_set1_8(int x) {
    const __m256i v = _mm256_set1_epi8((char)x);
    return (pn_vi){v, v};
}
PN_INLINE pn_vi pn_vi_set1_32(int32_t x) {
    const __m256i v = _mm256_set1_epi32(x);
    return (pn_vi){v, v};
}
PN_INLINE pn_vi pn_vi_load(const void *p) {
    return (pn_vi){_mm256_loadu_si256((const __m256i *)p),
                   _mm256_loadu_si256((const __m256i *)p + 1)};
}
PN_INLINE void pn_vi_store(void *p, pn_vi v) {
    _mm256_storeu_si256((__m256i *)p, v.l);
    _mm256_storeu_si256((__m256i *)p + 1, v.h);
}
PN_INLINE pn_vi pn_vi_load_4(const void *p) {
    int32_t x;
    memcpy(&x, p, sizeof x);
    return pn_vi_set1_32(x);
}
PN_INLINE pn_vi pn_vi_dup16(pn_vq q) {
    const __m256i v = _mm256_broadcastsi128_si256(q);
    return (pn_vi){v, v};
}
PN_INLINE pn_vi pn_vi_dup32(const void *p) {
    const __m256i v = _mm256_loadu_si256((const __m256i *)p);
    return (pn_vi){v, v};
}
PN_INLINE pn_vi pn_vi_dup_2x16(const void *p0, const void *p1) {
    return (pn_vi){_mm256_broadcastsi128_si256(pn_vq_load(p0)),
                   _mm256_broadcastsi128_si256(pn_vq_load(p1))};
}
PN_INLINE pn_vi pn_vi_load_2x32(const void *p0, const void *p1) {
    return (pn_vi){_mm256_loadu_si256((const __m256i *)p0),
                   _mm256_loadu_si256((const __m256i *)p1)};
}
PN_INLINE pn_vi pn_vi_and(pn_vi a, pn_vi b) {
    return (pn_vi){_mm256_and_si256(a.l, b.l), _mm256_and_si256(a.h, b.h)};
}
PN_INLINE pn_vi pn_vi_or(pn_vi a, pn_vi b) {
    return (pn_vi){_mm256_or_si256(a.l, b.l), _mm256_or_si256(a.h, b.h)};
}
PN_INLINE pn_vi pn_vi_xor(pn_vi a, pn_vi b) {
    return (pn_vi){_mm256_xor_si256(a.l, b.l), _mm256_xor_si256(a.h, b.h)};
}
PN_INLINE pn_vi pn_vi_add8(pn_vi a, pn_vi b) {
    return (pn_vi){_mm256_add_epi8(a.l, b.l), _mm256_add_epi8(a.h, b.h)};
}
PN_INLINE pn_vi pn_vi_sub8(pn_vi a, pn_vi b) {
    return (pn_vi){_mm256_sub_epi8(a.l, b.l), _mm256_sub_epi8(a.h, b.h)};
}
PN_INLINE pn_vi pn_vi_add32(pn_vi a, pn_vi b) {
    return (pn_vi){_mm256_add_epi32(a.l, b.l), _mm256_add_epi32(a.h, b.h)};
}
PN_INLINE pn_vi pn_vi_sub32(pn_vi a, pn_vi b) {
    return (pn_vi){_mm256_sub_epi32(a.l, b.l), _mm256_sub_epi32(a.h, b.h)};
}
PN_INLINE pn_vi pn_vi_mul32(pn_vi a, pn_vi b) {
    return (pn_vi){_mm256_mullo_epi32(a.l, b.l), _mm256_mullo_epi32(a.h, b.h)};
}
PN_INLINE pn_vi pn_vi_shr(pn_vi v, int a, int b, int c, int d) {
    return (pn_vi){_mm256_srlv_epi64(v.l, _mm256_setr_epi64x(a, a, b, b)),
                   _mm256_srlv_epi64(v.h, _mm256_setr_epi64x(c, c, d, d))};
}
PN_INLINE pn_vi pn_vi_shl(pn_vi v, int a, int b, int c, int d) {
    return (pn_vi){_mm256_sllv_epi64(v.l, _mm256_setr_epi64x(a, a, b, b)),
                   _mm256_sllv_epi64(v.h, _mm256_setr_epi64x(c, c, d, d))};
}
PN_INLINE pn_vi pn_vi_lookup(pn_vq table, pn_vi index) {
    const __m256i t = _mm256_broadcastsi128_si256(table);
    return (pn_vi){_mm256_shuffle_epi8(t, index.l), _mm256_shuffle_epi8(t, index.h)};
}
/* Byte i gets the byte of the mask that holds bit i; one bit of it is then looked at. */
PN_INLINE __m256i pn_avx2_bits(uint32_t bits, int value) {
    const __m256i spread = _mm256_shuffle_epi8(
        _mm256_set1_epi32((int)bits),
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201u);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
    return _mm256_and_si256(set, _mm256_set1_epi8((char)value));
}
PN_INLINE pn_vi pn_vi_bits(uint64_t bits, int value) {
    return (pn_vi){pn_avx2_bits((uint32_t)bits, value),
                   pn_avx2_bits((uint32_t)(bits >> 32), value)};
}
PN_INLINE pn_vi pn_vi_sign_byte(pn_vi v, int byte) {
    const __m128i left = _mm_cvtsi32_si128(24 - 8 * byte);
    return (pn_vi){_mm256_srai_epi32(_mm256_sll_epi32(v.l, left), 24),
                   _mm256_srai_epi32(_mm256_sll_epi32(v.h, left), 24)};
}
PN_INLINE pn_vi pn_vi_byte_pair(pn_vi v, int first) {
    /* Each byte goes to the upper half of an int16; the shift brings its sign along. */
    const __m256i index = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-128, 0, -128, 1, -128, 4, -128, 5, -128, 8, -128, 9, -128, 12, -128, 13));
    const __m256i from = _mm256_add_epi32(index, _mm256_set1_epi32(first * 0x01000100));
    return (pn_vi){_mm256_srai_epi16(_mm256_shuffle_epi8(v.l, from), 8),
                   _mm256_srai_epi16(_mm256_shuffle_epi8(v.h, from), 8)};
}
PN_INLINE pn_vi pn_vi_madd16(pn_vi acc, pn_vi a, pn_vi b) {
    return (pn_vi){_mm256_add_epi32(acc.l, _mm256_madd_epi16(a.l, b.l)),
                   _mm256_add_epi32(acc.h, _mm256_madd_epi16(a.h, b.h))};
}
PN_INLINE pn_vf pn_vf_from_i32(pn_vi v) {
    return (pn_vf){_mm256_cvtepi32_ps(v.l), _mm256_cvtepi32_ps(v.h)};
}
PN_INLINE __m256 pn_avx2_half(__m256i v) { /* of the low 16 bits; the others are 0 */
    const __m128i packed =
        _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return _mm256_cvtph_ps(packed);
}
PN_INLINE pn_vf pn_vf_half_low(pn_vi v) {
    const __m256i mask = _mm256_set1_epi32(0xffff);
    return (pn_vf){pn_avx2_half(_mm256_and_si256(v.l, mask)),
                   pn_avx2_half(_mm256_and_si256(v.h, mask))};
}
PN_INLINE pn_vf pn_vf_half_high(pn_vi v) {
    return (pn_vf){pn_avx2_half(_mm256_srli_epi32(v.l, 16)),
                   pn_avx2_half(_mm256_srli_epi32(v.h, 16))};
}

/* ---- products ---- */

#define PN_WIDE_BIAS 0

/* Sums of two products as int16. maddubs saturates beyond 2^15: narrow codes (0..63) stay below
 * 2 * 63 * 127; wide ones (-128..127) are taken as |code| times the activation with the code's
 * sign, at most 2 * 128 * 127. */
PN_INLINE __m256i pn_avx2_pairs(__m256i codes, __m256i acts, bool wide) {
    if (wide) return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(acts, codes));
    return _mm256_maddubs_epi16(codes, acts);
}
PN_INLINE pn_vi pn_vi_dot4(pn_vi codes, pn_vi acts, bool wide) {
    const __m256i ones = _mm256_set1_epi16(1);
    return (pn_vi){_mm256_madd_epi16(pn_avx2_pairs(codes.l, acts.l, wide), ones),
                   _mm256_madd_epi16(pn_avx2_pairs(codes.h, acts.h, wide), ones)};
}

/* int16 scales for each half of the four code vectors. */
typedef struct pn_vscale {
    __m256i s[8];
} pn_vscale;
PN_INLINE pn_vscale pn_vscale_expand(pn_vq scales, int group, bool wide) {
    (void)wide;
    const __m256i bytes = _mm256_broadcastsi128_si256(scales);
    pn_vscale out;
    for (int i = 0; i < 8; i++) { /* 32 codes: two scales of 16, or one */
        const unsigned low = (unsigned)(group == 16 ? 2 * i : i);
        const unsigned high = (unsigned)(group == 16 ? 2 * i + 1 : i);
        const __m256i index = _mm256_setr_m128i(_mm_set1_epi16((short)(0x0080u | low << 8)),
                                                _mm_set1_epi16((short)(0x0080u | high << 8)));
        out.s[i] = _mm256_srai_epi16(_mm256_shuffle_epi8(bytes, index), 8);
    }
    return out;
}
PN_INLINE pn_vi pn_vi_dot_scaled(const pn_vi codes[4], const int8_t *acts, const pn_vscale *scale,
                                 bool wide) {
    pn_vi acc = pn_vi_zero();
    for (int v = 0; v < 4; v++) {
        const pn_vi a = pn_vi_load(acts + 64 * v);
        acc.l = _mm256_add_epi32(
            acc.l, _mm256_madd_epi16(pn_avx2_pairs(codes[v].l, a.l, wide), scale->s[2 * v]));
        acc.h = _mm256_add_epi32(
            acc.h, _mm256_madd_epi16(pn_avx2_pairs(codes[v].h, a.h, wide), scale->s[2 * v + 1]));
    }
    return acc;
}

PN_INLINE __m128i pn_avx2_sum_4(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}
PN_INLINE void pn_vi_sum_halves(const pn_vi v[8], int32_t out[16]) {
    for (int i = 0; i < 4; i++) {
        const __m128i sums = pn_avx2_sum_4(v[2 * i].l, v[2 * i].h, v[2 * i + 1].l, v[2 * i + 1].h);
        _mm_storeu_si128((__m128i *)(void *)(out + 4 * i), sums);
    }
}

PN_INLINE void pn_vi_sum_lanes(const pn_vi v[16], int32_t out[16]) {
    for (int i = 0; i < 16; i += 4) {
        const __m128i sums = pn_avx2_sum_4(
            _mm256_add_epi32(v[i].l, v[i].h), _mm256_add_epi32(v[i + 1].l, v[i + 1].h),
            _mm256_add_epi32(v[i + 2].l, v[i + 2].h), _mm256_add_epi32(v[i + 3].l, v[i + 3].h));
        _mm_storeu_si128((__m128i *)(void *)(out + i), sums);
    }
}

/* Columns of eight rows of eight. */
PN_INLINE void pn_avx2_transpose_8(__m256i v[8]) {
    __m256i t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int c = 0; c < 4; c++) {
        v[c] = _mm256_permute2x128_si256(u[c], u[4 + c], 0x20);
        v[4 + c] = _mm256_permute2x128_si256(u[c], u[4 + c], 0x31);
    }
}
PN_INLINE void pn_vi_transpose(pn_vi v[16]) {
    __m256i q[4][8]; /* rows 0..7 and columns 0..7, columns 8..15; rows 8..15 */
    for (int i = 0; i < 8; i++) {
        q[0][i] = v[i].l;
        q[1][i] = v[i].h;
        q[2][i] = v[8 + i].l;
        q[3][i] = v[8 + i].h;
    }
    for (int i = 0; i < 4; i++) pn_avx2_transpose_8(q[i]);
    for (int i = 0; i < 8; i++) {
        v[i] = (pn_vi){q[0][i], q[2][i]};
        v[8 + i] = (pn_vi){q[1][i], q[3][i]};
    }
}

/* ---- tiles: lane = row of weights, four inputs a step ---- */

#define PN_PANEL_BIAS     0
#define PN_TILE_RAW_CODES 1 /* maddubs wants unsigned codes */
#define PN_TILE_COLUMNS   3 /* columns in flight: two registers each of pairs and sums, of 16 */

/* Keeps the compiler from reordering the additions that v takes part in: their tree of partial
 * results would not fit into the registers. */
PN_INLINE void pn_avx2_keep(__m256i *v) {
    __asm__("" : "+x"(*v));
}
/* Pairs of products are added as int16 for n_int16 steps, then multiplied by the scale, twice in
 * every lane, and added as int32. An offset is taken from the first pairs, for all steps at once:
 * on the way the sums may wrap around, but what comes out of them fits. */
PN_INLINE void pn_avx2_tile_run(pn_vi *sums, const int n, const pn_tile_steps s, pn_vi scale) {
    for (int k = 0; k < s.n_steps; k += s.n_int16) {
        pn_vi pairs[PN_TILE_COLUMNS];
        PN_UNROLL
        for (int i = 0; i < s.n_int16; i++) {
            const pn_vi codes = pn_vi_load((const char *)s.codes + 64 * (k + i));
            const char *acts = (const char *)s.acts + s.act_bytes * (k + i);
            PN_UNROLL
            for (int c = 0; c < n; c++) {
                const pn_vi a = pn_vi_load_4(acts + 4 * c);
                const __m256i l = pn_avx2_pairs(codes.l, a.l, s.is_wide);
                const __m256i h = pn_avx2_pairs(codes.h, a.h, s.is_wide);
                if (i > 0) {
                    pairs[c] =
                        (pn_vi){_mm256_add_epi16(pairs[c].l, l), _mm256_add_epi16(pairs[c].h, h)};
                } else if (s.offset != 0) {
                    const __m256i start =
                        _mm256_mullo_epi16(pn_vi_load_4((const char *)s.lane_sums + 4 * c).l,
                                           _mm256_set1_epi16((short)s.offset));
                    pairs[c] = (pn_vi){_mm256_sub_epi16(l, start), _mm256_sub_epi16(h, start)};
                } else {
                    pairs[c] = (pn_vi){l, h};
                }
                pn_avx2_keep(&pairs[c].l);
                pn_avx2_keep(&pairs[c].h);
            }
        }
        PN_UNROLL
        for (int c = 0; c < n; c++) {
            sums[c] = pn_vi_madd16(sums[c], pairs[c], scale);
            pn_avx2_keep(&sums[c].l);
            pn_avx2_keep(&sums[c].h);
        }
    }
}
PN_INLINE void pn_vi_tile_run(pn_vi *sums, const int n, const pn_tile_steps s) {
    const __m256i ones = _mm256_set1_epi16(1);
    pn_avx2_tile_run(sums, n, s, (pn_vi){ones, ones});
}
PN_INLINE void pn_vi_tile_run_scaled(pn_vi *sums, const int n, const pn_tile_steps s, pn_vi bias,
                                     pn_vi scale) {
    (void)bias; /* 0: panels carry none */
    pn_avx2_tile_run(sums, n, s, scale);
}
PN_INLINE pn_vi pn_vi_tile_scale(pn_vi scale) {
    return (pn_vi){_mm256_blend_epi16(scale.l, _mm256_slli_epi32(scale.l, 16), 0xaa),
                   _mm256_blend_epi16(scale.h, _mm256_slli_epi32(scale.h, 16), 0xaa)};
}
PN_INLINE pn_vi pn_vi_tile_bias(pn_vi acc, pn_vi codes) {
    (void)codes;
    return acc;
}

PN_INLINE pn_vi pn_vi_max_abs_bits(pn_vi acc, pn_vf a) {
    const pn_vf b = pn_vf_abs(a);
    return (pn_vi){_mm256_max_epi32(acc.l, _mm256_castps_si256(b.l)),
                   _mm256_max_epi32(acc.h, _mm256_castps_si256(b.h))};
}
PN_INLINE int32_t pn_vi_max_lanes(pn_vi v) {
    const __m256i m8 = _mm256_max_epi32(v.l, v.h);
    const __m128i m4 = _mm_max_epi32(_mm256_castsi256_si128(m8), _mm256_extracti128_si256(m8, 1));
    const __m128i m2 = _mm_max_epi32(m4, _mm_shuffle_epi32(m4, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(m2, _mm_shuffle_epi32(m2, 0xb1)));
}

#endif
