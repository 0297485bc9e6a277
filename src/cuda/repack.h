/* repack.h: rows of weights from the file's layout to the card's (args.h). */
#ifndef PN_CUDA_REPACK_H
#define PN_CUDA_REPACK_H

#include "cuda/args.h"
#include "fmt/fmt.h"

typedef struct pn_cuda_format {
    const char *name; /* of the kernels: pn_few_1_<name> ... */
    pn_format id;
    bool is_codes; /* integer codes; else floats of float_bytes */
    int32_t float_bytes;
    int32_t low_bits, high_bits, sub_weights, offset;
    bool is_256, has_minimum, has_levels;
    const struct pn_unpack *unpack;
} pn_cuda_format;

/* NULL for a format that the card has no kernels for. */
const pn_cuda_format *pn_cuda_format_get(pn_format id);

/* Bytes of a row of n_in weights on the card. */
uint32_t pn_cuda_row_bytes(const pn_cuda_format *format, int32_t n_in);

/* One row; out gets pn_cuda_row_bytes bytes. */
void pn_cuda_repack_row(const pn_cuda_format *format, const void *row, int32_t n_in, uint8_t *out);

#endif
