/* test_pretok.c: every row of pretok.def compiles, covers any text without gaps, and splits
 * known strings as the publishers' tokenizers do. */
#include "base/mem.h"
#include "text/pretok.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static const char *const names[] = {
#define PRETOK(name, flags, ...) name,
#define ALIAS(name, row)         name,
#include "text/pretok.def"
#undef PRETOK
#undef ALIAS
};

static pn_pretok *open_row(const char *name) {
    const pn_pretok_info *info = pn_pretok_find(name, strlen(name));
    if (!info) fail_msg("no row %s", name);
    pn_pretok *pretok = NULL;
    puna_error err = {0};
    if (pn_pretok_open(info, &pretok, &err)) fail_msg("%s", err.msg);
    return pretok;
}

static void every_row_covers(void **state) {
    (void)state;
    static const char text[] = "I'm 12345 \xe4\xb8\x80\xed\x95\x9c caf\xc3\xa9  \r\n\t\xe1\xa0\x8e "
                               "x\xc2\x85y (a/b)\n\n ...  ";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        pn_pretok *pretok = open_row(names[i]);
        pn_pretok_work work = {0};
        assert_int_equal(pn_pretok_split(pretok, text, sizeof text - 1, &work, NULL), PUNA_OK);
        size_t at = 0;
        for (size_t k = 0; k < work.n; k++) {
            assert_int_equal(work.pieces[k].start, at);
            assert_true(work.pieces[k].len > 0);
            at += work.pieces[k].len;
        }
        assert_int_equal(at, sizeof text - 1);
        pn_pretok_work_free(&work);
        pn_pretok_free(pretok);
    }
    assert_null(pn_pretok_find("nosuch", 6));
    assert_null(pn_pretok_find("", 0));
}

/* `want`: the pieces with '~' between them. */
static void expect(const char *name, const char *text, const char *want) {
    pn_pretok *pretok = open_row(name);
    pn_pretok_work work = {0};
    pn_buf got = {0};
    assert_int_equal(pn_pretok_split(pretok, text, strlen(text), &work, NULL), PUNA_OK);
    for (size_t k = 0; k < work.n; k++) {
        if (k > 0) assert_true(pn_buf_append(&got, "~", 1));
        assert_true(pn_buf_append(&got, text + work.pieces[k].start, work.pieces[k].len));
    }
    assert_string_equal(got.data, want);
    pn_buf_free(&got);
    pn_pretok_work_free(&work);
    pn_pretok_free(pretok);
}

static void known_splits(void **state) {
    (void)state;
    expect("gpt-2", "I'm 123 ok!!  x", "I~'m~ 123~ ok~!!~ ~ x");
    expect("llama-bpe", "I'M 12345\n\n  x.y", "I~'M~ ~123~45~\n\n~ ~ x~.y");
    expect("qwen2", "a 123", "a~ ~1~2~3");
    expect("starcoder", "a 12", "a~ ~1~2");
    expect("falcon", "a$b 1234", "a~$~b~ ~123~4");
    expect("gpt-4o", "HelloWORLD's don't", "Hello~WORLD's~ don't");
    expect("tekken", "HelloWorld 12", "Hello~World~ ~1~2");
    expect("deepseek-llm", "ab\ncd  ", "ab~\n~cd~  ");
    expect("superbpe", "1234567", "1~234~567");
    /* U+180E is no white space, U+0085 is */
    expect("gpt-2",
           "a\xe1\xa0\x8e"
           "b\xc2\x85"
           "c",
           "a~\xe1\xa0\x8e~b~\xc2\x85~c");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_row_covers),
                                       cmocka_unit_test(known_splits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
