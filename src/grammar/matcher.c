/* matcher.c: texts and tokens against a grammar, one place after another; and where matchers come
 * from and go to. */
#include "grammar/matcher_impl.h"

#include "base/utf8.h"

#include <string.h>

enum { FIRST_LIMIT = 16 << 20, MAX_LEFT = 96 << 20 };
/* Places that one call may visit, and more for each byte: two seconds' worth at most. */
#define WORK_OF_CALL ((uint64_t)1 << 26)
#define WORK_OF_BYTE ((uint64_t)1 << 10)

/* ---- a matcher's life ------------------------------------------------------------------------ */

static bool make_first_states(pn_matcher *m) {
    pn_return bottom = {.at = PN_RTN_ACCEPT_NODE, .frame = PN_BOTTOM_FRAME};
    uint64_t none;
    m->work_left = WORK_OF_CALL;
    return pn_frame_of(m, &bottom, 1) >= 0 && pn_state_of(m, &none, 0, false) >= 0 &&
           pn_step_start(m) >= 0;
}

int32_t pn_matcher_named(const pn_matcher *m, const char *name, size_t n) {
    for (int32_t i = 0; i < m->rtn->n_tokens; i++) {
        const pn_gbnf_token *token = &m->rtn->tokens[i];
        if (token->name && token->name_bytes == n && memcmp(token->name, name, n) == 0)
            return PN_TOKEN_ANY - 1 - i;
    }
    return PN_TOKEN_ANY;
}

/* Ids of the token terminals in the vocabulary. */
static puna_status bind_tokens(pn_matcher *m) {
    for (int32_t i = 0; i < m->rtn->n_tokens; i++) {
        const pn_gbnf_token *token = &m->rtn->tokens[i];
        m->token_ids[i] = token->id;
        if (!token->name) continue;
        m->token_ids[i] = m->trie ? pn_token_trie_find(m->trie, token->name, token->name_bytes)
                                  : pn_matcher_named(m, token->name, token->name_bytes);
        if (m->trie && m->token_ids[i] < 0)
            return pn_fail(m->err, PUNA_E_FORMAT,
                           "grammar: %.*s is not a token of this model's vocabulary",
                           token->name_bytes > 80 ? 80 : (int)token->name_bytes, token->name);
    }
    return PUNA_OK;
}

static puna_status fill(pn_matcher *m) {
    const pn_rtn *rtn = m->rtn;
    m->token_ids = pn_calloc((size_t)rtn->n_tokens, sizeof *m->token_ids);
    m->call_stamps = pn_calloc((size_t)rtn->n_callees, sizeof *m->call_stamps);
    m->call_numbers = pn_calloc((size_t)rtn->n_callees, sizeof *m->call_numbers);
    if (m->trie) {
        m->mask_words = ((size_t)m->trie->n_tokens + 63) / 64;
        m->walk = pn_calloc((size_t)m->trie->max_depth + 1, sizeof *m->walk);
    }
    if (!m->token_ids || !m->call_stamps || !m->call_numbers || (m->trie && !m->walk)) {
        pn_matcher_no_memory(m);
        return m->status;
    }
    const puna_status status = bind_tokens(m);
    return status || make_first_states(m) ? status : m->status;
}

static puna_status make_matcher(const pn_rtn *rtn, const pn_token_trie *trie, pn_matcher **matcher,
                                puna_error *err) {
    pn_matcher *m = pn_calloc(1, sizeof *m);
    if (!m) return pn_fail_nomem(err, sizeof *m, "the matching of a grammar");
    m->rtn = rtn;
    m->trie = trie;
    m->trie_serial = trie ? trie->serial : 0;
    m->limit = FIRST_LIMIT;
    m->max_left = MAX_LEFT;
    m->max_work = WORK_OF_CALL;
    m->err = err;
    const puna_status status = fill(m);
    if (status)
        pn_matcher_free(m);
    else
        *matcher = m;
    return status;
}

/* Into a free place of the grammar, or in exchange for another. */
static void put_idle(puna_grammar *grammar, pn_matcher *m) {
    for (int i = 0; i < PN_MAX_IDLE_MATCHERS; i++) {
        pn_matcher *none = NULL;
        if (atomic_compare_exchange_strong(&grammar->idle[i], &none, m)) return;
    }
    pn_matcher_free(atomic_exchange(&grammar->idle[m->trie_serial % PN_MAX_IDLE_MATCHERS], m));
}

/* A matcher for this vocabulary that waits in the grammar, or NULL. */
static pn_matcher *take_idle(puna_grammar *grammar, const pn_token_trie *trie) {
    for (int i = 0; i < PN_MAX_IDLE_MATCHERS; i++) {
        pn_matcher *m = atomic_exchange(&grammar->idle[i], NULL);
        if (m && m->trie_serial == (trie ? trie->serial : 0)) return m;
        if (m) put_idle(grammar, m);
    }
    return NULL;
}

/* ---- matchings ------------------------------------------------------------------------------- */

static void add_user(pn_matcher *m, pn_matching *matching, int32_t state) {
    *matching = (pn_matching){.matcher = m, .state = state, .next = m->users};
    if (m->users) m->users->previous = matching;
    m->users = matching;
}

