/* jinja_parser.h: what the two halves of the parser (expressions, statements) share. */
#ifndef PN_TMPL_JINJA_PARSER_H
#define PN_TMPL_JINJA_PARSER_H

#include "base/error.h"
#include "tmpl/jinja_ast.h"

/* Which names end a list of expressions without parentheses, beside the ends of tags and ")". */
typedef struct pn_parser {
    struct pn_tmpl *tmpl;
    const pn_token *at; /* never behind EOF */
    int32_t nesting;
    int32_t n_caller, n_varargs, n_kwargs; /* how often these names were read so far */
    const char *looking, *innermost;       /* for messages: tags that would end the open block */
    int32_t n_loops;                       /* open loops of this macro: break is allowed */
    puna_status status;
    puna_error *err;
} pn_parser;

/* All functions return NULL (or false) after a failure, which is then in p->status and *p->err. */
void *pn_parser_fail(pn_parser *p, const char *what, const char *detail);
void *pn_parser_alloc(pn_parser *p, size_t bytes);
pn_node *pn_parser_node(pn_parser *p, pn_node_kind kind, int32_t line);
/* One level deeper into recursion; false beyond PN_TMPL_MAX_NESTING. Leave by p->nesting--. */
bool pn_parser_enter(pn_parser *p);
bool pn_parser_is(const pn_parser *p, const char *name);
bool pn_parser_skip(pn_parser *p, const char *name);
bool pn_parser_expect(pn_parser *p, pn_token_kind kind);
/* Id of a name. */
bool pn_parser_intern(pn_parser *p, const char *text, size_t n, int32_t *id);

/* A growing list of nodes; at the end it is copied into the arena. */
typedef struct pn_node_list {
    pn_node **items;
    int32_t n, cap;
} pn_node_list;
bool pn_parser_add(pn_parser *p, pn_node_list *list, pn_node *node);
bool pn_parser_keep(pn_parser *p, pn_node_list *list, pn_node ***items, int32_t *n);

pn_node *pn_parse_expression(pn_parser *p, bool with_if);
/* Expressions divided by commas; end: a name that ends them, or NULL. */
pn_node *pn_parse_tuple(pn_parser *p, bool with_if, const char *end, bool in_parentheses);
/* A target of for, set, with: names, tuples of names, name.attribute when ns. */
pn_node *pn_parse_target(pn_parser *p, const char *end, bool ns);
/* Filters after a block tag: `| a | b(1)`; first: the first one without its bar. NULL without failure: none. */
pn_node *pn_parse_block_filters(pn_parser *p, bool first);

#endif
