/* responses_out.c: the objects of /v1/responses. */
#include "responses_out.h"

#include <stdlib.h>
#include <string.h>

/* ---- items ----------------------------------------------------------------------------------------- */

static const char *status_of(const pn_response_item *item, const pn_choice *c) {
    if (item->is_open) return "in_progress";
    const bool was_cut = c->finish == PUNA_FINISH_LENGTH || c->finish == PUNA_FINISH_CONTEXT;
    /* what the end of the answer cut off is the last of its kind */
    const bool is_last = item->kind == PN_DELTA_CALL ? item->call == c->n_calls - 1
                         : item->kind == PN_DELTA_CONTENT
                             ? item->to == c->content.n && c->n_calls == 0
                             : item->to == c->reasoning.n && c->n_calls == 0 && c->content.n == 0;
    return was_cut && is_last ? "incomplete" : "completed";
}

static void write_reasoning(pn_text *t, const pn_generation *g, const pn_response_item *item,
                            int32_t number, const pn_choice *c) {
    pn_text_write(t, "{'type':'reasoning','id':'rs_%s%d','summary':[],'content':[",
                  pn_generation_id(g), number);
    if (!item->is_open)
        pn_text_write(t, "{'type':'reasoning_text','text':%J}",
                      pn_text_get(&c->reasoning) + item->from, item->to - item->from);
    pn_text_write(t, "],'status':%j}", status_of(item, c));
}

static void write_message(pn_text *t, const pn_generation *g, const pn_response_item *item,
                          int32_t number, const pn_choice *c) {
    pn_text_write(t, "{'type':'message','id':'msg_%s%d','role':'assistant','status':%j,'content':[",
                  pn_generation_id(g), number, status_of(item, c));
    if (!item->is_open) {
        pn_text_write(t, "{'type':'output_text','text':%J,'annotations':[],'logprobs':",
                      pn_text_get(&c->content) + item->from, item->to - item->from);
        pn_write_chat_logprobs(t, g, c, item->first_token, c->tokens ? item->n_tokens : 0);
        pn_text_put(t, "}");
    }
    pn_text_put(t, "]}");
}

void pn_write_response_item(pn_text *t, const pn_generation *g, const pn_response_item *item,
                            int32_t number) {
    const pn_choice *c = pn_generation_choice(g, 0);
    if (item->kind == PN_DELTA_REASONING) {
        write_reasoning(t, g, item, number, c);
    } else if (item->kind == PN_DELTA_CONTENT) {
        write_message(t, g, item, number, c);
    } else {
        const pn_tool_call *call = &c->calls[item->call];
        pn_text_write(t,
                      "{'type':'function_call','id':'fc_%s%d','call_id':%j,'name':%j,"
                      "'arguments':%J,'status':%j}",
                      pn_generation_id(g), number, call->id, pn_text_get(&call->name),
                      item->is_open ? "" : pn_text_get(&call->arguments),
                      item->is_open ? 0 : call->arguments.n, status_of(item, c));
    }
}

/* ---- the response ---------------------------------------------------------------------------------- */

/* A member of the request as it came, or what stands for it. */
static void write_given(pn_text *t, const json_t *body, const char *name, const char *without) {
    json_t *value = pn_field(body, name);
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (value && !text) t->failed = true;
    pn_text_write(t, ",'%s':", name);
    pn_text_put(t, text ? text : without);
    free(text);
}

/* With all members, also those that were not given. */
static void write_tools(pn_text *t, const json_t *tools) {
    pn_text_put(t, ",\"tools\":[");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        pn_text_write(t, "%s{'type':'function','strict':%b", i > 0 ? "," : "",
                      json_is_true(json_object_get(tool, "strict")));
        write_given(t, tool, "name", "null");
        write_given(t, tool, "description", "null");
        write_given(t, tool, "parameters", "null");
        pn_text_put(t, "}");
    }
    pn_text_put(t, "]");
}

/* What the request asked for, as the response says it again. */
static void write_request(pn_text *t, const pn_generation *g) {
    const pn_params *p = pn_generation_params(g);
    const json_t *body = p->body, *text = pn_field(body, "text");
    write_given(t, body, "instructions", "null");
    write_given(t, body, "max_output_tokens", "null");
    write_given(t, body, "metadata", "{}");
    write_given(t, body, "parallel_tool_calls", "true");
    write_given(t, body, "reasoning", "{\"effort\":null,\"summary\":null}");
    write_given(t, body, "tool_choice", "\"auto\"");
    write_tools(t, pn_field(body, "tools"));
    write_given(t, body, "user", "null");
    write_given(t, body, "truncation", "\"disabled\"");
    pn_text_write(t, ",'temperature':%f,'top_p':%f,'top_logprobs':%d",
                  (double)p->sampler.temperature, (double)p->sampler.top_p,
                  p->n_logprobs > 0 ? p->n_logprobs : 0);
    if (pn_field(text, "format"))
        write_given(t, body, "text", "");
    else
        pn_text_put(t, ",\"text\":{\"format\":{\"type\":\"text\"}}");
}

static void write_usage(pn_text *t, const pn_generation *g) {
    const pn_usage u = pn_generation_usage(g);
    pn_text_write(
        t,
        "{'input_tokens':%d,'input_tokens_details':{'cached_tokens':%d,'cache_write_tokens':0},"
        "'output_tokens':%d,'output_tokens_details':{'reasoning_tokens':%d},"
        "'total_tokens':%d}",
        u.n_prompt, u.n_cached, u.n_completion, u.n_reasoning, u.n_prompt + u.n_completion);
}

void pn_write_response(pn_text *t, const pn_generation *g, const pn_response *r, const char *status,
                       const pn_api_error *error) {
    const bool goes_on = strcmp(status, "in_progress") == 0;
    pn_text_write(t,
                  "{'id':'resp_%s','object':'response','created_at':%l,'status':%j,'model':%j,"
                  "'background':false,'previous_response_id':null,'store':false",
                  pn_generation_id(g), pn_generation_created(g), status,
                  pn_generation_service(g)->model_name);
    write_request(t, g);
    pn_text_put(t, ",\"error\":");
    if (error)
        pn_text_write(t, "{'code':%j,'message':%j}",
                      error->status == 429 ? "rate_limit_exceeded" : "server_error",
                      error->message);
    else
        pn_text_put(t, "null");
    pn_text_write(t, ",'incomplete_details':%s,'output':[",
                  strcmp(status, "incomplete") == 0 ? "{\"reason\":\"max_output_tokens\"}"
                                                    : "null");
    for (int32_t i = 0; i < r->n_items && !goes_on; i++) {
        if (i > 0) pn_text_put(t, ",");
        pn_write_response_item(t, g, &r->items[i], i);
    }
    pn_text_put(t, "],\"usage\":");
    if (goes_on || error)
        pn_text_put(t, "null");
    else
        write_usage(t, g);
    pn_text_put(t, "}");
}
