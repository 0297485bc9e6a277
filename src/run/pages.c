/* pages.c: reference counts, a stack of free pages, and idle pages by age. */
#include "run/pages.h"

#include "base/mem.h"

puna_status pn_pages_open(pn_pages *pages, int32_t n_pages, puna_error *err) {
    const size_t n = (size_t)n_pages;
    *pages = (pn_pages){
        .n_pages = n_pages, .n_free = n_pages, .oldest = PN_NO_PAGE, .newest = PN_NO_PAGE};
    pages->refs = pn_calloc(n, sizeof(int32_t));
    pages->free = pn_calloc(n, sizeof(int32_t));
    pages->kept = pn_calloc(n, sizeof(bool));
    pages->older = pn_calloc(n, sizeof(int32_t));
    pages->newer = pn_calloc(n, sizeof(int32_t));
    if (!pages->refs || !pages->free || !pages->kept || !pages->older || !pages->newer)
        return pn_fail_nomem(err, n * PN_BYTES_OF_PAGE, "the page table");
    for (int32_t i = 0; i < n_pages; i++) pages->free[i] = n_pages - 1 - i;
    return PUNA_OK;
}

void pn_pages_close(pn_pages *pages) {
    pn_free(pages->refs);
    pn_free(pages->free);
    pn_free(pages->kept);
    pn_free(pages->older);
    pn_free(pages->newer);
    *pages = (pn_pages){0};
}

/* ---- idle pages ------------------------------------------------------------------------------ */

static void rest(pn_pages *p, int32_t page) {
    p->older[page] = p->newest;
    p->newer[page] = PN_NO_PAGE;
    if (p->newest == PN_NO_PAGE)
        p->oldest = page;
    else
        p->newer[p->newest] = page;
    p->newest = page;
    p->n_idle++;
}

static void rouse(pn_pages *p, int32_t page) {
    const int32_t older = p->older[page], newer = p->newer[page];
    if (older == PN_NO_PAGE)
        p->oldest = newer;
    else
        p->newer[older] = newer;
    if (newer == PN_NO_PAGE)
        p->newest = older;
    else
        p->older[newer] = older;
    p->n_idle--;
}

/* ---- references ------------------------------------------------------------------------------ */

int32_t pn_pages_take(pn_pages *pages) {
    if (pages->n_free == 0) return PN_NO_PAGE;
    const int32_t page = pages->free[--pages->n_free];
    pages->refs[page] = 1;
    return page;
}

void pn_pages_share(pn_pages *pages, int32_t page) {
    if (pages->refs[page]++ == 1 && pages->kept[page]) rouse(pages, page);
}

void pn_pages_drop(pn_pages *pages, int32_t page) {
    const int32_t left = --pages->refs[page];
    if (left == 1 && pages->kept[page])
        rest(pages, page);
    else if (left == 0)
        pages->free[pages->n_free++] = page;
}

void pn_pages_keep(pn_pages *pages, int32_t page) {
    pages->refs[page]++;
    pages->kept[page] = true;
}

void pn_pages_release(pn_pages *pages, int32_t page) {
    if (pages->refs[page] == 1) rouse(pages, page);
    pages->kept[page] = false;
    pn_pages_drop(pages, page);
}
