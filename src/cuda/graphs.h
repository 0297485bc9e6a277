/* graphs.h: decode steps kept as CUDA graphs (graphs.c). */
#ifndef PN_CUDA_GRAPHS_H
#define PN_CUDA_GRAPHS_H

#include "plan/plan.h"

enum { PN_CUDA_N_GRAPHS = 16, PN_CUDA_GRAPH_ROWS = 64, PN_CUDA_N_GROUP_SIZES = 4 };

/* All that the kernels of a batch, their grids and their arguments depend on besides the device. What is
 * equal here is launched in the same way; tokens, positions, page tables and rows are read on the card. */
typedef struct pn_cuda_shape {
    int32_t n_rows, n_values, n_outputs, n_chunks, wants_logits; /* n_values: rows that enter */
    int32_t n_groups[PN_CUDA_N_GROUP_SIZES];
} pn_cuda_shape;

typedef struct pn_cuda_graph {
    pn_cuda_shape shape;
    void *exec;            /* NULL: seen once, not captured yet */
    uint64_t used;         /* when, by the count of batches; 0: an empty place */
    int32_t n_rows;        /* of the values after it */
    pn_value quantized[2]; /* likewise (pn_cuda_pass) */
} pn_cuda_graph;

typedef struct pn_cuda_graphs {
    pn_cuda_graph all[PN_CUDA_N_GRAPHS];
    uint64_t n_batches;
    int32_t n_failures;
} pn_cuda_graphs;

#endif
