/* mem.h: all memory of the library: the allocator hook, checked sizes, arenas.
 *
 * Nothing else in src/ calls malloc. Allocation returns NULL on failure and the caller turns
 * that into pn_fail_nomem. Tests replace the allocator to make the N-th allocation fail. */
#ifndef PN_BASE_MEM_H
#define PN_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* bytes may be 0: the result is then a valid pointer of no use, never NULL except on failure. */
void *pn_alloc(size_t bytes);
/* n * size bytes of zeros; NULL also when the product overflows. */
void *pn_calloc(size_t n, size_t size);
/* Grows or shrinks an array to n * size bytes; on failure ptr stays valid. */
void *pn_realloc(void *ptr, size_t n, size_t size);
void pn_free(void *ptr);

/* align: a power of two. Free with pn_free_aligned. */
void *pn_alloc_aligned(size_t bytes, size_t align);
void pn_free_aligned(void *ptr);

/* True and *out = a*b (a+b) unless it overflows. */
static inline bool pn_mul_size(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool pn_add_size(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline size_t pn_round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* A chain of blocks that are freed together. A zeroed pn_arena is a valid empty one. */
typedef struct pn_arena_block pn_arena_block;
typedef struct pn_arena {
    pn_arena_block *head;
} pn_arena;
/* 16-byte aligned memory that lives until pn_arena_free, or NULL. */
void *pn_arena_alloc(pn_arena *arena, size_t bytes);
void *pn_arena_calloc(pn_arena *arena, size_t n, size_t size);
/* A NUL-terminated copy of text. */
char *pn_arena_copy(pn_arena *arena, const char *text, size_t text_bytes);
void pn_arena_free(pn_arena *arena);
/* What an empty arena would take from the allocator for n objects of these sizes, in this order. */
size_t pn_arena_total(const size_t *sizes, size_t n);

/* A growing byte buffer, always NUL-terminated after the first append. A zeroed pn_buf is a
 * valid empty one. */
typedef struct pn_buf {
    char *data;
    size_t n, cap;
} pn_buf;
/* False when memory runs out; the buffer is then unchanged. */
bool pn_buf_append(pn_buf *buf, const void *data, size_t n);
bool pn_buf_printf(pn_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pn_buf_free(pn_buf *buf);

#endif
