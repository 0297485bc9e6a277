/* attention.cu: softmax(scale q k) v over KV pages, in the order of the CPU (src/cpu/isa/attention.c): pages of
 * 64 positions one after another, each moving the running maximum m, the sum of weights l and the weighted
 * values acc; chunks of 256 absolute positions start from nothing and are merged in ascending order. A
 * score is one chain of fused multiply-adds over the dimensions, a value one chain over positions.
 *
 * A block takes up to 8 queries of one KV head: rows of one sequence by query heads that share keys and
 * values. Few rows over a long context are split: a block per chunk, then a kernel that merges. */
#include "cuda/kv_pages.cuh"
#include "cuda/quantize.cuh"

enum { pn_queries = PN_CUDA_QUERIES };

/* ---- attending ---- */

/* e^x for x <= 0: the polynomial of exp_weight on the CPU; exactly 0 below -88. */
static __device__ __forceinline__ float pn_exp_weight(float x) {
    x = -88.03f > x ? -88.03f : x;
    const float n = fmaf(x, 0x1.715476p+0f, 0x1.8p23f) - 0x1.8p23f;
    float r = fmaf(n, -0x1.62e4p-1f, x);
    r = fmaf(n, -0x1.7f7d1cp-20f, r);
    float p = 0x1.6a2434p-10f;
    p = fmaf(p, r, 0x1.1239e4p-7f);
    p = fmaf(p, r, 0x1.5558f2p-5f);
    p = fmaf(p, r, 0x1.555492p-3f);
    p = fmaf(p, r, 0x1.fffffcp-2f);
    p = fmaf(p, r, 1.0f);
    return pn_scale2(fmaf(p, r, 1.0f), n);
}

struct pn_attention_memory {
    float scores[pn_queries][pn_page]; /* then weights */
    float m[pn_queries], l[pn_queries], factor[pn_queries];
    float all_m[pn_queries], all_l[pn_queries]; /* of the chunks so far, whose values are in out */
    int begin[pn_queries], end[pn_queries];     /* positions of the page that the query sees */
    int is_merged[pn_queries];
    float q[pn_queries][PN_CUDA_MAX_HEAD];
};

static_assert(sizeof(pn_attention_memory) == PN_CUDA_ATTENTION_BYTES, "args.h");

/* What the block works on. */
struct pn_attention_job {
    int first_row, n_heads, n_queries, first_head, head_kv;
    const int *table;
};

static __device__ __forceinline__ int pn_query_row(const pn_attention_job &job, int q) {
    return job.first_row + q / job.n_heads;
}
static __device__ __forceinline__ size_t pn_query_at(const pn_cuda_attention_args &a,
                                                     const pn_attention_job &job, int q) {
    return ((size_t)pn_query_row(job, q) * (size_t)a.kv.n_head +
            (size_t)(job.first_head + q % job.n_heads)) *
           (size_t)a.kv.head_dim;
}

/* Thread t has position t % 64 for the queries of one parity. */
template <class T>
static __device__ __forceinline__ void
pn_score_page(const pn_cuda_attention_args &a, const pn_attention_job &job, const pn_kv_head<T> &h,
              pn_attention_memory *m) {
    const int position = threadIdx.x % pn_page, first = threadIdx.x / pn_page;
    float s[pn_queries / 2];
#pragma unroll
    for (int i = 0; i < pn_queries / 2; i++) s[i] = 0.0f;
    for (int d = 0; d < a.kv.head_dim; d++) {
        float key = T::get(h.keys[d * pn_page + position]);
        if (T::has_scales) key *= h.key_scales[d / 32 * pn_page + position];
#pragma unroll
        for (int i = 0; i < pn_queries / 2; i++) s[i] = fmaf(m->q[first + 2 * i][d], key, s[i]);
    }
#pragma unroll
    for (int i = 0; i < pn_queries / 2; i++) {
        const int q = first + 2 * i;
        if (q >= job.n_queries) break;
        float x = s[i] * a.scale;
        if (a.softcap > 0.0f) x = a.softcap * pn_tanh(x / a.softcap);
        const bool is_seen = position >= m->begin[q] && position < m->end[q];
        m->scores[q][position] = is_seen ? x : __uint_as_float(0xff800000u);
    }
}

