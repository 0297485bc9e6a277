/* call_form.c: the words around a call, found in what the template writes, and the grammar made of them. */
#include "call_form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The call that is rendered. The names occur nowhere else. */
#define NAME_1 "puna_probe_one"
#define NAME_2 "puna_probe_two"
#define KEY    "puna_probe_key"

/* What may stand around a call is not longer. */
enum { MAX_WORDS = 300 };

void pn_call_form_free(pn_call_form *form) {
    pn_text_free(&form->before);
    pn_text_free(&form->between);
    pn_text_free(&form->after);
    pn_text_free(&form->join);
}

/* ---- finding the form ---------------------------------------------------------------------------- */

static void write_call(pn_text *t, const char *name, int number) {
    pn_text_write(t,
                  "{'id':'call0000%d','type':'function','function':{'name':%j,'arguments':"
                  "'{\\'" KEY "\\': %d}'}}",
                  number, name, number);
}

/* A conversation that ends with calls, rendered; NULL when the template does not take it. content: JSON, what is said
 * beside the calls. */
static puna_prompt *render_calls(const puna_chat *chat, json_t *tools, const char *content,
                                 bool two) {
    pn_text messages = {0};
    puna_prompt *prompt = NULL;
    char *tools_text = json_dumps(tools, JSON_COMPACT);
    pn_text_write(&messages,
                  "[{'role':'user','content':'x'},{'role':'assistant','content':%s,'tool_calls':[",
                  content);
    write_call(&messages, NAME_1, 1);
    if (two) {
        pn_text_put(&messages, ",");
        write_call(&messages, NAME_2, 2);
    }
    pn_text_put(&messages, "]}]");
    if (!messages.failed && tools_text) {
        puna_chat_input input;
        puna_chat_input_init(&input);
        input.messages = messages.s;
        input.messages_bytes = messages.n;
        input.tools = tools_text;
        input.tools_bytes = strlen(tools_text);
        input.no_generation_prompt = true;
        input.now = 1;
        if (puna_chat_render(chat, &input, &prompt, NULL)) prompt = NULL;
    }
    pn_text_free(&messages);
    free(tools_text);
    return prompt;
}

/* Where the object of arguments with the key begins and ends in text. */
static bool find_arguments(const char *text, const char *from, size_t *begin, size_t *end) {
    const char *key = strstr(from, "\"" KEY "\"");
    if (!key) return false;
    const char *open = key;
    while (open > from && *open != '{') open--;
    const char *close = strchr(key, '}');
    if (*open != '{' || !close) return false;
    *begin = (size_t)(open - text);
    *end = (size_t)(close - text) + 1;
    return true;
}

/* Whether the answer is exactly the n calls of the probe, with nothing said beside them. */
static bool is_calls(const puna_chat *chat, const char *answer, size_t n_bytes, size_t n) {
    static const char *const names[] = {NAME_1, NAME_2};
    char *text = NULL;
    if (puna_chat_parse(chat, NULL, answer, n_bytes, false, &text, NULL)) return false;
    json_t *message = json_loads(text, 0, NULL);
    puna_free(text);
    const json_t *calls = json_object_get(message, "tool_calls");
    const char *content = json_string_value(json_object_get(message, "content"));
    bool ok = json_array_size(calls) == n && (!content || !*content) &&
              !json_object_get(message, "reasoning_content");
    for (size_t i = 0; ok && i < n; i++) {
        const json_t *function = json_object_get(json_array_get(calls, i), "function");
        const char *name = json_string_value(json_object_get(function, "name"));
        const char *arguments = json_string_value(json_object_get(function, "arguments"));
        ok = name && arguments && strcmp(name, names[i]) == 0 && strstr(arguments, KEY);
    }
    json_decref(message);
    return ok;
}

