/* gpu.c: which layers of an engine go to which cards, and why not.
 *
 * Layers are taken from the end of the model, the output first. Several cards share them as tensor_split says, or
 * else so that the fullest of them is as empty as possible; that is reckoned with the bytes of single layers, and
 * then measured. */
#include "run/gpu.h"

#include "base/log.h"
#include "base/mem.h"
#include "run/options.h"

#include <stdio.h>
#include <string.h>

/* What the driver and the kernels take of a card beside our blocks; and what is left to others when nobody said how
 * many layers. */
#define RESERVE_BYTES ((uint64_t)128 << 20)
#define AUTO_BYTES    ((uint64_t)512 << 20)

/* A context that is worth giving up layers on the card for. */
enum { LEAST_CTX = 4096 };

puna_status pn_gpu_give_up(const puna_engine_options *o, puna_memory_plan *plan,
                           const puna_error *why, puna_error *err) {
    if (o->gpu_required)
        return pn_fail(err, why->code, "layers on a card are required: %s", why->msg);
    (void)snprintf(plan->where, sizeof plan->where, "the CPU computes all layers: %.220s",
                   why->msg);
    return PUNA_OK;
}

static double gib(uint64_t bytes) {
    return (double)bytes / (1 << 30);
}

/* Appends "17 on NVIDIA H100 (1), 5.1 GiB of 79.6"; the number only where it says something. */
static void describe_device(const puna_device_plan *d, const char *before, const char *number,
                            char *out, size_t out_bytes) {
    const size_t n = strlen(out);
    (void)snprintf(out + n, out_bytes - n, "%s on %s%s, %.1f GiB of %.1f", before, d->name, number,
                   gib(d->total_bytes), gib(d->memory_bytes));
}

void pn_gpu_describe(puna_memory_plan *plan) {
    int32_t n_cards = 0;
    for (int32_t i = 0; i < plan->n_devices; i++) n_cards += plan->devices[i].gpu >= 0;
    if (n_cards == 0) return;
    char *out = plan->where;
    const size_t out_bytes = sizeof plan->where;
    (void)snprintf(out, out_bytes, "%d/%d layers", plan->n_gpu_layers, plan->n_layers);
    for (int32_t i = 0, seen = 0; i < plan->n_devices; i++) {
        const puna_device_plan *d = &plan->devices[i];
        char before[32] = "", number[16] = "";
        if (d->gpu < 0) continue;
        if (n_cards > 1) {
            (void)snprintf(before, sizeof before, "%s %d", seen++ ? ";" : ":", d->n_layers);
            (void)snprintf(number, sizeof number, " (%d)", d->gpu);
        }
        describe_device(d, before, number, out, out_bytes);
    }
    if (plan->n_gpu_layers < plan->n_layers) {
        const size_t n = strlen(out);
        (void)snprintf(out + n, out_bytes - n, "; the others on the CPU");
    }
    if (strlen(out) == out_bytes - 1) memcpy(out + out_bytes - 4, "...", 3);
}

puna_status puna_gpu_get(int32_t index, puna_gpu *gpu, int32_t *n_gpus, puna_error *err) {
    pn_cuda_cards cards = {0};
    const pn_cuda_card *card;
    PN_TRY(pn_cuda_cards_open(&cards, err));
    const puna_status status = pn_cuda_cards_look(&cards, index, &card, err);
    if (status == PUNA_OK) {
        puna_gpu ours = {.size = sizeof ours,
                         .compute_capability = card->compute,
                         .driver_version = card->driver_version,
                         .total_bytes = card->total_bytes,
                         .free_bytes = card->free_bytes,
                         .is_used = index == 0};
        (void)snprintf(ours.name, sizeof ours.name, "%s", card->name);
        pn_options_fill(gpu, &ours, sizeof ours);
        if (n_gpus) *n_gpus = cards.n;
    }
    pn_cuda_cards_close(&cards);
    return status;
}

/* ---- sharing layers among cards -------------------------------------------------------------- */

/* Cards in the order in which they get layers. */
typedef struct card_set {
    int32_t n;
    int32_t cards[PUNA_MAX_GPUS];
    double shares[PUNA_MAX_GPUS]; /* all 0: by memory */
    uint64_t room[PUNA_MAX_GPUS]; /* bytes that may be taken */
} card_set;

typedef struct placing {
    const puna_model *model;
    const puna_engine_options *o;
    pn_cuda_cards *cards;
    pn_engine_layout *layout;
    int32_t n_all;         /* layers with the output */
    uint64_t *layer_bytes; /* [n_all] weights and KV pages, when several cards share by memory */
    uint64_t fixed_bytes;  /* beside those */
} placing;

