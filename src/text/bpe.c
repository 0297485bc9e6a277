/* bpe.c: byte pair encoding with ranked merges (models "gpt2" and "gemma4").
 *
 * Text is split into words (pretok.c). A word is a list of symbols, one per byte (byte-level
 * vocabularies write byte b as a character of the byte alphabet) or one per character ("gemma4":
 * UTF-8 with U+2581 for spaces), and merges in the order of the merge list. A merge is a pair of
 * symbol ids; texts in the merge list that are no tokens get ids beyond the vocabulary, so that a
 * merge may pass through them.
 *
 * The pairs stand in an open-addressing table (key: left id << 32 | right id), hashed with a
 * secret multiplier. */
#include "text/vocab_impl.h"

#include "base/log.h"
#include "base/utf8.h"

#include <string.h>

typedef struct pair_slot {
    uint64_t key; /* NO_KEY: free */
    uint32_t rank;
    int32_t merged;
} pair_slot;

#define NO_KEY UINT64_MAX

struct pn_bpe {
    pn_pretok *pretok;
    bool whole_words;
    pair_slot *slots;
    size_t n_slots;
    unsigned shift; /* slots = 1 << (64 - shift) */
    uint64_t multiplier;
    pn_strmap extra; /* texts of symbols that are no tokens -> id >= n_tokens */
    int32_t n_symbols;
};

/* ---- byte alphabet --------------------------------------------------------------------------- */

static bool is_printable(uint32_t byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
           (byte >= 174 && byte <= 255);
}

/* Printable bytes stand for themselves, the n-th other byte is U+0100 + n (GPT-2's
 * bytes_to_unicode). */
size_t pn_byte_to_char(unsigned char byte, char out[4]) {
    if (is_printable(byte)) return pn_utf8_encode(byte, out);
    uint32_t n = byte;
    if (byte > 126) n = byte == 173 ? 67 : byte - 127u + 33;
    return pn_utf8_encode(256 + n, out);
}

int32_t pn_char_to_byte(uint32_t code_point) {
    if (code_point < 256) return is_printable(code_point) ? (int32_t)code_point : -1;
    const uint32_t n = code_point - 256;
    if (n < 33) return (int32_t)n;
    if (n < 67) return (int32_t)(n - 33 + 127);
    return n == 67 ? 173 : -1;
}

/* ---- merges ---------------------------------------------------------------------------------- */

static pair_slot *find_slot(const pn_bpe *bpe, uint64_t key) {
    size_t at = (size_t)((key * bpe->multiplier) >> bpe->shift);
    while (bpe->slots[at].key != NO_KEY && bpe->slots[at].key != key)
        at = (at + 1) & (bpe->n_slots - 1);
    return &bpe->slots[at];
}

static uint64_t pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static int32_t find_symbol(const pn_vocab *vocab, const char *text, size_t n) {
    const int32_t id = pn_strmap_get(&vocab->ids, text, n);
    return id >= 0 ? id : pn_strmap_get(&vocab->bpe->extra, text, n);
}

/* The id of a text in the merge list, which becomes a symbol if it is none. -1: out of memory. */
static int32_t make_symbol(pn_vocab *vocab, const char *text, size_t n) {
    const int32_t id = find_symbol(vocab, text, n);
    if (id >= 0) return id;
    const char *copy = pn_arena_copy(&vocab->arena, text, n);
    int32_t old;
    if (!copy || !pn_strmap_add(&vocab->bpe->extra, copy, n, vocab->bpe->n_symbols, &old))
        return -1;
    return vocab->bpe->n_symbols++;
}

/* "left right", split at the first space that is not the first byte. False: out of memory. */
static bool add_merge(pn_vocab *vocab, pn_vocab_text merge, int32_t rank, pn_buf *joined,
                      int32_t *n_bad) {
    const char *space = merge.n > 1 ? memchr(merge.data + 1, ' ', merge.n - 1) : NULL;
    const size_t n_left = space ? (size_t)(space - merge.data) : 0;
    if (!space || n_left + 1 == merge.n) {
        ++*n_bad;
        return true;
    }
    const char *right_text = space + 1;
    const size_t n_right = merge.n - n_left - 1;
    joined->n = 0;
    if (!pn_buf_append(joined, merge.data, n_left) || !pn_buf_append(joined, right_text, n_right))
        return false;
    const int32_t left = make_symbol(vocab, merge.data, n_left);
    const int32_t right = make_symbol(vocab, right_text, n_right);
    const int32_t both = make_symbol(vocab, joined->data, joined->n);
    if (left < 0 || right < 0 || both < 0) return false;
    if (both < vocab->n_tokens && !pn_vocab_is_plain(vocab, both))
        return true; /* text never becomes control */
    pair_slot *slot = find_slot(vocab->bpe, pair_key(left, right));
    if (slot->key == NO_KEY) *slot = (pair_slot){pair_key(left, right), (uint32_t)rank, both};
    return true;
}

