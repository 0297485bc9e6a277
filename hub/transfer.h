/* transfer.h: HTTP requests that can be interrupted, and whose answers are bounded.
 *
 * The only file that knows libcurl is transfer.c; where there is no libcurl, transfer_none.c has
 * the same functions and transfer_open fails. Redirects are followed here and not in libcurl, so
 * that a token goes to trusted origins alone, never from https to http, and no other scheme is
 * ever opened. */
#ifndef PUNA_HUB_TRANSFER_H
#define PUNA_HUB_TRANSFER_H

#include "hub_base.h"

typedef struct transfer transfer;

/* Keeps connections for the requests that follow. NULL after an error. host must outlive it. */
transfer *transfer_open(const hub_host *host, hub_error *err);
void transfer_close(transfer *t);

/* What came back; transfer_answer_clear frees it. */
typedef struct answer {
    int code;       /* HTTP status */
    char *url;      /* that answered, after redirects */
    char *location; /* of a redirect that was not followed, absolute; or NULL */
    char *headers;  /* "name: value\n" lines of the last response, or NULL */
    char *body;     /* NUL-terminated, NULL when there is none or it went to a sink */
    size_t n_body;
    double retry_after_s; /* what the server asked for; 0: nothing */
} answer;
void transfer_answer_clear(answer *a);
/* The value of a header; to be freed; NULL when it is missing. */
char *transfer_header(const answer *a, const char *name);

/* Where the body of a successful download goes. Both return false to end it, after setting the
 * error of their own. */
typedef struct body_sink {
    void *user;
    bool (*start)(void *user, const answer *a); /* status and headers are known */
    bool (*write)(void *user, const char *bytes, size_t n);
} body_sink;

typedef struct http_request {
    const char *url;
    bool head;
    const char *accept;         /* or NULL */
    const char *token;          /* sent as Authorization: Bearer, or NULL */
    const string_list *trusted; /* origins that get the token */
    bool stop_at_foreign;     /* a redirect to an origin that is not trusted is the answer itself */
    uint64_t from;            /* bytes=from- when > 0 */
    size_t max_body;          /* bytes of a body without a sink */
    double stall_s;           /* this long without a byte counts as broken */
    double total_s;           /* limit of the whole request, 0: none */
    const char *certificates; /* a file of certification authorities, or NULL */
    const body_sink *sink;
} http_request;

/* HUB_OK whatever the status code; HUB_NETWORK for what may work when tried again, *code then 0;
 * HUB_STOPPED; HUB_FAILED for the rest, and when the sink ended it. */
hub_status transfer_request(transfer *t, const http_request *r, answer *a, hub_error *err);

/* "https://host:443" of an address, NULL when it is none of http or https. */
char *transfer_origin(const char *url);
/* An address relative to another one; NULL when it makes no sense. */
char *transfer_join(const char *base, const char *relative);
/* For messages: without user, password and query, which may be secrets. */
char *transfer_shown(const char *url);
/* The path of a file: address; NULL for others. */
char *transfer_file_path(const char *url);
/* Escapes what may not stand in a path; slashes stay. */
char *transfer_escape(const char *path);

#endif
