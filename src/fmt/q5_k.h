/* q5_k.h: 5 bits a weight; per 32 weights a 6-bit scale and a 6-bit minimum: 256 weights in 176
 * bytes, 5.5 bits a weight.
 *
 *   offset  0        2          4                    16              48                    176
 *           | d f16  | dmin f16 | scales: k_scales.h | qh: 32 bytes  | qs: 128 bytes       |
 *   qs[32p + j] (p = 0 .. 3; j = 0 .. 31):
 *           bits 3..0  low bits of weight 64p + j        (sub-block 2p)
 *           bits 7..4  low bits of weight 64p + 32 + j   (sub-block 2p + 1)
 *   qh[j]:  bit s is bit 4 of weight 32s + j
 *
 *   weight = (d * scale) * code - (dmin * minimum),  code 0 .. 31 */
#ifndef PN_FMT_Q5_K_H
#define PN_FMT_Q5_K_H

#include "fmt/k_scales.h"

typedef struct pn_q5_k_block {
    uint8_t d[2];
    uint8_t dmin[2];
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
} pn_q5_k_block;
_Static_assert(sizeof(pn_q5_k_block) == 176, "Q5_K in formats.def");

static inline void pn_decode_Q5_K(const void *row, float *out, int64_t n) {
    const pn_q5_k_block *b = row;
    for (int64_t at = 0; at < n; at += 256, b++, out += 256) {
        const float d = pn_load_half(b->d), dmin = pn_load_half(b->dmin);
        for (int i = 0; i < 256; i++) {
            const float scale = d * (float)pn_k_scale(b->scales, i / 32);
            const float minimum = dmin * (float)pn_k_minimum(b->scales, i / 32);
            const int low = pn_nibble(b->qs[i / 64 * 32 + i % 32], i % 64 / 32);
            const int code = low | (b->qh[i % 32] >> (i / 32) & 1) << 4;
            out[i] = scale * (float)code - minimum;
        }
    }
}

/* Low and high nibbles of the same 32 bytes make 64 codes; bits 2v and 2v + 1 of qh move to bit
 * 4. */
PN_INLINE pn_vi pn_codes_Q5_K(const uint8_t *p, int v) {
    const pn_q5_k_block *b = (const pn_q5_k_block *)p;
    const pn_vi low =
        pn_vi_and(pn_vi_shr(pn_vi_dup32(b->qs + 32 * v), 0, 0, 4, 4), pn_vi_set1_8(15));
    const pn_vi bits = pn_vi_dup32(b->qh);
    const pn_vi at_4 = v < 2 ? pn_vi_shl(bits, 4 - 2 * v, 4 - 2 * v, 3 - 2 * v, 3 - 2 * v)
                             : pn_vi_shr(bits, 2 * v - 4, 2 * v - 4, 2 * v - 3, 2 * v - 3);
    return pn_vi_or(low, pn_vi_and(at_4, pn_vi_set1_8(16)));
}

PN_INLINE void pn_scales_Q5_K(const uint8_t *p, pn_vq *scales, pn_vq *minimums) {
    pn_k_unpack_scales(((const pn_q5_k_block *)p)->scales, scales, minimums);
}

static const pn_unpack pn_unpack_Q5_K = {.block_weights = 256,
                                         .block_bytes = 176,
                                         .sub_weights = 32,
                                         .has_minimum = true,
                                         .max_code = 31,
                                         .d_at = offsetof(pn_q5_k_block, d),
                                         .codes = pn_codes_Q5_K,
                                         .scales = pn_scales_Q5_K};

#endif
