/* gpu.h: which layers of an engine go to which cards. */
#ifndef PN_RUN_GPU_H
#define PN_RUN_GPU_H

#include "run/engine.h"

/* Cuts the plan as the options ask, and decides the rest of the layout; fails with the reason why layers cannot be
 * on cards. */
puna_status pn_gpu_place(const puna_model *model, const puna_engine_options *options,
                         pn_cuda_cards *cards, pn_engine_layout *layout, puna_error *err);
/* The CPU instead, because of `why`: says so in plan; an error where cards are required. */
puna_status pn_gpu_give_up(const puna_engine_options *options, puna_memory_plan *plan,
                           const puna_error *why, puna_error *err);
/* plan->where for layers on cards. */
void pn_gpu_describe(puna_memory_plan *plan);

#endif
