/* matmul_acts.h: activations as the matrix kernels read them.
 *
 * Inputs come in groups of 256; the last group of a row is filled up with zeros. They are quantised
 * in runs as long as the blocks of the weights they will meet: 256, or 32, whose finer scales keep
 * more of the input. x = d * q, d = max |x| / 127 over the run, q = x / d rounded to nearest even
 * (-127..127). A run with a NaN or infinity gets d = NaN and q = 0, so every output it reaches is
 * NaN.
 *
 * Two layouts, chosen by the number of rows alone:
 *   few rows    pn_act_group [row][group], read along with the weights of one row;
 *   many rows   pn_act_panel [group][12 rows], whose four consecutive inputs of a row are one 32-bit broadcast.
 * Float weights read a plain float32 copy [row][n_in], which lies in front; then follow the
 * groups or panels for blocks of 256, then those for blocks of 32. */
#ifndef PN_CPU_MATMUL_ACTS_H
#define PN_CPU_MATMUL_ACTS_H

#include "cpu/isa/isa_fns.h"

#define PN_GROUP      256
#define PN_PANEL_ROWS 12
#define PN_FEW_ROWS                                                                                \
    6 /* up to here weights are unpacked for every 16 rows of them, beyond into tiles */

typedef struct pn_act_group {
    int8_t q[256];
    int16_t sum_16[16]; /* of q over runs of 16 */
    int16_t sum_32[8];
    float d;         /* blocks of 256 */
    float d_32[8];   /* blocks of 32 */
    float offset[8]; /* blocks of 32: d_32 * sum_32, what the weights' m is multiplied by */
    float unused[3];
} pn_act_group;
_Static_assert(sizeof(pn_act_group) == 384, "groups stay 64-byte aligned");

typedef struct pn_act_panel {
    uint8_t q[64][PN_PANEL_ROWS][4];       /* + PN_PANEL_BIAS */
    int16_t pair_32[4][PN_PANEL_ROWS][2];  /* sums of runs of 32, two neighbours together */
    int16_t lane_32[8][2 * PN_PANEL_ROWS]; /* sums of runs of 32, per column two: of the inputs 0, 1
                                              and of 2, 3 of all steps */
    int16_t lane_16[16][2 * PN_PANEL_ROWS]; /* of runs of 16 likewise */
    union {
        int16_t pair_16[8][PN_PANEL_ROWS][2]; /* blocks of 256: sums of runs of 16 */
        float d_32[8][PN_PANEL_ROWS];         /* blocks of 32 */
    };
    float offset[8][PN_PANEL_ROWS]; /* blocks of 32 */
    float d[PN_PANEL_ROWS];         /* blocks of 256 */
    int32_t max_lane;               /* the largest sum of only positive, or only negative, parts of
                                       lane_32 */
    int32_t unused[3];
} pn_act_panel;
_Static_assert(sizeof(pn_act_panel) % 64 == 0, "panels stay 64-byte aligned");

PN_INLINE int32_t pn_n_groups(int64_t n_in) {
    return (int32_t)((n_in + PN_GROUP - 1) / PN_GROUP);
}
PN_INLINE int32_t pn_n_panels(int32_t n_rows) {
    return (n_rows + PN_PANEL_ROWS - 1) / PN_PANEL_ROWS;
}
PN_INLINE size_t pn_acts_float_bytes(int32_t n_in, int32_t n_rows) {
    return ((size_t)n_in * (size_t)n_rows * sizeof(float) + 63) & ~(size_t)63;
}
PN_INLINE float *pn_acts_floats(const pn_acts *acts) {
    return (float *)(void *)acts->data;
}
/* Bytes of the groups or panels for one length of blocks. */
PN_INLINE size_t pn_acts_int_bytes(int32_t n_in, int32_t n_rows) {
    const size_t groups = (size_t)pn_n_groups(n_in);
    return n_rows <= PN_FEW_ROWS ? (size_t)n_rows * groups * sizeof(pn_act_group)
                                 : (size_t)pn_n_panels(n_rows) * groups * sizeof(pn_act_panel);
}
PN_INLINE void *pn_acts_ints(const pn_acts *acts, bool is_256) {
    return acts->data + pn_acts_float_bytes(acts->n_in, acts->n_rows) +
           (is_256 ? 0 : pn_acts_int_bytes(acts->n_in, acts->n_rows));
}
/* Groups of one row, n_rows <= PN_FEW_ROWS. */
PN_INLINE pn_act_group *pn_acts_row(const pn_acts *acts, bool is_256, int32_t row) {
    return (pn_act_group *)pn_acts_ints(acts, is_256) +
           (size_t)row * (size_t)pn_n_groups(acts->n_in);
}
/* A group of one panel, n_rows > PN_FEW_ROWS; the same group of the next panel follows it. */
PN_INLINE pn_act_panel *pn_acts_panel(const pn_acts *acts, bool is_256, int32_t panel,
                                      int32_t group) {
    return (pn_act_panel *)pn_acts_ints(acts, is_256) +
           (size_t)group * (size_t)pn_n_panels(acts->n_rows) + (size_t)panel;
}

#endif
