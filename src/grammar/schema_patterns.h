/* schema_patterns.h: patterns as expressions, without an automaton. */
#ifndef PN_GRAMMAR_SCHEMA_PATTERNS_H
#define PN_GRAMMAR_SCHEMA_PATTERNS_H

#include "grammar/schema_emit.h"

/* ^ and $ are only where they begin and end the pattern or one of its alternatives. The rest is
 * about such patterns. */
bool pn_re_is_plain(const pn_re *re);
/* Every alternative begins with ^ (and ends with $). */
bool pn_re_is_anchored(const pn_re *re, bool end_too);

/* In how many ways a text can match: repetitions within repetitions. SOME: within one of few. */
typedef enum pn_tangle { PN_TANGLE_NONE, PN_TANGLE_SOME, PN_TANGLE_MUCH } pn_tangle;
pn_tangle pn_re_tangle(const pn_re *re);

/* The characters of the texts that match. */
const pn_expr *pn_re_expr(pn_build *b, const pn_re *re);
/* The pattern ^C{m,n}$, C one character, with the length's bounds worked into its counts; NULL: it
 * is none. */
const pn_re *pn_re_with_counts(pn_job *job, const pn_re *re, int64_t min, int64_t max);
/* A pattern that matches texts of at most `max` characters, all of which re matches too. NULL:
 * there is none, or the job failed. */
const pn_re *pn_re_shorten(pn_job *job, const pn_re *re, int64_t max);
/* The same for texts of at least `min` characters. */
const pn_re *pn_re_lengthen(pn_job *job, const pn_re *re, int64_t min);

#endif
