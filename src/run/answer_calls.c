/* answer_calls.c: the forms in which models write a call.
 *
 * A body is what stands between an opening and a closing mark. Each reader adds its calls only when
 * the whole body is one; else nothing is added and the text stays content. */
#include "run/answer.h"

#include <stdio.h>
#include <string.h>

static bool note(pn_answer *a, bool ok) {
    if (!ok) a->no_memory = true;
    return ok;
}

/* ---- adding ---------------------------------------------------------------------------------- */

void pn_answer_add_call(pn_answer *a, pn_slice name, pn_slice arguments) {
    pn_buf *out = &a->calls;
    note(a, (a->n_calls == 0 || pn_buf_put(out, ", ")) &&
                pn_buf_printf(
                    out, "{\"id\": \"call_%d\", \"type\": \"function\", \"function\": {\"name\": ",
                    a->n_calls) &&
                pn_json_put(out, name.s, name.n) && pn_buf_put(out, ", \"arguments\": ") &&
                pn_json_put(out, arguments.s, arguments.n) && pn_buf_put(out, "}}"));
    a->n_calls++;
}

/* Calls that turn out to be none are taken back. */
typedef struct mark {
    size_t n;
    int32_t n_calls;
} mark;

static mark here(const pn_answer *a) {
    return (mark){a->calls.n, a->n_calls};
}

static bool settle(pn_answer *a, mark before, bool ok) {
    ok = ok && a->n_calls > before.n_calls;
    if (!ok) {
        a->calls.n = before.n;
        a->n_calls = before.n_calls;
    }
    return ok;
}

static bool is_function_name(pn_slice name) {
    if (name.n == 0 || name.n > 256) return false;
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.s[i] <= ' ' || strchr("<>{}\"'`()[]", name.s[i])) return false;
    return true;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* A value at the beginning of text; text moves behind it. */
static bool take_json(pn_answer *a, pn_slice *text, pn_json *json) {
    size_t used = 0;
    const puna_status status = pn_json_parse_prefix(text->s, text->n, "answer", json, &used, NULL);
    if (status == PUNA_E_NOMEM) a->no_memory = true;
    if (status) {
        pn_json_free(json);
        return false;
    }
    *text = pn_slice_from(*text, used);
    return true;
}

static pn_slice raw(const pn_json *json, int32_t node) {
    const pn_json_node *at = &json->nodes[node];
    return (pn_slice){json->text + at->begin, (size_t)at->end - at->begin};
}

bool pn_answer_take_object(pn_answer *a, pn_slice *text, pn_slice *object) {
    pn_json json;
    pn_slice rest = *text;
    if (!take_json(a, &rest, &json)) return false;
    const bool ok = pn_json_kind_of(&json, 0) == PN_JSON_OBJECT;
    if (ok) {
        *object = raw(&json, 0);
        *text = rest;
    }
    pn_json_free(&json);
    return ok;
}

/* Arguments as a value, or as JSON in a string. */
static bool add_with_arguments(pn_answer *a, const pn_json *json, int32_t name, int32_t arguments) {
    pn_buf called = {0}, text = {0};
    bool ok = note(a, pn_json_append_text(json, name, &called));
    pn_slice value = pn_slice_of("{}");
    if (ok && arguments >= 0 && pn_json_kind_of(json, arguments) == PN_JSON_STRING) {
        ok = note(a, pn_json_append_text(json, arguments, &text));
        pn_slice inner = pn_slice_trim((pn_slice){text.data, text.n});
        if (ok && inner.n > 0) ok = pn_answer_take_object(a, &inner, &value);
    } else if (ok && arguments >= 0 && pn_json_kind_of(json, arguments) != PN_JSON_NULL) {
        value = raw(json, arguments);
        ok = pn_json_kind_of(json, arguments) == PN_JSON_OBJECT;
    }
    if (ok) pn_answer_add_call(a, (pn_slice){called.data, called.n}, value);
    pn_buf_free(&called);
    pn_buf_free(&text);
    return ok;
}

