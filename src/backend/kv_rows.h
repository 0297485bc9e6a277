/* kv_rows.h: pages as kv_layout.h describes them to and from the rows in which a sequence is saved
 * (backend.h): for each position keys [n_head_kv][head_dim], values, then the scales of q8_0. */
#ifndef PN_BACKEND_KV_ROWS_H
#define PN_BACKEND_KV_ROWS_H

#include "backend/kv_layout.h"

#include <string.h>

/* Bytes of one page of one layer. */
static inline size_t pn_kv_page_bytes_of(const pn_attention *attn, pn_kv_type type) {
    const size_t per_head = (size_t)attn->head_dim * PN_PAGE_POSITIONS * pn_kv_elem_bytes(type);
    const size_t n_scales =
        type == PN_KV_Q8_0 ? (size_t)pn_kv_n_groups(attn->head_dim) * PN_PAGE_POSITIONS : 0;
    return 2 * (size_t)attn->n_head_kv * (per_head + n_scales * sizeof(float));
}

/* Copies n elements of `bytes` bytes, a constant where it is called; steps in elements. */
static inline void pn_kv_copy(unsigned char *to, size_t to_step, const unsigned char *from,
                              size_t from_step, int32_t n, const size_t bytes) {
    for (size_t i = 0; i < (size_t)n; i++)
        memcpy(to + i * to_step * bytes, from + i * from_step * bytes, bytes);
}

/* n elements between a row, where they follow one another, and a page, where they are `step` apart.
 */
static inline void pn_kv_move(void *row, void *page, size_t step, int32_t n, size_t bytes,
                              bool to_page) {
    unsigned char *to = to_page ? page : row;
    const unsigned char *from = to_page ? row : page;
    const size_t to_step = to_page ? step : 1, from_step = to_page ? 1 : step;
    switch (bytes) {
    case 1: pn_kv_copy(to, to_step, from, from_step, n, 1); break;
    case 2: pn_kv_copy(to, to_step, from, from_step, n, 2); break;
    default: pn_kv_copy(to, to_step, from, from_step, n, 4); break;
    }
}

/* One position of one layer between its page and `row`; slot: its place in the page. */
static inline void pn_kv_move_position(const pn_attention *attn, pn_kv_type type,
                                       unsigned char *page, size_t slot, unsigned char *row,
                                       bool to_page) {
    const size_t bytes = pn_kv_elem_bytes(type), dim = (size_t)attn->head_dim;
    const size_t n_heads = (size_t)attn->n_head_kv;
    unsigned char *scales = row + 2 * n_heads * dim * bytes;
    for (int32_t h = 0; h < attn->n_head_kv; h++) {
        const pn_kv_view kv = pn_kv_view_of(attn, type, page, h);
        const size_t head = (size_t)h, n = (size_t)kv.n_groups * sizeof(float);
        pn_kv_move(row + head * dim * bytes, kv.keys + slot * bytes, PN_PAGE_POSITIONS,
                   attn->head_dim, bytes, to_page);
        pn_kv_move(row + (n_heads + head) * dim * bytes, kv.values + slot * dim * bytes, 1,
                   attn->head_dim, bytes, to_page);
        if (type != PN_KV_Q8_0) continue;
        pn_kv_move(scales + head * n, kv.key_scales + slot, PN_PAGE_POSITIONS, kv.n_groups, 4,
                   to_page);
        pn_kv_move(scales + (n_heads + head) * n, kv.value_scales + slot * (size_t)kv.n_groups, 1,
                   kv.n_groups, 4, to_page);
    }
}

#endif
