/* cmd_plan.c: puna plan: every buffer an engine would take, to the byte, and whether it fits. */
#include <stddef.h>
#include <string.h>

#include "json_out.h"
#include "cli_print.h"
#include "session.h"

/* The rows of the table, in the order they are printed. */
static const struct {
    const char *name;
    size_t at; /* a uint64_t in puna_memory_plan */
    const char *what;
} buffers[] = {
    {"kv", offsetof(puna_memory_plan, kv_bytes), "keys and values of every position"},
    {"activations", offsetof(puna_memory_plan, activations_bytes), "workspace of one step"},
    {"logits", offsetof(puna_memory_plan, logits_bytes), "scores of the next token"},
    {"scratch", offsetof(puna_memory_plan, scratch_bytes), "per-thread buffers"},
    {"other", offsetof(puna_memory_plan, other_bytes), "page tables, token lists, samplers"},
    {"total", offsetof(puna_memory_plan, total_bytes), "what opening the engine allocates"},
    {"weights", offsetof(puna_memory_plan, weights_bytes),
     "mapped from the file, shared, can be dropped"},
    {"available", offsetof(puna_memory_plan, available_bytes),
     "memory of this machine that is free"},
};

enum { N_BUFFERS = sizeof buffers / sizeof *buffers };

static uint64_t buffer_bytes(const puna_memory_plan *plan, int i) {
    uint64_t bytes;
    memcpy(&bytes, (const char *)plan + buffers[i].at, sizeof bytes);
    return bytes;
}

static void print_table(const puna_memory_plan *plan, const options *o) {
    char exact[NUMBER_CHARS];
    char human[NUMBER_CHARS];
    out_printf("context    %d tokens (trained for %d)\n", plan->n_ctx, plan->n_ctx_train);
    out_printf("sequences  %d\nbatch      %d tokens\nthreads    %d\n\n", plan->n_seq, plan->n_batch,
               plan->n_threads);
    if (o->n_gpu_layers != 0) out_printf("%s\n\n", plan->where);
    for (int i = 0; i < N_BUFFERS; i++) {
        const char *what = buffers[i].what;
        uint64_t bytes = buffer_bytes(plan, i);
        if (buffers[i].at == offsetof(puna_memory_plan, weights_bytes) && o->no_mmap)
            what = "read into memory";
        if (buffers[i].at == offsetof(puna_memory_plan, total_bytes) && plan->n_gpu_layers > 0)
            what = "what opening the engine takes of this machine's memory";
        out_printf("%-12s%18s bytes %12s  %s\n", buffers[i].name, format_digits(exact, bytes),
                   format_bytes(human, bytes), what);
    }
    for (int32_t i = 0; plan->n_gpu_layers > 0 && i < plan->n_devices; i++) {
        const puna_device_plan *d = &plan->devices[i];
        if (d->gpu < 0) continue;
        out_printf("card %-7d%18s bytes %12s  %d layers on %s: weights, kv, activations, logits\n",
                   d->gpu, format_digits(exact, d->total_bytes),
                   format_bytes(human, d->total_bytes), d->n_layers, d->name);
    }
    out_printf("\none more position in the context of a sequence takes %s bytes\n",
               format_digits(exact, plan->kv_bytes_per_position));
    if (plan->fits) {
        out_printf("it fits; up to -c %d would\n", plan->n_ctx_fits);
    } else if (plan->n_ctx_fits > 0) {
        out_printf("it does NOT fit: use -c %d or less, fewer sequences (-np), or -ctk q8_0\n",
                   plan->n_ctx_fits);
    } else {
        out_printf("it does NOT fit with any context: use a smaller batch (-b), fewer sequences "
                   "(-np), or a "
                   "smaller model\n");
    }
}

/* Which layers each device computes, and the bytes it takes. */
static json_t *describe_devices(const puna_memory_plan *plan) {
    json_t *rows = json_array();
    for (int32_t i = 0; i < plan->n_devices; i++) {
        const puna_device_plan *d = &plan->devices[i];
        json_t *row = json_object();
        json_object_set_new(row, "name", json_text(d->name, strlen(d->name)));
        json_object_set_new(row, "gpu", d->gpu >= 0 ? json_integer(d->gpu) : json_null());
        json_object_set_new(row, "first_layer", json_integer(d->first_layer));
        json_object_set_new(row, "n_layers", json_integer(d->n_layers));
        json_object_set_new(row, "weights_bytes", json_integer((json_int_t)d->weights_bytes));
        json_object_set_new(row, "kv_bytes", json_integer((json_int_t)d->kv_bytes));
        json_object_set_new(row, "total_bytes", json_integer((json_int_t)d->total_bytes));
        json_object_set_new(row, "available_bytes", json_integer((json_int_t)d->available_bytes));
        json_array_append_new(rows, row);
    }
    return rows;
}

static int print_object(const puna_memory_plan *plan) {
    json_t *object = json_object();
    json_object_set_new(object, "n_ctx", json_integer(plan->n_ctx));
    json_object_set_new(object, "n_ctx_train", json_integer(plan->n_ctx_train));
    json_object_set_new(object, "n_ctx_fits", json_integer(plan->n_ctx_fits));
    json_object_set_new(object, "n_seq", json_integer(plan->n_seq));
    json_object_set_new(object, "n_batch", json_integer(plan->n_batch));
    json_object_set_new(object, "n_threads", json_integer(plan->n_threads));
    json_object_set_new(object, "n_layers", json_integer(plan->n_layers));
    json_object_set_new(object, "n_gpu_layers", json_integer(plan->n_gpu_layers));
    json_object_set_new(object, "gpu_bytes", json_integer((json_int_t)plan->gpu_bytes));
    json_object_set_new(object, "gpu_available_bytes",
                        json_integer((json_int_t)plan->gpu_available_bytes));
    json_object_set_new(object, "where", json_string(plan->where));
    json_object_set_new(object, "devices", describe_devices(plan));
    json_object_set_new(object, "fits", json_boolean(plan->fits));
    for (int i = 0; i < N_BUFFERS; i++) {
        char name[40];
        snprintf(name, sizeof name, "%s_bytes", buffers[i].name);
        json_object_set_new(object, name, json_integer((json_int_t)buffer_bytes(plan, i)));
    }
    json_object_set_new(object, "kv_bytes_per_position",
                        json_integer((json_int_t)plan->kv_bytes_per_position));
    return json_print(object, true);
}

int cmd_plan(const options *o) {
    session s = {0};
    puna_engine_options engine_options;
    puna_memory_plan plan = {.size = sizeof plan};
    puna_error err = {0};
    int status = session_open_model(&s, o, PUNA_OPEN_FULL);
    if (status == STATUS_DONE) {
        session_engine_options(&engine_options, o);
        if (puna_engine_plan(s.model, &engine_options, &plan, &err) != PUNA_OK)
            status = print_failure(&err);
    }
    if (status == STATUS_DONE && o->json) {
        status = print_object(&plan);
    } else if (status == STATUS_DONE) {
        print_table(&plan, o);
    }
    session_close(&s);
    return status;
}
