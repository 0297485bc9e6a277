/* messages_read.c: what a request of /v1/messages says, as a chat request.
 *
 * A user's message may hold results of tools and text; the results become messages of their own. Of the assistant's
 * blocks, thinking becomes the reasoning of its message, calls its tool_calls. */
#include "messages_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A string, or a list of blocks of text: a reference for the caller, NULL with *e. */
static json_t *read_texts(json_t *content, const char *at, pn_api_error *e) {
    if (json_is_string(content)) return json_incref(content);
    if (!json_is_array(content)) {
        (void)pn_refuse_value(e, at, "a string or a list of blocks", content);
        return NULL;
    }
    json_t *parts = json_array();
    if (!parts) (void)pn_refuse_memory(e);
    for (size_t i = 0; parts && i < json_array_size(content); i++) {
        const json_t *block = json_array_get(content, i);
        pn_place here;
        (void)snprintf(here.text, sizeof here.text, "%s[%zu]", at, i);
        const char *text = NULL;
        bool ok = json_is_object(block) || pn_refuse_value(e, here.text, "a block", block);
        ok = ok && (pn_is_type(block, "text") ||
                    pn_refuse_type(e, here.text, "blocks", json_object_get(block, "type")));
        ok = ok && (text = pn_needed_text(block, here.text, "text", e)) != NULL;
        ok = ok && (!json_array_append_new(parts, pn_text_part(text)) || pn_refuse_memory(e));
        if (!ok) {
            json_decref(parts);
            parts = NULL;
        }
    }
    return parts;
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

/* Ends the message that text blocks have been gathered for. */
static void flush_parts(pn_chat_form *form, const char *role, json_t **parts) {
    if (*parts && json_array_size(*parts) > 0)
        pn_chat_form_message(form, role, *parts);
    else
        json_decref(*parts);
    *parts = NULL;
}

static bool read_text(const json_t *block, const char *at, json_t **parts, pn_api_error *e) {
    const char *text = pn_needed_text(block, at, "text", e);
    if (!text) return false;
    if (!*parts) *parts = json_array();
    return !json_array_append_new(*parts, pn_text_part(text)) || pn_refuse_memory(e);
}

static bool read_result(pn_chat_form *form, const json_t *block, const char *at, json_t **parts,
                        pn_api_error *e) {
    char param[128];
    const char *id = pn_needed_text(block, at, "tool_use_id", e);
    json_t *given = pn_field(block, "content");
    if (!id) return false;
    (void)snprintf(param, sizeof param, "%s.content", at);
    json_t *content = given ? read_texts(given, param, e) : json_string("");
    if (!content) return given ? false : pn_refuse_memory(e);
    flush_parts(form, "user", parts);
    pn_chat_form_result(form, id, content);
    return true;
}

static bool read_use(pn_chat_form *form, const json_t *block, const char *at, json_t **parts,
                     pn_api_error *e) {
    char param[128];
    const char *id = pn_needed_text(block, at, "id", e);
    const char *name = id ? pn_needed_text(block, at, "name", e) : NULL;
    const json_t *input = json_object_get(block, "input");
    if (!name) return false;
    (void)snprintf(param, sizeof param, "%s.input", at);
    if (!json_is_object(input)) return pn_refuse_value(e, param, "an object", input);
    char *arguments = json_dumps(input, JSON_COMPACT);
    if (!arguments) return pn_refuse_memory(e);
    flush_parts(form, "assistant", parts);
    pn_chat_form_call(form, id, name, arguments);
    free(arguments);
    return true;
}

static bool read_block(pn_chat_form *form, const json_t *block, bool is_user, const char *at,
                       json_t **parts, pn_api_error *e) {
    if (!json_is_object(block)) return pn_refuse_value(e, at, "a block", block);
    if (pn_is_type(block, "text")) return read_text(block, at, parts, e);
    if (is_user && pn_is_type(block, "tool_result")) return read_result(form, block, at, parts, e);
    if (!is_user && pn_is_type(block, "tool_use")) return read_use(form, block, at, parts, e);
    if (!is_user && pn_is_type(block, "redacted_thinking")) return true;
    if (!is_user && pn_is_type(block, "thinking")) {
        const char *text = pn_needed_text(block, at, "thinking", e);
        if (text) pn_chat_form_reasoning(form, text);
        return text != NULL;
    }
    return pn_refuse_type(e, at, is_user ? "blocks of a user" : "blocks of an assistant",
                          json_object_get(block, "type"));
}

static bool read_message(pn_chat_form *form, const json_t *message, size_t i, pn_api_error *e) {
    pn_place at;
    (void)snprintf(at.text, sizeof at.text, "messages[%zu]", i);
    if (!json_is_object(message)) return pn_refuse_value(e, at.text, "an object", message);
    const char *role = pn_needed_text(message, at.text, "role", e);
    json_t *content = json_object_get(message, "content"), *parts = NULL;
    if (!role) return false;
    const bool is_user = strcmp(role, "user") == 0;
    (void)snprintf(at.text, sizeof at.text, "messages[%zu].role", i);
    if (!is_user && strcmp(role, "assistant") != 0)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, at.text,
                             "%s: is none of user and assistant", at.text);
    (void)snprintf(at.text, sizeof at.text, "messages[%zu].content", i);
    if (json_is_string(content)) {
        pn_chat_form_message(form, role, json_incref(content));
        return true;
    }
    if (!json_is_array(content))
        return pn_refuse_value(e, at.text, "a string or a list of blocks", content);
    form->assistant = NULL; /* each message is one of its own */
    bool ok = true;
    for (size_t k = 0; k < json_array_size(content) && ok; k++) {
        (void)snprintf(at.text, sizeof at.text, "messages[%zu].content[%zu]", i, k);
        ok = read_block(form, json_array_get(content, k), is_user, at.text, &parts, e);
    }
    flush_parts(form, role, &parts);
    return ok;
}

