/* call_scan.c: reading an answer that a grammar holds to the form of a call (call_form.h): the words are known, so the
 * arguments are handed on while they are still being written. */
#include "call_form.h"

#include <stdlib.h>
#include <string.h>

#include "chat_turn.h"

/* Bytes of the JSON object at s [n], or what there is of it; *complete: its end has come. */
static size_t object_bytes(const char *s, size_t n, bool *complete) {
    size_t depth = 0;
    bool in_string = false;
    *complete = false;
    for (size_t i = 0; i < n; i++) {
        if (in_string) {
            if (s[i] == '\\')
                i++;
            else if (s[i] == '"')
                in_string = false;
        } else if (s[i] == '"') {
            in_string = true;
        } else if (s[i] == '{' || s[i] == '[') {
            depth++;
        } else if ((s[i] == '}' || s[i] == ']') && --depth == 0) {
            *complete = true;
            return i + 1;
        }
    }
    return n;
}

static bool take(const char **s, size_t *n, const pn_text *words) {
    if (*n < words->n || memcmp(*s, pn_text_get(words), words->n) != 0) return false;
    *s += words->n;
    *n -= words->n;
    return true;
}

/* The tool whose name stands at s, or NULL while that is not decided. */
static const char *take_name(const char **s, size_t *n, const json_t *tools,
                             const pn_text *between) {
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *function = json_object_get(json_array_get(tools, i), "function");
        const char *name = json_string_value(json_object_get(function, "name"));
        const size_t n_name = strlen(name);
        const char *rest = *s + n_name;
        size_t n_rest = *n - n_name;
        if (*n < n_name || memcmp(*s, name, n_name) != 0 || !take(&rest, &n_rest, between))
            continue;
        *s = rest;
        *n = n_rest;
        return name;
    }
    return NULL;
}

bool pn_call_scan(const pn_call_form *form, const json_t *tools, const char *s, size_t n,
                  pn_message *m) {
    const pn_text *words = &form->before;
    while (take(&s, &n, words)) {
        const char *name = take_name(&s, &n, tools, &form->between);
        if (!name) break;
        bool complete = false;
        const size_t n_arguments = object_bytes(s, n, &complete);
        struct pn_message_call *calls =
            realloc(m->calls, (size_t)(m->n_calls + 1) * sizeof *m->calls);
        if (!calls) return false;
        m->calls = calls;
        struct pn_message_call *call = &calls[m->n_calls++];
        memset(call, 0, sizeof *call);
        pn_text_put(&call->name, name);
        pn_text_append(&call->arguments, s, n_arguments);
        call->is_complete = complete;
        if (call->name.failed || call->arguments.failed) return false;
        if (!complete || form->join.n == 0) break;
        s += n_arguments;
        n -= n_arguments;
        words = &form->join;
    }
    return true;
}
