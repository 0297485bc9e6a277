/* matmul_few.h: 1 to PN_FEW_ROWS rows of activations against weights read in place, once, in file order.
 *
 * 16 rows of weights at a time, in two phases. First the stream: every 64 bytes of codes (or block of 256 weights)
 * gives one vector whose two halves are sums still spread over 8 lanes; eight such vectors are summed together to 16
 * integers. One thread so reads one sequential stream, which is what DRAM is fastest at, and no float operation waits
 * for another. Then the float sums of matmul_tile.h, with lane = row of weights.
 *
 * The half vectors: blocks of 256   sum of scale * code * q | sum of (minimum, or without one scale) * sum_16
 *                   blocks of 32    sum of code * q of one block | of the next
 * Without minimums the offset of the codes is taken off afterwards through the second sum. */
#ifndef PN_CPU_MATMUL_FEW_H
#define PN_CPU_MATMUL_FEW_H

#include "cpu/isa/matmul_tile.h"

/* What the stream leaves for the float phase, in scratch. Rows follow each other without gaps; loads of 16 may run
 * over the end of the last one. */
typedef struct pn_few_sums {
    int32_t n_vecs;     /* vectors of one row of weights */
    int32_t n_heads;    /* d (and dmin or m) of one row, as two half floats in 32 bits */
    size_t column_ints; /* ints of one row of activations */
    int32_t *ints;      /* [activation row][weight row][2 * n_vecs] */
    uint32_t *heads;    /* [weight row][n_heads] */
} pn_few_sums;

#define PN_FEW_SLACK 32

PN_INLINE pn_few_sums pn_few_layout(int32_t n_in, bool is_256, int32_t n_rows, void *scratch) {
    pn_few_sums s;
    s.n_vecs = is_256 ? n_in / 256 : (n_in + 63) / 64;
    s.n_heads = is_256 ? s.n_vecs : 2 * s.n_vecs;
    s.column_ints = (size_t)(2 * s.n_vecs) * PN_TILE_ROWS + PN_FEW_SLACK;
    s.ints = scratch;
    s.heads = (uint32_t *)scratch + s.column_ints * (size_t)n_rows;
    return s;
}
PN_INLINE size_t pn_few_scratch_bytes(int32_t n_in, int32_t n_rows) {
    const size_t ints = (size_t)((n_in + 63) / 64) * 2 * PN_TILE_ROWS + PN_FEW_SLACK;
    return (ints * (size_t)n_rows + ints) * sizeof(int32_t);
}

PN_INLINE uint32_t pn_load_head(const uint8_t *block, const pn_unpack *f) {
    return f->has_minimum ? pn_load_u32(block + f->d_at) : pn_load_u16(block + f->d_at);
}

/* Vectors not summed yet, of all activation rows. */
typedef struct pn_few_pending {
    pn_vi v[PN_FEW_ROWS][8];
    int32_t n; /* vectors so far */
} pn_few_pending;

PN_INLINE void pn_few_advance(pn_few_pending *pending, const pn_few_sums *sums, int32_t n_cols) {
    if (++pending->n % 8 != 0) return;
    for (int32_t c = 0; c < n_cols; c++)
        pn_vi_sum_halves(pending->v[c],
                         sums->ints + sums->column_ints * (size_t)c + 2 * (size_t)(pending->n - 8));
}

PN_INLINE void pn_few_row_256(const uint8_t *row, const pn_unpack *f, const pn_act_group *acts,
                              const pn_few_sums *sums, pn_few_pending *pending, int32_t n_cols) {
    for (int32_t g = 0; g < sums->n_vecs; g++, row += f->block_bytes) {
        pn_vi codes[4];
        for (int v = 0; v < 4; v++) codes[v] = f->codes(row, v);
        pn_vq scales, minimums;
        f->scales(row, &scales, &minimums);
        const pn_vscale scale = pn_vscale_expand(scales, f->sub_weights, f->is_wide);
        const pn_vh second = pn_vh_expand(f->has_minimum ? minimums : scales, f->sub_weights);
        for (int32_t c = 0; c < n_cols; c++) {
            const pn_act_group *a = acts + c * sums->n_vecs + g;
            const pn_vi dots = pn_vi_dot_scaled(codes, a->q, &scale, f->is_wide);
            pending->v[c][pending->n % 8] = pn_vi_fold(dots, second, a->sum_16);
        }
        sums->heads[pending->n] = pn_load_head(row, f);
        pn_few_advance(pending, sums, n_cols);
    }
}

