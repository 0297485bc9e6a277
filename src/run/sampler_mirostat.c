/* sampler_mirostat.c: mirostat 1 and 2 (Basu et al., "Mirostat: a neural text decoding algorithm
 * that directly controls perplexity", ICLR 2021).
 *
 * Surprise is -log2 p. mu bounds the surprise of what may be drawn; after each draw it moves
 * against the error: mu -= eta * (surprise - tau). It starts at 2 tau. version 1  estimates the
 * Zipf exponent s of the distribution from its best tokens and turns mu into a number of tokens k =
 * (eps 2^mu / (1 - N^-eps))^(1/s), eps = s - 1, N the vocabulary (equation 2) version 2  keeps the
 * tokens whose surprise is at most mu
 *
 * Mirostat takes the place of the truncating samplers. llama.cpp applies the temperature before it,
 * llama-cpp-python leaves the temperature out. Both programs' penalties come first here; llama.cpp
 * itself skips them under mirostat, which a user who asks for them cannot want. */
#include "run/sampler_impl.h"

#include <math.h>

static const double ln2 = 0.69314718055994530942;

static double score_scale(const pn_sampler *s) {
    return s->params.chain == PUNA_CHAIN_LLAMA_CPP_PYTHON ? 1 : 1 / (double)s->params.temperature;
}

/* Least squares through the origin of log(p_i / p_i+1) against log((i + 2) / (i + 1)), i from 0. */
static double zipf_exponent(const pn_sampler *s, double scale) {
    double xy = 0, xx = 0;
    for (int32_t i = 0; i + 1 < s->n_candidates; i++) {
        double x = log((double)(i + 2) / (double)(i + 1));
        xy += x * ((double)s->candidates[i].logit - (double)s->candidates[i + 1].logit) * scale;
        xx += x * x;
    }
    return xx > 0 ? xy / xx : 1;
}

static int32_t tokens_for_surprise(const pn_sampler *s, double exponent) {
    double eps = exponent - 1, log_n = log((double)s->n_vocab), power = exp2(s->mu);
    /* 1 - N^-eps, which vanishes with eps: the quotient tends to 2^mu / log N */
    double k = fabs(eps) < 1e-9 ? power / log_n : eps * power / -expm1(-eps * log_n);
    k = pow(k, 1 / exponent);
    if (!(k >= 1)) return 1;
    return k >= s->n_vocab ? s->n_vocab : (int32_t)k;
}

double pn_mirostat_truncate(pn_sampler *s) {
    double scale = score_scale(s), best = (double)pn_scores_max(s);
    if (s->params.mirostat == 1) {
        pn_scores_select(s, PN_MIROSTAT_TOP < s->n_vocab ? PN_MIROSTAT_TOP : s->n_vocab, -INFINITY);
        pn_scores_select(s, tokens_for_surprise(s, zipf_exponent(s, scale)), -INFINITY);
    } else {
        /* -log2 p <= mu where p = exp((score - best) scale) / total */
        double total = pn_scores_weigh(s, best, scale, -INFINITY);
        double floor = best + (log(total) - s->mu * ln2) / scale;
        pn_scores_select(s, s->n_vocab, floor < best ? floor : best);
        if (floor > best) s->n_candidates = 1;
    }
    return pn_candidates_weigh(s, scale);
}

void pn_mirostat_learn(pn_sampler *s, double p) {
    double mu =
        s->mu - (double)s->params.mirostat_eta * (-log2(p) - (double)s->params.mirostat_tau);
    /* Beyond these bounds nothing changes any more, and the next power of two stays finite. */
    s->mu = mu < -1000 ? -1000 : mu > 1000 ? 1000 : mu;
}
