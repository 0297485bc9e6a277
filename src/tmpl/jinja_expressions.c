/* jinja_expressions.c: tokens to expression trees.
 *
 * From loose to tight: if-else, or, and, not, comparisons, + -, ~, * / // %, **, signs, then what follows a value:
 * .name [item] (call), and after these filters and tests. Chains become left-leaning trees whose height is
 * bounded, everything nested is bounded by the nesting of the parser, so neither parsing nor walking a tree can
 * exhaust the stack. */
#include "tmpl/jinja_parser.h"

#include <string.h>

static bool is_kind(const pn_parser *p, pn_token_kind kind) {
    return p->at->kind == kind;
}

static pn_token next_token(pn_parser *p) {
    const pn_token token = *p->at;
    if (token.kind != PN_T_EOF) p->at++;
    return token;
}

static uint16_t height_of(const pn_node *node) {
    return node ? node->height : 0;
}

static pn_node *with_height(pn_parser *p, pn_node *node, uint16_t below) {
    if (below >= PN_TMPL_MAX_HEIGHT) {
        p->status =
            pn_fail(p->err, PUNA_E_LIMIT, "template line %d: an expression of more than %d links",
                    node->line, PN_TMPL_MAX_HEIGHT);
        return NULL;
    }
    node->height = (uint16_t)(below + 1);
    return node;
}

static uint16_t max_height(uint16_t a, uint16_t b) {
    return a > b ? a : b;
}

static uint16_t items_height(pn_node *const *items, int32_t n) {
    uint16_t h = 0;
    for (int32_t i = 0; i < n; i++) h = max_height(h, height_of(items[i]));
    return h;
}

static pn_node *join_two(pn_parser *p, pn_node_kind kind, uint8_t op, int32_t line, pn_node *a,
                         pn_node *b) {
    pn_node *node = a && b ? pn_parser_node(p, kind, line) : NULL;
    if (!node) return NULL;
    node->op = op;
    node->a = a;
    node->b = b;
    return with_height(p, node, max_height(a->height, b->height));
}

static pn_node *list_node(pn_parser *p, pn_node_kind kind, int32_t line, pn_node_list *list) {
    pn_node *node = p->status ? NULL : pn_parser_node(p, kind, line);
    if (!pn_parser_keep(p, list, node ? &node->items : NULL, node ? &node->n_items : NULL) || !node)
        return NULL;
    return with_height(p, node, items_height(node->items, node->n_items));
}

/* ---- values -------------------------------------------------------------------------------------- */

static pn_node *text_node(pn_parser *p, int32_t line, const char *data, size_t n) {
    pn_node *node = pn_parser_node(p, PN_N_CONST, line);
    pn_text *text = node ? pn_parser_alloc(p, sizeof *text) : NULL;
    if (!text) return NULL;
    *text = (pn_text){.data = data, .n = n, .n_chars = SIZE_MAX};
    node->value.kind = PN_V_STRING;
    node->value.text = text;
    node->height = 1;
    return node;
}

/* Strings side by side are one string. */
static pn_node *parse_string(pn_parser *p) {
    const pn_token first = *p->at;
    size_t n = 0;
    for (const pn_token *t = p->at; t->kind == PN_T_STRING; t++) n += t->n;
    if (n == first.n) {
        next_token(p);
        while (is_kind(p, PN_T_STRING)) next_token(p);
        return text_node(p, first.line, first.text, first.n);
    }
    char *data = pn_parser_alloc(p, n);
    if (!data) return NULL;
    for (n = 0; is_kind(p, PN_T_STRING); n += p->at->n, p->at++)
        memcpy(data + n, p->at->text, p->at->n);
    return text_node(p, first.line, data, n);
}

/* Numbers stay text here (value.text): the renderer knows how to read them. op tells integer from float. */
static pn_node *parse_number(pn_parser *p) {
    const pn_token token = next_token(p);
    pn_node *node = text_node(p, token.line, token.text, token.n);
    if (!node) return NULL;
    node->op = (uint8_t)token.kind;
    if (token.kind != PN_T_INTEGER || token.n > 18 || (token.n > 1 && token.text[0] == '0'))
        return node;
    int64_t value = 0;
    for (size_t i = 0; i < token.n; i++) value = value * 10 + (token.text[i] - '0');
    node->value = (pn_value){.kind = PN_V_INT, .i = value};
    node->op = 0;
    return node;
}

