/* kernels.cu: every kernel, as one module of the card. */
#include "cuda/attention.cu"
#include "cuda/linear_codes.cu"
#include "cuda/linear_float.cu"
#include "cuda/moe.cu"
#include "cuda/pick.cu"
#include "cuda/rows.cu"
