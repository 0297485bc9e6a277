/* pages.h: who owns which KV page.
 *
 * A page holds PN_PAGE_POSITIONS positions of all layers. Sequences refer to pages by number
 * through their page tables; a page may belong to several (forks, shared prefixes), and is copied
 * before one of them writes to it.
 *
 *   free    nobody refers to it
 *   idle    only the prefix cache does (prefix_cache.h): as good as free, and in a list by age
 *   in use  a sequence does */
#ifndef PN_RUN_PAGES_H
#define PN_RUN_PAGES_H

#include "base/error.h"

#define PN_NO_PAGE (-1)

typedef struct pn_pages {
    int32_t n_pages, n_free, n_idle;
    int32_t *refs;          /* [n_pages] */
    int32_t *free;          /* [n_pages] stack of free page numbers */
    bool *kept;             /* [n_pages] one of the references is the prefix cache's */
    int32_t *older, *newer; /* [n_pages] neighbours of an idle page, or PN_NO_PAGE */
    int32_t oldest, newest;
} pn_pages;

/* Of each page, beside the page itself. */
#define PN_BYTES_OF_PAGE (4 * sizeof(int32_t) + sizeof(bool))

puna_status pn_pages_open(pn_pages *pages, int32_t n_pages, puna_error *err);
void pn_pages_close(pn_pages *pages);
/* A page with one reference, or PN_NO_PAGE when none is free. */
int32_t pn_pages_take(pn_pages *pages);
void pn_pages_share(pn_pages *pages, int32_t page);
void pn_pages_drop(pn_pages *pages, int32_t page);
/* The prefix cache refers to the page too; and no longer. */
void pn_pages_keep(pn_pages *pages, int32_t page);
void pn_pages_release(pn_pages *pages, int32_t page);
/* Pages that nobody would miss. */
static inline int32_t pn_pages_available(const pn_pages *pages) {
    return pages->n_free + pages->n_idle;
}

#endif
