/* arch.h: from a file to its compute plan. One row in archs.def and one builder file per family of
 * architectures; an architecture knows formats, files and plans, never a device. */
#ifndef PN_ARCH_ARCH_H
#define PN_ARCH_ARCH_H

#include "arch/hparams.h"

/* Reads the hyper-parameters of gguf (opened with data), checks every tensor the architecture
 * needs, and builds the finished plan. On success the caller frees *plan with pn_plan_free, which
 * also ends hparams->layers; gguf must outlive it. On failure there is nothing to free. An
 * architecture that is not in archs.def is PUNA_E_UNSUPPORTED and the message lists those that are.
 */
puna_status pn_arch_build(const pn_gguf *gguf, pn_plan *plan, pn_hparams *hparams, puna_error *err);

/* The names in archs.def, in its order; *n gets their number. */
const char *const *pn_arch_names(int32_t *n);

#endif
