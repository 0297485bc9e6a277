/* hf_shared.h: blobs that the hub's Python client shares between repositories (layout 1):
 *
 *   ROOT/blobs/.huggingface-shared-blobs     "1\n": the store is theirs, in this layout
 *             /<xx>/<hash>                   contents, named by their Xet hash
 *             /<xx>/<hash>.refs              one line for each blob that links here:
 *                                            models--org--name/blobs/<etag>
 *             /<xx>/<hash>.lock              flock(2) while contents or lines change
 *   ROOT/models--org--name/blobs/<etag>      symbolic link ../../blobs/<xx>/<hash>
 *
 * We only read and collect them. A line counts while its blob still links to the contents; what is
 * missing or cannot be read is never a reason to delete. */
#ifndef PUNA_HUB_HF_SHARED_H
#define PUNA_HUB_HF_SHARED_H

#include "hub_base.h"

/* The hash that a blob of an open blobs folder links to, to be freed; NULL when it is no link into
 * the store. folder: the repository's path. */
char *hf_shared_target(const char *folder, int blobs, const char *name);
/* What removing that blob would free: the contents' size when nothing else links to them. */
uint64_t hf_shared_bytes(const char *folder, const char *hash, const char *name);
/* Removes the contents when nothing links to them any more; returns the bytes that freed. */
uint64_t hf_shared_collect(const char *folder, const char *hash);

#endif
