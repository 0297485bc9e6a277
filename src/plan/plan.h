/* plan.h: a model as a flat list of operations.
 *
 * An architecture (src/arch) builds the plan once at load through the pn_plan_* functions; every
 * shape is checked as it is added. A backend lowers the plan once and walks it for each batch. One
 * plan serves prefill, decode and batches of sequences: the number of rows comes at run time.
 *
 * Values are float32 [rows, width]. The residual stream and everything else lives in one
 * workspace whose layout (offsets in floats per row) is computed from lifetimes by
 * pn_plan_finish. */
#ifndef PN_PLAN_PLAN_H
#define PN_PLAN_PLAN_H

#include "base/error.h"
#include "base/mem.h"
#include "gguf/gguf.h"
#include "plan/operands.h"

typedef int32_t pn_value; /* index into pn_plan.values; -1: none */

typedef enum pn_op_kind {
#define OP(name, by_row, meaning) PN_OP_##name,
#include "plan/ops.def"
#undef OP
    PN_N_OPS
} pn_op_kind;

typedef struct pn_op {
    pn_op_kind kind;
    int32_t layer; /* -1 outside the layers */
    pn_value in[2];
    pn_value out[3];
    int32_t n_weights;
    const pn_weight *w[3];   /* MOE: w = gate, up, down experts; router below */
    const float *bias[3];    /* float vectors [n_out] decoded into the arena, or NULL */
    const float *norm;       /* NORM: [head_dim or width] decoded into the arena */
    const pn_weight *router; /* MOE: [n_expert, n_in] */
    int32_t head_dim;        /* NORM: group; ROPE: size of a head */
    float eps;               /* NORM */
    float scale;             /* EMBED, LOGITS; 1 when unused */
    float softcap;           /* LOGITS */
    int32_t rope;            /* ROPE: index into plan.ropes */
    int32_t kv_layer;        /* KV_STORE, ATTENTION: index into plan.attns */
    pn_activation act;       /* GLU */
    pn_moe moe;              /* MOE */
} pn_op;

typedef struct pn_value_info {
    const char *name; /* for people: "q", "ffn_up" */
    int32_t width;
    int32_t first, last; /* ops between which it is alive */
    int64_t offset; /* in floats, multiplied by the batch's row capacity; set by pn_plan_finish */
} pn_value_info;

/* A value that goes from one part of a plan to another. */
typedef struct pn_handed {
    pn_value value; /* of the part */
    pn_value whole; /* the same of the whole plan */
} pn_handed;

typedef struct pn_plan {
    pn_arena arena;
    pn_op *ops;
    int32_t n_ops, cap_ops;
    pn_value_info *values;
    int32_t n_values, cap_values;
    pn_weight **weights;
    int32_t n_weights, cap_weights;
    pn_rope *ropes;
    int32_t n_ropes;
    pn_attention *attns; /* one per layer that has a cache */
    int32_t n_attns;
    int32_t n_layer, n_embd, n_vocab, n_ctx_train;
    int64_t floats_per_row; /* workspace floats per row of the batch */
    int32_t layer;          /* being built */
    const pn_gguf *gguf;    /* source of weights; outlives the plan */

    /* A part of a model's plan (cut.c) begins with values that are handed in with the batch and ends with
     * values that are handed out; a whole plan has neither. */
    pn_handed *entering, *leaving;
    int32_t n_entering, n_leaving;
    int32_t first_op, n_ops_whole;       /* its place in the whole */
    bool begins_selected, ends_selected; /* rows of what enters, leaves: the batch's outputs */
} pn_plan;

/* ---- building ---------------------------------------------------------------------------------
 *
 * Each returns a status, so an architecture reads as a list of PN_TRY lines. */

#define PN_TRY(call)                                                                               \
    do {                                                                                           \
        const puna_status try_status = (call);                                                     \
        if (try_status != PUNA_OK) return try_status;                                              \
    } while (0)

puna_status pn_plan_init(pn_plan *plan, const pn_gguf *gguf, puna_error *err);
void pn_plan_free(pn_plan *plan);

/* Finds tensor `name` (printf) and checks its shape [n_in, n_out] (n_out 0: a vector; n_expert >
 * 1: a third dimension) and that its format has kernels. optional: *w = NULL when absent. */
