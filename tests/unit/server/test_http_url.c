/* Paths, queries and routes. */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http_url.h"
#include "router.h"

static void test_split(void **state) {
    (void)state;
    static const struct {
        const char *target, *path, *query;
    } rows[] = {
        {"/", "/", ""},
        {"/a/b?c=d&e", "/a/b", "c=d&e"},
        {"/a%20b%2fc", "/a b/c", ""},
        {"/a?", "/a", ""},
        {"/a?b?c", "/a", "b?c"},
        {"/%e2%82%ac", "/\xe2\x82\xac", ""},
        {"http://h/a?b", "/a", "b"},
        {"HTTPS://h:8/a", "/a", ""},
        {"http://h", "/", ""},
        {"http://h?a", "/", "a"},
        {"http://", "/", ""},
        {"/../a", "/../a", ""},
        {"//a", "//a", ""},
        {"", NULL, NULL},
        {"*", NULL, NULL},
        {"a", NULL, NULL},
        {"?a", NULL, NULL},
        {"ftp://h/a", NULL, NULL},
        {"/a b", NULL, NULL},
        {"/a\n", NULL, NULL},
        {"/\x80", NULL, NULL},
        {"/a#b", NULL, NULL},
        {"/%", NULL, NULL},
        {"/%2", NULL, NULL},
        {"/%2g", NULL, NULL},
        {"/%00", NULL, NULL},
        {"/%-1", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *path, *query;
        char *target =
            strdup(rows[i].target); /* its own block: the sanitizer sees each byte too far */
        bool right = pn_url_split(target, &path, &query);
        if (right != (rows[i].path != NULL)) fail_msg("%s", rows[i].target);
        if (right) {
            assert_string_equal(path, rows[i].path);
            assert_string_equal(query, rows[i].query);
        }
        free(target);
    }
}

/* "name|value|name|value|" */
static void pairs_as_text(const char *query, char *text) {
    char *out = malloc(2 * strlen(query) + 2);
    size_t n = pn_url_pairs(query, out);
    const char *at = out;
    *text = 0;
    for (size_t i = 0; i < 2 * n; i++) {
        text += sprintf(text, "%s|", at);
        at += strlen(at) + 1;
    }
    free(out);
}

static void test_pairs(void **state) {
    (void)state;
    static const struct {
        const char *query, *pairs;
    } rows[] = {
        {"", ""},
        {"a", "a||"},
        {"a&b&c", "a||b||c||"},
        {"a=", "a||"},
        {"a=b&c=d", "a|b|c|d|"},
        {"a=b=c", "a|b=c|"},
        {"&&a=1&&", "a|1|"},
        {"=x&a=1", "a|1|"},
        {"a+b=c+d%2B", "a b|c d+|"},
        {"a=%zz&b=1", "b|1|"},
        {"%=1&b=1", "b|1|"},
        {"a=%00&b=1", "b|1|"},
        {"a=1&a=2", "a|1|a|2|"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[256];
        pairs_as_text(rows[i].query, text);
        assert_string_equal(text, rows[i].pairs);
    }
}

static void test_routes(void **state) {
    (void)state;
    pn_route_match match;
    pn_route_find("GET", "/health", &match);
    assert_true(match.route && match.route->handler == api_health);
    assert_string_equal(match.allow, "GET, HEAD, OPTIONS");
    pn_route_find("HEAD", "/health", &match);
    assert_true(match.route && match.route->handler == api_health);
    pn_route_find("POST", "/health", &match);
    assert_true(!match.route && match.other);
    pn_route_find("GET", "/v1/models/a/b", &match);
    assert_true(match.route != NULL);
    assert_string_equal("/v1/models/a/b" + match.rest_at, "a/b");
    pn_route_find("POST", "/v1/completions", &match);
    assert_true(match.route && match.route->access == PN_ACCESS_KEY);
    const char *unknown[] = {"", "/x", "/health/", "/healthy", "/v1/models/", "/v1", "//health"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        pn_route_find("GET", unknown[i], &match);
        assert_true(!match.route && !match.other);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
