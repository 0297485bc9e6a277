/* Tests of the GGUF reader: values of all types, both ways of loading data, split models, every
 * class of malformed file with the message it must give, and memory running out at every
 * allocation. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "unit/failing_allocator.h"
#include "gguf_build.h"

#include "base/mem.h"
#include "gguf/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <unistd.h>

static char folder[] = "/tmp/test_gguf_XXXXXX";
static char path[64];
static gguf_build b;

static const pn_gguf_options mapped = {.with_data = true, .use_mmap = true};
static const pn_gguf_options read_in = {.with_data = true};
static const pn_gguf_options no_data = {0};

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return 1;
    (void)snprintf(path, sizeof path, "%s/m.gguf", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    (void)unlink(path);
    free(b.data);
    return rmdir(folder);
}

static pn_gguf *open_ok(const pn_gguf_options *options) {
    pn_gguf *g = NULL;
    puna_error err = {0};
    build_write(&b, path);
    if (pn_gguf_open(path, options, &g, &err) != PUNA_OK) fail_msg("%s", err.msg);
    return g;
}

/* The file in b must be refused with a message that names it and contains every given text. */
static void refuse(puna_status code, const char *text, const char *more) {
    const pn_gguf_options *const all[] = {&mapped, &read_in, &no_data};
    build_write(&b, path);
    for (size_t i = 0; i < 3; i++) {
        pn_gguf *g = NULL;
        puna_error err = {0};
        if (pn_gguf_open(path, all[i], &g, &err) == PUNA_OK)
            fail_msg("accepted; expected: %s", text);
        if (err.code != code || !strstr(err.msg, "m.gguf: ") || !strstr(err.msg, text) ||
            !strstr(err.msg, more))
            fail_msg("status %d, message \"%s\"; expected %d, \"%s\" and \"%s\"", err.code, err.msg,
                     code, text, more);
        assert_null(g);
    }
}

/* Two keys, two tensors, 1024 bytes of data. */
static void begin_small(void) {
    build_begin(&b, 3);
    build_string(&b, "general.architecture", "llama");
    build_key_u32(&b, "n", 7);
}

static void build_small(void) {
    begin_small();
    build_tensor(&b, "a", 0, 2, (uint64_t[]){32, 4}, 0);
    build_tensor(&b, "b", 1, 1, (uint64_t[]){256}, 512);
    build_data(&b, 32, 1024);
}

/* ---- what must load ---- */

static void build_all_types(void) {
    build_begin(&b, 2);
    build_key(&b, "u8", 0), build_raw(&b, "\xff", 1);
    build_key(&b, "i8", 1), build_raw(&b, "\xff", 1);
    build_key(&b, "u16", 2), build_u16(&b, 65535);
    build_key(&b, "i16", 3), build_u16(&b, 65535);
    build_key(&b, "u32", 4), build_u32(&b, 4294967295u);
    build_key(&b, "i32", 5), build_u32(&b, 4294967295u);
    build_key_f32(&b, "f32", 0.5f);
    build_key(&b, "bool", 7), build_raw(&b, "\1", 1);
    build_key(&b, "string", 8), build_text(&b, "a\0b", 3);
    build_key(&b, "u64", 10), build_u64(&b, UINT64_MAX);
    build_key(&b, "i64", 11), build_u64(&b, UINT64_MAX);
    build_key(&b, "f64", 12), build_raw(&b, &(double){1e300}, 8);
    build_array(&b, "a.i16", 3, 3), build_u16(&b, 1), build_u16(&b, 65535), build_u16(&b, 32768);
    build_array(&b, "a.string", 8, 3), build_text(&b, "x", 1), build_text(&b, "", 0),
        build_text(&b, "\xc3\xa9z", 3);
    build_array(&b, "a.f32", 6, 2), build_raw(&b, (float[]){1.5f, -2.0f}, 8);
    build_array(&b, "a.f64", 12, 1), build_raw(&b, &(double){-1e-300}, 8);
    build_array(&b, "a.u64", 10, 0);
}

