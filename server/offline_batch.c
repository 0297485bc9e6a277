/* offline_batch.c: lines to generations, generations to lines.
 *
 *   this thread    reads lines and starts their generations, some more than are computed at once, so that
 *                  the scheduler always has somebody to begin
 *   engine thread  steps the scheduler
 *   workers        write results, under the lock */
#define _POSIX_C_SOURCE 200809L
#include "offline_batch.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api.h"
#include "server_fail.h"

enum { N_WORKERS = 2, OPEN_PER_SLOT = 2, MAX_WAITING = 1 << 20, ID_CHARS = 32 };

static const double step_wait_s = 1;
static const long tick_ns = 100 * 1000 * 1000;

typedef struct batch {
    const pn_batch_options *o;
    pn_service service;
    char name[256];
    pthread_t engine;
    bool has_engine;
    atomic_bool ending;
    pthread_mutex_t lock; /* of what follows, and of writing */
    pthread_cond_t moved; /* something is over */
    int32_t n_open;       /* generations under way */
    bool is_stopped;      /* results of what is given up are not written */
    bool cannot_write;
    pn_batch_state state;
} batch;

/* What a line may ask for; `field` tells it from the others when the line is a body alone. */
typedef struct endpoint {
    const char *url, *field;
    pn_make_generation *make;
    pn_write_answer *write;
} endpoint;

static const endpoint endpoints[] = {
    {"/v1/chat/completions", "messages", pn_chat_generation, pn_write_chat_completion},
    {"/v1/completions", "prompt", pn_text_generation, pn_write_text_completion},
    {"/v1/embeddings", "input", pn_embedding_generation, pn_write_embeddings},
};
enum { N_ENDPOINTS = sizeof endpoints / sizeof *endpoints };

/* A line under way. */
typedef struct item {
    batch *b;
    const endpoint *endpoint;
    char *custom_id;
    size_t n_bytes;
} item;

static void free_item(item *it) {
    free(it->custom_id);
    free(it);
}

/* ---- results --------------------------------------------------------------------------------------- */

static void put_result(pn_text *t, const char *custom_id, int status, const pn_text *body) {
    char id[25], request[25];
    pn_random_id(id);
    pn_random_id(request);
    pn_text_write(t,
                  "{'id':'batch_req_%s','custom_id':%j,'response':{'status_code':%d,"
                  "'request_id':'req_%s','body':%t},'error':null}",
                  id, custom_id, (int32_t)status, request, body);
    pn_text_put(t, "\n");
}

/* Counts a line that is over, and writes its result, which may be NULL. The lock must be held. */
static void end_line(batch *b, const pn_text *result, bool answered, size_t n_bytes) {
    const pn_batch_host *host = &b->o->program;
    if (result && !b->is_stopped && !b->cannot_write &&
        (result->failed || !host->write(host->user, result->s, result->n)))
        b->cannot_write = true;
    if (result) {
        b->state.n_answered += answered;
        b->state.n_failed += !answered;
    }
    b->state.n_bytes += n_bytes;
}

static void write_refusal(batch *b, const char *custom_id, size_t n_bytes, const pn_api_error *e) {
    pn_text body = {0}, line = {0};
    char *json = pn_api_error_json(NULL, e);
    pn_text_put(&body, json ? json : "null");
    put_result(&line, custom_id, e->status, &body);
    pthread_mutex_lock(&b->lock);
    end_line(b, &line, false, n_bytes);
    pthread_mutex_unlock(&b->lock);
    pn_text_free(&line);
    pn_text_free(&body);
    free(json);
}

static void on_done(void *user, pn_generation *g) {
    item *it = user;
    batch *b = it->b;
    pn_text body = {0}, line = {0};
    it->endpoint->write(&body, g);
    line.failed = body.failed;
    put_result(&line, it->custom_id, 200, &body);
    pthread_mutex_lock(&b->lock);
    end_line(b, &line, true, it->n_bytes);
    pthread_mutex_unlock(&b->lock);
    pn_text_free(&line);
    pn_text_free(&body);
}

static void on_failed(void *user, pn_generation *g, const pn_api_error *e) {
    item *it = user;
    (void)g;
    pthread_mutex_lock(&it->b->lock);
    const bool given_up = it->b->is_stopped;
    pthread_mutex_unlock(&it->b->lock);
    if (!given_up) write_refusal(it->b, it->custom_id, it->n_bytes, e);
}

static void on_free(void *user) {
    item *it = user;
    batch *b = it->b;
    free_item(it);
    pthread_mutex_lock(&b->lock);
    b->n_open--;
    pthread_cond_signal(&b->moved);
    pthread_mutex_unlock(&b->lock);
}

static const pn_writer writer = {.done = on_done, .failed = on_failed, .free = on_free};

/* ---- lines ----------------------------------------------------------------------------------------- */

static bool refuse(pn_api_error *e, int status, const char *param, const char *message) {
    return pn_api_refuse(e, status, PN_INVALID_REQUEST, NULL, param, "%s", message);
}

