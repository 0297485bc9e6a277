/* Quantisations in file names, and the choice among files: quants.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub/quants.h"

static void test_labels(void **state) {
    static const char *const cases[][2] = {{"llama-2-7b-chat.Q5_K_M.gguf", "Q5_K_M"},
                                           {"smollm2-360m-instruct-q8_0.gguf", "Q8_0"},
                                           {"Qwen3-8B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"},
                                           {"UD-IQ1_M/m-UD-IQ1_M-00001-of-00004.gguf", "UD-IQ1_M"},
                                           {"BF16/model-00001-of-00002.gguf", "BF16"},
                                           {"m-IQ4_NL.gguf", "IQ4_NL"},
                                           {"m-IQ3_XXS.gguf", "IQ3_XXS"},
                                           {"m-TQ1_0.gguf", "TQ1_0"},
                                           {"m-Q4_0_4_4.gguf", "Q4_0_4_4"},
                                           {"m-mxfp4_moe.gguf", "MXFP4_MOE"},
                                           {"Q2_K_L/m-Q6_K.gguf", "Q6_K"},
                                           {"m-F16-Q8_0.gguf", "Q8_0"},
                                           {"SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"},
                                           {"model.gguf", ""},
                                           {"Q4_K_Mist.gguf", ""},
                                           {"xQ4_K_M.gguf", ""},
                                           {"q4.gguf", ""},
                                           {"ggml-model-f16.gguf", "F16"},
                                           {"", ""}};
    char label[QUANT_CHARS];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        quant_label(cases[i][0], label);
        if (strcmp(label, cases[i][1]) != 0)
            fail_msg("%s: '%s', not '%s'", cases[i][0], label, cases[i][1]);
    }
}

static void test_parts(void **state) {
    int part;
    int n_parts;
    size_t n_stem;
    (void)state;
    assert_true(quant_is_part("a/m-00002-of-00013.gguf", &part, &n_parts, &n_stem));
    assert_int_equal(part, 2);
    assert_int_equal(n_parts, 13);
    assert_int_equal(n_stem, 3);
    static const char *const no_parts[] = {
        "m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-0001-of-0002.gguf",
        "m-00001-of-00002.bin",  "-00001-of-00002.gguf",  "m-0000x-of-00002.gguf",
        "m_00001-of-00002.gguf", "m-00001_of_00002.gguf", "m-00000-of-00000.gguf"};
    for (size_t i = 0; i < sizeof no_parts / sizeof *no_parts; i++) {
        n_parts = 7;
        if (quant_is_part(no_parts[i], &part, &n_parts, &n_stem)) fail_msg("%s", no_parts[i]);
        assert_int_equal(n_parts, 7);
    }
}

/* The paths chosen, joined by spaces, or the message. */
static char *choose(quant_wish wish, const char *const *paths, size_t n) {
    quant_choice choice;
    hub_error err;
    wish.where = "org/repo";
    if (quant_choose(&wish, paths, n, &choice, &err) != HUB_OK) return hub_copy(err.msg);
    char *line = hub_copy("");
    for (size_t i = 0; i < choice.n_files; i++)
        hub_set(&line, hub_format("%s%s%s", line, i ? " " : "", paths[choice.files[i]]));
    free(choice.files);
    return line;
}

#define CHOOSE(wish_, expected, ...)                                                               \
    do {                                                                                           \
        static const char *const paths_[] = {__VA_ARGS__};                                         \
        char *found_ = choose((quant_wish)wish_, paths_, sizeof paths_ / sizeof *paths_);          \
        if (!strstr(found_, expected)) fail_msg("'%s', not '%s'", found_, expected);               \
        free(found_);                                                                              \
    } while (0)
#define W(...)                                                                                     \
    { __VA_ARGS__ }

static void test_choices(void **state) {
    (void)state;
    CHOOSE({0}, "m-Q4_K_M.gguf", "m-Q2_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf");
    CHOOSE({0}, "m-Q8_0.gguf", "m-Q2_K.gguf", "m-UD-Q4_K_M.gguf", "m-Q8_0.gguf");
    CHOOSE({0}, "one.gguf", "README.md", "one.gguf", "mmproj-one.gguf", "MMPROJ-F16.gguf");
    CHOOSE({0}, "has several models", "a.gguf", "b.gguf");
    CHOOSE({0}, "a.gguf, b.gguf", "a.gguf", "b.gguf");
    CHOOSE({0}, "several models", "v1-Q4_K_M.gguf", "v2-Q4_K_M.gguf", "v1-Q8_0.gguf");
    CHOOSE({0}, "no GGUF model", "README.md", "config.json");
    CHOOSE({0}, "m-Q8_0-00001-of-00002.gguf m-Q8_0-00002-of-00002.gguf",
           "m-Q8_0-00002-of-00002.gguf", "m-Q8_0-00001-of-00002.gguf");
    CHOOSE({0}, "part 2 of m-Q8_0-00001-of-00003.gguf is missing", "m-Q8_0-00001-of-00003.gguf",
           "m-Q8_0-00003-of-00003.gguf");
    CHOOSE({0}, "is missing", "m-Q8_0-00001-of-99999.gguf");
    CHOOSE(W(.quant = "q4_k_xl"), "m-UD-Q4_K_XL.gguf", "m-UD-Q4_K_XL.gguf", "m-Q4_K_M.gguf");
    CHOOSE(W(.quant = "Q4_K_M"), "m-Q4_K_M.gguf", "m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf");
    CHOOSE(W(.quant = "UD-Q4_K_M"), "m-UD-Q4_K_M.gguf", "m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf");
    CHOOSE(W(.quant = "v2"), "m-v2.gguf", "m-v1.gguf", "m-v2.gguf");
    CHOOSE(W(.quant = "Q4_K"), "has no Q4_K; it has Q4_K_M, Q8_0", "m-Q4_K_M.gguf", "m-Q8_0.gguf");
    CHOOSE(W(.quant = "Q4_K_M"), "several Q4_K_M", "a-Q4_K_M.gguf", "b-Q4_K_M.gguf");
    CHOOSE(W(.file = "b.gguf"), "sub/b.gguf", "a.gguf", "sub/b.gguf");
    CHOOSE(W(.file = "b.gguf"), "several b.gguf", "x/b.gguf", "sub/b.gguf");
    CHOOSE(W(.file = "sub/b.gguf"), "sub/b.gguf", "x/b.gguf", "sub/b.gguf");
    CHOOSE(W(.glob = "*Q8*"), "sub/m-Q8_0.gguf", "sub/m-Q8_0.gguf", "m-Q4_0.gguf");
    CHOOSE(W(.glob = "*.json"), "config.json", "config.json", "m.gguf");
    CHOOSE(W(.glob = "m-[!4].gguf"), "m-8.gguf", "m-4.gguf", "m-8.gguf");
    CHOOSE(W(.glob = "*.gguf"), "2 files of org/repo match '*.gguf'", "a.gguf", "b.gguf");
    CHOOSE(W(.glob = "*-of-*"), "m-00001-of-00002.gguf m-00002-of-00002.gguf",
           "m-00001-of-00002.gguf", "m-00002-of-00002.gguf");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_labels), cmocka_unit_test(test_parts),
                                       cmocka_unit_test(test_choices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
