/* text_input.h: text that commands read: files, stdin, the prompt of -p and -f. */
#ifndef PUNA_CLI_TEXT_INPUT_H
#define PUNA_CLI_TEXT_INPUT_H

#include "cli_options.h"

typedef struct text {
    char *bytes; /* NUL-terminated, owned */
    size_t n_bytes;
} text;

/* Reads a whole file; "-" is stdin. Returns an exit status, after a message. */
int text_read_file(const char *path, text *out);
/* The prompt of -p, -f, or the piped stdin; -e is applied. One newline at the end of a file or
 * of stdin is dropped: editors and echo put it there. Refuses an empty prompt. */
int text_read_prompt(const options *o, text *out);
/* words[0..n) with single spaces between them. */
void text_join(char *const *words, int n_words, text *out);
/* \n \t \r \\ \" \' \xHH in place; returns the new length. */
size_t text_unescape(char *bytes, size_t n_bytes);

#endif
