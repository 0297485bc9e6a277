/* test_strmap.c: keys are byte strings, the first value stays, growth keeps everything, refusal
 * breaks nothing. */
#include "base/strmap.h"

#include "puna.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_empty(void **state) {
    (void)state;
    pn_strmap map = {0};
    assert_int_equal(pn_strmap_get(&map, "a", 1), -1);
    pn_strmap_free(&map);
    assert_true(pn_strmap_reserve(&map, 0));
    assert_int_equal(pn_strmap_get(&map, "", 0), -1);
    pn_strmap_free(&map);
    assert_null(map.slots);
}

static void test_keys_are_bytes(void **state) {
    (void)state;
    static const struct {
        const char *key;
        size_t bytes;
    } keys[] = {{"", 0},         {"\0", 1},       {"\0\0", 2},    {"a", 1},
                {"ab", 2},       {"a\0b", 3},     {"a\0c", 3},    {"A", 1},
                {"\xff\xfe", 2}, {"abcdefgh", 8}, {"abcdefg", 7}, {"abcdefghi", 9}};
    enum { N = sizeof keys / sizeof *keys };
    pn_strmap map = {0};
    int32_t old;
    for (int32_t i = 0; i < N; i++) {
        assert_true(pn_strmap_add(&map, keys[i].key, keys[i].bytes, i, &old));
        assert_int_equal(old, -1);
    }
    for (int32_t i = 0; i < N; i++)
        assert_int_equal(pn_strmap_get(&map, keys[i].key, keys[i].bytes), i);
    assert_int_equal(pn_strmap_get(&map, "abc", 3), -1);
    pn_strmap_free(&map);
}

static void test_duplicates(void **state) {
    (void)state;
    pn_strmap map = {0};
    int32_t old;
    assert_true(pn_strmap_add(&map, "key", 3, 0, &old) && old == -1);
    char copy[] = "key";
    assert_true(pn_strmap_add(&map, copy, 3, 9, &old) && old == 0);
    assert_true(pn_strmap_add(&map, copy, 3, 9, NULL));
    assert_int_equal(pn_strmap_get(&map, "key", 3), 0);
    assert_int_equal(map.n, 1);
    pn_strmap_free(&map);
}

enum { N_KEYS = 100000 };

/* 100,000 keys, absent ones between them; the table stays at most three quarters full. */
static void test_many(void **state) {
    (void)state;
    pn_strmap map = {0};
    static char keys[N_KEYS][12];
    for (int32_t i = 0; i < N_KEYS; i++) {
        const int n = snprintf(keys[i], sizeof keys[i], "k%d", 2 * i);
        assert_true(pn_strmap_add(&map, keys[i], (size_t)n, i, NULL));
        assert_true(map.n == (size_t)i + 1 && map.n <= map.cap - map.cap / 4);
    }
    for (int32_t i = 0; i < 2 * N_KEYS; i++) {
        char key[12];
        const int n = snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(pn_strmap_get(&map, key, (size_t)n), i % 2 ? -1 : i / 2);
    }
    pn_strmap_free(&map);
}

static bool refuse;

static void *maybe_alloc(void *user, size_t bytes) {
    (void)user;
    return refuse ? NULL : malloc(bytes);
}

static void *maybe_realloc(void *user, void *ptr, size_t bytes) {
    (void)user;
    return refuse ? NULL : realloc(ptr, bytes);
}

static void plain_free(void *user, void *ptr) {
    (void)user;
    free(ptr);
}

static void test_refused_growth(void **state) {
    (void)state;
    const puna_allocator allocator = {maybe_alloc, maybe_realloc, plain_free, NULL};
    puna_set_allocator(&allocator);
    pn_strmap map = {0};
    refuse = true;
    assert_false(pn_strmap_add(&map, "a", 1, 1, NULL));
    refuse = false;
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    assert_true(pn_strmap_reserve(&map, 12));
    refuse = true;
    for (int32_t i = 0; i < 12; i++) assert_true(pn_strmap_add(&map, letters + i, 1, i, NULL));
    assert_false(pn_strmap_add(&map, letters + 12, 1, 12, NULL));
    assert_false(pn_strmap_reserve(&map, 1000));
    assert_false(pn_strmap_reserve(&map, SIZE_MAX));
    assert_false(pn_strmap_reserve(&map, SIZE_MAX / 4));
    for (int32_t i = 0; i < 26; i++)
        assert_int_equal(pn_strmap_get(&map, letters + i, 1), i < 12 ? i : -1);
    refuse = false;
    assert_true(pn_strmap_add(&map, letters + 12, 1, 12, NULL));
    pn_strmap_free(&map);
    puna_set_allocator(NULL);
}

/* Stable within the process, sensitive to every byte and to the length, spread over low and high
 * bits. */
static void test_hash(void **state) {
    (void)state;
    unsigned char data[64] = {0};
    uint64_t seen[65];
    for (size_t n = 0; n <= 64; n++) {
        seen[n] = pn_hash(data, n);
        assert_true(seen[n] == pn_hash(data, n));
        for (size_t m = 0; m < n; m++) assert_true(seen[m] != seen[n]);
    }
    int changed[64] = {0};
    for (size_t bit = 0; bit < 512; bit++) {
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        const uint64_t difference = pn_hash(data, 64) ^ seen[64];
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_true(difference != 0);
        for (int i = 0; i < 64; i++) changed[i] += (int)(difference >> i & 1);
    }
    for (int i = 0; i < 64; i++) assert_in_range(changed[i], 256 - 90, 256 + 90); /* 8 sigma */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),      cmocka_unit_test(test_keys_are_bytes),
        cmocka_unit_test(test_duplicates), cmocka_unit_test(test_many),
        cmocka_unit_test(test_hash),       cmocka_unit_test(test_refused_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
