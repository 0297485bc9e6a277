/* device.h: what the files of the CPU backend share: the device and the walk of one batch.
 *
 * device.c owns memory and the entry points, exec.c computes the operations, moe.c the mixture of
 * experts, rope.c the rotation tables, kv_rows.c what is saved of the KV pages. */
#ifndef PN_CPU_DEVICE_H
#define PN_CPU_DEVICE_H

#include "base/threads.h"
#include "backend/backend.h"
#include "cpu/kernels.h"

/* One aligned block per purpose; sizes by pn_cpu_layout, which is also what pn_backend.memory
 * reports. */
typedef struct pn_cpu_layout {
    size_t kv_bytes, page_bytes; /* page_bytes: one page in all layers */
    size_t work_bytes;           /* values of the plan */
    size_t logits_bytes;
    size_t acts_bytes;   /* packed activations */
    size_t thread_bytes; /* matmul scratch of one thread */
    size_t attn_bytes;
    size_t rope_bytes; /* cos and sin of the batch's rows, then the frequencies of each rope */
    size_t moe_bytes;
} pn_cpu_layout;

struct pn_device {
    const pn_plan *plan;
    const pn_kernels *kernels;
    pn_device_config config;
    pn_cpu_layout layout;
    pn_team *team;
    size_t *kv_offsets;    /* [n_attns] start of each layer's pages */
    size_t *kv_page_bytes; /* [n_attns] */
    unsigned char *kv;
    float *work;
    float *logits; /* [config.n_logits][n_vocab] */
    unsigned char *acts;
    unsigned char *scratch; /* [n_threads][thread_bytes] */
    float *attn_scratch;
    float *rope;            /* [n_ropes][n_batch][n_rot max] cos, sin pairs */
    double *rope_freqs;     /* [n_ropes][n_rot max / 2] radians per position */
    float *rope_magnitudes; /* [n_ropes] */
    int32_t max_rot;
    void *moe;

    /* the batch being computed; written by thread 0 between runs */
    const pn_batch *batch;
    bool stop[2]; /* thread 0's decision after an even or odd operation; read after the barrier that
                     follows */
};

/* One thread's view of the walk. */
typedef struct pn_walk {
    pn_device *dev;
    int32_t thread, n_threads;
    int32_t n_rows; /* of the values now: the batch's rows, after SELECT its outputs */
} pn_walk;

static inline float *pn_cpu_value(const pn_device *dev, pn_value v) {
    return dev->work + dev->plan->values[v].offset * dev->config.n_batch;
}
static inline int32_t pn_cpu_width(const pn_device *dev, pn_value v) {
    return dev->plan->values[v].width;
}

/* out[i] = mm[i] applied to rows of x, on all threads; ends with a barrier. row_index picks rows of
 * x or is NULL. */
void pn_cpu_matmul(const pn_walk *walk, const float *x, size_t ld_x, const int32_t *row_index,
                   int32_t n_rows, int32_t n_in, const pn_matmul *mm, int32_t n_mm);
/* gate = act(gate) * up over n floats, on all threads; ends with a barrier. */
void pn_cpu_glu(const pn_walk *walk, pn_activation act, const float *gate, const float *up,
                float *out, size_t n);

size_t pn_cpu_moe_bytes(const pn_plan *plan, int32_t n_batch);
void pn_cpu_moe(const pn_walk *walk, const pn_op *op);

/* Fills the device's frequencies and magnitudes from the plan's ropes. */
void pn_cpu_rope_init(pn_device *dev);
/* cos and sin of every rope for batch row `row`. */
void pn_cpu_rope_row(pn_device *dev, int32_t row);
static inline float *pn_cpu_rope_at(const pn_device *dev, int32_t rope, int32_t row) {
    return dev->rope +
           ((size_t)rope * (size_t)dev->config.n_batch + (size_t)row) * (size_t)dev->max_rot;
}

/* read_page and write_page of the backend. */
puna_status pn_cpu_read_page(pn_device *dev, int32_t page, int32_t n_positions, void *rows,
                             puna_error *err);
puna_status pn_cpu_write_page(pn_device *dev, int32_t page, int32_t n_positions, const void *rows,
                              puna_error *err);

/* Walks the whole plan; called on every thread of the team. */
void pn_cpu_walk(void *device, int32_t thread, int32_t n_threads);

#endif
