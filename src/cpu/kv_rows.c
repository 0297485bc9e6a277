/* kv_rows.c: KV pages to and from the form in which a sequence is saved: one row for each position
 * (backend.h), whatever the layout of a page. */
#include "backend/kv_rows.h"
#include "cpu/device.h"

static void move_page(pn_device *dev, int32_t page, int32_t n_positions, unsigned char *rows,
                      bool to_page) {
    const size_t row_bytes = dev->layout.page_bytes / PN_PAGE_POSITIONS;
    size_t at = 0;
    for (int32_t i = 0; i < dev->plan->n_attns; i++) {
        const pn_attention *attn = &dev->plan->attns[i];
        unsigned char *base = dev->kv + dev->kv_offsets[i] + (size_t)page * dev->kv_page_bytes[i];
        for (size_t p = 0; p < (size_t)n_positions; p++)
            pn_kv_move_position(attn, dev->config.kv_type, base, p, rows + p * row_bytes + at,
                                to_page);
        at += dev->kv_page_bytes[i] / PN_PAGE_POSITIONS;
    }
}

puna_status pn_cpu_read_page(pn_device *dev, int32_t page, int32_t n_positions, void *rows,
                             puna_error *err) {
    (void)err;
    move_page(dev, page, n_positions, rows, false);
    return PUNA_OK;
}

puna_status pn_cpu_write_page(pn_device *dev, int32_t page, int32_t n_positions, const void *rows,
                              puna_error *err) {
    (void)err;
    move_page(dev, page, n_positions, (unsigned char *)(uintptr_t)rows, true);
    return PUNA_OK;
}
