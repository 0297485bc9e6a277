/* api_tokens.c: text to tokens and back, and conversations to prompts: /tokenize, /detokenize and /apply-template
 * in llama.cpp's forms, /extras/... in llama-cpp-python's. */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "router.h"
#include "tokens.h"

/* What a route makes of its body: the response, or false with *e. */
typedef bool make_fn(pn_service *service, json_t *body, pn_text *t, pn_api_error *e);

static void answer(pn_service *service, pn_exchange *x, make_fn *make) {
    pn_api_error e;
    pn_text t = {0};
    json_t *body = pn_body_read(x, &e);
    const bool ok = body && make(service, body, &t, &e);
    json_decref(body);
    if (ok) {
        pn_reply_text(x, &t);
    } else {
        pn_api_error_reply(x, &e);
        pn_text_free(&t);
    }
}

/* The ids of the string member `name`. */
static bool ids_of(const pn_service *s, const json_t *body, const char *name, uint32_t flags,
                   int32_t **ids, int32_t *n_ids, pn_api_error *e) {
    const json_t *text = json_object_get(body, name);
    if (!json_is_string(text)) return pn_refuse_value(e, name, "a string", text);
    return pn_tokenize(s->model, json_string_value(text), json_string_length(text), flags, ids,
                       n_ids, name, e);
}

/* The bytes that the ids in the list `tokens` stand for. */
static bool bytes_of(const pn_service *s, const json_t *body, uint32_t flags, pn_text *bytes,
                     pn_api_error *e) {
    const json_t *list = json_object_get(body, "tokens");
    int32_t *ids = NULL, n_ids = 0;
    if (!json_is_array(list)) return pn_refuse_value(e, "tokens", "a list of token ids", list);
    if (!pn_token_list(s->model, list, &ids, &n_ids, "tokens", e)) return false;
    const bool ok = pn_detokenize(s->model, ids, n_ids, flags, bytes);
    free(ids);
    return ok || pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
}

/* ---- llama.cpp ------------------------------------------------------------------------------------------ */

/* The text of a token; its bytes where it is a part of a character. */
static void write_piece(pn_text *t, const puna_model *model, int32_t id) {
    pn_text piece = {0};
    bool is_text = true;
    (void)pn_detokenize(model, &id, 1, PUNA_DETOKENIZE_SPECIAL | PUNA_DETOKENIZE_KEEP_SPACE,
                        &piece);
    for (size_t i = 0; i < piece.n && is_text;) {
        const size_t length = pn_utf8_length(piece.s + i, piece.n - i);
        is_text = length > 0;
        i += length;
    }
    pn_text_write(t, "{'id':%d,'piece':", id);
    if (is_text) {
        pn_text_json(t, pn_text_get(&piece), piece.n);
    } else {
        pn_text_put(t, "[");
        for (size_t i = 0; i < piece.n; i++)
            pn_text_write(t, i ? ",%d" : "%d", (int32_t)(unsigned char)piece.s[i]);
        pn_text_put(t, "]");
    }
    pn_text_put(t, "}");
    pn_text_free(&piece);
}

static bool tokenize(pn_service *s, json_t *body, pn_text *t, pn_api_error *e) {
    bool add_special = false, parse_special = true, with_pieces = false;
    int32_t *ids = NULL, n_ids = 0;
    if (!pn_field_flag(body, "add_special", &add_special, e) ||
        !pn_field_flag(body, "parse_special", &parse_special, e) ||
        !pn_field_flag(body, "with_pieces", &with_pieces, e))
        return false;
    const uint32_t flags = (add_special ? PUNA_TOKENIZE_ADD_SPECIAL : 0) |
                           (parse_special ? PUNA_TOKENIZE_PARSE_SPECIAL : 0);
    if (!ids_of(s, body, "content", flags, &ids, &n_ids, e)) return false;
    pn_text_put(t, "{\"tokens\":[");
    for (int32_t i = 0; i < n_ids; i++) {
        if (i > 0) pn_text_put(t, ",");
        if (with_pieces)
            write_piece(t, s->model, ids[i]);
        else
            pn_text_write(t, "%d", ids[i]);
    }
    pn_text_put(t, "]}");
    free(ids);
    return true;
}

static bool detokenize(pn_service *s, json_t *body, pn_text *t, pn_api_error *e) {
    pn_text bytes = {0};
    const bool ok = bytes_of(s, body, PUNA_DETOKENIZE_SPECIAL, &bytes, e);
    pn_text_write(t, "{'content':%J}", pn_text_get(&bytes), bytes.n);
    pn_text_free(&bytes);
    return ok;
}

static bool apply_template(pn_service *s, json_t *body, pn_text *t, pn_api_error *e) {
    pn_params params;
    pn_conversation conversation;
    pn_chat_turn *turn = NULL;
    if (!pn_params_read(&params, s, PN_API_CHAT, body, e)) return false;
    const bool ok = pn_chat_conversation(body, &conversation, e) &&
                    pn_chat_turn_open(s, &conversation, &params, &turn, e);
    if (ok) {
        const pn_text *text = pn_chat_turn_text(turn);
        pn_text_write(t, "{'prompt':%J}", pn_text_get(text), text->n);
    }
    pn_chat_turn_free(turn);
    pn_chat_conversation_free(&conversation);
    pn_params_free(&params);
    return ok;
}

/* ---- llama-cpp-python ------------------------------------------------------------------------------------ */

enum { EXTRAS_FLAGS = PUNA_TOKENIZE_ADD_SPECIAL | PUNA_TOKENIZE_PARSE_SPECIAL };

static bool extras_tokenize(pn_service *s, json_t *body, pn_text *t, pn_api_error *e) {
    int32_t *ids = NULL, n_ids = 0;
    if (!ids_of(s, body, "input", EXTRAS_FLAGS, &ids, &n_ids, e)) return false;
    pn_text_put(t, "{\"tokens\":[");
    for (int32_t i = 0; i < n_ids; i++) pn_text_write(t, i ? ",%d" : "%d", ids[i]);
    pn_text_put(t, "]}");
    free(ids);
    return true;
}

static bool extras_count(pn_service *s, json_t *body, pn_text *t, pn_api_error *e) {
    int32_t *ids = NULL, n_ids = 0;
    if (!ids_of(s, body, "input", EXTRAS_FLAGS, &ids, &n_ids, e)) return false;
    pn_text_write(t, "{'count':%d}", n_ids);
    free(ids);
    return true;
}

static bool extras_detokenize(pn_service *s, json_t *body, pn_text *t, pn_api_error *e) {
    pn_text bytes = {0};
    const bool ok = bytes_of(s, body, 0, &bytes, e);
    pn_text_write(t, "{'text':%J}", pn_text_get(&bytes), bytes.n);
    pn_text_free(&bytes);
    return ok;
}

/* ---- routes ---------------------------------------------------------------------------------------------- */

#define HANDLER(name)                                                                              \
    void api_##name(pn_service *service, pn_exchange *x) {                                         \
        answer(service, x, name);                                                                  \
    }
HANDLER(tokenize)
HANDLER(detokenize)
HANDLER(apply_template)
HANDLER(extras_tokenize)
HANDLER(extras_count)
HANDLER(extras_detokenize)
