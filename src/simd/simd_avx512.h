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

#endif
