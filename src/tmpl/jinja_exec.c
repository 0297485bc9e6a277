/* jinja_exec.c: statements: printing, conditions, loops, macros, blocks whose text is caught.
 *
 * A statement prints into r->out; catching replaces that builder for a while. break and continue travel upwards as
 * the result of a body. */
#include "tmpl/jinja_frame.h"

#include <string.h>

typedef enum flow { FLOW_FAIL, FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } flow;

static flow exec(pn_render *r, pn_frame *frame, const pn_node *node);

static flow flow_of(bool ok) {
    return ok ? FLOW_ON : FLOW_FAIL;
}

static bool new_frame(pn_render *r, pn_frame *outer, pn_frame **out) {
    *out = pn_r_alloc(r, sizeof **out);
    if (*out) **out = (pn_frame){.outer = outer};
    return *out != NULL;
}

/* The text that body prints, in a frame of its own. */
static bool catch_text(pn_render *r, pn_frame *frame, const pn_node *body, pn_value *out) {
    pn_builder *const outer = r->out, b = pn_builder_new(r);
    pn_builder inner = b;
    r->out = &inner;
    const flow f = exec(r, frame, body);
    r->out = outer;
    return f != FLOW_FAIL && pn_builder_text(&inner, out);
}

const char *pn_macro_name(const pn_macro *m) {
    return m->name;
}

/* ---- assignment ------------------------------------------------------------------------------------------------ */

static bool assign_attribute(pn_render *r, pn_frame *frame, const pn_node *target,
                             const pn_value *v) {
    pn_value ns;
    const pn_value name = {.kind = PN_V_STRING, .text = target->value.text};
    if (!pn_lookup(r, frame, target->name, &ns)) return false;
    if (ns.kind != PN_V_NAMESPACE)
        return pn_r_fail(r, "cannot assign attribute on non-namespace object");
    return pn_dict_set(r, ns.dict, name, *v);
}

static bool assign(pn_render *r, pn_frame *frame, const pn_node *target, const pn_value *v) {
    pn_list *items;
    if (target->kind == PN_N_NAME) return pn_assign(r, frame, target->name, v);
    if (target->kind == PN_N_NS_TARGET) return assign_attribute(r, frame, target, v);
    if (v->kind != PN_V_UNDEFINED && v->kind != PN_V_STRING && v->kind != PN_V_DICT &&
        v->kind != PN_V_RANGE && !pn_is_list_like(v))
        return pn_r_fail(r, "cannot unpack non-iterable %s object", pn_type_name(v));
    if (!pn_items_of(r, v, &items)) return false;
    if (items->n > (size_t)target->n_items)
        return pn_r_fail(r, "too many values to unpack (expected %d)", target->n_items);
    if (items->n < (size_t)target->n_items)
        return pn_r_fail(r, "not enough values to unpack (expected %d, got %zu)", target->n_items,
                         items->n);
    for (int32_t i = 0; i < target->n_items; i++)
        if (!assign(r, frame, target->items[i], &items->items[i])) return false;
    return true;
}

static bool exec_set(pn_render *r, pn_frame *frame, const pn_node *node) {
    pn_value v;
    return pn_eval(r, frame, node->b, &v) && assign(r, frame, node->a, &v);
}

static bool exec_set_block(pn_render *r, pn_frame *frame, const pn_node *node) {
    pn_value text, v;
    pn_frame *inner;
    if (!new_frame(r, frame, &inner) || !catch_text(r, inner, node->d, &text)) return false;
    v = text;
    if (node->b && !pn_apply_filters(r, frame, node->b, &text, &v)) return false;
    return assign(r, frame, node->a, &v);
}

static bool exec_filter_block(pn_render *r, pn_frame *frame, const pn_node *node) {
    pn_value text, v;
    pn_frame *inner;
    if (!new_frame(r, frame, &inner) || !catch_text(r, inner, node->d, &text)) return false;
    return pn_apply_filters(r, frame, node->b, &text, &v) && pn_print(r->out, &v);
}

