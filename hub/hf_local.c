/* hf_local.c: files of a repository in a plain folder. */
#define _POSIX_C_SOURCE 200809L /* openat, clock_gettime */
#include "hf_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest.h"
#include "dirs.h"

static const char notes[] = ".cache/huggingface/download";

static hub_status cannot(const char *doing, const char *path, hub_error *err) {
    return hub_fail(err, HUB_FAILED, "cannot %s %s: %s", doing, path,
                    errno == ELOOP ? "a symbolic link is in the way" : strerror(errno));
}

hub_status hf_local_open(hf_local *l, const char *dir, hub_error *err) {
    *l = HF_LOCAL_CLOSED;
    l->root = dirs_make(dir);
    return l->root >= 0 ? HUB_OK : cannot("open the folder", dir, err);
}

static void forget_file(hf_local *l) {
    if (l->work >= 0) close(l->work);
    if (l->lock >= 0) close(l->lock);
    free(l->work_path);
    free(l->partial);
    free(l->path);
    free(l->commit);
    free(l->etag);
    *l = (hf_local){.root = l->root, .work = -1, .lock = -1};
}

void hf_local_close(hf_local *l) {
    forget_file(l);
    if (l->root >= 0) close(l->root);
    *l = HF_LOCAL_CLOSED;
}

/* The file itself, opened for reading; -1 when it is not there. */
static int open_file(const hf_local *l, const char *path) {
    const char *name;
    int dir = dirs_open_parent(l->root, path, false, &name);
    int fd = dir >= 0 ? openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (dir >= 0) close(dir);
    return fd;
}

bool hf_local_has(const hf_local *l, const char *path) {
    int fd = open_file(l, path);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static hub_status take_lock(hf_local *l, const char *name, const hub_host *host, hub_error *err) {
    char *lock_name = hub_format("%s.lock", name);
    hub_status status = dirs_lock(l->work, l->work_path, lock_name, host, &l->lock, err);
    free(lock_name);
    return status;
}

static bool has_hash(int fd, const char *etag) {
    char found[DIGEST_HEX_CHARS];
    return digest_file_sha256(fd, found) && strcmp(found, etag) == 0;
}

/* Is the file that is there this version? The notes say so while the file is no younger than
 * they are; without notes its hash does. */
static bool is_there(const hf_local *l, const char *name) {
    struct stat st;
    int fd = open_file(l, l->path);
    bool same = false;
    if (fd < 0) return false;
    char *note_name = hub_format("%s.metadata", name);
    char *note = dirs_read_file(l->work, note_name, 1024);
    char *etag = note ? strchr(note, '\n') : NULL;
    char *when = etag ? strchr(etag + 1, '\n') : NULL;
    if (when && fstat(fd, &st) == 0 && (double)st.st_mtime - 1 <= strtod(when + 1, NULL)) {
        *when = 0;
        same = strcmp(etag + 1, l->etag) == 0;
    } else if (strlen(l->etag) == 64) {
        same = has_hash(fd, l->etag);
    }
    close(fd);
    free(note);
    free(note_name);
    return same;
}

hub_status hf_local_begin(hf_local *l, const char *path, const char *commit, const char *etag,
                          const hub_host *host, bool *there, hub_error *err) {
    char *below = hub_format("%s/%s", notes, path);
    const char *name;
    l->path = hub_copy(path);
    l->commit = hub_copy(commit);
    l->etag = hub_copy(etag);
    l->partial = hub_format("%s.incomplete", etag);
    l->work_path = hub_copy(notes);
    l->work = dirs_open_parent(l->root, below, true, &name);
    hub_status status = l->work >= 0 ? HUB_OK : cannot("make the folder of", below, err);
    if (status == HUB_OK) status = take_lock(l, name, host, err);
    if (status == HUB_OK) *there = is_there(l, name);
    free(below);
    if (status != HUB_OK) forget_file(l);
    return status;
}

static hub_status put_in_place(const hf_local *l, hub_error *err) {
    const char *name;
    int dir = dirs_open_parent(l->root, l->path, true, &name);
    hub_status status = HUB_OK;
    if (dir < 0 || renameat(l->work, l->partial, dir, name) != 0)
        status = cannot("write", l->path, err);
    if (dir >= 0) close(dir);
    return status;
}

static hub_status write_notes(const hf_local *l, hub_error *err) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const char *slash = strrchr(l->path, '/');
    char *name = hub_format("%s.metadata", slash ? slash + 1 : l->path);
    char *text = hub_format("%s\n%s\n%lld.%06ld\n", l->commit, l->etag, (long long)now.tv_sec,
                            now.tv_nsec / 1000);
    hub_status status = HUB_OK;
    if (dirs_write_file(l->work, name, text) != 0) status = cannot("write", name, err);
    free(name);
    free(text);
    return status;
}

hub_status hf_local_end(hf_local *l, bool keep, bool fetched, hub_status status, hub_error *err) {
    if (keep && fetched) status = put_in_place(l, err);
    if (keep && status == HUB_OK) status = write_notes(l, err);
    forget_file(l);
    return status;
}
