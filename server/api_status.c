/* api_status.c: what the server says about itself: /health, /props, /slots, /metrics, and the page. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_error.h"
#include "router.h"
#include "web_page.h"

static void reply_json(pn_exchange *x, json_t *object) {
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    pn_api_error e;
    json_decref(object);
    if (text) {
        pn_exchange_reply(x, 200, "application/json", text, strlen(text));
        free(text);
        return;
    }
    pn_api_refuse(&e, 500, "server_error", NULL, NULL, "out of memory");
    pn_api_error_reply(x, &e);
}

static void refuse_as_off(pn_exchange *x, const char *option) {
    pn_api_error e;
    pn_api_refuse(&e, 404, PN_INVALID_REQUEST, "not_found", NULL, "this is off: start with %s",
                  option);
    pn_api_error_reply(x, &e);
}

void api_health(pn_service *service, pn_exchange *x) {
    (void)service; /* while the model loads, server.c answers */
    pn_exchange_reply(x, 200, "application/json", "{\"status\":\"ok\"}", 15);
}

/* ---- /props ---------------------------------------------------------------------------------- */

static json_t *model_facts(const pn_service *service) {
    const puna_model_info *info = &service->info;
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:i, s:i}", "architecture",
                     info->architecture, "name", info->name, "quantization", info->quantization,
                     "tokenizer", info->tokenizer, "n_params", (json_int_t)info->n_params, "bytes",
                     (json_int_t)info->file_bytes, "n_vocab", info->n_vocab, "n_ctx_train",
                     info->n_ctx_train, "n_embd", info->n_embd);
}

static json_t *sampling_facts(const puna_sampler_params *p) {
    return json_pack(
        "{s:f, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:f, s:f, s:f, s:i, s:f, s:f}",
        "temperature", (double)p->temperature, "top_k", p->top_k, "top_p", (double)p->top_p,
        "min_p", (double)p->min_p, "typical_p", (double)p->typical_p, "top_n_sigma",
        (double)p->top_n_sigma, "xtc_probability", (double)p->xtc_probability, "xtc_threshold",
        (double)p->xtc_threshold, "repeat_last_n", p->penalty_last_n, "repeat_penalty",
        (double)p->repeat_penalty, "frequency_penalty", (double)p->frequency_penalty,
        "presence_penalty", (double)p->presence_penalty, "mirostat", p->mirostat, "mirostat_tau",
        (double)p->mirostat_tau, "mirostat_eta", (double)p->mirostat_eta);
}

/* Which layers each device computes, in their order; gpu is null for the CPU. */
static json_t *device_facts(const puna_memory_plan *plan) {
    json_t *rows = json_array();
    for (int32_t i = 0; rows && i < plan->n_devices; i++) {
        const puna_device_plan *d = &plan->devices[i];
        json_t *gpu = d->gpu >= 0 ? json_integer(d->gpu) : json_null();
        json_array_append_new(rows,
                              json_pack("{s:s, s:o, s:i, s:i, s:I, s:I}", "name", d->name, "gpu",
                                        gpu, "first_layer", d->first_layer, "n_layers", d->n_layers,
                                        "total_bytes", (json_int_t)d->total_bytes, "memory_bytes",
                                        (json_int_t)d->memory_bytes));
    }
    return rows;
}

/* The names that llama.cpp's server has come first; what follows is our own. */
void api_props(pn_service *service, pn_exchange *x) {
    const puna_memory_plan *plan = &service->plan;
    json_t *object = json_pack(
        "{s:{s:i, s:o}, s:i, s:s, s:s, s:s, s:s, s:o, s:s, s:b, s:o, s:s, s:o}",
        "default_generation_settings", "n_ctx", plan->n_ctx, "params",
        sampling_facts(&service->defaults), "total_slots", plan->n_seq, "model_alias",
        service->model_name, "model_path", service->model_name, "chat_template",
        service->info.chat_template, "build_info", "puna " PUNA_VERSION, "model",
        model_facts(service), "chat_format", service->chat ? puna_chat_source(service->chat) : "",
        "chat", service->chat != NULL, "chat_error",
        service->chat ? json_null() : json_string(service->chat_error.msg), "where", plan->where,
        "devices", device_facts(plan));
    reply_json(x, object);
}

