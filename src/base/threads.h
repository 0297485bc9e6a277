/* threads.h: a team of worker threads that walk a plan together.
 *
 * pn_team_run calls fn(ctx, thread, n_threads) once on every thread (the caller is thread 0) and
 * returns when all have returned. Inside fn, pn_team_barrier joins all threads, and pn_team_claim
 * hands out work units by an atomic counter, so that a thread whose core was taken away does not
 * hold up the rest. Results must not depend on who computes a unit.
 *
 * Waiting spins and then sleeps on a condition, so an idle engine uses no CPU. fn runs under the
 * default floating-point environment on every thread, the caller's included, whose own is put
 * back afterwards. */
#ifndef PN_BASE_THREADS_H
#define PN_BASE_THREADS_H

#include "puna.h"

typedef struct pn_team pn_team;
typedef void (*pn_team_fn)(void *ctx, int32_t thread, int32_t n_threads);

/* n_threads >= 1, the calling thread included. */
puna_status pn_team_open(int32_t n_threads, pn_team **team, puna_error *err);
void pn_team_close(pn_team *team);
int32_t pn_team_size(const pn_team *team);
void pn_team_run(pn_team *team, pn_team_fn fn, void *ctx);

/* Waits until every thread of the team has arrived; memory written before is visible after. */
void pn_team_barrier(pn_team *team);
/* The next unclaimed unit of the current phase, 0..n_units-1, or -1 when all are taken. A phase
 * is the time between two barriers (or the start of fn and the first barrier); the barrier
 * starts the count anew. All threads pass the same n_units, and each must claim until it gets
 * -1. At most one claim loop per phase. */
int32_t pn_team_claim(pn_team *team, int32_t n_units);

#endif
