/* image_none.c: stands for the kernels in a build without nvcc. */
#include "cuda/cuda_device.h"

const void *pn_cuda_image(void) {
    return NULL;
}
