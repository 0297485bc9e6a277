/* card_under_test.h: the driver that the tests of src/cuda find, which CMake puts first as libcuda.so.1: the
 * stand-in, which runs the kernels on the CPU and can be made to fail. With PUNA_TEST_CUDA=real it is the system's,
 * and the kernels are those of the build: then what makes the driver fail, or counts in it, is left out. */
#ifndef CARD_UNDER_TEST_H
#define CARD_UNDER_TEST_H

#include "cuda/kernel_image.h"

#include "../../cuda/stand_in.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>

static stand_in *driver; /* with a real one: something that nobody looks at */
static bool has_kernels = true;

static inline bool card_is_real(void) {
    const char *asked = getenv("PUNA_TEST_CUDA");
    return asked && strcmp(asked, "real") == 0;
}

/* For tests that only the stand-in can pass. */
#define ONLY_STAND_IN()                                                                            \
    do {                                                                                           \
        if (card_is_real()) skip();                                                                \
    } while (0)

/* In place of embedded_kernels.c: something that is no fatbin, since the stand-in has its own kernels. Also
 * in a build without nvcc. */
const pn_cuda_embedded *pn_cuda_embedded_kernels(void) {
    static const pn_cuda_image emulated[] = {{75, PN_CUDA_CODE, "for another card"},
                                             {90, PN_CUDA_CODE_EXACT, "emulated"},
                                             {0, PN_CUDA_CODE, NULL}};
    static const pn_cuda_text no_texts[] = {{NULL, NULL}};
    static const pn_cuda_embedded some = {emulated, no_texts}, none = {emulated + 2, no_texts};
    if (!has_kernels) return &none;
    return card_is_real() ? &pn_cuda_built : &some;
}

/* For cmocka's set-up of a group. */
static inline int find_driver(void **state) {
    (void)state;
    static stand_in unused;
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    driver = library ? dlsym(library, "pn_stand_in") : NULL;
    if (card_is_real() && library && !driver) {
        driver = &unused;
        return 0;
    }
    if (driver && !card_is_real()) return 0;
    print_error("libcuda.so.1 is not %s: LD_LIBRARY_PATH?\n",
                card_is_real() ? "a real driver" : "the stand-in");
    return 1;
}

#endif
