/* hf_cache.c: the hub's cache on disk, in the layout of its Python client. */
#define _POSIX_C_SOURCE 200809L /* openat */
#include "hf_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dirs.h"
#include "hf_shared.h"
#include "names.h"

enum { MAX_DEPTH = 8, MAX_ENTRIES = 100000, MAX_REF_BYTES = 100 };

static const char repo_prefix[] = "models--";

/* ---- repositories ---------------------------------------------------------------------------- */

static char *folder_name(const char *repo) {
    size_t n_org = strcspn(repo, "/");
    return hub_format("%s%.*s--%s", repo_prefix, (int)n_org, repo, repo + n_org + 1);
}

/* "models--org--name" is org/name; NULL for anything else. */
static char *repo_name(const char *folder) {
    if (!text_starts(folder, repo_prefix)) return NULL;
    const char *org = folder + sizeof repo_prefix - 1;
    const char *dashes = strstr(org, "--");
    if (!dashes) return NULL;
    char *repo = hub_format("%.*s/%s", (int)(dashes - org), org, dashes + 2);
    if (!names_is_repo(repo)) hub_set(&repo, NULL);
    return repo;
}

static hub_status cannot(const hf_repo *r, const char *doing, const char *what, hub_error *err) {
    return hub_fail(err, HUB_FAILED, "cannot %s %s/%s: %s", doing, r->folder, what,
                    errno == ELOOP ? "a symbolic link is in the way" : strerror(errno));
}

/* So that backup programs leave the cache out, as the Python client does. */
static void tag_cache(const char *root) {
    static const char tag[] =
        "Signature: 8a477f597d28d172789f06886806bc55\n"
        "# This file marks a cache of downloaded files. See https://bford.info/cachedir/\n";
    char *path = hub_format("%s/CACHEDIR.TAG", root);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
        if (write(fd, tag, sizeof tag - 1) < 0) unlink(path);
        close(fd);
    }
    free(path);
}

hub_status hf_repo_open(hf_repo *r, const char *root, const char *repo, bool create,
                        hub_error *err) {
    char *folder = folder_name(repo);
    *r = (hf_repo){.name = hub_copy(repo),
                   .folder = hub_format("%s/%s", root, folder),
                   .locks = hub_format("%s/.locks/%s", root, folder),
                   .fd = -1,
                   .blobs = -1};
    free(folder);
    r->fd = create ? dirs_make(r->folder) : open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    hub_status status = HUB_OK;
    if (r->fd < 0) {
        status = hub_fail(err, create ? HUB_FAILED : HUB_NOT_HERE, "cannot open the folder %s: %s",
                          r->folder, strerror(errno));
    } else {
        r->blobs = dirs_open_below(r->fd, "blobs", create);
        if (r->blobs < 0 && create) status = cannot(r, "make", "blobs", err);
    }
    if (status == HUB_OK && create) tag_cache(root);
    if (status != HUB_OK) hf_repo_close(r);
    return status;
}

void hf_repo_close(hf_repo *r) {
    if (r->fd >= 0) close(r->fd);
    if (r->blobs >= 0) close(r->blobs);
    free(r->name);
    free(r->folder);
    free(r->locks);
    *r = (hf_repo){.fd = -1, .blobs = -1};
}

void hf_cache_repos(const char *root, string_list *out) {
    string_list names;
    *out = (string_list){0};
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    dirs_list(fd, MAX_ENTRIES, &names);
    close(fd);
    for (size_t i = 0; i < names.n; i++) {
        char *repo = repo_name(names.items[i]);
        if (repo) string_list_add(out, repo);
    }
    string_list_clear(&names);
}

/* ---- locks ----------------------------------------------------------------------------------- */

