/* mini_plan.h: a transformer of one or two layers with random weights, built by hand, that can be asked for
 * any format, head, window and feed-forward; run on a backend, and what comes back kept. */
#ifndef MINI_PLAN_H
#define MINI_PLAN_H

#include "backend/backend.h"
#include "fmt/formats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct mini_options {
    pn_format format, table_format;
    int32_t n_embd, n_ff, n_vocab, n_layer;
    pn_attention attn; /* scale 0: 1 / 8 */
    bool neox, bias, tied, qk_norm;
    pn_activation act;
    int32_t n_expert, n_used; /* 0: no experts */
    bool norm_weights;
    float logit_scale, logit_softcap;
    pn_kv_type kv_type;
    int32_t n_batch, n_ctx, n_pages;
} mini_options;

typedef struct mini {
    mini_options o;
    pn_plan plan;
    uint64_t random;
    unsigned char *blocks[64]; /* of weights, exact sizes: reading beyond them is seen */
    int32_t n_blocks;
} mini;

static inline uint32_t mini_random(mini *m) {
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(m->random >> 33);
}

static inline float mini_uniform(mini *m) { /* -1 .. 1 */
    return (float)(mini_random(m) % 20001) / 10000.0f - 1.0f;
}

#define MINI_TRY(call)                                                                             \
    do {                                                                                           \
        puna_error mini_err = {0};                                                                 \
        puna_error *const err = &mini_err;                                                         \
        if ((call) != PUNA_OK) fail_msg("%s", mini_err.msg);                                       \
    } while (0)

/* Where the half floats of a block are. */
static inline const pn_unpack *mini_unpack(pn_format format) {
    switch (format) {
#define CODES(name)      return &pn_unpack_##name
#define FLOATS(name)     return NULL
#define NO_KERNELS(name) return NULL
#define FORMAT(name, id, block_weights, block_bytes, kernels)                                      \
    case PN_FMT_##name:                                                                            \
        kernels(name);
#include "fmt/formats.def"
#undef FORMAT
#undef CODES
#undef FLOATS
#undef NO_KERNELS
    }
    return NULL;
}

/* A block whose weights are about 0.1 in size. */
static inline void mini_block(mini *m, const pn_format_info *f, unsigned char *out) {
    const pn_unpack *u = mini_unpack(f->id);
    for (int32_t i = 0; i < f->block_bytes; i++) out[i] = (unsigned char)mini_random(m);
    if (u) {
        float sizes[256], most = 0.0f;
        uint16_t half[2] = {pn_float_to_half(1.0f), pn_float_to_half(0.5f * mini_uniform(m))};
        memcpy(out + u->d_at, half, u->has_minimum ? 4 : 2);
        f->decode(out, sizes, f->block_weights);
        for (int32_t i = 0; i < f->block_weights; i++)
            most = sizes[i] * sizes[i] > most * most ? sizes[i] : most;
        const float by = 0.2f * (1.1f + mini_uniform(m)) / (most * most > 0.01f ? most : 1.0f);
        half[0] = pn_float_to_half(by);
        half[1] = pn_float_to_half(pn_half_to_float(half[1]) * by);
        memcpy(out + u->d_at, half, u->has_minimum ? 4 : 2);
        return;
    }
    const float x = 0.15f * mini_uniform(m);
    const uint16_t half = pn_float_to_half(x);
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (f->id == PN_FMT_F32) memcpy(out, &x, 4);
    if (f->id == PN_FMT_F16) memcpy(out, &half, 2);
    if (f->id == PN_FMT_BF16) memcpy(out, &(uint16_t){(uint16_t)(bits >> 16)}, 2);
}

