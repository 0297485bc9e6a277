/* sampler_truncate.c: which tokens stay possible: top-n-sigma, top-k, typical, top-p, min-p, XTC,
 * in this order (both named chains agree on it; llama-cpp-python's has the middle four).
 *
 *   top-n-sigma  scores within n standard deviations of the best (Tang et al., 2024)
 *   top-k        the k best
 *   typical      the tokens whose surprise is nearest to the entropy, up to a mass (Meister et al.,
 * 2022) top-p        the best, up to a mass: the one that reaches it is the last (Holtzman et al.,
 * 2019) min-p        probability of at least min_p times the best one's (Nguyen et al., 2024) XTC
 * with a probability, of the tokens above a threshold only the least stays (p-e-w, 2024)
 *
 * All work on the distribution before temperature. Candidates stay sorted by score throughout.
 * Without top-k the list is made only as long as what follows needs: top-p and min-p are decided on
 * the scores themselves. */
#include "run/sampler_impl.h"

#include <math.h>
#include <string.h>

double pn_candidates_weigh(pn_sampler *s, double scale) {
    double total = 0, best = s->n_candidates > 0 ? (double)s->candidates[0].logit : 0;
    for (int32_t i = 0; i < s->n_candidates; i++) {
        s->candidates[i].p = exp(((double)s->candidates[i].logit - best) * scale);
        total += s->candidates[i].p;
    }
    return total;
}

/* The score below which top-n-sigma cuts. */
static double sigma_floor(const pn_sampler *s) {
    if (!(s->params.top_n_sigma > 0)) return -INFINITY;
    double mean, deviation;
    pn_scores_moments(s, &mean, &deviation);
    return (double)pn_scores_max(s) - (double)s->params.top_n_sigma * deviation;
}

double pn_min_p_floor(const pn_sampler *s, double best) {
    return best + log((double)s->params.min_p);
}

/* Keeps the tokens whose surprise -log p lies nearest to the entropy, until their mass goes beyond
 * p. */
static void cut_typical(pn_sampler *s) {
    int32_t n = s->n_candidates;
    double total = pn_candidates_weigh(s, 1), best = (double)s->candidates[0].logit,
           log_total = log(total);
    double entropy = 0;
    for (int32_t i = 0; i < n; i++) {
        pn_candidate *c = &s->candidates[i];
        c->p /= total;
        if (c->p > 0) entropy -= c->p * ((double)c->logit - best - log_total);
    }
    for (int32_t i = 0; i < n; i++) {
        float off = (float)fabs(best + log_total - (double)s->candidates[i].logit - entropy);
        uint32_t bits; /* of a float that is not negative: ascending with it */
        memcpy(&bits, &off, sizeof bits);
        s->keys[i] = (uint64_t)bits << 32 | (uint32_t)i;
    }
    const uint64_t *order = pn_keys_sort(s->keys, s->spare_keys, n);
    double mass = 0;
    int32_t n_kept = 0;
    while (n_kept < n && mass <= (double)s->params.typical_p)
        mass += s->candidates[(uint32_t)order[n_kept++]].p;
    for (int32_t i = n_kept; i < n; i++) s->candidates[(uint32_t)order[i]].p = -1;
    int32_t to = 0;
    for (int32_t i = 0; i < n; i++)
        if (s->candidates[i].p >= 0) s->candidates[to++] = s->candidates[i];
    s->n_candidates = to;
}

bool pn_truncate_top_p(pn_sampler *s, double total) {
    double mass = 0;
    pn_candidates_weigh(s, 1);
    for (int32_t i = 0; i < s->n_candidates; i++) {
        mass += s->candidates[i].p;
        if (mass >= (double)s->params.top_p * total) {
            s->n_candidates = i + 1;
            return true;
        }
    }
    return false;
}

static void cut_min_p(pn_sampler *s) {
    double floor = pn_min_p_floor(s, (double)s->candidates[0].logit);
    int32_t n = 1;
    while (n < s->n_candidates && (double)s->candidates[n].logit >= floor) n++;
    s->n_candidates = n;
}

static bool xtc_is_on(const pn_sampler *s) {
    return s->params.xtc_probability > 0 && s->params.xtc_threshold <= 0.5f;
}

/* Drops every token that reaches the threshold, but the last of them. */
static void cut_xtc(pn_sampler *s) {
    if (s->n_candidates < 2 || pn_sampler_random(s) >= (double)s->params.xtc_probability) return;
    double bar = (double)s->params.xtc_threshold * pn_candidates_weigh(s, 1);
    int32_t n_above = 0;
    while (n_above < s->n_candidates && s->candidates[n_above].p >= bar) n_above++;
    if (n_above < 2) return;
    int32_t dropped = n_above - 1;
    s->n_candidates -= dropped;
    memmove(s->candidates, s->candidates + dropped,
            (size_t)s->n_candidates * sizeof *s->candidates);
}

/* top-p without top-k or typical: the mass of all tokens, then ever longer lists until one holds
 * enough. */
static void list_top_p(pn_sampler *s, double floor) {
    if (s->few_total > 0) {
        pn_scores_select(s, s->n_vocab, floor);
        (void)pn_truncate_top_p(s, s->few_total);
        return;
    }
    double total = pn_scores_weigh(s, (double)pn_scores_max(s), 1, floor);
    int32_t k = 512;
    for (;;) {
        if (k > s->n_vocab) k = s->n_vocab;
        pn_scores_select(s, k, floor);
        if (pn_truncate_top_p(s, total) || k == s->n_vocab) return;
        k = k > s->n_vocab / 8 ? s->n_vocab : k * 8;
    }
}

double pn_truncate(pn_sampler *s, bool *listed, double *floor) {
    const puna_sampler_params *p = &s->params;
    bool top_k = p->top_k > 0 && p->top_k < s->n_vocab, typical = p->typical_p < 1;
    bool top_p = p->top_p < 1;
    *floor = sigma_floor(s);
    *listed = true;
    if (top_k || typical) {
        pn_scores_select(s, top_k ? p->top_k : s->n_vocab, *floor);
        if (typical) cut_typical(s);
        if (top_p) pn_truncate_top_p(s, pn_candidates_weigh(s, 1));
    } else if (top_p) {
        list_top_p(s, *floor);
    } else if (p->min_p > 0) {
        double bar = pn_min_p_floor(s, (double)pn_scores_max(s));
        pn_scores_select(s, s->n_vocab, bar > *floor ? bar : *floor);
    } else if (xtc_is_on(s)) {
        pn_scores_select(s, s->n_vocab, *floor);
    } else {
        *listed = false;
        return 0;
    }
    if (p->min_p > 0) cut_min_p(s);
    if (xtc_is_on(s)) cut_xtc(s);
    return pn_candidates_weigh(s, 1 / (double)p->temperature);
}
