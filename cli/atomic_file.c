/* atomic_file.c: files that are either as they were or wholly new. */
#define _POSIX_C_SOURCE 200809L /* mkstemp, fsync, lstat */
#include "atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_print.h"

static bool write_all(int fd, const char *bytes, size_t n_bytes) {
    while (n_bytes > 0) {
        ssize_t n = write(fd, bytes, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

/* So that the new name survives a power cut too; some file systems refuse, which costs no data. */
static void sync_folder_of(char *path) {
    char *slash = strrchr(path, '/');
    if (slash) *(slash == path ? slash + 1 : slash) = 0;
    int fd = open(slash ? path : ".", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (fsync(fd) != 0) errno = 0;
    close(fd);
}

bool atomic_file_write(const char *path, const char *bytes, size_t n_bytes) {
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EEXIST;
        return false;
    }
    size_t room = strlen(path) + sizeof ".XXXXXX";
    char *temporary = need_memory(NULL, room, 1);
    snprintf(temporary, room, "%s.XXXXXX", path);
    int fd = mkstemp(temporary); /* mode 0600 */
    bool written = fd >= 0 && write_all(fd, bytes, n_bytes) && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && written) {
        written = false;
        why = errno;
    }
    if (written && rename(temporary, path) != 0) {
        written = false;
        why = errno;
    }
    if (written) {
        sync_folder_of(temporary);
    } else if (fd >= 0) {
        unlink(temporary);
    }
    free(temporary);
    errno = why;
    return written;
}

bool atomic_file_make_folders(const char *path) {
    size_t n = strlen(path);
    char *folder = need_memory(NULL, n + 1, 1);
    bool made = true;
    memcpy(folder, path, n + 1);
    for (size_t i = 1; made && i < n; i++) {
        if (path[i] != '/') continue;
        folder[i] = 0;
        made = mkdir(folder, 0700) == 0 || errno == EEXIST;
        folder[i] = '/';
    }
    free(folder);
    return made;
}
