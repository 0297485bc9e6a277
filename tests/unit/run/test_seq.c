/* test_seq.c: what a sequence can be told: stop texts, edited logits, new settings, a shorter
 * timeline; and that each failing allocation of it is an error. */
#include "tiny_engine.h"

#include "unit/failing_allocator.h"

#include <math.h>

enum { N_PROMPT = 30 };

static int32_t prompt[N_PROMPT];

/* Sampled with a seed, so that the text is varied. */
static puna_seq_options random_options(int32_t max_tokens) {
    puna_seq_options o;
    puna_seq_options_init(&o);
    o.max_tokens = max_tokens;
    o.sampler.temperature = 1.5f;
    o.sampler.seed = 42;
    o.sampler.ignore_end = true;
    o.sampler.n_logprobs = 2;
    return o;
}

/* ---- stop texts ------------------------------------------------------------------------------ */

static void assert_valid_utf8_pieces(puna_engine *e, puna_seq *s, const char *whole, size_t n) {
    puna_event events[2];
    puna_error err;
    size_t at = 0;
    feed(s, prompt, N_PROMPT);
    while (!puna_engine_is_idle(e)) {
        int32_t n_events;
        assert_int_equal(puna_engine_step(e, events, 2, &n_events, &err), PUNA_OK);
        for (int32_t i = 0; i < n_events; i++) {
            assert_true(at + events[i].text_bytes <= n);
            assert_memory_equal(events[i].text, whole + at, events[i].text_bytes);
            at += events[i].text_bytes;
            /* a piece never begins inside a character */
            if (events[i].text_bytes > 0) assert_true((events[i].text[0] & 0xc0) != 0x80);
        }
    }
    assert_int_equal(at, n);
}

static void test_stop_cuts_the_text(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 64, 1, PUNA_KV_F16);
    puna_seq_options o = random_options(60);
    puna_seq *s = open_seq_with(e, &o);
    const outcome all = complete(e, s, prompt, N_PROMPT);
    assert_int_equal(all.finish, PUNA_FINISH_LENGTH);
    assert_int_equal(all.stop, -1);
    assert_true(all.n_bytes > 60);
    puna_error err;
    for (size_t begin = 0; begin + 1 < all.n_bytes; begin += 3)
        for (size_t bytes = 1; bytes < 12 && begin + bytes <= all.n_bytes; bytes += 2) {
            if ((all.text[begin] & 0xc0) == 0x80 || (all.text[begin + bytes] & 0xc0) == 0x80)
                continue;
            char stop[16];
            memcpy(stop, all.text + begin, bytes);
            stop[bytes] = 0;
            if (strlen(stop) != bytes) continue;
            const char *const stops[] = {"never said", stop};
            o.stops = stops;
            o.n_stops = 2;
            assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
            const outcome cut = complete(e, s, prompt, N_PROMPT);
            const size_t at = (size_t)(strstr(all.text, stop) - all.text);
            assert_int_equal(cut.finish, PUNA_FINISH_STOP);
            assert_int_equal(cut.stop, 1);
            assert_int_equal(cut.n_bytes, at);
            assert_memory_equal(cut.text, all.text, at);
            assert_memory_equal(cut.tokens, all.tokens, (size_t)cut.n_tokens * sizeof(int32_t));
            int32_t n;
            puna_seq_tokens(s, &n);
            assert_int_equal(n, N_PROMPT + cut.n_tokens);
        }
    puna_engine_free(e);
}

static void test_held_text_comes_at_the_end(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 64, 1, PUNA_KV_F16);
    puna_seq_options o = random_options(60);
    puna_seq *s = open_seq_with(e, &o);
    const outcome all = complete(e, s, prompt, N_PROMPT);
    /* the last characters might have gone on to become the stop */
    char stop[64];
    size_t begin = all.n_bytes - 9;
    while ((all.text[begin] & 0xc0) == 0x80) begin--;
    (void)snprintf(stop, sizeof stop, "%s and more", all.text + begin);
    const char *const stops[] = {stop};
    o.stops = stops;
    o.n_stops = 1;
    puna_error err;
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
    const outcome same = complete(e, s, prompt, N_PROMPT);
    assert_int_equal(same.finish, PUNA_FINISH_LENGTH);
    assert_int_equal(same.stop, -1);
    assert_string_equal(same.text, all.text);
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
    assert_valid_utf8_pieces(e, s, all.text, all.n_bytes);
    puna_engine_free(e);
}

