/* plain_vocab.h: a byte-level vocabulary of given tokens, for tests that sample and do not tokenize. */
#ifndef PLAIN_VOCAB_H
#define PLAIN_VOCAB_H

#include "text/vocab.h"

/* The last token ends a text. The texts are copied. */
static inline pn_vocab *open_plain_vocab(const pn_vocab_text *tokens, int32_t n) {
    pn_vocab_text merge = {"a b", 3};
    const pn_vocab_source source = {.model = {"gpt2", 4},
                                    .pre = {"gpt-2", 5},
                                    .tokens = tokens,
                                    .n_tokens = n,
                                    .merges = &merge,
                                    .n_merges = 1,
                                    .has_merges = true,
                                    .bos = -1,
                                    .eos = n - 1,
                                    .eot = -1,
                                    .eom = -1,
                                    .unk = -1,
                                    .sep = -1,
                                    .pad = -1,
                                    .cls = -1,
                                    .mask = -1,
                                    .add_bos = -1,
                                    .add_eos = -1,
                                    .add_sep = -1,
                                    .add_space_prefix = -1,
                                    .remove_extra_whitespaces = -1};
    pn_vocab *vocab = NULL;
    puna_error err = {0};
    if (pn_vocab_open(&source, &vocab, &err) != PUNA_OK) fail_msg("vocabulary: %s", err.msg);
    return vocab;
}

#endif
