/* matmul_pack.c: turns float activations into the layouts of matmul_acts.h. */
#include "cpu/isa/matmul_acts.h"

size_t PN_ISA_FN(pn_acts_bytes)(int32_t n_in, int32_t n_rows) {
    return pn_acts_float_bytes(n_in, n_rows) + 2 * pn_acts_int_bytes(n_in, n_rows);
}

int32_t PN_ISA_FN(pn_pack_units)(const pn_acts *acts) {
    return acts->n_rows <= PN_FEW_ROWS ? acts->n_rows : pn_n_panels(acts->n_rows);
}

/* q = n inputs x (a multiple of 16) divided by their common scale, which is returned. */
static float quantize_run(const float *x, int32_t n, int8_t *q) {
    pn_vi max_bits = pn_vi_zero();
    for (int32_t i = 0; i < n; i += 16) max_bits = pn_vi_max_abs_bits(max_bits, pn_vf_load(x + i));
    const int32_t bits = pn_vi_max_lanes(max_bits);
    float max;
    memcpy(&max, &bits, sizeof max);
    if (bits >= 0x7f800000) { /* NaN or infinity */
        const int32_t nan_bits = 0x7fc00000;
        memcpy(&max, &nan_bits, sizeof max);
        return max;
    }
    if (max < 0x1p-100f) return 0.0f; /* 127 / max stays finite */
    const pn_vf inverse = pn_vf_set1(127.0f / max);
    for (int32_t i = 0; i < n; i += 16)
        pn_vf_store_s8(q + i, pn_vf_mul(pn_vf_load(x + i), inverse));
    return max / 127.0f;
}

/* One group of n inputs (a multiple of 16) from x, for weights in blocks of 256 or 32. */
static void quantize_group(const float *x, int32_t n, bool is_256, pn_act_group *g) {
    memset(g, 0, sizeof *g);
    if (is_256) {
        g->d = quantize_run(x, n, g->q);
    } else {
        for (int32_t i = 0; i < n; i += 32)
            g->d_32[i / 32] = quantize_run(x + i, n - i < 32 ? n - i : 32, g->q + i);
    }
    for (int i = 0; i < 16; i++) {
        int32_t sum = 0;
        for (int j = 0; j < 16; j++) sum += g->q[16 * i + j];
        g->sum_16[i] = (int16_t)sum;
    }
    for (int i = 0; i < 8; i++) {
        g->sum_32[i] = (int16_t)(g->sum_16[2 * i] + g->sum_16[2 * i + 1]);
        g->offset[i] = g->d_32[i] * (float)g->sum_32[i];
    }
}

static void put_into_panel(const pn_act_group *g, bool is_256, pn_act_panel *p, int32_t column) {
    for (int k = 0; k < 64; k++) {
        uint32_t q;
        memcpy(&q, g->q + 4 * k, sizeof q);
        q ^= PN_PANEL_BIAS * 0x01010101u; /* adding 128 to a signed byte flips its highest bit */
        memcpy(p->q[k][column], &q, sizeof q);
    }
    for (int i = 0; i < 8; i++) {
        p->pair_32[i / 2][column][i % 2] = g->sum_32[i];
        if (is_256) {
            for (int j = 0; j < 2; j++) p->pair_16[i][column][j] = g->sum_16[2 * i + j];
        } else {
            p->d_32[i][column] = g->d_32[i];
        }
        p->offset[i][column] = g->offset[i];
    }
    p->d[column] = g->d;
}

static bool is_float(pn_format format) {
    return format == PN_FMT_F32 || format == PN_FMT_F16 || format == PN_FMT_BF16;
}

static void pack_row_ints(const pn_acts *acts, bool is_256, const float *x, int32_t row) {
    const int32_t n_groups = pn_n_groups(acts->n_in);
    for (int32_t g = 0; g < n_groups; g++) {
        const int32_t at = g * PN_GROUP;
        const int32_t n = acts->n_in - at < PN_GROUP ? acts->n_in - at : PN_GROUP;
        if (acts->n_rows <= PN_FEW_ROWS) {
            quantize_group(x + at, n, is_256, &pn_acts_row(acts, is_256, row)[g]);
        } else {
            pn_act_group group;
            quantize_group(x + at, n, is_256, &group);
            put_into_panel(&group, is_256, pn_acts_panel(acts, is_256, row / PN_PANEL_ROWS, g),
                           row % PN_PANEL_ROWS);
        }
    }
}