static const endpoint *find_endpoint(const json_t *request, const json_t *body, pn_api_error *e) {
    const char *method = "POST", *url = NULL;
    if (!pn_field_text(request, "method", &method, e) || !pn_field_text(request, "url", &url, e))
        return NULL;
    if (method && strcmp(method, "POST") != 0) {
        refuse(e, 405, "method", "method: only POST is answered");
        return NULL;
    }
    for (size_t i = 0; i < N_ENDPOINTS; i++)
        if (url ? strcmp(url, endpoints[i].url) == 0 : pn_field(body, endpoints[i].field) != NULL)
            return &endpoints[i];
    if (url)
        refuse(e, 404, "url",
               "url: is none of /v1/chat/completions, /v1/completions and /v1/embeddings");
    else
        refuse(e, 400, NULL, "the request has none of \"messages\", \"prompt\" and \"input\"");
    return NULL;
}

/* The request that a line holds: *body is a part of it, without what asks for a stream. */
static bool read_request(json_t *request, json_t **body, item *it, pn_api_error *e) {
    *body = json_object_get(request, "body");
    if (!*body) *body = request;
    if (!json_is_object(*body)) return pn_refuse_value(e, "body", "an object", *body);
    it->endpoint = find_endpoint(request, *body, e);
    json_object_del(*body, "stream");
    json_object_del(*body, "stream_options");
    return it->endpoint && pn_model_is_named(*body, e);
}

/* NULL: *e says why; its custom_id is known all the same. */
static pn_generation *make_generation(batch *b, json_t *request, item *it, pn_api_error *e) {
    json_t *body;
    pn_generation *g = NULL;
    if (!read_request(request, &body, it, e) ||
        !it->endpoint->make(&b->service, body, &writer, it, &g, e))
        return NULL;
    pthread_mutex_lock(&b->lock);
    b->n_open++;
    pthread_mutex_unlock(&b->lock);
    if (pn_generation_start(g, 0, e)) return g;
    pthread_mutex_lock(&b->lock);
    b->n_open--;
    pthread_mutex_unlock(&b->lock);
    pn_generation_free(g);
    return NULL;
}

/* id NULL: the line's number is its name. */
static bool name_item(item *it, const char *id, int64_t number, pn_api_error *e) {
    char own[ID_CHARS];
    snprintf(own, sizeof own, "line-%lld", (long long)number);
    free(it->custom_id);
    it->custom_id = strdup(id ? id : own);
    return it->custom_id ||
           pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory: custom_id");
}

static void skip_line(batch *b, size_t n_bytes) {
    pthread_mutex_lock(&b->lock);
    b->state.n_left++;
    b->state.n_left_bytes += n_bytes;
    end_line(b, NULL, false, n_bytes);
    pthread_mutex_unlock(&b->lock);
}

/* False: it was refused with *e, or is to be left out (e->status 0). */
static bool begin_item(batch *b, json_t *request, int64_t number, item *it, pn_api_error *e) {
    const pn_batch_host *host = &b->o->program;
    const char *id = NULL;
    const bool has_good_id = !request || pn_field_text(request, "custom_id", &id, e);
    if (!name_item(it, id, number, e) || !has_good_id) return false;
    const pn_batch_claim claim = host->claim(host->user, it->custom_id);
    e->status = request || claim == PN_BATCH_ANSWERED ? 0 : e->status;
    if (claim == PN_BATCH_ANSWERED || !request) return false;
    if (claim == PN_BATCH_REPEATED) /* that name is the other's */
        return name_item(it, NULL, number, e) &&
               refuse(e, 400, "custom_id", "custom_id: a line before this one has the same");
    return make_generation(b, request, it, e) != NULL;
}

/* False without memory. */
static bool take_line(batch *b, const pn_batch_line *line, int64_t number) {
    pn_api_error e = {0};
    json_t *request = NULL;
    item *it = calloc(1, sizeof *it);
    if (!it) return false;
    it->b = b;
    it->n_bytes = line->n_bytes + 1;
    if (line->is_too_long)
        (void)pn_api_refuse(&e, 413, PN_INVALID_REQUEST, NULL, NULL,
                            "the line is longer than %zu bytes", PN_BATCH_LINE_BYTES);
    else
        request = pn_body_parse(line->text, line->n_bytes, &e);
    if (!begin_item(b, request, number, it, &e)) {
        if (e.status == 0)
            skip_line(b, it->n_bytes);
        else
            write_refusal(b, it->custom_id ? it->custom_id : "", it->n_bytes, &e);
        free_item(it);
    }
    json_decref(request);
    return true;
}

static bool is_blank(const pn_batch_line *line) {
    for (size_t i = 0; i < line->n_bytes; i++)
        if (!strchr(" \t\r", line->text[i]) || line->text[i] == 0) return false;
    return true;
}

/* ---- running --------------------------------------------------------------------------------------- */

static void *run_engine(void *user) {
    batch *b = user;
    while (!atomic_load(&b->ending)) {
        bool busy;
        puna_error err; /* every request that was under way has heard of it */
        (void)puna_scheduler_step(b->service.scheduler, step_wait_s, &busy, &err);
    }
    return NULL;
}

