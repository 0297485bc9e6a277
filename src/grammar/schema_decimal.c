/* schema_decimal.c: reading, comparing and dividing decimals. */
#include "grammar/schema_decimal.h"

#define MAX_FACTOR 1000000

/* The digits of a number's text without its point, and how many of them stand before the point. */
static bool collect_digits(pn_job *job, pn_json_text text, char **digits, int32_t *n,
                           int32_t *whole) {
    char *out = pn_job_alloc(job, text.n + 1, 1);
    if (!out) return false;
    bool point = false;
    *n = *whole = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.data[i];
        if (c == 'e' || c == 'E') break;
        if (c == '.') point = true;
        if (c < '0' || c > '9') continue;
        out[(*n)++] = c;
        *whole += !point;
    }
    *digits = out;
    return true;
}

/* The number behind e or E, cut to +-1000000. */
static int32_t read_exponent(pn_json_text text) {
    size_t i = 0;
    while (i < text.n && text.data[i] != 'e' && text.data[i] != 'E') i++;
    if (i == text.n) return 0;
    const char sign = text.data[++i];
    int32_t value = 0;
    for (i += sign == '-' || sign == '+'; i < text.n; i++)
        if (value < 100000) value = 10 * value + (text.data[i] - '0');
    return sign == '-' ? -value : value;
}

bool pn_decimal_read(pn_job *job, pn_json_text text, pn_decimal *out) {
    char *digits;
    int32_t n, whole, skip = 0;
    if (!collect_digits(job, text, &digits, &n, &whole)) return false;
    while (n && digits[n - 1] == '0') n--;
    while (skip < n && digits[skip] == '0') skip++;
    *out = (pn_decimal){.digits = digits + skip, .n = n - skip};
    if (out->n == 0) return true;
    out->negative = text.data[0] == '-';
    out->exponent = whole - skip + read_exponent(text);
    if (pn_decimal_whole(out) > PN_DECIMAL_MAX || pn_decimal_fraction(out) > PN_DECIMAL_MAX)
        return pn_job_fail(job, PUNA_E_LIMIT, "a number of more than %d digits", PN_DECIMAL_MAX);
    return true;
}

int32_t pn_decimal_whole(const pn_decimal *a) {
    return a->exponent > 0 ? a->exponent : 0;
}

int32_t pn_decimal_fraction(const pn_decimal *a) {
    return a->n > a->exponent ? a->n - a->exponent : 0;
}

bool pn_decimal_is_integer(const pn_decimal *a) {
    return a->n <= a->exponent;
}

char pn_decimal_digit(const pn_decimal *a, int32_t place) {
    const int32_t i = a->exponent - place;
    return i >= 0 && i < a->n ? a->digits[i] : '0';
}

static int compare_magnitudes(const pn_decimal *a, const pn_decimal *b) {
    if (a->n == 0 || b->n == 0) return (a->n > 0) - (b->n > 0);
    if (a->exponent != b->exponent) return a->exponent < b->exponent ? -1 : 1;
    for (int32_t i = 0; i < a->n || i < b->n; i++) {
        const char x = i < a->n ? a->digits[i] : '0', y = i < b->n ? b->digits[i] : '0';
        if (x != y) return x < y ? -1 : 1;
    }
    return 0;
}

int pn_decimal_compare(const pn_decimal *a, const pn_decimal *b) {
    if (a->negative != b->negative) return a->negative ? -1 : 1;
    const int order = compare_magnitudes(a, b);
    return a->negative ? -order : order;
}

bool pn_decimal_factor(pn_job *job, const pn_decimal *of, int32_t *factor, int32_t *shift) {
    int32_t value = 0;
    for (int32_t i = 0; i < of->n; i++) {
        value = 10 * value + (of->digits[i] - '0');
        if (value > MAX_FACTOR)
            return pn_job_fail(job, PUNA_E_LIMIT, "a factor of more than six digits");
    }
    *factor = value;
    *shift = of->exponent - of->n;
    return true;
}

bool pn_decimal_is_multiple(const pn_decimal *a, int32_t factor, int32_t shift) {
    int64_t rest = 0;
    if (a->n == 0) return true;
    if (a->exponent - a->n < shift) return false; /* a's last digit lies below the factor's */
    for (int32_t i = 0; i < a->exponent - shift; i++)
        rest = (rest * 10 + (i < a->n ? a->digits[i] - '0' : 0)) % factor;
    return rest == 0;
}

bool pn_decimal_to_int(const pn_decimal *a, int64_t *out) {
    if (!pn_decimal_is_integer(a) || a->exponent > 9) return false;
    int64_t value = 0;
    for (int32_t place = a->exponent; place > 0; place--)
        value = 10 * value + (pn_decimal_digit(a, place) - '0');
    *out = a->negative ? -value : value;
    return true;
}
