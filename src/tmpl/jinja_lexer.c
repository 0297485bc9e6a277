/* jinja_lexer.c: template text to tokens, with trim_blocks and lstrip_blocks.
 *
 * Outside of tags, text is data. The newline after a block or comment tag goes away, as does the white space between
 * the start of a line and such a tag; "-" at a tag's edge removes all white space on that side, "+" keeps it. Before
 * anything else every line end becomes "\n", one newline at the very end is dropped, and what is no UTF-8 becomes
 * U+FFFD. Inside of tags an end mark counts only outside of brackets, so a dict may end in "}}". */
#include "tmpl/jinja_lexer.h"

#include "base/error.h"
#include "tmpl/jinja_unicode.h"

#include <string.h>

#define MAX_BRACKETS 4096

typedef struct lexer {
    const char *s;
    size_t n, at;
    int32_t line;
    size_t line_counted; /* line is that of this byte */
    bool line_starting;  /* the last tag ended a line, or nothing came before */
    pn_arena *arena;
    pn_tokens *tokens;
    puna_error *err;
} lexer;

static const char *const names[] = {
    "end of template",
    "template data",
    "begin of print statement",
    "end of print statement",
    "begin of statement block",
    "end of statement block",
    "name",
    "string",
    "integer",
    "float",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "~",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "==",
    "!=",
    ">",
    ">=",
    "<",
    "<=",
    "=",
    ".",
    ":",
    "|",
    ",",
    ";",
    "in",
    "not in",
};

const char *pn_token_name(pn_token_kind kind) {
    return names[kind];
}

static int32_t line_at(lexer *x, size_t at) {
    for (; x->line_counted < at; x->line_counted++)
        if (x->s[x->line_counted] == '\n') x->line++;
    return x->line;
}

static puna_status push(lexer *x, pn_token_kind kind, size_t at, const char *text, size_t n) {
    pn_tokens *t = x->tokens;
    if (t->n == t->cap) {
        const size_t cap = t->cap ? t->cap * 2 : 64;
        pn_token *list = pn_realloc(t->list, cap, sizeof *list);
        if (!list) return pn_fail_nomem(x->err, cap * sizeof *list, "the tokens of a template");
        t->list = list;
        t->cap = cap;
    }
    t->list[t->n++] = (pn_token){kind, line_at(x, at), text, n};
    return PUNA_OK;
}

/* Bytes of white space (as Python's str.isspace) at s. */
static size_t space_length(const char *s, size_t n) {
    uint32_t c;
    size_t i = 0;
    while (i < n) {
        const size_t len = pn_uni_decode(s + i, n - i, &c);
        if (!pn_uni_is_space(c)) break;
        i += len;
    }
    return i;
}

static size_t rstrip_length(const char *s, size_t n) {
    while (n) {
        size_t start = n - 1;
        while (start && ((unsigned char)s[start] & 0xc0) == 0x80) start--;
        uint32_t c;
        pn_uni_decode(s + start, n - start, &c);
        if (!pn_uni_is_space(c)) break;
        n = start;
    }
    return n;
}

/* The data [from, to) before a tag whose opening carries sign ('-', '+' or 0). */
static puna_status push_data(lexer *x, size_t from, size_t to, char sign, bool lstrip) {
    size_t n = to - from;
    const char *text = x->s + from;
    if (sign == '-') {
        n = rstrip_length(text, n);
    } else if (sign != '+' && lstrip) {
        size_t start = n;
        while (start && text[start - 1] != '\n') start--;
        if ((start || x->line_starting) && space_length(text + start, n - start) == n - start)
            n = start;
    }
    return n ? push(x, PN_T_DATA, from, text, n) : PUNA_OK;
}

static bool starts_with(const lexer *x, size_t at, const char *word) {
    const size_t n = strlen(word);
    return x->n - at >= n && memcmp(x->s + at, word, n) == 0;
}

