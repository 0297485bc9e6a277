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

#include "fmt/bytes.h"

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

#endif
