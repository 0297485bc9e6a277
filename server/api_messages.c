/* api_messages.c: POST /v1/messages and /v1/messages/count_tokens, as Anthropic's API has them.
 *
 * An answer is a list of blocks: thinking, text, calls of tools. In a stream a block ends where another begins, so
 * one that is taken up again is a new block. */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "messages_read.h"
#include "openai_out.h"
#include "router.h"

typedef struct messages_reply {
    pn_reply reply; /* first */
    bool started;   /* message_start was written */
    bool in_block;
    pn_delta_kind block; /* REASONING, CONTENT or CALL */
    int32_t n_blocks;
    int32_t call;
} messages_reply;

/* ---- the parts of an answer ---------------------------------------------------------------------- */

/* A stop text of the request, not one of the model's own format. */
static const char *stop_sequence(const pn_generation *g, const pn_choice *c) {
    const pn_params *p = pn_generation_params(g);
    for (int32_t i = 0; c->stop && i < p->n_stops; i++)
        if (strcmp(p->stops[i], c->stop) == 0) return c->stop;
    return NULL;
}

static const char *stop_reason(const pn_generation *g, const pn_choice *c) {
    if (c->finish == PUNA_FINISH_LENGTH) return "max_tokens";
    if (c->finish == PUNA_FINISH_CONTEXT) return "model_context_window_exceeded";
    if (c->n_calls > 0) return "tool_use";
    return stop_sequence(g, c) ? "stop_sequence" : "end_turn";
}

static void write_usage(pn_text *t, const pn_choice *c) {
    pn_text_write(t,
                  "{'input_tokens':%d,'cache_creation_input_tokens':0,"
                  "'cache_read_input_tokens':%d,'output_tokens':%d}",
                  c->n_prompt - c->n_reused, c->n_reused, c->n_sampled);
}

static void write_head(pn_text *t, const pn_generation *g) {
    pn_text_write(t, "{'id':'msg_%s','type':'message','role':'assistant','model':%j,'content':[",
                  pn_generation_id(g), pn_generation_service(g)->model_name);
}

/* A call that was cut off has no arguments that could be read. */
static void write_input(pn_text *t, const pn_text *arguments) {
    json_t *input = json_loadb(pn_text_get(arguments), arguments->n, 0, NULL);
    if (json_is_object(input))
        pn_text_append(t, arguments->s, arguments->n);
    else
        pn_text_put(t, "{}");
    json_decref(input);
}

static void write_content(pn_text *t, const pn_choice *c) {
    const char *comma = "";
    if (c->reasoning.n > 0) {
        pn_text_write(t, "{'type':'thinking','thinking':%J,'signature':''}", c->reasoning.s,
                      c->reasoning.n);
        comma = ",";
    }
    if (c->content.n > 0) {
        pn_text_write(t, "%s{'type':'text','text':%J}", comma, c->content.s, c->content.n);
        comma = ",";
    }
    for (int32_t i = 0; i < c->n_calls; i++) {
        pn_text_write(t, "%s{'type':'tool_use','id':'toolu_%s','name':%j,'input':", comma,
                      c->calls[i].id + strlen("call_"), pn_text_get(&c->calls[i].name));
        write_input(t, &c->calls[i].arguments);
        pn_text_put(t, "}");
        comma = ",";
    }
}

/* ---- the stream ------------------------------------------------------------------------------------ */

