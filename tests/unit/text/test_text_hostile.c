/* test_text_hostile.c: vocabularies and texts made to break a tokenizer, and memory running out
 * at every allocation. Loading may refuse; nothing may crash, hang or leak (run under
 * AddressSanitizer). */
#include "unit/text/tiny_vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <time.h>

static const char sample[] =
    "hello h\xc3\xa9llo <s>[T]<|end|><|tool|>\n\n  \xf0\x9f\x98\x80\xff\xe4\xb8 <0x0A> abab Un,";

/* Opens; on success tokenizes, detokenizes whole and step by step. True when it opened. */
static bool use(const pn_vocab_source *source, const char *text, size_t n) {
    pn_vocab *vocab = NULL;
    puna_error err = {0};
    if (pn_vocab_open(source, &vocab, &err)) {
        assert_true(err.msg[0] != 0);
        return false;
    }
    for (uint32_t flags = 0; flags < 4; flags++) {
        int32_t *ids = malloc((4 * n + 8) * sizeof *ids), n_ids = 0;
        if (!pn_vocab_tokenize(vocab, text, n, flags, ids, (int32_t)(4 * n + 8), &n_ids, &err)) {
            size_t bytes = 0;
            const puna_status status =
                pn_vocab_detokenize(vocab, ids, n_ids, flags, NULL, 0, &bytes, &err);
            assert_true(status == (bytes ? PUNA_E_LIMIT : PUNA_OK));
            char *piece = malloc(pn_detok_max_bytes(vocab));
            pn_detok detok = {0};
            for (int32_t i = 0; i < n_ids; i++)
                assert_true(pn_detok_push(vocab, &detok, ids[i], false, piece) <=
                            pn_detok_max_bytes(vocab));
            (void)pn_detok_finish(&detok, piece);
            free(piece);
        }
        free(ids);
    }
    pn_vocab_free(vocab);
    return true;
}

static void (*const makers[])(tiny_vocab *) = {tiny_spm, tiny_wpm, tiny_ugm};

static void make(tiny_vocab *tiny, int which) {
    if (which < 3)
        makers[which](tiny);
    else
        tiny_bpe(tiny, which == 3 ? "default" : which == 4 ? "llama-bpe" : "deepseek-llm");
    if (which == 6) tiny_spm(tiny), tiny->source.model = (pn_vocab_text){"gemma4", 6};
}

#define N_KINDS 7

static void odd_vocabularies(void **state) {
    (void)state;
    static char big[8000000];
    memset(big, 'x', sizeof big);
    for (int which = 0; which < N_KINDS; which++) {
        tiny_vocab tiny;
        const size_t n = sizeof sample - 1;
        make(&tiny, which);
        assert_true(use(&tiny.source, sample, n));
        tiny.source.scores = NULL;
        tiny.source.types = NULL;
        assert_true(use(&tiny.source, sample, n));
        make(&tiny, which);
        for (int i = 0; i < tiny.source.n_tokens; i++)
            tiny.scores[i] = i % 3 ? NAN : INFINITY, tiny.types[i] = 99 - i;
        assert_true(use(&tiny.source, sample, n));
        for (int type = 0; type < 8; type++) {
            for (int i = 0; i < tiny.source.n_tokens; i++)
                tiny.scores[i] = -INFINITY, tiny.types[i] = type;
            assert_true(use(&tiny.source, sample, n));
        }
        make(&tiny, which);
        for (int i = 0; i < tiny.source.n_tokens; i++) tiny.tokens[i] = tiny.tokens[i % 7];
        assert_true(use(&tiny.source, sample, n));
        for (int i = 0; i < tiny.source.n_tokens; i++) tiny.tokens[i].n = 0;
        assert_true(use(&tiny.source, sample, n));
        make(&tiny, which);
        tiny.tokens[5] = (pn_vocab_text){"a\0b", 3};
        tiny.tokens[6] = (pn_vocab_text){"\xff\xc3\x28", 3};
        tiny.tokens[7] = (pn_vocab_text){big, sizeof big};
        tiny.types[7] = PN_TOKEN_USER_DEFINED;
        assert_true(use(&tiny.source, big, 5000));
        tiny.source.n_tokens = 1;
        assert_true(use(&tiny.source, sample, n));
    }
}

