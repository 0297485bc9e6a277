/* chat_turn.c: conversations checked, rendered, and their answers taken apart. */
#include "chat_turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call_form.h"
#include "tokens.h"

struct pn_chat_turn {
    const puna_chat *chat;
    puna_prompt *prompt;
    pn_text text;
    int32_t *tokens;
    int32_t n_tokens;
    pn_text continued; /* what the final message said already, */
    size_t n_content;  /* and how much of that is content */
    size_t n_reasoning;
    json_t *callable;
    pn_call_form form;
    bool scans;        /* the answer is calls in this form and nothing else */
    const char *close; /* ends the reasoning that the prompt has opened; NULL: there is none */
};

static bool no_memory(pn_api_error *e) {
    return pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
}

/* ---- checking messages --------------------------------------------------------------------------- */

static bool check_part(const json_t *part, const char *at, pn_api_error *e) {
    char param[112];
    const char *type = json_string_value(json_object_get(part, "type"));
    (void)snprintf(param, sizeof param, "%s.type", at);
    if (!json_is_object(part)) return pn_refuse_value(e, at, "a part", part);
    if (!type) return pn_refuse_value(e, param, "a string", json_object_get(part, "type"));
    const char *key = strcmp(type, "refusal") == 0 ? "refusal" : "text";
    if (strcmp(type, "text") != 0 && strcmp(type, "refusal") != 0)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param,
                             "%s: parts of type \"%.40s\" are not supported: the model reads text",
                             param, type);
    (void)snprintf(param, sizeof param, "%s.%s", at, key);
    if (!json_is_string(json_object_get(part, key)))
        return pn_refuse_value(e, param, "a string", json_object_get(part, key));
    return true;
}

static bool check_content(const json_t *content, const char *at, pn_api_error *e) {
    char param[96];
    if (!content || json_is_string(content)) return true;
    if (!json_is_array(content))
        return pn_refuse_value(e, at, "a string or a list of parts", content);
    for (size_t i = 0; i < json_array_size(content); i++) {
        (void)snprintf(param, sizeof param, "%s[%zu]", at, i);
        if (!check_part(json_array_get(content, i), param, e)) return false;
    }
    return true;
}

static bool check_call(const json_t *call, const char *at, pn_api_error *e) {
    char param[112];
    const json_t *function = json_object_get(call, "function");
    (void)snprintf(param, sizeof param, "%s.function", at);
    if (!json_is_object(call)) return pn_refuse_value(e, at, "an object", call);
    if (!json_is_object(function)) return pn_refuse_value(e, param, "an object", function);
    (void)snprintf(param, sizeof param, "%s.function.name", at);
    if (!json_is_string(json_object_get(function, "name")))
        return pn_refuse_value(e, param, "a string", json_object_get(function, "name"));
    const json_t *arguments = pn_field(function, "arguments");
    (void)snprintf(param, sizeof param, "%s.function.arguments", at);
    if (arguments && !json_is_string(arguments) && !json_is_object(arguments))
        return pn_refuse_value(e, param, "JSON in a string", arguments);
    return true;
}

static bool check_message(const json_t *message, size_t i, pn_api_error *e) {
    char param[64];
    (void)snprintf(param, sizeof param, "messages[%zu]", i);
    if (!json_is_object(message)) return pn_refuse_value(e, param, "an object", message);
    const json_t *role = json_object_get(message, "role");
    (void)snprintf(param, sizeof param, "messages[%zu].role", i);
    if (!json_is_string(role)) return pn_refuse_value(e, param, "a string", role);
    const json_t *content = pn_field(message, "content");
    const json_t *calls = pn_field(message, "tool_calls");
    (void)snprintf(param, sizeof param, "messages[%zu].content", i);
    if (!check_content(content, param, e)) return false;
    const bool may_be_empty = strcmp(json_string_value(role), "assistant") == 0;
    if (!content && !calls && !may_be_empty)
        return pn_refuse_value(e, param, "a string or a list of parts", NULL);
    (void)snprintf(param, sizeof param, "messages[%zu].tool_calls", i);
    if (calls && !json_is_array(calls)) return pn_refuse_value(e, param, "a list", calls);
    for (size_t k = 0; k < json_array_size(calls); k++) {
        char at[64];
        (void)snprintf(at, sizeof at, "messages[%zu].tool_calls[%zu]", i, k);
        if (!check_call(json_array_get(calls, k), at, e)) return false;
    }
    return true;
}

