/* Tests of puna_model_open and what an open model tells: levels, options of another size, keys
 * and tensors as text, buffers that are too small, vocabulary keys of wrong types, reference
 * counts, memory running out. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "unit/failing_allocator.h"
#include "../gguf/gguf_build.h"
#include "tiny_llama.h"

#include "puna.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <unistd.h>

static char folder[] = "/tmp/test_model_XXXXXX";
static char tiny[64], path[64];
static gguf_build b;

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return 1;
    (void)snprintf(tiny, sizeof tiny, "%s/tiny.gguf", folder);
    (void)snprintf(path, sizeof path, "%s/m.gguf", folder);
    tiny_llama_write(tiny, PN_FMT_Q8_0);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    (void)unlink(tiny);
    (void)unlink(path);
    free(b.data);
    return rmdir(folder);
}

static puna_status open_level(const char *file, puna_open_level level, puna_model **model,
                              puna_error *err) {
    puna_model_options options;
    puna_model_options_init(&options);
    options.level = level;
    return puna_model_open(file, &options, model, err);
}

static puna_model *open_ok(const char *file, puna_open_level level) {
    puna_model *model = NULL;
    puna_error err = {0};
    if (open_level(file, level, &model, &err) != PUNA_OK) fail_msg("%s", err.msg);
    return model;
}

static void refuse(puna_open_level level, puna_status code, const char *text) {
    puna_model *model = NULL;
    puna_error err = {0};
    build_write(&b, path);
    if (open_level(path, level, &model, &err) == PUNA_OK) fail_msg("accepted; expected: %s", text);
    if (err.code != code || !strstr(err.msg, "m.gguf: ") || !strstr(err.msg, text))
        fail_msg("status %d, message \"%s\"; expected %d, \"%s\"", err.code, err.msg, code, text);
    assert_null(model);
}

/* ---- levels and facts ---- */

static void test_levels(void **state) {
    (void)state;
    for (int level = PUNA_OPEN_FULL; level <= PUNA_OPEN_FILE; level++) {
        puna_model *m = open_ok(tiny, (puna_open_level)level);
        puna_model_info info = {.size = sizeof info};
        puna_model_get_info(m, &info);
        assert_string_equal(info.architecture, "llama");
        assert_string_equal(info.name, "");
        assert_string_equal(info.chat_template, "");
        assert_int_equal(info.n_tensors, 3 + 9 * TINY_LAYERS);
        assert_int_equal(info.n_parts, 1);
        assert_string_equal(info.quantization, "Q8_0");
        assert_int_equal(info.n_vocab, level == PUNA_OPEN_FILE ? 0 : TINY_VOCAB);
        assert_int_equal(info.n_layer, level == PUNA_OPEN_FULL ? TINY_LAYERS : 0);
        assert_int_equal(info.n_head_kv, level == PUNA_OPEN_FULL ? TINY_KV_HEADS : 0);
        assert_int_equal(info.n_ctx_train, level == PUNA_OPEN_FULL ? TINY_CTX : 0);
        size_t needed = 0;
        puna_error err = {0};
        const puna_status explained = puna_model_explain(m, NULL, 0, &needed, &err);
        assert_int_equal(explained, level == PUNA_OPEN_FULL ? PUNA_OK : PUNA_E_STATE);
        int32_t n;
        const puna_status tokenized = puna_tokenize(m, "", 0, 0, NULL, 0, &n, &err);
        assert_int_equal(tokenized, level == PUNA_OPEN_FILE ? PUNA_E_STATE : PUNA_OK);
        assert_int_equal(puna_token_special(m, PUNA_SPECIAL_EOS), level == PUNA_OPEN_FILE ? -1 : 2);
        assert_false(puna_token_is_end(m, -1));
        assert_false(puna_token_is_control(m, TINY_VOCAB));
        puna_model_free(m);
    }
}

