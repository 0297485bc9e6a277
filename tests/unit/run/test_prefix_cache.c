/* test_prefix_cache.c: the radix tree against a list of everything that was put in, under random
 * operations; and sequences that find what others have computed: the same bits, and every page free
 * or idle in the end. */
#include "tiny_engine.h"

#include "run/engine.h"

#include <time.h>

enum { PAGE = PN_PAGE_POSITIONS, N_PAGES = 48, DEPTH = 4, MAX_TEXT = DEPTH * PAGE };

/* ---- the tree against a naive one ------------------------------------------------------------ */

/* What the naive cache knows of a page: the whole text up to its end. */
typedef struct entry {
    bool is_there;
    int32_t tokens[MAX_TEXT];
    int32_t n;
} entry;

static entry entries[N_PAGES];
static uint32_t random_state;

static int32_t random_below(int32_t n) {
    random_state = random_state * 1664525u + 1013904223u;
    return (int32_t)((random_state >> 8) % (uint32_t)n);
}

/* Few different tokens and many common beginnings. */
static int32_t random_text(int32_t *tokens) {
    const int32_t n = 1 + random_below(MAX_TEXT);
    const int32_t changes = random_below(3);
    for (int32_t i = 0; i < n; i++) tokens[i] = 1;
    for (int32_t i = 0; i < changes; i++) tokens[random_below(n)] = random_below(4);
    return n;
}

static int32_t common_tokens(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b) {
    int32_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n]) n++;
    return n;
}

/* The longest beginning of the text that any page stands for. */
static int32_t naive_find(const int32_t *tokens, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 0; i < N_PAGES; i++) {
        if (!entries[i].is_there) continue;
        const int32_t same = common_tokens(entries[i].tokens, entries[i].n, tokens, n);
        if (same > best) best = same;
    }
    return best;
}

static void forget_entry(int32_t page) {
    entries[page].is_there = false;
}

/* Pages that the cache has let go are known by their flag. */
static void forget_lost(const pn_pages *pages) {
    for (int32_t i = 0; i < N_PAGES; i++)
        if (entries[i].is_there && !pages->kept[i]) forget_entry(i);
}

static void check_find(const pn_prefix_cache *cache, const pn_pages *pages, const int32_t *tokens,
                       int32_t n) {
    int32_t found[DEPTH];
    const int32_t same = pn_prefix_cache_find(cache, PN_NO_PAGE, tokens, n, found);
    assert_int_equal(same, naive_find(tokens, n));
    for (int32_t i = 0; i * PAGE < same; i++) {
        const entry *e = &entries[found[i]];
        const int32_t end = same < (i + 1) * PAGE ? same : (i + 1) * PAGE;
        assert_true(e->is_there && pages->kept[found[i]]);
        assert_true(e->n >= end && e->n <= (i + 1) * PAGE);
        assert_memory_equal(e->tokens, tokens, (size_t)end * sizeof *tokens);
    }
}

/* A "sequence" computes a text: takes over what is there, adds the rest, lets go. */
static void compute_text(pn_prefix_cache *cache, pn_pages *pages, const int32_t *tokens,
                         int32_t n) {
    int32_t held[DEPTH], n_held = 0;
    const int32_t same = pn_prefix_cache_find(cache, PN_NO_PAGE, tokens, n, held);
    for (; (n_held + 1) * PAGE <= same; n_held++) pn_pages_share(pages, held[n_held]);
    while (n_held * PAGE < n) {
        const int32_t from = n_held * PAGE, size = n - from < PAGE ? n - from : PAGE;
        int32_t page = pn_pages_take(pages);
        if (page == PN_NO_PAGE && pn_prefix_cache_evict(cache)) page = pn_pages_take(pages);
        assert_true(page != PN_NO_PAGE);
        forget_lost(pages);
        const int32_t above = n_held ? held[n_held - 1] : PN_NO_PAGE;
        const int32_t kept = pn_prefix_cache_add(cache, above, tokens + from, size, page);
        forget_lost(pages);
        if (kept == page) {
            entries[page] = (entry){.is_there = true, .n = from + size};
            memcpy(entries[page].tokens, tokens, (size_t)(from + size) * sizeof *tokens);
        }
        held[n_held++] = page;
    }
    while (n_held > 0) pn_pages_drop(pages, held[--n_held]);
}

