/* hub.c: one name, wherever the model is; the list of all models; and removing one. */
#define _POSIX_C_SOURCE 200809L /* lstat */
#include "hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hf_api.h"
#include "hf_cache.h"
#include "hf_pull.h"
#include "model_folders.h"
#include "names.h"
#include "pypi_pull.h"
#include "quants.h"

/* ---- models ---------------------------------------------------------------------------------- */

void hub_model_clear(hub_model *model) {
    for (size_t i = 0; i < model->n_files; i++) free(model->files[i]);
    free(model->files);
    free(model->name);
    free(model->path);
    free(model->quant);
    free(model->revision);
    *model = (hub_model){0};
}

void hub_models_clear(hub_models *models) {
    for (size_t i = 0; i < models->n; i++) hub_model_clear(&models->items[i]);
    free(models->items);
    *models = (hub_models){0};
}

/* ---- finding --------------------------------------------------------------------------------- */

/* The caches of the hub: the user's own, then the folders of PUNA_MODELS. */
static void hub_caches(string_list *out) {
    string_list folders;
    *out = (string_list){0};
    string_list_add(out, hf_cache_folder());
    model_folders(&folders);
    for (size_t i = 0; i < folders.n; i++) string_list_add(out, hub_copy(folders.items[i]));
    string_list_clear(&folders);
}

static hub_status find_on_hub(const hub_request *request, const model_name *name, hub_model *out,
                              hub_error *err) {
    string_list caches;
    hub_error first = {""};
    hub_status status = HUB_NOT_HERE;
    hub_caches(&caches);
    for (size_t i = 0; i < caches.n && status == HUB_NOT_HERE; i++) {
        status = hf_find(caches.items[i], request, name, out, err);
        if (i == 0) first = *err;
    }
    if (status == HUB_NOT_HERE) *err = first;
    string_list_clear(&caches);
    return status;
}

static hub_status refuse_word(const char *word, hub_error *err) {
    const char *near = names_nearest(word);
    return hub_fail(err, HUB_FAILED,
                    "no model '%.200s': no such file, and no name that is known; "
                    "%s%s%s",
                    word, near ? "did you mean '" : "'puna ls' lists the models here",
                    near ? near : "", near ? "'?" : "");
}

/* Without the network. HUB_NOT_HERE: it could be fetched. */
static hub_status find(const hub_request *request, const model_name *name, hub_model *out,
                       hub_error *err) {
    hub_status status = HUB_FAILED;
    switch (name->kind) {
    case NAME_PATH:
        return hub_fail(err, HUB_USAGE, "'%.200s' is the path of a file, not the name of a model",
                        name->text);
    case NAME_WORD:
        status = model_folder_find(name->text, out, err);
        return status == HUB_NOT_HERE ? refuse_word(name->text, err) : status;
    case NAME_HUB:
        status = request->local_dir ? HUB_NOT_HERE : find_on_hub(request, name, out, err);
        /* org/name may also be a file in a folder of models */
        if (status == HUB_NOT_HERE && !request->local_dir && !request->glob) {
            hub_error ignored;
            if (model_folder_find(name->text, out, &ignored) == HUB_OK) status = HUB_OK;
        }
        return status;
    case NAME_PACKAGE: return pypi_find(name, out, err);
    }
    return status;
}

static bool is_offline(const hub_request *request) {
    return request->offline || hf_is_offline();
}

static hub_status refuse_offline(const hub_request *request, const model_name *name,
                                 hub_error *err) {
    return hub_fail(err, HUB_NOT_HERE,
                    "%s is not here, and %s forbids the network: 'puna pull %s' "
                    "fetches it",
                    name->text,
                    request->offline                ? "--offline"
                    : environment("HF_HUB_OFFLINE") ? "HF_HUB_OFFLINE"
                                                    : "TRANSFORMERS_OFFLINE",
                    name->text);
}

/* ---- fetching -------------------------------------------------------------------------------- */

static hub_status fetch(const hub_request *request, const model_name *name, const hub_host *host,
                        hub_model *out, hub_error *err) {
    return name->kind == NAME_HUB ? hf_pull(request, name, host, out, err)
                                  : pypi_pull(request, name, host, out, err);
}

