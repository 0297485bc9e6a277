/* generation.c: one answer, and what it cost. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include "generation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli_print.h"

uint64_t generation_seed(const options *o) {
    if (o->sampler.seed != PUNA_SEED_RANDOM) return o->sampler.seed;
    uint32_t seed = (uint32_t)time(NULL) ^ (uint32_t)getpid() << 16;
    FILE *random = fopen("/dev/urandom", "rb");
    if (random) {
        uint32_t drawn;
        if (fread(&drawn, sizeof drawn, 1, random) == 1) seed = drawn;
        fclose(random);
    }
    return seed;
}

/* ---- tokens and text ------------------------------------------------------------------------- */

/* {"id", "piece", "logprob"} */
static json_t *json_token(const generation *g, int32_t id, float logprob) {
    text piece = {0};
    json_t *token = json_object();
    json_object_set_new(token, "id", json_integer(id));
    if (session_detokenize(g->s, &id, 1, PUNA_DETOKENIZE_SPECIAL | PUNA_DETOKENIZE_KEEP_SPACE,
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

/* Keeps the text and hands it on. False when nobody reads it any more. */
static bool give_text(generation *g, const char *bytes, size_t n_bytes) {
    if (n_bytes == 0) return true;
    if (g->out.n_bytes + n_bytes > g->out_room) {
        g->out_room = (g->out.n_bytes + n_bytes) * 2;
        g->out.bytes = need_memory(g->out.bytes, g->out_room, 1);
    }
    memcpy(g->out.bytes + g->out.n_bytes, bytes, n_bytes);
    g->out.n_bytes += n_bytes;
    return !g->give || g->give(g->user, bytes, n_bytes);
}

/* What one sequence can say in a step: --draft takes 64 at most. */
enum { MAX_EVENTS = 2 + 64 };

/* ---- stepping -------------------------------------------------------------------------------- */

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

static void begin(generation *g) {
    g->out.n_bytes = 0;
    g->n_ids = 0;
    g->finish = NULL;
    json_decref(g->ids);
    json_decref(g->logprobs);
    g->ids = json_array();
    g->logprobs = json_array();
    progress_begin(&g->s->prefill, "prefill");
}

int generation_run(generation *g) {
    bool reading = true;
    begin(g);
    while (reading && !g->finish) {
        puna_event events[MAX_EVENTS];
        puna_error err = {0};
        int32_t n_events = 0;
        puna_status stepped = puna_engine_step(g->s->engine, events, MAX_EVENTS, &n_events, &err);
        progress_end(&g->s->prefill);
        if (stepped == PUNA_E_CANCELLED && session_interrupted()) {
            g->finish = "interrupted";
            return STATUS_INTERRUPTED;
        }
        if (stepped == PUNA_E_CANCELLED) continue; /* a Ctrl-C that came after the last answer */
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

void generation_free(generation *g) {
    json_decref(g->ids);
    json_decref(g->logprobs);
    free(g->out.bytes);
    *g = (generation){0};
}

/* ---- afterwards ------------------------------------------------------------------------------ */

static double rate(double n, double seconds) {
    return seconds > 0 && n > 0 ? n / seconds : 0;
}

double generation_prefill_rate(const puna_seq_stats *stats) {
    return rate(stats->n_fed - stats->n_reused, stats->prefill_s);
}

/* The first token is drawn from the prefill's logits: decode has one computed token less than
 * were sampled. */
double generation_decode_rate(const puna_seq_stats *stats) {
    return rate(stats->n_sampled - 1, stats->decode_s);
}

void generation_print_stats(const generation *g) {
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_get_stats(g->seq, &stats);
    print_note("prefill %6d tokens %9.3f s %9.1f tokens/s  (%d reused)", stats.n_fed,
               stats.prefill_s, generation_prefill_rate(&stats), stats.n_reused);
    print_note("decode  %6d tokens %9.3f s %9.1f tokens/s", stats.n_sampled, stats.decode_s,
               generation_decode_rate(&stats));
    if (stats.n_drafted > 0)
        print_note("draft   %6d guessed, %d right", stats.n_drafted, stats.n_accepted);
    print_note("seed %llu, stopped: %s", (unsigned long long)g->seed,
               !g->finish                          ? "output closed"
               : strcmp(g->finish, "end") == 0     ? "the model ended the text"
               : strcmp(g->finish, "stop") == 0    ? "a stop text came"
               : strcmp(g->finish, "length") == 0  ? "-n reached"
               : strcmp(g->finish, "context") == 0 ? "the context is full; -c makes it larger"
                                                   : g->finish);
}

static json_t *json_speed(double n_tokens, double seconds, double tokens_per_second) {
    json_t *speed = json_object();
    json_object_set_new(speed, "tokens", json_integer((json_int_t)n_tokens));
    json_object_set_new(speed, "seconds", json_number(seconds));
    json_object_set_new(speed, "tokens_per_second", json_number(tokens_per_second));
    return speed;
}

void generation_add_json(const generation *g, json_t *object) {
    puna_seq_stats stats = {.size = sizeof stats};
    puna_seq_get_stats(g->seq, &stats);
    json_object_set_new(object, "text",
                        json_text(g->out.bytes ? g->out.bytes : "", g->out.n_bytes));
    json_object_set(object, "tokens", g->ids);
    json_object_set_new(object, "finish", json_string(g->finish ? g->finish : "none"));
    json_object_set_new(object, "seed", json_integer((json_int_t)g->seed));
    json_object_set_new(object, "n_prompt", json_integer(stats.n_fed));
    json_object_set_new(object, "n_reused", json_integer(stats.n_reused));
    json_object_set_new(object, "n_generated", json_integer(g->n_ids));
    json_object_set_new(object, "prefill",
                        json_speed(stats.n_fed, stats.prefill_s, generation_prefill_rate(&stats)));
    json_object_set_new(
        object, "decode",
        json_speed(stats.n_sampled, stats.decode_s, generation_decode_rate(&stats)));
    if (g->o->max_draft > 0) {
        json_object_set_new(object, "n_drafted", json_integer(stats.n_drafted));
        json_object_set_new(object, "n_accepted", json_integer(stats.n_accepted));
    }
    if (g->o->sampler.n_logprobs > 0) json_object_set(object, "logprobs", g->logprobs);
}

void generation_end_line(const generation *g) {
    bool ended = g->out.n_bytes == 0 || g->out.bytes[g->out.n_bytes - 1] == '\n';
    if (ended) return;
    if (isatty(STDOUT_FILENO)) {
        out_write("\n", 1);
    } else {
        print_note("%s", "");
    }
    out_flush();
}
