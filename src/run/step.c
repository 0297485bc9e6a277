/* step.c: one batched step: choose rows, compute them, let every sequence sample.
 *
 * Sequences that wait for one token come first, with their guesses (draft.c), then prompts in
 * chunks, in slot order, up to n_batch rows. Who found no room, or whose events found none, comes
 * first in the next step. Which rows share a batch changes the speed and nothing else. A step that fails or
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
    return !pn_seq_embeds(s) && position >= s->n_tokens - 1; /* guesses too */
}

static bool wants_hidden(const puna_seq *s, int32_t position) {
    return s->setup.options.on_hidden || pn_pool_wants(&s->setup.pool, position, s->n_tokens);
}

/* Adds the next n rows of a sequence to the batch; the last n_draft are guesses. */
static puna_status add_rows(puna_engine *e, puna_seq *s, int32_t n, int32_t n_draft,
                            puna_error *err) {
    pn_batch *b = &e->batch;
    PN_TRY(pn_seq_reserve(s, n, err));
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
    s->n_draft = n_draft;
    s->has_logits = false;
    return PUNA_OK;
}

/* Sums up the prompts under way, for progress. */
static void count_prefill(puna_engine *e) {
    e->n_prefill = e->n_prefill_done = e->n_prefill_rows = 0;
    for (int32_t i = 0; i < e->n_seq; i++) {
        const puna_seq *s = &e->seqs[i];
        if (!s->active || s->n_computed >= s->n_fed) continue;
        const int32_t done = s->n_computed - s->stats.n_reused;
        e->n_prefill += s->n_fed - s->stats.n_reused;
        e->n_prefill_done += done > 0 ? done : 0;
    }
}

/* Rows that guesses may take beside one row for every sequence that waits for one token; half of
 * them while a prompt waits. */
static int32_t spare_rows(const puna_engine *e) {
    int32_t spare = e->n_batch;
    bool prompts = false;
    for (int32_t i = 0; i < e->n_seq; i++) {
        if (!e->seqs[i].active) continue;
        spare -= n_pending(&e->seqs[i]) == 1;
        prompts |= n_pending(&e->seqs[i]) > 1;
    }
    return spare <= 0 ? 0 : prompts ? spare / 2 : spare;
}

/* The i-th sequence in the order of this step. */
static puna_seq *in_turn(const puna_engine *e, int32_t i) {
    return &e->seqs[(e->turn + i) % e->n_seq];
}

static void keep_turn(int32_t *next_turn, const puna_seq *s) {
    if (*next_turn < 0) *next_turn = s->slot;
}

/* max_draft: guesses for which a caller has room. */
static puna_status choose_waiting(puna_engine *e, int32_t max_draft, int32_t *next_turn,
                                  puna_error *err) {
    int32_t spare = spare_rows(e);
    for (int32_t i = 0; i < e->n_seq; i++) {
        puna_seq *s = in_turn(e, i);
        if (!s->active || n_pending(s) != 1 || s->quota == 0) continue;
        if (e->batch.n_rows == e->n_batch) {
            keep_turn(next_turn, s);
            continue;
        }
        int32_t n_draft = pn_seq_guess(s, spare < max_draft ? spare : max_draft);
        if (n_draft > 0 && pn_seq_reserve(s, 1 + n_draft, NULL) != PUNA_OK) n_draft = 0;
        spare -= n_draft;
        PN_TRY(add_rows(e, s, 1 + n_draft, n_draft, err));
    }
    return PUNA_OK;
}

static puna_status choose_prompts(puna_engine *e, puna_error *err) {
    for (int32_t i = 0; i < e->n_seq; i++) {
        puna_seq *s = &e->seqs[i];
        int32_t room = e->n_batch - e->batch.n_rows;
        if (room > s->quota) room = s->quota;
        if (!s->active || n_pending(s) <= 1 || s->n_rows > 0 || room == 0) continue;
        const int32_t n_found = pn_seq_adopt(s);
        if (n_found > 0 && s->n_computed <= s->n_fed) {
            s->stats.n_reused += n_found;
            e->n_prefill -= n_found;
        }
        PN_TRY(add_rows(e, s, n_pending(s) < room ? n_pending(s) : room, 0, err));
    }
    return PUNA_OK;
}

