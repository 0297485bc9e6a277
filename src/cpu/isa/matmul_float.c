/* matmul_float.c: matrix products of float weights (F32, F16, BF16) with float32 activations.
 *
 * Every output has one order of summation, whatever the tile, the rows beside it or the instruction
 * set: lane l of 16 adds w[i] x[i] for i = l, l + 16, l + 32 ... ascending, one fused multiply-add
 * each, from 0; a row whose length is no multiple of 16 is padded with zeros; the lanes end in the
 * tree of pn_vf_sum; the bias comes last.
 *
 * Few activation rows (decode) read the weights as one sequential stream. Many (prefill) go in
 * tiles of weight rows x activation rows whose sums fill the registers, so that each loaded and
 * converted weight meets several activations and the other way round. */
#include "cpu/isa/isa_fns.h"
#include "simd/simd.h"

/* Weight rows by activation rows of a tile: the sums and a vector of each weight row fit the
 * registers. */
enum {
    TILE_W = PN_VF_REGS >= 32  ? 4
             : PN_VF_REGS >= 8 ? 2
                               : 1,
    TILE_X = PN_VF_REGS >= 32  ? 6
             : PN_VF_REGS >= 8 ? 2
                               : 1,
};

enum { BLOCK_BYTES = 1 << 20 };

/* Weight rows of one format: row r begins at data + r * row_bytes. */
typedef struct weight_rows {
    const unsigned char *data;
    size_t row_bytes;
} weight_rows;

/* Activation rows [.][n_in]. */
typedef struct act_rows {
    const float *x;
    int32_t n_in;
} act_rows;

/* 16 weights from i on; format is a constant where this is inlined. */
PN_INLINE pn_vf load_weights(const pn_format format, const unsigned char *row, int32_t i) {
    const void *at = row + (size_t)i * (format == PN_FMT_F32 ? 4 : 2);
    if (format == PN_FMT_F32) return pn_vf_load(at);
    return format == PN_FMT_F16 ? pn_vf_load_f16(at) : pn_vf_load_bf16(at);
}

/* The last n < 16 weights from i on, then zeros: nothing is read beyond the row. */
PN_INLINE pn_vf load_last_weights(const pn_format format, const unsigned char *row, int32_t i,
                                  int32_t n) {
    const size_t bytes = format == PN_FMT_F32 ? 4 : 2;
    _Alignas(64) unsigned char last[64] = {0};
    memcpy(last, row + (size_t)i * bytes, (size_t)n * bytes);
    return load_weights(format, last, 0);
}

/* out[v * ld_out + w]: v-th activation row by w-th weight row. n_w and n_x are constants. */
PN_INLINE void multiply_tile(const pn_format format, const int n_w, const int n_x,
                             const weight_rows *weights, const act_rows *acts, float *out,
                             size_t ld_out) {
    pn_vf sum[TILE_W][TILE_X];
    PN_UNROLL
    for (int w = 0; w < n_w; w++) {
        PN_UNROLL
        for (int v = 0; v < n_x; v++) sum[w][v] = pn_vf_zero();
    }
    const size_t n_in = (size_t)acts->n_in;
    int32_t i = 0;
    for (; i + PN_LANES <= acts->n_in; i += PN_LANES) {
        pn_vf weight[TILE_W];
        PN_UNROLL
        for (int w = 0; w < n_w; w++)
            weight[w] = load_weights(format, weights->data + (size_t)w * weights->row_bytes, i);
        PN_UNROLL
        for (int v = 0; v < n_x; v++) {
            const pn_vf x = pn_vf_load(acts->x + (size_t)v * n_in + i);
            PN_UNROLL
            for (int w = 0; w < n_w; w++) sum[w][v] = pn_vf_fma(weight[w], x, sum[w][v]);
        }
    }
    const int32_t rest = acts->n_in - i;
    if (rest > 0) {
        PN_UNROLL
        for (int w = 0; w < n_w; w++) {
            const unsigned char *row = weights->data + (size_t)w * weights->row_bytes;
            const pn_vf weight = load_last_weights(format, row, i, rest);
            PN_UNROLL
            for (int v = 0; v < n_x; v++) {
                const pn_vf x = pn_vf_load_n(acts->x + (size_t)v * n_in + i, rest);
                sum[w][v] = pn_vf_fma(weight, x, sum[w][v]);
            }
        }
    }
    PN_UNROLL
    for (int w = 0; w < n_w; w++) {
        PN_UNROLL
        for (int v = 0; v < n_x; v++) out[(size_t)v * ld_out + (size_t)w] = pn_vf_sum(sum[w][v]);
    }
}

