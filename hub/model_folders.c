/* model_folders.c: models that lie in plain folders. */
#define _POSIX_C_SOURCE 200809L /* openat */
#include "model_folders.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dirs.h"
#include "names.h"
#include "packages.h"
#include "pypi_pull.h"
#include "quants.h"

enum { MAX_DEPTH = 4, MAX_ENTRIES = 10000 };

void hub_models_add(hub_models *models, const hub_model *model) {
    if ((models->n & (models->n - 1)) == 0) { /* full at every power of two */
        size_t room = models->n ? models->n * 2 : 1;
        models->items = hub_memory(models->items, room, sizeof *models->items);
    }
    models->items[models->n++] = *model;
}

void model_folders(string_list *out) {
    const char *list = environment("PUNA_MODELS");
    *out = (string_list){0};
    for (const char *at = list; at && *at;) {
        size_t n = strcspn(at, ":");
        char *folder = hub_copy_n(at, n);
        if (n > 0) string_list_add(out, expand_path(folder));
        free(folder);
        at += n + (at[n] == ':');
    }
}

/* ---- listing --------------------------------------------------------------------------------- */

/* Paths of all .gguf files below dir. Links are followed where they name files, not folders. */
static void find_files(int dir, const char *prefix, int depth, string_list *out) {
    string_list names;
    dirs_list(dir, MAX_ENTRIES, &names);
    for (size_t i = 0; i < names.n && out->n < MAX_ENTRIES; i++) {
        const char *name = names.items[i];
        struct stat st;
        if (name[0] == '.' || fstatat(dir, name, &st, 0) != 0) continue;
        char *path = hub_format("%s%s", prefix, name);
        if (S_ISREG(st.st_mode) && quant_is_model(name)) {
            string_list_add(out, hub_copy(path));
        } else if (S_ISDIR(st.st_mode) && depth > 0 && !text_starts(name, "models--")) {
            char *deeper = hub_format("%s/", path);
            int fd = dirs_open_below(dir, name, false);
            if (fd >= 0) find_files(fd, deeper, depth - 1, out);
            if (fd >= 0) close(fd);
            free(deeper);
        }
        free(path);
    }
    string_list_clear(&names);
}

/* How a model in puna's own folder is called, NULL for a file that somebody put there. *pypi: it
 * came from a package. */
static char *own_name(const char *path) {
    const package_model *known = packages_find_file(path);
    if (known) {
        char *name = hub_format("pypi:%s", known->package);
        const char *brief = names_short_for(name);
        if (brief) hub_set(&name, hub_copy(brief));
        return name;
    }
    const char *slash = strchr(path, '/');
    if (slash && text_starts(path, "pypi--"))
        return hub_format("pypi:%.*s", (int)(slash - path) - 6, path + 6);
    return NULL;
}

static char *plain_name(const char *path) {
    int part;
    int n_parts;
    size_t n = strlen(path) - strlen(".gguf");
    quant_is_part(path, &part, &n_parts, &n);
    return hub_copy_n(path, n);
}

static void describe(const char *folder, const string_list *paths, size_t first, bool own,
                     hub_models *out) {
    const char *const *all = (const char *const *)paths->items;
    char label[QUANT_CHARS];
    quant_choice parts;
    int missing;
    if (!quant_parts(all, paths->n, first, &parts, &missing)) return; /* not usable */
    char *package = own ? own_name(all[first]) : NULL;
    quant_label(all[first], label);
    hub_model model = {.name = package ? package : plain_name(all[first]),
                       .quant = hub_copy(label),
                       .revision = hub_copy(""),
                       .source = package ? "pypi" : "folder"};
    string_list files = {0};
    for (size_t i = 0; i < parts.n_files; i++) {
        struct stat st = {0};
        char *path = hub_format("%s/%s", folder, all[parts.files[i]]);
        stat(path, &st);
        model.bytes += (uint64_t)st.st_size;
        if (st.st_mtime > model.when) model.when = st.st_mtime;
        string_list_add(&files, path);
    }
    model.files = files.items;
    model.n_files = files.n;
    model.path = hub_copy(files.items[0]);
    free(parts.files);
    hub_models_add(out, &model);
}

void model_folder_list(const char *folder, bool own, hub_models *out) {
    static const quant_wish anything = {0};
    string_list paths = {0};
    size_t *firsts;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    find_files(fd, "", MAX_DEPTH, &paths);
    close(fd);
    size_t n = quant_matches(&anything, (const char *const *)paths.items, paths.n, &firsts);
    for (size_t i = 0; i < n; i++) describe(folder, &paths, firsts[i], own, out);
    free(firsts);
    string_list_clear(&paths);
}

/* ---- finding --------------------------------------------------------------------------------- */

static bool is_called(const hub_model *model, const char *word) {
    size_t n = strlen(model->name);
    return strncmp(model->name, word, n) == 0 && (!word[n] || text_same(word + n, ".gguf"));
}

hub_status model_folder_find(const char *word, hub_model *out, hub_error *err) {
    string_list folders;
    hub_status status = HUB_NOT_HERE;
    model_folders(&folders);
    string_list_add(&folders, pypi_folder());
    for (size_t f = 0; f < folders.n && status != HUB_OK; f++) {
        hub_models models = {0};
        model_folder_list(folders.items[f], f + 1 == folders.n, &models);
        for (size_t i = 0; i < models.n && status != HUB_OK; i++) {
            if (!is_called(&models.items[i], word)) continue;
            *out = models.items[i];
            models.items[i] = (hub_model){0};
            status = HUB_OK;
        }
        hub_models_clear(&models);
    }
    string_list_clear(&folders);
    return status == HUB_OK ? HUB_OK
                            : hub_fail(err, HUB_NOT_HERE, "%s is in no folder of models", word);
}
