/* api.h: what the files api_*.c share, and other programs of the APIs (puna batch) use. */
#ifndef PUNA_SERVER_API_H
#define PUNA_SERVER_API_H

#include "generate.h"

/* The "model" of a request must be a string where it is given. Whatever it names, the model that is loaded answers, and
 * the answer says which that is: clients come with names of other servers' models ("gpt-4o-mini") that cannot
 * be changed in them. */
bool pn_model_is_named(const json_t *body, pn_api_error *e);

/* The conversation of a chat request; free it with pn_chat_conversation_free, also on failure. */
bool pn_chat_conversation(json_t *body, pn_conversation *conversation, pn_api_error *e);
void pn_chat_conversation_free(pn_conversation *conversation);

/* From the body of a request to its generation, not started. */
typedef bool pn_make_generation(pn_service *service, json_t *body, const pn_writer *writer,
                                void *user, pn_generation **generation, pn_api_error *e);
pn_make_generation pn_chat_generation, pn_text_generation, pn_embedding_generation;
/* Their whole answers: {"object": "chat.completion", ...} and so on. */
typedef void pn_write_answer(pn_text *t, const pn_generation *g);
pn_write_answer pn_write_chat_completion, pn_write_text_completion, pn_write_embeddings;

/* Replies with JSON and frees it; with 500 where memory ran out. */
void pn_reply_text(pn_exchange *x, pn_text *text);

#endif
