/* jinja_bigint.c: integers beyond 64 bits: sign and 32-bit limbs, least first. At most 256 bits: enough for any
 * identifier or product of two integers, and no template can spend time or memory on digits. Results that fit 64 bits
 * become plain integers again, so a value has one form only. */
#include "tmpl/jinja_render.h"

#include <math.h>
#include <string.h>

#define MAX_LIMBS  8
#define MAX_DIGITS 78 /* of 256 bits */
#define TOO_BIG    "an integer beyond 256 bits"

struct pn_big {
    bool negative;
    int32_t n;
    uint32_t limb[];
};

/* A number being worked on; room for a product. */
typedef struct num {
    bool negative;
    int32_t n; /* limbs, the last one not 0; 0: zero */
    uint32_t limb[2 * MAX_LIMBS + 2];
} num;

static void trim(num *a) {
    while (a->n && !a->limb[a->n - 1]) a->n--;
    if (!a->n) a->negative = false;
}

static void load(num *a, const pn_value *v) {
    if (v->kind == PN_V_BIG) {
        a->negative = v->big->negative;
        a->n = v->big->n;
        memcpy(a->limb, v->big->limb, (size_t)a->n * sizeof *a->limb);
        return;
    }
    const int64_t i = v->kind == PN_V_BOOL ? v->b : v->i;
    const uint64_t m = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    a->negative = i < 0;
    a->limb[0] = (uint32_t)m;
    a->limb[1] = (uint32_t)(m >> 32);
    a->n = 2;
    trim(a);
}

static bool store(pn_render *r, const num *a, pn_value *out) {
    if (a->n <= 2) {
        const uint64_t m = (a->n > 0 ? a->limb[0] : 0) | (uint64_t)(a->n > 1 ? a->limb[1] : 0)
                                                             << 32;
        if (m <= (uint64_t)INT64_MAX + a->negative) {
            *out = pn_int(a->negative ? (int64_t)(0 - m) : (int64_t)m);
            return true;
        }
    }
    if (a->n > MAX_LIMBS) return pn_r_limit(r, TOO_BIG);
    pn_big *big = pn_r_alloc(r, sizeof *big + (size_t)a->n * sizeof *big->limb);
    if (!big) return false;
    big->negative = a->negative;
    big->n = a->n;
    memcpy(big->limb, a->limb, (size_t)a->n * sizeof *a->limb);
    *out = (pn_value){.kind = PN_V_BIG, .big = big};
    return pn_r_charge(r, (size_t)a->n);
}

