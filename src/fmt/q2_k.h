/* q2_k.h: 2 bits a weight; per 16 weights a 4-bit scale and a 4-bit minimum: 256 weights in 84
 * bytes, 2.625 bits a weight.
 *
 *   offset  0                 16                       80       82         84
 *           | scales: 16 B    | qs: 64 bytes             | d f16  | dmin f16 |
 *   scales[g]:  bits 3..0 scale, bits 7..4 minimum of weights 16g .. 16g+15
 *   qs[32h + j] (h = 0, 1; j = 0 .. 31):
 *           bits 1..0  weight 128h + j          bits 5..4  weight 128h + j + 64
 *           bits 3..2  weight 128h + j + 32     bits 7..6  weight 128h + j + 96
 *
 *   weight = (d * scale) * code - (dmin * minimum),  code 0 .. 3 */
#ifndef PN_FMT_Q2_K_H
#define PN_FMT_Q2_K_H

#include "fmt/unpack.h"

typedef struct pn_q2_k_block {
    uint8_t scales[16];
    uint8_t qs[64];
    uint8_t d[2];
    uint8_t dmin[2];
} pn_q2_k_block;
_Static_assert(sizeof(pn_q2_k_block) == 84, "Q2_K in formats.def");

static inline void pn_decode_Q2_K(const void *row, float *out, int64_t n) {
    const pn_q2_k_block *b = row;
    for (int64_t at = 0; at < n; at += 256, b++, out += 256) {
        const float d = pn_load_half(b->d), dmin = pn_load_half(b->dmin);
        for (int i = 0; i < 256; i++) {
            const float scale = d * (float)pn_nibble(b->scales[i / 16], 0);
            const float minimum = dmin * (float)pn_nibble(b->scales[i / 16], 1);
            const int code = b->qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
            out[i] = scale * (float)code - minimum;
        }
    }
}

/* 32 bytes of qs hold four runs of 32 weights, two bits each. */
PN_INLINE pn_vi pn_codes_Q2_K(const uint8_t *p, int v) {
    const pn_vi qs = pn_vi_dup32(((const pn_q2_k_block *)p)->qs + v / 2 * 32);
    const int low = v % 2 * 4;
    return pn_vi_and(pn_vi_shr(qs, low, low, low + 2, low + 2), pn_vi_set1_8(3));
}

PN_INLINE void pn_scales_Q2_K(const uint8_t *p, pn_vq *scales, pn_vq *minimums) {
    const uint8_t *s = ((const pn_q2_k_block *)p)->scales;
    const uint64_t nibbles = 0x0f0f0f0f0f0f0f0fu, a = pn_load_u64(s), b = pn_load_u64(s + 8);
    *scales = pn_vq_set(a & nibbles, b & nibbles);
    *minimums = pn_vq_set(a >> 4 & nibbles, b >> 4 & nibbles);
}

static const pn_unpack pn_unpack_Q2_K = {.block_weights = 256,
                                         .block_bytes = 84,
                                         .sub_weights = 16,
                                         .has_minimum = true,
                                         .max_code = 3,
                                         .d_at = offsetof(pn_q2_k_block, d),
                                         .codes = pn_codes_Q2_K,
                                         .scales = pn_scales_Q2_K};

#endif