hub_status hf_repo_lock(const hf_repo *r, const char *etag, const hub_host *host, int *fd,
                        hub_error *err) {
    char *name = hub_format("%s.lock", etag);
    int dir = dirs_make(r->locks);
    *fd = -1;
    hub_status status =
        dir >= 0 ? dirs_lock(dir, r->locks, name, host, fd, err)
                 : hub_fail(err, HUB_FAILED, "cannot make %s: %s", r->locks, strerror(errno));
    if (dir >= 0) close(dir);
    free(name);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

bool hf_repo_has_blob(const hf_repo *r, const char *etag, uint64_t *size) {
    struct stat st;
    if (r->blobs < 0 || fstatat(r->blobs, etag, &st, 0) != 0 || !S_ISREG(st.st_mode)) return false;
    *size = (uint64_t)st.st_size;
    return true;
}

hub_status hf_repo_finish_blob(const hf_repo *r, const char *partial, const char *etag,
                               hub_error *err) {
    if (renameat(r->blobs, partial, r->blobs, etag) == 0) return HUB_OK;
    return cannot(r, "write", etag, err);
}

/* The link's target as seen from snapshots/commit/path: ../../blobs/etag, one ../ more for every
 * folder in path. */
static char *link_target(const char *path, const char *etag) {
    char *target = hub_format("../../blobs/%s", etag);
    for (const char *at = path; *at; at++) {
        if (*at == '/') hub_set(&target, hub_format("../%s", target));
    }
    return target;
}

/* Puts link name in dir in place of what is there. Where links cannot be made, the blob itself
 * moves, as the Python client does. */
static int place_link(const hf_repo *r, int dir, const char *name, const char *target,
                      const char *etag) {
    char *temporary = hub_format(".%ld.tmp", (long)getpid());
    unlinkat(dir, temporary, 0);
    int result = symlinkat(target, dir, temporary);
    if (result == 0) {
        result = renameat(dir, temporary, dir, name);
        if (result != 0) unlinkat(dir, temporary, 0);
    } else if (errno == EPERM || errno == ENOTSUP || errno == EOPNOTSUPP || errno == ENOSYS) {
        result = renameat(r->blobs, etag, dir, name);
    }
    free(temporary);
    return result;
}

hub_status hf_repo_link(const hf_repo *r, const char *commit, const char *path, const char *etag,
                        hub_error *err) {
    char *below = hub_format("snapshots/%s/%s", commit, path);
    char *target = link_target(path, etag);
    char there[512];
    const char *name;
    hub_status status = HUB_OK;
    int dir = dirs_open_parent(r->fd, below, true, &name);
    if (dir < 0) {
        status = cannot(r, "make the folder of", below, err);
    } else {
        ssize_t n = readlinkat(dir, name, there, sizeof there);
        bool same = n == (ssize_t)strlen(target) && memcmp(there, target, (size_t)n) == 0;
        if (!same && place_link(r, dir, name, target, etag) != 0)
            status = cannot(r, "link", below, err);
        close(dir);
    }
    free(target);
    free(below);
    return status;
}

hub_status hf_repo_set_ref(const hf_repo *r, const char *revision, const char *commit,
                           hub_error *err) {
    if (strcmp(revision, commit) == 0) return HUB_OK;
    char *known = hf_repo_get_ref(r, revision);
    bool same = known && strcmp(known, commit) == 0;
    free(known);
    if (same) return HUB_OK;
    char *path = hub_format("refs/%s", revision);
    const char *name;
    int dir = dirs_open_parent(r->fd, path, true, &name);
    hub_status status = HUB_OK;
    if (dir < 0 || dirs_write_file(dir, name, commit) != 0) status = cannot(r, "write", path, err);
    if (dir >= 0) close(dir);
    free(path);
    return status;
}

char *hf_repo_get_ref(const hf_repo *r, const char *revision) {
    char *path = hub_format("refs/%s", revision);
    const char *name;
    int dir = dirs_open_parent(r->fd, path, false, &name);
    char *commit = dir >= 0 ? dirs_read_file(dir, name, MAX_REF_BYTES) : NULL;
    if (dir >= 0) close(dir);
    free(path);
    if (commit) commit[strcspn(commit, " \r\n")] = 0;
    if (commit && !names_is_commit(commit)) hub_set(&commit, NULL);
    return commit;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void add_file(cached_files *out, const char *commit, const char *path, int dir,
                     const char *name) {
    struct stat st;
    char target[512];
    if (fstatat(dir, name, &st, 0) != 0 || !S_ISREG(st.st_mode)) return; /* a dangling link */
    if ((out->n & (out->n - 1)) == 0) { /* full at every power of two */
        out->items = hub_memory(out->items, out->n ? out->n * 2 : 1, sizeof *out->items);
    }
    ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
    target[n < 0 ? 0 : n] = 0;
    const char *slash = strrchr(target, '/');
    out->items[out->n++] = (cached_file){.commit = hub_copy(commit),
                                         .path = hub_copy(path),
                                         .etag = hub_copy(slash ? slash + 1 : ""),
                                         .bytes = (uint64_t)st.st_size,
                                         .when = st.st_mtime};
}

static void scan_folder(cached_files *out, const char *commit, int dir, const char *prefix,
                        int depth) {
    string_list names;
    dirs_list(dir, MAX_ENTRIES, &names);
    for (size_t i = 0; i < names.n && out->n < MAX_ENTRIES; i++) {
        struct stat st;
        char *path = hub_format("%s%s", prefix, names.items[i]);
        if (fstatat(dir, names.items[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
            char *deeper = hub_format("%s/", path);
            int fd = depth > 0 ? dirs_open_below(dir, names.items[i], false) : -1;
            if (fd >= 0) scan_folder(out, commit, fd, deeper, depth - 1);
            if (fd >= 0) close(fd);
            free(deeper);
        } else {
            add_file(out, commit, path, dir, names.items[i]);
        }
        free(path);
    }
    string_list_clear(&names);
}

/* Snapshots, newest first. */
typedef struct snapshot {
    char *commit;
    time_t when;
} snapshot;

static int newest_first(const void *a, const void *b) {
    const snapshot *x = a;
    const snapshot *y = b;
    return x->when < y->when ? 1 : x->when > y->when ? -1 : strcmp(x->commit, y->commit);
}

void hf_repo_scan(const hf_repo *r, cached_files *out) {
    string_list commits;
    *out = (cached_files){0};
    int snapshots = dirs_open_below(r->fd, "snapshots", false);
    if (snapshots < 0) return;
    dirs_list(snapshots, MAX_ENTRIES, &commits);
    snapshot *list = hub_memory(NULL, commits.n, sizeof *list);
    for (size_t i = 0; i < commits.n; i++) {
        struct stat st = {0};
        fstatat(snapshots, commits.items[i], &st, 0);
        list[i] = (snapshot){commits.items[i], st.st_mtime};
    }
    if (commits.n > 1) qsort(list, commits.n, sizeof *list, newest_first);
    for (size_t i = 0; i < commits.n; i++) {
        int fd = names_is_commit(list[i].commit) ? dirs_open_below(snapshots, list[i].commit, false)
                                                 : -1;
        if (fd < 0) continue;
        scan_folder(out, list[i].commit, fd, "", MAX_DEPTH);
        close(fd);
    }
    free(list);
    string_list_clear(&commits);
    close(snapshots);
}

void hf_cache_of_commit(const cached_files *all, const char *commit, cached_files *out) {
    *out = (cached_files){.items = hub_memory(NULL, all->n, sizeof *out->items),
                          .paths = hub_memory(NULL, all->n, sizeof *out->paths)};
    for (size_t i = 0; i < all->n; i++) {
        if (strcmp(all->items[i].commit, commit) != 0) continue;
        out->paths[out->n] = all->items[i].path;
        out->items[out->n++] = all->items[i];
    }
}

void cached_files_forget(cached_files *files) {
    free(files->items);
    free(files->paths);
    *files = (cached_files){0};
}

void cached_files_clear(cached_files *files) {
    for (size_t i = 0; i < files->n; i++) {
        free(files->items[i].commit);
        free(files->items[i].path);
        free(files->items[i].etag);
    }
    cached_files_forget(files);
}

bool hf_repo_is_busy(const hf_repo *r, const char *etag) {
    string_list names;
    bool busy = false;
    int dir = open(r->locks, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return false;
    dirs_list(dir, MAX_ENTRIES, &names);
    for (size_t i = 0; i < names.n && !busy; i++) {
        size_t n = strcspn(names.items[i], ".");
        if (!etag || (strlen(etag) == n && strncmp(names.items[i], etag, n) == 0))
            busy = dirs_is_locked(dir, names.items[i]);
    }
    string_list_clear(&names);
    close(dir);
    return busy;
}

void hf_repo_unfinished(const hf_repo *r, string_list *names, uint64_t *bytes) {
    string_list all;
    *names = (string_list){0};
    *bytes = 0;
    if (r->blobs < 0) return;
    dirs_list(r->blobs, MAX_ENTRIES, &all);
    for (size_t i = 0; i < all.n; i++) {
        struct stat st;
        if (!text_ends(all.items[i], ".incomplete") ||
            fstatat(r->blobs, all.items[i], &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        char *etag = hub_copy_n(all.items[i], strcspn(all.items[i], "."));
        bool busy = hf_repo_is_busy(r, etag);
        free(etag);
        if (busy) continue;
        string_list_add(names, hub_copy(all.items[i]));
        *bytes += (uint64_t)st.st_size;
    }
    string_list_clear(&all);
}

/* ---- removing -------------------------------------------------------------------------------- */

hub_status hf_repo_unlink(const hf_repo *r, const char *commit, const char *path, hub_error *err) {
    char *below = hub_format("snapshots/%s/%s", commit, path);
    hub_status status = HUB_OK;
    if (dirs_remove_file(r->fd, below) != 0 && errno != ENOENT)
        status = cannot(r, "remove", below, err);
    free(below);
    return status;
}

hub_status hf_repo_remove_blob(const hf_repo *r, const char *name, bool dry, uint64_t *freed,
                               hub_error *err) {
    struct stat st;
    char *what = hub_format("blobs/%s", name);
    hub_status status = HUB_OK;
    *freed = 0;
    if (fstatat(r->blobs, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) status = cannot(r, "remove", what, err);
    } else if (S_ISLNK(st.st_mode)) {
        char *shared = hf_shared_target(r->folder, r->blobs, name);
        if (shared) *freed = hf_shared_bytes(r->folder, shared, name);
        if (!dry && unlinkat(r->blobs, name, 0) != 0) {
            status = cannot(r, "remove", what, err);
        } else if (!dry && shared) {
            *freed = hf_shared_collect(r->folder, shared);
        }
        free(shared);
    } else {
        *freed = (uint64_t)st.st_size;
        if (!dry && unlinkat(r->blobs, name, 0) != 0) status = cannot(r, "remove", what, err);
    }
    free(what);
    return status;
}

void hf_repo_remove_rest(const char *root, const char *repo) {
    char *folder = folder_name(repo);
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        int locks = dirs_open_below(fd, ".locks", false);
        dirs_remove_tree(fd, folder, MAX_DEPTH + 2);
        if (locks >= 0) dirs_remove_tree(locks, folder, 2);
        if (locks >= 0) close(locks);
        close(fd);
    }
    free(folder);
}
