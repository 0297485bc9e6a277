/* quants.c: which of the files of a repository make the model that is meant. */
#include "quants.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARTS = 1000 };

/* ---- labels ---------------------------------------------------------------------------------- */

static bool is_border(char c) {
    return c == 0 || strchr("-._/ ", c);
}

/* The length of one of words at s, or 0. The longest one wins: they are sorted that way. */
static size_t match_word(const char *s, const char *const *words) {
    for (; *words; words++) {
        size_t n = strlen(*words);
        size_t i = 0;
        while (i < n && toupper((unsigned char)s[i]) == (*words)[i]) i++;
        if (i == n) return n;
    }
    return 0;
}

/* Q4_0, Q4_0_4_4, Q4_K, Q4_K_M, Q4_K_XL, IQ4_XS, TQ1_0 */
static size_t match_numbered(const char *s) {
    static const char *const heads[] = {"IQ", "TQ", "Q", NULL};
    static const char *const tails[] = {"_K_XXL", "_K_XL",  "_K_L",   "_K_M",   "_K_S", "_K_P",
                                        "_K",     "_0_4_4", "_0_4_8", "_0_8_8", "_0",   "_1",
                                        "_XXS",   "_XS",    "_NL",    "_S",     "_M",   NULL};
    size_t n = match_word(s, heads);
    if (n == 0 || !isdigit((unsigned char)s[n])) return 0;
    n++;
    size_t n_tail = match_word(s + n, tails);
    return n_tail ? n + n_tail : 0;
}

static size_t match_label(const char *s) {
    static const char *const plain[] = {"MXFP4_MOE", "MXFP4", "NVFP4", "BF16", "FP16",
                                        "FP32",      "F16",   "F32",   NULL};
    static const char *const dynamic[] = {"UD-", NULL};
    size_t n_prefix = match_word(s, dynamic);
    size_t n = match_numbered(s + n_prefix);
    if (n == 0) n = match_word(s + n_prefix, plain);
    return n && is_border(s[n_prefix + n]) ? n_prefix + n : 0;
}

void quant_label(const char *path, char label[QUANT_CHARS]) {
    label[0] = 0;
    for (const char *at = path; *at; at++) { /* the last one in the path counts */
        size_t n = at == path || is_border(at[-1]) ? match_label(at) : 0;
        if (n == 0 || n >= QUANT_CHARS) continue;
        for (size_t i = 0; i < n; i++) label[i] = (char)toupper((unsigned char)at[i]);
        label[n] = 0;
        at += n - 1;
    }
}

/* The number of five digits at s, or -1. */
static int five_digits(const char *s) {
    int value = 0;
    for (int i = 0; i < 5; i++) {
        if (!isdigit((unsigned char)s[i])) return -1;
        value = value * 10 + (s[i] - '0');
    }
    return value;
}

bool quant_is_part(const char *path, int *part, int *n_parts, size_t *n_stem) {
    static const size_t n_tail = sizeof "-00001-of-00001.gguf" - 1;
    size_t n = strlen(path);
    if (n <= n_tail || !text_ends(path, ".gguf")) return false;
    const char *tail = path + n - n_tail;
    if (tail[0] != '-' || !text_starts(tail + 6, "-of-")) return false;
    int number = five_digits(tail + 1);
    int count = five_digits(tail + 10);
    if (number < 1 || count < number) return false;
    *part = number;
    *n_parts = count;
    *n_stem = n - n_tail;
    return true;
}

/* word in the last part of path, whatever its case. */
static bool file_name_has(const char *path, const char *word) {
    const char *slash = strrchr(path, '/');
    for (const char *at = slash ? slash + 1 : path; *at; at++) {
        size_t i = 0;
        while (word[i] && tolower((unsigned char)at[i]) == word[i]) i++;
        if (!word[i]) return true;
    }
    return false;
}

