/* q6_k.h: 6 bits a weight and an 8-bit signed scale per 16 weights: 256 weights in 210
 * bytes, 6.5625 bits a weight.
 *
 *   offset  0               128            192               208      210
 *           | ql: 128 bytes | qh: 64 bytes | scales: 16 int8 | d f16  |
 *   ql[64h + j] (h = 0, 1; j = 0 .. 63):
 *           bits 3..0  low bits of weight 128h + j
 *           bits 7..4  low bits of weight 128h + 64 + j
 *   qh[32h + j] (j = 0 .. 31), the high two bits:
 *           bits 1..0  weight 128h + j          bits 5..4  weight 128h + j + 64
 *           bits 3..2  weight 128h + j + 32     bits 7..6  weight 128h + j + 96
 *
 *   weight = (d * scales[i / 16]) * (code - 32),  code 0 .. 63 */
#ifndef PN_FMT_Q6_K_H
#define PN_FMT_Q6_K_H

#include "fmt/unpack.h"

typedef struct pn_q6_k_block {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint8_t d[2];
} pn_q6_k_block;
_Static_assert(sizeof(pn_q6_k_block) == 210, "Q6_K in formats.def");

static inline void pn_decode_Q6_K(const void *row, float *out, int64_t n) {
    const pn_q6_k_block *b = row;
    for (int64_t at = 0; at < n; at += 256, b++, out += 256) {
        const float d = pn_load_half(b->d);
        for (int i = 0; i < 256; i++) {
            const float scale = d * (float)b->scales[i / 16];
            const int low = pn_nibble(b->ql[i / 128 * 64 + i % 64], i % 128 / 64);
            const int high = b->qh[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
            out[i] = scale * (float)((low | high << 4) - 32);
        }
    }
}

/* 64 bytes of ql hold 128 low nibbles; each 32 bytes of qh two bits for four runs of 32 weights. */
PN_INLINE pn_vi pn_codes_Q6_K(const uint8_t *p, int v) {
    const pn_q6_k_block *b = (const pn_q6_k_block *)p;
    const int shift = v % 2 * 4; /* of the nibble; the high bits are two and four further */
    const pn_vi ql = pn_vi_load(b->ql + v / 2 * 64);
    const pn_vi qh = pn_vi_dup32(b->qh + v / 2 * 32);
    const pn_vi low = pn_vi_and(v % 2 ? pn_vi_shr(ql, 4, 4, 4, 4) : ql, pn_vi_set1_8(15));
    const pn_vi at_4 = shift == 0 ? pn_vi_shl(qh, 4, 4, 2, 2) : pn_vi_shr(qh, 0, 0, 2, 2);
    return pn_vi_or(low, pn_vi_and(at_4, pn_vi_set1_8(48)));
}

PN_INLINE void pn_scales_Q6_K(const uint8_t *p, pn_vq *scales, pn_vq *minimums) {
    *scales = pn_vq_load(((const pn_q6_k_block *)p)->scales);
    *minimums = pn_vq_set(0, 0);
}

static const pn_unpack pn_unpack_Q6_K = {.block_weights = 256,
                                         .block_bytes = 210,
                                         .sub_weights = 16,
                                         .offset = 32,
                                         .max_code = 63,
                                         .d_at = offsetof(pn_q6_k_block, d),
                                         .codes = pn_codes_Q6_K,
                                         .scales = pn_scales_Q6_K};

#endif
