/* Tests of chats through the public interface: which template is taken, formats by name and by what
 * a file says, one BOS, spans and tokens, bad arguments, memory running out. What templates and
 * answers give is compared with others in tests/golden/test_chat.py and test_render.py. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "unit/failing_allocator.h"
#include "../gguf/gguf_build.h"

#include "puna.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <unistd.h>

static char folder[] = "/tmp/test_chat_XXXXXX";
static char path[128];
static gguf_build b;

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state) {
    (void)state;
    free(b.data);
    return rmdir(folder);
}

/* ---- vocabularies of a few tokens ---- */

static const char *const common[] = {"<unk>", "<s>", "</s>"};

/* A vocabulary with bytes and these special tokens from id 259 on; keys are still open. */
static void begin_file(const char *name, const char *const *special, uint64_t n_special) {
    char byte[8];
    build_begin(&b, 3);
    build_string(&b, "general.architecture", "llama");
    if (name) build_string(&b, "general.name", name);
    build_string(&b, "tokenizer.ggml.model", "llama");
    build_array(&b, "tokenizer.ggml.tokens", 8, 259 + n_special);
    for (int i = 0; i < 3; i++) build_text(&b, common[i], strlen(common[i]));
    for (unsigned i = 0; i < 256; i++) {
        (void)snprintf(byte, sizeof byte, "<0x%02X>", i);
        build_text(&b, byte, 6);
    }
    for (uint64_t i = 0; i < n_special; i++) build_text(&b, special[i], strlen(special[i]));
    build_array(&b, "tokenizer.ggml.token_type", 5, 259 + n_special);
    for (uint64_t i = 0; i < 259 + n_special; i++)
        build_u32(&b, i == 0 ? 2 : i < 3 || i >= 259 ? 3 : 6);
    build_key_u32(&b, "tokenizer.ggml.bos_token_id", 1);
    build_key_u32(&b, "tokenizer.ggml.eos_token_id", 2);
}

static puna_model *end_file(const char *file) {
    puna_model *model = NULL;
    puna_model_options options;
    puna_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    build_write(&b, path);
    puna_model_options_init(&options);
    options.level = PUNA_OPEN_VOCAB;
    if (puna_model_open(path, &options, &model, &err) != PUNA_OK) fail_msg("%s", err.msg);
    (void)unlink(path);
    return model;
}

static puna_chat *open_chat(puna_model *model, const char *template, const char *format) {
    puna_chat *chat = NULL;
    puna_chat_options options;
    puna_error err = {0};
    puna_chat_options_init(&options);
    options.format = format;
    options.template_text = template;
    options.template_bytes = template ? strlen(template) : 0;
    if (puna_chat_open(model, &options, &chat, &err) != PUNA_OK) fail_msg("%s", err.msg);
    return chat;
}

static puna_prompt *render(const puna_chat *chat, const char *messages) {
    puna_chat_input input;
    puna_prompt *prompt = NULL;
    puna_error err = {0};
    puna_chat_input_init(&input);
    input.messages = messages;
    input.messages_bytes = strlen(messages);
    if (puna_chat_render(chat, &input, &prompt, &err) != PUNA_OK) fail_msg("%s", err.msg);
    return prompt;
}

static void expect_text(const puna_prompt *prompt, const char *wanted) {
    size_t n;
    assert_string_equal(puna_prompt_text(prompt, &n), wanted);
    assert_int_equal(n, strlen(wanted));
}

#define HELLO "[{\"role\": \"user\", \"content\": \"hi\"}]"

/* ---- which template ---- */

