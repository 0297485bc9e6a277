/* timeline.c: the tokens of a sequence, what of them is computed, and the pages that hold it. */
#include "run/engine.h"

#include <string.h>

/* ---- pages ----------------------------------------------------------------------------------- */

void pn_seq_forget(puna_seq *seq, int32_t n) {
    const int32_t keep = (n + PN_PAGE_POSITIONS - 1) / PN_PAGE_POSITIONS;
    while (seq->n_pages > keep) pn_pages_drop(&seq->engine->pages, seq->pages[--seq->n_pages]);
    if (seq->n_computed > n) seq->n_computed = n;
}

puna_status pn_seq_reserve(puna_seq *seq, int32_t n_rows, puna_error *err) {
    puna_engine *e = seq->engine;
    const int32_t first = seq->n_computed / PN_PAGE_POSITIONS;
    const int32_t last = (seq->n_computed + n_rows - 1) / PN_PAGE_POSITIONS;
    for (int32_t i = first; i <= last; i++) {
        const bool have = i < seq->n_pages;
        if (have && e->pages.refs[seq->pages[i]] == 1) continue;
        const int32_t page = pn_pages_take(&e->pages);
        if (page < 0) return pn_fail(err, PUNA_E_LIMIT, "no KV page is free");
        if (have) {
            const puna_status status = e->backend->copy_page(e->device, seq->pages[i], page, err);
            pn_pages_drop(&e->pages, status == PUNA_OK ? seq->pages[i] : page);
            if (status != PUNA_OK) return status;
        } else {
            seq->n_pages = i + 1;
        }
        seq->pages[i] = page;
    }
    return PUNA_OK;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

puna_status pn_tokens_check(const puna_engine *engine, const int32_t *tokens, int32_t n,
                            puna_error *err) {
    const int32_t n_ctx = engine->n_ctx, n_vocab = engine->plan->n_vocab;
    if (n < 1) return pn_fail(err, PUNA_E_ARG, "a sequence must be fed at least one token");
    if (n > n_ctx)
        return pn_fail(err, PUNA_E_LIMIT,
                       "%d tokens do not fit the context of %d: raise n_ctx or shorten the prompt",
                       n, n_ctx);
    for (int32_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return pn_fail(err, PUNA_E_ARG,
                           "token %d at position %d is outside the vocabulary of %d", tokens[i], i,
                           n_vocab);
    return PUNA_OK;
}

/* How many tokens at the beginning are computed already. */
static int32_t common(const puna_seq *seq, const int32_t *tokens, int32_t n) {
    int32_t same = 0;
    while (same < n && same < seq->n_computed && tokens[same] == seq->tokens[same]) same++;
    return same;
}

puna_status puna_seq_feed(puna_seq *seq, const int32_t *tokens, int32_t n_tokens, puna_error *err) {
    PN_TRY(pn_tokens_check(seq->engine, tokens, n_tokens, err));
    const bool embeds = pn_seq_embeds(seq);
    int32_t same = 0;
    if (!embeds) same = common(seq, tokens, n_tokens);
    const bool whole = same == n_tokens && n_tokens == seq->n_tokens && seq->has_logits;
    if (!whole) {
        /* the last token is computed again when its logits are not at hand */
        if (same == n_tokens) same--;
        seq->has_logits = false;
    }
    pn_seq_forget(seq, same);
    memmove(seq->tokens, tokens, (size_t)n_tokens * sizeof *tokens);
    seq->n_tokens = seq->n_fed = n_tokens;
    seq->n_draft = 0;
    seq->n_left = embeds                              ? 0
                  : seq->setup.options.max_tokens < 0 ? -1
                                                      : seq->setup.options.max_tokens;
    pn_sampler_restart(seq->setup.sampler);
    pn_pool_restart(&seq->setup.pool);
    pn_seq_text_restart(&seq->setup.text);
    seq->stats = (puna_seq_stats){.size = sizeof seq->stats, .n_fed = n_tokens, .n_reused = same};
    seq->active = true;
    seq->at_length = false;
    return PUNA_OK;
}

puna_status puna_seq_resume(puna_seq *seq, int32_t max_tokens, puna_error *err) {
    if (!seq->at_length || pn_seq_embeds(seq))
        return pn_fail(err, PUNA_E_STATE,
                       "the sequence cannot go on: it did not finish because of max_tokens");
    seq->n_left = max_tokens < 0 ? -1 : max_tokens;
    seq->active = true;
    seq->at_length = false;
    return PUNA_OK;
}

void puna_seq_stop(puna_seq *seq) {
    seq->active = seq->at_length = false;
}

void puna_seq_truncate(puna_seq *seq, int32_t n_tokens) {
    puna_seq_stop(seq);
    if (n_tokens < 0) n_tokens = 0;
    if (n_tokens >= seq->n_tokens) return;
    pn_seq_forget(seq, n_tokens);
    seq->n_tokens = n_tokens;
    if (seq->n_fed > n_tokens) seq->n_fed = n_tokens;
    seq->has_logits = false;
}

const int32_t *puna_seq_tokens(const puna_seq *seq, int32_t *n_tokens) {
    *n_tokens = seq->n_tokens;
    return seq->tokens;
}
