/* matcher_step.c: from one state to the next: all paths of the network go on at once.
 *
 * A step begins with the places behind what was taken and follows every path up to the nodes that
 * take something. A rule is entered once in a step, wherever it is called from: the calls share one
 * new frame, whose returns are collected. What ends in a new frame has taken nothing; the callers of
 * a rule that may be empty have gone on behind it themselves. When all is followed, the new frames
 * that are needed are made, those first that others return to. */
#include "grammar/matcher_impl.h"

#include <string.h>

enum {
    MAX_COPIED_RETURNS = 4 /* of a frame that a call at the end of a rule returns to */
};

#define ELEMENT(buf, type) ((type *)(void *)(buf).data)
#define COUNT(buf, type)   ((int32_t)((buf).n / sizeof(type)))

static bool no_memory(pn_matcher *m) {
    pn_matcher_no_memory(m);
    return false;
}

static bool count_work(pn_matcher *m, uint64_t n) {
    if (m->work_left >= n) {
        m->work_left -= n;
        return true;
    }
    if (!m->status)
        m->status = pn_fail(m->err, PUNA_E_LIMIT,
                            "grammar: too ambiguous for this text: following it takes too long");
    return false;
}

/* ---- places ---------------------------------------------------------------------------------- */

/* Where to look for a place: first where those of neighbouring frames are, as these tend to be
 * visited one after another; then all over the table. */
typedef struct probe {
    size_t slot, step;
} probe;

static probe first_probe(int32_t at, uint32_t count, int32_t frame) {
    uint64_t h = ((uint64_t)(uint32_t)at << 32 | count) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    const size_t slot = (size_t)(uint32_t)frame * 8 + (size_t)(h & 7);
    h = (h ^ (uint32_t)frame) * 0xff51afd7ed558ccdu;
    return (probe){.slot = slot, .step = (size_t)(h >> 20) | 1};
}

static bool grow_places(pn_matcher *m) {
    const size_t cap = m->cap_places ? m->cap_places * 2 : 256;
    pn_place *fresh = pn_calloc(cap, sizeof *fresh); /* stamps begin with 1 */
    if (!fresh) return no_memory(m);
    for (size_t i = 0; i < m->cap_places; i++) {
        const pn_place *p = &m->places[i];
        if (p->stamp != m->stamp) continue;
        probe at = first_probe(p->at, p->count, p->frame);
        while (fresh[at.slot & (cap - 1)].stamp) at.slot += at.step;
        fresh[at.slot & (cap - 1)] = *p;
    }
    pn_free(m->places);
    m->places = fresh;
    m->cap_places = cap;
    return true;
}

/* Adds a place to the work, once in a step. */
static bool go_to(pn_matcher *m, int32_t at, uint32_t count, int32_t frame) {
    if (!count_work(m, 1)) return false;
    if (2 * (m->n_places + 1) > m->cap_places && !grow_places(m)) return false;
    probe look = first_probe(at, count, frame);
    pn_place *p = &m->places[look.slot & (m->cap_places - 1)];
    while (p->stamp == m->stamp) {
        if (p->at == at && p->frame == frame && p->count == count) return true;
        look.slot += look.step;
        p = &m->places[look.slot & (m->cap_places - 1)];
    }
    *p = (pn_place){.stamp = m->stamp, .at = at, .count = count, .frame = frame};
    m->n_places++;
    return pn_buf_append(&m->work, p, sizeof *p) || no_memory(m);
}

