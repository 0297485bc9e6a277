/* walk.h: what the files that launch kernels share: walk.c for the operations one by one, row_stages.c for
 * those that touch one row at a time, graphs.c for all of them at once. */
#ifndef PN_CUDA_WALK_H
#define PN_CUDA_WALK_H

#include "cuda/cuda_device.h"

/* A batch on its way through the plan. */
typedef struct pn_cuda_pass {
    pn_device *dev;
    const pn_batch *batch;
    int32_t end;      /* operations before this one are run */
    int32_t n_rows;   /* of the values now */
    int32_t n_chunks; /* room for them in the partial sums when attention is split, else 0 */
    int32_t n_groups[PN_CUDA_N_GROUP_SIZES];
    pn_value quantized[2]; /* the value of which acts 0 and 1 hold all rows, or -1 */
} pn_cuda_pass;

/* Runs the operation at i, or several; *next gets the one after them. */
puna_status pn_cuda_step(pn_cuda_pass *pass, int32_t i, int32_t *next, puna_error *err);

/* Runs the operations before the logits as a graph, if there is one of this shape or one can be made; *next gets
 * the operation that is next. False: nothing was run. */
bool pn_cuda_replay(pn_cuda_pass *pass, int32_t *next);

puna_status pn_cuda_launch(const pn_cuda_pass *pass, void *kernel, const uint32_t grid[3],
                           uint32_t n_threads, size_t shared_bytes, const void *args,
                           const pn_op *op, puna_error *err);

/* The address of a value's rows. */
uint64_t pn_cuda_value(const pn_cuda_pass *pass, pn_value value);

/* How operation i wants its input quantised, if it is before the end and does: acts[0] and acts[1], q NULL
 * where not wanted; what is wanted counts as done. */
void pn_cuda_wanted_acts(pn_cuda_pass *pass, int32_t i, pn_value value, pn_cuda_acts acts[2]);

/* KV pages of the layer of a KV_STORE or ATTENTION. */
pn_cuda_kv pn_cuda_kv_of(const pn_cuda_pass *pass, const pn_op *op);

/* Runs the operation at i, which is BY_ROW and not EMBED, and as many after it as one kernel can take;
 * *next gets the operation after them. */
puna_status pn_cuda_row_stage(pn_cuda_pass *pass, int32_t i, int32_t *next, puna_error *err);

#endif
