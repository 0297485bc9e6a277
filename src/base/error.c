/* error.c: status names, and messages that are safe to print.
 *
 * Messages are cut to PUNA_ERROR_BYTES at a character boundary and never contain control
 * characters: a file name, key or token from a hostile file cannot reach the terminal as an
 * escape sequence. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STATUS(id, value, name, meaning)                                                           \
    _Static_assert(id == value, "puna.h and status.def differ");
#include "base/status.def"
#undef STATUS

const char *puna_status_name(puna_status status) {
    switch (status) {
#define STATUS(id, value, name, meaning)                                                           \
    case id:                                                                                       \
        return name;
#include "base/status.def"
#undef STATUS
    }
    return "unknown status";
}

/* Length of the valid UTF-8 sequence at s (n bytes left), or 0. Overlong forms, surrogates and
 * C1 controls are not printable here. */
static size_t printable_length(const unsigned char *s, size_t n) {
    if (s[0] >= 0x20 && s[0] < 0x7f) return 1;
    if (s[0] < 0xc2) return 0;
    size_t len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (len == 0 || len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if (s[0] == 0xc2 && s[1] < 0xa0) return 0;
    if (s[0] == 0xe0 && s[1] < 0xa0) return 0;
    if (s[0] == 0xed && s[1] >= 0xa0) return 0;
    if (s[0] == 0xf0 && s[1] < 0x90) return 0;
    if (s[0] == 0xf4 && s[1] >= 0x90) return 0;
    return len;
}

/* Copies text into out[cap], escaping what a terminal could act on; always NUL-terminates. */
static void escape_into(char *out, size_t cap, const char *text, size_t n) {
    static const char hex[] = "0123456789abcdef";
    size_t o = 0;
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < n;) {
        size_t len = printable_length(s + i, n - i);
        size_t need = len ? len : 4;
        bool last = i + (len ? len : 1) == n;
        if (o + need + (last ? 1 : 4) > cap) {
            if (cap >= o + 4) {
                memcpy(out + o, "...", 3);
                o += 3;
            }
            break;
        }
        if (len) {
            memcpy(out + o, s + i, len);
            i += len;
        } else {
            const char esc[4] = {'\\', 'x', hex[s[i] >> 4], hex[s[i] & 15]};
            memcpy(out + o, esc, 4);
            i++;
        }
        o += need;
    }
    out[o] = 0;
}

const char *pn_escape(char out[PN_ESCAPED_BYTES], const char *text, size_t text_bytes) {
    escape_into(out, PN_ESCAPED_BYTES, text, text_bytes);
    return out;
}

puna_status pn_fail(puna_error *err, puna_status code, const char *format, ...) {
    if (!err) return code;
    char raw[4 * PUNA_ERROR_BYTES];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(raw, sizeof raw, format, ap);
    va_end(ap);
    err->code = code;
    if (n < 0) raw[0] = 0;
    escape_into(err->msg, sizeof err->msg, raw, strlen(raw));
    return code;
}

puna_status pn_fail_nomem(puna_error *err, size_t bytes, const char *what) {
    return pn_fail(err, PUNA_E_NOMEM, "out of memory: %s needs %zu bytes", what, bytes);
}

puna_status pn_fail_in(puna_error *err, puna_status code, const char *prefix) {
    if (!err) return code;
    char rest[PUNA_ERROR_BYTES];
    memcpy(rest, err->msg, sizeof rest);
    char head[PN_ESCAPED_BYTES];
    return pn_fail(err, code, "%s: %s", pn_escape(head, prefix, strlen(prefix)), rest);
}