static bool token_is(const pn_token *t, const char *name) {
    return t->kind == PN_T_NAME && t->n == strlen(name) && memcmp(t->text, name, t->n) == 0;
}

static pn_node *parse_name(pn_parser *p) {
    const pn_token token = next_token(p);
    static const struct {
        char name[6];
        uint8_t kind;
        bool value;
    } constants[] = {{"true", PN_V_BOOL, true},   {"True", PN_V_BOOL, true},
                     {"false", PN_V_BOOL, false}, {"False", PN_V_BOOL, false},
                     {"none", PN_V_NONE, false},  {"None", PN_V_NONE, false}};
    pn_node *node = pn_parser_node(p, PN_N_NAME, token.line);
    if (!node) return NULL;
    node->height = 1;
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        if (!token_is(&token, constants[i].name)) continue;
        node->kind = PN_N_CONST;
        node->value = (pn_value){.kind = constants[i].kind, .b = constants[i].value};
        return node;
    }
    p->n_caller += token_is(&token, "caller");
    p->n_varargs += token_is(&token, "varargs");
    p->n_kwargs += token_is(&token, "kwargs");
    return pn_parser_intern(p, token.text, token.n, &node->name) ? node : NULL;
}

static pn_node *parse_list(pn_parser *p) {
    const int32_t line = next_token(p).line;
    pn_node_list list = {0};
    while (!p->status && !is_kind(p, PN_T_RBRACKET)) {
        if (list.n && !pn_parser_expect(p, PN_T_COMMA)) break;
        if (is_kind(p, PN_T_RBRACKET)) break;
        if (!pn_parser_add(p, &list, pn_parse_expression(p, true))) break;
    }
    if (!p->status) pn_parser_expect(p, PN_T_RBRACKET);
    return list_node(p, PN_N_LIST, line, &list);
}

static pn_node *parse_dict(pn_parser *p) {
    const int32_t line = next_token(p).line;
    pn_node_list list = {0};
    while (!p->status && !is_kind(p, PN_T_RBRACE)) {
        if (list.n && !pn_parser_expect(p, PN_T_COMMA)) break;
        if (is_kind(p, PN_T_RBRACE)) break;
        if (!pn_parser_add(p, &list, pn_parse_expression(p, true))) break;
        if (!pn_parser_expect(p, PN_T_COLON)) break;
        if (!pn_parser_add(p, &list, pn_parse_expression(p, true))) break;
    }
    if (!p->status) pn_parser_expect(p, PN_T_RBRACE);
    return list_node(p, PN_N_DICT, line, &list);
}

static pn_node *parse_primary(pn_parser *p) {
    switch (p->at->kind) {
    case PN_T_NAME: return parse_name(p);
    case PN_T_STRING: return parse_string(p);
    case PN_T_INTEGER:
    case PN_T_FLOAT: return parse_number(p);
    case PN_T_LBRACKET: return parse_list(p);
    case PN_T_LBRACE: return parse_dict(p);
    case PN_T_LPAREN: {
        next_token(p);
        pn_node *node = pn_parse_tuple(p, true, NULL, true);
        return node && pn_parser_expect(p, PN_T_RPAREN) ? node : NULL;
    }
    default: return pn_parser_fail(p, "unexpected", NULL);
    }
}

/* ---- what follows a value ------------------------------------------------------------------------- */

/* name=value, if that is what comes. */
static bool parse_keyword(pn_parser *p, pn_node_list *kw) {
    const pn_token name = next_token(p);
    next_token(p);
    return pn_parser_add(p, kw, text_node(p, name.line, name.text, name.n)) &&
           pn_parser_add(p, kw, pn_parse_expression(p, true));
}

static bool parse_argument(pn_parser *p, pn_call_args *args, pn_node_list *pos, pn_node_list *kw) {
    static const char order[] = "invalid syntax for function call expression";
    if (is_kind(p, PN_T_MUL) || is_kind(p, PN_T_POW)) {
        const bool two = is_kind(p, PN_T_POW);
        if (args->star_star || (!two && args->star)) return pn_parser_fail(p, order, "") != NULL;
        next_token(p);
        pn_node *value = pn_parse_expression(p, true);
        if (two)
            args->star_star = value;
        else
            args->star = value;
        return value != NULL;
    }
    if (is_kind(p, PN_T_NAME) && p->at[1].kind == PN_T_ASSIGN) {
        if (args->star_star) return pn_parser_fail(p, order, "") != NULL;
        return parse_keyword(p, kw);
    }
    if (args->star || args->star_star || kw->n) return pn_parser_fail(p, order, "") != NULL;
    return pn_parser_add(p, pos, pn_parse_expression(p, true));
}

