/* jinja_format.c: "..." % values and "...".format(values).
 *
 * Both read a specification (fill, alignment, sign, width, precision, type) and put one value by it; widths are
 * bounded by the memory of the rendering. Attribute names with two leading underscores do not exist here either. */
#include "tmpl/jinja_render.h"
#include "tmpl/jinja_unicode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct spec {
    pn_text fill; /* one character */
    char align;   /* '<' '>' '^' '=' or 0 */
    char sign;    /* '+' ' ' or 0 */
    bool alternate;
    char group;               /* ',' '_' or 0 */
    int64_t width, precision; /* precision -1: none */
    char type;                /* 0: none */
} spec;

#define MAX_WIDTH ((int64_t)1 << 31)

static spec new_spec(void) {
    return (spec){.fill = {.data = " ", .n = 1, .n_chars = 1}, .precision = -1};
}

/* Text between fill characters. head: sign and prefix, which stay before the fill of '='. */
static bool put_padded(pn_builder *b, const spec *s, const char *head, const pn_text *body,
                       char align) {
    const int64_t n = (int64_t)(strlen(head) + pn_text_chars(body)),
                  missing = s->width > n ? s->width - n : 0;
    const int32_t origin = body->n ? pn_text_origin(body, 0) : body->origin;
    const size_t left = align == '>' || align == '=' ? (size_t)missing
                        : align == '^'               ? (size_t)missing / 2
                                                     : 0;
    const pn_text *fill = &s->fill;
    if (align == '=' && (!pn_put_c(b, head, origin) || !pn_put_fill(b, fill, left))) return false;
    if (align != '=' && (!pn_put_fill(b, fill, left) || !pn_put_c(b, head, origin))) return false;
    return pn_put_text(b, body) && pn_put_fill(b, fill, (size_t)missing - left);
}

static bool put_text(pn_builder *b, const spec *s, const pn_text *text) {
    pn_value cut = {.kind = PN_V_STRING, .text = text};
    if (s->precision >= 0 && (uint64_t)s->precision < pn_text_chars(text) &&
        !pn_text_slice(b->r, text, 0, pn_text_offset(text, (size_t)s->precision), &cut))
        return false;
    return put_padded(b, s, "", cut.text, s->align ? s->align : '<');
}

/* digits with separators every `size` from the right of the whole part (n_whole digits). */
static bool put_grouped(pn_builder *b, const char *digits, size_t n, size_t n_whole, char group,
                        size_t size, int32_t origin) {
    for (size_t i = 0; i < n; i++) {
        if (group && i && i < n_whole && (n_whole - i) % size == 0 && !pn_put(b, &group, 1, origin))
            return false;
        if (!pn_put(b, digits + i, 1, origin)) return false;
    }
    return true;
}

static bool put_number(pn_builder *b, const spec *s, bool negative, const char *prefix,
                       const char *digits, size_t n, size_t group_size, int32_t origin) {
    char head[8];
    pn_value body;
    size_t n_whole = 0;
    pn_builder inner = pn_builder_new(b->r);
    while (n_whole < n && ((digits[n_whole] >= '0' && digits[n_whole] <= '9') ||
                           (group_size == 4 && digits[n_whole] >= 'A')))
        n_whole++;
    (void)snprintf(head, sizeof head, "%s%s",
                   negative         ? "-"
                   : s->sign == '+' ? "+"
                   : s->sign == ' ' ? " "
                                    : "",
                   prefix);
    if (!put_grouped(&inner, digits, n, n_whole, s->group, group_size, origin) ||
        !pn_builder_text(&inner, &body))
        return false;
    return put_padded(b, s, head, body.text, s->align ? s->align : '>');
}

