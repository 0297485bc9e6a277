/* tokens.h: text to ids and back, as the APIs need it. */
#ifndef PUNA_SERVER_TOKENS_H
#define PUNA_SERVER_TOKENS_H

#include <jansson.h>

#include "api_error.h"
#include "puna.h"
#include "text_buf.h"

/* The ids of a text, malloc'ed; flags are those of puna_tokenize. An empty text has none. param: the field the text
 * came from. */
bool pn_tokenize(const puna_model *model, const char *text, size_t n_bytes, uint32_t flags,
                 int32_t **ids, int32_t *n_ids, const char *param, pn_api_error *e);
/* The same for a text that goes on behind others: without special tokens, and without the space that some
 * vocabularies put before a text. */
bool pn_tokenize_more(const puna_model *model, const char *text, size_t n_bytes, int32_t **ids,
                      int32_t *n_ids, const char *param, pn_api_error *e);
/* The ids of a list of integers that are tokens of the model. */
bool pn_token_list(const puna_model *model, const json_t *list, int32_t **ids, int32_t *n_ids,
                   const char *param, pn_api_error *e);
/* Appends the bytes of ids; flags are those of puna_detokenize. They may be part of a character. */
bool pn_detokenize(const puna_model *model, const int32_t *ids, int32_t n_ids, uint32_t flags,
                   pn_text *text);
/* What a prompt without a text begins with: BOS or EOS; -1 where the vocabulary has neither. */
int32_t pn_first_token(const puna_model *model);
/* The number of a key of the model, or -1. */
int64_t pn_model_number(const puna_model *model, const char *key);

#endif
