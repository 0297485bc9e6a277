/* hf_pull.c: from a name on the Hugging Face hub to files on disk.
 *
 * The commit that the first file's HEAD names is used for all the others, so that parts of one
 * model never come from different versions. Order of writing: blob (verified, renamed), link, and
 * the branch's commit in refs/ last; whenever it is broken off, what is there is right. */
#define _POSIX_C_SOURCE 200809L /* openat */
#include "hf_pull.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch.h"
#include "hf_api.h"
#include "hf_cache.h"
#include "hf_local.h"
#include "quants.h"

static quant_wish make_wish(const hub_request *request, const model_name *name) {
    return (quant_wish){.where = name->repo,
                        .quant = request->glob ? NULL : name->quant,
                        .file = request->glob ? NULL : name->file,
                        .glob = request->glob};
}

static const char *wanted_revision(const hub_request *request, const model_name *name) {
    return request->revision ? request->revision : name->revision;
}

/* The name that finds the model again: org/repo:QUANT, or with the file where that is not
 * enough; @revision where one was asked for. */
static char *full_name(const char *repo, const char *path, const char *revision,
                       const char *const *paths, size_t n_paths) {
    char label[QUANT_CHARS];
    size_t *firsts = NULL;
    quant_label(path, label);
    quant_wish same = {.where = repo, .quant = label};
    bool unique =
        label[0] && quant_is_model(path) && quant_matches(&same, paths, n_paths, &firsts) == 1;
    free(firsts);
    return hub_format("%s:%s%s%s", repo, unique ? label : path, revision ? "@" : "",
                      revision ? revision : "");
}

static void describe(hub_model *out, char *name, const char *first_path, const char *commit) {
    char label[QUANT_CHARS];
    quant_label(first_path, label);
    *out = (hub_model){
        .name = name, .quant = hub_copy(label), .revision = hub_copy(commit), .source = "hub"};
}

static void add_model_file(hub_model *out, char *path, uint64_t bytes, time_t when) {
    string_list files = {out->files, out->n_files};
    string_list_add(&files, path);
    out->files = files.items;
    out->n_files = files.n;
    if (!out->path) out->path = hub_copy(path);
    out->bytes += bytes;
    if (when > out->when) out->when = when;
}

/* ---- in the cache ---------------------------------------------------------------------------- */

/* The commits to look at, best first: the one the revision stands for; without a revision also
 * all others, newest first. */
static void candidate_commits(const hf_repo *r, const cached_files *all, const char *revision,
                              string_list *out) {
    char *commit = hf_repo_get_ref(r, revision ? revision : "main");
    *out = (string_list){0};
    if (commit) string_list_add(out, commit);
    for (size_t i = 0; i < all->n; i++) {
        const char *other = all->items[i].commit;
        bool named = revision && strlen(revision) >= 7 && text_starts(other, revision);
        if ((named || !revision) && !string_list_has(out, other))
            string_list_add(out, hub_copy(other));
    }
}

static hub_status find_in_commit(const hf_repo *r, const quant_wish *wish, const char *revision,
                                 const cached_files *files, const char *commit, hub_model *out,
                                 hub_error *err) {
    quant_choice choice;
    hub_status status = quant_choose(wish, files->paths, files->n, &choice, err);
    if (status != HUB_OK) return status;
    const char *first = files->items[choice.files[0]].path;
    describe(out, full_name(r->name, first, revision, files->paths, files->n), first, commit);
    for (size_t i = 0; i < choice.n_files; i++) {
        const cached_file *file = &files->items[choice.files[i]];
        add_model_file(out, hub_format("%s/snapshots/%s/%s", r->folder, commit, file->path),
                       file->bytes, file->when);
    }
    free(choice.files);
    return HUB_OK;
}

