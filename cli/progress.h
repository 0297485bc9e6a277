/* progress.h: how far long work has come, on stderr.
 *
 * On a terminal a bar that redraws itself and disappears at the end; elsewhere one line every 10
 * seconds (for job logs); nothing with -q, and nothing for work that is done within half a
 * second. */
#ifndef PUNA_CLI_PROGRESS_H
#define PUNA_CLI_PROGRESS_H

#include <stdbool.h>

typedef struct progress {
    const char *what; /* "loading", "prefill" */
    double begun_s;
    double shown_s; /* when it was last drawn; 0: never */
    double skipped; /* the fraction that took no time */
} progress;

void progress_begin(progress *p, const char *what);
/* fraction 0..1. note: a few words printed at the end, or "". */
void progress_update(progress *p, double fraction, const char *note);
/* A part that was found done already: it does not count for the time that is left. */
void progress_skip(progress *p, double fraction);
/* Takes the bar away. */
void progress_end(progress *p);

#endif
