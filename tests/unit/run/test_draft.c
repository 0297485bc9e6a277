/* test_draft.c: guesses change nothing but the number of steps. Every way of sampling is run
 * without guesses and then with good, bad and hostile ones: tokens, log-probabilities, texts,
 * finishes, and what is computed afterwards must be the same. */
#include "tiny_engine.h"

enum { N_PROMPT = 40, MAX_DRAFT = 6 };

static int32_t prompt[N_PROMPT];

/* ---- drafters -------------------------------------------------------------------------------- */

typedef enum habit {
    RIGHT,   /* all it may */
    WRONG,   /* never right */
    PARTLY,  /* right for some, then wrong */
    LYING,   /* more than it may say, or less than nothing */
    OUTSIDE, /* ids that are none, behind right ones */
    N_HABITS
} habit;

typedef struct drafter {
    habit habit;
    const int32_t *truth; /* the whole timeline as it comes without guesses */
    int32_t n_truth;
    int32_t n_calls;
    uint32_t random;
} drafter;

static int32_t guess(void *user, const int32_t *tokens, int32_t n_tokens, int32_t *draft,
                     int32_t max_draft) {
    drafter *d = user;
    assert_in_range(max_draft, 1, MAX_DRAFT);
    assert_memory_equal(tokens, d->truth, (size_t)n_tokens * sizeof *tokens);
    d->n_calls++;
    d->random = d->random * 1664525u + 1013904223u;
    const int32_t some = (int32_t)(d->random >> 8) % (max_draft + 1);
    for (int32_t i = 0; i < max_draft; i++) {
        const int32_t right = n_tokens + i < d->n_truth ? d->truth[n_tokens + i] : 2;
        const bool lie = d->habit == WRONG || (d->habit == PARTLY && i >= some);
        draft[i] = lie ? (right + 1 + some) % TINY_VOCAB : right;
        if (d->habit == OUTSIDE && i >= some) draft[i] = i % 2 ? -1 : INT32_MAX;
    }
    if (d->habit == LYING) return d->n_calls % 3 == 0 ? -5 : d->n_calls % 3 == 1 ? INT32_MAX : 0;
    return max_draft;
}

/* ---- ways of sampling ------------------------------------------------------------------------ */

static const char *const stop_texts[] = {"\x01", "jj==", "never"};

static void plain(puna_seq_options *o) {
    o->sampler.temperature = 0;
}
static void seeded(puna_seq_options *o) {
    o->sampler.temperature = 4;
    o->sampler.n_logprobs = 3;
}
static void penalized(puna_seq_options *o) {
    o->sampler.temperature = 3;
    o->sampler.repeat_penalty = 1.4f;
    o->sampler.frequency_penalty = 0.3f;
    o->sampler.presence_penalty = 0.2f;
    o->sampler.dry_multiplier = 0.8f;
    o->sampler.n_logprobs = 1;
}
static void mirostat(puna_seq_options *o) {
    o->sampler.mirostat = 2;
    o->sampler.temperature = 3;
}
static void python_chain(puna_seq_options *o) {
    puna_sampler_params_init(&o->sampler, PUNA_CHAIN_LLAMA_CPP_PYTHON);
    o->sampler.seed = 9;
    o->sampler.repeat_penalty = 1.5f;
    o->sampler.ignore_end = true;
}
static void can_end(puna_seq_options *o) {
    static const puna_logit_bias bias = {2, 14.0f}; /* the end is likely soon */
    o->sampler.ignore_end = false;
    o->sampler.temperature = 4;
    o->sampler.top_p = 1;
    o->sampler.min_p = 0;
    o->sampler.logit_bias = &bias;
    o->sampler.n_logit_bias = 1;
}
static void with_stops(puna_seq_options *o) {
    o->sampler.temperature = 4;
    o->stops = stop_texts;
    o->n_stops = 3;
}
static void short_one(puna_seq_options *o) {
    o->max_tokens = 5;
}
static void single(puna_seq_options *o) {
    o->max_tokens = 1;
}
static void endless(puna_seq_options *o) {
    o->max_tokens = -1; /* to the end of the context */
}

static bool edit(void *user, const int32_t *tokens, int32_t n_tokens, float *logits,
                 int32_t n_vocab) {
    const int32_t fail_at = *(const int32_t *)user;
    assert_memory_equal(tokens, prompt, sizeof prompt);
    for (int32_t i = 0; i < n_vocab; i++) logits[i] *= (float)(n_tokens % 3) + 0.5f;
    logits[n_tokens % n_vocab] += 2.0f;
    return n_tokens != fail_at;
}
static void edited(puna_seq_options *o) {
    static int32_t never = -1;
    o->edit_logits = edit;
    o->edit_user = &never;
}
static void edited_and_failing(puna_seq_options *o) {
    static int32_t fail_at = N_PROMPT + 13;
    o->edit_logits = edit;
    o->edit_user = &fail_at;
}

