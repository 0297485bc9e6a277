/* server.h: the whole server, for the program around it, which does all the talking. */
#ifndef PUNA_SERVER_SERVER_H
#define PUNA_SERVER_SERVER_H

#include "puna.h"

/* What the program is told. All functions may be NULL. */
typedef struct pn_server_host {
    void *user;
    /* The port is known, the model not loaded yet. False: give up, *err is set. */
    bool (*bound)(void *user, int32_t port, puna_error *err);
    /* Requests are answered from now on. key: the one that was made, or NULL. */
    void (*ready)(void *user, int32_t port, const char *key, const puna_memory_plan *plan);
    void (*note)(void *user, const char *line);   /* for people; from any thread */
    void (*access)(void *user, const char *line); /* one line for each request */
} pn_server_host;

typedef struct pn_server_options {
    const char *model_path;
    const char *alias;        /* NULL: the file's name */
    puna_model_options model; /* progress is called on another thread */
    puna_chat_options chat;
    puna_scheduler_options scheduler; /* n_ctx and n_kv of 0: what is right for this machine */
    puna_sampler_params defaults;

    const char *host;         /* NULL: 127.0.0.1 */
    int32_t port;             /* 0: one that is free */
    const char *const *hosts; /* further names of this server, see http_guard.h */
    int32_t n_hosts;
    const char *const *origins;
    int32_t n_origins;
    const char *const *keys; /* none, and other machines can reach the server: one is made */
    int32_t n_keys;

    int32_t max_connections;
    int64_t max_body_bytes;
    double header_s, body_s, write_s, ping_s,
        grace_s; /* see http_server.h; grace: from SIGTERM to the end */
    bool slots, metrics, web_page, log_prompts;
    pn_server_host program;
} pn_server_options;

void pn_server_options_init(pn_server_options *options);
/* Listens, loads the model, and serves until SIGTERM or SIGINT, whose handlers it sets; a second one ends
 * the process at once. PUNA_OK after an end that was asked for. */
puna_status pn_server_run(const pn_server_options *options, puna_error *err);

#endif
