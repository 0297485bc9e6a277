/* test_gbnf.c: reading GBNF: what is refused and with which words, and texts of grammars that use
 * each part of the notation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "puna.h"
#include "unit/failing_allocator.h"

/* ---- what is refused ------------------------------------------------------------------------- */

static const struct {
    const char *gbnf;
    puna_status status;
    const char *message; /* all of it */
} refused[] = {
    {"", PUNA_E_FORMAT, "grammar: there is no rule 'root', with which it begins"},
    {"# only this", PUNA_E_FORMAT, "grammar: there is no rule 'root', with which it begins"},
    {"root \"a\"", PUNA_E_FORMAT,
     "grammar: line 1, column 6: expected ::= after the rule's name, found '\"'"},
    {"root\n::= \"a\"", PUNA_E_FORMAT,
     "grammar: line 1, column 5: expected ::= after the rule's name, found the end of the line"},
    {"root ::= \"a\"\n  \"b\"", PUNA_E_FORMAT,
     "grammar: line 2, column 3: expected a rule's name (a rule goes on in the next line only "
     "inside ( ) or after |), found '\"'"},
    {"root ::= \"a", PUNA_E_FORMAT,
     "grammar: line 1, column 12: expected a closing \", found the end of the grammar"},
    {"root ::= [a-", PUNA_E_FORMAT,
     "grammar: line 1, column 13: expected a closing ], found the end of the grammar"},
    {"root ::= [z-a]", PUNA_E_FORMAT,
     "grammar: line 1, column 11: the range ends before it begins"},
    {"root ::= [^\\x00-\\U0010ffff]", PUNA_E_FORMAT,
     "grammar: line 1, column 10: the class holds no character"},
    {"root ::= [\\ud800-\\udfff]", PUNA_E_FORMAT,
     "grammar: line 1, column 10: the class holds no character"},
    {"root ::= [^]", PUNA_E_FORMAT,
     "grammar: line 1, column 10: the class is empty: a ] to be matched is written \\]"},
    {"root ::= \"\\ud83d\"", PUNA_E_FORMAT,
     "grammar: line 1, column 11: half of a surrogate pair is no character: write \\U and 8 "
     "digits"},
    {"root ::= \"\\u12\"", PUNA_E_FORMAT,
     "grammar: line 1, column 15: expected four hexadecimal digits after \\u, found '\"'"},
    {"root ::= \"\\U00110000\"", PUNA_E_FORMAT,
     "grammar: line 1, column 11: the escape is beyond the last character, U+10FFFF"},
    {"root ::= \"\\q\"", PUNA_E_FORMAT,
     "grammar: line 1, column 12: expected one of t r n x u U \\ \" [ ] - after the backslash, "
     "found 'q'"},
    {"root ::= \"\xff\"", PUNA_E_FORMAT,
     "grammar: line 1, column 11: the grammar is not valid UTF-8"},
    {"root ::= \"\xc3\xa4\" \xc3\xa4", PUNA_E_FORMAT,
     "grammar: line 1, column 14: expected a symbol or the end of the line, found '\xc3\xa4'"},
    {"root ::= (\"a\"\n", PUNA_E_FORMAT,
     "grammar: line 1, column 10: expected a closing ) of this group"},
    {"root ::= (\"a\" ]", PUNA_E_FORMAT,
     "grammar: line 1, column 15: expected a closing ), found ']'"},
    {"root ::= \"a\" )", PUNA_E_FORMAT,
     "grammar: line 1, column 14: expected the end of the line: no group is open here, found ')'"},
    {"root ::= * \"a\"", PUNA_E_FORMAT,
     "grammar: line 1, column 10: there is nothing before this to repeat"},
    {"root ::= \"a\" | +", PUNA_E_FORMAT,
     "grammar: line 1, column 16: there is nothing before this to repeat"},
    {"root ::= \"a\"{,3}", PUNA_E_FORMAT,
     "grammar: line 1, column 14: expected a number after {, found ','"},
    {"root ::= \"a\"{2;}", PUNA_E_FORMAT,
     "grammar: line 1, column 15: expected a comma or } after the number, found ';'"},
    {"root ::= \"a\"{2,x}", PUNA_E_FORMAT,
     "grammar: line 1, column 16: expected a number or }, found 'x'"},
    {"root ::= \"a\"{2,3", PUNA_E_FORMAT,
     "grammar: line 1, column 17: expected } after the repetition's numbers, found the end of the "
     "grammar"},
    {"root ::= \"a\"{3,2}", PUNA_E_FORMAT,
     "grammar: line 1, column 13: the repetition's maximum is below its minimum"},
    {"root ::= \"a\"{2147483647}", PUNA_E_LIMIT,
     "grammar: line 1, column 13: the repetition asks for 2147483647 times or more"},
    {"root ::= \"a\"{99999999999999999999999}", PUNA_E_LIMIT,
     "grammar: line 1, column 13: the repetition asks for 2147483647 times or more"},
    {"root ::= (\"a\"{65536}){65536}", PUNA_E_LIMIT,
     "grammar: line 1, column 22: the repetition asks for 2147483647 times or more"},
    {"root ::= <[x]>", PUNA_E_FORMAT, "grammar: line 1, column 12: expected a token id, found 'x'"},
    {"root ::= <[99999999999]>", PUNA_E_FORMAT,
     "grammar: line 1, column 11: the token id is too large"},
    {"root ::= <[1>", PUNA_E_FORMAT,
     "grammar: line 1, column 13: expected ] after the token id, found '>'"},
    {"root ::= <[1]", PUNA_E_FORMAT,
     "grammar: line 1, column 14: expected > after the token id, found the end of the grammar"},
    {"root ::= <think", PUNA_E_FORMAT,
     "grammar: line 1, column 16: expected a closing > of the token, found the end of the grammar"},
    {"root ::= <>", PUNA_E_FORMAT, "grammar: line 1, column 10: the token has no name"},
    {"root ::= !\"a\"", PUNA_E_FORMAT,
     "grammar: line 1, column 11: expected a token, such as <think> or <[10]>, after !, found "
     "'\"'"},
    {"root ::= a\n\n# c\nb ::= c\na ::= b", PUNA_E_FORMAT,
     "grammar: line 4, column 7: rule 'c' is used but not defined"},
    {"root ::= root", PUNA_E_FORMAT, "grammar: line 1: left recursion: root -> root"},
    {"root ::= \"x\"\r\n a ::= b? c\r\n b ::= \"y\"\r\nc ::= \"z\" | d\r\nd ::= (a \"x\")*",
     PUNA_E_FORMAT, "grammar: line 2: left recursion: a -> c -> d -> a"},
    {"root ::= a\na ::= n n a\nn ::= m*\nm ::= [ ]?", PUNA_E_FORMAT,
     "grammar: line 1: left recursion: a -> a"},
    {"root ::= r1\nr1 ::= r2\nr2 ::= r3\nr3 ::= r4\nr4 ::= r5\nr5 ::= r6\nr6 ::= root",
     PUNA_E_FORMAT, "grammar: line 1: left recursion: root -> r1 -> r2 -> r3 -> r4 -> ... -> root"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        puna_grammar *g = NULL;
        puna_error err = {0};
        const puna_status status =
            puna_grammar_open(refused[i].gbnf, strlen(refused[i].gbnf), NULL, &g, &err);
        if (status != refused[i].status || strcmp(err.msg, refused[i].message) != 0)
            fail_msg("%s: %d %s", refused[i].gbnf, status, err.msg);
        assert_null(g);
        assert_int_equal(
            puna_grammar_open(refused[i].gbnf, strlen(refused[i].gbnf), NULL, &g, NULL), status);
    }
}

