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

#include "fmt/bytes.h"

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

#endif
