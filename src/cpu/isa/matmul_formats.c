/* matmul_formats.c: the two functions of matmul_tile.h for every format of integer codes. The generic code is
 * inlined with the format's description as a constant, so each gets code of its own. */
#include "cpu/isa/matmul_few.h"
#include "cpu/isa/matmul_fill.h"

#include "fmt/iq4_nl.h"
#include "fmt/iq4_xs.h"
#include "fmt/q2_k.h"
#include "fmt/q3_k.h"
#include "fmt/q4_0.h"
#include "fmt/q4_1.h"
#include "fmt/q4_k.h"
#include "fmt/q5_0.h"
#include "fmt/q5_1.h"
#include "fmt/q5_k.h"
#include "fmt/q6_k.h"
#include "fmt/q8_0.h"

#define PN_FORMATS(ROW)                                                                            \
    ROW(Q4_0) ROW(Q4_1) ROW(Q5_0) ROW(Q5_1) ROW(Q8_0)                                              \
    ROW(Q2_K) ROW(Q3_K) ROW(Q4_K) ROW(Q5_K) ROW(Q6_K)                                              \
    ROW(IQ4_NL) ROW(IQ4_XS)

#define FUNCTIONS(name)                                                                            \
    static void few_##name(const pn_few_job *job) {                                                \
        pn_few(job, &pn_unpack_##name);                                                            \
    }                                                                                              \
    static void fill_##name(const pn_fill_job *job) {                                              \
        pn_fill(job, &pn_unpack_##name);                                                           \
    }
PN_FORMATS(FUNCTIONS)
#undef FUNCTIONS

#define ROW(name) [PN_FMT_##name] = {&pn_unpack_##name, few_##name, fill_##name},
static const pn_matmul_format formats[] = {PN_FORMATS(ROW)};
#undef ROW

const pn_matmul_format *PN_ISA_FN(pn_matmul_format_of)(pn_format format) {
    const size_t i = (size_t)format;
    if (i >= sizeof formats / sizeof *formats || formats[i].unpack == NULL) return NULL;
    return &formats[i];
}
