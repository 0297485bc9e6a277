/* chat_input.c: messages as the API has them, checked, and rewritten for templates that do not take
 * them as they are.
 *
 * A template that works gets exactly what the caller said. A fix is tried when a template fails
 * (prompt.c), and here is what each one writes. JSON is rewritten as text: what a fix does not
 * touch keeps every byte. */
#include "run/chat.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

static puna_status fail_at(int32_t message, const char *field, const char *text, puna_error *err) {
    return pn_fail(err, PUNA_E_ARG, "messages[%d]%s%s: %s", message, *field ? "." : "", field,
                   text);
}

static puna_status check_part(const pn_json *json, int32_t message, int32_t i, int32_t part,
                              puna_error *err) {
    char field[32];
    (void)snprintf(field, sizeof field, "content[%d]", i);
    const int32_t type = pn_json_member(json, part, "type"),
                  text = pn_json_member(json, part, "text");
    if (pn_json_kind_of(json, part) != PN_JSON_OBJECT)
        return fail_at(message, field, "expected an object with \"type\" and \"text\"", err);
    if (type >= 0 && !pn_json_equals(json, type, "text")) {
        char shown[PN_ESCAPED_BYTES], why[PN_ESCAPED_BYTES + 64];
        const pn_json_node *node = &json->nodes[type];
        (void)snprintf(why, sizeof why, "a part of type %.60s: only text can be read",
                       pn_escape(shown, json->text + node->begin, (size_t)node->end - node->begin));
        return fail_at(message, field, why, err);
    }
    if (text < 0 || pn_json_kind_of(json, text) != PN_JSON_STRING)
        return fail_at(message, field, "\"text\" must be a string", err);
    return PUNA_OK;
}

static puna_status check_content(const pn_json *json, int32_t message, int32_t content,
                                 puna_error *err) {
    if (content < 0) return PUNA_OK;
    const pn_json_kind kind = pn_json_kind_of(json, content);
    if (kind == PN_JSON_STRING || kind == PN_JSON_NULL) return PUNA_OK;
    if (kind != PN_JSON_LIST)
        return fail_at(message, "content", "expected a string, null or a list of parts", err);
    int32_t i = 0;
    for (int32_t part = content + 1; part < json->nodes[content].next;
         part = json->nodes[part].next) {
        const puna_status status = check_part(json, message, i++, part, err);
        if (status) return status;
    }
    return PUNA_OK;
}

static puna_status check_calls(const pn_json *json, int32_t message, int32_t calls,
                               puna_error *err) {
    if (calls < 0 || pn_json_kind_of(json, calls) == PN_JSON_NULL) return PUNA_OK;
    if (pn_json_kind_of(json, calls) != PN_JSON_LIST)
        return fail_at(message, "tool_calls", "expected a list", err);
    int32_t i = 0;
    for (int32_t call = calls + 1; call < json->nodes[calls].next;
         call = json->nodes[call].next, i++) {
        char field[32];
        (void)snprintf(field, sizeof field, "tool_calls[%d]", i);
        if (pn_json_kind_of(json, call) != PN_JSON_OBJECT)
            return fail_at(message, field, "expected an object", err);
    }
    return PUNA_OK;
}

static puna_status check_role(const pn_json *json, int32_t message, int32_t node, puna_error *err) {
    const int32_t role = pn_json_member(json, node, "role");
    if (role < 0) return fail_at(message, "role", "missing", err);
    if (pn_json_kind_of(json, role) != PN_JSON_STRING || pn_json_equals(json, role, ""))
        return fail_at(message, "role", "expected a name such as \"user\"", err);
    return PUNA_OK;
}

/* Arguments of a call of a message: visits those that may be rewritten. */
static int32_t call_arguments(const pn_json *json, int32_t call) {
    const int32_t function = pn_json_member(json, call, "function");
    return pn_json_member(json, function >= 0 ? function : call, "arguments");
}