static void test_fork_has_the_same_stops(void **state) {
    (void)state;
    puna_engine *e = open_engine(2, 64, 1, PUNA_KV_F16);
    puna_seq_options o = random_options(60);
    puna_seq *s = open_seq_with(e, &o), *fork = NULL;
    const outcome all = complete(e, s, prompt, N_PROMPT);
    const char letter[] = {all.text[strcspn(all.text, "abcdefghijklmnopqrstuvwxyz")], 0};
    const char *const stops[] = {"never", letter};
    assert_true(letter[0]);
    o.stops = stops;
    o.n_stops = 2;
    puna_error err;
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
    assert_int_equal(puna_seq_fork(s, NULL, &fork, &err), PUNA_OK);
    const outcome forked = complete(e, fork, prompt, N_PROMPT);
    assert_int_equal(forked.finish, PUNA_FINISH_STOP);
    assert_int_equal(forked.stop, 1);
    assert_int_equal(forked.n_bytes, (size_t)(strchr(all.text, letter[0]) - all.text));
    puna_engine_free(e);
}

static void test_refused_stops_change_nothing(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 64, 1, PUNA_KV_F16);
    puna_seq_options o = random_options(20);
    puna_seq *s = open_seq_with(e, &o), *other = NULL;
    const outcome before = complete(e, s, prompt, N_PROMPT);
    const char *const stops[] = {"fine", ""};
    o.stops = stops;
    o.n_stops = 2;
    puna_error err;
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "stops[1]"));
    puna_seq_set_max_tokens(s, 10);
    const outcome after = complete(e, s, prompt, N_PROMPT);
    assert_int_equal(after.n_tokens, 10);
    assert_int_equal(before.n_tokens, 20);
    puna_seq_free(s);
    assert_int_equal(puna_seq_open(e, &o, &other, &err), PUNA_E_ARG);
    o.n_stops = 1;
    assert_int_equal(puna_seq_open(e, &o, &other, &err), PUNA_OK);
    puna_engine_free(e);
}

/* A stop text whose beginning was handed out at the end of a turn is found all the same. */
static void test_stop_across_turns(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 64, 1, PUNA_KV_F16);
    puna_seq_options o = random_options(60);
    puna_seq *s = open_seq_with(e, &o);
    const outcome all = complete(e, s, prompt, N_PROMPT);
    size_t begin = all.n_bytes / 2;
    while ((all.text[begin] & 0xc0) == 0x80) begin++;
    char stop[24];
    size_t n = 8;
    while ((all.text[begin + n] & 0xc0) == 0x80) n++;
    memcpy(stop, all.text + begin, n);
    stop[n] = 0;
    const char *at = strstr(all.text, stop);
    const char *const stops[] = {stop};
    o.stops = stops;
    o.n_stops = 1;
    o.max_tokens = 1;
    puna_error err;
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
    outcome turns = complete(e, s, prompt, N_PROMPT);
    while (turns.finish == PUNA_FINISH_LENGTH && turns.n_tokens < 60) {
        assert_int_equal(puna_seq_resume(s, 1, &err), PUNA_OK);
        run_watching(e, s, &turns);
    }
    assert_int_equal(turns.finish, PUNA_FINISH_STOP);
    assert_true(turns.n_bytes >= (size_t)(at - all.text));
    assert_true(turns.n_bytes < (size_t)(at - all.text) + n);
    assert_memory_equal(turns.text, all.text, turns.n_bytes);
    puna_engine_free(e);
}

/* ---- edited logits --------------------------------------------------------------------------- */

typedef struct editor {
    int32_t n_calls, wanted, fail_after;
    float first[TINY_VOCAB];
} editor;

static bool edit(void *user, const int32_t *tokens, int32_t n_tokens, float *logits,
                 int32_t n_vocab) {
    editor *ed = user;
    assert_int_equal(n_vocab, TINY_VOCAB);
    assert_memory_equal(tokens, prompt, sizeof prompt);
    assert_int_equal(n_tokens, N_PROMPT + ed->n_calls);
    if (ed->n_calls == ed->fail_after) return false;
    if (ed->n_calls++ == 0) memcpy(ed->first, logits, sizeof ed->first);
    for (int32_t i = 0; i < n_vocab; i++)
        if (i != ed->wanted) logits[i] = -INFINITY;
    return true;
}

