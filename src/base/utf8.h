/* utf8.h: UTF-8 decoding and encoding for tokenizers, templates and messages. Strict: overlong forms,
 * surrogates and values beyond U+10FFFF are invalid. */
#ifndef PN_BASE_UTF8_H
#define PN_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at text (n > 0 bytes left) and its code point, or 0 when it is not
 * valid UTF-8. */
size_t pn_utf8_decode(const char *text, size_t n, uint32_t *code_point);
/* Writes 1 to 4 bytes; code_point <= U+10FFFF. */
size_t pn_utf8_encode(uint32_t code_point, char out[4]);
/* Bytes of the longest valid prefix. */
size_t pn_utf8_valid(const char *text, size_t n);
/* Bytes of the character at text, an invalid byte counting as one character. */
static inline size_t pn_utf8_step(const char *text, size_t n) {
    uint32_t code_point;
    size_t len = (unsigned char)*text < 0x80 ? 1 : pn_utf8_decode(text, n, &code_point);
    return len ? len : 1;
}

#endif
