/* stand_in_nvrtc.h: how a test looks into the library that stands in for libnvrtc (the symbol pn_stand_in_nvrtc), and
 * makes it fail. */
#ifndef PN_TESTS_STAND_IN_NVRTC_H
#define PN_TESTS_STAND_IN_NVRTC_H

typedef struct stand_in_nvrtc {
    int major, minor;
    int archs[4], n_archs;
    /* nvrtcResult of these calls */
    int create_result, compile_result, code_result, version_result;
    const char *log;
    /* what has been done */
    int n_compiles, n_programs, n_headers;
    char options[256]; /* of the last compilation, each with a space behind it */
} stand_in_nvrtc;

#endif