static void check_counts(const pn_pages *pages) {
    int32_t n = 0;
    for (int32_t i = 0; i < N_PAGES; i++) {
        assert_int_equal(pages->refs[i], entries[i].is_there);
        n += entries[i].is_there;
    }
    assert_int_equal(pages->n_idle, n);
    assert_int_equal(pages->n_free, N_PAGES - n);
}

static void test_against_naive(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed < 20; seed++) {
        pn_pages pages;
        pn_prefix_cache *cache;
        int32_t tokens[MAX_TEXT];
        random_state = seed;
        memset(entries, 0, sizeof entries);
        assert_int_equal(pn_pages_open(&pages, N_PAGES, NULL), PUNA_OK);
        assert_int_equal(pn_prefix_cache_open(&pages, &cache, NULL), PUNA_OK);
        for (int32_t i = 0; i < 400; i++) {
            const int32_t n = random_text(tokens);
            const int32_t what = random_below(10);
            if (what < 6) {
                compute_text(cache, &pages, tokens, n);
            } else if (what == 6) {
                pn_prefix_cache_evict(cache);
                forget_lost(&pages);
            }
            check_find(cache, &pages, tokens, n);
            check_counts(&pages);
        }
        while (pn_prefix_cache_evict(cache)) forget_lost(&pages);
        assert_int_equal(pages.n_free, N_PAGES);
        check_counts(&pages);
        pn_prefix_cache_close(cache);
        pn_pages_close(&pages);
    }
}

/* What was used last goes last. */
static void test_oldest_goes_first(void **state) {
    (void)state;
    pn_pages pages;
    pn_prefix_cache *cache;
    int32_t tokens[MAX_TEXT] = {0}, found[DEPTH];
    memset(entries, 0, sizeof entries);
    assert_int_equal(pn_pages_open(&pages, N_PAGES, NULL), PUNA_OK);
    assert_int_equal(pn_prefix_cache_open(&pages, &cache, NULL), PUNA_OK);
    for (int32_t i = 0; i < 10; i++) {
        tokens[0] = i;
        compute_text(cache, &pages, tokens, 2 * PAGE);
    }
    tokens[0] = 0;
    compute_text(cache, &pages, tokens, 2 * PAGE + 5); /* used again, and longer */
    for (int32_t i = 1; i < 10; i++)
        for (int32_t page = 1; page >= 0; page--) {
            tokens[0] = i;
            assert_true(pn_prefix_cache_evict(cache));
            forget_lost(&pages);
            assert_int_equal(pn_prefix_cache_find(cache, PN_NO_PAGE, tokens, 2 * PAGE, found),
                             page * PAGE);
        }
    tokens[0] = 0;
    assert_int_equal(pn_prefix_cache_find(cache, PN_NO_PAGE, tokens, 3 * PAGE, found),
                     2 * PAGE + 5);
    pn_prefix_cache_close(cache);
    pn_pages_close(&pages);
}

