/* fuzz_tokenizer.c: any bytes as a vocabulary and a text.
 *
 * Layout of an input: byte 0 chooses model and pre-tokenizer, byte 1 flags, byte 2 the number of tokens n; then n
 * tokens (type, score, length, bytes), up to 32 merges (length, bytes), a map for the unigram model, and the rest is
 * text. Whatever opens must tokenize within bounds, give the same answer twice and whatever the room, and spell the
 * same text whole and token by token. */
#include "text/utf8.h"
#include "text/vocab.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_TOKENS 256
#define MAX_MERGES 32
#define MAX_IDS    65536

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static uint8_t take(reader *r) {
    return r->at < r->end ? *r->at++ : 0;
}

static pn_vocab_text take_text(reader *r, size_t n) {
    if (n > (size_t)(r->end - r->at)) n = (size_t)(r->end - r->at);
    const pn_vocab_text text = {(const char *)r->at, n};
    r->at += n;
    return text;
}

static pn_vocab_text literal(const char *text) {
    return (pn_vocab_text){text, strlen(text)};
}

static pn_vocab_text tokens[MAX_TOKENS], merges[MAX_MERGES];
static float scores[MAX_TOKENS];
static int32_t types[MAX_TOKENS];

static void read_source(reader *r, pn_vocab_source *s) {
    static const char *const models[] = {"llama", "gpt2", "gpt2",   "gpt2",
                                         "bert",  "t5",   "gemma4", "gpt2"};
    static const char *const pres[] = {"default", "llama-bpe", "deepseek-llm", "qwen35", "",
                                       "",        "",          "superbpe"};
    const uint8_t kind = take(r), flags = take(r);
    s->model = literal(models[kind % 8]);
    s->pre = literal(pres[kind % 8]);
    s->tokens = tokens;
    s->n_tokens = take(r);
    for (int32_t i = 0; i < s->n_tokens; i++) {
        types[i] = take(r) % 8;
        const int8_t score = (int8_t)take(r);
        scores[i] = score == -128 ? -1.0f / 0.0f : (float)score / 4;
        tokens[i] = take_text(r, take(r) % 16);
    }
    s->scores = flags & 1 ? scores : NULL;
    s->types = flags & 2 ? types : NULL;
    s->merges = merges;
    s->has_merges = true;
    s->n_merges = take(r) % MAX_MERGES;
    for (int32_t i = 0; i < s->n_merges; i++) merges[i] = take_text(r, take(r) % 16);
    const pn_vocab_text map = take_text(r, flags & 4 ? (size_t)take(r) * 4 : 0);
    s->charsmap = (const unsigned char *)map.data;
    s->charsmap_bytes = map.n;
    s->bos = s->eos = s->eot = s->eom = s->sep = s->pad = s->cls = s->mask = -1;
    s->bos = (int8_t)take(r);
    s->unk = (int8_t)take(r);
    s->add_bos = s->add_eos = flags & 8 ? 1 : -1;
    s->add_sep = -1;
    s->add_space_prefix = flags & 16 ? 1 : -1;
    s->remove_extra_whitespaces = flags & 32 ? 1 : -1;
}

/* The whole text with what is no UTF-8 replaced must be what the incremental form gives. */
static void compare_texts(const pn_vocab *vocab, const int32_t *ids, int32_t n_ids) {
    const size_t room = (size_t)n_ids * 512 + 16;
    char *whole = malloc(room), *steps = malloc(room * 3),
         *piece = malloc(pn_detok_max_bytes(vocab));
    size_t n_whole = 0, n_steps = 0, k = 0;
    if (!whole || !steps || !piece) abort();
    if (pn_vocab_detokenize(vocab, ids, n_ids, 0, whole, room, &n_whole, NULL)) abort();
    pn_detok detok = {0};
    for (int32_t i = 0; i < n_ids; i++) {
        const size_t n = pn_detok_push(vocab, &detok, ids[i], false, piece);
        if (n > pn_detok_max_bytes(vocab)) abort();
        memcpy(steps + n_steps, piece, n);
        n_steps += n;
    }
    n_steps += pn_detok_finish(&detok, steps + n_steps);
    for (size_t i = 0; i < n_whole;) {
        uint32_t c;
        const size_t len = pn_utf8_decode(whole + i, n_whole - i, &c);
        const size_t n = len ? len : 3;
        const char *want = len ? whole + i : "\xef\xbf\xbd";
        if (k + n > n_steps || memcmp(steps + k, want, n) != 0) abort();
        k += n;
        /* an unfinished character at the end is one U+FFFD */
        i = len ? i + len : k == n_steps && n_whole - i <= 3 ? n_whole : i + 1;
    }
    if (k != n_steps) abort();
    free(whole);
    free(steps);
    free(piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int32_t ids[MAX_IDS], again[MAX_IDS];
    reader r = {data, data + size};
    pn_vocab_source source = {0};
    pn_vocab *vocab = NULL;
    puna_error err = {0};
    read_source(&r, &source);
    if (pn_vocab_open(&source, &vocab, &err)) {
        if (err.msg[0] == 0) abort();
        return 0;
    }
    const char *text = (const char *)r.at;
    size_t n = (size_t)(r.end - r.at);
    if (n > 8192) n = 8192;
    for (uint32_t flags = 0; flags < 4; flags++) {
        int32_t n_ids = 0, n_again = 0;
        if (pn_vocab_tokenize(vocab, text, n, flags, ids, MAX_IDS, &n_ids, &err)) continue;
        const int32_t room = n_ids / 2;
        const puna_status status =
            pn_vocab_tokenize(vocab, text, n, flags, again, room, &n_again, NULL);
        if (n_again != n_ids || status != (n_ids > room ? PUNA_E_LIMIT : PUNA_OK)) abort();
        if (memcmp(ids, again, (size_t)room * sizeof *ids) != 0) abort();
        for (int32_t i = 0; i < n_ids; i++)
            if (ids[i] < 0 || ids[i] >= pn_vocab_n_tokens(vocab)) abort();
        compare_texts(vocab, ids, n_ids);
    }
    pn_vocab_free(vocab);
    return 0;
}
