/* http_server.h: what runs HTTP: one thread, the one that calls pn_http_run. */
#ifndef PUNA_SERVER_HTTP_SERVER_H
#define PUNA_SERVER_HTTP_SERVER_H

#include "http_guard.h"
#include "router.h"

typedef struct pn_http pn_http;

typedef struct pn_http_options {
    int listen_fd;           /* bound and listening; closed by the server when it ends */
    int32_t max_connections; /* when all are taken, the one that has been silent longest goes */
    size_t max_body_bytes;   /* of one request */
    size_t max_bodies_bytes; /* of all that are under way */
    double header_s;         /* for the whole head of a request */
    double body_s;           /* for its body, and a second more for every 64 KiB */
    double write_s;          /* without any byte going out, or without a next request */
    double ping_s;           /* of silence before a ping goes into a stream of events; 0: none */
    const pn_guard *guard;   /* stays the caller's, like everything below */
    pn_workers *workers;
    void *user;
    /* Runs the handler of x's route, on a worker. */
    void (*handle)(void *user, pn_exchange *x, const pn_route *route);
    /* One line of the access log without control characters, on the HTTP thread; may be NULL. */
    void (*log)(void *log_user, const char *line);
    void *log_user;
    /* A response is complete or broken off (499); HTTP thread. */
    void (*done)(void *user, int status);
    /* Some times a second on the HTTP thread, with the number of requests under way. */
    void (*tick)(void *user, int32_t n_exchanges);
} pn_http_options;

/* Makes room for so many connections among the files that this process may have open. False, with what there
 * is in *n, when it cannot be. */
bool pn_http_make_room(int32_t *n);

puna_status pn_http_open(const pn_http_options *options, pn_http **http, puna_error *err);
/* Returns after pn_http_drain, when no request is left, or after pn_http_cut. */
puna_status pn_http_run(pn_http *http, puna_error *err);
/* No new connections, no new requests; those under way go on. Callable from a signal handler. */
void pn_http_drain(pn_http *http);
/* Breaks off what is left. HTTP thread. */
void pn_http_cut(pn_http *http);
/* When nobody has an exchange any more. */
void pn_http_free(pn_http *http);

#endif
