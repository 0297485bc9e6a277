/* test_sampler.c: samplers against llama.cpp's own (tests/golden/peer/samplers.json, made by
 * tools/sampler_golden.py), against plain re-computations and statistics, and with hostile
 * input. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "run/sampler_impl.h"
#include "unit/run/plain_vocab.h"

enum { N_CTX = 256 };

/* ---- helpers --------------------------------------------------------------------------------- */

/* A byte-level vocabulary of n tokens: the given words, then fillers; the last token ends a
 * text. */
static pn_vocab *open_vocab(json_t *words, int32_t n) {
    pn_vocab_text *tokens = calloc((size_t)n, sizeof *tokens);
    char(*fillers)[16] = calloc((size_t)n, sizeof *fillers);
    for (int32_t i = 0; i < n; i++) {
        json_t *word = words ? json_array_get(words, (size_t)i) : NULL;
        if (word) {
            tokens[i] = (pn_vocab_text){json_string_value(word), json_string_length(word)};
        } else {
            int length = snprintf(fillers[i], sizeof fillers[i], "q%d", i);
            tokens[i] = (pn_vocab_text){fillers[i], (size_t)length};
        }
    }
    pn_vocab *vocab = open_plain_vocab(tokens, n);
    free(fillers);
    free(tokens);
    return vocab;
}

/* Everything off, temperature 1, seed 1. */
static puna_sampler_params neutral(void) {
    puna_sampler_params p;
    puna_sampler_params_init(&p, PUNA_CHAIN_LLAMA_CPP);
    p.seed = 1;
    p.temperature = 1;
    p.top_k = 0;
    p.top_p = 1;
    p.min_p = 0;
    p.penalty_last_n = 0;
    return p;
}

static pn_sampler *open_sampler(const puna_sampler_params *params, const pn_vocab *vocab) {
    pn_sampler *sampler = NULL;
    puna_error err = {0};
    if (pn_sampler_open(params, vocab, N_CTX, &sampler, &err) != PUNA_OK) fail_msg("%s", err.msg);
    return sampler;
}

static int32_t draw(pn_sampler *sampler, const float *logits) {
    int32_t token = -1;
    puna_error err = {0};
    if (pn_sampler_draw(sampler, logits, NULL, 0, &token, &err) != PUNA_OK) fail_msg("%s", err.msg);
    assert_in_range(token, 0, sampler->n_vocab - 1);
    return token;
}

static uint32_t random_state;
static double uniform(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) / 16777216.0;
}

static void fill_random(float *logits, int32_t n, double scale, uint32_t seed) {
    random_state = seed;
    for (int32_t i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k < 12; k++) sum += uniform();
        logits[i] = (float)(scale * (sum - 6));
    }
}

/* ---- llama.cpp's numbers --------------------------------------------------------------------- */

static json_t *load_golden(void) {
    char path[1024];
    snprintf(path, sizeof path, "%s", __FILE__);
    char *unit = strstr(path, "unit/run/test_sampler.c");
    if (!unit) return NULL;
    snprintf(unit, sizeof path - (size_t)(unit - path), "golden/peer/samplers.json");
    return json_load_file(path, 0, NULL);
}

static void read_float(json_t *params, const char *name, float *value) {
    json_t *number = json_object_get(params, name);
    if (number) *value = (float)json_number_value(number);
}

static void read_int(json_t *params, const char *name, int32_t *value) {
    json_t *number = json_object_get(params, name);
    if (number) *value = (int32_t)json_integer_value(number);
}

