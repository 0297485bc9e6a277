/* engine.c: opening and closing an engine. All memory that depends on the context or on the number
 * of sequences is taken here, in the amounts memory.c promised; a step allocates nothing. */
#include "run/engine.h"

#include "base/mem.h"
#include "run/gpu.h"
#include "run/options.h"

#include <string.h>

/* Shares of the lists among the sequences. */
static void deal_lists(puna_engine *e) {
    const size_t logits = (size_t)(1 + e->options.max_draft) * (size_t)e->plan->n_vocab;
    for (int32_t i = 0; i < e->n_seq; i++) {
        puna_seq *s = &e->seqs[i];
        s->engine = e;
        s->slot = i;
        s->tokens = e->token_lists + (size_t)i * (size_t)e->n_ctx;
        s->pages = e->page_lists + (size_t)i * (size_t)e->pages_per_seq;
        s->logits = e->logits + (size_t)i * logits;
        e->page_tables[i] = s->pages;
    }
}

static bool take_rows(puna_engine *e) {
    const size_t n = (size_t)e->n_batch;
    int32_t *block = pn_calloc(n, PN_ROW_BYTES);
    if (!block) return false;
    e->rows = (pn_rows){.tokens = block,
                        .positions = block + n,
                        .seqs = block + 2 * n,
                        .outputs = block + 3 * n,
                        .hidden = block + 4 * n,
                        .logits = block + 5 * n};
    return true;
}

static bool take_picks(puna_engine *e, int32_t n_picks) {
    e->n_picks = n_picks;
    if (n_picks == 0) return true;
    e->picks = pn_calloc((size_t)e->n_batch, sizeof *e->picks);
    e->pick_ids = pn_calloc((size_t)n_picks, PN_PICK_MAX_IDS * sizeof *e->pick_ids);
    return e->picks && e->pick_ids;
}

static puna_status take_lists(puna_engine *e, int32_t n_picks, puna_error *err) {
    const size_t n_seq = (size_t)e->n_seq;
    e->seqs = pn_calloc(n_seq, sizeof *e->seqs);
    e->token_lists = pn_calloc(n_seq * (size_t)e->n_ctx, sizeof(int32_t));
    e->page_lists = pn_calloc(n_seq * (size_t)e->pages_per_seq, sizeof(int32_t));
    e->logits = pn_calloc(n_seq * (size_t)(1 + e->options.max_draft) * (size_t)e->plan->n_vocab,
                          sizeof(float));
    e->edited = pn_calloc((size_t)e->plan->n_vocab, sizeof(float));
    e->page_tables = pn_calloc(n_seq, sizeof *e->page_tables);
    if (!e->seqs || !e->token_lists || !e->page_lists || !e->logits || !e->edited ||
        !e->page_tables || !take_rows(e) || !take_picks(e, n_picks))
        return pn_fail_nomem(err, (size_t)e->memory.other_bytes, "the sequences");
    deal_lists(e);
    return PUNA_OK;
}

static puna_status open_prefixes(puna_engine *e, puna_error *err) {
    const size_t n = (size_t)e->pages_per_seq;
    e->found = pn_calloc(n, sizeof *e->found);
    if (!e->found) return pn_fail_nomem(err, n * sizeof *e->found, "the prefix cache");
    return pn_prefix_cache_open(&e->pages, &e->prefixes, err);
}

static puna_status open_parts(puna_engine *e, const pn_device_config *config, puna_error *err) {
    PN_TRY(take_lists(e, config->n_picks, err));
    PN_TRY(pn_pages_open(&e->pages, config->n_pages, err));
    if (e->options.prefix_cache) PN_TRY(open_prefixes(e, err));
    return pn_parts_open(&e->parts, config, &e->backend, &e->device, err);
}

static puna_status refuse(const puna_memory_plan *p, puna_error *err) {
    if (p->n_ctx_fits > 0)
        return pn_fail(err, PUNA_E_LIMIT,
                       "a context of %d positions needs %llu MiB and %llu MiB are available: a "
                       "context of %d fits "
                       "(n_ctx), or a smaller KV type or batch",
                       p->n_ctx, (unsigned long long)((p->total_bytes + (1u << 20) - 1) >> 20),
                       (unsigned long long)(p->available_bytes >> 20), p->n_ctx_fits);
    return pn_fail(err, PUNA_E_LIMIT,
                   "the engine needs %llu MiB and %llu MiB are available: try a smaller n_batch",
                   (unsigned long long)((p->total_bytes + (1u << 20) - 1) >> 20),
                   (unsigned long long)(p->available_bytes >> 20));
}

static bool uses_cpu(const puna_memory_plan *plan) {
    for (int32_t i = 0; i < plan->n_devices; i++)
        if (plan->devices[i].gpu < 0) return true;
    return false;
}

