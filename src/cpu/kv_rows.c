/* kv_rows.c: KV pages to and from the form in which a sequence is saved: one row for each position
 * (backend.h), whatever the layout of a page. */
#include "cpu/device.h"
#include "cpu/kv_layout.h"

#include <string.h>

/* Bytes of one position in one layer. */
static size_t layer_row_bytes(const pn_attention *attn, pn_kv_type type) {
    const size_t n_scales = type == PN_KV_Q8_0 ? (size_t)pn_kv_n_groups(attn->head_dim) : 0;
    return 2 * (size_t)attn->n_head_kv *
           ((size_t)attn->head_dim * pn_kv_elem_bytes(type) + n_scales * sizeof(float));
}

/* Copies n elements of `bytes` bytes, a constant where it is called; steps in elements. */
static inline void copy_elements(unsigned char *to, size_t to_step, const unsigned char *from,
                                 size_t from_step, int32_t n, const size_t bytes) {
    for (size_t i = 0; i < (size_t)n; i++)
        memcpy(to + i * to_step * bytes, from + i * from_step * bytes, bytes);
}

/* n elements between a row, where they follow one another, and a page, where they are `step` apart.
 */
static void move(void *row, void *page, size_t step, int32_t n, size_t bytes, bool to_page) {
    unsigned char *to = to_page ? page : row;
    const unsigned char *from = to_page ? row : page;
    const size_t to_step = to_page ? step : 1, from_step = to_page ? 1 : step;
    switch (bytes) {
    case 1: copy_elements(to, to_step, from, from_step, n, 1); break;
    case 2: copy_elements(to, to_step, from, from_step, n, 2); break;
    default: copy_elements(to, to_step, from, from_step, n, 4); break;
    }
}

/* One position of one layer; slot: its place in the page. */
static void move_position(const pn_attention *attn, pn_kv_type type, unsigned char *page,
                          size_t slot, unsigned char *row, bool to_page) {
    const size_t bytes = pn_kv_elem_bytes(type), dim = (size_t)attn->head_dim;
    const size_t n_heads = (size_t)attn->n_head_kv;
    unsigned char *scales = row + 2 * n_heads * dim * bytes;
    for (int32_t h = 0; h < attn->n_head_kv; h++) {
        const pn_kv_view kv = pn_kv_view_of(attn, type, page, h);
        const size_t head = (size_t)h, n = (size_t)kv.n_groups * sizeof(float);
        move(row + head * dim * bytes, kv.keys + slot * bytes, PN_PAGE_POSITIONS, attn->head_dim,
             bytes, to_page);
        move(row + (n_heads + head) * dim * bytes, kv.values + slot * dim * bytes, 1,
             attn->head_dim, bytes, to_page);
        if (type != PN_KV_Q8_0) continue;
        move(scales + head * n, kv.key_scales + slot, PN_PAGE_POSITIONS, kv.n_groups, 4, to_page);
        move(scales + (n_heads + head) * n, kv.value_scales + slot * (size_t)kv.n_groups, 1,
             kv.n_groups, 4, to_page);
    }
}

static void move_page(pn_device *dev, int32_t page, int32_t n_positions, unsigned char *rows,
                      bool to_page) {
    const size_t row_bytes = dev->layout.page_bytes / PN_PAGE_POSITIONS;
    size_t at = 0;
    for (int32_t i = 0; i < dev->plan->n_attns; i++) {
        const pn_attention *attn = &dev->plan->attns[i];
        unsigned char *base = dev->kv + dev->kv_offsets[i] + (size_t)page * dev->kv_page_bytes[i];
        for (size_t p = 0; p < (size_t)n_positions; p++)
            move_position(attn, dev->config.kv_type, base, p, rows + p * row_bytes + at, to_page);
        at += layer_row_bytes(attn, dev->config.kv_type);
    }
}

void pn_cpu_read_page(pn_device *dev, int32_t page, int32_t n_positions, void *rows) {
    move_page(dev, page, n_positions, rows, false);
}

void pn_cpu_write_page(pn_device *dev, int32_t page, int32_t n_positions, const void *rows) {
    move_page(dev, page, n_positions, (unsigned char *)(uintptr_t)rows, true);
}
