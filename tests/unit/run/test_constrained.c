/* test_constrained.c: sequences under a grammar: what comes out is in it; the result is that of
 * forbidding tokens before anything else; forks, feeds and single draws keep their places. */
#include "grammar/matcher.h"
#include "run/model.h"
#include "run/sampler.h"

#include "tiny_engine.h"

#include <math.h>

static const int32_t prompt[] = {1, 70, 71, 72};
enum { N_PROMPT = 4 };

/* Words of the tiny vocabulary are "w259".."w299"; it has all bytes. */
static const char list[] = "root ::= \"[\" item (\",\" item){1,3} \"]\"\n"
                           "item ::= \"w2\" [6-9] [0-9] | \"'\" [^'\\x00-\\x1f]{0,12} \"'\"\n";

static puna_grammar *open_grammar(const char *gbnf) {
    puna_grammar *g = NULL;
    puna_error err = {0};
    if (puna_grammar_open(gbnf, strlen(gbnf), NULL, &g, &err)) fail_msg("%s", err.msg);
    return g;
}

static bool accepts(puna_grammar *g, const outcome *seen) {
    bool accepted = false;
    assert_int_equal(puna_grammar_accepts(g, seen->text, seen->n_bytes, &accepted, NULL), PUNA_OK);
    return accepted;
}

static puna_seq_options with_grammar(puna_grammar *g, uint64_t seed) {
    puna_seq_options o;
    puna_seq_options_init(&o);
    o.max_tokens = 200;
    o.sampler.grammar = g;
    o.sampler.seed = seed;
    o.sampler.temperature = 1.2f;
    return o;
}

static void test_text_is_in_the_grammar(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 16, 2, PUNA_KV_F32);
    puna_grammar *g = open_grammar(list);
    for (uint64_t seed = 0; seed < 8; seed++) {
        puna_seq_options o = with_grammar(g, seed);
        if (seed == 0) o.sampler.temperature = 0;
        if (seed % 3 == 1) o.sampler.mirostat = 2;
        puna_seq *s = open_seq_with(e, &o);
        for (int again = 0; again < 2; again++) { /* a new feed is a new text */
            const outcome seen = complete(e, s, prompt, N_PROMPT);
            assert_false(seen.failed);
            assert_int_equal(seen.finish, PUNA_FINISH_END);
            if (!accepts(g, &seen)) fail_msg("%s", seen.text);
        }
        puna_seq_free(s);
    }
    puna_grammar_free(g);
    puna_engine_free(e);
}

/* ---- the same as forbidding tokens first ------------------------------------------------------ */

typedef struct forbidding {
    pn_matching at; /* of a text in a matcher of its own */
    int32_t n_fed;
} forbidding;

static bool forbid(void *user, const int32_t *tokens, int32_t n_tokens, float *logits,
                   int32_t n_vocab) {
    forbidding *f = user;
    pn_matching tried = {0};
    pn_matching_restart(&f->at);
    for (int32_t i = f->n_fed; i < n_tokens; i++)
        assert_int_equal(pn_matching_token(&f->at, tokens[i], NULL), PUNA_OK);
    for (int32_t t = 0; t < n_vocab; t++) {
        pn_matching_copy(&f->at, &tried);
        assert_int_equal(pn_matching_token(&tried, t, NULL), PUNA_OK);
        if (pn_matching_is_dead(&tried)) logits[t] = -INFINITY;
    }
    pn_matching_close(&tried);
    return true;
}