/* Length of the end mark of a block or comment at `at`, with the white space it swallows, or 0. */
static size_t end_length(const lexer *x, size_t at, const char *mark) {
    if (x->s[at] == '-' && starts_with(x, at + 1, mark))
        return 3 + space_length(x->s + at + 3, x->n - at - 3);
    if (x->s[at] == '+' && starts_with(x, at + 1, mark)) return 3;
    if (!starts_with(x, at, mark)) return 0;
    return at + 2 < x->n && x->s[at + 2] == '\n' ? 3 : 2;
}

static void pass(lexer *x, size_t to) {
    x->at = to;
    x->line_starting = to > 0 && x->s[to - 1] == '\n';
}

/* If the text at `at` (after "{%" and its sign) is WORD and the end of a block: the bytes up to and with that end. */
static size_t word_block_length(const lexer *x, size_t at, const char *word, bool trim) {
    size_t i = at + space_length(x->s + at, x->n - at);
    if (!starts_with(x, i, word)) return 0;
    i += strlen(word);
    i += space_length(x->s + i, x->n - i);
    if (i >= x->n) return 0;
    if (!trim) { /* {% raw %}: "+" is no sign there, the newline behind it stays */
        if (starts_with(x, i, "%}")) return i + 2 - at;
        if (!starts_with(x, i, "-%}")) return 0;
    }
    const size_t end = end_length(x, i, "%}");
    return end ? i + end - at : 0;
}

static puna_status lex_comment(lexer *x, size_t open) {
    for (size_t i = open + 2; i < x->n; i++) {
        const size_t end = end_length(x, i, "#}");
        if (end) {
            pass(x, i + end);
            return PUNA_OK;
        }
    }
    return pn_fail(x->err, PUNA_E_FORMAT, "template line %d: missing end of comment tag",
                   line_at(x, open));
}

static puna_status lex_raw(lexer *x, size_t open, size_t from) {
    for (size_t i = from; i + 1 < x->n; i++) {
        if (x->s[i] != '{' || x->s[i + 1] != '%') continue;
        const char sign =
            i + 2 < x->n && (x->s[i + 2] == '-' || x->s[i + 2] == '+') ? x->s[i + 2] : 0;
        const size_t after = i + 2 + (sign != 0);
        const size_t len = word_block_length(x, after, "endraw", true);
        if (!len) continue;
        pass(x, from);
        const puna_status status = push_data(x, from, i, sign, true);
        if (status) return status;
        pass(x, after + len);
        return PUNA_OK;
    }
    return pn_fail(x->err, PUNA_E_FORMAT, "template line %d: missing end of raw directive",
                   line_at(x, open));
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Reads n hex digits at s (which has `left` bytes); false when they are not there or no code point. */
static bool read_hex(const char *s, size_t left, size_t n, uint32_t *code) {
    *code = 0;
    if (left < n) return false;
    for (size_t i = 0; i < n; i++) {
        const int d = hex_digit(s[i]);
        if (d < 0) return false;
        *code = *code << 4 | (uint32_t)d;
    }
    return *code <= 0x10ffff;
}

/* Undoes one escape; s is behind the backslash. Returns the bytes read, 0 when it is malformed. */
static size_t unescape(const char *s, size_t left, char *out, size_t *n_out) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char *simple = strchr(from, s[0]);
    uint32_t code = 0;
    size_t used = 1;
    *n_out = 0;
    if (s[0] == '\n') return 1; /* a line continued */
    if (s[0] && simple) {
        out[(*n_out)++] = to[simple - from];
        return 1;
    }
    if (s[0] >= '0' && s[0] <= '7') {
        for (used = 0; used < 3 && used < left && s[used] >= '0' && s[used] <= '7'; used++)
            code = code * 8 + (uint32_t)(s[used] - '0');
    } else if (s[0] == 'x' || s[0] == 'u' || s[0] == 'U') {
        const size_t digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : 8;
        if (!read_hex(s + 1, left - 1, digits, &code)) return 0;
        used = 1 + digits;
    } else { /* unknown: stays as it is, with its backslash */
        out[(*n_out)++] = '\\';
        return SIZE_MAX;
    }
    if (code >= 0xd800 && code < 0xe000) code = 0xfffd; /* half a pair has no UTF-8 */
    *n_out = pn_utf8_encode(code, out);
    return used;
}