/* A caller compiled against fewer fields, and one against more. */
static void test_struct_sizes(void **state) {
    (void)state;
    struct {
        puna_model_options known;
        char unknown[64];
    } newer;
    memset(&newer, 0x55, sizeof newer);
    puna_model_options_init(&newer.known);
    assert_int_equal(newer.known.size, sizeof newer.known);
    newer.known.size = sizeof newer;
    puna_model *m = NULL;
    assert_int_equal(puna_model_open(tiny, &newer.known, &m, NULL), PUNA_OK);
    puna_model_info small;
    memset(&small, 0x55, sizeof small);
    small.size = offsetof(puna_model_info, name);
    puna_model_get_info(m, &small);
    assert_string_equal(small.architecture, "llama");
    assert_int_equal(((const unsigned char *)&small)[offsetof(puna_model_info, name)], 0x55);
    assert_ptr_equal(puna_model_retain(m), m);
    puna_model_free(m);
    puna_model_get_info(m, &small);
    puna_model_free(m);
    puna_model_free(NULL);
    puna_model_options old = {.size = offsetof(puna_model_options, use_mmap),
                              .level = PUNA_OPEN_FILE};
    assert_int_equal(puna_model_open(tiny, &old, &m, NULL), PUNA_OK);
    puna_model_free(m);
    puna_error err;
    old.level = (puna_open_level)7;
    assert_int_equal(puna_model_open(tiny, &old, &m, &err), PUNA_E_ARG);
    assert_int_equal(puna_model_open(NULL, NULL, &m, &err), PUNA_E_ARG);
    assert_int_equal(puna_model_open("", NULL, &m, &err), PUNA_E_ARG);
}

static void test_meta(void **state) {
    (void)state;
    build_begin(&b, 3);
    build_string(&b, "s", "0123456789");
    build_key_f32(&b, "eps", 1e-5f);
    build_key_f32(&b, "third", 1.0f / 3.0f);
    build_key(&b, "big", 10), build_u64(&b, UINT64_MAX);
    build_key(&b, "neg", 3), build_u16(&b, 0xfffe);
    build_key(&b, "yes", 7), build_raw(&b, "\1", 1);
    build_array(&b, "list", 4, 2), build_u32(&b, 1), build_u32(&b, 2);
    build_write(&b, path);
    static const char *const want[][2] = {{"s", "0123456789"},     {"eps", "1e-05"},
                                          {"third", "0.33333334"}, {"big", "18446744073709551615"},
                                          {"neg", "-2"},           {"yes", "true"},
                                          {"list", "[2 x u32]"}};
    puna_model *m = open_ok(path, PUNA_OPEN_FILE);
    assert_int_equal(puna_model_n_meta(m), 7);
    for (int32_t i = 0; i < 7; i++) {
        char whole[64], cut[4];
        size_t needed = 0;
        assert_string_equal(puna_model_meta(m, i, whole, sizeof whole, &needed), want[i][0]);
        assert_string_equal(whole, want[i][1]);
        assert_int_equal(needed, strlen(whole));
        (void)puna_model_meta(m, i, cut, sizeof cut, NULL);
        assert_int_equal(strlen(cut), needed < 3 ? needed : 3);
        assert_memory_equal(cut, whole, strlen(cut));
        (void)puna_model_meta(m, i, NULL, 0, &needed);
    }
    char none[8] = "x";
    assert_null(puna_model_meta(m, 7, none, sizeof none, NULL));
    assert_string_equal(none, "");
    assert_null(puna_model_meta(m, -1, NULL, 0, NULL));
    puna_model_free(m);
}

static void test_tensors(void **state) {
    (void)state;
    puna_model *m = open_ok(tiny, PUNA_OPEN_FILE);
    puna_tensor_info t = {.size = sizeof t};
    puna_model_tensor(m, 2, &t);
    assert_string_equal(t.name, "output.weight");
    assert_string_equal(t.type, "Q8_0");
    assert_int_equal(t.n_dims, 2);
    assert_true(t.dims[0] == TINY_EMBD && t.dims[1] == TINY_VOCAB && t.dims[2] == 1 &&
                t.dims[3] == 1);
    assert_int_equal(t.bytes, TINY_EMBD / 32 * 34 * TINY_VOCAB);
    assert_true(t.supported);
    puna_model_tensor(m, 1000, &t);
    assert_string_equal(t.name, "");
    puna_model_free(m);
}

static void test_explain(void **state) {
    (void)state;
    puna_model *m = open_ok(tiny, PUNA_OPEN_FULL);
    size_t needed = 0, again = 0;
    assert_int_equal(puna_model_explain(m, NULL, 0, &needed, NULL), PUNA_OK);
    assert_true(needed > 100);
    char *text = malloc(needed + 1);
    assert_non_null(text);
    assert_int_equal(puna_model_explain(m, text, needed + 1, &again, NULL), PUNA_OK);
    assert_int_equal(again, needed);
    assert_int_equal(strlen(text), needed);
    char cut[16];
    assert_int_equal(puna_model_explain(m, cut, sizeof cut, NULL, NULL), PUNA_OK);
    assert_int_equal(strlen(cut), 15);
    assert_memory_equal(cut, text, 15);
    free(text);
    puna_model_free(m);
}

