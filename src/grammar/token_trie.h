/* token_trie.h: the texts of a vocabulary's tokens as a tree of bytes, so that what a grammar allows
 * is found out once for all tokens that begin alike. Immutable once open; any number of threads. */
#ifndef PN_GRAMMAR_TOKEN_TRIE_H
#define PN_GRAMMAR_TOKEN_TRIE_H

#include "base/error.h"

typedef enum pn_token_kind {
    PN_TOKEN_OF_TEXT, /* adds its text */
    PN_TOKEN_SILENT,  /* adds no text; its text is only a name to call it by */
    PN_TOKEN_OF_END,  /* ends the text; the same */
    PN_TOKEN_NEVER    /* must not be sampled */
} pn_token_kind;

typedef struct pn_token_source {
    const char *text; /* valid during pn_token_trie_open */
    size_t n;
    pn_token_kind kind;
} pn_token_source;

typedef struct pn_token_trie pn_token_trie;

puna_status pn_token_trie_open(const pn_token_source *tokens, int32_t n_tokens,
                               pn_token_trie **trie, puna_error *err);
void pn_token_trie_free(pn_token_trie *trie);

#endif
