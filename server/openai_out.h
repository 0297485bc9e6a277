/* openai_out.h: what answers of all of OpenAI's endpoints have in common, and the response they are written to. */
#ifndef PUNA_SERVER_OPENAI_OUT_H
#define PUNA_SERVER_OPENAI_OUT_H

#include "api.h"

/* A response under way: what pn_writer's user is. Made by a handler, freed by pn_reply_free (pn_writer.free). */
typedef struct pn_reply {
    pn_exchange *x;
    pn_generation *g; /* from begin on */
    bool streams;
    bool is_lost; /* nobody reads it */
} pn_reply;

/* Retains the exchange; NULL without memory. */
pn_reply *pn_reply_new(pn_exchange *x);
/* The same for one that is the first member of something larger, from calloc: pn_reply_free frees that. */
void pn_reply_init(pn_reply *reply, pn_exchange *x);
void pn_reply_free(void *reply);
/* pn_writer.begin: begins the stream where there is one, and stops the work when the client leaves. */
void pn_reply_begin(void *reply, pn_generation *g);
/* pn_writer.failed: the error as the response, or as the end of the stream. */
void pn_reply_failed(void *reply, pn_generation *g, const pn_api_error *e);
/* The whole response; frees text. */
void pn_reply_json(pn_reply *reply, pn_text *text);
/* One event of the stream, "data: TEXT"; frees text. */
void pn_reply_event(pn_reply *reply, pn_text *text);
/* The same with a name, "event: NAME", where it is not NULL. text is empty afterwards, for another. */
void pn_reply_named_event(pn_reply *reply, const char *name, pn_text *text);
/* The end of the stream. */
void pn_reply_end(pn_reply *reply);
/* "data: [DONE]", and the end. */
void pn_reply_done(pn_reply *reply);

/* Starts the generation, or replies with the error and frees both. */
void pn_reply_start(pn_reply *reply, pn_generation *g);
/* Replies with an error and frees reply, which may be NULL. */
void pn_reply_refuse(pn_exchange *x, pn_reply *reply, const pn_api_error *e);

/* A handler: reads the body, makes its generation and starts it; or replies with what is wrong. */
void pn_reply_openai(pn_service *service, pn_exchange *x, pn_make_generation *make,
                     const pn_writer *writer);

/* ---- pieces of JSON ------------------------------------------------------------------------------ */

/* "puna-0.1.0-avx2": what the same seed gives the same text with. */
const char *pn_fingerprint(void);
/* {"prompt_tokens": ...} */
void pn_write_usage(pn_text *t, const pn_generation *g);
/* llama.cpp's object of counts and milliseconds. */
void pn_write_timings(pn_text *t, const pn_choice *choice);
/* The text of a token as a JSON string; false: it is not UTF-8, and U+FFFD stands in it. */
void pn_write_token(pn_text *t, const puna_model *model, int32_t token);
/* [{"token", "logprob", "bytes", "top_logprobs"}, ...] of tokens first to first + n of a choice. */
void pn_write_chat_logprobs(pn_text *t, const pn_generation *g, const pn_choice *choice,
                            int32_t first, int32_t n);
/* A log-probability; that of an impossible token as OpenAI has it. */
void pn_write_logprob(pn_text *t, double logprob);

#endif
