/* ugm.c: the unigram model of SentencePiece (model "t5").
 *
 * Text is first normalized by the file's precompiled map: a double-array trie from byte strings to
 * replacements (Darts; each unit holds offset, label and leaf bit or, in a leaf, the place of the
 * replacement in a block of NUL-terminated strings). Spaces become U+2581. Then the segmentation of
 * the highest sum of token scores is found by dynamic programming over byte positions (Viterbi); a
 * character no token spells costs the lowest score minus 10.
 *
 * The map comes from the file: every step is checked against its bounds, and a step outside ends
 * the match. */
#include "text/vocab_impl.h"

#include "base/utf8.h"

#include <float.h>
#include <string.h>

#define UNKNOWN_PENALTY 10.0

struct pn_ugm {
    uint32_t *units;
    size_t n_units;
    const char *strings; /* replacements */
    size_t strings_bytes;
    double unknown_score;
};

static bool is_piece(const pn_vocab *vocab, int32_t token) {
    const uint8_t type = vocab->types[token];
    return type == PN_TOKEN_NORMAL || type == PN_TOKEN_USER_DEFINED || type == PN_TOKEN_UNUSED;
}

static puna_status read_charsmap(pn_vocab *vocab, const unsigned char *map, size_t bytes,
                                 puna_error *err) {
    if (!map || bytes == 0) return PUNA_OK;
    if (bytes < 4)
        return pn_fail(err, PUNA_E_FORMAT,
                       "tokenizer.ggml.precompiled_charsmap has %zu bytes: at least 4 expected",
                       bytes);
    const uint64_t trie =
        (uint64_t)map[0] | (uint64_t)map[1] << 8 | (uint64_t)map[2] << 16 | (uint64_t)map[3] << 24;
    if (trie % 4 != 0 || trie > bytes - 4)
        return pn_fail(err, PUNA_E_FORMAT,
                       "tokenizer.ggml.precompiled_charsmap: a trie of %llu bytes in a map of %zu",
                       (unsigned long long)trie, bytes);
    pn_ugm *ugm = vocab->ugm;
    const size_t n = (size_t)trie / 4;
    ugm->units = pn_arena_calloc(&vocab->arena, n + 1, sizeof *ugm->units);
    ugm->strings_bytes = bytes - 4 - (size_t)trie;
    ugm->strings = pn_arena_copy(&vocab->arena, (const char *)map + 4 + trie, ugm->strings_bytes);
    if (!ugm->units || !ugm->strings) return pn_fail_nomem(err, bytes, "the normalization map");
    for (size_t i = 0; i < n; i++) {
        const unsigned char *u = map + 4 + 4 * i;
        ugm->units[i] =
            (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
    }
    ugm->n_units = n;
    return PUNA_OK;
}

puna_status pn_ugm_open(pn_vocab *vocab, const pn_vocab_source *source, puna_error *err) {
    pn_ugm *ugm = vocab->ugm = pn_arena_calloc(&vocab->arena, 1, sizeof *ugm);
    if (!ugm) return pn_fail_nomem(err, sizeof *ugm, "the unigram model");
    double least = 0;
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        if (vocab->scores[i] < -FLT_MAX) vocab->scores[i] = -FLT_MAX;
        if (vocab->scores[i] > FLT_MAX) vocab->scores[i] = FLT_MAX;
        if (vocab->types[i] == PN_TOKEN_NORMAL && (double)vocab->scores[i] < least)
            least = (double)vocab->scores[i];
    }
    ugm->unknown_score = least - UNKNOWN_PENALTY;
    const puna_status status = read_charsmap(vocab, source->charsmap, source->charsmap_bytes, err);
    return status ? status : pn_prefix_open(vocab, &vocab->pieces, is_piece, err);
}

/* ---- normalization --------------------------------------------------------------------------- */