static bool check_messages(const json_t *messages, pn_api_error *e) {
    if (!json_is_array(messages)) return pn_refuse_value(e, "messages", "a list", messages);
    if (json_array_size(messages) == 0)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "messages",
                             "messages: the list is empty");
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!check_message(json_array_get(messages, i), i, e)) return false;
    return true;
}

/* ---- checking tools ------------------------------------------------------------------------------ */

enum { MAX_TOOLS = 512, MAX_TOOL_NAME = 128 };

static bool check_tool(const json_t *tool, size_t i, pn_api_error *e) {
    char param[64];
    (void)snprintf(param, sizeof param, "tools[%zu]", i);
    if (!json_is_object(tool)) return pn_refuse_value(e, param, "an object", tool);
    const char *type = json_string_value(json_object_get(tool, "type"));
    (void)snprintf(param, sizeof param, "tools[%zu].type", i);
    if (!type) return pn_refuse_value(e, param, "a string", json_object_get(tool, "type"));
    if (strcmp(type, "function") != 0)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param,
                             "%s: tools of type \"%.40s\" are not supported", param, type);
    const json_t *function = json_object_get(tool, "function");
    (void)snprintf(param, sizeof param, "tools[%zu].function", i);
    if (!json_is_object(function)) return pn_refuse_value(e, param, "an object", function);
    const json_t *name = json_object_get(function, "name");
    (void)snprintf(param, sizeof param, "tools[%zu].function.name", i);
    if (!json_is_string(name)) return pn_refuse_value(e, param, "a string", name);
    const char *text = json_string_value(name);
    if (!*text || strlen(text) > MAX_TOOL_NAME ||
        strcspn(text, "\"'\\<>{}()[]` \n\r\t") != strlen(text))
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param,
                             "%s: expected 1 to %d letters, digits, _, -, . or /", param,
                             MAX_TOOL_NAME);
    const json_t *parameters = pn_field(function, "parameters");
    (void)snprintf(param, sizeof param, "tools[%zu].function.parameters", i);
    if (parameters && !json_is_object(parameters))
        return pn_refuse_value(e, param, "a JSON schema", parameters);
    return true;
}

static bool check_tools(const json_t *tools, pn_api_error *e) {
    if (!tools) return true;
    if (!json_is_array(tools)) return pn_refuse_value(e, "tools", "a list", tools);
    if (json_array_size(tools) > MAX_TOOLS)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "tools",
                             "tools: %zu of them, at most %d are possible", json_array_size(tools),
                             MAX_TOOLS);
    for (size_t i = 0; i < json_array_size(tools); i++)
        if (!check_tool(json_array_get(tools, i), i, e)) return false;
    return true;
}

/* The tools that may be called; NULL with *e. */
static json_t *callable_tools(const pn_conversation *c, pn_api_error *e) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < json_array_size(c->tools); i++) {
        json_t *tool = json_array_get(c->tools, i);
        const char *name =
            json_string_value(json_object_get(json_object_get(tool, "function"), "name"));
        if (!c->tool_name || strcmp(name, c->tool_name) == 0) json_array_append(list, tool);
    }
    if (!list) {
        (void)no_memory(e);
    } else if (json_array_size(list) == 0) {
        json_decref(list);
        list = NULL;
        if (c->tool_name)
            (void)pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "tool_choice",
                                "tool_choice: no tool is named \"%.100s\"", c->tool_name);
        else
            (void)pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "tool_choice",
                                "tool_choice: a call is required, but no tools are given");
    }
    return list;
}

/* ---- rendering ----------------------------------------------------------------------------------- */

static bool is_role(const json_t *message, const char *role) {
    return strcmp(json_string_value(json_object_get(message, "role")), role) == 0;
}

/* The text of a message that is to be continued; false where it has none. */
static bool text_of_message(const json_t *message, pn_text *t) {
    const json_t *content = pn_field(message, "content");
    if (json_is_string(content))
        pn_text_append(t, json_string_value(content), json_string_length(content));
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *text = json_object_get(json_array_get(content, i), "text");
        if (json_is_string(text))
            pn_text_append(t, json_string_value(text), json_string_length(text));
    }
    return content && json_array_size(pn_field(message, "tool_calls")) == 0;
}

