/* jinja_render.c: parse and render: the public functions, the bounds of a rendering, and its result. */
#include "tmpl/jinja_render.h"
#include "tmpl/tmpl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- parsing ------------------------------------------------------------------------------------------ */

puna_status pn_tmpl_parse(const char *text, size_t n, pn_tmpl **out, puna_error *err) {
    *out = NULL;
    pn_tmpl *tmpl = pn_calloc(1, sizeof *tmpl);
    if (!tmpl) return pn_fail_nomem(err, sizeof *tmpl, "a template");
    pn_tokens tokens = {0};
    puna_status status = pn_tmpl_lex(text, n, &tmpl->arena, &tokens, err);
    if (!status) status = pn_tmpl_parse_tokens(tmpl, &tokens, err);
    pn_free(tokens.list);
    if (status)
        pn_tmpl_free(tmpl);
    else
        *out = tmpl;
    return status;
}

void pn_tmpl_free(pn_tmpl *tmpl) {
    if (!tmpl) return;
    pn_strmap_free(&tmpl->name_map);
    pn_free(tmpl->names);
    pn_arena_free(&tmpl->arena);
    pn_free(tmpl);
}

/* ---- bounds ------------------------------------------------------------------------------------------- */

static bool fail_at_line(pn_render *r, puna_status code, const char *text) {
    if (r->status) return false;
    r->status = pn_fail(r->err, code, "template line %d: %s", r->line, text);
    return false;
}

bool pn_r_fail(pn_render *r, const char *format, ...) {
    char text[PUNA_ERROR_BYTES];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return fail_at_line(r, PUNA_E_FORMAT, text);
}

bool pn_r_limit(pn_render *r, const char *format, ...) {
    char text[PUNA_ERROR_BYTES];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return fail_at_line(r, PUNA_E_LIMIT, text);
}

bool pn_r_charge(pn_render *r, size_t steps) {
    if (r->status) return false;
    r->steps += steps;
    if (r->steps <= r->max_steps) return true;
    return pn_r_limit(r, "the template exceeds %llu steps", (unsigned long long)r->max_steps);
}

void *pn_r_alloc(pn_render *r, size_t bytes) {
    if (r->status) return NULL;
    if (bytes > r->max_bytes || r->used_bytes + bytes + 16 > r->max_bytes) {
        pn_r_limit(r, "the template needs more than %zu bytes of memory", r->max_bytes);
        return NULL;
    }
    void *p = pn_arena_alloc(&r->arena, bytes);
    if (!p) {
        r->status = pn_fail_nomem(r->err, bytes, "rendering a template");
        return NULL;
    }
    r->used_bytes += bytes + 16;
    return p;
}

void *pn_r_array(pn_render *r, size_t n, size_t size) {
    size_t bytes;
    if (!pn_mul_size(n, size, &bytes)) {
        pn_r_limit(r, "the template needs more than %zu bytes of memory", r->max_bytes);
        return NULL;
    }
    return pn_r_alloc(r, bytes);
}

/* ---- variables ---------------------------------------------------------------------------------------- */

static bool is_trusted(const pn_tmpl_options *options, const char *name, size_t n) {
    static const char *const usual[] = {"bos_token", "eos_token", "unk_token", "pad_token", NULL};
    const char *const *list = options->trusted ? options->trusted : usual;
    for (; *list; list++)
        if (strlen(*list) == n && memcmp(*list, name, n) == 0) return true;
    return false;
}

void pn_r_begin_variable(pn_render *r, const char *name, size_t n) {
    r->data_origin = is_trusted(r->options, name, n) ? PN_FROM_TEMPLATE : PN_FROM_DATA;
    r->in_messages = n == 8 && memcmp(name, "messages", 8) == 0 && r->data_origin;
}

/* Variables that the template does not name are not even read. */
static bool read_variables(pn_render *r, const json_t *vars) {
    const char *name;
    size_t name_bytes;
    json_t *value;
    json_object_keylen_foreach((json_t *)(uintptr_t)vars, name, name_bytes, value) {
        const int32_t id = pn_strmap_get(&r->tmpl->name_map, name, name_bytes);
        if (id < 0) continue;
        pn_r_begin_variable(r, name, name_bytes);
        if (!pn_read_json(r, value, 0, &r->globals[id])) return false;
    }
    return true;
}