static void start_message(messages_reply *m, pn_generation *g, const pn_choice *c) {
    pn_text t = {0};
    if (m->started) return;
    m->started = true;
    pn_text_put(&t, "{\"type\":\"message_start\",\"message\":");
    write_head(&t, g);
    pn_text_put(&t, "],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
    write_usage(&t, c);
    pn_text_put(&t, "}}");
    pn_reply_named_event(&m->reply, "message_start", &t);
    pn_text_put(&t, "{\"type\":\"ping\"}");
    pn_reply_named_event(&m->reply, "ping", &t);
}

static void stop_block(messages_reply *m) {
    pn_text t = {0};
    if (!m->in_block) return;
    m->in_block = false;
    if (m->block == PN_DELTA_REASONING) {
        pn_text_write(&t,
                      "{'type':'content_block_delta','index':%d,"
                      "'delta':{'type':'signature_delta','signature':''}}",
                      m->n_blocks - 1);
        pn_reply_named_event(&m->reply, "content_block_delta", &t);
    }
    pn_text_write(&t, "{'type':'content_block_stop','index':%d}", m->n_blocks - 1);
    pn_reply_named_event(&m->reply, "content_block_stop", &t);
}

static void start_block(messages_reply *m, pn_delta_kind kind, const pn_delta *d) {
    pn_text t = {0};
    stop_block(m);
    m->in_block = true;
    m->block = kind;
    m->call = d->call;
    pn_text_write(&t, "{'type':'content_block_start','index':%d,'content_block':", m->n_blocks++);
    if (kind == PN_DELTA_REASONING)
        pn_text_write(&t, "{'type':'thinking','thinking':'','signature':''}}");
    else if (kind == PN_DELTA_CONTENT)
        pn_text_write(&t, "{'type':'text','text':''}}");
    else
        pn_text_write(&t, "{'type':'tool_use','id':'toolu_%s','name':%j,'input':{}}}",
                      d->choice->calls[d->call].id + strlen("call_"),
                      pn_text_get(&d->choice->calls[d->call].name));
    pn_reply_named_event(&m->reply, "content_block_start", &t);
}

static void write_text(messages_reply *m, pn_delta_kind kind, const char *type, const char *name,
                       const pn_delta *d) {
    pn_text t = {0};
    if (!m->in_block || m->block != kind) start_block(m, kind, d);
    pn_text_write(&t, "{'type':'content_block_delta','index':%d,'delta':{'type':%j,",
                  m->n_blocks - 1, type);
    pn_text_write(&t, "%j:%J}}", name, d->text, d->text_bytes);
    pn_reply_named_event(&m->reply, "content_block_delta", &t);
}

static void on_delta(void *user, pn_generation *g, const pn_delta *d) {
    messages_reply *m = user;
    start_message(m, g, d->choice);
    switch (d->kind) {
    case PN_DELTA_REASONING: write_text(m, d->kind, "thinking_delta", "thinking", d); break;
    case PN_DELTA_CONTENT: write_text(m, d->kind, "text_delta", "text", d); break;
    case PN_DELTA_CALL: start_block(m, d->kind, d); break;
    case PN_DELTA_ARGUMENTS:
        write_text(m, PN_DELTA_CALL, "input_json_delta", "partial_json", d);
        break;
    case PN_DELTA_BEGIN:
    case PN_DELTA_FINISH: break;
    }
}

static void on_done(void *user, pn_generation *g) {
    messages_reply *m = user;
    const pn_choice *c = pn_generation_choice(g, 0);
    pn_text t = {0};
    if (!m->reply.streams) {
        write_head(&t, g);
        write_content(&t, c);
        pn_text_write(&t, "],'stop_reason':%j,'stop_sequence':%j,'usage':", stop_reason(g, c),
                      stop_sequence(g, c));
        write_usage(&t, c);
        pn_text_put(&t, "}");
        pn_reply_json(&m->reply, &t);
        return;
    }
    start_message(m, g, c);
    stop_block(m);
    pn_text_write(&t, "{'type':'message_delta','delta':{'stop_reason':%j,'stop_sequence':%j},",
                  stop_reason(g, c), stop_sequence(g, c));
    pn_text_put(&t, "\"usage\":");
    write_usage(&t, c);
    pn_text_put(&t, "}");
    pn_reply_named_event(&m->reply, "message_delta", &t);
    pn_text_put(&t, "{\"type\":\"message_stop\"}");
    pn_reply_named_event(&m->reply, "message_stop", &t);
    pn_reply_end(&m->reply);
}

static void on_failed(void *user, pn_generation *g, const pn_api_error *e) {
    messages_reply *m = user;
    if (!m->reply.streams) {
        pn_reply_failed(&m->reply, g, e);
        return;
    }
    char *json = pn_api_error_json(m->reply.x, e);
    pn_text t = {0};
    pn_text_put(&t, json ? json
                         : "{\"type\":\"error\",\"error\":{\"type\":\"api_error\","
                           "\"message\":\"out of memory\"}}");
    free(json);
    pn_reply_named_event(&m->reply, "error", &t);
    pn_reply_end(&m->reply);
}

static const pn_writer writer = {pn_reply_begin, on_delta, on_done, on_failed, pn_reply_free};

/* ---- the routes ------------------------------------------------------------------------------------ */

/* Answers in JSON: output_config.format, in older clients output_format. */
static bool read_format(pn_params *params, const json_t *body, pn_api_error *e) {
    const json_t *config = pn_field(body, "output_config");
    const json_t *format = pn_field(config ? config : body, config ? "format" : "output_format");
    const char *at = config ? "output_config.format" : "output_format";
    if (config && !json_is_object(config))
        return pn_refuse_value(e, "output_config", "an object", config);
    if (!format) return true;
    if (!json_is_object(format)) return pn_refuse_value(e, at, "an object", format);
    const char *type = pn_needed_text(format, at, "type", e);
    if (!type) return false;
    if (strcmp(type, "json_schema") != 0)
        return pn_refuse_type(e, at, "formats", json_object_get(format, "type"));
    json_t *schema = pn_field(format, "schema");
    if (!schema) return pn_refuse_value(e, at, "a schema", schema);
    return pn_params_schema(params, schema, at, e);
}

/* The parameters and the conversation of a request; the caller frees the form. */
static bool read_request(pn_service *service, json_t *body, bool samples, pn_params *params,
                         pn_chat_form *form, pn_api_error *e) {
    if (!pn_model_is_named(body, e)) return false;
    if (samples && !pn_field(body, "max_tokens"))
        return pn_refuse_value(e, "max_tokens", "a whole number", NULL);
    if (!pn_params_read(params, service, PN_API_MESSAGES, body, e)) return false;
    if (read_format(params, body, e) && pn_anthropic_read(body, form, e)) return true;
    pn_params_free(params);
    return false;
}

void api_messages(pn_service *service, pn_exchange *x) {
    pn_api_error e;
    pn_params params;
    pn_chat_form form;
    pn_generation *g = NULL;
    json_t *body = pn_body_read(x, &e);
    messages_reply *m = body ? calloc(1, sizeof *m) : NULL;
    if (body && !m) (void)pn_api_refuse(&e, 500, "server_error", NULL, NULL, "out of memory");
    if (m) pn_reply_init(&m->reply, x);
    pn_chat_form_init(&form);
    const bool ok = m && read_request(service, body, true, &params, &form, &e) &&
                    pn_chat_form_generation(&form, service, &params, &writer, m, &g, &e);
    pn_chat_form_free(&form);
    json_decref(body);
    if (ok)
        pn_reply_start(&m->reply, g);
    else
        pn_reply_refuse(x, m ? &m->reply : NULL, &e);
}

void api_count_tokens(pn_service *service, pn_exchange *x) {
    pn_api_error e;
    pn_params params;
    pn_chat_form form;
    int32_t n_tokens = 0;
    json_t *body = pn_body_read(x, &e);
    pn_chat_form_init(&form);
    bool ok = body && read_request(service, body, false, &params, &form, &e);
    if (ok) {
        ok = pn_chat_form_count(&form, service, &params, &n_tokens, &e);
        pn_params_free(&params);
    }
    pn_chat_form_free(&form);
    json_decref(body);
    if (ok) {
        pn_text t = {0};
        pn_text_write(&t, "{'input_tokens':%d}", n_tokens);
        pn_reply_text(x, &t);
    } else {
        pn_api_error_reply(x, &e);
    }
}