hub_status hf_find(const char *root, const hub_request *request, const model_name *name,
                   hub_model *out, hub_error *err) {
    hf_repo r;
    cached_files all;
    string_list commits;
    quant_wish wish = make_wish(request, name);
    const char *revision = wanted_revision(request, name);
    hub_status status = hf_repo_open(&r, root, name->repo, false, err);
    if (status != HUB_OK) return status;
    hf_repo_scan(&r, &all);
    candidate_commits(&r, &all, revision, &commits);
    status = hub_fail(err, HUB_NOT_HERE, "%s is not in the cache %s", name->text, root);
    for (size_t i = 0; i < commits.n && status != HUB_OK; i++) {
        cached_files files;
        hub_error why = {""};
        hf_cache_of_commit(&all, commits.items[i], &files);
        status = find_in_commit(&r, &wish, revision, &files, commits.items[i], out, &why);
        cached_files_forget(&files);
        if (status == HUB_AMBIGUOUS && i == 0) { /* which one is for the user to say */
            *err = why;
            break;
        }
        if (status != HUB_OK) status = HUB_NOT_HERE;
    }
    string_list_clear(&commits);
    cached_files_clear(&all);
    hf_repo_close(&r);
    return status;
}

/* ---- from the hub ---------------------------------------------------------------------------- */

/* One pull on its way. */
typedef struct pull {
    hf_client client;
    const hub_host *host;
    const hub_request *request;
    const char *repo;
    char *revision; /* what to ask for: the commit, once it is known */
    hf_tree tree;
    quant_choice choice;
    hub_progress progress;
    hf_repo cache;
    hf_local local; /* in place of the cache with --local-dir */
    bool downloaded;
} pull;

/* One file of it. */
typedef struct file_pull {
    pull *p;
    const hf_file *file;
    hf_location location;
    bool located; /* just now: the next try needs no HEAD */
    bool fetched;
} file_pull;

static hub_status locate(void *user, http_request *r, hub_error *err) {
    file_pull *f = user;
    pull *p = f->p;
    if (!f->located) {
        hf_location now;
        hub_status status = hf_locate(&p->client, p->repo, p->revision, f->file->path, &now, err);
        if (status != HUB_OK) return status;
        bool same = strcmp(now.etag, f->location.etag) == 0;
        hub_set(&f->location.url, hub_copy(now.url)); /* the etag stays: others point to it */
        hf_location_clear(&now);
        if (!same)
            return hub_fail(err, HUB_FAILED,
                            "%s: the file changed on the hub meanwhile: pull "
                            "again",
                            f->file->path);
    }
    f->located = false;
    hf_file_request(&p->client, &f->location, r);
    return HUB_OK;
}

/* The hash to hold the file to: its ETag where that is one, else what the list says. */
static void choose_hash(const file_pull *f, fetch_job *job) {
    const char *etag = f->location.etag;
    size_t n = strlen(etag);
    bool hex = text_made_of(etag, HEX_DIGITS, 64);
    if (hex && n == 64) {
        job->sha256 = etag;
    } else if (f->file->sha256[0]) {
        job->sha256 = f->file->sha256;
    } else if (hex && n == 40) {
        job->git_id = etag;
    } else if (f->file->git_id[0]) {
        job->git_id = f->file->git_id;
    }
}

/* Fetches the blob into dir under the name partial, verified. */
static hub_status fetch_blob(file_pull *f, int dir, const char *folder, const char *partial,
                             hub_error *err) {
    pull *p = f->p;
    const char *slash = strrchr(f->file->path, '/');
    fetch_job job = {.what = slash ? slash + 1 : f->file->path,
                     .dir = dir,
                     .folder = folder,
                     .partial = partial,
                     .size = f->location.has_size ? f->location.size : f->file->size,
                     .locate = locate,
                     .user = f,
                     .progress = &p->progress};
    choose_hash(f, &job);
    f->located = true;
    hub_status status = fetch_file(p->client.transfer, p->host, &job, err);
    if (status == HUB_OK) f->fetched = p->downloaded = true;
    return status;
}

