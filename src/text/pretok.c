/* pretok.c: the patterns of pretok.def, compiled and applied by PCRE2. The only file that sees
 * PCRE2.
 *
 * A compiled pattern is shared by all threads; match data belongs to a call. PCRE2's memory
 * comes from pn_alloc (its JIT code excepted, which it maps itself). When the JIT runs out of
 * stack the match is repeated by the interpreter, whose heap and steps are limited. PCRE2's \s
 * also matches U+180E, which Unicode does not count as white space: \s and \S are replaced by
 * the explicit class before compiling. */
#include "text/pretok.h"

#include "base/mem.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define HEAP_LIMIT_KIB (256u << 10)
#define MATCH_LIMIT    200000000u

#define WHITE_SPACE                                                                                \
    "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"   \
    "\\x{3000}"

static const pn_pretok_info rows[] = {
#define PRETOK(name, flags, ...) {name, flags, {__VA_ARGS__}},
#define ALIAS(name, row)
#include "text/pretok.def"
#undef PRETOK
#undef ALIAS
};

static const struct {
    const char *name, *row;
} aliases[] = {
#define PRETOK(name, flags, ...)
#define ALIAS(name, row) {name, row},
#include "text/pretok.def"
#undef PRETOK
#undef ALIAS
};

static bool same(const char *literal, const char *name, size_t n) {
    return strlen(literal) == n && memcmp(literal, name, n) == 0;
}

const pn_pretok_info *pn_pretok_find(const char *name, size_t n) {
    const char *row = NULL;
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0] && !row; i++)
        if (same(aliases[i].name, name, n)) row = aliases[i].row;
    if (row) {
        name = row;
        n = strlen(row);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (same(rows[i].name, name, n)) return &rows[i];
    return NULL;
}

struct pn_pretok {
    const char *name;
    pcre2_general_context *general;
    pcre2_match_context *match;
    pcre2_code *codes[PN_PRETOK_MAX_PATTERNS];
    int n_codes;
};

static void *pcre_alloc(size_t bytes, void *user) {
    (void)user;
    return pn_alloc(bytes);
}

static void pcre_free(void *ptr, void *user) {
    (void)user;
    pn_free(ptr);
}

/* \s and \S to explicit classes, inside brackets and outside. */
static bool expand_spaces(const char *pattern, pn_buf *out) {
    bool in_class = false, ok = true;
    for (const char *p = pattern; *p && ok; p++) {
        if (*p == '\\' && p[1] == 's') {
            ok = pn_buf_printf(out, in_class ? "%s" : "[%s]", WHITE_SPACE);
            p++;
        } else if (*p == '\\' && p[1] == 'S') {
            ok = pn_buf_printf(out, "[^%s]", WHITE_SPACE);
            p++;
        } else if (*p == '\\' && p[1]) {
            ok = pn_buf_append(out, p, 2);
            p++;
        } else {
            if (*p == '[') in_class = true;
            if (*p == ']') in_class = false;
            ok = pn_buf_append(out, p, 1);
        }
    }
    return ok;
}

static puna_status compile(pn_pretok *pretok, const char *pattern, puna_error *err) {
    pn_buf full = {0};
    if (!expand_spaces(pattern, &full)) {
        pn_buf_free(&full);
        return pn_fail_nomem(err, strlen(pattern), "a pre-tokenizer pattern");
    }
    pcre2_compile_context *context = pcre2_compile_context_create(pretok->general);
    int code = PCRE2_ERROR_NOMEMORY;
    PCRE2_SIZE at = 0;
    pcre2_code *compiled = NULL;
    if (context)
        compiled = pcre2_compile((PCRE2_SPTR)full.data, full.n,
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &code, &at, context);
    pcre2_compile_context_free(context);
    pn_buf_free(&full);
    if (!compiled) {
        /* the patterns are ours: running out of memory is the only way to fail
         * (PCRE2_ERROR_HEAP_FAILED) */
        return pn_fail(err, PUNA_E_NOMEM,
                       "pre-tokenizer %s: pattern %d does not compile (PCRE2 error %d at %zu)",
                       pretok->name, pretok->n_codes, code, (size_t)at);
    }
    pretok->codes[pretok->n_codes++] = compiled;
    (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE); /* without JIT the interpreter serves */
    return PUNA_OK;
}

