/* jinja_parser.c: tokens to statements, and the helpers of both halves of the parser.
 *
 * A block's body ends at the first tag that its statement waits for. Unknown filters and tests are no syntax errors
 * here: they fail when they are reached. */
#include "tmpl/jinja_parser.h"

#include <string.h>

/* ---- helpers ---------------------------------------------------------------------------------------- */

/* "template line 3: WHAT 'token'"; detail replaces the token ("": nothing). */
void *pn_parser_fail(pn_parser *p, const char *what, const char *detail) {
    if (p->status) return NULL;
    const pn_token *t = p->at;
    char shown[PN_ESCAPED_BYTES];
    if (detail) {
        p->status = pn_fail(p->err, PUNA_E_FORMAT, "template line %d: %s%s%s", t->line, what,
                            *detail ? " " : "", detail);
        return NULL;
    }
    if (t->kind == PN_T_NAME)
        pn_escape(shown, t->text, t->n < 60 ? t->n : 60);
    else
        pn_escape(shown, pn_token_name(t->kind), strlen(pn_token_name(t->kind)));
    p->status = pn_fail(p->err, PUNA_E_FORMAT, "template line %d: %s '%s'", t->line, what, shown);
    return NULL;
}

#define MAX_TREE_BYTES ((size_t)96 << 20)

void *pn_parser_alloc(pn_parser *p, size_t bytes) {
    if (p->status) return NULL;
    if (bytes > MAX_TREE_BYTES || (p->tmpl->used_bytes += bytes + 16) > MAX_TREE_BYTES) {
        p->status = pn_fail(p->err, PUNA_E_LIMIT,
                            "template: its syntax tree needs more than %zu bytes", MAX_TREE_BYTES);
        return NULL;
    }
    void *ptr = pn_arena_alloc(&p->tmpl->arena, bytes);
    if (!ptr) p->status = pn_fail_nomem(p->err, bytes, "the syntax tree of a template");
    return ptr;
}

pn_node *pn_parser_node(pn_parser *p, pn_node_kind kind, int32_t line) {
    pn_node *node = pn_parser_alloc(p, sizeof *node);
    if (!node) return NULL;
    *node = (pn_node){.kind = (uint8_t)kind, .line = line, .name = -1};
    return node;
}

bool pn_parser_enter(pn_parser *p) {
    if (p->status) return false;
    if (p->nesting < PN_TMPL_MAX_NESTING) {
        p->nesting++;
        return true;
    }
    p->status = pn_fail(p->err, PUNA_E_LIMIT, "template line %d: nested deeper than %d",
                        p->at->line, PN_TMPL_MAX_NESTING);
    return false;
}

bool pn_parser_is(const pn_parser *p, const char *name) {
    return p->at->kind == PN_T_NAME && p->at->n == strlen(name) &&
           memcmp(p->at->text, name, p->at->n) == 0;
}

bool pn_parser_skip(pn_parser *p, const char *name) {
    if (!pn_parser_is(p, name)) return false;
    p->at++;
    return true;
}

bool pn_parser_expect(pn_parser *p, pn_token_kind kind) {
    if (p->status) return false;
    if (p->at->kind == kind) {
        if (kind != PN_T_EOF) p->at++;
        return true;
    }
    char what[64] = "expected '";
    strcat(what, pn_token_name(kind));
    strcat(what, "', got");
    return pn_parser_fail(p, what, NULL) != NULL;
}

bool pn_parser_intern(pn_parser *p, const char *text, size_t n, int32_t *id) {
    struct pn_tmpl *t = p->tmpl;
    *id = pn_strmap_get(&t->name_map, text, n);
    if (*id >= 0) return true;
    if (t->n_names == t->cap_names) {
        const int32_t cap = t->cap_names ? t->cap_names * 2 : 64;
        pn_name *list = pn_realloc(t->names, (size_t)cap, sizeof *list);
        if (!list) {
            p->status =
                pn_fail_nomem(p->err, (size_t)cap * sizeof *list, "the names of a template");
            return false;
        }
        t->names = list;
        t->cap_names = cap;
    }
    int32_t old;
    if (!pn_strmap_add(&t->name_map, text, n, t->n_names, &old)) {
        p->status = pn_fail_nomem(p->err, n, "the names of a template");
        return false;
    }
    t->names[t->n_names] = (pn_name){text, n};
    *id = t->n_names++;
    return true;
}

