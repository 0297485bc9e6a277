/* spm.c: SentencePiece BPE by scores (model "llama").
 *
 * Spaces are written U+2581, and one is put before a text and after every special token
 * (add_space_prefix). Starting from characters, the neighbours whose concatenation is the token of
 * the highest score are merged, leftmost first; what is no token in the end is spelled in byte
 * tokens.
 *
 * Most texts fall into words: where no token has the byte b right before U+2581, no merge
 * crosses "b U+2581" and the text may be cut there. */
#include "text/vocab_impl.h"

#include "base/utf8.h"

#include <string.h>

puna_status pn_spm_open(pn_vocab *vocab, puna_error *err) {
    (void)err;
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        const pn_vocab_text text = vocab->tokens[i];
        for (size_t k = 1; k + PN_SPACE_BYTES <= text.n; k++) {
            const unsigned char before = (unsigned char)text.data[k - 1];
            if (memcmp(text.data + k, PN_SPACE, PN_SPACE_BYTES) == 0)
                vocab->before_space[before / 8] |= (uint8_t)(1u << before % 8);
        }
    }
    return PUNA_OK;
}

/* Scores to ranks: the order of floats as integers, highest first. */
static uint32_t rank_of(float score) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    const uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return ~ascending; /* +inf: 0x007fffff, -inf: 0xff800000: never PN_RANK_NONE */
}

static int32_t find_plain(const pn_tokenizing *t, size_t start, size_t n) {
    const int32_t id = pn_strmap_get(&t->vocab->ids, t->buf.data + start, n);
    return id >= 0 && pn_vocab_is_plain(t->vocab, id) ? id : -1;
}

static bool spm_pair(const void *ctx, const pn_symbol *left, const pn_symbol *right, uint32_t *rank,
                     int32_t *id) {
    const pn_tokenizing *t = ctx;
    const size_t n = (size_t)left->len + right->len;
    if (left->id < 0 || right->id < 0) {
        *id = find_plain(t, left->start, n);
    } else {
        const uint32_t hash = (uint32_t)left->id * 2654435761u ^ (uint32_t)right->id * 2246822519u;
        const uint32_t at = (hash >> 16) % PN_PAIR_SLOTS;
        if (t->pairs->slots[at].left != left->id || t->pairs->slots[at].right != right->id) {
            t->pairs->slots[at].left = left->id;
            t->pairs->slots[at].right = right->id;
            t->pairs->slots[at].merged = find_plain(t, left->start, n);
        }
        *id = t->pairs->slots[at].merged;
    }
    if (*id >= 0) *rank = rank_of(t->vocab->scores[*id]);
    return *id >= 0;
}

/* Tokens of buf[start .. end). */
static puna_status word(pn_tokenizing *t, size_t start, size_t end) {
    const char *text = t->buf.data;
    pn_merge_clear(&t->merge);
    for (size_t i = start; i < end;) {
        const size_t len = pn_utf8_step(text + i, end - i);
        if (!pn_merge_add(&t->merge, i, len, find_plain(t, i, len)))
            return pn_fail_nomem(t->err, end - start, "tokenizing");
        i += len;
    }
    if (!pn_merge_run(&t->merge, spm_pair, t))
        return pn_fail_nomem(t->err, end - start, "tokenizing");
    for (int32_t i = 0; i >= 0; i = t->merge.symbols[i].next) {
        const pn_symbol *s = &t->merge.symbols[i];
        pn_begin_in_buf(t, s->start);
        if (s->id >= 0)
            pn_emit(t, s->id);
        else {
            const puna_status status = pn_emit_bytes(t, text + s->start, s->len);
            if (status) return status;
        }
    }
    return PUNA_OK;
}

static bool escape_spaces(pn_tokenizing *t, const char *text, size_t n) {
    t->buf.n = 0;
    t->prefix = t->vocab->add_space_prefix && t->after_special ? PN_SPACE_BYTES : 0;
    if (!pn_buf_append(&t->buf, PN_SPACE, t->prefix)) return false;
    for (size_t i = 0; i < n;) {
        const char *space = memchr(text + i, ' ', n - i);
        const size_t end = space ? (size_t)(space - text) : n;
        if (!pn_buf_append(&t->buf, text + i, end - i)) return false;
        if (space && !pn_buf_append(&t->buf, PN_SPACE, PN_SPACE_BYTES)) return false;
        i = end + (space ? 1 : 0);
    }
    return true;
}

puna_status pn_spm_text(pn_tokenizing *t, const char *text, size_t n) {
    if (!t->pairs) {
        t->pairs = pn_alloc(sizeof *t->pairs);
        if (!t->pairs) return pn_fail_nomem(t->err, sizeof *t->pairs, "tokenizing");
        for (size_t i = 0; i < PN_PAIR_SLOTS; i++) t->pairs->slots[i].left = -1;
    }
    if (!escape_spaces(t, text, n)) return pn_fail_nomem(t->err, n, "tokenizing");
    const char *buf = t->buf.data;
    size_t start = 0;
    for (size_t i = 1; i + PN_SPACE_BYTES <= t->buf.n; i++) {
        const unsigned char before = (unsigned char)buf[i - 1];
        if (buf[i] != PN_SPACE[0] || memcmp(buf + i, PN_SPACE, PN_SPACE_BYTES) != 0 ||
            (t->vocab->before_space[before / 8] & 1u << before % 8))
            continue;
        const puna_status status = word(t, start, i);
        if (status) return status;
        start = i;
    }
    return word(t, start, t->buf.n);
}
