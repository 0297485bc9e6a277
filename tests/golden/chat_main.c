/* chat_main.c: conversations through the public interface for tests: JSON lines in, JSON lines out.
 *
 *   chat_main [MODEL]        MODEL: a GGUF file, its vocabulary is enough
 *
 * in:  {"messages": TEXT, "tools"?: TEXT, "vars"?: TEXT, "template"?: TEXT, "format"?: NAME, "bos"?, "eos"?: TEXT,
 *       "exact"?: bool, "no_generation_prompt"?: bool, "answer"?: TEXT, "partial"?: bool, "bare"?: bool}
 *      messages, tools and vars are JSON as text; answer is one to take apart (bare: without the prompt)
 * out: {"text", "spans": [[begin, end, from_template, message], ...], "stops", "source"}, with a model "tokens",
 *      "token_spans", "control" (ids among them that are control tokens) and "whole" (the text tokenized at once with
 *      its special tokens), with an answer "message"; or {"error", "status"}
 * The clock stands at 2024-07-04 09:05:03 UTC: run with TZ=UTC. */
#define _POSIX_C_SOURCE 200809L
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "puna.h"

static const char *text_of(const json_t *request, const char *name, size_t *n) {
    const json_t *value = json_object_get(request, name);
    if (n) *n = json_string_length(value);
    return json_string_value(value);
}

static json_t *ids_of(const int32_t *ids, int32_t n) {
    json_t *list = json_array();
    for (int32_t i = 0; i < n; i++) json_array_append_new(list, json_integer(ids[i]));
    return list;
}

static json_t *whole_of(const puna_model *model, const char *text, size_t n) {
    int32_t n_ids = 0;
    (void)puna_tokenize(model, text, n, PUNA_TOKENIZE_PARSE_SPECIAL, NULL, 0, &n_ids, NULL);
    int32_t *ids = malloc((size_t)n_ids * sizeof *ids + 1);
    if (n_ids > 0)
        (void)puna_tokenize(model, text, n, PUNA_TOKENIZE_PARSE_SPECIAL, ids, n_ids, &n_ids, NULL);
    json_t *list = ids_of(ids, n_ids);
    free(ids);
    return list;
}

static void add_tokens(json_t *out, const puna_model *model, const puna_prompt *prompt) {
    int32_t n;
    size_t n_bytes;
    const int32_t *ids = puna_prompt_tokens(prompt, &n);
    const char *text = puna_prompt_text(prompt, &n_bytes);
    json_t *control = json_array();
    for (int32_t i = 0; i < n; i++)
        if (puna_token_is_control(model, ids[i])) json_array_append_new(control, json_integer(i));
    json_object_set_new(out, "tokens", ids_of(ids, n));
    json_object_set_new(out, "token_spans", ids_of(puna_prompt_token_spans(prompt), n));
    json_object_set_new(out, "control", control);
    json_object_set_new(out, "whole", whole_of(model, text, n_bytes));
}

static json_t *describe(const puna_chat *chat, const puna_prompt *prompt, const puna_model *model) {
    int32_t n_spans;
    size_t n_bytes;
    const char *text = puna_prompt_text(prompt, &n_bytes);
    const puna_prompt_span *spans = puna_prompt_spans(prompt, &n_spans);
    json_t *out = json_object(), *list = json_array(), *stops = json_array();
    for (int32_t i = 0; i < n_spans; i++)
        json_array_append_new(list, json_pack("[I,I,b,i]", (json_int_t)spans[i].begin,
                                              (json_int_t)spans[i].end, (int)spans[i].from_template,
                                              (int)spans[i].message));
    for (int32_t i = 0; puna_prompt_stop(prompt, i); i++)
        json_array_append_new(stops, json_string(puna_prompt_stop(prompt, i)));
    json_object_set_new(out, "text", json_stringn(text, n_bytes));
    json_object_set_new(out, "spans", list);
    json_object_set_new(out, "stops", stops);
    json_object_set_new(out, "source", json_string(puna_chat_source(chat)));
    if (model) add_tokens(out, model, prompt);
    return out;
}

static puna_status take_apart(json_t *out, const puna_chat *chat, const puna_prompt *prompt,
                              const json_t *request, puna_error *err) {
    size_t n;
    char *message = NULL;
    const char *answer = text_of(request, "answer", &n);
    if (!answer) return PUNA_OK;
    const puna_status status = puna_chat_parse(
        chat, json_is_true(json_object_get(request, "bare")) ? NULL : prompt, answer, n,
        json_is_true(json_object_get(request, "partial")), &message, err);
    if (!status) json_object_set_new(out, "message", json_loads(message, JSON_ALLOW_NUL, NULL));
    puna_free(message);
    return status;
}

static json_t *answer(puna_model *model, const json_t *request) {
    puna_chat_options options;
    puna_chat_input input;
    puna_chat *chat = NULL;
    puna_prompt *prompt = NULL;
    puna_error err = {0};
    json_t *out = NULL;
    puna_chat_options_init(&options);
    options.template_text = text_of(request, "template", &options.template_bytes);
    options.format = text_of(request, "format", NULL);
    options.bos = text_of(request, "bos", NULL);
    options.eos = text_of(request, "eos", NULL);
    options.exact = json_is_true(json_object_get(request, "exact"));
    puna_chat_input_init(&input);
    input.messages = text_of(request, "messages", &input.messages_bytes);
    input.tools = text_of(request, "tools", &input.tools_bytes);
    input.vars = text_of(request, "vars", &input.vars_bytes);
    input.no_generation_prompt = json_is_true(json_object_get(request, "no_generation_prompt"));
    input.now = 1720083903;
    puna_status status = puna_chat_open(model, &options, &chat, &err);
    if (!status) status = puna_chat_render(chat, &input, &prompt, &err);
    if (!status) {
        out = describe(chat, prompt, model);
        status = take_apart(out, chat, prompt, request, &err);
    }
    puna_prompt_free(prompt);
    puna_chat_free(chat);
    if (!status) return out;
    json_decref(out);
    return json_pack("{s:s,s:i}", "error", err.msg, "status", (int)status);
}

int main(int argc, char **argv) {
    puna_model *model = NULL;
    puna_model_options options;
    puna_error err = {0};
    puna_model_options_init(&options);
    options.level = PUNA_OPEN_VOCAB;
    if (argc > 1 && puna_model_open(argv[1], &options, &model, &err) != PUNA_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        json_t *request = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        json_t *result =
            request ? answer(model, request) : json_pack("{s:s}", "error", "malformed");
        (void)json_dumpf(result, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
        (void)fputc('\n', stdout);
        json_decref(result);
        json_decref(request);
    }
    free(line);
    puna_model_free(model);
    return 0;
}
