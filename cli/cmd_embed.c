/* cmd_embed.c: puna embed: one vector for each text, as a JSON array on a line of its own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "cli_print.h"
#include "session.h"

enum { KEY_BYTES = 256 };

/* What the model was made for, by its key ARCHITECTURE.pooling_type; the mean where it says
 * nothing. */
static puna_pooling model_pooling(const puna_model *model) {
    puna_model_info info = {.size = sizeof info};
    char wanted[KEY_BYTES], value[KEY_BYTES];
    puna_model_get_info(model, &info);
    snprintf(wanted, sizeof wanted, "%.200s.pooling_type", info.architecture);
    for (int32_t i = 0; i < puna_model_n_meta(model); i++) {
        const char *key = puna_model_meta(model, i, value, sizeof value, NULL);
        if (!key || strcmp(key, wanted) != 0) continue;
        /* the numbers of the file format are those of puna_pooling */
        for (int kind = PUNA_POOLING_MEAN; kind <= PUNA_POOLING_LAST; kind++)
            if (value[0] == '0' + kind && !value[1]) return (puna_pooling)kind;
    }
    return PUNA_POOLING_MEAN;
}

static int open_sequence(session *s, const options *o, int32_t n_ctx, puna_seq **seq) {
    puna_seq_options seq_options;
    puna_error err = {0};
    int status = session_open_engine(s, o, n_ctx);
    if (status != STATUS_DONE) return status;
    puna_seq_options_init(&seq_options);
    seq_options.pooling = o->pooling != PUNA_POOLING_OFF ? o->pooling : model_pooling(s->model);
    return puna_seq_open(s->engine, &seq_options, seq, &err) == PUNA_OK ? STATUS_DONE
                                                                        : print_failure(&err);
}

static void print_vector(const float *vector, int32_t n, bool normalize) {
    double squares = 0;
    for (int32_t i = 0; i < n; i++) squares += (double)vector[i] * (double)vector[i];
    const double scale = normalize && squares > 0 ? 1 / sqrt(squares) : 1;
    out_write("[", 1);
    for (int32_t i = 0; i < n; i++)
        out_printf("%s%.9g", i ? ", " : "", (double)(float)((double)vector[i] * scale));
    out_write("]\n", 2);
}

static int embed(session *s, const options *o, puna_seq *seq, const tokens *t) {
    puna_model_info info = {.size = sizeof info};
    puna_error err = {0};
    int status = session_check_fits(s, t->n);
    if (status != STATUS_DONE) return status;
    if (puna_seq_feed(seq, t->ids, t->n, &err) != PUNA_OK) return print_failure(&err);
    status = session_finish(s, seq);
    progress_end(&s->prefill);
    if (status != STATUS_DONE) return status;
    puna_model_get_info(s->model, &info);
    print_vector(puna_seq_embedding(seq), info.n_embd, o->normalize);
    return STATUS_DONE;
}

/* ---- one text -------------------------------------------------------------------------------- */

static int read_tokens(const session *s, const options *o, tokens *t) {
    text in = {0};
    if (o->ids) {
        if (o->prompt || o->file) return print_usage_error("give a text or --ids, not both");
        return session_parse_ids(s, o->ids, t);
    }
    int status = text_read_prompt(o, &in);
    if (status == STATUS_DONE)
        status = session_tokenize(s, in.bytes, in.n_bytes, session_tokenize_flags(o), t);
    free(in.bytes);
    return status;
}

static int embed_text(session *s, const options *o) {
    tokens t = {0};
    puna_seq *seq = NULL;
    int status = read_tokens(s, o, &t);
    /* a context as long as the text is enough */
    if (status == STATUS_DONE) status = open_sequence(s, o, o->n_ctx ? o->n_ctx : t.n, &seq);
    if (status == STATUS_DONE) status = embed(s, o, seq, &t);
    free(t.ids);
    return status;
}

/* ---- many texts ------------------------------------------------------------------------------ */

typedef struct lines {
    session *s;
    puna_seq *seq;
} lines;

static int embed_line(void *user, const options *o, const char *line, size_t n_bytes, long number) {
    lines *all = user;
    tokens t = {0};
    json_t *value = json_read_string(line, n_bytes, number);
    if (!value) return STATUS_FAILED;
    int status = session_tokenize(all->s, json_string_value(value), json_string_length(value),
                                  session_tokenize_flags(o), &t);
    if (status == STATUS_DONE && t.n == 0) {
        print_error("line %ld of standard input has no tokens", number);
        status = STATUS_FAILED;
    }
    if (status == STATUS_DONE) status = embed(all->s, o, all->seq, &t);
    json_decref(value);
    free(t.ids);
    return status;
}

static int embed_lines(session *s, const options *o) {
    lines all = {.s = s};
    int status = open_sequence(s, o, 0, &all.seq);
    return status == STATUS_DONE ? session_each_line(&all, o, embed_line) : status;
}

int cmd_embed(const options *o) {
    session s = {0};
    if (o->jsonl && (o->prompt || o->file || o->ids))
        return print_usage_error("--jsonl reads standard input: leave -p, -f and --ids out");
    int status = session_open_model(&s, o, PUNA_OPEN_FULL);
    if (status == STATUS_DONE) status = o->jsonl ? embed_lines(&s, o) : embed_text(&s, o);
    session_close(&s);
    return status;
}
