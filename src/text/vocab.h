/* vocab.h: a vocabulary and its tokenizer: text to ids and back.
 *
 * The layer knows nothing of GGUF: whoever loads a file fills a pn_vocab_source, whose counts and
 * contents are checked here (a hostile file gets an error or harmless tokens, never a crash). One
 * file per algorithm: spm.c (SentencePiece merges with byte fallback), bpe.c (BPE; patterns in
 * pretok.def), wpm.c (WordPiece), ugm.c (unigram).
 *
 * Immutable once open; any number of threads may use it at once. */
#ifndef PN_TEXT_VOCAB_H
#define PN_TEXT_VOCAB_H

#include "base/error.h"

typedef struct pn_vocab_text {
    const char *data;
    size_t n;
} pn_vocab_text;

/* Token types of the file format. */
enum {
    PN_TOKEN_NORMAL = 1,
    PN_TOKEN_UNKNOWN = 2,
    PN_TOKEN_CONTROL = 3,
    PN_TOKEN_USER_DEFINED = 4,
    PN_TOKEN_UNUSED = 5,
    PN_TOKEN_BYTE = 6
};

/* What a model file says about its vocabulary. Pointers must stay valid only during
 * pn_vocab_open. Ids are -1 when the file does not name them. `add_bos` and the like: -1 not
 * said, 0, 1. */
typedef struct pn_vocab_source {
    pn_vocab_text model; /* tokenizer.ggml.model: "llama", "gpt2", "bert", "t5", "gemma4" */
    pn_vocab_text pre;   /* tokenizer.ggml.pre, n = 0 when absent */
    const pn_vocab_text *tokens;
    int32_t n_tokens;
    const float *scores;  /* n_tokens, or NULL */
    const int32_t *types; /* n_tokens, or NULL */
    const pn_vocab_text *merges;
    int32_t n_merges;
    bool has_merges;
    const unsigned char *charsmap; /* tokenizer.ggml.precompiled_charsmap (t5 only), or NULL */
    size_t charsmap_bytes;
    /* Ids outside the vocabulary are ignored with a logged warning. */
    int64_t bos, eos, eot, eom, unk, sep, pad, cls, mask;
    int32_t add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces;
    /* general.architecture, general.name: a few published files are known to strip spaces beside
     * special tokens, which no key says. */
    pn_vocab_text architecture, name;
    /* bert only: tokenizer.ggml.normalizer.{lowercase,strip_accents} is false. */
    bool keep_case, keep_accents;
} pn_vocab_source;

typedef struct pn_vocab pn_vocab;

puna_status pn_vocab_open(const pn_vocab_source *source, pn_vocab **vocab, puna_error *err);
void pn_vocab_free(pn_vocab *vocab);

int32_t pn_vocab_n_tokens(const pn_vocab *vocab);
/* "llama", "gpt2/smollm", "bert": for people. */
const char *pn_vocab_name(const pn_vocab *vocab);
/* The token's text as stored (SentencePiece: with U+2581; BPE: in its byte alphabet). */
pn_vocab_text pn_vocab_token_text(const pn_vocab *vocab, int32_t token);
int32_t pn_vocab_token_type(const pn_vocab *vocab, int32_t token);
int32_t pn_vocab_special(const pn_vocab *vocab, puna_special which); /* -1: none */
/* EOS, EOT, EOM and tokens whose text marks the end in a known chat format (<|im_end|>,
 * <|eot_id|>, <end_of_turn>, <|end|>, <|endoftext|>, ...). */
bool pn_vocab_is_end(const pn_vocab *vocab, int32_t token);
bool pn_vocab_is_control(const pn_vocab *vocab, int32_t token);
bool pn_vocab_adds_bos(const pn_vocab *vocab);
bool pn_vocab_adds_eos(const pn_vocab *vocab);

/* puna_tokenize and puna_detokenize on a vocabulary: same flags, same size protocol. A
 * SentencePiece text that begins with the text of BOS gets a second BOS when both flags ask for
 * it. */
puna_status pn_vocab_tokenize(const pn_vocab *vocab, const char *text, size_t text_bytes,
                              uint32_t flags, int32_t *tokens, int32_t max_tokens,
                              int32_t *n_tokens, puna_error *err);
/* A range of bytes of a text. */
typedef struct pn_vocab_range {
    size_t begin, end;
} pn_vocab_range;
/* The same for text of which only some ranges (ascending, apart from each other) may hold special
 * tokens: a special token must lie within one. User-defined tokens are found everywhere, except
 * those spelled <|...|>, which models that were given a chat format later have for special ones.
 * Plain text is tokenized across the borders as if there were none. flags:
 * PUNA_TOKENIZE_ADD_SPECIAL or 0. starts (or NULL) gets the offset of each token's first byte, at
 * most max_tokens; SIZE_MAX for a token that was added. WordPiece and unigram vocabularies, whose
 * tokens are of changed text, give the offset of the run of text between special tokens. */
puna_status pn_vocab_tokenize_ranges(const pn_vocab *vocab, const char *text, size_t text_bytes,
                                     const pn_vocab_range *ranges, size_t n_ranges, uint32_t flags,
                                     int32_t *tokens, size_t *starts, int32_t max_tokens,
                                     int32_t *n_tokens, puna_error *err);
puna_status pn_vocab_detokenize(const pn_vocab *vocab, const int32_t *tokens, int32_t n_tokens,
                                uint32_t flags, char *text, size_t max_bytes, size_t *n_bytes,
                                puna_error *err);

/* ---- incremental detokenizing: hands out complete UTF-8 characters only ---------------------- */

/* Bytes of an unfinished character wait in it. A zeroed pn_detok starts a new text. Owned by the
 * caller. */
typedef struct pn_detok {
    bool started;
    unsigned char pending[8];
    int32_t n_pending;
} pn_detok;

/* Bytes pn_detok_push can hand out for one token at most. */
size_t pn_detok_max_bytes(const pn_vocab *vocab);
/* Adds a token; writes the characters that are now complete to text (pn_detok_max_bytes) and
 * returns their number of bytes. Control tokens write nothing. Bytes that can never become valid
 * UTF-8 come out as U+FFFD. keep_space: false drops the leading space a SentencePiece vocabulary
 * puts before the first token. */
size_t pn_detok_push(const pn_vocab *vocab, pn_detok *detok, int32_t token, bool keep_space,
                     char *text);
/* What is left at the end: an unfinished character as U+FFFD. Returns bytes written (at most 3). */
size_t pn_detok_finish(pn_detok *detok, char *text);

#endif