static void test_values(void **state) {
    (void)state;
    build_all_types();
    pn_gguf *g = open_ok(&no_data);
    assert_int_equal(pn_gguf_n_kv(g), 17);
    assert_int_equal(pn_gguf_n_tensors(g), 0);
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"u8", 255},         {"i8", -1},  {"u16", 65535}, {"i16", -1},
                {"u32", 4294967295}, {"i32", -1}, {"i64", -1}};
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        int64_t v = 0;
        bool found = false;
        assert_int_equal(pn_gguf_get_int(g, ints[i].key, INT64_MIN, INT64_MAX, &v, &found, NULL),
                         PUNA_OK);
        assert_true(found);
        assert_true(v == ints[i].value);
    }
    double f = 0;
    assert_int_equal(pn_gguf_get_float(g, "f32", 0, 1, &f, NULL, NULL), PUNA_OK);
    assert_true(f == 0.5);
    assert_int_equal(pn_gguf_get_float(g, "f64", 0, 1e301, &f, NULL, NULL), PUNA_OK);
    assert_true(f == 1e300);
    bool yes = false;
    assert_int_equal(pn_gguf_get_bool(g, "bool", &yes, NULL, NULL), PUNA_OK);
    assert_true(yes);
    pn_str s = {0};
    assert_int_equal(pn_gguf_get_string(g, "string", &s, NULL, NULL), PUNA_OK);
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.data, "a\0b\0", 4);
    pn_gguf_free(g);
}

static void test_arrays(void **state) {
    (void)state;
    build_all_types();
    pn_gguf *g = open_ok(&no_data);
    pn_gguf_array a;
    assert_int_equal(pn_gguf_get_array(g, "a.i16", PN_GGUF_I16, &a, NULL, NULL), PUNA_OK);
    assert_int_equal(a.n, 3);
    assert_int_equal(pn_gguf_array_int(&a, 1), -1);
    assert_int_equal(pn_gguf_array_int(&a, 2), -32768);
    assert_int_equal(pn_gguf_get_array(g, "a.string", PN_GGUF_STRING, &a, NULL, NULL), PUNA_OK);
    assert_int_equal(a.n, 3);
    assert_int_equal(a.strs[1].n, 0);
    assert_int_equal(a.strs[2].n, 3);
    assert_memory_equal(a.strs[2].data, "\xc3\xa9z", 3);
    assert_int_equal(pn_gguf_get_array(g, "a.f32", PN_GGUF_F32, &a, NULL, NULL), PUNA_OK);
    assert_true((uintptr_t)a.data % 16 == 0);
    assert_true(pn_gguf_array_float(&a, 1) == -2.0);
    assert_int_equal(pn_gguf_get_array(g, "a.f64", PN_GGUF_F64, &a, NULL, NULL), PUNA_OK);
    assert_true(pn_gguf_array_float(&a, 0) == -1e-300);
    assert_int_equal(pn_gguf_get_array(g, "a.u64", PN_GGUF_U64, &a, NULL, NULL), PUNA_OK);
    assert_int_equal(a.n, 0);
    pn_gguf_free(g);
}

static void test_typed_errors(void **state) {
    (void)state;
    build_all_types();
    pn_gguf *g = open_ok(&no_data);
    puna_error err;
    int64_t v = 5;
    double f = 5;
    pn_str s;
    pn_gguf_array a;
    bool found = true;
    assert_int_equal(pn_gguf_get_int(g, "none", 0, 9, &v, &found, &err), PUNA_OK);
    assert_false(found);
    assert_int_equal(v, 5);
    assert_int_equal(pn_gguf_get_int(g, "i8", 0, 9, &v, NULL, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "m.gguf: key i8 is -1, expected 0 to 9"));
    assert_int_equal(pn_gguf_get_int(g, "u64", 0, INT64_MAX, &v, NULL, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "key u64 is 18446744073709551615"));
    assert_int_equal(pn_gguf_get_int(g, "bool", 0, 9, &v, NULL, &err), PUNA_E_FORMAT);
    assert_int_equal(pn_gguf_get_float(g, "u32", 0, 9, &f, NULL, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "key u32 has type u32, expected f32"));
    assert_int_equal(pn_gguf_get_string(g, "a.string", &s, NULL, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "key a.string has type array of 3 string, expected string"));
    assert_int_equal(pn_gguf_get_array(g, "a.i16", PN_GGUF_I32, &a, NULL, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "has type array of 3 i16, expected array of i32"));
    assert_int_equal(pn_gguf_missing(g, "x.y", &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "m.gguf: key x.y is missing"));
    pn_gguf_free(g);
    build_begin(&b, 3);
    build_key_f32(&b, "nan", (float)strtod("nan", NULL));
    g = open_ok(&no_data);
    assert_int_equal(pn_gguf_get_float(g, "nan", -1e9, 1e9, &f, NULL, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "nan"));
    pn_gguf_free(g);
}