static inline const pn_weight *mini_weight(mini *m, const char *name, pn_format format,
                                           int64_t n_in, int64_t n_out, int64_t n_expert) {
    const pn_format_info *f = pn_format_get((uint32_t)format);
    const size_t row_bytes = (size_t)(n_in / f->block_weights) * (size_t)f->block_bytes;
    const size_t n_rows = (size_t)n_out * (size_t)(n_expert ? n_expert : 1);
    assert_int_equal(n_in % f->block_weights, 0);
    unsigned char *data = malloc(row_bytes * n_rows);
    assert_non_null(data);
    for (size_t at = 0; at < row_bytes * n_rows; at += (size_t)f->block_bytes)
        mini_block(m, f, data + at);
    m->blocks[m->n_blocks++] = data;
    pn_weight *w = pn_arena_alloc(&m->plan.arena, sizeof *w);
    assert_non_null(w);
    *w = (pn_weight){name, f, n_in, n_out, n_expert ? n_expert : 1, row_bytes, data};
    m->plan.weights =
        pn_realloc(m->plan.weights, (size_t)m->plan.n_weights + 1, sizeof *m->plan.weights);
    assert_non_null(m->plan.weights);
    m->plan.weights[m->plan.n_weights++] = w;
    m->plan.cap_weights = m->plan.n_weights;
    return w;
}

static inline const float *mini_vector(mini *m, int32_t n, float center) {
    float *v = pn_arena_alloc(&m->plan.arena, (size_t)n * sizeof *v);
    assert_non_null(v);
    for (int32_t i = 0; i < n; i++) v[i] = center + 0.3f * mini_uniform(m);
    return v;
}

static inline void mini_attention(mini *m, pn_value in, pn_value *out) {
    const mini_options *o = &m->o;
    const int32_t n_q = o->attn.n_head * o->attn.head_dim,
                  n_kv = o->attn.n_head_kv * o->attn.head_dim;
    const pn_weight *w[3] = {mini_weight(m, "q", o->format, o->n_embd, n_q, 0),
                             mini_weight(m, "k", o->format, o->n_embd, n_kv, 0),
                             mini_weight(m, "v", o->format, o->n_embd, n_kv, 0)};
    const float *bias[3] = {NULL, NULL, NULL};
    if (o->bias)
        for (int32_t i = 0; i < 3; i++) bias[i] = mini_vector(m, i ? n_kv : n_q, 0.0f);
    static const char *const names[] = {"q", "k", "v"};
    pn_value qkv[3];
    MINI_TRY(pn_plan_linear(&m->plan, in, 3, w, bias, names, qkv, err));
    if (o->qk_norm)
        for (int32_t i = 0; i < 2; i++)
            MINI_TRY(pn_plan_norm(&m->plan, qkv[i], mini_vector(m, o->attn.head_dim, 1.0f),
                                  o->attn.head_dim, 1e-6f, "n", &qkv[i], err));
    const pn_rope rope = {.n_rot = o->attn.head_dim / 2 / 2 * 2,
                          .neox = o->neox,
                          .base = 10000.0f,
                          .scale = 1.0f,
                          .attn_factor = 1.0f};
    int32_t index;
    MINI_TRY(pn_plan_rope(&m->plan, &rope, &index, err));
    for (int32_t i = 0; i < 2; i++)
        MINI_TRY(pn_plan_op_rope(&m->plan, qkv[i], o->attn.head_dim, index, err));
    pn_attention attn = o->attn;
    if (attn.scale == 0.0f) attn.scale = 0.125f;
    pn_value attended;
    MINI_TRY(pn_plan_attention(&m->plan, qkv[0], qkv[1], qkv[2], &attn, &attended, err));
    /* heads need not make a row that the format can read */
    const pn_format_info *f = pn_format_get((uint32_t)o->format);
    const pn_format format = n_q % f->block_weights == 0 ? o->format : PN_FMT_F32;
    const pn_weight *back = mini_weight(m, "o", format, n_q, o->n_embd, 0);
    MINI_TRY(pn_plan_linear(&m->plan, attended, 1, &back, NULL, names, out, err));
}

