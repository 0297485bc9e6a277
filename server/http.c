/* http.c: HTTP/1.1 by GNU libmicrohttpd; the only file that knows it.
 *
 * The library runs in the mode in which it does nothing but what pn_http_run tells it, on one thread. That
 * thread waits on an epoll of its own, which holds the library's epoll, an eventfd by which the other
 * threads say that an exchange has something to send, and the watch: an epoll with all connections,
 * which hears at once when a client goes, also while nothing is written. (The library reads until there is
 * less than it asked for, and waits for the next edge: an end that came with the last bytes is lost to it.)
 *
 * A connection (peer) goes through
 *     IDLE -> HEAD (the request line is there) -> BODY (the header is right) -> WORK (a handler has it) -> IDLE
 * While a handler works, and while a stream has nothing to send, the connection is suspended.
 *
 * The library leaves to its user, and so this file does: how long a header or a body may take as a whole,
 * Content-Length given twice or with Transfer-Encoding, names of headers with spaces, what is too large
 * when it is not announced. A request that cannot be answered any more in the library's own way (its body
 * is half read) gets its answer written to the socket directly. */
#define _GNU_SOURCE /* EPOLLRDHUP */
#include "http_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api_error.h"
#include "exchange.h"
#include "http_url.h"
#include "server_fail.h"

enum {
    MAX_HEADERS = 100,
    MAX_HEADER_BYTES = 32 << 10,
    POOL_BYTES =
        64 << 10, /* the library's memory of a connection: the header fits, and some of the body */
    STREAM_BLOCK_BYTES = 8 << 10,
    SPARE_CONNECTIONS = 32, /* beyond the limit, for as long as it takes to send somebody away */
    SPARE_FILES = 64,
    MAX_EVENTS = 64
};

static const double tick_s = 0.2;
static const double linger_s = 2; /* for a client to read why it was refused */
static const double body_bytes_per_s = 65536;

typedef enum peer_state { PEER_IDLE, PEER_HEAD, PEER_BODY, PEER_WORK, PEER_REFUSED } peer_state;

/* A connection. */
typedef struct peer peer;
struct peer {
    pn_http *http;
    struct MHD_Connection *connection;
    int fd;
    peer_state state;
    bool used;         /* it had a request before */
    double begun_s;    /* of what it waits for */
    double deadline_s; /* for that; 0: none */
    uint64_t client;   /* stands for its address */
    pn_exchange *x;    /* the request under way */
    size_t n_charged;  /* bytes of its body in http->n_body_bytes */
    int refused;       /* the status written directly */
    bool has_body;
    bool suspended;
    bool no_more; /* the client has closed, or says that it sends nothing more */
    peer *prev;
    peer *next;
};

struct pn_http {
    pn_http_options o;
    struct MHD_Daemon *daemon;
    int epoll_fd;
    int watch_fd;
    pn_wake_list wake;
    peer *first; /* newest first */
    int32_t n_peers;
    int32_t n_exchanges;
    size_t n_body_bytes;
    double ticked_s;
    atomic_bool drain_wanted;
    bool draining;
    bool cut;
};

/* ---- small helpers --------------------------------------------------------------------------- */

static peer *peer_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void suspend(peer *p) {
    p->suspended = true;
    MHD_suspend_connection(p->connection);
}

static void resume(peer *p) {
    if (!p->suspended) return;
    p->suspended = false;
    MHD_resume_connection(p->connection);
}

static void watch(peer *p) {
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = p};
    epoll_ctl(p->http->watch_fd, EPOLL_CTL_ADD, p->fd, &event);
}

static void unwatch(peer *p) {
    epoll_ctl(p->http->watch_fd, EPOLL_CTL_DEL, p->fd, NULL);
}

/* The library sees the end of the connection, and closes it. */
static void hang_up(peer *p) {
    shutdown(p->fd, SHUT_RDWR);
    p->deadline_s = 0;
}

static void wait_for(peer *p, peer_state state, double seconds) {
    p->state = state;
    p->begun_s = pn_server_now();
    p->deadline_s = p->begun_s + seconds;
}

/* ---- responses ------------------------------------------------------------------------------- */

