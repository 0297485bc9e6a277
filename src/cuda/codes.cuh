/* codes.cuh: integer codes of a row of weights as the card stores them (args.h), four in a word of signed
 * bytes. A format is a type whose constants come from cuda_formats.def; the compiler makes the kernels of
 * each. */
#ifndef PN_CUDA_CODES_CUH
#define PN_CUDA_CODES_CUH

#include "cuda/gpu.cuh"

#define CODES(format, low, high, of_256, sub, minimum, off, levels)                                \
    struct format##_codes {                                                                        \
        static constexpr int low_bits = low, high_bits = high, sub_weights = sub, offset = off;    \
        static constexpr bool is_256 = of_256, has_minimum = minimum, has_levels = levels;         \
    };
#include "cuda/cuda_formats.def"
#undef CODES

template <class F> static __device__ __forceinline__ pn_cuda_layout pn_layout(int n_in) {
    return pn_cuda_codes_layout(F::low_bits, F::high_bits, F::is_256, F::sub_weights,
                                F::has_minimum, n_in);
}

/* The bytes of one sub-block. */
struct pn_raw_codes {
    unsigned low[8], high[2];
};

/* Two neighbouring bits of every byte, from bit `at` on. */
static __device__ __forceinline__ unsigned pn_pairs(unsigned word, int at) {
    return word >> at & 0x03030303u;
}
/* Bit i of bits 3..0 into bit 0 of byte i. */
static __device__ __forceinline__ unsigned pn_spread(unsigned bits) {
    return (bits & 15u) * 0x00204081u & 0x01010101u;
}

/* Four places of the table of IQ4_NL, a byte each, to its levels. */
static __device__ __forceinline__ unsigned pn_levels(unsigned places) {
    unsigned s = (places | places >> 4) & 0x00ff00ffu; /* one selector per nibble */
    s = (s | s >> 8) & 0x7777u;
    /* -127 -104 -83 -65, -49 -35 -22 -10; 1 13 25 38, 53 69 89 113 */
    const unsigned lower = __byte_perm(0xbfad9881u, 0xf6eaddcfu, s);
    const unsigned upper = __byte_perm(0x26190d01u, 0x71594535u, s);
    const unsigned is_upper = (places >> 3 & 0x01010101u) * 255u;
    return (lower & ~is_upper) | (upper & is_upper);
}

/* Words j (codes 4j ..) and j + 4 of a sub-block, j = 0 .. 3; low and high as pn_raw_codes has them. */
template <class F>
static __device__ __forceinline__ void pn_expand(int j, unsigned low, unsigned low_8, unsigned high,
                                                 unsigned *first, unsigned *second) {
    const int at = 2 * (j >> 1);
    unsigned x = low, y = low_8;
    if (F::low_bits == 4) {
        x = low & 0x0f0f0f0fu;
        y = low >> 4 & 0x0f0f0f0fu;
    } else if (F::low_bits == 2) {
        x = pn_pairs(low, at);
        y = pn_pairs(low, at + 4);
    }
    if (F::high_bits == 1) {
        x |= pn_spread(high >> (4 * j)) << F::low_bits;
        y |= pn_spread(high >> (4 * j + 16)) << F::low_bits;
    } else if (F::high_bits == 2) {
        x |= pn_pairs(high, at) << F::low_bits;
        y |= pn_pairs(high, at + 4) << F::low_bits;
    }
    if (F::has_levels) {
        x = pn_levels(x);
        y = pn_levels(y);
    }
    if (F::offset) { /* codes are at most 63, so no byte borrows from its neighbour */
        const unsigned off = F::offset * 0x01010101u;
        x = ((x | 0x80808080u) - off) ^ 0x80808080u;
        y = ((y | 0x80808080u) - off) ^ 0x80808080u;
    }
    *first = x;
    *second = y;
}

