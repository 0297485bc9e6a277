/* matmul.c: matrix products: cuts the output rows into units and picks the path for each.
 *
 * Few rows of activations: weights are read in place (matmul_few.h). Many: for every 256
 * inputs, 16 rows of weights at a time are unpacked into a tile (matmul_fill.h) that stays in the
 * L1 cache while all panels of activations pass by (matmul_micro.c). Float weights go to
 * matmul_float.c. All give the same bits for a row of activations. */
#include "cpu/isa/matmul_few.h"

#define PN_UNIT_TILES                                                                              \
    4 /* tiles of 16 rows in a unit at most, which share a pass over the panels in L2 */
#define PN_UNIT_PANELS  43          /* panels (516 rows) in a pass at most */
#define PN_UNIT_BYTES   (96 * 1024) /* of weights in a unit, few rows */
#define PN_WANTED_UNITS 24          /* so that threads finish at about the same time */

/* Rows of weights in one unit, a multiple of 16. */
static int64_t unit_rows(const pn_matmul *mm, int32_t n_rows) {
    const int64_t n_tiles = (mm->w->n_out + PN_TILE_ROWS - 1) / PN_TILE_ROWS;
    int64_t tiles = n_tiles / PN_WANTED_UNITS, most = PN_UNIT_TILES;
    if (n_rows <= PN_FEW_ROWS)
        most = PN_UNIT_BYTES / ((int64_t)mm->w->row_bytes * PN_TILE_ROWS + 1);
    if (tiles > most) tiles = most;
    return (tiles < 1 ? 1 : tiles) * PN_TILE_ROWS;
}

int32_t PN_ISA_FN(pn_matmul_units)(const pn_matmul *mm, int32_t n_rows) {
    const int64_t rows = unit_rows(mm, n_rows);
    return (int32_t)((mm->w->n_out + rows - 1) / rows);
}

typedef struct many_scratch {
    pn_tile tile;
    float c[PN_UNIT_TILES][PN_UNIT_PANELS][PN_PANEL_ROWS][PN_TILE_ROWS];
} many_scratch;

size_t PN_ISA_FN(pn_matmul_scratch_bytes)(int32_t n_in, int32_t n_rows) {
    if (n_rows <= PN_FEW_ROWS) return pn_few_scratch_bytes(n_in, n_rows);
    const size_t few = pn_few_scratch_bytes(n_in, PN_FEW_ROWS);
    return few > sizeof(many_scratch) ? few : sizeof(many_scratch);
}

typedef struct many_job {
    const pn_matmul *mm;
    const pn_acts *acts;
    const pn_matmul_format *format;
    pn_tile_kernel *kernel;
    const uint8_t *weights;
    int64_t first, end; /* rows of weights */
    int32_t first_panel, n_panels;
    many_scratch *scratch;
} many_job;

/* Adds a group of 256 inputs to the sums of one tile and all panels. */
static void add_group(const many_job *job, int32_t tile, int32_t group) {
    const pn_weight *w = job->mm->w;
    const int64_t row = job->first + (int64_t)tile * PN_TILE_ROWS, left = job->end - row;
    const pn_fill_job fill = {.rows = job->weights + w->row_bytes * (size_t)row,
                              .row_bytes = w->row_bytes,
                              .n_in = (int32_t)w->n_in,
                              .n_rows = left < PN_TILE_ROWS ? (int32_t)left : PN_TILE_ROWS,
                              .group = group,
                              .tile = &job->scratch->tile};
    job->format->fill(&fill);
    const bool is_256 = job->format->unpack->block_weights == 256;
    const int32_t blocks_left = (int32_t)(w->n_in / 32) - 8 * group;
    for (int32_t p = 0; p < job->n_panels; p++) {
        const int32_t panel = job->first_panel + p;
        int32_t columns = job->acts->n_rows - panel * PN_PANEL_ROWS;
        if (columns > PN_PANEL_ROWS) columns = PN_PANEL_ROWS;
        job->kernel(&job->scratch->tile, pn_acts_panel(job->acts, is_256, panel, group),
                    blocks_left < 8 ? blocks_left : 8, columns, job->scratch->c[tile][p][0]);
    }
}

/* Adds the bias and writes the sums out, a row of activations at a time. Rows are far apart: the
 * lines of those to come are asked for early. */
