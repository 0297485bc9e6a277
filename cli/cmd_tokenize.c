/* cmd_tokenize.c: puna tokenize: text in, token ids out. Needs the vocabulary only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "cli_print.h"
#include "session.h"

static const uint32_t piece_flags = PUNA_DETOKENIZE_SPECIAL | PUNA_DETOKENIZE_KEEP_SPACE;

static void print_ids(const tokens *t) {
    out_write("[", 1);
    for (int32_t i = 0; i < t->n; i++) out_printf("%s%d", i ? ", " : "", t->ids[i]);
    out_write("]\n", 2);
}

/* One token a line: "   123 -> 'piece'", or objects with --json. */
static int print_pieces(const session *s, const options *o, const tokens *t) {
    json_t *list = json_array();
    int status = STATUS_DONE;
    for (int32_t i = 0; i < t->n && status == STATUS_DONE; i++) {
        text piece = {0};
        status = session_detokenize(s, &t->ids[i], 1, piece_flags, &piece);
        if (status == STATUS_DONE && o->json) {
            json_t *entry = json_object();
            json_object_set_new(entry, "id", json_integer(t->ids[i]));
            json_object_set_new(entry, "piece", json_text(piece.bytes, piece.n_bytes));
            json_array_append_new(list, entry);
        } else if (status == STATUS_DONE) {
            out_printf("%6d -> ", t->ids[i]);
            out_quoted(piece.bytes, piece.n_bytes);
            out_printf("\n");
        }
        free(piece.bytes);
    }
    if (status == STATUS_DONE && o->json) return json_print(list, false);
    json_decref(list);
    return status;
}

static int tokenize_text(const session *s, const options *o, const text *in) {
    tokens t = {0};
    int status = session_tokenize(s, in->bytes, in->n_bytes, session_tokenize_flags(o), &t);
    if (status == STATUS_DONE && o->ids_only) {
        print_ids(&t);
    } else if (status == STATUS_DONE) {
        status = print_pieces(s, o, &t);
    }
    free(t.ids);
    return status;
}

static int tokenize_line(void *user, const options *o, const char *line, size_t n_bytes,
                         long number) {
    const session *s = user;
    tokens t = {0};
    json_t *value = json_read_string(line, n_bytes, number);
    if (!value) return STATUS_FAILED;
    int status = session_tokenize(s, json_string_value(value), json_string_length(value),
                                  session_tokenize_flags(o), &t);
    if (status == STATUS_DONE) print_ids(&t);
    json_decref(value);
    free(t.ids);
    return status;
}

static int read_text(const options *o, text *in) {
    if ((o->prompt != NULL) + (o->file != NULL) + (o->n_words > 0) > 1) {
        return print_usage_error("give the text once: as words, with -p, or with -f");
    }
    if (o->n_words > 0) {
        text_join(o->words, o->n_words, in);
    } else if (o->prompt) {
        char *prompt = (char *)(uintptr_t)o->prompt;
        text_join(&prompt, 1, in);
    } else {
        int status = text_read_file(o->file ? o->file : "-", in);
        if (status != STATUS_DONE) return status;
    }
    if (o->escape) in->n_bytes = text_unescape(in->bytes, in->n_bytes);
    return STATUS_DONE;
}

int cmd_tokenize(const options *o) {
    session s = {0};
    text in = {0};
    if (o->jsonl && (o->prompt || o->file || o->n_words > 0)) {
        return print_usage_error("--jsonl reads standard input: leave the text, -p and -f out");
    }
    int status = session_open_model(&s, o, PUNA_OPEN_VOCAB);
    if (status == STATUS_DONE && o->jsonl) {
        status = session_each_line(&s, o, tokenize_line);
    } else if (status == STATUS_DONE) {
        status = read_text(o, &in);
        if (status == STATUS_DONE) status = tokenize_text(&s, o, &in);
    }
    free(in.bytes);
    session_close(&s);
    return status;
}
