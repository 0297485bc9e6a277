/* test_error.c: error messages are one printable line whatever bytes go in, cut at a character; the
 * log too. */
#include "base/error.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The message that text gives as a string of the caller. */
static const char *message_of(const char *text) {
    static puna_error err;
    assert_int_equal(pn_fail(&err, PUNA_E_FORMAT, "%s", text), PUNA_E_FORMAT);
    assert_int_equal(err.code, PUNA_E_FORMAT);
    return err.msg;
}

/* Bytes of a whole UTF-8 character at s, 0 if there is none. Plain table, not the code under test.
 */
static size_t character_bytes(const unsigned char *s) {
    const size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    for (size_t i = 1; i < n; i++)
        if (s[i] < 0x80 || s[i] > 0xbf) return 0;
    return n;
}

static void assert_printable(const char *line, size_t cap) {
    assert_non_null(memchr(line, 0, cap));
    for (const unsigned char *s = (const unsigned char *)line; *s;) {
        assert_true(*s >= 0x20 && *s != 0x7f);
        assert_false(s[0] == 0xc2 && s[1] < 0xa0);
        const size_t n = character_bytes(s);
        assert_true(n > 0);
        s += n;
    }
}

static void test_status_names(void **state) {
    (void)state;
    for (int a = PUNA_OK; a <= PUNA_E_NUMERIC; a++)
        for (int b = a + 1; b <= PUNA_E_NUMERIC; b++)
            assert_string_not_equal(puna_status_name((puna_status)a),
                                    puna_status_name((puna_status)b));
    assert_string_equal(puna_status_name(PUNA_E_NOMEM), "out of memory");
    assert_string_equal(puna_status_name((puna_status)1000), "unknown status");
}

static void test_fail(void **state) {
    (void)state;
    puna_error err = {0};
    assert_int_equal(pn_fail(&err, PUNA_E_IO, "%s: byte %d", "a.gguf", 7), PUNA_E_IO);
    assert_int_equal(err.code, PUNA_E_IO);
    assert_string_equal(err.msg, "a.gguf: byte 7");
    assert_int_equal(pn_fail(NULL, PUNA_E_ARG, "no one listens %d", 1), PUNA_E_ARG);
    assert_int_equal(pn_fail_nomem(&err, 123, "the vocabulary"), PUNA_E_NOMEM);
    assert_string_equal(err.msg, "out of memory: the vocabulary needs 123 bytes");
    /* a message may quote the one it replaces */
    pn_fail(&err, PUNA_E_IO, "%s, twice", err.msg);
    assert_string_equal(err.msg, "out of memory: the vocabulary needs 123 bytes, twice");
}

static void test_fail_in(void **state) {
    (void)state;
    puna_error err;
    pn_fail(&err, PUNA_E_FORMAT, "key \"%s\"", "\033[2J");
    assert_int_equal(pn_fail_in(&err, PUNA_E_FORMAT, "mo\ndel.gguf"), PUNA_E_FORMAT);
    assert_int_equal(err.code, PUNA_E_FORMAT);
    assert_string_equal(err.msg, "mo\\x0adel.gguf: key \"\\x1b[2J\""); /* escaped once */
    char longest[1000];
    memset(longest, 'p', sizeof longest);
    longest[sizeof longest - 1] = 0;
    pn_fail(&err, PUNA_E_FORMAT, "the reason");
    pn_fail_in(&err, PUNA_E_FORMAT, longest);
    assert_string_equal(err.msg + strlen(err.msg) - 15, "...: the reason");
    assert_int_equal(pn_fail_in(NULL, PUNA_E_FORMAT, "prefix"), PUNA_E_FORMAT);
}