static void store_sums(const many_job *job, int32_t n_tiles) {
    const pn_matmul *mm = job->mm;
    const int32_t first_row = job->first_panel * PN_PANEL_ROWS;
    int32_t n_rows = job->acts->n_rows - first_row;
    if (n_rows > job->n_panels * PN_PANEL_ROWS) n_rows = job->n_panels * PN_PANEL_ROWS;
    for (int32_t r = 0; r < n_rows; r++) {
        float *out = mm->out + mm->ld_out * (size_t)(first_row + r) + job->first;
        for (int32_t t = 0; t < n_tiles; t++, out += PN_TILE_ROWS) {
            const int64_t row = job->first + (int64_t)t * PN_TILE_ROWS, left = job->end - row;
            const int32_t n = left < PN_TILE_ROWS ? (int32_t)left : PN_TILE_ROWS;
            pn_vf v = pn_vf_load(job->scratch->c[t][r / PN_PANEL_ROWS][r % PN_PANEL_ROWS]);
            if (mm->bias) v = pn_vf_add(v, pn_vf_load_n(mm->bias + row, n));
            if (r + 8 < n_rows) __builtin_prefetch(out + 8 * mm->ld_out, 1);
            if (n == PN_TILE_ROWS) {
                pn_vf_store(out, v);
            } else {
                pn_vf_store_n(out, v, n);
            }
        }
    }
}

static void many_pass(const many_job *job) {
    const int32_t n_groups = pn_n_groups(job->mm->w->n_in);
    const int32_t n_tiles = (int32_t)((job->end - job->first + PN_TILE_ROWS - 1) / PN_TILE_ROWS);
    for (int32_t t = 0; t < n_tiles; t++)
        memset(job->scratch->c[t], 0, (size_t)job->n_panels * sizeof job->scratch->c[t][0]);
    for (int32_t g = 0; g < n_groups; g++)
        for (int32_t t = 0; t < n_tiles; t++) add_group(job, t, g);
    store_sums(job, n_tiles);
}

static void run_few(const pn_matmul *mm, const pn_acts *acts, const pn_matmul_format *format,
                    const uint8_t *weights, int64_t first, int64_t end, void *scratch) {
    const pn_few_job job = {.rows = weights + mm->w->row_bytes * (size_t)first,
                            .row_bytes = mm->w->row_bytes,
                            .n_in = (int32_t)mm->w->n_in,
                            .n_out = (int32_t)(end - first),
                            .acts = acts,
                            .bias = mm->bias ? mm->bias + first : NULL,
                            .out = mm->out + first,
                            .ld_out = mm->ld_out,
                            .scratch = scratch};
    format->few(&job);
}

void PN_ISA_FN(pn_matmul)(const pn_matmul *mm, const pn_acts *acts, int32_t unit, void *scratch) {
    const pn_weight *w = mm->w;
    const int64_t rows = unit_rows(mm, acts->n_rows), first = unit * rows;
    const int64_t end = first + rows < w->n_out ? first + rows : w->n_out;
    const pn_matmul_format *format = PN_ISA_FN(pn_matmul_format_of)(w->format->id);
    if (format == NULL) {
        PN_ISA_FN(pn_matmul_float_rows)
        (mm, pn_acts_floats(acts), acts->n_rows, (int32_t)first, (int32_t)end);
        return;
    }
    const uint8_t *weights =
        (const uint8_t *)w->data + w->row_bytes * (size_t)w->n_out * (size_t)mm->expert;
    if (acts->n_rows <= PN_FEW_ROWS) {
        run_few(mm, acts, format, weights, first, end, scratch);
        return;
    }
    many_job job = {.mm = mm,
                    .acts = acts,
                    .format = format,
                    .kernel = PN_ISA_FN(pn_tile_kernel_of)(w->format->id),
                    .weights = weights,
                    .first = first,
                    .end = end,
                    .scratch = scratch};
    const int32_t n_panels = pn_n_panels(acts->n_rows);
    for (; job.first_panel < n_panels; job.first_panel += PN_UNIT_PANELS) {
        const int32_t left = n_panels - job.first_panel;
        job.n_panels = left < PN_UNIT_PANELS ? left : PN_UNIT_PANELS;
        many_pass(&job);
    }
}
