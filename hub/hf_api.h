/* hf_api.h: what the Hugging Face hub says about a repository: its files, and where one of them
 * is to be had.
 *
 *   GET  ENDPOINT/api/models/REPO/tree/REVISION?recursive=true   the list of files, in pages
 *   HEAD ENDPOINT/REPO/resolve/REVISION/FILE                     commit, ETag, size, location
 *
 * ENDPOINT is HF_ENDPOINT. The token (HF_TOKEN, or the file `hf auth login` writes) goes to the
 * endpoint and to the hub itself, never to the servers that hold large files. */
#ifndef PUNA_HUB_HF_API_H
#define PUNA_HUB_HF_API_H

#include "transfer.h"

typedef struct hf_client {
    transfer *transfer;
    const hub_host *host;
    char *endpoint; /* without a slash at the end */
    char *token;    /* or NULL */
    string_list trusted;
    double api_stall_s;
    double download_stall_s;
} hf_client;

hub_status hf_client_open(hf_client *client, const hub_host *host, hub_error *err);
void hf_client_close(hf_client *client);

typedef struct hf_file {
    char *path;
    uint64_t size;
    char sha256[65]; /* of large files; "" for others */
    char git_id[41]; /* of small ones; "" for others */
} hf_file;

typedef struct hf_tree {
    hf_file *files;
    const char **paths; /* of files, in the same order */
    size_t n;
} hf_tree;

/* All files of a repository; paths are safe below a folder, or the whole list is refused. */
hub_status hf_list_files(const hf_client *client, const char *repo, const char *revision,
                         hf_tree *out, hub_error *err);
/* One page of it, JSON; adds to *tree. */
hub_status hf_parse_page(hf_tree *tree, const char *text, size_t n, const char *repo,
                         hub_error *err);
void hf_tree_clear(hf_tree *tree);

/* Where a file is and which version of it. */
typedef struct hf_location {
    char commit[41];
    char *etag; /* fit for a file name */
    char *url;
    uint64_t size;
    bool has_size;
} hf_location;

hub_status hf_locate(const hf_client *client, const char *repo, const char *revision,
                     const char *path, hf_location *out, hub_error *err);
void hf_location_clear(hf_location *location);

/* Fills a request for the file's bytes. */
void hf_file_request(const hf_client *client, const hf_location *location, http_request *r);

/* $HF_HOME, else $XDG_CACHE_HOME/huggingface; and the folder of the cache. */
char *hf_home(void);
char *hf_cache_folder(void);
/* HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE */
bool hf_is_offline(void);

#endif
