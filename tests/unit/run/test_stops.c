/* test_stops.c: stop texts against a search of the whole text, however it is cut. */
#include "run/stops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint32_t seed = 1;

static uint32_t draw(uint32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static pn_stops *open_stops(const char *const *texts, int32_t n) {
    pn_stops *s = NULL;
    puna_error err;
    if (pn_stops_open(texts, n, &s, &err) != PUNA_OK) fail_msg("%s", err.msg);
    return s;
}

/* A text of few different characters, so that stops overlap themselves and each other. */
static void random_text(char *out, int32_t n_chars) {
    static const char *const chars[] = {"a", "b", "\xc3\xa9", "\xf0\x9f\x98\x80"};
    out[0] = 0;
    for (int32_t i = 0; i < n_chars; i++) strcat(out, chars[draw(10) < 8 ? draw(2) : draw(4)]);
}

/* The search as it is defined: for each end in turn, every stop. Returns the stop and where it
 * begins. */
static int32_t search(const char *text, const char *const *stops, int32_t n, size_t *begin) {
    for (size_t end = 1; end <= strlen(text); end++) {
        int32_t best = -1;
        for (int32_t i = 0; i < n; i++) {
            const size_t bytes = strlen(stops[i]);
            if (bytes <= end && memcmp(text + end - bytes, stops[i], bytes) == 0 &&
                (best < 0 || bytes > strlen(stops[best])))
                best = i;
        }
        if (best < 0) continue;
        *begin = end - strlen(stops[best]);
        return best;
    }
    return -1;
}

/* The longest end of text[0..n) that a stop begins with. */
static size_t undecided(const char *text, size_t n, const char *const *stops, int32_t n_stops) {
    for (size_t bytes = n; bytes > 0; bytes--)
        for (int32_t i = 0; i < n_stops; i++)
            if (bytes < strlen(stops[i]) && memcmp(text + n - bytes, stops[i], bytes) == 0)
                return bytes;
    return 0;
}

/* Bytes of the next piece of a text: some whole characters. */
static size_t next_piece(const char *text, size_t n) {
    size_t bytes = 1 + draw(4);
    while (bytes < n && (text[bytes] & 0xc0) == 0x80) bytes++;
    return bytes < n ? bytes : n;
}

static void test_random_texts(void **state) {
    (void)state;
    int n_found = 0;
    for (int round = 0; round < 4000; round++) {
        char text[256], buffers[6][64];
        const char *stops[6];
        const int32_t n_stops = 1 + (int32_t)draw(6);
        for (int32_t i = 0; i < n_stops; i++) {
            random_text(buffers[i], 1 + (int32_t)draw(7));
            stops[i] = buffers[i];
        }
        random_text(text, (int32_t)draw(40));
        pn_stops *s = open_stops(stops, n_stops);
        size_t begin = 0, held = 0, at = 0;
        const int32_t wanted = search(text, stops, n_stops, &begin);
        int32_t found = -1;
        for (size_t n = strlen(text); at < n && found < 0;) {
            const size_t bytes = next_piece(text + at, n - at);
            found = pn_stops_read(s, text + at, bytes, &held);
            at += bytes;
            if (found < 0) assert_int_equal(held, undecided(text, at, stops, n_stops));
        }
        assert_int_equal(found, wanted);
        if (found >= 0) {
            assert_int_equal(at - held, begin);
            n_found++;
        }
        pn_stops_free(s);
    }
    assert_true(n_found > 1000 && n_found < 3900);
}

static void test_first_complete_wins(void **state) {
    (void)state;
    static const char *const stops[] = {"bc", "abcd", "abc", "bc"};
    pn_stops *s = open_stops(stops, 4);
    size_t held;
    /* "abc" and "bc" end together: the one that began first */
    assert_int_equal(pn_stops_read(s, "xabcd", 5, &held), 2);
    assert_int_equal(held, 4);
    pn_stops_restart(s);
    assert_int_equal(pn_stops_read(s, "xab", 3, &held), -1);
    assert_int_equal(held, 2);
    assert_int_equal(pn_stops_read(s, "b", 1, &held), -1);
    assert_int_equal(held, 1);
    assert_int_equal(pn_stops_read(s, "cd", 2, &held), 0);
    assert_int_equal(held, 3);
    pn_stops *copy = NULL;
    puna_error err;
    assert_int_equal(pn_stops_copy(s, &copy, &err), PUNA_OK);
    assert_int_equal(pn_stops_longest(copy), 4);
    assert_int_equal(pn_stops_read(copy, "abc", 3, &held), 2);
    pn_stops_free(copy);
    pn_stops_free(s);
}

static void test_refused(void **state) {
    (void)state;
    static char longest[PN_MAX_STOP_BYTES + 2];
    static const char *many[PN_MAX_STOPS + 1];
    pn_stops *s = NULL;
    puna_error err;
    size_t held;
    memset(longest, 'x', PN_MAX_STOP_BYTES + 1);
    const char *two[] = {"ok", longest};
    assert_int_equal(pn_stops_open(two, 2, &s, &err), PUNA_E_LIMIT);
    assert_string_equal(err.msg, "stops[1]: 1025 bytes, at most 1024");
    longest[PN_MAX_STOP_BYTES] = 0;
    assert_int_equal(pn_stops_open(two, 2, &s, &err), PUNA_OK);
    assert_int_equal(pn_stops_read(s, longest, PN_MAX_STOP_BYTES, &held), 1);
    pn_stops_free(s);
    two[1] = "";
    assert_int_equal(pn_stops_open(two, 2, &s, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "stops[1]: empty"));
    two[1] = "\xff";
    assert_int_equal(pn_stops_open(two, 2, &s, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "UTF-8"));
    for (int i = 0; i <= PN_MAX_STOPS; i++) many[i] = "many";
    assert_int_equal(pn_stops_open(many, PN_MAX_STOPS + 1, &s, &err), PUNA_E_LIMIT);
    assert_int_equal(pn_stops_open(many, -1, &s, &err), PUNA_E_ARG);
    assert_int_equal(pn_stops_open(NULL, 1, &s, &err), PUNA_E_ARG);
    assert_int_equal(pn_stops_open(many, PN_MAX_STOPS, &s, &err), PUNA_OK);
    assert_int_equal(pn_stops_read(s, "so many", 7, &held), 0);
    pn_stops_free(s);
    assert_int_equal(pn_stops_open(NULL, 0, &s, &err), PUNA_OK);
    assert_null(s);
    assert_int_equal(pn_stops_read(s, "text", 4, &held), -1);
    assert_int_equal(held, 0);
    assert_int_equal(pn_stops_longest(s), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_texts),
        cmocka_unit_test(test_first_complete_wins),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
