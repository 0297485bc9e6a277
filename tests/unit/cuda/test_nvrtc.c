/* Kernels that NVRTC compiles, through a library that stands in for it: for which card, what is kept, and what is said
 * when it cannot be. With PUNA_TEST_NVRTC=FILE, a real libnvrtc, also the real source. */
#include "cuda/nvrtc.h"

#include "../../cuda/stand_in_nvrtc.h"
#include "unit/failing_allocator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static stand_in_nvrtc *nvrtc;
static stand_in_nvrtc fresh;
static char folder[] = "/tmp/puna-nvrtc-XXXXXX";

static const pn_cuda_text source[] = {
    {"cuda/gpu.cuh", "// header\n"}, {"cuda/kernels.cu", "// kernels\n"}, {NULL, NULL}};

/* The only file of the cache; its path stays valid until the next call. */
static const char *kept_file(int *n) {
    static char path[600];
    char kernels[100];
    (void)snprintf(kernels, sizeof kernels, "%.60s/puna/kernels", folder);
    DIR *dir = opendir(kernels);
    *n = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        (void)snprintf(path, sizeof path, "%s/%s", kernels, e->d_name);
        (*n)++;
    }
    if (dir) closedir(dir);
    return path;
}

static int empty_cache(void **state) {
    (void)state;
    int n;
    for (const char *path = kept_file(&n); n > 0; path = kept_file(&n))
        assert_int_equal(unlink(path), 0);
    *nvrtc = fresh;
    return 0;
}

