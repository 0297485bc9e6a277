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
#include "cuda/driver_functions.def"
#undef FUNCTION
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

/* The first max cards into cards (may be NULL when max is 0); *n gets how many there are. Free memory is
 * looked up when with_memory, which takes a context on each card. */
puna_status pn_cuda_cards(const pn_cuda_driver *driver, pn_cuda_card *cards, int32_t max,
                          int32_t *n, bool with_memory, puna_error *err);

/* PUNA_OK for result 0, else what was being done and what the driver says. */
puna_status pn_cuda_check(const pn_cuda_driver *driver, int result, const char *doing,
                          puna_error *err);

#endif
