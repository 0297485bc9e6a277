/* jinja_globals.c: the global functions of a template: range, dict, namespace, cycler, joiner, raise_exception,
 * strftime_now; and the methods of a cycler. */
#include "tmpl/jinja_render.h"

#include <string.h>

#define MAX_RANGE 100000 /* as the sandbox has it */

static bool global_range(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    int64_t part[3] = {0, 0, 1};
    (void)slots;
    if (args->n_kw) return pn_r_fail(r, "range() takes no keyword arguments");
    if (!args->n_pos) return pn_r_fail(r, "range expected at least 1 argument, got 0");
    if (args->n_pos > 3)
        return pn_r_fail(r, "range expected at most 3 arguments, got %zu", args->n_pos);
    for (size_t i = 0; i < args->n_pos; i++)
        if (!pn_arg_int(r, &args->pos[i], "range()", &part[args->n_pos == 1 ? 1 : i])) return false;
    if (part[2] == 0) return pn_r_fail(r, "range() arg 3 must not be zero");
    const bool back = part[2] < 0;
    const int64_t low = back ? part[1] : part[0], high = back ? part[0] : part[1];
    const uint64_t distance = high > low ? (uint64_t)high - (uint64_t)low : 0;
    const uint64_t size = back ? 0 - (uint64_t)part[2] : (uint64_t)part[2];
    const uint64_t n = distance ? (distance - 1) / size + 1 : 0;
    if (n > MAX_RANGE)
        return pn_r_limit(r, "Range too big. The sandbox blocks ranges larger than %d.", MAX_RANGE);
    pn_range *range = pn_r_alloc(r, sizeof *range);
    if (!range) return false;
    *range = (pn_range){part[0], part[1], part[2], (int64_t)n};
    *out = (pn_value){.kind = PN_V_RANGE, .range = range};
    return true;
}

/* dict(mapping or pairs, **more), also what namespace() begins with */
static bool fill_dict(pn_render *r, const pn_args *args, pn_value *out) {
    if (args->n_pos > 1)
        return pn_r_fail(r, "dict expected at most 1 argument, got %zu", args->n_pos);
    if (!pn_dict_new(r, out)) return false;
    if (args->n_pos && args->pos[0].kind == PN_V_DICT) {
        const pn_dict *from = args->pos[0].dict;
        for (size_t i = 0; i < from->n; i++)
            if (!pn_dict_set(r, out->dict, from->entries[i].key, from->entries[i].value))
                return false;
    } else if (args->n_pos) {
        pn_list *pairs, *pair;
        if (!pn_items_of(r, &args->pos[0], &pairs)) return false;
        for (size_t i = 0; i < pairs->n; i++) {
            if (!pn_items_of(r, &pairs->items[i], &pair)) return false;
            if (pair->n != 2)
                return pn_r_fail(
                    r, "dictionary update sequence element #%zu has length %zu; 2 is required", i,
                    pair->n);
            if (!pn_dict_set(r, out->dict, pair->items[0], pair->items[1])) return false;
        }
    }
    for (size_t i = 0; i < args->n_kw; i++)
        if (!pn_dict_set(r, out->dict, args->kw[2 * i], args->kw[2 * i + 1])) return false;
    return pn_r_charge(r, out->dict->n);
}

static bool global_dict(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    (void)slots;
    return fill_dict(r, args, out);
}

static bool global_namespace(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    (void)slots;
    if (!fill_dict(r, args, out)) return false;
    out->kind = PN_V_NAMESPACE;
    return true;
}

static bool global_cycler(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    (void)slots;
    if (!args->n_pos) return pn_r_fail(r, "at least one item has to be provided");
    if (!pn_list_new(r, PN_V_CYCLER, NULL, out)) return false;
    for (size_t i = 0; i < args->n_pos; i++)
        if (!pn_list_add(r, out->list, args->pos[i])) return false;
    return true;
}

static bool global_joiner(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    pn_value between = slots[0];
    (void)args;
    if (!between.kind && !pn_text_value(r, ", ", 2, 0, &between)) return false;
    return pn_list_new(r, PN_V_JOINER, NULL, out) && pn_list_add(r, out->list, between);
}

static bool global_raise(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *text;
    (void)args;
    (void)out;
    if (!pn_to_text(r, &slots[0], &text)) return false;
    const char *message = pn_text_c(r, text);
    if (message) r->status = pn_fail(r->err, PUNA_E_ARG, "%s", message);
    return false;
}

static bool global_strftime(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    const pn_text *format = NULL;
    (void)args;
    return pn_arg_text(r, &slots[0], "strftime_now(): format", &format) &&
           pn_strftime(r, format, out);
}

const pn_builtin pn_globals[] = {
    {"range", NULL, 0, global_range},
    {"dict", NULL, 0, global_dict},
    {"namespace", NULL, 0, global_namespace},
    {"cycler", NULL, 0, global_cycler},
    {"joiner", "sep", 0, global_joiner},
    {"raise_exception", "message", 1, global_raise},
    {"strftime_now", "format", 1, global_strftime},
    {NULL, NULL, 0, NULL},
};

static bool cycler_next(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    pn_list *list = slots[0].list;
    (void)args;
    *out = list->items[list->pos];
    list->pos = (list->pos + 1) % list->n;
    return !r->status;
}

static bool cycler_reset(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    (void)args;
    slots[0].list->pos = 0;
    *out = pn_none();
    return !r->status;
}

const pn_builtin pn_cycler_methods[] = {
    {"next", "", 0, cycler_next},
    {"reset", "", 0, cycler_reset},
    {NULL, NULL, 0, NULL},
};