static bool parse_args(pn_parser *p, pn_node *node) {
    pn_node_list pos = {0}, kw = {0};
    pn_call_args *args = pn_parser_alloc(p, sizeof *args);
    if (!args || !pn_parser_expect(p, PN_T_LPAREN)) return false;
    *args = (pn_call_args){0};
    for (bool first = true; !p->status && !is_kind(p, PN_T_RPAREN); first = false) {
        if (!first && !pn_parser_expect(p, PN_T_COMMA)) break;
        if (!first && is_kind(p, PN_T_RPAREN)) break;
        if (!parse_argument(p, args, &pos, &kw)) break;
    }
    if (!p->status) pn_parser_expect(p, PN_T_RPAREN);
    const bool kept = pn_parser_keep(p, &pos, &args->pos, &args->n_pos);
    if (!pn_parser_keep(p, &kw, &args->kw, &args->n_kw) || !kept || p->status) return false;
    uint16_t h =
        max_height(items_height(args->pos, args->n_pos), items_height(args->kw, args->n_kw));
    h = max_height(h, max_height(height_of(args->star), height_of(args->star_star)));
    args->n_kw /= 2;
    node->args = args;
    return with_height(p, node, max_height(h, height_of(node->a))) != NULL;
}

static pn_node *parse_slice_part(pn_parser *p) {
    if (is_kind(p, PN_T_COLON) || is_kind(p, PN_T_RBRACKET) || is_kind(p, PN_T_COMMA)) return NULL;
    return pn_parse_expression(p, true);
}

/* One thing between the brackets of a[...]: an expression or a slice. */
static pn_node *parse_index(pn_parser *p) {
    const int32_t line = p->at->line;
    pn_node *parts[3] = {0};
    if (!is_kind(p, PN_T_COLON)) {
        parts[0] = pn_parse_expression(p, true);
        if (!parts[0] || !is_kind(p, PN_T_COLON)) return parts[0];
    }
    next_token(p);
    parts[1] = parse_slice_part(p);
    if (!p->status && is_kind(p, PN_T_COLON)) {
        next_token(p);
        parts[2] = parse_slice_part(p);
    }
    pn_node *node = p->status ? NULL : pn_parser_node(p, PN_N_SLICE, line);
    if (!node) return NULL;
    node->a = parts[0];
    node->b = parts[1];
    node->c = parts[2];
    return with_height(
        p, node,
        max_height(height_of(parts[0]), max_height(height_of(parts[1]), height_of(parts[2]))));
}

static pn_node *parse_subscript(pn_parser *p, pn_node *object) {
    const int32_t line = next_token(p).line;
    pn_node_list list = {0};
    while (!p->status && !is_kind(p, PN_T_RBRACKET)) {
        if (list.n && !pn_parser_expect(p, PN_T_COMMA)) break;
        if (!pn_parser_add(p, &list, parse_index(p))) break;
    }
    if (!p->status) pn_parser_expect(p, PN_T_RBRACKET);
    pn_node *index = list.n == 1 ? list.items[0] : NULL;
    pn_node *tuple = list_node(p, PN_N_TUPLE, line, &list);
    return tuple ? join_two(p, PN_N_ITEM, 0, line, object, index ? index : tuple) : NULL;
}

static pn_node *parse_attribute(pn_parser *p, pn_node *object) {
    const int32_t line = next_token(p).line;
    if (is_kind(p, PN_T_INTEGER)) return join_two(p, PN_N_ITEM, 0, line, object, parse_number(p));
    if (!is_kind(p, PN_T_NAME)) return pn_parser_fail(p, "expected name or number, got", NULL);
    const pn_token name = next_token(p);
    pn_node *node = text_node(p, line, name.text, name.n);
    if (!node) return NULL;
    node->kind = PN_N_ATTR;
    node->a = object;
    return with_height(p, node, object->height);
}

static pn_node *parse_call(pn_parser *p, pn_node *callee) {
    pn_node *node = pn_parser_node(p, PN_N_CALL, p->at->line);
    if (!node) return NULL;
    node->a = callee;
    return parse_args(p, node) ? node : NULL;
}

