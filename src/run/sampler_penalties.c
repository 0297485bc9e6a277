/* sampler_penalties.c: what changes single scores before anything is cut: logit bias, repeat,
 * frequency and presence penalties, and DRY.
 *
 * Repeat penalty (Keskar et al., CTRL, 2019), with the sign rule that makes it a penalty for
 * negative logits too: a positive score is divided by it, another multiplied. Frequency and
 * presence penalties subtract per occurrence and once.
 *
 * DRY ("don't repeat yourself", p-e-w, 2024): if the last r tokens have occurred before, the token
 * that followed them then would make the repeat r + 1 long; it loses multiplier * base^(r -
 * allowed_length) once r reaches allowed_length. No repeat is followed past a sequence breaker. The
 * lengths of all repeats come from one run of the Z algorithm over the window read backwards:
 * linear in the window.
 *
 * Sequence breakers are texts. They are looked for in the text of the history, so it does not
 * matter how a breaker happened to be split into tokens. */
#include "run/sampler_impl.h"

#include <math.h>
#include <string.h>

bool pn_penalties_are_on(const puna_sampler_params *p) {
    return p->penalty_last_n != 0 &&
           (p->repeat_penalty != 1 || p->frequency_penalty != 0 || p->presence_penalty != 0);
}

bool pn_dry_is_on(const puna_sampler_params *p) {
    return p->dry_multiplier > 0 && p->dry_penalty_last_n != 0;
}

/* ---- bias and penalties
 * -------------------------------------------------------------------------------- */

static void apply_bias(pn_sampler *s) {
    for (int32_t i = 0; i < s->params.n_logit_bias; i++) {
        int32_t token = s->params.logit_bias[i].token;
        pn_scores_set(s, token, (double)s->scores[token] + (double)s->params.logit_bias[i].bias);
    }
    for (int32_t i = 0; i < s->n_ended; i++) pn_scores_set(s, s->ended[i], -INFINITY);
}

/* Tokens of a window: its length, and from where in the history. last_n -1: the whole context. */
static int32_t window_length(const pn_sampler *s, int32_t last_n, int32_t n_history) {
    int32_t n = last_n < 0 ? s->n_ctx : last_n;
    return n < n_history ? n : n_history;
}

static bool is_token(const pn_sampler *s, int32_t token) {
    return token >= 0 && token < s->n_vocab;
}

static void apply_repetition(pn_sampler *s, const int32_t *history, int32_t n_history) {
    int32_t n = window_length(s, s->params.penalty_last_n, n_history);
    const int32_t *window = history + (n_history - n);
    for (int32_t i = 0; i < n; i++)
        if (is_token(s, window[i])) s->counts[window[i]]++;
    for (int32_t i = 0; i < n; i++) {
        int32_t token = window[i];
        if (!is_token(s, token) || s->counts[token] == 0) continue;
        double score = (double)s->scores[token], repeat = (double)s->params.repeat_penalty;
        score = score > 0 ? score / repeat : score * repeat;
        score -= s->counts[token] * (double)s->params.frequency_penalty +
                 (double)s->params.presence_penalty;
        pn_scores_set(s, token, score);
        s->counts[token] = 0;
    }
}

/* ---- DRY: sequence breakers
 * ---------------------------------------------------------------------------- */

static pn_vocab_text text_of(const pn_sampler *s, int32_t token) {
    size_t n = 0;
    puna_status status = pn_vocab_detokenize(s->vocab, &token, 1,
                                             PUNA_DETOKENIZE_SPECIAL | PUNA_DETOKENIZE_KEEP_SPACE,
                                             s->token_text, s->token_text_bytes, &n, NULL);
    return (pn_vocab_text){s->token_text, status ? 0 : n};
}

static bool holds(pn_vocab_text text, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.n; i++)
        if (memcmp(text.data + i, part, n) == 0) return true;
    return false;
}

/* Whether the last n bytes of text are the first n of part, for n less than part's length. */
static bool overlaps(pn_vocab_text text, const char *part, size_t n) {
    return n <= text.n && memcmp(text.data + text.n - n, part, n) == 0;
}

