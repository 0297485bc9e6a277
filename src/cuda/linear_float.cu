/* linear_float.cu: products of float weights (F32, F16, BF16) with float32 activations, in the order of the
 * CPU (src/cpu/isa/matmul_float.c): lane l of 16 adds w[i] x[i] for i = l, l + 16, ... ascending from 0, the
 * lanes end in one tree, the bias comes last. Half a warp takes a row of weights; a lane finds its weights
 * side by side (args.h). */
#include "cuda/linear.cuh"

struct F32_weights {
    typedef float element;
    static __device__ __forceinline__ float get(const float *w, int i) {
        return w[i];
    }
};
struct F16_weights {
    typedef unsigned short element;
    static __device__ __forceinline__ float get(const unsigned short *w, int i) {
        return pn_half_bits_to_float(w[i]);
    }
};
struct BF16_weights {
    typedef unsigned short element;
    static __device__ __forceinline__ float get(const unsigned short *w, int i) {
        return __uint_as_float((unsigned)w[i] << 16);
    }
};

/* The 8 weights of a lane in one group, by loads of 16 bytes. */
template <class W> struct pn_lane_weights { alignas(16) typename W::element w[8]; };

template <class W, int n_columns>
static __device__ __forceinline__ void pn_float_rows(const pn_cuda_linear_args &a) {
    const int lane = threadIdx.x % 16;
    const pn_linear_part part = pn_part_of(a);
    const int o = part.block * PN_CUDA_FLOAT_ROWS + threadIdx.x / 16;
    const pn_row_range range = pn_rows_of(a);
    const int begin = range.first + blockIdx.y * n_columns, end = range.first + range.n;
    if (begin >= end) return;
    const int n = end - begin < n_columns ? end - begin : n_columns;
    /* the other half of the warp may have a row when this one has none: all go through */
    const size_t row_bytes = pn_cuda_float_row_bytes(a.n_in, sizeof(typename W::element));
    const pn_lane_weights<W> *weights = reinterpret_cast<const pn_lane_weights<W> *>(
        pn_part_row(part, o < part.n_out ? o : part.n_out - 1, row_bytes));
    const float *x[n_columns];
    float sum[n_columns];
#pragma unroll
    for (int c = 0; c < n_columns; c++) {
        x[c] = a.x + pn_source_row(a, begin + (c < n ? c : 0)) * (size_t)a.n_in;
        sum[c] = 0.0f;
    }
    const int n_whole = a.n_in / PN_CUDA_FLOAT_GROUP;
    for (int g = 0; g < n_whole; g++) {
        const pn_lane_weights<W> w = weights[g * 16 + lane];
        const int at = g * PN_CUDA_FLOAT_GROUP + lane;
#pragma unroll
        for (int c = 0; c < n_columns; c++) {
            if (c >= n) break;
#pragma unroll
            for (int i = 0; i < 8; i++) sum[c] = fmaf(W::get(w.w, i), x[c][at + 16 * i], sum[c]);
        }
    }
    if (n_whole * PN_CUDA_FLOAT_GROUP < a.n_in) {
        const pn_lane_weights<W> w = weights[n_whole * 16 + lane];
        const int at = n_whole * PN_CUDA_FLOAT_GROUP + lane;
#pragma unroll
        for (int c = 0; c < n_columns; c++) {
            if (c >= n) break;
#pragma unroll
            for (int i = 0; i < 8; i++)
                if (at + 16 * i < a.n_in) sum[c] = fmaf(W::get(w.w, i), x[c][at + 16 * i], sum[c]);
        }
    }
#pragma unroll
    for (int c = 0; c < n_columns; c++) {
        if (c >= n) break;
        float out = pn_sum_16(sum[c]);
        if (lane != 0 || o >= part.n_out) continue;
        if (part.bias) out += part.bias[o];
        part.out[(size_t)(begin + c) * part.n_out + o] = out;
    }
}

/* Element i of a row lies at group i / 128, lane i % 16, place i % 128 / 16. */
template <class W>
static __device__ __forceinline__ void pn_float_embed(const pn_cuda_embed_args &a) {
    const int i = blockIdx.x * PN_CUDA_BLOCK + threadIdx.x, row = blockIdx.y;
    if (i >= a.n_in) return;
    const size_t row_bytes = pn_cuda_float_row_bytes(a.n_in, sizeof(typename W::element));
    const typename W::element *w =
        reinterpret_cast<const typename W::element *>(a.table + (size_t)a.tokens[row] * row_bytes);
    const int in_group = i % PN_CUDA_FLOAT_GROUP;
    float value = W::get(w, i - in_group + in_group % 16 * 8 + in_group / 16);
    if (a.scale != 1.0f) value *= a.scale;
    a.out[(size_t)row * a.n_in + i] = value;
}

#define PN_FLOAT_KERNELS(format)                                                                   \
    PN_KERNEL(pn_few_1_##format, pn_cuda_linear_args, PN_CUDA_BLOCK) {                             \
        pn_float_rows<format##_weights, 1>(a);                                                     \
    }                                                                                              \
    PN_KERNEL(pn_few_8_##format, pn_cuda_linear_args, PN_CUDA_BLOCK) {                             \
        pn_float_rows<format##_weights, PN_CUDA_FEW>(a);                                           \
    }                                                                                              \
    PN_KERNEL(pn_embed_##format, pn_cuda_embed_args, PN_CUDA_BLOCK) {                              \
        pn_float_embed<format##_weights>(a);                                                       \
    }
PN_FLOAT_KERNELS(F32)
PN_FLOAT_KERNELS(F16)
PN_FLOAT_KERNELS(BF16)
