/* api_models.c: GET /v1/models and /v1/models/{model}: the one model that is loaded. */
#include <string.h>

#include "api.h"
#include "openai_out.h"
#include "router.h"

bool pn_model_is_named(const json_t *body, pn_api_error *e) {
    const char *name;
    return pn_field_text(body, "model", &name, e);
}

void pn_reply_text(pn_exchange *x, pn_text *text) {
    pn_api_error e;
    if (text->failed) {
        (void)pn_api_refuse(&e, 500, "server_error", NULL, NULL, "out of memory");
        pn_api_error_reply(x, &e);
    } else {
        pn_exchange_reply(x, 200, "application/json", pn_text_get(text), text->n);
    }
    pn_text_free(text);
}

/* OpenAI's fields, and llama.cpp's "meta". */
static void write_model(pn_text *t, const pn_service *s) {
    pn_text_write(t,
                  "{'id':%j,'object':'model','created':%l,'owned_by':'puna',"
                  "'meta':{'architecture':%j,'quantization':%j,'n_vocab':%d,'n_ctx':%d,"
                  "'n_ctx_train':%d,'n_embd':%d,'n_params':%l,'size':%l}}",
                  s->model_name, s->created, s->info.architecture, s->info.quantization,
                  s->info.n_vocab, s->plan.n_ctx, s->info.n_ctx_train, s->info.n_embd,
                  (int64_t)s->info.n_params, (int64_t)s->info.file_bytes);
}

void api_models(pn_service *service, pn_exchange *x) {
    pn_text t = {0};
    pn_text_put(&t, "{\"object\":\"list\",\"data\":[");
    write_model(&t, service);
    pn_text_put(&t, "]}");
    pn_reply_text(x, &t);
}

void api_model(pn_service *service, pn_exchange *x) {
    pn_text t = {0};
    if (strcmp(pn_exchange_rest(x), service->model_name) != 0) {
        pn_api_error e;
        (void)pn_api_refuse(&e, 404, PN_INVALID_REQUEST, "model_not_found", "model",
                            "no model of this name is loaded; /v1/models says which one is");
        pn_api_error_reply(x, &e);
        return;
    }
    write_model(&t, service);
    pn_reply_text(x, &t);
}
