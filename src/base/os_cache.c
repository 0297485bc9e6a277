/* os_cache.c: os.h's cache of the user: files that can be made again at any time. */
#define _POSIX_C_SOURCE 200809L /* mkstemp */
#include "base/os.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool pn_os_cache_path(const char *name, char *path, size_t path_bytes) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (cache && cache[0] == '/')
        n = snprintf(path, path_bytes, "%s/puna/%s", cache, name);
    else if (home && home[0] == '/')
        n = snprintf(path, path_bytes, "%s/.cache/puna/%s", home, name);
    return n > 0 && (size_t)n < path_bytes;
}

bool pn_os_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

static bool write_all(int fd, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes > 0) {
        const ssize_t n = write(fd, at, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* The folders above path, for this user alone; path is as before when it returns. */
static bool make_folders(char *path) {
    bool made = true;
    for (char *slash = path + 1; made && (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        made = mkdir(path, 0700) == 0 || errno == EEXIST || errno == EISDIR || errno == EROFS ||
               errno == EACCES; /* of one that is there; if it is not, the next step says so */
        *slash = '/';
    }
    return made;
}

puna_status pn_os_write(const char *path, const void *head, size_t head_bytes, const void *data,
                        size_t bytes, puna_error *err) {
    char temporary[1100];
    const int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return pn_fail(err, PUNA_E_ARG, "a path of %zu bytes is too long", strlen(path));
    const int fd = make_folders(temporary) ? mkstemp(temporary) : -1; /* mode 0600 */
    bool written = fd >= 0 && write_all(fd, head, head_bytes) && write_all(fd, data, bytes);
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && written) {
        written = false;
        why = errno;
    }
    if (written && rename(temporary, path) != 0) {
        written = false;
        why = errno;
    }
    if (written) return PUNA_OK;
    if (fd >= 0) (void)unlink(temporary);
    char name[PN_ESCAPED_BYTES];
    pn_escape(name, path, strlen(path));
    return pn_fail(err, PUNA_E_IO, "%.150s: cannot be written: %s", name, strerror(why));
}