static void test_edited_logits_decide(void **state) {
    (void)state;
    puna_engine *e = open_engine(2, 64, 2, PUNA_KV_F16);
    editor ed = {.wanted = 77, .fail_after = -1};
    puna_seq_options o = random_options(6);
    o.edit_logits = edit;
    o.edit_user = &ed;
    puna_seq *s = open_seq_with(e, &o), *plain = open_seq(e, 0);
    const outcome seen = complete(e, s, prompt, N_PROMPT);
    assert_int_equal(seen.n_tokens, 6);
    for (int32_t i = 0; i < 6; i++) assert_int_equal(seen.tokens[i], 77);
    /* it got a copy: logprobs and the sequence's own logits are the model's */
    feed(plain, prompt, N_PROMPT);
    run_until_idle(e);
    assert_memory_equal(ed.first, puna_seq_logits(plain), sizeof ed.first);
    float of_token;
    (void)puna_logprobs(ed.first, TINY_VOCAB, 77, &of_token, NULL, 0);
    assert_memory_equal(&seen.logprobs[0], &of_token, sizeof of_token);

    ed = (editor){.wanted = 5, .fail_after = 3};
    const outcome stopped = complete(e, s, prompt, N_PROMPT);
    assert_true(stopped.failed);
    assert_int_equal(stopped.n_tokens, 3);
    assert_int_equal(stopped.error.code, PUNA_E_CANCELLED);
    assert_non_null(strstr(stopped.error.msg, "edit_logits"));

    int32_t token;
    puna_error err;
    ed = (editor){.wanted = 9, .fail_after = -1};
    puna_seq_set_max_tokens(s, 0);
    (void)complete(e, s, prompt, N_PROMPT);
    assert_int_equal(puna_seq_sample(s, &token, &err), PUNA_OK);
    assert_int_equal(token, 9);
    ed = (editor){.wanted = 9, .fail_after = 0};
    assert_int_equal(puna_seq_sample(s, &token, &err), PUNA_E_CANCELLED);
    puna_engine_free(e);
}

/* ---- settings and timeline ------------------------------------------------------------------- */

static void test_configure_keeps_the_timeline(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 64, 1, PUNA_KV_F16);
    puna_seq_options o = random_options(12);
    puna_seq *s = open_seq_with(e, &o);
    const outcome first = complete(e, s, prompt, N_PROMPT);
    puna_error err;
    puna_seq_stats stats = {.size = sizeof stats};
    /* the sampler starts anew: the same draws again */
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
    assert_true(puna_engine_is_idle(e));
    const outcome again = complete(e, s, prompt, N_PROMPT);
    puna_seq_get_stats(s, &stats);
    assert_int_equal(stats.n_reused, N_PROMPT - 1);
    assert_memory_equal(&again, &first, sizeof first);
    /* and without it they go on */
    const outcome later = complete(e, s, prompt, N_PROMPT);
    assert_memory_not_equal(later.tokens, first.tokens, sizeof first.tokens);
    /* an active sequence becomes idle */
    feed(s, prompt, N_PROMPT);
    assert_false(puna_engine_is_idle(e));
    o.max_tokens = 1;
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
    assert_true(puna_engine_is_idle(e));
    assert_int_equal(complete(e, s, prompt, N_PROMPT).n_tokens, 1);
    puna_engine_free(e);
}

/* One token a turn, or several, is the same as all at once: tokens, random numbers, penalties. */
static void test_resumed_turns_are_one_generation(void **state) {
    (void)state;
    puna_engine *e = open_engine(2, 64, 1, PUNA_KV_F16);
    puna_seq_options o = random_options(24);
    o.sampler.repeat_penalty = 1.4f;
    puna_seq *whole = open_seq_with(e, &o), *turns = open_seq_with(e, &o);
    const outcome wanted = complete(e, whole, prompt, N_PROMPT);
    puna_error err;
    for (int32_t n_turn = 1; n_turn <= 7; n_turn += 3) {
        outcome seen = {0};
        assert_int_equal(puna_seq_configure(turns, &o, &err), PUNA_OK);
        puna_seq_set_max_tokens(turns, 0);
        feed(turns, prompt, N_PROMPT);
        run_watching(e, turns, &seen);
        while (seen.n_tokens < 24) {
            assert_int_equal(seen.finish, PUNA_FINISH_LENGTH);
            assert_int_equal(puna_seq_resume(turns, n_turn, &err), PUNA_OK);
            run_watching(e, turns, &seen);
        }
        assert_memory_equal(seen.tokens, wanted.tokens, 24 * sizeof *wanted.tokens);
        assert_memory_equal(seen.logprobs, wanted.logprobs, 24 * sizeof *wanted.logprobs);
        assert_memory_equal(seen.text, wanted.text, wanted.n_bytes); /* no character is cut */
    }
    puna_engine_free(e);
}

