/* args.h: what the host (C) and the kernels (CUDA C++) agree on: the layout of weights on the card, the
 * arguments of every kernel, and the sizes of their blocks.
 *
 * Weights of integer codes lie on the card row by row, a row in planes, so that a lane gets the 32 codes of
 * its sub-block with one aligned load and neighbours read neighbouring bytes:
 *
 *   low       [group][8 subs][4 * low_bits bytes]
 *   high      [group][8 subs][4 * high_bits bytes]
 *   scales    [group][256 / sub_weights] int8         blocks of 256
 *   minimums  the same, where the format has them
 *   heads     half float d, then dmin or m where there is one: per group (blocks of 256) or per sub
 *
 * Each plane begins at a multiple of 16. A row is filled up to whole groups of 256 with zeros.
 * Codes c[0..31] of a sub within its bytes:
 *   4 bits   byte j: c[j] in bits 3..0, c[j + 16] in bits 7..4
 *   2 bits   byte j (0..7): c[j + 8 k] in bits 2k + 1 .. 2k
 *   1 bit    bit i of the 32-bit word: c[i]
 *   8 bits   byte j: c[j]
 *
 * Float weights: groups of 128, lane l of 16 finds its weights l, l + 16, ... l + 112 together:
 * [group][16 lanes][8] elements, because lanes are summed apart (linear_float.cu). */
#ifndef PN_CUDA_ARGS_H
#define PN_CUDA_ARGS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define PN_BOTH __host__ __device__
#else
#define PN_BOTH
#endif

enum {
    PN_CUDA_GROUP = 256,
    PN_CUDA_SUBS = 8,
    PN_CUDA_FLOAT_GROUP = 128,
    PN_CUDA_FEW = 8,           /* rows of activations that one pass of the few kernel takes */
    PN_CUDA_FEW_WARPS = 4,     /* rows of weights of a block there */
    PN_CUDA_MANY_COLUMNS = 64, /* rows of activations of a block of the many kernel */
    PN_CUDA_MANY_ROWS = 64,    /* rows of weights */
    PN_CUDA_FLOAT_ROWS = 8,  /* rows of weights of a block of the float kernel: half a warp each */
    PN_CUDA_BLOCK = 128,     /* threads of a block, except */
    PN_CUDA_ROW_BLOCK = 256, /* of a row stage */
    PN_CUDA_ROW_OPS = 8,     /* operations of a row stage */
    PN_CUDA_ROW_FLOATS = 11264, /* values of a row that one keeps in shared memory */
    PN_CUDA_PARTS = 3,          /* matrices of one product */
    PN_CUDA_QUERIES = 8,        /* of one block of attention */
    PN_CUDA_CHUNK = 256,        /* positions whose values are summed from nothing; then merged */
    PN_CUDA_PAGE = 64,
    PN_CUDA_MAX_HEAD = 512,
    PN_CUDA_MAX_EXPERTS = 1024,
    PN_CUDA_MAX_USED = 64,
    PN_CUDA_PICK_THREADS = 512, /* of the block that picks from a row of logits */
    PN_CUDA_PICK_BLOCK = 64     /* logits whose maximum and sum are kept: PN_PICK_BLOCK */
};

/* Shared memory of the blocks; the kernels check that it is what they use. */
#define PN_CUDA_ONE_BYTES(is_256)                                                                  \
    (PN_CUDA_FEW_WARPS * 16u * 16u * ((is_256) ? 1u : PN_CUDA_SUBS + 1u))
#define PN_CUDA_FEW_BYTES                                                                          \
    (PN_CUDA_FEW_WARPS * 4u * (PN_CUDA_FEW * (PN_CUDA_SUBS * 8u + 16u) + PN_CUDA_SUBS * 8u))
#define PN_CUDA_MANY_BYTES                                                                         \
    (PN_CUDA_MANY_COLUMNS * (PN_CUDA_GROUP + 16u + 2u * 16u + 2u * 4u * PN_CUDA_SUBS))
#define PN_CUDA_ATTENTION_BYTES      (PN_CUDA_QUERIES * 4u * (PN_CUDA_PAGE + 8u + PN_CUDA_MAX_HEAD))
#define PN_CUDA_ROWS_BYTES(n_cached) (16u + 4u * (n_cached))
#define PN_CUDA_ROUTE_BYTES          (PN_CUDA_BLOCK / 32 * 2u * 4u * PN_CUDA_MAX_USED)
#define PN_CUDA_PICK_BYTES (PN_CUDA_PICK_THREADS * 8u + 256u * 4u + 2048u * 4u + 64u)

