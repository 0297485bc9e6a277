/* messages_read.h: the requests of Anthropic's /v1/messages. */
#ifndef PUNA_SERVER_MESSAGES_READ_H
#define PUNA_SERVER_MESSAGES_READ_H

#include "chat_form.h"

/* Adds system, messages, tools, tool_choice and thinking of a request; false with *e. */
bool pn_anthropic_read(const json_t *body, pn_chat_form *form, pn_api_error *e);

#endif