static void test_sources(void **state) {
    (void)state;
    begin_file(NULL, NULL, 0);
    build_string(&b, "tokenizer.chat_template", "{{ bos_token }}own");
    build_string(&b, "tokenizer.chat_template.tool_use", "tools");
    puna_model *model = end_file("m.gguf");
    puna_chat_options options;
    puna_chat_options_init(&options);
    puna_chat *chat = open_chat(model, NULL, NULL);
    puna_prompt *prompt = render(chat, HELLO);
    assert_string_equal(puna_chat_source(chat), "template of the model");
    expect_text(prompt, "<s>own");
    puna_prompt_free(prompt);
    puna_chat_free(chat);

    options.template_name = "tool_use";
    assert_int_equal(puna_chat_open(model, &options, &chat, NULL), PUNA_OK);
    assert_string_equal(puna_chat_source(chat), "template \"tool_use\" of the model");
    puna_chat_free(chat);

    puna_error err;
    options.template_name = "rag";
    assert_int_equal(puna_chat_open(model, &options, &chat, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "tokenizer.chat_template.rag"));
    options.format = "chatml";
    assert_int_equal(puna_chat_open(model, &options, &chat, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "exclude each other"));

    chat = open_chat(model, "{{ eos_token }}", NULL);
    assert_string_equal(puna_chat_source(chat), "given template");
    puna_model_free(model); /* the chat has a reference of its own */
    prompt = render(chat, HELLO);
    expect_text(prompt, "</s>");
    puna_prompt_free(prompt);
    puna_chat_free(chat);
    puna_chat_free(NULL);
    puna_prompt_free(NULL);
}

static void test_bad_templates(void **state) {
    (void)state;
    puna_chat *chat = NULL;
    puna_chat_options options;
    puna_error err = {0};
    puna_chat_options_init(&options);
    assert_int_equal(puna_chat_open(NULL, NULL, &chat, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "chatml"));
    options.format = "nosuch";
    assert_int_equal(puna_chat_open(NULL, &options, &chat, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "unknown chat format \"nosuch\"; known are: "));
    options.format = NULL;
    options.template_text = "{% if %}";
    options.template_bytes = 8;
    assert_int_equal(puna_chat_open(NULL, &options, &chat, &err), PUNA_E_FORMAT);
    assert_null(chat);
    begin_file(NULL, NULL, 0);
    (void)snprintf(path, sizeof path, "%s/f.gguf", folder);
    build_write(&b, path);
    puna_model *model = NULL;
    puna_model_options level;
    puna_model_options_init(&level);
    level.level = PUNA_OPEN_FILE;
    assert_int_equal(puna_model_open(path, &level, &model, &err), PUNA_OK);
    assert_int_equal(puna_chat_open(model, NULL, &chat, &err), PUNA_E_STATE);
    puna_model_free(model);
    (void)unlink(path);
}

/* ---- formats ---- */

static void test_formats(void **state) {
    (void)state;
    int32_t n = 0;
    for (; puna_chat_format(n); n++) {
        puna_chat *chat = open_chat(NULL, NULL, puna_chat_format(n));
        puna_prompt *prompt = render(chat, HELLO);
        int32_t n_tokens = -1;
        assert_string_equal(puna_chat_source(chat), puna_chat_format(n));
        assert_non_null(strstr(puna_prompt_text(prompt, NULL), "hi"));
        assert_non_null(puna_prompt_stop(prompt, 0));
        (void)puna_prompt_tokens(prompt, &n_tokens);
        assert_int_equal(n_tokens, 0);
        puna_prompt_free(prompt);
        puna_chat_free(chat);
    }
    assert_true(n >= 28);
    assert_null(puna_chat_format(-1));
    assert_null(puna_chat_format(n + 1000));
}

