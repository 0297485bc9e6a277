/* schema_decimal.h: the numbers of a schema, exactly: decimals of any length up to PN_DECIMAL_MAX
 * digits. */
#ifndef PN_GRAMMAR_SCHEMA_DECIMAL_H
#define PN_GRAMMAR_SCHEMA_DECIMAL_H

#include "grammar/schema_job.h"
#include "grammar/schema_json.h"

/* Digits before and behind the point, each. */
#define PN_DECIMAL_MAX 500

/* +-0.d1 d2 ... dn * 10^exponent, d1 and dn not 0; zero: n = 0, exponent = 0, not negative. */
typedef struct pn_decimal {
    bool negative;
    int32_t n, exponent;
    const char *digits; /* '0' to '9' */
} pn_decimal;

/* From the text of a JSON number; fails (PUNA_E_LIMIT) when it has too many digits. */
bool pn_decimal_read(pn_job *job, pn_json_text text, pn_decimal *out);
/* < 0, 0, > 0 */
int pn_decimal_compare(const pn_decimal *a, const pn_decimal *b);
bool pn_decimal_is_integer(const pn_decimal *a);
/* Digit at place i, i = 1 for the ones, 2 for the tens, 0 for the tenths; '0' outside. */
char pn_decimal_digit(const pn_decimal *a, int32_t place);
/* Digits before the point (0 below 1), and behind it. */
int32_t pn_decimal_whole(const pn_decimal *a);
int32_t pn_decimal_fraction(const pn_decimal *a);
/* of > 0 as factor * 10^shift with the smallest factor; fails when that is beyond 10^6. */
bool pn_decimal_factor(pn_job *job, const pn_decimal *of, int32_t *factor, int32_t *shift);
/* Whether a is a multiple of factor * 10^shift. */
bool pn_decimal_is_multiple(const pn_decimal *a, int32_t factor, int32_t shift);
/* The value when a is an integer of at most nine digits. */
bool pn_decimal_to_int(const pn_decimal *a, int64_t *out);

#endif
