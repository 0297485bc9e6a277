/* q8_0.h: 8 bits a weight and one scale: 32 weights in 34 bytes, 8.5 bits a weight.
 *
 *   offset  0        2                           34
 *           | d f16  | qs: 32 signed bytes       |
 *   qs[i]:  code of weight i
 *
 *   weight = d * code,  code -128 .. 127 (encoders use -127 .. 127) */
#ifndef PN_FMT_Q8_0_H
#define PN_FMT_Q8_0_H

#include "fmt/unpack.h"

typedef struct pn_q8_0_block {
    uint8_t d[2];
    int8_t qs[32];
} pn_q8_0_block;
_Static_assert(sizeof(pn_q8_0_block) == 34, "Q8_0 in formats.def");

static inline void pn_decode_Q8_0(const void *row, float *out, int64_t n) {
    const pn_q8_0_block *b = row;
    for (int64_t at = 0; at < n; at += 32, b++, out += 32) {
        const float d = pn_load_half(b->d);
        for (int i = 0; i < 32; i++) out[i] = d * (float)b->qs[i];
    }
}

PN_INLINE pn_vi pn_codes_Q8_0(const uint8_t *p, int v) {
    (void)v;
    const pn_q8_0_block *b = (const pn_q8_0_block *)p;
    return pn_vi_load_2x32(b[0].qs, b[1].qs);
}

static const pn_unpack pn_unpack_Q8_0 = {.block_weights = 32,
                                         .block_bytes = 34,
                                         .sub_weights = 32,
                                         .is_wide = true,
                                         .d_at = offsetof(pn_q8_0_block, d),
                                         .codes = pn_codes_Q8_0};

#endif