static unsigned char break_of(const pn_sampler *s, pn_vocab_text text) {
    unsigned char kind = PN_BREAK_NOT;
    for (int32_t i = 0; i < s->params.n_dry_sequence_breakers; i++) {
        const char *breaker = s->params.dry_sequence_breakers[i];
        if (holds(text, breaker)) return PN_BREAK_HOLDS;
        for (size_t n = strlen(breaker) - 1; n > 0; n--)
            if (overlaps(text, breaker, n)) kind = PN_BREAK_BEGINS;
    }
    return kind;
}

/* Room for any token's text: the stored form of a token is never shorter, but for the space
 * before a word. */
static size_t longest_token_bytes(const pn_vocab *vocab) {
    size_t longest = pn_detok_max_bytes(vocab);
    for (int32_t token = 0; token < pn_vocab_n_tokens(vocab); token++) {
        size_t n = pn_vocab_token_text(vocab, token).n + 1;
        if (n > longest) longest = n;
    }
    return longest;
}

puna_status pn_dry_prepare(pn_sampler *s, puna_error *err) {
    int32_t last_n = s->params.dry_penalty_last_n;
    s->dry_window = last_n < 0 || last_n > s->n_ctx ? s->n_ctx : last_n;
    s->token_text_bytes = longest_token_bytes(s->vocab);
    s->repeats = pn_arena_calloc(&s->arena, (size_t)s->dry_window, sizeof *s->repeats);
    s->breaks = pn_arena_calloc(&s->arena, (size_t)s->n_vocab, 1);
    s->token_text = pn_arena_alloc(&s->arena, s->token_text_bytes + 1);
    if (!s->repeats || !s->breaks || !s->token_text)
        return pn_fail_nomem(err, (size_t)s->dry_window * sizeof *s->repeats + (size_t)s->n_vocab,
                             "DRY sampler");
    for (int32_t token = 0; token < s->n_vocab; token++)
        s->breaks[token] = break_of(s, text_of(s, token));
    return PUNA_OK;
}

/* How many of the tokens next[0..n) a breaker that has `rest` still to come covers; 0: it does not
 * come. */
static int32_t follow_breaker(const pn_sampler *s, const char *rest, const int32_t *next,
                              int32_t n) {
    size_t left = strlen(rest);
    for (int32_t i = 0; i < n; i++) {
        if (!is_token(s, next[i])) return 0;
        pn_vocab_text text = text_of(s, next[i]);
        size_t common = text.n < left ? text.n : left;
        if (memcmp(text.data, rest, common) != 0) return 0;
        rest += common;
        left -= common;
        if (left == 0) return i + 1;
    }
    return 0;
}

/* The most tokens covered by a breaker that begins at the end of `token`'s text. */
static int32_t longest_breaker(const pn_sampler *s, int32_t token, const int32_t *next, int32_t n) {
    int32_t longest = 0;
    for (int32_t i = 0; i < s->params.n_dry_sequence_breakers; i++) {
        const char *breaker = s->params.dry_sequence_breakers[i];
        for (size_t begun = strlen(breaker) - 1; begun > 0; begun--) {
            if (!overlaps(text_of(s, token), breaker, begun)) continue;
            int32_t covered = follow_breaker(s, breaker + begun, next, n);
            if (covered > longest) longest = covered;
        }
    }
    return longest;
}

/* Tokens at the end of the window that no breaker touches: no repeat is counted longer than this.
 */
static int32_t unbroken_length(const pn_sampler *s, const int32_t *window, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        int32_t token = window[n - 1 - i];
        if (!is_token(s, token) || s->breaks[token] == PN_BREAK_HOLDS) return i;
        if (s->breaks[token] == PN_BREAK_NOT) continue;
        int32_t covered = longest_breaker(s, token, window + n - i, i);
        if (covered > 0) return i - covered;
    }
    return n;
}

/* ---- DRY: repeats
 * -------------------------------------------------------------------------------------- */

