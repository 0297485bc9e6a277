/* isa_fns.h: the functions of src/cpu/isa that table.c puts into pn_kernels, once per instruction
 * set.
 *
 * PN_ISA_FN(name) is name_scalar, name_avx2 or name_avx512, so the three builds of one source link
 * together. What each does is written at its slot in cpu/kernels.h. */
#ifndef PN_CPU_ISA_FNS_H
#define PN_CPU_ISA_FNS_H

#include "cpu/kernels.h"
#include "simd/simd.h"

/* ---- matmul.c ---- */
size_t PN_ISA_FN(pn_acts_bytes)(int32_t n_in, int32_t n_rows);
int32_t PN_ISA_FN(pn_pack_units)(const pn_acts *acts);
void PN_ISA_FN(pn_pack)(const pn_acts *acts, const float *x, size_t ld_x, const int32_t *row_index,
                        const pn_matmul *needs, int32_t n_needs, int32_t unit);
size_t PN_ISA_FN(pn_matmul_scratch_bytes)(int32_t n_in, int32_t n_rows);
int32_t PN_ISA_FN(pn_matmul_units)(const pn_matmul *mm, int32_t n_rows);
void PN_ISA_FN(pn_matmul)(const pn_matmul *mm, const pn_acts *acts, int32_t unit, void *scratch);

/* ---- matmul_float.c: F32, F16 and BF16 weights ----
 * Outputs o_begin <= o < o_end for every row, bias included. x [n_rows][n_in] float32, dense,
 * 64-byte aligned. */
void PN_ISA_FN(pn_matmul_float_rows)(const pn_matmul *mm, const float *x, int32_t n_rows,
                                     int32_t o_begin, int32_t o_end);

/* ---- rows.c ---- */
void PN_ISA_FN(pn_rms_norm)(const float *x, const float *w, float *out, int32_t n, float eps);
void PN_ISA_FN(pn_rope)(float *x, int32_t n_head, int32_t head_dim, const pn_rope *rope,
                        const float *cos_sin);
void PN_ISA_FN(pn_glu)(pn_activation act, const float *gate, const float *up, float *out,
                       int32_t n);
void PN_ISA_FN(pn_add)(const float *a, const float *b, float *out, int32_t n);
void PN_ISA_FN(pn_scale_softcap)(float *x, int32_t n, float scale, float cap);
void PN_ISA_FN(pn_softmax)(float *x, int32_t n);
void PN_ISA_FN(pn_axpy)(float *acc, const float *x, float weight, int32_t n);

/* ---- attention.c ---- */
size_t PN_ISA_FN(pn_kv_page_bytes)(const pn_attention *attn, pn_kv_type type);
void PN_ISA_FN(pn_kv_store)(const pn_attn_job *job, int32_t page, int32_t slot, const float *k,
                            const float *v);
size_t PN_ISA_FN(pn_attn_scratch_bytes)(const pn_attention *attn, int32_t n_rows, int32_t n_ctx);
int32_t PN_ISA_FN(pn_attn_units)(const pn_attn_job *job, int32_t n_threads);
void PN_ISA_FN(pn_attn)(const pn_attn_job *job, int32_t n_threads, int32_t unit);
int32_t PN_ISA_FN(pn_attn_merge_units)(const pn_attn_job *job, int32_t n_threads);
void PN_ISA_FN(pn_attn_merge)(const pn_attn_job *job, int32_t n_threads, int32_t unit);

#endif