/* Called by the library when it can send more of a stream. */
static ssize_t read_stream(void *user, uint64_t position, char *buf, size_t max) {
    pn_exchange *x = user;
    size_t n = 0;
    (void)position;
    switch (pn_exchange_take(x, buf, max, &n)) {
    case PN_TAKE_BYTES: return (ssize_t)n;
    case PN_TAKE_WAIT: suspend(x->peer); return 0;
    case PN_TAKE_END: return MHD_CONTENT_READER_END_OF_STREAM;
    case PN_TAKE_BROKEN: break;
    }
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static void add_headers(struct MHD_Response *response, const peer *p) {
    pn_exchange *x = p->x;
    const pn_header_list *list = &x->out_headers;
    if (x->content_type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, x->content_type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (!pn_header_find(list, MHD_HTTP_HEADER_CACHE_CONTROL)) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
                                x->is_events ? "no-cache" : "no-store");
    }
    if (x->is_events && !pn_header_find(list, "X-Accel-Buffering"))
        MHD_add_response_header(response, "X-Accel-Buffering", "no");
    bool body_is_left = p->has_body && p->state != PEER_WORK;
    if (p->http->draining || body_is_left)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    for (const char *at = list->text; list->text && at < list->text + list->n_bytes;) {
        const char *value = at + strlen(at) + 1;
        MHD_add_response_header(response, at, value);
        at = value + strlen(value) + 1;
    }
}

/* The response that has begun. Under the lock of the exchange. */
static struct MHD_Response *make_response(pn_exchange *x) {
    if (x->state != PN_RESPONSE_WHOLE)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, read_stream,
                                                 x, NULL);
    if (x->out.end == x->out.begin)
        return MHD_create_response_from_buffer(0, x->target, MHD_RESPMEM_PERSISTENT);
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback(
        x->out.end - x->out.begin, x->out.at, free);
    if (response) x->out = (pn_bytes){0}; /* its buffer has a new owner */
    return response;
}

/* Hands the response to the library, or waits until there is one. */
static enum MHD_Result respond(peer *p) {
    pn_exchange *x = p->x;
    pthread_mutex_lock(&x->lock);
    if (x->gone) {
        pthread_mutex_unlock(&x->lock);
        return MHD_NO;
    }
    if (x->state == PN_RESPONSE_NONE) {
        x->parked = true;
        pthread_mutex_unlock(&x->lock);
        suspend(p);
        return MHD_YES;
    }
    struct MHD_Response *response = make_response(x);
    pthread_mutex_unlock(&x->lock);
    if (!response) return MHD_NO;
    add_headers(response, p);
    enum MHD_Result queued = MHD_queue_response(p->connection, (unsigned)x->status, response);
    MHD_destroy_response(response);
    return queued;
}

static const char *reason_of(int status) {
    switch (status) {
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    default: return "Service Unavailable";
    }
}

/* Writes an answer to the socket, past the library, while it waits for the rest of a request. */
static void refuse_directly(peer *p, const pn_api_error *e) {
    char text[1024];
    char *body = pn_api_error_json(p->x, e);
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s"
                     "Connection: close\r\n\r\n%s",
                     e->status, reason_of(e->status), body ? strlen(body) : (size_t)0,
                     e->status == 503 ? "Retry-After: 1\r\n" : "", body ? body : "");
    free(body);
    if (n > 0 && n < (int)sizeof text &&
        send(p->fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        hang_up(p);
    shutdown(p->fd, SHUT_WR);
    p->refused = e->status;
    wait_for(p, PEER_REFUSED, linger_s);
}

/* ---- the head of a request ------------------------------------------------------------------- */

typedef struct head {
    pn_exchange *x;
    int32_t n_headers;
    size_t n_bytes;
    int32_t n_hosts;
    int32_t n_lengths;
    int32_t n_encodings;
    bool no_memory;
    bool malformed;
} head;

static bool is_token(const char *text, size_t n) {
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (!c || !strchr(others, c))) return false;
    }
    return n > 0;
}

static bool is_value(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F) return false;
    }
    return true;
}

static enum MHD_Result take_header(void *user, enum MHD_ValueKind kind, const char *name,
                                   size_t n_name, const char *value, size_t n_value) {
    head *h = user;
    (void)kind;
    h->n_headers++;
    h->n_bytes += n_name + n_value + 4;
    if (h->n_headers > MAX_HEADERS || h->n_bytes > MAX_HEADER_BYTES) return MHD_NO;
    if (!is_token(name, n_name) || !is_value(value ? value : "", n_value)) {
        h->malformed = true;
        return MHD_NO;
    }
    h->n_hosts += strcasecmp(name, "Host") == 0;
    h->n_lengths += strcasecmp(name, "Content-Length") == 0;
    h->n_encodings += strcasecmp(name, "Transfer-Encoding") == 0;
    h->no_memory = !pn_header_add(&h->x->headers, name, value ? value : "");
    return h->no_memory ? MHD_NO : MHD_YES;
}