/* ---- /slots ---------------------------------------------------------------------------------- */

static const char *const state_names[] = {"waiting", "prompt", "answer"};

static json_t *request_facts(const puna_request_info *r, int32_t n_ctx) {
    return json_pack("{s:i, s:i, s:b, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:f}", "id", r->slot,
                     "n_ctx", n_ctx, "is_processing", 1, "state", state_names[r->state], "id_task",
                     (json_int_t)r->request, "priority", r->priority, "n_prompt", r->n_prompt,
                     "n_reused", r->n_reused, "n_computed", r->n_computed, "n_sampled",
                     r->n_sampled, "age_s", r->age_s);
}

/* The requests of the scheduler, *n of them, to be freed. */
static puna_request_info *list_requests(puna_scheduler *scheduler, int32_t *n) {
    int32_t room = 64;
    for (;;) {
        puna_request_info *infos = calloc((size_t)room, sizeof *infos);
        if (!infos) return NULL;
        for (int32_t i = 0; i < room; i++) infos[i].size = sizeof *infos;
        *n = puna_scheduler_requests(scheduler, infos, room);
        if (*n <= room) return infos;
        room = *n + 64;
        free(infos);
    }
}

/* A row for every slot, busy or not, then one for every request that waits. No text of anybody. */
void api_slots(pn_service *service, pn_exchange *x) {
    int32_t n = 0;
    if (!service->slots) {
        refuse_as_off(x, "--slots");
        return;
    }
    puna_request_info *infos = list_requests(service->scheduler, &n);
    json_t *rows = infos ? json_array() : NULL;
    const int32_t n_ctx = service->plan.n_ctx;
    for (int32_t slot = 0; rows && slot < service->plan.n_seq; slot++) {
        json_t *row = NULL;
        for (int32_t i = 0; i < n && !row; i++)
            if (infos[i].slot == slot) row = request_facts(&infos[i], n_ctx);
        if (!row)
            row = json_pack("{s:i, s:i, s:b, s:s}", "id", slot, "n_ctx", n_ctx, "is_processing", 0,
                            "state", "idle");
        json_array_append_new(rows, row);
    }
    for (int32_t i = 0; rows && i < n; i++)
        if (infos[i].slot < 0) json_array_append_new(rows, request_facts(&infos[i], n_ctx));
    free(infos);
    reply_json(x, rows);
}

/* ---- /metrics and the page ------------------------------------------------------------------- */

void api_metrics(pn_service *service, pn_exchange *x) {
    size_t n_bytes = 0;
    pn_api_error e;
    if (!service->show_metrics) {
        refuse_as_off(x, "--metrics");
        return;
    }
    char *text = pn_metrics_text(service->metrics, service->scheduler, &n_bytes);
    if (text) {
        pn_exchange_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", text, n_bytes);
        free(text);
        return;
    }
    pn_api_refuse(&e, 500, "server_error", NULL, NULL, "out of memory");
    pn_api_error_reply(x, &e);
}

void api_page(pn_service *service, pn_exchange *x) {
    static const char none[] =
        "puna is running. The chat page was not built into this program; the "
        "API is at /v1.\n";
    static const char off[] = "puna is running. The chat page is off (--no-webui); the API is at "
                              "/v1.\n";
    const char *known = pn_exchange_header(x, "If-None-Match");
    if (!service->web_page || !pn_web_page_bytes) {
        const char *text = service->web_page ? none : off;
        pn_exchange_reply(x, 200, "text/plain; charset=utf-8", text, strlen(text));
        return;
    }
    pn_exchange_set_header(x, "ETag", pn_web_page_etag);
    pn_exchange_set_header(x, "Cache-Control", "no-cache");
    pn_exchange_set_header(x, "Content-Security-Policy", pn_web_page_csp);
    pn_exchange_set_header(x, "X-Frame-Options", "DENY");
    pn_exchange_set_header(x, "Referrer-Policy", "no-referrer");
    if (known && strcmp(known, pn_web_page_etag) == 0) {
        pn_exchange_reply(x, 304, "text/html; charset=utf-8", "", 0);
        return;
    }
    pn_exchange_set_header(x, "Content-Encoding", "gzip");
    pn_exchange_reply(x, 200, "text/html; charset=utf-8", (const char *)pn_web_page,
                      pn_web_page_bytes);
}
