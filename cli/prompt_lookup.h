/* prompt_lookup.h: guesses the next tokens from what came before: where the last few tokens occurred
 * earlier, what followed them there. Costs nothing to speak of, and is often right where an answer
 * repeats its prompt: summaries, edits, code. (Saxena 2023, "Prompt Lookup Decoding".) */
#ifndef PUNA_CLI_PROMPT_LOOKUP_H
#define PUNA_CLI_PROMPT_LOOKUP_H

#include <stdint.h>

/* A puna_draft_fn; user is not used. */
int32_t prompt_lookup(void *user, const int32_t *tokens, int32_t n_tokens, int32_t *draft,
                      int32_t max_draft);

#endif
