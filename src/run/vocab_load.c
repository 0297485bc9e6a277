/* vocab_load.c: the tokenizer.ggml.* keys of a file as a pn_vocab_source.
 *
 * Every array is checked for its element type and its length against the number of tokens: an
 * array of bytes where floats are expected, or one too short, would be read past its end.
 * Special ids may be anything; the vocabulary ignores those outside it. */
#include "run/model.h"

#include "base/mem.h"

#define KEY(name) "tokenizer.ggml." name

/* Texts for pn_vocab_source; the bytes stay in the file's memory. */
static puna_status copy_texts(const pn_gguf_array *array, pn_vocab_text **texts, puna_error *err) {
    pn_vocab_text *t = pn_calloc((size_t)array->n, sizeof *t);
    if (!t) return pn_fail_nomem(err, (size_t)array->n * sizeof *t, "the vocabulary");
    for (uint64_t i = 0; i < array->n; i++)
        t[i] = (pn_vocab_text){array->strs[i].data, array->strs[i].n};
    *texts = t;
    return PUNA_OK;
}

static puna_status get_names(const pn_gguf *gguf, pn_vocab_source *source, puna_error *err) {
    pn_str model = {"", 0}, pre = {"", 0};
    bool found;
    PN_TRY(pn_gguf_get_string(gguf, KEY("model"), &model, &found, err));
    if (!found)
        return pn_fail(err, PUNA_E_FORMAT,
                       "%s: no tokenizer in the file: key " KEY("model") " is missing",
                       pn_gguf_name(gguf));
    PN_TRY(pn_gguf_get_string(gguf, KEY("pre"), &pre, NULL, err));
    source->model = (pn_vocab_text){model.data, model.n};
    source->pre = (pn_vocab_text){pre.data, pre.n};
    /* only ever looked at to know a file by, so another type is no fault of the tokenizer */
    const pn_gguf_kv *architecture = pn_gguf_find(gguf, "general.architecture");
    const pn_gguf_kv *name = pn_gguf_find(gguf, "general.name");
    if (architecture && architecture->type == PN_GGUF_STRING)
        source->architecture =
            (pn_vocab_text){architecture->value.str.data, architecture->value.str.n};
    if (name && name->type == PN_GGUF_STRING)
        source->name = (pn_vocab_text){name->value.str.data, name->value.str.n};
    return PUNA_OK;
}

static puna_status get_tokens(const pn_gguf *gguf, pn_vocab_source *source, pn_vocab_text **texts,
                              puna_error *err) {
    pn_gguf_array array = {0};
    bool found;
    PN_TRY(pn_gguf_get_array(gguf, KEY("tokens"), PN_GGUF_STRING, &array, &found, err));
    if (!found) return pn_gguf_missing(gguf, KEY("tokens"), err);
    if (array.n == 0 || array.n > INT32_MAX)
        return pn_fail(err, PUNA_E_FORMAT,
                       "%s: key " KEY("tokens") " has %llu elements, expected 1 to %d",
                       pn_gguf_name(gguf), (unsigned long long)array.n, INT32_MAX);
    PN_TRY(copy_texts(&array, texts, err));
    source->tokens = *texts;
    source->n_tokens = (int32_t)array.n;
    return PUNA_OK;
}

static puna_status get_merges(const pn_gguf *gguf, pn_vocab_source *source, pn_vocab_text **texts,
                              puna_error *err) {
    pn_gguf_array array = {0};
    PN_TRY(
        pn_gguf_get_array(gguf, KEY("merges"), PN_GGUF_STRING, &array, &source->has_merges, err));
    if (!source->has_merges) return PUNA_OK;
    if (array.n > INT32_MAX)
        return pn_fail(err, PUNA_E_FORMAT,
                       "%s: key " KEY("merges") " has %llu elements, expected at most %d",
                       pn_gguf_name(gguf), (unsigned long long)array.n, INT32_MAX);
    PN_TRY(copy_texts(&array, texts, err));
    source->merges = *texts;
    source->n_merges = (int32_t)array.n;
    return PUNA_OK;
}

/* An array with one element for each token; NULL when absent. The file keeps it 16-byte aligned. */
static puna_status get_per_token(const pn_gguf *gguf, const char *key, pn_gguf_type type,
                                 int32_t n_tokens, const void **data, puna_error *err) {
    pn_gguf_array array = {0};
    bool found;
    PN_TRY(pn_gguf_get_array(gguf, key, type, &array, &found, err));
    if (!found) return PUNA_OK;
    if (array.n != (uint64_t)n_tokens)
        return pn_fail(err, PUNA_E_FORMAT, "%s: key %s has %llu elements, but there are %d tokens",
                       pn_gguf_name(gguf), key, (unsigned long long)array.n, n_tokens);
    *data = array.data;
    return PUNA_OK;
}

