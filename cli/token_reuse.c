/* token_reuse.c: goes on from the tokens that a sequence has computed. */
#include "token_reuse.h"

#include <string.h>

/* One of the two lists, read token by token and byte by byte. */
typedef struct reader {
    int side;
    const int32_t *ids;
    int32_t n_ids;
    int32_t at;        /* the next token */
    const char *bytes; /* what is left of the token before */
    size_t n_bytes;
} reader;

/* False at the end of the list and before a control token. */
static bool read_text(const token_lookup *lookup, reader *r) {
    while (r->n_bytes == 0) {
        if (r->at == r->n_ids || lookup->is_control(lookup->user, r->ids[r->at])) return false;
        r->n_bytes = lookup->text(lookup->user, r->side, r->ids[r->at++], &r->bytes);
    }
    return true;
}

/* Passes over tokens of both until both are between two tokens again. False when they say different
 * things before that. */
static bool same_text(const token_lookup *lookup, reader *a, reader *b) {
    do {
        if (!read_text(lookup, a) || !read_text(lookup, b)) return false;
        size_t n = a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes;
        if (memcmp(a->bytes, b->bytes, n) != 0) return false;
        a->bytes += n;
        b->bytes += n;
        a->n_bytes -= n;
        b->n_bytes -= n;
    } while (a->n_bytes > 0 || b->n_bytes > 0);
    return true;
}

int32_t token_reuse_join(const token_lookup *lookup, const int32_t *timeline, int32_t n_timeline,
                         const int32_t *prompt, int32_t n_prompt, int32_t *joined) {
    reader old = {.side = 0, .ids = timeline, .n_ids = n_timeline};
    reader new = {.side = 1, .ids = prompt, .n_ids = n_prompt};
    int32_t n_kept = 0;
    int32_t n_said = 0; /* of the prompt, by the tokens that are kept */
    while (old.at < n_timeline && new.at < n_prompt) {
        if (timeline[old.at] == prompt[new.at]) {
            old.at++;
            new.at++;
        } else if (!same_text(lookup, &old, &new)) {
            break;
        }
        n_kept = old.at;
        n_said = new.at;
    }
    if (n_kept > 0) memcpy(joined, timeline, (size_t)n_kept * sizeof *joined);
    memcpy(joined + n_kept, prompt + n_said, (size_t)(n_prompt - n_said) * sizeof *joined);
    return n_kept + n_prompt - n_said;
}
