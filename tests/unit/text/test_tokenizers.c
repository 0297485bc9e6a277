/* test_tokenizers.c: what each algorithm makes of small texts, special tokens, detokenizing, the
 * size protocol. Expected ids are worked out by hand from tiny_vocab.h. */
#include "unit/text/tiny_vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#define SPECIAL (PUNA_TOKENIZE_ADD_SPECIAL | PUNA_TOKENIZE_PARSE_SPECIAL)

static pn_vocab *open_vocab(const tiny_vocab *tiny) {
    pn_vocab *vocab = NULL;
    puna_error err = {0};
    if (pn_vocab_open(&tiny->source, &vocab, &err)) fail_msg("%s", err.msg);
    return vocab;
}

static void expect_ids_of(const pn_vocab *vocab, const char *text, size_t n, uint32_t flags,
                          const int32_t *want, int32_t n_want) {
    int32_t ids[64], n_ids = -1;
    puna_error err = {0};
    if (pn_vocab_tokenize(vocab, text, n, flags, ids, 64, &n_ids, &err))
        fail_msg("%s: %s", text, err.msg);
    assert_int_equal(n_ids, n_want);
    for (int32_t i = 0; i < n_want; i++) assert_int_equal(ids[i], want[i]);
}

#define EXPECT(vocab, text, flags, ...)                                                            \
    do {                                                                                           \
        const int32_t want[] = {__VA_ARGS__};                                                      \
        expect_ids_of(vocab, text, strlen(text), flags, want,                                      \
                      (int32_t)(sizeof want / sizeof want[0]));                                    \
    } while (0)

static void expect_text(const pn_vocab *vocab, const int32_t *ids, int32_t n, uint32_t flags,
                        const char *want) {
    char text[256];
    size_t n_bytes = 0;
    assert_int_equal(pn_vocab_detokenize(vocab, ids, n, flags, text, sizeof text, &n_bytes, NULL),
                     PUNA_OK);
    assert_int_equal(n_bytes, strlen(want));
    assert_memory_equal(text, want, n_bytes);
}

static void spm(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_spm(&tiny);
    pn_vocab *vocab = open_vocab(&tiny);
    assert_string_equal(pn_vocab_name(vocab), "llama");
    /* he(-1), then lo(-1.5) takes the l from ll: "_ he l lo" */
    EXPECT(vocab, "hello", 0, 259, 264, 262, 269);
    EXPECT(vocab, "h\xc3\xa9", 0, 259, 260, 3 + 0xc3, 3 + 0xa9);
    EXPECT(vocab, "o o", SPECIAL, 1, 259, 263, 259, 263);
    EXPECT(vocab, "<s>o", PUNA_TOKENIZE_PARSE_SPECIAL, 1, 259, 263);
    EXPECT(vocab, "[T]o", 0, 270, 259, 263);
    EXPECT(vocab, "h\xff", 0, 259, 260, 3 + 0xff);
    const int32_t nul[] = {259, 3, 260};
    expect_ids_of(vocab, "\0h", 2, 0, nul, 3);
    const int32_t ids[] = {1, 259, 264, 262, 269, 2};
    expect_text(vocab, ids, 6, 0, "hello");
    expect_text(vocab, ids, 6, PUNA_DETOKENIZE_KEEP_SPACE, " hello");
    expect_text(vocab, ids, 6, PUNA_DETOKENIZE_SPECIAL, "<s> hello</s>");
    assert_true(pn_vocab_adds_bos(vocab));
    assert_false(pn_vocab_adds_eos(vocab));
    assert_true(pn_vocab_is_end(vocab, 2));
    assert_true(pn_vocab_is_control(vocab, 1));
    assert_false(pn_vocab_is_control(vocab, 259));
    assert_int_equal(pn_vocab_special(vocab, PUNA_SPECIAL_NL), 3 + 10);
    pn_vocab_free(vocab);
}

/* Text never becomes a control token, even when merges could build its text. */
static void spm_control_is_not_built(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_spm(&tiny);
    const int32_t lt = tiny_add(&tiny, "<", -9, PN_TOKEN_NORMAL),
                  s = tiny_add(&tiny, "s>", -9, PN_TOKEN_NORMAL);
    tiny_add(&tiny, "s", -9, PN_TOKEN_NORMAL);
    tiny_add(&tiny, ">", -9, PN_TOKEN_NORMAL);
    pn_vocab *vocab = open_vocab(&tiny);
    EXPECT(vocab, "<s>", 0, 259, lt, s);
    EXPECT(vocab, "<s>", PUNA_TOKENIZE_PARSE_SPECIAL, 1);
    pn_vocab_free(vocab);
}