static puna_grammar *grammar;
static void constrained(puna_seq_options *o) {
    o->sampler.temperature = 4;
    o->sampler.grammar = grammar;
    o->sampler.ignore_end = false;
}

static const struct {
    const char *name;
    void (*change)(puna_seq_options *o);
} ways[] = {
    {"plain", plain},
    {"seeded", seeded},
    {"penalized", penalized},
    {"mirostat", mirostat},
    {"python_chain", python_chain},
    {"can_end", can_end},
    {"with_stops", with_stops},
    {"short_one", short_one},
    {"single", single},
    {"endless", endless},
    {"edited", edited},
    {"edited_and_failing", edited_and_failing},
    {"constrained", constrained},
};
enum { N_WAYS = sizeof ways / sizeof *ways };

static puna_seq_options options_of(int way) {
    puna_seq_options o;
    puna_seq_options_init(&o);
    o.max_tokens = 50;
    o.sampler.seed = 7;
    o.sampler.ignore_end = true;
    ways[way].change(&o);
    return o;
}

/* ---- the same outcome ------------------------------------------------------------------------ */

typedef struct logits_seen {
    int32_t n, first;
    float rows[130][TINY_VOCAB];
} logits_seen;

static void see_logits(void *user, int32_t position, const float *logits, int32_t n_vocab) {
    logits_seen *seen = user;
    assert_int_equal(n_vocab, TINY_VOCAB);
    if (seen->n == 0) seen->first = position;
    assert_int_equal(position, seen->first + seen->n);
    memcpy(seen->rows[seen->n++], logits, sizeof seen->rows[0]);
}

static puna_engine *open_drafting(int32_t n_seq, int32_t n_batch, int32_t n_threads) {
    puna_engine_options o = engine_options(n_seq, n_batch, n_threads);
    o.n_ctx = 128;
    o.max_draft = MAX_DRAFT;
    return open_engine_with(&o);
}

typedef struct result {
    outcome seen;
    int32_t n_tokens;
    int32_t tokens[160];
    bool has_logits;
    float logits[TINY_VOCAB];
    outcome next; /* of a second feed, which reuses what is computed */
    int32_t n_reused;
    puna_seq_stats stats;
} result;

static void keep_timeline(puna_seq *s, result *r) {
    const int32_t *tokens = puna_seq_tokens(s, &r->n_tokens);
    memcpy(r->tokens, tokens, (size_t)r->n_tokens * sizeof *tokens);
    r->has_logits = puna_seq_logits(s) != NULL;
    if (r->has_logits) memcpy(r->logits, puna_seq_logits(s), sizeof r->logits);
}

static void run_first(puna_engine *e, puna_seq *s, result *r) {
    memset(r, 0, sizeof *r);
    r->stats.size = sizeof r->stats;
    r->seen = complete(e, s, prompt, N_PROMPT);
    puna_seq_get_stats(s, &r->stats);
    keep_timeline(s, r);
}

static void run_again(puna_engine *e, puna_seq *s, result *r) {
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_options o = greedy(3);
    puna_error err;
    assert_int_equal(puna_seq_configure(s, &o, &err), PUNA_OK);
    r->next = complete(e, s, r->tokens, r->n_tokens < 120 ? r->n_tokens : 120);
    puna_seq_get_stats(s, &stats);
    r->n_reused = stats.n_reused;
}

static void assert_same_outcome(const outcome *found, const outcome *wanted) {
    assert_int_equal(found->n_tokens, wanted->n_tokens);
    assert_memory_equal(found->tokens, wanted->tokens, sizeof found->tokens);
    assert_memory_equal(found->logprobs, wanted->logprobs, sizeof found->logprobs);
    assert_string_equal(found->text, wanted->text);
    assert_int_equal(found->failed, wanted->failed);
    assert_int_equal(found->finish, wanted->finish);
    assert_int_equal(found->stop, wanted->stop);
}

static void assert_same_result(const result *found, const result *wanted) {
    assert_same_outcome(&found->seen, &wanted->seen);
    assert_int_equal(found->n_tokens, wanted->n_tokens);
    assert_memory_equal(found->tokens, wanted->tokens, sizeof found->tokens);
    assert_int_equal(found->has_logits, wanted->has_logits);
    assert_memory_equal(found->logits, wanted->logits, sizeof found->logits);
    assert_same_outcome(&found->next, &wanted->next);
    assert_int_equal(found->n_reused, wanted->n_reused);
    assert_int_equal(found->stats.n_sampled, wanted->stats.n_sampled);
}

static result without[N_WAYS];

