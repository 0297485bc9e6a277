/* hf_shared.c: blobs that the hub's Python client shares between repositories. */
#define _DEFAULT_SOURCE /* flock; with it POSIX 2008 */
#include "hf_shared.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dirs.h"

enum { HASH_DIGITS = 64, MAX_MANIFEST = 1024 * 1024, LINK_ROOM = 512 };

/* The cache's root and the folder of the contents, by descriptor; -1 where they are not. */
typedef struct store {
    int root;
    int prefix;
    char *entry; /* its own folder's name */
} store;

static void close_store(store *s) {
    if (s->root >= 0) close(s->root);
    if (s->prefix >= 0) close(s->prefix);
    free(s->entry);
}

static bool open_store(store *s, const char *folder, const char *hash) {
    const char *slash = strrchr(folder, '/');
    char *root = hub_copy_n(folder, slash ? (size_t)(slash - folder) : 0);
    char *below = hub_format("blobs/%.2s", hash);
    *s = (store){.prefix = -1, .entry = hub_copy(slash ? slash + 1 : folder)};
    s->root = open(*root ? root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int blobs = s->root >= 0 ? dirs_open_below(s->root, "blobs", false) : -1;
    char *mark = blobs >= 0 ? dirs_read_file(blobs, ".huggingface-shared-blobs", 16) : NULL;
    if (mark && strcmp(mark, "1\n") == 0) s->prefix = dirs_open_below(s->root, below, false);
    if (blobs >= 0) close(blobs);
    free(mark);
    free(root);
    free(below);
    return s->prefix >= 0;
}

/* Where the link name in dir goes: the hash at its end, or NULL. exact: only the relative form
 * that the layout prescribes. */
static char *link_hash(int dir, const char *name, bool exact) {
    char target[LINK_ROOM];
    ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
    if (n < HASH_DIGITS + 4) return NULL;
    target[n] = 0;
    const char *hash = target + n - HASH_DIGITS;
    if (hash[-1] != '/' || !text_made_of(hash, HEX_DIGITS, HASH_DIGITS)) return NULL;
    char *wanted = hub_format("../../blobs/%.2s/%s", hash, hash);
    bool good = !exact || strcmp(target, wanted) == 0;
    free(wanted);
    return good ? hub_copy(hash) : NULL;
}

char *hf_shared_target(const char *folder, int blobs, const char *name) {
    store s;
    char *hash = link_hash(blobs, name, true);
    if (!hash) return NULL;
    if (!open_store(&s, folder, hash)) hub_set(&hash, NULL);
    close_store(&s);
    return hash;
}

/* Does the line of a manifest still name a blob that links to the contents? */
static bool line_counts(const store *s, const char *line, const char *hash) {
    const char *name;
    if (line[0] == '/' || strstr(line, "..")) return false;
    int dir = dirs_open_parent(s->root, line, false, &name);
    char *found = dir >= 0 ? link_hash(dir, name, false) : NULL;
    bool counts = found && strcmp(found, hash) == 0;
    if (dir >= 0) close(dir);
    free(found);
    return counts;
}

/* How many blobs link to the contents, those of the line except left out; -1 when that cannot be
 * told. */
static int count_links(const store *s, const char *hash, const char *except) {
    char *name = hub_format("%s.refs", hash);
    char *manifest = dirs_read_file(s->prefix, name, MAX_MANIFEST);
    int n = manifest ? 0 : -1;
    free(name);
    for (char *line = manifest; line && *line;) {
        size_t length = strcspn(line, "\n");
        char *next = line + length + (line[length] == '\n');
        line[length] = 0;
        if ((!except || strcmp(line, except) != 0) && *line && line_counts(s, line, hash)) n++;
        line = next;
    }
    free(manifest);
    return n;
}

uint64_t hf_shared_bytes(const char *folder, const char *hash, const char *name) {
    store s;
    struct stat st;
    uint64_t bytes = 0;
    if (open_store(&s, folder, hash)) {
        char *ours = hub_format("%s/blobs/%s", s.entry, name);
        if (count_links(&s, hash, ours) == 0 &&
            fstatat(s.prefix, hash, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            bytes = (uint64_t)st.st_size;
        free(ours);
    }
    close_store(&s);
    return bytes;
}

uint64_t hf_shared_collect(const char *folder, const char *hash) {
    store s;
    struct stat st;
    uint64_t bytes = 0;
    char *lock_name = hub_format("%s.lock", hash);
    char *refs_name = hub_format("%s.refs", hash);
    if (open_store(&s, folder, hash)) {
        int lock = openat(s.prefix, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 && count_links(&s, hash, NULL) == 0 &&
            fstatat(s.prefix, hash, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            unlinkat(s.prefix, hash, 0) == 0) {
            unlinkat(s.prefix, refs_name, 0);
            bytes = (uint64_t)st.st_size;
        }
        if (lock >= 0) close(lock);
    }
    close_store(&s);
    free(lock_name);
    free(refs_name);
    return bytes;
}
