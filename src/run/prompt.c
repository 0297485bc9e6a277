/* prompt.c: a conversation rendered, and its text as tokens with the origin of each.
 *
 * The template first gets the messages as they are. When it fails, the fixes of chat_input.c are
 * tried one after the other: one stays if the failure moved or went away. When it goes through but
 * prints a list or JSON the way it was not meant, that is fixed too. Special tokens are recognised
 * in the template's own bytes alone. */
#include "run/prompt.h"

#include "base/error.h"
#include "base/os.h"
#include "run/options.h"

#include <stdio.h>
#include <string.h>

/* Roles whose text counts as the template's: "<|" + role + "|>" is a token that the template wrote.
 * None of them makes a token that does more than begin a message. */
static const char *const roles[] = {"system",   "user",        "assistant", "tool",     "developer",
                                    "function", "model",       "ipython",   "human",    "bot",
                                    "gpt",      "observation", "context",   "document", NULL};

#define FIX_STEPS 2000000u /* of a rendering after a failed one */

void puna_chat_input_init(puna_chat_input *input) {
    *input = (puna_chat_input){.size = sizeof *input};
}

/* ---- variables ------------------------------------------------------------------------------- */

typedef struct job {
    const puna_chat *chat;
    puna_chat_input in;
    pn_messages messages;
    pn_json vars; /* of in.vars, or empty */
    bool has_tools;
    struct tm now;
    const char *trusted[PN_CHAT_N_SPECIALS + 1];
    int32_t *origins; /* which message the i-th one the template saw is; room for all */
    int32_t n_origins;
} job;

static bool vars_have(const job *j, const char *name) {
    return j->vars.n_nodes > 0 && pn_json_member(&j->vars, 0, name) >= 0;
}

/* A special token that the caller's variables replace is the caller's text, not the template's. */
static void find_trusted(job *j) {
    int n = 0;
    for (int i = 0; i < PN_CHAT_N_SPECIALS; i++)
        if (!vars_have(j, pn_chat_special_names[i])) j->trusted[n++] = pn_chat_special_names[i];
}

static bool put_specials(const job *j, pn_buf *out) {
    bool ok = true;
    for (int i = 0; i < PN_CHAT_N_SPECIALS && ok; i++) {
        const char *text = j->chat->specials[i];
        if (!text) continue;
        ok = pn_buf_printf(out, ", \"%s\": ", pn_chat_special_names[i]) &&
             pn_json_put(out, text, strlen(text));
    }
    return ok;
}

/* The members of the caller's variables, after all others: a name given twice is theirs. */
static bool put_vars(const job *j, pn_buf *out) {
    bool ok = true;
    if (j->vars.n_nodes == 0) return true;
    for (int32_t i = 1; i < j->vars.nodes[0].next && ok; i = j->vars.nodes[i + 1].next)
        ok = pn_buf_put(out, ", ") && pn_json_append_raw(&j->vars, i, out) &&
             pn_buf_put(out, ": ") && pn_json_append_raw(&j->vars, i + 1, out);
    return ok && pn_buf_put(out, "}");
}

static bool put_all(job *j, unsigned fixes, pn_buf *out) {
    const bool ok = pn_buf_put(out, "{\"documents\": null, \"add_generation_prompt\": ") &&
                    pn_buf_put(out, j->in.no_generation_prompt ? "false" : "true") &&
                    pn_buf_put(out, ", \"tools\": ");
    if (!ok) return false;
    if (j->in.tools) return pn_buf_append(out, j->in.tools, j->in.tools_bytes);
    return pn_buf_put(out, fixes & PN_FIX_TOOLS ? "[]" : "null");
}

static puna_status make_vars(job *j, unsigned fixes, pn_buf *out, puna_error *err) {
    bool ok = put_all(j, fixes, out) && put_specials(j, out) && pn_buf_put(out, ", \"messages\": ");
    if (ok && !(fixes & ~(unsigned)PN_FIX_TOOLS)) {
        ok = pn_buf_append(out, j->in.messages, j->in.messages_bytes);
        j->n_origins = j->messages.n;
        for (int32_t i = 0; i < j->n_origins; i++) j->origins[i] = i;
    } else if (ok) {
        const puna_status status =
            pn_messages_write(&j->messages, fixes, out, j->origins, &j->n_origins, err);
        if (status) return status;
    }
    ok = ok && (j->vars.n_nodes > 0 ? put_vars(j, out) : pn_buf_put(out, "}"));
    return ok ? PUNA_OK : pn_fail_nomem(err, out->n, "the variables of a chat template");
}

/* ---- rendering ------------------------------------------------------------------------------- */

