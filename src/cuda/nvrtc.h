/* nvrtc.h: NVIDIA's run-time compiler, opened when it is needed (nothing is linked), and a cache of what it
 * compiled: $XDG_CACHE_HOME/puna/kernels (~/.cache/puna/kernels). */
#ifndef PN_CUDA_NVRTC_H
#define PN_CUDA_NVRTC_H

#include "cuda/kernel_image.h"

/* PUNA_OK when a libnvrtc is found that a driver of this version (1000 * major + 10 * minor; 0: any) takes code of
 * and that knows the compute capability (0: any); else why not, in words. */
puna_status pn_nvrtc_find(int32_t compute, int32_t driver_version, puna_error *err);

typedef struct pn_nvrtc_code {
    void *data; /* a cubin, or PTX and a 0; owned */
    size_t bytes;
} pn_nvrtc_code;
void pn_nvrtc_code_free(pn_nvrtc_code *code);

/* Compiles the source (kernels.cu among the texts, which ends with NULL) for a card, or finds it in the cache.
 * The first time takes some ten seconds. */
puna_status pn_nvrtc_compile(const pn_cuda_text *texts, int32_t compute, int32_t driver_version,
                             pn_nvrtc_code *code, puna_error *err);

#endif
