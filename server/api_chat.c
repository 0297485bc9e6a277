/* api_chat.c: POST /v1/chat/completions, as OpenAI's API has it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "generate.h"
#include "openai_out.h"
#include "router.h"

/* ---- from the request to a conversation ------------------------------------------------------------ */

/* The names in tool_choice's allowed_tools become the only tools there are. */
static bool keep_allowed(const json_t *allowed, pn_conversation *c, pn_api_error *e) {
    static const char at[] = "tool_choice.allowed_tools.tools";
    const json_t *names = json_object_get(allowed, "tools");
    json_t *kept = json_array();
    if (!kept) return pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
    bool ok = json_is_array(names) || pn_refuse_value(e, at, "a list", names);
    for (size_t i = 0; ok && i < json_array_size(names); i++) {
        const json_t *function = json_object_get(json_array_get(names, i), "function");
        const char *name = json_string_value(json_object_get(function, "name"));
        bool found = false;
        for (size_t k = 0; name && k < json_array_size(c->tools); k++) {
            json_t *tool = json_array_get(c->tools, k);
            const char *other =
                json_string_value(json_object_get(json_object_get(tool, "function"), "name"));
            if (!other || strcmp(name, other) != 0) continue;
            found = json_array_append(kept, tool) == 0;
            break;
        }
        if (!found)
            ok =
                pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, at, "%s[%zu]: no such tool", at, i);
    }
    json_decref(c->tools);
    c->tools = kept;
    return ok;
}

static bool read_mode(const char *mode, const char *param, pn_conversation *c, pn_api_error *e) {
    if (mode && strcmp(mode, "auto") == 0)
        c->tool_mode = PN_TOOLS_AUTO;
    else if (mode && strcmp(mode, "none") == 0)
        c->tool_mode = PN_TOOLS_NONE;
    else if (mode && strcmp(mode, "required") == 0)
        c->tool_mode = PN_TOOLS_REQUIRED;
    else
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param,
                             "%s: is none of auto, none and required", param);
    return true;
}

static bool read_tool_choice(const json_t *body, pn_conversation *c, pn_api_error *e) {
    const json_t *choice = pn_field(body, "tool_choice");
    if (!choice) return true;
    if (json_is_string(choice)) return read_mode(json_string_value(choice), "tool_choice", c, e);
    if (!json_is_object(choice))
        return pn_refuse_value(e, "tool_choice", "a string or an object", choice);
    const char *type = json_string_value(json_object_get(choice, "type"));
    if (type && strcmp(type, "allowed_tools") == 0) {
        const json_t *allowed = json_object_get(choice, "allowed_tools");
        if (!json_is_object(allowed))
            return pn_refuse_value(e, "tool_choice.allowed_tools", "an object", allowed);
        return read_mode(json_string_value(json_object_get(allowed, "mode")),
                         "tool_choice.allowed_tools.mode", c, e) &&
               keep_allowed(allowed, c, e);
    }
    if (!type || strcmp(type, "function") != 0)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "tool_choice.type",
                             "tool_choice.type: is none of function and allowed_tools");
    const json_t *name = json_object_get(json_object_get(choice, "function"), "name");
    if (!json_is_string(name))
        return pn_refuse_value(e, "tool_choice.function.name", "a string", name);
    c->tool_mode = PN_TOOLS_REQUIRED;
    c->tool_name = json_string_value(name);
    return true;
}

/* chat_template_kwargs, and what else templates may ask for. */
static bool read_vars(const json_t *body, pn_conversation *c, pn_api_error *e) {
    const json_t *given = pn_field(body, "chat_template_kwargs");
    const json_t *effort = pn_field(body, "reasoning_effort");
    if (given && !json_is_object(given))
        return pn_refuse_value(e, "chat_template_kwargs", "an object", given);
    if (effort && !json_is_string(effort))
        return pn_refuse_value(e, "reasoning_effort", "a string", effort);
    if (!given && !effort) return true;
    c->vars = json_object();
    bool ok = c->vars != NULL;
    if (ok && effort) { /* gpt-oss has the first of them, Qwen and others the second */
        const bool none = strcmp(json_string_value(effort), "none") == 0;
        ok = (none || !json_object_set(c->vars, "reasoning_effort", (json_t *)effort)) &&
             (!none || !json_object_set_new(c->vars, "enable_thinking", json_false()));
    }
    ok = ok && (!given || !json_object_update(c->vars, (json_t *)given));
    return ok || pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
}

