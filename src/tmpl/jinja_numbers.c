/* jinja_numbers.c: arithmetic and the other operators, numbers as text and back. As Python: integers do not
 * overflow, // rounds down, % takes the sign of the divisor, floats print with the shortest digits that read back. */
#include "tmpl/jinja_render.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double pn_as_double(const pn_value *v) {
    switch ((pn_kind)v->kind) {
    case PN_V_BOOL: return v->b;
    case PN_V_INT: return (double)v->i;
    case PN_V_BIG: return pn_big_double(v->big);
    default: return v->f;
    }
}

static int64_t small_int(const pn_value *v) {
    return v->kind == PN_V_BOOL ? v->b : v->i;
}

/* ---- text of numbers ------------------------------------------------------------------------------------ */

/* The C library writes and reads the locale's decimal point. */
static void point_from_locale(char *s) {
    const char *point = localeconv()->decimal_point;
    char *at = point[0] != '.' ? strstr(s, point) : NULL;
    if (!at) return;
    *at = '.';
    memmove(at + 1, at + strlen(point), strlen(at + strlen(point)) + 1);
}

bool pn_parse_float(const char *s, size_t n, double *out) {
    char buf[512];
    const char *point = localeconv()->decimal_point;
    size_t o = 0;
    for (size_t i = 0; i < n; i++) {
        if (o + 8 > sizeof buf) return false;
        if (s[i] == '.')
            for (const char *p = point; *p && o + 1 < sizeof buf; p++) buf[o++] = *p;
        else
            buf[o++] = s[i];
    }
    buf[o] = 0;
    char *end;
    *out = strtod(buf, &end);
    return o > 0 && *end == 0;
}

/* repr(float): fixed notation for exponents -4..15, else scientific with two exponent digits at least. */
size_t pn_format_double(double f, char out[40]) {
    char raw[40];
    if (isnan(f)) return (size_t)snprintf(out, 40, "nan");
    if (isinf(f)) return (size_t)snprintf(out, 40, f < 0 ? "-inf" : "inf");
    int digits = 1;
    for (; digits <= 17; digits++) {
        (void)snprintf(raw, sizeof raw, "%.*e", digits - 1, f);
        if (strtod(raw, NULL) == f) break;
    }
    const int exponent = (int)strtol(strchr(raw, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        (void)snprintf(out, 40, "%.*e", digits - 1, f);
    } else {
        const int decimals = digits - 1 - exponent;
        (void)snprintf(out, 40, "%.*f", decimals > 0 ? decimals : 1, f);
    }
    point_from_locale(out);
    return strlen(out);
}

bool pn_put_int(pn_builder *b, const pn_value *v) {
    char digits[32];
    if (v->kind == PN_V_BIG) return pn_big_put(b, v);
    const int n = snprintf(digits, sizeof digits, "%lld", (long long)small_int(v));
    return pn_put(b, digits, (size_t)n, v->origin);
}

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'z') return c - 'a' + 10;
    return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 99;
}

static bool parse_in_base(pn_render *r, const char *s, size_t n, int base, pn_value *out,
                          bool *ok) {
    const pn_value b = pn_int(base);
    *out = pn_int(0);
    for (size_t i = 0; i < n; i++) {
        const pn_value digit = pn_int(digit_of(s[i]));
        pn_value product;
        if (digit.i >= base) {
            *ok = false;
            return true;
        }
        if (!pn_binary(r, PN_T_MUL, out, &b, &product) ||
            !pn_binary(r, PN_T_ADD, &product, &digit, out))
            return false;
    }
    return true;
}

/* int(s, base) without the white space: signs, 0x 0o 0b prefixes (base 16, 8, 2 or 0), single underscores. */
bool pn_parse_int(pn_render *r, const char *s, size_t n, int base, pn_value *out, bool *ok) {
    char digits[512];
    size_t n_digits = 0;
    const bool negative = n && *s == '-';
    *ok = false;
    if (n && (*s == '-' || *s == '+')) s++, n--;
    if (n > 2 && *s == '0') {
        const char mark = (char)(s[1] | 32);
        const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
        if (marked && (base == marked || base == 0)) {
            base = marked;
            s += 2, n -= 2;
            if (*s == '_') s++, n--;
        }
    }
    if (base == 0) base = 10;
    if (!n || *s == '_' || s[n - 1] == '_') return true;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '_' && s[i - 1] == '_') return true;
        if (s[i] == '_') continue;
        if (digit_of(s[i]) >= base) return true;
        if (n_digits == sizeof digits) return pn_r_limit(r, "an integer beyond 256 bits");
        digits[n_digits++] = s[i];
    }
    *ok = true;
    if (base == 10) return pn_big_parse(r, digits, n_digits, negative, out);
    pn_value size;
    if (!parse_in_base(r, digits, n_digits, base, &size, ok)) return false;
    *out = size;
    return !negative || pn_negate(r, &size, out);
}

