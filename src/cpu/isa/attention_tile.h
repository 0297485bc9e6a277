/* attention_tile.h: the inner product of attention, in registers.
 *
 * c[q][x] = fma(b[q][k], a[k][x], c[q][x]) for k ascending: one chain of fused multiply-adds per
 * output, whatever the tile, so a query gets the same bits alone or beside others. Scores are a =
 * keys [dimension][position], b = query; sums of values are a = values [position][dimension], b =
 * weights. */
#ifndef PN_CPU_ISA_ATTENTION_TILE_H
#define PN_CPU_ISA_ATTENTION_TILE_H

#include "simd/simd.h"

/* Queries by vectors of 16 columns that fit the registers with room for one vector of a and one of
 * b. */
enum {
    TILE_ROWS = PN_VF_REGS >= 32  ? 4
                : PN_VF_REGS >= 8 ? 3
                                  : 1,
    TILE_VECTORS = PN_VF_REGS >= 32  ? 4
                   : PN_VF_REGS >= 8 ? 2
                                     : 1,
};

/* A matrix of float32 or float16 with ld elements between rows. */
typedef struct tile_matrix {
    const void *data;
    size_t ld;
    bool half;
    const unsigned char
        *ahead; /* float16: as many bytes that will be read next, fetched meanwhile */
} tile_matrix;

static inline tile_matrix tile_matrix_from(const tile_matrix *m, int32_t row) {
    tile_matrix part = *m;
    const size_t row_bytes = m->ld * (m->half ? sizeof(uint16_t) : sizeof(float));
    part.data = (const unsigned char *)m->data + (size_t)row * row_bytes;
    return part;
}

/* n_rows, n_vectors and half are constants where this is inlined. */
static inline __attribute__((always_inline)) void
multiply_tile(const int n_rows, const int n_vectors, const bool half, const tile_matrix *a,
              int32_t n_k, const float *const *b, float *const *c, size_t column) {
    pn_vf sum[4][4];
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vectors; v++) sum[r][v] = pn_vf_load(c[r] + column + 16 * v);
    const float *row_f32 = (const float *)a->data + column;
    const uint16_t *row_f16 = (const uint16_t *)a->data + column;
    const unsigned char *ahead = half ? a->ahead + column * (size_t)n_k * sizeof(uint16_t) : NULL;
    for (int32_t k = 0; k < n_k; k++) {
        pn_vf x[4];
#pragma GCC unroll 4
        for (int v = 0; v < n_vectors; v++)
            x[v] = half ? pn_vf_load_f16(row_f16 + 16 * v) : pn_vf_load(row_f32 + 16 * v);
#pragma GCC unroll 4
        for (int r = 0; r < n_rows; r++) {
            const pn_vf weight = pn_vf_set1(b[r][k]);
#pragma GCC unroll 4
            for (int v = 0; v < n_vectors; v++) sum[r][v] = pn_vf_fma(weight, x[v], sum[r][v]);
        }
        if (half) {
#pragma GCC unroll 2
            for (int v = 0; v < n_vectors; v += 2) __builtin_prefetch(ahead + 32 * v, 0, 2);
            ahead += 32 * n_vectors;
        }
        row_f32 += a->ld;
        row_f16 += a->ld;
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < n_vectors; v++) pn_vf_store(c[r] + column + 16 * v, sum[r][v]);
}

/* At most TILE_ROWS rows, n_vectors * 16 columns from `column`. */
static inline __attribute__((always_inline)) void
multiply_rows(const int n_vectors, const bool half, int32_t n_rows, const tile_matrix *a,
              int32_t n_k, const float *const *b, float *const *c, size_t column) {
    switch (n_rows) {
    case 1: multiply_tile(1, n_vectors, half, a, n_k, b, c, column); break;
    case 2:
        multiply_tile(TILE_ROWS < 2 ? TILE_ROWS : 2, n_vectors, half, a, n_k, b, c, column);
        break;
    case 3:
        multiply_tile(TILE_ROWS < 3 ? TILE_ROWS : 3, n_vectors, half, a, n_k, b, c, column);
        break;
    default: multiply_tile(TILE_ROWS, n_vectors, half, a, n_k, b, c, column); break;
    }
}

/* n_rows <= TILE_ROWS rows of n_columns (a multiple of 16). b[r] begins at k = 0. */
static void multiply(const tile_matrix *a, int32_t n_columns, int32_t n_k, int32_t n_rows,
                     const float *const *b, float *const *c) {
    int32_t x = 0;
    for (; x + 16 * TILE_VECTORS <= n_columns; x += 16 * TILE_VECTORS) {
        if (a->half)
            multiply_rows(TILE_VECTORS, true, n_rows, a, n_k, b, c, (size_t)x);
        else
            multiply_rows(TILE_VECTORS, false, n_rows, a, n_k, b, c, (size_t)x);
    }
    for (; x < n_columns; x += 16) {
        if (a->half)
            multiply_rows(1, true, n_rows, a, n_k, b, c, (size_t)x);
        else
            multiply_rows(1, false, n_rows, a, n_k, b, c, (size_t)x);
    }
}

#endif
