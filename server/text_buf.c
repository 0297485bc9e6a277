/* text_buf.c: growing texts and the JSON in them. */
#include "text_buf.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pn_text_free(pn_text *t) {
    free(t->s);
    *t = (pn_text){0};
}

static bool make_room(pn_text *t, size_t n) {
    if (t->failed) return false;
    if (t->cap - t->n > n) return true; /* one more for the NUL */
    size_t cap = t->cap ? t->cap : 64;
    while (cap - t->n <= n) {
        if (cap > SIZE_MAX / 2) {
            t->failed = true;
            return false;
        }
        cap *= 2;
    }
    char *s = realloc(t->s, cap);
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s = s;
    t->cap = cap;
    return true;
}

void pn_text_append(pn_text *t, const char *bytes, size_t n_bytes) {
    if (!make_room(t, n_bytes)) return;
    if (n_bytes) memcpy(t->s + t->n, bytes, n_bytes);
    t->n += n_bytes;
    t->s[t->n] = '\0';
}

void pn_text_put(pn_text *t, const char *text) {
    pn_text_append(t, text, strlen(text));
}

const char *pn_text_get(const pn_text *t) {
    return t->s ? t->s : "";
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

size_t pn_utf8_length(const char *s, size_t n) {
    const unsigned char *u = (const unsigned char *)s;
    const size_t length = u[0] < 0x80   ? 1
                          : u[0] < 0xc2 ? 0
                          : u[0] < 0xe0 ? 2
                          : u[0] < 0xf0 ? 3
                          : u[0] < 0xf5 ? 4
                                        : 0;
    if (length == 0 || length > n) return 0;
    for (size_t i = 1; i < length; i++)
        if ((u[i] & 0xc0) != 0x80) return 0;
    if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
        (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
        return 0;
    return length;
}

/* What stands for an ASCII character that JSON does not take as it is. */
static void write_escape(pn_text *t, char c) {
    static const char named[] = "\"\"\\\\\nn\rr\tt\bb\ff";
    char escape[8];
    for (size_t i = 0; i + 1 < sizeof named; i += 2)
        if (named[i] == c) {
            escape[0] = '\\';
            escape[1] = named[i + 1];
            pn_text_append(t, escape, 2);
            return;
        }
    (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)c);
    pn_text_append(t, escape, 6);
}

void pn_text_json(pn_text *t, const char *bytes, size_t n_bytes) {
    size_t plain = 0; /* where what is not written yet begins */
    pn_text_append(t, "\"", 1);
    for (size_t i = 0; i < n_bytes;) {
        const unsigned char c = (unsigned char)bytes[i];
        const size_t length = c < 0x80 ? 1 : pn_utf8_length(bytes + i, n_bytes - i);
        if (length > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            i += length;
            continue;
        }
        pn_text_append(t, bytes + plain, i - plain);
        if (length > 0)
            write_escape(t, bytes[i]);
        else
            pn_text_append(t, "\xef\xbf\xbd", 3);
        plain = ++i;
    }
    pn_text_append(t, bytes + plain, n_bytes - plain);
    pn_text_append(t, "\"", 1);
}

static void write_number(pn_text *t, double value) {
    char digits[40];
    if (!isfinite(value)) {
        pn_text_put(t, "null");
        return;
    }
    (void)snprintf(digits, sizeof digits, "%.9g", value);
    for (char *c = digits; *c; c++)
        if (*c == ',') *c = '.'; /* some locales */
    pn_text_put(t, digits);
}

static void write_integer(pn_text *t, int64_t value) {
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%" PRId64, value);
    pn_text_put(t, digits);
}

static void write_value(pn_text *t, char kind, va_list *values) {
    switch (kind) {
    case 's': pn_text_put(t, va_arg(*values, const char *)); break;
    case 'j': {
        const char *s = va_arg(*values, const char *);
        if (s)
            pn_text_json(t, s, strlen(s));
        else
            pn_text_put(t, "null");
        break;
    }
    case 'J': {
        const char *s = va_arg(*values, const char *);
        pn_text_json(t, s, va_arg(*values, size_t));
        break;
    }
    case 'd': write_integer(t, va_arg(*values, int32_t)); break;
    case 'l': write_integer(t, va_arg(*values, int64_t)); break;
    case 'b': pn_text_put(t, va_arg(*values, int) ? "true" : "false"); break;
    case 'f': write_number(t, va_arg(*values, double)); break;
    case 't': {
        const pn_text *other = va_arg(*values, const pn_text *);
        if (other->failed) t->failed = true;
        pn_text_append(t, pn_text_get(other), other->n);
        break;
    }
    default: break;
    }
}

void pn_text_write(pn_text *t, const char *pattern, ...) {
    va_list values;
    va_start(values, pattern);
    for (const char *p = pattern; *p;) {
        const size_t n = strcspn(p, "'%");
        pn_text_append(t, p, n);
        p += n;
        if (*p == '\'') {
            pn_text_append(t, "\"", 1);
            p++;
        } else if (*p == '%') {
            write_value(t, p[1], &values);
            p += 2;
        }
    }
    va_end(values);
}
