/* matmul_fill.h: unpacks a group of 16 rows of weights into a tile of matmul_tile.h. */
#ifndef PN_CPU_MATMUL_FILL_H
#define PN_CPU_MATMUL_FILL_H

#include "cpu/isa/matmul_tile.h"

/* Turns 64 codes of each of 16 rows into 16 steps of four inputs, and adds up what PN_PANEL_BIAS
 * will need. */
PN_INLINE void pn_fill_codes(const uint8_t *const rows[16], int v, const pn_unpack *f,
                             pn_tile *tile) {
    pn_vi t[16];
    const pn_vi offset = pn_vi_set1_8(f->offset);
    for (int r = 0; r < 16; r++) {
        t[r] = f->codes(rows[r], f->block_weights == 256 ? v : 0);
        if (f->offset != 0 && !PN_TILE_RAW_CODES) t[r] = pn_vi_sub8(t[r], offset);
    }
    pn_vi_transpose(t);
    const int steps = f->sub_weights / 4;
    for (int sub = 0; sub < 16 / steps; sub++) {
        pn_vi sum = pn_vi_zero();
        for (int k = 0; k < steps; k++) {
            const int step = sub * steps + k;
            sum = pn_vi_tile_bias(sum, t[step]);
            pn_vi_store(tile->codes[16 * v + step], t[step]);
        }
        pn_vi_store(tile->bias[v * (16 / steps) + sub], pn_vi_sub32(pn_vi_zero(), sum));
    }
}

PN_INLINE void pn_fill_scales(const uint8_t *const rows[16], const pn_unpack *f, pn_tile *tile) {
    uint8_t scales[16][64], minimums[16][64];
    uint32_t heads[16];
    pn_vi s[16], m[16];
    for (int r = 0; r < 16; r++) {
        pn_vq scale, minimum;
        f->scales(rows[r], &scale, &minimum);
        pn_vi_store(scales[r], pn_vi_dup16(scale));
        if (f->has_minimum) pn_vi_store(minimums[r], pn_vi_dup16(minimum));
        heads[r] = f->has_minimum ? pn_load_u32(rows[r] + f->d_at) : pn_load_u16(rows[r] + f->d_at);
    }
    for (int r = 0; r < 16; r++) s[r] = pn_vi_load(scales[r]);
    pn_vi_transpose(s); /* s[q]: bytes 4q .. 4q + 3 of each row */
    const int n_subs = 256 / f->sub_weights;
    for (int j = 0; j < n_subs; j++)
        pn_vi_store(tile->scale[j], pn_vi_tile_scale(pn_vi_sign_byte(s[j / 4], j % 4)));
    if (f->has_minimum) {
        for (int r = 0; r < 16; r++) m[r] = pn_vi_load(minimums[r]);
        pn_vi_transpose(m);
        for (int p = 0; p < n_subs / 2; p++)
            pn_vi_store(tile->minimum[p], pn_vi_byte_pair(m[p / 2], p % 2 * 2));
    }
    const pn_vi head = pn_vi_load(heads);
    pn_vf_store(tile->d, pn_vf_half_low(head));
    pn_vf_store(tile->dmin, pn_vf_half_high(head));
}

PN_INLINE void pn_fill_group_256(const uint8_t *const rows[16], const pn_unpack *f, pn_tile *tile) {
    for (int v = 0; v < 4; v++) pn_fill_codes(rows, v, f, tile);
    pn_fill_scales(rows, f, tile);
}

/* n_blocks (1..8) blocks of 32. */
PN_INLINE void pn_fill_group_32(const uint8_t *const rows[16], int32_t n_blocks, const pn_unpack *f,
                                pn_tile *tile) {
    const uint8_t *pairs[16];
    uint8_t padded[16][2 * 64];
    for (int v = 0; 2 * v < n_blocks; v++) {
        for (int r = 0; r < 16; r++) {
            pairs[r] = rows[r] + 2 * v * f->block_bytes;
            if (2 * v + 1 == n_blocks) { /* a single block: nothing behind it may be read */
                memset(padded[r], 0, sizeof padded[r]);
                memcpy(padded[r], pairs[r], (size_t)f->block_bytes);
                pairs[r] = padded[r];
            }
        }
        pn_fill_codes(pairs, v, f, tile);
    }
    for (int b = 0; b < n_blocks; b++) {
        uint32_t heads[16];
        for (int r = 0; r < 16; r++) {
            const uint8_t *d = rows[r] + b * f->block_bytes + f->d_at;
            heads[r] = f->has_minimum ? pn_load_u32(d) : pn_load_u16(d);
        }
        const pn_vi head = pn_vi_load(heads);
        pn_vf_store(tile->d_32[b], pn_vf_half_low(head));
        if (f->has_minimum) pn_vf_store(tile->m_32[b], pn_vf_half_high(head));
    }
}

PN_INLINE void pn_fill(const pn_fill_job *job, const pn_unpack *f) {
    const uint8_t *rows[16];
    for (int32_t r = 0; r < 16; r++) { /* rows that do not exist repeat the last one */
        const int32_t row = r < job->n_rows ? r : job->n_rows - 1;
        rows[r] = job->rows + job->row_bytes * (size_t)row;
    }
    const size_t group_bytes = (size_t)(f->block_bytes * (PN_GROUP / f->block_weights));
    for (int r = 0; r < 16; r++) rows[r] += (size_t)job->group * group_bytes;
    if (f->block_weights == 256) {
        pn_fill_group_256(rows, f, job->tile);
    } else {
        const int32_t left = job->n_in / 32 - 8 * job->group;
        pn_fill_group_32(rows, left < 8 ? left : 8, f, job->tile);
    }
}

#endif
