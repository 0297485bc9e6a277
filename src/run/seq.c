/* seq.c: sequences: their timeline, what of it is computed, and the pages that hold it. */
#include "run/engine.h"

#include "base/mem.h"
#include "run/options.h"

#include <string.h>

void puna_seq_options_init(puna_seq_options *options) {
    *options = (puna_seq_options){.size = sizeof *options, .max_tokens = -1};
    puna_sampler_params_init(&options->sampler, PUNA_CHAIN_LLAMA_CPP);
}

static puna_seq *free_slot(puna_engine *e) {
    for (int32_t i = 0; i < e->n_seq; i++)
        if (!e->seqs[i].open) return &e->seqs[i];
    return NULL;
}

/* Opens a slot with empty timeline; sampler is taken over. */
static puna_status open_slot(puna_engine *e, pn_sampler *sampler, puna_seq **seq, puna_error *err) {
    puna_seq *s = free_slot(e);
    if (!s)
        return pn_fail(err, PUNA_E_LIMIT, "all %d sequences of the engine are open (n_seq)",
                       e->n_seq);
    const size_t text_cap = pn_seq_text_cap(e->model);
    char *text = pn_calloc(2, text_cap);
    if (!text) return pn_fail_nomem(err, 2 * text_cap, "a sequence");
    *s = (puna_seq){.engine = e,
                    .slot = s->slot,
                    .open = true,
                    .tokens = s->tokens,
                    .pages = s->pages,
                    .logits = s->logits,
                    .text = text,
                    .text_cap = text_cap,
                    .sampler = sampler};
    s->stats.size = sizeof s->stats;
    *seq = s;
    return PUNA_OK;
}

static puna_status open_sampler(const puna_engine *e, const puna_sampler_params *params,
                                pn_sampler **sampler, puna_error *err) {
    return pn_sampler_open(params, e->model->vocab, e->n_ctx, sampler, err);
}

puna_status puna_seq_open(puna_engine *engine, const puna_seq_options *options, puna_seq **seq,
                          puna_error *err) {
    puna_seq_options o;
    puna_seq_options_init(&o);
    pn_options_copy(&o, sizeof o, options);
    pn_sampler *sampler;
    PN_TRY(open_sampler(engine, &o.sampler, &sampler, err));
    const puna_status status = open_slot(engine, sampler, seq, err);
    if (status != PUNA_OK) {
        pn_sampler_free(sampler);
        return status;
    }
    puna_seq *s = *seq;
    s->user = o.user;
    s->max_tokens = o.max_tokens;
    s->n_logprobs = o.sampler.n_logprobs;
    s->on_logits = o.on_logits;
    s->on_logits_user = o.on_logits_user;
    return PUNA_OK;
}

void puna_seq_free(puna_seq *seq) {
    if (!seq || !seq->open) return;
    pn_seq_truncate(seq, 0);
    pn_sampler_free(seq->sampler);
    pn_free(seq->text);
    seq->open = seq->active = false;
    seq->sampler = NULL;
    seq->text = NULL;
}

/* ---- pages ---- */

void pn_seq_truncate(puna_seq *seq, int32_t n) {
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
            e->backend->copy_page(e->device, seq->pages[i], page);
            pn_pages_drop(&e->pages, seq->pages[i]);
        } else {
            seq->n_pages = i + 1;
        }
        seq->pages[i] = page;
    }
    return PUNA_OK;
}

/* ---- the timeline ---- */

static puna_status check_tokens(const puna_seq *seq, const int32_t *tokens, int32_t n,
                                puna_error *err) {
    const int32_t n_ctx = seq->engine->n_ctx, n_vocab = seq->engine->plan->n_vocab;
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

puna_status puna_seq_feed(puna_seq *seq, const int32_t *tokens, int32_t n_tokens, puna_error *err) {
    PN_TRY(check_tokens(seq, tokens, n_tokens, err));
    int32_t same = 0;
    while (same < n_tokens && same < seq->n_computed && tokens[same] == seq->tokens[same]) same++;
    const bool whole = same == n_tokens && n_tokens == seq->n_tokens && seq->has_logits;
    if (!whole) {
        /* the last token is computed again when its logits are not at hand */
        if (same == n_tokens) same--;
        seq->has_logits = false;
    }
    pn_seq_truncate(seq, same);
    memmove(seq->tokens, tokens, (size_t)n_tokens * sizeof *tokens);
    seq->n_tokens = seq->n_fed = n_tokens;
    seq->n_left = seq->max_tokens;
    pn_sampler_restart(seq->sampler);
    seq->detok = (pn_detok){0};
    seq->stats = (puna_seq_stats){.size = sizeof seq->stats, .n_fed = n_tokens, .n_reused = same};
    seq->active = true;
    return PUNA_OK;
}

void puna_seq_set_max_tokens(puna_seq *seq, int32_t max_tokens) {
    seq->max_tokens = max_tokens < 0 ? -1 : max_tokens;
}

puna_status puna_seq_set_sampler(puna_seq *seq, const puna_sampler_params *params,
                                 puna_error *err) {
    puna_sampler_params p;
    puna_sampler_params_init(&p, PUNA_CHAIN_LLAMA_CPP);
    pn_options_copy(&p, sizeof p, params);
    pn_sampler *sampler;
    PN_TRY(open_sampler(seq->engine, &p, &sampler, err));
    pn_sampler_free(seq->sampler);
    seq->sampler = sampler;
    seq->n_logprobs = p.n_logprobs;
    return PUNA_OK;
}

puna_status puna_seq_fork(puna_seq *seq, void *user, puna_seq **fork, puna_error *err) {
    puna_engine *e = seq->engine;
    pn_sampler *sampler;
    PN_TRY(pn_sampler_copy(seq->sampler, &sampler, err));
    puna_seq *s;
    const puna_status status = open_slot(e, sampler, &s, err);
    if (status != PUNA_OK) {
        pn_sampler_free(sampler);
        return status;
    }
    s->user = user;
    s->max_tokens = seq->max_tokens;
    s->n_logprobs = seq->n_logprobs;
    s->n_tokens = seq->n_tokens;
    s->n_computed = seq->n_computed;
    s->n_pages = seq->n_pages;
    s->has_logits = seq->has_logits;
    memcpy(s->tokens, seq->tokens, (size_t)seq->n_tokens * sizeof *s->tokens);
    memcpy(s->pages, seq->pages, (size_t)seq->n_pages * sizeof *s->pages);
    if (seq->has_logits) memcpy(s->logits, seq->logits, (size_t)e->plan->n_vocab * sizeof(float));
    for (int32_t i = 0; i < s->n_pages; i++) pn_pages_share(&e->pages, s->pages[i]);
    *fork = s;
    return PUNA_OK;
}

const int32_t *puna_seq_tokens(const puna_seq *seq, int32_t *n_tokens) {
    *n_tokens = seq->n_tokens;
    return seq->tokens;
}

const float *puna_seq_logits(const puna_seq *seq) {
    return seq->has_logits ? seq->logits : NULL;
}

puna_status puna_seq_sample(puna_seq *seq, int32_t *token, puna_error *err) {
    if (!seq->has_logits)
        return pn_fail(err, PUNA_E_STATE,
                       "the sequence has no logits yet: feed it and step until it has finished");
    return pn_sampler_draw(seq->sampler, seq->logits, seq->tokens, seq->n_tokens, token, err);
}

void puna_seq_get_stats(const puna_seq *seq, puna_seq_stats *stats) {
    pn_options_fill(stats, &seq->stats, sizeof seq->stats);
}
