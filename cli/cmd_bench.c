/* cmd_bench.c: puna bench: prefill and decode speed, with spread.
 *
 * pp<p>: one sequence is fed p tokens that are random but the same in every program run, and
 * computed at once. tg<n>: one token is fed and n are decoded greedily, ends of text not
 * allowed. tg<n>x<m>: m sequences decode n tokens each, in the same steps; the speed is that of all
 * together. Every repetition opens a new sequence and prefill feeds other tokens, so that nothing
 * can be reused; one run before is not counted. ngl says how many of the layers cards compute. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "cli_print.h"
#include "session.h"

typedef struct bench {
    const options *o;
    session s;
    puna_model_info info;
    puna_memory_plan plan;
    progress bar;
    int n_runs; /* of all tests, for the progress bar */
    int n_done;
} bench;

typedef struct result {
    char name[32];
    int32_t n_prompt;
    int32_t n_gen;
    int32_t n_seqs; /* at once */
    int n;
    double *speeds; /* tokens/s [n], sorted */
    double mean;
    double deviation;
    double median;
} result;

/* Token ids from a fixed linear congruential generator (Knuth's MMIX constants). */
static void fill_tokens(const bench *b, int32_t *ids, int32_t n, int run) {
    uint64_t state = (uint64_t)run + 1;
    for (int32_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        ids[i] = (int32_t)((state >> 33) % (uint64_t)b->info.n_vocab);
    }
}

/* The figures would be wrong if something had been left out. */
static int check_counts(const result *r, const puna_seq *seq) {
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_get_stats(seq, &stats);
    if (stats.n_reused == 0 && stats.n_sampled == r->n_gen) return STATUS_DONE;
    print_error("%s: %d tokens were reused and %d sampled: the figures would be wrong", r->name,
                stats.n_reused, stats.n_sampled);
    return STATUS_FAILED;
}

/* Steps until all sequences are done. */
static int finish_all(bench *b, puna_event *events, int32_t max_events) {
    puna_error err = {0};
    while (!puna_engine_is_idle(b->s.engine)) {
        int32_t n = 0;
        if (puna_engine_step(b->s.engine, events, max_events, &n, &err) != PUNA_OK)
            return print_failure(&err);
        for (int32_t i = 0; i < n; i++)
            if (events[i].kind == PUNA_EVENT_FAILED) return print_failure(&events[i].error);
    }
    return STATUS_DONE;
}

