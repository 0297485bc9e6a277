/* api_completions.c: POST /v1/completions, as OpenAI's API has it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "infill.h"
#include "openai_out.h"
#include "router.h"
#include "tokens.h"

/* ---- prompts --------------------------------------------------------------------------------------- */

/* Adds a prompt that is a text (string) or ids (list). */
static bool add_prompt(pn_generation *g, const json_t *prompt, const char *param,
                       const char *suffix, pn_api_error *e) {
    const puna_model *model = pn_generation_service(g)->model;
    int32_t *ids = NULL, n_ids = 0;
    bool ok;
    if (suffix)
        ok = json_is_string(prompt)
                 ? pn_infill_prompt(model, json_string_value(prompt), suffix, &ids, &n_ids, e)
                 : pn_refuse_value(e, param, "a string, where there is a suffix", prompt);
    else if (json_is_string(prompt))
        ok = pn_tokenize(model, json_string_value(prompt), json_string_length(prompt),
                         PUNA_TOKENIZE_ADD_SPECIAL | PUNA_TOKENIZE_PARSE_SPECIAL, &ids, &n_ids,
                         param, e);
    else
        ok = pn_token_list(model, prompt, &ids, &n_ids, param, e);
    if (!ok) return false;
    if (n_ids == 0 && pn_first_token(model) >= 0) {
        free(ids);
        ids = malloc(sizeof *ids);
        if (ids) ids[n_ids++] = pn_first_token(model);
    }
    return pn_generation_add(g, ids, n_ids, e);
}

/* A string, a list of ids, or a list of these. */
static bool add_prompts(pn_generation *g, const json_t *prompt, const char *name,
                        const char *suffix, pn_api_error *e) {
    const size_t n = json_array_size(prompt);
    if (json_is_string(prompt)) return add_prompt(g, prompt, name, suffix, e);
    if (!json_is_array(prompt) || n == 0)
        return pn_refuse_value(e, name, "a string, token ids, or a list of these, not empty",
                               prompt);
    if (json_is_number(json_array_get(prompt, 0))) return add_prompt(g, prompt, name, suffix, e);
    if (n > PN_MAX_PROMPTS)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, name,
                             "%s: %zu of them, at most %d are possible", name, n, PN_MAX_PROMPTS);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(prompt, i);
        char param[48];
        (void)snprintf(param, sizeof param, "%s[%zu]", name, i);
        if (!json_is_string(one) && !json_is_array(one))
            return pn_refuse_value(e, param, "a string or token ids", one);
        if (!add_prompt(g, one, param, suffix, e)) return false;
    }
    return true;
}

/* ---- log-probabilities ------------------------------------------------------------------------------- */

/* The columns of OpenAI's object, row by row. */
typedef struct columns {
    const puna_model *model;
    pn_text tokens, logprobs, tops, offsets;
    int64_t offset; /* in characters */
    int32_t n;
} columns;

static int64_t count_characters(const char *s, size_t n) {
    int64_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}

static void token_text(const puna_model *model, int32_t token, pn_text *t) {
    (void)pn_detokenize(model, &token, 1, PUNA_DETOKENIZE_KEEP_SPACE, t);
}

/* One member of an object of texts, unless one of the same text is there: parts of characters look alike. */
static void add_member(columns *c, pn_text *texts, int32_t *n, int32_t token, double logprob) {
    pn_text *text = &texts[*n];
    token_text(c->model, token, text);
    for (int32_t i = 0; i < *n; i++)
        if (texts[i].n == text->n &&
            memcmp(pn_text_get(&texts[i]), pn_text_get(text), text->n) == 0) {
            pn_text_free(text);
            return;
        }
    pn_text_write(&c->tops, *n ? ",%J:" : "%J:", pn_text_get(text), text->n);
    pn_write_logprob(&c->tops, logprob);
    ++*n;
}

static void add_top(columns *c, int32_t token, double logprob, const puna_token_logprob *top,
                    int32_t n_top) {
    pn_text texts[PN_MAX_TOP_LOGPROBS + 1] = {0};
    int32_t n = 0;
    pn_text_put(&c->tops, "{");
    for (int32_t i = 0; i < n_top; i++)
        add_member(c, texts, &n, top[i].token, (double)top[i].logprob);
    add_member(c, texts, &n, token, logprob); /* the one that was sampled is always there */
    pn_text_put(&c->tops, "}");
    for (int32_t i = 0; i < n; i++) pn_text_free(&texts[i]);
}

/* top NULL: the first token of a text, of which nothing is known. */
static void add_row(columns *c, int32_t token, bool is_known, double logprob,
                    const puna_token_logprob *top, int32_t n_top) {
    const char *comma = c->n++ ? "," : "";
    pn_text text = {0};
    token_text(c->model, token, &text);
    pn_text_write(&c->tokens, "%s%J", comma, pn_text_get(&text), text.n);
    pn_text_write(&c->offsets, "%s%l", comma, c->offset);
    c->offset += count_characters(pn_text_get(&text), text.n);
    pn_text_free(&text);
    pn_text_put(&c->logprobs, comma);
    pn_text_put(&c->tops, comma);
    if (is_known) {
        pn_write_logprob(&c->logprobs, logprob);
        add_top(c, token, logprob, top, n_top);
    } else {
        pn_text_put(&c->logprobs, "null");
        pn_text_put(&c->tops, "null");
    }
}