/* n_w weight rows by all activation rows. */
PN_INLINE void multiply_all(const pn_format format, const int n_w, const weight_rows *weights,
                            act_rows acts, int32_t n_rows, float *out, size_t ld_out) {
    const size_t n_in = (size_t)acts.n_in;
    int32_t v = 0;
    for (; v + TILE_X <= n_rows; v += TILE_X, acts.x += TILE_X * n_in, out += TILE_X * ld_out)
        multiply_tile(format, n_w, TILE_X, weights, &acts, out, ld_out);
    if (TILE_X > 4 && v + 4 <= n_rows) {
        multiply_tile(format, n_w, TILE_X > 4 ? 4 : 1, weights, &acts, out, ld_out);
        v += 4, acts.x += 4 * n_in, out += 4 * ld_out;
    }
    for (; TILE_X > 1 && v + 2 <= n_rows; v += 2, acts.x += 2 * n_in, out += 2 * ld_out)
        multiply_tile(format, n_w, TILE_X > 1 ? 2 : 1, weights, &acts, out, ld_out);
    if (v < n_rows) multiply_tile(format, n_w, 1, weights, &acts, out, ld_out);
}

/* Outputs o_begin <= o < o_end of n_rows activation rows, whose first output row is out. */
PN_INLINE void multiply(const pn_format format, const pn_matmul *mm, act_rows acts, int32_t n_rows,
                        float *out, int32_t o_begin, int32_t o_end) {
    const pn_weight *w = mm->w;
    const unsigned char *data =
        (const unsigned char *)w->data + (size_t)mm->expert * (size_t)w->n_out * w->row_bytes;
    int32_t o = o_begin;
    /* Neighbouring rows read in step from memory are slower than one after another: a tile of
     * weight rows pays only when each loaded weight is used more than once. */
    for (; n_rows > 1 && o + TILE_W <= o_end; o += TILE_W) {
        const weight_rows weights = {data + (size_t)o * w->row_bytes, w->row_bytes};
        multiply_all(format, TILE_W, &weights, acts, n_rows, out + o, mm->ld_out);
    }
    for (; o < o_end; o++) {
        const weight_rows weights = {data + (size_t)o * w->row_bytes, w->row_bytes};
        multiply_all(format, 1, &weights, acts, n_rows, out + o, mm->ld_out);
    }
}

void PN_ISA_FN(pn_matmul_float_rows)(const pn_matmul *mm, const float *x, int32_t n_rows,
                                     int32_t o_begin, int32_t o_end) {
    const int32_t n_in = (int32_t)mm->w->n_in;
    /* Blocks of activation rows that stay in the second-level cache while all weights pass by. */
    const int32_t fit = (int32_t)(BLOCK_BYTES / sizeof(float)) / n_in / TILE_X * TILE_X;
    const int32_t block = fit > TILE_X ? fit : TILE_X;
    for (int32_t v = 0; v < n_rows; v += block) {
        const act_rows acts = {x + (size_t)v * (size_t)n_in, n_in};
        const int32_t n = n_rows - v < block ? n_rows - v : block;
        float *out = mm->out + (size_t)v * mm->ld_out;
        switch (mm->w->format->id) {
        case PN_FMT_F32: multiply(PN_FMT_F32, mm, acts, n, out, o_begin, o_end); break;
        case PN_FMT_F16: multiply(PN_FMT_F16, mm, acts, n, out, o_begin, o_end); break;
        default: multiply(PN_FMT_BF16, mm, acts, n, out, o_begin, o_end); break;
        }
    }
    if (mm->bias == NULL) return;
    for (int32_t v = 0; v < n_rows; v++)
        for (int32_t o = o_begin; o < o_end; o++)
            mm->out[(size_t)v * mm->ld_out + (size_t)o] += mm->bias[o];
}