static puna_status add_merges(pn_vocab *vocab, const pn_vocab_source *source, puna_error *err) {
    pn_bpe *bpe = vocab->bpe;
    const int32_t n = source->n_merges > 0 ? source->n_merges : 0;
    bpe->shift = 63;
    for (bpe->n_slots = 2; bpe->n_slots < (size_t)n * 2; bpe->n_slots *= 2) bpe->shift--;
    bpe->slots = pn_realloc(NULL, bpe->n_slots, sizeof *bpe->slots);
    if (!bpe->slots) return pn_fail_nomem(err, bpe->n_slots * sizeof *bpe->slots, "the merges");
    for (size_t i = 0; i < bpe->n_slots; i++) bpe->slots[i] = (pair_slot){NO_KEY, 0, 0};
    bpe->multiplier = pn_hash("merges", 6) | 1;
    pn_buf joined = {0};
    int32_t n_bad = 0;
    bool ok = true;
    for (int32_t i = 0; i < n && ok; i++)
        ok = add_merge(vocab, source->merges[i], i, &joined, &n_bad);
    pn_buf_free(&joined);
    if (!ok) return pn_fail_nomem(err, (size_t)n * 64, "the merges");
    if (n_bad > 0)
        pn_log(PUNA_LOG_WARN, "vocabulary: %d merges are not two texts and a space; ignored",
               n_bad);
    return PUNA_OK;
}

static void find_byte_symbols(pn_vocab *vocab) {
    for (int b = 0; b < 256; b++) {
        char text[4];
        const size_t n = pn_byte_to_char((unsigned char)b, text);
        const int32_t id = find_symbol(vocab, text, n);
        const bool usable = id >= vocab->n_tokens || (id >= 0 && pn_vocab_is_plain(vocab, id));
        vocab->byte_ids[b] = usable ? id : -1;
    }
}

puna_status pn_bpe_open(pn_vocab *vocab, const pn_vocab_source *source,
                        const pn_pretok_info *pretok, puna_error *err) {
    if (!source->has_merges)
        return pn_fail(err, PUNA_E_FORMAT,
                       "a BPE tokenizer needs merges: key tokenizer.ggml.merges is missing");
    pn_bpe *bpe = vocab->bpe = pn_calloc(1, sizeof *bpe);
    if (!bpe) return pn_fail_nomem(err, sizeof *bpe, "the merges");
    bpe->n_symbols = vocab->n_tokens;
    bpe->whole_words = pretok->flags & PN_PRETOK_WHOLE_WORDS;
    puna_status status = pn_pretok_open(pretok, &bpe->pretok, err);
    if (!status) status = add_merges(vocab, source, err);
    if (!status && vocab->byte_level) find_byte_symbols(vocab);
    return status;
}