puna_status pn_matching_open(puna_grammar *grammar, const pn_token_trie *trie,
                             pn_matching *matching, puna_error *err) {
    pn_matcher *m = take_idle(grammar, trie);
    if (!m) {
        const puna_status status = make_matcher(&grammar->rtn, trie, &m, err);
        if (status) return status;
    }
    m->grammar = puna_grammar_retain(grammar);
    add_user(m, matching, PN_START_STATE);
    return PUNA_OK;
}

void pn_matching_close(pn_matching *matching) {
    pn_matcher *m = matching->matcher;
    if (!m) return;
    if (matching->next) matching->next->previous = matching->previous;
    if (matching->previous)
        matching->previous->next = matching->next;
    else
        m->users = matching->next;
    *matching = (pn_matching){0};
    if (m->users) return;
    puna_grammar *grammar = m->grammar;
    m->grammar = NULL;
    put_idle(grammar, m);
    puna_grammar_free(grammar);
}

void pn_matching_copy(const pn_matching *matching, pn_matching *copy) {
    const pn_matching from = *matching;
    if (copy->matcher == from.matcher) {
        copy->state = from.state;
        return;
    }
    pn_matching_close(copy);
    if (from.matcher) add_user(from.matcher, copy, from.state);
}

void pn_matching_restart(pn_matching *matching) {
    matching->state = PN_START_STATE;
}

bool pn_matching_is_complete(const pn_matching *matching) {
    return matching->matcher->states[matching->state].complete;
}

bool pn_matching_is_dead(const pn_matching *matching) {
    return matching->state == PN_DEAD_STATE;
}

/* ---- going on -------------------------------------------------------------------------------- */

void pn_matcher_begin(pn_matcher *m, size_t n_bytes, puna_error *err) {
    m->err = err;
    m->status = PUNA_OK;
    m->work_left = m->max_work + n_bytes * WORK_OF_BYTE;
}

/* Moves *state behind the bytes; other[0] is a state to be kept too. False with status set. */
static bool take_bytes(pn_matcher *m, int32_t states[2], const char *text, size_t n,
                       size_t *n_taken) {
    size_t i = 0;
    for (; i < n && states[0] != PN_DEAD_STATE; i++) {
        if (pn_matcher_is_full(m) && !pn_matcher_collect(m, states, 2)) return false;
        const int32_t next = pn_step(m, states[0], (unsigned char)text[i]);
        if (next < 0) return false;
        if (next == PN_DEAD_STATE && n_taken) *n_taken = i;
        states[0] = next;
    }
    return true;
}

/* One character or token: along its bytes, and along the terminals for tokens. */
static bool take_token(pn_matcher *m, int32_t *state, int32_t token, const char *text, size_t n) {
    int32_t states[2] = {*state, *state};
    if (n == 0) states[0] = PN_DEAD_STATE;
    if (!take_bytes(m, states, text, n, NULL)) return false;
    if (m->states[states[1]].has_tokens) {
        if (pn_matcher_is_full(m) && !pn_matcher_collect(m, states, 2)) return false;
        const int32_t by_terminal = pn_step_token(m, states[1], token);
        if (by_terminal < 0) return false;
        states[0] = pn_step_union(m, states[0], by_terminal);
        if (states[0] < 0) return false;
    }
    *state = states[0];
    return true;
}

/* Text against a grammar that has terminals for any token but one: each character is a token. */
static bool take_characters(pn_matching *matching, const char *text, size_t n, size_t *n_taken) {
    pn_matcher *m = matching->matcher;
    for (size_t i = 0; i < n && matching->state != PN_DEAD_STATE;) {
        const size_t length = pn_utf8_step(text + i, n - i);
        int32_t state = matching->state;
        if (!take_token(m, &state, PN_TOKEN_ANY, text + i, length)) return false;
        matching->state = state;
        if (state == PN_DEAD_STATE) *n_taken = i;
        i += length;
    }
    return true;
}

puna_status pn_matching_text(pn_matching *matching, const char *text, size_t n, size_t *n_taken,
                             puna_error *err) {
    pn_matcher *m = matching->matcher;
    size_t taken = n;
    pn_matcher_begin(m, n, err);
    if (m->rtn->has_not_tokens) {
        (void)take_characters(matching, text, n, &taken);
    } else {
        int32_t states[2] = {matching->state, matching->state};
        if (take_bytes(m, states, text, n, &taken)) matching->state = states[0];
    }
    if (n_taken) *n_taken = taken;
    return m->status;
}

puna_status pn_matching_token(pn_matching *matching, int32_t token, puna_error *err) {
    pn_matcher *m = matching->matcher;
    const pn_token_trie *trie = m->trie;
    size_t n = 0;
    const char *text = pn_token_trie_text(trie, token, &n);
    pn_matcher_begin(m, n, err);
    if (pn_token_trie_is_end(trie, token) && m->states[matching->state].complete) return PUNA_OK;
    int32_t state = matching->state;
    if (take_token(m, &state, token, text, n)) matching->state = state;
    return m->status;
}

puna_status pn_matching_named(pn_matching *matching, int32_t token, const char *text, size_t n,
                              puna_error *err) {
    pn_matcher *m = matching->matcher;
    pn_matcher_begin(m, n, err);
    int32_t state = matching->state;
    if (take_token(m, &state, token, text, n)) matching->state = state;
    return m->status;
}