typedef struct pn_cuda_layout {
    uint32_t high_at, scales_at, minimums_at, heads_at, row_bytes; /* low_at is 0 */
} pn_cuda_layout;

static inline PN_BOTH uint32_t pn_cuda_round(uint32_t n) {
    return (n + 15u) & ~15u;
}
static inline PN_BOTH int32_t pn_cuda_groups(int32_t n_in) {
    return (n_in + PN_CUDA_GROUP - 1) / PN_CUDA_GROUP;
}

static inline PN_BOTH pn_cuda_layout pn_cuda_codes_layout(int low_bits, int high_bits, int is_256,
                                                          int sub_weights, int has_minimum,
                                                          int32_t n_in) {
    const uint32_t n = (uint32_t)pn_cuda_groups(n_in);
    const uint32_t n_scales = is_256 ? n * (uint32_t)(PN_CUDA_GROUP / sub_weights) : 0;
    const uint32_t n_heads = is_256 ? n : n * PN_CUDA_SUBS;
    pn_cuda_layout l;
    l.high_at = n * 32u * (uint32_t)low_bits;
    l.scales_at = l.high_at + n * 32u * (uint32_t)high_bits;
    l.minimums_at = l.scales_at + pn_cuda_round(n_scales);
    l.heads_at = l.minimums_at + (has_minimum ? pn_cuda_round(n_scales) : 0);
    l.row_bytes = l.heads_at + pn_cuda_round(n_heads * (has_minimum ? 4u : 2u));
    return l;
}

/* bytes: of one element. */
static inline PN_BOTH uint32_t pn_cuda_float_row_bytes(int32_t n_in, uint32_t bytes) {
    return (uint32_t)((n_in + PN_CUDA_FLOAT_GROUP - 1) / PN_CUDA_FLOAT_GROUP) *
           PN_CUDA_FLOAT_GROUP * bytes;
}

/* Rows of activations as int8 with a scale per 256 inputs or per 32. */
typedef struct pn_cuda_acts {
    int8_t *q;       /* [row][groups * 256] */
    int16_t *sum_16; /* [row][groups * 16] of q */
    float *d;        /* [row][groups], or [row][groups * 8] */
} pn_cuda_acts;

/* acts[0] is for weights in blocks of 32, acts[1] for those of 256; q NULL: not wanted. */
typedef struct pn_cuda_quantize_args {
    const float *x; /* [row][n_in] */
    pn_cuda_acts acts[2];
    int32_t n_in, n_rows;
} pn_cuda_quantize_args;

/* One matrix of a product. */
typedef struct pn_cuda_linear_part {
    const uint8_t *weights;     /* [expert][n_out] rows */
    const float *bias;          /* [n_out] or NULL */
    float *out;                 /* [n_rows][n_out] */
    int32_t n_out, first_block; /* blocks of the grid before those of this matrix */
} pn_cuda_linear_part;

/* For up to three matrices of one format and one input: out[row][o] = w[o] . x[row] + bias[o]. With experts,
 * matrix e serves rows expert_first[e] .. expert_first[e + 1], and blockIdx.z is e. */
typedef struct pn_cuda_linear_args {
    pn_cuda_linear_part parts[PN_CUDA_PARTS];
    pn_cuda_acts acts;
    const float *x;       /* float weights: [.][n_in] */
    const int32_t *rows;  /* row r reads row rows[r] of acts or x; NULL: r */
    const int32_t *first; /* [n_expert + 1] or NULL */
    int32_t n_in, n_rows, n_parts;
} pn_cuda_linear_args;

typedef struct pn_cuda_embed_args {
    const uint8_t *table;
    const int32_t *tokens;
    float *out; /* [row][n_in] */
    int32_t n_in;
    float scale;
} pn_cuda_embed_args;

/* out = act(gate) * up over rows, and out quantised for the product that reads it. */
typedef struct pn_cuda_glu_args {
    const float *gate, *up;
    float *out;
    pn_cuda_acts acts[2];
    int32_t width, n_rows, act;
} pn_cuda_glu_args;

/* x scaled and soft-capped, over n floats. */
typedef struct pn_cuda_cap_args {
    float *x;
    uint64_t n;
    float scale, softcap;
} pn_cuda_cap_args;

typedef struct pn_cuda_select_args {
    const float *x;
    const int32_t *rows;
    float *out;
    int32_t width;
} pn_cuda_select_args;

/* KV pages of one layer: the layout of src/backend/kv_layout.h. */
typedef struct pn_cuda_kv {
    uint8_t *pages;
    uint64_t page_bytes;
    const int32_t *tables; /* [sequence of the batch][table_width] page numbers */
    const int32_t *seqs;   /* [row] sequence of the batch */
    const int32_t *positions;
    int32_t table_width;
    int32_t n_head, n_head_kv, head_dim;
} pn_cuda_kv;

