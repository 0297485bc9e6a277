/* seq.c: sequences: opened, set up, forked and freed, and what can be asked of them. */
#include "run/engine.h"

#include "base/mem.h"
#include "run/options.h"

#include <string.h>

/* ---- setup ----------------------------------------------------------------------------------- */

void puna_seq_options_init(puna_seq_options *options) {
    *options = (puna_seq_options){.size = sizeof *options, .max_tokens = -1};
    puna_sampler_params_init(&options->sampler, PUNA_CHAIN_LLAMA_CPP);
}

void pn_seq_setup_close(pn_seq_setup *setup) {
    pn_sampler_free(setup->sampler);
    pn_seq_text_close(&setup->text);
    pn_pool_close(&setup->pool);
    pn_free(setup->top);
    *setup = (pn_seq_setup){0};
}

/* Tokens that one step can bring. */
static int32_t step_tokens(const puna_engine *e) {
    return 1 + e->options.max_draft;
}

static puna_status take_top(const puna_engine *e, int32_t n_logprobs, puna_token_logprob **top,
                            puna_error *err) {
    const size_t n = (size_t)n_logprobs * (size_t)step_tokens(e);
    *top = NULL;
    if (n > 0 && !(*top = pn_calloc(n, sizeof **top)))
        return pn_fail_nomem(err, n * sizeof **top, "logprobs");
    return PUNA_OK;
}

static puna_status open_sampler(const puna_engine *e, const puna_sampler_params *params,
                                pn_sampler **sampler, puna_error *err) {
    const pn_token_trie *trie = NULL;
    PN_TRY(pn_sampler_open(params, e->model->vocab, e->n_ctx, sampler, err));
    puna_status status = PUNA_OK;
    if (params->grammar) status = pn_model_trie(e->model, &trie, err);
    if (!status) status = pn_sampler_constrain(*sampler, trie, err);
    if (!status) return PUNA_OK;
    pn_sampler_free(*sampler);
    *sampler = NULL;
    return status;
}

static puna_status fill_setup(const puna_engine *e, const puna_seq_options *o, pn_seq_setup *setup,
                              puna_error *err) {
    const pn_vocab *vocab = e->model->vocab;
    if (o->draft && e->options.max_draft == 0)
        return pn_fail(err, PUNA_E_ARG, "draft: the engine was opened with max_draft 0");
    PN_TRY(open_sampler(e, &o->sampler, &setup->sampler, err));
    PN_TRY(pn_seq_text_open(&setup->text, vocab, o->stops, o->n_stops, step_tokens(e), err));
    PN_TRY(pn_pool_open(&setup->pool, o->pooling, e->plan->n_embd, err));
    return take_top(e, o->sampler.n_logprobs, &setup->top, err);
}

puna_status pn_seq_setup_open(const puna_engine *e, const puna_seq_options *options,
                              pn_seq_setup *setup, puna_error *err) {
    *setup = (pn_seq_setup){0};
    puna_seq_options_init(&setup->options);
    pn_options_copy(&setup->options, sizeof setup->options, options);
    const puna_seq_options asked = setup->options;
    const puna_status status = fill_setup(e, &asked, setup, err);
    if (status != PUNA_OK) pn_seq_setup_close(setup);
    return status;
}

static puna_status copy_parts(const puna_engine *e, const pn_seq_setup *from, pn_seq_setup *setup,
                              puna_error *err) {
    PN_TRY(pn_sampler_copy(from->sampler, &setup->sampler, err));
    PN_TRY(pn_seq_text_copy(&from->text, &setup->text, err));
    PN_TRY(pn_pool_open(&setup->pool, from->pool.kind, from->pool.n_embd, err));
    return take_top(e, from->options.sampler.n_logprobs, &setup->top, err);
}

static puna_status copy_setup(const puna_engine *e, const pn_seq_setup *from, pn_seq_setup *setup,
                              puna_error *err) {
    *setup = (pn_seq_setup){.options = from->options};
    const puna_status status = copy_parts(e, from, setup, err);
    if (status != PUNA_OK) pn_seq_setup_close(setup);
    return status;
}

size_t pn_seq_bytes(const puna_model *model, int32_t max_draft) {
    return sizeof(puna_seq) + sizeof(int32_t *) +
           pn_seq_text_bytes(model->vocab, 0, 1 + max_draft) +
           pn_sampler_bytes(pn_vocab_n_tokens(model->vocab));
}

/* ---- open and close -------------------------------------------------------------------------- */

static puna_status find_slot(puna_engine *e, puna_seq **slot, puna_error *err) {
    for (int32_t i = 0; i < e->n_seq; i++)
        if (!e->seqs[i].open) {
            *slot = &e->seqs[i];
            return PUNA_OK;
        }
    return pn_fail(err, PUNA_E_LIMIT, "all %d sequences of the engine are open (n_seq)", e->n_seq);
}