static bool add_json_call(pn_answer *a, const pn_json *json, int32_t node) {
    static const char *const names[] = {"name", "tool_name", "function"};
    static const char *const all_arguments[] = {"arguments", "parameters", "args"};
    int32_t name = -1, arguments = -1;
    if (pn_json_kind_of(json, node) != PN_JSON_OBJECT) return false;
    for (int i = 0; i < 3 && name < 0; i++) name = pn_json_member(json, node, names[i]);
    if (name >= 0 &&
        pn_json_kind_of(json, name) == PN_JSON_OBJECT) /* {"function": {"name": ...}} */
        return add_json_call(a, json, name);
    if (name < 0 || pn_json_kind_of(json, name) != PN_JSON_STRING || pn_json_equals(json, name, ""))
        return false;
    for (int i = 0; i < 3 && arguments < 0; i++)
        arguments = pn_json_member(json, node, all_arguments[i]);
    return add_with_arguments(a, json, name, arguments);
}

bool pn_answer_add_json_calls(pn_answer *a, pn_slice text) {
    const mark before = here(a);
    bool ok = true;
    text = pn_slice_trim(text);
    while (ok && text.n > 0 && !a->no_memory) {
        pn_json json;
        ok = take_json(a, &text, &json);
        if (!ok) break;
        if (pn_json_kind_of(&json, 0) == PN_JSON_LIST) {
            for (int32_t i = 1; i < json.nodes[0].next && ok; i = json.nodes[i].next)
                ok = add_json_call(a, &json, i);
        } else {
            ok = add_json_call(a, &json, 0);
        }
        pn_json_free(&json);
        text = pn_slice_trim_left(text);
        while (text.n > 0 && (text.s[0] == ',' || text.s[0] == ';'))
            text = pn_slice_trim_left(pn_slice_from(text, 1));
    }
    return settle(a, before, ok && !a->no_memory);
}

/* A name, and arguments that are an object and all of text (in ```json ... ``` maybe). */
static bool add_named(pn_answer *a, pn_slice name, pn_slice text) {
    pn_slice object = pn_slice_of("{}");
    name = pn_slice_trim(name);
    text = pn_slice_trim(text);
    if (pn_slice_take(&text, "```json") || pn_slice_take(&text, "```")) {
        if (pn_slice_ends(text, "```")) text.n -= 3;
        text = pn_slice_trim(text);
    }
    (void)pn_slice_take(&name, "functions.");
    if (!is_function_name(name)) return false;
    if (text.n > 0 && (!pn_answer_take_object(a, &text, &object) || pn_slice_trim(text).n > 0))
        return false;
    pn_answer_add_call(a, name, object);
    return true;
}

/* ---- tags ------------------------------------------------------------------------------------ */

/* Takes what stands before `until` off text, and until itself. */
static bool take_until(pn_slice *text, const char *until, pn_slice *out) {
    const size_t at = pn_slice_find(*text, until, 0);
    if (at == SIZE_MAX) return false;
    *out = (pn_slice){text->s, at};
    *text = pn_slice_from(*text, at + strlen(until));
    return true;
}

/* Arguments while they are read one by one: {"a": 1, ... */
static bool put_argument(pn_answer *a, pn_buf *object, pn_slice function, pn_slice name,
                         pn_slice value) {
    return note(a, pn_buf_put(object, object->n ? ", " : "{") &&
                       pn_json_put(object, name.s, name.n) && pn_buf_put(object, ": ") &&
                       pn_value_of_text(a, function, name, value, object));
}

static bool end_arguments(pn_answer *a, pn_buf *object, pn_slice function, bool ok) {
    ok = ok && note(a, pn_buf_put(object, object->n ? "}" : "{}"));
    if (ok) pn_answer_add_call(a, function, (pn_slice){object->data, object->n});
    pn_buf_free(object);
    return ok;
}

static pn_slice without_newlines(pn_slice value) {
    if (value.n && value.s[0] == '\n') value = pn_slice_from(value, 1);
    if (value.n && value.s[value.n - 1] == '\n') value.n--;
    return value;
}

/* NAME>{json}, or NAME> and <parameter=K>V</parameter> ... */
static bool read_function(pn_answer *a, pn_slice text) {
    pn_slice name, key, value;
    if (!take_until(&text, ">", &name)) return false;
    name = pn_slice_trim(name);
    text = pn_slice_trim(text);
    if (!is_function_name(name)) return false;
    if (text.n > 0 && text.s[0] == '{') return add_named(a, name, text);
    pn_buf object = {0};
    bool ok = true;
    while (ok && text.n > 0) {
        ok = pn_slice_take(&text, "<parameter=") && take_until(&text, ">", &key) &&
             take_until(&text, "</parameter>", &value) &&
             put_argument(a, &object, name, pn_slice_trim(key), without_newlines(value));
        text = pn_slice_trim_left(text);
    }
    return end_arguments(a, &object, name, ok);
}

