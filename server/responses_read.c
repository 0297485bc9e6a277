/* responses_read.c: what a request of /v1/responses says, as a chat request.
 *
 * Nothing is kept from one request to the next. "store" has therefore no effect (its value is true for clients that
 * do not give it), while what would need a stored response is refused: previous_response_id, conversation,
 * prompt, background, references to items. */
#include "responses_read.h"

#include <stdio.h>
#include <string.h>

/* A string, or a list of parts that are text of any kind: a reference for the caller, NULL with *e. */
static json_t *read_content(json_t *content, const char *at, pn_api_error *e) {
    if (json_is_string(content)) return json_incref(content);
    if (!json_is_array(content)) {
        (void)pn_refuse_value(e, at, "a string or a list of parts", content);
        return NULL;
    }
    json_t *parts = json_array();
    if (!parts) (void)pn_refuse_memory(e);
    for (size_t i = 0; parts && i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i);
        pn_place here;
        (void)snprintf(here.text, sizeof here.text, "%s[%zu]", at, i);
        const bool refusal = pn_is_type(part, "refusal");
        const bool known = refusal || pn_is_type(part, "input_text") ||
                           pn_is_type(part, "output_text") || pn_is_type(part, "text");
        const char *text = NULL;
        bool ok = json_is_object(part) || pn_refuse_value(e, here.text, "a part", part);
        ok = ok && (known || pn_refuse_type(e, here.text, "parts", json_object_get(part, "type")));
        ok = ok && (text = pn_needed_text(part, here.text, refusal ? "refusal" : "text", e));
        ok = ok && (!json_array_append_new(parts, pn_text_part(text)) || pn_refuse_memory(e));
        if (!ok) {
            json_decref(parts);
            parts = NULL;
        }
    }
    return parts;
}

/* ---- items ----------------------------------------------------------------------------------------- */

static bool read_message(pn_chat_form *form, const json_t *item, const char *at, pn_api_error *e) {
    static const char *const roles[] = {"user", "assistant", "system", "developer"};
    char param[112];
    const char *role = pn_needed_text(item, at, "role", e);
    bool known = false;
    if (!role) return false;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        known = known || strcmp(role, roles[i]) == 0;
    (void)snprintf(param, sizeof param, "%s.role", at);
    if (!known)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param,
                             "%s: is none of user, assistant, system and developer", param);
    (void)snprintf(param, sizeof param, "%s.content", at);
    json_t *content = read_content(json_object_get(item, "content"), param, e);
    if (content) pn_chat_form_message(form, role, content);
    return content != NULL;
}

static bool read_call(pn_chat_form *form, const json_t *item, const char *at, pn_api_error *e) {
    const char *id = pn_needed_text(item, at, "call_id", e);
    const char *name = id ? pn_needed_text(item, at, "name", e) : NULL;
    const char *arguments = name ? pn_needed_text(item, at, "arguments", e) : NULL;
    if (arguments) pn_chat_form_call(form, id, name, arguments);
    return arguments != NULL;
}

static bool read_output(pn_chat_form *form, const json_t *item, const char *at, pn_api_error *e) {
    char param[112];
    const char *id = pn_needed_text(item, at, "call_id", e);
    if (!id) return false;
    (void)snprintf(param, sizeof param, "%s.output", at);
    json_t *content = read_content(json_object_get(item, "output"), param, e);
    if (content) pn_chat_form_result(form, id, content);
    return content != NULL;
}

/* What was thought, if it is there to be read; a summary of it is not what the model said. */
static bool read_reasoning(pn_chat_form *form, const json_t *item, const char *at,
                           pn_api_error *e) {
    const json_t *content = pn_field(item, "content");
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i);
        char here[160];
        (void)snprintf(here, sizeof here, "%s.content[%zu]", at, i);
        if (!json_is_object(part)) return pn_refuse_value(e, here, "a part", part);
        if (!pn_is_type(part, "reasoning_text"))
            return pn_refuse_type(e, here, "parts", json_object_get(part, "type"));
        const char *text = pn_needed_text(part, here, "text", e);
        if (!text) return false;
        pn_chat_form_reasoning(form, text);
    }
    return true;
}

