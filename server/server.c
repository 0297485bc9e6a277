/* server.c: puts the parts together and ends them in order.
 *
 *   this thread    HTTP (http.c)
 *   engine thread  loads the model, then steps the scheduler
 *   workers        handlers
 *
 * The socket is open before the model is loaded: until then everything is answered with 503, so that what
 * waits for the server sees it coming. */
#define _GNU_SOURCE /* sigaction, getrandom */
#include "server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "api_error.h"
#include "exchange.h"
#include "http_server.h"
#include "listener.h"
#include "server_fail.h"

enum { KEY_BYTES = 16, N_WORKERS = 4, MAX_BODIES_IN_ONE = 16 };

static const double cut_after_s =
    5; /* for a step to end, and for streams to say that they were cancelled */
static const double step_wait_s = 1;
static const double error_pause_s = 0.1;

typedef enum server_state { SERVER_LOADING, SERVER_READY, SERVER_FAILED } server_state;

typedef struct server {
    const pn_server_options *o;
    pn_service service;
    pn_guard *guard;
    pn_http *http;
    pthread_t engine;
    bool has_engine;
    atomic_int state; /* a server_state; what is loaded is written before READY */
    atomic_bool ending;
    puna_error load_error; /* before FAILED */
    int32_t port;
    char made_key[2 * KEY_BYTES + 8]; /* "" when none was made */
    char name[256];
    double drain_s; /* when the end was asked for; 0: not yet */
} server;

/* ---- signals --------------------------------------------------------------------------------- */

static volatile sig_atomic_t n_signals;
static pn_http *volatile signalled;

static void on_signal(int number) {
    if (n_signals++ > 0) _exit(128 + number);
    if (signalled) pn_http_drain(signalled);
}

static void catch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    n_signals = 0;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

/* Threads that are started meanwhile leave those signals to this one. */
static void hold_signals(bool hold) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* ---- options --------------------------------------------------------------------------------- */

void pn_server_options_init(pn_server_options *options) {
    *options = (pn_server_options){
        .host = "127.0.0.1",
        .port = 8080,
        .max_connections = 512,
        .max_body_bytes = 16 << 20,
        .header_s = 10,
        .body_s = 30,
        .write_s = 30,
        .ping_s = 5,
        .grace_s = 10,
        .slots = true,
        .metrics = true,
        .web_page = true,
    };
    puna_model_options_init(&options->model);
    puna_chat_options_init(&options->chat);
    puna_scheduler_options_init(&options->scheduler);
    options->scheduler.engine.n_seq = 16;
    puna_sampler_params_init(&options->defaults, PUNA_CHAIN_LLAMA_CPP);
}

static void note(const server *s, const char *line) {
    if (s->o->program.note) s->o->program.note(s->o->program.user, line);
}

