/* workers.h: a few threads for whatever takes time but is not the model: JSON, templates, tokens,
 * schemas, and writing answers. Jobs begin in the order in which they were posted. */
#ifndef PUNA_SERVER_WORKERS_H
#define PUNA_SERVER_WORKERS_H

#include "puna.h"

typedef struct pn_workers pn_workers;

/* A job is a part of what it works on: no memory is taken when it is posted. It may be posted again as
 * soon as it runs. */
typedef struct pn_job pn_job;
struct pn_job {
    void (*run)(pn_job *job);
    pn_job *next;
};

puna_status pn_workers_open(int32_t n_threads, pn_workers **workers, puna_error *err);
/* Runs what is left, then ends the threads. */
void pn_workers_free(pn_workers *workers);
/* Returns when no job is left and none runs. */
void pn_workers_wait(pn_workers *workers);
/* From any thread. */
void pn_workers_post(pn_workers *workers, pn_job *job);

#endif
