/* lock.h: what lets several threads share an object: a mutex, and a bell that one of them waits
 * for. Implemented by os_lock.c. */
#ifndef PN_BASE_LOCK_H
#define PN_BASE_LOCK_H

#include "puna.h"

typedef struct pn_mutex pn_mutex;
puna_status pn_mutex_open(pn_mutex **mutex, puna_error *err);
void pn_mutex_close(pn_mutex *mutex);
void pn_mutex_lock(pn_mutex *mutex);
void pn_mutex_unlock(pn_mutex *mutex);

/* A bell that was rung stays so until somebody has waited for it. Zeroed, or after a failed open, it
 * may be closed. */
typedef struct pn_bell {
    int in, out; /* ends of a pipe, plus one; 0: not open */
} pn_bell;
puna_status pn_bell_open(pn_bell *bell, puna_error *err);
void pn_bell_close(pn_bell *bell);
/* Any thread, and signal handlers. */
void pn_bell_ring(const pn_bell *bell);
/* Until it rings, at most `seconds` (0 or less: looks only); a signal may end it early. */
void pn_bell_wait(pn_bell *bell, double seconds);

#endif
