/* prompt.h: what a puna_prompt holds. */
#ifndef PN_RUN_PROMPT_H
#define PN_RUN_PROMPT_H

#include "run/chat.h"

struct puna_prompt {
    pn_tmpl_output out; /* the text; its spans count messages as the template saw them */
    puna_prompt_span *spans;
    int32_t n_spans;
    int32_t *tokens;
    int32_t *token_spans;
    int32_t n_tokens;
    const char *stops[PN_CHAT_MAX_STOPS];
    pn_buf tools; /* their JSON; empty: none were given */
};

#endif
