/* driver.h: the CUDA driver, opened when it is asked for: nothing is linked, so the same program runs
 * where there is none. Every failure becomes a puna_status with words. */
#ifndef PN_CUDA_DRIVER_H
#define PN_CUDA_DRIVER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pn_cuda_driver {
    void *library;
#define FUNCTION(member, symbol, parameters) int(*member) parameters;
#define OPTIONAL(member, symbol, parameters) int(*member) parameters;
#include "cuda/driver_functions.def"
#undef FUNCTION
#undef OPTIONAL
    int version; /* 1000 * major + 10 * minor of CUDA */
} pn_cuda_driver;

/* What the driver knows of a card. */
typedef struct pn_cuda_card {
    char name[128];
    int32_t ordinal;
    int32_t compute; /* 10 * major + minor of its compute capability */
    int32_t n_multiprocessors;
    int32_t driver_version;
    uint64_t total_bytes, free_bytes;
} pn_cuda_card;

/* Opens libcuda.so.1 and starts it. A half-opened driver may be closed. */
puna_status pn_cuda_driver_open(pn_cuda_driver *driver, puna_error *err);
void pn_cuda_driver_close(pn_cuda_driver *driver);

/* How many cards there are; none is an error. */
puna_status pn_cuda_count(const pn_cuda_driver *driver, int32_t *n, puna_error *err);
/* What card `ordinal` is. Free memory is looked up when with_memory, which takes a context on it. */
puna_status pn_cuda_look(const pn_cuda_driver *driver, int32_t ordinal, bool with_memory,
                         pn_cuda_card *card, puna_error *err);

/* PUNA_OK for result 0, else what was being done and what the driver says. */
puna_status pn_cuda_check(const pn_cuda_driver *driver, int result, const char *doing,
                          puna_error *err);

#endif