/* Many children of one page, 32,768 tokens deep: a lookup takes microseconds. */
static void test_wide_and_deep(void **state) {
    (void)state;
    enum { DEEP = 512, WIDE = 20000 };
    static int32_t tokens[DEEP * PAGE], found[DEEP];
    pn_pages pages;
    pn_prefix_cache *cache;
    assert_int_equal(pn_pages_open(&pages, DEEP + WIDE, NULL), PUNA_OK);
    assert_int_equal(pn_prefix_cache_open(&pages, &cache, NULL), PUNA_OK);
    int32_t above = PN_NO_PAGE;
    for (int32_t i = 0; i < DEEP; i++) {
        const int32_t page = pn_pages_take(&pages);
        assert_int_equal(pn_prefix_cache_add(cache, above, tokens, PAGE, page), page);
        above = i == 0 ? page : above;
        if (i > 0) above = page;
    }
    int32_t text[PAGE] = {0};
    for (int32_t i = 0; i < WIDE; i++) { /* siblings that agree in 60 tokens */
        text[60] = 1 + i / 100;
        text[61] = i % 100;
        pn_prefix_cache_add(cache, PN_NO_PAGE, text, PAGE, pn_pages_take(&pages));
    }
    const clock_t start = clock();
    for (int32_t i = 0; i < 100; i++)
        assert_int_equal(pn_prefix_cache_find(cache, PN_NO_PAGE, tokens, DEEP * PAGE, found),
                         DEEP * PAGE);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC / 100;
    assert_true(seconds < 0.005);
    text[60] = 7;
    text[61] = 1000;
    assert_int_equal(pn_prefix_cache_find(cache, PN_NO_PAGE, text, PAGE, found), 61);
    pn_prefix_cache_close(cache);
    pn_pages_close(&pages);
}

/* ---- sequences ------------------------------------------------------------------------------- */

static puna_engine *open_cached(int32_t n_seq, int64_t n_kv) {
    puna_engine_options o = engine_options(n_seq, 48, 1);
    o.prefix_cache = true;
    o.n_kv = n_kv;
    return open_engine_with(&o);
}

static int32_t reused(const puna_seq *s) {
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_get_stats(s, &stats);
    return stats.n_reused;
}

static outcome alone(const int32_t *tokens, int32_t n, int32_t max_tokens) {
    puna_engine *e = open_engine(1, 512, 1, PUNA_KV_F16);
    const outcome out = complete(e, open_seq(e, max_tokens), tokens, n);
    puna_engine_free(e);
    return out;
}

static void assert_same_tokens(const outcome *a, const outcome *b) {
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_memory_equal(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof(int32_t));
}

static void assert_all_returned(const puna_engine *e) {
    assert_int_equal(pn_pages_available(&e->pages), e->pages.n_pages);
    for (int32_t i = 0; i < e->pages.n_pages; i++)
        assert_int_equal(e->pages.refs[i], e->pages.kept[i]);
}

static void test_found_by_others(void **state) {
    (void)state;
    int32_t a[320], b[320];
    make_prompt(a, 320, 3);
    memcpy(b, a, sizeof b);
    b[150] = (b[150] + 1) % TINY_VOCAB;
    const outcome wanted_a = alone(a, 200, 20), wanted_b = alone(b, 200, 20);
    puna_engine *e = open_cached(2, 0);
    puna_seq *s = open_seq(e, 20);
    outcome got = complete(e, s, a, 200);
    assert_same_tokens(&got, &wanted_a);
    assert_int_equal(reused(s), 0);
    puna_seq *t = open_seq(e, 20);
    got = complete(e, t, b, 200); /* the first still holds its pages */
    assert_same_tokens(&got, &wanted_b);
    assert_int_equal(reused(t), 150);
    puna_seq_free(s);
    puna_seq_free(t);
    t = open_seq(e, 20);
    got = complete(e, t, a, 200);
    assert_same_tokens(&got, &wanted_a);
    assert_int_equal(reused(t), 199);
    memcpy(a + 200, wanted_a.tokens, 20 * sizeof *a); /* a chat goes on after its answer */
    const outcome wanted_on = alone(a, 230, 10);
    puna_seq_free(t);
    t = open_seq(e, 10);
    got = complete(e, t, a, 230);
    assert_same_tokens(&got, &wanted_on);
    assert_int_equal(reused(t), 219);
    puna_seq_free(t);
    assert_all_returned(e);
    puna_engine_free(e);
}

