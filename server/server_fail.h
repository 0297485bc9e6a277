/* server_fail.h: filling in a puna_error, as the library does inside. */
#ifndef PUNA_SERVER_FAIL_H
#define PUNA_SERVER_FAIL_H

#include "puna.h"

/* Writes one line, control characters as "?", and returns code. err may be NULL. */
puna_status pn_server_fail(puna_error *err, puna_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same cleaning for any text: control characters and bytes that are no UTF-8 become "?". */
void pn_clean_line(char *line);

#endif
