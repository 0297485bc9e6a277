/* tiny_vocab.h: vocabularies small enough to check by hand, one for each algorithm. A tiny_vocab
 * owns the memory of its source; change the source before opening it to try something else. */
#ifndef TINY_VOCAB_H
#define TINY_VOCAB_H

#include "text/vocab.h"

#include <stdio.h>
#include <string.h>

#define TINY_MAX 512

typedef struct tiny_vocab {
    pn_vocab_source source;
    pn_vocab_text tokens[TINY_MAX], merges[TINY_MAX];
    float scores[TINY_MAX];
    int32_t types[TINY_MAX];
    char storage[TINY_MAX][8];
} tiny_vocab;

static inline int32_t tiny_add(tiny_vocab *v, const char *text, float score, int32_t type) {
    const int32_t id = v->source.n_tokens++;
    v->tokens[id] = (pn_vocab_text){text, strlen(text)};
    v->scores[id] = score;
    v->types[id] = type;
    return id;
}

static inline void tiny_merge(tiny_vocab *v, const char *merge) {
    v->merges[v->source.n_merges++] = (pn_vocab_text){merge, strlen(merge)};
}

static inline void tiny_start(tiny_vocab *v, const char *model, const char *pre) {
    memset(v, 0, sizeof *v);
    pn_vocab_source *s = &v->source;
    s->model = (pn_vocab_text){model, strlen(model)};
    s->pre = (pn_vocab_text){pre, strlen(pre)};
    s->tokens = v->tokens;
    s->scores = v->scores;
    s->types = v->types;
    s->merges = v->merges;
    s->has_merges = true;
    s->bos = s->eos = s->eot = s->eom = s->unk = s->sep = s->pad = s->cls = s->mask = -1;
    s->add_bos = s->add_eos = s->add_sep = s->add_space_prefix = s->remove_extra_whitespaces = -1;
}

/* <unk> <s> </s>, 256 bytes from id 3, then pieces from id 259; id 270 is user-defined. */
static inline void tiny_spm(tiny_vocab *v) {
    tiny_start(v, "llama", "default");
    tiny_add(v, "<unk>", 0, PN_TOKEN_UNKNOWN);
    tiny_add(v, "<s>", 0, PN_TOKEN_CONTROL);
    tiny_add(v, "</s>", 0, PN_TOKEN_CONTROL);
    for (int b = 0; b < 256; b++) {
        (void)snprintf(v->storage[b], sizeof v->storage[b], "<0x%02X>", (unsigned)b);
        tiny_add(v, v->storage[b], 0, PN_TOKEN_BYTE);
    }
    static const char *const pieces[] = {
        "\xe2\x96\x81", "h", "e", "l", "o", "he", "ll", "hell", "hello", "\xe2\x96\x81hello", "lo"};
    static const float scores[] = {-20, -21, -22, -23, -24, -1, -2, -3, -4, -5, -1.5f};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        tiny_add(v, pieces[i], scores[i], PN_TOKEN_NORMAL);
    tiny_add(v, "[T]", 0, PN_TOKEN_USER_DEFINED);
    v->source.bos = 1;
    v->source.eos = 2;
    v->source.unk = 0;
}

/* Byte alphabet as ids 0..255 (id = byte), then merges, then <|end|> (control) and <|tool|>
 * (user-defined). */
static inline void tiny_bpe(tiny_vocab *v, const char *pre) {
    tiny_start(v, "gpt2", pre);
    for (int b = 0; b < 256; b++) {
        const int printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        const int c = printable ? b : b < 33 ? 256 + b : b < 161 ? 256 + 33 + b - 127 : 256 + 67;
        char *text = v->storage[b];
        if (c < 128)
            text[0] = (char)c;
        else {
            text[0] = (char)(0xc0 | c >> 6);
            text[1] = (char)(0x80 | (c & 63));
        }
        tiny_add(v, text, 0, PN_TOKEN_NORMAL);
    }
    static const char *const words[] = {"he", "ll", "hell", "hello", "\xc4\xa0h", "\xc4\xa0he"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        tiny_add(v, words[i], 0, PN_TOKEN_NORMAL);
    tiny_merge(v, "h e");
    tiny_merge(v, "l l");
    tiny_merge(v, "he ll");
    tiny_merge(v, "hell o");
    tiny_merge(v, "\xc4\xa0 he");
    tiny_add(v, "<|end|>", 0, PN_TOKEN_CONTROL);
    tiny_add(v, "<|tool|>", 0, PN_TOKEN_USER_DEFINED);
    v->source.bos = v->source.eos = 262;
}

/* [UNK] [CLS] [SEP], then word starts and continuations. */
static inline void tiny_wpm(tiny_vocab *v) {
    tiny_start(v, "bert", "bert-bge");
    tiny_add(v, "[UNK]", 0, PN_TOKEN_CONTROL);
    tiny_add(v, "[CLS]", 0, PN_TOKEN_CONTROL);
    tiny_add(v, "[SEP]", 0, PN_TOKEN_CONTROL);
    static const char *const pieces[] = {"\xe2\x96\x81un",
                                         "believ",
                                         "able",
                                         "\xe2\x96\x81"
                                         "a",
                                         "\xe2\x96\x81,",
                                         "\xe2\x96\x81\xe4\xb8\x80",
                                         "b"};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        tiny_add(v, pieces[i], 0, PN_TOKEN_NORMAL);
}

/* <pad> </s> <unk>, pieces with log probabilities; the map turns "A" into "a". */
static inline void tiny_ugm(tiny_vocab *v) {
    tiny_start(v, "t5", "default");
    tiny_add(v, "<pad>", 0, PN_TOKEN_CONTROL);
    tiny_add(v, "</s>", 0, PN_TOKEN_CONTROL);
    tiny_add(v, "<unk>", 0, PN_TOKEN_UNKNOWN);
    static const char *const pieces[] = {"\xe2\x96\x81",
                                         "a",
                                         "b",
                                         "ab",
                                         "\xe2\x96\x81"
                                         "ab",
                                         "bab"};
    static const float scores[] = {-2, -3, -3, -4, -7, -4.5f};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        tiny_add(v, pieces[i], scores[i], PN_TOKEN_NORMAL);
    static unsigned char map[4 + 512 * 4 + 2];
    const uint32_t units[][2] = {{0, 256u << 10}, {321, 'A' | 1u << 8 | 1u << 10}, {320, 1u << 31}};
    memset(map, 0, sizeof map);
    map[1] = 8; /* 2048 bytes of trie */
    for (size_t i = 0; i < 3; i++)
        for (int b = 0; b < 4; b++)
            map[4 + units[i][0] * 4 + (uint32_t)b] = (unsigned char)(units[i][1] >> 8 * b);
    map[4 + 2048] = 'a';
    v->source.charsmap = map;
    v->source.charsmap_bytes = sizeof map;
    v->source.add_space_prefix = 1;
    v->source.remove_extra_whitespaces = 1;
}

#endif
