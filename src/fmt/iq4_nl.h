/* iq4_nl.h: 4 bits a weight through a table of 16 unevenly spaced levels, and one scale: 32 weights
 * in 18 bytes, 4.5 bits a weight.
 *
 *   offset  0        2                      18
 *           | d f16  | qs: 16 bytes         |
 *   qs[j]:  bits 3..0  code of weight j
 *           bits 7..4  code of weight j + 16         (j = 0 .. 15)
 *
 *   weight = d * level[code]. The levels lie closer together around zero, where most weights are.
 */
#ifndef PN_FMT_IQ4_NL_H
#define PN_FMT_IQ4_NL_H

#include "fmt/nibbles.h"

typedef struct pn_iq4_nl_block {
    uint8_t d[2];
    uint8_t qs[16];
} pn_iq4_nl_block;
_Static_assert(sizeof(pn_iq4_nl_block) == 18, "IQ4_NL in formats.def");

/* Shared with IQ4_XS. */
static const int8_t pn_iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};

static inline void pn_decode_IQ4_NL(const void *row, float *out, int64_t n) {
    const pn_iq4_nl_block *b = row;
    for (int64_t at = 0; at < n; at += 32, b++, out += 32) {
        const float d = pn_load_half(b->d);
        for (int i = 0; i < 32; i++)
            out[i] = d * (float)pn_iq4_levels[pn_nibble(b->qs[i % 16], i / 16)];
    }
}

/* Two blocks: nibbles as in Q4_0, each looked up. */
PN_INLINE pn_vi pn_codes_IQ4_NL(const uint8_t *p, int v) {
    (void)v;
    const pn_iq4_nl_block *b = (const pn_iq4_nl_block *)p;
    return pn_vi_lookup(pn_vq_load(pn_iq4_levels), pn_unpack_nibbles(b[0].qs, b[1].qs));
}

static const pn_unpack pn_unpack_IQ4_NL = {.block_weights = 32,
                                           .block_bytes = 18,
                                           .sub_weights = 32,
                                           .is_wide = true,
                                           .d_at = offsetof(pn_iq4_nl_block, d),
                                           .codes = pn_codes_IQ4_NL};

#endif