static void test_data_both_ways(void **state) {
    (void)state;
    static const uint32_t alignments[] = {0, 8, 64, 4096};
    for (size_t i = 0; i < 4; i++) {
        begin_small();
        if (alignments[i]) build_key_u32(&b, "general.alignment", alignments[i]);
        const size_t align = alignments[i] ? alignments[i] : 32;
        build_tensor(&b, "b", 8, 2, (uint64_t[]){64, 2},
                     align == 4096 ? 4096 : 512); /* Q8_0, 136 bytes */
        build_tensor(&b, "a", 0, 1, (uint64_t[]){3}, 0);
        build_data(&b, align, 8192);
        pn_gguf *m = open_ok(&mapped), *r = open_ok(&read_in), *n = open_ok(&no_data);
        assert_true(pn_gguf_is_mapped(m));
        pn_gguf_will_need(m);
        pn_gguf_will_need(r);
        assert_false(pn_gguf_is_mapped(r));
        assert_int_equal(pn_gguf_file_bytes(m), b.n);
        const pn_gguf_tensor *x = pn_gguf_find_tensor(m, "b"), *y = pn_gguf_find_tensor(r, "b");
        assert_ptr_equal(x, pn_gguf_tensor_at(m, 0));
        assert_int_equal(x->n_elements, 128);
        assert_int_equal(x->row_bytes, 68);
        assert_int_equal(x->bytes, 136);
        assert_int_equal(x->dims[2], 1);
        assert_true((uintptr_t)x->data % 8 == 0 && (uintptr_t)y->data % 8 == 0);
        assert_memory_equal(x->data, y->data, 136);
        assert_memory_equal(x->data, b.data + b.n - 8192 + (align == 4096 ? 4096 : 512), 136);
        assert_null(pn_gguf_find_tensor(n, "b")->data);
        assert_null(pn_gguf_find_tensor(n, "c"));
        pn_gguf_free(m);
        pn_gguf_free(r);
        pn_gguf_free(n);
    }
}

static bool stop_at_half(void *user, double fraction) {
    int *calls = user;
    ++*calls;
    return fraction < 0.5;
}

static void test_progress(void **state) {
    (void)state;
    for (int use_mmap = 0; use_mmap < 2; use_mmap++) {
        int calls = 0;
        const pn_gguf_options options = {.with_data = true,
                                         .use_mmap = use_mmap != 0,
                                         .progress = stop_at_half,
                                         .progress_user = &calls};
        build_small();
        build_write(&b, path);
        pn_gguf *g = NULL;
        puna_error err;
        assert_int_equal(pn_gguf_open(path, &options, &g, &err), PUNA_E_CANCELLED);
        assert_true(calls >= 2);
    }
}

/* ---- split models ---- */

typedef struct split_case {
    int no, count;    /* of the second part; -1: key absent */
    int total;        /* split.tensors.count of the first */
    const char *name; /* of the tensor in the second part */
    const char *says; /* NULL: loads */
} split_case;

static void write_part(int no, int count, int total, const char *tensor, const char *to) {
    build_begin(&b, 3);
    if (no >= 0) build_key_u16(&b, "split.no", (uint16_t)no);
    if (count >= 0) build_key_u16(&b, "split.count", (uint16_t)count);
    if (total >= 0) build_key_u32(&b, "split.tensors.count", (uint32_t)total);
    build_tensor(&b, tensor, 0, 1, (uint64_t[]){16}, 0);
    build_data(&b, 32, 64);
    build_write(&b, to);
}