#define PANEL_BYTES (4 * PN_PANEL_ROWS) /* of one step */

/* sums[i] += the bytes of four steps; plus[i] += the positive ones. */
static void add_steps(const uint8_t (*q)[PN_PANEL_ROWS][4], int16_t *sums, int16_t *plus) {
    for (int k = 0; k < 4; k++) {
        const int8_t *bytes = (const int8_t *)q[k];
        for (int i = 0; i < PANEL_BYTES; i++) {
            const int16_t x = bytes[i];
            sums[i] = (int16_t)(sums[i] + x);
            plus[i] = (int16_t)(plus[i] + (x > 0 ? x : 0));
        }
    }
}

/* Fills in lane_16, lane_32 and max_lane. */
static void add_up_lanes(pn_act_panel *p) {
    int16_t most = 0;
    for (int run = 0; run < 8; run++) {
        int16_t plus[PANEL_BYTES] = {0}, first[PANEL_BYTES] = {0}, second[PANEL_BYTES] = {0};
        add_steps(&p->q[8 * run], first, plus);
        add_steps(&p->q[8 * run + 4], second, plus);
        for (int i = 0; i < 2 * PN_PANEL_ROWS; i++) {
            const int16_t sum_0 = (int16_t)(first[2 * i] + first[2 * i + 1]);
            const int16_t sum_1 = (int16_t)(second[2 * i] + second[2 * i + 1]);
            const int16_t sum = (int16_t)(sum_0 + sum_1);
            const int16_t up = (int16_t)(plus[2 * i] + plus[2 * i + 1]);
            const int16_t down = (int16_t)(up - sum);
            p->lane_16[2 * run][i] = sum_0;
            p->lane_16[2 * run + 1][i] = sum_1;
            p->lane_32[run][i] = sum;
            most = up > most ? up : most;
            most = down > most ? down : most;
        }
    }
    p->max_lane = most;
}

/* Columns of the last panel that have no row. */
static void clear_panel_tail(const pn_acts *acts, bool is_256, int32_t panel) {
    const pn_act_group zero = {.d = 0.0f};
    const int32_t n_groups = pn_n_groups(acts->n_in);
    for (int32_t row = acts->n_rows; row < (panel + 1) * PN_PANEL_ROWS; row++) {
        for (int32_t g = 0; g < n_groups; g++)
            put_into_panel(&zero, is_256, pn_acts_panel(acts, is_256, panel, g),
                           row % PN_PANEL_ROWS);
    }
}

void PN_ISA_FN(pn_pack)(const pn_acts *acts, const float *x, size_t ld_x, const int32_t *row_index,
                        const pn_matmul *needs, int32_t n_needs, int32_t unit) {
    bool floats = false, ints[2] = {false, false}; /* for blocks of 32, of 256 */
    for (int32_t i = 0; i < n_needs; i++) {
        const pn_format_info *format = needs[i].w->format;
        if (is_float(format->id)) {
            floats = true;
        } else {
            ints[format->block_weights == 256] = true;
        }
    }
    const bool few = acts->n_rows <= PN_FEW_ROWS;
    const int32_t first = few ? unit : unit * PN_PANEL_ROWS;
    int32_t end = few ? unit + 1 : first + PN_PANEL_ROWS;
    if (end > acts->n_rows) end = acts->n_rows;
    for (int32_t row = first; row < end; row++) {
        const float *from = x + ld_x * (size_t)(row_index ? row_index[row] : row);
        if (floats)
            memcpy(pn_acts_floats(acts) + (size_t)row * (size_t)acts->n_in, from,
                   (size_t)acts->n_in * sizeof(float));
        for (int k = 0; k < 2; k++)
            if (ints[k]) pack_row_ints(acts, k == 1, from, row);
    }
    if (few) return;
    for (int k = 0; k < 2; k++) {
        if (!ints[k]) continue;
        clear_panel_tail(acts, k == 1, unit);
        if (!PN_TILE_RAW_CODES) continue;
        for (int32_t g = 0; g < pn_n_groups(acts->n_in); g++)
            add_up_lanes(pn_acts_panel(acts, k == 1, unit, g));
    }
}
