/* pace.h: how many threads of a team work in the next run.
 *
 * On a machine that others use too, a thread loses its core now and then, and the rest of the team
 * spins at the next barrier until it is back, with processor time that the scheduler takes away
 * again later. Fewer threads then do more: with n of them, of whose processor time a share s is
 * spent in long waits, n (1 - s) do something. From time to time one more is tried. */
#ifndef PN_BASE_PACE_H
#define PN_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PN_PACE_PATIENCE      32  /* runs until one more thread is tried, at first */
#define PN_PACE_MOST_PATIENCE 256 /* twice as many after every try that failed, up to these */

typedef struct pn_pace {
    int32_t n_most; /* threads of the team */
    int32_t n;      /* of the next run, 1..n_most */
    int32_t patience, left;
    bool trying; /* n has just been raised */
} pn_pace;

static inline pn_pace pn_pace_of(int32_t n_threads) {
    return (pn_pace){.n_most = n_threads,
                     .n = n_threads,
                     .patience = PN_PACE_PATIENCE,
                     .left = PN_PACE_PATIENCE};
}

/* After a run: processor time of all its threads together, and what of it went into waits so long that
 * somebody must have lost his core. */
static inline void pn_pace_after(pn_pace *p, double used, double waited) {
    const double share = used > 0 ? waited / used : 0;
    const double most = p->n < 4 ? 1.0 / p->n : 0.25;
    if (p->n > 1 && share > most) {
        const int32_t useful = (int32_t)(p->n * (1 - share));
        if (p->trying && 2 * p->patience <= PN_PACE_MOST_PATIENCE) p->patience *= 2;
        p->n = p->trying || useful > p->n - 1 ? p->n - 1 : useful < 1 ? 1 : useful;
        p->left = p->patience;
        p->trying = false;
        return;
    }
    if (p->trying) p->patience = PN_PACE_PATIENCE;
    p->trying = false;
    if (p->n == p->n_most || --p->left > 0) return;
    p->n++;
    p->left = p->patience;
    p->trying = true;
}

#endif