static void cancel_all(puna_scheduler *scheduler) {
    puna_request_info infos[64];
    for (int i = 0; i < 64; i++) infos[i].size = sizeof infos[i];
    const int32_t n = puna_scheduler_requests(scheduler, infos, 64);
    for (int32_t i = 0; i < n && i < 64; i++) puna_scheduler_cancel(scheduler, infos[i].request);
}

/* Waits until at most `most` generations are under way; false: stop. */
static bool wait_for(batch *b, int32_t most) {
    const pn_batch_host *host = &b->o->program;
    puna_scheduler_stats stats = {.size = sizeof stats};
    for (;;) {
        struct timespec until;
        puna_scheduler_get_stats(b->service.scheduler, &stats);
        pthread_mutex_lock(&b->lock);
        b->state.n_sampled = stats.n_sampled_tokens;
        if (b->n_open > most) {
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += tick_ns;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
            pthread_cond_timedwait(&b->moved, &b->lock, &until);
        }
        const bool enough = b->n_open <= most, broken = b->cannot_write;
        const pn_batch_state state = b->state;
        pthread_mutex_unlock(&b->lock);
        if (broken || (host->tick && !host->tick(host->user, &state))) return false;
        if (enough) return true;
    }
}

/* Gives up what is under way. */
static void stop(batch *b) {
    pthread_mutex_lock(&b->lock);
    b->is_stopped = true;
    while (b->n_open > 0) {
        struct timespec pause = {0, tick_ns / 10};
        pthread_mutex_unlock(&b->lock);
        cancel_all(b->service.scheduler);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&b->lock);
    }
    pthread_mutex_unlock(&b->lock);
}

static puna_status run_lines(batch *b, puna_error *err) {
    const pn_batch_host *host = &b->o->program;
    const int32_t most = b->service.plan.n_seq * OPEN_PER_SLOT;
    pn_batch_line line = {0};
    bool going = true, memory = true;
    while (going && memory && (going = wait_for(b, most - 1)) && host->next(host->user, &line)) {
        const int64_t number = ++b->state.n_lines;
        if (!is_blank(&line)) memory = take_line(b, &line, number);
    }
    if (going && memory) going = wait_for(b, 0);
    if (!going || !memory) stop(b);
    if (b->cannot_write) return pn_server_fail(err, PUNA_E_IO, "the results cannot be written");
    if (!memory) return pn_server_fail(err, PUNA_E_NOMEM, "out of memory: a line");
    if (!going) return pn_server_fail(err, PUNA_E_CANCELLED, "stopped");
    return PUNA_OK;
}

void pn_batch_options_init(pn_batch_options *options) {
    *options = (pn_batch_options){0};
    puna_model_options_init(&options->model);
    puna_chat_options_init(&options->chat);
    puna_scheduler_options_init(&options->scheduler);
    options->scheduler.engine.n_seq = 16;
    puna_sampler_params_init(&options->defaults, PUNA_CHAIN_LLAMA_CPP);
}

static puna_status open_batch(batch *b, puna_error *err) {
    const pn_batch_options *o = b->o;
    puna_scheduler_options scheduler = o->scheduler;
    pn_service *service = &b->service;
    pn_service_set_name(service, o->model_path, o->alias, b->name);
    service->defaults = o->defaults;
    service->created = (int64_t)time(NULL);
    scheduler.max_waiting = MAX_WAITING; /* wait_for keeps it low */
    service->metrics = pn_metrics_open();
    if (!service->metrics) return pn_server_fail(err, PUNA_E_NOMEM, "out of memory: metrics");
    puna_status status = pn_workers_open(N_WORKERS, &service->workers, err);
    if (status == PUNA_OK) status = pn_service_load(service, &o->model, &o->chat, &scheduler, err);
    if (status != PUNA_OK) return status;
    const int failure = pthread_create(&b->engine, NULL, run_engine, b);
    b->has_engine = failure == 0;
    return failure
               ? pn_server_fail(err, PUNA_E_NOMEM, "cannot start a thread: %s", strerror(failure))
               : PUNA_OK;
}

static void close_batch(batch *b) {
    pn_service *service = &b->service;
    atomic_store(&b->ending, true);
    if (b->has_engine) {
        puna_scheduler_wake(service->scheduler);
        pthread_join(b->engine, NULL);
    }
    puna_scheduler_free(service->scheduler);
    pn_workers_free(service->workers);
    puna_chat_free(service->chat);
    puna_model_free(service->model);
    pn_metrics_free(service->metrics);
}

puna_status pn_batch_run(const pn_batch_options *options, pn_batch_state *state, puna_error *err) {
    batch b = {.o = options};
    puna_error own = {0};
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.moved, NULL);
    puna_status status = open_batch(&b, &own);
    if (status == PUNA_OK) {
        if (options->program.ready) options->program.ready(options->program.user, &b.service.plan);
        status = run_lines(&b, &own);
    }
    close_batch(&b);
    *state = b.state;
    pthread_cond_destroy(&b.moved);
    pthread_mutex_destroy(&b.lock);
    if (status != PUNA_OK && err) *err = own;
    return status;
}