/* A warp per query, lane l has positions l and l + 32. */
static __device__ __forceinline__ void pn_weigh_page(const pn_attention_job &job,
                                                     pn_attention_memory *m) {
    const int lane = threadIdx.x % 32;
    for (int q = threadIdx.x / 32; q < job.n_queries; q += PN_CUDA_BLOCK / 32) {
        if (m->begin[q] >= m->end[q]) { /* sees nothing of this page */
            if (lane == 0) m->factor[q] = 1.0f;
            continue;
        }
        float x = m->scores[q][lane], y = m->scores[q][lane + 32];
        float max = x > y ? x : y;
        for (int bits = 16; bits > 0; bits /= 2) {
            const float other = __shfl_xor_sync(PN_LANES_ALL, max, bits);
            max = max > other ? max : other;
        }
        const float old = m->m[q];
        max = old > max ? old : max;
        x = pn_exp_weight(x - max);
        y = pn_exp_weight(y - max);
        m->scores[q][lane] = x;
        m->scores[q][lane + 32] = y;
        x += __shfl_xor_sync(PN_LANES_ALL, x, 16);
        y += __shfl_xor_sync(PN_LANES_ALL, y, 16);
        const float sum = pn_sum_16(x + y);
        const float factor = max != old ? pn_exp_weight(old - max) : 1.0f;
        if (lane == 0) {
            m->factor[q] = factor;
            if (max != old) m->l[q] *= factor;
            m->m[q] = max;
            m->l[q] += sum;
        }
    }
}

/* Thread t has dimensions t, t + 128, ... */
template <class T, int n_dims>
static __device__ __forceinline__ void
pn_add_page(const pn_cuda_attention_args &a, const pn_attention_job &job, const pn_kv_head<T> &h,
            const pn_attention_memory *m, float acc[n_dims][pn_queries]) {
    int begin = pn_page, end = 0, all_begin = 0, all_end = pn_page;
    for (int q = 0; q < job.n_queries; q++) {
        begin = m->begin[q] < begin ? m->begin[q] : begin;
        end = m->end[q] > end ? m->end[q] : end;
        all_begin = m->begin[q] > all_begin ? m->begin[q] : all_begin;
        all_end = m->end[q] < all_end ? m->end[q] : all_end;
    }
    const int n_groups = pn_scale_groups(a.kv.head_dim);
#pragma unroll
    for (int i = 0; i < n_dims; i++) {
        const int d = threadIdx.x + i * PN_CUDA_BLOCK;
        if (d >= a.kv.head_dim) break;
#pragma unroll
        for (int q = 0; q < pn_queries; q++)
            if (q < job.n_queries && m->factor[q] != 1.0f) acc[i][q] *= m->factor[q];
        for (int p = begin; p < end; p++) {
            float value = T::get(h.values[p * a.kv.head_dim + d]);
            if (T::has_scales) value *= h.value_scales[p * n_groups + d / 32];
            const bool by_all = p >= all_begin && p < all_end;
#pragma unroll
            for (int q = 0; q < pn_queries; q++) {
                if (q >= job.n_queries) break;
                if (by_all || (p >= m->begin[q] && p < m->end[q]))
                    acc[i][q] = fmaf(m->scores[q][p], value, acc[i][q]);
            }
        }
    }
}

/* Joins the chunk with those before it; the only way chunks are joined. */
template <int n_dims>
static __device__ __forceinline__ void
pn_merge_chunk(const pn_cuda_attention_args &a, const pn_attention_job &job,
               const pn_attention_memory *m, const float acc[n_dims][pn_queries]) {
    for (int q = 0; q < job.n_queries; q++) {
        if (m->l[q] == 0.0f && m->m[q] == __uint_as_float(0xff800000u)) continue; /* saw nothing */
        float before = 0.0f, next = 1.0f;
        if (m->is_merged[q]) {
            const float max = m->all_m[q] > m->m[q] ? m->all_m[q] : m->m[q];
            before = pn_exp_weight(m->all_m[q] - max);
            next = pn_exp_weight(m->m[q] - max);
        }
        float *out = a.out + pn_query_at(a, job, q);
#pragma unroll
        for (int i = 0; i < n_dims; i++) {
            const int d = threadIdx.x + i * PN_CUDA_BLOCK;
            if (d >= a.kv.head_dim) break;
            float value = 0.0f; /* acc[i][q] without an index that varies */
#pragma unroll
            for (int k = 0; k < pn_queries; k++) value = k == q ? acc[i][k] : value;
            out[d] = m->is_merged[q] ? fmaf(out[d], before, value * next) : value;
        }
    }
}
static __device__ __forceinline__ void pn_merge_sums(const pn_attention_job &job,
                                                     pn_attention_memory *m) {
    const int q = threadIdx.x;
    if (q >= job.n_queries) return;
    if (m->l[q] == 0.0f && m->m[q] == __uint_as_float(0xff800000u)) return;
    if (!m->is_merged[q]) {
        m->is_merged[q] = 1;
        m->all_m[q] = m->m[q];
        m->all_l[q] = m->l[q];
        return;
    }
    const float max = m->all_m[q] > m->m[q] ? m->all_m[q] : m->m[q];
    const float before = pn_exp_weight(m->all_m[q] - max), next = pn_exp_weight(m->m[q] - max);
    m->all_m[q] = max;
    m->all_l[q] = fmaf(m->all_l[q], before, m->l[q] * next);
}