static void test_detokenize_arguments(void **state) {
    (void)state;
    puna_model *m = open_ok(tiny, PUNA_OPEN_VOCAB);
    puna_error err;
    size_t n;
    char text[8];
    assert_int_equal(
        puna_detokenize(m, (int32_t[]){1, TINY_VOCAB}, 2, 0, text, sizeof text, &n, &err),
        PUNA_E_ARG);
    assert_non_null(strstr(err.msg, "token 2 of 2: id 300 is outside the vocabulary of 300"));
    assert_int_equal(puna_detokenize(m, (int32_t[]){-1}, 1, 0, text, sizeof text, &n, &err),
                     PUNA_E_ARG);
    assert_int_equal(puna_detokenize(m, NULL, 1, 0, text, sizeof text, &n, &err), PUNA_E_ARG);
    assert_int_equal(puna_detokenize(m, NULL, 0, 0, text, sizeof text, &n, &err), PUNA_OK);
    assert_int_equal(n, 0);
    int32_t n_tokens;
    assert_int_equal(puna_tokenize(m, NULL, 3, 0, NULL, 0, &n_tokens, &err), PUNA_E_ARG);
    assert_int_equal(puna_tokenize(m, "abc", 3, 0, NULL, 5, &n_tokens, &err), PUNA_E_ARG);
    assert_int_equal(puna_tokenize(m, "abc", 3, 0, NULL, -1, &n_tokens, &err), PUNA_E_ARG);
    puna_model_free(m);
}

/* ---- files that are no models, vocabularies that are none ---- */

static void test_kinds(void **state) {
    (void)state;
    build_begin(&b, 3);
    refuse(PUNA_OPEN_FULL, PUNA_E_FORMAT, "no tensors in the file");
    build_string(&b, "general.type", "adapter\x1b[2J");
    refuse(PUNA_OPEN_FULL, PUNA_E_UNSUPPORTED, "general.type is \"adapter\\x1b[2J\"");
    build_begin(&b, 3);
    build_array(&b, "tokenizer.ggml.tokens", 8, 0);
    refuse(PUNA_OPEN_FULL, PUNA_E_FORMAT, "a vocabulary only");
}

/* A vocabulary of three tokens, without the keys a test adds. */
static void begin_vocab(void) {
    build_begin(&b, 3);
    build_string(&b, "tokenizer.ggml.model", "llama");
    build_array(&b, "tokenizer.ggml.tokens", 8, 3);
    build_text(&b, "<unk>", 5), build_text(&b, "a", 1), build_text(&b, "b", 1);
}

static void test_vocabulary_keys(void **state) {
    (void)state;
    build_begin(&b, 3);
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT,
           "no tokenizer in the file: key tokenizer.ggml.model is missing");
    build_key_u32(&b, "tokenizer.ggml.model", 1);
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT,
           "key tokenizer.ggml.model has type u32, expected string");
    build_begin(&b, 3);
    build_string(&b, "tokenizer.ggml.model", "llama");
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT, "key tokenizer.ggml.tokens is missing");
    build_array(&b, "tokenizer.ggml.tokens", 8, 0);
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT, "tokenizer.ggml.tokens has 0 elements");
    begin_vocab();
    build_array(&b, "tokenizer.ggml.scores", 6, 2), build_u64(&b, 0);
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT,
           "key tokenizer.ggml.scores has 2 elements, but there are 3 tokens");
    begin_vocab();
    build_array(&b, "tokenizer.ggml.scores", 0, 3), build_raw(&b, "abc", 3);
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT, "scores has type array of 3 u8, expected array of f32");
    begin_vocab();
    build_array(&b, "tokenizer.ggml.token_type", 0, 3), build_raw(&b, "abc", 3);
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT,
           "token_type has type array of 3 u8, expected array of i32");
    begin_vocab();
    build_key_u32(&b, "tokenizer.ggml.merges", 1);
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT, "merges has type u32, expected array of string");
    begin_vocab();
    build_string(&b, "tokenizer.ggml.bos_token_id", "1");
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT, "bos_token_id has type string, expected an integer");
    begin_vocab();
    build_string(&b, "tokenizer.ggml.add_bos_token", "yes");
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT, "add_bos_token has type string, expected bool");
    begin_vocab();
    build_key_u32(&b, "tokenizer.ggml.precompiled_charsmap", 1);
    refuse(PUNA_OPEN_VOCAB, PUNA_E_FORMAT,
           "precompiled_charsmap has type u32, expected array of u8");
    build_begin(&b, 3);
    build_string(&b, "tokenizer.ggml.model", "nosuchtok");
    build_array(&b, "tokenizer.ggml.tokens", 8, 1), build_text(&b, "a", 1);
    refuse(PUNA_OPEN_VOCAB, PUNA_E_UNSUPPORTED, "nosuchtok");
}

