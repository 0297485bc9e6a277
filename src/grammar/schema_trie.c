/* schema_trie.c: many texts as a tree of what they begin with alike. */
#include "grammar/schema_emit.h"

#include <string.h>

typedef struct trie {
    pn_build *b;
    const pn_json_text *texts; /* sorted, each once */
} trie;

static int compare(pn_json_text x, pn_json_text y) {
    const size_t n = x.n < y.n ? x.n : y.n;
    const int order = n ? memcmp(x.data, y.data, n) : 0;
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

/* Bottom-up merge sort. */
static bool sort_texts(pn_build *b, pn_json_text *list, int32_t n) {
    pn_json_text *spare = pn_job_alloc(&b->job, (size_t)n, sizeof *spare);
    if (!spare) return false;
    for (int64_t width = 1; width < n; width *= 2) {
        if (!pn_job_charge(&b->job, (size_t)n)) return false;
        for (int64_t begin = 0; begin < n; begin += 2 * width) {
            const int64_t mid = begin + width < n ? begin + width : n;
            const int64_t end = begin + 2 * width < n ? begin + 2 * width : n;
            int64_t x = begin, y = mid;
            for (int64_t i = begin; i < end; i++)
                spare[i] =
                    x < mid && (y == end || compare(list[x], list[y]) <= 0) ? list[x++] : list[y++];
        }
        memcpy(list, spare, (size_t)n * sizeof *list);
    }
    return true;
}

/* The end of the character at `at` (at < text.n). */
static size_t next_character(pn_json_text text, size_t at) {
    do at++;
    while (at < text.n && ((unsigned char)text.data[at] & 0xc0) == 0x80);
    return at;
}

/* To where texts from..to-1, which are alike up to `at`, are alike: whole characters. */
static size_t common_end(const trie *t, int32_t from, int32_t to, size_t at) {
    const pn_json_text x = t->texts[from], y = t->texts[to - 1];
    while (at < x.n && at < y.n) {
        const size_t next = next_character(x, at);
        if (next > y.n || memcmp(x.data + at, y.data + at, next - at) != 0) break;
        at = next;
    }
    return at;
}

static const pn_expr *part_expr(const trie *t, pn_json_text text, size_t from, size_t to) {
    pn_json_text escaped;
    if (!pn_text_escape(t->b, (pn_json_text){text.data + from, to - from}, &escaped)) return NULL;
    return pn_expr_text(&t->b->rules, escaped.data, escaped.n);
}

/* The rests of texts from..to-1, which are alike up to `at`. */
static const pn_expr *branch_expr(const trie *t, int32_t from, int32_t to, size_t at) {
    pn_rules *r = &t->b->rules;
    pn_expr_list list = {0};
    const size_t cut = common_end(t, from, to, at);
    const pn_expr *head = part_expr(t, t->texts[from], at, cut);
    if (!head || !pn_job_charge(&t->b->job, (size_t)(to - from))) return NULL;
    for (int32_t i = from, end; i < to; i = end) {
        const pn_json_text x = t->texts[i];
        end = i + 1;
        if (x.n == cut) {
            if (!pn_expr_add(r, &list, pn_expr_empty(r))) return NULL;
            continue;
        }
        const size_t next = next_character(x, cut);
        while (end < to && t->texts[end].n >= next &&
               memcmp(t->texts[end].data + cut, x.data + cut, next - cut) == 0)
            end++;
        if (!pn_expr_add(r, &list, branch_expr(t, i, end, cut))) return NULL;
    }
    const pn_expr *all = pn_expr_then(r, head, pn_expr_alt(r, &list));
    return pn_expr_shallow(r, all, t->b->rule_name);
}

const pn_expr *pn_emit_texts(pn_build *b, pn_json_text *texts, int32_t n) {
    int32_t n_kept = 0;
    if (!sort_texts(b, texts, n)) return NULL;
    for (int32_t i = 0; i < n; i++)
        if (i == 0 || compare(texts[i], texts[n_kept - 1]) != 0) texts[n_kept++] = texts[i];
    const trie t = {b, texts};
    const pn_expr *quote = b->builtins->quote;
    return pn_expr_three(&b->rules, quote, branch_expr(&t, 0, n_kept, 0), quote);
}
