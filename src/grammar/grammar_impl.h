/* grammar_impl.h: the grammar object: immutable, but for the matchers that wait for their next
 * use. */
#ifndef PN_GRAMMAR_GRAMMAR_IMPL_H
#define PN_GRAMMAR_GRAMMAR_IMPL_H

#include <stdatomic.h>

#include "grammar/rtn.h"

typedef struct pn_matcher pn_matcher;

enum { PN_MAX_IDLE_MATCHERS = 4 };

struct puna_grammar {
    atomic_int refs;
    char *text;   /* the GBNF, NUL-terminated */
    char *report; /* NUL-terminated */
    pn_rtn rtn;   /* leads into text */
    _Atomic(pn_matcher *) idle[PN_MAX_IDLE_MATCHERS];
};

/* Opens a grammar from GBNF with a report of where it came from. */
puna_status pn_grammar_open(const char *gbnf, size_t n, const char *root, const char *report,
                            puna_grammar **grammar, puna_error *err);

#endif
