/* cuda_device.h: what the host files of the CUDA backend share.
 *
 * cuda_device.c owns the device: its memory plan, opening, pages; upload.c brings the weights; walk.c and
 * row_stages.c compute a batch; driver.c speaks to the driver. Addresses on the card are uint64_t: the host cannot follow them. */
#ifndef PN_CUDA_CUDA_DEVICE_H
#define PN_CUDA_CUDA_DEVICE_H

#include "backend/kv_rows.h"
#include "cuda/card.h"
#include "cuda/args.h"
#include "cuda/graphs.h"
#include "cuda/kernel_image.h"
#include "cuda/repack.h"

typedef struct pn_cuda_weight {
    const pn_weight *w;
    const pn_cuda_format *format;
    uint64_t address, expert_bytes;
    uint32_t row_bytes;
    void *few_1, *few_8, *many, *embed; /* kernels */
} pn_cuda_weight;

/* What an operation of the plan needs on the card. */
typedef struct pn_cuda_op {
    const pn_cuda_weight *w[3], *router;
    uint64_t bias[3], norm; /* 0: none */
} pn_cuda_op;

enum { PN_CUDA_SPLIT_ROWS = 8 };

/* The lists of a batch of n rows: one block that is filled on the host and copied as a whole. Offsets in bytes. */
typedef struct pn_cuda_lists {
    size_t tokens, positions, seqs, outputs, logits; /* int32 [n] */
    size_t groups[PN_CUDA_N_GROUP_SIZES]; /* int32 [n][2]: rows in groups of up to 8 >> i */
    size_t ropes, rope_bytes;             /* float [n_ropes][n][max_rot]; of one rope */
    size_t tables;                        /* int32 [sequences, at most n_tables][table_width] */
} pn_cuda_lists;

/* The memory for what is picked of logits (pick.c), in bytes. */
typedef struct pn_cuda_pick_sizes {
    size_t maxima_at, sums_at, out_at, out_bytes;
    size_t bytes, host_bytes;
} pn_cuda_pick_sizes;

/* Every block on the card, in bytes. What `memory` promises is what `open` takes. */
typedef struct pn_cuda_sizes {
    size_t weights, vectors;
    size_t ring;     /* of each staging buffer on the host, while weights come */
    size_t page, kv; /* of all layers */
    size_t work, logits;
    size_t acts_q[2], acts_sums[2], acts_d[2]; /* for weights in blocks of 32, of 256 */
    size_t partials;
    size_t moe_scores, moe_pairs, moe_first, moe_ff, moe_down; /* pairs: each of four lists */
    size_t lists;
    pn_cuda_pick_sizes picks;
    int32_t n_tables, table_width, max_rot;
} pn_cuda_sizes;

/* Functions of the module that are not one per format. */
typedef struct pn_cuda_kernels {
    void *quantize, *glu, *cap, *select, *attention_merge;
    void *route, *group, *combine;
    void *pick_blocks, *pick;
    void *rows, *attention_128, *attention_256, *attention_512; /* by the size of a head */
} pn_cuda_kernels;

struct pn_device {
    const pn_plan *plan;
    pn_device_config config;
    pn_cuda_sizes sizes;
    pn_cuda_driver driver;
    pn_cuda_card card;
    int ordinal_device;
    void *context, *module, *stream;
    bool has_context;
    pn_cuda_kernels kernels;
    pn_cuda_lists batch_lists; /* of the batch under way */
    pn_cuda_graphs graphs;
    pn_cuda_weight *weights; /* [plan->n_weights] */
    pn_cuda_op *ops;         /* [plan->n_ops] */
    uint64_t *kv;            /* [plan->n_attns] pages of each layer */
    uint64_t vectors, work, logits, partials, lists, picks;
    uint64_t acts_q[2], acts_sums[2], acts_d[2]; /* for weights in blocks of 32, of 256 */
    uint64_t moe_scores, moe_chosen, moe_weights, moe_places, moe_rows, moe_first;
    uint64_t moe_gate, moe_up, moe_down;
    unsigned char *host_lists; /* pinned, sizes.lists */
    unsigned char *host_picks; /* pinned, sizes.picks.host_bytes */
    int32_t n_picks;           /* rows of the batch of which only a part comes back */
    unsigned char *host_out;   /* pinned: rows that come back */
    size_t host_out_bytes;
    double *rope_freqs;     /* [n_ropes][max_rot / 2] */
    float *rope_magnitudes; /* [n_ropes] */
};

/* Pointers for the arguments of kernels. */
static inline void *pn_cuda_pointer(uint64_t address) {
    return (void *)(uintptr_t)address;
}

static inline pn_cuda_acts pn_cuda_acts_of(const pn_device *dev, bool is_256) {
    return (pn_cuda_acts){.q = pn_cuda_pointer(dev->acts_q[is_256]),
                          .sum_16 = pn_cuda_pointer(dev->acts_sums[is_256]),
                          .d = pn_cuda_pointer(dev->acts_d[is_256])};
}

/* cos and sin of the rows of the batch for a rope of the plan, on the card: [row][n_rot]. */
static inline uint64_t pn_cuda_rope_table(const pn_device *dev, int32_t rope) {
    return dev->lists + dev->batch_lists.ropes + (uint64_t)rope * dev->batch_lists.rope_bytes;
}

/* Chunks of the longest context. */
static inline int32_t pn_cuda_max_chunks(int32_t n_ctx) {
    return (n_ctx + PN_CUDA_CHUNK - 1) / PN_CUDA_CHUNK;
}

/* Copies all weights and vectors to their addresses, through PN_CUDA_RING_BUFFERS buffers of sizes.ring bytes:
 * what pn_cuda_ring_bytes says for the largest weight, and at least its row. */
enum { PN_CUDA_RING_BUFFERS = 3 };
size_t pn_cuda_ring_bytes(size_t weight_bytes, size_t row_bytes);
puna_status pn_cuda_upload(pn_device *dev, puna_error *err);

/* Gives back what is kept for replaying. The stream is idle. */
void pn_cuda_forget_graphs(pn_device *dev);

/* Computes the batch whose lists are in host_lists. */
puna_status pn_cuda_walk(pn_device *dev, const pn_batch *batch, puna_error *err);

/* Where the lists of a batch of n_rows lie. */
pn_cuda_lists pn_cuda_lists_of(const pn_plan *plan, int32_t max_rot, int32_t n_rows);
/* Fills host_lists from the batch; *bytes gets how many of them are used. */
void pn_cuda_fill_lists(pn_device *dev, const pn_batch *batch, size_t *bytes);

/* Logits leave the card (pick.c). Sends what is wanted of them, with the batch. */
pn_cuda_pick_sizes pn_cuda_measure_picks(const pn_plan *plan, const pn_device_config *config);
puna_status pn_cuda_send_picks(pn_device *dev, const pn_batch *batch, puna_error *err);
/* Picks from the rows [at, at + n) of the batch's logits, which are at dev->logits. */
puna_status pn_cuda_pick_rows(pn_device *dev, const pn_batch *batch, int32_t at, int32_t n,
                              puna_error *err);
/* Reads back what is wanted of these rows, waits for it and hands it out. */
puna_status pn_cuda_hand_out_logits(pn_device *dev, const pn_batch *batch, int32_t at, int32_t n,
                                    puna_error *err);

#endif
