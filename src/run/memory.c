/* memory.c: every byte of an engine before it is opened, device by device. The context, when not asked for, is
 * what the model was trained for, cut to what fits. */
#include "run/engine.h"

#include "base/log.h"
#include "base/os.h"
#include "run/gpu.h"
#include "run/options.h"

#include <stdio.h>
#include <string.h>

#define MAX_SEQS    1024
#define MAX_BATCH   8192
#define MAX_CTX     (INT32_C(1) << 27)
#define MAX_THREADS 1024

void puna_engine_options_init(puna_engine_options *options) {
    *options = (puna_engine_options){.size = sizeof *options,
                                     .n_seq = 1,
                                     .n_batch = 512,
                                     .kv_type = PUNA_KV_F16,
                                     .split_mode = PUNA_SPLIT_LAYER};
}

static puna_status check_range(const char *name, int64_t value, int64_t min, int64_t max,
                               puna_error *err) {
    if (value >= min && value <= max) return PUNA_OK;
    return pn_fail(err, PUNA_E_ARG, "%s is %lld, allowed: %lld to %lld", name, (long long)value,
                   (long long)min, (long long)max);
}

static puna_status check_options(const puna_engine_options *o, puna_error *err) {
    PN_TRY(check_range("n_ctx", o->n_ctx, 0, MAX_CTX, err));
    PN_TRY(check_range("n_seq", o->n_seq, 1, MAX_SEQS, err));
    PN_TRY(check_range("n_batch", o->n_batch, 1, MAX_BATCH, err));
    PN_TRY(check_range("n_threads", o->n_threads, 0, MAX_THREADS, err));
    PN_TRY(check_range("max_draft", o->max_draft, 0, PN_MAX_DRAFT, err));
    if (o->n_kv != 0)
        PN_TRY(check_range("n_kv", o->n_kv, o->n_ctx > 0 ? o->n_ctx : 1,
                           (int64_t)MAX_SEQS * MAX_CTX, err));
    PN_TRY(check_range("n_gpu_layers", o->n_gpu_layers, PUNA_GPU_LAYERS_AUTO, INT32_MAX, err));
    PN_TRY(check_range("main_gpu", o->main_gpu, 0, PUNA_MAX_GPUS - 1, err));
    PN_TRY(check_range("split_mode", (int64_t)o->split_mode, PUNA_SPLIT_NONE, PUNA_SPLIT_ROW, err));
    for (int32_t i = 0; i < PUNA_MAX_GPUS; i++)
        if (!(o->tensor_split[i] >= 0 && o->tensor_split[i] <= 1e30f))
            return pn_fail(err, PUNA_E_ARG, "tensor_split[%d] is %g, allowed: 0 to 1e30", i,
                           (double)o->tensor_split[i]);
    return check_range("kv_type", (int64_t)o->kv_type, PUNA_KV_F16, PUNA_KV_Q8_0, err);
}

static int64_t pages_of(int64_t n_positions) {
    return (n_positions + PN_PAGE_POSITIONS - 1) / PN_PAGE_POSITIONS;
}

/* Pages of the pool; what no machine could hold is cut to what can be counted. */
static int32_t pool_pages(const puna_engine_options *o, int32_t n_ctx) {
    const int64_t n = o->n_kv ? pages_of(o->n_kv) : pages_of(n_ctx) * o->n_seq;
    return n < INT32_MAX ? (int32_t)n : INT32_MAX - 1;
}

/* Bytes of a part's weights in the file. */
static uint64_t file_bytes(const pn_plan *plan) {
    uint64_t bytes = 0;
    for (int32_t i = 0; i < plan->n_weights; i++) {
        const pn_weight *w = plan->weights[i];
        const uint64_t n = (uint64_t)w->n_out * (uint64_t)(w->n_expert > 0 ? w->n_expert : 1);
        bytes += n * w->row_bytes;
    }
    return bytes;
}

void pn_engine_name_devices(pn_engine_layout *layout) {
    puna_memory_plan *plan = &layout->memory;
    plan->n_devices = layout->parts.n;
    plan->n_layers = layout->parts.whole->n_layer + 1;
    plan->n_gpu_layers = 0;
    for (int32_t i = 0; i < layout->parts.n; i++) {
        const pn_part *part = &layout->parts.list[i];
        plan->devices[i] = (puna_device_plan){.name = "CPU",
                                              .gpu = part->card,
                                              .first_layer = part->first_layer,
                                              .n_layers = part->n_layers,
                                              .available_bytes = plan->available_bytes};
        if (part->card >= 0) plan->n_gpu_layers += part->n_layers;
    }
    (void)snprintf(plan->where, sizeof plan->where, "the CPU computes all layers");
}

