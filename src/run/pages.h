/* pages.h: who owns which KV page.
 *
 * A page holds PN_PAGE_POSITIONS positions of all layers. Sequences refer to pages by number
 * through their page tables; a page may belong to several (forks), and is copied before one of them
 * writes to it. */
#ifndef PN_RUN_PAGES_H
#define PN_RUN_PAGES_H

#include "base/error.h"

typedef struct pn_pages {
    int32_t n_pages, n_free;
    int32_t *refs; /* [n_pages] */
    int32_t *free; /* [n_pages] stack of free page numbers */
} pn_pages;

#define PN_BYTES_OF_PAGE 8 /* beside the page itself */

puna_status pn_pages_open(pn_pages *pages, int32_t n_pages, puna_error *err);
void pn_pages_close(pn_pages *pages);
/* A page with one reference, or -1 when none is free. */
int32_t pn_pages_take(pn_pages *pages);
void pn_pages_share(pn_pages *pages, int32_t page);
void pn_pages_drop(pn_pages *pages, int32_t page);

#endif