static flow exec_with(pn_render *r, pn_frame *frame, const pn_node *node) {
    pn_frame *inner;
    if (!new_frame(r, frame, &inner)) return FLOW_FAIL;
    for (int32_t i = 0; i + 1 < node->n_items; i += 2) {
        pn_value v;
        if (!pn_eval(r, frame, node->items[i + 1], &v) || !assign(r, inner, node->items[i], &v))
            return FLOW_FAIL;
    }
    return exec(r, inner, node->d);
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

/* The items of the loop, those that its test lets through. The loop looks ahead and back, so iterators are walked first. */
static bool collect_items(pn_render *r, pn_frame *frame, const pn_node *node, const pn_value *v,
                          pn_loop *loop) {
    pn_value list, item, test;
    pn_iter it;
    bool more;
    if (!node->c && (v->kind == PN_V_LIST || v->kind == PN_V_TUPLE || v->kind == PN_V_VIEW)) {
        loop->items = v->list;
        loop->n = v->list->n;
        return true;
    }
    if (!node->c && v->kind == PN_V_RANGE) {
        loop->range = v->range;
        loop->n = (size_t)v->range->n;
        return true;
    }
    if (!pn_list_new(r, PN_V_LIST, NULL, &list) || !pn_iter_open(r, v, &it)) return false;
    while (pn_iter_next(r, &it, &item, &more) && more) {
        bool keep = true;
        if (node->c) {
            pn_frame *inner;
            if (!new_frame(r, frame, &inner) || !assign(r, inner, node->a, &item)) return false;
            if (!pn_eval(r, inner, node->c, &test)) return false;
            keep = pn_truth(&test);
        }
        if (keep && !pn_list_add(r, list.list, item)) return false;
    }
    loop->items = list.list;
    loop->n = list.list->n;
    return !r->status;
}

static pn_value loop_item(const pn_loop *loop, size_t i) {
    if (!loop->range) return loop->items->items[i];
    return pn_int(loop->range->start + (int64_t)i * loop->range->step);
}

static int32_t loop_name(const pn_render *r) {
    return pn_strmap_get(&r->tmpl->name_map, "loop", 4);
}

static flow run_loop(pn_render *r, pn_loop *loop) {
    const pn_node *node = loop->node;
    const int32_t name = loop_name(r);
    const pn_value self = {.kind = PN_V_LOOP, .loop = loop};
    pn_frame *inner = NULL;
    uint64_t kept = 0;
    for (loop->at = 0; loop->at < loop->n; loop->at++) {
        if (inner && kept == r->kept_frames)
            inner->n = 0; /* nothing remembers the frame of the last turn */
        else if (!new_frame(r, loop->frame, &inner))
            return FLOW_FAIL;
        kept = r->kept_frames;
        if (name >= 0 && !pn_assign(r, inner, name, &self)) return FLOW_FAIL;
        const pn_value item = loop_item(loop, loop->at);
        if (!assign(r, inner, node->a, &item)) return FLOW_FAIL;
        const flow f = exec(r, inner, node->d);
        if (f == FLOW_FAIL) return f;
        if (f == FLOW_BREAK) break;
    }
    if (loop->n || !node->e) return FLOW_ON;
    return new_frame(r, loop->frame, &inner) ? exec(r, inner, node->e) : FLOW_FAIL;
}

static flow start_loop(pn_render *r, pn_frame *frame, const pn_node *node, const pn_value *v,
                       int32_t depth) {
    pn_loop *loop = pn_r_alloc(r, sizeof *loop);
    if (!loop) return FLOW_FAIL;
    *loop = (pn_loop){.node = node, .frame = frame, .depth = depth};
    r->kept_frames += node->flag;
    if (!collect_items(r, frame, node, v, loop)) return FLOW_FAIL;
    return run_loop(r, loop);
}

static flow exec_for(pn_render *r, pn_frame *frame, const pn_node *node) {
    pn_value v;
    if (!pn_eval(r, frame, node->b, &v)) return FLOW_FAIL;
    return start_loop(r, frame, node, &v, 0);
}

static bool enter_call(pn_render *r, const char *what) {
    if (r->calls >= r->max_calls)
        return pn_r_limit(r, "%s nested deeper than %d", what, r->max_calls);
    r->calls++;
    return true;
}

/* loop(items): the body of a recursive loop again, its text as the result. */
bool pn_call_loop(pn_render *r, pn_loop *loop, const pn_args *args, pn_value *out) {
    if (!loop->node->flag)
        return pn_r_fail(r, "The loop must have the 'recursive' marker to be called recursively.");
    if (args->n_pos != 1 || args->n_kw) return pn_r_fail(r, "loop() takes one argument");
    if (!enter_call(r, "recursive loops")) return false;
    pn_builder *const outer = r->out;
    pn_builder inner = pn_builder_new(r);
    r->out = &inner;
    const flow f = start_loop(r, loop->frame, loop->node, &args->pos[0], loop->depth + 1);
    r->out = outer;
    r->calls--;
    return f != FLOW_FAIL && pn_builder_text(&inner, out);
}

static bool call_cycle(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    if (!args->n_pos) return pn_r_fail(r, "no items for cycling given");
    *out = args->pos[slots[0].loop->at % args->n_pos];
    return true;
}

static bool call_changed(pn_render *r, pn_value *slots, const pn_args *args, pn_value *out) {
    pn_loop *loop = slots[0].loop;
    pn_value now;
    bool same = false;
    if (!pn_list_new(r, PN_V_TUPLE, NULL, &now)) return false;
    for (size_t i = 0; i < args->n_pos; i++)
        if (!pn_list_add(r, now.list, args->pos[i])) return false;
    if (loop->changed_once && !pn_equal(r, &loop->last_changed, &now, &same)) return false;
    loop->changed_once = true;
    loop->last_changed = now;
    *out = pn_bool(!same);
    return true;
}

bool pn_loop_attr(pn_render *r, pn_loop *loop, const pn_text *name, pn_value *out, bool *found) {
    static const pn_builtin methods[] = {
        {"cycle", NULL, 0, call_cycle}, {"changed", NULL, 0, call_changed}, {NULL, NULL, 0, NULL}};
    const int64_t at = (int64_t)loop->at, n = (int64_t)loop->n;
    const struct {
        const char *name;
        pn_value value;
    } attributes[] = {{"index", pn_int(at + 1)},
                      {"index0", pn_int(at)},
                      {"first", pn_bool(at == 0)},
                      {"last", pn_bool(at + 1 >= n)},
                      {"length", pn_int(n)},
                      {"revindex", pn_int(n - at)},
                      {"revindex0", pn_int(n - at - 1)},
                      {"depth", pn_int(loop->depth + 1)},
                      {"depth0", pn_int(loop->depth)}};
    *found = true;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (!pn_text_is(name, attributes[i].name)) continue;
        *out = attributes[i].value;
        return true;
    }
    if (pn_text_is(name, "previtem")) {
        if (at == 0) return pn_undefined_hint(r, "there is no previous item", out);
        *out = loop_item(loop, loop->at - 1);
        return true;
    }
    if (pn_text_is(name, "nextitem")) {
        if (at + 1 >= n) return pn_undefined_hint(r, "there is no next item", out);
        *out = loop_item(loop, loop->at + 1);
        return true;
    }
    const pn_builtin *method = pn_find_builtin(methods, name->data, name->n);
    *found = method != NULL;
    if (!method) return true;
    pn_method *bound = pn_r_alloc(r, sizeof *bound);
    if (!bound) return false;
    *bound = (pn_method){{.kind = PN_V_LOOP, .loop = loop}, method};
    *out = (pn_value){.kind = PN_V_METHOD, .method = bound};
    return true;
}