/* Bytes of text before the first token that ends an answer. */
static size_t before_end_token(const puna_model *model, const char *text, size_t n) {
    enum { MOST = 2 * MAX_WORDS };
    int32_t ids[MOST], n_ids = 0;
    if (puna_tokenize(model, text, n, PUNA_TOKENIZE_PARSE_SPECIAL, ids, MOST, &n_ids, NULL))
        return n;
    for (int32_t i = 0; i < n_ids; i++) {
        char mark[128];
        size_t n_mark = 0;
        if (!puna_token_is_end(model, ids[i]) ||
            puna_detokenize(model, &ids[i], 1, PUNA_DETOKENIZE_SPECIAL, mark, sizeof mark - 1,
                            &n_mark, NULL) ||
            n_mark == 0)
            continue;
        mark[n_mark] = '\0';
        const char *at = strstr(text, mark);
        if (at && (size_t)(at - text) < n) n = (size_t)(at - text);
    }
    return n;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* The next shorter end: without its last mark or line. */
static size_t shorter(const char *text, size_t n) {
    while (n > 0 && is_blank(text[n - 1])) n--;
    if (n == 0) return 0;
    for (n--; n > 0 && text[n] != '<' && text[n] != '\n' && text[n] != '['; n--) continue;
    while (n > 0 && is_blank(text[n - 1])) n--;
    return n;
}

/* The form whose words stand in text before name, from after_name to begin, and from end on, where the call is read
 * back with `last` bytes of the end; with the shortest beginning. */
static bool try_form(const puna_chat *chat, const char *text, size_t name, size_t end, size_t last,
                     size_t *first) {
    for (*first = name; *first + MAX_WORDS > name; --*first) {
        if (is_calls(chat, text + *first, end + last - *first, 1)) return true;
        if (*first == 0) break;
    }
    return false;
}

/* Fills in the form from a rendered call: the shortest beginning and the longest end with which the call is read
 * back. */
static bool take_form(const puna_chat *chat, const puna_model *model, const char *text,
                      pn_call_form *form) {
    enum { MAX_TRIES = 6 };
    size_t begin = 0, end = 0, first = 0;
    const char *at = strstr(text, NAME_1);
    if (!at || !find_arguments(text, at, &begin, &end)) return false;
    const size_t name = (size_t)(at - text), after_name = name + strlen(NAME_1);
    size_t last = strlen(text) - end;
    if (begin - after_name > MAX_WORDS) return false;
    if (last > MAX_WORDS) last = MAX_WORDS;
    last = before_end_token(model, text + end, last);
    while (last > 0 && is_blank(text[end + last - 1])) last--;
    for (int i = 0; i < MAX_TRIES; i++, last = shorter(text + end, last)) {
        if (try_form(chat, text, name, end, last, &first)) {
            pn_text_append(&form->before, text + first, name - first);
            pn_text_append(&form->between, text + after_name, begin - after_name);
            pn_text_append(&form->after, text + end, last);
            return true;
        }
        if (last == 0) break;
    }
    return false;
}

/* What stands between two calls, when both are read back. */
static void take_join(const puna_chat *chat, const char *text, pn_call_form *form) {
    size_t begin = 0, end = 0;
    const char *one = strstr(text, NAME_1), *two = strstr(text, NAME_2);
    if (!one || !two || two < one || !find_arguments(text, one, &begin, &end)) return;
    if (text + end > two || (size_t)(two - text) - end > MAX_WORDS) return;
    pn_text answer = {0};
    pn_text_write(&answer, "%t" NAME_1 "%t{'" KEY "': 1}", &form->before, &form->between);
    pn_text_append(&answer, text + end, (size_t)(two - text) - end);
    pn_text_write(&answer, NAME_2 "%t{'" KEY "': 2}%t", &form->between, &form->after);
    if (!answer.failed && is_calls(chat, answer.s, answer.n, 2))
        pn_text_append(&form->join, text + end, (size_t)(two - text) - end);
    pn_text_free(&answer);
}

/* The form that the template writes. */
static bool written_form(const puna_chat *chat, const puna_model *model, json_t *tools,
                         const char *content, pn_call_form *form) {
    puna_prompt *one = render_calls(chat, tools, content, false);
    const bool found = one && take_form(chat, model, puna_prompt_text(one, NULL), form);
    puna_prompt *two = found ? render_calls(chat, tools, content, true) : NULL;
    if (two) take_join(chat, puna_prompt_text(two, NULL), form);
    puna_prompt_free(one);
    puna_prompt_free(two);
    return found;
}

/* A form that templates often describe in words and do not write themselves. */
static bool described_form(const puna_chat *chat, pn_call_form *form) {
    static const char *const forms[][2] = {{"<tool_call>\n{'name': '", "}\n</tool_call>"},
                                           {"<|tool_call|>[{'name': '", "}]"}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        pn_text answer = {0};
        pn_text_write(&answer, forms[i][0]);
        pn_text_write(&answer, NAME_1 "', 'arguments': {'" KEY "': 1}");
        pn_text_write(&answer, forms[i][1]);
        const bool fits = !answer.failed && is_calls(chat, answer.s, answer.n, 1);
        pn_text_free(&answer);
        if (!fits) continue;
        pn_text_write(&form->before, forms[i][0]);
        pn_text_write(&form->between, "', 'arguments': ");
        pn_text_write(&form->after, forms[i][1]);
        return true;
    }
    return false;
}

bool pn_call_form_find(const puna_chat *chat, const puna_model *model, json_t *tools,
                       pn_call_form *form) {
    *form = (pn_call_form){0};
    form->is_own = !written_form(chat, model, tools, "null", form) &&
                   !written_form(chat, model, tools, "\"\"", form) && !described_form(chat, form);
    if (form->is_own) {
        pn_text_write(&form->before, "{'name': '");
        pn_text_write(&form->between, "', 'arguments': ");
        pn_text_put(&form->after, "}");
    }
    if (!form->before.failed && !form->between.failed && !form->after.failed && !form->join.failed)
        return true;
    pn_call_form_free(form);
    return false;
}

/* ---- the grammar --------------------------------------------------------------------------------- */

/* Plain text as a GBNF literal. */
static void write_literal(pn_text *t, const char *text, size_t n) {
    if (n == 0) return;
    pn_text_put(t, " \"");
    for (size_t i = 0; i < n; i++) {
        switch (text[i]) {
        case '"': pn_text_put(t, "\\\""); break;
        case '\\': pn_text_put(t, "\\\\"); break;
        case '\n': pn_text_put(t, "\\n"); break;
        case '\r': pn_text_put(t, "\\r"); break;
        case '\t': pn_text_put(t, "\\t"); break;
        default: pn_text_append(t, text + i, 1);
        }
    }
    pn_text_put(t, "\"");
}

/* Text in which the texts of control tokens stand for these tokens. */
static void write_words(pn_text *t, const puna_model *model, const pn_text *words) {
    enum { MOST = 2 * MAX_WORDS };
    int32_t ids[MOST], n_ids = 0;
    const char *text = pn_text_get(words);
    if (puna_tokenize(model, text, words->n, PUNA_TOKENIZE_PARSE_SPECIAL, ids, MOST, &n_ids, NULL))
        n_ids = 0;
    for (int32_t i = 0; i < n_ids; i++) {
        char mark[128];
        size_t n_mark = 0;
        if (!puna_token_is_control(model, ids[i]) ||
            puna_detokenize(model, &ids[i], 1, PUNA_DETOKENIZE_SPECIAL, mark, sizeof mark - 1,
                            &n_mark, NULL) ||
            n_mark == 0)
            continue;
        mark[n_mark] = '\0';
        const char *at = strstr(text, mark);
        if (!at) continue;
        write_literal(t, text, (size_t)(at - text));
        pn_text_write(t, " <[%d]>", ids[i]);
        text = at + n_mark;
    }
    write_literal(t, text, strlen(text));
}

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Bytes of the literal or class that begins at text, with its end. */
static size_t quoted_bytes(const char *text) {
    const char close = *text == '[' ? ']' : *text == '<' ? '>' : '"';
    size_t n = 1;
    while (text[n] && text[n] != close) n += text[n] == '\\' && text[n + 1] ? 2 : 1;
    return text[n] ? n + 1 : n;
}

/* Copies the rules of a grammar with a prefix before each of their names. */
static void write_renamed(pn_text *t, const char *rules, const char *prefix) {
    bool in_braces = false;
    for (const char *s = rules; *s;) {
        size_t n = 1;
        if (*s == '"' || *s == '[' || *s == '<') {
            n = quoted_bytes(s);
        } else if (*s == '#') {
            n = strcspn(s, "\n");
        } else if (*s == '{' || *s == '}') {
            in_braces = *s == '{';
        } else if (is_name_char(*s) && !in_braces) {
            while (is_name_char(s[n])) n++;
            pn_text_put(t, prefix);
        }
        pn_text_append(t, s, n);
        s += n;
    }
    pn_text_put(t, "\n");
}

/* A rule for the arguments of the i-th tool, "tI-root". */
static bool write_arguments(pn_text *t, const json_t *function, size_t i, pn_api_error *e) {
    json_t *schema = json_object_get(function, "parameters");
    char *text = json_is_object(schema) && json_object_size(schema) > 0
                     ? json_dumps(schema, JSON_COMPACT)
                     : NULL;
    static const char none[] = "{\"type\":\"object\",\"additionalProperties\":false}";
    char param[64], prefix[32];
    puna_grammar *grammar = NULL;
    puna_error err;
    (void)snprintf(param, sizeof param, "tools[%zu].function.parameters", i);
    (void)snprintf(prefix, sizeof prefix, "t%zu-", i);
    const puna_status status =
        puna_grammar_open_schema(text ? text : none, strlen(text ? text : none), &grammar, &err);
    free(text);
    if (status == PUNA_E_NOMEM) return pn_api_refuse_status(e, &err, param);
    if (status)
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param, "%s: %s", param, err.msg);
    write_renamed(t, puna_grammar_text(grammar), prefix);
    puna_grammar_free(grammar);
    return true;
}

