/* picks.c: which sequences of a step can draw from a few values of their logits, so that the rest stays
 * on the card, and those values between the step and the draw.
 *
 * A sequence asks for them when it is certain to draw in this step: nobody else looks at the logits
 * (callbacks, a later puna_seq_logits), it may sample another token, and the caller has room for the
 * events of all. Its sampler says what it needs (sampler_pick.c). So after a step a sequence has all of
 * its logits or none.
 *
 * What was picked lies where the logits of that row would: `saved`, then the best, the ids, their
 * logits, the block. */
#include "run/engine.h"

#include <string.h>

typedef struct saved {
    pn_pick pick;
    pn_picked picked;
} saved;

enum { SAVED_WORDS = (sizeof(saved) + 3) / 4 };

static int32_t block_words(const pn_pick *pick) {
    return pick->random >= 0 ? PN_PICK_BLOCK : 0;
}

static bool fits(const pn_pick *pick, int32_t n_vocab) {
    return SAVED_WORDS + 2 * pick->n_best + 2 * pick->n_ids + block_words(pick) <= n_vocab;
}

static void save(float *row, const pn_pick *pick, const pn_picked *picked, int32_t n_vocab) {
    const saved s = {*pick, *picked};
    const size_t n_ids = (size_t)pick->n_ids;
    memcpy(row, &s, sizeof s);
    float *at = row + SAVED_WORDS;
    memcpy(at, picked->best, (size_t)picked->n_best * sizeof *picked->best);
    at += 2 * pick->n_best;
    if (n_ids > 0) {
        memcpy(at, pick->ids, n_ids * sizeof *pick->ids);
        memcpy(at + n_ids, picked->of_ids, n_ids * sizeof *picked->of_ids);
    }
    at += 2 * n_ids;
    if (picked->block >= 0) {
        const int32_t left = n_vocab - picked->block * PN_PICK_BLOCK;
        memcpy(at, picked->of_block,
               (size_t)(left < PN_PICK_BLOCK ? left : PN_PICK_BLOCK) * sizeof *at);
    }
}

static saved load(const float *row) {
    saved s;
    memcpy(&s, row, sizeof s);
    const float *at = row + SAVED_WORDS;
    s.picked.best = (const pn_scored *)(const void *)at;
    at += 2 * s.pick.n_best;
    s.pick.ids = (const int32_t *)(const void *)at;
    s.picked.of_ids = at + s.pick.n_ids;
    s.picked.of_block = at + 2 * s.pick.n_ids;
    return s;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The caller has room for whatever the sequences may report after this step. */
static bool has_room(const puna_engine *e, int32_t max_events) {
    int64_t n = 0;
    for (int32_t i = 0; i < e->n_seq; i++) {
        const puna_seq *s = &e->seqs[i];
        if (s->active && s->n_computed + s->n_rows - s->n_draft == s->n_tokens) n += 2 + s->n_draft;
    }
    return n <= max_events;
}

static bool may_ask(const puna_seq *s, int32_t position) {
    const puna_seq_options *o = &s->setup.options;
    return position >= s->n_tokens - 1 && !o->on_logits && !o->edit_logits &&
           pn_seq_limit(s) == PUNA_FINISH_NONE;
}

void pn_picks_ask(puna_engine *e, int32_t max_events) {
    pn_batch *b = &e->batch;
    int32_t n = 0;
    if (e->n_picks == 0 || b->n_logits == 0 || !has_room(e, max_events)) return;
    for (int32_t i = 0; i < b->n_logits; i++) {
        const int32_t row = b->output_rows[b->logit_outputs[i]], position = b->positions[row];
        const puna_seq *s = &e->seqs[b->seqs[row]];
        pn_pick *pick = &e->picks[i];
        *pick = (pn_pick){0};
        if (n == e->n_picks || !may_ask(s, position)) continue;
        const pn_history h = pn_seq_history(s, position + 1);
        if (pn_sampler_pick(s->setup.sampler, h.tokens, h.n, position + 1 - s->n_tokens,
                            e->pick_ids + (size_t)n * PN_PICK_MAX_IDS, pick) &&
            fits(pick, e->plan->n_vocab))
            n++;
        else
            *pick = (pn_pick){0};
    }
    if (n > 0) b->picks = e->picks;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* What was asked for of a row. */
static const pn_pick *asked(const pn_batch *b, int32_t row) {
    int32_t low = 0, high = b->n_logits - 1;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (b->output_rows[b->logit_outputs[middle]] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return &b->picks[low];
}

bool pn_picks_take(void *user, int32_t row, const pn_picked *picked) {
    puna_engine *e = user;
    const pn_batch *b = &e->batch;
    const int32_t position = b->positions[row], n_vocab = e->plan->n_vocab;
    puna_seq *s = &e->seqs[b->seqs[row]];
    const pn_pick *pick = asked(b, row);
    const pn_history h = pn_seq_history(s, position + 1);
    if (!pn_sampler_can_draw(s->setup.sampler, pick, picked, h.tokens, h.n)) return false;
    const int32_t i = position + 1 - s->n_tokens; /* 0: the last token of the timeline */
    save(s->logits + (size_t)i * (size_t)n_vocab, pick, picked, n_vocab);
    s->is_picked[i] = true;
    return true;
}

puna_status pn_picks_draw(puna_seq *s, int32_t *token, puna_error *err) {
    const saved v = load(s->logits);
    const pn_history h = pn_seq_history(s, s->n_tokens);
    return pn_sampler_draw_picked(s->setup.sampler, &v.pick, &v.picked, h.tokens, h.n, token, err);
}
