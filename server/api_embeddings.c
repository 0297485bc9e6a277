/* api_embeddings.c: POST /v1/embeddings: vectors of length 1, pooled as the model was made for (the mean where its
 * file says nothing). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "openai_out.h"
#include "router.h"
#include "tokens.h"

/* The numbers of the key ARCHITECTURE.pooling_type are those of puna_pooling. */
static puna_pooling model_pooling(const pn_service *s) {
    char key[256];
    (void)snprintf(key, sizeof key, "%.200s.pooling_type", s->info.architecture);
    const int64_t kind = pn_model_number(s->model, key);
    return kind == PUNA_POOLING_CLS || kind == PUNA_POOLING_LAST ? (puna_pooling)kind
                                                                 : PUNA_POOLING_MEAN;
}

static bool add_input(pn_generation *g, const json_t *input, const char *param, pn_api_error *e) {
    const puna_model *model = pn_generation_service(g)->model;
    int32_t *ids = NULL, n_ids = 0;
    const bool ok = json_is_string(input)
                        ? pn_tokenize(model, json_string_value(input), json_string_length(input),
                                      PUNA_TOKENIZE_ADD_SPECIAL, &ids, &n_ids, param, e)
                        : pn_token_list(model, input, &ids, &n_ids, param, e);
    if (!ok) return false;
    if (n_ids == 0 && pn_first_token(model) >= 0) {
        free(ids);
        ids = malloc(sizeof *ids);
        if (ids) ids[n_ids++] = pn_first_token(model);
    }
    return pn_generation_add(g, ids, n_ids, e);
}

static bool add_inputs(pn_generation *g, const json_t *input, pn_api_error *e) {
    const size_t n = json_array_size(input);
    if (json_is_string(input)) return add_input(g, input, "input", e);
    if (!json_is_array(input) || n == 0)
        return pn_refuse_value(e, "input", "a string, token ids, or a list of these, not empty",
                               input);
    if (json_is_number(json_array_get(input, 0))) return add_input(g, input, "input", e);
    if (n > PN_MAX_PROMPTS)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "input",
                             "input: %zu of them, at most %d are possible", n, PN_MAX_PROMPTS);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(input, i);
        char param[48];
        (void)snprintf(param, sizeof param, "input[%zu]", i);
        if (!json_is_string(one) && !json_is_array(one))
            return pn_refuse_value(e, param, "a string or token ids", one);
        if (!add_input(g, one, param, e)) return false;
    }
    return true;
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static void write_base64(pn_text *t, const unsigned char *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    pn_text_put(t, "\"");
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t v = (uint32_t)bytes[i] << 16 |
                           (i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0) |
                           (i + 2 < n ? (uint32_t)bytes[i + 2] : 0);
        const char four[4] = {digits[v >> 18], digits[v >> 12 & 63],
                              i + 1 < n ? digits[v >> 6 & 63] : '=',
                              i + 2 < n ? digits[v & 63] : '='};
        pn_text_append(t, four, 4);
    }
    pn_text_put(t, "\"");
}

/* The first n numbers, divided by their length: float32, little-endian in base64. */
static void write_vector(pn_text *t, const float *v, int32_t n, bool base64) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
    const double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    unsigned char *bytes = base64 ? malloc((size_t)n * 4) : NULL;
    if (base64 && !bytes) {
        t->failed = true;
        return;
    }
    if (!base64) pn_text_put(t, "[");
    for (int32_t i = 0; i < n; i++) {
        const float value = (float)((double)v[i] * scale);
        if (!base64) {
            pn_text_write(t, i ? ",%f" : "%f", (double)value);
            continue;
        }
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        for (int k = 0; k < 4; k++)
            bytes[(size_t)i * 4 + (size_t)k] = (unsigned char)(bits >> 8 * k);
    }
    if (base64)
        write_base64(t, bytes, (size_t)n * 4);
    else
        pn_text_put(t, "]");
    free(bytes);
}

void pn_write_embeddings(pn_text *t, const pn_generation *g) {
    const json_t *body = pn_generation_params(g)->body;
    const char *format = json_string_value(json_object_get(body, "encoding_format"));
    const json_t *dimensions = pn_field(body, "dimensions");
    const pn_service *s = pn_generation_service(g);
    const int32_t n = dimensions ? (int32_t)json_integer_value(dimensions) : s->info.n_embd;
    const pn_usage usage = pn_generation_usage(g);
    pn_text_put(t, "{\"object\":\"list\",\"data\":[");
    for (int32_t i = 0; i < pn_generation_n_choices(g); i++) {
        pn_text_write(t, "%s{'object':'embedding','index':%d,'embedding':", i ? "," : "", i);
        write_vector(t, pn_generation_choice(g, i)->embedding, n,
                     format && strcmp(format, "base64") == 0);
        pn_text_put(t, "}");
    }
    pn_text_write(t, "],'model':%j,'usage':{'prompt_tokens':%d,'total_tokens':%d}}", s->model_name,
                  usage.n_prompt, usage.n_prompt);
}

static void on_done(void *user, pn_generation *g) {
    pn_text t = {0};
    pn_write_embeddings(&t, g);
    pn_reply_json(user, &t);
}

static const pn_writer writer = {pn_reply_begin, NULL, on_done, pn_reply_failed, pn_reply_free};

/* ---- the route ---------------------------------------------------------------------------------------- */

static bool check_form(const pn_service *s, const json_t *body, pn_api_error *e) {
    const char *format = NULL;
    int64_t dimensions = 1;
    if (!pn_field_text(body, "encoding_format", &format, e)) return false;
    if (format && strcmp(format, "float") != 0 && strcmp(format, "base64") != 0)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "encoding_format",
                             "encoding_format: is none of float and base64");
    return pn_field_int(body, "dimensions", 1, s->info.n_embd, &dimensions, e);
}

bool pn_embedding_generation(pn_service *service, json_t *body, const pn_writer *of_api, void *user,
                             pn_generation **generation, pn_api_error *e) {
    if (!check_form(service, body, e)) return false;
    pn_params params = {.body = json_incref(body),
                        .sampler = service->defaults,
                        .n = 1,
                        .best_of = 1,
                        .n_logprobs = -1};
    params.sampler.grammar = NULL;
    params.sampler.logit_bias = NULL;
    params.sampler.n_logit_bias = 0;
    pn_generation *g = pn_generation_new(service, &params, of_api, user);
    if (!g) return pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
    pn_generation_embed(g, model_pooling(service));
    const json_t *input = pn_field(body, "input");
    if (!add_inputs(g, input ? input : pn_field(body, "content"), e)) {
        pn_generation_free(g);
        return false;
    }
    (void)json_object_del(body, "input"); /* large, and not needed any more */
    *generation = g;
    return true;
}

void api_embeddings(pn_service *service, pn_exchange *x) {
    pn_reply_openai(service, x, pn_embedding_generation, &writer);
}