/* Whether the last message is continued; its text. */
static bool take_continued(pn_chat_turn *turn, const pn_conversation *c, bool *continues,
                           pn_api_error *e) {
    const json_t *last = json_array_get(c->messages, json_array_size(c->messages) - 1);
    *continues = false;
    if (c->end == PN_TURN_ANSWER || c->end == PN_TURN_AS_IS) return true;
    if (is_role(last, "assistant")) *continues = text_of_message(last, &turn->continued);
    if (c->end == PN_TURN_CONTINUE && !*continues)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "messages",
                             "messages: the last one is no text of the assistant to be continued");
    return true;
}

static bool render(pn_chat_turn *turn, const pn_conversation *c, bool continues, json_t *tools,
                   pn_api_error *e) {
    puna_chat_input input;
    puna_error err;
    json_t *messages = json_copy(c->messages); /* a list of its own with the same messages */
    if (!messages) return no_memory(e);
    if (continues) json_array_remove(messages, json_array_size(messages) - 1);
    char *messages_text = json_dumps(messages, JSON_COMPACT);
    char *tools_text = tools ? json_dumps(tools, JSON_COMPACT) : NULL;
    char *vars_text = c->vars ? json_dumps(c->vars, JSON_COMPACT) : NULL;
    json_decref(messages);
    puna_chat_input_init(&input);
    input.messages = messages_text;
    input.messages_bytes = messages_text ? strlen(messages_text) : 0;
    input.tools = tools_text;
    input.tools_bytes = tools_text ? strlen(tools_text) : 0;
    input.vars = vars_text;
    input.vars_bytes = vars_text ? strlen(vars_text) : 0;
    input.no_generation_prompt = c->end == PN_TURN_AS_IS;
    bool ok = messages_text && (!tools || tools_text) && (!c->vars || vars_text);
    if (!ok) {
        (void)no_memory(e);
    } else if (puna_chat_render(turn->chat, &input, &turn->prompt, &err)) {
        turn->prompt = NULL;
        ok = pn_api_refuse(e, err.code == PUNA_E_NOMEM ? 500 : 400,
                           err.code == PUNA_E_NOMEM ? "server_error" : PN_INVALID_REQUEST, NULL,
                           "messages", "%s", err.msg);
    }
    free(messages_text);
    free(tools_text);
    free(vars_text);
    return ok;
}

/* The prompt's ids, and behind them those of the text to be continued. */
static bool take_tokens(pn_chat_turn *turn, const puna_model *model, pn_api_error *e) {
    int32_t n = 0, n_more = 0, *more = NULL;
    size_t n_bytes = 0;
    const int32_t *ids = puna_prompt_tokens(turn->prompt, &n);
    const char *text = puna_prompt_text(turn->prompt, &n_bytes);
    pn_text_append(&turn->text, text, n_bytes);
    pn_text_append(&turn->text, pn_text_get(&turn->continued), turn->continued.n);
    if (turn->text.failed || turn->continued.failed) return no_memory(e);
    if (turn->continued.n > 0 && !pn_tokenize_more(model, turn->continued.s, turn->continued.n,
                                                   &more, &n_more, "messages", e))
        return false;
    turn->tokens = malloc(((size_t)n + (size_t)n_more + 1) * sizeof *turn->tokens);
    if (turn->tokens) {
        if (n > 0) memcpy(turn->tokens, ids, (size_t)n * sizeof *ids);
        if (n_more > 0) memcpy(turn->tokens + n, more, (size_t)n_more * sizeof *more);
        turn->n_tokens = n + n_more;
    }
    free(more);
    return turn->tokens || no_memory(e);
}

/* ---- reasoning that the prompt opens ------------------------------------------------------------- */

static bool text_is(const pn_text *t, const char *text) {
    return strcmp(pn_text_get(t), text) == 0;
}

/* Finds what ends the reasoning, when the answer begins inside of it. */
static bool find_close(pn_chat_turn *turn, pn_api_error *e) {
    static const char *const closes[] = {"</think>",           "</thinking>", "</seed:think>",
                                         "</mm:think>",        "[/THINK]",    "<|END_THINKING|>",
                                         "</think:opensource>"};
    pn_message m = {0};
    bool ok = pn_chat_turn_read(turn, "x", 1, true, &m);
    bool opened = ok && text_is(&m.reasoning, "x");
    pn_message_free(&m);
    for (size_t i = 0; ok && opened && i < sizeof closes / sizeof *closes; i++) {
        pn_text answer = {0};
        pn_text_write(&answer, "x%sy", closes[i]);
        ok = !answer.failed && pn_chat_turn_read(turn, answer.s, answer.n, false, &m);
        if (ok && text_is(&m.reasoning, "x") && text_is(&m.content, "y")) {
            turn->close = closes[i];
            opened = false;
        }
        pn_message_free(&m);
        pn_text_free(&answer);
    }
    return ok || no_memory(e);
}

