/* Engines whose layers are on a card draw the tokens of those on the CPU while little comes back from the card:
 * every kind of chain, several sequences at once, with guesses, and callers with little room. Also through the
 * interface: what a caller finds between the steps is the same. */
#include "unit/run/tiny_engine.h"

#include "cuda/cuda_device.h"
#include "run/sampler.h"

#include "card_under_test.h"

#include <math.h>

enum { N_PROMPT = 18, N_NEW = 9, MAX_DRAFT = 4, N_SEQ = 3 };

static int32_t prompt[N_PROMPT];

/* ---- ways of sampling ---- */

static void defaults(puna_seq_options *o) {
    o->sampler.penalty_last_n = 64;
}
static void python_defaults(puna_seq_options *o) {
    puna_sampler_params_init(&o->sampler, PUNA_CHAIN_LLAMA_CPP_PYTHON);
}
static void python_penalties(puna_seq_options *o) {
    python_defaults(o);
    o->sampler.repeat_penalty = 1.3f;
    o->sampler.presence_penalty = 0.4f;
}
static void greedy_chain(puna_seq_options *o) {
    o->sampler.temperature = 0;
}
static void greedy_and_dry(puna_seq_options *o) {
    o->sampler.temperature = 0;
    o->sampler.dry_multiplier = 0.8f;
    o->sampler.repeat_penalty = 1.5f;
}
static void hot(puna_seq_options *o) {
    o->sampler.temperature = 5;
    o->sampler.top_p = 1;
    o->sampler.min_p = 0;
}
static void plain(puna_seq_options *o) {
    hot(o);
    o->sampler.top_k = 0;
}
static void biased(puna_seq_options *o) {
    static const puna_logit_bias bias[] = {{7, 5.0f}, {8, -INFINITY}};
    hot(o);
    o->sampler.logit_bias = bias;
    o->sampler.n_logit_bias = 2;
}
static void endless(puna_seq_options *o) {
    hot(o);
    o->sampler.ignore_end = true;
}
static void top_p_alone(puna_seq_options *o) {
    o->sampler.top_k = 0;
}
static void mirostat(puna_seq_options *o) {
    o->sampler.mirostat = 2;
}
static void with_logprobs(puna_seq_options *o) {
    o->sampler.n_logprobs = 3;
}
static bool edit(void *user, const int32_t *tokens, int32_t n_tokens, float *logits,
                 int32_t n_vocab) {
    (void)user;
    logits[(tokens[n_tokens - 1] + 1) % n_vocab] += 3.0f;
    return true;
}
static void edited(puna_seq_options *o) {
    o->edit_logits = edit;
}
static puna_grammar *grammar;
static void constrained(puna_seq_options *o) {
    hot(o);
    o->sampler.grammar = grammar;
}

static const struct way {
    const char *name;
    void (*change)(puna_seq_options *o);
    int32_t n_best,
        n_ids; /* that come back, ids without those of penalties; n_best 0: all logits */
    bool has_block, has_penalties;
} ways[] = {
    {"defaults", defaults, 40, 0, false, false},
    {"python_defaults", python_defaults, 40, 0, false, false},
    {"python_penalties", python_penalties, 40, 0, false, true},
    {"greedy", greedy_chain, 1, 0, false, false},
    {"greedy_and_dry", greedy_and_dry, 1, 0, false, true},
    {"hot", hot, 40, 0, false, false},
    {"plain", plain, 1, 0, true, false},
    {"biased", biased, 42, 2, false, false},
    {"endless", endless, 41, 1, false, false},
    {"top_p_alone", top_p_alone, 0, 0, false, false}, /* as many as there are */
    {"mirostat", mirostat, 0, 0, false, false},
    {"with_logprobs", with_logprobs, 0, 0, false, false},
    {"edited", edited, 0, 0, false, false},
    {"constrained", constrained, 0, 0, false, false},
};
enum { N_WAYS = sizeof ways / sizeof *ways };

static puna_seq_options options_of(int way, uint64_t seed) {
    puna_seq_options o;
    puna_seq_options_init(&o);
    ways[way].change(&o);
    o.max_tokens = N_NEW;
    o.sampler.seed = seed;
    return o;
}