/* One chunk: m, l in shared memory and acc are its own afterwards. */
template <class T, int n_dims>
static __device__ __forceinline__ void
pn_attend_chunk(const pn_cuda_attention_args &a, const pn_attention_job &job, int chunk,
                int last_position, pn_attention_memory *m, float acc[n_dims][pn_queries]) {
#pragma unroll
    for (int i = 0; i < n_dims; i++)
#pragma unroll
        for (int q = 0; q < pn_queries; q++) acc[i][q] = 0.0f;
    __syncthreads();
    if (threadIdx.x < pn_queries) {
        m->m[threadIdx.x] = __uint_as_float(0xff800000u);
        m->l[threadIdx.x] = 0.0f;
    }
    for (int p = 0; p < PN_CUDA_CHUNK / pn_page; p++) {
        const int page = chunk * (PN_CUDA_CHUNK / pn_page) + p, base = page * pn_page;
        if (base > last_position) break;
        __syncthreads();
        if (threadIdx.x < pn_queries) {
            const int q = (int)threadIdx.x < job.n_queries ? (int)threadIdx.x : 0;
            const int position = a.kv.positions[pn_query_row(job, q)];
            int begin = a.window > 0 ? position - a.window + 1 - base : 0;
            int end = position + 1 - base;
            begin = begin < 0 ? 0 : begin > pn_page ? pn_page : begin;
            end = end < 0 ? 0 : end > pn_page ? pn_page : end;
            m->begin[threadIdx.x] = begin;
            m->end[threadIdx.x] = end;
        }
        __syncthreads();
        bool is_seen = false;
        for (int q = 0; q < job.n_queries; q++) is_seen = is_seen || m->begin[q] < m->end[q];
        if (!is_seen) continue;
        const pn_kv_head<T> h = pn_kv_head_of<T>(a.kv, job.table[page], job.head_kv);
        pn_score_page<T>(a, job, h, m);
        __syncthreads();
        pn_weigh_page(job, m);
        __syncthreads();
        pn_add_page<T, n_dims>(a, job, h, m, acc);
    }
    __syncthreads();
}

template <class T, int n_dims>
static __device__ __forceinline__ void pn_attention(const pn_cuda_attention_args &a) {
    PN_SHARED(memory);
    pn_attention_memory *m = reinterpret_cast<pn_attention_memory *>(memory);
    const int *group = a.groups + 2 * blockIdx.x;
    const int head_kv = blockIdx.y / a.blocks_per_kv, block = blockIdx.y % a.blocks_per_kv;
    const int heads_per_kv = a.kv.n_head / a.kv.n_head_kv, in_kv = block * a.heads_per_block;
    pn_attention_job job;
    job.first_row = group[0];
    job.n_heads =
        heads_per_kv - in_kv < a.heads_per_block ? heads_per_kv - in_kv : a.heads_per_block;
    job.n_queries = group[1] * job.n_heads;
    job.first_head = head_kv * heads_per_kv + in_kv;
    job.head_kv = head_kv;
    job.table = a.kv.tables + (size_t)a.kv.seqs[job.first_row] * (size_t)a.kv.table_width;
    const int first_position = a.kv.positions[job.first_row];
    const int last_position = a.kv.positions[job.first_row + group[1] - 1];
    const int visible = a.window > 0 ? first_position - a.window + 1 : 0;
    int chunk = visible > 0 ? visible / PN_CUDA_CHUNK : 0, end = last_position / PN_CUDA_CHUNK;
    if (a.n_chunks > 0) {
        if ((int)blockIdx.z < chunk || (int)blockIdx.z > end) return;
        chunk = end = blockIdx.z;
    }
    for (int q = 0; q < pn_queries; q++)
        for (int d = threadIdx.x; d < a.kv.head_dim; d += PN_CUDA_BLOCK)
            m->q[q][d] = q < job.n_queries ? a.q[pn_query_at(a, job, q) + d] : 0.0f;
    if (threadIdx.x < pn_queries) m->is_merged[threadIdx.x] = 0;
    float acc[n_dims][pn_queries];
    if (a.n_chunks > 0) {
        pn_attend_chunk<T, n_dims>(a, job, chunk, last_position, m, acc);
        for (int q = 0; q < job.n_queries; q++) {
            const size_t at = pn_query_at(a, job, q) / (size_t)a.kv.head_dim;
            float *partial = a.partials + (at * (size_t)a.n_chunks + (size_t)chunk) *
                                              (size_t)(a.kv.head_dim + 2);
            if (threadIdx.x == 0) {
                partial[0] = m->m[q];
                partial[1] = m->l[q];
            }
#pragma unroll
            for (int i = 0; i < n_dims; i++) {
                const int d = threadIdx.x + i * PN_CUDA_BLOCK;
                if (d >= a.kv.head_dim) break;
#pragma unroll
                for (int k = 0; k < pn_queries; k++)
                    if (k == q) partial[2 + d] = acc[i][k];
            }
        }
        return;
    }
    for (; chunk <= end; chunk++) {
        pn_attend_chunk<T, n_dims>(a, job, chunk, last_position, m, acc);
        pn_merge_chunk<n_dims>(a, job, m, acc);
        __syncthreads();
        pn_merge_sums(job, m);
    }
    __syncthreads();
    for (int q = 0; q < job.n_queries; q++)
        for (int d = threadIdx.x; d < a.kv.head_dim; d += PN_CUDA_BLOCK)
            a.out[pn_query_at(a, job, q) + d] /= m->all_l[q];
}

