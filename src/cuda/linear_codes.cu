/* linear_codes.cu: products of weights of integer codes with int8 activations, for few rows of activations
 * (dp4a, one warp per row of weights; one row of activations has a kernel of its own) and for many (tensor cores, mma of int8).
 *
 * The sums are those of the CPU (src/cpu/isa/matmul_tile.h), bit for bit: inside a block exact integers, then
 * one fused multiply-add per block in block order. So a row of activations gets the same bits alone or
 * beside others, and on the CPU. That is why many rows use int8 tensor cores and not bf16, whose order of
 * additions nobody knows. */
#include "cuda/codes.cuh"
#include "cuda/linear.cuh"
#include "cuda/quantize.cuh"

/* ---- quantise ---- */

PN_KERNEL(pn_quantize, pn_cuda_quantize_args, PN_CUDA_BLOCK) {
    const int n_groups = pn_cuda_groups(a.n_in);
    const int unit = blockIdx.x * (PN_CUDA_BLOCK / 32) + threadIdx.x / 32;
    if (unit >= a.n_rows * n_groups) return;
    float x[8];
    pn_load_8(a.x + (size_t)(unit / n_groups) * a.n_in, pn_lane_input(unit % n_groups), a.n_in, x);
    pn_quantize_group(x, a.acts, unit);
}

/* ---- few rows ---- */

/* What a lane reads of the weights of its sub-block, before anything is computed: so that the loads of several
 * sub-blocks are under way together. */
template <class F> struct pn_sub_block {
    pn_raw_codes raw;
    int scale[2], minimum[2]; /* of each 16 weights, or of all */
    float d, d_minimum;       /* of the sub-block, or of its group */
};

template <class F>
static __device__ __forceinline__ pn_sub_block<F>
pn_load_sub(const uint8_t *row, const pn_cuda_layout &l, int group, int sub) {
    pn_sub_block<F> b;
    b.raw = pn_load_codes<F>(row, l, group * PN_CUDA_SUBS + sub);
    b.scale[0] = b.scale[1] = b.minimum[0] = b.minimum[1] = 1;
    if (F::is_256)
        for (int i = 0; i < 2; i++) {
            const int s = F::sub_weights == 16 ? 2 * sub + i : sub;
            b.scale[i] = pn_scale<F>(row, l, group, s);
            if (F::has_minimum) b.minimum[i] = pn_minimum<F>(row, l, group, s);
        }
    pn_load_head<F>(row, l, F::is_256 ? group : group * PN_CUDA_SUBS + sub, &b.d, &b.d_minimum);
    return b;
}

/* Eight words of codes by the activations of the sub-block that begins at q, with the scales applied. */
template <class F>
static __device__ __forceinline__ int pn_dot_sub(const unsigned words[8], const int scale[2],
                                                 const int8_t *q) {
    const int4 q0 = reinterpret_cast<const int4 *>(q)[0], q1 = reinterpret_cast<const int4 *>(q)[1];
    int first = __dp4a((int)words[0], q0.x, 0), second = __dp4a((int)words[4], q1.x, 0);
    first = __dp4a((int)words[1], q0.y, first), second = __dp4a((int)words[5], q1.y, second);
    first = __dp4a((int)words[2], q0.z, first), second = __dp4a((int)words[6], q1.z, second);
    first = __dp4a((int)words[3], q0.w, first), second = __dp4a((int)words[7], q1.w, second);
    return first * scale[0] + second * scale[1];
}
static __device__ __forceinline__ int pn_sum_sub(const int16_t *sums, const int minimum[2]) {
    return sums[0] * minimum[0] + sums[1] * minimum[1];
}

/* The sum of 8 neighbouring lanes, in all of them. */
static __device__ __forceinline__ int pn_sum_8(int x) {
    for (int bits = 4; bits > 0; bits /= 2) x += __shfl_xor_sync(PN_LANES_ALL, x, bits);
    return x;
}

/* One row of activations. A warp takes 16 groups at a time, in four steps of four, lane l sub-block l % 8 of
 * group l / 8 of a step; the weights of all four are loaded first. What the groups add (blocks of 256: two
 * products each; blocks of 32: those of their eight) goes through shared memory, padded to be free of bank
 * conflicts, to the chain of float additions. */