PN_INLINE void pn_few_pair_32(const uint8_t *pair, int32_t i, const pn_unpack *f,
                              const pn_act_group *acts, int32_t n_groups, const pn_few_sums *sums,
                              pn_few_pending *pending, int32_t n_cols) {
    const pn_vi codes = f->codes(pair, 0);
    for (int32_t c = 0; c < n_cols; c++) {
        const int8_t *q = acts[c * n_groups + i / 4].q + i % 4 * 64;
        pending->v[c][pending->n % 8] = pn_vi_dot4(codes, pn_vi_load(q), f->is_wide);
    }
    uint32_t *heads = sums->heads + 2 * pending->n;
    heads[0] = pn_load_head(pair, f);
    heads[1] = pn_load_head(pair + f->block_bytes, f);
    pn_few_advance(pending, sums, n_cols);
}

PN_INLINE void pn_few_row_32(const uint8_t *row, const pn_unpack *f, const pn_act_group *acts,
                             int32_t n_in, const pn_few_sums *sums, pn_few_pending *pending,
                             int32_t n_cols) {
    const int32_t n_groups = pn_n_groups(n_in), n_pairs = n_in / 64;
    for (int32_t i = 0; i < n_pairs; i++, row += 2 * f->block_bytes)
        pn_few_pair_32(row, i, f, acts, n_groups, sums, pending, n_cols);
    if (n_in % 64 != 0) { /* a single block: nothing behind it may be read */
        uint8_t padded[2 * 64] = {0};
        memcpy(padded, row, (size_t)f->block_bytes);
        pn_few_pair_32(padded, n_pairs, f, acts, n_groups, sums, pending, n_cols);
    }
}

PN_INLINE void pn_few_stream(const pn_few_job *job, const pn_unpack *f, const uint8_t *rows,
                             int32_t n_rows, const pn_few_sums *sums, int32_t n_cols) {
    const pn_act_group *acts = pn_acts_row(job->acts, 0);
    pn_few_pending pending;
    pending.n = 0;
    for (int32_t r = 0; r < n_rows; r++, rows += job->row_bytes) {
        if (f->block_weights == 256) {
            pn_few_row_256(rows, f, acts, sums, &pending, n_cols);
        } else {
            pn_few_row_32(rows, f, acts, job->n_in, sums, &pending, n_cols);
        }
    }
    if (n_rows < PN_TILE_ROWS) { /* so that the float phase reads what has been written */
        memset(sums->heads + n_rows * sums->n_heads, 0,
               (size_t)((PN_TILE_ROWS - n_rows) * sums->n_heads) * sizeof(uint32_t));
    }
    while (pending.n % 8 != 0 || pending.n < PN_TILE_ROWS * sums->n_vecs) {
        for (int32_t c = 0; c < n_cols; c++) pending.v[c][pending.n % 8] = pn_vi_zero();
        pn_few_advance(&pending, sums, n_cols);
    }
}

/* 16 columns of 16 rows that are ld ints apart: lane = row. */
PN_INLINE void pn_few_columns(const void *ints, int32_t ld, pn_vi v[16]) {
    for (int r = 0; r < 16; r++) v[r] = pn_vi_load((const int32_t *)ints + r * ld);
    pn_vi_transpose(v);
}

PN_INLINE pn_vf pn_few_add_256(pn_vf acc, pn_vi first, pn_vi second, pn_vi head, float act_d,
                               const pn_unpack *f) {
    const pn_vf d_a = pn_vf_set1(act_d);
    const int32_t offset = f->is_wide ? PN_WIDE_BIAS : f->offset;
    if (!f->has_minimum && offset != 0)
        first = pn_vi_sub32(first, pn_vi_mul32(second, pn_vi_set1_32(offset)));
    acc = pn_vf_fma(pn_vf_mul(pn_vf_half_low(head), d_a), pn_vf_from_i32(first), acc);
    if (!f->has_minimum) return acc;
    const pn_vf dmin = pn_vf_mul(pn_vf_half_high(head), d_a);
    return pn_vf_fma(pn_vf_neg(dmin), pn_vf_from_i32(second), acc);
}

