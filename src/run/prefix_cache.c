/* prefix_cache.c: a radix tree of KV pages; see prefix_cache.h. Node i is page i; the root has no
 * page and comes after them. */
#include "run/prefix_cache.h"

#include "backend/batch.h"
#include "base/mem.h"
#include "base/os.h"

#include <string.h>

enum { N = PN_PAGE_POSITIONS };

typedef struct node {
    int32_t above;       /* node */
    int32_t below;       /* root of the treap of its children, or PN_NO_PAGE */
    int32_t left, right; /* in the treap of its siblings */
    int32_t n_tokens;
    int32_t tokens[N];
} node;

struct pn_prefix_cache {
    pn_pages *pages;
    uint64_t seed; /* of the treaps' shape, which nobody can foresee */
    uint64_t n_evicted;
    int32_t root;
    node nodes[];
};

size_t pn_prefix_cache_bytes(int32_t n_pages) {
    return sizeof(pn_prefix_cache) + ((size_t)n_pages + 1) * sizeof(node);
}

puna_status pn_prefix_cache_open(pn_pages *pages, pn_prefix_cache **cache, puna_error *err) {
    const size_t n_bytes = pn_prefix_cache_bytes(pages->n_pages);
    pn_prefix_cache *c = pn_alloc(n_bytes);
    if (!c) return pn_fail_nomem(err, n_bytes, "the prefix cache");
    *c = (pn_prefix_cache){.pages = pages, .seed = pn_os_random(), .root = pages->n_pages};
    c->nodes[c->root] = (node){.above = PN_NO_PAGE, .below = PN_NO_PAGE, .n_tokens = N};
    *cache = c;
    return PUNA_OK;
}

void pn_prefix_cache_close(pn_prefix_cache *cache) {
    pn_free(cache);
}

uint64_t pn_prefix_cache_n_evicted(const pn_prefix_cache *cache) {
    return cache->n_evicted;
}

/* ---- order ----------------------------------------------------------------------------------- */

static int32_t common(const node *a, const int32_t *tokens, int32_t n) {
    const int32_t most = a->n_tokens < n ? a->n_tokens : n;
    int32_t same = 0;
    while (same < most && a->tokens[same] == tokens[same]) same++;
    return same;
}

/* Whether a node comes before tokens[0..n), of which it has the first `same`. */
static bool is_before(const node *a, const int32_t *tokens, int32_t n, int32_t same) {
    if (same == n) return false;
    return same == a->n_tokens || a->tokens[same] < tokens[same];
}

/* The child that has most in common with tokens[0..n), and how much. */
static int32_t closest(const pn_prefix_cache *c, int32_t above, const int32_t *tokens, int32_t n,
                       int32_t *same) {
    int32_t best = PN_NO_PAGE, i = c->nodes[above].below;
    *same = 0;
    while (i != PN_NO_PAGE && *same < n) {
        const node *a = &c->nodes[i];
        const int32_t m = common(a, tokens, n);
        if (m > *same) {
            best = i;
            *same = m;
        }
        i = is_before(a, tokens, n, m) ? a->right : a->left;
    }
    return best;
}

/* ---- treaps: a search tree by tokens, a heap by weight --------------------------------------- */

static uint64_t weight(const pn_prefix_cache *c, int32_t i) {
    uint64_t x = c->seed + (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static bool node_is_before(const pn_prefix_cache *c, int32_t i, const node *b) {
    const node *a = &c->nodes[i];
    return is_before(a, b->tokens, b->n_tokens, common(a, b->tokens, b->n_tokens));
}

static void link_child(pn_prefix_cache *c, int32_t i) {
    node *a = &c->nodes[i];
    int32_t *at = &c->nodes[a->above].below;
    while (*at != PN_NO_PAGE && weight(c, *at) > weight(c, i)) {
        node *b = &c->nodes[*at];
        at = node_is_before(c, *at, a) ? &b->right : &b->left;
    }
    /* what is here is cut in two, before and after the new one */
    int32_t rest = *at, *left = &a->left, *right = &a->right;
    while (rest != PN_NO_PAGE) {
        node *b = &c->nodes[rest];
        if (node_is_before(c, rest, a)) {
            *left = rest;
            left = &b->right;
            rest = *left;
        } else {
            *right = rest;
            right = &b->left;
            rest = *right;
        }
    }
    *left = *right = PN_NO_PAGE;
    *at = i;
}

static void unlink_child(pn_prefix_cache *c, int32_t i) {
    const node *a = &c->nodes[i];
    int32_t *at = &c->nodes[a->above].below;
    while (*at != i) {
        node *b = &c->nodes[*at];
        at = node_is_before(c, *at, a) ? &b->right : &b->left;
    }
    int32_t left = a->left, right = a->right;
    while (left != PN_NO_PAGE && right != PN_NO_PAGE) {
        if (weight(c, left) > weight(c, right)) {
            *at = left;
            at = &c->nodes[left].right;
            left = *at;
        } else {
            *at = right;
            at = &c->nodes[right].left;
            right = *at;
        }
    }
    *at = left != PN_NO_PAGE ? left : right;
}

/* ---- the cache ------------------------------------------------------------------------------- */

int32_t pn_prefix_cache_find(const pn_prefix_cache *c, int32_t above, const int32_t *tokens,
                             int32_t n, int32_t *pages) {
    int32_t done = 0, same = N;
    if (above == PN_NO_PAGE) above = c->root;
    for (int32_t i = 0; done < n && same == N; i++) {
        above = closest(c, above, tokens + done, n - done < N ? n - done : N, &same);
        if (same > 0) pages[i] = above;
        done += same;
    }
    return done;
}

int32_t pn_prefix_cache_add(pn_prefix_cache *c, int32_t above, const int32_t *tokens, int32_t n,
                            int32_t page) {
    int32_t same;
    if (above == PN_NO_PAGE) above = c->root;
    const int32_t other = closest(c, above, tokens, n, &same);
    if (same == n) return other;
    /* a part of what is added now */
    if (other != PN_NO_PAGE && same == c->nodes[other].n_tokens) pn_prefix_cache_remove(c, other);
    node *a = &c->nodes[page];
    a->above = above;
    a->below = PN_NO_PAGE;
    a->n_tokens = n;
    memcpy(a->tokens, tokens, (size_t)n * sizeof *tokens);
    link_child(c, page);
    pn_pages_keep(c->pages, page);
    return page;
}

void pn_prefix_cache_remove(pn_prefix_cache *c, int32_t page) {
    unlink_child(c, page);
    pn_pages_release(c->pages, page);
}

bool pn_prefix_cache_evict(pn_prefix_cache *c) {
    if (c->pages->n_idle == 0) return false;
    pn_prefix_cache_remove(c, c->pages->oldest);
    c->n_evicted++;
    return true;
}
