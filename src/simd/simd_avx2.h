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

#endif
