/* matcher.h: how far a text is in a grammar, and which tokens may come next.
 *
 * A matching is one text's place in a grammar: a number, cheap to copy; a copy kept aside is a place
 * to go back to. It belongs to a matcher, which holds what has been found out about the grammar so
 * far: copies share it, so they and their original are for one thread at a time. Matchers that
 * nobody uses any more wait in the grammar for the next one.
 *
 * The same text gives the same answers, whatever was asked before. */
#ifndef PN_GRAMMAR_MATCHER_H
#define PN_GRAMMAR_MATCHER_H

#include "grammar/token_trie.h"

typedef struct pn_matcher pn_matcher;

typedef struct pn_matching pn_matching;
struct pn_matching {
    pn_matcher *matcher;
    int32_t state;
    pn_matching *previous, *next; /* of the same matcher */
};

/* Begins a text. Takes a reference to the grammar. trie: the vocabulary, which must outlive the
 * matching, or NULL: then no token is known by its text, and there are no masks. Tokens that the
 * grammar names must be in the vocabulary. A closed or zeroed pn_matching may be closed again; an
 * open one must not be moved in memory. */
puna_status pn_matching_open(puna_grammar *grammar, const pn_token_trie *trie,
                             pn_matching *matching, puna_error *err);
void pn_matching_close(pn_matching *matching);
/* *copy, zeroed or open, stands where the original stands. */
void pn_matching_copy(const pn_matching *matching, pn_matching *copy);
/* Back to the beginning of a text. */
void pn_matching_restart(pn_matching *matching);

/* The text so far is one of the grammar's. */
bool pn_matching_is_complete(const pn_matching *matching);
/* No text of the grammar begins like this. */
bool pn_matching_is_dead(const pn_matching *matching);

/* Goes on by bytes, which may end inside a character; *n_taken (may be NULL) gets how many came
 * before the text was dead. PUNA_E_LIMIT: the grammar is too ambiguous for this text. */
puna_status pn_matching_text(pn_matching *matching, const char *text, size_t n, size_t *n_taken,
                             puna_error *err);
/* Goes on by a token: its text, or a token terminal of the grammar. Where the grammar does not allow
 * it the matching is dead. An end token changes nothing where the text is complete. */
puna_status pn_matching_token(pn_matching *matching, int32_t token, puna_error *err);

/* The tokens that may come next: bit t % 64 of bits[t / 64] for token t. Valid until the next call
 * with a matching of the same matcher. */
typedef struct pn_token_mask {
    const uint64_t *bits;
    int32_t n_allowed;
} pn_token_mask;
puna_status pn_matching_mask(pn_matching *matching, pn_token_mask *mask, puna_error *err);

#endif
