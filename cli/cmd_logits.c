/* cmd_logits.c: puna logits: what the model expects after a prompt.
 *
 * --top prints the highest logits of the last position with their log-probabilities; --all
 * writes the logits of every position as raw float32 [n_tokens][n_vocab] in the byte order of
 * the machine, for comparisons. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "cli_print.h"
#include "session.h"

typedef struct work {
    const options *o;
    session s;
    text prompt;
    tokens fed;
    puna_seq *seq;
    int32_t n_vocab;
    FILE *file; /* --all */
    int32_t n_rows;
    int write_errno;
} work;

static void on_logits(void *user, int32_t position, const float *logits, int32_t n_vocab) {
    work *w = user;
    (void)position;
    if (w->write_errno) return;
    if (fwrite(logits, sizeof *logits, (size_t)n_vocab, w->file) != (size_t)n_vocab) {
        w->write_errno = errno ? errno : EIO;
        puna_engine_cancel(w->s.engine);
        return;
    }
    w->n_rows++;
}

static int read_tokens(work *w) {
    if (w->o->ids) {
        if (w->o->prompt || w->o->file)
            return print_usage_error("give a prompt or --ids, not both");
        return session_parse_ids(&w->s, w->o->ids, &w->fed);
    }
    int status = text_read_prompt(w->o, &w->prompt);
    if (status != STATUS_DONE) return status;
    return session_tokenize(&w->s, w->prompt.bytes, w->prompt.n_bytes, session_tokenize_flags(w->o),
                            &w->fed);
}

static int compute(work *w) {
    puna_seq_options seq_options;
    puna_error err = {0};
    puna_seq_options_init(&seq_options);
    seq_options.max_tokens = 0;
    if (w->file) {
        seq_options.on_logits = on_logits;
        seq_options.on_logits_user = w;
    }
    if (puna_seq_open(w->s.engine, &seq_options, &w->seq, &err) != PUNA_OK ||
        puna_seq_feed(w->seq, w->fed.ids, w->fed.n, &err) != PUNA_OK) {
        return print_failure(&err);
    }
    int status = w->write_errno ? STATUS_FAILED : session_finish(&w->s, w->seq);
    progress_end(&w->s.prefill);
    return status;
}

/* log(sum(exp(logits))), stable. */
static double log_sum_exp(const float *logits, int32_t n) {
    double highest = -INFINITY;
    double sum = 0;
    for (int32_t i = 0; i < n; i++) highest = fmax(highest, (double)logits[i]);
    for (int32_t i = 0; i < n; i++) sum += exp((double)logits[i] - highest);
    return highest + log(sum);
}

/* ids[0..k): the positions of the k highest logits, descending, ties by id. */
static void find_top(const float *logits, int32_t n, int32_t *ids, int32_t k) {
    int32_t n_found = 0;
    for (int32_t i = 0; i < n; i++) {
        if (n_found == k && !(logits[i] > logits[ids[k - 1]])) continue;
        int32_t at = n_found < k ? n_found++ : k - 1;
        for (; at > 0 && logits[ids[at - 1]] < logits[i]; at--) ids[at] = ids[at - 1];
        ids[at] = i;
    }
}

/* One row of the table on stdout, or, with --json, one object of the list. */
static void print_row(const work *w, int32_t id, double logit, double logprob, json_t *list) {
    static const uint32_t flags = PUNA_DETOKENIZE_SPECIAL | PUNA_DETOKENIZE_KEEP_SPACE;
    text piece = {0};
    if (session_detokenize(&w->s, &id, 1, flags, &piece) != STATUS_DONE) piece.n_bytes = 0;
    if (w->o->json) {
        json_t *entry = json_object();
        json_object_set_new(entry, "id", json_integer(id));
        json_object_set_new(entry, "piece", json_text(piece.bytes, piece.n_bytes));
        json_object_set_new(entry, "logit", json_number(logit));
        json_object_set_new(entry, "logprob", json_number(logprob));
        json_array_append_new(list, entry);
    } else {
        out_printf("%8d %12.6f %12.6f  ", id, logit, logprob);
        out_quoted(piece.bytes, piece.n_bytes);
        out_printf("\n");
    }
    free(piece.bytes);
}

static int print_top(const work *w, const float *logits) {
    int32_t k = w->o->top > 0 ? w->o->top : 10;
    if (k > w->n_vocab) k = w->n_vocab;
    int32_t *ids = need_memory(NULL, (size_t)k, sizeof *ids);
    double total = log_sum_exp(logits, w->n_vocab);
    json_t *list = json_array();
    int status = STATUS_DONE;
    find_top(logits, w->n_vocab, ids, k);
    if (!w->o->json) out_printf("%8s %12s %12s  piece\n", "id", "logit", "logprob");
    for (int32_t i = 0; i < k; i++) {
        double logit = (double)logits[ids[i]];
        print_row(w, ids[i], logit, logit - total, list);
    }
    if (w->o->json) {
        json_t *object = json_object();
        json_object_set_new(object, "n_tokens", json_integer(w->fed.n));
        json_object_set_new(object, "tokens", json_id_array(w->fed.ids, w->fed.n));
        json_object_set(object, "top", list);
        status = json_print(object, false);
    }
    free(ids);
    json_decref(list);
    return status;
}

/* Closes the file of --all; a half-written one is removed. */
static int close_file(work *w, int status) {
    if (!w->file) return status;
    if (fclose(w->file) != 0 && !w->write_errno) w->write_errno = errno;
    if (w->write_errno) {
        print_error("cannot write %s: %s", w->o->all_path, strerror(w->write_errno));
        status = STATUS_FAILED;
    } else if (status == STATUS_DONE && w->n_rows != w->fed.n) {
        print_error("%d of %d positions gave logits", w->n_rows, w->fed.n);
        status = STATUS_FAILED;
    }
    if (status != STATUS_DONE) {
        remove(w->o->all_path);
    } else {
        print_note("%s: float32 [%d][%d]", w->o->all_path, w->n_rows, w->n_vocab);
    }
    return status;
}

static int run_prompt(work *w) {
    puna_model_info info = {.size = sizeof info};
    int status = session_open_model(&w->s, w->o, PUNA_OPEN_FULL);
    if (status == STATUS_DONE) status = read_tokens(w);
    if (status == STATUS_DONE) status = session_open_engine(&w->s, w->o, 0);
    if (status == STATUS_DONE) status = session_check_fits(&w->s, w->fed.n);
    if (status != STATUS_DONE) return status;
    puna_model_get_info(w->s.model, &info);
    w->n_vocab = info.n_vocab;
    if (w->o->all_path && !(w->file = fopen(w->o->all_path, "wb"))) {
        print_error("cannot write %s: %s", w->o->all_path, strerror(errno));
        return STATUS_FAILED;
    }
    status = close_file(w, compute(w));
    if (status != STATUS_DONE || (w->o->all_path && w->o->top == 0)) return status;
    const float *logits = puna_seq_logits(w->seq);
    if (!logits) {
        print_error("the model gave no logits");
        return STATUS_FAILED;
    }
    return print_top(w, logits);
}

int cmd_logits(const options *o) {
    work w = {.o = o};
    int status = run_prompt(&w);
    puna_seq_free(w.seq);
    session_close(&w.s);
    free(w.prompt.bytes);
    free(w.fed.ids);
    return status;
}
