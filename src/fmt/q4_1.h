/* q4_1.h: 4 bits a weight, a scale and an offset: 32 weights in 20 bytes, 5 bits a weight.
 *
 *   offset  0        2        4                      20
 *           | d f16  | m f16  | qs: 16 bytes         |
 *   qs[j]:  bits 3..0  code of weight j
 *           bits 7..4  code of weight j + 16         (j = 0 .. 15)
 *
 *   weight = d * code + m,  code 0 .. 15 */
#ifndef PN_FMT_Q4_1_H
#define PN_FMT_Q4_1_H

#include "fmt/nibbles.h"

typedef struct pn_q4_1_block {
    uint8_t d[2];
    uint8_t m[2];
    uint8_t qs[16];
} pn_q4_1_block;
_Static_assert(sizeof(pn_q4_1_block) == 20, "Q4_1 in formats.def");

static inline void pn_decode_Q4_1(const void *row, float *out, int64_t n) {
    const pn_q4_1_block *b = row;
    for (int64_t at = 0; at < n; at += 32, b++, out += 32) {
        const float d = pn_load_half(b->d), m = pn_load_half(b->m);
        for (int i = 0; i < 32; i++) out[i] = d * (float)pn_nibble(b->qs[i % 16], i / 16) + m;
    }
}

/* Two blocks: the low nibbles of 16 bytes come before the high ones. */
PN_INLINE pn_vi pn_codes_Q4_1(const uint8_t *p, int v) {
    (void)v;
    const pn_q4_1_block *b = (const pn_q4_1_block *)p;
    return pn_unpack_nibbles(b[0].qs, b[1].qs);
}

static const pn_unpack pn_unpack_Q4_1 = {.block_weights = 32,
                                         .block_bytes = 20,
                                         .sub_weights = 32,
                                         .has_minimum = true,
                                         .max_code = 15,
                                         .d_at = offsetof(pn_q4_1_block, d),
                                         .codes = pn_codes_Q4_1};

#endif
