/* Tests of the JSON reader and writer: kinds, order and extents of nodes, strings, messages that
 * say where, bounds, memory running out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "unit/failing_allocator.h"

#include <string.h>

static pn_json json;

static void parse(const char *text) {
    puna_error err = {0};
    if (pn_json_parse(text, strlen(text), "x", &json, &err) != PUNA_OK) fail_msg("%s", err.msg);
}

static void refuse(const char *text, puna_status code, const char *message) {
    puna_error err = {0};
    const puna_status status = pn_json_parse(text, strlen(text), "x", &json, &err);
    pn_json_free(&json);
    if (status != code || strcmp(err.msg, message) != 0)
        fail_msg("%s: %d \"%s\" instead of %d \"%s\"", text, status, err.msg, code, message);
}

static void test_nodes(void **state) {
    (void)state;
    parse(" {\"a\": [1, -2.5e+3, \"x\"], \"b\": {}, \"a\": null, \"c\": [true, false]} ");
    assert_int_equal(pn_json_kind_of(&json, 0), PN_JSON_OBJECT);
    assert_int_equal(json.nodes[0].n, 4);
    assert_int_equal(json.nodes[0].next, json.n_nodes);
    const int32_t c = pn_json_member(&json, 0, "c");
    assert_int_equal(json.nodes[c].n, 2);
    assert_int_equal(pn_json_kind_of(&json, c + 1), PN_JSON_TRUE);
    assert_int_equal(pn_json_kind_of(&json, c + 2), PN_JSON_FALSE);
    assert_int_equal(pn_json_kind_of(&json, pn_json_member(&json, 0, "a")), PN_JSON_NULL);
    assert_int_equal(pn_json_member(&json, 0, "d"), -1);
    assert_int_equal(pn_json_member(&json, c, "a"), -1);
    assert_int_equal(pn_json_member(&json, -1, "a"), -1);
    pn_buf raw = {0};
    assert_true(pn_json_append_raw(&json, 2, &raw));
    assert_string_equal(raw.data, "[1, -2.5e+3, \"x\"]");
    pn_buf_free(&raw);
    pn_json_free(&json);
    parse("7");
    assert_int_equal(pn_json_kind_of(&json, 0), PN_JSON_NUMBER);
    pn_json_free(&json);
}

static void test_strings(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {{"\"\"", ""},
                {"\"a\\n\\t\\r\\b\\f\\\\\\/\\\"\"", "a\n\t\r\b\f\\/\""},
                {"\"\\u00e9\\u20ac\"", "\xc3\xa9\xe2\x82\xac"},
                {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
                {"\"\\ud83d\"", "\xef\xbf\xbd"},
                {"\"\\ud83dx\"", "\xef\xbf\xbdx"},
                {"\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
                                       "A"},
                {"\"\\ude00\"", "\xef\xbf\xbd"},
                {"\"\xff"
                 "a\"",
                 "\xef\xbf\xbd"
                 "a"},
                {"\"\xc3\xa9\"", "\xc3\xa9"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pn_buf text = {0};
        parse(rows[i].text);
        assert_true(pn_json_append_text(&json, 0, &text));
        assert_string_equal(text.data, rows[i].says);
        assert_true(pn_json_equals(&json, 0, rows[i].says));
        assert_false(pn_json_equals(&json, 0, "zz"));
        pn_buf_free(&text);
        pn_json_free(&json);
    }
    parse("\"a\\u0000b\"");
    assert_false(pn_json_equals(&json, 0, "a"));
    pn_json_free(&json);
}

static void test_writing(void **state) {
    (void)state;
    static const char text[] = "q\"\\\b\f\n\r\t\x01\x7f\xc3\xa9\xff\xf0\x9f\x98\x80";
    pn_buf out = {0}, back = {0};
    assert_true(pn_json_put(&out, text, sizeof text - 1));
    assert_string_equal(
        out.data, "\"q\\\"\\\\\\b\\f\\n\\r\\t\\u0001\x7f\xc3\xa9\xef\xbf\xbd\xf0\x9f\x98\x80\"");
    parse(out.data);
    assert_true(pn_json_append_text(&json, 0, &back));
    assert_memory_equal(back.data, text, 10);
    pn_json_free(&json);
    pn_buf_free(&out);
    pn_buf_free(&back);
}

static void test_messages(void **state) {
    (void)state;
    refuse("", PUNA_E_FORMAT, "x: byte 0: the text ends where a value is");
    refuse("[", PUNA_E_FORMAT, "x[0]: byte 1: the text ends where a value is");
    refuse("[1 2]", PUNA_E_FORMAT, "x[1]: byte 3: expected ',' or ']'");
    refuse("[1,]", PUNA_E_FORMAT, "x[1]: byte 3: expected a value");
    refuse("{\"a\" 1}", PUNA_E_FORMAT, "x.a: byte 5: expected ':' after a name");
    refuse("{1: 2}", PUNA_E_FORMAT, "x: byte 1: expected a name in double quotes");
    refuse("{\"a\": 1,}", PUNA_E_FORMAT, "x.a: byte 8: expected a name in double quotes");
    refuse("[{\"a\": 1}, {\"b\": {\"c\": tru}}]", PUNA_E_FORMAT,
           "x[1].b.c: byte 23: expected a value");
    refuse("[1] 2", PUNA_E_FORMAT, "x: byte 4: something stands after the value");
    refuse("01", PUNA_E_FORMAT, "x: byte 2: a number that is none");
    refuse("-", PUNA_E_FORMAT, "x: byte 1: a number that is none");
    refuse("1.", PUNA_E_FORMAT, "x: byte 2: a number that is none");
    refuse("1e", PUNA_E_FORMAT, "x: byte 2: a number that is none");
    refuse("NaN", PUNA_E_FORMAT, "x: byte 0: expected a value");
    refuse("\"a", PUNA_E_FORMAT, "x: byte 2: a string that does not end");
    refuse("\"\\x\"", PUNA_E_FORMAT, "x: byte 2: an unknown escape in a string");
    refuse("\"\\u12g4\"", PUNA_E_FORMAT, "x: byte 5: expected four hexadecimal digits after \\u");
    refuse("\"\n\"", PUNA_E_FORMAT,
           "x: byte 1: a control character in a string: write it as \\uXXXX");
    char deep[300];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    refuse(deep, PUNA_E_LIMIT, "x[0][0][0]: byte 128: nested deeper than 128 lists and objects");
}

static void test_prefix(void **state) {
    (void)state;
    size_t used = 0;
    puna_error err = {0};
    assert_int_equal(pn_json_parse_prefix(" {\"a\": 1} tail", 14, "x", &json, &used, &err),
                     PUNA_OK);
    assert_int_equal(used, 9);
    pn_json_free(&json);
    assert_int_equal(pn_json_parse_prefix("12,", 3, "x", &json, &used, &err), PUNA_OK);
    assert_int_equal(used, 2);
    pn_json_free(&json);
}

static void test_memory_runs_out(void **state) {
    (void)state;
    static const char text[] =
        "{\"list\": [1, 2, 3], \"text\": \"a long text that needs some room\"}";
    puna_status status = PUNA_E_NOMEM;
    puna_set_allocator(&failing_allocator);
    for (long n = 0; n < 100 && status; n++) {
        puna_error err = {0};
        pn_buf out = {0};
        allocations_left = n;
        status = pn_json_parse(text, sizeof text - 1, "x", &json, &err);
        if (!status && !(pn_json_append_text(&json, pn_json_member(&json, 0, "text"), &out) &&
                         pn_json_put(&out, text, sizeof text - 1)))
            status = PUNA_E_NOMEM;
        pn_buf_free(&out);
        pn_json_free(&json);
        assert_true(status == PUNA_OK || status == PUNA_E_NOMEM);
    }
    puna_set_allocator(NULL);
    assert_int_equal(status, PUNA_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes),   cmocka_unit_test(test_strings),
        cmocka_unit_test(test_writing), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_prefix),  cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