static bool refuse(pn_api_error *e, int status, const char *message) {
    const char *type = status == 503   ? "unavailable_error"
                       : status >= 500 ? "server_error"
                                       : PN_INVALID_REQUEST;
    return pn_api_refuse(e, status, type, NULL, NULL, "%s", message);
}

/* What must be so for the next request on this connection to begin where this one ends. */
static bool check_framing(peer *p, const char *version, pn_api_error *e) {
    head h = {.x = p->x};
    const char *encoding;
    MHD_get_connection_values_n(p->connection, MHD_HEADER_KIND, take_header, &h);
    bool old = strcmp(version, "HTTP/1.0") == 0;
    encoding = pn_header_find(&p->x->headers, "Transfer-Encoding");
    p->has_body = true; /* whatever it may be: the connection ends with this request */
    if (h.no_memory) return refuse(e, 500, "out of memory");
    if (h.n_headers > MAX_HEADERS || h.n_bytes > MAX_HEADER_BYTES)
        return pn_api_refuse(e, 431, PN_INVALID_REQUEST, NULL, NULL,
                             "the header is too large: at most %d lines and %d bytes", MAX_HEADERS,
                             MAX_HEADER_BYTES);
    if (h.malformed) return refuse(e, 400, "a line of the header is malformed");
    if (h.n_lengths > 1 || h.n_encodings > 1 || (h.n_lengths && h.n_encodings))
        return refuse(e, 400, "the length of the body is given more than once");
    if (h.n_encodings && (old || strcasecmp(encoding, "chunked") != 0))
        return refuse(e, 400, "Transfer-Encoding: only chunked is understood");
    if (h.n_hosts > 1 || (!h.n_hosts && !old))
        return refuse(e, 400, "the header must have one line Host");
    const char *length = pn_header_find(&p->x->headers, "Content-Length");
    p->has_body = h.n_encodings || (length && strspn(length, "0") != strlen(length));
    return true;
}

static bool split_target(pn_exchange *x, pn_api_error *e) {
    if (!pn_url_split(x->target, &x->path, &x->query)) {
        x->path = x->query = x->target + strlen(x->target);
        return refuse(e, 400, "the path of the request is malformed");
    }
    if (!*x->query) return true;
    x->pairs = malloc(2 * strlen(x->query) + 2);
    if (!x->pairs) return refuse(e, 500, "out of memory");
    x->n_pairs = pn_url_pairs(x->query, x->pairs);
    return true;
}

/* Whether a page of another server may ask; then its browser is told so. */
static bool check_origin(peer *p, pn_api_error *e) {
    pn_exchange *x = p->x;
    const char *origin = pn_header_find(&x->headers, "Origin");
    const char *host = pn_header_find(&x->headers, "Host");
    if (!pn_guard_host(p->http->o.guard, host))
        return refuse(e, 403,
                      "this server does not go by the name in the Host header; "
                      "--allowed-host adds a name");
    switch (pn_guard_origin(p->http->o.guard, origin, host)) {
    case PN_ORIGIN_SAME: return true;
    case PN_ORIGIN_FOREIGN:
        return refuse(e, 403,
                      "pages of other origins may not ask this server; "
                      "--cors ORIGIN allows one");
    case PN_ORIGIN_ALLOWED: break;
    }
    pn_exchange_set_header(x, "Access-Control-Allow-Origin", origin);
    pn_exchange_set_header(x, "Vary", "Origin");
    return true;
}

static const char *given_key(const pn_exchange *x) {
    const char *bearer = pn_header_find(&x->headers, "Authorization");
    const char *key = pn_header_find(&x->headers, "X-Api-Key");
    if (bearer && strncasecmp(bearer, "Bearer ", 7) == 0)
        return bearer + 7 + strspn(bearer + 7, " ");
    return key;
}

