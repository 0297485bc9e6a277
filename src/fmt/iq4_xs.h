/* iq4_xs.h: the 4-bit levels of IQ4_NL with a 6-bit signed scale per 32 weights: 256 weights in 136
 * bytes, 4.25 bits a weight.
 *
 *   offset  0        2               4                8                     136
 *           | d f16  | scales_h u16  | scales_l: 4 B  | qs: 128 bytes       |
 *   scale s (0 .. 7) of weights 32s .. 32s+31 is stored plus 32, in 6 bits:
 *           bits 3..0  nibble s % 2 of scales_l[s / 2]
 *           bits 5..4  bits 2s+1 .. 2s of scales_h
 *   qs[16s + j] (j = 0 .. 15):  bits 3..0  weight 32s + j,  bits 7..4  weight 32s + 16 + j
 *
 *   weight = (d * (scale - 32)) * level[code] */
#ifndef PN_FMT_IQ4_XS_H
#define PN_FMT_IQ4_XS_H

#include "fmt/iq4_nl.h"

typedef struct pn_iq4_xs_block {
    uint8_t d[2];
    uint8_t scales_h[2];
    uint8_t scales_l[4];
    uint8_t qs[128];
} pn_iq4_xs_block;
_Static_assert(sizeof(pn_iq4_xs_block) == 136, "IQ4_XS in formats.def");

/* Scale s, -32 .. 31. */
static inline int pn_iq4_xs_scale(const pn_iq4_xs_block *b, int s) {
    const int high = pn_load_u16(b->scales_h) >> (2 * s) & 3;
    return (pn_nibble(b->scales_l[s / 2], s % 2) | high << 4) - 32;
}

static inline void pn_decode_IQ4_XS(const void *row, float *out, int64_t n) {
    const pn_iq4_xs_block *b = row;
    for (int64_t at = 0; at < n; at += 256, b++, out += 256) {
        const float d = pn_load_half(b->d);
        for (int i = 0; i < 256; i++) {
            const float scale = d * (float)pn_iq4_xs_scale(b, i / 32);
            const int code = pn_nibble(b->qs[i / 32 * 16 + i % 16], i % 32 / 16);
            out[i] = scale * (float)pn_iq4_levels[code];
        }
    }
}

/* Two sub-blocks of 16 bytes, each like a block of IQ4_NL. */
PN_INLINE pn_vi pn_codes_IQ4_XS(const uint8_t *p, int v) {
    const uint8_t *qs = ((const pn_iq4_xs_block *)p)->qs + 32 * v;
    return pn_vi_lookup(pn_vq_load(pn_iq4_levels), pn_unpack_nibbles(qs, qs + 16));
}

PN_INLINE void pn_scales_IQ4_XS(const uint8_t *p, pn_vq *scales, pn_vq *minimums) {
    const pn_iq4_xs_block *b = (const pn_iq4_xs_block *)p;
    uint64_t bytes = 0;
    for (int s = 0; s < 8; s++) bytes |= (uint64_t)(uint8_t)pn_iq4_xs_scale(b, s) << (8 * s);
    *scales = pn_vq_set(bytes, 0);
    *minimums = pn_vq_set(0, 0);
}

static const pn_unpack pn_unpack_IQ4_XS = {.block_weights = 256,
                                           .block_bytes = 136,
                                           .sub_weights = 32,
                                           .is_wide = true,
                                           .d_at = offsetof(pn_iq4_xs_block, d),
                                           .codes = pn_codes_IQ4_XS,
                                           .scales = pn_scales_IQ4_XS};

#endif
