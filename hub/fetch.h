/* fetch.h: one file from an address to a verified file on disk, whatever happens in between.
 *
 * Bytes go into a partial file that is never named like the finished one. Broken connections are
 * taken up again where they ended, in this run or in a later one: the bytes that are there are
 * hashed first, and the whole is held to its size and hash before the caller gives it its name.
 * The caller holds a lock, so that one process at a time writes a partial file. */
#ifndef PUNA_HUB_FETCH_H
#define PUNA_HUB_FETCH_H

#include "transfer.h"

#define FETCH_SIZE_UNKNOWN UINT64_MAX

typedef struct fetch_job {
    const char *what;    /* the file, for messages */
    int dir;             /* descriptor of the folder that holds the partial file */
    const char *folder;  /* its path, for messages */
    const char *partial; /* the partial file's name in it */
    uint64_t size;       /* in bytes; when unknown it is found out and set */
    const char *sha256;  /* lower-case hexadecimal, or NULL */
    const char *git_id;  /* git's blob id, or NULL */
    /* Sets the address and what belongs to it; called before every try, since addresses expire. */
    hub_status (*locate)(void *user, http_request *r, hub_error *err);
    void *user;
    hub_progress *progress; /* of all files; done_bytes says what came before this one */
} fetch_job;

/* HUB_OK: the partial file is complete, verified and on disk, waiting to be renamed. Otherwise it
 * keeps what can be used later; contents with a wrong hash are removed. */
hub_status fetch_file(transfer *t, const hub_host *host, fetch_job *job, hub_error *err);

/* transfer_request for an answer in memory, again after errors that may pass (no connection, 429,
 * 5xx). HUB_OK whatever the status code is in the end. */
hub_status fetch_answer(transfer *t, const hub_host *host, const http_request *r, answer *a,
                        hub_error *err);

/* Refuses when the folder's disk has less than bytes free, with both numbers. */
hub_status fetch_check_space(int dir, const char *folder, uint64_t bytes, const char *what,
                             hub_error *err);

#endif