/* %d and its like. min_digits: the precision of %d. */
static bool put_integer(pn_builder *b, const spec *s, const pn_value *v, int64_t min_digits) {
    pn_builder text_builder = pn_builder_new(b->r);
    pn_value text;
    const char type = s->type ? s->type : 'd';
    const pn_value plain = {
        .kind = v->kind == PN_V_BOOL ? PN_V_INT : v->kind, .origin = v->origin, .i = v->i};
    pn_value number = v->kind == PN_V_BOOL ? pn_int(v->b) : plain;
    if (type == 'd' || type == 'n') {
        static const pn_text zero = {.data = "0", .n = 1, .n_chars = 1};
        if (v->kind == PN_V_BIG) number = *v;
        if (!pn_put_int(&text_builder, &number) || !pn_builder_text(&text_builder, &text))
            return false;
        const bool negative = text.text->data[0] == '-';
        pn_builder digits = pn_builder_new(b->r);
        const size_t n = text.text->n - negative;
        if (min_digits > (int64_t)n && !pn_put_fill(&digits, &zero, (size_t)min_digits - n))
            return false;
        if (!pn_put(&digits, text.text->data + negative, n, v->origin)) return false;
        return put_number(b, s, negative, "", digits.data, digits.n, 3, v->origin);
    }
    if (v->kind == PN_V_BIG)
        return pn_r_fail(b->r, "an integer beyond 64 bits cannot be written with '%c'", type);
    char digits[72];
    size_t at = sizeof digits;
    const unsigned base = type == 'o' ? 8 : type == 'b' ? 2 : 16;
    const bool negative = number.i < 0;
    uint64_t m = negative ? 0 - (uint64_t)number.i : (uint64_t)number.i;
    do digits[--at] = (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[m % base];
    while (m /= base);
    while (min_digits > (int64_t)(sizeof digits - at) && at) digits[--at] = '0';
    const char prefix[3] = {'0', type, 0};
    return put_number(b, s, negative, s->alternate ? prefix : "", digits + at, sizeof digits - at,
                      4, v->origin);
}

/* No type but a precision: as %g, but never without a decimal, and scientific one digit earlier. */
static void fix_bare(char *digits, size_t cap, double f, int precision) {
    char e[160];
    (void)snprintf(e, sizeof e, "%.*e", precision - 1, f);
    for (char *comma = e; *comma; comma++)
        if (*comma == ',') *comma = '.';
    char *mark = strchr(e, 'e');
    const bool late = strtol(mark + 1, NULL, 10) + 1 == precision;
    if (!late) {
        if (!strpbrk(digits, ".e")) strcat(digits, ".0");
        return;
    }
    char *end = mark;
    if (strchr(e, '.')) {
        while (end[-1] == '0') end--;
        if (end[-1] == '.') end--;
    }
    (void)snprintf(digits, cap, "%.*s%s", (int)(end - e), e, mark);
}

static bool put_float(pn_builder *b, const spec *s, double f, int32_t origin, bool percent_style) {
    char digits[512];
    const bool negative = signbit(f) && !isnan(f);
    const double size = fabs(f);
    int64_t precision = s->precision;
    char type = s->type;
    if (precision > 100) return pn_r_limit(b->r, "a float with more than 100 decimals");
    if (!isfinite(f)) {
        const bool upper = type == 'F' || type == 'E' || type == 'G';
        return put_number(b, s, negative, "",
                          isnan(f) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf"), 3, 3,
                          origin);
    }
    if (!type && precision < 0 && !percent_style) {
        const size_t n = pn_format_double(size, digits);
        return put_number(b, s, negative, "", digits, n, 3, origin);
    }
    const bool bare = !type;
    if (bare || type == 'n') type = 'g';
    if (precision < 0) precision = 6;
    const double scaled = type == '%' ? size * 100 : size;
    char format[8] = "%.*f";
    if (s->alternate)
        (void)snprintf(format, sizeof format, "%%#.*%c", type == '%' ? 'f' : type);
    else
        format[3] = type == '%' ? 'f' : type;
    (void)snprintf(digits, sizeof digits, format, (int)precision, scaled);
    for (char *comma = digits; *comma; comma++)
        if (*comma == ',') *comma = '.';
    if (bare) fix_bare(digits, sizeof digits, scaled, precision ? (int)precision : 1);
    if (type == '%') strcat(digits, "%");
    return put_number(b, s, negative, "", digits, strlen(digits), 3, origin);
}

/* ---- printf ------------------------------------------------------------------------------------------------------- */

typedef struct percent {
    pn_render *r;
    const char *s;
    size_t n, at;
    const pn_args *args; /* a tuple of values, or NULL: */
    const pn_value *one; /* one value, or the dict of %(name)s */
    size_t used;
} percent;

static bool next_value(percent *p, pn_value *out) {
    const size_t n = p->args ? p->args->n_pos : 1;
    if (p->used >= n) return pn_r_fail(p->r, "not enough arguments for format string");
    *out = p->args ? p->args->pos[p->used] : *p->one;
    p->used++;
    return true;
}

static bool named_value(percent *p, pn_value *out) {
    const char *end = memchr(p->s + p->at, ')', p->n - p->at);
    if (!end) return pn_r_fail(p->r, "incomplete format key");
    const size_t n = (size_t)(end - p->s) - p->at;
    if (!p->one || p->one->kind != PN_V_DICT) return pn_r_fail(p->r, "format requires a mapping");
    pn_value key, *found;
    if (!pn_text_value(p->r, p->s + p->at, n, 0, &key) ||
        !pn_dict_get(p->r, p->one->dict, &key, &found))
        return false;
    if (!found) return pn_r_fail(p->r, "a key of the format string is not in the mapping");
    *out = *found;
    p->at += n + 1;
    return true;
}

/* Digits or "*". */
static bool read_count(percent *p, int64_t *out) {
    pn_value v;
    if (p->at < p->n && p->s[p->at] == '*') {
        p->at++;
        return next_value(p, &v) && pn_arg_int(p->r, &v, "* wants int", out);
    }
    for (; p->at < p->n && p->s[p->at] >= '0' && p->s[p->at] <= '9'; p->at++) {
        *out = *out * 10 + (p->s[p->at] - '0');
        if (*out > MAX_WIDTH) return pn_r_limit(p->r, "a width or precision too big");
    }
    return true;
}

static bool read_percent_spec(percent *p, spec *s) {
    for (const char *flag; p->at < p->n && p->s[p->at] && (flag = strchr("-+ #0", p->s[p->at]));
         p->at++) {
        if (*flag == '-') s->align = '<';
        if (*flag == '+' || (*flag == ' ' && !s->sign)) s->sign = *flag;
        if (*flag == '#') s->alternate = true;
        if (*flag == '0' && !s->align) {
            s->align = '=';
            s->fill.data = "0";
        }
    }
    if (s->align == '<') s->fill.data = " ";
    if (!read_count(p, &s->width)) return false;
    if (s->width < 0) {
        s->align = '<';
        s->fill.data = " ";
        s->width = s->width < -MAX_WIDTH ? MAX_WIDTH : -s->width;
    }
    if (p->at < p->n && p->s[p->at] == '.') {
        p->at++;
        s->precision = 0;
        if (!read_count(p, &s->precision)) return false;
        if (s->precision < 0) s->precision = 0;
    }
    while (p->at < p->n && (p->s[p->at] == 'h' || p->s[p->at] == 'l' || p->s[p->at] == 'L'))
        p->at++;
    if (p->at >= p->n) return pn_r_fail(p->r, "incomplete format");
    s->type = p->s[p->at++];
    return true;
}

static bool put_percent_int(percent *p, pn_builder *b, spec *s, const pn_value *v) {
    pn_value number = *v;
    if (v->kind == PN_V_UNDEFINED) return pn_undefined_fail(p->r, v);
    const bool decimal = s->type == 'd' || s->type == 'i' || s->type == 'u';
    if (v->kind == PN_V_FLOAT && decimal) {
        if (!pn_float_to_int(p->r, v->f, &number)) return false;
    } else if (!pn_is_number(v) || v->kind == PN_V_FLOAT) {
        return pn_r_fail(p->r, "%%%c format: %s is required, not %s", s->type,
                         decimal ? "a real number" : "an integer", pn_type_name(v));
    }
    if (decimal) s->type = 'd';
    return put_integer(b, s, &number, s->precision);
}

static bool put_percent_char(percent *p, pn_builder *b, spec *s, const pn_value *v) {
    s->precision = -1;
    if (v->kind == PN_V_STRING && pn_text_chars(v->text) == 1) {
        if (!s->align) s->align = '>';
        return put_text(b, s, v->text);
    }
    const int64_t code = v->kind == PN_V_BOOL ? v->b : v->kind == PN_V_INT ? v->i : -1;
    if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return pn_r_fail(p->r, "%%c requires int or char");
    pn_builder c = pn_builder_new(p->r);
    pn_value text;
    if (!s->align) s->align = '>';
    return pn_put_code(&c, (uint32_t)code, v->origin) && pn_builder_text(&c, &text) &&
           put_text(b, s, text.text);
}

static bool put_percent_value(percent *p, pn_builder *b, spec *s, const pn_value *v) {
    pn_builder text = pn_builder_new(p->r);
    pn_value printed;
    switch (s->type) {
    case 's':
    case 'r':
    case 'a':
        if (!(s->type == 's' ? pn_print(&text, v) : pn_print_repr(&text, v)) ||
            !pn_builder_text(&text, &printed))
            return false;
        if (!s->align || s->align == '=') s->align = '>';
        s->fill.data = " ";
        return put_text(b, s, printed.text);
    case 'c': return put_percent_char(p, b, s, v);
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X': return put_percent_int(p, b, s, v);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        if (v->kind == PN_V_UNDEFINED) return pn_undefined_fail(p->r, v);
        if (!pn_is_number(v))
            return pn_r_fail(p->r, "must be real number, not %s", pn_type_name(v));
        return put_float(b, s, pn_as_double(v), v->origin, true);
    default:
        return pn_r_fail(p->r, "unsupported format character '%c'",
                         s->type > 32 && s->type < 127 ? s->type : '?');
    }
}

bool pn_percent_format(pn_render *r, const pn_text *format, const pn_args *args,
                       const pn_value *one, pn_value *out) {
    percent p = {.r = r, .s = format->data, .n = format->n, .args = args, .one = one};
    pn_builder b = pn_builder_new(r);
    b.markup = format->markup;
    while (p.at < p.n) {
        const char *mark = memchr(p.s + p.at, '%', p.n - p.at);
        const size_t to = mark ? (size_t)(mark - p.s) : p.n;
        if (!pn_put_range(&b, format, p.at, to)) return false;
        if (!mark) break;
        p.at = to + 1;
        spec s = new_spec();
        pn_value v = {0};
        if (p.at < p.n && p.s[p.at] == '(') {
            p.at++;
            if (!named_value(&p, &v)) return false;
        }
        if (!read_percent_spec(&p, &s) || !pn_r_charge(r, 1)) return false;
        if (s.type == '%') {
            if (!pn_put(&b, "%", 1, pn_text_origin(format, to))) return false;
            continue;
        }
        if ((!v.kind && !next_value(&p, &v)) || !put_percent_value(&p, &b, &s, &v)) return false;
    }
    /* one value that has items counts as a mapping, which need not be used up */
    const bool mapping = one && (one->kind == PN_V_DICT || one->kind == PN_V_LIST ||
                                 one->kind == PN_V_RANGE || one->kind == PN_V_UNDEFINED);
    if (args ? p.used < args->n_pos : !p.used && !mapping)
        return pn_r_fail(r, "not all arguments converted during string formatting");
    return pn_builder_text(&b, out);
}

/* ---- str.format ------------------------------------------------------------------------------------------------------ */

typedef struct fields {
    pn_render *r;
    const pn_text *format;
    const pn_args *args;
    size_t next;   /* of automatic numbers */
    bool numbered; /* explicit numbers were used */
} fields;

static bool parse_spec(pn_render *r, const char *s, size_t n, spec *out) {
    uint32_t c;
    const size_t first = n ? pn_uni_decode(s, n, &c) : 0;
    *out = new_spec();
    if (n > first && strchr("<>=^", s[first]) && s[first]) {
        out->fill = (pn_text){.data = s, .n = first, .n_chars = 1};
        out->align = s[first];
        s += first + 1, n -= first + 1;
    } else if (n && *s && strchr("<>=^", *s)) {
        out->align = *s;
        s++, n--;
    }
    if (n && (*s == '+' || *s == '-' || *s == ' ')) {
        out->sign = *s == '-' ? 0 : *s;
        s++, n--;
    }
    if (n && *s == '#') {
        out->alternate = true;
        s++, n--;
    }
    if (n && *s == '0') {
        if (!out->align) {
            out->align = '=';
            out->fill.data = "0";
        }
        s++, n--;
    }
    for (; n && *s >= '0' && *s <= '9'; s++, n--)
        if ((out->width = out->width * 10 + (*s - '0')) > MAX_WIDTH)
            return pn_r_limit(r, "a width too big");
    if (n && (*s == ',' || *s == '_')) {
        out->group = *s;
        s++, n--;
    }
    if (n && *s == '.') {
        s++, n--;
        if (!n || *s < '0' || *s > '9') return pn_r_fail(r, "Format specifier missing precision");
        out->precision = 0;
        for (; n && *s >= '0' && *s <= '9'; s++, n--)
            if ((out->precision = out->precision * 10 + (*s - '0')) > MAX_WIDTH)
                return pn_r_limit(r, "a precision too big");
    }
    if (n > 1) return pn_r_fail(r, "Invalid format specifier");
    if (n) out->type = *s;
    return true;
}

static bool wrong_type(pn_render *r, const spec *s, const pn_value *v) {
    return pn_r_fail(r, "Unknown format code '%c' for object of type '%s'",
                     s->type > 32 && s->type < 127 ? s->type : '?', pn_type_name(v));
}

static bool format_value(pn_render *r, pn_builder *b, const spec *s, const pn_value *v,
                         bool has_spec) {
    if (!has_spec) return pn_print(b, v);
    const bool integer = v->kind == PN_V_INT || v->kind == PN_V_BIG || v->kind == PN_V_BOOL;
    if (v->kind == PN_V_STRING || v->kind == PN_V_UNDEFINED) {
        const pn_text *text;
        if (s->type && s->type != 's') return wrong_type(r, s, v);
        if (s->sign || s->group)
            return pn_r_fail(r, "sign or ',' not allowed in string format specifier");
        if (s->align == '=' && s->fill.data[0] != '0')
            return pn_r_fail(r, "'=' alignment not allowed in string format specifier");
        if (!pn_to_text(r, v, &text)) return false;
        spec left = *s;
        if (left.align == '=') left.align = '<';
        return put_text(b, &left, text);
    }
    if (integer && s->precision >= 0 && (!s->type || strchr("bcdoxX", s->type)))
        return pn_r_fail(r, "Precision not allowed in integer format specifier");
    if (integer && (!s->type || strchr("bdoxXn", s->type))) return put_integer(b, s, v, -1);
    if (integer && s->type == 'c') {
        percent p = {.r = r};
        spec copy = *s;
        return put_percent_char(&p, b, &copy, v);
    }
    if (pn_is_number(v) && (!s->type || strchr("eEfFgGn%", s->type)))
        return put_float(b, s, pn_as_double(v), v->origin, false);
    if (pn_is_number(v)) return wrong_type(r, s, v);
    return pn_r_fail(r, "unsupported format string passed to %s.__format__", pn_type_name(v));
}

static bool first_value(fields *f, const char *s, size_t n, pn_value *out) {
    bool number = n > 0;
    for (size_t i = 0; i < n; i++) number = number && s[i] >= '0' && s[i] <= '9';
    if (n == 0 || number) {
        size_t at = 0;
        for (size_t i = 0; i < n && at < 1000000; i++) at = at * 10 + (size_t)(s[i] - '0');
        if (n == 0 ? f->numbered : f->next > 0)
            return pn_r_fail(f->r, "cannot switch between automatic and manual field numbering");
        if (n == 0)
            at = f->next++;
        else
            f->numbered = true;
        if (at >= f->args->n_pos)
            return pn_r_fail(f->r, "Replacement index out of range for positional args tuple");
        *out = f->args->pos[at];
        return true;
    }
    for (size_t i = 0; i < f->args->n_kw; i++) {
        const pn_text *name = f->args->kw[2 * i].text;
        if (name->n != n || memcmp(name->data, s, n) != 0) continue;
        *out = f->args->kw[2 * i + 1];
        return true;
    }
    return pn_r_fail(f->r, "a field of the format string was not given");
}

/* name.attribute[key] */
static bool field_value(fields *f, const char *s, size_t n, pn_value *out) {
    size_t at = 0;
    while (at < n && s[at] != '.' && s[at] != '[') at++;
    if (!first_value(f, s, at, out)) return false;
    while (at < n) {
        const bool item = s[at] == '[';
        size_t end = ++at;
        while (end < n && (item ? s[end] != ']' : s[end] != '.' && s[end] != '[')) end++;
        if (end == at || (item && end == n))
            return pn_r_fail(f->r, "Empty attribute in format string");
        const pn_value object = *out;
        pn_value key;
        bool number = item;
        for (size_t i = at; i < end; i++) number = number && s[i] >= '0' && s[i] <= '9';
        if (number) {
            bool ok;
            if (!pn_parse_int(f->r, s + at, end - at, 10, &key, &ok)) return false;
        } else if (!pn_text_copy(f->r, s + at, end - at, 0, &key)) {
            return false;
        }
        if (!(item ? pn_get_item : pn_get_attr)(f->r, &object, &key, out)) return false;
        if (out->kind == PN_V_UNDEFINED) return pn_undefined_fail(f->r, out);
        at = end + item;
    }
    return true;
}

/* What stands between { and }: name!conversion:spec */
static bool put_field(fields *f, pn_builder *b, const char *s, size_t n) {
    size_t colon = 0;
    while (colon < n && s[colon] != ':' && s[colon] != '!') colon++;
    const size_t name = colon;
    char conversion = 0;
    if (colon < n && s[colon] == '!') {
        if (colon + 1 >= n || !strchr("rsa", s[colon + 1]))
            return pn_r_fail(f->r, "Unknown conversion specifier");
        conversion = s[colon + 1];
        colon += 2;
        if (colon < n && s[colon] != ':')
            return pn_r_fail(f->r, "expected ':' after conversion specifier");
    }
    const bool has_spec = colon + 1 < n;
    if (has_spec && memchr(s + colon, '{', n - colon))
        return pn_r_fail(f->r, "nested fields in a format string are not available");
    pn_value v;
    spec parsed;
    if (!field_value(f, s, name, &v) ||
        !parse_spec(f->r, s + colon + 1, has_spec ? n - colon - 1 : 0, &parsed))
        return false;
    if (conversion) {
        pn_builder text = pn_builder_new(f->r);
        if (!(conversion == 's' ? pn_print : pn_print_repr)(&text, &v) ||
            !pn_builder_text(&text, &v))
            return false;
    }
    return format_value(f->r, b, &parsed, &v, has_spec);
}

bool pn_str_format(pn_render *r, const pn_text *format, const pn_args *args, pn_value *out) {
    fields f = {.r = r, .format = format, .args = args};
    const char *const s = format->data;
    pn_builder b = pn_builder_new(r);
    b.markup = format->markup;
    for (size_t i = 0; i < format->n;) {
        size_t run = i;
        while (run < format->n && s[run] != '{' && s[run] != '}') run++;
        if (!pn_put_range(&b, format, i, run) || !pn_r_charge(r, 1)) return false;
        i = run;
        if (i == format->n) break;
        if (i + 1 < format->n && s[i + 1] == s[i]) { /* {{ or }} */
            if (!pn_put_range(&b, format, i, i + 1)) return false;
            i += 2;
            continue;
        }
        if (s[i] == '}') return pn_r_fail(r, "Single '}' encountered in format string");
        size_t end = i + 1;
        for (int depth = 1; end < format->n; end++) {
            depth += s[end] == '{' ? 1 : s[end] == '}' ? -1 : 0;
            if (!depth) break;
        }
        if (end >= format->n) return pn_r_fail(r, "expected '}' before end of string");
        if (!put_field(&f, &b, s + i + 1, end - i - 1)) return false;
        i = end + 1;
    }
    return pn_builder_text(&b, out);
}
