/* jinja_lexer.h: template text to tokens. */
#ifndef PN_TMPL_JINJA_LEXER_H
#define PN_TMPL_JINJA_LEXER_H

#include "base/mem.h"
#include "puna.h"

typedef enum pn_token_kind {
    PN_T_EOF,
    PN_T_DATA,
    PN_T_PRINT_BEGIN,
    PN_T_PRINT_END,
    PN_T_BLOCK_BEGIN,
    PN_T_BLOCK_END,
    PN_T_NAME,
    PN_T_STRING,
    PN_T_INTEGER,
    PN_T_FLOAT,
    PN_T_ADD,
    PN_T_SUB,
    PN_T_MUL,
    PN_T_DIV,
    PN_T_FLOORDIV,
    PN_T_MOD,
    PN_T_POW,
    PN_T_TILDE,
    PN_T_LBRACKET,
    PN_T_RBRACKET,
    PN_T_LPAREN,
    PN_T_RPAREN,
    PN_T_LBRACE,
    PN_T_RBRACE,
    PN_T_EQ,
    PN_T_NE,
    PN_T_GT,
    PN_T_GE,
    PN_T_LT,
    PN_T_LE,
    PN_T_ASSIGN,
    PN_T_DOT,
    PN_T_COLON,
    PN_T_PIPE,
    PN_T_COMMA,
    PN_T_SEMICOLON,
    PN_T_IN, /* not a token: the operators `in` and `not in` of the syntax tree */
    PN_T_NOT_IN
} pn_token_kind;

/* Text of names, numbers (as written), strings (escapes undone) and data (trimmed). */
typedef struct pn_token {
    pn_token_kind kind;
    int32_t line;
    const char *text;
    size_t n;
} pn_token;

typedef struct pn_tokens {
    pn_token *list; /* ends with EOF */
    size_t n, cap;
} pn_tokens;

/* Tokens of a whole template; their text lives in arena. Free the list with pn_free. */
puna_status pn_tmpl_lex(const char *text, size_t n, pn_arena *arena, pn_tokens *tokens,
                        puna_error *err);

/* What a kind is called in messages: "name", "end of print statement", ",". */
const char *pn_token_name(pn_token_kind kind);

#endif
