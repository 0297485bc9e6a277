/* q4_0.h: 4 bits a weight and one scale: 32 weights in 18 bytes, 4.5 bits a weight.
 *
 *   offset  0        2                      18
 *           | d f16  | qs: 16 bytes         |
 *   qs[j]:  bits 3..0  code of weight j
 *           bits 7..4  code of weight j + 16         (j = 0 .. 15)
 *
 *   weight = d * (code - 8),  code 0 .. 15 */
#ifndef PN_FMT_Q4_0_H
#define PN_FMT_Q4_0_H

#include "fmt/nibbles.h"

typedef struct pn_q4_0_block {
    uint8_t d[2];
    uint8_t qs[16];
} pn_q4_0_block;
_Static_assert(sizeof(pn_q4_0_block) == 18, "Q4_0 in formats.def");

static inline void pn_decode_Q4_0(const void *row, float *out, int64_t n) {
    const pn_q4_0_block *b = row;
    for (int64_t at = 0; at < n; at += 32, b++, out += 32) {
        const float d = pn_load_half(b->d);
        for (int i = 0; i < 32; i++) out[i] = d * (float)(pn_nibble(b->qs[i % 16], i / 16) - 8);
    }
}

/* Two blocks: the low nibbles of 16 bytes come before the high ones. */
PN_INLINE pn_vi pn_codes_Q4_0(const uint8_t *p, int v) {
    (void)v;
    const pn_q4_0_block *b = (const pn_q4_0_block *)p;
    return pn_unpack_nibbles(b[0].qs, b[1].qs);
}

static const pn_unpack pn_unpack_Q4_0 = {.block_weights = 32,
                                         .block_bytes = 18,
                                         .sub_weights = 32,
                                         .offset = 8,
                                         .max_code = 15,
                                         .d_at = offsetof(pn_q4_0_block, d),
                                         .codes = pn_codes_Q4_0};

#endif
