/* server_fail.c: filling in a puna_error, as the library does inside. */
#include "server_fail.h"

#include <stdarg.h>
#include <stdio.h>

/* Bytes of the UTF-8 character at s, which ends with NUL, or 0 when it is none (Unicode 15, table
 * 3-7). */
static size_t character_bytes(const unsigned char *s) {
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (n == 0 || s[0] > 0xF4) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if (s[0] == 0xE0 && s[1] < 0xA0) return 0;
    if (s[0] == 0xED && s[1] > 0x9F) return 0;
    if (s[0] == 0xF0 && s[1] < 0x90) return 0;
    if (s[0] == 0xF4 && s[1] > 0x8F) return 0;
    return n;
}

void pn_clean_line(char *line) {
    unsigned char *at = (unsigned char *)line;
    while (*at) {
        size_t n = character_bytes(at);
        bool control = at[0] < 0x20 || at[0] == 0x7F || (at[0] == 0xC2 && at[1] < 0xA0);
        if (n == 0 || control)
            for (size_t i = 0; i < (n ? n : 1); i++) at[i] = '?';
        at += n ? n : 1;
    }
}

puna_status pn_server_fail(puna_error *err, puna_status code, const char *format, ...) {
    va_list args;
    if (!err) return code;
    err->code = code;
    va_start(args, format);
    vsnprintf(err->msg, sizeof err->msg, format, args);
    va_end(args);
    pn_clean_line(err->msg);
    return code;
}
