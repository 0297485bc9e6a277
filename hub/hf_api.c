/* hf_api.c: what the Hugging Face hub says about a repository. */
#define _POSIX_C_SOURCE 200809L
#include "hf_api.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "names.h"

enum {
    MAX_PAGE_BYTES = 4 * 1024 * 1024, /* of a thousand files; JSON can grow fifty-fold in memory */
    MAX_PAGES = 40,
    MAX_FILES = 20000,
    MAX_TOKEN_BYTES = 1024
};
static const double api_total_s = 60;

/* ---- settings -------------------------------------------------------------------------------- */

char *hf_home(void) {
    const char *home = environment("HF_HOME");
    return home ? expand_path(home) : cache_home("huggingface");
}

char *hf_cache_folder(void) {
    const char *folder = environment("HF_HUB_CACHE");
    if (!folder) folder = environment("HUGGINGFACE_HUB_CACHE");
    if (folder) return expand_path(folder);
    char *home = hf_home();
    char *cache = hub_format("%s/hub", home);
    free(home);
    return cache;
}

bool hf_is_offline(void) {
    return environment("HF_HUB_OFFLINE") ? environment_flag("HF_HUB_OFFLINE")
                                         : environment_flag("TRANSFORMERS_OFFLINE");
}

static char *token_from_file(void) {
    const char *named = environment("HF_TOKEN_PATH");
    char *home = hf_home();
    char *path = named ? expand_path(named) : hub_format("%s/token", home);
    char *token = NULL;
    FILE *file = fopen(path, "r");
    if (file) {
        token = hub_memory(NULL, MAX_TOKEN_BYTES + 1, 1);
        token[fread(token, 1, MAX_TOKEN_BYTES, file)] = 0;
        fclose(file);
    }
    free(path);
    free(home);
    return token;
}

