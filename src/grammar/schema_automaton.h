/* schema_automaton.h: what is demanded of a text or of a number's digits, demand by demand, and the
 * smallest deterministic automaton for all of them together. */
#ifndef PN_GRAMMAR_SCHEMA_AUTOMATON_H
#define PN_GRAMMAR_SCHEMA_AUTOMATON_H

#include "grammar/schema_decimal.h"
#include "grammar/schema_regex.h"

#define PN_NO_MAX INT64_MAX

typedef enum pn_demand_kind {
    PN_DEMAND_RE,     /* matches re */
    PN_DEMAND_LENGTH, /* has min to max characters */
    PN_DEMAND_TEXTS,  /* is one of texts */
    /* The rest is about decimals as JSON writes them without an exponent. */
    PN_DEMAND_SYNTAX,   /* is one, with at most max_whole and max_fraction digits; not -0 */
    PN_DEMAND_COMPARE,  /* its order to number is among the bits of wanted */
    PN_DEMAND_MULTIPLE, /* is a multiple of factor * 10^shift */
    PN_DEMAND_INTEGER   /* has no digit but 0 behind the point */
} pn_demand_kind;

enum { PN_LESS = 1, PN_EQUAL = 2, PN_GREATER = 4 };

typedef struct pn_nfa pn_nfa;

typedef struct pn_demand {
    pn_demand_kind kind;
    bool negative; /* the opposite is demanded */
    bool has_boundary;
    bool is_format; /* re comes from `format` */
    const pn_re *re;
    int64_t min, max;
    const pn_json_text *texts;
    int32_t n_texts;
    int32_t max_whole, max_fraction; /* max_whole -1: no limit */
    pn_decimal number;
    int32_t wanted, factor, shift;
    /* while an automaton is made */
    pn_nfa *nfa;
    pn_intern edges; /* of PN_DEMAND_TEXTS: (node, class) -> node - 1 */
    bool *is_text;   /* by node */
} pn_demand;

/* State 0 is the start, -1 the state without a way out. n = 0: nothing fulfils all demands. */
typedef struct pn_dfa {
    int32_t n;
    int32_t *next; /* [state * alphabet.n + class] */
    bool *accepts;
    pn_alphabet alphabet;
} pn_dfa;

typedef enum pn_built { PN_BUILT, PN_BUILD_FAILED, PN_BUILD_TOO_BIG } pn_built;

/* More than max_states (at most PN_DFA_MAX_STATES) before it is made small, or too much memory, is
 * PN_BUILD_TOO_BIG: no failure of the job, the caller may know another way. */
#define PN_DFA_MAX_STATES 60000
pn_built pn_automaton_build(pn_job *job, pn_demand *demands, int32_t n, int32_t max_states,
                            pn_dfa *out);
/* Drops states from which nothing is accepted, joins states that accept the same
 * (schema_minimise.c). */
bool pn_automaton_minimise(pn_job *job, pn_dfa *dfa);
/* Whether the text fulfils the demand, which is PN_DEMAND_RE. */
bool pn_demand_matches(pn_job *job, pn_demand *demand, pn_json_text text);

/* One demand as a machine (schema_machines.c). Steps as pn_nfa_step. */
bool pn_machine_start(pn_job *job, pn_demand *demand, const pn_alphabet *alphabet, int32_t *state);
int32_t pn_machine_step(pn_job *job, pn_demand *demand, int32_t state, uint32_t c, int32_t letter);
bool pn_machine_accepts(pn_job *job, const pn_demand *demand, int32_t state);

#endif