static void test_guesses(void **state) {
    (void)state;
    static const char *const marks[] = {"<|im_start|>", "<|im_end|>"};
    static const char *const llama3[] = {"<|start_header_id|>", "<|eot_id|>"};
    static const char *const gemma[] = {"<start_of_turn>", "<end_of_turn>"};
    static const char *const end[] = {"<|end_of_turn|>"};
    static const struct {
        const char *name, *file;
        const char *const *special;
        uint64_t n_special;
        const char *format; /* NULL: refused */
    } rows[] = {
        {"LLaMA v2", "llama-2-7b-chat.Q5_K_M.gguf", NULL, 0, "llama-2"},
        {"LLaMA v2", "model.gguf", NULL, 0, "llama-2"},
        {"LLaMA v2", "llama-2-7b.Q5_K_M.gguf", NULL, 0, NULL},
        {"LLaMA v2", "mythomax-l2-13b.Q4_K_M.gguf", NULL, 0, NULL},
        {"LLaMA v2", "vicuna-13b-v1.5.Q4_K_M.gguf", NULL, 0, "vicuna"},
        {"Llama 2 7B Chat", "model.gguf", NULL, 0, "llama-2"},
        {"Llama-2-70b-chat-hf", "x.gguf", NULL, 0, "llama-2"},
        {"Llama-2-70b-hf", "x.gguf", NULL, 0, NULL},
        {"CodeLlama-7b-Instruct", "x.gguf", NULL, 0, "llama-2"},
        {"LLaMA", "llama-7b.gguf", NULL, 0, NULL},
        {NULL, "ggml-model.gguf", NULL, 0, NULL},
        {"Mistral-7B-Instruct-v0.1", "x.gguf", NULL, 0, "mistral-instruct"},
        {"Mistral-7B-v0.1", "x.gguf", NULL, 0, NULL},
        {"OpenHermes-2.5-Mistral-7B", "x.gguf", marks, 2, "chatml"},
        {"Qwen1.5-7B-Chat", "x.gguf", marks, 2, "qwen"},
        {"Qwen2.5-7B", "x.gguf", marks, 2, NULL},
        {"Meta-Llama-3-8B-Instruct", "x.gguf", llama3, 2, "llama-3"},
        {"Meta-Llama-3-8B", "x.gguf", llama3, 2, NULL},
        {"gemma-3-270m", "x.gguf", gemma, 2, NULL},
        {"gemma-2b-it", "x.gguf", gemma, 2, "gemma"},
        {"openchat_3.5", "x.gguf", end, 1, "openchat"},
        {"openchat_3.5", "x.gguf", NULL, 0, NULL},
        {"zephyr-7b-beta", "x.gguf", NULL, 0, "zephyr"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        puna_error err = {0};
        puna_chat *chat = NULL;
        begin_file(rows[i].name, rows[i].special, rows[i].n_special);
        puna_model *model = end_file(rows[i].file);
        const puna_status status = puna_chat_open(model, NULL, &chat, &err);
        const char *source = status ? "none" : puna_chat_source(chat);
        if (strcmp(source, rows[i].format ? rows[i].format : "none") != 0)
            fail_msg("%s, %s: %s", rows[i].name, rows[i].file, source);
        if (status) {
            assert_int_equal(status, PUNA_E_UNSUPPORTED);
            assert_non_null(strstr(err.msg, "chatml"));
        }
        puna_chat_free(chat);
        puna_model_free(model);
    }
}

static void test_stops(void **state) {
    (void)state;
    static const char *const marks[] = {"<|im_end|>"};
    begin_file(NULL, marks, 1);
    puna_model *model = end_file("m.gguf");
    puna_chat *with = open_chat(model, NULL, "chatml"), *without = open_chat(NULL, NULL, "chatml"),
              *own = open_chat(model, "<|im_end|><|eot_id|>", NULL);
    puna_prompt *a = render(with, HELLO), *c = render(without, HELLO), *d = render(own, HELLO);
    assert_null(puna_prompt_stop(a, 0)); /* the token ends the answer */
    assert_string_equal(puna_prompt_stop(c, 0), "<|im_end|>");
    assert_null(puna_prompt_stop(c, 1));
    assert_string_equal(puna_prompt_stop(d, 0), "<|eot_id|>"); /* spelled as text */
    assert_null(puna_prompt_stop(d, 1));
    assert_null(puna_prompt_stop(d, -1));
    puna_prompt_free(a);
    puna_prompt_free(c);
    puna_prompt_free(d);
    puna_chat_free(with);
    puna_chat_free(without);
    puna_chat_free(own);
    puna_model_free(model);
}

/* ---- tokens ---- */

static void check_tokens(puna_model *model, const char *template, const char *messages,
                         const int32_t *ids, const int32_t *spans, int32_t n) {
    puna_chat *chat = open_chat(model, template, NULL);
    puna_prompt *prompt = render(chat, messages);
    int32_t n_tokens;
    const int32_t *tokens = puna_prompt_tokens(prompt, &n_tokens);
    const int32_t *of = puna_prompt_token_spans(prompt);
    assert_int_equal(n_tokens, n);
    for (int32_t i = 0; i < n; i++) {
        if (tokens[i] != ids[i] || of[i] != spans[i])
            fail_msg("%s: token %d is %d of span %d", template, i, tokens[i], of[i]);
    }
    puna_prompt_free(prompt);
    puna_chat_free(chat);
}

enum { BYTE = 3 };

static void test_one_bos(void **state) {
    (void)state;
    begin_file(NULL, NULL, 0);
    build_key(&b, "tokenizer.ggml.add_space_prefix", 7);
    build_raw(&b, "", 1);
    puna_model *model = end_file("m.gguf");
    check_tokens(model, "{{ bos_token }}a", "[]", (int32_t[]){1, BYTE + 'a'}, (int32_t[]){0, 0}, 2);
    check_tokens(model, "a", "[]", (int32_t[]){1, BYTE + 'a'}, (int32_t[]){-1, 0}, 2);
    check_tokens(model, "{{ bos_token }}<s>{{ bos_token }}a", "[]", (int32_t[]){1, BYTE + 'a'},
                 (int32_t[]){0, 0}, 2);
    check_tokens(model, "<s>a</s><s>b", "[]", (int32_t[]){1, BYTE + 'a', 2, 1, BYTE + 'b'},
                 (int32_t[]){0, 0, 0, 0, 0}, 5);
    check_tokens(model, "", "[]", (int32_t[]){1}, (int32_t[]){-1}, 1);
    /* a message that says it is not one */
    check_tokens(model, "{{ messages[0].content }}b",
                 "[{\"role\": \"user\", \"content\": \"<s>\"}]",
                 (int32_t[]){1, BYTE + '<', BYTE + 's', BYTE + '>', BYTE + 'b'},
                 (int32_t[]){-1, 0, 0, 0, 1}, 5);
    puna_model_free(model);
    begin_file(NULL, NULL, 0);
    build_key(&b, "tokenizer.ggml.add_bos_token", 7);
    build_raw(&b, "", 1);
    build_key(&b, "tokenizer.ggml.add_space_prefix", 7);
    build_raw(&b, "", 1);
    model = end_file("m.gguf");
    check_tokens(model, "a", "[]", (int32_t[]){BYTE + 'a'}, (int32_t[]){0}, 1);
    check_tokens(model, "<s>a", "[]", (int32_t[]){1, BYTE + 'a'}, (int32_t[]){0, 0}, 2);
    puna_model_free(model);
}

static void test_spans(void **state) {
    (void)state;
    puna_chat *chat =
        open_chat(NULL, "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}.", NULL);
    puna_prompt *prompt = render(chat, "[{\"role\": \"user\", \"content\": \"ab\"},"
                                       " {\"role\": \"odd\", \"content\": \"\"},"
                                       " {\"role\": \"assistant\", \"content\": \"c\"}]");
    static const struct {
        size_t begin, end;
        bool from_template;
        int32_t message;
    } rows[] = {{0, 6, true, -1},   {6, 8, false, 0},   {8, 9, true, -1},  {9, 12, false, 1},
                {12, 24, true, -1}, {24, 25, false, 2}, {25, 26, true, -1}};
    int32_t n;
    const puna_prompt_span *spans = puna_prompt_spans(prompt, &n);
    expect_text(prompt, "[user]ab[odd][assistant]c.");
    assert_int_equal(n, 7);
    for (int32_t i = 0; i < n; i++) {
        assert_int_equal(spans[i].begin, rows[i].begin);
        assert_int_equal(spans[i].end, rows[i].end);
        assert_int_equal(spans[i].from_template, rows[i].from_template);
        assert_int_equal(spans[i].message, rows[i].message);
    }
    puna_prompt_free(prompt);
    puna_chat_free(chat);
}

/* ---- arguments ---- */

static void test_arguments(void **state) {
    (void)state;
    puna_chat *chat = open_chat(NULL, "x", NULL);
    puna_chat_input input;
    puna_prompt *prompt = NULL;
    puna_error err = {0};
    puna_chat_input_init(&input);
    assert_int_equal(puna_chat_render(chat, &input, &prompt, &err), PUNA_E_ARG);
    assert_string_equal(err.msg, "messages: none were given");
    input.messages = "[]";
    input.messages_bytes = 2;
    input.tools = "";
    assert_int_equal(puna_chat_render(chat, &input, &prompt, &err), PUNA_E_ARG);
    input.tools = "null";
    input.tools_bytes = 4;
    input.vars = "null";
    input.vars_bytes = 4;
    assert_int_equal(puna_chat_render(chat, &input, &prompt, &err), PUNA_OK);
    puna_prompt_free(prompt);
    input.now = INT64_MAX;
    prompt = NULL;
    assert_int_equal(puna_chat_render(chat, &input, &prompt, &err), PUNA_E_ARG);
    assert_null(prompt);
    /* an older and shorter struct */
    struct {
        size_t size;
        const char *messages;
        size_t messages_bytes;
    } old = {sizeof old, "[]", 2};
    assert_int_equal(
        puna_chat_render(chat, (const puna_chat_input *)(const void *)&old, &prompt, &err),
        PUNA_OK);
    puna_prompt_free(prompt);
    char *json = NULL;
    assert_int_equal(puna_chat_parse(chat, NULL, NULL, 1, false, &json, &err), PUNA_E_ARG);
    assert_int_equal(puna_chat_parse(chat, NULL, "\"\xff", 2, false, &json, &err), PUNA_OK);
    assert_string_equal(json, "{\"role\": \"assistant\", \"content\": \"\\\"\xef\xbf\xbd\"}");
    puna_free(json);
    puna_chat_free(chat);
}

/* The text of a token that ends an answer is no part of it. */
static void test_answers_end(void **state) {
    (void)state;
    begin_file(NULL, NULL, 0);
    puna_model *model = end_file("m.gguf");
    puna_chat *chat = open_chat(model, "x", NULL);
    char *json = NULL;
    assert_int_equal(puna_chat_parse(chat, NULL, "a</s>", 5, false, &json, NULL), PUNA_OK);
    assert_string_equal(json, "{\"role\": \"assistant\", \"content\": \"a\"}");
    puna_free(json);
    puna_chat_free(chat);
    puna_model_free(model);
}

static void expect_apart(const puna_chat *chat, const puna_prompt *prompt, const char *text,
                         bool with_end, bool partial, const char *content) {
    int32_t tokens[64], n = 0;
    char wanted[128], *json = NULL;
    for (; *text; text++) tokens[n++] = BYTE + (unsigned char)*text;
    if (with_end) tokens[n++] = 2;
    if (with_end) tokens[n++] = 2;
    (void)snprintf(wanted, sizeof wanted, "{\"role\": \"assistant\", \"content\": \"%s\"}",
                   content);
    assert_int_equal(puna_chat_parse_tokens(chat, prompt, tokens, n, partial, &json, NULL),
                     PUNA_OK);
    assert_string_equal(json, wanted);
    puna_free(json);
}

static void test_answers_from_tokens(void **state) {
    (void)state;
    begin_file(NULL, NULL, 0);
    puna_model *model = end_file("m.gguf");
    puna_chat *chat = open_chat(model, NULL, "chatml"), *other = open_chat(NULL, NULL, "chatml");
    puna_prompt *prompt = render(chat, HELLO);
    expect_apart(chat, prompt, "hi", true, false, "hi");
    expect_apart(chat, prompt, "hi<|im_end|>\nx", false, false, "hi");
    expect_apart(chat, NULL, "hi<|im_end|>", false, false, "hi<|im_end|>");
    expect_apart(chat, prompt, "hi<|im_", false, false, "hi<|im_");
    expect_apart(chat, prompt, "hi<|im_", false, true, "hi"); /* may become a stop text */
    expect_apart(chat, prompt, "h\xc3\xa9\xf0\x9f\x98", false, true, "h\xc3\xa9");
    expect_apart(chat, prompt, "h\xf0\x9f", false, false, "h\xef\xbf\xbd\xef\xbf\xbd");
    expect_apart(chat, prompt, "", false, false, "");
    char *json = NULL;
    puna_error err = {0};
    assert_int_equal(puna_chat_parse_tokens(other, NULL, NULL, 0, false, &json, &err),
                     PUNA_E_STATE);
    assert_int_equal(puna_chat_parse_tokens(chat, NULL, (int32_t[]){9999}, 1, false, &json, &err),
                     PUNA_E_ARG);
    puna_prompt_free(prompt);
    puna_chat_free(chat);
    puna_chat_free(other);
    puna_model_free(model);
}

/* ---- memory ---- */

#define TALK                                                                                       \
    "[{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": [{\"type\": "  \
    "\"text\", \"text\": \"a\"}]}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": "  \
    "[{\"function\": {\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}}]}]"
#define ANSWER                                                                                     \
    "<think>t</think>c<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>"         \
    "<tool_call>g<arg_key>k</arg_key><arg_value>[1, 'x']</arg_value></tool_call>"

static puna_status whole_chat(puna_model *model, char **json, puna_error *err) {
    static const char template[] =
        "{# <tool_call> #}{% for m in messages %}{% if m.role == 'system' %}"
        "{{ raise_exception('no system') }}{% endif %}{{ '<s>' + m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %}{% endfor "
        "%}";
    puna_chat *chat = NULL;
    puna_prompt *prompt = NULL;
    puna_chat_options options;
    puna_chat_input input;
    puna_chat_options_init(&options);
    options.template_text = template;
    options.template_bytes = sizeof template - 1;
    puna_chat_input_init(&input);
    input.messages = TALK;
    input.messages_bytes = sizeof TALK - 1;
    input.tools = "[{\"function\": {\"name\": \"g\", \"parameters\": {}}}]";
    input.tools_bytes = strlen(input.tools);
    input.vars = "{\"x\": 1}";
    input.vars_bytes = 8;
    puna_status status = puna_chat_open(model, &options, &chat, err);
    if (!status) status = puna_chat_render(chat, &input, &prompt, err);
    if (!status) {
        expect_text(prompt, "<s>s\n\na<s>{\"a\": 1}");
        status = puna_chat_parse(chat, prompt, ANSWER, sizeof ANSWER - 1, false, json, err);
    }
    puna_prompt_free(prompt);
    puna_chat_free(chat);
    return status;
}

static void test_memory_runs_out(void **state) {
    (void)state;
    begin_file(NULL, NULL, 0);
    puna_model *model = end_file("m.gguf");
    puna_status status = PUNA_E_NOMEM;
    long n = 0;
    puna_set_allocator(&failing_allocator);
    for (; n < 5000 && status == PUNA_E_NOMEM; n++) {
        char *json = NULL;
        puna_error err = {0};
        allocations_left = n;
        status = whole_chat(model, &json, &err);
        if (status && status != PUNA_E_NOMEM) fail_msg("%s", err.msg);
        if (!status)
            assert_string_equal(
                json,
                "{\"role\": \"assistant\", \"content\": \"c\", \"reasoning_content\": \"t\", "
                "\"tool_calls\": "
                "[{\"id\": \"call_0\", \"type\": \"function\", \"function\": {\"name\": \"f\", "
                "\"arguments\": \"{\\\"a\\\": 1}\"}}, {\"id\": \"call_1\", \"type\": \"function\", "
                "\"function\": {\"name\": \"g\", \"arguments\": \"{\\\"k\\\": [1, "
                "\\\"x\\\"]}\"}}]}");
        puna_free(json);
    }
    puna_set_allocator(NULL);
    assert_int_equal(status, PUNA_OK);
    assert_true(n > 20);
    puna_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),         cmocka_unit_test(test_bad_templates),
        cmocka_unit_test(test_formats),         cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_stops),           cmocka_unit_test(test_one_bos),
        cmocka_unit_test(test_spans),           cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_answers_end),     cmocka_unit_test(test_answers_from_tokens),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
