/* token_trie_impl.h: the layout of a token_trie, for token_trie.c and token_mask.c.
 *
 * Nodes are in preorder: the children of a node follow it, and `skip` leads behind its subtree.
 * Tokens are sorted by their text, so those of a subtree are neighbours in `sorted`. */
#ifndef PN_GRAMMAR_TOKEN_TRIE_IMPL_H
#define PN_GRAMMAR_TOKEN_TRIE_IMPL_H

#include "grammar/token_trie.h"

#include <stdbool.h>

typedef struct pn_trie_node {
    uint64_t groups;     /* of bytes that occur below this node */
    int32_t skip;        /* the first node that is not below */
    int32_t first_token; /* in `sorted`: of the subtree */
    int32_t n_tokens;    /* that end here */
    uint16_t depth;      /* bytes from the root; the root has 0 */
    uint8_t byte;
} pn_trie_node;

/* Texts longer than this are never sampled under a grammar. */
enum { PN_TRIE_MAX_DEPTH = 4096 };

struct pn_token_trie {
    uint64_t serial; /* no two tries of a process have the same */
    int32_t n_tokens, n_sorted, n_nodes, n_ends;
    int32_t max_depth;
    char *texts;          /* of all tokens */
    uint32_t *text_begin; /* [n_tokens + 1] */
    uint8_t *kinds;       /* pn_token_kind */
    int32_t *sorted;      /* tokens of text, by their text, ties by id */
    int32_t *ends;        /* tokens that end the text */
    pn_trie_node *nodes;
    /* A partition of the bytes into at most 64 groups, such that a grammar is likely to treat those
     * of one alike. */
    uint8_t group_of[256];
};

/* The text that a token adds; *n = 0 for those that add none and for what is no token. */
const char *pn_token_trie_text(const pn_token_trie *trie, int32_t token, size_t *n);
bool pn_token_trie_is_end(const pn_token_trie *trie, int32_t token);
/* The token with this text, one that adds no text before others; -1: none. */
int32_t pn_token_trie_find(const pn_token_trie *trie, const char *name, size_t n);

#endif
