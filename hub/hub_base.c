/* hub_base.c: errors, strings, the environment, and the program around. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, nanosleep, strdup */
#include "hub_base.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- errors ---------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at s, 0 when there is none; *code is its code point. */
static size_t decode(const unsigned char *s, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xC0 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (n == 0 || s[0] > 0xF4) return 0;
    uint32_t value = n == 1 ? s[0] : s[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0; /* the terminating 0 too */
        value = value << 6 | (s[i] & 0x3F);
    }
    if (value < least[n] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return 0;
    *code = value;
    return n;
}

/* What could command a terminal, or show text in another order than it has. */
static bool is_harmful(uint32_t code) {
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x200E || code == 0x200F ||
           (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0x061C || code == 0xFEFF;
}

/* Harmful characters and broken ones become "?"; a character that was cut at the end goes. */
static void clean(char *text) {
    char *to = text;
    for (char *at = text; *at;) {
        uint32_t code = 0;
        size_t n = decode((const unsigned char *)at, &code);
        if (n && !is_harmful(code)) {
            memmove(to, at, n);
            to += n;
        } else {
            *to++ = '?';
        }
        at += n ? n : 1;
    }
    *to = 0;
}

hub_status hub_fail(hub_error *err, hub_status status, const char *format, ...) {
    va_list args;
    if (!err) return status;
    va_start(args, format);
    vsnprintf(err->msg, sizeof err->msg, format, args);
    va_end(args);
    clean(err->msg);
    return status;
}

/* ---- memory and strings ---------------------------------------------------------------------- */

void *hub_memory(void *old, size_t count, size_t each) {
    void *memory = NULL;
    if (each == 0 || count <= SIZE_MAX / each) {
        size_t n_bytes = count * each;
        memory = realloc(old, n_bytes ? n_bytes : 1);
    }
    if (!memory) {
        fprintf(stderr, "puna: out of memory: %zu items of %zu bytes\n", count, each);
        exit(EXIT_FAILURE);
    }
    return memory;
}

char *hub_copy_n(const char *text, size_t n) {
    char *copy = hub_memory(NULL, n + 1, 1);
    memcpy(copy, text, n);
    copy[n] = 0;
    return copy;
}

char *hub_copy(const char *text) {
    return hub_copy_n(text, strlen(text));
}

char *hub_format(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = hub_memory(NULL, n < 0 ? 1 : (size_t)n + 1, 1);
    text[0] = 0;
    va_start(args, format);
    if (n > 0) vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

void hub_set(char **text, char *value) {
    free(*text);
    *text = value;
}

void string_list_add(string_list *list, char *item) {
    if ((list->n & (list->n - 1)) == 0) { /* full at every power of two */
        list->items = hub_memory(list->items, list->n ? list->n * 2 : 1, sizeof *list->items);
    }
    list->items[list->n++] = item;
}

bool string_list_has(const string_list *list, const char *item) {
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->items[i], item) == 0) return true;
    }
    return false;
}

void string_list_clear(string_list *list) {
    for (size_t i = 0; i < list->n; i++) free(list->items[i]);
    free(list->items);
    *list = (string_list){0};
}

bool text_starts(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

bool text_ends(const char *text, const char *end) {
    size_t n = strlen(text);
    size_t n_end = strlen(end);
    return n >= n_end && strcasecmp(text + n - n_end, end) == 0;
}

bool text_same(const char *a, const char *b) {
    return strcasecmp(a, b) == 0;
}

bool text_made_of(const char *text, const char *allowed, size_t max) {
    size_t n = strlen(text);
    return n > 0 && n <= max && strspn(text, allowed) == n;
}

char *text_size(char buf[SIZE_CHARS], uint64_t bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 6) {
        value /= 1024;
        unit++;
    }
    snprintf(buf, SIZE_CHARS, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return buf;
}

/* ---- environment ----------------------------------------------------------------------------- */

const char *environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

bool environment_flag(const char *name) {
    const char *value = environment(name);
    return value && (text_same(value, "1") || text_same(value, "on") || text_same(value, "yes") ||
                     text_same(value, "true"));
}

double environment_seconds(const char *name, double fallback) {
    const char *value = environment(name);
    char *end = NULL;
    double seconds = value ? strtod(value, &end) : 0;
    return value && end != value && *end == 0 && seconds > 0 && seconds < 1e6 ? seconds : fallback;
}

/* Copies the value of $NAME or ${NAME} at text to *out; returns how long that was, 0 when it is
 * no variable that is set. */
static size_t expand_variable(const char *text, char **out) {
    bool braces = text[1] == '{';
    const char *name = text + (braces ? 2 : 1);
    size_t n = strspn(name, LETTERS_ETC "_");
    if (n == 0 || (braces && name[n] != '}')) return 0;
    char *copy = hub_copy_n(name, n);
    const char *value = getenv(copy);
    free(copy);
    if (!value) return 0;
    hub_set(out, hub_format("%s%s", *out, value));
    return n + (braces ? 3 : 1);
}

char *expand_path(const char *path) {
    char *out = hub_copy("");
    const char *home = environment("HOME");
    if (home && path[0] == '~' && (path[1] == '/' || path[1] == 0)) {
        hub_set(&out, hub_copy(home));
        path++;
    }
    while (*path) {
        size_t n = *path == '$' ? expand_variable(path, &out) : 0;
        if (n == 0) {
            n = 1 + strcspn(path + 1, "$");
            hub_set(&out, hub_format("%s%.*s", out, (int)n, path));
        }
        path += n;
    }
    return out;
}

char *cache_home(const char *name) {
    const char *cache = environment("XDG_CACHE_HOME");
    const char *home = environment("HOME");
    return cache ? hub_format("%s/%s", cache, name)
                 : hub_format("%s/.cache/%s", home ? home : "", name);
}

/* ---- the program around ---------------------------------------------------------------------- */

bool host_stopped(const hub_host *host) {
    return host && host->stopped && host->stopped(host->user);
}

void host_note(const hub_host *host, const char *format, ...) {
    hub_error line;
    va_list args;
    if (!host || !host->note) return;
    va_start(args, format);
    vsnprintf(line.msg, sizeof line.msg, format, args);
    va_end(args);
    clean(line.msg);
    host->note(host->user, line.msg);
}

double hub_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

bool host_wait(const hub_host *host, double seconds) {
    double end = hub_now() + seconds;
    while (hub_now() < end) {
        struct timespec slice = {0, 50 * 1000 * 1000};
        if (host_stopped(host)) return false;
        nanosleep(&slice, NULL);
    }
    return !host_stopped(host);
}
