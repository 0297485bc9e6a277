/* sampler.h: from logits to a token.
 *
 * Deterministic: the same logits, history, parameters and seed give the same token. The random
 * numbers are a counter-based generator keyed by the seed, one draw sequence per sampler. Ties
 * order by token id. Survives any logits: NaN counts as -infinity; when nothing is left the
 * status is PUNA_E_NUMERIC. */
#ifndef PN_RUN_SAMPLER_H
#define PN_RUN_SAMPLER_H

#include "backend/pick.h"
#include "base/error.h"
#include "grammar/token_trie.h"
#include "text/vocab.h"

typedef struct pn_sampler pn_sampler;

/* Checks every parameter (message: name, value, range) and copies what it needs. vocab must
 * outlive it; n_ctx resolves windows of -1. */
puna_status pn_sampler_open(const puna_sampler_params *params, const pn_vocab *vocab, int32_t n_ctx,
                            pn_sampler **sampler, puna_error *err);
void pn_sampler_free(pn_sampler *sampler);
/* Bytes of an open sampler with the default parameters. Penalties take 4 more for each token of
 * the vocabulary; no top-k, or mirostat, up to 32. */
size_t pn_sampler_bytes(int32_t n_vocab);
/* A copy with the same random state, at the same place of its grammar. It is for the thread of the
 * original. */
puna_status pn_sampler_copy(const pn_sampler *sampler, pn_sampler **copy, puna_error *err);

/* Draws a token. logits [n_vocab] are not changed. history: the sequence's tokens so far, prompt
 * included; the penalties look at its tail. */
puna_status pn_sampler_draw(pn_sampler *sampler, const float *logits, const int32_t *history,
                            int32_t n_history, int32_t *token, puna_error *err);

/* What of a row of logits would be enough for a draw; false: all of it. n_draws: draws before it whose
 * tokens are in the history already. ids [PN_PICK_MAX_IDS] get what pick->ids points to. */
bool pn_sampler_pick(const pn_sampler *sampler, const int32_t *history, int32_t n_history,
                     int32_t n_draws, int32_t *ids, pn_pick *pick);
/* Whether what was picked is enough: it nearly always is. Draws nothing. */
bool pn_sampler_can_draw(pn_sampler *sampler, const pn_pick *pick, const pn_picked *picked,
                         const int32_t *history, int32_t n_history);
/* The draw that pn_sampler_draw would make from all logits: the same token and random state. Only
 * where pn_sampler_can_draw said so. */
puna_status pn_sampler_draw_picked(pn_sampler *sampler, const pn_pick *pick,
                                   const pn_picked *picked, const int32_t *history,
                                   int32_t n_history, int32_t *token, puna_error *err);

/* Puts params.grammar, if any, into force: to be called once, before the first draw. trie: of the
 * sampler's vocabulary; must outlive the sampler. */
puna_status pn_sampler_constrain(pn_sampler *sampler, const pn_token_trie *trie, puna_error *err);
/* Tells the sampler that `token` is now part of the timeline: its grammar goes on behind it. To be
 * called exactly once for each sampled token that is kept, in order, and for no other; a draw alone
 * changes nothing but the random state. Fails when the grammar cannot go on (PUNA_E_NUMERIC: it does
 * not allow the token); without a grammar it does nothing. */
puna_status pn_sampler_accept(pn_sampler *sampler, int32_t token, puna_error *err);
/* A new text begins: the grammar starts anew. Everything else stays, the random state too. */
void pn_sampler_restart(pn_sampler *sampler);

#endif
