/* token_trie.c: builds the tree of token texts (token_trie_impl.h): tokens are sorted by their text,
 * then each adds the bytes that it does not share with the one before. */
#include "grammar/token_trie_impl.h"

#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"

/* ---- groups of bytes ------------------------------------------------------------------------- */

/* Punctuation, blanks and the digits of escapes are what grammars tell apart; other letters, control
 * characters and the parts of long characters go together. */
static void group_bytes(uint8_t group_of[256]) {
    static const struct {
        uint8_t first, last;
    } together[] = {{'0', '9'},   {'A', 'F'},   {'G', 'Z'},   {'a', 'f'},  {'g', 'z'},
                    {0x80, 0xbf}, {0xc0, 0xdf}, {0xe0, 0xef}, {0xf0, 0xff}};
    uint8_t n_groups = 1;
    memset(group_of, 0, 256); /* control characters */
    for (int byte = ' '; byte < 256; byte++) {
        bool joins = false;
        for (size_t i = 0; i < sizeof together / sizeof together[0]; i++)
            joins |= byte > together[i].first && byte <= together[i].last;
        if (byte == 0x7f) continue;
        group_of[byte] = joins ? group_of[byte - 1] : n_groups++;
    }
    group_of['\t'] = n_groups++;
    group_of['\n'] = n_groups++;
    group_of['\r'] = n_groups++;
}

/* ---- sorting --------------------------------------------------------------------------------- */

/* The first bytes of a token's text, as a number that orders like them. */
typedef struct sort_key {
    uint64_t begin;
    int32_t token;
} sort_key;

static sort_key key_of(const pn_token_trie *t, int32_t token) {
    sort_key key = {.token = token};
    const uint32_t begin = t->text_begin[token], n = t->text_begin[token + 1] - begin;
    for (uint32_t i = 0; i < 8; i++)
        key.begin = key.begin << 8 | (i < n ? (unsigned char)t->texts[begin + i] : 0);
    return key;
}

static bool is_before(const pn_token_trie *t, const sort_key *x, const sort_key *y) {
    if (x->begin != y->begin) return x->begin < y->begin;
    const int32_t a = x->token, b = y->token;
    const size_t n_a = t->text_begin[a + 1] - t->text_begin[a];
    const size_t n_b = t->text_begin[b + 1] - t->text_begin[b];
    const int order =
        memcmp(t->texts + t->text_begin[a], t->texts + t->text_begin[b], n_a < n_b ? n_a : n_b);
    if (order) return order < 0;
    return n_a != n_b ? n_a < n_b : a < b;
}

/* Bottom-up merge sort of `sorted`. */
static bool sort_tokens(pn_token_trie *t) {
    const int64_t n = t->n_sorted;
    sort_key *keys = pn_alloc(2 * (size_t)n * sizeof *keys), *from = keys, *to = keys + n;
    if (!keys) return false;
    for (int64_t i = 0; i < n; i++) from[i] = key_of(t, t->sorted[i]);
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * width) {
            const int64_t middle = begin + width < n ? begin + width : n;
            const int64_t end = begin + 2 * width < n ? begin + 2 * width : n;
            int64_t a = begin, b = middle;
            for (int64_t i = begin; i < end; i++)
                to[i] = b >= end || (a < middle && is_before(t, &from[a], &from[b])) ? from[a++]
                                                                                     : from[b++];
        }
        sort_key *const swapped = from;
        from = to;
        to = swapped;
    }
    for (int64_t i = 0; i < n; i++) t->sorted[i] = from[i].token;
    pn_free(keys);
    return true;
}

/* ---- copying --------------------------------------------------------------------------------- */

static bool copy_tokens(pn_token_trie *t, const pn_token_source *tokens) {
    size_t n_bytes = 0;
    for (int32_t i = 0; i < t->n_tokens; i++) n_bytes += tokens[i].n;
    if (n_bytes > UINT32_MAX) return false;
    const size_t n = (size_t)t->n_tokens;
    t->texts = pn_alloc(n_bytes);
    t->text_begin = pn_alloc((n + 1) * sizeof *t->text_begin);
    t->kinds = pn_alloc(n);
    t->sorted = pn_alloc(n * sizeof *t->sorted);
    t->ends = pn_alloc(n * sizeof *t->ends);
    if (!t->texts || !t->text_begin || !t->kinds || !t->sorted || !t->ends) return false;
    uint32_t at = 0;
    for (int32_t i = 0; i < t->n_tokens; i++) {
        const pn_token_source *token = &tokens[i];
        t->text_begin[i] = at;
        t->kinds[i] = (uint8_t)token->kind;
        if (token->n) memcpy(t->texts + at, token->text, token->n);
        at += (uint32_t)token->n;
        if (token->kind == PN_TOKEN_OF_END) t->ends[t->n_ends++] = i;
        if (token->kind == PN_TOKEN_OF_TEXT && token->n > 0 && token->n <= PN_TRIE_MAX_DEPTH)
            t->sorted[t->n_sorted++] = i;
    }
    t->text_begin[t->n_tokens] = at;
    return true;
}

