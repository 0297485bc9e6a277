/* hparams.c: reading and checking hyper-parameters.
 *
 * Ranges are generous for any model that exists and small enough that products of two of them
 * cannot overflow what comes after: a head count times a head size stays below 2^27. Counts are
 * still only claims until the tensors agree with them, so nothing but the list of layers is
 * allocated here. */
#include "arch/hparams.h"

#include "base/log.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_LAYERS  1024
#define MAX_EMBD    (1 << 20)
#define MAX_FF      (1 << 24)
#define MAX_HEADS   16384
#define MAX_HEAD    8192
#define MAX_EXPERTS 4096
/* Longer claims are cut: no model was trained on more, and positions must stay exact as float32. */
#define MAX_CTX (1 << 24)
#define ANY_CTX (INT64_C(1) << 40)

/* ---- keys ---- */

const char *pn_hparams_key(char buf[PN_KEY_BYTES], const char *arch, const char *suffix) {
    (void)snprintf(buf, PN_KEY_BYTES, "%s.%s", arch, suffix);
    return buf;
}

puna_status pn_hparams_int(const pn_gguf *gguf, const char *arch, const char *suffix, int64_t min,
                           int64_t max, int32_t *value, bool *found, puna_error *err) {
    char key[PN_KEY_BYTES];
    int64_t wide = *value;
    PN_TRY(pn_gguf_get_int(gguf, pn_hparams_key(key, arch, suffix), min, max, &wide, found, err));
    *value = (int32_t)wide;
    return PUNA_OK;
}

puna_status pn_hparams_float(const pn_gguf *gguf, const char *arch, const char *suffix, double min,
                             double max, float *value, bool *found, puna_error *err) {
    char key[PN_KEY_BYTES];
    double wide = (double)*value;
    PN_TRY(pn_gguf_get_float(gguf, pn_hparams_key(key, arch, suffix), min, max, &wide, found, err));
    *value = (float)wide;
    return PUNA_OK;
}

static puna_status missing(const pn_gguf *gguf, const char *arch, const char *suffix,
                           puna_error *err) {
    char key[PN_KEY_BYTES];
    return pn_gguf_missing(gguf, pn_hparams_key(key, arch, suffix), err);
}

static puna_status require_int(const pn_gguf *gguf, const char *arch, const char *suffix,
                               int64_t min, int64_t max, int32_t *value, puna_error *err) {
    bool found;
    PN_TRY(pn_hparams_int(gguf, arch, suffix, min, max, value, &found, err));
    return found ? PUNA_OK : missing(gguf, arch, suffix, err);
}

/* One value for all layers, or an array with one for each; writes out[n_layer]. */
static puna_status get_per_layer(const pn_gguf *gguf, const char *arch, const char *suffix,
                                 int64_t max, int32_t n_layer, int32_t *out, bool *found,
                                 puna_error *err) {
    char key[PN_KEY_BYTES];
    const pn_gguf_kv *kv = pn_gguf_find(gguf, pn_hparams_key(key, arch, suffix));
    if (!kv || kv->type != PN_GGUF_ARRAY) {
        int32_t one = 0;
        PN_TRY(pn_hparams_int(gguf, arch, suffix, 1, max, &one, found, err));
        for (int32_t i = 0; i < n_layer && *found; i++) out[i] = one;
        return PUNA_OK;
    }
    const pn_gguf_array *array = &kv->value.array;
    *found = true;
    if (array->type == PN_GGUF_STRING || array->type == PN_GGUF_F32 || array->type == PN_GGUF_F64)
        return pn_fail(err, PUNA_E_FORMAT, "%s: key %s is an array of type %s, expected integers",
                       pn_gguf_path(gguf), key, pn_gguf_type_name(array->type));
    if (array->n != (uint64_t)n_layer)
        return pn_fail(
            err, PUNA_E_FORMAT,
            "%s: key %s is an array of length %llu, expected one value for each of %d layers",
            pn_gguf_path(gguf), key, (unsigned long long)array->n, n_layer);
    for (int32_t i = 0; i < n_layer; i++) {
        const int64_t v = pn_gguf_array_int(array, (uint64_t)i);
        if (v < 1 || v > max)
            return pn_fail(err, PUNA_E_FORMAT,
                           "%s: key %s is %lld for layer %d, expected 1 to %lld",
                           pn_gguf_path(gguf), key, (long long)v, i, (long long)max);
        out[i] = (int32_t)v;
    }
    return PUNA_OK;
}

