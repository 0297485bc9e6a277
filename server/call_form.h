/* call_form.h: how a model's template writes a call of a tool, found out from the template itself: a conversation
 * with a known call is rendered, and what stands around its name and its arguments are the words of the call, when
 * puna_chat_parse reads the call back from them. Where a template has no such words (or writes arguments as
 * something else than JSON), the form is {"name": ..., "arguments": ...}.
 *
 *   before NAME between ARGUMENTS [join NAME between ARGUMENTS ...] after */
#ifndef PUNA_SERVER_CALL_FORM_H
#define PUNA_SERVER_CALL_FORM_H

#include <jansson.h>

#include "api_error.h"
#include "puna.h"
#include "text_buf.h"

typedef struct pn_call_form {
    pn_text before, between, after;
    pn_text join; /* empty: one call only */
    bool is_own;  /* puna's form, not the template's */
} pn_call_form;

/* tools: the list that the conversation has. False without memory. */
bool pn_call_form_find(const puna_chat *chat, const puna_model *model, json_t *tools,
                       pn_call_form *form);
void pn_call_form_free(pn_call_form *form);

/* What is to be sampled, as GBNF with the root rule "puna-root". */
typedef struct pn_call_rules {
    const pn_call_form *form; /* NULL: no calls */
    json_t *tools;            /* those that may be called */
    bool many;
    const puna_grammar *content; /* what may be said in place of a call, or NULL: nothing */
    const char
        *reasoning_close; /* the text that ends the reasoning that the prompt has opened, or NULL */
} pn_call_rules;
/* The grammar, a reference for the caller; false with *e: the schema of a tool cannot be enforced, ... */
bool pn_call_rules_grammar(const pn_call_rules *rules, const puna_model *model,
                           puna_grammar **grammar, pn_api_error *e);

struct pn_message;
/* Reads an answer that the grammar held to calls of these tools: adds the calls to *m, the last of them maybe not complete.
 * False without memory. (call_scan.c) */
bool pn_call_scan(const pn_call_form *form, const json_t *tools, const char *text, size_t n_bytes,
                  struct pn_message *m);

#endif
