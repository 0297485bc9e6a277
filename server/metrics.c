/* metrics.c: Prometheus' text format (version 0.0.4) over the scheduler's counters and three histograms. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "metrics.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* ---- histograms ------------------------------------------------------------------------------ */

enum { MAX_BOUNDS = 20, N_STATUSES = 600 };

typedef struct histogram {
    const char *name;
    const char *help;
    double bounds[MAX_BOUNDS]; /* upper ones, ascending; 0 ends them */
} histogram;

enum { TTFT, TPOT, E2E, N_HISTOGRAMS };

static const histogram histograms[N_HISTOGRAMS] = {
    {"puna_time_to_first_token_seconds",
     "From the arrival of a request to its first token.",
     {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200}},
    {"puna_time_per_output_token_seconds",
     "Of a request, the mean time between its tokens.",
     {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5}},
    {"puna_request_duration_seconds",
     "From the arrival of a request to its last token.",
     {0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}},
};

typedef struct counts {
    uint64_t n;
    double sum;
    uint64_t in_bound[MAX_BOUNDS]; /* at most this and more than the bound before */
} counts;

struct pn_metrics {
    pthread_mutex_t lock;
    double began_s; /* seconds since 1970 */
    counts counts[N_HISTOGRAMS];
    uint64_t responses[N_STATUSES];
};

pn_metrics *pn_metrics_open(void) {
    pn_metrics *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    pthread_mutex_init(&m->lock, NULL);
    m->began_s = (double)time(NULL);
    return m;
}

