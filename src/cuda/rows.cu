/* rows.cu: operations on rows of float32: norms, rotation, gated activations, sums, rows that are kept, and
 * logits scaled and capped. The formulas and orders of src/cpu/isa/rows.c. */
#include "cuda/gpu.cuh"

/* A block per group of a row. 16 lanes add the squares (element i in lane i mod 16). */
PN_KERNEL(pn_norm, pn_cuda_norm_args, PN_CUDA_BLOCK) {
    PN_SHARED(memory);
    float *inverse = reinterpret_cast<float *>(memory);
    const float *x = a.x + (size_t)blockIdx.x * (size_t)a.n;
    float *out = a.out + (size_t)blockIdx.x * (size_t)a.n;
    if (threadIdx.x < 32) {
        float sum = 0.0f;
        for (int i = threadIdx.x % 16; i < a.n; i += 16) sum = fmaf(x[i], x[i], sum);
        sum = pn_sum_16(sum);
        if (threadIdx.x == 0) *inverse = 1.0f / sqrtf(sum / (float)a.n + a.eps);
    }
    __syncthreads();
    const float by = *inverse;
    for (int i = threadIdx.x; i < a.n; i += PN_CUDA_BLOCK) {
        const float value = x[i] * by;
        out[i] = a.weight ? value * a.weight[i] : value;
    }
}

/* A thread per pair. */
PN_KERNEL(pn_rope, pn_cuda_rope_args, PN_CUDA_BLOCK) {
    const int n_pairs = a.n_rot / 2, unit = blockIdx.x * PN_CUDA_BLOCK + threadIdx.x;
    if (unit >= a.n_rows * a.n_head * n_pairs) return;
    const int i = unit % n_pairs, head = unit / n_pairs;
    const float *cos_sin = a.cos_sin + (size_t)(head / a.n_head) * (size_t)a.n_rot + 2 * i;
    float *x = a.x + (size_t)head * (size_t)a.head_dim + (a.is_neox ? i : 2 * i);
    float *y = x + (a.is_neox ? n_pairs : 1);
    const float u = *x, v = *y;
    *x = fmaf(u, cos_sin[0], -(v * cos_sin[1]));
    *y = fmaf(u, cos_sin[1], v * cos_sin[0]);
}

/* x / (1 + exp(-x)), or the tanh form of GELU written the same way. act: pn_activation. */
static __device__ __forceinline__ float pn_activate(int act, float x) {
    float minus_u = 0.0f - x;
    if (act == 1) {
        const float c = 1.5957691216057308f; /* 2 sqrt(2/pi) */
        minus_u = x * fmaf(x * x, -0.044715f * c, -c);
    }
    return x / (1.0f + pn_exp(minus_u));
}

PN_KERNEL(pn_glu, pn_cuda_map_args, PN_CUDA_BLOCK) {
    const uint64_t i = (uint64_t)blockIdx.x * PN_CUDA_BLOCK + threadIdx.x;
    if (i < a.n) a.out[i] = pn_activate(a.act, a.a[i]) * a.b[i];
}

PN_KERNEL(pn_add, pn_cuda_map_args, PN_CUDA_BLOCK) {
    const uint64_t i = (uint64_t)blockIdx.x * PN_CUDA_BLOCK + threadIdx.x;
    if (i < a.n) a.out[i] = a.a[i] + a.b[i];
}

PN_KERNEL(pn_cap, pn_cuda_map_args, PN_CUDA_BLOCK) {
    const uint64_t i = (uint64_t)blockIdx.x * PN_CUDA_BLOCK + threadIdx.x;
    if (i >= a.n) return;
    const float x = a.a[i] * a.scale;
    a.out[i] = a.softcap > 0.0f ? a.softcap * pn_tanh(x / a.softcap) : x;
}

/* A block per row that is kept. */
PN_KERNEL(pn_select, pn_cuda_select_args, PN_CUDA_BLOCK) {
    const float *x = a.x + (size_t)a.rows[blockIdx.x] * (size_t)a.width;
    float *out = a.out + (size_t)blockIdx.x * (size_t)a.width;
    for (int i = threadIdx.x; i < a.width; i += PN_CUDA_BLOCK) out[i] = x[i];
}
