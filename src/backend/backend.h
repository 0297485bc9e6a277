/* backend.h: what a device must do to run plans. The CPU is the first (src/cpu).
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

/* Values of one batch row, valid during the call: logits [n_vocab], or the hidden state [n_embd]
 * that the LOGITS operation reads. */
typedef void (*pn_row_fn)(void *user, int32_t row, const float *values);

/* Rows of one sequence are consecutive and in position order. All that is handed out comes in
 * ascending order of rows, on the thread that called run, hidden states before logits. */
typedef struct pn_batch {
    int32_t n_rows;
    const int32_t *tokens;       /* [n_rows] */
    const int32_t *positions;    /* [n_rows] */
    const int32_t *seqs;         /* [n_rows] index into pages */
    const int32_t *const *pages; /* pages[seq][position / PN_PAGE_POSITIONS] */
    int32_t n_outputs;
    const int32_t *output_rows; /* [n_outputs] the rows that SELECT keeps, ascending */
    int32_t n_hidden;
    const int32_t *hidden_outputs; /* [n_hidden] indices into output_rows, ascending */
    pn_row_fn on_hidden;           /* not NULL when n_hidden > 0 */
    int32_t n_logits;
    const int32_t *logit_outputs; /* [n_logits] indices into output_rows, ascending; no other row
                                     costs a product with the vocabulary */
    pn_row_fn on_logits;          /* not NULL when n_logits > 0 */
    void *user;                   /* handed to on_hidden, on_logits and progress */
    const atomic_bool *cancel;    /* looked at between operations */
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
    /* The first n_positions of a page as rows of kv_bytes_per_page / PN_PAGE_POSITIONS bytes, and
     * back. A row holds for each layer in turn: keys [n_head_kv][head_dim], values the same, in the
     * KV type (q8_0: int8), then for q8_0 the float32 scales [n_head_kv][groups of 32 dimensions]
     * of the keys and of the values. What is written is read back as it was, bit for bit. */
    void (*read_page)(pn_device *device, int32_t page, int32_t n_positions, void *rows);
    void (*write_page)(pn_device *device, int32_t page, int32_t n_positions, const void *rows);
} pn_backend;

/* The CPU backend (src/cpu/device.c). */
extern const pn_backend pn_backend_cpu;

#endif
