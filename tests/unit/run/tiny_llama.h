/* tiny_llama.h: writes a small llama GGUF with random weights, so that the engine can be tested
 * without any file from elsewhere: 2 layers, width 256, 4 heads over 2 key/value heads,
 * feed-forward 512, 300 tokens. */
#ifndef TINY_LLAMA_H
#define TINY_LLAMA_H

#include "base/mem.h"
#include "fmt/fmt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TINY_LAYERS = 2,
    TINY_EMBD = 256,
    TINY_HEADS = 4,
    TINY_KV_HEADS = 2,
    TINY_FF = 512,
    TINY_VOCAB = 300,
    TINY_CTX = 1024
};

typedef struct tiny_writer {
    pn_buf keys, table, data;
    uint64_t n_keys, n_tensors;
    uint32_t random;
} tiny_writer;

static uint32_t tiny_random(tiny_writer *w) {
    w->random = w->random * 1664525u + 1013904223u;
    return w->random >> 8;
}

static void tiny_put(pn_buf *b, const void *p, size_t n) {
    if (!pn_buf_append(b, p, n)) abort();
}

static void tiny_u32(pn_buf *b, uint32_t v) {
    tiny_put(b, &v, 4);
}

static void tiny_u64(pn_buf *b, uint64_t v) {
    tiny_put(b, &v, 8);
}

static void tiny_str(pn_buf *b, const char *s) {
    tiny_u64(b, strlen(s));
    tiny_put(b, s, strlen(s));
}

static void tiny_key(tiny_writer *w, const char *key, uint32_t type) {
    tiny_str(&w->keys, key);
    tiny_u32(&w->keys, type);
    w->n_keys++;
}

static void tiny_key_u32(tiny_writer *w, const char *key, uint32_t v) {
    tiny_key(w, key, 4);
    tiny_u32(&w->keys, v);
}

static void tiny_key_str(tiny_writer *w, const char *key, const char *v) {
    tiny_key(w, key, 8);
    tiny_str(&w->keys, v);
}

/* One block of a format: random codes under a scale that keeps weights near 0.1. */
static void tiny_block(tiny_writer *w, const pn_format_info *f, float scale) {
    unsigned char b[512];
    for (int i = 0; i < f->block_bytes; i++) b[i] = (unsigned char)tiny_random(w);
    const float uniform = scale * ((float)(tiny_random(w) % 2001) / 1000.0f - 1.0f);
    const uint16_t half =
        pn_float_to_half(f->id == PN_FMT_Q6_K || f->id == PN_FMT_Q5_K ? scale / 512 : scale / 64);
    if (f->id == PN_FMT_F32)
        memcpy(b, &uniform, 4);
    else if (f->id == PN_FMT_F16)
        memcpy(b, &(uint16_t){pn_float_to_half(uniform)}, 2);
    else
        memcpy(b + (f->id == PN_FMT_Q6_K ? 208 : 0), &half, 2);
    if (f->id == PN_FMT_Q5_K || f->id == PN_FMT_Q4_1) memcpy(b + 2, &half, 2);
    tiny_put(&w->data, b, (size_t)f->block_bytes);
}

static void tiny_tensor(tiny_writer *w, const char *name, pn_format format, uint64_t n_in,
                        uint64_t n_out) {
    const pn_format_info *f = pn_format_get(format);
    tiny_str(&w->table, name);
    tiny_u32(&w->table, n_out ? 2 : 1);
    tiny_u64(&w->table, n_in);
    if (n_out) tiny_u64(&w->table, n_out);
    tiny_u32(&w->table, (uint32_t)format);
    tiny_u64(&w->table, w->data.n);
    w->n_tensors++;
    const uint64_t n_blocks = n_in * (n_out ? n_out : 1) / (uint64_t)f->block_weights;
    for (uint64_t i = 0; i < n_blocks; i++)
        if (n_out)
            tiny_block(w, f, 0.15f);
        else
            tiny_put(&w->data, &(float){1.0f}, 4);
    while (w->data.n % 32) tiny_put(&w->data, "", 1);
}

