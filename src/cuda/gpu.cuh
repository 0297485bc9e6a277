/* gpu.cuh: what the kernels are written in: CUDA's own words where nvcc compiles, else those of the emulator
 * (tests/cuda/emulator.h), and the few functions that need either. Every float operation rounds once and
 * nothing is fused that is not written as fmaf (-fmad=false), so a kernel gives the bits of the CPU's. */
#ifndef PN_CUDA_GPU_CUH
#define PN_CUDA_GPU_CUH

#include "cuda/args.h"

#ifdef __CUDACC__
/* No header of CUDA's is included: NVRTC compiles this where there are none. */
/* One block on a multiprocessor is promised, so that registers are not saved at the price of spills. */
#define PN_KERNEL(name, type, threads)                                                             \
    extern "C" __global__ void __launch_bounds__(threads, 1) name(const type a)
extern __shared__ uint4 pn_shared_memory[];
#define PN_SHARED(name)                                                                            \
    unsigned char *const name = reinterpret_cast<unsigned char *>(pn_shared_memory)

static __device__ __forceinline__ float pn_half_bits_to_float(unsigned short h) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
    return f;
}
static __device__ __forceinline__ unsigned short pn_float_to_half_bits(float f) {
    unsigned short h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
    return h;
}

/* c += a b of int8, 16 rows of a by 8 columns of b over 16 or 32 of k (PTX: mma.m16n8k32, m16n8k16). Cards
 * before sm_80 do it in parts whose fragments are the same, cards before sm_75 by shuffles. */
static __device__ __forceinline__ void pn_mma_k16(int c[4], const unsigned a[2], unsigned b) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
        "{%0,%1,%2,%3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(b));
#elif __CUDA_ARCH__ >= 750
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
        : "+r"(c[0]), "+r"(c[1])
        : "r"(a[0]), "r"(b));
    asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
        : "+r"(c[2]), "+r"(c[3])
        : "r"(a[1]), "r"(b));
#else
    const int row = threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;
    for (int k = 0; k < 4; k++) {
        const unsigned upper = __shfl_sync(0xffffffffu, a[0], row * 4 + k),
                       lower = __shfl_sync(0xffffffffu, a[1], row * 4 + k),
                       left = __shfl_sync(0xffffffffu, b, column * 4 + k),
                       right = __shfl_sync(0xffffffffu, b, column * 4 + 4 + k);
        c[0] = __dp4a((int)upper, (int)left, c[0]);
        c[1] = __dp4a((int)upper, (int)right, c[1]);
        c[2] = __dp4a((int)lower, (int)left, c[2]);
        c[3] = __dp4a((int)lower, (int)right, c[3]);
    }
#endif
}
static __device__ __forceinline__ void pn_mma_k32(int c[4], const unsigned a[4],
                                                  const unsigned b[2]) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    pn_mma_k16(c, a, b[0]);
    pn_mma_k16(c, a + 2, b[1]);
#endif
}
#endif

#define PN_LANES_ALL 0xffffffffu

/* The sum of 16 lanes in the tree that every sum over a row ends in (pn_vf_sum), in all of them. */
static __device__ __forceinline__ float pn_sum_16(float x) {
    for (int bits = 8; bits > 0; bits /= 2) x += __shfl_xor_sync(PN_LANES_ALL, x, bits);
    return x;
}

/* a * 2^n for an integer n (as a float) within -127..127; 2^-127 counts as 0. */
static __device__ __forceinline__ float pn_scale2(float a, float n) {
    const float shifted = n + (0x1.8p23f + 127.0f);
    return a * __uint_as_float(__float_as_uint(shifted) << 23);
}
static __device__ __forceinline__ float pn_round(float a) {
    const float shifted = a + 0x1.8p23f;
    return shifted - 0x1.8p23f;
}

/* e^x, the polynomial of pn_vf_exp (src/simd/simd.h). */
static __device__ __forceinline__ float pn_exp(float x) {
    x = -105.0f > x ? -105.0f : x;
    x = 89.0f < x ? 89.0f : x;
    const float n = pn_round(x * 0x1.715476p+0f);
    float r = fmaf(n, -0x1.62e4p-1f, x);
    r = fmaf(n, -0x1.7f7d1cp-20f, r);
    float p = 1.0f / 5040.0f;
    p = fmaf(p, r, 1.0f / 720.0f);
    p = fmaf(p, r, 1.0f / 120.0f);
    p = fmaf(p, r, 1.0f / 24.0f);
    p = fmaf(p, r, 1.0f / 6.0f);
    p = fmaf(p, r, 0.5f);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    const float half = pn_round(n * 0.5f);
    return pn_scale2(pn_scale2(p, half), n - half);
}
static __device__ __forceinline__ float pn_tanh(float x) {
    return 1.0f - 2.0f / (pn_exp(x + x) + 1.0f);
}

#endif
