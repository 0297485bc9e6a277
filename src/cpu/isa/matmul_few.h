/* matmul_few.h: 1 to PN_FEW_ROWS rows of activations against weights read in place, once, in file
 * order.
 *
 * 16 rows of weights at a time, in two phases. First the stream: every block of 256 weights (or
 * pair of blocks of 32) gives one vector of products still spread over its lanes; as soon as
 * enough are there, they are summed together into 16 integers: one per block. One thread so
 * reads one sequential stream, which is what DRAM is fastest at, and no float operation waits
 * for another. Then the float sums of matmul_tile.h, with lane = row of weights; what is small
 * per block (d, minimums, the correction for the offset of the codes) waits for this phase too,
 * where 16 rows share an instruction. */
#ifndef PN_CPU_MATMUL_FEW_H
#define PN_CPU_MATMUL_FEW_H

#include "cpu/isa/matmul_tile.h"

/* What the stream leaves for the float phase, in scratch. Rows follow each other without gaps;
 * loads of 16 may run over the end of the last one. */
typedef struct pn_few_sums {
    int32_t n_vecs;     /* vectors of one row of weights */
    int32_t n_blocks;   /* blocks of one row, filled up to whole vectors: sums and heads */
    int32_t n_seconds;  /* words of `seconds` of one row */
    size_t column_ints; /* ints of one row of activations */
    int32_t *ints;      /* [activation row][weight row][n_blocks] */
    uint32_t *heads;    /* [weight row][n_blocks]: d and dmin or m, as half floats */
    /* Blocks of 256: [weight row][n_vecs] 8 or 16 minimums; without minimums, scales. */
    uint32_t *seconds;
    /* Blocks of 32: bytes from a row of activations to its pair i % n_vecs, i < n_vecs + 8. */
    int32_t *act_at;
} pn_few_sums;

#define PN_FEW_SLACK 64

/* What is subtracted from the codes after the fact. */
PN_INLINE int32_t pn_few_offset(const pn_unpack *f) {
    return f->is_wide ? PN_WIDE_BIAS : f->offset;
}
/* Words of minimums or scales that the float phase wants of a block of 256. */
PN_INLINE int32_t pn_few_second_words(const pn_unpack *f) {
    if (f->block_weights != 256 || (!f->has_minimum && pn_few_offset(f) == 0)) return 0;
    return 64 / f->sub_weights;
}

PN_INLINE pn_few_sums pn_few_layout(int32_t n_in, const pn_unpack *f, int32_t n_rows,
                                    void *scratch) {
    pn_few_sums s;
    s.n_vecs = f->block_weights == 256 ? n_in / 256 : (n_in + 63) / 64;
    s.n_blocks = f->block_weights == 256 ? s.n_vecs : 2 * s.n_vecs;
    s.n_seconds = s.n_vecs * pn_few_second_words(f);
    s.column_ints = (size_t)s.n_blocks * PN_TILE_ROWS + PN_FEW_SLACK;
    s.ints = scratch;
    s.heads = (uint32_t *)scratch + s.column_ints * (size_t)n_rows;
    s.seconds = s.heads + s.column_ints;
    s.act_at = (int32_t *)s.seconds; /* never both */
    return s;
}
/* Enough for every format: blocks of 32 have the most sums, and no seconds. */
PN_INLINE size_t pn_few_scratch_bytes(int32_t n_in, int32_t n_rows) {
    const size_t ints = (size_t)((n_in + 63) / 64) * 2 * PN_TILE_ROWS + PN_FEW_SLACK;
    return ints * ((size_t)n_rows + 2) * sizeof(int32_t);
}

PN_INLINE uint32_t pn_load_head(const uint8_t *block, const pn_unpack *f) {
    return f->has_minimum ? pn_load_u32(block + f->d_at) : pn_load_u16(block + f->d_at);
}

/* Vectors not summed yet, of all activation rows: 16 of blocks of 256, or 8 pairs of blocks. */
typedef struct pn_few_pending {
    pn_vi v[PN_FEW_ROWS][16];
    int32_t n; /* vectors so far */
} pn_few_pending;

