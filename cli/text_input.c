/* text_input.c: text that commands read: files, stdin, the prompt of -p and -f. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include "text_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_print.h"
#include "session.h"

static int read_stream(FILE *file, const char *name, text *out) {
    size_t room = 1 << 16;
    out->bytes = need_memory(NULL, room, 1);
    out->n_bytes = 0;
    for (;;) {
        size_t n = fread(out->bytes + out->n_bytes, 1, room - out->n_bytes - 1, file);
        out->n_bytes += n;
        if (session_interrupted()) return STATUS_INTERRUPTED;
        if (ferror(file)) {
            print_error("cannot read %s: %s", name, strerror(errno));
            return STATUS_FAILED;
        }
        if (n == 0) break;
        if (room - out->n_bytes < 2) {
            room *= 2;
            out->bytes = need_memory(out->bytes, room, 1);
        }
    }
    out->bytes[out->n_bytes] = 0;
    return STATUS_DONE;
}

int text_read_file(const char *path, text *out) {
    if (strcmp(path, "-") == 0) return read_stream(stdin, "standard input", out);
    FILE *file = fopen(path, "rb");
    if (!file) {
        print_error("cannot open %s: %s", path, errno == ENOENT ? "no such file" : strerror(errno));
        return STATUS_FAILED;
    }
    int status = read_stream(file, path, out);
    fclose(file);
    return status;
}

static void copy_text(const char *bytes, text *out) {
    out->n_bytes = strlen(bytes);
    out->bytes = need_memory(NULL, out->n_bytes + 1, 1);
    memcpy(out->bytes, bytes, out->n_bytes + 1);
}

int text_read_prompt(const options *o, text *out) {
    if (o->prompt && o->file) return print_usage_error("use -p or -f for the prompt, not both");
    if (o->prompt) {
        copy_text(o->prompt, out);
    } else {
        if (!o->file && isatty(STDIN_FILENO)) {
            return print_usage_error("no prompt: use -p \"TEXT\", -f FILE, or pipe a text in");
        }
        int status = text_read_file(o->file ? o->file : "-", out);
        if (status != STATUS_DONE) return status;
        if (out->n_bytes && out->bytes[out->n_bytes - 1] == '\n') out->bytes[--out->n_bytes] = 0;
    }
    if (o->escape) out->n_bytes = text_unescape(out->bytes, out->n_bytes);
    if (out->n_bytes == 0) {
        return print_usage_error("the prompt is empty: use -p \"TEXT\" or -f FILE with some text");
    }
    return STATUS_DONE;
}

void text_join(char *const *words, int n_words, text *out) {
    size_t room = 1;
    for (int i = 0; i < n_words; i++) room += strlen(words[i]) + 1;
    out->bytes = need_memory(NULL, room, 1);
    out->n_bytes = 0;
    for (int i = 0; i < n_words; i++) {
        size_t n = strlen(words[i]);
        if (i) out->bytes[out->n_bytes++] = ' ';
        memcpy(out->bytes + out->n_bytes, words[i], n);
        out->n_bytes += n;
    }
    out->bytes[out->n_bytes] = 0;
}

static int hex_digit(char c) {
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;
    int value = at ? (int)(at - digits) : -1;
    return value > 15 ? value - 6 : value;
}

size_t text_unescape(char *bytes, size_t n_bytes) {
    static const char from[] = "ntr\\\"'";
    static const char to[] = "\n\t\r\\\"'";
    size_t n = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        const char *known = NULL;
        if (bytes[i] == '\\' && i + 1 < n_bytes && bytes[i + 1]) known = strchr(from, bytes[i + 1]);
        if (known) {
            bytes[n++] = to[known - from];
            i++;
        } else if (bytes[i] == '\\' && i + 3 < n_bytes && bytes[i + 1] == 'x' &&
                   hex_digit(bytes[i + 2]) >= 0 && hex_digit(bytes[i + 3]) >= 0) {
            bytes[n++] = (char)(hex_digit(bytes[i + 2]) * 16 + hex_digit(bytes[i + 3]));
            i += 3;
        } else {
            bytes[n++] = bytes[i];
        }
    }
    bytes[n] = 0;
    return n;
}