static pn_node *parse_postfix(pn_parser *p, pn_node *node) {
    while (node) {
        if (is_kind(p, PN_T_DOT))
            node = parse_attribute(p, node);
        else if (is_kind(p, PN_T_LBRACKET))
            node = parse_subscript(p, node);
        else if (is_kind(p, PN_T_LPAREN))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* The name of a filter or test, which may have dots, as the value of a fresh node. */
static pn_node *named_node(pn_parser *p, pn_node_kind kind) {
    const pn_token first = *p->at;
    if (!pn_parser_expect(p, PN_T_NAME)) return NULL;
    size_t n = first.n;
    while (is_kind(p, PN_T_DOT)) {
        next_token(p);
        const pn_token part = *p->at;
        if (!pn_parser_expect(p, PN_T_NAME)) return NULL;
        n = (size_t)(part.text - first.text) +
            part.n; /* the source between them: no filter is called so */
    }
    pn_node *node = text_node(p, first.line, first.text, n);
    if (node) node->kind = (uint8_t)kind;
    return node;
}

static pn_node *parse_one_filter(pn_parser *p, pn_node *object) {
    pn_node *node = named_node(p, PN_N_FILTER);
    if (!node) return NULL;
    node->a = object;
    if (is_kind(p, PN_T_LPAREN)) return parse_args(p, node) ? node : NULL;
    return with_height(p, node, height_of(object));
}

pn_node *pn_parse_block_filters(pn_parser *p, bool first) {
    pn_node *node = NULL;
    while (first || is_kind(p, PN_T_PIPE)) {
        if (!first) next_token(p);
        first = false;
        node = parse_one_filter(p, node);
        if (!node) return NULL;
    }
    return node;
}

static bool starts_test_argument(const pn_parser *p) {
    switch (p->at->kind) {
    case PN_T_NAME:
        return !pn_parser_is(p, "else") && !pn_parser_is(p, "or") && !pn_parser_is(p, "and");
    case PN_T_STRING:
    case PN_T_INTEGER:
    case PN_T_FLOAT:
    case PN_T_LBRACKET:
    case PN_T_LBRACE: return true;
    default: return false;
    }
}

static pn_node *parse_test(pn_parser *p, pn_node *object) {
    const int32_t line = next_token(p).line;
    const bool negated = pn_parser_skip(p, "not");
    pn_node *node = named_node(p, PN_N_TEST);
    if (!node) return NULL;
    node->a = object;
    if (is_kind(p, PN_T_LPAREN)) {
        if (!parse_args(p, node)) return NULL;
    } else if (starts_test_argument(p)) {
        if (pn_parser_is(p, "is"))
            return pn_parser_fail(p, "you cannot chain multiple tests with is", "");
        node->args = pn_parser_alloc(p, sizeof *node->args);
        pn_node **arg = node->args ? pn_parser_alloc(p, sizeof *arg) : NULL;
        if (!arg) return NULL;
        *arg = parse_postfix(p, parse_primary(p));
        if (!*arg) return NULL;
        *node->args = (pn_call_args){.pos = arg, .n_pos = 1};
        if (!with_height(p, node, max_height(object->height, (*arg)->height))) return NULL;
    } else if (!with_height(p, node, object->height)) {
        return NULL;
    }
    if (!negated) return node;
    pn_node *not_node = pn_parser_node(p, PN_N_NOT, line);
    if (!not_node) return NULL;
    not_node->a = node;
    return with_height(p, not_node, node->height);
}

static pn_node *parse_filters_and_tests(pn_parser *p, pn_node *node) {
    while (node) {
        if (is_kind(p, PN_T_PIPE)) {
            next_token(p);
            node = parse_one_filter(p, node);
        } else if (pn_parser_is(p, "is")) {
            node = parse_test(p, node);
        } else if (is_kind(p, PN_T_LPAREN)) {
            node = parse_call(p, node);
        } else {
            break;
        }
    }
    return node;
}

/* ---- operators ------------------------------------------------------------------------------------ */

static pn_node *parse_unary(pn_parser *p, bool with_filter) {
    pn_node *node;
    if (is_kind(p, PN_T_SUB) || is_kind(p, PN_T_ADD)) {
        const pn_token sign = next_token(p);
        if (!pn_parser_enter(p)) return NULL;
        pn_node *operand = parse_unary(p, false);
        p->nesting--;
        node = operand ? pn_parser_node(p, sign.kind == PN_T_SUB ? PN_N_NEG : PN_N_POS, sign.line)
                       : NULL;
        if (!node) return NULL;
        node->a = operand;
        node = with_height(p, node, operand->height);
    } else {
        node = parse_primary(p);
    }
    node = parse_postfix(p, node);
    return with_filter ? parse_filters_and_tests(p, node) : node;
}

static pn_node *parse_pow(pn_parser *p) {
    int32_t line = p->at->line;
    pn_node *left = parse_unary(p, true);
    while (left && is_kind(p, PN_T_POW)) {
        next_token(p);
        left = join_two(p, PN_N_BINARY, PN_T_POW, line, left, parse_unary(p, true));
        line = p->at->line;
    }
    return left;
}

static pn_node *parse_product(pn_parser *p) {
    int32_t line = p->at->line;
    pn_node *left = parse_pow(p);
    while (left && p->at->kind >= PN_T_MUL && p->at->kind <= PN_T_MOD) {
        const pn_token op = next_token(p);
        left = join_two(p, PN_N_BINARY, (uint8_t)op.kind, line, left, parse_pow(p));
        line = p->at->line;
    }
    return left;
}

static pn_node *parse_concat(pn_parser *p) {
    const int32_t line = p->at->line;
    pn_node *first = parse_product(p);
    if (!first || !is_kind(p, PN_T_TILDE)) return first;
    pn_node_list list = {0};
    pn_parser_add(p, &list, first);
    while (!p->status && is_kind(p, PN_T_TILDE)) {
        next_token(p);
        pn_parser_add(p, &list, parse_product(p));
    }
    return list_node(p, PN_N_CONCAT, line, &list);
}

static pn_node *parse_sum(pn_parser *p) {
    int32_t line = p->at->line;
    pn_node *left = parse_concat(p);
    while (left && (is_kind(p, PN_T_ADD) || is_kind(p, PN_T_SUB))) {
        const pn_token op = next_token(p);
        left = join_two(p, PN_N_BINARY, (uint8_t)op.kind, line, left, parse_concat(p));
        line = p->at->line;
    }
    return left;
}

/* The comparison at the cursor, which is then passed; EOF: none. */
static pn_token_kind take_comparison(pn_parser *p) {
    if (p->at->kind >= PN_T_EQ && p->at->kind <= PN_T_LE) return next_token(p).kind;
    if (pn_parser_skip(p, "in")) return PN_T_IN;
    if (pn_parser_is(p, "not") && token_is(p->at + 1, "in")) {
        p->at += 2;
        return PN_T_NOT_IN;
    }
    return PN_T_EOF;
}

static pn_node *parse_compare(pn_parser *p) {
    const int32_t line = p->at->line;
    pn_node *first = parse_sum(p);
    pn_node_list list = {0};
    for (pn_token_kind op; first && (op = take_comparison(p)) != PN_T_EOF;) {
        pn_node *right = parse_sum(p);
        pn_node *operand = right ? pn_parser_node(p, PN_N_COMPARE, right->line) : NULL;
        if (operand) {
            operand->op = (uint8_t)op;
            operand->a = right;
            operand->height = right->height;
        }
        if (!pn_parser_add(p, &list, operand)) break;
    }
    if (first && !p->status && !list.n) return first;
    pn_node *node = list_node(p, PN_N_COMPARE, line, &list);
    if (!node) return NULL;
    node->a = first;
    return with_height(p, node, max_height((uint16_t)(node->height - 1), first->height));
}

static pn_node *parse_not(pn_parser *p) {
    if (!pn_parser_is(p, "not")) return parse_compare(p);
    const int32_t line = next_token(p).line;
    if (!pn_parser_enter(p)) return NULL;
    pn_node *operand = parse_not(p);
    p->nesting--;
    pn_node *node = operand ? pn_parser_node(p, PN_N_NOT, line) : NULL;
    if (!node) return NULL;
    node->a = operand;
    return with_height(p, node, operand->height);
}

static pn_node *parse_and(pn_parser *p) {
    int32_t line = p->at->line;
    pn_node *left = parse_not(p);
    while (left && pn_parser_skip(p, "and")) {
        left = join_two(p, PN_N_AND, 0, line, left, parse_not(p));
        line = p->at->line;
    }
    return left;
}

static pn_node *parse_or(pn_parser *p) {
    int32_t line = p->at->line;
    pn_node *left = parse_and(p);
    while (left && pn_parser_skip(p, "or")) {
        left = join_two(p, PN_N_OR, 0, line, left, parse_and(p));
        line = p->at->line;
    }
    return left;
}

static pn_node *parse_if_else(pn_parser *p) {
    int32_t line = p->at->line;
    pn_node *value = parse_or(p);
    while (value && pn_parser_skip(p, "if")) {
        pn_node *node = pn_parser_node(p, PN_N_IF_ELSE, line);
        if (!node) return NULL;
        node->b = value;
        node->a = parse_or(p);
        if (!node->a) return NULL;
        if (pn_parser_skip(p, "else")) {
            node->c = pn_parse_expression(p, true);
            if (!node->c) return NULL;
        }
        value = with_height(
            p, node, max_height(max_height(node->a->height, node->b->height), height_of(node->c)));
        line = p->at->line;
    }
    return value;
}

pn_node *pn_parse_expression(pn_parser *p, bool with_if) {
    if (!pn_parser_enter(p)) return NULL;
    pn_node *node = with_if ? parse_if_else(p) : parse_or(p);
    p->nesting--;
    return node;
}

static bool ends_tuple(const pn_parser *p, const char *end) {
    return is_kind(p, PN_T_PRINT_END) || is_kind(p, PN_T_BLOCK_END) || is_kind(p, PN_T_RPAREN) ||
           (end && pn_parser_is(p, end));
}

pn_node *pn_parse_tuple(pn_parser *p, bool with_if, const char *end, bool in_parentheses) {
    const int32_t line = p->at->line;
    pn_node_list list = {0};
    bool comma = false;
    while (!p->status) {
        if (list.n && !pn_parser_expect(p, PN_T_COMMA)) break;
        if (ends_tuple(p, end)) break;
        if (!pn_parser_add(p, &list, pn_parse_expression(p, with_if))) break;
        if (!is_kind(p, PN_T_COMMA)) break;
        comma = true;
    }
    pn_node *only = !comma && list.n == 1 ? list.items[0] : NULL;
    if (!p->status && !list.n && !in_parentheses)
        pn_parser_fail(p, "expected an expression, got", NULL);
    pn_node *tuple = list_node(p, PN_N_TUPLE, line, &list);
    return tuple && only ? only : tuple;
}

/* ---- targets -------------------------------------------------------------------------------------- */

static pn_node *parse_one_target(pn_parser *p, bool ns) {
    if (ns && is_kind(p, PN_T_NAME) && p->at[1].kind == PN_T_DOT) {
        const pn_token name = next_token(p);
        next_token(p);
        const pn_token attr = *p->at;
        pn_node *node =
            pn_parser_expect(p, PN_T_NAME) ? text_node(p, name.line, attr.text, attr.n) : NULL;
        if (!node) return NULL;
        node->kind = PN_N_NS_TARGET;
        return pn_parser_intern(p, name.text, name.n, &node->name) ? node : NULL;
    }
    if (is_kind(p, PN_T_LPAREN)) {
        next_token(p);
        if (!pn_parser_enter(p)) return NULL;
        pn_node *node = pn_parse_target(p, NULL, ns);
        p->nesting--;
        return node && pn_parser_expect(p, PN_T_RPAREN) ? node : NULL;
    }
    if (!is_kind(p, PN_T_NAME) && !ends_tuple(p, NULL))
        return pn_parser_fail(p, "can't assign to", NULL);
    pn_node *node = parse_primary(p);
    if (!node) return NULL;
    if (node->kind == PN_N_NAME) return node;
    p->at--;
    return pn_parser_fail(p, "can't assign to", NULL);
}

pn_node *pn_parse_target(pn_parser *p, const char *end, bool ns) {
    const int32_t line = p->at->line;
    pn_node_list list = {0};
    bool comma = false;
    while (!p->status) {
        if (list.n && !pn_parser_expect(p, PN_T_COMMA)) break;
        if (ends_tuple(p, end)) break;
        if (!pn_parser_add(p, &list, parse_one_target(p, ns))) break;
        if (!is_kind(p, PN_T_COMMA)) break;
        comma = true;
    }
    pn_node *only = !comma && list.n == 1 ? list.items[0] : NULL;
    if (!p->status && !list.n) pn_parser_fail(p, "expected an expression, got", NULL);
    pn_node *tuple = list_node(p, PN_N_TUPLE, line, &list);
    return tuple && only ? only : tuple;
}
