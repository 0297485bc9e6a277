/* checksum.h: a 64-bit checksum that is the same in every process and on every machine of one byte
 * order: XXH64, from its specification by Yann Collet (github.com/Cyan4973/xxHash, doc). It tells
 * damage apart, not forgery. (For hash tables of untrusted keys: pn_hash in strmap.h.) */
#ifndef PN_BASE_CHECKSUM_H
#define PN_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* seed: 0, or the checksum of what came before. */
uint64_t pn_checksum(const void *data, size_t bytes, uint64_t seed);

#endif
