/* cli_print.c: the two streams of the program, and numbers as people read them. */
#define _POSIX_C_SOURCE 200809L /* flockfile, isatty, clock_gettime */
#include "cli_print.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "session.h"

static bool quiet;
static bool colours;
static bool terminal;
static int out_errno;

static bool environment_set(const char *name) {
    const char *value = getenv(name);
    return value && *value;
}

static void log_line(void *user, puna_log_level level, const char *msg) {
    puna_log_level least = *(const puna_log_level *)user;
    if (level >= least) print_note("puna: %s", msg);
}

void print_setup(bool be_quiet, bool verbose) {
    static puna_log_level least;
    const char *term = getenv("TERM");
    quiet = be_quiet;
    terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    colours = (terminal && !environment_set("NO_COLOR")) || environment_set("CLICOLOR_FORCE");
    least = verbose ? PUNA_LOG_DEBUG : PUNA_LOG_WARN;
    puna_set_log(log_line, &least);
}

bool print_is_quiet(void) {
    return quiet;
}

bool print_on_terminal(void) {
    return terminal;
}

bool print_in_colour(void) {
    return colours;
}

static void print_line(const char *colour, const char *prefix, const char *format, va_list args) {
    flockfile(stderr);
    if (colours) fputs(colour, stderr);
    fputs(prefix, stderr);
    if (colours && *prefix) fputs("\033[0m", stderr);
    vfprintf(stderr, format, args);
    if (colours && !*prefix) fputs("\033[0m", stderr);
    fputc('\n', stderr);
    funlockfile(stderr);
}

void print_error(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line("\033[1;31m", "puna: ", format, args);
    va_end(args);
}

int print_usage_error(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line("\033[1;31m", "puna: ", format, args);
    va_end(args);
    return STATUS_USAGE;
}

int print_failure(const puna_error *err) {
    if (err->code == PUNA_E_CANCELLED && session_interrupted()) return STATUS_INTERRUPTED;
    print_error("%s", err->msg[0] ? err->msg : puna_status_name(err->code));
    return STATUS_FAILED;
}

void print_note(const char *format, ...) {
    va_list args;
    if (quiet) return;
    va_start(args, format);
    print_line("\033[2m", "", format, args);
    va_end(args);
}

void print_plain(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

bool out_write(const char *bytes, size_t n_bytes) {
    if (out_errno) return false;
    if (fwrite(bytes, 1, n_bytes, stdout) != n_bytes) out_errno = errno ? errno : EIO;
    return !out_errno;
}

bool out_printf(const char *format, ...) {
    va_list args;
    if (out_errno) return false;
    va_start(args, format);
    if (vprintf(format, args) < 0) out_errno = errno ? errno : EIO;
    va_end(args);
    return !out_errno;
}

size_t utf8_bytes(const unsigned char *s, size_t n) {
    size_t length = s[0] < 0x80   ? 1
                    : s[0] < 0xC2 ? 0
                    : s[0] < 0xE0 ? 2
                    : s[0] < 0xF0 ? 3
                    : s[0] < 0xF5 ? 4
                                  : 0;
    if (length == 0 || length > n) return 0;
    if (s[0] == 0xE0 && s[1] < 0xA0) return 0; /* overlong */
    if (s[0] == 0xED && s[1] > 0x9F) return 0; /* surrogates */
    if (s[0] == 0xF0 && s[1] < 0x90) return 0; /* overlong */
    if (s[0] == 0xF4 && s[1] > 0x8F) return 0; /* beyond U+10FFFF */
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
    }
    return length;
}

uint32_t utf8_code_point(const unsigned char *s, size_t length) {
    uint32_t c = length == 1 ? s[0] : s[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) c = c << 6 | (s[i] & 0x3Fu);
    return c;
}

size_t utf8_write(char *to, uint32_t code_point) {
    size_t length = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    if (length == 1) {
        to[0] = (char)code_point;
        return 1;
    }
    for (size_t i = length; i-- > 1; code_point >>= 6) to[i] = (char)(0x80 | (code_point & 0x3F));
    to[0] = (char)((0xF00 >> length & 0xFF) | code_point);
    return length;
}

size_t utf8_shown_bytes(const unsigned char *s, size_t n) {
    size_t length = utf8_bytes(s, n);
    if (length == 0) return 0;
    uint32_t c = utf8_code_point(s, length);
    bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
    bool reverses = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
    return control || reverses ? 0 : length;
}