static int compare_size(const num *a, const num *b) {
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    for (int32_t i = a->n - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

static void add_sizes(num *a, const num *b) {
    uint64_t carry = 0;
    const int32_t n = a->n > b->n ? a->n : b->n;
    for (int32_t i = 0; i < n; i++) {
        carry += (uint64_t)(i < a->n ? a->limb[i] : 0) + (i < b->n ? b->limb[i] : 0);
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    a->limb[n] = (uint32_t)carry;
    a->n = n + 1;
    trim(a);
}

/* |big| - |small| into a, one of the two. */
static void subtract_sizes(num *a, const num *big, const num *small) {
    int64_t borrow = 0;
    const int32_t n = big->n;
    for (int32_t i = 0; i < n; i++) {
        int64_t d = (int64_t)big->limb[i] - (i < small->n ? small->limb[i] : 0) + borrow;
        borrow = d < 0 ? -1 : 0;
        a->limb[i] = (uint32_t)d;
    }
    a->n = n;
    trim(a);
}

static void add(num *a, const num *b) {
    if (a->negative == b->negative) {
        add_sizes(a, b);
    } else if (compare_size(a, b) >= 0) {
        subtract_sizes(a, a, b);
    } else {
        const bool negative = b->negative;
        subtract_sizes(a, b, a);
        a->negative = negative && a->n;
    }
}

static void multiply(const num *a, const num *b, num *out) {
    out->n = a->n + b->n;
    out->negative = a->negative != b->negative;
    memset(out->limb, 0, (size_t)out->n * sizeof *out->limb);
    for (int32_t i = 0; i < a->n; i++) {
        uint64_t carry = 0;
        for (int32_t k = 0; k < b->n; k++) {
            carry += (uint64_t)a->limb[i] * b->limb[k] + out->limb[i + k];
            out->limb[i + k] = (uint32_t)carry;
            carry >>= 32;
        }
        out->limb[i + b->n] = (uint32_t)carry;
    }
    trim(out);
}

/* a *= m, a += c */
static void multiply_small(num *a, uint32_t m, uint32_t c) {
    uint64_t carry = c;
    for (int32_t i = 0; i < a->n; i++) {
        carry += (uint64_t)a->limb[i] * m;
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry) a->limb[a->n++] = (uint32_t)carry;
}

/* a /= d; returns the remainder. */
static uint32_t divide_small(num *a, uint32_t d) {
    uint64_t rest = 0;
    for (int32_t i = a->n - 1; i >= 0; i--) {
        rest = rest << 32 | a->limb[i];
        a->limb[i] = (uint32_t)(rest / d);
        rest %= d;
    }
    trim(a);
    return (uint32_t)rest;
}

/* Sizes only, bit by bit: quotient in q, remainder in rest. */
static void divide_sizes(const num *a, const num *b, num *q, num *rest) {
    *q = (num){.n = a->n};
    *rest = (num){0};
    for (int32_t bit = a->n * 32 - 1; bit >= 0; bit--) {
        multiply_small(rest, 2, a->limb[bit / 32] >> (bit % 32) & 1);
        if (compare_size(rest, b) >= 0) {
            subtract_sizes(rest, rest, b);
            q->limb[bit / 32] |= 1u << (bit % 32);
        }
    }
    trim(q);
}

/* Rounded down, the remainder with the sign of b. */
static bool divide(pn_render *r, const num *a, const num *b, bool remainder, num *out) {
    num other;
    if (!pn_r_charge(r, (size_t)a->n * (size_t)(b->n + 1))) return false;
    if (remainder)
        divide_sizes(a, b, &other, out);
    else
        divide_sizes(a, b, out, &other);
    const bool rest = remainder ? out->n != 0 : other.n != 0;
    const num one = {.n = 1, .limb = {1}};
    if (remainder) {
        if (rest && a->negative != b->negative) subtract_sizes(out, b, out);
        out->negative = b->negative && out->n;
    } else {
        if (rest && a->negative != b->negative) add_sizes(out, &one);
        out->negative = a->negative != b->negative && out->n;
    }
    return true;
}

static bool power(pn_render *r, const num *base, const num *exponent, num *out) {
    const uint64_t n = exponent->limb[0] | (uint64_t)(exponent->n > 1 ? exponent->limb[1] : 0)
                                               << 32;
    num square = *base, product;
    *out = (num){.n = 1, .limb = {1}};
    if (exponent->n > 2 && (base->n > 1 || (base->n == 1 && base->limb[0] > 1)))
        return pn_r_limit(r, TOO_BIG);
    for (uint64_t e = exponent->n ? n : 0; e; e >>= 1) {
        if (e & 1) {
            multiply(out, &square, &product);
            *out = product;
        }
        if (e > 1) {
            multiply(&square, &square, &product);
            square = product;
        }
        if (out->n > MAX_LIMBS || (e > 1 && square.n > MAX_LIMBS)) return pn_r_limit(r, TOO_BIG);
        if (!pn_r_charge(r, (size_t)square.n * (size_t)square.n / 16)) return false;
    }
    return true;
}

/* op: +, -, *, //, %, ** (with an exponent >= 0) of integers; the divisor is not 0. */
bool pn_big_binary(pn_render *r, uint8_t op, const pn_value *va, const pn_value *vb,
                   pn_value *out) {
    num a, b, result;
    load(&a, va);
    load(&b, vb);
    switch (op) {
    case PN_T_SUB:
        if (b.n) b.negative = !b.negative;
        add(&a, &b);
        return store(r, &a, out);
    case PN_T_ADD: add(&a, &b); return store(r, &a, out);
    case PN_T_MUL:
        multiply(&a, &b, &result);
        return pn_r_charge(r, (size_t)a.n * (size_t)b.n / 8) && store(r, &result, out);
    case PN_T_POW: return power(r, &a, &b, &result) && store(r, &result, out);
    default: return divide(r, &a, &b, op == PN_T_MOD, &result) && store(r, &result, out);
    }
}

int pn_big_compare(pn_render *r, const pn_value *va, const pn_value *vb) {
    num a, b;
    load(&a, va);
    load(&b, vb);
    (void)pn_r_charge(r, 1);
    if (a.negative != b.negative) return a.negative ? -1 : 1;
    const int order = compare_size(&a, &b);
    return a.negative ? -order : order;
}

bool pn_big_negate(pn_render *r, const pn_value *v, pn_value *out) {
    num a;
    load(&a, v);
    a.negative = !a.negative && a.n;
    return store(r, &a, out);
}

bool pn_big_parse(pn_render *r, const char *digits, size_t n, bool negative, pn_value *out) {
    num a = {0};
    while (n && *digits == '0') digits++, n--;
    if (n > MAX_DIGITS) return pn_r_limit(r, TOO_BIG);
    for (size_t i = 0; i < n; i++) multiply_small(&a, 10, (uint32_t)(digits[i] - '0'));
    a.negative = negative && a.n;
    return pn_r_charge(r, n * n / 64) && store(r, &a, out);
}

bool pn_big_put(pn_builder *b, const pn_value *v) {
    char digits[MAX_DIGITS + 16];
    size_t at = sizeof digits;
    num a;
    load(&a, v);
    const bool negative = a.negative;
    if (!pn_r_charge(b->r, (size_t)a.n * (size_t)a.n)) return false;
    do {
        uint32_t part = divide_small(&a, 1000000000);
        for (int i = 0; i < 9 && (a.n || part || i == 0); i++, part /= 10)
            digits[--at] = (char)('0' + part % 10);
    } while (a.n);
    if (negative) digits[--at] = '-';
    return pn_put(b, digits + at, sizeof digits - at, v->origin);
}

double pn_big_double(const pn_big *big) {
    double d = 0;
    for (int32_t i = big->n - 1; i >= 0; i--) d = d * 4294967296.0 + big->limb[i];
    return big->negative ? -d : d;
}

bool pn_big_from_double(pn_render *r, double f, pn_value *out) {
    num a = {.negative = f < 0};
    int exponent;
    const double m = frexp(fabs(trunc(f)), &exponent); /* [0.5, 1) */
    if (exponent > 32 * MAX_LIMBS) return pn_r_limit(r, TOO_BIG);
    uint64_t bits = (uint64_t)ldexp(m, 53);
    int shift = exponent - 53;
    if (shift < 0) {
        bits >>= -shift;
        shift = 0;
    }
    for (int i = 0; i < 64; i++) {
        if (!(bits >> i & 1)) continue;
        const int at = i + shift;
        a.limb[at / 32] |= 1u << (at % 32);
        if (at / 32 >= a.n) a.n = at / 32 + 1;
    }
    trim(&a);
    return store(r, &a, out);
}

bool pn_big_is_negative(const pn_big *big) {
    return big->negative;
}

bool pn_big_is_odd(const pn_big *big) {
    return big->limb[0] & 1;
}
