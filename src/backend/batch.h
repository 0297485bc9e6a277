/* batch.h: the rows of one batch, and the pages of the KV cache they refer to. */
#ifndef PN_BACKEND_BATCH_H
#define PN_BACKEND_BATCH_H

#include "backend/pick.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PN_PAGE_POSITIONS 64 /* positions of one KV page */

/* ORDER puna_kv_type */
typedef enum pn_kv_type { PN_KV_F16 = 0, PN_KV_F32 = 1, PN_KV_Q8_0 = 2 } pn_kv_type;

/* Values of one batch row, valid during the call: logits [n_vocab], or the hidden state [n_embd]
 * that the LOGITS operation reads. */
typedef void (*pn_row_fn)(void *user, int32_t row, const float *values);

/* What was picked of a row's logits, valid during the call. False: that does not do, all of them are
 * wanted after all, and on_logits gets them next. */
typedef bool (*pn_picked_fn)(void *user, int32_t row, const pn_picked *picked);

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
    /* [n_logits] what of each of these rows is wanted, in place of all; NULL: all of all. A device
     * may hand over the whole row in any case (the CPU does: there it costs nothing). */
    const pn_pick *picks;
    pn_picked_fn on_picked; /* not NULL where picks is not */
    /* Where the plan is a part of a model's: the values that enter and leave it, in its order, each
     * [rows][width]. */
    const float *const *entering;
    float *const *leaving;
    void *user;                /* handed to on_hidden, on_logits, on_picked and progress */
    const atomic_bool *cancel; /* looked at between operations */
    bool (*progress)(void *user,
                     double fraction); /* share of this batch done; false cancels; may be NULL */
} pn_batch;

#endif
