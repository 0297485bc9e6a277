/* sampler.c: a sampler's life, and one draw: scores, penalties, truncation, choice.
 *
 * Greedy (temperature 0) takes the best score after logit bias, penalties and DRY; truncation could
 * not change it, and XTC is not for it. The memory a sampler takes is in proportion to what its
 * parameters need: the scores always, a candidate list of about 65 * top_k, of the whole vocabulary
 * only where no top-k bounds it. */
#include "run/sampler_impl.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/os.h"

static bool is_greedy(const pn_sampler *s) {
    return s->params.temperature == 0;
}

/* Own copies of what the parameters point to. */
static bool copy_arrays(pn_sampler *s) {
    puna_sampler_params *p = &s->params;
    puna_logit_bias *bias = pn_arena_calloc(&s->arena, (size_t)p->n_logit_bias, sizeof *bias);
    const char **breakers =
        pn_arena_calloc(&s->arena, (size_t)p->n_dry_sequence_breakers, sizeof *breakers);
    if (!bias || !breakers) return false;
    if (p->n_logit_bias > 0) memcpy(bias, p->logit_bias, (size_t)p->n_logit_bias * sizeof *bias);
    for (int32_t i = 0; i < p->n_dry_sequence_breakers; i++) {
        const char *text = p->dry_sequence_breakers[i];
        breakers[i] = pn_arena_copy(&s->arena, text, strlen(text));
        if (!breakers[i]) return false;
    }
    p->logit_bias = bias;
    p->dry_sequence_breakers = breakers;
    return true;
}

static bool list_end_tokens(pn_sampler *s) {
    for (int32_t t = 0; t < s->n_vocab; t++) s->n_ended += pn_vocab_is_end(s->vocab, t);
    s->ended = pn_arena_calloc(&s->arena, (size_t)s->n_ended, sizeof *s->ended);
    if (!s->ended) return false;
    for (int32_t t = 0, n = 0; t < s->n_vocab; t++)
        if (pn_vocab_is_end(s->vocab, t)) s->ended[n++] = t;
    return true;
}

/* The longest candidate list a draw can make (sampler_scores.c), and room to sort the block maxima.
 */
static int32_t list_capacity(const pn_sampler *s) {
    int64_t k = s->params.top_k;
    if (is_greedy(s)) return 0;
    if (s->params.mirostat || k <= 0 || k * (PN_SCORE_BLOCK + 1) >= s->n_vocab) return s->n_vocab;
    int32_t n = (int32_t)k * (PN_SCORE_BLOCK + 1);
    return n > s->n_blocks ? n : s->n_blocks;
}

static void measure_lists(pn_sampler *s) {
    s->n_blocks = (s->n_vocab + PN_SCORE_BLOCK - 1) / PN_SCORE_BLOCK;
    s->capacity = list_capacity(s);
}

/* ORDER fill */
size_t pn_sampler_bytes(int32_t n_vocab) {
    pn_sampler s = {.n_vocab = n_vocab};
    puna_sampler_params_init(&s.params, PUNA_CHAIN_LLAMA_CPP);
    measure_lists(&s);
    const size_t n_breakers = (size_t)s.params.n_dry_sequence_breakers;
    const size_t n = (size_t)s.capacity, n_blocks = (size_t)s.n_blocks;
    const size_t sizes[] = {0, /* no bias */
                            n_breakers * sizeof(char *),
                            n_breakers * 16, /* one character each, aligned */
                            (size_t)n_vocab * sizeof(float),
                            n_blocks * sizeof(float),
                            n_blocks * sizeof(double),
                            n * sizeof(pn_candidate),
                            n * sizeof(uint64_t),
                            n * sizeof(uint64_t)};
    return sizeof s + pn_arena_total(sizes, sizeof sizes / sizeof sizes[0]);
}

static bool alloc_buffers(pn_sampler *s) {
    size_t n_vocab = (size_t)s->n_vocab;
    measure_lists(s);
    size_t n = (size_t)s->capacity, n_blocks = (size_t)s->n_blocks;
    s->scores = pn_arena_calloc(&s->arena, n_vocab, sizeof *s->scores);
    s->block_max = pn_arena_calloc(&s->arena, n_blocks, sizeof *s->block_max);
    s->block_sum = pn_arena_calloc(&s->arena, n_blocks, sizeof *s->block_sum);
    s->candidates = pn_arena_calloc(&s->arena, n, sizeof *s->candidates);
    s->keys = pn_arena_calloc(&s->arena, n, sizeof *s->keys);
    s->spare_keys = pn_arena_calloc(&s->arena, n, sizeof *s->spare_keys);
    if (pn_penalties_are_on(&s->params) || pn_dry_is_on(&s->params)) {
        s->counts = pn_arena_calloc(&s->arena, n_vocab, sizeof *s->counts);
        if (!s->counts) return false;
    }
    return s->scores && s->block_max && s->block_sum && s->candidates && s->keys && s->spare_keys;
}

