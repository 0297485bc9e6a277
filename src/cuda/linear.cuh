/* linear.cuh: which matrix and which rows a block of a product works on. */
#ifndef PN_CUDA_LINEAR_CUH
#define PN_CUDA_LINEAR_CUH

#include "cuda/gpu.cuh"

/* The matrix that this block has a part of, and which part. */
struct pn_linear_part {
    const uint8_t *weights;
    const float *bias;
    float *out;
    int n_out, block;
};
static __device__ __forceinline__ pn_linear_part pn_part_of(const pn_cuda_linear_args &a) {
    pn_linear_part part = {a.parts[0].weights, a.parts[0].bias, a.parts[0].out, a.parts[0].n_out,
                           (int)blockIdx.x};
#pragma unroll
    for (int i = 1; i < PN_CUDA_PARTS; i++) {
        if (i >= a.n_parts || (int)blockIdx.x < a.parts[i].first_block) break;
        part = pn_linear_part{a.parts[i].weights, a.parts[i].bias, a.parts[i].out, a.parts[i].n_out,
                              (int)blockIdx.x - a.parts[i].first_block};
    }
    return part;
}

/* Row o of the weights of expert blockIdx.z. */
static __device__ __forceinline__ const uint8_t *pn_part_row(const pn_linear_part &part, int o,
                                                             size_t row_bytes) {
    return part.weights + ((size_t)blockIdx.z * (size_t)part.n_out + (size_t)o) * row_bytes;
}

/* The rows of activations of this block's matrix: all, or those of one expert. */
struct pn_row_range {
    int first, n;
};
static __device__ __forceinline__ pn_row_range pn_rows_of(const pn_cuda_linear_args &a) {
    if (!a.first) return pn_row_range{0, a.n_rows};
    const int first = a.first[blockIdx.z];
    return pn_row_range{first, a.first[blockIdx.z + 1] - first};
}
static __device__ __forceinline__ size_t pn_source_row(const pn_cuda_linear_args &a, int row) {
    return (size_t)(a.rows ? a.rows[row] : row);
}

#endif