static void test_only_a_limit_can_be_raised(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 64, 1, PUNA_KV_F16);
    puna_seq_options o = random_options(4);
    puna_seq *s = open_seq_with(e, &o);
    puna_error err;
    assert_int_equal(puna_seq_resume(s, 4, &err), PUNA_E_STATE);
    (void)complete(e, s, prompt, N_PROMPT);
    puna_seq_stop(s);
    assert_int_equal(puna_seq_resume(s, 4, &err), PUNA_E_STATE);
    (void)complete(e, s, prompt, N_PROMPT);
    puna_seq_truncate(s, N_PROMPT);
    assert_int_equal(puna_seq_resume(s, 4, &err), PUNA_E_STATE);
    (void)complete(e, s, prompt, N_PROMPT);
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
    assert_int_equal(puna_seq_resume(s, 4, &err), PUNA_E_STATE);
    puna_seq_set_max_tokens(s, -1);
    const outcome full = complete(e, s, prompt, N_PROMPT);
    assert_int_equal(full.finish, PUNA_FINISH_CONTEXT);
    assert_int_equal(puna_seq_resume(s, 4, &err), PUNA_E_STATE);
    puna_engine_free(e);
}

/* llama-cpp-python's chain penalises what was sampled, llama.cpp's the prompt too. */
static void test_chains_differ_in_what_is_penalised(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 64, 1, PUNA_KV_F16);
    puna_seq *s = open_seq(e, 1);
    const int32_t best = complete(e, s, prompt, N_PROMPT).tokens[0];
    int32_t repeating[2 * N_PROMPT];
    /* a prompt whose best next token is in it */
    memcpy(repeating, prompt, sizeof prompt);
    repeating[0] = best;
    for (int32_t round = 0; round < 20; round++) {
        const int32_t next = complete(e, s, repeating, N_PROMPT).tokens[0];
        bool found = false;
        for (int32_t i = 0; i < N_PROMPT; i++) found = found || repeating[i] == next;
        if (found) break;
        repeating[round % N_PROMPT] = next;
    }
    puna_error err;
    const int32_t chosen = complete(e, s, repeating, N_PROMPT).tokens[0];
    puna_seq_options o = greedy(1);
    o.sampler.presence_penalty = 1000;
    o.sampler.penalty_last_n = -1;
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
    const int32_t penalised = complete(e, s, repeating, N_PROMPT).tokens[0];
    for (int32_t i = 0; i < N_PROMPT; i++) assert_int_not_equal(repeating[i], penalised);
    o.sampler.chain = PUNA_CHAIN_LLAMA_CPP_PYTHON;
    o.max_tokens = 20;
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
    const outcome sampled = complete(e, s, repeating, N_PROMPT);
    assert_int_equal(sampled.tokens[0], chosen);
    for (int32_t i = 0; i < sampled.n_tokens; i++)
        for (int32_t j = 0; j < i; j++) assert_int_not_equal(sampled.tokens[i], sampled.tokens[j]);
    puna_engine_free(e);
}

