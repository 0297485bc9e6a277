/* simd.h: the vector vocabulary that kernels and the unpacking of formats are written in.
 *
 * Two types, both 64 bytes: pn_vf, 16 float32 lanes, and pn_vi, integers that each operation reads
 * as 64 bytes, 32 int16 or 16 int32. The three implementations (simd_scalar.h, simd_avx2.h,
 * simd_avx512.h) give the same bits for every operation: floats round once per operation, sums over
 * lanes have one fixed order, integers are exact.
 *
 * The build of src/cpu/isa defines PN_ISA_NAME (avx512) and PN_ISA_<name>; other sources, which
 * only take the scalar references from src/fmt, get the scalar implementation. This folder is the
 * only place that asks which one it is. */
#ifndef PN_SIMD_SIMD_H
#define PN_SIMD_SIMD_H

#include "simd/isa.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef PN_ISA_NAME
#define PN_ISA_NAME scalar
#endif
/* pn_add -> pn_add_avx512: functions that exist once per instruction set. */
#define PN_ISA_PASTE(name, isa)  name##_##isa
#define PN_ISA_EXPAND(name, isa) PN_ISA_PASTE(name, isa)
#define PN_ISA_FN(name)          PN_ISA_EXPAND(name, PN_ISA_NAME)

/* Everything of the vocabulary disappears into its caller. */
#define PN_INLINE static inline __attribute__((always_inline))

/* Before a loop over an array of vectors: unrolled completely, so that they stay in registers. */
#define PN_UNROLL _Pragma("GCC unroll 16")

#define PN_LANES 16 /* float32 or int32 lanes of a vector */

/* n_steps steps (a multiple of 4) of four inputs: codes of 16 rows of weights, and activations of
 * some columns side by side. */
typedef struct pn_tile_steps {
    const void *codes;     /* [n_steps][16][4]: code - offset, or code where PN_TILE_RAW_CODES */
    const void *acts;      /* [n_steps][act_bytes]: columns of 4 bytes, each + PN_PANEL_BIAS */
    const void *lane_sums; /* [column][2] int16: the sums of the activations 0, 1 and 2, 3 of all
                              steps; only where PN_TILE_RAW_CODES and offset != 0 */
    int act_bytes, n_steps;
    int n_int16; /* steps whose products, in pairs, fit into an int16 together: 1, 4 or 8 */
    int offset;
    bool is_signed; /* code - offset may be negative */
    bool is_wide;   /* codes are -128..127, else code - offset is -32..32 */
} pn_tile_steps;

#if defined(PN_ISA_avx512)
#define PN_ISA_ID PN_ISA_AVX512
#include "simd/simd_avx512.h"
#elif defined(PN_ISA_avx2)
#define PN_ISA_ID PN_ISA_AVX2
#include "simd/simd_avx2.h"
#else
#define PN_ISA_ID PN_ISA_SCALAR
#include "simd/simd_scalar.h"
#endif

/* The operations every implementation has, on lanes i = 0..15. max and min return b when a or b is
 * NaN.
 *
 *   pn_vf_zero() pn_vf_set1(x)             all lanes 0 or x
 *   pn_vf_load(p) pn_vf_store(p, v)        16 floats, any alignment
 *   pn_vf_load_n(p, n) pn_vf_store_n(p, v, n)   the first n lanes, 0 <= n <= 16; the others load as
 * 0 pn_vf_load_f16(p) pn_vf_store_f16(p, v)     IEEE half precision, round to nearest even
 *   pn_vf_load_bf16(p)                     bfloat16
 *   pn_vf_load_s8(p)                       16 signed bytes as floats
 *   pn_vf_store_s8(p, v)                   round to nearest even; lanes must be within -128..127
 *   pn_vf_add sub mul div min max (a, b)   one rounding each
 *   pn_vf_fma(a, b, c)                     a * b + c, one rounding
 *   pn_vf_abs(a) pn_vf_neg(a)
 *   pn_vf_round(a)                         nearest integer, ties to even, |a| < 2^22
 *   pn_vf_scale2(a, n)                     a * 2^n for integer lanes n (as floats) within -127..127
 *   pn_vf_first_n(a, b, n)                 lanes i < n of a, the others of b
 *   pn_vf_sum(a)                           8 sums a[i] + a[i + 8], then 4, 2, 1: always that tree
 *   pn_vf_max_lanes(a)                     largest lane (no NaN)
 */