/* ---- macros -------------------------------------------------------------------------------------------------------- */

static bool make_macro(pn_render *r, pn_frame *frame, const pn_node *node, pn_value *out) {
    static const pn_name caller = {"caller", 6};
    const pn_name *name = node->name < 0 ? &caller : &r->tmpl->names[node->name];
    const pn_text text = {.data = name->text, .n = name->n};
    pn_macro *macro = pn_r_alloc(r, sizeof *macro);
    if (!macro) return false;
    *macro = (pn_macro){node, frame, pn_text_c(r, &text)};
    r->kept_frames++;
    if (!macro->name) return false;
    *out = (pn_value){.kind = PN_V_MACRO, .macro = macro};
    return true;
}

static bool assign_named(pn_render *r, pn_frame *frame, const char *name, const pn_value *v) {
    const int32_t id = pn_strmap_get(&r->tmpl->name_map, name, strlen(name));
    return id < 0 || pn_assign(r, frame, id, v);
}

static int32_t param_of(const pn_render *r, const pn_params *params, const pn_text *name) {
    const int32_t id = pn_strmap_get(&r->tmpl->name_map, name->data, name->n);
    for (int32_t i = 0; id >= 0 && i < params->n; i++)
        if (params->names[i] == id) return i;
    return -1;
}

