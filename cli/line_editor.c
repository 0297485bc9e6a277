/* line_editor.c: lines of text from a person at a terminal: editing where there is a library for
 * it, plain lines elsewhere. */
#define _POSIX_C_SOURCE 200809L /* isatty, getline */
#include "line_editor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_print.h"
#include "line_editing.h"
#include "session.h"

bool line_editor_possible(void) {
    return isatty(STDIN_FILENO) && (isatty(STDOUT_FILENO) || isatty(STDERR_FILENO));
}

void line_editor_open(line_editor *e, input_history *history, line_complete_fn *complete) {
    *e = (line_editor){.screen = isatty(STDOUT_FILENO) ? stdout : stderr,
                       .colours = print_in_colour(),
                       .complete = complete,
                       .history = history};
    e->editing = editing_open(e);
    for (size_t i = 0; e->editing && history && i < history->n_entries; i++)
        editing_remember(e->editing, history->entries[i]);
}

void line_editor_close(line_editor *e) {
    if (e->editing) editing_close(e->editing);
    *e = (line_editor){0};
}

static line_result read_plain(const line_editor *e, const char *prompt, text *out) {
    size_t room = 0;
    fputs(prompt, e->screen);
    fflush(e->screen);
    *out = (text){0};
    errno = 0;
    ssize_t n = getline(&out->bytes, &room, stdin);
    if (n >= 0) {
        if (n > 0 && out->bytes[n - 1] == '\n') out->bytes[--n] = 0;
        out->n_bytes = (size_t)n;
        return LINE_READ;
    }
    free(out->bytes);
    *out = (text){0};
    clearerr(stdin);
    return session_interrupted() ? LINE_INTERRUPTED : LINE_END;
}

line_result line_editor_read(line_editor *e, const char *prompt, text *out) {
    line_result result =
        e->editing ? editing_read(e->editing, prompt, out) : read_plain(e, prompt, out);
    if (result == LINE_READ) return result;
    fputs(result == LINE_INTERRUPTED && e->editing ? "^C\n" : "\n", e->screen);
    fflush(e->screen);
    return result;
}

void line_editor_remember(line_editor *e, const char *bytes, size_t n_bytes) {
    if (!e->history) return;
    size_t n_before = e->history->n_entries;
    input_history_add(e->history, bytes, n_bytes);
    bool added = e->history->n_entries > n_before || n_before == HISTORY_MAX_ENTRIES;
    if (e->editing && added)
        editing_remember(e->editing, e->history->entries[e->history->n_entries - 1]);
}
