/* fuzz_chat.c: any bytes as a conversation and as an answer.
 *
 * Layout of an input: messages as JSON, a byte 0, an answer. Whatever the messages are, a prompt is
 * made of them or the error says why; its spans cover it. An answer is taken apart whatever it
 * says, by chats of several families: the message is JSON of the right shape, and the same
 * twice. */
#include "replay.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "puna.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const templates[] = {
    "{# <tool_call> <function= <think> [TOOL_CALLS] <|python_tag|> #}{{ bos_token }}{% for m in "
    "messages %}{% if m.role == "
    "'system' %}{{ raise_exception('no') }}{% endif %}{{ '<|' + m.role + '|>' + m.content }}{% for "
    "c in m.tool_calls or [] %}"
    "{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}<think>",
    "{# <|channel|> <|message|> #}{% for m in messages %}{{ m.content }}{% endfor %}",
    "{# <|recipient|> <|content|> #}{{ messages | tojson }}",
    "{# DSML <invoke name= <|tool_call> <|tool_call_start|> <|START_ACTION|> <|START_RESPONSE|> "
    "functools[ <tool_calls> #}x",
    "{# {\"name\": function name, \"parameters\": <|tool_call:begin|> <|think|> <tool_call{}> "
    "<|tool_call_begin|> #}x",
};

enum { N_TEMPLATES = sizeof templates / sizeof *templates };

static const char *const seeds[] = {
    "[{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"U\"}]\0"
    "t</think>c<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1, \"x\"]}}</tool_call>",
    "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"\\u00e9\\n\"}]}, "
    "{\"role\": \"assistant\", "
    "\"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": "
    "\"{\\\"a\\\": 1}\"}}]}]\0"
    "<|channel|>analysis<|message|>t<|end|><|start|>assistant to=functions.f<|channel|>commentary "
    "json<|message|>{\"a\": 1}",
    "[]\0all\n<|content|>Hi\n<|from|>assistant\n<|recipient|>f\n<|content|>{}<|stop|>",
    "[]\0<tool_call>f<arg_key>a</arg_key><arg_value>['x', "
    "True]</arg_value></tool_call><function=g><parameter=b>\n1\n"
    "</parameter></function>",
    "[]\0<|tool_call>call:f{a:<|\"|>x<|\"|>,b:[1,{c:null}]}<tool_call|><|tool_call_start|>[f(a='x',"
    " b=-1.5)]<|tool_call_end|>",
    "[]\0[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS][{\"name\": \"g\"}]",
    "[]\0{\"name\": \"f\", \"parameters\": {\"a\": 1}}",
};

int64_t fuzz_n_accepted;

size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    if ((size_t)index >= sizeof seeds / sizeof *seeds) return 0;
    const char *const seed = seeds[index], *const answer = seed + strlen(seed) + 1;
    const size_t n = strlen(seed), n_answer = strlen(answer);
    if (n + 1 + n_answer > cap) return 0;
    memcpy(data, seed, n + 1);
    memcpy(data + n + 1, answer, n_answer);
    return n + 1 + n_answer;
}

static void check_prompt(const puna_prompt *prompt) {
    int32_t n;
    size_t n_bytes, at = 0;
    const puna_prompt_span *spans = puna_prompt_spans(prompt, &n);
    const char *text = puna_prompt_text(prompt, &n_bytes);
    for (int32_t i = 0; i < n; i++) {
        if (spans[i].begin != at || spans[i].end <= at) abort();
        at = spans[i].end;
    }
    if (at != n_bytes || text[at] != 0) abort();
}

static void check_answer(const puna_chat *chat, const puna_prompt *prompt, const char *answer,
                         size_t n, bool partial) {
    char *json = NULL, *again = NULL;
    puna_error err = {0};
    if (puna_chat_parse(chat, prompt, answer, n, partial, &json, &err)) abort();
    if (puna_chat_parse(chat, prompt, answer, n, partial, &again, &err)) abort();
    if (strcmp(json, again) != 0) abort();
    json_t *message = json_loads(json, JSON_ALLOW_NUL, NULL);
    if (!message || !json_object_get(message, "content")) abort();
    size_t i;
    json_t *call;
    json_array_foreach(json_object_get(message, "tool_calls"), i, call) {
        const json_t *function = json_object_get(call, "function");
        json_t *arguments = json_loads(json_string_value(json_object_get(function, "arguments")),
                                       JSON_ALLOW_NUL, NULL);
        /* jansson refuses numbers and halves of surrogate pairs that JSON has */
        if (!json_is_string(json_object_get(function, "name"))) abort();
        if (arguments && !json_is_object(arguments)) abort();
        json_decref(arguments);
    }
    json_decref(message);
    puna_free(json);
    puna_free(again);
}

static void try_chat(const char *template, const char *messages, size_t n, const char *answer,
                     size_t n_answer) {
    puna_chat *chat = NULL;
    puna_prompt *prompt = NULL;
    puna_chat_options options;
    puna_chat_input input;
    puna_error err = {0};
    puna_chat_options_init(&options);
    options.template_text = template;
    options.template_bytes = strlen(template);
    if (puna_chat_open(NULL, &options, &chat, &err)) abort();
    puna_chat_input_init(&input);
    input.messages = messages;
    input.messages_bytes = n;
    input.now = 1;
    const puna_status status = puna_chat_render(chat, &input, &prompt, &err);
    if (status ? err.msg[0] == 0 || prompt : !prompt) abort();
    if (!status) {
        fuzz_n_accepted++;
        check_prompt(prompt);
    }
    check_answer(chat, prompt, answer, n_answer, false);
    check_answer(chat, NULL, answer, n_answer, false);
    check_answer(chat, NULL, answer, n_answer, true);
    puna_prompt_free(prompt);
    puna_chat_free(chat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *const zero = size ? memchr(data, 0, size) : NULL;
    const size_t n = zero ? (size_t)(zero - data) : size;
    const char *const answer = zero ? (const char *)zero + 1 : "";
    for (int i = 0; i < N_TEMPLATES; i++)
        try_chat(templates[i], (const char *)data, n, answer, zero ? size - n - 1 : 0);
    return 0;
}
