/* cmd_grammar.c: puna grammar: whether texts are in a grammar; needs no model.
 *
 * For each text one line on stdout: "accepted"; "refused at byte N" where no text of the grammar
 * goes on; "refused at the end: more must follow" where one does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_print.h"
#include "grammar_option.h"
#include "json_out.h"
#include "session.h"

typedef struct check {
    session s; /* first: the function for a line gets it */
    puna_grammar *grammar;
    bool refused; /* the last text */
} check;

static int match(check *c, const puna_grammar_part *parts, int32_t n_parts) {
    puna_grammar_match match = {.size = sizeof match};
    puna_error err = {0};
    if (puna_grammar_match_parts(c->grammar, parts, n_parts, &match, &err) != PUNA_OK)
        return print_failure(&err);
    c->refused = !match.accepted;
    if (match.accepted)
        out_printf("accepted\n");
    else if (match.is_prefix)
        out_printf("refused at the end: more must follow\n");
    else if (n_parts == 1)
        out_printf("refused at byte %zu\n", match.byte);
    else
        out_printf("refused at byte %zu of part %d\n", match.byte, match.part + 1);
    return STATUS_DONE;
}

/* A string, or a list of strings and token ids. */
static int match_json(check *c, const json_t *value, long number) {
    const size_t n = json_is_array(value) ? json_array_size(value) : 1;
    puna_grammar_part *parts = need_memory(NULL, n + 1, sizeof *parts);
    int status = STATUS_DONE;
    for (size_t i = 0; i < n && status == STATUS_DONE; i++) {
        const json_t *part = json_is_array(value) ? json_array_get(value, i) : value;
        const json_int_t id = json_integer_value(part);
        parts[i] = (puna_grammar_part){.text = json_string_value(part),
                                       .text_bytes = json_string_length(part),
                                       .token = (int32_t)id};
        const bool is_id =
            json_is_array(value) && json_is_integer(part) && id >= 0 && id <= INT32_MAX;
        if (!json_is_string(part) && !is_id) {
            print_error("line %ld of standard input is neither a JSON string nor a list of strings "
                        "and token ids",
                        number);
            status = STATUS_FAILED;
        }
    }
    if (status == STATUS_DONE) status = match(c, parts, (int32_t)n);
    free(parts);
    return status;
}

static int match_line(void *user, const options *o, const char *line, size_t n_bytes, long number) {
    (void)o;
    check *c = user;
    json_error_t problem;
    json_t *value = json_loadb(line, n_bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    if (!value) {
        print_error("line %ld of standard input is not JSON: %s", number, problem.text);
        return STATUS_FAILED;
    }
    const int status = match_json(c, value, number);
    json_decref(value);
    return status;
}

static int match_stdin(check *c) {
    text in = {0};
    int status = text_read_file("-", &in);
    if (status == STATUS_DONE) {
        const puna_grammar_part part = {.text = in.bytes, .text_bytes = in.n_bytes};
        status = match(c, &part, 1);
    }
    free(in.bytes);
    return status == STATUS_DONE && c->refused ? STATUS_FAILED : status;
}

int cmd_grammar(const options *o) {
    check c = {0};
    int status = STATUS_DONE;
    if (!o->grammar_path == !o->schema_path)
        return print_usage_error("give the grammar with --gbnf FILE or with --schema FILE");
    status = grammar_from_options(o, &c.grammar);
    if (status != STATUS_DONE) return status;
    if (o->print_gbnf || o->report) {
        const char *shown =
            o->report ? puna_grammar_report(c.grammar) : puna_grammar_text(c.grammar);
        out_write(shown, strlen(shown));
    } else {
        status = o->jsonl ? session_each_line(&c, o, match_line) : match_stdin(&c);
    }
    puna_grammar_free(c.grammar);
    return status;
}
