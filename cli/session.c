/* session.c: opening, feeding and stopping, the same way for every command. */
#define _POSIX_C_SOURCE 200809L /* sigaction, strdup, getline */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_print.h"
#include "model_source.h"

/* ---- Ctrl-C ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;
static puna_engine *volatile running_engine;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
    if (running_engine) puna_engine_cancel(running_engine);
}

/* A mapped page that is no longer there: somebody cut or replaced the model file. Nothing can be
 * mended here. */
static void on_lost_page(int signal_number) {
    static const char message[] =
        "puna: the model file changed or could not be read while in use: start again, "
        "or use --no-mmap\n";
    (void)signal_number;
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(STATUS_FAILED);
    _exit(STATUS_FAILED);
}

void session_forget_interrupt(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = (int)SA_RESETHAND; /* the second one ends the program at once */
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
}

void session_catch_signals(void) {
    struct sigaction action;
    session_forget_interrupt();
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_lost_page;
    sigaction(SIGBUS, &action, NULL);
}

bool session_interrupted(void) {
    return interrupted;
}

static bool on_progress(void *user, double fraction) {
    progress *p = user;
    if (fraction >= 1) {
        progress_end(p);
    } else {
        progress_update(p, fraction, "");
    }
    return !interrupted;
}

/* ---- model and engine ------------------------------------------------------------------------ */

/* The mistakes that are about the path alone, said with what to do; the library judges the rest. */
static int check_path(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) {
        print_error("cannot open model %s: %s; check the path", path,
                    errno == ENOENT ? "no such file" : strerror(errno));
        return STATUS_FAILED;
    }
    if (S_ISDIR(st.st_mode)) {
        print_error("cannot open model %s: it is a directory; give the .gguf file in it", path);
        return STATUS_FAILED;
    }
    return STATUS_DONE;
}

int session_open_model(session *s, const options *o, puna_open_level level) {
    puna_model_options model_options;
    puna_error err = {0};
    int status = model_source_find(o, &s->path);
    if (status == STATUS_DONE) status = check_path(s->path);
    if (status != STATUS_DONE) return status;
    puna_model_options_init(&model_options);
    model_options.level = level;
    model_options.use_mmap = !o->no_mmap;
    model_options.use_mlock = o->mlock;
    model_options.progress = on_progress;
    model_options.progress_user = &s->load;
    progress_begin(&s->load, "loading");
    puna_status opened = puna_model_open(s->path, &model_options, &s->model, &err);
    progress_end(&s->load);
    return opened == PUNA_OK ? STATUS_DONE : print_failure(&err);
}

void session_engine_options(puna_engine_options *engine_options, const options *o) {
    puna_engine_options_init(engine_options);
    engine_options->n_ctx = o->n_ctx;
    engine_options->n_seq = o->n_seq;
    engine_options->n_kv = o->n_kv;
    engine_options->n_batch = o->n_batch;
    engine_options->max_draft = o->max_draft;
    engine_options->n_gpu_layers = o->n_gpu_layers;
    engine_options->gpu_required = o->gpu_required;
    engine_options->main_gpu = o->main_gpu;
    memcpy(engine_options->tensor_split, o->tensor_split, sizeof o->tensor_split);
    engine_options->n_threads = o->n_threads > 0 ? o->n_threads : 0;
    int32_t kv = o->kv_type_k >= 0 ? o->kv_type_k : o->kv_type_v;
    if (kv >= 0) engine_options->kv_type = (puna_kv_type)kv;
}

int session_open_engine(session *s, const options *o, int32_t n_ctx) {
    puna_engine_options engine_options;
    puna_memory_plan plan = {.size = sizeof plan};
    puna_error err = {0};
    session_engine_options(&engine_options, o);
    if (n_ctx > 0) engine_options.n_ctx = n_ctx;
    engine_options.progress = on_progress;
    engine_options.progress_user = &s->prefill;
    engine_options.upload = on_progress;
    engine_options.upload_user = &s->load;
    progress_begin(&s->load, "uploading");
    const puna_status opened = puna_engine_open(s->model, &engine_options, &s->engine, &err);
    progress_end(&s->load);
    if (opened != PUNA_OK) return print_failure(&err);
    running_engine = s->engine;
    if (interrupted) return STATUS_INTERRUPTED;
    puna_engine_get_plan(s->engine, &plan);
    if (o->n_gpu_layers != 0) print_note("%s", plan.where);
    if (engine_options.n_ctx == 0 && plan.n_ctx < plan.n_ctx_train) {
        print_note("context %d of the %d the model was trained for: that is what memory allows",
                   plan.n_ctx, plan.n_ctx_train);
    }
    progress_begin(&s->prefill, "prefill");
    return STATUS_DONE;
}