PN_INLINE pn_vf pn_few_add_32(pn_vf s, pn_vi isum, pn_vi head, int32_t act_sum,
                              const pn_unpack *f) {
    const int32_t offset = f->is_wide ? PN_WIDE_BIAS : f->offset;
    if (offset != 0) isum = pn_vi_sub32(isum, pn_vi_set1_32(offset * act_sum));
    s = pn_vf_fma(pn_vf_half_low(head), pn_vf_from_i32(isum), s);
    if (!f->has_minimum) return s;
    return pn_vf_fma(pn_vf_half_high(head), pn_vf_set1((float)act_sum), s);
}

/* The outputs of 16 rows of weights for one row of activations. */
PN_INLINE pn_vf pn_few_floats_256(const pn_few_sums *sums, const int32_t *ints,
                                  const pn_act_group *acts, const pn_unpack *f) {
    pn_vf acc = pn_vf_zero();
    for (int32_t g = 0; g < sums->n_vecs; g += 16) {
        pn_vi heads[16], pairs[16];
        pn_few_columns(sums->heads + g, sums->n_heads, heads);
        for (int32_t h = g; h < g + 16 && h < sums->n_vecs; h += 8) {
            const int32_t n = sums->n_vecs - h < 8 ? sums->n_vecs - h : 8;
            pn_few_columns(ints + 2 * h, 2 * sums->n_vecs, pairs);
            for (int32_t j = 0; j < n; j++)
                acc = pn_few_add_256(acc, pairs[2 * j], pairs[2 * j + 1], heads[h - g + j],
                                     acts[h + j].d, f);
        }
    }
    return acc;
}

PN_INLINE pn_vf pn_few_floats_32(const pn_few_sums *sums, const int32_t *ints, int32_t n_blocks,
                                 const pn_act_group *acts, const pn_unpack *f) {
    pn_vf acc = pn_vf_zero();
    for (int32_t b = 0; b < n_blocks; b += 16) {
        pn_vi heads[16], blocks[16];
        pn_few_columns(sums->heads + b, sums->n_heads, heads);
        pn_few_columns(ints + b, 2 * sums->n_vecs, blocks);
        for (int32_t h = b; h < b + 16 && h < n_blocks; h += 8) {
            const int32_t n = n_blocks - h < 8 ? n_blocks - h : 8;
            pn_vf s = pn_vf_zero();
            for (int32_t j = 0; j < n; j++)
                s = pn_few_add_32(s, blocks[h - b + j], heads[h - b + j], acts[h / 8].sum_32[j], f);
            acc = pn_vf_fma(pn_vf_set1(acts[h / 8].d), s, acc);
        }
    }
    return acc;
}

PN_INLINE void pn_few_tile(const pn_few_job *job, const pn_unpack *f, const pn_few_sums *sums,
                           int32_t first, int32_t n_rows, int32_t n_cols) {
    pn_few_stream(job, f, job->rows + job->row_bytes * (size_t)first, n_rows, sums, n_cols);
    for (int32_t c = 0; c < n_cols; c++) {
        const pn_act_group *acts = pn_acts_row(job->acts, c);
        const int32_t *ints = sums->ints + sums->column_ints * (size_t)c;
        pn_vf acc = f->block_weights == 256 ? pn_few_floats_256(sums, ints, acts, f)
                                            : pn_few_floats_32(sums, ints, job->n_in / 32, acts, f);
        if (job->bias) acc = pn_vf_add(acc, pn_vf_load_n(job->bias + first, n_rows));
        pn_vf_store_n(job->out + job->ld_out * (size_t)c + first, acc, n_rows);
    }
}

PN_INLINE void pn_few(const pn_few_job *job, const pn_unpack *f) {
    const int32_t n_cols = job->acts->n_rows;
    const pn_few_sums sums =
        pn_few_layout(job->n_in, f->block_weights == 256, n_cols, job->scratch);
    for (int32_t first = 0; first < job->n_out; first += PN_TILE_ROWS) {
        const int32_t left = job->n_out - first;
        const int32_t n_rows = left < PN_TILE_ROWS ? left : PN_TILE_ROWS;
        if (n_cols == 1) {
            pn_few_tile(job, f, &sums, first, n_rows, 1);
        } else {
            pn_few_tile(job, f, &sums, first, n_rows, n_cols);
        }
    }
}

#endif
