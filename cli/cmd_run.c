/* cmd_run.c: puna run: complete a text.
 *
 * stdout gets the generated text and nothing else (with --json: one object), piece by piece as
 * it is decoded; speed, seed and progress go to stderr. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "json_out.h"
#include "cli_print.h"
#include "session.h"

typedef struct generation {
    const options *o;
    session s;
    text prompt;
    tokens fed;
    puna_seq *seq;
    uint64_t seed;
    /* what came out */
    text out;
    size_t out_room;
    json_t *ids;
    json_t *logprobs;
    int32_t n_ids;
    const char *finish; /* NULL: not finished */
} generation;

/* A seed people can read and type again: 32 bits. */
static uint64_t draw_seed(void) {
    uint32_t seed = (uint32_t)time(NULL) ^ (uint32_t)getpid() << 16;
    FILE *random = fopen("/dev/urandom", "rb");
    if (random) {
        uint32_t drawn;
        if (fread(&drawn, sizeof drawn, 1, random) == 1) seed = drawn;
        fclose(random);
    }
    return seed;
}

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

static int open_sequence(generation *g) {
    const options *o = g->o;
    puna_seq_options seq_options;
    puna_error err = {0};
    int status = session_open_model(&g->s, o, PUNA_OPEN_FULL);
    if (status == STATUS_DONE) {
        status = session_tokenize(&g->s, g->prompt.bytes, g->prompt.n_bytes,
                                  session_tokenize_flags(o), &g->fed);
    }
    if (status == STATUS_DONE) status = session_open_engine(&g->s, o, 0);
    if (status != STATUS_DONE) return status;
    if (session_check_fits(&g->s, g->fed.n) != STATUS_DONE) return STATUS_FAILED;
    puna_seq_options_init(&seq_options);
    seq_options.sampler = o->sampler;
    seq_options.sampler.seed = g->seed;
    seq_options.max_tokens = o->n_predict;
    if (puna_seq_open(g->s.engine, &seq_options, &g->seq, &err) != PUNA_OK)
        return print_failure(&err);
    if (puna_seq_feed(g->seq, g->fed.ids, g->fed.n, &err) != PUNA_OK) return print_failure(&err);
    return STATUS_DONE;
}

/* {"id", "piece", "logprob"} */
static json_t *json_token(const generation *g, int32_t id, float logprob) {
    text piece = {0};
    json_t *token = json_object();
    json_object_set_new(token, "id", json_integer(id));
    if (session_detokenize(&g->s, &id, 1, PUNA_DETOKENIZE_SPECIAL | PUNA_DETOKENIZE_KEEP_SPACE,
                           &piece) == STATUS_DONE) {
        json_object_set_new(token, "piece", json_text(piece.bytes, piece.n_bytes));
    }
    json_object_set_new(token, "logprob", json_number(logprob));
    free(piece.bytes);
    return token;
}

static void keep_token(generation *g, const puna_event *event) {
    g->n_ids++;
    if (!g->o->json) return;
    json_array_append_new(g->ids, json_integer(event->token));
    if (g->o->sampler.n_logprobs == 0) return;
    json_t *token = json_token(g, event->token, event->logprob);
    json_t *top = json_array();
    for (int32_t i = 0; i < event->n_top; i++) {
        json_array_append_new(top, json_token(g, event->top[i].token, event->top[i].logprob));
    }
    json_object_set_new(token, "top", top);
    json_array_append_new(g->logprobs, token);
}

/* Streams the text, or keeps it for the JSON object. False when stdout is closed. */
static bool give_text(generation *g, const char *bytes, size_t n_bytes) {
    if (n_bytes == 0) return true;
    if (g->out.n_bytes + n_bytes > g->out_room) {
        g->out_room = (g->out.n_bytes + n_bytes) * 2;
        g->out.bytes = need_memory(g->out.bytes, g->out_room, 1);
    }
    memcpy(g->out.bytes + g->out.n_bytes, bytes, n_bytes);
    g->out.n_bytes += n_bytes;
    if (g->o->json) return true;
    return out_write(bytes, n_bytes) && out_flush();
}

static const char *finish_name(puna_finish finish) {
    switch (finish) {
    case PUNA_FINISH_END: return "end";
    case PUNA_FINISH_LENGTH: return "length";
    case PUNA_FINISH_CONTEXT: return "context";
    case PUNA_FINISH_STOP: return "stop";
    case PUNA_FINISH_NONE: break;
    }
    return "none";
}

static int generate(generation *g) {
    bool reading = true;
    while (reading && !g->finish) {
        puna_event events[2];
        puna_error err = {0};
        int32_t n_events = 0;
        puna_status stepped = puna_engine_step(g->s.engine, events, 2, &n_events, &err);
        progress_end(&g->s.prefill);
        if (stepped == PUNA_E_CANCELLED && session_interrupted()) {
            g->finish = "interrupted";
            return STATUS_INTERRUPTED;
        }
        if (stepped != PUNA_OK) return print_failure(&err);
        for (int32_t i = 0; i < n_events; i++) {
            const puna_event *event = &events[i];
            if (event->kind == PUNA_EVENT_FAILED) return print_failure(&event->error);
            if (event->kind == PUNA_EVENT_TOKEN) keep_token(g, event);
            if (event->kind == PUNA_EVENT_FINISHED) g->finish = finish_name(event->finish);
            if (!give_text(g, event->text, event->text_bytes)) reading = false;
        }
    }
    return STATUS_DONE;
}

