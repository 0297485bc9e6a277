/* gbnf.h: a grammar in GBNF as a tree.
 *
 * The notation is llama.cpp's (its grammars/README.md):
 *
 *   name ::= sequence | sequence          | may be followed by newlines; an alternative may be empty
 *   "text"  [a-z^]  [^a-z]  .             characters: Unicode code points; escapes \t \r \n \\ \" \[ \] \-
 *                                         \xHH \uHHHH \UHHHHHHHH
 *   name  ( ... )                         another rule; a group, in which newlines are blanks
 *   <[10]>  <think>  !<[10]>  !<think>    a token by its id or by its text, and every token but that one
 *   x*  x+  x?  x{m}  x{m,}  x{m,n}       repetition of what stands before
 *   # comment                             to the end of the line
 *
 * A rule that is defined twice counts as it was defined last. Beyond llama.cpp, names may have
 * underscores, and the two halves of a surrogate pair in a text are one character.
 *
 * The tree is an array in which children come before their parents, so that nothing needs recursion:
 * neither the nesting nor the number of rules is bounded but by the memory limits below. */
#ifndef PN_GRAMMAR_GBNF_H
#define PN_GRAMMAR_GBNF_H

#include "base/error.h"
#include "base/mem.h"
#include "base/strmap.h"

typedef enum pn_gbnf_kind {
    PN_GBNF_EMPTY,
    PN_GBNF_TEXT,  /* bytes[a .. a+b) */
    PN_GBNF_CLASS, /* ranges[a .. a+b) */
    PN_GBNF_TOKEN, /* tokens[a]; b: any token but that */
    PN_GBNF_RULE,  /* rules[a] */
    PN_GBNF_SEQ,   /* children[a .. a+b) one after another, b >= 2 */
    PN_GBNF_ALT,   /* one of children[a .. a+b), b >= 2 */
    PN_GBNF_REPEAT /* node a, min to max times; max PN_GBNF_NO_MAX: no limit */
} pn_gbnf_kind;

#define PN_GBNF_NO_MAX UINT32_MAX
/* A repetition that allows more than this many is the same as one without limit for any text that
 * can be handed over. */
#define PN_GBNF_MOST 0x7ffffffeu

#define PN_GBNF_MAX_BYTES ((size_t)32 << 20)
#define PN_GBNF_MAX_NODES ((size_t)4 << 20)

typedef struct pn_gbnf_node {
    uint8_t kind;
    bool nullable; /* may derive the empty text; pn_gbnf_check */
    int32_t a, b;
    uint32_t min, max;
} pn_gbnf_node;

/* Code points first to last; the ranges of a class are in order and do not touch. */
typedef struct pn_gbnf_range {
    uint32_t first, last;
} pn_gbnf_range;

/* A token terminal. name NULL: the token with this id. */
typedef struct pn_gbnf_token {
    int32_t id;
    const char *name; /* with its angle brackets; leads into the source */
    size_t name_bytes;
} pn_gbnf_token;

typedef struct pn_gbnf_rule {
    const char *name; /* leads into the source */
    size_t name_bytes;
    const char *at;  /* where it is first mentioned */
    int32_t body;    /* node, or -1: not defined */
    int32_t first;   /* its nodes are first .. body */
    bool nullable;   /* pn_gbnf_check */
    bool recursive;  /* can be reached from itself */
    int32_t in_turn; /* position in `order` */
} pn_gbnf_rule;

typedef struct pn_gbnf {
    const char *source;
    size_t source_bytes;
    /* Node 0 is PN_GBNF_EMPTY, the only one, child of many. */
    pn_gbnf_node *nodes;
    int32_t *children;
    char *bytes;
    pn_gbnf_range *ranges;
    pn_gbnf_token *tokens;
    pn_gbnf_rule *rules;
    int32_t n_nodes, n_children, n_tokens, n_rules;
    int32_t root;
    int32_t *order; /* the rules, those that others are made of first; pn_gbnf_check */
    pn_strmap names;
} pn_gbnf;

/* Reads source, which must outlive *gbnf: every rule that is used is defined, and `root` too.
 * Zero *gbnf before; pn_gbnf_free releases it also after a failure. */
puna_status pn_gbnf_parse(const char *source, size_t n, const char *root, pn_gbnf *gbnf,
                          puna_error *err);
/* Finds what may be empty and what is recursive; refuses left recursion. */
puna_status pn_gbnf_check(pn_gbnf *gbnf, puna_error *err);
void pn_gbnf_free(pn_gbnf *gbnf);

/* Line and column (in characters) of a byte of the source, from 1. */
void pn_gbnf_place(const pn_gbnf *gbnf, const char *at, int32_t *line, int32_t *column);

/* Sorts ascending. */
void pn_sort_u64(uint64_t *keys, size_t n);

#endif