/* ---- groups of keys ---- */

/* The vocabulary's size is the number of listed tokens; without a list, what the embedding table
 * holds. */
static puna_status read_n_vocab(const pn_gguf *gguf, pn_hparams *hp, puna_error *err) {
    const pn_gguf_kv *tokens = pn_gguf_find(gguf, "tokenizer.ggml.tokens");
    if (tokens && tokens->type == PN_GGUF_ARRAY) {
        if (tokens->value.array.n < 1 || tokens->value.array.n > INT32_MAX)
            return pn_fail(err, PUNA_E_FORMAT, "%s: key tokenizer.ggml.tokens lists %llu tokens",
                           pn_gguf_path(gguf), (unsigned long long)tokens->value.array.n);
        hp->n_vocab = (int32_t)tokens->value.array.n;
        return PUNA_OK;
    }
    const pn_gguf_tensor *table = pn_gguf_find_tensor(gguf, "token_embd.weight");
    hp->n_vocab = table && table->dims[1] <= INT32_MAX ? (int32_t)table->dims[1] : 0;
    return PUNA_OK;
}

static puna_status read_context(const pn_gguf *gguf, pn_hparams *hp, puna_error *err) {
    char key[PN_KEY_BYTES];
    int64_t n = 0;
    bool found;
    PN_TRY(pn_gguf_get_int(gguf, pn_hparams_key(key, hp->arch, "context_length"), 1, ANY_CTX, &n,
                           &found, err));
    if (!found) return missing(gguf, hp->arch, "context_length", err);
    if (n > MAX_CTX) {
        pn_log(PUNA_LOG_WARN, "%s: key %s is %lld, using %d", pn_gguf_path(gguf), key, (long long)n,
               MAX_CTX);
        n = MAX_CTX;
    }
    hp->n_ctx_train = (int32_t)n;
    return PUNA_OK;
}

static puna_status read_sizes(const pn_gguf *gguf, pn_hparams *hp, puna_error *err) {
    PN_TRY(read_context(gguf, hp, err));
    PN_TRY(require_int(gguf, hp->arch, "embedding_length", 1, MAX_EMBD, &hp->n_embd, err));
    PN_TRY(require_int(gguf, hp->arch, "block_count", 1, MAX_LAYERS, &hp->n_layer, err));
    PN_TRY(read_n_vocab(gguf, hp, err));
    bool found;
    PN_TRY(pn_hparams_float(gguf, hp->arch, "attention.layer_norm_rms_epsilon", 0, 1, &hp->eps,
                            &found, err));
    return found ? PUNA_OK : missing(gguf, hp->arch, "attention.layer_norm_rms_epsilon", err);
}

static puna_status read_layers(const pn_gguf *gguf, pn_arena *arena, pn_hparams *hp,
                               puna_error *err) {
    hp->layers = pn_arena_calloc(arena, (size_t)hp->n_layer, sizeof *hp->layers);
    if (!hp->layers)
        return pn_fail_nomem(err, (size_t)hp->n_layer * sizeof *hp->layers, "the hyper-parameters");
    int32_t n[MAX_LAYERS];
    bool found;
    PN_TRY(
        get_per_layer(gguf, hp->arch, "feed_forward_length", MAX_FF, hp->n_layer, n, &found, err));
    if (!found) return missing(gguf, hp->arch, "feed_forward_length", err);
    for (int32_t i = 0; i < hp->n_layer; i++) hp->layers[i].n_ff = n[i];
    PN_TRY(get_per_layer(gguf, hp->arch, "attention.head_count", MAX_HEADS, hp->n_layer, n, &found,
                         err));
    if (!found) return missing(gguf, hp->arch, "attention.head_count", err);
    for (int32_t i = 0; i < hp->n_layer; i++) hp->layers[i].n_head = n[i];
    /* absent: every query head has its own keys and values, and n still holds the head counts */
    PN_TRY(get_per_layer(gguf, hp->arch, "attention.head_count_kv", MAX_HEADS, hp->n_layer, n,
                         &found, err));
    for (int32_t i = 0; i < hp->n_layer; i++) {
        hp->layers[i].n_head_kv = n[i];
        if (hp->layers[i].n_head % n[i] != 0)
            return pn_fail(err, PUNA_E_FORMAT,
                           "%s: layer %d: head_count %d is not a multiple of head_count_kv %d",
                           pn_gguf_path(gguf), i, hp->layers[i].n_head, n[i]);
    }
    hp->n_head = hp->layers[0].n_head;
    hp->n_head_kv = hp->layers[0].n_head_kv;
    hp->n_ff = hp->layers[0].n_ff;
    return PUNA_OK;
}

