/* merge.h: the merge loop that SentencePiece and byte-level BPE share.
 *
 * A text starts as a list of symbols (characters); again and again the neighbouring pair of the
 * lowest rank, of equal ranks the leftmost, becomes one symbol, until no pair merges. O(n log n)
 * for n symbols.
 *
 * Every live symbol stores the rank its pair with the next symbol has now. The heap holds keys
 * rank << 32 | index of the left symbol; a key whose rank is no longer the stored one is stale
 * and skipped. The heap has eight children per node: one cache line. */
#ifndef PN_TEXT_MERGE_H
#define PN_TEXT_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PN_RANK_NONE UINT32_MAX

typedef struct pn_symbol {
    int32_t prev, next;  /* neighbours, -1 at the ends */
    uint32_t start, len; /* bytes of the text; len 0: merged into its left neighbour */
    int32_t id;          /* what it is; -1: no token */
    uint32_t rank;       /* of the pair (this, next), PN_RANK_NONE: does not merge */
    int32_t merged;      /* what the pair becomes */
} pn_symbol;

/* Zeroed: empty. Reused from word to word, freed once a text is done. */
typedef struct pn_merge {
    pn_symbol *symbols;
    size_t n, cap;
    uint64_t *heap;
    size_t heap_n, heap_cap;
} pn_merge;

/* False: the two do not merge. Otherwise the rank (lower merges first) and the id of the merged
 * symbol. */
typedef bool (*pn_merge_pair)(const void *ctx, const pn_symbol *left, const pn_symbol *right,
                              uint32_t *rank, int32_t *id);

/* Empties the list. */
static inline void pn_merge_clear(pn_merge *merge) {
    merge->n = 0;
}
/* Appends a symbol. False when memory runs out. */
bool pn_merge_add(pn_merge *merge, size_t start, size_t len, int32_t id);
/* Merges until nothing does; symbols[0] starts the resulting chain. False when memory runs out. */
bool pn_merge_run(pn_merge *merge, pn_merge_pair pair, const void *ctx);
void pn_merge_free(pn_merge *merge);

#endif
