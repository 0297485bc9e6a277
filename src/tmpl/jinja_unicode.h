/* jinja_unicode.h: what Python's str methods know about characters (Unicode 14). */
#ifndef PN_TMPL_JINJA_UNICODE_H
#define PN_TMPL_JINJA_UNICODE_H

#include "base/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* pn_utf8_decode for text known to be valid; never 0. */
size_t pn_uni_decode(const char *s, size_t n, uint32_t *code);

bool pn_uni_is_space(uint32_t code);
bool pn_uni_is_word(uint32_t code); /* alphanumeric or "_" */
bool pn_uni_is_printable(uint32_t code);
bool pn_uni_is_alpha(uint32_t code);
bool pn_uni_is_decimal(uint32_t code);
bool pn_uni_is_digit(uint32_t code);
bool pn_uni_is_numeric(uint32_t code);
bool pn_uni_is_upper(uint32_t code);
bool pn_uni_is_lower(uint32_t code);
bool pn_uni_is_title(uint32_t code);
bool pn_uni_is_cased(uint32_t code);
bool pn_uni_is_case_ignorable(uint32_t code);

typedef enum pn_case { PN_CASE_UPPER, PN_CASE_LOWER, PN_CASE_TITLE, PN_CASE_FOLD } pn_case;
/* Full mapping of one character: up to 3 code points. Returns how many. Lower case of a final capital sigma is the
 * caller's business. */
size_t pn_uni_map(pn_case which, uint32_t code, uint32_t out[3]);

#endif
