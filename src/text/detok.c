/* detok.c: ids to text, whole and one token at a time.
 *
 * A token's text never takes more bytes than the token as stored. The incremental form holds
 * back the bytes of an unfinished character; what it hands out, concatenated, is the whole text
 * with invalid UTF-8 as U+FFFD (one for every byte that cannot be part of a character). */
#include "text/vocab_impl.h"

#include "base/utf8.h"

#include <string.h>

#define REPLACEMENT       "\xef\xbf\xbd"
#define REPLACEMENT_BYTES 3

/* SentencePiece spelling to text. */
static size_t write_spaced(pn_vocab_text token, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < token.n;) {
        if (token.n - i >= PN_SPACE_BYTES &&
            memcmp(token.data + i, PN_SPACE, PN_SPACE_BYTES) == 0) {
            out[n++] = ' ';
            i += PN_SPACE_BYTES;
        } else {
            out[n++] = token.data[i++];
        }
    }
    return n;
}

/* Byte alphabet to bytes; characters outside it stand for themselves. */
static size_t write_bytes(pn_vocab_text token, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < token.n;) {
        uint32_t c = 0;
        const size_t len = pn_utf8_decode(token.data + i, token.n - i, &c);
        const int32_t byte = len ? pn_char_to_byte(c) : -1;
        if (byte >= 0) {
            out[n++] = (char)(unsigned char)byte;
            i += len;
        } else {
            for (size_t end = i + (len ? len : 1); i < end; i++) out[n++] = token.data[i];
        }
    }
    return n;
}

/* The text of a token into out (vocab->max_token_bytes); returns its bytes. */
static size_t write_token(const pn_vocab *vocab, int32_t token, bool special, char *out) {
    const pn_vocab_text text = vocab->tokens[token];
    const int32_t byte = pn_byte_of_text(text);
    switch (vocab->types[token]) {
    case PN_TOKEN_NORMAL:
        return vocab->byte_level ? write_bytes(text, out) : write_spaced(text, out);
    case PN_TOKEN_BYTE:
        if (byte >= 0) {
            out[0] = (char)(unsigned char)byte;
            return 1;
        }
        break;
    case PN_TOKEN_USER_DEFINED: break;
    case PN_TOKEN_UNUSED: return 0;
    default:
        if (!special) return 0;
    }
    memcpy(out, text.data, text.n);
    return text.n;
}

/* ---- the whole text -------------------------------------------------------------------------- */

/* Removes the spaces before ? ! . , */
static size_t clean_punctuation(char *text, size_t n) {
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        const bool before =
            text[i] == ' ' && i + 1 < n && strchr("?!.,", text[i + 1]) && text[i + 1];
        if (!before) text[out++] = text[i];
    }
    return out;
}

/* " ' " becomes "'". */
static size_t clean_quotes(char *text, size_t n) {
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + 2 < n && text[i] == ' ' && text[i + 1] == '\'' && text[i + 2] == ' ') {
            text[out++] = '\'';
            i += 2;
        } else {
            text[out++] = text[i];
        }
    }
    return out;
}

/* Removes the space before 's 'm 're 've. */
static size_t clean_contractions(char *text, size_t n) {
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        bool before = false;
        if (text[i] == ' ' && i + 2 < n && text[i + 1] == '\'') {
            const char a = text[i + 2], b = i + 3 < n ? text[i + 3] : 0;
            before = a == 's' || a == 'm' || (b == 'e' && (a == 'r' || a == 'v'));
        }
        if (!before) text[out++] = text[i];
    }
    return out;
}

static puna_status write_all(const pn_vocab *vocab, const int32_t *tokens, int32_t n_tokens,
                             uint32_t flags, pn_buf *all, puna_error *err) {
    char *piece = pn_alloc(vocab->max_token_bytes);
    if (!piece) return pn_fail_nomem(err, vocab->max_token_bytes, "a token's text");
    bool drop_space = vocab->add_space_prefix && !(flags & PUNA_DETOKENIZE_KEEP_SPACE);
    bool ok = true;
    for (int32_t i = 0; i < n_tokens && ok; i++) {
        const size_t n = write_token(vocab, tokens[i], flags & PUNA_DETOKENIZE_SPECIAL, piece);
        const size_t skip = n > 0 && drop_space && piece[0] == ' ';
        if (n > 0) drop_space = false;
        ok = pn_buf_append(all, piece + skip, n - skip);
    }
    pn_free(piece);
    return ok ? PUNA_OK : pn_fail_nomem(err, all->cap, "the text");
}