static bool read_end(const json_t *body, pn_conversation *c, pn_api_error *e) {
    bool adds = true, continues = false;
    if (!pn_field_flag(body, "add_generation_prompt", &adds, e) ||
        !pn_field_flag(body, "continue_final_message", &continues, e))
        return false;
    if (continues)
        c->end = PN_TURN_CONTINUE;
    else if (!adds)
        c->end = PN_TURN_AS_IS;
    else if (pn_field(body, "add_generation_prompt") || pn_field(body, "continue_final_message"))
        c->end = PN_TURN_ANSWER;
    return true;
}

bool pn_chat_conversation(json_t *body, pn_conversation *c, pn_api_error *e) {
    *c = (pn_conversation){.messages = json_object_get(body, "messages"),
                           .tools = json_incref(pn_field(body, "tools"))};
    if (json_is_array(c->tools) && json_array_size(c->tools) == 0) {
        json_decref(c->tools);
        c->tools = NULL;
    }
    return read_tool_choice(body, c, e) &&
           pn_field_flag(body, "parallel_tool_calls", &c->many_calls, e) && read_vars(body, c, e) &&
           read_end(body, c, e);
}

void pn_chat_conversation_free(pn_conversation *c) {
    json_decref(c->tools);
    json_decref(c->vars);
}

/* ---- writing answers ------------------------------------------------------------------------------- */

static void write_head(pn_text *t, const pn_generation *g, const char *object) {
    pn_text_write(t,
                  "{'id':'chatcmpl-%s','object':%j,'created':%l,'model':%j,"
                  "'system_fingerprint':%j,'choices':[",
                  pn_generation_id(g), object, pn_generation_created(g),
                  pn_generation_service(g)->model_name, pn_fingerprint());
}

static void write_logprobs(pn_text *t, const pn_generation *g, const pn_choice *c, int32_t first,
                           int32_t n) {
    if (!c->tokens || n == 0) {
        pn_text_put(t, "null");
        return;
    }
    pn_text_put(t, "{\"content\":");
    pn_write_chat_logprobs(t, g, c, first, n);
    pn_text_put(t, ",\"refusal\":null}");
}

static void write_delta(pn_text *t, const pn_delta *d) {
    const pn_choice *c = d->choice;
    switch (d->kind) {
    case PN_DELTA_BEGIN: pn_text_put(t, "{\"role\":\"assistant\",\"content\":\"\"}"); break;
    case PN_DELTA_REASONING:
        pn_text_write(t, "{'reasoning_content':%J}", d->text, d->text_bytes);
        break;
    case PN_DELTA_CONTENT: pn_text_write(t, "{'content':%J}", d->text, d->text_bytes); break;
    case PN_DELTA_CALL:
        pn_text_write(t,
                      "{'tool_calls':[{'index':%d,'id':%j,'type':'function',"
                      "'function':{'name':%j,'arguments':''}}]}",
                      d->call, c->calls[d->call].id, pn_text_get(&c->calls[d->call].name));
        break;
    case PN_DELTA_ARGUMENTS:
        pn_text_write(t, "{'tool_calls':[{'index':%d,'function':{'arguments':%J}}]}", d->call,
                      d->text, d->text_bytes);
        break;
    case PN_DELTA_FINISH: pn_text_put(t, "{}"); break;
    }
}

static void on_delta(void *user, pn_generation *g, const pn_delta *d) {
    const pn_params *params = pn_generation_params(g);
    const bool is_last = d->kind == PN_DELTA_FINISH;
    pn_text t = {0};
    write_head(&t, g, "chat.completion.chunk");
    pn_text_write(&t, "{'index':%d,'delta':", d->choice->index);
    write_delta(&t, d);
    pn_text_put(&t, ",\"logprobs\":");
    write_logprobs(&t, g, d->choice, d->first_token, d->n_tokens);
    pn_text_write(&t, ",'finish_reason':%j}]", is_last ? pn_finish_name(d->choice) : NULL);
    if (params->include_usage) pn_text_put(&t, ",\"usage\":null");
    if (is_last || params->timings_per_token) {
        pn_text_put(&t, ",\"timings\":");
        pn_write_timings(&t, d->choice);
    }
    pn_text_put(&t, "}");
    pn_reply_event(user, &t);
}

