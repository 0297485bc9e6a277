/* isa.h: the instruction sets kernels are compiled for, and which one this CPU gets. */
#ifndef PN_SIMD_ISA_H
#define PN_SIMD_ISA_H

#include <stdbool.h>

/* Ascending: a later one is preferred. */
typedef enum pn_isa { PN_ISA_SCALAR = 0, PN_ISA_AVX2 = 1, PN_ISA_AVX512 = 2, PN_N_ISAS = 3 } pn_isa;

/* avx2 asks for AVX2, FMA, F16C, BMI2; avx512 for F, BW, DQ, VL, VNNI, VBMI as well (CPUID and
 * XGETBV). */
bool pn_isa_supported(pn_isa isa);
const char *pn_isa_name(pn_isa isa);
/* The best supported one, or a lower one named by the environment variable PUNA_ISA (an unknown
 * or unsupported name is ignored with a logged warning). */
pn_isa pn_isa_best(void);

#endif
