/* cmd_detokenize.c: puna detokenize: token ids in, text out. Needs the vocabulary only.
 *
 * With --exact, tokenize --ids | detokenize --exact gives back what went in where the tokenizer
 * loses nothing (byte-level BPE). On a terminal a newline follows the text. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json_out.h"
#include "cli_print.h"
#include "session.h"

static uint32_t flags_of(const options *o) {
    return (o->special ? PUNA_DETOKENIZE_SPECIAL : 0) | (o->exact ? 0 : PUNA_DETOKENIZE_CLEAN_UP);
}

static int detokenize_list(const session *s, const options *o, const char *list) {
    tokens t = {0};
    text out = {0};
    int status = session_parse_ids(s, list, &t);
    if (status == STATUS_DONE) status = session_detokenize(s, t.ids, t.n, flags_of(o), &out);
    if (status == STATUS_DONE) {
        out_write(out.bytes, out.n_bytes);
        if (isatty(STDOUT_FILENO)) out_write("\n", 1);
    }
    free(t.ids);
    free(out.bytes);
    return status;
}

/* A JSON array of numbers to tokens; false when it is anything else. */
static bool read_id_array(const json_t *array, const session *s, tokens *t) {
    puna_model_info info = {.size = sizeof info};
    puna_model_get_info(s->model, &info);
    size_t n = json_array_size(array);
    if (!json_is_array(array) || n > INT32_MAX) return false;
    t->ids = need_memory(NULL, n, sizeof *t->ids);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(array, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= info.n_vocab)
            return false;
        t->ids[i] = (int32_t)json_integer_value(id);
    }
    t->n = (int32_t)n;
    return true;
}

static int detokenize_line(void *user, const options *o, const char *line, size_t n_bytes,
                           long number) {
    const session *s = user;
    json_error_t problem;
    tokens t = {0};
    text out = {0};
    int status = STATUS_FAILED;
    json_t *value = json_loadb(line, n_bytes, JSON_DECODE_ANY, &problem);
    if (!read_id_array(value, s, &t)) {
        print_error("line %ld of standard input is not a JSON array of token ids", number);
    } else {
        status = session_detokenize(s, t.ids, t.n, flags_of(o), &out);
    }
    if (status == STATUS_DONE) status = json_print(json_text(out.bytes, out.n_bytes), false);
    json_decref(value);
    free(t.ids);
    free(out.bytes);
    return status;
}

int cmd_detokenize(const options *o) {
    session s = {0};
    text in = {0};
    if (o->jsonl && o->n_words > 0)
        return print_usage_error("--jsonl reads standard input: leave the ids out");
    int status = session_open_model(&s, o, PUNA_OPEN_VOCAB);
    if (status == STATUS_DONE && o->jsonl) {
        status = session_each_line(&s, o, detokenize_line);
    } else if (status == STATUS_DONE) {
        if (o->n_words > 0) {
            text_join(o->words, o->n_words, &in);
        } else {
            status = text_read_file("-", &in);
        }
        if (status == STATUS_DONE) status = detokenize_list(&s, o, in.bytes);
    }
    free(in.bytes);
    session_close(&s);
    return status;
}