/* z[i]: how long the window's end agrees with what ends i tokens earlier. With x the window read
 * backwards that is the common prefix of x and x[i..]; z [n] (Gusfield, Algorithms on
 * Strings, 1.4). */
static void repeat_lengths(const int32_t *window, int32_t n, int32_t *z) {
    int32_t left = 0,
            right = 0; /* the match x[left..right) = x[0..right - left) that reaches furthest */
    z[0] = n;
    for (int32_t i = 1; i < n; i++) {
        int32_t length = 0;
        if (i < right) length = z[i - left] < right - i ? z[i - left] : right - i;
        while (i + length < n && window[n - 1 - length] == window[n - 1 - i - length]) length++;
        z[i] = length;
        if (i + length > right) {
            left = i;
            right = i + length;
        }
    }
}

static void apply_dry(pn_sampler *s, const int32_t *history, int32_t n_history) {
    int32_t allowed = s->params.dry_allowed_length;
    int32_t n = window_length(s, s->dry_window, n_history);
    const int32_t *window = history + (n_history - n);
    if (n <= allowed) return;
    int32_t limit = unbroken_length(s, window, n);
    if (limit < allowed) return;
    repeat_lengths(window, n, s->repeats);
    /* counts[token]: 1 + the longest repeat the token would go on with */
    for (int32_t i = 1; i < n; i++) {
        int32_t length = s->repeats[i] < limit ? s->repeats[i] : limit, token = window[n - i];
        if (length < allowed || !is_token(s, token) || s->breaks[token] == PN_BREAK_HOLDS) continue;
        if (s->counts[token] < length + 1) s->counts[token] = length + 1;
    }
    for (int32_t i = 1; i < n; i++) {
        int32_t token = window[n - i];
        if (!is_token(s, token) || s->counts[token] == 0) continue;
        double over = s->counts[token] - 1 - allowed;
        double loss = (double)s->params.dry_multiplier * pow((double)s->params.dry_base, over);
        if (loss > 1e30) loss = 1e30; /* stays a finite score: the token is last, not impossible */
        pn_scores_set(s, token, (double)s->scores[token] - loss);
        s->counts[token] = 0;
    }
}

/* ORDER pn_penalties_ids */
void pn_penalties_apply(pn_sampler *s, const int32_t *history, int32_t n_history) {
    apply_bias(s);
    if (pn_penalties_are_on(&s->params)) apply_repetition(s, history, n_history);
    if (pn_dry_is_on(&s->params)) apply_dry(s, history, n_history);
}

/* ---- which tokens
 * -------------------------------------------------------------------------------------- */

/* Puts a token where it belongs among ids[0..n), ascending, once. Returns the new n; -1: more than
 * max, as n may be. */
static int32_t insert_id(int32_t *ids, int32_t n, int32_t max, int32_t token) {
    int32_t low = 0, high = n;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (ids[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    if (n < 0 || (low < n && ids[low] == token)) return n;
    if (n == max) return -1;
    memmove(ids + low + 1, ids + low, (size_t)(n - low) * sizeof *ids);
    ids[low] = token;
    return n + 1;
}

/* ORDER pn_penalties_apply */
int32_t pn_penalties_ids(const pn_sampler *s, const int32_t *history, int32_t n_history,
                         int32_t *ids, int32_t max) {
    int32_t n = 0, window = 0;
    for (int32_t i = 0; i < s->params.n_logit_bias; i++)
        n = insert_id(ids, n, max, s->params.logit_bias[i].token);
    for (int32_t i = 0; i < s->n_ended; i++) n = insert_id(ids, n, max, s->ended[i]);
    if (pn_penalties_are_on(&s->params))
        window = window_length(s, s->params.penalty_last_n, n_history);
    if (pn_dry_is_on(&s->params)) {
        const int32_t dry = window_length(s, s->dry_window, n_history);
        window = dry > window ? dry : window;
    }
    for (int32_t i = n_history - window; i < n_history && n >= 0; i++)
        if (is_token(s, history[i])) n = insert_id(ids, n, max, history[i]);
    return n;
}
