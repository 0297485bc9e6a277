/* cursor.h: reading the metadata of a file from front to back, trusting nothing.
 *
 * Every read is checked against what is left of the file before anything is allocated or copied,
 * and the metadata as a whole against PN_GGUF_MAX_META. Bytes come through pread into a small
 * window, never from a mapping: what was checked cannot change afterwards, and a file that shrinks
 * meanwhile is an error, not a signal. */
#ifndef PN_GGUF_CURSOR_H
#define PN_GGUF_CURSOR_H

#include "base/error.h"
#include "base/os.h"

/* The largest vocabularies in use take about 20 MB. */
#define PN_GGUF_MAX_META ((uint64_t)128 << 20)
#define PN_CURSOR_WINDOW ((size_t)64 * 1024)

typedef struct pn_cursor {
    const pn_file *file;
    uint64_t pos; /* never past file->bytes */
    unsigned char
        *window; /* [PN_CURSOR_WINDOW]: the file's bytes from window_off on, window_n of them */
    uint64_t window_off;
    size_t window_n;
} pn_cursor;

puna_status pn_cursor_open(pn_cursor *cursor, const pn_file *file, puna_error *err);
void pn_cursor_close(pn_cursor *cursor);

/* PUNA_E_FORMAT "truncated ..." unless n more bytes are there. */
puna_status pn_cursor_need(const pn_cursor *cursor, uint64_t n, puna_error *err);
puna_status pn_cursor_skip(pn_cursor *cursor, uint64_t n, puna_error *err);
puna_status pn_cursor_read(pn_cursor *cursor, void *out, size_t n, puna_error *err);
puna_status pn_cursor_u32(pn_cursor *cursor, uint32_t *value, puna_error *err);
puna_status pn_cursor_u64(pn_cursor *cursor, uint64_t *value, puna_error *err);

static inline uint64_t pn_cursor_left(const pn_cursor *cursor) {
    return cursor->file->bytes - cursor->pos;
}

#endif
