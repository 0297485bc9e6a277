/* schema.c: the conversion from end to end, and how its messages name the place. */
#include "grammar/schema.h"

#include "grammar/schema_emit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_PATH 120

void pn_build_at(pn_build *b, int32_t schema, pn_kw kw) {
    if (b->job.status) return;
    b->at_schema = schema;
    b->at_kw = kw;
}

bool pn_build_fail(pn_build *b, int32_t schema, pn_kw kw, puna_status status, const char *format,
                   ...) {
    char text[PUNA_ERROR_BYTES];
    if (b->job.status) return false;
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    pn_build_at(b, schema, kw);
    return pn_job_fail(&b->job, status, "%s", text);
}

/* ---- paths ----------------------------------------------------------------------------------- */

bool pn_build_put(pn_build *b, pn_buf *out, const char *text, size_t n) {
    if (pn_buf_append(out, text, n)) return true;
    if (!b->job.status) b->job.status = pn_fail_nomem(b->job.err, n, "the report of a JSON schema");
    return false;
}

/* A name as a token of a JSON pointer, without what could act on a terminal or begin a line. */
static bool put_token(pn_build *b, pn_buf *out, pn_json_text name) {
    if (!pn_build_put(b, out, "/", 1)) return false;
    for (size_t i = 0; i < name.n; i++) {
        const unsigned char c = (unsigned char)name.data[i];
        char hex[5];
        bool done;
        if (c == '~' || c == '/')
            done = pn_build_put(b, out, c == '~' ? "~0" : "~1", 2);
        else if (c >= 0x20 && c != 0x7f)
            done = pn_build_put(b, out, name.data + i, 1);
        else
            done = pn_build_put(b, out, hex, (size_t)snprintf(hex, sizeof hex, "\\x%02x", c));
        if (!done) return false;
    }
    return true;
}

bool pn_build_put_step(pn_build *b, int32_t schema, pn_buf *out) {
    const pn_schema *s = &b->schemas[schema];
    char index[16];
    if (s->parent < 0)
        return pn_build_put(b, out, "#", 1) &&
               (s->pointer.n == 0 || pn_build_put(b, out, s->pointer.data, s->pointer.n));
    if (!put_token(b, out, pn_json_text_of(pn_kw_name(s->via)))) return false;
    if (s->index >= 0) {
        const int n = snprintf(index, sizeof index, "/%d", s->index);
        return pn_build_put(b, out, index, (size_t)n);
    }
    return !s->name || put_token(b, out, *s->name);
}

static bool put_path(pn_build *b, int32_t schema, pn_buf *out) {
    int32_t chain[PN_JSON_MAX_DEPTH + 1], n = 0;
    for (; schema >= 0; schema = b->schemas[schema].parent) chain[n++] = schema;
    while (n)
        if (!pn_build_put_step(b, chain[--n], out)) return false;
    return true;
}

/* The place of a schema, such as #/properties/a; cut at the left to MAX_PATH bytes. */
static bool put_short_path(pn_build *b, int32_t schema, pn_buf *out) {
    pn_buf path = {0};
    bool done = put_path(b, schema, &path);
    size_t from = 0;
    if (done && path.n > MAX_PATH) {
        from = path.n - MAX_PATH;
        while (from < path.n && path.data[from] != '/') from++;
        if (from == path.n) from = path.n - MAX_PATH;
        while (from < path.n && ((unsigned char)path.data[from] & 0xc0) == 0x80) from++;
        done = done && pn_buf_append(out, "#/...", 5);
    }
    done = done && pn_buf_append(out, path.data + from, path.n - from);
    pn_buf_free(&path);
    return done;
}

/* Puts the place before the message. */
static puna_status name_place(pn_build *b) {
    pn_buf prefix = {0};
    bool done = pn_buf_append(&prefix, "schema", 6);
    if (b->job.status == PUNA_E_NOMEM) return b->job.status;
    if (b->at_schema >= 0 && b->at_schema < b->n_schemas)
        done = done && pn_buf_append(&prefix, ": ", 2) &&
               put_short_path(b, b->at_schema, &prefix) &&
               (!b->at_kw || pn_buf_printf(&prefix, ": %s", pn_kw_name(b->at_kw)));
    const puna_status status = b->job.status;
    if (done) pn_fail_in(b->job.err, status, prefix.data);
    pn_buf_free(&prefix);
    return status;
}