static void test_mask_comes_first(void **state) {
    (void)state;
    static const puna_logit_bias bias[] = {{'[' + 3, 2}, {'w' + 3, 40}, {'x' + 3, 50}, {270, -3}};
    puna_engine *e = open_engine(1, 16, 1, PUNA_KV_F32);
    puna_grammar *g = open_grammar(list);
    const pn_token_trie *trie = NULL;
    forbidding f = {.n_fed = N_PROMPT};
    assert_int_equal(pn_model_trie(model, &trie, NULL), PUNA_OK);
    assert_int_equal(pn_matching_open(g, trie, &f.at, NULL), PUNA_OK);
    for (uint64_t seed = 0; seed < 8; seed++) {
        puna_seq_options o = with_grammar(g, seed);
        if (seed % 2) {
            o.sampler.logit_bias = bias;
            o.sampler.n_logit_bias = 4;
            o.sampler.repeat_penalty = 1.3f;
            o.sampler.presence_penalty = 0.5f;
            o.sampler.penalty_last_n = -1;
            o.sampler.dry_multiplier = 0.8f;
        }
        if (seed % 4 == 2) o.sampler.top_k = 0;
        if (seed % 4 == 3) o.sampler.mirostat = 1;
        if (seed == 0) o.sampler.temperature = 0;
        o.sampler.n_logprobs = 2;
        puna_seq *s = open_seq_with(e, &o);
        const outcome masked = complete(e, s, prompt, N_PROMPT);
        puna_seq_free(s);
        o.sampler.grammar = NULL;
        o.edit_logits = forbid;
        o.edit_user = &f;
        s = open_seq_with(e, &o);
        const outcome edited = complete(e, s, prompt, N_PROMPT);
        puna_seq_free(s);
        assert_string_equal(masked.text, edited.text);
        assert_int_equal(masked.n_tokens, edited.n_tokens);
        assert_memory_equal(masked.tokens, edited.tokens, sizeof masked.tokens);
        assert_int_equal(masked.finish, PUNA_FINISH_END);
    }
    pn_matching_close(&f.at);
    puna_grammar_free(g);
    puna_engine_free(e);
}

/* ---- places ---------------------------------------------------------------------------------- */

/* The byte that a sampler draws from level logits. */
static int draw_byte(pn_sampler *s) {
    static float logits[TINY_VOCAB];
    int32_t token = -1;
    puna_error err = {0};
    if (pn_sampler_draw(s, logits, prompt, N_PROMPT, &token, &err)) fail_msg("%s", err.msg);
    return token - 3;
}

static void test_copy_goes_on_by_itself(void **state) {
    (void)state;
    puna_grammar *g = open_grammar("root ::= \"a\" (\"b\" \"c\" | \"d\" \"e\")");
    const pn_token_trie *trie = NULL;
    pn_sampler *s = NULL, *copy = NULL;
    puna_seq_options o = with_grammar(g, 1);
    o.sampler.temperature = 0;
    assert_int_equal(pn_model_trie(model, &trie, NULL), PUNA_OK);
    assert_int_equal(pn_sampler_open(&o.sampler, model->vocab, 100, &s, NULL), PUNA_OK);
    assert_int_equal(pn_sampler_constrain(s, trie, NULL), PUNA_OK);
    puna_grammar_free(g);
    assert_int_equal(draw_byte(s), 'a');
    assert_int_equal(draw_byte(s), 'a');
    assert_int_equal(pn_sampler_accept(s, 'a' + 3, NULL), PUNA_OK);
    assert_int_equal(pn_sampler_copy(s, &copy, NULL), PUNA_OK);
    assert_int_equal(pn_sampler_accept(s, 'd' + 3, NULL), PUNA_OK);
    assert_int_equal(draw_byte(s), 'e');
    assert_int_equal(draw_byte(copy), 'b');
    assert_int_equal(pn_sampler_accept(copy, 'b' + 3, NULL), PUNA_OK);
    pn_sampler_free(s);
    assert_int_equal(draw_byte(copy), 'c');
    puna_error err = {0};
    assert_int_equal(pn_sampler_accept(copy, 'x' + 3, &err), PUNA_E_NUMERIC);
    assert_string_equal(err.msg, "the grammar does not allow token 123 here");
    pn_sampler_restart(copy);
    assert_int_equal(draw_byte(copy), 'a');
    pn_sampler_free(copy);
}

static void test_draw_keeps_the_place(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 16, 1, PUNA_KV_F32);
    puna_grammar *g = open_grammar("root ::= \"ab\" | \"cd\"");
    puna_seq_options o = with_grammar(g, 1);
    o.max_tokens = 0;
    puna_seq *s = open_seq_with(e, &o);
    feed(s, prompt, N_PROMPT);
    run_until_idle(e);
    for (int i = 0; i < 20; i++) {
        int32_t token;
        assert_int_equal(puna_seq_sample(s, &token, NULL), PUNA_OK);
        assert_true(token == 'a' + 3 || token == 'c' + 3);
    }
    puna_seq_free(s);
    puna_grammar_free(g);
    puna_engine_free(e);
}

