/* mem.c: the allocator hook and what is built on it. Aligned blocks keep the address of the
 * underlying allocation in the word before them. */
#include "base/mem.h"

#include "puna.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *system_alloc(void *user, size_t bytes) {
    (void)user;
    return malloc(bytes);
}

static void *system_realloc(void *user, void *ptr, size_t bytes) {
    (void)user;
    return realloc(ptr, bytes);
}

static void system_free(void *user, void *ptr) {
    (void)user;
    free(ptr);
}

static const puna_allocator system_allocator = {system_alloc, system_realloc, system_free, NULL};
static puna_allocator current = {system_alloc, system_realloc, system_free, NULL};

void puna_set_allocator(const puna_allocator *allocator) {
    current = allocator ? *allocator : system_allocator;
}

void *pn_alloc(size_t bytes) {
    return current.alloc(current.user, bytes ? bytes : 1);
}

void *pn_calloc(size_t n, size_t size) {
    size_t bytes;
    if (!pn_mul_size(n, size, &bytes)) return NULL;
    void *p = pn_alloc(bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

void *pn_realloc(void *ptr, size_t n, size_t size) {
    size_t bytes;
    if (!pn_mul_size(n, size, &bytes)) return NULL;
    return current.realloc(current.user, ptr, bytes ? bytes : 1);
}

void pn_free(void *ptr) {
    if (ptr) current.free(current.user, ptr);
}

void puna_free(void *memory) {
    pn_free(memory);
}

void *pn_alloc_aligned(size_t bytes, size_t align) {
    size_t total;
    if (!pn_add_size(bytes, align + sizeof(void *), &total)) return NULL;
    char *raw = pn_alloc(total);
    if (!raw) return NULL;
    uintptr_t at = ((uintptr_t)raw + sizeof(void *) + align - 1) & ~(uintptr_t)(align - 1);
    char *p = raw + (at - (uintptr_t)raw);
    memcpy(p - sizeof(void *), &raw, sizeof raw);
    return p;
}

void pn_free_aligned(void *ptr) {
    if (!ptr) return;
    void *raw;
    memcpy(&raw, (char *)ptr - sizeof(void *), sizeof raw);
    pn_free(raw);
}

#define ARENA_BLOCK_BYTES ((size_t)64 * 1024)

struct pn_arena_block {
    pn_arena_block *next;
    size_t used, cap;
    _Alignas(16) unsigned char data[];
};

static size_t object_bytes(size_t bytes) {
    return pn_round_up(bytes ? bytes : 1, 16);
}

/* Large objects get a block of their own size. */
static size_t block_cap(size_t bytes) {
    return bytes > ARENA_BLOCK_BYTES / 4 ? bytes : ARENA_BLOCK_BYTES;
}

void *pn_arena_alloc(pn_arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX - ARENA_BLOCK_BYTES) return NULL;
    bytes = object_bytes(bytes);
    pn_arena_block *b = arena->head;
    if (!b || b->cap - b->used < bytes) {
        size_t cap = block_cap(bytes);
        pn_arena_block *fresh = pn_alloc(sizeof *fresh + cap);
        if (!fresh) return NULL;
        fresh->used = 0;
        fresh->cap = cap;
        /* a big block goes behind the current one, whose free space stays in use */
        if (b && cap != ARENA_BLOCK_BYTES) {
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            arena->head = fresh;
        }
        b = fresh;
    }
    void *p = b->data + b->used;
    b->used += bytes;
    return p;
}

void *pn_arena_calloc(pn_arena *arena, size_t n, size_t size) {
    size_t bytes;
    if (!pn_mul_size(n, size, &bytes)) return NULL;
    void *p = pn_arena_alloc(arena, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

char *pn_arena_copy(pn_arena *arena, const char *text, size_t text_bytes) {
    if (text_bytes == SIZE_MAX) return NULL;
    char *p = pn_arena_alloc(arena, text_bytes + 1);
    if (!p) return NULL;
    if (text_bytes) memcpy(p, text, text_bytes);
    p[text_bytes] = 0;
    return p;
}

void pn_arena_free(pn_arena *arena) {
    for (pn_arena_block *b = arena->head; b;) {
        pn_arena_block *next = b->next;
        pn_free(b);
        b = next;
    }
    arena->head = NULL;
}

size_t pn_arena_total(const size_t *sizes, size_t n) {
    size_t total = 0, room = 0; /* room: what is left of the current block */
    for (size_t i = 0; i < n; i++) {
        const size_t bytes = object_bytes(sizes[i]), cap = block_cap(bytes);
        if (bytes <= room) {
            room -= bytes;
            continue;
        }
        if (total == 0 || cap == ARENA_BLOCK_BYTES) room = cap - bytes;
        total += sizeof(pn_arena_block) + cap;
    }
    return total;
}

static bool reserve(pn_buf *buf, size_t more) {
    size_t need;
    if (!pn_add_size(buf->n, more, &need) || !pn_add_size(need, 1, &need)) return false;
    if (need <= buf->cap) return true;
    size_t cap = buf->cap ? buf->cap : 64;
    while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *data = pn_realloc(buf->data, cap, 1);
    if (!data) return false;
    buf->data = data;
    buf->cap = cap;
    return true;
}

bool pn_buf_append(pn_buf *buf, const void *data, size_t n) {
    if (!reserve(buf, n)) return false;
    if (n) memcpy(buf->data + buf->n, data, n);
    buf->n += n;
    buf->data[buf->n] = 0;
    return true;
}

bool pn_buf_printf(pn_buf *buf, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0 || !reserve(buf, (size_t)n)) return false;
    va_start(ap, format);
    (void)vsnprintf(buf->data + buf->n, (size_t)n + 1, format, ap);
    va_end(ap);
    buf->n += (size_t)n;
    return true;
}

void pn_buf_free(pn_buf *buf) {
    pn_free(buf->data);
    *buf = (pn_buf){0};
}
