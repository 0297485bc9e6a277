/* matmul_tile.h: 16 rows of weights unpacked for many rows of activations, and the rule of the
 * float sums.
 *
 * The rule, the same for few and many rows, on every instruction set (isum, msum: exact integers;
 * d_a: the scale of the block's activations; float operations round once, in the order written),
 * for the blocks of a row in order:
 *   blocks of 256   acc = fma(d * d_a, isum, acc)                 isum = sum of scale * (code - offset) * q
 *                   acc = fma(-(dmin * d_a), msum, acc)           msum = sum of minimum * q
 *   blocks of 32    s = 0 for every group; for its blocks:
 *                       s = fma(d * d_a, isum, s)                 isum = sum of (code - offset) * q
 *                       s = fma(m, d_a * msum, s)                 msum = sum of q
 *                   acc = acc + s: groups do not wait for each other
 * from acc = 0, at last out = acc + bias. */
#ifndef PN_CPU_MATMUL_TILE_H
#define PN_CPU_MATMUL_TILE_H

#include "cpu/isa/matmul_acts.h"
#include "fmt/unpack.h"

#define PN_TILE_ROWS 16

/* One group of 16 rows; lane = row everywhere. */
typedef struct pn_tile {
    int8_t codes[64][16][4]; /* code - offset, or code where PN_TILE_RAW_CODES */
    int32_t bias[16][16];    /* [sub][row]: where an integer sum starts, to undo PN_PANEL_BIAS */
    union {
        int32_t scale[16][16]; /* blocks of 256: [sub][row], made by pn_vi_tile_scale */
        float d_32[8][16];     /* blocks of 32 */
    };
    union {
        int16_t minimum[8][16][2]; /* [pair of subs][row][sub of the pair] */
        float m_32[8][16];
    };
    float d[16], dmin[16];
} pn_tile;

/* c [12 columns][16 rows] += tile * panel; n_columns of the panel (1..12) are wanted, n_blocks (1..8)
 * of the runs of 32 exist (blocks of 32 only). */
typedef void pn_tile_kernel(const pn_tile *tile, const pn_act_panel *panel, int32_t n_blocks,
                            int32_t n_columns, float *c);

/* From matmul_micro.c; NULL for float formats. */
pn_tile_kernel *PN_ISA_FN(pn_tile_kernel_of)(pn_format format);

/* ---- work on one range of output rows ---- */

typedef struct pn_few_job {
    const uint8_t *rows; /* the first row of the range */
    size_t row_bytes;
    int32_t n_in, n_out; /* n_out rows */
    const pn_acts *acts;
    const float *bias; /* of the range, or NULL */
    float *out;        /* [acts->n_rows][ld_out], first row of the range */
    size_t ld_out;
    void *scratch;
} pn_few_job;

typedef struct pn_fill_job {
    const uint8_t *rows; /* 16 rows, of which n_rows exist */
    size_t row_bytes;
    int32_t n_in, n_rows;
    int32_t group;
    pn_tile *tile;
} pn_fill_job;

/* The two functions that are made per format (matmul_formats.c). */
typedef struct pn_matmul_format {
    const pn_unpack *unpack;
    void (*few)(const pn_few_job *job);
    void (*fill)(const pn_fill_job *job);
} pn_matmul_format;

/* NULL for float formats. */
const pn_matmul_format *PN_ISA_FN(pn_matmul_format_of)(pn_format format);

#endif
