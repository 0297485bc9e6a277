/* responses_out.h: a response of /v1/responses: items, the object around them, and the events of a stream. */
#ifndef PUNA_SERVER_RESPONSES_OUT_H
#define PUNA_SERVER_RESPONSES_OUT_H

#include "generate.h"
#include "openai_out.h"

/* One item of the output: a stretch of what was thought or said, or a call. */
typedef struct pn_response_item {
    pn_delta_kind kind; /* REASONING, CONTENT or CALL */
    size_t from, to;    /* its text in the choice's reasoning or content */
    int32_t first_token, n_tokens;
    int32_t call;
    bool is_open; /* more of it may come */
} pn_response_item;

typedef struct pn_response {
    pn_reply reply; /* first */
    pn_response_item *items;
    int32_t n_items, cap_items;
    int32_t n_events;
    bool failed; /* without memory */
} pn_response;

/* {"type": "message", ...}; number: its place in the output. */
void pn_write_response_item(pn_text *t, const pn_generation *g, const pn_response_item *item,
                            int32_t number);
/* {"object": "response", ...}. status: "in_progress", "completed", ...; error: NULL, or why it failed. */
void pn_write_response(pn_text *t, const pn_generation *g, const pn_response *r, const char *status,
                       const pn_api_error *error);

#endif