static puna_status lex_string(lexer *x) {
    const char quote = x->s[x->at];
    const size_t begin = x->at + 1;
    size_t end = begin;
    while (end < x->n && x->s[end] != quote) end += x->s[end] == '\\' ? 2 : 1;
    if (end >= x->n)
        return pn_fail(x->err, PUNA_E_FORMAT,
                       "template line %d: unexpected char %c: a string without an end",
                       line_at(x, x->at), quote);
    char *out = pn_arena_alloc(x->arena, end - begin + 4);
    if (!out) return pn_fail_nomem(x->err, end - begin + 4, "a string of a template");
    size_t n = 0;
    for (size_t i = begin; i < end;) {
        if (x->s[i] != '\\') {
            out[n++] = x->s[i++];
            continue;
        }
        char bytes[4];
        size_t n_bytes;
        const size_t used = unescape(x->s + i + 1, end - i - 1, bytes, &n_bytes);
        if (!used)
            return pn_fail(x->err, PUNA_E_FORMAT, "template line %d: malformed escape in a string",
                           line_at(x, i));
        memcpy(out + n, bytes, n_bytes);
        n += n_bytes;
        i += used == SIZE_MAX ? 1 : 1 + used;
    }
    const puna_status status = push(x, PN_T_STRING, x->at, out, n);
    x->at = end + 1;
    return status;
}

/* Digits of a base with single underscores between them, from `i`; returns where they end (i: none). */
static size_t digits_end(const lexer *x, size_t i, int base) {
    size_t end = i;
    while (end < x->n) {
        const size_t digit = end + (end > i && x->s[end] == '_');
        if (digit >= x->n) break;
        const int d = hex_digit(x->s[digit]);
        if (d < 0 || d >= base) break;
        end = digit + 1;
    }
    return end;
}

/* Where a float at x->at ends, or x->at. */
static size_t float_end(const lexer *x) {
    const size_t whole = digits_end(x, x->at, 10);
    size_t end = whole;
    if (whole == x->at || (x->at && x->s[x->at - 1] == '.')) return x->at;
    if (end < x->n && x->s[end] == '.') {
        const size_t fraction = digits_end(x, end + 1, 10);
        if (fraction > end + 1) end = fraction;
    }
    if (end < x->n && (x->s[end] == 'e' || x->s[end] == 'E')) {
        size_t i = end + 1;
        if (i < x->n && (x->s[i] == '+' || x->s[i] == '-')) i++;
        const size_t exponent = digits_end(x, i, 10);
        if (exponent > i) end = exponent;
    }
    return end == whole ? x->at : end;
}

static size_t integer_end(const lexer *x) {
    const size_t i = x->at;
    if (x->s[i] == '0' && i + 1 < x->n) {
        const char mark = (char)(x->s[i + 1] | 32);
        const int base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
        if (base) {
            const size_t digits = i + 2 + (i + 2 < x->n && x->s[i + 2] == '_');
            const size_t end = digits_end(x, digits, base);
            return end > digits ? end : i + 1;
        }
    }
    if (x->s[i] != '0') return digits_end(x, i, 10);
    size_t end = i + 1; /* 0, 00, 0_0; 012 is 0 and 12 */
    while (end < x->n &&
           (x->s[end] == '0' || (x->s[end] == '_' && end + 1 < x->n && x->s[end + 1] == '0')))
        end++;
    return end;
}

static puna_status lex_number(lexer *x) {
    const size_t as_float = float_end(x), begin = x->at;
    const size_t end = as_float > begin ? as_float : integer_end(x);
    char *out = pn_arena_alloc(x->arena, end - begin + 1);
    if (!out) return pn_fail_nomem(x->err, end - begin + 1, "a number of a template");
    size_t n = 0;
    for (size_t i = begin; i < end; i++)
        if (x->s[i] != '_') out[n++] = x->s[i];
    out[n] = 0;
    x->at = end;
    return push(x, as_float > begin ? PN_T_FLOAT : PN_T_INTEGER, begin, out, n);
}

