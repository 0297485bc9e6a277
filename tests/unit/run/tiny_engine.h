/* tiny_engine.h: what the tests of the engine share: a tiny model, an engine and sequences on it,
 * and a run to the end that keeps all a caller can see. */
#ifndef TINY_ENGINE_H
#define TINY_ENGINE_H

#include "puna.h"

#include "tiny_llama.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

static char model_path[64];
static puna_model *model;

static inline void make_prompt(int32_t *tokens, int32_t n, uint32_t seed) {
    for (int32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        tokens[i] = (int32_t)((seed >> 8) % TINY_VOCAB);
    }
}

static inline void open_model(pn_format format) {
    puna_error err;
    (void)snprintf(model_path, sizeof model_path, "/tmp/puna-test-%ld.gguf", (long)getpid());
    tiny_llama_write(model_path, format);
    if (puna_model_open(model_path, NULL, &model, &err) != PUNA_OK) fail_msg("%s", err.msg);
}

static inline int close_model(void) {
    puna_model_free(model);
    model = NULL;
    return unlink(model_path);
}

static inline puna_engine_options engine_options(int32_t n_seq, int32_t n_batch,
                                                 int32_t n_threads) {
    puna_engine_options o;
    puna_engine_options_init(&o);
    o.n_ctx = 320;
    o.n_seq = n_seq;
    o.n_batch = n_batch;
    o.n_threads = n_threads;
    return o;
}

static inline puna_engine *open_engine_with(const puna_engine_options *o) {
    puna_engine *e = NULL;
    puna_error err;
    if (puna_engine_open(model, o, &e, &err) != PUNA_OK) fail_msg("%s", err.msg);
    return e;
}

static inline puna_engine *open_engine(int32_t n_seq, int32_t n_batch, int32_t n_threads,
                                       puna_kv_type kv) {
    puna_engine_options o = engine_options(n_seq, n_batch, n_threads);
    o.kv_type = kv;
    return open_engine_with(&o);
}

/* Greedy, never ends by itself. */
static inline puna_seq_options greedy(int32_t max_tokens) {
    puna_seq_options o;
    puna_seq_options_init(&o);
    o.max_tokens = max_tokens;
    o.sampler.temperature = 0;
    o.sampler.ignore_end = true;
    return o;
}

static inline puna_seq *open_seq_with(puna_engine *e, const puna_seq_options *o) {
    puna_seq *s = NULL;
    puna_error err;
    if (puna_seq_open(e, o, &s, &err) != PUNA_OK) fail_msg("%s", err.msg);
    return s;
}

static inline puna_seq *open_seq(puna_engine *e, int32_t max_tokens) {
    const puna_seq_options o = greedy(max_tokens);
    return open_seq_with(e, &o);
}

static inline void feed(puna_seq *s, const int32_t *tokens, int32_t n) {
    puna_error err;
    if (puna_seq_feed(s, tokens, n, &err) != PUNA_OK) fail_msg("%s", err.msg);
}

/* What a caller sees of one sequence. */
typedef struct outcome {
    int32_t tokens[400];
    float logprobs[400];
    int32_t n_tokens;
    char text[8192];
    size_t n_bytes;
    bool failed;
    puna_finish finish;
    int32_t stop;
    puna_error error;
} outcome;

static inline void see_event(outcome *seen, const puna_event *event) {
    if (event->kind == PUNA_EVENT_TOKEN) {
        seen->logprobs[seen->n_tokens] = event->logprob;
        seen->tokens[seen->n_tokens++] = event->token;
    }
    seen->failed = event->kind == PUNA_EVENT_FAILED;
    seen->error = event->error;
    seen->finish = event->finish;
    seen->stop = event->stop;
    assert_true(seen->n_bytes + event->text_bytes < sizeof seen->text);
    memcpy(seen->text + seen->n_bytes, event->text, event->text_bytes);
    seen->n_bytes += event->text_bytes;
    seen->text[seen->n_bytes] = 0;
}

enum { MAX_EVENTS = 512 };

/* Steps until all is idle; keeps what happened to one sequence (NULL: nobody may fail). */
static inline void run_watching(puna_engine *e, const puna_seq *watched, outcome *seen) {
    static puna_event events[MAX_EVENTS];
    puna_error err;
    while (!puna_engine_is_idle(e)) {
        int32_t n;
        if (puna_engine_step(e, events, MAX_EVENTS, &n, &err) != PUNA_OK) fail_msg("%s", err.msg);
        for (int32_t i = 0; i < n; i++) {
            if (watched && events[i].seq == watched)
                see_event(seen, &events[i]);
            else
                assert_int_not_equal(events[i].kind, PUNA_EVENT_FAILED);
        }
    }
}

static inline void run_until_idle(puna_engine *e) {
    run_watching(e, NULL, NULL);
}

/* Feeds and runs one sequence to its end. */
static inline outcome complete(puna_engine *e, puna_seq *s, const int32_t *tokens, int32_t n) {
    outcome seen = {0};
    feed(s, tokens, n);
    run_watching(e, s, &seen);
    return seen;
}

#endif