static unsigned fixes_of(const pn_json *json, int32_t node) {
    unsigned fixes = 0;
    const int32_t content = pn_json_member(json, node, "content"),
                  role = pn_json_member(json, node, "role"),
                  calls = pn_json_member(json, node, "tool_calls");
    if (content < 0 || pn_json_kind_of(json, content) == PN_JSON_NULL) fixes |= PN_FIX_CONTENT;
    if (content >= 0 && pn_json_kind_of(json, content) == PN_JSON_LIST) fixes |= PN_FIX_PARTS;
    if (pn_json_equals(json, role, "developer")) fixes |= PN_FIX_DEVELOPER | PN_FIX_SYSTEM;
    if (pn_json_equals(json, role, "system")) fixes |= PN_FIX_SYSTEM;
    if (calls < 0 || pn_json_kind_of(json, calls) != PN_JSON_LIST) return fixes;
    for (int32_t call = calls + 1; call < json->nodes[calls].next; call = json->nodes[call].next) {
        const int32_t arguments = call_arguments(json, call);
        if (arguments < 0) continue;
        const bool is_text = pn_json_kind_of(json, arguments) == PN_JSON_STRING;
        fixes |= is_text ? PN_FIX_ARGUMENTS : PN_FIX_ARGUMENTS_TEXT;
    }
    return fixes;
}

/* Neighbours that PN_FIX_TURNS makes one: of the same side of the conversation, with no calls. */
static bool is_one_turn(const pn_json *json, int32_t a, int32_t b) {
    static const char *const sides[] = {"user", "assistant"};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        if (pn_json_equals(json, pn_json_member(json, a, "role"), sides[i]) &&
            pn_json_equals(json, pn_json_member(json, b, "role"), sides[i]))
            return pn_json_member(json, a, "tool_calls") < 0 &&
                   pn_json_member(json, b, "tool_calls") < 0;
    return false;
}

puna_status pn_messages_read(const char *text, size_t n_bytes, bool exact, pn_messages *messages,
                             puna_error *err) {
    *messages = (pn_messages){0};
    pn_json *json = &messages->json;
    puna_status status = pn_json_parse(text, n_bytes, "messages", json, err);
    if (status)
        return status == PUNA_E_FORMAT ? pn_fail_in(err, PUNA_E_ARG, "malformed JSON") : status;
    if (pn_json_kind_of(json, 0) != PN_JSON_LIST)
        return pn_fail(err, PUNA_E_ARG, "messages: expected a list, got %s",
                       pn_json_kind_name(pn_json_kind_of(json, 0)));
    messages->nodes = pn_calloc((size_t)json->nodes[0].n + 1, sizeof *messages->nodes);
    if (!messages->nodes)
        return pn_fail_nomem(err, (size_t)json->nodes[0].n * sizeof *messages->nodes, "messages");
    messages->fixes = PN_FIX_TOOLS;
    for (int32_t node = 1; node < json->nodes[0].next && !status; node = json->nodes[node].next) {
        const int32_t i = messages->n;
        if (pn_json_kind_of(json, node) != PN_JSON_OBJECT)
            return fail_at(i, "", "expected an object with \"role\" and \"content\"", err);
        status = check_role(json, i, node, err);
        if (!status && !exact)
            status = check_content(json, i, pn_json_member(json, node, "content"), err);
        if (!status && !exact)
            status = check_calls(json, i, pn_json_member(json, node, "tool_calls"), err);
        if (i > 0 && is_one_turn(json, messages->nodes[i - 1], node))
            messages->fixes |= PN_FIX_TURNS;
        messages->nodes[messages->n++] = node;
        messages->fixes |= fixes_of(json, node);
    }
    return status;
}

