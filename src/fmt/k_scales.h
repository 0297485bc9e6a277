/* k_scales.h: the eight 6-bit scales and eight 6-bit minimums in 12 bytes that Q4_K and Q5_K share.
 *
 *   bytes 0 .. 3    bits 5..0  scale j            bits 7..6  bits 5..4 of scale j + 4
 *   bytes 4 .. 7    bits 5..0  minimum j          bits 7..6  bits 5..4 of minimum j + 4
 *   bytes 8 .. 11   bits 3..0  low of scale j+4   bits 7..4  low of minimum j + 4       (j = 0 ..
 * 3) */
#ifndef PN_FMT_K_SCALES_H
#define PN_FMT_K_SCALES_H

#include "fmt/unpack.h"

/* Scale j (0 .. 7), 0 .. 63. */
static inline int pn_k_scale(const uint8_t s[12], int j) {
    return j < 4 ? s[j] & 63 : pn_nibble(s[j + 4], 0) | s[j - 4] >> 6 << 4;
}

/* Minimum j (0 .. 7), 0 .. 63. */
static inline int pn_k_minimum(const uint8_t s[12], int j) {
    return j < 4 ? s[j + 4] & 63 : pn_nibble(s[j + 4], 1) | s[j] >> 6 << 4;
}

/* All of them at once: scale j in byte j of *scales, minimum j in byte j of *minimums. */
PN_INLINE void pn_k_unpack_scales(const uint8_t s[12], pn_vq *scales, pn_vq *minimums) {
    const uint32_t a = pn_load_u32(s), b = pn_load_u32(s + 4), c = pn_load_u32(s + 8);
    const uint32_t high_a = (a >> 2 & 0x30303030u) | (c & 0x0f0f0f0fu);
    const uint32_t high_b = (b >> 2 & 0x30303030u) | (c >> 4 & 0x0f0f0f0fu);
    *scales = pn_vq_set((a & 0x3f3f3f3fu) | (uint64_t)high_a << 32, 0);
    *minimums = pn_vq_set((b & 0x3f3f3f3fu) | (uint64_t)high_b << 32, 0);
}

#endif
