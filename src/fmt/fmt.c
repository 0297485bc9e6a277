/* fmt.c: the table of tensor types, made from formats.def and the headers of the formats with
 * kernels, and the exact conversions between binary16 and binary32. */
#include "fmt/fmt.h"

#include "fmt/formats.h"
#include "simd/simd.h"

#define CODES(name)      true, pn_decode_##name
#define FLOATS(name)     true, pn_decode_##name
#define NO_KERNELS(name) false, NULL
#define FORMAT(name, id, block_weights, block_bytes, kernels)                                      \
    {#name, PN_FMT_##name, block_weights, block_bytes, kernels(name)},
static const pn_format_info formats[] = {
#include "fmt/formats.def"
};
#undef FORMAT
#undef CODES
#undef FLOATS
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

/* This file is built with the scalar vocabulary, whose conversions are integer arithmetic. */
float pn_half_to_float(uint16_t h) {
    return pn_simd_half_to_float(h);
}

uint16_t pn_float_to_half(float f) {
    return pn_simd_float_to_half(f);
}
