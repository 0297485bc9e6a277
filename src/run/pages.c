/* pages.c: reference counts and a stack of free pages. */
#include "run/pages.h"

#include "base/mem.h"

puna_status pn_pages_open(pn_pages *pages, int32_t n_pages, puna_error *err) {
    *pages = (pn_pages){.n_pages = n_pages, .n_free = n_pages};
    pages->refs = pn_calloc((size_t)n_pages, sizeof(int32_t));
    pages->free = pn_calloc((size_t)n_pages, sizeof(int32_t));
    if (!pages->refs || !pages->free)
        return pn_fail_nomem(err, (size_t)n_pages * 8, "the page table");
    for (int32_t i = 0; i < n_pages; i++) pages->free[i] = n_pages - 1 - i;
    return PUNA_OK;
}

void pn_pages_close(pn_pages *pages) {
    pn_free(pages->refs);
    pn_free(pages->free);
    *pages = (pn_pages){0};
}

int32_t pn_pages_take(pn_pages *pages) {
    if (pages->n_free == 0) return -1;
    const int32_t page = pages->free[--pages->n_free];
    pages->refs[page] = 1;
    return page;
}

void pn_pages_share(pn_pages *pages, int32_t page) {
    pages->refs[page]++;
}

void pn_pages_drop(pn_pages *pages, int32_t page) {
    if (--pages->refs[page] == 0) pages->free[pages->n_free++] = page;
}
