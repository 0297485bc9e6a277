/* choice.c: an answer grows. Without a chat turn it is its text. With one, all of it is read again as it grows
 * (pn_chat_turn_read says of an answer that goes on only what stays true), and what is new becomes deltas. */
#include "choice.h"

#include <stdlib.h>
#include <string.h>

#include "tokens.h"

/* Reading an answer costs as much as it is long, so a long one is read in larger pieces. */
enum { MAX_READS = 2048 };

void pn_choice_free(pn_choice_state *c) {
    pn_text_free(&c->out.content);
    pn_text_free(&c->out.reasoning);
    for (int32_t i = 0; i < c->out.n_calls; i++) {
        pn_text_free(&c->out.calls[i].name);
        pn_text_free(&c->out.calls[i].arguments);
    }
    free(c->out.calls);
    free(c->out.tokens);
    free(c->out.top);
    free(c->out.embedding);
    free(c->out.prompt_logprobs);
    free(c->out.prompt_top);
    free(c->out.n_prompt_top);
    free(c->ending.text);
    free(c->begins);
    free(c->ends);
    pn_text_free(&c->text);
}

/* ---- taking notes -------------------------------------------------------------------------------- */

static bool grow(void **list, int32_t n, size_t size) {
    void *larger = realloc(*list, (size_t)n * size);
    if (larger) *list = larger;
    return larger != NULL;
}

static bool make_room(pn_choice_state *c) {
    if (c->n_seen < c->cap_seen) return true;
    const int32_t cap = c->cap_seen ? c->cap_seen * 2 : 32;
    const size_t stride = (size_t)c->out.top_stride;
    const bool logs = pn_generation_params(c->generation)->n_logprobs >= 0;
    if (!grow((void **)&c->begins, cap, sizeof *c->begins) ||
        !grow((void **)&c->ends, cap, sizeof *c->ends) ||
        (logs && !grow((void **)&c->out.tokens, cap, sizeof *c->out.tokens)) ||
        (logs && stride && !grow((void **)&c->out.top, cap, stride * sizeof *c->out.top)))
        return false;
    c->cap_seen = cap;
    return true;
}

/* Bytes of visible text that a token stands for. */
static size_t visible_bytes(const puna_model *model, int32_t token) {
    size_t n = 0;
    (void)puna_detokenize(model, &token, 1, PUNA_DETOKENIZE_KEEP_SPACE, NULL, 0, &n, NULL);
    return n;
}

/* Control tokens may mark calls and reasoning; these never do. */
static bool is_mark(const puna_model *model, int32_t token) {
    static const puna_special others[] = {PUNA_SPECIAL_BOS, PUNA_SPECIAL_EOS, PUNA_SPECIAL_UNK,
                                          PUNA_SPECIAL_PAD, PUNA_SPECIAL_SEP, PUNA_SPECIAL_CLS,
                                          PUNA_SPECIAL_MASK};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (puna_token_special(model, others[i]) == token) return false;
    return puna_token_is_control(model, token);
}

static bool take_token(pn_choice_state *c, const pn_note *note) {
    const puna_model *model = pn_generation_service(c->generation)->model;
    const char *text = (const char *)(note->top + note->n_top);
    if (!make_room(c)) return false;
    const int32_t i = c->n_seen++;
    const bool logs = c->out.tokens != NULL;
    const size_t before =
        logs && i > 0 ? c->begins[i - 1] + visible_bytes(model, c->last_token) : 0;
    c->last_token = note->token;
    c->begins[i] = before;
    if (is_mark(model, note->token) &&
        !pn_detokenize(model, &note->token, 1, PUNA_DETOKENIZE_SPECIAL, &c->text))
        return false;
    pn_text_append(&c->text, text, (size_t)note->n_text);
    c->n_visible += (size_t)note->n_text;
    c->ends[i] = c->text.n;
    c->out.n_sampled = c->n_seen;
    if (!logs) return !c->text.failed;
    /* the engine reports one at least */
    const int32_t n_top = note->n_top < c->out.top_stride ? note->n_top : c->out.top_stride;
    c->out.tokens[i] = (pn_sampled){note->token, note->logprob, n_top};
    if (n_top > 0)
        memcpy(c->out.top + (size_t)i * (size_t)c->out.top_stride, note->top,
               (size_t)n_top * sizeof *note->top);
    return !c->text.failed;
}

static bool take_ending(pn_choice_state *c) {
    const pn_ending *end = &c->ending;
    pn_choice *out = &c->out;
    out->finish = end->finish;
    out->stop = end->stop >= 0 ? pn_generation_stop(c->generation, end->stop) : NULL;
    pn_text_append(&c->text, end->text ? end->text : "", end->n_text);
    c->n_visible += end->n_text;
    if (c->n_seen > 0) c->ends[c->n_seen - 1] = c->text.n;
    c->is_over = true;
    return !c->text.failed && !c->lost;
}

bool pn_choice_take(pn_choice_state *c, const pn_note *note) {
    c->out.n_reused = note->n_reused;
    c->out.waiting_s = note->waiting_s;
    c->out.prefill_s = note->prefill_s;
    c->out.decode_s = note->decode_s;
    return note->is_last ? take_ending(c) : take_token(c, note);
}

/* ---- log-probabilities --------------------------------------------------------------------------- */