static bool check_key(peer *p, pn_api_error *e) {
    const pn_guard *guard = p->http->o.guard;
    const char *key = given_key(p->x);
    uint64_t client;
    if (!pn_guard_needs_key(guard)) return true;
    if (pn_guard_key(guard, key ? key : "", &client) && key) {
        p->x->client = client;
        return true;
    }
    return pn_api_refuse(e, 401, PN_INVALID_REQUEST, "invalid_api_key", NULL,
                         key ? "the API key is wrong"
                             : "an API key is needed: Authorization: Bearer KEY");
}

static void answer_options(pn_exchange *x) {
    const char *headers = pn_header_find(&x->headers, "Access-Control-Request-Headers");
    pn_exchange_set_header(x, "Allow", x->match.allow);
    if (pn_header_find(&x->headers, "Access-Control-Request-Method")) {
        pn_exchange_set_header(x, "Access-Control-Allow-Methods", x->match.allow);
        if (headers) pn_exchange_set_header(x, "Access-Control-Allow-Headers", headers);
        pn_exchange_set_header(x, "Access-Control-Max-Age", "600");
    }
    pn_exchange_reply(x, 204, "text/plain", "", 0);
}

static bool check_route(peer *p, pn_api_error *e) {
    pn_exchange *x = p->x;
    pn_route_find(x->method, x->path, &x->match);
    if (!x->match.other) {
        if (!check_key(p, e)) return false;
        return pn_api_refuse(e, 404, PN_INVALID_REQUEST, "not_found", NULL, "no such path: %.200s",
                             x->path);
    }
    if (strcmp(x->method, "OPTIONS") == 0) {
        answer_options(x);
        return true;
    }
    const pn_route *route = x->match.route ? x->match.route : x->match.other;
    if (route->access == PN_ACCESS_KEY && !check_key(p, e)) return false;
    if (x->match.route) return true;
    pn_exchange_set_header(x, "Allow", x->match.allow);
    return pn_api_refuse(e, 405, PN_INVALID_REQUEST, "method_not_allowed", NULL,
                         "this path takes %s", x->match.allow);
}

static bool is_json_type(const char *type) {
    size_t n = strcspn(type, "; \t");
    return (n == 16 && strncasecmp(type, "application/json", n) == 0) ||
           (n > 5 && strncasecmp(type + n - 5, "+json", 5) == 0);
}

static bool check_body(peer *p, pn_api_error *e) {
    const pn_http *http = p->http;
    const char *type = pn_header_find(&p->x->headers, "Content-Type");
    const char *length = pn_header_find(&p->x->headers, "Content-Length");
    if (!p->has_body) return true;
    if (type && !is_json_type(type))
        return refuse(e, 415, "the body must be JSON: Content-Type: application/json");
    if (length && strtoull(length, NULL, 10) > http->o.max_body_bytes)
        return pn_api_refuse(e, 413, PN_INVALID_REQUEST, "body_too_large", NULL,
                             "the body is too large: at most %zu bytes", http->o.max_body_bytes);
    return true;
}

static bool check_head(peer *p, const char *method, const char *version, pn_api_error *e) {
    pn_exchange *x = p->x;
    snprintf(x->method, sizeof x->method, "%s", method);
    x->client = p->client;
    if (!check_framing(p, version, e)) return false;
    if (!split_target(x, e) || !check_origin(p, e)) return false;
    if (p->http->draining) return refuse(e, 503, "the server is about to end");
    return check_route(p, e) && check_body(p, e);
}

/* The header is there, the body is not. */
static enum MHD_Result take_head(peer *p, const char *method, const char *version) {
    pn_api_error e;
    bool right = check_head(p, method, version, &e);
    if (!right) pn_api_error_reply(p->x, &e);
    if (!right && p->has_body) return respond(p); /* the library closes the connection then */
    if (!right) p->has_body = false;
    wait_for(p, PEER_BODY, p->http->o.body_s);
    return MHD_YES;
}

/* ---- the body -------------------------------------------------------------------------------- */

static bool store_body(peer *p, const char *bytes, size_t n_bytes, pn_api_error *e) {
    pn_http *http = p->http;
    pn_bytes *body = &p->x->body;
    if (n_bytes > http->o.max_body_bytes || body->end > http->o.max_body_bytes - n_bytes)
        return pn_api_refuse(e, 413, PN_INVALID_REQUEST, "body_too_large", NULL,
                             "the body is too large: at most %zu bytes", http->o.max_body_bytes);
    if (http->n_body_bytes + n_bytes > http->o.max_bodies_bytes)
        return refuse(e, 503, "too many large requests at once: try again later");
    if (!pn_bytes_reserve(body, n_bytes + 1)) return refuse(e, 503, "out of memory");
    pn_bytes_add(body, bytes, n_bytes);
    body->at[body->end] = 0;
    http->n_body_bytes += body->room - p->n_charged;
    p->n_charged = body->room;
    return true;
}

