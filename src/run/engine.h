/* engine.h: what engine.c, step.c, seq.c and memory.c share: the engine, its sequences, its memory
 * plan. */
#ifndef PN_RUN_ENGINE_H
#define PN_RUN_ENGINE_H

#include "backend/backend.h"
#include "run/model.h"
#include "run/pages.h"
#include "run/sampler.h"

/* One timeline. tokens[0..n_computed) are in the KV cache; tokens[n_computed..n_tokens) wait to be
 * computed. */
struct puna_seq {
    puna_engine *engine;
    int32_t slot; /* index in engine->seqs; the row of its token list and logits */
    bool open;
    bool active; /* has tokens to compute or to sample, or a finish to report */
    void *user;
    int32_t *tokens; /* [n_ctx] */
    int32_t n_tokens, n_computed;
    int32_t n_fed;  /* tokens of the last feed */
    int32_t *pages; /* [pages_per_seq] page numbers */
    int32_t n_pages;
    float *logits; /* [n_vocab] of position n_tokens - 1 when has_logits */
    bool has_logits;
    int32_t max_tokens; /* per feed; -1: no limit */
    int32_t n_left;     /* to sample after this feed; -1: no limit */
    int32_t n_logprobs;
    pn_sampler *sampler;
    puna_logits_fn on_logits;
    void *on_logits_user;
    pn_detok detok;
    char *text; /* [2 * text_cap]: the TOKEN event's text, then the FINISHED event's */
    size_t text_cap;
    puna_token_logprob top[PUNA_MAX_LOGPROBS];
    puna_seq_stats stats;
    int32_t n_rows; /* of the step under way */
};

struct puna_engine {
    puna_model *model;
    const pn_plan *plan;
    const pn_backend *backend;
    pn_device *device;
    puna_memory_plan memory;
    puna_engine_options options;
    int32_t n_ctx, n_seq, n_batch;
    int32_t pages_per_seq;
    pn_pages pages;
    puna_seq *seqs;       /* [n_seq] */
    int32_t *token_lists; /* [n_seq][n_ctx] */
    int32_t *page_lists;  /* [n_seq][pages_per_seq] */
    float *logits;        /* [n_seq][n_vocab] */
    atomic_bool cancel;

    /* the batch under construction */
    int32_t *rows;               /* tokens, positions, seqs, logit_rows: 4 lists of [n_batch] */
    const int32_t **page_tables; /* [n_seq] */
    pn_batch batch;
    int32_t n_prefill, n_prefill_done; /* fed tokens of all active sequences, for progress */
    int32_t n_prefill_rows;
};

/* Bytes of each half of a sequence's text: one token's, and what was held back of the ones
 * before. */
static inline size_t pn_seq_text_cap(const puna_model *model) {
    return pn_detok_max_bytes(model->vocab) + 8;
}

/* The memory plan for the options; *config gets what the device would be opened with. */
puna_status pn_engine_memory(const puna_model *model, const puna_engine_options *options,
                             puna_memory_plan *plan, pn_device_config *config, puna_error *err);

/* Gives back pages beyond the first n positions. */
void pn_seq_truncate(puna_seq *seq, int32_t n);
/* Makes the pages of positions [n_computed, n_computed + n_rows) exist and belong to this sequence
 * alone. */
puna_status pn_seq_reserve(puna_seq *seq, int32_t n_rows, puna_error *err);

#endif
