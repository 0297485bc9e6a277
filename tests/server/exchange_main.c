/* exchange_main.c: HTTP without a model behind it, for test_exchange.py: GET /health does what its query says.
 *
 *   exchange_main [name=number ...]    options of pn_http_options: body, bodies, connections, header, body_s, write, ping
 *
 * Prints the port. Queries:
 *   reply=N            a body of N bytes
 *   echo               {"bytes", "sum"} of the request's body
 *   stream=N&every=MS  N events "data: <i> <pad>", one every MS ms; pad=B bytes each
 *   hold               no answer until the client has gone
 *   drop, abort        the handler lets go without an answer; in the middle of a stream
 *   counts             {"gone", "live"}
 * Ends when standard input does. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exchange.h"
#include "http_server.h"
#include "listener.h"

/* A stream, or an exchange that is held. */
typedef struct stream {
    pn_exchange *x;
    int n_left;
    int n_sent;
    size_t pad;
    double every_s;
    double next_s;
    atomic_bool gone;
    struct stream *next;
} stream;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static stream *streams;
static atomic_int n_gone, n_live;
static atomic_bool ending;
static pn_http *http;

static void on_gone(void *user) {
    stream *s = user;
    atomic_store(&s->gone, true);
    atomic_fetch_add(&n_gone, 1);
}

static long number_of(const pn_exchange *x, const char *name, long otherwise) {
    const char *value = pn_exchange_query(x, name);
    return value ? strtol(value, NULL, 10) : otherwise;
}

static void keep(pn_exchange *x, int n_events) {
    stream *s = calloc(1, sizeof *s);
    s->x = x;
    s->n_left = n_events;
    s->pad = (size_t)number_of(x, "pad", 0);
    s->every_s = (double)number_of(x, "every", 1) / 1000;
    s->next_s = pn_server_now() + s->every_s;
    pn_exchange_retain(x);
    atomic_fetch_add(&n_live, 1);
    if (n_events >= 0) pn_exchange_stream(x, "text/event-stream");
    pn_exchange_on_gone(x, on_gone, s);
    pthread_mutex_lock(&lock);
    s->next = streams;
    streams = s;
    pthread_mutex_unlock(&lock);
}

/* False at the end of the stream. */
static bool advance(stream *s, double now) {
    if (atomic_load(&s->gone)) return false;
    if (s->n_left < 0) return true; /* held */
    while (now >= s->next_s && s->n_left > 0) {
        char *event = malloc(s->pad + 64);
        int n = sprintf(event, "data: %d ", s->n_sent);
        memset(event + n, 'x', s->pad);
        memcpy(event + n + s->pad, "\n\n", 2);
        bool read = pn_exchange_write(s->x, event, (size_t)n + s->pad + 2);
        free(event);
        if (!read) return false;
        s->n_sent++;
        s->n_left--;
        s->next_s += s->every_s;
    }
    if (s->n_left == 0) pn_exchange_end(s->x);
    return s->n_left > 0;
}

static void *play(void *user) {
    (void)user;
    while (!atomic_load(&ending)) {
        double now = pn_server_now();
        pthread_mutex_lock(&lock);
        for (stream **at = &streams; *at;) {
            stream *s = *at;
            if (advance(s, now)) {
                at = &s->next;
                continue;
            }
            *at = s->next;
            pn_exchange_on_gone(s->x, NULL, NULL);
            pn_exchange_release(s->x);
            free(s);
            atomic_fetch_sub(&n_live, 1);
        }
        pthread_mutex_unlock(&lock);
        usleep(500);
    }
    return NULL;
}

static void reply_text(pn_exchange *x, const char *text) {
    pn_exchange_reply(x, 200, "application/json", text, strlen(text));
}

static void reply_bytes(pn_exchange *x, size_t n) {
    char *body = malloc(n + 1);
    memset(body, 'x', n);
    pn_exchange_reply(x, 200, "text/plain", body, n);
    free(body);
}

