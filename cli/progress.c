/* progress.c: how far long work has come, on stderr. */
#define _DEFAULT_SOURCE /* struct winsize */
#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli_print.h"

enum { MIN_BAR = 5, MAX_BAR = 30 };

static const double patience_s = 0.5;
static const double redraw_s = 0.1;
static const double log_line_s = 10;

void progress_begin(progress *p, const char *what) {
    p->what = what;
    p->begun_s = seconds_now();
    p->shown_s = 0;
    p->skipped = 0;
}

void progress_skip(progress *p, double fraction) {
    p->skipped = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
}

/* "1:02:03", "2:03" */
static void format_duration(char *buf, size_t buf_bytes, double seconds) {
    long all = lround(seconds);
    if (all >= 3600) {
        snprintf(buf, buf_bytes, "%ld:%02ld:%02ld", all / 3600, all / 60 % 60, all % 60);
    } else {
        snprintf(buf, buf_bytes, "%ld:%02ld", all / 60, all % 60);
    }
}

static int terminal_columns(void) {
    struct winsize size;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : 80;
}

/* One line that does not wrap: a wrapped one could not be taken back. */
static void draw_bar(const progress *p, double fraction, const char *left, const char *note) {
    char rest[160];
    char line[240];
    char bar[MAX_BAR + 1];
    int columns = terminal_columns() - 1;
    int n_rest = snprintf(rest, sizeof rest, "] %3.0f %%  %s left  %s", fraction * 100, left, note);
    int n_bar = columns - n_rest - (int)strlen(p->what) - 2;
    n_bar = n_bar > MAX_BAR ? MAX_BAR : n_bar < MIN_BAR ? MIN_BAR : n_bar;
    int full = (int)(fraction * n_bar);
    for (int i = 0; i < n_bar; i++) bar[i] = i < full ? '#' : '.';
    bar[n_bar] = 0;
    snprintf(line, sizeof line, "%s [%s%s", p->what, bar, rest);
    fprintf(stderr, "\r\033[K%.*s", columns, line);
    fflush(stderr);
}

void progress_update(progress *p, double fraction, const char *note) {
    double now = seconds_now();
    double elapsed = now - p->begun_s;
    char left[32] = "?";
    if (print_is_quiet() || elapsed < patience_s) return;
    fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
    double done = fraction - p->skipped;
    if (done > 0.001) format_duration(left, sizeof left, elapsed / done * (1 - fraction));
    if (print_on_terminal()) {
        if (now - p->shown_s < redraw_s) return;
        draw_bar(p, fraction, left, note);
    } else {
        if (now - (p->shown_s > 0 ? p->shown_s : p->begun_s) < log_line_s) return;
        fprintf(stderr, "puna: %s %.0f %%, %s left%s%s\n", p->what, fraction * 100, left,
                *note ? ", " : "", note);
    }
    p->shown_s = now;
}

void progress_end(progress *p) {
    if (p->shown_s > 0 && print_on_terminal()) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    p->shown_s = 0;
}
