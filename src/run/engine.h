/* engine.h: what the files of the engine share: the engine, its sequences, its memory plan.
 *
 * engine.c opens and closes an engine, memory.c counts its bytes; seq.c opens and sets up sequences,
 * timeline.c keeps their tokens and KV pages; step.c computes a batch, draft.c asks for guesses,
 * picks.c for the part of the logits that a draw needs, emit.c samples and reports. */
#ifndef PN_RUN_ENGINE_H
#define PN_RUN_ENGINE_H

#include "backend/backend.h"
#include "cuda/card.h"
#include "run/model.h"
#include "run/pages.h"
#include "run/parts.h"
#include "run/pool.h"
#include "run/prefix_cache.h"
#include "run/sampler.h"
#include "run/seq_text.h"

#define PN_MAX_DRAFT 64

/* What puna_seq_options ask for, made ready. A half-built one may be closed. */
typedef struct pn_seq_setup {
    puna_seq_options options; /* its lists belong to the caller and are not used after opening */
    pn_sampler *sampler;
    pn_seq_text text;
    pn_pool pool;
    puna_token_logprob *top; /* [tokens a step brings][n_logprobs] */
} pn_seq_setup;

/* One timeline. tokens[0..n_computed) are in the KV cache; tokens[n_computed..n_tokens) wait to be
 * computed. */
struct puna_seq {
    puna_engine *engine;
    int32_t slot; /* index in engine->seqs; the row of its token list and logits */
    bool open;
    bool active; /* has tokens to compute or to sample, or a finish to report */
    pn_seq_setup setup;

    int32_t *tokens; /* [n_ctx] */
    int32_t n_tokens, n_computed;
    int32_t n_fed;  /* tokens of the last feed */
    int32_t *pages; /* [pages_per_seq] page numbers */
    int32_t n_pages;
    int32_t n_cached;   /* leading pages that are full and in the prefix cache */
    bool is_uncachable; /* what it has computed is not for others */
    int32_t n_shown;    /* positions whose logits and hidden states have been handed out */
    float *logits; /* [1 + max_draft][n_vocab] when has_logits: of position n_tokens - 1, and of
                      the guesses after it */
    bool has_logits;
    bool is_picked[1 + PN_MAX_DRAFT]; /* of a row of them: a few values lie there (picks.c) */
    int32_t n_draft; /* guesses in tokens[n_tokens ..) that were computed with the last token */

    int32_t n_left; /* to sample after this feed; -1: no limit */
    bool at_length; /* finished because n_left was 0, and nothing has changed since */
    puna_seq_stats stats;
    int32_t n_rows; /* of the step under way */
    int32_t quota;  /* rows it may have in a step: a scheduler's say */
};

/* The lists of a batch, each [n_batch], in one block that begins with tokens. */
typedef struct pn_rows {
    int32_t *tokens, *positions, *seqs;
    int32_t *outputs, *hidden, *logits;
} pn_rows;
#define PN_ROW_BYTES (sizeof(pn_rows) / sizeof(int32_t *) * sizeof(int32_t))

struct puna_engine {
    puna_model *model;
    const pn_plan *plan;
    pn_parts parts;
    const pn_backend *backend; /* of all parts together */
    pn_device *device;
    puna_memory_plan memory;
    puna_engine_options options;
    int32_t n_ctx, n_seq, n_batch;
    int32_t pages_per_seq;
    pn_pages pages;
    pn_prefix_cache *prefixes; /* NULL: off */
    int32_t *found;            /* [pages_per_seq] for looking something up there */
    puna_seq *seqs;            /* [n_seq] */
    int32_t *token_lists;      /* [n_seq][n_ctx] */
    int32_t *page_lists;       /* [n_seq][pages_per_seq] */
    float *logits;             /* [n_seq][1 + max_draft][n_vocab] */
    float *edited;             /* [n_vocab] the copy for edit_logits */
    atomic_bool cancel;

    /* the batch under construction */
    pn_rows rows;
    pn_pick *picks;    /* [n_batch] NULL when n_picks is 0 */
    int32_t *pick_ids; /* [n_picks][PN_PICK_MAX_IDS] */
    int32_t n_picks;
    const int32_t **page_tables; /* [n_seq] */
    pn_batch batch;
    int32_t n_prefill, n_prefill_done; /* fed tokens of all active sequences, for progress */
    int32_t n_prefill_rows;
    int32_t turn; /* the sequence that may report first, because there was no room before */
};

/* What an engine would be: its memory, and which device computes which layers. */
typedef struct pn_engine_layout {
    puna_memory_plan memory;
    pn_device_config config;
    pn_parts parts;
} pn_engine_layout;

/* The layout for the options. cards: zeroed, or what an earlier call left there; the caller closes them. Free what is
 * in parts. */
puna_status pn_engine_lay_out(const puna_model *model, const puna_engine_options *options,
                              pn_cuda_cards *cards, pn_engine_layout *layout, puna_error *err);
/* Steps of it, with parts that are cut: how the devices are called and what they have; the bytes for a context of
 * n_ctx positions; the context, and whether all fits. */
