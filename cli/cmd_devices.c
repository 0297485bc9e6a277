/* cmd_devices.c: puna devices: what can compute here. */
#include <string.h>

#include "json_out.h"
#include "cli_options.h"
#include "cli_print.h"
#include "session.h"

static void print_card(const puna_gpu *gpu, int32_t index) {
    char free_text[NUMBER_CHARS], total_text[NUMBER_CHARS];
    out_printf("gpu %-3d %s, %s free of %s, compute capability %d.%d, driver for CUDA %d.%d%s\n",
               index, gpu->name, format_bytes(free_text, gpu->free_bytes),
               format_bytes(total_text, gpu->total_bytes), gpu->compute_capability / 10,
               gpu->compute_capability % 10, gpu->driver_version / 1000,
               gpu->driver_version % 1000 / 10, gpu->is_used ? ", used by -ngl" : "");
}

static json_t *describe_card(const puna_gpu *gpu) {
    json_t *object = json_object();
    json_object_set_new(object, "name", json_text(gpu->name, strlen(gpu->name)));
    json_object_set_new(object, "free_bytes", json_integer((json_int_t)gpu->free_bytes));
    json_object_set_new(object, "total_bytes", json_integer((json_int_t)gpu->total_bytes));
    json_object_set_new(object, "compute_capability", json_integer(gpu->compute_capability));
    json_object_set_new(object, "driver_version", json_integer(gpu->driver_version));
    json_object_set_new(object, "is_used", json_boolean(gpu->is_used));
    return object;
}

int cmd_devices(const options *o) {
    puna_error err = {0};
    int32_t n = 1;
    json_t *cards = json_array();
    if (!o->json) out_printf("cpu     %s\n", puna_cpu_isa());
    for (int32_t i = 0; i < n; i++) {
        puna_gpu gpu = {.size = sizeof gpu};
        if (puna_gpu_get(i, &gpu, &n, &err) != PUNA_OK) break;
        json_array_append_new(cards, describe_card(&gpu));
        if (!o->json) print_card(&gpu, i);
    }
    if (!o->json && err.msg[0]) out_printf("gpu     none: %s\n", err.msg);
    if (!o->json) {
        json_decref(cards);
        return STATUS_DONE;
    }
    json_t *object = json_object();
    json_object_set_new(object, "cpu", json_string(puna_cpu_isa()));
    json_object_set_new(object, "gpus", cards);
    if (err.msg[0]) json_object_set_new(object, "why_no_gpu", json_text(err.msg, strlen(err.msg)));
    return json_print(object, true);
}
