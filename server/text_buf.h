/* text_buf.h: a text that grows, and JSON written into it.
 *
 * Every function may be called after memory ran out: it then does nothing, and `failed` says so at the
 * end. Zero-initialised it is an empty text. */
#ifndef PUNA_SERVER_TEXT_BUF_H
#define PUNA_SERVER_TEXT_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pn_text {
    char *s; /* [n], and a NUL behind it; NULL as long as nothing was written */
    size_t n, cap;
    bool failed;
} pn_text;

void pn_text_free(pn_text *t);
void pn_text_append(pn_text *t, const char *bytes, size_t n_bytes);
void pn_text_put(pn_text *t, const char *text);
/* What is in the text, "" when nothing is. */
const char *pn_text_get(const pn_text *t);

/* A JSON string with its quotes; what is not UTF-8 becomes U+FFFD. */
void pn_text_json(pn_text *t, const char *bytes, size_t n_bytes);
/* JSON by a pattern, in which ' is written as a quotation mark:
 *   %s  const char *, as it is (a piece of JSON)    %d  int32_t
 *   %j  const char *, as a string; NULL: null       %l  int64_t
 *   %J  const char * and size_t, as a string        %b  bool (as int): true, false
 *   %f  double, with 9 digits; not finite: null     %t  const pn_text *, as it is */
void pn_text_write(pn_text *t, const char *pattern, ...);

/* Length of the UTF-8 character at s [n >= 1], 0 when there is none. */
size_t pn_utf8_length(const char *s, size_t n);

#endif
