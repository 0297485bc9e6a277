/* cmd_run.c: puna run: complete a text.
 *
 * stdout gets the generated text and nothing else (with --json: one object), piece by piece as
 * it is decoded; speed, seed and progress go to stderr. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_print.h"
#include "generation.h"
#include "grammar_option.h"
#include "line_editor.h"
#include "prompt_lookup.h"

typedef struct completion {
    const options *o;
    session s;
    puna_grammar *grammar;
    text prompt;
    tokens fed;
    generation g;
} completion;

static int check_options(const options *o) {
    if (o->n_predict == 0) {
        return print_usage_error(
            "-n 0 would generate nothing: use -n 1 or more, or -n -1 for no limit");
    }
    if (o->sampler.n_logprobs > 0 && !o->json) {
        return print_usage_error(
            "--logprobs needs --json: there is no room for them beside the text");
    }
    return STATUS_DONE;
}

static int open_sequence(completion *c) {
    const options *o = c->o;
    puna_seq_options seq_options;
    puna_error err = {0};
    int status = grammar_from_options(o, &c->grammar);
    if (status == STATUS_DONE) status = session_open_model(&c->s, o, PUNA_OPEN_FULL);
    if (status == STATUS_DONE) {
        status = session_tokenize(&c->s, c->prompt.bytes, c->prompt.n_bytes,
                                  session_tokenize_flags(o), &c->fed);
    }
    if (status == STATUS_DONE) status = session_open_engine(&c->s, o, 0);
    if (status != STATUS_DONE) return status;
    if (session_check_fits(&c->s, c->fed.n) != STATUS_DONE) return STATUS_FAILED;
    puna_seq_options_init(&seq_options);
    seq_options.sampler = o->sampler;
    seq_options.sampler.seed = c->g.seed;
    seq_options.sampler.grammar = c->grammar;
    seq_options.max_tokens = o->n_predict;
    seq_options.stops = (const char *const *)o->stops;
    seq_options.n_stops = o->n_stops;
    if (o->max_draft > 0) seq_options.draft = prompt_lookup;
    if (puna_seq_open(c->s.engine, &seq_options, &c->g.seq, &err) != PUNA_OK)
        return print_failure(&err);
    if (puna_seq_feed(c->g.seq, c->fed.ids, c->fed.n, &err) != PUNA_OK) return print_failure(&err);
    return STATUS_DONE;
}

static bool stream(void *user, const char *bytes, size_t n_bytes) {
    (void)user;
    return out_write(bytes, n_bytes) && out_flush();
}

static int print_object(completion *c) {
    json_t *object = json_object();
    json_object_set_new(object, "model", json_text(c->s.path, strlen(c->s.path)));
    if (c->o->echo)
        json_object_set_new(object, "prompt", json_text(c->prompt.bytes, c->prompt.n_bytes));
    generation_add_json(&c->g, object);
    return json_print(object, false);
}

static int complete(completion *c) {
    int status = open_sequence(c);
    if (status != STATUS_DONE) return status;
    if (c->o->echo && !c->o->json) out_write(c->prompt.bytes, c->prompt.n_bytes);
    status = generation_run(&c->g);
    if (status == STATUS_FAILED) return status;
    if (c->o->json) return print_object(c) == STATUS_DONE ? status : STATUS_FAILED;
    generation_end_line(&c->g);
    generation_print_stats(&c->g);
    return status;
}

int cmd_run(const options *o) {
    if (!o->prompt && !o->file && line_editor_possible()) return cmd_chat(o);
    completion c = {.o = o};
    c.g = (generation){
        .s = &c.s, .o = o, .seed = generation_seed(o), .give = o->json ? NULL : stream};
    int status = check_options(o);
    if (status == STATUS_DONE) status = text_read_prompt(o, &c.prompt);
    if (status == STATUS_DONE) status = complete(&c);
    puna_seq_free(c.g.seq);
    generation_free(&c.g);
    session_close(&c.s);
    puna_grammar_free(c.grammar);
    free(c.prompt.bytes);
    free(c.fed.ids);
    return status;
}
