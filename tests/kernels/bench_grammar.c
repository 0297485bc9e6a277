/* bench_grammar.c: what a grammar costs for each token: finding the tokens that may come next, and
 * going on by one.
 *
 *   bench_grammar MODEL.gguf [GRAMMAR.gbnf [TEXT]]      defaults: any JSON object, and a text of ours
 *
 * The text is taken by the longest tokens that are allowed. "cold": nothing is known of the grammar;
 * "warm": the same text once more. "random" goes on by any allowed token, 2000 times. */
#define _POSIX_C_SOURCE 200809L
#include "grammar/matcher.h"
#include "grammar/token_trie_impl.h"
#include "run/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N_RANDOM = 2000 };

static const char sample[] =
    "{\"id\": 12345, \"name\": \"The quick brown fox\", \"tags\": [\"animal\", \"fox\", "
    "\"quick and agile\"], \"position\": {\"x\": -12.75, \"y\": 3.5e-7, \"z\": null}, \"history\": "
    "[{\"when\": \"2024-07-04T09:05:03Z\", \"what\": \"jumped over the lazy dog\", \"ok\": true}, "
    "{\"when\": \"2024-07-05T10:00:00Z\", \"what\": \"slept \\\"deeply\\\" \\u00e9\\n\", \"ok\": "
    "false}], \"text\": \"Einhundert \xc3\x84pfel, \xd1\x8f\xd0\xb1\xd0\xbb\xd0\xbe\xd0\xba\xd0\xb8, "
    "\xe8\x8b\xb9\xe6\x9e\x9c\", \"nested\": {\"a\": {\"b\": {\"c\": [[1, 2], [3, 4]]}}}}";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void must(puna_status status, const puna_error *err) {
    if (status == PUNA_OK) return;
    fprintf(stderr, "bench_grammar: %s\n", err->msg);
    exit(1);
}

static char *read_file(const char *path, size_t *n) {
    FILE *file = fopen(path, "rb");
    char *data = calloc(1, 1 << 24);
    if (!file || !data) {
        fprintf(stderr, "bench_grammar: cannot read %s\n", path);
        exit(1);
    }
    *n = fread(data, 1, (1 << 24) - 1, file);
    fclose(file);
    return data;
}

typedef struct times {
    double mask, accept, worst;
    int32_t n;
} times;

static void print_times(const char *what, const times *t) {
    printf("%-8s %6d tokens  mask %8.4f ms  accept %8.4f ms  together %8.4f ms  worst %8.4f ms\n",
           what, t->n, t->mask / t->n, t->accept / t->n, (t->mask + t->accept) / t->n, t->worst);
}

typedef struct bench {
    const pn_vocab *vocab;
    const pn_token_trie *trie;
    pn_matching matching;
    const char *text; /* NULL: any allowed token */
    size_t n_text, at;
    uint32_t seed;
} bench;

static bool is_allowed(const pn_token_mask *mask, int32_t t) {
    return mask->bits[t >> 6] >> (t & 63) & 1;
}

static int32_t choose(bench *b, const pn_token_mask *mask) {
    const int32_t n_vocab = pn_vocab_n_tokens(b->vocab);
    int32_t best = -1;
    size_t longest = 0, n;
    if (b->text) {
        for (int32_t t = 0; t < n_vocab; t++) {
            const char *token = pn_token_trie_text(b->trie, t, &n);
            if (n > longest && n <= b->n_text - b->at && is_allowed(mask, t) &&
                memcmp(token, b->text + b->at, n) == 0) {
                best = t;
                longest = n;
            }
        }
        b->at += longest;
        return best;
    }
    b->seed = b->seed * 1664525u + 1013904223u;
    best = (int32_t)((b->seed >> 4) % (uint32_t)n_vocab);
    for (int32_t k = 0; k < n_vocab && !is_allowed(mask, best); k++) best = (best + 1) % n_vocab;
    return best;
}

static void measure(bench *b, const char *what) {
    times t = {0};
    puna_error err;
    b->seed = 1;
    b->at = 0;
    pn_matching_restart(&b->matching);
    for (int32_t i = 0; b->text ? b->at < b->n_text : i < N_RANDOM; i++) {
        pn_token_mask mask;
        const double start = now();
        must(pn_matching_mask(&b->matching, &mask, &err), &err);
        const double masked = now();
        const int32_t token = choose(b, &mask);
        if (token < 0) {
            fprintf(stderr, "bench_grammar: the text is not in the grammar: byte %zu\n", b->at);
            exit(1);
        }
        if (pn_vocab_is_end(b->vocab, token)) {
            pn_matching_restart(&b->matching);
            continue;
        }
        const double chosen = now();
        must(pn_matching_token(&b->matching, token, &err), &err);
        const double accepting = now() - chosen, masking = masked - start;
        t.mask += masking;
        t.accept += accepting;
        if (masking + accepting > t.worst) t.worst = masking + accepting;
        t.n++;
    }
    print_times(what, &t);
}

int main(int argc, char **argv) {
    puna_error err;
    puna_model *model;
    puna_model_options options;
    const pn_token_trie *trie;
    puna_grammar *grammar;
    size_t n_gbnf = 0, n_text = sizeof sample - 1;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_grammar MODEL.gguf [GRAMMAR.gbnf [TEXT]]\n");
        return 2;
    }
    puna_model_options_init(&options);
    options.level = PUNA_OPEN_VOCAB;
    must(puna_model_open(argv[1], &options, &model, &err), &err);
    const char *gbnf = argc > 2 ? read_file(argv[2], &n_gbnf) : NULL;
    const char *text = argc > 3 ? read_file(argv[3], &n_text) : sample;
    double start = now();
    if (gbnf)
        must(puna_grammar_open(gbnf, n_gbnf, NULL, &grammar, &err), &err);
    else
        must(puna_grammar_open_json(&grammar, &err), &err);
    const double opened = now() - start;
    start = now();
    must(pn_model_trie(model, &trie, &err), &err);
    printf("%d tokens, token tree %.1f ms, grammar %.3f ms\n", pn_vocab_n_tokens(model->vocab),
           now() - start, opened);
    bench b = {.vocab = model->vocab, .trie = trie, .text = text, .n_text = n_text};
    must(pn_matching_open(grammar, trie, &b.matching, &err), &err);
    if (argc != 3) {
        measure(&b, "cold");
        measure(&b, "warm");
    }
    b.text = NULL;
    measure(&b, "random");
    pn_matching_close(&b.matching);
    puna_grammar_free(grammar);
    puna_model_free(model);
    return 0;
}