static puna_status render_with(job *j, unsigned fixes, pn_tmpl_output *out, puna_error *err) {
    pn_buf vars = {0};
    puna_status status = make_vars(j, fixes, &vars, err);
    if (!status) {
        const pn_tmpl_options options = {.now = j->now,
                                         .max_steps = fixes ? FIX_STEPS : 0,
                                         .trusted = j->trusted,
                                         .roles = roles,
                                         .vars_text = vars.data,
                                         .vars_text_bytes = vars.n};
        status = pn_tmpl_render(j->chat->tmpl, NULL, &options, out, err);
    }
    pn_buf_free(&vars);
    return status;
}

/* A failure that other messages might not have. */
static bool is_fixable(puna_status status) {
    return status == PUNA_E_ARG || status == PUNA_E_FORMAT;
}

/* Tries the fixes one by one, then together; *fixes gets those that made it go through. first: the
 * failure with status. */
static puna_status render_fixed(job *j, puna_status status, pn_tmpl_output *out, unsigned *fixes,
                                const puna_error *first) {
    puna_error last = *first;
    unsigned kept = 0, possible = j->messages.fixes;
    if (j->in.tools) possible &= ~(unsigned)PN_FIX_TOOLS;
    const unsigned turns = possible & (PN_FIX_SYSTEM | PN_FIX_TURNS);
    for (int i = 0; i < 2 * PN_N_FIXES + 2 && is_fixable(status); i++) {
        const bool one = i < 2 * PN_N_FIXES;
        unsigned tried = kept | (one ? possible & 1u << i % PN_N_FIXES : turns);
        if (i == 2 * PN_N_FIXES + 1) tried |= possible;
        if (tried & PN_FIX_ARGUMENTS) tried &= ~(unsigned)PN_FIX_ARGUMENTS_TEXT;
        if (tried == kept) continue;
        puna_error now = {0};
        status = render_with(j, tried, out, &now);
        if (status && strcmp(now.msg, last.msg) == 0) continue; /* it did not help */
        kept = tried;
        last = now;
    }
    *fixes = kept;
    return status;
}

/* What went through, but shows that it was not meant so. */
static puna_status render_again(job *j, unsigned fixes, pn_tmpl_output *out, puna_error *err) {
    unsigned more = 0;
    PN_TRY(pn_messages_misread(&j->messages, out, j->origins, j->n_origins, &more, err));
    if (!(more & ~fixes)) return PUNA_OK;
    pn_tmpl_output better;
    const puna_status status = render_with(j, fixes | more, &better, NULL);
    if (status == PUNA_E_NOMEM) return pn_fail_nomem(err, out->n_bytes, "rendering a template");
    if (status) return PUNA_OK; /* the first one stands; neither fix renumbers messages */
    pn_tmpl_output_free(out);
    *out = better;
    return PUNA_OK;
}

static puna_status render(job *j, pn_tmpl_output *out, puna_error *err) {
    puna_error first = {0};
    unsigned fixes = 0;
    puna_status status = render_with(j, 0, out, &first);
    if (!status && j->chat->exact) return PUNA_OK;
    if (status && (j->chat->exact || !is_fixable(status))) {
        if (err) *err = first;
        return status;
    }
    if (status) {
        const puna_status failed = status;
        status = render_fixed(j, status, out, &fixes, &first);
        if (status) {
            if (err) *err = first; /* what the template says of the messages as they are */
            return status == PUNA_E_NOMEM ? pn_fail_nomem(err, 0, "rendering a template") : failed;
        }
    }
    return render_again(j, fixes, out, err);
}

/* ---- input ----------------------------------------------------------------------------------- */

/* A value of this kind, or null. */
static puna_status check_json(const char *text, size_t n, const char *what, pn_json_kind kind,
                              pn_json *json, puna_error *err) {
    if (!text) return PUNA_OK;
    if (n == 0) return pn_fail(err, PUNA_E_ARG, "%s: an empty text", what);
    const puna_status status = pn_json_parse(text, n, what, json, err);
    if (status == PUNA_E_FORMAT) return pn_fail_in(err, PUNA_E_ARG, "malformed JSON");
    if (status) return status;
    if (pn_json_kind_of(json, 0) != kind && pn_json_kind_of(json, 0) != PN_JSON_NULL)
        return pn_fail(err, PUNA_E_ARG, "%s: expected %s, got %s", what, pn_json_kind_name(kind),
                       pn_json_kind_name(pn_json_kind_of(json, 0)));
    return PUNA_OK;
}