void pn_messages_free(pn_messages *messages) {
    pn_json_free(&messages->json);
    pn_free(messages->nodes);
    *messages = (pn_messages){0};
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct writer {
    const pn_json *json;
    unsigned fixes;
    pn_buf *out;
    pn_buf text; /* what a content says */
} writer;

static int32_t member_of(const writer *w, int32_t node, const char *name) {
    return pn_json_member(w->json, node, name);
}

/* Appends what a content says to w->text, parts on lines of their own. */
static bool add_content(writer *w, int32_t content) {
    const pn_json *json = w->json;
    if (content < 0) return true;
    if (pn_json_kind_of(json, content) == PN_JSON_STRING)
        return pn_json_append_text(json, content, &w->text);
    if (pn_json_kind_of(json, content) != PN_JSON_LIST) return true;
    bool ok = true, first = true;
    for (int32_t part = content + 1; part < json->nodes[content].next && ok;
         part = json->nodes[part].next) {
        const int32_t text = pn_json_member(json, part, "text");
        if (text < 0 || pn_json_kind_of(json, text) != PN_JSON_STRING) continue;
        ok = (first || pn_buf_append(&w->text, "\n", 1)) &&
             pn_json_append_text(json, text, &w->text);
        first = false;
    }
    return ok;
}

/* The JSON text of what the contents of messages[0..n) say together. */
static bool write_contents(writer *w, const int32_t *messages, int32_t n) {
    w->text.n = 0;
    bool ok = true;
    for (int32_t i = 0; i < n && ok; i++) {
        const size_t before = w->text.n;
        ok = (before == 0 || pn_buf_append(&w->text, "\n\n", 2)) &&
             add_content(w, member_of(w, messages[i], "content"));
        if (ok && before && w->text.n == before + 2) w->text.n = before; /* it says nothing */
    }
    return ok && pn_json_put(w->out, w->text.data ? w->text.data : "", w->text.n);
}

/* A string that holds JSON as that JSON; everything else, and what is none, as it stands. */
static bool write_decoded(writer *w, int32_t node) {
    pn_json inner;
    bool ok = true, written = false;
    pn_buf text = {0};
    if (pn_json_kind_of(w->json, node) == PN_JSON_STRING) {
        ok = pn_json_append_text(w->json, node, &text);
        if (ok && text.n == 0) {
            written = true;
            ok = pn_buf_put(w->out, "{}");
        } else if (ok) {
            const puna_status status = pn_json_parse(text.data, text.n, "", &inner, NULL);
            written = status == PUNA_OK && pn_json_kind_of(&inner, 0) == PN_JSON_OBJECT;
            ok = written ? pn_json_append_raw(&inner, 0, w->out) : status != PUNA_E_NOMEM;
            pn_json_free(&inner);
        }
    }
    pn_buf_free(&text);
    return ok && (written || pn_json_append_raw(w->json, node, w->out));
}

static bool write_arguments(writer *w, int32_t node) {
    if (w->fixes & PN_FIX_ARGUMENTS) return write_decoded(w, node);
    const pn_json_node *at = &w->json->nodes[node];
    if ((w->fixes & PN_FIX_ARGUMENTS_TEXT) && at->kind != PN_JSON_STRING)
        return pn_json_put(w->out, w->json->text + at->begin, (size_t)at->end - at->begin);
    return pn_json_append_raw(w->json, node, w->out);
}

/* An object whose member `name` is written by `write`; other members as they stand. */
static bool write_object(writer *w, int32_t object, const char *name,
                         bool (*write)(writer *, int32_t)) {
    const pn_json *json = w->json;
    if (pn_json_kind_of(json, object) != PN_JSON_OBJECT)
        return pn_json_append_raw(json, object, w->out);
    bool ok = pn_buf_put(w->out, "{");
    for (int32_t i = object + 1; i < json->nodes[object].next && ok; i = json->nodes[i + 1].next) {
        ok = (i == object + 1 || pn_buf_put(w->out, ", ")) && pn_json_append_raw(json, i, w->out) &&
             pn_buf_put(w->out, ": ");
        if (ok)
            ok = pn_json_equals(json, i, name) ? write(w, i + 1)
                                               : pn_json_append_raw(json, i + 1, w->out);
    }
    return ok && pn_buf_put(w->out, "}");
}

static bool write_function(writer *w, int32_t node) {
    return write_object(w, node, "arguments", write_arguments);
}

static bool write_call(writer *w, int32_t call) {
    return member_of(w, call, "function") >= 0 ? write_object(w, call, "function", write_function)
                                               : write_function(w, call);
}

static bool write_calls(writer *w, int32_t calls) {
    const pn_json *json = w->json;
    if (pn_json_kind_of(json, calls) != PN_JSON_LIST)
        return pn_json_append_raw(json, calls, w->out);
    bool ok = pn_buf_put(w->out, "[");
    for (int32_t call = calls + 1; call < json->nodes[calls].next && ok;
         call = json->nodes[call].next)
        ok = (call == calls + 1 || pn_buf_put(w->out, ", ")) && write_call(w, call);
    return ok && pn_buf_put(w->out, "]");
}

static bool is_system(const writer *w, int32_t message) {
    const int32_t role = member_of(w, message, "role");
    return pn_json_equals(w->json, role, "system") || pn_json_equals(w->json, role, "developer");
}

static bool write_role(const writer *w, int32_t message, int32_t role) {
    if (is_system(w, message)) {
        if (w->fixes & PN_FIX_SYSTEM) return pn_buf_put(w->out, "\"user\"");
        if (w->fixes & PN_FIX_DEVELOPER) return pn_buf_put(w->out, "\"system\"");
    }
    return pn_json_append_raw(w->json, role, w->out);
}

static bool needs_content(const writer *w, int32_t content, int32_t n) {
    if (n > 1) return true;
    const pn_json_kind kind = content < 0 ? PN_JSON_NULL : pn_json_kind_of(w->json, content);
    return (kind == PN_JSON_NULL && (w->fixes & PN_FIX_CONTENT)) ||
           (kind == PN_JSON_LIST && (w->fixes & PN_FIX_PARTS));
}

/* messages[0..n) as one: the last one with the contents of all. */
static bool write_message(writer *w, const int32_t *messages, int32_t n) {
    const pn_json *json = w->json;
    const int32_t message = messages[n - 1];
    const int32_t content = member_of(w, message, "content"), role = member_of(w, message, "role");
    const bool new_content = needs_content(w, content, n);
    bool ok = pn_buf_put(w->out, "{");
    for (int32_t i = message + 1; i < json->nodes[message].next && ok;
         i = json->nodes[i + 1].next) {
        ok = (i == message + 1 || pn_buf_put(w->out, ", ")) &&
             pn_json_append_raw(json, i, w->out) && pn_buf_put(w->out, ": ");
        if (!ok) break;
        if (i + 1 == content && new_content)
            ok = write_contents(w, messages, n);
        else if (i + 1 == role)
            ok = write_role(w, message, role);
        else if (pn_json_equals(json, i, "tool_calls"))
            ok = write_calls(w, i + 1);
        else
            ok = pn_json_append_raw(json, i + 1, w->out);
    }
    if (ok && content < 0 && new_content)
        ok = pn_buf_put(w->out, ", \"content\": ") && write_contents(w, messages, n);
    return ok && pn_buf_put(w->out, "}");
}

static bool goes_with_next(const writer *w, int32_t message, int32_t next) {
    if ((w->fixes & PN_FIX_SYSTEM) && is_system(w, message))
        return is_system(w, next) || pn_json_equals(w->json, member_of(w, next, "role"), "user");
    return (w->fixes & PN_FIX_TURNS) && is_one_turn(w->json, message, next);
}

puna_status pn_messages_write(const pn_messages *messages, unsigned fixes, pn_buf *out,
                              int32_t *origins, int32_t *n_out, puna_error *err) {
    writer w = {.json = &messages->json, .fixes = fixes, .out = out};
    bool ok = pn_buf_put(out, "[");
    *n_out = 0;
    for (int32_t i = 0, end; i < messages->n && ok; i = end) {
        for (end = i + 1; end < messages->n; end++)
            if (!goes_with_next(&w, messages->nodes[end - 1], messages->nodes[end])) break;
        ok = (i == 0 || pn_buf_put(out, ", ")) && write_message(&w, messages->nodes + i, end - i);
        origins[(*n_out)++] = end - 1;
    }
    ok = ok && pn_buf_put(out, "]");
    pn_buf_free(&w.text);
    return ok ? PUNA_OK : pn_fail_nomem(err, out->n, "messages");
}

/* ---- what a rendering shows ------------------------------------------------------------------ */

/* A rendering and which message is which. */
typedef struct shown {
    const pn_messages *messages;
    const pn_tmpl_output *out;
    const int32_t *origins;
    int32_t n_origins;
} shown;

static bool contains(const shown *s, int32_t message, const char *part, size_t n) {
    for (size_t i = 0; i < s->out->n_spans; i++) {
        const pn_tmpl_span *span = &s->out->spans[i];
        if (span->message < 0 || span->message >= s->n_origins ||
            s->origins[span->message] != message)
            continue;
        const char *at = s->out->text + span->begin, *const end = s->out->text + span->end;
        while (at && (size_t)(end - at) >= n) {
            at = memchr(at, part[0], (size_t)(end - at) - n + 1);
            if (at && memcmp(at, part, n) == 0) return true;
            if (at) at++;
        }
    }
    return false;
}

/* A list of parts as Python prints it. */
static bool shows_parts(const shown *s, int32_t i) {
    const pn_json *json = &s->messages->json;
    const int32_t content = pn_json_member(json, s->messages->nodes[i], "content");
    return content >= 0 && pn_json_kind_of(json, content) == PN_JSON_LIST &&
           (contains(s, i, "{'type': '", 10) || contains(s, i, "{'text': ", 9));
}

/* JSON in a string, as a JSON string once more. False when memory runs out. */
static bool shows_quoted(const shown *s, int32_t i, bool *found) {
    const pn_json *json = &s->messages->json;
    const int32_t calls = pn_json_member(json, s->messages->nodes[i], "tool_calls");
    if (calls < 0 || pn_json_kind_of(json, calls) != PN_JSON_LIST) return true;
    pn_buf text = {0}, quoted = {0};
    bool ok = true;
    for (int32_t call = calls + 1; call < json->nodes[calls].next && ok && !*found;
         call = json->nodes[call].next) {
        const int32_t arguments = call_arguments(json, call);
        if (arguments < 0 || pn_json_kind_of(json, arguments) != PN_JSON_STRING) continue;
        text.n = quoted.n = 0;
        ok = pn_json_append_text(json, arguments, &text) && pn_json_put(&quoted, text.data, text.n);
        *found = ok && text.n > 2 && contains(s, i, quoted.data, quoted.n);
    }
    pn_buf_free(&text);
    pn_buf_free(&quoted);
    return ok;
}

puna_status pn_messages_misread(const pn_messages *messages, const pn_tmpl_output *out,
                                const int32_t *origins, int32_t n_origins, unsigned *fixes,
                                puna_error *err) {
    const shown s = {messages, out, origins, n_origins};
    *fixes = 0;
    for (int32_t i = 0; i < messages->n; i++) {
        bool quoted = (*fixes & PN_FIX_ARGUMENTS) != 0;
        if (!quoted && !shows_quoted(&s, i, &quoted))
            return pn_fail_nomem(err, out->n_bytes, "messages");
        if (quoted) *fixes |= PN_FIX_ARGUMENTS;
        if (!(*fixes & PN_FIX_PARTS) && shows_parts(&s, i)) *fixes |= PN_FIX_PARTS;
    }
    return PUNA_OK;
}
