/* timeline.c: the tokens of a sequence, what of them is computed, and the pages that hold it. */
#include "run/engine.h"

#include <string.h>

/* ---- pages ----------------------------------------------------------------------------------- */

/* Whether the prefix cache may have what the sequence computes. */
static bool is_cachable(const puna_seq *seq) {
    return seq->engine->prefixes && !seq->is_uncachable && !pn_seq_embeds(seq);
}

/* Whether all that is computed needs not be computed by itself. */
static bool may_adopt(const puna_seq *seq) {
    return is_cachable(seq) && !seq->setup.options.on_logits;
}

static int32_t last_cached(const puna_seq *seq) {
    return seq->n_cached > 0 ? seq->pages[seq->n_cached - 1] : PN_NO_PAGE;
}

void pn_seq_publish(puna_seq *seq) {
    puna_engine *e = seq->engine;
    if (!is_cachable(seq)) return;
    while (seq->n_cached < seq->n_computed / PN_PAGE_POSITIONS) {
        const int32_t i = seq->n_cached, ours = seq->pages[i];
        const int32_t page =
            pn_prefix_cache_add(e->prefixes, last_cached(seq), seq->tokens + i * PN_PAGE_POSITIONS,
                                PN_PAGE_POSITIONS, ours);
        if (page != ours) { /* somebody else has computed the same */
            pn_pages_share(&e->pages, page);
            pn_pages_drop(&e->pages, ours);
            seq->pages[i] = page;
        }
        seq->n_cached++;
    }
}

/* Full pages, and the one that is not. */
static void publish_all(puna_seq *seq) {
    pn_seq_publish(seq);
    const int32_t from = seq->n_cached * PN_PAGE_POSITIONS, n = seq->n_computed - from;
    if (is_cachable(seq) && n > 0)
        (void)pn_prefix_cache_add(seq->engine->prefixes, last_cached(seq), seq->tokens + from, n,
                                  seq->pages[seq->n_cached]);
}

void pn_seq_forget(puna_seq *seq, int32_t n) {
    const int32_t keep = (n + PN_PAGE_POSITIONS - 1) / PN_PAGE_POSITIONS;
    if (seq->n_computed > n) publish_all(seq);
    while (seq->n_pages > keep) pn_pages_drop(&seq->engine->pages, seq->pages[--seq->n_pages]);
    if (seq->n_computed > n) seq->n_computed = n;
    if (seq->n_cached > n / PN_PAGE_POSITIONS) seq->n_cached = n / PN_PAGE_POSITIONS;
    if (n == 0) seq->is_uncachable = false;
}

/* Puts found pages in the place of those that hold less. */
static void take_found(puna_seq *seq, int32_t n_found) {
    puna_engine *e = seq->engine;
    const int32_t from = seq->n_cached;
    const int32_t n_pages = (n_found + PN_PAGE_POSITIONS - 1) / PN_PAGE_POSITIONS;
    for (int32_t i = 0; i < n_pages; i++) pn_pages_share(&e->pages, e->found[i]);
    while (seq->n_pages > from) pn_pages_drop(&e->pages, seq->pages[--seq->n_pages]);
    memcpy(seq->pages + from, e->found, (size_t)n_pages * sizeof *e->found);
    seq->n_pages = from + n_pages;
    seq->n_cached = from + n_found / PN_PAGE_POSITIONS;
}

int32_t pn_seq_adopt(puna_seq *seq) {
    const int32_t most = seq->n_tokens - 1, before = seq->n_computed;
    if (!may_adopt(seq) || before >= most) return 0;
    pn_seq_publish(seq);
    const int32_t from = seq->n_cached * PN_PAGE_POSITIONS;
    const int32_t n = pn_prefix_cache_find(seq->engine->prefixes, last_cached(seq),
                                           seq->tokens + from, most - from, seq->engine->found);
    if (from + n <= before) return 0;
    take_found(seq, n);
    seq->n_computed = from + n;
    return seq->n_computed - before;
}

/* Tokens worth waiting for: computing fewer is as fast as copying their page. */
enum { WORTH_WAITING = 16 };

bool pn_seq_follows(const puna_seq *seq, const puna_seq *other) {
    const int32_t from = seq->n_cached * PN_PAGE_POSITIONS, end = from + PN_PAGE_POSITIONS;
    const int32_t most = seq->n_tokens - 1 < end ? seq->n_tokens - 1 : end;
    if (!may_adopt(seq) || !is_cachable(other) || other->n_cached != seq->n_cached) return false;
    /* equal beginnings are the same pages */
    if (last_cached(seq) != last_cached(other) || other->n_tokens < end) return false;
    int32_t i = seq->n_computed;
    if (other->n_computed < i || memcmp(seq->tokens + from, other->tokens + from,
                                        (size_t)(i - from) * sizeof *seq->tokens) != 0)
        return false;
    while (i < most && seq->tokens[i] == other->tokens[i]) i++;
    return i - seq->n_computed >= WORTH_WAITING;
}

/* A page for a sequence: a free one, or one that only the cache has. */
static int32_t take_page(puna_engine *e) {
    int32_t page = pn_pages_take(&e->pages);
    if (page == PN_NO_PAGE && e->prefixes && pn_prefix_cache_evict(e->prefixes))
        page = pn_pages_take(&e->pages);
    return page;
}

/* Makes the i-th page the sequence's own. */
static puna_status own_page(puna_seq *seq, int32_t i, puna_error *err) {
    puna_engine *e = seq->engine;
    const int32_t page = take_page(e), old = seq->pages[i];
    if (page != PN_NO_PAGE) {
        const puna_status status = e->backend->copy_page(e->device, old, page, err);
        pn_pages_drop(&e->pages, status == PUNA_OK ? old : page);
        if (status == PUNA_OK) seq->pages[i] = page;
        return status;
    }
    /* no other page is idle, so none below this one is: the cache can do without it */
    if (!e->pages.kept[old] || e->pages.refs[old] > 2)
        return pn_fail(err, PUNA_E_LIMIT, "no KV page is free");
    pn_prefix_cache_remove(e->prefixes, old);
    return PUNA_OK;
}

puna_status pn_seq_reserve(puna_seq *seq, int32_t n_rows, puna_error *err) {
    puna_engine *e = seq->engine;
    const int32_t first = seq->n_computed / PN_PAGE_POSITIONS;
    const int32_t last = (seq->n_computed + n_rows - 1) / PN_PAGE_POSITIONS;
    for (int32_t i = first; i <= last; i++) {
        if (i < seq->n_pages) {
            if (e->pages.refs[seq->pages[i]] > 1) PN_TRY(own_page(seq, i, err));
            continue;
        }
        const int32_t page = take_page(e);
        if (page == PN_NO_PAGE) return pn_fail(err, PUNA_E_LIMIT, "no KV page is free");
        seq->pages[i] = page;
        seq->n_pages = i + 1;
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
    const bool whole = same == n_tokens && n_tokens == seq->n_tokens && pn_seq_has_logits(seq);
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
    seq->n_shown = same;
    if (!whole) same += pn_seq_adopt(seq);
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
