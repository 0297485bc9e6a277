/* jinja_tests.c: what may stand behind `is`, and the global functions. */
#include "tmpl/jinja_render.h"
#include "tmpl/jinja_unicode.h"

#include <string.h>

static bool answer(pn_value *out, bool yes) {
    *out = pn_bool(yes);
    return true;
}

static bool test_defined(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind != PN_V_UNDEFINED);
}

static bool test_undefined(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind == PN_V_UNDEFINED);
}

static bool test_none(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind == PN_V_NONE);
}

static bool test_boolean(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind == PN_V_BOOL);
}

static bool test_true(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind == PN_V_BOOL && s[0].b);
}

static bool test_false(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind == PN_V_BOOL && !s[0].b);
}

static bool test_integer(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind == PN_V_INT || s[0].kind == PN_V_BIG);
}

static bool test_float(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind == PN_V_FLOAT);
}

static bool test_number(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, pn_is_number(&s[0]));
}

static bool test_string(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind == PN_V_STRING);
}

static bool test_mapping(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind == PN_V_DICT);
}

static bool test_iterable(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const uint8_t k = s[0].kind;
    (void)args;
    return !r->status && answer(out, k == PN_V_STRING || k == PN_V_DICT || k == PN_V_RANGE ||
                                         k == PN_V_UNDEFINED || pn_is_list_like(&s[0]));
}

static bool test_sequence(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const uint8_t k = s[0].kind;
    (void)args;
    return !r->status && answer(out, k == PN_V_STRING || k == PN_V_DICT || k == PN_V_RANGE ||
                                         k == PN_V_LIST || k == PN_V_TUPLE || k == PN_V_UNDEFINED);
}

static bool test_callable(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const uint8_t k = s[0].kind;
    (void)args;
    return !r->status && answer(out, k == PN_V_MACRO || k == PN_V_FUNCTION || k == PN_V_METHOD ||
                                         k == PN_V_LOOP || k == PN_V_JOINER || k == PN_V_UNDEFINED);
}

static bool test_escaped(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return !r->status && answer(out, s[0].kind == PN_V_STRING && s[0].text->markup);
}

static bool is_multiple(pn_render *r, const pn_value *v, pn_value by, bool *yes) {
    pn_value rest;
    if (!pn_binary(r, PN_T_MOD, v, &by, &rest)) return false;
    *yes = !pn_truth(&rest);
    return true;
}

static bool test_even(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    bool yes;
    (void)args;
    return is_multiple(r, &s[0], pn_int(2), &yes) && answer(out, yes);
}

static bool test_odd(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    pn_value rest, one = pn_int(1), two = pn_int(2);
    bool yes;
    (void)args;
    return pn_binary(r, PN_T_MOD, &s[0], &two, &rest) && pn_equal(r, &rest, &one, &yes) &&
           answer(out, yes);
}

static bool test_divisibleby(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    bool yes;
    (void)args;
    return is_multiple(r, &s[0], s[1], &yes) && answer(out, yes);
}

static bool test_eq(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    bool yes;
    (void)args;
    return pn_equal(r, &s[0], &s[1], &yes) && answer(out, yes);
}

static bool test_ne(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    bool yes;
    (void)args;
    return pn_equal(r, &s[0], &s[1], &yes) && answer(out, !yes);
}

static bool test_lt(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    int order;
    (void)args;
    return pn_compare(r, &s[0], &s[1], "<", &order) && answer(out, order < 0);
}

static bool test_le(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    int order;
    (void)args;
    return pn_compare(r, &s[0], &s[1], "<=", &order) && answer(out, order <= 0);
}

static bool test_gt(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    int order;
    (void)args;
    return pn_compare(r, &s[1], &s[0], ">", &order) && answer(out, order < 0);
}

static bool test_ge(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    int order;
    (void)args;
    return pn_compare(r, &s[1], &s[0], ">=", &order) && answer(out, order <= 0);
}

static bool test_in(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    bool yes;
    (void)args;
    return pn_contains(r, &s[1], &s[0], &yes) && answer(out, yes);
}

/* The same object; small values are the same when they are equal. */
static bool test_sameas(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    bool yes = false;
    (void)args;
    if (s[0].kind != s[1].kind) return answer(out, false);
    if (s[0].kind >= PN_V_LIST) return answer(out, s[0].list == s[1].list);
    return pn_equal(r, &s[0], &s[1], &yes) && answer(out, yes);
}

static bool has_case(pn_render *r, const pn_value *v, bool upper, pn_value *out) {
    const pn_text *text;
    bool any = false, all = true;
    if (!pn_to_text(r, v, &text) || !pn_r_charge(r, text->n / 8)) return false;
    for (size_t i = 0; i < text->n;) {
        uint32_t c;
        i += pn_uni_decode(text->data + i, text->n - i, &c);
        const bool wanted = upper ? pn_uni_is_upper(c) : pn_uni_is_lower(c);
        any = any || wanted;
        all = all && (wanted || !pn_uni_is_cased(c));
    }
    return answer(out, any && all);
}

static bool test_lower(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return has_case(r, &s[0], false, out);
}

static bool test_upper(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    (void)args;
    return has_case(r, &s[0], true, out);
}

static bool test_filter(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const pn_text *name = NULL;
    (void)args;
    if (!pn_arg_text(r, &s[0], "the name of a filter", &name)) return false;
    return answer(out, pn_find_builtin(pn_filters_text, name->data, name->n) ||
                           pn_find_builtin(pn_filters_list, name->data, name->n));
}

static bool test_test(pn_render *r, pn_value *s, const pn_args *args, pn_value *out) {
    const pn_text *name = NULL;
    (void)args;
    return pn_arg_text(r, &s[0], "the name of a test", &name) &&
           answer(out, pn_find_builtin(pn_tests, name->data, name->n) != NULL);
}

const pn_builtin pn_tests[] = {
    {"defined", "", 0, test_defined},
    {"undefined", "", 0, test_undefined},
    {"none", "", 0, test_none},
    {"string", "", 0, test_string},
    {"mapping", "", 0, test_mapping},
    {"iterable", "", 0, test_iterable},
    {"sequence", "", 0, test_sequence},
    {"number", "", 0, test_number},
    {"integer", "", 0, test_integer},
    {"float", "", 0, test_float},
    {"boolean", "", 0, test_boolean},
    {"true", "", 0, test_true},
    {"false", "", 0, test_false},
    {"callable", "", 0, test_callable},
    {"escaped", "", 0, test_escaped},
    {"even", "", 0, test_even},
    {"odd", "", 0, test_odd},
    {"divisibleby", "num", 1, test_divisibleby},
    {"eq", "b", 1, test_eq},
    {"equalto", "b", 1, test_eq},
    {"==", "b", 1, test_eq},
    {"ne", "b", 1, test_ne},
    {"!=", "b", 1, test_ne},
    {"lt", "b", 1, test_lt},
    {"lessthan", "b", 1, test_lt},
    {"<", "b", 1, test_lt},
    {"le", "b", 1, test_le},
    {"<=", "b", 1, test_le},
    {"gt", "b", 1, test_gt},
    {"greaterthan", "b", 1, test_gt},
    {">", "b", 1, test_gt},
    {"ge", "b", 1, test_ge},
    {">=", "b", 1, test_ge},
    {"in", "seq", 1, test_in},
    {"sameas", "other", 1, test_sameas},
    {"lower", "", 0, test_lower},
    {"upper", "", 0, test_upper},
    {"filter", "", 0, test_filter},
    {"test", "", 0, test_test},
    {NULL, NULL, 0, NULL},
};