/* The token without space around it, or NULL. A token goes into a header: nothing else may. */
static hub_status find_token(char **out, hub_error *err) {
    *out = NULL;
    const char *set = environment("HF_TOKEN");
    if (!set) set = environment("HUGGING_FACE_HUB_TOKEN");
    if (!set && environment_flag("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return HUB_OK;
    char *token = set ? hub_copy(set) : token_from_file();
    if (!token) return HUB_OK;
    char *start = token + strspn(token, " \t\r\n");
    size_t n = strlen(start);
    while (n > 0 && strchr(" \t\r\n", start[n - 1])) n--;
    start[n] = 0;
    bool good = n <= MAX_TOKEN_BYTES;
    for (size_t i = 0; i < n; i++) good = good && start[i] > ' ' && start[i] < 0x7F;
    if (good && n > 0) *out = hub_copy(start);
    free(token);
    return good ? HUB_OK
                : hub_fail(err, HUB_FAILED, "the token in %s holds characters that no token has",
                           set ? "HF_TOKEN" : "the hub's token file");
}

hub_status hf_client_open(hf_client *client, const hub_host *host, hub_error *err) {
    static const char public_hub[] = "https://huggingface.co";
    const char *set = environment("HF_ENDPOINT");
    *client = (hf_client){.host = host};
    client->transfer = transfer_open(host, err);
    if (!client->transfer) return HUB_FAILED;
    client->endpoint = hub_copy(set ? set : public_hub);
    for (size_t n = strlen(client->endpoint); n > 0 && client->endpoint[n - 1] == '/'; n--)
        client->endpoint[n - 1] = 0;
    char *origin = transfer_origin(client->endpoint);
    hub_status status =
        origin ? HUB_OK
               : hub_fail(err, HUB_USAGE, "HF_ENDPOINT is '%s', which is no http or https address",
                          client->endpoint);
    if (origin) {
        string_list_add(&client->trusted, origin);
        string_list_add(&client->trusted, hub_copy("https://huggingface.co:443"));
        string_list_add(&client->trusted, hub_copy("https://hf.co:443"));
    }
    client->api_stall_s = environment_seconds("HF_HUB_ETAG_TIMEOUT", 10);
    client->download_stall_s = environment_seconds("HF_HUB_DOWNLOAD_TIMEOUT", 30);
    if (status == HUB_OK) status = find_token(&client->token, err);
    if (status != HUB_OK) hf_client_close(client);
    return status;
}

void hf_client_close(hf_client *client) {
    transfer_close(client->transfer);
    free(client->endpoint);
    free(client->token);
    string_list_clear(&client->trusted);
    *client = (hf_client){0};
}

static void api_request(const hf_client *client, http_request *r) {
    *r = (http_request){.token = client->token,
                        .trusted = &client->trusted,
                        .max_body = MAX_PAGE_BYTES,
                        .stall_s = client->api_stall_s,
                        .total_s = api_total_s};
}

void hf_file_request(const hf_client *client, const hf_location *location, http_request *r) {
    *r = (http_request){.url = location->url,
                        .token = client->token,
                        .trusted = &client->trusted,
                        .stall_s = client->download_stall_s};
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* What the hub means by an answer that is no success. path may be NULL. */
static hub_status refuse(const hf_client *client, const answer *a, const char *repo,
                         const char *revision, const char *path, hub_error *err) {
    char *code = transfer_header(a, "x-error-code");
    char *message = transfer_header(a, "x-error-message");
    const char *kind = code ? code : "";
    const char *at = client->endpoint;
    if (!strcmp(kind, "GatedRepo")) {
        hub_fail(err, HUB_FAILED,
                 client->token ? "%s is gated, and the account of your token has no access: accept "
                                 "its terms at %s/%s, then try again"
                               : "%s is gated: accept its terms at %s/%s, then set HF_TOKEN",
                 repo, at, repo);
    } else if (!strcmp(kind, "RevisionNotFound")) {
        hub_fail(err, HUB_FAILED, "%s has no revision '%s' (404)", repo, revision);
    } else if (!strcmp(kind, "EntryNotFound") && path) {
        hub_fail(err, HUB_FAILED, "%s has no file '%s' at revision '%s' (404)", repo, path,
                 revision);
    } else if (a->code == 401 && client->token && message && strstr(message, "Invalid")) {
        hub_fail(err, HUB_FAILED, "the hub does not accept your token (401: %s): check HF_TOKEN",
                 message);
    } else if (!strcmp(kind, "RepoNotFound") || a->code == 401 || a->code == 404) {
        hub_fail(err, HUB_FAILED,
                 "there is no repository %s at %s (%d), or it is private: check "
                 "the name%s",
                 repo, at, a->code, client->token ? "" : ", or set HF_TOKEN");
    } else if (a->code == 403) {
        hub_fail(err, HUB_FAILED,
                 "%s/%s may not be read (403%s%s): its terms may want accepting "
                 "there, or HF_TOKEN may lack the right",
                 at, repo, message ? ": " : "", message ? message : "");
    } else if (a->code == 429) {
        hub_fail(err, HUB_NETWORK,
                 "%s: too many requests (429); wait a few minutes, or set "
                 "HF_TOKEN",
                 at);
    } else {
        hub_fail(err, HUB_FAILED, "%s answers about %s with status %d%s%s", at, repo, a->code,
                 message ? ": " : "", message ? message : "");
    }
    free(code);
    free(message);
    return a->code == 429 || a->code >= 500 ? HUB_NETWORK : HUB_FAILED;
}

/* ---- the list of files ----------------------------------------------------------------------- */

static void copy_hash(json_t *value, char *to, size_t n_digits) {
    const char *text = json_string_value(value);
    bool good = text && strlen(text) == n_digits && text_made_of(text, HEX_DIGITS, n_digits);
    snprintf(to, n_digits + 1, "%s", good ? text : "");
}

static hub_status add_file(hf_tree *tree, json_t *entry, const char *repo, hub_error *err) {
    const char *type = json_string_value(json_object_get(entry, "type"));
    const char *path = json_string_value(json_object_get(entry, "path"));
    json_t *size = json_object_get(entry, "size");
    json_t *lfs = json_object_get(entry, "lfs");
    if (!type || strcmp(type, "file") != 0) return HUB_OK;
    if (!path || !json_is_integer(size) || json_integer_value(size) < 0)
        return hub_fail(err, HUB_FAILED, "%s: the hub lists a file without a name or a size", repo);
    if (!names_is_safe_path(path)) {
        if (!text_ends(path, ".gguf")) return HUB_OK; /* nothing we would want */
        return hub_fail(err, HUB_FAILED,
                        "%s: the hub lists a file with the name '%.200s', which "
                        "could lie outside the cache: refused",
                        repo, path);
    }
    if (tree->n == MAX_FILES)
        return hub_fail(err, HUB_FAILED, "%s has more than %d files", repo, MAX_FILES);
    if ((tree->n & (tree->n - 1)) == 0) { /* full at every power of two */
        size_t room = tree->n ? tree->n * 2 : 1;
        tree->files = hub_memory(tree->files, room, sizeof *tree->files);
        tree->paths = hub_memory(tree->paths, room, sizeof *tree->paths);
    }
    hf_file *file = &tree->files[tree->n];
    *file = (hf_file){.path = hub_copy(path), .size = (uint64_t)json_integer_value(size)};
    copy_hash(json_object_get(lfs, "oid"), file->sha256, 64);
    if (!json_is_object(lfs)) copy_hash(json_object_get(entry, "oid"), file->git_id, 40);
    tree->paths[tree->n++] = file->path;
    return HUB_OK;
}

hub_status hf_parse_page(hf_tree *tree, const char *text, size_t n, const char *repo,
                         hub_error *err) {
    json_error_t where;
    json_t *page = json_loadb(text, n, 0, &where);
    hub_status status = HUB_OK;
    if (!json_is_array(page)) {
        status = hub_fail(err, HUB_FAILED, "%s: the hub's answer is no list of files%s%s", repo,
                          page ? "" : ": ", page ? "" : where.text);
    }
    for (size_t i = 0; status == HUB_OK && i < json_array_size(page); i++)
        status = add_file(tree, json_array_get(page, i), repo, err);
    json_decref(page);
    return status;
}

/* The address of the next page, from 'Link: <...>; rel="next"'; NULL at the end. */
static char *next_page(const hf_client *client, const answer *a) {
    char *link = transfer_header(a, "link");
    char *next = NULL;
    for (const char *at = link; at && (at = strchr(at, '<')); at++) {
        size_t n = strcspn(at + 1, ">");
        const char *rel = at + 1 + n;
        size_t n_rel = strcspn(rel, ",");
        char *rest = hub_copy_n(rel, n_rel);
        bool is_next = strstr(rest, "rel=\"next\"") || strstr(rest, "rel=next");
        free(rest);
        if (!is_next) continue;
        char *target = hub_copy_n(at + 1, n);
        next = transfer_join(a->url, target);
        free(target);
        break;
    }
    free(link);
    char *origin = next ? transfer_origin(next) : NULL;
    if (next && !(origin && string_list_has(&client->trusted, origin))) hub_set(&next, NULL);
    free(origin);
    return next;
}

static char *escape_revision(const char *revision) {
    char *out = hub_copy("");
    for (const char *at = revision; *at;) {
        size_t n = strcspn(at, "/");
        char *part = hub_copy_n(at, n);
        char *escaped = transfer_escape(part);
        hub_set(&out, hub_format("%s%s%s", out, escaped, at[n] ? "%2F" : ""));
        free(part);
        free(escaped);
        at += n + (at[n] != 0);
    }
    return out;
}

hub_status hf_list_files(const hf_client *client, const char *repo, const char *revision,
                         hf_tree *out, hub_error *err) {
    char *escaped = escape_revision(revision);
    char *url =
        hub_format("%s/api/models/%s/tree/%s?recursive=true", client->endpoint, repo, escaped);
    hub_status status = HUB_OK;
    free(escaped);
    *out = (hf_tree){0};
    for (int n_pages = 0; url && status == HUB_OK; n_pages++) {
        http_request r;
        answer a = {0};
        api_request(client, &r);
        r.url = url;
        if (n_pages == MAX_PAGES) {
            status = hub_fail(err, HUB_FAILED, "%s: the list of files has no end", repo);
            break;
        }
        status = fetch_answer(client->transfer, client->host, &r, &a, err);
        if (status != HUB_OK) break;
        if (a.code != 200) {
            status = refuse(client, &a, repo, revision, NULL, err);
        } else {
            status = hf_parse_page(out, a.body ? a.body : "", a.n_body, repo, err);
        }
        hub_set(&url, status == HUB_OK ? next_page(client, &a) : NULL);
        transfer_answer_clear(&a);
    }
    free(url);
    if (status != HUB_OK) hf_tree_clear(out);
    return status;
}

void hf_tree_clear(hf_tree *tree) {
    for (size_t i = 0; i < tree->n; i++) free(tree->files[i].path);
    free(tree->files);
    free(tree->paths);
    *tree = (hf_tree){0};
}

/* ---- one file -------------------------------------------------------------------------------- */

/* W/"abc" and "abc" are abc; NULL for what could not be a file name. */
static char *normal_etag(char *etag) {
    char *start = etag;
    if (!etag) return NULL;
    if (text_starts(start, "W/")) start += 2;
    size_t n = strlen(start);
    if (n >= 2 && start[0] == '"' && start[n - 1] == '"') {
        start[n - 1] = 0;
        start++;
    }
    bool good = text_made_of(start, LETTERS_ETC "-_.=+", 200) && start[0] != '.';
    return good ? hub_copy(start) : NULL;
}

static void read_size(const answer *a, hf_location *out) {
    char *text = transfer_header(a, "x-linked-size");
    if (!text && !a->location) text = transfer_header(a, "content-length");
    out->has_size = text && text_made_of(text, "0123456789", 18);
    if (out->has_size) out->size = strtoull(text, NULL, 10);
    free(text);
}

static hub_status read_location(const answer *a, const char *repo, const char *path,
                                hf_location *out, hub_error *err) {
    char *commit = transfer_header(a, "x-repo-commit");
    char *etag = transfer_header(a, "x-linked-etag");
    if (!etag) etag = transfer_header(a, "etag");
    hub_status status = HUB_OK;
    out->etag = normal_etag(etag);
    if (!commit || !names_is_commit(commit)) {
        char *shown = transfer_shown(a->url);
        status = hub_fail(err, HUB_FAILED, "%s: the answer names no commit: is this a hub?", shown);
        free(shown);
    } else if (!out->etag) {
        status = hub_fail(err, HUB_FAILED,
                          "%s: the hub gives '%.200s' as the ETag of %s, which "
                          "cannot name a file",
                          repo, etag ? etag : "", path);
    } else {
        memcpy(out->commit, commit, sizeof out->commit);
        read_size(a, out);
        out->url = hub_copy(a->location ? a->location : a->url);
    }
    free(commit);
    free(etag);
    return status;
}

hub_status hf_locate(const hf_client *client, const char *repo, const char *revision,
                     const char *path, hf_location *out, hub_error *err) {
    char *escaped = transfer_escape(path);
    char *branch = escape_revision(revision);
    char *url = hub_format("%s/%s/resolve/%s/%s", client->endpoint, repo, branch, escaped);
    http_request r;
    answer a = {0};
    api_request(client, &r);
    r.url = url;
    r.head = true;
    r.stop_at_foreign = true;
    *out = (hf_location){0};
    hub_status status = fetch_answer(client->transfer, client->host, &r, &a, err);
    if (status == HUB_OK) {
        bool good = a.code == 200 || a.location;
        status = good ? read_location(&a, repo, path, out, err)
                      : refuse(client, &a, repo, revision, path, err);
    }
    if (status != HUB_OK) hf_location_clear(out);
    transfer_answer_clear(&a);
    free(url);
    free(branch);
    free(escaped);
    return status;
}

void hf_location_clear(hf_location *location) {
    free(location->etag);
    free(location->url);
    *location = (hf_location){0};
}
