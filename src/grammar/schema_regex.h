/* schema_regex.h: regular expressions of `pattern` (ECMA-262, flag u) as trees.
 *
 * A pattern holds for a text when it matches anywhere in it. Refused by name: back references,
 * Unicode properties, look-behind, and look-ahead anywhere but right behind a leading ^, where it
 * is the same as a second pattern. */
#ifndef PN_GRAMMAR_SCHEMA_REGEX_H
#define PN_GRAMMAR_SCHEMA_REGEX_H

#include "grammar/schema_json.h"
#include "grammar/schema_sets.h"

#define PN_RE_MAX_DEPTH  200
#define PN_RE_MAX_COUNT  1000000000
#define PN_RE_NO_MAX     (-1)
#define PN_RE_MAX_AHEADS 8

typedef enum pn_re_op {
    PN_RE_EMPTY,
    PN_RE_SET,
    PN_RE_SEQ,
    PN_RE_ALT,
    PN_RE_REPEAT,
    PN_RE_BEGIN,    /* ^ */
    PN_RE_END,      /* $ */
    PN_RE_BOUNDARY, /* \b */
    PN_RE_INSIDE    /* \B */
} pn_re_op;

typedef struct pn_re pn_re;
struct pn_re {
    pn_re_op op;
    const pn_set *set;
    int32_t min, max; /* of PN_RE_REPEAT; max PN_RE_NO_MAX: no limit */
    int32_t n;
    const pn_re **kids;
};

typedef struct pn_regex {
    const pn_re *root;
    int32_t n_aheads;
    struct {
        const pn_re *root; /* begins with ^ */
        bool positive;
    } aheads[PN_RE_MAX_AHEADS];
    bool has_boundary; /* \b or \B somewhere */
} pn_regex;

/* NULL when the job failed. */
const pn_regex *pn_regex_parse(pn_job *job, pn_json_text pattern);

/* Letters, digits and _, which \b is about. */
bool pn_re_is_word(uint32_t c);
/* Least and greatest number of code points a tree matches; *max PN_RE_NO_MAX: no limit. */
void pn_re_lengths(const pn_re *re, int64_t *min, int64_t *max);

#endif
