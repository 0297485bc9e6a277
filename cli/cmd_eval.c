/* cmd_eval.c: puna eval: the perplexity of a text.
 *
 * The tokens are cut into chunks of n_ctx; each chunk is a sequence of its own whose first token
 * is BOS where the vocabulary adds one. Positions n_ctx/2 .. n_ctx-2 are scored, so every scored
 * token has at least half a context before it: the measure of llama.cpp's perplexity tool. Sums
 * are in double. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_out.h"
#include "cli_print.h"
#include "session.h"

enum { DEFAULT_CONTEXT = 512 };

typedef struct score {
    const int32_t *chunk; /* [n_ctx] */
    int32_t n_ctx;
    int64_t n;  /* scored tokens */
    double nll; /* sum of -log p */
    double nll2;
} score;

static void on_logits(void *user, int32_t position, const float *logits, int32_t n_vocab) {
    score *sc = user;
    double highest = -INFINITY;
    double sum = 0;
    if (position < sc->n_ctx / 2 || position >= sc->n_ctx - 1) return;
    for (int32_t i = 0; i < n_vocab; i++) highest = fmax(highest, (double)logits[i]);
    for (int32_t i = 0; i < n_vocab; i++) sum += exp((double)logits[i] - highest);
    double nll = highest + log(sum) - (double)logits[sc->chunk[position + 1]];
    sc->nll += nll;
    sc->nll2 += nll * nll;
    sc->n++;
}

static int score_chunk(session *s, score *sc) {
    puna_seq_options seq_options;
    puna_seq *seq = NULL;
    puna_error err = {0};
    puna_seq_options_init(&seq_options);
    seq_options.max_tokens = 0;
    seq_options.on_logits = on_logits;
    seq_options.on_logits_user = sc;
    if (puna_seq_open(s->engine, &seq_options, &seq, &err) != PUNA_OK) return print_failure(&err);
    int status = puna_seq_feed(seq, sc->chunk, sc->n_ctx, &err) == PUNA_OK ? session_finish(s, seq)
                                                                           : print_failure(&err);
    puna_seq_free(seq);
    return status;
}

static double perplexity(const score *sc) {
    return exp(sc->nll / (double)sc->n);
}

/* The standard error of the mean of -log p, carried through exp. */
static double perplexity_error(const score *sc) {
    double mean = sc->nll / (double)sc->n;
    double variance = sc->nll2 / (double)sc->n - mean * mean;
    return sc->n > 1 && variance > 0 ? perplexity(sc) * sqrt(variance / (double)(sc->n - 1)) : 0;
}

static int print_score(const options *o, const session *s, const score *sc, int32_t n_chunks,
                       double seconds) {
    double n_tokens = (double)n_chunks * sc->n_ctx;
    if (o->json) {
        json_t *object = json_object();
        json_object_set_new(object, "model", json_string(s->path));
        json_object_set_new(object, "perplexity", json_number(perplexity(sc)));
        json_object_set_new(object, "error", json_number(perplexity_error(sc)));
        json_object_set_new(object, "mean_nll", json_number(sc->nll / (double)sc->n));
        json_object_set_new(object, "n_ctx", json_integer(sc->n_ctx));
        json_object_set_new(object, "n_chunks", json_integer(n_chunks));
        json_object_set_new(object, "n_scored", json_integer(sc->n));
        json_object_set_new(object, "seconds", json_number(seconds));
        return json_print(object, false);
    }
    out_printf("perplexity %.4f +/- %.4f over %d chunks of %d tokens, %lld tokens scored\n",
               perplexity(sc), perplexity_error(sc), n_chunks, sc->n_ctx, (long long)sc->n);
    print_note("%.0f tokens in %.1f s, %.1f tokens/s", n_tokens, seconds, n_tokens / seconds);
    return STATUS_DONE;
}

static int score_chunks(const options *o, session *s, tokens *t, int32_t n_ctx) {
    int32_t bos = puna_token_special(s->model, PUNA_SPECIAL_BOS);
    bool put_bos = !o->no_bos && puna_model_adds_bos(s->model) && bos >= 0;
    int32_t n_chunks = t->n / n_ctx;
    score sc = {.n_ctx = n_ctx};
    progress bar;
    double begun = seconds_now();
    if (o->n_chunks > 0 && o->n_chunks < n_chunks) n_chunks = o->n_chunks;
    progress_begin(&bar, "eval");
    for (int32_t i = 0; i < n_chunks; i++) {
        char note[64] = "";
        int32_t *chunk = t->ids + (size_t)i * (size_t)n_ctx;
        if (put_bos) chunk[0] = bos;
        sc.chunk = chunk;
        int status = score_chunk(s, &sc);
        if (status != STATUS_DONE) {
            progress_end(&bar);
            return status;
        }
        snprintf(note, sizeof note, "chunk %d of %d, perplexity %.4f", i + 1, n_chunks,
                 perplexity(&sc));
        progress_update(&bar, (double)(i + 1) / n_chunks, note);
    }
    progress_end(&bar);
    return print_score(o, s, &sc, n_chunks, seconds_now() - begun);
}

int cmd_eval(const options *o) {
    session s = {0};
    text in = {0};
    tokens t = {0};
    int32_t n_ctx = o->n_ctx > 0 ? o->n_ctx : DEFAULT_CONTEXT;
    if (!o->file) return print_usage_error("no text: use -f FILE (- is standard input)");
    if (n_ctx < 4)
        return print_usage_error("-c %d leaves nothing to score: use -c 4 or more", n_ctx);
    int status = text_read_file(o->file, &in);
    if (status == STATUS_DONE) status = session_open_model(&s, o, PUNA_OPEN_FULL);
    if (status == STATUS_DONE)
        status = session_tokenize(&s, in.bytes, in.n_bytes, session_tokenize_flags(o), &t);
    if (status == STATUS_DONE && t.n < n_ctx) {
        print_error(
            "the text has %d tokens but one chunk takes %d: use a longer text or a smaller -c", t.n,
            n_ctx);
        status = STATUS_FAILED;
    }
    if (status == STATUS_DONE) status = session_open_engine(&s, o, n_ctx);
    if (status == STATUS_DONE) {
        s.prefill.begun_s = INFINITY; /* the chunks have a bar of their own */
        status = score_chunks(o, &s, &t, n_ctx);
    }
    free(in.bytes);
    free(t.ids);
    session_close(&s);
    return status;
}