static puna_status get_charsmap(const pn_gguf *gguf, pn_vocab_source *source, puna_error *err) {
    const char *key = KEY("precompiled_charsmap");
    const pn_gguf_kv *kv = pn_gguf_find(gguf, key);
    pn_gguf_array array = {0};
    if (!kv) return PUNA_OK;
    /* writers disagree about the sign of bytes */
    const bool is_signed = kv->type == PN_GGUF_ARRAY && kv->value.array.type == PN_GGUF_I8;
    PN_TRY(pn_gguf_get_array(gguf, key, is_signed ? PN_GGUF_I8 : PN_GGUF_U8, &array, NULL, err));
    source->charsmap = array.data;
    source->charsmap_bytes = (size_t)array.n;
    return PUNA_OK;
}

static puna_status get_ids(const pn_gguf *gguf, pn_vocab_source *source, puna_error *err) {
    const struct {
        const char *key;
        int64_t *id;
    } ids[] = {
        {KEY("bos_token_id"), &source->bos},
        {KEY("eos_token_id"), &source->eos},
        {KEY("eot_token_id"), &source->eot},
        {KEY("eom_token_id"), &source->eom},
        {KEY("unknown_token_id"), &source->unk},
        {KEY("seperator_token_id"), &source->sep}, /* as the format has it */
        {KEY("padding_token_id"), &source->pad},
        {KEY("cls_token_id"), &source->cls},
        {KEY("mask_token_id"), &source->mask},
    };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        *ids[i].id = -1;
        PN_TRY(pn_gguf_get_int(gguf, ids[i].key, INT64_MIN, INT64_MAX, ids[i].id, NULL, err));
    }
    return PUNA_OK;
}

static puna_status get_flags(const pn_gguf *gguf, pn_vocab_source *source, puna_error *err) {
    const struct {
        const char *key;
        int32_t *flag;
    } flags[] = {
        {KEY("add_bos_token"), &source->add_bos},
        {KEY("add_eos_token"), &source->add_eos},
        {KEY("add_sep_token"), &source->add_sep},
        {KEY("add_space_prefix"), &source->add_space_prefix},
        {KEY("remove_extra_whitespaces"), &source->remove_extra_whitespaces},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        bool value = false, found;
        PN_TRY(pn_gguf_get_bool(gguf, flags[i].key, &value, &found, err));
        *flags[i].flag = found ? value : -1;
    }
    bool lowercase = true, strip_accents = true;
    PN_TRY(pn_gguf_get_bool(gguf, KEY("normalizer.lowercase"), &lowercase, NULL, err));
    PN_TRY(pn_gguf_get_bool(gguf, KEY("normalizer.strip_accents"), &strip_accents, NULL, err));
    source->keep_case = !lowercase;
    source->keep_accents = !strip_accents;
    return PUNA_OK;
}

/* The texts are written to *tokens and *merges for the caller to free, also on failure. */
static puna_status fill_source(const pn_gguf *gguf, pn_vocab_source *source, pn_vocab_text **tokens,
                               pn_vocab_text **merges, puna_error *err) {
    const void *scores = NULL, *types = NULL;
    PN_TRY(get_names(gguf, source, err));
    PN_TRY(get_tokens(gguf, source, tokens, err));
    PN_TRY(get_merges(gguf, source, merges, err));
    PN_TRY(get_per_token(gguf, KEY("scores"), PN_GGUF_F32, source->n_tokens, &scores, err));
    PN_TRY(get_per_token(gguf, KEY("token_type"), PN_GGUF_I32, source->n_tokens, &types, err));
    source->scores = scores;
    source->types = types;
    PN_TRY(get_charsmap(gguf, source, err));
    PN_TRY(get_ids(gguf, source, err));
    return get_flags(gguf, source, err);
}

puna_status pn_vocab_load(const pn_gguf *gguf, pn_vocab **vocab, puna_error *err) {
    pn_vocab_source source = {0};
    pn_vocab_text *tokens = NULL, *merges = NULL;
    puna_status status = fill_source(gguf, &source, &tokens, &merges, err);
    if (status == PUNA_OK) {
        status = pn_vocab_open(&source, vocab, err);
        if (status != PUNA_OK) (void)pn_fail_in(err, status, pn_gguf_name(gguf));
    }
    pn_free(tokens);
    pn_free(merges);
    return status;
}