static bool read_text_variables(pn_render *r) {
    const pn_tmpl_options *o = r->options;
    pn_value all;
    if (!o->vars_text) return true;
    if (!pn_read_json_text(r, o->vars_text, o->vars_text_bytes, &all)) return false;
    if (all.kind != PN_V_DICT) return pn_r_fail(r, "the variables are no JSON object");
    for (size_t i = 0; i < all.dict->n; i++) {
        const pn_text *name = all.dict->entries[i].key.text;
        const int32_t id = pn_strmap_get(&r->tmpl->name_map, name->data, name->n);
        if (id >= 0) r->globals[id] = all.dict->entries[i].value;
    }
    return true;
}

static bool add_builtins(pn_render *r) {
    for (const pn_builtin *f = pn_globals; f->name; f++) {
        const int32_t id = pn_strmap_get(&r->tmpl->name_map, f->name, strlen(f->name));
        if (id >= 0 && r->globals[id].kind == PN_V_UNSET)
            r->globals[id] = (pn_value){.kind = PN_V_FUNCTION, .builtin = f};
    }
    return true;
}

/* ---- the result --------------------------------------------------------------------------------------- */

static puna_status take_output(pn_render *r, const pn_builder *b, pn_tmpl_output *out) {
    out->text = pn_alloc(b->n + 1);
    out->spans = pn_calloc(b->n_spans ? b->n_spans : 1, sizeof *out->spans);
    if (!out->text || !out->spans) {
        pn_tmpl_output_free(out);
        return pn_fail_nomem(r->err, b->n, "a rendered template");
    }
    if (b->n) memcpy(out->text, b->data, b->n);
    out->text[b->n] = 0;
    out->n_bytes = b->n;
    size_t begin = 0;
    for (size_t i = 0; i < b->n_spans; i++) {
        const int32_t origin = b->spans[i].origin;
        out->spans[out->n_spans++] = (pn_tmpl_span){
            .begin = begin,
            .end = b->spans[i].end,
            .origin = origin == PN_FROM_TEMPLATE ? PN_TMPL_TEMPLATE : PN_TMPL_DATA,
            .message = origin >= PN_FROM_MESSAGES ? origin - PN_FROM_MESSAGES : -1,
        };
        begin = b->spans[i].end;
    }
    return PUNA_OK;
}

void pn_tmpl_output_free(pn_tmpl_output *out) {
    if (!out) return;
    pn_free(out->text);
    pn_free(out->spans);
    *out = (pn_tmpl_output){0};
}

static void set_bounds(pn_render *r, const pn_tmpl_options *o) {
    r->max_steps = o->max_steps ? o->max_steps : 10000000;
    r->max_output_bytes = o->max_output_bytes ? o->max_output_bytes : (size_t)64 << 20;
    r->max_bytes = o->max_memory_bytes ? o->max_memory_bytes : (size_t)160 << 20;
    r->max_calls = o->max_depth > 0 ? o->max_depth : 200;
    r->now = o->now;
}

puna_status pn_tmpl_render(const pn_tmpl *tmpl, const json_t *vars, const pn_tmpl_options *options,
                           pn_tmpl_output *out, puna_error *err) {
    static const pn_tmpl_options defaults = {0};
    if (!options) options = &defaults;
    *out = (pn_tmpl_output){0};
    pn_render r = {.tmpl = tmpl, .options = options, .err = err, .line = 1};
    set_bounds(&r, options);
    pn_builder b = pn_builder_new(&r);
    b.max = r.max_output_bytes;
    r.out = &b;
    r.globals = pn_r_array(&r, (size_t)tmpl->n_names, sizeof *r.globals);
    if (r.globals) {
        memset(r.globals, 0, (size_t)tmpl->n_names * sizeof *r.globals);
        (void)(read_variables(&r, vars) && read_text_variables(&r) && add_builtins(&r) &&
               pn_exec_template(&r));
    }
    const puna_status status = r.status ? r.status : take_output(&r, &b, out);
    pn_arena_free(&r.arena);
    return status;
}
