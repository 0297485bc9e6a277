/* sampler_pick.c: a draw from a few values of a row of logits, so that the rest may stay on a card.
 *
 * The token is the one that a draw from the whole row gives, bit for bit, because the same chain runs
 * on the same numbers: the values that came take their places among scores of -infinity, and every
 * token that could have been kept is among them. Which values those are is decided in one table,
 * `ways`. Logit bias and penalties change the scores of tokens that are known beforehand: their
 * logits come as well, and as many more of the best, since each of them may fall behind.
 *
 *   BEST    the k best of the unchanged tokens are among the k + n_ids best of all
 *   MIN_P   enough when the least that came lies below the bar: so does all that did not come
 *   TOP_P   the cut is decided against the mass of the whole vocabulary, which comes with a bound
 *           on its error: enough when both ends of that interval cut at the same place
 *   WALK    nothing is cut. The random number is known beforehand, so the block of tokens that it
 *           falls into comes; enough when it is further from a border than the error
 *
 * Where that is not enough (pn_sampler_can_draw), or the table says ALL, the whole row comes. */
#include "run/sampler_impl.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef enum pick_way { WAY_ALL, WAY_BEST, WAY_MIN_P, WAY_TOP_P, WAY_WALK } pick_way;

/* Best tokens that come where no top-k says how many: 4 KiB. Distributions in which top-p or min-p
 * keeps more are rare. */
enum { BEST_WITHOUT_K = 512 };

static bool has_grammar(const pn_sampler *s) {
    return s->matching.matcher != NULL;
}
static bool has_logprobs(const pn_sampler *s) {
    return s->params.n_logprobs > 0;
}
static bool is_greedy(const pn_sampler *s) {
    return s->params.temperature == 0;
}
static bool has_mirostat(const pn_sampler *s) {
    return s->params.mirostat != 0;
}
static bool has_sigma(const pn_sampler *s) {
    return s->params.top_n_sigma > 0;
}
static bool has_top_k(const pn_sampler *s) {
    return s->params.top_k > 0 && s->params.top_k < s->n_vocab;
}
static bool has_typical(const pn_sampler *s) {
    return s->params.typical_p < 1;
}
static bool has_top_p(const pn_sampler *s) {
    return s->params.top_p < 1;
}
static bool has_min_p(const pn_sampler *s) {
    return s->params.min_p > 0;
}
static bool has_xtc(const pn_sampler *s) {
    return s->params.xtc_probability > 0 && s->params.xtc_threshold <= 0.5f;
}
static bool is_plain(const pn_sampler *s) {
    (void)s;
    return true;
}

/* The first row that applies. ORDER pn_sampler_draw, pn_truncate */
static const struct {
    bool (*applies)(const pn_sampler *s);
    pick_way way;
} ways[] = {
    {has_grammar, WAY_ALL},  /* any token may be the best that is allowed */
    {has_logprobs, WAY_ALL}, /* of the distribution before any sampler */
    {is_greedy, WAY_BEST},
    {has_mirostat, WAY_ALL}, /* how many it keeps is known only from all of them */
    {has_sigma, WAY_ALL},    /* the deviation of all of them */
    {has_top_k, WAY_BEST},   /* and whatever comes after it */
    {has_typical, WAY_ALL},  /* the entropy of all of them */
    {has_top_p, WAY_TOP_P},
    {has_min_p, WAY_MIN_P},
    {has_xtc, WAY_ALL}, /* the mass of all of them */
    {is_plain, WAY_WALK},
};

static pick_way way_of(const pn_sampler *s) {
    size_t i = 0;
    while (!ways[i].applies(s)) i++;
    return ways[i].way;
}

bool pn_sampler_pick(const pn_sampler *s, const int32_t *history, int32_t n_history,
                     int32_t n_draws, int32_t *ids, pn_pick *pick) {
    const pick_way way = way_of(s);
    *pick = (pn_pick){.ids = ids, .random = -1};
    if (way == WAY_ALL) return false;
    pick->n_ids = pn_penalties_ids(s, history, n_history, ids, PN_PICK_MAX_IDS);
    if (pick->n_ids < 0) return false;
    int32_t n = BEST_WITHOUT_K;
    if (way == WAY_BEST) n = is_greedy(s) ? 1 : s->params.top_k;
    if (way == WAY_TOP_P) pick->scale = 1;
    if (way == WAY_WALK) {
        if (pick->n_ids > 0) return false; /* the sums would not be those of the changed scores */
        pn_sampler ahead = {.seed = s->seed, .n_random = s->n_random + (uint64_t)n_draws};
        n = 1;
        pick->scale = 1 / (double)s->params.temperature;
        pick->random = pn_sampler_random(&ahead);
    }
    if (n > PN_PICK_MAX_BEST - pick->n_ids) return false;
    n += pick->n_ids;
    pick->n_best = n < s->n_vocab ? n : s->n_vocab;
    return true;
}

/* ---- scores ---------------------------------------------------------------------------------- */

static void load_few(pn_sampler *s, const pn_pick *pick, const pn_picked *picked) {
    if (!s->is_clear) pn_scores_clear(s);
    for (int32_t i = 0; i < picked->n_best; i++)
        pn_scores_put(s, picked->best[i].id, picked->best[i].logit);
    for (int32_t i = 0; i < pick->n_ids; i++) pn_scores_put(s, pick->ids[i], picked->of_ids[i]);
}

static void unload(pn_sampler *s, const pn_pick *pick, const pn_picked *picked) {
    for (int32_t i = 0; i < picked->n_best; i++) pn_scores_take(s, picked->best[i].id);
    for (int32_t i = 0; i < pick->n_ids; i++) pn_scores_take(s, pick->ids[i]);
    s->is_clear = true;
    s->few_total = -1;
}