static hub_status into_cache(file_pull *f, hub_error *err) {
    pull *p = f->p;
    const char *etag = f->location.etag;
    char *folder = hub_format("%s/blobs", p->cache.folder);
    char *partial = hub_format("%s.incomplete", etag);
    uint64_t size = 0;
    int lock = -1;
    hub_status status = HUB_OK;
    if (!hf_repo_has_blob(&p->cache, etag, &size)) {
        status = hf_repo_lock(&p->cache, etag, p->host, &lock, err);
        if (status == HUB_OK && lock < 0) /* no locks: nobody else may write our file */
            hub_set(&partial, hub_format("%s.%08lx.incomplete", etag, (unsigned long)getpid()));
        if (status == HUB_OK && !hf_repo_has_blob(&p->cache, etag, &size)) {
            status = fetch_blob(f, p->cache.blobs, folder, partial, err);
            if (status == HUB_OK) status = hf_repo_finish_blob(&p->cache, partial, etag, err);
        }
        if (lock >= 0) {
            close(lock);
        } else if (status != HUB_OK) {
            unlinkat(p->cache.blobs, partial, 0);
        }
    }
    if (status == HUB_OK)
        status = hf_repo_link(&p->cache, f->location.commit, f->file->path, etag, err);
    free(partial);
    free(folder);
    return status;
}

static hub_status into_folder(file_pull *f, hub_error *err) {
    pull *p = f->p;
    bool there = false;
    hub_status status = hf_local_begin(&p->local, f->file->path, f->location.commit,
                                       f->location.etag, p->host, &there, err);
    if (status != HUB_OK) return status;
    if (!there) {
        status = fetch_blob(f, p->local.work, p->local.work_path, p->local.partial, err);
    }
    return hf_local_end(&p->local, status == HUB_OK, !there, status, err);
}

/* The file's commit becomes the one for all that follow. */
static hub_status pull_file(pull *p, const hf_file *file, hub_model *out, hub_error *err) {
    file_pull f = {.p = p, .file = file};
    struct stat st = {0};
    hub_status status = hf_locate(&p->client, p->repo, p->revision, file->path, &f.location, err);
    if (status != HUB_OK) return status;
    hub_set(&p->revision, hub_copy(f.location.commit));
    uint64_t before = p->progress.done_bytes;
    status = p->request->local_dir ? into_folder(&f, err) : into_cache(&f, err);
    p->progress.done_bytes = before + file->size;
    if (!f.fetched) p->progress.resumed_bytes += file->size;
    if (status == HUB_OK) {
        char *path = p->request->local_dir ? hub_format("%s/%s", p->request->local_dir, file->path)
                                           : hub_format("%s/snapshots/%s/%s", p->cache.folder,
                                                        f.location.commit, file->path);
        if (stat(path, &st) != 0)
            status = hub_fail(err, HUB_FAILED, "%s is not there: %s", path, strerror(errno));
        if (status == HUB_OK) {
            add_model_file(out, path, (uint64_t)st.st_size, st.st_mtime);
        } else {
            free(path);
        }
    }
    hf_location_clear(&f.location);
    return status;
}

static uint64_t size_of_partial(int dir, const char *name) {
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size : 0;
}

/* What is still to come, and whether there is room for it. Etags are not known yet: the list's
 * hashes stand in for them, as they do on the hub. */
