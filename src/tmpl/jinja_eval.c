/* jinja_eval.c: expressions to values. Recursion is bounded by the depth of the walk, time by the steps. */
#include "tmpl/jinja_frame.h"

#include <stdio.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------------------------------ */

static pn_binding *find_binding(pn_frame *frame, int32_t name) {
    for (int32_t i = 0; i < frame->n; i++)
        if (frame->list[i].name == name) return &frame->list[i];
    return NULL;
}

bool pn_lookup(pn_render *r, pn_frame *frame, int32_t name, pn_value *out) {
    for (pn_frame *f = frame; f; f = f->outer) {
        const pn_binding *b = f->by_name ? NULL : find_binding(f, name);
        if (!pn_r_charge(r, (size_t)f->n / 32)) return false;
        if (b || (f->by_name && f->by_name[name].kind)) {
            *out = b ? b->value : f->by_name[name];
            return true;
        }
    }
    if (r->globals[name].kind) {
        *out = r->globals[name];
        return true;
    }
    return pn_undefined_name(r, r->tmpl->names[name].text, r->tmpl->names[name].n, out);
}

bool pn_assign(pn_render *r, pn_frame *frame, int32_t name, const pn_value *v) {
    if (frame->by_name) {
        frame->by_name[name] = *v;
        return true;
    }
    pn_binding *b = find_binding(frame, name);
    if (b) {
        b->value = *v;
        return pn_r_charge(r, (size_t)frame->n / 32);
    }
    if (frame->n == frame->cap) {
        const int32_t cap = frame->cap ? frame->cap * 2 : 4;
        pn_binding *list = pn_r_array(r, (size_t)cap, sizeof *list);
        if (!list) return false;
        if (frame->n) memcpy(list, frame->list, (size_t)frame->n * sizeof *list);
        frame->list = list;
        frame->cap = cap;
    }
    frame->list[frame->n++] = (pn_binding){name, *v};
    return pn_r_charge(r, (size_t)frame->n / 32);
}

/* ---- collections and constants ------------------------------------------------------------------------------ */

static bool eval_constant(pn_render *r, const pn_node *node, pn_value *out) {
    const pn_text *text = node->value.text;
    bool ok = true;
    *out = node->value;
    if (node->op == PN_T_INTEGER)
        return pn_parse_int(r, text->data, text->n, 0, out, &ok) &&
               (ok || pn_r_fail(r, "malformed number"));
    if (node->op != PN_T_FLOAT) return true;
    double f = 0;
    ok = pn_parse_float(text->data, text->n, &f);
    *out = pn_float(f);
    return ok || pn_r_fail(r, "a number of too many digits");
}

static bool eval_items(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    if (!pn_list_new(r, node->kind == PN_N_LIST ? PN_V_LIST : PN_V_TUPLE, NULL, out)) return false;
    for (int32_t i = 0; i < node->n_items; i++) {
        pn_value item;
        if (!pn_eval(r, frame, node->items[i], &item) || !pn_list_add(r, out->list, item))
            return false;
    }
    return true;
}

static bool eval_dict(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    if (!pn_dict_new(r, out)) return false;
    for (int32_t i = 0; i + 1 < node->n_items; i += 2) {
        pn_value key, value;
        if (!pn_eval(r, frame, node->items[i], &key) ||
            !pn_eval(r, frame, node->items[i + 1], &value))
            return false;
        if (!pn_dict_set(r, out->dict, key, value)) return false;
    }
    return true;
}

static bool eval_item(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    pn_value object, key;
    if (!pn_eval(r, frame, node->a, &object)) return false;
    if (node->b->kind != PN_N_SLICE)
        return pn_eval(r, frame, node->b, &key) && pn_get_item(r, &object, &key, out);
    const pn_node *const parts[3] = {node->b->a, node->b->b, node->b->c};
    pn_value values[3] = {0};
    for (int i = 0; i < 3; i++)
        if (parts[i] && !pn_eval(r, frame, parts[i], &values[i])) return false;
    return pn_get_slice(r, &object, values, out);
}

/* ---- operators ---------------------------------------------------------------------------------------------- */

static bool compare_two(pn_render *r, uint8_t op, const pn_value *a, const pn_value *b,
                        bool *result) {
    int order;
    if (op == PN_T_EQ || op == PN_T_NE) {
        if (!pn_equal(r, a, b, result)) return false;
        *result = *result == (op == PN_T_EQ);
        return true;
    }
    if (op == PN_T_IN || op == PN_T_NOT_IN) {
        if (!pn_contains(r, b, a, result)) return false;
        *result = *result == (op == PN_T_IN);
        return true;
    }
    if (!pn_compare(r, a, b, pn_token_name((pn_token_kind)op), &order)) return false;
    switch (op) {
    case PN_T_LT: *result = order < 0; break;
    case PN_T_LE: *result = order <= 0; break;
    case PN_T_GT: *result = order == 1 || (order > 0 && order != 2); break;
    default: *result = order >= 0 && order != 2; break;
    }
    return true;
}

