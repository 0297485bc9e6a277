/* Tests of the grammars that hold a model to calls of tools: the words around a call are found in the template, marks
 * that are control tokens are tokens in the grammar, and reasoning may come first. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "../gguf/gguf_build.h"

#include "call_form.h"
#include "chat_turn.h"
#include "params.h"
#include "puna.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <unistd.h>

static const char *const marks[] = {"<think>", "</think>", "<tool_call>", "</tool_call>"};
enum { THINK = 259, END_THINK, CALL, END_CALL };

/* A vocabulary of bytes, with or without marks as control tokens. */
static puna_model *open_model(uint64_t n_marks) {
    static const char *const common[] = {"<unk>", "<s>", "</s>"};
    char folder[] = "/tmp/test_call_form_XXXXXX", path[128], byte[8];
    gguf_build b = {0};
    puna_model *model = NULL;
    puna_model_options options;
    puna_error err = {0};
    assert_non_null(mkdtemp(folder));
    build_begin(&b, 3);
    build_string(&b, "general.architecture", "llama");
    build_string(&b, "tokenizer.ggml.model", "llama");
    build_array(&b, "tokenizer.ggml.tokens", 8, 259 + n_marks);
    for (int i = 0; i < 3; i++) build_text(&b, common[i], strlen(common[i]));
    for (unsigned i = 0; i < 256; i++) {
        (void)snprintf(byte, sizeof byte, "<0x%02X>", i);
        build_text(&b, byte, 6);
    }
    for (uint64_t i = 0; i < n_marks; i++) build_text(&b, marks[i], strlen(marks[i]));
    build_array(&b, "tokenizer.ggml.token_type", 5, 259 + n_marks);
    for (uint64_t i = 0; i < 259 + n_marks; i++)
        build_u32(&b, i == 0 ? 2 : i < 3 || i >= 259 ? 3 : 6);
    build_key_u32(&b, "tokenizer.ggml.bos_token_id", 1);
    build_key_u32(&b, "tokenizer.ggml.eos_token_id", 2);
    (void)snprintf(path, sizeof path, "%s/m.gguf", folder);
    build_write(&b, path);
    puna_model_options_init(&options);
    options.level = PUNA_OPEN_VOCAB;
    if (puna_model_open(path, &options, &model, &err)) fail_msg("%s", err.msg);
    (void)unlink(path);
    (void)rmdir(folder);
    free(b.data);
    return model;
}

#define HERMES                                                                                     \
    "{% for m in messages %}<s>{{ m.role }}:{{ m.content or '' }}{% for c in m.tool_calls or [] "  \
    "%}{{ '\\n' }}<tool_call>{{ '\\n' }}{\"name\": \"{{ c.function.name }}\", \"arguments\": "     \
    "{{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}</s>{% endfor %}"
#define SCHEMA                                                                                     \
    "{\"type\": \"object\", \"properties\": {\"n\": {\"enum\": [1, 2]}}, \"required\": [\"n\"], "  \
    "\"additionalProperties\": false}"
#define TOOLS                                                                                      \
    "[{\"type\": \"function\", \"function\": {\"name\": \"one\", \"parameters\": " SCHEMA "}}, "   \
    "{\"type\": \"function\", \"function\": {\"name\": \"two\"}}]"

static puna_chat *open_chat(puna_model *model, const char *text) {
    puna_chat *chat = NULL;
    puna_chat_options options;
    puna_error err = {0};
    puna_chat_options_init(&options);
    options.template_text = text;
    options.template_bytes = strlen(text);
    if (puna_chat_open(model, &options, &chat, &err)) fail_msg("%s", err.msg);
    return chat;
}

static puna_grammar *open_grammar(const pn_call_rules *rules, const puna_model *model) {
    puna_grammar *grammar = NULL;
    pn_api_error e = {0};
    if (!pn_call_rules_grammar(rules, model, &grammar, &e)) fail_msg("%s", e.message);
    return grammar;
}

static bool accepts(const puna_grammar *grammar, const char *text) {
    bool yes = false;
    assert_int_equal(puna_grammar_accepts(grammar, text, strlen(text), &yes, NULL), PUNA_OK);
    return yes;
}

static void test_forms(void **state) {
    (void)state;
    puna_model *model = open_model(0);
    json_t *tools = json_loads(TOOLS, 0, NULL);
    puna_chat *chat = open_chat(model, HERMES);
    pn_call_form form;
    assert_true(pn_call_form_find(chat, model, tools, &form));
    assert_false(form.is_own);
    assert_string_equal(pn_text_get(&form.before), "<tool_call>\n{\"name\": \"");
    assert_string_equal(pn_text_get(&form.between), "\", \"arguments\": ");
    assert_string_equal(pn_text_get(&form.after), "}\n</tool_call>");
    assert_string_equal(pn_text_get(&form.join), "}\n</tool_call>\n<tool_call>\n{\"name\": \"");
    pn_call_form_free(&form);
    puna_chat_free(chat);
    chat = open_chat(model, "{% for m in messages %}{{ m.content }}{% endfor %}");
    assert_true(pn_call_form_find(chat, model, tools, &form));
    assert_true(form.is_own);
    pn_call_form_free(&form);
    puna_chat_free(chat);
    puna_model_free(model);
    json_decref(tools);
}

#define ONE(n) "<tool_call>\n{\"name\": \"one\", \"arguments\": {\"n\": " n "}}\n</tool_call>"
#define TWO    "<tool_call>\n{\"name\": \"two\", \"arguments\": {}}\n</tool_call>"