static void handle(void *user, pn_exchange *x, const pn_route *route) {
    char text[128];
    size_t n;
    const char *body = pn_exchange_body(x, &n);
    (void)user, (void)route;
    if (pn_exchange_query(x, "reply")) {
        reply_bytes(x, (size_t)number_of(x, "reply", 0));
    } else if (pn_exchange_query(x, "stream")) {
        keep(x, (int)number_of(x, "stream", 0));
    } else if (pn_exchange_query(x, "hold")) {
        keep(x, -1);
    } else if (pn_exchange_query(x, "abort")) {
        pn_exchange_stream(x, "text/event-stream");
        pn_exchange_write(x, "data: a\n\n", 9);
    } else if (pn_exchange_query(x, "counts")) {
        snprintf(text, sizeof text, "{\"gone\": %d, \"live\": %d}", atomic_load(&n_gone),
                 atomic_load(&n_live));
        reply_text(x, text);
    } else if (!pn_exchange_query(x, "drop")) {
        unsigned long sum = 0;
        for (size_t i = 0; i < n; i++) sum += (unsigned char)body[i];
        snprintf(text, sizeof text, "{\"bytes\": %zu, \"sum\": %lu}", n, sum);
        reply_text(x, text);
    }
}

static void *wait_for_end(void *user) {
    char c;
    (void)user;
    while (read(STDIN_FILENO, &c, 1) > 0) {
    }
    pn_http_drain(http);
    return NULL;
}

static void on_tick(void *user, int32_t n_exchanges) {
    (void)user, (void)n_exchanges;
    static int n_ticks;
    if (atomic_load(&ending) || (++n_ticks > 0 && getppid() == 1)) pn_http_cut(http);
}

static void set_option(pn_http_options *o, const char *text) {
    const char *equals = strchr(text, '=');
    double value = equals ? strtod(equals + 1, NULL) : 0;
    if (!strncmp(text, "body=", 5)) o->max_body_bytes = (size_t)value;
    if (!strncmp(text, "bodies=", 7)) o->max_bodies_bytes = (size_t)value;
    if (!strncmp(text, "connections=", 12)) o->max_connections = (int32_t)value;
    if (!strncmp(text, "header=", 7)) o->header_s = value;
    if (!strncmp(text, "body_s=", 7)) o->body_s = value;
    if (!strncmp(text, "write=", 6)) o->write_s = value;
    if (!strncmp(text, "ping=", 5)) o->ping_s = value;
}

int main(int argc, char **argv) {
    pn_guard_options guard_options = {.loopback = true};
    pn_guard *guard = NULL;
    pn_workers *workers = NULL;
    pthread_t player, waiter;
    puna_error err = {0};
    int32_t port = 0;
    bool loopback;
    pn_http_options o = {.max_connections = 512,
                         .max_body_bytes = 1 << 20,
                         .max_bodies_bytes = 16 << 20,
                         .header_s = 10,
                         .body_s = 10,
                         .write_s = 30,
                         .handle = handle,
                         .tick = on_tick};
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++) set_option(&o, argv[i]);
    int32_t room = o.max_connections;
    pn_http_make_room(&room);
    if (pn_workers_open(2, &workers, &err) != PUNA_OK ||
        pn_guard_open(&guard_options, &guard, &err) != PUNA_OK ||
        pn_listener_open("127.0.0.1", 0, &o.listen_fd, &port, &loopback, &err) != PUNA_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    o.guard = guard;
    o.workers = workers;
    if (pn_http_open(&o, &http, &err) != PUNA_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    printf("%d\n", port);
    fflush(stdout);
    pthread_create(&player, NULL, play, NULL);
    pthread_create(&waiter, NULL, wait_for_end, NULL);
    puna_status status = pn_http_run(http, &err);
    atomic_store(&ending, true);
    pthread_join(player, NULL);
    for (stream *s = streams, *next; s; s = next) {
        next = s->next;
        pn_exchange_on_gone(s->x, NULL, NULL);
        pn_exchange_release(s->x);
        free(s);
    }
    pn_workers_free(workers);
    pn_http_free(http);
    pn_guard_free(guard);
    pthread_join(waiter, NULL);
    return status != PUNA_OK;
}
