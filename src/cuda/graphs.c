/* graphs.c: the kernels of a decode step as one CUDA graph, so that the card does not wait for the host between them.
 *
 * A step before its logits is the same row of launches for every batch of one shape (pn_cuda_shape): what differs
 * lies in the lists on the card. A shape that comes for the second time is captured, which runs nothing, and from
 * then on replayed. The shapes used last are kept. Whatever fails here leaves the step to plain launches, which
 * compute the same; after a few failures nothing is captured any more. */
#include "cuda/walk.h"

#include <string.h>

enum { MAX_FAILURES = 3 };
enum { CAPTURE_THREAD_LOCAL = 1 }; /* CUstreamCaptureMode */

/* The operations that a graph of this batch has: those before the logits or, when nothing is wanted, before the
 * rows are selected. */
static int32_t find_end(const pn_cuda_pass *pass) {
    const pn_op *ops = pass->dev->plan->ops;
    int32_t i = 0;
    while (i < pass->end && ops[i].kind != PN_OP_LOGITS &&
           !(ops[i].kind == PN_OP_SELECT && pass->batch->n_outputs == 0))
        i++;
    return i;
}

static pn_cuda_shape shape_of(const pn_cuda_pass *pass) {
    pn_cuda_shape shape = {.n_rows = pass->batch->n_rows,
                           .n_values = pass->n_rows,
                           .n_outputs = pass->batch->n_outputs,
                           .n_chunks = pass->n_chunks,
                           .wants_logits = pass->batch->n_logits > 0};
    memcpy(shape.n_groups, pass->n_groups, sizeof shape.n_groups);
    return shape;
}

static void forget(const pn_device *dev, pn_cuda_graph *graph) {
    if (graph->exec) (void)dev->driver.graph_exec_destroy(graph->exec);
    *graph = (pn_cuda_graph){.used = 0};
}

/* The graph of a shape, or the place for it: an empty one, or that of the one used longest ago. */
static pn_cuda_graph *look_for(pn_device *dev, const pn_cuda_shape *shape) {
    pn_cuda_graph *oldest = &dev->graphs.all[0];
    for (int32_t i = 0; i < PN_CUDA_N_GRAPHS; i++) {
        pn_cuda_graph *graph = &dev->graphs.all[i];
        if (graph->used > 0 && memcmp(&graph->shape, shape, sizeof *shape) == 0) return graph;
        if (graph->used < oldest->used) oldest = graph;
    }
    forget(dev, oldest);
    oldest->shape = *shape;
    return oldest;
}

static puna_status launch_all(pn_cuda_pass *pass, int32_t end) {
    puna_error unsaid;
    for (int32_t i = 0; i < end;) PN_TRY(pn_cuda_step(pass, i, &i, &unsaid));
    return PUNA_OK;
}

/* Records the operations before `end`. False when that cannot be; nothing has run in either case. */
static bool capture(const pn_cuda_pass *pass, int32_t end, pn_cuda_graph *graph) {
    const pn_cuda_driver *d = &pass->dev->driver;
    pn_cuda_pass recorded = *pass;
    void *captured = NULL;
    if (d->capture_begin(pass->dev->stream, CAPTURE_THREAD_LOCAL) != 0) return false;
    const puna_status status = launch_all(&recorded, end);
    int result = d->capture_end(pass->dev->stream, &captured);
    if (result == 0 && status == PUNA_OK && captured)
        result = d->graph_instantiate(&graph->exec, captured, 0);
    if (captured) (void)d->graph_destroy(captured);
    if (result != 0) graph->exec = NULL;
    graph->n_rows = recorded.n_rows;
    memcpy(graph->quantized, recorded.quantized, sizeof graph->quantized);
    return graph->exec != NULL;
}

static bool can_capture(const pn_device *dev) {
    const pn_cuda_driver *d = &dev->driver;
    return dev->graphs.n_failures < MAX_FAILURES && d->capture_begin && d->capture_end &&
           d->graph_instantiate && d->graph_launch && d->graph_destroy && d->graph_exec_destroy;
}

bool pn_cuda_replay(pn_cuda_pass *pass, int32_t *next) {
    pn_device *dev = pass->dev;
    pn_cuda_graphs *graphs = &dev->graphs;
    const int32_t end = find_end(pass);
    if (pass->batch->progress || pass->n_rows > PN_CUDA_GRAPH_ROWS || end == 0 || !can_capture(dev))
        return false;
    const pn_cuda_shape shape = shape_of(pass);
    pn_cuda_graph *graph = look_for(dev, &shape);
    const bool is_known = graph->used > 0;
    graph->used = ++graphs->n_batches;
    if (!is_known) return false;
    if ((!graph->exec && !capture(pass, end, graph)) ||
        dev->driver.graph_launch(graph->exec, dev->stream) != 0) {
        graphs->n_failures++;
        forget(dev, graph);
        return false;
    }
    pass->n_rows = graph->n_rows;
    memcpy(pass->quantized, graph->quantized, sizeof pass->quantized);
    *next = end;
    return true;
}

void pn_cuda_forget_graphs(pn_device *dev) {
    for (int32_t i = 0; i < PN_CUDA_N_GRAPHS; i++) forget(dev, &dev->graphs.all[i]);
}
