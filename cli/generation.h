/* generation.h: one answer: steps the engine until the sequence is done, hands the text on as it
 * comes, and says afterwards what it cost. */
#ifndef PUNA_CLI_GENERATION_H
#define PUNA_CLI_GENERATION_H

#include "json_out.h"
#include "session.h"

/* Takes text as it comes, whole characters. False: nobody reads any more. */
typedef bool generation_text_fn(void *user, const char *bytes, size_t n_bytes);

typedef struct generation {
    session *s;
    const options *o;
    puna_seq *seq;            /* owned by the caller, or closed with the engine */
    generation_text_fn *give; /* NULL: the text is only kept */
    void *user;
    uint64_t seed; /* with which the sequence was opened */
    /* what came out, of the last run */
    text out;
    size_t out_room;
    json_t *ids;      /* tokens, with --json */
    json_t *logprobs; /* a row a token, with --logprobs */
    int32_t n_ids;
    /* "end", "length", "context", "stop", "interrupted"; NULL: nobody reads any more */
    const char *finish;
} generation;

/* The seed that the options ask for, or a random one that people can read and type again. */
uint64_t generation_seed(const options *o);

/* Generates what g->seq has been fed for. Returns STATUS_INTERRUPTED after Ctrl-C: what had come is
 * kept. */
int generation_run(generation *g);
void generation_free(generation *g);

/* Speed, seed and why it ended, as notes on stderr. */
void generation_print_stats(const generation *g);
/* Adds "text", "tokens", "finish", "seed", counts and speed to an object. */
void generation_add_json(const generation *g, json_t *object);
/* Leaves the cursor at the beginning of a line, on whichever stream people look at. */
void generation_end_line(const generation *g);

/* Tokens per second of the prefill and of the decoding that the counts stand for; 0 when there was
 * none. */
double generation_prefill_rate(const puna_seq_stats *stats);
double generation_decode_rate(const puna_seq_stats *stats);

#endif
