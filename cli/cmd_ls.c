/* cmd_ls.c: puna ls: the models that are here, under the names to type. */
#define _POSIX_C_SOURCE 200809L /* localtime_r */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli_print.h"
#include "json_out.h"
#include "model_source.h"

enum { DATE_CHARS = 32 };

/* The quantisation that the name does not tell, from the file; "?" when it cannot be read. */
static void read_quantization(hub_model *model) {
    puna_model_options model_options;
    puna_model_info info = {.size = sizeof info};
    puna_model *file = NULL;
    if (model->quant[0]) return;
    puna_model_options_init(&model_options);
    model_options.level = PUNA_OPEN_FILE;
    const char *quant = "?";
    if (puna_model_open(model->path, &model_options, &file, NULL) == PUNA_OK) {
        puna_model_get_info(file, &info);
        if (info.quantization && *info.quantization) quant = info.quantization;
    }
    size_t n_bytes = strlen(quant) + 1;
    free(model->quant);
    model->quant = memcpy(need_memory(NULL, n_bytes, 1), quant, n_bytes);
    puna_model_free(file);
}

static int print_json(const hub_models *models) {
    json_t *list = json_array();
    for (size_t i = 0; i < models->n; i++) {
        json_array_append_new(list, model_source_json(&models->items[i]));
    }
    return json_print(list, true);
}

static int widest(const hub_models *models, size_t column) {
    size_t width = 5; /* of the headings */
    for (size_t i = 0; i < models->n; i++) {
        const char *text = column == 0 ? models->items[i].name : models->items[i].quant;
        if (strlen(text) > width) width = strlen(text);
    }
    return width < 200 ? (int)width : 200;
}

static void print_table(const hub_models *models) {
    int name_width = widest(models, 0);
    int quant_width = widest(models, 1);
    if (models->n == 0) return;
    out_printf("%-*s  %10s  %-*s  %-16s  %s\n", name_width, "NAME", "SIZE", quant_width, "QUANT",
               "WHEN", "PATH");
    for (size_t i = 0; i < models->n; i++) {
        const hub_model *model = &models->items[i];
        char size[NUMBER_CHARS];
        char date[DATE_CHARS] = "";
        struct tm when;
        if (localtime_r(&model->when, &when)) strftime(date, sizeof date, "%Y-%m-%d %H:%M", &when);
        out_clean(model->name, name_width);
        out_printf("  %10s  ", format_bytes(size, model->bytes));
        out_clean(model->quant, quant_width);
        out_printf("  %-16s  ", date);
        out_clean(model->path, 0);
        out_printf("\n");
    }
}

int cmd_ls(const options *o) {
    hub_models models;
    hub_error err;
    char size[NUMBER_CHARS];
    if (o->model) return print_usage_error("puna ls takes no name; it lists all models");
    hub_status listed = hub_list(&models, &err);
    if (listed != HUB_OK) return model_source_failed(listed, &err);
    for (size_t i = 0; i < models.n; i++) read_quantization(&models.items[i]);
    int status = STATUS_DONE;
    if (o->json) {
        status = print_json(&models);
    } else {
        print_table(&models);
        if (models.n == 0)
            print_note("puna: no models here; 'puna help pull' says how to get some");
    }
    if (models.n_unfinished > 0) {
        print_note(
            "puna: %zu unfinished %s (%s): the same pull goes on with it, 'puna rm ORG/REPO' "
            "removes it",
            models.n_unfinished, models.n_unfinished == 1 ? "download" : "downloads",
            format_bytes(size, models.unfinished_bytes));
    }
    hub_models_clear(&models);
    return status;
}
