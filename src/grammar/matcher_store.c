/* matcher_store.c: the frames and states of a matcher: each kept once, found by its contents, and
 * thrown away when there are too many. */
#include "grammar/matcher_impl.h"

#include <string.h>

int32_t pn_matcher_no_memory(pn_matcher *m) {
    if (!m->status)
        m->status = pn_fail_nomem(m->err, pn_matcher_bytes(m), "the matching of a grammar");
    return -1;
}

size_t pn_matcher_bytes(const pn_matcher *m) {
    const size_t state = sizeof *m->states + (size_t)m->rtn->n_classes * sizeof *m->rows;
    return m->n_returns * sizeof *m->returns + (size_t)m->n_frames * sizeof *m->frames +
           m->n_items * sizeof *m->items + (size_t)m->n_states * state;
}

/* Room for `need` elements of `size` bytes in *list. */
static bool make_room(void *list, size_t *cap, size_t need, size_t size) {
    if (need <= *cap) return true;
    size_t grown = *cap ? *cap * 2 : 64;
    while (grown < need) grown *= 2;
    void *old;
    memcpy(&old, list, sizeof old);
    void *p = pn_realloc(old, grown, size);
    if (!p) return false;
    memcpy(list, &p, sizeof p);
    *cap = grown;
    return true;
}

/* ---- hash tables of numbers ------------------------------------------------------------------ */

/* Room for one more among n: at most half full. The caller puts its numbers in again when the
 * table is new. */
static bool grow_slots(int32_t **slots, size_t *cap, size_t n, bool *is_new) {
    *is_new = false;
    if (2 * (n + 1) <= *cap) return true;
    size_t grown = *cap ? *cap * 2 : 64;
    while (grown < 2 * (n + 1)) grown *= 2;
    int32_t *fresh = pn_alloc(grown * sizeof *fresh);
    if (!fresh) return false;
    memset(fresh, 0xff, grown * sizeof *fresh);
    pn_free(*slots);
    *slots = fresh;
    *cap = grown;
    *is_new = true;
    return true;
}

static void put_slot(int32_t *slots, size_t cap, uint32_t hash, int32_t number) {
    size_t i = hash & (cap - 1);
    while (slots[i] >= 0) i = (i + 1) & (cap - 1);
    slots[i] = number;
}

static void put_frames(pn_matcher *m) {
    memset(m->frame_slots, 0xff, m->cap_frame_slots * sizeof *m->frame_slots);
    for (int32_t f = 0; f < m->n_frames; f++)
        put_slot(m->frame_slots, m->cap_frame_slots, m->frames[f].hash, f);
}

static void put_states(pn_matcher *m) {
    memset(m->state_slots, 0xff, m->cap_state_slots * sizeof *m->state_slots);
    for (int32_t s = 0; s < m->n_states; s++)
        put_slot(m->state_slots, m->cap_state_slots, m->states[s].hash, s);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static bool return_is_less(const pn_return *a, const pn_return *b) {
    if (a->frame != b->frame) return a->frame < b->frame;
    return a->at != b->at ? a->at < b->at : a->count < b->count;
}

static void sift_return(pn_return *list, size_t i, size_t n) {
    const pn_return moved = list[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && return_is_less(&list[child], &list[child + 1])) child++;
        if (!return_is_less(&moved, &list[child])) break;
        list[i] = list[child];
    }
    list[i] = moved;
}

/* By insertion while that is cheap, else by heapsort. */
size_t pn_sort_returns(pn_return *list, size_t n) {
    size_t moves = 0, limit = 4 * n + 64;
    for (size_t i = 1; i < n && moves <= limit; i++) {
        const pn_return moved = list[i];
        size_t at = i;
        for (; at > 0 && return_is_less(&moved, &list[at - 1]); at--, moves++)
            list[at] = list[at - 1];
        list[at] = moved;
    }
    if (moves > limit) {
        for (size_t i = n / 2; i-- > 0;) sift_return(list, i, n);
        for (size_t end = n; end-- > 1;) {
            const pn_return last = list[end];
            list[end] = list[0];
            list[0] = last;
            sift_return(list, 0, end);
        }
    }
    size_t n_kept = n > 0;
    for (size_t i = 1; i < n; i++)
        if (return_is_less(&list[n_kept - 1], &list[i])) list[n_kept++] = list[i];
    return n_kept;
}

