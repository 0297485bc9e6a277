/* repack.c: rows of weights for the card. A format's own unpack (src/fmt) says what the codes, scales and
 * minimums are; here they are only laid down in planes. */
#include "cuda/repack.h"

#include "fmt/formats.h"

#include <string.h>

#define FLOATS_ROW(format, bytes)                                                                  \
    { .name = #format, .id = PN_FMT_##format, .is_codes = false, .float_bytes = (bytes) }
#define CODES(format, low, high, of_256, sub, minimum, off, levels)                                \
    {.name = #format,                                                                              \
     .id = PN_FMT_##format,                                                                        \
     .is_codes = true,                                                                             \
     .low_bits = (low),                                                                            \
     .high_bits = (high),                                                                          \
     .sub_weights = (sub),                                                                         \
     .offset = (off),                                                                              \
     .is_256 = (of_256) != 0,                                                                      \
     .has_minimum = (minimum) != 0,                                                                \
     .has_levels = (levels) != 0,                                                                  \
     .unpack = &pn_unpack_##format},
static const pn_cuda_format formats[] = {
    FLOATS_ROW(F32, 4),
    FLOATS_ROW(F16, 2),
    FLOATS_ROW(BF16, 2),
#include "cuda/cuda_formats.def"
};
#undef CODES

const pn_cuda_format *pn_cuda_format_get(pn_format id) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].id == id) return &formats[i];
    return NULL;
}

static pn_cuda_layout layout_of(const pn_cuda_format *f, int32_t n_in) {
    return pn_cuda_codes_layout(f->low_bits, f->high_bits, f->is_256, f->sub_weights,
                                f->has_minimum, n_in);
}

uint32_t pn_cuda_row_bytes(const pn_cuda_format *f, int32_t n_in) {
    return f->is_codes ? layout_of(f, n_in).row_bytes
                       : pn_cuda_float_row_bytes(n_in, (uint32_t)f->float_bytes);
}

/* ---- codes ---- */

/* Two bits of each of 32 codes, from bit `at` on, into 8 bytes. */
static void put_pairs(const uint8_t *codes, int at, uint8_t *out) {
    for (int j = 0; j < 8; j++)
        out[j] = (uint8_t)((codes[j] >> at & 3) | (codes[j + 8] >> at & 3) << 2 |
                           (codes[j + 16] >> at & 3) << 4 | (codes[j + 24] >> at & 3) << 6);
}

static void put_bits(const uint8_t *codes, int at, uint8_t *out) {
    for (int j = 0; j < 4; j++) {
        unsigned byte = 0;
        for (int i = 0; i < 8; i++) byte |= (unsigned)(codes[8 * j + i] >> at & 1) << i;
        out[j] = (uint8_t)byte;
    }
}

static void put_sub(const pn_cuda_format *f, const uint8_t *codes, uint8_t *low, uint8_t *high) {
    switch (f->low_bits) {
    case 8: memcpy(low, codes, 32); break;
    case 4:
        for (int j = 0; j < 16; j++) low[j] = (uint8_t)((codes[j] & 15) | codes[j + 16] << 4);
        break;
    default: put_pairs(codes, 0, low); break;
    }
    if (f->high_bits == 1) put_bits(codes, f->low_bits, high);
    if (f->high_bits == 2) put_pairs(codes, f->low_bits, high);
}

/* Levels of IQ4_NL back to their places in the table. */
static void find_levels(uint8_t *codes, int n) {
    for (int i = 0; i < n; i++) {
        uint8_t place = 0;
        for (uint8_t l = 0; l < 16; l++)
            if (pn_iq4_levels[l] == (int8_t)codes[i]) place = l;
        codes[i] = place;
    }
}

/* 64 codes: v as pn_unpack.codes has it. */
static void put_64(const pn_cuda_format *f, const uint8_t *blocks, int v, uint8_t *low,
                   uint8_t *high) {
    uint8_t codes[64];
    pn_vi_store(codes, f->unpack->codes(blocks, v));
    if (f->has_levels) find_levels(codes, 64);
    put_sub(f, codes, low, high);
    put_sub(f, codes + 32, low + 4 * f->low_bits, high + 4 * f->high_bits);
}

static void repack_256(const pn_cuda_format *f, const uint8_t *row, int32_t n_groups,
                       const pn_cuda_layout *l, uint8_t *out) {
    const pn_unpack *u = f->unpack;
    const size_t head_bytes = f->has_minimum ? 4 : 2, n_scales = 256 / (size_t)f->sub_weights;
    for (int32_t g = 0; g < n_groups; g++, row += u->block_bytes) {
        const size_t at = (size_t)g;
        for (int v = 0; v < 4; v++)
            put_64(f, row, v, out + (at * 8 + (size_t)v * 2) * 4 * (size_t)f->low_bits,
                   out + l->high_at + (at * 8 + (size_t)v * 2) * 4 * (size_t)f->high_bits);
        pn_vq scales, minimums;
        uint8_t bytes[16];
        u->scales(row, &scales, &minimums);
        pn_vq_store(bytes, scales);
        memcpy(out + l->scales_at + at * n_scales, bytes, n_scales);
        pn_vq_store(bytes, minimums);
        if (f->has_minimum) memcpy(out + l->minimums_at + at * n_scales, bytes, n_scales);
        memcpy(out + l->heads_at + at * head_bytes, row + u->d_at, head_bytes);
    }
}

static void repack_32(const pn_cuda_format *f, const uint8_t *row, int32_t n_blocks,
                      const pn_cuda_layout *l, uint8_t *out) {
    const pn_unpack *u = f->unpack;
    const size_t head_bytes = f->has_minimum ? 4 : 2, block_bytes = (size_t)u->block_bytes;
    for (int32_t b = 0; b < n_blocks; b += 2, row += 2 * block_bytes) {
        uint8_t padded[2 * 64] = {0}; /* nothing behind a single last block may be read */
        const uint8_t *pair = row;
        if (b + 1 == n_blocks) {
            memcpy(padded, row, block_bytes);
            pair = padded;
        }
        const size_t at = (size_t)b;
        uint8_t *heads = out + l->heads_at + at * head_bytes;
        put_64(f, pair, 0, out + at * 4 * (size_t)f->low_bits,
               out + l->high_at + at * 4 * (size_t)f->high_bits);
        memcpy(heads, pair + u->d_at, head_bytes);
        memcpy(heads + head_bytes, pair + block_bytes + u->d_at, head_bytes);
    }
}

/* ---- floats ---- */

static void repack_floats(const uint8_t *row, int32_t n_in, size_t bytes, uint8_t *out) {
    for (int32_t i = 0; i < n_in; i++) {
        const int32_t in_group = i % PN_CUDA_FLOAT_GROUP;
        const size_t to = (size_t)(i - in_group + in_group % 16 * 8 + in_group / 16);
        memcpy(out + to * bytes, row + (size_t)i * bytes, bytes);
    }
}

void pn_cuda_repack_row(const pn_cuda_format *f, const void *row, int32_t n_in, uint8_t *out) {
    memset(out, 0, pn_cuda_row_bytes(f, n_in));
    if (!f->is_codes) {
        repack_floats(row, n_in, (size_t)f->float_bytes, out);
        return;
    }
    const pn_cuda_layout l = layout_of(f, n_in);
    if (f->is_256)
        repack_256(f, row, n_in / PN_CUDA_GROUP, &l, out);
    else
        repack_32(f, row, n_in / 32, &l, out);
}
