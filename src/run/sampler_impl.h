/* sampler_impl.h: the inside of a sampler, shared by the sampler_*.c files and their test.
 *
 * A draw goes through three kinds of data:
 *   scores      float [n_vocab]: the logits after logit bias, penalties and DRY, with the maximum
 * of every block of PN_SCORE_BLOCK of them, so that the few best of a large vocabulary are found
 * without looking at all of it again. -infinity: not possible. Everything else is finite.
 *   candidates  what is left after truncation, sorted by descending logit, ties by ascending id.
 *   token       one of them.
 *
 * All memory is taken at open from one arena; a draw allocates nothing. Sums are in double. */
#ifndef PN_RUN_SAMPLER_IMPL_H
#define PN_RUN_SAMPLER_IMPL_H

#include "base/mem.h"
#include "grammar/matcher.h"
#include "run/sampler.h"

#include <float.h>
#include <math.h>

enum {
    PN_SCORE_BLOCK = 64,
    PN_MIROSTAT_TOP =
        100, /* tokens from which mirostat 1 estimates the slope of the distribution */
};

typedef struct pn_candidate {
    double p; /* weight exp((logit - best logit) / T); sums to pn_candidates_weigh's result, not to
                 1 */
    float logit;
    int32_t id;
} pn_candidate;

/* How a token's text takes part in DRY's sequence breakers. */
enum { PN_BREAK_NOT = 0, PN_BREAK_HOLDS = 1, PN_BREAK_BEGINS = 2 };

struct pn_sampler {
    puna_sampler_params params; /* checked; its pointers lead into the arena */
    const pn_vocab *vocab;
    int32_t n_vocab, n_ctx;
    pn_arena arena;

    uint64_t seed;
    uint64_t n_random; /* random numbers used so far: the counter of the generator */
    double mu;         /* mirostat's running bound on surprise, in bits */

    pn_matching matching; /* the text since the restart; matcher NULL: no grammar */

    int32_t *ended; /* tokens that end a generation, when they are not wanted */
    int32_t n_ended;

    float *scores;    /* [n_vocab] */
    float *block_max; /* [n_blocks] */
    double *block_sum;
    int32_t n_blocks;

    pn_candidate *candidates; /* [capacity] */
    int32_t n_candidates;
    int32_t capacity;
    uint64_t *keys, *spare_keys; /* [capacity], at least n_blocks */

    bool is_clear;    /* all scores are -infinity */
    double few_total; /* top-p from a few logits: the mass of all tokens; -1: it can be summed */

    int32_t *counts;       /* [n_vocab], all 0 between draws: occurrences, or length of a repeat */
    int32_t *repeats;      /* [dry_window] */
    int32_t dry_window;    /* tokens DRY looks back */
    unsigned char *breaks; /* [n_vocab]: PN_BREAK_ */
    char *token_text;      /* scratch for the text of one token */
    size_t token_text_bytes;
};

/* ---- sampler.c
 * --------------------------------------------------------------------------------------- */

/* From scores that are ready to a token. */
puna_status pn_sampler_choose(pn_sampler *sampler, int32_t *token, puna_error *err);

/* ---- sampler_params.c
 * ---------------------------------------------------------------------------------- */

/* The caller's params, whatever their size, as a whole struct of today's; then every range. */
puna_status pn_sampler_params_read(const puna_sampler_params *params, int32_t n_vocab,
                                   puna_sampler_params *out, puna_error *err);

/* ---- sampler_scores.c
 * ---------------------------------------------------------------------------------- */