static puna_status read_input(job *j, puna_error *err) {
    if (!j->in.messages) return pn_fail(err, PUNA_E_ARG, "messages: none were given");
    PN_TRY(
        pn_messages_read(j->in.messages, j->in.messages_bytes, j->chat->exact, &j->messages, err));
    pn_json tools = {0};
    const puna_status status =
        check_json(j->in.tools, j->in.tools_bytes, "tools", PN_JSON_LIST, &tools, err);
    if (!tools.n_nodes || pn_json_kind_of(&tools, 0) == PN_JSON_NULL) j->in.tools = NULL;
    j->has_tools = j->in.tools && tools.nodes[0].n > 0;
    pn_json_free(&tools);
    if (status) return status;
    PN_TRY(check_json(j->in.vars, j->in.vars_bytes, "vars", PN_JSON_OBJECT, &j->vars, err));
    if (j->vars.n_nodes && pn_json_kind_of(&j->vars, 0) == PN_JSON_NULL) pn_json_free(&j->vars);
    find_trusted(j);
    j->origins = pn_calloc((size_t)j->messages.n + 1, sizeof *j->origins);
    if (!j->origins) return pn_fail_nomem(err, (size_t)j->messages.n * 4, "messages");
    if (!pn_os_local_time(j->in.now ? j->in.now : pn_os_now(), &j->now))
        return pn_fail(err, PUNA_E_ARG, "now: %lld seconds since 1970 are no date",
                       (long long)j->in.now);
    return PUNA_OK;
}

/* ---- the prompt ------------------------------------------------------------------------------ */

static puna_status take_spans(puna_prompt *prompt, const job *j, puna_error *err) {
    const pn_tmpl_output *out = &prompt->out;
    prompt->spans = pn_calloc(out->n_spans + 1, sizeof *prompt->spans);
    if (!prompt->spans) return pn_fail_nomem(err, out->n_spans * sizeof *prompt->spans, "a prompt");
    if (out->n_spans > INT32_MAX)
        return pn_fail(err, PUNA_E_LIMIT, "a prompt of %zu spans", out->n_spans);
    for (size_t i = 0; i < out->n_spans; i++) {
        const pn_tmpl_span *s = &out->spans[i];
        const bool known = s->message >= 0 && s->message < j->n_origins;
        prompt->spans[i] = (puna_prompt_span){.begin = s->begin,
                                              .end = s->end,
                                              .from_template = s->origin == PN_TMPL_TEMPLATE,
                                              .message = known ? j->origins[s->message] : -1};
    }
    prompt->n_spans = (int32_t)out->n_spans;
    return PUNA_OK;
}

/* Room for n tokens. */
static puna_status resize_tokens(puna_prompt *prompt, size_t **starts, int32_t n, puna_error *err) {
    int32_t *tokens = pn_realloc(prompt->tokens, (size_t)n, sizeof *tokens);
    if (tokens) prompt->tokens = tokens;
    size_t *more = pn_realloc(*starts, (size_t)n, sizeof *more);
    if (more) *starts = more;
    return tokens && more ? PUNA_OK : pn_fail_nomem(err, (size_t)n * 12, "the tokens of a prompt");
}

static puna_status tokenize(puna_prompt *prompt, const pn_vocab *vocab,
                            const pn_vocab_range *ranges, size_t n_ranges, size_t **starts,
                            puna_error *err) {
    const pn_tmpl_output *out = &prompt->out;
    int32_t room = out->n_bytes / 2 < INT32_MAX - 64 ? (int32_t)(out->n_bytes / 2) + 64 : INT32_MAX;
    for (;;) {
        PN_TRY(resize_tokens(prompt, starts, room, err));
        /* one place is kept for BOS */
        const puna_status status =
            pn_vocab_tokenize_ranges(vocab, out->text, out->n_bytes, ranges, n_ranges, 0,
                                     prompt->tokens, *starts, room - 1, &prompt->n_tokens, err);
        if (status != PUNA_E_LIMIT || prompt->n_tokens < room || prompt->n_tokens == INT32_MAX)
            return status;
        room = prompt->n_tokens + 1;
    }
}

/* Exactly one BOS in front where the vocabulary asks for one: the template's, or one more. */
static void settle_bos(puna_prompt *prompt, const pn_vocab *vocab, size_t *starts) {
    const int32_t bos = pn_vocab_special(vocab, PUNA_SPECIAL_BOS);
    int32_t n = prompt->n_tokens, n_bos = 0;
    if (!pn_vocab_adds_bos(vocab) || bos < 0) return;
    while (n_bos < n && prompt->tokens[n_bos] == bos) n_bos++;
    if (n_bos == 1) return;
    const int32_t from = n_bos ? n_bos - 1 : 0, to = n_bos ? 0 : 1;
    memmove(prompt->tokens + to, prompt->tokens + from,
            (size_t)(n - from) * sizeof *prompt->tokens);
    memmove(starts + to, starts + from, (size_t)(n - from) * sizeof *starts);
    prompt->n_tokens = n - from + to;
    if (n_bos) return;
    prompt->tokens[0] = bos;
    starts[0] = SIZE_MAX;
}

