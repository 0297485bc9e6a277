/* matmul_formats.c: the two functions of matmul_tile.h for every format of integer codes. The
 * generic code is inlined with the format's description as a constant, so each gets code of its
 * own. */
#include "cpu/isa/matmul_few.h"
#include "cpu/isa/matmul_fill.h"

#include "fmt/fmt.h"
#include "fmt/formats.h"

#define FORMAT(name, id, block_weights, block_bytes, kernels) kernels(name)
#define FLOATS(name)
#define NO_KERNELS(name)

#define CODES(name)                                                                                \
    static void few_##name(const pn_few_job *job) {                                                \
        pn_few(job, &pn_unpack_##name);                                                            \
    }                                                                                              \
    static void fill_##name(const pn_fill_job *job) {                                              \
        pn_fill(job, &pn_unpack_##name);                                                           \
    }
#include "fmt/formats.def"
#undef CODES

#define CODES(name) [PN_FMT_##name] = {&pn_unpack_##name, few_##name, fill_##name},
static const pn_matmul_format formats[] = {
#include "fmt/formats.def"
};

const pn_matmul_format *PN_ISA_FN(pn_matmul_format_of)(pn_format format) {
    const size_t i = (size_t)format;
    if (i >= sizeof formats / sizeof *formats || formats[i].unpack == NULL) return NULL;
    return &formats[i];
}