bool quant_is_model(const char *path) {
    return text_ends(path, ".gguf") && !file_name_has(path, "mmproj") &&
           !file_name_has(path, "imatrix") && !file_name_has(path, "ggml-vocab");
}

/* ---- matching -------------------------------------------------------------------------------- */

static bool is_later_part(const char *path) {
    int part;
    int n_parts;
    size_t n_stem;
    return quant_is_part(path, &part, &n_parts, &n_stem) && part > 1;
}

static bool is_file(const char *path, const char *file) {
    const char *slash = strrchr(path, '/');
    return strcmp(path, file) == 0 || (slash && strcmp(slash + 1, file) == 0);
}

/* How well a model fits the quantisation asked for: 3 exactly, 2 but for UD-, 1 the word stands
 * somewhere in its path, 0 not. */
static int fit(const char *path, const char *quant) {
    char label[QUANT_CHARS];
    size_t n = strlen(quant);
    quant_label(path, label);
    if (text_same(label, quant)) return 3;
    if (text_starts(label, "UD-") && text_same(label + 3, quant)) return 2;
    for (const char *at = path; *at; at++) {
        size_t i = 0;
        if (at != path && !is_border(at[-1])) continue;
        while (i < n && at[i] && tolower((unsigned char)at[i]) == tolower((unsigned char)quant[i]))
            i++;
        if (i == n && is_border(at[n]) && at[n] != '_') return 1; /* Q4_K is not Q4_K_M */
    }
    return 0;
}

static int wish_fit(const quant_wish *wish, const char *path) {
    if (wish->glob) return fnmatch(wish->glob, path, 0) == 0;
    if (!quant_is_model(path)) return 0;
    if (wish->file) return is_file(path, wish->file);
    return wish->quant ? fit(path, wish->quant) : 1;
}

size_t quant_matches(const quant_wish *wish, const char *const *paths, size_t n, size_t **firsts) {
    size_t n_found = 0;
    int best = 1;
    *firsts = hub_memory(NULL, n, sizeof **firsts);
    for (size_t i = 0; i < n; i++) {
        if (is_later_part(paths[i])) continue;
        int fits = wish_fit(wish, paths[i]);
        if (fits > best) n_found = 0;
        if (fits > best) best = fits;
        if (fits == best) (*firsts)[n_found++] = i;
    }
    return n_found;
}