static bool eval_compare(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    pn_value left, right;
    bool result = true;
    if (!pn_eval(r, frame, node->a, &left)) return false;
    for (int32_t i = 0; result && i < node->n_items; i++) {
        if (!pn_eval(r, frame, node->items[i]->a, &right)) return false;
        if (!compare_two(r, node->items[i]->op, &left, &right, &result)) return false;
        left = right;
    }
    *out = pn_bool(result);
    return true;
}

/* a ~ b ~ c: the parts as text, Markup too: nothing is escaped here. */
static bool eval_concat(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    pn_value *parts = pn_r_array(r, (size_t)node->n_items, sizeof *parts);
    if (!parts) return false;
    for (int32_t i = 0; i < node->n_items; i++)
        if (!pn_eval(r, frame, node->items[i], &parts[i])) return false;
    pn_builder b = pn_builder_new(r);
    const bool resumed = parts[0].kind == PN_V_STRING;
    if (resumed && !pn_builder_resume(r, parts[0].text, &b)) return false;
    for (int32_t i = resumed; i < node->n_items; i++)
        if (!pn_print(&b, &parts[i])) return false;
    return pn_builder_text(&b, out);
}

static bool eval_binary(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    pn_value a, b;
    if (!pn_eval(r, frame, node->a, &a) || !pn_eval(r, frame, node->b, &b)) return false;
    r->line = node->line;
    return pn_binary(r, node->op, &a, &b, out);
}

static bool eval_sign(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    pn_value v;
    if (!pn_eval(r, frame, node->a, &v)) return false;
    if (node->kind == PN_N_NEG) return pn_negate(r, &v, out);
    if (v.kind == PN_V_UNDEFINED) return pn_undefined_fail(r, &v);
    if (!pn_is_number(&v))
        return pn_r_fail(r, "bad operand type for unary +: '%s'", pn_type_name(&v));
    *out = v;
    if (v.kind == PN_V_BOOL) *out = pn_int(v.b);
    return true;
}

static bool eval_if_else(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    pn_value test;
    if (!pn_eval(r, frame, node->a, &test)) return false;
    if (pn_truth(&test)) return pn_eval(r, frame, node->b, out);
    if (node->c) return pn_eval(r, frame, node->c, out);
    return pn_undefined_hint(
        r, "the inline if-expression evaluated to false and no else section was defined.", out);
}

/* ---- calls, filters, tests ------------------------------------------------------------------------------------ */

static bool add_star_args(pn_render *r, const pn_value *v, pn_value *list) {
    pn_list *items;
    if (!pn_items_of(r, v, &items)) return false;
    for (size_t i = 0; i < items->n; i++)
        if (!pn_list_add(r, list->list, items->items[i])) return false;
    return true;
}

static bool add_star_star_args(pn_render *r, const pn_value *v, pn_value *list) {
    if (v->kind != PN_V_DICT)
        return pn_r_fail(r, "argument after ** must be a mapping, not %s", pn_type_name(v));
    for (size_t i = 0; i < v->dict->n; i++) {
        const pn_entry *e = &v->dict->entries[i];
        if (e->key.kind != PN_V_STRING) return pn_r_fail(r, "keywords must be strings");
        if (!pn_list_add(r, list->list, e->key) || !pn_list_add(r, list->list, e->value))
            return false;
    }
    return true;
}

bool pn_eval_args(pn_render *r, pn_frame *frame, const pn_call_args *args, pn_args *out) {
    pn_value pos, kw, v;
    *out = (pn_args){0};
    if (!args || (!args->n_pos && !args->n_kw && !args->star && !args->star_star)) return true;
    if (!pn_list_new(r, PN_V_LIST, NULL, &pos) || !pn_list_new(r, PN_V_LIST, NULL, &kw))
        return false;
    for (int32_t i = 0; i < args->n_pos; i++)
        if (!pn_eval(r, frame, args->pos[i], &v) || !pn_list_add(r, pos.list, v)) return false;
    if (args->star && (!pn_eval(r, frame, args->star, &v) || !add_star_args(r, &v, &pos)))
        return false;
    for (int32_t i = 0; i < args->n_kw; i++) {
        if (!pn_list_add(r, kw.list, args->kw[2 * i]->value)) return false;
        if (!pn_eval(r, frame, args->kw[2 * i + 1], &v) || !pn_list_add(r, kw.list, v))
            return false;
    }
    if (args->star_star &&
        (!pn_eval(r, frame, args->star_star, &v) || !add_star_star_args(r, &v, &kw)))
        return false;
    *out = (pn_args){pos.list->items, pos.list->n, kw.list->items, kw.list->n / 2};
    return true;
}