static puna_engine *open_on(bool card, int32_t max_draft) {
    puna_engine_options o = engine_options(N_SEQ, 16, 1);
    o.n_ctx = 128;
    o.max_draft = max_draft;
    o.n_gpu_layers = card ? -1 : 0;
    return open_engine_with(&o);
}

static void assert_same_outcome(const char *what, const outcome *a, const outcome *b) {
    if (a->n_tokens != b->n_tokens || a->finish != b->finish || a->failed != b->failed ||
        memcmp(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof *a->tokens) != 0 ||
        memcmp(a->logprobs, b->logprobs, (size_t)a->n_tokens * sizeof *a->logprobs) != 0)
        fail_msg("%s: another text on the card", what);
}

/* ---- one sequence, and what it costs ---- */

/* Of a step that brings one token. */
static size_t bytes_of(const struct way *w) {
    if (w->n_best == 0) return TINY_VOCAB * sizeof(float);
    return sizeof(pn_cuda_picked) + (size_t)w->n_best * 8 + ((size_t)w->n_ids + 1) / 2 * 8 +
           (w->has_block ? PN_PICK_BLOCK * 4 : 0);
}

static void run_counting(puna_engine *e, puna_seq *s, const struct way *w, outcome *seen) {
    puna_event events[16];
    puna_error err;
    *seen = (outcome){0};
    feed(s, prompt, N_PROMPT);
    while (!puna_engine_is_idle(e)) {
        const long copies = driver->n_copies_out;
        const size_t bytes = driver->bytes_out;
        int32_t n;
        if (puna_engine_step(e, events, 16, &n, &err) != PUNA_OK) fail_msg("%s", err.msg);
        for (int32_t i = 0; i < n; i++) see_event(seen, &events[i]);
        if (n == 0 || card_is_real()) continue;
        assert_int_equal(driver->n_copies_out - copies, 1);
        if (w->has_penalties)
            assert_true(driver->bytes_out - bytes < 600);
        else
            assert_int_equal(driver->bytes_out - bytes, bytes_of(w));
    }
}

static void test_every_chain(void **state) {
    (void)state;
    static outcome on_cpu, on_card;
    puna_engine *cpu = open_on(false, 0), *card = open_on(true, 0);
    for (int way = 0; way < N_WAYS; way++) {
        const puna_seq_options o = options_of(way, 5);
        puna_seq *a = open_seq_with(cpu, &o), *b = open_seq_with(card, &o);
        on_cpu = complete(cpu, a, prompt, N_PROMPT);
        run_counting(card, b, &ways[way], &on_card);
        assert_true(on_cpu.n_tokens > 0);
        assert_same_outcome(ways[way].name, &on_cpu, &on_card);
        assert_true((puna_seq_logits(a) == NULL) == (puna_seq_logits(b) == NULL));
        puna_seq_free(a);
        puna_seq_free(b);
    }
    puna_engine_free(cpu);
    puna_engine_free(card);
    if (!card_is_real()) assert_int_equal(driver->bytes + driver->host_bytes, 0);
}

/* ---- several at once; callers with little room ---- */

static void run_together(puna_engine *e, int first_way, int32_t max_events, outcome *seen) {
    static puna_event events[MAX_EVENTS];
    puna_seq *seqs[N_SEQ];
    puna_error err;
    for (int i = 0; i < N_SEQ; i++) {
        const puna_seq_options o = options_of((first_way + i) % N_WAYS, (uint64_t)i);
        seqs[i] = open_seq_with(e, &o);
        seen[i] = (outcome){0};
        feed(seqs[i], prompt + i, N_PROMPT - 5 * i);
    }
    while (!puna_engine_is_idle(e)) {
        int32_t n;
        if (puna_engine_step(e, events, max_events, &n, &err) != PUNA_OK) fail_msg("%s", err.msg);
        for (int32_t k = 0; k < n; k++)
            for (int i = 0; i < N_SEQ; i++)
                if (events[k].seq == seqs[i]) see_event(&seen[i], &events[k]);
    }
    for (int i = 0; i < N_SEQ; i++) puna_seq_free(seqs[i]);
}