static void run_without(void) {
    puna_engine *e = open_drafting(1, 64, 1);
    for (int way = 0; way < N_WAYS; way++) {
        const puna_seq_options o = options_of(way);
        puna_seq *s = open_seq_with(e, &o);
        run_first(e, s, &without[way]);
        run_again(e, s, &without[way]);
        assert_int_equal(without[way].stats.n_drafted, 0);
        puna_seq_free(s);
    }
    puna_engine_free(e);
    /* the ways do what they are for */
    assert_int_equal(without[5].seen.finish, PUNA_FINISH_END);
    assert_int_equal(without[6].seen.finish, PUNA_FINISH_STOP);
    assert_int_equal(without[9].seen.finish, PUNA_FINISH_CONTEXT);
    assert_true(without[11].seen.failed);
    assert_int_equal(without[12].seen.finish, PUNA_FINISH_END);
    assert_true(without[5].seen.n_tokens > 3 && without[6].seen.n_tokens > 3);
    assert_true(without[12].seen.n_tokens > 4);
}

static drafter drafter_of(int way, habit h) {
    return (drafter){.habit = h,
                     .truth = without[way].tokens,
                     .n_truth = without[way].n_tokens,
                     .random = (uint32_t)way};
}

static void check_stats(const result *r, const drafter *d) {
    const int32_t n = r->stats.n_sampled;
    assert_true(r->stats.n_accepted <= r->stats.n_drafted);
    if (d->habit == WRONG) assert_int_equal(r->stats.n_accepted, 0);
    if (d->habit == WRONG && n > 2) assert_true(r->stats.n_drafted > 0);
    if (d->habit != RIGHT || n < 3) return;
    assert_true(r->stats.n_accepted > 0);
    /* of every MAX_DRAFT + 1 tokens one is not guessed */
    assert_true(d->n_calls <= 2 + n / (MAX_DRAFT + 1));
}

static void test_same_with_any_guesses(void **state) {
    (void)state;
    static result r;
    static const int32_t batches[] = {1, 4, 64};
    for (int way = 0; way < N_WAYS; way++)
        for (habit h = 0; h < N_HABITS; h++) {
            puna_engine *e = open_drafting(1, batches[(way + (int)h) % 3], 1);
            drafter d = drafter_of(way, h);
            puna_seq_options o = options_of(way);
            o.draft = guess;
            o.draft_user = &d;
            puna_seq *s = open_seq_with(e, &o);
            run_first(e, s, &r);
            if (batches[(way + (int)h) % 3] == 64) check_stats(&r, &d);
            run_again(e, s, &r);
            assert_same_result(&r, &without[way]);
            puna_engine_free(e);
        }
}

/* All at once, beside a prompt that is computed in chunks, with few rows and few events. */
static void same_together(int32_t n_batch, int32_t max_events) {
    static result r[N_WAYS];
    static drafter drafters[N_WAYS];
    puna_engine *e = open_drafting(N_WAYS + 1, n_batch, 1);
    puna_seq *seqs[N_WAYS + 1];
    int32_t other[100];
    make_prompt(other, 100, 77);
    memset(r, 0, sizeof r);
    for (int way = 0; way < N_WAYS; way++) {
        puna_seq_options o = options_of(way);
        drafters[way] = drafter_of(way, (habit)(way % N_HABITS));
        o.draft = guess;
        o.draft_user = &drafters[way];
        o.user = &r[way];
        seqs[way] = open_seq_with(e, &o);
        feed(seqs[way], prompt, N_PROMPT);
    }
    seqs[N_WAYS] = open_seq(e, 4);
    feed(seqs[N_WAYS], other, 100);
    puna_event *events =
        calloc((size_t)max_events, sizeof *events); /* exactly, for the sanitizer */
    puna_error err;
    while (!puna_engine_is_idle(e)) {
        int32_t n;
        if (puna_engine_step(e, events, max_events, &n, &err) != PUNA_OK) fail_msg("%s", err.msg);
        for (int32_t i = 0; i < n; i++)
            if (events[i].user) see_event(&((result *)events[i].user)->seen, &events[i]);
    }
    free(events);
    for (int way = 0; way < N_WAYS; way++) {
        r[way].stats.size = sizeof r[way].stats;
        puna_seq_get_stats(seqs[way], &r[way].stats);
        keep_timeline(seqs[way], &r[way]);
        run_again(e, seqs[way], &r[way]);
        assert_same_result(&r[way], &without[way]);
    }
    puna_engine_free(e);
}

static void test_same_together(void **state) {
    (void)state;
    same_together(512, (N_WAYS + 1) * (2 + MAX_DRAFT));
    same_together(24, 2 + MAX_DRAFT);
    same_together(5, 3);
    same_together(512, 2);
}

