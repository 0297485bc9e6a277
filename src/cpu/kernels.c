/* kernels.c: picks the kernel table of an instruction set. */
#include "cpu/kernels.h"

const pn_kernels *pn_kernels_get(pn_isa isa) {
    if (!pn_isa_supported(isa)) return NULL;
    switch (isa) {
    case PN_ISA_SCALAR: return &pn_kernels_scalar;
#ifdef PN_HAVE_AVX2
    case PN_ISA_AVX2: return &pn_kernels_avx2;
#endif
#ifdef PN_HAVE_AVX512
    case PN_ISA_AVX512: return &pn_kernels_avx512;
#endif
    default: return NULL;
    }
}

const pn_kernels *pn_kernels_best(void) {
    for (pn_isa isa = pn_isa_best(); isa > PN_ISA_SCALAR; isa--) {
        const pn_kernels *kernels = pn_kernels_get(isa);
        if (kernels) return kernels;
    }
    return &pn_kernels_scalar;
}
