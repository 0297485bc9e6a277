/* matcher_impl.h: the inside of a matcher, shared by the matcher_*.c files and token_mask.c.
 *
 * The network (rtn.h) is followed along all paths at once. Where a path stands is an item: a node,
 * and a frame that says where the call it is in returns to. A frame is the set of all its returns,
 * each a node, a count (how often a loop's body has come) and the frame of that call in turn: a stack
 * whose equal parts exist once (Tomita's graph-structured stack, 1987). A frame that only returns to
 * an END is the frame of that END, so recursion at the end of a rule takes no memory.
 *
 * A state is the set of items after some text, each at a node that takes a byte or a token. Frames
 * and states with the same contents are the same number, so what a byte leads to is worked out once
 * and then looked up: the matcher is an automaton that is built as it is used. When it has grown
 * beyond its limit, all but the states in use and what they stand on is thrown away.
 *
 * Left recursion is refused when a grammar is read. So the frames of a state lead to earlier ones
 * only, and a frame's number is above those of the frames it returns to. */
#ifndef PN_GRAMMAR_MATCHER_IMPL_H
#define PN_GRAMMAR_MATCHER_IMPL_H

#include "grammar/grammar_impl.h"
#include "grammar/matcher.h"
#include "grammar/token_trie_impl.h"

enum {
    PN_DEAD_STATE = 0,
    PN_START_STATE = 1,
    PN_BOTTOM_FRAME = 0, /* returns to ACCEPT */
    PN_UNKNOWN = -1,     /* in a row: not worked out yet */
    PN_TOKEN_ANY = -1    /* a token of text that no terminal names */
};

typedef struct pn_return {
    int32_t at; /* node */
    uint32_t count;
    int32_t frame;
} pn_return;

typedef struct pn_frame {
    size_t first; /* returns[first .. first + n) */
    int32_t n;
    uint32_t hash;
    uint32_t stamp; /* of the last look for returns that others imply */
} pn_frame;

/* An item as a number that sorts by frame, then node. */
static inline uint64_t pn_item(int32_t at, int32_t frame) {
    return (uint64_t)(uint32_t)frame << 32 | (uint32_t)at;
}
static inline int32_t pn_item_at(uint64_t item) {
    return (int32_t)(uint32_t)item;
}
static inline int32_t pn_item_frame(uint64_t item) {
    return (int32_t)(item >> 32);
}

typedef struct pn_match_state {
    size_t first; /* items[first .. first + n) */
    int32_t n;
    uint32_t hash;
    int32_t mask;     /* number of its token mask, or PN_UNKNOWN */
    bool complete;    /* the text may end here */
    bool has_tokens;  /* an item waits for a token */
    bool loops_known; /* `loops` is filled in */
    uint64_t loops;   /* groups of bytes (token_trie_impl.h) that lead back to this state */
} pn_match_state;

/* A call in the step under way; its frame is made when all returns are known. */
typedef struct pn_new_call {
    int32_t first; /* of its new_returns, or -1 */
    int32_t frame; /* or -1: not made yet */
    bool open;     /* its frame is being made */
} pn_new_call;

typedef struct pn_new_return {
    pn_return to; /* to.frame < 0: ~ the number of a new call */
    int32_t next;
} pn_new_return;

/* A place visited in the step under way; frame as in pn_new_return. */
typedef struct pn_place {
    uint32_t stamp;
    int32_t at;
    uint32_t count;
    int32_t frame;
} pn_place;

struct pn_matcher {
    puna_grammar *grammar; /* NULL while it waits in the grammar */
    const pn_rtn *rtn;
    const pn_token_trie *trie;
    uint64_t trie_serial;
    int32_t *token_ids; /* [rtn->n_tokens] */
    pn_matching *users;

    pn_return *returns;
    size_t n_returns, cap_returns;
    pn_frame *frames;
    int32_t n_frames, cap_frames;
    int32_t *frame_slots; /* hash table of numbers; -1: free */
    size_t cap_frame_slots;

