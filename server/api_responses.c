/* api_responses.c: POST /v1/responses, as OpenAI's API has it, without anything that is kept (responses_read.c).
 *
 * The output is a list of items: reasoning, a message, calls. In a stream an item ends where another begins, so
 * one that is taken up again is a new item. */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "responses_out.h"
#include "responses_read.h"
#include "router.h"

/* ---- items ----------------------------------------------------------------------------------------- */

static pn_response_item *add_item(pn_response *r, pn_delta_kind kind) {
    if (r->n_items == r->cap_items) {
        const int32_t cap = r->cap_items ? 2 * r->cap_items : 4;
        pn_response_item *items = realloc(r->items, (size_t)cap * sizeof *items);
        if (!items) {
            r->failed = true;
            return NULL;
        }
        r->items = items;
        r->cap_items = cap;
    }
    r->items[r->n_items] = (pn_response_item){.kind = kind};
    return &r->items[r->n_items++];
}

/* The items of an answer that was not streamed. */
static void list_items(pn_response *r, const pn_choice *c) {
    pn_response_item *item;
    if (c->reasoning.n > 0 && (item = add_item(r, PN_DELTA_REASONING))) item->to = c->reasoning.n;
    if ((c->content.n > 0 || (c->n_calls == 0 && c->reasoning.n == 0)) &&
        (item = add_item(r, PN_DELTA_CONTENT))) {
        item->to = c->content.n;
        item->n_tokens = c->n_tokens;
    }
    for (int32_t i = 0; i < c->n_calls; i++)
        if ((item = add_item(r, PN_DELTA_CALL))) item->call = i;
}

/* ---- events ---------------------------------------------------------------------------------------- */

/* {"type": TYPE, "sequence_number": N, without the end */
static void write_event(pn_text *t, pn_response *r, const char *type) {
    pn_text_write(t, "{'type':%j,'sequence_number':%d", type, r->n_events++);
}

/* The same with the item that it is about, the last. part: of its content. */
static void write_item_event(pn_text *t, pn_response *r, const pn_generation *g, const char *type,
                             bool part) {
    const pn_response_item *item = &r->items[r->n_items - 1];
    write_event(t, r, type);
    pn_text_write(t, ",'output_index':%d,'item_id':'%s_%s%d'", r->n_items - 1,
                  item->kind == PN_DELTA_REASONING ? "rs"
                  : item->kind == PN_DELTA_CONTENT ? "msg"
                                                   : "fc",
                  pn_generation_id(g), r->n_items - 1);
    if (part) pn_text_put(t, ",\"content_index\":0");
}

static void send(pn_response *r, const char *type, pn_text *t) {
    pn_text_put(t, "}");
    pn_reply_named_event(&r->reply, type, t);
}

static void send_response(pn_response *r, const pn_generation *g, const char *type,
                          const char *status, const pn_api_error *error) {
    pn_text t = {0};
    write_event(&t, r, type);
    pn_text_put(&t, ",\"response\":");
    pn_write_response(&t, g, r, status, error);
    send(r, type, &t);
}

/* response.output_item.added or .done */
static void send_item(pn_response *r, const pn_generation *g, const char *type) {
    pn_text t = {0};
    write_event(&t, r, type);
    pn_text_write(&t, ",'output_index':%d,'item':", r->n_items - 1);
    pn_write_response_item(&t, g, &r->items[r->n_items - 1], r->n_items - 1);
    send(r, type, &t);
}

/* response.content_part.added (with no text yet) or .done */
static void send_part(pn_response *r, const pn_generation *g, const char *type, const char *text,
                      size_t n) {
    const pn_response_item *item = &r->items[r->n_items - 1];
    const pn_choice *c = pn_generation_choice(g, 0);
    pn_text t = {0};
    write_item_event(&t, r, g, type, true);
    if (item->kind == PN_DELTA_REASONING) {
        pn_text_write(&t, ",'part':{'type':'reasoning_text','text':%J}", text, n);
    } else {
        pn_text_write(
            &t, ",'part':{'type':'output_text','text':%J,'annotations':[],'logprobs':", text, n);
        pn_write_chat_logprobs(&t, g, c, item->first_token,
                               c->tokens && n > 0 ? item->n_tokens : 0);
        pn_text_put(&t, "}");
    }
    send(r, type, &t);
}