/* The pool holds one context and no page more: still every text of full length is possible, also
 * one that takes over all of its pages, and changes the last. */
static void test_smallest_pool(void **state) {
    (void)state;
    int32_t tokens[320];
    make_prompt(tokens, 320, 3);
    puna_engine *e = open_cached(2, 320);
    puna_seq *s = open_seq(e, 0);
    for (int32_t i = 0; i < 4; i++) {
        complete(e, s, tokens, 320);
        assert_int_equal(reused(s), i == 0 ? 0 : i == 1 ? 319 : 310);
        puna_seq_free(s);
        s = open_seq(e, 0);
        if (i > 0) tokens[310] = i;
    }
    puna_error err;
    puna_seq *t = open_seq(e, 0);
    feed(s, tokens, 300);
    run_until_idle(e);
    make_prompt(tokens, 320, 4);
    feed(t, tokens, 100);
    puna_event events[8];
    int32_t n;
    puna_status status = PUNA_OK;
    for (int32_t i = 0; i < 5 && status == PUNA_OK; i++)
        status = puna_engine_step(e, events, 8, &n, &err);
    assert_int_equal(status, PUNA_E_LIMIT);
    assert_non_null(strstr(err.msg, "KV"));
    puna_seq_free(s);
    run_until_idle(e); /* it goes on as soon as there is room */
    puna_seq_free(t);
    assert_all_returned(e);
    puna_engine_free(e);
}

/* Hidden states and logits of all positions are computed, never taken over; what a file said is
 * for nobody else. */
static void count_calls(void *user, int32_t position, const float *values, int32_t n) {
    (void)position, (void)values, (void)n;
    ++*(int32_t *)user;
}

static void test_not_for_all(void **state) {
    (void)state;
    int32_t tokens[200], calls = 0;
    make_prompt(tokens, 200, 3);
    puna_engine *e = open_cached(2, 0);
    puna_seq *s = open_seq(e, 0);
    complete(e, s, tokens, 200);
    puna_seq_options o = greedy(0);
    o.on_logits = count_calls;
    o.on_logits_user = &calls;
    puna_seq *t = open_seq_with(e, &o);
    complete(e, t, tokens, 200);
    assert_int_equal(calls, 200);
    puna_seq_free(t);
    o = greedy(0);
    o.on_hidden = count_calls;
    o.on_hidden_user = &calls;
    t = open_seq_with(e, &o);
    complete(e, t, tokens, 200);
    assert_int_equal(calls, 400);
    puna_seq_free(t);
    size_t n_bytes = 0;
    puna_seq_save(s, NULL, 0, &n_bytes, NULL);
    void *saved = malloc(n_bytes);
    assert_int_equal(puna_seq_save(s, saved, n_bytes, &n_bytes, NULL), PUNA_OK);
    puna_engine_free(e);
    e = open_cached(2, 0);
    s = open_seq(e, 0);
    assert_int_equal(puna_seq_load(s, saved, n_bytes, NULL), PUNA_OK);
    free(saved);
    complete(e, s, tokens, 199);
    assert_int_equal(reused(s), 198); /* for itself */
    puna_seq_free(s);
    s = open_seq(e, 0);
    complete(e, s, tokens, 200);
    assert_int_equal(reused(s), 0);
    puna_engine_free(e);
}

static int open_group(void **state) {
    (void)state;
    open_model(PN_FMT_Q8_0);
    return 0;
}

static int close_group(void **state) {
    (void)state;
    return close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_naive), cmocka_unit_test(test_oldest_goes_first),
        cmocka_unit_test(test_wide_and_deep), cmocka_unit_test(test_found_by_others),
        cmocka_unit_test(test_smallest_pool), cmocka_unit_test(test_not_for_all),
    };
    return cmocka_run_group_tests(tests, open_group, close_group);
}