static void add_sampled(columns *c, const pn_choice *choice, int32_t first, int32_t n) {
    for (int32_t i = first; i < first + n; i++) {
        const pn_sampled *s = &choice->tokens[i];
        const int32_t n_top = s->n_top < choice->top_stride ? s->n_top : choice->top_stride;
        add_row(c, s->token, true, (double)s->logprob,
                choice->top + (size_t)i * (size_t)choice->top_stride, n_top);
    }
}

/* The prompt's own tokens; a BOS that was put before it is none of them. */
static void add_prompt_rows(columns *c, const pn_generation *g, const pn_choice *choice) {
    int32_t n = 0;
    const int32_t *ids = pn_generation_prompt(g, choice->prompt, &n);
    const int32_t first = ids[0] == puna_token_special(c->model, PUNA_SPECIAL_BOS);
    for (int32_t i = first; i < n; i++)
        add_row(c, ids[i], i > first, (double)choice->prompt_logprobs[i],
                choice->prompt_top ? choice->prompt_top + (size_t)i * (size_t)choice->top_stride
                                   : NULL,
                choice->n_prompt_top[i]);
}

static void end_columns(pn_text *t, columns *c) {
    pn_text_write(t, "{'tokens':[%t],'token_logprobs':[%t],'top_logprobs':[%t],'text_offset':[%t]}",
                  &c->tokens, &c->logprobs, &c->tops, &c->offsets);
    pn_text_free(&c->tokens);
    pn_text_free(&c->logprobs);
    pn_text_free(&c->tops);
    pn_text_free(&c->offsets);
}

/* ---- writing answers --------------------------------------------------------------------------------- */

/* The text of a prompt, as it was given. */
static void prompt_text(pn_text *t, const pn_generation *g, int32_t prompt) {
    int32_t n = 0;
    const puna_model *model = pn_generation_service(g)->model;
    const json_t *given = json_object_get(pn_generation_params(g)->body, "prompt");
    if (json_is_array(given) && !json_is_number(json_array_get(given, 0)))
        given = json_array_get(given, (size_t)prompt);
    if (json_is_string(given)) {
        pn_text_append(t, json_string_value(given), json_string_length(given));
        return;
    }
    const int32_t *ids = pn_generation_prompt(g, prompt, &n);
    (void)pn_detokenize(model, ids, n, 0, t);
}

static void write_head(pn_text *t, const pn_generation *g) {
    pn_text_write(t,
                  "{'id':'cmpl-%s','object':'text_completion','created':%l,'model':%j,"
                  "'system_fingerprint':%j,'choices':[",
                  pn_generation_id(g), pn_generation_created(g),
                  pn_generation_service(g)->model_name, pn_fingerprint());
}

/* logprobs of tokens first to first + n, behind those of the prompt where the whole is written with echo. */
static void write_logprobs(pn_text *t, const pn_generation *g, const pn_choice *c, int32_t first,
                           int32_t n, bool with_prompt) {
    columns rows = {.model = pn_generation_service(g)->model};
    if (pn_generation_params(g)->n_logprobs < 0) {
        pn_text_put(t, "null");
        return;
    }
    if (with_prompt && c->prompt_logprobs) {
        add_prompt_rows(&rows, g, c);
    } else {
        pn_text prompt = {0};
        prompt_text(&prompt, g, c->prompt);
        rows.offset = count_characters(pn_text_get(&prompt), prompt.n);
        pn_text_free(&prompt);
        for (int32_t i = 0; i < first; i++) {
            pn_text text = {0};
            token_text(rows.model, c->tokens[i].token, &text);
            rows.offset += count_characters(pn_text_get(&text), text.n);
            pn_text_free(&text);
        }
    }
    add_sampled(&rows, c, first, n);
    end_columns(t, &rows);
}

/* Where a candidate stands among those of its prompt: by the mean log-probability of its tokens. */
static double score(const pn_choice *c) {
    double sum = 0;
    for (int32_t i = 0; i < c->n_tokens; i++) sum += (double)c->tokens[i].logprob;
    return c->n_tokens > 0 ? sum / c->n_tokens : 0;
}

/* The number-th best of a prompt's candidates; without best_of simply the number-th. */
static const pn_choice *chosen(const pn_generation *g, int32_t prompt, int32_t number) {
    const pn_params *params = pn_generation_params(g);
    const int32_t first = prompt * params->best_of;
    if (params->best_of == params->n) return pn_generation_choice(g, first + number);
    for (int32_t i = 0; i < params->best_of; i++) {
        const pn_choice *c = pn_generation_choice(g, first + i);
        int32_t better = 0;
        for (int32_t k = 0; k < params->best_of; k++) {
            const double other = score(pn_generation_choice(g, first + k));
            better += other > score(c) || (k < i && other == score(c));
        }
        if (better == number) return c;
    }
    return pn_generation_choice(g, first + number);
}