static bool read_item(pn_chat_form *form, const json_t *item, const char *at, pn_api_error *e) {
    if (!json_is_object(item)) return pn_refuse_value(e, at, "an object", item);
    if (pn_is_type(item, "message") || !pn_field(item, "type"))
        return read_message(form, item, at, e);
    if (pn_is_type(item, "function_call")) return read_call(form, item, at, e);
    if (pn_is_type(item, "function_call_output")) return read_output(form, item, at, e);
    if (pn_is_type(item, "reasoning")) return read_reasoning(form, item, at, e);
    return pn_refuse_type(e, at, "items", json_object_get(item, "type"));
}

static bool read_input(const json_t *body, pn_chat_form *form, pn_api_error *e) {
    json_t *input = pn_field(body, "input");
    const char *instructions;
    if (!pn_field_text(body, "instructions", &instructions, e)) return false;
    if (instructions) pn_chat_form_message(form, "system", json_string(instructions));
    if (json_is_string(input)) {
        pn_chat_form_message(form, "user", json_incref(input));
        return true;
    }
    if (!json_is_array(input)) return pn_refuse_value(e, "input", "a string or a list", input);
    if (json_array_size(input) == 0)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "input", "input: the list is empty");
    for (size_t i = 0; i < json_array_size(input); i++) {
        pn_place at;
        (void)snprintf(at.text, sizeof at.text, "input[%zu]", i);
        if (!read_item(form, json_array_get(input, i), at.text, e)) return false;
    }
    return true;
}

/* ---- tools ----------------------------------------------------------------------------------------- */

static bool read_tools(const json_t *body, pn_chat_form *form, pn_api_error *e) {
    const json_t *tools = pn_field(body, "tools");
    if (tools && !json_is_array(tools)) return pn_refuse_value(e, "tools", "a list", tools);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        const char *about;
        pn_place at;
        (void)snprintf(at.text, sizeof at.text, "tools[%zu]", i);
        if (!json_is_object(tool)) return pn_refuse_value(e, at.text, "an object", tool);
        if (!pn_is_type(tool, "function"))
            return pn_refuse_type(e, at.text, "tools", json_object_get(tool, "type"));
        const char *name = pn_needed_text(tool, at.text, "name", e);
        if (!name || !pn_field_text(tool, "description", &about, e)) return false;
        pn_chat_form_tool(form, name, about, pn_field(tool, "parameters"));
    }
    return true;
}

/* {"type": "function", "function": {"name": ...}} of {"type": "function", "name": ...}; NULL with *e. */
static json_t *named_function(const json_t *object, const char *at, pn_api_error *e) {
    if (!pn_is_type(object, "function")) {
        (void)pn_refuse_type(e, at, "tools", json_object_get(object, "type"));
        return NULL;
    }
    const char *name = pn_needed_text(object, at, "name", e);
    json_t *made =
        name ? json_pack("{s:s, s:{s:s}}", "type", "function", "function", "name", name) : NULL;
    if (name && !made) (void)pn_refuse_memory(e);
    return made;
}

static bool read_allowed(const json_t *choice, pn_chat_form *form, pn_api_error *e) {
    const json_t *tools = json_object_get(choice, "tools");
    json_t *mode = json_object_get(choice, "mode"), *names = json_array();
    bool ok = json_is_array(tools) || pn_refuse_value(e, "tool_choice.tools", "a list", tools);
    for (size_t i = 0; ok && i < json_array_size(tools); i++) {
        pn_place at;
        (void)snprintf(at.text, sizeof at.text, "tool_choice.tools[%zu]", i);
        json_t *name = named_function(json_array_get(tools, i), at.text, e);
        ok = name && (!json_array_append_new(names, name) || pn_refuse_memory(e));
    }
    if (ok)
        pn_chat_form_set(form, "tool_choice",
                         json_pack("{s:s, s:{s:O, s:O}}", "type", "allowed_tools", "allowed_tools",
                                   "mode", mode ? mode : json_null(), "tools", names));
    json_decref(names);
    return ok;
}