static inline void mini_feed_forward(mini *m, pn_value in, pn_value *out) {
    const mini_options *o = &m->o;
    static const char *const names[] = {"gate", "up"};
    if (o->n_expert) {
        const pn_moe moe = {o->n_expert, o->n_used, o->n_ff, o->act, o->norm_weights, 1.5f};
        const pn_weight *router = mini_weight(m, "router", PN_FMT_F32, o->n_embd, o->n_expert, 0);
        const pn_weight *gate = mini_weight(m, "gates", o->format, o->n_embd, o->n_ff, o->n_expert);
        const pn_weight *up = mini_weight(m, "ups", o->format, o->n_embd, o->n_ff, o->n_expert);
        const pn_weight *down = mini_weight(m, "downs", o->format, o->n_ff, o->n_embd, o->n_expert);
        MINI_TRY(pn_plan_moe(&m->plan, in, router, gate, up, down, &moe, out, err));
        return;
    }
    const pn_weight *w[2] = {mini_weight(m, "gate", o->format, o->n_embd, o->n_ff, 0),
                             mini_weight(m, "up", o->format, o->n_embd, o->n_ff, 0)};
    pn_value hidden[2], product;
    MINI_TRY(pn_plan_linear(&m->plan, in, 2, w, NULL, names, hidden, err));
    MINI_TRY(pn_plan_glu(&m->plan, hidden[0], hidden[1], o->act, &product, err));
    const pn_weight *down = mini_weight(m, "down", o->format, o->n_ff, o->n_embd, 0);
    MINI_TRY(pn_plan_linear(&m->plan, product, 1, &down, NULL, names, out, err));
}

static inline void mini_build(mini *m, const mini_options *o, uint64_t seed) {
    memset(m, 0, sizeof *m);
    m->o = *o;
    m->random = seed;
    MINI_TRY(pn_plan_init(&m->plan, NULL, err));
    m->plan.n_embd = o->n_embd;
    m->plan.n_layer = o->n_layer;
    const pn_weight *table = mini_weight(m, "table", o->table_format, o->n_embd, o->n_vocab, 0);
    pn_value x, y, z;
    MINI_TRY(pn_plan_embed(&m->plan, table, 1.5f, &x, err));
    for (int32_t i = 0; i < o->n_layer; i++) {
        m->plan.layer = i;
        MINI_TRY(
            pn_plan_norm(&m->plan, x, mini_vector(m, o->n_embd, 1.0f), 0, 1e-5f, "n", &y, err));
        mini_attention(m, y, &z);
        MINI_TRY(pn_plan_add(&m->plan, x, z, "x", &x, err));
        MINI_TRY(pn_plan_norm(&m->plan, x, NULL, 0, 1e-5f, "n", &y, err));
        mini_feed_forward(m, y, &z);
        MINI_TRY(pn_plan_add(&m->plan, x, z, "x", &x, err));
    }
    m->plan.layer = -1;
    MINI_TRY(pn_plan_select(&m->plan, x, &y, err));
    MINI_TRY(pn_plan_norm(&m->plan, y, mini_vector(m, o->n_embd, 1.0f), 0, 1e-5f, "n", &y, err));
    const pn_weight *output =
        o->tied ? table : mini_weight(m, "output", o->format, o->n_embd, o->n_vocab, 0);
    MINI_TRY(pn_plan_logits(&m->plan, y, output, o->logit_scale, o->logit_softcap, err));
    MINI_TRY(pn_plan_finish(&m->plan, err));
}

/* Lays the values of the workspace out anew: each in a place of its own, with MINI_GAP floats a row behind it that
 * nobody may write. */
enum { MINI_GAP = 16 };
static inline void mini_spread(mini *m) {
    int64_t at = 0;
    for (int32_t v = 0; v < m->plan.n_values; v++) {
        m->plan.values[v].offset = at;
        at += (int64_t)pn_round_up((size_t)m->plan.values[v].width, 16) + MINI_GAP;
    }
    m->plan.floats_per_row = at;
}

static inline void mini_free(mini *m) {
    for (int32_t i = 0; i < m->n_blocks; i++) free(m->blocks[i]);
    pn_plan_free(&m->plan);
}

/* ---- running ---- */

