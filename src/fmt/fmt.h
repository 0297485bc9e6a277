/* fmt.h: the tensor types of GGUF: names, block sizes, and the scalar reference that decodes a row.
 *
 * One row per type in formats.def, one file per type with kernels (src/fmt/<type>.h: bit diagram,
 * block struct, scalar reference, vector unpack). The scalar reference is the definition: every
 * kernel is tested against it, and it is held bit-exact to the independent package `gguf`. */
#ifndef PN_FMT_FMT_H
#define PN_FMT_FMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The values are the type ids of the file format. */
typedef enum pn_format {
#define FORMAT(name, id, block_weights, block_bytes, kernels) PN_FMT_##name = id,
#include "fmt/formats.def"
#undef FORMAT
} pn_format;

typedef struct pn_format_info {
    const char *name;
    pn_format id;
    int32_t block_weights;
    int32_t block_bytes;
    bool has_kernels;
    /* Decodes n weights (a multiple of block_weights) at row into out[n]; NULL without kernels. */
    void (*decode)(const void *row, float *out, int64_t n);
} pn_format_info;

/* NULL for an id that no version of GGUF has given. */
const pn_format_info *pn_format_get(uint32_t id);
/* Every known type in the order of formats.def; *n gets their number. */
const pn_format_info *pn_format_all(int32_t *n);

/* Exact conversions. */
float pn_half_to_float(uint16_t h);
uint16_t pn_float_to_half(float f); /* round to nearest even, as _mm512_cvtps_ph does */
static inline float pn_bf16_to_float(uint16_t h) {
    union {
        uint32_t u;
        float f;
    } v = {.u = (uint32_t)h << 16};
    return v.f;
}

#endif
