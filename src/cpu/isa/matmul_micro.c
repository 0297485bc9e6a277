/* matmul_micro.c: the kernels for many rows: 16 rows of weights, as a tile, times a panel of
 * activations.
 *
 * Lane = row of weights. PN_TILE_COLUMNS integer sums and as many scaled sums stay in registers;
 * every step loads four inputs of 16 rows and multiplies them by four inputs of one activation
 * row, broadcast. One kernel per format, for widths of 4, 8 and 12 columns, made by inlining with the
 * format's description as a constant. The float sums follow the rule in matmul_tile.h. */
#include "cpu/isa/matmul_tile.h"

#include "fmt/fmt.h"
#include "fmt/formats.h"

/* Steps whose pairs of products may be added as int16: 16 products in a lane over 8 steps, unless
 * codes and activations are too large (max_lane of the panel tells). */
PN_INLINE int int16_steps(const pn_unpack *f, bool is_small) {
    if (f->is_wide) return 1;
    return f->sub_weights == 16 || !is_small ? 4 : 8;
}
/* With an offset 16 products are at most 16 * 16 * 127, or 8 * 32 * 127 for runs of 16. */
PN_INLINE bool always_small(const pn_unpack *f) {
    return f->sub_weights == 16 || !f->has_minimum || 16 * 127 * f->max_code <= INT16_MAX;
}

/* The steps under sub-scale `sub` for columns first, first + 1 ... */
PN_INLINE pn_tile_steps steps_of(const pn_tile *t, const pn_act_panel *p, int sub,
                                 const pn_unpack *f, const bool is_small, int first) {
    const int n_steps = f->sub_weights / 4, k = sub * n_steps;
    return (pn_tile_steps){.codes = t->codes[k],
                           .acts = p->q[k][first],
                           .lane_sums = f->sub_weights == 16 ? &p->lane_16[sub][2 * first]
                                                             : &p->lane_32[sub][2 * first],
                           .act_bytes = sizeof p->q[k],
                           .n_steps = n_steps,
                           .n_int16 = int16_steps(f, is_small),
                           .offset = f->offset,
                           .is_signed = !f->has_minimum,
                           .is_wide = f->is_wide};
}

PN_INLINE void add_group_256(const pn_tile *t, const pn_act_panel *p, float *c_out,
                             const pn_unpack *f, const bool is_small, int first, const int n) {
    pn_vi sums[PN_TILE_COLUMNS];
    const int n_subs = 256 / f->sub_weights;
    PN_UNROLL
    for (int c = 0; c < n; c++) sums[c] = pn_vi_zero();
    for (int sub = 0; sub < n_subs; sub++)
        pn_vi_tile_run_scaled(sums, n, steps_of(t, p, sub, f, is_small, first),
                              pn_vi_load(t->bias[sub]), pn_vi_load(t->scale[sub]));
    const pn_vf d = pn_vf_load(t->d), dmin = pn_vf_neg(pn_vf_load(t->dmin));
    PN_UNROLL
    for (int c = 0; c < n; c++) {
        const pn_vf d_a = pn_vf_set1(p->d[first + c]);
        pn_vf acc = pn_vf_load(c_out + 16 * (first + c));
        acc = pn_vf_fma(pn_vf_mul(d, d_a), pn_vf_from_i32(sums[c]), acc);
        if (f->has_minimum) {
            pn_vi msum = pn_vi_zero();
            for (int i = 0; i < n_subs / 2; i++) {
                const pn_vi act = f->sub_weights == 16 ? pn_vi_load_4(p->pair_16[i][first + c])
                                                       : pn_vi_load_4(p->pair_32[i][first + c]);
                msum = pn_vi_madd16(msum, pn_vi_load(t->minimum[i]), act);
            }
            acc = pn_vf_fma(pn_vf_mul(dmin, d_a), pn_vf_from_i32(msum), acc);
        }
        pn_vf_store(c_out + 16 * (first + c), acc);
    }
}

PN_INLINE void add_group_32(const pn_tile *t, const pn_act_panel *p, int n_blocks, float *c_out,
                            const pn_unpack *f, const bool is_small, int first, const int n) {
    pn_vf sums[PN_TILE_COLUMNS];
    pn_vi dots[PN_TILE_COLUMNS];
    PN_UNROLL
    for (int c = 0; c < n; c++) sums[c] = pn_vf_zero();
    for (int b = 0; b < n_blocks; b++) {
        const pn_vi bias = pn_vi_load(t->bias[b]);
        PN_UNROLL
        for (int c = 0; c < n; c++) dots[c] = bias;
        pn_vi_tile_run(dots, n, steps_of(t, p, b, f, is_small, first));
        const pn_vf d = pn_vf_load(t->d_32[b]);
        PN_UNROLL
        for (int c = 0; c < n; c++)
            sums[c] = pn_vf_fma(pn_vf_mul(d, pn_vf_set1(p->d_32[b][first + c])),
                                pn_vf_from_i32(dots[c]), sums[c]);
        if (!f->has_minimum) continue;
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
                           const pn_unpack *f, const bool is_small, int first, const int n) {
    if (f->block_weights == 256) {
        add_group_256(tile, panel, c, f, is_small, first, n);
    } else {
        add_group_32(tile, panel, n_blocks, c, f, is_small, first, n);
    }
}

/* As many columns at once as the registers hold; tile and panel (12 KB) stay in L1 meanwhile. */
PN_INLINE void add_panel(const pn_tile *tile, const pn_act_panel *panel, int n_blocks,
                         int32_t n_columns, float *c, const pn_unpack *f, const bool is_small) {
    if (PN_TILE_COLUMNS == 12 && n_columns > 8) {
        add_columns(tile, panel, n_blocks, c, f, is_small, 0, 12);
    } else if (PN_TILE_COLUMNS == 12 && n_columns > 4) {
        add_columns(tile, panel, n_blocks, c, f, is_small, 0, 8);
    } else {
        const int step = PN_TILE_COLUMNS < 4 ? PN_TILE_COLUMNS : 4;
        for (int first = 0; first < n_columns; first += step)
            add_columns(tile, panel, n_blocks, c, f, is_small, first, step);
    }
}

PN_INLINE void add_tile(const pn_tile *tile, const pn_act_panel *panel, int32_t n_blocks,
                        int32_t n_columns, float *c, const pn_unpack *f) {
    if (!PN_TILE_RAW_CODES || always_small(f) || panel->max_lane * f->max_code <= INT16_MAX) {
        add_panel(tile, panel, n_blocks, n_columns, c, f, true);
    } else {
        add_panel(tile, panel, n_blocks, n_columns, c, f, false);
    }
}

#define FORMAT(name, id, block_weights, block_bytes, kernels) kernels(name)
#define FLOATS(name)
#define NO_KERNELS(name)

#define CODES(name)                                                                                \
    static void add_##name(const pn_tile *tile, const pn_act_panel *panel, int32_t n_blocks,       \
                           int32_t n_columns, float *c) {                                          \
        add_tile(tile, panel, n_blocks, n_columns, c, &pn_unpack_##name);                          \
    }
#include "fmt/formats.def"
#undef CODES

#define CODES(name) [PN_FMT_##name] = add_##name,
static pn_tile_kernel *const kernels_of[] = {
#include "fmt/formats.def"
};

pn_tile_kernel *PN_ISA_FN(pn_tile_kernel_of)(pn_format format) {
    const size_t i = (size_t)format;
    return i < sizeof kernels_of / sizeof *kernels_of ? kernels_of[i] : NULL;
}