static puna_status choose_rows(puna_engine *e, int32_t max_draft, int32_t *next_turn,
                               puna_error *err) {
    e->batch = (pn_batch){.tokens = e->rows.tokens,
                          .positions = e->rows.positions,
                          .seqs = e->rows.seqs,
                          .output_rows = e->rows.outputs,
                          .hidden_outputs = e->rows.hidden,
                          .logit_outputs = e->rows.logits,
                          .pages = (const int32_t *const *)e->page_tables};
    for (int32_t i = 0; i < e->n_seq; i++) e->seqs[i].n_rows = 0;
    count_prefill(e);
    PN_TRY(choose_waiting(e, max_draft, next_turn, err));
    return choose_prompts(e, err);
}

static void take_hidden(void *user, int32_t row, const float *hidden) {
    puna_engine *e = user;
    const int32_t position = e->batch.positions[row];
    puna_seq *s = &e->seqs[e->batch.seqs[row]];
    const puna_seq_options *o = &s->setup.options;
    if (o->on_hidden && position >= s->n_shown)
        o->on_hidden(o->on_hidden_user, position, hidden, e->plan->n_embd);
    pn_pool_take(&s->setup.pool, position, s->n_tokens, hidden);
}

static void take_logits(void *user, int32_t row, const float *logits) {
    puna_engine *e = user;
    const int32_t position = e->batch.positions[row];
    puna_seq *s = &e->seqs[e->batch.seqs[row]];
    const puna_seq_options *o = &s->setup.options;
    const size_t n_vocab = (size_t)e->plan->n_vocab;
    const int32_t guess = position - s->n_tokens; /* -1: the last token of the timeline */
    if (guess >= -1) {
        memcpy(s->logits + (size_t)(guess + 1) * n_vocab, logits, n_vocab * 4);
        s->is_picked[guess + 1] = false;
    }
    /* a guess is no position until it has been drawn: emit.c */
    if (o->on_logits && guess < 0 && position >= s->n_shown)
        o->on_logits(o->on_logits_user, position, logits, e->plan->n_vocab);
}

static bool report_progress(void *user, double fraction) {
    puna_engine *e = user;
    const double done = e->n_prefill_done + fraction * e->n_prefill_rows;
    return e->options.progress(e->options.progress_user, done / e->n_prefill);
}

static puna_status compute(puna_engine *e, puna_error *err) {
    e->batch.on_hidden = take_hidden;
    e->batch.on_logits = take_logits;
    e->batch.on_picked = pn_picks_take;
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
        s->n_computed += s->n_rows - s->n_draft;
        if (s->n_shown < s->n_computed) s->n_shown = s->n_computed;
        if (pn_seq_embeds(s)) s->is_uncachable = true;
        pn_seq_publish(s);
        s->stats.n_drafted += s->n_draft;
        s->has_logits = n_pending(s) == 0 && wants_logits(s, s->n_tokens - 1);
    }
    if (e->options.progress && e->n_prefill > 1 &&
        e->n_prefill_done + e->n_prefill_rows == e->n_prefill)
        (void)e->options.progress(e->options.progress_user, 1.0);
    return PUNA_OK;
}

static int32_t report(puna_engine *e, puna_event *events, int32_t max_events, int32_t *next_turn) {
    int32_t n = 0;
    for (int32_t i = 0; i < e->n_seq; i++) {
        puna_seq *s = in_turn(e, i);
        if (!s->active || n_pending(s) != 0) continue;
        if (max_events - n < 2 + s->n_draft)
            keep_turn(next_turn, s);
        else
            n += pn_seq_advance(s, events + n);
    }
    return n;
}

puna_status puna_engine_step(puna_engine *engine, puna_event *events, int32_t max_events,
                             int32_t *n_events, puna_error *err) {
    if (max_events < 2)
        return pn_fail(err, PUNA_E_ARG, "max_events is %d, at least 2 are needed", max_events);
    int32_t next_turn = -1;
    *n_events = 0;
    puna_status status = choose_rows(engine, max_events - 2, &next_turn, err);
    if (status == PUNA_OK) pn_picks_ask(engine, max_events);
    if (status == PUNA_OK && engine->batch.n_rows > 0)
        status = compute(engine, err);
    else if (status == PUNA_OK && atomic_load(&engine->cancel))
        status = pn_fail(err, PUNA_E_CANCELLED, "cancelled");
    if (status == PUNA_E_CANCELLED) atomic_store(&engine->cancel, false);
    if (status != PUNA_OK) return status;
    *n_events = report(engine, events, max_events, &next_turn);
    engine->turn = next_turn < 0 ? 0 : next_turn;
    return PUNA_OK;
}