/* Brings n_tokens up to date: those whose text has been handed out. Those of a stop text are never among them. */
static void count_tokens(pn_choice_state *c) {
    const bool all = c->is_over && c->out.finish != PUNA_FINISH_STOP;
    int32_t n = c->out.n_tokens;
    while (n < c->n_seen && (all || c->begins[n] < c->n_visible)) n++;
    c->out.n_tokens = n;
}

/* ---- deltas -------------------------------------------------------------------------------------- */

typedef struct sink {
    pn_choice_state *c;
    pn_delta_fn write; /* NULL: nobody listens */
    void *user;
} sink;

static void give(sink *s, pn_delta_kind kind, const char *text, size_t n, int32_t call) {
    pn_choice_state *c = s->c;
    pn_delta delta = {kind, &c->out, text, n, call, c->n_reported, 0};
    if (!s->write) return;
    if (kind != PN_DELTA_BEGIN && kind != PN_DELTA_FINISH && c->out.tokens) {
        delta.n_tokens = c->out.n_tokens - c->n_reported;
        c->n_reported = c->out.n_tokens;
    }
    s->write(s->user, &delta);
}

static void begin(sink *s) {
    if (s->c->begun) return;
    s->c->begun = true;
    give(s, PN_DELTA_BEGIN, "", 0, 0);
}

/* Adds to a text what `now` has beyond it, and hands that out. */
static bool extend(sink *s, pn_delta_kind kind, pn_text *t, const char *now, size_t n,
                   int32_t call) {
    if (n <= t->n) return true;
    const size_t before = t->n;
    pn_text_append(t, now + before, n - before);
    if (t->failed) return false;
    begin(s);
    give(s, kind, t->s + before, n - before, call);
    return true;
}

static bool extend_calls(sink *s, const pn_message *m) {
    pn_choice *out = &s->c->out;
    if (m->n_calls > out->n_calls) {
        if (!grow((void **)&out->calls, m->n_calls, sizeof *out->calls)) return false;
        memset(out->calls + out->n_calls, 0,
               (size_t)(m->n_calls - out->n_calls) * sizeof *out->calls);
    }
    for (int32_t i = 0; i < m->n_calls; i++) {
        pn_tool_call *call = &out->calls[i];
        const struct pn_message_call *now = &m->calls[i];
        if (i >= out->n_calls) {
            char id[25];
            pn_random_id(id);
            memcpy(call->id, "call_", 5);
            memcpy(call->id + 5, id, sizeof id);
            pn_text_append(&call->name, pn_text_get(&now->name), now->name.n);
            if (call->name.failed) return false;
            out->n_calls++;
            begin(s);
            give(s, PN_DELTA_CALL, "", 0, i);
        }
        if (!extend(s, PN_DELTA_ARGUMENTS, &call->arguments, pn_text_get(&now->arguments),
                    now->arguments.n, i))
            return false;
    }
    return true;
}

static bool read_turn(sink *s, const pn_chat_turn *turn) {
    pn_choice_state *c = s->c;
    const size_t n_new = c->text.n - c->n_parsed;
    if (!c->is_over && (n_new == 0 || n_new < c->text.n / MAX_READS)) return true;
    pn_message m = {0};
    c->n_parsed = c->text.n;
    bool ok = pn_chat_turn_read(turn, pn_text_get(&c->text), c->text.n, !c->is_over, &m);
    ok = ok &&
         extend(s, PN_DELTA_REASONING, &c->out.reasoning, pn_text_get(&m.reasoning), m.reasoning.n,
                0) &&
         extend(s, PN_DELTA_CONTENT, &c->out.content, pn_text_get(&m.content), m.content.n, 0) &&
         extend_calls(s, &m);
    pn_message_free(&m);
    return ok;
}

/* The tokens before the first thing that was said: all that was thought. */
static bool count_reasoning(pn_choice_state *c, const pn_chat_turn *turn) {
    int32_t low = 0, high = c->n_seen;
    if (c->out.reasoning.n == 0) return true;
    while (low < high) { /* [0, low) say nothing */
        const int32_t n = low + (high - low + 1) / 2;
        pn_message m = {0};
        const bool ok = pn_chat_turn_read(turn, pn_text_get(&c->text), c->ends[n - 1], true, &m);
        const bool says = m.content.n > 0 || m.n_calls > 0;
        pn_message_free(&m);
        if (!ok) return false;
        if (says)
            high = n - 1;
        else
            low = n;
    }
    c->out.n_reasoning = low;
    return true;
}

bool pn_choice_flush(pn_choice_state *c, const pn_chat_turn *turn, pn_delta_fn write, void *user) {
    sink s = {c, write, user};
    if (c->is_said || (!write && !c->is_over)) return true;
    if (c->out.tokens) count_tokens(c);
    if (turn) {
        if (!read_turn(&s, turn)) return false;
    } else if (!extend(&s, PN_DELTA_CONTENT, &c->out.content, pn_text_get(&c->text), c->text.n,
                       0)) {
        return false;
    }
    if (!c->is_over) return true;
    begin(&s);
    if (c->out.tokens && c->n_reported < c->out.n_tokens)
        give(&s, PN_DELTA_CONTENT, "", 0, 0); /* tokens without a text of their own */
    if (turn && !count_reasoning(c, turn)) return false;
    c->is_said = true;
    give(&s, PN_DELTA_FINISH, "", 0, 0);
    return true;
}
