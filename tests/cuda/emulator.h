/* emulator.h: what a CUDA compiler gives a kernel, for g++: so the sources in src/cuda run on a CPU.
 *
 * The threads of a block are fibers of one thread of the system. They run in an order that a seed
 * decides, each until it waits: at a barrier of the block, or at an operation of its warp (shuffle,
 * vote, mma, __syncwarp), which goes on when all 32 lanes have come. So a missing barrier between two
 * phases gives wrong results under some seed. The fragments of mma are those of the PTX manual ("Matrix
 * Fragments for mma.m16n8k16 / m16n8k32"). Shared memory is filled with ones (floats: NaN) before each
 * block and is exactly as large as was asked for.
 *
 * What cannot be seen here: races that only true parallelism shows, missing memory fences, limits of
 * registers and shared memory banks, speed. */
#ifndef PN_TESTS_EMULATOR_H
#define PN_TESTS_EMULATOR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict

struct emu_uint3 {
    unsigned x, y, z;
};
struct uint2 {
    unsigned x, y;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
static inline float4 make_float4(float x, float y, float z, float w) {
    return float4{x, y, z, w};
}

/* ---- the thread that runs now ---- */

extern emu_uint3 emu_thread_idx, emu_block_idx, emu_block_dim, emu_grid_dim;
extern unsigned char *emu_shared;
extern size_t emu_shared_bytes;
#define threadIdx       emu_thread_idx
#define blockIdx        emu_block_idx
#define blockDim        emu_block_dim
#define gridDim         emu_grid_dim
#define PN_SHARED(name) unsigned char *const name = emu_shared

void emu_sync_block(void);
/* Hands in `words` words of this lane at a warp-wide operation; returns those of all lanes,
 * [32][EMU_WORDS], valid until the lane's next operation. kind: what the other lanes must be doing. */
enum { EMU_WORDS = 8 };
typedef uint32_t emu_lanes[32][EMU_WORDS];
const emu_lanes *emu_exchange(int kind, const uint32_t *in, int words);
enum { EMU_SYNC, EMU_SHUFFLE, EMU_VOTE, EMU_MMA16, EMU_MMA32 };
int emu_lane(void);
/* Says what is wrong and ends the program: a kernel that may not be run like this. */
[[noreturn]] void emu_fail(const char *what);

static inline void __syncthreads(void) {
    emu_sync_block();
}
static inline void emu_full(unsigned mask) {
    if (mask != 0xffffffffu) emu_fail("a warp operation without all lanes");
}
static inline void __syncwarp(unsigned mask = 0xffffffffu) {
    emu_full(mask);
    emu_exchange(EMU_SYNC, nullptr, 0);
}
template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    static_assert(sizeof(T) == 4, "words");
    emu_full(mask);
    uint32_t word;
    memcpy(&word, &value, 4);
    const int lane = emu_lane();
    const emu_lanes *all = emu_exchange(EMU_SHUFFLE, &word, 1);
    memcpy(&value, &(*all)[lane / width * width + source % width][0], 4);
    return value;
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    return __shfl_sync(mask, value, (emu_lane() ^ bits) % width, width);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate) {
    emu_full(mask);
    const uint32_t word = predicate != 0;
    const emu_lanes *all = emu_exchange(EMU_VOTE, &word, 1);
    unsigned votes = 0;
    for (int i = 0; i < 32; i++) votes |= (*all)[i][0] << i;
    return votes;
}

/* ---- atomics: no thread runs until another one waits ---- */

static inline int atomicAdd(int *at, int value) {
    const int before = *at;
    *at += value;
    return before;
}
static inline int atomicMin(int *at, int value) {
    const int before = *at;
    if (value < before) *at = value;
    return before;
}
static inline unsigned atomicMax(unsigned *at, unsigned value) {
    const unsigned before = *at;
    if (value > before) *at = value;
    return before;
}

/* ---- arithmetic ---- */

static inline int __ffs(int bits) {
    return __builtin_ffs(bits);
}
static inline int __popc(unsigned bits) {
    return __builtin_popcount(bits);
}

static inline int emu_byte(uint32_t word, int i) {
    return (int8_t)(word >> (8 * i));
}
static inline int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; i++) c += emu_byte((uint32_t)a, i) * emu_byte((uint32_t)b, i);
    return c;
}
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const uint64_t bytes = (uint64_t)b << 32 | a;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned s = selector >> (4 * i) & 15;
        unsigned byte = (unsigned)(bytes >> (8 * (s & 7))) & 255;
        if (s & 8) byte = byte & 128 ? 255 : 0; /* the sign, eight times */
        out |= byte << (8 * i);
    }
    return out;
}
static inline float __uint_as_float(unsigned u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline unsigned __float_as_uint(float f) {
    unsigned u;
    memcpy(&u, &f, 4);
    return u;
}
float pn_half_bits_to_float(unsigned short h);
unsigned short pn_float_to_half_bits(float f);

/* c += a b of int8: a 16 rows, b 8 columns. Lane l holds of a the rows l / 4 and l / 4 + 8, of b the
 * column l / 4, four neighbours from 4 (l % 4) on, and of c columns 2 (l % 4) and the next. */
static inline void emu_mma(int kind, int *c, const unsigned *a, const unsigned *b, int n_k) {
    uint32_t in[EMU_WORDS];
    const int halves = n_k / 16; /* of k: a holds two words for each, b one */
    for (int i = 0; i < 2 * halves; i++) in[i] = a[i];
    for (int i = 0; i < halves; i++) in[4 + i] = b[i];
    const int lane = emu_lane();
    const emu_lanes *all = emu_exchange(kind, in, 6);
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < n_k; k += 4) {
            const uint32_t wa = (*all)[row % 8 * 4 + k % 16 / 4][row / 8 + k / 16 * 2];
            const uint32_t wb = (*all)[column * 4 + k % 16 / 4][4 + k / 16];
            c[i] = __dp4a((int)wa, (int)wb, c[i]);
        }
    }
}
static inline void pn_mma_k32(int c[4], const unsigned a[4], const unsigned b[2]) {
    emu_mma(EMU_MMA32, c, a, b, 32);
}
static inline void pn_mma_k16(int c[4], const unsigned a[2], unsigned b) {
    emu_mma(EMU_MMA16, c, a, &b, 16);
}

/* ---- kernels and their launch ---- */

typedef struct emu_kernel {
    const char *name;
    size_t args_bytes;
    int threads;
    void (*run)(const void *args);
    struct emu_kernel *next;
} emu_kernel;
const emu_kernel *emu_kernel_find(const char *name);
void emu_kernel_add(emu_kernel *kernel);
/* Runs the kernel over a grid. seed decides every order. */
void emu_launch(const emu_kernel *kernel, const void *args, emu_uint3 grid, emu_uint3 block,
                size_t shared_bytes, uint64_t seed);

struct emu_registration {
    emu_kernel kernel;
    emu_registration(const char *name, size_t bytes, int threads, void (*run)(const void *))
        : kernel{name, bytes, threads, run, nullptr} {
        emu_kernel_add(&kernel);
    }
};
#define PN_KERNEL(name, type, threads)                                                             \
    static void name(const type a);                                                                \
    static void name##_run(const void *args) {                                                     \
        name(*static_cast<const type *>(args));                                                    \
    }                                                                                              \
    static emu_registration name##_registration(#name, sizeof(type), threads, name##_run);         \
    static void name(const type a)

#endif