static puna_status add_card(const placing *p, int32_t index, double share, card_set *set,
                            puna_error *err) {
    const pn_cuda_card *card;
    PN_TRY(pn_cuda_cards_look(p->cards, index, &card, err));
    const uint64_t margin = p->o->n_gpu_layers == PUNA_GPU_LAYERS_AUTO ? AUTO_BYTES : RESERVE_BYTES;
    set->cards[set->n] = index;
    set->shares[set->n] = share;
    set->room[set->n++] = card->free_bytes > margin ? card->free_bytes - margin : 0;
    return PUNA_OK;
}

/* Layers first ... in proportion: layer number k of n goes to the card in whose share k / n lies. */
static void share_as_asked(const placing *p, const card_set *set, int32_t first, int32_t *starts) {
    double sum = 0, upto = 0;
    const int32_t n = p->n_all - first;
    for (int32_t c = 0; c < set->n; c++) sum += set->shares[c];
    int32_t k = 0;
    for (int32_t c = 0; c < set->n; c++) {
        starts[c] = first + k;
        upto += set->shares[c];
        while (k < n && (double)k / n < upto / sum) k++;
    }
}

/* Fills card after card up to a part of its room; true when all layers found some. The last takes what is left. */
static bool fill_cards(const placing *p, const card_set *set, int32_t first, double part,
                       int32_t *starts) {
    int32_t layer = first;
    for (int32_t c = 0; c < set->n; c++) {
        double room = (double)set->room[c] * part - (double)p->fixed_bytes;
        starts[c] = layer;
        while (layer < p->n_all && (double)p->layer_bytes[layer] <= room)
            room -= (double)p->layer_bytes[layer++];
    }
    return layer == p->n_all;
}

static void share_by_memory(const placing *p, const card_set *set, int32_t first, int32_t *starts) {
    double low = 0, high = 1.25; /* reckoned with too much; what comes out is measured */
    for (int32_t i = 0; i < 30; i++) {
        const double middle = (low + high) / 2;
        if (fill_cards(p, set, first, middle, starts))
            high = middle;
        else
            low = middle;
    }
    (void)fill_cards(p, set, first, high, starts);
}

/* ---- cutting ---- */

static void name_devices(const placing *p, const card_set *set) {
    puna_memory_plan *plan = &p->layout->memory;
    const pn_parts *parts = &p->layout->parts;
    pn_engine_name_devices(p->layout);
    for (int32_t i = 0; i < parts->n; i++)
        for (int32_t c = 0; c < set->n; c++) {
            puna_device_plan *d = &plan->devices[i];
            const pn_cuda_card *card = &p->cards->list[set->cards[c]];
            if (parts->list[i].card != set->cards[c]) continue;
            (void)snprintf(d->name, sizeof d->name, "%.63s", card->name);
            d->available_bytes = set->room[c];
            d->memory_bytes = card->total_bytes;
        }
}

/* The last n layers on these cards. */
static puna_status cut_layers(const placing *p, const card_set *set, int32_t n, puna_error *err) {
    const int32_t first = p->n_all - n;
    int32_t cards[PN_MAX_PARTS] = {-1}, starts[PN_MAX_PARTS] = {0};
    memcpy(cards + 1, set->cards, (size_t)set->n * sizeof *cards);
    starts[1] = first;
    if (set->n > 1 && set->shares[0] + set->shares[1] > 0)
        share_as_asked(p, set, first, starts + 1);
    else if (set->n > 1)
        share_by_memory(p, set, first, starts + 1);
    pn_parts_free(&p->layout->parts);
    PN_TRY(pn_parts_cut(&p->model->plan, set->n + 1, cards, starts, &p->layout->parts, err));
    name_devices(p, set);
    return PUNA_OK;
}

/* ---- how many layers, and where ---- */

static int32_t reference_ctx(const placing *p) {
    const int32_t n = pn_engine_wanted_ctx(p->model, p->o);
    return p->o->n_ctx == 0 && n > LEAST_CTX ? LEAST_CTX : n;
}

static const puna_device_plan *too_small(const puna_memory_plan *plan) {
    for (int32_t i = 0; i < plan->n_devices; i++)
        if (plan->devices[i].gpu >= 0 &&
            plan->devices[i].total_bytes > plan->devices[i].available_bytes)
            return &plan->devices[i];
    return NULL;
}

