/* schema_nfa.h: a regular expression as an automaton whose states are made when they are asked for.
 *
 * State 0 stands for "has matched, whatever follows". */
#ifndef PN_GRAMMAR_SCHEMA_NFA_H
#define PN_GRAMMAR_SCHEMA_NFA_H

#include "grammar/schema_regex.h"

/* More parts than this are not worked with: a repetition counts as often as it repeats. */
#define PN_NFA_MAX_NODES 20000

typedef struct pn_nfa pn_nfa;

/* How many parts the automaton of re has, at most PN_NFA_MAX_NODES + 1. */
int32_t pn_nfa_size(const pn_re *re);
/* re must not be larger than PN_NFA_MAX_NODES. NULL when the job failed. */
pn_nfa *pn_nfa_make(pn_job *job, const pn_re *re, bool has_boundary);
/* Numbers in the vectors of the states made so far. */
int32_t pn_nfa_vector_size(const pn_nfa *nfa);
/* The state before the first character. */
int32_t pn_nfa_start(const pn_nfa *nfa);
/* The state after c, -1 when no continuation can match, -2 when the job failed. */
int32_t pn_nfa_step(pn_job *job, pn_nfa *nfa, int32_t state, uint32_t c);
/* Whether a text that ends in this state matches. */
bool pn_nfa_accepts(pn_job *job, pn_nfa *nfa, int32_t state);

#endif
