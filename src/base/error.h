/* error.h: how every function of the library fails.
 *
 * The only way is `return pn_fail(err, CODE, "what: which, expected, got")`. The message is one
 * line; bytes that a terminal could act on are escaped and long strings are cut, so text from a
 * hostile file may be printed with "%s" as it is. */
#ifndef PN_BASE_ERROR_H
#define PN_BASE_ERROR_H

#include "puna.h"

/* Fills *err (may be NULL) and returns code. */
puna_status pn_fail(puna_error *err, puna_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* PUNA_E_NOMEM with the size and the purpose of the allocation. */
puna_status pn_fail_nomem(puna_error *err, size_t bytes, const char *what);

/* Puts a prefix such as a file name before the message already in *err; returns err's code. */
puna_status pn_fail_in(puna_error *err, puna_status code, const char *prefix);

#define PN_ESCAPED_BYTES 208

/* Writes text as printable ASCII/UTF-8 into out: control bytes and invalid UTF-8 as \xNN, longer
 * text cut with "...". Returns out. For strings that come from files. */
const char *pn_escape(char out[PN_ESCAPED_BYTES], const char *text, size_t text_bytes);

#endif
