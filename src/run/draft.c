/* draft.c: guesses of what comes next, computed in one step with the token that is pending.
 *
 *   tokens:  ... pending | guess guess guess          rows of the step: pending and the guesses
 *                        n_tokens                     each gives the logits for what follows it
 *
 * A guess is never part of the timeline: emit.c draws from the logits row by row, as if there were
 * no guesses, and goes on to the next row only while what was drawn is what was guessed. So guesses
 * change how many tokens a step brings and nothing else. */
#include "run/engine.h"

/* Guesses that could still be of use: of the tokens that may yet come, the last is never
 * computed. */
static int32_t useful(const puna_seq *s, int32_t max) {
    const int32_t context = s->engine->n_ctx - s->n_tokens - 1;
    if (max > s->engine->options.max_draft) max = s->engine->options.max_draft;
    if (max > context) max = context;
    return s->n_left >= 0 && max > s->n_left - 1 ? s->n_left - 1 : max;
}

int32_t pn_seq_guess(puna_seq *s, int32_t max) {
    int32_t guesses[PN_MAX_DRAFT];
    const puna_seq_options *o = &s->setup.options;
    max = useful(s, max);
    if (!o->draft || max <= 0 || s->n_tokens == s->n_fed) return 0;
    int32_t n = o->draft(o->draft_user, s->tokens, s->n_tokens, guesses, max);
    if (n > max) n = max;
    for (int32_t i = 0; i < n; i++) {
        if (guesses[i] < 0 || guesses[i] >= s->engine->plan->n_vocab) return i;
        s->tokens[s->n_tokens + i] = guesses[i];
    }
    return n > 0 ? n : 0;
}
