/* digest.h: the two hashes that name files on the hub, computed while bytes pass.
 *
 * SHA-256 (FIPS 180-4) of large files; for small ones the hub gives git's blob id: SHA-1 of
 * "blob <size>\0" and the contents. That one only finds damage, it proves no origin. */
#ifndef PUNA_HUB_DIGEST_H
#define PUNA_HUB_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_HEX_CHARS = 65 };

typedef struct digest {
    uint32_t state[8];
    uint64_t n_bytes;
    unsigned char block[64]; /* its first n_bytes % 64 bytes wait to be taken in */
    bool is_sha1;
} digest;

void digest_begin_sha256(digest *d);
/* size: of the contents, in bytes. */
void digest_begin_git_blob(digest *d, uint64_t size);
void digest_add(digest *d, const void *bytes, size_t n_bytes);
/* Lower-case hexadecimal, NUL-terminated; the digest is used up. */
void digest_end(digest *d, char hex[DIGEST_HEX_CHARS]);
/* SHA-256 of what is left to read of an open file. False when it cannot be read. */
bool digest_file_sha256(int fd, char hex[DIGEST_HEX_CHARS]);

#endif
