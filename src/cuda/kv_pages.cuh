/* kv_pages.cuh: where keys and values lie in a page (src/backend/kv_layout.h), in the three types they are
 * kept in, and storing them by the formulas of src/cpu/isa/attention_kv.c. */
#ifndef PN_CUDA_KV_PAGES_CUH
#define PN_CUDA_KV_PAGES_CUH

#include "cuda/gpu.cuh"

enum { pn_page = PN_CUDA_PAGE };

struct F32_kv {
    typedef float element;
    static constexpr bool has_scales = false;
    static __device__ __forceinline__ float get(float x) {
        return x;
    }
};
struct F16_kv {
    typedef unsigned short element;
    static constexpr bool has_scales = false;
    static __device__ __forceinline__ float get(unsigned short x) {
        return pn_half_bits_to_float(x);
    }
};
struct Q8_0_kv {
    typedef signed char element;
    static constexpr bool has_scales = true;
    static __device__ __forceinline__ float get(signed char x) {
        return (float)x;
    }
};

/* One KV head of one page (src/backend/kv_layout.h). */
template <class T> struct pn_kv_head {
    typename T::element *keys, *values; /* [head_dim][64], [64][head_dim] */
    float *key_scales, *value_scales;   /* [groups][64], [64][groups] */
};

static __device__ __forceinline__ int pn_scale_groups(int head_dim) {
    return (head_dim + 31) / 32;
}

template <class T>
static __device__ __forceinline__ pn_kv_head<T> pn_kv_head_of(const pn_cuda_kv &kv, int page,
                                                              int head) {
    const size_t side = (size_t)kv.head_dim * pn_page, n = (size_t)kv.n_head_kv;
    uint8_t *base = kv.pages + (size_t)page * kv.page_bytes;
    typename T::element *elements = reinterpret_cast<typename T::element *>(base);
    float *scales = reinterpret_cast<float *>(base + 2 * n * side * sizeof(typename T::element));
    const size_t side_scales = (size_t)pn_scale_groups(kv.head_dim) * pn_page;
    pn_kv_head<T> h;
    h.keys = elements + (size_t)head * side;
    h.values = elements + (n + (size_t)head) * side;
    h.key_scales = scales + (size_t)head * side_scales;
    h.value_scales = scales + (n + (size_t)head) * side_scales;
    return h;
}

/* ---- storing ---- */

/* One group of at most 32 of q8_0: the scale; a value that is not finite makes it so too. */
static __device__ __forceinline__ float pn_q8_scale(const float *x, int n) {
    float max = 0.0f, sum = 0.0f;
    for (int i = 0; i < n; i++) {
        const float v = fabsf(x[i]);
        max = v > max ? v : max;
        sum += v * 0.0f; /* NaN where v is not finite */
    }
    return max / 127.0f + sum;
}
static __device__ __forceinline__ signed char pn_q8_code(float x, float scale) {
    const float infinity = __uint_as_float(0x7f800000u);
    const float inverse = scale > 0.0f && scale < infinity ? 1.0f / scale : 0.0f;
    const float scaled = inverse > 0.0f && inverse < infinity ? x * inverse : 0.0f;
    const float rounded = pn_round(scaled);
    return (signed char)(rounded > 127.0f ? 127.0f : rounded < -127.0f ? -127.0f : rounded);
}

/* The value that type T keeps of dimension d of a head; *scale gets that of its group. */
template <class T> struct pn_keep;
template <> struct pn_keep<F32_kv> {
    static __device__ __forceinline__ float of(const float *x, int d, int, float *) {
        return x[d];
    }
};
template <> struct pn_keep<F16_kv> {
    static __device__ __forceinline__ unsigned short of(const float *x, int d, int, float *) {
        return pn_float_to_half_bits(x[d]);
    }
};
template <> struct pn_keep<Q8_0_kv> {
    static __device__ __forceinline__ signed char of(const float *x, int d, int head_dim,
                                                     float *scale) {
        const int first = d / 32 * 32, n = head_dim - first < 32 ? head_dim - first : 32;
        *scale = pn_q8_scale(x + first, n);
        return pn_q8_code(x[d], *scale);
    }
};

/* Dimension d of one head's keys and values k, v [head_dim]. */
template <class T>
static __device__ __forceinline__ void pn_kv_store(const pn_cuda_kv &kv, const float *k,
                                                   const float *v, int row, int head, int d) {
    const int position = kv.positions[row], slot = position % pn_page;
    const int page = kv.tables[(size_t)kv.seqs[row] * (size_t)kv.table_width + position / pn_page];
    const pn_kv_head<T> h = pn_kv_head_of<T>(kv, page, head);
    float key_scale, value_scale;
    h.keys[d * pn_page + slot] = pn_keep<T>::of(k, d, kv.head_dim, &key_scale);
    h.values[slot * kv.head_dim + d] = pn_keep<T>::of(v, d, kv.head_dim, &value_scale);
    if (!T::has_scales || d % 32 != 0) return;
    h.key_scales[d / 32 * pn_page + slot] = key_scale;
    h.value_scales[slot * pn_scale_groups(kv.head_dim) + d / 32] = value_scale;
}

#endif
