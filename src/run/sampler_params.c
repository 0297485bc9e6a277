/* sampler_params.c: the defaults of the two named chains, and the check of every parameter.
 *
 * A params struct of another size than ours comes from a program built against another version of
 * the header: fields it does not have keep the defaults of its chain, fields we do not know are
 * ignored. */
#include "run/sampler_impl.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const char *const default_breakers[] = {"\n", ":", "\"", "*"};

/* Longer sequence breakers are a mistake: no text repeats them. */
enum { MAX_BREAKER_BYTES = 256 };

void puna_sampler_params_init(puna_sampler_params *params, puna_chain chain) {
    *params = (puna_sampler_params){
        .size = sizeof *params,
        .chain = chain,
        .seed = PUNA_SEED_RANDOM,
        .temperature = 0.8f,
        .top_k = 40,
        .top_p = 0.95f,
        .min_p = 0.05f,
        .typical_p = 1.0f,
        .top_n_sigma = -1.0f,
        .xtc_probability = 0.0f,
        .xtc_threshold = 0.1f,
        .mirostat = 0,
        .mirostat_tau = 5.0f,
        .mirostat_eta = 0.1f,
        .penalty_last_n = 64,
        .repeat_penalty = 1.0f,
        .frequency_penalty = 0.0f,
        .presence_penalty = 0.0f,
        .dry_multiplier = 0.0f,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_penalty_last_n = 64,
        .dry_sequence_breakers = default_breakers,
        .n_dry_sequence_breakers = sizeof default_breakers / sizeof default_breakers[0],
    };
}

/* low <= value <= high; NaN lies in no range. */
static puna_status check_float(const char *name, float value, float low, float high,
                               puna_error *err) {
    if (value >= low && value <= high) return PUNA_OK;
    if (high < FLT_MAX)
        return pn_fail(err, PUNA_E_ARG, "%s: %g is outside %g..%g", name, (double)value,
                       (double)low, (double)high);
    if (low > -FLT_MAX)
        return pn_fail(err, PUNA_E_ARG, "%s: %g is not a finite number of at least %g", name,
                       (double)value, (double)low);
    return pn_fail(err, PUNA_E_ARG, "%s: %g is not a finite number", name, (double)value);
}

static puna_status check_int(const char *name, int32_t value, int32_t low, int32_t high,
                             puna_error *err) {
    if (value >= low && value <= high) return PUNA_OK;
    if (high < INT32_MAX)
        return pn_fail(err, PUNA_E_ARG, "%s: %d is outside %d..%d", name, value, low, high);
    return pn_fail(err, PUNA_E_ARG, "%s: %d is less than %d", name, value, low);
}

static puna_status check_floats(const puna_sampler_params *p, puna_error *err) {
    const struct {
        const char *name;
        float value, low, high;
    } rows[] = {
        {"temperature", p->temperature, 0, FLT_MAX},
        {"top_p", p->top_p, 0, 1},
        {"min_p", p->min_p, 0, 1},
        {"typical_p", p->typical_p, 0, 1},
        {"top_n_sigma", p->top_n_sigma, -FLT_MAX, FLT_MAX},
        {"xtc_probability", p->xtc_probability, 0, 1},
        {"xtc_threshold", p->xtc_threshold, 0, 1},
        {"mirostat_tau", p->mirostat_tau, 0, FLT_MAX},
        {"mirostat_eta", p->mirostat_eta, 0, FLT_MAX},
        {"repeat_penalty", p->repeat_penalty, 0, FLT_MAX},
        {"frequency_penalty", p->frequency_penalty, -FLT_MAX, FLT_MAX},
        {"presence_penalty", p->presence_penalty, -FLT_MAX, FLT_MAX},
        {"dry_multiplier", p->dry_multiplier, 0, FLT_MAX},
        {"dry_base", p->dry_base, 1, FLT_MAX},
    };
    if (!(p->repeat_penalty > 0))
        return pn_fail(err, PUNA_E_ARG,
                       "repeat_penalty: %g is not a number above 0; 1 turns it off",
                       (double)p->repeat_penalty);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        puna_status status =
            check_float(rows[i].name, rows[i].value, rows[i].low, rows[i].high, err);
        if (status) return status;
    }
    return PUNA_OK;
}