/* ---- overrides ---- */

static puna_status open_with(const puna_override *overrides, int32_t n, puna_model **model,
                             puna_error *err) {
    puna_model_options options;
    puna_model_options_init(&options);
    options.overrides = overrides;
    options.n_overrides = n;
    return puna_model_open(tiny, &options, model, err);
}

/* The value of a key as text, or "absent". */
static const char *meta_of(const puna_model *m, const char *key) {
    static char value[256];
    for (int32_t i = 0; i < puna_model_n_meta(m); i++)
        if (strcmp(puna_model_meta(m, i, value, sizeof value, NULL), key) == 0) return value;
    return "absent";
}

static void test_overrides(void **state) {
    (void)state;
    char text[] = "{{ messages }}", key[] = "llama.rope.freq_base";
    const puna_override overrides[] = {
        {.key = key, .kind = PUNA_OVERRIDE_FLOAT, .real = 123456.5},
        {.key = "tokenizer.ggml.add_bos_token", .kind = PUNA_OVERRIDE_BOOL, .integer = 0},
        {.key = "tokenizer.chat_template", .kind = PUNA_OVERRIDE_TEXT, .text = text},
        {.key = "llama.context_length", .kind = PUNA_OVERRIDE_INT, .integer = 1},
        {.key = "llama.context_length", .kind = PUNA_OVERRIDE_INT, .integer = 77},
    };
    puna_model *plain = open_ok(tiny, PUNA_OPEN_FULL), *m = NULL;
    puna_error err = {0};
    if (open_with(overrides, 5, &m, &err) != PUNA_OK) fail_msg("%s", err.msg);
    text[0] = key[0] = 'x'; /* they were copied */
    puna_model_info info = {.size = sizeof info};
    puna_model_get_info(m, &info);
    assert_string_equal(info.chat_template, "{{ messages }}");
    assert_int_equal(info.n_ctx_train, 77); /* replaced, and the last one counts */
    assert_string_equal(meta_of(m, "llama.context_length"), "77");
    assert_string_equal(meta_of(plain, "llama.context_length"), "1024");
    assert_string_equal(meta_of(m, "llama.rope.freq_base"), "123456.5");
    assert_string_equal(meta_of(plain, "llama.rope.freq_base"), "absent");
    assert_int_equal(puna_model_n_meta(m), puna_model_n_meta(plain) + 3);
    assert_true(puna_model_adds_bos(plain));
    assert_false(puna_model_adds_bos(m));
    char plan[20000];
    assert_int_equal(puna_model_explain(m, plan, sizeof plan, NULL, &err), PUNA_OK);
    assert_non_null(strstr(plan, "base 123456"));
    puna_model_free(m);
    puna_model_free(plain);
}

