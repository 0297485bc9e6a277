/* answer.c: an answer taken apart into what was thought, what is said and which tools are called.
 *
 * Nothing here fails on what a model may write: a call that is none is content. What is looked for
 * depends on what the chat's template writes itself: a text that merely looks like JSON stays text
 * where the template has no such calls, and where no tools were given. Each step is linear in the
 * answer (marks are looked for once, a failed body ends near where it began). */
#include "run/answer.h"

#include "base/error.h"

#include <string.h>

/* ---- texts ----------------------------------------------------------------------------------- */

pn_slice pn_slice_of(const char *text) {
    return (pn_slice){text, strlen(text)};
}

pn_slice pn_slice_from(pn_slice text, size_t from) {
    return (pn_slice){text.s + from, text.n - from};
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

pn_slice pn_slice_trim_left(pn_slice text) {
    size_t n = 0;
    while (n < text.n && is_space(text.s[n])) n++;
    return pn_slice_from(text, n);
}

pn_slice pn_slice_trim_right(pn_slice text) {
    while (text.n && is_space(text.s[text.n - 1])) text.n--;
    return text;
}

pn_slice pn_slice_trim(pn_slice text) {
    return pn_slice_trim_right(pn_slice_trim_left(text));
}

bool pn_slice_begins(pn_slice text, const char *with) {
    const size_t n = strlen(with);
    return text.n >= n && memcmp(text.s, with, n) == 0;
}

bool pn_slice_ends(pn_slice text, const char *with) {
    const size_t n = strlen(with);
    return text.n >= n && memcmp(text.s + text.n - n, with, n) == 0;
}

size_t pn_slice_find(pn_slice text, const char *what, size_t from) {
    const size_t n = strlen(what);
    while (from + n <= text.n) {
        const char *at = memchr(text.s + from, what[0], text.n - n + 1 - from);
        if (!at) break;
        from = (size_t)(at - text.s);
        if (memcmp(at, what, n) == 0) return from;
        from++;
    }
    return SIZE_MAX;
}

size_t pn_slice_open_end(pn_slice text, const char *what) {
    size_t n = strlen(what);
    for (n = n - 1 < text.n ? n - 1 : text.n; n > 0; n--)
        if (memcmp(text.s + text.n - n, what, n) == 0) return n;
    return 0;
}

bool pn_slice_take(pn_slice *text, const char *what) {
    if (!pn_slice_begins(*text, what)) return false;
    *text = pn_slice_from(*text, strlen(what));
    return true;
}

bool pn_answer_writes(const pn_answer *a, const char *text) {
    return strstr(a->chat->text, text) != NULL;
}

void pn_answer_say(pn_answer *a, pn_buf *to, pn_slice text) {
    if (!pn_buf_append(to, text.s, text.n)) a->no_memory = true;
}

/* ---- the message ----------------------------------------------------------------------------- */

static bool write_message(pn_answer *a, pn_buf *out) {
    const bool nothing_said = a->content.n == 0 && (a->n_calls > 0 || a->reasoning.n > 0);
    bool ok = pn_buf_put(out, "{\"role\": \"assistant\", \"content\": ");
    ok = ok &&
         (nothing_said ? pn_buf_put(out, "null")
                       : pn_json_put(out, a->content.data ? a->content.data : "", a->content.n));
    if (ok && a->reasoning.n > 0)
        ok = pn_buf_put(out, ", \"reasoning_content\": ") &&
             pn_json_put(out, a->reasoning.data, a->reasoning.n);
    if (ok && a->n_calls > 0)
        ok = pn_buf_put(out, ", \"tool_calls\": [") &&
             pn_buf_append(out, a->calls.data, a->calls.n) && pn_buf_put(out, "]");
    return ok && pn_buf_put(out, "}");
}

/* Without the texts of tokens that end an answer. */
static pn_slice without_end(const puna_chat *chat, pn_slice text) {
    static const puna_special ends[] = {PUNA_SPECIAL_EOS, PUNA_SPECIAL_EOT};
    for (size_t i = 0; chat->model && i < sizeof ends / sizeof *ends; i++) {
        const int32_t id = pn_vocab_special(chat->model->vocab, ends[i]);
        if (id < 0) continue;
        const pn_vocab_text end = pn_vocab_token_text(chat->model->vocab, id);
        if (end.n > 0 && text.n >= end.n && memcmp(text.s + text.n - end.n, end.data, end.n) == 0) {
            text.n -= end.n;
            return text;
        }
    }
    return text;
}

/* Without the beginning of a character whose other bytes are still to come. */
static pn_slice whole_characters(pn_slice text) {
    for (size_t back = 1; back <= 3 && back <= text.n; back++) {
        const unsigned char c = (unsigned char)text.s[text.n - back];
        if ((c & 0xc0) == 0x80) continue;
        const size_t length = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (length > back) text.n -= back;
        break;
    }
    return text;
}

puna_status puna_chat_parse(const puna_chat *chat, const puna_prompt *prompt, const char *answer,
                            size_t answer_bytes, bool is_partial, char **json, puna_error *err) {
    if (!answer && answer_bytes > 0) return pn_fail(err, PUNA_E_ARG, "no answer was given");
    pn_answer a = {.chat = chat,
                   .prompt = prompt,
                   .is_partial = is_partial,
                   .takes_calls = !prompt || prompt->tools.n > 0};
    pn_slice text = without_end(chat, (pn_slice){answer ? answer : "", answer ? answer_bytes : 0});
    if (is_partial) text = whole_characters(text);
    pn_buf out = {0};
    if (prompt && prompt->tools.n > 0)
        a.no_memory = pn_json_parse(prompt->tools.data, prompt->tools.n, "tools", &a.tools, NULL) ==
                      PUNA_E_NOMEM;
    if (!a.no_memory && !pn_answer_addressed(&a, text)) pn_answer_marked(&a, text);
    const bool ok = !a.no_memory && write_message(&a, &out);
    pn_json_free(&a.tools);
    pn_buf_free(&a.content);
    pn_buf_free(&a.reasoning);
    pn_buf_free(&a.calls);
    if (!ok) {
        pn_buf_free(&out);
        return pn_fail_nomem(err, answer_bytes, "an answer");
    }
    *json = out.data;
    return PUNA_OK;
}

/* Bytes of text before the first stop text, or before what may become one. */
static size_t before_stop(const puna_prompt *prompt, pn_slice text, bool is_partial) {
    size_t held = 0;
    const char *stop;
    for (int32_t i = 0; (stop = puna_prompt_stop(prompt, i)); i++) {
        const size_t at = pn_slice_find(text, stop, 0);
        if (at != SIZE_MAX) text.n = at;
    }
    for (int32_t i = 0; is_partial && (stop = puna_prompt_stop(prompt, i)); i++) {
        const size_t n = pn_slice_open_end(text, stop);
        if (n > held) held = n;
    }
    return text.n - held;
}

puna_status puna_chat_parse_tokens(const puna_chat *chat, const puna_prompt *prompt,
                                   const int32_t *tokens, int32_t n_tokens, bool is_partial,
                                   char **json, puna_error *err) {
    char *text = NULL;
    size_t n = 0;
    if (!chat->model)
        return pn_fail(err, PUNA_E_STATE, "a chat without a model cannot read tokens");
    while (n_tokens > 0 && tokens && puna_token_is_end(chat->model, tokens[n_tokens - 1]))
        n_tokens--;
    puna_status status =
        puna_detokenize(chat->model, tokens, n_tokens, PUNA_DETOKENIZE_SPECIAL, NULL, 0, &n, err);
    if (status == PUNA_E_LIMIT) {
        text = pn_alloc(n);
        if (!text) return pn_fail_nomem(err, n, "an answer");
        status = puna_detokenize(chat->model, tokens, n_tokens, PUNA_DETOKENIZE_SPECIAL, text, n,
                                 &n, err);
    }
    if (!status && prompt) n = before_stop(prompt, (pn_slice){text, n}, is_partial);
    if (!status) status = puna_chat_parse(chat, prompt, text, n, is_partial, json, err);
    pn_free(text);
    return status;
}
