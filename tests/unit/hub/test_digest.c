/* SHA-256 and git's blob ids: FIPS 180-4 and NIST CAVP examples, and what git itself says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub/digest.h"

static void check_sha256(const void *bytes, size_t n, const char *expected) {
    for (size_t piece = 1; piece <= 200; piece += piece < 8 ? 1 : 61) {
        digest d;
        char hex[DIGEST_HEX_CHARS];
        digest_begin_sha256(&d);
        for (size_t at = 0; at < n; at += piece) {
            digest_add(&d, (const char *)bytes + at, n - at < piece ? n - at : piece);
        }
        digest_end(&d, hex);
        assert_string_equal(hex, expected);
    }
}

static void test_sha256(void **state) {
    static const unsigned char cavp_1[] = {0xd3};
    static const unsigned char cavp_64[] = {
        0x5a, 0x86, 0xb7, 0x37, 0xea, 0xea, 0x8e, 0xe9, 0x76, 0xa0, 0xa2, 0x4d, 0xa6,
        0x3e, 0x7e, 0xd7, 0xee, 0xfa, 0xd1, 0x8a, 0x10, 0x1c, 0x12, 0x11, 0xe2, 0xb3,
        0x65, 0x0c, 0x51, 0x87, 0xc2, 0xa8, 0xa6, 0x50, 0x54, 0x72, 0x08, 0x25, 0x1f,
        0x6d, 0x42, 0x37, 0xe6, 0x61, 0xc7, 0xbf, 0x4c, 0x77, 0xf3, 0x35, 0x39, 0x03,
        0x94, 0xc3, 0x7f, 0xa1, 0xa9, 0xf9, 0xbe, 0x83, 0x6a, 0xc2, 0x85, 0x09};
    static const char two_blocks[] =
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoi"
        "jklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    (void)state;
    check_sha256("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha256("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_sha256(two_blocks, sizeof two_blocks - 1,
                 "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    check_sha256(cavp_1, sizeof cavp_1,
                 "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1");
    check_sha256(cavp_64, sizeof cavp_64,
                 "42e61e174fbb3897d6dd6cef3dd2802fe67b331953b06114a65c772859dfc1aa");
}

static void test_a_million_letters(void **state) {
    digest d;
    char hex[DIGEST_HEX_CHARS];
    char letters[1000];
    (void)state;
    memset(letters, 'a', sizeof letters);
    digest_begin_sha256(&d);
    for (int i = 0; i < 1000; i++) digest_add(&d, letters, sizeof letters);
    digest_end(&d, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* git hash-object: of nothing, "hello\n", and 100 letters a. */
static void test_git_blob(void **state) {
    static const struct {
        size_t n;
        const char *text;
        const char *id;
    } cases[] = {{0, "", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"},
                 {6, "hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"},
                 {3, "abc", "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        digest d;
        char hex[DIGEST_HEX_CHARS];
        digest_begin_git_blob(&d, cases[i].n);
        digest_add(&d, cases[i].text, cases[i].n);
        digest_end(&d, hex);
        assert_string_equal(hex, cases[i].id);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sha256),
                                       cmocka_unit_test(test_a_million_letters),
                                       cmocka_unit_test(test_git_blob)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
