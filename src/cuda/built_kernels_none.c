/* built_kernels_none.c: stands for the kernels in a build without them (PUNA_CUDA=OFF). */
#include "cuda/kernel_image.h"

static const pn_cuda_image images[] = {{0, PN_CUDA_CODE, NULL}};
static const pn_cuda_text texts[] = {{NULL, NULL}};

const pn_cuda_embedded pn_cuda_built = {images, texts};
