/* cmd_render.c: puna render: the prompt that a conversation becomes, as text, as JSON, or token by
 * token with the origin of each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli_print.h"
#include "json_out.h"
#include "session.h"

typedef struct render {
    session s;
    text template_text, messages, tools, vars;
    puna_chat *chat;
    puna_prompt *prompt;
} render;

/* ---- input ----------------------------------------------------------------------------------- */

static int read_if_given(const char *path, text *out) {
    return path ? text_read_file(path, out) : STATUS_DONE;
}

static int read_files(render *r, const options *o) {
    const char *paths[] = {o->messages ? o->messages : "-", o->tools, o->vars, o->template_path};
    int n_stdin = 0;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        n_stdin += paths[i] && strcmp(paths[i], "-") == 0;
    if (n_stdin > 1) return print_usage_error("only one file can be standard input");
    int status = read_if_given(o->template_path, &r->template_text);
    if (status == STATUS_DONE) status = read_if_given(o->tools, &r->tools);
    if (status == STATUS_DONE) status = read_if_given(o->vars, &r->vars);
    return status == STATUS_DONE ? text_read_file(paths[0], &r->messages) : status;
}

/* 'Y-M-D H:M:S' of the local clock as seconds since 1970. */
static int read_time(const char *value, int64_t *now) {
    struct tm t = {.tm_isdst = -1}, back;
    int end = -1;
    if (sscanf(value, "%4d-%2d-%2d %2d:%2d:%2d%n", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour,
               &t.tm_min, &t.tm_sec, &end) != 6 ||
        value[end])
        return print_usage_error("--now needs a time such as '2024-07-04 09:05:03', not '%s'",
                                 value);
    t.tm_year -= 1900;
    t.tm_mon--;
    back = t;
    const time_t seconds = mktime(&back);
    if (back.tm_year != t.tm_year || back.tm_mon != t.tm_mon || back.tm_mday != t.tm_mday ||
        back.tm_hour != t.tm_hour || back.tm_min != t.tm_min || back.tm_sec != t.tm_sec ||
        seconds == 0)
        return print_usage_error("--now: there is no local time '%s'", value);
    *now = (int64_t)seconds;
    return STATUS_DONE;
}

/* ---- the prompt ------------------------------------------------------------------------------ */

static int open_chat(render *r, const options *o) {
    const bool by_itself = o->template_path || o->chat_template;
    puna_chat_options chat;
    puna_error err = {0};
    if (o->template_path && o->chat_template)
        return print_usage_error("use --template or --chat-template, not both");
    int status = read_files(r, o);
    if (status == STATUS_DONE && (o->model || !by_itself))
        status = session_open_model(&r->s, o, PUNA_OPEN_VOCAB);
    if (status != STATUS_DONE) return status;
    puna_chat_options_init(&chat);
    chat.format = o->chat_template;
    chat.template_text = r->template_text.bytes;
    chat.template_bytes = r->template_text.n_bytes;
    chat.bos = o->bos;
    chat.eos = o->eos;
    chat.exact = o->exact || (o->template_path && !o->repair);
    if (puna_chat_open(r->s.model, &chat, &r->chat, &err) != PUNA_OK) return print_failure(&err);
    return STATUS_DONE;
}

