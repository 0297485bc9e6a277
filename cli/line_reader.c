/* line_reader.c: lines of a file, of a bounded length. */
#define _POSIX_C_SOURCE 200809L /* getc_unlocked */
#include "line_reader.h"

#include <stdlib.h>

#include "cli_print.h"

static void add_byte(line_reader *r, char byte) {
    if (r->n_bytes + 1 >= r->room) {
        r->room = r->room ? r->room * 2 : 4096;
        r->bytes = need_memory(r->bytes, r->room, 1);
    }
    r->bytes[r->n_bytes++] = byte;
}

bool line_reader_next(line_reader *r) {
    int c;
    r->n_bytes = 0;
    r->is_cut = r->is_ended = false;
    const uint64_t from = r->end;
    while ((c = getc_unlocked(r->file)) != EOF) {
        r->end++;
        r->is_ended = c == '\n';
        if (r->is_ended) break;
        r->is_cut |= r->n_bytes >= r->max_bytes;
        if (!r->is_cut) add_byte(r, (char)c);
    }
    if (r->end == from) return false;
    add_byte(r, 0);
    r->n_bytes--;
    return true;
}

void line_reader_free(line_reader *r) {
    free(r->bytes);
    r->bytes = NULL;
    r->room = r->n_bytes = 0;
}
