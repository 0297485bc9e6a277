/* vocab_trie.c: a model's vocabulary as grammars want it: the bytes that each token adds to a text.
 *
 * Made when the first sampler with a grammar is opened, by whichever thread comes first; kept with
 * the model. */
#include "run/model.h"

#include "base/mem.h"

#include <string.h>

static pn_token_kind kind_of(const pn_vocab *vocab, int32_t token) {
    if (pn_vocab_is_end(vocab, token)) return PN_TOKEN_OF_END;
    switch (pn_vocab_token_type(vocab, token)) {
    case PN_TOKEN_CONTROL: return PN_TOKEN_SILENT;
    case PN_TOKEN_UNKNOWN:
    case PN_TOKEN_UNUSED: return PN_TOKEN_NEVER;
    default: return PN_TOKEN_OF_TEXT;
    }
}

/* Appends what the token adds, or the name of one that adds nothing. */
static puna_status append_text(const pn_vocab *vocab, int32_t token, pn_token_kind kind,
                               pn_buf *texts, puna_error *err) {
    const pn_vocab_text stored = pn_vocab_token_text(vocab, token);
    size_t n = stored.n;
    if (kind != PN_TOKEN_OF_TEXT)
        return pn_buf_append(texts, stored.data, n) ? PUNA_OK
                                                    : pn_fail_nomem(err, texts->n, "the tokens");
    char piece[256], *text = n <= sizeof piece ? piece : pn_alloc(n);
    if (!text) return pn_fail_nomem(err, n, "the tokens");
    puna_status status = pn_vocab_detokenize(vocab, &token, 1, PUNA_DETOKENIZE_KEEP_SPACE, text,
                                             n <= sizeof piece ? sizeof piece : n, &n, err);
    if (!status && !pn_buf_append(texts, text, n))
        status = pn_fail_nomem(err, texts->n, "the tokens");
    if (text != piece) pn_free(text);
    return status;
}

/* offsets [n_tokens + 1] of the texts. */
static puna_status list_texts(const pn_vocab *vocab, pn_buf *texts, size_t *offsets,
                              pn_token_source *sources, puna_error *err) {
    const int32_t n = pn_vocab_n_tokens(vocab);
    for (int32_t t = 0; t < n; t++) {
        offsets[t] = texts->n;
        sources[t].kind = kind_of(vocab, t);
        PN_TRY(append_text(vocab, t, sources[t].kind, texts, err));
    }
    offsets[n] = texts->n;
    for (int32_t t = 0; t < n; t++) {
        sources[t].text = texts->data + offsets[t];
        sources[t].n = offsets[t + 1] - offsets[t];
        if (sources[t].n == 0 && sources[t].kind == PN_TOKEN_OF_TEXT)
            sources[t].kind = PN_TOKEN_NEVER; /* a text could go on for ever with it */
    }
    return PUNA_OK;
}

static puna_status make_trie(const pn_vocab *vocab, pn_token_trie **trie, puna_error *err) {
    const size_t n = (size_t)pn_vocab_n_tokens(vocab);
    pn_buf texts = {0};
    size_t *offsets = pn_alloc((n + 1) * sizeof *offsets);
    pn_token_source *sources = pn_calloc(n, sizeof *sources);
    puna_status status = offsets && sources ? list_texts(vocab, &texts, offsets, sources, err)
                                            : pn_fail_nomem(err, n * sizeof *sources, "the tokens");
    if (!status) status = pn_token_trie_open(sources, (int32_t)n, trie, err);
    pn_buf_free(&texts);
    pn_free(offsets);
    pn_free(sources);
    return status;
}

puna_status pn_model_trie(puna_model *model, const pn_token_trie **trie, puna_error *err) {
    pn_token_trie *made = atomic_load(&model->trie);
    if (!made) {
        pn_token_trie *first = NULL;
        PN_TRY(make_trie(model->vocab, &made, err));
        if (!atomic_compare_exchange_strong(&model->trie, &first, made)) {
            pn_token_trie_free(made);
            made = first;
        }
    }
    *trie = made;
    return PUNA_OK;
}
