/* test_matcher.c: going on in a grammar by bytes, characters and tokens; places that are kept and
 * gone back to; masks against every token tried alone; all of it also while memory is given up at
 * every step. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grammar/matcher_impl.h"
#include "unit/failing_allocator.h"

static puna_grammar *open_grammar(const char *gbnf) {
    puna_grammar *g = NULL;
    puna_error err = {0};
    if (puna_grammar_open(gbnf, strlen(gbnf), NULL, &g, &err)) fail_msg("%s: %s", gbnf, err.msg);
    return g;
}

static void open_matching(puna_grammar *g, const pn_token_trie *trie, pn_matching *m) {
    puna_error err = {0};
    if (pn_matching_open(g, trie, m, &err)) fail_msg("%s", err.msg);
}

static size_t take(pn_matching *m, const char *text, size_t n) {
    puna_error err = {0};
    size_t taken = 0;
    if (pn_matching_text(m, text, n, &taken, &err)) fail_msg("%s", err.msg);
    return taken;
}

/* ---- text ------------------------------------------------------------------------------------ */

static const char expression[] = "root ::= sum\n"
                                 "sum ::= product ([-+] product)*\n"
                                 "product ::= value ([*/] value)*\n"
                                 "value ::= [0-9]+ | \"(\" sum \")\" | \"-\" value\n";