/* ---- what is read ---------------------------------------------------------------------------- */

/* in and out: texts that are and are not in the grammar, ended by NULL. */
static const struct {
    const char *gbnf;
    const char *in[10], *out[10];
} read[] = {
    {"\xef\xbb\xbf# a mark, a comment\nroot::=\"a\"#x\n#y", {"a"}, {"", "aa"}},
    {"root ::=\n\n  \"a\" |\n  \"b\" | # c\n\n  \"c\"\r\nunused ::= \"d\"\r",
     {"a", "b", "c"},
     {"d"}},
    {"root ::= (\n \"a\" # one\n \"b\"\n | \"c\" ) \"d\"", {"abd", "cd"}, {"ab", "d"}},
    {"root ::= A-1 b_2\nA-1 ::= \"x\"\nb_2 ::= \"y\"", {"xy"}, {"x", "y"}},
    {"root ::= \"\" | \"a\" \"\"", {"", "a"}, {"aa"}},
    {"root ::= | \"a\" ||", {"", "a"}, {"aa"}},
    {"root ::= \"\\\"\\\\\\n\\r\\t\\[\\]\\-\"", {"\"\\\n\r\t[]-"}, {"\"\\"}},
    {"root ::= \"\\x41\\u0042\\U00000043\\xe9\"", {"ABC\xc3\xa9"}, {"ABC\xe9"}},
    {"root ::= \"\\ud83d\\ude00\"", {"\xf0\x9f\x98\x80"}, {""}},
    {"root ::= \"a\nb\"", {"a\nb"}, {"ab"}},
    {"root ::= [a\\]\\-\\\\^-]+", {"a]-\\^"}, {"b", "["}},
    {"root ::= [-a]+", {"-a-"}, {"b"}},
    {"root ::= [a-]+", {"-a-"}, {"b"}},
    {"root ::= [+--]+", {"+,-"}, {"."}},
    {"root ::= [^a]", {"b", "^", "\xc3\xa9", "\n", "\x7f"}, {"a", "", "bb", "\xc3"}},
    {"root ::= [^a-c\\x64]", {"e"}, {"a", "b", "c", "d"}},
    {"root ::= [c-ea-dz]+", {"abcdez"}, {"f"}},
    {"root ::= .",
     {"a", "\n", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\xee\x80\x80"},
     {"", "ab", "\xf4\x90\x80\x80", "\xed\xa0\x80", "\xc0\x80", "\x80", "\xe0\x80\x80", "\xff"}},
    {"root ::= [\\u0080-\\uffff]",
     {"\xc2\x80", "\xef\xbf\xbf", "\xe2\x82\xac"},
     {"\x7f", "\xf0\x90\x80\x80", "\xed\xbf\xbf"}},
    {"root ::= [\\u07fe-\\u0801]",
     {"\xdf\xbe", "\xdf\xbf", "\xe0\xa0\x80", "\xe0\xa0\x81"},
     {"\xdf\xbd", "\xe0\xa0\x82"}},
    {"root ::= [\\uff00-\\U00010010]",
     {"\xef\xbc\x80", "\xf0\x90\x80\x90"},
     {"\xef\xbb\xbf", "\xf0\x90\x80\x91"}},
    {"root ::= \"ab\"* \"c\" ?", {"", "ababc", "c", "ab"}, {"abb", "cc", "a"}},
    {"root ::= (\"a\"\n* \"b\")", {"b", "aab"}, {"a"}},
    {"root ::= \"a\"{2}", {"aa"}, {"a", "aaa"}},
    {"root ::= \"a\"{ 2 , }", {"aa", "aaaaaa"}, {"a"}},
    {"root ::= \"a\"{1,3}", {"a", "aa", "aaa"}, {"", "aaaa"}},
    {"root ::= \"a\"{0} \"b\"{0,0} \"c\"", {"c"}, {"ac", "bc"}},
    {"root ::= \"a\"?*+{2}", {"", "a", "aaaaa"}, {"b"}},
    {"root ::= \"a\"{2}{3}", {"aaaaaa"}, {"aaaaa", "aaaaaaa", "aa"}},
    {"root ::= \"a\"{2,3}{2,2}", {"aaaa", "aaaaa", "aaaaaa"}, {"aaa", "aaaaaaa"}},
    {"root ::= \"a\"{3,4}{1,2}", {"aaa", "aaaa", "aaaaaa", "aaaaaaaa"}, {"aaaaa", "aa"}},
    {"root ::= \"a\"{3}*", {"", "aaa", "aaaaaa"}, {"a", "aa", "aaaa"}},
    {"root ::= \"a\"{3}?", {"", "aaa"}, {"a", "aa", "aaaaaa"}},
    {"root ::= \"a\"{2,}*", {"", "aa", "aaa"}, {"a"}},
    {"root ::= \"a\"\nroot ::= \"b\"", {"b"}, {"a"}},
    {"root ::= ((((\"a\"))))", {"a"}, {""}},
    {"root ::= \"a\" root \"b\" | \"\"", {"", "ab", "aaabbb"}, {"aab", "abb"}},
    {"root ::= x x\nx ::= \"(\" x \")\" | \"\"", {"", "()", "()(())", "(())"}, {"(", "()()()"}},
};

static bool accepts(puna_grammar *g, const char *text) {
    puna_error err = {0};
    bool accepted = false;
    if (puna_grammar_accepts(g, text, strlen(text), &accepted, &err)) fail_msg("%s", err.msg);
    return accepted;
}

static puna_grammar *open_grammar(const char *gbnf) {
    puna_grammar *g = NULL;
    puna_error err = {0};
    if (puna_grammar_open(gbnf, strlen(gbnf), NULL, &g, &err)) fail_msg("%s: %s", gbnf, err.msg);
    return g;
}

static void test_read(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++) {
        puna_grammar *g = open_grammar(read[i].gbnf);
        for (int k = 0; read[i].in[k]; k++)
            if (!accepts(g, read[i].in[k])) fail_msg("%s: '%s'", read[i].gbnf, read[i].in[k]);
        for (int k = 0; read[i].out[k]; k++)
            if (accepts(g, read[i].out[k])) fail_msg("%s: not '%s'", read[i].gbnf, read[i].out[k]);
        assert_string_equal(puna_grammar_text(g), read[i].gbnf);
        assert_string_equal(puna_grammar_report(g), "");
        puna_grammar_free(g);
    }
}

