/* http_guard.h: who may ask: names of this server, origins of web pages, API keys.
 *
 * A page on the web must not reach a server on its reader's own machine. Two ways are closed here: a
 * name that the attacker's DNS turns into 127.0.0.1 (the Host header then has that name: only names that
 * are known are answered; addresses are no names), and requests across origins (the Origin header). */
#ifndef PUNA_SERVER_HTTP_GUARD_H
#define PUNA_SERVER_HTTP_GUARD_H

#include "puna.h"

typedef struct pn_guard pn_guard;

typedef struct pn_guard_options {
    bool loopback;     /* the server listens on this machine's own addresses only */
    const char *bound; /* the name or address that it was told to listen at, or NULL */
    /* further names: "chat.example.org", ".example.org" for all below it, "*" for any */
    const char *const *hosts;
    int32_t n_hosts;
    const char *const *origins; /* "https://chat.example.org", or "*" */
    int32_t n_origins;
    const char *const *keys; /* none: everybody may ask */
    int32_t n_keys;
} pn_guard_options;

/* Everything is copied; of keys only the SHA-256 is kept. */
puna_status pn_guard_open(const pn_guard_options *options, pn_guard **guard, puna_error *err);
void pn_guard_free(pn_guard *guard);

/* host: what the Host header says, or NULL without one (HTTP/1.0 allows that, and no browser does it). */
bool pn_guard_host(const pn_guard *guard, const char *host);
typedef enum pn_origin {
    PN_ORIGIN_SAME = 0, /* no page of another server asks */
    PN_ORIGIN_ALLOWED,  /* one that may: its origin goes into the response */
    PN_ORIGIN_FOREIGN
} pn_origin;
/* origin: the Origin header, or NULL. */
pn_origin pn_guard_origin(const pn_guard *guard, const char *origin, const char *host);

bool pn_guard_needs_key(const pn_guard *guard);
/* Compares digests, in the same time whatever the key. *client gets a number that stands for the key. */
bool pn_guard_key(const pn_guard *guard, const char *key, uint64_t *client);

#endif
