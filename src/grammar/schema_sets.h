/* schema_sets.h: sets of code points, and the alphabet that some of them divide all code points
 * into.
 *
 * U+D800 to U+DFFF are in no text; whether a set contains them means nothing. */
#ifndef PN_GRAMMAR_SCHEMA_SETS_H
#define PN_GRAMMAR_SCHEMA_SETS_H

#include "grammar/schema_job.h"

#define PN_CODE_MAX 0x10ffffu

typedef struct pn_range {
    uint32_t lo, hi; /* both inside */
} pn_range;

/* Ranges ascend and do not touch. */
typedef struct pn_set {
    int32_t n;
    pn_range *list;
} pn_set;

/* A set of any ranges in any order; NULL when the job failed. */
const pn_set *pn_set_of(pn_job *job, const pn_range *ranges, int32_t n);
const pn_set *pn_set_one(pn_job *job, uint32_t lo, uint32_t hi);
const pn_set *pn_set_not(pn_job *job, const pn_set *set);
const pn_set *pn_set_and(pn_job *job, const pn_set *a, const pn_set *b);
bool pn_set_has(const pn_set *set, uint32_t c);
bool pn_set_is_all(const pn_set *set);

/* Classes of code points that no set of a list tells apart. */
typedef struct pn_alphabet {
    int32_t n, n_bounds;
    uint32_t *bounds;  /* interval i: bounds[i] to bounds[i + 1] - 1, the last to PN_CODE_MAX */
    int32_t *classes;  /* of interval i */
    uint32_t *samples; /* a code point of class c */
} pn_alphabet;

bool pn_alphabet_make(pn_job *job, const pn_set *const *sets, int32_t n, pn_alphabet *out);
int32_t pn_alphabet_class(const pn_alphabet *alphabet, uint32_t c);
/* The code points of the classes for which wanted[class] is set. */
const pn_set *pn_alphabet_set(pn_job *job, const pn_alphabet *alphabet, const bool *wanted);

#endif