static void test_root(void **state) {
    (void)state;
    static const char gbnf[] = "root ::= \"a\"\nother ::= \"b\" root";
    puna_grammar *g = NULL;
    puna_error err = {0};
    assert_int_equal(puna_grammar_open(gbnf, sizeof gbnf - 1, "other", &g, &err), PUNA_OK);
    assert_true(accepts(g, "ba"));
    assert_false(accepts(g, "a"));
    assert_ptr_equal(puna_grammar_retain(g), g);
    puna_grammar_free(g);
    assert_true(accepts(g, "ba"));
    puna_grammar_free(g);
    puna_grammar_free(NULL);
    g = NULL;
    assert_int_equal(puna_grammar_open(gbnf, sizeof gbnf - 1, "none", &g, &err), PUNA_E_FORMAT);
    assert_string_equal(err.msg, "grammar: there is no rule 'none', with which it begins");
    assert_null(g);
}

static void test_nul(void **state) {
    (void)state;
    static const char in_text[] = "root ::= \"a\0b\"", outside[] = "root ::= \"a\" \0";
    puna_grammar *g = NULL;
    puna_error err = {0};
    bool accepted = false;
    assert_int_equal(puna_grammar_open(in_text, sizeof in_text - 1, NULL, &g, &err), PUNA_OK);
    assert_int_equal(puna_grammar_accepts(g, "a\0b", 3, &accepted, &err), PUNA_OK);
    assert_true(accepted);
    puna_grammar_free(g);
    assert_int_equal(puna_grammar_open(outside, sizeof outside - 1, NULL, &g, &err), PUNA_E_FORMAT);
    assert_string_equal(
        err.msg,
        "grammar: line 1, column 14: expected a symbol or the end of the line, found '\\x00'");
}