static puna_status make_key(server *s, puna_error *err) {
    unsigned char bytes[KEY_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return pn_server_fail(err, PUNA_E_IO, "no random numbers for an API key: %s",
                              strerror(errno));
    int n = snprintf(s->made_key, sizeof s->made_key, "puna-");
    for (int i = 0; i < KEY_BYTES; i++, n += 2)
        snprintf(s->made_key + n, sizeof s->made_key - (size_t)n, "%02x", bytes[i]);
    return PUNA_OK;
}

static puna_status open_guard(server *s, bool loopback, puna_error *err) {
    const pn_server_options *o = s->o;
    const char *made = s->made_key;
    pn_guard_options guard = {
        .loopback = loopback,
        .bound = o->host,
        .hosts = o->hosts,
        .n_hosts = o->n_hosts,
        .origins = o->origins,
        .n_origins = o->n_origins,
        .keys = o->keys,
        .n_keys = o->n_keys,
    };
    if (!loopback && o->n_keys == 0) {
        if (make_key(s, err) != PUNA_OK) return PUNA_E_IO;
        guard.keys = &made;
        guard.n_keys = 1;
    }
    return pn_guard_open(&guard, &s->guard, err);
}

/* ---- the model ------------------------------------------------------------------------------- */

static bool on_load_progress(void *user, double fraction) {
    const server *s = user;
    puna_progress_fn progress = s->o->model.progress;
    if (n_signals || atomic_load(&s->ending)) return false;
    return !progress || progress(s->o->model.progress_user, fraction);
}

static puna_status load(server *s, puna_error *err) {
    puna_model_options model = s->o->model;
    model.progress = on_load_progress;
    model.progress_user = s;
    puna_scheduler_options scheduler = s->o->scheduler;
    scheduler.engine.upload = on_load_progress;
    scheduler.engine.upload_user = s;
    return pn_service_load(&s->service, &model, &s->o->chat, &scheduler, err);
}

static void step_until_ending(server *s) {
    while (!atomic_load(&s->ending)) {
        puna_error err = {0};
        bool busy;
        if (puna_scheduler_step(s->service.scheduler, step_wait_s, &busy, &err) == PUNA_OK)
            continue;
        struct timespec pause = {0, (long)(error_pause_s * 1e9)};
        note(s, err.msg);
        nanosleep(&pause, NULL);
    }
}

static void *run_engine(void *user) {
    server *s = user;
    const pn_server_host *program = &s->o->program;
    if (load(s, &s->load_error) != PUNA_OK) {
        atomic_store(&s->state, SERVER_FAILED);
        pn_http_drain(s->http); /* wakes the HTTP thread; its tick sees the state */
        return NULL;
    }
    atomic_store(&s->state, SERVER_READY);
    if (s->service.chat_error.msg[0] && !s->service.chat) note(s, s->service.chat_error.msg);
    if (program->ready && !n_signals)
        program->ready(program->user, s->port, *s->made_key ? s->made_key : NULL, &s->service.plan);
    step_until_ending(s);
    return NULL;
}

/* ---- what http.c calls ----------------------------------------------------------------------- */

/* Only where somebody asked for it. */
static void log_prompt(const server *s, const pn_exchange *x) {
    size_t n;
    const char *body = pn_exchange_body(x, &n);
    const char *path = pn_exchange_path(x);
    size_t room = n + strlen(path) + 4;
    char *line = n ? malloc(room) : NULL;
    if (!line) return;
    snprintf(line, room, "%s: %s", path, body);
    pn_clean_line(line);
    note(s, line);
    free(line);
}

static void handle(void *user, pn_exchange *x, const pn_route *route) {
    server *s = user;
    pn_api_error e;
    if (atomic_load(&s->state) == SERVER_READY || route->handler == api_page) {
        if (s->service.log_prompts) log_prompt(s, x);
        route->handler(&s->service, x);
        return;
    }
    pn_api_refuse(&e, 503, "unavailable_error", NULL, NULL, "the model is being loaded");
    pn_api_error_reply(x, &e);
}

static void on_done(void *user, int status) {
    const server *s = user;
    pn_metrics_response(s->service.metrics, status);
}

static void cancel_all(puna_scheduler *scheduler) {
    puna_request_info infos[64];
    int32_t n;
    for (int i = 0; i < 64; i++) infos[i].size = sizeof infos[i];
    n = puna_scheduler_requests(scheduler, infos, 64);
    for (int32_t i = 0; i < n && i < 64; i++) puna_scheduler_cancel(scheduler, infos[i].request);
}

static void note_end(const server *s, int32_t n) {
    char line[160];
    snprintf(
        line, sizeof line,
        "ending: %d request%s may go on for %g seconds; Ctrl-C again, or SIGTERM, ends at once", n,
        n == 1 ? "" : "s", s->o->grace_s);
    note(s, line);
}

static void on_tick(void *user, int32_t n_exchanges) {
    server *s = user;
    double now = pn_server_now();
    if (atomic_load(&s->state) == SERVER_FAILED) pn_http_cut(s->http);
    if (!n_signals) return;
    if (s->drain_s <= 0) {
        s->drain_s = now;
        if (n_exchanges > 0) note_end(s, n_exchanges);
    }
    if (now - s->drain_s < s->o->grace_s) return;
    if (atomic_load(&s->state) == SERVER_READY) cancel_all(s->service.scheduler);
    if (now - s->drain_s > s->o->grace_s + cut_after_s) pn_http_cut(s->http);
}

/* ---- from the beginning to the end ----------------------------------------------------------- */

static puna_status open_http(server *s, int fd, puna_error *err) {
    const pn_server_options *o = s->o;
    pn_http_options http = {
        .listen_fd = fd,
        .max_connections = o->max_connections,
        .max_body_bytes = (size_t)o->max_body_bytes,
        .max_bodies_bytes = (size_t)o->max_body_bytes * MAX_BODIES_IN_ONE,
        .header_s = o->header_s,
        .body_s = o->body_s,
        .write_s = o->write_s,
        .ping_s = o->ping_s,
        .guard = s->guard,
        .workers = s->service.workers,
        .user = s,
        .handle = handle,
        .done = on_done,
        .tick = on_tick,
    };
    int32_t n = o->max_connections;
    if (!pn_http_make_room(&n)) {
        char line[160];
        snprintf(line, sizeof line,
                 "%d connections at most, not %d: this process may not open more files (ulimit -n)",
                 n, o->max_connections);
        note(s, line);
        http.max_connections = n;
    }
    http.log = o->program.access;
    http.log_user = o->program.user;
    return pn_http_open(&http, &s->http, err);
}

static puna_status open_service(server *s, puna_error *err) {
    const pn_server_options *o = s->o;
    pn_service *service = &s->service;
    pn_service_set_name(service, o->model_path, o->alias, s->name);
    service->created = (int64_t)time(NULL);
    service->defaults = o->defaults;
    service->slots = o->slots;
    service->show_metrics = o->metrics;
    service->web_page = o->web_page;
    service->log_prompts = o->log_prompts;
    service->metrics = pn_metrics_open();
    if (!service->metrics) return pn_server_fail(err, PUNA_E_NOMEM, "out of memory: metrics");
    return pn_workers_open(N_WORKERS, &service->workers, err);
}

static puna_status open_all(server *s, puna_error *err) {
    const pn_server_host *program = &s->o->program;
    bool loopback = false;
    int fd = -1;
    puna_status status = open_service(s, err);
    if (status == PUNA_OK)
        status = pn_listener_open(s->o->host ? s->o->host : "127.0.0.1", s->o->port, &fd, &s->port,
                                  &loopback, err);
    if (status != PUNA_OK) return status;
    status = open_guard(s, loopback, err);
    if (status != PUNA_OK) {
        close(fd);
        return status;
    }
    status = open_http(s, fd, err); /* fd is its own now */
    if (status != PUNA_OK) return status;
    signalled = s->http;
    if (program->bound && !program->bound(program->user, s->port, err)) return err->code;
    int failure = pthread_create(&s->engine, NULL, run_engine, s);
    if (failure)
        return pn_server_fail(err, PUNA_E_NOMEM, "cannot start a thread: %s", strerror(failure));
    s->has_engine = true;
    return PUNA_OK;
}

/* Ends what is left of requests: their last events make work for the workers, which may ask the scheduler
 * for something once more. Nobody else steps it by now. */
static void end_requests(server *s) {
    puna_scheduler *scheduler = s->service.scheduler;
    for (;;) {
        bool busy;
        pn_workers_wait(s->service.workers);
        if (puna_scheduler_requests(scheduler, NULL, 0) == 0) return;
        cancel_all(scheduler);
        puna_scheduler_step(scheduler, 0, &busy, NULL);
    }
}

static void close_all(server *s) {
    pn_service *service = &s->service;
    atomic_store(&s->ending, true);
    if (s->has_engine) {
        if (atomic_load(&s->state) == SERVER_READY) puna_scheduler_wake(service->scheduler);
        pthread_join(s->engine, NULL);
    }
    if (service->scheduler) end_requests(s);
    pn_workers_free(service->workers);
    puna_scheduler_free(service->scheduler);
    signalled = NULL;
    pn_http_free(s->http);
    puna_chat_free(service->chat);
    puna_model_free(service->model);
    pn_metrics_free(service->metrics);
    pn_guard_free(s->guard);
}

puna_status pn_server_run(const pn_server_options *options, puna_error *err) {
    server *s = calloc(1, sizeof *s);
    puna_error own = {0};
    if (!s) return pn_server_fail(err, PUNA_E_NOMEM, "out of memory: the server");
    s->o = options;
    catch_signals();
    hold_signals(true);
    puna_status status = open_all(s, &own);
    hold_signals(false);
    if (status == PUNA_OK) status = pn_http_run(s->http, &own);
    close_all(s);
    if (status == PUNA_OK && atomic_load(&s->state) == SERVER_FAILED && !n_signals) {
        own = s->load_error;
        status = own.code;
    }
    free(s);
    if (status != PUNA_OK && err) *err = own;
    return status;
}