static puna_status check_ints(const puna_sampler_params *p, puna_error *err) {
    const struct {
        const char *name;
        int32_t value, low, high;
    } rows[] = {
        {"mirostat", p->mirostat, 0, 2},
        {"penalty_last_n", p->penalty_last_n, -1, INT32_MAX},
        {"dry_allowed_length", p->dry_allowed_length, 0, INT32_MAX},
        {"dry_penalty_last_n", p->dry_penalty_last_n, -1, INT32_MAX},
        {"n_dry_sequence_breakers", p->n_dry_sequence_breakers, 0, INT32_MAX},
        {"n_logit_bias", p->n_logit_bias, 0, INT32_MAX},
        {"n_logprobs", p->n_logprobs, 0, PUNA_MAX_LOGPROBS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        puna_status status = check_int(rows[i].name, rows[i].value, rows[i].low, rows[i].high, err);
        if (status) return status;
    }
    return PUNA_OK;
}

static puna_status check_arrays(const puna_sampler_params *p, int32_t n_vocab, puna_error *err) {
    if (p->n_logit_bias > 0 && !p->logit_bias)
        return pn_fail(err, PUNA_E_ARG, "logit_bias: NULL with n_logit_bias = %d", p->n_logit_bias);
    for (int32_t i = 0; i < p->n_logit_bias; i++) {
        int32_t token = p->logit_bias[i].token;
        if (token < 0 || token >= n_vocab)
            return pn_fail(err, PUNA_E_ARG, "logit_bias[%d]: token %d is outside 0..%d", i, token,
                           n_vocab - 1);
        if (isnan(p->logit_bias[i].bias))
            return pn_fail(err, PUNA_E_ARG, "logit_bias[%d]: the bias of token %d is not a number",
                           i, token);
    }
    if (p->n_dry_sequence_breakers > 0 && !p->dry_sequence_breakers)
        return pn_fail(err, PUNA_E_ARG,
                       "dry_sequence_breakers: NULL with n_dry_sequence_breakers = %d",
                       p->n_dry_sequence_breakers);
    for (int32_t i = 0; i < p->n_dry_sequence_breakers; i++) {
        const char *text = p->dry_sequence_breakers[i];
        if (!text || !text[0])
            return pn_fail(err, PUNA_E_ARG, "dry_sequence_breakers[%d]: empty", i);
        if (strlen(text) > MAX_BREAKER_BYTES)
            return pn_fail(err, PUNA_E_ARG, "dry_sequence_breakers[%d]: %zu bytes, at most %d", i,
                           strlen(text), MAX_BREAKER_BYTES);
    }
    return PUNA_OK;
}

/* llama-cpp-python has no samplers but its own: asking for others there is an error, not silence.
 */
static puna_status check_chain(const puna_sampler_params *p, puna_error *err) {
    if (p->chain != PUNA_CHAIN_LLAMA_CPP && p->chain != PUNA_CHAIN_LLAMA_CPP_PYTHON)
        return pn_fail(err, PUNA_E_ARG,
                       "chain: %d is neither PUNA_CHAIN_LLAMA_CPP nor _LLAMA_CPP_PYTHON",
                       (int)p->chain);
    if (p->chain == PUNA_CHAIN_LLAMA_CPP) return PUNA_OK;
    const char *name = NULL;
    if (p->dry_multiplier > 0) name = "dry_multiplier";
    if (p->top_n_sigma > 0) name = "top_n_sigma";
    if (p->xtc_probability > 0) name = "xtc_probability";
    if (!name) return PUNA_OK;
    return pn_fail(err, PUNA_E_ARG,
                   "%s: not part of llama-cpp-python's chain; use PUNA_CHAIN_LLAMA_CPP", name);
}

puna_status pn_sampler_params_read(const puna_sampler_params *params, int32_t n_vocab,
                                   puna_sampler_params *out, puna_error *err) {
    if (params->size < offsetof(puna_sampler_params, seed))
        return pn_fail(err, PUNA_E_ARG,
                       "sampler params: size %zu; puna_sampler_params_init sets it", params->size);
    puna_sampler_params_init(out, params->chain);
    memcpy(out, params, params->size < sizeof *out ? params->size : sizeof *out);
    out->size = sizeof *out;
    puna_status status = check_chain(out, err);
    if (!status) status = check_floats(out, err);
    if (!status) status = check_ints(out, err);
    if (!status) status = check_arrays(out, n_vocab, err);
    return status;
}