static void test_escapes(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"a\xe2\x80\xae.", "a\\xe2\\x80\\xae."}, /* U+202E reverses what follows */
        {"plain text ~", "plain text ~"},
        {"a\nb\tc\rd", "a\\x0ab\\x09c\\x0dd"},
        {"\033[31m\a\x7f", "\\x1b[31m\\x07\\x7f"},
        {"caf\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80"},
        {"\xc2\x9b"
         "31m \xc2\xa0",
         "\\xc2\\x9b"
         "31m \xc2\xa0"}, /* C1 control sequence introducer */
        {"\x80 \xbf", "\\x80 \\xbf"},
        {"\xc0\x80 \xc1\xbf", "\\xc0\\x80 \\xc1\\xbf"},                /* overlong, 2 bytes */
        {"\xe0\x9f\xbf \xe0\xa0\x80", "\\xe0\\x9f\\xbf \xe0\xa0\x80"}, /* overlong, 3 bytes */
        {"\xed\xa0\x80 \xed\x9f\xbf", "\\xed\\xa0\\x80 \xed\x9f\xbf"}, /* surrogate */
        {"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"},                  /* overlong, 4 bytes */
        {"\xf4\x90\x80\x80 \xf4\x8f\xbf\xbf",
         "\\xf4\\x90\\x80\\x80 \xf4\x8f\xbf\xbf"}, /* > 10ffff */
        {"\xf5\x80\x80\x80 \xff", "\\xf5\\x80\\x80\\x80 \\xff"},
        {"x\xe4\xb8", "x\\xe4\\xb8"}, /* ends inside a character */
        {"\xc3(", "\\xc3("},
        {"%s%n%p", "%s%n%p"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(message_of(cases[i][0]), cases[i][1]);
        char out[PN_ESCAPED_BYTES];
        assert_ptr_equal(pn_escape(out, cases[i][0], strlen(cases[i][0])), out);
        assert_string_equal(out, cases[i][1]);
    }
    char out[PN_ESCAPED_BYTES];
    assert_string_equal(pn_escape(out, "a\0b", 3), "a\\x00b");
}

/* Every pair of bytes, and every byte at the end of the message. */
static void test_any_bytes(void **state) {
    (void)state;
    char text[300];
    for (int a = 1; a < 256; a++)
        for (int b = 1; b < 256; b++) {
            const char pair[] = {(char)a, (char)b, (char)0x80, 0};
            assert_printable(message_of(pair), PUNA_ERROR_BYTES);
        }
    for (int a = 1; a < 256; a++)
        for (size_t at = 240; at < 256; at++) {
            memset(text, 'x', sizeof text);
            text[at] = text[at + 1] = (char)a;
            text[at + 2] = 0;
            assert_printable(message_of(text), PUNA_ERROR_BYTES);
        }
}

/* Long text loses its end, never half a character, and says so. */
static void test_cuts(void **state) {
    (void)state;
    static const char *const characters[] = {"x", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80",
                                             "\n"};
    for (size_t c = 0; c < COUNT(characters); c++)
        for (size_t shift = 0; shift < 8; shift++) {
            char text[5000];
            memset(text, '-', shift);
            size_t n = shift;
            for (; n < sizeof text - 8; n += strlen(characters[c]))
                memcpy(text + n, characters[c], strlen(characters[c]));
            text[n] = 0;
            const char *msg = message_of(text);
            const size_t got = strlen(msg);
            assert_printable(msg, PUNA_ERROR_BYTES);
            assert_true(got >= PUNA_ERROR_BYTES - 8 && got < PUNA_ERROR_BYTES);
            assert_string_equal(msg + got - 3, "...");
            char out[PN_ESCAPED_BYTES];
            pn_escape(out, text, n);
            assert_printable(out, sizeof out);
            assert_true(strlen(out) >= PN_ESCAPED_BYTES - 8);
        }
    char fits[] = "the whole of a text that is short enough stays as it is";
    assert_string_equal(message_of(fits), fits);
    char edge[PUNA_ERROR_BYTES + 1] = {0};
    memset(edge, 'e', PUNA_ERROR_BYTES - 4);
    assert_string_equal(message_of(edge), edge);
    memset(edge, 'e', PUNA_ERROR_BYTES);
    assert_int_equal(strlen(message_of(edge)), PUNA_ERROR_BYTES - 1);
}

static char logged[PUNA_ERROR_BYTES];
static int n_logged;

static void on_log(void *user, puna_log_level level, const char *msg) {
    assert_ptr_equal(user, &n_logged);
    assert_int_equal(level, PUNA_LOG_WARN);
    assert_printable(msg, PUNA_ERROR_BYTES);
    (void)snprintf(logged, sizeof logged, "%s", msg);
    n_logged++;
}

static void test_log(void **state) {
    (void)state;
    pn_log(PUNA_LOG_WARN, "nobody hears %d", 1);
    puna_set_log(on_log, &n_logged);
    pn_log(PUNA_LOG_WARN, "%s is %d\n", "\033]0;title", 3);
    assert_int_equal(n_logged, 1);
    assert_string_equal(logged, "\\x1b]0;title is 3\\x0a");
    puna_set_log(NULL, NULL);
    pn_log(PUNA_LOG_WARN, "nobody hears");
    assert_int_equal(n_logged, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_names), cmocka_unit_test(test_fail),
        cmocka_unit_test(test_fail_in),      cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_any_bytes),    cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
