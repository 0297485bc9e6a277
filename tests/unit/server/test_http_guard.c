/* Names, origins and keys: beside the tests over HTTP (tests/server/test_access.py), what they cannot reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http_guard.h"

static pn_guard *open_guard(const pn_guard_options *options) {
    pn_guard *guard = NULL;
    assert_int_equal(pn_guard_open(options, &guard, NULL), PUNA_OK);
    return guard;
}

static void test_hosts(void **state) {
    (void)state;
    const char *hosts[] = {"chat.example.org", ".lab"};
    pn_guard *near =
        open_guard(&(pn_guard_options){.loopback = true, .hosts = hosts, .n_hosts = 2});
    pn_guard *far = open_guard(&(pn_guard_options){.loopback = false});
    pn_guard *any = open_guard(&(pn_guard_options){.hosts = (const char *[]){"*"}, .n_hosts = 1});
    static const struct {
        const char *host;
        bool near, far;
    } rows[] = {
        {NULL, true, true},
        {"localhost", true, true},
        {"localhost.:8", true, true},
        {"127.0.0.1:8", true, true},
        {"127.255.0.9", true, true},
        {"[::1]:8", true, true},
        {"10.0.0.1", false, true},
        {"[fe80::1]:80", false, true},
        {"chat.example.org:443", true, false},
        {"x.chat.example.org", false, false},
        {"node.lab", true, false},
        {".lab", false, false},
        {"evil.example", false, false},
        {"127.1", false, false},
        {"::1", false, false},
        {"[127.0.0.1]", false, false},
        {"[::1", false, false},
        {"[::1]x", false, false},
        {"", false, false},
        {":80", false, false},
        {"localhost:80a", false, false},
        {"localhost\t", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (pn_guard_host(near, rows[i].host) != rows[i].near ||
            pn_guard_host(far, rows[i].host) != rows[i].far)
            fail_msg("%s", rows[i].host);
    }
    char name[1000];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_false(pn_guard_host(near, name));
    assert_true(pn_guard_host(any, "evil.example"));
    pn_guard *named = open_guard(&(pn_guard_options){.bound = "gpu.lan"});
    assert_true(pn_guard_host(named, "GPU.lan:80"));
    assert_false(pn_guard_host(named, "gpu.lan.evil.example"));
    pn_guard_free(named);
    assert_false(pn_guard_host(any, "evil example"));
    pn_guard_free(near);
    pn_guard_free(far);
    pn_guard_free(any);
}

static void test_origins(void **state) {
    (void)state;
    const char *origins[] = {"https://chat.example.org"};
    pn_guard *g =
        open_guard(&(pn_guard_options){.loopback = true, .origins = origins, .n_origins = 1});
    static const struct {
        const char *origin, *host;
        pn_origin expected;
    } rows[] = {
        {NULL, "localhost", PN_ORIGIN_SAME},
        {"http://localhost", "localhost", PN_ORIGIN_SAME},
        {"http://localhost:80", "localhost:80", PN_ORIGIN_SAME},
        {"http://localhost", "localhost:80", PN_ORIGIN_SAME},
        {"https://localhost", "localhost:443", PN_ORIGIN_SAME},
        {"https://localhost", "localhost:80", PN_ORIGIN_FOREIGN},
        {"http://localhost:8080", "localhost", PN_ORIGIN_FOREIGN},
        {"http://localhost", "localhost:8080", PN_ORIGIN_FOREIGN},
        {"http://localhost.evil", "localhost", PN_ORIGIN_FOREIGN},
        {"http://localhost:80.evil", "localhost:80", PN_ORIGIN_FOREIGN},
        {"null", "null", PN_ORIGIN_FOREIGN},
        {"", "", PN_ORIGIN_FOREIGN},
        {"http://", "", PN_ORIGIN_SAME}, /* such a Host is refused before */
        {"http://localhost", NULL, PN_ORIGIN_FOREIGN},
        {"ftp://localhost", "localhost", PN_ORIGIN_FOREIGN},
        {"https://chat.example.org", "localhost", PN_ORIGIN_ALLOWED},
        {"HTTPS://CHAT.example.org", "localhost", PN_ORIGIN_ALLOWED},
        {"http://chat.example.org", "localhost", PN_ORIGIN_FOREIGN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (pn_guard_origin(g, rows[i].origin, rows[i].host) != rows[i].expected)
            fail_msg("%s, %s", rows[i].origin, rows[i].host);
    pn_guard_free(g);
}

static void test_keys(void **state) {
    (void)state;
    const char *keys[] = {"first-key", "second-key"};
    uint64_t clients[3];
    pn_guard *g = open_guard(&(pn_guard_options){.keys = keys, .n_keys = 2});
    pn_guard *open = open_guard(&(pn_guard_options){.loopback = true});
    assert_true(pn_guard_needs_key(g));
    assert_false(pn_guard_needs_key(open));
    assert_true(pn_guard_key(g, "first-key", &clients[0]));
    assert_true(pn_guard_key(g, "second-key", &clients[1]));
    assert_true(pn_guard_key(g, "first-key", &clients[2]));
    assert_true(clients[0] == clients[2] && clients[0] != clients[1]);
    /* the first 8 bytes of SHA-256("first-key"), from sha256sum */
    assert_true(clients[0] == UINT64_C(0x9e24b55356ef2a12));
    const char *wrong[] = {"",    "first-ke", "first-keyx", "FIRST-KEY", "first-key second-key",
                           "\xff"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(pn_guard_key(g, wrong[i], &clients[2]));
    pn_guard_free(g);
    pn_guard_free(open);
    pn_guard_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