static double rate(double n, double seconds) {
    return seconds > 0 ? n / seconds : 0;
}

/* The first token is drawn from the prefill's logits: decode has one computed token less than
 * were sampled. */
static double n_decoded(const puna_seq_stats *stats) {
    return stats->n_sampled > 1 ? stats->n_sampled - 1 : 0;
}

static void print_stats(const generation *g) {
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_get_stats(g->seq, &stats);
    double computed = stats.n_fed - stats.n_reused;
    print_note("prefill %6d tokens %9.3f s %9.1f tokens/s  (%d reused)", stats.n_fed,
               stats.prefill_s, rate(computed, stats.prefill_s), stats.n_reused);
    print_note("decode  %6d tokens %9.3f s %9.1f tokens/s", stats.n_sampled, stats.decode_s,
               rate(n_decoded(&stats), stats.decode_s));
    print_note("seed %llu, stopped: %s", (unsigned long long)g->seed,
               !g->finish                          ? "output closed"
               : strcmp(g->finish, "end") == 0     ? "the model ended the text"
               : strcmp(g->finish, "length") == 0  ? "-n reached"
               : strcmp(g->finish, "stop") == 0    ? "a stop text came"
               : strcmp(g->finish, "context") == 0 ? "the context is full; -c makes it larger"
                                                   : g->finish);
}

static json_t *json_speed(double n_tokens, double n_computed, double seconds) {
    json_t *speed = json_object();
    json_object_set_new(speed, "tokens", json_integer((json_int_t)n_tokens));
    json_object_set_new(speed, "seconds", json_number(seconds));
    json_object_set_new(speed, "tokens_per_second", json_number(rate(n_computed, seconds)));
    return speed;
}

static int print_object(generation *g) {
    puna_seq_stats stats = {.size = sizeof stats};
    json_t *object = json_object();
    puna_seq_get_stats(g->seq, &stats);
    json_object_set_new(object, "model", json_text(g->s.path, strlen(g->s.path)));
    if (g->o->echo)
        json_object_set_new(object, "prompt", json_text(g->prompt.bytes, g->prompt.n_bytes));
    json_object_set_new(object, "text",
                        json_text(g->out.bytes ? g->out.bytes : "", g->out.n_bytes));
    json_object_set(object, "tokens", g->ids);
    json_object_set_new(object, "finish", json_string(g->finish ? g->finish : "none"));
    json_object_set_new(object, "seed", json_integer((json_int_t)g->seed));
    json_object_set_new(object, "n_prompt", json_integer(stats.n_fed));
    json_object_set_new(object, "n_reused", json_integer(stats.n_reused));
    json_object_set_new(object, "n_generated", json_integer(g->n_ids));
    json_object_set_new(object, "prefill",
                        json_speed(stats.n_fed, stats.n_fed - stats.n_reused, stats.prefill_s));
    json_object_set_new(object, "decode",
                        json_speed(stats.n_sampled, n_decoded(&stats), stats.decode_s));
    if (g->o->sampler.n_logprobs > 0) json_object_set(object, "logprobs", g->logprobs);
    return json_print(object, false);
}

/* Leaves the cursor at the beginning of a line, on whichever stream people look at. */
static void end_line(const generation *g) {
    bool ended = g->out.n_bytes == 0 || g->out.bytes[g->out.n_bytes - 1] == '\n';
    if (ended) return;
    if (isatty(STDOUT_FILENO)) {
        out_write("\n", 1);
    } else {
        print_note("%s", "");
    }
    out_flush();
}

static int complete(generation *g) {
    int status = open_sequence(g);
    if (status != STATUS_DONE) return status;
    if (g->o->echo && !g->o->json) out_write(g->prompt.bytes, g->prompt.n_bytes);
    status = generate(g);
    if (status == STATUS_FAILED) return status;
    if (g->o->json) return print_object(g) == STATUS_DONE ? status : STATUS_FAILED;
    end_line(g);
    print_stats(g);
    return status;
}

int cmd_run(const options *o) {
    generation g = {.o = o, .seed = o->sampler.seed, .ids = json_array(), .logprobs = json_array()};
    if (g.seed == PUNA_SEED_RANDOM) g.seed = draw_seed();
    int status = check_options(o);
    if (status == STATUS_DONE) status = text_read_prompt(o, &g.prompt);
    if (status == STATUS_DONE) status = complete(&g);
    puna_seq_free(g.seq);
    session_close(&g.s);
    json_decref(g.ids);
    json_decref(g.logprobs);
    free(g.prompt.bytes);
    free(g.fed.ids);
    free(g.out.bytes);
    return status;
}