static pn_token_kind operator_kind(const char *s, size_t n, size_t *len) {
    static const struct {
        char text[3];
        uint8_t kind;
    } operators[] = {
        {"//", PN_T_FLOORDIV}, {"**", PN_T_POW},     {"==", PN_T_EQ},    {"!=", PN_T_NE},
        {">=", PN_T_GE},       {"<=", PN_T_LE},      {"+", PN_T_ADD},    {"-", PN_T_SUB},
        {"*", PN_T_MUL},       {"/", PN_T_DIV},      {"%", PN_T_MOD},    {"~", PN_T_TILDE},
        {"[", PN_T_LBRACKET},  {"]", PN_T_RBRACKET}, {"(", PN_T_LPAREN}, {")", PN_T_RPAREN},
        {"{", PN_T_LBRACE},    {"}", PN_T_RBRACE},   {">", PN_T_GT},     {"<", PN_T_LT},
        {"=", PN_T_ASSIGN},    {".", PN_T_DOT},      {":", PN_T_COLON},  {"|", PN_T_PIPE},
        {",", PN_T_COMMA},     {";", PN_T_SEMICOLON}};
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        *len = strlen(operators[i].text);
        if (n >= *len && memcmp(s, operators[i].text, *len) == 0) return operators[i].kind;
    }
    return PN_T_EOF;
}

static puna_status check_bracket(lexer *x, pn_token_kind kind, char *open, size_t *n_open) {
    const char closer = kind == PN_T_LPAREN ? ')' : kind == PN_T_LBRACE ? '}' : ']';
    const char c = x->s[x->at];
    if (kind == PN_T_LPAREN || kind == PN_T_LBRACE || kind == PN_T_LBRACKET) {
        if (*n_open == MAX_BRACKETS)
            return pn_fail(x->err, PUNA_E_LIMIT, "template line %d: brackets nested deeper than %d",
                           line_at(x, x->at), MAX_BRACKETS);
        open[(*n_open)++] = closer;
    } else if (kind == PN_T_RPAREN || kind == PN_T_RBRACE || kind == PN_T_RBRACKET) {
        if (!*n_open)
            return pn_fail(x->err, PUNA_E_FORMAT, "template line %d: unexpected '%c'",
                           line_at(x, x->at), c);
        const char expected = open[--*n_open];
        if (expected != c)
            return pn_fail(x->err, PUNA_E_FORMAT,
                           "template line %d: unexpected '%c', expected '%c'", line_at(x, x->at), c,
                           expected);
    }
    return PUNA_OK;
}

static size_t name_length(const char *s, size_t n) {
    uint32_t c;
    size_t i = 0;
    while (i < n) {
        const size_t len = pn_uni_decode(s + i, n - i, &c);
        if (!pn_uni_is_word(c)) break;
        i += len;
    }
    return i;
}

static puna_status lex_token(lexer *x, char *open, size_t *n_open) {
    const char *s = x->s + x->at;
    const size_t left = x->n - x->at;
    if (*s >= '0' && *s <= '9') return lex_number(x);
    if (*s == '\'' || *s == '"') return lex_string(x);
    const size_t name = name_length(s, left);
    size_t len;
    if (name) {
        x->at += name;
        return push(x, PN_T_NAME, x->at - name, s, name);
    }
    const pn_token_kind kind = operator_kind(s, left, &len);
    if (kind == PN_T_EOF) {
        char shown[PN_ESCAPED_BYTES];
        uint32_t c;
        return pn_fail(x->err, PUNA_E_FORMAT, "template line %d: unexpected char '%s'",
                       line_at(x, x->at), pn_escape(shown, s, pn_uni_decode(s, left, &c)));
    }
    const puna_status status = check_bracket(x, kind, open, n_open);
    if (status) return status;
    x->at += len;
    return push(x, kind, x->at - len, s, len);
}