static hub_status pull_named(const hub_request *request, const model_name *name,
                             const hub_host *host, hub_model *out, hub_error *err) {
    hub_error why;
    if (name->kind == NAME_PATH || name->kind == NAME_WORD) return find(request, name, out, err);
    if (is_offline(request)) {
        hub_status status = find(request, name, out, err);
        return status == HUB_NOT_HERE ? refuse_offline(request, name, err) : status;
    }
    const char *revision = request->revision ? request->revision : name->revision;
    if (name->kind == NAME_HUB && revision && names_is_commit(revision) &&
        find(request, name, out, err) == HUB_OK)
        return HUB_OK; /* a commit never changes */
    hub_status status = fetch(request, name, host, out, err);
    if (status != HUB_NETWORK || find(request, name, out, &why) != HUB_OK) return status;
    host_note(host, "could not look for a newer version (%s); the copy that is here will do",
              err->msg);
    return HUB_OK;
}

hub_status hub_pull(const hub_request *request, const hub_host *host, hub_model *out,
                    hub_error *err) {
    model_name name;
    *out = (hub_model){0};
    hub_status status = names_parse(request->name, &name, err);
    if (status != HUB_OK) return status;
    if (request->revision && !names_is_revision(request->revision)) {
        status =
            hub_fail(err, HUB_USAGE, "'%.200s' is no branch, tag or commit", request->revision);
    } else if ((request->glob || request->local_dir) && name.kind == NAME_WORD) {
        status = refuse_word(name.text, err);
    } else {
        if (name.is_short)
            host_note(host, "%s is %s", request->name ? request->name : "the default model",
                      name.text);
        status = pull_named(request, &name, host, out, err);
    }
    names_clear(&name);
    return status;
}

hub_status hub_resolve(const hub_request *request, const hub_host *host, char **path,
                       hub_error *err) {
    model_name name;
    hub_model model = {0};
    *path = NULL;
    hub_status status = names_parse(request->name, &name, err);
    if (status != HUB_OK) return status;
    if (name.kind == NAME_PATH) {
        *path = hub_copy(name.text);
        names_clear(&name);
        return HUB_OK;
    }
    status = find(request, &name, &model, err);
    if (status == HUB_NOT_HERE && is_offline(request)) {
        status = refuse_offline(request, &name, err);
    } else if (status == HUB_NOT_HERE) {
        const char *typed = request->name ? request->name : "the default model";
        host_note(host, "%s%s%s is not here yet: fetching it", name.is_short ? typed : "",
                  name.is_short ? ", " : "", name.text);
        status = fetch(request, &name, host, &model, err);
    }
    if (status == HUB_OK) *path = hub_copy(model.path);
    hub_model_clear(&model);
    names_clear(&name);
    return status;
}

/* ---- listing --------------------------------------------------------------------------------- */

/* How the list calls a model of the hub. old: not what its branch is at now. */
static char *listed_name(const hf_repo *r, const cached_files *files, size_t first, bool old) {
    const cached_file *file = &files->items[first];
    char label[QUANT_CHARS];
    size_t *firsts = NULL;
    quant_label(file->path, label);
    quant_wish same = {.where = r->name, .quant = label};
    bool unique = label[0] && quant_matches(&same, files->paths, files->n, &firsts) == 1;
    free(firsts);
    return hub_format("%s:%s%s%.12s", r->name, unique ? label : file->path, old ? "@" : "",
                      old ? file->commit : "");
}

/* The same contents under the same path in a snapshot that was listed already. */
static bool is_listed(const cached_files *all, const string_list *done, const cached_file *file) {
    for (size_t i = 0; i < all->n; i++) {
        const cached_file *other = &all->items[i];
        if (string_list_has(done, other->commit) && strcmp(other->path, file->path) == 0 &&
            file->etag[0] && strcmp(other->etag, file->etag) == 0)
            return true;
    }
    return false;
}

static void list_model(const hf_repo *r, const cached_files *files, size_t first, bool old,
                       hub_models *out) {
    quant_choice parts;
    int missing;
    char label[QUANT_CHARS];
    if (!quant_parts(files->paths, files->n, first, &parts, &missing)) return;
    const cached_file *head = &files->items[first];
    quant_label(head->path, label);
    hub_model model = {.name = listed_name(r, files, first, old),
                       .quant = hub_copy(label),
                       .revision = hub_copy(head->commit),
                       .source = "hub"};
    string_list paths = {0};
    for (size_t i = 0; i < parts.n_files; i++) {
        const cached_file *file = &files->items[parts.files[i]];
        string_list_add(&paths,
                        hub_format("%s/snapshots/%s/%s", r->folder, file->commit, file->path));
        model.bytes += file->bytes;
        if (file->when > model.when) model.when = file->when;
    }
    model.files = paths.items;
    model.n_files = paths.n;
    model.path = hub_copy(paths.items[0]);
    free(parts.files);
    hub_models_add(out, &model);
}