/* The rules call and calls. */
static bool write_calls(pn_text *t, const pn_call_rules *rules, const puna_model *model,
                        pn_api_error *e) {
    const pn_call_form *form = rules->form;
    const size_t n = json_array_size(rules->tools);
    for (size_t i = 0; i < n; i++)
        if (!write_arguments(t, json_object_get(json_array_get(rules->tools, i), "function"), i, e))
            return false;
    pn_text_put(t, "puna-between ::=");
    write_words(t, model, &form->between);
    pn_text_put(t, "\npuna-call ::=");
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(
            json_object_get(json_object_get(json_array_get(rules->tools, i), "function"), "name"));
        if (i > 0) pn_text_put(t, " |");
        write_literal(t, name, strlen(name));
        pn_text_write(t, " puna-between t%d-root", (int32_t)i);
    }
    pn_text_put(t, "\npuna-calls ::=");
    write_words(t, model, &form->before);
    pn_text_put(t, " puna-call");
    if (rules->many && form->join.n > 0) {
        pn_text_put(t, " (");
        write_words(t, model, &form->join);
        pn_text_put(t, " puna-call){0,15}");
    }
    write_words(t, model, &form->after);
    pn_text_put(t, "\n");
    return true;
}

static void write_class_char(pn_text *t, char c) {
    char escape[8];
    (void)snprintf(escape, sizeof escape, "\\x%02X", (unsigned)(unsigned char)c);
    pn_text_put(t, escape);
}

