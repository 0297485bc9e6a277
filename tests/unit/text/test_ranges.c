/* Tests of pn_vocab_tokenize_ranges: where special tokens may be, words across borders, and the
 * offsets of tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tiny_vocab.h"

static pn_vocab *vocab;
static int32_t tokens[64];
static size_t starts[64];
static int32_t n_tokens;

static void open_tiny(tiny_vocab *tiny) {
    puna_error err = {0};
    if (pn_vocab_open(&tiny->source, &vocab, &err) != PUNA_OK) fail_msg("%s", err.msg);
}

static void tokenize(const char *text, const pn_vocab_range *ranges, size_t n_ranges,
                     uint32_t flags) {
    puna_error err = {0};
    if (pn_vocab_tokenize_ranges(vocab, text, strlen(text), ranges, n_ranges, flags, tokens, starts,
                                 64, &n_tokens, &err) != PUNA_OK)
        fail_msg("%s", err.msg);
}

static void expect(const int32_t *ids, const size_t *at, int32_t n) {
    assert_int_equal(n_tokens, n);
    for (int32_t i = 0; i < n; i++) {
        assert_int_equal(tokens[i], ids[i]);
        assert_int_equal(starts[i], at[i]);
    }
}

static void special_tokens_lie_within_a_range(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_bpe(&tiny, "gpt-2");
    open_tiny(&tiny);
    const char *text = "<|end|>he<|end|>";
    const pn_vocab_range all = {0, 16}, first = {0, 7}, most = {0, 15}, second = {9, 16};
    tokenize(text, &all, 1, 0);
    expect((int32_t[]){262, 256, 262}, (size_t[]){0, 7, 9}, 3);
    tokenize(text, &first, 1, 0);
    assert_int_equal(tokens[0], 262);
    assert_int_equal(n_tokens, 2 + 7); /* "<|end|>" in seven bytes */
    assert_int_equal(starts[2], 9);
    tokenize(text, &most, 1, 0); /* the second one ends beyond the range */
    assert_int_equal(n_tokens, 2 + 7);
    tokenize(text, &second, 1, 0);
    assert_int_equal(tokens[n_tokens - 1], 262);
    assert_int_equal(n_tokens, 7 + 2);
    tokenize(text, NULL, 0, 0);
    assert_int_equal(n_tokens, 7 + 1 + 7);
    pn_vocab_free(vocab);
}

static void user_defined_tokens_that_are_markup(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_bpe(&tiny, "gpt-2");
    tiny_add(&tiny, "<tool>", 0, PN_TOKEN_USER_DEFINED);
    open_tiny(&tiny);
    const pn_vocab_range first = {0, 8};
    tokenize("<|tool|><|tool|><tool>", &first, 1, 0);
    assert_int_equal(tokens[0], 263);
    assert_int_equal(tokens[n_tokens - 1], 264); /* found everywhere */
    assert_int_equal(n_tokens, 1 + 8 + 1);
    /* without ranges, as ever */
    assert_int_equal(pn_vocab_tokenize(vocab, "<|tool|>", 8, 0, tokens, 64, &n_tokens, NULL),
                     PUNA_OK);
    assert_int_equal(n_tokens, 1);
    pn_vocab_free(vocab);
}

static void words_cross_borders(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_bpe(&tiny, "gpt-2");
    open_tiny(&tiny);
    const pn_vocab_range two[] = {{0, 2}, {5, 6}};
    tokenize("hello hex", two, 2, 0);
    expect((int32_t[]){259, 261, 'x'}, (size_t[]){0, 5, 8}, 3);
    pn_vocab_free(vocab);
}

static void offsets_with_spaces_written_as_marks(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_spm(&tiny);
    open_tiny(&tiny);
    const pn_vocab_range all = {0, 100};
    tokenize("hell hell", &all, 1, PUNA_TOKENIZE_ADD_SPECIAL);
    expect((int32_t[]){1, 259, 266, 259, 266}, (size_t[]){SIZE_MAX, 0, 0, 4, 5}, 5);
    tokenize("</s>hell  \xc3\xa9[T]h", &all, 1, 0);
    /* </s>, "_", "hell", "_", "_", two bytes of the e with an accent, [T], "_", "h" */
    expect((int32_t[]){2, 259, 266, 259, 259, 0xc3 + 3, 0xa9 + 3, 270, 259, 260},
           (size_t[]){0, 4, 4, 8, 9, 10, 10, 12, 15, 15}, 10);
    pn_vocab_free(vocab);
}

static void offsets_of_other_algorithms(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_wpm(&tiny);
    open_tiny(&tiny);
    const pn_vocab_range all = {0, 100};
    tokenize("unbelievable[SEP]a", &all, 1, PUNA_TOKENIZE_ADD_SPECIAL);
    expect((int32_t[]){1, 3, 4, 5, 2, 6, 2}, (size_t[]){SIZE_MAX, 0, 0, 0, 12, 17, SIZE_MAX}, 7);
    pn_vocab_free(vocab);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_tokens_lie_within_a_range),
        cmocka_unit_test(user_defined_tokens_that_are_markup),
        cmocka_unit_test(words_cross_borders),
        cmocka_unit_test(offsets_with_spaces_written_as_marks),
        cmocka_unit_test(offsets_of_other_algorithms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