/* ---- what may be sampled ------------------------------------------------------------------------- */

/* The grammar for calls, or for JSON beside what it does not bind. */
static bool take_grammar(pn_chat_turn *turn, const pn_service *service, const pn_conversation *c,
                         pn_params *params, pn_api_error *e) {
    const bool required = c->tool_mode == PN_TOOLS_REQUIRED;
    const bool may_call = c->tool_mode != PN_TOOLS_NONE && json_array_size(c->tools) > 0;
    puna_grammar *grammar = NULL;
    if (required && params->sampler.grammar && !params->grammar_is_content)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "grammar",
                             "grammar: not together with a tool_choice that requires a call");
    if (!required && !(params->grammar_is_content && (may_call || turn->close))) return true;
    if (may_call && !pn_call_form_find(turn->chat, service->model, c->tools, &turn->form))
        return no_memory(e);
    /* a call in a form that only a grammar can hold the model to is no choice beside other JSON */
    const bool calls = required || (may_call && !turn->form.is_own);
    turn->scans = required;
    if (!calls && !turn->close) return true;
    const pn_call_rules rules = {
        .form = calls ? &turn->form : NULL,
        .tools = turn->callable,
        .many = c->many_calls,
        .content = required ? NULL : params->sampler.grammar,
        .reasoning_close = turn->close,
    };
    if (!pn_call_rules_grammar(&rules, service->model, &grammar, e)) return false;
    puna_grammar_free(params->sampler.grammar);
    params->sampler.grammar = grammar;
    return true;
}

bool pn_chat_turn_open(pn_service *service, const pn_conversation *c, pn_params *params,
                       pn_chat_turn **turn_out, pn_api_error *e) {
    bool continues = false;
    if (!service->chat)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, NULL,
                             "the model has no way to chat: %s", service->chat_error.msg);
    if (!check_messages(c->messages, e) || !check_tools(c->tools, e)) return false;
    pn_chat_turn *turn = calloc(1, sizeof *turn);
    if (!turn) return no_memory(e);
    turn->chat = service->chat;
    const bool shows = c->tool_mode != PN_TOOLS_NONE && json_array_size(c->tools) > 0;
    bool ok = true;
    if (shows || c->tool_mode == PN_TOOLS_REQUIRED) {
        turn->callable = callable_tools(c, e);
        ok = turn->callable != NULL;
    }
    ok = ok && take_continued(turn, c, &continues, e) &&
         render(turn, c, continues, shows ? c->tools : NULL, e) &&
         take_tokens(turn, service->model, e);
    if (ok && turn->continued.n > 0) {
        pn_message m = {0};
        ok = pn_chat_turn_read(turn, "", 0, false, &m) || no_memory(e);
        turn->n_content = m.content.n;
        turn->n_reasoning = m.reasoning.n;
        pn_message_free(&m);
    }
    ok = ok && find_close(turn, e) && take_grammar(turn, service, c, params, e);
    if (!ok) {
        pn_chat_turn_free(turn);
        return false;
    }
    *turn_out = turn;
    return true;
}

void pn_chat_turn_free(pn_chat_turn *turn) {
    if (!turn) return;
    puna_prompt_free(turn->prompt);
    pn_text_free(&turn->text);
    pn_text_free(&turn->continued);
    free(turn->tokens);
    json_decref(turn->callable);
    pn_call_form_free(&turn->form);
    free(turn);
}

const pn_text *pn_chat_turn_text(const pn_chat_turn *turn) {
    return &turn->text;
}

int32_t *pn_chat_turn_tokens(const pn_chat_turn *turn, int32_t *n_tokens) {
    int32_t *copy = malloc(((size_t)turn->n_tokens + 1) * sizeof *copy);
    if (copy && turn->n_tokens) memcpy(copy, turn->tokens, (size_t)turn->n_tokens * sizeof *copy);
    *n_tokens = turn->n_tokens;
    return copy;
}

