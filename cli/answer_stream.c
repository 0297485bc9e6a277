/* answer_stream.c: the text of an answer on its way to stdout. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include "answer_stream.h"

#include <string.h>
#include <unistd.h>

#include "cli_print.h"

static const char opening[] = "<think>";
static const char closing[] = "</think>";
enum { N_OPENING = sizeof opening - 1, N_CLOSING = sizeof closing - 1 };

void answer_stream_open(answer_stream *a) {
    *a = (answer_stream){.on_terminal = isatty(STDOUT_FILENO)};
    a->shades = a->on_terminal && print_in_colour();
}

static void shade(answer_stream *a, bool thinking) {
    if (a->shades && thinking != a->thinking) out_printf("%s", thinking ? "\033[2m" : "\033[0m");
    a->thinking = thinking;
}

void answer_stream_begin(answer_stream *a, bool thinking) {
    a->begun = thinking;
    a->n_held = a->n_mark = 0;
    shade(a, thinking);
}

/* Bytes up to the end of the closing mark, which may have begun in an earlier piece; n_bytes when
 * it does not end here. '<' is only at its beginning: one count is all there is to remember. */
static size_t find_closing(answer_stream *a, const char *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
        a->n_mark = bytes[i] == closing[a->n_mark] ? a->n_mark + 1 : bytes[i] == closing[0];
        if (a->n_mark == N_CLOSING) return i + 1;
    }
    return n_bytes;
}

static void write_part(const answer_stream *a, const char *bytes, size_t n_bytes) {
    if (a->on_terminal) {
        out_shown(bytes, n_bytes);
    } else {
        out_write(bytes, n_bytes);
    }
}

static void write_text(answer_stream *a, const char *bytes, size_t n_bytes) {
    if (a->thinking) {
        size_t n_thought = find_closing(a, bytes, n_bytes);
        write_part(a, bytes, n_thought);
        if (a->n_mark == N_CLOSING) shade(a, false);
        bytes += n_thought;
        n_bytes -= n_thought;
    }
    write_part(a, bytes, n_bytes);
}

/* Takes what may be the opening mark off the text; the answer begins when that is decided. */
static size_t hold_opening(answer_stream *a, const char *bytes, size_t n_bytes) {
    size_t n = 0;
    while (n < n_bytes && a->n_held < N_OPENING && bytes[n] == opening[a->n_held])
        a->held[a->n_held++] = bytes[n++];
    a->begun = n < n_bytes || a->n_held == N_OPENING;
    if (a->begun) {
        shade(a, a->n_held == N_OPENING);
        write_text(a, a->held, a->n_held);
        a->n_held = 0;
    }
    return n;
}

bool answer_stream_write(answer_stream *a, const char *bytes, size_t n_bytes) {
    size_t n_held = a->begun ? 0 : hold_opening(a, bytes, n_bytes);
    if (a->begun) write_text(a, bytes + n_held, n_bytes - n_held);
    return out_flush();
}

void answer_stream_end(answer_stream *a) {
    write_part(a, a->held, a->n_held);
    a->n_held = 0;
    shade(a, false);
    out_flush();
}
