/* test_message_input.c: how lines become messages; the history file; files that are replaced; text
 * made safe for a terminal. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp, symlink */
#include "message_input.h"

#include "atomic_file.h"
#include "cli_print.h"
#include "input_history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- messages -------------------------------------------------------------------------------- */

/* Feeds the lines; all but the last must leave the message open. */
static void expect(const char *const *lines, const char *message, bool is_command) {
    message_input m = {0};
    for (; *lines; lines++)
        assert_int_equal(message_input_add(&m, *lines, strlen(*lines)), lines[1] == NULL);
    assert_string_equal(m.message.bytes, message);
    assert_int_equal(m.message.n_bytes, strlen(message));
    assert_int_equal(m.is_command, is_command);
    message_input_free(&m);
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_messages(void **state) {
    (void)state;
    expect(LINES(""), "", false);
    expect(LINES("hello"), "hello", false);
    expect(LINES("  indented"), "  indented", false);
    expect(LINES("one\\", "two\\", "three"), "one\ntwo\nthree", false);
    expect(LINES("C:\\dir\\\\"), "C:\\dir\\\\", false);
    expect(LINES("\\", ""), "\n", false);
    expect(LINES("\"\"\"one line\"\"\""), "one line", false);
    expect(LINES("\"\"\"", "one", "", "two", "\"\"\""), "one\n\ntwo", false);
    expect(LINES("\"\"\"one", "two\"\"\"  "), "one\ntwo", false);
    expect(LINES("\"\"\"one", "two", "\"\"\""), "one\ntwo", false);
    expect(LINES("\"\"\"", "a\\", "b\"\"\""), "a\\\nb", false);
    expect(LINES("\"\"\"\"\"\""), "", false);
    expect(LINES("say \"\"\"loudly\"\"\""), "say \"\"\"loudly\"\"\"", false);
    expect(LINES("pasted\nlines\\"), "pasted\nlines\\", false);
    expect(LINES("\"\"\"pasted\nlines\"\"\""), "pasted\nlines", false);
    expect(LINES("\"\"\"A docstring.\"\"\"\nx = 1"), "\"\"\"A docstring.\"\"\"\nx = 1", false);
    expect(LINES("\"\"\"", "pasted\nlines", "\"\"\""), "pasted\nlines", false);
}

static void test_commands(void **state) {
    (void)state;
    expect(LINES("/help"), "/help", true);
    expect(LINES("/?"), "/?", true);
    expect(LINES("/set top_p 0.5"), "/set top_p 0.5", true);
    expect(LINES("/save C:\\"), "/save C:\\", true);
    expect(LINES("/system \"\"\"", "Be brief.", "Be kind.\"\"\""), "/system Be brief.\nBe kind.",
           true);
    expect(LINES("/system \"\"\"Be brief.\"\"\""), "/system Be brief.", true);
    expect(LINES("/system \"\"\"Be brief.\nBe kind.\"\"\""), "/system Be brief.\nBe kind.", true);
    expect(LINES("/usr/bin is a folder"), "/usr/bin is a folder", false);
    expect(LINES("/ what"), "/ what", false);
    expect(LINES("/"), "/", false);
    expect(LINES(" /help"), " /help", false);
    expect(LINES("\"\"\"/help\"\"\""), "/help", false);
    expect(LINES("/* a\n comment */"), "/* a\n comment */", false);
    expect(LINES("/help\npasted"), "/help\npasted", false);
    expect(LINES("one\\", "/help"), "one\n/help", false);
}

static void test_used_again(void **state) {
    message_input m = {0};
    (void)state;
    assert_false(message_input_add(&m, "\"\"\"", 3));
    assert_false(message_input_add(&m, "dropped", 7));
    message_input_clear(&m);
    assert_true(message_input_add(&m, "/bye", 4));
    assert_true(m.is_command);
    message_input_clear(&m);
    assert_true(message_input_add(&m, "kept", 4));
    assert_false(m.is_command);
    assert_string_equal(m.message.bytes, "kept");
    message_input_free(&m);
}

/* Whatever comes, a message has no more bytes than its lines and a newline for each. */
static void test_any_lines(void **state) {
    static const char bytes[] = "\"\"\"\"/\\ \nax?";
    message_input m = {0};
    size_t n_given = 0;
    unsigned seed = 1;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        char line[8];
        size_t n = (seed >> 8) % sizeof line;
        for (size_t k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            line[k] = bytes[(seed >> 16) % (sizeof bytes - 1)];
        }
        seed = seed * 1664525u + 1013904223u;
        n_given += n + 1;
        bool complete = message_input_add(&m, line, n);
        assert_true(m.message.n_bytes <= n_given);
        if (!complete) continue;
        assert_int_equal(m.message.bytes[m.message.n_bytes], 0);
        assert_true(!m.is_command || m.message.bytes[0] == '/');
        message_input_clear(&m);
        n_given = 0;
    }
    message_input_free(&m);
}

/* ---- history --------------------------------------------------------------------------------- */

static char folder[] = "/tmp/puna-history-XXXXXX";
static char path[64];

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/new/puna/history", folder);
    print_setup(true, false);
    return 0;
}

