/* infill.h: prompts with a gap that is to be filled, for models that were trained to. */
#ifndef PUNA_SERVER_INFILL_H
#define PUNA_SERVER_INFILL_H

#include "api_error.h"
#include "puna.h"

/* The ids of "fill in what stands between prefix and suffix", malloc'ed. 400 where the vocabulary has no tokens for
 * that. */
bool pn_infill_prompt(const puna_model *model, const char *prefix, const char *suffix,
                      int32_t **ids, int32_t *n_ids, pn_api_error *e);

#endif