static void test_split(void **state) {
    (void)state;
    char p1[96], p2[96];
    (void)snprintf(p1, sizeof p1, "%s/x-00001-of-00002.gguf", folder);
    (void)snprintf(p2, sizeof p2, "%s/x-00002-of-00002.gguf", folder);
    static const split_case cases[] = {
        {1, 2, 2, "b", NULL},
        {1, 2, -1, "b", NULL},
        {0, 2, 2, "b", "x-00002-of-00002.gguf: key split.no is 0, expected 1"},
        {-1, 2, 2, "b", "x-00002-of-00002.gguf: key split.no is missing"},
        {1, -1, 2, "b", "x-00002-of-00002.gguf: key split.count is 1, the first part says 2"},
        {1, 3, 2, "b", "key split.count is 3, the first part says 2"},
        {1, 2, 3, "b", "key split.tensors.count is 3, but the parts hold 2 tensors"},
        {1, 2, 2, "a", "split part 2 of 2"},
        {1, 2, 2, "a", "duplicate tensor a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const split_case *c = &cases[i];
        write_part(0, 2, c->total, "a", p1);
        write_part(c->no, c->count, -1, c->name, p2);
        pn_gguf *g = NULL;
        puna_error err = {0};
        const puna_status status = pn_gguf_open(p1, i % 2 ? &mapped : &read_in, &g, &err);
        if (c->says) {
            assert_int_equal(status, PUNA_E_FORMAT);
            if (!strstr(err.msg, c->says)) fail_msg("\"%s\", expected \"%s\"", err.msg, c->says);
            continue;
        }
        if (status != PUNA_OK) fail_msg("%s", err.msg);
        assert_int_equal(pn_gguf_n_parts(g), 2);
        assert_int_equal(pn_gguf_n_tensors(g), 2);
        assert_memory_equal(pn_gguf_find_tensor(g, "b")->data, b.data + b.n - 64, 64);
        pn_gguf_free(g);
    }
    assert_int_equal(unlink(p2), 0);
    pn_gguf *g;
    puna_error err;
    assert_int_equal(pn_gguf_open(p1, &mapped, &g, &err), PUNA_E_IO);
    assert_non_null(strstr(err.msg, "x-00002-of-00002.gguf: cannot open"));
    assert_int_equal(unlink(p1), 0);
}

static void test_split_names(void **state) {
    (void)state;
    pn_gguf *g;
    puna_error err;
    write_part(0, 2, 2, "a", path);
    assert_int_equal(pn_gguf_open(path, &mapped, &g, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "file name must end in -00001-of-00002.gguf"));
    write_part(1, 2, 2, "a", path);
    assert_int_equal(pn_gguf_open(path, &mapped, &g, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "open the first part, ...-00001-of-00002.gguf"));
    write_part(2, 2, 2, "a", path);
    assert_int_equal(pn_gguf_open(path, &mapped, &g, &err), PUNA_E_FORMAT);
    write_part(0, 0, 2, "a", path);
    assert_int_equal(pn_gguf_open(path, &mapped, &g, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "split.count is 0, expected 1 to 65535"));
    write_part(0, 1, 1, "a", path);
    assert_int_equal(pn_gguf_open(path, &mapped, &g, &err), PUNA_OK);
    assert_int_equal(pn_gguf_n_parts(g), 1);
    pn_gguf_free(g);
}

/* ---- what must be refused ---- */

static void patch_u64(size_t at, uint64_t v) {
    memcpy(b.data + at, &v, sizeof v);
}

static void test_bad_header(void **state) {
    (void)state;
    build_small();
    const size_t whole = b.n;
    for (size_t n = 0; n < 24; n++) {
        b.n = n;
        refuse(PUNA_E_FORMAT, n ? "truncated: the file has" : "the file is empty", "");
    }
    b.n = whole;
    static const struct {
        const char *magic, *says;
    } magics[] = {
        {"XXXX", "magic is \"XXXX\""}, {"FUGG", "big-endian"}, {"tjgg", "ggjt"}, {"PK\3\4", "zip"},
        {"\x1b[2J", "\\x1b[2J"},       {"vers", "pointer"}};
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        memcpy(b.data, magics[i].magic, 4);
        refuse(PUNA_E_FORMAT, "not a GGUF file", magics[i].says);
    }
    memcpy(b.data, "GGUF", 4);
    static const uint32_t versions[] = {0, 1, 4, 0x03000000, 0x02000000, UINT32_MAX};
    for (size_t i = 0; i < 6; i++) {
        memcpy(b.data + GGUF_AT_VERSION, &versions[i], 4);
        refuse(PUNA_E_UNSUPPORTED, "version", versions[i] >> 24 == 3 ? "big-endian" : "");
    }
}