static void test_stop_and_truncate(void **state) {
    (void)state;
    puna_engine *e = open_engine(1, 16, 1, PUNA_KV_F16);
    puna_seq *s = open_seq(e, 40);
    const outcome all = complete(e, s, prompt, N_PROMPT);
    puna_event events[2];
    puna_error err;
    int32_t n;
    puna_seq_stats stats = {.size = sizeof stats};
    /* stopped in the middle of the prompt: what is computed is reused */
    puna_seq_truncate(s, 0);
    puna_seq_tokens(s, &n);
    assert_int_equal(n, 0);
    feed(s, prompt, N_PROMPT);
    assert_int_equal(puna_engine_step(e, events, 2, &n, &err), PUNA_OK);
    puna_seq_stop(s);
    assert_true(puna_engine_is_idle(e));
    assert_int_equal(puna_engine_step(e, events, 2, &n, &err), PUNA_OK);
    assert_int_equal(n, 0);
    feed(s, prompt, N_PROMPT);
    puna_seq_get_stats(s, &stats);
    assert_int_equal(stats.n_reused, 16);
    outcome seen = {0};
    run_watching(e, s, &seen);
    assert_memory_equal(&seen, &all, sizeof all);
    /* stopped while it samples */
    feed(s, prompt, N_PROMPT);
    for (int32_t i = 0; i < 5; i++)
        assert_int_equal(puna_engine_step(e, events, 2, &n, &err), PUNA_OK);
    puna_seq_stop(s);
    const int32_t *tokens = puna_seq_tokens(s, &n);
    assert_int_equal(n, N_PROMPT + 5);
    assert_memory_equal(tokens + N_PROMPT, all.tokens, 5 * sizeof *tokens);
    /* truncation forgets what follows, and the logits */
    puna_seq_set_max_tokens(s, 0);
    (void)complete(e, s, prompt, N_PROMPT);
    assert_non_null(puna_seq_logits(s));
    puna_seq_truncate(s, N_PROMPT + 100);
    puna_seq_truncate(s, N_PROMPT);
    assert_non_null(puna_seq_logits(s));
    puna_seq_truncate(s, 20);
    assert_null(puna_seq_logits(s));
    tokens = puna_seq_tokens(s, &n);
    assert_int_equal(n, 20);
    puna_seq_set_max_tokens(s, 40);
    feed(s, prompt, N_PROMPT);
    puna_seq_get_stats(s, &stats);
    assert_int_equal(stats.n_reused, 20);
    seen = (outcome){0};
    run_watching(e, s, &seen);
    assert_memory_equal(&seen, &all, sizeof all);
    puna_seq_truncate(s, -5);
    puna_seq_tokens(s, &n);
    assert_int_equal(n, 0);
    puna_engine_free(e);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static puna_status settings_life(puna_engine *e, puna_error *err) {
    static const char *const stops[] = {"one", "two"};
    puna_seq_options o = random_options(2);
    puna_seq *s = NULL, *fork = NULL;
    o.stops = stops;
    o.n_stops = 2;
    o.pooling = PUNA_POOLING_MEAN;
    puna_status status = puna_seq_open(e, &o, &s, err);
    if (status == PUNA_OK) status = puna_seq_configure(s, &o, err);
    if (status == PUNA_OK) status = puna_seq_set_sampler(s, &o.sampler, err);
    if (status == PUNA_OK) status = puna_seq_fork(s, NULL, &fork, err);
    puna_seq_free(fork);
    puna_seq_free(s);
    return status;
}

static void test_every_failing_allocation_is_an_error(void **state) {
    (void)state;
    puna_engine *e = open_engine(2, 64, 1, PUNA_KV_F16);
    puna_error err;
    puna_set_allocator(&failing_allocator);
    puna_status status = PUNA_E_NOMEM;
    long n = 0;
    for (; status != PUNA_OK; n++) {
        assert_true(n < 1000);
        allocations_left = n;
        status = settings_life(e, &err);
        if (status != PUNA_OK) assert_int_equal(status, PUNA_E_NOMEM);
    }
    assert_true(n > 10);
    puna_set_allocator(NULL);
    puna_engine_free(e);
}

static int setup(void **state) {
    (void)state;
    make_prompt(prompt, N_PROMPT, 5);
    open_model(PN_FMT_Q5_K);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_cuts_the_text),
        cmocka_unit_test(test_held_text_comes_at_the_end),
        cmocka_unit_test(test_fork_has_the_same_stops),
        cmocka_unit_test(test_stop_across_turns),
        cmocka_unit_test(test_refused_stops_change_nothing),
        cmocka_unit_test(test_edited_logits_decide),
        cmocka_unit_test(test_configure_keeps_the_timeline),
        cmocka_unit_test(test_resumed_turns_are_one_generation),
        cmocka_unit_test(test_only_a_limit_can_be_raised),
        cmocka_unit_test(test_chains_differ_in_what_is_penalised),
        cmocka_unit_test(test_stop_and_truncate),
        cmocka_unit_test(test_every_failing_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