static bool eval_call(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    pn_value callee;
    pn_args args;
    if (!pn_eval(r, frame, node->a, &callee) || !pn_eval_args(r, frame, node->args, &args))
        return false;
    r->line = node->line;
    return pn_call(r, &callee, &args, out);
}

static bool eval_filter(pn_render *r, pn_frame *frame, const pn_node *node, const pn_value *input,
                        pn_value *out) {
    pn_value v;
    pn_args args;
    if (node->a ? !pn_eval(r, frame, node->a, &v) : !input) return false;
    if (!node->a) v = *input;
    if (!pn_eval_args(r, frame, node->args, &args)) return false;
    r->line = node->line;
    return pn_call_filter(r, node->value.text, &v, &args, out);
}

/* The filters of a set or filter block around its text; the innermost has no operand of its own. */
bool pn_apply_filters(pn_render *r, pn_frame *frame, const pn_node *node, const pn_value *input,
                      pn_value *out) {
    pn_value inner = *input;
    if (!pn_r_charge(r, 1) || r->depth > PN_TMPL_MAX_WALK_DEPTH)
        return pn_r_limit(r, "walked deeper than %d", PN_TMPL_MAX_WALK_DEPTH);
    r->depth++;
    const bool ok = !node->a || pn_apply_filters(r, frame, node->a, input, &inner);
    r->depth--;
    pn_args args;
    if (!ok || !pn_eval_args(r, frame, node->args, &args)) return false;
    r->line = node->line;
    return pn_call_filter(r, node->value.text, &inner, &args, out);
}

static bool eval_test(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    pn_value v;
    pn_args args;
    bool result = false;
    if (!pn_eval(r, frame, node->a, &v) || !pn_eval_args(r, frame, node->args, &args)) return false;
    r->line = node->line;
    if (!pn_call_test(r, node->value.text, &v, &args, &result)) return false;
    *out = pn_bool(result);
    return true;
}

static bool eval_attr(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    pn_value object;
    const pn_value name = {.kind = PN_V_STRING, .text = node->value.text};
    if (!pn_eval(r, frame, node->a, &object)) return false;
    r->line = node->line;
    return pn_get_attr(r, &object, &name, out);
}

static bool eval_node(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    switch ((pn_node_kind)node->kind) {
    case PN_N_CONST: return eval_constant(r, node, out);
    case PN_N_NAME: return pn_lookup(r, frame, node->name, out);
    case PN_N_LIST:
    case PN_N_TUPLE: return eval_items(r, frame, node, out);
    case PN_N_DICT: return eval_dict(r, frame, node, out);
    case PN_N_ATTR: return eval_attr(r, frame, node, out);
    case PN_N_ITEM: return eval_item(r, frame, node, out);
    case PN_N_CALL: return eval_call(r, frame, node, out);
    case PN_N_FILTER: return eval_filter(r, frame, node, NULL, out);
    case PN_N_TEST: return eval_test(r, frame, node, out);
    case PN_N_NOT:
        if (!pn_eval(r, frame, node->a, out)) return false;
        *out = pn_bool(!pn_truth(out));
        return true;
    case PN_N_NEG:
    case PN_N_POS: return eval_sign(r, frame, node, out);
    case PN_N_AND:
    case PN_N_OR:
        if (!pn_eval(r, frame, node->a, out)) return false;
        return pn_truth(out) == (node->kind == PN_N_OR) || pn_eval(r, frame, node->b, out);
    case PN_N_IF_ELSE: return eval_if_else(r, frame, node, out);
    case PN_N_BINARY: return eval_binary(r, frame, node, out);
    case PN_N_CONCAT: return eval_concat(r, frame, node, out);
    case PN_N_COMPARE: return eval_compare(r, frame, node, out);
    default: return pn_r_fail(r, "not an expression here"); /* a slice among the parts of a tuple */
    }
}

bool pn_eval(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    if (!pn_r_charge(r, 1)) return false;
    if (r->depth >= PN_TMPL_MAX_WALK_DEPTH)
        return pn_r_limit(r, "calls and expressions nested deeper than %d", PN_TMPL_MAX_WALK_DEPTH);
    r->depth++;
    r->line = node->line;
    const bool ok = eval_node(r, frame, node, out);
    r->depth--;
    return ok;
}