/* Adds up what a part takes; returns what it takes of the machine's memory. */
static uint64_t measure_part(const pn_part *part, const pn_device_config *config,
                             puna_memory_plan *plan, puna_device_plan *d) {
    const pn_device_config own = pn_part_config(part, config);
    pn_device_memory m;
    part->backend->memory(part->plan, &own, &m);
    d->weights_bytes = part->card < 0 ? file_bytes(part->plan) : m.weights_bytes;
    d->kv_bytes = m.kv_bytes;
    d->kv_bytes_per_position = m.kv_bytes_per_page / PN_PAGE_POSITIONS;
    d->activations_bytes = m.activations_bytes;
    d->logits_bytes = m.logits_bytes;
    d->scratch_bytes = m.scratch_bytes;
    d->total_bytes =
        m.weights_bytes + m.kv_bytes + m.activations_bytes + m.logits_bytes + m.scratch_bytes;
    plan->kv_bytes += d->kv_bytes;
    plan->kv_bytes_per_position += d->kv_bytes_per_position;
    plan->activations_bytes += d->activations_bytes;
    plan->logits_bytes += d->logits_bytes;
    plan->scratch_bytes += d->scratch_bytes;
    plan->other_bytes += m.host_bytes;
    if (part->card < 0) return d->total_bytes;
    plan->gpu_bytes += d->total_bytes;
    plan->gpu_available_bytes += d->available_bytes;
    return 0;
}

/* What the engine itself keeps, beside logits. */
static uint64_t measure_lists(const puna_model *model, const puna_engine_options *o,
                              const pn_device_config *config) {
    const int32_t pages_per_seq = (int32_t)pages_of(config->n_ctx);
    const uint64_t seq_bytes = (uint64_t)config->n_ctx * 4 + (uint64_t)pages_per_seq * 4 +
                               pn_seq_bytes(model, o->max_draft);
    uint64_t bytes = (uint64_t)o->n_seq * seq_bytes + (uint64_t)config->n_pages * PN_BYTES_OF_PAGE +
                     (uint64_t)config->n_batch * PN_ROW_BYTES + sizeof(puna_engine);
    if (config->n_picks > 0)
        bytes += (uint64_t)config->n_batch * sizeof(pn_pick) +
                 (uint64_t)config->n_picks * PN_PICK_MAX_IDS * sizeof(int32_t);
    if (o->prefix_cache)
        bytes += pn_prefix_cache_bytes(config->n_pages) + (uint64_t)pages_per_seq * sizeof(int32_t);
    return bytes;
}

/* Rows of a batch from which a sequence may draw: of interest only to a card, whose logits are far. */
static int32_t rows_to_draw(const puna_engine_options *o, int32_t n_batch, const pn_parts *parts) {
    const int32_t n = o->n_seq * (1 + o->max_draft);
    if (parts->list[parts->n - 1].card < 0) return 0; /* the last one has the logits */
    return n < n_batch ? n : n_batch;
}

void pn_engine_measure(const puna_model *model, const puna_engine_options *o, int32_t n_ctx,
                       pn_engine_layout *layout) {
    puna_memory_plan *plan = &layout->memory;
    const int32_t n_batch = o->n_batch < n_ctx || o->n_seq > 1 ? o->n_batch : n_ctx;
    layout->config = (pn_device_config){
        .n_batch = n_batch,
        .n_logits = n_batch < 32 ? n_batch : 32,
        .n_picks = rows_to_draw(o, n_batch, &layout->parts),
        .n_pages = pool_pages(o, n_ctx),
        .n_ctx = n_ctx,
        .n_threads = o->n_threads,
        .kv_type = (pn_kv_type)o->kv_type,
        .progress = o->upload,
        .progress_user = o->upload_user,
    };
    plan->n_ctx = n_ctx;
    plan->n_batch = n_batch;
    plan->kv_bytes = plan->kv_bytes_per_position = plan->activations_bytes = 0;
    plan->logits_bytes = plan->scratch_bytes = plan->gpu_bytes = plan->gpu_available_bytes = 0;
    plan->other_bytes =
        measure_lists(model, o, &layout->config) + pn_parts_bytes(&layout->parts, &layout->config);
    puna_device_plan *cpu = NULL;
    uint64_t on_machine = 0;
    for (int32_t i = 0; i < layout->parts.n; i++) {
        puna_device_plan *d = &plan->devices[i];
        on_machine += measure_part(&layout->parts.list[i], &layout->config, plan, d);
        if (d->gpu < 0) cpu = d;
    }
    const uint64_t rows = (uint64_t)o->n_seq * (uint64_t)(1 + o->max_draft) + 1; /* one to edit */
    const uint64_t kept = rows * (uint64_t)model->plan.n_vocab * sizeof(float);
    plan->logits_bytes += kept;
    plan->total_bytes = on_machine + kept + plan->other_bytes;
    if (cpu) cpu->total_bytes = plan->total_bytes;
}