static void write_message(pn_text *t, const pn_choice *c) {
    pn_text_put(t, "{\"role\":\"assistant\",\"content\":");
    if (c->content.n > 0 || (c->n_calls == 0 && c->reasoning.n == 0))
        pn_text_json(t, pn_text_get(&c->content), c->content.n);
    else
        pn_text_put(t, "null");
    pn_text_put(t, ",\"refusal\":null");
    if (c->reasoning.n > 0)
        pn_text_write(t, ",'reasoning_content':%J", c->reasoning.s, c->reasoning.n);
    for (int32_t i = 0; i < c->n_calls; i++) {
        const pn_tool_call *call = &c->calls[i];
        pn_text_write(t, "%s{'id':%j,'type':'function','function':{'name':%j,'arguments':%J}}",
                      i ? "," : ",\"tool_calls\":[", call->id, pn_text_get(&call->name),
                      pn_text_get(&call->arguments), call->arguments.n);
    }
    pn_text_put(t, c->n_calls > 0 ? "]}" : "}");
}

static void write_choice(pn_text *t, const pn_generation *g, const pn_choice *c) {
    pn_text_write(t, "{'index':%d,'message':", c->index);
    write_message(t, c);
    pn_text_put(t, ",\"logprobs\":");
    write_logprobs(t, g, c, 0, c->n_tokens);
    pn_text_write(t, ",'finish_reason':%j}", pn_finish_name(c));
}

void pn_write_chat_completion(pn_text *t, const pn_generation *g) {
    write_head(t, g, "chat.completion");
    for (int32_t i = 0; i < pn_generation_n_choices(g); i++) {
        if (i > 0) pn_text_put(t, ",");
        write_choice(t, g, pn_generation_choice(g, i));
    }
    pn_text_put(t, "],\"usage\":");
    pn_write_usage(t, g);
    pn_text_put(t, ",\"timings\":");
    pn_write_timings(t, pn_generation_choice(g, 0));
    pn_text_put(t, "}");
}

static void on_done(void *user, pn_generation *g) {
    pn_reply *reply = user;
    pn_text t = {0};
    if (!reply->streams) {
        pn_write_chat_completion(&t, g);
        pn_reply_json(reply, &t);
        return;
    }
    if (pn_generation_params(g)->include_usage) {
        write_head(&t, g, "chat.completion.chunk");
        pn_text_put(&t, "],\"usage\":");
        pn_write_usage(&t, g);
        pn_text_put(&t, "}");
        pn_reply_event(reply, &t);
    }
    pn_reply_done(reply);
}

static const pn_writer writer = {pn_reply_begin, on_delta, on_done, pn_reply_failed, pn_reply_free};

/* ---- the route ------------------------------------------------------------------------------------- */

bool pn_chat_generation(pn_service *service, json_t *body, const pn_writer *of_api, void *user,
                        pn_generation **generation, pn_api_error *e) {
    pn_params params;
    pn_conversation conversation;
    pn_chat_turn *turn = NULL;
    if (!pn_params_read(&params, service, PN_API_CHAT, body, e)) return false;
    bool ok = pn_chat_conversation(body, &conversation, e) &&
              pn_chat_turn_open(service, &conversation, &params, &turn, e);
    pn_chat_conversation_free(&conversation);
    if (!ok) {
        pn_params_free(&params);
        return false;
    }
    pn_generation *g = pn_generation_new(service, &params, of_api, user);
    if (!g) {
        pn_chat_turn_free(turn);
        return pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
    }
    if (!pn_generation_add_turn(g, turn, e)) {
        pn_generation_free(g);
        return false;
    }
    (void)json_object_del(body, "messages"); /* large, and not needed any more */
    *generation = g;
    return true;
}

void api_chat_completions(pn_service *service, pn_exchange *x) {
    pn_reply_openai(service, x, pn_chat_generation, &writer);
}