/* What each layer would take on a card, and what a card takes beside its layers at most. */
static puna_status weigh_layers(placing *p, puna_error *err) {
    p->layer_bytes = pn_calloc((size_t)p->n_all, sizeof *p->layer_bytes);
    if (!p->layer_bytes)
        return pn_fail_nomem(err, (size_t)p->n_all * sizeof *p->layer_bytes, "the memory plan");
    const card_set main_card = {.n = 1, .cards = {p->o->main_gpu}};
    PN_TRY(cut_layers(p, &main_card, p->n_all, err));
    pn_engine_measure(p->model, p->o, reference_ctx(p), p->layout);
    const puna_device_plan *all = &p->layout->memory.devices[0];
    p->fixed_bytes = all->total_bytes - all->weights_bytes - all->kv_bytes;
    for (int32_t i = 0; i < p->n_all; i++) {
        const int32_t cards[3] = {-1, 0, -1}, starts[3] = {0, i, i + 1};
        pn_parts_free(&p->layout->parts);
        PN_TRY(pn_parts_cut(&p->model->plan, i + 1 < p->n_all ? 3 : 2, cards, starts,
                            &p->layout->parts, err));
        pn_engine_name_devices(p->layout);
        pn_engine_measure(p->model, p->o, reference_ctx(p), p->layout);
        const puna_device_plan *d = &p->layout->memory.devices[i > 0];
        p->layer_bytes[i] = d->weights_bytes + d->kv_bytes;
    }
    return PUNA_OK;
}

/* The most layers for which the cards have room. */
static puna_status find_most(const placing *p, const card_set *set, int32_t *n, puna_error *err) {
    int32_t low = 0, high = p->n_all;
    while (low < high) {
        const int32_t middle = low + (high - low + 1) / 2;
        PN_TRY(cut_layers(p, set, middle, err));
        pn_engine_measure(p->model, p->o, reference_ctx(p), p->layout);
        if (too_small(&p->layout->memory))
            high = middle - 1;
        else
            low = middle;
    }
    *n = low;
    return PUNA_OK;
}

static puna_status fail_too_small(const puna_device_plan *d, puna_error *err) {
    return pn_fail(err, PUNA_E_LIMIT,
                   "%.0f MiB are needed on %s and %.0f are free: fewer layers there (auto), a "
                   "smaller context (n_ctx), KV type or batch need less",
                   gib(d->total_bytes) * 1024, d->name, gib(d->available_bytes) * 1024);
}

static puna_status place_on(placing *p, const card_set *set, puna_error *err) {
    int32_t n = p->o->n_gpu_layers;
    if (set->n > 1 && set->shares[0] + set->shares[1] == 0) PN_TRY(weigh_layers(p, err));
    if (n == PUNA_GPU_LAYERS_AUTO) {
        PN_TRY(find_most(p, set, &n, err));
        if (n == 0)
            return pn_fail(err, PUNA_E_LIMIT, "not one layer fits into the %.0f MiB free on %s",
                           gib(set->room[0]) * 1024, p->cards->list[set->cards[0]].name);
    }
    PN_TRY(cut_layers(p, set, n < 0 || n > p->n_all ? p->n_all : n, err));
    pn_engine_decide(p->model, p->o, p->layout);
    const puna_device_plan *full = too_small(&p->layout->memory);
    return full ? fail_too_small(full, err) : PUNA_OK;
}

/* True when one card gave all that was asked for. */
static bool is_enough(const placing *p) {
    const puna_memory_plan *plan = &p->layout->memory;
    const int32_t n = p->o->n_gpu_layers;
    return plan->fits && plan->n_ctx == pn_engine_wanted_ctx(p->model, p->o) &&
           plan->n_gpu_layers == (n < 0 || n > p->n_all ? p->n_all : n);
}

static puna_status place_as_asked(placing *p, puna_error *err) {
    card_set set = {0};
    const bool one = p->o->split_mode == PUNA_SPLIT_NONE;
    for (int32_t i = 0; !one && i < PUNA_MAX_GPUS; i++)
        if (p->o->tensor_split[i] > 0)
            PN_TRY(add_card(p, i, (double)p->o->tensor_split[i], &set, err));
    if (set.n > 0) return place_on(p, &set, err);
    PN_TRY(add_card(p, p->o->main_gpu, 0, &set, err));
    const puna_status status = place_on(p, &set, err);
    if (one || p->cards->n == 1 || (status == PUNA_OK && is_enough(p))) return status;
    set.n = 0;
    for (int32_t i = 0; i < p->cards->n; i++) PN_TRY(add_card(p, i, 0, &set, err));
    return place_on(p, &set, err);
}

puna_status pn_gpu_place(const puna_model *model, const puna_engine_options *o,
                         pn_cuda_cards *cards, pn_engine_layout *layout, puna_error *err) {
    placing p = {
        .model = model, .o = o, .cards = cards, .layout = layout, .n_all = model->plan.n_layer + 1};
    PN_TRY(pn_cuda_cards_open(cards, err));
    if (o->split_mode == PUNA_SPLIT_ROW)
        pn_log(PUNA_LOG_WARN, "split mode row is not there: cards share the model by layers");
    const puna_status status = place_as_asked(&p, err);
    pn_free(p.layer_bytes);
    return status;
}
