/* service.h: what the handlers of all routes share: one model at work. */
#ifndef PUNA_SERVER_SERVICE_H
#define PUNA_SERVER_SERVICE_H

#include "http.h"
#include "metrics.h"
#include "puna.h"
#include "workers.h"

typedef struct pn_service {
    puna_model *model;
    puna_model_info info;
    puna_chat *chat; /* NULL where the model has no way to chat: chat_error says why */
    puna_error chat_error;
    puna_scheduler *scheduler;
    puna_memory_plan plan;
    pn_workers *workers;
    const char
        *model_name; /* what /v1/models says: the alias, or the file's name without folders */
    const char *model_path;
    int64_t created;              /* seconds since 1970 */
    puna_sampler_params defaults; /* of requests that say nothing */
    bool slots;                   /* /slots answers */
    bool show_metrics;            /* /metrics answers */
    bool web_page;                /* "/" answers */
    bool log_prompts;             /* off: no text of a request reaches a log */
    pn_metrics *metrics;          /* every event that ends a request is to be told to it */
} pn_service;

/* Sets model_path and model_name, which is kept in name: the alias, or the file's name. */
void pn_service_set_name(pn_service *service, const char *path, const char *alias, char name[256]);
/* Opens model_path, its chat, and a scheduler for it; what is open is the caller's, also on failure. */
puna_status pn_service_load(pn_service *service, const puna_model_options *model,
                            const puna_chat_options *chat, const puna_scheduler_options *scheduler,
                            puna_error *err);

/* A row of routes.def: runs on a worker. */
typedef void pn_handler(pn_service *service, pn_exchange *x);

#endif
