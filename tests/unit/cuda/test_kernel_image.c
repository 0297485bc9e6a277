/* Which kernels a card gets: of those in the program, and else by NVRTC, for which a library stands in. */
#include "cuda/kernel_image.h"

#include "../../cuda/stand_in.h"
#include "../../cuda/stand_in_nvrtc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>

static const pn_cuda_text no_text = {NULL, NULL};
static const pn_cuda_text texts[] = {{"cuda/kernels.cu", "// kernels\n"}, {NULL, NULL}};
static pn_cuda_embedded embedded;
const pn_cuda_embedded *pn_cuda_embedded_kernels(void) {
    return &embedded;
}

static stand_in *driver;
static stand_in_nvrtc *nvrtc;
static pn_cuda_driver opened;

/* Loads for a card; what the driver was given begins with `image`, or the message is `words`. */
static void check(int32_t compute, const char *image, const char *words) {
    const pn_cuda_card card = {.compute = compute};
    void *module;
    puna_error err = {0};
    driver->image[0] = 0;
    const puna_status status = pn_cuda_load_kernels(&opened, &card, &module, &err);
    if (words) {
        assert_int_not_equal(status, PUNA_OK);
        if (!strstr(err.msg, words)) fail_msg("\"%s\", expected \"%s\"", err.msg, words);
        assert_int_equal(driver->n_modules, 0);
        return;
    }
    if (status != PUNA_OK) fail_msg("%s", err.msg);
    if (strncmp(driver->image, image, strlen(image)) != 0)
        fail_msg("%d: %s, expected %s", compute, driver->image, image);
    assert_int_equal(opened.module_unload(module), 0);
}

static void test_which(void **state) {
    (void)state;
    static const pn_cuda_image images[] = {
        {75, PN_CUDA_CODE, "75"},   {80, PN_CUDA_CODE, "80"},        {86, PN_CUDA_CODE, "86"},
        {80, PN_CUDA_PTX, "ptx80"}, {90, PN_CUDA_CODE_EXACT, "90a"}, {90, PN_CUDA_PTX, "ptx90"},
        {100, PN_CUDA_CODE, "100"}, {0, PN_CUDA_CODE, NULL}};
    embedded = (pn_cuda_embedded){images, &no_text};
    check(75, "75", NULL);
    check(80, "80", NULL);
    check(86, "86", NULL);
    check(87, "86", NULL);
    check(90, "90a", NULL);
    check(99, "ptx90", NULL);
    check(103, "100", NULL);
    check(120, "ptx90", NULL);
    check(70, NULL,
          "kernels in this puna are for 7.5, 8.0, 8.6, 9.0, 10.0, and it was built without");
}

static void test_refused(void **state) {
    (void)state;
    static const pn_cuda_image images[] = {
        {80, PN_CUDA_CODE, "refused 80"}, {80, PN_CUDA_PTX, "ptx80"}, {0, PN_CUDA_CODE, NULL}};
    static const int unsuitable[] = {200, 209, 218, 222};
    embedded = (pn_cuda_embedded){images, &no_text};
    for (int i = 0; i < 4; i++) {
        driver->image_result = unsuitable[i];
        check(80, "ptx80", NULL);
    }
    driver->image_result = 2;
    check(80, NULL, "no memory left");
    driver->image_result = 209;
}

static void test_compiled(void **state) {
    (void)state;
    static const pn_cuda_image images[] = {
        {75, PN_CUDA_CODE, "75"}, {80, PN_CUDA_PTX, "refused ptx"}, {0, PN_CUDA_CODE, NULL}};
    puna_error err;
    embedded = (pn_cuda_embedded){images, texts};
    check(75, "75", NULL);
    check(70, "--gpu-architecture=sm_70", NULL);
    check(90, "--gpu-architecture=sm_90", NULL);
    nvrtc->major = 14;
    check(
        70, NULL,
        "compute capability 7.0: the kernels in this puna are for 7.5, and libnvrtc 14.9 is newer "
        "than the driver");
    embedded.images = images + 2; /* none */
    check(70, NULL, "libnvrtc 14.9 is newer than the driver");
    nvrtc->major = 12;
    check(70, "--gpu-architecture=sm_70", NULL);
    assert_int_equal(pn_cuda_have_kernels(&err), PUNA_OK);
    char *named = strdup(getenv("PUNA_NVRTC"));
    setenv("PUNA_NVRTC", "/nowhere", 1);
    assert_int_equal(pn_cuda_have_kernels(&err), PUNA_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "built without CUDA kernels"));
    assert_non_null(strstr(err.msg, "/nowhere"));
    embedded.texts = &no_text;
    assert_int_equal(pn_cuda_have_kernels(&err), PUNA_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "PUNA_CUDA=OFF"));
    setenv("PUNA_NVRTC", named, 1);
    free(named);
}

static int set_up(void **state) {
    (void)state;
    puna_error err;
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    const char *path = getenv("PUNA_NVRTC");
    void *library = path ? dlopen(path, RTLD_NOW) : NULL;
    driver = cuda ? dlsym(cuda, "pn_stand_in") : NULL;
    nvrtc = library ? dlsym(library, "pn_stand_in_nvrtc") : NULL;
    if (!driver || !nvrtc) {
        print_error("libcuda.so.1 or PUNA_NVRTC is not the stand-in\n");
        return 1;
    }
    setenv("XDG_CACHE_HOME", "/dev/null", 1); /* nothing is kept */
    void *context;
    return pn_cuda_driver_open(&opened, &err) != PUNA_OK ||
           opened.context_retain(&context, 0) != 0 || opened.context_set(context) != 0;
}

static int tear_down(void **state) {
    (void)state;
    (void)opened.context_release(0);
    pn_cuda_driver_close(&opened);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_compiled),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
