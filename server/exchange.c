/* exchange.c: one request with its response, between the HTTP thread and everybody else. */
#define _XOPEN_SOURCE 700 /* recursive mutexes */
#include "exchange.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "http_url.h"

/* A client that is this far behind does not read. */
static const size_t max_unread_bytes = (size_t)16 << 20;

double pn_server_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- bytes and headers ----------------------------------------------------------------------- */

bool pn_bytes_reserve(pn_bytes *b, size_t n_more) {
    if (b->begin == b->end) b->begin = b->end = 0;
    if (n_more > SIZE_MAX / 4 || b->end > SIZE_MAX / 4) return false;
    if (b->end + n_more <= b->room) return true;
    if (b->begin) {
        memmove(b->at, b->at + b->begin, b->end - b->begin);
        b->end -= b->begin;
        b->begin = 0;
        if (b->end + n_more <= b->room) return true;
    }
    size_t room = b->room ? b->room : 256;
    while (room < b->end + n_more) room *= 2;
    char *at = realloc(b->at, room);
    if (!at) return false;
    b->at = at;
    b->room = room;
    return true;
}

bool pn_bytes_add(pn_bytes *b, const char *bytes, size_t n_bytes) {
    if (!pn_bytes_reserve(b, n_bytes)) return false;
    if (n_bytes) memcpy(b->at + b->end, bytes, n_bytes);
    b->end += n_bytes;
    return true;
}

bool pn_header_add(pn_header_list *list, const char *name, const char *value) {
    size_t n_name = strlen(name) + 1, n_value = strlen(value) + 1;
    char *text = realloc(list->text, list->n_bytes + n_name + n_value);
    if (!text) return false;
    memcpy(text + list->n_bytes, name, n_name);
    memcpy(text + list->n_bytes + n_name, value, n_value);
    list->text = text;
    list->n_bytes += n_name + n_value;
    return true;
}

