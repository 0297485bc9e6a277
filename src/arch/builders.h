/* builders.h: the two functions every row of archs.def has. */
#ifndef PN_ARCH_BUILDERS_H
#define PN_ARCH_BUILDERS_H

#include "arch/blocks.h"

/* pn_arch_hparams_NAME: sets what is the architecture's own in hyper-parameters that
 * pn_hparams_read has read. pn_arch_build_NAME: emits the plan, embedding to logits. */
#define ARCH(name, meaning)                                                                        \
    puna_status pn_arch_hparams_##name(const pn_gguf *gguf, pn_hparams *hparams, puna_error *err); \
    puna_status pn_arch_build_##name(pn_build *b, puna_error *err);
#include "arch/archs.def"
#undef ARCH

#endif