static void test_limits(void **state) {
    (void)state;
    puna_grammar *g = NULL;
    puna_error err = {0};
    const size_t n = ((size_t)32 << 20) + 1;
    char *gbnf = calloc(n, 1);
    memset(gbnf, '(', n);
    memcpy(gbnf, "root ::= ", 9);
    assert_int_equal(puna_grammar_open(gbnf, n, NULL, &g, &err), PUNA_E_LIMIT);
    assert_string_equal(err.msg, "grammar: 33554433 bytes, at most 33554432");
    /* as many symbols as fit are too many */
    memset(gbnf + 9, '.', n - 9);
    assert_int_equal(puna_grammar_open(gbnf, (size_t)6 << 20, NULL, &g, &err), PUNA_E_LIMIT);
    assert_non_null(strstr(err.msg, "the grammar has too many parts"));
    free(gbnf);
    /* 1000 characters, 64 times each of them */
    static const char wide[] = "root ::= (x{60}){60} x{64}\nx ::= y y y y y y y y y y y y y y y y\n"
                               "y ::= z z z z z z z z\nz ::= a a a a a a a a\n"
                               "a ::= \"0123456789012345678901234567890123456789\"\n";
    g = open_grammar(wide); /* is not written out */
    assert_false(accepts(g, "0123"));
    puna_grammar_free(g);
}

/* Every allocation fails once: an error or the right answer, and nothing is lost. */
static void test_failing_allocations(void **state) {
    (void)state;
    static const char gbnf[] =
        "root ::= \"a\"* [^b-d\xc3\xa9] . x{3,70} (root | \"q\"{200,} \"!\") <[3]>? !<b>{0}\n"
        "x ::= \"x\" | \"y\" x\n";
    bool done = false;
    for (long n = 0; !done; n++) {
        puna_grammar *g = NULL;
        bool accepted = true;
        puna_error err = {0};
        allocations_left = n;
        puna_set_allocator(&failing_allocator);
        puna_status status = puna_grammar_open(gbnf, sizeof gbnf - 1, NULL, &g, &err);
        if (!status) status = puna_grammar_accepts(g, "aa..xyxx!", 9, &accepted, &err);
        puna_grammar_free(g);
        puna_set_allocator(NULL);
        done = status == PUNA_OK;
        if (done)
            assert_false(accepted);
        else
            assert_int_equal(status, PUNA_E_NOMEM);
        assert_true(n < 5000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_read),
        cmocka_unit_test(test_root),    cmocka_unit_test(test_nul),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
