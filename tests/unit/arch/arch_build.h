/* arch_build.h: writes a small model file of any architecture, with one thing about it changed.
 *
 * All models: width 32, 4 heads of 8 over 2, feed-forward 64, 16 tokens, context 512; F32. A case
 * drops keys or tensors by name and adds its own, so every malformed file differs from a good one
 * in one respect. */
#ifndef PN_TEST_ARCH_BUILD_H
#define PN_TEST_ARCH_BUILD_H

#include "unit/gguf/gguf_build.h"

#include <stdbool.h>

enum { AB_EMBD = 32, AB_HEADS = 4, AB_KV = 2, AB_HEAD = 8, AB_FF = 64, AB_VOCAB = 16 };

typedef struct ab_model {
    const char *arch;
    int n_layer;
    const char *drop; /* key suffix or tensor name to leave out */
    int n_expert;     /* 0: dense */
    void (*keys)(gguf_build *b);
    void (*tensors)(gguf_build *b);
} ab_model;

static const ab_model *ab_now;
static uint64_t ab_bytes; /* of tensor data so far */

static inline bool ab_dropped(const char *name) {
    return ab_now->drop && strcmp(ab_now->drop, name) == 0;
}

static inline const char *ab_key(const char *suffix) {
    static char key[128];
    (void)snprintf(key, sizeof key, "%s.%s", ab_now->arch, suffix);
    return key;
}

static inline void ab_u32(gguf_build *b, const char *suffix, uint32_t v) {
    if (!ab_dropped(suffix)) build_key_u32(b, ab_key(suffix), v);
}

/* n_out 0: a vector. n_expert 0: a matrix. */
static inline void ab_tensor(gguf_build *b, const char *name, uint64_t n_in, uint64_t n_out,
                             uint64_t n_expert) {
    if (ab_dropped(name)) return;
    const uint64_t dims[3] = {n_in, n_out, n_expert};
    build_tensor(b, name, 0, n_out == 0 ? 1 : n_expert == 0 ? 2 : 3, dims, ab_bytes);
    ab_bytes += 4 * n_in * (n_out ? n_out : 1) * (n_expert ? n_expert : 1);
}

static inline void ab_in_layer(gguf_build *b, int layer, const char *name, uint64_t n_in,
                               uint64_t n_out, uint64_t n_expert) {
    char full[64];
    (void)snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    ab_tensor(b, full, n_in, n_out, n_expert);
}

static inline void ab_feed_forward(gguf_build *b, int layer) {
    const uint64_t n = (uint64_t)ab_now->n_expert;
    if (n > 0) ab_in_layer(b, layer, "ffn_gate_inp.weight", AB_EMBD, n, 0);
    ab_in_layer(b, layer, n ? "ffn_gate_exps.weight" : "ffn_gate.weight", AB_EMBD, AB_FF, n);
    ab_in_layer(b, layer, n ? "ffn_up_exps.weight" : "ffn_up.weight", AB_EMBD, AB_FF, n);
    ab_in_layer(b, layer, n ? "ffn_down_exps.weight" : "ffn_down.weight", AB_FF, AB_EMBD, n);
}

static inline void ab_layer(gguf_build *b, int layer) {
    const bool qwen2 = strcmp(ab_now->arch, "qwen2") == 0,
               qwen3 = strcmp(ab_now->arch, "qwen3") == 0;
    const bool gemma3 = strcmp(ab_now->arch, "gemma3") == 0;
    ab_in_layer(b, layer, "attn_norm.weight", AB_EMBD, 0, 0);
    ab_in_layer(b, layer, "attn_q.weight", AB_EMBD, AB_HEADS * AB_HEAD, 0);
    ab_in_layer(b, layer, "attn_k.weight", AB_EMBD, AB_KV * AB_HEAD, 0);
    ab_in_layer(b, layer, "attn_v.weight", AB_EMBD, AB_KV * AB_HEAD, 0);
    if (qwen2) {
        ab_in_layer(b, layer, "attn_q.bias", AB_HEADS * AB_HEAD, 0, 0);
        ab_in_layer(b, layer, "attn_k.bias", AB_KV * AB_HEAD, 0, 0);
        ab_in_layer(b, layer, "attn_v.bias", AB_KV * AB_HEAD, 0, 0);
    }
    if (qwen3 || gemma3) {
        ab_in_layer(b, layer, "attn_q_norm.weight", AB_HEAD, 0, 0);
        ab_in_layer(b, layer, "attn_k_norm.weight", AB_HEAD, 0, 0);
    }
    ab_in_layer(b, layer, "attn_output.weight", AB_HEADS * AB_HEAD, AB_EMBD, 0);
    if (gemma3) {
        ab_in_layer(b, layer, "post_attention_norm.weight", AB_EMBD, 0, 0);
        ab_in_layer(b, layer, "post_ffw_norm.weight", AB_EMBD, 0, 0);
    }
    ab_in_layer(b, layer, "ffn_norm.weight", AB_EMBD, 0, 0);
    ab_feed_forward(b, layer);
}

static inline void ab_keys(gguf_build *b) {
    if (!ab_dropped("general.architecture")) build_string(b, "general.architecture", ab_now->arch);
    ab_u32(b, "context_length", 512);
    ab_u32(b, "embedding_length", AB_EMBD);
    ab_u32(b, "block_count", (uint32_t)ab_now->n_layer);
    ab_u32(b, "feed_forward_length", AB_FF);
    ab_u32(b, "attention.head_count", AB_HEADS);
    ab_u32(b, "attention.head_count_kv", AB_KV);
    if (!ab_dropped("attention.layer_norm_rms_epsilon"))
        build_key_f32(b, ab_key("attention.layer_norm_rms_epsilon"), 1e-5f);
    if (ab_now->n_expert > 0) {
        ab_u32(b, "expert_count", (uint32_t)ab_now->n_expert);
        ab_u32(b, "expert_used_count", 2);
    }
    if (ab_now->keys) ab_now->keys(b);
}

static inline void ab_write(const ab_model *model, const char *path) {
    static gguf_build b;
    ab_now = model;
    ab_bytes = 0;
    build_begin(&b, 3);
    ab_keys(&b);
    ab_tensor(&b, "token_embd.weight", AB_EMBD, AB_VOCAB, 0);
    for (int i = 0; i < model->n_layer; i++) ab_layer(&b, i);
    ab_tensor(&b, "output_norm.weight", AB_EMBD, 0, 0);
    ab_tensor(&b, "output.weight", AB_EMBD, AB_VOCAB, 0);
    if (model->tensors) model->tensors(&b);
    build_data(&b, 32, ab_bytes);
    build_write(&b, path);
}

#endif
