/* step.c: one batched step: choose rows, compute them, let every sequence sample.
 *
 * Sequences that wait for one token come first, then prompts in chunks, in slot order, up to
 * n_batch rows. Which rows share a batch changes the speed and nothing else. A step that fails or
 * is cancelled leaves every timeline as it was: n_computed moves only after the device has
 * succeeded. */
#include "run/engine.h"

#include "base/os.h"

#include <string.h>

static int32_t n_pending(const puna_seq *s) {
    return s->n_tokens - s->n_computed;
}

static bool wants_logits(const puna_seq *s, int32_t position) {
    if (s->setup.options.on_logits) return true;
    return !pn_seq_embeds(s) && position == s->n_tokens - 1;
}

static bool wants_hidden(const puna_seq *s, int32_t position) {
    return s->setup.options.on_hidden || pn_pool_wants(&s->setup.pool, position, s->n_tokens);
}

/* Adds the next n rows of a sequence to the batch. */
static void add_rows(puna_engine *e, puna_seq *s, int32_t n) {
    pn_batch *b = &e->batch;
    for (int32_t i = 0; i < n; i++) {
        const int32_t position = s->n_computed + i, row = b->n_rows++;
        const bool hidden = wants_hidden(s, position), logits = wants_logits(s, position);
        e->rows.tokens[row] = s->tokens[position];
        e->rows.positions[row] = position;
        e->rows.seqs[row] = s->slot;
        if (hidden) e->rows.hidden[b->n_hidden++] = b->n_outputs;
        if (logits) e->rows.logits[b->n_logits++] = b->n_outputs;
        if (hidden || logits) e->rows.outputs[b->n_outputs++] = row;
        if (position < s->n_fed) e->n_prefill_rows++;
    }
    s->n_rows = n;
}

static puna_status choose_rows(puna_engine *e, puna_error *err) {
    e->batch = (pn_batch){.tokens = e->rows.tokens,
                          .positions = e->rows.positions,
                          .seqs = e->rows.seqs,
                          .output_rows = e->rows.outputs,
                          .hidden_outputs = e->rows.hidden,
                          .logit_outputs = e->rows.logits,
                          .pages = (const int32_t *const *)e->page_tables};
    e->n_prefill = e->n_prefill_done = e->n_prefill_rows = 0;
    for (int32_t i = 0; i < e->n_seq; i++) {
        puna_seq *s = &e->seqs[i];
        s->n_rows = 0;
        if (!s->active || n_pending(s) == 0) continue;
        const int32_t done = s->n_computed - s->stats.n_reused;
        if (s->n_computed < s->n_fed) {
            e->n_prefill += s->n_fed - s->stats.n_reused;
            e->n_prefill_done += done > 0 ? done : 0;
        }
    }
    for (int pass = 0; pass < 2; pass++) /* first those that wait for one token */
        for (int32_t i = 0; i < e->n_seq; i++) {
            puna_seq *s = &e->seqs[i];
            if (!s->active || n_pending(s) == 0 || (n_pending(s) == 1) != (pass == 0)) continue;
            const int32_t room = e->n_batch - e->batch.n_rows,
                          n = n_pending(s) < room ? n_pending(s) : room;
            if (n == 0) continue;
            PN_TRY(pn_seq_reserve(s, n, err));
            s->has_logits = false;
            add_rows(e, s, n);
        }
    return PUNA_OK;
}

static void take_hidden(void *user, int32_t row, const float *hidden) {
    puna_engine *e = user;
    const int32_t position = e->batch.positions[row];
    puna_seq *s = &e->seqs[e->batch.seqs[row]];
    const puna_seq_options *o = &s->setup.options;
    if (o->on_hidden) o->on_hidden(o->on_hidden_user, position, hidden, e->plan->n_embd);
    pn_pool_take(&s->setup.pool, position, s->n_tokens, hidden);
}

static void take_logits(void *user, int32_t row, const float *logits) {
    puna_engine *e = user;
    const int32_t position = e->batch.positions[row];
    puna_seq *s = &e->seqs[e->batch.seqs[row]];
    const puna_seq_options *o = &s->setup.options;
    if (o->on_logits) o->on_logits(o->on_logits_user, position, logits, e->plan->n_vocab);
    if (position == s->n_tokens - 1)
        memcpy(s->logits, logits, (size_t)e->plan->n_vocab * sizeof(float));
}

static bool report_progress(void *user, double fraction) {
    puna_engine *e = user;
    const double done = e->n_prefill_done + fraction * e->n_prefill_rows;
    return e->options.progress(e->options.progress_user, done / e->n_prefill);
}

static puna_status compute(puna_engine *e, puna_error *err) {
    e->batch.on_hidden = take_hidden;
    e->batch.on_logits = take_logits;
    e->batch.user = e;
    e->batch.cancel = &e->cancel;
    if (e->options.progress && e->n_prefill > 1) e->batch.progress = report_progress;
    const double start = pn_os_seconds();
    PN_TRY(e->backend->run(e->device, &e->batch, err));
    const double seconds = pn_os_seconds() - start;
    for (int32_t i = 0; i < e->n_seq; i++) {
        puna_seq *s = &e->seqs[i];
        if (s->n_rows == 0) continue;
        if (s->n_computed < s->n_fed)
            s->stats.prefill_s += seconds;
        else
            s->stats.decode_s += seconds;
        s->n_computed += s->n_rows;
        s->has_logits = n_pending(s) == 0 && wants_logits(s, s->n_tokens - 1);
    }
    if (e->options.progress && e->n_prefill > 1 &&
        e->n_prefill_done + e->n_prefill_rows == e->n_prefill)
        (void)e->options.progress(e->options.progress_user, 1.0);
    return PUNA_OK;
}

puna_status puna_engine_step(puna_engine *engine, puna_event *events, int32_t max_events,
                             int32_t *n_events, puna_error *err) {
    if (max_events < 2)
        return pn_fail(err, PUNA_E_ARG, "max_events is %d, at least 2 are needed", max_events);
    *n_events = 0;
    puna_status status = choose_rows(engine, err);
    if (status == PUNA_OK && engine->batch.n_rows > 0)
        status = compute(engine, err);
    else if (status == PUNA_OK && atomic_load(&engine->cancel))
        status = pn_fail(err, PUNA_E_CANCELLED, "cancelled");
    if (status == PUNA_E_CANCELLED) atomic_store(&engine->cancel, false);
    if (status != PUNA_OK) return status;
    for (int32_t i = 0; i < engine->n_seq && *n_events + 2 <= max_events; i++)
        if (engine->seqs[i].active && n_pending(&engine->seqs[i]) == 0)
            *n_events += pn_seq_advance(&engine->seqs[i], events + *n_events);
    return PUNA_OK;
}
