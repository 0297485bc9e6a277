/* wpm.c: WordPiece (model "bert"), as BERT's uncased tokenizer defines it.
 *
 * Text is cleaned (control and unassigned characters go), Chinese characters and punctuation
 * become words of their own, letters lose their accents (NFD without Mn) and case. A word is the
 * longest token at its start, then the longest that continues there, and so on; a word with a
 * part that no token spells, or of more than 100 characters, is [UNK]. The file writes the start
 * of a word with U+2581 and continuations plainly. */
#include "text/vocab_impl.h"

#include "base/utf8.h"

#include <string.h>
#include <utf8proc.h>

#define MAX_WORD_CHARS 100
#define MAX_DECOMPOSED 32

static bool is_chinese(uint32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static bool is_space(uint32_t c, utf8proc_category_t category) {
    return c == '\t' || c == '\n' || c == '\r' ||
           (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP);
}

/* Every category C: control, format, surrogate, private use, unassigned. */
static bool is_dropped(uint32_t c, utf8proc_category_t category) {
    return c == 0xfffd || category == UTF8PROC_CATEGORY_CN ||
           (category >= UTF8PROC_CATEGORY_CC && category <= UTF8PROC_CATEGORY_CO);
}

static bool is_punctuation(uint32_t c, utf8proc_category_t category) {
    if (c < 128)
        return (c > 32 && c < 48) || (c > 57 && c < 65) || (c > 90 && c < 97) ||
               (c > 122 && c < 127);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/* The word being built: t->buf holds U+2581 and the characters so far. */
typedef struct word {
    pn_tokenizing *t;
    size_t n_chars;
} word;

static puna_status finish_word(word *w) {
    pn_tokenizing *t = w->t;
    const size_t n = t->buf.n, n_chars = w->n_chars;
    const char *text = t->buf.data;
    w->n_chars = 0;
    t->buf.n = 0;
    if (n_chars == 0) return PUNA_OK;
    const int64_t first = t->n_tokens;
    for (size_t i = 0; i < n;) {
        const int32_t token =
            n_chars > MAX_WORD_CHARS ? -1 : pn_prefix_longest(t->vocab, text + i, n - i);
        if (token < 0) {
            t->n_tokens = first;
            return pn_emit_unknown(t, text + PN_SPACE_BYTES, n - PN_SPACE_BYTES);
        }
        pn_emit(t, token);
        i += t->vocab->tokens[token].n;
    }
    return PUNA_OK;
}

static puna_status add_char(word *w, uint32_t c) {
    pn_tokenizing *t = w->t;
    if (w->n_chars++ > MAX_WORD_CHARS) return PUNA_OK; /* already [UNK] */
    if (w->n_chars == 1) {
        t->buf.n = 0;
        if (!pn_buf_append(&t->buf, PN_SPACE, PN_SPACE_BYTES))
            return pn_fail_nomem(t->err, t->buf.cap, "tokenizing");
    }
    char utf8[4];
    const size_t len = pn_utf8_encode(c, utf8);
    return pn_buf_append(&t->buf, utf8, len) ? PUNA_OK
                                             : pn_fail_nomem(t->err, t->buf.cap, "tokenizing");
}

/* One character after decomposition. */
static puna_status add_part(word *w, uint32_t c) {
    const pn_vocab *vocab = w->t->vocab;
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    if (!vocab->keep_accents && category == UTF8PROC_CATEGORY_MN) return PUNA_OK;
    if (!vocab->keep_case) c = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    const bool alone = is_punctuation(c, category);
    puna_status status = alone ? finish_word(w) : PUNA_OK;
    if (!status) status = add_char(w, c);
    return status || !alone ? status : finish_word(w);
}

static puna_status add_parts(word *w, uint32_t c) {
    utf8proc_int32_t parts[MAX_DECOMPOSED] = {(utf8proc_int32_t)c};
    utf8proc_ssize_t n = 1;
    if (c >= 128 && !w->t->vocab->keep_accents) {
        int boundary = 0;
        n = utf8proc_decompose_char((utf8proc_int32_t)c, parts, MAX_DECOMPOSED, UTF8PROC_DECOMPOSE,
                                    &boundary);
        if (n < 1 || n > MAX_DECOMPOSED) n = 1;
    }
    puna_status status = PUNA_OK;
    for (utf8proc_ssize_t i = 0; i < n && !status; i++) status = add_part(w, (uint32_t)parts[i]);
    return status;
}

puna_status pn_wpm_open(pn_vocab *vocab, puna_error *err) {
    return pn_prefix_open(vocab, &vocab->pieces, pn_vocab_is_plain, err);
}

puna_status pn_wpm_text(pn_tokenizing *t, const char *text, size_t n) {
    word w = {t, 0};
    t->buf.n = 0;
    puna_status status = PUNA_OK;
    for (size_t i = 0; i < n && !status;) {
        uint32_t c = 0xfffd;
        const size_t len = pn_utf8_decode(text + i, n - i, &c);
        i += len ? len : 1;
        const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
        if (is_space(c, category)) {
            status = finish_word(&w);
        } else if (!is_dropped(c, category)) {
            const bool alone = is_chinese(c);
            if (alone) status = finish_word(&w);
            if (!status) status = add_parts(&w, c);
            if (alone && !status) status = finish_word(&w);
        }
    }
    return status ? status : finish_word(&w);
}
