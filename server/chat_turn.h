/* chat_turn.h: a conversation on its way to the model, and how its answer is to be read.
 *
 * A turn is made from a conversation in OpenAI's form (an API that has another one writes it so first). It holds
 * the prompt, and where calls of tools are demanded, or JSON from a model that thinks first, the grammar that lets
 * the model say nothing else: in the words that the model's template uses for calls, where that can be found
 * out, so that what is sampled is what the model was trained to say. */
#ifndef PUNA_SERVER_CHAT_TURN_H
#define PUNA_SERVER_CHAT_TURN_H

#include <jansson.h>

#include "api_error.h"
#include "params.h"
#include "service.h"
#include "text_buf.h"

typedef enum pn_tool_mode {
    PN_TOOLS_AUTO = 0, /* the model may call */
    PN_TOOLS_NONE,     /* it is not shown any tools */
    PN_TOOLS_REQUIRED  /* it must call */
} pn_tool_mode;

typedef enum pn_turn_end {
    PN_TURN_GUESS = 0, /* a final message of the assistant is continued, else an answer begins */
    PN_TURN_ANSWER,    /* an answer begins */
    PN_TURN_CONTINUE,  /* the final message, which must be the assistant's, is continued */
    PN_TURN_AS_IS      /* the prompt ends with the last message */
} pn_turn_end;

typedef struct pn_conversation {
    json_t *messages; /* list of {"role", "content", ...} */
    json_t *
        tools; /* list of {"type": "function", "function": {"name", "description", "parameters"}}, or NULL */
    json_t *vars; /* further template variables, or NULL */
    pn_tool_mode tool_mode;
    const char *tool_name; /* REQUIRED: this one alone, or NULL: any of them */
    bool many_calls;       /* REQUIRED: more than one call is possible */
    pn_turn_end end;
} pn_conversation;

typedef struct pn_chat_turn pn_chat_turn;

/* Checks and renders it. A grammar that the turn needs is put into *params in place of the one that is there. */
bool pn_chat_turn_open(pn_service *service, const pn_conversation *conversation, pn_params *params,
                       pn_chat_turn **turn, pn_api_error *e);
void pn_chat_turn_free(pn_chat_turn *turn);

/* Text and ids of the prompt, with what is to be continued. */
const pn_text *pn_chat_turn_text(const pn_chat_turn *turn);
/* A copy for pn_generation_add; NULL without memory. */
int32_t *pn_chat_turn_tokens(const pn_chat_turn *turn, int32_t *n_tokens);
/* The i-th stop text of its format, or NULL from the end on. */
const char *pn_chat_turn_stop(const pn_chat_turn *turn, int32_t index);

/* ---- reading the answer: used by generate.c -------------------------------------------------------- */

/* An answer taken apart, as far as it has come. All of it is a beginning of what will be, while is_partial. */
typedef struct pn_message {
    pn_text content, reasoning;
    struct pn_message_call {
        pn_text name, arguments;
        bool is_complete;
    } * calls;
    int32_t n_calls;
} pn_message;

void pn_message_free(pn_message *m);
/* text: what was sampled, with the texts of control tokens. False without memory. */
bool pn_chat_turn_read(const pn_chat_turn *turn, const char *text, size_t n_bytes, bool is_partial,
                       pn_message *message);

#endif
