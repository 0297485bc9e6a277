/* hf_cache.h: the hub's cache on disk, in the layout of its Python client (huggingface_hub):
 *
 *   ROOT/models--org--name/blobs/<etag>                 contents
 *                         /blobs/<etag>.incomplete      contents on their way (resumable)
 *                         /snapshots/<commit>/<path>    symbolic link ../../blobs/<etag>
 *                         /refs/<revision>              the commit a branch was at
 *       /.locks/models--org--name/<etag>.lock           flock(2) while a blob is written
 *       /blobs/<xx>/<hash>, .refs, .lock                contents shared between repositories
 *
 * Below a repository's folder no symbolic link is followed but those of snapshots and blobs, so
 * that nothing is written or removed outside it. */
#ifndef PUNA_HUB_HF_CACHE_H
#define PUNA_HUB_HF_CACHE_H

#include "hub_base.h"

/* An open repository folder. */
typedef struct hf_repo {
    char *name;   /* "org/repo" */
    char *folder; /* its path */
    char *locks;  /* path of its folder of lock files */
    int fd;
    int blobs; /* descriptor of blobs/, -1 when it is not there */
} hf_repo;

/* create: makes what is missing. HUB_NOT_HERE when there is none and create is false. */
hub_status hf_repo_open(hf_repo *r, const char *root, const char *repo, bool create,
                        hub_error *err);
void hf_repo_close(hf_repo *r);

/* Waits for the lock of a blob. *fd is -1 where the file system has no locks; close(*fd) gives it
 * back. */
hub_status hf_repo_lock(const hf_repo *r, const char *etag, const hub_host *host, int *fd,
                        hub_error *err);

/* Size of a blob that is complete; false when it is not there. */
bool hf_repo_has_blob(const hf_repo *r, const char *etag, uint64_t *size);
/* Gives a partial file the name of the blob. */
hub_status hf_repo_finish_blob(const hf_repo *r, const char *partial, const char *etag,
                               hub_error *err);
/* Links snapshots/commit/path to the blob. */
hub_status hf_repo_link(const hf_repo *r, const char *commit, const char *path, const char *etag,
                        hub_error *err);
/* Does nothing when revision is the commit itself. */
hub_status hf_repo_set_ref(const hf_repo *r, const char *revision, const char *commit,
                           hub_error *err);
/* The commit of a revision that was fetched once, to be freed; NULL when it is not known. */
char *hf_repo_get_ref(const hf_repo *r, const char *revision);

/* A file of a snapshot whose contents are there. */
typedef struct cached_file {
    char *commit;
    char *path; /* in the repository */
    char *etag; /* the blob it links to; "" when it is a file of its own */
    uint64_t bytes;
    time_t when;
} cached_file;

typedef struct cached_files {
    cached_file *items;
    const char **paths; /* hf_cache_of_commit: of items, in the same order */
    size_t n;
} cached_files;

/* All files of all snapshots of an open repository; the newest snapshot first. */
void hf_repo_scan(const hf_repo *r, cached_files *out);
/* Those of one commit, not owned: valid as long as all. */
void hf_cache_of_commit(const cached_files *all, const char *commit, cached_files *out);
void cached_files_clear(cached_files *files);
void cached_files_forget(cached_files *files); /* of hf_cache_of_commit */

/* Names ("org/repo") of all repositories in the cache. */
void hf_cache_repos(const char *root, string_list *out);
/* True while somebody writes the blob, or any blob (etag NULL). */
bool hf_repo_is_busy(const hf_repo *r, const char *etag);
/* Downloads that were broken off in a repository; those on their way do not count. */
void hf_repo_unfinished(const hf_repo *r, string_list *names, uint64_t *bytes);

/* Removes a link of a snapshot, and the folders that it leaves empty. */
hub_status hf_repo_unlink(const hf_repo *r, const char *commit, const char *path, hub_error *err);
/* Removes a blob or a partial file; a shared one when no other repository uses it. *freed: bytes,
 * only computed and nothing removed when dry. */
hub_status hf_repo_remove_blob(const hf_repo *r, const char *name, bool dry, uint64_t *freed,
                               hub_error *err);
/* Removes the rest of a repository that has no snapshot any more. */
void hf_repo_remove_rest(const char *root, const char *repo);

#endif