static puna_status read_head_size(const pn_gguf *gguf, pn_hparams *hp, puna_error *err) {
    bool found;
    PN_TRY(pn_hparams_int(gguf, hp->arch, "attention.key_length", 1, MAX_HEAD, &hp->head_dim,
                          &found, err));
    if (!found) {
        if (hp->n_embd % hp->n_head != 0)
            return pn_fail(err, PUNA_E_FORMAT,
                           "%s: embedding_length %d is not a multiple of head_count %d, and there "
                           "is no key_length",
                           pn_gguf_path(gguf), hp->n_embd, hp->n_head);
        hp->head_dim = hp->n_embd / hp->n_head;
        if (hp->head_dim > MAX_HEAD)
            return pn_fail(err, PUNA_E_FORMAT,
                           "%s: head_count %d makes heads of %d, expected at most %d",
                           pn_gguf_path(gguf), hp->n_head, hp->head_dim, MAX_HEAD);
    }
    int32_t value_length = hp->head_dim;
    PN_TRY(pn_hparams_int(gguf, hp->arch, "attention.value_length", 1, MAX_HEAD, &value_length,
                          NULL, err));
    if (value_length != hp->head_dim)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "%s: value_length %d differs from key_length %d: not supported",
                       pn_gguf_path(gguf), value_length, hp->head_dim);
    hp->attention_scale = 1.0f / sqrtf((float)hp->head_dim);
    return PUNA_OK;
}

/* The factor by which positions are stretched: rope.scaling.factor, or rope.scale_linear in old
 * files. */
static puna_status read_rope_factor(const pn_gguf *gguf, const char *arch, float *factor,
                                    puna_error *err) {
    bool found;
    PN_TRY(pn_hparams_float(gguf, arch, "rope.scaling.factor", 1, 1e6, factor, &found, err));
    if (!found)
        PN_TRY(pn_hparams_float(gguf, arch, "rope.scale_linear", 1, 1e6, factor, NULL, err));
    return PUNA_OK;
}

static puna_status read_yarn(const pn_gguf *gguf, const pn_hparams *hp, pn_rope *rope,
                             puna_error *err) {
    rope->ext_factor = 1.0f;
    PN_TRY(pn_hparams_float(gguf, hp->arch, "rope.scaling.yarn_ext_factor", 0, 1, &rope->ext_factor,
                            NULL, err));
    PN_TRY(pn_hparams_float(gguf, hp->arch, "rope.scaling.yarn_beta_fast", 1e-3, 1e6,
                            &rope->beta_fast, NULL, err));
    return pn_hparams_float(gguf, hp->arch, "rope.scaling.yarn_beta_slow", 1e-3, 1e6,
                            &rope->beta_slow, NULL, err);
}

static bool is_text(pn_str s, const char *text) {
    return s.n == strlen(text) && memcmp(s.data, text, s.n) == 0;
}