puna_status pn_plan_weight(pn_plan *plan, const pn_weight **w, bool optional, int64_t n_in,
                           int64_t n_out, int64_t n_expert, puna_error *err, const char *name, ...)
    __attribute__((format(printf, 8, 9)));
/* The same for a vector that is used as floats: norm weights, biases. F32, F16 or BF16. */
puna_status pn_plan_vector(pn_plan *plan, const float **v, bool optional, int64_t n,
                           puna_error *err, const char *name, ...)
    __attribute__((format(printf, 6, 7)));
/* Registers (or finds an equal) rope; writes its index. */
puna_status pn_plan_rope(pn_plan *plan, const pn_rope *rope, int32_t *index, puna_error *err);

puna_status pn_plan_embed(pn_plan *plan, const pn_weight *table, float scale, pn_value *out,
                          puna_error *err);
/* head_dim 0: the whole row is one group. norm may be NULL (no weight). */
puna_status pn_plan_norm(pn_plan *plan, pn_value in, const float *norm, int32_t head_dim, float eps,
                         const char *name, pn_value *out, puna_error *err);
/* n weights of one input; biases may be NULL or hold NULLs. */
puna_status pn_plan_linear(pn_plan *plan, pn_value in, int32_t n, const pn_weight *const *w,
                           const float *const *bias, const char *const *names, pn_value *out,
                           puna_error *err);
puna_status pn_plan_op_rope(pn_plan *plan, pn_value x, int32_t head_dim, int32_t rope,
                            puna_error *err);
/* Stores k and v and attends with q; one cache layer is added. */
puna_status pn_plan_attention(pn_plan *plan, pn_value q, pn_value k, pn_value v,
                              const pn_attention *attn, pn_value *out, puna_error *err);
puna_status pn_plan_glu(pn_plan *plan, pn_value gate, pn_value up, pn_activation act, pn_value *out,
                        puna_error *err);
puna_status pn_plan_add(pn_plan *plan, pn_value a, pn_value b, const char *name, pn_value *out,
                        puna_error *err);
puna_status pn_plan_moe(pn_plan *plan, pn_value in, const pn_weight *router, const pn_weight *gate,
                        const pn_weight *up, const pn_weight *down, const pn_moe *moe,
                        pn_value *out, puna_error *err);
puna_status pn_plan_select(pn_plan *plan, pn_value in, pn_value *out, puna_error *err);
puna_status pn_plan_logits(pn_plan *plan, pn_value in, const pn_weight *w, float scale,
                           float softcap, puna_error *err);
/* Computes lifetimes and the workspace layout. */
puna_status pn_plan_finish(pn_plan *plan, puna_error *err);
/* The workspace layout alone: every value's lifetime is known. */
void pn_plan_place(pn_plan *plan);

/* ---- cutting ---------------------------------------------------------------------------------- */

/* The operation with which a layer begins; what comes before the first layer belongs to it, and layer
 * n_layer is what follows the last one (the output). */
int32_t pn_plan_layer_begins(const pn_plan *whole, int32_t layer);
/* Makes operations [first, end) of a finished plan a plan of their own, with the weights, caches and
 * rotations that they use and no others. Weights and vectors belong to the whole, which must outlive it;
 * free it with pn_plan_free. */
puna_status pn_plan_cut(const pn_plan *whole, int32_t first, int32_t end, pn_plan *part,
                        puna_error *err);
/* The share of the whole plan that is done before operation op of this one. */
static inline double pn_plan_share(const pn_plan *plan, int32_t op) {
    return (double)(plan->first_op + op) / plan->n_ops_whole;
}

/* The plan as text (puna explain). */
puna_status pn_plan_print(const pn_plan *plan, pn_buf *out, puna_error *err);
const char *pn_op_name(pn_op_kind kind);
/* A number for what the plan computes: the same for the same operations and weights, in every
 * process; what it looks at is said in fingerprint.c. */
uint64_t pn_plan_fingerprint(const pn_plan *plan);
/* True when a row of the result needs no other row (BY_ROW in ops.def). Operations like that which
 * follow one another form a group that a backend may run row by row, on any number of threads: no
 * two values that any of them touches share memory. */
bool pn_op_is_by_row(pn_op_kind kind);
/* The end of the group that begins with the operation at `first`, which is BY_ROW; at most `end`. */
int32_t pn_plan_row_group(const pn_plan *plan, int32_t first, int32_t end);

#endif