/* Integers. A quarter is 16 bytes, a half 32. pn_vq is 16 bytes: pn_vq_load(p) pn_vq_store(p, q)
 * pn_vq_store_low(p, q), the first eight, pn_vq_set(low, high).
 *
 *   pn_vi_zero() pn_vi_set1_8(x) pn_vi_set1_32(x) pn_vi_load(p) pn_vi_store(p, v)
 *   pn_vi_load_4(p)                        the same 4 bytes in every 32-bit lane
 *   pn_vi_dup16(q) pn_vi_dup32(p)          16 bytes four times; 32 bytes twice
 *   pn_vi_load_2x32(p0, p1)                halves p0 | p1
 *   pn_vi_dup_2x16(p0, p1)                 quarters p0 | p0 | p1 | p1
 *   pn_vi_and or xor, add8 sub8, add32 sub32 mul32 (a, b)   wrapping
 *   pn_vi_shr(v, a, b, c, d) pn_vi_shl     64-bit lanes of the four quarters by a, b, c, d bits
 *   pn_vi_lookup(table, index)             bytes of a pn_vq; 0 for an index with its top bit set
 *   pn_vi_bits(bits, value)                byte i = bit i of bits ? value : 0
 *   pn_vi_sign_byte(v, i)                  byte i (0..3) of every 32-bit lane, sign-extended
 *   pn_vi_byte_pair(v, i)                  bytes i and i + 1 (signed) of every 32-bit lane as two int16
 *   pn_vi_madd16(acc, a, b)                acc + the products of the two int16 of every 32-bit lane
 *   pn_vi_transpose(v)                     16 vectors of 16 lanes
 *   pn_vi_max_abs_bits(acc, f) pn_vi_max_lanes(v)   largest |f| as the integer of its bits: NaN is largest
 *   pn_vf_from_i32(v)                      rounded to nearest even
 *   pn_vf_half_low(v) pn_vf_half_high(v)   the half float in the low or high 16 bits of every lane
 *
 * Products of codes with int8 activations (-127..127). Narrow codes are 0..63; wide ones are
 * signed, and their sums come out PN_WIDE_BIAS times the sum of the activations too large.
 *
 *   pn_vi_dot4(codes, acts, wide)          sums of four products
 *   pn_vscale_expand(scales, group, wide)  makes 16 (or 8) signed scale bytes ready, one per `group` (16 or 32) codes
 *   pn_vi_dot_scaled(codes, acts, scale, wide)   256 codes: 16 lanes whose sum is sum of scale * code * act
 *   pn_vi_sum_lanes(v, out)                out[i]: the 16 int32 lanes of v[i]
 *   pn_vi_sum_halves(v, out)               out[2i], out[2i + 1]: the 8 int32 lanes of the lower, upper half of v[i]
 *   pn_vi_tile_run(sums, n, steps)         sums[c] += codes . acts of column c, lane = row, n columns
 *   pn_vi_tile_run_scaled(sums, n, steps, bias, scale)   sums[c] += scale * (bias + codes . acts)
 *   pn_vi_tile_scale(v)                    int32 scales (-128..127) as pn_vi_tile_run_scaled takes them
 *   pn_vi_tile_bias(acc, codes)            acc + PN_PANEL_BIAS times the sums of four codes
 */

/* ---- functions made of these, the same bits everywhere ---- */

/* e^x within 2 units of the last place; 0 below -104, infinity above 88.8, NaN for NaN.
 * x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series to r^7 / 7! (relative error below
 * 3e-8 there). */
PN_INLINE pn_vf pn_vf_exp(pn_vf x) {
    /* min and max return their second argument for NaN, which so passes through. */
    x = pn_vf_min(pn_vf_set1(89.0f), pn_vf_max(pn_vf_set1(-105.0f), x));
    const pn_vf n = pn_vf_round(pn_vf_mul(x, pn_vf_set1(0x1.715476p+0f)));
    pn_vf r =
        pn_vf_fma(n, pn_vf_set1(-0x1.62e4p-1f), x); /* the high bits of ln 2: n * them is exact */
    r = pn_vf_fma(n, pn_vf_set1(-0x1.7f7d1cp-20f), r); /* and the rest */
    pn_vf p = pn_vf_set1(1.0f / 5040.0f);
    p = pn_vf_fma(p, r, pn_vf_set1(1.0f / 720.0f));
    p = pn_vf_fma(p, r, pn_vf_set1(1.0f / 120.0f));
    p = pn_vf_fma(p, r, pn_vf_set1(1.0f / 24.0f));
    p = pn_vf_fma(p, r, pn_vf_set1(1.0f / 6.0f));
    p = pn_vf_fma(p, r, pn_vf_set1(0.5f));
    p = pn_vf_fma(p, r, pn_vf_set1(1.0f));
    p = pn_vf_fma(p, r, pn_vf_set1(1.0f));
    /* In two steps, so that neither power leaves the normal range: the first is exact. */
    const pn_vf half = pn_vf_round(pn_vf_mul(n, pn_vf_set1(0.5f)));
    return pn_vf_scale2(pn_vf_scale2(p, half), pn_vf_sub(n, half));
}

/* tanh(x) = 1 - 2 / (e^2x + 1), absolute error below 2e-7. */
PN_INLINE pn_vf pn_vf_tanh(pn_vf x) {
    const pn_vf one = pn_vf_set1(1.0f);
    const pn_vf e = pn_vf_exp(pn_vf_add(x, x));
    return pn_vf_sub(one, pn_vf_div(pn_vf_set1(2.0f), pn_vf_add(e, one)));
}

#endif