/* All commits of the snapshots, the one that main is at first, then the newest. */
static void order_commits(const hf_repo *r, const cached_files *all, string_list *out) {
    *out = (string_list){0};
    char *head = hf_repo_get_ref(r, "main");
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < all->n; i++) {
            const char *commit = all->items[i].commit;
            bool is_head = head && strcmp(commit, head) == 0;
            if ((pass == 0) == is_head && !string_list_has(out, commit))
                string_list_add(out, hub_copy(commit));
        }
    }
    free(head);
}

static void list_repo(const char *root, const char *repo, hub_models *out) {
    static const quant_wish anything = {0};
    hf_repo r;
    cached_files all;
    string_list commits;
    string_list done = {0};
    string_list unfinished;
    uint64_t bytes;
    hub_error ignored;
    if (hf_repo_open(&r, root, repo, false, &ignored) != HUB_OK) return;
    hf_repo_scan(&r, &all);
    order_commits(&r, &all, &commits);
    for (size_t c = 0; c < commits.n; c++) {
        cached_files files;
        size_t *firsts;
        hf_cache_of_commit(&all, commits.items[c], &files);
        size_t n = quant_matches(&anything, files.paths, files.n, &firsts);
        for (size_t i = 0; i < n; i++) {
            if (!is_listed(&all, &done, &files.items[firsts[i]]))
                list_model(&r, &files, firsts[i], c > 0, out);
        }
        free(firsts);
        cached_files_forget(&files);
        string_list_add(&done, hub_copy(commits.items[c]));
    }
    hf_repo_unfinished(&r, &unfinished, &bytes);
    out->n_unfinished += unfinished.n;
    out->unfinished_bytes += bytes;
    string_list_clear(&unfinished);
    string_list_clear(&done);
    string_list_clear(&commits);
    cached_files_clear(&all);
    hf_repo_close(&r);
}

static int by_name(const void *a, const void *b) {
    const hub_model *x = a;
    const hub_model *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->path, y->path);
}

hub_status hub_list(hub_models *out, hub_error *err) {
    string_list caches;
    string_list folders;
    (void)err;
    *out = (hub_models){0};
    hub_caches(&caches);
    for (size_t c = 0; c < caches.n; c++) {
        string_list repos;
        hf_cache_repos(caches.items[c], &repos);
        for (size_t i = 0; i < repos.n; i++) list_repo(caches.items[c], repos.items[i], out);
        string_list_clear(&repos);
    }
    char *own = pypi_folder();
    model_folder_list(own, true, out);
    free(own);
    model_folders(&folders);
    for (size_t f = 0; f < folders.n; f++) model_folder_list(folders.items[f], false, out);
    string_list_clear(&folders);
    string_list_clear(&caches);
    if (out->n > 1) qsort(out->items, out->n, sizeof *out->items, by_name);
    return HUB_OK;
}

/* ---- removing -------------------------------------------------------------------------------- */

typedef enum step_kind { REMOVE_LINK, REMOVE_BLOB, REMOVE_FILE } step_kind;

struct hub_removal_step {
    step_kind kind;
    char *commit; /* REMOVE_LINK */
    char *path;   /* in the snapshot; the blob's name; or a whole path */
};

static void add_step(hub_removal *removal, step_kind kind, const char *commit, const char *path) {
    size_t n = removal->n_steps;
    removal->steps = hub_memory(removal->steps, n + 1, sizeof *removal->steps);
    removal->steps[removal->n_steps++] =
        (struct hub_removal_step){kind, commit ? hub_copy(commit) : NULL, hub_copy(path)};
}

static void show_step(hub_removal *removal, char *path) {
    string_list shown = {removal->shown, removal->n_shown};
    string_list_add(&shown, path);
    removal->shown = shown.items;
    removal->n_shown = shown.n;
}

void hub_removal_clear(hub_removal *removal) {
    for (size_t i = 0; i < removal->n_steps; i++) {
        free(removal->steps[i].commit);
        free(removal->steps[i].path);
    }
    for (size_t i = 0; i < removal->n_shown; i++) free(removal->shown[i]);
    free(removal->steps);
    free(removal->shown);
    free(removal->root);
    free(removal->repo);
    *removal = (hub_removal){0};
}

