/* prefix_cache.h: what has been computed for which beginnings of texts.
 *
 * A radix tree over token ids. A node is a KV page: it stands for the up to PN_PAGE_POSITIONS tokens
 * whose keys and values the page holds, after those of the pages above it.
 *
 *   root -- [64 tokens: the system prompt] -- [64 more] -- [64 of a question] -- [17: its end]
 *                                                     \--- [64 of another one]
 *
 * Only full pages have pages below them, and no page's tokens begin with those of another page at
 * the same place. The cache has one reference to each of its pages. A sequence that holds a page
 * holds all those above it, so pages become idle from the leaves upwards and the page that has been
 * idle longest has none below it: it is the next to go.
 *
 * Children of a page are a search tree in the order of their tokens (a treap), because the longest
 * common beginning is that with a neighbour in this order: a lookup compares a page's tokens with
 * those of about log2(children) others. All memory is taken at open. */
#ifndef PN_RUN_PREFIX_CACHE_H
#define PN_RUN_PREFIX_CACHE_H

#include "run/pages.h"

typedef struct pn_prefix_cache pn_prefix_cache;

/* pages must outlive the cache. */
puna_status pn_prefix_cache_open(pn_pages *pages, pn_prefix_cache **cache, puna_error *err);
void pn_prefix_cache_close(pn_prefix_cache *cache);
/* What opening takes. */
size_t pn_prefix_cache_bytes(int32_t n_pages);

/* Follows tokens[0..n) from below page `above` (PN_NO_PAGE: from the beginning): writes the pages
 * that hold them, of the last one perhaps only some positions, and returns how many tokens that are.
 * pages [n / PN_PAGE_POSITIONS, rounded up]. No reference is taken. */
int32_t pn_prefix_cache_find(const pn_prefix_cache *cache, int32_t above, const int32_t *tokens,
                             int32_t n, int32_t *pages);
/* Puts a page with n tokens (1 to PN_PAGE_POSITIONS) below `above`, which is full and in the cache.
 * Returns the page that the cache has for them: this one or one that was there before. */
int32_t pn_prefix_cache_add(pn_prefix_cache *cache, int32_t above, const int32_t *tokens, int32_t n,
                            int32_t page);
/* Takes a page that has none below it out of the cache. */
void pn_prefix_cache_remove(pn_prefix_cache *cache, int32_t page);
/* Frees the page that has been idle longest; false when none is idle. */
bool pn_prefix_cache_evict(pn_prefix_cache *cache);
uint64_t pn_prefix_cache_n_evicted(const pn_prefix_cache *cache);

#endif
