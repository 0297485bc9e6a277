/* stops.h: texts that end a generation, found while the text comes.
 *
 * The stop that is complete first, byte by byte, wins; of several that end at the same byte the
 * one that began first, then the first of the list. So it does not matter how the text is cut into
 * tokens. Stops and text are valid UTF-8: a stop never begins inside a character. */
#ifndef PN_RUN_STOPS_H
#define PN_RUN_STOPS_H

#include "base/error.h"

#define PN_MAX_STOPS      256
#define PN_MAX_STOP_BYTES 1024

typedef struct pn_stops pn_stops;

/* Copies the n texts. No stops at all are *stops = NULL, which every function here accepts. */
puna_status pn_stops_open(const char *const *texts, int32_t n, pn_stops **stops, puna_error *err);
/* The same texts, at the beginning of a text. */
puna_status pn_stops_copy(const pn_stops *stops, pn_stops **copy, puna_error *err);
void pn_stops_free(pn_stops *stops);
/* Bytes of the longest stop; 0 without any. */
size_t pn_stops_longest(const pn_stops *stops);

/* A new text begins. */
void pn_stops_restart(pn_stops *stops);
/* Reads the next n bytes. Returns the index of the stop that is complete, or -1. The last *held
 * bytes of all that was read are not to be shown: from the beginning of that stop on, or what may
 * become the beginning of one. After a stop was found, restart before reading on. */
int32_t pn_stops_read(pn_stops *stops, const char *text, size_t n, size_t *held);

#endif