const char *pn_chat_turn_stop(const pn_chat_turn *turn, int32_t index) {
    return puna_prompt_stop(turn->prompt, index);
}

/* ---- answers ------------------------------------------------------------------------------------- */

void pn_message_free(pn_message *m) {
    pn_text_free(&m->content);
    pn_text_free(&m->reasoning);
    for (int32_t i = 0; i < m->n_calls; i++) {
        pn_text_free(&m->calls[i].name);
        pn_text_free(&m->calls[i].arguments);
    }
    free(m->calls);
    *m = (pn_message){0};
}

static void copy_text(pn_text *t, const json_t *value, size_t skip) {
    const size_t n = json_string_length(value);
    if (json_is_string(value) && n > skip)
        pn_text_append(t, json_string_value(value) + skip, n - skip);
}

static bool copy_calls(pn_message *m, const json_t *calls) {
    const size_t n = json_array_size(calls);
    if (n == 0) return true;
    m->calls = calloc(n, sizeof *m->calls);
    if (!m->calls) return false;
    m->n_calls = (int32_t)n;
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        const json_t *function = json_object_get(json_array_get(calls, i), "function");
        copy_text(&m->calls[i].name, json_object_get(function, "name"), 0);
        copy_text(&m->calls[i].arguments, json_object_get(function, "arguments"), 0);
        m->calls[i].is_complete = true;
        ok = ok && !m->calls[i].name.failed && !m->calls[i].arguments.failed;
    }
    return ok;
}

/* What puna_chat_parse makes of it. */
static bool read_parsed(const pn_chat_turn *turn, const char *text, size_t n, bool is_partial,
                        pn_message *m) {
    pn_text whole = {0};
    char *json = NULL;
    if (turn->continued.n > 0) {
        pn_text_append(&whole, turn->continued.s, turn->continued.n);
        pn_text_append(&whole, text, n);
        text = whole.s;
        n = whole.n;
    }
    bool ok = !whole.failed &&
              !puna_chat_parse(turn->chat, turn->prompt, text, n, is_partial, &json, NULL);
    json_t *message = ok ? json_loads(json, JSON_ALLOW_NUL, NULL) : NULL;
    ok = message != NULL;
    copy_text(&m->content, json_object_get(message, "content"), turn->n_content);
    copy_text(&m->reasoning, json_object_get(message, "reasoning_content"), turn->n_reasoning);
    ok = ok && copy_calls(m, json_object_get(message, "tool_calls"));
    json_decref(message);
    puna_free(json);
    pn_text_free(&whole);
    return ok && !m->content.failed && !m->reasoning.failed;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Takes the reasoning off an answer that begins inside of it. False: it goes on. */
static bool take_reasoning(const char *close, const char **text, size_t *n, bool is_partial,
                           pn_text *reasoning) {
    const size_t n_close = strlen(close);
    size_t end = 0;
    while (end + n_close <= *n && memcmp(*text + end, close, n_close) != 0) end++;
    const bool found = end + n_close <= *n;
    size_t from = 0, to = found ? end : *n;
    for (size_t k = n_close - 1; !found && is_partial && k > 0; k--)
        if (k <= *n && memcmp(*text + *n - k, close, k) == 0) {
            to = *n - k;
            break;
        }
    while (from < to && is_blank((*text)[from])) from++;
    while (to > from && is_blank((*text)[to - 1])) to--;
    pn_text_append(reasoning, *text + from, to - from);
    const size_t used = found ? end + n_close : *n;
    *text += used;
    *n -= used;
    while (*n > 0 && is_blank(**text)) {
        ++*text;
        --*n;
    }
    return found;
}

bool pn_chat_turn_read(const pn_chat_turn *turn, const char *text, size_t n, bool is_partial,
                       pn_message *m) {
    *m = (pn_message){0};
    if (!turn->scans) return read_parsed(turn, text, n, is_partial, m);
    if (turn->close && !take_reasoning(turn->close, &text, &n, is_partial, &m->reasoning))
        return !m->reasoning.failed;
    if (!pn_call_scan(&turn->form, turn->callable, text, n, m)) return false;
    /* cut before the name of a function was complete */
    if (!is_partial && m->n_calls == 0) pn_text_append(&m->content, text, n);
    return !m->content.failed && !m->reasoning.failed;
}