static void test_bad_counts(void **state) {
    (void)state;
    static const uint64_t counts[] = {UINT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 40, 1000};
    for (size_t i = 0; i < 4; i++) {
        build_small();
        patch_u64(GGUF_AT_TENSORS, counts[i]);
        refuse(PUNA_E_FORMAT, "tensor count", "cannot fit");
        build_small();
        patch_u64(GGUF_AT_KEYS, counts[i]);
        refuse(PUNA_E_FORMAT, "key count", "cannot fit");
    }
    build_small();
    patch_u64(GGUF_AT_TENSORS, 3);
    refuse(PUNA_E_FORMAT, "tensor 3: name of", "key count");
    build_small();
    patch_u64(GGUF_AT_KEYS, 1);
    refuse(PUNA_E_FORMAT, "tensor n: ", "dimension");
}

/* Every length of the file short of the whole. */
static void test_every_cut(void **state) {
    (void)state;
    build_small();
    for (size_t whole = b.n; b.n > 0;) {
        b.n -= b.n > whole - 16 || b.n < 300 ? 1 : 13;
        refuse(PUNA_E_FORMAT, "", "");
    }
    build_small();
    b.n -= 1;
    refuse(PUNA_E_FORMAT, "file is 1 bytes short: truncated download?", "tensor b ends at byte");
}

static void test_bad_keys(void **state) {
    (void)state;
    static const uint64_t lengths[] = {0, 65536, (uint64_t)1 << 40, (uint64_t)1 << 63, UINT64_MAX};
    for (size_t i = 0; i < 5; i++) {
        build_small();
        patch_u64(24, lengths[i]);
        refuse(PUNA_E_FORMAT, "key 1 of 2: length", "expected 1 to 65535");
    }
    begin_small();
    b.data[24 + 8 + 3] = 0;
    refuse(PUNA_E_FORMAT, "key 1 of 2: \"gen\\x00ral.architecture\" contains a NUL byte", "");
    begin_small();
    build_key_u32(&b, "n", 1);
    refuse(PUNA_E_FORMAT, "duplicate key n", "");
    static const uint32_t types[] = {13, 255, INT32_MAX, UINT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        begin_small();
        build_key(&b, "x.t", types[i]), build_u64(&b, 0);
        refuse(PUNA_E_FORMAT, "key x.t: unknown value type", "");
        begin_small();
        build_array(&b, "x.a", types[i], 1), build_u64(&b, 0);
        refuse(PUNA_E_FORMAT, "key x.a: unknown array element type", "");
    }
    begin_small();
    build_key(&b, "x\x1b[2J\n", 13), build_u64(&b, 0);
    refuse(PUNA_E_FORMAT, "key x\\x1b[2J\\x0a: unknown value type", "");
}

static void test_bad_lengths(void **state) {
    (void)state;
    static const uint64_t lengths[] = {9, (uint64_t)1 << 32, ((uint64_t)1 << 61) + 1,
                                       (uint64_t)1 << 63, UINT64_MAX};
    for (size_t i = 0; i < 5; i++) {
        begin_small();
        build_key(&b, "x.s", 8), build_u64(&b, lengths[i]), build_u64(&b, 0);
        refuse(PUNA_E_FORMAT, "key x.s: truncated", "");
        for (uint32_t type = 0; type < 13; type++) {
            if (type == 9) continue;
            begin_small();
            build_array(&b, "x.a", type, lengths[i]), build_u64(&b, 0);
            refuse(PUNA_E_FORMAT, "key x.a: array of", "cannot fit");
        }
        begin_small();
        build_array(&b, "x.a", 8, 2), build_text(&b, "abc", 3), build_u64(&b, lengths[i]),
            build_u64(&b, 0);
        refuse(PUNA_E_FORMAT, "key x.a: truncated", "");
    }
    begin_small();
    build_array(&b, "x.a", 9, 1), build_u32(&b, 4), build_u64(&b, 1), build_u32(&b, 1);
    refuse(PUNA_E_UNSUPPORTED, "key x.a: nested arrays", "");
}

