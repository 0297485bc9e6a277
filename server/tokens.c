/* tokens.c: text to ids and back. */
#include "tokens.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "params.h"

bool pn_tokenize(const puna_model *model, const char *text, size_t n_bytes, uint32_t flags,
                 int32_t **ids, int32_t *n_ids, const char *param, pn_api_error *e) {
    puna_error err;
    int32_t cap = n_bytes < 1 << 20 ? (int32_t)n_bytes / 2 + 16 : (int32_t)(n_bytes / 4);
    *n_ids = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        int32_t *list = malloc(((size_t)cap + 1) * sizeof *list);
        if (!list) return pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
        const puna_status status =
            puna_tokenize(model, text, n_bytes, flags, list, cap, n_ids, &err);
        if (!status) {
            *ids = list;
            return true;
        }
        free(list);
        if (status != PUNA_E_LIMIT || attempt == 1) break;
        cap = *n_ids;
    }
    if (err.code == PUNA_E_NOMEM) return pn_api_refuse_status(e, &err, param);
    return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param, "%s: %s", param, err.msg);
}

bool pn_tokenize_more(const puna_model *model, const char *text, size_t n_bytes, int32_t **ids,
                      int32_t *n_ids, const char *param, pn_api_error *e) {
    static const char mark[] = "\xe2\x98\xba";
    int32_t *first = NULL, n_first = 0;
    pn_text marked = {0};
    if (!pn_tokenize(model, mark, sizeof mark - 1, 0, &first, &n_first, param, e)) return false;
    pn_text_put(&marked, mark);
    pn_text_append(&marked, text, n_bytes);
    bool ok = !marked.failed || pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
    ok = ok && pn_tokenize(model, marked.s, marked.n, 0, ids, n_ids, param, e);
    pn_text_free(&marked);
    if (ok && *n_ids >= n_first && memcmp(*ids, first, (size_t)n_first * sizeof *first) == 0) {
        *n_ids -= n_first;
        memmove(*ids, *ids + n_first, (size_t)*n_ids * sizeof **ids);
    } else if (ok) { /* the mark became one with what follows it */
        free(*ids);
        *ids = NULL;
        ok = pn_tokenize(model, text, n_bytes, 0, ids, n_ids, param, e);
    }
    free(first);
    return ok;
}

bool pn_token_list(const puna_model *model, const json_t *list, int32_t **ids, int32_t *n_ids,
                   const char *param, pn_api_error *e) {
    puna_model_info info = {.size = sizeof info};
    puna_model_get_info(model, &info);
    const size_t n = json_array_size(list);
    int32_t *found = malloc((n + 1) * sizeof *found);
    if (!found) return pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        const json_t *id = json_array_get(list, i);
        const int64_t value = json_integer_value(id);
        if (!json_is_integer(id))
            ok = pn_refuse_value(e, param, "token ids, which are integers", id);
        else if (value < 0 || value >= info.n_vocab)
            ok = pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param,
                               "%s: token %" PRId64 " is outside the vocabulary of %d tokens",
                               param, value, info.n_vocab);
        else
            found[i] = (int32_t)value;
    }
    if (!ok) {
        free(found);
        return false;
    }
    *ids = found;
    *n_ids = (int32_t)n;
    return true;
}

bool pn_detokenize(const puna_model *model, const int32_t *ids, int32_t n_ids, uint32_t flags,
                   pn_text *text) {
    char small[256];
    size_t n = 0;
    puna_status status = puna_detokenize(model, ids, n_ids, flags, small, sizeof small, &n, NULL);
    if (!status) {
        pn_text_append(text, small, n);
        return !text->failed;
    }
    if (status != PUNA_E_LIMIT) return false;
    char *large = malloc(n);
    if (large && !(status = puna_detokenize(model, ids, n_ids, flags, large, n, &n, NULL)))
        pn_text_append(text, large, n);
    const bool ok = large && !status && !text->failed;
    free(large);
    return ok;
}

int32_t pn_first_token(const puna_model *model) {
    const int32_t bos = puna_token_special(model, PUNA_SPECIAL_BOS);
    return bos >= 0 ? bos : puna_token_special(model, PUNA_SPECIAL_EOS);
}

int64_t pn_model_number(const puna_model *model, const char *key) {
    const int32_t n = puna_model_n_meta(model);
    for (int32_t i = 0; i < n; i++) {
        char value[32];
        const char *name = puna_model_meta(model, i, value, sizeof value, NULL);
        if (!name || strcmp(name, key) != 0) continue;
        char *end = NULL;
        const long long number = strtoll(value, &end, 10);
        return end != value && !*end && number >= 0 ? number : -1;
    }
    return -1;
}
