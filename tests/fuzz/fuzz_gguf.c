/* fuzz_gguf.c: any bytes as a GGUF file. The reader must answer with a message or an object whose
 * every string, array element and tensor byte can be read. The bytes go through a file, as they do
 * in use. */
#define _POSIX_C_SOURCE 200809L /* mkstemp */
#include "gguf/gguf.h"
#include "replay.h"
#include "unit/gguf/gguf_build.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int64_t fuzz_n_accepted;

/* ---- seeds ---- */

static gguf_build b;

/* Every type of value, alone and in an array. */
static void build_values(void) {
    static const uint8_t bytes[13] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    static const char zeros[64];
    char key[16];
    for (uint32_t type = 0; type < 13; type++) {
        if (type == PN_GGUF_ARRAY) continue;
        (void)snprintf(key, sizeof key, "v.%u", type);
        build_key(&b, key, type);
        if (type == PN_GGUF_STRING)
            build_text(&b, "caf\xc3\xa9", 5);
        else
            build_raw(&b, "\1\0\0\0\0\0\0\0", bytes[type]);
        (void)snprintf(key, sizeof key, "a.%u", type);
        build_array(&b, key, type, 5);
        for (int i = 0; type == PN_GGUF_STRING && i < 5; i++) build_text(&b, "token", (size_t)i);
        build_raw(&b, zeros, 5u * bytes[type]);
    }
}

/* A tensor of 1 to 4 dimensions in each of several formats, 64-byte aligned. */
static void build_tensors(void) {
    static const pn_format formats[] = {PN_FMT_F32,  PN_FMT_F16,  PN_FMT_BF16, PN_FMT_Q4_0,
                                        PN_FMT_Q5_1, PN_FMT_Q8_0, PN_FMT_Q5_K, PN_FMT_Q6_K};
    char name[16];
    uint64_t at = 0;
    build_key_u32(&b, "general.alignment", 64);
    for (uint32_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const pn_format_info *f = pn_format_get(formats[i]);
        const uint64_t dims[4] = {256, 2, 1, 1};
        (void)snprintf(name, sizeof name, "t%u.weight", i);
        build_tensor(&b, name, (uint32_t)formats[i], 1 + i % 4, dims, at);
        const uint64_t n = 256 / (uint64_t)f->block_weights * (i % 4 ? 2 : 1);
        at += (n * (uint64_t)f->block_bytes + 63) / 64 * 64;
    }
    build_data(&b, 64, at);
}

size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    build_begin(&b, index == 1 ? 2 : 3);
    if (index == 1 || index == 2) build_values();
    if (index == 3) {
        build_key_u16(&b, "split.no", 0);
        build_key_u16(&b, "split.count", 1);
    }
    if (index >= 2 && index <= 4) build_tensors();
    if (index > 4 || b.n > cap) {
        free(b.data);
        b = (gguf_build){0};
        return 0;
    }
    memcpy(data, b.data, b.n);
    return b.n;
}

/* ---- the target ---- */

static volatile unsigned sink; /* keeps the reads */

static void read_bytes(const void *data, uint64_t n, uint64_t step) {
    const unsigned char *p = data;
    for (uint64_t i = 0; i < n; i += step) sink += p[i];
    if (n > 0) sink += p[n - 1];
}

static void read_value(const pn_gguf_kv *kv) {
    read_bytes(kv->key.data, kv->key.n + 1, 1);
    if (kv->type == PN_GGUF_STRING) read_bytes(kv->value.str.data, kv->value.str.n + 1, 1);
    if (kv->type != PN_GGUF_ARRAY) return;
    const pn_gguf_array *a = &kv->value.array;
    for (uint64_t i = 0; i < a->n; i++) {
        if (a->type == PN_GGUF_STRING)
            read_bytes(a->strs[i].data, a->strs[i].n, 1);
        else
            sink += pn_gguf_array_float(a, i) != 0.0;
    }
}

static void read_all(const pn_gguf *gguf) {
    puna_error err;
    for (int32_t i = 0; i < pn_gguf_n_kv(gguf); i++) {
        const pn_gguf_kv *kv = pn_gguf_kv_at(gguf, i);
        int64_t number;
        double real;
        pn_str text;
        read_value(kv);
        (void)pn_gguf_get_int(gguf, kv->key.data, 0, 100, &number, NULL, &err);
        (void)pn_gguf_get_float(gguf, kv->key.data, 0, 100, &real, NULL, &err);
        (void)pn_gguf_get_string(gguf, kv->key.data, &text, NULL, &err);
    }
    for (int32_t i = 0; i < pn_gguf_n_tensors(gguf); i++) {
        const pn_gguf_tensor *t = pn_gguf_tensor_at(gguf, i);
        if (pn_gguf_find_tensor(gguf, t->name) != t) abort();
        if ((uintptr_t)t->data % 8 != 0) abort();
        read_bytes(t->data, t->bytes, 61);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[] = "/tmp/fuzz_gguf_XXXXXX";
    const int fd = mkstemp(path);
    if (fd < 0) return 0;
    const bool written = write(fd, data, size) == (ssize_t)size;
    (void)close(fd);
    for (int use_mmap = 0; written && use_mmap < 2; use_mmap++) {
        const pn_gguf_options options = {.with_data = true, .use_mmap = use_mmap != 0};
        pn_gguf *gguf = NULL;
        puna_error err = {0};
        if (pn_gguf_open(path, &options, &gguf, &err) == PUNA_OK) {
            read_all(gguf);
            fuzz_n_accepted += use_mmap;
        } else if (memchr(err.msg, 0, sizeof err.msg) == NULL || err.msg[0] == 0) {
            abort();
        }
        pn_gguf_free(gguf);
    }
    (void)unlink(path);
    return 0;
}