/* NAME"> and <parameter name="K" string="true|false">V</parameter> ..., each tag with the prefix
 * that `open` has. */
static bool read_invoke(pn_answer *a, const char *open, pn_slice text) {
    char begin[64], end[64];
    const int n_prefix = (int)(strlen(open) - strlen("<invoke name=\""));
    pn_slice name, head, value;
    if (!take_until(&text, "\"", &name) || !take_until(&text, ">", &head)) return false;
    (void)snprintf(begin, sizeof begin, "<%.*sparameter name=\"", n_prefix, open + 1);
    (void)snprintf(end, sizeof end, "</%.*sparameter>", n_prefix, open + 1);
    if (!is_function_name(name)) return false;
    pn_buf object = {0};
    bool ok = true;
    for (text = pn_slice_trim(text); ok && text.n > 0; text = pn_slice_trim_left(text)) {
        pn_slice key = {"", 0};
        ok = pn_slice_take(&text, begin) && take_until(&text, "\"", &key) &&
             take_until(&text, ">", &head) && take_until(&text, end, &value);
        if (!ok) break;
        const bool is_text = pn_slice_find(head, "string=\"true\"", 0) != SIZE_MAX;
        if (is_text)
            ok = note(a, pn_buf_put(&object, object.n ? ", " : "{") &&
                             pn_json_put(&object, key.s, key.n) && pn_buf_put(&object, ": ") &&
                             pn_json_put(&object, value.s, value.n));
        else
            ok = put_argument(a, &object, name, key, value);
    }
    return end_arguments(a, &object, name, ok);
}

/* NAME and <arg_key>K</arg_key><arg_value>V</arg_value> ...; suffix: what the tags' names end
 * with. */
static bool read_arg_keys(pn_answer *a, pn_slice text, const char *suffix) {
    static const char *const names[] = {"<arg_key", "</arg_key", "<arg_value", "</arg_value"};
    char tags[4][40];
    for (int i = 0; i < 4; i++)
        (void)snprintf(tags[i], sizeof tags[i], "%s%.20s>", names[i], suffix);
    const size_t at = pn_slice_find(text, tags[0], 0);
    pn_slice name = pn_slice_trim((pn_slice){text.s, at == SIZE_MAX ? text.n : at}), key, value;
    pn_buf object = {0};
    text = pn_slice_from(text, at == SIZE_MAX ? text.n : at);
    bool ok = is_function_name(name);
    for (text = pn_slice_trim(text); ok && text.n > 0; text = pn_slice_trim_left(text)) {
        ok = pn_slice_take(&text, tags[0]) && take_until(&text, tags[1], &key);
        text = pn_slice_trim_left(text);
        ok = ok && pn_slice_take(&text, tags[2]) && take_until(&text, tags[3], &value) &&
             put_argument(a, &object, name, pn_slice_trim(key), value);
    }
    return end_arguments(a, &object, name, ok);
}

/* Everything that stands in <tool_call>. */
static bool read_any(pn_answer *a, const char *open, pn_slice text) {
    char suffix[24] = "", separator[40]; /* of <tool_call:SUFFIX> */
    if (strncmp(open, "<tool_call:", 11) == 0)
        (void)snprintf(suffix, sizeof suffix, "%.*s", (int)strlen(open) - 11, open + 10);
    (void)snprintf(separator, sizeof separator, "<tool_sep%s>", suffix);
    text = pn_slice_trim(text);
    if (text.n > 0 && (text.s[0] == '{' || text.s[0] == '['))
        return pn_answer_add_json_calls(a, text);
    if (pn_slice_take(&text, "<function=")) {
        if (pn_slice_ends(text, "</function>")) text.n -= strlen("</function>");
        return read_function(a, text);
    }
    pn_slice name, rest = text;
    if (take_until(&rest, separator, &name)) {
        if (pn_slice_find(rest, "<arg_key", 0) == SIZE_MAX) return add_named(a, name, rest);
        /* NAME<tool_sep> and keys: the mark goes */
        pn_buf joined = {0};
        bool ok = note(a, pn_buf_append(&joined, name.s, name.n) &&
                              pn_buf_append(&joined, rest.s, rest.n));
        ok = ok && read_arg_keys(a, (pn_slice){joined.data, joined.n}, suffix);
        pn_buf_free(&joined);
        return ok;
    }
    return read_arg_keys(a, text, suffix);
}

