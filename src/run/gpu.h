/* gpu.h: whether the layers of an engine go to a card. */
#ifndef PN_RUN_GPU_H
#define PN_RUN_GPU_H

#include "cuda/card.h"
#include "run/model.h"

/* What the options ask for, as far as it can be: fills plan's n_layers, n_gpu_layers,
 * gpu_available_bytes and where. */
puna_status pn_gpu_choose(const puna_model *model, const puna_engine_options *options,
                          puna_memory_plan *plan, pn_cuda_card *card, puna_error *err);
/* The CPU instead, because of `why`; an error where the card is required. */
puna_status pn_gpu_give_up(const puna_engine_options *options, puna_memory_plan *plan,
                           puna_status code, const char *why, puna_error *err);
/* The same when what the plan wants on the card is more than it has. */
puna_status pn_gpu_too_small(const puna_engine_options *options, const pn_cuda_card *card,
                             puna_memory_plan *plan, puna_error *err);
/* plan->where for layers on the card, now that the bytes are known. */
void pn_gpu_describe(const pn_cuda_card *card, puna_memory_plan *plan);

#endif
