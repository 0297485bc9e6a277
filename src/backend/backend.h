/* backend.h: what a device must do to run plans: five functions. The CPU is the first (src/cpu).
 *
 * A device owns the workspace, its scratch memory and the KV pages; which page belongs to whom
 * is decided by the engine (src/run), which hands page numbers in with each batch. */
#ifndef PN_BACKEND_BACKEND_H
#define PN_BACKEND_BACKEND_H

#include "plan/plan.h"

#include <stdatomic.h>

#define PN_PAGE_POSITIONS 64 /* positions of one KV page */

typedef struct pn_device_config {
    int32_t n_batch;  /* rows of a batch at most */
    int32_t n_logits; /* rows of logits held at once; more are handed over block by block */
    int32_t n_pages;  /* KV pages */
    int32_t n_ctx;    /* positions of one sequence at most */
    int32_t n_threads;
    puna_kv_type kv_type;
} pn_device_config;

/* What a device allocates, by purpose, in bytes. */
typedef struct pn_device_memory {
    uint64_t kv_bytes, kv_bytes_per_page;
    uint64_t activations_bytes, logits_bytes, scratch_bytes;
} pn_device_memory;

/* The logits [n_vocab] of batch row logit_rows[index], valid during the call. Called in
 * ascending order on the thread that called run. */
typedef void (*pn_logits_fn)(void *user, int32_t index, const float *logits);

/* Rows of one sequence are consecutive and in position order. */
typedef struct pn_batch {
    int32_t n_rows;
    const int32_t *tokens;       /* [n_rows] */
    const int32_t *positions;    /* [n_rows] */
    const int32_t *seqs;         /* [n_rows] index into pages */
    const int32_t *const *pages; /* pages[seq][position / PN_PAGE_POSITIONS] */
    int32_t n_logits;
    const int32_t *logit_rows; /* [n_logits], ascending */
    pn_logits_fn on_logits;    /* not NULL when n_logits > 0 */
    void *user;                /* handed to on_logits and progress */
    const atomic_bool *cancel; /* looked at between operations */
    bool (*progress)(void *user,
                     double fraction); /* share of this batch done; false cancels; may be NULL */
} pn_batch;

typedef struct pn_device pn_device;

typedef struct pn_backend {
    const char *name;
    void (*memory)(const pn_plan *plan, const pn_device_config *config, pn_device_memory *memory);
    /* plan must outlive the device. */
    puna_status (*open)(const pn_plan *plan, const pn_device_config *config, pn_device **device,
                        puna_error *err);
    void (*close)(pn_device *device);
    /* Computes a batch. PUNA_E_CANCELLED leaves the pages of the batch's positions undefined. */
    puna_status (*run)(pn_device *device, const pn_batch *batch, puna_error *err);
    /* Copies one page in all layers. */
    void (*copy_page)(pn_device *device, int32_t from, int32_t to);
} pn_backend;

/* The CPU backend (src/cpu/device.c). */
extern const pn_backend pn_backend_cpu;

#endif