static void odd_ids_and_bytes(void **state) {
    (void)state;
    static const int64_t ids[] = {-1, 0, 511, 300, INT64_MAX, INT64_MIN, UINT32_MAX};
    static const char *const bytes[] = {"<0x-1>", "<0xZZ>", "<0x>", "<0x111>", "<0x0a>", "<0x"};
    for (int which = 0; which < N_KINDS; which++) {
        tiny_vocab tiny;
        for (size_t k = 0; k < sizeof ids / sizeof ids[0]; k++) {
            make(&tiny, which);
            pn_vocab_source *s = &tiny.source;
            s->bos = s->eos = s->eot = s->eom = s->unk = s->sep = s->pad = s->cls = s->mask =
                ids[k];
            s->add_bos = s->add_eos = s->add_sep = 1;
            assert_true(use(s, sample, sizeof sample - 1));
        }
        make(&tiny, which);
        for (size_t k = 0; k < sizeof bytes / sizeof bytes[0]; k++) {
            tiny.tokens[3 + k] = (pn_vocab_text){bytes[k], strlen(bytes[k])};
            tiny.types[3 + k] = PN_TOKEN_BYTE;
        }
        assert_true(use(&tiny.source, sample, sizeof sample - 1));
    }
}

/* No tokens for bytes and no unknown token: an error that shows the text. */
static void unspellable(void **state) {
    (void)state;
    tiny_vocab tiny;
    tiny_spm(&tiny);
    for (int i = 0; i < 259; i++) tiny.tokens[i].n = 0, tiny.types[i] = PN_TOKEN_NORMAL;
    tiny.source.unk = -1;
    pn_vocab *vocab = NULL;
    assert_int_equal(pn_vocab_open(&tiny.source, &vocab, NULL), PUNA_OK);
    int32_t id, n;
    puna_error err = {0};
    assert_int_equal(pn_vocab_tokenize(vocab, "q", 1, 0, &id, 1, &n, &err), PUNA_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "\"q\""));
    pn_vocab_free(vocab);
}

static void odd_merges(void **state) {
    (void)state;
    static const char *const merges[] = {"nospace", "",      " ",         "  ",   "a ",  " b",
                                         "x y",     "x y z", "\xff \xfe", "xy h", "h e", "h e"};
    for (int which = 3; which < N_KINDS; which++) {
        tiny_vocab tiny;
        make(&tiny, which);
        for (size_t i = 0; i < sizeof merges / sizeof merges[0]; i++) tiny_merge(&tiny, merges[i]);
        assert_true(use(&tiny.source, "xyhe xyz a b \xff\xfe", 16));
        tiny.source.n_merges = 0;
        assert_true(use(&tiny.source, sample, sizeof sample - 1));
    }
}