static int make_prompt(render *r, const options *o) {
    puna_chat_input in;
    puna_error err = {0};
    puna_chat_input_init(&in);
    in.messages = r->messages.bytes;
    in.messages_bytes = r->messages.n_bytes;
    in.tools = r->tools.bytes;
    in.tools_bytes = r->tools.n_bytes;
    in.vars = r->vars.bytes;
    in.vars_bytes = r->vars.n_bytes;
    in.no_generation_prompt = o->no_generation_prompt;
    int status = o->now ? read_time(o->now, &in.now) : STATUS_DONE;
    if (status == STATUS_DONE && puna_chat_render(r->chat, &in, &r->prompt, &err) != PUNA_OK)
        status = print_failure(&err);
    return status;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* "template", "message 2 user", "tool or variable", "added". */
static void name_origin(const render *r, const json_t *messages, int32_t span, char *out,
                        size_t n) {
    int32_t n_spans;
    const puna_prompt_span *spans = puna_prompt_spans(r->prompt, &n_spans);
    if (span < 0) {
        (void)snprintf(out, n, "added");
    } else if (spans[span].from_template) {
        (void)snprintf(out, n, "template");
    } else if (spans[span].message < 0) {
        (void)snprintf(out, n, "tool or variable");
    } else {
        const size_t i = (size_t)spans[span].message;
        const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
        (void)snprintf(out, n, "message %zu %.40s", i, role ? role : "");
    }
}

static int explain_tokens(const render *r) {
    int32_t n, n_bos = 0;
    const int32_t *ids = puna_prompt_tokens(r->prompt, &n);
    const int32_t *spans = puna_prompt_token_spans(r->prompt);
    const int32_t bos = puna_token_special(r->s.model, PUNA_SPECIAL_BOS);
    json_t *messages = json_loadb(r->messages.bytes, r->messages.n_bytes, JSON_ALLOW_NUL, NULL);
    int status = STATUS_DONE;
    out_printf("%7s  %-7s  %-24s  text\n", "id", "special", "origin");
    for (int32_t i = 0; i < n && status == STATUS_DONE; i++) {
        text piece = {0};
        char origin[64];
        name_origin(r, messages, spans[i], origin, sizeof origin);
        status = session_detokenize(&r->s, &ids[i], 1,
                                    PUNA_DETOKENIZE_SPECIAL | PUNA_DETOKENIZE_KEEP_SPACE, &piece);
        if (status != STATUS_DONE) break;
        out_printf("%7d  %-7s  ", ids[i], puna_token_is_control(r->s.model, ids[i]) ? "yes" : "");
        out_clean(origin, 24);
        out_printf("  ");
        out_quoted(piece.bytes, piece.n_bytes);
        out_printf("\n");
        n_bos += bos >= 0 && ids[i] == bos;
        free(piece.bytes);
    }
    json_decref(messages);
    if (status == STATUS_DONE)
        out_printf("%d tokens, %d BOS; %s\n", n, n_bos, puna_chat_source(r->chat));
    return status;
}

static int print_json(const render *r) {
    int32_t n_tokens, n_spans;
    size_t n_bytes;
    const char *prompt = puna_prompt_text(r->prompt, &n_bytes);
    const int32_t *ids = puna_prompt_tokens(r->prompt, &n_tokens);
    const puna_prompt_span *spans = puna_prompt_spans(r->prompt, &n_spans);
    json_t *root = json_object(), *list = json_array(), *stops = json_array();
    for (int32_t i = 0; i < n_spans; i++) {
        json_t *span = json_object();
        json_object_set_new(span, "begin", json_integer((json_int_t)spans[i].begin));
        json_object_set_new(span, "end", json_integer((json_int_t)spans[i].end));
        json_object_set_new(span, "from_template", json_boolean(spans[i].from_template));
        json_object_set_new(span, "message",
                            spans[i].message < 0 ? json_null() : json_integer(spans[i].message));
        json_array_append_new(list, span);
    }
    for (int32_t i = 0; puna_prompt_stop(r->prompt, i); i++)
        json_array_append_new(stops, json_string(puna_prompt_stop(r->prompt, i)));
    json_object_set_new(root, "source", json_string(puna_chat_source(r->chat)));
    json_object_set_new(root, "prompt", json_text(prompt, n_bytes));
    json_object_set_new(root, "spans", list);
    json_object_set_new(root, "stops", stops);
    if (r->s.model) {
        json_object_set_new(root, "tokens", json_id_array(ids, n_tokens));
        json_object_set_new(root, "token_spans",
                            json_id_array(puna_prompt_token_spans(r->prompt), n_tokens));
    }
    return json_print(root, false);
}

int cmd_render(const options *o) {
    render r = {0};
    int status = STATUS_DONE;
    if (o->explain && !o->model && (o->template_path || o->chat_template))
        return print_usage_error("--explain needs a model (-m): without one there are no tokens");
    status = open_chat(&r, o);
    if (status == STATUS_DONE) status = make_prompt(&r, o);
    if (status == STATUS_DONE && o->json) {
        status = print_json(&r);
    } else if (status == STATUS_DONE && o->explain) {
        status = explain_tokens(&r);
    } else if (status == STATUS_DONE) {
        size_t n_bytes;
        const char *prompt = puna_prompt_text(r.prompt, &n_bytes);
        out_write(prompt, n_bytes);
    }
    puna_prompt_free(r.prompt);
    puna_chat_free(r.chat);
    free(r.template_text.bytes);
    free(r.messages.bytes);
    free(r.tools.bytes);
    free(r.vars.bytes);
    session_close(&r.s);
    return status;
}