void pn_bpe_free(pn_bpe *bpe) {
    if (!bpe) return;
    pn_pretok_free(bpe->pretok);
    pn_strmap_free(&bpe->extra);
    pn_free(bpe->slots);
    pn_free(bpe);
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool bpe_pair(const void *ctx, const pn_symbol *left, const pn_symbol *right, uint32_t *rank,
                     int32_t *id) {
    const pn_bpe *bpe = ctx;
    if (left->id < 0 || right->id < 0) return false;
    const pair_slot *slot = find_slot(bpe, pair_key(left->id, right->id));
    *rank = slot->rank;
    *id = slot->merged;
    return slot->key != NO_KEY;
}

/* The token whose whole text is the word, or -1. */
static int32_t whole_word(const pn_vocab *vocab, const char *text, size_t n) {
    char spelled[512];
    size_t n_spelled = n;
    if (vocab->byte_level) {
        if (n > sizeof spelled / 2) return -1;
        n_spelled = 0;
        for (size_t i = 0; i < n; i++) {
            char c[4];
            const size_t len = pn_byte_to_char((unsigned char)text[i], c);
            memcpy(spelled + n_spelled, c, len);
            n_spelled += len;
        }
        text = spelled;
    }
    const int32_t id = pn_strmap_get(&vocab->ids, text, n_spelled);
    return id >= 0 && pn_vocab_is_plain(vocab, id) ? id : -1;
}

static void begin_at(pn_tokenizing *t, const char *text) {
    if (!t->vocab->byte_level)
        pn_begin_in_buf(t, (size_t)(text - t->buf.data));
    else
        t->at = (size_t)(text - t->text);
}

/* A symbol that is no token: its bytes as far as they are tokens. As published tokenizers do, a
 * byte-level vocabulary without a token for a byte drops the byte. */
static puna_status emit_symbol(pn_tokenizing *t, const char *text, const pn_symbol *s) {
    const pn_vocab *vocab = t->vocab;
    begin_at(t, text + s->start);
    if (s->id >= 0 && s->id < vocab->n_tokens) {
        pn_emit(t, s->id);
        return PUNA_OK;
    }
    if (!vocab->byte_level) return pn_emit_bytes(t, text + s->start, s->len);
    for (uint32_t i = 0; i < s->len; i++) {
        const int32_t id = vocab->byte_ids[(unsigned char)text[s->start + i]];
        if (id >= 0 && id < vocab->n_tokens) pn_emit(t, id);
    }
    return PUNA_OK;
}

static puna_status word(pn_tokenizing *t, const char *text, size_t start, size_t end) {
    const pn_vocab *vocab = t->vocab;
    const bool newlines = !vocab->byte_level && text[start] == '\n';
    const int32_t whole =
        vocab->bpe->whole_words || newlines ? whole_word(vocab, text + start, end - start) : -1;
    if (whole >= 0) {
        begin_at(t, text + start);
        pn_emit(t, whole);
        return PUNA_OK;
    }
    pn_merge_clear(&t->merge);
    for (size_t i = start; i < end;) {
        const size_t len = vocab->byte_level ? 1 : pn_utf8_step(text + i, end - i);
        int32_t id = vocab->byte_level ? vocab->byte_ids[(unsigned char)text[i]]
                                       : find_symbol(vocab, text + i, len);
        if (id >= 0 && id < vocab->n_tokens && !pn_vocab_is_plain(vocab, id)) id = -1;
        if (!pn_merge_add(&t->merge, i, len, id))
            return pn_fail_nomem(t->err, end - start, "tokenizing");
        i += len;
    }
    if (!pn_merge_run(&t->merge, bpe_pair, vocab->bpe))
        return pn_fail_nomem(t->err, end - start, "tokenizing");
    for (int32_t i = 0; i >= 0; i = t->merge.symbols[i].next) {
        const puna_status status = emit_symbol(t, text, &t->merge.symbols[i]);
        if (status) return status;
    }
    return PUNA_OK;
}

static bool escape_spaces(pn_buf *buf, const char *text, size_t n) {
    buf->n = 0;
    for (size_t i = 0; i < n; i++)
        if (!(text[i] == ' ' ? pn_buf_append(buf, PN_SPACE, PN_SPACE_BYTES)
                             : pn_buf_append(buf, text + i, 1)))
            return false;
    return true;
}

/* The patterns see valid UTF-8 only; a run of bytes that is none is a word of its own. */
puna_status pn_bpe_text(pn_tokenizing *t, const char *text, size_t n) {
    if (!t->vocab->byte_level) {
        if (!escape_spaces(&t->buf, text, n)) return pn_fail_nomem(t->err, n, "tokenizing");
        text = t->buf.data;
        n = t->buf.n;
    }
    for (size_t i = 0; i < n;) {
        const size_t valid = pn_utf8_valid(text + i, n - i);
        if (valid > 0) {
            puna_status status =
                pn_pretok_split(t->vocab->bpe->pretok, text + i, valid, &t->pieces, t->err);
            for (size_t k = 0; k < t->pieces.n && !status; k++) {
                const pn_piece p = t->pieces.pieces[k];
                status = word(t, text + i, p.start, (size_t)p.start + p.len);
            }
            if (status) return status;
            i += valid;
        }
        size_t bad = i;
        while (bad < n && pn_utf8_valid(text + bad, n - bad < 4 ? n - bad : 4) == 0) bad++;
        if (bad > i) {
            const puna_status status = word(t, text, i, bad);
            if (status) return status;
        }
        i = bad;
    }
    return PUNA_OK;
}
