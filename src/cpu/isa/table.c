/* table.c: the kernel table of the instruction set this file is compiled for. */
#include "cpu/isa/isa_fns.h"

const pn_kernels PN_ISA_FN(pn_kernels) = {
    .isa = PN_ISA_ID,
    .acts_bytes = PN_ISA_FN(pn_acts_bytes),
    .pack_units = PN_ISA_FN(pn_pack_units),
    .pack = PN_ISA_FN(pn_pack),
    .matmul_scratch_bytes = PN_ISA_FN(pn_matmul_scratch_bytes),
    .matmul_units = PN_ISA_FN(pn_matmul_units),
    .matmul = PN_ISA_FN(pn_matmul),
    .rms_norm = PN_ISA_FN(pn_rms_norm),
    .rope = PN_ISA_FN(pn_rope),
    .glu = PN_ISA_FN(pn_glu),
    .add = PN_ISA_FN(pn_add),
    .scale_softcap = PN_ISA_FN(pn_scale_softcap),
    .softmax = PN_ISA_FN(pn_softmax),
    .axpy = PN_ISA_FN(pn_axpy),
    .kv_page_bytes = PN_ISA_FN(pn_kv_page_bytes),
    .kv_store = PN_ISA_FN(pn_kv_store),
    .attn_scratch_bytes = PN_ISA_FN(pn_attn_scratch_bytes),
    .attn_units = PN_ISA_FN(pn_attn_units),
    .attn = PN_ISA_FN(pn_attn),
    .attn_merge_units = PN_ISA_FN(pn_attn_merge_units),
    .attn_merge = PN_ISA_FN(pn_attn_merge),
};
