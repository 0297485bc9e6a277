/* chat.c: puna_chat: which template writes a conversation, and the texts of the special tokens it
 * may use. */
#include "run/chat.h"

#include "base/error.h"
#include "run/options.h"

#include <stdio.h>
#include <string.h>

const char *const pn_chat_special_names[PN_CHAT_N_SPECIALS] = {
    "bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"};

void puna_chat_options_init(puna_chat_options *options) {
    *options = (puna_chat_options){.size = sizeof *options};
}

/* ---- which template -------------------------------------------------------------------------- */

typedef struct choice {
    const char *text;
    size_t n_bytes;
    const pn_chat_format *format; /* NULL: no named one */
    char source[96];
} choice;

static puna_status choose_format(const char *name, choice *out, puna_error *err) {
    char text[PN_ESCAPED_BYTES + 64], shown[PN_ESCAPED_BYTES];
    out->format = pn_chat_format_find(name);
    if (out->format) return PUNA_OK;
    (void)snprintf(text, sizeof text, "unknown chat format \"%.60s\"; known are",
                   pn_escape(shown, name, strlen(name)));
    return pn_chat_fail_with_names(PUNA_E_ARG, text, err);
}

static const pn_gguf_kv *template_of(const puna_model *model, const char *name) {
    char key[256];
    const int n =
        snprintf(key, sizeof key, "tokenizer.chat_template%s%s", name ? "." : "", name ? name : "");
    const pn_gguf_kv *kv = n > 0 && (size_t)n < sizeof key ? pn_gguf_find(model->gguf, key) : NULL;
    return kv && kv->type == PN_GGUF_STRING && kv->value.str.n > 0 ? kv : NULL;
}

static puna_status choose_named(const puna_model *model, const char *name, choice *out,
                                puna_error *err) {
    char shown[PN_ESCAPED_BYTES];
    const pn_gguf_kv *kv = model ? template_of(model, name) : NULL;
    pn_escape(shown, name, strlen(name));
    if (!kv)
        return pn_fail(err, PUNA_E_ARG,
                       "the model has no template named \"%.60s\" (no key "
                       "tokenizer.chat_template.%.60s)",
                       shown, shown);
    out->text = kv->value.str.data;
    out->n_bytes = kv->value.str.n;
    (void)snprintf(out->source, sizeof out->source, "template \"%.60s\" of the model", shown);
    return PUNA_OK;
}

static puna_status choose(const puna_model *model, const puna_chat_options *o, choice *out,
                          puna_error *err) {
    const int n_given =
        (o->format != NULL) + (o->template_text != NULL) + (o->template_name != NULL);
    if (n_given > 1)
        return pn_fail(err, PUNA_E_ARG,
                       "a chat format, a template and the name of a template exclude each other");
    if (o->format) return choose_format(o->format, out, err);
    if (o->template_name) return choose_named(model, o->template_name, out, err);
    if (o->template_text) {
        out->text = o->template_text;
        out->n_bytes = o->template_bytes;
        (void)snprintf(out->source, sizeof out->source, "given template");
        return PUNA_OK;
    }
    if (!model)
        return pn_chat_fail_with_names(
            PUNA_E_ARG, "no model, no template and no format was given; known formats are", err);
    const pn_gguf_kv *kv = template_of(model, NULL);
    if (kv) {
        out->text = kv->value.str.data;
        out->n_bytes = kv->value.str.n;
        (void)snprintf(out->source, sizeof out->source, "template of the model");
        return PUNA_OK;
    }
    out->format = pn_chat_format_guess(model);
    if (out->format) return PUNA_OK;
    return pn_chat_fail_with_names(
        PUNA_E_UNSUPPORTED,
        "the model has no chat template and does not say how it wants a conversation; name one of",
        err);
}

/* ---- special tokens -------------------------------------------------------------------------- */

static const char *special_text(puna_chat *chat, puna_special which) {
    const int32_t id = pn_vocab_special(chat->model->vocab, which);
    if (id < 0) return NULL;
    const pn_vocab_text text = pn_vocab_token_text(chat->model->vocab, id);
    return pn_arena_copy(&chat->arena, text.data, text.n);
}

