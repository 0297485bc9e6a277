/* openai_out.c: the response, and pieces of JSON that several endpoints write. */
#include "openai_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokens.h"

/* ---- the response -------------------------------------------------------------------------------- */

pn_reply *pn_reply_new(pn_exchange *x) {
    pn_reply *reply = calloc(1, sizeof *reply);
    if (reply) pn_reply_init(reply, x);
    return reply;
}

void pn_reply_init(pn_reply *reply, pn_exchange *x) {
    pn_exchange_retain(x);
    reply->x = x;
}

void pn_reply_free(void *user) {
    pn_reply *reply = user;
    if (!reply) return;
    pn_exchange_on_gone(reply->x, NULL, NULL);
    pn_exchange_release(reply->x);
    free(reply);
}

static void on_gone(void *user) {
    pn_generation_cancel(((pn_reply *)user)->g);
}

void pn_reply_begin(void *user, pn_generation *g) {
    pn_reply *reply = user;
    reply->g = g;
    reply->streams = pn_generation_params(g)->stream;
    if (reply->streams) {
        pn_exchange_set_header(reply->x, "Cache-Control", "no-cache");
        pn_exchange_set_header(reply->x, "X-Accel-Buffering",
                               "no"); /* nginx passes it on at once */
        pn_exchange_stream(reply->x, "text/event-stream");
    }
    pn_exchange_on_gone(reply->x, on_gone, reply);
}

/* For the line of this request in the log. */
static void note_tokens(const pn_reply *reply) {
    if (!reply->g) return;
    const pn_usage u = pn_generation_usage(reply->g);
    pn_exchange_set_tokens(reply->x, u.n_prompt, u.n_completion);
}

void pn_reply_failed(void *user, pn_generation *g, const pn_api_error *e) {
    pn_reply *reply = user;
    (void)g;
    note_tokens(reply);
    if (!reply->streams) {
        pn_api_error_reply(reply->x, e);
        return;
    }
    char *json = pn_api_error_json(reply->x, e);
    pn_text event = {0};
    pn_text_put(&event, json ? json
                             : "{\"error\":{\"message\":\"out of memory\",\"type\":"
                               "\"server_error\",\"param\":null,\"code\":null}}");
    free(json);
    pn_reply_event(reply, &event);
    pn_exchange_end(reply->x);
}

static void reply_no_memory(pn_exchange *x) {
    pn_api_error e;
    (void)pn_api_refuse(&e, 500, "server_error", NULL, NULL, "out of memory");
    pn_api_error_reply(x, &e);
}

void pn_reply_json(pn_reply *reply, pn_text *text) {
    note_tokens(reply);
    if (text->failed)
        reply_no_memory(reply->x);
    else
        pn_exchange_reply(reply->x, 200, "application/json", pn_text_get(text), text->n);
    pn_text_free(text);
}

void pn_reply_event(pn_reply *reply, pn_text *text) {
    pn_reply_named_event(reply, NULL, text);
}

void pn_reply_named_event(pn_reply *reply, const char *name, pn_text *text) {
    pn_text event = {0};
    if (name) pn_text_write(&event, "event: %s\n", name);
    pn_text_write(&event, "data: %t\n\n", text);
    if (!reply->is_lost && (event.failed || !pn_exchange_write(reply->x, event.s, event.n))) {
        reply->is_lost = true;
        pn_generation_cancel(reply->g);
    }
    pn_text_free(&event);
    pn_text_free(text);
}

void pn_reply_end(pn_reply *reply) {
    note_tokens(reply);
    pn_exchange_end(reply->x);
}

void pn_reply_done(pn_reply *reply) {
    static const char done[] = "data: [DONE]\n\n";
    (void)pn_exchange_write(reply->x, done, sizeof done - 1);
    pn_reply_end(reply);
}

void pn_reply_start(pn_reply *reply, pn_generation *g) {
    pn_api_error e;
    if (pn_generation_start(g, pn_exchange_client(reply->x), &e)) return;
    pn_generation_free(g);
    pn_reply_refuse(reply->x, reply, &e);
}

void pn_reply_refuse(pn_exchange *x, pn_reply *reply, const pn_api_error *e) {
    pn_api_error_reply(x, e);
    pn_reply_free(reply);
}

