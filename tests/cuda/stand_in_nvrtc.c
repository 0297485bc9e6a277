/* stand_in_nvrtc.c: the functions of NVRTC that src/cuda uses. What is "compiled" is the source with the options before
 * it. */
#include "stand_in_nvrtc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT stand_in_nvrtc pn_stand_in_nvrtc = {.major = 12,
                                           .minor = 9,
                                           .archs = {70, 75, 80, 90},
                                           .n_archs = 4,
                                           .log = "kernels.cu(1): error: it is wrong\nmore\n"};
#define self pn_stand_in_nvrtc

typedef struct program {
    char *text;
} program;

EXPORT int nvrtcVersion(int *major, int *minor) {
    *major = self.major;
    *minor = self.minor;
    return self.version_result;
}
EXPORT int nvrtcGetNumSupportedArchs(int *n) {
    *n = self.n_archs;
    return 0;
}
EXPORT int nvrtcGetSupportedArchs(int *archs) {
    memcpy(archs, self.archs, (size_t)self.n_archs * sizeof *archs);
    return 0;
}
EXPORT int nvrtcCreateProgram(void **out, const char *text, const char *name, int n_headers,
                              const char *const *texts, const char *const *names) {
    (void)name;
    for (int i = 0; i < n_headers; i++)
        if (!texts[i] || !names[i]) abort();
    self.n_headers = n_headers;
    if (self.create_result) return self.create_result;
    program *p = calloc(1, sizeof *p);
    p->text = strdup(text);
    self.n_programs++;
    *out = p;
    return 0;
}
EXPORT int nvrtcDestroyProgram(void **out) {
    program *p = *out;
    free(p->text);
    free(p);
    *out = NULL;
    self.n_programs--;
    return 0;
}
EXPORT int nvrtcCompileProgram(void *in, int n_options, const char *const *options) {
    program *p = in;
    self.n_compiles++;
    self.options[0] = 0;
    for (int i = 0; i < n_options; i++) {
        strcat(self.options, options[i]);
        strcat(self.options, " ");
    }
    if (self.compile_result) return self.compile_result;
    const size_t bytes = strlen(self.options) + strlen(p->text) + 1;
    char *made = calloc(1, bytes);
    (void)snprintf(made, bytes, "%s%s", self.options, p->text);
    free(p->text);
    p->text = made;
    return 0;
}
EXPORT int nvrtcGetProgramLogSize(void *in, size_t *bytes) {
    (void)in;
    *bytes = strlen(self.log) + 1;
    return 0;
}
EXPORT int nvrtcGetProgramLog(void *in, char *log) {
    (void)in;
    strcpy(log, self.log);
    return 0;
}
EXPORT int nvrtcGetCUBINSize(void *in, size_t *bytes) {
    *bytes = strlen(((program *)in)->text) + 1;
    return 0;
}
EXPORT int nvrtcGetCUBIN(void *in, char *code) {
    strcpy(code, ((program *)in)->text);
    return self.code_result;
}
EXPORT int nvrtcGetPTXSize(void *in, size_t *bytes) {
    return nvrtcGetCUBINSize(in, bytes);
}
EXPORT int nvrtcGetPTX(void *in, char *code) {
    return nvrtcGetCUBIN(in, code);
}
