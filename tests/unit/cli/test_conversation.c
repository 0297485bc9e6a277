/* test_conversation.c: messages in memory; files that were saved, and files that nobody saved. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "conversation.h"

#include "cli_print.h"
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/puna-conversation-XXXXXX";
static char path[64];

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/talk.json", folder);
    return 0;
}

static int remove_folder(void **state) {
    char line[96];
    (void)state;
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line);
}

static void add(conversation *c, const char *role, const char *content) {
    conversation_add(c, role, content, strlen(content));
}

/* system, two turns, and a question without an answer */
static void open_example(conversation *c) {
    conversation_open(c);
    add(c, "user", "u1");
    add(c, "assistant", "a1");
    add(c, "user", "u2");
    add(c, "assistant", "a2");
    conversation_set_system(c, "be kind", 7);
    add(c, "user", "u3");
}

/* The contents of the messages that are sent, with spaces between. */
static void expect_sent(const conversation *c, const char *contents) {
    char got[256] = "";
    json_t *sent = conversation_sent(c);
    size_t i;
    json_t *message;
    json_array_foreach(sent, i, message) {
        if (i) strcat(got, " ");
        strcat(got, json_string_value(json_object_get(message, "content")));
        assert_null(json_object_get(message, "finish"));
    }
    json_decref(sent);
    assert_string_equal(got, contents);
}

static void test_turns(void **state) {
    conversation c;
    (void)state;
    open_example(&c);
    assert_int_equal(conversation_n_turns(&c), 3);
    assert_string_equal(conversation_system(&c), "be kind");
    expect_sent(&c, "be kind u1 a1 u2 a2 u3");
    c.n_unsent = 1;
    expect_sent(&c, "be kind u2 a2 u3");
    c.n_unsent = 2;
    expect_sent(&c, "be kind u3");
    assert_int_equal(json_array_size(c.messages), 6); /* what is not sent is not lost */
    conversation_set_system(&c, "", 0);
    assert_null(conversation_system(&c));
    expect_sent(&c, "u3");
    assert_true(conversation_undo(&c));
    assert_int_equal(c.n_unsent, 2);
    assert_true(conversation_undo(&c));
    assert_int_equal(c.n_unsent, 1);
    expect_sent(&c, "");
    c.n_unsent = 0;
    expect_sent(&c, "u1 a1");
    assert_string_equal(conversation_last(&c, "assistant"), "a1");
    assert_true(conversation_undo_answer(&c));
    expect_sent(&c, "u1");
    assert_false(conversation_undo_answer(&c));
    assert_true(conversation_undo(&c));
    assert_false(conversation_undo(&c));
    assert_null(conversation_last(&c, "user"));
    conversation_close(&c);
}

static void test_clear_keeps_the_system(void **state) {
    conversation c;
    (void)state;
    open_example(&c);
    c.n_unsent = 1;
    conversation_clear(&c);
    expect_sent(&c, "be kind");
    conversation_close(&c);
    conversation_open(&c);
    add(&c, "user", "u");
    conversation_clear(&c);
    expect_sent(&c, "");
    conversation_close(&c);
}

static void test_there_and_back(void **state) {
    static const char text[] = "quotes \" \\ \033[31m \xe2\x82\xac\n\ttwo \xff lines";
    conversation c;
    conversation back;
    json_t *model = NULL;
    json_t *settings = json_pack("{s:f,s:i}", "temperature", 0.5, "top_k", 7);
    json_t *read = NULL;
    struct stat st;
    (void)state;
    open_example(&c);
    conversation_add_message(&c, json_pack("{s:s,s:s,s:s}", "role", "assistant", "content", "part",
                                           "finish", "interrupted"));
    conversation_add(&c, "user", text, sizeof text - 1);
    assert_int_equal(conversation_save(&c, path, "some/model.gguf", settings), STATUS_DONE);
    assert_int_equal(conversation_save(&c, path, "some/model.gguf", settings), STATUS_DONE);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(conversation_load(&back, path, &model, &read), STATUS_DONE);
    assert_true(json_equal(c.messages, back.messages));
    assert_true(json_equal(settings, read));
    assert_string_equal(json_string_value(model), "some/model.gguf");
    assert_string_equal(conversation_last(&back, "user"),
                        "quotes \" \\ \033[31m \xe2\x82\xac\n\ttwo \xef\xbf\xbd lines");
    json_decref(model);
    json_decref(settings);
    json_decref(read);
    conversation_close(&c);
    conversation_close(&back);
}

/* ---- files of others ------------------------------------------------------------------------- */

static void write_file(const char *bytes, size_t n_bytes) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    fclose(file);
}

static int load(const char *json) {
    conversation c;
    json_t *model = NULL;
    json_t *settings = NULL;
    write_file(json, strlen(json));
    int status = conversation_load(&c, path, &model, &settings);
    if (status == STATUS_DONE) conversation_close(&c);
    json_decref(model);
    json_decref(settings);
    return status;
}

