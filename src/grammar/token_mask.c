/* token_mask.c: which tokens may come next: the token tree and the grammar walked together.
 *
 * A branch of the tree ends where the grammar does not go on. Where a state leads back to itself by
 * every byte that occurs below a node, as inside a string, all tokens below are allowed without a
 * look. Masks are kept by state; a counted loop that is too far from its bounds for one token to
 * reach them has the same mask whatever its count. */
#include "grammar/matcher_impl.h"

#include <string.h>

enum {
    MAX_MASK_BYTES = 8 << 20, /* kept by one matcher */
    MIN_MASKS = 8,
    MIN_SUBTREE = 32 /* nodes for which it pays to know where bytes lead back */
};

/* ---- states with the same mask --------------------------------------------------------------- */

/* A count that stands for all from which the bounds are out of a token's reach. */
static uint32_t count_in_reach(const pn_rtn_loop *l, uint32_t count, uint32_t reach) {
    if (count >= l->min && l->max != PN_GBNF_NO_MAX && l->max - count > reach) return l->min;
    if (count < l->min && l->min - count > reach) return 0;
    return count;
}

/* The frame with those counts; itself when nothing changes. -1 with status set. */
static int32_t frame_in_reach(pn_matcher *m, int32_t frame) {
    bool changes = false;
    const pn_frame *f = &m->frames[frame];
    m->gathered.n = 0;
    if (!pn_buf_append(&m->gathered, m->returns + f->first, (size_t)f->n * sizeof(pn_return)))
        return pn_matcher_no_memory(m);
    pn_return *list = (void *)m->gathered.data;
    const size_t n = (size_t)f->n;
    for (size_t i = 0; i < n; i++) {
        const pn_rtn_node *node = &m->rtn->nodes[list[i].at];
        if (node->kind != PN_RTN_LOOP) continue;
        const uint32_t count =
            count_in_reach(&m->rtn->loops[node->what], list[i].count, (uint32_t)m->trie->max_depth);
        changes |= count != list[i].count;
        list[i].count = count;
    }
    return changes ? pn_frame_of(m, list, pn_sort_returns(list, n)) : frame;
}

/* A state with the same mask. */
static int32_t state_in_reach(pn_matcher *m, int32_t state) {
    bool changes = false;
    if (m->rtn->n_loops == 0) return state;
    m->out.n = 0;
    for (int32_t i = 0; i < m->states[state].n; i++) {
        const uint64_t item = m->items[m->states[state].first + (size_t)i];
        const int32_t frame = frame_in_reach(m, pn_item_frame(item));
        if (frame < 0) return -1;
        changes |= frame != pn_item_frame(item);
        const uint64_t moved = pn_item(pn_item_at(item), frame);
        if (!pn_buf_append(&m->out, &moved, sizeof moved)) return pn_matcher_no_memory(m);
    }
    if (!changes) return state;
    return pn_state_of(m, (void *)m->out.data, m->out.n / sizeof(uint64_t),
                       m->states[state].complete);
}

/* ---- the walk -------------------------------------------------------------------------------- */

static void allow(uint64_t *bits, int32_t token) {
    bits[token >> 6] |= (uint64_t)1 << (token & 63);
}

static void allow_range(const pn_token_trie *t, uint64_t *bits, int32_t first, int32_t end) {
    for (int32_t i = first; i < end; i++) allow(bits, t->sorted[i]);
}

/* The groups of bytes that lead from a state back to it. False with status set. */
static bool find_loops(pn_matcher *m, int32_t state) {
    bool leads_back[256] = {false};
    uint64_t leaves = 0;
    for (int32_t c = 0; c < m->rtn->n_classes; c++) {
        const int32_t next = pn_step(m, state, m->rtn->byte_of[c]);
        if (next < 0) return false;
        leads_back[c] = next == state;
    }
    for (int byte = 0; byte < 256; byte++)
        if (!leads_back[m->rtn->class_of[byte]]) leaves |= (uint64_t)1 << m->trie->group_of[byte];
    m->states[state].loops = ~leaves;
    m->states[state].loops_known = true;
    return true;
}

/* Whether every token below a node is allowed after `state`, as far as that is easy to see. */
static bool allows_all_below(pn_matcher *m, int32_t state, const pn_trie_node *node) {
    if (!m->states[state].loops_known && !find_loops(m, state)) return false;
    return (node->groups & ~m->states[state].loops) == 0;
}

static bool walk(pn_matcher *m, uint64_t *bits) {
    const pn_token_trie *t = m->trie;
    for (int32_t i = 1; i < t->n_nodes;) {
        const pn_trie_node *node = &t->nodes[i];
        const int32_t state = pn_step(m, m->walk[node->depth - 1], node->byte);
        if (state < 0) return false;
        m->walk[node->depth] = state;
        if (pn_matcher_is_full(m) && !pn_matcher_collect(m, m->walk, (size_t)node->depth + 1))
            return false;
        if (state == PN_DEAD_STATE) {
            i = node->skip;
            continue;
        }
        allow_range(t, bits, node->first_token, node->first_token + node->n_tokens);
        i++;
        if (node->skip - i < MIN_SUBTREE) continue;
        if (allows_all_below(m, m->walk[node->depth], node)) {
            const bool is_last = node->skip == t->n_nodes;
            allow_range(t, bits, node->first_token,
                        is_last ? t->n_sorted : t->nodes[node->skip].first_token);
            i = node->skip;
        }
        if (m->status) return false;
    }
    return true;
}

