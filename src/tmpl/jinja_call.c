/* jinja_call.c: calling what is built in: arguments bound to parameters, filters and tests by name. */
#include "tmpl/jinja_render.h"

#include <string.h>

const pn_builtin *pn_find_builtin(const pn_builtin *list, const char *name, size_t n) {
    for (; list->name; list++)
        if (strlen(list->name) == n && memcmp(list->name, name, n) == 0) return list;
    return NULL;
}

/* Number of `name` in "a,b,c", or -1. */
static int param_index(const char *params, const pn_text *name) {
    for (int i = 0; *params; i++) {
        const char *comma = strchr(params, ',');
        const size_t n = comma ? (size_t)(comma - params) : strlen(params);
        if (n == name->n && memcmp(params, name->data, n) == 0) return i;
        params += n + (comma != NULL);
    }
    return -1;
}

static int count_params(const char *params) {
    int n = *params != 0;
    for (; *params; params++) n += *params == ',';
    return n;
}

static bool bind(pn_render *r, const pn_builtin *f, const pn_args *args, pn_value *slots,
                 int first) {
    const int n = count_params(f->params);
    if (args->n_pos > (size_t)n)
        return pn_r_fail(r, "%s() takes at most %d arguments (%zu given)", f->name, n, args->n_pos);
    for (size_t i = 0; i < args->n_pos; i++) slots[(size_t)first + i] = args->pos[i];
    for (size_t i = 0; i < args->n_kw; i++) {
        const pn_text *name = args->kw[2 * i].text;
        char shown[PN_ESCAPED_BYTES];
        const int at = param_index(f->params, name);
        pn_escape(shown, name->data, name->n);
        if (at < 0)
            return pn_r_fail(r, "%s() got an unexpected keyword argument '%s'", f->name, shown);
        if (slots[first + at].kind)
            return pn_r_fail(r, "%s() got multiple values for argument '%s'", f->name, shown);
        slots[first + at] = args->kw[2 * i + 1];
    }
    for (int i = 0; i < f->n_required; i++)
        if (!slots[first + i].kind)
            return pn_r_fail(r, "%s() misses a required argument (%d of '%s')", f->name, i + 1,
                             f->params);
    return true;
}

bool pn_call_builtin(pn_render *r, const pn_builtin *f, const pn_value *self, const pn_args *args,
                     pn_value *out) {
    pn_value slots[PN_MAX_PARAMS + 1] = {0};
    if (self) slots[0] = *self;
    if (!pn_r_charge(r, 1)) return false;
    if (f->params && !bind(r, f, args, slots, self != NULL)) return false;
    return f->fn(r, slots, args, out);
}

bool pn_call(pn_render *r, const pn_value *callee, const pn_args *args, pn_value *out) {
    switch ((pn_kind)callee->kind) {
    case PN_V_UNDEFINED: return pn_undefined_fail(r, callee);
    case PN_V_MACRO: return pn_call_macro(r, callee->macro, args, out);
    case PN_V_LOOP: return pn_call_loop(r, callee->loop, args, out);
    case PN_V_FUNCTION: return pn_call_builtin(r, callee->builtin, NULL, args, out);
    case PN_V_METHOD:
        return pn_call_builtin(r, callee->method->builtin, &callee->method->self, args, out);
    case PN_V_JOINER: {
        const bool used = callee->list->pos > 0;
        callee->list->pos = 1;
        if (used)
            *out = callee->list->items[0];
        else
            return pn_text_value(r, "", 0, 0, out);
        return true;
    }
    default: return pn_r_fail(r, "'%s' object is not callable", pn_type_name(callee));
    }
}

bool pn_call_filter(pn_render *r, const pn_text *name, const pn_value *v, const pn_args *args,
                    pn_value *out) {
    const pn_builtin *f = pn_find_builtin(pn_filters_text, name->data, name->n);
    if (!f) f = pn_find_builtin(pn_filters_list, name->data, name->n);
    if (f) return pn_call_builtin(r, f, v, args, out);
    char shown[PN_ESCAPED_BYTES];
    return pn_r_fail(r, "No filter named '%s' found.", pn_escape(shown, name->data, name->n));
}

bool pn_call_test(pn_render *r, const pn_text *name, const pn_value *v, const pn_args *args,
                  bool *result) {
    const pn_builtin *f = pn_find_builtin(pn_tests, name->data, name->n);
    char shown[PN_ESCAPED_BYTES];
    pn_value out;
    if (!f) return pn_r_fail(r, "No test named '%s' found.", pn_escape(shown, name->data, name->n));
    if (!pn_call_builtin(r, f, v, args, &out)) return false;
    *result = pn_truth(&out);
    return true;
}

bool pn_arg_text(pn_render *r, const pn_value *v, const char *what, const pn_text **out) {
    if (v->kind == PN_V_UNSET) return true;
    if (v->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, v);
    if (v->kind != PN_V_STRING)
        return pn_r_fail(r, "%s must be str, not %s", what, pn_type_name(v));
    *out = v->text;
    return true;
}

bool pn_arg_int(pn_render *r, const pn_value *v, const char *what, int64_t *out) {
    if (v->kind == PN_V_UNSET) return true;
    if (v->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, v);
    if (v->kind == PN_V_BIG) return pn_r_fail(r, "%s: an integer too large", what);
    if (v->kind != PN_V_INT && v->kind != PN_V_BOOL)
        return pn_r_fail(r, "%s: '%s' object cannot be interpreted as an integer", what,
                         pn_type_name(v));
    *out = v->kind == PN_V_BOOL ? v->b : v->i;
    return true;
}

bool pn_arg_bool(pn_render *r, const pn_value *v, bool *out) {
    if (v->kind != PN_V_UNSET) *out = pn_truth(v);
    return !r->status;
}