/* Keyword arguments: to parameters, to caller, or into kwargs. */
static bool bind_keywords(pn_render *r, const pn_macro *m, const pn_args *args, pn_value *given,
                          pn_frame *frame) {
    const pn_params *params = m->node->params;
    pn_value kwargs, caller;
    bool has_caller = false;
    if (!pn_dict_new(r, &kwargs)) return false;
    for (size_t i = 0; i < args->n_kw; i++) {
        const pn_text *name = args->kw[2 * i].text;
        const pn_value value = args->kw[2 * i + 1];
        const int32_t at = param_of(r, params, name);
        char shown[PN_ESCAPED_BYTES];
        pn_escape(shown, name->data, name->n);
        if (at >= 0 && given[at].kind)
            return pn_r_fail(r, "macro '%s' got multiple values for argument '%s'", m->name, shown);
        if (at >= 0) {
            given[at] = value;
        } else if (params->caller && pn_text_is(name, "caller")) {
            caller = value;
            has_caller = true;
        } else if (!params->kwargs) {
            return pn_r_fail(r, "macro '%s' takes no keyword argument '%s'", m->name, shown);
        } else if (!pn_dict_set(r, kwargs.dict, args->kw[2 * i], value)) {
            return false;
        }
    }
    if (params->caller && !has_caller && !pn_undefined_hint(r, "No caller defined", &caller))
        return false;
    return (!params->caller || assign_named(r, frame, "caller", &caller)) &&
           (!params->kwargs || assign_named(r, frame, "kwargs", &kwargs));
}

static bool bind_varargs(pn_render *r, const pn_macro *m, const pn_args *args, pn_frame *frame) {
    const pn_params *params = m->node->params;
    const size_t n = (size_t)params->n;
    pn_value rest;
    if (!params->varargs) {
        if (args->n_pos <= n) return true;
        return pn_r_fail(r, "macro '%s' takes not more than %zu argument(s)", m->name, n);
    }
    if (!pn_list_new(r, PN_V_TUPLE, NULL, &rest)) return false;
    for (size_t i = n; i < args->n_pos; i++)
        if (!pn_list_add(r, rest.list, args->pos[i])) return false;
    return assign_named(r, frame, "varargs", &rest);
}

static bool bind_params(pn_render *r, const pn_macro *m, const pn_args *args, pn_frame *frame) {
    const pn_params *params = m->node->params;
    pn_value *given = pn_r_array(r, (size_t)params->n, sizeof *given);
    if (!given) return false;
    for (int32_t i = 0; i < params->n; i++)
        given[i] = (size_t)i < args->n_pos ? args->pos[i] : (pn_value){0};
    if (!bind_keywords(r, m, args, given, frame) || !bind_varargs(r, m, args, frame)) return false;
    for (int32_t i = 0; i < params->n; i++) {
        if (!given[i].kind) {
            const pn_node *value = params->defaults[i];
            if (value ? !pn_eval(r, frame, value, &given[i])
                      : !pn_undefined_hint(r, "a parameter was not provided", &given[i]))
                return false;
        }
        if (!pn_assign(r, frame, params->names[i], &given[i])) return false;
    }
    return true;
}

bool pn_call_macro(pn_render *r, const pn_macro *m, const pn_args *args, pn_value *out) {
    pn_frame *frame;
    if (!enter_call(r, "macro calls")) return false;
    const int32_t line = r->line;
    const bool ok = new_frame(r, m->frame, &frame) && bind_params(r, m, args, frame) &&
                    catch_text(r, frame, m->node->d, out);
    if (ok) r->line = line;
    r->calls--;
    return ok;
}

static bool exec_macro(pn_render *r, pn_frame *frame, const pn_node *node) {
    pn_value macro;
    return make_macro(r, frame, node, &macro) && pn_assign(r, frame, node->name, &macro);
}

