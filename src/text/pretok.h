/* pretok.h: splits text into the words that byte-level BPE merges within, by the patterns of
 * pretok.def. */
#ifndef PN_TEXT_PRETOK_H
#define PN_TEXT_PRETOK_H

#include "base/error.h"

#define PN_PRETOK_MAX_PATTERNS 6

enum {
    PN_PRETOK_WHOLE_WORDS = 1, /* a word that is a token is taken without merging */
    PN_PRETOK_ADD_BOS = 2,     /* BOS is added unless the file says otherwise */
    PN_PRETOK_CLEAN_UP = 4,    /* PUNA_DETOKENIZE_CLEAN_UP applies */
    PN_PRETOK_SPACES =
        8 /* SentencePiece spelling: U+2581 for spaces, UTF-8 and <0xNN>, no byte alphabet */
};

/* A row of pretok.def. */
typedef struct pn_pretok_info {
    const char *name;
    uint32_t flags;
    const char
        *patterns[PN_PRETOK_MAX_PATTERNS]; /* applied one after the other; NULL ends the list */
} pn_pretok_info;

/* NULL for an unknown name. Aliases give the row they stand for. */
const pn_pretok_info *pn_pretok_find(const char *name, size_t n);

typedef struct pn_pretok pn_pretok;
puna_status pn_pretok_open(const pn_pretok_info *info, pn_pretok **pretok, puna_error *err);
void pn_pretok_free(pn_pretok *pretok);

typedef struct pn_piece {
    uint32_t start, len;
} pn_piece;

/* Zeroed: empty. Holds the pieces of the last split. */
typedef struct pn_pretok_work {
    pn_piece *pieces, *next;
    size_t n, cap, n_next, next_cap;
    void *match; /* PCRE2 match data */
} pn_pretok_work;

/* Splits text (valid UTF-8, at most 1 GiB) into work->pieces, which cover it in order. */
puna_status pn_pretok_split(const pn_pretok *pretok, const char *text, size_t n,
                            pn_pretok_work *work, puna_error *err);
void pn_pretok_work_free(pn_pretok_work *work);

#endif