/* How much of close matches the end of its first i characters and then c (Knuth, Morris, Pratt). */
static size_t next_state(const char *close, size_t i, char c) {
    for (size_t n = i + 1; n > 0; n--)
        if (close[n - 1] == c && memcmp(close, close + i - (n - 1), n - 1) == 0) return n;
    return 0;
}

/* Any text up to the first `close`: one rule for each count of its characters that were seen. */
static void write_until(pn_text *t, const char *close) {
    const size_t n = strlen(close);
    for (size_t i = 0; i < n; i++) {
        pn_text_write(t, "puna-think-%d ::=", (int32_t)i);
        for (size_t k = 0; k < n; k++) {
            if (memchr(close, close[k], k)) continue; /* each character once */
            const size_t next = next_state(close, i, close[k]);
            pn_text_put(t, " [");
            write_class_char(t, close[k]);
            pn_text_put(t, "]");
            if (next < n) pn_text_write(t, " puna-think-%d", (int32_t)next);
            pn_text_put(t, " |");
        }
        pn_text_put(t, " [^");
        for (size_t k = 0; k < n; k++)
            if (!memchr(close, close[k], k)) write_class_char(t, close[k]);
        pn_text_put(t, "] puna-think-0\n");
    }
}

/* The rule puna-think: what ends reasoning, with all before it. */
static void write_reasoning(pn_text *t, const puna_model *model, const char *close) {
    int32_t id = -1, n_ids = 0;
    const puna_status status = puna_tokenize(model, close, strlen(close),
                                             PUNA_TOKENIZE_PARSE_SPECIAL, &id, 1, &n_ids, NULL);
    if (!status && n_ids == 1 && puna_token_is_control(model, id)) {
        pn_text_write(t, "puna-think ::= [^\\x00]* <[%d]> [ \\n]{0,4}\n", id);
        return;
    }
    write_until(t, close);
    pn_text_put(t, "puna-think ::= puna-think-0 [ \\n]{0,4}\n");
}

bool pn_call_rules_grammar(const pn_call_rules *rules, const puna_model *model,
                           puna_grammar **grammar, pn_api_error *e) {
    pn_text t = {0};
    puna_error err;
    bool ok = !rules->form || write_calls(&t, rules, model, e);
    if (ok && rules->content) write_renamed(&t, puna_grammar_text(rules->content), "c-");
    if (ok && rules->reasoning_close) write_reasoning(&t, model, rules->reasoning_close);
    pn_text_write(&t, "puna-root ::=%s (%s%s%s)\n", rules->reasoning_close ? " puna-think" : "",
                  rules->form ? "puna-calls" : "", rules->form && rules->content ? " | " : "",
                  rules->content ? "c-root" : "");
    if (ok && t.failed) ok = pn_api_refuse(e, 500, "server_error", NULL, NULL, "out of memory");
    if (ok && puna_grammar_open(t.s, t.n, "puna-root", grammar, &err))
        ok = pn_api_refuse(e, err.code == PUNA_E_NOMEM ? 500 : 400,
                           err.code == PUNA_E_NOMEM ? "server_error" : PN_INVALID_REQUEST, NULL,
                           "tools", "the grammar for the calls: %s", err.msg);
    pn_text_free(&t);
    return ok;
}
