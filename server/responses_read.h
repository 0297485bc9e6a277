/* responses_read.h: the requests of /v1/responses. */
#ifndef PUNA_SERVER_RESPONSES_READ_H
#define PUNA_SERVER_RESPONSES_READ_H

#include "chat_form.h"

/* Adds instructions, input, tools, tool_choice and reasoning of a request; false with *e. */
bool pn_responses_read(const json_t *body, pn_chat_form *form, pn_api_error *e);
/* The form of the answer, and what the response is to include. */
bool pn_responses_format(const json_t *body, pn_params *params, pn_api_error *e);

#endif
