/* input_history.h: what a person typed, from session to session.
 *
 * The file is $XDG_STATE_HOME/puna/history (~/.local/state/puna/history): one entry a line, oldest
 * first, newline and backslash inside an entry written as \n and \\. Only the user may read it.
 * Entries are appended as they are typed, so that sessions side by side do not overwrite each
 * other; opening cuts the file to its last MAX_ENTRIES. Failing to keep a history is never an
 * error. */
#ifndef PUNA_CLI_INPUT_HISTORY_H
#define PUNA_CLI_INPUT_HISTORY_H

#include <stddef.h>

enum {
    HISTORY_MAX_ENTRIES = 1000,
    HISTORY_MAX_ENTRY_BYTES = 16 << 10, /* longer ones are not kept */
    HISTORY_MAX_FILE_BYTES = 1 << 20    /* only the end of a longer file is read */
};

typedef struct input_history {
    char *path;     /* NULL: nothing is kept */
    char **entries; /* as typed, oldest first */
    size_t n_entries;
} input_history;

/* path: NULL for the usual place. Creates the folder where it is missing. */
void input_history_open(input_history *h, const char *path);
/* Adds an entry and appends it to the file, except one that repeats the last. */
void input_history_add(input_history *h, const char *bytes, size_t n_bytes);
void input_history_close(input_history *h);

#endif