static void test_where_it_ends(void **state) {
    (void)state;
    static const struct {
        const char *gbnf, *text;
        size_t taken;
        bool complete;
    } cases[] = {
        {expression, "1+(2*-3)", 8, true},
        {expression, "1+(2*-3", 7, false},
        {expression, "1+(2**3)", 5, false},
        {expression, "1)", 1, false},
        {expression, "x", 0, false},
        {"root ::= \"\xc3\xa9\" \".\"", "\xc3\xa8.", 1, false},
        {"root ::= \"a\"{3}", "aaaa", 3, false},
        {"root ::= [^x]{0,300}", "aaax", 3, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t n = strlen(cases[i].text);
        puna_grammar *g = open_grammar(cases[i].gbnf);
        for (size_t cut = 0; cut <= n; cut++) { /* in two pieces */
            pn_matching m = {0};
            open_matching(g, NULL, &m);
            size_t taken = take(&m, cases[i].text, cut);
            if (taken == cut) taken += take(&m, cases[i].text + cut, n - cut);
            assert_int_equal(taken, cases[i].taken);
            assert_int_equal(pn_matching_is_complete(&m), cases[i].complete);
            assert_int_equal(pn_matching_is_dead(&m), cases[i].taken < n);
            pn_matching_close(&m);
        }
        puna_grammar_free(g);
    }
}

static void test_parts(void **state) {
    (void)state;
    puna_grammar *g = open_grammar("root ::= <think> !</think>* </think> [a-z]+ <[7]>?");
    const struct {
        puna_grammar_part parts[5];
        int32_t n;
        bool accepted, is_prefix;
        int32_t part;
        size_t byte;
    } cases[] = {
        {{{"<think>", 7, 0}, {"hm <x> ", 7, 0}, {"</think>", 8, 0}, {"yes", 3, 0}},
         4,
         true,
         true,
         0,
         0},
        {{{"<think>", 7, 0}, {"hm", 2, 0}, {"</think>", 8, 0}, {"yes", 3, 0}, {NULL, 0, 7}},
         5,
         true,
         true,
         0,
         0},
        {{{"<think>", 7, 0}, {NULL, 0, 9}, {"</think>", 8, 0}, {"a", 1, 0}}, 4, true, true, 0, 0},
        {{{"<think>", 7, 0}, {"</think>", 8, 0}}, 2, false, true, 0, 0},
        {{{"<think>", 7, 0}, {"</think>", 8, 0}, {"yEs", 3, 0}}, 3, false, false, 2, 1},
        {{{"<think>", 7, 0}, {"</think>", 8, 0}, {"y", 1, 0}, {NULL, 0, 8}}, 4, false, false, 3, 0},
        {{{"x", 1, 0}}, 1, false, false, 0, 0},
        {{{"", 0, 0}}, 0, false, true, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        puna_grammar_match match = {.size = sizeof match};
        puna_error err = {0};
        assert_int_equal(puna_grammar_match_parts(g, cases[i].parts, cases[i].n, &match, &err),
                         PUNA_OK);
        assert_int_equal(match.accepted, cases[i].accepted);
        assert_int_equal(match.is_prefix, cases[i].is_prefix);
        if (match.is_prefix) continue;
        assert_int_equal(match.part, cases[i].part);
        assert_int_equal(match.byte, cases[i].byte);
    }
    puna_grammar_free(g);
}

static void test_copies(void **state) {
    (void)state;
    puna_grammar *g = open_grammar(expression);
    pn_matching m = {0}, kept = {0}, fork = {0};
    open_matching(g, NULL, &m);
    puna_grammar_free(g); /* the matching holds it */
    take(&m, "(1+", 3);
    pn_matching_copy(&m, &kept);
    pn_matching_copy(&m, &fork);
    take(&m, "2", 1);
    take(&fork, "(3", 2);
    assert_int_equal(take(&m, ")", 1), 1);
    assert_true(pn_matching_is_complete(&m));
    assert_int_equal(take(&fork, "))", 2), 2);
    assert_true(pn_matching_is_complete(&fork));
    assert_int_equal(take(&m, ")", 1), 0);
    assert_true(pn_matching_is_dead(&m));
    pn_matching_copy(&kept, &m); /* back */
    assert_int_equal(take(&m, ")", 1), 0);
    pn_matching_restart(&m);
    assert_int_equal(take(&m, "7", 1), 1);
    assert_true(pn_matching_is_complete(&m));
    pn_matching_close(&m);
    assert_int_equal(take(&kept, "4)", 2), 2);
    pn_matching_close(&kept);
    pn_matching_copy(&kept, &fork); /* of a closed one */
    assert_null(fork.matcher);
    pn_matching_close(&fork);
    pn_matching_close(&fork);
}

/* Memory is given up before each step, and the places that are in use stay good. */
static void test_collection(void **state) {
    (void)state;
    enum { DEPTH = 300 };
    static const char gbnf[] = "root ::= \"(\" x{2,90} root x \")\" | \"[\" root \"]\" | \"\"\n"
                               "x ::= \"a\" | \"b\" x\n";
    puna_grammar *g = open_grammar(gbnf);
    pn_matching m = {0}, at[DEPTH] = {{0}};
    open_matching(g, NULL, &m);
    for (int i = 0; i < DEPTH; i++) {
        m.matcher->limit = 1;
        assert_int_equal(take(&m, i % 3 ? "(babba" : "[", i % 3 ? 6 : 1), i % 3 ? 6 : 1);
        pn_matching_copy(&m, &at[i]);
    }
    for (int i = DEPTH - 1; i >= 0; i--) {
        m.matcher->limit = 1;
        const char *wrong = i % 3 ? "]" : ")";
        pn_matching_copy(&at[i], &m); /* all that is open can be closed from each place */
        for (int k = i; k >= i - 10 && k >= 0; k--) take(&m, k % 3 ? "ba)" : "]", k % 3 ? 3 : 1);
        assert_false(pn_matching_is_dead(&m));
        assert_int_equal(take(&at[i], wrong, 1), 0);
        pn_matching_close(&at[i]);
    }
    pn_matching_restart(&m);
    for (int i = 0; i < DEPTH; i++) take(&m, "[", 1);
    for (int i = 0; i < DEPTH; i++) {
        assert_false(pn_matching_is_complete(&m));
        m.matcher->limit = 1;
        assert_int_equal(take(&m, "]", 1), 1);
    }
    assert_true(pn_matching_is_complete(&m));
    assert_true(m.matcher->n_frames < 20);
    pn_matching_close(&m);
    puna_grammar_free(g);
}

/* A text that needs more than may be spent on it is an error; the matcher is good afterwards. */
static void check_bound(const char *gbnf, size_t max_left, uint64_t max_work, const char *message,
                        const char *good) {
    static char text[20000];
    puna_grammar *g = open_grammar(gbnf);
    pn_matching m = {0};
    puna_error err = {0};
    puna_status status = PUNA_OK;
    memset(text, 'a', sizeof text);
    open_matching(g, NULL, &m);
    m.matcher->limit = 4000;
    m.matcher->max_left = max_left;
    m.matcher->max_work = max_work;
    for (size_t i = 0; i < sizeof text && !status; i++)
        status = pn_matching_text(&m, text + i, 1, NULL, &err);
    assert_int_equal(status, PUNA_E_LIMIT);
    if (strncmp(err.msg, message, strlen(message)) != 0) fail_msg("%s", err.msg);
    pn_matching_restart(&m);
    assert_int_equal(take(&m, good, strlen(good)), strlen(good));
    assert_true(pn_matching_is_complete(&m));
    pn_matching_close(&m);
    puna_grammar_free(g);
}

static void test_bounds(void **state) {
    (void)state;
    check_bound("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \".\"", 100000, UINT64_MAX / 2,
                "grammar: too ambiguous for this text: following it takes 1", "aa.bc");
    check_bound("root ::= (\"a\" | \"aa\"){1,9000} \".\"", SIZE_MAX, 4000,
                "grammar: too ambiguous for this text: following it takes too long", "aaa.");
}

/* ---- tokens ---------------------------------------------------------------------------------- */

enum { N_TOKENS = 700, END = 690, SILENT = 692, NEVER = 694 };
static char token_texts[N_TOKENS][12];
static size_t token_bytes[N_TOKENS];
static pn_token_source token_sources[N_TOKENS];

/* All bytes, then pieces of up to eight bytes over a few characters, some cut inside one; then
 * tokens that end, that are silent, and that must not come. */
static pn_token_trie *make_trie(void) {
    static const char *const pieces[] = {
        "a",    "b",    "1",        "\"",           "{",        "}", ",", ":", " ", "\\", "n",
        "\xc3", "\xa9", "\xc3\xa9", "\xe4\xb8\x80", "\xf0\x9f", "-", "(", ")", "+"};
    uint32_t seed = 5;
    for (int i = 0; i < N_TOKENS; i++) {
        char *text = token_texts[i];
        size_t n = 0;
        if (i < 256) text[n++] = (char)i;
        for (int k = 0; i >= 256 && k < 8; k++) {
            seed = seed * 1664525u + 1013904223u;
            const uint32_t n_pieces = i % 2 ? 3 : sizeof pieces / sizeof *pieces;
            const char *piece = pieces[(seed >> 10) % n_pieces];
            if (n + strlen(piece) > 8 || (k > 0 && (seed >> 4) % 4 == 0)) break;
            memcpy(text + n, piece, strlen(piece));
            n += strlen(piece);
        }
        token_bytes[i] = n;
        token_sources[i] = (pn_token_source){text, n, PN_TOKEN_OF_TEXT};
    }
    for (int i = END; i < N_TOKENS; i++) {
        token_bytes[i] = (size_t)snprintf(token_texts[i], sizeof token_texts[i], "<t%d>", i);
        token_sources[i].n = token_bytes[i];
        token_sources[i].kind = i < SILENT  ? PN_TOKEN_OF_END
                                : i < NEVER ? PN_TOKEN_SILENT
                                            : PN_TOKEN_NEVER;
    }
    pn_token_trie *trie = NULL;
    puna_error err = {0};
    if (pn_token_trie_open(token_sources, N_TOKENS, &trie, &err)) fail_msg("%s", err.msg);
    return trie;
}

static bool is_allowed(const pn_token_mask *mask, int32_t t) {
    return mask->bits[t >> 6] >> (t & 63) & 1;
}

/* Whether the token may come, by trying it from the same place in another matcher. */
static bool may_come(const pn_matching *at, int32_t token) {
    pn_matching m = {0};
    puna_error err = {0};
    if (token >= NEVER) return false;
    pn_matching_copy(at, &m);
    const bool ends = token >= END && token < SILENT;
    if (pn_matching_token(&m, token, &err)) fail_msg("%s", err.msg);
    const bool may = !pn_matching_is_dead(&m) && (!ends || pn_matching_is_complete(&m));
    pn_matching_close(&m);
    return may;
}

static const char *const mask_grammars[] = {
    "root ::= value\nvalue ::= \"{\" (s \":\" value (\",\" s \":\" value)*)? \"}\" | s | n\n"
    "s ::= \"\\\"\" ([^\"\\\\\\x00-\\x1f] | \"\\\\\" [\"\\\\n])* \"\\\"\"\nn ::= \"-\"? \"1\"+",
    "root ::= \"(\" root \")\" root | [ab\xc3\xa9]{0,200} \"+\" | \"\"",
    "root ::= (\"\\\"\" [^\"]{3,40} \"\\\"\" [,:]?){1,300}",
    "root ::= .*",
    "root ::= [\xc3\xa9\xe4\xb8\x80]{20,30} \"1\"",
    "root ::= <[5]> !<[300]>* <t692> [ab]* <t690>",
    "root ::= ([ab] | <[97]> \"1\" | !<t692>)* | <t691>",
    "root ::= (\"a\" | \"ab\" | \"b1\"){2,1000} \"\\\"\" | root2\nroot2 ::= \"1\" root2 \"a\" | "
    "\"1\" root2 \"b\" | \"\"",
};

/* Walks along random tokens; at each place the mask is what trying every token says. */
static void check_masks(const char *gbnf, const pn_token_trie *trie, size_t limit, uint32_t seed) {
    puna_grammar *g = open_grammar(gbnf), *other = open_grammar(gbnf);
    pn_matching m = {0}, tried = {0};
    puna_error err = {0};
    open_matching(g, trie, &m);
    open_matching(other, trie, &tried);
    for (int i = 0; i < 60; i++) {
        pn_token_mask mask;
        int32_t n_allowed = 0, chosen = -1, n_seen = 0;
        if (limit) m.matcher->limit = limit;
        if (pn_matching_mask(&m, &mask, &err)) fail_msg("%s: %s", gbnf, err.msg);
        for (int32_t t = 0; t < N_TOKENS; t++) {
            if (is_allowed(&mask, t) != may_come(&tried, t))
                fail_msg("%s: step %d, token %d: %d", gbnf, i, t, is_allowed(&mask, t));
            n_allowed += is_allowed(&mask, t);
        }
        assert_int_equal(mask.n_allowed, n_allowed);
        seed = seed * 1664525u + 1013904223u;
        for (int32_t t = 0; t < END && n_allowed > 0; t++)
            if (is_allowed(&mask, t) && n_seen++ <= (int32_t)((seed >> 8) % (uint32_t)n_allowed))
                chosen = t;
        if (chosen < 0) break;
        if (pn_matching_token(&m, chosen, &err)) fail_msg("%s", err.msg);
        if (pn_matching_token(&tried, chosen, &err)) fail_msg("%s", err.msg);
    }
    pn_matching_close(&m);
    pn_matching_close(&tried);
    puna_grammar_free(g);
    puna_grammar_free(other);
}

static void test_masks(void **state) {
    (void)state;
    pn_token_trie *trie = make_trie();
    for (size_t i = 0; i < sizeof mask_grammars / sizeof mask_grammars[0]; i++)
        for (uint32_t seed = 1; seed <= 8; seed++)
            check_masks(mask_grammars[i], trie, seed % 2 ? 0 : 2000, seed);
    pn_token_trie_free(trie);
}

/* Near the bounds of a count, where each has a mask of its own. */
static void test_masks_at_bounds(void **state) {
    (void)state;
    static const char *const grammars[] = {"root ::= [ab]{70,110} \"1\"?",
                                           "root ::= (\"a\" | \"b\" | \"ab\"){70,100}",
                                           "root ::= \"(\" ([ab]{1,80} [-+]){70,90} \")\""};
    pn_token_trie *trie = make_trie();
    for (size_t i = 0; i < sizeof grammars / sizeof grammars[0]; i++) {
        puna_grammar *g = open_grammar(grammars[i]), *other = open_grammar(grammars[i]);
        pn_matching m = {0}, tried = {0};
        pn_token_mask mask;
        puna_error err = {0};
        open_matching(g, trie, &m);
        open_matching(other, trie, &tried);
        for (size_t n = 0; !pn_matching_is_dead(&m); n++) {
            assert_int_equal(pn_matching_mask(&m, &mask, &err), PUNA_OK);
            for (int32_t t = 0; t < N_TOKENS; t++)
                if (is_allowed(&mask, t) != may_come(&tried, t))
                    fail_msg("%s: after %zu, token %d: %d", grammars[i], n, t,
                             is_allowed(&mask, t));
            const char *next = i < 2 ? "ab" : n == 0 ? "(" : "a+";
            const char *one = &next[strlen(next) == 2 ? n % 2 : 0];
            take(&m, one, 1);
            take(&tried, one, 1);
        }
        pn_matching_close(&m);
        pn_matching_close(&tried);
        puna_grammar_free(g);
        puna_grammar_free(other);
    }
    pn_token_trie_free(trie);
}

/* A count that is far from its bounds needs no mask of its own. */
static void test_masks_of_counts(void **state) {
    (void)state;
    pn_token_trie *trie = make_trie();
    puna_grammar *g = open_grammar("root ::= \"a\" [ab]{500,100000}");
    pn_matching m = {0};
    pn_token_mask mask;
    puna_error err = {0};
    open_matching(g, trie, &m);
    take(&m, "a", 1);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(pn_matching_mask(&m, &mask, &err), PUNA_OK);
        assert_int_equal(is_allowed(&mask, END), i >= 500);
        take(&m, i % 2 ? "a" : "b", 1);
    }
    assert_true(m.matcher->n_masks < 30);
    pn_matching_close(&m);
    puna_grammar_free(g);
    pn_token_trie_free(trie);
}

static void test_ends(void **state) {
    (void)state;
    pn_token_trie *trie = make_trie();
    puna_grammar *g = open_grammar("root ::= \"ab\"");
    pn_matching m = {0};
    pn_token_mask mask;
    puna_error err = {0};
    open_matching(g, trie, &m);
    assert_int_equal(pn_matching_mask(&m, &mask, &err), PUNA_OK);
    assert_false(is_allowed(&mask, END));
    assert_int_equal(pn_matching_token(&m, 'a', &err), PUNA_OK);
    assert_int_equal(pn_matching_token(&m, 'b', &err), PUNA_OK);
    assert_int_equal(pn_matching_mask(&m, &mask, &err), PUNA_OK);
    assert_int_equal(mask.n_allowed, SILENT - END); /* nothing else can follow */
    assert_true(is_allowed(&mask, END) && is_allowed(&mask, END + 1));
    assert_int_equal(pn_matching_token(&m, END, &err), PUNA_OK);
    assert_false(pn_matching_is_dead(&m));
    assert_int_equal(pn_matching_token(&m, 'a', &err), PUNA_OK);
    assert_true(pn_matching_is_dead(&m));
    assert_int_equal(pn_matching_mask(&m, &mask, &err), PUNA_OK);
    assert_int_equal(mask.n_allowed, 0);
    assert_int_equal(pn_matching_token(&m, N_TOKENS, &err), PUNA_OK);
    assert_int_equal(pn_matching_token(&m, -5, &err), PUNA_OK);
    pn_matching_close(&m);
    puna_grammar_free(g);
    g = open_grammar("root ::= <none>");
    assert_int_equal(pn_matching_open(g, trie, &m, &err), PUNA_E_FORMAT);
    assert_string_equal(err.msg, "grammar: <none> is not a token of this model's vocabulary");
    puna_grammar_free(g);
    pn_token_trie_free(trie);
}

/* What a matcher has learnt is used again, for the same vocabulary. */
static void test_matchers_wait(void **state) {
    (void)state;
    pn_token_trie *trie = make_trie(), *other = make_trie();
    puna_grammar *g = open_grammar(expression);
    pn_matching m = {0};
    open_matching(g, trie, &m);
    pn_matcher *first = m.matcher;
    take(&m, "1+2", 3);
    pn_matching_close(&m);
    open_matching(g, other, &m);
    assert_ptr_not_equal(m.matcher, first);
    pn_matching_close(&m);
    for (int i = 0; i < 3; i++) {
        open_matching(g, trie, &m);
        assert_ptr_equal(m.matcher, first);
        assert_int_equal(take(&m, "2*3", 3), 3);
        pn_matching_close(&m);
    }
    pn_matching many[12] = {{0}};
    for (int i = 0; i < 12; i++) open_matching(g, i % 2 ? trie : other, &many[i]);
    for (int i = 0; i < 12; i++) pn_matching_close(&many[i]);
    puna_grammar_free(g);
    pn_token_trie_free(trie);
    pn_token_trie_free(other);
}

/* One grammar in several threads: each has its own matcher at any time. */
static void *match_many(void *user) {
    puna_grammar *g = user;
    for (int i = 0; i < 300; i++) {
        pn_matching m = {0};
        bool accepted = false;
        if (puna_grammar_accepts(g, i % 2 ? "(1+2)*3" : "(1+2)*", i % 2 ? 7 : 6, &accepted, NULL) ||
            accepted != (i % 2 == 1))
            return g;
        if (pn_matching_open(g, NULL, &m, NULL)) return g;
        if (pn_matching_text(&m, "1+(2*-3)", 8, NULL, NULL) || !pn_matching_is_complete(&m))
            return g;
        pn_matching_close(&m);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    enum { N = 6 };
    pthread_t threads[N];
    puna_grammar *g = open_grammar(expression);
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_many, g), 0);
    for (int i = 0; i < N; i++) {
        void *failed = g;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    puna_grammar_free(g);
}

/* Every allocation fails once: an error, and the matching can be used as before. */
static void test_failing_allocations(void **state) {
    (void)state;
    bool done = false;
    for (long n = 0; !done; n++) {
        pn_token_trie *trie = NULL;
        pn_matching m = {0};
        pn_token_mask mask = {0};
        puna_error err = {0};
        puna_grammar *g = open_grammar(mask_grammars[2]);
        allocations_left = n;
        puna_set_allocator(&failing_allocator);
        puna_status status = pn_token_trie_open(token_sources, N_TOKENS, &trie, &err);
        if (!status) status = pn_matching_open(g, trie, &m, &err);
        if (!status) m.matcher->limit = 3000;
        if (!status) status = pn_matching_text(&m, "\"aaa", 4, NULL, &err);
        if (!status) status = pn_matching_mask(&m, &mask, &err);
        if (!status) status = pn_matching_token(&m, '"', &err);
        if (!status) status = pn_matching_mask(&m, &mask, &err);
        puna_set_allocator(NULL);
        done = status == PUNA_OK;
        if (!done) assert_int_equal(status, PUNA_E_NOMEM);
        if (m.matcher) {
            pn_matching_restart(&m);
            assert_int_equal(take(&m, "\"aaa\"", 5), 5);
            assert_true(pn_matching_is_complete(&m));
            assert_int_equal(pn_matching_mask(&m, &mask, &err), PUNA_OK);
            assert_true(is_allowed(&mask, END) && is_allowed(&mask, '"') && is_allowed(&mask, ','));
            assert_false(is_allowed(&mask, 'a'));
        }
        pn_matching_close(&m);
        puna_grammar_free(g);
        pn_token_trie_free(trie);
        assert_true(n < 5000);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void test_json(void **state) {
    (void)state;
    static const char *const in[] = {
        "{}",
        "{\"a\": 1}",
        "{\"a\":[1,2.5,-0.1e+5,0],\"b\":{\"c\":null,\"d\":[true,false,[]]}}",
        "{\n    \"a\": \"\\u00e9\\\\\\\"\\/\\n\xc3\xa9\x7f\",\n    \"b\": [\n        1\n    ]\n}",
        "{ \"a\" : 1 , \"b\" : 2 }",
        "{\"\": \"\"}"};
    static const char *const out[] = {"",
                                      "[]",
                                      "1",
                                      " {}",
                                      "{} ",
                                      "{}\n",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\": 01}",
                                      "{\"a\": 1.}",
                                      "{\"a\": +1}",
                                      "{a: 1}",
                                      "{\"a\": 1,}",
                                      "{\"a\": [1,]}",
                                      "{\"a\": \"\n\"}",
                                      "{\"a\": \"\\x\"}",
                                      "{\"a\": \"\\u12g4\"}",
                                      "{\"a\": nul}",
                                      "{  \"a\": 1}",
                                      "{\"a\": 1",
                                      "{\"a\": \"\xc3\"}",
                                      "{\"a\": 1}}",
                                      "{\"a\": .5}",
                                      "{\"a\": 1e}",
                                      "{\n                     \"a\": 1}"};
    puna_grammar *g = NULL;
    puna_error err = {0};
    bool accepted = false;
    assert_int_equal(puna_grammar_open_json(&g, &err), PUNA_OK);
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++) {
        assert_int_equal(puna_grammar_accepts(g, in[i], strlen(in[i]), &accepted, &err), PUNA_OK);
        if (!accepted) fail_msg("%s", in[i]);
    }
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++) {
        assert_int_equal(puna_grammar_accepts(g, out[i], strlen(out[i]), &accepted, &err), PUNA_OK);
        if (accepted) fail_msg("%s", out[i]);
    }
    puna_grammar_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_it_ends),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_collection),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_masks_at_bounds),
        cmocka_unit_test(test_masks_of_counts),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_matchers_wait),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
