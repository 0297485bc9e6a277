/* http.h: HTTP/1.1 as the APIs see it: a request that has arrived whole, and a response that any
 * thread may write. http.c is the only file that knows the HTTP library.
 *
 * Three kinds of threads: one HTTP thread moves bytes and never waits for anything else; workers
 * (workers.h) read JSON, render templates, tokenize and write answers; the engine thread steps the
 * scheduler. A route's handler runs on a worker, and must not wait for the engine: it leaves callbacks
 * behind and returns.
 *
 * An exchange is one request with its response. The handler has a reference for the length of its
 * call; who keeps the exchange longer retains it. A response is either one reply, or a stream:
 * pn_exchange_stream, any number of writes, pn_exchange_end. An exchange whose last reference goes
 * without either is answered with 500. When the client leaves before the end, on_gone is called, and
 * whatever is written from then on is thrown away. */
#ifndef PUNA_SERVER_HTTP_H
#define PUNA_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pn_exchange pn_exchange;

void pn_exchange_retain(pn_exchange *x);
void pn_exchange_release(pn_exchange *x);

/* ---- the request: strings live as long as the exchange ------------------------------------------- */

const char *pn_exchange_path(const pn_exchange *x);
/* What the "*" at the end of a route's path stands for, percent-decoded; "" without one. */
const char *pn_exchange_rest(const pn_exchange *x);
/* NULL where there is none. Header names are compared without case. */
const char *pn_exchange_query(const pn_exchange *x, const char *name);
const char *pn_exchange_header(const pn_exchange *x, const char *name);
/* NUL-terminated, "" without a body. */
const char *pn_exchange_body(const pn_exchange *x, size_t *n_bytes);
/* Who asks, for taking turns: the same number for the same API key, or where keys are not used for the
 * same address. */
uint64_t pn_exchange_client(const pn_exchange *x);
/* A number of this request for logs and ids, unique in this process. */
uint64_t pn_exchange_number(const pn_exchange *x);

/* Whose form errors have: a column of routes.def. */
typedef enum pn_dialect { PN_DIALECT_OPENAI = 0, PN_DIALECT_ANTHROPIC = 1 } pn_dialect;
pn_dialect pn_exchange_dialect(const pn_exchange *x);

/* ---- the response: from any thread, but one at a time -------------------------------------------- */

/* A header of the response, before it begins; both are copied. */
void pn_exchange_set_header(pn_exchange *x, const char *name, const char *value);
/* The whole response; the body is copied. */
void pn_exchange_reply(pn_exchange *x, int status, const char *content_type, const char *body,
                       size_t n_bytes);
/* Begins a response of status 200 whose length is not known. "text/event-stream" streams get a ": ping"
 * comment whenever nothing was written for some seconds, so that proxies keep them open. */
void pn_exchange_stream(pn_exchange *x, const char *content_type);
/* Copies bytes to the stream. False: nobody will read them (the client has left, or no memory). */
bool pn_exchange_write(pn_exchange *x, const char *bytes, size_t n_bytes);
void pn_exchange_end(pn_exchange *x);

/* What the line of this request in the access log says. */
void pn_exchange_set_tokens(pn_exchange *x, int32_t n_prompt, int32_t n_sampled);

typedef void (*pn_gone_fn)(void *user);
/* fn is called once, on the HTTP thread, when the client leaves before the response is complete; at
 * once when it has left already. It must be quick. NULL: nothing is called any more, and none is under
 * way when this returns. A client that only says that it will send no more (shutdown, "nc -N") counts as
 * one that leaves where a function is set, for nothing tells the two apart; where none is set, it gets
 * its response. */
void pn_exchange_on_gone(pn_exchange *x, pn_gone_fn fn, void *user);

#endif