/* One timed run; *seconds from the first feed to the last event. */
static int run_once(bench *b, const result *r, int run, double *seconds) {
    puna_seq_options seq_options;
    puna_error err = {0};
    const int32_t n_fed = r->n_prompt ? r->n_prompt : 1, max_events = 2 * r->n_seqs;
    int32_t *ids = need_memory(NULL, (size_t)n_fed, sizeof *ids);
    puna_seq **seqs = need_memory(NULL, (size_t)r->n_seqs, sizeof *seqs);
    puna_event *events = need_memory(NULL, (size_t)max_events, sizeof *events);
    puna_seq_options_init(&seq_options);
    seq_options.max_tokens = r->n_gen;
    seq_options.sampler.temperature = 0;
    seq_options.sampler.ignore_end = true;
    int status = STATUS_DONE;
    int32_t n = 0;
    const double begun = seconds_now();
    for (; n < r->n_seqs && status == STATUS_DONE; n++) {
        fill_tokens(b, ids, n_fed, run * r->n_seqs + n);
        seqs[n] = NULL;
        if (puna_seq_open(b->s.engine, &seq_options, &seqs[n], &err) != PUNA_OK ||
            puna_seq_feed(seqs[n], ids, n_fed, &err) != PUNA_OK)
            status = print_failure(&err);
    }
    if (status == STATUS_DONE) status = finish_all(b, events, max_events);
    *seconds = seconds_now() - begun;
    for (int32_t i = 0; i < n; i++) {
        if (status == STATUS_DONE) status = check_counts(r, seqs[i]);
        puna_seq_free(seqs[i]);
    }
    free(events);
    free(seqs);
    free(ids);
    return status;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarize(result *r) {
    double sum = 0;
    double squares = 0;
    qsort(r->speeds, (size_t)r->n, sizeof *r->speeds, ascending);
    for (int i = 0; i < r->n; i++) sum += r->speeds[i];
    r->mean = sum / r->n;
    for (int i = 0; i < r->n; i++) squares += (r->speeds[i] - r->mean) * (r->speeds[i] - r->mean);
    r->deviation = r->n > 1 ? sqrt(squares / (r->n - 1)) : 0;
    r->median = (r->speeds[(r->n - 1) / 2] + r->speeds[r->n / 2]) / 2;
}

static int measure(bench *b, result *r) {
    int32_t n_tokens = r->n_prompt ? r->n_prompt : r->n_gen;
    int n_chars = snprintf(r->name, sizeof r->name, "%s%d", r->n_prompt ? "pp" : "tg", n_tokens);
    if (r->n_seqs > 1)
        snprintf(r->name + n_chars, sizeof r->name - (size_t)n_chars, "x%d", r->n_seqs);
    r->speeds = need_memory(NULL, (size_t)b->o->repetitions, sizeof *r->speeds);
    r->n = 0;
    for (int run = 0; run <= b->o->repetitions; run++) {
        double seconds = 0;
        int status = run_once(b, r, run, &seconds);
        if (status != STATUS_DONE) return status;
        if (run > 0) r->speeds[r->n++] = (double)n_tokens * r->n_seqs / seconds;
        progress_update(&b->bar, (double)++b->n_done / b->n_runs, r->name);
    }
    summarize(r);
    return STATUS_DONE;
}

static const char *model_label(const bench *b, char *buf, size_t buf_bytes) {
    char count[NUMBER_CHARS];
    snprintf(buf, buf_bytes, "%s %s %s", b->info.architecture,
             format_count(count, b->info.n_params), b->info.quantization);
    return buf;
}

static void print_table(const bench *b, const result *results, int n) {
    char label[96];
    char size[NUMBER_CHARS];
    char params[NUMBER_CHARS];
    out_printf("| %-28s | %10s | %9s | %7s | %-6s | %7s | %8s | %20s | %9s |\n", "model", "size",
               "params", "threads", "isa", "ngl", "test", "t/s mean", "median");
    out_printf("| %.28s | %.9s: | %.8s: | %.6s: | %.6s | %.6s: | %.7s: | %.19s: | %.8s: |\n",
               "----------------------------", "---------", "--------", "------", "------",
               "------", "-------", "-------------------", "--------");
    for (int i = 0; i < n; i++) {
        char speed[40];
        char layers[32];
        snprintf(layers, sizeof layers, "%d/%d", b->plan.n_gpu_layers, b->plan.n_layers);
        snprintf(speed, sizeof speed, "%.2f ± %.2f", results[i].mean, results[i].deviation);
        /* ± is two bytes and one column: 21 bytes fill 20 columns */
        out_printf("| %-28s | %10s | %9s | %7d | %-6s | %7s | %8s | %21s | %9.2f |\n",
                   model_label(b, label, sizeof label), format_bytes(size, b->info.file_bytes),
                   format_count(params, b->info.n_params), b->plan.n_threads, puna_cpu_isa(),
                   layers, results[i].name, speed, results[i].median);
    }
}

static json_t *json_result(const bench *b, const result *r) {
    char label[96];
    json_t *object = json_object();
    json_t *samples = json_array();
    for (int i = 0; i < r->n; i++) json_array_append_new(samples, json_number(r->speeds[i]));
    json_object_set_new(object, "version", json_string(puna_version()));
    json_object_set_new(object, "model_filename", json_text(b->s.path, strlen(b->s.path)));
    model_label(b, label, sizeof label);
    json_object_set_new(object, "model_type", json_text(label, strlen(label)));
    json_object_set_new(object, "model_size", json_integer((json_int_t)b->info.file_bytes));
    json_object_set_new(object, "model_n_params", json_integer((json_int_t)b->info.n_params));
    json_object_set_new(object, "n_threads", json_integer(b->plan.n_threads));
    json_object_set_new(object, "n_batch", json_integer(b->plan.n_batch));
    json_object_set_new(object, "isa", json_string(puna_cpu_isa()));
    json_object_set_new(object, "n_gpu_layers", json_integer(b->plan.n_gpu_layers));
    json_object_set_new(object, "where", json_text(b->plan.where, strlen(b->plan.where)));
    json_object_set_new(object, "test", json_string(r->name));
    json_object_set_new(object, "n_prompt", json_integer(r->n_prompt));
    json_object_set_new(object, "n_gen", json_integer(r->n_gen));
    json_object_set_new(object, "n_seqs", json_integer(r->n_seqs));
    json_object_set_new(object, "avg_ts", json_number(r->mean));
    json_object_set_new(object, "stddev_ts", json_number(r->deviation));
    json_object_set_new(object, "median_ts", json_number(r->median));
    json_object_set_new(object, "samples_ts", samples);
    return object;
}

static int print_results(const bench *b, const result *results, int n) {
    if (!b->o->json) {
        print_table(b, results, n);
        return STATUS_DONE;
    }
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_result(b, &results[i]));
    return json_print(list, true);
}

static int run_tests(bench *b) {
    result results[3];
    int n_tests = 0;
    if (b->o->bench_prompt > 0)
        results[n_tests++] = (result){.n_prompt = b->o->bench_prompt, .n_seqs = 1};
    if (b->o->bench_gen > 0) results[n_tests++] = (result){.n_gen = b->o->bench_gen, .n_seqs = 1};
    if (b->o->bench_gen > 0 && b->o->n_seq > 1)
        results[n_tests++] = (result){.n_gen = b->o->bench_gen, .n_seqs = b->o->n_seq};
    int n = 0;
    int status = STATUS_DONE;
    b->n_runs = n_tests * (b->o->repetitions + 1);
    progress_begin(&b->bar, "bench");
    for (; n < n_tests && status == STATUS_DONE; n++) status = measure(b, &results[n]);
    progress_end(&b->bar);
    if (status == STATUS_DONE) status = print_results(b, results, n);
    for (int i = 0; i < n; i++) free(results[i].speeds);
    return status;
}

int cmd_bench(const options *o) {
    bench b = {.o = o, .info = {.size = sizeof b.info}, .plan = {.size = sizeof b.plan}};
    if (o->bench_prompt == 0 && o->bench_gen == 0) {
        return print_usage_error(
            "-p 0 and -n 0 leave nothing to measure: give one of them a number");
    }
    int32_t needed = o->bench_prompt > o->bench_gen ? o->bench_prompt : o->bench_gen;
    if (o->n_ctx > 0 && o->n_ctx <= needed) {
        return print_usage_error("-c %d is too small for these tests: use -c %d or more", o->n_ctx,
                                 needed + 1);
    }
    int status = session_open_model(&b.s, o, PUNA_OPEN_FULL);
    if (status == STATUS_DONE)
        status = session_open_engine(&b.s, o, o->n_ctx > 0 ? o->n_ctx : needed + 1);
    if (status == STATUS_DONE) {
        b.s.prefill.begun_s = INFINITY; /* the tests have a bar of their own */
        puna_model_get_info(b.s.model, &b.info);
        puna_engine_get_plan(b.s.engine, &b.plan);
        status = run_tests(&b);
    }
    session_close(&b.s);
    return status;
}