static void test_files_of_others(void **state) {
    static const char *const good[] = {
        "[]",
        "{\"messages\": []}",
        "[{\"role\": \"user\", \"content\": \"hi\"}]",
        "{\"messages\": [{\"role\": \"developer\", \"content\": \"x\", \"more\": [1]}], \"x\": 1}",
        "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"hi\"}]}]",
        "[{\"role\": \"assistant\", \"content\": null, \"tool_calls\": []}]",
        "[{\"role\": \"user\", \"content\": \"nul \\u0000\"}]",
    };
    static const char *const bad[] = {
        "",
        "{",
        "7",
        "\"text\"",
        "{}",
        "{\"messages\": {}}",
        "{\"messages\": [1]}",
        "[[]]",
        "[{\"role\": \"user\"}]",
        "[{\"role\": \"root\", \"content\": \"x\"}]",
        "[{\"role\": 1, \"content\": \"x\"}]",
        "[{\"content\": \"x\"}]",
        "[{\"role\": \"user\", \"content\": {}}]",
        "[{\"role\": \"system\", \"content\": []}]",
        "[{\"role\": \"user\", \"content\": \"\xff\"}]",
        "[{\"role\": \"user\", \"role\": \"system\", \"content\": \"x\"}]",
        "{\"messages\": [], \"settings\": []}",
        "{\"messages\": [], \"model\": 5}",
        "[] []",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (load(good[i]) != STATUS_DONE) fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (load(bad[i]) != STATUS_FAILED) fail_msg("taken: %s", bad[i]);
    char *deep = need_memory(NULL, 1 << 20, 1);
    memset(deep, '[', (1 << 20) - 1);
    deep[(1 << 20) - 1] = 0;
    assert_int_equal(load(deep), STATUS_FAILED);
    free(deep);
}

/* Bytes of a saved file changed at random: refused, or taken and still a conversation. */
static void test_damaged_files(void **state) {
    static const char file[] =
        "{\"model\": \"m\", \"messages\": [{\"role\": \"system\", \"content\": \"x\"},\n"
        "{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"\\u00e9\"}]},"
        "{\"role\": \"assistant\", \"content\": null, \"finish\": \"length\"}], "
        "\"settings\": {\"top_k\": 40, \"top_p\": 0.5e0}}";
    static const char bytes[] = "{}[]\",:\\ue09-.ntx \n\x01\xff";
    unsigned seed = 3;
    int n_taken = 0;
    (void)state;
    int errors = dup(STDERR_FILENO); /* thousands of messages */
    assert_non_null(freopen("/dev/null", "w", stderr));
    for (int round = 0; round < 5000; round++) {
        char damaged[sizeof file];
        conversation c;
        json_t *model = NULL;
        json_t *settings = NULL;
        memcpy(damaged, file, sizeof file);
        for (int k = 0; k <= round % 3; k++) {
            seed = seed * 1664525u + 1013904223u;
            damaged[(seed >> 8) % (sizeof file - 1)] = bytes[(seed >> 20) % (sizeof bytes - 1)];
        }
        write_file(damaged, sizeof file - 1);
        if (conversation_load(&c, path, &model, &settings) != STATUS_DONE) continue;
        n_taken++;
        json_decref(conversation_sent(&c));
        conversation_set_system(&c, "new", 3);
        while (conversation_undo(&c)) {
        }
        conversation_close(&c);
        json_decref(model);
        json_decref(settings);
    }
    fflush(stderr);
    dup2(errors, STDERR_FILENO);
    close(errors);
    assert_in_range(n_taken, 50, 4500);
}

static void test_nothing_else_is_replaced(void **state) {
    conversation c;
    struct stat st;
    json_t *model;
    json_t *settings = json_object();
    (void)state;
    open_example(&c);
    write_file("dear diary", 10);
    assert_int_equal(conversation_save(&c, path, "m", settings), STATUS_FAILED);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 10);
    assert_int_equal(conversation_save(&c, folder, "m", settings), STATUS_FAILED);
    assert_int_equal(conversation_save(&c, "/dev/null", "m", settings), STATUS_FAILED);
    assert_int_equal(conversation_save(&c, "/nowhere/talk.json", "m", settings), STATUS_FAILED);
    json_decref(settings);
    conversation_close(&c);
    assert_int_equal(conversation_load(&c, folder, &model, &settings), STATUS_FAILED);
    assert_int_equal(conversation_load(&c, "/dev/zero", &model, &settings), STATUS_FAILED);
    assert_int_equal(conversation_load(&c, "/nowhere", &model, &settings), STATUS_FAILED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_clear_keeps_the_system),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_files_of_others),
        cmocka_unit_test(test_nothing_else_is_replaced),
        cmocka_unit_test(test_damaged_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