static void end_call(pn_response *r, const pn_generation *g, const pn_tool_call *call) {
    static const char type[] = "response.function_call_arguments.done";
    pn_text t = {0};
    write_item_event(&t, r, g, type, false);
    pn_text_write(&t, ",'name':%j,'arguments':%J", pn_text_get(&call->name),
                  pn_text_get(&call->arguments), call->arguments.n);
    send(r, type, &t);
}

static void end_text(pn_response *r, const pn_generation *g, const pn_response_item *item,
                     const pn_choice *c) {
    const bool said = item->kind == PN_DELTA_CONTENT;
    const char *type = said ? "response.output_text.done" : "response.reasoning_text.done";
    const char *text = pn_text_get(said ? &c->content : &c->reasoning) + item->from;
    const size_t n = item->to - item->from;
    pn_text t = {0};
    write_item_event(&t, r, g, type, true);
    pn_text_write(&t, ",'text':%J", text, n);
    if (said) {
        pn_text_put(&t, ",\"logprobs\":");
        pn_write_chat_logprobs(&t, g, c, item->first_token, c->tokens ? item->n_tokens : 0);
    }
    send(r, type, &t);
    send_part(r, g, "response.content_part.done", text, n);
}

/* Ends the item that goes on, if one does. */
static void end_item(pn_response *r, const pn_generation *g) {
    pn_response_item *item = r->n_items > 0 ? &r->items[r->n_items - 1] : NULL;
    const pn_choice *c = pn_generation_choice(g, 0);
    if (!item || !item->is_open) return;
    item->is_open = false;
    if (item->kind == PN_DELTA_CALL)
        end_call(r, g, &c->calls[item->call]);
    else
        end_text(r, g, item, c);
    send_item(r, g, "response.output_item.done");
}

/* False without memory. at: where in the choice's text it begins. */
static bool begin_item(pn_response *r, const pn_generation *g, const pn_delta *d,
                       pn_delta_kind kind, size_t at) {
    end_item(r, g);
    pn_response_item *item = add_item(r, kind);
    if (!item) return false;
    item->is_open = true;
    item->from = item->to = at;
    item->call = d->call;
    item->first_token = d->first_token;
    send_item(r, g, "response.output_item.added");
    if (kind != PN_DELTA_CALL) send_part(r, g, "response.content_part.added", "", 0);
    return true;
}

static void on_text(pn_response *r, const pn_generation *g, const pn_delta *d) {
    const bool said = d->kind == PN_DELTA_CONTENT;
    const char *type = said ? "response.output_text.delta" : "response.reasoning_text.delta";
    const size_t end = said ? d->choice->content.n : d->choice->reasoning.n;
    pn_response_item *item = r->n_items > 0 ? &r->items[r->n_items - 1] : NULL;
    if (!item || !item->is_open || item->kind != d->kind) {
        if (!begin_item(r, g, d, d->kind, end - d->text_bytes)) return;
        item = &r->items[r->n_items - 1];
    }
    item->to = end;
    item->n_tokens = d->first_token + d->n_tokens - item->first_token;
    pn_text t = {0};
    write_item_event(&t, r, g, type, true);
    pn_text_write(&t, ",'delta':%J", d->text, d->text_bytes);
    if (said) {
        pn_text_put(&t, ",\"logprobs\":");
        pn_write_chat_logprobs(&t, g, d->choice, d->first_token,
                               d->choice->tokens ? d->n_tokens : 0);
    }
    send(r, type, &t);
}

static void on_arguments(pn_response *r, const pn_generation *g, const pn_delta *d) {
    static const char type[] = "response.function_call_arguments.delta";
    pn_text t = {0};
    write_item_event(&t, r, g, type, false);
    pn_text_write(&t, ",'delta':%J", d->text, d->text_bytes);
    send(r, type, &t);
}