static hub_status check_space(pull *p, hub_error *err) {
    uint64_t missing = 0;
    uint64_t size;
    bool to_folder = p->request->local_dir != NULL;
    for (size_t i = 0; i < p->choice.n_files; i++) {
        const hf_file *file = &p->tree.files[p->choice.files[i]];
        const char *etag = file->sha256[0] ? file->sha256 : file->git_id;
        uint64_t there = 0;
        p->progress.total_bytes += file->size;
        if (!to_folder && hf_repo_has_blob(&p->cache, etag, &size)) continue;
        if (!to_folder) {
            char *partial = hub_format("%s.incomplete", etag);
            there = size_of_partial(p->cache.blobs, partial);
            free(partial);
        } else if (hf_local_has(&p->local, file->path)) {
            continue;
        }
        missing += file->size > there ? file->size - there : 0;
    }
    const char *first = p->tree.files[p->choice.files[0]].path;
    return to_folder ? fetch_check_space(p->local.root, p->request->local_dir, missing, first, err)
                     : fetch_check_space(p->cache.blobs, p->cache.folder, missing, first, err);
}

static hub_status open_target(pull *p, hub_error *err) {
    if (p->request->local_dir) return hf_local_open(&p->local, p->request->local_dir, err);
    char *root = hf_cache_folder();
    hub_status status = hf_repo_open(&p->cache, root, p->repo, true, err);
    free(root);
    return status;
}

/* Says what is about to come, unless all of it is here. */
static void announce(const pull *p, const char *name) {
    char size[SIZE_CHARS];
    char parts[32] = "";
    bool all_here = true;
    uint64_t bytes;
    for (size_t i = 0; i < p->choice.n_files; i++) {
        const hf_file *file = &p->tree.files[p->choice.files[i]];
        const char *etag = file->sha256[0] ? file->sha256 : file->git_id;
        all_here = all_here && (p->request->local_dir ? hf_local_has(&p->local, file->path)
                                                      : hf_repo_has_blob(&p->cache, etag, &bytes));
    }
    if (all_here) return;
    if (p->choice.n_files > 1) snprintf(parts, sizeof parts, " in %zu parts", p->choice.n_files);
    host_note(p->host, "fetching %s, %s%s", name, text_size(size, p->progress.total_bytes), parts);
}

static hub_status pull_chosen(pull *p, const char *branch, hub_model *out, hub_error *err) {
    hub_status status = open_target(p, err);
    p->progress.what = "fetching";
    if (status == HUB_OK) status = check_space(p, err);
    if (status == HUB_OK) announce(p, out->name);
    for (size_t i = 0; status == HUB_OK && i < p->choice.n_files; i++)
        status = pull_file(p, &p->tree.files[p->choice.files[i]], out, err);
    if (status == HUB_OK && !p->request->local_dir)
        status = hf_repo_set_ref(&p->cache, branch, p->revision, err);
    if (status == HUB_OK) {
        hub_set(&out->revision, hub_copy(p->revision));
        out->downloaded = p->downloaded;
    }
    return status;
}

hub_status hf_pull(const hub_request *request, const model_name *name, const hub_host *host,
                   hub_model *out, hub_error *err) {
    const char *asked = wanted_revision(request, name);
    const char *branch = asked ? asked : "main";
    quant_wish wish = make_wish(request, name);
    pull p = {.host = host,
              .request = request,
              .repo = name->repo,
              .revision = hub_copy(branch),
              .cache = {.fd = -1, .blobs = -1},
              .local = HF_LOCAL_CLOSED};
    *out = (hub_model){0};
    hub_status status = hf_client_open(&p.client, host, err);
    if (status == HUB_OK) status = hf_list_files(&p.client, p.repo, branch, &p.tree, err);
    if (status == HUB_OK) status = quant_choose(&wish, p.tree.paths, p.tree.n, &p.choice, err);
    if (status == HUB_OK) {
        const char *first = p.tree.files[p.choice.files[0]].path;
        describe(out, full_name(p.repo, first, asked, p.tree.paths, p.tree.n), first, "");
        status = pull_chosen(&p, branch, out, err);
    }
    if (status != HUB_OK) hub_model_clear(out);
    free(p.choice.files);
    free(p.revision);
    hf_tree_clear(&p.tree);
    hf_repo_close(&p.cache);
    hf_local_close(&p.local);
    hf_client_close(&p.client);
    return status;
}