/* ---- special tokens -------------------------------------------------------------------------- */

#define BAR "\xef\xbd\x9c"
#define LOW "\xe2\x96\x81"

/* [TYPE]<sep>NAME\n```json...```, or NAME<sep>{json} */
static bool read_deepseek(pn_answer *a, pn_slice text) {
    pn_slice first, name;
    if (!take_until(&text, "<" BAR "tool" LOW "sep" BAR ">", &first)) return false;
    const pn_slice rest = pn_slice_trim(text);
    if (rest.n > 0 && rest.s[0] == '{') return add_named(a, first, rest);
    return take_until(&text, "\n", &name) && add_named(a, name, text);
}

/* functions.NAME:INDEX<|tool_call_argument_begin|>{json} */
static bool read_kimi(pn_answer *a, pn_slice text) {
    pn_slice name;
    if (!take_until(&text, "<|tool_call_argument_begin|>", &name)) return false;
    name = pn_slice_trim(name);
    size_t n = name.n;
    while (n > 0 && name.s[n - 1] >= '0' && name.s[n - 1] <= '9') n--;
    if (n > 0 && n < name.n && name.s[n - 1] == ':') name.n = n - 1;
    return add_named(a, name, text);
}

static bool read_solar(pn_answer *a, pn_slice text) {
    pn_slice id, name;
    return take_until(&text, "<|tool_call:name|>", &id) &&
           take_until(&text, "<|tool_call:args|>", &name) && add_named(a, name, text);
}

static bool read_gemma(pn_answer *a, pn_slice text) {
    pn_buf object = {0};
    const size_t at = pn_slice_find(text, "{", 0);
    bool ok = at != SIZE_MAX;
    const pn_slice name = pn_slice_trim((pn_slice){text.s, ok ? at : 0});
    if (ok) text = pn_slice_from(text, at);
    ok = ok && is_function_name(name) && pn_value_gemma(&text, &object) &&
         pn_slice_trim(text).n == 0;
    if (ok) pn_answer_add_call(a, name, (pn_slice){object.data, object.n});
    pn_buf_free(&object);
    return ok;
}

/* [name(a=1), ...] or one call alone */
static bool read_python(pn_answer *a, pn_slice text) {
    const mark before = here(a);
    text = pn_slice_trim(text);
    if (pn_slice_take(&text, "[") && pn_slice_ends(text, "]")) text.n--;
    bool ok = true;
    for (text = pn_slice_trim(text); ok && text.n > 0; text = pn_slice_trim_left(text)) {
        pn_slice name;
        pn_buf object = {0};
        ok = pn_value_python_call(&text, &name, &object);
        if (ok) pn_answer_add_call(a, name, (pn_slice){object.data, object.n});
        pn_buf_free(&object);
        text = pn_slice_trim_left(text);
        ok = ok && (text.n == 0 || pn_slice_take(&text, ","));
    }
    return settle(a, before, ok);
}

static bool read_colon(pn_answer *a, pn_slice text) {
    pn_slice name;
    return take_until(&text, ":", &name) && add_named(a, name, text);
}

bool pn_answer_body(pn_answer *a, pn_body body, const char *open, pn_slice text) {
    const mark before = here(a);
    bool ok = false;
    switch (body) {
    case BODY_ANY: ok = read_any(a, open, text); break;
    case BODY_JSON: ok = pn_answer_add_json_calls(a, text); break;
    case BODY_FUNCTION: ok = read_function(a, text); break;
    case BODY_DEEPSEEK: ok = read_deepseek(a, text); break;
    case BODY_INVOKE: ok = read_invoke(a, open, text); break;
    case BODY_KIMI: ok = read_kimi(a, text); break;
    case BODY_SOLAR: ok = read_solar(a, text); break;
    case BODY_GEMMA: ok = read_gemma(a, text); break;
    case BODY_PYTHON: ok = read_python(a, text); break;
    case BODY_COLON: ok = read_colon(a, text); break;
    case BODY_MISTRAL:
    case BODY_PYTHON_TAG: break;
    }
    return settle(a, before, ok && !a->no_memory);
}