bool pn_float_to_int(pn_render *r, double f, pn_value *out) {
    if (isnan(f)) return pn_r_fail(r, "cannot convert float NaN to integer");
    if (isinf(f)) return pn_r_fail(r, "cannot convert float infinity to integer");
    if (fabs(f) >= 9e18) return pn_big_from_double(r, f, out);
    *out = pn_int((int64_t)f);
    return true;
}

/* ---- operators ------------------------------------------------------------------------------------------ */

static const char *operator_text(uint8_t op) {
    return op == PN_T_POW ? "** or pow()" : pn_token_name((pn_token_kind)op);
}

static bool divide_ints(pn_render *r, uint8_t op, const pn_value *a, const pn_value *b,
                        pn_value *out) {
    const int64_t x = small_int(a), y = small_int(b);
    if (y == -1) { /* the one case that overflows */
        if (op == PN_T_FLOORDIV) return pn_negate(r, a, out);
        *out = pn_int(0);
        return true;
    }
    int64_t q = x / y, rest = x % y;
    if (rest && (rest < 0) != (y < 0)) {
        q--;
        rest += y;
    }
    *out = pn_int(op == PN_T_FLOORDIV ? q : rest);
    return true;
}

static bool raise_int(pn_render *r, const pn_value *a, const pn_value *b, pn_value *out) {
    if (b->kind == PN_V_BIG ? pn_big_is_negative(b->big) : small_int(b) < 0) {
        const double base = pn_as_double(a);
        if (base == 0) return pn_r_fail(r, "0.0 cannot be raised to a negative power");
        *out = pn_float(pow(base, pn_as_double(b)));
        return true;
    }
    return pn_big_binary(r, PN_T_POW, a, b, out);
}

static bool int_binary(pn_render *r, uint8_t op, const pn_value *a, const pn_value *b,
                       pn_value *out) {
    const bool big = a->kind == PN_V_BIG || b->kind == PN_V_BIG;
    int64_t result;
    const bool zero = b->kind != PN_V_BIG && small_int(b) == 0;
    switch (op) {
    case PN_T_ADD:
        if (big || __builtin_add_overflow(small_int(a), small_int(b), &result))
            return pn_big_binary(r, op, a, b, out);
        break;
    case PN_T_SUB:
        if (big || __builtin_sub_overflow(small_int(a), small_int(b), &result))
            return pn_big_binary(r, op, a, b, out);
        break;
    case PN_T_MUL:
        if (big || __builtin_mul_overflow(small_int(a), small_int(b), &result))
            return pn_big_binary(r, op, a, b, out);
        break;
    case PN_T_DIV:
        if (zero) return pn_r_fail(r, "division by zero");
        *out = pn_float(pn_as_double(a) / pn_as_double(b));
        if (isinf(out->f) || isnan(out->f))
            return pn_r_fail(r, "integer division result too large for a float");
        return true;
    case PN_T_FLOORDIV:
    case PN_T_MOD:
        if (zero)
            return pn_r_fail(r, op == PN_T_MOD ? "integer modulo by zero"
                                               : "integer division or modulo by zero");
        return big ? pn_big_binary(r, op, a, b, out) : divide_ints(r, op, a, b, out);
    default: return raise_int(r, a, b, out);
    }
    *out = pn_int(result);
    return true;
}

static bool float_binary(pn_render *r, uint8_t op, double a, double b, pn_value *out) {
    double result;
    if (b == 0 && (op == PN_T_DIV || op == PN_T_FLOORDIV || op == PN_T_MOD))
        return pn_r_fail(r, op == PN_T_MOD   ? "float modulo"
                            : op == PN_T_DIV ? "float division by zero"
                                             : "float floor division by zero");
    double rest = 0;
    if (op == PN_T_FLOORDIV || op == PN_T_MOD) {
        rest = fmod(a, b);
        if (rest != 0 && (b < 0) != (rest < 0)) rest += b;
        if (rest == 0) rest = copysign(0.0, b);
    }
    switch (op) {
    case PN_T_ADD: result = a + b; break;
    case PN_T_SUB: result = a - b; break;
    case PN_T_MUL: result = a * b; break;
    case PN_T_DIV: result = a / b; break;
    case PN_T_MOD: result = rest; break;
    case PN_T_FLOORDIV: {
        const double q = (a - rest) / b;
        result = floor(q);
        if (q - result > 0.5) result += 1;
        if (result == 0) result = copysign(0.0, a / b);
        break;
    }
    default:
        if (a == 0 && b < 0) return pn_r_fail(r, "0.0 cannot be raised to a negative power");
        result = pow(a, b);
        if (isinf(result) && !isinf(a) && !isinf(b))
            return pn_r_fail(r, "(34, 'Numerical result out of range')");
    }
    *out = pn_float(result);
    return true;
}

/* text * n, list * n */
static bool repeat(pn_render *r, const pn_value *v, int64_t n, pn_value *out) {
    if (n < 0) n = 0;
    if (v->kind == PN_V_STRING) {
        pn_builder b = pn_builder_new(r);
        b.markup = v->text->markup;
        return pn_put_fill(&b, v->text, (size_t)n) && pn_builder_text(&b, out);
    }
    if (!pn_list_new(r, (pn_kind)v->kind, NULL, out)) return false;
    if (v->list->n && (uint64_t)n > r->max_bytes / sizeof(pn_value) / v->list->n)
        return pn_r_limit(r, "a list exceeds %zu bytes", r->max_bytes);
    const size_t n_items = v->list->n;
    for (int64_t i = 0; n_items && i < n; i++)
        for (size_t k = 0; k < n_items; k++)
            if (!pn_list_add(r, out->list, v->list->items[k])) return false;
    return pn_r_charge(r, out->list->n / 4);
}