typedef struct mini_run {
    mini *m;
    const pn_backend *backend;
    pn_device *device;
    float *logits, *hidden; /* of the last batch, row after row as they came */
    int32_t n_logits, n_hidden;
} mini_run;

static inline pn_device_config mini_config(const mini_options *o) {
    return (pn_device_config){.n_batch = o->n_batch,
                              .n_logits = 3,
                              .n_pages = o->n_pages,
                              .n_ctx = o->n_ctx,
                              .n_threads = 1,
                              .kv_type = o->kv_type};
}

static inline void mini_open(mini_run *r, mini *m, const pn_backend *backend) {
    const pn_device_config config = mini_config(&m->o);
    *r = (mini_run){.m = m, .backend = backend};
    MINI_TRY(backend->open(&m->plan, &config, &r->device, err));
    r->logits = calloc((size_t)m->o.n_batch * (size_t)m->o.n_vocab, sizeof(float));
    r->hidden = calloc((size_t)m->o.n_batch * (size_t)m->o.n_embd, sizeof(float));
    assert_true(r->logits && r->hidden);
}

static inline void mini_close(mini_run *r) {
    r->backend->close(r->device);
    free(r->logits);
    free(r->hidden);
}

static inline void mini_on_logits(void *user, int32_t row, const float *values) {
    mini_run *r = user;
    (void)row;
    const size_t n = (size_t)r->m->o.n_vocab;
    memcpy(r->logits + (size_t)r->n_logits++ * n, values, n * sizeof(float));
}

static inline void mini_on_hidden(void *user, int32_t row, const float *values) {
    mini_run *r = user;
    (void)row;
    const size_t n = (size_t)r->m->o.n_embd;
    memcpy(r->hidden + (size_t)r->n_hidden++ * n, values, n * sizeof(float));
}

enum { MINI_MAX_ROWS = 512, MINI_SEQ_PAGES = 16, MINI_SEQS = 12 };

/* Rows [first, first + n) of each of n_seqs sequences, page p of sequence s at s + p * MINI_SEQS. Every third row's
 * logits and every second's hidden state are asked for, and those of the last row of each sequence. */
static inline puna_status mini_batch(mini_run *r, int32_t n_seqs, const int32_t *first,
                                     const int32_t *n, puna_error *err) {
    static int32_t tokens[MINI_MAX_ROWS], positions[MINI_MAX_ROWS], seqs[MINI_MAX_ROWS];
    static int32_t outputs[MINI_MAX_ROWS], logits[MINI_MAX_ROWS], hidden[MINI_MAX_ROWS];
    static int32_t page_lists[MINI_SEQS][MINI_SEQ_PAGES];
    const int32_t *pages[MINI_SEQS];
    pn_batch b = {.tokens = tokens,
                  .positions = positions,
                  .seqs = seqs,
                  .pages = pages,
                  .output_rows = outputs,
                  .hidden_outputs = hidden,
                  .on_hidden = mini_on_hidden,
                  .logit_outputs = logits,
                  .on_logits = mini_on_logits,
                  .user = r};
    for (int32_t s = 0; s < n_seqs; s++) {
        for (int32_t p = 0; p < MINI_SEQ_PAGES; p++) page_lists[s][p] = s + p * MINI_SEQS;
        pages[s] = page_lists[s];
        for (int32_t i = 0; i < n[s]; i++) {
            const int32_t row = b.n_rows++, position = first[s] + i;
            const bool wants_logits = i == n[s] - 1 || position % 3 == 0,
                       wants_hidden = position % 2 == 0;
            tokens[row] = (position * 31 + s * 7 + position * position % 11) % r->m->o.n_vocab;
            positions[row] = position;
            seqs[row] = s;
            if (wants_hidden) hidden[b.n_hidden++] = b.n_outputs;
            if (wants_logits) logits[b.n_logits++] = b.n_outputs;
            if (wants_hidden || wants_logits) outputs[b.n_outputs++] = row;
        }
    }
    r->n_logits = r->n_hidden = 0;
    return r->backend->run(r->device, &b, err);
}

#endif
