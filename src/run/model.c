/* model.c: the public model and token functions: open at three levels, facts, keys, tensors,
 * tokens.
 *
 * Order of loading: the container, then what kind of file it is, then the compute plan, then the
 * vocabulary; so the first error a person sees is the most general one. */
#include "run/model.h"

#include "base/log.h"
#include "base/mem.h"
#include "run/options.h"
#include "simd/isa.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *puna_cpu_isa(void) {
    return pn_isa_name(pn_isa_best());
}

/* ---- opening ---- */

void puna_model_options_init(puna_model_options *options) {
    *options =
        (puna_model_options){.size = sizeof *options, .level = PUNA_OPEN_FULL, .use_mmap = true};
}

/* A string key for people: "" when absent or of another type. The bytes end with a NUL in the
 * file's memory. */
static const char *text_of(const pn_gguf *gguf, const char *key) {
    const pn_gguf_kv *kv = pn_gguf_find(gguf, key);
    if (!kv) return "";
    if (kv->type == PN_GGUF_STRING) return kv->value.str.data;
    pn_log(PUNA_LOG_WARN, "%s: key %s has type %s, expected string: ignored", pn_gguf_name(gguf),
           key, pn_gguf_type_name(kv->type));
    return "";
}

/* Adapters, projectors and vocabularies are GGUF files too, but no models. */
static puna_status check_kind(const pn_gguf *gguf, puna_error *err) {
    pn_str type = {"model", 5};
    PN_TRY(pn_gguf_get_string(gguf, "general.type", &type, NULL, err));
    if (type.n != 5 || memcmp(type.data, "model", 5) != 0) {
        char shown[PN_ESCAPED_BYTES];
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "%s: general.type is \"%.60s\": the file is no model that can run by itself",
                       pn_gguf_name(gguf), pn_escape(shown, type.data, type.n));
    }
    if (pn_gguf_n_tensors(gguf) == 0)
        return pn_fail(err, PUNA_E_FORMAT, "%s: no tensors in the file%s", pn_gguf_name(gguf),
                       pn_gguf_find(gguf, "tokenizer.ggml.tokens")
                           ? ": a vocabulary only, good for tokenizing"
                           : "");
    return PUNA_OK;
}

static puna_status load(puna_model *model, puna_error *err) {
    if (model->level == PUNA_OPEN_FILE) return PUNA_OK;
    if (model->level == PUNA_OPEN_FULL) {
        PN_TRY(check_kind(model->gguf, err));
        PN_TRY(pn_arch_build(model->gguf, &model->plan, &model->hparams, err));
    }
    PN_TRY(pn_vocab_load(model->gguf, &model->vocab, err));
    const int32_t n_tokens = pn_vocab_n_tokens(model->vocab);
    if (model->level == PUNA_OPEN_FULL && n_tokens > model->plan.n_vocab)
        return pn_fail(err, PUNA_E_FORMAT,
                       "%s: the vocabulary has %d tokens, but token_embd.weight only %d rows",
                       pn_gguf_name(model->gguf), n_tokens, model->plan.n_vocab);
    return PUNA_OK;
}

/* The name of the type that holds the most elements. */
static const char *main_format(const pn_gguf *gguf) {
    int32_t n;
    const pn_format_info *const all = pn_format_all(&n);
    const char *name = "";
    uint64_t most = 0;
    for (int32_t f = 0; f < n; f++) {
        uint64_t sum = 0;
        for (int32_t i = 0; i < pn_gguf_n_tensors(gguf); i++) {
            const pn_gguf_tensor *t = pn_gguf_tensor_at(gguf, i);
            if (t->format->id == all[f].id) sum += t->n_elements;
        }
        if (sum > most) {
            most = sum;
            name = all[f].name;
        }
    }
    return name;
}

static void fill_info(puna_model *model) {
    const pn_gguf *g = model->gguf;
    const pn_hparams *hp = &model->hparams;
    puna_model_info *info = &model->info;
    *info = (puna_model_info){.size = sizeof *info,
                              .architecture = text_of(g, "general.architecture"),
                              .name = text_of(g, "general.name"),
                              .quantization = main_format(g),
                              .tokenizer = model->vocab ? pn_vocab_name(model->vocab) : "",
                              .chat_template = text_of(g, "tokenizer.chat_template"),
                              .file_bytes = pn_gguf_file_bytes(g),
                              .n_tensors = pn_gguf_n_tensors(g),
                              .n_parts = pn_gguf_n_parts(g),
                              .n_vocab = model->vocab ? pn_vocab_n_tokens(model->vocab) : 0};
    for (int32_t i = 0; i < info->n_tensors; i++)
        info->n_params += pn_gguf_tensor_at(g, i)->n_elements;
    if (model->level != PUNA_OPEN_FULL) return;
    info->n_vocab = model->plan.n_vocab; /* the logits' width */
    info->n_ctx_train = hp->n_ctx_train;
    info->n_embd = hp->n_embd;
    info->n_layer = hp->n_layer;
    info->n_head = hp->n_head;
    info->n_head_kv = hp->n_head_kv;
    info->n_ff = hp->n_ff;
    info->n_expert = hp->n_expert;
    info->n_expert_used = hp->n_expert_used;
}

