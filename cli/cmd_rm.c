/* cmd_rm.c: puna rm: removes a model from the caches, after showing what goes. */
#define _POSIX_C_SOURCE 200809L /* isatty, fileno */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli_print.h"
#include "json_out.h"
#include "model_source.h"

static bool confirmed(void) {
    char answer[64] = "";
    fputs("Remove? [y/N] ", stderr);
    fflush(stderr);
    if (!fgets(answer, sizeof answer, stdin)) fputc('\n', stderr);
    answer[strcspn(answer, "\r\n")] = 0;
    return !strcmp(answer, "y") || !strcmp(answer, "Y") || !strcmp(answer, "yes");
}

/* Asks on a terminal; elsewhere only -y will do. Returns STATUS_DONE to go on. */
static int ask(const options *o, const hub_removal *removal) {
    char size[NUMBER_CHARS];
    if (!o->yes || !print_is_quiet()) {
        for (size_t i = 0; i < removal->n_shown; i++) {
            print_note("%s", removal->shown[i]);
        }
        print_note("puna: %zu %s, frees %s", removal->n_shown,
                   removal->n_shown == 1 ? "file" : "files",
                   format_bytes(size, removal->freed_bytes));
    }
    if (o->yes) return STATUS_DONE;
    if (!isatty(STDIN_FILENO))
        return print_usage_error("nothing was removed: give -y where nobody can be asked");
    if (confirmed()) return STATUS_DONE;
    print_error("nothing was removed");
    return STATUS_FAILED;
}

static int print_result(const options *o, const hub_removal *removal) {
    json_t *files = json_array();
    if (!o->json) {
        json_decref(files);
        return STATUS_DONE;
    }
    for (size_t i = 0; i < removal->n_shown; i++) {
        json_array_append_new(files, json_text(removal->shown[i], strlen(removal->shown[i])));
    }
    return json_print(
        json_pack("{s:o, s:I}", "removed", files, "freed_bytes", (json_int_t)removal->freed_bytes),
        false);
}

int cmd_rm(const options *o) {
    hub_removal removal;
    hub_error err;
    if (!o->model) return print_usage_error("which model? puna rm NAME; 'puna ls' lists them");
    hub_status done = hub_plan_removal(o->model, &removal, &err);
    if (done != HUB_OK) return model_source_failed(done, &err);
    int status = ask(o, &removal);
    if (status == STATUS_DONE) {
        done = hub_remove(&removal, &err);
        status = done == HUB_OK ? print_result(o, &removal) : model_source_failed(done, &err);
    }
    hub_removal_clear(&removal);
    return status;
}