/* ---- terminals for tokens, and the end ------------------------------------------------------- */

/* A token that the grammar names. One that ends the text must end the grammar's too. */
static bool allow_named(pn_matcher *m, uint64_t *bits, int32_t state, int32_t token) {
    const pn_token_trie *t = m->trie;
    if (token < 0 || token >= t->n_tokens || t->kinds[token] == PN_TOKEN_NEVER) return true;
    if (t->kinds[token] == PN_TOKEN_OF_END) {
        const int32_t next = pn_step_token(m, state, token);
        if (next < 0) return false;
        if (!m->states[next].complete) return true;
    }
    allow(bits, token);
    return true;
}

static void allow_others(const pn_matcher *m, uint64_t *bits, int32_t token) {
    const pn_token_trie *t = m->trie;
    for (int32_t i = 0; i < t->n_tokens; i++)
        if (i != token && (t->kinds[i] == PN_TOKEN_OF_TEXT || t->kinds[i] == PN_TOKEN_SILENT))
            allow(bits, i);
}

static bool allow_terminals(pn_matcher *m, uint64_t *bits, int32_t state) {
    for (int32_t i = 0; i < m->states[state].n; i++) {
        const uint64_t item = m->items[m->states[state].first + (size_t)i];
        const pn_rtn_node *node = &m->rtn->nodes[pn_item_at(item)];
        if (node->kind == PN_RTN_NOT_TOKEN) allow_others(m, bits, m->token_ids[node->what]);
        if (node->kind == PN_RTN_TOKEN && !allow_named(m, bits, state, m->token_ids[node->what]))
            return false;
    }
    return true;
}

/* ---- masks ----------------------------------------------------------------------------------- */

/* The number of a free mask. All are given up when there are too many. */
static int32_t new_mask(pn_matcher *m) {
    const size_t mask_bytes = m->mask_words * sizeof(uint64_t);
    const size_t fit = MAX_MASK_BYTES / mask_bytes;
    const int32_t most = fit < MIN_MASKS ? MIN_MASKS : (int32_t)fit;
    if (m->n_masks == most) {
        for (int32_t s = 0; s < m->n_states; s++) m->states[s].mask = PN_UNKNOWN;
        m->n_masks = 0;
    }
    if (m->n_masks == m->cap_masks) {
        const int32_t grown = m->cap_masks ? m->cap_masks * 2 : 4;
        const int32_t cap = grown < most ? grown : most;
        uint64_t *masks = pn_realloc(m->masks, (size_t)cap, mask_bytes);
        if (masks) m->masks = masks;
        int32_t *counts = pn_realloc(m->mask_counts, (size_t)cap, sizeof *counts);
        if (counts) m->mask_counts = counts;
        if (!masks || !counts) return pn_matcher_no_memory(m);
        m->cap_masks = cap;
    }
    return m->n_masks;
}

static bool fill_mask(pn_matcher *m, uint64_t *bits) {
    const int32_t state = m->walk[0];
    if (m->states[state].complete)
        for (int32_t i = 0; i < m->trie->n_ends; i++) allow(bits, m->trie->ends[i]);
    if (m->states[state].has_tokens && !allow_terminals(m, bits, state)) return false;
    return walk(m, bits);
}

/* Makes the mask of m->walk[0]; its number. */
static int32_t make_mask(pn_matcher *m) {
    const int32_t number = new_mask(m);
    if (number < 0) return -1;
    uint64_t *bits = m->masks + (size_t)number * m->mask_words;
    memset(bits, 0, m->mask_words * sizeof *bits);
    if (!fill_mask(m, bits)) return -1;
    if (m->n_masks < number) { /* the others were thrown away meanwhile */
        memmove(m->masks, bits, m->mask_words * sizeof *bits);
        bits = m->masks;
    }
    int32_t n_allowed = 0;
    for (size_t i = 0; i < m->mask_words; i++) n_allowed += __builtin_popcountll(bits[i]);
    m->mask_counts[m->n_masks] = n_allowed;
    m->states[m->walk[0]].mask = m->n_masks;
    return m->n_masks++;
}

puna_status pn_matching_mask(pn_matching *matching, pn_token_mask *mask, puna_error *err) {
    pn_matcher *m = matching->matcher;
    pn_matcher_begin(m, 0, err);
    if (pn_matcher_is_full(m) && !pn_matcher_collect(m, NULL, 0)) return m->status;
    int32_t number = m->states[matching->state].mask;
    if (number == PN_UNKNOWN) {
        m->walk[0] = state_in_reach(m, matching->state);
        if (m->walk[0] < 0) return m->status;
        number = m->states[m->walk[0]].mask;
        if (number == PN_UNKNOWN) number = make_mask(m);
        if (number < 0) return m->status;
        m->states[matching->state].mask = number;
    }
    *mask = (pn_token_mask){.bits = m->masks + (size_t)number * m->mask_words,
                            .n_allowed = m->mask_counts[number]};
    return PUNA_OK;
}
