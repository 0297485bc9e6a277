/* memory.c: every byte of an engine before it is opened. The context, when not asked for, is what
 * the model was trained for, cut to what fits. */
#include "run/engine.h"

#include "base/log.h"
#include "base/os.h"
#include "run/gpu.h"
#include "run/options.h"

#define MAX_SEQS    1024
#define MAX_BATCH   8192
#define MAX_CTX     (INT32_C(1) << 27)
#define MAX_THREADS 1024

void puna_engine_options_init(puna_engine_options *options) {
    *options = (puna_engine_options){
        .size = sizeof *options, .n_seq = 1, .n_batch = 512, .kv_type = PUNA_KV_F16};
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
    PN_TRY(check_range("n_gpu_layers", o->n_gpu_layers, -1, INT32_MAX, err));
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

/* Fills the plan and the device's configuration for a context of n_ctx positions; plan says whether
 * the layers are on a card. */
static void measure(const puna_model *model, const puna_engine_options *o, int32_t n_ctx,
                    puna_memory_plan *plan, pn_device_config *config) {
    const int32_t pages_per_seq = (int32_t)pages_of(n_ctx);
    const int32_t n_batch = o->n_batch < n_ctx || o->n_seq > 1 ? o->n_batch : n_ctx;
    *config = (pn_device_config){
        .n_batch = n_batch,
        .n_logits = n_batch < 32 ? n_batch : 32,
        .n_pages = pool_pages(o, n_ctx),
        .n_ctx = n_ctx,
        .n_threads = o->n_threads,
        .kv_type = (pn_kv_type)o->kv_type,
    };
    pn_device_memory m;
    pn_engine_backend(plan)->memory(&model->plan, config, &m);
    const uint64_t n_seq = (uint64_t)o->n_seq, n_vocab = (uint64_t)model->plan.n_vocab;
    plan->n_ctx = n_ctx;
    plan->n_batch = n_batch;
    plan->kv_bytes = m.kv_bytes;
    plan->kv_bytes_per_position = m.kv_bytes_per_page / PN_PAGE_POSITIONS;
    plan->activations_bytes = m.activations_bytes;
    const uint64_t rows = n_seq * (uint64_t)(1 + o->max_draft) + 1; /* and one to edit */
    plan->logits_bytes = m.logits_bytes + rows * n_vocab * sizeof(float);
    plan->scratch_bytes = m.scratch_bytes;
    const uint64_t seq_bytes =
        (uint64_t)n_ctx * 4 + (uint64_t)pages_per_seq * 4 + pn_seq_bytes(model, o->max_draft);
    plan->other_bytes = n_seq * seq_bytes + (uint64_t)config->n_pages * PN_BYTES_OF_PAGE +
                        (uint64_t)n_batch * PN_ROW_BYTES + sizeof(puna_engine);
    if (o->prefix_cache)
        plan->other_bytes +=
            pn_prefix_cache_bytes(config->n_pages) + (uint64_t)pages_per_seq * sizeof(int32_t);
    const uint64_t device_bytes =
        m.kv_bytes + m.activations_bytes + m.logits_bytes + m.scratch_bytes;
    plan->other_bytes += m.host_bytes;
    plan->total_bytes = rows * n_vocab * sizeof(float) + plan->other_bytes;
    if (plan->n_gpu_layers > 0)
        plan->gpu_bytes = m.weights_bytes + device_bytes;
    else
        plan->total_bytes += device_bytes;
}

static bool fits(const puna_memory_plan *plan) {
    return plan->total_bytes <= plan->available_bytes &&
           plan->gpu_bytes <= plan->gpu_available_bytes;
}

/* The largest context of at most `most` positions whose total fits; 0 when not even one page does.
 */
static int32_t largest_fitting(const puna_model *model, const puna_engine_options *o, int32_t most,
                               const puna_memory_plan *begun) {
    puna_memory_plan plan = *begun;
    pn_device_config config;
    measure(model, o, most, &plan, &config);
    if (fits(&plan)) return most;
    int32_t low = 0,
            high = most / PN_PAGE_POSITIONS; /* in pages; low fits (or is 0), high + 1 does not */
    while (low < high) {
        const int32_t middle = low + (high - low + 1) / 2;
        measure(model, o, middle * PN_PAGE_POSITIONS, &plan, &config);
        if (fits(&plan))
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

/* Chooses the context and measures it. */
static void decide(const puna_model *model, const puna_engine_options *o, puna_memory_plan *plan,
                   pn_device_config *config) {
    const int32_t trained = default_ctx(model, o);
    plan->n_ctx_fits = largest_fitting(model, o, o->n_ctx > trained ? o->n_ctx : trained, plan);
    int32_t n_ctx = o->n_ctx ? o->n_ctx : trained;
    if (o->n_ctx == 0 && plan->n_ctx_fits < n_ctx && plan->n_ctx_fits > 0) {
        n_ctx = plan->n_ctx_fits;
        pn_log(PUNA_LOG_WARN,
               "context cut from %d to %d positions: that is what %llu MiB of memory hold", trained,
               n_ctx,
               (unsigned long long)((plan->n_gpu_layers > 0 ? plan->gpu_available_bytes
                                                            : plan->available_bytes) >>
                                    20));
    }
    measure(model, o, n_ctx, plan, config);
    plan->fits = fits(plan);
}

const pn_backend *pn_engine_backend(const puna_memory_plan *plan) {
    return plan->n_gpu_layers > 0 ? &pn_backend_cuda : &pn_backend_cpu;
}

puna_status pn_engine_memory(const puna_model *model, const puna_engine_options *options,
                             puna_memory_plan *plan, pn_device_config *config, puna_error *err) {
    puna_engine_options o;
    puna_engine_options_init(&o);
    pn_options_copy(&o, sizeof o, options);
    PN_TRY(check_options(&o, err));
    if (model->plan.n_ops == 0)
        return pn_fail(err, PUNA_E_STATE, "%s: opened for its vocabulary or keys only",
                       pn_gguf_path(model->gguf));
    if (o.n_threads == 0) o.n_threads = pn_os_n_cpus();
    pn_cuda_card card = {0};
    const uint64_t available = o.max_bytes ? o.max_bytes : pn_os_available_bytes();
    *plan = (puna_memory_plan){.size = sizeof *plan,
                               .n_ctx_train = model->plan.n_ctx_train,
                               .n_seq = o.n_seq,
                               .n_threads = o.n_threads,
                               .available_bytes = available,
                               .weights_bytes = pn_gguf_file_bytes(model->gguf)};
    PN_TRY(pn_gpu_choose(model, &o, plan, &card, err));
    decide(model, &o, plan, config);
    if (plan->gpu_bytes > plan->gpu_available_bytes) {
        PN_TRY(pn_gpu_too_small(&o, &card, plan, err));
        decide(model, &o, plan, config);
    }
    pn_gpu_describe(&card, plan);
    return PUNA_OK;
}

puna_status puna_engine_plan(const puna_model *model, const puna_engine_options *options,
                             puna_memory_plan *plan, puna_error *err) {
    puna_memory_plan ours;
    pn_device_config config;
    PN_TRY(pn_engine_memory(model, options, &ours, &config, err));
    pn_options_fill(plan, &ours, sizeof ours);
    return PUNA_OK;
}

puna_status pn_engine_fit_pool(const puna_model *model, puna_engine_options *options,
                               puna_error *err) {
    puna_memory_plan plan;
    pn_device_config config;
    puna_engine_options one = *options;
    if (options->n_kv != 0) return PUNA_OK;
    one.n_seq = 1;
    if (options->n_ctx != 0) {
        PN_TRY(pn_engine_memory(model, options, &plan, &config, err));
        if (plan.fits) return PUNA_OK;
    }
    PN_TRY(pn_engine_memory(model, &one, &plan, &config, err));
    options->n_ctx = plan.n_ctx;
    options->n_kv = options->n_ctx;
    PN_TRY(pn_engine_memory(model, options, &plan, &config, err));
    if (!plan.fits) return PUNA_OK; /* for whoever opens it to say */
    const bool on_card = plan.n_gpu_layers > 0;
    const uint64_t page_kv = plan.kv_bytes_per_position * PN_PAGE_POSITIONS;
    const uint64_t page = (on_card ? 0 : page_kv) + PN_BYTES_OF_PAGE +
                          (options->prefix_cache ? pn_prefix_cache_bytes(1) : 0);
    uint64_t left = (plan.available_bytes - plan.total_bytes) / 8 * 7 / page;
    if (on_card && page_kv > 0) {
        const uint64_t on_it = (plan.gpu_available_bytes - plan.gpu_bytes) / 8 * 7 / page_kv;
        if (on_it < left) left = on_it;
    }
    const int64_t most = pages_of(options->n_ctx) * options->n_seq;
    const int64_t n = config.n_pages + (left < INT32_MAX ? (int64_t)left : INT32_MAX);
    options->n_kv = (n < most ? n : most) * PN_PAGE_POSITIONS;
    return PUNA_OK;
}
