/* rows.cu: operations on rows of float32: row stages (sums, norms, rotation, keys and values stored, a row
 * quantised, in the order the plan has them), gated activations, rows that are kept, and logits scaled and
 * capped. The formulas and orders of src/cpu/isa/rows.c. */
#include "cuda/kv_pages.cuh"
#include "cuda/quantize.cuh"

/* ---- row stages ---- */

/* What a block of a stage knows of its slice of a row. */
struct pn_row_slice {
    float *cache;   /* shared memory for one value, or NULL */
    float *inverse; /* one float of it */
};

static __device__ __forceinline__ size_t pn_slice_at(int width) {
    return ((size_t)blockIdx.x * gridDim.y + blockIdx.y) * (size_t)width;
}

/* out = x, or x + y where there is a y; and to cache, where there is one. out may be NULL. Four loads are under
 * way at a time. */
static __device__ __forceinline__ void pn_row_add(const float *x, const float *y, float *out,
                                                  float *cache, int n) {
    const int n_threads = blockDim.x;
    if (n % 4 != 0) {
        for (int i = threadIdx.x; i < n; i += n_threads) {
            const float value = y ? x[i] + y[i] : x[i];
            if (out) out[i] = value;
            if (cache) cache[i] = value;
        }
        return;
    }
    for (int at = threadIdx.x; at < n / 4; at += 4 * n_threads) {
        float4 v[4];
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (at + k * n_threads < n / 4)
                v[k] = reinterpret_cast<const float4 *>(x)[at + k * n_threads];
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const int i = at + k * n_threads;
            if (i >= n / 4) break;
            if (y) {
                const float4 w = reinterpret_cast<const float4 *>(y)[i];
                v[k] = make_float4(v[k].x + w.x, v[k].y + w.y, v[k].z + w.z, v[k].w + w.w);
            }
            if (out) reinterpret_cast<float4 *>(out)[i] = v[k];
            if (cache) reinterpret_cast<float4 *>(cache)[i] = v[k];
        }
    }
}

/* 1 / sqrt of the mean square: 16 lanes add the squares (element i in lane i mod 16). In all lanes. */
static __device__ __forceinline__ float pn_inverse_rms(const float *x, int n, float eps) {
    float sum = 0.0f;
#pragma unroll 8
    for (int i = threadIdx.x % 16; i < n; i += 16) sum = fmaf(x[i], x[i], sum);
    return 1.0f / sqrtf(pn_sum_16(sum) / (float)n + eps);
}

/* x is the cache or in memory. One group: all threads; several: half a warp each. */
static __device__ __forceinline__ void pn_row_norm(const pn_cuda_row_op &op, const float *x,
                                                   const pn_row_slice &slice) {
    float *out = op.out + pn_slice_at(op.width), *const cache = slice.cache;
    const int n = op.head_dim;
    if (n == op.width) {
        if (cache && x != cache) {
            pn_row_add(x, nullptr, nullptr, cache, n);
            __syncthreads();
            x = cache;
        }
        if (threadIdx.x < 32) {
            const float inverse = pn_inverse_rms(x, n, op.eps);
            if (threadIdx.x == 0) *slice.inverse = inverse;
        }
        __syncthreads();
        const float by = *slice.inverse;
#pragma unroll 4
        for (int i = threadIdx.x; i < n; i += blockDim.x) {
            const float value = x[i] * by, scaled = op.weight ? value * op.weight[i] : value;
            out[i] = scaled;
            if (cache) cache[i] = scaled;
        }
        return;
    }
    const int n_groups = op.width / n;
    for (int first = threadIdx.x / 32 * 2; first < n_groups; first += blockDim.x / 16) {
        const int mine = first + threadIdx.x % 32 / 16;
        const size_t at = (size_t)(mine < n_groups ? mine : first) * (size_t)n;
        const float by = pn_inverse_rms(x + at, n, op.eps);
        if (mine >= n_groups) continue;
        for (int i = threadIdx.x % 16; i < n; i += 16) {
            const float value = x[at + i] * by, scaled = op.weight ? value * op.weight[i] : value;
            out[at + i] = scaled;
            if (cache) cache[at + i] = scaled;
        }
    }
}

/* A thread per pair. x is the cache or the value in memory, which is changed in either case. */
static __device__ __forceinline__ void pn_row_rope(const pn_cuda_row_op &op, float *x) {
    float *out = op.out + pn_slice_at(op.width);
    const float *cos_sin = op.weight + (size_t)blockIdx.x * (size_t)op.n_rot;
    const int n_pairs = op.n_rot / 2, n = op.width / op.head_dim * n_pairs;
    for (int unit = threadIdx.x; unit < n; unit += blockDim.x) {
        const int i = unit % n_pairs, at = unit / n_pairs * op.head_dim + (op.is_neox ? i : 2 * i);
        const int other = at + (op.is_neox ? n_pairs : 1);
        const float u = x[at], v = x[other], c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
        x[at] = out[at] = fmaf(u, c, -(v * s));
        x[other] = out[other] = fmaf(u, s, v * c);
    }
}

