/* gguf_build.h: writes small GGUF files for tests, wrong ones too. Independent of the reader in
 * src/gguf.
 *
 *   gguf_build b = {0};
 *   build_begin(&b, 3);
 *   build_string(&b, "general.architecture", "llama");
 *   build_tensor(&b, "w", 0, 2, (uint64_t[]){32, 4}, 0);
 *   build_data(&b, 32, 512);         pads to the alignment, then 512 bytes 0, 1, 2, ...
 *   build_write(&b, path);
 *
 * Any byte may be changed before build_write: counts are patched as entries are added. */
#ifndef PN_TEST_GGUF_BUILD_H
#define PN_TEST_GGUF_BUILD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GGUF_BUILD_CAP = 1 << 20, GGUF_AT_VERSION = 4, GGUF_AT_TENSORS = 8, GGUF_AT_KEYS = 16 };

typedef struct gguf_build {
    unsigned char *data; /* [GGUF_BUILD_CAP] */
    size_t n;
} gguf_build;

/* Not assert: release builds of the tests check too. */
static inline void build_require(int ok, const char *what) {
    if (ok) return;
    (void)fprintf(stderr, "gguf_build: %s\n", what);
    abort();
}

static inline void build_raw(gguf_build *b, const void *bytes, size_t n) {
    build_require(b->n + n <= GGUF_BUILD_CAP, "file too large");
    if (n > 0) memcpy(b->data + b->n, bytes, n);
    b->n += n;
}

static inline void build_u16(gguf_build *b, uint16_t v) {
    build_raw(b, &v, sizeof v);
}

static inline void build_u32(gguf_build *b, uint32_t v) {
    build_raw(b, &v, sizeof v);
}

static inline void build_u64(gguf_build *b, uint64_t v) {
    build_raw(b, &v, sizeof v);
}

static inline void build_text(gguf_build *b, const char *text, size_t n) {
    build_u64(b, n);
    build_raw(b, text, n);
}

static inline void build_count(gguf_build *b, size_t at, uint64_t add) {
    uint64_t n;
    memcpy(&n, b->data + at, sizeof n);
    n += add;
    memcpy(b->data + at, &n, sizeof n);
}

static inline void build_begin(gguf_build *b, uint32_t version) {
    if (!b->data) b->data = calloc(1, GGUF_BUILD_CAP);
    build_require(b->data != NULL, "out of memory");
    b->n = 0;
    build_raw(b, "GGUF", 4);
    build_u32(b, version);
    build_u64(b, 0);
    build_u64(b, 0);
}

/* A key and its type; the caller adds the value. */
static inline void build_key(gguf_build *b, const char *key, uint32_t type) {
    build_text(b, key, strlen(key));
    build_u32(b, type);
    build_count(b, GGUF_AT_KEYS, 1);
}

static inline void build_key_u16(gguf_build *b, const char *key, uint16_t v) {
    build_key(b, key, 2);
    build_u16(b, v);
}

static inline void build_key_u32(gguf_build *b, const char *key, uint32_t v) {
    build_key(b, key, 4);
    build_u32(b, v);
}

static inline void build_key_f32(gguf_build *b, const char *key, float v) {
    build_key(b, key, 6);
    build_raw(b, &v, sizeof v);
}

static inline void build_string(gguf_build *b, const char *key, const char *text) {
    build_key(b, key, 8);
    build_text(b, text, strlen(text));
}

/* An array header; the caller adds n elements. */
static inline void build_array(gguf_build *b, const char *key, uint32_t type, uint64_t n) {
    build_key(b, key, 9);
    build_u32(b, type);
    build_u64(b, n);
}

static inline void build_tensor(gguf_build *b, const char *name, uint32_t type, uint32_t n_dims,
                                const uint64_t *dims, uint64_t offset) {
    build_text(b, name, strlen(name));
    build_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++) build_u64(b, dims[i]);
    build_u32(b, type);
    build_u64(b, offset);
    build_count(b, GGUF_AT_TENSORS, 1);
}

static inline void build_data(gguf_build *b, size_t alignment, size_t n) {
    while (b->n % alignment != 0) build_raw(b, "", 1);
    for (size_t i = 0; i < n; i++) build_raw(b, &(unsigned char){(unsigned char)i}, 1);
}

static inline void build_write(const gguf_build *b, const char *path) {
    FILE *f = fopen(path, "wb");
    build_require(f != NULL, path);
    build_require(fwrite(b->data, 1, b->n, f) == b->n, path);
    build_require(fclose(f) == 0, path);
}

#endif
