/* render_main.c: renders templates for tests: JSON lines in, JSON lines out.
 *
 * in:  {"template": TEXT, "vars": TEXT, ...}   vars: a JSON object as text, read by the engine's own reader
 *      "marker": true   U+FFFD in the template stands for the byte FF
 *      "json": true     vars go through the JSON library instead
 * out: {"text": TEXT, "ms": NUMBER, "spans": [[begin, end, data, message], ...]} or {"error": TEXT, "status": NUMBER}
 * The clock stands at 2024-07-04 09:05:03. */
#define _POSIX_C_SOURCE 200809L
#include "tmpl/tmpl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static size_t replace_marker(char *s, size_t n) {
    size_t o = 0;
    for (size_t i = 0; i < n; i++, o++) {
        const int marker = n - i >= 3 && memcmp(s + i, "\xef\xbf\xbd", 3) == 0;
        s[o] = marker ? (char)0xff : s[i];
        if (marker) i += 2;
    }
    return o;
}

static json_t *spans_of(const pn_tmpl_output *out) {
    json_t *list = json_array();
    for (size_t i = 0; i < out->n_spans; i++) {
        const pn_tmpl_span *s = &out->spans[i];
        json_array_append_new(list, json_pack("[I,I,i,i]", (json_int_t)s->begin, (json_int_t)s->end,
                                              (int)s->origin, (int)s->message));
    }
    return list;
}

static json_t *answer(const json_t *request) {
    const json_t *text = json_object_get(request, "template"),
                 *vars = json_object_get(request, "vars");
    const size_t n_vars = json_string_length(vars);
    size_t n = json_string_length(text);
    char *copy = malloc(n + 1);
    memcpy(copy, json_string_value(text), n);
    if (json_is_true(json_object_get(request, "marker"))) n = replace_marker(copy, n);
    const bool library = json_is_true(json_object_get(request, "json"));
    json_t *parsed =
        library ? json_loadb(json_string_value(vars), n_vars, JSON_ALLOW_NUL, NULL) : NULL;
    pn_tmpl_options options = {
        .now = {.tm_year = 124, .tm_mon = 6, .tm_mday = 4, .tm_hour = 9, .tm_min = 5, .tm_sec = 3}};
    if (!library) {
        options.vars_text = json_string_value(vars);
        options.vars_text_bytes = n_vars;
    }
    puna_error err = {0};
    pn_tmpl *tmpl = NULL;
    pn_tmpl_output out = {0};
    const double begin = now_ms();
    puna_status status = pn_tmpl_parse(copy, n, &tmpl, &err);
    if (!status) status = pn_tmpl_render(tmpl, parsed, &options, &out, &err);
    const double ms = now_ms() - begin;
    json_t *result;
    if (status)
        result = json_pack("{s:s,s:i,s:f}", "error", err.msg, "status", (int)status, "ms", ms);
    else
        result = json_pack("{s:s%,s:f,s:o}", "text", out.text, out.n_bytes, "ms", ms, "spans",
                           spans_of(&out));
    pn_tmpl_output_free(&out);
    pn_tmpl_free(tmpl);
    json_decref(parsed);
    free(copy);
    return result ? result
                  : json_pack("{s:s,s:i}", "error", "the output is no UTF-8", "status", -1);
}

int main(void) {
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        json_t *request = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        json_t *result =
            request ? answer(request) : json_pack("{s:s}", "error", "malformed request");
        (void)json_dumpf(result, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
        (void)fputc('\n', stdout);
        (void)fflush(stdout);
        json_decref(result);
        json_decref(request);
    }
    free(line);
    return 0;
}