static void compile(int32_t compute, int32_t driver_version, const char *expected) {
    pn_nvrtc_code code;
    puna_error err;
    if (pn_nvrtc_compile(source, compute, driver_version, &code, &err) != PUNA_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(code.data, expected);
    assert_int_equal(code.bytes, strlen(expected) + 1);
    pn_nvrtc_code_free(&code);
    assert_int_equal(nvrtc->n_programs, 0);
}

static void refuse(const pn_cuda_text *texts, int32_t compute, puna_status status,
                   const char *words) {
    pn_nvrtc_code code;
    puna_error err;
    assert_int_equal(pn_nvrtc_compile(texts, compute, 13000, &code, &err), status);
    if (!strstr(err.msg, words)) fail_msg("\"%s\", expected \"%s\"", err.msg, words);
    assert_null(code.data);
    assert_int_equal(nvrtc->n_programs, 0);
}

#define OPTIONS "--std=c++17 --fmad=false --split-compile=0 // kernels\n"

static void test_target(void **state) {
    (void)state;
    compile(70, 13000, "--gpu-architecture=sm_70 " OPTIONS);
    assert_int_equal(nvrtc->n_headers, 3); /* the two of C, and ours */
    compile(80, 12040, "--gpu-architecture=sm_80 " OPTIONS);
    compile(89, 13000, "--gpu-architecture=compute_80 " OPTIONS); /* the card's own is not known */
    compile(120, 13000, "--gpu-architecture=compute_90 " OPTIONS);
    nvrtc->minor = 2; /* before there was --split-compile */
    compile(90, 13000, "--gpu-architecture=sm_90 --std=c++17 --fmad=false // kernels\n");
    refuse(source, 60, PUNA_E_UNSUPPORTED, "compiles for compute capability 7.0 and later");
    puna_error err;
    assert_int_equal(pn_nvrtc_find(0, 0, &err), PUNA_OK);
    assert_int_equal(pn_nvrtc_find(80, 11080, &err), PUNA_E_UNSUPPORTED);
    assert_string_equal(err.msg, "libnvrtc 12.2 is newer than the driver, which is for CUDA 11.8");
}

static void test_kept(void **state) {
    (void)state;
    int n;
    char wanted[] = "--gpu-architecture=sm_70 " OPTIONS;
    compile(70, 13000, wanted);
    compile(70, 13000, wanted);
    assert_int_equal(nvrtc->n_compiles, 1);
    const char *path = kept_file(&n);
    assert_int_equal(n, 1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* every byte counts */
    for (long at = 0; at < (long)st.st_size; at++) {
        FILE *f = fopen(path, "r+b");
        assert_non_null(f);
        fseek(f, at, SEEK_SET);
        const int byte = fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(byte ^ 1, f);
        fclose(f);
        compile(70, 13000, wanted);
        assert_int_equal(nvrtc->n_compiles, 2 + at);
    }
    for (long bytes = 0; bytes < (long)st.st_size; bytes++) {
        const int before = nvrtc->n_compiles;
        assert_int_equal(truncate(path, bytes), 0);
        compile(70, 13000, wanted);
        assert_int_equal(nvrtc->n_compiles, before + 1);
    }
    /* of another source, another version, another card */
    const int before = nvrtc->n_compiles;
    const pn_cuda_text other[] = {
        {"cuda/gpu.cuh", "// another\n"}, {"cuda/kernels.cu", "// kernels\n"}, {NULL, NULL}};
    pn_nvrtc_code code;
    puna_error err;
    assert_int_equal(pn_nvrtc_compile(other, 70, 13000, &code, &err), PUNA_OK);
    pn_nvrtc_code_free(&code);
    compile(75, 13000, "--gpu-architecture=sm_75 " OPTIONS);
    nvrtc->major = 13;
    compile(70, 13000, wanted);
    assert_int_equal(nvrtc->n_compiles, before + 3);
    (void)kept_file(&n);
    assert_int_equal(n, 4);
}

static void test_no_place_to_keep(void **state) {
    (void)state;
    char wanted[] = "--gpu-architecture=sm_70 " OPTIONS;
    setenv("XDG_CACHE_HOME", "/dev/null", 1);
    compile(70, 13000, wanted);
    unsetenv("XDG_CACHE_HOME");
    char *home = strdup(getenv("HOME") ? getenv("HOME") : "");
    unsetenv("HOME");
    compile(70, 13000, wanted);
    setenv("HOME", home, 1);
    free(home);
    assert_int_equal(nvrtc->n_compiles, 2);
    setenv("XDG_CACHE_HOME", folder, 1);
}

static void test_failures(void **state) {
    (void)state;
    nvrtc->compile_result = 6;
    refuse(source, 70, PUNA_E_UNSUPPORTED,
           "NVRTC 12.9 does not compile the kernels: error: it is wrong");
    nvrtc->log = "";
    refuse(source, 70, PUNA_E_UNSUPPORTED, "NVRTC 12.9 does not compile the kernels: error 6");
    nvrtc->compile_result = 7;
    refuse(source, 70, PUNA_E_UNSUPPORTED, "libnvrtc-builtins");
    nvrtc->compile_result = 1;
    refuse(source, 70, PUNA_E_NOMEM, "memory");
    nvrtc->compile_result = 0;
    nvrtc->code_result = 4;
    refuse(source, 70, PUNA_E_UNSUPPORTED, "gives no code");
    nvrtc->code_result = 0;
    nvrtc->create_result = 3;
    refuse(source, 70, PUNA_E_UNSUPPORTED, "error 3");
    nvrtc->create_result = 0;
    nvrtc->version_result = 1;
    refuse(source, 70, PUNA_E_UNSUPPORTED, "does not say its version");
    nvrtc->version_result = 0;
    nvrtc->n_archs = 0;
    refuse(source, 70, PUNA_E_UNSUPPORTED, "does not say what it compiles for");
    nvrtc->n_archs = 100000;
    refuse(source, 70, PUNA_E_UNSUPPORTED, "does not say what it compiles for");
    nvrtc->n_archs = 4;
    refuse(source + 2, 70, PUNA_E_STATE, "not complete");
    int n;
    (void)kept_file(&n);
    assert_int_equal(n, 0);
    puna_set_allocator(&failing_allocator);
    allocations_left = 0;
    refuse(source, 70, PUNA_E_NOMEM, "memory");
    puna_set_allocator(NULL);
}

static void test_no_library(void **state) {
    (void)state;
    puna_error err;
    char *named = strdup(getenv("PUNA_NVRTC"));
    setenv("PUNA_NVRTC", "/nowhere/libnvrtc.so", 1);
    assert_int_equal(pn_nvrtc_find(0, 0, &err), PUNA_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "/nowhere/libnvrtc.so"));
    setenv("PUNA_NVRTC", "libm.so.6", 1);
    assert_int_equal(pn_nvrtc_find(0, 0, &err), PUNA_E_UNSUPPORTED);
    assert_string_equal(err.msg, "libnvrtc is too old: it has no nvrtcVersion");
    setenv("PUNA_NVRTC", named, 1);
    free(named);
}

/* The whole source, by the real compiler: an ELF file of NVIDIA's. */
static void test_real_compiler(void **state) {
    (void)state;
    const char *real = getenv("PUNA_TEST_NVRTC");
    if (!real || !pn_cuda_built.texts->name) {
        print_message("PUNA_TEST_NVRTC is not set, or there is no source: left out\n");
        skip();
    }
    char *named = strdup(getenv("PUNA_NVRTC"));
    setenv("PUNA_NVRTC", real, 1);
    pn_nvrtc_code code[2];
    puna_error err;
    for (int i = 0; i < 2; i++)
        if (pn_nvrtc_compile(pn_cuda_built.texts, 80, 20000, &code[i], &err) != PUNA_OK)
            fail_msg("%s", err.msg);
    assert_true(code[0].bytes > 100000);
    assert_memory_equal(code[0].data, "\177ELF", 4);
    assert_int_equal(((unsigned char *)code[0].data)[18], 190); /* EM_CUDA */
    assert_int_equal(code[0].bytes, code[1].bytes);
    assert_memory_equal(code[0].data, code[1].data, code[0].bytes);
    const char *copy = getenv("PUNA_TEST_NVRTC_OUT");
    FILE *f = copy ? fopen(copy, "wb") : NULL;
    if (f) {
        assert_int_equal(fwrite(code[0].data, 1, code[0].bytes, f), code[0].bytes);
        fclose(f);
    }
    for (int i = 0; i < 2; i++) pn_nvrtc_code_free(&code[i]);
    setenv("PUNA_NVRTC", named, 1);
    free(named);
}

static int set_up(void **state) {
    (void)state;
    const char *path = getenv("PUNA_NVRTC");
    void *library = path ? dlopen(path, RTLD_NOW) : NULL;
    nvrtc = library ? dlsym(library, "pn_stand_in_nvrtc") : NULL;
    if (!nvrtc || !mkdtemp(folder)) {
        print_error("PUNA_NVRTC is not the stand-in\n");
        return 1;
    }
    fresh = *nvrtc;
    setenv("XDG_CACHE_HOME", folder, 1);
    return 0;
}

static int tear_down(void **state) {
    char path[600];
    empty_cache(state);
    static const char *const folders[] = {"/puna/kernels", "/puna", ""};
    for (int i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s%s", folder, folders[i]);
        (void)rmdir(path);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_target, empty_cache),
        cmocka_unit_test_setup(test_kept, empty_cache),
        cmocka_unit_test_setup(test_no_place_to_keep, empty_cache),
        cmocka_unit_test_setup(test_failures, empty_cache),
        cmocka_unit_test_setup(test_no_library, empty_cache),
        cmocka_unit_test_setup(test_real_compiler, empty_cache),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