static void bpe(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_bpe(&tiny, "gpt-2");
    pn_vocab *vocab = open_vocab(&tiny);
    assert_string_equal(pn_vocab_name(vocab), "gpt2/gpt-2");
    EXPECT(vocab, "hello", 0, 259);
    EXPECT(vocab, " hello", 0, ' ', 259); /* "_ he" ranks after "hell o" */
    EXPECT(vocab, " he", 0, 261);
    EXPECT(vocab, "\n\xff", 0, '\n', 0xff);
    EXPECT(vocab, "o<|end|>", 0, 'o', '<', '|', 'e', 'n', 'd', '|', '>');
    EXPECT(vocab, "o<|end|>", SPECIAL, 'o', 262);
    EXPECT(vocab, "o<|tool|>", 0, 'o', 263);
    assert_true(pn_vocab_is_end(vocab, 262));
    const int32_t ids[] = {261, 0xe4, 0xb8, 0x80, 262};
    expect_text(vocab, ids, 5, 0, " he\xe4\xb8\x80");
    const int32_t comma[] = {'a', ' ', ',', ' ', '\'', ' ', 'b', ' ', '\'', 's', ' '};
    expect_text(vocab, comma, 11, 0, "a , ' b 's ");
    expect_text(vocab, comma, 11, PUNA_DETOKENIZE_CLEAN_UP, "a,'b's ");
    pn_vocab_free(vocab);
}

static void bpe_whole_words(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_bpe(&tiny, "llama3");
    const int32_t island = tiny_add(&tiny, "oo", 0, PN_TOKEN_NORMAL); /* no merge leads to it */
    pn_vocab *vocab = open_vocab(&tiny);
    EXPECT(vocab, "oo", 0, island);
    EXPECT(vocab, "ooo", SPECIAL, 262, 'o', 'o', 'o');
    pn_vocab_free(vocab);
}

static void gemma4(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_spm(&tiny);
    tiny.source.model = (pn_vocab_text){"gemma4", 6};
    const int32_t lines = tiny_add(&tiny, "\n\n", 0, PN_TOKEN_NORMAL);
    tiny_merge(&tiny, "l l");
    tiny_merge(&tiny, "\xe2\x96\x81 h");
    tiny_merge(&tiny, "h e");
    pn_vocab *vocab = open_vocab(&tiny);
    EXPECT(vocab, "he ll\n\n", 0, 264, 259, 265, lines);
    EXPECT(vocab, "\xc3\xa9", SPECIAL, 1, 3 + 0xc3, 3 + 0xa9);
    const int32_t ids[] = {259, 264, lines};
    expect_text(vocab, ids, 3, 0, " he\n\n");
    pn_vocab_free(vocab);
}

static void wpm(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_wpm(&tiny);
    pn_vocab *vocab = open_vocab(&tiny);
    EXPECT(vocab, "Unbelievable, a", 0, 3, 4, 5, 7, 6);
    EXPECT(vocab, "\xc3\xa0 \xc3\x80", SPECIAL, 1, 6, 6, 2);
    EXPECT(vocab, "unx a", 0, 0, 6);
    EXPECT(vocab,
           "a\xe4\xb8\x80"
           "a\xe2\x80\x8b",
           0, 6, 8, 6); /* Chinese stands alone, U+200B goes */
    EXPECT(vocab, "[SEP]", PUNA_TOKENIZE_PARSE_SPECIAL, 2);
    char longer[103] = {'a'};
    memset(longer + 1, 'b', 101);
    EXPECT(vocab, longer, 0, 0); /* more than 100 characters */
    const int32_t ids[] = {1, 3, 4, 5, 7, 6, 2};
    expect_text(vocab, ids, 7, 0, " unbelievable , a");
    expect_text(vocab, ids, 7, PUNA_DETOKENIZE_CLEAN_UP, " unbelievable, a");
    pn_vocab_free(vocab);
}

static void ugm(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_ugm(&tiny);
    pn_vocab *vocab = open_vocab(&tiny);
    EXPECT(vocab, "ab", 0, 3, 5 + 1);                    /* "_" "ab" -6 beats "_ab" -7 */
    EXPECT(vocab, "  aBb  AB ", 0, 3, 4, 2, 5, 3, 4, 2); /* B is unknown; spaces fold */
    EXPECT(vocab, "abab", SPECIAL, 3, 4, 8, 1);          /* -2 -3 -4.5 beats -2 -4 -4 */
    EXPECT(vocab, "zz", 0, 3, 2);                        /* a run of unknown characters is one */
    pn_vocab_free(vocab);
}

static void size_protocol(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_bpe(&tiny, "gpt-2");
    pn_vocab *vocab = open_vocab(&tiny);
    int32_t ids[3] = {-7, -7, -7}, n = -1;
    assert_int_equal(pn_vocab_tokenize(vocab, "xyz", 3, 0, ids, 2, &n, NULL), PUNA_E_LIMIT);
    assert_int_equal(n, 3);
    assert_int_equal(ids[2], -7);
    assert_int_equal(pn_vocab_tokenize(vocab, "xyz", 3, 0, NULL, 0, &n, NULL), PUNA_E_LIMIT);
    assert_int_equal(n, 3);
    assert_int_equal(pn_vocab_tokenize(vocab, "xyz", 3, 0, ids, 3, &n, NULL), PUNA_OK);
    assert_int_equal(pn_vocab_tokenize(vocab, "", 0, 0, NULL, 0, &n, NULL), PUNA_OK);
    assert_int_equal(n, 0);
    char text[2];
    size_t bytes = 0;
    assert_int_equal(pn_vocab_detokenize(vocab, ids, 3, 0, text, 2, &bytes, NULL), PUNA_E_LIMIT);
    assert_int_equal(bytes, 3);
    assert_int_equal(pn_vocab_detokenize(vocab, ids, 2, 0, text, 2, &bytes, NULL), PUNA_OK);
    assert_int_equal(pn_vocab_detokenize(vocab, NULL, 0, 0, NULL, 0, &bytes, NULL), PUNA_OK);
    assert_int_equal(bytes, 0);
    const int32_t bad[] = {'x', 264};
    puna_error err = {0};
    assert_int_equal(pn_vocab_detokenize(vocab, bad, 2, 0, text, 2, &bytes, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "264"));
    pn_vocab_free(vocab);
}

