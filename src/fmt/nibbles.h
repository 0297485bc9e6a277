/* nibbles.h: the 32 codes in 16 bytes that Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL and IQ4_XS share: byte j
 * holds code j in bits 3..0 and code j + 16 in bits 7..4. */
#ifndef PN_FMT_NIBBLES_H
#define PN_FMT_NIBBLES_H

#include "fmt/unpack.h"

/* The 32 codes at p0, then the 32 at p1. */
PN_INLINE pn_vi pn_unpack_nibbles(const uint8_t p0[16], const uint8_t p1[16]) {
    const pn_vi bytes = pn_vi_dup_2x16(p0, p1);
    return pn_vi_and(pn_vi_shr(bytes, 0, 4, 0, 4), pn_vi_set1_8(15));
}

#endif
