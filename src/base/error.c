/* error.c: status names, and messages that are safe to print.
 *
 * Messages are cut to PUNA_ERROR_BYTES at a character boundary and never contain control
 * characters: a file name, key or token from a hostile file cannot reach the terminal as an
 * escape sequence. */
#include "base/error.h"

#include "base/utf8.h"

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

/* Bytes of the character at s (n > 0 bytes left) when a terminal merely shows it, or 0: invalid
 * UTF-8, control characters, and the marks that reverse the direction of what follows. */
static size_t printable_length(const char *s, size_t n) {
    uint32_t c = 0;
    const size_t len = pn_utf8_decode(s, n, &c);
    const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    const bool reverses = (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    return len == 0 || control || reverses ? 0 : len;
}

/* Copies text into out[cap], escaping what a terminal could act on; always NUL-terminates. */
static void escape_into(char *out, size_t cap, const char *text, size_t n) {
    static const char hex[] = "0123456789abcdef";
    size_t o = 0;
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < n;) {
        size_t len = printable_length(text + i, n - i);
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