static enum MHD_Result take_body(peer *p, const char *bytes, size_t *n_bytes) {
    pn_api_error e;
    size_t n = *n_bytes;
    *n_bytes = 0; /* all of it is taken, or thrown away */
    if (p->state == PEER_REFUSED) return MHD_YES;
    if (!store_body(p, bytes, n, &e)) {
        refuse_directly(p, &e);
        return MHD_YES;
    }
    p->deadline_s = p->begun_s + p->http->o.body_s + (double)p->x->body.end / body_bytes_per_s;
    return MHD_YES;
}

static void run_handler(pn_job *job) {
    pn_exchange *x = (pn_exchange *)(void *)((char *)job - offsetof(pn_exchange, job));
    const pn_http *http = x->http;
    http->o.handle(http->o.user, x, x->match.route);
    pn_exchange_release(x);
}

/* The request is there. */
static enum MHD_Result hand_over(peer *p) {
    pn_exchange *x = p->x;
    p->state = PEER_WORK;
    p->deadline_s = 0;
    if (x->state != PN_RESPONSE_NONE) return respond(p); /* refused, or OPTIONS */
    x->parked = true;
    x->http = p->http;
    x->job.run = run_handler;
    pn_exchange_begin(x);
    if (p->no_more) pn_exchange_leave(x, true);
    suspend(p);
    pn_workers_post(p->http->o.workers, &x->job);
    return MHD_YES;
}

/* ---- what the library calls ------------------------------------------------------------------ */

static size_t keep_escapes(void *user, struct MHD_Connection *connection, char *text) {
    (void)user, (void)connection;
    return strlen(text);
}

static void *begin_request(void *user, const char *target, struct MHD_Connection *connection) {
    pn_http *http = user;
    peer *p = peer_of(connection);
    if (!p || p->x) return NULL;
    p->x = pn_exchange_open(&http->wake, target);
    if (!p->x) return NULL;
    p->x->peer = p;
    http->n_exchanges++;
    double left = p->used ? http->o.header_s : p->deadline_s - pn_server_now();
    wait_for(p, PEER_HEAD, left);
    return p->x;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *n_bytes, void **context) {
    peer *p = peer_of(connection);
    (void)user, (void)url, (void)context;
    if (!p || !p->x) return MHD_NO;
    if (*n_bytes) return take_body(p, bytes, n_bytes);
    if (p->state == PEER_HEAD) return take_head(p, method, version);
    if (p->state == PEER_BODY) return hand_over(p);
    return p->state == PEER_WORK ? respond(p) : MHD_NO;
}

static void log_request(const pn_http *http, const pn_exchange *x, int status) {
    char line[400], path[220], tokens[64] = "";
    if (!http->o.log) return;
    snprintf(path, sizeof path, "%s", x->path);
    pn_clean_line(path);
    if (x->n_prompt || x->n_sampled)
        snprintf(tokens, sizeof tokens, ", %d + %d tokens", x->n_prompt, x->n_sampled);
    snprintf(line, sizeof line, "%s %s %d, %.0f ms%s", *x->method ? x->method : "-",
             *path ? path : "-", status, (pn_server_now() - x->begun_s) * 1000, tokens);
    http->o.log(http->o.log_user, line);
}

/* The status of what the library has answered by itself. */
static int status_of(struct MHD_Connection *connection, int otherwise) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_HTTP_STATUS);
    return info && info->http_status ? (int)info->http_status : otherwise;
}

static void on_completed(void *user, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code) {
    pn_http *http = user;
    peer *p = peer_of(connection);
    (void)context;
    if (!p || !p->x) return;
    pn_exchange *x = p->x;
    bool complete = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    int status = p->refused ? p->refused : complete ? x->status : 499;
    if (!p->refused && p->state == PEER_HEAD) status = status_of(connection, status);
    p->x = NULL;
    p->refused = 0;
    p->used = true;
    http->n_exchanges--;
    http->n_body_bytes -= p->n_charged;
    p->n_charged = 0;
    wait_for(p, PEER_IDLE, http->draining ? 0 : http->o.write_s);
    log_request(http, x, status);
    if (http->o.done) http->o.done(http->o.user, status);
    pn_exchange_close(x, complete);
}