puna_status pn_vocab_detokenize(const pn_vocab *vocab, const int32_t *tokens, int32_t n_tokens,
                                uint32_t flags, char *text, size_t max_bytes, size_t *n_bytes,
                                puna_error *err) {
    for (int32_t i = 0; i < n_tokens; i++)
        if (tokens[i] < 0 || tokens[i] >= vocab->n_tokens)
            return pn_fail(err, PUNA_E_ARG,
                           "token %d (number %d of the list) is not in the vocabulary of %d",
                           tokens[i], i, vocab->n_tokens);
    pn_buf all = {0};
    const puna_status status = write_all(vocab, tokens, n_tokens, flags, &all, err);
    if (!status && vocab->cleans_up && (flags & PUNA_DETOKENIZE_CLEAN_UP)) {
        all.n = clean_punctuation(all.data, all.n);
        all.n = clean_quotes(all.data, all.n);
        all.n = clean_contractions(all.data, all.n);
    }
    const size_t n = all.n;
    if (!status && n > 0 && n <= max_bytes) memcpy(text, all.data, n);
    pn_buf_free(&all);
    if (status) return status;
    *n_bytes = n;
    if (n > max_bytes)
        return pn_fail(err, PUNA_E_LIMIT, "the text has %zu bytes: room for %zu", n, max_bytes);
    return PUNA_OK;
}

/* ---- one token at a time --------------------------------------------------------------------- */

size_t pn_detok_max_bytes(const pn_vocab *vocab) {
    /* the token's bytes are written to the upper part, then moved down; each may become a U+FFFD */
    return REPLACEMENT_BYTES * (vocab->max_token_bytes + sizeof(((pn_detok *)0)->pending));
}

/* Bytes that the character beginning with this byte has, as far as its first byte says; 1 for
 * what cannot begin one. */
static int32_t length_of(unsigned char first) {
    return first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;
}

/* True while pending[0 .. n) may still become a character. */
static bool may_grow(const unsigned char *pending, int32_t n) {
    if (n == 0 || n >= length_of(pending[0])) return false;
    if (n == 1) return true;
    if ((pending[0] == 0xe0 && pending[1] < 0xa0) || (pending[0] == 0xed && pending[1] >= 0xa0))
        return false;
    if ((pending[0] == 0xf0 && pending[1] < 0x90) || (pending[0] == 0xf4 && pending[1] >= 0x90))
        return false;
    for (int32_t i = 1; i < n; i++)
        if ((pending[i] & 0xc0) != 0x80) return false;
    return true;
}

/* Writes what pending's bytes have become, U+FFFD for each that cannot be part of a character. */
static size_t flush_pending(pn_detok *detok, bool at_end, char *text) {
    size_t n = 0;
    while (detok->n_pending > 0) {
        uint32_t c;
        const size_t len =
            pn_utf8_decode((const char *)detok->pending, (size_t)detok->n_pending, &c);
        if (len == 0 && !at_end && may_grow(detok->pending, detok->n_pending)) break;
        const size_t used = len ? len : at_end ? (size_t)detok->n_pending : 1;
        if (len)
            memcpy(text + n, detok->pending, len);
        else
            memcpy(text + n, REPLACEMENT, REPLACEMENT_BYTES);
        n += len ? len : REPLACEMENT_BYTES;
        detok->n_pending -= (int32_t)used;
        memmove(detok->pending, detok->pending + used, (size_t)detok->n_pending);
    }
    return n;
}

size_t pn_detok_push(const pn_vocab *vocab, pn_detok *detok, int32_t token, bool keep_space,
                     char *text) {
    if (token < 0 || token >= vocab->n_tokens) return 0;
    char *piece = text + pn_detok_max_bytes(vocab) - vocab->max_token_bytes;
    size_t n = write_token(vocab, token, false, piece);
    if (n == 0) return 0;
    if (!detok->started && vocab->add_space_prefix && !keep_space && piece[0] == ' ') {
        piece++;
        n--;
    }
    detok->started = true;
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        detok->pending[detok->n_pending++] = (unsigned char)piece[i];
        out += flush_pending(detok, false, text + out);
    }
    return out;
}

size_t pn_detok_finish(pn_detok *detok, char *text) {
    return flush_pending(detok, true, text);
}
