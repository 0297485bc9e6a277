/* prompt_lookup.c: the longest ending of up to four tokens that occurred before, latest occurrence
 * first. */
#include "prompt_lookup.h"

#include <stdbool.h>
#include <string.h>

enum { MAX_ENDING = 4, MIN_ENDING = 2 };

static bool same(const int32_t *a, const int32_t *b, int32_t n) {
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* Where the last n tokens occurred before: what follows them, or -1. */
static int32_t find_ending(const int32_t *tokens, int32_t n_tokens, int32_t n) {
    const int32_t *ending = tokens + n_tokens - n;
    for (int32_t at = n_tokens - n - 1; at >= 0; at--)
        if (same(tokens + at, ending, n)) return at + n;
    return -1;
}

int32_t prompt_lookup(void *user, const int32_t *tokens, int32_t n_tokens, int32_t *draft,
                      int32_t max_draft) {
    (void)user;
    for (int32_t n = MAX_ENDING; n >= MIN_ENDING; n--) {
        const int32_t from = n < n_tokens ? find_ending(tokens, n_tokens, n) : -1;
        if (from < 0) continue;
        const int32_t n_draft = n_tokens - from < max_draft ? n_tokens - from : max_draft;
        memcpy(draft, tokens + from, (size_t)n_draft * sizeof *draft);
        return n_draft;
    }
    return 0;
}