static void test_grammar(void **state) {
    (void)state;
    puna_model *model = open_model(0);
    json_t *tools = json_loads(TOOLS, 0, NULL);
    puna_chat *chat = open_chat(model, HERMES);
    pn_call_form form;
    assert_true(pn_call_form_find(chat, model, tools, &form));
    pn_call_rules rules = {.form = &form, .tools = tools};
    puna_grammar *grammar = open_grammar(&rules, model);
    assert_true(accepts(grammar, ONE("1")));
    assert_true(accepts(grammar, TWO));
    assert_false(accepts(grammar, ONE("3")));
    assert_false(accepts(grammar, ONE("1") "\n" TWO));
    assert_false(accepts(grammar, "x" TWO));
    puna_grammar_free(grammar);

    rules.many = true;
    grammar = open_grammar(&rules, model);
    assert_true(accepts(grammar, ONE("1") "\n" TWO "\n" ONE("2")));
    puna_grammar_free(grammar);

    /* reasoning first: everything up to its end, which may begin anew at any place */
    rules.many = false;
    rules.reasoning_close = "</think>";
    grammar = open_grammar(&rules, model);
    static const char *const thoughts[] = {"",   "a\nb", "<", "</", "</thi", "<</<//</think</thin",
                                           "ü</"};
    for (size_t i = 0; i < sizeof thoughts / sizeof *thoughts; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "%s</think>\n\n%s", thoughts[i], TWO);
        assert_true(accepts(grammar, text));
        (void)snprintf(text, sizeof text, "%s</think>x%s", thoughts[i], TWO);
        assert_false(accepts(grammar, text));
    }
    assert_false(accepts(grammar, TWO));
    puna_grammar_free(grammar);

    /* or something else in place of a call */
    puna_grammar *json = NULL;
    assert_int_equal(puna_grammar_open_schema(SCHEMA, strlen(SCHEMA), &json, NULL), PUNA_OK);
    rules.content = json;
    grammar = open_grammar(&rules, model);
    assert_true(accepts(grammar, "x</think>{\"n\": 2}"));
    assert_true(accepts(grammar, "x</think>" TWO));
    assert_false(accepts(grammar, "x</think>{\"n\": 3}"));
    puna_grammar_free(grammar);
    puna_grammar_free(json);
    pn_call_form_free(&form);
    puna_chat_free(chat);
    puna_model_free(model);
    json_decref(tools);
}

/* Marks that are control tokens have no text: in the grammar they are these tokens. */
static void test_control_tokens(void **state) {
    (void)state;
    puna_model *model = open_model(4);
    json_t *tools = json_loads(TOOLS, 0, NULL);
    puna_chat *chat = open_chat(model, HERMES);
    pn_call_form form;
    assert_true(pn_call_form_find(chat, model, tools, &form));
    const pn_call_rules rules = {.form = &form, .tools = tools, .reasoning_close = "</think>"};
    puna_grammar *grammar = open_grammar(&rules, model);
    static const char call[] = "\n{\"name\": \"two\", \"arguments\": {}}\n";
    const puna_grammar_part parts[] = {{.text = "hm </thi", .text_bytes = 8, .token = -1},
                                       {.token = END_THINK},
                                       {.text = "\n", .text_bytes = 1, .token = -1},
                                       {.token = CALL},
                                       {.text = call, .text_bytes = sizeof call - 1, .token = -1},
                                       {.token = END_CALL}};
    puna_grammar_match match = {.size = sizeof match};
    assert_int_equal(puna_grammar_match_parts(grammar, parts, 6, &match, NULL), PUNA_OK);
    assert_true(match.accepted);
    assert_int_equal(puna_grammar_match_parts(grammar, parts + 3, 3, &match, NULL), PUNA_OK);
    assert_false(match.accepted);
    puna_grammar_free(grammar);
    pn_call_form_free(&form);
    puna_chat_free(chat);
    puna_model_free(model);
    json_decref(tools);
}

/* The arguments are read while they are still being written; all that is read stays. */
static void test_scan(void **state) {
    (void)state;
    puna_model *model = open_model(0);
    json_t *tools = json_loads(TOOLS, 0, NULL);
    puna_chat *chat = open_chat(model, HERMES);
    pn_call_form form;
    assert_true(pn_call_form_find(chat, model, tools, &form));
    static const char text[] = ONE("1") "\n" TWO;
    size_t n_before = 0;
    for (size_t n = 0; n < sizeof text; n++) {
        pn_message m = {0};
        assert_true(pn_call_scan(&form, tools, text, n, &m));
        size_t n_now = 0;
        for (int32_t i = 0; i < m.n_calls; i++) {
            const char *whole = i == 0 ? "{\"n\": 1}" : "{}";
            assert_string_equal(pn_text_get(&m.calls[i].name), i == 0 ? "one" : "two");
            assert_memory_equal(pn_text_get(&m.calls[i].arguments), whole, m.calls[i].arguments.n);
            assert_int_equal(m.calls[i].is_complete, m.calls[i].arguments.n == strlen(whole));
            n_now += m.calls[i].arguments.n;
        }
        assert_true(n_now >= n_before);
        n_before = n_now;
        if (n + 1 == sizeof text) assert_int_equal(m.n_calls, 2);
        pn_message_free(&m);
    }
    pn_call_form_free(&form);
    puna_chat_free(chat);
    puna_model_free(model);
    json_decref(tools);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_control_tokens),
        cmocka_unit_test(test_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
