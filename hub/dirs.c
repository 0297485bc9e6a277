/* dirs.c: folders by descriptor, without following symbolic links. */
#define _DEFAULT_SOURCE /* flock; with it POSIX 2008 */
#include "dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const int folder_flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

int dirs_make(const char *path) {
    char *part = hub_copy(path);
    int result = 0;
    for (char *at = part + 1; result == 0; at++) {
        at += strcspn(at, "/");
        char c = *at;
        *at = 0;
        if (*part && mkdir(part, 0777) != 0 && errno != EEXIST) result = -1;
        *at = c;
        if (!c) break;
    }
    /* what counts is whether it is there: a parent that may not be written is no fault */
    int fd = open(path, folder_flags);
    free(part);
    return fd;
}

int dirs_open_below(int dir, const char *path, bool create) {
    int fd = openat(dir, ".", folder_flags);
    while (fd >= 0 && *path && strcmp(path, ".") != 0) {
        size_t n = strcspn(path, "/");
        char *part = hub_copy_n(path, n);
        if (create && mkdirat(fd, part, 0777) != 0 && errno != EEXIST) {
            free(part);
            close(fd);
            return -1;
        }
        int next = openat(fd, part, folder_flags | O_NOFOLLOW);
        int code = errno;
        free(part);
        close(fd);
        errno = code;
        fd = next;
        path += n + (path[n] == '/');
    }
    return fd;
}

int dirs_open_parent(int dir, const char *path, bool create, const char **name) {
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    char *folder = hub_copy_n(path, slash ? (size_t)(slash - path) : 0);
    int fd = dirs_open_below(dir, folder, create);
    int code = errno;
    free(folder);
    errno = code;
    return fd;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void dirs_list(int dir, size_t max, string_list *out) {
    int fd = openat(dir, ".", folder_flags);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    *out = (string_list){0};
    if (!stream) {
        if (fd >= 0) close(fd);
        return;
    }
    for (struct dirent *entry; out->n < max && (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            string_list_add(out, hub_copy(entry->d_name));
    }
    closedir(stream);
    if (out->n > 1) qsort(out->items, out->n, sizeof *out->items, by_text);
}

int dirs_remove_file(int dir, const char *path) {
    const char *name;
    int fd = dirs_open_parent(dir, path, false, &name);
    if (fd < 0) return -1;
    int result = unlinkat(fd, name, 0);
    int code = errno;
    close(fd);
    char *folder = hub_copy(path);
    for (char *slash; result == 0 && (slash = strrchr(folder, '/'));) {
        *slash = 0;
        fd = dirs_open_parent(dir, folder, false, &name);
        bool gone = fd >= 0 && unlinkat(fd, name, AT_REMOVEDIR) == 0;
        if (fd >= 0) close(fd);
        if (!gone) break;
    }
    free(folder);
    errno = code;
    return result;
}

void dirs_remove_tree(int dir, const char *name, int depth) {
    if (unlinkat(dir, name, 0) == 0 || depth == 0) return;
    int fd = openat(dir, name, folder_flags | O_NOFOLLOW);
    if (fd < 0) return;
    string_list names;
    dirs_list(fd, SIZE_MAX, &names);
    for (size_t i = 0; i < names.n; i++) dirs_remove_tree(fd, names.items[i], depth - 1);
    string_list_clear(&names);
    close(fd);
    unlinkat(dir, name, AT_REMOVEDIR);
}

static bool no_locks_here(int code) {
    return code == ENOSYS || code == ENOTSUP || code == EOPNOTSUPP || code == ENOLCK ||
           code == EINVAL;
}

hub_status dirs_lock(int dir, const char *folder, const char *name, const hub_host *host, int *fd,
                     hub_error *err) {
    bool told = false;
    for (;;) {
        struct stat st;
        *fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0664);
        if (*fd < 0)
            return hub_fail(err, HUB_FAILED, "cannot lock %s/%s: %s", folder, name,
                            strerror(errno));
        bool locked = flock(*fd, LOCK_EX | LOCK_NB) == 0;
        int code = locked ? 0 : errno;
        /* a lock on a file that was removed meanwhile locks nobody out */
        if (locked && fstat(*fd, &st) == 0 && st.st_nlink > 0) return HUB_OK;
        close(*fd);
        *fd = -1;
        if (!locked && no_locks_here(code)) return HUB_OK;
        if (!locked && !told) {
            told = true;
            host_note(host, "another download of this file is under way; waiting for it");
        }
        if (!host_wait(host, 0.1)) return hub_fail(err, HUB_STOPPED, "interrupted");
    }
}

bool dirs_is_locked(int dir, const char *name) {
    int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0) close(fd);
    return locked;
}

int dirs_write_file(int dir, const char *name, const char *text) {
    char *temporary = hub_format(".%s.%ld.tmp", name, (long)getpid());
    size_t n = strlen(text);
    int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    int result = fd >= 0 && write(fd, text, n) == (ssize_t)n ? 0 : -1;
    int code = errno;
    if (fd >= 0 && close(fd) != 0) result = -1;
    if (result == 0 && renameat(dir, temporary, dir, name) != 0) {
        code = errno;
        result = -1;
    }
    if (result != 0 && fd >= 0) unlinkat(dir, temporary, 0);
    free(temporary);
    errno = code;
    return result;
}

static char *read_all(int fd, size_t max) {
    char *text = hub_memory(NULL, max + 1, 1);
    size_t n = 0;
    ssize_t got;
    while (n < max && (got = read(fd, text + n, max - n)) > 0) n += (size_t)got;
    char one;
    bool whole = n < max || read(fd, &one, 1) == 0;
    close(fd);
    text[n] = 0;
    if (!whole || strlen(text) != n) hub_set(&text, NULL);
    return text;
}

char *dirs_read_file(int dir, const char *name, size_t max) {
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    return fd >= 0 ? read_all(fd, max) : NULL;
}

char *dirs_read_link(const char *path, size_t max) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd >= 0 ? read_all(fd, max) : NULL;
}
