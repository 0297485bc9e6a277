/* schema_rules.h: a grammar being made: rules of expressions, and their text in GBNF.
 *
 * Expressions are immutable and may be shared. Every function that makes one returns NULL when the
 * job has failed, and also when it is handed NULL, so calls can be nested. */
#ifndef PN_GRAMMAR_SCHEMA_RULES_H
#define PN_GRAMMAR_SCHEMA_RULES_H

#include "grammar/schema_job.h"
#include "grammar/schema_json.h"
#include "grammar/schema_sets.h"

typedef enum pn_expr_op {
    PN_EXPR_NEVER, /* matches no text */
    PN_EXPR_EMPTY,
    PN_EXPR_TEXT,
    PN_EXPR_SET, /* one character */
    PN_EXPR_SEQ,
    PN_EXPR_ALT,
    PN_EXPR_REPEAT,
    PN_EXPR_RULE
} pn_expr_op;

#define PN_EXPR_NO_MAX INT64_MAX
/* More repetitions are not counted: no text is that long. */
#define PN_EXPR_MOST 1000000000

typedef struct pn_expr pn_expr;
struct pn_expr {
    uint8_t op;    /* pn_expr_op */
    int32_t depth; /* of expressions within one another */
    int32_t n;     /* kids; of PN_EXPR_RULE the number of the rule */
    union {
        pn_json_text text;
        const pn_set *set;
        const pn_expr **kids;
        struct {
            const pn_expr *kid;
            int64_t min, max;
        };
    };
};

typedef struct pn_rule {
    const pn_expr *body;
    const char *name;
    bool productive, written;
} pn_rule;

typedef struct pn_rules {
    pn_job *job;
    pn_rule *list;
    int32_t n, cap;
    pn_intern names; /* in use; as code points of bytes */
} pn_rules;

typedef struct pn_expr_list {
    const pn_expr **list;
    int32_t n, cap;
} pn_expr_list;

bool pn_expr_add(pn_rules *rules, pn_expr_list *list, const pn_expr *expr);

const pn_expr *pn_expr_never(pn_rules *rules);
const pn_expr *pn_expr_empty(pn_rules *rules);
/* The text is not copied. */
const pn_expr *pn_expr_text(pn_rules *rules, const char *text, size_t n);
const pn_expr *pn_expr_word(pn_rules *rules, const char *text);
const pn_expr *pn_expr_set(pn_rules *rules, const pn_set *set);
const pn_expr *pn_expr_seq(pn_rules *rules, const pn_expr_list *list);
const pn_expr *pn_expr_alt(pn_rules *rules, const pn_expr_list *list);
const pn_expr *pn_expr_repeat(pn_rules *rules, const pn_expr *expr, int64_t min, int64_t max);
const pn_expr *pn_expr_optional(pn_rules *rules, const pn_expr *expr);
const pn_expr *pn_expr_rule(pn_rules *rules, int32_t rule);
/* Of two and three. */
const pn_expr *pn_expr_then(pn_rules *rules, const pn_expr *a, const pn_expr *b);
const pn_expr *pn_expr_three(pn_rules *rules, const pn_expr *a, const pn_expr *b, const pn_expr *c);
const pn_expr *pn_expr_or(pn_rules *rules, const pn_expr *a, const pn_expr *b);
/* A rule of its own when the expression is nested so deep that its text would be hard on a
 * parser. */
const pn_expr *pn_expr_shallow(pn_rules *rules, const pn_expr *expr, const char *name);

/* A rule without a body yet; its name is made of the hint's letters and digits. -1 when the job
 * failed. */
int32_t pn_rules_new(pn_rules *rules, const char *hint, size_t n);
/* A rule with a body, as an expression. */
const pn_expr *pn_rules_add(pn_rules *rules, const char *name, const pn_expr *body);
/* Finds out which rules match any text at all. */
bool pn_rules_check(pn_rules *rules);
/* Appends the grammar whose start is `root` (named so) to out, after pn_rules_check. */
bool pn_rules_write(pn_rules *rules, int32_t root, pn_buf *out);

#endif