/* Several sequences with one grammar, next to others without: each as if it were alone. */
static void test_side_by_side(void **state) {
    (void)state;
    enum { N = 5 };
    puna_engine *e = open_engine(N, 16, 2, PUNA_KV_F32);
    puna_grammar *g = open_grammar(list);
    puna_seq *s[N];
    outcome alone[N];
    for (int i = 0; i < N; i++) {
        puna_seq_options o = with_grammar(i == 2 ? NULL : g, (uint64_t)i);
        o.max_tokens = 40;
        s[i] = open_seq_with(e, &o);
        alone[i] = complete(e, s[i], prompt, N_PROMPT - i % 2);
    }
    for (int watched = 0; watched < N; watched++) {
        outcome seen = {0};
        for (int i = 0; i < N; i++) {
            puna_seq_options o = with_grammar(i == 2 ? NULL : g, (uint64_t)i);
            assert_int_equal(puna_seq_set_sampler(s[i], &o.sampler, NULL), PUNA_OK);
            feed(s[i], prompt, N_PROMPT - i % 2);
        }
        run_watching(e, s[watched], &seen);
        assert_int_equal(seen.n_tokens, alone[watched].n_tokens);
        assert_memory_equal(seen.tokens, alone[watched].tokens, sizeof seen.tokens);
    }
    puna_engine_free(e); /* with the sequences */
    puna_grammar_free(g);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void test_nothing_is_possible(void **state) {
    (void)state;
    static const struct {
        const char *gbnf;
        bool ignore_end;
        int n_tokens;
        const char *message;
    } cases[] = {
        {"root ::= \"a\" <[9999]>", false, 1,
         "no token possible: the grammar allows none of the vocabulary here"},
        {"root ::= \"ab\"", true, 2,
         "no token possible: every logit that the grammar allows is NaN, -infinity or forbidden"},
    };
    puna_engine *e = open_engine(1, 16, 1, PUNA_KV_F32);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        puna_grammar *g = open_grammar(cases[i].gbnf);
        puna_seq_options o = with_grammar(g, 1);
        o.sampler.ignore_end = cases[i].ignore_end;
        puna_seq *s = open_seq_with(e, &o);
        puna_grammar_free(g); /* the sampler holds it */
        for (int again = 0; again < 2; again++) {
            const outcome seen = complete(e, s, prompt, N_PROMPT);
            assert_true(seen.failed);
            assert_int_equal(seen.error.code, PUNA_E_NUMERIC);
            assert_string_equal(seen.error.msg, cases[i].message);
            assert_int_equal(seen.n_tokens, cases[i].n_tokens);
        }
        puna_seq_free(s);
    }
    puna_engine_free(e);
}

static void test_unknown_names(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 16, 1, PUNA_KV_F32);
    puna_grammar *g = open_grammar("root ::= <think> .*");
    puna_seq_options o = with_grammar(g, 1);
    puna_error err = {0};
    puna_seq *s = NULL;
    assert_int_equal(puna_seq_open(e, &o, &s, &err), PUNA_E_FORMAT);
    assert_string_equal(err.msg, "grammar: <think> is not a token of this model's vocabulary");
    puna_grammar_free(g);
    g = open_grammar("root ::= <s> [a-c] </s>"); /* one that adds no text, and one that ends it */
    o.sampler.grammar = g;
    s = open_seq_with(e, &o);
    const outcome seen = complete(e, s, prompt, N_PROMPT);
    assert_int_equal(seen.finish, PUNA_FINISH_END);
    assert_int_equal(seen.n_tokens, 2);
    assert_int_equal(seen.tokens[0], 1);
    assert_in_range(seen.text[0], 'a', 'c');
    puna_seq_free(s);
    puna_grammar_free(g);
    puna_engine_free(e);
}

static int setup(void **state) {
    (void)state;
    open_model(PN_FMT_Q4_0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_in_the_grammar), cmocka_unit_test(test_mask_comes_first),
        cmocka_unit_test(test_copy_goes_on_by_itself), cmocka_unit_test(test_draw_keeps_the_place),
        cmocka_unit_test(test_side_by_side),           cmocka_unit_test(test_nothing_is_possible),
        cmocka_unit_test(test_unknown_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
