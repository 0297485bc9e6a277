/* generate.h: answers of the model, from prompts to a stream of deltas. The seam between the scheduler and the
 * forms that the APIs give to answers: an API reads its request into a pn_params and prompts, and then is
 * only a writer.
 *
 *   handler (worker):  pn_params_read, prompts or a chat turn -> pn_generation_new, _add, _start
 *   engine thread:     every event of the scheduler is copied into the generation's mailbox
 *   worker:            the mailbox is emptied: texts grow, answers are taken apart, and the writer is called
 *
 * The writer's functions are called on workers, one at a time and in this order: begin; any number of delta;
 * done or failed; free. Nothing is called after free, and the generation is gone then.
 *
 * A generation has n_prompts times candidates (best_of) choices: choice i is number i % candidates of prompt
 * i / candidates. They run side by side, as many at once as the scheduler has slots; prompts that begin alike are
 * computed once. A request's answer does not depend on what runs beside it. */
#ifndef PUNA_SERVER_GENERATE_H
#define PUNA_SERVER_GENERATE_H

#include "api_error.h"
#include "chat_turn.h"
#include "params.h"
#include "puna.h"
#include "service.h"
#include "text_buf.h"

typedef struct pn_generation pn_generation;

/* ---- what comes out ------------------------------------------------------------------------------ */

typedef struct pn_tool_call {
    char id[32]; /* "call_" and 24 letters and digits */
    pn_text name;
    pn_text arguments; /* JSON; the beginning of it while the call goes on */
} pn_tool_call;

/* A sampled token; the end token is none. */
typedef struct pn_sampled {
    int32_t token;
    float logprob; /* where log-probabilities were asked for */
    int32_t n_top; /* rows of pn_choice.top from its number times top_stride on */
} pn_sampled;

/* One answer, as far as it has come. */
typedef struct pn_choice {
    int32_t index;
    int32_t prompt; /* which one it answers */
    /* What is said and what was thought, valid UTF-8; without a chat turn content is all of the text.
     * Without params.stream they are filled in when the answer is complete. */
    pn_text content, reasoning;
    pn_tool_call *calls;
    int32_t n_calls;
    pn_sampled *tokens; /* only where log-probabilities were asked for */
    int32_t n_tokens;   /* of them, those whose text is part of the answer so far */
    puna_token_logprob *top;
    int32_t top_stride;
    puna_finish finish; /* NONE: goes on */
    const char *stop;   /* the stop text that ended it, or NULL */
    int32_t n_prompt, n_reused, n_sampled;
    int32_t n_reasoning; /* tokens thought, of n_sampled; known at the end */
    double waiting_s, prefill_s, decode_s;
    float *embedding; /* [n_embd] where pooling was asked for */
    /* with echo and log-probabilities, [n_prompt] of the prompt's own tokens; the first has none */
    float *prompt_logprobs;
    puna_token_logprob *prompt_top; /* [n_prompt][top_stride] */
    int32_t *n_prompt_top;
} pn_choice;

typedef enum pn_delta_kind {
    PN_DELTA_BEGIN = 1, /* the first of a choice: its first token has come */
    PN_DELTA_REASONING, /* text: more of what is thought */
    PN_DELTA_CONTENT,   /* text: more of what is said; whole characters */
    PN_DELTA_CALL,      /* calls[call] begins: its id and name are known */
    PN_DELTA_ARGUMENTS, /* text: more of the arguments of calls[call] */
    PN_DELTA_FINISH     /* the last of a choice: finish is set */
} pn_delta_kind;

typedef struct pn_delta {
    pn_delta_kind kind;
    const pn_choice *choice;
    const char *text; /* [text_bytes]; valid during the call */
    size_t text_bytes;
    int32_t call;
    /* tokens[first_token .. first_token + n_tokens) of the choice are reported with this delta; each token
     * comes once. */
    int32_t first_token, n_tokens;
} pn_delta;

/* "stop", "length" or "tool_calls", as OpenAI's API calls it. */
const char *pn_finish_name(const pn_choice *choice);

typedef struct pn_usage {
    int32_t n_prompt; /* each prompt counts once */
    int32_t n_cached; /* of those, found computed */
    int32_t n_completion;
    int32_t n_reasoning;
} pn_usage;

/* Every function may be NULL. */
typedef struct pn_writer {
    /* The requests are accepted: a response may begin. Called within pn_generation_start. */
    void (*begin)(void *user, pn_generation *g);
    /* Only with params.stream. */
    void (*delta)(void *user, pn_generation *g, const pn_delta *delta);
    /* All choices are complete. */
    void (*done)(void *user, pn_generation *g);
    /* It ended early; some deltas may have been written. */
    void (*failed)(void *user, pn_generation *g, const pn_api_error *e);
    void (*free)(void *user);
} pn_writer;

/* ---- making one ---------------------------------------------------------------------------------- */

/* Takes what params holds (it is empty afterwards), also on failure, which is want of memory: NULL. */
pn_generation *pn_generation_new(pn_service *service, pn_params *params, const pn_writer *writer,
                                 void *user);
/* Frees one that was not started; user is the caller's. */
void pn_generation_free(pn_generation *g);
/* Adds a prompt: malloc'ed ids, taken also on failure. One that does not fit the context is refused with both
 * numbers. */
bool pn_generation_add(pn_generation *g, int32_t *tokens, int32_t n_tokens, pn_api_error *e);
/* The answers are those of a conversation: adds its prompt and takes the turn, also on failure. */
bool pn_generation_add_turn(pn_generation *g, pn_chat_turn *turn, pn_api_error *e);
/* Vectors instead of texts: each choice gets its embedding. */
void pn_generation_embed(pn_generation *g, puna_pooling pooling);
/* Submits. True: the generation lives by itself until writer->free, which may have been called already. False:
 * nothing was called, *e says why, and it is still the caller's to free. client: pn_exchange_client. */
bool pn_generation_start(pn_generation *g, uint64_t client, pn_api_error *e);
/* Stops the work: from any thread, while the writer has not been freed. The writer's failed comes. */
void pn_generation_cancel(pn_generation *g);

/* ---- asking it, from the writer ------------------------------------------------------------------ */

int32_t pn_generation_n_choices(const pn_generation *g);
const pn_choice *pn_generation_choice(const pn_generation *g, int32_t index);
const pn_params *pn_generation_params(const pn_generation *g);
const pn_service *pn_generation_service(const pn_generation *g);
const int32_t *pn_generation_prompt(const pn_generation *g, int32_t prompt, int32_t *n_tokens);
pn_usage pn_generation_usage(const pn_generation *g);
int64_t pn_generation_created(const pn_generation *g); /* seconds since 1970 */
/* The index-th stop text. */
const char *pn_generation_stop(const pn_generation *g, int32_t index);
/* 24 letters and digits, for ids; NUL-terminated. */
const char *pn_generation_id(const pn_generation *g);

/* Writes 24 random letters and digits and a NUL. */
void pn_random_id(char id[25]);

#endif
