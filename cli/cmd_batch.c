/* cmd_batch.c: puna batch: a file of requests to a file of answers (server/offline_batch.c computes them).
 *
 * The output is only ever added to, a whole line at a time, so whatever ends the program leaves the
 * answers that it had; --resume reads which those are and takes a line that was cut off at its end
 * away. */
#define _POSIX_C_SOURCE 200809L /* fileno, ftruncate */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../server/offline_batch.h"
#include "cli_print.h"
#include "line_reader.h"
#include "model_source.h"
#include "session.h"

typedef struct batch {
    const options *o;
    progress bar;
    bool is_loading;
    double begun_s;
    line_reader in;
    uint64_t in_bytes; /* of the input; 0: not known */
    FILE *out;
    json_t *ids; /* custom_id -> true: answered before this run, false: in this run */
    text template_text;
    int write_error; /* errno */
} batch;

/* ---- what the batch asks for ----------------------------------------------------------------- */

static bool on_load(void *user, double fraction) {
    batch *b = user;
    progress_update(&b->bar, fraction, "");
    return !session_interrupted();
}

static void on_ready(void *user, const puna_memory_plan *plan) {
    batch *b = user;
    (void)plan;
    progress_end(&b->bar);
    progress_begin(&b->bar, "batch");
    b->is_loading = false;
    b->begun_s = seconds_now();
}

static bool next_line(void *user, pn_batch_line *line) {
    batch *b = user;
    if (!line_reader_next(&b->in)) return false;
    *line = (pn_batch_line){b->in.bytes, b->in.n_bytes, b->in.is_cut};
    return true;
}

static pn_batch_claim claim(void *user, const char *custom_id) {
    batch *b = user;
    const json_t *known = json_object_get(b->ids, custom_id);
    if (known) return json_is_true(known) ? PN_BATCH_ANSWERED : PN_BATCH_REPEATED;
    if (json_object_set_new(b->ids, custom_id, json_false()) != 0) need_memory(NULL, SIZE_MAX, 1);
    return PN_BATCH_NEW;
}

static bool write_line(void *user, const char *line, size_t n_bytes) {
    batch *b = user;
    if (fwrite(line, 1, n_bytes, b->out) == n_bytes && fflush(b->out) == 0) return true;
    b->write_error = errno;
    return false;
}

static bool tick(void *user, const pn_batch_state *state) {
    batch *b = user;
    char note[96];
    const double seconds = seconds_now() - b->begun_s;
    const double speed = seconds > 0 ? (double)state->n_sampled / seconds : 0;
    snprintf(note, sizeof note, "%lld done, %lld failed, %.0f tokens/s",
             (long long)state->n_answered, (long long)state->n_failed, speed);
    if (b->in_bytes > 0) {
        const double all = (double)b->in_bytes;
        progress_skip(&b->bar, (double)state->n_left_bytes / all);
        progress_update(&b->bar, (double)state->n_bytes / all, note);
    }
    return !session_interrupted();
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool is_standard(const char *path) {
    return !path || strcmp(path, "-") == 0;
}

static int cannot(const char *what, const char *path) {
    print_error("cannot %s %s: %s", what, path, strerror(errno));
    return STATUS_FAILED;
}

static int open_input(batch *b) {
    struct stat st;
    b->in.file = stdin;
    b->in.max_bytes = PN_BATCH_LINE_BYTES;
    if (!is_standard(b->o->batch_in) && !(b->in.file = fopen(b->o->batch_in, "rb")))
        return cannot("open", b->o->batch_in);
    if (fstat(fileno(b->in.file), &st) != 0) return STATUS_DONE;
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return cannot("open", b->o->batch_in);
    }
    if (S_ISREG(st.st_mode)) b->in_bytes = (uint64_t)st.st_size;
    return STATUS_DONE;
}

/* Notes whose result a line of the output is; false when it is none. */
static bool note_result(batch *b, const line_reader *line) {
    json_t *result = json_loadb(line->bytes, line->n_bytes, JSON_REJECT_DUPLICATES, NULL);
    const char *id = json_string_value(json_object_get(result, "custom_id"));
    const bool is_result = id && json_object_get(result, "response") && !line->is_cut;
    if (is_result && json_object_set_new(b->ids, id, json_true()) != 0)
        need_memory(NULL, SIZE_MAX, 1);
    json_decref(result);
    return is_result;
}

/* Reads what was answered before; *good_bytes: of the output without a last line that was cut off. */
static int read_results(batch *b, uint64_t *good_bytes) {
    const char *path = b->o->batch_out;
    line_reader lines = {.file = b->out, .max_bytes = SIZE_MAX / 4};
    int status = STATUS_DONE;
    *good_bytes = 0;
    for (long number = 1; status == STATUS_DONE && line_reader_next(&lines); number++) {
        if (!lines.is_ended) break;
        if (note_result(b, &lines)) {
            *good_bytes = lines.end;
        } else {
            print_error("%s is not what puna batch has written: line %ld is no result", path,
                        number);
            status = STATUS_FAILED;
        }
    }
    if (status == STATUS_DONE && ferror(b->out)) status = cannot("read", path);
    line_reader_free(&lines);
    return status;
}

