/* test_checksum.c: XXH64 beside what the reference implementation (libxxhash 0.8.1) gives. */
#include "base/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void test_like_the_reference(void **state) {
    (void)state;
    static const struct {
        size_t n;
        uint64_t seed, wanted;
    } rows[] = {
        {0, 0, UINT64_C(0xef46db3751d8e999)},
        {1, 0, UINT64_C(0x1f25c8d0bc1f4bb6)},
        {4, 0, UINT64_C(0xbb199537cf42fa2d)},
        {7, 1, UINT64_C(0x8d44bb1da904a81b)},
        {8, 0, UINT64_C(0xf1fa9f9c6f9769c9)},
        {31, 0, UINT64_C(0xab0f2550d70d4af5)},
        {32, 0, UINT64_C(0x6e110801eeeaf7c8)},
        {33, 5, UINT64_C(0x59ef7c8d539c30df)},
        {39, 0, UINT64_C(0xeb3bd5eed96edc7d)},
        {63, 0, UINT64_C(0xc80f552c40ddfd81)},
        {64, 0, UINT64_C(0xa4102a8c8c51e2b4)},
        {100, UINT64_C(12345678901234567890), UINT64_C(0xf30f9f328a1c224b)},
        {300, 0, UINT64_C(0xf3f7a6c7d0e423ce)},
    };
    unsigned char data[301];
    for (unsigned i = 0; i < 300; i++) data[i] = (unsigned char)(i * i + 7 * i + 3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_true(pn_checksum(data, rows[i].n, rows[i].seed) == rows[i].wanted);
    memmove(data + 1, data, 300); /* no alignment is needed */
    assert_true(pn_checksum(data + 1, 300, 0) == UINT64_C(0xf3f7a6c7d0e423ce));
    assert_true(pn_checksum("abc", 3, 0) == UINT64_C(0x44bc2cf5ad770999));
}

static void test_every_flipped_bit_shows(void **state) {
    (void)state;
    unsigned char data[77] = {0};
    const uint64_t whole = pn_checksum(data, sizeof data, 0);
    for (size_t i = 0; i < 8 * sizeof data; i++) {
        data[i / 8] ^= (unsigned char)(1u << i % 8);
        assert_true(pn_checksum(data, sizeof data, 0) != whole);
        data[i / 8] ^= (unsigned char)(1u << i % 8);
    }
    assert_true(pn_checksum(data, sizeof data - 1, 0) != whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_the_reference),
        cmocka_unit_test(test_every_flipped_bit_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
