/* chat_form.c: other APIs' conversations as chat requests. */
#include "chat_form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

bool pn_refuse_memory(pn_api_error *e) {
    return pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
}

bool pn_is_type(const json_t *object, const char *type) {
    const char *found = json_string_value(json_object_get(object, "type"));
    return found && strcmp(found, type) == 0;
}

void pn_chat_form_init(pn_chat_form *form) {
    *form = (pn_chat_form){.body = json_pack("{s:[]}", "messages")};
    form->failed = form->body == NULL;
}

void pn_chat_form_free(pn_chat_form *form) {
    json_decref(form->body);
    pn_text_free(&form->reasoning);
    *form = (pn_chat_form){0};
}

void pn_chat_form_set(pn_chat_form *form, const char *name, json_t *value) {
    if (!value || json_object_set_new(form->body, name, value)) form->failed = true;
}

/* The list of the body, which is made when it is not there. */
static json_t *list_of(pn_chat_form *form, const char *name) {
    if (form->body && !json_object_get(form->body, name)) {
        json_t *list = json_array();
        pn_chat_form_set(form, name, list);
    }
    return json_object_get(form->body, name);
}

/* Appends a message, which it takes. */
static void append_message(pn_chat_form *form, json_t *message) {
    form->assistant = NULL;
    if (!message || json_array_append_new(list_of(form, "messages"), message)) form->failed = true;
}

/* The assistant's message gets what was thought before it. */
static void begin_assistant(pn_chat_form *form, json_t *message) {
    append_message(form, message);
    if (form->failed) return;
    form->assistant = message;
    if (form->reasoning.failed) form->failed = true;
    if (form->reasoning.n > 0 &&
        json_object_set_new(message, "reasoning_content", json_string(form->reasoning.s)))
        form->failed = true;
    pn_text_free(&form->reasoning);
    form->reasoning = (pn_text){0};
}

void pn_chat_form_message(pn_chat_form *form, const char *role, json_t *content) {
    json_t *message = content ? json_pack("{s:s, s:o}", "role", role, "content", content) : NULL;
    if (strcmp(role, "assistant") == 0)
        begin_assistant(form, message);
    else
        append_message(form, message);
}

void pn_chat_form_call(pn_chat_form *form, const char *id, const char *name,
                       const char *arguments) {
    if (!form->assistant)
        begin_assistant(form, json_pack("{s:s, s:n}", "role", "assistant", "content"));
    if (form->failed) return;
    json_t *calls = json_object_get(form->assistant, "tool_calls");
    if (!calls) {
        calls = json_array();
        if (json_object_set_new(form->assistant, "tool_calls", calls)) form->failed = true;
    }
    if (form->failed ||
        json_array_append_new(calls,
                              json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", id, "type", "function",
                                        "function", "name", name, "arguments", arguments)))
        form->failed = true;
}

void pn_chat_form_result(pn_chat_form *form, const char *id, json_t *content) {
    append_message(form, content ? json_pack("{s:s, s:s, s:o}", "role", "tool", "tool_call_id", id,
                                             "content", content)
                                 : NULL);
}

void pn_chat_form_reasoning(pn_chat_form *form, const char *text) {
    form->assistant = NULL;
    pn_text_put(&form->reasoning, text);
}

void pn_chat_form_tool(pn_chat_form *form, const char *name, const char *description,
                       json_t *parameters) {
    json_t *tool = json_pack("{s:s, s:{s:s}}", "type", "function", "function", "name", name);
    json_t *function = json_object_get(tool, "function");
    const bool ok =
        tool &&
        (!description || !json_object_set_new(function, "description", json_string(description))) &&
        (!parameters || !json_object_set(function, "parameters", parameters)) &&
        !json_array_append(list_of(form, "tools"), tool);
    json_decref(tool);
    if (!ok) form->failed = true;
}

json_t *pn_text_part(const char *text) {
    return json_pack("{s:s, s:s}", "type", "text", "text", text);
}

const char *pn_needed_text(const json_t *object, const char *at, const char *name,
                           pn_api_error *e) {
    char param[128];
    const json_t *value = json_object_get(object, name);
    if (json_is_string(value)) return json_string_value(value);
    (void)snprintf(param, sizeof param, "%s.%s", at, name);
    (void)pn_refuse_value(e, param, "a string", value);
    return NULL;
}

bool pn_refuse_type(pn_api_error *e, const char *at, const char *what, const json_t *type) {
    char param[128];
    (void)snprintf(param, sizeof param, "%s.type", at);
    if (!json_is_string(type)) return pn_refuse_value(e, param, "a string", type);
    return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param,
                         "%s: %s of type \"%.40s\" are not supported", param, what,
                         json_string_value(type));
}

/* A grammar that the turn needs is put into *params. */
static bool open_turn(pn_chat_form *form, pn_service *service, pn_params *params,
                      pn_chat_turn **turn, pn_api_error *e) {
    pn_conversation conversation;
    if (form->failed) return pn_refuse_memory(e);
    const bool ok = pn_chat_conversation(form->body, &conversation, e) &&
                    pn_chat_turn_open(service, &conversation, params, turn, e);
    pn_chat_conversation_free(&conversation);
    return ok;
}

bool pn_chat_form_generation(pn_chat_form *form, pn_service *service, pn_params *params,
                             const pn_writer *writer, void *user, pn_generation **generation,
                             pn_api_error *e) {
    pn_chat_turn *turn = NULL;
    if (!open_turn(form, service, params, &turn, e)) {
        pn_params_free(params);
        return false;
    }
    pn_generation *g = pn_generation_new(service, params, writer, user);
    if (!g) {
        pn_chat_turn_free(turn);
        return pn_refuse_memory(e);
    }
    if (!pn_generation_add_turn(g, turn, e)) {
        pn_generation_free(g);
        return false;
    }
    *generation = g;
    return true;
}

bool pn_chat_form_count(pn_chat_form *form, pn_service *service, pn_params *params,
                        int32_t *n_tokens, pn_api_error *e) {
    pn_chat_turn *turn = NULL;
    if (!open_turn(form, service, params, &turn, e)) return false;
    int32_t *tokens = pn_chat_turn_tokens(turn, n_tokens);
    pn_chat_turn_free(turn);
    free(tokens);
    return tokens || pn_refuse_memory(e);
}