static int remove_folder(void **state) {
    char line[96];
    (void)state;
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line);
}

static void add(input_history *h, const char *entry) {
    input_history_add(h, entry, strlen(entry));
}

static void test_history_is_kept(void **state) {
    input_history h;
    struct stat st;
    (void)state;
    input_history_open(&h, path);
    assert_int_equal(h.n_entries, 0);
    add(&h, "one");
    add(&h, "one");
    add(&h, "");
    add(&h, "two\nlines with \\ and \\n and \xe2\x82\xac");
    input_history other; /* a session beside this one */
    input_history_open(&other, path);
    assert_int_equal(other.n_entries, 2);
    add(&other, "three");
    add(&h, "four");
    input_history_close(&other);
    input_history_close(&h);
    input_history_open(&h, path);
    assert_int_equal(h.n_entries, 4);
    assert_string_equal(h.entries[0], "one");
    assert_string_equal(h.entries[1], "two\nlines with \\ and \\n and \xe2\x82\xac");
    assert_string_equal(h.entries[2], "three");
    assert_string_equal(h.entries[3], "four");
    input_history_close(&h);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_history_is_bounded(void **state) {
    input_history h;
    struct stat st;
    char *large = need_memory(NULL, HISTORY_MAX_ENTRY_BYTES + 2, 1);
    (void)state;
    memset(large, 'x', HISTORY_MAX_ENTRY_BYTES + 1);
    large[HISTORY_MAX_ENTRY_BYTES + 1] = 0;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < 200000; i++) fprintf(file, "entry number %d\n", i);
    fprintf(file, "%s%s\n", large, large);
    fputs("\n\nthe last, without its newline\\", file);
    fclose(file);
    input_history_open(&h, path);
    assert_int_equal(h.n_entries, HISTORY_MAX_ENTRIES);
    assert_string_equal(h.entries[0], "entry number 199001");
    assert_string_equal(h.entries[HISTORY_MAX_ENTRIES - 1], "the last, without its newline\\");
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size < 30000); /* cut when it was opened */
    add(&h, large);
    assert_string_equal(h.entries[HISTORY_MAX_ENTRIES - 1], "the last, without its newline\\");
    add(&h, "new");
    assert_int_equal(h.n_entries, HISTORY_MAX_ENTRIES);
    assert_string_equal(h.entries[0], "entry number 199002");
    input_history_close(&h);
    free(large);
}

/* A link is not followed; a folder that cannot be made is no error. */
static void test_history_elsewhere(void **state) {
    char target[96];
    input_history h;
    (void)state;
    snprintf(target, sizeof target, "%s/target", folder);
    unlink(path);
    assert_int_equal(symlink(target, path), 0);
    input_history_open(&h, path);
    add(&h, "secret");
    assert_null(h.path);
    assert_int_equal(access(target, F_OK), -1);
    input_history_close(&h);
    unlink(path);
    input_history_open(&h, "/dev/null/puna/history");
    add(&h, "kept in memory");
    assert_int_equal(h.n_entries, 1);
    input_history_close(&h);
}

/* ---- files and terminals --------------------------------------------------------------------- */

static void test_atomic_files(void **state) {
    char file[96];
    char line[160];
    struct stat st;
    (void)state;
    snprintf(file, sizeof file, "%s/file", folder);
    assert_true(atomic_file_write(file, "old", 3));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(atomic_file_write(file, "newer", 5));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 5);
    assert_false(atomic_file_write(folder, "x", 1));
    assert_false(atomic_file_write("/dev/null", "x", 1));
    assert_false(atomic_file_write("/nowhere/at/all", "x", 1));
    snprintf(line, sizeof line, "rm -rf %s/new; test \"$(ls -A %s)\" = file", folder, folder);
    assert_int_equal(system(line), 0); /* no temporary file is left */
}

static void test_clean_text(void **state) {
    char buf[16];
    (void)state;
    assert_string_equal(format_clean(buf, sizeof buf, "plain \xc3\xa9"), "plain \xc3\xa9");
    assert_string_equal(format_clean(buf, sizeof buf, "\033[2J\n\x7f\xc2\x9b"), "?[2J???");
    assert_string_equal(format_clean(buf, sizeof buf,
                                     "a\xe2\x80\xae"
                                     "b\xff"),
                        "a?b?");
    assert_string_equal(format_clean(buf, sizeof buf, "aaaaaaaaaaaaa\xe2\x82\xac"),
                        "aaaaaaaaaaaaa");
    for (uint32_t c = 1; c <= 0x10FFFF; c++) { /* there and back */
        char bytes[4];
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        size_t n = utf8_write(bytes, c);
        assert_int_equal(utf8_bytes((unsigned char *)bytes, n), n);
        assert_int_equal(utf8_code_point((unsigned char *)bytes, n), c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),          cmocka_unit_test(test_commands),
        cmocka_unit_test(test_used_again),        cmocka_unit_test(test_any_lines),
        cmocka_unit_test(test_history_is_kept),   cmocka_unit_test(test_history_is_bounded),
        cmocka_unit_test(test_history_elsewhere), cmocka_unit_test(test_atomic_files),
        cmocka_unit_test(test_clean_text),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
