/* checksum.c: XXH64: four running products over blocks of 32 bytes, then the rest. */
#include "base/checksum.h"

#include <string.h>

#define PRIME_1 UINT64_C(0x9E3779B185EBCA87)
#define PRIME_2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME_3 UINT64_C(0x165667B19E3779F9)
#define PRIME_4 UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME_5 UINT64_C(0x27D4EB2F165667C5)

static uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static uint64_t read_64(const unsigned char *p) {
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static uint32_t read_32(const unsigned char *p) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static uint64_t add_64(uint64_t sum, uint64_t x) {
    return rotate(sum + x * PRIME_2, 31) * PRIME_1;
}

static uint64_t merge(uint64_t hash, uint64_t sum) {
    return (hash ^ add_64(0, sum)) * PRIME_1 + PRIME_4;
}

/* The blocks of 32 bytes; *p ends behind the last. */
static uint64_t add_blocks(const unsigned char **p, size_t n_blocks, uint64_t seed) {
    uint64_t a = seed + PRIME_1 + PRIME_2, b = seed + PRIME_2, c = seed, d = seed - PRIME_1;
    for (; n_blocks > 0; n_blocks--, *p += 32) {
        a = add_64(a, read_64(*p));
        b = add_64(b, read_64(*p + 8));
        c = add_64(c, read_64(*p + 16));
        d = add_64(d, read_64(*p + 24));
    }
    const uint64_t hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    return merge(merge(merge(merge(hash, a), b), c), d);
}

uint64_t pn_checksum(const void *data, size_t bytes, uint64_t seed) {
    const unsigned char *p = data;
    uint64_t hash = bytes < 32 ? seed + PRIME_5 : add_blocks(&p, bytes / 32, seed);
    hash += (uint64_t)bytes;
    size_t left = bytes % 32;
    for (; left >= 8; left -= 8, p += 8)
        hash = rotate(hash ^ add_64(0, read_64(p)), 27) * PRIME_1 + PRIME_4;
    if (left >= 4) {
        hash = rotate(hash ^ (uint64_t)read_32(p) * PRIME_1, 23) * PRIME_2 + PRIME_3;
        left -= 4;
        p += 4;
    }
    for (; left > 0; left--, p++) hash = rotate(hash ^ *p * PRIME_5, 11) * PRIME_1;
    hash = (hash ^ hash >> 33) * PRIME_2;
    hash = (hash ^ hash >> 29) * PRIME_3;
    return hash ^ hash >> 32;
}
