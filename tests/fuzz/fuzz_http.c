/* fuzz_http.c: what the server reads of a request by itself: target, query, Host, Origin, key, route. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http_guard.h"
#include "http_url.h"
#include "replay.h"
#include "router.h"
#include "server_fail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const seeds[] = {
    "/v1/models/a%20b?x=1&y=%41+b&z",
    "http://localhost:8080/health?a=b",
    "/%e2%82%ac/../..//?=&&&%41=%20",
    "/slots",
};

int64_t fuzz_n_accepted;

size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    if (index >= (int32_t)(sizeof seeds / sizeof *seeds)) return 0;
    size_t n = strlen(seeds[index]);
    if (n > cap) n = cap;
    memcpy(data, seeds[index], n);
    return n;
}

static pn_guard *guard;

static void open_guard(void) {
    static const char *const hosts[] = {"chat.example.org", ".lab"};
    static const char *const origins[] = {"https://chat.example.org"};
    static const char *const keys[] = {"sk-1234"};
    const pn_guard_options o = {true, "here", hosts, 2, origins, 1, keys, 1};
    if (pn_guard_open(&o, &guard, NULL) != PUNA_OK) abort();
}

static void try_target(char *text) {
    char *path, *query;
    pn_route_match match;
    if (!pn_url_split(text, &path, &query)) return;
    fuzz_n_accepted++;
    char *pairs = malloc(2 * strlen(query) + 2);
    if (!pairs) return;
    size_t n = pn_url_pairs(query, pairs), n_bytes = 0;
    for (size_t i = 0; i < 2 * n; i++) n_bytes += strlen(pairs + n_bytes) + 1;
    if (n_bytes > 2 * strlen(query) + 2) abort();
    free(pairs);
    pn_route_find("GET", path, &match);
    if (match.route && (*path != '/' || match.rest_at > strlen(path))) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const size_t n_bytes = size;
    uint64_t client;
    if (!guard) open_guard();
    char *text = malloc(n_bytes + 1);
    if (!text) return 0;
    memcpy(text, data, n_bytes);
    text[n_bytes] = 0;
    bool host = pn_guard_host(guard, text);
    if (host && strchr(text, '/')) abort();
    pn_guard_origin(guard, text, "localhost");
    pn_guard_origin(guard, "http://localhost", text);
    if (pn_guard_key(guard, text, &client) != (strcmp(text, "sk-1234") == 0)) abort();
    char *line = malloc(n_bytes + 1);
    if (line) {
        memcpy(line, text, n_bytes + 1);
        pn_clean_line(line);
        for (const char *c = line; *c; c++)
            if ((unsigned char)*c < 0x20) abort();
        free(line);
    }
    try_target(text);
    free(text);
    return 0;
}
