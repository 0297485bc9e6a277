/* http_guard.c: who may ask: names of this server, origins of web pages, API keys. */
#define _DEFAULT_SOURCE /* gethostname */
#include "http_guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "hub/digest.h"
#include "server_fail.h"

enum { NAME_CHARS = 256 };

typedef struct text_list {
    char **items;
    int32_t n;
} text_list;

struct pn_guard {
    bool loopback;
    char own_name[NAME_CHARS]; /* of this machine, "" when loopback */
    char bound[NAME_CHARS];    /* what it listens at, "" when that is not known */
    text_list hosts;
    text_list origins;
    char (*digests)[DIGEST_HEX_CHARS];
    int32_t n_keys;
};

/* ---- opening --------------------------------------------------------------------------------- */

static bool copy_list(text_list *list, const char *const *items, int32_t n) {
    if (n <= 0) return true;
    list->items = calloc((size_t)n, sizeof *list->items);
    if (!list->items) return false;
    for (; list->n < n; list->n++) {
        size_t bytes = strlen(items[list->n]) + 1;
        char *copy = malloc(bytes);
        if (!copy) return false;
        memcpy(copy, items[list->n], bytes);
        list->items[list->n] = copy;
    }
    return true;
}

static void free_list(text_list *list) {
    for (int32_t i = 0; i < list->n; i++) free(list->items[i]);
    free(list->items);
}

static void digest_key(const char *key, char hex[DIGEST_HEX_CHARS]) {
    digest d;
    digest_begin_sha256(&d);
    digest_add(&d, key, strlen(key));
    digest_end(&d, hex);
}

static bool copy_keys(pn_guard *g, const pn_guard_options *o) {
    if (o->n_keys <= 0) return true;
    g->digests = calloc((size_t)o->n_keys, sizeof *g->digests);
    if (!g->digests) return false;
    for (; g->n_keys < o->n_keys; g->n_keys++)
        digest_key(o->keys[g->n_keys], g->digests[g->n_keys]);
    return true;
}

puna_status pn_guard_open(const pn_guard_options *options, pn_guard **guard, puna_error *err) {
    pn_guard *g = calloc(1, sizeof *g);
    if (g) g->loopback = options->loopback;
    if (!g || !copy_list(&g->hosts, options->hosts, options->n_hosts) ||
        !copy_list(&g->origins, options->origins, options->n_origins) || !copy_keys(g, options)) {
        pn_guard_free(g);
        return pn_server_fail(err, PUNA_E_NOMEM, "out of memory: names and keys of the server");
    }
    snprintf(g->bound, sizeof g->bound, "%s", options->bound ? options->bound : "");
    if (!g->loopback && gethostname(g->own_name, sizeof g->own_name - 1) != 0) g->own_name[0] = 0;
    *guard = g;
    return PUNA_OK;
}

void pn_guard_free(pn_guard *g) {
    if (!g) return;
    free_list(&g->hosts);
    free_list(&g->origins);
    free(g->digests);
    free(g);
}

/* ---- hosts ----------------------------------------------------------------------------------- */

/* "name:port", "[address]:port" without the port and the brackets. False when it is neither. */
static bool host_name(const char *host, char name[NAME_CHARS], bool *bracketed) {
    *bracketed = *host == '[';
    size_t n = *bracketed ? strcspn(host, "]") : strcspn(host, ":");
    const char *rest = host + n;
    if (*bracketed) {
        if (*rest++ != ']') return false;
        host++;
        n--;
    }
    if (*rest == ':') {
        rest++;
        rest += strspn(rest, "0123456789");
    }
    if (*rest || n == 0 || n >= NAME_CHARS) return false;
    memcpy(name, host, n);
    name[n] = 0;
    if (n > 1 && name[n - 1] == '.') name[n - 1] = 0; /* a name may end with the root's dot */
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:%") ==
           strlen(name);
}

