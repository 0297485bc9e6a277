/* model_source.c: what the commands do with hub/ in the same way. */
#include "model_source.h"

#include <stdio.h>
#include <string.h>

#include "cli_print.h"
#include "json_out.h"
#include "session.h"

static const double rate_window_s = 0.5;

static bool on_stopped(void *user) {
    (void)user;
    return session_interrupted();
}

static void on_note(void *user, const char *line) {
    model_source_end(user);
    print_note("puna: %s", line);
}

static void take_rate(model_source *source, uint64_t done_bytes) {
    double now = seconds_now();
    double elapsed = now - source->mark_s;
    if (elapsed < rate_window_s) return;
    double rate = (double)(done_bytes - source->mark_bytes) / elapsed;
    source->rate = source->rate > 0 ? 0.7 * source->rate + 0.3 * rate : rate;
    source->mark_s = now;
    source->mark_bytes = done_bytes;
}

static void on_progress(void *user, const hub_progress *p) {
    model_source *source = user;
    char done[NUMBER_CHARS];
    char total[NUMBER_CHARS];
    char rate[NUMBER_CHARS];
    char note[3 * NUMBER_CHARS + 16];
    double all = p->total_bytes ? (double)p->total_bytes : 1;
    if (!source->what || strcmp(source->what, p->what) != 0) {
        source->what = p->what;
        source->rate = 0;
        source->mark_s = seconds_now();
        source->mark_bytes = p->done_bytes;
        progress_begin(&source->bar, p->what);
    }
    if (p->done_bytes < source->mark_bytes) source->mark_bytes = p->done_bytes; /* started over */
    progress_skip(&source->bar, (double)p->resumed_bytes / all);
    take_rate(source, p->done_bytes);
    snprintf(note, sizeof note, "%s of %s%s%s%s", format_bytes(done, p->done_bytes),
             format_bytes(total, p->total_bytes), source->rate > 0 ? ", " : "",
             source->rate > 0 ? format_bytes(rate, (uint64_t)source->rate) : "",
             source->rate > 0 ? "/s" : "");
    progress_update(&source->bar, (double)p->done_bytes / all, note);
}

json_t *model_source_json(const hub_model *model) {
    json_t *files = json_array();
    for (size_t i = 0; i < model->n_files; i++) {
        json_array_append_new(files, json_text(model->files[i], strlen(model->files[i])));
    }
    return json_pack("{s:o, s:s, s:o, s:o, s:I, s:s, s:s, s:I}", "name",
                     json_text(model->name, strlen(model->name)), "source", model->source, "path",
                     json_text(model->path, strlen(model->path)), "files", files, "bytes",
                     (json_int_t)model->bytes, "quantization", model->quant, "revision",
                     model->revision, "modified", (json_int_t)model->when);
}

hub_host model_source_host(model_source *source) {
    return (hub_host){source, on_stopped, on_note, on_progress};
}

void model_source_end(model_source *source) {
    if (source->what) progress_end(&source->bar);
}

int model_source_failed(hub_status status, const hub_error *err) {
    print_error("%s", err->msg);
    return status == HUB_STOPPED ? STATUS_INTERRUPTED
           : status == HUB_USAGE ? STATUS_USAGE
                                 : STATUS_FAILED;
}

int model_source_find(const options *o, char **path) {
    model_source source = {0};
    hub_host host = model_source_host(&source);
    hub_request request = {.name = o->model, .offline = o->offline};
    hub_error err;
    hub_status status = hub_resolve(&request, &host, path, &err);
    model_source_end(&source);
    return status == HUB_OK ? STATUS_DONE : model_source_failed(status, &err);
}
