/* input_history.c: what a person typed, from session to session. */
#define _POSIX_C_SOURCE 200809L /* O_NOFOLLOW, O_CLOEXEC, fdopen */
#include "input_history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic_file.h"
#include "cli_print.h"

static char *copy_bytes(const char *bytes, size_t n_bytes) {
    char *copy = need_memory(NULL, n_bytes + 1, 1);
    memcpy(copy, bytes, n_bytes);
    copy[n_bytes] = 0;
    return copy;
}

/* NULL when there is no home. */
static char *usual_path(void) {
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    bool own = state && *state == '/'; /* the specification ignores relative ones */
    if (!own && !(home && *home)) return NULL;
    size_t room = strlen(own ? state : home) + 40;
    char *path = need_memory(NULL, room, 1);
    snprintf(path, room, own ? "%s/puna/history" : "%s/.local/state/puna/history",
             own ? state : home);
    return path;
}

/* ---- entries as lines ------------------------------------------------------------------------ */

/* Writes the line of an entry, newline included, to `to` [2 * n_bytes + 1]; returns its end. */
static char *escape_entry(char *to, const char *entry, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
        bool newline = entry[i] == '\n';
        if (newline || entry[i] == '\\') *to++ = '\\';
        *to++ = newline ? 'n' : entry[i];
    }
    *to++ = '\n';
    return to;
}

/* In place; the line has no newline at its end. */
static void unescape_entry(char *line) {
    char *to = line;
    for (; *line; line++) {
        if (*line == '\\' && line[1]) {
            line++;
            *to++ = *line == 'n' ? '\n' : *line;
        } else {
            *to++ = *line;
        }
    }
    *to = 0;
}

static void push_entry(input_history *h, char *entry) {
    if (h->n_entries == HISTORY_MAX_ENTRIES) {
        free(h->entries[0]);
        memmove(h->entries, h->entries + 1, (h->n_entries - 1) * sizeof *h->entries);
        h->n_entries--;
    }
    h->entries = need_memory(h->entries, h->n_entries + 1, sizeof *h->entries);
    h->entries[h->n_entries++] = entry;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* The end of the file, NUL-terminated, or NULL. *cut: it is longer. */
static char *read_end(const char *path, size_t *n_bytes, bool *cut) {
    struct stat st;
    char *bytes = NULL;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *cut = st.st_size > HISTORY_MAX_FILE_BYTES;
        if (*cut && lseek(fd, -HISTORY_MAX_FILE_BYTES, SEEK_END) < 0) *cut = false;
        bytes = need_memory(NULL, HISTORY_MAX_FILE_BYTES + 1, 1);
        *n_bytes = 0;
        for (;;) {
            ssize_t n = read(fd, bytes + *n_bytes, HISTORY_MAX_FILE_BYTES - *n_bytes);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) break;
            *n_bytes += (size_t)n;
        }
        bytes[*n_bytes] = 0;
    }
    close(fd);
    return bytes;
}

/* True when the file holds more than is kept. */
static bool load_entries(input_history *h) {
    size_t n_bytes = 0;
    size_t n_lines = 0;
    bool cut = false;
    char *bytes = read_end(h->path, &n_bytes, &cut);
    char *line = bytes;
    if (!bytes) return false;
    if (cut) { /* the first line is a part */
        char *newline = strchr(line, '\n');
        line = newline ? newline + 1 : bytes + n_bytes;
    }
    while (*line) {
        size_t n = strcspn(line, "\n");
        bool whole = line[n] == '\n';
        line[n] = 0;
        if (n > 0 && n <= 2 * HISTORY_MAX_ENTRY_BYTES) {
            unescape_entry(line);
            push_entry(h, copy_bytes(line, strlen(line)));
            n_lines++;
        }
        line += n + whole;
    }
    free(bytes);
    return cut || n_lines > HISTORY_MAX_ENTRIES;
}

static void rewrite_file(const input_history *h) {
    size_t room = 1;
    for (size_t i = 0; i < h->n_entries; i++) room += 2 * strlen(h->entries[i]) + 1;
    char *bytes = need_memory(NULL, room, 1);
    char *end = bytes;
    for (size_t i = 0; i < h->n_entries; i++)
        end = escape_entry(end, h->entries[i], strlen(h->entries[i]));
    atomic_file_write(h->path, bytes, (size_t)(end - bytes)); /* best effort: it stays too long */
    free(bytes);
}

/* False with errno set. One write, so that lines of several sessions do not mix. */
static bool append_line(const char *path, const char *line, size_t n_bytes) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    if (fchmod(fd, 0600) != 0) errno = 0; /* somebody else's: then it stays as it is */
    ssize_t n = write(fd, line, n_bytes);
    int why = errno;
    close(fd);
    errno = n < 0 ? why : ENOSPC;
    return n == (ssize_t)n_bytes;
}

/* ---- public ---------------------------------------------------------------------------------- */

void input_history_open(input_history *h, const char *path) {
    *h = (input_history){.path = path ? copy_bytes(path, strlen(path)) : usual_path()};
    if (!h->path) return;
    if (!atomic_file_make_folders(h->path)) {
        print_note("no history is kept: cannot create the folder of %s: %s", h->path,
                   strerror(errno));
        free(h->path);
        h->path = NULL;
        return;
    }
    if (load_entries(h)) rewrite_file(h);
}

void input_history_add(input_history *h, const char *bytes, size_t n_bytes) {
    const char *last = h->n_entries ? h->entries[h->n_entries - 1] : "";
    if (n_bytes == 0 || n_bytes > HISTORY_MAX_ENTRY_BYTES || memchr(bytes, 0, n_bytes)) return;
    if (strlen(last) == n_bytes && memcmp(last, bytes, n_bytes) == 0) return;
    push_entry(h, copy_bytes(bytes, n_bytes));
    if (!h->path) return;
    char *line = need_memory(NULL, 2 * n_bytes + 1, 1);
    char *end = escape_entry(line, bytes, n_bytes);
    if (!append_line(h->path, line, (size_t)(end - line))) {
        print_note("no history is kept: cannot write %s: %s", h->path, strerror(errno));
        free(h->path);
        h->path = NULL;
    }
    free(line);
}

void input_history_close(input_history *h) {
    for (size_t i = 0; i < h->n_entries; i++) free(h->entries[i]);
    free(h->entries);
    free(h->path);
    *h = (input_history){0};
}