PN_INLINE void pn_few_advance(pn_few_pending *pending, const pn_few_sums *sums, int32_t n_cols,
                              bool is_256) {
    const int32_t full = is_256 ? 16 : 8;
    if (++pending->n % full != 0) return;
    for (int32_t c = 0; c < n_cols; c++) {
        int32_t *out = sums->ints + sums->column_ints * (size_t)c;
        if (is_256) {
            pn_vi_sum_lanes(pending->v[c], out + pending->n - 16);
        } else {
            pn_vi_sum_halves(pending->v[c], out + 2 * (pending->n - 8));
        }
    }
}

PN_INLINE void pn_few_row_256(const uint8_t *row, const pn_unpack *f, const pn_act_group *acts,
                              const pn_few_sums *sums, pn_few_pending *pending, int32_t n_cols) {
    const int32_t words = pn_few_second_words(f);
    for (int32_t g = 0; g < sums->n_vecs; g++, row += f->block_bytes) {
        pn_vi codes[4];
        for (int v = 0; v < 4; v++) codes[v] = f->codes(row, v);
        pn_vq scales, minimums;
        f->scales(row, &scales, &minimums);
        const pn_vscale scale = pn_vscale_expand(scales, f->sub_weights, f->is_wide);
        for (int32_t c = 0; c < n_cols; c++)
            pending->v[c][pending->n % 16] =
                pn_vi_dot_scaled(codes, acts[c * sums->n_vecs + g].q, &scale, f->is_wide);
        const pn_vq second = f->has_minimum ? minimums : scales;
        if (words == 2) pn_vq_store_low(sums->seconds + 2 * pending->n, second);
        if (words == 4) pn_vq_store(sums->seconds + 4 * pending->n, second);
        sums->heads[pending->n] = pn_load_head(row, f);
        pn_few_advance(pending, sums, n_cols, true);
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
    uint32_t *heads = sums->heads + 2 * (size_t)pending->n;
    heads[0] = pn_load_head(pair, f);
    heads[1] = pn_load_head(pair + f->block_bytes, f);
    pn_few_advance(pending, sums, n_cols, false);
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

/* Rows without a single last block are one run of pairs. Eight at a time, from pair i of the run
 * and pair act_at[0] of a row of activations; only n of them exist. */
PN_INLINE void pn_few_eight_pairs(const uint8_t *pair, const int32_t *act_at, int32_t i, int32_t n,
                                  const pn_unpack *f, const pn_act_group *acts, int32_t n_groups,
                                  const pn_few_sums *sums, int32_t n_cols) {
    pn_vi codes[8], dots[8];
    uint32_t *heads = sums->heads + 2 * (size_t)i;
    PN_UNROLL
    for (int k = 0; k < 8; k++) {
        codes[k] = pn_vi_zero();
        if (k >= n) continue;
        const uint8_t *p = pair + 2 * k * f->block_bytes;
        codes[k] = f->codes(p, 0);
        heads[2 * k] = pn_load_head(p, f);
        heads[2 * k + 1] = pn_load_head(p + f->block_bytes, f);
    }
    for (int32_t c = 0; c < n_cols; c++) {
        const uint8_t *q = (const uint8_t *)(acts + c * n_groups)->q;
        PN_UNROLL
        for (int k = 0; k < 8; k++)
            dots[k] = pn_vi_dot4(codes[k], pn_vi_load(q + act_at[k]), f->is_wide);
        pn_vi_sum_halves(dots, sums->ints + sums->column_ints * (size_t)c + 2 * (size_t)i);
    }
}

PN_INLINE void pn_few_pairs_32(const uint8_t *pair, int32_t n_pairs, const pn_unpack *f,
                               const pn_act_group *acts, int32_t n_groups, const pn_few_sums *sums,
                               int32_t n_cols) {
    int32_t i = 0, at = 0;
    for (; i + 8 <= n_pairs; i += 8, pair += 16 * f->block_bytes) {
        pn_few_eight_pairs(pair, sums->act_at + at, i, 8, f, acts, n_groups, sums, n_cols);
        for (at += 8; at >= sums->n_vecs;) at -= sums->n_vecs;
    }
    if (i < n_pairs)
        pn_few_eight_pairs(pair, sums->act_at + at, i, n_pairs - i, f, acts, n_groups, sums,
                           n_cols);
}

PN_INLINE void pn_few_stream(const pn_few_job *job, const pn_unpack *f, const uint8_t *rows,
                             int32_t n_rows, const pn_few_sums *sums, int32_t n_cols) {
    const bool is_256 = f->block_weights == 256;
    const pn_act_group *acts = pn_acts_row(job->acts, is_256, 0);
    if (n_rows < PN_TILE_ROWS) { /* the float phase reads rows that do not exist */
        const size_t ints = sums->column_ints * (size_t)n_cols;
        memset(sums->ints, 0, ints * sizeof(int32_t));
        memset(sums->heads, 0, sums->column_ints * sizeof(int32_t));
        memset(sums->seconds, 0, (size_t)(PN_TILE_ROWS * sums->n_seconds) * sizeof(int32_t));
    }
    if (!is_256 && job->n_in % 64 == 0) {
        pn_few_pairs_32(rows, n_rows * sums->n_vecs, f, acts, pn_n_groups(job->n_in), sums, n_cols);
        return;
    }
    pn_few_pending pending;
    pending.n = 0;
    for (int32_t r = 0; r < n_rows; r++, rows += job->row_bytes) {
        if (is_256) {
            pn_few_row_256(rows, f, acts, sums, &pending, n_cols);
        } else {
            pn_few_row_32(rows, f, acts, job->n_in, sums, &pending, n_cols);
        }
    }
    while (pending.n % (is_256 ? 16 : 8) != 0) { /* of a tile with fewer rows */
        for (int32_t c = 0; c < n_cols; c++)
            pending.v[c][pending.n % (is_256 ? 16 : 8)] = pn_vi_zero();
        pn_few_advance(&pending, sums, n_cols, is_256);
    }
}

/* 16 columns of 16 rows that are ld ints apart: lane = row. */
PN_INLINE void pn_few_columns(const void *ints, int32_t ld, pn_vi v[16]) {
    for (int r = 0; r < 16; r++) v[r] = pn_vi_load((const int32_t *)ints + r * ld);
    pn_vi_transpose(v);
}

/* Adds a group: seconds are the words of the block, lane = row. */
PN_INLINE pn_vf pn_few_add_256(pn_vf acc, pn_vi isum, pn_vi head, const pn_vi *seconds,
                               const pn_act_group *act, const pn_unpack *f) {
    const pn_vf d_a = pn_vf_set1(act->d);
    const int16_t *act_sums = f->sub_weights == 16 ? act->sum_16 : act->sum_32;
    pn_vi second = pn_vi_zero();
    for (int i = 0; i < pn_few_second_words(f); i++) {
        second =
            pn_vi_madd16(second, pn_vi_byte_pair(seconds[i], 0), pn_vi_load_4(act_sums + 4 * i));
        second = pn_vi_madd16(second, pn_vi_byte_pair(seconds[i], 2),
                              pn_vi_load_4(act_sums + 4 * i + 2));
    }
    if (!f->has_minimum && pn_few_offset(f) != 0)
        isum = pn_vi_sub32(isum, pn_vi_mul32(second, pn_vi_set1_32(pn_few_offset(f))));
    acc = pn_vf_fma(pn_vf_mul(pn_vf_half_low(head), d_a), pn_vf_from_i32(isum), acc);
    if (!f->has_minimum) return acc;
    const pn_vf dmin = pn_vf_mul(pn_vf_half_high(head), d_a);
    return pn_vf_fma(pn_vf_neg(dmin), pn_vf_from_i32(second), acc);
}

/* Adds block `sub` (0..7) of a group. */
PN_INLINE pn_vf pn_few_add_32(pn_vf s, pn_vi isum, pn_vi head, const pn_act_group *act, int32_t sub,
                              const pn_unpack *f) {
    const int32_t offset = pn_few_offset(f);
    if (offset != 0) isum = pn_vi_sub32(isum, pn_vi_set1_32(offset * act->sum_32[sub]));
    const pn_vf d = pn_vf_mul(pn_vf_half_low(head), pn_vf_set1(act->d_32[sub]));
    s = pn_vf_fma(d, pn_vf_from_i32(isum), s);
    if (!f->has_minimum) return s;
    return pn_vf_fma(pn_vf_half_high(head), pn_vf_set1(act->offset[sub]), s);
}

/* The outputs of 16 rows of weights; acc [activation row]. */
PN_INLINE void pn_few_floats_256(const pn_few_sums *sums, const pn_act_group *acts,
                                 const pn_unpack *f, pn_vf *acc, int32_t n_cols) {
    const int32_t words = pn_few_second_words(f);
    for (int32_t g = 0; g < sums->n_vecs; g += 16) {
        const int32_t n = sums->n_vecs - g < 16 ? sums->n_vecs - g : 16;
        pn_vi heads[16], seconds[64], ints[16];
        pn_few_columns(sums->heads + g, sums->n_blocks, heads);
        for (int32_t i = 0; i < n * words; i += 16)
            pn_few_columns(sums->seconds + g * words + i, sums->n_seconds, seconds + i);
        for (int32_t c = 0; c < n_cols; c++) {
            pn_few_columns(sums->ints + sums->column_ints * (size_t)c + g, sums->n_blocks, ints);
            for (int32_t j = 0; j < n; j++)
                acc[c] = pn_few_add_256(acc[c], ints[j], heads[j], seconds + j * words,
                                        &acts[c * sums->n_vecs + g + j], f);
        }
    }
}

PN_INLINE void pn_few_floats_32(const pn_few_sums *sums, int32_t n_blocks, const pn_act_group *acts,
                                const pn_unpack *f, pn_vf *acc, int32_t n_cols) {
    const int32_t n_groups = (n_blocks + 7) / 8;
    for (int32_t b = 0; b < n_blocks; b += 16) {
        pn_vi heads[16], ints[16];
        pn_few_columns(sums->heads + b, sums->n_blocks, heads);
        for (int32_t c = 0; c < n_cols; c++) {
            pn_few_columns(sums->ints + sums->column_ints * (size_t)c + b, sums->n_blocks, ints);
            for (int32_t h = 0; h < 16 && b + h < n_blocks; h += 8) {
                const int32_t left = n_blocks - b - h, n = left < 8 ? left : 8;
                const pn_act_group *act = &acts[c * n_groups + (b + h) / 8];
                pn_vf s = pn_vf_zero();
                for (int32_t j = 0; j < n; j++)
                    s = pn_few_add_32(s, ints[h + j], heads[h + j], act, j, f);
                acc[c] = pn_vf_add(acc[c], s);
            }
        }
    }
}

PN_INLINE void pn_few_tile(const pn_few_job *job, const pn_unpack *f, const pn_few_sums *sums,
                           int32_t first, int32_t n_rows, int32_t n_cols) {
    const pn_act_group *acts = pn_acts_row(job->acts, f->block_weights == 256, 0);
    pn_few_stream(job, f, job->rows + job->row_bytes * (size_t)first, n_rows, sums, n_cols);
    pn_vf acc[PN_FEW_ROWS];
    for (int32_t c = 0; c < n_cols; c++) acc[c] = pn_vf_zero();
    if (f->block_weights == 256) {
        pn_few_floats_256(sums, acts, f, acc, n_cols);
    } else {
        pn_few_floats_32(sums, job->n_in / 32, acts, f, acc, n_cols);
    }
    for (int32_t c = 0; c < n_cols; c++) {
        pn_vf out = acc[c];
        if (job->bias) out = pn_vf_add(out, pn_vf_load_n(job->bias + first, n_rows));
        pn_vf_store_n(job->out + job->ld_out * (size_t)c + first, out, n_rows);
    }
}

PN_INLINE void pn_few(const pn_few_job *job, const pn_unpack *f) {
    const int32_t n_cols = job->acts->n_rows;
    const pn_few_sums sums = pn_few_layout(job->n_in, f, n_cols, job->scratch);
    if (f->block_weights == 32) {
        for (int32_t i = 0; i < sums.n_vecs + 8; i++) {
            const int32_t pair = i % sums.n_vecs;
            sums.act_at[i] = pair / 4 * (int32_t)sizeof(pn_act_group) + pair % 4 * 64;
        }
    }
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
