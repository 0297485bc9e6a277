/* emit.c: from logits to events: draw a token, append it, hand out its text, see whether the
 * sequence has finished; and again from the next logits while the tokens drawn are the ones that
 * were guessed (draft.c). */
#include "run/engine.h"

#include "base/os.h"

#include <string.h>

puna_status pn_seq_draw(puna_seq *s, const float *logits, int32_t *token, puna_error *err) {
    puna_engine *e = s->engine;
    const puna_seq_options *o = &s->setup.options;
    if (o->edit_logits) {
        memcpy(e->edited, logits, (size_t)e->plan->n_vocab * sizeof *logits);
        logits = e->edited;
        if (!o->edit_logits(o->edit_user, s->tokens, s->n_tokens, e->edited, e->plan->n_vocab))
            return pn_fail(err, PUNA_E_CANCELLED, "edit_logits asked to stop after %d tokens",
                           s->n_tokens);
    }
    const pn_history h = pn_seq_history(s, s->n_tokens);
    return pn_sampler_draw(s->setup.sampler, logits, h.tokens, h.n, token, err);
}

static puna_event blank(puna_seq *s) {
    return (puna_event){
        .seq = s, .user = s->setup.options.user, .token = -1, .text = "", .stop = -1};
}

/* Makes the event the sequence's last. stop: the stop text that was found, or -1; what waited of
 * the text is then no part of it. */
static void finish(puna_seq *s, puna_finish why, int32_t stop, puna_event *event) {
    if (stop < 0) {
        const pn_text_piece rest = pn_seq_text_finish(&s->setup.text, why == PUNA_FINISH_LENGTH);
        event->text = rest.text;
        event->text_bytes = rest.n_bytes;
        stop = rest.stop;
    }
    event->kind = PUNA_EVENT_FINISHED;
    event->finish = stop < 0 ? why : PUNA_FINISH_STOP;
    event->stop = stop;
    s->active = false;
    s->at_length = event->finish == PUNA_FINISH_LENGTH;
}

/* of_step: the token's number in this step. */
static void report_logprobs(puna_seq *s, int32_t of_step, puna_event *event) {
    const int32_t n = s->setup.options.sampler.n_logprobs;
    if (n == 0) return;
    puna_token_logprob *top = s->setup.top + (size_t)of_step * (size_t)n;
    event->top = top;
    event->n_top =
        puna_logprobs(s->logits, s->engine->plan->n_vocab, event->token, &event->logprob, top, n);
}

/* Appends a drawn token; its event, and when that was the last one the finish. Returns the events
 * written. */
static int32_t append(puna_seq *s, int32_t token, int32_t of_step, puna_event *events) {
    const pn_vocab *vocab = s->engine->model->vocab;
    s->tokens[s->n_tokens++] = token;
    s->has_logits = false;
    events[0].token = token;
    report_logprobs(s, of_step, &events[0]);
    if (pn_vocab_is_end(vocab, token)) {
        finish(s, PUNA_FINISH_END, -1, &events[0]);
        return 1;
    }
    const pn_text_piece piece = pn_seq_text_push(&s->setup.text, vocab, token);
    events[0].kind = PUNA_EVENT_TOKEN;
    events[0].text = piece.text;
    events[0].text_bytes = piece.n_bytes;
    s->stats.n_sampled++;
    if (s->n_left > 0) s->n_left--;
    const puna_finish limit = pn_seq_limit(s);
    if (limit == PUNA_FINISH_NONE && piece.stop < 0) return 1;
    events[1] = blank(s);
    finish(s, limit, piece.stop, &events[1]);
    return 2;
}

static puna_status draw(puna_seq *s, int32_t *token, puna_error *err) {
    if (s->is_picked[0]) return pn_picks_draw(s, token, err);
    return pn_seq_draw(s, s->logits, token, err);
}

/* Draws and appends one token. *right: it was the guess at its place. */
static int32_t sample(puna_seq *s, int32_t of_step, puna_event *events, bool *right) {
    int32_t token;
    puna_error *const error = &events[0].error;
    events[0] = blank(s);
    *right = false;
    if (draw(s, &token, error) != PUNA_OK ||
        pn_sampler_accept(s->setup.sampler, token, error) != PUNA_OK) {
        events[0].kind = PUNA_EVENT_FAILED;
        s->active = false;
        return 1;
    }
    *right = of_step < s->n_draft && s->tokens[s->n_tokens] == token;
    return append(s, token, of_step, events);
}

/* The last token was guessed: it is computed already, and its logits are those of row `row`. */
static void take_guess(puna_seq *s, int32_t row) {
    const puna_seq_options *o = &s->setup.options;
    const int32_t n_vocab = s->engine->plan->n_vocab;
    memcpy(s->logits, s->logits + (size_t)row * (size_t)n_vocab, (size_t)n_vocab * sizeof(float));
    s->is_picked[0] = s->is_picked[row];
    s->n_computed++;
    s->has_logits = true;
    if (o->on_logits && s->n_tokens > s->n_shown)
        o->on_logits(o->on_logits_user, s->n_tokens - 1, s->logits, n_vocab);
    if (s->n_shown < s->n_tokens) s->n_shown = s->n_tokens;
}

int32_t pn_seq_advance(puna_seq *s, puna_event *events) {
    pn_seq_text_step(&s->setup.text);
    const puna_finish limit = pn_seq_limit(s);
    if (limit != PUNA_FINISH_NONE) {
        events[0] = blank(s);
        finish(s, limit, -1, &events[0]);
        return 1;
    }
    const double start = pn_os_seconds();
    int32_t n = 0;
    bool right = true;
    for (int32_t i = 0; right && s->active; i++) {
        if (i > 0) take_guess(s, i);
        n += sample(s, i, events + n, &right);
        s->stats.n_accepted += right;
    }
    s->n_draft = 0;
    s->stats.decode_s += pn_os_seconds() - start;
    return n;
}