static void write_choice(pn_text *t, const pn_generation *g, const pn_choice *c, int32_t index) {
    const bool echo = pn_generation_params(g)->echo;
    pn_text text = {0};
    if (echo) prompt_text(&text, g, c->prompt);
    pn_text_append(&text, pn_text_get(&c->content), c->content.n);
    pn_text_write(t, "{'index':%d,'text':%J,'logprobs':", index, pn_text_get(&text), text.n);
    pn_text_free(&text);
    write_logprobs(t, g, c, 0, c->n_tokens, echo);
    pn_text_write(t, ",'finish_reason':%j,'stop_reason':%j}", pn_finish_name(c), c->stop);
}

void pn_write_text_completion(pn_text *t, const pn_generation *g) {
    const pn_params *params = pn_generation_params(g);
    const int32_t n_prompts = pn_generation_n_choices(g) / params->best_of;
    write_head(t, g);
    for (int32_t i = 0; i < n_prompts * params->n; i++) {
        if (i > 0) pn_text_put(t, ",");
        write_choice(t, g, chosen(g, i / params->n, i % params->n), i);
    }
    pn_text_put(t, "],\"usage\":");
    pn_write_usage(t, g);
    pn_text_put(t, ",\"timings\":");
    pn_write_timings(t, pn_generation_choice(g, 0));
    pn_text_put(t, "}");
}

/* The prompt comes back before the first of a stream's texts. */
static void write_echo(pn_reply *reply, const pn_generation *g, const pn_choice *c) {
    pn_text t = {0}, text = {0};
    prompt_text(&text, g, c->prompt);
    write_head(&t, g);
    pn_text_write(&t, "{'index':%d,'text':%J,'logprobs':", c->index, pn_text_get(&text), text.n);
    write_logprobs(&t, g, c, 0, 0, true);
    pn_text_put(&t, ",\"finish_reason\":null}]");
    if (pn_generation_params(g)->include_usage) pn_text_put(&t, ",\"usage\":null");
    pn_text_put(&t, "}");
    pn_text_free(&text);
    pn_reply_event(reply, &t);
}

static void on_delta(void *user, pn_generation *g, const pn_delta *d) {
    const pn_params *params = pn_generation_params(g);
    const bool is_last = d->kind == PN_DELTA_FINISH;
    pn_text t = {0};
    if (d->kind == PN_DELTA_BEGIN) {
        if (params->echo) write_echo(user, g, d->choice);
        return;
    }
    write_head(&t, g);
    pn_text_write(&t, "{'index':%d,'text':%J,'logprobs':", d->choice->index, d->text,
                  d->text_bytes);
    if (is_last)
        pn_text_put(&t, "null");
    else
        write_logprobs(&t, g, d->choice, d->first_token, d->n_tokens, false);
    pn_text_write(&t, ",'finish_reason':%j}]", is_last ? pn_finish_name(d->choice) : NULL);
    if (params->include_usage) pn_text_put(&t, ",\"usage\":null");
    if (is_last || params->timings_per_token) {
        pn_text_put(&t, ",\"timings\":");
        pn_write_timings(&t, d->choice);
    }
    pn_text_put(&t, "}");
    pn_reply_event(user, &t);
}

static void on_done(void *user, pn_generation *g) {
    pn_reply *reply = user;
    pn_text t = {0};
    if (!reply->streams) {
        pn_write_text_completion(&t, g);
        pn_reply_json(reply, &t);
        return;
    }
    if (pn_generation_params(g)->include_usage) {
        write_head(&t, g);
        pn_text_put(&t, "],\"usage\":");
        pn_write_usage(&t, g);
        pn_text_put(&t, "}");
        pn_reply_event(reply, &t);
    }
    pn_reply_done(reply);
}

static const pn_writer writer = {pn_reply_begin, on_delta, on_done, pn_reply_failed, pn_reply_free};

/* ---- the route --------------------------------------------------------------------------------------- */

enum { DEFAULT_MAX_TOKENS = 16 }; /* OpenAI's */

bool pn_text_generation(pn_service *service, json_t *body, const pn_writer *of_api, void *user,
                        pn_generation **generation, pn_api_error *e) {
    pn_params params;
    const char *suffix = NULL;
    if (!pn_params_read(&params, service, PN_API_COMPLETIONS, body, e)) return false;
    if (!pn_field(body, "max_tokens") && !pn_field(body, "n_predict"))
        params.max_tokens = DEFAULT_MAX_TOKENS;
    if (!pn_field_text(body, "suffix", &suffix, e)) {
        pn_params_free(&params);
        return false;
    }
    pn_generation *g = pn_generation_new(service, &params, of_api, user);
    if (!g) return pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
    if (!add_prompts(g, json_object_get(body, "prompt"), "prompt",
                     suffix && *suffix ? suffix : NULL, e)) {
        pn_generation_free(g);
        return false;
    }
    *generation = g;
    return true;
}

void api_completions(pn_service *service, pn_exchange *x) {
    pn_reply_openai(service, x, pn_text_generation, &writer);
}
