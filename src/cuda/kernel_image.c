/* kernel_image.c: which of the embedded kernels a card gets, and NVRTC where none of them runs on it.
 *
 * Tried in this order: code for just this card, code for the nearest earlier one of the same major number, PTX of
 * the latest one before it, which the driver compiles and keeps by itself; then NVRTC. What the driver
 * refuses because the card, or its own age, does not suit makes the next one be tried. */
#include "cuda/kernel_image.h"

#include "cuda/nvrtc.h"
#include "plan/plan.h"

#include <stdio.h>

enum { /* results that say: not this image */
       INVALID_IMAGE = 200,
       NO_BINARY_FOR_GPU = 209,
       INVALID_PTX = 218,
       UNSUPPORTED_PTX = 222
};

static bool is_unsuitable(int result) {
    return result == INVALID_IMAGE || result == NO_BINARY_FOR_GPU || result == INVALID_PTX ||
           result == UNSUPPORTED_PTX;
}

/* More is better; below 0: cannot run on the card. */
static int32_t rank(const pn_cuda_image *image, int32_t compute) {
    if (image->compute > compute) return -1;
    switch (image->kind) {
    case PN_CUDA_PTX: return image->compute;
    case PN_CUDA_CODE: return image->compute / 10 == compute / 10 ? 100000 + image->compute : -1;
    case PN_CUDA_CODE_EXACT: return image->compute == compute ? 200000 : -1;
    }
    return -1;
}

/* The best image of a rank below `below`. */
static const pn_cuda_image *next_image(int32_t compute, int32_t below) {
    const pn_cuda_image *best = NULL;
    int32_t best_rank = -1;
    for (const pn_cuda_image *i = pn_cuda_embedded_kernels()->images; i->data; i++) {
        const int32_t r = rank(i, compute);
        if (r < below && r > best_rank) {
            best = i;
            best_rank = r;
        }
    }
    return best;
}

/* "7.5, 8.0" */
static void list_built(char *out, size_t out_bytes) {
    size_t at = 0;
    out[0] = 0;
    for (const pn_cuda_image *i = pn_cuda_embedded_kernels()->images; i->data; i++) {
        if (i->kind == PN_CUDA_PTX || at + 8 >= out_bytes) continue;
        at += (size_t)snprintf(out + at, out_bytes - at, "%s%d.%d", at ? ", " : "", i->compute / 10,
                               i->compute % 10);
    }
}

puna_status pn_cuda_have_kernels(puna_error *err) {
    const pn_cuda_embedded *e = pn_cuda_embedded_kernels();
    if (e->images->data) return PUNA_OK;
    if (!e->texts->name)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "this puna was built without kernels for NVIDIA cards (PUNA_CUDA=OFF)");
    puna_error why;
    if (pn_nvrtc_find(0, 0, &why) == PUNA_OK) return PUNA_OK;
    return pn_fail(err, PUNA_E_UNSUPPORTED,
                   "this puna was built without CUDA kernels (nvcc makes them) and cannot compile "
                   "them now: %s",
                   why.msg);
}

/* Kernels that NVRTC compiles for the card, or has before. */
static puna_status load_compiled(const pn_cuda_driver *driver, const pn_cuda_card *card,
                                 void **module, puna_error *err) {
    pn_nvrtc_code code;
    const pn_cuda_text *texts = pn_cuda_embedded_kernels()->texts;
    PN_TRY(pn_nvrtc_compile(texts, card->compute, driver->version, &code, err));
    const int result = driver->module_load(module, code.data);
    pn_nvrtc_code_free(&code);
    return pn_cuda_check(driver, result, "loading the kernels that NVRTC compiled", err);
}

puna_status pn_cuda_load_kernels(const pn_cuda_driver *driver, const pn_cuda_card *card,
                                 void **module, puna_error *err) {
    const pn_cuda_image *image = next_image(card->compute, INT32_MAX);
    for (; image; image = next_image(card->compute, rank(image, card->compute))) {
        const int result = driver->module_load(module, image->data);
        if (!is_unsuitable(result))
            return pn_cuda_check(driver, result, "loading the kernels", err);
    }
    *module = NULL;
    const pn_cuda_embedded *e = pn_cuda_embedded_kernels();
    if (!e->texts->name && !e->images->data) return pn_cuda_have_kernels(err);
    const puna_status status =
        e->texts->name ? load_compiled(driver, card, module, err)
                       : pn_fail(err, PUNA_E_UNSUPPORTED, "it was built without their source");
    if (status != PUNA_E_UNSUPPORTED || !e->images->data) return status;
    const puna_error why = *err;
    char built[64];
    list_built(built, sizeof built);
    return pn_fail(err, status,
                   "compute capability %d.%d: the kernels in this puna are for %s, and %s",
                   card->compute / 10, card->compute % 10, built, why.msg);
}