    uint64_t *items;
    size_t n_items, cap_items;
    pn_match_state *states;
    int32_t n_states, cap_states;
    int32_t *state_slots;
    size_t cap_state_slots;
    int32_t *rows; /* [cap_states][n_classes]: the state after a byte */

    uint64_t *masks; /* [cap_masks][mask_words] */
    int32_t *mask_counts;
    int32_t n_masks, cap_masks;
    size_t mask_words;
    int32_t *walk; /* [depth of the trie + 1]: states along a path */

    size_t limit;      /* bytes in use beyond which it is collected */
    size_t max_left;   /* bytes that may be left of it then */
    uint64_t max_work; /* places that one call may visit */

    /* the step under way */
    puna_error *err;
    puna_status status;
    uint64_t work_left;
    bool complete;
    uint32_t stamp;
    uint32_t *call_stamps; /* [n_callees]: the step in which call_numbers holds */
    int32_t *call_numbers;
    pn_place *places; /* hash table */
    size_t n_places, cap_places;
    pn_buf work;         /* of pn_place */
    pn_buf out;          /* of item; frame as in pn_new_return */
    pn_buf calls;        /* of pn_new_call */
    pn_buf call_returns; /* of pn_new_return */
    pn_buf gathered;     /* of pn_return */
    pn_buf settling;     /* of int32_t: calls */
    pn_buf looking;      /* of int32_t: frames */
    pn_buf implied;      /* of bool */
    uint32_t implied_stamp;
};

/* Begins a call that goes on by n_bytes: errors go to err, and what may be visited is bounded. */
void pn_matcher_begin(pn_matcher *m, size_t n_bytes, puna_error *err);

/* Without a vocabulary, a token that the grammar names gets a number of its own: that of a name, or
 * PN_TOKEN_ANY; and going on by such a token or by its text. */
int32_t pn_matcher_named(const pn_matcher *m, const char *name, size_t n);
puna_status pn_matching_named(pn_matching *matching, int32_t token, const char *text, size_t n,
                              puna_error *err);

/* ---- matcher_store.c: frames and states, each once ------------------------------------------- */

/* Sorts by frame, node and count; returns how many are different. */
size_t pn_sort_returns(pn_return *list, size_t n);
/* The element of a sorted list that is the same, or NULL. */
const pn_return *pn_find_return(const pn_return *list, size_t n, const pn_return *wanted);
/* These return a number, or -1 with matcher->status set. The returns are sorted and different; the
 * items are sorted here, and duplicates removed. */
int32_t pn_frame_of(pn_matcher *m, const pn_return *returns, size_t n);
int32_t pn_state_of(pn_matcher *m, uint64_t *items, size_t n, bool complete);
/* Bytes of what is stored. */
size_t pn_matcher_bytes(const pn_matcher *m);
/* Throws away all but the states of open matchings and roots[0..n), whose numbers change. To be
 * called wherever no other state's number is kept. False: too much is left (status is set). */
bool pn_matcher_collect(pn_matcher *m, int32_t *roots, size_t n);
static inline bool pn_matcher_is_full(const pn_matcher *m) {
    return pn_matcher_bytes(m) > m->limit;
}
int32_t pn_matcher_no_memory(pn_matcher *m);
void pn_matcher_free(pn_matcher *m);

/* ---- matcher_step.c: from a state to the next ------------------------------------------------ */

/* The state after a byte of the class, not looked up in the row; the state after a token terminal;
 * all items of two states. -1 with status set. */
int32_t pn_step_byte(pn_matcher *m, int32_t state, int32_t byte_class);
int32_t pn_step_token(pn_matcher *m, int32_t state, int32_t token);
int32_t pn_step_union(pn_matcher *m, int32_t one, int32_t other);
/* The state in which every text begins. */
int32_t pn_step_start(pn_matcher *m);

static inline int32_t pn_step(pn_matcher *m, int32_t state, unsigned char byte) {
    const int32_t byte_class = m->rtn->class_of[byte];
    const int32_t next = m->rows[(size_t)state * (size_t)m->rtn->n_classes + (size_t)byte_class];
    return next != PN_UNKNOWN ? next : pn_step_byte(m, state, byte_class);
}

#endif
