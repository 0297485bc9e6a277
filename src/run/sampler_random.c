/* sampler_random.c: the random numbers of a sampler.
 *
 * Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC
 * 2011): ten rounds of multiplication and key mixing turn (counter, key) into 128 random bits. The
 * key is the seed and the counter says how many numbers the sampler has used, so the whole state is
 * one integer: copying a sampler copies its future, and no draw depends on anything but its place
 * in the sequence. */
#include "run/sampler_impl.h"

void pn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0;
        uint64_t b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

double pn_sampler_random(pn_sampler *sampler) {
    uint64_t n = sampler->n_random++;
    const uint32_t counter[4] = {(uint32_t)n, (uint32_t)(n >> 32), 0, 0};
    const uint32_t key[2] = {(uint32_t)sampler->seed, (uint32_t)(sampler->seed >> 32)};
    uint32_t bits[4];
    pn_philox(counter, key, bits);
    uint64_t u = ((uint64_t)bits[0] << 32 | bits[1]) >> 11;
    return (double)u * 0x1p-53;
}