static bool read_messages(const json_t *body, pn_chat_form *form, pn_api_error *e) {
    json_t *system = pn_field(body, "system");
    const json_t *messages = json_object_get(body, "messages");
    if (system) {
        json_t *content = read_texts(system, "system", e);
        if (!content) return false;
        pn_chat_form_message(form, "system", content);
    }
    if (!json_is_array(messages)) return pn_refuse_value(e, "messages", "a list", messages);
    if (json_array_size(messages) == 0)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "messages",
                             "messages: the list is empty");
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!read_message(form, json_array_get(messages, i), i, e)) return false;
    return true;
}

/* ---- tools ----------------------------------------------------------------------------------------- */

static bool read_tools(const json_t *body, pn_chat_form *form, pn_api_error *e) {
    const json_t *tools = pn_field(body, "tools");
    if (tools && !json_is_array(tools)) return pn_refuse_value(e, "tools", "a list", tools);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        pn_place at;
        const char *about;
        (void)snprintf(at.text, sizeof at.text, "tools[%zu]", i);
        if (!json_is_object(tool)) return pn_refuse_value(e, at.text, "an object", tool);
        if (pn_field(tool, "type") && !pn_is_type(tool, "custom"))
            return pn_refuse_type(e, at.text, "tools", json_object_get(tool, "type"));
        const char *name = pn_needed_text(tool, at.text, "name", e);
        if (!name || !pn_field_text(tool, "description", &about, e)) return false;
        json_t *schema = json_object_get(tool, "input_schema");
        (void)snprintf(at.text, sizeof at.text, "tools[%zu].input_schema", i);
        if (!json_is_object(schema)) return pn_refuse_value(e, at.text, "a JSON schema", schema);
        pn_chat_form_tool(form, name, about, schema);
    }
    return true;
}

static bool read_tool_choice(const json_t *body, pn_chat_form *form, pn_api_error *e) {
    const json_t *choice = pn_field(body, "tool_choice");
    bool one_call = false;
    if (!choice) return true;
    if (!json_is_object(choice)) return pn_refuse_value(e, "tool_choice", "an object", choice);
    if (!pn_field_flag(choice, "disable_parallel_tool_use", &one_call, e)) return false;
    pn_chat_form_set(form, "parallel_tool_calls", json_boolean(!one_call));
    if (pn_is_type(choice, "auto") || pn_is_type(choice, "none")) {
        pn_chat_form_set(form, "tool_choice",
                         json_string(pn_is_type(choice, "auto") ? "auto" : "none"));
    } else if (pn_is_type(choice, "any")) {
        pn_chat_form_set(form, "tool_choice", json_string("required"));
    } else if (pn_is_type(choice, "tool")) {
        const char *name = pn_needed_text(choice, "tool_choice", "name", e);
        if (!name) return false;
        pn_chat_form_set(form, "tool_choice",
                         json_pack("{s:s, s:{s:s}}", "type", "function", "function", "name", name));
    } else {
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "tool_choice.type",
                             "tool_choice.type: is none of auto, any, tool and none");
    }
    return true;
}

/* Templates call it enable_thinking; where the request says nothing, they decide. */
static bool read_thinking(const json_t *body, pn_chat_form *form, pn_api_error *e) {
    const json_t *thinking = pn_field(body, "thinking");
    if (!thinking) return true;
    if (!json_is_object(thinking)) return pn_refuse_value(e, "thinking", "an object", thinking);
    const bool on = pn_is_type(thinking, "enabled") || pn_is_type(thinking, "adaptive");
    if (!on && !pn_is_type(thinking, "disabled"))
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "thinking.type",
                             "thinking.type: is none of enabled, adaptive and disabled");
    pn_chat_form_set(form, "chat_template_kwargs", json_pack("{s:b}", "enable_thinking", on));
    return true;
}

bool pn_anthropic_read(const json_t *body, pn_chat_form *form, pn_api_error *e) {
    return read_messages(body, form, e) && read_tools(body, form, e) &&
           read_tool_choice(body, form, e) && read_thinking(body, form, e);
}