static puna_sampler_params read_params(json_t *o, const char **breakers, puna_logit_bias *bias) {
    puna_sampler_params p = neutral();
    read_float(o, "temperature", &p.temperature);
    read_int(o, "top_k", &p.top_k);
    read_float(o, "top_p", &p.top_p);
    read_float(o, "min_p", &p.min_p);
    read_float(o, "typical_p", &p.typical_p);
    read_float(o, "top_n_sigma", &p.top_n_sigma);
    read_float(o, "xtc_probability", &p.xtc_probability);
    read_float(o, "xtc_threshold", &p.xtc_threshold);
    read_int(o, "mirostat", &p.mirostat);
    read_float(o, "mirostat_tau", &p.mirostat_tau);
    read_float(o, "mirostat_eta", &p.mirostat_eta);
    read_int(o, "penalty_last_n", &p.penalty_last_n);
    read_float(o, "repeat_penalty", &p.repeat_penalty);
    read_float(o, "frequency_penalty", &p.frequency_penalty);
    read_float(o, "presence_penalty", &p.presence_penalty);
    read_float(o, "dry_multiplier", &p.dry_multiplier);
    read_float(o, "dry_base", &p.dry_base);
    read_int(o, "dry_allowed_length", &p.dry_allowed_length);
    read_int(o, "dry_penalty_last_n", &p.dry_penalty_last_n);
    size_t i;
    json_t *item, *list = json_object_get(o, "dry_sequence_breakers");
    if (list) p.n_dry_sequence_breakers = (int32_t)json_array_size(list);
    json_array_foreach(list, i, item) breakers[i] = json_string_value(item);
    if (list) p.dry_sequence_breakers = breakers;
    list = json_object_get(o, "logit_bias");
    json_array_foreach(list, i, item) {
        bias[i].token = (int32_t)json_integer_value(json_array_get(item, 0));
        bias[i].bias = (float)json_number_value(json_array_get(item, 1));
    }
    p.logit_bias = bias;
    p.n_logit_bias = list ? (int32_t)json_array_size(list) : 0;
    return p;
}

/* The candidates a draw would choose from; p normalised. */
static void list_candidates(pn_sampler *s, const float *logits, const int32_t *history,
                            int32_t n_history) {
    bool listed = true;
    double total, floor;
    pn_scores_load(s, logits);
    pn_penalties_apply(s, history, n_history);
    if (s->params.mirostat) {
        total = pn_mirostat_truncate(s);
    } else {
        total = pn_truncate(s, &listed, &floor);
        if (!listed) {
            pn_scores_select(s, s->n_vocab, floor);
            total = pn_candidates_weigh(s, 1 / (double)s->params.temperature);
        }
    }
    for (int32_t i = 0; i < s->n_candidates; i++) s->candidates[i].p /= total;
}

static int compare_with(const pn_sampler *s, json_t *left, int32_t n_left) {
    if (s->n_candidates != n_left)
        return print_message("  %d tokens left, expected %d\n", s->n_candidates, n_left), 1;
    size_t i;
    json_t *row;
    json_array_foreach(left, i, row) {
        double p = json_number_value(json_array_get(row, 1));
        const pn_candidate *c = &s->candidates[i];
        if (c->id != (int32_t)json_integer_value(json_array_get(row, 0)) ||
            fabs(c->p - p) > 2e-6 + 2e-6 * p)
            return print_message("  rank %zu: token %d, %g, expected %g\n", i, c->id, c->p, p), 1;
    }
    return 0;
}

static int check_case(json_t *c, const pn_vocab *vocab, json_t *logit_sets) {
    json_t *numbers = json_object_get(logit_sets, json_string_value(json_object_get(c, "logits")));
    float logits[2048];
    for (size_t i = 0; i < json_array_size(numbers); i++)
        logits[i] = (float)json_number_value(json_array_get(numbers, i));
    json_t *tokens = json_object_get(c, "history");
    int32_t history[512], n_history = (int32_t)json_array_size(tokens);
    for (int32_t i = 0; i < n_history; i++)
        history[i] = (int32_t)json_integer_value(json_array_get(tokens, (size_t)i));
    const char *breakers[8];
    puna_logit_bias bias[8];
    puna_sampler_params params = read_params(json_object_get(c, "params"), breakers, bias);
    pn_sampler *s = open_sampler(&params, vocab);
    list_candidates(s, logits, history, n_history);
    int failed = compare_with(s, json_object_get(c, "left"),
                              (int32_t)json_integer_value(json_object_get(c, "n_left")));
    if (!failed && params.mirostat) {
        pn_mirostat_learn(s, json_number_value(json_object_get(c, "drawn_p")));
        list_candidates(s, logits, history, n_history);
        failed = compare_with(s, json_object_get(c, "left_next"),
                              (int32_t)json_integer_value(json_object_get(c, "n_left_next")));
    }
    pn_sampler_free(s);
    return failed;
}