void session_close(session *s) {
    running_engine = NULL;
    puna_engine_free(s->engine);
    puna_model_free(s->model);
    free(s->path);
    memset(s, 0, sizeof *s);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

uint32_t session_tokenize_flags(const options *o) {
    return (o->no_bos ? 0 : PUNA_TOKENIZE_ADD_SPECIAL) |
           (o->special ? PUNA_TOKENIZE_PARSE_SPECIAL : 0);
}

int session_tokenize(const session *s, const char *bytes, size_t n_bytes, uint32_t flags,
                     tokens *out) {
    puna_error err = {0};
    puna_status status = PUNA_E_LIMIT;
    size_t guess = n_bytes / 2 + 16;
    int32_t room = guess < INT32_MAX ? (int32_t)guess : INT32_MAX;
    while (status == PUNA_E_LIMIT) {
        int32_t n = 0;
        out->ids = need_memory(out->ids, (size_t)room, sizeof *out->ids);
        status = puna_tokenize(s->model, bytes, n_bytes, flags, out->ids, room, &n, &err);
        if (status == PUNA_E_LIMIT && n <= room) break;
        room = out->n = n;
    }
    return status == PUNA_OK ? STATUS_DONE : print_failure(&err);
}

int session_detokenize(const session *s, const int32_t *ids, int32_t n_ids, uint32_t flags,
                       text *out) {
    puna_error err = {0};
    puna_status status = PUNA_E_LIMIT;
    size_t room = (size_t)n_ids * 8 + 64;
    while (status == PUNA_E_LIMIT) {
        size_t n = 0;
        out->bytes = need_memory(out->bytes, room + 1, 1);
        status = puna_detokenize(s->model, ids, n_ids, flags, out->bytes, room, &n, &err);
        if (status == PUNA_E_LIMIT && n <= room) break;
        room = out->n_bytes = n;
    }
    if (status != PUNA_OK) return print_failure(&err);
    out->bytes[out->n_bytes] = 0;
    return STATUS_DONE;
}

int session_parse_ids(const session *s, const char *list, tokens *out) {
    puna_model_info info = {.size = sizeof info};
    int32_t room = 0;
    puna_model_get_info(s->model, &info);
    for (const char *at = list; *(at += strspn(at, " \t\r\n,[]"));) {
        char *end;
        errno = 0;
        long long id = strtoll(at, &end, 10);
        int word = (int)strcspn(at, " \t\r\n,[]");
        if (end != at + word || errno || id < 0 || id >= info.n_vocab) {
            print_error("'%.*s' is no token id: use whole numbers from 0 to %d",
                        word > 40 ? 40 : word, at, info.n_vocab - 1);
            return STATUS_FAILED;
        }
        if (out->n == room) {
            room = room ? room * 2 : 64;
            out->ids = need_memory(out->ids, (size_t)room, sizeof *out->ids);
        }
        out->ids[out->n++] = (int32_t)id;
        at = end;
    }
    return STATUS_DONE;
}

int session_check_fits(const session *s, int32_t n_tokens) {
    puna_memory_plan plan = {.size = sizeof plan};
    puna_engine_get_plan(s->engine, &plan);
    if (n_tokens == 0) {
        print_error("the prompt has no tokens: use a longer one");
        return STATUS_FAILED;
    }
    if (n_tokens <= plan.n_ctx) return STATUS_DONE;
    print_error(
        "the prompt has %d tokens but the context holds %d: use a shorter prompt, or -c %d or more",
        n_tokens, plan.n_ctx, n_tokens + 1);
    return STATUS_FAILED;
}

int session_finish(session *s, puna_seq *seq) {
    while (!puna_engine_is_idle(s->engine)) {
        puna_event events[2];
        puna_error err = {0};
        int32_t n_events = 0;
        if (puna_engine_step(s->engine, events, 2, &n_events, &err) != PUNA_OK)
            return print_failure(&err);
        for (int32_t i = 0; i < n_events; i++) {
            if (events[i].seq == seq && events[i].kind == PUNA_EVENT_FAILED)
                return print_failure(&events[i].error);
        }
    }
    return STATUS_DONE;
}

int session_each_line(void *user, const options *o, session_line_fn *handle) {
    char *line = NULL;
    size_t room = 0;
    ssize_t n_bytes;
    int status = STATUS_DONE;
    for (long number = 1; status == STATUS_DONE && (n_bytes = getline(&line, &room, stdin)) > 0;
         number++) {
        status = handle(user, o, line, (size_t)n_bytes, number);
        if (!out_flush()) break;
    }
    free(line);
    return status;
}