/* ---- the tree -------------------------------------------------------------------------------- */

/* Bytes that two texts begin with in common. */
static size_t common_bytes(const char *a, size_t n_a, const char *b, size_t n_b) {
    size_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n]) n++;
    return n;
}

typedef struct trie_builder {
    pn_token_trie *trie;
    int32_t path[PN_TRIE_MAX_DEPTH + 1]; /* the nodes of the text at hand, by depth */
    size_t depth;
} trie_builder;

/* The nodes of the path below `depth` are complete. */
static void close_nodes(trie_builder *b, size_t depth) {
    pn_token_trie *t = b->trie;
    for (; b->depth > depth; b->depth--) {
        pn_trie_node *node = &t->nodes[b->path[b->depth]];
        node->skip = t->n_nodes;
        t->nodes[b->path[b->depth - 1]].groups |= node->groups | (uint64_t)1
                                                                     << t->group_of[node->byte];
    }
}

static void add_text(trie_builder *b, const char *text, size_t n, size_t common, int32_t first) {
    pn_token_trie *t = b->trie;
    close_nodes(b, common);
    while (b->depth < n) {
        t->nodes[t->n_nodes] = (pn_trie_node){.byte = (uint8_t)text[b->depth],
                                              .depth = (uint16_t)(b->depth + 1),
                                              .first_token = first};
        b->path[++b->depth] = t->n_nodes++;
    }
    t->nodes[b->path[n]].n_tokens++;
    if ((int32_t)n > t->max_depth) t->max_depth = (int32_t)n;
}

static bool build_nodes(pn_token_trie *t) {
    size_t n_nodes = 1, before = 0;
    const char *last = NULL;
    trie_builder *b = pn_calloc(1, sizeof *b);
    for (int32_t i = 0; i < t->n_sorted; i++) { /* first their number */
        size_t n;
        const char *text = pn_token_trie_text(t, t->sorted[i], &n);
        n_nodes += n - common_bytes(last, before, text, n);
        last = text;
        before = n;
    }
    t->nodes = n_nodes < INT32_MAX ? pn_alloc(n_nodes * sizeof *t->nodes) : NULL;
    if (b && t->nodes) {
        b->trie = t;
        t->nodes[0] = (pn_trie_node){0};
        t->n_nodes = 1;
        before = 0;
        for (int32_t i = 0; i < t->n_sorted; i++) {
            size_t n;
            const char *text = pn_token_trie_text(t, t->sorted[i], &n);
            add_text(b, text, n, common_bytes(last, before, text, n), i);
            last = text;
            before = n;
        }
        close_nodes(b, 0);
        t->nodes[0].skip = t->n_nodes;
    }
    pn_free(b);
    return b && t->nodes;
}

puna_status pn_token_trie_open(const pn_token_source *tokens, int32_t n_tokens,
                               pn_token_trie **trie, puna_error *err) {
    static atomic_uint_fast64_t n_tries;
    pn_token_trie *t = pn_calloc(1, sizeof *t);
    if (!t) return pn_fail_nomem(err, sizeof *t, "the token tree");
    t->n_tokens = n_tokens;
    t->serial = atomic_fetch_add(&n_tries, 1) + 1;
    group_bytes(t->group_of);
    if (!copy_tokens(t, tokens) || !sort_tokens(t) || !build_nodes(t)) {
        pn_token_trie_free(t);
        return pn_fail_nomem(err, (size_t)n_tokens * 64, "the token tree");
    }
    *trie = t;
    return PUNA_OK;
}

void pn_token_trie_free(pn_token_trie *t) {
    if (!t) return;
    pn_free(t->texts);
    pn_free(t->text_begin);
    pn_free(t->kinds);
    pn_free(t->sorted);
    pn_free(t->ends);
    pn_free(t->nodes);
    pn_free(t);
}

/* ---- single tokens --------------------------------------------------------------------------- */

const char *pn_token_trie_text(const pn_token_trie *t, int32_t token, size_t *n) {
    *n = 0;
    if (!t || token < 0 || token >= t->n_tokens || t->kinds[token] != PN_TOKEN_OF_TEXT) return "";
    *n = t->text_begin[token + 1] - t->text_begin[token];
    return t->texts + t->text_begin[token];
}

bool pn_token_trie_is_end(const pn_token_trie *t, int32_t token) {
    return t && token >= 0 && token < t->n_tokens && t->kinds[token] == PN_TOKEN_OF_END;
}

int32_t pn_token_trie_find(const pn_token_trie *t, const char *name, size_t n) {
    int32_t found = -1;
    for (int32_t i = 0; i < t->n_tokens; i++) {
        const size_t n_text = t->text_begin[i + 1] - t->text_begin[i];
        if (n_text != n || memcmp(t->texts + t->text_begin[i], name, n) != 0) continue;
        if (t->kinds[i] != PN_TOKEN_OF_TEXT) return i;
        if (found < 0) found = i;
    }
    return found;
}