static int resume_output(batch *b) {
    uint64_t good_bytes;
    const int status = read_results(b, &good_bytes);
    if (status != STATUS_DONE) return status;
    if (fflush(b->out) != 0 || ftruncate(fileno(b->out), (off_t)good_bytes) != 0 ||
        fseek(b->out, 0, SEEK_END) != 0)
        return cannot("write", b->o->batch_out);
    return STATUS_DONE;
}

static bool is_same_file(FILE *a, FILE *b) {
    struct stat x, y;
    return fstat(fileno(a), &x) == 0 && fstat(fileno(b), &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino && S_ISREG(x.st_mode);
}

static int open_output(batch *b) {
    const char *path = b->o->batch_out;
    struct stat st;
    b->out = stdout;
    if (is_standard(path)) {
        if (b->o->resume) return print_usage_error("--resume needs the output's name: -o FILE");
        return STATUS_DONE;
    }
    if (!b->o->resume && stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        return print_usage_error("%s has results already: add --resume, or name another file",
                                 path);
    b->out = fopen(path, "a+b");
    if (!b->out) return cannot("open", path);
    if (is_same_file(b->in.file, b->out))
        return print_usage_error("-i and -o name the same file: %s", path);
    return b->o->resume ? resume_output(b) : STATUS_DONE;
}

static int close_output(batch *b, int status) {
    if (!b->out || b->out == stdout) return status;
    if (fclose(b->out) != 0 && status == STATUS_DONE) status = cannot("write", b->o->batch_out);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void set_options(pn_batch_options *run, batch *b, const char *path) {
    const options *o = b->o;
    pn_batch_options_init(run);
    run->model_path = path;
    run->alias = o->alias;
    run->defaults = o->sampler;
    run->chat.format = o->chat_template;
    run->chat.template_text = b->template_text.bytes;
    run->chat.template_bytes = b->template_text.n_bytes;
    run->model.progress = on_load;
    run->model.progress_user = b;
    run->model.use_mmap = !o->no_mmap;
    run->model.use_mlock = o->mlock;
    session_engine_options(&run->scheduler.engine, o);
    run->scheduler.engine.prefix_cache = true;
    run->program = (pn_batch_host){b, on_ready, next_line, claim, write_line, tick};
}

static int sum_up(const batch *b, const pn_batch_state *state) {
    char left[64] = "";
    if (state->n_left > 0)
        snprintf(left, sizeof left, ", %lld were there already", (long long)state->n_left);
    const double seconds = seconds_now() - b->begun_s;
    print_note("%lld answered, %lld failed%s; %.1f s, %.0f tokens/s", (long long)state->n_answered,
               (long long)state->n_failed, left, seconds,
               seconds > 0 ? (double)state->n_sampled / seconds : 0);
    return state->n_failed > 0 ? STATUS_FAILED : STATUS_DONE;
}

static int run(batch *b, const char *path) {
    pn_batch_options batch_options;
    pn_batch_state state = {0};
    puna_error err = {0};
    set_options(&batch_options, b, path);
    session_catch_signals();
    b->is_loading = true;
    progress_begin(&b->bar, "loading");
    const puna_status status = pn_batch_run(&batch_options, &state, &err);
    progress_end(&b->bar);
    if (!b->is_loading) {
        const int sum = sum_up(b, &state);
        if (status == PUNA_OK) return ferror(b->in.file) ? cannot("read", "the input") : sum;
    }
    if (status == PUNA_E_CANCELLED || session_interrupted()) {
        if (!is_standard(b->o->batch_out) && !b->is_loading)
            print_note("--resume goes on from here");
        return STATUS_INTERRUPTED;
    }
    if (b->write_error) {
        errno = b->write_error;
        return cannot("write", is_standard(b->o->batch_out) ? "the results" : b->o->batch_out);
    }
    return print_failure(&err);
}

int cmd_batch(const options *o) {
    batch b = {.o = o};
    char *path = NULL;
    if (o->chat_template && o->template_path)
        return print_usage_error("use --chat-template or --template, not both");
    b.ids = json_object();
    if (!b.ids) need_memory(NULL, SIZE_MAX, 1);
    int status = open_input(&b);
    if (status == STATUS_DONE) status = open_output(&b);
    if (status == STATUS_DONE && o->template_path)
        status = text_read_file(o->template_path, &b.template_text);
    if (status == STATUS_DONE) status = model_source_find(o, &path);
    if (status == STATUS_DONE) status = run(&b, path);
    status = close_output(&b, status);
    if (b.in.file && b.in.file != stdin) fclose(b.in.file);
    line_reader_free(&b.in);
    free(path);
    free(b.template_text.bytes);
    json_decref(b.ids);
    return status;
}