/* Marks the files of the models meant in one snapshot. all and marks go together. */
static void mark_commit(const quant_wish *wish, const cached_files *all, const char *commit,
                        bool *marks) {
    cached_files files;
    size_t *firsts;
    hf_cache_of_commit(all, commit, &files);
    size_t n = quant_matches(wish, files.paths, files.n, &firsts);
    for (size_t f = 0; f < n; f++) {
        int part;
        int n_parts;
        size_t n_stem = strlen(files.paths[firsts[f]]);
        const char *first = files.paths[firsts[f]];
        bool split = quant_is_part(first, &part, &n_parts, &n_stem);
        for (size_t i = 0; i < all->n; i++) {
            int other;
            int others;
            size_t n_other;
            const char *path = all->items[i].path;
            bool same = strcmp(path, first) == 0 ||
                        (split && quant_is_part(path, &other, &others, &n_other) &&
                         n_other == n_stem && others == n_parts && !strncmp(path, first, n_stem));
            if (same && strcmp(all->items[i].commit, commit) == 0) marks[i] = true;
        }
    }
    free(firsts);
    cached_files_forget(&files);
}

/* Is the blob still needed by a file that stays? */
static bool is_needed(const cached_files *all, const bool *marks, const char *etag) {
    for (size_t i = 0; i < all->n; i++) {
        if (!marks[i] && strcmp(all->items[i].etag, etag) == 0) return true;
    }
    return false;
}

static bool has_blob_step(const hub_removal *removal, const char *etag) {
    for (size_t i = 0; i < removal->n_steps; i++) {
        if (removal->steps[i].kind == REMOVE_BLOB && !strcmp(removal->steps[i].path, etag))
            return true;
    }
    return false;
}

static void plan_marked(const hf_repo *r, const cached_files *all, const bool *marks,
                        hub_removal *out) {
    hub_error ignored;
    for (size_t i = 0; i < all->n; i++) {
        const cached_file *file = &all->items[i];
        uint64_t freed = 0;
        if (!marks[i]) continue;
        add_step(out, REMOVE_LINK, file->commit, file->path);
        show_step(out, hub_format("%s/snapshots/%s/%s", r->folder, file->commit, file->path));
        if (!file->etag[0]) { /* the file itself lies there */
            out->freed_bytes += file->bytes;
        } else if (!is_needed(all, marks, file->etag) && !has_blob_step(out, file->etag)) {
            add_step(out, REMOVE_BLOB, NULL, file->etag);
            hf_repo_remove_blob(r, file->etag, true, &freed, &ignored);
            out->freed_bytes += freed;
        }
    }
}

/* Downloads that were broken off go with the last model of a repository, or when there is none. */
static void plan_unfinished(const hf_repo *r, hub_removal *out) {
    string_list names;
    uint64_t bytes;
    hf_repo_unfinished(r, &names, &bytes);
    for (size_t i = 0; i < names.n; i++) {
        add_step(out, REMOVE_BLOB, NULL, names.items[i]);
        show_step(out, hub_format("%s/blobs/%s", r->folder, names.items[i]));
    }
    out->freed_bytes += bytes;
    string_list_clear(&names);
}

static hub_status plan_hub(const model_name *name, hub_removal *out, hub_error *err) {
    hf_repo r;
    cached_files all;
    struct stat st;
    quant_wish wish = {.where = name->repo, .quant = name->quant, .file = name->file};
    char *root = hf_cache_folder();
    hub_status status = hf_repo_open(&r, root, name->repo, false, err);
    if (status == HUB_NOT_HERE)
        hub_fail(err, HUB_NOT_HERE, "%s is not in the cache %s", name->text, root);
    if (status == HUB_OK && lstat(r.folder, &st) == 0 && S_ISLNK(st.st_mode)) {
        status = hub_fail(err, HUB_FAILED,
                          "%s is a symbolic link: what it leads to is not "
                          "removed",
                          r.folder);
        hf_repo_close(&r);
    }
    if (status != HUB_OK) {
        free(root);
        return status;
    }
    out->root = root;
    out->repo = hub_copy(name->repo);
    hf_repo_scan(&r, &all);
    char *head = name->revision ? hf_repo_get_ref(&r, name->revision) : NULL;
    bool *marks = hub_memory(NULL, all.n + 1, sizeof *marks);
    for (size_t i = 0; i < all.n; i++) marks[i] = false;
    for (size_t i = 0; i < all.n; i++) {
        const char *commit = all.items[i].commit;
        bool seen = i > 0 && strcmp(commit, all.items[i - 1].commit) == 0; /* they come together */
        bool meant = !name->revision || (head && !strcmp(commit, head)) ||
                     (strlen(name->revision) >= 7 && text_starts(commit, name->revision));
        if (!seen && meant) mark_commit(&wish, &all, commit, marks);
    }
    plan_marked(&r, &all, marks, out);
    if (!name->quant && !name->file && !name->revision) plan_unfinished(&r, out);
    if (out->n_steps == 0)
        status = hub_fail(err, HUB_NOT_HERE, "%s is not in the cache %s", name->text, root);
    free(marks);
    free(head);
    cached_files_clear(&all);
    hf_repo_close(&r);
    return status;
}

