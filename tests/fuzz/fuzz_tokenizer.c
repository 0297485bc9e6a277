/* fuzz_tokenizer.c: any bytes as a vocabulary and a text.
 *
 * Layout of an input: byte 0 chooses model and pre-tokenizer, byte 1 flags, byte 2 the number of tokens n; then n
 * tokens (type, score, length, bytes), up to 32 merges (length, bytes), a map for the unigram model, and the rest is
 * text. Whatever opens must tokenize within bounds, give the same answer twice and whatever the room, and spell the
 * same text whole and token by token. */
#include "replay.h"
#include "base/utf8.h"
#include "text/vocab.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_TOKENS 256
#define MAX_MERGES 32
#define MAX_IDS    65536

typedef struct reader {
    const uint8_t *at, *end;
} reader;

int64_t fuzz_n_accepted;

/* ---- seeds: one vocabulary and text for each kind of byte 0 ---- */

typedef struct writer {
    uint8_t *data;
    size_t n, cap;
} writer;

static void put(writer *w, const void *bytes, size_t n) {
    if (w->n + n > w->cap) abort();
    memcpy(w->data + w->n, bytes, n);
    w->n += n;
}

static void put_byte(writer *w, unsigned value) {
    put(w, &(uint8_t){(uint8_t)value}, 1);
}

static void put_text(writer *w, const char *text) {
    put_byte(w, (unsigned)strlen(text));
    put(w, text, strlen(text));
}

static void put_token(writer *w, int type, int score, const char *text) {
    put_byte(w, (unsigned)type);
    put_byte(w, (unsigned)score);
    put_text(w, text);
}

/* The map of a unigram model, "A" to "a": trie units of 4 bytes, then the replacement. */
static void put_map(writer *w) {
    uint32_t units[1 + 66] = {66 * 4}; /* bytes of the trie, then its units */
    units[1] = 1u << 10;               /* the root: children at 1 ^ byte */
    units[1 + 64] = 'A' | 1u << 8 | 1u << 10;
    units[1 + 65] = 1u << 31;
    put_byte(w, 68);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        for (unsigned shift = 0; shift < 32; shift += 8) put_byte(w, units[i] >> shift);
    put(w, "a\0\0\0", 4);
}

#define SPACE  "\xe2\x96\x81" /* U+2581, SentencePiece's space */
#define BSPACE "\xc4\xa0"     /* U+0120, a space in the byte alphabet of BPE */

static const char *const words[][8] = {
    {SPACE, SPACE "he", "he", "ll", "hell", SPACE "hello", "\xc3\xa9", "lo"},
    {BSPACE, "he", "ll", "hell", "hello", BSPACE "hello", "\xc3\x83", "\xc2\xa9"},
};
static const char *const merge_rows[] = {"h e", "l l", "he ll", "hell o", BSPACE " hello"};

static const char seed_text[] = "hello he,  <s>hello</s>\nAlpha 1234 l'heure caf\xc3\xa9 "
                                "\xe4\xb8\x80\xf0\x9f\xa6\x86 \xff hellohello\t";

size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    writer w = {data, 0, cap};
    const bool bpe = index == 1 || index == 2 || index == 3 || index == 7, t5 = index == 5;
    char text[8];
    if (index > 7) return 0;
    put_byte(&w, (unsigned)index);
    put_byte(&w, t5 ? 63 : 1 | 2 | 8 | 16); /* scores, types, (map,) special tokens, spaces */
    put_byte(&w, 3 + 94 + 8 + 32);
    put_token(&w, PN_TOKEN_UNKNOWN, 0, "<unk>");
    put_token(&w, PN_TOKEN_CONTROL, 0, "<s>");
    put_token(&w, PN_TOKEN_USER_DEFINED, 0, "</s>");
    for (int c = '!'; c <= '~'; c++) put_token(&w, PN_TOKEN_NORMAL, -80, (char[]){(char)c, 0});
    for (int i = 0; i < 8; i++) put_token(&w, PN_TOKEN_NORMAL, -4 * i, words[bpe][i]);
    for (unsigned byte = 0; byte < 32; byte++) {
        (void)snprintf(text, sizeof text, "<0x%02X>", byte * 8 + 2);
        put_token(&w, PN_TOKEN_BYTE, 0, text);
    }
    put_byte(&w, 5);
    for (int i = 0; i < 5; i++) put_text(&w, merge_rows[i]);
    if (t5) put_map(&w);
    put_byte(&w, 1); /* BOS */
    put_byte(&w, 0); /* unknown */
    put(&w, seed_text, sizeof seed_text - 1);
    return w.n;
}

/* ---- the target ---- */

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
    fuzz_n_accepted++;
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