puna_status puna_model_open(const char *path, const puna_model_options *options, puna_model **model,
                            puna_error *err) {
    puna_model_options o;
    puna_model_options_init(&o);
    pn_options_copy(&o, sizeof o, options);
    if (!path || !*path) return pn_fail(err, PUNA_E_ARG, "no model file was given");
    if ((unsigned)o.level > PUNA_OPEN_FILE)
        return pn_fail(err, PUNA_E_ARG, "open level %d is unknown", (int)o.level);
    puna_model *m = pn_calloc(1, sizeof *m);
    if (!m) return pn_fail_nomem(err, sizeof *m, "the model");
    atomic_init(&m->refs, 1);
    m->level = o.level;
    const pn_gguf_options file = {.with_data = o.level == PUNA_OPEN_FULL,
                                  .use_mmap = o.use_mmap,
                                  .use_mlock = o.use_mlock,
                                  .progress = o.progress,
                                  .progress_user = o.progress_user,
                                  .overrides = o.overrides,
                                  .n_overrides = o.n_overrides};
    puna_status status = pn_gguf_open(path, &file, &m->gguf, err);
    if (status == PUNA_OK) status = load(m, err);
    if (status != PUNA_OK) {
        puna_model_free(m);
        return status;
    }
    fill_info(m);
    *model = m;
    return PUNA_OK;
}

puna_model *puna_model_retain(puna_model *model) {
    atomic_fetch_add_explicit(&model->refs, 1, memory_order_relaxed);
    return model;
}

void puna_model_free(puna_model *model) {
    if (!model || atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) > 1) return;
    pn_plan_free(&model->plan);
    pn_token_trie_free(atomic_load(&model->trie));
    pn_vocab_free(model->vocab);
    pn_gguf_free(model->gguf);
    pn_free(model);
}

/* ---- facts ---- */

void puna_model_get_info(const puna_model *model, puna_model_info *info) {
    pn_options_fill(info, &model->info, sizeof model->info);
}

int32_t puna_model_n_meta(const puna_model *model) {
    return pn_gguf_n_kv(model->gguf);
}

/* Text into a buffer that may be too small, counting what it would take. */
static void put_text(char *buf, size_t buf_bytes, size_t *needed, const char *text, size_t n) {
    if (needed) *needed = n;
    if (!buf || buf_bytes == 0) return;
    if (n > buf_bytes - 1) n = buf_bytes - 1;
    memcpy(buf, text, n);
    buf[n] = 0;
}

/* The shortest decimal that reads back as the same value. */
static int print_float(char *out, size_t cap, double value, bool is_f32) {
    const int most = is_f32 ? 9 : 17;
    int n = 0;
    for (int digits = is_f32 ? 6 : 15; digits <= most; digits++) {
        n = snprintf(out, cap, "%.*g", digits, value);
        const double back = strtod(out, NULL);
        if (back == value || (is_f32 && (float)back == (float)value)) break;
    }
    return n;
}

const char *puna_model_meta(const puna_model *model, int32_t index, char *buf, size_t buf_bytes,
                            size_t *needed) {
    char text[64];
    int n = 0;
    if (index < 0 || index >= pn_gguf_n_kv(model->gguf)) {
        put_text(buf, buf_bytes, needed, "", 0);
        return NULL;
    }
    const pn_gguf_kv *kv = pn_gguf_kv_at(model->gguf, index);
    switch (kv->type) {
    case PN_GGUF_STRING:
        put_text(buf, buf_bytes, needed, kv->value.str.data, kv->value.str.n);
        return kv->key.data;
    case PN_GGUF_ARRAY:
        n = snprintf(text, sizeof text, "[%llu x %s]", (unsigned long long)kv->value.array.n,
                     pn_gguf_type_name(kv->value.array.type));
        break;
    case PN_GGUF_BOOL: n = snprintf(text, sizeof text, "%s", kv->value.u ? "true" : "false"); break;
    case PN_GGUF_F32:
    case PN_GGUF_F64:
        n = print_float(text, sizeof text, kv->value.f, kv->type == PN_GGUF_F32);
        break;
    case PN_GGUF_I8:
    case PN_GGUF_I16:
    case PN_GGUF_I32:
    case PN_GGUF_I64: n = snprintf(text, sizeof text, "%lld", (long long)kv->value.i); break;
    default: n = snprintf(text, sizeof text, "%llu", (unsigned long long)kv->value.u); break;
    }
    put_text(buf, buf_bytes, needed, text, n > 0 ? (size_t)n : 0);
    return kv->key.data;
}