void pn_engine_name_devices(pn_engine_layout *layout);
void pn_engine_measure(const puna_model *model, const puna_engine_options *options, int32_t n_ctx,
                       pn_engine_layout *layout);
void pn_engine_decide(const puna_model *model, const puna_engine_options *options,
                      pn_engine_layout *layout);
/* The context that was asked for, or else what the model was trained for; no more than the pool holds. */
int32_t pn_engine_wanted_ctx(const puna_model *model, const puna_engine_options *options);

/* Sets n_ctx and n_kv where they are 0 for a pool that is shared: as much as n_seq sequences of n_ctx
 * positions could need, cut to what memory allows; and n_gpu_layers where it is auto. */
puna_status pn_engine_fit_pool(const puna_model *model, puna_engine_options *options,
                               pn_cuda_cards *cards, puna_error *err);
/* puna_engine_open with cards that may have been looked at before. */
puna_status pn_engine_open_on(puna_model *model, const puna_engine_options *options,
                              pn_cuda_cards *cards, puna_engine **engine, puna_error *err);
/* Bytes of one open sequence with default options, beside its lists and logits. */
size_t pn_seq_bytes(const puna_model *model, int32_t max_draft);

/* What is needed of an engine never changes: any thread. */
puna_status pn_seq_setup_open(const puna_engine *engine, const puna_seq_options *options,
                              pn_seq_setup *setup, puna_error *err);
void pn_seq_setup_close(pn_seq_setup *setup);
/* Opens a sequence with a setup, which is then the sequence's own, and zeroed here. */
puna_status pn_seq_open_with(puna_engine *engine, pn_seq_setup *setup, puna_seq **seq,
                             puna_error *err);
/* That a sequence may be fed with them. Any thread. */
puna_status pn_tokens_check(const puna_engine *engine, const int32_t *tokens, int32_t n,
                            puna_error *err);

/* True when it computes hidden states in place of a completion. */
static inline bool pn_seq_embeds(const puna_seq *seq) {
    return seq->setup.options.on_hidden || seq->setup.pool.kind != PUNA_POOLING_OFF;
}

/* Forgets what is computed from position n on and gives its pages up: to the prefix cache first. */
void pn_seq_forget(puna_seq *seq, int32_t n);
/* Lets others find the pages that have become full. */
void pn_seq_publish(puna_seq *seq);
/* Takes over what the prefix cache has of the tokens that wait to be computed; the last one always
 * waits. Returns how many that are. */
int32_t pn_seq_adopt(puna_seq *seq);
/* True when seq would soon find in the prefix cache what it needs next, because other is about to
 * compute it. */
bool pn_seq_follows(const puna_seq *seq, const puna_seq *other);
/* Makes the pages of positions [n_computed, n_computed + n_rows) exist and belong to this sequence
 * alone; evicts what the prefix cache has alone. PUNA_E_LIMIT: no page is free. */
puna_status pn_seq_reserve(puna_seq *seq, int32_t n_rows, puna_error *err);

/* Asks for at most max guesses, and writes them behind the timeline. Returns how many. */
int32_t pn_seq_guess(puna_seq *seq, int32_t max);
/* The tokens that penalties look at before a draw at position n. */
typedef struct pn_history {
    const int32_t *tokens;
    int32_t n;
} pn_history;
static inline pn_history pn_seq_history(const puna_seq *seq, int32_t n) {
    /* llama-cpp-python's penalties do not know the prompt */
    const bool all = seq->setup.options.sampler.chain != PUNA_CHAIN_LLAMA_CPP_PYTHON;
    const int32_t from = all ? 0 : seq->n_fed;
    return (pn_history){seq->tokens + from, n - from};
}
/* Whether all logits of the last position are at hand. */
static inline bool pn_seq_has_logits(const puna_seq *seq) {
    return seq->has_logits && !seq->is_picked[0];
}
/* Asks for less than all logits of the rows of the batch, where that will do. */
void pn_picks_ask(puna_engine *engine, int32_t max_events);
bool pn_picks_take(void *engine, int32_t row, const pn_picked *picked); /* pn_picked_fn */
/* Draws from what was picked of the last position. */
puna_status pn_picks_draw(puna_seq *seq, int32_t *token, puna_error *err);

/* NONE while the sequence has room for another token. */
static inline puna_finish pn_seq_limit(const puna_seq *seq) {
    if (seq->n_left == 0) return PUNA_FINISH_LENGTH;
    return seq->n_tokens == seq->engine->n_ctx ? PUNA_FINISH_CONTEXT : PUNA_FINISH_NONE;
}
/* Draws what would come next after logits; nothing is appended. */
puna_status pn_seq_draw(puna_seq *seq, const float *logits, int32_t *token, puna_error *err);
/* Samples the next token of a sequence whose logits are ready, and those after it whose guesses were
 * right; or finishes it. Writes at most 2 + n_draft events and returns how many. */
int32_t pn_seq_advance(puna_seq *seq, puna_event *events);

#endif
