/* backend.h: what a device must do to run plans. The CPU is the first (src/cpu).
 *
 * A device owns the workspace, its scratch memory and the KV pages; which page belongs to whom
 * is decided by the engine (src/run), which hands page numbers in with each batch.
 *
 * A device need not know whether its plan is a whole model or a part of one (plan/cut.c). Before the
 * first operation it copies the values that enter from batch->entering, after the last one those that
 * leave to batch->leaving; nothing of a batch without outputs enters or leaves behind SELECT, and a part
 * that begins there is not run for it. Several devices are one to the engine through run/parts.c. */
#ifndef PN_BACKEND_BACKEND_H
#define PN_BACKEND_BACKEND_H

#include "backend/batch.h"
#include "plan/plan.h"

_Static_assert((int)PN_KV_F16 == (int)PUNA_KV_F16 && (int)PN_KV_F32 == (int)PUNA_KV_F32 &&
                   (int)PN_KV_Q8_0 == (int)PUNA_KV_Q8_0,
               "ORDER puna_kv_type");

typedef struct pn_device_config {
    int32_t n_batch;  /* rows of a batch at most */
    int32_t n_logits; /* rows of logits held at once; more are handed over block by block */
    int32_t n_picks;  /* rows of a batch of which less than all logits may be wanted */
    int32_t n_pages;  /* KV pages */
    int32_t n_ctx;    /* positions of one sequence at most */
    int32_t n_threads;
    pn_kv_type kv_type;
    int32_t card; /* the number of the card, for a backend of cards */
    /* Share of the weights brought to a card by open, on the thread that called it; false stops with
     * PUNA_E_CANCELLED. May be NULL. */
    puna_progress_fn progress;
    void *progress_user;
} pn_device_config;

/* What a device allocates, by purpose, in bytes. */
typedef struct pn_device_memory {
    uint64_t weights_bytes; /* copies of weights; 0 where they are read in the mapped file */
    uint64_t kv_bytes, kv_bytes_per_page;
    uint64_t activations_bytes, logits_bytes, scratch_bytes;
    uint64_t host_bytes; /* memory of the machine, where the rest is on a card */
} pn_device_memory;

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
    puna_status (*copy_page)(pn_device *device, int32_t from, int32_t to, puna_error *err);
    /* The first n_positions of a page as rows of kv_bytes_per_page / PN_PAGE_POSITIONS bytes, and
     * back. A row holds for each layer in turn: keys [n_head_kv][head_dim], values the same, in the
     * KV type (q8_0: int8), then for q8_0 the float32 scales [n_head_kv][groups of 32 dimensions]
     * of the keys and of the values. What is written is read back as it was, bit for bit. */
    puna_status (*read_page)(pn_device *device, int32_t page, int32_t n_positions, void *rows,
                             puna_error *err);
    puna_status (*write_page)(pn_device *device, int32_t page, int32_t n_positions,
                              const void *rows, puna_error *err);
} pn_backend;

/* Rows of the values that enter or leave a part of a plan with this batch. */
static inline int32_t pn_rows_entering(const pn_plan *plan, const pn_batch *batch) {
    return plan->begins_selected ? batch->n_outputs : batch->n_rows;
}
static inline int32_t pn_rows_leaving(const pn_plan *plan, const pn_batch *batch) {
    return plan->ends_selected ? batch->n_outputs : batch->n_rows;
}

/* The CPU backend (src/cpu/device.c). */
extern const pn_backend pn_backend_cpu;

#endif
