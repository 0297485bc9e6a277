/* line_reader.h: lines of a file, of a bounded length. */
#ifndef PUNA_CLI_LINE_READER_H
#define PUNA_CLI_LINE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct line_reader {
    FILE *file;
    size_t max_bytes; /* of a line; of a longer one only the beginning is kept */
    char *bytes;      /* [n_bytes] the line without its newline, NUL behind */
    size_t n_bytes, room;
    bool is_cut;   /* it was longer */
    bool is_ended; /* a newline came after it */
    uint64_t end;  /* bytes of the file up to here */
} line_reader;

/* The next line; false at the end of the file, or when it cannot be read (ferror says so). */
bool line_reader_next(line_reader *reader);
/* Frees the line; the file is the caller's. */
void line_reader_free(line_reader *reader);

#endif