static bool add_texts(pn_render *r, const pn_text *a, const pn_text *b, pn_value *out) {
    pn_builder builder;
    const bool markup = a->markup || b->markup;
    if (a->markup == b->markup) {
        if (!pn_builder_resume(r, a, &builder) || !pn_put_text(&builder, b)) return false;
    } else {
        builder = pn_builder_new(r);
        if (!(a->markup ? pn_put_text : pn_put_escaped)(&builder, a)) return false;
        if (!(b->markup ? pn_put_text : pn_put_escaped)(&builder, b)) return false;
    }
    builder.markup = markup;
    return pn_builder_text(&builder, out);
}

static bool add_lists(pn_render *r, const pn_value *a, const pn_value *b, pn_value *out) {
    if (!pn_list_new(r, (pn_kind)a->kind, NULL, out)) return false;
    const size_t n = a->list->n + b->list->n;
    out->list->items = pn_r_array(r, n, sizeof *out->list->items);
    if (!out->list->items || !pn_r_charge(r, n / 8)) return false;
    if (a->list->n) memcpy(out->list->items, a->list->items, a->list->n * sizeof(pn_value));
    if (b->list->n)
        memcpy(out->list->items + a->list->n, b->list->items, b->list->n * sizeof(pn_value));
    out->list->n = out->list->cap = n;
    out->origin = a->origin ? a->origin : b->origin;
    return true;
}

static bool is_int(const pn_value *v) {
    return v->kind == PN_V_INT || v->kind == PN_V_BOOL;
}

static bool is_sequence(const pn_value *v) {
    return v->kind == PN_V_STRING || v->kind == PN_V_LIST || v->kind == PN_V_TUPLE;
}

static bool wrong_types(pn_render *r, uint8_t op, const pn_value *a, const pn_value *b) {
    if (op == PN_T_ADD && is_sequence(a)) {
        const char *type = pn_type_name(a);
        return pn_r_fail(r, "can only concatenate %s (not \"%s\") to %s", type, pn_type_name(b),
                         type);
    }
    return pn_r_fail(r, "unsupported operand type(s) for %s: '%s' and '%s'", operator_text(op),
                     pn_type_name(a), pn_type_name(b));
}

static bool percent(pn_render *r, const pn_value *a, const pn_value *b, pn_value *out) {
    if (b->kind != PN_V_TUPLE) return pn_percent_format(r, a->text, NULL, b, out);
    const pn_args args = {.pos = b->list->items, .n_pos = b->list->n};
    return pn_percent_format(r, a->text, &args, NULL, out);
}

bool pn_binary(pn_render *r, uint8_t op, const pn_value *a, const pn_value *b, pn_value *out) {
    if (a->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, a);
    if (a->kind == PN_V_STRING && op == PN_T_MOD) return percent(r, a, b, out);
    if (b->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, b);
    bool ok;
    if (pn_is_number(a) && pn_is_number(b)) {
        if (a->kind == PN_V_FLOAT || b->kind == PN_V_FLOAT)
            ok = float_binary(r, op, pn_as_double(a), pn_as_double(b), out);
        else
            ok = int_binary(r, op, a, b, out);
        if (ok) out->origin = a->origin ? a->origin : b->origin;
        return ok;
    }
    if (op == PN_T_MUL && is_sequence(a) && is_int(b)) return repeat(r, a, small_int(b), out);
    if (op == PN_T_MUL && is_int(a) && is_sequence(b)) return repeat(r, b, small_int(a), out);
    if (op == PN_T_MUL &&
        ((is_sequence(a) && b->kind == PN_V_BIG) || (is_sequence(b) && a->kind == PN_V_BIG)))
        return pn_r_fail(r, "cannot fit 'int' into an index-sized integer");
    if (op == PN_T_ADD && a->kind == b->kind && is_sequence(a))
        return a->kind == PN_V_STRING ? add_texts(r, a->text, b->text, out)
                                      : add_lists(r, a, b, out);
    return wrong_types(r, op, a, b);
}

bool pn_negate(pn_render *r, const pn_value *v, pn_value *out) {
    if (v->kind == PN_V_UNDEFINED) return pn_undefined_fail(r, v);
    if (!pn_is_number(v))
        return pn_r_fail(r, "bad operand type for unary -: '%s'", pn_type_name(v));
    bool ok = true;
    if (v->kind == PN_V_FLOAT)
        *out = pn_float(-v->f);
    else if (v->kind == PN_V_BIG || small_int(v) == INT64_MIN)
        ok = pn_big_negate(r, v, out);
    else
        *out = pn_int(-small_int(v));
    out->origin = v->origin;
    return ok;
}
