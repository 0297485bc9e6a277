/* fuzz_grammar.c: any bytes as a grammar and a text.
 *
 * Layout of an input: a grammar, a byte 0, a text (absent: a short one of ours). Whatever is read as a
 * grammar must say the same of the text whole, byte by byte, and while memory is given up at every
 * byte; no text goes on behind a dead end; and the mask at its end is what trying each token says. */
#include "grammar/matcher_impl.h"
#include "replay.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const seeds[] = {
    "root ::= object\nvalue ::= object | array | string | [0-9]+\nobject ::= \"{\" (string \":\" "
    "value (\",\" "
    "string \":\" value)*)? \"}\"\narray ::= \"[\" (value (\",\" value)*)? \"]\"\nstring ::= "
    "\"\\\"\" "
    "([^\"\\\\\\x00-\\x1f] | \"\\\\\" [nrt])* \"\\\"\"\n\0{\"a\":[1,{\"b\":\"\\\\n\"}]}",
    "root ::= sum # one\nsum ::= p ([-+] p)*\np ::= v ([*/] v)*\nv ::= [0-9]{1,3} | \"(\" sum "
    "\")\" | \"-\" v\n\0"
    "1+(2*-33)",
    "root ::= (\"a\" | \"ab\" | \"b\"){2,300} (x | \"\\u00e9\\U0001F600\")? \n\nx ::= . [^a-z\\]]+ "
    "| x2 \"y\" | \"\"\nx2 "
    "::= \"\" | \"x\" x2\n\0aababx9",
    "root ::= <[5]>? !<[6]>* (\"a\" root \"b\" | \"a\" root \"c\" | \"\"){0,70} <end>?\n\0aabc",
    "root ::= ((([ab]* \"c\"?){0,99} [d-f]){2,} | [\xd0\xb0-\xd1\x8f]+ | [\\u0080-\\uffff]{3})\n\0"
    "aacdabe\xd0\xb1",
};

int64_t fuzz_n_accepted;

/* Behind each grammar come comments, so that many a mutation leaves the rules whole. */
size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    static const char comment[] = "# a comment, in which nothing can be wrong ((( [[[ \"\"\"\n";
    if ((size_t)index >= sizeof seeds / sizeof seeds[0]) return 0;
    const char *gbnf = seeds[index], *text = gbnf + strlen(gbnf) + 1;
    size_t n = strlen(gbnf);
    if (n + strlen(text) + 1024 > cap) return 0;
    memcpy(data, gbnf, n);
    data[n++] = '\n';
    for (int i = 0; i < 12; i++, n += sizeof comment - 1)
        memcpy(data + n, comment, sizeof comment - 1);
    data[n++] = 0;
    memcpy(data + n, text, strlen(text));
    return n + strlen(text);
}

static pn_token_trie *make_trie(void) {
    static const char *const texts[] = {
        "a",    "b", "ab", "abc", "\"", "\",", "\":", "{",    "}",    "[",
        "]",    "1", "12", "(",   ")",  "+",   "-",   "\xc3", "\xa9", "\xd0\xb0",
        "\xd0", "x", "xy", " ",   "\\", "\\n", "<x>", "<end>"};
    enum { N = sizeof texts / sizeof texts[0] };
    pn_token_source sources[N];
    for (size_t i = 0; i < N; i++)
        sources[i] = (pn_token_source){texts[i], strlen(texts[i]),
                                       i == N - 1   ? PN_TOKEN_OF_END
                                       : i == N - 2 ? PN_TOKEN_SILENT
                                                    : PN_TOKEN_OF_TEXT};
    pn_token_trie *trie = NULL;
    if (pn_token_trie_open(sources, N, &trie, NULL)) abort();
    return trie;
}

/* Matches the text in pieces of `step` bytes. False: it passed a bound. */
static bool match(pn_matching *m, const char *text, size_t n, size_t step, size_t limit,
                  size_t *taken) {
    *taken = 0;
    for (size_t i = 0; i < n && !pn_matching_is_dead(m); i += step) {
        size_t more = 0;
        if (limit) m->matcher->limit = limit;
        if (pn_matching_text(m, text + i, n - i < step ? n - i : step, &more, NULL)) return false;
        *taken += more;
    }
    return true;
}

static void check_mask(pn_matching *m, int32_t n_tokens) {
    pn_token_mask mask;
    if (pn_matching_mask(m, &mask, NULL)) return;
    uint64_t bits = mask.bits[0]; /* trying may give up the mask */
    for (int32_t t = 0; t < n_tokens; t++) {
        pn_matching tried = {0};
        pn_matching_copy(m, &tried);
        if (pn_matching_token(&tried, t, NULL)) abort();
        const bool ends = t == n_tokens - 1;
        const bool may = !pn_matching_is_dead(&tried) && (!ends || pn_matching_is_complete(&tried));
        if (may != (bits >> t & 1)) abort();
        pn_matching_close(&tried);
    }
}

static void check_text(puna_grammar *g, const char *text, size_t n, bool has_not_tokens) {
    static pn_token_trie *trie;
    static const struct {
        size_t step, limit;
    } ways[] = {{SIZE_MAX / 2, 0}, {1, 0}, {1, 1}, {3, 0}};
    if (!trie) trie = make_trie();
    size_t first_taken = 0, taken;
    bool first_complete = false;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        pn_matching m = {0};
        if (has_not_tokens && i > 0) break; /* characters are tokens there */
        if (pn_matching_open(g, i == 3 ? trie : NULL, &m, NULL)) continue; /* names a token */
        const bool ok = match(&m, text, n, ways[i].step, ways[i].limit, &taken);
        const bool complete = ok && pn_matching_is_complete(&m);
        if (ok && pn_matching_is_dead(&m) != (taken < n)) abort();
        if (i == 0) {
            first_taken = taken;
            first_complete = complete;
        }
        if (ok && (taken != first_taken || complete != first_complete)) abort();
        if (ok && i == 3) check_mask(&m, 28);
        pn_matching_close(&m);
        if (!ok) return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *const zero = size ? memchr(data, 0, size) : NULL;
    const size_t n = zero ? (size_t)(zero - data) : size;
    puna_grammar *g = NULL;
    puna_error err = {0};
    if (puna_grammar_open((const char *)data, n, NULL, &g, &err)) {
        if (err.msg[0] == 0 || g) abort();
        return 0;
    }
    fuzz_n_accepted++;
    size_t n_text = zero ? size - n - 1 : 3;
    if (n_text > 200) n_text = 200;
    check_text(g, zero ? (const char *)zero + 1 : "aab", n_text, g->rtn.has_not_tokens);
    puna_grammar_free(g);
    return 0;
}