const char *pn_header_find(const pn_header_list *list, const char *name) {
    for (const char *at = list->text; list->text && at < list->text + list->n_bytes;) {
        const char *value = at + strlen(at) + 1;
        if (strcasecmp(at, name) == 0) return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void init_locks(pn_exchange *x) {
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&x->gone_lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pthread_mutex_init(&x->lock, NULL);
}

pn_exchange *pn_exchange_open(pn_wake_list *wake, const char *target) {
    static atomic_uint_least64_t last_number;
    pn_exchange *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    size_t n = strlen(target) + 1;
    x->target = malloc(n);
    if (!x->target) {
        free(x);
        return NULL;
    }
    memcpy(x->target, target, n);
    x->path = x->query = x->target;
    atomic_init(&x->n_users, 0);
    atomic_init(&x->n_owners, 1);
    x->wake = wake;
    x->number = atomic_fetch_add(&last_number, 1) + 1;
    x->begun_s = pn_server_now();
    init_locks(x);
    return x;
}

void pn_exchange_drop(pn_exchange *x) {
    if (atomic_fetch_sub(&x->n_owners, 1) != 1) return;
    pthread_mutex_destroy(&x->lock);
    pthread_mutex_destroy(&x->gone_lock);
    free(x->target);
    free(x->pairs);
    free(x->headers.text);
    free(x->body.at);
    free(x->content_type);
    free(x->out_headers.text);
    free(x->out.at);
    free(x);
}

void pn_exchange_close(pn_exchange *x, bool complete) {
    x->peer = NULL;
    if (complete) {
        pthread_mutex_lock(&x->lock);
        x->gone = x->complete = true;
        pthread_mutex_unlock(&x->lock);
    } else {
        pn_exchange_leave(x, false);
    }
    pn_exchange_drop(x);
}

void pn_exchange_begin(pn_exchange *x) {
    atomic_fetch_add(&x->n_owners, 1);
    atomic_store(&x->n_users, 1);
}

void pn_exchange_retain(pn_exchange *x) {
    atomic_fetch_add(&x->n_users, 1);
}

/* ---- waking the HTTP thread ------------------------------------------------------------------ */

/* Puts x into the list unless it is there. Under x->lock. */
static void wake(pn_exchange *x) {
    if (x->queued) return;
    x->queued = true;
    atomic_fetch_add(&x->n_owners, 1);
    pthread_mutex_lock(&x->wake->lock);
    x->next = x->wake->first;
    x->wake->first = x;
    pthread_mutex_unlock(&x->wake->lock);
    const uint64_t one = 1;
    if (x->wake->event_fd >= 0 && write(x->wake->event_fd, &one, sizeof one) < 0) return;
}

pn_exchange *pn_wake_take(pn_wake_list *list) {
    pthread_mutex_lock(&list->lock);
    pn_exchange *first = list->first;
    list->first = NULL;
    pthread_mutex_unlock(&list->lock);
    return first;
}

/* ---- the request ----------------------------------------------------------------------------- */

const char *pn_exchange_path(const pn_exchange *x) {
    return x->path;
}

const char *pn_exchange_rest(const pn_exchange *x) {
    return x->path + x->match.rest_at;
}

const char *pn_exchange_query(const pn_exchange *x, const char *name) {
    const char *at = x->pairs;
    for (size_t i = 0; i < x->n_pairs; i++) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0) return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

const char *pn_exchange_header(const pn_exchange *x, const char *name) {
    return pn_header_find(&x->headers, name);
}

const char *pn_exchange_body(const pn_exchange *x, size_t *n_bytes) {
    if (n_bytes) *n_bytes = x->body.end;
    return x->body.at ? x->body.at : "";
}

uint64_t pn_exchange_client(const pn_exchange *x) {
    return x->client;
}

uint64_t pn_exchange_number(const pn_exchange *x) {
    return x->number;
}

pn_dialect pn_exchange_dialect(const pn_exchange *x) {
    return x->match.other ? x->match.other->dialect : PN_DIALECT_OPENAI;
}

void pn_exchange_set_tokens(pn_exchange *x, int32_t n_prompt, int32_t n_sampled) {
    pthread_mutex_lock(&x->lock);
    x->n_prompt = n_prompt;
    x->n_sampled = n_sampled;
    pthread_mutex_unlock(&x->lock);
}

/* ---- the response ---------------------------------------------------------------------------- */

static bool is_header_text(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F) return false;
    return true;
}

void pn_exchange_set_header(pn_exchange *x, const char *name, const char *value) {
    if (!is_header_text(name) || !is_header_text(value)) return;
    pthread_mutex_lock(&x->lock);
    if (x->state == PN_RESPONSE_NONE) pn_header_add(&x->out_headers, name, value);
    pthread_mutex_unlock(&x->lock);
}

static char *copy_text(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = malloc(n);
    if (copy) memcpy(copy, text, n);
    return copy;
}

/* Begins a response; what comes out of memory gets 500 without words. Under the lock. */
static void begin_response(pn_exchange *x, pn_response_state state, int status, const char *type) {
    x->state = state;
    x->status = status;
    x->content_type = copy_text(type);
    x->is_events = strncmp(type, "text/event-stream", 17) == 0;
    x->at_event = true;
    x->written_s = pn_server_now();
}

void pn_exchange_reply(pn_exchange *x, int status, const char *content_type, const char *body,
                       size_t n_bytes) {
    pthread_mutex_lock(&x->lock);
    if (x->state == PN_RESPONSE_NONE) {
        begin_response(x, PN_RESPONSE_WHOLE, status, content_type);
        if (!pn_bytes_add(&x->out, body, n_bytes)) x->status = 500;
        wake(x);
    }
    pthread_mutex_unlock(&x->lock);
}

void pn_exchange_stream(pn_exchange *x, const char *content_type) {
    pthread_mutex_lock(&x->lock);
    if (x->state == PN_RESPONSE_NONE) {
        begin_response(x, PN_RESPONSE_STREAM, 200, content_type);
        wake(x);
    }
    pthread_mutex_unlock(&x->lock);
}

bool pn_exchange_write(pn_exchange *x, const char *bytes, size_t n_bytes) {
    pthread_mutex_lock(&x->lock);
    bool writes = x->state == PN_RESPONSE_STREAM && !x->gone;
    if (writes && n_bytes) {
        bool behind = x->out.end - x->out.begin + n_bytes > max_unread_bytes;
        writes = !behind && pn_bytes_add(&x->out, bytes, n_bytes);
        if (writes) {
            x->at_event = n_bytes >= 2 && memcmp(bytes + n_bytes - 2, "\n\n", 2) == 0;
            x->written_s = pn_server_now();
        } else {
            x->state = PN_RESPONSE_BROKEN;
        }
        if (x->parked) wake(x);
    }
    pthread_mutex_unlock(&x->lock);
    return writes;
}

void pn_exchange_end(pn_exchange *x) {
    pthread_mutex_lock(&x->lock);
    if (x->state == PN_RESPONSE_STREAM) {
        x->state = PN_RESPONSE_ENDED;
        if (x->parked) wake(x);
    }
    pthread_mutex_unlock(&x->lock);
}

/* The last one who could have responded has let go. */
static void finish_response(pn_exchange *x) {
    static const char body[] = "{\"error\": {\"message\": \"the request was dropped\", \"type\": "
                               "\"server_error\", \"param\": null, \"code\": null}}";
    pn_exchange_reply(x, 500, "application/json", body, sizeof body - 1);
    pthread_mutex_lock(&x->lock);
    if (x->state == PN_RESPONSE_STREAM) {
        x->state = PN_RESPONSE_BROKEN;
        if (x->parked) wake(x);
    }
    pthread_mutex_unlock(&x->lock);
}

void pn_exchange_release(pn_exchange *x) {
    if (atomic_fetch_sub(&x->n_users, 1) != 1) return;
    finish_response(x);
    pn_exchange_drop(x);
}

pn_take pn_exchange_take(pn_exchange *x, char *buf, size_t max, size_t *n_bytes) {
    pn_take taken = PN_TAKE_BYTES;
    pthread_mutex_lock(&x->lock);
    size_t n = x->out.end - x->out.begin;
    if (n > max) n = max;
    if (x->gone) {
        taken = PN_TAKE_BROKEN;
    } else if (n) {
        memcpy(buf, x->out.at + x->out.begin, n);
        x->out.begin += n;
    } else if (x->state == PN_RESPONSE_BROKEN) {
        taken = PN_TAKE_BROKEN;
    } else if (x->state == PN_RESPONSE_ENDED) {
        taken = PN_TAKE_END;
    } else {
        taken = PN_TAKE_WAIT;
        x->parked = true;
    }
    *n_bytes = n;
    pthread_mutex_unlock(&x->lock);
    return taken;
}

void pn_exchange_ping(pn_exchange *x, double before_s, double now_s) {
    static const char ping[] = ": ping\n\n";
    pthread_mutex_lock(&x->lock);
    if (x->state == PN_RESPONSE_STREAM && x->is_events && x->parked && x->at_event &&
        x->written_s < before_s && pn_bytes_add(&x->out, ping, sizeof ping - 1)) {
        x->written_s = now_s;
        wake(x);
    }
    pthread_mutex_unlock(&x->lock);
}

/* ---- a client that leaves -------------------------------------------------------------------- */

/* Calls the function that is set, once. */
static void call_gone(pn_exchange *x) {
    pthread_mutex_lock(&x->gone_lock);
    pn_gone_fn fn = x->gone_fn;
    x->gone_fn = NULL;
    if (fn) fn(x->gone_user);
    pthread_mutex_unlock(&x->gone_lock);
}

void pn_exchange_leave(pn_exchange *x, bool no_more) {
    pthread_mutex_lock(&x->gone_lock);
    bool watched = x->gone_fn != NULL;
    pthread_mutex_unlock(&x->gone_lock);
    pthread_mutex_lock(&x->lock);
    bool written = x->state == PN_RESPONSE_WHOLE || x->state == PN_RESPONSE_ENDED;
    x->no_more = true;
    bool was_gone = x->gone;
    if (!no_more || (watched && !written)) x->gone = true;
    bool gone = x->gone && !x->complete;
    if (gone && !was_gone) wake(x);
    pthread_mutex_unlock(&x->lock);
    if (gone) call_gone(x);
}

void pn_exchange_on_gone(pn_exchange *x, pn_gone_fn fn, void *user) {
    pthread_mutex_lock(&x->gone_lock);
    x->gone_fn = fn;
    x->gone_user = user;
    pthread_mutex_unlock(&x->gone_lock);
    if (!fn) return;
    pthread_mutex_lock(&x->lock);
    if (x->no_more || x->gone) wake(x); /* the HTTP thread sees to it */
    pthread_mutex_unlock(&x->lock);
}

pn_wake_reason pn_exchange_woken(pn_exchange *x) {
    pthread_mutex_lock(&x->lock);
    x->queued = false;
    pn_wake_reason reason = {x->parked, x->gone};
    bool no_more = x->no_more;
    x->parked = false;
    pthread_mutex_unlock(&x->lock);
    if (no_more) { /* a function may have been set since */
        pn_exchange_leave(x, true);
        pthread_mutex_lock(&x->lock);
        reason.gone = x->gone;
        pthread_mutex_unlock(&x->lock);
    }
    return reason;
}