static void test_together(void **state) {
    (void)state;
    static outcome on_cpu[N_SEQ], on_card[N_SEQ];
    puna_engine *cpu = open_on(false, 0), *card = open_on(true, 0);
    for (int way = 0; way < N_WAYS; way += N_SEQ) {
        run_together(cpu, way, 6, on_cpu);
        run_together(card, way, way % 2 ? 2 : 6, on_card); /* room for events */
        for (int i = 0; i < N_SEQ; i++)
            assert_same_outcome(ways[(way + i) % N_WAYS].name, &on_cpu[i], &on_card[i]);
    }
    puna_engine_free(cpu);
    puna_engine_free(card);
}

/* ---- guesses ---- */

typedef struct drafter {
    const int32_t *truth;
    int32_t n_right; /* of each guess */
} drafter;

static int32_t guess(void *user, const int32_t *tokens, int32_t n_tokens, int32_t *draft,
                     int32_t max_draft) {
    const drafter *d = user;
    (void)tokens;
    for (int32_t i = 0; i < max_draft; i++)
        draft[i] = (d->truth[n_tokens - N_PROMPT + i] + (i >= d->n_right)) % TINY_VOCAB;
    return max_draft;
}

static void test_guesses(void **state) {
    (void)state;
    static outcome on_cpu, on_card;
    puna_engine *cpu = open_on(false, 0), *card = open_on(true, MAX_DRAFT);
    for (int way = 0; way < N_WAYS; way++) {
        puna_seq_options o = options_of(way, 3);
        drafter d = {on_cpu.tokens, way % 2 ? MAX_DRAFT : 2};
        puna_seq *a = open_seq_with(cpu, &o);
        on_cpu = complete(cpu, a, prompt, N_PROMPT);
        o.draft = guess;
        o.draft_user = &d;
        puna_seq *b = open_seq_with(card, &o);
        on_card = complete(card, b, prompt, N_PROMPT);
        assert_same_outcome(ways[way].name, &on_cpu, &on_card);
        puna_seq_stats stats = {.size = sizeof stats};
        puna_seq_get_stats(b, &stats);
        if (on_cpu.n_tokens > 6) assert_true(stats.n_accepted > 0);
        puna_seq_free(a);
        puna_seq_free(b);
    }
    puna_engine_free(cpu);
    puna_engine_free(card);
}

/* ---- between the steps ---- */

/* A sequence that may sample nothing has its logits; so has one that goes on after its length. */
static void test_logits_at_hand(void **state) {
    (void)state;
    puna_engine *engines[2] = {open_on(false, 0), open_on(true, 0)};
    float logits[2][TINY_VOCAB];
    int32_t drawn[2], resumed[2];
    for (int i = 0; i < 2; i++) {
        static outcome seen;
        puna_error err;
        puna_seq_options o = options_of(0, 11);
        o.max_tokens = 0;
        puna_seq *s = open_seq_with(engines[i], &o);
        seen = complete(engines[i], s, prompt, N_PROMPT);
        assert_int_equal(seen.n_tokens, 0);
        assert_non_null(puna_seq_logits(s));
        memcpy(logits[i], puna_seq_logits(s), sizeof logits[i]);
        assert_int_equal(puna_seq_sample(s, &drawn[i], &err), PUNA_OK);
        assert_int_equal(puna_seq_resume(s, 3, &err), PUNA_OK);
        seen = (outcome){0};
        run_watching(engines[i], s, &seen);
        assert_int_equal(seen.n_tokens, 3);
        resumed[i] = seen.tokens[2];
        assert_null(puna_seq_logits(s));
        puna_engine_free(engines[i]);
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    assert_int_equal(drawn[0], drawn[1]);
    assert_int_equal(resumed[0], resumed[1]);
}

static int set_up(void **state) {
    puna_error err;
    if (find_driver(state) != 0) return 1;
    open_model(PN_FMT_Q5_K);
    make_prompt(prompt, N_PROMPT, 4);
    static const char gbnf[] = "root ::= [a-z ]+";
    if (puna_grammar_open(gbnf, sizeof gbnf - 1, NULL, &grammar, &err) == PUNA_OK) return 0;
    print_error("%s\n", err.msg);
    return 1;
}

static int tear_down(void **state) {
    (void)state;
    puna_grammar_free(grammar);
    return close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_chain),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_logits_at_hand),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
