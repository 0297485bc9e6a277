/* cmd_pull.c: puna pull: fetches a model, or its newer version, and prints where it is. */
#include <stdio.h>

#include "cli_print.h"
#include "json_out.h"
#include "model_source.h"

static int print_json(const hub_model *model) {
    json_t *object = model_source_json(model);
    json_object_set_new(object, "downloaded", json_boolean(model->downloaded));
    return json_print(object, false);
}

static int print_path(const hub_model *model) {
    char size[NUMBER_CHARS];
    print_note("puna: %s: %s, %s", model->name, format_bytes(size, model->bytes),
               model->downloaded ? "fetched" : "nothing new to fetch");
    out_printf("%s\n", model->path);
    return STATUS_DONE;
}

int cmd_pull(const options *o) {
    model_source source = {0};
    hub_host host = model_source_host(&source);
    hub_request request = {.name = o->model,
                           .glob = o->glob,
                           .revision = o->revision,
                           .local_dir = o->local_dir,
                           .offline = o->offline};
    hub_model model;
    hub_error err;
    hub_status pulled = hub_pull(&request, &host, &model, &err);
    model_source_end(&source);
    if (pulled != HUB_OK) return model_source_failed(pulled, &err);
    int status = o->json ? print_json(&model) : print_path(&model);
    hub_model_clear(&model);
    return status;
}
