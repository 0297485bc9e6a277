/* digest.c: SHA-256 and SHA-1 as FIPS 180-4 defines them. */
#include "digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hub_base.h"

static const uint32_t sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate_right(uint32_t x, int n) {
    return x >> n | x << (32 - n);
}

static uint32_t rotate_left(uint32_t x, int n) {
    return x << n | x >> (32 - n);
}

static void load_block(uint32_t *w, const unsigned char *block) {
    for (int i = 0; i < 16; i++, block += 4) {
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 |
               block[3];
    }
}

static void sha256_block(uint32_t *state, const unsigned char *block) {
    uint32_t w[64];
    load_block(w, block);
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + sha256_constants[i] + w[i];
        uint32_t s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t1;
        d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

static void sha1_block(uint32_t *state, const unsigned char *block) {
    static const uint32_t constants[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80];
    load_block(w, block);
    for (int i = 16; i < 80; i++) {
        w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20              ? (b & c) | (~b & d)
                     : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d)
                                         : b ^ c ^ d;
        uint32_t t = rotate_left(a, 5) + f + e + constants[i / 20] + w[i];
        e = d, d = c, c = rotate_left(b, 30), b = a, a = t;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

static void take_block(digest *d, const unsigned char *block) {
    if (d->is_sha1) {
        sha1_block(d->state, block);
    } else {
        sha256_block(d->state, block);
    }
}

void digest_begin_sha256(digest *d) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memset(d, 0, sizeof *d);
    memcpy(d->state, start, sizeof start);
}

void digest_begin_git_blob(digest *d, uint64_t size) {
    static const uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    char header[40];
    memset(d, 0, sizeof *d);
    memcpy(d->state, start, sizeof start);
    d->is_sha1 = true;
    int n = snprintf(header, sizeof header, "blob %llu", (unsigned long long)size);
    digest_add(d, header, (size_t)n + 1); /* its NUL belongs to it */
}

void digest_add(digest *d, const void *bytes, size_t n_bytes) {
    const unsigned char *from = bytes;
    while (n_bytes > 0) {
        size_t held = (size_t)(d->n_bytes % 64);
        size_t n = 64 - held < n_bytes ? 64 - held : n_bytes;
        if (n == 64) {
            take_block(d, from);
        } else {
            memcpy(d->block + held, from, n);
            if (held + n == 64) take_block(d, d->block);
        }
        d->n_bytes += n;
        from += n;
        n_bytes -= n;
    }
}

void digest_end(digest *d, char hex[DIGEST_HEX_CHARS]) {
    static const unsigned char padding[64] = {0x80};
    uint64_t n_bits = d->n_bytes * 8;
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(n_bits >> (56 - 8 * i));
    size_t held = (size_t)(d->n_bytes % 64);
    digest_add(d, padding, held < 56 ? 56 - held : 120 - held);
    digest_add(d, length, sizeof length);
    for (int i = 0; i < (d->is_sha1 ? 5 : 8); i++) snprintf(hex + 8 * i, 9, "%08x", d->state[i]);
}

bool digest_file_sha256(int fd, char hex[DIGEST_HEX_CHARS]) {
    digest d;
    ssize_t n;
    char *chunk = hub_memory(NULL, 1024, 1024);
    digest_begin_sha256(&d);
    while ((n = read(fd, chunk, 1024 * 1024)) > 0) digest_add(&d, chunk, (size_t)n);
    free(chunk);
    digest_end(&d, hex);
    return n == 0;
}
