/* quantize.cuh: a row of float32 as int8 with a scale per 256 inputs or per 32, by the formula of the CPU
 * (src/cpu/isa/matmul_pack.c); whatever kernel computes a row can end with it. */
#ifndef PN_CUDA_QUANTIZE_CUH
#define PN_CUDA_QUANTIZE_CUH

#include "cuda/gpu.cuh"

/* The first of the eight inputs that a lane has of a group of 256. */
static __device__ __forceinline__ int pn_lane_input(int group) {
    return group * PN_CUDA_GROUP + 8 * (threadIdx.x % 32);
}

/* x[at .. at + 7] of a row of n, which begins at a multiple of 16 bytes when n is a multiple of 4; at is one
 * of 8. Zeros beyond the end. */
static __device__ __forceinline__ void pn_load_8(const float *x, int at, int n, float v[8]) {
    if (n % 4 == 0 && at + 8 <= n) {
        const float4 *from = reinterpret_cast<const float4 *>(x + at);
        const float4 low = from[0], high = from[1];
        v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
        v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
        return;
    }
    for (int i = 0; i < 8; i++) v[i] = at + i < n ? x[at + i] : 0.0f;
}
static __device__ __forceinline__ void pn_store_8(const float v[8], int at, int n, float *x) {
    if (n % 4 == 0 && at + 8 <= n) {
        float4 *to = reinterpret_cast<float4 *>(x + at);
        to[0] = make_float4(v[0], v[1], v[2], v[3]);
        to[1] = make_float4(v[4], v[5], v[6], v[7]);
        return;
    }
    for (int i = 0; i < 8; i++)
        if (at + i < n) x[at + i] = v[i];
}

/* All lanes of a warp: lane l has inputs 8l .. 8l + 7 of the group, which is number `unit` of all rows'. */
static __device__ __forceinline__ void pn_quantize_as(const float x[8], const pn_cuda_acts &acts,
                                                      bool is_256, int unit) {
    const int lane = threadIdx.x % 32;
    unsigned largest = 0; /* as the integer of its bits: NaN is largest */
    for (int i = 0; i < 8; i++) {
        const unsigned bits = __float_as_uint(x[i]) & 0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    for (int bits = is_256 ? 16 : 2; bits > 0; bits /= 2) {
        const unsigned other = __shfl_xor_sync(PN_LANES_ALL, largest, bits);
        largest = other > largest ? other : largest;
    }
    const bool is_number = largest < 0x7f800000u;
    const float max = is_number ? __uint_as_float(largest) : __uint_as_float(0x7fc00000u);
    const bool is_small = max < 0x1p-100f; /* 127 / max stays finite */
    const float inverse = is_small || !is_number ? 0.0f : 127.0f / max;
    const float d = is_small ? 0.0f : is_number ? max / 127.0f : max;
    unsigned words[2] = {0, 0};
    int sum = 0;
    for (int i = 0; i < 8; i++) {
        /* adding 1.5 * 2^23 leaves the integer, rounded to nearest even, in the low bits */
        const float shifted = inverse == 0.0f ? 0x1.8p23f : x[i] * inverse + 0x1.8p23f;
        const int q = (int8_t)(__float_as_uint(shifted) & 255u);
        words[i / 4] |= (unsigned)(q & 255) << (8 * (i % 4));
        sum += q;
    }
    sum += __shfl_xor_sync(PN_LANES_ALL, sum, 1);
    uint2 *out = reinterpret_cast<uint2 *>(acts.q + (size_t)unit * PN_CUDA_GROUP);
    out[lane] = uint2{words[0], words[1]};
    if (lane % 2 == 0) acts.sum_16[(size_t)unit * 16 + lane / 2] = (int16_t)sum;
    if (is_256 && lane == 0) acts.d[unit] = d;
    if (!is_256 && lane % 4 == 0) acts.d[(size_t)unit * 8 + lane / 4] = d;
}

/* In the ways that are wanted. */
static __device__ __forceinline__ void pn_quantize_group(const float x[8],
                                                         const pn_cuda_acts acts[2], int unit) {
    if (acts[0].q) pn_quantize_as(x, acts[0], false, unit);
    if (acts[1].q) pn_quantize_as(x, acts[1], true, unit);
}

#endif