/* Of n 32-bit numbers. */
static uint32_t hash_of(const void *numbers, size_t n) {
    uint64_t h = n;
    for (size_t i = 0; i < n; i++) {
        uint32_t number;
        memcpy(&number, (const char *)numbers + i * sizeof number, sizeof number);
        h = (h ^ number) * 0x9fb21c651e98df25u;
        h ^= h >> 29;
    }
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t hash_returns(const pn_return *returns, size_t n) {
    return hash_of(returns, 3 * n);
}

const pn_return *pn_find_return(const pn_return *list, size_t n, const pn_return *wanted) {
    const pn_return *const end = list + n;
    while (n > 0) { /* the first that is not less */
        const pn_return *middle = list + n / 2;
        if (return_is_less(middle, wanted)) {
            list = middle + 1;
            n -= n / 2 + 1;
        } else {
            n /= 2;
        }
    }
    return list < end && !return_is_less(wanted, list) ? list : NULL;
}

int32_t pn_frame_of(pn_matcher *m, const pn_return *returns, size_t n) {
    const uint32_t hash = hash_returns(returns, n);
    bool is_new;
    if (!grow_slots(&m->frame_slots, &m->cap_frame_slots, (size_t)m->n_frames, &is_new))
        return pn_matcher_no_memory(m);
    if (is_new) put_frames(m);
    size_t slot = hash & (m->cap_frame_slots - 1);
    for (int32_t f; (f = m->frame_slots[slot]) >= 0; slot = (slot + 1) & (m->cap_frame_slots - 1)) {
        const pn_frame *frame = &m->frames[f];
        if (frame->hash == hash && (size_t)frame->n == n &&
            memcmp(m->returns + frame->first, returns, n * sizeof *returns) == 0)
            return f;
    }
    size_t cap = (size_t)m->cap_frames;
    if (!make_room(&m->returns, &m->cap_returns, m->n_returns + n, sizeof *m->returns) ||
        !make_room(&m->frames, &cap, (size_t)m->n_frames + 1, sizeof *m->frames))
        return pn_matcher_no_memory(m);
    m->cap_frames = (int32_t)cap;
    memcpy(m->returns + m->n_returns, returns, n * sizeof *returns);
    m->frames[m->n_frames] = (pn_frame){.first = m->n_returns, .n = (int32_t)n, .hash = hash};
    m->n_returns += n;
    m->frame_slots[slot] = m->n_frames;
    return m->n_frames++;
}

/* ---- states ---------------------------------------------------------------------------------- */

/* The hash of items and whether the text may end there. */
static uint32_t hash_state(const uint64_t *items, size_t n, bool complete) {
    return hash_of(items, 2 * n) ^ (complete ? 0x9e3779b9u : 0);
}

/* Removes equal neighbours. */
static size_t keep_different(uint64_t *items, size_t n) {
    size_t n_kept = n > 0;
    for (size_t i = 1; i < n; i++)
        if (items[i] != items[n_kept - 1]) items[n_kept++] = items[i];
    return n_kept;
}

static bool make_state_room(pn_matcher *m, size_t n_items) {
    size_t cap = (size_t)m->cap_states;
    const size_t n_classes = (size_t)m->rtn->n_classes;
    if (!make_room(&m->items, &m->cap_items, m->n_items + n_items, sizeof *m->items)) return false;
    if (m->n_states < m->cap_states) return true;
    if (!make_room(&m->states, &cap, (size_t)m->n_states + 1, sizeof *m->states)) return false;
    int32_t *rows = pn_realloc(m->rows, cap, n_classes * sizeof *rows);
    if (!rows) return false;
    m->rows = rows;
    m->cap_states = (int32_t)cap;
    return true;
}

static void clear_row(pn_matcher *m, int32_t state) {
    const size_t n_classes = (size_t)m->rtn->n_classes;
    memset(m->rows + (size_t)state * n_classes, 0xff, n_classes * sizeof *m->rows);
}

static bool waits_for_token(const pn_matcher *m, const uint64_t *items, size_t n) {
    for (size_t i = 0; i < n && m->rtn->n_tokens > 0; i++) {
        const unsigned kind = m->rtn->nodes[pn_item_at(items[i])].kind;
        if (kind == PN_RTN_TOKEN || kind == PN_RTN_NOT_TOKEN) return true;
    }
    return false;
}

int32_t pn_state_of(pn_matcher *m, uint64_t *items, size_t n, bool complete) {
    pn_sort_u64(items, n);
    n = keep_different(items, n);
    const uint32_t hash = hash_state(items, n, complete);
    bool is_new;
    if (!grow_slots(&m->state_slots, &m->cap_state_slots, (size_t)m->n_states, &is_new))
        return pn_matcher_no_memory(m);
    if (is_new) put_states(m);
    size_t slot = hash & (m->cap_state_slots - 1);
    for (int32_t s; (s = m->state_slots[slot]) >= 0; slot = (slot + 1) & (m->cap_state_slots - 1)) {
        const pn_match_state *state = &m->states[s];
        if (state->hash == hash && (size_t)state->n == n && state->complete == complete &&
            memcmp(m->items + state->first, items, n * sizeof *items) == 0)
            return s;
    }
    if (!make_state_room(m, n)) return pn_matcher_no_memory(m);
    if (n) memcpy(m->items + m->n_items, items, n * sizeof *items);
    m->states[m->n_states] = (pn_match_state){.first = m->n_items,
                                              .n = (int32_t)n,
                                              .hash = hash,
                                              .mask = PN_UNKNOWN,
                                              .complete = complete,
                                              .has_tokens = waits_for_token(m, items, n)};
    clear_row(m, m->n_states);
    m->n_items += n;
    m->state_slots[slot] = m->n_states;
    return m->n_states++;
}

/* ---- collection ------------------------------------------------------------------------------ */

/* For each frame and state: the new number, or -1 for one that goes. */
typedef struct new_numbers {
    int32_t *frames, *states;
} new_numbers;

/* Sets 0 for what stays. */
static void mark(const pn_matcher *m, const int32_t *roots, size_t n, const new_numbers *to) {
    memset(to->frames, 0xff, (size_t)m->n_frames * sizeof *to->frames);
    memset(to->states, 0xff, (size_t)m->n_states * sizeof *to->states);
    for (size_t i = 0; i < n; i++) to->states[roots[i]] = 0;
    for (const pn_matching *user = m->users; user; user = user->next) to->states[user->state] = 0;
    to->states[PN_DEAD_STATE] = to->states[PN_START_STATE] = 0;
    to->frames[PN_BOTTOM_FRAME] = 0;
    for (int32_t s = 0; s < m->n_states; s++) {
        const pn_match_state *state = &m->states[s];
        for (int32_t i = 0; i < state->n && to->states[s] == 0; i++)
            to->frames[pn_item_frame(m->items[state->first + (size_t)i])] = 0;
    }
    for (int32_t f = m->n_frames; f-- > 0;) /* frames return to those with lower numbers */
        for (int32_t i = 0; i < m->frames[f].n && to->frames[f] == 0; i++)
            to->frames[m->returns[m->frames[f].first + (size_t)i].frame] = 0;
}

/* Numbers keep their order, so the lists stay sorted. */
static void move_frames(pn_matcher *m, int32_t *to) {
    int32_t n = 0;
    size_t n_returns = 0;
    for (int32_t f = 0; f < m->n_frames; f++) {
        if (to[f] < 0) continue;
        pn_frame frame = m->frames[f];
        to[f] = n;
        for (int32_t i = 0; i < frame.n; i++) {
            pn_return back = m->returns[frame.first + (size_t)i];
            back.frame = to[back.frame];
            m->returns[n_returns + (size_t)i] = back;
        }
        frame.first = n_returns;
        frame.hash = hash_returns(m->returns + n_returns, (size_t)frame.n);
        n_returns += (size_t)frame.n;
        m->frames[n++] = frame;
    }
    m->n_frames = n;
    m->n_returns = n_returns;
}

static void move_states(pn_matcher *m, const new_numbers *to) {
    int32_t n = 0;
    size_t n_items = 0;
    for (int32_t s = 0; s < m->n_states; s++) {
        if (to->states[s] < 0) continue;
        pn_match_state state = m->states[s];
        to->states[s] = n;
        for (int32_t i = 0; i < state.n; i++) {
            const uint64_t item = m->items[state.first + (size_t)i];
            m->items[n_items + (size_t)i] =
                pn_item(pn_item_at(item), to->frames[pn_item_frame(item)]);
        }
        state.first = n_items;
        state.hash = hash_state(m->items + n_items, (size_t)state.n, state.complete);
        state.mask = PN_UNKNOWN;
        state.loops_known = false;
        n_items += (size_t)state.n;
        m->states[n] = state;
        clear_row(m, n++);
    }
    m->n_states = n;
    m->n_items = n_items;
}

static bool collect(pn_matcher *m, int32_t *roots, size_t n, const new_numbers *to) {
    mark(m, roots, n, to);
    move_frames(m, to->frames);
    move_states(m, to);
    put_frames(m);
    put_states(m);
    m->n_masks = 0;
    for (size_t i = 0; i < n; i++) roots[i] = to->states[roots[i]];
    for (pn_matching *user = m->users; user; user = user->next)
        user->state = to->states[user->state];
    const size_t left = pn_matcher_bytes(m);
    if (left > m->max_left) {
        m->status =
            pn_fail(m->err, PUNA_E_LIMIT,
                    "grammar: too ambiguous for this text: following it takes %zu bytes", left);
        return false;
    }
    if (left > m->limit / 2) m->limit = 2 * left; /* else it would soon be full again */
    return true;
}

bool pn_matcher_collect(pn_matcher *m, int32_t *roots, size_t n) {
    const new_numbers to = {.frames = pn_alloc((size_t)m->n_frames * sizeof(int32_t)),
                            .states = pn_alloc((size_t)m->n_states * sizeof(int32_t))};
    const bool ok =
        to.frames && to.states ? collect(m, roots, n, &to) : (pn_matcher_no_memory(m), false);
    pn_free(to.frames);
    pn_free(to.states);
    return ok;
}

void pn_matcher_free(pn_matcher *m) {
    if (!m) return;
    void *const blocks[] = {m->token_ids,    m->returns,     m->frames,      m->frame_slots,
                            m->items,        m->states,      m->state_slots, m->rows,
                            m->masks,        m->mask_counts, m->walk,        m->call_stamps,
                            m->call_numbers, m->places};
    pn_buf *const bufs[] = {&m->work,     &m->out,      &m->calls,   &m->call_returns,
                            &m->gathered, &m->settling, &m->looking, &m->implied};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) pn_free(blocks[i]);
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++) pn_buf_free(bufs[i]);
    pn_free(m);
}
