/* options.h: structs of the public interface that begin with their own size. */
#ifndef PN_RUN_OPTIONS_H
#define PN_RUN_OPTIONS_H

#include <stddef.h>
#include <string.h>

/* Copies what the caller's struct and ours have in common; fields the caller does not know keep the
 * defaults already in *ours. theirs may be NULL. Both begin with a size_t size; ours keeps its own.
 */
static inline void pn_options_copy(void *ours, size_t our_size, const void *theirs) {
    size_t size;
    if (!theirs) return;
    memcpy(&size, theirs, sizeof size);
    if (size > our_size) size = our_size;
    if (size > sizeof size)
        memcpy((char *)ours + sizeof size, (const char *)theirs + sizeof size, size - sizeof size);
}

/* Fills a caller's struct of theirs->size bytes from ours; its size field is kept. */
static inline void pn_options_fill(void *theirs, const void *ours, size_t our_size) {
    size_t size;
    memcpy(&size, theirs, sizeof size);
    if (size > our_size) size = our_size;
    if (size > sizeof size)
        memcpy((char *)theirs + sizeof size, (const char *)ours + sizeof size, size - sizeof size);
}

#endif
