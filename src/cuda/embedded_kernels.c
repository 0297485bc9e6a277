/* embedded_kernels.c: the kernels that this program uses. */
#include "cuda/kernel_image.h"

const pn_cuda_embedded *pn_cuda_embedded_kernels(void) {
    return &pn_cuda_built;
}