static void test_bad_alignment(void **state) {
    (void)state;
    static const uint32_t bad[] = {0, 1, 2, 3, 4, 24, 0x80000001u};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin_small();
        build_key_u32(&b, "general.alignment", bad[i]);
        refuse(PUNA_E_FORMAT, "key general.alignment is", "power of two");
    }
    begin_small();
    build_string(&b, "general.alignment", "32");
    refuse(PUNA_E_FORMAT, "key general.alignment has type string", "");
    begin_small();
    build_key(&b, "general.alignment", 5), build_u32(&b, (uint32_t)-32);
    refuse(PUNA_E_FORMAT, "key general.alignment is -32", "");
    begin_small();
    build_key_u32(&b, "general.alignment", 0x80000000u);
    build_tensor(&b, "a", 0, 1, (uint64_t[]){8}, 0);
    refuse(PUNA_E_FORMAT, "file is 2.1 GB short", "tensor a");
}

typedef struct tensor_case {
    uint32_t type, n_dims;
    uint64_t dims[5], offset;
    const char *says;
} tensor_case;

static void test_bad_tensors(void **state) {
    (void)state;
    const uint64_t big = (uint64_t)1 << 32;
    const tensor_case cases[] = {
        {0, 0, {0}, 0, "0 dimensions"},
        {0, 5, {1, 1, 1, 1, 1}, 0, "5 dimensions"},
        {0, 1, {0}, 0, "dimension 0 is 0"},
        {0, 4, {1, 1, 1, 0}, 0, "dimension 3 is 0"},
        {0, 2, {1, UINT64_MAX}, 0, "dimension 1 is 18446744073709551615"},
        {0, 2, {big, big}, 0, "number of elements overflows"},
        {0, 2, {64, 4 + ((uint64_t)1 << 58)}, 0, "number of elements overflows"},
        {0, 1, {(uint64_t)1 << 61}, 0, "size in bytes overflows"},
        {0, 1, {((uint64_t)1 << 62) - 4}, 0, "size in bytes overflows"},
        {2, 1, {33}, 0, "rows of 33 elements are no multiple of the Q4_0 block of 32"},
        {12, 2, {64, 4}, 0, "Q4_K block of 256"},
        {0, 1, {8}, 4, "offset 4 is no multiple of the alignment 32"},
        {0, 1, {8}, (uint64_t)1 << 63, "lies outside any file"},
        {0, 1, {8}, UINT64_MAX - 31, "lies outside any file"},
        {0, 1, {8}, 1 << 20, "ends at byte"},
        {0, 1, {257}, 0, "ends at byte"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const tensor_case *c = &cases[i];
        begin_small();
        build_tensor(&b, "t.weight", c->type, c->n_dims, c->dims, c->offset);
        build_data(&b, 32, 1024);
        refuse(PUNA_E_FORMAT, "tensor t.weight", c->says);
    }
    static const uint32_t types[] = {4, 5, 31, 36, 255, INT32_MAX, UINT32_MAX};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        begin_small();
        build_tensor(&b, "t.weight", types[i], 1, (uint64_t[]){8}, 0);
        build_data(&b, 32, 1024);
        refuse(PUNA_E_UNSUPPORTED, "tensor t.weight: unknown type", "");
    }
}

