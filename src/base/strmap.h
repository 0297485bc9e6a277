/* strmap.h: a hash map from byte strings to int32_t. Keys are not copied: they must outlive the
 * map. The hash is SipHash-1-3 with a key drawn per process, so a file cannot choose its
 * collisions. */
#ifndef PN_BASE_STRMAP_H
#define PN_BASE_STRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pn_strmap_slot pn_strmap_slot;
typedef struct pn_strmap {
    pn_strmap_slot *slots;
    size_t n, cap; /* cap: a power of two, or 0 */
} pn_strmap;

/* Makes room for n keys. False when memory runs out. A zeroed map is a valid empty one. */
bool pn_strmap_reserve(pn_strmap *map, size_t n);
/* Adds key -> value. *old gets the value already there (which is kept), or -1. False when memory
 * runs out. */
bool pn_strmap_add(pn_strmap *map, const char *key, size_t key_bytes, int32_t value, int32_t *old);
/* The value of key, or -1. Values must be >= 0. */
int32_t pn_strmap_get(const pn_strmap *map, const char *key, size_t key_bytes);
void pn_strmap_free(pn_strmap *map);

/* The hash itself, for other tables of untrusted keys. */
uint64_t pn_hash(const void *data, size_t bytes);

#endif