static bool read_tool_choice(const json_t *body, pn_chat_form *form, pn_api_error *e) {
    json_t *choice = pn_field(body, "tool_choice"), *many = pn_field(body, "parallel_tool_calls");
    if (many) pn_chat_form_set(form, "parallel_tool_calls", json_incref(many));
    if (pn_is_type(choice, "allowed_tools")) return read_allowed(choice, form, e);
    if (json_is_object(choice)) {
        json_t *function = named_function(choice, "tool_choice", e);
        if (function) pn_chat_form_set(form, "tool_choice", function);
        return function != NULL;
    }
    if (choice) pn_chat_form_set(form, "tool_choice", json_incref(choice));
    return true;
}

static bool read_reasoning_options(const json_t *body, pn_chat_form *form, pn_api_error *e) {
    json_t *options = pn_field(body, "reasoning");
    if (options && !json_is_object(options))
        return pn_refuse_value(e, "reasoning", "an object", options);
    json_t *effort = pn_field(options, "effort"), *vars = pn_field(body, "chat_template_kwargs");
    if (effort && !json_is_string(effort))
        return pn_refuse_value(e, "reasoning.effort", "a string", effort);
    if (effort) pn_chat_form_set(form, "reasoning_effort", json_incref(effort));
    if (vars) pn_chat_form_set(form, "chat_template_kwargs", json_incref(vars));
    return true;
}

/* ---- the request ----------------------------------------------------------------------------------- */

/* What would need something that was kept. */
static bool check_stateless(const json_t *body, pn_api_error *e) {
    static const char *const refused[] = {"previous_response_id", "conversation", "prompt"};
    bool background = false;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (pn_field(body, refused[i]))
            return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, refused[i],
                                 "%s: the server keeps nothing between requests; send the whole "
                                 "conversation in input",
                                 refused[i]);
    if (!pn_field_flag(body, "background", &background, e)) return false;
    return !background || pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "background",
                                        "background: the server keeps nothing between requests");
}

/* What is not used, but said again in the response. */
static bool check_repeated(const json_t *body, pn_api_error *e) {
    const json_t *metadata = pn_field(body, "metadata");
    const char *text;
    if (metadata && !json_is_object(metadata))
        return pn_refuse_value(e, "metadata", "an object", metadata);
    if (!pn_field_text(body, "user", &text, e) || !pn_field_text(body, "truncation", &text, e))
        return false;
    return !text || strcmp(text, "auto") == 0 || strcmp(text, "disabled") == 0 ||
           pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "truncation",
                         "truncation: is none of auto and disabled");
}

bool pn_responses_read(const json_t *body, pn_chat_form *form, pn_api_error *e) {
    pn_chat_form_set(form, "add_generation_prompt", json_true());
    return check_stateless(body, e) && check_repeated(body, e) && read_input(body, form, e) &&
           read_tools(body, form, e) && read_tool_choice(body, form, e) &&
           read_reasoning_options(body, form, e);
}

static bool read_include(const json_t *body, pn_params *params, pn_api_error *e) {
    const json_t *include = pn_field(body, "include");
    if (include && !json_is_array(include)) return pn_refuse_value(e, "include", "a list", include);
    for (size_t i = 0; i < json_array_size(include); i++) {
        const json_t *item = json_array_get(include, i);
        if (!json_is_string(item)) return pn_refuse_value(e, "include", "a list of strings", item);
        if (strcmp(json_string_value(item), "message.output_text.logprobs") == 0 &&
            params->n_logprobs < 0)
            params->n_logprobs = 0;
    }
    return true;
}

bool pn_responses_format(const json_t *body, pn_params *params, pn_api_error *e) {
    static const char at[] = "text.format.schema";
    const json_t *text = pn_field(body, "text");
    if (text && !json_is_object(text)) return pn_refuse_value(e, "text", "an object", text);
    const json_t *format = pn_field(text, "format");
    if (format && !json_is_object(format))
        return pn_refuse_value(e, "text.format", "an object", format);
    if (!read_include(body, params, e)) return false;
    if (!format || pn_is_type(format, "text")) return true;
    if (pn_is_type(format, "json_object")) return pn_params_schema(params, NULL, "text.format", e);
    if (!pn_is_type(format, "json_schema"))
        return pn_refuse_type(e, "text.format", "formats", json_object_get(format, "type"));
    json_t *schema = pn_field(format, "schema");
    if (!schema) return pn_refuse_value(e, at, "a JSON schema", schema);
    return pn_params_schema(params, schema, at, e);
}
