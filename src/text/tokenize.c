/* tokenize.c: text to ids: takes special tokens out of the text, gives the rest to the
 * vocabulary's algorithm and adds the tokens a text begins and ends with. */
#include "text/vocab_impl.h"

#include "base/utf8.h"

#include <string.h>

puna_status pn_emit_unknown(pn_tokenizing *t, const char *text, size_t n) {
    const int32_t unk = t->vocab->special[PUNA_SPECIAL_UNK];
    if (unk >= 0) {
        pn_emit(t, unk);
        return PUNA_OK;
    }
    char shown[PN_ESCAPED_BYTES];
    return pn_fail(t->err, PUNA_E_UNSUPPORTED,
                   "the vocabulary cannot spell \"%s\": no such token, no tokens for its bytes, no "
                   "unknown token",
                   pn_escape(shown, text, n < 16 ? n : 16));
}

puna_status pn_emit_bytes(pn_tokenizing *t, const char *text, size_t n) {
    const int32_t *byte_ids = t->vocab->byte_ids;
    for (size_t i = 0; i < n; i++)
        if (byte_ids[(unsigned char)text[i]] < 0) return pn_emit_unknown(t, text, n);
    for (size_t i = 0; i < n; i++) pn_emit(t, byte_ids[(unsigned char)text[i]]);
    return PUNA_OK;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static puna_status plain_text(pn_tokenizing *t, const char *text, size_t n) {
    if (n == 0) return PUNA_OK;
    puna_status status = PUNA_OK;
    t->run = text;
    t->at = (size_t)(text - t->text);
    t->prefix = t->buf_at = t->run_at = 0;
    switch (t->vocab->model) {
    case PN_VOCAB_SPM: status = pn_spm_text(t, text, n); break;
    case PN_VOCAB_BPE: status = pn_bpe_text(t, text, n); break;
    case PN_VOCAB_WPM: status = pn_wpm_text(t, text, n); break;
    case PN_VOCAB_UGM: status = pn_ugm_text(t, text, n); break;
    }
    t->after_special = false;
    return status;
}

/* Bytes from `at` on that may hold special tokens; *range moves along. */
static size_t special_bytes(const pn_vocab_range **range, const pn_vocab_range *end, size_t at) {
    while (*range < end && (*range)->end <= at) ++*range;
    return *range < end && (*range)->begin <= at ? (*range)->end - at : 0;
}

static puna_status all_text(pn_tokenizing *t, size_t n, const pn_vocab_range *ranges,
                            size_t n_ranges) {
    const pn_vocab *vocab = t->vocab;
    const pn_vocab_range *range = ranges, *const last = ranges + n_ranges;
    const int32_t *first = vocab->specials.first;
    const char *text = t->text;
    size_t start = 0;
    for (size_t i = 0; i < n;) {
        const unsigned char byte = (unsigned char)text[i];
        const int32_t token =
            first[byte] < first[byte + 1]
                ? pn_special_match(vocab, text + i, n - i, special_bytes(&range, last, i),
                                   t->without_markup)
                : -1;
        if (token < 0) {
            i++;
            continue;
        }
        size_t end = i;
        while (end > start && (vocab->marks[token] & PN_MARK_STRIP_LEFT) && is_space(text[end - 1]))
            end--;
        const puna_status status = plain_text(t, text + start, end - start);
        if (status) return status;
        t->at = i;
        pn_emit(t, token);
        t->after_special = true;
        i += vocab->tokens[token].n;
        while (i < n && (vocab->marks[token] & PN_MARK_STRIP_RIGHT) && is_space(text[i])) i++;
        start = i;
    }
    return plain_text(t, text + start, n - start);
}

static puna_status run(pn_tokenizing *t, size_t text_bytes, const pn_vocab_range *ranges,
                       size_t n_ranges, uint32_t flags, int32_t *n_tokens) {
    const pn_vocab *vocab = t->vocab;
    if (text_bytes > PN_MAX_TEXT_BYTES)
        return pn_fail(t->err, PUNA_E_LIMIT,
                       "text of %zu bytes: at most %zu can be tokenized at once", text_bytes,
                       PN_MAX_TEXT_BYTES);
    const bool add = flags & PUNA_TOKENIZE_ADD_SPECIAL, wpm = vocab->model == PN_VOCAB_WPM;
    if (add && vocab->add_bos)
        pn_emit(t, vocab->special[wpm ? PUNA_SPECIAL_CLS : PUNA_SPECIAL_BOS]);
    puna_status status = all_text(t, text_bytes, ranges, n_ranges);
    t->at = SIZE_MAX;
    if (add && vocab->add_eos)
        pn_emit(t, vocab->special[wpm ? PUNA_SPECIAL_SEP : PUNA_SPECIAL_EOS]);
    pn_buf_free(&t->buf);
    pn_merge_free(&t->merge);
    pn_free(t->pairs);
    pn_pretok_work_free(&t->pieces);
    if (status) return status;
    if (t->n_tokens > INT32_MAX)
        return pn_fail(t->err, PUNA_E_LIMIT, "the text has %lld tokens: at most %d",
                       (long long)t->n_tokens, INT32_MAX);
    *n_tokens = (int32_t)t->n_tokens;
    if (t->n_tokens > t->max_tokens)
        return pn_fail(t->err, PUNA_E_LIMIT, "the text has %d tokens: room for %d", *n_tokens,
                       t->max_tokens);
    return PUNA_OK;
}

puna_status pn_vocab_tokenize_ranges(const pn_vocab *vocab, const char *text, size_t text_bytes,
                                     const pn_vocab_range *ranges, size_t n_ranges, uint32_t flags,
                                     int32_t *tokens, size_t *starts, int32_t max_tokens,
                                     int32_t *n_tokens, puna_error *err) {
    pn_tokenizing t = {.vocab = vocab,
                       .tokens = tokens,
                       .starts = starts,
                       .max_tokens = tokens && max_tokens > 0 ? max_tokens : 0,
                       .text = text,
                       .at = SIZE_MAX,
                       .without_markup = true,
                       .after_special = true,
                       .err = err};
    return run(&t, text_bytes, ranges, n_ranges, flags, n_tokens);
}

puna_status pn_vocab_tokenize(const pn_vocab *vocab, const char *text, size_t text_bytes,
                              uint32_t flags, int32_t *tokens, int32_t max_tokens,
                              int32_t *n_tokens, puna_error *err) {
    const pn_vocab_range all = {0, text_bytes};
    pn_tokenizing t = {.vocab = vocab,
                       .tokens = tokens,
                       .max_tokens = tokens && max_tokens > 0 ? max_tokens : 0,
                       .text = text,
                       .after_special = true,
                       .err = err};
    return run(&t, text_bytes, &all, flags & PUNA_TOKENIZE_PARSE_SPECIAL ? 1 : 0, flags, n_tokens);
}