/* ---- bodies that end by themselves ----------------------------------------------------------- */

/* After [TOOL_CALLS]: a list, or NAME[CALL_ID]ID[ARGS]{json}. */
static pn_found open_mistral(pn_answer *a, pn_slice *text) {
    const mark before = here(a);
    pn_slice rest = pn_slice_trim_left(*text), name, object;
    if (rest.n == 0) return PN_UNFINISHED;
    if (rest.s[0] == '[' || rest.s[0] == '{') {
        pn_json json;
        const pn_slice all = rest;
        if (!take_json(a, &rest, &json)) return PN_UNFINISHED;
        pn_json_free(&json);
        *text = rest;
        return pn_answer_add_json_calls(a, (pn_slice){all.s, all.n - rest.n}) ? PN_CALL
                                                                              : PN_NO_CALL;
    }
    size_t n = 0;
    while (n < rest.n && !strchr("[{ \n", rest.s[n])) n++;
    name = (pn_slice){rest.s, n};
    rest = pn_slice_trim_left(pn_slice_from(rest, n));
    pn_slice id;
    if (pn_slice_take(&rest, "[CALL_ID]") && !take_until(&rest, "[ARGS]", &id))
        return PN_UNFINISHED;
    (void)pn_slice_take(&rest, "[ARGS]");
    if (!is_function_name(name)) return PN_NO_CALL;
    if (!pn_answer_take_object(a, &rest, &object)) return PN_UNFINISHED;
    pn_answer_add_call(a, name, object);
    *text = rest;
    return settle(a, before, true) ? PN_CALL : PN_NO_CALL;
}

/* After <|python_tag|>: JSON, NAME.call(a="b"), or code for the tool "python". It is the rest. */
static pn_found open_python_tag(pn_answer *a, pn_slice *text) {
    pn_slice rest = pn_slice_trim(*text), name;
    const mark before = here(a);
    pn_buf object = {0};
    *text = pn_slice_from(*text, text->n);
    if (a->is_partial) return PN_UNFINISHED;
    if (rest.n == 0) return PN_NO_CALL;
    if (rest.s[0] == '{' && pn_answer_add_json_calls(a, rest)) return PN_CALL;
    pn_slice call = rest;
    if (pn_value_python_call(&call, &name, &object) && call.n == 0 &&
        pn_slice_ends(name, ".call")) {
        name.n -= strlen(".call");
        pn_answer_add_call(a, name, (pn_slice){object.data, object.n});
    } else {
        object.n = 0;
        if (note(a, pn_buf_put(&object, "{\"code\": ") && pn_json_put(&object, rest.s, rest.n) &&
                        pn_buf_put(&object, "}")))
            pn_answer_add_call(a, pn_slice_of("python"), (pn_slice){object.data, object.n});
    }
    pn_buf_free(&object);
    return settle(a, before, !a->no_memory) ? PN_CALL : PN_NO_CALL;
}

static pn_found open_json(pn_answer *a, pn_slice *text) {
    pn_json json;
    pn_slice rest = *text;
    if (rest.n > 0 && rest.s[0] != '[' && rest.s[0] != '{') return PN_NO_CALL;
    if (!take_json(a, &rest, &json)) return PN_UNFINISHED;
    pn_json_free(&json);
    const pn_slice all = {text->s, text->n - rest.n};
    *text = rest;
    return pn_answer_add_json_calls(a, all) ? PN_CALL : PN_NO_CALL;
}

pn_found pn_answer_open_body(pn_answer *a, pn_body body, pn_slice text, size_t *used) {
    pn_slice rest = text;
    pn_found found = body == BODY_MISTRAL      ? open_mistral(a, &rest)
                     : body == BODY_PYTHON_TAG ? open_python_tag(a, &rest)
                                               : open_json(a, &rest);
    /* what is cut off when the answer is over is no call */
    if (found == PN_UNFINISHED && !a->is_partial) found = PN_NO_CALL;
    *used = text.n - rest.n;
    return found;
}
