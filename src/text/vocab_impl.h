/* vocab_impl.h: what the files of src/text share: the vocabulary itself and the state of one
 * tokenize call.
 *
 * The vocabulary copies everything it keeps into its arena. Token texts are not empty and at
 * most PN_MAX_TOKEN_BYTES long; where a text occurs twice, the lower id owns it. */
#ifndef PN_TEXT_VOCAB_IMPL_H
#define PN_TEXT_VOCAB_IMPL_H

#include "base/mem.h"
#include "base/strmap.h"
#include "text/merge.h"
#include "text/pretok.h"
#include "text/vocab.h"

#define PN_MAX_TEXT_BYTES ((size_t)1 << 30)
#define PN_SPACE          "\xe2\x96\x81" /* U+2581, how SentencePiece writes a space */
#define PN_SPACE_BYTES    3

typedef enum pn_vocab_model {
    PN_VOCAB_SPM,
    PN_VOCAB_BPE,
    PN_VOCAB_WPM,
    PN_VOCAB_UGM
} pn_vocab_model;

/* STRIP: white space beside the token is eaten. SPECIAL: found in text where special tokens are,
 * though of normal type. */
enum { PN_MARK_STRIP_LEFT = 1, PN_MARK_STRIP_RIGHT = 2, PN_MARK_SPECIAL = 4 };

/* Tokens sorted by text. first[b] .. first[b+1]: those that begin with byte b. prefix.c */
typedef struct pn_prefix_table {
    int32_t *ids;
    int32_t first[257];
} pn_prefix_table;

typedef struct pn_bpe pn_bpe;
typedef struct pn_ugm pn_ugm;

struct pn_vocab {
    pn_arena arena;
    pn_vocab_model model;
    char name[48];
    int32_t n_tokens;
    pn_vocab_text *tokens;
    float *scores;  /* 0 where the file has none; never NaN */
    uint8_t *types; /* PN_TOKEN_ */
    uint8_t *marks; /* PN_MARK_ */
    uint8_t *ends;  /* 1: ends a generation */
    size_t max_token_bytes;
    pn_strmap ids;
    int32_t byte_ids
        [256]; /* BPE: symbol of a byte, may lie beyond n_tokens; SPM, UGM: <0xNN>; -1: none */
    int32_t special[9]; /* by puna_special */
    pn_prefix_table
        specials; /* control, unknown and user-defined tokens: looked for before anything else */
    pn_prefix_table pieces; /* WPM, UGM: what text is made of */
    bool add_bos, add_eos, add_space_prefix, remove_extra_whitespaces, keep_case, keep_accents;
    bool escapes_spaces;      /* tokens write a space as U+2581 */
    bool byte_level;          /* tokens are written in the byte alphabet */
    bool cleans_up;           /* what PUNA_DETOKENIZE_CLEAN_UP asks for applies */
    uint8_t before_space[32]; /* SPM: bit b set: in some token byte b stands right before U+2581 */
    pn_bpe *bpe;
    pn_ugm *ugm;
};

/* SPM: what pairs of tokens merge to (-1: nothing), the most recent pair of each slot. Texts
 * repeat their pairs, and a look-up by text costs a hash. */
#define PN_PAIR_SLOTS 8192u
typedef struct pn_pair_cache {
    struct {
        int32_t left, right, merged;
    } slots[PN_PAIR_SLOTS];
} pn_pair_cache;

/* State of one tokenize call: output that counts beyond its capacity, and buffers. */
typedef struct pn_tokenizing {
    const pn_vocab *vocab;
    int32_t *tokens;
    size_t *starts; /* of each token, or NULL */
    int32_t max_tokens;
    int64_t n_tokens;
    const char *text; /* the whole of it */
    const char *run;  /* the run of text between special tokens at hand */
    size_t at;        /* where the next token begins: offset in text */
    /* buf holds prefix bytes and run with spaces written as U+2581: prefix + buf_at is run_at */
    size_t prefix, buf_at, run_at;
    bool without_markup; /* see pn_special_match */
    bool after_special;  /* the text at hand begins the input or follows a special token */
    pn_buf buf;
    pn_merge merge;
    pn_pair_cache *pairs;
    pn_pretok_work pieces;
    puna_error *err;
} pn_tokenizing;

