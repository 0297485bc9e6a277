/* bf16.h: bfloat16, the upper half of a binary32: one weight in 2 bytes.
 *
 *   byte 1          byte 0
 *   s e e e e e e e e m m m m m m m
 *
 *   weight = (-1)^s * 1.m * 2^(e-127): the range of F32 with 8 bits of precision. */
#ifndef PN_FMT_BF16_H
#define PN_FMT_BF16_H

#include "fmt/bytes.h"

static inline void pn_decode_BF16(const void *row, float *out, int64_t n) {
    const uint8_t *p = row;
    for (int64_t i = 0; i < n; i++) out[i] = pn_bf16_to_float(pn_load_u16(p + 2 * i));
}

#endif