static void test_logits_of_every_position(void **state) {
    (void)state;
    static logits_seen wanted, found;
    puna_engine *e = open_drafting(1, 64, 1);
    puna_seq_options o = options_of(1);
    o.on_logits = see_logits;
    o.on_logits_user = &wanted;
    puna_seq *s = open_seq_with(e, &o);
    (void)complete(e, s, prompt, N_PROMPT);
    puna_seq_free(s);
    assert_int_equal(wanted.n, N_PROMPT + 49); /* the last token is never computed */
    for (habit h = 0; h < N_HABITS; h++) {
        drafter d = drafter_of(1, h);
        memset(&found, 0, sizeof found);
        o.on_logits_user = &found;
        o.draft = guess;
        o.draft_user = &d;
        s = open_seq_with(e, &o);
        (void)complete(e, s, prompt, N_PROMPT);
        assert_memory_equal(&found, &wanted, sizeof found);
        puna_seq_free(s);
    }
    puna_engine_free(e);
}

/* Turns of one generation, with a cancelled step now and then. */
static void test_resumed_and_cancelled(void **state) {
    (void)state;
    static result r;
    const int way = 2;
    puna_engine *e = open_drafting(1, 64, 1);
    for (habit h = 0; h < N_HABITS; h++) {
        drafter d = drafter_of(way, h);
        puna_seq_options o = options_of(way);
        o.draft = guess;
        o.draft_user = &d;
        o.max_tokens = 7;
        puna_seq *s = open_seq_with(e, &o);
        puna_event events[2 + MAX_DRAFT];
        puna_error err;
        memset(&r, 0, sizeof r);
        feed(s, prompt, N_PROMPT);
        for (int32_t step = 0, turns = 1; !puna_engine_is_idle(e); step++) {
            int32_t n;
            if (step % 3 == 1) puna_engine_cancel(e);
            const puna_status status = puna_engine_step(e, events, 2 + MAX_DRAFT, &n, &err);
            assert_int_equal(status, step % 3 == 1 ? PUNA_E_CANCELLED : PUNA_OK);
            for (int32_t i = 0; i < n; i++) see_event(&r.seen, &events[i]);
            if (puna_engine_is_idle(e) && turns++ < 8)
                assert_int_equal(puna_seq_resume(s, turns == 8 ? 1 : 7, &err), PUNA_OK);
        }
        keep_timeline(s, &r);
        run_again(e, s, &r);
        r.stats.n_sampled = 50;
        assert_same_result(&r, &without[way]);
        puna_seq_free(s);
    }
    puna_engine_free(e);
}

static void test_forks_draft_too(void **state) {
    (void)state;
    static result r;
    puna_engine *e = open_drafting(2, 64, 2);
    drafter d = drafter_of(0, RIGHT);
    puna_seq_options o = options_of(0);
    o.draft = guess;
    o.draft_user = &d;
    puna_seq *s = open_seq_with(e, &o), *fork = NULL;
    puna_error err;
    assert_int_equal(puna_seq_fork(s, NULL, &fork, &err), PUNA_OK);
    run_first(e, fork, &r);
    assert_true(r.stats.n_accepted > 30);
    run_again(e, fork, &r);
    assert_same_result(&r, &without[0]);
    puna_engine_free(e);
}

static void test_limits(void **state) {
    (void)state;
    puna_engine_options eo = engine_options(1, 64, 1);
    puna_engine *e = open_engine_with(&eo);
    puna_seq_options o = options_of(0);
    puna_seq *s = NULL;
    puna_error err;
    o.draft = guess;
    assert_int_equal(puna_seq_open(e, &o, &s, &err), PUNA_E_ARG);
    assert_string_equal(err.msg, "draft: the engine was opened with max_draft 0");
    puna_engine_free(e);
    for (eo.max_draft = -1; eo.max_draft <= 65; eo.max_draft += 66) {
        assert_int_equal(puna_engine_open(model, &eo, &e, &err), PUNA_E_ARG);
        assert_non_null(strstr(err.msg, "max_draft is"));
        assert_non_null(strstr(err.msg, "allowed: 0 to 64"));
    }
}

static int setup(void **state) {
    (void)state;
    static const char gbnf[] = "root ::= [a-z0-9 ]{20,30}";
    puna_error err;
    make_prompt(prompt, N_PROMPT, 5);
    open_model(PN_FMT_Q5_K);
    assert_int_equal(puna_grammar_open(gbnf, sizeof gbnf - 1, NULL, &grammar, &err), PUNA_OK);
    run_without();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    puna_grammar_free(grammar);
    return close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_with_any_guesses),
        cmocka_unit_test(test_same_together),
        cmocka_unit_test(test_logits_of_every_position),
        cmocka_unit_test(test_resumed_and_cancelled),
        cmocka_unit_test(test_forks_draft_too),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
