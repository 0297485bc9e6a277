/* gpu.c: whether the layers of an engine go to a card, and why not. */
#include "run/gpu.h"

#include "run/options.h"

#include <stdio.h>

/* What the driver and the kernels take of a card beside our blocks. */
#define RESERVE_BYTES ((uint64_t)128 << 20)

puna_status pn_gpu_give_up(const puna_engine_options *o, puna_memory_plan *plan, puna_status code,
                           const char *why, puna_error *err) {
    if (o->gpu_required) return pn_fail(err, code, "layers on a card are required: %s", why);
    plan->n_gpu_layers = 0;
    plan->gpu_bytes = plan->gpu_available_bytes = 0;
    (void)snprintf(plan->where, sizeof plan->where, "the CPU computes all layers: %.220s", why);
    return PUNA_OK;
}

puna_status pn_gpu_choose(const puna_model *model, const puna_engine_options *o,
                          puna_memory_plan *plan, pn_cuda_card *card, puna_error *err) {
    const int32_t all = model->plan.n_layer + 1;
    puna_error why;
    puna_status status;
    int32_t n;
    plan->n_layers = all;
    plan->n_gpu_layers = 0;
    (void)snprintf(plan->where, sizeof plan->where, "the CPU computes all layers");
    if (o->n_gpu_layers == 0) return PUNA_OK;
    if (o->n_gpu_layers > 0 && o->n_gpu_layers < all)
        status = pn_fail(&why, PUNA_E_UNSUPPORTED,
                         "%d of %d layers on a card were asked for, and for now it is all (-1) or "
                         "none",
                         o->n_gpu_layers, all);
    else
        status = pn_cuda_get_card(0, card, &n, &why);
    if (status != PUNA_OK) return pn_gpu_give_up(o, plan, status, why.msg, err);
    plan->n_gpu_layers = all;
    plan->gpu_available_bytes =
        card->free_bytes > RESERVE_BYTES ? card->free_bytes - RESERVE_BYTES : 0;
    return PUNA_OK;
}

static double mib(uint64_t bytes) {
    return (double)bytes / (1 << 20);
}

puna_status pn_gpu_too_small(const puna_engine_options *o, const pn_cuda_card *card,
                             puna_memory_plan *plan, puna_error *err) {
    char why[256];
    (void)snprintf(why, sizeof why,
                   "%.0f MiB are needed on %.100s and %.0f are free: a smaller context (n_ctx), KV "
                   "type or batch needs less",
                   mib(plan->gpu_bytes), card->name, mib(plan->gpu_available_bytes));
    return pn_gpu_give_up(o, plan, PUNA_E_LIMIT, why, err);
}

void pn_gpu_describe(const pn_cuda_card *card, puna_memory_plan *plan) {
    if (plan->n_gpu_layers == 0) return;
    (void)snprintf(plan->where, sizeof plan->where, "%d/%d layers on %s, %.1f GiB of %.1f",
                   plan->n_gpu_layers, plan->n_layers, card->name, mib(plan->gpu_bytes) / 1024,
                   mib(card->total_bytes) / 1024);
}

puna_status puna_gpu_get(int32_t index, puna_gpu *gpu, int32_t *n_gpus, puna_error *err) {
    pn_cuda_card card;
    int32_t n;
    PN_TRY(pn_cuda_get_card(index, &card, &n, err));
    puna_gpu ours = {.size = sizeof ours,
                     .compute_capability = card.compute,
                     .driver_version = card.driver_version,
                     .total_bytes = card.total_bytes,
                     .free_bytes = card.free_bytes,
                     .is_used = index == 0};
    (void)snprintf(ours.name, sizeof ours.name, "%s", card.name);
    pn_options_fill(gpu, &ours, sizeof ours);
    if (n_gpus) *n_gpus = n;
    return PUNA_OK;
}
