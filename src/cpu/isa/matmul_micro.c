/* matmul_micro.c: the kernels for many rows: 16 rows of weights, as a tile, times a panel of
 * activations.
 *
 * Lane = row of weights. PN_TILE_COLUMNS integer sums and as many scaled sums stay in registers;
 * every step loads four inputs of 16 rows and multiplies them by four inputs of one activation
 * row, broadcast. Made for the shapes of formats (integer scales per 32 or 16, float scales; with
 * minimums, without, and with wide codes) and for widths of 4, 8 and 12 columns. The
 * float sums follow the rule in matmul_tile.h. */
#include "cpu/isa/matmul_tile.h"

/* The steps under sub-scale `sub` for columns first, first + 1 ... */
PN_INLINE pn_tile_steps steps_of(const pn_tile *t, const pn_act_panel *p, int sub,
                                 const pn_tile_kind kind, int first) {
    const int n_steps = kind.sub_weights / 4, k = sub * n_steps;
    return (pn_tile_steps){.codes = t->codes[k],
                           .acts = p->q[k][first],
                           .act_bytes = sizeof p->q[k],
                           .n_steps = n_steps,
                           .is_signed = !kind.has_minimum,
                           .is_wide = kind.is_wide};
}

PN_INLINE void add_group_256(const pn_tile *t, const pn_act_panel *p, float *c_out,
                             const pn_tile_kind kind, int first, const int n) {
    pn_vi sums[PN_TILE_COLUMNS];
    const int n_subs = 256 / kind.sub_weights;
    PN_UNROLL
    for (int c = 0; c < n; c++) sums[c] = pn_vi_zero();
    for (int sub = 0; sub < n_subs; sub++)
        pn_vi_tile_run_scaled(sums, n, steps_of(t, p, sub, kind, first), pn_vi_load(t->bias[sub]),
                              pn_vi_load(t->scale[sub]));
    const pn_vf d = pn_vf_load(t->d), dmin = pn_vf_neg(pn_vf_load(t->dmin));
    PN_UNROLL
    for (int c = 0; c < n; c++) {
        const pn_vf d_a = pn_vf_set1(p->d[first + c]);
        pn_vf acc = pn_vf_load(c_out + 16 * (first + c));
        acc = pn_vf_fma(pn_vf_mul(d, d_a), pn_vf_from_i32(sums[c]), acc);
        if (kind.has_minimum) {
            pn_vi msum = pn_vi_zero();
            for (int i = 0; i < n_subs / 2; i++) {
                const pn_vi act = kind.sub_weights == 16 ? pn_vi_load_4(p->pair_16[i][first + c])
                                                         : pn_vi_load_4(p->pair_32[i][first + c]);
                msum = pn_vi_madd16(msum, pn_vi_load(t->minimum[i]), act);
            }
            acc = pn_vf_fma(pn_vf_mul(dmin, d_a), pn_vf_from_i32(msum), acc);
        }
        pn_vf_store(c_out + 16 * (first + c), acc);
    }
}

PN_INLINE void add_group_32(const pn_tile *t, const pn_act_panel *p, int n_blocks, float *c_out,
                            const pn_tile_kind kind, int first, const int n) {
    pn_vf sums[PN_TILE_COLUMNS];
    pn_vi dots[PN_TILE_COLUMNS];
    PN_UNROLL
    for (int c = 0; c < n; c++) sums[c] = pn_vf_zero();
    for (int b = 0; b < n_blocks; b++) {
        const pn_vi bias = pn_vi_load(t->bias[b]);
        PN_UNROLL
        for (int c = 0; c < n; c++) dots[c] = bias;
        pn_vi_tile_run(dots, n, steps_of(t, p, b, kind, first));
        const pn_vf d = pn_vf_load(t->d_32[b]);
        PN_UNROLL
        for (int c = 0; c < n; c++)
            sums[c] = pn_vf_fma(pn_vf_mul(d, pn_vf_set1(p->d_32[b][first + c])),
                                pn_vf_from_i32(dots[c]), sums[c]);
        if (!kind.has_minimum) continue;
        const pn_vf m = pn_vf_load(t->m_32[b]);
        PN_UNROLL
        for (int c = 0; c < n; c++)
            sums[c] = pn_vf_fma(m, pn_vf_set1(p->offset[b][first + c]), sums[c]);
    }
    PN_UNROLL
    for (int c = 0; c < n; c++) {
        const pn_vf acc = pn_vf_load(c_out + 16 * (first + c));
        pn_vf_store(c_out + 16 * (first + c), pn_vf_add(acc, sums[c]));
    }
}

PN_INLINE void add_columns(const pn_tile *tile, const pn_act_panel *panel, int n_blocks, float *c,
                           const pn_tile_kind kind, int first, const int n) {
    if (kind.is_256) {
        add_group_256(tile, panel, c, kind, first, n);
    } else {
        add_group_32(tile, panel, n_blocks, c, kind, first, n);
    }
}

/* As many columns at once as the registers hold; a group of tile and panel (10 KB) stays in L1
 * meanwhile. */
PN_INLINE void add_panel(const pn_tile *tile, const pn_act_panel *panel, int32_t n_groups,
                         int32_t last_subs, int32_t n_columns, float *c, const pn_tile_kind kind) {
    for (int32_t g = 0; g < n_groups; g++) {
        const int n_blocks = g + 1 == n_groups ? last_subs : 8;
        if (PN_TILE_COLUMNS == 12 && n_columns > 8) {
            add_columns(&tile[g], &panel[g], n_blocks, c, kind, 0, 12);
        } else if (PN_TILE_COLUMNS == 12 && n_columns > 4) {
            add_columns(&tile[g], &panel[g], n_blocks, c, kind, 0, 8);
        } else {
            const int step = PN_TILE_COLUMNS < 4 ? PN_TILE_COLUMNS : 4;
            for (int first = 0; first < n_columns; first += step)
                add_columns(&tile[g], &panel[g], n_blocks, c, kind, first, step);
        }
    }
}

#define PN_MICRO(name, ...)                                                                        \
    static void name(const pn_tile *tile, const pn_act_panel *panel, int32_t n_groups,             \
                     int32_t last_subs, int32_t n_columns, float *c) {                             \
        add_panel(tile, panel, n_groups, last_subs, n_columns, c, (pn_tile_kind){__VA_ARGS__});    \
    }
/* is_256, sub_weights, has_minimum, is_wide */
PN_MICRO(add_256_sub_32_wide, true, 32, false, true)
PN_MICRO(add_256_sub_32, true, 32, false, false)
PN_MICRO(add_256_sub_16_wide, true, 16, false, true)
PN_MICRO(add_256_sub_16, true, 16, false, false)
PN_MICRO(add_256_sub_32_min, true, 32, true, false)
PN_MICRO(add_256_sub_16_min, true, 16, true, false)
PN_MICRO(add_32_wide, false, 32, false, true)
PN_MICRO(add_32, false, 32, false, false)
PN_MICRO(add_32_min, false, 32, true, false)
#undef PN_MICRO

pn_tile_kernel *PN_ISA_FN(pn_tile_kernel_of)(pn_tile_kind kind) {
    const bool is_16 = kind.sub_weights == 16;
    if (!kind.is_256) return kind.has_minimum ? add_32_min : kind.is_wide ? add_32_wide : add_32;
    if (kind.has_minimum) return is_16 ? add_256_sub_16_min : add_256_sub_32_min;
    if (kind.is_wide) return is_16 ? add_256_sub_16_wide : add_256_sub_32_wide;
    return is_16 ? add_256_sub_16 : add_256_sub_32;
}