static void test_llama_cpp(void **state) {
    (void)state;
    json_t *golden = load_golden();
    if (!golden) {
        print_message("tests/golden/peer/samplers.json is not there\n");
        skip();
    }
    json_t *sets = json_object_get(golden, "logits"), *c, *cases = json_object_get(golden, "cases");
    int n_failed = 0;
    size_t i;
    const char *name;
    json_t *set;
    json_object_foreach(sets, name, set) {
        pn_vocab *vocab =
            open_vocab(json_object_get(golden, "words"), (int32_t)json_array_size(set));
        json_array_foreach(cases, i, c) {
            if (strcmp(json_string_value(json_object_get(c, "logits")), name) != 0) continue;
            if (!check_case(c, vocab, sets)) continue;
            n_failed++;
            char *params = json_dumps(json_object_get(c, "params"), 0);
            print_message("case %zu (%s, %s): %s\n", i,
                          json_string_value(json_object_get(c, "kind")), name, params);
            free(params);
        }
        pn_vocab_free(vocab);
    }
    print_message("%zu cases of llama.cpp %s\n", json_array_size(cases),
                  json_string_value(json_object_get(golden, "llama_cpp_python")));
    json_decref(golden);
    assert_int_equal(n_failed, 0);
}

/* ---- random numbers -------------------------------------------------------------------------- */

