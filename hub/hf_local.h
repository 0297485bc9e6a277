/* hf_local.h: files of a repository in a plain folder, with the notes beside them that the hub's
 * Python client keeps, so that each knows what the other fetched:
 *
 *   DIR/<path>
 *      /.cache/huggingface/download/<path>.metadata   commit, ETag and time, a line each
 *                                  /<path>.lock
 *                                  /<etag>.incomplete, in the folder of the metadata */
#ifndef PUNA_HUB_HF_LOCAL_H
#define PUNA_HUB_HF_LOCAL_H

#include "hub_base.h"

typedef struct hf_local {
    int root;
    /* of the file between begin and end: */
    int work; /* the folder of its metadata */
    int lock;
    char *work_path;
    char *partial; /* name of the partial file in work */
    char *path;
    char *commit;
    char *etag;
} hf_local;

#define HF_LOCAL_CLOSED ((hf_local){.root = -1, .work = -1, .lock = -1})

hub_status hf_local_open(hf_local *l, const char *dir, hub_error *err);
void hf_local_close(hf_local *l);

/* True when the file is there in some version. */
bool hf_local_has(const hf_local *l, const char *path);

/* Takes the file's lock; *there: this version is there already. */
hub_status hf_local_begin(hf_local *l, const char *path, const char *commit, const char *etag,
                          const hub_host *host, bool *there, hub_error *err);
/* Gives the lock back. keep: the file is good; fetched: it waits as the partial file, to be put in
 * its place. Returns status, or what went wrong. */
hub_status hf_local_end(hf_local *l, bool keep, bool fetched, hub_status status, hub_error *err);

#endif