enum { pn_one_groups = 16, pn_one_steps = 4, pn_one_stride = PN_CUDA_SUBS + 1 };

static_assert(sizeof(float4) * pn_one_groups * PN_CUDA_FEW_WARPS == PN_CUDA_ONE_BYTES(1) &&
                  sizeof(float4) * pn_one_groups * pn_one_stride * PN_CUDA_FEW_WARPS ==
                      PN_CUDA_ONE_BYTES(0),
              "args.h");

/* The chain over n groups, in all lanes. */
template <class F>
static __device__ __forceinline__ float pn_one_chain(const float4 *terms, int n, float acc) {
    if (F::is_256) {
        for (int g = 0; g < n; g++) {
            const float4 t = terms[g];
            acc = fmaf(t.x, t.y, acc);
            if (F::has_minimum) acc = fmaf(t.z, t.w, acc);
        }
        return acc;
    }
    const int mine = threadIdx.x % pn_one_groups;
    float s = 0.0f;
    for (int i = 0; mine < n && i < PN_CUDA_SUBS; i++) {
        const float4 t = terms[mine * pn_one_stride + i];
        s = fmaf(t.x, t.y, s);
        if (F::has_minimum) s = fmaf(t.z, t.w, s);
    }
    for (int g = 0; g < n; g++) acc += __shfl_sync(PN_LANES_ALL, s, g);
    return acc;
}