/* All of a sub-block, by loads of up to 16 bytes. */
template <class F>
static __device__ __forceinline__ pn_raw_codes pn_load_codes(const uint8_t *row,
                                                             const pn_cuda_layout &l, int sub) {
    pn_raw_codes raw;
    const uint8_t *low = row + (size_t)sub * (4 * F::low_bits);
    if (F::low_bits == 2) {
        const uint2 v = *reinterpret_cast<const uint2 *>(low);
        raw.low[0] = v.x, raw.low[1] = v.y;
    } else {
        for (int i = 0; i < F::low_bits / 4; i++) {
            const uint4 v = reinterpret_cast<const uint4 *>(low)[i];
            raw.low[4 * i] = v.x, raw.low[4 * i + 1] = v.y;
            raw.low[4 * i + 2] = v.z, raw.low[4 * i + 3] = v.w;
        }
    }
    const uint8_t *high = row + l.high_at + (size_t)sub * (4 * F::high_bits);
    if (F::high_bits == 1) raw.high[0] = *reinterpret_cast<const unsigned *>(high);
    if (F::high_bits == 2) {
        const uint2 v = *reinterpret_cast<const uint2 *>(high);
        raw.high[0] = v.x, raw.high[1] = v.y;
    }
    return raw;
}

/* Words 0 .. 7 of it. */
template <class F>
static __device__ __forceinline__ void pn_expand_all(const pn_raw_codes &raw, unsigned words[8]) {
    for (int j = 0; j < 4; j++)
        pn_expand<F>(
            j, raw.low[F::low_bits == 2 ? j & 1 : j], F::low_bits == 8 ? raw.low[4 + j] : 0,
            F::high_bits ? raw.high[F::high_bits == 2 ? j & 1 : 0] : 0, &words[j], &words[j + 4]);
}

/* Words j and j + 4 alone. */
template <class F>
static __device__ __forceinline__ void pn_load_words(const uint8_t *row, const pn_cuda_layout &l,
                                                     int sub, int j, unsigned *first,
                                                     unsigned *second) {
    const unsigned *low = reinterpret_cast<const unsigned *>(row + (size_t)sub * (4 * F::low_bits));
    const unsigned *high =
        reinterpret_cast<const unsigned *>(row + l.high_at + (size_t)sub * (4 * F::high_bits));
    pn_expand<F>(j, low[F::low_bits == 2 ? j & 1 : j], F::low_bits == 8 ? low[4 + j] : 0,
                 F::high_bits ? high[F::high_bits == 2 ? j & 1 : 0] : 0, first, second);
}

/* The half floats of head i: of a group, or of a sub-block. */
template <class F>
static __device__ __forceinline__ void pn_load_head(const uint8_t *row, const pn_cuda_layout &l,
                                                    int i, float *d, float *minimum) {
    *minimum = 0.0f;
    if (F::has_minimum) {
        const unsigned both = reinterpret_cast<const unsigned *>(row + l.heads_at)[i];
        *d = pn_half_bits_to_float((unsigned short)both);
        *minimum = pn_half_bits_to_float((unsigned short)(both >> 16));
    } else {
        *d = pn_half_bits_to_float(reinterpret_cast<const unsigned short *>(row + l.heads_at)[i]);
    }
}

/* Scale and minimum s (0 .. 256 / sub_weights - 1) of a group of a format with blocks of 256. */
template <class F>
static __device__ __forceinline__ int pn_scale(const uint8_t *row, const pn_cuda_layout &l,
                                               int group, int s) {
    const int n = PN_CUDA_GROUP / F::sub_weights;
    return reinterpret_cast<const int8_t *>(row + l.scales_at)[group * n + s];
}
template <class F>
static __device__ __forceinline__ int pn_minimum(const uint8_t *row, const pn_cuda_layout &l,
                                                 int group, int s) {
    const int n = PN_CUDA_GROUP / F::sub_weights;
    return reinterpret_cast<const int8_t *>(row + l.minimums_at)[group * n + s];
}

#endif
