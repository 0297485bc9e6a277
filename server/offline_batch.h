/* offline_batch.h: many requests from lines of JSON, without HTTP: each is read and answered as the server would
 * (api.h), and its answer becomes a line of JSON when it is there.
 *
 *   in   {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...}}, or the body alone:
 *        "messages" makes it a chat, "prompt" a completion, "input" an embedding, and custom_id is "line-17"
 *   out  {"id": ..., "custom_id": "a", "response": {"status_code": 200, "request_id": ..., "body": {...}},
 *        "error": null}; a request that cannot be answered has its status and an error as body */
#ifndef PUNA_SERVER_OFFLINE_BATCH_H
#define PUNA_SERVER_OFFLINE_BATCH_H

#include "puna.h"

#define PN_BATCH_LINE_BYTES ((size_t)16 << 20) /* of a line at most */

typedef struct pn_batch_line {
    const char *text; /* [n_bytes] without the newline; valid until the next call */
    size_t n_bytes;
    bool is_too_long; /* more than PN_BATCH_LINE_BYTES: text is the beginning */
} pn_batch_line;

typedef enum pn_batch_claim {
    PN_BATCH_NEW,
    PN_BATCH_ANSWERED, /* before this run */
    PN_BATCH_REPEATED  /* another line of this run has the same custom_id */
} pn_batch_claim;

typedef struct pn_batch_state {
    int64_t n_lines;                      /* read */
    int64_t n_answered, n_failed, n_left; /* n_left: answered before this run */
    uint64_t n_bytes;                     /* of the lines that are over */
    uint64_t n_left_bytes;                /* of those, of lines that were answered before */
    uint64_t n_sampled;
} pn_batch_state;

/* What the program around it does. claim, next, tick and ready are called on the thread that called pn_batch_run. */
typedef struct pn_batch_host {
    void *user;
    void (*ready)(void *user, const puna_memory_plan *plan); /* the model is loaded */
    bool (*next)(void *user, pn_batch_line *line);           /* false: there are no more */
    pn_batch_claim (*claim)(void *user, const char *custom_id);
    /* A result, with its newline; from any thread, one at a time. False: nothing can be written any more. */
    bool (*write)(void *user, const char *line, size_t n_bytes);
    /* Several times a second. False: stop; what is under way is given up, and no result of it is written. */
    bool (*tick)(void *user, const pn_batch_state *state);
} pn_batch_host;

typedef struct pn_batch_options {
    const char *model_path;
    const char *alias;
    puna_model_options model;
    puna_chat_options chat;
    puna_scheduler_options scheduler;
    puna_sampler_params defaults;
    pn_batch_host program;
} pn_batch_options;

void pn_batch_options_init(pn_batch_options *options);
/* PUNA_OK when all lines were answered or refused, PUNA_E_CANCELLED when tick stopped it, PUNA_E_IO when write
 * did. *state: how far it came. */
puna_status pn_batch_run(const pn_batch_options *options, pn_batch_state *state, puna_error *err);

#endif
