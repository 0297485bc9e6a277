/* metrics.h: what the server counts for Prometheus beside what the scheduler counts itself: how long
 * requests took, and how many responses of each status there were. */
#ifndef PUNA_SERVER_METRICS_H
#define PUNA_SERVER_METRICS_H

#include "puna.h"

typedef struct pn_metrics pn_metrics;

/* NULL without memory. */
pn_metrics *pn_metrics_open(void);
void pn_metrics_free(pn_metrics *metrics);

/* A FINISHED or FAILED event of the scheduler; other kinds are ignored. From any thread. */
void pn_metrics_request(pn_metrics *metrics, const puna_request_event *event);
/* A response that is complete, or was broken off. From any thread. */
void pn_metrics_response(pn_metrics *metrics, int status);

/* All of it with the scheduler's numbers in Prometheus' text format, to be freed; NULL without memory. */
char *pn_metrics_text(pn_metrics *metrics, puna_scheduler *scheduler, size_t *n_bytes);

#endif