static void begin_step(pn_matcher *m) {
    if (++m->stamp == 0) { /* the old stamps would count again */
        memset(m->places, 0, m->cap_places * sizeof *m->places);
        memset(m->call_stamps, 0, (size_t)m->rtn->n_callees * sizeof *m->call_stamps);
        m->stamp = 1;
    }
    m->n_places = 0;
    m->complete = false;
    m->work.n = m->out.n = m->calls.n = m->call_returns.n = 0;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static bool call(pn_matcher *m, int32_t callee, int32_t at, uint32_t count, int32_t frame) {
    const pn_rtn_node *node = &m->rtn->nodes[at];
    if (node->kind == PN_RTN_LOOP && count == m->rtn->loops[node->what].max) {
        at = node->next; /* it was the last time */
        count = 0;
    }
    if (m->call_stamps[callee] != m->stamp) {
        const pn_new_call fresh = {.first = -1, .frame = -1};
        m->call_stamps[callee] = m->stamp;
        m->call_numbers[callee] = COUNT(m->calls, pn_new_call);
        if (!pn_buf_append(&m->calls, &fresh, sizeof fresh)) return no_memory(m);
        if (!go_to(m, m->rtn->callees[callee].start, 0, ~m->call_numbers[callee])) return false;
    }
    pn_new_call *c = &ELEMENT(m->calls, pn_new_call)[m->call_numbers[callee]];
    const pn_new_return r = {.to = {.at = at, .count = count, .frame = frame}, .next = c->first};
    c->first = COUNT(m->call_returns, pn_new_return);
    return pn_buf_append(&m->call_returns, &r, sizeof r) || no_memory(m);
}

/* The body of a loop has come p->count times. */
static bool loop(pn_matcher *m, const pn_place *p, const pn_rtn_node *node) {
    const pn_rtn_loop *l = &m->rtn->loops[node->what];
    if (p->count >= l->min && !go_to(m, node->next, 0, p->frame)) return false;
    if (p->count >= l->max) return true;
    const bool counts = l->max != PN_GBNF_NO_MAX || p->count < l->min;
    return call(m, l->callee, p->at, p->count + counts, p->frame);
}

static bool end(pn_matcher *m, int32_t frame) {
    if (frame < 0) return true;
    for (int32_t i = 0; i < m->frames[frame].n; i++) {
        const pn_return *r = &m->returns[m->frames[frame].first + (size_t)i];
        if (!go_to(m, r->at, r->count, r->frame)) return false;
    }
    return true;
}

static bool follow(pn_matcher *m, const pn_place *p) {
    const pn_rtn_node *node = &m->rtn->nodes[p->at];
    switch ((pn_rtn_kind)node->kind) {
    case PN_RTN_END: return end(m, p->frame);
    case PN_RTN_ACCEPT: m->complete = true; return true;
    case PN_RTN_SPLIT:
        return go_to(m, node->next, 0, p->frame) && go_to(m, (int32_t)node->what, 0, p->frame);
    case PN_RTN_CALL:
        if (m->rtn->callees[node->what].nullable && !go_to(m, node->next, 0, p->frame))
            return false;
        return call(m, (int32_t)node->what, node->next, 0, p->frame);
    case PN_RTN_LOOP: return loop(m, p, node);
    case PN_RTN_BYTES:
    case PN_RTN_TOKEN:
    case PN_RTN_NOT_TOKEN: break;
    }
    const uint64_t item = pn_item(p->at, p->frame);
    return pn_buf_append(&m->out, &item, sizeof item) || no_memory(m);
}

/* ---- frames of the calls --------------------------------------------------------------------- */

/* A return to an END becomes what that returns to, where it is not much. */
static bool gather(pn_matcher *m, pn_return to) {
    const pn_frame *frame = &m->frames[to.frame];
    if (to.at != PN_RTN_END_NODE || frame->n > MAX_COPIED_RETURNS)
        return pn_buf_append(&m->gathered, &to, sizeof to) || no_memory(m);
    return pn_buf_append(&m->gathered, m->returns + frame->first,
                         (size_t)frame->n * sizeof *m->returns) ||
           no_memory(m);
}

static bool gather_all(pn_matcher *m, const pn_new_call *c) {
    m->gathered.n = 0;
    for (int32_t i = c->first; i >= 0;) {
        const pn_new_return *r = &ELEMENT(m->call_returns, pn_new_return)[i];
        pn_return to = r->to;
        if (to.frame < 0) to.frame = ELEMENT(m->calls, pn_new_call)[~to.frame].frame;
        if (!count_work(m, 1) || !gather(m, to)) return false;
        i = r->next;
    }
    return true;
}

/* Marks what the frame's returns, and those of ends that it returns to, have in common with list.
 * Looks at *budget returns at most. */
static bool mark_implied(pn_matcher *m, int32_t frame, const pn_return *list, size_t n,
                         size_t *budget) {
    m->looking.n = 0;
    while (true) {
        pn_frame *f = &m->frames[frame];
        if (f->stamp != m->implied_stamp) {
            f->stamp = m->implied_stamp;
            if (*budget < (size_t)f->n) return true;
            *budget -= (size_t)f->n;
            for (int32_t i = 0; i < f->n; i++) {
                const pn_return *r = &m->returns[f->first + (size_t)i];
                const pn_return *same = pn_find_return(list, n, r);
                if (same) ELEMENT(m->implied, bool)[same - list] = true;
                if (r->at == PN_RTN_END_NODE &&
                    !pn_buf_append(&m->looking, &r->frame, sizeof r->frame))
                    return no_memory(m);
            }
        }
        if (m->looking.n == 0) return true;
        m->looking.n -= sizeof frame;
        memcpy(&frame, m->looking.data + m->looking.n, sizeof frame);
    }
}

/* Leaves out of a sorted list the returns that a return to an END in it leads to anyway, as far as
 * a look in proportion to the list finds them: without that, the lists of ambiguous grammars grow
 * with the text. *n gets how many are left. */
static bool drop_implied(pn_matcher *m, pn_return *list, size_t *n) {
    size_t budget = 64 + 8 * *n, n_left = 0;
    bool not_yet = false;
    m->implied.n = 0;
    m->implied_stamp++;
    for (size_t i = 0; i < *n; i++)
        if (!pn_buf_append(&m->implied, &not_yet, sizeof not_yet)) return no_memory(m);
    for (size_t i = *n; i-- > 0;) /* from the latest frames, which lead to the others */
        if (list[i].at == PN_RTN_END_NODE && !ELEMENT(m->implied, bool)[i] &&
            !mark_implied(m, list[i].frame, list, *n, &budget))
            return false;
    for (size_t i = 0; i < *n; i++)
        if (!ELEMENT(m->implied, bool)[i]) list[n_left++] = list[i];
    *n = n_left;
    return true;
}

static bool has_end(const pn_return *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (list[i].at == PN_RTN_END_NODE) return true;
    return false;
}

static bool make_frame(pn_matcher *m, pn_new_call *c) {
    if (!gather_all(m, c)) return false;
    pn_return *list = ELEMENT(m->gathered, pn_return);
    size_t n = pn_sort_returns(list, m->gathered.n / sizeof *list);
    if (n > 1 && has_end(list, n) && !drop_implied(m, list, &n)) return false;
    const bool is_other = n == 1 && list[0].at == PN_RTN_END_NODE;
    c->frame = is_other ? list[0].frame : pn_frame_of(m, list, n);
    return c->frame >= 0;
}

/* Makes the frame of a call, after those it returns to. There are no circles: the grammar has no
 * left recursion. */
static bool settle(pn_matcher *m, int32_t call_number) {
    m->settling.n = 0;
    if (!pn_buf_append(&m->settling, &call_number, sizeof call_number)) return no_memory(m);
    while (m->settling.n > 0) {
        const int32_t number = ELEMENT(m->settling, int32_t)[COUNT(m->settling, int32_t) - 1];
        pn_new_call *c = &ELEMENT(m->calls, pn_new_call)[number];
        if (c->frame >= 0 || c->open) {
            if (c->frame < 0 && !make_frame(m, c)) return false;
            m->settling.n -= sizeof number;
            continue;
        }
        c->open = true;
        for (int32_t i = c->first; i >= 0;) {
            const pn_new_return *r = &ELEMENT(m->call_returns, pn_new_return)[i];
            const int32_t other = ~r->to.frame;
            if (r->to.frame < 0 && ELEMENT(m->calls, pn_new_call)[other].frame < 0 &&
                !pn_buf_append(&m->settling, &other, sizeof other))
                return no_memory(m);
            i = r->next;
        }
    }
    return true;
}

/* Follows all paths from the places given; the state they lead to. */
static int32_t finish_step(pn_matcher *m) {
    while (m->work.n > 0) {
        pn_place p;
        m->work.n -= sizeof p;
        memcpy(&p, m->work.data + m->work.n, sizeof p);
        if (!follow(m, &p)) return -1;
    }
    const int32_t n = COUNT(m->out, uint64_t);
    uint64_t *items = ELEMENT(m->out, uint64_t);
    for (int32_t i = 0; i < n; i++) {
        const int32_t at = pn_item_at(items[i]), frame = pn_item_frame(items[i]);
        if (frame >= 0) continue;
        if (ELEMENT(m->calls, pn_new_call)[~frame].frame < 0 && !settle(m, ~frame)) return -1;
        items[i] = pn_item(at, ELEMENT(m->calls, pn_new_call)[~frame].frame);
    }
    return pn_state_of(m, items, (size_t)n, m->complete);
}

/* ---- steps ----------------------------------------------------------------------------------- */

int32_t pn_step_start(pn_matcher *m) {
    begin_step(m);
    if (!go_to(m, m->rtn->callees[0].start, 0, PN_BOTTOM_FRAME)) return -1;
    return finish_step(m);
}

int32_t pn_step_byte(pn_matcher *m, int32_t state, int32_t byte_class) {
    const unsigned byte = m->rtn->byte_of[byte_class];
    begin_step(m);
    for (int32_t i = 0; i < m->states[state].n; i++) {
        const uint64_t item = m->items[m->states[state].first + (size_t)i];
        const pn_rtn_node *node = &m->rtn->nodes[pn_item_at(item)];
        if (node->kind == PN_RTN_BYTES && pn_byte_set_has(&m->rtn->sets[node->what], byte) &&
            !go_to(m, node->next, 0, pn_item_frame(item)))
            return -1;
    }
    const int32_t next = m->work.n ? finish_step(m) : PN_DEAD_STATE;
    if (next >= 0) m->rows[(size_t)state * (size_t)m->rtn->n_classes + (size_t)byte_class] = next;
    return next;
}

int32_t pn_step_token(pn_matcher *m, int32_t state, int32_t token) {
    const bool ends = pn_token_trie_is_end(m->trie, token);
    begin_step(m);
    for (int32_t i = 0; i < m->states[state].n; i++) {
        const uint64_t item = m->items[m->states[state].first + (size_t)i];
        const pn_rtn_node *node = &m->rtn->nodes[pn_item_at(item)];
        const bool is_named = node->kind == PN_RTN_TOKEN, is_other = node->kind == PN_RTN_NOT_TOKEN;
        if ((!is_named && !is_other) || (is_other && ends)) continue;
        if ((m->token_ids[node->what] == token) == is_named &&
            !go_to(m, node->next, 0, pn_item_frame(item)))
            return -1;
    }
    return m->work.n ? finish_step(m) : PN_DEAD_STATE;
}

int32_t pn_step_union(pn_matcher *m, int32_t one, int32_t other) {
    if (one == other || other == PN_DEAD_STATE) return one;
    if (one == PN_DEAD_STATE) return other;
    const pn_match_state *const a = &m->states[one], *const b = &m->states[other];
    const bool complete = a->complete || b->complete;
    m->out.n = 0;
    if (!pn_buf_append(&m->out, m->items + a->first, (size_t)a->n * sizeof *m->items) ||
        !pn_buf_append(&m->out, m->items + b->first, (size_t)b->n * sizeof *m->items))
        return pn_matcher_no_memory(m);
    return pn_state_of(m, ELEMENT(m->out, uint64_t), m->out.n / sizeof(uint64_t), complete);
}