static void test_bad_names(void **state) {
    (void)state;
    char name[70];
    memset(name, 'n', sizeof name);
    for (size_t n = 63; n < 65; n++) {
        name[n] = 0;
        begin_small();
        build_tensor(&b, name, 0, 1, (uint64_t[]){8}, 0);
        build_data(&b, 32, 32);
        if (n == 63)
            pn_gguf_free(open_ok(&mapped));
        else
            refuse(PUNA_E_FORMAT, "tensor 1: name of 64 bytes", "");
        name[n] = 'n';
    }
    begin_small();
    build_tensor(&b, "", 0, 1, (uint64_t[]){8}, 0);
    build_data(&b, 32, 32);
    refuse(PUNA_E_FORMAT, "tensor 1: name of 0 bytes", "");
    begin_small();
    const size_t at = b.n;
    build_tensor(&b, "abc", 0, 1, (uint64_t[]){8}, 0);
    b.data[at + 9] = 0;
    build_data(&b, 32, 32);
    refuse(PUNA_E_FORMAT, "tensor 1: name \"a\\x00c\" contains a NUL byte", "");
    begin_small();
    build_tensor(&b, "a", 0, 1, (uint64_t[]){8}, 0);
    build_tensor(&b, "a", 0, 1, (uint64_t[]){8}, 32);
    build_data(&b, 32, 64);
    refuse(PUNA_E_FORMAT, "duplicate tensor a", "");
}

static void test_bad_paths(void **state) {
    (void)state;
    pn_gguf *g;
    puna_error err;
    assert_int_equal(pn_gguf_open("/nonexistent/x.gguf", &mapped, &g, &err), PUNA_E_IO);
    assert_non_null(strstr(err.msg, "No such file"));
    assert_int_equal(pn_gguf_open(folder, &mapped, &g, &err), PUNA_E_IO);
    assert_non_null(strstr(err.msg, "directory"));
    /* a long path is cut at its beginning, so that the message keeps its reason */
    char deep[1024];
    memcpy(deep, folder, sizeof folder - 1);
    begin_small();
    patch_u64(GGUF_AT_KEYS, UINT64_MAX);
    build_write(&b, path);
    for (size_t i = sizeof folder - 1; i < 1001; i++) deep[i] = '/';
    memcpy(deep + 1000, "/m.gguf", 8);
    assert_int_equal(pn_gguf_open(deep, &mapped, &g, &err), PUNA_E_FORMAT);
    assert_non_null(strstr(err.msg, "/m.gguf: key count"));
    assert_true(strncmp(err.msg, "...//", 5) == 0);
}

/* ---- memory ---- */

static void test_out_of_memory(void **state) {
    (void)state;
    char p1[96], p2[96];
    (void)snprintf(p1, sizeof p1, "%s/x-00001-of-00002.gguf", folder);
    (void)snprintf(p2, sizeof p2, "%s/x-00002-of-00002.gguf", folder);
    write_part(1, 2, -1, "b", p2);
    build_all_types();
    build_key_u16(&b, "split.no", 0), build_key_u16(&b, "split.count", 2);
    build_tensor(&b, "a", 0, 1, (uint64_t[]){16}, 0);
    build_data(&b, 32, 64);
    build_write(&b, p1);
    puna_set_allocator(&failing_allocator);
    for (int use_mmap = 0; use_mmap < 2; use_mmap++) {
        long n = 0;
        puna_status status;
        do {
            pn_gguf *g = NULL;
            puna_error err = {0};
            allocations_left = n++;
            status = pn_gguf_open(p1, use_mmap ? &mapped : &read_in, &g, &err);
            if (status != PUNA_OK) assert_int_equal(err.code, PUNA_E_NOMEM);
            if (status != PUNA_OK) assert_non_null(strstr(err.msg, "out of memory"));
            pn_gguf_free(g);
        } while (status != PUNA_OK && n < 1000);
        assert_int_equal(status, PUNA_OK);
        assert_true(n > 10);
    }
    puna_set_allocator(NULL);
    assert_int_equal(unlink(p1), 0);
    assert_int_equal(unlink(p2), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_typed_errors),  cmocka_unit_test(test_data_both_ways),
        cmocka_unit_test(test_progress),      cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_names),   cmocka_unit_test(test_bad_header),
        cmocka_unit_test(test_bad_counts),    cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_bad_keys),      cmocka_unit_test(test_bad_lengths),
        cmocka_unit_test(test_bad_alignment), cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_bad_names),     cmocka_unit_test(test_bad_paths),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
