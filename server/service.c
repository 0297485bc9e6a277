/* service.c: a model is put to work: its sizes, its way to chat, its scheduler. */
#include "service.h"

#include <stdio.h>
#include <string.h>

#include "server_fail.h"

/* Where nothing was asked for: a request may have the context that the model was trained for, and all of
 * them share a cache that takes at most half of the memory that is free. */
static puna_status choose_sizes(const puna_model *model, puna_engine_options *engine,
                                puna_error *err) {
    puna_engine_options one = *engine;
    puna_memory_plan plan = {.size = sizeof plan};
    if (engine->n_kv) return PUNA_OK;
    one.n_seq = 1;
    puna_status status = puna_engine_plan(model, &one, &plan, err);
    if (status != PUNA_OK) return status;
    uint64_t half = plan.available_bytes / 2;
    uint64_t each = plan.kv_bytes_per_position ? plan.kv_bytes_per_position : 1;
    int64_t fits = (int64_t)(half / each);
    if (engine->n_ctx == 0) {
        int64_t n_ctx = plan.n_ctx;
        if (n_ctx > fits) n_ctx = fits > 512 ? fits / 64 * 64 : 512;
        engine->n_ctx = n_ctx < plan.n_ctx ? (int32_t)n_ctx : plan.n_ctx;
    }
    int64_t all = (int64_t)engine->n_seq * engine->n_ctx;
    engine->n_kv = all < fits ? all : fits > engine->n_ctx ? fits / 64 * 64 : engine->n_ctx;
    if (engine->n_kv < engine->n_ctx) engine->n_kv = engine->n_ctx;
    return PUNA_OK;
}

void pn_service_set_name(pn_service *service, const char *path, const char *alias, char name[256]) {
    const char *slash = strrchr(path, '/');
    snprintf(name, 256, "%s", alias ? alias : slash ? slash + 1 : path);
    pn_clean_line(name);
    service->model_path = path;
    service->model_name = name;
}

puna_status pn_service_load(pn_service *service, const puna_model_options *model,
                            const puna_chat_options *chat, const puna_scheduler_options *scheduler,
                            puna_error *err) {
    puna_scheduler_options sized = *scheduler;
    puna_status status = puna_model_open(service->model_path, model, &service->model, err);
    if (status != PUNA_OK) return status;
    service->info.size = sizeof service->info;
    puna_model_get_info(service->model, &service->info);
    /* a model that cannot chat still completes */
    if (puna_chat_open(service->model, chat, &service->chat, &service->chat_error) != PUNA_OK)
        service->chat = NULL;
    status = choose_sizes(service->model, &sized.engine, err);
    if (status == PUNA_OK && !service->chat && (chat->format || chat->template_text)) {
        *err = service->chat_error; /* somebody asked for this way */
        return err->code;
    }
    if (status == PUNA_OK)
        status = puna_scheduler_open(service->model, &sized, &service->scheduler, err);
    if (status == PUNA_OK) {
        service->plan.size = sizeof service->plan;
        puna_scheduler_get_plan(service->scheduler, &service->plan);
    }
    return status;
}