static puna_status take_token_spans(puna_prompt *prompt, const size_t *starts, puna_error *err) {
    prompt->token_spans = pn_calloc((size_t)prompt->n_tokens + 1, sizeof *prompt->token_spans);
    if (!prompt->token_spans)
        return pn_fail_nomem(err, (size_t)prompt->n_tokens * 4, "the tokens of a prompt");
    int32_t span = 0;
    for (int32_t i = 0; i < prompt->n_tokens; i++) {
        while (starts[i] != SIZE_MAX && span + 1 < prompt->n_spans &&
               prompt->spans[span].end <= starts[i])
            span++;
        prompt->token_spans[i] = starts[i] == SIZE_MAX ? -1 : span;
    }
    return PUNA_OK;
}

static puna_status take_tokens(puna_prompt *prompt, const pn_vocab *vocab, puna_error *err) {
    pn_vocab_range *ranges = pn_calloc((size_t)prompt->n_spans + 1, sizeof *ranges);
    if (!ranges) return pn_fail_nomem(err, (size_t)prompt->n_spans * sizeof *ranges, "a prompt");
    size_t n_ranges = 0, *starts = NULL;
    for (int32_t i = 0; i < prompt->n_spans; i++)
        if (prompt->spans[i].from_template)
            ranges[n_ranges++] = (pn_vocab_range){prompt->spans[i].begin, prompt->spans[i].end};
    puna_status status = tokenize(prompt, vocab, ranges, n_ranges, &starts, err);
    if (!status) {
        settle_bos(prompt, vocab, starts);
        status = take_token_spans(prompt, starts, err);
    }
    pn_free(ranges);
    pn_free(starts);
    return status;
}

puna_status puna_chat_render(const puna_chat *chat, const puna_chat_input *input, puna_prompt **out,
                             puna_error *err) {
    job j = {.chat = chat};
    puna_chat_input_init(&j.in);
    pn_options_copy(&j.in, sizeof j.in, input);
    puna_prompt *prompt = pn_calloc(1, sizeof *prompt);
    if (!prompt) return pn_fail_nomem(err, sizeof *prompt, "a prompt");
    memcpy(prompt->stops, chat->stops, sizeof prompt->stops);
    puna_status status = read_input(&j, err);
    if (!status) status = render(&j, &prompt->out, err);
    if (!status) status = take_spans(prompt, &j, err);
    if (!status && j.has_tools && !pn_buf_append(&prompt->tools, j.in.tools, j.in.tools_bytes))
        status = pn_fail_nomem(err, j.in.tools_bytes, "the tools of a prompt");
    if (!status && chat->model) status = take_tokens(prompt, chat->model->vocab, err);
    pn_messages_free(&j.messages);
    pn_json_free(&j.vars);
    pn_free(j.origins);
    if (status)
        puna_prompt_free(prompt);
    else
        *out = prompt;
    return status;
}

void puna_prompt_free(puna_prompt *prompt) {
    if (!prompt) return;
    pn_tmpl_output_free(&prompt->out);
    pn_free(prompt->spans);
    pn_free(prompt->tokens);
    pn_free(prompt->token_spans);
    pn_buf_free(&prompt->tools);
    pn_free(prompt);
}

/* ---- facts ----------------------------------------------------------------------------------- */

const char *puna_prompt_text(const puna_prompt *prompt, size_t *n_bytes) {
    if (n_bytes) *n_bytes = prompt->out.n_bytes;
    return prompt->out.text;
}

const puna_prompt_span *puna_prompt_spans(const puna_prompt *prompt, int32_t *n_spans) {
    *n_spans = prompt->n_spans;
    return prompt->spans;
}

const int32_t *puna_prompt_tokens(const puna_prompt *prompt, int32_t *n_tokens) {
    *n_tokens = prompt->n_tokens;
    return prompt->tokens;
}

const int32_t *puna_prompt_token_spans(const puna_prompt *prompt) {
    return prompt->token_spans;
}

const char *puna_prompt_stop(const puna_prompt *prompt, int32_t index) {
    return index >= 0 && index < PN_CHAT_MAX_STOPS ? prompt->stops[index] : NULL;
}