/* The files of a model in puna's own folder. */
static void plan_files(const hub_model *model, hub_removal *out) {
    for (size_t i = 0; i < model->n_files; i++) {
        add_step(out, REMOVE_FILE, NULL, model->files[i]);
        show_step(out, hub_copy(model->files[i]));
    }
    out->freed_bytes = model->bytes;
    out->root = pypi_folder();
    char *slash = strrchr(model->path, '/');
    char *source = hub_format("%.*s/source", (int)(slash - model->path), model->path);
    if (strcmp(model->source, "pypi") == 0 && access(source, F_OK) == 0)
        add_step(out, REMOVE_FILE, NULL, source);
    free(source);
}

static hub_status plan_own(const model_name *name, hub_removal *out, hub_error *err) {
    hub_model model;
    hub_status status = name->kind == NAME_PACKAGE ? pypi_find(name, &model, err)
                                                   : model_folder_find(name->text, &model, err);
    if (status != HUB_OK)
        return hub_fail(err, status, "%s is not here; 'puna ls' lists the models that are",
                        name->text);
    char *own = pypi_folder();
    if (text_starts(model.path, own)) {
        plan_files(&model, out);
    } else {
        status = hub_fail(err, HUB_FAILED,
                          "%s is in a folder of PUNA_MODELS, which is only read: "
                          "%s",
                          name->text, model.path);
    }
    free(own);
    hub_model_clear(&model);
    return status;
}

hub_status hub_plan_removal(const char *text, hub_removal *out, hub_error *err) {
    model_name name;
    *out = (hub_removal){0};
    hub_status status = names_parse(text, &name, err);
    if (status != HUB_OK) return status;
    if (name.kind == NAME_PATH) {
        status = hub_fail(err, HUB_USAGE,
                          "puna rm takes a name that 'puna ls' lists; '%.200s' is "
                          "a path",
                          text);
    } else {
        status = name.kind == NAME_HUB ? plan_hub(&name, out, err) : plan_own(&name, out, err);
    }
    if (status != HUB_OK) hub_removal_clear(out);
    names_clear(&name);
    return status;
}

static hub_status remove_steps(const hf_repo *r, const hub_removal *removal, step_kind kind,
                               hub_error *err) {
    hub_status status = HUB_OK;
    for (size_t i = 0; i < removal->n_steps && status == HUB_OK; i++) {
        const struct hub_removal_step *step = &removal->steps[i];
        uint64_t freed;
        if (step->kind != kind) continue;
        status = kind == REMOVE_LINK ? hf_repo_unlink(r, step->commit, step->path, err)
                                     : hf_repo_remove_blob(r, step->path, false, &freed, err);
    }
    return status;
}

static hub_status remove_from_hub(const hub_removal *removal, hub_error *err) {
    hf_repo r;
    hub_status status = hf_repo_open(&r, removal->root, removal->repo, false, err);
    if (status != HUB_OK) return status;
    status = remove_steps(&r, removal, REMOVE_LINK, err); /* first what points, then contents */
    if (status == HUB_OK) status = remove_steps(&r, removal, REMOVE_BLOB, err);
    cached_files left;
    hf_repo_scan(&r, &left);
    bool unused = status == HUB_OK && left.n == 0 && !hf_repo_is_busy(&r, NULL);
    cached_files_clear(&left);
    hf_repo_close(&r);
    if (unused) hf_repo_remove_rest(removal->root, removal->repo);
    return status;
}

hub_status hub_remove(const hub_removal *removal, hub_error *err) {
    if (removal->repo) return remove_from_hub(removal, err);
    for (size_t i = 0; i < removal->n_steps; i++) {
        char *path = removal->steps[i].path;
        if (unlink(path) != 0 && errno != ENOENT)
            return hub_fail(err, HUB_FAILED, "cannot remove %s: %s", path, strerror(errno));
        char *folder = hub_copy_n(path, (size_t)(strrchr(path, '/') - path));
        if (strcmp(folder, removal->root) != 0) rmdir(folder); /* when it is empty now */
        free(folder);
    }
    return HUB_OK;
}
