/* strmap.c: open addressing with linear probing, at most 3/4 full. Hash: SipHash-1-3 (Aumasson,
 * Bernstein, "SipHash: a fast short-input PRF", 2012). */
#include "base/strmap.h"

#include "base/mem.h"
#include "base/os.h"

#include <stdatomic.h>
#include <string.h>

struct pn_strmap_slot {
    const char *key; /* NULL: free */
    size_t key_bytes;
    uint64_t hash;
    int32_t value;
};

static uint64_t rotl(uint64_t x, int n) {
    return (x << n) | (x >> (64 - n));
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[1] = rotl(v[1], 13), v[1] ^= v[0], v[0] = rotl(v[0], 32);
    v[2] += v[3], v[3] = rotl(v[3], 16), v[3] ^= v[2];
    v[0] += v[3], v[3] = rotl(v[3], 21), v[3] ^= v[0];
    v[2] += v[1], v[1] = rotl(v[1], 17), v[1] ^= v[2], v[2] = rotl(v[2], 32);
}

/* Drawn once; a race merely draws the same two words from the first writer. */
static uint64_t hash_key(void) {
    static _Atomic uint64_t key;
    uint64_t k = atomic_load(&key);
    if (k) return k;
    uint64_t fresh = pn_os_random() | 1;
    return atomic_compare_exchange_strong(&key, &k, fresh) ? fresh : k;
}

uint64_t pn_hash(const void *data, size_t bytes) {
    const unsigned char *p = data;
    const uint64_t k0 = hash_key(), k1 = k0 * 0x9e3779b97f4a7c15u;
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                     k1 ^ 0x7465646279746573u};
    size_t left = bytes;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t m;
        memcpy(&m, p, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t m = (uint64_t)bytes << 56;
    for (size_t i = 0; i < left; i++) m |= (uint64_t)p[i] << (8 * i);
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The slot of the key, or the free slot where it belongs. cap > 0. */
static pn_strmap_slot *find(const pn_strmap *map, const char *key, size_t key_bytes,
                            uint64_t hash) {
    size_t i = (size_t)hash & (map->cap - 1);
    for (;; i = (i + 1) & (map->cap - 1)) {
        pn_strmap_slot *s = &map->slots[i];
        if (!s->key) return s;
        if (s->hash == hash && s->key_bytes == key_bytes && memcmp(s->key, key, key_bytes) == 0)
            return s;
    }
}

bool pn_strmap_reserve(pn_strmap *map, size_t n) {
    if (n > SIZE_MAX / 4) return false;
    size_t cap = 16;
    while (cap - cap / 4 < n) cap *= 2;
    if (cap <= map->cap) return true;
    pn_strmap bigger = {pn_calloc(cap, sizeof(pn_strmap_slot)), map->n, cap};
    if (!bigger.slots) return false;
    for (size_t i = 0; i < map->cap; i++) {
        const pn_strmap_slot *s = &map->slots[i];
        if (s->key) *find(&bigger, s->key, s->key_bytes, s->hash) = *s;
    }
    pn_free(map->slots);
    *map = bigger;
    return true;
}

bool pn_strmap_add(pn_strmap *map, const char *key, size_t key_bytes, int32_t value, int32_t *old) {
    if (!pn_strmap_reserve(map, map->n + 1)) return false;
    const uint64_t hash = pn_hash(key, key_bytes);
    pn_strmap_slot *s = find(map, key, key_bytes, hash);
    if (old) *old = s->key ? s->value : -1;
    if (s->key) return true;
    *s = (pn_strmap_slot){key, key_bytes, hash, value};
    map->n++;
    return true;
}

int32_t pn_strmap_get(const pn_strmap *map, const char *key, size_t key_bytes) {
    if (map->cap == 0) return -1;
    const pn_strmap_slot *s = find(map, key, key_bytes, pn_hash(key, key_bytes));
    return s->key ? s->value : -1;
}

void pn_strmap_free(pn_strmap *map) {
    pn_free(map->slots);
    *map = (pn_strmap){0};
}