/* All tokens that are possible at all have come. */
static bool is_all(const pn_sampler *s, const pn_pick *pick, const pn_picked *picked) {
    return picked->n_best < pick->n_best || pick->n_best >= s->n_vocab;
}

/* The highest and the lowest logit that came among the best. */
static void bounds_of(const pn_picked *picked, float *high, float *low) {
    *high = -INFINITY;
    *low = INFINITY;
    for (int32_t i = 0; i < picked->n_best; i++) {
        const float logit = pn_logit_clean(picked->best[i].logit);
        *high = logit > *high ? logit : *high;
        *low = logit < *low ? logit : *low;
    }
}

/* ---- top-p ----------------------------------------------------------------------------------- */

/* Between what the sum of exp(score - best) lies: that of the logits, with the changed tokens
 * replaced. */
static void total_between(const pn_sampler *s, const pn_pick *pick, const pn_picked *picked,
                          float high, double *from, double *to) {
    const double best = (double)pn_scores_max(s), factor = exp((double)high - best);
    double before = 0, after = 0;
    for (int32_t i = 0; i < pick->n_ids; i++) {
        before += exp((double)pn_logit_clean(picked->of_ids[i]) - (double)high);
        after += exp((double)s->scores[pick->ids[i]] - best);
    }
    const double total = (picked->total - before) * factor + after;
    const double error = 4 * pn_pick_error(s->n_vocab) * (picked->total * factor + after);
    *from = total - error;
    *to = total + error;
}

/* How many candidates of n the cut leaves; 0: it does not come. */
static int32_t cut_at(pn_sampler *s, int32_t n, double total) {
    s->n_candidates = n;
    return pn_truncate_top_p(s, total) ? s->n_candidates : 0;
}

static bool can_cut(pn_sampler *s, const pn_pick *pick, const pn_picked *picked, double from,
                    double to, float low) {
    if (!(from > 0) || isinf(to)) return false;
    pn_scores_select(s, s->n_vocab, -INFINITY);
    const int32_t n = s->n_candidates, kept = cut_at(s, n, from);
    if (kept != cut_at(s, n, to)) return false;
    if (is_all(s, pick, picked)) return true;
    return kept > 0 && s->candidates[kept - 1].logit > low;
}

/* ---- nothing cut ----------------------------------------------------------------------------- */

/* The token that pn_scores_walk would find; false when the error leaves it open. */
static bool walk_block(const pn_pick *pick, const pn_picked *picked, int32_t n_vocab, float high,
                       int32_t *token) {
    if (picked->block < 0 || !(picked->total > 0) || isinf(picked->total)) return false;
    const double target = pick->random * picked->total;
    const double error = 4 * pn_pick_error(n_vocab) * picked->total;
    const int32_t first = picked->block * PN_PICK_BLOCK, left = n_vocab - first;
    double sum = picked->before;
    if (sum > 0 && sum > target - error) return false;
    for (int32_t i = 0; i < PN_PICK_BLOCK && i < left; i++) {
        const double w = pn_score_weight(pn_logit_clean(picked->of_block[i]), (double)high,
                                         pick->scale, -INFINITY);
        if (w <= 0) continue;
        const bool is_certain = sum + w > target + error;
        if (!is_certain && sum + w > target - error) return false;
        sum += w;
        *token = first + i;
        if (is_certain) return true;
    }
    return false;
}

/* ---- draws ----------------------------------------------------------------------------------- */

static bool suffices(pn_sampler *s, const pn_pick *pick, const pn_picked *picked) {
    float high, low;
    double from, to;
    int32_t token;
    if (!(pn_scores_max(s) > -INFINITY) || picked->n_best == 0) return false;
    bounds_of(picked, &high, &low);
    switch (way_of(s)) {
    case WAY_BEST: return true;
    case WAY_MIN_P:
        return is_all(s, pick, picked) || (double)low < pn_min_p_floor(s, (double)pn_scores_max(s));
    case WAY_TOP_P:
        total_between(s, pick, picked, high, &from, &to);
        return can_cut(s, pick, picked, from, to, low);
    case WAY_WALK: return walk_block(pick, picked, s->n_vocab, high, &token);
    case WAY_ALL: break;
    }
    return false;
}

bool pn_sampler_can_draw(pn_sampler *s, const pn_pick *pick, const pn_picked *picked,
                         const int32_t *history, int32_t n_history) {
    load_few(s, pick, picked);
    pn_penalties_apply(s, history, n_history);
    const bool can = suffices(s, pick, picked);
    unload(s, pick, picked);
    return can;
}

puna_status pn_sampler_draw_picked(pn_sampler *s, const pn_pick *pick, const pn_picked *picked,
                                   const int32_t *history, int32_t n_history, int32_t *token,
                                   puna_error *err) {
    float high, low;
    puna_status status = PUNA_OK;
    bounds_of(picked, &high, &low);
    load_few(s, pick, picked);
    pn_penalties_apply(s, history, n_history);
    if (way_of(s) == WAY_WALK) {
        (void)pn_sampler_random(s); /* pick->random */
        if (!walk_block(pick, picked, s->n_vocab, high, token))
            status = pn_fail(err, PUNA_E_NUMERIC, "the picked logits do not suffice for a draw");
    } else {
        if (way_of(s) == WAY_TOP_P) {
            double from, to;
            total_between(s, pick, picked, high, &from, &to);
            s->few_total = from + (to - from) / 2;
        }
        status = pn_sampler_choose(s, token, err);
    }
    unload(s, pick, picked);
    return status;
}
