/* jinja_ast.h: the syntax tree and the parsed template. Everything lives in the template's arena, nothing in it
 * changes after parsing. */
#ifndef PN_TMPL_JINJA_AST_H
#define PN_TMPL_JINJA_AST_H

#include "base/mem.h"
#include "base/strmap.h"
#include "tmpl/jinja_lexer.h"
#include "tmpl/jinja_value.h"

typedef enum pn_node_kind {
    /* expressions */
    PN_N_CONST,
    PN_N_NAME,
    PN_N_LIST,   /* items */
    PN_N_TUPLE,  /* items */
    PN_N_DICT,   /* items: key, value, key, value ... */
    PN_N_ATTR,   /* a.value */
    PN_N_ITEM,   /* a[b] */
    PN_N_SLICE,  /* only as b of ITEM: a:b:c, each may be NULL */
    PN_N_CALL,   /* a(args) */
    PN_N_FILTER, /* a | value(args); a NULL: the text of a block */
    PN_N_TEST,   /* a is value(args) */
    PN_N_NOT,
    PN_N_NEG,
    PN_N_POS,
    PN_N_AND,
    PN_N_OR,
    PN_N_IF_ELSE,   /* b if a else c */
    PN_N_BINARY,    /* a op b, op a token */
    PN_N_CONCAT,    /* items */
    PN_N_COMPARE,   /* a, then items each COMPARE with op and a */
    PN_N_NS_TARGET, /* name.value as a target of set */
    /* statements */
    PN_N_DATA,         /* template text: value */
    PN_N_PRINT,        /* a */
    PN_N_BODY,         /* items */
    PN_N_IF,           /* items: test, body, test, body ...; b: else */
    PN_N_FOR,          /* a target, b iterable, c test, d body, e else; flag: recursive */
    PN_N_SET,          /* a target, b expression */
    PN_N_SET_BLOCK,    /* a target, b filters or NULL, d body */
    PN_N_FILTER_BLOCK, /* b filters, d body */
    PN_N_WITH,         /* items: target, value ...; d body */
    PN_N_MACRO,        /* name, params, d body */
    PN_N_CALL_BLOCK,   /* a call, params, d body */
    PN_N_BLOCK,        /* d body */
    PN_N_BREAK,
    PN_N_CONTINUE,
    PN_N_NO_LOADER /* include, import, extends */
} pn_node_kind;

typedef struct pn_node pn_node;

typedef struct pn_call_args {
    pn_node **pos;
    int32_t n_pos;
    pn_node **kw; /* CONST name, value, ... */
    int32_t n_kw; /* pairs */
    pn_node *star, *star_star;
} pn_call_args;

typedef struct pn_params {
    int32_t *names;
    pn_node **defaults; /* NULL where there is none */
    int32_t n;
    bool caller, varargs, kwargs; /* the body uses these */
} pn_params;

struct pn_node {
    uint8_t kind;
    uint8_t op; /* pn_token_kind */
    bool flag;
    uint16_t height; /* of the expression below */
    int32_t line, name;
    int32_t n_items;
    pn_node *a, *b, *c, *d, *e;
    pn_node **items;
    pn_value value;
    pn_call_args *args;
    pn_params *params;
};

typedef struct pn_name {
    const char *text;
    size_t n;
} pn_name;

struct pn_tmpl {
    pn_arena arena;
    size_t used_bytes;
    pn_strmap name_map;
    pn_name *names;
    int32_t n_names, cap_names;
    pn_node *body;
};

#define PN_TMPL_MAX_NESTING 200  /* parentheses, blocks, nots inside each other */
#define PN_TMPL_MAX_HEIGHT  1000 /* length of a chain such as a.b.c or a + b + c */

puna_status pn_tmpl_parse_tokens(struct pn_tmpl *tmpl, const pn_tokens *tokens, puna_error *err);

#endif
