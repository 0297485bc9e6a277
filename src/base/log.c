/* log.c: formats one line and hands it to the callback, escaped like an error message. */
#include "base/log.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

static puna_log_fn log_fn;
static void *log_user;

void puna_set_log(puna_log_fn fn, void *user) {
    log_fn = fn;
    log_user = user;
}

void pn_log(puna_log_level level, const char *format, ...) {
    if (!log_fn) return;
    char raw[PUNA_ERROR_BYTES];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(raw, sizeof raw, format, ap);
    va_end(ap);
    puna_error line;
    (void)pn_fail(&line, PUNA_OK, "%s", raw);
    log_fn(log_user, level, line.msg);
}