puna_status pn_pretok_open(const pn_pretok_info *info, pn_pretok **out, puna_error *err) {
    pn_pretok *pretok = pn_calloc(1, sizeof *pretok);
    if (!pretok) return pn_fail_nomem(err, sizeof *pretok, "the pre-tokenizer");
    pretok->name = info->name;
    pretok->general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    pretok->match = pretok->general ? pcre2_match_context_create(pretok->general) : NULL;
    puna_status status =
        pretok->match ? PUNA_OK : pn_fail_nomem(err, sizeof *pretok, "the pre-tokenizer");
    if (!status) {
        (void)pcre2_set_heap_limit(pretok->match, HEAP_LIMIT_KIB);
        (void)pcre2_set_match_limit(pretok->match, MATCH_LIMIT);
    }
    for (int i = 0; i < PN_PRETOK_MAX_PATTERNS && info->patterns[i] && !status; i++)
        status = compile(pretok, info->patterns[i], err);
    if (status) {
        pn_pretok_free(pretok);
        return status;
    }
    *out = pretok;
    return PUNA_OK;
}

void pn_pretok_free(pn_pretok *pretok) {
    if (!pretok) return;
    for (int i = 0; i < pretok->n_codes; i++) pcre2_code_free(pretok->codes[i]);
    pcre2_match_context_free(pretok->match);
    pcre2_general_context_free(pretok->general);
    pn_free(pretok);
}

static bool add_piece(pn_pretok_work *work, size_t start, size_t end) {
    if (work->n_next == work->next_cap) {
        const size_t cap = work->next_cap ? work->next_cap * 2 : 256;
        pn_piece *next = pn_realloc(work->next, cap, sizeof *next);
        if (!next) return false;
        work->next = next;
        work->next_cap = cap;
    }
    work->next[work->n_next++] = (pn_piece){(uint32_t)start, (uint32_t)(end - start)};
    return true;
}

static int match_once(const pn_pretok *pretok, int index, const char *text, size_t n, size_t from,
                      pcre2_match_data *data) {
    const pcre2_code *code = pretok->codes[index];
    int rc = pcre2_match(code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, data, pretok->match);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data,
                         pretok->match);
    return rc;
}

/* Cuts text[piece] at the matches of one pattern. A match of no bytes is a cut. */
static puna_status cut(const pn_pretok *pretok, int index, const char *text, pn_piece piece,
                       pn_pretok_work *work, puna_error *err) {
    pcre2_match_data *data = work->match;
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(data);
    const char *base = text + piece.start;
    size_t done = 0, from = 0;
    bool ok = true;
    while (from < piece.len && ok) {
        const int rc = match_once(pretok, index, base, piece.len, from, data);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0)
            return pn_fail(err, rc == PCRE2_ERROR_NOMEMORY ? PUNA_E_NOMEM : PUNA_E_LIMIT,
                           "pre-tokenizer %s: pattern %d fails on this text (PCRE2 error %d)",
                           pretok->name, index, rc);
        const size_t start = found[0], end = found[1];
        if (start > done) ok = add_piece(work, piece.start + done, piece.start + start);
        if (ok && end > start) ok = add_piece(work, piece.start + start, piece.start + end);
        done = end;
        from = end;
        if (end == start) /* past the next character */
            for (from++; from < piece.len && ((unsigned char)base[from] & 0xc0) == 0x80;) from++;
    }
    if (ok && done < piece.len) ok = add_piece(work, piece.start + done, piece.start + piece.len);
    return ok ? PUNA_OK
              : pn_fail_nomem(err, work->next_cap * 2 * sizeof *work->next, "splitting text");
}

static void swap_lists(pn_pretok_work *work) {
    pn_piece *pieces = work->pieces;
    const size_t cap = work->cap;
    work->pieces = work->next;
    work->cap = work->next_cap;
    work->n = work->n_next;
    work->next = pieces;
    work->next_cap = cap;
    work->n_next = 0;
}

puna_status pn_pretok_split(const pn_pretok *pretok, const char *text, size_t n,
                            pn_pretok_work *work, puna_error *err) {
    if (!work->match) work->match = pcre2_match_data_create(1, pretok->general);
    work->n_next = 0;
    if (!work->match || !add_piece(work, 0, n)) return pn_fail_nomem(err, n, "splitting text");
    swap_lists(work);
    for (int p = 0; p < pretok->n_codes; p++) {
        for (size_t i = 0; i < work->n; i++) {
            const puna_status status = cut(pretok, p, text, work->pieces[i], work, err);
            if (status) return status;
        }
        swap_lists(work);
    }
    return PUNA_OK;
}

void pn_pretok_work_free(pn_pretok_work *work) {
    pn_free(work->pieces);
    pn_free(work->next);
    pcre2_match_data_free(work->match);
    *work = (pn_pretok_work){0};
}