/* The parts of the layout become the engine's, or stay where they are when it fails. */
static puna_status open_layout(puna_model *model, const puna_engine_options *options,
                               pn_engine_layout *layout, puna_engine **engine, puna_error *err) {
    const puna_memory_plan *memory = &layout->memory;
    if (!memory->fits) return refuse(memory, err);
    puna_engine *e = pn_calloc(1, sizeof *e);
    if (!e) return pn_fail_nomem(err, sizeof *e, "the engine");
    puna_engine_options_init(&e->options);
    pn_options_copy(&e->options, sizeof e->options, options);
    e->model = puna_model_retain(model);
    e->plan = &model->plan;
    e->parts = layout->parts;
    layout->parts.n = 0;
    e->memory = *memory;
    e->n_ctx = memory->n_ctx;
    e->n_seq = memory->n_seq;
    e->n_batch = memory->n_batch;
    e->pages_per_seq = (e->n_ctx + PN_PAGE_POSITIONS - 1) / PN_PAGE_POSITIONS;
    atomic_init(&e->cancel, false);
    const puna_status status = open_parts(e, &layout->config, err);
    if (status != PUNA_OK) {
        puna_engine_free(e);
        return status;
    }
    if (uses_cpu(memory)) pn_gguf_will_need(model->gguf);
    *engine = e;
    return PUNA_OK;
}

/* *n_gpu_layers gets how many layers were to be on cards, also when that failed. */
static puna_status open_engine(puna_model *model, const puna_engine_options *options,
                               pn_cuda_cards *cards, int32_t *n_gpu_layers, puna_engine **engine,
                               puna_error *err) {
    pn_engine_layout layout;
    *n_gpu_layers = 0;
    PN_TRY(pn_engine_lay_out(model, options, cards, &layout, err));
    *n_gpu_layers = layout.memory.n_gpu_layers;
    const puna_status status = open_layout(model, options, &layout, engine, err);
    pn_parts_free(&layout.parts);
    return status;
}

/* Opens on the CPU after a card has failed with err. */
static puna_status open_without_card(puna_model *model, puna_engine_options *options,
                                     pn_cuda_cards *cards, puna_engine **engine, puna_error *err) {
    const puna_error why = *err;
    int32_t n;
    options->n_gpu_layers = 0;
    PN_TRY(open_engine(model, options, cards, &n, engine, err));
    return pn_gpu_give_up(options, &(*engine)->memory, &why, err);
}

puna_status pn_engine_open_on(puna_model *model, const puna_engine_options *options,
                              pn_cuda_cards *cards, puna_engine **engine, puna_error *err) {
    puna_engine_options o;
    puna_error own;
    if (!err) err = &own;
    puna_engine_options_init(&o);
    pn_options_copy(&o, sizeof o, options);
    const bool is_auto = o.n_gpu_layers == PUNA_GPU_LAYERS_AUTO;
    int32_t n;
    puna_status status = open_engine(model, &o, cards, &n, engine, err);
    /* others may take memory of the card while we look at it */
    while (status == PUNA_E_NOMEM && is_auto && n > 1) {
        o.n_gpu_layers = n - (n + 7) / 8;
        status = open_engine(model, &o, cards, &n, engine, err);
    }
    const bool card_failed =
        status == PUNA_E_STATE || status == PUNA_E_NOMEM || status == PUNA_E_UNSUPPORTED;
    if (o.n_gpu_layers != 0 && !o.gpu_required && card_failed)
        status = open_without_card(model, &o, cards, engine, err);
    return status;
}

puna_status puna_engine_open(puna_model *model, const puna_engine_options *options,
                             puna_engine **engine, puna_error *err) {
    pn_cuda_cards cards = {0};
    const puna_status status = pn_engine_open_on(model, options, &cards, engine, err);
    pn_cuda_cards_close(&cards);
    return status;
}

void puna_engine_free(puna_engine *e) {
    if (!e) return;
    for (int32_t i = 0; e->seqs && i < e->n_seq; i++)
        if (e->seqs[i].open) puna_seq_free(&e->seqs[i]);
    if (e->device) e->backend->close(e->device);
    pn_parts_free(&e->parts);
    pn_prefix_cache_close(e->prefixes);
    pn_free(e->found);
    pn_pages_close(&e->pages);
    pn_free(e->seqs);
    pn_free(e->token_lists);
    pn_free(e->page_lists);
    pn_free(e->logits);
    pn_free(e->edited);
    pn_free(e->rows.tokens);
    pn_free(e->page_tables);
    pn_free(e->picks);
    pn_free(e->pick_ids);
    puna_model_free(e->model);
    pn_free(e);
}

void puna_engine_get_plan(const puna_engine *engine, puna_memory_plan *plan) {
    pn_options_fill(plan, &engine->memory, sizeof engine->memory);
}

void puna_engine_cancel(puna_engine *engine) {
    atomic_store_explicit(&engine->cancel, true, memory_order_relaxed);
}

bool puna_engine_is_idle(const puna_engine *engine) {
    for (int32_t i = 0; i < engine->n_seq; i++)
        if (engine->seqs[i].active) return false;
    return true;
}