static bool fits(const puna_memory_plan *plan) {
    for (int32_t i = 0; i < plan->n_devices; i++)
        if (plan->devices[i].total_bytes > plan->devices[i].available_bytes) return false;
    return plan->total_bytes <= plan->available_bytes;
}

/* The largest context of at most `most` positions whose total fits; 0 when not even one page does.
 */
static int32_t largest_fitting(const puna_model *model, const puna_engine_options *o, int32_t most,
                               pn_engine_layout *layout) {
    pn_engine_measure(model, o, most, layout);
    if (fits(&layout->memory)) return most;
    int32_t low = 0,
            high = most / PN_PAGE_POSITIONS; /* in pages; low fits (or is 0), high + 1 does not */
    while (low < high) {
        const int32_t middle = low + (high - low + 1) / 2;
        pn_engine_measure(model, o, middle * PN_PAGE_POSITIONS, layout);
        if (fits(&layout->memory))
            low = middle;
        else
            high = middle - 1;
    }
    return low * PN_PAGE_POSITIONS;
}

/* What the model was trained for, as a context; no more than the pool holds. */
static int32_t default_ctx(const puna_model *model, const puna_engine_options *o) {
    const int32_t trained = model->plan.n_ctx_train;
    const int32_t n = trained > 0 && trained <= MAX_CTX ? trained : 4096;
    return o->n_kv > 0 && o->n_kv < n ? (int32_t)o->n_kv : n;
}

int32_t pn_engine_wanted_ctx(const puna_model *model, const puna_engine_options *o) {
    return o->n_ctx ? o->n_ctx : default_ctx(model, o);
}

void pn_engine_decide(const puna_model *model, const puna_engine_options *o,
                      pn_engine_layout *layout) {
    puna_memory_plan *plan = &layout->memory;
    const int32_t trained = default_ctx(model, o);
    const int32_t most = largest_fitting(model, o, o->n_ctx > trained ? o->n_ctx : trained, layout);
    int32_t n_ctx = pn_engine_wanted_ctx(model, o);
    if (o->n_ctx == 0 && most < n_ctx && most > 0) n_ctx = most;
    pn_engine_measure(model, o, n_ctx, layout);
    plan->n_ctx_fits = most;
    plan->fits = fits(plan);
}

static void say_what_was_cut(const puna_model *model, const puna_engine_options *o,
                             const puna_memory_plan *plan) {
    const int32_t trained = default_ctx(model, o);
    if (o->n_ctx != 0 || plan->n_ctx >= trained) return;
    const uint64_t bytes =
        plan->n_gpu_layers > 0 ? plan->gpu_available_bytes : plan->available_bytes;
    pn_log(PUNA_LOG_WARN,
           "context cut from %d to %d positions: that is what %llu MiB of memory hold", trained,
           plan->n_ctx, (unsigned long long)(bytes >> 20));
}

static puna_status lay_out_on_cpu(const puna_model *model, const puna_engine_options *o,
                                  pn_engine_layout *layout, puna_error *err) {
    pn_parts_free(&layout->parts);
    PN_TRY(pn_parts_cut(&model->plan, 1, (const int32_t[]){-1}, (const int32_t[]){0},
                        &layout->parts, err));
    pn_engine_name_devices(layout);
    pn_engine_decide(model, o, layout);
    return PUNA_OK;
}

static puna_status lay_out(const puna_model *model, const puna_engine_options *o,
                           pn_cuda_cards *cards, pn_engine_layout *layout, puna_error *err) {
    puna_error why;
    if (o->n_gpu_layers == 0) return lay_out_on_cpu(model, o, layout, err);
    if (pn_gpu_place(model, o, cards, layout, &why) == PUNA_OK) {
        pn_gpu_describe(&layout->memory);
        return PUNA_OK;
    }
    PN_TRY(lay_out_on_cpu(model, o, layout, err));
    return pn_gpu_give_up(o, &layout->memory, &why, err);
}