char *format_clean(char *buf, size_t buf_bytes, const char *from) {
    size_t n = 0;
    for (size_t left = strlen(from); left > 0;) {
        const unsigned char *at = (const unsigned char *)from;
        size_t shown = utf8_shown_bytes(at, left);
        size_t whole = utf8_bytes(at, left);
        if (n + (shown ? shown : 1) >= buf_bytes) break;
        memcpy(buf + n, shown ? from : "?", shown ? shown : 1);
        n += shown ? shown : 1;
        from += whole ? whole : 1;
        left -= whole ? whole : 1;
    }
    buf[n] = 0;
    return buf;
}

bool out_clean(const char *line, int width) {
    int n_columns = 0;
    for (size_t left = strlen(line); left > 0;) {
        size_t n = utf8_bytes((const unsigned char *)line, left);
        bool shown = utf8_shown_bytes((const unsigned char *)line, left) > 0;
        out_write(shown ? line : "?", shown ? n : 1);
        n_columns++;
        line += n ? n : 1;
        left -= n ? n : 1;
    }
    return out_printf("%*s", n_columns < width ? width - n_columns : 0, "");
}

bool out_quoted(const char *bytes, size_t n_bytes) {
    out_write("'", 1);
    for (size_t i = 0; i < n_bytes;) {
        size_t n = utf8_bytes((const unsigned char *)bytes + i, n_bytes - i);
        unsigned char first = (unsigned char)bytes[i];
        if (first == '\n' || first == '\t') {
            out_printf("\\%c", first == '\n' ? 'n' : 't');
        } else if (first == '\\' || first == '\'') {
            out_printf("\\%c", first);
        } else if (n == 0 || first < 0x20 || first == 0x7F) {
            out_printf("\\x%02X", first);
        } else {
            out_write(bytes + i, n);
        }
        i += n ? n : 1;
    }
    return out_write("'", 1);
}

/* The end of what can be shown as it is at text[from..n_bytes). */
static size_t shown_until(const char *from_text, size_t from, size_t n_bytes) {
    const unsigned char *at = (const unsigned char *)from_text;
    while (from < n_bytes) {
        size_t n =
            at[from] == '\n' || at[from] == '\t' ? 1 : utf8_shown_bytes(at + from, n_bytes - from);
        if (n == 0) break;
        from += n;
    }
    return from;
}

static void write_shown(FILE *file, const char *bytes, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes;) {
        size_t end = shown_until(bytes, i, n_bytes);
        fwrite(bytes + i, 1, end - i, file);
        if (end == n_bytes) break;
        const unsigned char *at = (const unsigned char *)bytes + end;
        size_t n = utf8_bytes(at, n_bytes - end);
        if (n == 0) n = 1;
        for (size_t k = 0; k < n; k++) fprintf(file, "\\x%02X", at[k]);
        i = end + n;
    }
}

void print_shown(const char *lines) {
    write_shown(stderr, lines, strlen(lines));
    fputc('\n', stderr);
}

bool out_shown(const char *bytes, size_t n_bytes) {
    if (out_errno) return false;
    write_shown(stdout, bytes, n_bytes);
    if (ferror(stdout)) out_errno = errno ? errno : EIO;
    return !out_errno;
}

bool out_flush(void) {
    if (!out_errno && fflush(stdout) != 0) out_errno = errno ? errno : EIO;
    return !out_errno;
}

int out_finish(int status) {
    if (out_flush() || out_errno == EPIPE) return status;
    print_error("cannot write to standard output: %s", strerror(out_errno));
    return status == STATUS_DONE ? STATUS_FAILED : status;
}

char *format_bytes(char buf[NUMBER_CHARS], uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 6) {
        value /= 1024;
        unit++;
    }
    snprintf(buf, NUMBER_CHARS, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return buf;
}

char *format_count(char buf[NUMBER_CHARS], uint64_t count) {
    static const char *const units[] = {"", " K", " M", " B", " T"};
    double value = (double)count;
    int unit = 0;
    while (value >= 1000 && unit < 4) {
        value /= 1000;
        unit++;
    }
    snprintf(buf, NUMBER_CHARS, unit ? "%.1f%s" : "%.0f%s", value, units[unit]);
    return buf;
}

char *format_digits(char buf[NUMBER_CHARS], uint64_t number) {
    char digits[NUMBER_CHARS];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    char *to = buf;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = 0;
    return buf;
}

double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void *need_memory(void *old, size_t count, size_t each) {
    void *memory = NULL;
    if (each == 0 || count <= SIZE_MAX / each) {
        size_t n_bytes = count * each;
        memory = realloc(old, n_bytes ? n_bytes : 1);
    }
    if (!memory) {
        print_error("out of memory: %zu items of %zu bytes", count, each);
        exit(STATUS_FAILED);
    }
    return memory;
}