static void odd_charsmaps(void **state) {
    (void)state;
    tiny_vocab tiny;
    unsigned char map[4 + 64 * 4 + 2];
    for (unsigned seed = 1; seed < 300; seed++) {
        tiny_ugm(&tiny);
        unsigned r = seed * 2654435761u;
        for (size_t i = 0; i < sizeof map; i++)
            map[i] = (unsigned char)((r = r * 1103515245u + 12345u) >> 16);
        map[0] = seed % 5 ? 0 : 8;
        map[1] = seed % 5 ? 1 : 255;
        map[2] = map[3] = 0;
        tiny.source.charsmap = map;
        tiny.source.charsmap_bytes = seed % 7 ? sizeof map : seed % 9;
        (void)use(&tiny.source, sample, sizeof sample - 1);
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

static long countdown, n_live;

static void *counted_alloc(void *user, size_t bytes) {
    (void)user;
    if (countdown-- == 0) return NULL;
    n_live++;
    return malloc(bytes);
}

static void *counted_realloc(void *user, void *ptr, size_t bytes) {
    (void)user;
    if (countdown-- == 0) return NULL;
    n_live += ptr == NULL;
    return realloc(ptr, bytes);
}

static void counted_free(void *user, void *ptr) {
    (void)user;
    n_live--;
    free(ptr);
}

/* Everything a vocabulary does once; PUNA_OK when no allocation failed. */
static puna_status whole_life(const pn_vocab_source *source) {
    pn_vocab *vocab = NULL;
    int32_t ids[512], n = 0;
    char text[1024];
    size_t bytes = 0;
    puna_status status = pn_vocab_open(source, &vocab, NULL);
    if (!status)
        status = pn_vocab_tokenize(vocab, sample, sizeof sample - 1, 3, ids, 512, &n, NULL);
    if (!status) status = pn_vocab_detokenize(vocab, ids, n, 5, text, sizeof text, &bytes, NULL);
    pn_vocab_free(vocab);
    return status;
}

static void out_of_memory(void **state) {
    (void)state;
    const puna_allocator counted = {counted_alloc, counted_realloc, counted_free, NULL};
    puna_set_allocator(&counted);
    for (int which = 0; which < N_KINDS; which++) {
        tiny_vocab tiny;
        make(&tiny, which);
        tiny.source.unk = 0;
        puna_status status = PUNA_E_NOMEM;
        for (long fail_at = 0; fail_at < 2000; fail_at++) {
            countdown = fail_at;
            n_live = 0;
            status = whole_life(&tiny.source);
            assert_int_equal(n_live, 0);
            if (countdown >= 0) break; /* it needed no more than fail_at */
            assert_true(status == PUNA_E_NOMEM ||
                        status == PUNA_OK); /* PCRE2 can do without its JIT */
        }
        assert_int_equal(status, PUNA_OK);
    }
    puna_set_allocator(NULL);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* CPU seconds for a repeated text. Far below what quadratic work would take, with room for a
 * sanitizer. */
static void long_runs(void **state) {
    (void)state;
    static const char *const units[] = {"h",    " ", "\n",    "he", "\xcc\x81",
                                        "\xff", "<", "hello", "1",  "a "};
    const size_t n = 400000; /* quadratic work would be 10^11 steps */
    char *text = malloc(n);
    for (int which = 0; which < N_KINDS; which++) {
        tiny_vocab tiny;
        make(&tiny, which);
        tiny.source.unk = 0;
        pn_vocab *vocab = NULL;
        assert_int_equal(pn_vocab_open(&tiny.source, &vocab, NULL), PUNA_OK);
        for (size_t u = 0; u < sizeof units / sizeof units[0]; u++) {
            const size_t len = strlen(units[u]);
            for (size_t i = 0; i < n; i++) text[i] = units[u][i % len];
            int32_t n_ids = 0;
            puna_error err = {0};
            const clock_t start = clock();
            const puna_status status = pn_vocab_tokenize(vocab, text, n, 0, NULL, 0, &n_ids, &err);
            const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
            if (status != PUNA_OK && status != PUNA_E_LIMIT) fail_msg("%s", err.msg);
            if (seconds > 20)
                fail_msg("kind %d: 400 kB of \"%s\" took %.1f s", which, units[u], seconds);
        }
        pn_vocab_free(vocab);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_vocabularies), cmocka_unit_test(odd_ids_and_bytes),
        cmocka_unit_test(unspellable),      cmocka_unit_test(odd_merges),
        cmocka_unit_test(odd_charsmaps),    cmocka_unit_test(out_of_memory),
        cmocka_unit_test(long_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
