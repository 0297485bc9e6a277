/* kernels.h: the table of CPU kernels, one instance per instruction set.
 *
 * src/cpu/isa is compiled once per instruction set against the vector vocabulary src/simd/simd.h.
 * Determinism is the contract of every slot: the same bits on every instruction set, for one row or
 * many, whatever the units and threads. That fixes the order of every float operation (written in
 * each slot's comment); integers are exact.
 *
 * Threads: slots are pure functions over the memory they are given; a "unit" is a piece of work
 * that one thread claims. */
#ifndef PN_CPU_KERNELS_H
#define PN_CPU_KERNELS_H

#include "backend/batch.h"
#include "plan/operands.h"
#include "simd/isa.h"

/* ---- matrix products: out[row][o] = sum_i w[o][i] x[row][i] + bias[o]
 * ---------------------------------------
 *
 * Quantised weights meet int8 activations that carry one float scale per 256 inputs (the last group
 * of a row may be shorter, in multiples of 32). Float weights (F32, F16, BF16) meet float32
 * activations. */

typedef struct pn_matmul {
    const pn_weight *w;
    int32_t expert;    /* which matrix of w; 0 without experts */
    const float *bias; /* [n_out] or NULL */
    float *out;        /* [n_rows][ld_out] */
    size_t ld_out;
} pn_matmul;

/* Activations of n_rows rows in the layouts the formats want. 64-byte aligned memory of
 * pn_acts_bytes. */
typedef struct pn_acts {
    int32_t n_in, n_rows;
    unsigned char *data;
} pn_acts;

/* ---- attention over KV pages
 * ----------------------------------------------------------------------------- */

typedef struct pn_attn_job {
    const pn_attention *attn;
    pn_kv_type kv_type;
    unsigned char *kv; /* this layer's pages: page p at kv + p * page_bytes */
    size_t page_bytes;
    const pn_batch *batch;
    const float *q; /* [n_rows][n_head * head_dim] */
    float *out;     /* the same shape */
    float *scratch; /* shared by all units: pn_attn_scratch_bytes */
} pn_attn_job;

typedef struct pn_kernels {
    pn_isa isa;

    /* ---- matmul (isa/matmul.c) ---- */
    /* Bytes of activations for up to n_rows rows of n_in inputs, enough for every format. */
    size_t (*acts_bytes)(int32_t n_in, int32_t n_rows);
    /* Units of packing; unit u writes its share. x [n_rows][ld_x]; row_index (or NULL) picks rows
     * of x. needs: the weights that will meet these activations (up to three; layouts no one needs
     * are skipped). */
    int32_t (*pack_units)(const pn_acts *acts);
    void (*pack)(const pn_acts *acts, const float *x, size_t ld_x, const int32_t *row_index,
                 const pn_matmul *needs, int32_t n_needs, int32_t unit);
    /* Per-thread scratch for one unit, up to n_rows rows. */
    size_t (*matmul_scratch_bytes)(int32_t n_in, int32_t n_rows);
    int32_t (*matmul_units)(const pn_matmul *mm, int32_t n_rows);
    void (*matmul)(const pn_matmul *mm, const pn_acts *acts, int32_t unit, void *scratch);

    /* ---- rows (isa/rows.c) ---- */
    /* out = x / sqrt(mean(x^2) + eps) * w; w may be NULL; out may be x. */
    void (*rms_norm)(const float *x, const float *w, float *out, int32_t n, float eps);
    /* Rotates the first n_rot dimensions of each head; cos_sin [n_rot/2][2]. */
    void (*rope)(float *x, int32_t n_head, int32_t head_dim, const pn_rope *rope,
                 const float *cos_sin);
    void (*glu)(pn_activation act, const float *gate, const float *up, float *out, int32_t n);
    void (*add)(const float *a, const float *b, float *out, int32_t n);
    /* x = cap * tanh(x / cap) when cap > 0, after x *= scale. */
    void (*scale_softcap)(float *x, int32_t n, float scale, float cap);
    /* Softmax in place over n. */
    void (*softmax)(float *x, int32_t n);
    /* acc += weight * x */
    void (*axpy)(float *acc, const float *x, float weight, int32_t n);

    /* ---- attention (isa/attention.c) ---- */
    /* Bytes of one page of one layer: keys [n_head_kv][head_dim][64 positions], then values
     * [n_head_kv][64 positions][head_dim]; for q8_0 the scales follow. A multiple of 64. */
    size_t (*kv_page_bytes)(const pn_attention *attn, pn_kv_type type);
    /* Writes key and value [n_head_kv * head_dim] of one position into its page. */
    void (*kv_store)(const pn_attn_job *job, int32_t page, int32_t slot, const float *k,
                     const float *v);
    size_t (*attn_scratch_bytes)(const pn_attention *attn, int32_t n_rows, int32_t n_ctx);
    /* First phase: units of (rows, kv head, chunk of positions); second phase: units that merge
     * chunks (0 when the first phase finished everything). */
    int32_t (*attn_units)(const pn_attn_job *job, int32_t n_threads);
    void (*attn)(const pn_attn_job *job, int32_t n_threads, int32_t unit);
    int32_t (*attn_merge_units)(const pn_attn_job *job, int32_t n_threads);
    void (*attn_merge)(const pn_attn_job *job, int32_t n_threads, int32_t unit);
} pn_kernels;

/* The table of an instruction set, or NULL when it was not compiled in or the CPU lacks it. */
const pn_kernels *pn_kernels_get(pn_isa isa);

/* The table of pn_isa_best(), or of the best one below it that was compiled in. */
const pn_kernels *pn_kernels_best(void);

/* ORDER CMakeLists.txt isa_list: one table per compiled instruction set, defined in isa/table.c. */
extern const pn_kernels pn_kernels_scalar, pn_kernels_avx2, pn_kernels_avx512;

#endif
