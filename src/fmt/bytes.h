/* bytes.h: little-endian loads from packed blocks of weights.
 *
 * Every block struct of src/fmt consists of bytes only, so its alignment is 1 and a pointer into a
 * mapped file may be read through it at any offset and on any byte order. */
#ifndef PN_FMT_BYTES_H
#define PN_FMT_BYTES_H

#include "fmt/fmt.h"

static inline uint16_t pn_load_u16(const uint8_t p[2]) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t pn_load_u32(const uint8_t p[4]) {
    return (uint32_t)pn_load_u16(p) | (uint32_t)pn_load_u16(p + 2) << 16;
}

static inline uint64_t pn_load_u64(const uint8_t p[8]) {
    return (uint64_t)pn_load_u32(p) | (uint64_t)pn_load_u32(p + 4) << 32;
}

static inline float pn_load_half(const uint8_t p[2]) {
    return pn_half_to_float(pn_load_u16(p));
}

static inline float pn_load_float(const uint8_t p[4]) {
    union {
        uint32_t u;
        float f;
    } v = {.u = pn_load_u32(p)};
    return v.f;
}

/* Nibble 0 (low) or 1 (high). */
static inline int pn_nibble(uint8_t byte, int64_t which) {
    return byte >> (4 * which) & 15;
}

#endif