/* ---- the conversion -------------------------------------------------------------------------- */

static bool prepare(pn_build *b) {
    b->rules.job = &b->job;
    pn_build_at(b, -1, PN_KW_NONE);
    if (pn_rules_new(&b->rules, "root", 4) < 0 || !pn_schema_read_all(b) || !pn_builtins_make(b))
        return false;
    b->any_conj = pn_conj_of(b, NULL, 0);
    b->any = b->any_conj ? pn_conj_shapes(b, b->any_conj) : NULL;
    return b->any != NULL;
}

/* A rule that matches nothing and is part of e, not visited yet; -1: none. */
static int32_t find_unproductive(const pn_rules *rules, const pn_expr *e) {
    int32_t found = -1;
    if (e->op == PN_EXPR_RULE)
        return rules->list[e->n].productive || rules->list[e->n].written ? -1 : e->n;
    if (e->op == PN_EXPR_REPEAT) return e->min ? find_unproductive(rules, e->kid) : -1;
    if (e->op != PN_EXPR_SEQ && e->op != PN_EXPR_ALT) return -1;
    for (int32_t i = 0; i < e->n && found < 0; i++) found = find_unproductive(rules, e->kids[i]);
    return found;
}

/* Names the schema that is to blame: the root, or, further down, what an object or array cannot do
 * without. */
static bool nothing_satisfies(pn_build *b) {
    int32_t *schemas = pn_job_alloc(&b->job, (size_t)b->rules.n, sizeof *schemas);
    if (!schemas) return false;
    for (int32_t i = 0; i < b->n_queue; i++) {
        const pn_conj *conj = b->conjs[b->queue[i]];
        schemas[conj->rule] = conj->elements[0] / 2 + 1;
    }
    int32_t blame = b->doc.root.schema;
    for (int32_t rule = 0; rule >= 0;
         rule = find_unproductive(&b->rules, b->rules.list[rule].body)) {
        b->rules.list[rule].written = true;
        if (schemas[rule]) blame = schemas[rule] - 1;
    }
    return pn_build_fail(b, blame, PN_KW_NONE, PUNA_E_FORMAT, "no value satisfies this schema");
}

/* The rule of the whole schema is rule 0, root. */
static bool emit_root(pn_build *b) {
    pn_elements root = {0};
    if (!pn_elements_add(b, &root, b->doc.root.schema, false)) return false;
    const pn_conj *conj = pn_elements_conj(b, &root);
    if (!conj) return false;
    b->rules.list[0].body = b->builtins->value;
    return conj->n == 0 || pn_emit_as(b, conj, 0);
}

static bool convert(pn_build *b, pn_buf *gbnf) {
    if (!prepare(b) || !emit_root(b) || !pn_emit_all(b) || !pn_rules_check(&b->rules)) return false;
    if (!b->rules.list[0].productive) return nothing_satisfies(b);
    pn_build_at(b, -1, PN_KW_NONE);
    return pn_rules_write(&b->rules, 0, gbnf);
}

puna_status pn_schema_to_gbnf(const char *schema, size_t n, pn_buf *gbnf, pn_buf *report,
                              puna_error *err) {
    const size_t gbnf_before = gbnf->n, report_before = report ? report->n : 0;
    pn_build b = {.job = {.err = err}, .report = report, .report_begin = report_before};
    puna_status status = pn_json_open(&b.doc, schema, n, err);
    if (!status && !convert(&b, gbnf)) {
        status = name_place(&b);
        gbnf->n = gbnf_before;
        if (report) report->n = report_before;
    }
    pn_strmap_free(&b.patterns);
    pn_buf_free(&b.path);
    pn_free(b.schemas);
    pn_arena_free(&b.job.arena);
    pn_json_close(&b.doc);
    return status;
}
