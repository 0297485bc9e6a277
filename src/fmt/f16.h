/* f16.h: IEEE 754 binary16, one weight in 2 bytes. Also the type of the scales in every block
 * format.
 *
 *   byte 1          byte 0
 *   s e e e e e m m m m m m m m m m
 *
 *   e = 0:        (-1)^s * 0.m * 2^-14    (zero and subnormals)
 *   e = 1 .. 30:  (-1)^s * 1.m * 2^(e-15)
 *   e = 31:       infinity (m = 0) or NaN */
#ifndef PN_FMT_F16_H
#define PN_FMT_F16_H

#include "fmt/bytes.h"

static inline void pn_decode_F16(const void *row, float *out, int64_t n) {
    const uint8_t *p = row;
    for (int64_t i = 0; i < n; i++) out[i] = pn_load_half(p + 2 * i);
}

#endif