/* Every split of a text into byte tokens comes out as whole characters, and as the same text. */
static void incremental(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_bpe(&tiny, "gpt-2");
    pn_vocab *vocab = open_vocab(&tiny);
    static const struct {
        const char *bytes, *want;
    } cases[] = {
        {"a\xc3\xa9\xe4\xb8\x80\xf0\x9f\x98\x80z", "a\xc3\xa9\xe4\xb8\x80\xf0\x9f\x98\x80z"},
        {"\xff"
         "a\xe4\xb8",
         "\xef\xbf\xbd"
         "a\xef\xbf\xbd"},
        {"\xe4\xb8"
         "a",
         "\xef\xbf\xbd\xef\xbf\xbd"
         "a"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf0\x80\xc3\xa9", "\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9"},
    };
    char *text = malloc(pn_detok_max_bytes(vocab));
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        pn_detok detok = {0};
        char all[64];
        size_t n = 0;
        for (const char *p = cases[c].bytes; *p; p++) {
            const size_t got = pn_detok_push(vocab, &detok, (unsigned char)*p, false, text);
            memcpy(all + n, text, got);
            n += got;
        }
        n += pn_detok_finish(&detok, all + n);
        assert_int_equal(n, strlen(cases[c].want));
        assert_memory_equal(all, cases[c].want, n);
    }
    pn_detok detok = {0};
    assert_int_equal(pn_detok_push(vocab, &detok, 262, false, text), 0); /* control */
    assert_int_equal(pn_detok_push(vocab, &detok, -1, false, text), 0);
    assert_int_equal(pn_detok_push(vocab, &detok, 1 << 30, false, text), 0);
    free(text);
    pn_vocab_free(vocab);
}

static void incremental_space(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_spm(&tiny);
    pn_vocab *vocab = open_vocab(&tiny);
    char *text = malloc(pn_detok_max_bytes(vocab));
    pn_detok detok = {0}, kept = {0};
    assert_int_equal(pn_detok_push(vocab, &detok, 268, false, text), 5);
    assert_int_equal(pn_detok_push(vocab, &detok, 268, false, text), 6);
    assert_int_equal(pn_detok_push(vocab, &kept, 268, true, text), 6);
    free(text);
    pn_vocab_free(vocab);
}

static void names_are_checked(void **state) {
    (void)state;
    tiny_vocab tiny;
    pn_vocab *vocab = NULL;
    puna_error err = {0};
    tiny_bpe(&tiny, "nosuchpre");
    assert_int_equal(pn_vocab_open(&tiny.source, &vocab, &err), PUNA_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "nosuchpre"));
    tiny_bpe(&tiny, "gpt-2");
    tiny.source.model = (pn_vocab_text){"nosuchtok", 9};
    assert_int_equal(pn_vocab_open(&tiny.source, &vocab, &err), PUNA_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "nosuchtok"));
    tiny.source.model.n = 0;
    assert_int_equal(pn_vocab_open(&tiny.source, &vocab, &err), PUNA_E_FORMAT);
    tiny_bpe(&tiny, "gpt-2");
    tiny.source.has_merges = false;
    assert_int_equal(pn_vocab_open(&tiny.source, &vocab, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "merges"));
    tiny.source.n_tokens = 0;
    assert_int_equal(pn_vocab_open(&tiny.source, &vocab, &err), PUNA_E_FORMAT);
    assert_null(vocab);
}

static int n_warnings;

static void count_warning(void *user, puna_log_level level, const char *msg) {
    (void)user;
    (void)msg;
    n_warnings += level == PUNA_LOG_WARN;
}

static void missing_pre_warns(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_bpe(&tiny, "");
    n_warnings = 0;
    puna_set_log(count_warning, NULL);
    pn_vocab *vocab = open_vocab(&tiny);
    puna_set_log(NULL, NULL);
    assert_int_equal(n_warnings, 1);
    assert_string_equal(pn_vocab_name(vocab), "gpt2/default");
    pn_vocab_free(vocab);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spm),
        cmocka_unit_test(spm_control_is_not_built),
        cmocka_unit_test(bpe),
        cmocka_unit_test(bpe_whole_words),
        cmocka_unit_test(gemma4),
        cmocka_unit_test(wpm),
        cmocka_unit_test(ugm),
        cmocka_unit_test(size_protocol),
        cmocka_unit_test(incremental),
        cmocka_unit_test(incremental_space),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(missing_pre_warns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