/* ---- the writer ------------------------------------------------------------------------------------ */

static void on_begin(void *user, pn_generation *g) {
    pn_response *r = user;
    pn_reply_begin(&r->reply, g);
    if (!r->reply.streams) return;
    send_response(r, g, "response.created", "in_progress", NULL);
    send_response(r, g, "response.in_progress", "in_progress", NULL);
}

static void on_delta(void *user, pn_generation *g, const pn_delta *d) {
    pn_response *r = user;
    if (r->failed) return;
    switch (d->kind) {
    case PN_DELTA_REASONING:
    case PN_DELTA_CONTENT: on_text(r, g, d); break;
    case PN_DELTA_CALL: (void)begin_item(r, g, d, d->kind, 0); break;
    case PN_DELTA_ARGUMENTS: on_arguments(r, g, d); break;
    case PN_DELTA_BEGIN:
    case PN_DELTA_FINISH: break;
    }
}

static void on_failed(void *user, pn_generation *g, const pn_api_error *e) {
    pn_response *r = user;
    if (!r->reply.streams) {
        pn_reply_failed(&r->reply, g, e);
        return;
    }
    send_response(r, g, "response.failed", "failed", e);
    pn_reply_end(&r->reply);
}

static void on_done(void *user, pn_generation *g) {
    pn_response *r = user;
    const pn_choice *c = pn_generation_choice(g, 0);
    const bool was_cut = c->finish == PUNA_FINISH_LENGTH || c->finish == PUNA_FINISH_CONTEXT;
    const char *status = was_cut ? "incomplete" : "completed";
    const pn_delta nothing = {.kind = PN_DELTA_CONTENT, .choice = c};
    if (r->reply.streams && !r->failed) {
        if (r->n_items == 0) (void)begin_item(r, g, &nothing, PN_DELTA_CONTENT, 0);
        end_item(r, g);
    } else if (!r->failed) {
        list_items(r, c);
    }
    if (r->failed) {
        pn_api_error e;
        (void)pn_api_refuse(&e, 500, "server_error", NULL, NULL, "out of memory");
        on_failed(user, g, &e);
    } else if (r->reply.streams) {
        send_response(r, g, was_cut ? "response.incomplete" : "response.completed", status, NULL);
        pn_reply_end(&r->reply);
    } else {
        pn_text t = {0};
        pn_write_response(&t, g, r, status, NULL);
        pn_reply_json(&r->reply, &t);
    }
}

static void on_free(void *user) {
    pn_response *r = user;
    free(r->items);
    pn_reply_free(&r->reply);
}

static const pn_writer writer = {on_begin, on_delta, on_done, on_failed, on_free};

/* ---- the route ------------------------------------------------------------------------------------- */

static bool read_request(pn_service *service, json_t *body, pn_params *params, pn_chat_form *form,
                         pn_api_error *e) {
    if (!pn_model_is_named(body, e) || !pn_params_read(params, service, PN_API_RESPONSES, body, e))
        return false;
    if (pn_responses_format(body, params, e) && pn_responses_read(body, form, e)) return true;
    pn_params_free(params);
    return false;
}

void api_responses(pn_service *service, pn_exchange *x) {
    pn_api_error e;
    pn_params params;
    pn_chat_form form;
    pn_generation *g = NULL;
    json_t *body = pn_body_read(x, &e);
    pn_response *r = body ? calloc(1, sizeof *r) : NULL;
    if (body && !r) (void)pn_api_refuse(&e, 500, "server_error", NULL, NULL, "out of memory");
    if (r) pn_reply_init(&r->reply, x);
    pn_chat_form_init(&form);
    const bool ok = r && read_request(service, body, &params, &form, &e) &&
                    pn_chat_form_generation(&form, service, &params, &writer, r, &g, &e);
    pn_chat_form_free(&form);
    json_decref(body);
    if (ok)
        pn_reply_start(&r->reply, g);
    else
        pn_reply_refuse(x, r ? &r->reply : NULL, &e);
}