static puna_status read_rope_scaling(const pn_gguf *gguf, const pn_hparams *hp, pn_rope *rope,
                                     puna_error *err) {
    char key[PN_KEY_BYTES];
    pn_str type = {"linear", 6};
    PN_TRY(pn_gguf_get_string(gguf, pn_hparams_key(key, hp->arch, "rope.scaling.type"), &type, NULL,
                              err));
    PN_TRY(pn_hparams_int(gguf, hp->arch, "rope.scaling.original_context_length", 1, ANY_CTX >> 10,
                          &rope->n_ctx_orig, NULL, err));
    PN_TRY(pn_hparams_float(gguf, hp->arch, "rope.scaling.attn_factor", 1e-3, 1e3,
                            &rope->attn_factor, NULL, err));
    if (is_text(type, "none")) return PUNA_OK;
    const bool yarn = is_text(type, "yarn");
    if (!yarn && !is_text(type, "linear")) {
        char text[PN_ESCAPED_BYTES];
        return pn_fail(
            err, PUNA_E_UNSUPPORTED, "%s: key %s is \"%s\", supported are none, linear and yarn",
            pn_gguf_path(gguf), key, pn_escape(text, type.data, type.n < 40 ? type.n : 40));
    }
    float factor = 1.0f;
    PN_TRY(read_rope_factor(gguf, hp->arch, &factor, err));
    rope->scale = 1.0f / factor;
    return yarn ? read_yarn(gguf, hp, rope, err) : PUNA_OK;
}

static puna_status read_rope(const pn_gguf *gguf, pn_hparams *hp, puna_error *err) {
    pn_rope rope = {.n_rot = hp->head_dim,
                    .base = 10000.0f,
                    .scale = 1.0f,
                    .attn_factor = 1.0f,
                    .beta_fast = 32.0f,
                    .beta_slow = 1.0f,
                    .n_ctx_orig = hp->n_ctx_train};
    PN_TRY(pn_hparams_int(gguf, hp->arch, "rope.dimension_count", 2, hp->head_dim, &rope.n_rot,
                          NULL, err));
    if (rope.n_rot % 2 != 0)
        return pn_fail(err, PUNA_E_FORMAT,
                       "%s: rope.dimension_count is %d, expected an even number",
                       pn_gguf_path(gguf), rope.n_rot);
    PN_TRY(pn_hparams_float(gguf, hp->arch, "rope.freq_base", 2, 1e15, &rope.base, NULL, err));
    PN_TRY(read_rope_scaling(gguf, hp, &rope, err));
    for (int32_t i = 0; i < hp->n_layer; i++) hp->layers[i].rope = rope;
    return PUNA_OK;
}

static puna_status read_experts(const pn_gguf *gguf, pn_hparams *hp, puna_error *err) {
    PN_TRY(
        pn_hparams_int(gguf, hp->arch, "expert_count", 0, MAX_EXPERTS, &hp->n_expert, NULL, err));
    if (hp->n_expert == 0) return PUNA_OK;
    PN_TRY(
        require_int(gguf, hp->arch, "expert_used_count", 1, hp->n_expert, &hp->n_expert_used, err));
    hp->n_ff_expert = hp->n_ff;
    PN_TRY(pn_hparams_int(gguf, hp->arch, "expert_feed_forward_length", 1, MAX_FF, &hp->n_ff_expert,
                          NULL, err));
    hp->expert_weight_scale = 1.0f;
    return pn_hparams_float(gguf, hp->arch, "expert_weights_scale", 1e-6, 1e6,
                            &hp->expert_weight_scale, NULL, err);
}

static puna_status check_causal(const pn_gguf *gguf, const char *arch, puna_error *err) {
    char key[PN_KEY_BYTES];
    bool causal = true;
    PN_TRY(
        pn_gguf_get_bool(gguf, pn_hparams_key(key, arch, "attention.causal"), &causal, NULL, err));
    if (causal) return PUNA_OK;
    return pn_fail(err, PUNA_E_UNSUPPORTED,
                   "%s: key %s is false: an encoder, which puna cannot run", pn_gguf_path(gguf),
                   key);
}

puna_status pn_hparams_read(const pn_gguf *gguf, const char *arch, pn_arena *arena,
                            pn_hparams *hparams, puna_error *err) {
    *hparams = (pn_hparams){.arch = arch, .embedding_scale = 1.0f};
    PN_TRY(check_causal(gguf, arch, err));
    PN_TRY(read_sizes(gguf, hparams, err));
    PN_TRY(read_layers(gguf, arena, hparams, err));
    PN_TRY(read_head_size(gguf, hparams, err));
    PN_TRY(read_rope(gguf, hparams, err));
    return read_experts(gguf, hparams, err);
}
