/* failing_allocator.h: an allocator that gives allocations_left blocks and then no more, for
 * tests that make every allocation fail in turn. */
#ifndef FAILING_ALLOCATOR_H
#define FAILING_ALLOCATOR_H

#include "puna.h"

#include <stdlib.h>

static long allocations_left;

static void *failing_alloc(void *user, size_t bytes) {
    (void)user;
    return allocations_left-- > 0 ? malloc(bytes) : NULL;
}

static void *failing_realloc(void *user, void *ptr, size_t bytes) {
    (void)user;
    return allocations_left-- > 0 ? realloc(ptr, bytes) : NULL;
}

static void plain_free(void *user, void *ptr) {
    (void)user;
    free(ptr);
}

static const puna_allocator failing_allocator = {failing_alloc, failing_realloc, plain_free, NULL};

#endif