/* The inside of {{ }} or {% %}, with its end mark. */
static puna_status lex_inside(lexer *x, bool print) {
    char open[MAX_BRACKETS];
    size_t n_open = 0;
    for (;;) {
        x->at += space_length(x->s + x->at, x->n - x->at);
        if (x->at >= x->n) return PUNA_OK; /* the parser says what is missing */
        size_t end = 0;
        if (!n_open && !print) {
            end = end_length(x, x->at, "%}");
        } else if (!n_open) {
            const bool strip = x->s[x->at] == '-';
            if (starts_with(x, x->at + strip, "}}")) end = 2u + strip;
            if (end && strip) end += space_length(x->s + x->at + 3, x->n - x->at - 3);
        }
        if (end) {
            const size_t at = x->at;
            pass(x, at + end);
            return push(x, print ? PN_T_PRINT_END : PN_T_BLOCK_END, at, x->s + at, end);
        }
        const puna_status status = lex_token(x, open, &n_open);
        if (status) return status;
    }
}

/* Data up to the next tag, and the tag. */
static puna_status lex_piece(lexer *x) {
    size_t i = x->at;
    while (i + 1 < x->n &&
           !(x->s[i] == '{' && (x->s[i + 1] == '{' || x->s[i + 1] == '%' || x->s[i + 1] == '#')))
        i++;
    if (i + 1 >= x->n) {
        const size_t from = x->at;
        pass(x, x->n);
        return push(x, PN_T_DATA, from, x->s + from, x->n - from);
    }
    const char mark = x->s[i + 1], after = i + 2 < x->n ? x->s[i + 2] : 0;
    const char sign = after == '-' || after == '+' ? after : 0;
    const size_t inside = i + 2 + (sign != 0);
    puna_status status = push_data(x, x->at, i, sign, mark != '{');
    if (status) return status;
    x->at = inside;
    if (mark == '#') return lex_comment(x, i);
    const size_t raw = mark == '%' ? word_block_length(x, inside, "raw", false) : 0;
    if (raw) return lex_raw(x, i, inside + raw);
    status = push(x, mark == '{' ? PN_T_PRINT_BEGIN : PN_T_BLOCK_BEGIN, i, x->s + i, 2);
    return status ? status : lex_inside(x, mark == '{');
}

/* A copy with uniform line ends and valid UTF-8. */
static char *clean_copy(pn_arena *arena, const char *text, size_t n, size_t *n_out) {
    char *out = n < SIZE_MAX / 4 ? pn_arena_alloc(arena, 3 * n + 1) : NULL;
    if (!out) return NULL;
    size_t o = 0;
    for (size_t i = 0; i < n;) {
        if (text[i] == '\r') {
            out[o++] = '\n';
            i += i + 1 < n && text[i + 1] == '\n' ? 2 : 1;
            continue;
        }
        uint32_t c;
        const size_t len = pn_utf8_decode(text + i, n - i, &c);
        if (len) {
            memcpy(out + o, text + i, len);
            o += len;
        } else {
            o += pn_utf8_encode(0xfffd, out + o);
        }
        i += len ? len : 1;
    }
    if (o && out[o - 1] == '\n') o--;
    out[o] = 0;
    *n_out = o;
    return out;
}

puna_status pn_tmpl_lex(const char *text, size_t n, pn_arena *arena, pn_tokens *tokens,
                        puna_error *err) {
    lexer x = {.line = 1, .line_starting = true, .arena = arena, .tokens = tokens, .err = err};
    x.s = clean_copy(arena, text, n, &x.n);
    if (!x.s) return pn_fail_nomem(err, n, "a template");
    while (x.at < x.n) {
        const puna_status status = lex_piece(&x);
        if (status) return status;
    }
    return push(&x, PN_T_EOF, x.n, x.s + x.n, 0);
}
