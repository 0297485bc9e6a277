/* sampler_grammar.c: a sampler under a grammar: only what keeps the text within it is possible. */
#include "run/sampler_impl.h"

puna_status pn_sampler_constrain(pn_sampler *s, const pn_token_trie *trie, puna_error *err) {
    if (!s->params.grammar) return PUNA_OK;
    return pn_matching_open(s->params.grammar, trie, &s->matching, err);
}

puna_status pn_sampler_accept(pn_sampler *s, int32_t token, puna_error *err) {
    if (!s->matching.matcher) return PUNA_OK;
    const puna_status status = pn_matching_token(&s->matching, token, err);
    if (status || !pn_matching_is_dead(&s->matching)) return status;
    return pn_fail(err, PUNA_E_NUMERIC, "the grammar does not allow token %d here", token);
}

void pn_sampler_restart(pn_sampler *s) {
    if (s->matching.matcher) pn_matching_restart(&s->matching);
}

puna_status pn_grammar_apply(pn_sampler *s, puna_error *err) {
    pn_token_mask mask;
    if (!s->matching.matcher) return PUNA_OK;
    const puna_status status = pn_matching_mask(&s->matching, &mask, err);
    if (status) return status;
    if (mask.n_allowed == 0)
        return pn_fail(err, PUNA_E_NUMERIC,
                       "no token possible: the grammar allows none of the vocabulary here");
    pn_scores_keep(s, mask.bits);
    return PUNA_OK;
}