/* The connection that has waited longest for a request to be complete makes room. */
static void send_away(pn_http *http) {
    peer *oldest = NULL;
    for (peer *p = http->first; p; p = p->next) {
        bool waits = p->state == PEER_IDLE || p->state == PEER_HEAD || p->state == PEER_BODY;
        if (waits && p->deadline_s > 0 && (!oldest || p->begun_s <= oldest->begun_s)) oldest = p;
    }
    if (oldest) hang_up(oldest);
}

static uint64_t address_number(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const unsigned char *bytes = NULL;
    size_t n = 0;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    if (info && info->client_addr && info->client_addr->sa_family == AF_INET) {
        bytes =
            (const void *)&((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr;
        n = sizeof(struct in_addr);
    } else if (info && info->client_addr && info->client_addr->sa_family == AF_INET6) {
        bytes = (const void *)&((const struct sockaddr_in6 *)(const void *)info->client_addr)
                    ->sin6_addr;
        n = sizeof(struct in6_addr);
    }
    for (size_t i = 0; i < n; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    pn_http *http = user;
    peer *p = *context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (!p) return;
        unwatch(p);
        if (p->prev) p->prev->next = p->next;
        if (p->next) p->next->prev = p->prev;
        if (http->first == p) http->first = p->next;
        http->n_peers--;
        free(p);
        return;
    }
    p = calloc(1, sizeof *p);
    if (!p) return; /* its requests are refused for want of this */
    p->http = http;
    p->connection = connection;
    p->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    p->client = address_number(connection);
    wait_for(p, PEER_IDLE, http->o.header_s);
    p->next = http->first;
    if (p->next) p->next->prev = p;
    http->first = p;
    *context = p;
    watch(p);
    if (++http->n_peers > http->o.max_connections) send_away(http);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void see_woken(pn_http *http) {
    uint64_t count;
    while (read(http->wake.event_fd, &count, sizeof count) > 0) {
    }
    for (pn_exchange *x = pn_wake_take(&http->wake), *next; x; x = next) {
        next = x->next;
        pn_wake_reason reason = pn_exchange_woken(x);
        if (x->peer && (reason.parked || reason.gone)) resume(x->peer);
        pn_exchange_drop(x);
    }
}

static void see_watched(pn_http *http) {
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(http->watch_fd, events, MAX_EVENTS, 0);
    for (int i = 0; i < n; i++) {
        peer *p = events[i].data.ptr;
        p->no_more = true;
        if (p->x && p->state == PEER_WORK)
            pn_exchange_leave(p->x, !(events[i].events & (EPOLLHUP | EPOLLERR)));
    }
}

static void see_late(peer *p, double now) {
    pn_api_error e;
    int n_unread = 0;
    if (p->no_more && p->state != PEER_WORK && ioctl(p->fd, FIONREAD, &n_unread) == 0 &&
        n_unread == 0)
        hang_up(p); /* the request that it is in the middle of will never be complete */
    if (p->deadline_s <= 0 || now < p->deadline_s) return;
    if (p->x && (p->state == PEER_HEAD || p->state == PEER_BODY)) {
        pn_api_refuse(&e, 408, PN_INVALID_REQUEST, "timeout", NULL, "the request took too long");
        refuse_directly(p, &e);
    } else {
        hang_up(p);
    }
}

static void tick(pn_http *http, double now) {
    http->ticked_s = now;
    for (peer *p = http->first; p; p = p->next) {
        see_late(p, now);
        if (p->x && p->state == PEER_WORK && http->o.ping_s > 0)
            pn_exchange_ping(p->x, now - http->o.ping_s, now);
    }
    if (http->o.tick) http->o.tick(http->o.user, http->n_exchanges);
}

static void begin_drain(pn_http *http) {
    http->draining = true;
    int fd = MHD_quiesce_daemon(http->daemon);
    if (fd >= 0) close(fd);
    for (peer *p = http->first; p; p = p->next)
        if (!p->x) hang_up(p);
}

static int wait_ms(pn_http *http, double now) {
    MHD_UNSIGNED_LONG_LONG library_ms;
    double left = http->ticked_s + tick_s - now;
    int ms = left <= 0 ? 0 : (int)(left * 1000) + 1;
    if (MHD_get_timeout(http->daemon, &library_ms) == MHD_YES && library_ms < (unsigned)ms)
        ms = (int)library_ms;
    return ms;
}

puna_status pn_http_run(pn_http *http, puna_error *err) {
    while (!http->cut && !(http->draining && http->n_exchanges == 0)) {
        struct epoll_event events[4];
        double now = pn_server_now();
        if (epoll_wait(http->epoll_fd, events, 4, wait_ms(http, now)) < 0 && errno != EINTR)
            return pn_server_fail(err, PUNA_E_IO, "epoll: %s", strerror(errno));
        see_watched(http);
        see_woken(http);
        if (MHD_run(http->daemon) != MHD_YES)
            return pn_server_fail(err, PUNA_E_IO, "libmicrohttpd gave up");
        if (atomic_load(&http->drain_wanted) && !http->draining) begin_drain(http);
        now = pn_server_now();
        if (now - http->ticked_s >= tick_s) tick(http, now);
    }
    return PUNA_OK;
}

void pn_http_drain(pn_http *http) {
    const uint64_t one = 1;
    int before = errno;
    atomic_store(&http->drain_wanted, true);
    if (write(http->wake.event_fd, &one, sizeof one) < 0) errno = before;
}

void pn_http_cut(pn_http *http) {
    http->cut = true;
}

/* ---- opening and closing --------------------------------------------------------------------- */

bool pn_http_make_room(int32_t *n) {
    struct rlimit limit;
    rlim_t wanted = (rlim_t)*n + SPARE_CONNECTIONS + SPARE_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return true;
    limit.rlim_cur = wanted <= limit.rlim_max ? wanted : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted) return true;
    *n = limit.rlim_cur > 2 * SPARE_FILES
             ? (int32_t)limit.rlim_cur - SPARE_CONNECTIONS - SPARE_FILES
             : 16;
    return false;
}

static bool add_event_source(const pn_http *http, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return fd >= 0 && epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static struct MHD_Daemon *start_daemon(pn_http *http) {
    const pn_http_options *o = &http->o;
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, http,
        MHD_OPTION_LISTEN_SOCKET, o->listen_fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(o->max_connections + SPARE_CONNECTIONS), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(o->write_s + 1),
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, http, MHD_OPTION_URI_LOG_CALLBACK, begin_request, http,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, http, MHD_OPTION_END);
}

puna_status pn_http_open(const pn_http_options *options, pn_http **out, puna_error *err) {
    pn_http *http = calloc(1, sizeof *http);
    if (!http) {
        close(options->listen_fd);
        return pn_server_fail(err, PUNA_E_NOMEM, "out of memory: HTTP");
    }
    http->o = *options;
    pthread_mutex_init(&http->wake.lock, NULL);
    http->wake.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    http->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    http->daemon = start_daemon(http);
    const union MHD_DaemonInfo *info =
        http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!http->daemon) close(options->listen_fd);
    if (!info || !add_event_source(http, info->epoll_fd) ||
        !add_event_source(http, http->watch_fd) || !add_event_source(http, http->wake.event_fd)) {
        pn_http_free(http);
        return pn_server_fail(err, PUNA_E_IO, "cannot start HTTP: %s", strerror(errno));
    }
    *out = http;
    return PUNA_OK;
}

void pn_http_free(pn_http *http) {
    if (!http) return;
    for (peer *p = http->first; p; p = p->next) {
        if (p->x) pn_exchange_leave(p->x, false);
        resume(p); /* the library stops no connection that is suspended */
    }
    if (http->daemon && !http->draining) {
        int fd = MHD_quiesce_daemon(http->daemon);
        if (fd >= 0) close(fd);
    }
    if (http->daemon) MHD_stop_daemon(http->daemon);
    for (pn_exchange *x = pn_wake_take(&http->wake), *next; x; x = next) {
        next = x->next;
        pn_exchange_drop(x);
    }
    if (http->watch_fd >= 0) close(http->watch_fd);
    if (http->epoll_fd >= 0) close(http->epoll_fd);
    if (http->wake.event_fd >= 0) close(http->wake.event_fd);
    pthread_mutex_destroy(&http->wake.lock);
    free(http);
}
