/* sampler_logprobs.c: log-probabilities of the model's own distribution, before any sampler.
 *
 * log p = logit - log(sum of exp(logit)), in double, with the largest logit taken out of the sum.
 * No memory is needed: the n best are kept in the caller's array while the logits are read once. */
#include "run/sampler_impl.h"

#include <string.h>

/* Puts a logit where it belongs among top[0..n_top), which holds logits, and drops the last beyond
 * n. */
static int32_t insert_top(puna_token_logprob *top, int32_t n_top, int32_t n, int32_t token,
                          float logit) {
    int32_t at = n_top < n ? n_top : n - 1;
    while (at > 0 && top[at - 1].logprob < logit) {
        top[at] = top[at - 1];
        at--;
    }
    top[at] = (puna_token_logprob){token, logit};
    return n_top < n ? n_top + 1 : n;
}

/* log of the sum of exp(logit); -infinity when none is possible. */
static double log_sum_exp(const float *logits, int32_t n_vocab) {
    float best = -INFINITY;
    for (int32_t i = 0; i < n_vocab; i++) best = logits[i] > best ? logits[i] : best;
    best = pn_logit_clean(best);
    if (!(best > -INFINITY)) return -INFINITY;
    double sum = 0;
    for (int32_t i = 0; i < n_vocab; i++)
        sum += exp((double)pn_logit_clean(logits[i]) - (double)best);
    return (double)best + log(sum);
}

int32_t puna_logprobs(const float *logits, int32_t n_vocab, int32_t token, float *of_token,
                      puna_token_logprob *top, int32_t n) {
    int32_t n_top = 0;
    if (!top || n < 0) n = 0;
    if (n > PUNA_MAX_LOGPROBS) n = PUNA_MAX_LOGPROBS;
    const double total = log_sum_exp(logits, n_vocab);
    for (int32_t i = 0; i < n_vocab && n > 0; i++) {
        float logit = pn_logit_clean(logits[i]);
        if (n_top < n || logit > top[n_top - 1].logprob)
            n_top = insert_top(top, n_top, n, i, logit);
    }
    const bool possible = total > -INFINITY;
    for (int32_t i = 0; i < n_top; i++)
        top[i].logprob = possible ? (float)((double)top[i].logprob - total) : -INFINITY;
    const bool known = possible && token >= 0 && token < n_vocab;
    if (of_token)
        *of_token = known ? (float)((double)pn_logit_clean(logits[token]) - total) : -INFINITY;
    return n_top;
}
