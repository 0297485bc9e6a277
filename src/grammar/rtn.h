/* rtn.h: a grammar as a recursive transition network over bytes (Woods, 1970).
 *
 * A node says what may come next and which node follows it; a rule that cannot be taken apart at
 * build time is called, and END returns to behind the call. Characters are the bytes of their UTF-8,
 * so a text may be cut anywhere. Nodes are shared: two with the same meaning and the same
 * continuation are one. Rules that are small and not recursive have no nodes of their own: they are
 * written out where they are used, which keeps the stacks of the matcher shallow. */
#ifndef PN_GRAMMAR_RTN_H
#define PN_GRAMMAR_RTN_H

#include "grammar/gbnf.h"

typedef enum pn_rtn_kind {
    PN_RTN_END,       /* of what was called */
    PN_RTN_ACCEPT,    /* of the whole text */
    PN_RTN_BYTES,     /* a byte of sets[what] */
    PN_RTN_TOKEN,     /* the token tokens[what] */
    PN_RTN_NOT_TOKEN, /* any other token */
    PN_RTN_SPLIT,     /* nothing: goes on at `what` or at `next` */
    PN_RTN_CALL,      /* callees[what] */
    PN_RTN_LOOP       /* loops[what]: its body min to max times */
} pn_rtn_kind;

enum { PN_RTN_END_NODE = 0, PN_RTN_ACCEPT_NODE = 1 };

#define PN_RTN_MAX_NODES ((int32_t)4 << 20)

typedef struct pn_rtn_node {
    uint32_t kind : 4, what : 28;
    int32_t next;
} pn_rtn_node;

typedef struct pn_byte_set {
    uint64_t words[4];
} pn_byte_set;

static inline bool pn_byte_set_has(const pn_byte_set *set, unsigned byte) {
    return set->words[byte >> 6] >> (byte & 63) & 1;
}

typedef struct pn_rtn_callee {
    int32_t start; /* node */
    bool nullable;
} pn_rtn_callee;

typedef struct pn_rtn_loop {
    int32_t callee; /* the body */
    uint32_t min;   /* 0 where the body may be empty */
    uint32_t max;   /* PN_GBNF_NO_MAX: no limit */
} pn_rtn_loop;

typedef struct pn_rtn {
    pn_rtn_node *nodes;
    pn_byte_set *sets;
    pn_rtn_callee *callees; /* callees[0] is the root rule */
    pn_rtn_loop *loops;
    pn_gbnf_token *tokens; /* their names lead into the source */
    int32_t n_nodes, n_sets, n_callees, n_loops, n_tokens;
    bool has_not_tokens;
    /* Bytes that no set tells apart are one class. */
    uint8_t class_of[256], byte_of[256];
    int32_t n_classes;
} pn_rtn;

/* gbnf: checked (pn_gbnf_check); its list of tokens is taken over. Zero *rtn before; pn_rtn_free
 * releases it also after a failure. */
puna_status pn_rtn_build(pn_gbnf *gbnf, pn_rtn *rtn, puna_error *err);
void pn_rtn_free(pn_rtn *rtn);

/* ---- while it is built ----------------------------------------------------------------------- */

/* A map from keys other than 0 to numbers. */
typedef struct pn_key_map {
    uint64_t *keys;
    int32_t *values;
    size_t n, cap;
} pn_key_map;

typedef struct pn_rtn_builder {
    const pn_gbnf *gbnf;
    pn_rtn *rtn;
    puna_error *err;
    puna_status status; /* the first failure */
    size_t cap_nodes;
    pn_key_map node_ids; /* by kind, what and next */
    pn_key_map built;    /* by tree node and continuation */
    pn_strmap set_ids;
    pn_arena set_arena; /* the sets, as keys of set_ids */
    pn_buf set_list;    /* of pn_byte_set * */
    uint32_t *sizes;    /* [gbnf->n_nodes] network nodes it becomes, saturating */
    bool *written_out;  /* [n_rules] */
    int32_t *callee_of; /* [n_rules]; -1: none yet */
    pn_buf callees;     /* of pn_rtn_callee */
    pn_buf bodies;      /* of int32_t: the callees' tree nodes */
    pn_buf loops;       /* of pn_rtn_loop */
    pn_buf work;
} pn_rtn_builder;

/* These return a node, or -1 after a failure; given -1 they return it. */
int32_t pn_rtn_node_of(pn_rtn_builder *b, pn_rtn_kind kind, int32_t what, int32_t next);
int32_t pn_rtn_split(pn_rtn_builder *b, int32_t one, int32_t other);
int32_t pn_rtn_bytes(pn_rtn_builder *b, const pn_byte_set *set, int32_t next);
/* The characters of a class, then next. rtn_class.c */
int32_t pn_rtn_class(pn_rtn_builder *b, const pn_gbnf_range *ranges, int32_t n_ranges,
                     int32_t next);

#endif
