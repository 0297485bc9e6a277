/* token_reuse.h: goes on from the tokens that a sequence has computed.
 *
 * A conversation is written anew for each turn, and the text of the last answer is then cut into
 * tokens by the tokenizer. The model may have chosen others for the same text ("un" "real" for
 * "unreal"), and all from the first difference on would have to be computed again. Where the text
 * agrees, the tokens that are there are kept: what the model reads is, character for character,
 * what the template says, spelled as the model itself spelled it. */
#ifndef PUNA_CLI_TOKEN_REUSE_H
#define PUNA_CLI_TOKEN_REUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is known about tokens; user is handed to the functions. */
typedef struct token_lookup {
    /* The bytes of a token (which is no control token) into *bytes, and their number. They are
     * valid until the next call for the same side (0 or 1). */
    size_t (*text)(void *user, int side, int32_t token, const char **bytes);
    /* Control tokens are marks of the template and stand for no text: they only match
     * themselves. */
    bool (*is_control)(void *user, int32_t token);
    void *user;
} token_lookup;

/* Writes to joined [n_timeline + n_prompt] the longest beginning of the timeline that says what the
 * prompt says, ends where a token of the prompt ends, and then the rest of the prompt. Returns the
 * number of tokens. */
int32_t token_reuse_join(const token_lookup *lookup, const int32_t *timeline, int32_t n_timeline,
                         const int32_t *prompt, int32_t n_prompt, int32_t *joined);

#endif
