/* kernel_image.h: kernels that a card can run: those that nvcc compiled into the program, or else what NVRTC
 * makes of their source on this machine. */
#ifndef PN_CUDA_KERNEL_IMAGE_H
#define PN_CUDA_KERNEL_IMAGE_H

#include "cuda/driver.h"

typedef enum pn_cuda_image_kind {
    PN_CUDA_CODE,       /* for this compute capability and later ones of the same major number */
    PN_CUDA_CODE_EXACT, /* for this one alone (90a) */
    PN_CUDA_PTX         /* for this one and all later ones: the driver compiles it */
} pn_cuda_image_kind;

typedef struct pn_cuda_image {
    int32_t compute; /* 10 * major + minor */
    pn_cuda_image_kind kind;
    const void *data; /* as cuModuleLoadData takes it */
} pn_cuda_image;

/* A file of the source, under the name that #include says. */
typedef struct pn_cuda_text {
    const char *name, *text;
} pn_cuda_text;

/* What CMake has embedded; both lists end with NULL and may be empty. */
typedef struct pn_cuda_embedded {
    const pn_cuda_image *images;
    const pn_cuda_text *texts;
} pn_cuda_embedded;
extern const pn_cuda_embedded pn_cuda_built;

/* What is used: pn_cuda_built. A function in a file of its own, so that tests can have another. */
const pn_cuda_embedded *pn_cuda_embedded_kernels(void);

/* PUNA_OK when there is something to load, or to compile with NVRTC; else what is missing, in words. */
puna_status pn_cuda_have_kernels(puna_error *err);

/* Loads kernels for the card into the current context. */
puna_status pn_cuda_load_kernels(const pn_cuda_driver *driver, const pn_cuda_card *card,
                                 void **module, puna_error *err);

#endif