template <class T>
static __device__ __forceinline__ void pn_row_store(const pn_cuda_row_op &op, const pn_cuda_kv &kv,
                                                    const float *k) {
    const float *v = op.b + pn_slice_at(op.width);
    const int first = blockIdx.y * (op.width / kv.head_dim);
    for (int i = threadIdx.x; i < op.width; i += blockDim.x) {
        const int head = i / kv.head_dim, at = head * kv.head_dim;
        pn_kv_store<T>(kv, k + at, v + at, blockIdx.x, first + head, i - at);
    }
}

static __device__ __forceinline__ void pn_row_quantize(const pn_cuda_row_op &op,
                                                       const pn_cuda_acts acts[2], const float *x) {
    const int n_groups = pn_cuda_groups(op.width);
    for (int group = threadIdx.x / 32; group < n_groups; group += blockDim.x / 32) {
        float v[8];
        pn_load_8(x, pn_lane_input(group), op.width, v);
        pn_quantize_group(v, acts, blockIdx.x * n_groups + group);
    }
}

template <class T> static __device__ __forceinline__ void pn_rows(const pn_cuda_rows_args &a) {
    PN_SHARED(memory);
    float *floats = reinterpret_cast<float *>(memory);
    const pn_row_slice slice = {a.n_cached > 0 ? floats + 4 : nullptr, floats};
    const float *cached = nullptr; /* the value of which the cache has this slice */
#pragma unroll 1
    for (int i = 0; i < a.n_ops; i++) {
        const pn_cuda_row_op &op = a.ops[i];
        if (i > 0) __syncthreads();
        const size_t at = pn_slice_at(op.width);
        const float *x = cached && op.a == cached ? slice.cache : op.a + at;
        switch (op.kind) {
        case PN_CUDA_ROW_ADD:
            pn_row_add(x, cached && op.b == cached ? slice.cache : op.b + at, op.out + at,
                       slice.cache, op.width);
            break;
        case PN_CUDA_ROW_NORM: pn_row_norm(op, x, slice); break;
        case PN_CUDA_ROW_ROPE: pn_row_rope(op, const_cast<float *>(x)); break;
        case PN_CUDA_ROW_STORE: pn_row_store<T>(op, a.kv, x); break;
        default: pn_row_quantize(op, a.acts, x); break;
        }
        if (slice.cache && (op.kind == PN_CUDA_ROW_ADD || op.kind == PN_CUDA_ROW_NORM))
            cached = op.out;
    }
}

PN_KERNEL(pn_rows_F16, pn_cuda_rows_args, PN_CUDA_ROW_BLOCK) {
    pn_rows<F16_kv>(a);
}
PN_KERNEL(pn_rows_F32, pn_cuda_rows_args, PN_CUDA_ROW_BLOCK) {
    pn_rows<F32_kv>(a);
}
PN_KERNEL(pn_rows_Q8_0, pn_cuda_rows_args, PN_CUDA_ROW_BLOCK) {
    pn_rows<Q8_0_kv>(a);
}

/* ---- the others ---- */

/* x / (1 + exp(-x)), or the tanh form of GELU written the same way. act: pn_activation. */
static __device__ __forceinline__ float pn_activate(int act, float x) {
    float minus_u = 0.0f - x;
    if (act == 1) {
        const float c = 1.5957691216057308f; /* 2 sqrt(2/pi) */
        minus_u = x * fmaf(x * x, -0.044715f * c, -c);
    }
    return x / (1.0f + pn_exp(minus_u));
}

/* A warp per 256 values of a row, which it also quantises. */
PN_KERNEL(pn_glu, pn_cuda_glu_args, PN_CUDA_BLOCK) {
    const int n_groups = pn_cuda_groups(a.width);
    const int unit = blockIdx.x * (PN_CUDA_BLOCK / 32) + threadIdx.x / 32;
    if (unit >= a.n_rows * n_groups) return;
    const int at = pn_lane_input(unit % n_groups);
    const size_t row = (size_t)(unit / n_groups) * (size_t)a.width;
    float x[8], up[8];
    pn_load_8(a.gate + row, at, a.width, x);
    pn_load_8(a.up + row, at, a.width, up);
#pragma unroll
    for (int i = 0; i < 8; i++) x[i] = at + i < a.width ? pn_activate(a.act, x[i]) * up[i] : 0.0f;
    pn_store_8(x, at, a.width, a.out + row);
    pn_quantize_group(x, a.acts, unit);
}

PN_KERNEL(pn_cap, pn_cuda_cap_args, PN_CUDA_BLOCK) {
    const uint64_t i = (uint64_t)blockIdx.x * PN_CUDA_BLOCK + threadIdx.x;
    if (i >= a.n) return;
    const float x = a.x[i] * a.scale;
    a.x[i] = a.softcap > 0.0f ? a.softcap * pn_tanh(x / a.softcap) : x;
}

/* A block per row that is kept. */
PN_KERNEL(pn_select, pn_cuda_select_args, PN_CUDA_BLOCK) {
    const float *x = a.x + (size_t)a.rows[blockIdx.x] * (size_t)a.width;
    float *out = a.out + (size_t)blockIdx.x * (size_t)a.width;
    for (int i = threadIdx.x; i < a.width; i += PN_CUDA_BLOCK) out[i] = x[i];
}