/* n_dims dimensions of one head from the chunks of a row. */
template <int n_dims>
static __device__ __forceinline__ void pn_merge(const pn_cuda_merge_args &a, int row, int head,
                                                int d, float *out) {
    const int position = a.positions[row];
    const size_t stride = (size_t)a.head_dim + 2;
    const int visible = a.window > 0 ? position - a.window + 1 : 0;
    const int first = visible > 0 ? visible / PN_CUDA_CHUNK : 0;
    const size_t at = (size_t)row * (size_t)a.n_head + (size_t)head;
    const float *part = a.partials + (at * (size_t)a.n_chunks + (size_t)first) * stride;
    float m = part[0], l = part[1];
#pragma unroll
    for (int i = 0; i < n_dims; i++) out[i] = part[2 + d + i];
    for (int chunk = first + 1; chunk <= position / PN_CUDA_CHUNK; chunk++) {
        part += stride;
        const float max = m > part[0] ? m : part[0];
        const float before = pn_exp_weight(m - max), next = pn_exp_weight(part[0] - max);
        m = max;
        l = fmaf(l, before, part[1] * next);
#pragma unroll
        for (int i = 0; i < n_dims; i++) out[i] = fmaf(out[i], before, part[2 + d + i] * next);
    }
#pragma unroll
    for (int i = 0; i < n_dims; i++) out[i] /= l;
}

/* A warp per 256 values of a row, which it also quantises. */
PN_KERNEL(pn_attention_merge, pn_cuda_merge_args, PN_CUDA_BLOCK) {
    const int width = a.n_head * a.head_dim, n_groups = pn_cuda_groups(width);
    const int unit = blockIdx.x * (PN_CUDA_BLOCK / 32) + threadIdx.x / 32;
    if (unit >= a.n_rows * n_groups) return;
    const int row = unit / n_groups, at = pn_lane_input(unit % n_groups);
    float x[8];
    if (a.head_dim % 8 == 0 && at < width) {
        pn_merge<8>(a, row, at / a.head_dim, at % a.head_dim, x);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            x[i] = 0.0f;
            if (at + i < width)
                pn_merge<1>(a, row, (at + i) / a.head_dim, (at + i) % a.head_dim, x + i);
        }
    }
    pn_store_8(x, at, width, a.out + (size_t)row * (size_t)width);
    pn_quantize_group(x, a.acts, unit);
}

#define PN_KV_KERNELS(type)                                                                        \
    PN_KERNEL(pn_attention_128_##type, pn_cuda_attention_args, PN_CUDA_BLOCK) {                    \
        pn_attention<type##_kv, 1>(a);                                                             \
    }                                                                                              \
    PN_KERNEL(pn_attention_256_##type, pn_cuda_attention_args, PN_CUDA_BLOCK) {                    \
        pn_attention<type##_kv, 2>(a);                                                             \
    }                                                                                              \
    PN_KERNEL(pn_attention_512_##type, pn_cuda_attention_args, PN_CUDA_BLOCK) {                    \
        pn_attention<type##_kv, PN_CUDA_MAX_HEAD / PN_CUDA_BLOCK>(a);                              \
    }
PN_KV_KERNELS(F16)
PN_KV_KERNELS(F32)
PN_KV_KERNELS(Q8_0)
