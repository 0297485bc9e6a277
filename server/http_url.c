/* http_url.c: the target of a request: path, query, percent signs. */
#include "http_url.h"

#include <string.h>
#include <strings.h>

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool pn_url_decode(char *text, bool plus) {
    char *to = text;
    for (const char *at = text; *at; at++) {
        char c = *at;
        if (c == '%') {
            int high = digit(at[1]);
            int low = high < 0 ? -1 : digit(at[2]);
            if (low < 0 || (high == 0 && low == 0)) {
                *to = 0;
                return false;
            }
            c = (char)(high * 16 + low);
            at += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        *to++ = c;
    }
    *to = 0;
    return true;
}

/* Leaves the path of an absolute target in place of the whole. */
static void cut_authority(char *target) {
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    if (!scheme) return;
    size_t host = scheme + strcspn(target + scheme, "/?");
    size_t n = strlen(target + host);
    if (target[host] == '/') {
        memmove(target, target + host, n + 1);
    } else { /* http://host or http://host?query: the scheme has room for the slash */
        memmove(target + 1, target + host, n + 1);
        target[0] = '/';
    }
}

bool pn_url_split(char *target, char **path, char **query) {
    for (const unsigned char *at = (const unsigned char *)target; *at; at++)
        if (*at <= 0x20 || *at >= 0x7F) return false;
    cut_authority(target);
    if (*target != '/') return false;
    char *mark = strchr(target, '?');
    *query = mark ? mark + 1 : target + strlen(target);
    if (mark) *mark = 0;
    char *fragment = strchr(target, '#');
    if (fragment) return false;
    *path = target;
    return pn_url_decode(target, false);
}

/* Copies and decodes one half of a pair; returns the bytes with the NUL, or 0. */
static size_t copy_decoded(char *out, const char *from, size_t n) {
    memcpy(out, from, n);
    out[n] = 0;
    return pn_url_decode(out, true) ? strlen(out) + 1 : 0;
}

size_t pn_url_pairs(const char *query, char *out) {
    size_t n_pairs = 0;
    for (const char *at = query; *at;) {
        size_t n = strcspn(at, "&");
        const char *equals = memchr(at, '=', n);
        size_t n_name = equals ? (size_t)(equals - at) : n;
        size_t name_bytes = n_name ? copy_decoded(out, at, n_name) : 0;
        size_t value_bytes = copy_decoded(out + name_bytes, equals ? equals + 1 : at + n,
                                          equals ? n - n_name - 1 : 0);
        if (name_bytes && value_bytes) {
            out += name_bytes + value_bytes;
            n_pairs++;
        }
        at += n + (at[n] == '&');
    }
    return n_pairs;
}
