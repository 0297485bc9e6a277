/* unpack.h: what a format of integer codes tells the matrix kernels (docs/ADDING-A-FORMAT.md).
 *
 * A row is seen in groups of 256 weights: one block of 256, or eight blocks of 32 (at the end of a row perhaps
 * fewer). weight = d * scale * (code - offset) - dmin * minimum   for blocks of 256,
 *         weight = d * (code - offset) + m                        for blocks of 32.
 * The scale and the minimum are small integers, one per sub_weights weights; d, dmin and m are
 * half floats. The kernels in src/cpu/isa know nothing else of a format. */
#ifndef PN_FMT_UNPACK_H
#define PN_FMT_UNPACK_H

#include "fmt/bytes.h"
#include "simd/simd.h"

typedef struct pn_unpack {
    int32_t block_weights; /* 256 or 32 */
    int32_t block_bytes;
    int32_t sub_weights; /* weights under one integer scale: 16 or 32; 32 for blocks of 32 */
    bool has_minimum;    /* half float dmin (or m) follows d */
    /* codes are signed bytes -128..127 and offset is 0; otherwise codes are 0..63, at most 32 with a
     * minimum, and code - offset is within -32..32 */
    bool is_wide;
    int32_t offset;
    int32_t max_code; /* the largest code, where codes are not wide */
    int32_t d_at; /* byte of d in the block */

    /* Codes 64v .. 64v + 63 (v = 0..3) of the group at p, in order, a byte each. v is a constant
     * after inlining. */
    pn_vi (*codes)(const uint8_t *p, int v);
    /* Blocks of 256: the 256 / sub_weights integer scales (-128..127) and minimums (0..127), a
     * byte each from byte 0 on. NULL for blocks of 32. */
    void (*scales)(const uint8_t *block, pn_vq *scales, pn_vq *minimums);
} pn_unpack;

#endif
