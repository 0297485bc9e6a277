/* fmt.c: the table of tensor types, made from formats.def and the headers of the formats with
 * kernels, and the exact conversions between binary16 and binary32. */
#include "fmt/fmt.h"

#include "fmt/bf16.h"
#include "fmt/f16.h"
#include "fmt/f32.h"
#include "fmt/iq4_nl.h"
#include "fmt/iq4_xs.h"
#include "fmt/q2_k.h"
#include "fmt/q3_k.h"
#include "fmt/q4_0.h"
#include "fmt/q4_1.h"
#include "fmt/q4_k.h"
#include "fmt/q5_0.h"
#include "fmt/q5_1.h"
#include "fmt/q5_k.h"
#include "fmt/q6_k.h"
#include "fmt/q8_0.h"

#define KERNELS(name)    true, pn_decode_##name
#define NO_KERNELS(name) false, NULL
#define FORMAT(name, id, block_weights, block_bytes, kernels)                                      \
    {#name, PN_FMT_##name, block_weights, block_bytes, kernels(name)},
static const pn_format_info formats[] = {
#include "fmt/formats.def"
};
#undef FORMAT
#undef KERNELS
#undef NO_KERNELS

enum { N_FORMATS = sizeof formats / sizeof *formats };

const pn_format_info *pn_format_get(uint32_t id) {
    for (int32_t i = 0; i < N_FORMATS; i++)
        if ((uint32_t)formats[i].id == id) return &formats[i];
    return NULL;
}

const pn_format_info *pn_format_all(int32_t *n) {
    *n = N_FORMATS;
    return formats;
}

static float float_of_bits(uint32_t u) {
    union {
        uint32_t u;
        float f;
    } v = {.u = u};
    return v.f;
}

float pn_half_to_float(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, m = h & 0x3ff;
    if (exponent == 0) { /* m units of 2^-24; the product is exact */
        const float f = (float)m * 0x1p-24f;
        return sign ? -f : f;
    }
    if (exponent == 31) /* a NaN keeps its payload and becomes quiet, as F16C does */
        return float_of_bits(sign | 0x7f800000 | m << 13 | (m ? 0x400000 : 0));
    return float_of_bits(sign | (exponent + 112) << 23 | m << 13); /* bias 127 for 15 */
}

/* v / 2^shift rounded to the nearest integer, ties to even; shift >= 1. */
static uint32_t shift_right_even(uint32_t v, uint32_t shift) {
    const uint32_t below_half = ((uint32_t)1 << (shift - 1)) - 1;
    return (v + below_half + (v >> shift & 1)) >> shift;
}

uint16_t pn_float_to_half(float f) {
    const union {
        float f;
        uint32_t u;
    } v = {.f = f};
    const uint32_t sign = v.u >> 16 & 0x8000, a = v.u & 0x7fffffff, exponent = a >> 23;
    if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x1ff));
    if (a >= 0x47800000) return (uint16_t)(sign | 0x7c00); /* 2^16 and more, infinity */
    if (a >=
        0x38800000) /* 2^-14: normal; a carry rightly raises the exponent, at the top to infinity */
        return (uint16_t)(sign | shift_right_even(a - ((uint32_t)112 << 23), 13));
    if (exponent < 102) return (uint16_t)sign; /* below 2^-25, half the smallest subnormal */
    /* units of 2^-24: the value is mantissa * 2^(exponent - 150) */
    const uint32_t mantissa = (a & 0x7fffff) | 0x800000;
    return (uint16_t)(sign | shift_right_even(mantissa, 126 - exponent));
}
