/* q5_0.h: 5 bits a weight and one scale: 32 weights in 22 bytes, 5.5 bits a weight.
 *
 *   offset  0        2                6                      22
 *           | d f16  | qh: 32 bits    | qs: 16 bytes         |
 *   qs[j]:  bits 3..0  low bits of weight j
 *           bits 7..4  low bits of weight j + 16     (j = 0 .. 15)
 *   qh:     bit i (little-endian) is bit 4 of weight i
 *
 *   weight = d * (code - 16),  code 0 .. 31 */
#ifndef PN_FMT_Q5_0_H
#define PN_FMT_Q5_0_H

#include "fmt/nibbles.h"

typedef struct pn_q5_0_block {
    uint8_t d[2];
    uint8_t qh[4];
    uint8_t qs[16];
} pn_q5_0_block;
_Static_assert(sizeof(pn_q5_0_block) == 22, "Q5_0 in formats.def");

static inline void pn_decode_Q5_0(const void *row, float *out, int64_t n) {
    const pn_q5_0_block *b = row;
    for (int64_t at = 0; at < n; at += 32, b++, out += 32) {
        const float d = pn_load_half(b->d);
        const uint32_t qh = pn_load_u32(b->qh);
        for (int i = 0; i < 32; i++) {
            const int code = pn_nibble(b->qs[i % 16], i / 16) | (int)(qh >> i & 1) << 4;
            out[i] = d * (float)(code - 16);
        }
    }
}

/* Two blocks: nibbles as in Q4_0, and the bits of qh in the order of the weights. */
PN_INLINE pn_vi pn_codes_Q5_0(const uint8_t *p, int v) {
    (void)v;
    const pn_q5_0_block *b = (const pn_q5_0_block *)p;
    const uint64_t qh = (uint64_t)pn_load_u32(b[1].qh) << 32 | pn_load_u32(b[0].qh);
    return pn_vi_or(pn_unpack_nibbles(b[0].qs, b[1].qs), pn_vi_bits(qh, 16));
}

static const pn_unpack pn_unpack_Q5_0 = {.block_weights = 32,
                                         .block_bytes = 22,
                                         .sub_weights = 32,
                                         .offset = 16,
                                         .max_code = 31,
                                         .d_at = offsetof(pn_q5_0_block, d),
                                         .codes = pn_codes_Q5_0};

#endif