template <class F> static __device__ __forceinline__ void pn_one(const pn_cuda_linear_args &a) {
    PN_SHARED(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, sub = lane % PN_CUDA_SUBS;
    const pn_row_range range = pn_rows_of(a);
    const pn_linear_part part = pn_part_of(a);
    const int o = part.block * PN_CUDA_FEW_WARPS + warp;
    if (o >= part.n_out || range.n < 1) return;
    const pn_cuda_layout l = pn_layout<F>(a.n_in);
    const uint8_t *row = pn_part_row(part, o, l.row_bytes);
    float4 *terms =
        reinterpret_cast<float4 *>(memory) + warp * pn_one_groups * (F::is_256 ? 1 : pn_one_stride);
    const int n_groups = pn_cuda_groups(a.n_in);
    const size_t source = pn_source_row(a, range.first) * (size_t)n_groups;
    float acc = 0.0f;
    for (int at = 0; at < n_groups; at += pn_one_groups) {
        pn_sub_block<F> blocks[pn_one_steps];
#pragma unroll
        for (int i = 0; i < pn_one_steps; i++) {
            const int group = at + 4 * i + lane / 8;
            if (group < n_groups) blocks[i] = pn_load_sub<F>(row, l, group, sub);
        }
#pragma unroll
        for (int i = 0; i < pn_one_steps; i++) {
            const int in_round = 4 * i + lane / 8, group = at + in_round;
            const size_t from = source + (size_t)group;
            float d_act = 0.0f;
            int sum = 0, second = 0;
            if (group < n_groups) {
                unsigned words[8];
                pn_expand_all<F>(blocks[i].raw, words);
                const int8_t *q = a.acts.q + from * PN_CUDA_GROUP + (size_t)sub * 32;
                sum = pn_dot_sub<F>(words, blocks[i].scale, q);
                if (F::has_minimum)
                    second = pn_sum_sub(a.acts.sum_16 + from * 16 + 2 * sub, blocks[i].minimum);
                d_act = a.acts.d[F::is_256 ? from : from * PN_CUDA_SUBS + (size_t)sub];
            }
            if (F::is_256) {
                sum = pn_sum_8(sum);
                if (F::has_minimum) second = pn_sum_8(second);
                if (sub == 0 && group < n_groups)
                    terms[in_round] = make_float4(blocks[i].d * d_act, (float)sum,
                                                  -(blocks[i].d_minimum * d_act), (float)second);
            } else if (group < n_groups) {
                terms[in_round * pn_one_stride + sub] = make_float4(
                    blocks[i].d * d_act, (float)sum, blocks[i].d_minimum, d_act * (float)second);
            }
        }
        __syncwarp();
        const int left = n_groups - at;
        acc = pn_one_chain<F>(terms, left < pn_one_groups ? left : pn_one_groups, acc);
        __syncwarp();
    }
    if (lane != 0) return;
    if (part.bias) acc += part.bias[o];
    part.out[(size_t)range.first * part.n_out + o] = acc;
}

/* Up to 8 rows of activations. A warp takes four groups at a time, lane l sub-block l % 8 of group l / 8, and
 * loads those that follow before it computes. Three steps, through a little shared memory: integer sums of
 * sub-blocks; sums of groups (lane = column, group); the chain of float additions (lane = column). The eight
 * sums of a group are turned round by its column and place, so that 16 lanes that write those of two groups, or
 * read one each of four columns and groups, meet in no bank. */
struct pn_few_memory {
    int2 sums[PN_CUDA_FEW][4][PN_CUDA_SUBS];
    float4 terms[PN_CUDA_FEW][4];
    float2 heads[4][PN_CUDA_SUBS];
};

/* Where sub-block i of a group of a column lies. */
static __device__ __forceinline__ int pn_few_place(int column, int in_step, int i) {
    return (i + column % 4 + in_step / 2 * 4) % PN_CUDA_SUBS;
}

/* What a group adds: two products (blocks of 256), or the sum of its blocks of 32. */
template <class F>
static __device__ __forceinline__ float4 pn_few_group(const pn_few_memory *m, int column,
                                                      int in_step, const float *d_acts) {
    if (F::is_256) {
        const float2 head = m->heads[in_step][pn_few_place(0, in_step, 0)];
        int sum = 0, second = 0;
        for (int i = 0; i < PN_CUDA_SUBS; i++) {
            const int2 sums = m->sums[column][in_step][pn_few_place(column, in_step, i)];
            sum += sums.x;
            if (F::has_minimum) second += sums.y;
        }
        return make_float4(head.x * d_acts[0], (float)sum, -(head.y * d_acts[0]), (float)second);
    }
    float s = 0.0f;
    for (int i = 0; i < PN_CUDA_SUBS; i++) {
        const int2 sums = m->sums[column][in_step][pn_few_place(column, in_step, i)];
        const float2 head = m->heads[in_step][pn_few_place(0, in_step, i)];
        s = fmaf(head.x * d_acts[i], (float)sums.x, s);
        if (F::has_minimum) s = fmaf(head.y, d_acts[i] * (float)sums.y, s);
    }
    return make_float4(s, 0.0f, 0.0f, 0.0f);
}

/* A lane's sub-block for all columns; sources: where the groups of each begin. */
template <class F>
static __device__ __forceinline__ void pn_few_sub(const pn_sub_block<F> &block,
                                                  const pn_cuda_acts &acts, const size_t *sources,
                                                  int n, int group, int lane, pn_few_memory *m) {
    const int sub = lane % PN_CUDA_SUBS, in_step = lane / PN_CUDA_SUBS;
    unsigned words[8];
    pn_expand_all<F>(block.raw, words);
    m->heads[in_step][pn_few_place(0, in_step, sub)] = float2{block.d, block.d_minimum};
#pragma unroll
    for (int c = 0; c < PN_CUDA_FEW; c++) {
        if (c >= n) break;
        const size_t at = sources[c] + (size_t)group;
        int2 sums = {0, 0};
        sums.x = pn_dot_sub<F>(words, block.scale, acts.q + at * PN_CUDA_GROUP + (size_t)sub * 32);
        if (F::has_minimum) sums.y = pn_sum_sub(acts.sum_16 + at * 16 + 2 * sub, block.minimum);
        m->sums[c][in_step][pn_few_place(c, in_step, sub)] = sums;
    }
}

template <class F> static __device__ __forceinline__ void pn_few(const pn_cuda_linear_args &a) {
    PN_SHARED(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const pn_row_range range = pn_rows_of(a);
    const pn_linear_part part = pn_part_of(a);
    const int o = part.block * PN_CUDA_FEW_WARPS + warp, first = blockIdx.y * PN_CUDA_FEW;
    if (o >= part.n_out || first >= range.n) return;
    const int n = range.n - first < PN_CUDA_FEW ? range.n - first : PN_CUDA_FEW;
    const int n_groups = pn_cuda_groups(a.n_in), column = lane / 4, in_step = lane % 4;
    size_t sources[PN_CUDA_FEW];
#pragma unroll
    for (int c = 0; c < PN_CUDA_FEW; c++)
        sources[c] = pn_source_row(a, range.first + first + (c < n ? c : 0)) * (size_t)n_groups;
    const pn_cuda_layout l = pn_layout<F>(a.n_in);
    const uint8_t *row = pn_part_row(part, o, l.row_bytes);
    pn_few_memory *m = reinterpret_cast<pn_few_memory *>(memory) + warp;
    const size_t my_source =
        pn_source_row(a, range.first + first + (column < n ? column : 0)) * (size_t)n_groups;
    float acc = 0.0f;
    pn_sub_block<F> block, next;
    if (lane / 8 < n_groups) block = pn_load_sub<F>(row, l, lane / 8, lane % 8);
    for (int at = 0; at < n_groups; at += 4) {
        const int group = at + lane / 8, term = at + in_step;
        if (group + 4 < n_groups) next = pn_load_sub<F>(row, l, group + 4, lane % 8);
        if (group < n_groups) pn_few_sub<F>(block, a.acts, sources, n, group, lane, m);
        __syncwarp();
        if (column < n && term < n_groups)
            m->terms[column][in_step] = pn_few_group<F>(
                m, column, in_step,
                a.acts.d + (my_source + (size_t)term) * (F::is_256 ? 1 : PN_CUDA_SUBS));
        __syncwarp();
        block = next;
        if (column >= n || in_step != 0) continue;
        for (int i = 0; i < 4 && at + i < n_groups; i++) {
            const float4 t = m->terms[column][i];
            acc = F::is_256 ? fmaf(t.x, t.y, acc) : acc + t.x;
            if (F::is_256 && F::has_minimum) acc = fmaf(t.z, t.w, acc);
        }
    }
    if (column >= n || in_step != 0) return;
    if (part.bias) acc += part.bias[o];
    part.out[(size_t)(range.first + first + column) * part.n_out + o] = acc;
}

/* ---- many rows ---- */

enum { pn_many_stride = PN_CUDA_GROUP + 16, pn_many_tiles = PN_CUDA_MANY_COLUMNS / 8 };

/* One group of 64 rows of activations. Rows of q are 272 bytes apart: the four words of eight columns then
 * lie in 32 different banks. */
struct pn_many_memory {
    int8_t q[PN_CUDA_MANY_COLUMNS][pn_many_stride];
    int8_t sum_high[PN_CUDA_MANY_COLUMNS][16], sum_low[PN_CUDA_MANY_COLUMNS][16];
    float d[PN_CUDA_SUBS][PN_CUDA_MANY_COLUMNS]; /* blocks of 256: d[0] */
    float offset[PN_CUDA_SUBS][PN_CUDA_MANY_COLUMNS];
};

static_assert(sizeof(pn_many_memory) == PN_CUDA_MANY_BYTES, "args.h");
static_assert(sizeof(pn_few_memory) * PN_CUDA_FEW_WARPS == PN_CUDA_FEW_BYTES, "args.h");

/* The sums that meet the minimums, in two signed bytes: 128 * high + low. */
template <class F>
static __device__ __forceinline__ void pn_many_sums(const int16_t *sum_16, int column,
                                                    pn_many_memory *m) {
    unsigned high[4] = {0, 0, 0, 0}, low[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < 16; i++) {
        int sum = 0;
        if (F::sub_weights == 16)
            sum = sum_16[i];
        else if (i < 8)
            sum = sum_16[2 * i] + sum_16[2 * i + 1];
        const int upper = (sum + 64) >> 7;
        high[i / 4] |= (unsigned)(upper & 255) << (8 * (i % 4));
        low[i / 4] |= (unsigned)((sum - 128 * upper) & 255) << (8 * (i % 4));
    }
    *reinterpret_cast<uint4 *>(m->sum_high[column]) = uint4{high[0], high[1], high[2], high[3]};
    *reinterpret_cast<uint4 *>(m->sum_low[column]) = uint4{low[0], low[1], low[2], low[3]};
}

template <class F>
static __device__ __forceinline__ void pn_many_stage(const pn_cuda_linear_args &a,
                                                     const pn_row_range &range, int first,
                                                     int group, int n_groups, pn_many_memory *m) {
    for (int i = threadIdx.x; i < PN_CUDA_MANY_COLUMNS * 16; i += PN_CUDA_BLOCK) {
        const int c = i / 16, part = i % 16;
        uint4 v = uint4{0, 0, 0, 0};
        if (first + c < range.n) {
            const size_t at = pn_source_row(a, range.first + first + c) * (size_t)n_groups;
            v = reinterpret_cast<const uint4 *>(a.acts.q +
                                                (at + (size_t)group) * PN_CUDA_GROUP)[part];
        }
        *reinterpret_cast<uint4 *>(&m->q[c][16 * part]) = v;
    }
    for (int c = threadIdx.x; c < PN_CUDA_MANY_COLUMNS; c += PN_CUDA_BLOCK) {
        const bool is_there = first + c < range.n;
        const size_t at =
            pn_source_row(a, range.first + (is_there ? first + c : first)) * (size_t)n_groups +
            (size_t)group;
        if (F::is_256) {
            m->d[0][c] = is_there ? a.acts.d[at] : 0.0f;
            if (F::has_minimum) pn_many_sums<F>(a.acts.sum_16 + at * 16, c, m);
        } else {
            for (int s = 0; s < PN_CUDA_SUBS; s++) {
                const float d = is_there ? a.acts.d[at * 8 + (size_t)s] : 0.0f;
                const int16_t *sums = a.acts.sum_16 + at * 16 + 2 * s;
                m->d[s][c] = d;
                m->offset[s][c] = d * (float)(sums[0] + sums[1]);
            }
        }
    }
}

/* Integer sums of one sub-block for 8 columns: c[4] as mma leaves it, with the scales of two rows applied
 * where the format has them. */
template <class F>
static __device__ __forceinline__ void pn_many_dot(const unsigned words[4], const unsigned b[2],
                                                   const int scale[2][2], int sums[4]) {
    if (F::is_256 && F::sub_weights == 16) {
        for (int h = 0; h < 2; h++) {
            int c[4] = {0, 0, 0, 0};
            pn_mma_k16(c, words + 2 * h, b[h]);
            for (int i = 0; i < 4; i++) sums[i] += c[i] * scale[i / 2][h];
        }
        return;
    }
    int c[4] = {0, 0, 0, 0};
    pn_mma_k32(c, words, b);
    for (int i = 0; i < 4; i++) sums[i] += F::is_256 ? c[i] * scale[i / 2][0] : c[i];
}

/* One group of 256 for the 16 rows of a warp; rows[0] and rows[1] are those of this lane. */
template <class F>
static __device__ __forceinline__ void
pn_many_group_256(const uint8_t *const rows[2], const pn_cuda_layout &l, int group, int n_tiles,
                  const pn_many_memory *m, float acc[pn_many_tiles][4]) {
    const int lane = threadIdx.x % 32, j = lane % 4;
    int sums[pn_many_tiles][4];
#pragma unroll
    for (int t = 0; t < pn_many_tiles; t++)
        for (int i = 0; i < 4; i++) sums[t][i] = 0;
#pragma unroll 1
    for (int sub = 0; sub < PN_CUDA_SUBS; sub++) {
        unsigned words[4];
        int scale[2][2];
        for (int r = 0; r < 2; r++) {
            pn_load_words<F>(rows[r], l, group * PN_CUDA_SUBS + sub, j, &words[r], &words[2 + r]);
            for (int h = 0; h < 2; h++)
                scale[r][h] =
                    pn_scale<F>(rows[r], l, group, F::sub_weights == 16 ? 2 * sub + h : sub);
        }
#pragma unroll
        for (int t = 0; t < pn_many_tiles; t++) {
            if (t >= n_tiles) break;
            const int8_t *q = &m->q[8 * t + lane / 4][32 * sub + 4 * j];
            const unsigned b[2] = {*reinterpret_cast<const unsigned *>(q),
                                   *reinterpret_cast<const unsigned *>(q + 16)};
            pn_many_dot<F>(words, b, scale, sums[t]);
        }
    }
    float d[2], minimum[2];
    unsigned minimums[2] = {0, 0};
    for (int r = 0; r < 2; r++) {
        pn_load_head<F>(rows[r], l, group, &d[r], &minimum[r]);
        const int n = PN_CUDA_GROUP / F::sub_weights;
        if (F::has_minimum && 4 * j < n)
            minimums[r] = *reinterpret_cast<const unsigned *>(rows[r] + l.minimums_at +
                                                              (size_t)(group * n + 4 * j));
    }
#pragma unroll
    for (int t = 0; t < pn_many_tiles; t++) {
        if (t >= n_tiles) break;
        int high[4] = {0, 0, 0, 0}, low[4] = {0, 0, 0, 0};
        if (F::has_minimum) {
            pn_mma_k16(high, minimums,
                       *reinterpret_cast<const unsigned *>(&m->sum_high[8 * t + lane / 4][4 * j]));
            pn_mma_k16(low, minimums,
                       *reinterpret_cast<const unsigned *>(&m->sum_low[8 * t + lane / 4][4 * j]));
        }
        for (int i = 0; i < 4; i++) {
            const float d_act = m->d[0][8 * t + 2 * j + i % 2];
            acc[t][i] = fmaf(d[i / 2] * d_act, (float)sums[t][i], acc[t][i]);
            if (F::has_minimum)
                acc[t][i] =
                    fmaf(-(minimum[i / 2] * d_act), (float)(128 * high[i] + low[i]), acc[t][i]);
        }
    }
}

template <class F>
static __device__ __forceinline__ void
pn_many_group_32(const uint8_t *const rows[2], const pn_cuda_layout &l, int group, int n_tiles,
                 const pn_many_memory *m, float acc[pn_many_tiles][4]) {
    const int lane = threadIdx.x % 32, j = lane % 4;
    const int scale[2][2] = {{1, 1}, {1, 1}};
    float s[pn_many_tiles][4];
#pragma unroll
    for (int t = 0; t < pn_many_tiles; t++)
        for (int i = 0; i < 4; i++) s[t][i] = 0.0f;
#pragma unroll 1
    for (int sub = 0; sub < PN_CUDA_SUBS; sub++) {
        unsigned words[4];
        float d[2], minimum[2];
        for (int r = 0; r < 2; r++) {
            pn_load_words<F>(rows[r], l, group * PN_CUDA_SUBS + sub, j, &words[r], &words[2 + r]);
            pn_load_head<F>(rows[r], l, group * PN_CUDA_SUBS + sub, &d[r], &minimum[r]);
        }
#pragma unroll
        for (int t = 0; t < pn_many_tiles; t++) {
            if (t >= n_tiles) break;
            const int8_t *q = &m->q[8 * t + lane / 4][32 * sub + 4 * j];
            const unsigned b[2] = {*reinterpret_cast<const unsigned *>(q),
                                   *reinterpret_cast<const unsigned *>(q + 16)};
            int sums[4] = {0, 0, 0, 0};
            pn_many_dot<F>(words, b, scale, sums);
            for (int i = 0; i < 4; i++) {
                const int c = 8 * t + 2 * j + i % 2;
                s[t][i] = fmaf(d[i / 2] * m->d[sub][c], (float)sums[i], s[t][i]);
                if (F::has_minimum) s[t][i] = fmaf(minimum[i / 2], m->offset[sub][c], s[t][i]);
            }
        }
    }
#pragma unroll
    for (int t = 0; t < pn_many_tiles; t++)
        for (int i = 0; i < 4; i++) acc[t][i] += s[t][i];
}

/* A block takes 64 rows of weights, 16 a warp, and 64 rows of activations, which it keeps in shared memory
 * group by group; codes go from memory to the registers that mma reads. */
template <class F> static __device__ __forceinline__ void pn_many(const pn_cuda_linear_args &a) {
    PN_SHARED(memory);
    pn_many_memory *m = reinterpret_cast<pn_many_memory *>(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, j = lane % 4;
    const pn_row_range range = pn_rows_of(a);
    const int first = blockIdx.y * PN_CUDA_MANY_COLUMNS;
    if (first >= range.n) return;
    const int n = range.n - first < PN_CUDA_MANY_COLUMNS ? range.n - first : PN_CUDA_MANY_COLUMNS;
    const int n_tiles = (n + 7) / 8, n_groups = pn_cuda_groups(a.n_in);
    const pn_linear_part part = pn_part_of(a);
    const int o = part.block * PN_CUDA_MANY_ROWS + warp * 16 + lane / 4;
    const pn_cuda_layout l = pn_layout<F>(a.n_in);
    const uint8_t *rows[2];
    for (int r = 0; r < 2; r++) {
        const int row = o + 8 * r < part.n_out ? o + 8 * r : part.n_out - 1; /* for nothing */
        rows[r] = pn_part_row(part, row, l.row_bytes);
    }
    float acc[pn_many_tiles][4];
#pragma unroll
    for (int t = 0; t < pn_many_tiles; t++)
        for (int i = 0; i < 4; i++) acc[t][i] = 0.0f;
    for (int group = 0; group < n_groups; group++) {
        __syncthreads();
        pn_many_stage<F>(a, range, first, group, n_groups, m);
        __syncthreads();
        if (F::is_256)
            pn_many_group_256<F>(rows, l, group, n_tiles, m, acc);
        else
            pn_many_group_32<F>(rows, l, group, n_tiles, m, acc);
    }
#pragma unroll
    for (int t = 0; t < pn_many_tiles; t++)
        for (int i = 0; i < 4; i++) {
            const int c = 8 * t + 2 * j + i % 2, row = o + i / 2 * 8;
            if (c >= n || row >= part.n_out) continue;
            const float out = part.bias ? acc[t][i] + part.bias[row] : acc[t][i];
            part.out[(size_t)(range.first + first + c) * part.n_out + row] = out;
        }
}

/* ---- one row of the table ---- */

/* A thread per weight, by the formula of the format's own decode. */
template <class F> static __device__ __forceinline__ void pn_embed(const pn_cuda_embed_args &a) {
    const int i = blockIdx.x * PN_CUDA_BLOCK + threadIdx.x, row = blockIdx.y;
    if (i >= a.n_in) return;
    const pn_cuda_layout l = pn_layout<F>(a.n_in);
    const uint8_t *weights = a.table + (size_t)a.tokens[row] * l.row_bytes;
    const int sub = i / 32, at = i % 32;
    unsigned words[2];
    pn_load_words<F>(weights, l, sub, at % 16 / 4, &words[0], &words[1]);
    const int code = (int8_t)(words[at / 16] >> (8 * (at % 4)) & 255u);
    float d, minimum, value;
    if (F::is_256) {
        const int group = i / PN_CUDA_GROUP, s = i % PN_CUDA_GROUP / F::sub_weights;
        pn_load_head<F>(weights, l, group, &d, &minimum);
        value = d * (float)pn_scale<F>(weights, l, group, s) * (float)code;
        if (F::has_minimum) value = value - minimum * (float)pn_minimum<F>(weights, l, group, s);
    } else {
        pn_load_head<F>(weights, l, sub, &d, &minimum);
        value = d * (float)code;
        if (F::has_minimum) value = value + minimum;
    }
    if (a.scale != 1.0f) value *= a.scale;
    a.out[(size_t)row * a.n_in + i] = value;
}

/* ---- the kernels of every format ---- */

#define CODES(format, low, high, of_256, sub, minimum, off, levels)                                \
    PN_KERNEL(pn_few_1_##format, pn_cuda_linear_args, PN_CUDA_BLOCK) {                             \
        pn_one<format##_codes>(a);                                                                 \
    }                                                                                              \
    PN_KERNEL(pn_few_8_##format, pn_cuda_linear_args, PN_CUDA_BLOCK) {                             \
        pn_few<format##_codes>(a);                                                                 \
    }                                                                                              \
    PN_KERNEL(pn_many_##format, pn_cuda_linear_args, PN_CUDA_BLOCK) {                              \
        pn_many<format##_codes>(a);                                                                \
    }                                                                                              \
    PN_KERNEL(pn_embed_##format, pn_cuda_embed_args, PN_CUDA_BLOCK) {                              \
        pn_embed<format##_codes>(a);                                                               \
    }
#include "cuda/cuda_formats.def"
#undef CODES