/* ORDER pn_sampler_bytes */
static puna_status fill(pn_sampler *s, puna_error *err) {
    if (!copy_arrays(s) || !alloc_buffers(s) || (s->params.ignore_end && !list_end_tokens(s)))
        return pn_fail_nomem(err, (size_t)s->n_vocab * sizeof(float), "sampler");
    return pn_dry_is_on(&s->params) ? pn_dry_prepare(s, err) : PUNA_OK;
}

puna_status pn_sampler_open(const puna_sampler_params *params, const pn_vocab *vocab, int32_t n_ctx,
                            pn_sampler **sampler, puna_error *err) {
    puna_sampler_params checked;
    int32_t n_vocab = pn_vocab_n_tokens(vocab);
    puna_status status = pn_sampler_params_read(params, n_vocab, &checked, err);
    if (status) return status;
    if (n_vocab < 1 || n_ctx < 1)
        return pn_fail(err, PUNA_E_ARG, "sampler: a vocabulary of %d and a context of %d", n_vocab,
                       n_ctx);
    pn_sampler *s = pn_calloc(1, sizeof *s);
    if (!s) return pn_fail_nomem(err, sizeof *s, "sampler");
    s->params = checked;
    s->vocab = vocab;
    s->n_vocab = n_vocab;
    s->n_ctx = n_ctx;
    s->seed = checked.seed == PUNA_SEED_RANDOM ? pn_os_random() : checked.seed;
    s->mu = 2 * (double)checked.mirostat_tau;
    s->few_total = -1;
    status = fill(s, err);
    if (status) {
        pn_sampler_free(s);
        return status;
    }
    *sampler = s;
    return PUNA_OK;
}

void pn_sampler_free(pn_sampler *sampler) {
    if (!sampler) return;
    pn_matching_close(&sampler->matching);
    pn_arena_free(&sampler->arena);
    pn_free(sampler);
}

puna_status pn_sampler_copy(const pn_sampler *sampler, pn_sampler **copy, puna_error *err) {
    puna_status status =
        pn_sampler_open(&sampler->params, sampler->vocab, sampler->n_ctx, copy, err);
    if (status) return status;
    (*copy)->seed = sampler->seed;
    (*copy)->n_random = sampler->n_random;
    (*copy)->mu = sampler->mu;
    pn_matching_copy(&sampler->matching, &(*copy)->matching);
    return PUNA_OK;
}

/* ---- one draw
 * ------------------------------------------------------------------------------------------ */

/* A candidate in proportion to p, whose sum is total. */
static const pn_candidate *draw_candidate(pn_sampler *s, double total) {
    double target = pn_sampler_random(s) * total, sum = 0;
    const pn_candidate *chosen = NULL;
    for (int32_t i = 0; i < s->n_candidates; i++) {
        if (s->candidates[i].p <= 0) continue;
        chosen = &s->candidates[i];
        sum += chosen->p;
        if (sum > target) break;
    }
    return chosen;
}

static int32_t draw_truncated(pn_sampler *s) {
    bool listed;
    double floor, total = pn_truncate(s, &listed, &floor);
    if (listed) return draw_candidate(s, total)->id;
    double best = (double)pn_scores_max(s), scale = 1 / (double)s->params.temperature;
    total = pn_scores_weigh(s, best, scale, floor);
    return pn_scores_walk(s, best, scale, floor, pn_sampler_random(s) * total);
}

static int32_t draw_mirostat(pn_sampler *s) {
    double total = pn_mirostat_truncate(s);
    const pn_candidate *chosen = draw_candidate(s, total);
    pn_mirostat_learn(s, chosen->p / total);
    return chosen->id;
}

puna_status pn_sampler_choose(pn_sampler *s, int32_t *token, puna_error *err) {
    if (!(pn_scores_max(s) > -INFINITY))
        return pn_fail(err, PUNA_E_NUMERIC,
                       "no token possible: every logit%s is NaN, -infinity or forbidden",
                       s->matching.matcher ? " that the grammar allows" : "");
    if (is_greedy(s))
        *token = pn_scores_argmax(s);
    else if (s->params.mirostat)
        *token = draw_mirostat(s);
    else
        *token = draw_truncated(s);
    return PUNA_OK;
}

puna_status pn_sampler_draw(pn_sampler *s, const float *logits, const int32_t *history,
                            int32_t n_history, int32_t *token, puna_error *err) {
    pn_scores_load(s, logits);
    const puna_status status = pn_grammar_apply(s, err);
    if (status) return status;
    pn_penalties_apply(s, history, n_history);
    return pn_sampler_choose(s, token, err);
}