puna_status pn_engine_lay_out(const puna_model *model, const puna_engine_options *options,
                              pn_cuda_cards *cards, pn_engine_layout *layout, puna_error *err) {
    puna_engine_options o;
    puna_engine_options_init(&o);
    pn_options_copy(&o, sizeof o, options);
    memset(layout, 0, sizeof *layout);
    PN_TRY(check_options(&o, err));
    if (model->plan.n_ops == 0)
        return pn_fail(err, PUNA_E_STATE, "%s: opened for its vocabulary or keys only",
                       pn_gguf_path(model->gguf));
    if (o.n_threads == 0) o.n_threads = pn_os_n_cpus();
    puna_memory_plan *plan = &layout->memory;
    plan->size = sizeof *plan;
    plan->n_ctx_train = model->plan.n_ctx_train;
    plan->n_seq = o.n_seq;
    plan->n_threads = o.n_threads;
    plan->available_bytes = o.max_bytes ? o.max_bytes : pn_os_available_bytes();
    plan->weights_bytes = pn_gguf_file_bytes(model->gguf);
    const puna_status status = lay_out(model, &o, cards, layout, err);
    if (status != PUNA_OK)
        pn_parts_free(&layout->parts);
    else
        say_what_was_cut(model, &o, plan);
    return status;
}

/* The memory plan alone. */
static puna_status plan_memory(const puna_model *model, const puna_engine_options *options,
                               pn_cuda_cards *cards, puna_memory_plan *plan, puna_error *err) {
    pn_engine_layout layout;
    PN_TRY(pn_engine_lay_out(model, options, cards, &layout, err));
    *plan = layout.memory;
    pn_parts_free(&layout.parts);
    return PUNA_OK;
}

puna_status puna_engine_plan(const puna_model *model, const puna_engine_options *options,
                             puna_memory_plan *plan, puna_error *err) {
    puna_memory_plan ours;
    pn_cuda_cards cards = {0};
    const puna_status status = plan_memory(model, options, &cards, &ours, err);
    pn_cuda_cards_close(&cards);
    if (status == PUNA_OK) pn_options_fill(plan, &ours, sizeof ours);
    return status;
}

/* ---- a pool that is shared ------------------------------------------------------------------- */

/* Whether a pool in which every sequence can be full leaves all layers that were asked for on cards. */
static puna_status fits_whole(const puna_model *model, const puna_engine_options *options,
                              pn_cuda_cards *cards, bool *whole, puna_error *err) {
    puna_engine_options o = *options;
    puna_memory_plan plan;
    o.gpu_required = false;
    PN_TRY(plan_memory(model, &o, cards, &plan, err));
    const int32_t n = o.n_gpu_layers;
    const int32_t asked = n < 0 || n > plan.n_layers ? plan.n_layers : n;
    *whole = plan.fits && plan.n_gpu_layers == asked;
    return PUNA_OK;
}

/* Pages for which there is room on every device beside those of the plan. */
static uint64_t room_for_pages(const puna_engine_options *o, const puna_memory_plan *plan) {
    uint64_t page = PN_BYTES_OF_PAGE + (o->prefix_cache ? pn_prefix_cache_bytes(1) : 0);
    for (int32_t i = 0; i < plan->n_devices; i++)
        if (plan->devices[i].gpu < 0)
            page += plan->devices[i].kv_bytes_per_position * PN_PAGE_POSITIONS;
    uint64_t room = (plan->available_bytes - plan->total_bytes) / 8 * 7 / page;
    for (int32_t i = 0; i < plan->n_devices; i++) {
        const puna_device_plan *d = &plan->devices[i];
        if (d->gpu < 0 || d->kv_bytes_per_position == 0) continue;
        const uint64_t there = (d->available_bytes - d->total_bytes) / 8 * 7 /
                               (d->kv_bytes_per_position * PN_PAGE_POSITIONS);
        if (there < room) room = there;
    }
    return room;
}

puna_status pn_engine_fit_pool(const puna_model *model, puna_engine_options *options,
                               pn_cuda_cards *cards, puna_error *err) {
    puna_memory_plan plan;
    puna_engine_options one = *options;
    bool whole = false;
    if (options->n_kv != 0) return PUNA_OK;
    if (options->n_ctx != 0) PN_TRY(fits_whole(model, options, cards, &whole, err));
    if (whole) return PUNA_OK;
    one.n_seq = 1;
    PN_TRY(plan_memory(model, &one, cards, &plan, err));
    options->n_ctx = plan.n_ctx;
    options->n_kv = options->n_ctx;
    if (plan.n_gpu_layers > 0) options->n_gpu_layers = plan.n_gpu_layers;
    PN_TRY(plan_memory(model, options, cards, &plan, err));
    if (!plan.fits) return PUNA_OK; /* for whoever opens it to say */
    const uint64_t room = room_for_pages(options, &plan);
    const int64_t most = pages_of(options->n_ctx) * options->n_seq;
    const int64_t n =
        pool_pages(options, plan.n_ctx) + (room < INT32_MAX ? (int64_t)room : INT32_MAX);
    options->n_kv = (n < most ? n : most) * PN_PAGE_POSITIONS;
    return PUNA_OK;
}