/* Opens a slot with an empty timeline; the setup is taken over. */
static void open_slot(puna_seq *slot, const pn_seq_setup *setup) {
    *slot = (puna_seq){.engine = slot->engine,
                       .slot = slot->slot,
                       .open = true,
                       .setup = *setup,
                       .tokens = slot->tokens,
                       .pages = slot->pages,
                       .logits = slot->logits,
                       .quota = INT32_MAX,
                       .stats.size = sizeof slot->stats};
}

puna_status pn_seq_open_with(puna_engine *engine, pn_seq_setup *setup, puna_seq **seq,
                             puna_error *err) {
    puna_seq *slot = NULL;
    PN_TRY(find_slot(engine, &slot, err));
    open_slot(slot, setup);
    *setup = (pn_seq_setup){0};
    *seq = slot;
    return PUNA_OK;
}

puna_status puna_seq_open(puna_engine *engine, const puna_seq_options *options, puna_seq **seq,
                          puna_error *err) {
    puna_seq *slot = NULL;
    pn_seq_setup setup;
    PN_TRY(find_slot(engine, &slot, err));
    PN_TRY(pn_seq_setup_open(engine, options, &setup, err));
    return pn_seq_open_with(engine, &setup, seq, err);
}

void puna_seq_free(puna_seq *seq) {
    if (!seq || !seq->open) return;
    pn_seq_forget(seq, 0);
    pn_seq_setup_close(&seq->setup);
    seq->open = seq->active = false;
}

puna_status puna_seq_fork(puna_seq *seq, void *user, puna_seq **fork, puna_error *err) {
    puna_engine *e = seq->engine;
    puna_seq *s = NULL;
    pn_seq_setup setup;
    PN_TRY(find_slot(e, &s, err));
    PN_TRY(copy_setup(e, &seq->setup, &setup, err));
    setup.options.user = user;
    open_slot(s, &setup);
    s->n_tokens = seq->n_tokens;
    s->n_computed = seq->n_computed;
    s->n_fed = seq->n_fed;
    s->n_pages = seq->n_pages;
    s->n_cached = seq->n_cached;
    s->is_uncachable = seq->is_uncachable;
    s->has_logits = pn_seq_has_logits(seq);
    memcpy(s->tokens, seq->tokens, (size_t)seq->n_tokens * sizeof *s->tokens);
    memcpy(s->pages, seq->pages, (size_t)seq->n_pages * sizeof *s->pages);
    if (s->has_logits) memcpy(s->logits, seq->logits, (size_t)e->plan->n_vocab * sizeof(float));
    for (int32_t i = 0; i < s->n_pages; i++) pn_pages_share(&e->pages, s->pages[i]);
    *fork = s;
    return PUNA_OK;
}

/* ---- settings -------------------------------------------------------------------------------- */

puna_status puna_seq_configure(puna_seq *seq, const puna_seq_options *options, puna_error *err) {
    pn_seq_setup setup;
    PN_TRY(pn_seq_setup_open(seq->engine, options, &setup, err));
    pn_seq_setup_close(&seq->setup);
    seq->setup = setup;
    puna_seq_stop(seq);
    return PUNA_OK;
}

void puna_seq_set_max_tokens(puna_seq *seq, int32_t max_tokens) {
    seq->setup.options.max_tokens = max_tokens;
}

puna_status puna_seq_set_sampler(puna_seq *seq, const puna_sampler_params *params,
                                 puna_error *err) {
    puna_sampler_params p;
    pn_sampler *sampler;
    puna_token_logprob *top = NULL;
    puna_sampler_params_init(&p, PUNA_CHAIN_LLAMA_CPP);
    pn_options_copy(&p, sizeof p, params);
    PN_TRY(open_sampler(seq->engine, &p, &sampler, err));
    const puna_status status = take_top(seq->engine, p.n_logprobs, &top, err);
    if (status != PUNA_OK) {
        pn_sampler_free(sampler);
        return status;
    }
    pn_sampler_free(seq->setup.sampler);
    pn_free(seq->setup.top);
    seq->setup.sampler = sampler;
    seq->setup.top = top;
    seq->setup.options.sampler = p;
    return PUNA_OK;
}

/* ---- results --------------------------------------------------------------------------------- */

const float *puna_seq_logits(const puna_seq *seq) {
    return pn_seq_has_logits(seq) ? seq->logits : NULL;
}

const float *puna_seq_embedding(const puna_seq *seq) {
    return seq->setup.pool.is_ready ? seq->setup.pool.vector : NULL;
}

puna_status puna_seq_sample(puna_seq *seq, int32_t *token, puna_error *err) {
    if (!pn_seq_has_logits(seq))
        return pn_fail(err, PUNA_E_STATE,
                       "the sequence has no logits yet: feed it and step until it has finished");
    return pn_seq_draw(seq, seq->logits, token, err);
}

void puna_seq_get_stats(const puna_seq *seq, puna_seq_stats *stats) {
    pn_options_fill(stats, &seq->stats, sizeof seq->stats);
}
