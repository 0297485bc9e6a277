/* f32.h: IEEE 754 binary32, one weight in 4 bytes.
 *
 *   byte 3          byte 2          byte 1          byte 0
 *   s e e e e e e e e m m m m m m m m m m m m m m m m m m m m m m m
 *
 *   weight = (-1)^s * 1.m * 2^(e-127)
 *
 * Norm weights and biases are always F32 in practice. */
#ifndef PN_FMT_F32_H
#define PN_FMT_F32_H

#include "fmt/bytes.h"

static inline void pn_decode_F32(const void *row, float *out, int64_t n) {
    const uint8_t *p = row;
    for (int64_t i = 0; i < n; i++) out[i] = pn_load_float(p + 4 * i);
}

#endif