void puna_model_tensor(const puna_model *model, int32_t index, puna_tensor_info *info) {
    puna_tensor_info ours = {.name = "", .type = ""};
    if (index >= 0 && index < pn_gguf_n_tensors(model->gguf)) {
        const pn_gguf_tensor *t = pn_gguf_tensor_at(model->gguf, index);
        ours = (puna_tensor_info){.name = t->name,
                                  .type = t->format->name,
                                  .n_dims = t->n_dims,
                                  .dims = {t->dims[0], t->dims[1], t->dims[2], t->dims[3]},
                                  .bytes = t->bytes,
                                  .supported = t->format->has_kernels};
    }
    pn_options_fill(info, &ours, sizeof ours);
}

puna_status puna_model_explain(const puna_model *model, char *buf, size_t buf_bytes, size_t *needed,
                               puna_error *err) {
    if (model->level != PUNA_OPEN_FULL)
        return pn_fail(err, PUNA_E_STATE,
                       "%s: opened without its weights: there is no compute plan",
                       pn_gguf_name(model->gguf));
    pn_buf text = {0};
    const puna_status status = pn_plan_print(&model->plan, &text, err);
    if (status == PUNA_OK) put_text(buf, buf_bytes, needed, text.data ? text.data : "", text.n);
    pn_buf_free(&text);
    return status;
}

/* ---- tokens ---- */

static puna_status require_vocab(const puna_model *model, puna_error *err) {
    if (model->vocab) return PUNA_OK;
    return pn_fail(err, PUNA_E_STATE, "%s: opened without its vocabulary",
                   pn_gguf_name(model->gguf));
}

puna_status puna_tokenize(const puna_model *model, const char *text, size_t text_bytes,
                          uint32_t flags, int32_t *tokens, int32_t max_tokens, int32_t *n_tokens,
                          puna_error *err) {
    PN_TRY(require_vocab(model, err));
    if (!text && text_bytes > 0) return pn_fail(err, PUNA_E_ARG, "no text was given");
    if (max_tokens < 0 || (!tokens && max_tokens > 0))
        return pn_fail(err, PUNA_E_ARG, "no room for tokens was given (max_tokens %d)", max_tokens);
    return pn_vocab_tokenize(model->vocab, text ? text : "", text_bytes, flags, tokens, max_tokens,
                             n_tokens, err);
}

puna_status puna_detokenize(const puna_model *model, const int32_t *tokens, int32_t n_tokens,
                            uint32_t flags, char *text, size_t max_bytes, size_t *n_bytes,
                            puna_error *err) {
    PN_TRY(require_vocab(model, err));
    if (n_tokens < 0 || (!tokens && n_tokens > 0))
        return pn_fail(err, PUNA_E_ARG, "no tokens were given (n_tokens %d)", n_tokens);
    const int32_t n_vocab = pn_vocab_n_tokens(model->vocab);
    for (int32_t i = 0; i < n_tokens; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return pn_fail(err, PUNA_E_ARG, "token %d of %d: id %d is outside the vocabulary of %d",
                           i + 1, n_tokens, tokens[i], n_vocab);
    return pn_vocab_detokenize(model->vocab, tokens, n_tokens, flags, text, text ? max_bytes : 0,
                               n_bytes, err);
}

int32_t puna_token_special(const puna_model *model, puna_special which) {
    return model->vocab ? pn_vocab_special(model->vocab, which) : -1;
}

static bool is_token(const puna_model *model, int32_t token) {
    return model->vocab && token >= 0 && token < pn_vocab_n_tokens(model->vocab);
}

bool puna_token_is_end(const puna_model *model, int32_t token) {
    return is_token(model, token) && pn_vocab_is_end(model->vocab, token);
}

bool puna_token_is_control(const puna_model *model, int32_t token) {
    return is_token(model, token) && pn_vocab_is_control(model->vocab, token);
}

bool puna_model_adds_bos(const puna_model *model) {
    return model->vocab && pn_vocab_adds_bos(model->vocab);
}

bool puna_model_adds_eos(const puna_model *model) {
    return model->vocab && pn_vocab_adds_eos(model->vocab);
}