static size_t unit_offset(uint32_t unit) {
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* Replacement of the longest mapped prefix of text: returns the prefix's bytes, 0 when there is
 * none. */
static size_t find_mapping(const pn_ugm *ugm, const char *text, size_t n,
                           pn_vocab_text *replacement) {
    size_t longest = 0;
    size_t at = ugm->n_units ? unit_offset(ugm->units[0]) : 0;
    for (size_t i = 0; i < n && ugm->n_units; i++) {
        const unsigned char c = (unsigned char)text[i];
        at ^= c;
        if (c == 0 || at >= ugm->n_units) break;
        const uint32_t unit = ugm->units[at];
        if ((unit & (1u << 31 | 0xffu)) != c) break;
        at ^= unit_offset(unit);
        if (!(unit >> 8 & 1)) continue;
        const size_t place = at < ugm->n_units ? ugm->units[at] & 0x7fffffffu : SIZE_MAX;
        if (place >= ugm->strings_bytes) break;
        longest = i + 1;
        replacement->data = ugm->strings + place;
        replacement->n = strlen(replacement->data); /* the copy ends with a NUL */
    }
    return longest;
}

typedef struct spacing {
    bool in_word, prefixed;
} spacing;

static bool add_normalized(pn_tokenizing *t, spacing *s, const char *text, size_t n) {
    const pn_vocab *vocab = t->vocab;
    for (size_t i = 0; i < n; i++) {
        bool space = false;
        if (text[i] == ' ') {
            s->in_word = false;
            space = !vocab->remove_extra_whitespaces;
        } else if (!s->in_word) {
            s->in_word = true;
            space = vocab->remove_extra_whitespaces || (vocab->add_space_prefix && !s->prefixed);
            s->prefixed = s->prefixed || space;
        }
        if (space && !pn_buf_append(&t->buf, PN_SPACE, PN_SPACE_BYTES)) return false;
        if (text[i] != ' ' && !pn_buf_append(&t->buf, text + i, 1)) return false;
    }
    return true;
}

static puna_status normalize(pn_tokenizing *t, const char *text, size_t n) {
    const size_t limit = n * 32 + 4096; /* a hostile map may turn a byte into a megabyte */
    spacing s = {false, false};
    t->buf.n = 0;
    for (size_t i = 0; i < n;) {
        pn_vocab_text piece = {text + i, 0};
        size_t used = find_mapping(t->vocab->ugm, text + i, n - i, &piece);
        if (used == 0) {
            uint32_t c;
            used = piece.n = pn_utf8_decode(text + i, n - i, &c);
            if (used == 0) piece = (pn_vocab_text){"\xef\xbf\xbd", 3};
            if (used == 0) used = 1;
        }
        i += used;
        if (!add_normalized(t, &s, piece.data, piece.n))
            return pn_fail_nomem(t->err, t->buf.cap, "tokenizing");
        if (t->buf.n > limit)
            return pn_fail(t->err, PUNA_E_LIMIT,
                           "normalizing makes the text more than 32 times longer");
    }
    return PUNA_OK;
}

/* ---- segmentation ---------------------------------------------------------------------------- */

/* The best way to reach a byte position: the last token, where it begins, and the sum of scores. */
typedef struct best {
    int32_t token; /* -1: unknown character */
    uint32_t from;
    double score;
} best;

static void improve(best *b, int32_t token, size_t from, double score) {
    if (score > b->score) *b = (best){token, (uint32_t)from, score};
}

static void forward(const pn_vocab *vocab, const char *text, size_t n, best *table) {
    for (size_t i = 0; i < n;) {
        const size_t len = pn_utf8_step(text + i, n - i);
        const double here = table[i].score;
        pn_prefix_search search = {.vocab = vocab, .table = &vocab->pieces};
        bool single = false, more = true;
        for (size_t k = i; k < n && more; k++) {
            int32_t token;
            more = pn_prefix_next(&search, (unsigned char)text[k], &token);
            if (token < 0) continue;
            single = single || k + 1 - i == len;
            const bool user = vocab->types[token] == PN_TOKEN_USER_DEFINED;
            improve(&table[k + 1], token, i, here + (user ? 0.0 : (double)vocab->scores[token]));
        }
        if (!single) improve(&table[i + len], -1, i, here + vocab->ugm->unknown_score);
        i += len;
    }
}

/* Follows the table from the end; leaves the path in place, reversed into order. A run of
 * unknown characters is one. */
static puna_status emit_path(pn_tokenizing *t, const char *text, size_t n, best *table) {
    size_t after = n;
    for (size_t at = n; at > 0;) { /* table[from] of each step learns where the step ends */
        const size_t from = table[at].from;
        table[at].from = (uint32_t)after;
        after = at;
        at = from;
    }
    bool unknown = false;
    for (size_t at = after, done = 0; done < n;) {
        const int32_t token = table[at].token;
        const size_t next = table[at].from;
        if (token >= 0)
            pn_emit(t, token);
        else if (!unknown) {
            const puna_status status = pn_emit_unknown(t, text + done, at - done);
            if (status) return status;
        }
        unknown = token < 0;
        done = at;
        at = next;
    }
    return PUNA_OK;
}

puna_status pn_ugm_text(pn_tokenizing *t, const char *text, size_t n) {
    puna_status status = normalize(t, text, n);
    if (status || t->buf.n == 0) return status;
    n = t->buf.n;
    best *table = pn_realloc(NULL, n + 1, sizeof *table);
    if (!table) return pn_fail_nomem(t->err, (n + 1) * sizeof *table, "tokenizing");
    for (size_t i = 1; i <= n; i++) table[i] = (best){-1, 0, -DBL_MAX};
    table[0] = (best){-1, 0, 0};
    forward(t->vocab, t->buf.data, n, table);
    status = emit_path(t, t->buf.data, n, table);
    pn_free(table);
    return status;
}