static void tiny_vocab(tiny_writer *w) {
    tiny_key_str(w, "tokenizer.ggml.model", "llama");
    tiny_key(w, "tokenizer.ggml.tokens", 9);
    tiny_u32(&w->keys, 8);
    tiny_u64(&w->keys, TINY_VOCAB);
    char text[16];
    for (int i = 0; i < TINY_VOCAB; i++) {
        if (i < 3)
            (void)snprintf(text, sizeof text, "%s", i == 0 ? "<unk>" : i == 1 ? "<s>" : "</s>");
        else if (i < 259)
            (void)snprintf(text, sizeof text, "<0x%02X>", (unsigned)i - 3);
        else
            (void)snprintf(text, sizeof text, "w%d", i);
        tiny_str(&w->keys, text);
    }
    tiny_key(w, "tokenizer.ggml.token_type", 9);
    tiny_u32(&w->keys, 5);
    tiny_u64(&w->keys, TINY_VOCAB);
    for (int i = 0; i < TINY_VOCAB; i++)
        tiny_u32(&w->keys, i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1);
}

static void tiny_layer(tiny_writer *w, int layer, pn_format format) {
    char n[64];
    const uint64_t kv = TINY_EMBD / TINY_HEADS * TINY_KV_HEADS;
    const struct {
        const char *name;
        uint64_t n_in, n_out;
    } t[] = {{"attn_norm", TINY_EMBD, 0},      {"ffn_norm", TINY_EMBD, 0},
             {"attn_q", TINY_EMBD, TINY_EMBD}, {"attn_k", TINY_EMBD, kv},
             {"attn_v", TINY_EMBD, kv},        {"attn_output", TINY_EMBD, TINY_EMBD},
             {"ffn_gate", TINY_EMBD, TINY_FF}, {"ffn_up", TINY_EMBD, TINY_FF},
             {"ffn_down", TINY_FF, TINY_EMBD}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        (void)snprintf(n, sizeof n, "blk.%d.%s.weight", layer, t[i].name);
        tiny_tensor(w, n, t[i].n_out ? format : PN_FMT_F32, t[i].n_in, t[i].n_out);
    }
}

/* Writes the model to path. */
static void tiny_llama_write(const char *path, pn_format format) {
    tiny_writer w = {.random = 1};
    tiny_key_str(&w, "general.architecture", "llama");
    tiny_key_u32(&w, "llama.context_length", TINY_CTX);
    tiny_key_u32(&w, "llama.embedding_length", TINY_EMBD);
    tiny_key_u32(&w, "llama.block_count", TINY_LAYERS);
    tiny_key_u32(&w, "llama.feed_forward_length", TINY_FF);
    tiny_key_u32(&w, "llama.attention.head_count", TINY_HEADS);
    tiny_key_u32(&w, "llama.attention.head_count_kv", TINY_KV_HEADS);
    tiny_key(&w, "llama.attention.layer_norm_rms_epsilon", 6);
    tiny_put(&w.keys, &(float){1e-5f}, 4);
    tiny_key_u32(&w, "tokenizer.ggml.bos_token_id", 1);
    tiny_key_u32(&w, "tokenizer.ggml.eos_token_id", 2);
    tiny_vocab(&w);
    tiny_tensor(&w, "token_embd.weight", PN_FMT_F16, TINY_EMBD, TINY_VOCAB);
    tiny_tensor(&w, "output_norm.weight", PN_FMT_F32, TINY_EMBD, 0);
    tiny_tensor(&w, "output.weight", format, TINY_EMBD, TINY_VOCAB);
    for (int i = 0; i < TINY_LAYERS; i++) tiny_layer(&w, i, format);

    FILE *f = fopen(path, "wb");
    if (!f) abort();
    pn_buf head = {0};
    tiny_put(&head, "GGUF", 4);
    tiny_u32(&head, 3);
    tiny_u64(&head, w.n_tensors);
    tiny_u64(&head, w.n_keys);
    tiny_put(&head, w.keys.data, w.keys.n);
    tiny_put(&head, w.table.data, w.table.n);
    while (head.n % 32) tiny_put(&head, "", 1);
    if (fwrite(head.data, 1, head.n, f) != head.n ||
        fwrite(w.data.data, 1, w.data.n, f) != w.data.n)
        abort();
    if (fclose(f) != 0) abort();
    pn_buf_free(&head);
    pn_buf_free(&w.keys);
    pn_buf_free(&w.table);
    pn_buf_free(&w.data);
}

#endif