/* What stands for a logit: NaN becomes -infinity, +infinity the largest float. */
static inline float pn_logit_clean(float logit) {
    if (!(logit == logit)) return -INFINITY;
    return logit > FLT_MAX ? FLT_MAX : logit;
}
/* Copies logits [n_vocab], cleaned. */
void pn_scores_load(pn_sampler *sampler, const float *logits);
/* The same for a few of them: none, then one, which can be taken away again. */
void pn_scores_clear(pn_sampler *sampler);
void pn_scores_put(pn_sampler *sampler, int32_t token, float logit);
void pn_scores_take(pn_sampler *sampler, int32_t token);
/* Makes all tokens impossible but those of bits: token t is bit t % 64 of bits[t / 64]. */
void pn_scores_keep(pn_sampler *sampler, const uint64_t *bits);
/* Sets one score; a finite value too large for a float becomes the nearest one. */
void pn_scores_set(pn_sampler *sampler, int32_t token, double value);
/* -infinity when no token is possible. */
float pn_scores_max(const pn_sampler *sampler);
/* The lowest id with the maximum. */
int32_t pn_scores_argmax(const pn_sampler *sampler);
/* Mean and standard deviation (of the population) of the possible scores. */
void pn_scores_moments(const pn_sampler *sampler, double *mean, double *deviation);
/* exp((score - best) * scale), or 0 below floor and where it is lost in any sum. */
double pn_score_weight(float score, double best, double scale, double floor);
/* Sum of exp((score - best) * scale) over scores >= floor, by block in block_sum. */
double pn_scores_weigh(pn_sampler *sampler, double best, double scale, double floor);
/* Token ids are walked in order until their weights reach `target`; block_sum as pn_scores_weigh
 * left it. */
int32_t pn_scores_walk(const pn_sampler *sampler, double best, double scale, double floor,
                       double target);
/* Makes the candidates: the k highest scores that are >= floor, sorted. p is not set. */
void pn_scores_select(pn_sampler *sampler, int32_t k, double floor);
/* Sorts by the upper 32 bits, ascending, stable; the result lies in keys or in spare. */
uint64_t *pn_keys_sort(uint64_t *keys, uint64_t *spare, int32_t n);

/* ---- sampler_grammar.c
 * ------------------------------------------------------------------------------- */

/* Leaves what the grammar allows; fails when that is nothing. */
puna_status pn_grammar_apply(pn_sampler *sampler, puna_error *err);

/* ---- sampler_penalties.c
 * ------------------------------------------------------------------------------- */

/* What DRY needs beside the parameters. */
puna_status pn_dry_prepare(pn_sampler *sampler, puna_error *err);
/* Logit bias, unwanted end tokens, repeat/frequency/presence penalties, DRY: in this order. */
void pn_penalties_apply(pn_sampler *sampler, const int32_t *history, int32_t n_history);
/* The tokens whose scores it may change, ascending; -1: more than max. */
int32_t pn_penalties_ids(const pn_sampler *sampler, const int32_t *history, int32_t n_history,
                         int32_t *ids, int32_t max);
bool pn_dry_is_on(const puna_sampler_params *params);
bool pn_penalties_are_on(const puna_sampler_params *params);

/* ---- sampler_truncate.c
 * -------------------------------------------------------------------------------- */

/* Scores -> candidates by the chain's truncation, weighed at the sampler's temperature (p is set).
 * Returns the sum of p. false in *listed: nothing truncates, all scores >= *floor stay and no list
 * was made. */
double pn_truncate(pn_sampler *sampler, bool *listed, double *floor);
/* Cuts after the candidate that brings the mass to top_p of total (in units of the best token's
 * weight). False when all of them together do not. */
bool pn_truncate_top_p(pn_sampler *sampler, double total);
/* The score below which min-p cuts. */
double pn_min_p_floor(const pn_sampler *sampler, double best);
/* Sets p = exp((logit - best) * scale) for every candidate; returns the sum. */
double pn_candidates_weigh(pn_sampler *sampler, double scale);

/* ---- sampler_mirostat.c
 * -------------------------------------------------------------------------------- */

/* Scores -> candidates by the surprise bound mu; returns the sum of p. */
double pn_mirostat_truncate(pn_sampler *sampler);
/* Moves mu after a token of probability p was drawn. */
void pn_mirostat_learn(pn_sampler *sampler, double p);

/* ---- sampler_random.c
 * ---------------------------------------------------------------------------------- */

/* Philox 4x32 with 10 rounds: a block of random bits for a counter and a key. */
void pn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* The next number of the sampler's sequence, in [0, 1), 53 bits. */
double pn_sampler_random(pn_sampler *sampler);

#endif
