/* test_formats.c: the table of tensor types, decoding against golden blocks of an independent
 * package, and the binary16 conversions. tests/golden/test_formats.py does the same on many more
 * blocks where Python has gguf. */
#include "fmt/fmt.h"

#include "unit/fmt/format_blocks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int hex_digit(char c) {
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* The bytes of hexadecimal lines; returns their number. */
static size_t bytes_of_hex(const char *const *lines, uint8_t *out, size_t cap) {
    size_t n = 0;
    for (; **lines; lines++)
        for (const char *s = *lines; *s; s += 2) {
            assert_true(n < cap);
            out[n++] = (uint8_t)(hex_digit(s[0]) << 4 | hex_digit(s[1]));
        }
    return n;
}

static const pn_format_info *find_format(const char *name) {
    int32_t n;
    const pn_format_info *all = pn_format_all(&n);
    for (int32_t i = 0; i < n; i++)
        if (strcmp(all[i].name, name) == 0) return &all[i];
    return NULL;
}

static void test_table(void **state) {
    (void)state;
    int32_t n, n_kernels = 0;
    const pn_format_info *all = pn_format_all(&n);
    for (int32_t i = 0; i < n; i++) {
        assert_ptr_equal(pn_format_get((uint32_t)all[i].id), &all[i]);
        assert_true(all[i].block_weights > 0 && all[i].block_bytes > 0);
        assert_int_equal(all[i].has_kernels, all[i].decode != NULL);
        n_kernels += all[i].has_kernels;
    }
    assert_int_equal(n_kernels, COUNT(golden));
    /* ids that GGUF gave and took back, and ids it never gave */
    const uint32_t unknown[] = {4, 5, 31, 32, 33, 36, 37, 38, 255, 0x80000000u, UINT32_MAX};
    for (size_t i = 0; i < COUNT(unknown); i++) assert_null(pn_format_get(unknown[i]));
    assert_string_equal(pn_format_get(PN_FMT_Q4_1)->name, "Q4_1");
}

/* Every format, at every offset from alignment that a tensor in a file could have. */
static void test_golden_blocks(void **state) {
    (void)state;
    static uint8_t bytes[4096], moved[4096 + 64], want[4096];
    static float got[1024];
    for (size_t f = 0; f < COUNT(golden); f++) {
        const pn_format_info *info = find_format(golden[f].format);
        assert_non_null(info);
        const size_t n_bytes = bytes_of_hex(golden[f].bytes, bytes, sizeof bytes);
        const size_t n_want = bytes_of_hex(golden[f].weights, want, sizeof want) / 4;
        assert_int_equal(n_bytes % (size_t)info->block_bytes, 0);
        assert_int_equal(n_bytes / (size_t)info->block_bytes * (size_t)info->block_weights, n_want);
        for (size_t offset = 0; offset < 64; offset += 1 + offset / 8) {
            memcpy(moved + offset, bytes, n_bytes);
            info->decode(moved + offset, got, (int64_t)n_want);
            for (size_t i = 0; i < n_want; i++)
                if (memcmp(&got[i], want + 4 * i, 4) != 0)
                    fail_msg("%s: weight %zu is %a", info->name, i, (double)got[i]);
        }
    }
}

/* No weights: nothing is read or written. */
static void test_empty(void **state) {
    (void)state;
    for (size_t f = 0; f < COUNT(golden); f++) find_format(golden[f].format)->decode(NULL, NULL, 0);
}

static float half_by_definition(uint16_t h) {
    const int exponent = h >> 10 & 31, m = h & 0x3ff;
    const double size = exponent == 31 ? (m ? (double)NAN : (double)INFINITY)
                        : exponent     ? ldexp(1024 + m, exponent - 25)
                                       : ldexp(m, -24);
    return (float)copysign(size, h & 0x8000 ? -1.0 : 1.0);
}

static void test_half_to_float(void **state) {
    (void)state;
    for (uint32_t h = 0; h <= 0xffff; h++) {
        const float got = pn_half_to_float((uint16_t)h), want = half_by_definition((uint16_t)h);
        const bool same = isnan(want) ? isnan(got) : memcmp(&got, &want, 4) == 0;
        if (!same) fail_msg("0x%04x: %a, expected %a", h, (double)got, (double)want);
        /* and back; a NaN comes back quiet with its payload */
        const uint32_t back = isnan(want) ? h | 0x200 : h;
        assert_int_equal(pn_float_to_half(got), back);
    }
}

/* Rounding changes only in the middle between two neighbours: there the even one wins, beside it
 * the nearer. */
static void test_float_to_half_rounds_to_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const float low = half_by_definition((uint16_t)h);
        const float high = h == 0x7bff ? 65536.0f : half_by_definition((uint16_t)(h + 1));
        const float middle = (low + high) / 2; /* exact */
        const uint32_t even = h + (h & 1);
        for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000) {
            const float s = sign ? -1.0f : 1.0f;
            assert_int_equal(pn_float_to_half(s * middle), sign | even);
            assert_int_equal(pn_float_to_half(s * nextafterf(middle, 0)), sign | h);
            assert_int_equal(pn_float_to_half(s * nextafterf(middle, INFINITY)), sign | (h + 1));
        }
    }
    assert_int_equal(pn_float_to_half(0x1p-149f), 0);
    assert_int_equal(pn_float_to_half(-0x1p-149f), 0x8000);
    assert_int_equal(pn_float_to_half(3e38f), 0x7c00);
    assert_int_equal(pn_float_to_half(-INFINITY), 0xfc00);
}

static void test_bf16_to_float(void **state) {
    (void)state;
    assert_true(pn_bf16_to_float(0x3f80) == 1.0f && pn_bf16_to_float(0xc049) == -3.140625f);
    assert_true(isnan(pn_bf16_to_float(0x7fc0)) && isinf(pn_bf16_to_float(0xff80)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),         cmocka_unit_test(test_golden_blocks),
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_half_to_float),
        cmocka_unit_test(test_bf16_to_float), cmocka_unit_test(test_float_to_half_rounds_to_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