/* A row stage: operations that touch one row at a time (BY_ROW in ops.def) one after another. A block takes one
 * row, or slice blockIdx.y of one, when the slices are independent: those of the KV heads. What was computed
 * last stays in shared memory too, where it fits. */
typedef enum pn_cuda_row_kind {
    PN_CUDA_ROW_ADD,     /* out = a + b */
    PN_CUDA_ROW_NORM,    /* out = RMS norm of a in groups of head_dim, times weight */
    PN_CUDA_ROW_ROPE,    /* out = a rotated in place by weight: cos and sin [row][n_rot] */
    PN_CUDA_ROW_STORE,   /* keys a and values b into the page of the row's position */
    PN_CUDA_ROW_QUANTIZE /* a as int8 */
} pn_cuda_row_kind;

typedef struct pn_cuda_row_op {
    const float *a, *b; /* [row][slices * width] */
    float *out;
    const float *weight; /* or NULL */
    int32_t kind, width, head_dim;
    int32_t n_rot, is_neox;
    float eps;
} pn_cuda_row_op;

typedef struct pn_cuda_rows_args {
    pn_cuda_row_op ops[PN_CUDA_ROW_OPS];
    pn_cuda_kv kv;        /* of a STORE */
    pn_cuda_acts acts[2]; /* of a QUANTIZE */
    int32_t n_ops,
        n_cached; /* values kept in shared memory: 0 or as many as the widest slice has */
} pn_cuda_rows_args;

/* A block takes a group of rows of one sequence, a KV head, at most PN_CUDA_QUERIES of its query heads,
 * and, when split, one chunk. */
typedef struct pn_cuda_attention_args {
    pn_cuda_kv kv;
    const float *q;
    float *out;            /* [row][n_head * head_dim] */
    float *partials;       /* split: [row][n_head][n_chunks][head_dim + 2], m and l first */
    const int32_t *groups; /* [group][2] first row, number of rows */
    int32_t heads_per_block, blocks_per_kv;
    int32_t n_chunks; /* 0: not split */
    int32_t window;
    float scale, softcap;
} pn_cuda_attention_args;

typedef struct pn_cuda_merge_args {
    const float *partials;
    float *out;
    pn_cuda_acts acts[2]; /* out quantised as well */
    const int32_t *positions;
    int32_t n_rows, n_head, head_dim, n_chunks, window;
} pn_cuda_merge_args;

/* Experts: for every row the chosen ones (ascending), then all (row, expert) pairs by expert. */
typedef struct pn_cuda_route_args {
    float *scores;   /* [n_rows][n_expert] */
    int32_t *chosen; /* [n_rows][n_used] ascending */
    float *weights;  /* [n_rows][n_used] */
    int32_t *places; /* [n_rows][n_used] where the pair lies in rows */
    int32_t *rows;   /* [n_rows * n_used] by expert, ascending */
    int32_t *first;  /* [n_expert + 1] */
    int32_t n_rows, n_expert, n_used, norm_weights;
    float weight_scale;
} pn_cuda_route_args;

typedef struct pn_cuda_combine_args {
    const float *parts; /* [n_rows * n_used][width] */
    const int32_t *places;
    const float *weights;
    float *out; /* [n_rows][width] */
    int32_t n_used, width;
} pn_cuda_combine_args;

/* What is picked of a row of logits (backend/pick.h). What comes back lies at out_at words of 8 bytes:
 * a head, the best as (int32 id, float logit) [n_best], the logits of ids [n_ids], and when random >= 0
 * those of a block [PN_CUDA_PICK_BLOCK]. */
typedef struct pn_cuda_pick {
    int32_t n_best, n_ids; /* n_best 0: nothing */
    uint32_t ids_at, out_at;
    double scale, random;
} pn_cuda_pick;

typedef struct pn_cuda_picked {
    int32_t n_best, block;
    double total, before;
} pn_cuda_picked;

/* maxima, sums: of blocks of logits; blockIdx.y or blockIdx.x is the row. */
typedef struct pn_cuda_pick_args {
    const float *logits; /* [row][n_vocab] */
    const pn_cuda_pick *picks; /* [row] */
    const int32_t *ids;
    uint32_t *maxima; /* [row][n_blocks] in the order of pick.cu */
    double *sums;     /* [row][n_blocks] of exp((logit - maximum) scale) */
    uint64_t *out;
    int32_t n_vocab, n_blocks;
} pn_cuda_pick_args;

#endif
