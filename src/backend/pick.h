/* pick.h: what of a row of logits is wanted, where not all of it is: the few values from which a
 * sampler can draw (src/run/sampler_pick.c), so that they alone leave a card.
 *
 * Logits are ordered by value, ties by ascending id; NaN counts as -infinity, +infinity as the
 * largest float, -0 as 0. The values themselves are handed out as they are. */
#ifndef PN_BACKEND_PICK_H
#define PN_BACKEND_PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PN_PICK_MAX_BEST = 1024,
    PN_PICK_MAX_IDS = 256,
    PN_PICK_BLOCK = 64 /* logits of a block: ids 64 b .. 64 b + 63 */
};

typedef struct pn_pick {
    int32_t n_best; /* this many of the first in order, 1..PN_PICK_MAX_BEST; 0: the whole row */
    int32_t n_ids;  /* and the logits of these tokens, at most PN_PICK_MAX_IDS */
    const int32_t *ids;
    /* > 0: also the sum over all i of w(i) = exp((logit(i) - best logit) scale), whose relative
     * error is at most pn_pick_error */
    double scale;
    /* 0..1: also the logits of the block in which the sum over ascending ids goes beyond random *
     * total; < 0: none */
    double random;
} pn_pick;

typedef struct pn_scored {
    int32_t id;
    float logit;
} pn_scored;

typedef struct pn_picked {
    int32_t n_best;        /* fewer than were asked for: no other token has more than -infinity */
    int32_t block;         /* -1: it was not found */
    double total, before;  /* the sum of w, and that of all blocks before this one */
    const pn_scored *best; /* [n_best] in no order */
    const float *of_ids;   /* [n_ids] */
    const float *of_block; /* [PN_PICK_BLOCK], of the last block as many as there are */
} pn_picked;

/* How far total and before may be off, in units of total; also what a sum of the same weights in
 * another order, in double, may be off. Each weight is off by less than 2^-45 (an argument of at
 * most 52, rounded three times; smaller weights count for nothing), and every addition adds 2^-53. */
static inline double pn_pick_error(int32_t n_vocab) {
    return 0x1p-40 + n_vocab * 0x1p-51;
}

#endif