void pn_reply_openai(pn_service *service, pn_exchange *x, pn_make_generation *make,
                     const pn_writer *writer) {
    pn_api_error e;
    pn_generation *g = NULL;
    json_t *body = pn_body_read(x, &e);
    pn_reply *reply = body ? pn_reply_new(x) : NULL;
    if (body && !reply) (void)pn_api_refuse(&e, 500, "server_error", NULL, NULL, "out of memory");
    const bool ok =
        reply && pn_model_is_named(body, &e) && make(service, body, writer, reply, &g, &e);
    json_decref(body);
    if (ok)
        pn_reply_start(reply, g);
    else
        pn_reply_refuse(x, reply, &e);
}

/* ---- pieces of JSON ------------------------------------------------------------------------------ */

const char *pn_fingerprint(void) {
    static char text[64];
    if (!text[0]) (void)snprintf(text, sizeof text, "puna-%s-%s", puna_version(), puna_cpu_isa());
    return text;
}

void pn_write_usage(pn_text *t, const pn_generation *g) {
    const pn_usage u = pn_generation_usage(g);
    pn_text_write(t,
                  "{'prompt_tokens':%d,'completion_tokens':%d,'total_tokens':%d,"
                  "'prompt_tokens_details':{'cached_tokens':%d},"
                  "'completion_tokens_details':{'reasoning_tokens':%d}}",
                  u.n_prompt, u.n_completion, u.n_prompt + u.n_completion, u.n_cached,
                  u.n_reasoning);
}

static double quotient(double a, double b) {
    return b > 0 ? a / b : 0;
}

void pn_write_timings(pn_text *t, const pn_choice *c) {
    const int32_t n_prompt = c->n_prompt - c->n_reused;
    const double prompt_ms = c->prefill_s * 1e3, predicted_ms = c->decode_s * 1e3;
    pn_text_write(t,
                  "{'cache_n':%d,'prompt_n':%d,'prompt_ms':%f,'prompt_per_token_ms':%f,"
                  "'prompt_per_second':%f,'predicted_n':%d,'predicted_ms':%f,"
                  "'predicted_per_token_ms':%f,'predicted_per_second':%f}",
                  c->n_reused, n_prompt, prompt_ms, quotient(prompt_ms, n_prompt),
                  quotient(n_prompt * 1e3, prompt_ms), c->n_sampled, predicted_ms,
                  quotient(predicted_ms, c->n_sampled), quotient(c->n_sampled * 1e3, predicted_ms));
}

static void token_bytes(pn_text *t, const puna_model *model, int32_t token) {
    (void)pn_detokenize(model, &token, 1, PUNA_DETOKENIZE_SPECIAL | PUNA_DETOKENIZE_KEEP_SPACE, t);
}

void pn_write_token(pn_text *t, const puna_model *model, int32_t token) {
    pn_text bytes = {0};
    token_bytes(&bytes, model, token);
    pn_text_json(t, pn_text_get(&bytes), bytes.n);
    pn_text_free(&bytes);
}

void pn_write_logprob(pn_text *t, double logprob) {
    pn_text_write(t, "%f", logprob > -9999.0 ? logprob : -9999.0);
}

/* {"token", "logprob", "bytes" without a closing brace */
static void write_entry(pn_text *t, const puna_model *model, int32_t token, double logprob) {
    pn_text bytes = {0};
    token_bytes(&bytes, model, token);
    pn_text_write(t, "{'token':%J,'logprob':", pn_text_get(&bytes), bytes.n);
    pn_write_logprob(t, logprob);
    pn_text_put(t, ",\"bytes\":[");
    for (size_t i = 0; i < bytes.n; i++)
        pn_text_write(t, i ? ",%d" : "%d", (int32_t)(unsigned char)bytes.s[i]);
    pn_text_put(t, "]");
    pn_text_free(&bytes);
}

void pn_write_chat_logprobs(pn_text *t, const pn_generation *g, const pn_choice *c, int32_t first,
                            int32_t n) {
    const puna_model *model = pn_generation_service(g)->model;
    pn_text_put(t, "[");
    for (int32_t i = first; i < first + n; i++) {
        const pn_sampled *token = &c->tokens[i];
        const puna_token_logprob *top = c->top + (size_t)i * (size_t)c->top_stride;
        if (i > first) pn_text_put(t, ",");
        write_entry(t, model, token->token, (double)token->logprob);
        pn_text_put(t, ",\"top_logprobs\":[");
        for (int32_t k = 0; k < token->n_top && k < c->top_stride; k++) {
            if (k > 0) pn_text_put(t, ",");
            write_entry(t, model, top[k].token, (double)top[k].logprob);
            pn_text_put(t, "}");
        }
        pn_text_put(t, "]}");
    }
    pn_text_put(t, "]");
}
