/* q3_k.h: 3 bits a weight and a 6-bit signed scale per 16 weights: 256 weights in 110 bytes, 3.4375
 * bits a weight.
 *
 *   offset  0                32               96                 108      110
 *           | hmask: 32 B    | qs: 64 bytes   | scales: 12 B     | d f16  |
 *   qs[32h + j] (h = 0, 1; j = 0 .. 31), the low two bits:
 *           bits 1..0  weight 128h + j          bits 5..4  weight 128h + j + 64
 *           bits 3..2  weight 128h + j + 32     bits 7..6  weight 128h + j + 96
 *   hmask[j]:  bit k is the high bit of weight 32k + j; where it is CLEAR, 4 is taken off
 *   scales: scale g (0 .. 15) of weights 16g .. 16g+15 is stored plus 32, in 6 bits:
 *           bits 3..0  nibble g / 8 of byte g % 8
 *           bits 5..4  bits 2(g/4)+1 .. 2(g/4) of byte 8 + g % 4
 *
 *   weight = (d * (scale - 32)) * (low + 4*high - 4) */
#ifndef PN_FMT_Q3_K_H
#define PN_FMT_Q3_K_H

#include "fmt/unpack.h"

typedef struct pn_q3_k_block {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    uint8_t d[2];
} pn_q3_k_block;
_Static_assert(sizeof(pn_q3_k_block) == 110, "Q3_K in formats.def");

/* Scale g, -32 .. 31. */
static inline int pn_q3_k_scale(const uint8_t scales[12], int g) {
    const int low = pn_nibble(scales[g % 8], g / 8), high = scales[8 + g % 4] >> (g / 4 * 2) & 3;
    return (low | high << 4) - 32;
}

static inline void pn_decode_Q3_K(const void *row, float *out, int64_t n) {
    const pn_q3_k_block *b = row;
    for (int64_t at = 0; at < n; at += 256, b++, out += 256) {
        const float d = pn_load_half(b->d);
        for (int i = 0; i < 256; i++) {
            const float scale = d * (float)pn_q3_k_scale(b->scales, i / 16);
            const int low = b->qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
            const int high = b->hmask[i % 32] >> (i / 32) & 1;
            out[i] = scale * (float)(low + 4 * high - 4);
        }
    }
}

/* The low bits as in Q2_K; bits 2v and 2v + 1 of hmask move to bit 2. */
PN_INLINE pn_vi pn_codes_Q3_K(const uint8_t *p, int v) {
    const pn_q3_k_block *b = (const pn_q3_k_block *)p;
    const int at = v % 2 * 4;
    const pn_vi low = pn_vi_shr(pn_vi_dup32(b->qs + v / 2 * 32), at, at, at + 2, at + 2);
    const pn_vi hmask = pn_vi_dup32(b->hmask);
    const pn_vi high = v == 0 ? pn_vi_shl(hmask, 2, 2, 1, 1)
                              : pn_vi_shr(hmask, 2 * v - 2, 2 * v - 2, 2 * v - 1, 2 * v - 1);
    return pn_vi_or(pn_vi_and(low, pn_vi_set1_8(3)), pn_vi_and(high, pn_vi_set1_8(4)));
}

/* Low nibbles of scales 0..7 and 8..15, then two bits at a time from the last four bytes; all less
 * 32. */
PN_INLINE void pn_scales_Q3_K(const uint8_t *p, pn_vq *scales, pn_vq *minimums) {
    const uint8_t *s = ((const pn_q3_k_block *)p)->scales;
    const uint64_t low = pn_load_u64(s), nibbles = 0x0f0f0f0f0f0f0f0fu;
    const uint32_t high = pn_load_u32(s + 8), twos = 0x03030303u;
    const uint64_t high_0 = (high & twos) | (uint64_t)(high >> 2 & twos) << 32;
    const uint64_t high_8 = (high >> 4 & twos) | (uint64_t)(high >> 6 & twos) << 32;
    const uint64_t a = (low & nibbles) | high_0 << 4, b = (low >> 4 & nibbles) | high_8 << 4;
    /* 6 bits less 32 in each byte: flip bit 5, then copy it into bits 6 and 7 */
    const uint64_t bit_5 = 0x2020202020202020u;
    const uint64_t x = a ^ bit_5, y = b ^ bit_5;
    *scales =
        pn_vq_set(x | (x & bit_5) << 1 | (x & bit_5) << 2, y | (y & bit_5) << 1 | (y & bit_5) << 2);
    *minimums = pn_vq_set(0, 0);
}

static const pn_unpack pn_unpack_Q3_K = {.block_weights = 256,
                                         .block_bytes = 110,
                                         .sub_weights = 16,
                                         .offset = 4,
                                         .max_code = 7,
                                         .d_at = offsetof(pn_q3_k_block, d),
                                         .codes = pn_codes_Q3_K,
                                         .scales = pn_scales_Q3_K};

#endif