void pn_metrics_free(pn_metrics *m) {
    if (!m) return;
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static void count(pn_metrics *m, int which, double value) {
    counts *c = &m->counts[which];
    c->n++;
    c->sum += value;
    for (int i = 0; i < MAX_BOUNDS && histograms[which].bounds[i] > 0; i++) {
        if (value > histograms[which].bounds[i]) continue;
        c->in_bound[i]++;
        return;
    }
}

void pn_metrics_request(pn_metrics *m, const puna_request_event *event) {
    if (!m || (event->kind != PUNA_REQUEST_FINISHED && event->kind != PUNA_REQUEST_FAILED)) return;
    double first = event->waiting_s + event->prefill_s;
    pthread_mutex_lock(&m->lock);
    if (event->n_sampled > 0) count(m, TTFT, first);
    if (event->n_sampled > 1) count(m, TPOT, event->decode_s / (event->n_sampled - 1));
    if (event->kind == PUNA_REQUEST_FINISHED) count(m, E2E, first + event->decode_s);
    pthread_mutex_unlock(&m->lock);
}

void pn_metrics_response(pn_metrics *m, int status) {
    pthread_mutex_lock(&m->lock);
    if (status > 0 && status < N_STATUSES) m->responses[status]++;
    pthread_mutex_unlock(&m->lock);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void write_head(FILE *out, const char *name, const char *type, const char *help) {
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_value(FILE *out, const char *name, const char *type, const char *help,
                        double value) {
    write_head(out, name, type, help);
    fprintf(out, "%s %.17g\n", name, value);
}

typedef enum number_kind { INT32, INT64, UINT64, REAL } number_kind;

/* The scheduler's numbers: where they are and what they are called. */
static const struct {
    const char *name;
    const char *type;
    const char *help;
    size_t at;
    number_kind kind;
} numbers[] = {
#define NUMBER(member) offsetof(puna_scheduler_stats, member)
    {"puna_requests_waiting", "gauge", "Requests that wait for their turn.", NUMBER(n_waiting),
     INT32},
    {"puna_requests_running", "gauge", "Requests that are being computed.", NUMBER(n_running),
     INT32},
    {"puna_slots", "gauge", "Requests that can be computed at once.", NUMBER(n_slots), INT32},
    {"puna_kv_cache_positions", "gauge", "Positions that the KV cache holds.", NUMBER(n_kv), INT64},
    {"puna_kv_cache_used_positions", "gauge", "Positions that running requests hold.",
     NUMBER(n_kv_used), INT64},
    {"puna_kv_cache_kept_positions", "gauge", "Positions kept for requests to come.",
     NUMBER(n_kv_cached), INT64},
    {"puna_engine_steps_total", "counter", "Steps of the engine.", NUMBER(n_steps), UINT64},
    {"puna_requests_accepted_total", "counter", "Requests put into the queue.", NUMBER(n_accepted),
     UINT64},
    {"puna_requests_refused_total", "counter", "Requests refused because the queue was full.",
     NUMBER(n_refused), UINT64},
    {"puna_requests_finished_total", "counter", "Requests that were completed.", NUMBER(n_finished),
     UINT64},
    {"puna_requests_failed_total", "counter", "Requests that failed or were cancelled.",
     NUMBER(n_failed), UINT64},
    {"puna_prompt_tokens_total", "counter", "Tokens of prompts.", NUMBER(n_prompt_tokens), UINT64},
    {"puna_generation_tokens_total", "counter", "Tokens that were sampled.",
     NUMBER(n_sampled_tokens), UINT64},
    {"puna_prefix_cache_queries_total", "counter", "Tokens of prompts looked up in the cache.",
     NUMBER(n_prompt_tokens), UINT64},
    {"puna_prefix_cache_hits_total", "counter", "Of those, tokens found computed.",
     NUMBER(n_reused_tokens), UINT64},
    {"puna_prefix_cache_evicted_pages_total", "counter", "Pages of the cache that made room.",
     NUMBER(n_evicted_pages), UINT64},
    {"puna_preemptions_total", "counter", "Times that a request gave up its pages to an older one.",
     NUMBER(n_preempted), UINT64},
    {"puna_engine_busy_seconds_total", "counter", "Time spent inside steps.", NUMBER(busy_s), REAL},
#undef NUMBER
};

static double number_at(const puna_scheduler_stats *stats, size_t at, number_kind kind) {
    const void *from = (const char *)stats + at;
    switch (kind) {
    case INT32: return *(const int32_t *)from;
    case INT64: return (double)*(const int64_t *)from;
    case UINT64: return (double)*(const uint64_t *)from;
    case REAL: break;
    }
    return *(const double *)from;
}

static void write_scheduler(FILE *out, puna_scheduler *scheduler) {
    puna_scheduler_stats stats = {.size = sizeof stats};
    puna_scheduler_get_stats(scheduler, &stats);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        write_value(out, numbers[i].name, numbers[i].type, numbers[i].help,
                    number_at(&stats, numbers[i].at, numbers[i].kind));
    write_value(out, "puna_kv_cache_usage_ratio", "gauge",
                "Share of the KV cache that running requests hold, 0 to 1.",
                stats.n_kv > 0 ? (double)stats.n_kv_used / (double)stats.n_kv : 0);
}

/* By device: "cpu", or the number of a card. */
static void write_devices(FILE *out, puna_scheduler *scheduler) {
    static const char *const names[] = {"puna_device_layers", "puna_device_bytes"};
    static const char *const helps[] = {"Layers that the device computes, with the output.",
                                        "Bytes of its memory that the engine takes."};
    puna_memory_plan plan = {.size = sizeof plan};
    puna_scheduler_get_plan(scheduler, &plan);
    for (int k = 0; k < 2; k++) {
        write_head(out, names[k], "gauge", helps[k]);
        for (int32_t i = 0; i < plan.n_devices; i++) {
            const puna_device_plan *d = &plan.devices[i];
            char device[16] = "cpu";
            if (d->gpu >= 0) snprintf(device, sizeof device, "%d", (int)d->gpu);
            fprintf(out, "%s{device=\"%s\"} %llu\n", names[k], device,
                    k == 0 ? (unsigned long long)d->n_layers : (unsigned long long)d->total_bytes);
        }
    }
}

static void write_histogram(FILE *out, const histogram *h, const counts *c) {
    uint64_t below = 0;
    write_head(out, h->name, "histogram", h->help);
    for (int i = 0; i < MAX_BOUNDS && h->bounds[i] > 0; i++) {
        below += c->in_bound[i];
        fprintf(out, "%s_bucket{le=\"%g\"} %llu\n", h->name, h->bounds[i],
                (unsigned long long)below);
    }
    fprintf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.17g\n%s_count %llu\n", h->name,
            (unsigned long long)c->n, h->name, c->sum, h->name, (unsigned long long)c->n);
}

static void write_responses(FILE *out, const pn_metrics *m) {
    const char *name = "puna_http_responses_total";
    write_head(out, name, "counter", "Responses by status; 499: the client left before the end.");
    for (int i = 0; i < N_STATUSES; i++)
        if (m->responses[i])
            fprintf(out, "%s{code=\"%d\"} %llu\n", name, i, (unsigned long long)m->responses[i]);
}

/* Bytes of memory that the process has in RAM, or -1. */
static double resident_bytes(void) {
    long long pages = -1;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) return -1;
    if (fscanf(file, "%*d %lld", &pages) != 1) pages = -1;
    fclose(file);
    return pages < 0 ? -1 : (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void write_process(FILE *out, const pn_metrics *m) {
    struct rusage usage;
    double bytes = resident_bytes();
    write_value(out, "process_start_time_seconds", "gauge", "When it began, since 1970.",
                m->began_s);
    if (bytes >= 0)
        write_value(out, "process_resident_memory_bytes", "gauge",
                    "Memory in RAM, with what is in use of the model's file.", bytes);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        write_value(out, "process_cpu_seconds_total", "counter", "Processor time, user and system.",
                    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
}

char *pn_metrics_text(pn_metrics *m, puna_scheduler *scheduler, size_t *n_bytes) {
    char *text = NULL;
    FILE *out = open_memstream(&text, n_bytes);
    if (!out) return NULL;
    write_scheduler(out, scheduler);
    write_devices(out, scheduler);
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < N_HISTOGRAMS; i++) write_histogram(out, &histograms[i], &m->counts[i]);
    write_responses(out, m);
    pthread_mutex_unlock(&m->lock);
    write_process(out, m);
    bool failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