static puna_status find_specials(puna_chat *chat, const puna_chat_options *o,
                                 const pn_chat_format *format, puna_error *err) {
    static const puna_special ids[PN_CHAT_N_SPECIALS] = {
        PUNA_SPECIAL_BOS, PUNA_SPECIAL_EOS, PUNA_SPECIAL_UNK, PUNA_SPECIAL_PAD,
        PUNA_SPECIAL_SEP, PUNA_SPECIAL_CLS, PUNA_SPECIAL_MASK};
    const char *given[PN_CHAT_N_SPECIALS] = {o->bos, o->eos};
    for (int i = 0; i < PN_CHAT_N_SPECIALS; i++) {
        const bool here =
            given[i] || (chat->model && pn_vocab_special(chat->model->vocab, ids[i]) >= 0);
        if (given[i])
            chat->specials[i] = pn_arena_copy(&chat->arena, given[i], strlen(given[i]));
        else if (here)
            chat->specials[i] = special_text(chat, ids[i]);
        if (here && !chat->specials[i]) return pn_fail_nomem(err, 64, "a chat template");
    }
    if (format && !chat->model) {
        if (!o->bos) chat->specials[PN_CHAT_BOS] = format->bos;
        if (!o->eos) chat->specials[PN_CHAT_EOS] = format->eos;
    }
    /* a template that writes a token the vocabulary lacks writes nothing */
    if (!chat->specials[PN_CHAT_BOS]) chat->specials[PN_CHAT_BOS] = "";
    if (!chat->specials[PN_CHAT_EOS]) chat->specials[PN_CHAT_EOS] = "";
    return PUNA_OK;
}

/* ---- stop texts ------------------------------------------------------------------------------ */

/* Marks that templates write at the end of a turn: where the vocabulary has no token for one, an
 * answer spells it as text. */
static void find_stops(puna_chat *chat, const pn_chat_format *format) {
    static const char *const marks[] = {"<|im_end|>",      "<|eot_id|>",    "<end_of_turn>",
                                        "<|end_of_turn|>", "<|endofturn|>", NULL};
    const char *const *list = format ? format->stops : marks;
    int n = 0;
    for (; *list && n < PN_CHAT_MAX_STOPS - 1; list++)
        if ((format || strstr(chat->text, *list)) &&
            !(chat->model && pn_chat_has_token(chat->model, *list, strlen(*list))))
            chat->stops[n++] = *list;
}

/* ---- opening --------------------------------------------------------------------------------- */

static puna_status open_chat(puna_chat *chat, const puna_chat_options *o, puna_error *err) {
    choice c = {0};
    PN_TRY(choose(chat->model, o, &c, err));
    if (c.format) {
        c.text = c.format->text;
        c.n_bytes = strlen(c.text);
        (void)snprintf(c.source, sizeof c.source, "%s", c.format->name);
    }
    chat->exact = o->exact;
    chat->source = pn_arena_copy(&chat->arena, c.source, strlen(c.source));
    chat->text = pn_arena_copy(&chat->arena, c.text, c.n_bytes);
    if (!chat->source || !chat->text) return pn_fail_nomem(err, c.n_bytes, "a chat template");
    PN_TRY(pn_tmpl_parse(chat->text, c.n_bytes, &chat->tmpl, err));
    PN_TRY(find_specials(chat, o, c.format, err));
    find_stops(chat, c.format);
    return PUNA_OK;
}

puna_status puna_chat_open(puna_model *model, const puna_chat_options *options, puna_chat **out,
                           puna_error *err) {
    puna_chat_options o;
    puna_chat_options_init(&o);
    pn_options_copy(&o, sizeof o, options);
    if (model && !model->vocab)
        return pn_fail(err, PUNA_E_STATE, "%s: opened without its vocabulary",
                       pn_gguf_name(model->gguf));
    puna_chat *chat = pn_calloc(1, sizeof *chat);
    if (!chat) return pn_fail_nomem(err, sizeof *chat, "a chat");
    chat->model = model ? puna_model_retain(model) : NULL;
    const puna_status status = open_chat(chat, &o, err);
    if (status)
        puna_chat_free(chat);
    else
        *out = chat;
    return status;
}

void puna_chat_free(puna_chat *chat) {
    if (!chat) return;
    pn_tmpl_free(chat->tmpl);
    puna_model_free(chat->model);
    pn_arena_free(&chat->arena);
    pn_free(chat);
}

const char *puna_chat_source(const puna_chat *chat) {
    return chat->source;
}
