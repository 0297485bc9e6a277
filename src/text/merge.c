/* merge.c: see merge.h. */
#include "text/merge.h"

#include "base/mem.h"

#define HEAP_WAYS 8

bool pn_merge_add(pn_merge *merge, size_t start, size_t len, int32_t id) {
    if (merge->n == merge->cap) {
        const size_t cap = merge->cap ? merge->cap * 2 : 128;
        pn_symbol *symbols = pn_realloc(merge->symbols, cap, sizeof *symbols);
        if (!symbols) return false;
        merge->symbols = symbols;
        merge->cap = cap;
    }
    const int32_t at = (int32_t)merge->n++;
    merge->symbols[at] =
        (pn_symbol){at - 1, -1, (uint32_t)start, (uint32_t)len, id, PN_RANK_NONE, -1};
    if (at > 0) merge->symbols[at - 1].next = at;
    return true;
}

static bool heap_push(pn_merge *merge, uint64_t key) {
    if (merge->heap_n == merge->heap_cap) {
        const size_t cap = merge->heap_cap ? merge->heap_cap * 2 : 128;
        uint64_t *heap = pn_realloc(merge->heap, cap, sizeof *heap);
        if (!heap) return false;
        merge->heap = heap;
        merge->heap_cap = cap;
    }
    uint64_t *heap = merge->heap;
    size_t at = merge->heap_n++;
    while (at > 0) {
        const size_t parent = (at - 1) / HEAP_WAYS;
        if (heap[parent] <= key) break;
        heap[at] = heap[parent];
        at = parent;
    }
    heap[at] = key;
    return true;
}

static uint64_t heap_pop(pn_merge *merge) {
    uint64_t *heap = merge->heap;
    const uint64_t top = heap[0];
    const size_t n = --merge->heap_n;
    const uint64_t key = heap[n];
    size_t at = 0;
    for (;;) {
        const size_t first = at * HEAP_WAYS + 1;
        if (first >= n) break;
        const size_t end = first + HEAP_WAYS < n ? first + HEAP_WAYS : n;
        size_t least = first;
        for (size_t i = first + 1; i < end; i++)
            if (heap[i] < heap[least]) least = i;
        if (heap[least] >= key) break;
        heap[at] = heap[least];
        at = least;
    }
    heap[at] = key;
    return top;
}

/* Looks up the pair that begins at symbol `at` and queues it. */
static bool queue_pair(pn_merge *merge, int32_t at, pn_merge_pair pair, const void *ctx) {
    pn_symbol *left = &merge->symbols[at];
    left->rank = PN_RANK_NONE;
    if (left->next < 0) return true;
    uint32_t rank;
    if (!pair(ctx, left, &merge->symbols[left->next], &rank, &left->merged)) return true;
    left->rank = rank;
    return heap_push(merge, (uint64_t)rank << 32 | (uint32_t)at);
}

bool pn_merge_run(pn_merge *merge, pn_merge_pair pair, const void *ctx) {
    merge->heap_n = 0;
    for (size_t i = 0; i + 1 < merge->n; i++)
        if (!queue_pair(merge, (int32_t)i, pair, ctx)) return false;
    while (merge->heap_n > 0) {
        const uint64_t key = heap_pop(merge);
        const int32_t at = (int32_t)(uint32_t)key;
        pn_symbol *left = &merge->symbols[at];
        if (left->len == 0 || left->rank != (uint32_t)(key >> 32)) continue;
        pn_symbol *right = &merge->symbols[left->next];
        left->len += right->len;
        left->id = left->merged;
        left->next = right->next;
        if (right->next >= 0) merge->symbols[right->next].prev = at;
        right->len = 0;
        right->rank = PN_RANK_NONE;
        if (left->prev >= 0 && !queue_pair(merge, left->prev, pair, ctx)) return false;
        if (!queue_pair(merge, at, pair, ctx)) return false;
    }
    return true;
}

void pn_merge_free(pn_merge *merge) {
    pn_free(merge->symbols);
    pn_free(merge->heap);
    *merge = (pn_merge){0};
}
