/* fuzz_gguf.c: any bytes as a GGUF file. The reader must answer with a message or an object whose
 * every string, array element and tensor byte can be read. The bytes go through a file, as they do
 * in use. */
#define _POSIX_C_SOURCE 200809L /* mkstemp */
#include "gguf/gguf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
        if (pn_gguf_open(path, &options, &gguf, &err) == PUNA_OK)
            read_all(gguf);
        else if (memchr(err.msg, 0, sizeof err.msg) == NULL || err.msg[0] == 0)
            abort();
        pn_gguf_free(gguf);
    }
    (void)unlink(path);
    return 0;
}