bool quant_parts(const char *const *paths, size_t n, size_t first, quant_choice *out,
                 int *missing) {
    int part;
    int n_parts = 1;
    size_t n_stem;
    bool split = quant_is_part(paths[first], &part, &n_parts, &n_stem);
    *out = (quant_choice){0};
    if (n_parts > MAX_PARTS) {
        *missing = MAX_PARTS + 1;
        return false;
    }
    out->files = hub_memory(NULL, (size_t)n_parts, sizeof *out->files);
    out->files[0] = first;
    out->n_files = (size_t)n_parts;
    for (int p = 2; split && p <= n_parts; p++) {
        char *wanted = hub_format("%.*s-%05d-of-%05d%s", (int)n_stem, paths[first], p, n_parts,
                                  paths[first] + strlen(paths[first]) - strlen(".gguf"));
        size_t i = 0;
        while (i < n && strcmp(paths[i], wanted) != 0) i++;
        free(wanted);
        if (i == n) {
            *missing = p;
            free(out->files);
            *out = (quant_choice){0};
            return false;
        }
        out->files[p - 1] = i;
    }
    return true;
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* Every different label among the models, or file names where labels are missing or one stands
 * for several files; comma-separated, at most about 700 bytes. */
static char *list_models(const char *const *paths, const size_t *firsts, size_t n) {
    string_list words = {0};
    bool labels = true;
    for (size_t i = 0; i < n && labels; i++) {
        char label[QUANT_CHARS];
        quant_label(paths[firsts[i]], label);
        labels = label[0] && !string_list_has(&words, label);
        string_list_add(&words, hub_copy(label));
    }
    if (!labels) {
        string_list_clear(&words);
        for (size_t i = 0; i < n; i++) string_list_add(&words, hub_copy(paths[firsts[i]]));
    }
    char *line = hub_copy("");
    for (size_t i = 0; i < words.n; i++) {
        if (strlen(line) + strlen(words.items[i]) > 700) {
            hub_set(&line, hub_format("%s and %zu more", line, words.n - i));
            break;
        }
        hub_set(&line, hub_format("%s%s%s", line, i ? ", " : "", words.items[i]));
    }
    string_list_clear(&words);
    return line;
}

static hub_status refuse(const quant_wish *wish, const char *const *paths, const size_t *firsts,
                         size_t n_firsts, hub_error *err) {
    char *list = list_models(paths, firsts, n_firsts);
    hub_status status;
    if (wish->glob) {
        status = hub_fail(err, HUB_AMBIGUOUS, "%zu files of %s match '%s', one must: %s", n_firsts,
                          wish->where, wish->glob, list);
    } else if (wish->quant || wish->file) {
        status =
            hub_fail(err, HUB_AMBIGUOUS, "%s has several %s: give the file, as %s:FILE.gguf: %s",
                     wish->where, wish->quant ? wish->quant : wish->file, wish->where, list);
    } else {
        status =
            hub_fail(err, HUB_AMBIGUOUS, "%s has several models: say which, as %s:%s: it has %s",
                     wish->where, wish->where, "QUANT", list);
    }
    free(list);
    return status;
}

static hub_status refuse_all(const quant_wish *wish, const char *const *paths, size_t n,
                             hub_error *err) {
    static const quant_wish anything = {0};
    size_t *firsts;
    size_t n_firsts = quant_matches(&anything, paths, n, &firsts);
    char *list = list_models(paths, firsts, n_firsts);
    const char *wanted = wish->glob ? wish->glob : wish->file ? wish->file : wish->quant;
    hub_status status =
        n_firsts == 0
            ? hub_fail(err, HUB_FAILED, "%s has no GGUF model%s%s", wish->where,
                       wish->glob ? " and no file that matches " : "", wish->glob ? wish->glob : "")
            : hub_fail(err, HUB_FAILED, "%s has no %s; it has %s", wish->where,
                       wanted ? wanted : "model", list);
    free(list);
    free(firsts);
    return status;
}

/* Without a wish: Q4_K_M, else Q8_0, else the only one. Returns how many are left. */
static size_t apply_default(const char *const *paths, size_t *firsts, size_t n_firsts) {
    static const char *const usual[] = {"Q4_K_M", "Q8_0"};
    for (size_t u = 0; u < 2; u++) {
        size_t n_kept = 0;
        size_t found = 0;
        for (size_t i = 0; i < n_firsts; i++) {
            if (fit(paths[firsts[i]], usual[u]) < 3) continue;
            found = firsts[i];
            n_kept++;
        }
        if (n_kept == 0) continue;
        if (n_kept > 1) break;
        firsts[0] = found;
        return 1;
    }
    return n_firsts;
}

hub_status quant_choose(const quant_wish *wish, const char *const *paths, size_t n,
                        quant_choice *out, hub_error *err) {
    size_t *firsts;
    int missing = 0;
    *out = (quant_choice){0};
    size_t n_firsts = quant_matches(wish, paths, n, &firsts);
    if (!wish->glob && !wish->quant && !wish->file)
        n_firsts = apply_default(paths, firsts, n_firsts);
    hub_status status = HUB_OK;
    if (n_firsts == 0) {
        status = refuse_all(wish, paths, n, err);
    } else if (n_firsts > 1) {
        status = refuse(wish, paths, firsts, n_firsts, err);
    } else if (!quant_parts(paths, n, firsts[0], out, &missing)) {
        status = hub_fail(err, HUB_FAILED, "%s: part %d of %s is missing", wish->where, missing,
                          paths[firsts[0]]);
    }
    free(firsts);
    return status;
}