/* 1: an address of this machine's loopback, 0: another address, -1: a name. */
static int address_kind(const char *name, bool bracketed) {
    struct in_addr v4;
    struct in6_addr v6;
    if (bracketed) {
        if (inet_pton(AF_INET6, name, &v6) != 1) return -1;
        return IN6_IS_ADDR_LOOPBACK(&v6);
    }
    if (inet_pton(AF_INET, name, &v4) != 1) return -1;
    return (ntohl(v4.s_addr) >> 24) == 127;
}

static bool matches_host(const char *allowed, const char *name) {
    size_t n = strlen(allowed), n_name = strlen(name);
    if (strcmp(allowed, "*") == 0) return true;
    if (*allowed == '.') return n_name > n && strcasecmp(name + n_name - n, allowed) == 0;
    return strcasecmp(allowed, name) == 0;
}

static bool is_own_name(const pn_guard *g, const char *name) {
    if (*g->bound && strcasecmp(g->bound, name) == 0) return true;
    if (!*g->own_name) return false;
    size_t n = strcspn(g->own_name, ".");
    bool is_short = strncasecmp(g->own_name, name, n) == 0 && !name[n];
    return is_short || strcasecmp(g->own_name, name) == 0;
}

bool pn_guard_host(const pn_guard *g, const char *host) {
    char name[NAME_CHARS];
    bool bracketed;
    if (!host) return true;
    if (!host_name(host, name, &bracketed)) return false;
    int kind = address_kind(name, bracketed);
    if (bracketed && kind < 0) return false;
    if (kind == 1 || (kind == 0 && !g->loopback)) return true;
    if (strcasecmp(name, "localhost") == 0 || is_own_name(g, name)) return true;
    for (int32_t i = 0; i < g->hosts.n; i++)
        if (matches_host(g->hosts.items[i], name)) return true;
    return false;
}

/* ---- origins --------------------------------------------------------------------------------- */

/* "https://name:443" is "name" to a Host header, which leaves out the usual port. */
static bool is_same_origin(const char *origin, const char *host) {
    const char *usual = strncasecmp(origin, "http://", 7) == 0    ? ":80"
                        : strncasecmp(origin, "https://", 8) == 0 ? ":443"
                                                                  : NULL;
    if (!usual || !host) return false;
    const char *rest = strchr(origin, '/') + 2;
    size_t n = strlen(host);
    size_t n_usual = strlen(usual);
    if (strcasecmp(rest, host) == 0) return true;
    /* "name:443" as Host, which some proxies write */
    if (n <= n_usual || strcmp(host + n - n_usual, usual) != 0) return false;
    return strncasecmp(rest, host, n - n_usual) == 0 && !rest[n - n_usual];
}

pn_origin pn_guard_origin(const pn_guard *g, const char *origin, const char *host) {
    if (!origin || is_same_origin(origin, host)) return PN_ORIGIN_SAME;
    for (int32_t i = 0; i < g->origins.n; i++) {
        const char *allowed = g->origins.items[i];
        if (strcmp(allowed, "*") == 0 || strcasecmp(allowed, origin) == 0) return PN_ORIGIN_ALLOWED;
    }
    return PN_ORIGIN_FOREIGN;
}

/* ---- keys ------------------------------------------------------------------------------------ */

bool pn_guard_needs_key(const pn_guard *g) {
    return g->n_keys > 0;
}

/* No branch and no early end depends on the bytes. */
static unsigned differs(const char *a, const char *b, size_t n) {
    unsigned difference = 0;
    for (size_t i = 0; i < n; i++) difference |= (unsigned)(a[i] ^ b[i]) & 0xFFu;
    return difference;
}

bool pn_guard_key(const pn_guard *g, const char *key, uint64_t *client) {
    char hex[DIGEST_HEX_CHARS];
    unsigned found = 0;
    digest_key(key, hex);
    for (int32_t i = 0; i < g->n_keys; i++)
        found |= differs(hex, g->digests[i], DIGEST_HEX_CHARS - 1) == 0;
    *client = 0;
    for (int i = 0; i < 16; i++) {
        unsigned nibble =
            (unsigned char)hex[i] <= '9' ? (unsigned)hex[i] - '0' : (unsigned)hex[i] - 'a' + 10;
        *client = *client << 4 | nibble;
    }
    return found;
}