static inline void pn_emit(pn_tokenizing *t, int32_t token) {
    if (t->n_tokens < t->max_tokens) {
        t->tokens[t->n_tokens] = token;
        if (t->starts) t->starts[t->n_tokens] = t->at;
    }
    t->n_tokens++;
}

/* The next token begins at an offset of buf that is no smaller than the last one. */
static inline void pn_begin_in_buf(pn_tokenizing *t, size_t at) {
    if (!t->starts) return;
    while (t->prefix + t->buf_at < at) t->buf_at += t->run[t->run_at++] == ' ' ? PN_SPACE_BYTES : 1;
    t->at = (size_t)(t->run - t->text) + t->run_at;
}

/* True for tokens that plain text may become: not control, unknown or byte tokens. */
static inline bool pn_vocab_is_plain(const pn_vocab *vocab, int32_t token) {
    const uint8_t type = vocab->types[token];
    return type != PN_TOKEN_CONTROL && type != PN_TOKEN_UNKNOWN && type != PN_TOKEN_BYTE;
}

/* The byte of a text "<0xNN>", or -1. */
int32_t pn_byte_of_text(pn_vocab_text text);
/* The byte alphabet: UTF-8 of the character that stands for a byte, and back (-1: not in the
 * alphabet). */
size_t pn_byte_to_char(unsigned char byte, char out[4]);
int32_t pn_char_to_byte(uint32_t code_point);

#define PN_MAX_PREFIX_BYTES 512

puna_status pn_prefix_open(pn_vocab *vocab, pn_prefix_table *table,
                           bool (*wanted)(const pn_vocab *, int32_t), puna_error *err);
/* A walk along a text; start with depth 0. */
typedef struct pn_prefix_search {
    const pn_vocab *vocab;
    const pn_prefix_table *table;
    int32_t lo, hi;
    size_t depth;
} pn_prefix_search;
/* Takes the next byte. *token: the one whose text ends with it, or -1. False: no longer one
 * begins like this. */
bool pn_prefix_next(pn_prefix_search *search, unsigned char byte, int32_t *token);
/* The longest of vocab->pieces that text begins with, or -1. */
int32_t pn_prefix_longest(const pn_vocab *vocab, const char *text, size_t n);

puna_status pn_special_open(pn_vocab *vocab, puna_error *err);
/* The longest special token that text (n > 0) begins with, or -1. Within the first n_special bytes
 * of it any, beyond only user-defined ones, without_markup: but none spelled <|...|>. */
int32_t pn_special_match(const pn_vocab *vocab, const char *text, size_t n, size_t n_special,
                         bool without_markup);

/* One per algorithm. open: after tokens, types, ids and flags are set. text: appends the tokens
 * of a run of text that holds no special tokens; n > 0. */
puna_status pn_spm_open(pn_vocab *vocab, puna_error *err);
puna_status pn_spm_text(pn_tokenizing *t, const char *text, size_t n);
puna_status pn_bpe_open(pn_vocab *vocab, const pn_vocab_source *source,
                        const pn_pretok_info *pretok, puna_error *err);
puna_status pn_bpe_text(pn_tokenizing *t, const char *text, size_t n);
void pn_bpe_free(pn_bpe *bpe);
puna_status pn_wpm_open(pn_vocab *vocab, puna_error *err);
puna_status pn_wpm_text(pn_tokenizing *t, const char *text, size_t n);
puna_status pn_ugm_open(pn_vocab *vocab, const pn_vocab_source *source, puna_error *err);
puna_status pn_ugm_text(pn_tokenizing *t, const char *text, size_t n);

/* Text that no token spells: the unknown token, or an error where there is none. */
puna_status pn_emit_unknown(pn_tokenizing *t, const char *text, size_t n);
/* Tokens of a character that is no token: its bytes, or the unknown token. */
puna_status pn_emit_bytes(pn_tokenizing *t, const char *text, size_t n);

#endif
