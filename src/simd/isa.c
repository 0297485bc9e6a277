/* isa.c: asks the CPU, and the environment variable PUNA_ISA, which instruction set to use. */
#include "simd/isa.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

static const char *const isa_names[PN_N_ISAS] = {"scalar", "avx2", "avx512"};

#if defined(__x86_64__) || defined(__i386__)
/* The builtins read CPUID and, through XGETBV, whether the system saves the registers. */
static bool has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
}
#else
static bool has_avx2(void) {
    return false;
}
static bool has_avx512(void) {
    return false;
}
#endif

bool pn_isa_supported(pn_isa isa) {
    switch (isa) {
    case PN_ISA_SCALAR:
        return true;
    case PN_ISA_AVX2:
        return has_avx2();
    case PN_ISA_AVX512:
        return has_avx512();
    default:
        return false;
    }
}

const char *pn_isa_name(pn_isa isa) {
    return (unsigned)isa < PN_N_ISAS ? isa_names[isa] : "unknown";
}

pn_isa pn_isa_best(void) {
    pn_isa best = PN_ISA_SCALAR;
    for (int i = 0; i < PN_N_ISAS; i++) {
        if (pn_isa_supported((pn_isa)i)) best = (pn_isa)i;
    }
    const char *wanted = getenv("PUNA_ISA");
    if (wanted == NULL || wanted[0] == '\0') return best;
    for (int i = 0; i < PN_N_ISAS; i++) {
        if (strcmp(wanted, isa_names[i]) == 0 && pn_isa_supported((pn_isa)i)) return (pn_isa)i;
    }
    pn_log(PUNA_LOG_WARN, "PUNA_ISA=%.32s is unknown or not supported by this CPU; using %s",
           wanted, isa_names[best]);
    return best;
}
