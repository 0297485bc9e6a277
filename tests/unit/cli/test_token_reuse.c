/* test_token_reuse.c: which computed tokens a new prompt goes on from; beside a slow search. */
#include "token_reuse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The vocabulary: tokens below 10 are control tokens, the others have these texts. */
static const char *const texts[] = {"", "a", "b", "aa", "ab", "ba", "aab", "\n", "bb", "abba"};
enum { FIRST = 10, N_TEXTS = sizeof texts / sizeof *texts };
enum { EMPTY = 10, A, B, AA, AB, BA, AAB, NL };

static char sides[2][8]; /* overwritten by each call, so that a text used for too long is noticed */

static size_t token_text(void *user, int side, int32_t token, const char **bytes) {
    (void)user;
    assert_true(token >= FIRST && token < FIRST + N_TEXTS);
    memset(sides[side], '!', sizeof sides[side]);
    size_t n = strlen(texts[token - FIRST]);
    memcpy(sides[side], texts[token - FIRST], n);
    *bytes = sides[side];
    return n;
}

static bool is_control(void *user, int32_t token) {
    (void)user;
    return token < FIRST;
}

static const token_lookup lookup = {token_text, is_control, NULL};

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof *(array)))

static void expect(const int32_t *old, int32_t n_old, const int32_t *new, int32_t n_new,
                   const int32_t *want, int32_t n_want) {
    int32_t joined[64];
    assert_int_equal(token_reuse_join(&lookup, old, n_old, new, n_new, joined), n_want);
    assert_memory_equal(joined, want, (size_t)n_want * sizeof *want);
}

#define EXPECT(old, new, want) expect(old, COUNT(old), new, COUNT(new), want, COUNT(want))
#define IDS(...)               ((const int32_t[]){__VA_ARGS__})

static void test_cases(void **state) {
    (void)state;
    /* nothing yet, nothing in common, all in common */
    expect(NULL, 0, IDS(1, A), 2, IDS(1, A), 2);
    EXPECT(IDS(1, A), IDS(2, B), IDS(2, B));
    EXPECT(IDS(1, A, B), IDS(1, A, B), IDS(1, A, B));
    /* the model wrote "aab" in its own way; the template ends the answer and goes on */
    EXPECT(IDS(1, 2, A, AB, 3), IDS(1, 2, AAB, 3, NL, 4, B), IDS(1, 2, A, AB, 3, NL, 4, B));
    EXPECT(IDS(1, A, A, B), IDS(1, AA, B, 3), IDS(1, A, A, B, 3));
    EXPECT(IDS(1, A, EMPTY, AB, 3), IDS(1, AAB, 3), IDS(1, A, EMPTY, AB, 3));
    /* the template trims the answer, or changes it */
    EXPECT(IDS(1, A, AB, NL, 3), IDS(1, AAB, 3), IDS(1, A, AB, 3));
    EXPECT(IDS(1, A, AB, NL, NL), IDS(1, AAB, NL, 3), IDS(1, A, AB, NL, 3));
    EXPECT(IDS(1, A, AB, A), IDS(1, AAB, B, 3), IDS(1, A, AB, B, 3));
    /* no token of the prompt ends where one of the timeline ends */
    EXPECT(IDS(1, A, A, 3), IDS(1, AAB, 3), IDS(1, AAB, 3));
    EXPECT(IDS(1, A, A), IDS(1, AAB), IDS(1, AAB));
    EXPECT(IDS(1, AAB), IDS(1, A, A), IDS(1, A, A));
    /* control tokens only match themselves */
    EXPECT(IDS(1, A, 3), IDS(1, A, 4), IDS(1, A, 4));
    EXPECT(IDS(1, AA, 3, B), IDS(1, A, A, 4, B), IDS(1, AA, 4, B));
    EXPECT(IDS(1, A, 3, B), IDS(1, AB), IDS(1, AB));
}

/* The text of tokens, control tokens as capital letters. */
static void write_text(const int32_t *ids, int32_t n, char *to) {
    for (int32_t i = 0; i < n; i++) {
        if (ids[i] < FIRST) {
            *to++ = (char)('A' + ids[i]);
        } else {
            strcpy(to, texts[ids[i] - FIRST]);
            to += strlen(to);
        }
    }
    *to = 0;
}

/* Most tokens of the timeline that can be kept: tried from the longest. */
static int32_t best_kept(const int32_t *old, int32_t n_old, const int32_t *new, int32_t n_new) {
    char a[128], b[128];
    for (int32_t kept = n_old; kept > 0; kept--) {
        write_text(old, kept, a);
        for (int32_t said = n_new; said >= 0; said--) {
            write_text(new, said, b);
            if (strcmp(a, b) == 0) return kept;
        }
    }
    return 0;
}

static void test_beside_a_search(void **state) {
    unsigned seed = 7;
    (void)state;
    for (int round = 0; round < 100000; round++) {
        int32_t lists[2][12];
        int32_t joined[24];
        char want[128], got[128];
        int32_t n[2];
        for (int k = 0; k < 2; k++) {
            n[k] = (int32_t)((seed >> 20) % 12);
            for (int i = 0; i < n[k]; i++) {
                seed = seed * 1664525u + 1013904223u;
                int32_t draw = (int32_t)(seed >> 16);
                lists[k][i] = draw % 5 == 0 ? draw / 5 % 2 : A + draw / 5 % 6;
            }
            seed = seed * 1664525u + 1013904223u;
        }
        int32_t n_joined = token_reuse_join(&lookup, lists[0], n[0], lists[1], n[1], joined);
        write_text(lists[1], n[1], want);
        write_text(joined, n_joined, got);
        assert_string_equal(got, want);
        int32_t kept = 0;
        while (kept < n_joined && kept < n[0] && joined[kept] == lists[0][kept]) kept++;
        assert_true(kept >= best_kept(lists[0], n[0], lists[1], n[1]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_beside_a_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
