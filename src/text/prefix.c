/* prefix.c: tables that find which tokens a text begins with: special tokens in the input, the
 * pieces of WordPiece and unigram vocabularies.
 *
 * A table is sorted by text (bytewise, so that a prefix stands before what it begins); a search
 * narrows a range of it byte by byte. Texts longer than PN_MAX_PREFIX_BYTES are never found: no
 * published token is near it, and it bounds the work per byte of input. */
#include "text/vocab_impl.h"

#include <string.h>

static int compare_texts(pn_vocab_text a, pn_vocab_text b) {
    const int order = memcmp(a.data, b.data, a.n < b.n ? a.n : b.n);
    return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

/* Bottom-up merge sort: the C library's qsort has no context argument. */
static void sort_ids(const pn_vocab *vocab, int32_t *ids, int32_t *spare, int32_t n) {
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * width) {
            const int64_t mid = lo + width < n ? lo + width : n,
                          hi = lo + 2 * width < n ? lo + 2 * width : n;
            int64_t a = lo, b = mid;
            for (int64_t k = lo; k < hi; k++) {
                const bool left = b >= hi || (a < mid && compare_texts(vocab->tokens[ids[a]],
                                                                       vocab->tokens[ids[b]]) <= 0);
                spare[k] = left ? ids[a++] : ids[b++];
            }
        }
        memcpy(ids, spare, (size_t)n * sizeof *ids);
    }
}

puna_status pn_prefix_open(pn_vocab *vocab, pn_prefix_table *table,
                           bool (*wanted)(const pn_vocab *, int32_t), puna_error *err) {
    const size_t count = (size_t)vocab->n_tokens;
    table->ids = pn_arena_calloc(&vocab->arena, count, sizeof *table->ids);
    int32_t *spare = pn_calloc(count, sizeof *spare);
    if (!table->ids || !spare) {
        pn_free(spare);
        return pn_fail_nomem(err, count * sizeof *spare, "a table of tokens");
    }
    int32_t n = 0;
    for (int32_t i = 0; i < vocab->n_tokens; i++) {
        const pn_vocab_text text = vocab->tokens[i];
        if (text.n <= PN_MAX_PREFIX_BYTES && wanted(vocab, i) &&
            pn_strmap_get(&vocab->ids, text.data, text.n) == i)
            table->ids[n++] = i;
    }
    sort_ids(vocab, table->ids, spare, n);
    pn_free(spare);
    int32_t at = 0;
    for (int b = 0; b < 256; b++) {
        table->first[b] = at;
        while (at < n && (unsigned char)vocab->tokens[table->ids[at]].data[0] == b) at++;
    }
    table->first[256] = n;
    return PUNA_OK;
}

/* First of ids[lo .. hi) whose byte at depth is at least byte; all of them are longer than
 * depth. */
static int32_t lower_bound(const pn_prefix_search *s, int32_t lo, int32_t hi, int byte) {
    while (lo < hi) {
        const int32_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)s->vocab->tokens[s->table->ids[mid]].data[s->depth] < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool pn_prefix_next(pn_prefix_search *s, unsigned char byte, int32_t *token) {
    *token = -1;
    if (s->depth == 0) {
        s->lo = s->table->first[byte];
        s->hi = s->table->first[byte + 1];
    } else {
        s->lo = lower_bound(s, s->lo, s->hi, byte);
        s->hi = lower_bound(s, s->lo, s->hi, byte + 1);
    }
    s->depth++;
    /* texts are unique: at most one ends here, and it stands first */
    if (s->lo < s->hi && s->vocab->tokens[s->table->ids[s->lo]].n == s->depth)
        *token = s->table->ids[s->lo++];
    return s->lo < s->hi;
}

int32_t pn_prefix_longest(const pn_vocab *vocab, const char *text, size_t n) {
    pn_prefix_search search = {.vocab = vocab, .table = &vocab->pieces};
    int32_t found = -1, token;
    for (size_t i = 0; i < n; i++) {
        const bool more = pn_prefix_next(&search, (unsigned char)text[i], &token);
        if (token >= 0) found = token;
        if (!more) break;
    }
    return found;
}

static bool is_special(const pn_vocab *vocab, int32_t token) {
    const uint8_t type = vocab->types[token];
    return type == PN_TOKEN_CONTROL || type == PN_TOKEN_USER_DEFINED || type == PN_TOKEN_UNKNOWN ||
           (vocab->marks[token] & PN_MARK_SPECIAL);
}

puna_status pn_special_open(pn_vocab *vocab, puna_error *err) {
    return pn_prefix_open(vocab, &vocab->specials, is_special, err);
}

/* <|im_start|>, and with the wide bar of some vocabularies. */
static bool is_markup(pn_vocab_text text) {
    return text.n > 4 && text.data[0] == '<' && text.data[text.n - 1] == '>' &&
           (text.data[1] == '|' || memcmp(text.data + 1, "\xef\xbd\x9c", 3) == 0);
}

int32_t pn_special_match(const pn_vocab *vocab, const char *text, size_t n, size_t n_special,
                         bool without_markup) {
    pn_prefix_search search = {.vocab = vocab, .table = &vocab->specials};
    int32_t found = -1, token;
    for (size_t i = 0; i < n; i++) {
        const bool more = pn_prefix_next(&search, (unsigned char)text[i], &token);
        if (token >= 0 && (i < n_special || (vocab->types[token] == PN_TOKEN_USER_DEFINED &&
                                             !(without_markup && is_markup(vocab->tokens[token])))))
            found = token;
        if (!more) break;
    }
    return found;
}