/* The vectors published with the generator (Random123, kat_vectors). */
static void test_philox(void **state) {
    (void)state;
    const struct {
        uint32_t counter[4], key[2], bits[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t out[4];
        pn_philox(rows[i].counter, rows[i].key, out);
        assert_memory_equal(out, rows[i].bits, sizeof out);
    }
}

/* Draws follow the softmax: Pearson's statistic over 12 tokens; 31.3 is the 0.1 % point of
 * chi-square(11). */
static void test_draws_follow_probabilities(void **state) {
    (void)state;
    pn_vocab *vocab = open_vocab(NULL, 200);
    float logits[200];
    for (int i = 0; i < 200; i++) logits[i] = i % 17 ? -INFINITY : (float)(i / 17) * 0.3f;
    for (int listed = 0; listed < 2; listed++) {
        puna_sampler_params p = neutral();
        p.temperature = 1.7f;
        if (listed) p.top_k = 100;
        pn_sampler *s = open_sampler(&p, vocab);
        int count[12] = {0};
        enum { N = 40000 };
        for (int i = 0; i < N; i++) count[draw(s, logits) / 17]++;
        double total = 0, chi = 0;
        for (int i = 0; i < 12; i++) total += exp(i * 0.3f / 1.7f);
        for (int i = 0; i < 12; i++) {
            double expected = N * exp(i * 0.3f / 1.7f) / total;
            chi += (count[i] - expected) * (count[i] - expected) / expected;
        }
        print_message("chi-square(11) = %.1f\n", chi);
        assert_true(chi < 31.3);
        pn_sampler_free(s);
    }
    pn_vocab_free(vocab);
}

static void test_seed_decides(void **state) {
    (void)state;
    enum { N = 1000 };
    pn_vocab *vocab = open_vocab(NULL, N);
    float logits[N];
    fill_random(logits, N, 1, 5);
    puna_sampler_params p = neutral();
    p.xtc_probability = 0.5f;
    pn_sampler *a = open_sampler(&p, vocab), *b = open_sampler(&p, vocab), *copy = NULL;
    p.seed = 2;
    pn_sampler *other = open_sampler(&p, vocab);
    int n_same = 0;
    for (int i = 0; i < 50; i++) {
        int32_t token = draw(a, logits);
        assert_int_equal(token, draw(b, logits));
        n_same += token == draw(other, logits);
    }
    assert_true(n_same < 10);
    assert_int_equal(pn_sampler_copy(a, &copy, NULL), PUNA_OK);
    for (int i = 0; i < 50; i++) assert_int_equal(draw(a, logits), draw(copy, logits));
    p.seed = PUNA_SEED_RANDOM;
    pn_sampler *r = open_sampler(&p, vocab), *q = NULL;
    assert_int_equal(pn_sampler_copy(r, &q, NULL), PUNA_OK);
    for (int i = 0; i < 50; i++) assert_int_equal(draw(r, logits), draw(q, logits));
    pn_sampler *all[] = {a, b, copy, other, r, q};
    for (int i = 0; i < 6; i++) pn_sampler_free(all[i]);
    pn_vocab_free(vocab);
}

/* ---- selection ------------------------------------------------------------------------------- */

static const float *compared;
static int by_score(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (compared[x] != compared[y]) return compared[x] > compared[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

/* The k best of odd vocabularies, with many ties and impossible tokens, against a full sort. */
static void test_top_k_is_a_sort(void **state) {
    (void)state;
    const int32_t sizes[] = {1, 2, 63, 64, 65, 1000, 5003}, ks[] = {1, 2, 7, 40, 64, 65, 700, 4999};
    for (size_t z = 0; z < sizeof sizes / sizeof sizes[0]; z++) {
        int32_t n = sizes[z];
        pn_vocab *vocab = open_vocab(NULL, n);
        float *logits = calloc((size_t)n, sizeof *logits);
        int32_t *order = calloc((size_t)n, sizeof *order);
        for (int kind = 0; kind < 4; kind++) {
            fill_random(logits, n, 3, (uint32_t)(n + kind));
            for (int32_t i = 0; i < n; i++) {
                if (kind == 1) logits[i] = roundf(logits[i]);
                if (kind == 2) logits[i] = 0.0f * (i % 2 ? -1 : 1);
                if (kind == 3 && i % 3 && n > 1) logits[i] = -INFINITY;
            }
            int32_t n_possible = 0;
            for (int32_t i = 0; i < n; i++)
                if (logits[i] > -INFINITY) order[n_possible++] = i;
            compared = logits;
            qsort(order, (size_t)n_possible, sizeof *order, by_score);
            for (size_t j = 0; j < sizeof ks / sizeof ks[0]; j++) {
                puna_sampler_params p = neutral();
                p.top_k = ks[j];
                pn_sampler *s = open_sampler(&p, vocab);
                list_candidates(s, logits, NULL, 0);
                int32_t expected = ks[j] < n_possible ? ks[j] : n_possible;
                assert_int_equal(s->n_candidates, expected);
                for (int32_t i = 0; i < expected; i++)
                    assert_int_equal(s->candidates[i].id, order[i]);
                pn_sampler_free(s);
            }
        }
        free(order);
        free(logits);
        pn_vocab_free(vocab);
    }
}

/* Without top-k, the list of top-p grows until it holds enough: the same as going through all
 * tokens. */
static void test_long_top_p(void **state) {
    (void)state;
    enum { N = 9000 };
    pn_vocab *vocab = open_vocab(NULL, N);
    static float logits[N];
    static int32_t order[N];
    fill_random(logits, N, 0.5, 9);
    for (int32_t i = 0; i < N; i++) order[i] = i;
    compared = logits;
    qsort(order, N, sizeof *order, by_score);
    const float masses[] = {0, 0.001f, 0.3f, 0.9f, 0.99999f};
    double total = 0;
    for (int32_t i = 0; i < N; i++) total += exp((double)logits[i]);
    for (size_t j = 0; j < sizeof masses / sizeof masses[0]; j++) {
        puna_sampler_params p = neutral();
        p.top_p = masses[j];
        pn_sampler *s = open_sampler(&p, vocab);
        list_candidates(s, logits, NULL, 0);
        double mass = 0;
        int32_t n = 0;
        do mass += exp((double)logits[order[n++]]) / total;
        while (n < N && mass < (double)masses[j]);
        assert_int_equal(s->n_candidates, n);
        for (int32_t i = 0; i < n; i++) assert_int_equal(s->candidates[i].id, order[i]);
        pn_sampler_free(s);
    }
    pn_vocab_free(vocab);
}

/* The example of mirostat's paper turned round: with tau in bits, p = 1/2, 1/4, 1/8, 1/8 and mu
 * = 2 the tokens of one and two bits stay. Then the bound moves by eta times the error. */
static void test_mirostat_by_hand(void **state) {
    (void)state;
    pn_vocab *vocab = open_vocab(NULL, 4);
    const float logits[4] = {logf(0.125f), logf(0.5f), logf(0.25f), logf(0.125f)};
    puna_sampler_params p = neutral();
    p.mirostat = 2;
    p.mirostat_tau = 1.02f;
    p.mirostat_eta = 0.5f;
    pn_sampler *s = open_sampler(&p, vocab);
    list_candidates(s, logits, NULL, 0);
    assert_int_equal(s->n_candidates, 2);
    assert_int_equal(s->candidates[0].id, 1);
    assert_true(fabs(s->candidates[0].p - 2.0 / 3) < 1e-6);
    pn_mirostat_learn(s, 0.25);
    assert_true(fabs(s->mu - (2.04 - 0.5 * (2 - 1.02))) < 1e-6);
    pn_sampler_free(s);
    pn_vocab_free(vocab);
}

/* DRY on "x y z ... x y": z loses 0.8 * 1.75^(2 - 2); with one more word of context 0.8 * 1.75. */
static void test_dry_by_hand(void **state) {
    (void)state;
    pn_vocab *vocab = open_vocab(NULL, 16);
    float logits[16] = {0};
    puna_sampler_params p = neutral();
    p.dry_multiplier = 0.8f;
    pn_sampler *s = open_sampler(&p, vocab);
    const int32_t two[] = {1, 2, 3, 9, 1, 2}, three[] = {4, 1, 2, 3, 9, 4, 1, 2},
                  one[] = {2, 3, 9, 2};
    pn_scores_load(s, logits);
    pn_penalties_apply(s, two, 6);
    for (int i = 0; i < 16; i++) assert_true(fabsf(s->scores[i] - (i == 3 ? -0.8f : 0)) < 1e-6f);
    pn_scores_load(s, logits);
    pn_penalties_apply(s, three, 8);
    assert_true(fabsf(s->scores[3] + 0.8f * 1.75f) < 1e-6f);
    pn_scores_load(s, logits);
    pn_penalties_apply(s, one, 4);
    assert_true(s->scores[3] == 0);
    pn_sampler_free(s);
    pn_vocab_free(vocab);
}

static void test_penalty_windows(void **state) {
    (void)state;
    pn_vocab *vocab = open_vocab(NULL, 8);
    const float logits[8] = {2, -2, 2, 2, 2, 2, 2, 2};
    int32_t history[N_CTX + 10];
    for (int i = 0; i < N_CTX + 10; i++) history[i] = i == 0 ? 7 : i < 10 ? 6 : i % 2;
    const int32_t windows[] = {1, 2, 5, -1};
    for (size_t w = 0; w < 4; w++) {
        puna_sampler_params p = neutral();
        p.penalty_last_n = windows[w];
        p.repeat_penalty = 2;
        pn_sampler *s = open_sampler(&p, vocab);
        for (int again = 0; again < 2;
             again++) { /* nothing is left over from one draw to the next */
            pn_scores_load(s, logits);
            pn_penalties_apply(s, history, N_CTX + 10);
            assert_true(s->scores[1] == -4);
            assert_true(s->scores[0] == (windows[w] == 1 ? 2 : 1));
            assert_true(s->scores[6] == 2 && s->scores[7] == 2);
        }
        pn_sampler_free(s);
    }
    pn_vocab_free(vocab);
}

static void test_ignore_end_and_bias(void **state) {
    (void)state;
    pn_vocab *vocab = open_vocab(NULL, 8);
    const float logits[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    puna_sampler_params p = neutral();
    p.temperature = 0;
    pn_sampler *s = open_sampler(&p, vocab);
    assert_int_equal(draw(s, logits), 7);
    pn_sampler_free(s);
    p.ignore_end = true;
    const puna_logit_bias bias[] = {{6, -INFINITY}, {2, 2.5f}};
    p.logit_bias = bias;
    p.n_logit_bias = 1;
    s = open_sampler(&p, vocab);
    assert_int_equal(draw(s, logits), 5);
    pn_sampler_free(s);
    p.n_logit_bias = 2;
    p.temperature = 0.001f;
    s = open_sampler(&p, vocab);
    assert_int_equal(draw(s, logits), 5);
    pn_sampler_free(s);
    pn_vocab_free(vocab);
}

/* ---- hostile input --------------------------------------------------------------------------- */

static void set_variant(puna_sampler_params *p, int variant) {
    *p = neutral();
    if (variant == 1) puna_sampler_params_init(p, PUNA_CHAIN_LLAMA_CPP);
    if (variant == 2) puna_sampler_params_init(p, PUNA_CHAIN_LLAMA_CPP_PYTHON);
    if (variant == 3) p->temperature = 0;
    if (variant == 4) p->mirostat = 1;
    if (variant == 5) p->mirostat = 2;
    if (variant == 6) p->typical_p = 0.5f;
    if (variant == 7) p->top_n_sigma = 1;
    if (variant == 8) p->xtc_probability = 1, p->xtc_threshold = 0;
    if (variant == 9) p->top_p = 0.5f;
    if (variant == 10) p->min_p = 1;
    if (variant == 11) p->temperature = FLT_MIN;
    if (variant == 12) p->temperature = FLT_MAX;
    if (variant == 13) p->dry_multiplier = 5, p->dry_base = 1000, p->dry_allowed_length = 0;
    if (variant == 14) p->penalty_last_n = -1, p->repeat_penalty = FLT_MIN;
    if (variant == 15) p->penalty_last_n = -1, p->frequency_penalty = FLT_MAX;
    if (variant == 16) p->typical_p = 0;
    if (variant == 17) p->mirostat = 1, p->mirostat_tau = 0, p->mirostat_eta = FLT_MAX;
    p->seed = 3;
}
enum { N_VARIANTS = 18 };

/* Whatever the parameters: impossible tokens are never drawn, +infinity wins, and nothing at all
 * is an error. */
static void test_hostile_logits(void **state) {
    (void)state;
    const int32_t sizes[] = {1, 2, 70, 400};
    int32_t history[N_CTX];
    for (int i = 0; i < N_CTX; i++) history[i] = i % 5 == 4 ? 100000 * (i % 2 ? -1 : 1) : 0;
    for (size_t z = 0; z < 4; z++) {
        int32_t n = sizes[z], token;
        pn_vocab *vocab = open_vocab(NULL, n);
        float logits[400];
        for (int v = 0; v < N_VARIANTS; v++) {
            puna_sampler_params p;
            set_variant(&p, v);
            pn_sampler *s = open_sampler(&p, vocab);
            puna_error err;
            for (int32_t i = 0; i < n; i++) logits[i] = i % 2 ? NAN : -INFINITY;
            assert_int_equal(pn_sampler_draw(s, logits, history, N_CTX, &token, &err),
                             PUNA_E_NUMERIC);
            logits[n / 2] = -5;
            for (int i = 0; i < 4; i++) {
                assert_int_equal(pn_sampler_draw(s, logits, history, N_CTX, &token, &err), PUNA_OK);
                assert_int_equal(token, n / 2);
            }
            logits[n / 2] = -FLT_MAX;
            assert_int_equal(pn_sampler_draw(s, logits, history, N_CTX, &token, &err), PUNA_OK);
            for (int32_t i = 0; i < n; i++) logits[i] = FLT_MAX * (i % 2 ? -1.0f : 0.5f);
            assert_int_equal(pn_sampler_draw(s, logits, history, N_CTX, &token, &err), PUNA_OK);
            logits[n - 1] = INFINITY;
            assert_int_equal(pn_sampler_draw(s, logits, NULL, 0, &token, &err), PUNA_OK);
            if (v != 8 && v != 12 && v != 16) assert_int_equal(token, n - 1);
            pn_sampler_free(s);
        }
        pn_vocab_free(vocab);
    }
}

static void expect_refused(const pn_vocab *vocab, puna_sampler_params p, const char *words) {
    pn_sampler *s = NULL;
    puna_error err = {0};
    assert_int_equal(pn_sampler_open(&p, vocab, N_CTX, &s, &err), PUNA_E_ARG);
    assert_null(s);
    if (!strstr(err.msg, words)) fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

#define REFUSED(field, value, words)                                                               \
    do {                                                                                           \
        puna_sampler_params p = neutral();                                                         \
        p.field = (value);                                                                         \
        expect_refused(vocab, p, words);                                                           \
    } while (0)

static void test_ranges(void **state) {
    (void)state;
    pn_vocab *vocab = open_vocab(NULL, 10);
    REFUSED(temperature, NAN, "temperature: nan");
    REFUSED(temperature, -0.1f, "temperature: -0.1");
    REFUSED(temperature, INFINITY, "temperature: inf");
    REFUSED(top_p, 1.5f, "top_p: 1.5 is outside 0..1");
    REFUSED(top_p, NAN, "top_p");
    REFUSED(min_p, -1, "min_p: -1 is outside 0..1");
    REFUSED(typical_p, NAN, "typical_p");
    REFUSED(top_n_sigma, NAN, "top_n_sigma: nan is not a finite number");
    REFUSED(xtc_probability, 2, "xtc_probability");
    REFUSED(xtc_threshold, NAN, "xtc_threshold");
    REFUSED(mirostat, 3, "mirostat: 3 is outside 0..2");
    REFUSED(mirostat_tau, NAN, "mirostat_tau");
    REFUSED(mirostat_eta, -1, "mirostat_eta");
    REFUSED(penalty_last_n, -2, "penalty_last_n: -2 is less than -1");
    REFUSED(repeat_penalty, 0, "repeat_penalty: 0");
    REFUSED(repeat_penalty, NAN, "repeat_penalty: nan");
    REFUSED(repeat_penalty, INFINITY, "repeat_penalty: inf");
    REFUSED(frequency_penalty, NAN, "frequency_penalty");
    REFUSED(presence_penalty, INFINITY, "presence_penalty");
    REFUSED(dry_multiplier, -1, "dry_multiplier");
    REFUSED(dry_base, 0.5f, "dry_base: 0.5");
    REFUSED(dry_allowed_length, -1, "dry_allowed_length");
    REFUSED(dry_penalty_last_n, -5, "dry_penalty_last_n");
    REFUSED(n_logprobs, 65, "n_logprobs: 65 is outside 0..64");
    REFUSED(n_logit_bias, 1, "logit_bias: NULL");
    REFUSED(n_logit_bias, -1, "n_logit_bias");
    REFUSED(dry_sequence_breakers, NULL, "dry_sequence_breakers: NULL");
    REFUSED(size, 3, "puna_sampler_params_init");
    REFUSED(chain, (puna_chain)7, "chain: 7");
    puna_sampler_params p = neutral();
    const puna_logit_bias outside = {10, 1}, no_number = {1, NAN};
    p.n_logit_bias = 1;
    p.logit_bias = &outside;
    expect_refused(vocab, p, "logit_bias[0]: token 10 is outside 0..9");
    p.logit_bias = &no_number;
    expect_refused(vocab, p, "logit_bias[0]");
    puna_sampler_params_init(&p, PUNA_CHAIN_LLAMA_CPP_PYTHON);
    p.dry_multiplier = 1;
    expect_refused(vocab, p, "dry_multiplier: not part of llama-cpp-python's chain");
    pn_vocab_free(vocab);
}

/* Params of an older header keep the defaults for what they lack; of a newer one, the rest is
 * not read. */
static void test_size_rule(void **state) {
    (void)state;
    pn_vocab *vocab = open_vocab(NULL, 10);
    struct {
        puna_sampler_params p;
        char more[64];
    } newer;
    memset(&newer, 0xff, sizeof newer);
    puna_sampler_params_init(&newer.p, PUNA_CHAIN_LLAMA_CPP);
    newer.p.size = sizeof newer;
    newer.p.top_k = 3;
    pn_sampler *s = open_sampler(&newer.p, vocab);
    assert_int_equal(s->params.top_k, 3);
    pn_sampler_free(s);
    puna_sampler_params older;
    memset(&older, 0xff, sizeof older);
    older.size = offsetof(puna_sampler_params, top_p);
    older.chain = PUNA_CHAIN_LLAMA_CPP_PYTHON;
    older.seed = 4;
    older.temperature = 0.5f;
    older.top_k = 6;
    s = open_sampler(&older, vocab);
    assert_int_equal(s->params.top_k, 6);
    assert_true(s->params.top_p == 0.95f && s->params.repeat_penalty == 1);
    assert_int_equal(s->params.n_dry_sequence_breakers, 4);
    pn_sampler_free(s);
    pn_vocab_free(vocab);
}

/* ---- log-probabilities ----------------------------------------------------------------------- */

static void test_logprobs(void **state) {
    (void)state;
    enum { N = 3001 };
    static float logits[N];
    static int32_t order[N];
    for (int round = 0; round < 2; round++) {
        fill_random(logits, N, 4, 31);
        for (int i = 0; i < N; i++) {
            order[i] = i;
            if (round) logits[i] = roundf(logits[i] / 4);
        }
        logits[5] = -INFINITY;
        compared = logits;
        qsort(order, N, sizeof *order, by_score);
        long double total = 0;
        for (int i = 0; i < N; i++) total += expl((long double)logits[i]);
        puna_token_logprob top[PUNA_MAX_LOGPROBS];
        float of_token;
        assert_int_equal(puna_logprobs(logits, N, 77, &of_token, top, PUNA_MAX_LOGPROBS),
                         PUNA_MAX_LOGPROBS);
        assert_true(fabs((double)of_token - (double)((long double)logits[77] - logl(total))) <
                    1e-6);
        for (int i = 0; i < PUNA_MAX_LOGPROBS; i++) {
            assert_int_equal(top[i].token, order[i]);
            assert_true(fabs((double)top[i].logprob -
                             (double)((long double)logits[order[i]] - logl(total))) < 1e-6);
        }
    }
    puna_token_logprob top[4];
    float of_token;
    const float odd[3] = {NAN, INFINITY, -1};
    assert_int_equal(puna_logprobs(odd, 3, 1, &of_token, top, 4), 3);
    assert_true(of_token == 0 && top[0].token == 1 && top[0].logprob == 0);
    const float none[2] = {NAN, -INFINITY};
    assert_int_equal(puna_logprobs(none, 2, 1, &of_token, top, 0), 0);
    assert_true(isinf(of_token) && of_token < 0);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static long allocations_left;
static size_t allocated_bytes;
static void *limited_alloc(void *user, size_t bytes) {
    (void)user;
    if (allocations_left-- <= 0) return NULL;
    allocated_bytes += bytes;
    return malloc(bytes);
}
static void *limited_realloc(void *user, void *ptr, size_t bytes) {
    (void)user;
    return allocations_left-- > 0 ? realloc(ptr, bytes) : NULL;
}
static void plain_free(void *user, void *ptr) {
    (void)user;
    free(ptr);
}

/* The N-th allocation fails: an error and no leak. A draw allocates nothing. */
static void test_memory(void **state) {
    (void)state;
    enum { N = 5000 };
    pn_vocab *vocab = open_vocab(NULL, N);
    static float logits[N];
    fill_random(logits, N, 2, 8);
    int32_t history[100] = {1, 2, 3};
    const puna_allocator limited = {limited_alloc, limited_realloc, plain_free, NULL};
    puna_set_allocator(&limited);
    for (int v = 0; v < N_VARIANTS; v++) {
        puna_sampler_params p;
        set_variant(&p, v);
        p.ignore_end = true;
        pn_sampler *s = NULL;
        puna_error err;
        puna_status status = PUNA_E_NOMEM;
        for (long n = 0; status != PUNA_OK; n++) {
            allocations_left = n;
            status = pn_sampler_open(&p, vocab, N_CTX, &s, &err);
            assert_true(status == PUNA_OK || (status == PUNA_E_NOMEM && !s));
        }
        allocations_left = 0;
        int32_t token;
        for (int i = 0; i < 3; i++)
            assert_int_equal(pn_sampler_draw(s, logits, history, 100, &token, &err), PUNA_OK);
        pn_sampler_free(s);
    }
    puna_set_allocator(NULL);
    pn_vocab_free(vocab);
}

/* What a plan counts for a sampler is what opening one takes. */
static void test_planned_bytes(void **state) {
    (void)state;
    static const int32_t sizes[] = {1, 300, 5000, 32000, 70000, 262144};
    const puna_allocator counted = {limited_alloc, limited_realloc, plain_free, NULL};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        pn_vocab *vocab = open_vocab(NULL, sizes[i]);
        puna_sampler_params p;
        puna_sampler_params_init(&p, PUNA_CHAIN_LLAMA_CPP);
        pn_sampler *s = NULL;
        allocations_left = 1000;
        allocated_bytes = 0;
        puna_set_allocator(&counted);
        assert_int_equal(pn_sampler_open(&p, vocab, N_CTX, &s, NULL), PUNA_OK);
        const size_t planned = pn_sampler_bytes(sizes[i]);
        if (allocated_bytes != planned)
            fail_msg("%d tokens: %zu bytes planned, %zu taken", sizes[i], planned, allocated_bytes);
        pn_sampler_free(s);
        puna_set_allocator(NULL);
        pn_vocab_free(vocab);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_cpp),
        cmocka_unit_test(test_philox),
        cmocka_unit_test(test_draws_follow_probabilities),
        cmocka_unit_test(test_seed_decides),
        cmocka_unit_test(test_top_k_is_a_sort),
        cmocka_unit_test(test_long_top_p),
        cmocka_unit_test(test_mirostat_by_hand),
        cmocka_unit_test(test_dry_by_hand),
        cmocka_unit_test(test_penalty_windows),
        cmocka_unit_test(test_ignore_end_and_bias),
        cmocka_unit_test(test_hostile_logits),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_size_rule),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_planned_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
