/* chat_form.h: conversations of other APIs (/v1/responses, Anthropic's /v1/messages) are written down as a chat request
 * has them, and go on from there as one: what models, templates and tools make of them is the same for all.
 *
 * Every function may be called after memory ran out: it then does nothing, and the generation is refused. */
#ifndef PUNA_SERVER_CHAT_FORM_H
#define PUNA_SERVER_CHAT_FORM_H

#include <jansson.h>

#include "generate.h"

typedef struct pn_chat_form {
    json_t *body;      /* {"messages": [...], "tools": [...], "tool_choice": ...} */
    json_t *assistant; /* the last message, as long as it is the assistant's: part of body */
    pn_text reasoning; /* of the assistant's message that comes next */
    bool failed;
} pn_chat_form;

void pn_chat_form_init(pn_chat_form *form);
void pn_chat_form_free(pn_chat_form *form);

/* Takes content: a string or a list of text parts, NULL for none. */
void pn_chat_form_message(pn_chat_form *form, const char *role, json_t *content);
/* A call of the assistant: of its last message, or of one that begins. arguments: JSON. */
void pn_chat_form_call(pn_chat_form *form, const char *id, const char *name, const char *arguments);
/* What a call returned. Takes content. */
void pn_chat_form_result(pn_chat_form *form, const char *id, json_t *content);
void pn_chat_form_reasoning(pn_chat_form *form, const char *text);
/* description and parameters may be NULL. */
void pn_chat_form_tool(pn_chat_form *form, const char *name, const char *description,
                       json_t *parameters);
/* Any further member of the chat request; takes value. */
void pn_chat_form_set(pn_chat_form *form, const char *name, json_t *value);

/* Where something stands in the request: "messages[2].content[0]". */
typedef struct pn_place {
    char text[96];
} pn_place;

/* Whether the object's "type" is this. */
bool pn_is_type(const json_t *object, const char *type);
/* Status 500: out of memory; false. */
bool pn_refuse_memory(pn_api_error *e);
/* {"type": "text", "text": text} */
json_t *pn_text_part(const char *text);
/* The string member that must be there; NULL with *e. at: where the object stands in the request. */
const char *pn_needed_text(const json_t *object, const char *at, const char *name, pn_api_error *e);
/* "AT: parts of type TYPE are not supported"; false */
bool pn_refuse_type(pn_api_error *e, const char *at, const char *what, const json_t *type);

/* From the conversation to its generation, not started. Takes what params holds, also on failure. */
bool pn_chat_form_generation(pn_chat_form *form, pn_service *service, pn_params *params,
                             const pn_writer *writer, void *user, pn_generation **generation,
                             pn_api_error *e);
/* The number of tokens that its prompt has. */
bool pn_chat_form_count(pn_chat_form *form, pn_service *service, pn_params *params,
                        int32_t *n_tokens, pn_api_error *e);

#endif