/* {% call f(args) %}body{% endcall %}: f gets the body as the keyword argument caller. */
static bool exec_call_block(pn_render *r, pn_frame *frame, const pn_node *node) {
    pn_value callee, result, caller;
    pn_args args;
    if (!pn_eval(r, frame, node->a->a, &callee) || !pn_eval_args(r, frame, node->a->args, &args))
        return false;
    if (!make_macro(r, frame, node, &caller)) return false;
    pn_value *kw = pn_r_array(r, 2 * args.n_kw + 2, sizeof *kw);
    if (!kw) return false;
    if (args.n_kw) memcpy(kw, args.kw, 2 * args.n_kw * sizeof *kw);
    if (!pn_text_value(r, "caller", 6, 0, &kw[2 * args.n_kw])) return false;
    kw[2 * args.n_kw + 1] = caller;
    args.kw = kw;
    args.n_kw++;
    return pn_call(r, &callee, &args, &result) && pn_print(r->out, &result);
}

/* ---- statements ------------------------------------------------------------------------------------------------------ */

static bool exec_print(pn_render *r, pn_frame *frame, const pn_node *node) {
    pn_value v;
    return pn_eval(r, frame, node->a, &v) && pn_print(r->out, &v);
}

static flow exec_if(pn_render *r, pn_frame *frame, const pn_node *node) {
    for (int32_t i = 0; i + 1 < node->n_items; i += 2) {
        pn_value test;
        if (!pn_eval(r, frame, node->items[i], &test)) return FLOW_FAIL;
        if (pn_truth(&test)) return exec(r, frame, node->items[i + 1]);
    }
    return node->b ? exec(r, frame, node->b) : FLOW_ON;
}

static flow exec_body(pn_render *r, pn_frame *frame, const pn_node *node) {
    for (int32_t i = 0; i < node->n_items; i++) {
        const flow f = exec(r, frame, node->items[i]);
        if (f != FLOW_ON) return f;
    }
    return FLOW_ON;
}

/* A block sees the template's own names only; generation and autoescape are scopes like any other. */
static flow exec_block(pn_render *r, pn_frame *frame, const pn_node *node) {
    pn_frame *inner, *outer = frame;
    while (!node->flag && outer->outer) outer = outer->outer;
    return new_frame(r, outer, &inner) ? exec(r, inner, node->d) : FLOW_FAIL;
}

static flow exec_node(pn_render *r, pn_frame *frame, const pn_node *node) {
    switch ((pn_node_kind)node->kind) {
    case PN_N_DATA: return flow_of(pn_put_text(r->out, node->value.text));
    case PN_N_PRINT: return flow_of(exec_print(r, frame, node));
    case PN_N_BODY: return exec_body(r, frame, node);
    case PN_N_IF: return exec_if(r, frame, node);
    case PN_N_FOR: return exec_for(r, frame, node);
    case PN_N_SET: return flow_of(exec_set(r, frame, node));
    case PN_N_SET_BLOCK: return flow_of(exec_set_block(r, frame, node));
    case PN_N_FILTER_BLOCK: return flow_of(exec_filter_block(r, frame, node));
    case PN_N_WITH: return exec_with(r, frame, node);
    case PN_N_MACRO: return flow_of(exec_macro(r, frame, node));
    case PN_N_CALL_BLOCK: return flow_of(exec_call_block(r, frame, node));
    case PN_N_BLOCK: return exec_block(r, frame, node);
    case PN_N_BREAK: return FLOW_BREAK;
    case PN_N_CONTINUE: return FLOW_CONTINUE;
    default:
        return flow_of(
            pn_r_fail(r, "include, import and extends: no loader for this environment specified"));
    }
}

static flow exec(pn_render *r, pn_frame *frame, const pn_node *node) {
    if (!pn_r_charge(r, 1)) return FLOW_FAIL;
    if (r->depth >= PN_TMPL_MAX_WALK_DEPTH)
        return flow_of(
            pn_r_limit(r, "calls and expressions nested deeper than %d", PN_TMPL_MAX_WALK_DEPTH));
    r->depth++;
    r->line = node->line;
    const flow f = exec_node(r, frame, node);
    r->depth--;
    return f;
}

bool pn_exec_template(pn_render *r) {
    pn_frame root = {.by_name = pn_r_array(r, (size_t)r->tmpl->n_names, sizeof(pn_value))};
    if (!root.by_name) return false;
    memset(root.by_name, 0, (size_t)r->tmpl->n_names * sizeof(pn_value));
    return exec(r, &root, r->tmpl->body) != FLOW_FAIL;
}