bool pn_parser_add(pn_parser *p, pn_node_list *list, pn_node *node) {
    if (!node || p->status) return false;
    if (list->n == list->cap) {
        const int32_t cap = list->cap ? list->cap * 2 : 8;
        pn_node **items =
            cap < (1 << 28) ? pn_realloc(list->items, (size_t)cap, sizeof *items) : NULL;
        if (!items) {
            p->status =
                pn_fail_nomem(p->err, (size_t)cap * sizeof *items, "the syntax tree of a template");
            return false;
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = node;
    return true;
}

/* Frees the list in any case. */
bool pn_parser_keep(pn_parser *p, pn_node_list *list, pn_node ***items, int32_t *n) {
    pn_node **copy = NULL;
    if (items && list->n) copy = pn_parser_alloc(p, (size_t)list->n * sizeof *copy);
    if (copy) memcpy(copy, list->items, (size_t)list->n * sizeof *copy);
    if (items) *items = copy;
    if (n) *n = copy ? list->n : 0;
    pn_free(list->items);
    list->items = NULL;
    return !p->status;
}

/* ---- statements ------------------------------------------------------------------------------------- */

static pn_node *parse_body(pn_parser *p, const char *const *ends);

/* Tags that the open block waits for, spelt for a message. */
static const char *describe_ends(const char *const *ends) {
    static const struct {
        const char *first, *text;
    } known[] = {{"elif", "'elif', 'else' or 'endif'"}, {"endfor", "'endfor' or 'else'"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(ends[0], known[i].first) == 0 && ends[1]) return known[i].text;
    return ends[0];
}

static pn_node *fail_end_of_template(pn_parser *p) {
    if (p->status) return NULL;
    char tag[PN_ESCAPED_BYTES];
    const bool eof = p->at->kind == PN_T_EOF;
    pn_escape(tag, p->at->text, p->at->n < 60 ? p->at->n : 60);
    const char *const what = eof ? "unexpected end of template" : "encountered unknown tag ";
    const char *const quote = eof ? "" : "'";
    if (p->looking)
        p->status = pn_fail(p->err, PUNA_E_FORMAT,
                            "template line %d: %s%s%s%s; looking for %s to close '%s'", p->at->line,
                            what, quote, eof ? "" : tag, quote, p->looking, p->innermost);
    else
        p->status = pn_fail(p->err, PUNA_E_FORMAT, "template line %d: %s%s%s%s", p->at->line, what,
                            quote, eof ? "" : tag, quote);
    return NULL;
}

/* The body of a block from the end of its tag to one of ends, which is not passed. */
static pn_node *parse_block_body(pn_parser *p, const char *tag, const char *const *ends) {
    const char *const outer_looking = p->looking, *const outer_innermost = p->innermost;
    if (p->at->kind == PN_T_COLON) p->at++;
    if (!pn_parser_expect(p, PN_T_BLOCK_END) || !pn_parser_enter(p)) return NULL;
    p->looking = describe_ends(ends);
    p->innermost = tag;
    pn_node *body = parse_body(p, ends);
    if (body && p->at->kind == PN_T_EOF) body = fail_end_of_template(p);
    p->nesting--;
    p->looking = outer_looking;
    p->innermost = outer_innermost;
    return body;
}

static pn_node *parse_closed_body(pn_parser *p, const char *tag, const char *end) {
    const char *const ends[] = {end, NULL};
    pn_node *body = parse_block_body(p, tag, ends);
    if (body) p->at++;
    return body;
}

static pn_node *parse_if(pn_parser *p, pn_node *node) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    pn_node_list list = {0};
    while (!p->status) {
        if (!pn_parser_add(p, &list, pn_parse_tuple(p, false, NULL, false))) break;
        if (!pn_parser_add(p, &list, parse_block_body(p, "if", ends))) break;
        if (pn_parser_skip(p, "elif")) continue;
        if (pn_parser_skip(p, "else"))
            node->b = parse_closed_body(p, "if", "endif");
        else
            p->at++;
        break;
    }
    node->kind = PN_N_IF;
    return pn_parser_keep(p, &list, &node->items, &node->n_items) ? node : NULL;
}

static pn_node *parse_for(pn_parser *p, pn_node *node) {
    static const char *const ends[] = {"endfor", "else", NULL};
    node->kind = PN_N_FOR;
    node->a = pn_parse_target(p, "in", false);
    if (!node->a) return NULL;
    if (!pn_parser_skip(p, "in")) return pn_parser_fail(p, "expected 'in', got", NULL);
    node->b = pn_parse_tuple(p, false, "recursive", false);
    if (node->b && pn_parser_skip(p, "if")) node->c = pn_parse_expression(p, true);
    if (p->status) return NULL;
    node->flag = pn_parser_skip(p, "recursive");
    p->n_loops++;
    node->d = parse_block_body(p, "for", ends);
    p->n_loops--;
    if (!node->d) return NULL;
    if (pn_parser_skip(p, "else")) {
        node->e = parse_closed_body(p, "for", "endfor");
        return node->e ? node : NULL;
    }
    p->at++;
    return node;
}

static pn_node *parse_set(pn_parser *p, pn_node *node) {
    node->a = pn_parse_target(p, NULL, true);
    if (!node->a) return NULL;
    if (p->at->kind == PN_T_ASSIGN) {
        p->at++;
        node->kind = PN_N_SET;
        node->b = pn_parse_tuple(p, true, NULL, false);
        return node->b ? node : NULL;
    }
    node->kind = PN_N_SET_BLOCK;
    node->b = pn_parse_block_filters(p, false);
    if (p->status) return NULL;
    node->d = parse_closed_body(p, "set", "endset");
    return node->d ? node : NULL;
}

static pn_node *parse_with(pn_parser *p, pn_node *node) {
    pn_node_list list = {0};
    node->kind = PN_N_WITH;
    while (!p->status && p->at->kind != PN_T_BLOCK_END && p->at->kind != PN_T_COLON) {
        if (list.n && !pn_parser_expect(p, PN_T_COMMA)) break;
        if (!pn_parser_add(p, &list, pn_parse_target(p, NULL, false))) break;
        if (!pn_parser_expect(p, PN_T_ASSIGN)) break;
        if (!pn_parser_add(p, &list, pn_parse_expression(p, true))) break;
    }
    if (!pn_parser_keep(p, &list, &node->items, &node->n_items)) return NULL;
    node->d = parse_closed_body(p, "with", "endwith");
    return node->d ? node : NULL;
}

/* (a, b=1, ...) into node->params; the names are at most as many as the tokens. */
static bool parse_signature(pn_parser *p, pn_node *node) {
    pn_params *params = node->params;
    int32_t cap = 0;
    if (!pn_parser_expect(p, PN_T_LPAREN)) return false;
    for (const pn_token *t = p->at; t->kind != PN_T_EOF && t->kind != PN_T_BLOCK_END; t++)
        cap += t->kind == PN_T_NAME;
    params->names = pn_parser_alloc(p, (size_t)cap * sizeof *params->names);
    params->defaults = pn_parser_alloc(p, (size_t)cap * sizeof *params->defaults);
    bool defaults = false;
    while (!p->status && p->at->kind != PN_T_RPAREN) {
        if (params->n && !pn_parser_expect(p, PN_T_COMMA)) break;
        const pn_token name = *p->at;
        if (!pn_parser_expect(p, PN_T_NAME)) break;
        if (!pn_parser_intern(p, name.text, name.n, &params->names[params->n])) break;
        pn_node *value = NULL;
        if (p->at->kind == PN_T_ASSIGN) {
            p->at++;
            value = pn_parse_expression(p, true);
            defaults = true;
        } else if (defaults) {
            pn_parser_fail(p, "non-default argument follows default argument", "");
        }
        params->defaults[params->n++] = value;
    }
    return !p->status && pn_parser_expect(p, PN_T_RPAREN);
}

/* Body and signature of a macro or call block; finds out which of the special names it uses. */
static pn_node *parse_macro_body(pn_parser *p, pn_node *node, const char *tag, const char *end) {
    const int32_t caller = p->n_caller, varargs = p->n_varargs, kwargs = p->n_kwargs,
                  loops = p->n_loops;
    p->n_loops = 0;
    node->d = parse_closed_body(p, tag, end);
    p->n_loops = loops;
    node->params->caller = p->n_caller > caller;
    node->params->varargs = p->n_varargs > varargs;
    node->params->kwargs = p->n_kwargs > kwargs;
    return node->d ? node : NULL;
}

static bool add_params(pn_parser *p, pn_node *node) {
    node->params = pn_parser_alloc(p, sizeof *node->params);
    if (node->params) *node->params = (pn_params){0};
    return node->params != NULL;
}

static pn_node *parse_macro(pn_parser *p, pn_node *node) {
    const pn_token name = *p->at;
    node->kind = PN_N_MACRO;
    if (!add_params(p, node) || !pn_parser_expect(p, PN_T_NAME)) return NULL;
    if (!pn_parser_intern(p, name.text, name.n, &node->name) || !parse_signature(p, node))
        return NULL;
    return parse_macro_body(p, node, "macro", "endmacro");
}

static pn_node *parse_call_block(pn_parser *p, pn_node *node) {
    node->kind = PN_N_CALL_BLOCK;
    if (!add_params(p, node)) return NULL;
    if (p->at->kind == PN_T_LPAREN && !parse_signature(p, node)) return NULL;
    node->a = pn_parse_expression(p, true);
    if (!node->a) return NULL;
    if (node->a->kind != PN_N_CALL) return pn_parser_fail(p, "expected call", "");
    return parse_macro_body(p, node, "call", "endcall");
}

static pn_node *parse_filter_block(pn_parser *p, pn_node *node) {
    node->kind = PN_N_FILTER_BLOCK;
    node->b = pn_parse_block_filters(p, true);
    if (!node->b) return NULL;
    node->d = parse_closed_body(p, "filter", "endfilter");
    return node->d ? node : NULL;
}

/* block and generation: their body is printed where it stands, with names of its own. */
static pn_node *parse_block(pn_parser *p, pn_node *node) {
    const pn_token name = *p->at;
    node->kind = PN_N_BLOCK;
    if (!pn_parser_expect(p, PN_T_NAME)) return NULL;
    pn_parser_skip(p, "scoped");
    pn_parser_skip(p, "required");
    node->d = parse_closed_body(p, "block", "endblock");
    if (node->d && p->at->kind == PN_T_NAME && p->at->n == name.n &&
        memcmp(p->at->text, name.text, name.n) == 0)
        p->at++;
    return node->d ? node : NULL;
}

static pn_node *parse_generation(pn_parser *p, pn_node *node) {
    node->kind = PN_N_BLOCK;
    node->flag = true;
    node->d = parse_closed_body(p, "generation", "endgeneration");
    return node->d ? node : NULL;
}

static pn_node *parse_autoescape(pn_parser *p, pn_node *node) {
    const char *const off = "autoescape can only be switched off";
    node->kind = PN_N_BLOCK;
    node->flag = true;
    if (!pn_parser_is(p, "false") && !pn_parser_is(p, "False")) return pn_parser_fail(p, off, "");
    p->at++;
    node->d = parse_closed_body(p, "autoescape", "endautoescape");
    return node->d ? node : NULL;
}

static pn_node *parse_print(pn_parser *p, pn_node *node) {
    pn_node_list list = {0};
    node->kind = PN_N_BODY;
    while (!p->status && p->at->kind != PN_T_BLOCK_END) {
        if (list.n && !pn_parser_expect(p, PN_T_COMMA)) break;
        pn_node *print = pn_parser_node(p, PN_N_PRINT, p->at->line);
        if (!print) break;
        print->a = pn_parse_expression(p, true);
        if (!print->a || !pn_parser_add(p, &list, print)) break;
    }
    return pn_parser_keep(p, &list, &node->items, &node->n_items) ? node : NULL;
}

static pn_node *parse_jump(pn_parser *p, pn_node *node) {
    node->kind = p->at[-1].text[0] == 'b' ? PN_N_BREAK : PN_N_CONTINUE;
    if (!p->n_loops) return pn_parser_fail(p, "break or continue outside of a loop", "");
    return node;
}

/* include, import, from, extends: there is nothing to load from, which is an error when it is reached. */
static pn_node *parse_no_loader(pn_parser *p, pn_node *node) {
    node->kind = PN_N_NO_LOADER;
    while (p->at->kind != PN_T_BLOCK_END && p->at->kind != PN_T_EOF) p->at++;
    return node;
}

static pn_node *parse_statement(pn_parser *p) {
    static const struct {
        const char *tag;
        pn_node *(*parse)(pn_parser *, pn_node *);
    } statements[] = {{"if", parse_if},
                      {"for", parse_for},
                      {"set", parse_set},
                      {"macro", parse_macro},
                      {"call", parse_call_block},
                      {"filter", parse_filter_block},
                      {"with", parse_with},
                      {"block", parse_block},
                      {"generation", parse_generation},
                      {"autoescape", parse_autoescape},
                      {"print", parse_print},
                      {"break", parse_jump},
                      {"continue", parse_jump},
                      {"include", parse_no_loader},
                      {"import", parse_no_loader},
                      {"from", parse_no_loader},
                      {"extends", parse_no_loader}};
    if (p->at->kind != PN_T_NAME) return pn_parser_fail(p, "tag name expected, got", NULL);
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        const int32_t line = p->at->line;
        if (!pn_parser_skip(p, statements[i].tag)) continue;
        pn_node *node = pn_parser_node(p, PN_N_BODY, line);
        return node ? statements[i].parse(p, node) : NULL;
    }
    return fail_end_of_template(p);
}

static pn_node *parse_data(pn_parser *p) {
    const pn_token token = *p->at++;
    pn_node *node = pn_parser_node(p, PN_N_DATA, token.line);
    pn_text *text = node ? pn_parser_alloc(p, sizeof *text) : NULL;
    if (!text) return NULL;
    *text = (pn_text){.data = token.text, .n = token.n, .n_chars = SIZE_MAX};
    node->value = (pn_value){.kind = PN_V_STRING, .text = text};
    return node;
}

static pn_node *parse_print_tag(pn_parser *p) {
    pn_node *node = pn_parser_node(p, PN_N_PRINT, p->at->line);
    p->at++;
    if (!node) return NULL;
    node->a = pn_parse_tuple(p, true, NULL, false);
    return node->a && pn_parser_expect(p, PN_T_PRINT_END) ? node : NULL;
}

static bool at_end(const pn_parser *p, const char *const *ends) {
    for (; ends && *ends; ends++)
        if (pn_parser_is(p, *ends)) return true;
    return false;
}

static pn_node *parse_body(pn_parser *p, const char *const *ends) {
    pn_node_list list = {0};
    pn_node *body = pn_parser_node(p, PN_N_BODY, p->at->line);
    while (!p->status && p->at->kind != PN_T_EOF) {
        pn_node *node;
        if (p->at->kind == PN_T_DATA) {
            node = parse_data(p);
        } else if (p->at->kind == PN_T_PRINT_BEGIN) {
            node = parse_print_tag(p);
        } else {
            p->at++; /* the begin of a block: the lexer gives nothing else here */
            if (at_end(p, ends)) break;
            node = parse_statement(p);
            if (node) pn_parser_expect(p, PN_T_BLOCK_END);
        }
        pn_parser_add(p, &list, node);
    }
    const bool kept =
        pn_parser_keep(p, &list, body ? &body->items : NULL, body ? &body->n_items : NULL);
    return kept ? body : NULL;
}

puna_status pn_tmpl_parse_tokens(struct pn_tmpl *tmpl, const pn_tokens *tokens, puna_error *err) {
    pn_parser p = {.tmpl = tmpl, .at = tokens->list, .err = err};
    tmpl->body = parse_body(&p, NULL);
    return p.status;
}