static void test_refused_overrides(void **state) {
    (void)state;
    static char longest[70000];
    memset(longest, 'k', sizeof longest - 1);
    const struct {
        puna_override override;
        puna_status status;
        const char *words;
    } rows[] = {
        /* the same message as for a file's own key */
        {{.key = "llama.rope.freq_base", .kind = PUNA_OVERRIDE_TEXT, .text = "many"},
         PUNA_E_FORMAT,
         "tiny.gguf: key llama.rope.freq_base has type string, expected f32"},
        {{.key = "llama.rope.freq_base", .kind = PUNA_OVERRIDE_FLOAT, .real = -1},
         PUNA_E_FORMAT,
         "key llama.rope.freq_base is -1, expected"},
        {{.key = "llama.block_count", .kind = PUNA_OVERRIDE_FLOAT, .real = 2},
         PUNA_E_FORMAT,
         "key llama.block_count has type f64, expected an integer"},
        {{.key = "tokenizer.ggml.add_bos_token", .kind = PUNA_OVERRIDE_INT, .integer = 1},
         PUNA_E_FORMAT,
         "add_bos_token has type i64, expected bool"},
        {{.key = "tokenizer.ggml.tokens", .kind = PUNA_OVERRIDE_TEXT, .text = "a"},
         PUNA_E_FORMAT,
         "tokens has type string, expected array of string"},
        {{.key = "llama.block_count", .kind = PUNA_OVERRIDE_INT, .integer = 3},
         PUNA_E_FORMAT,
         "blk.2."},
        {{.key = "general.architecture", .kind = PUNA_OVERRIDE_TEXT, .text = "nosuch"},
         PUNA_E_UNSUPPORTED,
         "nosuch"},
        /* what is wrong with the override itself */
        {{.key = "general.alignment", .kind = PUNA_OVERRIDE_INT, .integer = 64},
         PUNA_E_ARG,
         "overrides[0]: key general.alignment says how the file is laid out"},
        {{.key = "split.count", .kind = PUNA_OVERRIDE_INT, .integer = 2},
         PUNA_E_ARG,
         "split.count"},
        {{.key = NULL, .kind = PUNA_OVERRIDE_INT}, PUNA_E_ARG, "overrides[0]: the key is empty"},
        {{.key = "", .kind = PUNA_OVERRIDE_INT}, PUNA_E_ARG, "overrides[0]: the key is empty"},
        {{.key = longest, .kind = PUNA_OVERRIDE_INT}, PUNA_E_LIMIT, "69999 bytes, at most 65535"},
        {{.key = "a", .kind = (puna_override_kind)4}, PUNA_E_ARG, "key a: kind 4 is unknown"},
        {{.key = "a", .kind = PUNA_OVERRIDE_BOOL, .integer = 2}, PUNA_E_ARG, "0 or 1, not 2"},
        {{.key = "a", .kind = PUNA_OVERRIDE_TEXT}, PUNA_E_ARG, "key a: the text is NULL"},
    };
    puna_model *m = NULL;
    puna_error err = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (open_with(&rows[i].override, 1, &m, &err) != rows[i].status ||
            !strstr(err.msg, rows[i].words))
            fail_msg("row %zu: status %d, \"%s\"; expected %d, \"%s\"", i, err.code, err.msg,
                     rows[i].status, rows[i].words);
    assert_int_equal(open_with(NULL, 1, &m, &err), PUNA_E_ARG);
    assert_int_equal(open_with(NULL, -1, &m, &err), PUNA_E_ARG);
    static puna_override many[1025];
    char keys[1025][8];
    for (int i = 0; i < 1025; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%d", i);
        many[i] = (puna_override){.key = keys[i], .kind = PUNA_OVERRIDE_INT, .integer = i};
    }
    assert_int_equal(open_with(many, 1025, &m, &err), PUNA_E_ARG);
    assert_string_equal(err.msg, "n_overrides is 1025, allowed: 0 to 1024");
    if (open_with(many, 1024, &m, &err) != PUNA_OK) fail_msg("%s", err.msg);
    assert_string_equal(meta_of(m, "k1023"), "1023");
    assert_string_equal(meta_of(m, "k0"), "0");
    puna_model_free(m);
}

/* ---- memory ---- */

static const puna_override added[] = {
    {.key = "llama.context_length", .kind = PUNA_OVERRIDE_INT, .integer = 99},
    {.key = "tokenizer.chat_template", .kind = PUNA_OVERRIDE_TEXT, .text = "t"},
};

static void test_out_of_memory(void **state) {
    (void)state;
    puna_set_allocator(&failing_allocator);
    puna_status status;
    long n = 0;
    do {
        puna_model *m = NULL;
        puna_error err = {0};
        allocations_left = n++;
        status = open_with(added, 2, &m, &err);
        if (status != PUNA_OK && err.code != PUNA_E_NOMEM)
            fail_msg("allocation %ld failed: status %d, \"%s\"", n, err.code, err.msg);
        puna_model_free(m);
    } while (status != PUNA_OK && n < 5000);
    puna_set_allocator(NULL);
    assert_int_equal(status, PUNA_OK);
    assert_true(n > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),        cmocka_unit_test(test_struct_sizes),
        cmocka_unit_test(test_meta),          cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_explain),       cmocka_unit_test(test_detokenize_arguments),
        cmocka_unit_test(test_kinds),         cmocka_unit_test(test_vocabulary_keys),
        cmocka_unit_test(test_overrides),     cmocka_unit_test(test_refused_overrides),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
