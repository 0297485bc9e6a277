/* test_mem.c: sizes that overflow, alignment, arenas, buffers, and an allocator that refuses. */
#include "base/mem.h"

#include "puna.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An allocator that counts and that refuses the allocations from number fail_at on. */
typedef struct counting {
    int n_calls, n_live, fail_at;
} counting;
static counting counts;

/* More than any machine has: refused here, since sanitizers abort instead. */
static bool is_absurd(size_t bytes) {
    return bytes > (size_t)1 << 46;
}

static void *counting_alloc(void *user, size_t bytes) {
    counting *c = user;
    if (++c->n_calls >= c->fail_at || is_absurd(bytes)) return NULL;
    void *p = malloc(bytes);
    c->n_live += p != NULL;
    return p;
}

static void *counting_realloc(void *user, void *ptr, size_t bytes) {
    counting *c = user;
    if (++c->n_calls >= c->fail_at || is_absurd(bytes)) return NULL;
    void *p = realloc(ptr, bytes);
    c->n_live += p && !ptr;
    return p;
}

static void counting_free(void *user, void *ptr) {
    ((counting *)user)->n_live--;
    free(ptr);
}

static int use_counting(void **state) {
    (void)state;
    const puna_allocator allocator = {counting_alloc, counting_realloc, counting_free, &counts};
    counts = (counting){.fail_at = 1 << 30};
    puna_set_allocator(&allocator);
    return 0;
}

/* Nothing of the library may be left. */
static int check_all_freed(void **state) {
    (void)state;
    puna_set_allocator(NULL);
    return counts.n_live;
}

static void test_sizes(void **state) {
    (void)state;
    size_t out = 5;
    assert_true(pn_mul_size(SIZE_MAX / 3, 3, &out) && out == SIZE_MAX / 3 * 3);
    assert_false(pn_mul_size(SIZE_MAX / 3 + 1, 3, &out));
    assert_true(pn_mul_size(0, SIZE_MAX, &out) && out == 0);
    assert_true(pn_add_size(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
    assert_false(pn_add_size(SIZE_MAX, 1, &out));
    assert_int_equal(pn_round_up(0, 64), 0);
    assert_int_equal(pn_round_up(1, 64), 64);
    assert_int_equal(pn_round_up(64, 64), 64);
    assert_int_equal(pn_round_up(65, 12), 72);
}

static void test_alloc(void **state) {
    (void)state;
    void *none = pn_alloc(0);
    assert_non_null(none);
    pn_free(none);
    pn_free(NULL);
    unsigned char *zeros = pn_calloc(100, 7);
    for (int i = 0; i < 700; i++) assert_int_equal(zeros[i], 0);
    memset(zeros, 3, 700);
    zeros = pn_realloc(zeros, 1000, 7);
    assert_non_null(zeros);
    for (int i = 0; i < 700; i++) assert_int_equal(zeros[i], 3);
    const int n_calls = counts.n_calls;
    assert_null(pn_calloc(SIZE_MAX / 2, 3));
    assert_null(pn_calloc(3, SIZE_MAX / 2));
    assert_null(pn_realloc(zeros, SIZE_MAX / 2, 3));
    assert_int_equal(counts.n_calls, n_calls); /* refused before the allocator is asked */
    zeros = pn_realloc(zeros, 0, 7);
    assert_non_null(zeros);
    pn_free(zeros);
}

static void test_aligned(void **state) {
    (void)state;
    for (size_t align = 1; align <= 4096; align *= 2)
        for (size_t bytes = 0; bytes < 300; bytes += 37) {
            unsigned char *p = pn_alloc_aligned(bytes, align);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % align, 0);
            memset(p, 1, bytes);
            pn_free_aligned(p);
        }
    pn_free_aligned(NULL);
    assert_null(pn_alloc_aligned(SIZE_MAX, 64));
    assert_null(pn_alloc_aligned(SIZE_MAX - 64, 64));
    counts.fail_at = 0;
    assert_null(pn_alloc_aligned(10, 64));
}

/* Sizes around the arena's own block and its limit for a block of its own. */
static void test_arena(void **state) {
    (void)state;
    static const size_t sizes[] = {0,     1,     15,    16,     17, 1000, 16384,
                                   16385, 65536, 65537, 300000, 24, 8};
    enum { N = sizeof sizes / sizeof *sizes, ROUNDS = 40 };
    pn_arena arena = {0};
    pn_arena_free(&arena);
    static unsigned char *blocks[ROUNDS][N];
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < N; i++) {
            blocks[r][i] = pn_arena_alloc(&arena, sizes[i]);
            assert_non_null(blocks[r][i]);
            assert_int_equal((uintptr_t)blocks[r][i] % 16, 0);
            memset(blocks[r][i], r * N + i, sizes[i]);
        }
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < N; i++)
            for (size_t b = 0; b < sizes[i]; b += 1 + sizes[i] / 64)
                assert_int_equal(blocks[r][i][b], (unsigned char)(r * N + i));
    const unsigned char *zeros = pn_arena_calloc(&arena, 10, 10);
    for (int i = 0; i < 100; i++) assert_int_equal(zeros[i], 0);
    assert_memory_equal(pn_arena_copy(&arena, "a\0b", 3), "a\0b", 4);
    assert_string_equal(pn_arena_copy(&arena, NULL, 0), "");
    pn_arena_free(&arena);
    assert_null(arena.head);
}

