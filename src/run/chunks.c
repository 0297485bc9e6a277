/* chunks.c: how many rows each request gets in the next step.
 *
 * Every answer under way gets its row. What a step may take beyond that is for prompts, in chunks:
 * as many rows as are done in the time that step_s leaves, by what earlier steps took, but for no
 * less time than the answers themselves get. While no answer is under way a step may take longer,
 * yet not so long that a cancellation or a newcomer would wait. Half of the rows are for the most
 * senior prompt, which so is done in a bounded time; the other half for the prompt that needs least,
 * so that a short newcomer passes by a long one. A prompt that goes on like a more senior one waits
 * for what that computes, and takes it over. The size of chunks changes no bits. */
#include "run/request.h"

enum {
    FIRST_ROWS = 128, /* while no prompt has been timed */
    LEAST_ROWS = 32,  /* with fewer, reading the weights costs more than the rows */
    PATIENCE = 4      /* steps without answers may take so many times step_s */
};
#define WEIGHT_OF_LAST 0.25 /* in the moving averages */

static int32_t n_pending(const pn_request *r) {
    return r->seq->n_tokens - r->seq->n_computed;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void follow(double *average, double value) {
    *average = *average == 0 ? value : *average + WEIGHT_OF_LAST * (value - *average);
}

void pn_chunks_learn(puna_scheduler *s, double seconds) {
    if (s->n_prompt_rows == 0) {
        if (s->n_answer_rows > 0) follow(&s->answers_s, seconds);
        return;
    }
    const double rest = seconds - (s->n_answer_rows > 0 ? s->answers_s : 0);
    if (rest > 0) follow(&s->prompt_row_s, rest / s->n_prompt_rows);
}

/* Rows for prompts beside n_answers rows. */
static int32_t prompt_rows(const puna_scheduler *s, int32_t n_answers) {
    const int32_t room = s->engine->n_batch - n_answers;
    int32_t n = FIRST_ROWS;
    if (room <= 0) return 0;
    if (s->step_s == 0) return room;
    double time = s->step_s * PATIENCE;
    if (n_answers > 0) {
        time = s->step_s - s->answers_s;
        if (time < s->answers_s) time = s->answers_s;
    }
    if (s->prompt_row_s > 0) {
        const double fits = time / s->prompt_row_s;
        n = fits < room ? (int32_t)fits : room;
    }
    if (n < LEAST_ROWS) n = LEAST_ROWS;
    return n < room ? n : room;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Those that run and do not rest, by seniority. */
static int32_t list_awake(puna_scheduler *s) {
    int32_t n = 0;
    for (int32_t i = 0; i < s->engine->n_seq; i++) {
        pn_request *r = s->running[i];
        if (!r) continue;
        r->seq->quota = 0;
        if (r->is_resting) continue;
        int32_t at = n++;
        for (; at > 0 && pn_request_is_senior(r, s->order[at - 1]); at--)
            s->order[at] = s->order[at - 1];
        s->order[at] = r;
    }
    return n;
}

static int32_t plan_answers(puna_scheduler *s, int32_t n_awake) {
    int32_t n = 0;
    for (int32_t i = 0; i < n_awake; i++) {
        pn_request *r = s->order[i];
        if (r->is_resting || n_pending(r) > 1) continue;
        /* 0 rows: what it has to report needs none */
        if (n_pending(r) == 1 && !pn_reserve(s, r, 1)) continue;
        r->seq->quota = 1;
        n += n_pending(r);
    }
    return n;
}

/* Takes over what others have computed by now. */
static void adopt(puna_scheduler *s, pn_request *r) {
    const int32_t n = pn_seq_adopt(r->seq), after = r->seq->n_computed;
    if (n == 0 || after <= r->n_computed || r->n_computed == r->n_prompt) return;
    const int32_t until = after < r->n_prompt ? after : r->n_prompt;
    const int32_t from = after - n > r->n_computed ? after - n : r->n_computed;
    pn_mutex_lock(s->lock);
    r->n_reused += until - from;
    r->n_computed = until;
    s->stats.n_reused_tokens += (uint64_t)(until - from);
    pn_mutex_unlock(s->lock);
}

/* Gives a prompt up to `rows` rows more; returns how many. */
static int32_t grant(puna_scheduler *s, pn_request *r, int32_t rows) {
    const int32_t left = n_pending(r) - r->seq->quota;
    const int32_t n = left < rows ? left : rows;
    if (r->is_resting || n <= 0 || !pn_reserve(s, r, r->seq->quota + n)) return 0;
    r->seq->quota += n;
    return n;
}

static pn_request *shortest(const puna_scheduler *s, int32_t n_prompts) {
    pn_request *found = NULL;
    for (int32_t i = 1; i < n_prompts; i++)
        if (!found || n_pending(s->order[i]) < n_pending(found)) found = s->order[i];
    return found;
}

/* Whether one of the first n prompts computes what this one needs next. */
static bool is_following(const puna_scheduler *s, const pn_request *r, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        if (pn_seq_follows(r->seq, s->order[i]->seq)) return true;
    return false;
}

static int32_t plan_prompts(puna_scheduler *s, int32_t n_awake, int32_t rows) {
    const int32_t all = rows;
    int32_t n = 0;
    for (int32_t i = 0; i < n_awake; i++) {
        pn_request *r = s->order[i];
        if (r->is_resting || n_pending(r) <= 1) continue;
        adopt(s, r);
        if (!is_following(s, r, n)) s->order[n++] = r;
    }
    if (n == 0) return 0;
    if (n > 1) {
        rows -= grant(s, s->order[0], (rows + 1) / 2);
        rows -= grant(s, shortest(s, n), rows);
    }
    for (int32_t i = 0; i < n && rows > 0; i++) rows -= grant(s, s->order[i], rows);
    return all - rows;
}

void pn_chunks_plan(puna_scheduler *s) {
    const int32_t n_awake = list_awake(s);
    s->n_answer_rows = plan_answers(s, n_awake);
    s->n_prompt_rows = plan_prompts(s, n_awake, prompt_rows(s, s->n_answer_rows));
}
