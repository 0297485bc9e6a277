/* cursor.c: the window over the file. Integers are little-endian in the file and in memory. */
#include "gguf/cursor.h"

#include "base/mem.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read in place");

puna_status pn_cursor_open(pn_cursor *cursor, const pn_file *file, puna_error *err) {
    *cursor = (pn_cursor){.file = file};
    cursor->window = pn_alloc(PN_CURSOR_WINDOW);
    if (!cursor->window) return pn_fail_nomem(err, PN_CURSOR_WINDOW, "reading the metadata");
    return PUNA_OK;
}

void pn_cursor_close(pn_cursor *cursor) {
    pn_free(cursor->window);
    cursor->window = NULL;
}

puna_status pn_cursor_need(const pn_cursor *cursor, uint64_t n, puna_error *err) {
    if (n > pn_cursor_left(cursor))
        return pn_fail(
            err, PUNA_E_FORMAT,
            "truncated: %llu bytes expected at byte %llu, but the file ends at byte %llu",
            (unsigned long long)n, (unsigned long long)cursor->pos,
            (unsigned long long)cursor->file->bytes);
    if (n > PN_GGUF_MAX_META || cursor->pos > PN_GGUF_MAX_META - n)
        return pn_fail(err, PUNA_E_LIMIT, "keys and tensor table take more than %llu MiB",
                       (unsigned long long)(PN_GGUF_MAX_META >> 20));
    return PUNA_OK;
}

puna_status pn_cursor_skip(pn_cursor *cursor, uint64_t n, puna_error *err) {
    const puna_status status = pn_cursor_need(cursor, n, err);
    if (status == PUNA_OK) cursor->pos += n;
    return status;
}

/* Moves the window to cursor->pos. */
static puna_status fill_window(pn_cursor *cursor, puna_error *err) {
    const uint64_t left = pn_cursor_left(cursor);
    const size_t n = left < PN_CURSOR_WINDOW ? (size_t)left : PN_CURSOR_WINDOW;
    cursor->window_n = 0;
    const puna_status status = pn_os_read(cursor->file, cursor->pos, cursor->window, n, err);
    if (status != PUNA_OK) return status;
    cursor->window_off = cursor->pos;
    cursor->window_n = n;
    return PUNA_OK;
}

puna_status pn_cursor_read(pn_cursor *cursor, void *out, size_t n, puna_error *err) {
    puna_status status = pn_cursor_need(cursor, n, err);
    if (status != PUNA_OK) return status;
    if (n > PN_CURSOR_WINDOW) {
        status = pn_os_read(cursor->file, cursor->pos, out, n, err);
        if (status == PUNA_OK) cursor->pos += n;
        return status;
    }
    const bool inside = cursor->pos >= cursor->window_off &&
                        cursor->pos + n <= cursor->window_off + cursor->window_n;
    if (!inside) {
        status = fill_window(cursor, err);
        if (status != PUNA_OK) return status;
    }
    if (n > 0) memcpy(out, cursor->window + (cursor->pos - cursor->window_off), n);
    cursor->pos += n;
    return PUNA_OK;
}

puna_status pn_cursor_u32(pn_cursor *cursor, uint32_t *value, puna_error *err) {
    return pn_cursor_read(cursor, value, sizeof *value, err);
}

puna_status pn_cursor_u64(pn_cursor *cursor, uint64_t *value, puna_error *err) {
    return pn_cursor_read(cursor, value, sizeof *value, err);
}