/* Small allocations share blocks: the cost of many is not one call each. */
static void test_arena_shares_blocks(void **state) {
    (void)state;
    pn_arena arena = {0};
    for (int i = 0; i < 10000; i++) assert_non_null(pn_arena_alloc(&arena, 16));
    assert_true(counts.n_calls <= 4);
    /* a big block leaves the free space of the current one in use */
    assert_non_null(pn_arena_alloc(&arena, 1000000));
    const int n_calls = counts.n_calls;
    assert_non_null(pn_arena_alloc(&arena, 16));
    assert_int_equal(counts.n_calls, n_calls);
    pn_arena_free(&arena);
}

static void test_arena_refuses(void **state) {
    (void)state;
    pn_arena arena = {0};
    assert_null(pn_arena_alloc(&arena, SIZE_MAX));
    assert_null(pn_arena_alloc(&arena, SIZE_MAX - 70000));
    assert_null(pn_arena_calloc(&arena, SIZE_MAX / 4, 8));
    assert_null(pn_arena_copy(&arena, "x", SIZE_MAX));
    char *kept = pn_arena_copy(&arena, "kept", 4);
    assert_non_null(kept);
    counts.fail_at = 0;
    assert_null(pn_arena_alloc(&arena, 100000));
    assert_null(pn_arena_calloc(&arena, 100000, 1));
    assert_string_equal(kept, "kept");
    pn_arena_free(&arena);
}

static void test_buf(void **state) {
    (void)state;
    pn_buf buf = {0};
    assert_true(pn_buf_append(&buf, NULL, 0));
    assert_string_equal(buf.data, "");
    for (int i = 0; i < 5000; i++) assert_true(pn_buf_append(&buf, "abc", 3));
    assert_int_equal(buf.n, 15000);
    assert_int_equal(strlen(buf.data), 15000);
    for (size_t i = 0; i < buf.n; i++) assert_int_equal(buf.data[i], "abc"[i % 3]);
    pn_buf_free(&buf);
    assert_true(buf.data == NULL && buf.n == 0 && buf.cap == 0);
    pn_buf_free(&buf);
    /* a text that just fills the first capacity, and one longer */
    for (int width = 60; width < 70; width++) {
        assert_true(pn_buf_printf(&buf, "%*d|", width, 7));
        assert_int_equal(strlen(buf.data), width + 1);
        assert_string_equal(buf.data + width - 1, "7|");
        pn_buf_free(&buf);
    }
}

static void test_buf_refuses(void **state) {
    (void)state;
    pn_buf buf = {0};
    assert_true(pn_buf_append(&buf, "head", 4));
    assert_false(pn_buf_append(&buf, "x", SIZE_MAX));
    assert_false(pn_buf_append(&buf, "x", SIZE_MAX - 5));
    counts.fail_at = 0;
    char more[1000] = {0};
    assert_false(pn_buf_append(&buf, more, sizeof more));
    assert_false(pn_buf_printf(&buf, "%1000d", 1));
    assert_int_equal(buf.n, 4);
    assert_string_equal(buf.data, "head");
    assert_true(pn_buf_append(&buf, "er", 2)); /* there is room: nobody is asked */
    assert_string_equal(buf.data, "header");
    pn_buf_free(&buf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, use_counting, check_all_freed)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_sizes),         TEST(test_alloc),       TEST(test_aligned),
        TEST(test_arena),         TEST(test_buf),         TEST(test_arena_shares_blocks),
        TEST(test_arena_refuses), TEST(test_buf_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
