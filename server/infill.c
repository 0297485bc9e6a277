/* infill.c: PREFIX_TOKEN prefix SUFFIX_TOKEN suffix MIDDLE_TOKEN. */
#include "infill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokens.h"

typedef enum part { PREFIX, SUFFIX, MIDDLE, N_PARTS } part;

/* The token that the file names, or that has one of the usual texts; or -1. */
static int32_t infill_token(const puna_model *model, part which) {
    static const char *const keys[N_PARTS][2] = {
        {"tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"},
        {"tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"},
        {"tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"}};
    static const char *const texts[N_PARTS][5] = {
        {"<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", "<PRE>", "\xe2\x96\x81<PRE>"},
        {"<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>", "<SUF>", "\xe2\x96\x81<SUF>"},
        {"<|fim_middle|>", "<fim_middle>", "<fim-middle>", "<MID>", "\xe2\x96\x81<MID>"}};
    puna_model_info info = {.size = sizeof info};
    puna_model_get_info(model, &info);
    for (int i = 0; i < 2; i++) {
        const int64_t id = pn_model_number(model, keys[which][i]);
        if (id >= 0 && id < info.n_vocab) return (int32_t)id;
    }
    for (int i = 0; i < 5; i++) {
        int32_t id = -1, n = 0;
        const char *text = texts[which][i];
        if (!puna_tokenize(model, text, strlen(text), PUNA_TOKENIZE_PARSE_SPECIAL, &id, 1, &n,
                           NULL) &&
            n == 1 && puna_token_is_control(model, id))
            return id;
    }
    return -1;
}

bool pn_infill_prompt(const puna_model *model, const char *prefix, const char *suffix,
                      int32_t **ids, int32_t *n_ids, pn_api_error *e) {
    int32_t marks[N_PARTS], *before = NULL, *after = NULL, n_before = 0, n_after = 0, n = 0;
    for (int i = 0; i < N_PARTS; i++) {
        marks[i] = infill_token(model, (part)i);
        if (marks[i] < 0)
            return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, "suffix",
                                 "suffix: the vocabulary of the model has no tokens to fill a gap");
    }
    bool ok = pn_tokenize(model, prefix, strlen(prefix), 0, &before, &n_before, "prompt", e) &&
              pn_tokenize_more(model, suffix, strlen(suffix), &after, &n_after, "suffix", e);
    int32_t *all = ok ? malloc(((size_t)n_before + (size_t)n_after + 4) * sizeof *all) : NULL;
    if (ok && !all) ok = pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
    if (ok) {
        const int32_t bos = puna_token_special(model, PUNA_SPECIAL_BOS);
        if (puna_model_adds_bos(model) && bos >= 0) all[n++] = bos;
        all[n++] = marks[PREFIX];
        for (int32_t i = 0; i < n_before; i++) all[n++] = before[i];
        all[n++] = marks[SUFFIX];
        for (int32_t i = 0; i < n_after; i++) all[n++] = after[i];
        all[n++] = marks[MIDDLE];
        *ids = all;
        *n_ids = n;
    }
    free(before);
    free(after);
    return ok;
}
